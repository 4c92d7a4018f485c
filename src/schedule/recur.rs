//! What becomes of the occurrences of a schedule at one look: which are prepared now, which were missed, which come next.

use crate::{
    domain::{Millis, schedule::Upcoming},
    schedule::file::{At, Misfire},
};
use std::collections::HashSet;

/// Times of a recurrence to come that are told: more than anybody is shown, since some pass before the next look.
const TIMES_TOLD: usize = 8;
/// Events of a table to come that are told: as many as a calendar takes.
const EVENTS_TOLD: usize = 5_000;

/// An occurrence, with its instants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurring {
    /// Its name for ever.
    pub name: String,
    /// It is an event of a table, and the name is its key.
    pub is_event: bool,
    /// Its time.
    pub event: Millis,
    /// Its first instant.
    pub first: Millis,
    /// Its last.
    pub last: Millis,
    /// Its last deadline, where that does not depend on a row.
    pub ends: Option<Millis>,
}

/// What is stored of a schedule that recurs.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// Those whose last instant does not lie after this were decided before, or are none of its own.
    pub since: Millis,
    /// By how much the schedule is shifted.
    pub shift: Millis,
    /// Those that are prepared, by name; of those that are over only some.
    pub prepared: HashSet<String>,
    /// Those and the ones whose preparation was cut off.
    pub begun: HashSet<String>,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// To prepare now, in their order.
    pub due: Vec<Due>,
    /// Left out, since nobody prepared them in time.
    pub missed: u64,
    /// When the next look is due; `None`: never.
    pub next_at: Option<Millis>,
    /// The next ones.
    pub upcoming: Vec<Upcoming>,
}

/// An occurrence to prepare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub name: String,
    /// All of its instants have passed: it is made up for, with the last of them.
    pub made_up: bool,
}

