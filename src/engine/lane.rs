//! One app's due-ordered stream, as the engine holds it in memory: what has been read, what is under way, and why nothing is sent if the app is paused.

use super::{
    breaker::Suspension,
    errands::Errands,
    gates::{self, Behind},
    others::Others,
    rate::Rate,
    remarks::Remarks,
    signals::{LaneStatus, Pause, QuotaAsked, Status, SuspendedTemplate},
    spacing::Spacing,
    stream::{Reach, Read, Stream},
    templates::Templates,
    unlisted::Unlisted,
};
use crate::{
    config::App,
    domain::{
        MINUTE, Millis, SECOND,
        decide::{Decision, cut_off, decide, open_doubt},
        gate::{Gate, Quiet},
        node::{Marker, NodeId, Share},
        outcome::Outcome,
        reminder::{ReminderId, State},
        settle::{Settlement, backoff},
        template::Listing,
    },
    metrics::{ByApp, ByAppAnd, Metrics, begin},
    platform::{
        Adapter, Auth, Quota,
        token::{Token, Trouble},
        transport::Transport,
    },
    store::{
        gates::Gates,
        port::{Job, Open, Ring},
    },
    words::{Message, say},
};
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Jobs looked at in one turn behind ones that cannot go yet. Those that another node is sending, of which there may be as many, do not count.
const LOOK: usize = 4_096;
/// Sends in a row that came to nothing, after which only single probes go out: a platform that has fallen silent, or is busy, must not eat
/// the queue.
const FRUITLESS_IN_A_ROW: u32 = 5;

/// After so long without sends, because of a pause or because the machine slept, the overdue are a backlog.
pub const BACKLOG_AFTER: Millis = 60 * SECOND;

/// What another node answers for, or may still answer for, is looked at again so soon.
const OTHERS: Millis = 250;

/// The sooner of both.
fn sooner(first: Option<Millis>, other: Millis) -> Option<Millis> {
    Some(first.map_or(other, |first| first.min(other)))
}

/// One app's lane, or one of several.
pub struct Lane {
    pub id: i64,
    /// The app's first lane: it stands for the app.
    pub home: i64,
    /// The app has several lanes.
    pub divided: bool,
    /// Which part of the app's limits it has.
    share: Share,
    pub app: Arc<App>,
    pub adapter: Arc<dyn Adapter>,
    /// The way to its platform.
    pub transport: Arc<dyn Transport>,
    pub templates: Templates,
    pub token: Token,
    /// The lane's own measures, so that a send does not look them up.
    pub lateness: Histogram,
    pub platform_latency: Histogram,
    throttled: Counter,
    /// The last job that waited for the rate: it is seen at each look, and counts once.
    throttled_last: Option<ReminderId>,
    pub reach: Reach,
    pub live: Stream,
    pub backlog: Stream,
    /// How many streams there were.
    streams: u64,
    /// The gates of the schedules, as they were seen last.
    pub gates: Arc<Gates>,
    /// What is open of the lane.
    pub open: Arc<Open>,
    /// When that changes by itself.
    gates_change_at: Millis,
    /// When the gates were looked at.
    looked_at: Millis,
    /// The walk through what waits behind closed gates.
    pub behind: Behind,
    /// Taken out of the buffers and not settled yet.
    pub active: HashSet<ReminderId>,
    /// Users with a send under way.
    pub busy: HashSet<i64>,
    /// Marked, or being marked, and not settled: at most the app's concurrency.
    pub in_flight: usize,
    pub marking: bool,
    /// The look for expired rows that precedes the first send.
    pub sorted: bool,
    pub sweeping: bool,
    /// Something has opened: what expired meanwhile ends first.
    pub wants_sweep: bool,
    pub pause: Option<Pause>,
    pub errands: Errands,
    /// What waits for a suspended template may go: at the start, and when the platform has listed its templates.
    pub wake_suspended: bool,
    /// What the platform said was left of the day's sends.
    pub quota: Option<QuotaAsked>,
    /// The day's sends are used up: the platform is asked for more, and not tried.
    quota_is_out: bool,
    failures: u32,
    fruitless: u32,
    /// When the last send came to nothing that made the lane wait. Those that were under way then say nothing more.
    learnt_at: Millis,
    pub rate: Rate,
    remarks: Remarks,
    pub spacing: Spacing,
    pub unlisted: Unlisted,
    quiet_until: Millis,
    /// Whose it is: this node's, under this epoch, or another's.
    pub hold: Holding,
    others: Others,
    /// Until when another lane of the app has suspended a template, as far as it was heard.
    heard: HashMap<String, Millis>,
}

