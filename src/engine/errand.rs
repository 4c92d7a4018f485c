//! What a lane asks its platform beside sending: which templates there are, and how many sends are left today.

use super::{Done, Engine, lane::Lane, limited};
use crate::{
    domain::{
        DAY, HOUR, MINUTE, Millis,
        outcome::{Outcome, Reaction},
        template::Listing,
    },
    platform::{Answer, transport::Failure},
};
use secrecy::SecretString;
use std::sync::Arc;

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Which templates there are. The platforms answer it a few times a day only.
    Templates,
    /// How many sends are left today.
    Quota,
}

impl Errand {
    fn words(self) -> &'static str {
        match self {
            Self::Templates => "which templates there are",
            Self::Quota => "how many sends are left",
        }
    }
}

/// How often the quota is asked for while nothing is wrong.
const QUOTA_EVERY: Millis = HOUR;
/// The shortest time between two readings that nobody has ordered; it doubles, up to a day, while something is wrong.
const READ_AGAIN: Millis = 10 * MINUTE;

/// When an app's questions are asked next, one at a time.
#[derive(Debug)]
pub struct Errands {
    under_way: bool,
    templates_at: Millis,
    quota_at: Millis,
    /// Readings in a row after which something was wrong.
    wrong: u32,
    read_at: Millis,
}

impl Errands {
    /// At the daemon's start everything is asked, but for what has just been read by a daemon that is starting over and over.
    pub fn new(read_at: Option<Millis>, now: Millis) -> Self {
        let read_at = read_at.filter(|at| *at <= now).unwrap_or(Millis::MIN / 2);
        Self { under_way: false, templates_at: now.max(read_at + READ_AGAIN), quota_at: now, wrong: 0, read_at }
    }

    /// What to ask now.
    pub fn next(&self, now: Millis) -> Option<Errand> {
        if self.under_way {
            None
        } else if now >= self.quota_at {
            Some(Errand::Quota)
        } else {
            (now >= self.templates_at).then_some(Errand::Templates)
        }
    }

    /// A question has left.
    pub fn begin(&mut self) {
        self.under_way = true;
    }

    /// The quota is to be asked for at once.
    pub fn ask_quota(&mut self, now: Millis) {
        self.quota_at = now;
    }

    /// Somebody wants the templates read at once.
    pub fn ask_templates(&mut self, now: Millis) {
        self.templates_at = now;
    }

    /// A refusal says that a template may have changed: it is read again soon.
    pub fn suspect(&mut self, now: Millis) {
        self.templates_at = self.templates_at.min(now.max(self.read_at + READ_AGAIN));
    }

    /// The quota was answered, or not.
    pub fn quota_asked(&mut self, now: Millis) {
        self.under_way = false;
        self.quota_at = now + QUOTA_EVERY;
    }

    /// The templates were listed and are `in_step`, or not; or nothing was answered.
    pub fn templates_asked(&mut self, in_step: bool, now: Millis) {
        self.under_way = false;
        self.read_at = now;
        self.wrong = if in_step { 0 } else { (self.wrong + 1).min(16) };
        self.templates_at = now + if in_step { DAY } else { (READ_AGAIN << (self.wrong - 1)).min(DAY) };
    }

    /// The clock was set back.
    pub fn set_back(&mut self, by: Millis) {
        self.templates_at -= by;
        self.quota_at -= by;
        self.read_at -= by;
    }
}

impl Engine {
    /// Asks the platform what is to be asked beside sending.
    pub(super) fn ask(&mut self, i: usize, now: Millis) {
        let lane = &mut self.lanes[i];
        if std::mem::take(&mut lane.wake_held) {
            let woken = self.store.wake_suspended(lane.id, now);
            self.tasks.spawn(async move { Done::Woken(i, limited(woken).await) });
        }
        let Some(errand) = lane.errands.next(now) else { return };
        let Some(token) = lane.token.usable(now).cloned() else { return };
        lane.errands.begin();
        let transport = Arc::clone(&self.transport);
        let request = match errand {
            Errand::Templates => lane.adapter.templates_request(&token),
            Errand::Quota => lane.adapter.quota_request(&token),
        };
        self.tasks.spawn(async move {
            let answer = transport.call(request).await;
            let unsent = |(Failure::NotSent(cause) | Failure::Unknown(cause))| Outcome::NotSent { cause };
            let answer = answer.map_err(unsent);
            Done::Asked(i, errand, answer, token)
        });
    }