/// Looks at occurrences in the order of their times, which may have no end.
pub fn look(all: impl IntoIterator<Item = Occurring>, at: &At, stored: &Stored, now: Millis) -> Look {
    let (mut look, mut missed) = (Look::default(), Vec::new());
    for occurring in all {
        let Occurring { name, is_event, event, first, last, ends } = occurring;
        let (first, last) = (first + stored.shift, last + stored.shift);
        let most = if is_event { EVENTS_TOLD } else { TIMES_TOLD };
        if event.max(last) > now && look.upcoming.len() < most {
            let key = is_event.then(|| name.clone());
            let prepare_at = (last > now).then_some(first - at.ahead);
            let instants = Some((first, last));
            look.upcoming.push(Upcoming { event, name: name.clone(), key, prepare_at, instants });
        }
        if last <= stored.since || stored.prepared.contains(&name) {
            continue;
        }
        let prepare_at = first - at.ahead;
        if prepare_at > now {
            look.next_at = Some(look.next_at.map_or(prepare_at, |next| next.min(prepare_at)));
            // A recurrence goes on without end; events are few, and in the order of their times only almost in that of their instants.
            if !is_event && look.upcoming.len() == TIMES_TOLD {
                break;
            }
        } else if last > now {
            look.due.push(Due { name, made_up: false });
        } else {
            missed.push((last, name, ends.map(|ends| ends + stored.shift)));
        }
    }
    look.missed = missed.len() as u64;
    let latest = missed.into_iter().filter(|(.., ends)| ends.is_none_or(|ends| ends > now)).max();
    if let Some((_, name, _)) = latest.filter(|_| at.misfire == Misfire::Once) {
        look.missed -= 1;
        look.due.insert(0, Due { name, made_up: true });
    }
    look
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{DAY, HOUR},
        schedule::{file::Time, when::point::Point},
    };

    fn at(misfire: Misfire) -> At {
        let time = Time::Fixed(Point::Exact(0));
        At { time, entries: Vec::new(), clock: None, ahead: DAY, misfire, line: 1 }
    }

    /// Each day at noon, a reminder an hour before, to be sent until noon.
    fn days() -> impl Iterator<Item = Occurring> {
        (1..10_000).map(|day| {
            let event = day * DAY;
            let before = event - HOUR;
            Occurring {
                name: format!("d{day}"),
                is_event: false,
                event,
                first: before,
                last: before,
                ends: Some(event),
            }
        })
    }

    fn names(look: &Look) -> Vec<(&str, bool)> {
        look.due.iter().map(|due| (&*due.name, due.made_up)).collect()
    }

    #[test]
    fn an_occurrence_is_prepared_ahead_of_its_first_instant_and_once() {
        let prepared = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let look_at = |now, since, names: &[&str]| {
            look(days(), &at(Misfire::Skip), &Stored { since, prepared: prepared(names), ..Stored::default() }, now)
        };
        let first = look_at(3 * DAY - HOUR, 2 * DAY, &[]);
        assert_eq!(names(&first), [("d4", false)], "the third had passed");
        assert_eq!(first.next_at, Some(5 * DAY - HOUR - DAY));
        let again = look_at(3 * DAY - HOUR, 2 * DAY, &["d4"]);
        assert_eq!((names(&again), again.next_at), (vec![], first.next_at));
        assert_eq!(first.upcoming.len(), TIMES_TOLD);
        assert_eq!((first.upcoming[0].event, &*first.upcoming[0].name), (3 * DAY, "d3"), "its time is ahead");
    }

    #[test]
    fn what_nobody_prepared_in_time_is_left_out_or_the_latest_is_made_up_for() {
        let stored = Stored { since: 2 * DAY, ..Stored::default() };
        let now = 6 * DAY - HOUR / 2;
        let skips = look(days(), &at(Misfire::Skip), &stored, now);
        assert_eq!((names(&skips), skips.missed), (vec![("d7", false)], 4));
        let once = look(days(), &at(Misfire::Once), &stored, now);
        assert_eq!((names(&once), once.missed), (vec![("d6", true), ("d7", false)], 3));
        let too_late = look(days(), &at(Misfire::Once), &stored, 6 * DAY);
        assert_eq!((names(&too_late), too_late.missed), (vec![("d7", false)], 4), "its deadline has passed");
    }

    #[test]
    fn a_shift_moves_those_that_are_not_prepared_yet() {
        let stored = Stored { shift: -2 * HOUR, ..Stored::default() };
        let shifted = look(days(), &at(Misfire::Skip), &stored, DAY / 2);
        assert_eq!(names(&shifted), [("d1", false)]);
        assert_eq!(shifted.next_at, Some(2 * DAY - 3 * HOUR - DAY));
    }

    #[test]
    fn of_events_whose_order_differs_from_that_of_their_instants_none_is_passed_over() {
        let event = |name: &str, event, first| Occurring {
            name: name.into(),
            is_event: true,
            event,
            first,
            last: first,
            ends: None,
        };
        let all = [event("a", 10 * DAY, 9 * DAY), event("b", 10 * DAY + HOUR, 3 * DAY)];
        let look = look(all, &at(Misfire::Skip), &Stored::default(), DAY);
        assert_eq!(look.next_at, Some(2 * DAY));
        assert_eq!(look.upcoming[1].key.as_deref(), Some("b"));
    }

    #[test]
    fn all_events_of_a_season_are_told_with_their_messages_as_they_are_shifted_and_no_more_than_a_calendar_takes() {
        let season = |n: i64| {
            (1..=n).map(|day| Occurring {
                name: format!("e{day}"),
                is_event: true,
                event: day * DAY,
                first: day * DAY - HOUR,
                last: day * DAY - HOUR / 2,
                ends: None,
            })
        };
        let stored = Stored { shift: 10, ..Stored::default() };
        let told = |n: i64| look(season(n), &at(Misfire::Skip), &stored, 0).upcoming;
        assert_eq!(told(40).len(), 40);
        assert_eq!(told(40)[39].instants, Some((40 * DAY - HOUR + 10, 40 * DAY - HOUR / 2 + 10)));
        assert_eq!(told(EVENTS_TOLD as i64 + 1).len(), EVENTS_TOLD);
    }
}
