//! A standby of the database takes over: perhaps without the last commits. What each daemon remembers, and what all of them do about it.
//!
//! What is decided is the daemons' own ([`tixing::domain::recall`]); what is written stands here once more, on the model.

use super::{
    books::{Books, Node},
    sabotage::Sabotage,
};
use crate::harness::model::Model;
use std::collections::{BTreeMap, BTreeSet};
use tixing::{
    domain::{
        Millis,
        node::{NodeId, NodeState, SKEWED},
        past::{Again, Counts, Past},
        recall::{Found, Step},
        reminder::{NewReminder, ReminderId, State},
        settle::assumed_sent,
    },
    store::{
        Inserted,
        change::Changed,
        port::{Entry, Job, Marked},
    },
};

/// What one commit has come to.
#[derive(Debug, Clone)]
pub enum Deed {
    Marks(Vec<Job>),
    Ends(Vec<Entry>),
    /// Into this lane.
    Insert(i64, ReminderId, Box<NewReminder>),
    /// Of this app.
    Cancelled(usize, ReminderId),
    /// Nobody knows how to write it again.
    Other,
}

/// What a daemon remembers of its commits.
#[derive(Debug, Default)]
pub struct Memory {
    /// The server that it wrote to last.
    era: u64,
    /// The connection to it has broken since.
    broken: bool,
    node: Option<NodeId>,
    made: i64,
    past: Past<Deed>,
    /// Commits as a former node that were confirmed only later: how many it had made by then.
    late: BTreeMap<NodeId, i64>,
    /// The others wait for it.
    pub asked: bool,
}

/// What the database has that a standby may lack.
#[derive(Clone)]
struct Kept {
    lanes: Vec<(Option<NodeId>, i64, Option<String>)>,
    models: Vec<Model>,
    nodes: Vec<Node>,
    duties: BTreeMap<String, Option<NodeId>>,
    rings: BTreeMap<i64, i64>,
    replicated: Replicated,
}

/// A machine's daemon, and which of its starts. No standby makes one start another.
type Process = (usize, usize);

/// The same of what this file is about.
#[derive(Debug, Clone, Default)]
pub struct Replicated {
    chain: BTreeMap<NodeId, i64>,
    /// As which process each node works.
    mine: BTreeMap<NodeId, Process>,
    /// The server that was last written down.
    noted: u64,
    /// The store is on hold by an operator.
    by_operator: bool,
    /// And since a standby took over.
    by_standby: bool,
    stays: bool,
    /// Those who are waited for, and whether they wait themselves.
    awaited: BTreeMap<NodeId, bool>,
}

/// The servers.
#[derive(Default)]
pub struct Servers {
    /// Which one is written to.
    pub era: u64,
    pub now: Replicated,
    /// How often a daemon has started on each machine.
    starts: BTreeMap<usize, usize>,
    /// The standby is waited for.
    pub waited_for: bool,
    /// A pooler lies before them: whoever asks next is answered by the next server, and sees no other connection.
    pub pooled: bool,
    /// What it has, once it has received nothing more.
    behind: Option<Box<Kept>>,
    /// Who has seen whom, lately.
    seen: BTreeMap<usize, BTreeSet<NodeId>>,
    /// All of each app that was inserted and cancelled, and confirmed.
    pub inserted: BTreeSet<(usize, ReminderId)>,
    pub cancelled: BTreeSet<(usize, ReminderId)>,
    /// What an operator took for sent while it may have been under way.
    pub assumed: BTreeSet<(usize, ReminderId)>,
    /// What an operator knows to be lost.
    pub lost: BTreeSet<(usize, ReminderId)>,
    pub promotions: usize,
    /// When the last one was, by the world's clock.
    pub promoted_at: Millis,
    /// Rows that were written again.
    pub again: usize,
    /// Holds that have ended by themselves after commits were lost.
    pub ended: usize,
}

impl Books {
    fn is_held(&self) -> bool {
        self.servers.now.by_operator || self.servers.now.by_standby
    }

    pub fn is_held_by_standby(&self) -> bool {
        self.servers.now.by_standby
    }

    /// An operator holds the store, or ends that. What the store does not know then is taken for sent. Who `looks` knows when the standby
    /// took over: what became due later goes.
    pub fn operator_holds(&mut self, held: bool, looks: bool, now: Millis) {
        if !held && self.servers.now.by_standby {
            let until = if looks { self.servers.promoted_at + SKEWED } else { now };
            self.assume_sent(until, now);
        }
        self.apps.iter_mut().for_each(|(_, model)| model.may_have_forgotten());
        let servers = &mut self.servers.now;
        servers.by_operator = held;
        if !held {
            (servers.by_standby, servers.stays) = (false, false);
            servers.awaited.clear();
        }
        let held = self.is_held();
        self.hold(held);
    }

