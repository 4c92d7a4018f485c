//! `/v1/reminders`: insert, look, change, cancel, explain.

use super::{
    Api,
    auth::Caller,
    check::{self, ChangeBody, ReminderBody},
    extract::{DryRun, Json, Query, json},
    idempotency::{self, Key, marked, reused},
    problem::Problem,
    schema::{DeliveryWord, Erased, Lang, MiniprogramState, OrderWord},
    taps::Warning,
};
use crate::{
    config::App,
    domain::{
        Millis,
        draft::{Change, Checked, openid},
        push::Delivery,
        reminder::{Claim, NewReminder, ReminderId, State as ReminderState},
        story::Event,
        timing::{cut, parse_instant, rfc3339},
    },
    store::{
        Inserted, Store, StoreError,
        change::Changed,
        keys::Scope,
        lists::{Filter, Order},
        reminders::Stored,
        requests::{Earlier, Once},
    },
    words::{Message, Voice, say},
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A change of some values is made from the reminder as it stands, and made anew so often if that has changed meanwhile.
const TRIES: usize = 5;
/// The id of what is not stored.
const NO_ID: ReminderId = ReminderId(0);

/// A reminder as it is answered. Times are UTC.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Reminder, example = json!({
    "id": "r_06w4n2k8c0000", "state": "scheduled", "app": "coffee", "openid": "o-user-1",
    "template": "Tq9EventReminder_000000000000000000000000001", "at": "2031-03-01T11:30:00.000Z",
    "expires_at": "2031-03-01T13:30:00.000Z", "page": "pages/event?id=42", "key": "event-42/o-user-1",
    "data": {"thing1": "周三读书会", "time2": "2031年3月1日 19:30", "thing5": "三楼301室"},
    "consent": "reserve", "created_at": "2030-11-26T02:00:00.000Z", "updated_at": "2030-11-26T02:00:00.000Z",
}))]
pub struct ReminderJson {
    #[schema(value_type = ReminderId)]
    id: String,
    state: ReminderState,
    app: String,
    openid: String,
    template: String,
    #[schema(format = DateTime)]
    at: String,
    /// The wall time and zone that was written, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    local_at: Option<String>,
    #[schema(format = DateTime)]
    expires_at: String,
    #[schema(required = true)]
    page: Option<String>,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    data: Box<RawValue>,
    #[schema(required = true)]
    key: Option<String>,
    /// The schedule that it comes from, if it comes from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    schedule: Option<String>,
    /// The number of its row in that schedule's table, or its place in an inline list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    row: Option<u32>,
    /// By which the row is known again, where that is not the openid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    row_key: Option<String>,
    /// The entry of `before` (`1d`) or `after` (`+2h`) that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    occasion: Option<String>,
    /// The wall time of the occurrence that it is of, or the key of its event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    occurrence: Option<String>,
    /// What the caller should know; only in the answer to an insert.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
    /// The parts of it that retention has erased.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Erased>)]
    erased: Vec<&'static str>,
    /// How it comes by its consent.
    consent: Claim,
    /// As it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Lang)]
    lang: Option<String>,
    /// As it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = MiniprogramState)]
    miniprogram_state: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// When anything of it changed last: it was inserted or changed, something happened to it, or its receipt came.
    #[schema(format = DateTime)]
    updated_at: String,
    /// Since when it is known that the platform has accepted its message; only of one that is `sent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    sent_at: Option<String>,
    /// When it is tried next, if that is not `at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    next_at: Option<String>,
    /// Why it is as it is, in one word or the platform's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// The platform's later word, once it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = DeliveryWord)]
    delivery: Option<&'static str>,
    /// The receipt in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    receipt: Option<ReceiptJson>,
    /// The attempts, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    attempts: Option<Vec<AttemptJson>>,
    /// Nothing was stored: this is what would be. Its `id` is none that a reminder has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    dry_run: bool,
}

