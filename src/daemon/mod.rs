//! The daemon: store, engine, listeners and bells, started in order and stopped in order.

mod notify;
mod opening;
mod dumps;
mod renewal;
mod several;

pub use dumps::forbid as forbid_dumps;

use crate::{
    api::Api,
    callback::Callbacks,
    clock::SharedClock,
    config::{self, App, Config, Level},
    console, descriptors,
    domain::{Millis, outage::Outage, timing::rfc3339},
    engine::{Engine, Signals, alarm, duties::Duties},
    http,
    metrics::{By, Metrics, begin},
    platform::transport::{HttpTransport, Limits},
    schedule::{
        bell,
        folder::{self, Folder, watch::Bell},
        load::Office,
    },
    store::{OpenError, Store, retention::Walk, shown},
    trip::trip,
    words::{Message, say},
};
use notify::tell;
use rand::RngExt;
use renewal::Renewal;
use sd_notify::NotifyState;
use several::{Candidate, Joined};
use std::{
    fs::{DirBuilder, Permissions},
    io::ErrorKind,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How long a stop may take before the process gives up; sends that are cut off then are found in doubt.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long it then waits for the listeners, and for the store. The unit's `TimeoutStopSec` is longer than all of it.
const CLOSE_LIMIT: Duration = Duration::from_secs(4);
/// How long a start may take once the store is open.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long the daemon's own small questions to the store may take.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// An engine whose loop did not go round for so long, in milliseconds, is not alive.
const STUCK: Millis = 10_000;

/// Why the daemon did not start; `main` turns it into an exit code.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration or what it names is wrong.
    #[error("{0}")]
    Config(Message),
    /// The database does not answer; it may later.
    #[error("{0}")]
    Unreachable(Message),
    /// It passes by itself: a full disk, a taken port, a store that a command has for a while.
    #[error("{0}")]
    Passing(Message),
    /// Something else failed.
    #[error("{0}")]
    Other(#[from] Message),
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Wrong(what) | OpenError::Missing(what) | OpenError::InUse { what, by_daemon: true } => {
                Self::Config(what)
            }
            OpenError::Passing(what) | OpenError::InUse { what, by_daemon: false } => Self::Passing(what),
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
    callbacks: Arc<Callbacks>,
    /// Among several daemons: this one's membership.
    joined: Option<Joined>,
    /// The look at the watched folder ends with the daemon.
    folder: Option<AbortOnDropHandle<()>>,
    folder_bell: Bell,
    config: Arc<Config>,
    clock: SharedClock,
    /// As configured, with the secrets that are in force.
    apps: Vec<App>,
}

impl Daemon {
    /// Starts everything. It takes requests when this returns; [`Self::ready`] waits for the first look at the queue.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub async fn start(config: Config, clock: SharedClock) -> Result<Self, StartError> {
        let config = Arc::new(config);
        // The store first: its lock names the daemon that is running already, where a taken port would not.
        let candidate = Candidate::of(&config)?;
        let store = opening::once(&config, candidate.as_ref(), &clock).await?;
        Self::start_with(store, candidate, config, clock).await
    }

    /// As [`Self::start`], as soon as the database answers.
    async fn start_patiently(config: Config, clock: SharedClock) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let candidate = Candidate::of(&config)?;
        let store = opening::open(&config, candidate.as_ref(), &clock).await?;
        Self::start_with(store, candidate, config, clock).await
    }

    async fn start_with(
        store: Store,
        candidate: Option<Candidate>,
        config: Arc<Config>,
        clock: SharedClock,
    ) -> Result<Self, StartError> {
        if let Some(candidate) = &candidate {
            candidate.sign()?;
        }
        let url = shown(&config.store.url);
        let silent = |_| StartError::Unreachable(say!("store_silent", store = url));
        tokio::time::timeout(START_LIMIT, Self::start_on(store, candidate, config, clock)).await.map_err(silent)?
    }

    async fn start_on(
        store: Store,
        candidate: Option<Candidate>,
        config: Arc<Config>,
        clock: SharedClock,
    ) -> Result<Self, StartError> {
        let connections = share_open_files(&config)?;
        let listener = bind(config.server.listen).await?;
        let address = listener.local_addr().map_err(|e| cannot_start(say!("part_listener"), &e))?;
        let metrics = Arc::new(Metrics::default().of_process(clock.now()));
        let transport =
            HttpTransport::new(Limits::default()).map_err(|e| cannot_start(say!("part_http_client"), &e))?;
        let seed = rand::rng().random();
        let signals = Arc::new(Signals::default());
        let transport = match candidate {
            Some(_) => transport.gated(several::gate(Arc::clone(&signals), Arc::clone(&clock))),
            None => transport,
        };
        let engine = Engine::new(
            Arc::new(store.clone()),
            Arc::new(transport),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            &config.apps,
            seed,
        );
        let engine = engine.told_by(Arc::clone(&signals));
        let engine = if candidate.is_some() { engine.among_several() } else { engine };
        let hold = store.hold().await.map_err(|e| say!("store_unread", why = e.message()))?;
        signals.hold(hold.is_some());
        let api = Api::new(
            Arc::clone(&config),
            store.clone(),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            Some(Arc::clone(&signals)),
        );
        let api = api.await;

        let stop_http = CancellationToken::new();
        let callbacks = Callbacks::new(&config.apps, store.clone(), Arc::clone(&clock), Arc::clone(&metrics));
        let mut open_to_all = api.router().merge(callbacks.router());
        if let Some(settings) = &config.console {
            let pages = console::router(api.clone(), settings.clone(), Arc::clone(&clock), stop_http.clone());
            open_to_all = open_to_all.merge(pages);
        }
        let mut servers =
            vec![tokio::spawn(http::serve_at_most(connections, listener, open_to_all, stop_http.clone()))];
        if let Some(address) = config.server.metrics {
            let listener = bind(address).await?;
            servers.push(tokio::spawn(http::serve_at_most(
                descriptors::METRICS,
                listener,
                api.metrics_router(),
                stop_http.clone(),
            )));
        }
        let socket = bind_socket(&config.server.socket)?;
        let socket = http::serve_at_most(descriptors::SOCKET, socket, api.owner_router(), stop_http.clone());
        servers.push(tokio::spawn(socket));

        let duties = Duties::default();
        let joined = candidate.map(|candidate| Joined::begin(candidate, &api, &signals, &clock, &metrics, &duties));
        let folder_bell = Bell::default();
        let folder = watch(&config, &store, &clock, (&signals, &duties), &folder_bell);
        let (retention, walk, ours) = (config.retention, Walk::default(), Arc::clone(&clock));
        let recurring = Arc::new(Notify::new());
        let (rung, measured) = (Arc::clone(&recurring), Arc::clone(&metrics));
        let prepares = (Arc::clone(&signals), duties.clone());
        tokio::spawn(recur(api.office(), prepares, measured, rung, stop_http.clone()));
        let (signals_rung, apps) = (Arc::clone(&signals), config.apps.clone());
        let bells = alarm::Bells {
            signals: signals_rung,
            store,
            metrics,
            clock,
            retention,
            walk,
            erasing: Outage::default(),
            recurring,
            apps,
            duties,
        };
        bells.measure().await;
        let bells = alarm::start(bells).await.map_err(|e| cannot_start(say!("part_bells"), &e))?;
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
            callbacks,
            joined,
            folder,
            folder_bell,
            apps: config.apps.clone(),
            config,
            clock: ours,
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

    /// Stops in order: no new sends begin, those under way are finished and settled, then the listeners and the store close.
    ///
    /// # Errors
    /// When sends under way did not end in time.
    pub async fn stop(mut self) -> Result<(), Message> {
        trip("stop.begun");
        if let Some(joined) = &self.joined {
            joined.leave();
        }
        self.stop_engine.cancel();
        // A load that it cuts off is completed by the next start.
        drop(self.folder.take());
        // The scheduler's own shutdown does not wait, and nothing that it rings needs it to.
        let _ = self.bells.shutdown().await;
        let engine = self.engine;
        let joined = tokio::task::spawn_blocking(move || engine.join());
        let finished = tokio::time::timeout(STOP_LIMIT, joined).await;
        trip("stop.engine_ended");
        if let Some(joined) = self.joined {
            joined.end().await;
        }
        self.stop_http.cancel();
        // A stop ends even if the store is silent: requests that wait for it are dropped, and sends that it has not settled are in doubt.
        let servers = async {
            for server in self.servers {
                let _ = server.await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_LIMIT, servers).await;
        let _ = tokio::time::timeout(CLOSE_LIMIT, self.api.store().close()).await;
        trip("stop.store_closed");
        let _ = std::fs::remove_file(&self.config.server.socket);
        match finished {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(_) => Err(say!("engine_had_failed")),
            Err(_) => Err(say!("stop_took_too_long", limit = STOP_LIMIT.as_millis() as u64)),
        }
    }
}

/// Raises the limit of open files, and answers how many connections the API may have: sends come first.
fn share_open_files(config: &Config) -> Result<usize, StartError> {
    let (files, sends) = (descriptors::raise(), config.sends_at_once());
    let connections = descriptors::connections(files, sends, http::MAX_CONNECTIONS).map_err(StartError::Config)?;
    if connections < http::MAX_CONNECTIONS {
        tracing::warn!(files, sends, connections, "few open files are allowed: fewer connections are served at once");
    }
    Ok(connections)
}

/// Watches the folder, if one is configured. It is a task of its own, and what blocks in it has threads of its own: no send waits for it.
fn watch(
    config: &Arc<Config>,
    store: &Store,
    clock: &SharedClock,
    (signals, duties): (&Arc<Signals>, &Duties),
    bell: &Bell,
) -> Option<AbortOnDropHandle<()>> {
    let dir = config.schedules.as_ref()?.dir.clone();
    let office = Office {
        config: Arc::clone(config),
        store: store.clone(),
        clock: Arc::clone(clock),
        reader: Arc::default(),
        batches: Default::default(),
    };
    let (clock, signals, duties) = (Arc::clone(clock), Arc::clone(signals), duties.clone());
    let looks = folder::watch::run(Folder::new(office, dir), bell.clone(), clock, move || {
        signals.status().clock_distrusted.is_none() && duties.has("folder")
    });
    Some(AbortOnDropHandle::new(tokio::spawn(looks)))
}

/// Looks at the recurring schedules whenever it is rung. What is due is asked of the store. While nothing is sent because a store is on hold
/// or a clock is distrusted, nothing is prepared either: a wrong clock would prepare the occurrences of years.
async fn recur(
    office: Office,
    (signals, duties): (Arc<Signals>, Duties),
    metrics: Arc<Metrics>,
    rung: Arc<Notify>,
    stop: CancellationToken,
) {
    begin(&metrics.occurrences, ["prepared", "missed"].map(|what| By { what }));
    let mut outage = Outage::default();
    while bell::rings(&rung, &stop).await {
        let status = signals.status();
        if signals.is_on_hold() || !status.clock_trusted || !status.ready || !duties.has("schedules") {
            continue;
        }
        let looked = office.prepare_due().await;
        match outage.heard(office.clock.monotonic(), looked) {
            Some(Ok(looked)) => {
                for (what, n) in [("prepared", looked.prepared), ("missed", looked.missed)] {
                    metrics.occurrences.get_or_create(&By { what }).inc_by(n);
                }
            }
            Some(Err(why)) => {
                tracing::error!(%why, "the recurring schedules could not be looked at; it is tried again")
            }
            None => {}
        }
    }
}

/// The engine has a thread and a runtime of its own: one thread sends faster than two, and no request of the API delays a send.
fn spawn_engine(engine: Engine, stop: CancellationToken) -> Result<std::thread::JoinHandle<()>, Message> {
    let cannot = |e| cannot_start(say!("part_engine"), &e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let run = move || runtime.block_on(engine.run(stop));
    std::thread::Builder::new().name("engine".into()).spawn(run).map_err(cannot)
}

fn cannot_start(part: Message, why: &dyn std::fmt::Display) -> Message {
    say!("cannot_start", part = part, why = why.to_string())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|e| {
        let cannot = say!("cannot_listen", address = address, why = e.to_string());
        // The program that has the port may end, and an interface that is not up yet may come.
        match e.kind() {
            ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable => StartError::Passing(cannot),
            _ => StartError::Config(cannot),
        }
    })
}

/// Binds a Unix socket that only its owner can open. It is made in a folder of its own and moved into place, so that it is never
/// there with other permissions, and the one that a dead daemon left is replaced.
fn bind_socket(path: &Path) -> Result<UnixListener, StartError> {
    let cannot = |e: std::io::Error| {
        StartError::Config(say!("cannot_make_socket", socket = path.to_string_lossy(), why = e.to_string()))
    };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(StartError::Config(say!("another_answers", socket = path.to_string_lossy())));
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

/// The system's orders to a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Stop,
    Reload,
}

/// The signals that a daemon hears. One that nobody listens to kills like SIGKILL, so all that people and tools send are heard.
pub struct Asks {
    stop: [Signal; 3],
    reload: Signal,
    ignored: [Signal; 2],
}

impl Asks {
    /// Hears them from here on.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn listen() -> Result<Self, Message> {
        let hear = |kind| signal(kind).map_err(|e| cannot_start(say!("part_signals"), &e));
        Ok(Self {
            stop: [hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?, hear(SignalKind::quit())?],
            reload: hear(SignalKind::hangup())?,
            ignored: [hear(SignalKind::user_defined1())?, hear(SignalKind::user_defined2())?],
        })
    }

    async fn next(&mut self) -> Ask {
        let ([term, int, quit], [usr1, usr2]) = (&mut self.stop, &mut self.ignored);
        loop {
            let ignored = tokio::select! {
                biased;
                _ = term.recv() => return Ask::Stop,
                _ = int.recv() => return Ask::Stop,
                _ = quit.recv() => return Ask::Stop,
                _ = self.reload.recv() => return Ask::Reload,
                _ = usr1.recv() => "SIGUSR1",
                _ = usr2.recv() => "SIGUSR2",
            };
            tracing::info!("{ignored} means nothing to tixing and is ignored");
        }
    }

    /// Waits for a stop. A reload can be ignored, since the configuration is being read anyway.
    async fn stop(&mut self) {
        while self.next().await != Ask::Stop {}
    }
}

