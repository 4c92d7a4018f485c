//! The list of schedules.

use super::{
    Console,
    ask::{html, part},
    extract::Asked,
    frame::{Frame, When, number, percent, text},
    person::Person,
};
use crate::{store::keys::Scope, words::say};
use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, Method},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;

/// One schedule in a list.
pub struct Line {
    /// Its name.
    pub name: String,
    /// The address of its page.
    pub href: String,
    /// Its app.
    pub app: String,
    /// What people call its template.
    pub template: String,
    /// How many people the last load was for; nothing where it is not known.
    pub people: String,
    /// One word, in which JSON has it.
    pub state: String,
    /// Its next instant.
    pub next: Option<When>,
    /// How many of its reminders have ended, in per cent.
    pub done: i64,
    /// Sent, and all.
    pub sent: String,
    /// All its reminders.
    pub all: String,
    /// What is wrong, if something is.
    pub problem: String,
}

impl Line {
    /// By what the API says of it.
    pub fn of(schedule: &Value, frame: &Frame) -> Self {
        let n = |state: &str| schedule["reminders"][state].as_i64().unwrap_or_default();
        let all: i64 = schedule["reminders"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_i64()).sum();
        let waiting = n("scheduled") + n("sending") + n("in_doubt");
        let name = text(&schedule["name"]);
        let mut problem = text(&schedule["problem"]);
        let refused = schedule["refused_rows"].as_i64().unwrap_or_default();
        if refused > 0 && problem.is_empty() {
            problem = say!("console_refused_rows", n = number(refused)).say(frame.voice);
        }
        for (member, key) in [("incomplete", "console_incomplete"), ("orphaned", "console_orphaned")] {
            if schedule[member] == true && problem.is_empty() {
                problem = frame.say(key);
            }
        }
        let next = frame.when_of(&schedule["app"], &schedule["next"][0]["event"]);
        let next = next.or_else(|| frame.when_of(&schedule["app"], &schedule["first_at"]));
        Self {
            href: format!("/console/schedules/{}", part(&name)),
            name,
            app: text(&schedule["app"]),
            template: frame.title_of(&schedule["app"], &schedule["template"]),
            people: schedule["people"].as_i64().map(number).unwrap_or_default(),
            state: text(&schedule["state"]),
            next: next.filter(|_| waiting > 0 || schedule["state"] == "active"),
            done: percent(all - waiting, all),
            sent: number(n("sent")),
            all: number(all),
            problem,
        }
    }
}

#[derive(Template)]
#[template(path = "schedules.html", config = "src/console/askama.toml")]
struct Page {
    frame: Frame,
    writes: bool,
    apps: Vec<String>,
    app: String,
    state: String,
    /// Those that go on, or wait.
    living: Vec<Line>,
    /// The others, folded away.
    ended: Vec<Line>,
    /// Files of the watched folder that can't be loaded.
    files: Vec<(String, String)>,
}

/// The filter, in the query string.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Wanted {
    app: String,
    state: String,
}

/// The list.
pub async fn page(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Asked(wanted): Asked<Wanted>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/schedules");
    let pairs = [("app", &wanted.app), ("state", &wanted.state)];
    let query = pairs.iter().filter(|(_, value)| !value.is_empty());
    let query: Vec<String> = query.map(|(name, value)| format!("{name}={}", part(value))).collect();
    let path = format!("/v1/schedules?{}", query.join("&"));
    let answer = match console.ask(&person, frame.voice, Method::GET, &path, None).await {
        Ok(answer) => answer,
        Err(refused) => return refused.page(frame),
    };
    let each = |member: &str| answer[member].as_array().cloned().unwrap_or_default();
    let lines = each("items").iter().map(|schedule| Line::of(schedule, &frame)).collect::<Vec<_>>();
    let is_over = |line: &Line| matches!(line.state.as_str(), "ended" | "cancelled");
    let (ended, living): (Vec<Line>, Vec<Line>) = lines.into_iter().partition(is_over);
    let apps = console.api.config().apps.iter().map(|app| app.name.clone());
    let apps = apps.filter(|app| person.caller.sees(app)).collect();
    let files = each("files").iter().map(|file| (text(&file["path"]), text(&file["detail"]))).collect();
    let Wanted { app, state } = wanted;
    let writes = person.caller.can(Scope::Write);
    html(&Page { frame, writes, apps, app, state, living, ended, files }).into_response()
}
