//! A marketer's file over HTTP: planned, loaded, tried.

use super::{
    Api,
    auth::Caller,
    extract::{Query, json},
    plan_schema::{PlanSchema, TrialSchema},
    problem::Problem,
    schema::Ndjson,
    uploads::{Upload, disk, receive},
};
use crate::{
    domain::{schedule::Change, timing::rfc3339},
    schedule::{
        compare::{Compared, Failure},
        load::{Loaded, Office, Options, Planning, Progress, Ready, Stage},
        plan::Plan,
    },
    store::keys::Scope,
    words::{Voice, say},
};
use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use utoipa::ToSchema;

/// Files worked on at once; more wait.
pub(super) const AT_ONCE: usize = 3;
/// How long one waits for its turn.
const TURN: Duration = Duration::from_secs(60);
/// Time for all files of a request to arrive: who sends them drop by drop must not keep others from their turn.
const WHOLE: Duration = Duration::from_secs(600);
/// Lines of an answer that wait for their reader.
const LINES: usize = 64;
/// Who reads nothing for so long is let go.
const UNREAD: Duration = Duration::from_secs(30);

/// A schedule's file and its tables.
#[derive(Debug, ToSchema)]
#[schema(as = ScheduleFiles)]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub struct FilesBody {
    /// The TOML, at most 256 KiB. A part for each table follows, under the name by which the file calls it.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    schedule: String,
}

/// What a plan or a load may do.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct FileQuery {
    /// Answer NDJSON with a line for each reminder before the last line.
    reminders: bool,
    /// One wrong row and nothing is loaded.
    strict: bool,
    /// It may cancel most of what waits.
    allow_removals: bool,
    /// It may bring a cancelled schedule back.
    revive: bool,
    /// The digest of the plan that was seen.
    #[param(nullable = false)]
    digest: Option<String>,
    /// Where the file lies. For the command line on the daemon's machine.
    #[param(nullable = false)]
    path: Option<String>,
}

impl FileQuery {
    /// What a plan or a load of this caller may do.
    fn options(self, caller: &Caller) -> Options {
        let Self { strict, allow_removals, revive, digest, .. } = self;
        Options { strict, allow_removals, revive, digest, by: caller.name().to_owned(), in_folder: false }
    }
}

/// What a load of the file may do: what is wrong depends on that.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AnnotateQuery {
    /// It may cancel most of what waits.
    allow_removals: bool,
    /// It may bring a cancelled schedule back.
    revive: bool,
}

impl From<AnnotateQuery> for FileQuery {
    fn from(AnnotateQuery { allow_removals, revive }: AnnotateQuery) -> Self {
        Self { allow_removals, revive, ..Self::default() }
    }
}

/// Which row, and to whom.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct TryQuery {
    /// The row's key; the first right row without it.
    #[param(nullable = false)]
    key: Option<String>,
    /// One tester; all of the app's without it.
    #[param(nullable = false)]
    to: Option<String>,
}

/// Plan a schedule's file: who would get what and when, and what is wrong. Nothing is written.
#[utoipa::path(post, path = "/v1/schedules/plan", operation_id = "plan_schedule", tag = "schedules", params(FileQuery),
    request_body(content = FilesBody, content_type = "multipart/form-data"), responses(
    (status = 200, description = "The plan, whatever rows were refused; as NDJSON with progress and reminders before it, where that is asked for",
    content((PlanSchema = "application/json"), (Ndjson = "application/x-ndjson"))),
    (status = 422, description = "The file can't be used; `problems` says why")))]
pub async fn plan(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<FileQuery>,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    api.work(caller, voice, query, request, false).await
}

/// Load a schedule's file. Safe to repeat: the same file again changes nothing.
#[utoipa::path(post, path = "/v1/schedules/apply", operation_id = "apply_schedule", tag = "schedules", params(FileQuery),
    request_body(content = FilesBody, content_type = "multipart/form-data"), responses(
    (status = 200, description = "The plan, and `loaded`: what was written; as NDJSON with progress before it, where that is asked for",
    content((PlanSchema = "application/json"), (Ndjson = "application/x-ndjson"))),
    (status = 409, description = "`plan_changed`, `busy`"),
    (status = 422, description = "The file can't be used; `problems` says why")))]
pub async fn apply(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<FileQuery>,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    api.must_not_be_on_hold().await?;
    api.work(caller, voice, query, request, true).await
}

/// Send one row's message now, to the app's testers alone.
#[utoipa::path(post, path = "/v1/schedules/try", operation_id = "try_schedule", tag = "schedules", params(TryQuery),
    request_body(content = FilesBody, content_type = "multipart/form-data"), responses(
    (status = 200, description = "Whom it goes to", body = TrialSchema),
    (status = 422, description = "The file can't be used, or nobody is to get it")))]
