//! One seed, one life: users, backends, operators, a platform with moods, crashes; then calm, and the verdict.

use super::{
    disk::{self, Backup, Disk},
    marketer::Marketer,
    network::{self, Network},
    platform,
    sabotage::Sabotage,
    time::{Believes, Time},
    verdict,
};
use crate::harness::{
    self,
    model::{LANE, Seen},
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};
use tixing::{
    clock::SharedClock,
    config::App,
    domain::{
        HOUR, MINUTE, Millis, SECOND,
        consent::{Allowance, Feed, Feeds, Report},
        draft::Change,
        push::Push,
        reminder::{Accepted, Claim, NewReminder, ReminderId, State},
        template::OnDoubt,
        timing::QuietHours,
    },
    engine::{Engine, Reach, Signals, hold::assume_sent},
    metrics::Metrics,
    platform::wechat::callback::Callback,
    sandbox::{AppSpec, Check, Envelope, Faults, Format, Mode, Pusher, Sandbox},
    store::{Inserted, change::Changed, doubts::Verdict},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How a run is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    pub seed: u64,
    /// On a real file, and a crash takes the power with it; else on the model of the store.
    pub on_file: bool,
    pub sabotage: Option<Sabotage>,
}

/// A life that was judged good.
#[derive(Debug, PartialEq, Eq)]
pub struct Lived {
    /// The word of the platform that it was lived on.
    pub platform: &'static str,
    /// What happened; two lives of one seed share it.
    pub trace: Vec<String>,
}

/// What was promised to whom, by our own account of it.
#[derive(Debug, Clone)]
pub struct Promise {
    pub id: ReminderId,
    pub new: NewReminder,
    pub cancelled: bool,
    /// Its user wished to be forgotten since.
    pub forgotten: bool,
    /// An operator wanted it sent again.
    pub resent: bool,
}

/// What a user has granted, by our own account of it.
#[derive(Debug, Clone)]
pub struct Granted {
    pub openid: String,
    /// How many sends it is good for.
    pub sends: i64,
    /// When it was granted, and when it ends, by the machine's clock.
    pub at: Millis,
    pub ends: Option<Millis>,
    /// The id of the ticket, if it is one.
    pub ticket: Option<String>,
}

/// What a life leaves to be judged.
pub struct Life {
    pub terms: Terms,
    pub app: App,
    pub time: Arc<Time>,
    pub sandbox: Sandbox,
    pub network: Arc<Network>,
    pub disk: Arc<Disk>,
    pub metrics: Arc<Metrics>,
    pub promises: Vec<Promise>,
    /// Consents that were reported and answered: (user, template) → how many.
    pub reported: BTreeMap<(String, String), i64>,
    /// All that was granted, whether or not anybody was told of it.
    pub granted: Vec<Granted>,
    /// Final states as they were first seen.
    pub finals: BTreeMap<ReminderId, State>,
    /// Users who wished to be forgotten at some time, and whether nothing is to be stored for them now.
    pub forgotten: BTreeMap<String, bool>,
    /// A user withdrew a consent, so that the platform knows less than we do.
    pub withdrawn: bool,
    /// A backup was put in the place of the store, which knows nothing of what came since.
    pub restored: bool,
    /// What was changed or cancelled since that backup, and so may go out in both ways.
    pub unsure: BTreeSet<String>,
    /// The machine's clock was set to another time by somebody.
    pub clock_set: bool,
    /// How often the daemon died.
    pub crashes: u32,
    /// Who loads files.
    pub marketers: Vec<Marketer>,
    /// What they did, for traces.
    pub told: Vec<String>,
    /// The daemon dies in the middle of what it does for one of them.
    pub dies: bool,
    pub rng: StdRng,
    reach: Reach,
    /// Since when nothing has been in the way of a send, and since when nothing that is due has moved.
    clear_since: Option<Millis>,
    moved: (Millis, usize, usize),
    daemon: Option<Daemon>,
    marks: u32,
    /// The platform refuses a message without a consent.
    counts_consents: bool,
    backups: u32,
    saved: Option<Saved>,
    /// On hold, in doubt about reminders up to this one.
    held: Option<Held>,
}

/// What an operator knows of a hold.
#[derive(Clone, Copy)]
struct Held {
    last_id: ReminderId,
    /// When the daemon had ended that ran before, by the machine's clock.
    ended: Millis,
}

/// A backup, and what was promised by then.
struct Saved {
    backup: Backup,
    promises: Vec<Promise>,
    reported: BTreeMap<(String, String), i64>,
    finals: BTreeMap<ReminderId, State>,
    forgotten: BTreeMap<String, bool>,
    marketers: Vec<Marketer>,
}

struct Daemon {
    signals: Arc<Signals>,
    stop: CancellationToken,
    task: JoinHandle<bool>,
    /// What an earlier one left in the middle of being sent.
    inherited: BTreeSet<ReminderId>,
}

/// Polls a future so many times and then forgets it, as a crash does: at any await there is.
struct Mortal<F> {
    inner: Pin<Box<F>>,
    polls: u64,
}

impl<F: Future> Future for Mortal<F> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        self.polls = self.polls.saturating_sub(1);
        if self.polls == 0 {
            return Poll::Ready(false);
        }
        self.inner.as_mut().poll(cx).map(|_| true)
    }
}

