//! NDJSON of any length in bounded memory: read, checked and stored in slices; answered line by line, in order.
//!
//! The next slice is read and checked while the one before is committed.

use super::{
    Api, Caller,
    check::{self, ConsentBody, ReminderBody},
    parse,
    problem::{Problem, ProblemJson},
    reminders::{forgotten, refusal},
};
use crate::{
    domain::reminder::{NewReminder, State as ReminderState},
    store::{keys::Scope, reminders::Inserted},
};
use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderValue, header},
    response::Response,
};
use futures_util::StreamExt;
use serde::Serialize;
use std::{pin::Pin, time::Duration};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt},
    sync::mpsc,
};
use tokio_util::io::StreamReader;

/// Bytes of one line.
const MAX_LINE: usize = 64 * 1024;
/// Lines of one slice.
const SLICE: usize = 2_000;
/// Bytes of one slice.
const SLICE_BYTES: usize = 4 * 1024 * 1024;
/// Answered slices that wait for a slow reader; some clients read only when they have written all.
const WAITING: usize = 512;
/// Between two pieces of the body.
const IDLE: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Line<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<ReminderState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replayed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ProblemJson<'a>>,
}

/// What one line came to.
enum Answer {
    Inserted(Inserted),
    Recorded(usize),
    Refused(Problem),
    Empty,
}

fn write(answers: &[Answer], first: u64) -> Bytes {
    let mut text = Vec::with_capacity(answers.len() * 64);
    for (line, answer) in (first..).zip(answers) {
        let mut out = Line { line, id: None, state: None, replayed: None, recorded: None, error: None };
        let refused;
        match answer {
            Answer::Inserted(Inserted::Created(id)) => {
                out.id = Some(id.to_string());
                out.state = Some(ReminderState::Scheduled);
            }
            Answer::Inserted(Inserted::Replayed(id, state)) => {
                out.id = Some(id.to_string());
                out.state = Some(*state);
                out.replayed = Some(true);
            }
            Answer::Inserted(verdict) => {
                refused = refusal(*verdict);
                out.error = Some(refused.json(None));
            }
            Answer::Recorded(n) => out.recorded = Some(*n),
            Answer::Refused(problem) => out.error = Some(problem.json(None)),
            Answer::Empty => continue,
        }
        serde_json::to_writer(&mut text, &out).expect("a Vec takes everything");
        text.push(b'\n');
    }
    text.into()
}

/// Insert reminders, one a line.
#[utoipa::path(post, path = "/v1/reminders/batch", tag = "reminders", request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 200, description = "NDJSON: `{\"line\",\"id\",\"state\"}` or `{\"line\",\"error\"}` for each line, in order",
    content_type = "application/x-ndjson", body = String)))]
pub async fn reminders(State(api): State<Api>, caller: Caller, request: Request) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    Ok(stream(request, move |lines| {
        let (api, caller) = (api.clone(), caller.clone());
        Box::pin(async move { insert(&api, &caller, lines).await })
    }))
}

async fn insert(api: &Api, caller: &Caller, lines: Vec<Result<Bytes, Problem>>) -> Vec<Answer> {
    let now = api.clock.now();
    let mut news: Vec<NewReminder> = Vec::with_capacity(lines.len());
    let mut answers = Vec::with_capacity(lines.len());
    let mut places = Vec::with_capacity(lines.len());
    for (i, line) in lines.into_iter().enumerate() {
        let checked = checked(line, |body: ReminderBody| {
            caller.may_touch(&body.app)?;
            Ok(check::reminder(&api.config, &api.store, body, now)?)
        });
        answers.push(match checked {
            Some(Ok((new, Ok(())))) => {
                places.push(i);
                news.push(new);
                Answer::Empty
            }
            Some(Ok((new, Err(why)))) => match api.store.known_key(&new).await {
                Ok(Some(verdict)) => Answer::Inserted(verdict),
                Ok(None) => Answer::Refused(why.into()),
                Err(e) => Answer::Refused(e.into()),
            },
            Some(Err(problem)) => Answer::Refused(problem),
            None => Answer::Empty,
        });
    }
    match if news.is_empty() { Ok(Vec::new()) } else { api.store.insert(news).await } {
        Ok(verdicts) => {
            for (place, verdict) in places.into_iter().zip(verdicts) {
                answers[place] = Answer::Inserted(verdict);
            }
        }
        Err(e) => {
            let problem = Problem::from(e);
            for place in places {
                answers[place] = Answer::Refused(problem.clone());
            }
        }
    }
    answers
}

/// Record popup reports, one a line.
#[utoipa::path(post, path = "/v1/consents/batch", tag = "consents", request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 200, description = "NDJSON: `{\"line\",\"recorded\"}` or `{\"line\",\"error\"}` for each line, in order",
    content_type = "application/x-ndjson", body = String)))]
pub async fn consents(State(api): State<Api>, caller: Caller, request: Request) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    Ok(stream(request, move |lines| {
        let (api, caller) = (api.clone(), caller.clone());
        Box::pin(async move { record(&api, &caller, lines).await })
    }))
}

