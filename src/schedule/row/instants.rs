//! When the reminders of a row go, and until when.

use super::{Bound, cell, told::Told};
use crate::{
    domain::{Millis, draft},
    schedule::{
        file::{Expires, File, Time},
        problem::Problem,
        render::used::usable,
        when::{
            occasion::{Deadline, Entry, Event, Instant},
            point::Point,
            spread, written,
        },
    },
    words::{Message, say},
};

/// The time of `at` and the instants that follow, before spread and quiet hours.
#[derive(Debug, Clone, PartialEq)]
pub struct Fixed {
    /// The time.
    pub event: Event,
    /// Its instants.
    pub bases: Vec<(Option<Entry>, Millis)>,
}

/// The times of a row.
#[derive(Debug, Clone)]
pub struct Times {
    /// The time that `at` names.
    pub event: Event,
    /// Its occasions, of which those that quiet hours leave no room for are left out.
    pub occasions: Vec<Occasion>,
}

/// An occasion of a row.
#[derive(Debug, Clone, Copy)]
pub struct Occasion {
    /// Its entry, if there are any.
    pub entry: Option<Entry>,
    /// Its instant.
    pub instant: Instant,
    /// Its deadline.
    pub expires_at: Millis,
    /// Its deadline moves along with it.
    pub moves: bool,
}

/// The code of the note about a wall time in a gap or a fold.
pub fn odd(note: &Message) -> &'static str {
    if note.key() == "wall_time_skipped" { "gap" } else { "fold" }
}

/// The instants of a time that is the same for every row, and the notes about them.
///
/// # Errors
/// A message: there are none.
pub fn fixed(file: &File, now: Millis) -> Result<Option<(Fixed, Vec<Problem>)>, Message> {
    let Time::Fixed(point) = file.at.time else { return Ok(None) };
    let (event, bases, found) = bases(file, point, now)?;
    let mut notes: Vec<Problem> = Vec::new();
    for note in found {
        let code = odd(&note);
        if notes.iter().all(|known| known.code != code) {
            notes.push(file.problem(code, file.at.line, note));
        }
    }
    Ok(Some((Fixed { event, bases }, notes)))
}

/// An event, the instants of its occasions, and what a person should know of them.
pub type Bases = (Event, Vec<(Option<Entry>, Millis)>, Vec<Message>);

/// The event, the instants of its occasions, and notes about gaps and folds.
///
/// # Errors
/// A message: there are none.
pub fn bases(file: &File, point: Point, now: Millis) -> Result<Bases, Message> {
    let at = &file.at;
    let event = Event::new(point, at.clock, !at.entries.is_empty(), file.zone)?;
    let mut notes: Vec<Message> = event.note.clone().into_iter().collect();
    let entries: Vec<Option<Entry>> =
        if at.entries.is_empty() { vec![None] } else { at.entries.iter().copied().map(Some).collect() };
    let mut bases = Vec::with_capacity(entries.len());
    for entry in entries {
        let (base, note) = event.occasion(entry, at.clock, file.zone)?;
        draft::near(base, now).map_err(|why| why.detail)?;
        bases.push((entry, base));
        notes.extend(note);
    }
    Ok((event, bases, notes))
}

/// The times of a row whose key is known, or the problems with them.
pub fn times(told: &mut Told<'_>, key: Option<&str>) -> Option<Times> {
    let bound = told.bound;
    let of_row = bound.places.at.map(|place| in_row(told, place));
    let deadline = match &bound.file.expires {
        Expires::Known(deadline) => Some(*deadline),
        Expires::Column(_) => bound.places.expires.and_then(|place| deadline_in_row(told, place)),
    };
    let fixed = match (&of_row, told.occurrence) {
        (Some(of_row), _) => of_row.as_ref()?,
        (None, Some(occurrence)) => &occurrence.fixed,
        (None, None) => bound.fixed.as_ref()?,
    };
    let deadline = deadline?;
    let mut occasions = Vec::with_capacity(fixed.bases.len());
    for (entry, base) in &fixed.bases {
        occasions.extend(occasion(told, fixed, (*entry, *base), deadline, key)?);
    }
    if occasions.is_empty() {
        told.problem(bound.places.at, "quiet", say!("row_all_quiet"));
        return None;
    }
    Some(Times { event: fixed.event.clone(), occasions })
}

