//! Baidu's face: its paths, tokens and codes, in the shapes that its own Go client reads.

use super::{
    Sandbox,
    face::{Face, Tapped},
    faults::hit,
    form,
    judge::{Cause, Sending, Verdict},
    world::World,
};
use crate::{
    domain::{DAY, Millis, SECOND, consent::Ticket},
    platform::baidu::{FACTS, SUBSCRIBE_PATH, TEMPLATE_PATH, TOKEN_PATH},
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Its face.
pub(super) const FACE: Face = Face { platform: FACTS.word, routes, popup, one_at_a_time: false, pushes: None };

/// How long a token lives; a new one leaves those before as they are.
const TOKEN_LIVES: Millis = 30 * DAY;

fn routes() -> Router<Sandbox> {
    Router::new()
        .route(TOKEN_PATH, post(token).merge(get(token)))
        .route(SUBSCRIBE_PATH, post(subscribe_send))
        .route(TEMPLATE_PATH, post(template_send))
}

/// The detail of the form's submit event.
fn popup(tapped: &Tapped) -> Value {
    let form = tapped.ticket.as_ref().filter(|ticket| ticket.kind == "form").map(|ticket| ticket.id.clone());
    match tapped.granted {
        true => json!({ "formId": form.unwrap_or_else(|| "sandbox-form-1".into()), "status": 0, "message": "success" }),
        false => json!({ "formId": "", "status": 500_102, "message": "用户单次拒绝授权" }),
    }
}

/// A refusal, by the gateway or behind it.
type Refusal = (i64, String);

fn refuse(code: i64, text: &str) -> Refusal {
    (code, text.to_owned())
}

fn refused((code, text): &Refusal) -> Response {
    let gateway = *code < 1_000;
    let answer = if gateway {
        json!({ "error_code": code, "error_msg": text })
    } else {
        json!({ "errno": code, "msg": text, "data": null })
    };
    Json(answer).into_response()
}

async fn token(State(sandbox): State<Sandbox>, Query(query): Query<HashMap<String, String>>, body: Bytes) -> Response {
    let said: HashMap<String, String> = query.into_iter().chain(form::pairs(&body)).collect();
    let text = |name: &str| said.get(name).cloned().unwrap_or_default();
    let refused = |error: &str, why: &str| Json(json!({ "error": error, "error_description": why })).into_response();
    if text("grant_type") != "client_credentials" {
        return refused("unsupported_grant_type", "The authorization grant type is not supported");
    }
    if text("scope") != "smartapp_snsapi_base" {
        return refused("invalid_scope", "The requested scope is invalid");
    }
    let (now, world) = (sandbox.clock.now(), &mut *sandbox.world());
    let app_key = text("client_id");
    match world.apps.get(&app_key).filter(|app| app.is_on(FACE.platform)) {
        None => return refused("invalid_client", "unknown client id"),
        Some(app) if app.secret("secret") != text("client_secret") => {
            return refused("invalid_client", "Client authentication failed");
        }
        Some(_) => {}
    }
    let token = world.new_token(&app_key, now + TOKEN_LIVES);
    Json(json!({
        "access_token": token, "expires_in": TOKEN_LIVES / SECOND, "refresh_token": "25.unused", "scope": "smartapp_snsapi_base",
        "session_key": "", "session_secret": "",
    }))
    .into_response()
}

/// The two ways to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Subscribe,
    Template,
}

async fn subscribe_send(
    State(sandbox): State<Sandbox>,
    Query(query): Query<HashMap<String, String>>,
    body: Bytes,
) -> Response {
    send(sandbox, query, body, Way::Subscribe).await
}

async fn template_send(
    State(sandbox): State<Sandbox>,
    Query(query): Query<HashMap<String, String>>,
    body: Bytes,
) -> Response {
    send(sandbox, query, body, Way::Template).await
}

