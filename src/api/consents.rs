//! `/v1/consents`: what users allowed, and what became of it.

use super::{
    Api,
    auth::Caller,
    check,
    extract::{Json, Query, json},
    idempotency::{Key, marked, reused},
    problem::Problem,
    reminders::forgotten,
    report::{self, ConsentBody, IgnoredJson, Reported},
    schema::ToldBy,
    taps::Warning,
    ticket::TicketBody,
};
use crate::{
    domain::{
        self,
        ask::{Ask, Wanted},
        consent::{Balance, ConsentState},
        draft::openid,
        reminder::{Claim, ReminderId, State as ReminderState},
        timing::rfc3339,
    },
    store::{
        consents::Consent,
        keys::Scope,
        lists::Filter,
        requests::{Earlier, Once},
    },
    words::Voice,
};
use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The ledger of one user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "app": "coffee", "openid": "o-user-1",
    "balances": [{
        "template": "Tq9EventReminder_000000000000000000000000001", "name": "event-start",
        "available": 1, "held": 0, "used": 2, "void": 0,
    }],
}))]
pub struct Ledger {
    app: String,
    openid: String,
    balances: Vec<BalanceJson>,
    /// The templates that the report has added a consent to; only in the answer to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    recorded: Option<Vec<String>>,
    /// What of the report added nothing, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ignored: Option<Vec<IgnoredJson>>,
    /// What the caller should know of what was recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
    /// Each consent, if asked for with `history=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    history: Option<Vec<ConsentJson>>,
}

/// One template's balance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TemplateBalance)]
pub struct BalanceJson {
    template: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    #[serde(flatten)]
    balance: Balance,
}

/// One consent's story.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Consent)]
pub struct ConsentJson {
    template: String,
    /// Counts the consents of one user and template from 1.
    n: i64,
    #[schema(format = DateTime)]
    granted_at: String,
    #[schema(required = true)]
    source: Option<String>,
    /// Whose word it is.
    #[schema(value_type = ToldBy)]
    told_by: &'static str,
    #[schema(required = true)]
    event: Option<String>,
    /// Whether it stands for many sends.
    standing: bool,
    /// When it ends by itself, or has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    ends_at: Option<String>,
    /// The ticket that its send names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ticket: Option<TicketBody>,
    state: ConsentState,
    /// Who holds or used it.
    #[schema(required = true, value_type = Option<ReminderId>)]
    reminder: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    void_reason: Option<String>,
}

pub(super) async fn ledger(api: &Api, app: &str, openid: String, history: bool) -> Result<Ledger, Problem> {
    let consents = api.store.consents(app, &openid).await?;
    let mut balances = BTreeMap::<String, Balance>::new();
    for consent in &consents {
        balances.entry(consent.template.clone()).or_default().add(consent.state);
    }
    let configured = check::app(&api.config, app)?;
    let named = |(template, balance): (String, Balance)| {
        let name = configured.template(&template).and_then(|t| t.name.clone());
        BalanceJson { template, name, balance }
    };
    Ok(Ledger {
        app: app.to_owned(),
        openid,
        balances: balances.into_iter().map(named).collect(),
        recorded: None,
        ignored: None,
        warnings: Vec::new(),
        history: history.then(|| consents.into_iter().map(story).collect()),
    })
}

fn story(consent: Consent) -> ConsentJson {
    ConsentJson {
        template: consent.template,
        n: consent.n,
        granted_at: rfc3339(consent.granted_at),
        source: consent.source,
        told_by: consent.told_by,
        event: consent.event,
        standing: consent.standing,
        ends_at: consent.ends_at.map(rfc3339),
        ticket: consent.ticket.map(TicketBody::from),
        state: consent.state,
        reminder: consent.reminder.map(|id| id.to_string()),
        void_reason: consent.void_reason,
    }
}

/// Record what a popup reported.
#[utoipa::path(post, path = "/v1/consents", operation_id = "record_consents", request_body = ConsentBody, tag = "consents",
    params(("Idempotency-Key" = Option<String>, Header, nullable = false, pattern = "^([!#-~]{1,255}|\"[ !#-\\[\\]-~]{1,255}\")$",
        description = "The same key with the same body again counts nothing and is answered alike, for a day at least, beside `event`, which holds for ever")),
    responses((status = 400, description = "`bad_json`, `bad_idempotency_key`"),
    (status = 200, description = "The user's balances afterwards, and what of the report was recorded", body = Ledger,
    headers(("Idempotent-Replayed" = bool, description = "`true` of one that came before"))),
    (status = 409, description = "`user_forgotten`"),
    (status = 422, description = "`idempotency_key_reused`; or a value breaks a rule: `code` says which, and `param` where")))]
