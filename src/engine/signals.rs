//! What others tell the engine, and what it tells them.

use crate::{
    config::App,
    domain::{
        Millis,
        node::{Marker, NodeId, Share, Watch},
    },
    platform::{Quota, code::Blame},
    store::port::Ring,
    words::Message,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};
use tokio::sync::Notify;

/// The engine's signals: others call, and the engine looks at its next step.
pub struct Signals {
    told: Mutex<Told>,
    on_hold: AtomicBool,
    pub(super) woken: Notify,
    heartbeat: AtomicI64,
    status: Mutex<Status>,
    /// Until when, by the monotonic clock, its lanes are surely its own.
    trust_until: AtomicI64,
    /// It has met a lane that is not, or whose gates have closed.
    fenced: Notify,
    /// Nothing is under way.
    pub(super) idle: AtomicBool,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            told: Mutex::default(),
            on_hold: AtomicBool::default(),
            woken: Notify::default(),
            heartbeat: AtomicI64::default(),
            status: Mutex::default(),
            // Who is alone trusts for ever.
            trust_until: Millis::MAX.into(),
            fenced: Notify::default(),
            idle: AtomicBool::default(),
        }
    }
}

/// The lanes that are this node's, and what it has seen of the other nodes.
#[derive(Debug, Clone)]
pub struct Owned {
    /// This node.
    pub me: NodeId,
    /// Its lanes, and the epoch of each.
    pub epochs: BTreeMap<i64, i64>,
    /// Which part of its app's limits each lane has that does not have them whole.
    pub shares: BTreeMap<i64, Share>,
    /// What it has seen of the others.
    pub watch: Arc<Watch>,
    /// What the last owner of each lane said of it.
    pub statuses: BTreeMap<i64, String>,
}

impl Owned {
    /// How the node stands that marked a row.
    pub fn marker(&self, node: NodeId, monotonic: Millis) -> Marker {
        // What this one has marked and is not about any more is nobody's.
        if node == self.me { Marker::Gone(Millis::MAX) } else { self.watch.marker(node, monotonic) }
    }
}

/// What the engine was told since its last step.
#[derive(Default)]
pub(super) struct Told {
    /// Instants at which rows came or changed.
    pub ring: Option<Ring>,
    /// It is time to look for what has expired.
    pub sweep: bool,
    /// Apps whose templates somebody wants read.
    pub read_templates: Vec<String>,
    /// Apps with new secrets.
    pub renewed: Vec<App>,
    /// The lanes that are this node's from now on.
    pub owned: Option<Owned>,
}

/// What the engine last saw.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The first look at the queue is done.
    pub ready: bool,
    /// Its lanes are surely its own.
    pub trusted: bool,
    /// Why the clock is distrusted, and nothing is sent, if it is.
    pub clock_distrusted: Option<Message>,
    /// A platform has had the opportunity to contradict the clock, and has not.
    pub clock_trusted: bool,
    /// By app.
    pub lanes: BTreeMap<String, LaneStatus>,
    /// By lane, of apps that are divided into several.
    pub shards: BTreeMap<i64, LaneStatus>,
}

/// One lane's. Where several daemons share a database its owner writes it down: others tell it, and the next owner goes on from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaneStatus {
    /// Why the app is paused, if it is.
    pub pause: Option<Pause>,
    /// The next instant in memory.
    pub next_due: Option<Millis>,
    /// Messages under way.
    pub in_flight: usize,
    /// When its token ends; 0 without one.
    pub token_expires_at: Millis,
    /// The last time that a token was asked for, or used, there was none to be had.
    pub token_failed: bool,
    /// Sends per second for now.
    pub rate: u32,
    /// Templates that its breakers have suspended.
    pub suspended: Vec<SuspendedTemplate>,
    /// How the reading of the platform's list of templates went.
    pub templates_asked: TemplatesAsked,
    /// What the platform said was left of the day's sends.
    pub quota: Option<QuotaAsked>,
    /// Configured templates that the platform does not have so.
    pub out_of_step: usize,
    /// Codes that nobody has listed, and how often the platform has answered with each since the start.
    pub unlisted: Vec<(String, u64)>,
    /// How often the rate was halved, and when that last changed.
    pub halved: (u32, Millis),
    /// When new tokens were forced, within a day.
    pub forced: Vec<Millis>,
    /// It is another node's, and this is what that one last said.
    #[serde(skip)]
    pub elsewhere: bool,
}

/// Why nothing of an app is sent for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: Millis,
    /// Until when.
    pub until: Millis,
    /// The platform's code or tixing's word.
    pub code: String,
    /// Why.
    pub why: Message,
}

/// A template of which nothing is sent for now, since the platform keeps refusing its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspendedTemplate {
    /// The platform's id.
    pub template: String,
    /// The platform's code.
    pub code: String,
    /// Why.
    pub why: Message,
    /// When the next message of it is tried.
    pub until: Millis,
    /// What of the template is to blame; `None` if it is banned.
    pub blame: Option<Blame>,
}

/// Readings of the platform's list of templates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplatesAsked {
    /// How many there were since the start.
    pub times: u64,
    /// What was wrong the last time, if something was.
    pub problem: Option<Message>,
}

/// What the platform said was left of the day's sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaAsked {
    /// What it said.
    pub quota: Quota,
    /// When.
    pub at: Millis,
}

impl Signals {
    /// Rows at these instants came or changed.
    ///
    /// # Panics
    /// When somebody panicked while telling.
    pub fn ring(&self, ring: Ring) {
        self.tell(|told| told.ring = Some(told.ring.map_or(ring, |seen| seen.and(ring))));
    }

