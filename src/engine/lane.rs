//! One app's due-ordered stream, as the engine holds it in memory: what has been read, what is under way, what holds it up.

use super::{
    breaker::Breakers,
    errands::Errands,
    pace::Pace,
    signals::{Pause, QuotaAsked},
    stream::{Reach, Read, Stream},
};
use crate::{
    config::App,
    domain::{
        MINUTE, Millis, SECOND,
        decide::{Decision, cut_off, decide, open_doubt},
        reminder::ReminderId,
        settle::{SUSPENDED_AT_MOST, Settlement, backoff, template_suspended},
        template::{Listing, OnDoubt, Template, UNCONFIGURED},
    },
    metrics::{ByApp, Metrics},
    platform::{
        Adapter, Quota,
        token::{Token, Trouble},
    },
    store::port::{Job, Ring},
    words::{Both, Message, say},
};
use prometheus_client::metrics::histogram::Histogram;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Jobs looked at in one turn behind ones that cannot go yet.
const LOOK: usize = 4_096;
/// Sends in a row that came to nothing, after which only single probes go out: a platform that has fallen silent, or is busy, must not eat
/// the queue.
const FRUITLESS_IN_A_ROW: u32 = 5;

/// How long a halved rate lasts before it doubles.
const RECOVERS: Millis = 300 * SECOND;

/// After so long without sends, because of a pause or because the machine slept, the overdue are a backlog.
pub const BACKLOG_AFTER: Millis = 60 * SECOND;

/// A configured template, as a lane needs it.
pub struct Configured {
    /// The platform's id.
    code: String,
    /// What its owner wants of a doubt.
    on_doubt: OnDoubt,
}

impl From<&Template> for Configured {
    fn from(template: &Template) -> Self {
        Self { code: template.code.clone(), on_doubt: template.on_doubt }
    }
}

/// One app's lane.
pub struct Lane {
    pub id: i64,
    pub app: Arc<App>,
    pub adapter: Arc<dyn Adapter>,
    /// Its configured templates.
    templates: HashMap<i64, Configured>,
    pub token: Token,
    /// The lane's own histograms, so that a send does not look them up.
    pub lateness: Histogram,
    pub platform_latency: Histogram,
    pub reach: Reach,
    pub live: Stream,
    pub backlog: Stream,
    /// How many streams there were.
    streams: u64,
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
    pub pause: Option<Pause>,
    pub breakers: Breakers,
    pub errands: Errands,
    /// What waits for a suspended template may go: at the start, and when the platform has listed its templates.
    pub wake_suspended: bool,
    /// What the platform said was left of the day's sends.
    pub quota: Option<QuotaAsked>,
    /// The day's sends are used up: the platform is asked for more, and not tried.
    quota_is_out: bool,
    /// Sends a second that the platform allows, as it says.
    allowed: Option<u32>,
    /// What the platform listed last as the app's templates.
    listing: Option<Arc<Listing>>,
    /// How many of the configured templates it does not have so.
    out_of_step: usize,
    failures: u32,
    fruitless: u32,
    /// How often the rate was halved, and when it last changed.
    halved: u32,
    halved_at: Millis,
    pace: Pace,
    catch_up: Pace,
    quiet_until: Millis,
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

impl Lane {
    pub fn new(
        id: i64,
        app: Arc<App>,
        adapter: Arc<dyn Adapter>,
        templates: HashMap<i64, Configured>,
        metrics: &Metrics,
        now: Millis,
    ) -> Self {
        let reach = Reach::default();
        let by_app = ByApp { app: app.name.clone() };
        Self {
            id,
            lateness: metrics.lateness.get_or_create(&by_app).clone(),
            platform_latency: metrics.platform_latency.get_or_create(&by_app).clone(),
            pace: Pace::new(app.rate),
            catch_up: Pace::new((app.rate / 2).max(1)),
            app,
            adapter,
            templates,
            token: Token::default(),
            reach,
            live: Stream::new(0, reach, now, Millis::MAX),
            backlog: Stream::new(1, reach, Millis::MIN + 1, now - 1),
            streams: 2,
            active: HashSet::new(),
            busy: HashSet::new(),
            in_flight: 0,
            marking: false,
            sorted: false,
            sweeping: false,
            pause: None,
            breakers: Breakers::default(),
            errands: Errands::new(None, now),
            wake_suspended: true,
            quota: None,
            quota_is_out: false,
            allowed: None,
            listing: None,
            out_of_step: 0,
            failures: 0,
            fruitless: 0,
            halved: 0,
            halved_at: 0,
            quiet_until: 0,
        }
    }

