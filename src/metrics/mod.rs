//! The daemon's metrics. The list stands in `docs/metrics.md`; labels come from closed lists, never from input. Whoever counts something
//! makes its counters first, so that they are at 0 from the start: `increase()` does not see the first event of a counter that was not there.

mod format;
mod process;

pub use format::Format;

use process::Process;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};
use std::{
    hash::Hash,
    sync::{Mutex, atomic::AtomicU64},
};

/// The app.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByApp {
    /// Its name in the configuration.
    pub app: String,
}

/// The app and one of a closed list of words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByAppAnd {
    /// Its name in the configuration.
    pub app: String,
    /// An outcome, a state or a code.
    pub what: &'static str,
}

/// One of a closed list of words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct By {
    /// The word.
    pub what: &'static str,
}

/// What was asked over HTTP, and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByRequest {
    /// The route's pattern, `/v1/reminders/{id}`; `none` where there is none.
    pub route: String,
    /// The method; `other` for one that HTTP does not name.
    pub method: &'static str,
    /// The status.
    pub status: u16,
}

/// Makes counters, so that they are at 0 from the start.
pub fn begin<L: Clone + Eq + Hash>(counters: &Family<L, Counter>, labels: impl IntoIterator<Item = L>) {
    labels.into_iter().for_each(|labels| drop(counters.get_or_create(&labels)));
}

/// All measures.
pub struct Metrics {
    registry: Mutex<Registry>,
    /// From the instant to the first byte, seconds.
    pub lateness: Family<ByApp, Histogram, fn() -> Histogram>,
    /// From the first byte to the answer, seconds.
    pub platform_latency: Family<ByApp, Histogram, fn() -> Histogram>,
    /// Attempts by outcome.
    pub sends: Family<ByAppAnd, Counter>,
    /// Refusals by code; a code that is not documented counts as `other`.
    pub errors: Family<ByAppAnd, Counter>,
    /// Refusals with a code that neither the platform's table nor the app's `codes` lists.
    pub unlisted_codes: Family<ByApp, Counter>,
    /// Pushes by what became of them.
    pub pushes: Family<ByAppAnd, Counter>,
    /// Receipts by what they came to.
    pub receipts: Family<ByAppAnd, Counter>,
    /// Refusals for a consent that the ledger had and the platform did not know.
    pub drift: Family<ByApp, Gauge>,
    /// Reminders by state.
    pub reminders: Family<ByAppAnd, Gauge>,
    /// Consents by state.
    pub consents: Family<ByAppAnd, Gauge>,
    /// Schedules by state.
    pub schedules: Family<ByAppAnd, Gauge>,
    /// Schedules whose load was cut off, or is under way.
    pub incomplete_schedules: Family<ByApp, Gauge>,
    /// Schedules that may still send, and whose files are gone from the watched folder.
    pub orphaned_schedules: Family<ByApp, Gauge>,
    /// Files of the watched folder that can't be loaded.
    pub folder_problems: Gauge,
    /// Recurring schedules whose app or template is not configured.
    pub unconfigured_schedules: Family<ByApp, Gauge>,
    /// For how long the recurring schedule that waits longest should have been looked at, seconds.
    pub unprepared: Family<ByApp, Gauge<f64, AtomicU64>>,
    /// Reminders whose instant has passed (10,000 at most are counted).
    pub due: Family<ByApp, Gauge>,
    /// Age of the oldest of them, seconds.
    pub oldest_overdue: Family<ByApp, Gauge<f64, AtomicU64>>,
    /// 1 while an app's lane is paused.
    pub paused: Family<ByApp, Gauge>,
    /// Sends per second that the app may make for now.
    pub rate: Family<ByApp, Gauge>,
    /// Templates that are suspended because the platform keeps refusing them.
    pub suspended_templates: Family<ByApp, Gauge>,
    /// Configured templates that the platform does not have so.
    pub out_of_step: Family<ByApp, Gauge>,
    /// Sends that the platform says are left today.
    pub quota_left: Family<ByApp, Gauge>,
    /// Until the app's token ends, seconds.
    pub token_expiry: Family<ByApp, Gauge<f64, AtomicU64>>,
    /// Occurrences of recurring schedules: prepared, or missed because nobody prepared them in time.
    pub occurrences: Family<By, Counter>,
    /// Parts of reminders that retention has erased.
    pub erased: Family<By, Counter>,
    /// Sends that waited for the app's rate.
    pub throttled: Family<ByApp, Counter>,
    /// Nodes that live, as this one sees it.
    pub nodes: Gauge,
    /// Lanes that no node has who works.
    pub lanes_without_owner: Gauge,
    /// Nodes whose lanes this one has taken.
    pub takeovers: Counter,
    /// Marks that were refused because the lane was another node's by then, or its gates had closed.
    pub fenced_marks: Family<ByApp, Counter>,
    /// Commits of this daemon that the database had confirmed and has forgotten.
    pub forgotten_commits: Counter,
    /// Requests.
    pub requests: Family<ByRequest, Counter>,
    /// Requests that were refused or failed, by the code of the problem.
    pub problems: Family<By, Counter>,
    /// Times that the store did not do what the engine asked of it.
    pub store_errors: Family<By, Counter>,
    /// How large the database is; 0 while it is not known.
    pub database_bytes: Gauge,
    /// How large the journal beside a SQLite file is.
    pub wal_bytes: Gauge,
    /// When the last backup was made, seconds since 1970; 0 without one.
    pub last_backup: Gauge<f64, AtomicU64>,
    /// How long a commit takes, seconds.
    pub commit: Histogram,
    /// 1 while nothing is sent because the clock is distrusted.
    pub clock_distrusted: Gauge,
    /// 1 while nothing is sent because the store is on hold.
    pub held: Gauge,
}

