//! The one place that asks the system for the time.

use crate::domain::Millis;
use rustix::time::{ClockId, clock_gettime};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Wall clock and monotonic clock together, so that a step of the one is seen against the other.
pub trait Clock: Send + Sync {
    /// UTC milliseconds.
    fn now(&self) -> Millis;
    /// Milliseconds that never step, from an arbitrary start. They pass while the machine sleeps, too.
    fn monotonic(&self) -> Millis;
}

/// A clock to share.
pub type SharedClock = Arc<dyn Clock>;

/// The system's clocks.
pub struct SystemClock;

impl SystemClock {
    /// The clock to share.
    #[must_use]
    pub fn shared() -> SharedClock {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    fn now(&self) -> Millis {
        chrono::Utc::now().timestamp_millis()
    }

    fn monotonic(&self) -> Millis {
        // Not the standard library's `Instant`, which stands still while a machine sleeps.
        let since_boot = clock_gettime(ClockId::Boottime);
        since_boot.tv_sec * 1_000 + since_boot.tv_nsec / 1_000_000
    }
}

/// A clock that moves when told to: for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn at(now: Millis) -> Arc<Self> {
        Arc::new(Self { wall: now.into(), steady: 0.into() })
    }

    /// Time passes.
    pub fn advance(&self, by: Millis) {
        self.wall.fetch_add(by, Ordering::SeqCst);
        self.steady.fetch_add(by, Ordering::SeqCst);
    }

    /// Somebody sets the wall clock; no time passes.
    pub fn step(&self, by: Millis) {
        self.wall.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.wall.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Millis {
        self.steady.load(Ordering::SeqCst)
    }
}
