//! One daemon's line to the database that it shares: slow, failing, cut off, its answers lost after the commit; what it has asked is done all the
//! same, perhaps much later, and perhaps after it has died.

use super::{
    books::Books,
    clocks::{Clocks, Ice},
    promotion::{Deed, Memory},
    sabotage::Sabotage,
};
use crate::simulation::time::Time;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use std::{
    fmt::Debug,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tixing::{
    clock::Clock,
    cluster::Refresh,
    domain::{
        Millis,
        node::{LaneSeen, NodeId, TRUST, shard_of},
        reminder::State,
        template::Listing,
    },
    engine::Signals,
    store::{
        OnCommit, Ring, StoreError,
        nodes::{Looked, NewNode, Nodes},
        port::{Asked, Entry, Job, Marked, Next, Open, Queue},
    },
    words::Message,
};
use tokio::sync::oneshot;

/// How the way from a machine to the database is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weather {
    /// Each way takes up to so long.
    pub slow_ms: u64,
    /// How often a question fails, half of them after it took effect.
    pub fails: f64,
    /// How often something that is written waits in the database, for as long as forty seconds.
    pub hangs: f64,
    /// Nothing passes.
    pub cut: bool,
}

impl Weather {
    /// As it is where nothing is wrong.
    pub fn good(slow_ms: u64) -> Self {
        Self { slow_ms, ..Self::default() }
    }

    /// Whether nobody could complain.
    pub fn is_good(&self) -> bool {
        self.slow_ms <= 50 && self.fails == 0.0 && self.hangs == 0.0 && !self.cut
    }
}

/// What lies between a machine and the database.
#[derive(Default)]
pub struct Sky {
    pub weather: Mutex<Weather>,
    /// The database is away, for everybody.
    pub away: Arc<AtomicBool>,
}

impl Sky {
    pub fn weather(&self) -> Weather {
        *self.weather.lock().expect("whole")
    }

    fn passes(&self) -> bool {
        !self.weather().cut && !self.away.load(Ordering::SeqCst)
    }
}

/// A daemon's line.
pub struct Line {
    pub books: Arc<Mutex<Books>>,
    pub time: Arc<Time>,
    pub clocks: Arc<Clocks>,
    pub ice: Ice,
    pub signals: Arc<Signals>,
    pub machine: usize,
    sky: Arc<Sky>,
    /// Which node it is.
    pub me: Arc<Mutex<NodeId>>,
    templates: Vec<String>,
    /// Into how many lanes it divides the new reminders of each app.
    shards: Vec<u32>,
    /// The lanes of each app, by shard, as they were read last.
    lanes: Arc<Mutex<Vec<Vec<i64>>>>,
    rng: Mutex<StdRng>,
    told: Mutex<Option<OnCommit>>,
    listing: Mutex<Option<Arc<Listing>>>,
    /// What it saw last.
    seen: Arc<Mutex<Option<Looked>>>,
    /// What it has written.
    memory: Arc<Mutex<Memory>>,
    sabotage: Option<Sabotage>,
}

