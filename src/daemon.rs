//! The daemon: store, engine, listeners and bells, started in order and stopped in order.

use crate::{
    api::Api,
    callback,
    clock::SharedClock,
    config::Config,
    domain::{Millis, timing::rfc3339},
    engine::{Engine, Signals, alarm},
    http,
    metrics::Metrics,
    platform::transport::{HttpTransport, Limits},
    store::{OpenError, Store, retention::Walk},
    trip::trip,
};
use anyhow::{Context, anyhow};
use rand::RngExt;
use sd_notify::NotifyState;
use std::{
    fs::{DirBuilder, Permissions},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

/// How long a stop may take before the process gives up; whatever is cut off then is found in doubt.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Why the daemon did not start; `main` turns it into an exit code.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration or what it names is wrong.
    #[error("{0}")]
    Config(String),
    /// The database does not answer; it may later.
    #[error("{0}")]
    Unreachable(String),
    /// Something else failed.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Wrong(what) | OpenError::InUse(what) => Self::Config(what),
            OpenError::Unreachable(what) => Self::Unreachable(what),
        }
    }
}

/// A running daemon.
pub struct Daemon {
    /// The API over its store.
    pub api: Api,
    /// The engine's signals.
    pub signals: Arc<Signals>,
    /// Where it listens, the port that was given included.
    pub address: SocketAddr,
    stop_http: CancellationToken,
    stop_engine: CancellationToken,
    engine: std::thread::JoinHandle<()>,
    servers: Vec<tokio::task::JoinHandle<()>>,
    bells: tokio_cron_scheduler::JobScheduler,
    socket: std::path::PathBuf,
}

impl Daemon {
    /// Starts everything. It takes requests when this returns; [`Self::ready`] waits for the first look at the queue.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub async fn start(config: Config, clock: SharedClock) -> Result<Self, StartError> {
        let config = Arc::new(config);
        // The store first: its lock names the daemon that is running already, where a taken port would not.
        let store = Store::open(&config.store_url, config.durability, &config.apps, Arc::clone(&clock)).await?;
        let listener = bind(config.server.listen).await?;
        let address = listener.local_addr().context("cannot read the listener's address")?;
        let metrics = Arc::new(Metrics::default());
        let transport = HttpTransport::new(Limits::default()).context("cannot make an HTTP client")?;
        let seed = rand::rng().random();
        let engine = Engine::new(
            Arc::new(store.clone()),
            Arc::new(transport),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            &config.apps,
            seed,
        );
        let signals = engine.signals();
        signals.hold(store.hold().await.context("cannot read the store")?.is_some());
        let api = Api::new(
            Arc::clone(&config),
            store.clone(),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            Some(Arc::clone(&signals)),
        );
        let api = api.await;

        let stop_http = CancellationToken::new();
        let callbacks = callback::router(&config.apps, store.clone(), Arc::clone(&clock), Arc::clone(&metrics));
        let open_to_all = api.router().merge(callbacks);
        let mut servers = vec![tokio::spawn(http::serve(listener, open_to_all, stop_http.clone()))];
        if let Some(address) = config.server.metrics {
            let listener = bind(address).await?;
            servers.push(tokio::spawn(http::serve(listener, api.metrics_router(), stop_http.clone())));
        }
        let socket = bind_socket(&config.server.socket)?;
        servers.push(tokio::spawn(http::serve(socket, api.owner_router(), stop_http.clone())));

        let (retention, walk) = (config.retention, Walk::default());
        let bells = alarm::Bells { signals: Arc::clone(&signals), store, metrics, clock, retention, walk };
        bells.measure().await;
        let bells = alarm::start(bells).await.context("cannot start the alarm")?;
        let stop_engine = CancellationToken::new();
        let engine = spawn_engine(engine, stop_engine.clone())?;
        Ok(Self {
            api,
            signals,
            address,
            stop_http,
            stop_engine,
            engine,
            servers,
            bells,
            socket: config.server.socket.clone(),
        })
    }

    /// Waits until the first look at the queue is done.
    pub async fn ready(&self) {
        while !self.signals.status().ready && !self.engine.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether the engine has ended by itself, which it never should.
    pub fn is_dead(&self) -> bool {
        self.engine.is_finished()
    }

    /// Stops in order: nothing new is sent, what is under way is finished and settled, then the listeners and the store close.
    ///
    /// # Errors
    /// When what was under way did not end in time.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        trip("stop.begun");
        self.stop_engine.cancel();
        // The scheduler's own shutdown does not wait, and nothing that it rings needs it to.
        let _ = self.bells.shutdown().await;
        let engine = self.engine;
        let joined = tokio::task::spawn_blocking(move || engine.join());
        let finished = tokio::time::timeout(STOP_LIMIT, joined).await;
        trip("stop.engine_ended");
        self.stop_http.cancel();
        for server in self.servers {
            let _ = server.await;
        }
        self.api.store().close().await;
        trip("stop.store_closed");
        let _ = std::fs::remove_file(&self.socket);
        match finished {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(_) => Err(anyhow!("the engine had failed; what was under way is looked at again at the next start")),
            Err(_) => Err(anyhow!(
                "what was under way did not end within {} s; it is looked at again at the next start",
                STOP_LIMIT.as_secs()
            )),
        }
    }
}

