//! What a platform's answer, or its absence, means.

use super::Millis;

/// The outcome of one attempt. Three kinds of failure are never confused: not sent, answered, unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The platform took the message.
    Accepted {
        /// The platform's message id, where it gives one.
        message_id: Option<String>,
    },
    /// The platform answered, and the message was not taken.
    Answered {
        /// The platform's own code.
        code: String,
        /// The platform's own text, without openids, at most 512 bytes.
        text: String,
        /// What follows from the code.
        reaction: Reaction,
    },
    /// No byte of the request can have been acted upon: DNS, connect, TLS.
    NotSent {
        /// One sentence.
        cause: String,
    },
    /// The request may have arrived: timeout after writing, reset, a gateway's 5xx, an unreadable answer.
    Unknown {
        /// One sentence.
        cause: String,
    },
}

/// What follows from a platform's refusal. In every case the platform did not take the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// For good, because of this reminder or its template; the consent is free again.
    Refuse,
    /// The platform knows no consent: ours are void.
    Deny,
    /// Busy: the same reminder again later, at most `max` times.
    Retry {
        /// How many tries in all, so that an unknown code does not go round for ever.
        max: u32,
        /// First delay; it doubles with each try.
        first: Millis,
    },
    /// The token is bad: renew it and send again; the attempt is handed back.
    Token,
    /// Too many at once: as [`Self::Hold`], and the app's rate halves for a while.
    Slow {
        /// For how long nothing is sent.
        pause: Millis,
    },
    /// The day's calls are used up: as [`Self::Hold`], until the platform says that some are left again.
    Quota {
        /// For how long nothing is sent before it is asked.
        pause: Millis,
    },
    /// The account or this template is banned, and the platform does not say which: as [`Self::Hold`], and the template waits longer, so
    /// that another one shows whether it is the account.
    Ban {
        /// For how long nothing is sent.
        pause: Millis,
    },
    /// Nothing of this app can be sent for now; the attempt is handed back and the app's lane pauses.
    Hold {
        /// For how long.
        pause: Millis,
    },
}

impl Reaction {
    /// For how long nothing of the app is sent, if it stops.
    pub fn pause(self) -> Option<Millis> {
        match self {
            Self::Slow { pause } | Self::Quota { pause } | Self::Ban { pause } | Self::Hold { pause } => Some(pause),
            Self::Refuse | Self::Deny | Self::Retry { .. } | Self::Token => None,
        }
    }
}

impl Outcome {
    /// One of a closed list, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Answered { reaction: Reaction::Refuse, .. } => "refused",
            Self::Answered { reaction: Reaction::Deny, .. } => "denied",
            Self::Answered { reaction: Reaction::Retry { .. }, .. } => "busy",
            Self::Answered { reaction: Reaction::Token, .. } => "token",
            Self::Answered { .. } => "held",
            Self::NotSent { .. } => "not_sent",
            Self::Unknown { .. } => "unknown",
        }
    }
}
