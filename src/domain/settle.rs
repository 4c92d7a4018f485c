//! From an outcome to what is written down.

use super::{
    HOUR, Millis, SECOND,
    due::Due,
    outcome::{Outcome, Reaction},
    reason::{Reason, said},
    reminder::State,
    timing::rfc3339,
};
use crate::words::Message;

/// What is written down about a reminder after an attempt, or instead of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Where the reminder goes.
    pub next: Next,
    /// The platform's code, or one of tixing's own words such as `expired`.
    pub code: Option<String>,
    /// What tixing says.
    pub reason: Option<Reason>,
    /// The platform's words.
    pub text: Option<String>,
    /// What becomes of the consent.
    pub consent: Consent,
    /// The platform's message id.
    pub message_id: Option<String>,
}

/// Where a reminder goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It ends here (I8).
    Final(State),
    /// Known not to have been accepted: scheduled again.
    Again {
        /// When.
        due_at: Millis,
        /// How the attempt counts.
        counted: Counted,
    },
    /// It may have been accepted.
    Doubt {
        /// When to look again.
        look_at: Millis,
    },
}

impl Next {
    /// Where it goes, for the log.
    pub fn told(&self) -> String {
        match self {
            Self::Final(state) => state.word().to_owned(),
            Self::Again { due_at, .. } => format!("again at {}", rfc3339(*due_at)),
            Self::Doubt { look_at } => format!("in doubt until {}", rfc3339(*look_at)),
        }
    }
}

/// How an attempt counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Not at all: it is handed back.
    No,
    /// Towards the next delay.
    Delay,
    /// Towards the next delay, and as one of those that may, though hardly, have been accepted.
    Unsure,
}

/// What becomes of the consent that the reminder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Stays with the reminder: held while it lives, used once it was sent.
    Keep,
    /// Available again.
    Free,
    /// Void, with all others of this user and template: the platform knows none.
    Deny,
}

impl Settlement {
    /// Whether it leaves open what became of a request, so that a receipt would know better.
    pub fn leaves_open(&self) -> bool {
        matches!(self.next, Next::Doubt { .. } | Next::Final(State::Unconfirmed))
    }

    /// What is said about it.
    pub fn said(&self) -> Option<Message> {
        said(self.reason.as_ref(), self.text.as_deref())
    }

    /// What follows from a reason of tixing's own.
    pub fn because(next: Next, reason: Reason, consent: Consent) -> Self {
        let code = Some(reason.code().to_owned());
        Self { next, code, reason: Some(reason), text: None, consent, message_id: None }
    }

    /// An end by the platform's word.
    pub fn end(state: State, code: &str, text: &str, consent: Consent) -> Self {
        let (code, text) = (Some(code.to_owned()), Some(text.to_owned()));
        Self { next: Next::Final(state), code, reason: None, text, consent, message_id: None }
    }
}

/// How a reminder ends of which a store on hold does not know whether it was sent.
pub fn assumed_sent() -> Settlement {
    Settlement::because(Next::Final(State::Unconfirmed), Reason::Restored, Consent::Keep)
}

/// The same of one that holds no consent: none is used, and one that it is about to lose is not kept.
pub fn assumed_sent_without_consent() -> Settlement {
    Settlement { consent: Consent::Free, ..assumed_sent() }
}

/// How a doubt ends that has a receipt: the platform had accepted the message, whatever became of it then.
pub fn received() -> Settlement {
    Settlement::because(Next::Final(State::Sent), Reason::Received, Consent::Keep)
}

/// The longest that a suspended template's reminders wait before one is tried, or looked at, again.
pub const SUSPENDED_AT_MOST: Millis = 2 * HOUR;

/// A reminder whose template is suspended comes again when that may have ended.
pub fn template_suspended(due: &Due, until: Millis, why: Message) -> Settlement {
    comes_again(due, due.again_at(until), Reason::TemplateSuspended { why })
}

/// A reminder was marked, and cannot go any more: it comes again when that is over.
pub fn gate_closed(due: &Due, until: Millis) -> Settlement {
    comes_again(due, due.again_at(until), Reason::GateClosed)
}

/// Whether a reminder was marked is unknown, since the store failed; that it was not sent is certain. It goes back to its place.
pub fn store_failed(due: &Due, now: Millis) -> Settlement {
    let at = if due.state == State::InDoubt { due.again_at(now) } else { due.due_at };
    comes_again(due, at, Reason::StoreFailed)
}

