//! `/v1/schedules`: what was loaded, how it stands, and what is done to it.

use super::{
    Api,
    auth::Caller,
    check,
    extract::{DryRun, Json, Query, json},
    problem::Problem,
};
use crate::{
    domain::{
        Millis,
        reminder::State as ReminderState,
        schedule::Upcoming,
        timing::{cut, parse_duration, rfc3339},
    },
    schedule::plan::told,
    store::{
        folder::FolderProblem,
        keys::Scope,
        left_out::LeftOutRow,
        occurrences::OccurrenceRow,
        schedule_pause::{Paused, Resumed},
        schedule_tasks::{ShiftPlan, TaskBegun, Work},
        schedules::{Act, ScheduleRow, ScheduleState, TaskKind},
    },
    words::{Message, Voice, say},
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A schedule and how it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Schedule)]
pub struct ScheduleJson {
    name: String,
    app: String,
    /// The template's id.
    template: String,
    state: ScheduleState,
    /// A load was cut off, or is under way: the same file again completes it.
    incomplete: bool,
    /// Its file is gone; what waits still goes.
    orphaned: bool,
    /// Why its occurrences can't be prepared, or what is wrong with the file that was to be loaded last, if something is.
    #[schema(required = true)]
    problem: Option<String>,
    /// Where its file was; null if it came over HTTP.
    #[schema(required = true)]
    path: Option<String>,
    /// How many reminders the last load cancelled because its file no longer had them, if the watched folder loaded it, which asks nobody.
    removed_by_folder: u64,
    /// Of the file and its tables.
    digest: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was loaded to its end last.
    #[schema(required = true, format = DateTime)]
    loaded_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    paused_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    cancelled_at: Option<String>,
    /// By how much what waits was moved since the file was loaded.
    #[schema(value_type = i64)]
    shift_ms: Millis,
    /// The first instant of what was loaded; null of one that prepares its occurrences, each of which has its own.
    #[schema(required = true, format = DateTime)]
    first_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    last_at: Option<String>,
    /// How it recurs, in words; null if it does not.
    #[schema(required = true)]
    recurs: Option<String>,
    /// The next five occurrences of one that recurs.
    next: Vec<NextJson>,
    /// The latest occurrences of which reminders were stored, the latest first; not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    occurrences: Vec<OccurrenceJson>,
    /// The latest occurrences of which nothing was sent to anybody, the latest first; not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<LeftOutJson>,
    /// Who did what, the latest first, up to 20; not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<ActJson>,
    /// How many rows the last load refused.
    refused_rows: u64,
    /// How many people the right rows of the last load named; null of one that prepares its occurrences, and where no load has ended.
    #[schema(required = true)]
    people: Option<u64>,
    /// How many reminders there are of each state.
    reminders: BTreeMap<&'static str, i64>,
    /// Why those have ended that were not sent.
    reasons: Vec<ReasonCount>,
    /// What is being done to it.
    #[schema(required = true)]
    task: Option<TaskJson>,
    /// The file; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    text: Option<String>,
}

/// What somebody did to a schedule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScheduleAct)]
pub struct ActJson {
    #[schema(format = DateTime)]
    at: String,
    /// The name of the key; `folder` for the watched folder.
    by: String,
    /// `load`, `pause`, `resume`, `shift`, `cancel`, `try`, `orphan` or `found`.
    action: String,
    /// The digest of what was loaded, or by how much it was shifted.
    detail: String,
}

/// An occurrence to come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NextOccurrence)]
pub struct NextJson {
    #[schema(format = DateTime)]
    event: String,
    /// Of an event of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    key: Option<String>,
}

/// An occurrence of which reminders were stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Occurrence)]
pub struct OccurrenceJson {
    /// Its wall time in the schedule's zone, or the key of its event.
    name: String,
    #[schema(format = DateTime)]
    event: String,
    #[schema(format = DateTime)]
    first_at: String,
    #[schema(format = DateTime)]
    last_at: String,
    /// When all its reminders were stored; null while they are being stored.
    #[schema(required = true, format = DateTime)]
    prepared_at: Option<String>,
    /// How many people it has reminders for.
    people: i64,
}

/// An occurrence of which nothing was sent to anybody.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LeftOutOccurrence)]
pub struct LeftOutJson {
    /// Its wall time in the schedule's zone, or the key of its event.
    name: String,
    #[schema(format = DateTime)]
    event: String,
    /// `late`, `missed`, `overtaken`, `expired`, `hindered`, `on_hold` or `restored`.
    reason: &'static str,
    /// The same in the caller's language.
    detail: String,
}

