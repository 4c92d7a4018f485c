//! `/v1/users`: everything that is known of a user, and its end.

use super::{
    Api,
    auth::Caller,
    check,
    consents::{Ledger, ledger},
    extract::{Json, json},
    problem::Problem,
    reminders::{ReminderJson, raw, shown},
};
use crate::{
    domain::{draft::openid, timing::rfc3339},
    store::{
        kept::KeptOfUser,
        keys::Scope,
        lists::Filter,
        users::{self, Wish},
    },
    words::say,
};
use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// Who. An openid does not belong in a path.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: app and openid")]
#[schema(as = User, example = json!({"app": "coffee", "openid": "o-user-2"}))]
pub struct UserBody {
    app: String,
    /// 1 to 128 visible ASCII characters.
    #[schema(pattern = "^[!-~]{1,128}$")]
    openid: String,
}

impl UserBody {
    fn checked(self, api: &Api, caller: &Caller, scope: Scope) -> Result<Wish, Problem> {
        caller.may(scope)?;
        caller.may_touch(&self.app)?;
        check::app(&api.config, &self.app)?;
        openid(&self.openid)?;
        Ok(Wish { app: self.app, openid: self.openid, actor: caller.name().to_owned() })
    }
}

/// All that is stored about a user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserExport)]
pub struct Export {
    /// Consents with their history.
    #[serde(flatten)]
    ledger: Ledger,
    /// The user's pseudonym in logs.
    pseudonym: String,
    /// When they were forgotten, if they were: then there is nothing else.
    #[schema(required = true, format = DateTime)]
    forgotten_at: Option<String>,
    /// Templates that the user has turned off, and when.
    turned_off: Vec<TurnedOff>,
    /// Reminders with their attempts, newest instant last.
    reminders: Vec<ReminderJson>,
    /// Rows of tables that recurring schedules keep.
    kept_rows: Vec<KeptRowJson>,
    /// Schedules whose files or tables name the user; `GET /v1/schedules/{name}` shows the file.
    #[schema(value_type = Vec<String>)]
    named_by: BTreeSet<String>,
}

/// A row of a table that a recurring schedule keeps, by which it prepares its occurrences.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeptRow)]
pub struct KeptRowJson {
    schedule: String,
    /// Which of its tables.
    #[schema(value_type = PartSchema)]
    part: &'static str,
    /// The row's number in its sheet, or the place in an inline list.
    row: u32,
    /// Its cells, as the schedule keeps them.
    #[schema(value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    cells: Box<RawValue>,
}

/// Who, or who not.
#[derive(ToSchema)]
#[schema(as = KeptPart, rename_all = "snake_case")]
#[expect(dead_code, reason = "for the OpenAPI document alone")]
pub enum PartSchema {
    /// A row of the audience.
    Audience,
    /// A row of those who are left out.
    Exclude,
    /// An event.
    Events,
}

impl From<KeptOfUser> for KeptRowJson {
    fn from(kept: KeptOfUser) -> Self {
        let KeptOfUser { schedule, part, row, .. } = kept;
        Self { schedule, part: part.word(), row: row.number, cells: raw(row.cells) }
    }
}

/// A template that the user has turned off.
#[derive(Debug, Serialize, ToSchema)]
pub struct TurnedOff {
    template: String,
    #[schema(format = DateTime)]
    at: String,
}

/// Everything that is stored about a user. All of it is answered, however long it takes; it counts as a list while it lasts.
#[utoipa::path(post, path = "/v1/users/export", operation_id = "export_user", request_body = UserBody, tag = "users", responses(
    (status = 200, description = "All of it; empty lists if nothing is", body = Export),
    (status = 429, description = "`too_many`; `Retry-After` says when to ask again")))]
