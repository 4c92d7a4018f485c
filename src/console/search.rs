//! Finding a reminder, a row of a schedule, or a person. It is posted, so that no openid stands in an address or a log.

use super::{
    Console,
    ask::{html, part},
    extract::Posted,
    frame::{Frame, When, number, text},
    person::Person,
};
use crate::{domain::reminder::ReminderId, words::Lang};
use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, Method},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::Value;

/// A reminder of a person.
struct Line {
    href: String,
    id: String,
    state: String,
    at: Option<When>,
    schedule: String,
}

/// What a person has granted for a template.
struct Balance {
    template: String,
    available: String,
    held: String,
    used: String,
}

#[derive(Template)]
#[template(path = "search.html", config = "src/console/askama.toml")]
struct Page {
    frame: Frame,
    apps: Vec<String>,
    app: String,
    /// As it was typed, by whoever reads it.
    wanted: String,
    asked: bool,
    wrong: String,
    balances: Vec<Balance>,
    reminders: Vec<Line>,
    more: bool,
    /// The schedules in which one can look, and the chosen one.
    schedules: Vec<String>,
    schedule: String,
    /// What became of the person, or of the row, in it.
    told: Vec<String>,
}

/// What somebody looks for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Wanted {
    app: String,
    wanted: String,
    schedule: String,
}

/// Schedules that are offered.
const OFFERED: usize = 200;
/// Reminders of a person that are shown.
const SHOWN: usize = 100;

impl Console {
    async fn searching(&self, person: &Person, headers: &HeaderMap, given: Wanted) -> Page {
        let frame = self.frame(Some(person), headers, "/console/search");
        let listed = self.ask(person, frame.voice, Method::GET, "/v1/schedules", None).await.unwrap_or_default();
        let schedules = listed["items"].as_array().into_iter().flatten().map(|one| text(&one["name"]));
        let schedules = schedules.take(OFFERED).collect();
        let apps = self.api.config().apps.iter().map(|app| app.name.clone());
        Page {
            frame,
            apps: apps.filter(|app| person.caller.sees(app)).collect(),
            app: given.app,
            wanted: given.wanted.trim().chars().take(200).collect(),
            asked: false,
            wrong: String::new(),
            balances: Vec::new(),
            reminders: Vec::new(),
            more: false,
            schedules,
            schedule: given.schedule,
            told: Vec::new(),
        }
    }
}

/// The form.
pub async fn page(State(console): State<Console>, person: Person, headers: HeaderMap) -> Response {
    html(&console.searching(&person, &headers, Wanted::default()).await).into_response()
}

/// What there is. An id leads to its reminder.
pub async fn find(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Posted(given): Posted<Wanted>,
) -> Response {
    let mut page = console.searching(&person, &headers, given).await;
    if page.wanted.parse::<ReminderId>().is_ok() {
        return Redirect::to(&format!("/console/reminders/{}", part(&page.wanted))).into_response();
    }
    if !page.schedule.is_empty() && !page.wanted.is_empty() {
        console.explain(&person, &mut page).await;
        return html(&page).into_response();
    }
    page.asked = !page.wanted.is_empty();
    if page.asked {
        let whose = format!("app={}&openid={}", part(&page.app), part(&page.wanted));
        let voice = page.frame.voice;
        let listed = format!("/v1/reminders?{whose}&order=newest&limit={SHOWN}");
        let consents = console.ask(&person, voice, Method::GET, &format!("/v1/consents?{whose}"), None).await;
        match (consents, console.ask(&person, voice, Method::GET, &listed, None).await) {
            (Ok(consents), Ok(reminders)) => page.fill(&consents, &reminders),
            (Err(refused), _) | (_, Err(refused)) => page.wrong = refused.detail,
        }
    }
    html(&page).into_response()
}

impl Console {
    /// What became of a row of a schedule by its key, or of a person in it.
    async fn explain(&self, person: &Person, page: &mut Page) {
        let voice = page.frame.voice;
        let of = |what: &str| {
            format!("/v1/reminders/explain?schedule={}&{what}={}", part(&page.schedule), part(&page.wanted))
        };
        let mut answer = self.ask(person, voice, Method::GET, &of("key"), None).await;
        if answer.is_err() {
            answer = self.ask(person, voice, Method::GET, &of("openid"), None).await;
        }
        match answer {
            Ok(told) => {
                let said = text(&told[if voice.lang == Lang::Zh { "zh" } else { "en" }]);
                page.told = said.lines().map(str::to_owned).collect();
                page.list(told["reminders"].as_array().into_iter().flatten());
            }
            Err(refused) => page.wrong = refused.detail,
        }
    }
}

impl Page {
    fn list<'a>(&mut self, reminders: impl Iterator<Item = &'a Value>) {
        let line = |one: &Value| Line {
            href: format!("/console/reminders/{}", part(one["id"].as_str().unwrap_or_default())),
            id: text(&one["id"]),
            state: text(&one["state"]),
            at: self.frame.when_of(&one["app"], &one["at"]),
            schedule: text(&one["schedule"]),
        };
        self.reminders = reminders.map(line).collect();
    }

    fn fill(&mut self, consents: &Value, reminders: &Value) {
        let n = |of: &Value, member: &str| number(of[member].as_i64().unwrap_or_default());
        let balances = consents["balances"].as_array().into_iter().flatten().map(|one| Balance {
            template: text(&one["template"]),
            available: n(one, "available"),
            held: n(one, "held"),
            used: n(one, "used"),
        });
        self.balances = balances.collect();
        self.list(reminders["items"].as_array().into_iter().flatten());
        self.more = reminders["next"].is_string();
    }
}