impl LeftOutJson {
    fn of(row: LeftOutRow, voice: Voice) -> Self {
        let (reason, detail) = (row.why.word(), row.why.message().say(voice));
        Self { name: row.name, event: rfc3339(row.event_at), reason, detail }
    }
}

impl From<OccurrenceRow> for OccurrenceJson {
    fn from(row: OccurrenceRow) -> Self {
        Self {
            name: row.name,
            event: rfc3339(row.event_at),
            first_at: rfc3339(row.first_at),
            last_at: rfc3339(row.last_at),
            prepared_at: row.prepared_at.map(rfc3339),
            people: row.people,
        }
    }
}

/// Occurrences that are shown of a schedule: those to come, those that were prepared, and those that were left out.
const TO_COME: usize = 5;
const PREPARED: i64 = 20;
const LEFT_OUT: i64 = 20;
/// Acts that are shown of a schedule.
const HISTORY: i64 = 20;

/// The next occurrences of a schedule.
fn next(row: &ScheduleRow, now: Millis) -> Vec<NextJson> {
    // A cancelled one does not recur.
    let stored = row.upcoming.as_deref().filter(|_| row.cancelled_at.is_none());
    let all: Vec<Upcoming> = stored.and_then(|stored| serde_json::from_str(stored).ok()).unwrap_or_default();
    let ahead = all.into_iter().filter(|next| next.event > now).take(TO_COME);
    ahead.map(|next| NextJson { event: rfc3339(next.event), key: next.key }).collect()
}

/// Why nothing can be prepared, else what is wrong with the file that was to be loaded last.
fn problem(row: &ScheduleRow, report: &Value, voice: Voice) -> Option<String> {
    let hindered = row.recur_problem.as_deref().and_then(|stored| serde_json::from_str::<Message>(stored).ok());
    hindered.map(|why| why.say(voice)).or_else(|| report["problem"].as_str().map(str::to_owned))
}

/// How many reminders have ended in a state for a reason.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReasonCount {
    state: String,
    /// One word, or the platform's code.
    reason: String,
    n: i64,
}

/// What is being done to a schedule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScheduleTask)]
pub struct TaskJson {
    kind: TaskKind,
    by: String,
    #[schema(format = DateTime)]
    since: String,
    /// Whether it goes on. One that was cut off is taken up again.
    alive: bool,
    /// How far it has come.
    #[schema(required = true)]
    detail: Option<String>,
}

/// All schedules.
#[derive(Debug, Serialize, ToSchema)]
pub struct Schedules {
    items: Vec<ScheduleJson>,
    /// Files of the watched folder that can't be loaded; what they would change stays as it is.
    files: Vec<BadFile>,
}

/// A file of the watched folder that can't be loaded, or the folder itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct BadFile {
    path: String,
    /// The schedule that it names, if that can be read.
    #[schema(required = true)]
    schedule: Option<String>,
    code: String,
    /// In the caller's language.
    detail: String,
    #[schema(format = DateTime)]
    since: String,
    /// By which people read that time: of the schedule, else of its app, else of all apps if they have one in common.
    zone: String,
}

impl BadFile {
    fn of(problem: FolderProblem, zone: String, voice: Voice) -> Self {
        let detail = said(&problem, voice.in_zone(zone.parse().ok()));
        let FolderProblem { path, schedule, code, since, .. } = problem;
        Self { path, schedule, code, detail, since: rfc3339(since), zone }
    }
}

/// What is wrong with a file of the watched folder.
fn said(problem: &FolderProblem, voice: Voice) -> String {
    serde_json::from_str::<Message>(&problem.detail).map(|message| message.say(voice)).unwrap_or_default()
}

/// The problem of a schedule's file, if it has one: of the file by its path, else, since it may have been renamed, by the schedule's name.
fn of_file<'p>(row: &ScheduleRow, problems: &'p [FolderProblem]) -> Option<&'p FolderProblem> {
    let path = row.path.as_ref()?;
    let named = |problem: &&FolderProblem| {
        problem.schedule.as_ref() == Some(&row.name)
            && problem.app.as_ref() == Some(&row.app)
            && problem.code != "name_taken"
    };
    let by_path = problems.iter().find(|problem| problem.path == *path);
    by_path.or_else(|| problems.iter().filter(|_| row.in_folder).find(named))
}

