//! From an outcome to what is written down.

use super::{
    HOUR, Millis, SECOND,
    due::Due,
    outcome::{Outcome, Reaction},
    reminder::State,
    timing::rfc3339,
};

/// What is written down about a reminder after an attempt, or instead of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Where the reminder goes.
    pub next: Next,
    /// The platform's code, or one of tixing's own words such as `expired`.
    pub code: Option<String>,
    /// The platform's text, or one sentence of tixing's.
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

    /// An end with a reason.
    pub fn end(state: State, code: &str, text: &str, consent: Consent) -> Self {
        Self { next: Next::Final(state), code: Some(code.into()), text: Some(text.into()), consent, message_id: None }
    }
}

/// How a reminder ends of which a store on hold does not know whether it was sent.
pub fn assumed_sent() -> Settlement {
    Settlement {
        next: Next::Final(State::Unconfirmed),
        code: Some("restored".into()),
        text: Some("it became due when the store did not know what it had sent, and may have been sent".into()),
        consent: Consent::Keep,
        message_id: None,
    }
}

/// How a doubt ends that has a receipt: the platform had accepted the message, whatever became of it then.
pub fn received() -> Settlement {
    Settlement {
        next: Next::Final(State::Sent),
        code: Some("receipt".into()),
        text: Some("its answer was lost, and the platform's receipt says that it had been accepted".into()),
        consent: Consent::Keep,
        message_id: None,
    }
}

/// The word for a reminder that waits because its template is held.
pub const TEMPLATE_HELD: &str = "template_held";

/// The longest that a held template's reminders wait before one is tried, or looked at, again.
pub const HELD_AT_MOST: Millis = 2 * HOUR;

/// A reminder whose template is held comes again when that may have ended.
pub fn held_back(due: &Due, until: Millis, why: &str) -> Settlement {
    let at = due.again_at(until);
    let next = if due.state == State::InDoubt {
        Next::Doubt { look_at: at }
    } else {
        Next::Again { due_at: at, counted: Counted::No }
    };
    let text = format!("its template is held: {why}");
    Settlement { next, code: Some(TEMPLATE_HELD.into()), text: Some(text), consent: Consent::Keep, message_id: None }
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
            Settlement { next: Next::Final(State::Sent), code: None, text: None, consent: Consent::Keep, message_id }
        }
        Outcome::Unknown { cause } if blind => Settlement {
            next: Next::Final(State::Unconfirmed),
            code: Some("unknown".into()),
            text: Some(format!("it was sent twice, and nobody knows whether either arrived: {cause}")),
            consent: Consent::Keep,
            message_id: None,
        },
        Outcome::Unknown { cause } => Settlement {
            next: Next::Doubt { look_at: due.again_at(now + DOUBT_LOOK) },
            code: Some("unknown".into()),
            text: Some(cause),
            consent: Consent::Keep,
            message_id: None,
        },
        Outcome::NotSent { cause } => Settlement {
            next: later(backoff(0, 2 * SECOND, jitter), Counted::No),
            code: Some("not_sent".into()),
            text: Some(cause),
            consent: Consent::Keep,
            message_id: None,
        },
        // A refusal of the second request says nothing about the first.
        Outcome::Answered { code, text, reaction } if resend && refuses(reaction, blind) => Settlement {
            next: Next::Final(State::Unconfirmed),
            text: Some(format!(
                "nobody knows whether the first request arrived; a second was refused with {code}: {text}"
            )),
            code: Some(code),
            consent: Consent::Keep,
            message_id: None,
        },
        Outcome::Answered { code, text, reaction: Reaction::Deny } if !resend && due.unsure > 0 => Settlement {
            next: Next::Final(State::Unconfirmed),
            text: Some(format!(
                "an earlier request was answered with neither yes nor no, and may have spent the consent; then it was refused with {code}: {text}"
            )),
            code: Some(code),
            consent: Consent::Keep,
            message_id: None,
        },
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
            Settlement { next, code: Some(code), text: Some(text), consent, message_id: None }
        }
    }
}

/// Whether an answer ends a resend and says nothing about the first request. That no consent is left proves the first only where it
/// held the sole one.
fn refuses(reaction: Reaction, blind: bool) -> bool {
    reaction == Reaction::Refuse || blind && reaction == Reaction::Deny
}

#[cfg(test)]
mod tests {
    use super::{super::reminder::ReminderId, *};

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
            (Outcome::Unknown { cause: String::new() }, false, 0, Next::Doubt { look_at: 22_000 }, Keep),
            (
                Outcome::NotSent { cause: String::new() },
                false,
                7,
                Next::Again { due_at: 12_000, counted: Counted::No },
                Keep,
            ),
            (Outcome::NotSent { cause: String::new() }, true, 0, Next::Doubt { look_at: 12_000 }, Keep),
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
            let due = Due {
                id: ReminderId(1),
                due_at: 1_000,
                at: 1_000,
                expires_at: 60_000,
                state,
                fence: 1,
                tries,
                // Only what is not listed counts them here.
                unsure: if matches!(&outcome, Outcome::Answered { reaction: Reaction::Unlisted { .. }, .. }) {
                    tries
                } else {
                    0
                },
                doubt_since: None,
            };
            let settled = settle(&due, false, outcome.clone(), 10_000, 1.0);
            assert_eq!((settled.next, settled.consent), (next, consent), "{outcome:?} resend={resend} tries={tries}");
        }
        // A blind resend proves less, and is not repeated when it is lost too.
        for (outcome, next) in [
            (Outcome::Accepted { message_id: None }, Next::Final(Sent)),
            (Outcome::Unknown { cause: String::new() }, Next::Final(Unconfirmed)),
            (Outcome::NotSent { cause: String::new() }, Next::Doubt { look_at: 12_000 }),
            (answered(Reaction::Deny), Next::Final(Unconfirmed)),
            (answered(Reaction::Refuse), Next::Final(Unconfirmed)),
            (answered(busy), Next::Doubt { look_at: 12_000 }),
        ] {
            let (at, state) = (1_000, InDoubt);
            let due = Due {
                id: ReminderId(1),
                due_at: at,
                at,
                expires_at: 60_000,
                state,
                fence: 1,
                tries: 0,
                unsure: 0,
                doubt_since: None,
            };
            let settled = settle(&due, true, outcome.clone(), 10_000, 1.0);
            assert_eq!((settled.next, settled.consent), (next, Keep), "{outcome:?}");
        }
    }

    #[test]
    fn a_refusal_for_want_of_consent_after_neither_yes_nor_no_proves_nothing() {
        let due = |unsure| Due {
            id: ReminderId(1),
            due_at: 1_000,
            at: 1_000,
            expires_at: 60_000,
            state: State::Scheduled,
            fence: 1,
            tries: unsure,
            unsure,
            doubt_since: None,
        };
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
