//! This daemon joins others on one PostgreSQL, and leaves them.

use super::StartError;
use crate::{
    api::Api,
    clock::SharedClock,
    cluster::{
        Member, Refresh,
        lock::{Lock, boot, machine, restarted},
    },
    config::Config,
    engine::{Signals, duties::Duties},
    findings::{self, Report},
    metrics::Metrics,
    platform::transport::Gate,
    store::{
        Dialect, Store,
        nodes::{NewNode, Proof},
        port::Asked,
    },
    words::{Voice, say},
};
use rand::RngExt;
use std::{
    collections::BTreeSet,
    io::ErrorKind,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long the last word to the database may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(4);

/// A node before it has joined: its lock is taken, so that its end can be proved, and the one before on this machine is known to have ended.
#[derive(Clone)]
pub(super) struct Candidate {
    new: NewNode,
    lock: Arc<Mutex<Lock>>,
}

impl Candidate {
    /// The candidate of a configuration; nothing where one daemon has its own file.
    ///
    /// # Errors
    /// When another daemon runs with the same socket, or the lock can't be taken.
    pub fn of(config: &Config) -> Result<Option<Self>, StartError> {
        if Dialect::of(&config.store.url) == Dialect::Sqlite {
            return Ok(None);
        }
        let path = config.server.socket.with_extension("lock");
        let lock = Lock::take(&path).map_err(|e| match e.kind() {
            ErrorKind::WouldBlock => {
                StartError::Config(say!("node_lock_taken", socket = config.server.socket.to_string_lossy()))
            }
            _ => StartError::Config(say!("node_lock_failed", file = path.to_string_lossy(), why = e.to_string())),
        })?;
        if boot().is_empty() {
            tracing::warn!(
                "this process can't read /proc/sys/kernel/random/boot_id: after a restart of the machine nobody knows that it has ended"
            );
        }
        let secret = format!("{:032x}", rand::rng().random::<u128>());
        let new = NewNode {
            name: config.server.node.clone().unwrap_or_else(host_name),
            machine: machine(),
            boot: boot(),
            lock: path.to_string_lossy().into_owned(),
            secret,
            apps: config.digests(),
            shards: config.shards(),
            replication: config.store.replication,
        };
        Ok(Some(Self { new, lock: Arc::new(Mutex::new(lock)) }))
    }

    /// What it says of itself, and how it tells that others have ended.
    pub fn joins(&self) -> (NewNode, Proof) {
        let lock = Arc::clone(&self.lock);
        (self.new.clone(), Box::new(move |trace| lock.lock().expect("whole").proves_gone(trace) || restarted(trace)))
    }

    /// It has joined: from here on its lock says so.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn sign(&self) -> Result<(), StartError> {
        let mut lock = self.lock.lock().expect("whole");
        lock.sign(&self.new.secret).map_err(|e| {
            StartError::Config(say!("node_lock_failed", file = lock.path().to_string_lossy(), why = e.to_string()))
        })
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Lets requests leave as long as the node's lanes are surely its own.
pub(super) fn gate(signals: Arc<Signals>, clock: SharedClock) -> Gate {
    Gate::new(move || signals.is_trusted(clock.monotonic()))
}

struct Kept(Api);

impl Refresh for Kept {
    fn refresh(&self) -> Asked<()> {
        let api = self.0.clone();
        Box::pin(async move {
            api.refresh_keys().await;
            api.store().refresh().await
        })
    }
}

/// A node that has joined.
pub(super) struct Joined {
    stop: CancellationToken,
    ended: CancellationToken,
    member: JoinHandle<()>,
    /// Its end can be proved as long as it is held.
    _candidate: Candidate,
    _ears: AbortOnDropHandle<()>,
    _compares: AbortOnDropHandle<()>,
}

/// How often it is looked whether the daemons agree.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// Says in the log, once each, what the daemons do not agree about.
async fn compare(store: Store) {
    let mut told = BTreeSet::new();
    loop {
        if let Ok(peers) = store.peers().await {
            let mut report = Report::new(Voice::default());
            findings::nodes::compare(&peers, &mut report);
            let found: BTreeSet<_> = report.checks.iter().map(|check| check.findings(report.voice)).collect();
            for (found, fix) in found.difference(&told) {
                tracing::warn!("{found}: {}", fix.as_deref().unwrap_or_default());
            }
            told = found;
        }
        tokio::time::sleep(COMPARE_EVERY).await;
    }
}

impl Joined {
    /// Begins to beat.
    pub fn begin(
        candidate: Candidate,
        api: &Api,
        signals: &Arc<Signals>,
        clock: &SharedClock,
        metrics: &Arc<Metrics>,
        duties: &Duties,
    ) -> Self {
        let store = api.store();
        let me = store.node().expect("it has joined");
        let nodes = Arc::new(store.clone());
        let refresh = Box::new(Kept(api.clone()));
        let names = (candidate.new.clone(), me);
        let (signals, clock, metrics) = (Arc::clone(signals), Arc::clone(clock), Arc::clone(metrics));
        let member = Member::new(nodes, names, signals, clock, metrics, (duties.clone(), refresh));
        let (wake, stop, ended) = (Arc::new(Notify::new()), CancellationToken::new(), CancellationToken::new());
        let (ears, heard) = (store.clone(), Arc::clone(&wake));
        let ears = AbortOnDropHandle::new(tokio::spawn(async move { ears.listen(&heard).await }));
        let member = tokio::spawn(member.run(wake, stop.clone(), ended.clone()));
        let compares = AbortOnDropHandle::new(tokio::spawn(compare(store.clone())));
        Self { stop, ended, member, _candidate: candidate, _ears: ears, _compares: compares }
    }

    /// Nothing more is begun: the lanes go to others.
    pub fn leave(&self) {
        self.stop.cancel();
    }

    /// Nothing is under way any more: the node is gone.
    pub async fn end(self) {
        self.ended.cancel();
        let _ = tokio::time::timeout(LEAVE_LIMIT, self.member).await;
    }
}