    /// Ends what is due as perhaps sent, if its instant is not later than `until`.
    fn assume_sent(&mut self, until: Millis, now: Millis) {
        for (app, lane) in self.lanes.iter().map(|lane| lane.app).zip(1..).collect::<Vec<_>>() {
            let model = self.model(lane);
            model.me = None;
            model.wake_suspended(now);
            let due = model.prefetch((Millis::MIN, 0), now, usize::MAX);
            for job in due.into_iter().filter(|job| job.due.at <= until) {
                let model = &mut self.apps[app].1;
                let marked = job.due.state == State::Scheduled
                    && matches!(model.mark(std::slice::from_ref(&job), now)[0], Marked::Yes | Marked::By(_));
                self.servers.assumed.insert((app, job.due.id));
                let target = job.target(marked);
                model.settle(&[Entry { target, settlement: assumed_sent(), began_at: None, ended_at: now }]);
            }
        }
        let lost: Vec<_> = self.lacking().collect();
        self.servers.lost.extend(lost);
    }

    /// What was confirmed and is not so.
    fn lacking(&self) -> impl Iterator<Item = (usize, ReminderId)> {
        let state = |app: usize, id| self.apps[app].1.find(id);
        let gone = self.servers.inserted.iter().copied().filter(move |(app, id)| state(*app, *id).is_none());
        let called_back = self.servers.cancelled.iter().copied();
        let called_back = called_back.filter(move |(app, id)| state(*app, *id) != Some(State::Cancelled));
        gone.chain(called_back).filter(|lost| !self.servers.lost.contains(lost))
    }

    /// A node has committed something.
    pub fn link(&mut self, me: NodeId) -> i64 {
        let n = self.servers.now.chain.entry(me).or_default();
        *n += 1;
        *n
    }

    /// From now on the standby receives nothing more.
    pub fn leave_standby_behind(&mut self) {
        if self.servers.behind.is_none() && !self.servers.waited_for {
            let lane = |lane: &super::books::Lane| (lane.owner, lane.epoch, lane.status());
            let (duties, rings) = self.shared();
            self.servers.behind = Some(Box::new(Kept {
                lanes: self.lanes.iter().map(lane).collect(),
                models: self.apps.iter().map(|(_, model)| model.clone()).collect(),
                nodes: self.nodes.clone(),
                duties,
                rings,
                replicated: self.servers.now.clone(),
            }));
        }
    }

    /// The standby takes over.
    pub fn promote(&mut self, world: Millis) {
        tracing::trace!(behind = self.servers.behind.is_some(), "a standby takes over");
        self.servers.promoted_at = world;
        self.servers.era += 1;
        self.servers.promotions += 1;
        let Some(kept) = self.servers.behind.take() else { return };
        let Kept { lanes, models, nodes, duties, rings, replicated } = *kept;
        self.apps.iter_mut().zip(models).for_each(|((_, now), model)| now.forget_since(model));
        let mut lanes = lanes.into_iter();
        for lane in &mut self.lanes {
            match lanes.next() {
                Some((owner, epoch, status)) => lane.goes_back_to(owner, epoch, status),
                None => lane.vanishes(),
            }
        }
        (self.nodes, self.servers.now) = (nodes, replicated);
        self.share(duties, rings);
        self.held = self.is_held();
    }

    /// A machine's daemon has looked at who is there.
    pub fn was_seen(&mut self, by: usize) {
        let there = self.nodes.iter().filter(|node| node.state != NodeState::Gone).map(|node| node.id);
        self.servers.seen.entry(by).or_default().extend(there);
    }

    /// Whether a machine's daemon is waited for.
    pub fn awaits(&self, machine: usize) -> bool {
        self.servers.now.awaited.keys().any(|node| self.is_of(*node, machine))
    }

    fn process(&self, machine: usize) -> Process {
        (machine, self.servers.starts.get(&machine).copied().unwrap_or_default())
    }

    /// Whether a node is the daemon that runs on a machine, and not one that ran there before.
    fn is_of(&self, node: NodeId, machine: usize) -> bool {
        self.servers.now.mine.get(&node) == Some(&self.process(machine))
    }

    /// A daemon has joined.
    pub fn has_joined(&mut self, machine: usize, node: NodeId) {
        let process = self.process(machine);
        self.servers.now.mine.insert(node, process);
    }