/// The platform's later word on a message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Receipt)]
pub struct ReceiptJson {
    #[schema(format = DateTime)]
    at: String,
    /// The platform's code of a failed delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    code: Option<String>,
    text: String,
}

/// One call to the platform.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptJson {
    #[schema(format = DateTime)]
    at: String,
    /// From the instant to the first byte.
    #[schema(value_type = i64)]
    late_ms: Millis,
    /// From the first byte to the answer.
    #[schema(value_type = i64)]
    took_ms: Millis,
    /// The state that followed.
    outcome: ReminderState,
    #[schema(required = true)]
    code: Option<String>,
    #[schema(required = true)]
    text: Option<String>,
    #[schema(required = true)]
    message_id: Option<String>,
}

/// A page of reminders.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReminderPage)]
pub struct Page {
    items: Vec<ReminderJson>,
    /// For `cursor`, if there may be more.
    #[schema(required = true)]
    next: Option<String>,
    /// Why the page is short though `next` goes on, and how to narrow the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    note: Option<String>,
}

pub(super) fn raw(data: String) -> Box<RawValue> {
    RawValue::from_string(data).unwrap_or_else(|_| RawValue::from_string("{}".into()).expect("an empty object"))
}

pub(super) fn shown(store: &Store, stored: &Stored, story: Option<&(Vec<Event>, Option<Delivery>)>) -> ReminderJson {
    let origin = stored.origin.as_ref();
    let option = |name: &str| stored.options.get(name).cloned();
    let attempt = |event: &Event| {
        let began_at = event.began_at?;
        Some(AttemptJson {
            at: rfc3339(began_at),
            late_ms: began_at - stored.due.at,
            took_ms: event.ended_at - began_at,
            outcome: event.state,
            code: event.code.clone(),
            text: event.said().map(|said| said.to_string()),
            message_id: event.message_id.clone(),
        })
    };
    ReminderJson {
        id: stored.due.id.to_string(),
        state: stored.due.state,
        app: stored.app.clone(),
        openid: stored.openid.clone(),
        template: stored.template.clone(),
        at: rfc3339(stored.due.at),
        local_at: stored.local_at.clone(),
        expires_at: rfc3339(stored.due.expires_at),
        page: stored.page.clone(),
        data: raw(stored.data.clone()),
        key: stored.key.clone(),
        schedule: origin.and_then(|origin| store.schedule_name(origin.schedule)).map(|name| name.to_string()),
        row: origin.and_then(|origin| origin.row),
        row_key: origin.and_then(|origin| origin.key.clone()),
        occasion: origin.map(|origin| origin.occasion.clone()),
        occurrence: origin.map(|origin| origin.occurrence.clone()).filter(|name| !name.is_empty()),
        warnings: Vec::new(),
        erased: [("body", stored.erased.body), ("attempts", stored.erased.attempts)]
            .into_iter()
            .filter_map(|(what, gone)| gone.then_some(what))
            .collect(),
        consent: stored.claim,
        lang: option("lang"),
        miniprogram_state: option("miniprogram_state"),
        created_at: rfc3339(stored.due.id.created_at()),
        updated_at: rfc3339(stored.updated_at()),
        sent_at: stored.sent_at().map(rfc3339),
        next_at: (stored.due.due_at != stored.due.at).then(|| rfc3339(stored.due.due_at)),
        reason: stored.reason.clone(),
        delivery: stored.delivered.map(|delivered| if delivered { "delivered" } else { "undelivered" }),
        receipt: story.and_then(|(_, delivery)| delivery.as_ref()).map(|delivery| ReceiptJson {
            at: rfc3339(delivery.at),
            code: delivery.failure.clone(),
            text: delivery.text.clone(),
        }),
        attempts: story.map(|(events, _)| events.iter().filter_map(attempt).collect()),
        dry_run: false,
    }
}