fn buckets() -> Histogram {
    Histogram::new([
        0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let metrics = Self {
            lateness: Family::new_with_constructor(buckets),
            platform_latency: Family::new_with_constructor(buckets),
            sends: Family::default(),
            errors: Family::default(),
            unlisted_codes: Family::default(),
            pushes: Family::default(),
            receipts: Family::default(),
            drift: Family::default(),
            reminders: Family::default(),
            consents: Family::default(),
            schedules: Family::default(),
            incomplete_schedules: Family::default(),
            orphaned_schedules: Family::default(),
            folder_problems: Gauge::default(),
            unconfigured_schedules: Family::default(),
            unprepared: Family::default(),
            due: Family::default(),
            oldest_overdue: Family::default(),
            paused: Family::default(),
            rate: Family::default(),
            suspended_templates: Family::default(),
            out_of_step: Family::default(),
            quota_left: Family::default(),
            token_expiry: Family::default(),
            occurrences: Family::default(),
            erased: Family::default(),
            throttled: Family::default(),
            nodes: Gauge::default(),
            lanes_without_owner: Gauge::default(),
            takeovers: Counter::default(),
            forgotten_commits: Counter::default(),
            fenced_marks: Family::default(),
            requests: Family::default(),
            problems: Family::default(),
            store_errors: Family::default(),
            database_bytes: Gauge::default(),
            wal_bytes: Gauge::default(),
            last_backup: Gauge::default(),
            commit: buckets(),
            clock_distrusted: Gauge::default(),
            held: Gauge::default(),
            registry: Mutex::default(),
        };
        let r = registry.sub_registry_with_prefix("tixing");
        r.register_with_unit("lateness", "From the instant to the first byte", Unit::Seconds, metrics.lateness.clone());
        let latency = metrics.platform_latency.clone();
        r.register_with_unit("platform_latency", "From the first byte to the answer", Unit::Seconds, latency);
        r.register("sends", "Attempts by outcome", metrics.sends.clone());
        r.register("errors", "Refusals by the platform's code", metrics.errors.clone());
        r.register("unlisted_codes", "Refusals with a code that is not listed", metrics.unlisted_codes.clone());
        r.register("pushes", "The platform's pushes by what became of them", metrics.pushes.clone());
        r.register("receipts", "The platform's receipts by what they came to", metrics.receipts.clone());
        r.register("drift", "Refusals for a consent that the ledger had", metrics.drift.clone());
        r.register("reminders", "Reminders by state", metrics.reminders.clone());
        r.register("consents", "Consents by state", metrics.consents.clone());
        r.register("schedules", "Schedules by state", metrics.schedules.clone());
        let incomplete = metrics.incomplete_schedules.clone();
        r.register("schedules_incomplete", "Schedules whose load was cut off or is under way", incomplete);
        let what = "Schedules whose files are gone from the watched folder, and that may still send";
        r.register("orphaned_schedules", what, metrics.orphaned_schedules.clone());
        let what = "Files of the watched folder that can't be loaded";
        r.register("folder_problems", what, metrics.folder_problems.clone());
        let what =
            "Recurring schedules whose app or template is not configured, so that nothing more of them is prepared";
        r.register("unconfigured_schedules", what, metrics.unconfigured_schedules.clone());
        let unprepared = metrics.unprepared.clone();
        let help = "For how long the recurring schedule that waits longest should have been looked at";
        r.register_with_unit("oldest_unprepared", help, Unit::Seconds, unprepared);
        r.register("due", "Reminders whose instant has passed, counted up to 10000", metrics.due.clone());
        let oldest = metrics.oldest_overdue.clone();
        r.register_with_unit(
            "oldest_overdue",
            "Age of the oldest reminder whose instant has passed",
            Unit::Seconds,
            oldest,
        );
        r.register("paused", "1 while nothing of the app is sent", metrics.paused.clone());
        r.register("rate", "Sends per second that the app may make for now", metrics.rate.clone());
        let suspended = || metrics.suspended_templates.clone();
        let what = "Templates that are suspended because the platform keeps refusing them";
        r.register("suspended_templates", what, suspended());
        r.register("held_templates", "Deprecated: suspended_templates", suspended());
        let what = "Configured templates that the platform does not have so";
        r.register("templates_out_of_step", what, metrics.out_of_step.clone());
        r.register("quota_left", "Sends that the platform says are left today", metrics.quota_left.clone());
        let expiry = metrics.token_expiry.clone();
        r.register_with_unit("token_expiry", "Until the app's token ends", Unit::Seconds, expiry);
        r.register(
            "occurrences",
            "Occurrences of recurring schedules that were prepared or missed",
            metrics.occurrences.clone(),
        );
        r.register("erased", "What went because its term was over", metrics.erased.clone());
        r.register("nodes", "Daemons that share the database and live", metrics.nodes.clone());
        r.register("lanes_without_owner", "Apps whose reminders nobody sends", metrics.lanes_without_owner.clone());
        r.register(
            "takeovers",
            "Daemons that fell silent and whose lanes this one gave to others",
            metrics.takeovers.clone(),
        );
        r.register("throttled_sends", "Sends that waited for the app's rate", metrics.throttled.clone());
        r.register(
            "fenced_marks",
            "Looks at a lane that was another node's by then, or whose gates had closed",
            metrics.fenced_marks.clone(),
        );
        r.register(
            "forgotten_commits",
            "Commits of this daemon that the database had confirmed and has forgotten",
            metrics.forgotten_commits.clone(),
        );
        r.register("http_requests", "Requests by route and status", metrics.requests.clone());
        r.register("http_problems", "Requests that were refused or failed, by code", metrics.problems.clone());
        let what = "Times that the store did not do what the engine asked of it";
        r.register("store_errors", what, metrics.store_errors.clone());
        r.register_with_unit("database", "How large the database is", Unit::Bytes, metrics.database_bytes.clone());
        let what = "How large the journal beside a SQLite file is";
        r.register_with_unit("wal", what, Unit::Bytes, metrics.wal_bytes.clone());
        let what = "When the last backup was made, since 1970; 0 without one";
        r.register_with_unit("last_backup_timestamp", what, Unit::Seconds, metrics.last_backup.clone());
        r.register_with_unit("commit", "How long a commit takes", Unit::Seconds, metrics.commit.clone());
        let what = "1 while nothing is sent because the clock is distrusted";
        r.register("clock_distrusted", what, metrics.clock_distrusted.clone());
        r.register("clock_held", "Deprecated: clock_distrusted", metrics.clock_distrusted.clone());
        let what = "1 while nothing is sent because the store is on hold";
        r.register("held", what, metrics.held.clone());
        r.register("build", "What is running", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        Self { registry: Mutex::new(registry), ..metrics }
    }
}

impl Metrics {
    /// Another daemon tells of the store: what this one has told of it is over.
    pub fn forget_store(&self) {
        let of_apps = [
            &self.drift,
            &self.due,
            &self.incomplete_schedules,
            &self.orphaned_schedules,
            &self.unconfigured_schedules,
        ];
        of_apps.into_iter().for_each(Family::clear);
        [&self.reminders, &self.consents, &self.schedules].into_iter().for_each(Family::clear);
        self.oldest_overdue.clear();
        self.unprepared.clear();
        self.folder_problems.set(0);
    }

    /// Other daemons have some apps: what this one has told of them is over.
    pub fn forget_lanes(&self) {
        let of_apps = [&self.paused, &self.rate, &self.suspended_templates, &self.out_of_step, &self.quota_left];
        of_apps.into_iter().for_each(Family::clear);
        self.token_expiry.clear();
    }

    /// With what the system says of this process, which began at `began_at`, milliseconds since 1970.
    ///
    /// # Panics
    /// When somebody panicked while encoding.
    #[must_use]
    pub fn of_process(self, began_at: i64) -> Self {
        let process = Box::new(Process { began_at });
        self.registry.lock().expect("nobody panics while encoding").register_collector(process);
        self
    }

    /// All of them as OpenMetrics text.
    ///
    /// # Panics
    /// When somebody panicked while encoding.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().expect("nobody panics while encoding");
        encode(&mut text, &registry).expect("a String takes everything");
        text
    }

    /// The same in either format.
    ///
    /// # Panics
    /// When somebody panicked while encoding.
    pub fn text_in(&self, format: Format) -> String {
        match format {
            Format::OpenMetrics => self.text(),
            Format::Plain => format::plain(&self.text()),
        }
    }
}
