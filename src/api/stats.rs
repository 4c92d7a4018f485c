//! `/v1/stats`: how each app stands.

use super::{
    Api,
    auth::Caller,
    check::OfApp,
    extract::{Query, json},
    problem::Problem,
    templates::{OutOfStep, out_of_step},
};
use crate::{
    domain::{MINUTE, Millis, consent::Balance, reminder::State as ReminderState, timing::rfc3339},
    engine::signals::LaneStatus,
    store::{hold::HoldTold, schedules::ScheduleRow},
    words::{Message, Voice},
};
use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How all apps stand.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stats {
    #[schema(format = DateTime)]
    now: String,
    /// Why nothing is sent, if the clock is distrusted.
    #[schema(required = true)]
    clock_distrusted: Option<String>,
    /// The old name of `clock_distrusted`.
    #[schema(required = true, deprecated)]
    clock_held: Option<String>,
    /// If the store is on hold: from here on it is not known what was sent.
    #[schema(required = true, format = DateTime)]
    held_since: Option<String>,
    /// Why.
    #[schema(required = true)]
    hold: Option<HoldTold>,
    /// Apps that the configuration does not name any more.
    unconfigured: Vec<Unconfigured>,
    /// Schedules whose load was cut off, or is under way: the same file again completes them.
    incomplete_schedules: Vec<String>,
    /// Schedules whose files are gone from the watched folder, and that may still send.
    orphaned_schedules: Vec<String>,
    /// Files of the watched folder that can't be loaded, for keys of all apps.
    #[schema(required = true)]
    folder_problems: Option<u64>,
    /// Schedules that go on though the configuration does not name their app or template any more.
    unconfigured_schedules: Vec<String>,
    /// Recurring schedules whose next occurrence can't be prepared, or that nobody prepares.
    unprepared_schedules: Vec<Unprepared>,
    apps: Vec<AppStats>,
}

/// An app that the configuration does not name any more.
#[derive(Debug, Serialize, ToSchema)]
pub struct Unconfigured {
    app: String,
    /// Reminders that have not ended.
    waiting: i64,
}

/// A recurring schedule whose next occurrence is not prepared.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnpreparedSchedule)]
pub struct Unprepared {
    name: String,
    /// Why it can't be; null if nobody has tried.
    #[schema(required = true)]
    why: Option<String>,
    /// For how long it should have been looked at.
    #[schema(value_type = i64)]
    late_ms: Millis,
}

/// A schedule that nobody has looked at for so long is told of.
const LONG: Millis = 5 * MINUTE;

impl Unprepared {
    fn of(row: &ScheduleRow, now: Millis, voice: Voice) -> Option<Self> {
        let late_ms = row.unprepared_for(now).unwrap_or_default();
        let why = row.recur_problem.as_deref().filter(|_| row.next_at.is_some());
        let why = why.and_then(|why| serde_json::from_str::<Message>(why).ok()).map(|why| why.say(voice));
        (why.is_some() || late_ms >= LONG).then(|| Self { name: row.name.clone(), why, late_ms })
    }
}

/// How one app stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppStats {
    app: String,
    reminders: ReminderCounts,
    consents: Balance,
    receipts: ReceiptCounts,
    /// Refusals for want of a consent that the ledger had.
    drift: i64,
    in_doubt: i64,
    /// Reminders whose instant has come.
    due: i64,
    /// How long the oldest of them has been due.
    oldest_overdue_ms: i64,
    #[schema(required = true, format = DateTime)]
    next_due: Option<String>,
    /// Sends per second for now; none without a daemon.
    #[schema(required = true)]
    rate: Option<u32>,
    suspended_templates: Vec<SuspendedTemplate>,
    /// The old name of `suspended_templates`.
    #[schema(deprecated)]
    held_templates: Vec<SuspendedTemplate>,
    out_of_step: Vec<OutOfStep>,
    /// Codes that neither the platform's table nor the app's `codes` lists, as it answered them since the start.
    unlisted_codes: Vec<UnlistedCode>,
    #[schema(required = true)]
    quota: Option<DayQuota>,
    #[schema(required = true)]
    paused: Option<Paused>,
    /// Since when an operator has paused it: nothing of it is sent until somebody resumes it.
    #[schema(required = true, format = DateTime)]
    paused_at: Option<String>,
}

