//! `/v1/schedules/{name}/report`: how it went, as JSON and as a workbook.

use super::{Api, auth::Caller, extract::json, problem::Problem, uploads::disk};
use crate::{
    domain::{Millis, reminder::State as ReminderState, timing::rfc3339},
    platform::facts::Facts,
    schedule::{
        plan::told,
        report::{
            Known, Report,
            book::{Book, Row},
        },
    },
    store::{
        keys::Scope,
        lists::Filter,
        port::Queue,
        reminders::Stored,
        schedule_report::Went,
        schedules::{ScheduleRow, ScheduleState},
    },
    words::{Message, Voice, say, word::word},
};
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use chrono_tz::Tz;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Seek,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;

/// Reminders of one page of the workbook's rows.
const PAGE: usize = 1_000;
/// What spreadsheets call a workbook.
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// What stands in the name of a file as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// How a schedule went.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScheduleReport)]
pub struct ReportJson {
    schedule: String,
    app: String,
    template: String,
    state: ScheduleState,
    /// By which people read the hours.
    timezone: String,
    /// When it was counted.
    #[schema(format = DateTime)]
    as_of: String,
    /// How many came how far, in order. `rows` and `right` are rows, `with_consent` and those after it are users. Steps that are not known are
    /// left out: those before `planned` of a schedule that recurs, and `delivered` where the platform has reported nothing.
    steps: Vec<StepJson>,
    /// Why the others did not come so far, in the order of steps, the most first.
    losses: Vec<LossJson>,
    /// By the hour in which they ended, or are due.
    hours: Vec<HourJson>,
}

/// How many came to a step.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportStep)]
pub struct StepJson {
    /// `rows`, `right`, `with_consent`, `planned`, `sent` or `delivered`.
    step: &'static str,
    n: i64,
    /// Of the first step, from 0 to 1; null if nobody came to that.
    #[schema(required = true)]
    share: Option<f64>,
}

/// Why some did not come to a step.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportLoss)]
pub struct LossJson {
    /// The step that they did not come to.
    step: &'static str,
    /// Where their reminders stand; null of those who have none.
    #[schema(required = true)]
    state: Option<String>,
    /// One word, or the platform's code.
    reason: String,
    /// Rows before `right`, users before `planned`, and reminders after it.
    n: i64,
    /// What it means, in the caller's language.
    detail: String,
    /// What helps, if anything does.
    #[schema(required = true)]
    advice: Option<String>,
}

/// The reminders of an hour.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportHour)]
pub struct HourJson {
    /// When it begins.
    #[schema(format = DateTime)]
    hour: String,
    /// How many stand where.
    reminders: BTreeMap<&'static str, i64>,
}

/// A workbook (XLSX).
#[derive(Debug, ToSchema)]
#[schema(as = Workbook, value_type = String, format = Binary)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct BookSchema(Vec<u8>);

/// What both forms of a report are made of.
struct Counted {
    row: ScheduleRow,
    report: Report,
    state: ScheduleState,
    zone: Tz,
    platform: Option<&'static Facts>,
    voice: Voice,
    as_of: Millis,
}

/// What was counted of schedules last: with which counts of the store, and when, by the process's clock and by the world's.
pub(super) type Remembered = Mutex<HashMap<i64, (BTreeMap<String, i64>, Instant, Millis, Arc<Went>)>>;

/// Schedules of which that is remembered.
const REMEMBERED: usize = 64;
/// What was counted is told again for so long, if nothing has moved since; later receipts may have come.
const FRESH: Duration = Duration::from_secs(30);
/// The same of a schedule that has ended.
const FRESH_ENDED: Duration = Duration::from_secs(600);

impl Api {
    /// What is counted of a schedule's reminders, and when it was. All of them are looked at, so one at a time counts.
    async fn went(
        &self,
        schedule: i64,
        counts: &BTreeMap<String, i64>,
        is_over: bool,
    ) -> Result<(Arc<Went>, Millis), Problem> {
        let mut remembered = self.reports.lock().await;
        let fresh = if is_over { FRESH_ENDED } else { FRESH };
        if let Some((then, at, as_of, went)) = remembered.get(&schedule)
            && then == counts
            && at.elapsed() < fresh
        {
            return Ok((Arc::clone(went), *as_of));
        }
        let as_of = self.clock.now();
        let went = Arc::new(self.store.schedule_went(schedule).await?);
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(schedule, (counts.clone(), Instant::now(), as_of, Arc::clone(&went)));
        Ok((went, as_of))
    }

    async fn counted(&self, caller: &Caller, name: &str, voice: Voice) -> Result<Counted, Problem> {
        caller.may(Scope::Read)?;
        let row = self.visible_schedule(caller, name).await?;
        let zone: Tz = row.zone.parse().unwrap_or(Tz::UTC);
        let counts = self.store.schedule_counts(row.id).await?;
        let is_over = row.state(&counts, self.clock.now()) == ScheduleState::Ended;
        let (went, as_of) = self.went(row.id, &counts, is_over).await?;
        let load = row.report.as_deref().map(|stored| told(stored, voice)).unwrap_or_default();
        let platform = self.config.apps.iter().find(|app| app.name == row.app).map(|app| app.platform);
        let known = Known { load: &load, recurs: row.since.is_some(), counts: &counts, went: &went, platform, zone };
        let report = Report::of(&known);
        let (state, voice) = (row.state(&counts, as_of), voice.in_zone(Some(zone)));
        Ok(Counted { row, report, state, zone, platform, voice, as_of })
    }
}

