//! `/v1/reminders/by-key`: a reminder by its owner's own key.

use super::{
    Api,
    auth::Caller,
    check::{self, ChangeBody},
    extract::{Json, Query},
    problem::Problem,
    reminders::ReminderJson,
};
use crate::{
    domain::text::bounded,
    store::{keys::Scope, reminders::Stored},
    words::say,
};
use axum::{extract::State, response::Response};
use serde::Deserialize;

/// Whose key.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct KeyQuery {
    app: String,
    /// As the reminder was inserted with it.
    #[param(min_length = 1, max_length = 128)]
    key: String,
}

impl KeyQuery {
    /// The reminder that it names.
    async fn find(&self, api: &Api, caller: &Caller) -> Result<Stored, Problem> {
        let Self { app, key } = self;
        caller.may_touch(app)?;
        check::app(&api.config, app)?;
        bounded(key, 128, "/key")?;
        let gone = || Problem::new("not_found", say!("key_of_something_gone"));
        match api.store.id_of_key(app, key).await? {
            Some(id) => api.store.reminder(id).await?.ok_or_else(gone),
            None if api.store.is_spent(app, key).await? => Err(gone()),
            None => Err(Problem::new("not_found", say!("key_of_nothing"))),
        }
    }
}

/// One reminder with its attempts, by its key.
#[utoipa::path(get, path = "/v1/reminders/by-key", operation_id = "show_reminder_by_key", tag = "reminders", params(KeyQuery), responses(
    (status = 200, description = "With `attempts` and `reason`", body = ReminderJson),
    (status = 404, description = "`not_found`: no reminder has this key, or it is no longer kept")))]
pub async fn show(State(api): State<Api>, caller: Caller, Query(query): Query<KeyQuery>) -> Result<Response, Problem> {
    api.whole(&query.find(&api, &caller).await?).await
}

/// Change a scheduled reminder by its key.
#[utoipa::path(patch, path = "/v1/reminders/by-key", operation_id = "change_reminder_by_key", request_body = ChangeBody, tag = "reminders",
    params(KeyQuery), responses((status = 200, description = "As it is now", body = ReminderJson),
    (status = 404, description = "`not_found`: no reminder has this key, or it is no longer kept"),
    (status = 409, description = "`not_scheduled`, `on_hold`, `changed_meanwhile`, `no_consent`: its consent ends before the new instant")))]
pub async fn change(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<KeyQuery>,
    Json(body): Json<ChangeBody>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    api.change_one(&caller, query.find(&api, &caller).await?, body).await
}

/// Cancel a scheduled reminder by its key. One that is cancelled already stays so, and is answered alike.
#[utoipa::path(delete, path = "/v1/reminders/by-key", operation_id = "cancel_reminder_by_key", tag = "reminders", params(KeyQuery), responses(
    (status = 200, description = "As it is now", body = ReminderJson),
    (status = 404, description = "`not_found`: no reminder has this key, or it is no longer kept"),
    (status = 409, description = "`not_scheduled`, `on_hold`")))]
pub async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<KeyQuery>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    api.cancel_one(&caller, query.find(&api, &caller).await?).await
}
