//! Douyin's face: its paths, tokens, codes and webhooks, in the documented shapes and, where those could not be read, in those that other
//! people's clients expect.

use super::{
    Sandbox,
    app::TemplateSpec,
    face::{Face, FacePushes, Tapped},
    faults::hit,
    judge::{Cause, Sending, Verdict},
    ledger::Denied,
    push::{Letter, Outgoing, Pusher, Writer},
    world::World,
};
use crate::{
    config::App,
    domain::{Millis, SECOND, push::Item, template::Kind},
    platform::douyin::{FACTS, webhook::Webhook},
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

/// The two families of tokens.
const STABLE: &str = "stable";
const CLIENT: &str = "client";

/// The face.
pub(super) const FACE: Face =
    Face { platform: FACTS.word, routes, popup, one_at_a_time: true, pushes: Some(FacePushes { ordered, configured }) };

/// Its paths.
fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/oauth/stable_client_token/", post(stable_token))
        .route("/oauth/client_token/", post(client_token))
        .route("/api/notification/v2/subscription/notify_user/", post(send))
        .route("/api/notification/v2/subscription/query_app_tpl/", get(list_templates))
        .route("/api/notification/v2/subscription/query_user_subscribe/", post(query_user))
}

/// A word for each template, and for those that were ticked their status too: one who is subscribed already has ticked it.
fn popup(tapped: &Tapped) -> Value {
    let mut answer = json!({ "errMsg": "requestSubscribeMessage:ok", "templateSettings": {} });
    for (template, word) in &tapped.results {
        let ticked = ["accept", "repeat", "limit"].contains(&word.as_str());
        answer[template] = if ticked { "accept" } else { word }.into();
        if ticked {
            answer["templateSettings"][template] = json!({ "status": word, "alwaysSubscribe": false });
        }
    }
    answer
}

/// A refusal in Douyin's words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    code: i64,
    text: &'static str,
}

impl Refusal {
    fn new(code: i64, text: &'static str) -> Self {
        Self { code, text }
    }
}

/// What a call of V2 answers.
fn said(code: i64, text: &str, data: Option<Value>) -> Response {
    let mut answer = json!({ "err_no": code, "err_msg": text, "log_id": "202603010900000100000000000SANDBOX" });
    if let Some(data) = data {
        answer["data"] = data;
    }
    Json(answer).into_response()
}

fn refused(refusal: &Refusal) -> Response {
    said(refusal.code, refusal.text, None)
}

#[derive(Deserialize)]
struct TokenRequest {
    #[serde(default)]
    client_key: String,
    #[serde(default)]
    client_secret: String,
    #[serde(default)]
    grant_type: String,
}

async fn stable_token(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    give_token(&sandbox, &body, STABLE)
}

async fn client_token(State(sandbox): State<Sandbox>, body: Bytes) -> Response {
    give_token(&sandbox, &body, CLIENT)
}

fn give_token(sandbox: &Sandbox, body: &[u8], family: &'static str) -> Response {
    let asked: Result<TokenRequest, _> = serde_json::from_slice(body);
    let asked = asked.map_err(|_| Refusal::new(10_002, "parameter error"));
    let data = match asked.and_then(|asked| token(&mut sandbox.world(), &asked, family, sandbox.clock.now())) {
        Ok((token, seconds)) => {
            let data = json!({ "access_token": token, "description": "", "error_code": 0, "expires_in": seconds });
            return Json(json!({ "data": data, "message": "success" })).into_response();
        }
        Err(Refusal { code, text }) => {
            json!({ "captcha": "", "desc_url": "", "description": text, "error_code": code })
        }
    };
    Json(json!({ "data": data, "message": "error" })).into_response()
}

/// The stable one is the same for two hours, whoever asks. The other is always a new one.
fn token(
    world: &mut World,
    asked: &TokenRequest,
    family: &'static str,
    now: Millis,
) -> Result<(String, Millis), Refusal> {
    if asked.grant_type != "client_credential" {
        return Err(Refusal::new(10_002, "grant_type is wrong"));
    }
    if asked.client_key.is_empty() {
        return Err(Refusal::new(10_003, "client_key is missing"));
    }
    let app = world.apps.get(&asked.client_key).filter(|app| app.platform == FACTS.word);
    if app.is_none_or(|app| app.secret("secret") != asked.client_secret) {
        return Err(Refusal::new(10_013, "client_key or client_secret is wrong"));
    }
    world.counter += 1;
    let keep =
        family == STABLE && !world.faults.tokens_refused && world.tokens.lives_on(&asked.client_key, family, now);
    let fresh = (!keep).then(|| format!("clt.SANDBOX{}{}", asked.client_key, world.counter));
    let (token, until) = world.tokens.give(&asked.client_key, family, fresh, now).expect("there is one now");
    Ok((token, (until - now) / SECOND))
}

