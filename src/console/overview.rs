//! The overview: what needs somebody, and what goes out next.

use super::{
    Console,
    ask::html,
    frame::{Frame, number, percent},
    person::Person,
    schedules::Line,
};
use crate::findings::{Level, Report, books};
use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, Method},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// Schedules that are shown with their instants.
const NEXT: usize = 10;

/// Something that is not as it should be.
struct Finding {
    failed: bool,
    subject: String,
    found: String,
    fix: String,
}

/// How an app stands.
struct Standing {
    name: String,
    waiting: String,
    sent: String,
    failed: String,
    in_doubt: String,
    rate: String,
}

/// An hour of today.
struct Hour {
    at: String,
    waiting: String,
    sent: String,
    failed: String,
    all: i64,
    part: i64,
}

#[derive(Template)]
#[template(path = "overview.html", config = "src/console/askama.toml")]
struct Page {
    frame: Frame,
    findings: Vec<Finding>,
    apps: Vec<Standing>,
    next: Vec<Line>,
    hours: Vec<Hour>,
    partial: bool,
}

/// The overview.
pub async fn page(State(console): State<Console>, person: Person, headers: HeaderMap) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console");
    let stats = match console.ask(&person, frame.voice, Method::GET, "/v1/stats", None).await {
        Ok(stats) => stats,
        Err(refused) => return refused.page(frame),
    };
    let listed = console.ask(&person, frame.voice, Method::GET, "/v1/schedules?state=active", None).await;
    let listed = match listed {
        Ok(listed) => listed,
        Err(refused) => return refused.page(frame),
    };
    let mut findings = findings(&console, &person, &stats, &frame);
    let items = listed["items"].as_array().into_iter().flatten().map(|schedule| Line::of(schedule, &frame));
    findings.extend(items.filter(|line| !line.problem.is_empty()).map(|line| Finding {
        failed: false,
        subject: line.name,
        found: line.problem,
        fix: String::new(),
    }));
    let n = |of: &Value, path: &str| number(of.pointer(path).and_then(Value::as_i64).unwrap_or_default());
    let apps = stats["apps"].as_array().into_iter().flatten().map(|of| Standing {
        name: of["app"].as_str().unwrap_or_default().to_owned(),
        waiting: n(of, "/reminders/scheduled"),
        sent: n(of, "/reminders/sent"),
        failed: n(of, "/reminders/failed"),
        in_doubt: n(of, "/in_doubt"),
        rate: n(of, "/rate"),
    });
    let apps = apps.collect();
    let mut schedules: Vec<&Value> = listed["items"].as_array().into_iter().flatten().collect();
    // Instants of JSON are in UTC, so their texts are in their order.
    let instant = |schedule: &Value| {
        let at = schedule["next"][0]["event"].as_str().or(schedule["first_at"].as_str());
        at.unwrap_or("~").to_owned()
    };
    schedules.sort_by_key(|schedule| instant(schedule));
    let next = schedules.into_iter().take(NEXT).map(|schedule| Line::of(schedule, &frame)).collect();
    let today = console.ask(&person, frame.voice, Method::GET, "/v1/today", None).await.unwrap_or_default();
    let hours = hours(&today, &frame);
    html(&Page { findings, apps, next, hours, partial: today["partial"] == true, frame }).into_response()
}

/// What goes out today: an hour is as long as it has reminders, beside the fullest one.
fn hours(today: &Value, frame: &Frame) -> Vec<Hour> {
    let n = |hour: &Value, states: &[&str]| -> i64 {
        states.iter().filter_map(|state| hour["reminders"][*state].as_i64()).sum()
    };
    let hour = |one: &Value| {
        let (waiting, sent) = (n(one, &["scheduled"]), n(one, &["sent"]));
        let failed = n(one, &["failed", "expired", "unconfirmed"]);
        Hour {
            at: frame.when(&one["hour"]).map(|when| when.at).unwrap_or_default(),
            waiting: number(waiting),
            sent: number(sent),
            failed: number(failed),
            all: waiting + sent + failed,
            part: 0,
        }
    };
    let mut hours: Vec<Hour> = today["hours"].as_array().into_iter().flatten().map(hour).collect();
    hours.retain(|hour| hour.all > 0);
    let most = hours.iter().map(|hour| hour.all).max().unwrap_or_default();
    hours.iter_mut().for_each(|hour| hour.part = percent(hour.all, most));
    hours
}

/// What `doctor` says of the same counts, in the same words.
fn findings(console: &Console, person: &Person, stats: &Value, frame: &Frame) -> Vec<Finding> {
    let mut report = Report::new(frame.voice);
    let apps = console.api.config().apps.iter().filter(|app| person.caller.sees(&app.name));
    // Whoever reads this has a key.
    let keys = json!({ "keys": [{ "revoked_at": null }] });
    books::look(stats, &keys, &apps.cloned().collect::<Vec<_>>(), &mut report);
    let mut bad: Vec<_> = report.checks.iter().filter(|check| check.level >= Level::Warning).collect();
    bad.sort_by_key(|check| std::cmp::Reverse(check.level));
    let finding = |check: &&crate::findings::Check| {
        let (found, fix) = check.findings(frame.voice);
        let failed = check.level == Level::Failed;
        Finding { failed, subject: check.name(frame.voice), found, fix: fix.unwrap_or_default() }
    };
    bad.iter().map(finding).collect()
}
