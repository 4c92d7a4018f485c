//! The meaning of a platform's answer, or of its absence.

use super::Millis;
use crate::words::Message;

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
        /// The platform's own text.
        text: String,
        /// The reaction to the code.
        reaction: Reaction,
    },
    /// No byte of the request can have been acted upon: DNS, connect, TLS.
    NotSent {
        /// Why.
        cause: Message,
    },
    /// The request may have arrived: timeout after writing, reset, a gateway's 5xx, an unreadable answer.
    Unknown {
        /// Why.
        cause: Message,
    },
}

/// What follows from a platform's refusal. In every case the platform did not take the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// For good, because of this reminder or its template; the consent is free again.
    Refuse,
    /// The platform knows no consent: ours are void.
    Deny,
    /// This reminder alone has to wait: the same again later, until its deadline.
    Later {
        /// First delay; it doubles with each try.
        first: Millis,
    },
    /// Busy, and known not to have taken it: the same again later, until its deadline. Several in a row pause the app.
    Busy {
        /// First delay; it doubles with each try.
        first: Millis,
    },
    /// Neither yes nor no, and probably no: as [`Self::Busy`], until the deadline while the reminder holds the only consent that could pay for a
    /// message, else a few times.
    Unsure {
        /// First delay; it doubles with each try.
        first: Millis,
    },
    /// A code that nobody has listed: the same again later, at most `max` times, so that it does not go round for ever.
    Unlisted {
        /// How many tries in all.
        max: u32,
        /// First delay; it doubles with each try.
        first: Millis,
    },
    /// The token is bad: renew it and send again; the attempt is handed back.
    Token,
    /// Too many at once: as [`Self::Pause`], and the app's rate halves for a while.
    Slow {
        /// For how long nothing is sent.
        pause: Millis,
    },
    /// The day's calls are used up: as [`Self::Pause`], until the platform says that some are left again.
    Quota {
        /// For how long nothing is sent before it is asked.
        pause: Millis,
    },
    /// The account or this template is banned, and the platform does not say which: as [`Self::Pause`], and the template waits longer, so
    /// that another one shows whether it is the account.
    Ban {
        /// For how long nothing is sent.
        pause: Millis,
    },
    /// Nothing of this app can be sent for now; the attempt is handed back and the app's lane pauses.
    Pause {
        /// For how long.
        pause: Millis,
    },
}

impl Reaction {
    /// For how long nothing of the app is sent, if it stops.
    pub fn pause(self) -> Option<Millis> {
        match self {
            Self::Slow { pause } | Self::Quota { pause } | Self::Ban { pause } | Self::Pause { pause } => Some(pause),
            Self::Refuse
            | Self::Deny
            | Self::Later { .. }
            | Self::Busy { .. }
            | Self::Unsure { .. }
            | Self::Unlisted { .. }
            | Self::Token => None,
        }
    }

    /// The first delay, if the same is tried again later.
    pub fn again(self) -> Option<Millis> {
        match self {
            Self::Later { first } | Self::Busy { first } | Self::Unsure { first } | Self::Unlisted { first, .. } => {
                Some(first)
            }
            _ => None,
        }
    }
}

/// Whether a character turns the order of a line round.
pub fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What a platform says, fit to be kept and shown: without characters that a database may refuse or a terminal obey, and at most `most`
/// characters.
pub fn clean(text: &str, most: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(4 * most));
    clean.extend(text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).take(most));
    clean
}

impl Outcome {
    /// The same, fit to be kept: the platform's words are [`clean`], and an answer that quotes the openid does so no more (I9).
    #[must_use]
    pub fn kept(self, openid: &str) -> Self {
        let text = |text: String| {
            let text = if openid.is_empty() { text } else { text.replace(openid, "…") };
            clean(&text, 300)
        };
        match self {
            Self::Accepted { message_id } => Self::Accepted { message_id: message_id.map(|id| clean(&id, 64)) },
            Self::Answered { code, text: said, reaction } => {
                Self::Answered { code: clean(&code, 32), text: text(said), reaction }
            }
            // Its words are ours.
            unanswered @ (Self::NotSent { .. } | Self::Unknown { .. }) => unanswered,
        }
    }

    /// All that [`Self::label`] says.
    pub const LABELS: [&'static str; 8] =
        ["accepted", "refused", "denied", "busy", "token", "held", "not_sent", "unknown"];

    /// One of a closed list, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Answered { reaction: Reaction::Refuse, .. } => "refused",
            Self::Answered { reaction: Reaction::Deny, .. } => "denied",
            Self::Answered { reaction, .. } if reaction.again().is_some() => "busy",
            Self::Answered { reaction: Reaction::Token, .. } => "token",
            Self::Answered { .. } => "held",
            Self::NotSent { .. } => "not_sent",
            Self::Unknown { .. } => "unknown",
        }
    }
}