/// A code that nobody has listed.
#[derive(Debug, Serialize, ToSchema)]
pub struct UnlistedCode {
    code: String,
    /// How often it came.
    n: u64,
}

/// Reminders by state.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReminderCounts {
    scheduled: i64,
    sending: i64,
    in_doubt: i64,
    sent: i64,
    failed: i64,
    expired: i64,
    cancelled: i64,
    unconfirmed: i64,
}

/// Receipts that came.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiptCounts {
    delivered: i64,
    undelivered: i64,
}

/// A template of which nothing is sent for now, since the platform keeps refusing its messages.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SuspendedTemplate {
    template: String,
    /// The platform's.
    code: String,
    why: String,
    /// When it is tried again.
    #[schema(format = DateTime)]
    until: String,
}

/// The platform's quota of sends for today.
#[derive(Debug, Serialize, ToSchema)]
pub struct DayQuota {
    limit: i64,
    used: i64,
    left: i64,
    #[schema(format = DateTime)]
    asked_at: String,
}

/// Why an app sends nothing for now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Paused {
    /// The platform's, or a word.
    code: String,
    why: String,
    /// When one message is tried.
    #[schema(format = DateTime)]
    until: String,
}

/// How many there are of each, how late the oldest is, what holds an app up.
#[utoipa::path(get, path = "/v1/stats", operation_id = "show_stats", tag = "operations", params(OfApp), responses(
    (status = 200, description = "By app", body = Stats)))]
pub async fn stats(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<OfApp>,
) -> Result<Response, Problem> {
    query.check(&api, &caller)?;
    let now = api.clock.now();
    let status = api.signals.as_ref().map(|signals| signals.status()).unwrap_or_default();
    let hold = api.store.hold().await?;
    let mut apps = Vec::new();
    for (app, counts) in api.store.tally().await? {
        let configured = api.config.apps.iter().find(|a| a.name == app);
        let Some(configured) = configured.filter(|_| query.covers(&caller, &app)) else { continue };
        let queue =
            Queue { overdue: api.store.overdue_of(&app, now).await?, next: api.store.next_due_of(&app, now).await? };
        let out_of_step = out_of_step(&api, configured, voice);
        let live = status.lanes.get(&app);
        let voice = voice.in_zone(configured.timezone);
        let paused_at = api.store.app_paused_since(&app).map(rfc3339);
        let stats = AppStats::of(app, &counts, &queue, live, out_of_step, voice, now);
        apps.push(AppStats { paused_at, ..stats });
    }
    let unconfigured = api.store.unconfigured().await?.into_iter().filter(|(app, _)| query.covers(&caller, app));
    let Lacking { incomplete_schedules, orphaned_schedules, unconfigured_schedules, unprepared_schedules } =
        api.lacking(&query, &caller, voice, now).await?;
    let folder_problems = match caller.sees_all() {
        true => Some(api.store.folder_problems().await?.len() as u64),
        false => None,
    };
    let clock_distrusted = status.clock_distrusted.map(|why| why.say(voice));
    let stats = Stats {
        now: rfc3339(now),
        clock_held: clock_distrusted.clone(),
        clock_distrusted,
        held_since: hold.as_ref().map(|hold| rfc3339(hold.since)),
        hold: hold.as_ref().map(|hold| hold.told(api.config.zone())),
        unconfigured: unconfigured.map(|(app, waiting)| Unconfigured { app, waiting }).collect(),
        incomplete_schedules,
        orphaned_schedules,
        folder_problems,
        unconfigured_schedules,
        unprepared_schedules,
        apps,
    };
    Ok(json(StatusCode::OK, &stats))
}

