//! Several daemons on one database: who is alive, who has which lane, and what may be done about what another has left.
//!
//! A node is one start of a daemon. It beats once a second; whoever has not been seen to beat for a while has lapsed, and others take its lanes.
//! No wall clock decides anything here: every node reckons by its own monotonic clock from what it has sent or seen itself.
//!
//! Why that is safe: a beat that was sent at `s` is committed, and then seen by another node at `b ≥ s`. That one waits [`SILENCE`] from `b`;
//! this one sends nothing after `s` + [`TRUST`]. So three seconds lie between the last first byte of the one and the first mark of the
//! other. A process that stands still between its look at the clock and the byte can break that; therefore what a node has left in the middle
//! of being sent is sent again only once it is proved that the node is gone ([`Marker::lets_resend`]).

use super::{Millis, SECOND};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Between two beats.
pub const BEAT: Millis = SECOND;
/// So long a node trusts that its lanes are its own, from the moment at which it sent the beat that was written.
pub const TRUST: Millis = 5 * SECOND;
/// A node that was not seen to beat for so long has lapsed.
pub const SILENCE: Millis = 8 * SECOND;
/// Whoever has not looked for longer than this has seen no silence: the database may have been away for everybody.
pub const GAP: Millis = 2_500;
/// So long after a node has lapsed its requests have ended, if it goes on at all.
pub const REQUESTS_END: Millis = 8 * SECOND;
/// So long after it is proved that a node is gone no byte of its requests is on its way: longer than the kernel tries.
pub const BYTES_END: Millis = 12 * SECOND;
/// Whose clock is further from the database's sends too early or too late.
pub const SKEWED: Millis = 3 * SECOND;
/// The nodes must have been the same for so long before a lane moves from one that lives.
pub const STABLE: Millis = 30 * SECOND;
/// Between two lanes that a node hands over while it goes on.
pub const MOVE_EVERY: Millis = 10 * SECOND;

/// A node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct NodeId(pub i64);

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It works.
    Live,
    /// It finishes what is under way and takes nothing more.
    Leaving,
    /// It was not seen to beat, and others have its lanes. It may come back to itself.
    Lapsed,
    /// It has ended: it said so, or that was proved.
    Gone,
}

impl NodeState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Live, Self::Leaving, Self::Lapsed, Self::Gone];

    /// As it stands in the database and in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Leaving => "leaving",
            Self::Lapsed => "lapsed",
            Self::Gone => "gone",
        }
    }

    /// The state of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether it may have lanes, and finishes what it has begun.
    pub fn works(self) -> bool {
        matches!(self, Self::Live | Self::Leaving)
    }
}

/// What a node says of itself that all of them should agree about.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct Peer {
    /// What its operator calls it.
    pub name: String,
    /// The version of its tixing.
    pub version: String,
    /// Its machine's id; empty where it has none.
    pub machine: String,
    /// The start of its machine.
    pub boot: String,
    /// The apps that it is configured with, each with a digest of what the nodes must agree on.
    pub configured: BTreeMap<String, String>,
}

/// A node, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSeen {
    /// Which.
    pub id: NodeId,
    /// What its operator calls it.
    pub name: String,
    /// How it stands.
    pub state: NodeState,
    /// How often it has beaten.
    pub beat: i64,
    /// The apps that it is configured with.
    pub apps: BTreeSet<String>,
    /// Into how many lanes it divides an app, where that is more than one.
    pub shards: BTreeMap<String, u32>,
    /// Its clock is right, as far as it and the database know.
    pub on_time: bool,
}

/// A lane, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSeen {
    /// Which.
    pub lane: i64,
    /// Its app.
    pub app: String,
    /// Which shard of the app.
    pub shard: u32,
    /// Something waits in it. It is not asked of the first shard.
    pub waits: bool,
    /// Who has it.
    pub node: Option<NodeId>,
    /// How often it went to another, or its gates closed: a mark names it, and one that names another does nothing.
    pub epoch: i64,
}

