//! The clocks of one machine, and how it can stand still.

use crate::harness::START;
use crate::simulation::time::Time;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
};
use tixing::{clock::Clock, domain::Millis};
use tokio::sync::Notify;

/// A machine's clocks. The monotonic one runs a little too fast or too slow; the wall clock is kept right by others, more or less.
pub struct Clocks {
    time: Arc<Time>,
    /// Millionths by which it is too fast.
    too_fast: i64,
    /// How far the wall clock is ahead of the world.
    ahead: AtomicI64,
    /// How long all its clocks have stood still, and since when they do if they do now.
    stood: AtomicI64,
    stands_since: AtomicI64,
}

impl Clocks {
    pub fn new(time: Arc<Time>, too_fast: i64, ahead: Millis) -> Arc<Self> {
        let never = Millis::MAX.into();
        Arc::new(Self { time, too_fast, ahead: ahead.into(), stood: 0.into(), stands_since: never })
    }

    /// Somebody sets the wall clock, so far ahead of the world.
    pub fn set(&self, ahead: Millis) {
        let stood = self.stood.load(Ordering::SeqCst);
        self.ahead.store(ahead + stood, Ordering::SeqCst);
    }

    /// Its machine is a virtual one, and is paused.
    pub fn stop(&self) {
        self.stands_since.store(self.time.world(), Ordering::SeqCst);
    }

    /// It goes on.
    pub fn go_on(&self) {
        let since = self.stands_since.swap(Millis::MAX, Ordering::SeqCst);
        self.stood.fetch_add((self.time.world() - since).max(0), Ordering::SeqCst);
    }

    fn awake(&self) -> Millis {
        let until = self.time.world().min(self.stands_since.load(Ordering::SeqCst));
        until - START - self.stood.load(Ordering::SeqCst)
    }
}

impl Clock for Clocks {
    fn now(&self) -> Millis {
        START + self.awake() + self.ahead.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Millis {
        let awake = self.awake();
        1_000_000 + awake + awake * self.too_fast / 1_000_000
    }
}

/// Whether a process stands still, and how often it has. Not a `watch`: that wakes who waits in an order which a die of the runtime's decides.
#[derive(Clone, Default)]
pub struct Ice(Arc<(Mutex<(bool, u32)>, Notify)>);

impl Ice {
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> (bool, u32) {
        *self.0.0.lock().expect("whole")
    }

    pub fn freeze(&self) {
        let mut state = self.0.0.lock().expect("whole");
        *state = (true, state.1 + 1);
    }

    pub fn thaw(&self) {
        self.0.0.lock().expect("whole").0 = false;
        self.0.1.notify_waiters();
    }

    pub fn is_frozen(&self) -> bool {
        self.state().0
    }

    /// How often it has stood still.
    pub fn times(&self) -> u32 {
        self.state().1
    }

    /// Waits until it does not stand still.
    pub async fn thawed(&self) {
        loop {
            // Before it looks: a thaw in between is not lost.
            let goes_on = self.0.1.notified();
            if !self.is_frozen() {
                return;
            }
            goes_on.await;
        }
    }
}

/// A future of a process that may stand still: then nobody polls it.
pub struct Stands<F> {
    inner: Pin<Box<F>>,
    ice: Ice,
    waits: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<F> Stands<F> {
    pub fn new(inner: F, ice: &Ice) -> Self {
        Self { inner: Box::pin(inner), ice: ice.clone(), waits: None }
    }
}

impl<F: Future> Future for Stands<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.ice.is_frozen() && self.waits.is_none() {
            let ice = self.ice.clone();
            self.waits = Some(Box::pin(async move { ice.thawed().await }));
        }
        if let Some(waits) = &mut self.waits {
            if waits.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.waits = None;
        }
        self.inner.as_mut().poll(cx)
    }
}
