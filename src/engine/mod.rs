//! When, in what order, how many at once.
//!
//! The engine runs at its own pace. A step starts whatever can be started at this instant — reads, marks, sends, settlements —
//! as tasks; each finished task is absorbed, and the next step follows. [`Engine::run`] does this against the wall clock,
//! [`Engine::turn`] turns the crank once for tests. Decisions are [`crate::domain::decide`]'s and [`crate::domain::settle`]'s.

mod lane;
mod breaker;
mod errand;
mod pace;
mod stream;
mod clockwatch;
pub mod hold;
pub mod alarm;

pub use stream::Reach;

use crate::{
    clock::SharedClock,
    config::App,
    domain::{
        Millis, SECOND,
        decide::{Decision, gave_up, no_consent, turned_off},
        outcome::{Outcome, Reaction},
        reminder::State,
        settle::{Consent, Counted, Next, Settlement, backoff, settle},
        template::Template,
        timing::rfc3339,
    },
    metrics::{ByAppAnd, Metrics},
    platform::{
        Answer, Auth, Granted, Quota, Send, adapter,
        token::Need,
        transport::{Failure, Transport},
    },
    store::{
        Ring, StoreError,
        port::{Asked, Entry, Job, Marked, Queue},
    },
};
use clockwatch::ClockWatch;
use errand::{Errand, Errands};
use futures_util::FutureExt;
use lane::{Lane, Pick};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use stream::Read;
use tokio::{runtime::Handle, sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// The longest sleep between two looks: whatever else fails, the poll finds what is due.
const POLL: Millis = SECOND;
/// How often everything in reach is read again, in case a ring was lost.
const REREAD_EVERY: Millis = 10 * SECOND;
/// Rows of one look for expired ones.
const SWEEP: i64 = 1_000;
/// Settlements of one commit.
const SETTLE: usize = 2_000;
/// Fewer settlements than this wait for company…
const SETTLE_FEW: usize = 64;
/// …but not longer than this: at a steady thousand a second, a commit for each would cost half a core.
const SETTLE_LINGER: Millis = 5;
/// After a store that did not answer.
const STORE_RETRY: Millis = 500;
/// How long a question to the store may take; the store's own limit is shorter, and tells more.
const STORE_LIMIT: Duration = Duration::from_secs(20);
/// A loop that did not go round for so long has slept, with the machine or alone: what came due meanwhile is a backlog.
const SLEPT: Millis = 60 * SECOND;

/// What others tell the engine, and what it tells them.
pub struct Signals {
    ring: Mutex<Option<Ring>>,
    sweep: AtomicBool,
    held: AtomicBool,
    /// Apps whose templates somebody wants read.
    wanted: Mutex<Vec<String>>,
    /// Apps with new secrets.
    renewed: Mutex<Vec<App>>,
    woken: Notify,
    heartbeat: AtomicI64,
    status: Mutex<Status>,
}

/// What the engine last saw.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The first look at the queue is done.
    pub ready: bool,
    /// Why all lanes are held, if they are.
    pub clock_held: Option<String>,
    /// A platform has had the opportunity to contradict the clock, and has not.
    pub clock_trusted: bool,
    /// By app.
    pub lanes: BTreeMap<String, LaneStatus>,
}

/// One lane's.
#[derive(Debug, Clone, Default)]
pub struct LaneStatus {
    /// Why it is paused, and until when.
    pub pause: Option<(String, String, Millis)>,
    /// The next instant in memory.
    pub next_due: Option<Millis>,
    /// Under way.
    pub in_flight: usize,
    /// When its token ends; 0 without one.
    pub token_expires_at: Millis,
    /// Sends per second for now.
    pub rate: u32,
    /// Templates that are held: the platform's id, its code, why, until when.
    pub held_templates: Vec<(String, String, String, Millis)>,
    /// How often the platform was asked for its templates, and what was wrong the last time, if something was.
    pub templates_asked: (u64, Option<String>),
    /// What the platform said was left of the day's sends, and when.
    pub quota: Option<(Quota, Millis)>,
    /// Configured templates that the platform does not have so.
    pub out_of_step: usize,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            ring: Mutex::new(None),
            sweep: AtomicBool::new(false),
            held: AtomicBool::new(false),
            wanted: Mutex::default(),
            renewed: Mutex::default(),
            woken: Notify::new(),
            heartbeat: AtomicI64::new(0),
            status: Mutex::default(),
        }
    }
}