/// The time in a cell; the problems are told.
fn point(told: &mut Told<'_>, place: usize) -> Option<Point> {
    let cell = cell(told.cells, place);
    if let Err((code, detail)) = usable(cell) {
        told.problem(Some(place), code, detail);
        return None;
    }
    match written::cell(cell) {
        Ok(Some(read)) => {
            if read.of_range {
                told.note(Some(place), "range_start", say!("note_range_start"));
            }
            if read.serial {
                told.note(Some(place), "serial_read", say!("note_serial_read"));
            }
            Some(read.point)
        }
        Ok(None) => {
            told.problem(Some(place), "no_value", say!("time_blank"));
            None
        }
        Err(why) => {
            told.problem(Some(place), "bad_time", why);
            None
        }
    }
}

/// The instants of the time in a cell; the problems are told.
pub fn in_row(told: &mut Told<'_>, place: usize) -> Option<Fixed> {
    let point = point(told, place)?;
    match bases(told.file(), point, told.bound.now) {
        Ok((event, bases, notes)) => {
            for note in notes {
                told.note(Some(place), odd(&note), note);
            }
            Some(Fixed { event, bases })
        }
        Err(why) => {
            told.problem(Some(place), "bad_time", why);
            None
        }
    }
}

fn deadline_in_row(told: &mut Told<'_>, place: usize) -> Option<Deadline> {
    match point(told, place)? {
        Point::Clock(_) => {
            told.problem(Some(place), "bad_time", say!("time_without_day"));
            None
        }
        point => Some(Deadline::At(point)),
    }
}

/// One occasion: `None` if something is wrong, an inner `None` if quiet hours leave it no room.
fn occasion(
    told: &mut Told<'_>,
    fixed: &Fixed,
    (entry, base): (Option<Entry>, Millis),
    deadline: Deadline,
    key: Option<&str>,
) -> Option<Option<Occasion>> {
    let Bound { file, quiet, places, .. } = told.bound;
    let name = entry.map(Entry::name).unwrap_or_default();
    let offset = match key {
        Some(key) if file.spread > 0 => {
            let occurrence = told.occurrence.map_or("", |occurrence| &occurrence.name);
            spread::offset(file.spread, &file.name, key, &name, occurrence)
        }
        _ => 0,
    };
    let instant = Instant::new(base, offset, quiet.as_ref());
    let place = places.expires.or(places.at);
    let Some((expires_at, moves)) = deadline.of(entry, &fixed.event, instant, file.zone) else {
        told.problem_of(place, "bad_deadline", say!("time_beyond_all_years"), None, Some(file.expires_line));
        return None;
    };
    if let Err(why) = draft::follows(instant.unmoved, expires_at) {
        told.problem_of(place, "bad_deadline", why.detail, None, Some(file.expires_line));
        return None;
    }
    if instant.is_moved() {
        let detail = say!("quiet_leaves_out", occasion = name, until = instant.at, deadline = expires_at);
        if instant.at >= expires_at {
            told.note(places.at, "quiet", detail);
            return Some(None);
        }
        // Of an occurrence it is told once, when it is read without a user.
        let once = told.bound.tells_quiet_once() || told.occurrence.is_some() && key.is_some() && file.spread == 0;
        if !once {
            told.note(places.at, "quiet_moved", say!("note_quiet_moved", from = instant.unmoved, to = instant.at));
        }
    }
    Some(Some(Occasion { entry, instant, expires_at, moves }))
}

impl Bound<'_> {
    /// Whether quiet hours move every row alike.
    fn tells_quiet_once(&self) -> bool {
        self.fixed.is_some() && self.file.spread == 0
    }

    /// The notes about quiet hours that move every row alike.
    pub(super) fn quiet_moved(&self) -> Vec<Problem> {
        let Some(fixed) = self.fixed.as_ref().filter(|_| self.tells_quiet_once()) else { return Vec::new() };
        let instants = fixed.bases.iter().map(|(_, base)| Instant::new(*base, 0, self.quiet.as_ref()));
        let moved = instants.filter(|instant| instant.is_moved());
        let note = |instant: Instant| say!("note_quiet_moved", from = instant.unmoved, to = instant.at);
        moved.map(|instant| self.file.problem("quiet_moved", self.file.at.line, note(instant))).collect()
    }
}
