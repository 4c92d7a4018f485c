//! A node takes over the lane of one that left much in the middle of being sent: what is behind that goes on, and what it left goes again once its
//! end is proved.

use crate::harness::{START, TestStore, accepted_reminder, apps, databases, fresh_of, new_node, open_among, rig::Rig};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tixing::{
    clock::{Clock, SystemClock},
    cluster::{Member, Refresh},
    config::App,
    domain::{
        Millis,
        node::{BYTES_END, LaneSeen, NodeId, NodeState, REQUESTS_END, Watch},
    },
    engine::{Owned, Signals, duties::Duties},
    metrics::Metrics,
    store::{
        Store, StoreError,
        nodes::{Looked, NewNode, Nodes},
        port::{Asked, Marked, Queue},
    },
    words::Message,
};
use tokio_util::sync::CancellationToken;

/// More than a look goes over, and as many as an app may have under way.
const LEFT: usize = 4_096;
const BEHIND: usize = 20;

/// A node that has the lane of `coffee`, and looks as the daemon does.
struct Node {
    rig: Rig,
    me: NodeId,
    watch: Watch,
}

/// The lane of `coffee`, as a node sees it.
async fn coffee(store: &Store) -> LaneSeen {
    let view = store.look().await.expect("answers").view;
    view.lanes.into_iter().find(|lane| lane.app == "coffee").expect("there")
}

impl Node {
    /// A node that has no lane yet, and another which has that of `coffee`. None where there is no PostgreSQL.
    async fn beside_another(change: impl Fn(&mut App)) -> Option<(Self, Store)> {
        let (mut test, a, b) = two(&apps("http://127.0.0.1:1")).await?;
        test.store = a;
        let [me, other] = [&test.store, &b].map(|store| store.node().expect("it has joined"));
        assert!(b.give(coffee(&b).await, other).await.expect("answers"));
        let mut rig = Rig::new(test, change);
        rig.engine = rig.engine.among_several();
        rig.engine.signals().trust_until(Millis::MAX);
        Some((Self { rig, me, watch: Watch::default() }, b))
    }

    async fn insert(&self, prefix: &str, n: usize, at: Millis) {
        let openids: Vec<String> = (0..n).map(|i| format!("{prefix}{i}")).collect();
        openids.iter().for_each(|openid| self.rig.tap(openid));
        let news = openids.iter().map(|openid| accepted_reminder(openid, at)).collect();
        self.rig.store().insert(news).await.expect("inserted");
    }

    /// Time passes; it looks once a second.
    async fn pass(&mut self, seconds: Millis) {
        for _ in 0..seconds {
            self.rig.clock().advance(1_000);
            let looked = self.rig.store().look().await.expect("answers");
            self.watch.saw(&looked.view, self.rig.clock().monotonic());
            let (epochs, shares) = (looked.view.owned(self.me), looked.view.shares());
            let watch = Arc::new(self.watch.clone());
            self.rig.engine.signals().own(Owned { me: self.me, epochs, shares, watch, statuses: looked.statuses });
            self.rig.engine.turn().await;
        }
    }

    fn arrived(&self, prefix: &str) -> usize {
        let mut openids = self.rig.openids();
        openids.retain(|openid| openid.starts_with(prefix));
        let n = openids.len();
        openids.sort();
        openids.dedup();
        assert_eq!(openids.len(), n, "I2");
        n
    }
}

#[tokio::test]
async fn i2_i3_what_a_vanished_node_left_holds_nothing_else_up_and_goes_again_once_its_end_is_proved() {
    let fast = |app: &mut App| (app.rules.exclusive, app.rate, app.concurrency) = (true, 100_000, 4_096);
    let Some((mut node, vanished)) = Node::beside_another(fast).await else { return };
    let (me, other) = (node.me, vanished.node().expect("it has joined"));
    node.insert("left", LEFT, START + 1_000).await;
    // The other one marks all, and is not heard of any more.
    let lane = coffee(&vanished).await;
    let mut jobs = vanished.prefetch(lane.lane, (0, 0), START + 1_000, 10_000).await.expect("answers");
    jobs.iter_mut().for_each(|job| job.epoch = Some(lane.epoch));
    let marked = vanished.mark(jobs).await.expect("answers");
    assert!(marked.len() == LEFT && marked.iter().all(|marked| *marked == Marked::Yes));
    let lanes = vec![(lane.lane, me)];
    assert!(node.rig.store().take_over(other, 0, lanes).await.expect("answers"), "it has never beaten");
    node.insert("first", BEHIND, START + 2_000).await;
    node.pass(4).await;
    assert_eq!((node.arrived("first"), node.arrived("left")), (BEHIND, 0), "while it may still be sending them");
    node.pass(REQUESTS_END / 1_000 + 10).await;
    node.insert("second", BEHIND, node.rig.clock().now() + 1_000).await;
    node.pass(4).await;
    assert_eq!((node.arrived("second"), node.arrived("left")), (BEHIND, 0), "while they wait for proof");
    node.rig.store().gone(other).await.expect("answers");
    node.pass(BYTES_END / 1_000 - 1).await;
    assert_eq!(node.arrived("left"), 0, "its bytes may still be on their way");
    node.pass(16).await;
    assert_eq!(node.arrived("left"), LEFT);
    node.rig.check().await;
}

