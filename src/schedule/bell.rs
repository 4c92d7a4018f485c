//! When the recurring schedules are looked at: when the bell rings, and every few seconds should it not.

use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Without a ring they are looked at so often: a bell was seen to fall silent.
pub const POLL: Duration = Duration::from_secs(5);

/// Waits for the next look; `false`: it is to stop. However often it rang during a look, one follows.
pub async fn rings(rung: &Notify, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = rung.notified() => true,
        () = tokio::time::sleep(POLL) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use tokio::time::{Instant, sleep};

    /// The seconds at which it looks, if it rings at these, and is stopped after so many.
    async fn looks_at(rings: &[u64], until: u64) -> Vec<u64> {
        let (rung, stop, begun) = (Notify::new(), CancellationToken::new(), Instant::now());
        let seen = RefCell::new(Vec::new());
        let rings = async {
            for at in rings {
                sleep(Duration::from_secs(*at).saturating_sub(begun.elapsed())).await;
                rung.notify_one();
            }
            sleep(Duration::from_secs(until).saturating_sub(begun.elapsed())).await;
            stop.cancel();
        };
        let looks = async {
            while super::rings(&rung, &stop).await {
                seen.borrow_mut().push(begun.elapsed().as_secs());
                sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::join!(looks, rings);
        seen.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn what_recurs_is_looked_at_when_it_rings_and_every_five_seconds_if_it_never_does() {
        assert_eq!(looks_at(&[], 22).await, [5, 10, 15, 20]);
        assert_eq!(looks_at(&[1, 2, 3], 4).await, [1, 2, 3]);
        assert_eq!(looks_at(&[1, 1, 1], 3).await, [1, 1], "those that came during a look are one");
        assert_eq!(looks_at(&[3], 14).await, [3, 8, 13]);
        assert_eq!(looks_at(&[], 4).await, [0; 0], "not yet");
    }
}