/// A reminder that was inserted just now, or would be.
fn inserted(new: NewReminder, id: ReminderId, created_at: Millis, dry_run: bool) -> ReminderJson {
    let NewReminder { mut options, .. } = new;
    ReminderJson {
        id: id.to_string(),
        state: ReminderState::Scheduled,
        app: new.app,
        openid: new.openid,
        template: new.template,
        at: rfc3339(new.at),
        local_at: new.local_at,
        expires_at: rfc3339(new.expires_at),
        page: new.page,
        data: raw(new.data),
        key: new.key,
        schedule: None,
        row: None,
        row_key: None,
        occasion: None,
        occurrence: None,
        warnings: Vec::new(),
        erased: Vec::new(),
        consent: new.claim,
        lang: options.remove("lang"),
        miniprogram_state: options.remove("miniprogram_state"),
        created_at: rfc3339(created_at),
        updated_at: rfc3339(created_at),
        sent_at: None,
        next_at: None,
        reason: None,
        delivery: None,
        receipt: None,
        attempts: None,
        dry_run,
    }
}

impl Api {
    /// The reminder, if there is one and the caller may see it: of another's nothing is said, not even that it exists.
    pub(super) async fn visible(&self, caller: &Caller, id: &str) -> Result<Stored, Problem> {
        self.visible_of(caller, id.parse().map_err(|()| Problem::no_reminder())?).await
    }

    /// The same by its id.
    async fn visible_of(&self, caller: &Caller, id: ReminderId) -> Result<Stored, Problem> {
        let stored = self.store.reminder(id).await?;
        stored.filter(|stored| caller.sees(&stored.app)).ok_or_else(Problem::no_reminder)
    }

    /// The answer about a reminder, with its attempts.
    pub(super) async fn whole(&self, stored: &Stored) -> Result<Response, Problem> {
        let story = (self.store.events(stored).await?, self.store.delivery(stored).await?);
        Ok(json(StatusCode::OK, &shown(&self.store, stored, Some(&story))))
    }

    /// Changes a reminder, and answers with it as it is then.
    pub(super) async fn change_one(
        &self,
        caller: &Caller,
        mut stored: Stored,
        body: ChangeBody,
    ) -> Result<Response, Problem> {
        let id = stored.due.id;
        for _ in 0..TRIES {
            if stored.due.state != ReminderState::Scheduled {
                return Err(not_scheduled(stored.due.state));
            }
            if self.is_doubtful(&stored).await? {
                return Err(on_hold());
            }
            let change = check::change(&self.config, &self.store, &stored, body.clone(), self.clock.now())?;
            if is_as_it_stands(&change, &stored) {
                return self.whole(&stored).await;
            }
            let changed = self.store.change(id, change).await?;
            stored = self.visible_of(caller, id).await?;
            if changed != Changed::Meanwhile {
                done(changed).map_err(|problem| problem.in_zone(self.config.zone_of(&stored.app)))?;
                return self.whole(&stored).await;
            }
        }
        Err(Problem::new("changed_meanwhile", say!("changed_again_and_again")))
    }

    /// Cancels a reminder, and answers with it as it is then. One that is cancelled already stays so.
    pub(super) async fn cancel_one(&self, caller: &Caller, stored: Stored) -> Result<Response, Problem> {
        if stored.due.state == ReminderState::Cancelled {
            return self.whole(&stored).await;
        }
        if stored.due.due_at <= self.clock.now() && self.is_doubtful(&stored).await? {
            return Err(on_hold());
        }
        match self.store.cancel(stored.due.id).await? {
            // Another call was faster.
            Changed::NotScheduled(ReminderState::Cancelled) => {}
            changed => done(changed)?,
        }
        self.whole(&self.visible_of(caller, stored.due.id).await?).await
    }

    /// Whether another life of a store on hold may have sent it.
    async fn is_doubtful(&self, stored: &Stored) -> Result<bool, Problem> {
        Ok(self.store.hold().await?.is_some_and(|hold| stored.due.id <= hold.last_id))
    }
}