/// Whose a lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// The only daemon's.
    Alone,
    /// This node's, under this epoch.
    Ours(i64),
    /// A mark has shown that it is not so any more, or that its gates have closed: until somebody has looked nothing is begun.
    Unsure,
    /// Another node's, or nobody's: what is under way is finished, and nothing is begun.
    Elsewhere,
}

impl Holding {
    /// Whether something may be begun.
    pub fn may_begin(self) -> bool {
        matches!(self, Self::Alone | Self::Ours(_))
    }

    /// The epoch that marks, and ends without a call, count on. Where it is not surely this node's that is none which ever was: what was begun
    /// before, and would end something only now, is refused.
    pub fn epoch(self) -> Option<i64> {
        match self {
            Self::Alone => None,
            Self::Ours(epoch) => Some(epoch),
            Self::Unsure | Self::Elsewhere => Some(-1),
        }
    }
}

/// What is to be done with a job at this instant.
pub enum Pick {
    /// Mark it and send.
    Mark(Job),
    /// This is written down without a call.
    Settle(Job, Settlement),
    /// A crash cut it off.
    CutOff(Job),
}

/// Makes the counters of an app's answers, so that they are at 0 from the start.
fn begin_counters(metrics: &Metrics, app: &App) {
    let by = |what| ByAppAnd { app: app.name.clone(), what };
    begin(&metrics.sends, Outcome::LABELS.map(by));
    begin(&metrics.errors, app.platform.codes.iter().map(|known| known.code).chain(["other"]).map(by));
    begin(&metrics.fenced_marks, [ByApp { app: app.name.clone() }]);
    begin(&metrics.unlisted_codes, [ByApp { app: app.name.clone() }]);
}

impl Lane {
    pub fn new(
        (id, home): (i64, i64),
        app: Arc<App>,
        adapter: Arc<dyn Adapter>,
        transport: Arc<dyn Transport>,
        templates: Templates,
        metrics: &Metrics,
        now: Millis,
    ) -> Self {
        let reach = Reach::default();
        let by_app = ByApp { app: app.name.clone() };
        begin_counters(metrics, &app);
        Self {
            id,
            home,
            divided: false,
            share: Share::WHOLE,
            throttled: metrics.throttled.get_or_create(&by_app).clone(),
            throttled_last: None,
            lateness: metrics.lateness.get_or_create(&by_app).clone(),
            platform_latency: metrics.platform_latency.get_or_create(&by_app).clone(),
            rate: Rate::new(app.rate),
            remarks: Remarks::default(),
            spacing: Spacing::new(app.platform.apart),
            unlisted: Unlisted::default(),
            app,
            adapter,
            transport,
            templates,
            token: Token::default().patient(id != home),
            reach,
            live: Stream::new(0, reach, now, Millis::MAX),
            backlog: Stream::new(1, reach, Millis::MIN + 1, now - 1),
            streams: 2,
            gates: Arc::default(),
            open: Arc::default(),
            gates_change_at: Millis::MAX,
            looked_at: now,
            behind: Behind::default(),
            active: HashSet::new(),
            busy: HashSet::new(),
            in_flight: 0,
            marking: false,
            sorted: false,
            sweeping: false,
            wants_sweep: false,
            pause: None,
            errands: if id == home { Errands::new(None, now) } else { Errands::of_another_shard(now) },
            wake_suspended: true,
            quota: None,
            quota_is_out: false,
            failures: 0,
            fruitless: 0,
            learnt_at: Millis::MIN,
            quiet_until: 0,
            hold: Holding::Alone,
            others: Others::default(),
            heard: HashMap::new(),
        }
    }

