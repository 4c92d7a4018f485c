//! A stand-in for the platforms: their API on one port, with a ledger of its own that judges what was sent.
//!
//! For the demo, for tests, and for staging: point an app's `base_url` at it. Orders come in under `/_sandbox`.

mod push;
mod world;

pub use push::{Format, Mode, Outgoing, PushSpec, Pushed, Pusher};
pub use world::{AppSpec, Check, Faults, Ledger, Message, TemplateSpec, World};

use crate::{clock::SharedClock, http::Hang};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use world::{Effect, Refusal};

/// The sandbox. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    world: Arc<Mutex<World>>,
    clock: SharedClock,
}

impl Sandbox {
    /// An empty world; `seed` decides which requests its faults hit.
    #[must_use]
    pub fn new(clock: SharedClock, seed: u64) -> Self {
        Self { world: Arc::new(Mutex::new(World::new(seed))), clock }
    }

    /// The world, to arrange or to judge.
    ///
    /// # Panics
    /// When somebody panicked while holding it.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nobody panics while holding the world")
    }

    /// Its HTTP.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/cgi-bin/stable_token", post(stable_token))
            .route("/cgi-bin/token", get(legacy_token))
            .route("/cgi-bin/message/subscribe/send", post(send))
            .route("/cgi-bin/openapi/quota/get", post(quota))
            .route("/wxaapi/newtmpl/gettemplate", get(list_templates))
            .route("/_sandbox/apps", post(add_app))
            .route("/_sandbox/templates", post(set_templates))
            .route("/_sandbox/popup", post(popup))
            .route("/_sandbox/settings", post(settings))
            .route("/_sandbox/messages", get(messages))
            .route("/_sandbox/pushes", get(pushes))
            .route("/_sandbox/ledger", get(ledger))
            .route("/_sandbox/faults", post(set_faults).get(faults))
            .route("/_sandbox/reset", post(reset))
            .layer(DefaultBodyLimit::max(1024 * 1024))
            .with_state(self.clone())
    }
}

fn refused(refusal: &Refusal) -> Response {
    Json(json!({ "errcode": refusal.code, "errmsg": refusal.text })).into_response()
}

#[derive(Deserialize)]
struct TokenRequest {
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    appid: String,
    #[serde(default)]
    secret: String,
    #[serde(default)]
    force_refresh: bool,
}

async fn stable_token(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    if !headers.contains_key(header::CONTENT_LENGTH) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    let asked: TokenRequest = match serde_json::from_slice(&body) {
        Ok(asked) => asked,
        Err(_) => return refused(&Refusal::new(47001, "data format error")),
    };
    give_token(&sandbox, &asked, true)
}

async fn legacy_token(State(sandbox): State<Sandbox>, Query(asked): Query<TokenRequest>) -> Response {
    give_token(&sandbox, &asked, false)
}

fn give_token(sandbox: &Sandbox, asked: &TokenRequest, stable: bool) -> Response {
    if asked.grant_type != "client_credential" {
        return refused(&Refusal::new(40002, "invalid grant_type"));
    }
    let now = sandbox.clock.now();
    match sandbox.world().token(&asked.appid, &asked.secret, stable, asked.force_refresh, now) {
        Ok((token, seconds)) => Json(json!({ "access_token": token, "expires_in": seconds })).into_response(),
        Err(refusal) => refused(&refusal),
    }
}

