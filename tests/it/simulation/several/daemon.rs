//! A machine, and the daemon that runs on it: the real engine and the real member, which can stand still together.

use super::{
    books::Books,
    clocks::{Clocks, Stands},
    line::{self, Line, Rereads, Sky},
    sabotage::Sabotage,
    way::{self, Left, Way},
};
use crate::simulation::time::Time;
use axum::Router;
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use tixing::{
    cluster::Member,
    config::{App, Replication},
    domain::Millis,
    engine::{Engine, Signals, duties::Duties},
    metrics::Metrics,
    store::nodes::NewNode,
};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A machine, whether or not a daemon runs on it.
pub struct Machine {
    pub number: usize,
    pub clocks: Arc<Clocks>,
    pub sky: Arc<Sky>,
    /// Of its way to the platform.
    pub weather: Arc<Mutex<way::Weather>>,
    pub daemon: Option<Daemon>,
    /// Its clocks stand still.
    pub paused: bool,
    /// When they last went on, by the world's clock.
    went_on: Arc<AtomicI64>,
}

impl Machine {
    pub fn new(number: usize, time: &Arc<Time>, away: &Arc<AtomicBool>, rng: &mut StdRng) -> Self {
        let (too_fast, ahead) = (rng.random_range(-10_000..=10_000), rng.random_range(-1_500..=1_500));
        let slow_ms = *[2, 45].choose(rng).expect("some");
        let connect_ms = *[20, 1_500].choose(rng).expect("some");
        Self {
            number,
            clocks: Clocks::new(Arc::clone(time), too_fast, ahead),
            sky: Arc::new(Sky { away: Arc::clone(away), weather: Mutex::new(line::Weather::good(slow_ms)) }),
            weather: Arc::new(Mutex::new(way::Weather { connect_ms, slow_ms: 50, ..way::Weather::default() })),
            daemon: None,
            paused: false,
            went_on: Arc::new(Millis::MIN.into()),
        }
    }

    /// It runs, and its line is good.
    pub fn is_well(&self) -> bool {
        self.is_up() && self.sky.weather().is_good()
    }

    /// It runs, and is not cut off.
    pub fn is_up(&self) -> bool {
        self.daemon.as_ref().is_some_and(|daemon| !daemon.line.ice.is_frozen()) && !self.sky.weather().cut
    }

    /// Its way to the platform is good.
    pub fn way_is_good(&self) -> bool {
        let weather = *self.weather.lock().expect("whole");
        weather.slow_ms <= 200 && weather.connect_ms <= 300 && !weather.down && !weather.held_up
    }

    /// Its clocks go on.
    pub fn go_on(&mut self, world: Millis) {
        self.clocks.go_on();
        self.went_on.store(world, Ordering::SeqCst);
        self.paused = false;
    }
}

/// One start of a daemon.
pub struct Daemon {
    pub signals: Arc<Signals>,
    pub line: Arc<Line>,
    /// What others tell it by.
    pub wake: Arc<Notify>,
    engine: JoinHandle<()>,
    member: JoinHandle<()>,
    stop: CancellationToken,
    ended: CancellationToken,
}

type Shared<'a> = (&'a Arc<Mutex<Books>>, &'a Arc<Time>, &'a Arc<Mutex<Vec<Left>>>, &'a Arc<Metrics>);

impl Daemon {
    /// Starts on a machine: what ran there before has ended, and its lock proves it.
    pub fn start(
        machine: &Machine,
        (books, time, left, metrics): Shared<'_>,
        apps: &[App],
        (router, what): (Router, &'static str),
        seed: u64,
        sabotage: Option<Sabotage>,
    ) -> Self {
        let divided = apps.iter().filter(|app| app.shards > 1);
        let new = NewNode {
            name: format!("n{}", machine.number),
            machine: machine.number.to_string(),
            boot: String::new(),
            lock: String::new(),
            secret: String::new(),
            apps: apps.iter().map(|app| (app.name.clone(), String::new())).collect(),
            shards: divided.map(|app| (app.name.clone(), app.shards)).collect(),
            replication: Replication::default(),
        };
        let me = books.lock().expect("whole").starts(machine.number, &new, time.world());
        let signals: Arc<Signals> = Arc::default();
        let templates = apps[0].templates.iter().map(|template| template.code.clone()).collect();
        let (clocks, sky) = (Arc::clone(&machine.clocks), Arc::clone(&machine.sky));
        let line = Line::new(
            Arc::clone(books),
            Arc::clone(time),
            clocks,
            Arc::clone(&signals),
            machine.number,
            sky,
            me,
            (templates, apps.iter().map(|app| app.shards).collect()),
            seed,
            sabotage,
        );
        let (weather, left, went_on) = (Arc::clone(&machine.weather), Arc::clone(left), Arc::clone(&machine.went_on));
        let way = Way::new(Arc::clone(&line), router, what, weather, left, went_on, !seed, sabotage);
        let clock = || Arc::clone(&machine.clocks) as tixing::clock::SharedClock;
        let engine = Engine::new(line.clone(), Arc::new(way), clock(), Arc::clone(metrics), apps, seed);
        let engine = engine.told_by(Arc::clone(&signals)).among_several();
        signals.hold(books.lock().expect("whole").held);
        let refresh = Box::new(Rereads(Arc::clone(&line)));
        let (nodes, metrics) = (line.clone(), Arc::clone(metrics));
        let member =
            Member::new(nodes, (new, me), Arc::clone(&signals), clock(), metrics, (Duties::default(), refresh));
        let (wake, stop, ended) = (Arc::new(Notify::new()), CancellationToken::new(), CancellationToken::new());
        let engine = tokio::spawn(Stands::new(engine.run(stop.clone()), &line.ice));
        let member = tokio::spawn(Stands::new(member.run(Arc::clone(&wake), stop.clone(), ended.clone()), &line.ice));
        Self { signals, line, wake, engine, member, stop, ended }
    }

    /// It dies, and nothing of it runs any more.
    pub async fn kill(self) {
        self.member.abort();
        self.engine.abort();
        let _ = tokio::join!(self.member, self.engine);
    }

    /// It is told to end: nothing more is begun, and its lanes go to others.
    pub fn leave(&self) {
        self.stop.cancel();
    }

    /// Waits until it has ended, and for no longer than this; then it is killed. Answers whether it ended by itself.
    pub async fn end(mut self, longest: Duration) -> bool {
        let ended = tokio::time::timeout(longest, &mut self.engine).await.is_ok();
        self.ended.cancel();
        let told = tokio::time::timeout(Duration::from_secs(4), &mut self.member).await.is_ok();
        self.member.abort();
        self.engine.abort();
        ended && told
    }
}