/// Whose token the headers carry.
fn owner(world: &World, headers: &HeaderMap, now: Millis) -> Result<String, Refusal> {
    let token = headers.get("access-token").and_then(|token| token.to_str().ok()).unwrap_or_default();
    let owner = world.tokens.owner(token).filter(|_| !world.faults.tokens_refused);
    match owner.filter(|(appid, _)| world.apps.get(appid).is_some_and(|app| app.platform == FACTS.word)) {
        None => Err(Refusal::new(28_001_003, "access_token is invalid")),
        Some((_, until)) if until <= now => Err(Refusal::new(28_001_008, "access_token has expired")),
        Some((appid, _)) => Ok(appid),
    }
}

async fn send(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    // What has arrived is worked on to its end, whether or not the caller still listens.
    let worked =
        tokio::spawn(
            async move { sandbox.work(|world, now| read(world, &headers, &body, now), refused, answer).await },
        );
    worked.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Reads a send.
fn read(world: &mut World, headers: &HeaderMap, body: &[u8], now: Millis) -> Result<Sending, Refusal> {
    if world.faults.token_revoked {
        world.faults.token_revoked = false;
        world.tokens.revoke();
    }
    let appid = owner(world, headers, now)?;
    if hit(&mut world.rng, world.faults.busy_rate) {
        return Err(Refusal::new(28_001_005, "system busy"));
    }
    let wrong = || Refusal::new(28_001_007, "parameter error");
    let body: Value = serde_json::from_slice(body).map_err(|_| wrong())?;
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    let data = body["data"].as_object().into_iter().flatten();
    let data: Option<_> = data.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
    let (openid, template) = text("open_id").zip(text("msg_id")).ok_or_else(wrong)?;
    Ok(Sending { appid, openid, template, page: text("page"), data: data.ok_or_else(wrong)?, ticket: None })
}

/// What became of a send.
fn answer(_: &mut World, _: &Sending, verdict: Verdict) -> Response {
    let Err(cause) = verdict else { return said(0, "", None) };
    let (code, text) = match cause {
        Cause::Account(code) => (code, "ability is missing or banned"),
        Cause::Quota => (28_003_017, "quota is used up"),
        Cause::MinuteQuota => (28_003_018, "too frequent"),
        Cause::Openid => (28_001_015, "token and open_id do not match"),
        // Which codes the platform has for these is not known.
        Cause::Ticket | Cause::NoTemplate | Cause::Page | Cause::Field { empty: true, .. } => {
            (28_014_001, "parameter error")
        }
        Cause::Banned => (1_009, "push ability is banned"),
        Cause::Concurrency => (1_010, "too frequent for one user"),
        Cause::Field { empty: false, .. } => (28_014_038, "a field is too long"),
        Cause::Words => (1_008, "content violates the rules"),
        Cause::Consent(Denied::Never) => (28_014_043, "user has not subscribed to the template"),
        Cause::Consent(Denied::UsedUp) => (28_014_041, "quota of the template is used up"),
        Cause::Consent(Denied::Off) => (28_014_036, "user refuses the template"),
    };
    said(code, text, None)
}

#[derive(Deserialize)]
struct Page {
    page_num: Option<usize>,
    page_size: Option<usize>,
}

async fn list_templates(State(sandbox): State<Sandbox>, Query(page): Query<Page>, headers: HeaderMap) -> Response {
    let world = &mut *sandbox.world();
    let listed = owner(world, &headers, sandbox.clock.now())
        .and_then(|appid| world.list_templates(&appid).ok_or(Refusal::new(28_003_017, "quota is used up")));
    let templates = match listed {
        Ok(templates) => templates,
        Err(refusal) => return refused(&refusal),
    };
    let size = page.page_size.unwrap_or(10).clamp(1, 50);
    let from = page.page_num.unwrap_or(1).max(1).saturating_sub(1).saturating_mul(size);
    let shown = |(i, t): (usize, &TemplateSpec)| {
        json!({
            "msg_id": t.id, "template_id": i, "title": t.title, "category_name": "", "host_list": ["douyin"],
            "classification": if t.kind == Kind::OneTime { 1 } else { 2 }, "keyword_list": t.fields.keys().collect::<Vec<_>>(),
        })
    };
    let list: Vec<Value> = templates.iter().enumerate().skip(from).take(size).map(shown).collect();
    said(0, "", Some(json!({ "total_count": templates.len(), "template_list": list })))
}

/// Whether a user is subscribed, in the numbers of the webhook, which are presumed to be the same here.
async fn query_user(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    let now = sandbox.clock.now();
    let world = &mut *sandbox.world();
    let appid = match owner(world, &headers, now) {
        Ok(appid) => appid,
        Err(refusal) => return refused(&refusal),
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (Some(template), Some(openid)) = (body["msg_id"].as_str(), body["open_id"].as_str()) else {
        return refused(&Refusal::new(28_001_007, "parameter error"));
    };
    let long_term = world.apps[&appid].templates.iter().any(|t| t.id == template && t.kind == Kind::LongTerm);
    let status = match world.grants.denies(&appid, openid, template, now) {
        None => action(true, long_term),
        Some(Denied::Off) => action(false, long_term),
        Some(Denied::Never | Denied::UsedUp) => 0,
    };
    said(0, "", Some(json!({ "subscribe_status": status, "user_allow_notification": status != 0 })))
}

/// The platform's number for what a user did.
fn action(accepted: bool, long_term: bool) -> u8 {
    match (accepted, long_term) {
        (true, false) => 1,
        (true, true) => 2,
        (false, true) => 3,
        (false, false) => 4,
    }
}

/// Who signs an app's webhooks.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Whose they are.
    pub client_key: String,
    /// What signs them.
    pub webhook: Webhook,
}

/// Where an app's webhooks go, as an order says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PushSpec {
    /// Such as `http://127.0.0.1:8700/callback/coffee`.
    url: String,
    /// What signs them; the app's secret, if it is left out.
    secret: Option<String>,
}

