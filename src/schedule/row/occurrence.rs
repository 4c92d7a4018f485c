//! A time that stands outside of the rows: one of a recurrence, or an event of a table.

use super::{
    Bound,
    instants::{self, Fixed, odd},
    message, person,
    told::Told,
};
use crate::{
    domain::Millis,
    schedule::{
        problem::Problem,
        sheet::cell::{Cell, Row},
        when::{
            cron::{self, Time},
            point::Point,
        },
    },
    words::Message,
};

/// An occurrence to which rows are bound.
#[derive(Debug, Clone)]
pub struct Occurrence {
    /// Its name for ever: its wall time, or its event's key.
    pub name: String,
    /// Its time.
    pub event: Millis,
    /// Its first instant.
    pub first: Millis,
    /// Its last.
    pub last: Millis,
    /// Its last deadline, if that does not depend on a row.
    pub ends: Option<Millis>,
    /// What a person should know of it.
    pub notes: Vec<Problem>,
    /// The row of its event; none of a recurrence.
    pub(super) number: Option<u32>,
    /// The cells of its event, in their places behind those of a row.
    pub(super) cells: Vec<Cell>,
    pub(super) fixed: Fixed,
}

impl Occurrence {
    /// Whether it says the same as another, but for where it stands.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.cells == other.cells && self.fixed == other.fixed
    }
}

impl Bound<'_> {
    /// The occurrence at a time of a recurrence.
    ///
    /// # Errors
    /// What is wrong with it, whoever reads it.
    pub fn occurrence(&self, time: &Time) -> Result<Occurrence, Vec<Problem>> {
        let fixed = instants::bases(self.file, Point::Wall(time.wall), self.now);
        let (event, bases, notes) = fixed.map_err(|why| vec![self.file.problem("bad_at", self.file.at.line, why)])?;
        let note = |note: Message| self.file.problem(odd(&note), self.file.at.line, note);
        let notes = notes.into_iter().map(note).collect();
        self.checked(&[], cron::name(time.wall), Fixed { event, bases }, None, notes)
    }

    /// The event in a row of the table of events.
    ///
    /// # Errors
    /// Everything that is wrong with it, whoever reads it, and its key if that could be read.
    pub fn event(&self, row: &Row) -> Result<Occurrence, (Option<String>, Vec<Problem>)> {
        let mut cells = vec![Cell::Blank; self.of_rows];
        cells.extend_from_slice(&row.cells);
        let mut told = Told::new(self, None, &cells, Some(row.number));
        told.for_nobody = true;
        if row.ragged {
            told.ragged();
            return Err((None, told.problems));
        }
        let key = self.places.event_key.and_then(|place| person::key(&mut told, place));
        let fixed = self.places.event_at.and_then(|place| instants::in_row(&mut told, place));
        let (Some(name), Some(fixed)) = (key.clone(), fixed) else {
            message::planned(&mut told, None, None, None);
            return Err((key, told.problems));
        };
        let notes = told.notes;
        self.checked(&cells, name, fixed, Some(row.number), notes).map_err(|problems| (key, problems))
    }

    /// Checks all that does not depend on who reads it.
    fn checked(
        &self,
        cells: &[Cell],
        name: String,
        fixed: Fixed,
        number: Option<u32>,
        notes: Vec<Problem>,
    ) -> Result<Occurrence, Vec<Problem>> {
        let base = |pick: fn(Millis, Millis) -> Millis| fixed.bases.iter().map(|(_, base)| *base).reduce(pick);
        let event = fixed.event.at;
        let (first, last) = (base(Millis::min).unwrap_or(event), base(Millis::max).unwrap_or(event));
        let own = cells.get(self.of_rows..).unwrap_or_default().to_vec();
        let mut occurrence = Occurrence { name, event, first, last, ends: None, notes, number, cells: own, fixed };
        if self.places.expires.is_some_and(|place| place < self.of_rows) {
            return Ok(occurrence);
        }
        let mut told = Told::new(self, None, cells, number);
        (told.for_nobody, told.occurrence) = (true, Some(&occurrence));
        let times = instants::times(&mut told, None);
        let ends = times.as_ref().and_then(|times| times.occasions.iter().map(|o| o.expires_at).max());
        message::planned(&mut told, times, None, None);
        let Told { problems, notes, .. } = told;
        if !problems.is_empty() {
            return Err(problems);
        }
        occurrence.ends = ends;
        occurrence.notes.extend(notes);
        Ok(occurrence)
    }
}
