//! Instants, zones, deadlines and quiet hours.

use super::{DAY, HOUR, MINUTE, Millis, SECOND};
use crate::words::{Message, say};
use chrono::{DateTime, LocalResult, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// The furthest ahead that a reminder may be set, in days: a year of 9999 is a typing error.
pub const MAX_DAYS_AHEAD: i64 = 3_660;

/// An instant as somebody wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// UTC milliseconds.
    pub at: Millis,
    /// Wall time and zone when the text had no offset of its own.
    pub local: Option<String>,
    /// Something a person should know: the wall time falls into a gap or a fold.
    pub note: Option<Message>,
}

/// Reads RFC 3339 with an offset, or a wall time (`2027-03-01T10:00`, seconds optional) in `zone`.
///
/// A wall time in a daylight-saving gap moves forward by the gap; one in a fold takes the first pass.
///
/// # Errors
/// A message: what was found and what is allowed.
pub fn parse_instant(text: &str, zone: Option<Tz>) -> Result<Written, Message> {
    if text.len() > 40 {
        return Err(say!("time_too_long", found = text.len(), most = 40));
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(Written { at: at.timestamp_millis(), local: None, note: None });
    }
    // An offset without seconds is what people write; RFC 3339 would want them.
    for format in ["%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z", "%Y-%m-%d %H:%M:%S%#z"] {
        if let Ok(at) = DateTime::parse_from_str(text, format) {
            return Ok(Written { at: at.timestamp_millis(), local: None, note: None });
        }
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|f| NaiveDateTime::parse_from_str(text, f).ok())
        .ok_or_else(|| say!("not_a_time", text = text))?;
    let zone = zone.ok_or_else(|| say!("time_without_zone", text = text))?;
    let (at, note) = resolve_local(naive, zone).ok_or_else(|| say!("time_out_of_range", text = text))?;
    Ok(Written { at, local: Some(format!("{}[{zone}]", naive.format("%Y-%m-%dT%H:%M:%S"))), note })
}

/// The instant of a wall time in a zone: a gap moves forward, a fold takes the first.
pub fn resolve_local(naive: NaiveDateTime, zone: Tz) -> Option<(Millis, Option<Message>)> {
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(t) => Some((t.timestamp_millis(), None)),
        LocalResult::Ambiguous(first, _) => Some((first.timestamp_millis(), Some(say!("wall_time_twice")))),
        LocalResult::None => {
            // The offset in force before the gap reads the wall time as its own length later, which is what people mean. A gap is an hour or
            // two, or a day where a zone has changed sides of the date line.
            let at = [3 * HOUR, DAY + 3 * HOUR].into_iter().find_map(|back| {
                let before = naive.checked_sub_signed(TimeDelta::milliseconds(back))?;
                Some(zone.from_local_datetime(&before).earliest()?.timestamp_millis() + back)
            })?;
            Some((at, Some(say!("wall_time_skipped"))))
        }
    }
}

/// Reads a duration: a whole number and `ms`, `s`, `m`, `h`, `d` or `w`.
///
/// # Errors
/// A message: what was found and what is allowed.
pub fn parse_duration(text: &str) -> Result<Millis, Message> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "ms" => 1,
        "s" => SECOND,
        "m" | "min" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        "w" => 7 * DAY,
        _ => {
            return Err(say!("not_a_duration", text = cut(text)));
        }
    };
    number
        .parse::<i64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .filter(|ms| *ms <= MAX_DAYS_AHEAD * DAY)
        .ok_or_else(|| say!("duration_out_of_bounds", text = cut(text), most = MAX_DAYS_AHEAD))
}