impl Api {
    async fn lacking(&self, query: &OfApp, caller: &Caller, voice: Voice, now: Millis) -> Result<Lacking, Problem> {
        let (counts, none) = (self.store.all_schedule_counts().await?, BTreeMap::new());
        let mut lacking = Lacking::default();
        for row in self.store.schedules().await? {
            if !query.covers(caller, &row.app) {
                continue;
            }
            let waits = counts.get(&row.id).and_then(|counts| counts.get("scheduled")).is_some_and(|n| *n > 0);
            if (waits || row.next_at.is_some()) && !row.is_configured(&self.config.apps) {
                lacking.unconfigured_schedules.push(row.name.clone());
            }
            if row.is_orphan(counts.get(&row.id).unwrap_or(&none), now) {
                lacking.orphaned_schedules.push(row.name.clone());
            }
            lacking.unprepared_schedules.extend(Unprepared::of(&row, now, voice));
            if row.incomplete {
                lacking.incomplete_schedules.push(row.name);
            }
        }
        Ok(lacking)
    }
}

/// The schedules that lack something.
#[derive(Default)]
struct Lacking {
    /// A load to its end.
    incomplete_schedules: Vec<String>,
    /// Their files, while they may still send.
    orphaned_schedules: Vec<String>,
    /// An app or a template that is configured, while something waits or is to be prepared.
    unconfigured_schedules: Vec<String>,
    /// Somebody who prepares their next occurrence.
    unprepared_schedules: Vec<Unprepared>,
}

/// The instants in an app's queue.
struct Queue {
    /// The oldest instant that has come, and how many there are.
    overdue: (Option<Millis>, i64),
    /// The first instant to come.
    next: Option<Millis>,
}

impl AppStats {
    fn of(
        app: String,
        counts: &BTreeMap<String, i64>,
        queue: &Queue,
        live: Option<&LaneStatus>,
        out_of_step: Vec<OutOfStep>,
        voice: Voice,
        now: Millis,
    ) -> Self {
        let n = |word: &str| counts.get(word).copied().unwrap_or_default();
        let of = |state: ReminderState| n(state.word());
        let suspended = live.map(|lane| lane.suspended.as_slice()).unwrap_or_default().iter();
        let suspended = suspended.map(|suspended| SuspendedTemplate {
            template: suspended.template.clone(),
            code: suspended.code.clone(),
            why: suspended.why.say(voice),
            until: rfc3339(suspended.until),
        });
        let suspended: Vec<SuspendedTemplate> = suspended.collect();
        let (oldest, due) = queue.overdue;
        Self {
            app,
            reminders: ReminderCounts {
                scheduled: of(ReminderState::Scheduled),
                sending: of(ReminderState::Sending),
                in_doubt: of(ReminderState::InDoubt),
                sent: of(ReminderState::Sent),
                failed: of(ReminderState::Failed),
                expired: of(ReminderState::Expired),
                cancelled: of(ReminderState::Cancelled),
                unconfirmed: of(ReminderState::Unconfirmed),
            },
            consents: Balance {
                available: n("consent_available"),
                held: n("consent_held"),
                used: n("consent_used"),
                void: n("consent_void"),
            },
            receipts: ReceiptCounts { delivered: n("receipt_delivered"), undelivered: n("receipt_undelivered") },
            drift: n("drift"),
            in_doubt: of(ReminderState::InDoubt),
            due,
            oldest_overdue_ms: oldest.map_or(0, |at| now - at),
            next_due: queue.next.map(rfc3339),
            rate: live.map(|lane| lane.rate),
            held_templates: suspended.clone(),
            suspended_templates: suspended,
            unlisted_codes: live
                .map(|lane| lane.unlisted.as_slice())
                .unwrap_or_default()
                .iter()
                .map(|(code, n)| UnlistedCode { code: code.clone(), n: *n })
                .collect(),
            out_of_step,
            quota: live.and_then(|lane| lane.quota).map(|asked| DayQuota {
                limit: asked.quota.limit,
                used: asked.quota.used,
                left: asked.quota.left,
                asked_at: rfc3339(asked.at),
            }),
            paused: live.and_then(|lane| lane.pause.as_ref()).map(|pause| Paused {
                code: pause.code.clone(),
                why: pause.why.say(voice),
                until: rfc3339(pause.until),
            }),
            paused_at: None,
        }
    }
}
