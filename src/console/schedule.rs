//! One schedule: how it stands, and what can be done to it. What is done is said before, and what it came to after.

use super::{
    Console,
    ask::{error, html, part},
    card::title_of,
    extract::{Asked, Posted},
    frame::{Frame, When, number, text},
    numbers::{Count, Newest, Why, counts, is_over, punctuality, reasons, task},
    person::Person,
    problems::Problems,
};
use crate::{
    store::keys::Scope,
    words::{Message, say},
};
use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Template)]
#[template(path = "schedule.html", config = "src/console/askama.toml")]
struct Page {
    frame: Frame,
    name: String,
    href: String,
    app: String,
    template: String,
    state: String,
    done: String,
    problem: String,
    incomplete: bool,
    orphaned: bool,
    first: Option<When>,
    last: Option<When>,
    paused: Option<When>,
    loaded: Option<When>,
    recurs: String,
    next: Vec<When>,
    counts: Vec<Count>,
    reasons: Vec<Why>,
    problems: Problems,
    task: String,
    text: String,
    writes: bool,
    over: bool,
    history: Vec<Act>,
    rate: String,
    punctuality: String,
    newest: Vec<Newest>,
}

/// What was done before, and what is to be shown, in the query string.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Done {
    done: String,
    /// Which page of the problems is shown.
    problems: String,
}

/// What somebody did.
struct Act {
    at: Option<When>,
    by: String,
    what: String,
}

fn history(schedule: &Value, frame: &Frame) -> Vec<Act> {
    let act = |act: &Value| {
        let action = act["action"].as_str().unwrap_or_default();
        let word = title(action).unwrap_or_else(|| crate::words::word::word(action));
        Act { at: frame.when(&act["at"]), by: text(&act["by"]), what: word.say(frame.voice) }
    };
    schedule["history"].as_array().into_iter().flatten().map(act).collect()
}

/// How it stands.
pub async fn page(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(name): Path<String>,
    Asked(done): Asked<Done>,
) -> Response {
    let (href, path) = (format!("/console/schedules/{}", part(&name)), format!("/v1/schedules/{}", part(&name)));
    let frame = console.frame(Some(&person), &headers, &href);
    let schedule = match console.ask(&person, frame.voice, Method::GET, &path, None).await {
        Ok(schedule) => schedule,
        Err(refused) => return refused.page(frame),
    };
    let frame = frame.of_app(&schedule["app"]);
    let told = console.ask(&person, frame.voice, Method::GET, &format!("{path}/problems"), None).await;
    let told = told.unwrap_or_default();
    let writes = person.caller.can(Scope::Write);
    let newest = console.newest(&person, &frame, &name).await;
    let problems = Problems::of(&told, done.problems.parse().unwrap_or(1), writes, frame.voice);
    let page = Page {
        done: what_was_done(&done.done).map(|done| done.say(frame.voice)).unwrap_or_default(),
        problems,
        counts: counts(&schedule, &frame),
        reasons: reasons(&schedule, &frame),
        first: frame.when(&schedule["first_at"]),
        last: frame.when(&schedule["last_at"]),
        paused: frame.when(&schedule["paused_at"]),
        loaded: frame.when(&schedule["loaded_at"]),
        recurs: text(&schedule["recurs"]),
        next: schedule["next"].as_array().into_iter().flatten().filter_map(|one| frame.when(&one["event"])).collect(),
        incomplete: schedule["incomplete"] == true,
        orphaned: schedule["orphaned"] == true,
        problem: text(&schedule["problem"]),
        task: task(&schedule["task"], &frame),
        app: text(&schedule["app"]),
        template: title_of(console.api.config(), &text(&schedule["app"]), &text(&schedule["template"])),
        state: text(&schedule["state"]),
        text: text(&schedule["text"]),
        writes,
        over: is_over(&schedule),
        history: history(&schedule, &frame),
        rate: String::new(),
        punctuality: punctuality(&newest, frame.voice),
        newest,
        name,
        href,
        frame,
    };
    html(&page).into_response()
}

