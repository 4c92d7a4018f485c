//! The bodies of requests, and how each becomes a draft that the domain checks.

use super::{
    Api,
    auth::Caller,
    distinct,
    problem::Problem,
    schema::{Lang, MiniprogramState},
    taps::Add,
    ticket::{self, TicketBody, Whose},
};
use crate::{
    config::{App, Config},
    domain::{
        Invalid, Millis,
        draft::{Change, ChangeDraft, Checked, Draft, Standing, Tap},
        reminder::{Claim, NewReminder},
    },
    store::{Store, reminders::Stored},
};
use data_encoding::HEXLOWER;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt};
use utoipa::ToSchema;

/// A reminder as a backend sends it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: a reminder")]
#[schema(as = NewReminder, example = json!({
    "app": "coffee", "openid": "o-user-1", "template": "event-start", "at": "2031-03-01T19:30:00+08:00", "expires_at": "2h",
    "key": "event-42/o-user-1", "accepted": {"event": "tap-7f3a"}, "page": "pages/event?id=42",
    "data": {"thing1": "周三读书会", "time2": "2031年3月1日 19:30", "thing5": "三楼301室"},
}))]
pub struct ReminderBody {
    /// The app's name in the configuration.
    pub app: String,
    /// The user: 1 to 128 visible ASCII characters.
    #[schema(pattern = "^[!-~]{1,128}$")]
    pub openid: String,
    /// The template's id or alias.
    pub template: String,
    /// RFC 3339 with an offset, wall time in the app's zone like `2031-03-01T19:30`, or `+2h`: that long from now.
    #[schema(max_length = 40)]
    pub at: String,
    /// One string for every field of the template.
    #[serde(deserialize_with = "distinct::members")]
    pub data: BTreeMap<String, String>,
    /// Page that opens on tap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024)]
    pub page: Option<String>,
    /// As `at`, or a duration after it such as `2h`; 24 h by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 40)]
    pub expires_at: Option<String>,
    /// `send`: it goes at once if its instant passed more than five minutes ago. Without it such a reminder is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<Late>,
    /// Unique per app, for ever: the same key and body again is answered with the same reminder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub key: Option<String>,
    /// `reserve` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<Claim>,
    /// The user has just accepted: record that consent and hold it for this reminder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<AcceptedBody>,
    /// `zh_CN` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Lang>)]
    pub lang: Option<String>,
    /// `formal` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<MiniprogramState>)]
    pub miniprogram_state: Option<String>,
}

/// What becomes of an instant that has passed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Late {
    /// It goes at once, if its deadline allows.
    Send,
}

/// `true`, or what is known of the tap.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Accepted)]
pub enum AcceptedBody {
    /// Just now.
    Plain(bool),
    /// With its particulars.
    Told(TapBody),
}

/// By hand, so that a mistake within the object is told at its own place.
impl<'de> Deserialize<'de> for AcceptedBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = AcceptedBody;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, or an object of event, at, source, subscribe_id and ticket")
            }

            fn visit_bool<E: Error>(self, accepted: bool) -> Result<AcceptedBody, E> {
                Ok(AcceptedBody::Plain(accepted))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AcceptedBody, A::Error> {
                TapBody::deserialize(MapAccessDeserializer::new(map)).map(AcceptedBody::Told)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A tap of the user.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: a tap")]
#[schema(as = Tap)]
pub struct TapBody {
    /// The caller's own id of the tap: the same event twice counts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub event: Option<String>,
    /// When, as a reminder's `at`; now by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 40)]
    pub at: Option<String>,
    /// Who tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub source: Option<String>,
    /// The id that `/v1/consents/prepare` gave for the dialog, on platforms that ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub subscribe_id: Option<String>,
    /// The ticket that the tap brought, on platforms that know any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketBody>,
}

/// The changes of a reminder's owner; a field that is left out stays. A `page` of `null` or `""` removes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: a change")]
#[schema(as = ReminderChange, example = json!({"at": "2031-03-01T20:00:00+08:00"}))]
pub struct ChangeBody {
    /// As in a new reminder. The deadline moves along unless it is given too.
    #[schema(max_length = 40)]
    pub at: Option<String>,
    /// As in a new reminder.
    #[schema(max_length = 40)]
    pub expires_at: Option<String>,
    /// As in a new reminder.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    pub page: Option<Option<String>>,
    /// The fields that change; the others stay.
    #[serde(default, deserialize_with = "distinct::members_if_any")]
    pub data: Option<BTreeMap<String, String>>,
    /// As in a new reminder, of the `at` that is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub late: Option<Late>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// The app that a call is about.
#[derive(Debug, Deserialize, utoipa::IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OfApp {
    /// All that the caller may see if left out.
    pub(super) app: Option<String>,
}

impl OfApp {
    /// Refuses an app that is unknown, or none of the caller's.
    pub(super) fn check(&self, api: &Api, caller: &Caller) -> Result<(), Problem> {
        let Some(name) = &self.app else { return Ok(()) };
        caller.may_touch(name)?;
        app(&api.config, name)?;
        Ok(())
    }

    /// Whether it is about this app.
    pub(super) fn covers(&self, caller: &Caller, app: &str) -> bool {
        caller.sees(app) && self.app.as_ref().is_none_or(|wanted| wanted == app)
    }
}

/// The configured app of that name.
///
/// # Errors
/// `unknown_app`, with the nearest name.
pub fn app<'a>(config: &'a Config, name: &str) -> Result<&'a App, Invalid> {
    App::find(&config.apps, name)
}