/// Insert one reminder. With `dry_run` the consent and the key are checked too.
#[utoipa::path(post, path = "/v1/reminders", operation_id = "insert_reminder", request_body = ReminderBody, tag = "reminders",
    params(DryRun, ("Idempotency-Key" = Option<String>, Header, nullable = false, pattern = "^([!#-~]{1,255}|\"[ !#-\\[\\]-~]{1,255}\")$",
        description = "The same key with the same body again is answered with the same reminder, for a day at least, beside `key`, which holds for ever")),
    responses((status = 400, description = "`bad_json`, `bad_query`, `bad_idempotency_key`; `idempotency_key_not_taken`: with `dry_run`"),
    (status = 201, description = "Durable, its consent held", body = ReminderJson),
    (status = 200, description = "The same key and body came before: that reminder as it is now. With `dry_run`: what would be stored", body = ReminderJson,
    headers(("Idempotent-Replayed" = bool, description = "`true` of one that came before"))),
    (status = 409, description = "`no_consent`, `key_conflict`, `key_cancelled`, `key_spent`, `user_forgotten`"),
    (status = 422, description = "`idempotency_key_reused`; or a value breaks a rule: `code` says which, and `param` where")))]
pub async fn insert(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<DryRun>,
    key: Key,
    Json(body): Json<ReminderBody>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    caller.may_touch(&body.app)?;
    check::app(&api.config, &body.app)?;
    let (now, asked, openid) = (api.clock.now(), key.of(&body.app, "/v1/reminders", &body), body.openid.clone());
    if query.dry_run {
        idempotency::without_key(&asked)?;
    }
    // A call that is repeated is answered whatever time has done to it.
    if let Some(asked) = &asked
        && let Some(earlier) = api.store.earlier(asked).await?
    {
        return repeated(&api, &openid, earlier).await;
    }
    let Checked { reminder: new, late } = check::reminder(&api.config, &api.store, body, now)?;
    let verdict = match late.is_empty() {
        true if asked.is_some() => {
            let asked = asked.expect("just seen");
            match api.store.insert_once(asked, new.clone()).await? {
                Once::Done(verdict) => verdict,
                Once::Before(earlier) => return repeated(&api, &openid, earlier).await,
            }
        }
        true if query.dry_run => api.store.try_insert(vec![new.clone()]).await?[0],
        true => api.store.insert(vec![new.clone()]).await?[0],
        // A replay of an old key is answered all the same.
        false => api.store.known_key(&new).await?.ok_or_else(|| check::late(&api.config, &new, late))?,
    };
    match verdict {
        Inserted::Created(_) if query.dry_run => Ok(json(StatusCode::OK, &inserted(new, NO_ID, now, true))),
        Inserted::Created(id) => {
            let is_second = check::add(&new).is_some_and(|add| api.taps.is_second(api.taps.tap(&add), now));
            let warnings = is_second.then(|| Warning::counted_twice(&new.template, voice)).into_iter().collect();
            let answer = ReminderJson { warnings, ..inserted(new, id, id.created_at(), false) };
            Ok(json(StatusCode::CREATED, &answer))
        }
        Inserted::Replayed(id, _) => replayed(&api, id).await,
        refused => Err(refusal(check::app(&api.config, &new.app)?, refused)),
    }
}

/// The answer to a call that came before.
async fn replayed(api: &Api, id: ReminderId) -> Result<Response, Problem> {
    // It may have been cancelled, or erased, since the key was looked up.
    let stored = api.store.reminder(id).await?.ok_or_else(key_spent)?;
    if stored.due.state == ReminderState::Cancelled {
        return Err(key_cancelled(id));
    }
    Ok(marked(json(StatusCode::OK, &shown(&api.store, &stored, None))))
}

