//! This daemon among several on one PostgreSQL: it beats, watches the others, takes over what nobody looks after, and hands over when it ends.
//! What may be concluded from what is seen is [`crate::domain::node`]'s; the statements are the store's.

pub mod lock;
mod heart;

use crate::{
    clock::SharedClock,
    domain::{
        Millis,
        node::{BEAT, MOVE_EVERY, NodeId, NodeState, STABLE, View, Watch},
    },
    engine::{Owned, Signals, duties::Duties},
    metrics::Metrics,
    store::{
        StoreError,
        nodes::{Looked, NewNode, Nodes},
    },
};
use heart::{Beaten, Heart, limited};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

/// How long the other questions may.
const ASK_LIMIT: Duration = Duration::from_secs(3);
/// While it ends, it looks this often whether all is done.
const LEAVING: Duration = Duration::from_millis(50);
/// So long after a node has come back to itself all requests have ended that it had begun before: none lives for longer than ten seconds.
const REQUESTS: Millis = 15_000;

/// This node.
pub struct Member {
    nodes: Arc<dyn Nodes>,
    signals: Arc<Signals>,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    new: NewNode,
    me: NodeId,
    heart: Arc<Heart>,
    watch: Watch,
    /// What it was before it lapsed. It is gone as soon as nothing of it is under way.
    former: Vec<(NodeId, Millis)>,
    /// How often the others have rung, as far as it was heard.
    heard: BTreeMap<i64, i64>,
    /// How often somebody wanted the templates of a lane's app read, as far as it was seen.
    wanted: BTreeMap<i64, i64>,
    moved_at: Millis,
    /// What was last told of each lane.
    told: BTreeMap<i64, String>,
    owned: BTreeMap<i64, i64>,
    /// The epochs of all lanes, the last listing and the number of changes of keys, as they were when what is kept in memory was read.
    version: Option<(BTreeMap<i64, i64>, Millis, i64)>,
    duties: Duties,
    /// What is to be read again before the engine learns of a change: gates and listings.
    refresh: Box<dyn Refresh>,
}

/// Reads what others may have changed and this node keeps in memory.
pub trait Refresh: Send {
    /// Reads it again.
    fn refresh(&self) -> crate::store::port::Asked<()>;
}

impl Member {
    /// The node that has joined as `me`.
    pub fn new(
        nodes: Arc<dyn Nodes>,
        (new, me): (NewNode, NodeId),
        signals: Arc<Signals>,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        (duties, refresh): (Duties, Box<dyn Refresh>),
    ) -> Self {
        duties.of_several();
        let heart = Arc::new(Heart::new(Arc::clone(&nodes), Arc::clone(&signals), Arc::clone(&clock), me));
        Self {
            nodes,
            signals,
            clock,
            metrics,
            new,
            me,
            heart,
            watch: Watch::default(),
            former: Vec::new(),
            heard: BTreeMap::new(),
            wanted: BTreeMap::new(),
            moved_at: Millis::MIN / 2,
            told: BTreeMap::new(),
            owned: BTreeMap::new(),
            version: None,
            duties,
            refresh,
        }
    }

    /// Beats and looks until `stop`; whoever wakes it has it look at once. Then its lanes go to others, it beats until the engine has `ended`, and is
    /// gone. It beats beside all the rest: a database that takes long for a look must not make others believe that this node is dead.
    pub async fn run(mut self, wake: Arc<Notify>, stop: CancellationToken, ended: CancellationToken) {
        let (heart, lapsed) = (Arc::clone(&self.heart), Notify::new());
        tokio::select! {
            // In this order, so that a simulation's seed decides and not a die of the runtime's.
            biased;
            () = heart.beats(&lapsed) => unreachable!("it beats as long as it is asked to"),
            () = self.work(&wake, &lapsed, &stop, &ended) => {}
        }
        let gone = limited(ASK_LIMIT, self.nodes.gone(self.me)).await;
        if let Err(error) = gone {
            tracing::warn!(%error, "this daemon could not tell the others that it has ended; they find out by themselves");
        }
    }

    /// All but the beats.
    async fn work(&mut self, wake: &Notify, lapsed: &Notify, stop: &CancellationToken, ended: &CancellationToken) {
        let signals = Arc::clone(&self.signals);
        while !stop.is_cancelled() {
            // From second to second, however long the database takes to answer: who looks too seldom sees no silence.
            let next = Instant::now() + Duration::from_millis(BEAT.unsigned_abs());
            self.look_round().await;
            tokio::select! {
                biased;
                // First: where a look takes longer than a second, the next one is due already. And of a beat that was on its way while it joined
                // anew it has been told since.
                () = lapsed.notified() => {
                    if self.heart.has_lapsed(self.me) {
                        self.join_anew().await;
                    }
                }
                () = tokio::time::sleep_until(next) => {}
                () = wake.notified() => {}
                () = signals.fenced() => {}
                () = stop.cancelled() => {}
            }
        }
        self.leave().await;
        tokio::select! {
            biased;
            () = ended.cancelled() => {}
            () = self.hand_on(wake) => unreachable!("it goes on as long as it is asked to"),
        }
    }

