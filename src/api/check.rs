//! From what somebody sent to what can be stored: every field has a bound, every refusal names its field.

use super::openapi::{Lang, MiniprogramState, PopupResults};
use crate::{
    config::{App, Config},
    domain::{
        DAY, HOUR, Invalid, Millis,
        consent::{Feed, RESULTS, Report, grants},
        did_you_mean, pointer,
        reminder::{Accepted, Claim, NewReminder},
        template::{Kind, Template},
        timing::{MAX_DAYS_AHEAD, cut, parse_duration, parse_instant, rfc3339},
    },
    store::{
        Store,
        reminders::{Change, Stored},
    },
};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A reminder as a backend sends it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: a reminder")]
#[schema(as = NewReminder, example = json!({
    "app": "coffee", "openid": "o-user-1", "template": "event-start", "at": "2031-03-01T19:30:00+08:00", "expires_at": "2h",
    "key": "event-42/o-user-1", "accepted": true, "page": "pages/event?id=42",
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
    /// RFC 3339 with an offset, or wall time in the app's zone like `2031-03-01T19:30`.
    #[schema(max_length = 40)]
    pub at: String,
    /// One string for every field of the template.
    pub data: BTreeMap<String, String>,
    /// Page that opens on tap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024)]
    pub page: Option<String>,
    /// As `at`, or a duration after it such as `2h`; 24 h by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 40)]
    pub expires_at: Option<String>,
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

/// The values of `lang`.
pub const LANGS: [&str; 4] = ["zh_CN", "en_US", "zh_HK", "zh_TW"];
/// The values of `miniprogram_state`.
pub const MINIPROGRAM_STATES: [&str; 3] = ["formal", "trial", "developer"];

/// `true`, or what is known of the tap.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "true, or an object of event, at and source")]
#[schema(as = Accepted)]
pub enum AcceptedBody {
    /// Just now.
    Plain(bool),
    /// With its particulars.
    Told(#[serde(deserialize_with = "object")] Tap),
}

/// serde would take a list of the fields' values, too.
fn object<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Tap, D::Error> {
    let members = serde_json::Map::deserialize(deserializer)?;
    Tap::deserialize(members).map_err(serde::de::Error::custom)
}

/// A tap of the user.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tap {
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
}

/// What the mini-program's popup reported.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: a popup's report")]
#[schema(as = ConsentReport, example = json!({
    "app": "coffee", "openid": "o-user-1", "event": "tap-7f3a",
    "results": {"Tq9EventReminder_000000000000000000000000001": "accept", "errMsg": "requestSubscribeMessage:ok"},
}))]
pub struct ConsentBody {
    /// The app's name in the configuration.
    pub app: String,
    /// The user: 1 to 128 visible ASCII characters.
    #[schema(pattern = "^[!-~]{1,128}$")]
    pub openid: String,
    /// What `wx.requestSubscribeMessage` gave: template id (or alias) → what the user did; `errMsg` is ignored.
    #[schema(value_type = PopupResults)]
    pub results: BTreeMap<String, String>,
    /// When, as a reminder's `at`; now by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 40)]
    pub at: Option<String>,
    /// Who tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64)]
    pub source: Option<String>,
    /// The caller's own id of the tap: the same event twice counts once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub event: Option<String>,
}

/// What an owner changes; what is left out stays. A `page` of `null` or `""` removes it.
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
    /// All fields of the template.
    pub data: Option<BTreeMap<String, String>>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// The configured app of that name.
///
/// # Errors
/// `unknown_app`, with the nearest name.
pub fn app<'a>(config: &'a Config, name: &str) -> Result<&'a App, Invalid> {
    config.apps.iter().find(|app| app.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.apps.iter().map(|app| app.name.as_str()).collect();
        let near =
            did_you_mean(name, names.iter().copied()).map_or(String::new(), |n| format!("; did you mean «{n}»?"));
        Invalid::new(
            "unknown_app",
            "/app",
            format!("no app «{}» is configured; there are {}{near}", cut(name), names.join(", ")),
        )
    })
}

/// The app's template of that id or alias.
///
/// # Errors
/// `unknown_template` at `param`, with the nearest name.
pub fn template<'a>(app: &'a App, name: &str, param: &str) -> Result<&'a Template, Invalid> {
    app.template(name).ok_or_else(|| {
        let names: Vec<&str> = app.templates.iter().map(|t| t.name.as_deref().unwrap_or(&t.code)).collect();
        let near =
            did_you_mean(name, names.iter().copied()).map_or(String::new(), |n| format!("; did you mean «{n}»?"));
        let detail =
            format!("the app «{}» has no template «{}»; it has {}{near}", app.name, cut(name), names.join(", "));
        Invalid::new("unknown_template", param, detail)
    })
}

/// Text of 1 to `most` characters without control characters.
fn bounded(value: &str, most: usize, param: &str) -> Result<(), Invalid> {
    let length = value.chars().count();
    if length == 0 || length > most {
        return Err(Invalid::new("bad_value", param, format!("has {length} characters; 1 to {most} are allowed")));
    }
    if let Some(c) = value.chars().find(|c| c.is_control()) {
        let detail = format!("contains the control character U+{:04X}; remove it", c as u32);
        return Err(Invalid::new("bad_value", param, detail));
    }
    Ok(())
}

