//! The flight of one message: picked at its instant, marked, sent, settled.

use super::{
    Done, Engine,
    done::Sent,
    lane::{Holding, Pick},
    limited,
    settlements::Pending,
};
use crate::{
    domain::{
        Millis,
        consent::Ticket,
        decide::{Decision, consent_ended, gave_up, no_consent, turned_off},
        node::{Marker, NodeId},
        outcome::{Outcome, Reaction},
        reminder::State,
        settle::{Next, Settlement, gate_closed, settle, store_failed},
        timing::rfc3339,
    },
    metrics::{ByApp, ByAppAnd},
    platform::{Send, transport::Failure},
    store::{
        StoreError,
        port::{Entry, Job, Marked, Ring, Target},
    },
    words::say,
};
use futures_util::FutureExt;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

impl Engine {
    /// Picks what can go or end at this instant.
    pub(super) fn pick(&mut self, i: usize, now: Millis) {
        let lane = &mut self.lanes[i];
        let may_send = lane.pause.is_none() && lane.may_ask(now);
        let mut marks = Vec::new();
        let (owned, monotonic) = (self.owned.clone(), self.clock.monotonic());
        let gone = Marker::Gone(Millis::MAX);
        let marker = |node| owned.as_ref().map_or(gone, |owned| owned.marker(node, monotonic));
        for pick in lane.pick(now, may_send, marker) {
            match pick {
                Pick::Mark(job) => marks.push(job),
                Pick::Settle(job, settlement) => self.settle_unmarked(i, &job, settlement, now),
                Pick::CutOff(job) => {
                    let settlement = self.lanes[i].cut_off(&job, now);
                    self.settle_unmarked(i, &job, settlement, now);
                }
            }
        }
        if !marks.is_empty() {
            self.mark(i, marks);
        }
    }

    fn mark(&mut self, i: usize, jobs: Vec<Job>) {
        self.lanes[i].marking = true;
        let (store, by) = (Arc::clone(&self.store), self.owned.as_ref().map(|owned| owned.me));
        self.tasks.spawn(async move {
            let verdicts = limited(store.mark(jobs.clone())).await;
            Done::Marked { lane: i, by, jobs, verdicts }
        });
    }

    /// Jobs were marked, or not. Those that were are sent.
    pub(super) fn marked(
        &mut self,
        i: usize,
        by: Option<NodeId>,
        jobs: Vec<Job>,
        verdicts: Result<Vec<Marked>, StoreError>,
        now: Millis,
    ) {
        self.lanes[i].marking = false;
        let Ok(verdicts) = verdicts else { return self.marks_failed(i, by, &jobs, now) };
        let mut again = Vec::new();
        for (job, verdict) in jobs.into_iter().zip(verdicts) {
            match verdict {
                Marked::Yes => self.send(i, job, None, now),
                Marked::By(ticket) => self.send(i, job, Some(ticket), now),
                Marked::Late => {
                    self.release(i, &job);
                    // It was changed: as it is now it may have been read meanwhile, and passed over because this one was under way.
                    self.lanes[i].ring(Ring::EVERYTHING);
                }
                Marked::Fenced => {
                    self.release(i, &job);
                    self.fenced(i);
                }
                Marked::TurnedOff => {
                    let settlement = turned_off(&job.due, &self.lanes[i].app.rules, now);
                    self.settle_instead(i, &job, settlement, now);
                }
                Marked::Ended { ends_at } => {
                    let settlement = consent_ended(&job.due, &self.lanes[i].app.rules, ends_at, now);
                    self.settle_instead(i, &job, settlement, now);
                }
                Marked::NotSole if job.due.state != State::InDoubt => self.settle_instead(i, &job, gave_up(), now),
                Marked::NotSole => match self.lanes[i].open_doubt(&job, now) {
                    Decision::Settle(settlement) => self.settle_instead(i, &job, settlement, now),
                    _ => again.push(Job { blind: true, ..job }),
                },
                Marked::NoConsent => self.settle_instead(i, &job, no_consent(&job.due), now),
            }
        }
        if !again.is_empty() {
            self.mark(i, again);
        }
    }

