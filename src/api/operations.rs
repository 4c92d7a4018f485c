//! What is not about one user: stats, keys, health, metrics.

use super::{
    Api,
    auth::{Caller, new_key},
    check,
    extract::{Json, Query, json},
    problem::Problem,
    templates::out_of_step,
};
use crate::{
    domain::{consent::Balance, reminder::State as ReminderState, timing::rfc3339},
    store::{
        hold::{Hold, HoldTold},
        keys::{ApiKey, Scope},
    },
    words::{Message, say},
};
use axum::{
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which app.
#[derive(Debug, Deserialize, utoipa::IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
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

/// How all apps stand.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stats {
    #[schema(format = DateTime)]
    now: String,
    /// Why nothing is sent, if the clock is not believed.
    #[schema(required = true)]
    clock_held: Option<String>,
    /// If the store is on hold: from here on it is not known what was sent.
    #[schema(required = true, format = DateTime)]
    held_since: Option<String>,
    /// Why.
    #[schema(required = true)]
    hold: Option<HoldTold>,
    /// Apps that the configuration does not name any more.
    unconfigured: Vec<Unconfigured>,
    apps: Vec<AppStats>,
}

/// An app that the configuration does not name any more.
#[derive(Debug, Serialize, ToSchema)]
pub struct Unconfigured {
    app: String,
    /// Reminders that have not ended.
    waiting: i64,
}

/// How one app stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppStats {
    app: String,
    reminders: ReminderCounts,
    consents: Balance,
    receipts: ReceiptCounts,
    /// Refusals for want of a consent that the ledger had.
    drift: i64,
    in_doubt: i64,
    /// Reminders whose instant has come.
    due: i64,
    /// How long the oldest of them has been due.
    oldest_overdue_ms: i64,
    #[schema(required = true, format = DateTime)]
    next_due: Option<String>,
    /// Sends per second for now; none without a daemon.
    #[schema(required = true)]
    rate: Option<u32>,
    held_templates: Vec<HeldTemplate>,
    out_of_step: Vec<OutOfStep>,
    #[schema(required = true)]
    quota: Option<DayQuota>,
    #[schema(required = true)]
    paused: Option<Paused>,
}

/// Reminders by state.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReminderCounts {
    scheduled: i64,
    sending: i64,
    in_doubt: i64,
    sent: i64,
    failed: i64,
    expired: i64,
    cancelled: i64,
    unconfirmed: i64,
}

/// Receipts that came.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReceiptCounts {
    delivered: i64,
    undelivered: i64,
}

/// A template that the platform refuses for now.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldTemplate {
    template: String,
    /// The platform's.
    code: String,
    why: String,
    /// When it is tried again.
    #[schema(format = DateTime)]
    until: String,
}

/// A template that the platform does not have as it is configured.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutOfStep {
    pub(super) template: String,
    pub(super) why: String,
}

/// What the platform said of the day's sends.
#[derive(Debug, Serialize, ToSchema)]
pub struct DayQuota {
    limit: i64,
    used: i64,
    left: i64,
    #[schema(format = DateTime)]
    asked_at: String,
}

/// Why an app sends nothing for now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Paused {
    /// The platform's, or a word.
    code: String,
    why: String,
    /// When one message is tried.
    #[schema(format = DateTime)]
    until: String,
}

