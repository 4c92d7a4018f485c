//! What becomes of the occurrences of a schedule at one look: which are prepared now, which were missed, which come next.

use crate::{
    domain::{Millis, left_out::LeftOut, schedule::Upcoming},
    schedule::file::{At, Misfire},
    store::{
        hold::Gap,
        left_out::{KEPT, LeftOutRow},
    },
    words::Message,
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
    /// When its file was loaded first: of events that had passed by then, `late` says what becomes.
    pub file_since: Millis,
    /// It is sent at once, if its deadline allows.
    pub sends_late: bool,
    /// Those whose last instant, before any shift, does not lie after this were decided before the last shift.
    pub decided: Option<Millis>,
    /// Of when the store does not know what it has sent.
    pub gap: Option<Gap>,
    /// Why nothing of it could be prepared until now.
    pub hindered: Option<Message>,
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
    /// The latest of these and of those that came too late for their file, in the order of their times.
    pub left_out: Vec<LeftOutRow>,
    /// When the next look is due; `None`: never.
    pub next_at: Option<Millis>,
    /// When the next one is prepared that is not, and its time.
    pub to_prepare: Option<(Millis, Millis)>,
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
    /// All of its instants had passed when the file was loaded, and they are sent at once.
    pub late: bool,
}

/// An occurrence whose instants have passed and that nobody prepared.
struct Passed {
    last: Millis,
    name: String,
    event: Millis,
    ends: Option<Millis>,
}

/// Looks at occurrences in the order of their times, which may have no end.
pub fn look(all: impl IntoIterator<Item = Occurring>, at: &At, stored: &Stored, now: Millis) -> Look {
    let (mut look, mut passed) = (Look::default(), Vec::new());
    for occurring in all {
        let Occurring { name, is_event, event, first, last, ends } = occurring;
        let was_decided = stored.decided.is_some_and(|decided| last <= decided);
        let (first, last) = (first + stored.shift, last + stored.shift);
        let most = if is_event { EVENTS_TOLD } else { TIMES_TOLD };
        if event.max(last) > now && look.upcoming.len() < most {
            let key = is_event.then(|| name.clone());
            let prepare_at = (last > now).then_some(first - at.ahead);
            let instants = Some((first, last));
            look.upcoming.push(Upcoming { event, name: name.clone(), key, prepare_at, instants });
        }
        if last <= stored.since || was_decided || stored.prepared.contains(&name) {
            continue;
        }
        let prepare_at = first - at.ahead;
        if last > now {
            let this = (prepare_at, event);
            look.to_prepare = Some(look.to_prepare.map_or(this, |next| next.min(this)));
        }
        if prepare_at > now {
            look.next_at = Some(look.next_at.map_or(prepare_at, |next| next.min(prepare_at)));
            // A recurrence goes on without end; events are few, and in the order of their times only almost in that of their instants.
            if !is_event && look.upcoming.len() == TIMES_TOLD {
                break;
            }
        } else if last > now {
            look.due.push(Due { name, made_up: false, late: false });
        } else {
            passed.push(Passed { last, name, event, ends: ends.map(|ends| ends + stored.shift) });
        }
    }
    look.decide(passed, at, stored, now);
    look
}