    /// Whether the marks are in the store is unknown; that nothing was sent is certain. Both are taken back: as marked rows, and where
    /// the fence says that they are not, nothing is touched and they are simply read again.
    ///
    /// If they are not in the store, another node that has the lane since may have marked the same rows, which look the same but for who did.
    fn marks_failed(&mut self, i: usize, by: Option<NodeId>, jobs: &[Job], now: Millis) {
        for job in jobs {
            self.lanes[i].busy.remove(&job.recipient);
            let target = Target { marker: by, ..job.target(true) };
            let entry = Entry { target, settlement: store_failed(&job.due, now), began_at: None, ended_at: now };
            self.settlements.push(Pending { lane: i, marked: true, entry }, self.clock.now());
        }
    }

    /// A lane is not this node's any more, or its gates have closed: until somebody has looked nothing is begun in it.
    fn fenced(&mut self, i: usize) {
        let lane = &mut self.lanes[i];
        if lane.hold.may_begin() {
            lane.hold = Holding::Unsure;
            self.metrics.fenced_marks.get_or_create(&ByApp { app: lane.app.name.clone() }).inc();
            self.signals.meet_fence();
        }
        // As it is now it is read again.
        lane.ring(Ring::EVERYTHING);
    }

    /// A job that was to be marked, and was not, is no longer under way.
    fn release(&mut self, i: usize, job: &Job) {
        let lane = &mut self.lanes[i];
        lane.done_with(job.due.id);
        lane.busy.remove(&job.recipient);
        lane.in_flight -= 1;
        lane.give_back(job);
    }

    /// A job that was to be marked is settled instead.
    fn settle_instead(&mut self, i: usize, job: &Job, settlement: Settlement, now: Millis) {
        self.release(i, job);
        self.lanes[i].active.insert(job.due.id);
        self.settle_unmarked(i, job, settlement, now);
    }