#[derive(Template)]
#[template(path = "confirm.html", config = "src/console/askama.toml")]
struct ConfirmPage {
    frame: Frame,
    name: String,
    href: String,
    act: String,
    title: String,
    /// What will happen.
    will: Vec<String>,
    /// By how much to move, as it was typed.
    by: Option<String>,
    wrong: String,
    /// Nothing can be done before more is typed.
    ready: bool,
}

/// By how much, typed into a form.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct By {
    by: String,
}

fn title(act: &str) -> Option<Message> {
    Some(match act {
        "pause" => say!("console_pause"),
        "resume" => say!("console_resume"),
        "shift" => say!("console_shift"),
        "cancel" => say!("console_cancel"),
        _ => return None,
    })
}

fn what_was_done(act: &str) -> Option<Message> {
    Some(match act {
        "pause" => say!("console_paused"),
        "resume" => say!("console_resumed"),
        "shift" => say!("console_shifted"),
        "cancel" => say!("console_cancelled"),
        "load" => say!("console_was_loaded"),
        "loading" => say!("console_is_loading"),
        _ => return None,
    })
}

/// What will happen, before it does.
pub async fn confirm(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path((name, act)): Path<(String, String)>,
    Asked(By { by }): Asked<By>,
) -> Response {
    let (href, path) = (format!("/console/schedules/{}", part(&name)), format!("/v1/schedules/{}", part(&name)));
    let frame = console.frame(Some(&person), &headers, &href);
    let Some(title) = title(&act) else {
        return error(frame, StatusCode::NOT_FOUND, say!("console_no_page"));
    };
    let schedule = match console.ask(&person, frame.voice, Method::GET, &path, None).await {
        Ok(schedule) => schedule,
        Err(refused) => return refused.page(frame),
    };
    let n = |state: &str| schedule["reminders"][state].as_i64().unwrap_or_default();
    let waiting = number(n("scheduled"));
    let mut will = match act.as_str() {
        "pause" => vec![say!("console_will_pause", n = waiting)],
        "resume" => vec![say!("console_will_resume", n = waiting)],
        "cancel" => vec![say!("console_will_cancel", n = waiting), say!("console_cannot_be_undone")],
        _ => Vec::new(),
    };
    let (mut wrong, mut ready) = (String::new(), act != "shift");
    if act == "shift" && !by.is_empty() {
        let asked = format!("{path}/shift?dry_run=true");
        match console.ask(&person, frame.voice, Method::POST, &asked, Some(json!({ "by": by }))).await {
            Ok(planned) => {
                let of = |member: &str| planned["plan"][member].as_i64().unwrap_or_default();
                will.push(say!("console_will_shift", n = number(of("moves")), by = by));
                will.extend((of("at_once") > 0).then(|| say!("console_will_go_at_once", n = number(of("at_once")))));
                will.extend((of("too_far") > 0).then(|| say!("console_too_far", n = number(of("too_far")))));
                ready = of("too_far") == 0;
            }
            Err(refused) => wrong = refused.detail,
        }
    }
    let will = will.iter().map(|message| message.say(frame.voice)).collect();
    let by = (act == "shift").then_some(by);
    html(&ConfirmPage { title: title.say(frame.voice), name, href, act, will, by, wrong, ready, frame }).into_response()
}

/// It is done.
pub async fn act(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path((name, act)): Path<(String, String)>,
    Posted(By { by }): Posted<By>,
) -> Response {
    let (href, path) = (format!("/console/schedules/{}", part(&name)), format!("/v1/schedules/{}", part(&name)));
    let frame = console.frame(Some(&person), &headers, &href);
    let (method, path, body) = match act.as_str() {
        "pause" | "resume" => (Method::POST, format!("{path}/{act}"), None),
        "shift" => (Method::POST, format!("{path}/shift"), Some(json!({ "by": by }))),
        "cancel" => (Method::DELETE, path, None),
        _ => return error(frame, StatusCode::NOT_FOUND, say!("console_no_page")),
    };
    match console.ask(&person, frame.voice, method, &path, body).await {
        // So that a reload does nothing a second time.
        Ok(_) => Redirect::to(&format!("{href}?done={act}")).into_response(),
        Err(refused) => refused.page(frame),
    }
}