/// Which part of an app's limits a lane has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Counted from 0.
    pub part: u32,
    /// Into so many parts the whole is divided.
    pub of: u32,
}

impl Share {
    /// The limits of an app that is not divided.
    pub const WHOLE: Self = Self { part: 0, of: 1 };

    /// The lane's part of a limit. All parts together are exactly the whole; only where there are more parts than ones in it is each at least one, so
    /// that nothing waits for ever.
    pub fn of_limit(self, whole: u32) -> u32 {
        (whole / self.of + u32::from(self.part < whole % self.of)).max(1)
    }
}

/// What one look at the database shows. Nodes that are gone are not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// All nodes.
    pub nodes: Vec<NodeSeen>,
    /// All lanes.
    pub lanes: Vec<LaneSeen>,
}

impl View {
    /// A node, unless it is gone.
    pub fn node(&self, id: NodeId) -> Option<&NodeSeen> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// A node, as people are told of it: by its name, and by the number that tells its starts apart.
    pub fn called(&self, id: NodeId) -> String {
        format!("{} ({})", self.node(id).map_or("?", |node| &node.name), id.0)
    }

    /// The node that should have each lane: the one that its name draws, so that each node has its share and few lanes move when one comes or
    /// goes. The shards of one app are apart as far as there are nodes: no node has two more of them than another. One whose clock is wrong has
    /// none, unless all clocks are: then it may be the database's. `without` cannot have any.
    pub fn places(&self, without: Option<NodeId>) -> BTreeMap<i64, NodeId> {
        let mut places = BTreeMap::new();
        for (app, lanes) in self.by_app() {
            let fit =
                |node: &&NodeSeen| node.state == NodeState::Live && Some(node.id) != without && node.apps.contains(app);
            let mut nodes: Vec<(usize, &NodeSeen)> = self.nodes.iter().filter(fit).map(|node| (0, node)).collect();
            if nodes.iter().any(|(_, node)| node.on_time) {
                nodes.retain(|(_, node)| node.on_time);
            }
            // So many each has, and so many have one more.
            let (each, mut more) = (lanes.len() / nodes.len().max(1), lanes.len() % nodes.len().max(1));
            for lane in lanes {
                let has_room = |(has, _): &&mut (usize, &NodeSeen)| *has < each || *has == each && more > 0;
                let drawn = |(_, node): &&mut (usize, &NodeSeen)| (drawn(&node.name, lane.lane), node.id);
                if let Some((has, node)) = nodes.iter_mut().filter(has_room).max_by_key(drawn) {
                    more -= usize::from(*has == each);
                    *has += 1;
                    places.insert(lane.lane, node.id);
                }
            }
        }
        places
    }

    /// The lanes of each app, by shard.
    fn by_app(&self) -> BTreeMap<&str, Vec<&LaneSeen>> {
        let mut apps: BTreeMap<&str, Vec<&LaneSeen>> = BTreeMap::new();
        self.lanes.iter().for_each(|lane| apps.entry(&lane.app).or_default().push(lane));
        apps.values_mut().for_each(|lanes| lanes.sort_by_key(|lane| lane.shard));
        apps
    }

    /// Which part of its app's limits each lane has that does not have them whole. An app has as many parts as the node wants that works and
    /// divides it most. A lane from a time when it was divided more has a part until nothing waits in it any more.
    pub fn shares(&self) -> BTreeMap<i64, Share> {
        let mut shares = BTreeMap::new();
        for (app, lanes) in self.by_app() {
            let works = self.nodes.iter().filter(|node| node.state.works());
            let wanted = works.filter_map(|node| node.shards.get(app).copied()).max().unwrap_or(1);
            let left = |lane: &&&LaneSeen| lane.shard >= wanted && lane.waits;
            let of = wanted + u32::try_from(lanes.iter().filter(left).count()).unwrap_or(u32::MAX - wanted);
            let mut beyond = wanted..;
            for lane in lanes {
                let part = if left(&&lane) { beyond.next() } else { Some(lane.shard).filter(|shard| *shard < wanted) };
                if let Some(part) = part.filter(|_| of > 1) {
                    shares.insert(lane.lane, Share { part, of });
                }
            }
        }
        shares
    }