async fn record(api: &Api, caller: &Caller, lines: Vec<Result<Bytes, Problem>>) -> Vec<Answer> {
    let now = api.clock.now();
    let (mut reports, mut places) = (Vec::new(), Vec::new());
    let mut answers: Vec<Answer> = Vec::with_capacity(lines.len());
    for (i, line) in lines.into_iter().enumerate() {
        let checked = checked(line, |body: ConsentBody| {
            caller.may_touch(&body.app)?;
            Ok(check::consents(&api.config, body, now)?)
        });
        answers.push(match checked {
            Some(Ok(report)) => {
                places.push(i);
                reports.push(report);
                Answer::Empty
            }
            Some(Err(problem)) => Answer::Refused(problem),
            None => Answer::Empty,
        });
    }
    match api.store.record(reports).await {
        Ok(added) => {
            for (place, n) in places.into_iter().zip(added) {
                answers[place] = n.map_or_else(|| Answer::Refused(forgotten()), Answer::Recorded);
            }
        }
        Err(e) => {
            let problem = Problem::from(e);
            for place in places {
                answers[place] = Answer::Refused(problem.clone());
            }
        }
    }
    answers
}

/// One line through its checks; `None` for an empty line.
fn checked<B: serde::de::DeserializeOwned, T>(
    line: Result<Bytes, Problem>,
    check: impl Fn(B) -> Result<T, Problem>,
) -> Option<Result<T, Problem>> {
    match line {
        Ok(bytes) if bytes.trim_ascii().is_empty() => None,
        Ok(bytes) => Some(parse::<B>(&bytes).and_then(check)),
        Err(problem) => Some(Err(problem)),
    }
}

type Slice = Vec<Result<Bytes, Problem>>;
type Worked = Pin<Box<dyn Future<Output = Vec<Answer>> + Send>>;

/// Reads the body in slices, works on them in order, and streams the answers.
fn stream(request: Request, work: impl Fn(Slice) -> Worked + Send + 'static) -> Response {
    let (answer, answers) = mpsc::channel::<Bytes>(WAITING);
    tokio::spawn(async move {
        let body = request.into_body().into_data_stream().map(|piece| piece.map_err(std::io::Error::other));
        let mut reader = StreamReader::new(body);
        let mut first = 1;
        let mut under_way: Option<(u64, tokio::task::JoinHandle<Vec<Answer>>)> = None;
        loop {
            let (slice, more) = read_slice(&mut reader).await;
            let lines = slice.len() as u64;
            let next = (!slice.is_empty()).then(|| (first, tokio::spawn(work(slice))));
            first += lines;
            if let Some((first, worked)) = under_way.take() {
                // A panic in one slice leaves its lines unanswered; what it stored stays stored.
                let Ok(answers) = worked.await else { return };
                // Whoever asked may have gone; what is stored stays stored, and the rest is not taken.
                if answer.send(write(&answers, first)).await.is_err() {
                    return;
                }
            }
            under_way = next;
            if !more && under_way.is_none() {
                return;
            }
        }
    });
    let chunks = futures_util::stream::unfold(answers, async |mut answers| {
        let chunk = answers.recv().await?;
        Some((Ok::<_, std::io::Error>(chunk), answers))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

/// The next lines, and whether there may be more.
async fn read_slice(reader: &mut (impl AsyncBufRead + Unpin)) -> (Slice, bool) {
    let (mut slice, mut bytes) = (Slice::new(), 0);
    while slice.len() < SLICE && bytes < SLICE_BYTES {
        match tokio::time::timeout(IDLE, read_line(reader)).await {
            Ok(Ok(Some(line))) => {
                bytes += line.as_ref().map_or(0, Bytes::len);
                slice.push(line);
            }
            Ok(Ok(None)) => return (slice, false),
            Ok(Err(_)) => {
                slice.push(Err(Problem::new("bad_json", "the body broke off inside this line; it was not stored")));
                return (slice, false);
            }
            Err(_) => {
                let detail =
                    format!("nothing came for {} s; this line and what follows was not stored", IDLE.as_secs());
                slice.push(Err(Problem::new("too_slow", detail)));
                return (slice, false);
            }
        }
    }
    (slice, true)
}

/// One line of at most [`MAX_LINE`] bytes; a longer one is skipped to its end and refused.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Result<Bytes, Problem>>> {
    let (mut line, mut length, mut begun) = (Vec::new(), 0, false);
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            if !begun {
                return Ok(None);
            }
            break;
        }
        begun = true;
        let end = buffer.iter().position(|b| *b == b'\n');
        let piece = &buffer[..end.unwrap_or(buffer.len())];
        length += piece.len();
        if length <= MAX_LINE {
            line.extend_from_slice(piece);
        }
        let consumed = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(consumed);
        if end.is_some() {
            break;
        }
    }
    if length > MAX_LINE {
        let detail = format!("the line has {length} bytes; at most {MAX_LINE} are allowed");
        return Ok(Some(Err(Problem::new("too_large", detail))));
    }
    Ok(Some(Ok(line.into())))
}
