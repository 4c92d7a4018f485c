//! Kuaishou's face: its paths, tokens and codes. Nobody has recorded its answers: they are written from the documents.

use super::{
    Sandbox,
    face::{Face, Tapped},
    faults::hit,
    form,
    judge::{Cause, Sending, Verdict},
    world::World,
};
use crate::{
    domain::{DAY, Millis, SECOND},
    platform::kuaishou::{FACTS, SEND_PATH, TOKEN_PATH},
};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;
use std::collections::HashMap;

/// Its face.
pub(super) const FACE: Face =
    Face { platform: FACTS.word, routes, popup: Tapped::by_word, one_at_a_time: false, pushes: None };

/// How long a token lives; a new one leaves those before as they are.
const TOKEN_LIVES: Millis = 2 * DAY;

/// The code for a user who has not subscribed. It is made up: the real one is not documented.
const NOT_SUBSCRIBED: i64 = 100_200_999;

fn routes() -> Router<Sandbox> {
    // The page of 2024 shows the token's request as a GET, too.
    Router::new().route(TOKEN_PATH, post(token).merge(get(token))).route(SEND_PATH, post(send))
}

/// A refusal in Kuaishou's words.
type Refusal = (i64, String);

fn refuse(code: i64, text: &str) -> Refusal {
    (code, text.to_owned())
}

fn refused((code, text): &Refusal) -> Response {
    Json(json!({ "result": code, "error_msg": text })).into_response()
}

/// What a request says, in its query or in its form.
fn said(query: HashMap<String, String>, body: &[u8]) -> HashMap<String, String> {
    query.into_iter().chain(form::pairs(body)).collect()
}

async fn token(State(sandbox): State<Sandbox>, Query(query): Query<HashMap<String, String>>, body: Bytes) -> Response {
    let said = said(query, &body);
    let text = |name: &str| said.get(name).cloned().unwrap_or_default();
    if text("grant_type") != "client_credentials" {
        return refused(&refuse(100_200_104, "unsupported grant_type"));
    }
    let (now, world) = (sandbox.clock.now(), &mut *sandbox.world());
    let app_id = text("app_id");
    if !world
        .apps
        .get(&app_id)
        .is_some_and(|app| app.is_on(FACE.platform) && app.secret("secret") == text("app_secret"))
    {
        return refused(&refuse(100_200_101, "app_id or app_secret is wrong"));
    }
    let token = world.new_token(&app_id, now + TOKEN_LIVES);
    let answer =
        json!({ "result": 1, "access_token": token, "expires_in": TOKEN_LIVES / SECOND, "token_type": "bearer" });
    Json(answer).into_response()
}

async fn send(State(sandbox): State<Sandbox>, Query(query): Query<HashMap<String, String>>, body: Bytes) -> Response {
    let said = said(query, &body);
    // What has arrived is worked on to its end, whether or not the caller still listens.
    let worked = tokio::spawn(async move { sandbox.work(|world, now| read(world, &said, now), refused, answer).await });
    worked.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Reads a send.
fn read(world: &mut World, said: &HashMap<String, String>, now: Millis) -> Result<Sending, Refusal> {
    let needed = |name: &str| match said.get(name).filter(|text| !text.is_empty()) {
        Some(text) => Ok(text.clone()),
        None => Err((10_000_200, format!("{name} absent from the query params"))),
    };
    let (appid, token) = (needed("app_id")?, needed("access_token")?);
    let owner = world.owner(&token).filter(|(owner, until)| *owner == appid && now < *until);
    owner.ok_or_else(|| refuse(100_200_102, "access denied"))?;
    if hit(&mut world.rng, world.faults.busy_rate) {
        return Err(refuse(10_000_500, "system failure"));
    }
    let (template, openid, page) = (needed("template_id")?, needed("to_user")?, needed("page")?);
    let data = form::values(&needed("data")?).ok_or_else(|| refuse(100_200_100, "data is no JSON"))?;
    Ok(Sending { appid, openid, template, page: Some(page), data, ticket: None })
}

/// What became of a send.
fn answer(_world: &mut World, _sending: &Sending, verdict: Verdict) -> Response {
    let (code, text) = match verdict {
        Ok(_) => return Json(json!({ "result": 1, "error_msg": "success" })).into_response(),
        Err(Cause::Account(code)) => (code, "the account is restricted".to_owned()),
        Err(Cause::Quota | Cause::MinuteQuota) => (10_000_302, "api too fast".into()),
        Err(Cause::Openid) => (100_200_107, "open_id is wrong".into()),
        Err(Cause::NoTemplate) => (100_200_100, "template_id is wrong".into()),
        Err(Cause::Page) => (100_200_100, "page is wrong".into()),
        Err(Cause::Field { key, .. }) => (100_200_100, format!("data.{key} is wrong")),
        Err(Cause::Banned | Cause::Words) => (10_000_303, "hit the anti-spam policy".into()),
        Err(Cause::Consent(_) | Cause::Ticket | Cause::Concurrency) => {
            (NOT_SUBSCRIBED, "the user has not subscribed (a code of the sandbox's own)".into())
        }
    };
    refused(&(code, text))
}
