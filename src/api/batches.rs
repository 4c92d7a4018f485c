//! The batches that are under way, and the memory that they share: one alone may hold much, and many hold little each.

use super::problem::Problem;
use crate::words::say;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Batches at once.
const AT_ONCE: usize = 256;
/// How long one waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// Bytes of one line.
pub(super) const MAX_LINE: usize = 64 * 1024;
/// Bytes of one slice, and of the slices of all batches that are being read.
const SLICE_BYTES: usize = 4 * 1024 * 1024;
const ALL_SLICES: usize = 32 * 1024 * 1024;
/// Bytes of one piece of an answer.
pub(super) const PIECE: usize = 64 * 1024;
/// Pieces that wait for one slow reader, since some clients read only when they have written all; and for about all readers.
const WAITING: usize = 256;
const ALL_WAITING: usize = 512;

/// The batches that are under way.
pub(super) struct Batches(Arc<Semaphore>);

/// One of them, until it is dropped.
pub(super) struct Batch {
    places: Arc<Semaphore>,
    _place: OwnedSemaphorePermit,
}

impl Default for Batches {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Batches {
    /// A place for one more.
    ///
    /// # Errors
    /// `too_many`, when none comes free for a while.
    pub async fn enter(&self) -> Result<Batch, Problem> {
        let place = tokio::time::timeout(TURN, Arc::clone(&self.0).acquire_owned()).await;
        let place = place.map_err(|_| Problem::new("too_many", say!("batches_under_way", most = AT_ONCE)))?;
        Ok(Batch { places: Arc::clone(&self.0), _place: place.expect("never closed") })
    }
}

impl Batch {
    fn under_way(&self) -> usize {
        AT_ONCE.saturating_sub(self.places.available_permits()).max(1)
    }

    /// How many bytes its next slice may have.
    pub fn slice_bytes(&self) -> usize {
        (ALL_SLICES / self.under_way()).clamp(MAX_LINE, SLICE_BYTES)
    }

    /// How many pieces of its answer may wait, if it begins now.
    pub fn waiting(&self) -> usize {
        (ALL_WAITING / self.under_way()).clamp(2, WAITING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_batches_hold_little_each_and_one_too_many_is_told_after_a_while() {
        let batches = Batches::default();
        let mut under_way = vec![batches.enter().await.expect("a place")];
        assert_eq!((under_way[0].slice_bytes(), under_way[0].waiting()), (SLICE_BYTES, WAITING));
        let mut waiting = under_way[0].waiting();
        while under_way.len() < AT_ONCE {
            let batch = batches.enter().await.expect("a place");
            waiting += batch.waiting();
            under_way.push(batch);
        }
        assert!(waiting * PIECE < 256 << 20, "{waiting} pieces may wait");
        assert!(under_way.iter().map(Batch::slice_bytes).sum::<usize>() <= ALL_SLICES);
        let refused = batches.enter().await.err().expect("no place");
        assert_eq!(refused.code, "too_many");
        drop(under_way.pop());
        assert!(batches.enter().await.is_ok());
    }
}