impl Signals {
    /// Rows at these instants came or changed.
    ///
    /// # Panics
    /// When somebody panicked while ringing.
    pub fn ring(&self, ring: Ring) {
        let mut waiting = self.ring.lock().expect("nobody panics while ringing");
        let seen = waiting.unwrap_or(ring);
        *waiting = Some(Ring { from: seen.from.min(ring.from), until: seen.until.max(ring.until) });
        drop(waiting);
        self.woken.notify_one();
    }

    /// It is time to look for what has expired.
    pub fn sweep(&self) {
        self.sweep.store(true, Ordering::Release);
        self.woken.notify_one();
    }

    /// An app's templates are to be read from its platform now.
    ///
    /// # Panics
    /// When somebody panicked while asking for it.
    pub fn read_templates(&self, app: &str) {
        self.wanted.lock().expect("nobody panics while asking for it").push(app.to_owned());
        self.woken.notify_one();
    }

    /// An app's secret is another from now on; nothing else of it is looked at. What the old one held up is tried at once.
    ///
    /// # Panics
    /// When somebody panicked while handing one over.
    pub fn renew(&self, app: App) {
        self.renewed.lock().expect("nobody panics while handing one over").push(app);
        self.woken.notify_one();
    }

    /// Nothing is sent, and nothing ends, until the hold is ended: what may have been sent already is not known.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Release);
        self.woken.notify_one();
    }

    /// Whether the store is on hold.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// When the engine's loop last went round, on the monotonic clock.
    pub fn heartbeat(&self) -> Millis {
        self.heartbeat.load(Ordering::Acquire)
    }

    /// What the engine last saw.
    ///
    /// # Panics
    /// When somebody panicked while writing it.
    pub fn status(&self) -> Status {
        self.status.lock().expect("nobody panics while writing it").clone()
    }
}

/// A settlement on its way to the store.
struct Pending {
    lane: usize,
    /// Whether the job was marked, and so takes a place of the lane's window.
    marked: bool,
    settle: Entry,
}

