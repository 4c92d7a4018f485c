//! A schedule from its files to its reminders: handed in, checked, loaded. What was handed in is kept between the pages, for a day at most.

use super::{
    Console,
    ask::{error, html, part},
    card::Card,
    frame::{Frame, When, number, text},
    person::Person,
    problems::{self, Bad, SHOWN},
};
use crate::{
    config::Config,
    store::{StoreError, drafts::MAX_DRAFTS, keys::Scope},
    words::{Message, say},
};
use askama::Template;
use axum::{
    Form,
    body::{Body, Bytes},
    extract::{Multipart, Path, Query, State, multipart::Field},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use bytes::BytesMut;
use data_encoding::BASE32_NOPAD;
use futures_util::StreamExt;
use rand::RngExt;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// Bytes of a draft.
const MAX_DRAFT: usize = 64 * 1024 * 1024;
/// Bytes of a piece.
const PIECE: usize = 1024 * 1024;
/// Tables of a draft.
const MAX_TABLES: usize = 8;
/// Characters of a file's name.
const MAX_NAME: usize = 200;
/// Time without a byte after which an upload is let go.
const IDLE: Duration = Duration::from_secs(30);
/// The file of the schedule, by the name of its part.
const SCHEDULE: &str = "schedule";
/// Above so many people their number is typed.
const TYPED_ABOVE: i64 = 1_000;

#[derive(Template)]
#[template(path = "new.html", config = "src/console/askama.toml")]
struct NewPage {
    frame: Frame,
    wrong: String,
}

#[derive(Template)]
#[template(path = "check.html", config = "src/console/askama.toml")]
struct CheckPage {
    frame: Frame,
    href: String,
    name: String,
    app: String,
    wrong: String,
    verdict: String,
    /// Rows, people, consents, reminders: each with its words.
    reach: Vec<(String, String)>,
    first: Option<When>,
    last: Option<When>,
    takes: String,
    /// Messages as they will be sent, and whose they are.
    samples: Vec<(String, Card)>,
    problems: Vec<Bad>,
    more: String,
    notes: Vec<String>,
    /// What will be done, in a sentence; empty where nothing can be.
    sentence: String,
    digest: String,
    /// How many reminders go, as the reader has seen it.
    seen: i64,
    typed: bool,
    removals: bool,
}

/// What the form of the check says.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Confirmed {
    digest: String,
    seen: String,
    people: String,
    removals: String,
}

/// What the check is to say of an attempt to load, in the query string.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Tried {
    tried: String,
}

/// Why an upload was not taken.
enum Untaken {
    Wrong(Message),
    Store(StoreError),
}

impl From<StoreError> for Untaken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// By what a draft's owner is known.
fn owner(person: &Person) -> i64 {
    person.caller.key().unwrap_or(0)
}

/// The form.
pub async fn form(State(console): State<Console>, person: Person, headers: HeaderMap) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/new");
    html(&NewPage { frame, wrong: String::new() }).into_response()
}

/// Files are handed in.
pub async fn hand_in(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    parts: Option<Multipart>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/new");
    let again = |frame: Frame, status: StatusCode, wrong: Message| {
        let wrong = wrong.say(frame.voice);
        (status, html(&NewPage { frame, wrong })).into_response()
    };
    if !person.caller.can(Scope::Write) {
        return error(frame, StatusCode::FORBIDDEN, say!("console_only_looks"));
    }
    let Some(parts) = parts else { return again(frame, StatusCode::BAD_REQUEST, say!("not_multipart")) };
    let random: [u8; 20] = rand::rng().random();
    let id = BASE32_NOPAD.encode(&random).to_lowercase();
    match console.api.store().begin_draft(id.clone(), owner(&person)).await {
        Ok(true) => {}
        Ok(false) => return again(frame, StatusCode::CONFLICT, say!("console_too_many_drafts", most = MAX_DRAFTS)),
        Err(e) => return console.unavailable(&headers, &e),
    }
    match console.take_in(&id, parts).await {
        Ok(()) => Redirect::to(&format!("/console/drafts/{id}")).into_response(),
        Err(untaken) => {
            let discarded = console.api.store().discard_draft(&id, owner(&person)).await;
            match (untaken, discarded) {
                (Untaken::Wrong(wrong), Ok(())) => again(frame, StatusCode::UNPROCESSABLE_ENTITY, wrong),
                (Untaken::Store(e), _) | (_, Err(e)) => console.unavailable(&headers, &e),
            }
        }
    }
}

