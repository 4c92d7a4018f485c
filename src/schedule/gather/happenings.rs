//! The occurrences that the rows of a file are read for: its events by their keys, or those times of a recurrence that are prepared now.

use super::{
    Reading,
    kept::Rows,
    rows::{Gathering, listed},
};
use crate::{
    domain::{DAY, Millis, left_out::LeftOut, schedule::Upcoming},
    schedule::{
        file::{File, Time},
        problem::{Place, Problem},
        recur::{Look, Occurring, Stored, look},
        row::{Bound, Occurrence},
        when::{
            cron::{Recurrence, zone_said},
            occasion::Entry,
        },
    },
    store::kept::Part,
    words::{Message, say},
};
use chrono::{NaiveDate, NaiveDateTime, TimeDelta};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

/// A table of events has no more.
const EVENTS: usize = 10_000;
/// Times of a recurrence that one look passes: two years of hours, and those to come.
const TIMES: usize = 20_000;
/// What lies longer ago is passed over, so that a look comes to what is ahead however long nobody looked. It is not even counted as missed.
const LONGEST_AGO: Millis = 700 * DAY;
/// So many are told.
const TOLD: usize = 5;

/// The occurrences of a file.
pub enum Happenings {
    /// It has none.
    None,
    /// Each row names its own: by key, those that are right.
    Joined(BTreeMap<String, Option<Occurrence>>),
    /// Every row is read for each of these.
    Each(Vec<Happening>),
}

/// An occurrence that every row is read for.
pub struct Happening {
    /// Which.
    pub occurrence: Occurrence,
    /// It is prepared later, and nothing is stored for it.
    pub later: bool,
    /// It was prepared before: of all who have consented, it is about those that it was prepared for.
    pub prepared: bool,
}

/// An occurrence that is to be read, by name.
struct Wanted {
    name: String,
    later: bool,
    prepared: bool,
}

impl Wanted {
    fn happening(&self, occurrence: Occurrence) -> Happening {
        Happening { occurrence, later: self.later, prepared: self.prepared }
    }
}

/// How a file recurs, in words.
pub fn said(file: &File) -> Option<Message> {
    match &file.at.time {
        Time::Cron(recurrence) => {
            let line = say!("recurs_in_zone", zone = zone_said(file.zone), recurs = recurrence.cron.said());
            let day = |day: NaiveDate| day.format("%Y-%m-%d").to_string();
            Some(match (recurrence.from.map(day), recurrence.until.map(day)) {
                (Some(from), Some(until)) => say!("recurs_between", from = from, until = until, recurs = line),
                (Some(from), None) => say!("recurs_from", from = from, recurs = line),
                (None, Some(until)) => say!("recurs_until", until = until, recurs = line),
                (None, None) => line,
            })
        }
        Time::Events(events) => Some(say!("recurs_by_table", file = &events.table.file)),
        _ => None,
    }
}

impl<'a> Gathering<'a> {
    /// The occurrences that the rows are read for; `None` if the file can't be used.
    pub fn happenings(&mut self, bound: &Bound<'_>, events: Option<Rows<'_>>) -> io::Result<Option<Happenings>> {
        match (&self.file.at.time, events) {
            (Time::Cron(recurrence), _) => {
                let stored = self.desk.asks.recurring(self.file, &self.plan.digest)?;
                Ok(self.times(bound, recurrence, &stored))
            }
            (Time::Events(_), Some(events)) => {
                let Some(all) = self.events(bound, events)? else { return Ok(None) };
                let stored = self.desk.asks.recurring(self.file, &self.plan.digest)?;
                let mut right: Vec<&Occurrence> = all.values().flatten().collect();
                right.sort_by_key(|occurrence| occurrence.event);
                let seen = look(right.iter().map(|o| occurring(o, true)), &self.file.at, &stored, self.desk.now);
                self.plan.next = next(&seen, self.desk.now);
                if self.file.is_joined() {
                    self.occurring = right.iter().map(|occurrence| occurring(occurrence, true)).collect();
                    self.look = Some(Look { next_at: None, ..seen });
                    return Ok(Some(Happenings::Joined(all)));
                }
                // What was prepared is compared while its deadlines last, and again if its event is ahead once more.
                let now = self.desk.now;
                let is_prepared = |o: &&&Occurrence| {
                    stored.begun.contains(&o.name) || stored.prepared.contains(&o.name) && o.last + stored.shift > now
                };
                let prepared = right.iter().filter(is_prepared).map(|occurrence| occurrence.name.clone()).collect();
                let wanted = self.wanted(&seen, &stored, prepared);
                self.note_late(&seen);
                let mut all = all;
                let take = |wanted: Wanted| Some(wanted.happening(all.remove(&wanted.name)??));
                let each: Vec<Happening> = wanted.into_iter().filter_map(take).collect();
                self.occurring = each.iter().map(|each| occurring(&each.occurrence, true)).collect();
                self.look = Some(seen);
                Ok(Some(Happenings::Each(each)))
            }
            _ => Ok(Some(Happenings::None)),
        }
    }