/// An openid: 1 to 128 visible ASCII characters. The value is not repeated in the refusal.
///
/// # Errors
/// `bad_value`.
pub fn openid(value: &str) -> Result<(), Invalid> {
    if (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Invalid::new("bad_value", "/openid", "this is not an openid; it has 1 to 128 visible ASCII characters"))
}

/// A page of the mini-program, such as `pages/event?id=42`.
fn page(path: &str) -> Result<(), Invalid> {
    bounded(path, 1_024, "/page")?;
    if path.contains("://") || path.chars().any(char::is_whitespace) {
        let detail =
            "this is not a page of the mini-program; write its path, with a query if need be, like pages/event?id=42";
        return Err(Invalid::new("bad_value", "/page", detail));
    }
    Ok(())
}

fn one_of(value: Option<&str>, allowed: &[&str], param: &str) -> Result<(), Invalid> {
    match value {
        Some(v) if !allowed.contains(&v) => {
            let detail = format!("«{}» is not known; allowed are {}", cut(v), allowed.join(", "));
            Err(Invalid::new("bad_value", param, detail))
        }
        _ => Ok(()),
    }
}

fn tap(tap: Tap, base: &str, app: &App, now: Millis) -> Result<Accepted, Invalid> {
    if let Some(event) = &tap.event {
        bounded(event, 128, &format!("{base}/event"))?;
    }
    let source = tap.source.unwrap_or_else(|| "api".into());
    bounded(&source, 64, &format!("{base}/source"))?;
    let at = match &tap.at {
        None => now,
        Some(text) => {
            let param = format!("{base}/at");
            let at = parse_instant(text, app.timezone)
                .map_err(|why| Invalid::new("bad_time", param.clone(), why.to_string()))?
                .at;
            if at > now + HOUR || at < now - MAX_DAYS_AHEAD * DAY {
                let detail = format!(
                    "{} is no time at which a user can have accepted; it lies at most {MAX_DAYS_AHEAD} days back",
                    rfc3339(at)
                );
                return Err(Invalid::new("bad_time", param, detail));
            }
            at
        }
    };
    Ok(Accepted { at, source, event: tap.event })
}

/// The deadline: a duration after `at`, or an instant.
fn deadline(text: Option<&str>, at: Millis, app: &App) -> Result<Millis, Invalid> {
    let Some(text) = text else { return Ok(at + DAY) };
    let expires_at = if text.contains(['T', ':', '-']) {
        parse_instant(text, app.timezone).map_err(|why| Invalid::new("bad_time", "/expires_at", why.to_string()))?.at
    } else {
        at + parse_duration(text).map_err(|why| Invalid::new("bad_time", "/expires_at", why.to_string()))?
    };
    if expires_at <= at {
        let detail =
            format!("the deadline {} does not follow the instant {}; put it later", rfc3339(expires_at), rfc3339(at));
        return Err(Invalid::new("bad_deadline", "/expires_at", detail));
    }
    if expires_at > at + MAX_DAYS_AHEAD * DAY {
        let detail = format!("the deadline lies more than {MAX_DAYS_AHEAD} days after the instant; put it earlier");
        return Err(Invalid::new("bad_deadline", "/expires_at", detail));
    }
    Ok(expires_at)
}

fn instant(text: &str, app: &App, now: Millis) -> Result<(Millis, Option<String>), Invalid> {
    let written = parse_instant(text, app.timezone).map_err(|why| Invalid::new("bad_time", "/at", why.to_string()))?;
    if written.at > now + MAX_DAYS_AHEAD * DAY {
        let detail =
            format!("{} lies more than {MAX_DAYS_AHEAD} days ahead; that is taken for a mistake", rfc3339(written.at));
        return Err(Invalid::new("bad_time", "/at", detail));
    }
    Ok((written.at, written.local))
}

/// Whether there is an instant left at which it could be sent.
fn sendable(app: &App, at: Millis, expires_at: Millis, given: bool, now: Millis) -> Result<(), Invalid> {
    let param = if given { "/expires_at" } else { "/at" };
    if expires_at > now {
        let quiet = app.rules.quiet_hours.and_then(|quiet| quiet.ends(at.max(now)));
        return match quiet.filter(|until| *until >= expires_at) {
            Some(until) => {
                let detail = format!(
                    "quiet hours hold it until {}, and its deadline {} passes before: it would never be sent; choose a later one",
                    rfc3339(until),
                    rfc3339(expires_at)
                );
                Err(Invalid::new("bad_deadline", param, detail))
            }
            None => Ok(()),
        };
    }
    let detail = format!(
        "the deadline {} has passed (it is {} now), so it would never be sent; choose a later time",
        rfc3339(expires_at),
        rfc3339(now)
    );
    Err(Invalid::new("past_deadline", param, detail))
}

