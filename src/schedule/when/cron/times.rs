//! The times of a cron line in a zone.

use super::line::Cron;
use crate::{
    domain::{HOUR, Millis, timing::resolve_local},
    schedule::when::point,
    words::{Message, say},
};
use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use chrono_tz::Tz;
use std::collections::VecDeque;

/// So many days before an instant the walk over wall times begins: a zone that skips a day has moved those of that day past it.
const DAYS_BEFORE: Days = Days::new(2);

/// A cron line and the days between which it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurrence {
    /// When.
    pub cron: Cron,
    /// The first day, with it.
    pub from: Option<NaiveDate>,
    /// The last day, with it.
    pub until: Option<NaiveDate>,
}

/// One time of a recurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Time {
    /// Its wall time, which names it for ever.
    pub wall: NaiveDateTime,
    /// Its instant.
    pub at: Millis,
    /// Its wall time falls into a gap or a fold.
    pub note: Option<Message>,
}

impl Recurrence {
    /// Looks whether it has a time at all.
    ///
    /// # Errors
    /// A message: `until` lies before `from`, or the line names no time between them.
    pub fn check(&self) -> Result<(), Message> {
        let (Some(from), Some(until)) = (self.from, self.until) else { return Ok(()) };
        let said = |date: NaiveDate| date.format("%Y-%m-%d").to_string();
        if until < from {
            return Err(say!("cron_until_before_from", from = said(from), until = said(until)));
        }
        match self.walls(just_before(from)).next() {
            Some(_) => Ok(()),
            None => {
                let line = self.cron.written();
                Err(say!("cron_not_between", line = line, from = said(from), until = said(until)))
            }
        }
    }

    /// Its times whose instants lie after `after`, in order of instants. Each wall time comes once: one in a gap is moved forward by the gap's
    /// length, and left out if that brings it to within an hour of another; one in a fold is the first pass.
    pub fn times(&self, zone: Tz, after: Millis) -> impl Iterator<Item = Time> {
        let begins = point::wall(after, zone).and_then(|wall| wall.checked_sub_days(DAYS_BEFORE));
        let begins = begins.map(|begins| self.from.map(just_before).map_or(begins, |from| from.max(begins)));
        let walls = begins.into_iter().flat_map(|begins| self.walls(begins));
        let placed = walls.map_while(move |wall| resolve_local(wall, zone).map(|(at, note)| Time { wall, at, note }));
        let times = InOrder { placed, zone, regular: None, moved: VecDeque::new() };
        times.filter(move |time| time.at > after)
    }

    fn walls(&self, after: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> {
        let next = |after: NaiveDateTime| self.cron.next(after);
        let walls = std::iter::successors(next(after), move |wall| next(*wall));
        walls.take_while(|wall| self.until.is_none_or(|until| wall.date() <= until))
    }
}

/// Puts the times that a gap has moved between the others. Both kinds come in order, and the moved ones an hour apart, as their wall times are.
struct InOrder<I> {
    placed: I,
    zone: Tz,
    /// The next one that was not moved.
    regular: Option<Time>,
    /// Those before it on the calendar that were.
    moved: VecDeque<Time>,
}

impl<I: Iterator<Item = Time>> Iterator for InOrder<I> {
    type Item = Time;

    fn next(&mut self) -> Option<Time> {
        loop {
            match (&self.regular, self.moved.front()) {
                (Some(regular), Some(moved)) if moved.at + HOUR <= regular.at => return self.moved.pop_front(),
                // One moment, one message.
                (Some(regular), Some(moved)) if moved.at < regular.at + HOUR => drop(self.moved.pop_front()),
                (Some(_), _) => return self.regular.take(),
                (None, _) => match self.placed.next() {
                    Some(time) if point::wall(time.at, self.zone) == Some(time.wall) => self.regular = Some(time),
                    Some(time) => self.moved.push_back(time),
                    None => return self.moved.pop_front(),
                },
            }
        }
    }
}

/// How a time is called for ever: `2031-03-03T19:00`.
pub fn name(wall: NaiveDateTime) -> String {
    wall.format("%Y-%m-%dT%H:%M").to_string()
}

/// The second before a day: what comes after it may be at 00:00.
fn just_before(day: NaiveDate) -> NaiveDateTime {
    let midnight = day.and_time(NaiveTime::MIN);
    midnight.checked_sub_signed(TimeDelta::seconds(1)).unwrap_or(midnight)
}