/// What a pause has left behind.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResumedSchedule)]
pub struct ResumedJson {
    /// Reminders whose deadline passed in the pause.
    expired: i64,
    /// Those that go now, at the catch-up pace, until their deadlines.
    overdue: i64,
    /// Those whose instant is still ahead.
    ahead: i64,
    #[serde(flatten)]
    schedule: ScheduleJson,
}

/// What the last load said of rows and cells.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScheduleProblems {
    name: String,
    digest: String,
    #[schema(value_type = Vec<std::collections::BTreeMap<String, Value>>)]
    problems: Box<RawValue>,
    /// How many there are beyond those, by code.
    #[schema(value_type = std::collections::BTreeMap<String, i64>)]
    more_problems: Box<RawValue>,
    #[schema(value_type = Vec<std::collections::BTreeMap<String, Value>>)]
    notes: Box<RawValue>,
}

impl ScheduleJson {
    fn of(
        row: ScheduleRow,
        counts: &BTreeMap<String, i64>,
        problems: &[FolderProblem],
        now: Millis,
        voice: Voice,
    ) -> Self {
        let of_file = of_file(&row, problems).map(|problem| said(problem, voice));
        let state = row.state(counts, now);
        let report = report(&row, voice);
        let removed = report["reminders"]["removed"].as_u64().filter(|_| row.in_folder);
        let mut reminders: BTreeMap<&'static str, i64> =
            ReminderState::ALL.into_iter().map(|state| (state.word(), 0)).collect();
        let mut reasons = Vec::new();
        // What a load shows of the next occurrence is not what comes after it.
        let prepares = row.since.is_some();
        for (name, n) in counts {
            let (word, reason) = name.split_once('/').map_or((name.as_str(), None), |(word, why)| (word, Some(why)));
            if let Some(state) = ReminderState::from_word(word) {
                *reminders.entry(state.word()).or_default() += n;
            }
            reasons.extend(reason.map(|reason| ReasonCount { state: word.into(), reason: reason.into(), n: *n }));
        }
        Self {
            state,
            incomplete: row.incomplete,
            orphaned: row.orphaned_at.is_some(),
            problem: of_file.or_else(|| problem(&row, &report, voice)),
            recurs: report["recurs"].as_str().map(str::to_owned),
            next: next(&row, now),
            occurrences: Vec::new(),
            left_out: Vec::new(),
            history: Vec::new(),
            people: report["reach"]["people"].as_u64().filter(|_| !prepares),
            refused_rows: report["rows"]["refused"].as_u64().unwrap_or_default(),
            task: row.task.map(|task| TaskJson {
                kind: task.kind,
                since: rfc3339(task.since()),
                alive: task.is_alive(now),
                by: task.by,
                detail: task.detail,
            }),
            name: row.name,
            app: row.app,
            template: row.template,
            path: row.path,
            removed_by_folder: removed.unwrap_or_default(),
            digest: row.digest,
            created_at: rfc3339(row.created_at),
            loaded_at: row.loaded_at.map(rfc3339),
            paused_at: row.paused_at.map(rfc3339),
            cancelled_at: row.cancelled_at.map(rfc3339),
            shift_ms: row.shift,
            first_at: row.first_at.filter(|_| !prepares).map(rfc3339),
            last_at: row.last_at.filter(|_| !prepares).map(rfc3339),
            reminders,
            reasons,
            text: (!row.text.is_empty()).then_some(row.text),
        }
    }
}

/// What the last load said, its sentences in a language.
fn report(row: &ScheduleRow, voice: Voice) -> Value {
    row.report.as_deref().map(|stored| told(stored, voice)).unwrap_or_default()
}

impl Api {
    /// The schedule, if there is one and the caller may see it.
    pub(super) async fn visible_schedule(&self, caller: &Caller, name: &str) -> Result<ScheduleRow, Problem> {
        let schedule = self.store.schedule(name).await?.filter(|schedule| caller.sees(&schedule.app));
        schedule.ok_or_else(|| gone(name))
    }

    fn voice_of(&self, app: &str, voice: Voice) -> Voice {
        voice.in_zone(self.config.zone_of(app))
    }

    async fn schedule_now(&self, name: &str, voice: Voice) -> Result<ScheduleJson, Problem> {
        let row = self.store.schedule(name).await?.ok_or_else(|| gone(name))?;
        let (counts, problems) = (self.store.schedule_counts(row.id).await?, self.store.folder_problems().await?);
        let voice = self.voice_of(&row.app, voice);
        Ok(ScheduleJson { text: None, ..ScheduleJson::of(row, &counts, &problems, self.clock.now(), voice) })
    }

