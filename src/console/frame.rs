//! What stands around every page, and how numbers and times are written.

use super::{Console, assets, card, person::Person};
use crate::{
    config::Config,
    domain::{Millis, SECOND, timing::parse_instant},
    words::{Message, Voice, say},
};
use axum::http::{HeaderMap, header};
use chrono::{Offset, TimeZone};
use chrono_tz::Tz;
use serde_json::Value;
use std::sync::Arc;

/// Where a request's name stands, for the log and for the page of an error.
pub const REQUEST_ID: &str = "x-request-id";

/// The cookie that holds a language.
pub const LANGUAGE: &str = "tixing-lang";

/// The language that a browser has chosen.
fn language(headers: &HeaderMap) -> Option<crate::words::Lang> {
    match cookie(headers, LANGUAGE)? {
        "en" => Some(crate::words::Lang::En),
        "zh" => Some(crate::words::Lang::Zh),
        _ => None,
    }
}

/// The value of a cookie of ours.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|all| all.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// What stands around a page. Its words come from the catalogue alone.
pub struct Frame {
    /// The reader's language, and the zone in which times stand.
    pub voice: Voice,
    /// Who is signed in.
    pub who: Option<String>,
    /// The page's address, to come back to.
    pub path: String,
    /// The apps that are in test mode.
    pub test: String,
    /// The time now.
    pub clock: String,
    /// Whether what is typed here can be read on the way.
    pub in_clear: bool,
    /// The request's name in the log.
    pub request_id: String,
    now: Millis,
    config: Arc<Config>,
}

impl Console {
    /// What stands around a page.
    pub fn frame(&self, person: Option<&Person>, headers: &HeaderMap, path: &str) -> Frame {
        let config = self.api.config();
        let voice = Voice::new(language(headers).unwrap_or(self.settings.lang)).in_zone(config.zone());
        let now = self.clock.now();
        let id = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let seen = |app: &&crate::config::App| person.is_some_and(|person| person.caller.sees(&app.name));
        let test =
            config.apps.iter().filter(seen).filter(|app| app.rules.testers.is_some()).map(|app| app.name.as_str());
        Frame {
            voice,
            who: person.map(|person| match person.caller.key() {
                Some(_) => person.caller.person().to_owned(),
                None => say!("console_by_link").say(voice),
            }),
            path: path.to_owned(),
            test: test.collect::<Vec<_>>().join(", "),
            clock: time(voice, now),
            in_clear: self.settings.is_in_clear(&config.server),
            request_id: id.unwrap_or_default().to_owned(),
            now,
            config: Arc::clone(config),
        }
    }
}

impl Frame {
    /// A sentence of the catalogue that names nothing.
    pub fn say(&self, key: &'static str) -> String {
        Message::new(key).say(self.voice)
    }

    /// The word of a state, or of a reason.
    pub fn word(&self, word: &str) -> String {
        crate::words::word::word(word).say(self.voice)
    }

    /// The language's tag.
    pub fn tag(&self) -> &'static str {
        if self.is_chinese() { "zh-CN" } else { "en" }
    }

    /// Whether the page is in Chinese.
    pub fn is_chinese(&self) -> bool {
        self.voice.lang == crate::words::Lang::Zh
    }

    /// Whether the page lies under this address.
    pub fn is_at(&self, path: &str) -> bool {
        let is_new = path == "/console/schedules"
            && ["/console/new", "/console/drafts/"].iter().any(|new| self.path.starts_with(new));
        if path == "/console" { self.path == path } else { is_new || self.path.starts_with(path) }
    }

    /// The style sheet.
    pub fn style(&self) -> String {
        assets::style()
    }

    /// The script.
    pub fn script(&self) -> String {
        assets::script()
    }

    /// The same for a page about one app: times stand in that app's zone.
    #[must_use]
    pub fn of_app(mut self, app: &Value) -> Self {
        self.voice = self.voice_of(app);
        self.clock = time(self.voice, self.now);
        self
    }

    fn voice_of(&self, app: &Value) -> Voice {
        app.as_str().map_or(self.voice, |app| self.voice.in_zone(self.config.zone_of(app)))
    }

    /// What people call a template.
    pub fn title_of(&self, app: &Value, template: &Value) -> String {
        card::title_of(&self.config, app.as_str().unwrap_or_default(), template.as_str().unwrap_or_default())
    }

    /// A time of JSON, with its zone, and how far away it is.
    pub fn when(&self, time_of: &Value) -> Option<When> {
        self.when_of(&Value::Null, time_of)
    }

    /// The same in the zone of an app.
    pub fn when_of(&self, app: &Value, time_of: &Value) -> Option<When> {
        let voice = self.voice_of(app);
        let at = time_of.as_str().and_then(|text| parse_instant(text, None).ok())?.at;
        let away = match at - self.now {
            ms if ms.abs() < SECOND => say!("console_now"),
            ms if ms >= 0 => say!("console_in", span = self.voice.span(ms)),
            ms => say!("console_ago", span = self.voice.span(-ms)),
        };
        Some(When { at: time(voice, at), away: away.say(self.voice) })
    }
}

/// A time as it stands on a page.
pub struct When {
    /// With its zone.
    pub at: String,
    /// From now.
    pub away: String,
}

/// A time with its zone, such as `2031-03-01 10:00 (UTC+8)`.
fn time(voice: Voice, at: Millis) -> String {
    let zone = voice.zone.unwrap_or(Tz::UTC);
    let Some(wall) = zone.timestamp_millis_opt(at).single() else { return at.to_string() };
    let minutes = wall.offset().fix().local_minus_utc() / 60;
    let sign = if minutes < 0 { '−' } else { '+' };
    let offset = match (minutes.abs() / 60, minutes.abs() % 60) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, minutes) => format!("UTC{sign}{hours}:{minutes:02}"),
    };
    format!("{} ({offset})", wall.format("%Y-%m-%d %H:%M"))
}

/// A number with commas between the thousands.
pub fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut grouped = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(c);
    }
    if n < 0 { format!("−{grouped}") } else { grouped }
}

/// A text of JSON; nothing where there is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A part of a whole in per cent, for the length of a bar.
pub fn percent(part: i64, whole: i64) -> i64 {
    if whole > 0 { (part * 100 / whole).clamp(0, 100) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_and_times_their_zone() {
        let table = [(0, "0"), (999, "999"), (5_210, "5,210"), (1_234_567, "1,234,567"), (-1_000, "−1,000")];
        for (n, said) in table {
            assert_eq!(number(n), said);
        }
        let at = |zone| time(Voice::default().in_zone(Some(zone)), 0);
        assert_eq!(at(Tz::Asia__Shanghai), "1970-01-01 08:00 (UTC+8)");
        assert_eq!(at(Tz::Asia__Kolkata), "1970-01-01 05:30 (UTC+5:30)");
        assert_eq!(at(Tz::America__New_York), "1969-12-31 19:00 (UTC−5)");
        assert_eq!(at(Tz::UTC), "1970-01-01 00:00 (UTC)");
    }
}