    /// Which occurrences are read; these are prepared.
    fn wanted(&self, seen: &Look, stored: &Stored, prepared: Vec<String>) -> Vec<Wanted> {
        let later = |name: &String| Wanted { name: name.clone(), later: true, prepared: false };
        match self.desk.reading {
            Reading::Look(_) => Vec::new(),
            Reading::Occurrence { name, .. } => {
                vec![Wanted { name: name.to_owned(), later: false, prepared: stored.begun.contains(name) }]
            }
            Reading::Whole => {
                let is_next = |next: &&Upcoming| next.prepare_at.is_some() && !prepared.contains(&next.name);
                let next = seen.upcoming.iter().find(is_next).map(|next| later(&next.name));
                let late = seen.due.iter().filter(|due| due.late && !prepared.contains(&due.name));
                let late: Vec<Wanted> = late.map(|due| later(&due.name)).collect();
                let prepared = prepared.into_iter().map(|name| Wanted { name, later: false, prepared: true });
                prepared.chain(late).chain(next).collect()
            }
        }
    }

    /// Events whose instants had passed when the file was loaded, and that are not sent.
    fn note_late(&mut self, seen: &Look) {
        if !matches!(self.desk.reading, Reading::Whole) {
            return;
        }
        for one in seen.left_out.iter().filter(|one| one.why == LeftOut::Late) {
            let detail = say!("event_late", key = &one.name, event = one.event_at);
            self.plan.notes.push(self.file.problem("late", self.file.at.line, detail));
        }
    }

    /// The times of a recurrence.
    fn times(&mut self, bound: &Bound<'_>, recurrence: &Recurrence, stored: &Stored) -> Option<Happenings> {
        let (file, now) = (self.file, self.desk.now);
        // An occurrence is over when its last instant is; that of `after` lies behind its time.
        let behind = |entry: &Entry| if entry.after { entry.span.elapsed() + DAY } else { 0 };
        let longest = file.at.entries.iter().map(behind).max().unwrap_or_default() + stored.shift.max(0);
        let from = stored.since.clamp(now - LONGEST_AGO, now) - longest - DAY;
        let times = recurrence.times(file.zone, from).take(TIMES);
        let mut wrong = Vec::new();
        let all = times.map_while(|time| {
            let found = bound.occurrence(&time);
            found.map_err(|problems| wrong = problems).ok()
        });
        let seen = look(all.map(|occurrence| occurring(&occurrence, false)), &file.at, stored, now);
        self.plan.next = next(&seen, now);
        if seen.upcoming.is_empty() && !wrong.is_empty() {
            self.plan.refuse_all(wrong);
            return None;
        }
        if seen.upcoming.is_empty() {
            self.plan.notes.push(file.problem("late", file.at.line, say!("nothing_recurs_any_more")));
        }
        let mut each = Vec::new();
        let mut names: Vec<String> = stored.begun.iter().cloned().collect();
        names.sort();
        for wanted in self.wanted(&seen, stored, names) {
            let Some(time) = time_of(recurrence, file, &wanted.name) else { continue };
            match bound.occurrence(&time) {
                Ok(occurrence) => {
                    self.plan.notes.extend(occurrence.notes.iter().cloned());
                    each.push(wanted.happening(occurrence));
                }
                Err(problems) => {
                    self.plan.refuse_all(problems);
                    return None;
                }
            }
        }
        self.occurring = each.iter().map(|each| occurring(&each.occurrence, false)).collect();
        self.look = Some(seen);
        Some(Happenings::Each(each))
    }

