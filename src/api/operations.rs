//! What is not about one user: stats, keys, health, metrics.

use super::{Api, Caller, Json, Query, auth::new_key, check, json, problem::Problem, templates::out_of_step};
use crate::{
    domain::{Millis, reminder::State as ReminderState, timing::rfc3339},
    store::keys::Scope,
};
use axum::{
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Which app.
#[derive(Debug, Deserialize, utoipa::IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfApp {
    /// All that the caller may see if left out.
    pub(super) app: Option<String>,
}

impl OfApp {
    /// Refuses an app that is unknown, or none of the caller's.
    pub(super) fn check(&self, api: &Api, caller: &Caller) -> Result<(), Problem> {
        let Some(app) = &self.app else { return Ok(()) };
        caller.may_touch(app)?;
        check::app(&api.config, app)?;
        Ok(())
    }

    /// Whether it is about this app.
    pub(super) fn covers(&self, caller: &Caller, app: &str) -> bool {
        caller.sees(app) && self.app.as_ref().is_none_or(|wanted| wanted == app)
    }
}

/// How many there are of each, how late the oldest is, what holds an app up.
#[utoipa::path(get, path = "/v1/stats", tag = "operations", params(OfApp), responses(
    (status = 200, description = "By app", body = Object)))]
pub async fn stats(State(api): State<Api>, caller: Caller, Query(query): Query<OfApp>) -> Result<Response, Problem> {
    query.check(&api, &caller)?;
    let now = api.clock.now();
    let status = api.signals.as_ref().map(|signals| signals.status()).unwrap_or_default();
    let hold = api.store.hold().await?;
    let mut apps = Vec::new();
    for (app, counts) in api.store.tally().await? {
        let configured = api.config.apps.iter().find(|a| a.name == app);
        let Some(configured) = configured.filter(|_| query.covers(&caller, &app)) else { continue };
        let lane = api.store.names().app(&app).lane;
        let (oldest, due) = api.store.overdue(lane, now).await?;
        let next = api.store.next_due(lane, now).await?;
        let named = |names: &[&str], prefix: &str| -> serde_json::Map<String, Value> {
            names.iter().map(|n| ((*n).to_owned(), counts.get(&format!("{prefix}{n}")).copied().into())).collect()
        };
        let held = status.lanes.get(&app).map(|lane| lane.held_templates.as_slice()).unwrap_or_default();
        let held_templates: Vec<Value> = held
            .iter()
            .map(|(template, code, why, until)| json!({ "template": template, "code": code, "why": why, "until": rfc3339(*until) }))
            .collect();
        let pause = status.lanes.get(&app).and_then(|lane| lane.pause.clone());
        let quota = status.lanes.get(&app).and_then(|lane| lane.quota);
        let quota = quota.map(|(quota, at)| json!({ "limit": quota.limit, "used": quota.used, "left": quota.left, "asked_at": rfc3339(at) }));
        apps.push(json!({
            "app": app,
            "reminders": named(&ReminderState::ALL.map(ReminderState::word), ""),
            "consents": named(&["available", "held", "used", "void"], "consent_"),
            "receipts": named(&["delivered", "undelivered"], "receipt_"),
            "drift": counts.get("drift"),
            "in_doubt": counts.get("in_doubt"),
            "due": due,
            "oldest_overdue_ms": oldest.map_or(0, |at| now - at),
            "next_due": next.map(rfc3339),
            "rate": status.lanes.get(&app).map(|lane| lane.rate),
            "held_templates": held_templates,
            "out_of_step": out_of_step(&api, configured),
            "quota": quota,
            "paused": pause.map(|(code, why, until)| json!({ "code": code, "why": why, "until": rfc3339(until) })),
        }));
    }
    let unconfigured = api.store.unconfigured().await?;
    let unconfigured = unconfigured.into_iter().filter(|(app, _)| query.covers(&caller, app));
    let unconfigured: Vec<Value> =
        unconfigured.map(|(app, waiting)| json!({ "app": app, "waiting": waiting })).collect();
    Ok(json(
        StatusCode::OK,
        &json!({
            "now": rfc3339(now),
            "clock_held": status.clock_held,
            "held_since": hold.map(|hold| rfc3339(hold.since)),
            "unconfigured": unconfigured,
            "apps": apps,
        }),
    ))
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyBody {
    name: String,
    /// `read`, `write` or `admin`.
    scope: String,
    /// The apps it may touch; all if left out.
    apps: Option<Vec<String>>,
}

/// Make an API key; it is shown this once.
#[utoipa::path(post, path = "/v1/keys", request_body = KeyBody, tag = "operations", responses(
    (status = 201, description = "With `key`", body = Object)))]
