//! A draft is checked, tried, mended and loaded.

use super::{
    Console,
    ask::{error, file as file_or_page, html, part},
    card::Card,
    choices::Choices,
    extract::{Asked, Posted},
    frame::{Frame, When, number, percent, text},
    person::Person,
    problems::{Problems, SHOWN},
    start::draft,
    upload::{INCOMING, SCHEDULE, owner},
};
use crate::{
    config::Config,
    domain::SECOND,
    store::StoreError,
    words::{Lang, Message, Voice, say, word::stage},
};
use askama::Template;
use axum::{
    body::Bytes,
    extract::{Multipart, Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{
        IntoResponse, Redirect, Response,
        sse::{Event, Sse},
    },
};
use bytes::BytesMut;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// A draft of more MiB tells how far its check is.
const LARGE: i64 = 8;
/// A check that was told so is remembered so long.
const REMEMBERED: Duration = Duration::from_secs(60);
/// A load is waited for so long before its schedule's page is shown.
const PATIENCE: Duration = Duration::from_secs(3);
/// Above so many people their number is typed.
const TYPED_ABOVE: i64 = 1_000;

#[derive(Template)]
#[template(path = "check.html", config = "src/console/askama.toml")]
struct CheckPage {
    frame: Frame,
    href: String,
    name: String,
    app: String,
    wrong: String,
    verdict: String,
    /// Rows, people, consents, reminders: each with its words, and in per cent of the rows.
    reach: Vec<(String, String, i64)>,
    first: Option<When>,
    last: Option<When>,
    takes: String,
    /// Messages as they will be sent, and whose they are.
    samples: Vec<(String, Card)>,
    problems: Problems,
    notes: Vec<String>,
    /// What will be done, in a sentence; empty where nothing can be.
    sentence: String,
    digest: String,
    /// How many reminders go, as the reader has seen it.
    seen: i64,
    typed: bool,
    removals: bool,
    /// Whether the form can show the file.
    has_form: bool,
    /// Whether one of its tables can be handed in anew.
    has_tables: bool,
    /// The message that is shown beside the first and the longest: which of them.
    at: i64,
    before: i64,
    after: i64,
    last_of_all: String,
}

#[derive(Template)]
#[template(path = "checking.html", config = "src/console/askama.toml")]
struct CheckingPage {
    frame: Frame,
    href: String,
}

/// Checks of large drafts, for the page that comes after their progress was told.
#[derive(Default)]
pub struct Checks(Mutex<HashMap<String, Checked>>);

struct Checked {
    at: Instant,
    owner: i64,
    lang: Lang,
    planned: Arc<Planned>,
}

impl Checks {
    fn put(&self, id: &str, person: &Person, lang: Lang, planned: Planned) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, check| check.at.elapsed() < REMEMBERED);
        all.insert(
            id.to_owned(),
            Checked { at: Instant::now(), owner: owner(person), lang, planned: Arc::new(planned) },
        );
    }

    fn get(&self, id: &str, person: &Person, lang: Lang) -> Option<Arc<Planned>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let check = all.get(id).filter(|check| check.owner == owner(person) && check.lang == lang)?;
        (check.at.elapsed() < REMEMBERED).then(|| Arc::clone(&check.planned))
    }

    /// A draft is another now.
    pub fn forget(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// How far the check of a draft is, as it goes on; then it is remembered for a moment.
pub async fn progress(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "");
    let (tell, told) = watch::channel(String::new());
    let stop = console.stop.clone();
    tokio::spawn(async move {
        let voice = frame.voice;
        let hear = |progress: &Value| {
            let _ = tell.send(say!("console_checking_at", stage = stage(progress)).say(voice));
        };
        if let Ok(Some(planned)) = console.plan_and_samples(&person, voice, &id, 0, hear).await {
            console.checks.put(&id, &person, voice.lang, planned);
        }
    });
    let stream = futures_util::stream::unfold(Some(told), async |told| {
        let mut told = told?;
        match told.changed().await {
            Ok(()) => {
                let text = told.borrow_and_update().clone();
                Some((Ok::<_, Infallible>(Event::default().event("progress").data(text)), Some(told)))
            }
            Err(_) => Some((Ok(Event::default().event("done").data("")), None)),
        }
    });
    Sse::new(stream.take_until(async move { stop.cancelled().await })).into_response()
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

/// What the check is to show, in the query string.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Looked {
    /// What came of an attempt to load.
    tried: String,
    /// Which message is to be shown, from 1 on.
    at: String,
    /// Which page of the problems.
    problems: String,
    /// Whether to wait for the check of a large draft without being told how far it is.
    now: String,
}

