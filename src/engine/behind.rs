//! Ends reminders that have expired behind closed gates: a deadline runs on in a pause.

use super::{Done, Engine, limited};
use crate::{
    domain::{Millis, decide::Decision},
    store::{
        StoreError,
        port::{Job, Next},
    },
};
use std::sync::Arc;

/// No further slice is looked at while so many jobs are under way.
const UNDER_WAY: usize = 10_000;

impl Engine {
    /// Looks for what has expired behind a lane's closed gates: deadlines run on.
    pub(super) fn look_behind(&mut self, i: usize, now: Millis) {
        let lane = &mut self.lanes[i];
        if lane.open.is_all() || lane.active.len() > UNDER_WAY || !lane.behind.looks(now) {
            return;
        }
        let (store, id, after, open) = (Arc::clone(&self.store), lane.id, lane.behind.after, Arc::clone(&lane.open));
        let work = async move {
            let found = limited(store.past_deadline_closed(id, after, now, open)).await;
            Done::LookedBehind { lane: i, found }
        };
        self.tasks.spawn_on(work, &self.store_runtime);
    }

    /// What was found there ends.
    pub(super) fn looked_behind(&mut self, i: usize, found: Result<(Vec<Job>, Next), StoreError>, now: Millis) {
        let Ok((jobs, next)) = found else { return self.lanes[i].behind.failed() };
        self.lanes[i].behind.looked(next, now);
        for job in jobs {
            let lane = &mut self.lanes[i];
            let gate = lane.gates.here(lane.home, job.schedule);
            // The clock may have been set since the look began.
            if let Decision::Settle(settlement) = lane.decide(&job, gate, now)
                && lane.active.insert(job.due.id)
            {
                self.settle_unmarked(i, &job, settlement, now);
            }
        }
    }
}
