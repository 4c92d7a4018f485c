//! The real store behind the engine's seam: slow, failing, cut off in the middle of a commit, and, on demand, quietly wrong.
//!
//! The store has threads of its own, which virtual time does not know. Each call therefore stops the simulation until the store
//! has answered; how long that took, the seed says.

use super::sabotage::Sabotage;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tixing::{
    config::{App, Durability},
    domain::{Millis, decide::Due, reminder::State, settle::Consent, settle::Next},
    store::{
        Names, OnCommit, Store, StoreError,
        queue::{Asked, Job, Marked, Queue, Settle},
        reminders::Filter,
    },
};
use tokio::{
    runtime::{Handle, Runtime},
    task::JoinSet,
};

/// The runtime of all stores.
fn runtime() -> &'static Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let build =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    RUNTIME.get_or_init(build).handle()
}

/// Waits for the store, and nothing happens meanwhile.
pub fn wait<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (done, told) = std::sync::mpsc::sync_channel(1);
    runtime().spawn(async move { done.send(work.await) });
    told.recv().expect("the store's task ends")
}

/// Opens a store, from a thread that may wait: opening is no future that threads could share.
fn open(url: &str, apps: &[App], clock: tixing::clock::SharedClock) -> Store {
    let open = || runtime().block_on(Store::open(url, Durability::Full, apps, clock));
    let opened = std::thread::scope(|scope| scope.spawn(open).join()).expect("no panic");
    opened.unwrap_or_else(|e| panic!("the store opens: {e}"))
}

/// How the disk behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// A call takes up to so long, before and after it takes effect.
    pub slow_ms: u64,
    /// How often a call fails, half of them after it took effect.
    pub fails: f64,
}

/// The store of one life of the daemon.
pub struct Disk {
    pub store: Store,
    folder: PathBuf,
    rng: Mutex<StdRng>,
    pub weather: Mutex<Weather>,
    sabotage: Option<Sabotage>,
    /// Writes that were answered before they were done; a crash forgets them.
    late: Mutex<JoinSet<()>>,
}

impl Disk {
    /// A fresh store, copied from one that was brought up to date once, because ten thousand migrations take their time.
    pub fn fresh(folder: &Path, clock: tixing::clock::SharedClock, apps: &[App], seed: u64, s: Option<Sabotage>) -> Arc<Self> {
        static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();
        let template = TEMPLATE.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a folder");
            let url = url(folder.path());
            let store = open(&url, apps, Arc::clone(&clock));
            wait(async move { store.close().await });
            std::fs::read(folder.path().join("tixing.db")).expect("the file")
        });
        std::fs::write(folder.join("tixing.db"), template).expect("written");
        Self::over(folder.to_owned(), clock, apps, seed, s)
    }

    fn over(folder: PathBuf, clock: tixing::clock::SharedClock, apps: &[App], seed: u64, sabotage: Option<Sabotage>) -> Arc<Self> {
        let store = open(&url(&folder), apps, clock);
        Arc::new(Self { store, folder, rng: Mutex::new(StdRng::seed_from_u64(seed)), weather: Mutex::default(), sabotage, late: Mutex::default() })
    }

    /// The store as a loss of power leaves it: the files as they are at this moment, with the beginning of a commit that was never
    /// finished behind them, opened by another daemon.
    pub fn after_power_loss(&self, clock: tixing::clock::SharedClock, apps: &[App], seed: u64) -> Arc<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let folder = self.folder.join("next");
        std::fs::create_dir(&folder).expect("a folder");
        for name in ["tixing.db", "tixing.db-wal"] {
            let mut bytes = std::fs::read(self.folder.join(name)).unwrap_or_default();
            if name.ends_with("wal") {
                bytes.extend((0..rng.random_range(0..9_000)).map(|_| rng.random::<u8>()));
            }
            std::fs::write(folder.join(name), bytes).expect("written");
        }
        self.close();
        Self::over(folder, clock, apps, seed, self.sabotage)
    }

    pub fn close(&self) {
        let store = self.store.clone();
        wait(async move { store.close().await });
    }

    /// The daemon dies.
    pub fn crash(&self) {
        self.late.lock().expect("whole").abort_all();
    }

    /// Runs a call in the disk's weather.
    fn ask<T, F>(&self, call: impl FnOnce(Store) -> F + Send + 'static) -> Asked<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let weather = *self.weather.lock().expect("whole");
        let mut rng = self.rng.lock().expect("whole");
        let mut delay = || if weather.slow_ms == 0 { 0 } else { rng.random_range(0..=weather.slow_ms) };
        let (before, after) = (delay(), delay());
        let fails = rng.random::<f64>() < weather.fails;
        let fails_early = fails && rng.random();
        let store = self.store.clone();
        Box::pin(async move {
            let failure = || Err(StoreError::Unavailable("the disk, says the simulation".into()));
            pass(before).await;
            if fails_early {
                return failure();
            }
            let result = wait(call(store));
            pass(after).await;
            if fails { failure() } else { result }
        })
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }
}

