//! Why nothing was sent to anybody for an occurrence of a schedule.

use crate::words::{Message, say};
use serde::{Deserialize, Serialize};

/// A reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum LeftOut {
    /// All of its instants had passed when its file was loaded.
    Late,
    /// Nobody prepared it before its last instant, and the file does not want it made up for.
    Missed,
    /// Nobody prepared it before its last instant, and a later one is made up for in its place.
    Overtaken,
    /// Nobody prepared it before its last instant, nor before its deadline.
    DeadlinePassed,
    /// Until its last instant nothing of its schedule could be prepared.
    Hindered {
        /// Why.
        cause: Message,
    },
    /// Until its last instant the store was on hold.
    OnHold,
    /// Its instants passed while the store did not know what it had sent, and what did so was taken for sent.
    MayBeSent,
}

impl LeftOut {
    /// The word in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Missed => "missed",
            Self::Overtaken => "overtaken",
            Self::DeadlinePassed => "expired",
            Self::Hindered { .. } => "hindered",
            Self::OnHold => "on_hold",
            Self::MayBeSent => "restored",
        }
    }

    /// The reason as a part of a sentence.
    pub fn message(&self) -> Message {
        match self {
            Self::Late => say!("left_out_late"),
            Self::Missed => say!("left_out_missed"),
            Self::Overtaken => say!("left_out_overtaken"),
            Self::DeadlinePassed => say!("left_out_expired"),
            Self::Hindered { cause } => say!("left_out_hindered", cause = cause),
            Self::OnHold => say!("left_out_on_hold"),
            Self::MayBeSent => say!("left_out_may_be_sent"),
        }
    }
}