async fn pass(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// How one question fares.
struct Fate {
    before: u64,
    /// How long it waits in the database, once that has looked at its rows.
    waits: u64,
    after: u64,
    fails: Option<bool>,
    /// How long its bytes try to pass.
    tries: u64,
    /// After so long somebody says that it has failed.
    told: u64,
}

#[expect(clippy::too_many_arguments, reason = "made in one place")]
impl Line {
    pub fn new(
        books: Arc<Mutex<Books>>,
        time: Arc<Time>,
        clocks: Arc<Clocks>,
        signals: Arc<Signals>,
        machine: usize,
        sky: Arc<Sky>,
        me: NodeId,
        (templates, shards): (Vec<String>, Vec<u32>),
        seed: u64,
        sabotage: Option<Sabotage>,
    ) -> Arc<Self> {
        let lanes = books.lock().expect("whole").lanes_of_apps();
        Arc::new(Self {
            books,
            time,
            clocks,
            ice: Ice::new(),
            signals,
            machine,
            sky,
            me: Arc::new(Mutex::new(me)),
            templates,
            shards,
            lanes: Arc::new(lanes.into()),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            told: Mutex::default(),
            listing: Mutex::default(),
            seen: Arc::default(),
            memory: Arc::default(),
            sabotage,
        })
    }
}

impl Line {
    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    pub fn me(&self) -> NodeId {
        *self.me.lock().expect("whole")
    }

    /// Something was brought or changed through this daemon.
    pub fn ring(&self, ring: Ring) {
        if let Some(told) = &*self.told.lock().expect("whole") {
            told(Some(ring), Duration::ZERO);
        }
        self.books.lock().expect("whole").ring(self.me());
    }

    /// The lane that a user's new reminders go to.
    pub fn lane_of_user(&self, app: usize, openid: &str) -> i64 {
        self.lanes.lock().expect("whole")[app][shard_of(openid, self.shards[app]) as usize]
    }

    /// The place of an app.
    fn app(&self, name: &str) -> usize {
        self.books.lock().expect("whole").apps.iter().position(|(app, _)| app == name).expect("an app")
    }

    fn fate(&self, writes: bool) -> Fate {
        let weather = self.sky.weather();
        let mut rng = self.rng.lock().expect("whole");
        let mut delay = || if weather.slow_ms == 0 { 0 } else { rng.random_range(0..=weather.slow_ms) };
        let (before, after) = (delay(), delay());
        let hangs = writes && rng.random::<f64>() < weather.hangs;
        let waits = if hangs { rng.random_range(0..40_000) } else { 0 };
        let fails = (rng.random::<f64>() < weather.fails).then(|| rng.random());
        let tries = *[0, 0, 3_000, 9_000].choose(&mut *rng).expect("some");
        let told = *[0, 20, 6_000, 60_000].choose(&mut *rng).expect("some");
        Fate { before, waits, after, fails, tries, told }
    }

    /// Asks the database. What has left is done, if it passes, whatever becomes of who asked.
    fn ask<T: Debug + Send + 'static>(
        &self,
        asked: &'static str,
        writes: bool,
        does: impl FnOnce(&mut Books, Millis) -> T + Send + 'static,
    ) -> Asked<T> {
        self.ask_in_steps(asked, writes, |_, _| (), 0, move |books, world, ()| does(books, world))
    }

    /// The same in two steps, with a while between them: nothing keeps others out.
    fn ask_in_steps<S: Send + 'static, T: Debug + Send + 'static>(
        &self,
        asked: &'static str,
        writes: bool,
        first: impl FnOnce(&Books, Millis) -> S + Send + 'static,
        between: u64,
        does: impl FnOnce(&mut Books, Millis, S) -> T + Send + 'static,
    ) -> Asked<T> {
        let fate = self.fate(writes);
        let (ice, sky, books, time) =
            (self.ice.clone(), Arc::clone(&self.sky), Arc::clone(&self.books), Arc::clone(&self.time));
        let machine = self.machine;
        Box::pin(async move {
            ice.thawed().await;
            let era = books.lock().expect("whole").servers.era;
            let (tell, told) = oneshot::channel();
            tokio::spawn(async move {
                pass(fate.before).await;
                let mut tries = fate.tries;
                while !sky.passes() {
                    if tries == 0 || fate.fails == Some(true) {
                        return;
                    }
                    pass(100).await;
                    tries = tries.saturating_sub(100);
                }
                if fate.fails == Some(true) {
                    return;
                }
                let step = first(&books.lock().expect("whole"), time.world());
                // A mark has its rows from its look on: whoever takes it back waits for it.
                let (waits, after) =
                    if asked == "mark" { (0, fate.waits + fate.after) } else { (fate.waits, fate.after) };
                pass(between + waits).await;
                // What was on its way to a server that is no more is lost with it.
                if books.lock().expect("whole").servers.era != era {
                    return;
                }
                let result = does(&mut books.lock().expect("whole"), time.world(), step);
                tracing::trace!(machine, asked, ?result, "takes effect");
                pass(after).await;
                if fate.fails.is_none() && sky.passes() {
                    let _ = tell.send(result);
                }
            });
            let answer = told.await;
            if answer.is_err() {
                pass(fate.told).await;
            }
            ice.thawed().await;
            answer.map_err(|_| StoreError::Unavailable(Message::text("the line, says the simulation")))
        })
    }
}