    /// Starts over after a time in which nothing was sent: what is overdue now is caught up with at half the rate.
    pub fn resume(&mut self, now: Millis) {
        self.live = Stream::new(self.streams, self.reach, now, Millis::MAX);
        self.backlog = Stream::new(self.streams + 1, self.reach, Millis::MIN + 1, now - 1);
        self.streams += 2;
        self.sorted = false;
    }

    /// Another secret: what the former one held up is tried at once.
    pub fn renew(&mut self, adapter: Arc<dyn Adapter>, now: Millis) {
        self.adapter = adapter;
        self.token.try_now(now);
        if let Some(pause) = &mut self.pause {
            pause.until = now;
        }
    }

    /// Whether the first look at the queue is done.
    pub fn looked(&self) -> bool {
        self.live.has_looked() && self.backlog.has_looked()
    }

    /// The clock was set back: what is to last so long lasts no longer.
    pub fn set_back(&mut self, by: Millis) {
        self.token.set_back(by);
        self.pace.set_back(by);
        self.catch_up.set_back(by);
        self.quiet_until = 0;
        self.halved_at -= by;
        self.breakers.set_back(by);
        self.errands.set_back(by);
        if let Some(pause) = &mut self.pause {
            pause.since -= by;
            pause.until -= by;
        }
    }

    /// What follows for a job that cannot be resent safely.
    pub fn open_doubt(&self, job: &Job, now: Millis) -> Decision {
        open_doubt(&job.due, &self.app.rules, self.on_doubt(job), now)
    }

    /// What is written down about a job that a crash has cut off.
    pub fn cut_off(&self, job: &Job, now: Millis) -> Settlement {
        cut_off(&job.due, self.on_doubt(job), now)
    }

    /// Whether a job may go.
    pub fn decide(&self, job: &Job, now: Millis) -> Decision {
        decide(&job.due, &job.body.openid, &self.app.rules, self.on_doubt(job), now)
    }