/// How many there are of each, how late the oldest is, what holds an app up.
#[utoipa::path(get, path = "/v1/stats", operation_id = "show_stats", tag = "operations", params(OfApp), responses(
    (status = 200, description = "By app", body = Stats)))]
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
        let n = |word: &str| counts.get(word).copied().unwrap_or_default();
        let of = |state: ReminderState| n(state.word());
        let live = status.lanes.get(&app);
        let held = live.map(|lane| lane.suspended.as_slice()).unwrap_or_default();
        let held = held.iter().cloned().map(|suspended| HeldTemplate {
            template: suspended.template,
            code: suspended.code,
            why: suspended.why.to_string(),
            until: rfc3339(suspended.until),
        });
        let quota = live.and_then(|lane| lane.quota).map(|asked| DayQuota {
            limit: asked.quota.limit,
            used: asked.quota.used,
            left: asked.quota.left,
            asked_at: rfc3339(asked.at),
        });
        let paused = live.and_then(|lane| lane.pause.clone());
        apps.push(AppStats {
            reminders: ReminderCounts {
                scheduled: of(ReminderState::Scheduled),
                sending: of(ReminderState::Sending),
                in_doubt: of(ReminderState::InDoubt),
                sent: of(ReminderState::Sent),
                failed: of(ReminderState::Failed),
                expired: of(ReminderState::Expired),
                cancelled: of(ReminderState::Cancelled),
                unconfirmed: of(ReminderState::Unconfirmed),
            },
            consents: Balance {
                available: n("consent_available"),
                held: n("consent_held"),
                used: n("consent_used"),
                void: n("consent_void"),
            },
            receipts: ReceiptCounts { delivered: n("receipt_delivered"), undelivered: n("receipt_undelivered") },
            drift: n("drift"),
            in_doubt: of(ReminderState::InDoubt),
            due,
            oldest_overdue_ms: oldest.map_or(0, |at| now - at),
            next_due: next.map(rfc3339),
            rate: live.map(|lane| lane.rate),
            held_templates: held.collect(),
            out_of_step: out_of_step(&api, configured),
            quota,
            paused: paused.map(|pause| Paused {
                code: pause.code,
                why: pause.why.to_string(),
                until: rfc3339(pause.until),
            }),
            app,
        });
    }
    let unconfigured = api.store.unconfigured().await?.into_iter().filter(|(app, _)| query.covers(&caller, app));
    let stats = Stats {
        now: rfc3339(now),
        clock_held: status.clock_distrusted.map(|why| why.to_string()),
        held_since: hold.as_ref().map(|hold| rfc3339(hold.since)),
        hold: hold.as_ref().map(Hold::told),
        unconfigured: unconfigured.map(|(app, waiting)| Unconfigured { app, waiting }).collect(),
        apps,
    };
    Ok(json(StatusCode::OK, &stats))
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey, example = json!({"name": "backend", "scope": "write", "apps": ["coffee"]}))]
pub struct KeyBody {
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    #[schema(value_type = Scope)]
    scope: String,
    /// The apps it may touch; all if left out. An admin key is not bound to apps.
    #[schema(min_items = 1)]
    apps: Option<Vec<String>>,
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 2, "name": "backend", "scope": "write", "apps": ["coffee"], "key": "tx_7d2k5q3w6n4h7m2p5r3t6v4x7z2b5c3f",
}))]
pub struct KeyMade {
    /// By which it is revoked.
    id: i64,
    name: String,
    scope: Scope,
    #[schema(required = true)]
    apps: Option<Vec<String>>,
    /// What goes behind `Authorization: Bearer`.
    key: String,
}

/// Make an API key; it is shown this once.
#[utoipa::path(post, path = "/v1/keys", operation_id = "create_key", request_body = KeyBody, tag = "operations", responses(
    (status = 201, description = "The key itself, which is not kept", body = KeyMade)))]
pub async fn create_key(
    State(api): State<Api>,
    caller: Caller,
    Json(body): Json<KeyBody>,
) -> Result<Response, Problem> {
    caller.may_manage_keys()?;
    let bad = |param: &str, detail: Message| Problem::new("bad_value", detail).at(param);
    if body.name.is_empty() || body.name.chars().count() > 64 || body.name.chars().any(char::is_control) {
        return Err(bad("/name", say!("bad_key_name")));
    }
    let scope = Scope::from_word(&body.scope).ok_or_else(|| bad("/scope", say!("not_a_scope")))?;
    if body.apps.as_ref().is_some_and(Vec::is_empty) {
        return Err(bad("/apps", say!("no_app_named")));
    }
    if scope == Scope::Admin && body.apps.is_some() {
        return Err(bad("/apps", say!("admin_key_of_apps")));
    }
    for app in body.apps.iter().flatten() {
        check::app(&api.config, app)?;
    }
    let KeyBody { name, apps, .. } = body;
    let (key, new) = new_key(name.clone(), scope, apps.clone());
    let id = api.store.create_key(new).await?;
    api.refresh_keys().await;
    Ok(json(StatusCode::CREATED, &KeyMade { id, name, scope, apps, key }))
}