    /// Looks at the gates. What has closed is dropped from memory, and never read while it is closed. When something opens, the lane begins
    /// new streams: what is overdue is caught up with.
    pub fn look_at_gates(&mut self, gates: Arc<Gates>, now: Millis) {
        let same = Arc::ptr_eq(&gates, &self.gates);
        if same && (self.looked_at..self.gates_change_at).contains(&now) {
            return;
        }
        let (open, change_at) = gates::open(
            gates.paused_since(self.home).is_some(),
            gates.of_app(self.home),
            self.app.rules.quiet_hours,
            now,
        );
        // What is due from the very instant at which quiet hours end is not late.
        let from = if same && self.gates_change_at <= now && now - self.gates_change_at < BACKLOG_AFTER {
            self.gates_change_at
        } else {
            now
        };
        (self.gates, self.gates_change_at, self.looked_at) = (gates, change_at, now);
        if open == *self.open {
            return;
        }
        let opens = open.has_more_than(&self.open);
        self.open = Arc::new(open);
        self.quiet_until = 0;
        if opens {
            self.begin_streams(from);
            self.wants_sweep = true;
        } else {
            self.live.shut(&self.open);
            self.backlog.shut(&self.open);
        }
    }

    /// Begins new streams: what is due before `from` is caught up with at half the rate.
    fn begin_streams(&mut self, from: Millis) {
        let reach = self.reach.part(self.share.of);
        self.live = Stream::new(self.streams, reach, from, Millis::MAX);
        self.backlog = Stream::new(self.streams + 1, reach, Millis::MIN + 1, from - 1);
        self.streams += 2;
    }

    /// Starts over after a time in which nothing was sent: what is overdue now is caught up with at half the rate.
    pub fn resume(&mut self, now: Millis) {
        self.begin_streams(now);
        self.sorted = false;
    }

    /// The lane is this node's from now on; the last owner has left what it knew.
    pub fn begin(&mut self, left: LaneStatus, now: Millis) {
        self.token = Token::after(left.forced).patient(!self.is_first());
        self.pause = left.pause.filter(|pause| now < pause.until);
        self.failures = u32::from(self.pause.is_some());
        (self.fruitless, self.quiet_until, self.quota) = (0, 0, left.quota);
        self.rate.resume(left.halved, now);
        left.suspended.iter().for_each(|suspended| self.inherits(suspended));
        self.errands = if self.is_first() { Errands::new(None, now) } else { Errands::of_another_shard(now) };
        (self.wake_suspended, self.behind) = (true, Behind::default());
        // What has come due since its last owner stopped is no backlog, and goes before what is due later.
        self.begin_streams(now - BACKLOG_AFTER);
        self.sorted = false;
    }

    fn inherits(&mut self, suspended: &SuspendedTemplate) {
        let SuspendedTemplate { template, code, why, until, blame } = suspended.clone();
        if let Some(number) = self.templates.number(&template) {
            self.templates.breakers.inherit(number, Suspension { until, blame, code, why });
        }
    }

    /// Another lane of the app has suspended a template: here the platform would refuse it, too. It is believed once until it says so anew,
    /// so that what is accepted here meanwhile counts.
    pub fn hears_of(&mut self, suspended: &SuspendedTemplate, now: Millis) {
        let heard = self.heard.entry(suspended.template.clone()).or_insert(Millis::MIN);
        if suspended.until > now.max(*heard) {
            *heard = suspended.until;
            self.inherits(suspended);
        }
    }

    /// The lane is another's: what was read of it is dropped.
    pub fn end(&mut self, now: Millis) {
        self.begin_streams(now);
    }