/// A reminder that passed every check. What only time can have brought against it is the second value: its deadline has passed, or the
/// platform's template has changed. A replay of an old key is answered all the same.
///
/// # Errors
/// The first field at fault.
pub fn reminder(
    config: &Config,
    store: &Store,
    body: ReminderBody,
    now: Millis,
) -> Result<(NewReminder, Result<(), Invalid>), Invalid> {
    let digest = HEXLOWER.encode(&Sha256::digest(serde_json::to_vec(&body).expect("texts serialise")));
    let app = app(config, &body.app)?;
    openid(&body.openid)?;
    let template = template(app, &body.template, "/template")?;
    let data = template.check(store.listing(&app.name).as_deref(), &body.data);
    let (at, local_at) = instant(&body.at, app, now)?;
    let expires_at = deadline(body.expires_at.as_deref(), at, app)?;
    let (data, still_good) = match data {
        Ok(data) => (data, sendable(app, at, expires_at, body.expires_at.is_some(), now)),
        Err(why) => (body.data, Err(why)),
    };
    if let Some(path) = &body.page {
        page(path)?;
    }
    if let Some(key) = &body.key {
        bounded(key, 128, "/key")?;
    }
    one_of(body.lang.as_deref(), &LANGS, "/lang")?;
    one_of(body.miniprogram_state.as_deref(), &MINIPROGRAM_STATES, "/miniprogram_state")?;
    let mut claim = body.consent.unwrap_or(Claim::Reserve);
    let accepted = match body.accepted {
        None | Some(AcceptedBody::Plain(false)) => None,
        Some(AcceptedBody::Plain(true)) => Some(tap(Tap::default(), "/accepted", app, now)?),
        Some(AcceptedBody::Told(told)) => Some(tap(told, "/accepted", app, now)?),
    };
    // Where the platform's word alone counts, this consent is on its way: it is taken at the instant.
    let accepted = match accepted {
        Some(_) if !app.consents.counts(Feed::Client) => {
            claim = Claim::AtFire;
            None
        }
        accepted => accepted,
    };
    let new = NewReminder {
        app: body.app,
        openid: body.openid,
        template: template.code.clone(),
        standing: template.kind == Kind::LongTerm,
        at,
        local_at,
        expires_at,
        page: body.page,
        data: serde_json::to_string(&data).expect("texts serialise"),
        key: body.key,
        digest,
        claim,
        accepted,
        lang: body.lang,
        miniprogram_state: body.miniprogram_state,
    };
    Ok((new, still_good))
}

/// A popup report that passed every check.
///
/// # Errors
/// The first field at fault.
pub fn consents(config: &Config, body: ConsentBody, now: Millis) -> Result<Report, Invalid> {
    let app = app(config, &body.app)?;
    openid(&body.openid)?;
    let mut results = BTreeMap::new();
    for (name, result) in body.results.iter().filter(|(name, _)| *name != "errMsg") {
        let param = pointer(["results", name]);
        let code = &template(app, name, &param)?.code;
        let granted = grants(result);
        if !granted {
            one_of(Some(result.as_str()), &RESULTS, &param)?;
        }
        *results.entry(code.clone()).or_default() |= granted;
    }
    if results.is_empty() {
        let detail =
            "names no template; pass on what wx.requestSubscribeMessage gave, like {\"<template id>\": \"accept\"}";
        return Err(Invalid::new("bad_value", "/results", detail));
    }
    let accepted = tap(Tap { event: body.event, at: body.at, source: body.source }, "", app, now)?;
    Ok(Report {
        app: body.app,
        openid: body.openid,
        results,
        at: accepted.at,
        feed: Feed::Client,
        source: accepted.source,
        event: accepted.event,
    })
}

/// A change that passed every check, against the reminder as it stands.
///
/// # Errors
/// The first field at fault.
pub fn change(
    config: &Config,
    store: &Store,
    stored: &Stored,
    body: ChangeBody,
    now: Millis,
) -> Result<Change, Invalid> {
    let app = app(config, &stored.app)?;
    let mut change = Change::default();
    let mut at = stored.due.at;
    if let Some(text) = &body.at {
        let written = instant(text, app, now)?;
        at = written.0;
        change.at = Some(written);
        change.expires_at = Some(at + (stored.due.expires_at - stored.due.at));
    }
    if body.expires_at.is_some() {
        change.expires_at = Some(deadline(body.expires_at.as_deref(), at, app)?);
    }
    if let Some(expires_at) = change.expires_at {
        sendable(app, at, expires_at, body.expires_at.is_some(), now)?;
    }
    if let Some(page) = body.page {
        let path = page.filter(|path| !path.is_empty());
        if let Some(path) = &path {
            self::page(path)?;
        }
        change.page = Some(path);
    }
    if let Some(data) = &body.data {
        let template = template(app, &stored.template, "/template")?;
        let data = template.check(store.listing(&app.name).as_deref(), data)?;
        change.data = Some(serde_json::to_string(&data).expect("texts serialise"));
    }
    Ok(change)
}
