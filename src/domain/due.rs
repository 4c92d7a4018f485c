//! The living part of a reminder: all that decisions about it need.

use super::{
    Millis,
    reminder::{ReminderId, State},
};

/// Answers with neither yes nor no after which a reminder is tried again only while it holds the sole consent of its user.
pub const UNSURE_AT_MOST: u32 = 5;

/// The living part of a reminder: what decides about it, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Whose it is.
    pub id: ReminderId,
    /// When to look at it next: its instant at first, later also a retry or a second look at a doubt.
    pub due_at: Millis,
    /// Its instant.
    pub at: Millis,
    /// Never sent at or after this.
    pub expires_at: Millis,
    /// `Scheduled` or `InDoubt`; `Sending` when found after a crash.
    pub state: State,
    /// Raised by every change to the row; a change that names another value is late and does nothing.
    pub fence: i64,
    /// Attempts that the platform answered, or may have.
    pub tries: u32,
    /// Attempts that it answered with neither yes nor no: one of them may, though hardly, have been accepted.
    pub unsure: u32,
    /// Since when nobody knows whether its request arrived.
    pub doubt_since: Option<Millis>,
}

impl Due {
    /// When to look at it again, if it were up to `wanted`: not before its instant, not beyond its deadline.
    pub fn again_at(&self, wanted: Millis) -> Millis {
        wanted.max(self.at).min(self.expires_at)
    }

    /// Whether another request is safe only if this reminder holds the sole consent that could pay for it.
    pub fn needs_sole(&self) -> bool {
        // An operator's word for sending it again counts.
        self.state == State::InDoubt || self.unsure >= UNSURE_AT_MOST && !self.is_doubtful()
    }

    /// Whether one of its requests may have arrived, whatever state it is in: an operator may want such a one sent again.
    pub fn is_doubtful(&self) -> bool {
        self.doubt_since.is_some()
    }
}
