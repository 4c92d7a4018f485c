//! Asks the platform which templates there are and how many sends are left. [`super::errands`] decides when.

use super::{Done, Engine, errands::Errand, limited};
use crate::{
    domain::{
        Millis,
        outcome::{Outcome, Reaction},
        template::Listing,
    },
    platform::{Answer, Auth, transport::Failure},
    store::StoreError,
    words::{Message, say},
};
use std::sync::Arc;

impl Engine {
    /// Asks the next question, if it is time for one.
    pub(super) fn ask(&mut self, i: usize, now: Millis) {
        let lane = &mut self.lanes[i];
        if std::mem::take(&mut lane.wake_suspended) {
            let woken = self.store.wake_suspended(lane.id, now);
            self.tasks.spawn(async move { Done::Woken { lane: i, woken: limited(woken).await } });
        }
        let Some(errand) = lane.errands.next(now) else { return };
        let Some(auth) = lane.auth(now) else { return };
        let request = match errand {
            Errand::Templates => lane.adapter.listings().map(|listings| listings.request(&auth, now)),
            Errand::Quota => lane.adapter.quotas().map(|quotas| quotas.request(&auth, now)),
        };
        let Some(request) = request else {
            lane.errands.never(errand);
            match errand {
                Errand::Templates => self.templates_asked(i, Some(say!("platform_lists_no_templates"))),
                // One that has run out, and cannot be asked, would wait for ever.
                Errand::Quota => lane.quota_unsaid(),
            }
            return;
        };
        lane.errands.begin();
        let transport = Arc::clone(&lane.transport);
        self.tasks.spawn(async move {
            let unsent = |(Failure::NotSent(cause) | Failure::Unknown(cause))| Outcome::NotSent { cause };
            let answer = transport.call(request).await.map_err(unsent);
            Done::Asked { lane: i, errand, answer, auth }
        });
    }

    /// A question is answered, or not.
    pub(super) fn answered(
        &mut self,
        i: usize,
        errand: Errand,
        answer: Result<Answer, Outcome>,
        auth: &Auth,
        now: Millis,
    ) {
        let problem = match errand {
            Errand::Quota => self.quota_answered(i, answer, now),
            Errand::Templates => self.templates_answered(i, answer, now),
        };
        let Err(problem) = problem else { return };
        let jitter = self.jitter();
        let lane = &mut self.lanes[i];
        let why = match &problem {
            Outcome::Answered { code, text, reaction: Reaction::Quota { .. } } if errand == Errand::Templates => {
                say!("listed_a_few_times_a_day", code = code, words = text)
            }
            Outcome::Answered { code, text, .. } => say!("code_and_why", code = code, why = lane.meaning(code, text)),
            Outcome::NotSent { cause } | Outcome::Unknown { cause } => cause.clone(),
            Outcome::Accepted { .. } => say!("answer_to_another_question"),
        };
        if let Outcome::Answered { reaction: Reaction::Token, code, .. } = &problem {
            lane.reject(auth, code, &why, now, jitter);
        }
        tracing::warn!(app = lane.app.name, %why, "the platform did not answer {}; it is asked again", errand.words());
        if errand == Errand::Templates {
            self.templates_asked(i, Some(why));
        }
    }

    fn quota_answered(&mut self, i: usize, answer: Result<Answer, Outcome>, now: Millis) -> Result<(), Outcome> {
        let lane = &mut self.lanes[i];
        lane.errands.quota_asked(now);
        match answer.and_then(|answer| lane.adapter.quotas().expect("it was asked").read(&answer)) {
            Ok(quota) => {
                lane.quota_said(quota, now);
                Ok(())
            }
            Err(outcome) => {
                lane.quota_unsaid();
                Err(outcome)
            }
        }
    }

    fn templates_answered(&mut self, i: usize, answer: Result<Answer, Outcome>, now: Millis) -> Result<(), Outcome> {
        let lane = &mut self.lanes[i];
        match answer.and_then(|answer| lane.adapter.listings().expect("it was asked").read(&answer)) {
            Ok(templates) => {
                let listing = Arc::new(Listing { read_at: now, templates });
                lane.templates.learn(Arc::clone(&listing));
                lane.wake_suspended = true;
                lane.errands.templates_asked(lane.templates.out_of_step() == 0, now);
                let kept = self.store.keep_listing(&lane.app.name, listing);
                self.tasks.spawn(async move { Done::ListingKept { lane: i, kept: limited(kept).await } });
                self.templates_asked(i, None);
                (0..self.lanes.len()).for_each(|other| self.hear_of_others(other, now));
                Ok(())
            }
            Err(outcome) => {
                lane.errands.templates_asked(false, now);
                Err(outcome)
            }
        }
    }

    /// Everybody who waits for a reading sees that it is done.
    fn templates_asked(&self, i: usize, problem: Option<Message>) {
        self.signals.publish(|status| {
            let asked = &mut self.lanes[i].status(status).templates_asked;
            asked.times += 1;
            asked.problem = problem;
        });
    }

    /// A listing was kept in the store, or not.
    pub(super) fn listing_kept(&self, i: usize, kept: Result<(), StoreError>) {
        // It is known all the same, and the next start reads it again.
        if let Err(e) = kept {
            tracing::warn!(app = self.lanes[i].app.name, error = %e, "the platform's templates could not be kept");
        }
    }

    /// What waited for a suspended template was brought forward, or not.
    pub(super) fn woken(&mut self, i: usize, woken: Result<u64, StoreError>) {
        match woken {
            Ok(0) => {}
            Ok(woken) => tracing::info!(
                app = self.lanes[i].app.name,
                woken,
                "reminders that waited for a suspended template are tried again"
            ),
            Err(_) => self.lanes[i].wake_suspended = true,
        }
    }
}