impl Console {
    /// Takes in the parts of an upload, piece by piece: it costs no more memory than a piece.
    async fn take_in(&self, id: &str, mut parts: Multipart) -> Result<(), Untaken> {
        let broken = || Untaken::Wrong(say!("console_upload_broke_off"));
        let (mut left, mut files) = (MAX_DRAFT, BTreeMap::<String, i64>::new());
        loop {
            let next = tokio::time::timeout(IDLE, parts.next_field()).await.map_err(|_| broken())?;
            let Some(mut field) = next.map_err(|_| broken())? else { break };
            let Some(name) = name_of(&field)? else { continue };
            if files.contains_key(&name) {
                return Err(Untaken::Wrong(say!("table_sent_twice", name = name)));
            }
            if files.len() > MAX_TABLES {
                return Err(Untaken::Wrong(say!("too_many_tables", most = MAX_TABLES)));
            }
            let (mut piece, mut n) = (Vec::new(), 0);
            loop {
                let chunk = tokio::time::timeout(IDLE, field.chunk()).await.map_err(|_| broken())?;
                let Some(chunk) = chunk.map_err(|_| broken())? else { break };
                left = left
                    .checked_sub(chunk.len())
                    .ok_or_else(|| Untaken::Wrong(say!("table_too_large", most = MAX_DRAFT)))?;
                piece.extend_from_slice(&chunk);
                if piece.len() >= PIECE {
                    self.api.store().add_to_draft(id, &name, n, std::mem::take(&mut piece)).await?;
                    n += 1;
                }
            }
            self.api.store().add_to_draft(id, &name, n, piece).await?;
            files.insert(name, n + 1);
        }
        match files.contains_key(SCHEDULE) {
            true => Ok(()),
            false => Err(Untaken::Wrong(say!("console_no_schedule_file"))),
        }
    }

    /// The files of a draft as the API takes them.
    fn files(&self, id: &str, files: Vec<(String, i64)>) -> (String, Body) {
        let boundary = format!("tixing-{id}");
        // The schedule first: what follows is read by it.
        let (schedule, tables): (Vec<_>, Vec<_>) = files.into_iter().partition(|(name, _)| name == SCHEDULE);
        let mut steps = Vec::new();
        for (name, pieces) in schedule.into_iter().chain(tables) {
            let quoted = name.replace(['"', '\r', '\n'], "_");
            steps.push(Err(format!(
                "--{boundary}\r\ncontent-disposition: form-data; name=\"{quoted}\"; filename=\"{quoted}\"\r\ncontent-type: application/octet-stream\r\n\r\n"
            )));
            steps.extend((0..pieces).map(|n| Ok((name.clone(), n))));
            steps.push(Err("\r\n".to_owned()));
        }
        steps.push(Err(format!("--{boundary}--\r\n")));
        let (store, id) = (self.api.store().clone(), id.to_owned());
        let stream = futures_util::stream::unfold(steps.into_iter(), move |mut steps| {
            let (store, id) = (store.clone(), id.clone());
            async move {
                let bytes = match steps.next()? {
                    Err(text) => Ok(Bytes::from(text)),
                    Ok((file, n)) => store.draft_piece(&id, &file, n).await.map(Bytes::from),
                };
                Some((bytes.map_err(|e| std::io::Error::other(e.to_string())), steps))
            }
        });
        (format!("multipart/form-data; boundary={boundary}"), Body::from_stream(stream))
    }