/// No request has left. A doubt, which is about an earlier one, stays a doubt.
fn comes_again(due: &Due, at: Millis, reason: Reason) -> Settlement {
    let next = if due.state == State::InDoubt {
        Next::Doubt { look_at: at }
    } else {
        Next::Again { due_at: at, counted: Counted::No }
    };
    Settlement::because(next, reason, Consent::Keep)
}

/// How long after an unreadable outcome, or a crash, a doubt is looked at. The bytes of a request outlive their process in the kernel, which
/// goes on for as long as `platform::transport::Limits::unheard` says: this must be longer, or a resend overtakes the first request.
pub const DOUBT_LOOK: Millis = 12 * SECOND;
/// The longest delay between two tries.
pub const MAX_BACKOFF: Millis = 300 * SECOND;

/// The delay before the try after `tries` tries: doubles from `first`, at most [`MAX_BACKOFF`], then scaled into its upper
/// half by `jitter` (0 to 1). With `first` = 2 s: 1–2, 2–4, 4–8, … 150–300 s.
pub fn backoff(tries: u32, first: Millis, jitter: f64) -> Millis {
    let whole = first.saturating_mul(1_i64 << tries.min(20)).clamp(1, MAX_BACKOFF);
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "at most 300,000 ms")]
    let delay = (whole as f64 * jitter.clamp(0.0, 1.0).mul_add(0.5, 0.5)) as Millis;
    delay.max(1)
}

/// Settles one attempt. `due` is the reminder as it was when it was marked; for a resend its state is `InDoubt`, and it is `blind` if
/// the first message may have arrived without spending the consent that the second would need. There is one blind resend at most.
///
/// A retry never lies beyond the deadline: it is brought forward to it, and `decide` ends the reminder there.
/// Nor before the instant, to which a clock that was set back may return.
pub fn settle(due: &Due, blind: bool, outcome: Outcome, now: Millis, jitter: f64) -> Settlement {
    // What an operator wants sent again is scheduled, and its first request may have arrived all the same.
    let wanted = due.state == State::Scheduled && due.doubt_since.is_some();
    let (resend, blind) = (due.state == State::InDoubt || wanted, blind || wanted);
    let later = |delay: Millis, counted: Counted| {
        let at = due.again_at(now + delay);
        // What is known about a resend says nothing about the first request: the doubt stays.
        if resend { Next::Doubt { look_at: at } } else { Next::Again { due_at: at, counted } }
    };
    match outcome {
        Outcome::Accepted { message_id } => {
            let next = Next::Final(State::Sent);
            Settlement { next, code: None, reason: None, text: None, consent: Consent::Keep, message_id }
        }
        Outcome::Unknown { cause } if blind => {
            Settlement::because(Next::Final(State::Unconfirmed), Reason::SentTwice { cause }, Consent::Keep)
        }
        Outcome::Unknown { cause } => {
            let next = Next::Doubt { look_at: due.again_at(now + DOUBT_LOOK) };
            Settlement::because(next, Reason::AnswerLost { cause }, Consent::Keep)
        }
        Outcome::NotSent { cause } => {
            let next = later(backoff(0, 2 * SECOND, jitter), Counted::No);
            Settlement::because(next, Reason::NeverLeft { cause }, Consent::Keep)
        }
        // A refusal of the second request says nothing about the first.
        Outcome::Answered { code, text, reaction } if resend && refuses(reaction, blind) => {
            unconfirmed(Reason::SecondRefused { code }, text)
        }
        Outcome::Answered { code, text, reaction: Reaction::Deny } if !resend && due.unsure > 0 => {
            unconfirmed(Reason::RefusedAfterUnsure { code }, text)
        }
        Outcome::Answered { code, text, reaction } => {
            let (next, consent) = match reaction {
                // The only consent is gone: the first request had arrived and spent it.
                Reaction::Deny if resend => (Next::Final(State::Sent), Consent::Keep),
                Reaction::Deny => (Next::Final(State::Failed), Consent::Deny),
                Reaction::Refuse => (Next::Final(State::Failed), Consent::Free),
                Reaction::Unlisted { max, .. } if due.unsure + 1 >= max && !resend => {
                    (Next::Final(State::Failed), Consent::Free)
                }
                Reaction::Later { first } | Reaction::Busy { first } => {
                    (later(backoff(due.tries, first, jitter), Counted::Delay), Consent::Keep)
                }
                Reaction::Unsure { first } | Reaction::Unlisted { first, .. } => {
                    (later(backoff(due.tries, first, jitter), Counted::Unsure), Consent::Keep)
                }
                Reaction::Token => (later(1, Counted::No), Consent::Keep),
                // The lane's pause keeps it back, so that it goes with the others when that ends.
                Reaction::Pause { .. } | Reaction::Slow { .. } | Reaction::Quota { .. } | Reaction::Ban { .. } => {
                    (later(1, Counted::No), Consent::Keep)
                }
            };
            Settlement { next, code: Some(code), reason: None, text: Some(text), consent, message_id: None }
        }
    }
}

