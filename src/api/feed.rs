//! `/v1/schedules.ics`: what is scheduled, for calendar programs.
//!
//! They send no header of ours, so the key stands in the address: one of scope `feed`, which opens nothing else.

use super::{
    Api, access,
    auth::Caller,
    calendar::Calendar,
    extract::{Query, voice},
    problem::Problem,
};
use crate::{
    domain::{Millis, SECOND},
    store::{
        feed::{Appointment, Feed, Window},
        keys::Scope,
    },
    words::{Lang, Message, Voice, say},
};
use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::NaiveDateTime;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// How far back a feed begins.
const BACK: Millis = 30 * 24 * 3_600 * SECOND;
/// Entries of a feed: calendar programs grow slow beyond.
const MOST: usize = 5_000;
/// How often calendar programs should look.
const REFRESH: &str = "PT1H";

/// The query of the feed. What else stands there is passed over: calendar programs append parameters of their own.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// A key of scope `feed`. It is described as a security scheme.
    #[param(ignore)]
    key: Option<String>,
    /// `zh` or `en`; else as `Accept-Language` asks.
    #[param(value_type = Option<String>, pattern = "^(zh|en)$")]
    lang: Option<String>,
}

/// Lets in who has a key in the header, as everywhere, or a key of scope `feed` in the address.
pub(super) async fn authenticated(
    State((api, owner)): State<(Api, Option<Caller>)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = match owner {
        Some(owner) => Ok(owner),
        None => match Query::<FeedQuery>::from_request_parts(&mut parts, &()).await {
            Ok(Query(FeedQuery { key: Some(key), .. })) => api.authenticate_address(&key),
            Ok(_) if !parts.headers.contains_key(header::AUTHORIZATION) => {
                Err(Problem::new("unauthorized", say!("feed_key_missing")))
            }
            Ok(_) => api.authenticate(&parts.headers),
            Err(problem) => Err(problem),
        },
    };
    match caller {
        Ok(caller) => access::go_on_as(caller, Request::from_parts(parts, body), next).await,
        Err(problem) => problem.into_response(),
    }
}

/// What is scheduled, as a calendar to subscribe to: an entry for each occurrence, and for each schedule that has none, with the app and how
/// many people. No user is named in it. The 5,000 entries nearest to now, from 30 days ago on, of the apps of the key.
#[utoipa::path(get, path = "/v1/schedules.ics", operation_id = "read_schedule_feed", tag = "schedules", params(FeedQuery), responses(
    (status = 200, description = "iCalendar (RFC 5545)", body = String, content_type = "text/calendar"),
    (status = 304, description = "It is as `If-None-Match` has it")))]
pub async fn feed(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<FeedQuery>,
) -> Result<Response, Problem> {
    caller.may(Scope::Feed)?;
    let _place = api.places.take(caller.name())?;
    let voice = match query.lang.as_deref() {
        None => voice(&headers),
        Some("zh") => Voice::new(Lang::Zh),
        Some("en") => Voice::new(Lang::En),
        Some(_) => return Err(Problem::new("bad_query", say!("not_a_language")).at("/lang")),
    };
    let now = api.clock.now();
    let window = Window { from: now.saturating_sub(BACK), now, most: MOST };
    let feed = api.store.feed(caller.apps(), window).await?;
    Ok(answer(written(&feed, caller.apps(), voice), &headers))
}

/// The calendar, or that it has not changed.
fn answer(calendar: String, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(&calendar)[..16]));
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(',')).map(|one| one.trim().trim_start_matches("W/"));
    let mut response = match { known }.any(|one| one == tag || one == "*") {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, "text/calendar; charset=utf-8")], calendar).into_response(),
    };
    let about = response.headers_mut();
    about.insert(header::ETAG, HeaderValue::from_str(&tag).expect("hex digits"));
    // The address has a key in it: nobody in between keeps what it gives.
    about.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    about.insert(header::VARY, HeaderValue::from_static("accept-language, authorization"));
    about.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline; filename=\"schedules.ics\""));
    response
}

