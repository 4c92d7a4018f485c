//! `/v1/reminders/cancel` and `/v1/reminders/shift`: whatever a filter lets through, after a look at how many that is.

use super::{
    Api,
    auth::Caller,
    extract::{DryRun, Json, Query, json},
    problem::Problem,
    reminders::ListQuery,
    schedules::shift_by,
};
use crate::{
    domain::timing::cut,
    store::{
        bulk::{AT_MOST, Bulk, Choice, Chosen},
        keys::Scope,
        lists::Filter,
    },
    words::say,
};
use axum::{extract::State, http::StatusCode, response::Response};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, Unexpected},
};
use std::time::Duration;
use utoipa::ToSchema;

/// Time to find what a filter lets through. All tries together take less than an answer may.
const FIND_TIME: Duration = Duration::from_secs(5);
/// What was chosen is chosen anew so often if one of it changes before all is written.
const TRIES: usize = 5;

/// Which reminders to cancel: those that are scheduled and suit the filter of the list.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: a filter")]
#[schema(as = CancelMany, example = json!({"app": "coffee", "template": "event-start", "from": "2031-03-01T00:00", "to": "2031-03-02T00:00", "expect": 42}))]
pub struct CancelBody {
    /// All apps of the key if left out.
    app: Option<String>,
    #[schema(pattern = "^[!-~]{1,128}$")]
    openid: Option<String>,
    /// The template's id or alias.
    template: Option<String>,
    /// Only of this schedule.
    schedule: Option<String>,
    /// `scheduled`, if anything: nothing else can be cancelled.
    state: Option<String>,
    /// Instants at or after this. A wall time in the zone of `app` is read too.
    #[schema(max_length = 40)]
    from: Option<String>,
    /// Instants before this.
    #[schema(max_length = 40)]
    to: Option<String>,
    /// The `count` that the same call with `dry_run=true` has answered.
    #[serde(default, deserialize_with = "whole")]
    expect: Option<u64>,
    /// Only the earliest so many: to go by parts where more than 10,000 suit the filter, also at one instant. Repeat while `more` is true and `count` is not 0.
    #[schema(minimum = 1, maximum = 10000)]
    #[serde(default, deserialize_with = "whole")]
    limit: Option<u64>,
}

/// Which reminders to move, and by how much.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: a filter, and by how much")]
#[schema(as = ShiftMany, example = json!({"app": "coffee", "from": "2031-03-01T00:00", "to": "2031-03-02T00:00", "by": "30m", "expect": 42}))]
pub struct ShiftBody {
    /// All apps of the key if left out.
    app: Option<String>,
    #[schema(pattern = "^[!-~]{1,128}$")]
    openid: Option<String>,
    /// The template's id or alias.
    template: Option<String>,
    /// Only of this schedule.
    schedule: Option<String>,
    /// `scheduled`, if anything: nothing else can be moved.
    state: Option<String>,
    /// Instants at or after this. A wall time in the zone of `app` is read too.
    #[schema(max_length = 40)]
    from: Option<String>,
    /// Instants before this.
    #[schema(max_length = 40)]
    to: Option<String>,
    /// A duration such as `30m` or `2h`; `-30m` moves back.
    #[schema(max_length = 40, pattern = "^-?[0-9]+(ms|s|m|min|h|d|w)$")]
    by: String,
    /// The `count` that the same call with `dry_run=true` has answered.
    #[serde(default, deserialize_with = "whole")]
    expect: Option<u64>,
    /// Only the earliest so many: to go by parts where more than 10,000 suit the filter, also at one instant. Repeat while `more` is true and `count` is not 0. `from` and
    /// `to` must then lie no further apart than they are moved: else some would be moved twice.
    #[schema(minimum = 1, maximum = 10000)]
    #[serde(default, deserialize_with = "whole")]
    limit: Option<u64>,
}

/// What was cancelled, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct CancelledMany {
    /// Nothing was written.
    dry_run: bool,
    /// Reminders that are cancelled, or would be.
    count: u64,
    /// Whether more suit the filter than `limit` has let through; where there is a `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    more: Option<bool>,
}

