//! What other nodes are sending in a lane that is this one's now, and since when this one has seen it.

use crate::domain::{Millis, SECOND, reminder::ReminderId};
use std::collections::HashMap;

/// No call lasts so long, nor does what its node waits for before and after it.
const OUTLIVED: Millis = 90 * SECOND;
/// More of them than there can be: old ones were never taken out.
const MANY: usize = 10_000;

/// Of each reminder the fence under which another node is sending it, and since when.
#[derive(Debug, Default)]
pub struct Others(HashMap<ReminderId, (i64, Millis)>);

impl Others {
    /// Another node that works is sending a reminder. Answers whether it must have forgotten it: a mark whose answer was lost, and which its
    /// database wrote only after it had been taken back, is known to nobody. Such a reminder is in doubt, and not sent again before its node is
    /// gone.
    pub fn forgot(&mut self, id: ReminderId, fence: i64, now: Millis) -> bool {
        if self.0.len() > MANY {
            self.0.clear();
        }
        let (seen, since) = self.0.entry(id).or_insert((fence, now));
        if *seen != fence || now < *since {
            (*seen, *since) = (fence, now);
        }
        now - *since >= OUTLIVED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_working_node_is_sending_for_longer_than_a_call_lasts_is_forgotten() {
        let (mut others, id) = (Others::default(), ReminderId(1));
        // (when, the fence) → forgotten
        for (now, fence, forgotten) in [
            (0, 1, false),
            (OUTLIVED - 1, 1, false),
            (OUTLIVED, 1, true),
            // It was marked again.
            (OUTLIVED, 3, false),
            (2 * OUTLIVED - 1, 3, false),
            // The clock was set back.
            (0, 3, false),
            (OUTLIVED, 3, true),
        ] {
            assert_eq!(others.forgot(id, fence, now), forgotten, "{now} {fence}");
        }
    }
}