    /// By which zone people read what is said of a file, of which this much is known.
    fn zone_of(&self, schedule: Option<&ScheduleRow>, app: Option<&str>) -> String {
        let zone = app.map_or_else(|| self.config.zone(), |app| self.config.zone_of(app));
        schedule.map_or_else(|| zone.map_or("UTC", |zone| zone.name()).to_owned(), |row| row.zone.clone())
    }

    /// Works a task off, whether the caller waits or not.
    async fn work_off(&self, work: Work) -> Result<(), Problem> {
        let store = self.store.clone();
        let worked = tokio::spawn(async move { store.work_off(work).await });
        let lost = |_| Problem::new("internal", say!("fault_of_tixing"));
        // Whoever has it now works it off.
        worked.await.map_err(lost)?.map(drop).map_err(Problem::from)
    }

    /// What may have been sent before a store was restored is neither moved nor cancelled.
    pub(super) async fn must_not_be_on_hold(&self) -> Result<(), Problem> {
        match self.store.hold().await? {
            Some(hold) => {
                let why = say!("on_hold_no_change", why = hold.why());
                Err(Problem::new("on_hold", why).in_zone(self.config.zone()))
            }
            None => Ok(()),
        }
    }
}

/// The filter of a list of schedules.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SchedulesQuery {
    /// All apps of the key if left out.
    app: Option<String>,
    #[param(value_type = Option<ScheduleState>)]
    state: Option<String>,
}

/// The schedules by name, and how they stand.
#[utoipa::path(get, path = "/v1/schedules", operation_id = "list_schedules", tag = "schedules", params(SchedulesQuery), responses(
    (status = 200, description = "All of them, without their files", body = Schedules)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<SchedulesQuery>,
) -> Result<Response, Problem> {
    if let Some(app) = &query.app {
        caller.may_touch(app)?;
        check::app(&api.config, app)?;
    }
    let unknown = || {
        Problem::new("bad_query", say!("not_a_state", allowed = ScheduleState::ALL.map(ScheduleState::word)))
            .at("/state")
    };
    let state = query.state.as_deref().map(|word| ScheduleState::from_word(word).ok_or_else(unknown)).transpose()?;
    let (now, mut counts) = (api.clock.now(), api.store.all_schedule_counts().await?);
    let problems = api.store.folder_problems().await?;
    let (rows, numbers) = (api.store.schedules().await?, api.store.numbers_of_loads().await?);
    let zone = |problem: &FolderProblem| {
        let of = rows.iter().find(|row| problem.schedule.as_ref() == Some(&row.name) && caller.sees(&row.app));
        api.zone_of(of, problem.app.as_deref())
    };
    let zones: Vec<String> = problems.iter().map(zone).collect();
    let mut items = Vec::new();
    for row in rows {
        let is_wanted = caller.sees(&row.app) && query.app.as_ref().is_none_or(|app| *app == row.app);
        let counts = counts.remove(&row.id).unwrap_or_default();
        if is_wanted && state.is_none_or(|state| row.state(&counts, now) == state) {
            let voice = api.voice_of(&row.app, voice);
            // Reports are left out of lists.
            let numbers = numbers.get(&row.id).copied().unwrap_or_default();
            let removed_by_folder = if row.in_folder { numbers.removed } else { 0 };
            let people = numbers.people.filter(|_| row.since.is_none());
            items.push(ScheduleJson {
                removed_by_folder,
                refused_rows: numbers.refused,
                people,
                ..ScheduleJson::of(row, &counts, &problems, now, voice)
            });
        }
    }
    let is_wanted = |(problem, _): &(FolderProblem, String)| {
        // Whose file it is can't be told where it names no app that there is.
        let app = problem.app.as_deref().filter(|app| check::app(&api.config, app).is_ok());
        app.map_or_else(|| caller.sees_all(), |app| caller.sees(app))
            && query.app.as_deref().is_none_or(|wanted| app == Some(wanted))
    };
    let files = problems.into_iter().zip(zones).filter(is_wanted);
    let files = files.map(|(problem, zone)| BadFile::of(problem, zone, voice)).collect();
    Ok(json(StatusCode::OK, &Schedules { items, files }))
}

