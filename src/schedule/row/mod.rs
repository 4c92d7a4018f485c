//! A row becomes its reminders, or all of its problems.
//!
//! ```text
//! bind      the columns that the schedule names, in one table
//! told      problems and notes, each at its cell
//! person    who, and by which key the row is known again
//! instants  when, and until when
//! occurrence a time that stands outside of the rows
//! message   what the user reads
//! ```

mod bind;
mod told;
mod person;
mod instants;
mod message;
mod occurrence;

pub use bind::{Table, Tables, bind};
pub use occurrence::Occurrence;
pub use person::normal;

use super::{
    file::File,
    problem::Problem,
    render::text::Source,
    sheet::cell::{Cell, Row},
};
use crate::{
    domain::{Millis, draft::UserRule, schedule::Planned, timing::QuietHours},
    words::Message,
};
use bind::Places;
use instants::Fixed;
use message::Texts;
use told::Told;

/// A schedule's file that is bound to a table, or to none, and to the terms of its app.
pub struct Bound<'a> {
    file: &'a File,
    /// The names of the columns: those of the audience's table, then those of the table of events.
    columns: Vec<String>,
    /// How many of them are the audience's.
    of_rows: usize,
    places: Places,
    quiet: Option<QuietHours>,
    /// What the platform takes as a user's id.
    user: UserRule<'a>,
    /// The instants, where they are the same for every row.
    fixed: Option<Fixed>,
    texts: Texts<'a>,
    notes: Vec<Problem>,
    /// An instant that lies too far ahead of it is a mistake.
    now: Millis,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowRead {
    /// It is right.
    Right {
        /// Its reminders, in the order in which `before`, then `after` list them.
        planned: Vec<Planned>,
        /// What a person should know of it.
        notes: Vec<Problem>,
    },
    /// It is refused.
    Refused {
        /// The user, if that could be read.
        openid: Option<String>,
        /// By which it would be known again, if that could be read.
        key: Option<String>,
        /// Everything that is wrong with it.
        problems: Vec<Problem>,
    },
}

impl Bound<'_> {
    /// What a person should know of all rows alike.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }

    /// Reads a row of the table, for an occurrence if there are any.
    pub fn row(&self, row: &Row, occurrence: Option<&Occurrence>) -> RowRead {
        let both: Vec<Cell>;
        let cells = match occurrence {
            Some(occurrence) if !occurrence.cells.is_empty() => {
                let blanks = self.of_rows.saturating_sub(row.cells.len());
                let own = row.cells.iter().take(self.of_rows).cloned();
                both = own.chain(vec![Cell::Blank; blanks]).chain(occurrence.cells.iter().cloned()).collect();
                &both
            }
            _ => &row.cells,
        };
        let mut told = Told::new(self, Some(row.number), cells, None);
        told.occurrence = occurrence;
        if row.ragged {
            told.ragged();
            return RowRead::Refused { openid: None, key: None, problems: told.problems };
        }
        let openid = person::of_cell(&mut told, self.places.openid);
        let key = match self.places.key {
            Some(place) => person::key(&mut told, place),
            None => openid.clone(),
        };
        self.read(told, openid, key)
    }

    /// The key of the event that a row names.
    ///
    /// # Errors
    /// The row is refused.
    pub fn event_of(&self, row: &Row) -> Result<String, RowRead> {
        let mut told = Told::new(self, Some(row.number), &row.cells, None);
        if row.ragged {
            told.ragged();
        }
        let place = self.places.event.expect("it is asked of joined schedules alone");
        let key = person::event(&mut told, place).filter(|_| !row.ragged);
        key.ok_or_else(|| self.refused(told))
    }

    /// A row that names an event which is not there, or is wrong.
    pub fn without_event(&self, row: &Row, why: Message) -> RowRead {
        let mut told = Told::new(self, Some(row.number), &row.cells, None);
        told.problem(self.places.event, "unknown_event", why);
        self.refused(told)
    }

    /// All that can be said of a row without its event.
    fn refused(&self, mut told: Told<'_>) -> RowRead {
        let openid = person::of_cell(&mut told, self.places.openid);
        let key = match self.places.key {
            Some(place) => person::key(&mut told, place),
            None => None,
        };
        RowRead::Refused { openid, key, problems: told.problems }
    }

    /// Reads a user of a list, who stands there at place `number`, or one who has consented.
    pub fn person(&self, openid: &str, number: Option<u32>, occurrence: Option<&Occurrence>) -> RowRead {
        let cells = occurrence.map_or(&[][..], |occurrence| &occurrence.cells);
        let mut told = Told::new(self, number, cells, None);
        told.occurrence = occurrence;
        let openid = person::of_text(&mut told, openid);
        let key = openid.clone();
        self.read(told, openid, key)
    }

    /// Whether what is said to all who have consented differs in nothing but who they are.
    pub fn says_the_same_to_all(&self) -> bool {
        let mut texts = self.texts.page.iter().chain(self.texts.fields.iter().map(|field| &field.text));
        self.file.spread == 0 && !texts.any(|text| text.takes(&Source::Openid))
    }

    /// The openid of somebody who has consented, as it is written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn openid(&self, openid: &str) -> Result<String, Vec<Problem>> {
        let mut told = Told::new(self, None, &[], None);
        person::of_text(&mut told, openid).ok_or(told.problems)
    }

    fn read(&self, mut told: Told<'_>, openid: Option<String>, key: Option<String>) -> RowRead {
        let times = instants::times(&mut told, key.as_deref());
        let planned = message::planned(&mut told, times, openid.as_deref(), key.as_deref());
        let Told { problems, notes, .. } = told;
        if problems.is_empty() { RowRead::Right { planned, notes } } else { RowRead::Refused { openid, key, problems } }
    }
}

/// What stands in a column of a row.
fn cell(cells: &[Cell], place: usize) -> &Cell {
    cells.get(place).unwrap_or(&Cell::Blank)
}

#[cfg(test)]
mod tests;