    /// The epochs of the lanes that a node has.
    pub fn owned(&self, me: NodeId) -> BTreeMap<i64, i64> {
        self.lanes.iter().filter(|lane| lane.node == Some(me)).map(|lane| (lane.lane, lane.epoch)).collect()
    }

    /// The apps that a node sends for.
    pub fn apps_of(&self, id: NodeId) -> BTreeSet<&str> {
        self.lanes.iter().filter(|lane| lane.node == Some(id)).map(|lane| lane.app.as_str()).collect()
    }

    /// The lanes that nobody has who works, each with the node that should have it.
    pub fn orphans(&self) -> Vec<(LaneSeen, NodeId)> {
        let works = |id| self.node(id).is_some_and(|node| node.state.works());
        let orphans = self.lanes.iter().filter(|lane| !lane.node.is_some_and(works));
        self.placed(orphans, None).map(|(lane, node)| (lane.clone(), node)).collect()
    }

    /// Where the lanes of a node go that ends, as far as somebody can have them.
    pub fn heirs(&self, of: NodeId) -> Vec<(i64, NodeId)> {
        let lanes = self.lanes.iter().filter(|lane| lane.node == Some(of));
        self.placed(lanes, Some(of)).map(|(lane, node)| (lane.lane, node)).collect()
    }

    /// The lanes of a node that another should have.
    pub fn misplaced(&self, of: NodeId) -> Vec<(LaneSeen, NodeId)> {
        let lanes = self.lanes.iter().filter(|lane| lane.node == Some(of));
        let misplaced = self.placed(lanes, None).filter(|(_, node)| *node != of);
        misplaced.map(|(lane, node)| (lane.clone(), node)).collect()
    }

    /// These lanes, each with the node that should have it.
    fn placed<'a>(
        &'a self,
        lanes: impl Iterator<Item = &'a LaneSeen>,
        without: Option<NodeId>,
    ) -> impl Iterator<Item = (&'a LaneSeen, NodeId)> {
        let places = self.places(without);
        lanes.filter_map(move |lane| Some((lane, *places.get(&lane.lane)?)))
    }
}

/// The shard of an app that a user's reminders go through.
pub fn shard_of(openid: &str, shards: u32) -> u32 {
    let digest = Sha256::digest(openid);
    let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    first % shards.max(1)
}

/// A number that the name of a node draws for a lane.
fn drawn(name: &str, lane: i64) -> [u8; 32] {
    Sha256::new().chain_update(name).chain_update([0]).chain_update(lane.to_be_bytes()).finalize().into()
}

/// How the node stands that marked a row last, as the one sees it that has its lane now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// It works, and answers for what it has marked.
    Works,
    /// It has lapsed: for so long it has been known to.
    Lapsed(Millis),
    /// It is gone: for so long that has been known.
    Gone(Millis),
}

impl Marker {
    /// Whether what it left in the middle of being sent is nobody's any more, and becomes a doubt.
    pub fn has_let_go(self) -> bool {
        match self {
            Self::Works => false,
            Self::Lapsed(since) => since >= REQUESTS_END,
            Self::Gone(_) => true,
        }
    }

    /// Whether a doubt that it left may be sent again, if it may be at all: no byte of its request can leave or arrive any more. A node that
    /// has merely lapsed may stand still just before its byte, for ever as it were.
    pub fn lets_resend(self) -> bool {
        matches!(self, Self::Gone(since) if since >= BYTES_END)
    }
}

/// What a node has seen of the others, by its own monotonic clock.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// Of each node the beat and the state that were seen last, and since when each was the same.
    nodes: BTreeMap<NodeId, Watched>,
    /// When it looked for the first time, and last.
    began_at: Option<Millis>,
    looked_at: Option<Millis>,
    /// Since when the nodes that work have been the same, and those whose clocks are right.
    same_since: Millis,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    beat: i64,
    beat_since: Millis,
    state: NodeState,
    state_since: Millis,
    on_time: bool,
}