    fn on_doubt(&self, job: &Job) -> OnDoubt {
        self.templates.get(&job.template).map(|template| template.on_doubt).unwrap_or_default()
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

    /// A read is done. One that a stream asked for that stands no more is of no use.
    pub fn fill(&mut self, read: Read, jobs: Vec<Job>) {
        let mut jobs = Some(jobs);
        for stream in [&mut self.live, &mut self.backlog] {
            if stream.asked(read) {
                stream.fill(read, jobs.take().unwrap_or_default(), &self.active);
            }
        }
    }

    /// A job is no longer under way. Whatever comes of it rings.
    pub fn done_with(&mut self, id: ReminderId) {
        self.active.remove(&id);
        self.live.leaves(id);
        self.backlog.leaves(id);
    }

    /// A job that was to leave did not, and takes nothing of the rate.
    pub fn give_back(&mut self, job: &Job) {
        self.pace.give_back();
        if job.due.due_at < self.live.begins() {
            self.catch_up.give_back();
        }
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
        let most =
            if self.failures > 0 || self.fruitless >= FRUITLESS_IN_A_ROW { 1 } else { self.app.concurrency as usize };
        most.saturating_sub(self.in_flight)
    }

    /// Takes out of the buffers what can be acted upon now: whatever ends without a call, and as many sends as the gate lets through.
    pub fn pick(&mut self, now: Millis, may_send: bool) -> Vec<Pick> {
        let mut window = if may_send && !self.marking && self.quiet_until <= now { self.window() } else { 0 };
        let mut picks = Vec::new();
        for backlog in [false, true] {
            let stream = if backlog { &mut self.backlog } else { &mut self.live };
            // What is taken is active at once: the buffer may hold it a second time, as it was changed since.
            let mut taken = Vec::new();
            let mut users = HashSet::new();
            for (place, job) in stream.due(now).take(LOOK) {
                if self.active.contains(&job.due.id) {
                    // Read twice, as it was and as it is, and under way already: whatever comes of that rings.
                    taken.push((*place, None));
                    continue;
                }
                let template = self.templates.get(&job.template);
                let on_doubt = template.map(|template| template.on_doubt).unwrap_or_default();
                let decision = decide(&job.due, &job.body.openid, &self.app.rules, on_doubt, now);
                match decision {
                    Decision::Wait { until } => {
                        self.quiet_until = until;
                        window = 0;
                    }
                    Decision::Settle(_) | Decision::CutOff => {
                        self.active.insert(job.due.id);
                        taken.push((*place, Some(decision)));
                    }
                    Decision::Send | Decision::Resend => {
                        let ready = self.pace.ready(now) && (!backlog || self.catch_up.ready(now));
                        if window == 0 || !ready {
                            // Behind it there may still be something that ends without a call, but not within this look.
                            break;
                        }
                        if self.busy.contains(&job.recipient) || users.contains(&job.recipient) {
                            continue;
                        }
                        if let Some(suspension) = self.breakers.suspends(job.template, job.due.id, &self.active, now) {
                            let why = say!("platform_keeps_refusing", code = suspension.code, why = suspension.why);
                            let wait = template_suspended(&job.due, suspension.until, why);
                            self.active.insert(job.due.id);
                            taken.push((*place, Some(Decision::Settle(wait))));
                            continue;
                        }
                        let why = match template {
                            None => Some(UNCONFIGURED.to_owned()),
                            Some(Configured { code, .. }) => {
                                self.listing.as_ref().and_then(|listing| listing.refuses(code, &job.body.data))
                            }
                        };
                        if let Some(why) = why {
                            // Not at once after its instant, then ever more rarely.
                            let until = now + (now - job.due.at).clamp(10 * MINUTE, SUSPENDED_AT_MOST);
                            self.active.insert(job.due.id);
                            taken.push((
                                *place,
                                Some(Decision::Settle(template_suspended(&job.due, until, Message::text(why)))),
                            ));
                            continue;
                        }
                        users.insert(job.recipient);
                        // A probe is seen by those behind it, too.
                        self.active.insert(job.due.id);
                        self.pace.take(now);
                        if backlog {
                            self.catch_up.take(now);
                        }
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
                        self.busy.insert(job.recipient);
                        self.in_flight += 1;
                        Pick::Mark(job)
                    }
                });
            }
        }
        picks
    }

    /// When this lane next has something to do by itself; `None` when only an event can move it.
    pub fn next_wake(&self, now: Millis, may_send: bool) -> Option<Millis> {
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
            None if self.live.first().is_some_and(|at| at <= now) => Some(self.pace.ready_at().max(now + 1)),
            None => Some(self.pace.ready_at().max(self.catch_up.ready_at()).max(now + 1)),
        }
    }

    /// The earliest instant in memory.
    pub fn next_due(&self) -> Option<Millis> {
        [self.live.first(), self.backlog.first()].into_iter().flatten().min()
    }

    /// What a code means and what to do, with the platform's own words.
    pub fn meaning(&self, code: &str, words: &str) -> Message {
        let Some((en, zh)) = self.adapter.meaning(code) else { return Message::text(words) };
        let meaning = Both { en, zh };
        match self.adapter.refused_address(code, words) {
            Some(address) => say!("platform_saw_address", meaning = meaning, address = address, words = words),
            None => say!("meaning_and_words", meaning = meaning, words = words),
        }
    }