/// What was moved, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShiftedMany {
    /// Nothing was written.
    dry_run: bool,
    /// Reminders that have moved, or would.
    count: u64,
    /// Whether more suit the filter than `limit` has let through; where there is a `limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    more: Option<bool>,
    /// Those of them whose new instants have passed: they are sent at once.
    at_once: u64,
    /// Reminders whose deadlines would be passed, or the ends of the consents that they hold: if there is one, nothing moves.
    too_far: u64,
}

impl Api {
    /// The filter of a call, for the store.
    fn bulk_filter(&self, caller: &Caller, query: ListQuery) -> Result<Option<Filter>, Problem> {
        if let Some(other) = query.state.as_deref().filter(|state| *state != "scheduled") {
            return Err(Problem::new("bad_value", say!("only_scheduled_in_bulk", found = cut(other))).at("/state"));
        }
        let schedule = query.schedule.as_deref().map(|name| self.store.gates().find(name));
        let filter = query.filter(self, caller).map_err(Problem::of_body)?;
        // A schedule that is not there has no reminders.
        Ok((schedule != Some(None)).then(|| Filter { schedule: schedule.flatten(), ..filter }))
    }

    /// What a filter lets through.
    async fn choose(&self, filter: Option<&Filter>, limit: Option<u64>) -> Result<Chosen, Problem> {
        let most = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        if let Some(found) = most.filter(|most| !(1..=AT_MOST).contains(most)) {
            let detail = say!("query_out_of_bounds", found = found, least = 1, most = AT_MOST);
            return Err(Problem::new("bad_value", detail).at("/limit"));
        }
        let Some(filter) = filter else { return Ok(Chosen::default()) };
        match self.store.choose(filter, most, FIND_TIME).await? {
            Choice::All(chosen) => Ok(chosen),
            Choice::TooMany => Err(Problem::new("too_many_at_once", say!("too_many_at_once", most = AT_MOST))),
            Choice::TooLong => Err(Problem::new("too_long", say!("bulk_too_long", seconds = FIND_TIME.as_secs()))),
        }
    }
}

/// A whole number, also if its writer makes a fraction of every number: `42.0`.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let fraction = number.as_f64().filter(|n| n.fract() == 0.0 && (0.0..1e15).contains(n));
    let found = number.as_u64().or(fraction.map(|n| n as u64)).filter(|n| i64::try_from(*n).is_ok());
    found.map(Some).ok_or_else(|| D::Error::invalid_value(Unexpected::Other("number"), &"a whole number, 0 or more"))
}

fn expected(expect: Option<u64>) -> Result<u64, Problem> {
    expect.ok_or_else(|| Problem::new("bad_value", say!("expect_missing")).at("/expect"))
}

fn differs(found: u64, expect: u64) -> Problem {
    Problem::new("count_changed", say!("count_differs", found = found, expect = expect)).at("/expect")
}

fn changed() -> Problem {
    Problem::new("changed_meanwhile", say!("changed_again_and_again"))
}

/// Cancel all scheduled reminders that suit a filter, in one transaction: all of them, or none. Ask with `dry_run=true` how many that is, and
/// give that number as `expect`. At most 10,000 in one call: go by parts with `limit`; of a whole schedule `DELETE /v1/schedules/{name}` cancels any number.
#[utoipa::path(post, path = "/v1/reminders/cancel", operation_id = "cancel_reminders", request_body = CancelBody, tag = "reminders",
    params(DryRun), responses((status = 200, description = "All are cancelled, or would be", body = CancelledMany),
    (status = 409, description = "`count_changed`, `changed_meanwhile`, `on_hold`"),
    (status = 422, description = "`too_many_at_once`, `too_long`; or a value breaks a rule: `code` says which, and `param` where"),
    (status = 429, description = "`too_many`, as for lists; `Retry-After` says when to ask again")))]
