//! Instants, zones, deadlines and quiet hours.

use super::{DAY, HOUR, MINUTE, Millis, SECOND};
use crate::words::{Message, say};
use chrono::{
    DateTime, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, SecondsFormat, TimeDelta, TimeZone, Utc,
};
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
    // chrono passes over white space between the parts, and takes a sign before the year.
    let before = std::iter::once(' ').chain(text.chars());
    if before.zip(text.chars()).any(|(before, c)| {
        (c == '+' || c.is_whitespace()) && before.is_whitespace()
            || c.is_whitespace() && (c != ' ' || !before.is_ascii_digit())
    }) {
        return Err(say!("not_a_time", text = cut(text)));
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
        .ok_or_else(|| match text.parse().ok().and_then(from_unix) {
            Some(time) => say!("time_of_digits", text = text, time = time),
            None => say!("not_a_time", text = text),
        })?;
    let zone = zone.ok_or_else(|| say!("time_without_zone", text = text))?;
    let (at, note) = resolve_local(naive, zone).ok_or_else(|| say!("time_out_of_range", text = text))?;
    Ok(Written { at, local: Some(format!("{}[{zone}]", naive.format("%Y-%m-%dT%H:%M:%S"))), note })
}

/// Seconds of the years 2001 to 2286, which have ten digits; a thousand times as much are their milliseconds.
const SECONDS: std::ops::Range<i64> = 1_000_000_000..10_000_000_000;

/// A number that is seconds or milliseconds since 1970, as it should be written.
pub fn from_unix(number: i64) -> Option<String> {
    if SECONDS.contains(&number) {
        return Some(rfc3339(number * SECOND));
    }
    SECONDS.contains(&(number / SECOND)).then(|| rfc3339(number))
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
        let clock = |s: &str| {
            let (hour, minute) = s.trim().split_once(':')?;
            // `8:0` was always taken, and stores have it.
            let number = |text: &str| {
                let is_shaped = matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
                is_shaped.then(|| text.parse().ok())?
            };
            NaiveTime::from_hms_opt(number(hour)?, number(minute)?, 0)
        };
        text.split_once('-')
            .and_then(|(from, until)| Some(Self { from: clock(from)?, until: clock(until)?, zone }))
            .filter(|q| q.from != q.until)
            .ok_or_else(|| say!("not_a_span_of_the_day", text = cut(text)))
    }

    /// When the next quiet span after `now` begins.
    pub fn begins(&self, now: Millis) -> Option<Millis> {
        self.around(now).into_iter().map(|(begin, _)| begin).filter(|begin| *begin > now).min()
    }

    /// When the quiet span around `now` ends, if `now` lies in one. The end lies ahead, and is not quiet itself.
    pub fn ends(&self, now: Millis) -> Option<Millis> {
        let spans = self.around(now);
        let mut end = None;
        // A clock that is put forward can move the end of one span beyond the beginning of the next.
        while let Some(later) = spans.iter().find(|(begin, end_of)| (*begin..*end_of).contains(&end.unwrap_or(now))) {
            end = Some(later.1);
        }
        end
    }

    /// The quiet spans of the days around `now`, each from its first instant to the first one after it.
    fn around(&self, now: Millis) -> Vec<(Millis, Millis)> {
        let Some(local) = self.zone.timestamp_millis_opt(now).single() else { return Vec::new() };
        // A zone that changes sides of the date line moves a time by a day.
        let days = (-2..=2).filter_map(|days| local.date_naive().checked_add_signed(TimeDelta::days(days)));
        days.flat_map(|day| self.of_day(day)).collect()
    }

    /// The quiet spans that begin on a day: one, or where its end is passed twice, one for each pass.
    fn of_day(&self, day: NaiveDate) -> Vec<(Millis, Millis)> {
        let last_day = if self.from > self.until { day.succ_opt() } else { Some(day) };
        let (begins, ends) = (passes(day.and_time(self.from), self.zone), last_day.map(|day| day.and_time(self.until)));
        let ends = ends.map(|end| passes(end, self.zone)).unwrap_or_default();
        let (Some(&begin), Some(&end)) = (begins.first(), ends.first()) else { return Vec::new() };
        // A beginning that is left out moves with the clock: what follows the gap lies in the span already.
        let skipped = matches!(self.zone.from_local_datetime(&day.and_time(self.from)), LocalResult::None);
        let begin = if skipped { turn(self.zone, begin - 2 * DAY, begin).unwrap_or(begin) } else { begin };
        let mut spans = vec![(begin, end)];
        if let [first, second] = ends[..] {
            // The second pass is quiet from where it begins, or from where the span does.
            let begin = if let [_, begin] = begins[..] { Some(begin) } else { turn(self.zone, first, second) };
            spans.extend(begin.map(|begin| (begin, second)));
        }
        spans.retain(|(begin, end)| begin < end);
        spans
    }
}

