//! The end of a hold: what became due between a backup and its restoration may have been sent, and is not sent again.

use crate::{
    domain::{
        Millis,
        reminder::{ReminderId, State},
        settle::{Settlement, assumed_sent, assumed_sent_without_consent},
    },
    store::{
        StoreError,
        port::{Entry, Job, Marked, Queue},
    },
};

/// Reminders of one slice.
const SLICE: i64 = 1_000;

/// Ends what is due by `now` in a lane and has its instant by `until`, up to the reminder `last_id`, as `unconfirmed`, its consent used;
/// answers how many. Only while the store is on hold. What was made later was made here and cannot have been sent.
///
/// # Errors
/// When the store does not answer. What was ended is ended; asking again goes on from there.
pub async fn assume_sent(
    store: &dyn Queue,
    lane: i64,
    last_id: ReminderId,
    until: Millis,
    now: Millis,
) -> Result<u64, StoreError> {
    // What waits for a later try may have been tried earlier by another life.
    store.wake_suspended(lane, now).await?;
    let (mut ended, mut after) = (0, (Millis::MIN, 0));
    loop {
        let mut jobs = store.prefetch(lane, after, now, SLICE).await?;
        let Some(last) = jobs.last() else { return Ok(ended) };
        after = (last.due.due_at, last.due.id.0);
        // By its instant: a later try may have been made earlier by another life.
        jobs.retain(|job| job.due.id <= last_id && job.due.at <= until);
        let (waiting, begun): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| job.due.state == State::Scheduled);
        // Marking takes the consent of those that claim one at the instant.
        let verdicts = store.mark(waiting.clone()).await?;
        let waiting = waiting.iter().zip(verdicts).filter_map(|(job, verdict)| match verdict {
            Marked::Yes | Marked::By(_) => Some(end(job, true, assumed_sent(), now)),
            // None is known here, but one may have come and been spent since the backup.
            Marked::NoConsent => Some(end(job, false, assumed_sent_without_consent(), now)),
            // It is not to be sent again, and holds what its first request may have spent.
            Marked::NotSole | Marked::TurnedOff | Marked::Ended { .. } => Some(end(job, false, assumed_sent(), now)),
            // Its owner cancelled it just now. No epoch is counted on here: while the store is on hold nobody else marks.
            Marked::Late | Marked::Fenced => None,
        });
        let settles: Vec<Entry> = waiting.chain(begun.iter().map(|job| end(job, false, assumed_sent(), now))).collect();
        ended += store.settle(settles).await?.into_iter().filter(|written| *written).count() as u64;
    }
}

fn end(job: &Job, marked: bool, settlement: Settlement, now: Millis) -> Entry {
    Entry { target: job.target(marked), settlement, began_at: None, ended_at: now }
}
