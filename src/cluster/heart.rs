//! A node's heart: it says once a second that the node lives, and how long it may trust in that.

use crate::{
    clock::SharedClock,
    domain::{
        Millis, SECOND,
        node::{BEAT, NodeId, SILENCE, TRUST},
        outage::Outage,
    },
    engine::Signals,
    store::{StoreError, nodes::Nodes, port::Asked},
    words::say,
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// How long a beat may take; then it is made anew.
const BEAT_LIMIT: Duration = Duration::from_millis(1_500);

/// What came of a beat.
pub(super) enum Beaten {
    /// The node lives.
    Yes,
    /// Others hold it for dead.
    Lapsed,
    /// The database did not say.
    Unknown,
}

/// What says that a node lives.
pub(super) struct Heart {
    nodes: Arc<dyn Nodes>,
    signals: Arc<Signals>,
    clock: SharedClock,
    me: AtomicI64,
    /// The node that others held for dead when it last beat.
    lapsed: AtomicI64,
    outage: Mutex<Outage>,
}

impl Heart {
    /// The heart of a node that has joined as `me`.
    pub fn new(nodes: Arc<dyn Nodes>, signals: Arc<Signals>, clock: SharedClock, me: NodeId) -> Self {
        Self { nodes, signals, clock, me: me.0.into(), lapsed: 0.into(), outage: Mutex::default() }
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().expect("whole")
    }

    /// It is this node from now on.
    pub fn becomes(&self, me: NodeId) {
        self.me.store(me.0, Ordering::Release);
    }

    /// Whether others hold this node for dead, and not one that it was before.
    pub fn has_lapsed(&self, me: NodeId) -> bool {
        self.lapsed.load(Ordering::Acquire) == me.0
    }

    /// Beats every second; calls whenever others hold the node for dead.
    pub async fn beats(&self, lapsed: &Notify) {
        loop {
            let next = Instant::now() + Duration::from_millis(BEAT.unsigned_abs());
            if let Beaten::Lapsed = self.beat().await {
                lapsed.notify_one();
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// Beats once. The node trusts its lanes from the moment at which it was sent.
    pub async fn beat(&self) -> Beaten {
        let (sent, me) = (self.clock.monotonic(), NodeId(self.me.load(Ordering::Acquire)));
        let distrusted = self.signals.distrusts_clock();
        match limited(BEAT_LIMIT, self.nodes.beat(me, self.clock.now(), distrusted)).await {
            Ok(true) => {
                // From when it was sent, and not from when it was answered: the answer may be old.
                self.signals.trust_until(sent + TRUST);
                if let Some(lasted) = self.outage().worked(sent) {
                    tracing::info!(lasted_s = lasted / SECOND, "the database hears of this daemon again");
                }
                Beaten::Yes
            }
            Ok(false) => {
                self.signals.trust_until(Millis::MIN);
                self.lapsed.store(me.0, Ordering::Release);
                Beaten::Lapsed
            }
            Err(error) => {
                if self.outage().failed(sent) {
                    tracing::warn!(
                        %error,
                        "this daemon can't tell the database that it lives: after {} s without that it sends nothing, and after {} s others send for its apps, if they can",
                        TRUST / SECOND,
                        SILENCE / SECOND,
                    );
                }
                Beaten::Unknown
            }
        }
    }
}

/// Waits for an answer, but not for ever.
pub(super) async fn limited<T>(limit: Duration, asked: Asked<T>) -> Result<T, StoreError> {
    let silent = |_| Err(StoreError::Silent(say!("store_no_answer_within", limit = limit.as_millis() as u64)));
    tokio::time::timeout(limit, asked).await.unwrap_or_else(silent)
}
