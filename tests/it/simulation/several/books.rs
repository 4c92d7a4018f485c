//! What the daemons share: the model of a store for each app, the nodes, who has which lane. Whatever breaks a rule of theirs is written down.

use super::{promotion::Servers, sabotage::Sabotage};
use crate::harness::model::Model;
use std::collections::{BTreeMap, BTreeSet};
use tixing::{
    domain::{
        Millis, SECOND,
        node::{GAP, LaneSeen, NodeId, NodeSeen, NodeState, SKEWED, View},
        reminder::{ReminderId, State},
    },
    store::{
        nodes::{Looked, NewNode},
        port::{Entry, Job, Marked, Target},
    },
};

/// A working node that was seen to beat as lately as this is not taken over: eight seconds, by a clock that runs one in a hundred too fast.
const SILENT: Millis = 7_900;
/// A node that has had no trouble of its own for so long is not taken over, whatever happened to the database.
const WELL: Millis = 25 * SECOND;
/// No call lasts so long, nor does what its node waits for: what is still being sent then, its node has forgotten.
const NOTHING_LASTS: Millis = 80 * SECOND;

/// One app's lane, or one of several.
pub struct Lane {
    /// The place of its app.
    pub app: usize,
    pub shard: u32,
    pub owner: Option<NodeId>,
    pub epoch: i64,
    status: Option<String>,
    /// A standby that has taken over knows nothing of it. Who divides the app makes another one.
    pub lost: bool,
}

impl Lane {
    fn new(app: usize, shard: u32) -> Self {
        Self { app, shard, owner: None, epoch: 0, status: None, lost: false }
    }

    pub fn status(&self) -> Option<String> {
        self.status.clone()
    }

    pub fn goes_back_to(&mut self, owner: Option<NodeId>, epoch: i64, status: Option<String>) {
        (self.owner, self.epoch, self.status) = (owner, epoch, status);
    }

    pub fn vanishes(&mut self) {
        (self.owner, self.lost) = (None, true);
    }
}

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    pub id: NodeId,
    /// The machine that it runs on: its daemon's lock file, as it were.
    pub machine: usize,
    name: String,
    pub state: NodeState,
    beat: i64,
    /// When it last beat, by the world's clock.
    pub beat_at: Millis,
    apps: BTreeSet<String>,
    shards: BTreeMap<String, u32>,
    on_time: bool,
}

/// A mark that was written.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// The place of the lane.
    pub lane: usize,
    /// No node that works divides the app into so many lanes any more.
    pub is_beyond: bool,
    /// When it was asked for, by the world's clock.
    pub asked_at: Millis,
}

/// All of it.
pub struct Books {
    /// The name of each app, and the model of what is stored of it.
    pub apps: Vec<(String, Model)>,
    /// The first lane of each app, and then the others, of each app by shard.
    pub lanes: Vec<Lane>,
    pub nodes: Vec<Node>,
    duties: BTreeMap<String, Option<NodeId>>,
    rings: BTreeMap<i64, i64>,
    /// The store is on hold.
    pub held: bool,
    /// What broke a rule.
    pub wrong: Vec<String>,
    pub marks: Vec<Mark>,
    /// When each reminder of an app that was marked last was, by the world's clock.
    pub marked_at: BTreeMap<(usize, ReminderId), Millis>,
    /// When a lane went to another node.
    pub moved_at: Vec<(usize, Millis)>,
    /// Which node each machine's daemon is now, and until when, by the world's clock, it had some trouble of its own.
    pub machines: Vec<(Option<NodeId>, Millis)>,
    /// Which reminder a message is of.
    pub by_mark: BTreeMap<String, (usize, ReminderId)>,
    pub takeovers: usize,
    pub testimonies: usize,
    pub fenced: usize,
    /// The database's servers.
    pub servers: Servers,
    /// How many nodes have ever joined: no number is given out twice.
    joined: i64,
    sabotage: Option<Sabotage>,
}

impl Books {
    pub fn new(apps: Vec<(String, Model)>, machines: usize, sabotage: Option<Sabotage>) -> Self {
        Self {
            lanes: (0..apps.len()).map(|app| Lane::new(app, 0)).collect(),
            apps,
            nodes: Vec::new(),
            duties: [("bells".to_owned(), None)].into(),
            rings: BTreeMap::new(),
            held: false,
            wrong: Vec::new(),
            marks: Vec::new(),
            marked_at: BTreeMap::new(),
            moved_at: Vec::new(),
            machines: vec![(None, Millis::MIN); machines],
            by_mark: BTreeMap::new(),
            takeovers: 0,
            testimonies: 0,
            fenced: 0,
            servers: Servers::default(),
            joined: 0,
            sabotage,
        }
    }