/// The platform refused one request, which says nothing about another.
fn unconfirmed(reason: Reason, text: String) -> Settlement {
    let settlement = Settlement::because(Next::Final(State::Unconfirmed), reason, Consent::Keep);
    Settlement { text: Some(text), ..settlement }
}

/// Whether an answer ends a resend and says nothing about the first request. That no consent is left proves the first only where it
/// held the sole one.
fn refuses(reaction: Reaction, blind: bool) -> bool {
    reaction == Reaction::Refuse || blind && reaction == Reaction::Deny
}

#[cfg(test)]
mod tests {
    use super::{super::reminder::ReminderId, *};
    use crate::words::say;

    fn lost() -> Message {
        say!("no_answer_in_time")
    }

    fn due(state: State) -> Due {
        let (id, expires_at, doubt_since) = (ReminderId(1), 60_000, None);
        Due { id, due_at: 1_000, at: 1_000, expires_at, state, fence: 1, tries: 0, unsure: 0, doubt_since }
    }

    #[test]
    fn what_could_not_leave_comes_again_and_a_doubt_stays_one() {
        type Settles = fn(&Due) -> Settlement;
        let why = || Message::text("it is gone");
        // (settlement at 10,000 of a reminder that was due at 1,000 and ends at 60,000) → when it comes again
        let table: [(Settles, i64, i64, &str); 5] = [
            (|due| gate_closed(due, 10_000), 10_000, 10_000, "not_sent"),
            (|due| gate_closed(due, 99_000), 60_000, 60_000, "not_sent"),
            (|due| store_failed(due, 10_000), 1_000, 10_000, "not_sent"),
            (|due| template_suspended(due, 30_000, Message::text("it is gone")), 30_000, 30_000, "template_held"),
            (|due| template_suspended(due, 0, Message::text("it is gone")), 1_000, 1_000, "template_held"),
        ];
        for (settlement, due_at, look_at, code) in table {
            let (scheduled, doubt) = (settlement(&due(State::Scheduled)), settlement(&due(State::InDoubt)));
            assert_eq!(scheduled.next, Next::Again { due_at, counted: Counted::No });
            assert_eq!(doubt.next, Next::Doubt { look_at });
            for settlement in [scheduled, doubt] {
                assert_eq!((settlement.code.as_deref(), settlement.consent), (Some(code), Consent::Keep));
            }
        }
        let reason = template_suspended(&due(State::Scheduled), 0, why()).reason;
        assert_eq!(reason, Some(Reason::TemplateSuspended { why: why() }));
    }

