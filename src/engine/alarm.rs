//! tokio-cron-scheduler rings bells, nothing more. It was seen to fire late, early, twice and overlapping, so each bell only asks
//! the engine or the store to look for itself, and is harmless whenever and however often it rings.

use super::{Signals, duties::Duties};
use crate::{
    clock::SharedClock,
    config::App,
    domain::{Millis, outage::Outage, reminder::State, retention::Retention},
    metrics::{By, ByApp, ByAppAnd, Metrics, begin},
    store::{
        Store,
        retention::{Erased, Walk},
        schedules::{ScheduleRow, ScheduleState},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Mutex, Notify},
    time::timeout,
};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// How long the gauges wait for their turn, and then for the store; they are brought up to date twice as rarely.
const TURN: Duration = Duration::from_secs(5);

/// What retention erases, as its counters call it.
const ERASED: [&str; 6] = ["bodies", "attempts", "reminders", "users", "occurrences", "kept_rows"];

/// What the bells look after.
pub struct Bells {
    /// The engine's signals.
    pub signals: Arc<Signals>,
    /// The store.
    pub store: Store,
    /// The measures.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: SharedClock,
    /// How long reminders are kept after their end.
    pub retention: Retention,
    /// Where the walk through it is.
    pub walk: Walk,
    /// Whether erasing fails again and again: that is told once a minute.
    pub erasing: Outage,
    /// Who looks at the recurring schedules when it is rung.
    pub recurring: Arc<Notify>,
    /// The apps that are configured.
    pub apps: Vec<App>,
    /// What this daemon does for all.
    pub duties: Duties,
}

/// Starts the bells: every half minute a look for expired reminders, every ten seconds the gauges and what was cut off of schedules, and
/// every second a slice of the rows whose terms are over, and a ring for whoever looks at the recurring schedules.
///
/// # Errors
/// When the scheduler cannot start.
pub async fn start(bells: Bells) -> Result<JobScheduler, JobSchedulerError> {
    begin(&bells.metrics.erased, ERASED.map(|what| By { what }));
    let scheduler = JobScheduler::new().await?;
    let signals = Arc::clone(&bells.signals);
    scheduler
        .add(Job::new_async("*/30 * * * * *", move |_, _| {
            let signals = Arc::clone(&signals);
            Box::pin(async move { signals.sweep() })
        })?)
        .await?;
    let recurring = Arc::clone(&bells.recurring);
    scheduler
        .add(Job::new_async("* * * * * *", move |_, _| {
            let recurring = Arc::clone(&recurring);
            Box::pin(async move { recurring.notify_one() })
        })?)
        .await?;
    let (store, signals, clock) = (bells.store.clone(), Arc::clone(&bells.signals), Arc::clone(&bells.clock));
    let duties = bells.duties.clone();
    let bells = Arc::new(Mutex::new(bells));
    for (schedule, all) in [("*/10 * * * * *", true), ("* * * * * *", false)] {
        let bells = Arc::clone(&bells);
        let ring = Job::new_async(schedule, move |_, _| {
            let bells = Arc::clone(&bells);
            Box::pin(async move {
                // The gauges wait for a slice to be done; a slice is skipped while anything is at it from the last time.
                let bells = if all { timeout(TURN, bells.lock()).await.ok() } else { bells.try_lock().ok() };
                let Some(mut bells) = bells else { return };
                if all {
                    bells.measure().await;
                } else {
                    bells.tidy().await;
                }
            })
        });
        scheduler.add(ring?).await?;
    }
    let tasks = Arc::new(Mutex::new((store, signals, clock, duties)));
    let ring = Job::new_async("*/10 * * * * *", move |_, _| {
        let tasks = Arc::clone(&tasks);
        Box::pin(async move {
            // One that takes long is not rung twice.
            let Ok(tasks) = tasks.try_lock() else { return };
            let (store, signals, clock, duties) = &*tasks;
            // If the store does not answer, the engine tells of it.
            let _ = store.read_gates().await;
            if !signals.is_on_hold() && duties.has("schedules") {
                let _ = store.take_up_tasks(clock.now()).await;
            }
        })
    });
    scheduler.add(ring?).await?;
    scheduler.start().await?;
    Ok(scheduler)
}

impl Bells {
    /// Erases a slice of the rows whose terms are over. Not by a distrusted clock, which might erase everything; and not from a
    /// store on hold, before somebody has looked at it.
    pub async fn tidy(&mut self) {
        // If the store does not answer, the engine tells of it; old rows stay a little longer.
        if self.duties.has("retention") {
            let _ = self.store.tidy().await;
        }
        if self.signals.is_on_hold() || !self.signals.status().clock_trusted || !self.duties.has("retention") {
            return;
        }
        let now = self.clock.now();
        let erased = self.store.erase_step(&mut self.walk, &self.retention, now).await;
        let erased = match self.erasing.heard(self.clock.monotonic(), erased) {
            Some(Ok(erased)) => erased,
            Some(Err(error)) => {
                return tracing::warn!(%error, "rows whose terms are over could not be erased; it is tried again");
            }
            None => return,
        };
        let Erased { bodies, attempts, reminders, users, occurrences, kept_rows, .. } = erased;
        for (what, n) in ERASED.into_iter().zip([bodies, attempts, reminders, users, occurrences, kept_rows]) {
            self.metrics.erased.get_or_create(&By { what }).inc_by(n);
        }
    }

