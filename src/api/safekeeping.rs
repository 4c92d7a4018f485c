//! Backups and the hold that a restored one puts on everything.

use super::{Api, Caller, Json, json, problem::Problem};
use crate::{domain::timing::rfc3339, engine::hold::assume_sent};
use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;
use utoipa::ToSchema;

/// Where to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupBody {
    /// An absolute path on the daemon's machine; the file must not exist yet.
    to: String,
}

/// Write a consistent copy of the store, while everything goes on. Only over the Unix socket of the daemon's owner.
#[utoipa::path(post, path = "/v1/backup", request_body = BackupBody, tag = "operations", responses(
    (status = 201, description = "With `to` and `as_of`", body = Object)))]
pub async fn backup(State(api): State<Api>, caller: Caller, Json(body): Json<BackupBody>) -> Result<Response, Problem> {
    caller.must_own()?;
    let refused = |detail: String| Problem { code: "bad_value", detail, param: Some("/to".into()) };
    let to = Path::new(&body.to);
    if !to.is_absolute() {
        return Err(refused("this is not an absolute path; write one like /var/backups/tixing.db".into()));
    }
    let as_of = api.clock.now();
    api.store.backup(to, &*api.clock).await.map_err(|e| refused(e.to_string()))?;
    Ok(json(StatusCode::CREATED, &json!({ "to": body.to, "as_of": rfc3339(as_of) })))
}

/// What becomes of reminders that were due between the backup and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// They end as `unconfirmed`, their consents used: nobody gets a message twice.
    AssumeSent,
    /// They are sent as far as their deadlines allow: nobody misses one, some may get one twice.
    Send,
}

/// How to end the hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseBody {
    due: Due,
}

/// End the hold of a restored store.
#[utoipa::path(post, path = "/v1/release", request_body = ReleaseBody, tag = "operations", responses(
    (status = 200, description = "With `as_of`, and how many reminders were `assumed_sent`", body = Object),
    (status = 404, description = "The store is not on hold")))]
pub async fn release(
    State(api): State<Api>,
    caller: Caller,
    Json(body): Json<ReleaseBody>,
) -> Result<Response, Problem> {
    caller.may_manage_keys()?;
    let Some(as_of) = api.store.hold().await? else {
        return Err(Problem::new("not_found", "the store is not on hold"));
    };
    let now = api.clock.now();
    let mut assumed = 0;
    if body.due == Due::AssumeSent {
        let made_by = api.store.doubtful_until().await?.unwrap_or(as_of);
        for lane in api.store.names().lanes() {
            assumed += assume_sent(&api.store, lane, made_by, now).await?;
        }
    }
    api.store.set_hold(None).await?;
    if let Some(signals) = &api.signals {
        signals.hold(false);
    }
    tracing::warn!(as_of = rfc3339(as_of), assumed_sent = assumed, due = ?body.due, "the hold was ended; reminders are sent again");
    Ok(json(StatusCode::OK, &json!({ "as_of": rfc3339(as_of), "assumed_sent": assumed })))
}