/// One schedule: what its file says, and how it stands.
#[utoipa::path(get, path = "/v1/schedules/{name}", operation_id = "show_schedule", tag = "schedules", params(("name" = String, Path)),
    responses((status = 200, description = "As it is now", body = ScheduleJson)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let row = api.visible_schedule(&caller, &name).await?;
    let (counts, problems) = (api.store.schedule_counts(row.id).await?, api.store.folder_problems().await?);
    let voice = api.voice_of(&row.app, voice);
    let occurrences = api.store.occurrences(row.id, PREPARED).await?.into_iter().map(OccurrenceJson::from).collect();
    let left_out = api.store.left_out(row.id, LEFT_OUT).await?;
    let left_out = left_out.into_iter().map(|one| LeftOutJson::of(one, voice)).collect();
    let act = |act: Act| ActJson { at: rfc3339(act.at), by: act.by, action: act.action, detail: act.detail };
    let history = api.store.history(row.id, HISTORY).await?.into_iter().map(act).collect();
    let schedule = ScheduleJson::of(row, &counts, &problems, api.clock.now(), voice);
    Ok(json(StatusCode::OK, &ScheduleJson { occurrences, left_out, history, ..schedule }))
}

/// What the last load said of rows and cells: 1,000 problems at most, and as many notes.
#[utoipa::path(get, path = "/v1/schedules/{name}/problems", operation_id = "list_schedule_problems", tag = "schedules",
    params(("name" = String, Path)), responses((status = 200, description = "In the caller's language", body = ScheduleProblems)))]
pub async fn problems(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let row = api.visible_schedule(&caller, &name).await?;
    let report = report(&row, api.voice_of(&row.app, voice));
    let part = |member: &str, empty: &str| {
        let text = if report[member].is_null() { empty.to_owned() } else { report[member].to_string() };
        RawValue::from_string(text).expect("it was JSON")
    };
    let (problems, more_problems, notes) = (part("problems", "[]"), part("more_problems", "{}"), part("notes", "[]"));
    let ScheduleRow { name, digest, .. } = row;
    Ok(json(StatusCode::OK, &ScheduleProblems { name, digest, problems, more_problems, notes }))
}

fn cancelled(name: &str) -> Problem {
    Problem::new("cancelled", say!("cancelled_schedule_stays", name = name))
}

fn gone(name: &str) -> Problem {
    Problem::new("not_found", say!("no_such_schedule", name = cut(name)))
}

/// Pause a schedule: no new send of it begins, and deadlines run on.
#[utoipa::path(post, path = "/v1/schedules/{name}/pause", operation_id = "pause_schedule", tag = "schedules",
    params(("name" = String, Path)), responses((status = 200, description = "It is paused, also if it was before", body = ScheduleJson),
    (status = 422, description = "`cancelled`")))]
pub async fn pause(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    let row = api.visible_schedule(&caller, &name).await?;
    match api.store.pause_schedule(&row.name, caller.name()).await? {
        Paused::Yes | Paused::Already(_) => {}
        Paused::Cancelled => return Err(cancelled(&name)),
        Paused::NotFound => return Err(gone(&name)),
    }
    tracing::warn!(schedule = name, by = caller.name(), "a schedule is paused");
    Ok(json(StatusCode::OK, &api.schedule_now(&name, voice).await?))
}

/// Let a paused schedule go on. What is overdue goes at the catch-up pace.
#[utoipa::path(post, path = "/v1/schedules/{name}/resume", operation_id = "resume_schedule", tag = "schedules",
    params(("name" = String, Path)), responses((status = 200, description = "What the pause has left behind", body = ResumedJson),
    (status = 422, description = "`cancelled`")))]
pub async fn resume(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    let row = api.visible_schedule(&caller, &name).await?;
    let (resumed, left) = api.store.resume_schedule(&row.name, caller.name(), api.clock.now()).await?;
    match resumed {
        Paused::Yes | Paused::Already(_) => {}
        Paused::Cancelled => return Err(cancelled(&name)),
        Paused::NotFound => return Err(gone(&name)),
    }
    tracing::warn!(schedule = name, by = caller.name(), "a schedule goes on");
    let Resumed { expired, overdue, ahead } = left;
    Ok(json(StatusCode::OK, &ResumedJson { expired, overdue, ahead, schedule: api.schedule_now(&name, voice).await? }))
}

/// By how much to move.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: by")]
#[schema(as = Shift, example = json!({"by": "30m"}))]
pub struct ShiftBody {
    /// A duration such as `30m` or `2h`; `-30m` moves back.
    #[schema(max_length = 40, pattern = "^-?[0-9]+(ms|s|m|min|h|d|w)$")]
    by: String,
}