pub const USERS: u32 = 5;

impl Life {
    /// Lives the life of a seed and judges it.
    pub fn live(terms: Terms) -> Result<Lived, String> {
        let folder = terms.on_file.then(|| tempfile::tempdir().expect("a folder"));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let mut life = Self::begin(terms, folder.as_ref().map(tempfile::TempDir::path));
            life.turbulent().await;
            let calm = life.calm().await;
            let verdict = calm.and_then(|()| verdict::judge(&life));
            let verdict = verdict.and_then(|trace| verdict::all_goes(&life).map(|()| trace));
            life.disk.close();
            verdict.map(|trace| Lived { platform: life.app.platform.word, trace })
        })
    }

    fn begin(terms: Terms, folder: Option<&std::path::Path>) -> Self {
        let mut rng = StdRng::seed_from_u64(terms.seed);
        let time = Time::begin();
        let sandbox = Sandbox::new(time.of_world(), rng.random());
        let mut app = platform::app(&mut rng, terms.sabotage.and_then(Sabotage::platform));
        let doubt = &app.platform.doubt;
        app.concurrency = rng.random_range(1..=6);
        app.rate = *[1, 20, 500].choose(&mut rng).expect("some");
        app.rules.exclusive = rng.random::<bool>() && doubt.counts_consents;
        if rng.random_ratio(1, 4) {
            // The runs begin at eight in the morning there.
            let zone = app.timezone.expect("configured");
            app.rules.quiet_hours = Some(QuietHours::parse("08:01-08:03", zone).expect("quiet hours"));
        }
        let mut spec = AppSpec::of(&app);
        spec.msgid = rng.random();
        let receipt_wait = *[None, Some(5 * SECOND), Some(MINUTE)].choose(&mut rng).expect("some");
        app.rules.receipt_wait = receipt_wait.filter(|_| doubt.sends_receipts);
        let lets_all_through = !app.rules.exclusive && rng.random();
        if lets_all_through {
            // A platform that lets everything through: then our own ledger alone keeps the consents. (An exclusive app counts on the
            // platform to refuse a second message.)
            spec.order.retain(|check| *check != Check::Consent);
        }
        sandbox.world().add_app(spec);
        if !lets_all_through {
            // What an owner may choose that trusts the platform to refuse a message too many.
            let policies = [OnDoubt::AssumeSent, OnDoubt::Resend, OnDoubt::Ask];
            app.templates.iter_mut().for_each(|t| t.on_doubt = *policies.choose(&mut rng).expect("some"));
            let feeds = *[Feeds::Client, Feeds::Callback, Feeds::Reconcile].choose(&mut rng).expect("some");
            app.consents = if doubt.sends_receipts { feeds } else { Feeds::Client };
            // As the configuration does.
            app.rules.exclusive &= app.consents.counts(Feed::Client);
        }
        if app.rules.receipt_wait.is_some() || app.consents != Feeds::Client {
            let callback = Callback::new(app.appid.clone(), "token".into(), None).expect("no key");
            let writer = Envelope { callback, mode: Mode::Plain, format: Format::Json };
            sandbox.world().push_to(&app.appid, Pusher::new(String::new(), writer));
        }
        // Small enough for a crowd to overflow it, or as it is.
        let reach = *[Reach::default(), Reach { page: 3, buffer: 8 }].choose(&mut rng).expect("some");
        let network = Network::new(
            sandbox.router(),
            app.platform.sample.event[0],
            Arc::clone(&time),
            rng.random(),
            terms.sabotage,
        );
        let disk = match folder {
            Some(folder) => {
                Disk::file(folder, std::slice::from_ref(&app), time.of_store(), rng.random(), terms.sabotage)
            }
            None => Disk::model(&app, time.of_machine(Believes::Nothing), rng.random(), terms.sabotage),
        };
        Self {
            terms,
            app,
            time,
            sandbox,
            network,
            disk,
            metrics: Arc::default(),
            promises: Vec::new(),
            reported: BTreeMap::new(),
            granted: Vec::new(),
            finals: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            withdrawn: false,
            counts_consents: !lets_all_through,
            restored: false,
            unsure: BTreeSet::new(),
            clock_set: false,
            crashes: 0,
            marketers: Vec::new(),
            told: Vec::new(),
            dies: false,
            reach,
            clear_since: None,
            moved: (0, 0, 0),
            rng,
            daemon: None,
            marks: 0,
            backups: 0,
            saved: None,
            held: None,
        }
    }

    /// The platform's id of the template that all reminders are of.
    pub fn event(&self) -> &str {
        &self.app.templates[0].code
    }

    /// The field that says which reminder a message is.
    pub fn what(&self) -> &'static str {
        self.app.platform.sample.event[0]
    }

    /// The mark of a reminder.
    pub fn mark_of(&self, new: &NewReminder) -> String {
        platform::mark_in(&self.app, &new.data)
    }

    /// A user's id.
    pub fn openid(&self, n: u32) -> String {
        (self.app.platform.sample.openid)(n)
    }

    /// So many consents more of a user's have been told of.
    fn reports(&mut self, openid: &str, added: i64) {
        *self.reported.entry((openid.to_owned(), self.event().to_owned())).or_default() += added;
    }

    fn clock(&self) -> SharedClock {
        self.time.of_machine(match self.terms.sabotage {
            Some(Sabotage::ClockJumpBelieved) => Believes::Forward,
            Some(Sabotage::ClockBehindBelieved) => Believes::Back,
            _ => Believes::Nothing,
        })
    }

    fn start(&mut self) {
        let mut app = self.app.clone();
        match self.terms.sabotage {
            Some(Sabotage::QuietHoursIgnored) => app.rules.quiet_hours = None,
            Some(Sabotage::RateIgnored) => app.rate = 100_000,
            _ => {}
        }
        let seed = self.rng.random();
        self.network.lives.fetch_add(1, Ordering::SeqCst);
        let disk = Arc::clone(&self.disk);
        let engine = Engine::new(disk, self.network.clone(), self.clock(), Arc::clone(&self.metrics), &[app], seed);
        let engine = engine.with_reach(self.reach);
        let (signals, stop) = (engine.signals(), CancellationToken::new());
        signals.hold(self.held.is_some() && self.terms.sabotage != Some(Sabotage::HoldIgnored));
        let polls = if self.rng.random_ratio(1, 3) { self.rng.random_range(1..400) } else { u64::MAX };
        let inherited = self.sending();
        let task = tokio::spawn(Mortal { inner: Box::pin(engine.run(stop.clone())), polls });
        self.daemon = Some(Daemon { signals, stop, task, inherited });
    }

    fn sending(&self) -> BTreeSet<ReminderId> {
        let all = self.disk.everything();
        all.iter().filter(|s| s.state == State::Sending).map(|s| s.id).collect()
    }

    /// The daemon dies, if it lives; what it had not committed is gone.
    pub async fn crash(&mut self) {
        let Some(daemon) = self.daemon.take() else { return };
        daemon.task.abort();
        let _ = daemon.task.await;
        self.died();
    }

    fn died(&mut self) {
        self.crashes += 1;
        let seed = self.rng.random();
        self.disk = self.disk.after_crash(std::slice::from_ref(&self.app), self.time.of_store(), seed);
    }

    /// SIGTERM: what is under way is finished, and nothing is left in doubt by it (I7).
    async fn stop(&mut self) -> Result<(), String> {
        let Some(daemon) = self.daemon.take() else { return Ok(()) };
        daemon.stop.cancel();
        match tokio::time::timeout(Duration::from_secs(600), daemon.task).await {
            Ok(Ok(true)) => {}
            // Its time had come anyway.
            Ok(Ok(false)) => {
                self.died();
                return Ok(());
            }
            other => return Err(format!("an orderly stop does not end: {other:?}")),
        }
        // On hold nothing is sent; what is marked then was marked by an end of the hold that failed half-way.
        if let Some(cut_off) = self.sending().difference(&daemon.inherited).next().filter(|_| self.held.is_none()) {
            return Err(format!("I7: an orderly stop leaves {cut_off} in doubt"));
        }
        Ok(())
    }

    async fn turbulent(&mut self) {
        self.start();
        for _ in 0..self.rng.random_range(10..45) {
            let pause = *[0, 1, 40, 900, 4_000].choose(&mut self.rng).expect("some");
            let pause = self.rng.random_range(0..=pause);
            self.pass(Duration::from_millis(pause)).await;
            self.something_happens().await;
            if self.terms.on_file && self.rng.random_ratio(1, 4) {
                self.marketer_acts().await;
            }
            self.pushes_arrive();
            if self.daemon.as_ref().is_some_and(|daemon| daemon.task.is_finished()) {
                self.crash().await;
            }
            if self.daemon.is_none() && self.rng.random_ratio(2, 3) {
                self.take_up();
                self.start();
            }
        }
    }

    /// The last reminder that a store on hold is in doubt about.
    pub fn held(&self) -> Option<ReminderId> {
        self.held.map(|held| held.last_id)
    }

    pub fn is(&self, sabotage: Sabotage) -> bool {
        self.terms.sabotage == Some(sabotage)
    }

    /// Time passes, and whatever is due moves.
    async fn pass(&mut self, mut total: Duration) {
        while !total.is_zero() {
            let slice = total.min(Duration::from_millis(500));
            tokio::time::sleep(slice).await;
            total -= slice;
            self.look_for_silence();
        }
    }

    /// Liveness, on the model: what is due and has nothing in its way does not wait for more than two seconds, and what the rate asks for.
    fn look_for_silence(&mut self) {
        let (world, machine) = (self.time.world(), self.time.machine());
        let Some(rate) = self.nothing_in_the_way(machine) else {
            self.clear_since = None;
            return;
        };
        let clear_since = *self.clear_since.get_or_insert(world);
        let waiting = self.disk.waiting(machine);
        let seen = (self.network.left.lock().expect("whole").len(), waiting.len());
        if waiting.is_empty() || (self.moved.1, self.moved.2) != seen {
            self.moved = (world, seen.0, seen.1);
            return;
        }
        let longest = 2 * SECOND + 2 * SECOND / Millis::from(rate) + SECOND;
        let (oldest, first) = waiting[0];
        let silent = [clear_since, self.moved.0].into_iter().all(|since| world - since > longest);
        assert!(
            !silent || machine - oldest <= longest,
            "liveness: {} are due, the oldest {}, nothing is in their way, and since {} nothing has moved; it is {}",
            waiting.len(),
            first,
            seconds(self.moved.0),
            seconds(world)
        );
    }

    /// The rate if nothing keeps a daemon from sending what is due.
    fn nothing_in_the_way(&self, machine: Millis) -> Option<u32> {
        let daemon = self.daemon.as_ref().filter(|daemon| !daemon.task.is_finished() && self.held.is_none())?;
        let (disk, network) = (*self.disk.weather.lock().expect("whole"), *self.network.weather.lock().expect("whole"));
        let second = Duration::from_secs(1);
        let answers =
            disk.slow_ms <= 5 && disk.fails == 0.0 && disk.hangs == 0.0 && self.disk.pending.oldest() < second;
        let reached = network.slow_ms <= 200 && !network.down && !network.held_up && !network.forged;
        let faults = self.sandbox.world().faults.clone();
        let latency_ms = faults.latency_ms;
        let pushes = (faults.push_delay_ms, faults.push_jitter_ms, faults.push_lost_rate, faults.push_twice_rate);
        let plain = Faults {
            latency_ms,
            push_delay_ms: pushes.0,
            push_jitter_ms: pushes.1,
            push_lost_rate: pushes.2,
            push_twice_rate: pushes.3,
            undelivered_rate: faults.undelivered_rate,
            ..Faults::default()
        };
        let quiet = self.app.rules.quiet_hours.is_some_and(|quiet| quiet.ends(machine).is_some());
        if !answers || !reached || self.network.pending.oldest() > second || faults != plain || quiet {
            return None;
        }
        let status = daemon.signals.status();
        let lane = status.lanes.get(&self.app.name)?;
        (status.clock_trusted && lane.pause.is_none()).then_some(lane.rate.max(1))
    }

    async fn something_happens(&mut self) {
        let what = self.rng.random_range(0..118);
        tracing::debug!(at = seconds(self.time.world()), what, alive = self.daemon.is_some(), "something happens");
        match what {
            0..42 => self.insert(),
            42..50 => self.report(),
            50..56 => self.edit(),
            56..61 => self.cancel(),
            61..63 => self.withdraw(),
            63..74 => self.platform_mood(),
            74..78 => {
                let weather = network::Weather {
                    slow_ms: *[5, 200, 3_000].choose(&mut self.rng).expect("some"),
                    down: self.rng.random_ratio(1, 4),
                    held_up: self.rng.random_ratio(1, 4),
                    forged: self.rng.random_ratio(1, 4),
                };
                *self.network.weather.lock().expect("whole") = weather;
            }
            78..84 => {
                let weather = disk::Weather {
                    slow_ms: *[0, 5, 400].choose(&mut self.rng).expect("some"),
                    fails: *[0.0, 0.0, 0.3].choose(&mut self.rng).expect("some"),
                    hangs: *[0.0, 0.0, 0.2].choose(&mut self.rng).expect("some"),
                };
                *self.disk.weather.lock().expect("whole") = weather;
            }
            84..87 => self.clock_is_set(),
            87..89 => {
                // A nap, or longer than a token lives.
                let longest = *[90 * SECOND, 3 * HOUR].choose(&mut self.rng).expect("some");
                self.time.suspend(self.rng.random_range(SECOND..longest));
                self.clear_since = None;
            }
            89..96 => self.crash().await,
            96..98 => {
                if let Err(why) = self.stop().await {
                    panic!("{why}");
                }
            }
            98..100 => {
                if let Some(daemon) = &self.daemon {
                    daemon.signals.sweep();
                }
            }
            100..102 => self.back_up(),
            102..104 => self.restore().await,
            104..106 => self.release().await,
            106..108 => self.push_weather(),
            108 => self.template_changes(),
            109..111 => self.somebody_goes_or_comes_back(),
            111..113 => self.crowd(),
            _ => self.somebody_decides(),
        }
        if self.rng.random_ratio(1, 4) {
            self.look_at_finals();
        }
    }

    fn user(&mut self) -> String {
        let n = self.rng.random_range(0..USERS);
        self.openid(n)
    }

    /// A user who is about to tap. Not one whose doubt is being resent at this moment: the platform would know of the new consent
    /// before us, and spend it on the second message. That is not promised (docs/reliability.md).
    fn tapper(&mut self) -> Option<String> {
        let user = self.user();
        (!self.is_resent(&user)).then_some(user)
    }

    /// Whether a doubt of this user's may be on its way for a second time. If they are forgotten just then, and come back and tap, it
    /// is the same moment.
    fn is_resent(&self, openid: &str) -> bool {
        let sending = |s: &Seen| s.openid == openid && s.state == State::Sending;
        self.app.rules.exclusive && (self.disk.everything().iter().any(sending) || self.is_on_its_way(openid))
    }

    /// Whether bytes of a second request of one of this user's reminders have not arrived yet, whoever sent them.
    fn is_on_its_way(&self, openid: &str) -> bool {
        let left = self.network.left.lock().expect("whole");
        let theirs = self.promises.iter().filter(|p| p.new.openid == openid).map(|p| self.mark_of(&p.new));
        let said = self.marketers.iter().flat_map(|marketer| marketer.said.values());
        let planned = said.filter(|said| said.openid == openid).map(|said| said.mark.clone());
        theirs.chain(planned).any(|mark| {
            let requests = || left.iter().filter(|left| left.mark == mark);
            requests().count() > 1 && requests().any(|left| !left.arrived)
        })
    }

    /// The user taps «allow» on the phone, or brings a ticket; answers when, by the machine's clock, and the ticket.
    fn tap(&mut self, openid: &str) -> (Millis, Option<Allowance>) {
        let number = u32::try_from(self.granted.len()).expect("few");
        let brought = platform::brought(&self.app, number, &mut self.rng);
        let (event, machine) = (self.event().to_owned(), self.time.machine());
        let (at, ticket, id) = match brought {
            None => {
                self.sandbox.world().popup(&self.app.appid, openid, &[(event, true)].into(), self.time.world());
                (machine, None, None)
            }
            Some((ticket, kind, ago)) => {
                let world = self.time.world() - ago;
                assert!(self.sandbox.world().bring(&self.app.appid, openid, &event, &ticket, world), "a known kind");
                let (at, key) = (machine - ago, ticket.key());
                let until = kind.lives.map(|lives| at + lives);
                (at, Some(Allowance::Ticket { key, sends: kind.sends, until }), Some(ticket.id))
            }
        };
        let allowance = ticket.clone().unwrap_or_else(|| self.app.templates[0].allowance());
        let (sends, ends) = (allowance.sends().into(), allowance.ends(at));
        self.granted.push(Granted { openid: openid.to_owned(), sends, at, ends, ticket: id });
        (at, ticket)
    }

    /// How many sends the last tap is good for.
    fn just_granted(&self) -> i64 {
        self.granted.last().map_or(0, |granted| granted.sends)
    }

    /// What the platform pushed arrives, unless nobody listens: it tries three times.
    fn pushes_arrive(&mut self) {
        let now = self.time.world();
        let due = self.sandbox.world().take_pushes(now);
        for (mut outgoing, _) in due {
            if self.daemon.is_some() {
                let (openid, at) = (outgoing.openid.clone(), outgoing.at.div_euclid(SECOND) * SECOND);
                tracing::debug!(openid, at = seconds(at), items = ?outgoing.items, "a push arrives");
                let before = self.known(&openid);
                let push = Push { openid: openid.clone(), at, items: outgoing.items, id: None };
                self.disk.push(push, self.time.machine());
                let added = self.known(&openid) - before;
                self.reports(&openid, added);
            } else if outgoing.tries < 2 {
                (outgoing.tries, outgoing.due) = (outgoing.tries + 1, now + 5 * SECOND);
                self.sandbox.world().push_again(outgoing);
            }
        }
    }

    /// Pushes come late, twice, out of order, or not at all.
    fn push_weather(&mut self) {
        let mut world = self.sandbox.world();
        world.faults.push_delay_ms = self.rng.random_range(0..3_000);
        world.faults.push_jitter_ms = *[0, 500, 20_000].choose(&mut self.rng).expect("some");
        world.faults.push_lost_rate = *[0.0, 0.3, 1.0].choose(&mut self.rng).expect("some");
        world.faults.push_twice_rate = self.rng.random();
        world.faults.undelivered_rate = *[0.0, 0.3].choose(&mut self.rng).expect("some");
    }

    /// An operator has found out about a doubt, or gives up.
    fn somebody_decides(&mut self) {
        let doubts = self.disk.everything().into_iter().filter(|s| s.state == State::InDoubt);
        let doubts: Vec<Seen> = doubts.collect();
        let Some(doubt) = doubts.choose(&mut self.rng) else { return };
        let Some(promise) = self.promises.iter().find(|p| p.id == doubt.id) else { return };
        let mark = self.mark_of(&promise.new);
        let arrived = self.sandbox.world().messages().iter().any(|m| m.data[self.what()] == mark);
        let verdict = match arrived {
            _ if self.counts_consents && self.rng.random_ratio(1, 3) => Verdict::Resend,
            true => Verdict::Sent,
            false => Verdict::Unconfirmed,
        };
        if self.disk.resolve(doubt.id, verdict, self.time.machine()) && verdict == Verdict::Resend {
            let promise = self.promises.iter_mut().find(|p| p.id == doubt.id).expect("just seen");
            promise.resent = true;
        }
    }

    /// A backend inserts a reminder, now and then the same one again.
    fn insert(&mut self) {
        let Some(openid) = self.tapper() else { return };
        let now = self.time.machine();
        let at = now + self.rng.random_range(-2_000..60_000);
        let expires_at = now.max(at) + *[900, 20_000, 5 * MINUTE].choose(&mut self.rng).expect("some");
        self.insert_for(openid, at, expires_at);
    }

    /// An event begins: more reminders at one instant than are sent at once, and perhaps than a buffer holds.
    fn crowd(&mut self) {
        let at = self.time.machine() + self.rng.random_range(0..9_000);
        for i in 0..self.rng.random_range(10..40) {
            self.insert_for(self.openid(100 + i), at, at + HOUR);
        }
    }

    fn insert_for(&mut self, openid: String, at: Millis, expires_at: Millis) {
        let taps = self.rng.random_ratio(2, 3);
        let event = self.rng.random_ratio(1, 3).then(|| format!("e{}", self.rng.random::<u32>()));
        let accepted = taps.then(|| self.tap(&openid)).map(|(at, ticket)| {
            // A ticket is its own event.
            let key = ticket.as_ref().and_then(Allowance::ticket).map(str::to_owned);
            Accepted { at, source: "sim".into(), event: key.or(event), ticket }
        });
        let ends = self.granted.last().and_then(|granted| granted.ends).filter(|_| accepted.is_some());
        // As the API does where the platform's word alone counts.
        let here = self.app.consents.counts(Feed::Client);
        let on_its_way = accepted.is_some() && !here;
        // The API refuses what brings a consent that ends before its instant.
        let accepted = accepted.filter(|_| here && ends.is_none_or(|ends| at < ends));
        let mark = format!("m{}", self.marks);
        let new = NewReminder {
            claim: if on_its_way || self.rng.random_ratio(1, 3) { Claim::AtFire } else { Claim::Reserve },
            accepted,
            key: self.rng.random_ratio(1, 2).then(|| format!("k-{mark}")),
            expires_at,
            data: platform::data(&self.app, &mark, 0),
            template: self.event().to_owned(),
            page: Some(platform::page(&self.app).to_owned()),
            ..harness::reminder(&openid, at)
        };
        let before = self.known(&openid);
        let answer = self.disk.insert(new.clone());
        let gone = self.forgotten.get(&openid).copied().unwrap_or_default();
        assert_eq!(answer == Inserted::Forgotten, gone, "nothing is stored for a user who was forgotten");
        let Inserted::Created(id) = answer else {
            if gone {
                return;
            }
            assert!(matches!(answer, Inserted::NoConsent | Inserted::ConsentsEnd(_)), "a new key: {answer:?}");
            let told = self.app.consents == Feeds::Reconcile || self.withdrawn;
            assert!(new.accepted.is_none() || told, "a reminder that brings its consent needs no other");
            // Perhaps a void consent.
            self.reports(&openid, self.known(&openid) - before);
            return;
        };
        self.marks += 1;
        let added = self.known(&openid) - before;
        let brings = if new.accepted.is_some() { self.just_granted() } else { 0 };
        let exact = self.app.consents != Feeds::Reconcile && !self.withdrawn;
        assert!(added == brings || added == 0 && !exact, "a tap adds {added}");
        self.reports(&openid, added);
        if new.key.is_some() && self.rng.random_ratio(1, 3) {
            assert_eq!(
                self.disk.insert(new.clone()),
                Inserted::Replayed(id, State::Scheduled),
                "I3: the same key gives the same reminder"
            );
        }
        self.promises.push(Promise { id, new, cancelled: false, forgotten: false, resent: false });
    }

    /// A backend passes a tap on, perhaps twice.
    fn report(&mut self) {
        let Some(openid) = self.tapper() else { return };
        let (at, ticket) = self.tap(&openid);
        let key = ticket.as_ref().and_then(Allowance::ticket).map(str::to_owned);
        let event = format!("t{}", self.rng.random::<u64>());
        let report = Report {
            app: "coffee".into(),
            openid: openid.clone(),
            results: [(self.event().to_owned(), true)].into(),
            at,
            feed: Feed::Client,
            source: "sim".into(),
            event: key.or(Some(event)),
            ticket,
        };
        let before = self.known(&openid);
        for _ in 0..self.rng.random_range(1..=2) {
            self.disk.record(report.clone());
        }
        let added = self.known(&openid) - before;
        let gone = self.forgotten.get(&openid).copied().unwrap_or_default();
        let exact = self.app.consents == Feeds::Client && !self.withdrawn && !gone;
        assert!(
            added == self.just_granted() || added == 0 && !exact,
            "I1: a tap that was told of once or twice adds {added}"
        );
        self.reports(&openid, added);
    }

    /// A user wishes to be forgotten, or has come back.
    fn somebody_goes_or_comes_back(&mut self) {
        let (openid, now) = (self.user(), self.time.machine());
        if self.forgotten.get(&openid).copied().unwrap_or_default() {
            let before = self.known(&openid);
            self.disk.let_in(&openid, now);
            self.reports(&openid, self.known(&openid) - before);
            self.forgotten.insert(openid, false);
            return;
        }
        if self.is_resent(&openid) {
            return;
        }
        let mut marketers = std::mem::take(&mut self.marketers);
        for marketer in &mut marketers {
            marketer.forget(self, &openid, &self.planned(&marketer.name));
        }
        self.marketers = marketers;
        self.disk.forget(&openid, now);
        assert_eq!(self.known(&openid), 0, "nobody knows whose they were");
        self.reported.remove(&(openid.clone(), self.event().to_owned()));
        self.promises.iter_mut().filter(|p| p.new.openid == openid).for_each(|p| p.forgotten = true);
        self.forgotten.insert(openid, true);
    }

    /// How many consents of a user are known.
    fn known(&self, openid: &str) -> i64 {
        let balance = self.disk.balance(openid, self.event());
        balance.available + balance.held + balance.used + balance.void
    }

    fn edit(&mut self) {
        let Some(i) = (0..self.promises.len()).collect::<Vec<_>>().choose(&mut self.rng).copied() else { return };
        let (id, new) = (self.promises[i].id, self.promises[i].new.clone());
        if self.held().is_some_and(|last_id| id <= last_id) {
            // The API refuses it.
            return;
        }
        let mut change = Change::default();
        if self.rng.random() {
            let at = self.time.machine() + self.rng.random_range(0..30_000);
            change.at = Some((at, None));
            change.expires_at = Some(at + self.rng.random_range(1_000..60_000));
        }
        if self.rng.random() {
            change.data = Some(platform::data(&self.app, &self.mark_of(&new), self.rng.random_range(1..60)));
        }
        if self.disk.change(id, change.clone(), self.time.machine()) == Changed::Yes {
            let new = &mut self.promises[i].new;
            new.at = change.at.map_or(new.at, |(at, _)| at);
            new.expires_at = change.expires_at.unwrap_or(new.expires_at);
            new.data = change.data.unwrap_or_else(|| new.data.clone());
        }
    }

    fn cancel(&mut self) {
        let Some(i) = (0..self.promises.len()).collect::<Vec<_>>().choose(&mut self.rng).copied() else { return };
        let (id, now) = (self.promises[i].id, self.time.machine());
        if self.held().is_some_and(|last_id| id <= last_id) && self.promises[i].new.at <= now {
            return;
        }
        let answer = self.disk.cancel(id, now);
        // One that an operator wanted sent again ends as unconfirmed: it may have arrived before.
        let doubtful = self.disk.everything().iter().any(|s| s.id == id && s.state == State::Unconfirmed);
        self.promises[i].cancelled |= answer == Changed::Yes && !doubtful;
    }

    /// The user turns it off on the phone, and perhaps on again; perhaps the platform tells.
    fn withdraw(&mut self) {
        let openid = self.user();
        self.withdrawn = true;
        let how = self.rng.random_range(0..4);
        let (mut world, event) = (self.sandbox.world(), self.event());
        match how {
            0 => world.set_switch(&self.app.appid, &openid, Some(event), true),
            1 => world.set_switch(&self.app.appid, &openid, Some(event), false),
            _ => world.turn_off(&self.app.appid, &openid, event, self.time.world()),
        }
    }

    fn back_up(&mut self) {
        if self.held.is_none() {
            let clock = self.time.of_store();
            self.backups += 1;
            self.saved = Some(Saved {
                backup: self.disk.backup(self.backups, clock),
                promises: self.promises.clone(),
                reported: self.reported.clone(),
                finals: self.finals.clone(),
                forgotten: self.forgotten.clone(),
                marketers: self.marketers.clone(),
            });
        }
    }

    /// The store is lost, and an operator puts the last backup in its place. Only under a clock that was always right: what was sent
    /// by a wrong one may not be due yet (docs/reliability.md). And on a platform that counts consents, because a restored ledger
    /// has forgotten what was spent.
    async fn restore(&mut self) {
        let Some(saved) = self.saved.take_if(|_| !self.clock_set && self.counts_consents) else { return };
        let ended = self.time.machine();
        self.crash().await;
        // It takes an operator longer than any request lives.
        tokio::time::sleep(Duration::from_secs(30)).await;
        let (disk, last_id) = self.disk.restore(saved.backup, std::slice::from_ref(&self.app), self.time.of_store());
        self.disk = disk;
        self.held = Some(Held { last_id, ended });
        let same = |a: &Promise, b: &Promise| (&a.new, a.cancelled, a.forgotten) == (&b.new, b.cancelled, b.forgotten);
        let changed = |p: &&Promise| saved.promises.iter().any(|then| then.id == p.id && !same(then, p));
        let unsure: Vec<String> = self.promises.iter().filter(changed).map(|p| self.mark_of(&p.new)).collect();
        self.unsure.extend(unsure);
        (self.promises, self.reported, self.finals) = (saved.promises, saved.reported, saved.finals);
        for (i, marketer) in self.marketers.iter_mut().enumerate() {
            marketer.lost |= saved.marketers.get(i).is_none_or(|then| then.lost || !marketer.is_as(then));
        }
        // Whoever was forgotten since is known again, until somebody repeats it.
        self.forgotten = saved.forgotten;
        (self.restored, self.withdrawn) = (true, true);
    }

    /// The operator ends the hold: what may have been sent is taken for sent. Every other one knows when the daemon ended that was there
    /// before: what became due later goes.
    async fn release(&mut self) {
        let Some(Held { last_id, ended }) = self.held else { return };
        let now = self.time.machine();
        let taken = if self.rng.random() { ended } else { now };
        if assume_sent(&*self.disk, LANE, last_id, taken, now).await.is_err() {
            // What was ended is ended; asked again, it goes on from there.
            return;
        }
        self.disk.end_hold(taken);
        self.held = None;
        if let Some(daemon) = &self.daemon {
            daemon.signals.hold(false);
        }
    }

    fn platform_mood(&mut self) {
        let was = self.sandbox.world().faults.clone();
        let mut faults = Faults {
            latency_ms: self.rng.random_range(0..300),
            push_delay_ms: was.push_delay_ms,
            push_jitter_ms: was.push_jitter_ms,
            push_lost_rate: was.push_lost_rate,
            push_twice_rate: was.push_twice_rate,
            undelivered_rate: was.undelivered_rate,
            ..Faults::default()
        };
        let rate = *[0.1, 0.5, 1.0].choose(&mut self.rng).expect("some");
        match self.rng.random_range(0..19) {
            0 => faults.busy_rate = rate,
            1 => faults.reset_before_rate = rate,
            2 => faults.reset_after_rate = rate,
            3 => faults.garbage_rate = rate,
            4 => faults.half_json_rate = rate,
            5 => faults.gateway_rate = rate,
            6 => faults.redirect_rate = rate,
            7 => faults.silent_rate = rate,
            8 => faults.token_revoked = true,
            9 => {
                faults.token_revoked = true;
                faults.ip_blocked = true;
            }
            10 => faults.quota_left = Some(self.rng.random_range(0..4)),
            11 => faults.minute_left = Some(self.rng.random_range(0..4)),
            12..15 => {
                let meanings = platform::restrictions(self.app.platform);
                let codes = meanings.choose(&mut self.rng).expect("some");
                faults.account_code = codes.choose(&mut self.rng).copied();
            }
            15 => {
                faults.relay_status = Some(*[400, 401, 403, 404, 405, 429].choose(&mut self.rng).expect("some"));
                faults.retry_after = self.rng.random_ratio(1, 2).then_some(3);
            }
            16 => faults.tokens_refused = true,
            17 => faults.account_code = Some(platform::UNLISTED),
            _ => {}
        }
        self.sandbox.world().faults = faults;
    }

    /// Somebody changes the template in the console, or deletes it, or puts it back; perhaps an operator has it read again.
    fn template_changes(&mut self) {
        let (mut templates, what) = (AppSpec::of(&self.app).templates, self.what());
        match self.rng.random_range(0..5) {
            // Nobody is asked for a template that is not there, so nobody knows what an accept of it would be worth.
            0 if self.app.templates[0].times.is_none() => templates.clear(),
            1 => drop(templates[0].fields.insert(format!("{what}9"), "备注".into())),
            2 => drop(templates[0].choices.insert(what.into(), vec!["别的".into()])),
            _ => {}
        }
        self.sandbox.world().set_templates(&self.app.appid, templates);
        if let Some(daemon) = self.daemon.as_ref().filter(|_| self.rng.random()) {
            daemon.signals.read_templates(&self.app.name);
        }
    }

    fn clock_is_set(&mut self) {
        if self.restored {
            return;
        }
        self.clock_set = true;
        self.clear_since = None;
        match self.rng.random_range(0..4) {
            0 => self.time.step(self.rng.random_range(-HOUR..0)),
            1 => self.time.step(self.rng.random_range(6 * SECOND..20 * MINUTE)),
            _ => self.time.set_right(),
        }
    }

    /// I8: what has ended stays as it ended. Answers what has not.
    fn look_at_finals(&mut self) -> Vec<Seen> {
        let (ended, living): (Vec<_>, Vec<_>) = self.disk.everything().into_iter().partition(|s| s.state.is_final());
        for stored in ended {
            let early = stored.expires_at - self.time.world();
            let expired = stored.state == State::Expired;
            assert!(!expired || early < verdict::AGREES + 6 * SECOND, "{} expired {early} ms too early", stored.id);
            let first = *self.finals.entry(stored.id).or_insert(stored.state);
            // Where no receipt comes, what is assumed stays assumed.
            let receipt = self.app.platform.doubt.sends_receipts;
            let told = receipt && (first, stored.state) == (State::Unconfirmed, State::Sent);
            assert!(told || first == stored.state, "I8: {} has ended already", stored.id);
        }
        living
    }

    /// All faults stop; what is due must end (I5).
    async fn calm(&mut self) -> Result<(), String> {
        self.sandbox.world().faults = Faults::default();
        let templates = AppSpec::of(&self.app).templates;
        self.sandbox.world().set_templates(&self.app.appid, templates);
        *self.network.weather.lock().expect("whole") = network::Weather { slow_ms: 20, ..network::Weather::default() };
        *self.disk.weather.lock().expect("whole") = disk::Weather::default();
        self.time.set_right();
        self.release().await;
        let mut living = Vec::new();
        for turn in 0..720 {
            if self.daemon.as_ref().is_some_and(|daemon| daemon.task.is_finished()) {
                self.crash().await;
            }
            self.take_up();
            if self.daemon.is_none() {
                self.start();
            }
            // Later only what was told to wait is left.
            match turn < 12 {
                true => self.pass(Duration::from_secs(10)).await,
                false => tokio::time::sleep(Duration::from_secs(10)).await,
            }
            self.pushes_arrive();
            if turn % 3 == 0
                && let Some(daemon) = &self.daemon
            {
                daemon.signals.sweep();
            }
            living = self.look_at_finals();
            if living.is_empty() {
                return self.stop().await;
            }
        }
        let left: Vec<String> = living
            .iter()
            .map(|s| format!("{} ({}, until {}) is {}", s.id, s.data, seconds(s.expires_at), s.state.word()))
            .collect();
        let status = self.daemon.as_ref().map(|daemon| daemon.signals.status());
        Err(format!(
            "I5: two hours after the last fault not all has ended: {}; {status:?}; {:?}",
            left.join(", "),
            self.told
        ))
    }
}

/// The instant as seconds after the start, for traces.
pub fn seconds(at: Millis) -> String {
    let ms = at - harness::START;
    format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000))
}
