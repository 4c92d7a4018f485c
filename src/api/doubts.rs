//! `/v1/doubts`: reminders of which nobody knows whether they arrived, and what people decide about them.

use super::{
    Api,
    auth::Caller,
    check,
    extract::{Json, Query},
    problem::Problem,
    reminders::{ListQuery, Page, ReminderJson, list, show},
};
use crate::{
    domain::{reminder::ReminderId, timing::cut},
    store::{
        doubts::{Decided, Resolved, Verdict},
        keys::Scope,
    },
    words::{Voice, say},
};
use axum::{
    extract::{Path, State},
    response::Response,
};
use serde::Deserialize;
use utoipa::ToSchema;

/// The filter of a list of doubts.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DoubtsQuery {
    app: Option<String>,
    /// Those that were given up as `unconfirmed` instead, which can be corrected.
    #[serde(default)]
    given_up: bool,
    /// How many at most.
    #[param(value_type = Option<i32>, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    cursor: Option<String>,
}

/// Reminders in doubt, by the instant at which they are looked at next; with `given_up` those that were given up instead.
#[utoipa::path(get, path = "/v1/doubts", operation_id = "list_doubts", tag = "operations", params(DoubtsQuery), responses(
    (status = 200, description = "A page, as of reminders", body = Page),
    (status = 429, description = "`too_many`; `Retry-After` says when to ask again")))]
pub async fn doubts(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<DoubtsQuery>,
) -> Result<Response, Problem> {
    let state = Some(if query.given_up { "unconfirmed" } else { "in_doubt" }.to_owned());
    let query = ListQuery { app: query.app, state, limit: query.limit, cursor: query.cursor, ..ListQuery::default() };
    list(State(api), caller, voice, Query(query)).await
}

/// A decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: as")]
#[schema(as = Decision, example = json!({"as": "not_sent"}))]
pub struct ResolveBody {
    #[schema(value_type = Verdict)]
    r#as: String,
}

/// Decide about a reminder in doubt, or correct one that was given up. Who decided is kept.
#[utoipa::path(post, path = "/v1/doubts/{id}", operation_id = "resolve_doubt", request_body = ResolveBody, tag = "operations",
    params(("id" = ReminderId, Path)), responses((status = 200, description = "The reminder as it is now", body = ReminderJson),
    (status = 409, description = "`not_in_doubt`")))]
pub async fn resolve(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<ResolveBody>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    let verdict = Verdict::from_word(&body.r#as).ok_or_else(|| {
        let allowed = Verdict::ALL.map(Verdict::word);
        Problem::new("bad_value", say!("not_a_decision", found = cut(&body.r#as), allowed = allowed)).at("/as")
    })?;
    let stored = api.visible(&caller, &id).await?;
    check::app(&api.config, &stored.app)?;
    let decided = Decided { id: stored.due.id, verdict, actor: caller.told() };
    match api.store.resolve(decided).await? {
        Resolved::Yes => {
            tracing::warn!(reminder = id, verdict = verdict.word(), by = caller.name(), "a doubt was decided");
            show(State(api), caller, Path(id)).await
        }
        Resolved::Not(state) => Err(Problem::new("not_in_doubt", say!("not_in_doubt", state = state.word()))),
        Resolved::TooLate => Err(Problem::new("not_in_doubt", say!("too_late_to_resend"))),
        Resolved::NotFound => Err(Problem::no_reminder()),
    }
}
