//! Settlements that wait to be written, many in one commit.

use crate::{domain::Millis, store::port::Entry};

/// Settlements of one commit.
const BATCH: usize = 2_000;
/// Fewer settlements than this wait for company…
const FEW: usize = 64;
/// …but not longer than this: at a steady thousand a second, a commit for each would cost half a core.
const LINGER: Millis = 5;

/// A settlement on its way to the store.
pub struct Pending {
    /// The place of its lane among the engine's.
    pub lane: usize,
    /// Whether the job was marked, and so takes a place of the lane's window.
    pub marked: bool,
    /// What is to be written.
    pub entry: Entry,
}

/// All that wait. One batch is written at a time.
pub struct Settlements {
    waiting: Vec<Pending>,
    /// When the oldest of them came.
    since: Millis,
    /// How long few of them wait for company.
    linger: Millis,
    writing: bool,
}

impl Settlements {
    /// None yet.
    pub fn new() -> Self {
        Self { waiting: Vec::new(), since: 0, linger: LINGER, writing: false }
    }

    /// From now on few of them wait for nobody.
    pub fn wait_for_nobody(&mut self) {
        self.linger = 0;
    }

    /// Whether none waits. What is being written does not count.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Another one.
    pub fn push(&mut self, pending: Pending, now: Millis) {
        if self.waiting.is_empty() {
            self.since = now;
        }
        self.waiting.push(pending);
    }

    /// The next batch, if it is time for one. It is being written until [`Self::written`] or [`Self::put_back`].
    pub fn next_batch(&mut self, now: Millis, hurry: bool) -> Option<Vec<Pending>> {
        let company = self.waiting.len() >= FEW || hurry;
        // A clock that was set back must not make them wait.
        let waits = now >= self.since && now < self.since + self.linger;
        if self.writing || self.waiting.is_empty() || (!company && waits) {
            return None;
        }
        self.writing = true;
        Some(self.waiting.drain(..self.waiting.len().min(BATCH)).collect())
    }

    /// The batch is written.
    pub fn written(&mut self) {
        self.writing = false;
    }

    /// Whether the batch was written is not known. Writing it again is safe: the fence lets only one through.
    pub fn put_back(&mut self, batch: Vec<Pending>) {
        self.writing = false;
        self.waiting.splice(..0, batch);
    }

    /// When the next batch is to be written.
    pub fn next_wake(&self) -> Option<Millis> {
        (!self.waiting.is_empty() && !self.writing).then_some(self.since + self.linger)
    }

    /// The clock was set back.
    pub fn set_back(&mut self, by: Millis) {
        self.since -= by;
    }
}
