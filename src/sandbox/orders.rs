//! The orders under `/_sandbox`: what users do, what goes wrong, and what became of it.

use super::{
    Sandbox,
    app::{AppSpec, TemplateSpec},
    face::Tapped,
    faults::Faults,
    push::Pusher,
};
use crate::{
    domain::consent::{Ticket, Tickets},
    platform::Facts,
};
use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Their routes.
pub(super) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/_sandbox/apps", post(add_app))
        .route("/_sandbox/templates", post(set_templates))
        .route("/_sandbox/popup", post(popup))
        .route("/_sandbox/settings", post(settings))
        .route("/_sandbox/messages", get(messages))
        .route("/_sandbox/pushes", get(pushes))
        .route("/_sandbox/ledger", get(ledger))
        .route("/_sandbox/faults", post(set_faults).get(faults))
        .route("/_sandbox/reset", post(reset))
}

async fn add_app(State(sandbox): State<Sandbox>, Json(app): Json<AppSpec>) -> Response {
    if let Err(why) = app.check() {
        return (StatusCode::UNPROCESSABLE_ENTITY, format!("{why}\n")).into_response();
    }
    let mut world = sandbox.world();
    match pusher(&app) {
        Ok(Some(pusher)) => world.push_to(&app.appid, pusher),
        Ok(None) => {}
        Err(why) => return (StatusCode::UNPROCESSABLE_ENTITY, format!("push: {why}\n")).into_response(),
    }
    world.add_app(app);
    Json(json!({ "ok": true })).into_response()
}