    /// A draft's plan, or what a load of it came to: the API's answer, also where the file can't be used.
    async fn plan(
        &self,
        person: &Person,
        frame: &Frame,
        id: &str,
        path: &str,
    ) -> Result<Option<(StatusCode, Value)>, StoreError> {
        let Some(files) = self.api.store().draft(id, owner(person), self.clock.now()).await? else { return Ok(None) };
        let (kind, body) = self.files(id, files);
        Ok(Some(self.ask_with(person, frame.voice, Method::POST, path, &kind, body).await))
    }

    /// The same with some of the reminders, as lines of JSON: the first, and the one with the longest texts.
    async fn plan_and_samples(&self, person: &Person, frame: &Frame, id: &str) -> Result<Option<Planned>, StoreError> {
        let Some(files) = self.api.store().draft(id, owner(person), self.clock.now()).await? else { return Ok(None) };
        let (kind, body) = self.files(id, files);
        let answer =
            self.send(person, frame.voice, Method::POST, "/v1/schedules/plan?reminders=true", &kind, body).await;
        let (mut status, mut lines) = (answer.status(), answer.into_body().into_data_stream());
        let (mut rest, mut last, mut samples) = (BytesMut::new(), Bytes::new(), Samples::default());
        while let Some(Ok(chunk)) = lines.next().await {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                last = rest.split_to(end + 1).freeze();
                samples.look_at(&last);
            }
        }
        let plan: Value = serde_json::from_slice(if rest.is_empty() { &last } else { &rest }).unwrap_or_default();
        // What can't be used is found when the answer has begun, and is told in its last line.
        if let Some(refused) = plan["status"].as_u64().and_then(|n| StatusCode::from_u16(u16::try_from(n).ok()?).ok()) {
            status = refused;
        }
        Ok(Some(Planned { status, plan, samples: samples.read() }))
    }
}

/// A plan, and some of its reminders.
struct Planned {
    status: StatusCode,
    plan: Value,
    samples: Vec<Value>,
}

/// The first reminder that will be sent, and the one with the longest texts.
#[derive(Default)]
struct Samples {
    first: Bytes,
    longest: Bytes,
    /// How long the longest texts are so far, those of the first included.
    length: usize,
}

impl Samples {
    fn look_at(&mut self, line: &Bytes) {
        // Members stand in the order of their names, so no line is read whole: there may be a million.
        let place = |part: &[u8]| line.windows(part.len()).position(|window| window == part);
        let (Some(data), Some(event)) = (place(b"\"data\":"), place(b"\"event\":")) else { return };
        let will_go = [&b"\"change\":\"new\""[..], b"\"change\":\"changed\""];
        let goes = will_go.iter().any(|change| line[..data].windows(change.len()).any(|window| window == *change));
        let length = event.saturating_sub(data);
        if goes && self.first.is_empty() {
            (self.first, self.length) = (line.clone(), length);
        } else if goes && length > self.length {
            (self.longest, self.length) = (line.clone(), length);
        }
    }