pub async fn attempt(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<TryQuery>,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    api.must_not_be_on_hold().await?;
    let (_turn, upload) = api.receive(&caller, request).await?;
    if !upload.input.has_schedule {
        return Err(Problem::new("no_file", say!("no_schedule_part")));
    }
    let office = api.office();
    let mut trial = office.trial(Arc::new(upload.input.clone()), query.key.as_deref()).await.map_err(failure)?;
    caller_may_touch(&caller, trial.plan.app.as_deref())?;
    match office.send_trial(&mut trial, query.to.as_deref(), caller.name()).await.map_err(failure)? {
        Some(tried) => Ok(json(StatusCode::OK, &tried.json())),
        None => Err(refused(&trial.plan, voice)),
    }
}

fn caller_may_touch(caller: &Caller, app: Option<&str>) -> Result<(), Problem> {
    app.map_or(Ok(()), |app| caller.may_touch(app))
}

fn failure(failure: Failure) -> Problem {
    match failure {
        Failure::Store(error) => error.into(),
        Failure::Disk(error) => disk(error),
    }
}

/// A file that can't be used, with all that is known of it.
fn refused(plan: &Plan, voice: Voice) -> Problem {
    let first = plan.problems.list.first();
    let code = first.map_or("internal", |problem| problem.code);
    let detail = first.map_or_else(|| say!("fault_of_tixing"), |problem| problem.detail.clone());
    let Value::Object(more) = plan.json(voice) else { unreachable!("a plan is an object") };
    Problem { more: Some(Arc::new(more)), ..Problem::new(code, detail).in_zone(plan.zone) }
}

impl Api {
    /// What planning and loading need.
    pub fn office(&self) -> Office {
        let (config, store) = (Arc::clone(&self.config), self.store.clone());
        let (clock, reader) = (Arc::clone(&self.clock), Arc::clone(&self.reader));
        Office { config, store, clock, reader, batches: Default::default() }
    }

    /// Waits for a turn, and takes in what comes with the request.
    pub(super) async fn receive(
        &self,
        caller: &Caller,
        request: Request,
    ) -> Result<(tokio::sync::OwnedSemaphorePermit, Upload), Problem> {
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.files).acquire_owned()).await;
        let turn = turn.map_err(|_| Problem::new("too_many", say!("files_under_way", most = AT_ONCE)))?;
        let turn = turn.expect("never closed");
        let upload = tokio::time::timeout(WHOLE, receive(request, !caller.is_owner())).await;
        let upload =
            upload.map_err(|_| Problem::new("too_slow", say!("upload_takes_too_long", limit = WHOLE.as_secs())))??;
        // Waiting and uploading take their time.
        self.still_knows(caller)?;
        Ok((turn, upload))
    }

    /// What a plan of these files says, also where they can't be used, and by which zone people read it.
    pub(super) async fn planned(
        &self,
        caller: &Caller,
        voice: Voice,
        query: FileQuery,
        upload: &Upload,
    ) -> Result<(Value, Option<chrono_tz::Tz>), Problem> {
        if !upload.input.has_schedule {
            return Err(Problem::new("no_file", say!("no_schedule_part")));
        }
        let mut input = upload.input.clone();
        input.path = query.path.clone().filter(|_| caller.is_owner());
        let options = query.options(caller);
        let progress: Progress = Arc::new(|_, _| {});
        let planning = self.office().plan(Arc::new(input), &options, &progress).await.map_err(failure)?;
        caller_may_touch(caller, planning.plan.app.as_deref())?;
        Ok((planning.plan.json(voice.in_zone(planning.plan.zone)), planning.plan.zone))
    }

    async fn work(
        self,
        caller: Caller,
        voice: Voice,
        query: FileQuery,
        request: Request,
        loads: bool,
    ) -> Result<Response, Problem> {
        let accepts = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let lines = query.reminders || accepts.contains("application/x-ndjson");
        let (turn, mut upload) = self.receive(&caller, request).await?;
        if !upload.input.has_schedule {
            return Err(Problem::new("no_file", say!("no_schedule_part")));
        }
        upload.input.path = query.path.clone().filter(|_| caller.is_owner());
        let (reminders, options) = (query.reminders, query.options(&caller));
        let (tell, told) = mpsc::channel(LINES);
        let job = Job { office: self.office(), caller, voice, options, loads, reminders };
        let task = tokio::spawn(async move {
            // Until the end: the folder with the tables, and the turn.
            let (_turn, upload) = (turn, upload);
            job.run(Arc::new(upload.input.clone()), lines.then_some(tell)).await
        });
        if lines {
            return Ok(stream(task, told, voice, loads));
        }
        // A load goes on when its caller goes away; a plan does not.
        let done = match loads {
            true => task.await,
            false => AbortOnDropHandle::new(task).await,
        };
        done.unwrap_or_else(|_| Err(Problem::new("internal", say!("fault_of_tixing"))))
            .map(|answer| json(StatusCode::OK, &answer))
    }
}