/// Where an app's pushes go, if it wants them.
fn pusher(app: &AppSpec) -> Result<Option<Pusher>, String> {
    let Some(push) = &app.push else { return Ok(None) };
    let pushes = app.face().pushes.as_ref().ok_or_else(|| format!("{} does not push", app.platform))?;
    (pushes.ordered)(&app.appid, app.secret("secret"), push.clone()).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Templates {
    appid: String,
    templates: Vec<TemplateSpec>,
}

/// Somebody has changed the account's templates in the console.
async fn set_templates(State(sandbox): State<Sandbox>, Json(change): Json<Templates>) -> Response {
    if sandbox.world().set_templates(&change.appid, change.templates) {
        Json(json!({ "ok": true })).into_response()
    } else {
        no_such_app()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Popup {
    appid: String,
    openid: String,
    results: BTreeMap<String, String>,
    /// The id that was made for the dialog; the same as a ticket of the kind that is minted.
    #[serde(default)]
    subscribe_id: Option<String>,
    #[serde(default)]
    ticket: Option<TicketSpec>,
}

/// What a form, a payment or a dialog has brought.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketSpec {
    kind: String,
    id: String,
}

fn no_such_app() -> Response {
    (StatusCode::NOT_FOUND, "there is no such appid: POST /_sandbox/apps first\n").into_response()
}

/// The user taps. Answers what the popup hands to the mini-program, to be passed on to `/v1/consents`.
async fn popup(State(sandbox): State<Sandbox>, Json(tap): Json<Popup>) -> Response {
    let checked = {
        let world = sandbox.world();
        let Some(app) = world.apps.get(&tap.appid) else { return no_such_app() };
        let facts = app.facts();
        answerable(app, &tap.results).and_then(|()| ticket(facts, &tap)).map(|ticket| (facts, ticket))
    };
    let (facts, ticket) = match checked {
        Ok(checked) => checked,
        Err(why) => return (StatusCode::UNPROCESSABLE_ENTITY, format!("{why}\n")).into_response(),
    };
    let granted = |word: &String| (facts.popup.grants)(word) == Some(true);
    let tapped = Tapped { granted: tap.results.values().any(granted), results: tap.results, ticket };
    let (world, now) = (&mut *sandbox.world(), sandbox.clock.now());
    let answer = (world.apps[&tap.appid].face().popup)(&tapped);
    if let Some(ticket) = &tapped.ticket {
        for (template, _) in tapped.results.iter().filter(|(_, word)| granted(word)) {
            world.bring(&tap.appid, &tap.openid, template, ticket, now);
        }
        return Json(answer).into_response();
    }
    // What the platform itself understands of it: an answer that changes nothing is neither yes nor no.
    match (facts.popup.read)(&answer) {
        Ok(chosen) => {
            let told = chosen.into_iter().filter_map(|(template, choice)| Some((template, choice.granted()?)));
            world.popup(&tap.appid, &tap.openid, &told.collect(), now);
        }
        Err(wrong) => {
            return (StatusCode::UNPROCESSABLE_ENTITY, format!("results{}: {}\n", wrong.at, wrong.why)).into_response();
        }
    }
    Json(answer).into_response()
}

/// Whether the popup can have been answered so: for templates that the app has, with words that it knows.
fn answerable(app: &AppSpec, results: &BTreeMap<String, String>) -> Result<(), String> {
    let popup = &app.facts().popup;
    for (template, word) in results {
        has_template(app, template).map_err(|why| format!("results: {why}"))?;
        if (popup.grants)(word).is_none() {
            let words = popup.words.join(", ");
            return Err(format!("results: «{word}» is no word of the popup; it has {words}"));
        }
    }
    Ok(())
}

/// Whether the app has this template.
fn has_template(app: &AppSpec, id: &str) -> Result<(), String> {
    let ids: Vec<&str> = app.templates.iter().map(|template| template.id.as_str()).collect();
    if ids.contains(&id) { Ok(()) } else { Err(format!("the app has no template «{id}»; it has {}", ids.join(", "))) }
}

/// The ticket that a tap is about, where the platform has tickets.
fn ticket(facts: &Facts, tap: &Popup) -> Result<Option<Ticket>, String> {
    let Tickets { kinds, needed } = facts.tickets;
    let words: Vec<&str> = kinds.iter().map(|kind| kind.word).collect();
    let ticket = match (&tap.subscribe_id, &tap.ticket) {
        (None, None) if needed => {
            return Err(format!("name what it brings: subscribe_id, or ticket {{kind, id}} of a kind among {words:?}"));
        }
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err("name subscribe_id or ticket, not both".into()),
        (Some(id), None) => {
            let minted = kinds.iter().find(|kind| kind.minted).ok_or("this platform has no subscribe_id")?;
            Ticket { kind: minted.word.to_owned(), id: id.clone() }
        }
        (None, Some(TicketSpec { kind, id })) => Ticket { kind: kind.clone(), id: id.clone() },
    };
    if !words.contains(&&*ticket.kind) {
        return Err(format!("the kinds of tickets here are {words:?}"));
    }
    if tap.results.len() != 1 {
        return Err("a ticket is for one template".into());
    }
    Ok(Some(ticket))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    appid: String,
    openid: String,
    template: Option<String>,
    on: bool,
}

async fn settings(State(sandbox): State<Sandbox>, Json(change): Json<Settings>) -> Response {
    let mut world = sandbox.world();
    let Some(app) = world.apps.get(&change.appid) else { return no_such_app() };
    if let Some(Err(why)) = change.template.as_ref().map(|template| has_template(app, template)) {
        return (StatusCode::UNPROCESSABLE_ENTITY, format!("template: {why}\n")).into_response();
    }
    match &change.template {
        // The only change that the platform documents to tell of.
        Some(template) if !change.on => world.turn_off(&change.appid, &change.openid, template, sandbox.clock.now()),
        template => world.set_switch(&change.appid, &change.openid, template.as_deref(), change.on),
    }
    Json(json!({ "ok": true })).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Who {
    appid: Option<String>,
    openid: Option<String>,
}

async fn messages(State(sandbox): State<Sandbox>, Query(who): Query<Who>) -> Json<Value> {
    let world = sandbox.world();
    let wanted = world.messages().iter().filter(|m| {
        who.appid.as_ref().is_none_or(|appid| m.appid == *appid)
            && who.openid.as_ref().is_none_or(|openid| m.openid == *openid)
    });
    Json(json!({ "messages": wanted.collect::<Vec<_>>() }))
}

/// What became of the pushes.
async fn pushes(State(sandbox): State<Sandbox>) -> Json<Value> {
    Json(json!({ "pushes": sandbox.world().pushed() }))
}

async fn ledger(State(sandbox): State<Sandbox>) -> Json<Value> {
    Json(json!({ "ledger": sandbox.world().ledger() }))
}

async fn faults(State(sandbox): State<Sandbox>) -> Json<Faults> {
    Json(sandbox.world().faults.clone())
}

async fn set_faults(State(sandbox): State<Sandbox>, Json(faults): Json<Faults>) -> Response {
    if let Some((name, rate)) = faults.rates().into_iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
        return (StatusCode::UNPROCESSABLE_ENTITY, format!("{name} is {rate}; a rate is from 0 to 1\n"))
            .into_response();
    }
    sandbox.world().faults = faults.clone();
    Json(faults).into_response()
}

async fn reset(State(sandbox): State<Sandbox>) -> Json<Value> {
    sandbox.world().reset();
    Json(json!({ "ok": true }))
}