enum Done {
    Read(usize, Read, Result<Vec<Job>, StoreError>),
    Swept(usize, Result<Vec<Job>, StoreError>),
    Marked(usize, Vec<Job>, Result<Vec<Marked>, StoreError>),
    Sent(usize, Box<Job>, Outcome, SecretString, Millis, Millis),
    Settled(Vec<Pending>, Result<Vec<bool>, StoreError>),
    Token(usize, Result<Granted, Outcome>, Option<Millis>),
    Asked(usize, Errand, Result<Answer, Outcome>, SecretString),
    Kept(Result<(), StoreError>),
    Woken(usize, Result<u64, StoreError>),
}

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
    settles: Vec<Pending>,
    /// When the oldest of them came.
    settles_since: Millis,
    linger: Millis,
    settling: bool,
    store_retry_at: Millis,
    clockwatch: ClockWatch,
    /// When the loop last went round, by the monotonic clock.
    seen_at: Millis,
    reread_at: Millis,
    rng: StdRng,
    stopping: bool,
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
        let lane = |app: &App| {
            let id = store.lane(&app.name);
            let template = |t: &Template| Some((store.template(id, &t.code)?, (t.code.clone(), t.on_doubt)));
            let templates = app.templates.iter().filter_map(template).collect();
            let mut lane = Lane::new(id, Arc::new(app.clone()), adapter(app).into(), templates, &metrics, now);
            if let Some(listing) = store.listing(&app.name) {
                lane.errands = Errands::new(Some(listing.read_at), now);
                errand::learn(&mut lane, listing);
            }
            lane
        };
        let signals = Arc::new(Signals::default());
        let (told, commit) = (Arc::clone(&signals), metrics.commit.clone());
        store.on_commit(Box::new(move |ring, took| {
            commit.observe(took.as_secs_f64());
            if let Some(ring) = ring {
                told.ring(ring);
            }
        }));
        Self {
            lanes: apps.iter().map(lane).collect(),
            clockwatch: ClockWatch::new(now, clock.monotonic()),
            seen_at: clock.monotonic(),
            store,
            transport,
            clock,
            metrics,
            signals,
            tasks: JoinSet::new(),
            store_runtime: Handle::current(),
            settles: Vec::new(),
            settles_since: 0,
            linger: SETTLE_LINGER,
            settling: false,
            store_retry_at: 0,
            reread_at: now + REREAD_EVERY,
            rng: StdRng::seed_from_u64(seed),
            stopping: false,
        }
    }

    /// The same with other bounds on what it holds in memory.
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
            if self.stopping && self.tasks.is_empty() && self.settles.is_empty() {
                self.publish();
                return;
            }
            let sleep = u64::try_from(self.next_wake() - self.clock.now()).unwrap_or(0);
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
                () = tokio::time::sleep(Duration::from_millis(sleep)) => {}
            }
        }
    }

    /// Turns the crank: does everything that can be done at this instant of the clock, and returns when nothing is under way.
    pub async fn turn(&mut self) {
        self.linger = 0;
        loop {
            self.step();
            match self.tasks.join_next().await {
                Some(done) => self.absorb_joined(done),
                None if self.settles.is_empty() || self.clock.now() < self.store_retry_at => return,
                None => {}
            }
        }
    }

    /// What is in memory is given up, as by a crash. For tests.
    pub fn crash(mut self) {
        self.tasks.abort_all();
    }

    fn absorb_joined(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(done) => self.absorb(done),
            // What it held would be held for ever: the daemon ends, and the next start finds it in doubt.
            Err(e) => match e.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(e) => tracing::error!(error = %e, "a task of the engine was cancelled"),
            },
        }
    }

    fn jitter(&mut self) -> f64 {
        self.rng.random()
    }

    /// Starts whatever can be started now.
    fn step(&mut self) {
        let now = self.clock.now();
        let monotonic = self.clock.monotonic();
        self.signals.heartbeat.store(monotonic, Ordering::Release);
        self.watch_clock(now, None);
        let slept = monotonic - self.seen_at;
        self.seen_at = monotonic;
        if slept > SLEPT {
            tracing::warn!(seconds = slept / SECOND, "slept: what came due meanwhile is caught up with");
            self.lanes.iter_mut().for_each(|lane| lane.resume(now));
        }
        let may_act = self.may_act();
        let ring = self.signals.ring.lock().expect("nobody panics while ringing").take();
        let reread = now >= self.reread_at;
        if reread {
            self.reread_at = now + REREAD_EVERY;
        }
        let sweep = self.signals.sweep.swap(false, Ordering::AcqRel);
        for app in self.signals.wanted.lock().expect("nobody panics while asking for it").drain(..) {
            if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.app.name == app) {
                lane.errands.ask_templates(now);
            }
        }
        for app in self.signals.renewed.lock().expect("nobody panics while handing one over").drain(..) {
            if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.app.name == app.name) {
                lane.renew(adapter(&app).into(), now);
            }
        }
        let store_answers = now >= self.store_retry_at;
        for i in 0..self.lanes.len() {
            let lane = &mut self.lanes[i];
            if let Some(ring) = ring {
                lane.ring(ring);
            }
            if reread {
                lane.ring(Ring::EVERYTHING);
            }
            lane.end_pause(now);
            lane.wait_for_token(now);
            lane.speed_up(now);
            if self.stopping || !store_answers {
                continue;
            }
            if (sweep || !lane.sorted) && !lane.sweeping && may_act {
                self.sweep(i, now);
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
        self.write_settlements(now);
        self.publish();
    }

    /// Looks at the clock, with what a platform said of the time if one has just answered.
    fn watch_clock(&mut self, now: Millis, answered: Option<Option<Millis>>) {
        let was = self.clockwatch.held().is_some();
        let step = self.clockwatch.tick(now, self.clock.monotonic());
        if let Some(date) = answered {
            self.clockwatch.witness(date, now);
        }
        if step < -SECOND {
            self.set_back(-step);
        }
        match (was, self.clockwatch.held()) {
            (false, Some(why)) => {
                tracing::error!(why, "the clock is not believed; NOTHING IS SENT until it is");
            }
            (true, None) => {
                tracing::warn!(now = rfc3339(now), "the clock is believed again; what is overdue is caught up with");
                for lane in &mut self.lanes {
                    lane.resume(now);
                }
            }
            _ => {}
        }
        self.metrics.clock_held.set(i64::from(self.clockwatch.held().is_some()));
    }

    /// Whether reminders may be sent or ended: by this clock, and from this store.
    fn may_act(&self) -> bool {
        self.clockwatch.trusted() && !self.signals.is_held()
    }

    /// Whoever waits for an instant that was reckoned by a clock that has been set back since would wait too long.
    fn set_back(&mut self, by: Millis) {
        self.store_retry_at -= by;
        self.reread_at -= by;
        self.settles_since -= by;
        for lane in &mut self.lanes {
            lane.set_back(by);
        }
    }

    fn next_wake(&self) -> Millis {
        let now = self.clock.now();
        let held = !self.may_act() || self.stopping;
        let lanes = self
            .lanes
            .iter()
            .filter(|_| !held)
            .filter_map(|lane| lane.next_wake(now, lane.token.usable(now).is_some()));
        let settle = (!self.settles.is_empty() && !self.settling)
            .then(|| (self.settles_since + self.linger).max(self.store_retry_at));
        lanes.chain(settle).min().unwrap_or(Millis::MAX).min(now + POLL)
    }

    fn read(&mut self, i: usize, read: Read) {
        let (store, lane) = (Arc::clone(&self.store), self.lanes[i].id);
        let work = async move {
            let limit = i64::try_from(read.limit).expect("small");
            let jobs = store.prefetch(lane, (read.after.0, read.after.1.0), read.until(), limit);
            Done::Read(i, read, limited(jobs).await)
        };
        self.tasks.spawn_on(work, &self.store_runtime);
    }

    fn sweep(&mut self, i: usize, now: Millis) {
        let (store, lane) = (Arc::clone(&self.store), self.lanes[i].id);
        self.lanes[i].sweeping = true;
        let work = async move { Done::Swept(i, limited(store.past_deadline(lane, now, SWEEP)).await) };
        self.tasks.spawn_on(work, &self.store_runtime);
    }

    /// Keeps an app's token good. While the clock is held a fetch also asks the platform what time it is.
    fn keep_token(&mut self, i: usize, now: Millis) {
        let ask = self.clockwatch.held().is_some() && self.clockwatch.wants_witness(self.clock.monotonic());
        let lane = &mut self.lanes[i];
        let force = match lane.token.need(now) {
            Need::Renew => false,
            Need::Fetch { force } => force,
            Need::Nothing | Need::Wait { .. } if ask => false,
            Need::Nothing | Need::Wait { .. } => return,
        };
        if lane.next_due().is_none() && lane.errands.next(now).is_none() && !ask {
            // Nothing is due within reach, nothing is to be asked: no token is needed.
            return;
        }
        lane.token.begin(force, now);
        let (transport, adapter) = (Arc::clone(&self.transport), Arc::clone(&lane.adapter));
        self.tasks.spawn(async move {
            match transport.call(adapter.token_request(force)).await {
                Ok(answer) => Done::Token(i, adapter.read_token(&answer), answer.date),
                Err(Failure::NotSent(cause) | Failure::Unknown(cause)) => {
                    Done::Token(i, Err(Outcome::NotSent { cause }), None)
                }
            }
        });
    }

    fn pick(&mut self, i: usize, now: Millis) {
        let lane = &mut self.lanes[i];
        let may_send = lane.pause.is_none() && lane.token.usable(now).is_some();
        let mut marks = Vec::new();
        for pick in lane.pick(now, may_send) {
            match pick {
                Pick::Mark(job) => marks.push(job),
                Pick::End(job, settlement) => self.end(i, &job, settlement, now),
                Pick::CutOff(job) => self.cut_off(i, &job, now),
            }
        }
        if !marks.is_empty() {
            self.mark(i, marks);
        }
    }

    fn mark(&mut self, i: usize, jobs: Vec<Job>) {
        self.lanes[i].marking = true;
        let store = Arc::clone(&self.store);
        self.tasks.spawn(async move {
            let marked = limited(store.mark(jobs.clone())).await;
            Done::Marked(i, jobs, marked)
        });
    }

    /// Ends a job that was never marked.
    fn end(&mut self, i: usize, job: &Job, settlement: Settlement, now: Millis) {
        let settle = Entry { target: job.target(false), settlement, began_at: None, ended_at: now };
        self.queue_settlement(Pending { lane: i, marked: false, settle });
    }

    /// A row cut off by a crash is written down as in doubt.
    fn cut_off(&mut self, i: usize, job: &Job, now: Millis) {
        let user = self.store.pseudonym(&job.body.openid);
        tracing::warn!(reminder = %job.due.id, user, "found in doubt: cut off while it was being sent");
        let settlement = self.lanes[i].cut_off(job, now);
        self.end(i, job, settlement, now);
    }

    fn send(&mut self, i: usize, job: Job, now: Millis) {
        let lane = &self.lanes[i];
        // Marking took its time: the gate is asked once more at the very last moment.
        let decision = lane.decide(&job, now);
        let goes = matches!(decision, Decision::Send | Decision::Resend);
        let Some(token) = lane.token.usable(now).cloned().filter(|_| goes) else {
            let due_at = job.due.again_at(if let Decision::Wait { until } = decision { until } else { now });
            let next = if job.due.state == State::InDoubt {
                Next::Doubt { look_at: due_at }
            } else {
                Next::Again { due_at, counted: Counted::No }
            };
            let (code, text) = (Some("not_sent".into()), Some("the gate closed after it was marked".into()));
            let settlement = Settlement { next, code, text, consent: Consent::Keep, message_id: None };
            self.settled(i, &job, settlement, None, now);
            return;
        };
        let (transport, adapter, clock) =
            (Arc::clone(&self.transport), Arc::clone(&lane.adapter), Arc::clone(&self.clock));
        let code = self.store.code(job.template).to_owned();
        self.tasks.spawn(async move {
            let send = Send {
                openid: &job.body.openid,
                template: &code,
                page: job.body.page.as_deref(),
                data: &job.body.data,
                lang: job.body.lang.as_deref(),
                miniprogram_state: job.body.miniprogram_state.as_deref(),
            };
            let began_at = clock.now();
            let call = async {
                match transport.call(adapter.build(&send, &Auth::Token(token.clone()), began_at)).await {
                    Ok(answer) => adapter.classify(&answer),
                    Err(Failure::NotSent(cause)) => Outcome::NotSent { cause },
                    Err(Failure::Unknown(cause)) => Outcome::Unknown { cause },
                }
            };
            // A fault of ours over one message must not stop the others.
            let outcome = AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(reminder = %job.due.id, "a fault of tixing while sending; please report it with what stands above");
                Outcome::Unknown { cause: "a fault of tixing; the log says more".into() }
            });
            let outcome = outcome.kept(&job.body.openid);
            Done::Sent(i, Box::new(job), outcome, token, began_at, clock.now())
        });
    }

    /// Queues the settlement of a marked job.
    fn settled(&mut self, i: usize, job: &Job, settlement: Settlement, began_at: Option<Millis>, now: Millis) {
        self.lanes[i].busy.remove(&job.recipient);
        let settle = Entry { target: job.target(true), settlement, began_at, ended_at: now };
        self.queue_settlement(Pending { lane: i, marked: true, settle });
    }

    fn queue_settlement(&mut self, pending: Pending) {
        if self.settles.is_empty() {
            self.settles_since = self.clock.now();
        }
        self.settles.push(pending);
    }

    fn write_settlements(&mut self, now: Millis) {
        if self.settling || self.settles.is_empty() || now < self.store_retry_at {
            return;
        }
        let few = self.settles.len() < SETTLE_FEW && !self.stopping;
        if few && now >= self.settles_since && now < self.settles_since + self.linger {
            return;
        }
        self.settling = true;
        let batch: Vec<Pending> = self.settles.drain(..self.settles.len().min(SETTLE)).collect();
        let store = Arc::clone(&self.store);
        self.tasks.spawn(async move {
            let written = store.settle(batch.iter().map(|pending| pending.settle.clone()).collect());
            Done::Settled(batch, limited(written).await)
        });
    }

    fn absorb(&mut self, done: Done) {
        let now = self.clock.now();
        match done {
            Done::Read(i, read, Ok(jobs)) => self.lanes[i].fill(read, jobs),
            Done::Read(i, read, Err(e)) => {
                self.lanes[i].unfilled(read);
                self.store_failed(&e, now);
            }
            Done::Swept(i, Ok(jobs)) => {
                self.lanes[i].sweeping = false;
                let more = jobs.len() >= usize::try_from(SWEEP).expect("small");
                for job in jobs {
                    // The clock may have been set since the look began.
                    if let Decision::End(settlement) = self.lanes[i].decide(&job, now)
                        && self.lanes[i].active.insert(job.due.id)
                    {
                        self.end(i, &job, settlement, now);
                    }
                }
                // The next slice is looked for once this one is written.
                self.lanes[i].sorted = !more;
            }
            Done::Swept(i, Err(e)) => {
                self.lanes[i].sweeping = false;
                self.store_failed(&e, now);
            }
            Done::Marked(i, jobs, result) => self.marked(i, jobs, result, now),
            Done::Sent(i, job, outcome, token, began_at, ended_at) => {
                self.sent(i, &job, outcome, &token, began_at, ended_at);
            }
            Done::Settled(batch, Ok(written)) => self.written(&batch, &written),
            Done::Settled(batch, Err(e)) => {
                // Written or not, writing them again is safe: the fence lets only one through.
                self.settling = false;
                self.settles.splice(..0, batch);
                self.store_failed(&e, now);
            }
            Done::Token(i, result, date) => self.token(i, result, date, now),
            Done::Asked(i, errand, answer, token) => self.asked(i, errand, answer, &token, now),
            Done::Woken(_, Ok(0)) | Done::Kept(Ok(())) => {}
            Done::Woken(i, Ok(woken)) => {
                tracing::info!(app = self.lanes[i].app.name, woken, "reminders that were held are tried again");
            }
            Done::Woken(i, Err(e)) => {
                self.lanes[i].wake_held = true;
                self.store_failed(&e, now);
            }
            // It is known all the same, and the next start reads it again.
            Done::Kept(Err(e)) => tracing::warn!(error = %e, "the platform's templates could not be kept"),
        }
    }

    fn store_failed(&mut self, error: &StoreError, now: Millis) {
        tracing::error!(error = %error, "the store does not answer; nothing is sent until it does");
        self.store_retry_at = now + STORE_RETRY;
    }

    fn marked(&mut self, i: usize, jobs: Vec<Job>, result: Result<Vec<Marked>, StoreError>, now: Millis) {
        self.lanes[i].marking = false;
        let verdicts = match result {
            Ok(verdicts) => verdicts,
            Err(e) => {
                // Whether the marks are in the store is unknown; that nothing was sent is certain. Both are taken back: as marked
                // rows, and where the fence says that they are not, nothing is touched and they are simply read again.
                for job in jobs {
                    let next = if job.due.state == State::InDoubt {
                        Next::Doubt { look_at: job.due.again_at(now) }
                    } else {
                        Next::Again { due_at: job.due.due_at, counted: Counted::No }
                    };
                    let settlement = Settlement {
                        next,
                        code: Some("not_sent".into()),
                        text: Some("the store failed before it was sent".into()),
                        consent: Consent::Keep,
                        message_id: None,
                    };
                    self.settled(i, &job, settlement, None, now);
                }
                self.store_failed(&e, now);
                return;
            }
        };
        let mut again = Vec::new();
        for (job, verdict) in jobs.into_iter().zip(verdicts) {
            match verdict {
                Marked::Yes => self.send(i, job, now),
                Marked::Late => {
                    self.release(i, &job);
                    // It was changed: as it is now it may have been read meanwhile, and passed over because this one was under way.
                    self.lanes[i].ring(Ring::EVERYTHING);
                }
                Marked::TurnedOff => {
                    self.release(i, &job);
                    self.lanes[i].active.insert(job.due.id);
                    let settlement = turned_off(&job.due, &self.lanes[i].app.rules, now);
                    self.end(i, &job, settlement, now);
                }
                Marked::NotSole if job.due.state != State::InDoubt => {
                    self.release(i, &job);
                    self.lanes[i].active.insert(job.due.id);
                    self.end(i, &job, gave_up(), now);
                }
                Marked::NotSole => match self.lanes[i].open_doubt(&job, now) {
                    Decision::End(settlement) => {
                        self.release(i, &job);
                        self.lanes[i].active.insert(job.due.id);
                        self.end(i, &job, settlement, now);
                    }
                    _ => again.push(Job { blind: true, ..job }),
                },
                Marked::NoConsent => {
                    self.release(i, &job);
                    self.lanes[i].active.insert(job.due.id);
                    let settlement = no_consent(&job.due);
                    self.end(i, &job, settlement, now);
                }
            }
        }
        if !again.is_empty() {
            self.mark(i, again);
        }
    }

    /// A job that was to be marked, and was not, is no longer under way.
    fn release(&mut self, i: usize, job: &Job) {
        let lane = &mut self.lanes[i];
        lane.done_with(job.due.id);
        lane.busy.remove(&job.recipient);
        lane.in_flight -= 1;
        lane.give_back(job);
    }

    fn sent(
        &mut self,
        i: usize,
        job: &Job,
        outcome: Outcome,
        token: &SecretString,
        began_at: Millis,
        ended_at: Millis,
    ) {
        let jitter = self.jitter();
        let lane = &mut self.lanes[i];
        let app = lane.app.name.clone();
        match &outcome {
            Outcome::NotSent { cause } => lane.unreachable(cause, ended_at, jitter),
            Outcome::Unknown { cause } => lane.fruitless("unknown", cause, ended_at, jitter),
            Outcome::Answered { reaction: Reaction::Token, code, text } => {
                let why = lane.meaning(code, text);
                lane.token.reject(token, code, &why, ended_at, jitter);
            }
            Outcome::Answered { reaction: Reaction::Busy { .. } | Reaction::Unsure { .. }, code, text } => {
                let why = lane.meaning(code, text);
                lane.token.worked();
                lane.fruitless(code, &why, ended_at, jitter);
            }
            Outcome::Answered { reaction, code, text } if let Some(pause) = reaction.pause() => {
                let why = lane.meaning(code, text);
                lane.answered();
                match reaction {
                    Reaction::Slow { .. } => lane.slow_down(ended_at),
                    Reaction::Quota { .. } => lane.run_out(),
                    Reaction::Ban { .. } => lane.breakers.banned(job.template, code, &why, pause, ended_at),
                    _ => {}
                }
                lane.hold(ended_at, ended_at + pause, code, &why);
            }
            Outcome::Answered { code, text, .. } if lane.adapter.blames_template(code) => {
                lane.answered();
                lane.errands.suspect(ended_at);
                let why = lane.meaning(code, text);
                if let Some(held) = lane.breakers.refused(job.template, code, &why, ended_at) {
                    let (template, until) = (self.store.code(job.template), rfc3339(held.until));
                    tracing::error!(
                        app,
                        template,
                        code,
                        why = held.why,
                        until,
                        "a template is held; its other reminders wait"
                    );
                }
            }
            Outcome::Accepted { .. } => {
                lane.answered();
                lane.breakers.accepted(job.template);
            }
            Outcome::Answered { .. } => lane.answered(),
        }
        if let Outcome::Answered { code, .. } = &outcome {
            let what = lane.adapter.known_code(code).unwrap_or("other");
            self.metrics.errors.get_or_create(&ByAppAnd { app: app.clone(), what }).inc();
        }
        let seconds = |ms: Millis| Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64();
        lane.lateness.observe(seconds(began_at - job.due.at));
        lane.platform_latency.observe(seconds(ended_at - began_at));
        let label = outcome.label();
        self.metrics.sends.get_or_create(&ByAppAnd { app: app.clone(), what: label }).inc();
        let settlement = settle(&job.due, job.blind, outcome, ended_at, jitter);
        // Looked up only if it is told.
        let user = || self.store.pseudonym(&job.body.openid);
        match &settlement.next {
            Next::Final(State::Sent) => {
                tracing::debug!(reminder = %job.due.id, app, user = user(), late_ms = began_at - job.due.at, "sent")
            }
            next @ Next::Doubt { .. } => tracing::warn!(
                reminder = %job.due.id, app, user = user(), outcome = label, text = settlement.text, next = told(next), "in doubt: it may have arrived"
            ),
            next => tracing::info!(
                reminder = %job.due.id, app, user = user(), outcome = label, code = settlement.code, text = settlement.text, next = told(next), "not sent"
            ),
        }
        self.settled(i, job, settlement, Some(began_at), ended_at);
    }

    fn written(&mut self, batch: &[Pending], written: &[bool]) {
        self.settling = false;
        for (Pending { lane, marked, settle }, written) in batch.iter().zip(written) {
            let lane = &mut self.lanes[*lane];
            let due = &settle.target.due;
            lane.done_with(due.id);
            lane.in_flight -= usize::from(*marked);
            if !written {
                tracing::info!(reminder = %due.id, "had been changed or settled already; nothing was written");
                // As it is now it may have been read meanwhile, and passed over because this one was under way.
                lane.ring(Ring::EVERYTHING);
            }
            match settle.settlement.next {
                Next::Again { due_at: at, .. } | Next::Doubt { look_at: at } => lane.ring(Ring { from: at, until: at }),
                Next::Final(_) => {}
            }
        }
    }

    fn token(&mut self, i: usize, result: Result<Granted, Outcome>, date: Option<Millis>, now: Millis) {
        let jitter = self.jitter();
        if !matches!(result, Err(Outcome::NotSent { .. })) {
            self.watch_clock(now, Some(date));
        }
        let lane = &mut self.lanes[i];
        let outcome = match result {
            Ok(granted) => return lane.token.granted(granted, now),
            Err(outcome) => outcome.kept(""),
        };
        let later = |first| backoff(lane.token.unanswered().min(6), first, jitter);
        let (code, why, pause) = match outcome {
            Outcome::Answered { code, text, reaction } => {
                let why = lane.meaning(&code, &text);
                // On the token call a bad credential is a bad secret.
                let pause = reaction.pause().or_else(|| reaction.again().map(later)).unwrap_or(600 * SECOND);
                (code, why, pause)
            }
            Outcome::NotSent { cause } | Outcome::Unknown { cause } => ("not_sent".to_owned(), cause, later(SECOND)),
            Outcome::Accepted { .. } => {
                ("unknown".to_owned(), "an answer to another question".to_owned(), later(SECOND))
            }
        };
        let why = format!("no token: {why}");
        lane.token.failed(&code, &why, pause, now);
        if lane.token.usable(now).is_some() {
            let (app, until) = (&lane.app.name, rfc3339(lane.token.expires_at()));
            tracing::warn!(app, code, why, until, "the token could not be renewed; the one there is serves on");
        }
    }

    fn publish(&self) {
        let now = self.clock.now();
        let mut status = self.signals.status.lock().expect("nobody panics while writing it");
        status.ready = status.ready || self.lanes.iter().all(Lane::looked);
        status.clock_held = self.clockwatch.held().map(str::to_owned);
        status.clock_trusted = self.clockwatch.trusted();
        for lane in &self.lanes {
            let at = match status.lanes.get_mut(&lane.app.name) {
                Some(at) => at,
                None => status.lanes.entry(lane.app.name.clone()).or_default(),
            };
            at.next_due = lane.next_due();
            at.in_flight = lane.in_flight;
            at.token_expires_at = lane.token.expires_at();
            at.rate = lane.rate();
            at.quota = lane.quota;
            at.out_of_step = lane.out_of_step();
            at.held_templates.clear();
            at.held_templates.extend(lane.breakers.held(now).map(|(template, held)| {
                (self.store.code(template).to_owned(), held.code.clone(), held.why.clone(), held.until)
            }));
            if at.pause.as_ref().map(|p| p.2) != lane.pause.as_ref().map(|p| p.until) {
                at.pause = lane.pause.as_ref().map(|p| (p.code.clone(), p.why.clone(), p.until));
            }
        }
    }
}

/// Waits for the store, but not for ever. What it does later of a question that was given up is as if it had failed after it was done.
async fn limited<T>(asked: Asked<T>) -> Result<T, StoreError> {
    let silent = |_| Err(StoreError::Silent(format!("no answer within {} s", STORE_LIMIT.as_secs())));
    tokio::time::timeout(STORE_LIMIT, asked).await.unwrap_or_else(silent)
}

/// Where a reminder goes, for the log.
fn told(next: &Next) -> String {
    match next {
        Next::Final(state) => state.word().to_owned(),
        Next::Again { due_at, .. } => format!("again at {}", rfc3339(*due_at)),
        Next::Doubt { look_at } => format!("in doubt until {}", rfc3339(*look_at)),
    }
}
