//! WeChat's face: its paths, tokens, codes and pushes, in the documented shapes.

use super::{
    Sandbox,
    app::TemplateSpec,
    face::{Face, FacePushes, Tapped},
    faults::hit,
    judge::{Cause, Sending, Verdict},
    push::{Letter, Outgoing, Pusher, Writer},
    world::World,
};
use crate::{
    config::App,
    domain::{Millis, SECOND, push::Item, template::Kind},
    platform::wechat::{FACTS, callback::Callback},
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;

/// The two families of tokens.
const STABLE: &str = "stable";
const LEGACY: &str = "legacy";

/// Its face.
pub(super) const FACE: Face = Face {
    platform: FACTS.word,
    routes,
    popup: Tapped::by_word,
    one_at_a_time: true,
    pushes: Some(FacePushes { ordered, configured }),
};

/// Its paths.
fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/cgi-bin/stable_token", post(stable_token))
        .route("/cgi-bin/token", get(legacy_token))
        .route("/cgi-bin/message/subscribe/send", post(send))
        .route("/cgi-bin/openapi/quota/get", post(quota))
        .route("/wxaapi/newtmpl/gettemplate", get(list_templates))
}

/// A refusal in WeChat's words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    code: i64,
    text: String,
}

impl Refusal {
    fn new(code: i64, text: &str) -> Self {
        Self { code, text: text.to_owned() }
    }
}

fn refused(refusal: &Refusal) -> Response {
    Json(json!({ "errcode": refusal.code, "errmsg": refusal.text })).into_response()
}

/// A refusal with the request's own id at its end.
fn refuse(world: &mut World, code: i64, text: &str) -> Refusal {
    let rng = &mut world.rng;
    let rid = format!(" rid: {:08x}-{:08x}-{:08x}", rng.random::<u32>(), rng.random::<u32>(), rng.random::<u32>());
    // Only 47003's text is cut, to 48 bytes before the rid.
    let mut end = if code == 47003 { text.len().min(48) } else { text.len() };
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Refusal { code, text: format!("{}{rid}", &text[..end]) }
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
    give_token(&sandbox, &asked, STABLE)
}

async fn legacy_token(State(sandbox): State<Sandbox>, Query(asked): Query<TokenRequest>) -> Response {
    give_token(&sandbox, &asked, LEGACY)
}

fn give_token(sandbox: &Sandbox, asked: &TokenRequest, family: &'static str) -> Response {
    if asked.grant_type != "client_credential" {
        return refused(&Refusal::new(40002, "invalid grant_type"));
    }
    match token(&mut sandbox.world(), asked, family, sandbox.clock.now()) {
        Ok((token, seconds)) => Json(json!({ "access_token": token, "expires_in": seconds })).into_response(),
        Err(refusal) => refused(&refusal),
    }
}

fn token(
    world: &mut World,
    asked: &TokenRequest,
    family: &'static str,
    now: Millis,
) -> Result<(String, Millis), Refusal> {
    let Some(app) = world.apps.get(&asked.appid) else { return Err(refuse(world, 40013, "invalid appid")) };
    if app.secret("secret") != asked.secret {
        return Err(refuse(world, 40125, "invalid appsecret"));
    }
    if world.faults.ip_blocked {
        return Err(refuse(world, 40164, "invalid ip 203.0.113.9 ipv6 ::ffff:203.0.113.9, not in whitelist"));
    }
    world.counter += 1;
    let keep = family == STABLE
        && !asked.force_refresh
        && !world.faults.tokens_refused
        && world.tokens.lives_on(&asked.appid, family, now);
    let fresh = (!keep).then(|| format!("SANDBOX-{}-{}", asked.appid, world.counter));
    let (token, until) = world.tokens.give(&asked.appid, family, fresh, now).expect("there is one now");
    Ok((token, (until - now) / SECOND))
}