pub async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<DryRun>,
    Json(body): Json<CancelBody>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    let CancelBody { app, openid, template, schedule, state, from, to, expect, limit } = body;
    let filter = ListQuery { app, openid, template, schedule, state, from, to, ..ListQuery::default() };
    let filter = api.bulk_filter(&caller, filter)?;
    api.must_not_be_on_hold().await?;
    let _place = api.places.take(caller.name())?;
    if query.dry_run {
        let chosen = api.choose(filter.as_ref(), limit).await?;
        let answer = CancelledMany { dry_run: true, count: chosen.count(), more: limit.map(|_| chosen.more()) };
        return Ok(json(StatusCode::OK, &answer));
    }
    let expect = expected(expect)?;
    for _ in 0..TRIES {
        let chosen = api.choose(filter.as_ref(), limit).await?;
        let more = limit.map(|_| chosen.more());
        if chosen.count() != expect {
            return Err(differs(chosen.count(), expect));
        }
        if let Bulk::Done(count) = api.store.cancel_all(chosen, caller.name()).await? {
            tracing::warn!(reminders = count, by = caller.name(), "reminders were cancelled by a filter");
            return Ok(json(StatusCode::OK, &CancelledMany { dry_run: false, count, more }));
        }
    }
    Err(changed())
}

/// Move the instants of all scheduled reminders that suit a filter, in one transaction: all of them, or none. Deadlines move along, as when one
/// is changed; of a schedule's reminders those that were given as a duration. Ask with `dry_run=true` first, and give its `count` as `expect`.
/// At most 10,000 in one call: go by parts with `limit`; of a whole schedule `POST /v1/schedules/{name}/shift` moves any number.
#[utoipa::path(post, path = "/v1/reminders/shift", operation_id = "shift_reminders", request_body = ShiftBody, tag = "reminders",
    params(DryRun), responses((status = 200, description = "All have moved, or would", body = ShiftedMany),
    (status = 409, description = "`count_changed`, `changed_meanwhile`, `shift_too_far`, `on_hold`"),
    (status = 422, description = "`too_many_at_once`, `too_long`; or a value breaks a rule: `code` says which, and `param` where"),
    (status = 429, description = "`too_many`, as for lists; `Retry-After` says when to ask again")))]
pub async fn shift(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<DryRun>,
    Json(body): Json<ShiftBody>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    let ShiftBody { app, openid, template, schedule, state, from, to, by, expect, limit } = body;
    let by = shift_by(&by)?;
    let filter = ListQuery { app, openid, template, schedule, state, from, to, ..ListQuery::default() };
    let filter = api.bulk_filter(&caller, filter)?;
    let span = filter.as_ref().and_then(|filter| Some(filter.to?.saturating_sub(filter.from?)));
    if limit.is_some() && filter.is_some() && span.is_none_or(|span| span > by.saturating_abs()) {
        return Err(Problem::new("bad_value", say!("shift_by_parts")).at("/limit"));
    }
    api.must_not_be_on_hold().await?;
    let _place = api.places.take(caller.name())?;
    if query.dry_run {
        let chosen = api.choose(filter.as_ref(), limit).await?;
        let plan = api.store.plan_shift_all(&chosen, by).await?;
        let (count, at_once, too_far) = (plan.moves, plan.at_once, plan.too_far);
        let answer = ShiftedMany { dry_run: true, count, more: limit.map(|_| chosen.more()), at_once, too_far };
        return Ok(json(StatusCode::OK, &answer));
    }
    let expect = expected(expect)?;
    for _ in 0..TRIES {
        let chosen = api.choose(filter.as_ref(), limit).await?;
        let more = limit.map(|_| chosen.more());
        let Bulk::Done(plan) = api.store.shift_all(chosen, by, expect, caller.name()).await? else { continue };
        if plan.too_far > 0 {
            return Err(Problem::new("shift_too_far", say!("shift_too_far", n = plan.too_far)));
        }
        if plan.moves != expect {
            return Err(differs(plan.moves, expect));
        }
        tracing::warn!(reminders = plan.moves, by = caller.name(), shift_ms = by, "reminders were moved by a filter");
        let answer = ShiftedMany { dry_run: false, count: plan.moves, more, at_once: plan.at_once, too_far: 0 };
        return Ok(json(StatusCode::OK, &answer));
    }
    Err(changed())
}