/// The lines of an answer as they come; the last one is the plan or a problem.
fn stream(
    task: tokio::task::JoinHandle<Result<Value, Problem>>,
    mut told: mpsc::Receiver<Bytes>,
    voice: Voice,
    loads: bool,
) -> Response {
    let (send, sent) = mpsc::channel::<Bytes>(4);
    tokio::spawn(async move {
        let abort = task.abort_handle();
        while let Some(line) = told.recv().await {
            if send.send_timeout(line, UNREAD).await.is_err() {
                if !loads {
                    abort.abort();
                }
                break;
            }
        }
        drop(told);
        let last = match task.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(problem)) => serde_json::to_value(problem.json(None, voice)).expect("texts serialise"),
            Err(_) => return,
        };
        let _ = send.send_timeout(format!("{last}\n").into(), UNREAD).await;
    });
    let lines =
        futures_util::stream::unfold(sent, async |mut sent| Some((Ok::<_, Infallible>(sent.recv().await?), sent)));
    let mut response = Body::from_stream(lines).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

/// One file's way.
struct Job {
    office: Office,
    caller: Caller,
    voice: Voice,
    options: Options,
    loads: bool,
    reminders: bool,
}

impl Job {
    async fn run(
        self,
        input: Arc<crate::schedule::gather::Input>,
        tell: Option<mpsc::Sender<Bytes>>,
    ) -> Result<Value, Problem> {
        let progress: Progress = match &tell {
            Some(tell) => {
                let tell = tell.clone();
                // Nobody's reading stops the work: a word of progress that finds no place is left out.
                Arc::new(move |stage: Stage, n| {
                    let _ = tell.try_send(format!("{}\n", json!({ "progress": { "stage": stage, "rows": n } })).into());
                })
            }
            None => Arc::new(|_, _| {}),
        };
        let mut planning = self.office.plan(Arc::clone(&input), &self.options, &progress).await.map_err(failure)?;
        caller_may_touch(&self.caller, planning.plan.app.as_deref())?;
        let mut loaded = None;
        if self.loads {
            let done = self.office.load(&input, &mut planning, &self.options, &progress).await;
            loaded = done.map_err(failure)?;
        }
        let Planning { plan, ready } = &planning;
        if plan.refused {
            return Err(refused(plan, self.voice));
        }
        if let (true, Some(ready), Some(tell)) = (self.reminders, ready, &tell) {
            list(&ready.compared, tell).await.map_err(failure)?;
        }
        let mut answer = plan.json(self.voice);
        if self.loads {
            answer["loaded"] = loaded.map_or(Value::Null, |loaded: Loaded| json!(loaded));
            let name = plan.schedule.as_deref().unwrap_or_default();
            let row = self.office.store.schedule(name).await.map_err(Problem::from)?;
            answer["paused_at"] = json!(row.and_then(|row| row.paused_at).map(rfc3339));
            let next = ready.as_ref().and_then(Ready::next_to_prepare);
            answer["next_to_prepare"] = next.map_or(
                Value::Null,
                |(event, prepare_at)| json!({ "event": rfc3339(event), "prepare_at": rfc3339(prepare_at) }),
            );
        }
        Ok(answer)
    }
}

/// A line for each reminder, in the order of the file; then those that the file no longer has.
async fn list(compared: &Compared, tell: &mpsc::Sender<Bytes>) -> Result<(), Failure> {
    const PAGE: usize = 500;
    let places: Vec<u32> =
        compared.spooled.in_order().filter(|place| compared.changes[*place as usize].is_some()).collect();
    for places in places.chunks(PAGE) {
        let (spooled, some) = (Arc::clone(&compared.spooled), places.to_vec());
        let read = tokio::task::spawn_blocking(move || spooled.read(&some)).await;
        let planned = read.map_err(std::io::Error::other)??;
        let mut lines = String::new();
        for (place, planned) in places.iter().zip(planned) {
            let change = compared.changes[*place as usize].map_or("", Change::word);
            let data: Value = serde_json::from_str(&planned.data).unwrap_or_default();
            let (at, expires_at) = compared.terms.moved(&planned);
            let line = json!({
                "row": planned.row,
                "key": planned.key,
                "openid": planned.openid,
                "occasion": planned.occasion,
                "event": rfc3339(planned.event),
                "at": rfc3339(at),
                "expires_at": rfc3339(expires_at),
                "page": planned.page,
                "data": data,
                "change": change,
            });
            lines += &format!("{line}\n");
        }
        if tell.send_timeout(lines.into(), UNREAD).await.is_err() {
            return Ok(());
        }
    }
    for left in &compared.removed {
        let line: Map<String, Value> = [
            ("row", Value::Null),
            ("key", left.key.clone().into()),
            ("openid", left.openid.clone().into()),
            ("occasion", left.occasion.clone().into()),
            ("at", rfc3339(left.at).into()),
            ("expires_at", rfc3339(left.expires_at).into()),
            ("change", Change::Removed.word().into()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        if tell.send_timeout(format!("{}\n", Value::Object(line)).into(), UNREAD).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
