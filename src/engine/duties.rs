//! What one node at a time does for all: it looks at terms, at recurring schedules, at the watched folder. Each is harmless when two do it at once,
//! which happens for a moment when one is taken over, so no fence guards it.

use crate::{
    domain::node::{NodeId, View},
    store::nodes::Nodes,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, RwLock},
    time::Duration,
};

/// How long the database may take to answer.
const ASK_LIMIT: Duration = Duration::from_secs(3);

/// The duties that are this node's. Who is alone has all.
#[derive(Debug, Clone, Default)]
pub struct Duties(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Who has each, where several share them.
    of: Option<BTreeMap<String, Option<NodeId>>>,
    ours: BTreeSet<String>,
}

impl Duties {
    /// Whether a duty is this node's.
    pub fn has(&self, name: &str) -> bool {
        let known = self.0.read().expect("whole");
        known.of.is_none() || known.ours.contains(name)
    }

    /// Nobody has told yet who has them: none is this node's.
    ///
    /// # Panics
    /// When another thread panicked while writing it.
    pub fn of_several(&self) {
        self.0.write().expect("whole").of.get_or_insert_with(BTreeMap::new);
    }

    /// As they were read: who has each.
    pub fn are(&self, read: &BTreeMap<String, Option<NodeId>>, me: NodeId) {
        let ours = read.iter().filter(|(_, node)| **node == Some(me)).map(|(name, _)| name.clone()).collect();
        *self.0.write().expect("whole") = Known { of: Some(read.clone()), ours };
    }

    /// Gives this node those that nobody has who works. Answers whether something has changed.
    pub async fn share_out(&self, nodes: &dyn Nodes, me: NodeId, view: &View) -> bool {
        let works = |id| view.node(id).is_some_and(|node| node.state.works());
        let free: Vec<_> = match &self.0.read().expect("whole").of {
            Some(of) => of
                .iter()
                .filter(|(_, node)| !node.is_some_and(works))
                .map(|(name, node)| (name.clone(), *node))
                .collect(),
            None => Vec::new(),
        };
        let mut taken = false;
        for (name, from) in free {
            let asked = tokio::time::timeout(ASK_LIMIT, nodes.take_duty(name, from, me)).await;
            taken |= matches!(asked, Ok(Ok(true)));
        }
        taken
    }
}
