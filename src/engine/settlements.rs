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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            due::Due,
            reminder::{ReminderId, State},
            settle::assumed_sent,
        },
        store::port::Target,
    };

    fn pending(id: i64) -> Pending {
        let due = Due {
            id: ReminderId(id),
            due_at: 0,
            at: 0,
            expires_at: 1,
            state: State::Sending,
            fence: 1,
            tries: 0,
            unsure: 0,
            doubt_since: None,
        };
        let target = Target {
            due,
            lane: 1,
            recipient: 1,
            template: 1,
            standing: false,
            schedule: None,
            marker: None,
            epoch: None,
        };
        let entry = Entry { target, settlement: assumed_sent(), began_at: None, ended_at: 0 };
        Pending { lane: 0, marked: true, entry }
    }

    #[test]
    fn few_wait_for_company_and_one_batch_is_written_at_a_time() {
        let few = i64::try_from(FEW).expect("small");
        // (how many, when one looks, whether there is hurry) → whether a batch is written; the first comes at 100
        for (n, now, hurry, written) in [
            (0, 200, true, false),
            (1, 100, false, false),
            (1, 100, true, true),
            (1, 100 + LINGER - 1, false, false),
            (1, 100 + LINGER, false, true),
            // The clock was set back.
            (1, 50, false, true),
            (few - 1, 101, false, false),
            (few, 101, false, true),
        ] {
            let mut settlements = Settlements::new();
            (0..n).for_each(|id| settlements.push(pending(id), 100 + id.min(1)));
            assert_eq!(settlements.next_batch(now, hurry).is_some(), written, "{n} {now} {hurry}");
        }
        let mut settlements = Settlements::new();
        (1..=2).for_each(|id| settlements.push(pending(id), 100));
        let batch = settlements.next_batch(200, false).expect("it is time");
        settlements.push(pending(3), 150);
        assert!(settlements.next_batch(200, true).is_none() && settlements.next_wake().is_none(), "one at a time");
        settlements.put_back(batch);
        let batch = settlements.next_batch(200, false).expect("once more");
        let ids: Vec<i64> = batch.iter().map(|pending| pending.entry.target.due.id.0).collect();
        assert_eq!(ids, [1, 2, 3], "what was put back goes first");
    }
}