/// At most 40 characters of what somebody wrote, for an error text.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// UTC with milliseconds and `Z`, the form of every time in JSON.
pub fn rfc3339(at: Millis) -> String {
    DateTime::<Utc>::from_timestamp_millis(at)
        .map_or_else(|| at.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// The same in a struct that is serialised.
///
/// # Errors
/// Those of the serializer.
pub fn as_rfc3339<S: serde::Serializer>(at: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

/// A daily span of wall time in which nothing is sent, such as `22:00-08:00`; its end is free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// First quiet minute.
    pub from: NaiveTime,
    /// First minute after.
    pub until: NaiveTime,
    /// The zone whose wall clock counts.
    pub zone: Tz,
}

impl QuietHours {
    /// Reads `22:00-08:00`.
    ///
    /// # Errors
    /// A message: what was found and what is allowed.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, Message> {
        let clock = |s: &str| NaiveTime::parse_from_str(s.trim(), "%H:%M").ok();
        text.split_once('-')
            .and_then(|(from, until)| Some(Self { from: clock(from)?, until: clock(until)?, zone }))
            .filter(|q| q.from != q.until)
            .ok_or_else(|| say!("not_a_span_of_the_day", text = cut(text)))
    }

    /// When the next quiet span after `now` begins.
    pub fn begins(&self, now: Millis) -> Option<Millis> {
        let day = self.zone.timestamp_millis_opt(now).single()?.date_naive();
        let days = std::iter::successors(Some(day), chrono::NaiveDate::succ_opt).take(3);
        days.filter_map(|day| resolve_local(day.and_time(self.from), self.zone)).map(|(at, _)| at).find(|at| *at > now)
    }

    /// When the quiet span around `now` ends, if `now` lies in one.
    pub fn ends(&self, now: Millis) -> Option<Millis> {
        let local = self.zone.timestamp_millis_opt(now).single()?.naive_local();
        let time = local.time();
        let over_midnight = self.from > self.until;
        let quiet =
            if over_midnight { time >= self.from || time < self.until } else { time >= self.from && time < self.until };
        if !quiet {
            return None;
        }
        let day = if over_midnight && time >= self.from { local.date().succ_opt()? } else { local.date() };
        resolve_local(day.and_time(self.until), self.zone).map(|(at, _)| at.max(now + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHANGHAI: Tz = chrono_tz::Asia::Shanghai;
    const BERLIN: Tz = chrono_tz::Europe::Berlin;

    #[test]
    fn times_are_read_as_people_write_them() {
        let table: &[(&str, Option<Tz>, Result<&str, &str>)] = &[
            ("2027-03-01T10:00:00+08:00", None, Ok("2027-03-01T02:00:00.000Z")),
            ("2027-03-01T10:00", Some(SHANGHAI), Ok("2027-03-01T02:00:00.000Z")),
            ("2027-03-01 10:00:30", Some(SHANGHAI), Ok("2027-03-01T02:00:30.000Z")),
            ("2027-03-01T10:00+08:00", None, Ok("2027-03-01T02:00:00.000Z")),
            ("2027-03-01T10:00Z", None, Ok("2027-03-01T10:00:00.000Z")),
            ("2027-03-01T10:00", None, Err("timezone")),
            ("tomorrow", Some(SHANGHAI), Err("is not a time that exists")),
            ("2027-02-30T10:00", Some(SHANGHAI), Err("is not a time that exists")),
            // The last Sunday of March: 02:00 to 03:00 does not exist in Berlin.
            ("2027-03-28T02:30", Some(BERLIN), Ok("2027-03-28T01:30:00.000Z")),
            // The last Sunday of October: 02:30 happens twice; the first is still summer time.
            ("2027-10-31T02:30", Some(BERLIN), Ok("2027-10-31T00:30:00.000Z")),
            // Samoa has no 30 December 2011.
            ("2011-12-30T10:00", Some(chrono_tz::Pacific::Apia), Ok("2011-12-30T20:00:00.000Z")),
        ];
        for (text, zone, expected) in table {
            match (parse_instant(text, *zone), expected) {
                (Ok(written), Ok(at)) => assert_eq!(rfc3339(written.at), *at, "{text}"),
                (Err(why), Err(part)) => assert!(why.to_string().contains(part), "{text}: {why}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn durations_have_a_unit_and_a_bound() {
        let table = [
            ("2h", Some(2 * HOUR)),
            ("90s", Some(90_000)),
            ("0m", Some(0)),
            ("1w", Some(7 * DAY)),
            ("250ms", Some(250)),
        ];
        for (text, expected) in table {
            assert_eq!(parse_duration(text).ok(), expected, "{text}");
        }
        for bad in ["", "2", "h", "-1h", "1.5h", "2 h", "99999999999999999999d", "9999d", "2år"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn i6_quiet_hours_end_when_the_wall_clock_says_so() {
        let quiet = QuietHours::parse("22:00-08:00", SHANGHAI).expect("valid");
        let table = [
            ("2027-03-01T21:59:59", None),
            ("2027-03-01T22:00", Some("2027-03-02T00:00:00.000Z")),
            ("2027-03-02T03:00", Some("2027-03-02T00:00:00.000Z")),
            ("2027-03-02T08:00", None),
        ];
        for (local, ends) in table {
            let now = parse_instant(local, Some(SHANGHAI)).expect("valid").at;
            assert_eq!(quiet.ends(now).map(rfc3339).as_deref(), ends, "{local}");
            let begins = quiet.begins(now).expect("each day");
            assert!(begins > now && begins <= now + DAY && quiet.ends(begins).is_some(), "{local}");
            assert!(quiet.ends(begins - 1).is_none(), "{local}");
        }
        assert!(QuietHours::parse("22:00", SHANGHAI).is_err());
        assert!(QuietHours::parse("22:00-22:00", SHANGHAI).is_err());
    }
}