    /// Another secret: what waited because of the old one is tried at once.
    pub fn renew(&mut self, adapter: Arc<dyn Adapter>, transport: Arc<dyn Transport>, now: Millis) {
        (self.adapter, self.transport) = (adapter, transport);
        self.token.try_now(now);
        if let Some(pause) = &mut self.pause {
            pause.until = now;
        }
    }

    /// This is what the platform listed last.
    pub fn knows(&mut self, listing: Arc<Listing>, now: Millis) {
        if self.is_first() {
            self.errands = Errands::new(Some(listing.read_at), now);
        }
        self.templates.learn(listing);
    }

    /// Whether it stands for the app: it alone asks the platform which templates there are.
    pub fn is_first(&self) -> bool {
        self.id == self.home
    }

    /// Which part of the app's limits it has from now on.
    pub fn has_share(&mut self, share: Share) {
        if self.share != share {
            self.share = share;
            self.rate.configure(share.of_limit(self.app.rate));
        }
    }

    /// Which part of its app it is, where that is divided.
    pub fn shard(&self) -> Option<u32> {
        (self.share != Share::WHOLE).then_some(self.share.part)
    }

    /// What others see of it.
    pub fn status<'a>(&self, status: &'a mut Status) -> &'a mut LaneStatus {
        if self.divided { status.shards.entry(self.id).or_default() } else { status.lane(&self.app.name) }
    }

    /// Whether the first look at the queue is done, or is another's.
    pub fn looked(&self) -> bool {
        self.hold == Holding::Elsewhere || self.live.has_looked() && self.backlog.has_looked()
    }

    /// The clock was set back: waits last no longer because of it.
    pub fn set_back(&mut self, by: Millis) {
        self.token.set_back(by);
        self.rate.set_back(by);
        self.spacing.set_back(by);
        self.learnt_at = self.learnt_at.saturating_sub(by);
        self.quiet_until = 0;
        self.behind.set_back(by);
        self.templates.breakers.set_back(by);
        self.errands.set_back(by);
        if let Some(pause) = &mut self.pause {
            pause.since -= by;
            pause.until -= by;
        }
    }

    /// What follows for a job that cannot be resent safely.
    pub fn open_doubt(&self, job: &Job, now: Millis) -> Decision {
        open_doubt(&job.due, &self.app.rules, self.templates.on_doubt(job.template), now)
    }

    /// What is written down about a job that a crash has cut off.
    pub fn cut_off(&self, job: &Job, now: Millis) -> Settlement {
        cut_off(&job.due, self.templates.on_doubt(job.template), now)
    }

    /// Whether a job may go, whose schedule has this gate.
    pub fn decide(&self, job: &Job, gate: Gate, now: Millis) -> Decision {
        decide(&job.due, &job.body.openid, &self.app.rules, gate, self.templates.on_doubt(job.template), now)
    }

    /// Rows at these instants changed.
    pub fn ring(&mut self, ring: Ring) {
        self.live.ring(ring);
        self.backlog.ring(ring);
    }

    /// The next read, if one is wanted.
    pub fn wants(&mut self, now: Millis) -> Option<Read> {
        self.live.wants(now).or_else(|| self.backlog.wants(now))
    }

    /// A read is done. If its stream has been replaced since, the read is ignored.
    pub fn fill(&mut self, read: Read, jobs: Vec<Job>) {
        let mut jobs = Some(jobs);
        for stream in [&mut self.live, &mut self.backlog] {
            if stream.asked(read) {
                stream.fill(read, jobs.take().unwrap_or_default(), &self.active, &self.open);
            }
        }
    }

    /// A job is no longer under way. If it comes again, its settlement rings.
    pub fn done_with(&mut self, id: ReminderId) {
        self.active.remove(&id);
        self.live.leaves(id);
        self.backlog.leaves(id);
    }

    /// A job that was to leave did not, and takes nothing of the rate.
    pub fn give_back(&mut self, job: &Job) {
        self.rate.give_back(job.due.due_at < self.live.begins());
    }

    /// A read failed; it is asked for again.
    pub fn unfilled(&mut self, read: Read) {
        for stream in [&mut self.live, &mut self.backlog] {
            if stream.asked(read) {
                stream.unfilled(read);
            }
        }
    }

    /// How many may be marked now.
    pub fn window(&self) -> usize {
        let most = if self.failures > 0 || self.fruitless >= FRUITLESS_IN_A_ROW {
            1
        } else {
            self.share.of_limit(self.app.concurrency) as usize
        };
        most.saturating_sub(self.in_flight)
    }

    /// Takes out of the buffers the jobs that can be acted upon now: all that are settled without a call, and as many sends as the gate lets
    /// through.
    pub fn pick(&mut self, now: Millis, may_send: bool, marker: impl Fn(NodeId) -> Marker) -> Vec<Pick> {
        let mut window = if may_send && !self.marking && self.quiet_until <= now { self.window() } else { 0 };
        let mut picks = Vec::new();
        // When the first user who waits may have another message, and whether anything but such users keeps this look from going on.
        let (mut first_free, mut stopped) = (None, false);
        for backlog in [false, true] {
            let stream = if backlog { &mut self.backlog } else { &mut self.live };
            // A job that is taken is active at once: the buffer may have it a second time, as it was changed since.
            let mut taken = Vec::new();
            let mut users = HashSet::new();
            let mut looked = 0;
            for (place, job) in stream.due(now) {
                if self.active.contains(&job.due.id) {
                    // Read twice, as it was and as it is, and under way already: its settlement will ring.
                    taken.push((*place, None));
                    continue;
                }
                let marker = job.marker.map_or(Marker::Gone(Millis::MAX), &marker);
                let by_another = job.due.state == State::Sending && !marker.has_let_go();
                if by_another && !self.others.forgot(job.due.id, job.due.fence, now) {
                    // Another node answers for it: its user has a message under way.
                    users.insert(job.recipient);
                    first_free = sooner(first_free, now + OTHERS);
                    continue;
                }
                looked += 1;
                if looked > LOOK {
                    stopped = true;
                    break;
                }
                let on_doubt = self.templates.on_doubt(job.template);
                let gate = self.gates.here(self.home, job.schedule);
                let decision = decide(&job.due, &job.body.openid, &self.app.rules, gate, on_doubt, now);
                match decision {
                    // A closed gate, or quiet hours of its schedule's own, hold nothing else back.
                    Decision::Closed => {}
                    Decision::Wait { .. } if gate.quiet != Quiet::App => {}
                    Decision::Wait { until } => {
                        self.quiet_until = until;
                        window = 0;
                    }
                    Decision::Settle(_) | Decision::CutOff => {
                        self.active.insert(job.due.id);
                        taken.push((*place, Some(decision)));
                    }
                    // Bytes of its first request may leave at any time, as long as it is not proved that their node is gone. That may be for
                    // ever, so it does not stay at the head of the lane: it is read again with all the rest.
                    Decision::Send | Decision::Resend if job.due.state == State::InDoubt && !marker.lets_resend() => {
                        taken.push((*place, None));
                    }
                    Decision::Send | Decision::Resend => {
                        let throttled = window > 0 && !self.rate.ready(backlog, now);
                        if throttled && self.throttled_last.replace(job.due.id) != Some(job.due.id) {
                            self.throttled.inc();
                        }
                        if window == 0 || throttled {
                            // Behind it there may still be something that ends without a call, but not within this look.
                            stopped = true;
                            break;
                        }
                        if self.busy.contains(&job.recipient) || users.contains(&job.recipient) {
                            continue;
                        }
                        if let Some(until) = self.spacing.waits(job.recipient, now) {
                            first_free = sooner(first_free, until);
                            continue;
                        }
                        if let Some(waits) = self.templates.suspends(job, &self.active, now) {
                            self.active.insert(job.due.id);
                            taken.push((*place, Some(Decision::Settle(waits))));
                            continue;
                        }
                        users.insert(job.recipient);
                        // A probe is seen by those behind it, too.
                        self.active.insert(job.due.id);
                        self.rate.take(backlog, now);
                        window -= 1;
                        taken.push((*place, Some(decision)));
                    }
                }
            }
            for (place, decision) in taken {
                let mut job = stream.take(&place).expect("just seen");
                let Some(decision) = decision else { continue };
                picks.push(match decision {
                    Decision::Settle(settlement) => Pick::Settle(job, settlement),
                    Decision::CutOff => Pick::CutOff(job),
                    decision => {
                        job.blind = decision == Decision::Resend;
                        job.epoch = self.hold.epoch();
                        self.busy.insert(job.recipient);
                        self.in_flight += 1;
                        Pick::Mark(job)
                    }
                });
            }
        }
        self.spacing.looked(first_free.filter(|_| !stopped));
        picks
    }

    /// When this lane next has something to do by itself; `None` when only an event can move it.
    pub fn next_wake(&self, now: Millis, may_send: bool) -> Option<Millis> {
        let gates = (self.gates_change_at < Millis::MAX).then_some(self.gates_change_at);
        self.next_go(now, may_send).into_iter().chain(gates).min()
    }

    /// When its next job may go.
    fn next_go(&self, now: Millis, may_send: bool) -> Option<Millis> {
        let due = self.next_due()?;
        if due > now {
            return Some(due);
        }
        let waits = [self.quiet_until, self.pause.as_ref().map_or(0, |p| p.until)]
            .into_iter()
            .max()
            .filter(|until| *until > now);
        match waits {
            Some(until) => Some(until),
            // A full window or a missing token is waited for by its own event.
            None if self.window() == 0 || self.marking || !may_send => None,
            None if self.spacing.all_wait(now).is_some() => {
                let next = [self.live.first_after(now), self.backlog.first_after(now)];
                next.into_iter().chain([self.spacing.all_wait(now)]).flatten().min()
            }
            None if self.live.first().is_some_and(|at| at <= now) => Some(self.rate.ready_at(false).max(now + 1)),
            None => Some(self.rate.ready_at(true).max(now + 1)),
        }
    }

    /// The earliest instant in memory.
    pub fn next_due(&self) -> Option<Millis> {
        [self.live.first(), self.backlog.first()].into_iter().flatten().min()
    }

    /// What a code means and what to do, with the platform's own words.
    pub fn meaning(&self, code: &str, words: &str) -> Message {
        let Some(meaning) = self.app.platform.meaning(code) else { return Message::text(words) };
        match self.adapter.refused_address(code, words) {
            Some(address) => say!("platform_saw_address", meaning = meaning, address = address, words = words),
            None => say!("meaning_and_words", meaning = meaning, words = words),
        }
    }

    /// The day's sends are used up: the pause that follows lasts until the platform says that some are left again.
    pub fn run_out(&mut self) {
        self.quota_is_out = true;
    }

    /// The platform says what is left.
    pub fn quota_said(&mut self, quota: Quota, now: Millis) {
        self.quota = Some(QuotaAsked { quota, at: now });
        let allowed = quota.rate.map(|(calls, seconds)| calls / seconds).and_then(|n| u32::try_from(n).ok());
        self.rate.allow(allowed.map(|allowed| self.share.of_limit(allowed)));
        if self.quota_is_out && quota.left <= 0 {
            if let Some(pause) = &mut self.pause {
                pause.until = now + 10 * MINUTE;
            }
        } else {
            self.quota_is_out = false;
        }
    }

    /// The platform does not say what is left: one send will show.
    pub fn quota_unsaid(&mut self) {
        self.quota_is_out = false;
    }

    /// The platform answered, and said something of use.
    pub fn answered(&mut self) {
        self.failures = 0;
        self.fruitless = 0;
        self.token.worked();
    }

    /// The platform says that it was too much: the rate halves, down to one a second.
    pub fn slow_down(&mut self, now: Millis) {
        self.rate.halve(now);
        tracing::warn!(
            app = self.app.name,
            rate = self.rate.per_second(),
            "too many sends for the platform: the rate is halved for a while"
        );
    }

    /// No connection: everything waits, then one probe goes out.
    pub fn unreachable(&mut self, why: &Message, began_at: Millis, now: Millis, jitter: f64) {
        if began_at <= self.learnt_at {
            return;
        }
        self.learnt_at = now;
        let until = now + backoff(self.failures.min(6), SECOND, jitter);
        self.failures += 1;
        self.pause(now, until, "not_sent", why);
    }

    /// A send came to nothing: its outcome is unknown, or the platform was busy. After several in a row the lane goes on by single probes,
    /// ever more slowly.
    pub fn fruitless(&mut self, code: &str, why: &Message, began_at: Millis, now: Millis, jitter: f64) {
        if began_at <= self.learnt_at {
            return;
        }
        self.fruitless += 1;
        if self.fruitless >= FRUITLESS_IN_A_ROW {
            self.learnt_at = now;
            let until = now + backoff((self.fruitless - FRUITLESS_IN_A_ROW).min(6), 5 * SECOND, jitter);
            self.pause(now, until, code, why);
        }
    }

    /// The credentials for a request, if one can leave now: on a platform without tokens it always can.
    pub fn auth(&self, now: Millis) -> Option<Auth> {
        match self.adapter.tokens() {
            Some(_) => self.token.usable(now).cloned().map(Auth::Token),
            None => Some(Auth::Nothing),
        }
    }

    /// Whether a request can leave now.
    pub fn may_ask(&self, now: Millis) -> bool {
        self.adapter.tokens().is_none() || self.token.usable(now).is_some()
    }

    /// The platform refused the credentials of a request, as `code` and `why` tell.
    pub fn reject(&mut self, auth: &Auth, code: &str, why: &Message, now: Millis, jitter: f64) {
        if let Auth::Token(token) = auth {
            self.token.reject(token, code, why, now, jitter);
        }
    }

    /// Without a token nothing goes out, and the pause shows everybody why.
    pub fn wait_for_token(&mut self, now: Millis) {
        if let Some((until, trouble)) = self.token.wanting(now) {
            let Trouble { code, why } = trouble.clone();
            self.pause(now, until, &code, &why);
        }
    }

    /// An answer has shown something that a person should look into.
    pub fn remark(&mut self, remark: &Message, now: Millis) {
        let told = remark.to_string();
        if self.remarks.is_due(&told, now) {
            tracing::error!(app = self.app.name, "{told}");
        }
    }

    /// Nothing of this lane goes out before `until`; afterwards one probe does.
    pub fn pause(&mut self, now: Millis, until: Millis, code: &str, why: &Message) {
        self.failures = self.failures.max(1);
        if self.pause.as_ref().is_none_or(|pause| pause.until < until) {
            tracing::warn!(
                app = self.app.name,
                code,
                %why,
                until = crate::domain::timing::rfc3339(until),
                "the app's sends are paused"
            );
            let since = self.pause.as_ref().map_or(now, |pause| pause.since);
            self.pause = Some(Pause { since, until, code: code.into(), why: why.clone() });
        }
    }

    /// Ends a pause whose time has come. After a long one, what has become overdue is caught up with and not burst out.
    pub fn end_pause(&mut self, now: Millis) {
        if self.quota_is_out
            && let Some(pause) = self.pause.as_mut().filter(|pause| pause.until <= now)
        {
            // First the platform is asked.
            self.errands.ask_quota(now);
            pause.until = now + SECOND;
            return;
        }
        if let Some(pause) = self.pause.take_if(|pause| pause.until <= now)
            && now - pause.since >= BACKLOG_AFTER
        {
            self.resume(now);
        }
    }
}