pub async fn export(State(api): State<Api>, caller: Caller, Json(body): Json<UserBody>) -> Result<Response, Problem> {
    let Wish { app, openid, .. } = body.checked(&api, &caller, Scope::Read)?;
    let _place = api.places.take(caller.name())?;
    let filter =
        Filter { apps: vec![app.clone()], openid: Some(openid.clone()), limit: usize::MAX, ..Filter::default() };
    let mut reminders = Vec::new();
    for stored in api.store.list(&filter).await? {
        let story = (api.store.events(&stored).await?, api.store.delivery(&stored).await?);
        reminders.push(shown(&api.store, &stored, Some(&story)));
    }
    let turned_off = api.store.turned_off(&app, &openid).await?;
    let export = Export {
        pseudonym: api.store.names().pseudonyms().name(&openid),
        forgotten_at: api.store.forgotten_at(&app, &openid).await?.map(rfc3339),
        kept_rows: api.store.kept_of_user(&app, &openid).await?.into_iter().map(KeptRowJson::from).collect(),
        named_by: api.store.schedules_naming(&app, &openid).await?,
        turned_off: turned_off.into_iter().map(|(template, at)| TurnedOff { template, at: rfc3339(at) }).collect(),
        reminders,
        ledger: ledger(&api, &app, openid, true).await?,
    };
    Ok(json(StatusCode::OK, &export))
}

/// A user who was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub struct Forgotten {
    app: String,
    /// `true`.
    forgotten: bool,
    /// Reminders that were waiting and are cancelled.
    cancelled: u64,
    /// Reminders that were being sent or in doubt, and are given up as `unconfirmed`.
    given_up: u64,
    /// Reminders whose content is gone, these included.
    erased: u64,
    /// Consents that are void.
    void: u64,
    /// Schedules whose files or tables named them. What is stored of these says their pseudonym now; the files themselves still name them.
    /// While the user is forgotten, such a file sends them nothing, however often it is loaded.
    #[schema(value_type = Vec<String>)]
    named_by: BTreeSet<String>,
}

/// Forget a user: gone from every row, waiting reminders cancelled, and nothing is stored for them again. Safe to repeat.
#[utoipa::path(post, path = "/v1/users/forget", operation_id = "forget_user", request_body = UserBody, tag = "users", responses(
    (status = 200, description = "What it came to", body = Forgotten)))]
pub async fn forget(State(api): State<Api>, caller: Caller, Json(body): Json<UserBody>) -> Result<Response, Problem> {
    let wish = body.checked(&api, &caller, Scope::Write)?;
    let (app, user) = (wish.app.clone(), api.store.names().pseudonyms().name(&wish.openid));
    let done = api.store.forget(wish).await?;
    tracing::warn!(app, user, by = caller.name(), "a user was forgotten");
    let users::Forgotten { cancelled, given_up, erased, void, named_by } = done;
    Ok(json(StatusCode::OK, &Forgotten { app, forgotten: true, cancelled, given_up, erased, void, named_by }))
}

/// A user who was let in again.
#[derive(Debug, Serialize, ToSchema)]
pub struct LetIn {
    app: String,
    /// `true`.
    let_in: bool,
}

/// Let a user in again who was forgotten and has come back.
#[utoipa::path(post, path = "/v1/users/let-in", operation_id = "let_user_in", request_body = UserBody, tag = "users", responses(
    (status = 200, description = "From now on they are a user like any other", body = LetIn),
    (status = 404, description = "`not_found`: they were not forgotten")))]
pub async fn let_in(State(api): State<Api>, caller: Caller, Json(body): Json<UserBody>) -> Result<Response, Problem> {
    let wish = body.checked(&api, &caller, Scope::Write)?;
    let (app, user) = (wish.app.clone(), api.store.names().pseudonyms().name(&wish.openid));
    if !api.store.let_in(wish).await? {
        return Err(Problem::new("not_found", say!("not_forgotten")));
    }
    tracing::warn!(app, user, by = caller.name(), "a user who was forgotten is let in again");
    Ok(json(StatusCode::OK, &LetIn { app, let_in: true }))
}