/// Whose token it is.
fn owner(world: &mut World, token: &str, now: Millis) -> Result<String, Refusal> {
    match world.tokens.owner(token).filter(|_| !world.faults.tokens_refused) {
        None => Err(refuse(world, 40001, "invalid credential, access_token is invalid or not latest")),
        Some((_, until)) if until <= now => Err(refuse(world, 42001, "access_token expired")),
        Some((appid, _)) => Ok(appid),
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
    let worked =
        tokio::spawn(async move { sandbox.work(|world, now| read(world, &token, &body, now), refused, answer).await });
    worked.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn quota(State(sandbox): State<Sandbox>, Query(query): Query<HashMap<String, String>>) -> Response {
    let token = query.get("access_token").cloned().unwrap_or_default();
    let world = &mut *sandbox.world();
    let appid = match owner(world, &token, sandbox.clock.now()) {
        Ok(appid) => appid,
        Err(refusal) => return refused(&refusal),
    };
    let ((limit, used, left), rate) = (world.quota(&appid), world.faults.rate_limit);
    Json(json!({
        "errcode": 0, "errmsg": "ok", "quota": { "daily_limit": limit, "used": used, "remain": left },
        "rate_limit": { "call_count": rate.unwrap_or(0), "refresh_second": i32::from(rate.is_some()) },
    }))
    .into_response()
}

async fn list_templates(State(sandbox): State<Sandbox>, Query(query): Query<HashMap<String, String>>) -> Response {
    let token = query.get("access_token").cloned().unwrap_or_default();
    let world = &mut *sandbox.world();
    let listed = owner(world, &token, sandbox.clock.now()).and_then(|appid| match world.list_templates(&appid) {
        Some(templates) => Ok(templates),
        None => Err(refuse(world, 45009, "reach max api daily quota limit")),
    });
    match listed {
        Ok(templates) => {
            let shown = |t: &TemplateSpec| {
                let content: String =
                    t.fields.iter().map(|(key, label)| format!("{label}:{{{{{key}.DATA}}}}\n")).collect();
                let kind = if t.kind == Kind::OneTime { 2 } else { 3 };
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

/// Reads a send.
fn read(world: &mut World, token: &str, body: &[u8], now: Millis) -> Result<Sending, Refusal> {
    if world.faults.token_revoked {
        world.faults.token_revoked = false;
        world.tokens.revoke();
    }
    if token.is_empty() {
        return Err(refuse(world, 41001, "access_token missing"));
    }
    let appid = owner(world, token, now)?;
    if hit(&mut world.rng, world.faults.busy_rate) {
        return Err(refuse(world, -1, "system error"));
    }
    if body.is_empty() {
        return Err(refuse(world, 44002, "empty post data"));
    }
    let body = match serde_json::from_slice::<Value>(body) {
        Ok(body) if body.is_object() => body,
        _ => return Err(refuse(world, 47001, "data format error")),
    };
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let data = body["data"].as_object().into_iter().flatten();
    let data = data.map(|(k, v)| (k.clone(), v["value"].as_str().unwrap_or_default().to_owned())).collect();
    let page = body["page"].as_str().map(str::to_owned);
    Ok(Sending { appid, openid: text("touser"), template: text("template_id"), page, data, ticket: None })
}

/// What became of a send.
fn answer(world: &mut World, sending: &Sending, verdict: Verdict) -> Response {
    let cause = match verdict {
        Ok(id) => {
            let mut answer = json!({ "errcode": 0, "errmsg": "ok" });
            if world.apps[&sending.appid].msgid {
                answer["msgid"] = id.into();
            }
            return Json(answer).into_response();
        }
        Err(cause) => cause,
    };
    let (code, text) = match &cause {
        Cause::Account(code) => (*code, "api unauthorized or banned".to_owned()),
        Cause::Quota => (45009, "reach max api daily quota limit".into()),
        Cause::MinuteQuota => (45011, "api minute-quota reach limit".into()),
        Cause::Openid => (40003, "invalid openid".into()),
        Cause::NoTemplate => (40037, "invalid template_id".into()),
        Cause::Banned => (43107, "subscribe ability is banned".into()),
        Cause::Concurrency => (43108, "Cannot make concurrent calls to the same OpenID, please try again".into()),
        Cause::Page => (41030, "invalid page".into()),
        Cause::Field { key, empty: true } => (47003, format!("argument invalid! data.{key}.value is empty")),
        Cause::Field { key, empty: false } => (47003, format!("argument invalid! data.{key}.value invalid")),
        Cause::Words => (45168, "keyword in blacklist".into()),
        Cause::Consent(_) | Cause::Ticket => (43101, "user refuse to accept the msg".into()),
    };
    refused(&refuse(world, code, &text))
}

/// Where an app's pushes go, as an order says it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PushSpec {
    /// Such as `http://127.0.0.1:8700/callback/coffee`.
    url: String,
    /// The console's Token.
    token: String,
    /// The console's EncodingAESKey; none in plain mode.
    #[serde(default)]
    aes_key: Option<String>,
    /// `plain`, `compat` or `secure`; secure if there is a key.
    #[serde(default)]
    mode: Option<Mode>,
    /// `json` (default) or `xml`.
    #[serde(default)]
    format: Format,
}

/// The console's 消息加密方式.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// 明文.
    Plain,
    /// 兼容: in clear and sealed together.
    Compat,
    /// 安全.
    Secure,
}

/// The console's 数据格式.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// XML.
    Xml,
}

/// Who signs and seals an app's pushes, and how they are written.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// What signs and seals.
    pub callback: Callback,
    /// How it is sealed.
    pub mode: Mode,
    /// How it is written.
    pub format: Format,
}

/// As an order says it.
fn ordered(appid: &str, _: &str, push: Value) -> Result<Pusher, String> {
    let spec: PushSpec = serde_json::from_value(push).map_err(|e| e.to_string())?;
    let key = spec.aes_key.as_deref().map(Into::into);
    let callback = Callback::new(appid.to_owned(), spec.token.as_str().into(), key.as_ref());
    let callback = callback.map_err(|bad| bad.why.to_string())?;
    let default = if key.is_some() { Mode::Secure } else { Mode::Plain };
    let mode = spec.mode.unwrap_or(default);
    if mode != Mode::Plain && key.is_none() {
        return Err("the compat and secure modes need an aes_key".into());
    }
    Ok(Pusher::new(spec.url, Envelope { callback, mode, format: spec.format }))
}

/// With an app's own secrets: encrypted if they have a key.
fn configured(app: &App, url: String) -> Result<Pusher, String> {
    let secrets = app.callback.as_ref().ok_or("the app has no callback")?;
    let callback = Callback::new(app.appid.clone(), secrets["token"].clone(), secrets.get("aes_key"))
        .map_err(|bad| bad.why.to_string())?;
    let mode = if callback.has_key() { Mode::Secure } else { Mode::Plain };
    Ok(Pusher::new(url, Envelope { callback, mode, format: Format::Json }))
}

impl Writer for Envelope {
    fn event(&self, push: &Outgoing) -> &'static str {
        names(push).0
    }

    fn write(&self, push: &Outgoing, now: Millis, random: [u8; 16]) -> Letter {
        let content_type = if self.format == Format::Json { "application/json" } else { "text/xml" };
        let (query, body) = self.written(push, now, random);
        Letter { query, headers: vec![("content-type", content_type.to_owned())], body }
    }
}

/// The event, and its wrapper in XML.
fn names(push: &Outgoing) -> (&'static str, &'static str) {
    match push.items.first() {
        Some(Item::TurnedOff { .. }) => ("subscribe_msg_change_event", "SubscribeMsgChangeEvent"),
        Some(Item::Receipt(_)) => ("subscribe_msg_sent_event", "SubscribeMsgSentEvent"),
        _ => ("subscribe_msg_popup_event", "SubscribeMsgPopupEvent"),
    }
}

impl Envelope {
    /// The query and the body, signed and sealed as of `now`.
    fn written(&self, push: &Outgoing, now: Millis, random: [u8; 16]) -> (String, String) {
        let value = json(push);
        let clear = match self.format {
            Format::Json => value.to_string(),
            Format::Xml => format!("<xml>{}</xml>", xml(push, &value)),
        };
        let (timestamp, nonce) =
            ((now / SECOND).to_string(), u32::from_be_bytes(random[..4].try_into().expect("four")).to_string());
        let signature = self.callback.sign(&timestamp, &nonce, None);
        let query = format!("signature={signature}&timestamp={timestamp}&nonce={nonce}&openid={}", push.openid);
        if self.mode == Mode::Plain {
            return (query, clear);
        }
        let sealed = self.callback.seal(clear.as_bytes(), random).expect("these modes have a key");
        let signature = self.callback.sign(&timestamp, &nonce, Some(&sealed));
        let query = format!("{query}&encrypt_type=aes&msg_signature={signature}");
        let body = match (self.format, self.mode) {
            (Format::Json, Mode::Compat) => {
                let mut both = value;
                both["Encrypt"] = sealed.into();
                both.to_string()
            }
            (Format::Json, _) => json!({ "ToUserName": "gh_sandbox", "Encrypt": sealed }).to_string(),
            (Format::Xml, mode) => {
                let beside = if mode == Mode::Compat { xml(push, &value) } else { cdata("ToUserName", "gh_sandbox") };
                format!("<xml>{beside}{}</xml>", cdata("Encrypt", &sealed))
            }
        };
        (query, body)
    }
}

/// The message in clear, as JSON.
fn json(push: &Outgoing) -> Value {
    let odd = push.shape % 2 == 1;
    let number = |n: i64| if odd { Value::String(n.to_string()) } else { n.into() };
    let item = |item: &Item| match item {
        Item::Answered { template, accepted } => json!({
            "TemplateId": template, "SubscribeStatusString": if *accepted { "accept" } else { "reject" }, "PopupScene": "0",
        }),
        Item::TurnedOff { template } => json!({ "TemplateId": template, "SubscribeStatusString": "reject" }),
        Item::Receipt(receipt) => json!({
            "TemplateId": receipt.template,
            "MsgID": receipt.message_id.as_deref().unwrap_or("0"),
            "ErrorCode": receipt.failure.as_deref().unwrap_or("0"),
            "ErrorStatus": receipt.text,
        }),
    };
    let mut items: Vec<Value> = push.items.iter().map(item).collect();
    // Documented since somebody fell over it: one item is no list.
    let list = if items.len() == 1 { items.remove(0) } else { Value::Array(items) };
    json!({
        "ToUserName": "gh_sandbox", "FromUserName": push.openid, "CreateTime": number(push.at / SECOND), "MsgType": "event",
        "Event": names(push).0, "List": list,
    })
}

/// The message as the members of its XML.
fn xml(push: &Outgoing, value: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let heads = ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Event"];
    let heads: String = heads.iter().map(|name| cdata(name, &text(&value[*name]))).collect();
    let items = value["List"].as_array().cloned().unwrap_or_else(|| vec![value["List"].clone()]);
    let item = |item: &Value| {
        let members = item.as_object().into_iter().flatten();
        format!("<List>{}</List>", members.map(|(name, value)| cdata(name, &text(value))).collect::<String>())
    };
    let wrapper = names(push).1;
    format!("{heads}<{wrapper}>{}</{wrapper}>", items.iter().map(item).collect::<String>())
}

fn cdata(name: &str, text: &str) -> String {
    format!("<{name}><![CDATA[{}]]></{name}>", text.replace("]]>", "]]]]><![CDATA[>"))
}
