//! Why a reminder is where it is: everything that tixing itself says about one.
//!
//! Each reason is a sentence of the catalogue in `words`, whose key is its tag, and is stored as JSON such as `{"say":"no_consent"}`. The
//! platform's own words are no reasons: they stand beside one, or alone.

use super::Millis;
use crate::words::{Message, say};
use serde::{Deserialize, Serialize};

/// What tixing says about a reminder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Reason {
    // Before any request.
    /// Its deadline passed before it could be sent.
    DeadlinePassed,
    /// The app is in test mode, and the user is not one of its testers.
    NotATester,
    /// At its instant the user had no consent for the template.
    NoConsent,
    /// The platform refused an earlier message to the user: it knows no consent any more.
    ConsentVoid,
    /// The user turned the template off before its instant.
    TurnedOff,
    /// It was held up, and its consent had ended when it could be sent.
    ConsentEnded {
        /// When that was.
        ends_at: Millis,
    },
    /// Its owner cancelled it.
    Cancelled,
    /// The file of its schedule no longer has it.
    Removed,
    /// Its schedule was cancelled.
    ScheduleCancelled,
    /// Its user wished to be forgotten.
    Forgotten,
    /// Its template is suspended, so it waits.
    TemplateSuspended {
        /// Why the template is.
        why: Message,
    },
    /// Something spoke against it between its mark and its request, such as the end of the token.
    GateClosed,
    /// The store failed between its mark and its request.
    StoreFailed,

    // After a request.
    /// No byte of the request can have been acted upon.
    NeverLeft {
        /// Why.
        cause: Message,
    },
    /// The request may have arrived; its answer did not.
    AnswerLost {
        /// Why.
        cause: Message,
    },
    /// The platform answered neither yes nor no too often, while another consent of the user's could pay for a second message.
    GaveUp {
        /// How often.
        times: u32,
    },
    /// The answer of the second request was lost, too.
    SentTwice {
        /// Why.
        cause: Message,
    },
    /// The second request was refused, which says nothing about the first.
    SecondRefused {
        /// The platform's code.
        code: String,
    },
    /// The platform had answered neither yes nor no, perhaps spent the consent, and then refused for want of one.
    RefusedAfterUnsure {
        /// The platform's code.
        code: String,
    },

    // In doubt: nobody knows whether the request arrived.
    /// The daemon stopped between marking and settling it.
    Interrupted,
    /// The daemon stopped while it was being sent a second time.
    InterruptedTwice,
    /// The platform's receipt is waited for.
    AwaitsReceipt,
    /// An operator decides.
    AsksOperator,
    /// Its deadline has passed.
    DoubtOutlived,
    /// The user has turned the template off since.
    DoubtTurnedOff,
    /// Its consent has ended since.
    DoubtConsentEnded {
        /// When that was.
        ends_at: Millis,
    },
    /// The user may have other consents, so that a second request could deliver twice.
    OtherConsents,
    /// The app is not exclusive, so that a second request could deliver twice.
    NotExclusive,
    /// The platform cannot tell whether a second request would deliver twice.
    PlatformCannotTell,
    /// What the user has granted is known by pushes alone, so that a second request could deliver twice.
    TapsArePushed,
    /// The user has no consent for a second request.
    NoSecondConsent,
    /// Its owner cancelled it before it was sent again.
    CancelledInDoubt,
    /// Its user wished to be forgotten.
    ForgottenInDoubt,
    /// It became due when the store did not know what it had sent.
    Restored,

    // Later words.
    /// The platform's receipt says that a message whose answer was lost had been accepted.
    Received,
    /// An operator decided that it was sent.
    ResolvedSent {
        /// Who.
        by: Message,
    },
    /// An operator decided that it was not sent and is not to be.
    ResolvedNotSent {
        /// Who.
        by: Message,
    },
    /// An operator decided that it is to be sent again.
    ResolvedResend {
        /// Who.
        by: Message,
    },
    /// An operator decided that nobody will know.
    ResolvedUnconfirmed {
        /// Who.
        by: Message,
    },
    /// A final state was corrected.
    Corrected {
        /// Why.
        reason: Box<Reason>,
        /// What was said before.
        before: Message,
    },
    /// The database did not take the platform's words.
    Unwritable,
}