pub async fn record(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    key: Key,
    Json(body): Json<ConsentBody>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    caller.may_touch(&body.app)?;
    check::app(&api.config, &body.app)?;
    let asked = key.of(&body.app, "/v1/consents", &body);
    let Reported { report, mut ignored } = report::read(&api.config, &api.store, body, api.clock.now())?;
    let told = report.clone();
    // Where the platform's word alone counts, this writes nothing down; the answer shows what is.
    let (recorded, before) = match asked {
        None => (api.store.record_each(vec![report]).await?.swap_remove(0), false),
        Some(asked) => match api.store.record_once(asked, report).await? {
            Once::Done(recorded) => (recorded, false),
            Once::Before(Earlier::Consents(recorded)) => {
                let is_forgotten = api.store.forgotten_at(&told.app, &told.openid).await?.is_some();
                (Some(recorded).filter(|_| !is_forgotten), true)
            }
            Once::Before(_) => return Err(reused()),
        },
    };
    let Some(recorded) = recorded else { return Err(forgotten()) };
    let own = match told.ticket {
        Some(_) if recorded.is_empty() => Some(api.store.consents(&told.app, &told.openid).await?),
        _ => None,
    };
    ignored.extend(report::unrecorded(&api.config, &told, &recorded, own.as_deref()));
    let ignored = ignored.iter().map(|one| one.json(voice)).collect();
    let now = api.clock.now();
    // A call that is repeated tells of nothing new.
    let added = recorded.iter().filter(|_| !before);
    let seconds = added.filter(|template| api.taps.is_second(api.taps.tap(&report::add(&told, template)), now));
    let warnings = seconds.map(|template| Warning::counted_twice(template, voice)).collect();
    let ledger = ledger(&api, &told.app, told.openid, false).await?;
    let ledger = Ledger { recorded: Some(recorded), ignored: Some(ignored), warnings, ..ledger };
    let answer = json(StatusCode::OK, &ledger);
    Ok(if before { marked(answer) } else { answer })
}

/// Whose.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ShowQuery {
    app: String,
    #[param(pattern = "^[!-~]{1,128}$")]
    openid: String,
    /// Each consent with when, where from and what became of it.
    #[serde(default)]
    history: bool,
}

/// A user's balances. With `history` it counts as a list while it lasts.
#[utoipa::path(get, path = "/v1/consents", operation_id = "show_consents", tag = "consents", params(ShowQuery), responses(
    (status = 200, description = "By template", body = Ledger),
    (status = 429, description = "`too_many`, with `history`; `Retry-After` says when to ask again")))]
pub async fn show(State(api): State<Api>, caller: Caller, Query(query): Query<ShowQuery>) -> Result<Response, Problem> {
    caller.may_touch(&query.app)?;
    check::app(&api.config, &query.app)?;
    openid(&query.openid)?;
    let _place = if query.history { Some(api.places.take(caller.name())?) } else { None };
    Ok(json(StatusCode::OK, &ledger(&api, &query.app, query.openid, query.history).await?))
}

/// The templates to ask a user for now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ask, example = json!({
    "app": "coffee", "openid": "o-user-1", "tmplIds": ["Tq9EventReminder_000000000000000000000000001"],
    "why": [{
        "template": "Tq9EventReminder_000000000000000000000000001", "name": "event-start", "missing": 1,
        "first": "2031-03-01T11:30:00.000Z",
    }],
}))]
pub struct AskJson {
    app: String,
    openid: String,
    /// For `wx.requestSubscribeMessage`, as it is.
    #[serde(rename = "tmplIds")]
    tmpl_ids: Vec<String>,
    /// Why each.
    why: Vec<WhyJson>,
}

/// Why a template is asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AskReason)]
pub struct WhyJson {
    template: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// Reminders that will find no consent at their instants; 0 if none waits and the user has none left.
    missing: i64,
    /// The first of their instants.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    first: Option<String>,
}

/// Whom to ask.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AskQuery {
    app: String,
    #[param(pattern = "^[!-~]{1,128}$")]
    openid: String,
}

/// Reminders of one user that are looked at: more than that are answered by asking for them all the same.
const LOOKED_AT: usize = 1_000;

/// Which templates the mini-program should ask this user for now.
#[utoipa::path(get, path = "/v1/consents/ask", operation_id = "ask_for_consents", tag = "consents", params(AskQuery), responses(
    (status = 200, description = "At most `ask_at_once`, of one kind, the most pressing first", body = AskJson)))]
pub async fn ask(State(api): State<Api>, caller: Caller, Query(query): Query<AskQuery>) -> Result<Response, Problem> {
    caller.may_touch(&query.app)?;
    let app = check::app(&api.config, &query.app)?;
    openid(&query.openid)?;
    let balances = api.store.balances(&query.app, &query.openid).await?;
    let filter = Filter {
        apps: vec![query.app.clone()],
        openid: Some(query.openid.clone()),
        states: vec![ReminderState::Scheduled],
        limit: LOOKED_AT,
        ..Filter::default()
    };
    let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
    for stored in api.store.list(&filter).await?.iter().filter(|stored| stored.claim == Claim::AtFire) {
        let wanted = wanted.entry(stored.template.clone()).or_insert(Wanted { n: 0, first: stored.due.at });
        *wanted = Wanted { n: wanted.n + 1, first: wanted.first.min(stored.due.at) };
    }
    let asks = domain::ask::ask(&app.templates, &balances, &wanted, app.ask_at_once);
    let why = |ask: &Ask<'_>| WhyJson {
        template: ask.template.code.clone(),
        name: ask.template.name.clone(),
        missing: ask.missing,
        first: ask.first.map(rfc3339),
    };
    let answer = AskJson {
        tmpl_ids: asks.iter().map(|ask| ask.template.code.clone()).collect(),
        why: asks.iter().map(why).collect(),
        app: query.app,
        openid: query.openid,
    };
    Ok(json(StatusCode::OK, &answer))
}
