//! Backups and the hold that a restored one puts on everything.

use super::{Api, Caller, Json, json, problem::Problem};
use crate::{
    domain::timing::rfc3339,
    engine::hold::assume_sent,
    store::backup::{Hold, Overdue},
};
use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
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
    let to = Path::new(&body.to);
    if !to.is_absolute() {
        let detail = "this is not an absolute path; write one like /var/backups/tixing.db".into();
        return Err(Problem { code: "bad_value", detail, param: Some("/to".into()) });
    }
    let as_of = api.clock.now();
    api.store.backup(to, &*api.clock).await.map_err(|e| Problem::new("not_backed_up", e.to_string()))?;
    Ok(json(StatusCode::CREATED, &json!({ "to": body.to, "as_of": rfc3339(as_of) })))
}

/// What would follow from ending the hold: by app, what became due since the backup and may have been sent.
#[utoipa::path(get, path = "/v1/release", tag = "operations", responses(
    (status = 200, description = "With `held_since`, and `overdue`: app, n, first, last", body = Object),
    (status = 404, description = "The store is not on hold")))]
pub async fn held(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    caller.may_manage_keys()?;
    let hold = api.must_be_on_hold().await?;
    let overdue = api.store.overdue_on_hold(hold, api.clock.now()).await?;
    let overdue: Vec<Value> = overdue.iter().map(Overdue::json).collect();
    Ok(json(StatusCode::OK, &json!({ "held_since": rfc3339(hold.since), "overdue": overdue })))
}

impl Api {
    async fn must_be_on_hold(&self) -> Result<Hold, Problem> {
        self.store.hold().await?.ok_or_else(|| Problem::new("not_found", "the store is not on hold"))
    }
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
    (status = 200, description = "With `held_since`, how many reminders were `assumed_sent`, and how many are `to_send`", body = Object),
    (status = 404, description = "The store is not on hold")))]
pub async fn release(
    State(api): State<Api>,
    caller: Caller,
    Json(body): Json<ReleaseBody>,
) -> Result<Response, Problem> {
    caller.may_manage_keys()?;
    let hold = api.must_be_on_hold().await?;
    let now = api.clock.now();
    let (mut assumed, mut to_send) = (0, 0);
    match body.due {
        Due::AssumeSent => {
            for lane in api.store.names().lanes() {
                assumed += assume_sent(&api.store, lane, hold.last_id, now).await?;
            }
        }
        Due::Send => to_send = api.store.overdue_on_hold(hold, now).await?.iter().map(|app| app.n).sum(),
    }
    api.store.end_hold().await?;
    if let Some(signals) = &api.signals {
        signals.hold(false);
    }
    let held_since = rfc3339(hold.since);
    tracing::warn!(held_since, assumed_sent = assumed, to_send, "the hold was ended; reminders are sent again");
    Ok(json(StatusCode::OK, &json!({ "held_since": held_since, "assumed_sent": assumed, "to_send": to_send })))
}
