//! The port: what the engine sees of the store, and nothing else of it. A simulation puts its own store behind the same trait.

use super::{error::StoreError, gates::Gates};
use crate::domain::{
    Millis,
    consent::Ticket,
    due::Due,
    node::NodeId,
    options::Options,
    reminder::{Claim, State},
    settle::Settlement,
    template::Listing,
};
use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc, time::Duration};

/// An answer of the store to come.
pub type Asked<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// What the engine asks of the store. The seam for simulations.
pub trait Queue: Send + Sync {
    /// An app's first lane.
    fn lane(&self, app: &str) -> i64;
    /// All lanes of an app, by shard.
    fn lanes(&self, app: &str) -> Vec<i64> {
        vec![self.lane(app)]
    }
    /// The first lane of a lane's app.
    fn home(&self, lane: i64) -> i64 {
        lane
    }
    /// The platform's id of a template.
    fn code(&self, template: i64) -> &str;
    /// What a user is called in logs.
    fn pseudonym(&self, openid: &str) -> String;
    /// What the platform listed last as an app's templates.
    fn listing(&self, app: &str) -> Option<Arc<Listing>>;
    /// Keeps an app's listing: known at once, durable when it answers.
    fn keep_listing(&self, app: &str, listing: Arc<Listing>) -> Asked<()>;
    /// A lane's template by the platform's id.
    fn template(&self, lane: i64, code: &str) -> Option<i64>;
    /// Calls `told` after each commit with the instants it brought and how long it took.
    fn on_commit(&self, told: OnCommit);
    /// The gates of all schedules, as the last commit left them.
    fn gates(&self) -> Arc<Gates> {
        Arc::default()
    }
    /// The next jobs of a lane after the key `after` up to and including `until`, in order of (due_at, id), bodies included.
    fn prefetch(&self, lane: i64, after: (Millis, i64), until: Millis, limit: i64) -> Asked<Vec<Job>> {
        self.prefetch_open(lane, after, until, limit, Arc::default())
    }
    /// The same of what is open alone.
    fn prefetch_open(
        &self,
        lane: i64,
        after: (Millis, i64),
        until: Millis,
        limit: i64,
        open: Arc<Open>,
    ) -> Asked<Vec<Job>>;
    /// Overdue jobs of a lane that are open and whose deadline has passed while they waited: they end without a call, whatever the pace.
    fn past_deadline(&self, lane: i64, now: Millis, limit: i64, open: Arc<Open>) -> Asked<Vec<Job>>;
    /// The same of what is not open, among a slice of it behind the key `after`. Answers where the next slice begins, unless this was the last.
    fn past_deadline_closed(
        &self,
        lane: i64,
        after: (Millis, i64),
        now: Millis,
        open: Arc<Open>,
    ) -> Asked<(Vec<Job>, Next)>;
    /// Brings forward to `now` the reminders that wait because their template was suspended: its cause may be over. Answers how many.
    fn wake_suspended(&self, lane: i64, now: Millis) -> Asked<u64>;
    /// Marks jobs `sending`; durable when it answers, and only then may a byte of them leave. An error means that it is not known
    /// whether they were marked.
    fn mark(&self, jobs: Vec<Job>) -> Asked<Vec<Marked>>;
    /// Writes settlements; `false` for one whose row was no longer as it names it. An error means that it is not known whether they
    /// were written; writing them again is safe.
    fn settle(&self, entries: Vec<Entry>) -> Asked<Vec<bool>>;
}

/// Where a slice ends that is not the last.
pub type Next = Option<(Millis, i64)>;

/// What of a lane is open at an instant: may be read and sent. What is being sent is read all the same, since a crash may have cut it off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Open {
    /// All but these schedules, which are paused, being changed, or in quiet hours of their own.
    AllBut(BTreeSet<i64>),
    /// These schedules alone: the app is in its quiet hours, and they are not.
    Only(BTreeSet<i64>),
}

impl Default for Open {
    fn default() -> Self {
        Self::AllBut(BTreeSet::new())
    }
}

impl Open {
    /// Whether all is.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether what comes from this schedule, or from none, is open.
    pub fn has(&self, schedule: Option<i64>) -> bool {
        match self {
            Self::AllBut(closed) => schedule.is_none_or(|id| !closed.contains(&id)),
            Self::Only(open) => schedule.is_some_and(|id| open.contains(&id)),
        }
    }

    /// Whether a job is read.
    pub fn lets(&self, job: &Job) -> bool {
        job.due.state == State::Sending || self.has(job.schedule)
    }

    /// Whether something is open here that is not in `before`.
    pub fn has_more_than(&self, before: &Self) -> bool {
        let (Self::AllBut(here) | Self::Only(here), Self::AllBut(there) | Self::Only(there)) = (self, before);
        let named = here.iter().chain(there).map(|id| Some(*id));
        named.chain([None]).any(|schedule| self.has(schedule) && !before.has(schedule))
    }
}

