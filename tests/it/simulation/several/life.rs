//! One seed, one life of three machines: their daemons start, stand still, are cut off, die and come back, while users tap and backends insert.

mod directed;

use super::{
    books::Books,
    daemon::{Daemon, Machine},
    line,
    promotion::Deed,
    sabotage::Sabotage,
    verdict,
    way::{self, Left},
};
use crate::{
    harness::{self, model::Model},
    simulation::{platform, time::Time},
};
use rand::{
    RngExt, SeedableRng,
    rngs::StdRng,
    seq::{IndexedMutRandom, IndexedRandom},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use tixing::{
    config::App,
    domain::{
        MINUTE, Millis, SECOND,
        node::NodeId,
        reminder::{Accepted, Claim, NewReminder, ReminderId, State},
        template::OnDoubt,
    },
    engine::Status,
    metrics::Metrics,
    sandbox::{AppSpec, Check, Faults, Sandbox},
    store::{Inserted, Ring, change::Changed},
};

/// Daemons.
const MACHINES: usize = 3;
/// The place of the app that may be divided.
const TEA: usize = 1;
/// A lane is served again within this, if the database answers and somebody is well.
pub const TAKEOVER: Millis = 15 * SECOND;
/// A lane whose owner leaves in good order has another within this.
const HAND_OVER: Millis = 2 * SECOND;
/// After so long without trouble nothing that is due waits, but for its rate.
const CLEAR: Millis = 40 * SECOND;
/// So long something waits then at most: what another node has changed is read within ten seconds.
const WAITS: Millis = 15 * SECOND;
/// And nothing is being sent for so long.
const STUCK: Millis = 130 * SECOND;
/// The term of the messages of a crowd.
const CROWD: Millis = 4 * MINUTE;

/// How a run is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    pub seed: u64,
    pub sabotage: Option<Sabotage>,
    /// The fault whose circumstances are brought about, whether or not it is there.
    pub weather: Option<Sabotage>,
}

/// What was promised to whom.
#[derive(Debug, Clone)]
pub struct Promise {
    /// The place of its app.
    pub app: usize,
    pub id: ReminderId,
    pub mark: String,
    pub new: NewReminder,
    pub cancelled: bool,
}

/// A life that was judged good, by what happened in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lived {
    pub sent: usize,
    pub kills: usize,
    pub freezes: usize,
    pub pauses: usize,
    pub cuts: usize,
    pub stops: usize,
    pub outages: usize,
    pub holds: usize,
    pub takeovers: usize,
    pub moves: usize,
    pub divided: usize,
    pub beyond: usize,
    pub lost_lanes: usize,
    pub fenced: usize,
    pub testimonies: usize,
    pub thawed_bytes: usize,
    pub doubts: usize,
    pub promotions: usize,
    pub again: usize,
    pub ended_holds: usize,
}

pub struct Life {
    /// As they are configured now: a daemon keeps to what was so when it started.
    pub apps: Vec<App>,
    /// The numbers of shards that the rate allows.
    divisions: Vec<u32>,
    pub on_doubt: OnDoubt,
    pub time: Arc<Time>,
    pub sandbox: Sandbox,
    pub books: Arc<Mutex<Books>>,
    pub promises: Vec<Promise>,
    pub left: Arc<Mutex<Vec<Left>>>,
    /// What users granted: (app, user) → how many.
    pub granted: BTreeMap<(usize, String), usize>,
    pub metrics: Arc<Metrics>,
    pub rng: StdRng,
    pub lived: Lived,
    pub terms: Terms,
    machines: Vec<Machine>,
    away: Arc<std::sync::atomic::AtomicBool>,
    /// When anything last changed that may keep a lane from being served, and anything at all that may keep a message from leaving.
    troubled_at: Millis,
    away_at: Millis,
    /// Since when each lane has had no owner who works at it.
    unserved_since: BTreeMap<usize, Millis>,
    /// When something of each lane last moved, and how it stood then. Lanes come while it lives.
    moved: BTreeMap<usize, (Millis, usize, usize)>,
}