/// Serves until SIGTERM, SIGINT or SIGQUIT, telling systemd how it goes. `set_volume` makes the log as loud as SIGHUP finds it configured.
///
/// # Errors
/// What is wrong and what to do.
pub async fn serve(
    config: Config,
    mut asks: Asks,
    clock: SharedClock,
    set_volume: &dyn Fn(Level),
) -> Result<(), StartError> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let apps = config.apps.len();
    let started = tokio::select! {
        biased;
        () = asks.stop() => None,
        daemon = Daemon::start_patiently(config, Arc::clone(&clock)) => Some(daemon?),
    };
    let Some(mut daemon) = started else {
        tracing::info!("stopped before it had started; nothing was sent");
        return Ok(());
    };
    trip("start.before_first_look");
    let ready = async {
        warn_of_unconfigured(&daemon).await;
        warn_of_hold(&daemon, clock.now()).await;
        daemon.ready().await;
    };
    let ready = tokio::select! {
        biased;
        () = asks.stop() => false,
        () = ready => true,
    };
    if ready {
        tell(&[NotifyState::Ready]);
        tracing::info!(address = %daemon.address, apps, version = env!("CARGO_PKG_VERSION"), "ready");
        keep(&mut daemon, &mut asks, &clock, set_volume).await?;
    }
    tracing::info!("stopping: nothing new is sent, what is under way is finished");
    tell(&[NotifyState::Stopping]);
    daemon.stop().await?;
    tracing::info!("stopped; nothing is in doubt because of it");
    Ok(())
}