    /// The events of a table by their keys; `None` for those that are wrong.
    fn events(
        &mut self,
        bound: &Bound<'_>,
        mut events: Rows<'_>,
    ) -> io::Result<Option<BTreeMap<String, Option<Occurrence>>>> {
        let file = self.file;
        let table = &file.events().expect("it has events").table;
        let places = self.places(&events, &file.wanted_of_events());
        let names = events.columns().to_vec();
        let (mut all, mut read) = (BTreeMap::<String, (u32, Option<Occurrence>)>::new(), 0_usize);
        let mut twice: BTreeSet<String> = BTreeSet::new();
        loop {
            let row = match events.next()? {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(problem) => {
                    self.problem(problem);
                    return Ok(None);
                }
            };
            read += 1;
            if read > EVENTS {
                let problem = say!("too_many_events", most = EVENTS);
                self.problem(file.problem("too_large", table.line, problem));
                return Ok(None);
            }
            let (key, occurrence, problems) = match bound.event(&row) {
                Ok(occurrence) => (Some(occurrence.name.clone()), Some(occurrence), Vec::new()),
                Err((key, problems)) => (key, None, problems),
            };
            self.refused_beside += u64::from(occurrence.is_none());
            self.plan.problems.extend(problems);
            if let Some(occurrence) = &occurrence {
                self.plan.notes.extend(occurrence.notes.iter().cloned());
                self.keep_row(Part::Events, (&names, &places), &row, (None, None))?;
            }
            let Some(key) = key else { continue };
            let at_key = |code, detail, row| {
                let place = Place { file: Some(table.file.clone()), row: Some(row), ..Place::default() };
                Problem { place, ..Problem::new(code, detail) }
            };
            match all.get_mut(&key) {
                None => drop(all.insert(key, (row.number, occurrence))),
                Some((first, known)) => {
                    let same = known.as_ref().zip(occurrence.as_ref()).is_some_and(|(a, b)| a.says_the_same(b));
                    if same {
                        self.plan.notes.push(at_key("same_row_twice", say!("same_row_twice"), row.number));
                        continue;
                    }
                    let first = *first;
                    if known.take().is_some() {
                        self.refused_beside += 1;
                    }
                    self.refused_beside += u64::from(occurrence.is_some());
                    if twice.insert(key) {
                        let detail = say!("duplicate_key", other = row.number);
                        self.plan.problems.push(at_key("duplicate_key", detail, first));
                    }
                    self.plan.problems.push(at_key("duplicate_key", say!("duplicate_key", other = first), row.number));
                }
            }
        }
        self.plan.notes.extend(events.notes());
        if all.is_empty() && read == 0 {
            self.problem(file.problem("no_rows", table.line, say!("no_events_in_table", file = &table.file)));
            return Ok(None);
        }
        Ok(Some(all.into_iter().map(|(key, (_, occurrence))| (key, occurrence)).collect()))
    }
}

/// Why a row's event is none.
pub fn unknown(events: &BTreeMap<String, Option<Occurrence>>, key: &str) -> Message {
    match events.get(key) {
        Some(_) => say!("event_is_refused", key = key),
        None => say!("no_such_event", key = key, known = listed(events.keys())),
    }
}

fn occurring(occurrence: &Occurrence, is_event: bool) -> Occurring {
    let Occurrence { name, event, first, last, ends, .. } = occurrence;
    Occurring { name: name.clone(), is_event, event: *event, first: *first, last: *last, ends: *ends }
}

/// The next ones that are told.
fn next(seen: &Look, now: Millis) -> Vec<Upcoming> {
    seen.upcoming.iter().filter(|next| next.event > now).take(TOLD).cloned().collect()
}

/// The time of this name, if the recurrence still has it.
fn time_of(recurrence: &Recurrence, file: &File, name: &str) -> Option<crate::schedule::when::cron::Time> {
    let wall = NaiveDateTime::parse_from_str(name, "%Y-%m-%dT%H:%M").ok()?;
    let (at, _) = crate::domain::timing::resolve_local(wall, file.zone)?;
    let before = at - TimeDelta::minutes(1).num_milliseconds();
    recurrence.times(file.zone, before).take(3).find(|time| time.wall == wall)
}