impl Life {
    pub fn live(terms: Terms) -> Result<Lived, String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let mut life = Self::begin(terms);
            life.turbulent().await;
            life.calm().await?;
            verdict::judge(&mut life)?;
            Ok(life.lived)
        })
    }

    fn begin(terms: Terms) -> Self {
        let mut rng = StdRng::seed_from_u64(terms.seed);
        let time = Time::begin();
        let sandbox = Sandbox::new(time.of_world(), rng.random());
        let mut app = platform::app(&mut rng, Some("wechat"));
        app.concurrency = rng.random_range(1..=6);
        app.rate = *[2, 20, 500].choose(&mut rng).expect("some");
        app.rules.exclusive = rng.random();
        app.rules.receipt_wait = None;
        let lets_all_through = !app.rules.exclusive && rng.random_ratio(3, 4);
        let on_doubt = *[OnDoubt::AssumeSent, OnDoubt::Resend, OnDoubt::Ask].choose(&mut rng).expect("some");
        app.templates.iter_mut().for_each(|template| template.on_doubt = on_doubt);
        let mut tea = app.clone();
        (tea.name, tea.appid) = ("tea".into(), "wxfedcba9876543210".into());
        // No lane is without a part of the rate and of what may be under way at once.
        let divisible = |shards: &u32| *shards <= tea.rate.min(tea.concurrency);
        let divisions: Vec<u32> = [1, 2, 2, 4].into_iter().filter(divisible).collect();
        tea.shards = *divisions.choose(&mut rng).expect("some");
        let apps = vec![app, tea];
        let model = |app: &App| {
            let templates = app.templates.iter().map(|t| (t.code.clone(), t.allowance())).collect();
            (app.name.clone(), Model::of(templates, app.consents))
        };
        for app in &apps {
            let mut spec = AppSpec::of(app);
            if lets_all_through {
                // Then nobody but our own ledger keeps a message from arriving twice.
                spec.order.retain(|check| *check != Check::Consent);
            }
            sandbox.world().add_app(spec);
        }
        let waited_for = rng.random_ratio(1, 4);
        let mut books = Books::new(apps.iter().map(model).collect(), MACHINES, terms.sabotage);
        books.servers.waited_for = waited_for;
        books.servers.pooled = rng.random_ratio(1, 4);
        let away = Arc::default();
        let machine = |number| Machine::new(number, &time, &away, &mut rng);
        let machines = (0..MACHINES).map(machine).collect();
        Self {
            unserved_since: BTreeMap::new(),
            moved: BTreeMap::new(),
            apps,
            divisions,
            on_doubt,
            sandbox,
            books: Arc::new(Mutex::new(books)),
            promises: Vec::new(),
            left: Arc::default(),
            granted: BTreeMap::new(),
            metrics: Arc::default(),
            rng,
            lived: Lived::default(),
            terms,
            machines,
            away,
            troubled_at: time.world(),
            away_at: Millis::MIN / 2,
            time,
        }
    }

    pub fn what(&self) -> &'static str {
        self.apps[0].platform.sample.event[0]
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::SeqCst)
    }

    /// Something happens to a machine, or to what lies around it.
    fn trouble(&mut self, machine: usize) {
        self.troubled_at = self.time.world();
        let well = self.machines[machine].is_well();
        self.books.lock().expect("whole").machines[machine].1 = if well { self.time.world() } else { Millis::MAX };
    }

    fn start(&mut self, k: usize) {
        if self.machines[k].daemon.is_some() || self.is_away() {
            return;
        }
        if self.machines[k].paused {
            // It starts anew.
            self.machines[k].go_on(self.time.world());
            self.machines[k].clocks.set(0);
        }
        if self.rng.random_ratio(1, 4) {
            self.divides_otherwise();
        }
        let seed = self.rng.random();
        let (apps, router, what) = (self.apps.clone(), self.sandbox.router(), self.what());
        let shared = (&self.books, &self.time, &self.left, &self.metrics);
        let daemon = Daemon::start(&self.machines[k], shared, &apps, (router, what), seed, self.terms.sabotage);
        self.machines[k].daemon = Some(daemon);
        self.trouble(k);
    }

    /// An operator changes the configuration.
    fn divides_otherwise(&mut self) {
        self.apps[TEA].shards = *self.divisions.choose(&mut self.rng).expect("some");
    }

    /// SIGKILL, or the machine vanishes.
    async fn kill(&mut self, k: usize) {
        let Some(daemon) = self.machines[k].daemon.take() else { return };
        daemon.kill().await;
        self.lived.kills += 1;
        self.trouble(k);
    }

    /// SIGTERM.
    async fn stop(&mut self, k: usize) {
        if self.machines[k].daemon.as_ref().is_none_or(|daemon| daemon.line.ice.is_frozen()) {
            return;
        }
        let quiet = self.time.world() - self.troubled_at > CLEAR && !self.is_away();
        let all_well = quiet && self.machines.iter().all(|machine| machine.daemon.is_some() && machine.is_well());
        let daemon = self.machines[k].daemon.take().expect("just seen");
        let me = daemon.line.me();
        let begun = self.time.world();
        self.lived.stops += 1;
        daemon.leave();
        tokio::time::sleep(Duration::from_millis(HAND_OVER as u64)).await;
        if all_well {
            let books = self.books.lock().expect("whole");
            let kept = books.lanes.iter().find(|lane| lane.owner == Some(me) && books.works(me));
            assert!(kept.is_none(), "{me:?} leaves, and after two seconds a lane is still its own");
        }
        let ended = daemon.end(Duration::from_secs(if self.is_away() { 30 } else { 200 })).await;
        assert!(ended || !all_well, "an orderly stop does not end");
        let took = self.time.world() - begun;
        let books = self.books.lock().expect("whole");
        let left = books.apps.iter().flat_map(|(_, model)| model.sending()).find(|(_, by)| *by == Some(me));
        assert!(left.is_none() || !all_well, "an orderly stop of {me:?} that took {took} ms leaves {left:?} in doubt");
        drop(books);
        self.trouble(k);
    }

    async fn turbulent(&mut self) {
        (0..MACHINES).for_each(|k| self.start(k));
        for _ in 0..self.rng.random_range(10..40) {
            let pause = *[0, 40, 900, 4_000, 4_000].choose(&mut self.rng).expect("some");
            let pause = self.rng.random_range(0..=pause);
            self.pass(Duration::from_millis(pause)).await;
            match self.terms.weather.filter(|_| self.rng.random_ratio(1, 10)) {
                Some(fault) => self.directed(fault).await,
                None => self.something_happens().await,
            }
            for k in 0..MACHINES {
                if self.machines[k].daemon.is_none() && self.rng.random_ratio(1, 6) {
                    self.start(k);
                }
            }
        }
    }

    async fn something_happens(&mut self) {
        let k = self.somebody();
        let what = self.rng.random_range(0..100);
        if ((46..80).contains(&what) || what == 94) && self.rng.random_ratio(2, 3) {
            // In the midst of it.
            self.crowd();
            let soon = self.rng.random_range(0..3_000);
            self.pass(Duration::from_millis(soon)).await;
        }
        tracing::debug!(at = seconds(self.time.world()), what, k, "something happens");
        match what {
            0..38 => self.insert(),
            38..42 => self.crowd(),
            42..46 => self.cancel(),
            46..52 => self.kill(k).await,
            52..55 => self.stop(k).await,
            55..61 => self.freezes(k),
            61..64 => self.is_paused(k),
            64..68 => self.thaw(),
            68..70 => self.heals(k),
            70..77 => self.database_weather(k),
            77..80 => self.database_goes_or_comes(),
            80..85 => self.platform_weather(k),
            85..89 => self.platform_mood(),
            89..91 => self.bury(k),
            91..93 => self.clock_is_set(k),
            93 => self.hold(),
            94..96 => self.operator_moves(),
            96..98 => self.standby_takes_over(k).await,
            // A while in which nobody disturbs.
            _ => {
                let quiet = *[12, 25, 70].choose(&mut self.rng).expect("some");
                self.crowd();
                self.pass(Duration::from_secs(quiet)).await;
            }
        }
    }

    /// A machine; more often one that has a lane.
    fn somebody(&mut self) -> usize {
        let k = self.rng.random_range(0..MACHINES);
        let lane = self.some_lane();
        let owner = self.books.lock().expect("whole").lanes[lane].owner;
        let has = |machine: &Machine| machine.daemon.as_ref().is_some_and(|daemon| Some(daemon.line.me()) == owner);
        self.machines.iter().position(has).filter(|_| self.rng.random()).unwrap_or(k)
    }

    /// The place of a lane.
    fn some_lane(&mut self) -> usize {
        let lanes = self.books.lock().expect("whole").lanes.len();
        self.rng.random_range(0..lanes)
    }

    /// SIGSTOP: nothing of it runs, and its clocks go on.
    fn freezes(&mut self, k: usize) {
        if let Some(daemon) = &self.machines[k].daemon {
            daemon.line.ice.freeze();
            self.lived.freezes += 1;
            self.trouble(k);
        }
    }

    /// A virtual machine is paused: its clocks stand still, too.
    fn is_paused(&mut self, k: usize) {
        let machine = &mut self.machines[k];
        if let Some(daemon) = machine.daemon.as_ref().filter(|daemon| !daemon.line.ice.is_frozen()) {
            daemon.line.ice.freeze();
            machine.clocks.stop();
            machine.paused = true;
            self.lived.pauses += 1;
            self.trouble(k);
        }
    }

    /// Whoever stands still goes on.
    fn thaw(&mut self) {
        for k in 0..MACHINES {
            let machine = &mut self.machines[k];
            if machine.paused {
                machine.go_on(self.time.world());
                if self.rng.random() {
                    let ahead = self.rng.random_range(-1_000..1_000);
                    machine.clocks.set(ahead);
                }
            }
            if let Some(daemon) = machine.daemon.as_ref().filter(|daemon| daemon.line.ice.is_frozen()) {
                daemon.line.ice.thaw();
                self.trouble(k);
            }
        }
    }

    fn heals(&mut self, k: usize) {
        let slow_ms = *[2, 45].choose(&mut self.rng).expect("some");
        *self.machines[k].sky.weather.lock().expect("whole") = line::Weather::good(slow_ms);
        self.trouble(k);
    }

    fn database_weather(&mut self, k: usize) {
        let weather = line::Weather {
            slow_ms: *[0, 5, 50, 400, 1_500].choose(&mut self.rng).expect("some"),
            fails: *[0.0, 0.0, 0.3].choose(&mut self.rng).expect("some"),
            hangs: *[0.0, 0.0, 0.2].choose(&mut self.rng).expect("some"),
            cut: self.rng.random_ratio(1, 3),
        };
        let weather = if self.rng.random_ratio(1, 2) { line::Weather::good(45) } else { weather };
        self.lived.cuts += usize::from(weather.cut);
        *self.machines[k].sky.weather.lock().expect("whole") = weather;
        self.trouble(k);
    }

    /// The database is away, for all: not twice in a row, for then somebody may never be lucky.
    fn database_goes_or_comes(&mut self) {
        let now = self.time.world();
        if self.is_away() {
            self.away.store(false, Ordering::SeqCst);
            self.troubled_at = now;
        } else if now - self.away_at > 90 * SECOND {
            self.away.store(true, Ordering::SeqCst);
            (self.away_at, self.troubled_at) = (now, now);
            self.lived.outages += 1;
        }
    }

    fn platform_weather(&mut self, k: usize) {
        let weather = way::Weather {
            connect_ms: *[5, 300, 3_000].choose(&mut self.rng).expect("some"),
            slow_ms: *[5, 200, 3_000].choose(&mut self.rng).expect("some"),
            down: self.rng.random_ratio(1, 5),
            held_up: self.rng.random_ratio(1, 4),
        };
        *self.machines[k].weather.lock().expect("whole") = weather;
        self.troubled_at = self.time.world();
    }

    fn platform_mood(&mut self) {
        let latency_ms = *[20, 300, 2_000].choose(&mut self.rng).expect("some");
        let mut faults = Faults { latency_ms, ..Faults::default() };
        let rate = *[0.1, 0.5, 1.0].choose(&mut self.rng).expect("some");
        match self.rng.random_range(0..8) {
            0 => faults.busy_rate = rate,
            1 => faults.reset_before_rate = rate,
            2 => faults.reset_after_rate = rate,
            3 => faults.garbage_rate = rate,
            4 => faults.silent_rate = rate,
            5 => faults.token_revoked = true,
            _ => {}
        }
        self.sandbox.world().faults = faults;
        self.troubled_at = self.time.world();
    }

    /// An operator knows that a machine is no more.
    fn bury(&mut self, k: usize) {
        if self.machines[k].daemon.is_none() {
            self.books.lock().expect("whole").buried(k);
        }
    }

    fn clock_is_set(&mut self, k: usize) {
        let ahead = self.rng.random_range(-2_000..2_000);
        if !self.machines[k].paused {
            self.machines[k].clocks.set(ahead);
        }
    }

    fn hold(&mut self) {
        let held = self.books.lock().expect("whole").held;
        let (now, looks) = (self.time.world(), self.rng.random());
        self.books.lock().expect("whole").operator_holds(!held, looks, now);
        self.lived.holds += usize::from(!held);
        self.troubled_at = self.time.world();
    }

    /// The standby takes over; mostly it has received nothing for a while, in which much is written. Some machine may fail with the primary.
    async fn standby_takes_over(&mut self, k: usize) {
        if self.is_away() {
            return;
        }
        self.crowd();
        if self.rng.random_ratio(3, 4) {
            let soon = self.rng.random_range(0..1_500);
            self.pass(Duration::from_millis(soon)).await;
            self.books.lock().expect("whole").leave_standby_behind();
        }
        for _ in 0..self.rng.random_range(0..5) {
            match self.rng.random_range(0..8) {
                0 | 1 => self.cancel(),
                2 => {
                    // The standby knows nothing of its lanes, nor of the node.
                    self.divides_otherwise();
                    let other = self.rng.random_range(0..MACHINES);
                    self.kill(other).await;
                    self.start(other);
                }
                _ => self.insert(),
            }
            let soon = self.rng.random_range(0..2_500);
            self.pass(Duration::from_millis(soon)).await;
        }
        if self.rng.random_ratio(1, 4) {
            self.kill(k).await;
        }
        self.books.lock().expect("whole").promote(self.time.world());
        (0..MACHINES).for_each(|k| self.trouble(k));
    }

    /// An operator has a lane moved from a node that works to another.
    fn operator_moves(&mut self) {
        let lane = self.some_lane();
        let Some(to) = self.some_daemon().and_then(|k| self.machines[k].daemon.as_ref()).map(|daemon| daemon.line.me())
        else {
            return;
        };
        let mut books = self.books.lock().expect("whole");
        let Some(seen) = books.look(0).view.lanes.into_iter().find(|seen| Books::place(seen.lane) == lane) else {
            return;
        };
        if seen.node.is_some_and(|node| node != to && books.works(node)) && books.works(to) {
            books.give(&seen, to, self.time.world());
            self.troubled_at = self.time.world();
        }
    }

    fn some_daemon(&mut self) -> Option<usize> {
        // Nothing is written for a node that the database has forgotten.
        let books = self.books.lock().expect("whole");
        let writes = |daemon: &Daemon| books.node(daemon.line.me()).is_some();
        let writing = |k: &usize| self.machines[*k].daemon.as_ref().is_some_and(writes);
        let alive: Vec<usize> = (0..MACHINES).filter(writing).collect();
        drop(books);
        alive.choose(&mut self.rng).copied().filter(|_| !self.is_away())
    }

    fn ring(&self, by: usize, ring: Ring) {
        if let Some(daemon) = &self.machines[by].daemon {
            daemon.line.ring(ring);
        }
        // Who listens is woken.
        self.machines.iter().filter_map(|machine| machine.daemon.as_ref()).for_each(|daemon| daemon.wake.notify_one());
    }

    fn insert(&mut self) {
        let now = self.time.world();
        for _ in 0..self.rng.random_range(1..4) {
            let (app, user) = (self.rng.random_range(0..self.apps.len()), self.rng.random_range(0..5));
            let at = now + self.rng.random_range(-2_000..30_000);
            let until = now.max(at) + *[900, 20_000, 5 * MINUTE].choose(&mut self.rng).expect("some");
            self.insert_for(app, user, at, until);
        }
    }

    /// More at one instant than are sent at once.
    fn crowd(&mut self) {
        let in_ms = *[0, 1_000, 9_000].choose(&mut self.rng).expect("some");
        let (at, app) = (self.time.world() + in_ms, self.rng.random_range(0..self.apps.len()));
        for user in 0..self.rng.random_range(5..25) {
            self.insert_for(app, 100 + user, at, at + CROWD);
        }
    }

    fn insert_for(&mut self, place: usize, user: u32, at: Millis, expires_at: Millis) {
        let Some(by) = self.some_daemon() else { return };
        let (app, now) = (self.apps[place].clone(), self.time.world());
        let openid = (app.platform.sample.openid)(user);
        let event = app.templates[0].code.clone();
        // The platform would know of the new consent before us, and spend it on a second message.
        let unclear = |model: &Model| {
            let unclear = |state| matches!(state, State::Sending | State::InDoubt);
            model.everything().iter().any(|seen| seen.openid == openid && unclear(seen.state))
        };
        if app.rules.exclusive && unclear(&self.books.lock().expect("whole").apps[place].1) {
            return;
        }
        self.sandbox.world().popup(&app.appid, &openid, &[(event.clone(), true)].into(), now);
        *self.granted.entry((place, openid.clone())).or_default() += 1;
        let mark = format!("m{}", self.promises.len());
        let new = NewReminder {
            app: app.name.clone(),
            claim: if self.rng.random_ratio(1, 3) { Claim::AtFire } else { Claim::Reserve },
            accepted: Some(Accepted { at: now, source: "sim".into(), event: Some(mark.clone()), ticket: None }),
            expires_at,
            data: platform::data(&app, &mark, 0),
            template: event,
            page: Some(platform::page(&app).to_owned()),
            ..harness::reminder(&openid, at)
        };
        let line = Arc::clone(&self.machines[by].daemon.as_ref().expect("it was there").line);
        let lane = line.lane_of_user(place, &openid);
        let id = line.write_now(|books| {
            let answer = books.model(lane).insert(new.clone());
            let Inserted::Created(id) = answer else { panic!("it brings its consent: {answer:?}") };
            tracing::trace!(id = id.0, app = place, lane, machine = by, mark, "inserted");
            books.by_mark.insert(mark.clone(), (place, id));
            books.servers.inserted.insert((place, id));
            (id, vec![Deed::Insert(lane, id, Box::new(new.clone()))])
        });
        self.promises.push(Promise { app: place, id, mark, new, cancelled: false });
        self.ring(by, Ring { from: at, until: at });
    }

    fn cancel(&mut self) {
        let now = self.time.world();
        let Some(by) = self.some_daemon() else { return };
        let Some(promise) = self.promises.choose_mut(&mut self.rng) else { return };
        let (app, id) = (promise.app, promise.id);
        let line = Arc::clone(&self.machines[by].daemon.as_ref().expect("it was there").line);
        promise.cancelled |= line.write_now(|books| {
            let may_have_been_sent = books.is_held_by_standby();
            let model = &mut books.apps[app].1;
            model.me = None;
            // What is due may have been sent before a standby took over: the API refuses that.
            let refused = may_have_been_sent && model.waiting(now).iter().any(|(_, waits)| *waits == id);
            let is_cancelled = !refused && model.cancel(id, now) == Changed::Yes;
            if is_cancelled && model.find(id) == Some(State::Cancelled) {
                books.servers.cancelled.insert((app, id));
            }
            (is_cancelled, if is_cancelled { vec![Deed::Cancelled(app, id)] } else { Vec::new() })
        });
    }

    /// Time passes, and whatever is due moves.
    async fn pass(&mut self, mut total: Duration) {
        while !total.is_zero() {
            let slice = total.min(Duration::from_millis(500));
            tokio::time::sleep(slice).await;
            total -= slice;
            self.look();
        }
    }

    /// What must hold at every moment.
    fn look(&mut self) {
        let world = self.time.world();
        self.look_what_moves(world);
        if let Some(wrong) = self.books.lock().expect("whole").wrong.first() {
            panic!("{wrong}; at {}", seconds(world));
        }
        if self.terms.sabotage != Some(Sabotage::RateOfEach) {
            self.look_for_owners(world);
        }
        if world - self.troubled_at > CLEAR && !self.is_away() {
            self.look_for_silence(world);
        }
    }

    fn look_what_moves(&mut self, world: Millis) {
        let books = self.books.lock().expect("whole");
        for i in 0..books.lanes.len() {
            let marks = books.marks.iter().filter(|mark| mark.lane == i).count();
            let stands = (marks, books.waiting(i, world).len());
            let moved = self.moved.entry(i).or_default();
            if (moved.1, moved.2) != stands {
                *moved = (world, stands.0, stands.1);
            }
        }
    }

    /// A lane is served again fifteen seconds after the last trouble, if anybody is well. A beat that hung, and that the database writes long after its
    /// node stands still, is the last word of that node.
    fn look_for_owners(&mut self, world: Millis) {
        let well = !self.is_away() && self.machines.iter().any(|machine| machine.daemon.is_some() && machine.is_well());
        let lanes = self.books.lock().expect("whole").lanes.len();
        for i in 0..lanes {
            let books = self.books.lock().expect("whole");
            let (app, owner, lost) = (books.lanes[i].app, books.lanes[i].owner, books.lanes[i].lost);
            let heard_at = owner.and_then(|owner| books.node(owner)).map_or(0, |owner| owner.beat_at);
            drop(books);
            let served = !well || lost || owner.is_some_and(|owner| self.serves(owner));
            if served {
                self.unserved_since.remove(&i);
                continue;
            }
            let since = (*self.unserved_since.entry(i).or_insert(world)).max(self.troubled_at).max(heard_at);
            assert!(
                world - since <= TAKEOVER,
                "nobody serves {} since {}; it is {}, and {owner:?} has it",
                self.apps[app].name,
                seconds(since),
                seconds(world)
            );
        }
    }

    fn serves(&self, owner: NodeId) -> bool {
        self.machines
            .iter()
            .any(|machine| machine.daemon.as_ref().is_some_and(|daemon| daemon.line.me() == owner) && machine.is_up())
    }

    /// Nothing that is due waits for ever, and nothing is being sent for ever, once all is well.
    fn look_for_silence(&mut self, world: Millis) {
        let all_well = self.machines.iter().all(|machine| machine.is_well() && machine.way_is_good());
        let books = self.books.lock().expect("whole");
        let plain = Faults { latency_ms: self.sandbox.world().faults.latency_ms, ..Faults::default() };
        if !all_well || books.held || self.sandbox.world().faults != plain {
            return;
        }
        let well_since = seconds(self.troubled_at);
        for (i, lane) in books.lanes.iter().enumerate() {
            let (app, model) = &books.apps[lane.app];
            let marked = |id| books.marked_at.get(&(lane.app, id)).copied().unwrap_or(world);
            let stuck = |id| world - marked(id) > STUCK && world - self.moved[&i].0 > WAITS;
            let here = |id| model.lane_of(id) == i as i64 + 1;
            let stuck = model.sending().into_iter().find(|(id, _)| here(*id) && stuck(*id));
            let daemons = || self.machines.iter().filter_map(|machine| machine.daemon.as_ref());
            let owner = daemons().find(|daemon| Some(daemon.line.me()) == lane.owner);
            let status = owner.map(|daemon| daemon.signals.status());
            // A lane that is paused, or has no token, does not look behind the first that it may not send: what another has left there is found when
            // it goes on.
            let said = |status: &Status| status.shards.get(&(i as i64 + 1)).or(status.lanes.get(app)).cloned();
            let waits = status.as_ref().and_then(said).is_some_and(|at| at.pause.is_some() || at.token_failed);
            assert!(
                stuck.is_none() || waits,
                "all is well since {well_since}, and {stuck:?} is being sent for too long"
            );
            let Some(status) = status else { continue };
            let sends = status.trusted && status.clock_trusted;
            let at = said(&status).filter(|at| sends && at.pause.is_none() && !at.elsewhere);
            let Some(at) = at.filter(|_| world - self.moved[&i].0 > WAITS) else { continue };
            let seen = model.everything();
            let scheduled = |id| seen.iter().any(|seen| seen.id == id && seen.state == State::Scheduled);
            let waits = books.waiting(i, world - WAITS).into_iter().find(|(_, id)| scheduled(*id));
            assert!(
                waits.is_none(),
                "all is well since {well_since}, and {waits:?} waits for {:?}; {at:?}",
                lane.owner
            );
        }
    }

    /// All faults stop; what is due must end.
    async fn calm(&mut self) -> Result<(), String> {
        self.away.store(false, Ordering::SeqCst);
        self.sandbox.world().faults = Faults::default();
        if self.books.lock().expect("whole").held {
            self.hold();
        }
        self.thaw();
        for k in 0..MACHINES {
            *self.machines[k].sky.weather.lock().expect("whole") = line::Weather::default();
            *self.machines[k].weather.lock().expect("whole") =
                way::Weather { connect_ms: 5, slow_ms: 20, ..way::Weather::default() };
            if self.rng.random_ratio(9, 10) {
                self.start(k);
            }
            self.machines[k].clocks.set(0);
            self.trouble(k);
        }
        if self.machines.iter().all(|machine| machine.daemon.is_none()) {
            self.start(0);
        }
        let mut living = Vec::new();
        for turn in 0..720 {
            match turn < 20 {
                true => self.pass(Duration::from_secs(10)).await,
                false => {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    self.look();
                }
            }
            if turn == 0 {
                // Who has written nothing since a standby took over finds only now what that lacks.
                let daemons = self.machines.iter().filter_map(|machine| machine.daemon.as_ref());
                daemons.for_each(|daemon| daemon.line.write_now(|_| ((), Vec::new())));
            }
            if turn == 6 {
                // Then nobody is away any more, of whom it could not be known whether they come back.
                (0..MACHINES).for_each(|k| self.start(k));
            }
            if turn % 6 == 5 && self.books.lock().expect("whole").held {
                // A standby lacks what nobody can write again.
                self.hold();
            }
            if turn % 3 == 0 {
                self.machines
                    .iter()
                    .filter_map(|machine| machine.daemon.as_ref())
                    .for_each(|daemon| daemon.signals.sweep());
            }
            let books = self.books.lock().expect("whole");
            let all = books.apps.iter().flat_map(|(_, model)| model.everything());
            living = all.filter(|seen| !seen.state.is_final()).collect();
            if living.is_empty() {
                break;
            }
        }
        if let Some(left) = living.first() {
            let status = self.machines.iter().filter_map(|m| m.daemon.as_ref()).map(|daemon| daemon.signals.status());
            let status: Vec<_> = status.collect();
            return Err(format!("two hours after the last fault not all has ended: {left:?}; {status:?}"));
        }
        for k in 0..MACHINES {
            self.stop(k).await;
        }
        Ok(())
    }
}

/// The instant as seconds after the start.
pub fn seconds(at: Millis) -> String {
    let ms = at - harness::START;
    format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000))
}