    /// What ran on a machine has ended: its successor answers for nothing of it.
    pub fn forgets(&mut self, machine: usize) {
        *self.servers.starts.entry(machine).or_default() += 1;
        self.servers.seen.remove(&machine);
    }

    /// Whether the server that answers is the one that is written down, as marks and looks ask.
    pub fn is_noted(&self) -> bool {
        let overlooked = self.is(Sabotage::PromotionOverlooked) || self.is(Sabotage::PoolerGoesOn);
        overlooked || self.servers.now.noted == self.servers.era
    }

    /// Before a node is written down as gone.
    pub fn notice(&mut self) {
        if self.servers.now.noted != self.servers.era && !self.servers.waited_for {
            self.hold_until_told(None);
        }
    }

    fn hold_until_told(&mut self, lacking: Option<NodeId>) {
        let living = self.nodes.iter().filter(|node| node.state != NodeState::Gone).map(|node| node.id);
        let awaited: Vec<NodeId> = living.chain(lacking).collect();
        let servers = &mut self.servers;
        servers.now.awaited.extend(awaited.into_iter().map(|node| (node, false)));
        (servers.now.noted, servers.now.by_standby) = (servers.era, true);
        self.hold(true);
    }

    fn end_if_all_have_told(&mut self) {
        let servers = &mut self.servers.now;
        if !servers.by_standby || servers.stays || !servers.awaited.is_empty() {
            return;
        }
        servers.by_standby = false;
        self.servers.ended += 1;
        self.held = self.is_held();
        let lost = self.lacking().next();
        if let Some((app, id)) = lost {
            self.wrong.push(format!("the hold ended by itself, and what became of {id} in {app} is lost"));
        }
    }
}

impl Memory {
    /// A commit of a node's was confirmed, by the server of that era. `false`: the connection had broken before the answer came.
    pub fn remember(&mut self, era: u64, node: NodeId, n: i64, at: Millis, deeds: Vec<Deed>) -> bool {
        if self.era != era {
            return false;
        }
        if self.node != Some(node) {
            let made = self.late.entry(node).or_default();
            *made = (*made).max(n);
            return true;
        }
        self.made = self.made.max(n);
        self.past.remember(n, at, deeds.len(), deeds);
        true
    }

    /// Nothing was answered: the next write is by a new connection.
    pub fn breaks(&mut self) {
        self.broken = true;
    }

    /// The server has all that the daemon has written, which may be another node by now.
    fn goes_on_as(&mut self, me: NodeId) {
        if let Some(former) = self.node.replace(me).filter(|node| *node != me) {
            self.past.goes_on(former, self.made);
            self.made = 0;
        }
    }

    /// What a daemon does before it writes.
    pub fn look_back(
        &mut self,
        books: &mut Books,
        (machine, me): (usize, NodeId),
        (world, at): (Millis, Millis),
        sabotage: Option<Sabotage>,
    ) {
        let is = |fault| sabotage == Some(fault);
        let asked = std::mem::take(&mut self.asked);
        let there = |node: NodeId| {
            let n = books.servers.now.chain.get(&node).copied().unwrap_or_default();
            books.node(node).map(|_| n)
        };
        let lacks_nothing = there(self.node.unwrap_or(me)).is_some_and(|n| n >= self.made);
        let is_known = !std::mem::take(&mut self.broken);
        if books.servers.pooled && lacks_nothing && is_known {
            self.era = books.servers.era;
        }
        if self.era == books.servers.era && is_known && !asked {
            return self.goes_on_as(me);
        }
        self.era = books.servers.era;
        let node = self.node.unwrap_or(me);
        let former = self.past.former().iter().copied().chain(self.late.iter().map(|(node, made)| (*node, *made)));
        let of_former = former.map(|(node, made)| (made - there(node).unwrap_or_default()).max(0)).sum::<i64>();
        let found = Found {
            follows: false,
            took_over: books.servers.now.noted != books.servers.era && !is(Sabotage::PromotionOverlooked),
            n: there(node),
            awaited: books.awaits(machine),
            of_former,
        };
        tracing::trace!(machine, ?me, made = self.made, ?found, "looks back");
        let lacks = found.n.unwrap_or_default() < self.made || of_former > 0;
        match found.step(self.made, books.servers.waited_for) {
            Step::GoOn if is(Sabotage::FormerWrittenAgain) => {
                self.node = Some(me);
                return;
            }
            Step::GoOn | Step::Wait => {
                self.past.leaves_nothing();
                return self.goes_on_as(me);
            }
            Step::Note => {
                books.servers.now.noted = books.servers.era;
                return self.goes_on_as(me);
            }
            Step::HoldAndTell if !is(Sabotage::ChainIgnored) => books.hold_until_told(lacks.then_some(node)),
            Step::HoldAndTell | Step::Tell => {}
        }
        if is(Sabotage::AwaitsNobody) {
            books.servers.now.awaited.retain(|node, _| *node == me);
        }
        let Some(there) = found.n else {
            books.servers.now.stays = true;
            books.servers.now.awaited.retain(|waits, _| *waits != node);
            (self.past, self.node, self.made) = (Past::default(), None, 0);
            return;
        };
        let mine = books.servers.now.awaited.keys().copied().filter(|node| books.is_of(*node, machine));
        let mine: Vec<NodeId> = mine.collect();
        let mut others = books.servers.now.awaited.iter().filter(|(node, _)| !mine.contains(node));
        let last = others.all(|(_, waits)| *waits);
        let n = books.link(me);
        let counts = Counts { there, made: self.made, of_former, is_another: node != me, begun: n - 1 };
        self.late.clear();
        let Again { mut missing, is_second } = self.past.again(counts, at, |_| Deed::Other);
        (self.node, self.made) = (Some(me), n);
        if is_second && !last {
            return;
        }
        books.servers.now.stays |= missing.unknown > 0;
        if is(Sabotage::ToldWithoutWriting) {
            missing.deeds.retain(|deed| !matches!(deed, Deed::Marks(_) | Deed::Ends(_)));
        }
        let left = write_again(books, me, missing.deeds, last, world);
        let seen = books.servers.seen.get(&machine).into_iter().flatten();
        let forgotten = seen.filter(|seen| books.node(**seen).is_none()).count();
        books.servers.now.stays |= forgotten > 0;
        for node in mine {
            match left.is_empty() {
                true => drop(books.servers.now.awaited.remove(&node)),
                false => drop(books.servers.now.awaited.insert(node, true)),
            }
        }
        tracing::trace!(machine, ?left, awaited = ?books.servers.now.awaited, "has told");
        self.past.leaves(n, left);
        books.end_if_all_have_told();
    }
}