/// Looks after a running daemon until somebody wants it to stop.
async fn keep(
    daemon: &mut Daemon,
    asks: &mut Asks,
    clock: &SharedClock,
    set_volume: &dyn Fn(Level),
) -> Result<(), StartError> {
    let watchdog = sd_notify::watchdog_enabled();
    let tick = watchdog.map_or(Duration::from_secs(5), |limit| limit / 3).min(Duration::from_secs(5));
    let mut ticks = tokio::time::interval(tick);
    let (mut looking, mut renewal) = (tokio::spawn(async {}), Renewal::default());
    loop {
        tokio::select! {
            ask = asks.next() => match ask {
                Ask::Stop => return Ok(()),
                Ask::Reload => daemon.reload(set_volume),
            },
            config = renewal.read() => daemon.take_secrets(&config.apps, "an app is paused"),
            _ = ticks.tick() => {
                if daemon.is_dead() {
                    return Err(say!("engine_failed").into());
                }
                // The engine's own loop alone feeds it: a database that is slow or gone is no reason to kill a daemon that waits for it.
                if watchdog.is_some() && clock.monotonic() - daemon.signals.heartbeat() < STUCK {
                    tell(&[NotifyState::Watchdog]);
                }
                if daemon.signals.status().lanes.values().any(|lane| lane.pause.is_some() || lane.token_failed) {
                    renewal.begin(&daemon.config.path, clock.now());
                }
                if looking.is_finished() {
                    looking = tokio::spawn(look(daemon.api.clone(), Arc::clone(&daemon.signals)));
                }
            }
        }
    }
}