/// The instants at which clocks show a wall time, in order: two in a fold; in a gap the one that it moves to.
fn passes(naive: NaiveDateTime, zone: Tz) -> Vec<Millis> {
    match zone.from_local_datetime(&naive) {
        LocalResult::Ambiguous(first, second) => vec![first.timestamp_millis(), second.timestamp_millis()],
        _ => resolve_local(naive, zone).map(|(at, _)| at).into_iter().collect(),
    }
}

/// The instant between these two at which the clocks of a zone are changed.
fn turn(zone: Tz, from: Millis, to: Millis) -> Option<Millis> {
    let offset = |at| Some(zone.timestamp_millis_opt(at).single()?.offset().fix());
    let (before, mut from, mut to) = (offset(from)?, from, to);
    while to - from > 1 {
        let middle = from + (to - from) / 2;
        *if offset(middle)? == before { &mut from } else { &mut to } = middle;
    }
    Some(to)
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
            ("tomorrow", Some(SHANGHAI), Err("is not a time as it is written here")),
            ("1803866400", Some(SHANGHAI), Err("write 2027-03-01T02:00:00.000Z")),
            ("1803866400123", None, Err("write 2027-03-01T02:00:00.123Z")),
            ("20270301", Some(SHANGHAI), Err("is not a time as it is written here")),
            ("2027-02-30T10:00", Some(SHANGHAI), Err("is not a time as it is written here")),
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
        assert!(QuietHours::parse("+9:00-10:00", SHANGHAI).is_err());
        assert!(QuietHours::parse("022:00-8:00", SHANGHAI).is_err());
        assert_eq!(QuietHours::parse("22:00-8:0", SHANGHAI), QuietHours::parse("22:00-08:00", SHANGHAI));
        assert!(QuietHours::parse("22:00-22:00", SHANGHAI).is_err());
    }

    /// The quiet spans that somebody sees who asks every minute, in UTC.
    fn seen(quiet: QuietHours, from: &str, hours: i64) -> Vec<String> {
        let from = parse_instant(from, None).expect("valid").at;
        let minutes = (0..hours * 60).map(|minute| from + minute * MINUTE);
        let mut spans: Vec<(Millis, Millis)> = Vec::new();
        for now in minutes {
            let Some(end) = quiet.ends(now) else { continue };
            assert!(end > now + 1 && end % MINUTE == 0, "{} ends at {}", rfc3339(now), rfc3339(end));
            assert!(quiet.ends(end).is_none(), "what ends at {} is over then", rfc3339(end));
            match spans.last() {
                Some((_, last)) if now < *last => assert_eq!(end, *last, "asked at {}", rfc3339(now)),
                _ => spans.push((now, end)),
            }
        }
        for (begin, _) in spans.iter().skip(1) {
            assert_eq!(quiet.begins(*begin - MINUTE), Some(*begin));
        }
        spans.iter().map(|(begin, end)| format!("{}-{}", &rfc3339(*begin)[11..16], &rfc3339(*end)[11..16])).collect()
    }

    #[test]
    fn i6_quiet_hours_hold_on_both_passes_of_a_fold_and_end_once_in_a_gap() {
        // In Berlin 02:00 to 03:00 is passed at 00:00 and at 01:00 UTC on the day of the fold; on that of the gap it is left out at 01:00.
        let (fold, gap) = ("2027-10-30T20:00:00Z", "2027-03-27T20:00:00Z");
        for (hours, day, spans) in [
            ("01:00-02:20", fold, &["23:00-00:20", "01:00-01:20"][..]),
            ("22:00-02:20", fold, &["20:00-00:20", "01:00-01:20"]),
            ("02:10-02:20", fold, &["00:10-00:20", "01:10-01:20"]),
            ("02:10-08:00", fold, &["00:10-07:00"]),
            ("01:00-02:00", fold, &["23:00-00:00"]),
            ("01:00-03:00", fold, &["23:00-02:00"]),
            ("01:00-02:30", gap, &["00:00-01:30"]),
            ("02:10-02:30", gap, &["01:00-01:30"]),
            ("02:10-08:00", gap, &["01:00-06:00"]),
            ("02:30-03:10", gap, &["01:00-01:10"]),
            ("23:00-08:00", gap, &["22:00-06:00"]),
        ] {
            let quiet = QuietHours::parse(hours, BERLIN).expect("valid");
            assert_eq!(seen(quiet, day, 14), *spans, "{hours} from {day}");
        }
        // Samoa has no 30 December 2011.
        let quiet = QuietHours::parse("22:00-08:00", chrono_tz::Pacific::Apia).expect("valid");
        assert_eq!(seen(quiet, "2011-12-30T00:00:00Z", 72), ["08:00-18:00", "08:00-18:00", "08:00-18:00"]);
    }

    #[test]
    fn a_time_is_written_in_digits_alone() {
        for text in
            ["+2027-03-01T10:00", "2027-+3-01T10:00", "2027- 3-01T10:00", "2027-03-01T 1:00", "2027-03-01 10:+5"]
        {
            assert!(parse_instant(text, Some(SHANGHAI)).is_err(), "{text}");
        }
    }
}