/// The answer to a call whose Idempotency-Key came before: the reminder as it is now, whatever has become of it.
async fn repeated(api: &Api, openid: &str, earlier: Earlier) -> Result<Response, Problem> {
    let Earlier::Reminder(id) = earlier else { return Err(reused()) };
    let stored = api.store.reminder(id).await?;
    let stored = stored.ok_or_else(|| Problem::new("key_spent", say!("idempotency_key_spent")))?;
    if stored.openid != openid {
        return Err(forgotten());
    }
    Ok(marked(json(StatusCode::OK, &shown(&api.store, &stored, None))))
}

fn key_spent() -> Problem {
    Problem::new("key_spent", say!("key_spent")).at("/key")
}

fn key_cancelled(id: ReminderId) -> Problem {
    Problem::new("key_cancelled", say!("key_cancelled", id = id.to_string())).at("/key")
}

/// The refusal of an insert that wrote nothing. Times are in the app's zone.
pub(super) fn refusal(app: &App, verdict: Inserted) -> Problem {
    let problem = match verdict {
        Inserted::KeyConflict(id) => Problem::new("key_conflict", say!("key_conflict", id = id.to_string())).at("/key"),
        Inserted::KeyCancelled(id) => key_cancelled(id),
        Inserted::Spent => key_spent(),
        Inserted::Forgotten => forgotten(),
        Inserted::ConsentsEnd(until) => {
            Problem::new("no_consent", say!("consents_end_before", until = until)).at("/at")
        }
        Inserted::Refused => StoreError::Refused(say!("store_refused_row_alone")).into(),
        _ if app.platform.tickets.needed => Problem::new("no_consent", say!("no_ticket_to_reserve")),
        _ => Problem::new("no_consent", say!("no_consent_to_reserve")),
    };
    problem.in_zone(app.timezone)
}

/// The refusal of what is about a user who was forgotten.
pub(super) fn forgotten() -> Problem {
    Problem::new("user_forgotten", say!("user_forgotten")).at("/openid")
}

/// One reminder with its attempts.
#[utoipa::path(get, path = "/v1/reminders/{id}", operation_id = "show_reminder", tag = "reminders", params(("id" = ReminderId, Path)),
    responses((status = 200, description = "With `attempts` and `reason`", body = ReminderJson)))]
pub async fn show(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    api.whole(&api.visible(&caller, &id).await?).await
}

/// Change a scheduled reminder.
#[utoipa::path(patch, path = "/v1/reminders/{id}", operation_id = "change_reminder", request_body = ChangeBody, tag = "reminders",
    params(("id" = ReminderId, Path)), responses((status = 200, description = "As it is now", body = ReminderJson),
    (status = 409, description = "`not_scheduled`, `on_hold`, `changed_meanwhile`, `no_consent`: its consent ends before the new instant")))]
pub async fn change(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<ChangeBody>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    api.change_one(&caller, api.visible(&caller, &id).await?, body).await
}

/// Cancel a scheduled reminder; its consent is free again. One that is cancelled already stays so, and is answered alike.
#[utoipa::path(delete, path = "/v1/reminders/{id}", operation_id = "cancel_reminder", tag = "reminders",
    params(("id" = ReminderId, Path)), responses((status = 200, description = "As it is now", body = ReminderJson),
    (status = 409, description = "`not_scheduled`, `on_hold`")))]
pub async fn cancel(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    api.cancel_one(&caller, api.visible(&caller, &id).await?).await
}

/// Whether a change would leave a reminder as it is. The data of one that waits beyond its instant are news even if they are the same.
fn is_as_it_stands(change: &Change, stored: &Stored) -> bool {
    let waits_longer = stored.due.due_at != stored.due.at;
    let same_at = |(at, local_at): &(_, _)| *at == stored.due.at && *local_at == stored.local_at && !waits_longer;
    change.at.as_ref().is_none_or(same_at)
        && change.expires_at.is_none_or(|expires_at| expires_at == stored.due.expires_at)
        && change.page.as_ref().is_none_or(|page| *page == stored.page)
        && change.data.as_ref().is_none_or(|data| *data == stored.data && !waits_longer)
}

