//! The instants of a row: its time, before and after it, spread, out of quiet hours, and their deadlines.

use super::{
    point::{Point, wall},
    span::{Span, shifted},
};
use crate::{
    domain::{
        HOUR, Millis,
        timing::{QuietHours, resolve_local},
    },
    schedule::sheet::cell::Shows,
    words::{Message, say},
};
use chrono::{NaiveDateTime, NaiveTime};
use chrono_tz::Tz;

/// An entry of `before` or `after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// How long.
    pub span: Span,
    /// It is one of `after`.
    pub after: bool,
}

impl Entry {
    /// The occasion that it makes is called so for ever.
    pub fn name(self) -> String {
        format!("{}{}", if self.after { "+" } else { "" }, self.span)
    }
}

/// The time that `at` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// As it was written.
    pub point: Point,
    /// Its instant; a day begins at 00:00.
    pub at: Millis,
    /// Its wall time.
    pub wall: NaiveDateTime,
    /// What of it counts.
    pub shows: Shows,
    /// Its wall time falls into a gap or a fold.
    pub note: Option<Message>,
}

impl Event {
    /// The time at `point`. Without `before` and `after` a `clock` is its time of day.
    ///
    /// # Errors
    /// A message: it has no day, or no time of day where one is needed, or is beyond all years.
    pub fn new(point: Point, clock: Option<NaiveTime>, has_entries: bool, zone: Tz) -> Result<Self, Message> {
        let (counts, shows) = match (point, clock) {
            (Point::Clock(_), _) => return Err(say!("time_without_day")),
            (Point::Date(_), None) => return Err(say!("time_without_clock")),
            (Point::Date(date), Some(clock)) if !has_entries => (Point::Wall(date.and_time(clock)), Shows::DateTime),
            (point, _) => (point, point.shows()),
        };
        let found = counts.instant(zone).and_then(|(at, note)| Some((at, wall(at, zone)?, note)));
        let (at, wall, note) = found.ok_or_else(|| say!("time_beyond_all_years"))?;
        Ok(Self { point, at, wall, shows, note })
    }

    /// The instant of an entry, or of the time itself, in the zone's calendar.
    ///
    /// # Errors
    /// A message: it is beyond all years.
    pub fn occasion(
        &self,
        entry: Option<Entry>,
        clock: Option<NaiveTime>,
        zone: Tz,
    ) -> Result<(Millis, Option<Message>), Message> {
        let beyond = || say!("time_beyond_all_years");
        let on_day = |wall: NaiveDateTime| clock.map_or(wall, |clock| wall.date().and_time(clock));
        // A wall time in a gap counts as it was written: the day before has no gap.
        let written = self.point.wall(zone).unwrap_or(self.wall);
        match entry {
            None if clock.is_none() => Ok((self.at, None)),
            None => resolve_local(on_day(written), zone).ok_or_else(beyond),
            Some(Entry { span, after }) => match span.days() {
                Some(days) => {
                    let moved = shifted(written, days, after).map(on_day);
                    moved.and_then(|wall| resolve_local(wall, zone)).ok_or_else(beyond)
                }
                None => {
                    let by = if after { span.elapsed() } else { -span.elapsed() };
                    Ok((self.at + by, None))
                }
            },
        }
    }
}

/// An instant after the spread and the quiet hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    /// Where it was before quiet hours moved it: a deadline counts from here.
    pub unmoved: Millis,
    /// Where it is.
    pub at: Millis,
}

impl Instant {
    /// `base` and its spread, out of quiet hours.
    pub fn new(base: Millis, offset: Millis, quiet: Option<&QuietHours>) -> Self {
        let unmoved = base + offset;
        let at = quiet.and_then(|quiet| quiet.ends(unmoved)).map_or(unmoved, |end| end + offset);
        Self { unmoved, at }
    }

    /// Whether quiet hours have moved it.
    pub fn is_moved(self) -> bool {
        self.at != self.unmoved
    }
}

/// When a reminder is no longer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// The event for the occasions of `before`, 24 hours for all others.
    Usual,
    /// So long after its instant.
    After(Span),
    /// At this time.
    At(Point),
    /// At the time that `at` names.
    Event,
}

impl Deadline {
    /// The deadline of an occasion, and whether it moves along with its instant. `None` beyond all years, and for a time of day alone.
    pub fn of(self, entry: Option<Entry>, event: &Event, instant: Instant, zone: Tz) -> Option<(Millis, bool)> {
        let fixed = |point: Point| point.deadline(zone).map(|(at, _)| (at, false));
        match self {
            Self::Usual if entry.is_some_and(|entry| !entry.after) => fixed(event.point),
            Self::Usual => Some((instant.unmoved + 24 * HOUR, true)),
            Self::After(span) => span.after(instant.unmoved, zone).map(|(at, _)| (at, true)),
            Self::At(point) => fixed(point),
            Self::Event => fixed(event.point),
        }
    }
}

/// What lies between an instant and its event, as a person says it: as the entry is written, unless quiet hours have moved it.
pub fn left(entry: Option<Entry>, event: &Event, instant: Instant, in_english: bool) -> String {
    let span = match entry {
        Some(entry) if !instant.is_moved() => entry.span,
        _ => Span::largest(event.at - instant.at),
    };
    span.said(in_english)
}