#[tokio::test]
async fn what_comes_due_while_a_lane_changes_hands_does_not_wait_for_what_is_due_later() {
    // As much comes due each second as may be sent.
    let Some((mut node, other)) = Node::beside_another(|app| app.rate = 10).await else { return };
    node.insert("before", 20, START + 1_000).await;
    for second in 2..12 {
        node.insert(&format!("later{second}-"), 10, START + second * 1_000).await;
    }
    node.pass(2).await;
    assert_eq!(node.arrived(""), 0, "it is the other's");
    assert!(other.give(coffee(&other).await, node.me).await.expect("answers"));
    node.pass(1).await;
    node.rig.pass(2_500, 50).await;
    assert_eq!(node.arrived("before"), 20, "at the whole rate, and first");
    node.rig.pass(11_000, 50).await;
    assert_eq!(node.arrived("later"), 100);
    node.rig.check().await;
}

#[tokio::test]
async fn what_was_due_more_than_a_minute_before_a_lane_changed_hands_is_caught_up_with_behind_what_is_due_later() {
    let Some((mut node, other)) = Node::beside_another(|app| app.rate = 10).await else { return };
    node.insert("before", 20, START + 1_000).await;
    for second in 65..75 {
        node.insert(&format!("later{second}-"), 10, START + second * 1_000).await;
    }
    node.pass(63).await;
    assert_eq!(node.arrived(""), 0, "it is the other's, which has stood still");
    assert!(other.give(coffee(&other).await, node.me).await.expect("answers"));
    node.pass(1).await;
    node.rig.pass(9_000, 50).await;
    assert!(node.arrived("later") >= 80, "on time: {}", node.arrived("later"));
    node.rig.pass(8_000, 50).await;
    assert_eq!((node.arrived("before"), node.arrived("later")), (20, 100));
    node.rig.check().await;
}

/// Two nodes on one database. None where there is no PostgreSQL.
async fn two(apps: &[App]) -> Option<(TestStore, Store, Store)> {
    if !databases().contains(&"postgres") {
        return None;
    }
    let test = fresh_of("postgres", apps).await;
    test.store.close().await;
    let node = async |name: &str| open_among(&test.url, &test.clock, apps, name).await.expect("opens");
    let (a, b) = (node("a").await, node("b").await);
    Some((test, a, b))
}

#[tokio::test]
async fn the_lanes_of_a_node_whose_clock_is_wrong_are_to_be_anothers() {
    let apps = apps("http://127.0.0.1:1");
    let Some((_test, a, b)) = two(&apps).await else { return };
    let [one, other] = [&a, &b].map(|store| store.node().expect("it has joined"));
    // The database has the machine's clock.
    let now = || SystemClock::shared().now();
    for (ahead, distrusted, on_time) in
        [(0, false, true), (0, true, false), (5_000, false, false), (-5_000, false, false)]
    {
        assert!(Nodes::beat(&a, one, now() + ahead, distrusted).await.expect("answers"));
        assert!(Nodes::beat(&b, other, now(), false).await.expect("answers"));
        let view = b.look().await.expect("answers").view;
        assert_eq!(view.node(one).map(|node| node.on_time), Some(on_time), "{ahead} {distrusted}");
        assert!(on_time || view.places(None).values().all(|node| *node == other), "{ahead} {distrusted}");
    }
}

/// A store whose answer to a join is lost, so often.
struct Losing {
    store: Store,
    joins: AtomicUsize,
}