/// A reminder as the engine reads it: what decides about it, and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What decides about it.
    pub due: Due,
    /// Its lane.
    pub lane: i64,
    /// The user, as a small integer.
    pub recipient: i64,
    /// The template, as a small integer.
    pub template: i64,
    /// How it comes by its consent.
    pub claim: Claim,
    /// Whether a consent for its template stands for many sends.
    pub standing: bool,
    /// The schedule that it comes from, as a small integer.
    pub schedule: Option<i64>,
    /// It is in doubt and may be sent again whatever consents there are. The engine says so; the store does not keep it.
    pub blind: bool,
    /// The node that marked it last, as long as it has not said what came of that.
    pub marker: Option<NodeId>,
    /// The epoch of its lane at which it was picked, where several daemons share a database. The engine says so; the store does not keep it.
    pub epoch: Option<i64>,
    /// What is sent, shared and not copied.
    pub body: Arc<Body>,
}

/// What is sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Body {
    /// The user.
    pub openid: String,
    /// Page that opens on tap.
    pub page: Option<String>,
    /// The field values as a JSON object of strings.
    pub data: String,
    /// What was chosen of the platform's options.
    pub options: Options,
}

/// What became of a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// The row is `sending` and its fence is one higher.
    Yes,
    /// The same, and this ticket pays for it.
    By(Ticket),
    /// It was changed, or ended, since it was read; nothing was written.
    Late,
    /// No consent was available; nothing was written.
    NoConsent,
    /// The consent that it holds has ended, or ends before it would be known whether it paid; nothing was written.
    Ended {
        /// When that is.
        ends_at: Millis,
    },
    /// An earlier request of it may have arrived, and the user has other consents that could pay for a second message; nothing was written.
    NotSole,
    /// An earlier request of it may have arrived, and its user has turned the template off since; nothing was written.
    TurnedOff,
    /// Its lane is another node's by now, or its gates have closed since; nothing was written.
    Fenced,
}

/// A settlement and the row that it is written to.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where it is written.
    pub target: Target,
    /// What is written.
    pub settlement: Settlement,
    /// When the call began, if there was one.
    pub began_at: Option<Millis>,
    /// When it ended.
    pub ended_at: Millis,
}

/// A living row as it was read. If its state or fence has changed since, nothing is written to it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its key, state and fence.
    pub due: Due,
    /// Its lane.
    pub lane: i64,
    /// The user.
    pub recipient: i64,
    /// The template.
    pub template: i64,
    /// Whether its consent stands for many sends, and so is neither held nor used.
    pub standing: bool,
    /// The schedule that it comes from.
    pub schedule: Option<i64>,
    /// The node that marked it last and has not said what came of that. A doubt that is written keeps it. Of a mark that is taken back since nobody
    /// knows whether it was written: the node whose mark it would be.
    pub marker: Option<NodeId>,
    /// The epoch of the lane that a settlement counts on. What says how a call ended counts on none: it is testimony, whoever has the lane by now.
    pub epoch: Option<i64>,
}

impl Target {
    /// The node whose mark is taken back, if this is what it is about: another may have marked the row under the same fence.
    pub fn taken_back(&self) -> Option<NodeId> {
        self.marker.filter(|_| self.due.state == State::Sending && self.epoch.is_none())
    }
}

impl Job {
    /// Its row, before its mark or, if it is `marked`, after it.
    pub fn target(&self, marked: bool) -> Target {
        let mut due = self.due.clone();
        if marked {
            due.fence += 1;
            due.state = State::Sending;
        }
        let Self { lane, recipient, template, standing, schedule, .. } = *self;
        // Who has marked it says now what came of it.
        let (marker, epoch) = (self.marker.filter(|_| !marked), self.epoch.filter(|_| !marked));
        Target { due, lane, recipient, template, standing, schedule, marker, epoch }
    }
}

/// The earliest and latest instants that a commit brought or moved, so that the engine looks there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    /// Earliest.
    pub from: Millis,
    /// Latest.
    pub until: Millis,
}

impl Ring {
    /// All that is in reach.
    pub const EVERYTHING: Self = Self { from: Millis::MIN, until: Millis::MAX };
    /// No row has changed; the engine is to look all the same.
    pub const NOWHERE: Self = Self { from: Millis::MAX, until: Millis::MIN };

    /// All that both cover, and what lies between.
    pub fn and(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), until: self.until.max(other.until) }
    }
}

/// Told after each commit.
pub type OnCommit = Box<dyn Fn(Option<Ring>, Duration) + Send + Sync>;