/// Reads the API keys, which other processes may have changed in the store, and tells systemd how it goes.
async fn look(api: Api, signals: Arc<Signals>) {
    let looked = tokio::time::timeout(LOOK_LIMIT, async {
        api.refresh_keys().await;
        status_line(&api, &signals).await
    });
    let line = looked.await.unwrap_or_else(|_| "the store does not answer".into());
    tell(&[NotifyState::Status(&line)]);
}

impl Daemon {
    /// Takes over the settings that can change while the daemon runs: the log's level, and secrets. The log names the changes that only a
    /// restart takes over.
    fn reload(&mut self, set_volume: &dyn Fn(Level)) {
        tell(&[NotifyState::Reloading]);
        self.folder_bell.ring_for_all();
        match config::load(&self.config.path, self.clock.now()) {
            Err(problems) => {
                tracing::error!("SIGHUP: the configuration is wrong, and nothing is taken over: {problems}")
            }
            Ok(new) => {
                set_volume(new.server.log);
                tracing::info!(log = new.server.log.word(), "SIGHUP: the configuration is read again");
                self.take_secrets(&new.apps, "SIGHUP");
                if !new.is_like(&self.config) {
                    tracing::warn!(
                        "SIGHUP: the configuration has changed in more than the log's level and secrets; a restart takes that over"
                    );
                }
            }
        }
        tell(&[NotifyState::Ready]);
    }