    /// What was asked is answered, or not.
    pub(super) fn asked(
        &mut self,
        i: usize,
        errand: Errand,
        answer: Result<Answer, Outcome>,
        token: &SecretString,
        now: Millis,
    ) {
        let jitter = self.jitter();
        let lane = &mut self.lanes[i];
        let app = lane.app.name.clone();
        let problem = match errand {
            Errand::Quota => {
                lane.errands.quota_asked(now);
                match answer.and_then(|answer| lane.adapter.read_quota(&answer)) {
                    Ok(quota) => return lane.quota_said(quota, now),
                    Err(outcome) => {
                        lane.quota_unsaid();
                        outcome
                    }
                }
            }
            Errand::Templates => match answer.and_then(|answer| lane.adapter.read_templates(&answer)) {
                Ok(templates) => {
                    let listing = Arc::new(Listing { read_at: now, templates });
                    learn(lane, Arc::clone(&listing));
                    lane.wake_held = true;
                    lane.errands.templates_asked(lane.out_of_step() == 0, now);
                    self.templates_asked(i, None);
                    let kept = self.store.keep_listing(&app, listing);
                    self.tasks.spawn(async move { Done::Kept(limited(kept).await) });
                    return;
                }
                Err(outcome) => {
                    lane.errands.templates_asked(false, now);
                    outcome
                }
            },
        };
        let why = match &problem {
            Outcome::Answered { code, text, reaction: Reaction::Quota { .. } } if errand == Errand::Templates => {
                format!(
                    "{code}: they are listed a few times a day only, and that is used up; what was listed last counts ({text})"
                )
            }
            Outcome::Answered { code, text, .. } => format!("{code}: {}", lane.meaning(code, text)),
            Outcome::NotSent { cause } | Outcome::Unknown { cause } => cause.clone(),
            Outcome::Accepted { .. } => "an answer to another question".into(),
        };
        if let Outcome::Answered { reaction: Reaction::Token, code, .. } = &problem {
            lane.token.reject(token, code, &why, now, jitter);
        }
        tracing::warn!(app, why, "the platform did not answer {}; it is asked again", errand.words());
        if errand == Errand::Templates {
            self.templates_asked(i, Some(why));
        }
    }

    /// Whoever waits for a reading sees that it is done.
    fn templates_asked(&self, i: usize, problem: Option<String>) {
        let mut status = self.signals.status.lock().expect("nobody panics while writing it");
        let asked = &mut status.lanes.entry(self.lanes[i].app.name.clone()).or_default().templates_asked;
        *asked = (asked.0 + 1, problem);
    }
}

/// Hands a listing to its lane, and tells of what is out of step with it.
pub fn learn(lane: &mut Lane, listing: Arc<Listing>) {
    let (app, before) = (lane.app.name.clone(), lane.out_of_step());
    for (template, why) in lane.learn(listing) {
        tracing::error!(
            app,
            template,
            why,
            "a template is out of step with the platform's; what it would refuse is held"
        );
    }
    if before > 0 && lane.out_of_step() == 0 {
        tracing::info!(app, "all templates are in step with the platform's again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_at_the_start_daily_and_after_something_is_wrong_ever_more_rarely() {
        let mut errands = Errands::new(None, 0);
        assert_eq!(errands.next(0), Some(Errand::Quota));
        errands.begin();
        assert_eq!(errands.next(0), None, "one at a time");
        errands.quota_asked(0);
        assert_eq!(errands.next(0), Some(Errand::Templates));
        // (in step?, minutes until the next reading)
        for (in_step, minutes) in [(true, 1_440), (false, 10), (false, 20), (false, 40), (true, 1_440)] {
            errands.begin();
            errands.templates_asked(in_step, 0);
            errands.quota_at = Millis::MAX;
            assert_eq!(errands.next(minutes * MINUTE - 1), None, "{in_step} {minutes}");
            assert_eq!(errands.next(minutes * MINUTE), Some(Errand::Templates), "{in_step} {minutes}");
        }
        errands.suspect(MINUTE);
        assert_eq!(errands.next(MINUTE), None, "it was read a minute ago");
        assert_eq!(errands.next(READ_AGAIN), Some(Errand::Templates));
        errands.ask_templates(MINUTE);
        assert_eq!(errands.next(MINUTE), Some(Errand::Templates), "somebody wants it");
    }

    #[test]
    fn a_daemon_that_starts_over_and_over_does_not_spend_the_platforms_patience() {
        let mut errands = Errands::new(Some(9 * MINUTE), 10 * MINUTE);
        errands.quota_asked(10 * MINUTE);
        assert_eq!(errands.next(10 * MINUTE), None);
        assert_eq!(errands.next(19 * MINUTE), Some(Errand::Templates));
    }
}
