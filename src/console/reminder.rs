//! One reminder: the message as it was or will be sent, and why it was or was not.

use super::{
    Console,
    ask::{html, part},
    card::Card,
    frame::{Frame, When, text},
    person::Person,
};
use crate::words::Lang;
use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, Method},
    response::{IntoResponse, Response},
};
use serde_json::Value;

#[derive(Template)]
#[template(path = "reminder.html", config = "src/console/askama.toml")]
struct Page {
    frame: Frame,
    id: String,
    state: String,
    card: Card,
    page: String,
    at: Option<When>,
    deadline: Option<When>,
    schedule: String,
    schedule_href: String,
    why: String,
    evidence: Vec<String>,
}

/// The reminder.
pub async fn page(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/search");
    let path = format!("/v1/reminders/{}", part(&id));
    let (reminder, story) = match (
        console.ask(&person, frame.voice, Method::GET, &path, None).await,
        console.ask(&person, frame.voice, Method::GET, &format!("{path}/explain"), None).await,
    ) {
        (Ok(reminder), Ok(story)) => (reminder, story),
        (Err(refused), _) | (_, Err(refused)) => return refused.page(frame),
    };
    let frame = frame.of_app(&reminder["app"]);
    let (app, code) = (text(&reminder["app"]), text(&reminder["template"]));
    let card = Card::of(console.api.config(), &app, &code, &reminder["data"]);
    let said = &story[if frame.voice.lang == Lang::Zh { "zh" } else { "en" }];
    let evidence = story["evidence"].as_array().into_iter().flatten();
    let schedule = text(&reminder["schedule"]);
    let page = Page {
        id,
        state: text(&reminder["state"]),
        card,
        page: text(&reminder["page"]),
        at: frame.when(&reminder["at"]),
        deadline: frame.when(&reminder["expires_at"]),
        schedule_href: format!("/console/schedules/{}", part(&schedule)),
        schedule,
        why: text(said),
        evidence: evidence.filter_map(Value::as_str).map(str::to_owned).collect(),
        frame,
    };
    html(&page).into_response()
}