/// The refusal of a draft for its problems.
fn refusal(app: &App, problems: Vec<Invalid>) -> Problem {
    Problem::of(problems).in_zone(app.timezone)
}

/// The reminder that a body describes.
///
/// # Errors
/// The fields at fault.
pub fn reminder(config: &Config, store: &Store, body: ReminderBody, now: Millis) -> Result<Checked, Problem> {
    let digest = HEXLOWER.encode(&Sha256::digest(serde_json::to_vec(&body).expect("texts serialise")));
    let app = app(config, &body.app)?;
    let options = [("lang", body.lang), ("miniprogram_state", body.miniprogram_state)];
    let accepted = match body.accepted {
        None | Some(AcceptedBody::Plain(false)) => None,
        Some(AcceptedBody::Plain(true)) => Some(Tap::default()),
        Some(AcceptedBody::Told(tap)) => {
            let of = Whose { app, openid: &body.openid, templates: &[body.template.as_str()] };
            let ticket = ticket::named(&of, store, tap.subscribe_id, tap.ticket, "/accepted")?;
            Some(Tap { event: tap.event, at: tap.at, source: tap.source, ticket })
        }
    };
    let draft = Draft {
        openid: body.openid,
        template: body.template,
        at: body.at,
        data: body.data,
        page: body.page,
        expires_at: body.expires_at,
        key: body.key,
        consent: body.consent,
        accepted,
        sends_late: body.late.is_some(),
        options: options.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        digest,
    };
    draft.check(&app.terms(store.listing(&app.name).as_deref()), now).map_err(|problems| refusal(app, problems))
}

/// What a new reminder adds, if it brings an accept. A standing consent is counted once, however often it is told of.
pub fn add(new: &NewReminder) -> Option<Add<'_>> {
    let accepted = new.accepted.as_ref().filter(|_| !new.standing)?;
    let (at, named) = (accepted.at, accepted.event.is_some());
    Some(Add { app: &new.app, openid: &new.openid, template: &new.template, at, named })
}

/// The refusal of a reminder that time has spoilt.
pub fn late(config: &Config, new: &NewReminder, problems: Vec<Invalid>) -> Problem {
    Problem::of(problems).in_zone(config.zone_of(&new.app))
}

/// The change that a body describes, of the reminder as it stands.
///
/// # Errors
/// The fields at fault.
pub fn change(
    config: &Config,
    store: &Store,
    stored: &Stored,
    body: ChangeBody,
    now: Millis,
) -> Result<Change, Problem> {
    let app = app(config, &stored.app)?;
    let ChangeBody { at, expires_at, page, data, late } = body;
    let standing = Standing {
        at: stored.due.at,
        expires_at: stored.due.expires_at,
        template: &stored.template,
        data: &stored.data,
        fence: stored.due.fence,
    };
    let listing = store.listing(&app.name);
    let change = ChangeDraft { at, expires_at, page, data, sends_late: late.is_some() }.check(
        &app.terms(listing.as_deref()),
        &standing,
        now,
    );
    change.map_err(|problems| refusal(app, problems))
}