impl Watch {
    /// Takes in a look that ended at `now`.
    pub fn saw(&mut self, view: &View, now: Millis) {
        let gap = self.looked_at.is_none_or(|before| now - before > GAP);
        self.looked_at = Some(now);
        self.began_at.get_or_insert(now);
        let works = |nodes: &BTreeMap<NodeId, Watched>| -> Vec<(NodeId, bool)> {
            nodes.iter().filter(|(_, node)| node.state.works()).map(|(id, node)| (*id, node.on_time)).collect()
        };
        let before = works(&self.nodes);
        for seen in &view.nodes {
            let (beat, state, on_time) = (seen.beat, seen.state, seen.on_time);
            let new = Watched { beat, beat_since: now, state, state_since: now, on_time };
            let node = self.nodes.entry(seen.id).or_insert(new);
            node.on_time = on_time;
            if gap || node.beat != seen.beat {
                (node.beat, node.beat_since) = (seen.beat, now);
            }
            if node.state != seen.state {
                (node.state, node.state_since) = (seen.state, now);
            }
        }
        for (id, node) in &mut self.nodes {
            if node.state != NodeState::Gone && view.node(*id).is_none() {
                (node.state, node.state_since) = (NodeState::Gone, now);
            }
        }
        if works(&self.nodes) != before {
            self.same_since = now;
        }
        // One that is gone is remembered until it makes no difference any more.
        self.nodes.retain(|_, node| node.state != NodeState::Gone || now - node.state_since < 2 * BYTES_END);
    }

    /// The nodes that work, as they say, and were not seen to beat for too long; each with the beat that was seen last.
    pub fn silent(&self, now: Millis) -> Vec<(NodeId, i64)> {
        let silent = self.nodes.iter().filter(|(_, node)| node.state.works() && now - node.beat_since >= SILENCE);
        silent.map(|(id, node)| (*id, node.beat)).collect()
    }

    /// How the node stands that marked a row. One that is not known was gone at the first look, perhaps for a moment only.
    pub fn marker(&self, node: NodeId, now: Millis) -> Marker {
        let Some(watched) = self.nodes.get(&node) else { return Marker::Gone(now - self.began_at.unwrap_or(now)) };
        match watched.state {
            NodeState::Live | NodeState::Leaving => Marker::Works,
            NodeState::Lapsed => Marker::Lapsed(now - watched.state_since),
            NodeState::Gone => Marker::Gone(now - watched.state_since),
        }
    }

    /// How long the nodes that work have been the same.
    pub fn stable_for(&self, now: Millis) -> Millis {
        now - self.same_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: i64, beat: i64, state: NodeState) -> NodeSeen {
        let (name, apps) = (format!("n{id}"), ["coffee".into()].into());
        NodeSeen { id: NodeId(id), name, state, beat, apps, shards: BTreeMap::new(), on_time: true }
    }

    fn lane(lane: i64, shard: u32, node: Option<i64>) -> LaneSeen {
        LaneSeen { lane, app: "coffee".into(), shard, waits: false, node: node.map(NodeId), epoch: 4 }
    }

    fn view(nodes: Vec<NodeSeen>) -> View {
        View { nodes, lanes: Vec::new() }
    }

    #[test]
    fn a_node_is_silent_only_to_one_who_has_looked_all_the_time() {
        let mut watch = Watch::default();
        for (now, beat, silent) in [
            (0, 1, false),
            (1_000, 2, false),
            (2_000, 2, false),
            (4_000, 2, false),
            (6_000, 2, false),
            (8_000, 2, false),
            // Eight seconds after it was seen at 2 for the first time.
            (9_000, 2, true),
            (10_000, 3, false),
            // The looker itself was away, or the database.
            (20_000, 3, false),
            (22_000, 3, false),
            (24_000, 3, false),
            (26_000, 3, false),
            (28_000, 3, true),
        ] {
            watch.saw(&view(vec![node(1, beat, NodeState::Live)]), now);
            assert_eq!(!watch.silent(now).is_empty(), silent, "{now}");
        }
    }