fn on_hold() -> Problem {
    Problem::new("on_hold", say!("on_hold"))
}

fn done(changed: Changed) -> Result<(), Problem> {
    match changed {
        Changed::Yes => Ok(()),
        Changed::NotScheduled(state) => Err(not_scheduled(state)),
        Changed::NotFound => Err(Problem::no_reminder()),
        Changed::ConsentEnds(until) => {
            Err(Problem::new("no_consent", say!("consent_ends_before", until = until)).at("/at"))
        }
        Changed::Meanwhile => Err(Problem::new("changed_meanwhile", say!("changed_again_and_again"))),
        Changed::BadDeadline => Err(Problem::new("bad_deadline", say!("changed_meanwhile")).at("/expires_at")),
    }
}

fn not_scheduled(state: ReminderState) -> Problem {
    Problem::new("not_scheduled", say!("not_scheduled", state = state.word()))
}

/// The filter of a list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// All apps of the key if left out.
    pub app: Option<String>,
    #[param(pattern = "^[!-~]{1,128}$")]
    pub openid: Option<String>,
    /// The template's id or alias.
    pub template: Option<String>,
    /// A state, or several with commas between them.
    #[param(
        pattern = "^(scheduled|sending|in_doubt|sent|failed|expired|cancelled|unconfirmed)(,(scheduled|sending|in_doubt|sent|failed|expired|cancelled|unconfirmed))*$"
    )]
    pub state: Option<String>,
    /// The platform's receipt.
    #[param(value_type = Option<DeliveryWord>)]
    pub delivery: Option<String>,
    /// Only of this schedule. Their order is that of their instants, also of those that are retried.
    pub schedule: Option<String>,
    /// Instants at or after this. A wall time in the zone of `app` is read too.
    #[param(format = DateTime, max_length = 40)]
    pub from: Option<String>,
    /// Instants before this. A wall time in the zone of `app` is read too.
    #[param(format = DateTime, max_length = 40)]
    pub to: Option<String>,
    /// Only what has changed at this or later, by `updated_at`. In a large store narrow it by `from` and `to`, too: all that these leave is looked at.
    #[param(format = DateTime, max_length = 40)]
    pub changed_since: Option<String>,
    /// `oldest` instant first, or `newest`.
    #[param(value_type = Option<OrderWord>, default = "oldest")]
    pub order: Option<String>,
    /// How many at most.
    #[param(value_type = Option<i32>, minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<String>,
    /// `next` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]{21}[AQgw]$")]
    pub cursor: Option<String>,
}

/// Reminders by instant, newest last, or first with `order=newest`. A list takes two seconds at most; then the page is short, `note` says how far it got, and `next` goes on.
/// A key has at most four lists under way at once.
#[utoipa::path(get, path = "/v1/reminders", operation_id = "list_reminders", tag = "reminders", params(ListQuery), responses(
    (status = 200, description = "A page", body = Page),
    (status = 422, description = "`too_long`, of one user; or a value breaks a rule: `code` says which, and `param` where"),
    (status = 429, description = "`too_many`; `Retry-After` says when to ask again")))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let schedule = query.schedule.as_deref().map(|name| api.store.gates().find(name));
    let nothing = schedule == Some(None);
    let zone = query.app.as_deref().map_or_else(|| api.config.zone(), |app| api.config.zone_of(app));
    let filter = Filter { schedule: schedule.flatten(), ..query.filter(&api, &caller)? };
    if nothing {
        return Ok(json(StatusCode::OK, &Page { items: Vec::new(), next: None, note: None }));
    }
    let _place = api.places.take(caller.name())?;
    let page = api.store.page(&filter, api.list_time).await?;
    let page = page.ok_or_else(|| Problem::new("too_long", say!("list_too_long")).at("/openid"))?;
    let voice = voice.in_zone(zone);
    let note = page.next.filter(|_| page.cut_short).map(|(at, _)| say!("list_cut_short", at = at).say(voice));
    let next = page.next.map(|(at, id)| cursor(at, id));
    Ok(json(
        StatusCode::OK,
        &Page { items: page.items.iter().map(|stored| shown(&api.store, stored, None)).collect(), next, note },
    ))
}