    pub fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    /// The place of a lane by its number in the database.
    pub fn place(lane: i64) -> usize {
        usize::try_from(lane - 1).expect("a lane")
    }

    /// What is stored of a lane's app, as it is read and written for this lane.
    pub fn model(&mut self, lane: i64) -> &mut Model {
        let model = &mut self.apps[self.lanes[Self::place(lane)].app].1;
        model.lane = lane;
        model
    }

    /// The lanes of each app, by shard.
    pub fn lanes_of_apps(&self) -> Vec<Vec<i64>> {
        let mut lanes = vec![Vec::new(); self.apps.len()];
        self.lanes.iter().zip(1..).filter(|(lane, _)| !lane.lost).for_each(|(lane, id)| lanes[lane.app].push(id));
        lanes
    }

    /// What waits in a lane and is due by `now`.
    pub fn waiting(&self, place: usize, now: Millis) -> Vec<(Millis, ReminderId)> {
        let model = &self.apps[self.lanes[place].app].1;
        let here = |(_, id): &(Millis, ReminderId)| Self::place(model.lane_of(*id)) == place;
        model.waiting(now).into_iter().filter(here).collect()
    }

    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|node| node.id == id)
    }

    /// Whether a node works, as far as the database knows.
    pub fn works(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| node.state.works())
    }

    /// Somebody has brought or changed something, through this node.
    pub fn ring(&mut self, by: NodeId) {
        *self.rings.entry(by.0).or_default() += 1;
    }

    /// Who has which duty, and who has rung.
    pub fn shared(&self) -> (BTreeMap<String, Option<NodeId>>, BTreeMap<i64, i64>) {
        (self.duties.clone(), self.rings.clone())
    }

    pub fn share(&mut self, duties: BTreeMap<String, Option<NodeId>>, rings: BTreeMap<i64, i64>) {
        (self.duties, self.rings) = (duties, rings);
    }

    /// The store is put on hold, or that ends.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
        self.lanes.iter_mut().for_each(|lane| lane.epoch += 1);
    }

    /// A daemon starts on a machine, whose lock proves that what ran there before has ended.
    pub fn starts(&mut self, machine: usize, new: &NewNode, world: Millis) -> NodeId {
        self.buried(machine);
        self.forgets(machine);
        let id = self.join(machine, new, world);
        self.machines[machine].0 = Some(id);
        id
    }

    /// It is known that all daemons have ended that ran on a machine before.
    pub fn buried(&mut self, machine: usize) {
        self.notice();
        self.nodes.iter_mut().filter(|node| node.machine == machine).for_each(|node| node.state = NodeState::Gone);
    }

    pub fn join(&mut self, machine: usize, new: &NewNode, world: Millis) -> NodeId {
        self.joined += 1;
        let id = NodeId(self.joined);
        self.has_joined(machine, id);
        self.divide(&new.shards);
        let (name, apps, shards) = (new.name.clone(), new.apps.keys().cloned().collect(), new.shards.clone());
        self.nodes.push(Node {
            id,
            machine,
            name,
            state: NodeState::Live,
            beat: 0,
            beat_at: world,
            apps,
            shards,
            on_time: true,
        });
        id
    }

    /// A node that joins divides these apps: their lanes are there from now on, and whoever sends in one looks again before the next mark.
    fn divide(&mut self, shards: &BTreeMap<String, u32>) {
        for app in 0..self.apps.len() {
            let Some(shards) = shards.get(&self.apps[app].0) else { continue };
            for shard in 0..*shards {
                if !self.lanes.iter().any(|lane| (lane.app, lane.shard, lane.lost) == (app, shard, false)) {
                    self.lanes.push(Lane::new(app, shard));
                }
            }
            self.lanes.iter_mut().filter(|lane| lane.app == app).for_each(|lane| lane.epoch += 1);
        }
    }

    /// A node says what time it is there, and whether that is distrusted.
    pub fn beat(&mut self, me: NodeId, (now, distrusted): (Millis, bool), world: Millis) -> bool {
        let Some(node) = self.node_mut(me).filter(|node| node.state.works()) else { return false };
        (node.beat, node.beat_at) = (node.beat + 1, world);
        node.on_time = !distrusted && (now - world).abs() <= SKEWED;
        true
    }

    /// What a machine's daemon sees.
    pub fn look(&self, machine: usize) -> Looked {
        let seen = |node: &Node| {
            let Node { id, state, beat, on_time, .. } = *node;
            let (name, apps, shards) = (node.name.clone(), node.apps.clone(), node.shards.clone());
            NodeSeen { id, name, state, beat, apps, shards, on_time }
        };
        let lane = |(lane, i): (&Lane, i64)| {
            let Lane { owner: node, epoch, shard, .. } = *lane;
            let (app, model) = &self.apps[lane.app];
            LaneSeen { lane: i, app: app.clone(), shard, waits: shard > 0 && model.lives_in(i), node, epoch }
        };
        let nodes = self.nodes.iter().filter(|node| node.state != NodeState::Gone).map(seen).collect();
        let is_mine = |node: &&Node| node.machine == machine && node.state != NodeState::Gone;
        let statuses = self.lanes.iter().zip(1..).filter_map(|(lane, i)| Some((i, lane.status.clone()?))).collect();
        Looked {
            joined: self.nodes.iter().filter(|node| is_mine(node)).map(|node| node.id).collect(),
            view: View { nodes, lanes: self.lanes.iter().zip(1..).filter(|(lane, _)| !lane.lost).map(lane).collect() },
            rings: self.rings.clone(),
            on_hold: self.held || !self.is_noted(),
            statuses,
            wanted: BTreeMap::new(),
            listed_at: 0,
            keys: 0,
            deserted: 0,
            duties: self.duties.clone(),
        }
    }

    pub fn take_over(&mut self, silent: NodeId, beat: i64, lanes: &[(i64, NodeId)], world: Millis) -> bool {
        let looks = !self.is(Sabotage::TakeoverWithoutLooking);
        let machines = self.machines.clone();
        let Some(node) = self.node_mut(silent).filter(|node| node.state.works() && (!looks || node.beat == beat))
        else {
            return false;
        };
        node.state = NodeState::Lapsed;
        let (machine, since) = (node.machine, world - node.beat_at);
        let (current, trouble) = machines[machine];
        // A standby that took over counts those beats again that it lacked: one of them may pass for the same that was seen up to a gap before.
        let recounts = world - self.servers.promoted_at < SILENT + GAP;
        if since < SILENT - if recounts { GAP } else { 0 } {
            self.wrong.push(format!("{silent:?} has beaten {since} ms ago, and is taken over"));
        }
        if current == Some(silent) && world - WELL > trouble {
            self.wrong.push(format!("{silent:?} is well, and is taken over"));
        }
        self.takeovers += 1;
        self.hand_over(silent, lanes, world);
        true
    }

    fn hand_over(&mut self, from: NodeId, lanes: &[(i64, NodeId)], world: Millis) {
        for (lane, to) in lanes {
            let i = Self::place(*lane);
            let lane = &mut self.lanes[i];
            if lane.owner == Some(from) {
                (lane.owner, lane.epoch) = (Some(*to), lane.epoch + 1);
                self.moved_at.push((i, world));
            }
        }
    }

    pub fn give(&mut self, seen: &LaneSeen, to: NodeId, world: Millis) -> bool {
        let i = Self::place(seen.lane);
        let lane = &mut self.lanes[i];
        let same = (lane.owner, lane.epoch, lane.lost) == (seen.node, seen.epoch, false);
        if same {
            (lane.owner, lane.epoch) = (Some(to), lane.epoch + 1);
            self.moved_at.push((i, world));
        }
        same
    }

    pub fn leave(&mut self, me: NodeId, lanes: &[(i64, NodeId)], world: Millis) {
        if let Some(node) = self.node_mut(me).filter(|node| node.state == NodeState::Live) {
            node.state = NodeState::Leaving;
        }
        self.hand_over(me, lanes, world);
    }

    pub fn gone(&mut self, id: NodeId) {
        if let Some(node) = self.node_mut(id) {
            node.state = NodeState::Gone;
        }
    }

    pub fn tell(&mut self, me: NodeId, lane: i64, epoch: i64, status: String) {
        let lane = &mut self.lanes[Self::place(lane)];
        if (lane.owner, lane.epoch) == (Some(me), epoch) {
            lane.status = Some(status);
        }
    }

    pub fn take_duty(&mut self, name: &str, from: Option<NodeId>, to: NodeId) -> bool {
        let duty = self.duties.get_mut(name).filter(|owner| **owner == from);
        duty.map(|owner| *owner = Some(to)).is_some()
    }

    /// Whether a node may begin something in a lane under this epoch.
    pub fn lets(&self, me: NodeId, lane: i64, epoch: Option<i64>) -> bool {
        let lane = &self.lanes[Self::place(lane)];
        let both = self.is(Sabotage::RateOfEach);
        !self.held && self.is_noted() && !lane.lost && (both || lane.owner == Some(me)) && epoch == Some(lane.epoch)
    }

    /// Marks jobs, `asked_at` by the world's clock and `now` by their daemon's. `let_in`: as an earlier look at the lanes has shown.
    pub fn mark(&mut self, me: NodeId, jobs: &[Job], (asked_at, world, now): (Millis, Millis, Millis)) -> Vec<Marked> {
        let let_in: Vec<bool> = jobs.iter().map(|job| self.lets(me, job.lane, job.epoch)).collect();
        self.mark_let_in(me, jobs, &let_in, (asked_at, world, now))
    }

    pub fn mark_let_in(
        &mut self,
        me: NodeId,
        jobs: &[Job],
        let_in: &[bool],
        (asked_at, world, now): (Millis, Millis, Millis),
    ) -> Vec<Marked> {
        let mut verdicts = Vec::new();
        for (job, let_in) in jobs.iter().zip(let_in) {
            let i = Self::place(job.lane);
            let app = self.lanes[i].app;
            let really = self.lets(me, job.lane, job.epoch);
            if !let_in && !self.is(Sabotage::MarkWithoutEpoch) {
                self.fenced += 1;
                verdicts.push(Marked::Fenced);
                continue;
            }
            let model = self.model(job.lane);
            model.me = Some(me);
            let verdict = model.mark(std::slice::from_ref(job), now).swap_remove(0);
            if matches!(verdict, Marked::Yes | Marked::By(_)) {
                if !really {
                    self.wrong.push(format!(
                        "{me:?} marked {} under epoch {:?}, which is not its own",
                        job.due.id, job.epoch
                    ));
                }
                tracing::trace!(id = job.due.id.0, lane = i, fence = job.due.fence, ?me, state = ?job.due.state, "marked");
                let works = self.nodes.iter().filter(|node| node.state.works());
                let wanted = works.filter_map(|node| node.shards.get(&self.apps[app].0)).max().copied().unwrap_or(1);
                self.marks.push(Mark { lane: i, is_beyond: self.lanes[i].shard >= wanted, asked_at });
                self.marked_at.insert((app, job.due.id), world);
            }
            verdicts.push(verdict);
        }
        verdicts
    }

    /// Whether a settlement that takes a mark back finds that mark, or what others have made of it. Any other may go on.
    pub fn may_take_back(&self, target: &Target) -> bool {
        let model = &self.apps[self.lanes[Self::place(target.lane)].app].1;
        target.taken_back().is_none() || model.fence(target.due.id).is_some_and(|fence| fence >= target.due.fence)
    }

    /// Writes settlements, as far as an earlier look lets them.
    pub fn settle(&mut self, me: NodeId, entries: &[Entry], may: &[bool], world: Millis) -> Vec<bool> {
        entries.iter().zip(may).map(|(entry, may)| *may && self.settle_one(me, entry, world)).collect()
    }

    fn settle_one(&mut self, me: NodeId, entry: &Entry, world: Millis) -> bool {
        let Target { due, lane, epoch, .. } = &entry.target;
        let i = Self::place(*lane);
        let app = self.lanes[i].app;
        let testimony = due.state == State::Sending && epoch.is_none();
        if epoch.is_some() && !self.lets(me, *lane, *epoch) {
            return false;
        }
        let model = self.model(*lane);
        let now = model.marker(due.id);
        model.me = Some(me);
        let was = model.sending().len();
        let written = model.settle(std::slice::from_ref(entry))[0];
        let still = model.sending().len() == was;
        tracing::trace!(id = due.id.0, lane = i, fence = due.fence, ?me, state = ?due.state, written, next = ?entry.settlement.next, "settled");
        let machine = |id| self.node(id).map(|node| node.machine);
        if written && testimony && now.is_some_and(|by| machine(by) != machine(me)) {
            self.wrong.push(format!("{me:?} says of {} what came of it, which {now:?} is sending", due.id));
        }
        self.testimonies += usize::from(written && testimony && still);
        let mine = (self.lanes[i].owner == Some(me) || self.is(Sabotage::RateOfEach)) && !self.held;
        if written && !testimony && epoch.is_none() && !mine {
            self.wrong.push(format!("{me:?} ended {} in a lane that is not its own, or on hold", due.id));
        }
        let lasts = world - self.marked_at.get(&(app, due.id)).copied().unwrap_or(Millis::MIN / 2) < NOTHING_LASTS;
        if written
            && due.state == State::Sending
            && !testimony
            && lasts
            && let Some(by) = now.filter(|by| *by != me && self.works(*by))
        {
            self.wrong.push(format!("{me:?} takes {} for cut off, which {by:?} works at", due.id));
        }
        written
    }
}