impl Line {
    /// Writes something, and remembers it once that is confirmed: after the daemon has looked where it writes to.
    fn write<T: Debug + Send + 'static>(
        &self,
        asked: &'static str,
        does: impl FnOnce(&mut Books, NodeId, Millis) -> (T, Vec<Deed>) + Send + 'static,
    ) -> Asked<T> {
        self.write_in_steps(asked, |_, _| (), move |books, me, world, ()| does(books, me, world))
    }

    /// The same in two steps.
    fn write_in_steps<S: Send + 'static, T: Debug + Send + 'static>(
        &self,
        asked: &'static str,
        first: impl FnOnce(&Books, Millis) -> S + Send + 'static,
        does: impl FnOnce(&mut Books, NodeId, Millis, S) -> (T, Vec<Deed>) + Send + 'static,
    ) -> Asked<T> {
        let (me, memory, clocks) = (Arc::clone(&self.me), Arc::clone(&self.memory), Arc::clone(&self.clocks));
        let (machine, sabotage, remembers, at) =
            (self.machine, self.sabotage, Arc::clone(&self.memory), Arc::clone(&self.clocks));
        let written = self.ask_in_steps(asked, true, first, 0, move |books, world, step| {
            // Whose process it is when it is written.
            let me = *me.lock().expect("whole");
            let mut memory = memory.lock().expect("whole");
            memory.look_back(books, (machine, me), (world, clocks.monotonic()), sabotage);
            let (result, deeds) = does(books, me, world, step);
            (result, deeds, me, books.link(me), books.servers.era)
        });
        Box::pin(async move {
            let written = written.await;
            let mut memory = remembers.lock().expect("whole");
            let (result, deeds, me, n, era) = written.inspect_err(|_| memory.breaks())?;
            let is_known = memory.remember(era, me, n, at.monotonic(), deeds);
            is_known.then_some(result).ok_or_else(|| StoreError::Silent(Message::text("another server, by now")))
        })
    }

    /// The same at once, for what comes through this daemon's doors.
    pub fn write_now<T>(&self, does: impl FnOnce(&mut Books) -> (T, Vec<Deed>)) -> T {
        let (me, at, world) = (self.me(), self.clocks.monotonic(), self.time.world());
        let mut books = self.books.lock().expect("whole");
        let mut memory = self.memory.lock().expect("whole");
        memory.look_back(&mut books, (self.machine, me), (world, at), self.sabotage);
        let (result, deeds) = does(&mut books);
        let n = books.link(me);
        assert!(memory.remember(books.servers.era, me, n, at, deeds), "it has just looked");
        result
    }
}

fn deeds_of_marks(jobs: &[Job], verdicts: &[Marked]) -> Vec<Deed> {
    let marked = jobs.iter().zip(verdicts).filter(|(_, verdict)| matches!(verdict, Marked::Yes | Marked::By(_)));
    vec![Deed::Marks(marked.map(|(job, _)| job.clone()).collect())]
}

impl Queue for Line {
    fn lane(&self, app: &str) -> i64 {
        self.lanes(app)[0]
    }

    fn lanes(&self, app: &str) -> Vec<i64> {
        self.lanes.lock().expect("whole")[self.app(app)].clone()
    }

    fn home(&self, lane: i64) -> i64 {
        let lanes = self.lanes.lock().expect("whole");
        lanes.iter().find(|lanes| lanes.contains(&lane)).map_or(lane, |lanes| lanes[0])
    }

    fn code(&self, template: i64) -> &str {
        &self.templates[usize::try_from(template).expect("few") - 1]
    }

    fn pseudonym(&self, _: &str) -> String {
        String::new()
    }

    fn listing(&self, _: &str) -> Option<Arc<Listing>> {
        self.listing.lock().expect("whole").clone()
    }

    fn keep_listing(&self, _: &str, listing: Arc<Listing>) -> Asked<()> {
        *self.listing.lock().expect("whole") = Some(listing);
        self.ask("keep_listing", true, |_, _| ())
    }

    fn template(&self, _: i64, code: &str) -> Option<i64> {
        i64::try_from(self.templates.iter().position(|known| known == code)? + 1).ok()
    }

    fn on_commit(&self, told: OnCommit) {
        *self.told.lock().expect("whole") = Some(told);
    }

