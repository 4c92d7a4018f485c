//! Days and times as messages show them, which the rules of their fields take.

use crate::{
    domain::timing::resolve_local,
    schedule::{sheet::cell::Shows, when::point::Point},
};
use chrono::{DateTime, Datelike, NaiveDateTime, NaiveTime, SecondsFormat, Timelike};
use chrono_tz::Tz;

/// A wall time, and what of it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall time; of a time of day alone, on any day.
    pub wall: NaiveDateTime,
    /// What of it counts.
    pub shows: Shows,
}

impl Moment {
    /// Of a time as it was written, on the wall clock of a zone.
    pub fn of(point: Point, zone: Tz) -> Option<Self> {
        let wall = match point {
            Point::Clock(time) => DateTime::UNIX_EPOCH.naive_utc().date().and_time(time),
            point => point.wall(zone)?,
        };
        Some(Self { wall, shows: point.shows() })
    }

    /// By what it has.
    pub fn usual(self) -> String {
        match self.shows {
            Shows::Date => date(self.wall),
            Shows::Time => time(self.wall.time()),
            Shows::DateTime => datetime(self.wall),
        }
    }

    /// This time of day on the day of `start`, or on the next.
    fn following(self, start: Self) -> Self {
        let day = start.wall.date();
        let next = if self.wall.time() < start.wall.time() { day.succ_opt().unwrap_or(day) } else { day };
        Self { wall: next.and_time(self.wall.time()), shows: Shows::DateTime }
    }

    /// Whether it has a day.
    pub fn has_day(self) -> bool {
        self.shows != Shows::Time
    }

    /// From this time to that one. If that has no day, it is the first time that the clock shows it after this one.
    pub fn until(self, end: Self) -> String {
        let end = if self.shows == Shows::DateTime && !end.has_day() { end.following(self) } else { end };
        let same_day = self.has_day() && end.has_day() && self.wall.date() == end.wall.date();
        match (self.shows, end.shows) {
            (_, Shows::Time) => format!("{}~{}", self.usual(), time(end.wall.time())),
            (Shows::DateTime, Shows::DateTime) if same_day => format!("{}~{}", self.usual(), time(end.wall.time())),
            (Shows::Date, Shows::Date) if same_day => self.usual(),
            _ => format!("{}~{}", self.usual(), end.usual()),
        }
    }
}

/// `2031年3月1日`.
pub fn date(wall: NaiveDateTime) -> String {
    format!("{}年{}月{}日", wall.year(), wall.month(), wall.day())
}

/// `09:05`.
pub fn time(time: NaiveTime) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

/// `2031年3月1日 09:05`.
pub fn datetime(wall: NaiveDateTime) -> String {
    format!("{} {}", date(wall), time(wall.time()))
}

/// `2031-03-01T09:05:00+08:00`; `None` beyond all years.
pub fn iso(wall: NaiveDateTime, zone: Tz) -> Option<String> {
    let (at, _) = resolve_local(wall, zone)?;
    let at = DateTime::from_timestamp_millis(at)?.with_timezone(&zone);
    Some(at.to_rfc3339_opts(SecondsFormat::Secs, false))
}