/// The API keys, without the keys themselves.
#[derive(Debug, Serialize, ToSchema)]
pub struct Keys {
    /// Revoked ones too, oldest first.
    keys: Vec<KeyJson>,
}

/// One API key, without the key itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyJson {
    id: i64,
    name: String,
    scope: Scope,
    /// All if null.
    #[schema(required = true)]
    apps: Option<Vec<String>>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(required = true, format = DateTime)]
    revoked_at: Option<String>,
}

/// The API keys, without the keys themselves.
#[utoipa::path(get, path = "/v1/keys", operation_id = "list_keys", tag = "operations", responses(
    (status = 200, description = "All of them", body = Keys)))]
pub async fn list_keys(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    caller.may_manage_keys()?;
    let shown = |key: ApiKey| KeyJson {
        id: key.id,
        name: key.name,
        scope: key.scope,
        apps: key.apps,
        created_at: rfc3339(key.created_at),
        revoked_at: key.revoked_at.map(rfc3339),
    };
    Ok(json(StatusCode::OK, &Keys { keys: api.store.keys().await?.into_iter().map(shown).collect() }))
}

/// Revoke an API key.
#[utoipa::path(delete, path = "/v1/keys/{id}", operation_id = "revoke_key", tag = "operations", params(("id" = i64, Path)), responses(
    (status = 204, description = "It opens nothing any more")))]
pub async fn revoke_key(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    caller.may_manage_keys()?;
    let revoked = match id.parse() {
        Ok(id) => api.store.revoke_key(id).await?,
        Err(_) => false,
    };
    if !revoked {
        return Err(Problem::new("not_found", say!("no_living_key")));
    }
    api.refresh_keys().await;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "check_health", tag = "health", responses(
    (status = 200, description = "It does", body = String)))]
pub async fn healthy() -> &'static str {
    "ok\n"
}

/// Whether it does its work: the store answers and is not on hold, the first look at the queue is done, the clock is believed.
#[utoipa::path(get, path = "/readyz", operation_id = "check_readiness", tag = "health", responses(
    (status = 200, description = "It does", body = String),
    (status = 503, description = "It does not; the text says why", body = String)))]
pub async fn ready(State(api): State<Api>) -> (StatusCode, String) {
    let status = api.signals.as_ref().map(|signals| signals.status()).unwrap_or_default();
    if !api.store.answers().await {
        (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n".into())
    } else if !status.ready {
        (StatusCode::SERVICE_UNAVAILABLE, "starting: the first look at the queue is not done\n".into())
    } else if let Ok(Some(hold)) = api.store.hold().await {
        (StatusCode::SERVICE_UNAVAILABLE, format!("nothing is sent: {}\n", hold.why()))
    } else if let Some(why) = status.clock_distrusted {
        (StatusCode::SERVICE_UNAVAILABLE, format!("nothing is sent: {why}\n"))
    } else {
        (StatusCode::OK, "ready\n".into())
    }
}

/// Prometheus text.
#[utoipa::path(get, path = "/metrics", operation_id = "read_metrics", tag = "health", responses(
    (status = 200, description = "Prometheus text", body = String, content_type = "application/openmetrics-text")))]
pub async fn metrics(State(api): State<Api>) -> Response {
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, text)], api.metrics.text()).into_response()
}