impl Look {
    /// What becomes of occurrences whose instants have passed: `late` says so of those that had passed when the file was loaded, and
    /// `misfire` of the others.
    fn decide(&mut self, passed: Vec<Passed>, at: &At, stored: &Stored, now: Millis) {
        let lives = |passed: &Passed| passed.ends.is_none_or(|ends| ends > now);
        let may_be_sent = |passed: &Passed| stored.gap.is_some_and(|gap| gap.was_taken_for_sent(passed.last));
        let (late, mut missed): (Vec<_>, Vec<_>) =
            passed.into_iter().partition(|passed| passed.last <= stored.file_since);
        let mut left_out: Vec<(Passed, LeftOut)> = Vec::new();
        for passed in late {
            match stored.sends_late && lives(&passed) && !may_be_sent(&passed) {
                true => self.due.push(Due { name: passed.name, made_up: false, late: true }),
                false => left_out.push((passed, LeftOut::Late)),
            }
        }
        missed.sort_by(|a, b| (a.last, &a.name).cmp(&(b.last, &b.name)));
        let latest = missed.iter().rposition(lives).filter(|_| at.misfire == Misfire::Once);
        let made_up = latest.filter(|latest| !may_be_sent(&missed[*latest]));
        self.missed = (missed.len() - usize::from(made_up.is_some())) as u64;
        for (i, passed) in missed.into_iter().enumerate() {
            if made_up == Some(i) {
                self.due.insert(0, Due { name: passed.name, made_up: true, late: false });
                continue;
            }
            let why = match &stored.hindered {
                _ if may_be_sent(&passed) => LeftOut::MayBeSent,
                _ if latest.is_some_and(|latest| i < latest) => LeftOut::Overtaken,
                Some(cause) => LeftOut::Hindered { cause: cause.clone() },
                None if stored.gap.is_some_and(|gap| gap.has(passed.last)) => LeftOut::OnHold,
                None if at.misfire == Misfire::Once => LeftOut::DeadlinePassed,
                None => LeftOut::Missed,
            };
            left_out.push((passed, why));
        }
        left_out.sort_by_key(|(passed, _)| passed.event);
        let from = left_out.len().saturating_sub(KEPT);
        let told = left_out.into_iter().skip(from);
        self.left_out =
            told.map(|(passed, why)| LeftOutRow { name: passed.name, event_at: passed.event, why }).collect();
    }
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
    fn whatever_is_left_out_has_its_reason() {
        let stored = Stored { since: 2 * DAY, ..Stored::default() };
        let now = 6 * DAY - HOUR / 2;
        let whys = |misfire, stored: &Stored, now| -> Vec<(String, &'static str)> {
            look(days(), &at(misfire), stored, now).left_out.into_iter().map(|o| (o.name, o.why.word())).collect()
        };
        let told = |whys: &[(&str, &'static str)]| whys.iter().map(|(n, w)| ((*n).to_owned(), *w)).collect::<Vec<_>>();
        let all = |why| told(&[("d3", why), ("d4", why), ("d5", why), ("d6", why)]);
        assert_eq!(whys(Misfire::Skip, &stored, now), all("missed"));
        let three = |why| told(&[("d3", why), ("d4", why), ("d5", why)]);
        assert_eq!(whys(Misfire::Once, &stored, now), three("overtaken"), "d6 is made up for");
        assert_eq!(whys(Misfire::Once, &stored, 6 * DAY), all("expired"));
        let hindered = Stored { hindered: Some(Message::text("no template")), ..stored.clone() };
        assert_eq!(whys(Misfire::Skip, &hindered, now), all("hindered"));
        assert_eq!(whys(Misfire::Once, &hindered, 6 * DAY), all("hindered"));
        // A hold that began before d5, and ends now.
        let gap = |taken| Stored { gap: Some(Gap { from: 4 * DAY, until: now, taken }), ..stored.clone() };
        let since = |why| told(&[("d3", "missed"), ("d4", "missed"), ("d5", why), ("d6", why)]);
        assert_eq!(whys(Misfire::Skip, &gap(None), now), since("on_hold"));
        assert_eq!(whys(Misfire::Skip, &gap(Some(now)), now), since("restored"));
        assert_eq!(whys(Misfire::Once, &gap(None), now), three("overtaken"), "it may be sent a second time, and is");
        let taken = look(days(), &at(Misfire::Once), &gap(Some(now)), now);
        assert_eq!(names(&taken), [("d7", false)], "what was taken for sent is not made up for, nor one before it");
        let until = gap(Some(5 * DAY + 22 * HOUR));
        let told_apart = told(&[("d3", "missed"), ("d4", "missed"), ("d5", "restored"), ("d6", "on_hold")]);
        assert_eq!(whys(Misfire::Skip, &until, now), told_apart, "nothing was sent any more when d6 was due");
        let sent = look(days(), &at(Misfire::Once), &until, now);
        assert_eq!(names(&sent), [("d6", true), ("d7", false)], "so it is made up for");
        let many = look(days(), &at(Misfire::Skip), &Stored::default(), 200 * DAY);
        assert_eq!((many.missed, many.left_out.len(), &*many.left_out[49].name), (200, KEPT, "d200"));
    }

    #[test]
    fn events_that_had_passed_when_the_file_was_loaded_go_at_once_if_it_says_so_and_their_deadlines_allow() {
        let stored = Stored { file_since: 6 * DAY - HOUR / 2, ..Stored::default() };
        let now = stored.file_since + 1;
        let skips = look(days(), &at(Misfire::Once), &stored, now);
        assert_eq!((names(&skips), skips.missed), (vec![("d7", false)], 0), "none of them was missed");
        assert!(skips.left_out.len() == 6 && skips.left_out.iter().all(|one| one.why == LeftOut::Late));
        let sends = look(days(), &at(Misfire::Skip), &Stored { sends_late: true, ..stored }, now);
        assert_eq!((names(&sends), sends.left_out.len()), (vec![("d7", false), ("d6", false)], 5));
    }

    #[test]
    fn what_was_decided_before_a_shift_stays_so_wherever_it_lies() {
        let stored = Stored { shift: 2 * DAY, since: 3 * DAY, decided: Some(3 * DAY), ..Stored::default() };
        let shifted = look(days(), &at(Misfire::Skip), &stored, 3 * DAY);
        assert_eq!(
            (names(&shifted), shifted.next_at),
            (vec![], Some(5 * DAY - HOUR)),
            "d4 is the first, two days later"
        );
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