/// Writes deeds again; answers what others have to write something for first.
fn write_again(books: &mut Books, me: NodeId, deeds: Vec<Deed>, last: bool, world: Millis) -> Vec<Deed> {
    let mut left = Vec::new();
    for deed in deeds {
        match deed {
            Deed::Other => books.servers.now.stays = true,
            Deed::Insert(lane, id, _) if books.model(lane).find(id).is_some() => {
                books.wrong.push(format!("{id} is written again though the standby has it"));
            }
            Deed::Insert(lane, id, new) => match books.model(lane).insert_as((*new).clone(), id) {
                Inserted::Created(_) => books.servers.again += 1,
                _ if !last => left.push(Deed::Insert(lane, id, new)),
                _ => books.servers.now.stays = true,
            },
            Deed::Cancelled(app, id) => {
                let model = &mut books.apps[app].1;
                match model.find(id) {
                    None if !last => left.push(Deed::Cancelled(app, id)),
                    Some(State::Scheduled) => {
                        assert_eq!(model.cancel(id, world), Changed::Yes);
                        books.servers.again += 1;
                    }
                    None | Some(State::Sending | State::InDoubt) => books.servers.now.stays = true,
                    Some(_) => {}
                }
            }
            Deed::Marks(jobs) => {
                for job in jobs {
                    let (app, id, fence) = (books.lanes[Books::place(job.lane)].app, job.due.id, job.due.fence);
                    let model = books.model(job.lane);
                    model.me = Some(me);
                    let known = model.find(id).is_some();
                    if known && matches!(model.mark(std::slice::from_ref(&job), world)[0], Marked::Yes | Marked::By(_))
                    {
                        books.marked_at.insert((app, id), world);
                        books.servers.again += 1;
                    } else if !last && model.may_be_sent(id, fence).unwrap_or(true) {
                        left.push(Deed::Marks(vec![job]));
                    } else {
                        books.servers.now.stays |= model.may_be_sent(id, fence).unwrap_or(true);
                    }
                }
            }
            Deed::Ends(entries) => {
                for entry in entries {
                    let id = entry.target.due.id;
                    let model = books.model(entry.target.lane);
                    model.me = Some(me);
                    let fence = entry.target.due.fence;
                    if model.find(id).is_some() && model.settle(std::slice::from_ref(&entry))[0] {
                        books.servers.again += 1;
                    } else if !last && model.may_be_sent(id, fence).unwrap_or(true) {
                        left.push(Deed::Ends(vec![entry]));
                    } else {
                        books.servers.now.stays |= model.may_be_sent(id, fence).unwrap_or(true);
                    }
                }
            }
        }
    }
    left
}
