//! Ends reminders that have expired while they waited: before a lane's first send, and every half minute.

use super::{Done, Engine, limited};
use crate::{
    domain::{Millis, decide::Decision},
    store::{StoreError, port::Job},
};
use std::sync::Arc;

/// Rows of one look.
const SLICE: i64 = 1_000;

impl Engine {
    /// Looks for what has expired in a lane, if it is `wanted` or the lane has not been sorted yet.
    pub(super) fn sweep(&mut self, i: usize, wanted: bool, now: Millis) {
        let lane = &mut self.lanes[i];
        if lane.sweeping || !wanted && lane.sorted && !lane.wants_sweep {
            return;
        }
        (lane.sweeping, lane.wants_sweep) = (true, false);
        let (store, id, open) = (Arc::clone(&self.store), lane.id, Arc::clone(&lane.open));
        let work = async move {
            let expired = limited(store.past_deadline(id, now, SLICE, open)).await;
            Done::Swept { lane: i, expired }
        };
        self.tasks.spawn_on(work, &self.store_runtime);
    }

    /// The reminders that were found end.
    pub(super) fn swept(&mut self, i: usize, expired: Result<Vec<Job>, StoreError>, now: Millis) {
        self.lanes[i].sweeping = false;
        let Ok(jobs) = expired else { return };
        let more = jobs.len() >= usize::try_from(SLICE).expect("small");
        for job in jobs {
            // The clock may have been set since the look began.
            let gate = self.lanes[i].gates.here(self.lanes[i].home, job.schedule);
            if let Decision::Settle(settlement) = self.lanes[i].decide(&job, gate, now)
                && self.lanes[i].active.insert(job.due.id)
            {
                self.settle_unmarked(i, &job, settlement, now);
            }
        }
        // The next slice is looked for once this one is written.
        self.lanes[i].sorted = !more;
    }
}
