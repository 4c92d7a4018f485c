//! How a schedule went.

use super::{
    Console,
    ask::{file, html, part},
    frame::{Frame, number, percent, text},
    person::Person,
};
use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, Method},
    response::{IntoResponse, Response},
};
use serde_json::Value;

/// A step, and what was lost on the way to it.
struct Step {
    title: String,
    n: String,
    percent: i64,
    losses: Vec<Loss>,
}

struct Loss {
    n: String,
    detail: String,
    advice: String,
}

/// An hour, and how many of its reminders stand where.
struct Hour {
    at: String,
    counts: Vec<String>,
}

#[derive(Template)]
#[template(path = "report.html", config = "src/console/askama.toml")]
struct Page {
    frame: Frame,
    name: String,
    href: String,
    state: String,
    steps: Vec<Step>,
    states: Vec<String>,
    hours: Vec<Hour>,
    more: bool,
}

/// Hours that are shown; the workbook has all.
const HOURS: usize = 200;

/// The report.
pub async fn page(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Response {
    let href = format!("/console/schedules/{}", part(&name));
    let frame = console.frame(Some(&person), &headers, &href);
    let path = format!("/v1/schedules/{}/report", part(&name));
    let report = match console.ask(&person, frame.voice, Method::GET, &path, None).await {
        Ok(report) => report,
        Err(refused) => return refused.page(frame),
    };
    let frame = frame.of_app(&report["app"]);
    let each = |member: &str| report[member].as_array().cloned().unwrap_or_default();
    let (steps, losses) = (each("steps"), each("losses"));
    let n = |of: &Value| of["n"].as_i64().unwrap_or_default();
    let most = steps.first().map_or(0, n);
    let loss = |loss: &Value| Loss { n: number(n(loss)), detail: text(&loss["detail"]), advice: text(&loss["advice"]) };
    let steps = steps.iter().map(|step| Step {
        title: crate::schedule::report::title(step["step"].as_str().unwrap_or_default()).say(frame.voice),
        n: number(n(step)),
        percent: percent(n(step), most),
        losses: losses.iter().filter(|loss| loss["step"] == step["step"]).map(loss).collect(),
    });
    let steps = steps.collect();
    let hours = each("hours");
    let mut words: Vec<String> = Vec::new();
    for state in hours.iter().flat_map(|hour| hour["reminders"].as_object().into_iter().flatten().map(|(s, _)| s)) {
        if !words.contains(state) {
            words.push(state.clone());
        }
    }
    let hour = |hour: &Value| Hour {
        at: frame.when(&hour["hour"]).map(|when| when.at).unwrap_or_default(),
        counts: words.iter().map(|state| number(hour["reminders"][state].as_i64().unwrap_or_default())).collect(),
    };
    let shown = hours.iter().take(HOURS).map(hour).collect();
    let states = words.iter().map(|state| frame.word(state)).collect();
    let state = text(&report["state"]);
    html(&Page { name, href, state, steps, states, hours: shown, more: hours.len() > HOURS, frame }).into_response()
}

/// The workbook, as the API answers it.
pub async fn workbook(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/schedules");
    let path = format!("/v1/schedules/{}/report.xlsx", part(&name));
    file(console.answer(&person, frame.voice, Method::GET, &path, None).await, frame).await
}