impl Reason {
    /// The word in JSON, SQL and metrics, which says less than the reason: several have one word.
    pub fn code(&self) -> &str {
        match self {
            Self::DeadlinePassed => "expired",
            Self::NotATester => "test_mode",
            Self::NoConsent | Self::ConsentVoid => "no_consent",
            Self::ConsentEnded { .. } => "consent_ended",
            Self::TurnedOff => "turned_off",
            Self::Cancelled | Self::CancelledInDoubt => "cancelled",
            Self::Removed => "removed",
            Self::ScheduleCancelled => "schedule_cancelled",
            Self::Forgotten | Self::ForgottenInDoubt => "forgotten",
            Self::TemplateSuspended { .. } => TEMPLATE_SUSPENDED,
            Self::GateClosed | Self::StoreFailed | Self::NeverLeft { .. } => "not_sent",
            Self::AnswerLost { .. } | Self::SentTwice { .. } => "unknown",
            Self::GaveUp { .. } => "gave_up",
            Self::SecondRefused { code } | Self::RefusedAfterUnsure { code } => code,
            Self::Interrupted => "interrupted",
            Self::AwaitsReceipt => "awaits_receipt",
            Self::AsksOperator => "asks",
            Self::InterruptedTwice
            | Self::DoubtOutlived
            | Self::DoubtTurnedOff
            | Self::DoubtConsentEnded { .. }
            | Self::OtherConsents
            | Self::NotExclusive
            | Self::PlatformCannotTell
            | Self::TapsArePushed
            | Self::NoSecondConsent => "unconfirmed",
            Self::Restored => "restored",
            Self::Received => "receipt",
            Self::ResolvedSent { .. }
            | Self::ResolvedNotSent { .. }
            | Self::ResolvedResend { .. }
            | Self::ResolvedUnconfirmed { .. } => "resolved",
            Self::Corrected { reason, .. } => reason.code(),
            Self::Unwritable => "unwritable",
        }
    }

    /// The sentence.
    pub fn message(&self) -> Message {
        Message::of(self)
    }
}

/// What is said about a reminder: tixing's reason, the platform's words, or one with the other.
pub fn said(reason: Option<&Reason>, words: Option<&str>) -> Option<Message> {
    match (reason.map(Reason::message), words) {
        (Some(reason), Some(words)) => Some(say!("with_words", reason = reason, words = words)),
        (Some(reason), None) => Some(reason),
        (None, Some(words)) => Some(Message::text(words)),
        (None, None) => None,
    }
}

/// The word for a reminder that waits because its template is suspended. It is older than «suspended», and stored.
pub const TEMPLATE_SUSPENDED: &str = "template_held";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_survives_being_stored_and_is_a_sentence() {
        let lost = || Message::text("no answer in time");
        let table = [
            (Reason::NoConsent, "no_consent", "at its instant the user had no consent for this template"),
            (Reason::AnswerLost { cause: lost() }, "unknown", "no answer in time"),
            (
                Reason::SentTwice { cause: lost() },
                "unknown",
                "it was sent twice, and nobody knows whether either arrived: no answer in time",
            ),
            (
                Reason::SecondRefused { code: "43".into() },
                "43",
                "nobody knows whether the first request arrived; a second was refused with 43",
            ),
            (
                Reason::Corrected {
                    reason: Box::new(Reason::ResolvedSent { by: Message::text("the owner") }),
                    before: Reason::ResolvedUnconfirmed { by: Message::text("a key") }.message(),
                },
                "resolved",
                "the owner decided: it was sent (before: a key decided: nobody will know whether it was sent)",
            ),
        ];
        for (reason, code, said) in table {
            let stored = serde_json::to_string(&reason).expect("serialises");
            assert_eq!(serde_json::from_str::<Reason>(&stored).expect("is one"), reason, "{stored}");
            assert_eq!((reason.code(), reason.message().to_string().as_str()), (code, said));
        }
    }
}
