//! One virtual time, seen three ways: by the world, by this machine's clock, and by a store that runs on threads of its own.

use crate::harness::START;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use tixing::{
    clock::{Clock, SharedClock},
    domain::Millis,
};
use tokio::time::Instant;

/// The time of one run. It passes as tokio's paused clock does: whenever nothing else is to be done.
pub struct Time {
    begun: Instant,
    /// The machine slept: the world went on, and so did its clocks; its timers did not.
    suspended: AtomicI64,
    /// How far the machine's wall clock is ahead of the world.
    ahead: AtomicI64,
    /// The monotonic clock as it last stood, for threads that tokio's clock does not reach.
    seen: AtomicI64,
}

impl Time {
    pub fn begin() -> Arc<Self> {
        let begun = Instant::now();
        Arc::new(Self { begun, suspended: 0.into(), ahead: 0.into(), seen: 0.into() })
    }

    fn steady(&self) -> Millis {
        let awake = Millis::try_from(self.begun.elapsed().as_millis()).expect("a short run");
        let steady = awake + self.suspended.load(Ordering::SeqCst);
        self.seen.store(steady, Ordering::SeqCst);
        steady
    }

    /// What time it really is.
    pub fn world(&self) -> Millis {
        START + self.steady()
    }

    /// What the machine says.
    pub fn machine(&self) -> Millis {
        self.world() + self.ahead.load(Ordering::SeqCst)
    }

    /// Somebody sets the machine's clock.
    pub fn step(&self, by: Millis) {
        self.ahead.fetch_add(by, Ordering::SeqCst);
    }

    /// Somebody sets it right.
    pub fn set_right(&self) {
        self.ahead.store(0, Ordering::SeqCst);
    }

    /// The machine is put to sleep for so long.
    pub fn suspend(&self, by: Millis) {
        self.suspended.fetch_add(by, Ordering::SeqCst);
    }

    /// The platform's clock.
    pub fn of_world(self: &Arc<Self>) -> SharedClock {
        Arc::new(World(Arc::clone(self)))
    }

    /// The daemon's clock.
    pub fn of_machine(self: &Arc<Self>, believes: Believes) -> SharedClock {
        Arc::new(Machine { time: Arc::clone(self), believes })
    }

    /// The same for the store's threads, which run only while the simulation waits for them.
    pub fn of_store(self: &Arc<Self>) -> SharedClock {
        Arc::new(Stored(Arc::clone(self)))
    }
}

/// Which steps of the wall clock the daemon does not see: a deliberate fault, in which the monotonic clock goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Believes {
    Nothing,
    Forward,
    Back,
}

struct World(Arc<Time>);

impl Clock for World {
    fn now(&self) -> Millis {
        self.0.world()
    }

    fn monotonic(&self) -> Millis {
        self.0.steady()
    }
}

struct Machine {
    time: Arc<Time>,
    believes: Believes,
}

impl Clock for Machine {
    fn now(&self) -> Millis {
        self.time.machine()
    }

    fn monotonic(&self) -> Millis {
        let ahead = self.time.ahead.load(Ordering::SeqCst);
        self.time.steady()
            + match self.believes {
                Believes::Nothing => 0,
                Believes::Forward => ahead.max(0),
                Believes::Back => ahead.min(0),
            }
    }
}

struct Stored(Arc<Time>);

impl Clock for Stored {
    fn now(&self) -> Millis {
        START + self.0.seen.load(Ordering::SeqCst) + self.0.ahead.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Millis {
        self.0.seen.load(Ordering::SeqCst)
    }
}