/// How it went: how many came how far, why the others did not, and when.
#[utoipa::path(get, path = "/v1/schedules/{name}/report", operation_id = "report_schedule", tag = "schedules",
    params(("name" = String, Path)), responses((status = 200, description = "Counted now, or as nothing has moved since: at most 30 seconds ago, ten minutes of one that has ended", body = ReportJson)))]
pub async fn report(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let Counted { row, report, state, zone, voice, as_of, .. } = api.counted(&caller, &name, voice).await?;
    let first = report.steps.first().map_or(0, |(_, n)| *n);
    let share = |n: i64| (first > 0).then(|| (n as f64 / first as f64 * 10_000.0).round() / 10_000.0);
    let steps = report.steps.iter().map(|(step, n)| StepJson { step: step.word(), n: *n, share: share(*n) }).collect();
    let loss = |loss: crate::schedule::report::Loss| LossJson {
        step: loss.step.word(),
        detail: loss.why.say(voice),
        advice: loss.advice.map(|advice| advice.say(voice)),
        state: loss.state,
        reason: loss.reason,
        n: loss.n,
    };
    let hour = |(hour, reminders)| HourJson { hour: voice.time(hour).replacen(' ', "T", 1), reminders };
    let answer = ReportJson {
        schedule: row.name,
        app: row.app,
        template: row.template,
        state,
        timezone: zone.name().to_owned(),
        as_of: rfc3339(as_of),
        steps,
        losses: report.losses.into_iter().map(loss).collect(),
        hours: report.hours.into_iter().map(hour).collect(),
    };
    Ok(json(StatusCode::OK, &answer))
}

/// The same as a workbook, with each reminder and what became of it. A key with the scope `read` sees users by their pseudonyms.
#[utoipa::path(get, path = "/v1/schedules/{name}/report.xlsx", operation_id = "download_schedule_report", tag = "schedules",
    params(("name" = String, Path)), responses((status = 200, description = "A sheet of the report, and sheets of reminders",
    body = BookSchema, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))]
pub async fn workbook(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let file = {
        let _turn = api.books.acquire().await;
        let counted = api.counted(&caller, &name, voice).await?;
        api.written(counted, caller.may(Scope::Write).is_ok()).await?
    };
    as_book(file, &format!("{name}-report.xlsx"))
}

/// A file that has no name, as a workbook under this one.
pub(super) fn as_book(file: File, name: &str) -> Result<Response, Problem> {
    let length = file.metadata().map_err(disk)?.len();
    let body = Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(file)));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let named = format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(name, PLAIN));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(XLSX));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::try_from(named).expect("it is ASCII"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Api {
    /// The workbook in a file that has no name, at its beginning.
    async fn written(&self, counted: Counted, with_openids: bool) -> Result<File, Problem> {
        let Counted { row: schedule, report, zone, platform, voice, .. } = counted;
        let name = schedule.name.clone();
        let begin = move || Book::begin(&name, &report, voice, zone, &std::env::temp_dir());
        let mut book = aside(begin).await?;
        let mut filter =
            Filter { apps: vec![schedule.app.clone()], schedule: Some(schedule.id), limit: PAGE, ..Filter::default() };
        loop {
            let page = self.store.page(&filter, self.list_time).await?.expect("only of one user there may be none");
            let user = |stored: &Stored| match with_openids {
                true => stored.openid.clone(),
                false => self.store.pseudonym(&stored.openid),
            };
            let rows: Vec<Row> = page.items.iter().map(|stored| row(stored, user(stored), platform)).collect();
            book = aside(move || rows.iter().try_for_each(|row| book.add(row)).map(|()| book)).await?;
            match page.next {
                Some(next) => filter.after = Some(next),
                None => break,
            }
        }
        aside(move || {
            let mut file = tempfile::tempfile().map_err(|e| unwritten(&e))?;
            book.finish(&mut file)?;
            file.rewind().map_err(|e| unwritten(&e))?;
            Ok(file)
        })
        .await
    }
}

/// What became of a reminder.
fn row(stored: &Stored, user: String, platform: Option<&'static Facts>) -> Row {
    let (state, reason) = (stored.due.state, stored.reason.as_deref());
    let why = reason.filter(|_| !matches!(state, ReminderState::Sent)).map(|code| {
        let meaning = platform.and_then(|platform| platform.meaning(code));
        meaning.map_or_else(|| word(code), |meaning| say!("loss_code", code = code, meaning = meaning))
    });
    let origin = stored.origin.as_ref();
    Row {
        row: origin.and_then(|origin| origin.row),
        key: origin.and_then(|origin| origin.key.clone()),
        user,
        occasion: origin
            .map(|origin| [&*origin.occasion, &*origin.occurrence].join(" ").trim().to_owned())
            .unwrap_or_default(),
        id: stored.due.id.to_string(),
        at: stored.due.at,
        state: word(state.word()),
        sent_at: stored.sent_at(),
        delivered: stored.delivered,
        why,
    }
}

/// Work on files, where it keeps nobody from being answered.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Message> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Problem::new("internal", say!("fault_of_tixing")))?.map_err(|why| {
        tracing::warn!(error = %why, "the folder for temporary files failed");
        Problem::new("unavailable", why)
    })
}

/// A file could not be written.
pub(super) fn unwritten(e: &std::io::Error) -> Message {
    say!("annotate_unwritten", why = e.to_string())
}
