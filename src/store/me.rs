//! Who writes, where several daemons share a database, and how it makes itself heard.

use crate::{
    config::Replication,
    domain::{Millis, node::NodeId, recall::REMEMBERED},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

/// The node that this process is, as the writer and the engine's reads need it. Shared, since one that has lapsed becomes another.
#[derive(Debug, Clone)]
pub(super) struct Me(Arc<Being>);

#[derive(Debug)]
struct Being {
    node: AtomicI64,
    slot: AtomicI64,
    first_id: AtomicI64,
    /// What stands in its row as long as it runs, and in no other's; and what a standby of the database has.
    word: Mutex<(String, Replication)>,
    /// The others that were seen to be there: their rows' secrets by their ids, and when that was.
    seen: Mutex<HashMap<(i64, String), Millis>>,
    /// The others wait for it to write again what the database has forgotten.
    is_asked: AtomicBool,
    /// Commits of its own that the database has forgotten, and that nobody has asked for yet.
    forgotten: AtomicU64,
    /// The server says which timeline it writes.
    tells_timeline: AtomicBool,
}

impl Me {
    /// Which it is; `None` for who is alone, or only asks.
    pub fn id(&self) -> Option<NodeId> {
        Some(NodeId(self.0.node.load(Ordering::Acquire))).filter(|id| id.0 > 0)
    }

    /// Its slot.
    pub fn slot(&self) -> i64 {
        self.0.slot.load(Ordering::Acquire)
    }

    /// Ids begin behind those that others have given out in the same slot before.
    pub fn first_id(&self) -> i64 {
        self.0.first_id.load(Ordering::Acquire)
    }

    /// No node, and a writer with this slot.
    pub fn of_slot(slot: i64) -> Self {
        Self(Arc::new(Being {
            node: 0.into(),
            slot: slot.into(),
            first_id: 0.into(),
            word: Mutex::default(),
            seen: Mutex::default(),
            is_asked: AtomicBool::default(),
            forgotten: AtomicU64::default(),
            tells_timeline: AtomicBool::default(),
        }))
    }

    /// What stands in its row and in no other's, and what a standby has.
    pub fn word(&self) -> (String, Replication) {
        self.0.word.lock().expect("whole").clone()
    }

    /// It says this of itself, whichever node it is.
    pub fn says(&self, secret: &str, replication: Replication) {
        *self.0.word.lock().expect("whole") = (secret.to_owned(), replication);
    }

    /// Others were seen that are not gone.
    pub fn sees(&self, nodes: impl IntoIterator<Item = (i64, String)>, now: Millis) {
        let mut seen = self.0.seen.lock().expect("whole");
        seen.extend(nodes.into_iter().map(|node| (node, now)));
        seen.retain(|_, at| now - *at <= REMEMBERED);
    }

    /// Those that were seen lately.
    pub fn has_seen(&self) -> Vec<(i64, String)> {
        self.0.seen.lock().expect("whole").keys().cloned().collect()
    }

    /// The others wait for it.
    pub fn is_asked(&self) {
        self.0.is_asked.store(true, Ordering::Release);
    }

    /// Whether they do.
    pub fn has_to_tell(&self) -> bool {
        self.0.is_asked.load(Ordering::Acquire)
    }

    /// Whether they did since this was last asked.
    pub fn was_asked(&self) -> bool {
        self.0.is_asked.swap(false, Ordering::AcqRel)
    }

    /// The database has forgotten so many of its commits.
    pub fn lacks(&self, commits: i64) {
        self.0.forgotten.fetch_add(commits.try_into().unwrap_or_default(), Ordering::AcqRel);
    }

    /// How many the database has forgotten since this was last asked.
    pub fn take_forgotten(&self) -> u64 {
        self.0.forgotten.swap(0, Ordering::AcqRel)
    }

    /// Whether the server says which timeline it writes.
    pub fn is_told_timeline(&self, told: bool) {
        self.0.tells_timeline.store(told, Ordering::Release);
    }

    /// The same, as it was said last.
    pub fn knows_timeline(&self) -> bool {
        self.0.tells_timeline.load(Ordering::Acquire)
    }

    /// It is this node from now on, with a slot in which ids up to `last_id` may have been given out.
    pub fn becomes(&self, id: NodeId, slot: i64, last_id: i64) {
        self.0.first_id.store(last_id + 1, Ordering::Release);
        self.0.slot.store(slot, Ordering::Release);
        self.0.node.store(id.0, Ordering::Release);
    }
}

/// The statements that ring with the commit, and say so in the table `ring`: a pooler may swallow what is called out.
pub(super) fn ring(slot: i64) -> String {
    format!(
        "INSERT INTO ring (slot, n) VALUES ({slot}, 1) ON CONFLICT (slot) DO UPDATE SET n = ring.n + 1; NOTIFY tixing, '{slot}';"
    )
}