    /// Hands on what others have given it that had not seen that it leaves.
    async fn hand_on(&mut self, wake: &Notify) {
        loop {
            tokio::select! {
                biased;
                () = wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(BEAT.unsigned_abs())) => {}
            }
            if self.look().await.is_ok_and(|looked| !looked.view.heirs(self.me).is_empty()) {
                self.leave().await;
            }
        }
    }

    /// Beats once and looks once, and does what follows. The crank for tests.
    pub async fn turn(&mut self) {
        match self.heart.beat().await {
            Beaten::Yes => self.look_round().await,
            Beaten::Lapsed => self.join_anew().await,
            Beaten::Unknown => {}
        }
    }

    /// Looks at all nodes, and does what follows.
    async fn look_round(&mut self) {
        // What it does shows at the next look: who was faster shows, too.
        for _ in 0..3 {
            let Ok(looked) = self.look().await else { return };
            if !self.act(&looked).await {
                return self.take_in(looked).await;
            }
        }
    }

    /// Others hold it for dead and have its lanes: it goes on as another node. What is under way is finished, and told.
    async fn join_anew(&mut self) {
        self.tell_engine(&View::default(), BTreeMap::new());
        match limited(ASK_LIMIT, self.nodes.join(self.new.clone(), self.clock.now())).await {
            Ok(me) => {
                tracing::warn!(
                    was = self.me.0,
                    now = me.0,
                    "the database had not heard of this daemon for too long, and others send for its apps by now; it has joined anew"
                );
                self.former.push((self.me, self.clock.monotonic()));
                (self.me, self.watch) = (me, Watch::default());
                self.heart.becomes(me);
            }
            Err(error) => {
                tracing::error!(%error, "the database had not heard of this daemon for too long, and it can't join anew; it tries again")
            }
        }
    }

    async fn look(&mut self) -> Result<Looked, StoreError> {
        let looked = limited(ASK_LIMIT, self.nodes.look()).await?;
        self.watch.saw(&looked.view, self.clock.monotonic());
        Ok(looked)
    }

    /// Takes over from whoever has fallen silent, takes lanes that nobody has, and hands over what belongs elsewhere. Answers whether something has
    /// changed.
    async fn act(&mut self, looked: &Looked) -> bool {
        let (now, view) = (self.clock.monotonic(), &looked.view);
        let mut changed = false;
        for ghost in looked.joined.iter().filter(|id| **id != self.me && self.former.iter().all(|(was, _)| was != *id))
        {
            // The answer to its join was lost: nobody has ever worked as that node, and it would be given lanes.
            changed |= limited(ASK_LIMIT, self.nodes.gone(*ghost)).await.is_ok();
        }
        if view.node(self.me).is_some_and(|me| me.state == NodeState::Leaving) {
            // An operator wants it to hand over, while it goes on to answer.
            let heirs = view.heirs(self.me);
            changed |= !heirs.is_empty() && limited(ASK_LIMIT, self.nodes.leave(self.me, heirs)).await.is_ok();
        }
        for (silent, beat) in self.watch.silent(now) {
            if silent == self.me {
                continue;
            }
            let taken = limited(ASK_LIMIT, self.nodes.take_over(silent, beat, view.heirs(silent))).await;
            if let Ok(true) = taken {
                let (daemon, apps) = (view.called(silent), view.apps_of(silent));
                tracing::warn!(
                    daemon,
                    ?apps,
                    "a daemon was not heard of for too long: others send for its apps from now on"
                );
                self.metrics.takeovers.inc();
                changed = true;
            }
        }
        for (lane, to) in view.orphans() {
            let app = lane.app.clone();
            if let Ok(true) = limited(ASK_LIMIT, self.nodes.give(lane, to)).await {
                tracing::info!(app, daemon = view.called(to), "nobody sent for this app: this daemon does from now on");
                changed = true;
            }
        }
        for (former, since) in std::mem::take(&mut self.former) {
            // Nothing that it had marked is under way any more: that is proof enough.
            let ended = self.signals.is_idle() || now - since >= REQUESTS;
            if ended && limited(ASK_LIMIT, self.nodes.gone(former)).await.is_ok() {
                changed = true;
            } else {
                self.former.push((former, since));
            }
        }
        if view.node(self.me).is_some_and(|me| !me.on_time) {
            // Others are on time with what this one would send too early, too late or not at all.
            for (lane, to) in view.misplaced(self.me) {
                let app = lane.app.clone();
                if let Ok(true) = limited(ASK_LIMIT, self.nodes.give(lane, to)).await {
                    let daemon = view.called(to);
                    tracing::warn!(
                        app,
                        daemon,
                        "the clock here is not right: a daemon whose clock is right sends for this app from now on"
                    );
                    changed = true;
                }
            }
        } else if self.watch.stable_for(now) >= STABLE && now - self.moved_at >= MOVE_EVERY {
            let misplaced = view.misplaced(self.me).into_iter().min_by_key(|(lane, _)| lane.lane);
            if let Some((lane, to)) = misplaced
                && let app = lane.app.clone()
                && let Ok(true) = limited(ASK_LIMIT, self.nodes.give(lane, to)).await
            {
                tracing::info!(app, daemon = view.called(to), "this app goes to the daemon whose share it is");
                (self.moved_at, changed) = (now, true);
            }
        }
        changed | self.duties.share_out(&*self.nodes, self.me, view).await
    }

    /// Tells the engine what was seen, and the others how its lanes stand.
    async fn take_in(&mut self, looked: Looked) {
        let epochs = looked.view.owned(self.me);
        let version =
            (looked.view.lanes.iter().map(|lane| (lane.lane, lane.epoch)).collect(), looked.listed_at, looked.keys);
        if self.version.as_ref() != Some(&version) {
            // A gate that has closed raises the epoch: the engine must not go on by what it knew.
            if let Err(error) = limited(ASK_LIMIT, self.refresh.refresh()).await {
                tracing::warn!(%error, "what other daemons have changed could not be read; for the apps that it concerns nothing is begun until it is");
                return;
            }
            self.version = Some(version);
        }
        self.signals.hold(looked.on_hold);
        self.duties.are(&looked.duties, self.me);
        let others = looked.rings.iter().filter(|(slot, n)| self.heard.get(slot) != Some(n)).count();
        self.heard.clone_from(&looked.rings);
        for lane in looked.view.lanes.iter().filter(|lane| lane.node == Some(self.me)) {
            let wanted = looked.wanted.get(&lane.lane).copied().unwrap_or_default();
            if self.wanted.insert(lane.lane, wanted).is_some_and(|before| before != wanted) {
                self.signals.read_templates(&lane.app);
            }
        }
        self.tell_engine(&looked.view, looked.statuses.clone());
        if others > 0 {
            self.signals.ring(crate::store::port::Ring::EVERYTHING);
        }
        self.owned = epochs;
        self.tell_others(&looked.view).await;
        self.metrics.lanes_without_owner.set(i64::try_from(looked.deserted).unwrap_or(i64::MAX));
        let nodes = looked.view.nodes.iter().filter(|node| node.state == NodeState::Live).count();
        self.metrics.nodes.set(i64::try_from(nodes).unwrap_or(i64::MAX));
    }

    fn tell_engine(&self, view: &View, statuses: BTreeMap<i64, String>) {
        let (epochs, shares, watch) = (view.owned(self.me), view.shares(), Arc::new(self.watch.clone()));
        self.signals.own(Owned { me: self.me, epochs, shares, watch, statuses });
    }

    /// Writes down how its lanes stand, where that has changed.
    async fn tell_others(&mut self, view: &View) {
        let status = self.signals.status();
        // What was told of a lane that has been another's since is not what stands there.
        self.told.retain(|lane, _| self.owned.contains_key(lane));
        for (lane, epoch) in &self.owned {
            let Some(app) = view.lanes.iter().find(|seen| seen.lane == *lane).map(|seen| &seen.app) else { continue };
            let Some(at) = status.shards.get(lane).or_else(|| status.lanes.get(app)) else { continue };
            let text = serde_json::to_string(&at.to_keep()).expect("it serialises");
            if self.told.get(lane) != Some(&text)
                && limited(ASK_LIMIT, self.nodes.tell(self.me, *lane, *epoch, text.clone())).await.is_ok()
            {
                self.told.insert(*lane, text);
            }
        }
    }

    /// Hands all over. What cannot go to anybody stays its own, and is found by the next one.
    async fn leave(&mut self) {
        // Nothing more is marked from here on.
        self.tell_engine(&View::default(), BTreeMap::new());
        for _ in 0..3 {
            let Ok(looked) = self.look().await else { continue };
            let heirs = looked.view.heirs(self.me);
            if limited(ASK_LIMIT, self.nodes.leave(self.me, heirs)).await.is_ok() {
                return;
            }
            tokio::time::sleep(LEAVING).await;
        }
        tracing::warn!(
            "this daemon's apps could not be handed over; the others take them once they have not heard of it for a while"
        );
    }
}
