//! `/v1/keys`: API keys are made, listed and revoked.

use super::{
    Api,
    auth::{Caller, new_key},
    check,
    extract::{Json, json},
    problem::Problem,
};
use crate::{
    domain::timing::rfc3339,
    store::keys::{ApiKey, Scope},
    words::{Message, say},
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: name, scope and apps")]
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
    /// The secret for the header `Authorization: Bearer`.
    key: String,
    /// Where calendar programs find the feed, with the key in it; only for a key of scope `feed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri-reference")]
    feed: Option<String>,
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
    let feed = (scope == Scope::Feed).then(|| format!("/v1/schedules.ics?key={key}"));
    Ok(json(StatusCode::CREATED, &KeyMade { id, name, scope, apps, key, feed }))
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