    fn prefetch_open(
        &self,
        lane: i64,
        after: (Millis, i64),
        until: Millis,
        limit: i64,
        _: Arc<Open>,
    ) -> Asked<Vec<Job>> {
        let [proofless, cuts_off] =
            [Sabotage::ResendWithoutProof, Sabotage::CutsOffTheLiving].map(|sabotage| self.is(sabotage));
        self.ask("prefetch", false, move |books, _| {
            let mut jobs = books.model(lane).prefetch(after, until, usize::try_from(limit).expect("some"));
            for job in &mut jobs {
                let forgets = match job.due.state {
                    State::InDoubt => proofless,
                    State::Sending => cuts_off,
                    _ => false,
                };
                job.marker = job.marker.filter(|_| !forgets);
            }
            jobs
        })
    }

    fn past_deadline(&self, lane: i64, now: Millis, limit: i64, _: Arc<Open>) -> Asked<Vec<Job>> {
        self.ask("past_deadline", false, move |books, _| {
            books.model(lane).past_deadline(now, usize::try_from(limit).expect("some"))
        })
    }

    fn past_deadline_closed(&self, _: i64, _: (Millis, i64), _: Millis, _: Arc<Open>) -> Asked<(Vec<Job>, Next)> {
        self.ask("past_deadline_closed", false, |_, _| (Vec::new(), None))
    }

    fn wake_suspended(&self, lane: i64, now: Millis) -> Asked<u64> {
        self.write("wake_suspended", move |books, _, _| {
            let woken = books.model(lane).wake_suspended(now);
            (woken, if woken > 0 { vec![Deed::Other] } else { Vec::new() })
        })
    }

    fn mark(&self, jobs: Vec<Job>) -> Asked<Vec<Marked>> {
        let (asked_at, now) = (self.time.world(), self.clocks.now());
        if self.is(Sabotage::LockTooWeak) {
            let between = self.rng.lock().expect("whole").random_range(0..3_000);
            let lanes: Vec<_> = jobs.iter().map(|job| (job.lane, job.epoch)).collect();
            let who = self.me();
            let look =
                move |books: &Books, _| lanes.iter().map(|(lane, epoch)| books.lets(who, *lane, *epoch)).collect();
            let write = move |books: &mut Books, world, let_in: Vec<bool>| {
                books.mark_let_in(who, &jobs, &let_in, (asked_at, world, now))
            };
            return self.ask_in_steps("mark", true, look, between, write);
        }
        self.write("mark", move |books, me, world| {
            let verdicts = books.mark(me, &jobs, (asked_at, world, now));
            let deeds = deeds_of_marks(&jobs, &verdicts);
            (verdicts, deeds)
        })
    }

    fn settle(&self, mut entries: Vec<Entry>) -> Asked<Vec<bool>> {
        if self.is(Sabotage::TakenBackBlindly) {
            let lost = |entry: &&mut Entry| entry.target.taken_back().is_some();
            entries.iter_mut().filter(lost).for_each(|entry| entry.target.marker = None);
        }
        // Whoever takes a mark back looks at its row, and locks it, before the commit leaves. What is late after that is the commit alone.
        let targets: Vec<_> = entries.iter().map(|entry| entry.target.clone()).collect();
        let look = move |books: &Books, _| targets.iter().map(|target| books.may_take_back(target)).collect();
        self.write_in_steps("settle", look, move |books, me, world, may: Vec<bool>| {
            let written = books.settle(me, &entries, &may, world);
            let ends = entries.into_iter().zip(&written).filter(|(_, written)| **written).map(|(entry, _)| entry);
            let deeds = vec![Deed::Ends(ends.collect())];
            (written, deeds)
        })
    }
}

impl Nodes for Line {
    fn join(&self, new: NewNode, _: Millis) -> Asked<NodeId> {
        let machine = self.machine;
        let (me, books, lanes) = (Arc::clone(&self.me), Arc::clone(&self.books), Arc::clone(&self.lanes));
        let joined = self.ask("join", true, move |books, world| books.join(machine, &new, world));
        Box::pin(async move {
            let id = joined.await?;
            *me.lock().expect("whole") = id;
            // One whose answer was lost is nobody.
            let mut books = books.lock().expect("whole");
            books.machines[machine].0 = Some(id);
            *lanes.lock().expect("whole") = books.lanes_of_apps();
            Ok(id)
        })
    }