impl ShiftBody {
    fn checked(&self) -> Result<Millis, Problem> {
        shift_by(&self.by)
    }
}

/// By how much a shift moves: a duration, with `-` before it backward.
pub(super) fn shift_by(text: &str) -> Result<Millis, Problem> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let bad = |why: Message| Problem::new("bad_value", why).at("/by");
    let by = parse_duration(text).map_err(bad)?;
    if by == 0 { Err(bad(say!("shift_of_nothing"))) } else { Ok(sign * by) }
}

/// What a shift does.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShiftPlan)]
pub struct ShiftPlanJson {
    /// Reminders that move.
    moves: u64,
    /// Those of them whose new instants have passed: they are sent at once.
    at_once: u64,
    /// Reminders whose deadlines would be passed: if there is one, nothing moves.
    too_far: u64,
}

impl From<ShiftPlan> for ShiftPlanJson {
    fn from(ShiftPlan { moves, at_once, too_far }: ShiftPlan) -> Self {
        Self { moves, at_once, too_far }
    }
}

/// A schedule that was shifted, or is to be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShiftedSchedule)]
pub struct ShiftedJson {
    /// As it stood just before.
    plan: ShiftPlanJson,
    #[serde(flatten)]
    schedule: ScheduleJson,
}

/// Move the instants of what waits, and the deadlines that were given as a duration. If one would be passed, nothing moves.
#[utoipa::path(post, path = "/v1/schedules/{name}/shift", operation_id = "shift_schedule", request_body = ShiftBody, tag = "schedules",
    params(("name" = String, Path), DryRun), responses((status = 200, description = "All have moved, or would", body = ShiftedJson),
    (status = 409, description = "`busy`, `on_hold`, `shift_too_far`"), (status = 422, description = "`cancelled`, `bad_value`")))]
pub async fn shift(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Path(name): Path<String>,
    Query(query): Query<DryRun>,
    Json(body): Json<ShiftBody>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    let by = body.checked()?;
    let row = api.visible_schedule(&caller, &name).await?;
    api.must_not_be_on_hold().await?;
    let plan = api.store.plan_shift(row.id, by, api.clock.now()).await?.into();
    if query.dry_run {
        let schedule = api.schedule_now(&name, voice).await?;
        return Ok(json(StatusCode::OK, &ShiftedJson { plan, schedule }));
    }
    let begun = api.store.begin_shift(&row.name, by, caller.name(), api.clock.now()).await?;
    let begun = begun.map_err(|n| Problem::new("shift_too_far", say!("shift_too_far", n = n)))?;
    api.work_off(work(begun, &name).map_err(|problem| problem.in_zone(row.zone.parse().ok()))?).await?;
    tracing::warn!(schedule = name, by = caller.name(), shift_ms = by, "a schedule was shifted");
    let schedule = api.schedule_now(&name, voice).await?;
    Ok(json(StatusCode::OK, &ShiftedJson { plan, schedule }))
}

/// Cancel a schedule: what waits ends, and its consents are free.
#[utoipa::path(delete, path = "/v1/schedules/{name}", operation_id = "cancel_schedule", tag = "schedules",
    params(("name" = String, Path)), responses((status = 200, description = "It is cancelled, also if it was before", body = ScheduleJson),
    (status = 409, description = "`busy`, `on_hold`")))]
pub async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    let row = api.visible_schedule(&caller, &name).await?;
    api.must_not_be_on_hold().await?;
    match api.store.begin_cancel(&row.name, caller.name()).await? {
        TaskBegun::Cancelled => {}
        begun => {
            tracing::warn!(schedule = name, by = caller.name(), "a schedule is cancelled");
            api.work_off(work(begun, &name).map_err(|problem| problem.in_zone(row.zone.parse().ok()))?).await?;
        }
    }
    Ok(json(StatusCode::OK, &api.schedule_now(&name, voice).await?))
}

/// The work that was begun, or why none was.
fn work(begun: TaskBegun, name: &str) -> Result<Work, Problem> {
    match begun {
        TaskBegun::Yes(work) => Ok(work),
        TaskBegun::Busy { by, since, .. } => Err(busy(&by, since)),
        TaskBegun::Cancelled => Err(cancelled(name)),
        TaskBegun::NotFound => Err(gone(name)),
    }
}

/// Something is being done to the schedule already.
fn busy(by: &str, since: Millis) -> Problem {
    Problem::new("busy", say!("schedule_busy", by = by, since = since))
}
