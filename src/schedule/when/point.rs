//! A time as a cell or a file names it, before it is an instant.

use crate::{
    domain::{Millis, timing::resolve_local},
    schedule::sheet::cell::Shows,
    words::Message,
};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;

/// A time as somebody wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A day.
    Date(NaiveDate),
    /// A wall time on a day.
    Wall(NaiveDateTime),
    /// An instant, written with its offset.
    Exact(Millis),
    /// A time of day alone.
    Clock(NaiveTime),
}

impl Point {
    /// What of it counts.
    pub fn shows(self) -> Shows {
        match self {
            Self::Date(_) => Shows::Date,
            Self::Wall(_) | Self::Exact(_) => Shows::DateTime,
            Self::Clock(_) => Shows::Time,
        }
    }

    /// Its wall time in a zone: a day's begins at 00:00. `None` for a time of day alone.
    pub fn wall(self, zone: Tz) -> Option<NaiveDateTime> {
        match self {
            Self::Date(date) => Some(date.and_time(NaiveTime::MIN)),
            Self::Wall(wall) => Some(wall),
            Self::Exact(at) => wall(at, zone),
            Self::Clock(_) => None,
        }
    }

    /// Its instant, and what a person should know of it: that its wall time falls into a gap or a fold. A day begins at 00:00.
    /// `None` for a time of day alone, and beyond the years that have instants.
    pub fn instant(self, zone: Tz) -> Option<(Millis, Option<Message>)> {
        match self {
            Self::Exact(at) => Some((at, None)),
            point => resolve_local(point.wall(zone)?, zone),
        }
    }

    /// The instant at which it ends as a deadline: a day ends at the next day's 00:00.
    pub fn deadline(self, zone: Tz) -> Option<(Millis, Option<Message>)> {
        match self {
            Self::Date(date) => Self::Date(date.succ_opt()?).instant(zone),
            point => point.instant(zone),
        }
    }
}

/// The wall time of an instant in a zone.
pub fn wall(at: Millis, zone: Tz) -> Option<NaiveDateTime> {
    zone.timestamp_millis_opt(at).single().map(|time| time.naive_local())
}
