//! A draft is mended, tried, loaded, or discarded.

use super::{
    Console,
    ask::{error, file as file_or_page, html, part},
    check::TYPED_ABOVE,
    extract::Posted,
    frame::{Frame, text},
    person::Person,
    start::draft,
    upload::{owner, tables},
};
use crate::{
    store::StoreError,
    words::{Message, say},
};
use askama::Template;
use axum::{
    extract::{Multipart, Path, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// A load is waited for so long before its schedule's page is shown.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the form of the check says.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Confirmed {
    digest: String,
    seen: String,
    people: String,
    removals: String,
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
    let tables = match console.files_of(&person, &headers, &id).await {
        Ok(files) => tables(files),
        Err(answer) => return answer,
    };
    let Some(parts) = parts else { return error(frame, StatusCode::BAD_REQUEST, say!("not_multipart")) };
    match console.take_in_place(&id, parts, None, &tables).await {
        Ok(()) => {
            console.checks.forget(&id);
            Redirect::to(&draft(&id)).into_response()
        }
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
    let files = match console.files_of(&person, &headers, &id).await {
        Ok(files) => files,
        Err(answer) => return answer,
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
    if let Err(answer) = console.files_of(&person, &headers, &id).await {
        return answer;
    }
    match console.schedule_of(&id).await {
        Ok(text) => {
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