    /// It is time to look for what has expired.
    ///
    /// # Panics
    /// When somebody panicked while telling.
    pub fn sweep(&self) {
        self.tell(|told| told.sweep = true);
    }

    /// An app's templates are to be read from its platform now.
    ///
    /// # Panics
    /// When somebody panicked while telling.
    pub fn read_templates(&self, app: &str) {
        self.tell(|told| told.read_templates.push(app.to_owned()));
    }

    /// An app's secret is another from now on; nothing else of it is looked at. What waited because of the old one is tried at once.
    ///
    /// # Panics
    /// When somebody panicked while telling.
    pub fn renew(&self, app: App) {
        self.tell(|told| told.renewed.push(app));
    }

    /// Whether the store is on hold. While it is, nothing is sent and nothing ends: what may have been sent already is not known.
    pub fn hold(&self, on_hold: bool) {
        self.on_hold.store(on_hold, Ordering::Release);
        self.woken.notify_one();
    }

    /// Whether the store is on hold.
    pub fn is_on_hold(&self) -> bool {
        self.on_hold.load(Ordering::Acquire)
    }

    /// The lanes that are this node's from now on.
    ///
    /// # Panics
    /// When somebody panicked while telling.
    pub fn own(&self, owned: Owned) {
        self.tell(|told| told.owned = Some(owned));
    }

    /// Its lanes are surely its own until this instant of the monotonic clock.
    pub fn trust_until(&self, monotonic: Millis) {
        self.trust_until.store(monotonic, Ordering::Release);
        self.woken.notify_one();
    }

    /// Whether its lanes are surely its own, by the monotonic clock.
    pub fn is_trusted(&self, monotonic: Millis) -> bool {
        monotonic < self.trust_until.load(Ordering::Acquire)
    }

    /// Whether nothing is under way: all that was marked is settled.
    pub fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Acquire)
    }

    /// Waits until the engine meets a lane that is not its own, or whose gates have closed.
    pub async fn fenced(&self) {
        self.fenced.notified().await;
    }

    /// The engine has met one.
    pub(super) fn meet_fence(&self) {
        self.fenced.notify_one();
    }

    /// When the engine's loop last went round, on the monotonic clock.
    pub fn heartbeat(&self) -> Millis {
        self.heartbeat.load(Ordering::Acquire)
    }

    /// Whether the clock is distrusted, and nothing is sent.
    ///
    /// # Panics
    /// When somebody panicked while writing it.
    pub fn distrusts_clock(&self) -> bool {
        self.status.lock().expect("nobody panics while writing it").clock_distrusted.is_some()
    }

    /// What the engine last saw.
    ///
    /// # Panics
    /// When somebody panicked while writing it.
    pub fn status(&self) -> Status {
        self.status.lock().expect("nobody panics while writing it").clone()
    }

    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.told.lock().expect("nobody panics while telling"));
        self.woken.notify_one();
    }

    /// What was told since the last time.
    pub(super) fn take(&self) -> Told {
        std::mem::take(&mut self.told.lock().expect("nobody panics while telling"))
    }

    /// The engine's loop goes round.
    pub(super) fn beat(&self, monotonic: Millis) {
        self.heartbeat.store(monotonic, Ordering::Release);
    }

    /// Changes what others see.
    pub(super) fn publish(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().expect("nobody panics while writing it"));
    }
}

impl LaneStatus {
    /// What others tell of it, and the next owner goes on from: what changes with every message is left out.
    pub fn to_keep(&self) -> Self {
        Self { next_due: None, in_flight: 0, ..self.clone() }
    }

    /// How an app stands of which this is the first lane and `other` another one.
    fn add(&mut self, other: &Self) {
        if other.pause.as_ref().map(|pause| pause.until) > self.pause.as_ref().map(|pause| pause.until) {
            self.pause.clone_from(&other.pause);
        }
        self.next_due = [self.next_due, other.next_due].into_iter().flatten().min();
        self.in_flight += other.in_flight;
        self.token_failed |= other.token_failed;
        self.rate += other.rate;
        for suspended in &other.suspended {
            match self.suspended.iter_mut().find(|known| known.template == suspended.template) {
                Some(known) if known.until < suspended.until => known.clone_from(suspended),
                Some(_) => {}
                None => self.suspended.push(suspended.clone()),
            }
        }
        if other.quota.map(|asked| asked.at) > self.quota.map(|asked| asked.at) {
            self.quota = other.quota;
        }
        for (code, n) in &other.unlisted {
            match self.unlisted.iter_mut().find(|(known, _)| known == code) {
                Some((_, all)) => *all += n,
                None => self.unlisted.push((code.clone(), *n)),
            }
        }
        self.halved = self.halved.max(other.halved);
        self.forced.extend(&other.forced);
    }
}

impl Status {
    /// An app's, which is made if it is not there.
    pub(super) fn lane(&mut self, app: &str) -> &mut LaneStatus {
        // Nearly always it is there, and its name is not copied.
        if !self.lanes.contains_key(app) {
            self.lanes.insert(app.to_owned(), LaneStatus::default());
        }
        self.lanes.get_mut(app).expect("it is there or was just made")
    }

    /// Says of an app that is divided into these lanes what they say together. The first one is first.
    pub(super) fn sum_up(&mut self, app: &str, lanes: impl Iterator<Item = i64>) {
        let mut said = lanes.filter_map(|lane| self.shards.get(&lane));
        let Some(mut all) = said.next().cloned() else { return };
        said.for_each(|said| all.add(said));
        *self.lane(app) = all;
    }
}