    fn send(&mut self, i: usize, job: Job, ticket: Option<Ticket>, now: Millis) {
        let lane = &self.lanes[i];
        // Marking took its time: the gate is asked once more at the very last moment, as it is now.
        let decision = lane.decide(&job, self.store.gates().here(lane.home, job.schedule), now);
        let goes = matches!(decision, Decision::Send | Decision::Resend);
        // A process that stood still since the mark may have lost its lanes: nothing of it leaves then.
        let trusted = self.signals.is_trusted(self.clock.monotonic());
        let Some(auth) = lane.auth(now).filter(|_| goes && trusted) else {
            let until = if let Decision::Wait { until } = decision { until } else { now };
            let settlement = gate_closed(&job.due, until);
            self.settle_marked(i, &job, settlement, None, now);
            return;
        };
        let (transport, adapter, clock) =
            (Arc::clone(&lane.transport), Arc::clone(&lane.adapter), Arc::clone(&self.clock));
        let code = self.store.code(job.template).to_owned();
        self.tasks.spawn(async move {
            let send = Send {
                openid: &job.body.openid,
                template: &code,
                page: job.body.page.as_deref(),
                data: &job.body.data,
                options: &job.body.options,
                ticket: ticket.as_ref(),
            };
            let began_at = clock.now();
            let call = async {
                match transport.call(adapter.build(&send, &auth, began_at)).await {
                    Ok(answer) => (adapter.classify(&answer), adapter.remark(&answer)),
                    Err(Failure::NotSent(cause)) => (Outcome::NotSent { cause }, None),
                    Err(Failure::Unknown(cause)) => (Outcome::Unknown { cause }, None),
                }
            };
            // A fault of ours over one message must not stop the others.
            let (outcome, remark) = AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!(reminder = %job.due.id, "a fault of tixing while sending; please report it with what stands above");
                (Outcome::Unknown { cause: say!("fault_of_ours") }, None)
            });
            let outcome = outcome.kept(&job.body.openid);
            let ended_at = clock.now();
            Done::Sent(Sent { lane: i, job: Box::new(job), outcome, remark, auth, began_at, ended_at })
        });
    }

    /// A message was sent, or could not be: its lane learns from it, and it is settled.
    pub(super) fn sent(&mut self, sent: Sent) {
        let jitter = self.jitter();
        self.learn_from(&sent, jitter);
        self.measure(&sent);
        if let Some(remark) = &sent.remark {
            self.lanes[sent.lane].remark(remark, sent.ended_at);
        }
        self.alarm(&sent);
        let Sent { lane, job, outcome, began_at, ended_at, .. } = sent;
        let label = outcome.label();
        let settlement = settle(&job.due, job.blind, outcome, ended_at, jitter);
        self.log(lane, &job, &settlement, label, began_at);
        self.settle_marked(lane, &job, settlement, Some(began_at), ended_at);
    }

    /// What an outcome says about its app, its template and its token.
    fn learn_from(&mut self, sent: &Sent, jitter: f64) {
        let (job, began_at, now) = (&sent.job, sent.began_at, sent.ended_at);
        let lane = &mut self.lanes[sent.lane];
        let (code, text, reaction) = match &sent.outcome {
            Outcome::NotSent { cause } => return lane.unreachable(cause, began_at, now, jitter),
            Outcome::Unknown { cause } => return lane.fruitless("unknown", cause, began_at, now, jitter),
            Outcome::Accepted { .. } => {
                lane.answered();
                return lane.templates.breakers.accepted(job.template);
            }
            Outcome::Answered { code, text, reaction } => (code, text, *reaction),
        };
        let blame = lane.app.blames(code);
        if matches!(reaction, Reaction::Refuse | Reaction::Deny) && blame.is_none() {
            // The many refusals that concern one user alone: nobody is told why, so no sentence is made.
            return lane.answered();
        }
        let why = lane.meaning(code, text);
        match reaction {
            Reaction::Token => return lane.reject(&sent.auth, code, &why, now, jitter),
            Reaction::Busy { .. } | Reaction::Unsure { .. } => {
                lane.token.worked();
                return lane.fruitless(code, &why, began_at, now, jitter);
            }
            _ => lane.answered(),
        }
        if let Some(pause) = reaction.pause() {
            match reaction {
                Reaction::Slow { .. } => lane.slow_down(now),
                Reaction::Quota { .. } => lane.run_out(),
                Reaction::Ban { .. } => lane.templates.breakers.banned(job.template, code, &why, pause, now),
                _ => {}
            }
            lane.pause(now, now + pause, code, &why);
        } else if let Some(blame) = blame {
            lane.errands.suspect(now);
            if let Some(suspension) = lane.templates.breakers.refused(job.template, blame, code, &why, now) {
                let (template, until) = (self.store.code(job.template), rfc3339(suspension.until));
                tracing::error!(
                    app = lane.app.name,
                    template,
                    code,
                    why = %suspension.why,
                    until,
                    "a template is suspended; its other reminders wait"
                );
            }
        }
    }

    /// An answer whose code nobody has listed: what follows from it is a guess, so somebody is to know.
    fn alarm(&mut self, sent: &Sent) {
        let lane = &mut self.lanes[sent.lane];
        let Outcome::Answered { code, text, reaction } = &sent.outcome else { return };
        if !matches!(reaction, Reaction::Refuse | Reaction::Unlisted { .. }) || lane.app.knows(code) {
            return;
        }
        self.metrics.unlisted_codes.get_or_create(&ByApp { app: lane.app.name.clone() }).inc();
        if lane.unlisted.saw(code, sent.ended_at) {
            tracing::error!(
                app = lane.app.name,
                code,
                text,
                "the platform answered with a code that is not listed; `codes` of the app says what it means"
            );
        }
    }

    fn measure(&self, sent: &Sent) {
        let lane = &self.lanes[sent.lane];
        let app = || lane.app.name.clone();
        if let Outcome::Answered { code, .. } = &sent.outcome {
            let what = lane.app.platform.code(code).map_or("other", |known| known.code);
            self.metrics.errors.get_or_create(&ByAppAnd { app: app(), what }).inc();
        }
        let seconds = |ms: Millis| Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64();
        lane.lateness.observe(seconds(sent.began_at - sent.job.due.at));
        lane.platform_latency.observe(seconds(sent.ended_at - sent.began_at));
        self.metrics.sends.get_or_create(&ByAppAnd { app: app(), what: sent.outcome.label() }).inc();
    }

    fn log(&self, i: usize, job: &Job, settlement: &Settlement, outcome: &str, began_at: Millis) {
        let app = &self.lanes[i].app.name;
        // Looked up only if it is told.
        let user = || self.store.pseudonym(&job.body.openid);
        let (code, why) = (&settlement.code, settlement.said().map(|said| said.to_string()));
        match &settlement.next {
            Next::Final(State::Sent) => {
                tracing::debug!(reminder = %job.due.id, app, user = user(), late_ms = began_at - job.due.at, "sent");
            }
            next @ Next::Doubt { .. } => tracing::warn!(
                reminder = %job.due.id, app, user = user(), outcome, why, next = next.told(), "in doubt: it may have arrived"
            ),
            next => tracing::info!(
                reminder = %job.due.id, app, user = user(), outcome, code, why, next = next.told(), "not sent"
            ),
        }
    }

    /// Queues the settlement of a job that was marked.
    fn settle_marked(&mut self, i: usize, job: &Job, settlement: Settlement, began_at: Option<Millis>, now: Millis) {
        self.lanes[i].busy.remove(&job.recipient);
        if began_at.is_some() {
            self.lanes[i].spacing.answered(job.recipient, now);
        }
        let entry = Entry { target: job.target(true), settlement, began_at, ended_at: now };
        self.settlements.push(Pending { lane: i, marked: true, entry }, self.clock.now());
    }

    /// Queues the settlement of a job that was never marked.
    pub(super) fn settle_unmarked(&mut self, i: usize, job: &Job, settlement: Settlement, now: Millis) {
        let mut target = job.target(false);
        target.epoch = self.lanes[i].hold.epoch();
        let entry = Entry { target, settlement, began_at: None, ended_at: now };
        self.settlements.push(Pending { lane: i, marked: false, entry }, self.clock.now());
    }

    /// Writes the next batch of settlements, if it is time.
    pub(super) fn write_settlements(&mut self, now: Millis) {
        let Some(batch) = self.settlements.next_batch(now, self.stopping) else { return };
        let store = Arc::clone(&self.store);
        self.tasks.spawn(async move {
            let written = store.settle(batch.iter().map(|pending| pending.entry.clone()).collect());
            Done::Settled { written: limited(written).await, batch }
        });
    }

    /// A batch of settlements was written, or not.
    pub(super) fn settled(&mut self, batch: Vec<Pending>, written: Result<Vec<bool>, StoreError>) {
        let Ok(written) = written else { return self.settlements.put_back(batch) };
        self.settlements.written();
        for (Pending { lane, marked, entry }, written) in batch.iter().zip(written) {
            let lane = &mut self.lanes[*lane];
            let due = &entry.target.due;
            lane.done_with(due.id);
            lane.in_flight -= usize::from(*marked);
            if written && !marked && due.state == State::Sending {
                // Only now: the node that was sending it may have said what came of it meanwhile.
                tracing::warn!(reminder = %due.id, app = lane.app.name, "found in doubt: cut off while it was being sent");
            }
            if !written {
                tracing::info!(reminder = %due.id, app = lane.app.name, "had been changed or settled already; nothing was written");
                // As it is now it may have been read meanwhile, and passed over because this one was under way.
                lane.ring(Ring::EVERYTHING);
                if entry.target.epoch.is_some() {
                    self.signals.meet_fence();
                }
            }
            match entry.settlement.next {
                Next::Again { due_at: at, .. } | Next::Doubt { look_at: at } => lane.ring(Ring { from: at, until: at }),
                Next::Final(_) => {}
            }
        }
    }
}