fn bad(param: &str, detail: Message) -> Problem {
    Problem::new("bad_query", detail).at(format!("/{param}"))
}

impl ListQuery {
    /// The same for the store, narrowed to the apps that the caller may see.
    pub(super) fn filter(self, api: &Api, caller: &Caller) -> Result<Filter, Problem> {
        let mut apps: Vec<&App> = match &self.app {
            Some(app) => {
                caller.may_touch(app)?;
                vec![check::app(&api.config, app)?]
            }
            None => api.config.apps.iter().filter(|app| caller.sees(&app.name)).collect(),
        };
        let zone = if let [app] = apps.as_slice() { app.timezone } else { None };
        let time = |param: &'static str, text: &Option<String>| {
            text.as_ref().map(|t| parse_instant(t, zone).map(|w| w.at).map_err(|why| bad(param, why))).transpose()
        };
        let mut templates = BTreeMap::new();
        if let Some(name) = &self.template {
            // An alias may stand for another id in each app.
            apps.retain(|app| {
                let code = app.template(name).map(|template| template.code.clone());
                code.map(|code| templates.insert(app.name.clone(), code)).is_some()
            });
            if apps.is_empty() {
                let detail = say!("template_nowhere", name = cut(name));
                return Err(Problem::new("unknown_template", detail).at("/template"));
            }
        }
        let delivered = match self.delivery.as_deref() {
            None => None,
            Some("delivered") => Some(true),
            Some("undelivered") => Some(false),
            Some(other) => return Err(bad("delivery", say!("not_a_delivery", found = cut(other)))),
        };
        let not_a_state = || bad("state", say!("not_a_state", allowed = ReminderState::ALL.map(ReminderState::word)));
        let words = self.state.as_deref().into_iter().flat_map(|words| words.split(','));
        let states: Result<Vec<_>, _> =
            words.map(|word| ReminderState::from_word(word).ok_or_else(not_a_state)).collect();
        let order = match self.order.as_deref() {
            None | Some("oldest") => Order::Oldest,
            Some("newest") => Order::Newest,
            Some(other) => return Err(bad("order", say!("not_an_order", found = cut(other)))),
        };
        let limit = self.limit.as_deref().map(|text| {
            let limit = text.parse().ok().filter(|n| (1..=1_000).contains(n));
            limit.ok_or_else(|| bad("limit", say!("not_a_limit")))
        });
        let after = self.cursor.as_deref();
        let after = after.map(|text| read_cursor(text).ok_or_else(|| bad("cursor", say!("not_a_cursor"))));
        self.openid.as_deref().map_or(Ok(()), openid)?;
        Ok(Filter {
            apps: apps.into_iter().map(|app| app.name.clone()).collect(),
            templates,
            delivered,
            states: states?,
            from: time("from", &self.from)?,
            to: time("to", &self.to)?,
            changed_since: time("changed_since", &self.changed_since)?,
            order,
            after: after.transpose()?,
            limit: limit.transpose()?.unwrap_or(100),
            openid: self.openid,
            schedule: None,
        })
    }
}

/// Sixteen bytes, so that whatever looks like a cursor is one.
fn cursor(at: Millis, id: ReminderId) -> String {
    BASE64URL_NOPAD.encode(&[at.to_be_bytes(), id.0.to_be_bytes()].concat())
}

fn read_cursor(text: &str) -> Option<(Millis, ReminderId)> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let (at, id) = bytes.split_first_chunk()?;
    Some((i64::from_be_bytes(*at), ReminderId(i64::from_be_bytes(id.try_into().ok()?))))
}