pub async fn create_key(
    State(api): State<Api>,
    caller: Caller,
    Json(body): Json<KeyBody>,
) -> Result<Response, Problem> {
    caller.may_manage_keys()?;
    let bad =
        |param: &str, detail: &str| Problem { code: "bad_value", detail: detail.into(), param: Some(param.into()) };
    if body.name.is_empty() || body.name.chars().count() > 64 || body.name.chars().any(char::is_control) {
        return Err(bad("/name", "a key's name has 1 to 64 characters"));
    }
    let scope = Scope::from_word(&body.scope)
        .ok_or_else(|| bad("/scope", "this is not a scope; allowed are read, write, admin"))?;
    if body.apps.as_ref().is_some_and(Vec::is_empty) {
        return Err(bad("/apps", "names no app; leave it out for all apps, or name some"));
    }
    if scope == Scope::Admin && body.apps.is_some() {
        return Err(bad(
            "/apps",
            "an admin key manages all keys and so cannot be bound to apps; leave it out, or use «write»",
        ));
    }
    for app in body.apps.iter().flatten() {
        check::app(&api.config, app)?;
    }
    let (key, new) = new_key(body.name.clone(), scope, body.apps.clone());
    let id = api.store.create_key(new).await?;
    api.refresh_keys().await;
    Ok(json(
        StatusCode::CREATED,
        &json!({ "id": id, "name": body.name, "scope": body.scope, "apps": body.apps, "key": key }),
    ))
}

/// The API keys, without the keys themselves.
#[utoipa::path(get, path = "/v1/keys", tag = "operations", responses((status = 200, description = "All of them", body = Object)))]
pub async fn list_keys(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    caller.may_manage_keys()?;
    let keys: Vec<Value> = api
        .store
        .keys()
        .await?
        .into_iter()
        .map(|key| {
            json!({
                "id": key.id, "name": key.name, "scope": key.scope.word(), "apps": key.apps,
                "created_at": rfc3339(key.created_at), "revoked_at": key.revoked_at.map(rfc3339),
            })
        })
        .collect();
    Ok(json(StatusCode::OK, &json!({ "keys": keys })))
}

/// Revoke an API key.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "operations", params(("id" = i64, Path)), responses(
    (status = 204, description = "It opens nothing any more"), (status = 404, description = "No such living key")))]
pub async fn revoke_key(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    caller.may_manage_keys()?;
    let revoked = match id.parse() {
        Ok(id) => api.store.revoke_key(id).await?,
        Err(_) => false,
    };
    if !revoked {
        return Err(Problem::new("not_found", "there is no living key of that number; `tixing key list` shows them"));
    }
    api.refresh_keys().await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, description = "It does")))]
pub async fn healthy() -> &'static str {
    "ok\n"
}

/// Whether it does its work: the store answers and is not on hold, the first look at the queue is done, the clock is believed.
#[utoipa::path(get, path = "/readyz", tag = "operations", responses(
    (status = 200, description = "It does"), (status = 503, description = "It does not; the text says why")))]
pub async fn ready(State(api): State<Api>) -> (StatusCode, String) {
    let status = api.signals.as_ref().map(|signals| signals.status()).unwrap_or_default();
    if !api.store.answers().await {
        (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n".into())
    } else if !status.ready {
        (StatusCode::SERVICE_UNAVAILABLE, "starting: the first look at the queue is not done\n".into())
    } else if let Ok(Some(hold)) = api.store.hold().await {
        (StatusCode::SERVICE_UNAVAILABLE, format!("nothing is sent: {}\n", on_hold(hold.since)))
    } else if let Some(why) = status.clock_held {
        (StatusCode::SERVICE_UNAVAILABLE, format!("nothing is sent: {why}\n"))
    } else {
        (StatusCode::OK, "ready\n".into())
    }
}

/// What a hold means and what to do.
pub(super) fn on_hold(as_of: Millis) -> String {
    format!(
        "the store was restored from a backup of {}, and what was sent since is not known; `tixing release` says what became due and \
         ends the hold",
        rfc3339(as_of)
    )
}

/// Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, description = "Prometheus text", body = String)))]
pub async fn metrics(State(api): State<Api>) -> Response {
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, text)], api.metrics.text()).into_response()
}