    #[test]
    fn i2_what_a_node_left_is_sent_again_only_long_after_it_is_gone() {
        let (mut watch, id) = (Watch::default(), NodeId(1));
        let lapsed = vec![node(1, 5, NodeState::Lapsed)];
        watch.saw(&view(vec![node(1, 5, NodeState::Live)]), 0);
        assert!(!watch.marker(id, 0).has_let_go());
        watch.saw(&view(lapsed.clone()), 1_000);
        assert!(!watch.marker(id, 1_000 + REQUESTS_END - 1).has_let_go());
        assert!(watch.marker(id, 1_000 + REQUESTS_END).has_let_go());
        assert!(!watch.marker(id, Millis::MAX).lets_resend(), "it may stand still before its byte");
        watch.saw(&view(vec![]), 2_000);
        assert!(watch.marker(id, 2_000).has_let_go() && !watch.marker(id, 2_000 + BYTES_END - 1).lets_resend());
        assert!(watch.marker(id, 2_000 + BYTES_END).lets_resend());
        let (before, began) = (NodeId(7), 0);
        assert!(watch.marker(before, began).has_let_go(), "it ended before this one began");
        assert!(!watch.marker(before, began + BYTES_END - 1).lets_resend(), "perhaps just before");
        assert!(watch.marker(before, began + BYTES_END).lets_resend());
    }

    #[test]
    fn lanes_are_shared_out_and_few_move_when_a_node_comes() {
        let named = |id| {
            let apps = (1..=1_000).map(|app| format!("app {app}")).collect();
            NodeSeen { apps, ..node(id, 0, NodeState::Live) }
        };
        let nodes: Vec<NodeSeen> = (1..=4).map(named).collect();
        let lanes = (1..=1_000).map(|n| LaneSeen { app: format!("app {n}"), ..lane(n, 0, None) });
        let lanes: Vec<LaneSeen> = lanes.chain([LaneSeen { app: "tea".into(), ..lane(1_001, 0, None) }]).collect();
        let view = |nodes: &[NodeSeen]| View { nodes: nodes.to_vec(), lanes: lanes.clone() };
        let (three, four) = (view(&nodes[..3]), view(&nodes));
        let places = |view: &View| -> Vec<NodeId> { view.places(None).into_values().collect() };
        let (before, after) = (places(&three), places(&four));
        for id in 1..=3 {
            let n = before.iter().filter(|place| **place == NodeId(id)).count();
            assert!((250..=420).contains(&n), "{id} has {n} of 1,000");
        }
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        assert!(
            moved.clone().count() < 330 && moved.clone().all(|(_, after)| *after == NodeId(4)),
            "only to the new one"
        );
        assert_eq!(before.len(), 1_000, "nobody is configured with tea");
        let mut leaving = four.clone();
        leaving.nodes.iter_mut().for_each(|node| node.state = NodeState::Leaving);
        assert_eq!(leaving.places(None), BTreeMap::new(), "who leaves takes nothing more");
    }

    #[test]
    fn the_shards_of_an_app_are_apart_and_few_move_when_a_node_comes_or_goes() {
        let lanes: Vec<LaneSeen> = (0..16).map(|shard| lane(100 + i64::from(shard), shard, None)).collect();
        let among = |nodes: std::ops::RangeInclusive<i64>| {
            let nodes = nodes.map(|id| node(id, 0, NodeState::Live)).collect();
            View { nodes, lanes: lanes.clone() }.places(None)
        };
        for n in 1..=20 {
            let mut has: BTreeMap<NodeId, usize> = BTreeMap::new();
            among(1..=n).into_values().for_each(|node| *has.entry(node).or_default() += 1);
            let (n, most) = (usize::try_from(n).expect("small"), has.values().max().expect("somebody"));
            assert!(*most == 16_usize.div_ceil(n) && has.values().all(|has| most - has <= 1), "{n}: {has:?}");
        }
        let moved = among(1..=4).into_iter().filter(|(lane, node)| among(1..=5)[lane] != *node).count();
        assert!((3..=8).contains(&moved), "the fifth of five has three of sixteen: {moved} moved");
    }

