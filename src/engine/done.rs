//! What a finished task of the engine brings back. `lane` is the place of its lane among the engine's.

use super::{errands::Errand, settlements::Pending, stream::Read};
use crate::{
    domain::{Millis, node::NodeId, outcome::Outcome},
    platform::{Answer, Auth, Granted},
    store::{
        StoreError,
        port::{Job, Marked, Next},
    },
    words::Message,
};

/// A finished task.
pub enum Done {
    /// A lane's next jobs were read.
    Read { lane: usize, read: Read, jobs: Result<Vec<Job>, StoreError> },
    /// Jobs past their deadline were looked for.
    Swept { lane: usize, expired: Result<Vec<Job>, StoreError> },
    /// A slice of what waits behind closed gates was looked at for what has expired.
    LookedBehind { lane: usize, found: Result<(Vec<Job>, Next), StoreError> },
    /// Jobs were marked, or not, by this node where there are several: a verdict for each.
    Marked { lane: usize, by: Option<NodeId>, jobs: Vec<Job>, verdicts: Result<Vec<Marked>, StoreError> },
    /// A message was sent.
    Sent(Sent),
    /// Settlements were written, or found to be late: an answer for each.
    Settled { batch: Vec<Pending>, written: Result<Vec<bool>, StoreError> },
    /// A token was asked for. `date` is the platform's clock, if it said what time it is.
    Token { lane: usize, granted: Result<Granted, Outcome>, date: Option<Millis> },
    /// A platform was asked what time it is; nothing if it did not answer, and in the answer the time if it said so.
    Time(Option<Option<Millis>>),
    /// A question was asked with `auth`.
    Asked { lane: usize, errand: Errand, answer: Result<Answer, Outcome>, auth: Auth },
    /// The platform's templates were kept in the store.
    ListingKept { lane: usize, kept: Result<(), StoreError> },
    /// What waited for a suspended template was brought forward; how many reminders that were.
    Woken { lane: usize, woken: Result<u64, StoreError> },
}

impl Done {
    /// Whether the store has answered, where the task has asked it.
    pub fn of_store(&self) -> Option<Result<(), &StoreError>> {
        match self {
            Self::Read { jobs, .. } => Some(jobs.as_ref().map(drop)),
            Self::Swept { expired, .. } => Some(expired.as_ref().map(drop)),
            Self::LookedBehind { found, .. } => Some(found.as_ref().map(drop)),
            Self::Marked { verdicts, .. } => Some(verdicts.as_ref().map(drop)),
            Self::Settled { written, .. } => Some(written.as_ref().map(drop)),
            Self::Woken { woken, .. } => Some(woken.as_ref().map(drop)),
            // What is not kept of a listing is known all the same.
            Self::ListingKept { .. } | Self::Sent(_) | Self::Token { .. } | Self::Time(_) | Self::Asked { .. } => None,
        }
    }
}

/// A message that has been sent, or could not be.
pub struct Sent {
    pub lane: usize,
    pub job: Box<Job>,
    pub outcome: Outcome,
    /// What a person should look into though the outcome stands.
    pub remark: Option<Message>,
    /// What it was sent with.
    pub auth: Auth,
    pub began_at: Millis,
    pub ended_at: Millis,
}