    /// Takes over the secrets that are others by now, for apps that are the same otherwise to their platform.
    fn take_secrets(&mut self, new: &[App], because: &str) {
        let mut is_renewed = false;
        for app in &mut self.apps {
            let Some(new) = new.iter().find(|new| new.name == app.name && new.appid == app.appid) else { continue };
            let renewed = app.with_secrets_of(new);
            if !renewed.has_secrets_of(app) {
                tracing::info!(app = app.name, "{because}: a new secret is in force");
                self.signals.renew(renewed.clone());
                *app = renewed;
                is_renewed = true;
            }
        }
        if is_renewed {
            self.callbacks.renew(&self.apps);
        }
    }
}

/// Reminders of an app that is no longer configured are sent by nobody, and recurrences are not prepared; that must not pass in silence.
async fn warn_of_unconfigured(daemon: &Daemon) {
    for (app, waiting) in daemon.api.store().unconfigured().await.unwrap_or_default() {
        tracing::warn!(
            app,
            waiting,
            "the store has reminders of an app that is not configured: nobody sends them; configure it again, or cancel them"
        );
    }
    for row in daemon.api.store().schedules().await.unwrap_or_default() {
        if row.next_at.is_some() && !row.is_configured(&daemon.apps) {
            tracing::error!(
                schedule = row.name,
                app = row.app,
                template = row.template,
                "a recurring schedule whose app or template is not configured: its next occurrence can't be prepared; configure it again, or cancel the schedule"
            );
        }
    }
}

/// A store on hold sends nothing, and everybody who looks must see why.
async fn warn_of_hold(daemon: &Daemon, now: Millis) {
    let store = daemon.api.store();
    let Ok(Some(hold)) = store.hold().await else { return };
    tracing::warn!(since = rfc3339(hold.since), "ON HOLD, and NOTHING IS SENT: {}", hold.why());
    for overdue in store.overdue_on_hold(&hold, now).await.unwrap_or_default() {
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

async fn status_line(api: &Api, signals: &Signals) -> String {
    let status = signals.status();
    let waiting: i64 = match api.store().tally().await {
        Ok(tally) => tally.values().filter_map(|counts| counts.get("scheduled")).sum(),
        Err(_) => return "the store does not answer".into(),
    };
    let next = status.lanes.values().filter_map(|lane| lane.next_due).min();
    let paused =
        status.lanes.iter().find_map(|(app, lane)| lane.pause.as_ref().map(|p| format!("; {app} paused: {}", p.code)));
    let held = status.clock_distrusted.map(|_| "; NOTHING IS SENT: the clock is distrusted".to_owned());
    let next = next.map_or_else(|| "nothing within seconds".to_owned(), |at| format!("next at {}", rfc3339(at)));
    format!("{waiting} waiting, {next}{}{}", paused.unwrap_or_default(), held.unwrap_or_default())
}