impl Console {
    /// A draft's plan, or what a load of it came to: the API's answer, also where the file can't be used.
    async fn plan(
        &self,
        person: &Person,
        voice: Voice,
        id: &str,
        path: &str,
    ) -> Result<Option<(StatusCode, Value)>, StoreError> {
        let Some(files) = self.api.store().draft(id, owner(person), self.clock.now()).await? else { return Ok(None) };
        let (kind, body) = self.files(id, files);
        Ok(Some(self.ask_with(person, voice, Method::POST, path, &kind, body).await))
    }

    /// The same with some of the reminders, as lines of JSON: the `at`th that goes if that is more than 1, the first, and the one with the longest
    /// texts. `tell` hears how far it is.
    pub async fn plan_and_samples(
        &self,
        person: &Person,
        voice: Voice,
        id: &str,
        at: i64,
        tell: impl Fn(&Value),
    ) -> Result<Option<Planned>, StoreError> {
        let Some(files) = self.api.store().draft(id, owner(person), self.clock.now()).await? else { return Ok(None) };
        let (kind, body) = self.files(id, files);
        let answer = self.send(person, voice, Method::POST, "/v1/schedules/plan?reminders=true", &kind, body).await;
        let (mut status, mut lines) = (answer.status(), answer.into_body().into_data_stream());
        let (mut rest, mut last, mut samples) = (BytesMut::new(), Bytes::new(), Samples { at, ..Samples::default() });
        while let Some(Ok(chunk)) = lines.next().await {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                last = rest.split_to(end + 1).freeze();
                match last.starts_with(b"{\"progress\":") {
                    true => tell(&serde_json::from_slice::<Value>(&last).unwrap_or_default()["progress"]),
                    false => samples.look_at(&last),
                }
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
pub struct Planned {
    status: StatusCode,
    /// The plan, or why there is none.
    pub plan: Value,
    samples: Vec<Value>,
}

/// The first reminder that will be sent, the one with the longest texts, and one of which the place is known.
#[derive(Default)]
struct Samples {
    at: i64,
    n: i64,
    chosen: Bytes,
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
        self.n += i64::from(goes);
        if goes && self.n == self.at && self.at > 1 {
            self.chosen = line.clone();
        }
        if goes && self.first.is_empty() {
            (self.first, self.length) = (line.clone(), length);
        } else if goes && length > self.length {
            (self.longest, self.length) = (line.clone(), length);
        }
    }

    fn read(&self) -> Vec<Value> {
        let lines = [&self.chosen, &self.first, &self.longest].into_iter().filter(|line| !line.is_empty());
        lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

/// Who gets what and when, before it goes out.
pub async fn check(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
    Asked(Looked { tried, at, problems, now }): Asked<Looked>,
) -> Response {
    let at = at.parse().unwrap_or(0);
    let frame = console.frame(Some(&person), &headers, "/console/new");
    let pieces: i64 = match console.api.store().draft(&id, owner(&person), console.clock.now()).await {
        Ok(Some(files)) => files.iter().map(|(_, pieces)| pieces).sum(),
        Ok(None) => return error(frame, StatusCode::NOT_FOUND, say!("console_no_draft")),
        Err(e) => return console.unavailable(&headers, &e),
    };
    let planned = match console.checks.get(&id, &person, frame.voice.lang).filter(|_| at <= 1) {
        Some(planned) => planned,
        None if pieces > LARGE && now.is_empty() && at == 0 => {
            return html(&CheckingPage { href: draft(&id), frame }).into_response();
        }
        None => match console.plan_and_samples(&person, frame.voice, &id, at, |_| {}).await {
            Ok(Some(planned)) => Arc::new(planned),
            Ok(None) => return error(frame, StatusCode::NOT_FOUND, say!("console_no_draft")),
            Err(e) => return console.unavailable(&headers, &e),
        },
    };
    if let Some(app) = planned.plan["app"].as_str() {
        let known = console.api.config().apps.iter().any(|known| known.name == app);
        if let (true, Err(e)) = (known, console.api.store().set_draft_app(&id, app).await) {
            return console.unavailable(&headers, &e);
        }
    }
    let (text, files) = match console.draft_files(&person, &id).await {
        Ok(found) => found,
        Err(e) => return console.unavailable(&headers, &e),
    };
    let frame = frame.of_app(&planned.plan["app"]);
    let page = checked(frame, &id, &planned, &tried, problems.parse().unwrap_or(1), console.api.config());
    let at = at.clamp(1, page.seen.max(1));
    let (before, after) = ((at - 1).max(0), if at < page.seen { at + 1 } else { 0 });
    let has_form = Choices::of(&text).is_some();
    html(&CheckPage { has_form, has_tables: !files.is_empty(), at, before, after, ..page }).into_response()
}

fn checked(frame: Frame, id: &str, planned: &Planned, tried: &str, problems: usize, config: &Config) -> CheckPage {
    let Planned { status, plan, .. } = planned;
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
    let next = frame.when(&plan["next"][0]["event"]);
    let wrong = match tried {
        "changed" => said(say!("console_plan_changed")),
        "number" => said(say!("console_wrong_number", n = number(goes))),
        _ if !usable && all.is_empty() => text(&plan["detail"]),
        _ if !usable => said(say!("console_unusable")),
        _ if usable && first.is_none() && next.is_none() => said(say!("console_nothing_to_send")),
        _ => String::new(),
    };
    let without = n("reminders", "no_consent");
    let takes = plan["takes_ms"].as_i64().filter(|ms| *ms >= SECOND).map(|ms| voice.span(ms)).unwrap_or_default();
    // What recurs has its people by each occurrence.
    let recurs = next.map(|next| say!("console_sentence_recurs", at = next.at, name = plan["schedule"]));
    let sentence = first.as_ref().map(|first| {
        let takes = Some(takes.as_str()).filter(|takes| !takes.is_empty());
        let takes = takes.map(|takes| say!("console_sentence_takes", takes = takes));
        say!(
            "console_sentence",
            at = first.at,
            n = number(goes),
            name = plan["schedule"],
            takes = takes,
            without = number(without)
        )
    });
    let sentence = recurs.or(sentence);
    CheckPage {
        samples: samples(planned, config, voice),
        has_form: false,
        has_tables: false,
        at: 0,
        before: 0,
        after: 0,
        last_of_all: number(goes),
        href: draft(id),
        name: text(&plan["schedule"]),
        app: text(&plan["app"]),
        wrong,
        verdict: if n("rows", "read") > 0 { said(verdict) } else { String::new() },
        reach: reach
            .into_iter()
            .chain(held)
            .filter(|(_, n)| *n > 0)
            .map(|(title, part)| (said(title), number(part), percent(part, n("rows", "read").max(goes))))
            .collect(),
        first,
        last,
        takes,
        problems: Problems::of(plan, problems, true, voice),
        notes: each("notes").take(SHOWN).map(|note| text(&note["detail"])).collect(),
        sentence: sentence.filter(|_| usable).map(said).unwrap_or_default(),
        digest: text(&plan["digest"]),
        seen: goes,
        typed: goes > TYPED_ABOVE,
        removals,
        frame,
    }
}

/// Some of the messages, and whose they are.
pub fn samples(planned: &Planned, config: &Config, voice: Voice) -> Vec<(String, Card)> {
    let (app, template) = (text(&planned.plan["app"]), text(&planned.plan["template"]));
    let sample = |one: &Value| {
        let card = Card::of(config, &app, &template, &one["data"]);
        (say!("console_row_of", row = one["row"], user = one["openid"]).say(voice), card)
    };
    planned.samples.iter().map(sample).collect()
}

impl Console {
    /// The text of a draft's schedule, and the names of its tables.
    async fn draft_files(&self, person: &Person, id: &str) -> Result<(String, Vec<String>), StoreError> {
        let Some(files) = self.api.store().draft(id, owner(person), self.clock.now()).await? else {
            return Ok(Default::default());
        };
        let tables =
            files.into_iter().map(|(name, _)| name).filter(|name| name != SCHEDULE && !name.starts_with(INCOMING));
        Ok((self.schedule_of(id).await?, tables.collect()))
    }
}

/// Another table takes the place of one of the draft's; all else stays as it was chosen.
pub async fn mend(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
    parts: Option<Multipart>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/new");
    match console.api.store().draft(&id, owner(&person), console.clock.now()).await {
        Ok(Some(_)) => {}
        Ok(None) => return error(frame, StatusCode::NOT_FOUND, say!("console_no_draft")),
        Err(e) => return console.unavailable(&headers, &e),
    }
    let tables = match console.draft_files(&person, &id).await {
        Ok((_, tables)) => tables,
        Err(e) => return console.unavailable(&headers, &e),
    };
    let Some(parts) = parts else { return error(frame, StatusCode::BAD_REQUEST, say!("not_multipart")) };
    console.checks.forget(&id);
    match console.take_in_place(&id, parts, None, &tables).await {
        Ok(()) => Redirect::to(&draft(&id)).into_response(),
        Err(untaken) => match untaken.told() {
            Ok((status, wrong)) => error(frame, status, wrong),
            Err(e) => console.unavailable(&headers, &e),
        },
    }
}

/// The tables as a workbook, each wrong cell marked.
pub async fn problems_book(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/new");
    let files = match console.api.store().draft(&id, owner(&person), console.clock.now()).await {
        Ok(Some(files)) => files,
        Ok(None) => return error(frame, StatusCode::NOT_FOUND, say!("console_no_draft")),
        Err(e) => return console.unavailable(&headers, &e),
    };
    let (kind, body) = console.files(&id, files);
    let answer = console.send(&person, frame.voice, Method::POST, "/v1/schedules/annotate", &kind, body).await;
    file_or_page(answer, frame).await
}

/// The schedule's file, as it is loaded.
pub async fn file(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    match console.draft_files(&person, &id).await {
        Ok((text, _)) if text.is_empty() => {
            let frame = console.frame(Some(&person), &headers, "/console/new");
            error(frame, StatusCode::NOT_FOUND, say!("console_no_draft"))
        }
        Ok((text, _)) => {
            let mut response = text.into_response();
            let (kind, place) = ("application/toml; charset=utf-8", "attachment; filename*=UTF-8''schedule.toml");
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(place));
            response
        }
        Err(e) => console.unavailable(&headers, &e),
    }
}

/// What was seen is loaded.
pub async fn load(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
    Posted(confirmed): Posted<Confirmed>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/new");
    let again = |what: &str| Redirect::to(&format!("{}?tried={what}", draft(&id))).into_response();
    let removals = format!("allow_removals={}", !confirmed.removals.is_empty());
    let path = format!("/v1/schedules/plan?{removals}");
    let planned = match console.plan(&person, frame.voice, &id, &path).await {
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
    let name = text(&planned["schedule"]);
    let href = format!("/console/schedules/{}", part(&name));
    // It goes on though its caller goes away, and whoever waits long is led to the page where it is seen going on.
    let mut loading = tokio::spawn({
        let (console, person, id, voice) = (console.clone(), person.clone(), id.clone(), frame.voice);
        async move {
            let done = console.plan(&person, voice, &id, &path).await?;
            if done.as_ref().is_some_and(|(status, _)| status.is_success()) {
                console.api.store().discard_draft(&id, owner(&person)).await?;
            }
            Ok::<_, StoreError>(done)
        }
    });
    let done = loop {
        if let Ok(done) = tokio::time::timeout(PATIENCE, &mut loading).await {
            break done;
        }
        let shown =
            console.ask(&person, frame.voice, Method::GET, &format!("/v1/schedules/{}", part(&name)), None).await;
        if shown.is_ok_and(|shown| shown["task"]["kind"] == "load") {
            return Redirect::to(&format!("{href}?done=loading")).into_response();
        }
    };
    match done.unwrap_or(Ok(None)) {
        Ok(Some((status, _))) if status.is_success() => Redirect::to(&format!("{href}?done=load")).into_response(),
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
    Posted(Row { key }): Posted<Row>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/new");
    let row = if key.trim().is_empty() { String::new() } else { format!("?key={}", part(key.trim())) };
    let (status, tried) = match console.plan(&person, frame.voice, &id, &format!("/v1/schedules/try{row}")).await {
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
    html(&TriedPage { href: draft(&id), wrong, sent, without, frame }).into_response()
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
