//! When, in what order, how many at once.
//!
//! The engine runs at its own pace. A step starts whatever can be started at this instant — reads, marks, sends, settlements —
//! as tasks; each finished task is absorbed, and the next step follows. [`Engine::run`] does this against the wall clock,
//! [`Engine::turn`] turns the crank once for tests. Decisions are [`crate::domain::decide`]'s and [`crate::domain::settle`]'s.

pub mod signals;
mod lane;
mod gates;
mod behind;
mod stream;
mod remarks;
mod rate;
mod spacing;
mod unlisted;
mod pace;
mod templates;
mod breaker;
mod sweep;
mod flight;
mod settlements;
mod ownership;
mod others;
mod done;
mod token;
mod errands;
mod questions;
mod clockwatch;
pub mod hold;
pub mod duties;
pub mod alarm;

pub use signals::{Owned, Signals, Status};
pub use stream::Reach;

use crate::{
    clock::SharedClock,
    config::App,
    domain::{Millis, SECOND, node::Share, outage::Outage, timing::rfc3339},
    metrics::{By, Metrics, begin},
    platform::transport::Transport,
    store::{
        StoreError,
        port::{Asked, Job, Queue, Ring},
    },
    words::say,
};
use clockwatch::ClockWatch;
use done::Done;
use lane::{BACKLOG_AFTER, Holding, Lane};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use settlements::Settlements;
use signals::SuspendedTemplate;
use std::{sync::Arc, time::Duration};
use stream::Read;
use templates::Templates;
use tokio::{runtime::Handle, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// The longest sleep between two looks: whatever else fails, the poll finds what is due.
const POLL: Millis = SECOND;
/// How often everything in reach is read again, in case a ring was lost.
const REREAD_EVERY: Millis = 10 * SECOND;
/// After a store that did not answer.
const STORE_RETRY: Millis = 500;
/// How long a question to the store may take; the store's own limit is shorter, and tells more.
const STORE_LIMIT: Duration = Duration::from_secs(20);

/// The engine.
pub struct Engine {
    store: Arc<dyn Queue>,
    transport: Arc<dyn Transport>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    signals: Arc<Signals>,
    lanes: Vec<Lane>,
    tasks: JoinSet<Done>,
    /// Where reads of the store run: their connections belong to the runtime that opened the store, which outlives the engine's.
    store_runtime: Handle,
    settlements: Settlements,
    /// Nothing is asked of a store that did not answer before this instant.
    store_retry_at: Millis,
    store_outage: Outage,
    clockwatch: ClockWatch,
    /// When the loop last went round, by the monotonic clock.
    seen_at: Millis,
    /// When everything in reach is read again.
    reread_at: Millis,
    rng: StdRng,
    /// Nothing new is begun any more.
    stopping: bool,
    /// The lanes that are this node's; nothing for who is alone.
    owned: Option<Owned>,
}

impl Engine {
    /// An engine for these apps. `seed` decides its jitter.
    pub fn new(
        store: Arc<dyn Queue>,
        transport: Arc<dyn Transport>,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        apps: &[App],
        seed: u64,
    ) -> Self {
        let now = clock.now();
        begin(&metrics.store_errors, StoreError::WORDS.map(|what| By { what }));
        let mut engine = Self {
            lanes: Vec::new(),
            clockwatch: ClockWatch::new(now, clock.monotonic()),
            seen_at: clock.monotonic(),
            store,
            transport,
            clock,
            metrics,
            signals: Arc::default(),
            tasks: JoinSet::new(),
            store_runtime: Handle::current(),
            settlements: Settlements::new(),
            store_retry_at: 0,
            store_outage: Outage::default(),
            reread_at: now + REREAD_EVERY,
            rng: StdRng::seed_from_u64(seed),
            stopping: false,
            owned: None,
        };
        for app in apps.iter().map(|app| Arc::new(app.clone())) {
            let lanes = engine.store.lanes(&app.name);
            let of = u32::try_from(lanes.len()).expect("few");
            for (part, id) in (0..).zip(lanes) {
                let mut lane = engine.lane(&app, id, now);
                lane.divided = of > 1;
                lane.has_share(Share { part, of });
                if let Some(listing) = engine.store.listing(&app.name) {
                    lane.knows(listing, now);
                }
                engine.lanes.push(lane);
            }
        }
        engine.told_by(Arc::default())
    }

    /// A lane of an app.
    fn lane(&self, app: &Arc<App>, id: i64, now: Millis) -> Lane {
        let (home, store) = (self.store.lane(&app.name), &self.store);
        let templates = Templates::new(Arc::clone(app), |t| store.template(home, &t.code));
        let way = way(&self.transport, app);
        Lane::new((id, home), Arc::clone(app), app.adapter().into(), way, templates, &self.metrics, now)
    }

    /// The same, told by these signals.
    #[must_use]
    pub fn told_by(mut self, signals: Arc<Signals>) -> Self {
        let (told, commit) = (Arc::clone(&signals), self.metrics.commit.clone());
        self.store.on_commit(Box::new(move |ring, took| {
            commit.observe(took.as_secs_f64());
            if let Some(ring) = ring {
                told.ring(ring);
            }
        }));
        self.signals = signals;
        self
    }

    /// The same for a daemon among several: no lane is its own before it is told so.
    #[must_use]
    pub fn among_several(mut self) -> Self {
        self.lanes.iter_mut().for_each(|lane| lane.hold = Holding::Elsewhere);
        self.signals.trust_until(Millis::MIN);
        self
    }

    /// The same with other bounds on the jobs in memory.
    #[must_use]
    pub fn with_reach(mut self, reach: Reach) -> Self {
        let now = self.clock.now();
        for lane in &mut self.lanes {
            lane.reach = reach;
            lane.resume(now);
        }
        self
    }

    /// The engine's signals.
    pub fn signals(&self) -> Arc<Signals> {
        Arc::clone(&self.signals)
    }

    /// Runs until `stop`; then takes nothing more, finishes what is under way, settles it, and returns.
    pub async fn run(mut self, stop: CancellationToken) {
        let signals = Arc::clone(&self.signals);
        loop {
            self.stopping |= stop.is_cancelled();
            // Arm before looking: a ring during the step is not lost.
            let woken = signals.woken.notified();
            self.step();
            if self.stopping && self.tasks.is_empty() && self.settlements.is_empty() {
                self.publish();
                return;
            }
            let sleep = self.sleeps();
            tokio::select! {
                // In this order, so that a simulation's seed decides and not a die of the runtime's.
                biased;
                () = stop.cancelled(), if !self.stopping => {}
                Some(done) = self.tasks.join_next() => {
                    self.absorb_joined(done);
                    while let Some(done) = self.tasks.try_join_next() {
                        self.absorb_joined(done);
                    }
                }
                () = woken => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// How long it sleeps now, unless something wakes it.
    pub fn sleeps(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.next_wake() - self.clock.now()).unwrap_or(0))
    }

    /// Turns the crank: does everything that can be done at this instant of the clock, and returns when nothing is under way.
    pub async fn turn(&mut self) {
        self.settlements.wait_for_nobody();
        loop {
            self.step();
            match self.tasks.join_next().await {
                Some(done) => self.absorb_joined(done),
                None if self.settlements.is_empty() || self.clock.now() < self.store_retry_at => return,
                None => {}
            }
        }
    }

    /// Gives up everything in memory, as a crash does. For tests.
    pub fn crash(mut self) {
        self.tasks.abort_all();
    }

    /// Starts whatever can be started now.
    fn step(&mut self) {
        let now = self.clock.now();
        self.look_at_clocks(now);
        let may_act = self.may_act();
        let told = self.signals.take();
        for app in told.read_templates {
            if let Some(lane) = self.lane_of(&app) {
                lane.errands.ask_templates(now);
            }
        }
        for app in told.renewed {
            let way = way(&self.transport, &app);
            for lane in self.lanes.iter_mut().filter(|lane| lane.app.name == app.name) {
                lane.renew(app.adapter().into(), Arc::clone(&way), now);
            }
        }
        if let Some(owned) = told.owned {
            self.own(owned, now);
        }
        let reread = now >= self.reread_at;
        if reread {
            self.reread_at = now + REREAD_EVERY;
        }
        let store_answers = now >= self.store_retry_at;
        let gates = self.store.gates();
        for i in 0..self.lanes.len() {
            let lane = &mut self.lanes[i];
            if let Some(ring) = told.ring {
                lane.ring(ring);
            }
            if reread {
                lane.ring(Ring::EVERYTHING);
            }
            lane.end_pause(now);
            lane.look_at_gates(Arc::clone(&gates), now);
            lane.wait_for_token(now);
            lane.rate.recover(now);
            if self.stopping || !store_answers || !lane.hold.may_begin() {
                continue;
            }
            if may_act {
                self.sweep(i, told.sweep, now);
                self.look_behind(i, now);
            }
            while let Some(read) = self.lanes[i].wants(now) {
                self.read(i, read);
            }
            self.keep_token(i, now);
            self.ask(i, now);
            if may_act && self.lanes[i].sorted {
                self.pick(i, now);
            }
        }
        if store_answers {
            self.write_settlements(now);
        }
        self.publish();
    }

    /// Looks at both clocks, and whether the machine has slept.
    fn look_at_clocks(&mut self, now: Millis) {
        let monotonic = self.clock.monotonic();
        self.signals.beat(monotonic);
        self.watch_clock(now, None);
        let slept = monotonic - self.seen_at;
        self.seen_at = monotonic;
        if slept > BACKLOG_AFTER {
            tracing::warn!(seconds = slept / SECOND, "slept: what came due meanwhile is caught up with");
            self.lanes.iter_mut().for_each(|lane| lane.resume(now));
        }
    }

    /// Looks at the clock, with what a platform said of the time if one has just answered.
    fn watch_clock(&mut self, now: Millis, answered: Option<Option<Millis>>) {
        let was = self.clockwatch.distrusted().is_some();
        let step = self.clockwatch.tick(now, self.clock.monotonic());
        if let Some(date) = answered {
            self.clockwatch.witness(date, now);
        }
        if step < -SECOND {
            self.set_back(-step);
        }
        match (was, self.clockwatch.distrusted()) {
            (false, Some(why)) => {
                tracing::error!(%why, "the clock is distrusted; NOTHING IS SENT until it is trusted again");
            }
            (true, None) => {
                tracing::warn!(now = rfc3339(now), "the clock is trusted again; overdue reminders follow");
                for lane in &mut self.lanes {
                    lane.resume(now);
                }
            }
            _ => {}
        }
        self.metrics.clock_distrusted.set(i64::from(self.clockwatch.distrusted().is_some()));
    }

    /// Whether reminders may be sent or ended: by this clock, and from this store.
    fn may_act(&self) -> bool {
        self.clockwatch.trusted() && !self.signals.is_on_hold() && self.signals.is_trusted(self.clock.monotonic())
    }

    /// Instants that were reckoned by a clock that has been set back since lie too far ahead.
    fn set_back(&mut self, by: Millis) {
        self.store_retry_at -= by;
        self.reread_at -= by;
        self.settlements.set_back(by);
        for lane in &mut self.lanes {
            lane.set_back(by);
        }
    }

    fn next_wake(&self) -> Millis {
        let now = self.clock.now();
        let acts = self.may_act() && !self.stopping;
        let lanes = self
            .lanes
            .iter()
            .filter(|lane| acts && lane.hold.may_begin())
            .filter_map(|lane| lane.next_wake(now, lane.may_ask(now)));
        let settle = self.settlements.next_wake().map(|at| at.max(self.store_retry_at));
        lanes.chain(settle).min().unwrap_or(Millis::MAX).min(now + POLL)
    }

    /// An app's first lane.
    fn lane_of(&mut self, app: &str) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.is_first() && lane.app.name == app)
    }

    fn read(&mut self, i: usize, read: Read) {
        let (store, lane, open) = (Arc::clone(&self.store), self.lanes[i].id, Arc::clone(&self.lanes[i].open));
        let work = async move {
            let limit = i64::try_from(read.limit).expect("small");
            let jobs = store.prefetch_open(lane, (read.after.0, read.after.1.0), read.until(), limit, open);
            Done::Read { lane: i, read, jobs: limited(jobs).await }
        };
        self.tasks.spawn_on(work, &self.store_runtime);
    }

    fn was_read(&mut self, i: usize, read: Read, jobs: Result<Vec<Job>, StoreError>) {
        match jobs {
            Ok(jobs) => self.lanes[i].fill(read, jobs),
            Err(_) => self.lanes[i].unfilled(read),
        }
    }

    fn absorb_joined(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(done) => self.absorb(done),
            // Its reminders would stay under way for ever: the daemon ends, and the next start finds them in doubt.
            Err(e) => match e.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(e) => tracing::error!(error = %e, "a task of the engine was cancelled"),
            },
        }
    }

    /// Takes over what a task brings back.
    fn absorb(&mut self, done: Done) {
        let now = self.clock.now();
        match done.of_store() {
            Some(Ok(())) => self.store_answered(),
            Some(Err(error)) => self.store_failed(error, now),
            None => {}
        }
        match done {
            Done::Read { lane, read, jobs } => self.was_read(lane, read, jobs),
            Done::Swept { lane, expired } => self.swept(lane, expired, now),
            Done::LookedBehind { lane, found } => self.looked_behind(lane, found, now),
            Done::Marked { lane, by, jobs, verdicts } => self.marked(lane, by, jobs, verdicts, now),
            Done::Sent(sent) => self.sent(sent),
            Done::Settled { batch, written } => self.settled(batch, written),
            Done::Time(answered) => self.time_told(answered, now),
            Done::Token { lane, granted, date } => self.token_answered(lane, granted, date, now),
            Done::Asked { lane, errand, answer, auth } => self.answered(lane, errand, answer, &auth, now),
            Done::ListingKept { lane, kept } => self.listing_kept(lane, kept),
            Done::Woken { lane, woken } => self.woken(lane, woken),
        }
    }

    fn store_failed(&mut self, error: &StoreError, now: Millis) {
        self.metrics.store_errors.get_or_create(&By { what: error.word() }).inc();
        if self.store_outage.failed(self.clock.monotonic()) {
            tracing::error!(error = %error, "the store does not answer; nothing is sent until it does");
        }
        self.store_retry_at = now + STORE_RETRY;
    }

    fn store_answered(&mut self) {
        if let Some(lasted) = self.store_outage.worked(self.clock.monotonic()) {
            tracing::info!(lasted_s = lasted / SECOND, "the store answers again");
        }
    }

    fn jitter(&mut self) -> f64 {
        self.rng.random()
    }

    /// Tells everybody who asks how things stand.
    fn publish(&self) {
        let now = self.clock.now();
        let idle = self.settlements.is_empty() && self.lanes.iter().all(|lane| lane.in_flight == 0);
        self.signals.idle.store(idle, std::sync::atomic::Ordering::Release);
        self.signals.publish(|status| {
            let told = self.owned.is_some() || self.lanes.iter().all(|lane| lane.hold == Holding::Alone);
            status.ready = status.ready || told && self.lanes.iter().all(Lane::looked);
            status.trusted = self.signals.is_trusted(self.clock.monotonic());
            status.clock_distrusted = self.clockwatch.distrusted().cloned();
            status.clock_trusted = self.clockwatch.trusted();
            for lane in &self.lanes {
                if lane.hold == Holding::Elsewhere {
                    continue;
                }
                let at = lane.status(status);
                at.elsewhere = false;
                at.next_due = lane.next_due();
                at.in_flight = lane.in_flight;
                at.token_expires_at = lane.token.expires_at();
                at.token_failed = lane.token.failing();
                at.rate = lane.rate.per_second();
                at.quota = lane.quota;
                at.halved = lane.rate.halved();
                if at.forced.len() != lane.token.forced().len() {
                    at.forced = lane.token.forced().to_vec();
                }
                at.out_of_step = lane.templates.out_of_step();
                if at.unlisted.iter().map(|(_, n)| n).sum::<u64>() != lane.unlisted.total() {
                    at.unlisted = lane.unlisted.all().map(|(code, n)| (code.to_owned(), n)).collect();
                }
                at.suspended.clear();
                at.suspended.extend(lane.templates.breakers.suspended(now).map(|(template, suspension)| {
                    SuspendedTemplate {
                        template: self.store.code(template).to_owned(),
                        code: suspension.code.clone(),
                        why: suspension.why.clone(),
                        until: suspension.until,
                        blame: suspension.blame,
                    }
                }));
                // This happens at each step: sentences are copied only when they have changed.
                if at.pause.as_ref().map(|pause| pause.until) != lane.pause.as_ref().map(|pause| pause.until) {
                    at.pause.clone_from(&lane.pause);
                }
            }
            for first in self.lanes.iter().filter(|lane| lane.divided && lane.is_first()) {
                let lanes = self.lanes.iter().filter(|lane| lane.home == first.home).map(|lane| lane.id);
                status.sum_up(&first.app.name, lanes);
            }
        });
    }
}

/// The way to an app's platform.
fn way(transport: &Arc<dyn Transport>, app: &App) -> Arc<dyn Transport> {
    app.proxy.as_ref().and_then(|proxy| transport.by(proxy)).unwrap_or_else(|| Arc::clone(transport))
}

/// Waits for the store, but not for ever. If it still does what was asked after that, it is as if it had failed just after doing it.
async fn limited<T>(asked: Asked<T>) -> Result<T, StoreError> {
    let silent = |_| Err(StoreError::Silent(say!("store_no_answer_within", limit = STORE_LIMIT.as_millis() as u64)));
    tokio::time::timeout(STORE_LIMIT, asked).await.unwrap_or_else(silent)
}