    fn read(&self) -> Vec<Value> {
        let lines = [&self.first, &self.longest].into_iter().filter(|line| !line.is_empty());
        lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

/// By which name a part is kept; none of one without a file.
fn name_of(field: &Field<'_>) -> Result<Option<String>, Untaken> {
    let file = field.file_name().unwrap_or_default();
    if file.is_empty() {
        return Ok(None);
    }
    if field.name() == Some(SCHEDULE) {
        return Ok(Some(SCHEDULE.to_owned()));
    }
    // What stands before it is a folder of the sender's.
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_name =
        !name.is_empty() && name != SCHEDULE && name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    if is_name { Ok(Some(name.to_owned())) } else { Err(Untaken::Wrong(say!("console_bad_file_name"))) }
}

/// Who gets what and when, before it goes out.
pub async fn check(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(Tried { tried }): Query<Tried>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/new");
    let planned = match console.plan_and_samples(&person, &frame, &id).await {
        Ok(Some(planned)) => planned,
        Ok(None) => return error(frame, StatusCode::NOT_FOUND, say!("console_no_draft")),
        Err(e) => return console.unavailable(&headers, &e),
    };
    if let Some(app) = planned.plan["app"].as_str() {
        let known = console.api.config().apps.iter().any(|known| known.name == app);
        if let (true, Err(e)) = (known, console.api.store().set_draft_app(&id, app).await) {
            return console.unavailable(&headers, &e);
        }
    }
    html(&checked(frame, &id, &planned, &tried, console.api.config())).into_response()
}

fn checked(frame: Frame, id: &str, planned: &Planned, tried: &str, config: &Config) -> CheckPage {
    let Planned { status, plan, samples } = planned;
    let n = |part: &str, member: &str| plan[part][member].as_i64().unwrap_or_default();
    let goes = n("reminders", "new") + n("reminders", "changed");
    let each = |member: &str| plan[member].as_array().into_iter().flatten();
    let all: Vec<&Value> = each("problems").collect();
    let has = |code: &str| all.iter().any(|problem| problem["code"] == code);
    let removals = has("removes_too_many");
    let usable = status.is_success() || removals;
    let voice = frame.voice;
    let said = |message: Message| message.say(voice);
    let verdict = say!(
        "console_verdict",
        read = number(n("rows", "read")),
        right = number(n("rows", "right")),
        refused = number(n("rows", "refused")),
        excluded = number(n("rows", "excluded")),
        goes = number(goes)
    );
    let reach = [
        (say!("step_rows"), n("rows", "read")),
        (say!("step_right"), n("rows", "right")),
        (say!("console_people"), n("reach", "people")),
        (say!("console_known"), n("reach", "known")),
        (say!("step_with_consent"), n("reach", "with_consent")),
        (say!("console_new"), n("reminders", "new")),
        (say!("console_changed"), n("reminders", "changed")),
        (say!("console_removed"), n("reminders", "removed")),
        (say!("console_without"), n("reminders", "no_consent")),
        (say!("console_late"), n("reminders", "late")),
    ];
    let held = plan["reach"]["held_elsewhere"].as_array().into_iter().flatten();
    let held = held.map(|one| (say!("console_held_by", by = one["by"]), one["reminders"].as_i64().unwrap_or_default()));
    let (first, last) = (frame.when(&plan["first_at"]), frame.when(&plan["last_at"]));
    let wrong = match tried {
        "changed" => said(say!("console_plan_changed")),
        "number" => said(say!("console_wrong_number", n = number(goes))),
        _ if !usable && all.is_empty() => text(&plan["detail"]),
        _ if usable && first.is_none() => said(say!("console_nothing_to_send")),
        _ => String::new(),
    };
    let without = n("reminders", "no_consent");
    let sentence = first.as_ref().map(|first| {
        say!("console_sentence", at = first.at, n = number(goes), name = plan["schedule"], without = number(without))
    });
    let (problems, more) = problems::of(plan, true, voice);
    let (app, template) = (text(&plan["app"]), text(&plan["template"]));
    let sample = |one: &Value| {
        let card = Card::of(config, &app, &template, &one["data"]);
        (say!("console_row_of", row = one["row"], user = one["openid"]).say(voice), card)
    };
    let samples = samples.iter().map(sample).collect();
    CheckPage {
        samples,
        href: format!("/console/drafts/{}", part(id)),
        name: text(&plan["schedule"]),
        app,
        wrong,
        verdict: if plan["rows"].is_object() { said(verdict) } else { String::new() },
        reach: reach
            .into_iter()
            .chain(held)
            .filter(|(_, n)| *n > 0)
            .map(|(title, n)| (said(title), number(n)))
            .collect(),
        first,
        last,
        takes: plan["takes_ms"].as_i64().filter(|ms| *ms > 0).map(|ms| voice.span(ms)).unwrap_or_default(),
        problems,
        more,
        notes: each("notes").take(SHOWN).map(|note| text(&note["detail"])).collect(),
        sentence: sentence.filter(|_| usable).map(said).unwrap_or_default(),
        digest: text(&plan["digest"]),
        seen: goes,
        typed: goes > TYPED_ABOVE,
        removals,
        frame,
    }
}

/// What was seen is loaded.
pub async fn load(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(confirmed): Form<Confirmed>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/new");
    let again = |what: &str| Redirect::to(&format!("/console/drafts/{}?tried={what}", part(&id))).into_response();
    let removals = format!("allow_removals={}", !confirmed.removals.is_empty());
    let path = format!("/v1/schedules/plan?{removals}");
    let planned = match console.plan(&person, &frame, &id, &path).await {
        Ok(Some((_, planned))) => planned,
        // A second click finds it loaded.
        Ok(None) => return error(frame, StatusCode::NOT_FOUND, say!("console_no_draft")),
        Err(e) => return console.unavailable(&headers, &e),
    };
    let n = |member: &str| planned["reminders"][member].as_i64().unwrap_or_default();
    let goes = n("new") + n("changed");
    // The digest is of the files alone: consents may have come or gone since.
    if planned["digest"].as_str() != Some(&confirmed.digest) || confirmed.seen != goes.to_string() {
        return again("changed");
    }
    let typed: String = confirmed.people.chars().filter(char::is_ascii_digit).collect();
    if goes > TYPED_ABOVE && typed != goes.to_string() {
        return again("number");
    }
    let path = format!("/v1/schedules/apply?digest={}&{removals}", part(&confirmed.digest));
    match console.plan(&person, &frame, &id, &path).await {
        Ok(Some((status, loaded))) if status.is_success() => {
            if let Err(e) = console.api.store().discard_draft(&id, owner(&person)).await {
                return console.unavailable(&headers, &e);
            }
            let name = loaded["schedule"].as_str().unwrap_or_default();
            Redirect::to(&format!("/console/schedules/{}?done=load", part(name))).into_response()
        }
        Ok(Some((StatusCode::CONFLICT, refused))) if refused["code"] == "plan_changed" => again("changed"),
        Ok(Some((status, refused))) => error(frame, status, Message::text(text(&refused["detail"]))),
        Ok(None) => error(frame, StatusCode::NOT_FOUND, say!("console_no_draft")),
        Err(e) => console.unavailable(&headers, &e),
    }
}

#[derive(Template)]
#[template(path = "tried.html", config = "src/console/askama.toml")]
struct TriedPage {
    frame: Frame,
    href: String,
    wrong: String,
    /// The testers' reminders, each with the address of its page.
    sent: Vec<(String, String)>,
    /// Testers without a consent.
    without: String,
}

/// Which row is tried.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Row {
    key: String,
}

/// One row's message goes to the testers now, and to nobody else.
pub async fn attempt(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(Row { key }): Form<Row>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/new");
    let row = if key.trim().is_empty() { String::new() } else { format!("?key={}", part(key.trim())) };
    let (status, tried) = match console.plan(&person, &frame, &id, &format!("/v1/schedules/try{row}")).await {
        Ok(Some(answer)) => answer,
        Ok(None) => return error(frame, StatusCode::NOT_FOUND, say!("console_no_draft")),
        Err(e) => return console.unavailable(&headers, &e),
    };
    let each = |member: &str| tried[member].as_array().into_iter().flatten();
    let sent =
        each("sent").map(|one| (text(&one["openid"]), format!("/console/reminders/{}", part(&text(&one["id"])))));
    let without: Vec<&str> = each("no_consent").filter_map(Value::as_str).collect();
    let without = match without.is_empty() {
        true => String::new(),
        false => say!("console_testers_without", testers = without).say(frame.voice),
    };
    let wrong = if status.is_success() { String::new() } else { text(&tried["detail"]) };
    let sent = sent.collect();
    html(&TriedPage { href: format!("/console/drafts/{}", part(&id)), wrong, sent, without, frame }).into_response()
}

/// What was handed in is not wanted any more.
pub async fn discard(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    match console.api.store().discard_draft(&id, owner(&person)).await {
        Ok(()) => Redirect::to("/console/schedules").into_response(),
        Err(e) => console.unavailable(&headers, &e),
    }
}
