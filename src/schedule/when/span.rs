//! Durations as a schedule writes them: `30m`, `2h`, `1d`, `1w`.

use crate::{
    domain::{
        DAY, HOUR, MINUTE, Millis,
        timing::{MAX_DAYS_AHEAD, cut, resolve_local},
    },
    schedule::when::point::wall,
    words::{Message, say},
};
use chrono::{Days, NaiveDateTime};
use chrono_tz::Tz;
use std::fmt;

/// A duration. Days and weeks count days of the calendar: the same wall time on another day. Minutes and hours count elapsed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// How many.
    pub count: u32,
    /// Of what.
    pub unit: Unit,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `m`.
    Minutes,
    /// `h`.
    Hours,
    /// `d`.
    Days,
    /// `w`.
    Weeks,
}

impl Span {
    /// Reads `1d`.
    ///
    /// # Errors
    /// A message: what was found and what is allowed.
    pub fn parse(text: &str) -> Result<Self, Message> {
        let unit = match text.as_bytes().last() {
            Some(b'm') => Unit::Minutes,
            Some(b'h') => Unit::Hours,
            Some(b'd') => Unit::Days,
            Some(b'w') => Unit::Weeks,
            _ => return Err(say!("not_a_span", text = cut(text))),
        };
        let digits = &text[..text.len() - 1];
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(say!("not_a_span", text = cut(text)));
        }
        let span = digits.parse().ok().map(|count| Self { count, unit });
        span.filter(|span| span.elapsed() <= MAX_DAYS_AHEAD * DAY)
            .ok_or_else(|| say!("span_out_of_bounds", text = cut(text), most = MAX_DAYS_AHEAD))
    }

    /// Its length where no clock is set forward or back.
    pub fn elapsed(self) -> Millis {
        let unit = match self.unit {
            Unit::Minutes => MINUTE,
            Unit::Hours => HOUR,
            Unit::Days => DAY,
            Unit::Weeks => 7 * DAY,
        };
        Millis::from(self.count) * unit
    }

    /// How many days of the calendar it has, if it counts those.
    pub fn days(self) -> Option<u32> {
        match self.unit {
            Unit::Minutes | Unit::Hours => None,
            Unit::Days => Some(self.count),
            Unit::Weeks => Some(self.count * 7),
        }
    }

    /// The instant this long after `at` in a zone, with what a person should know of it.
    pub fn after(self, at: Millis, zone: Tz) -> Option<(Millis, Option<Message>)> {
        match self.days() {
            None => Some((at.checked_add(self.elapsed())?, None)),
            Some(days) => {
                let (moved, note) = resolve_local(shifted(wall(at, zone)?, days, true)?, zone)?;
                Some((moved, note))
            }
        }
    }

    /// As a person says it, in Chinese or in English.
    pub fn said(self, in_english: bool) -> String {
        let Self { count, unit } = self;
        let (chinese, english) = match unit {
            Unit::Minutes => ("分钟", "minute"),
            Unit::Hours => ("小时", "hour"),
            Unit::Days => ("天", "day"),
            Unit::Weeks => ("周", "week"),
        };
        match in_english {
            false => format!("{count}{chinese}"),
            true => format!("{count} {english}{}", if count == 1 { "" } else { "s" }),
        }
    }

    /// The largest unit that is in `length` as a whole, rounded down; days are the largest.
    pub fn largest(length: Millis) -> Self {
        let length = length.abs();
        let (unit, one) = match length {
            DAY.. => (Unit::Days, DAY),
            HOUR.. => (Unit::Hours, HOUR),
            _ => (Unit::Minutes, MINUTE),
        };
        Self { count: u32::try_from(length / one).unwrap_or(u32::MAX), unit }
    }
}

/// As it is written.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Minutes => 'm',
            Unit::Hours => 'h',
            Unit::Days => 'd',
            Unit::Weeks => 'w',
        };
        write!(f, "{}{unit}", self.count)
    }
}

/// The same wall time so many days later or earlier.
pub fn shifted(wall: NaiveDateTime, days: u32, later: bool) -> Option<NaiveDateTime> {
    let days = Days::new(u64::from(days));
    if later { wall.checked_add_days(days) } else { wall.checked_sub_days(days) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::timing::{parse_instant, rfc3339};

    #[test]
    fn durations_are_whole_numbers_of_four_units_with_a_bound() {
        for good in ["30m", "2h", "1d", "3660d", "522w", "0m", "87840h"] {
            assert_eq!(Span::parse(good).expect(good).to_string(), good);
        }
        for bad in ["", "m", "1", "1s", "1 d", "-1d", "1.5h", "1D", "１d", "3661d", "99999999999d", "天", "1天"] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn days_keep_the_wall_time_and_hours_do_not() {
        let at = parse_instant("2031-03-29T12:00", Some(chrono_tz::Europe::Berlin)).expect("a time").at;
        for (span, expected) in [
            ("1d", "2031-03-30T10:00:00.000Z"),
            ("24h", "2031-03-30T11:00:00.000Z"),
            ("1w", "2031-04-05T10:00:00.000Z"),
        ] {
            let after = Span::parse(span).expect("one").after(at, chrono_tz::Europe::Berlin).expect("a time");
            assert_eq!(rfc3339(after.0), expected, "{span}");
        }
    }

    #[test]
    fn what_is_left_is_said_in_the_largest_whole_unit() {
        for (length, chinese, english) in [
            (DAY * 8 + HOUR, "8天", "8 days"),
            (DAY, "1天", "1 day"),
            (DAY - 1, "23小时", "23 hours"),
            (-(HOUR + MINUTE), "1小时", "1 hour"),
            (HOUR - 1, "59分钟", "59 minutes"),
            (0, "0分钟", "0 minutes"),
        ] {
            let span = Span::largest(length);
            assert_eq!((&*span.said(false), &*span.said(true)), (chinese, english));
        }
    }
}