fn url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("tixing.db").display())
}

async fn pass(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// The living rows as they stand now, for faults that do not look at the fence.
async fn now_living(store: &Store, lane: i64) -> Result<Vec<Job>, StoreError> {
    store.prefetch(lane, (i64::MIN, 0), i64::MAX, 10_000).await
}

/// `due` as its row stands now, if it lives.
fn refreshed(due: &mut Due, living: &[Job]) {
    if let Some(now) = living.iter().find(|job| job.due.id == due.id) {
        (due.state, due.fence, due.due_at) = (now.due.state, now.due.fence, now.due.due_at);
    }
}

impl Queue for Disk {
    fn names(&self) -> &Names {
        self.store.names()
    }

    fn on_commit(&self, told: OnCommit) {
        self.store.on_commit(told);
    }

    fn prefetch(&self, lane: i64, after: (Millis, i64), until: Millis, limit: i64) -> Asked<Vec<Job>> {
        let [unsent, known, blind, timeless] = [
            Sabotage::CutOffCountsAsUnsent,
            Sabotage::DoubtCountsAsUnsent,
            Sabotage::ConsentNotLookedAt,
            Sabotage::DeadlineReadAtInsertOnly,
        ]
        .map(|sabotage| self.is(sabotage));
        self.ask(move |store| async move {
            let mut jobs = store.prefetch(lane, after, until, limit).await?;
            for job in &mut jobs {
                if (unsent && job.due.state == State::Sending) || (known && job.due.state == State::InDoubt) {
                    job.due.state = State::Scheduled;
                }
                if blind {
                    job.claim = tixing::domain::reminder::Claim::Reserve;
                }
                if timeless {
                    job.due.expires_at = Millis::MAX;
                }
            }
            Ok(jobs)
        })
    }

    fn past_deadline(&self, lane: i64, now: Millis, limit: i64) -> Asked<Vec<Job>> {
        let timeless = self.is(Sabotage::DeadlineReadAtInsertOnly);
        self.ask(move |store| async move {
            if timeless { Ok(Vec::new()) } else { store.past_deadline(lane, now, limit).await }
        })
    }

    fn mark(&self, mut jobs: Vec<Job>) -> Asked<Vec<Marked>> {
        if self.is(Sabotage::SendBeforeMark) {
            // Answered at once, written a moment later: by a daemon that may be dead by then.
            let verdicts = vec![Marked::Yes; jobs.len()];
            let written = self.ask(move |store| async move { store.mark(jobs).await });
            self.late.lock().expect("whole").spawn(async move { drop(written.await) });
            return Box::pin(async move { Ok(verdicts) });
        }
        let unfenced = [Sabotage::MarkWithoutFence, Sabotage::CutOffCountsAsUnsent, Sabotage::DoubtCountsAsUnsent]
            .iter()
            .any(|sabotage| self.is(*sabotage));
        self.ask(move |store| async move {
            if unfenced && let Some(first) = jobs.first() {
                let living = now_living(&store, first.lane).await?;
                jobs.iter_mut().for_each(|job| refreshed(&mut job.due, &living));
            }
            store.mark(jobs).await
        })
    }

    fn settle(&self, mut settles: Vec<Settle>) -> Asked<Vec<bool>> {
        let [unfenced, freed, forgotten, endless] = [
            Sabotage::SettleWithoutFence,
            Sabotage::ConsentFreedAfterSend,
            Sabotage::SettlementForgotten,
            Sabotage::ConsentNotGivenBack,
        ]
        .map(|sabotage| self.is(sabotage));
        self.ask(move |store| async move {
            if unfenced && let Some(first) = settles.first() {
                let living = now_living(&store, first.job.lane).await?;
                settles.iter_mut().for_each(|settle| refreshed(&mut settle.job.due, &living));
            }
            for settle in &mut settles {
                let sent = settle.settlement.next == Next::Final(State::Sent);
                if freed && sent {
                    settle.settlement.consent = Consent::Free;
                }
                if endless && settle.settlement.consent == Consent::Free {
                    settle.settlement.consent = Consent::Keep;
                }
            }
            if forgotten && settles.len() > 1 {
                settles.pop();
                let mut written = store.settle(settles).await?;
                written.push(true);
                return Ok(written);
            }
            store.settle(settles).await
        })
    }
}

/// Everything that is stored of one app.
pub fn everything(store: &Store, app: &str) -> Vec<tixing::store::reminders::Stored> {
    let (store, filter) = (store.clone(), Filter { apps: vec![app.to_owned()], limit: 10_000, ..Filter::default() });
    wait(async move { store.list(&filter).await }).expect("the store answers")
}
