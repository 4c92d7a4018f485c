//! What a node has written, as it remembers it: enough to write it again where the database has forgotten it.

use super::port::{Body, Entry, Job};
use crate::domain::{
    consent::Report,
    draft::Change,
    options::Options,
    reminder::{NewReminder, ReminderId},
    request::Request,
};
use std::sync::Arc;

/// What one command has come to, of those that matter when they are lost.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// Reports that have each added a consent.
    Consents(Vec<Report>),
    /// Reminders that were made, under these ids.
    Inserts(Vec<(ReminderId, NewReminder)>),
    /// Reminders that were marked.
    Marks(Vec<Job>),
    /// Settlements that were written.
    Ends(Vec<Entry>),
    /// A reminder that a call with an `Idempotency-Key` has made, under this id.
    InsertedOnce(Request, ReminderId, Box<NewReminder>),
    /// A report that such a call has brought, and that has added a consent.
    RecordedOnce(Request, Report),
    /// A reminder that was changed: `seen` is the fence that it had before.
    Changed(ReminderId, Change),
    /// A reminder that was cancelled.
    Cancelled(ReminderId),
    /// Anything else, in words: nobody knows how to write it again.
    Other(&'static str),
    /// So many commits of which nothing is remembered.
    Unknown(i64),
}

impl Deed {
    /// How much room it takes.
    pub fn rows(&self) -> usize {
        match self {
            Self::Consents(rows) => rows.len(),
            Self::Inserts(rows) => rows.len(),
            Self::Marks(rows) => rows.len(),
            Self::Ends(rows) => rows.len(),
            Self::InsertedOnce(..) | Self::RecordedOnce(..) | Self::Changed(..) | Self::Cancelled(_) => 1,
            Self::Other(_) | Self::Unknown(_) => 1,
        }
    }
}

/// A job without what is sent: a mark needs none of it.
pub(super) fn bare(job: Job, body: &Arc<Body>) -> Job {
    Job { body: Arc::clone(body), ..job }
}

/// Nothing to send.
pub(super) fn no_body() -> Arc<Body> {
    Arc::new(Body { openid: String::new(), page: None, data: String::new(), options: Options::default() })
}