async fn send(sandbox: Sandbox, query: HashMap<String, String>, body: Bytes, way: Way) -> Response {
    let token = query.get("access_token").cloned().unwrap_or_default();
    let said = form::pairs(&body);
    // What has arrived is worked on to its end, whether or not the caller still listens.
    let worked = tokio::spawn(async move {
        let read = |world: &mut World, now| read(world, &token, &said, way, now);
        sandbox.work(read, refused, move |_, sending, verdict| answer(sending, verdict, way)).await
    });
    worked.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Reads a send: the token of the query, and the rest of the form.
fn read(
    world: &mut World,
    token: &str,
    said: &HashMap<String, String>,
    way: Way,
    now: Millis,
) -> Result<Sending, Refusal> {
    if token.is_empty() {
        return Err(refuse(100, "Invalid parameter"));
    }
    let appid = match world.owner(token) {
        None => return Err(refuse(110, "Access token invalid or no longer valid")),
        Some((_, until)) if until <= now => return Err(refuse(111, "Access token expired")),
        Some((appid, _)) => appid,
    };
    if hit(&mut world.rng, world.faults.busy_rate) {
        return Err(refuse(2, "Service temporarily unavailable"));
    }
    let needed = |name: &str| said.get(name).filter(|text| !text.is_empty()).cloned();
    let missing = || refuse(2_002, "参数错误");
    let (ticket, user) = match way {
        Way::Subscribe => {
            let id = needed("subscribe_id").ok_or_else(missing)?;
            (Ticket { kind: "subscribe".into(), id }, "touser_openId")
        }
        Way::Template => {
            let id = needed("scene_id").ok_or_else(missing)?;
            let kind = match said.get("scene_type").map(String::as_str) {
                Some("1") => "form",
                Some("2") => "payment",
                Some("3") => "order",
                _ => return Err(missing()),
            };
            // The last character says whether the user was logged in, and each is named otherwise.
            let user = if id.ends_with('0') { "touser" } else { "touser_openId" };
            (Ticket { kind: kind.into(), id }, user)
        }
    };
    let openid = match needed(user) {
        Some(openid) => openid,
        None if said.contains_key("touser") || said.contains_key("touser_openId") => {
            return Err(refuse(4_004, "场景 ID 与用户登录状态不一致"));
        }
        None => return Err(missing()),
    };
    let template = needed("template_id").ok_or_else(missing)?;
    let data = needed("data").as_deref().and_then(form::values).ok_or_else(missing)?;
    Ok(Sending { appid, openid, template, page: needed("page"), data, ticket: Some(ticket) })
}

/// What became of a send. The message's id is a text in one answer and a number in the other, as Baidu's Go client reads them.
fn answer(sending: &Sending, verdict: Verdict, way: Way) -> Response {
    let subscribed = sending.ticket.as_ref().is_some_and(|ticket| ticket.kind == "subscribe");
    let (code, text) = match verdict {
        Ok(id) => {
            let key = if way == Way::Subscribe { Value::String(id.to_string()) } else { id.into() };
            return Json(json!({ "errno": 0, "msg": "success", "data": { "msg_key": key } })).into_response();
        }
        Err(Cause::Account(code)) => (code, "the account is restricted".to_owned()),
        Err(Cause::Quota) => (17, "Open api daily request limit reached".into()),
        Err(Cause::MinuteQuota) => (18, "Open api qps request limit reached".into()),
        Err(Cause::Openid) => (if subscribed { 4_010 } else { 2_002 }, "不合法的 touser_openId".into()),
        Err(Cause::NoTemplate) => (4_001, "template_id 不正确".into()),
        Err(Cause::Banned) => (6_001, "小程序没有推送权限".into()),
        Err(Cause::Page | Cause::Words) => (2_002, "参数错误".into()),
        Err(Cause::Field { key, .. }) => (2_002, format!("参数错误: {key}")),
        Err(Cause::Consent(_) | Cause::Ticket) if subscribed => (4_007, "用户未订阅该消息".into()),
        Err(Cause::Consent(_) | Cause::Concurrency) => (4_003, "表单无效".into()),
        Err(Cause::Ticket) => (4_004, "场景 ID 校验失败".into()),
    };
    refused(&(code, text))
}