/// The calendar's text.
fn written(feed: &Feed, apps: Option<&[String]>, voice: Voice) -> String {
    let name = match apps {
        Some(apps) => say!("feed_name_of_apps", apps = apps),
        None => say!("feed_name"),
    };
    let about = match feed.cut {
        true => say!("feed_about_part", most = feed.appointments.len()),
        false => say!("feed_about"),
    };
    let (name, about) = (name.say(voice), about.say(voice));
    let mut calendar = Calendar::default();
    calendar.component("VCALENDAR", |calendar| {
        calendar.line("VERSION", "2.0");
        calendar.line("PRODID", "-//tixing//schedules//EN");
        calendar.line("CALSCALE", "GREGORIAN");
        // RFC 7986, and the same as most programs know it.
        for (property, text) in
            [("NAME", &name), ("X-WR-CALNAME", &name), ("DESCRIPTION", &about), ("X-WR-CALDESC", &about)]
        {
            calendar.text(property, text);
        }
        calendar.line("REFRESH-INTERVAL;VALUE=DURATION", REFRESH);
        calendar.line("X-PUBLISHED-TTL", REFRESH);
        if feed.appointments.is_empty() {
            calendar.component("VTIMEZONE", utc);
        }
        for appointment in &feed.appointments {
            calendar.component("VEVENT", |calendar| event(calendar, appointment, voice));
        }
    });
    calendar.into_text()
}

/// A calendar must have something in it (RFC 5545, 3.6). This shows nowhere.
fn utc(calendar: &mut Calendar) {
    calendar.line("TZID", "Etc/UTC");
    calendar.component("STANDARD", |calendar| {
        calendar.line("DTSTART", "19700101T000000");
        calendar.line("TZOFFSETFROM", "+0000");
        calendar.line("TZOFFSETTO", "+0000");
    });
}

fn event(calendar: &mut Calendar, one: &Appointment, voice: Voice) {
    let voice = voice.in_zone(one.zone.parse().ok());
    calendar.line("UID", &uid(one));
    // Without METHOD it is when the entry was changed last (RFC 5545, 3.8.7.2), so that what has not changed is the same text.
    calendar.time("DTSTAMP", one.changed_at);
    calendar.time("DTSTART", one.starts_at);
    if let Some(ends_at) = one.ends_at.filter(|ends_at| ends_at / SECOND > one.starts_at / SECOND) {
        calendar.time("DTEND", ends_at);
    }
    calendar.text("SUMMARY", &title(one).say(voice));
    let about: Vec<String> = about(one).iter().map(|message| message.say(voice)).collect();
    calendar.text("DESCRIPTION", &about.join("\n"));
    calendar.text("CATEGORIES", &one.app);
    calendar.line("STATUS", if one.cancelled { "CANCELLED" } else { "CONFIRMED" });
    // Nobody's day is taken by it.
    calendar.line("TRANSP", "TRANSPARENT");
}

/// By which calendar programs know it again, also once it is prepared, moved or cancelled.
fn uid(one: &Appointment) -> String {
    let mut hash = Sha256::new();
    hash.update(&one.schedule);
    hash.update([0]);
    hash.update(one.occurrence.as_deref().unwrap_or_default());
    format!("{}@tixing", HEXLOWER.encode(&hash.finalize()[..16]))
}

fn title(one: &Appointment) -> Message {
    // The wall time of an occurrence is where the calendar shows it; an event has a key.
    let is_time = |name: &&String| NaiveDateTime::parse_from_str(name, "%Y-%m-%dT%H:%M").is_ok();
    let what = match one.occurrence.as_ref().filter(|name| !is_time(name)) {
        Some(key) => format!("{} · {key}", one.schedule),
        None => one.schedule.clone(),
    };
    let title = match one.people {
        Some(people) => say!("feed_title_people", what = what, app = one.app, people = people),
        None => say!("feed_title", what = what, app = one.app),
    };
    match (one.cancelled, one.paused) {
        // Some programs do not show the status.
        (true, _) => say!("feed_title_cancelled", title = title),
        (false, true) => say!("feed_title_paused", title = title),
        (false, false) => title,
    }
}

fn about(one: &Appointment) -> Vec<Message> {
    if one.people == Some(0) {
        return vec![say!("feed_nobody")];
    }
    let messages = one.instants.map(|(first, last)| match first == last {
        true => say!("feed_one_message", at = first),
        false => say!("feed_messages", first = first, last = last),
    });
    let later = one.is_later.then(|| say!("feed_unprepared"));
    messages.into_iter().chain(later).collect()
}