    #[test]
    fn a_node_whose_clock_is_wrong_has_no_lane_unless_all_clocks_are() {
        let place = |on_time: [bool; 2]| {
            let nodes = (1..).zip(on_time).map(|(id, on_time)| NodeSeen { on_time, ..node(id, 0, NodeState::Live) });
            View { nodes: nodes.collect(), lanes: vec![lane(1, 0, Some(1))] }
        };
        let drawn = place([true, true]).places(None)[&1];
        assert_eq!(place([true, false]).places(None)[&1], NodeId(1));
        assert_eq!(place([false, true]).places(None)[&1], NodeId(2));
        assert_eq!(place([false, true]).misplaced(NodeId(1)).len(), 1);
        assert_eq!(place([false, false]).places(None)[&1], drawn);
    }

    #[test]
    fn the_parts_of_a_limit_are_together_the_whole() {
        // (the nodes' wishes, the shards there are, those in which something waits) → the parts
        for (wishes, there, waiting, of) in [
            (&[][..], 1, &[][..], &[][..]),
            (&[4], 4, &[], &[0, 1, 2, 3]),
            (&[4, 2], 4, &[], &[0, 1, 2, 3]),
            // They are not all made yet.
            (&[4], 2, &[], &[0, 1]),
            // It was divided more before.
            (&[2], 4, &[], &[0, 1]),
            (&[2], 4, &[3], &[0, 1, 2]),
            (&[], 4, &[], &[]),
            (&[], 4, &[1, 2], &[0, 1, 2]),
        ] {
            let nodes = (1..).zip(wishes).map(|(id, shards)| NodeSeen {
                shards: [("coffee".to_owned(), *shards)].into(),
                ..node(id, 0, NodeState::Live)
            });
            let lanes =
                (0..there).map(|shard| LaneSeen { waits: waiting.contains(&shard), ..lane(shard.into(), shard, None) });
            let shares = View { nodes: nodes.collect(), lanes: lanes.collect() }.shares();
            let parts: BTreeSet<u32> = shares.values().map(|share| share.part).collect();
            assert_eq!(parts, of.iter().copied().collect(), "{wishes:?} {there} {waiting:?}: {shares:?}");
            let wanted = wishes.iter().max().copied().unwrap_or(1);
            if wanted <= there && !shares.is_empty() {
                for whole in [64, 100, 499] {
                    assert_eq!(shares.values().map(|share| share.of_limit(whole)).sum::<u32>(), whole, "{shares:?}");
                }
            }
        }
        assert_eq!(Share { part: 5, of: 8 }.of_limit(3), 1, "nothing waits for ever");
    }

    #[test]
    fn users_are_spread_evenly_over_shards_and_stay_where_they_are() {
        let mut n = [0; 8];
        (0..8_000).for_each(|user| n[shard_of(&format!("o{user}"), 8) as usize] += 1);
        assert!(n.iter().all(|n| (850..1_150).contains(n)), "{n:?}");
        // As any daemon of any version reckons: written down, since it must not change.
        assert_eq!(["o1", "o2", "oA"].map(|openid| shard_of(openid, 64)), [50, 17, 19]);
    }

    #[test]
    fn a_lane_is_an_orphan_unless_somebody_has_it_who_works() {
        let nodes = vec![node(1, 0, NodeState::Live), node(2, 0, NodeState::Lapsed), node(3, 0, NodeState::Leaving)];
        for (owner, orphan) in [(None, true), (Some(1), false), (Some(2), true), (Some(3), false), (Some(9), true)] {
            let lane = lane(1, 0, owner);
            let view = View { nodes: nodes.clone(), lanes: vec![lane.clone()] };
            let wanted = if orphan { vec![(lane, NodeId(1))] } else { Vec::new() };
            assert_eq!(view.orphans(), wanted, "{owner:?}");
        }
    }
}