    /// Takes over what the platform lists as the app's templates, and tells of those that are newly out of step with it.
    pub fn learn(&mut self, listing: Arc<Listing>) {
        let before = self.listing.replace(Arc::clone(&listing));
        let differing = self.app.templates.iter().map(|t| (t, listing.differences(t)));
        let differing: Vec<(&Template, Vec<String>)> = differing.filter(|(_, why)| !why.is_empty()).collect();
        let in_step = |(_, template): &(&i64, &Configured)| !differing.iter().any(|(t, _)| t.code == template.code);
        self.templates.iter().filter(in_step).for_each(|(id, _)| self.breakers.listed(*id));
        let app = &self.app.name;
        for (template, why) in &differing {
            if before.as_ref().is_none_or(|before| before.differences(template) != *why) {
                let (template, why) = (&template.code, why.join("; "));
                tracing::error!(
                    app,
                    template,
                    why,
                    "a template is out of step with the platform's; messages that it would refuse wait"
                );
            }
        }
        if self.out_of_step > 0 && differing.is_empty() {
            tracing::info!(app, "all templates are in step with the platform's again");
        }
        self.out_of_step = differing.len();
    }

    /// How many of the configured templates the platform does not have so, as far as is known.
    pub fn out_of_step(&self) -> usize {
        self.out_of_step
    }

    /// The day's sends are used up: the pause that follows lasts until the platform says that some are left again.
    pub fn run_out(&mut self) {
        self.quota_is_out = true;
    }

    /// The platform says what is left.
    pub fn quota_said(&mut self, quota: Quota, now: Millis) {
        self.quota = Some(QuotaAsked { quota, at: now });
        let allowed = quota.rate.map(|(calls, seconds)| calls / seconds).and_then(|n| u32::try_from(n).ok());
        if self.allowed != allowed {
            self.allowed = allowed;
            self.set_paces();
        }
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
        self.halved = (self.halved + 1).min(16);
        self.set_halved(now);
        tracing::warn!(
            app = self.app.name,
            rate = self.rate(),
            "too many sends for the platform: the rate is halved for a while"
        );
    }

    /// After some minutes without a complaint the rate doubles again.
    pub fn speed_up(&mut self, now: Millis) {
        if self.halved > 0 && now - self.halved_at >= RECOVERS {
            self.halved -= 1;
            self.set_halved(now);
        }
    }

    fn set_halved(&mut self, now: Millis) {
        self.halved_at = now;
        self.set_paces();
    }

    fn set_paces(&mut self) {
        let rate = self.rate();
        self.pace.set_rate(rate);
        self.catch_up.set_rate(rate / 2);
    }

    /// Sends per second for now.
    pub fn rate(&self) -> u32 {
        let most = self.allowed.map_or(self.app.rate, |allowed| allowed.min(self.app.rate));
        (most >> self.halved).max(1)
    }

    /// No connection: everything waits, then one probe goes out.
    pub fn unreachable(&mut self, why: &Message, now: Millis, jitter: f64) {
        let until = now + backoff(self.failures.min(6), SECOND, jitter);
        self.failures += 1;
        self.pause(now, until, "not_sent", why);
    }

    /// A send came to nothing: its outcome is unknown, or the platform was busy. After several in a row the lane goes on by single probes,
    /// ever more slowly.
    pub fn fruitless(&mut self, code: &str, why: &Message, now: Millis, jitter: f64) {
        self.fruitless += 1;
        if self.fruitless >= FRUITLESS_IN_A_ROW {
            let until = now + backoff((self.fruitless - FRUITLESS_IN_A_ROW).min(6), 5 * SECOND, jitter);
            self.pause(now, until, code, why);
        }
    }

    /// Without a token nothing goes out, and everybody who looks must see why.
    pub fn wait_for_token(&mut self, now: Millis) {
        if let Some((until, trouble)) = self.token.wanting(now) {
            let Trouble { code, why } = trouble.clone();
            self.pause(now, until, &code, &why);
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