/// The engine has a thread and a runtime of its own: one thread sends faster than two, and no request of the API delays a send.
fn spawn_engine(engine: Engine, stop: CancellationToken) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the engine")?;
    let run = move || runtime.block_on(engine.run(stop));
    std::thread::Builder::new().name("engine".into()).spawn(run).context("cannot start the engine's thread")
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|e| {
        StartError::Config(format!(
            "cannot listen on {address}: {e}; stop whoever has it, or change [server] in the configuration"
        ))
    })
}

/// Binds a Unix socket that only its owner can open. It is made in a folder of its own and moved into place, so that it is never
/// there with other permissions, and the one that a dead daemon left is replaced.
fn bind_socket(path: &Path) -> Result<UnixListener, StartError> {
    let cannot = |e: std::io::Error| {
        StartError::Config(format!(
            "cannot make the socket {}: {e}; check [server] socket and its folder",
            path.display()
        ))
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        let what = format!(
            "another tixing answers on {}: stop it first, or give this one another [server] socket",
            path.display()
        );
        return Err(StartError::Config(what));
    }
    let folder = path.with_extension(format!("{}.tmp", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    DirBuilder::new().mode(0o700).create(&folder).map_err(cannot)?;
    let made = folder.join("s");
    let bound = UnixListener::bind(&made).and_then(|listener| {
        std::fs::set_permissions(&made, Permissions::from_mode(0o600))?;
        std::fs::rename(&made, path)?;
        Ok(listener)
    });
    let _ = std::fs::remove_dir_all(&folder);
    bound.map_err(cannot)
}

/// Serves until SIGTERM or SIGINT, telling systemd how it goes.
///
/// # Errors
/// What is wrong and what to do.
pub async fn serve(config: Config, clock: SharedClock) -> Result<(), StartError> {
    let (mut term, mut int) = signals()?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let apps = config.apps.len();
    let daemon = Daemon::start(config, Arc::clone(&clock)).await?;
    trip("start.before_first_look");
    warn_of_unconfigured(&daemon).await;
    warn_of_hold(&daemon, clock.now()).await;
    daemon.ready().await;
    tell(&[NotifyState::Ready]);
    tracing::info!(address = %daemon.address, apps, version = env!("CARGO_PKG_VERSION"), "ready");
    let watchdog = sd_notify::watchdog_enabled();
    let tick = watchdog.map_or(Duration::from_secs(5), |limit| limit / 3).min(Duration::from_secs(5));
    let mut ticks = tokio::time::interval(tick);
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = ticks.tick() => {
                daemon.api.refresh_keys().await;
                if daemon.is_dead() {
                    return Err(anyhow!("the engine has failed; restart the daemon, and what was under way is looked at again").into());
                }
                let alive = clock.monotonic() - daemon.signals.heartbeat() < 10_000;
                if alive && watchdog.is_some() {
                    tell(&[NotifyState::Watchdog]);
                }
                tell(&[NotifyState::Status(&status_line(&daemon).await)]);
            }
        }
    }
    tracing::info!("stopping: nothing new is sent, what is under way is finished");
    tell(&[NotifyState::Stopping]);
    daemon.stop().await?;
    tracing::info!("stopped; nothing is in doubt because of it");
    Ok(())
}

/// Reminders of an app that is no longer configured are sent by nobody; that must not pass in silence.
async fn warn_of_unconfigured(daemon: &Daemon) {
    for (app, waiting) in daemon.api.store().unconfigured().await.unwrap_or_default() {
        tracing::warn!(
            app,
            waiting,
            "the store holds reminders of an app that is not configured: nobody sends them; configure it again, or cancel them"
        );
    }
}

/// A restored store sends nothing, and everybody who looks must see why.
async fn warn_of_hold(daemon: &Daemon, now: Millis) {
    let store = daemon.api.store();
    let Ok(Some(hold)) = store.hold().await else { return };
    tracing::warn!(
        since = rfc3339(hold.since),
        "ON HOLD: the store was restored from a backup, and NOTHING IS SENT until `tixing release`"
    );
    for overdue in store.overdue_on_hold(hold, now).await.unwrap_or_default() {
        let (first, last) = (rfc3339(overdue.first), rfc3339(overdue.last));
        tracing::warn!(
            app = overdue.app,
            reminders = overdue.n,
            first,
            last,
            "became due since, and may have been sent"
        );
    }
}

fn signals() -> anyhow::Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).context("cannot listen for signals");
    Ok((listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?))
}

fn tell(states: &[NotifyState<'_>]) {
    // Not under systemd: nobody listens.
    let _ = sd_notify::notify(states);
}

async fn status_line(daemon: &Daemon) -> String {
    let status = daemon.signals.status();
    let waiting: i64 = match daemon.api.store().tally().await {
        Ok(tally) => tally.values().filter_map(|counts| counts.get("scheduled")).sum(),
        Err(_) => return "the store does not answer".into(),
    };
    let next = status.lanes.values().filter_map(|lane| lane.next_due).min();
    let paused =
        status.lanes.iter().find_map(|(app, lane)| lane.pause.as_ref().map(|p| format!("; {app} paused: {}", p.0)));
    let held = status.clock_held.map(|_| "; HELD: the clock jumped".to_owned());
    let next = next.map_or_else(|| "nothing within seconds".to_owned(), |at| format!("next at {}", rfc3339(at)));
    format!("{waiting} waiting, {next}{}{}", paused.unwrap_or_default(), held.unwrap_or_default())
}
