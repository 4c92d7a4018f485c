//! Backups, and the end of a hold.

use super::{
    Api,
    auth::Caller,
    extract::{Json, json},
    problem::Problem,
};
use crate::{
    domain::{
        Millis,
        timing::{parse_instant, rfc3339},
    },
    engine::hold::assume_sent,
    store::{
        hold::{Hold, HoldTold, Overdue},
        keys::{ApiKey, KeyName},
    },
    words::say,
};
use axum::{extract::State, http::StatusCode, response::Response};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::path::Path;
use utoipa::ToSchema;

/// Where to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: to")]
#[schema(as = NewBackup, example = json!({"to": "/var/backups/tixing.db"}))]
pub struct BackupBody {
    /// An absolute path on the daemon's machine; the file must not exist yet.
    to: String,
}

/// A backup that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct Backup {
    to: String,
    /// All that was answered before this is in it.
    #[schema(format = DateTime)]
    as_of: String,
}

/// Write a consistent copy of the store, while everything goes on. Only over the Unix socket of the daemon's owner.
#[utoipa::path(post, path = "/v1/backup", operation_id = "make_backup", request_body = BackupBody, tag = "operations", responses(
    (status = 201, description = "The copy is whole", body = Backup), (status = 409, description = "`not_backed_up`")))]
pub async fn backup(State(api): State<Api>, caller: Caller, Json(body): Json<BackupBody>) -> Result<Response, Problem> {
    caller.must_own()?;
    let to = Path::new(&body.to);
    if !to.is_absolute() {
        return Err(Problem::new("bad_value", say!("not_an_absolute_path")).at("/to"));
    }
    let as_of = api.clock.now();
    api.store.backup(to, &*api.clock).await.map_err(|why| Problem::new("not_backed_up", why))?;
    Ok(json(StatusCode::CREATED, &Backup { to: body.to, as_of: rfc3339(as_of) }))
}

/// A store on hold: since when, why, and which reminders wait.
#[derive(Debug, Serialize, ToSchema)]
pub struct Held {
    /// From here on it is not known what was sent.
    #[schema(format = DateTime)]
    held_since: String,
    hold: HoldTold,
    /// By app.
    overdue: Vec<Overdue>,
    /// The API keys that live and are older than that. One that was revoked since lives again, unless the newer store was at hand.
    keys: Vec<KeyName>,
}

/// Why the store is on hold, and what would follow from ending it: by app, what became due since and may have been sent.
#[utoipa::path(get, path = "/v1/release", operation_id = "show_hold", tag = "operations", responses(
    (status = 200, description = "The store is on hold", body = Held),
    (status = 404, description = "`not_found`: the store is not on hold")))]
pub async fn held(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    caller.may_manage_keys()?;
    let hold = api.must_be_on_hold().await?;
    let overdue = api.store.overdue_on_hold(&hold, api.clock.now()).await?;
    let keys = api.store.keys().await?;
    let keys = keys.iter().filter(|key| key.revoked_at.is_none() && key.created_at <= hold.since);
    let keys = keys.map(ApiKey::named).collect();
    let told = hold.told(api.config.zone());
    Ok(json(StatusCode::OK, &Held { held_since: rfc3339(hold.since), hold: told, overdue, keys }))
}

impl Api {
    async fn must_be_on_hold(&self) -> Result<Hold, Problem> {
        self.store.hold().await?.ok_or_else(|| Problem::new("not_found", say!("not_on_hold")))
    }
}

/// How to treat reminders that became due since and may have been sent.
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
#[serde(deny_unknown_fields, expecting = "an object: due, until")]
#[schema(as = Release, example = json!({"due": "assume_sent"}))]
pub struct ReleaseBody {
    due: Due,
    /// With `assume_sent`: nothing was sent any more after this. What became due later is sent as far as its deadline allows.
    #[schema(format = DateTime)]
    until: Option<String>,
}

impl ReleaseBody {
    /// Up to when what became due is to be taken for sent, if anything.
    fn taken(&self, hold: &Hold, zone: Option<Tz>, now: Millis) -> Result<Option<Millis>, Problem> {
        let bad = |why| Problem::new("bad_value", why).at("/until");
        let Some(text) = &self.until else { return Ok((self.due == Due::AssumeSent).then_some(now)) };
        if self.due == Due::Send {
            return Err(bad(say!("until_with_send")));
        }
        let until = parse_instant(text, zone).map_err(bad)?.at;
        if !(hold.since..=now).contains(&until) {
            return Err(bad(say!("until_out_of_hold", found = until, since = hold.since, now = now)));
        }
        Ok(Some(until))
    }
}

/// The outcome of a release.
#[derive(Debug, Serialize, ToSchema)]
pub struct Released {
    #[schema(format = DateTime)]
    held_since: String,
    /// Reminders that ended as `unconfirmed`.
    assumed_sent: u64,
    /// Overdue reminders that go out now.
    to_send: i64,
}

/// End the hold.
#[utoipa::path(post, path = "/v1/release", operation_id = "end_hold", request_body = ReleaseBody, tag = "operations", responses(
    (status = 200, description = "Reminders are sent again", body = Released),
    (status = 404, description = "`not_found`: the store is not on hold")))]
pub async fn release(
    State(api): State<Api>,
    caller: Caller,
    Json(body): Json<ReleaseBody>,
) -> Result<Response, Problem> {
    caller.may_manage_keys()?;
    let hold = api.must_be_on_hold().await?;
    let now = api.clock.now();
    let taken = body.taken(&hold, api.config.zone(), now)?;
    let mut assumed = 0;
    if let Some(until) = taken {
        for lane in api.store.names().all_lanes() {
            assumed += assume_sent(&api.store, lane, hold.last_id, until, now).await?;
        }
    }
    let to_send = api.store.overdue_on_hold(&hold, now).await?.iter().map(|app| app.n).sum();
    api.store.end_hold(taken).await?;
    if let Some(signals) = &api.signals {
        signals.hold(false);
    }
    let held_since = rfc3339(hold.since);
    tracing::warn!(held_since, assumed_sent = assumed, to_send, "the hold was ended; reminders are sent again");
    Ok(json(StatusCode::OK, &Released { held_since, assumed_sent: assumed, to_send }))
}
