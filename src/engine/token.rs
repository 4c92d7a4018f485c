//! Keeps an app's token good by asking the platform for one. [`crate::platform::token`] decides when.

use super::{Done, Engine};
use crate::{
    domain::{Millis, SECOND, outcome::Outcome, settle::backoff, timing::rfc3339},
    platform::{
        Granted, Request,
        token::{Need, Trouble},
        transport::Failure,
    },
    words::say,
};
use std::sync::Arc;

impl Engine {
    /// Keeps an app's token good. While the clock is distrusted, a fetch also asks the platform what time it is.
    pub(super) fn keep_token(&mut self, i: usize, now: Millis) {
        if self.lanes[i].adapter.tokens().is_none() {
            return self.ask_the_time(i);
        }
        let ask = self.clockwatch.distrusted().is_some() && self.clockwatch.wants_witness(self.clock.monotonic());
        let lane = &mut self.lanes[i];
        let Some(tokens) = lane.adapter.tokens() else { return };
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
        let request = tokens.request(force);
        lane.token.begin(force, now);
        let (transport, adapter) = (Arc::clone(&lane.transport), Arc::clone(&lane.adapter));
        self.tasks.spawn(async move {
            let (granted, date) = match transport.call(request).await {
                Ok(answer) => (adapter.tokens().expect("one was asked for").read(&answer), answer.date),
                Err(Failure::NotSent(cause) | Failure::Unknown(cause)) => (Err(Outcome::NotSent { cause }), None),
            };
            Done::Token { lane: i, granted, date }
        });
    }

    /// On a platform without tokens nothing else shows what time it is there before the first message leaves: it is asked for whatever page it
    /// has. Any answer will do.
    fn ask_the_time(&mut self, i: usize) {
        let lane = &self.lanes[i];
        let wanted = self.clockwatch.distrusted().is_some() || lane.next_due().is_some();
        if self.clockwatch.trusted() || !wanted || !self.clockwatch.wants_witness(self.clock.monotonic()) {
            return;
        }
        let (transport, request) = (Arc::clone(&lane.transport), Request::get(lane.app.base_url.clone()));
        self.tasks.spawn(async move { Done::Time(transport.call(request).await.ok().map(|answer| answer.date)) });
    }

    /// A platform was asked what time it is, and answered or not.
    pub(super) fn time_told(&mut self, answered: Option<Option<Millis>>, now: Millis) {
        if answered.is_some() {
            self.watch_clock(now, answered);
        }
    }

    /// The platform has granted a token, or not; and it may have said what time it is.
    pub(super) fn token_answered(
        &mut self,
        i: usize,
        granted: Result<Granted, Outcome>,
        date: Option<Millis>,
        now: Millis,
    ) {
        let jitter = self.jitter();
        if !matches!(granted, Err(Outcome::NotSent { .. })) {
            self.watch_clock(now, Some(date));
        }
        let lane = &mut self.lanes[i];
        let outcome = match granted {
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
            Outcome::Accepted { .. } => ("unknown".to_owned(), say!("answer_to_another_question"), later(SECOND)),
        };
        if lane.token.usable(now).is_some() {
            let (app, until) = (&lane.app.name, rfc3339(lane.token.expires_at()));
            tracing::warn!(app, code, %why, until, "the token could not be renewed; the one there is serves on");
        }
        lane.token.failed(Trouble { code, why: say!("without_token", why = why) }, pause, now);
    }
}
