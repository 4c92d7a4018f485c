//! What others tell the engine, and what it tells them.

use crate::{config::App, domain::Millis, platform::Quota, store::port::Ring, words::Message};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};
use tokio::sync::Notify;

/// The engine's signals: others call, and the engine looks at its next step.
#[derive(Default)]
pub struct Signals {
    told: Mutex<Told>,
    on_hold: AtomicBool,
    pub(super) woken: Notify,
    heartbeat: AtomicI64,
    status: Mutex<Status>,
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
}

/// What the engine last saw.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The first look at the queue is done.
    pub ready: bool,
    /// Why the clock is distrusted, and nothing is sent, if it is.
    pub clock_distrusted: Option<Message>,
    /// A platform has had the opportunity to contradict the clock, and has not.
    pub clock_trusted: bool,
    /// By app.
    pub lanes: BTreeMap<String, LaneStatus>,
}

/// One lane's.
#[derive(Debug, Clone, Default)]
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
}

/// Why nothing of an app is sent for now.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspendedTemplate {
    /// The platform's id.
    pub template: String,
    /// The platform's code.
    pub code: String,
    /// Why.
    pub why: Message,
    /// When the next message of it is tried.
    pub until: Millis,
}

/// Readings of the platform's list of templates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplatesAsked {
    /// How many there were since the start.
    pub times: u64,
    /// What was wrong the last time, if something was.
    pub problem: Option<Message>,
}

/// What the platform said was left of the day's sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// When the engine's loop last went round, on the monotonic clock.
    pub fn heartbeat(&self) -> Millis {
        self.heartbeat.load(Ordering::Acquire)
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

impl Status {
    /// An app's, which is made if it is not there.
    pub(super) fn lane(&mut self, app: &str) -> &mut LaneStatus {
        // Nearly always it is there, and its name is not copied.
        if !self.lanes.contains_key(app) {
            self.lanes.insert(app.to_owned(), LaneStatus::default());
        }
        self.lanes.get_mut(app).expect("it is there or was just made")
    }
}
