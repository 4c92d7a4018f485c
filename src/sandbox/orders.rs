//! The orders under `/_sandbox`: what users do, what goes wrong, and what became of it.

use super::{
    FACES, Pusher, Sandbox,
    app::{AppSpec, TemplateSpec},
    faults::Faults,
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
    match app.push.as_ref().map(|spec| Pusher::new(&app.appid, spec)).transpose() {
        Ok(Some(pusher)) => world.push_to(&app.appid, pusher),
        Ok(None) => {}
        Err(why) => return (StatusCode::UNPROCESSABLE_ENTITY, format!("push: {why}\n")).into_response(),
    }
    world.add_app(app);
    Json(json!({ "ok": true })).into_response()
}

#[derive(Deserialize)]
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
struct Popup {
    appid: String,
    openid: String,
    results: BTreeMap<String, String>,
}

fn no_such_app() -> Response {
    (StatusCode::NOT_FOUND, "there is no such appid: POST /_sandbox/apps first\n").into_response()
}

/// The user taps. Answers what the popup hands to the mini-program, to be passed on to `/v1/consents`.
async fn popup(State(sandbox): State<Sandbox>, Json(tap): Json<Popup>) -> Response {
    let Some(facts) = sandbox.world().apps.get(&tap.appid).map(AppSpec::facts) else { return no_such_app() };
    let granted = |result: &str| (facts.popup.grants)(result) == Some(true);
    let face = FACES.iter().find(|face| face.platform == facts.word).unwrap_or(&FACES[0]);
    let answer = (face.popup)(&tap.results);
    let results = tap.results.iter().map(|(template, result)| (template.clone(), granted(result)));
    sandbox.world().popup(&tap.appid, &tap.openid, &results.collect(), sandbox.clock.now());
    Json(answer).into_response()
}

#[derive(Deserialize)]
struct Settings {
    appid: String,
    openid: String,
    template: Option<String>,
    on: bool,
}

async fn settings(State(sandbox): State<Sandbox>, Json(change): Json<Settings>) -> Response {
    if !sandbox.world().knows(&change.appid) {
        return no_such_app();
    }
    let mut world = sandbox.world();
    match &change.template {
        // The only change that the platform documents to tell of.
        Some(template) if !change.on => world.turn_off(&change.appid, &change.openid, template, sandbox.clock.now()),
        template => world.set_switch(&change.appid, &change.openid, template.as_deref(), change.on),
    }
    Json(json!({ "ok": true })).into_response()
}

#[derive(Deserialize)]
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