    #[test]
    fn every_outcome_has_one_settlement() {
        let answered = |reaction| Outcome::Answered { code: "1".into(), text: String::new(), reaction };
        let busy = Reaction::Busy { first: 2_000 };
        let strange = Reaction::Unlisted { max: 3, first: 2_000 };
        let unsure = Reaction::Unsure { first: 2_000 };
        use {Consent::*, State::*};
        // (outcome, resend, tries so far) → (next, consent)
        let table = [
            (Outcome::Accepted { message_id: None }, false, 0, Next::Final(Sent), Keep),
            (Outcome::Accepted { message_id: None }, true, 0, Next::Final(Sent), Keep),
            (Outcome::Unknown { cause: lost() }, false, 0, Next::Doubt { look_at: 22_000 }, Keep),
            (Outcome::NotSent { cause: lost() }, false, 7, Next::Again { due_at: 12_000, counted: Counted::No }, Keep),
            (Outcome::NotSent { cause: lost() }, true, 0, Next::Doubt { look_at: 12_000 }, Keep),
            (answered(Reaction::Deny), false, 0, Next::Final(Failed), Deny),
            (answered(Reaction::Deny), true, 0, Next::Final(Sent), Keep),
            (answered(Reaction::Refuse), false, 0, Next::Final(Failed), Free),
            (answered(Reaction::Refuse), true, 0, Next::Final(Unconfirmed), Keep),
            (answered(busy), false, 0, Next::Again { due_at: 12_000, counted: Counted::Delay }, Keep),
            (answered(busy), false, 1, Next::Again { due_at: 14_000, counted: Counted::Delay }, Keep),
            (answered(busy), false, 4, Next::Again { due_at: 42_000, counted: Counted::Delay }, Keep),
            (answered(busy), false, 40, Next::Again { due_at: 60_000, counted: Counted::Delay }, Keep),
            (answered(unsure), false, 1, Next::Again { due_at: 14_000, counted: Counted::Unsure }, Keep),
            (answered(strange), false, 1, Next::Again { due_at: 14_000, counted: Counted::Unsure }, Keep),
            (answered(strange), false, 2, Next::Final(Failed), Free),
            (answered(busy), true, 2, Next::Doubt { look_at: 18_000 }, Keep),
            (answered(Reaction::Token), false, 0, Next::Again { due_at: 10_001, counted: Counted::No }, Keep),
            (
                answered(Reaction::Pause { pause: 60_000 }),
                false,
                0,
                Next::Again { due_at: 10_001, counted: Counted::No },
                Keep,
            ),
        ];
        for (outcome, resend, tries, next, consent) in table {
            let state = if resend { InDoubt } else { Scheduled };
            // Only what is not listed counts them here.
            let unsure = if matches!(&outcome, Outcome::Answered { reaction: Reaction::Unlisted { .. }, .. }) {
                tries
            } else {
                0
            };
            let due = Due { tries, unsure, ..due(state) };
            let settled = settle(&due, false, outcome.clone(), 10_000, 1.0);
            assert_eq!((settled.next, settled.consent), (next, consent), "{outcome:?} resend={resend} tries={tries}");
        }
        // A blind resend proves less, and is not repeated when it is lost too.
        for (outcome, next) in [
            (Outcome::Accepted { message_id: None }, Next::Final(Sent)),
            (Outcome::Unknown { cause: lost() }, Next::Final(Unconfirmed)),
            (Outcome::NotSent { cause: lost() }, Next::Doubt { look_at: 12_000 }),
            (answered(Reaction::Deny), Next::Final(Unconfirmed)),
            (answered(Reaction::Refuse), Next::Final(Unconfirmed)),
            (answered(busy), Next::Doubt { look_at: 12_000 }),
        ] {
            let settled = settle(&due(InDoubt), true, outcome.clone(), 10_000, 1.0);
            assert_eq!((settled.next, settled.consent), (next, Keep), "{outcome:?}");
        }
    }

    #[test]
    fn a_refusal_for_want_of_consent_after_neither_yes_nor_no_proves_nothing() {
        let due = |unsure| Due { tries: unsure, unsure, ..due(State::Scheduled) };
        let denied = || Outcome::Answered { code: "1".into(), text: String::new(), reaction: Reaction::Deny };
        for (unsure, state, consent) in [
            (0, State::Failed, Consent::Deny),
            (1, State::Unconfirmed, Consent::Keep),
            (9, State::Unconfirmed, Consent::Keep),
        ] {
            let settled = settle(&due(unsure), false, denied(), 10_000, 1.0);
            assert_eq!((settled.next, settled.consent), (Next::Final(state), consent), "{unsure}");
        }
    }

    #[test]
    fn delays_double_and_stay_in_their_upper_half() {
        for tries in 0..40 {
            let (low, high) = (backoff(tries, 2_000, 0.0), backoff(tries, 2_000, 1.0));
            assert!(low * 2 >= high && high <= MAX_BACKOFF, "{tries}: {low}..{high}");
        }
        assert_eq!((backoff(0, 2_000, 1.0), backoff(3, 2_000, 1.0), backoff(30, 2_000, 1.0)), (2_000, 16_000, 300_000));
    }
}