    /// Brings the gauges up to date: those that the engine knows at once, the store's as soon as it answers.
    pub async fn measure(&self) {
        let now = self.clock.now();
        let status = self.signals.status();
        self.metrics.held.set(i64::from(self.signals.is_on_hold()));
        let ours = status.lanes.iter().filter(|(_, lane)| !lane.elsewhere);
        if ours.clone().count() < status.lanes.len() {
            self.metrics.forget_lanes();
        }
        for (app, lane) in ours {
            let by_app = ByApp { app: app.clone() };
            let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            self.metrics
                .paused
                .get_or_create(&by_app)
                .set(i64::from(lane.pause.is_some() || self.store.app_paused_since(app).is_some()));
            self.metrics.rate.get_or_create(&by_app).set(i64::from(lane.rate));
            self.metrics.suspended_templates.get_or_create(&by_app).set(number(lane.suspended.len()));
            self.metrics.out_of_step.get_or_create(&by_app).set(number(lane.out_of_step));
            if let Some(asked) = lane.quota {
                self.metrics.quota_left.get_or_create(&by_app).set(asked.quota.left);
            }
            let left = (lane.token_expires_at - now).max(0);
            self.metrics.token_expiry.get_or_create(&by_app).set(seconds(left));
        }
        // If the store does not answer, the engine tells of it.
        if self.duties.has("gauges") {
            let _ = timeout(TURN, self.measure_store(now)).await;
        } else {
            self.metrics.forget_store();
        }
        self.metrics.forgotten_commits.inc_by(self.store.take_forgotten());
        let _ = timeout(TURN, self.measure_database()).await;
    }

    async fn measure_schedules(&self, now: Millis) {
        let (Ok(rows), Ok(counts)) = (self.store.schedules().await, self.store.all_schedule_counts().await) else {
            return;
        };
        let none = BTreeMap::new();
        let configured = self.apps.iter().map(|app| &app.name);
        for app in rows.iter().map(|row| &row.app).chain(configured).collect::<BTreeSet<_>>() {
            let here: Vec<_> = rows.iter().filter(|row| row.app == *app).collect();
            let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
            for state in ScheduleState::ALL {
                let n = here.iter().filter(|row| row.state(counts.get(&row.id).unwrap_or(&none), now) == state).count();
                let labels = ByAppAnd { app: app.clone(), what: state.word() };
                self.metrics.schedules.get_or_create(&labels).set(number(n));
            }
            let incomplete = number(here.iter().filter(|row| row.incomplete).count());
            self.metrics.incomplete_schedules.get_or_create(&ByApp { app: app.clone() }).set(incomplete);
            let is_orphan = |row: &&&ScheduleRow| row.is_orphan(counts.get(&row.id).unwrap_or(&none), now);
            let orphaned = number(here.iter().filter(is_orphan).count());
            self.metrics.orphaned_schedules.get_or_create(&ByApp { app: app.clone() }).set(orphaned);
            let lacks = |row: &&&ScheduleRow| row.next_at.is_some() && !row.is_configured(&self.apps);
            let unconfigured = number(here.iter().filter(lacks).count());
            self.metrics.unconfigured_schedules.get_or_create(&ByApp { app: app.clone() }).set(unconfigured);
            let unprepared = here.iter().filter_map(|row| row.unprepared_for(now)).max().unwrap_or_default();
            self.metrics.unprepared.get_or_create(&ByApp { app: app.clone() }).set(seconds(unprepared));
        }
    }

    async fn measure_database(&self) {
        if let Ok(sizes) = self.store.sizes().await {
            self.metrics.database_bytes.set(sizes.database);
            self.metrics.wal_bytes.set(sizes.wal);
        }
        self.metrics.last_backup.set(seconds(self.store.last_backup()));
    }

    async fn measure_store(&self, now: Millis) {
        self.measure_schedules(now).await;
        if let Ok(problems) = self.store.folder_problems().await {
            self.metrics.folder_problems.set(i64::try_from(problems.len()).unwrap_or(i64::MAX));
        }
        let Ok(tally) = self.store.tally().await else { return };
        for (app, counts) in tally {
            let count = |name: &str| counts.get(name).copied().unwrap_or_default();
            for state in State::ALL {
                let labels = ByAppAnd { app: app.clone(), what: state.word() };
                self.metrics.reminders.get_or_create(&labels).set(count(state.word()));
            }
            for what in ["available", "held", "used", "void"] {
                let labels = ByAppAnd { app: app.clone(), what };
                self.metrics.consents.get_or_create(&labels).set(count(&format!("consent_{what}")));
            }
            let by_app = ByApp { app: app.clone() };
            self.metrics.drift.get_or_create(&by_app).set(count("drift"));
            if let Ok((oldest, n)) = self.store.overdue_of(&app, now).await {
                self.metrics.due.get_or_create(&by_app).set(n);
                self.metrics.oldest_overdue.get_or_create(&by_app).set(seconds(oldest.map_or(0, |at| now - at)));
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "durations are far below 2^52 ms")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}