fn ordered(appid: &str, secret: &str, push: Value) -> Result<Pusher, String> {
    let spec: PushSpec = serde_json::from_value(push).map_err(|e| e.to_string())?;
    pusher(appid, spec.url, spec.secret.as_deref().unwrap_or(secret))
}

fn configured(app: &App, url: String) -> Result<Pusher, String> {
    let secret = app.callback.as_ref().and_then(|callback| callback.get("secret")).or(app.secrets.get("secret"));
    pusher(&app.appid, url, secret.map(|secret| secret.expose_secret()).unwrap_or_default())
}

fn pusher(client_key: &str, url: String, secret: &str) -> Result<Pusher, String> {
    let webhook = Webhook::new(client_key.to_owned(), secret.into()).map_err(|bad| bad.why.to_string())?;
    Ok(Pusher::new(url, Signed { client_key: client_key.to_owned(), webhook }))
}

impl Writer for Signed {
    /// A webhook is about one template, and a message that arrived has none.
    fn split(&self, items: Vec<Item>) -> Vec<Vec<Item>> {
        let told = |item: &Item| !matches!(item, Item::Receipt(receipt) if receipt.failure.is_none());
        items.into_iter().filter(told).map(|item| vec![item]).collect()
    }

    fn event(&self, push: &Outgoing) -> &'static str {
        match push.items.first() {
            Some(Item::Receipt(_)) => "send_push_failed_event",
            _ => "user_subscribe_action",
        }
    }

    fn write(&self, push: &Outgoing, _: Millis, _: [u8; 16]) -> Letter {
        let odd = push.shape % 2 == 1;
        let number = |n: i64| if odd { Value::String(n.to_string()) } else { n.into() };
        let content = match push.items.first() {
            // The user has switched banners off.
            Some(Item::Receipt(receipt)) => {
                json!({ "msg_id": receipt.template, "time": number(push.at / SECOND), "reason": number(102) })
            }
            Some(item) => {
                let accepted = matches!(item, Item::Answered { accepted: true, .. });
                json!({ "msg_id": item.template(), "time": number(push.at / SECOND),
                    "subscribe_action": number(action(accepted, push.long_term).into()) })
            }
            None => json!({}),
        };
        let body = json!({
            "event": self.event(push), "client_key": self.client_key, "from_user_id": push.openid, "to_user_id": "",
            "content": content.to_string(),
        });
        let body = body.to_string();
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-douyin-signature", self.webhook.sign(body.as_bytes())),
            // The same for each try.
            ("msg-id", format!("{:016x}", push.shape)),
        ];
        Letter { query: String::new(), headers, body }
    }
}