async fn send(
    State(sandbox): State<Sandbox>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !headers.contains_key(header::CONTENT_LENGTH) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    let token = query.get("access_token").cloned().unwrap_or_default();
    // What has arrived is worked on to its end, whether or not the caller still listens.
    let worked = tokio::spawn(async move { work(&sandbox, &token, &body).await });
    worked.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn quota(State(sandbox): State<Sandbox>, Query(query): Query<HashMap<String, String>>) -> Response {
    let token = query.get("access_token").cloned().unwrap_or_default();
    let rate = sandbox.world().faults.rate_limit;
    match sandbox.world().quota(&token, sandbox.clock.now()) {
        Ok((limit, used, left)) => Json(json!({
            "errcode": 0, "errmsg": "ok", "quota": { "daily_limit": limit, "used": used, "remain": left },
            "rate_limit": { "call_count": rate.unwrap_or(0), "refresh_second": i32::from(rate.is_some()) },
        }))
        .into_response(),
        Err(refusal) => refused(&refusal),
    }
}

async fn list_templates(State(sandbox): State<Sandbox>, Query(query): Query<HashMap<String, String>>) -> Response {
    let token = query.get("access_token").cloned().unwrap_or_default();
    match sandbox.world().templates(&token, sandbox.clock.now()) {
        Ok(templates) => {
            let shown = |t: &TemplateSpec| {
                let content: String =
                    t.fields.iter().map(|(key, label)| format!("{label}:{{{{{key}.DATA}}}}\n")).collect();
                let kind = if t.kind == crate::domain::template::Kind::OneTime { 2 } else { 3 };
                let mut shown =
                    json!({ "priTmplId": t.id, "title": t.title, "content": content, "example": "", "type": kind });
                if !t.choices.is_empty() {
                    let list = |(key, values): (&String, &Vec<String>)| json!({ "keywordCode": format!("{key}.DATA"), "enumValueList": values });
                    shown["keywordEnumValueList"] = t.choices.iter().map(list).collect();
                }
                shown
            };
            Json(json!({ "errcode": 0, "errmsg": "ok", "data": templates.iter().map(shown).collect::<Vec<_>>() }))
                .into_response()
        }
        Err(refusal) => refused(&refusal),
    }
}

async fn work(sandbox: &Sandbox, token: &str, body: &[u8]) -> Response {
    let now = sandbox.clock.now();
    let (effect, call) = sandbox.world().begin_send(token, body, now);
    if let Some(delay) = effect.delay_ms() {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if let Effect::Early(kind) = effect {
        sandbox.world().abandon(&call);
        return broken(kind);
    }
    let now = sandbox.clock.now();
    let result = sandbox.world().finish_send(call, now);
    match effect {
        Effect::Late(kind) => broken(kind),
        _ => match result {
            Ok(message_id) => {
                let mut answer = json!({ "errcode": 0, "errmsg": "ok" });
                if let Some(id) = message_id {
                    answer["msgid"] = id.into();
                }
                Json(answer).into_response()
            }
            Err(refusal) => refused(&refusal),
        },
    }
}

fn broken(kind: world::Broken) -> Response {
    match kind {
        world::Broken::Reset => {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(Hang);
            response
        }
        world::Broken::Html => (StatusCode::OK, "<html><body>系统繁忙</body></html>").into_response(),
        world::Broken::HalfJson => (StatusCode::OK, "{\"errcode\":0,\"errm").into_response(),
        world::Broken::Gateway => (StatusCode::BAD_GATEWAY, "<html>502 Bad Gateway</html>").into_response(),
        world::Broken::Relay { status, retry_after } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            let mut response = (status, "<html>a relay</html>").into_response();
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
        world::Broken::Redirect => {
            (StatusCode::FOUND, [(header::LOCATION, "https://example.invalid/")]).into_response()
        }
        world::Broken::Huge => {
            let chunk = Bytes::from_static(&[b'x'; 64 * 1024]);
            let chunks = futures_util::stream::iter((0..3_200).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
            (StatusCode::OK, Body::from_stream(chunks)).into_response()
        }
    }
}

async fn add_app(State(sandbox): State<Sandbox>, Json(app): Json<AppSpec>) -> Response {
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

/// The user taps. Answers what `wx.requestSubscribeMessage` hands to the mini-program, to be passed on to `/v1/consents`.
async fn popup(State(sandbox): State<Sandbox>, Json(tap): Json<Popup>) -> Response {
    if !sandbox.world().knows(&tap.appid) {
        return no_such_app();
    }
    let mut answer = json!({ "errMsg": "requestSubscribeMessage:ok" });
    for (template, result) in &tap.results {
        answer[template] = result.clone().into();
    }
    let results = tap
        .results
        .iter()
        .map(|(template, result)| (template.clone(), crate::platform::wechat::grants(result) == Some(true)));
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