impl Nodes for Losing {
    fn join(&self, new: NewNode, now: Millis) -> Asked<NodeId> {
        let joined = self.store.join(new, now);
        let is_lost = self.joins.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        let lost = StoreError::Silent(Message::text("the answer was lost"));
        Box::pin(async move { joined.await.and_then(|id| if is_lost { Err(lost) } else { Ok(id) }) })
    }

    fn beat(&self, me: NodeId, now: Millis, distrusted: bool) -> Asked<bool> {
        Nodes::beat(&self.store, me, now, distrusted)
    }

    fn look(&self) -> Asked<Looked> {
        self.store.look()
    }

    fn take_over(&self, silent: NodeId, beat: i64, lanes: Vec<(i64, NodeId)>) -> Asked<bool> {
        self.store.take_over(silent, beat, lanes)
    }

    fn give(&self, lane: LaneSeen, to: NodeId) -> Asked<bool> {
        self.store.give(lane, to)
    }

    fn leave(&self, me: NodeId, lanes: Vec<(i64, NodeId)>) -> Asked<()> {
        self.store.leave(me, lanes)
    }

    fn gone(&self, node: NodeId) -> Asked<()> {
        self.store.gone(node)
    }

    fn tell(&self, me: NodeId, lane: i64, epoch: i64, status: String) -> Asked<()> {
        self.store.tell(me, lane, epoch, status)
    }

    fn take_duty(&self, name: String, from: Option<NodeId>, to: NodeId) -> Asked<bool> {
        self.store.take_duty(name, from, to)
    }
}

struct NothingToRead;

impl Refresh for NothingToRead {
    fn refresh(&self) -> Asked<()> {
        Box::pin(async { Ok(()) })
    }
}

/// Waits until something is so at a node.
async fn until(so: impl AsyncFn() -> bool) {
    let is_so = async {
        while !so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), is_so).await.expect("it is so within ten seconds");
}

#[tokio::test]
async fn i7_what_a_node_is_given_while_it_leaves_goes_to_another_before_it_is_gone() {
    let apps = apps("http://127.0.0.1:1");
    let Some((test, a, b)) = two(&apps).await else { return };
    let [one, other] = [&a, &b].map(|store| store.node().expect("it has joined"));
    let (signals, metrics): (Arc<Signals>, Arc<Metrics>) = Default::default();
    let nodes = Arc::new(a.clone());
    let names = (new_node(&apps, "a"), one);
    let member =
        Member::new(nodes, names, signals, test.clock.clone(), metrics, (Duties::default(), Box::new(NothingToRead)));
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    stop.cancel();
    let leaves = tokio::spawn(member.run(Arc::default(), stop, ended.clone()));
    let state = async || b.look().await.expect("answers").view.node(one).map(|node| node.state);
    until(async || state().await == Some(NodeState::Leaving)).await;
    // The other had not seen that yet.
    assert!(b.give(coffee(&b).await, one).await.expect("answers"));
    until(async || coffee(&b).await.node == Some(other)).await;
    assert_eq!(state().await, Some(NodeState::Leaving), "what is under way there is not through");
    ended.cancel();
    leaves.await.expect("it ends");
}

#[tokio::test]
async fn a_node_that_joins_anew_leaves_no_others_behind_whose_answers_were_lost() {
    let apps = apps("http://127.0.0.1:1");
    let Some((test, a, b)) = two(&apps).await else { return };
    let [one, other] = [&a, &b].map(|store| store.node().expect("it has joined"));
    let nodes = Arc::new(Losing { store: a.clone(), joins: 2.into() });
    let (signals, metrics): (Arc<Signals>, Arc<Metrics>) = Default::default();
    let names = (new_node(&apps, "a"), one);
    let mut member =
        Member::new(nodes, names, signals, test.clock.clone(), metrics, (Duties::default(), Box::new(NothingToRead)));
    assert!(b.take_over(one, 0, Vec::new()).await.expect("answers"), "it has never beaten");
    for _ in 0..3 {
        member.turn().await;
    }
    let me = a.node().expect("it has joined anew");
    member.turn().await;
    let mut there: Vec<_> = b.look().await.expect("answers").view.nodes.iter().map(|node| node.id).collect();
    there.sort();
    // What it was before is there until nothing of it is under way.
    assert_eq!(there, [one, other, me]);
}