    fn beat(&self, me: NodeId, now: Millis, distrusted: bool) -> Asked<bool> {
        let beaten = self.ask("beat", true, move |books, world| books.beat(me, (now, distrusted), world));
        if !self.is(Sabotage::TrustFromReply) {
            return beaten;
        }
        let (signals, clocks) = (Arc::clone(&self.signals), Arc::clone(&self.clocks));
        Box::pin(async move {
            let beaten = beaten.await?;
            let until = clocks.monotonic() + TRUST;
            if beaten {
                tokio::spawn(async move { signals.trust_until(until) });
            }
            Ok(beaten)
        })
    }

    fn look(&self) -> Asked<Looked> {
        let (machine, memory) = (self.machine, Arc::clone(&self.memory));
        let looked = self.ask("look", false, move |books, _| {
            books.was_seen(machine);
            let asked = books.awaits(machine) || !books.is_noted();
            memory.lock().expect("whole").asked |= asked;
            (books.look(machine), asked)
        });
        let tells = self.write("tell", |_, _, _| ((), Vec::new()));
        let (seen, me) = (Arc::clone(&self.seen), self.me());
        let [deaf, both, whole] =
            [Sabotage::GapIsSilence, Sabotage::RateOfEach, Sabotage::RateOfEachShard].map(|sabotage| self.is(sabotage));
        Box::pin(async move {
            // It looks on in its memory before anybody could notice a gap.
            let asked = async {
                if !deaf {
                    return looked.await;
                }
                let silent = |_| Err(StoreError::Unavailable(Message::text("no answer in time")));
                tokio::time::timeout(Duration::from_secs(1), looked).await.unwrap_or_else(silent)
            };
            let mut answer = asked.await.map(|(looked, tells_now)| {
                if tells_now {
                    tokio::spawn(tells);
                }
                looked
            });
            if both && let Ok(looked) = &mut answer {
                looked.view.lanes.iter_mut().for_each(|lane| lane.node = Some(me));
            }
            if whole && let Ok(looked) = &mut answer {
                looked.view.nodes.iter_mut().for_each(|node| node.shards.clear());
                looked.view.lanes.iter_mut().for_each(|lane| lane.waits = false);
            }
            let mut seen = seen.lock().expect("whole");
            match (&answer, &*seen) {
                (Err(_), Some(before)) if deaf => return Ok(before.clone()),
                (Ok(looked), _) => *seen = Some(looked.clone()),
                _ => {}
            }
            answer
        })
    }

    fn take_over(&self, silent: NodeId, beat: i64, lanes: Vec<(i64, NodeId)>) -> Asked<bool> {
        self.ask("take_over", true, move |books, world| books.take_over(silent, beat, &lanes, world))
    }

    fn give(&self, lane: LaneSeen, to: NodeId) -> Asked<bool> {
        self.ask("give", true, move |books, world| books.give(&lane, to, world))
    }

    fn leave(&self, me: NodeId, lanes: Vec<(i64, NodeId)>) -> Asked<()> {
        self.ask("leave", true, move |books, world| books.leave(me, &lanes, world))
    }

    fn gone(&self, node: NodeId) -> Asked<()> {
        self.write("gone", move |books, _, _| (books.gone(node), Vec::new()))
    }

    fn tell(&self, me: NodeId, lane: i64, epoch: i64, status: String) -> Asked<()> {
        self.ask("tell", true, move |books, _| books.tell(me, lane, epoch, status))
    }

    fn take_duty(&self, name: String, from: Option<NodeId>, to: NodeId) -> Asked<bool> {
        self.ask("take_duty", true, move |books, _| books.take_duty(&name, from, to))
    }
}

/// Reads which lanes there are: others make some, too.
pub struct Rereads(pub Arc<Line>);

impl Refresh for Rereads {
    fn refresh(&self) -> Asked<()> {
        let line = Arc::clone(&self.0);
        let read = line.ask("refresh", false, |books, _| books.lanes_of_apps());
        Box::pin(async move {
            *line.lanes.lock().expect("whole") = read.await?;
            Ok(())
        })
    }
}
