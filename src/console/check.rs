//! Who gets what and when, before it goes out.

use super::{
    Console,
    ask::{error, html},
    card::Card,
    choices::Choices,
    extract::Asked,
    frame::{Frame, When, number, percent, text},
    person::Person,
    plan::{Planned, samples},
    problems::{Problems, SHOWN},
    start::draft,
    upload::tables,
};
use crate::{
    config::Config,
    domain::SECOND,
    words::{Message, say},
};
use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// A draft of more MiB tells how far its check is.
const LARGE: i64 = 8;
/// Above so many people their number is typed.
pub const TYPED_ABOVE: i64 = 1_000;

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

/// The check of a draft.
pub async fn check(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
    Asked(Looked { tried, at, problems, now }): Asked<Looked>,
) -> Response {
    let at = at.parse().unwrap_or(0);
    let frame = console.frame(Some(&person), &headers, "/console/new");
    let files = match console.files_of(&person, &headers, &id).await {
        Ok(files) => files,
        Err(answer) => return answer,
    };
    let pieces: i64 = files.iter().map(|(_, pieces)| pieces).sum();
    // What has changed since is not what is remembered.
    let is_first_look = at == 0 && tried.is_empty() && problems.is_empty();
    let remembered = console.checks.get(&id, &person, frame.voice.lang).filter(|_| at <= 1 && tried.is_empty());
    let planned = match remembered {
        Some(planned) => planned,
        None if pieces > LARGE && now.is_empty() && is_first_look => {
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
    let text = match console.schedule_of(&id).await {
        Ok(text) => text,
        Err(e) => return console.unavailable(&headers, &e),
    };
    let frame = frame.of_app(&planned.plan["app"]);
    let page = checked(frame, &id, &planned, &tried, problems.parse().unwrap_or(1), console.api.config());
    let at = at.clamp(1, page.seen.max(1));
    let (before, after) = ((at - 1).max(0), if at < page.seen { at + 1 } else { 0 });
    let has_form = Choices::of(&text).is_some();
    html(&CheckPage { has_form, has_tables: !tables(files).is_empty(), at, before, after, ..page }).into_response()
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
