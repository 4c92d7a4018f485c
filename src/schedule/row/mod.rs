//! A row becomes its reminders, or all of its problems.
//!
//! ```text
//! bind      the columns that the schedule names, in one table
//! told      problems and notes, each at its cell
//! person    who, and by which key the row is known again
//! instants  when, and until when
//! message   what the user reads
//! ```

mod bind;
mod told;
mod person;
mod instants;
mod message;

pub use bind::{Table, bind};

use super::{
    file::File,
    problem::Problem,
    sheet::cell::{Cell, Row},
};
use crate::{
    domain::{Millis, schedule::Planned, timing::QuietHours},
    words::say,
};
use bind::Places;
use instants::Fixed;
use message::Texts;
use told::Told;

/// A schedule's file that is bound to a table, or to none, and to the terms of its app.
pub struct Bound<'a> {
    file: &'a File,
    /// The names of the table's columns.
    columns: Vec<String>,
    places: Places,
    quiet: Option<QuietHours>,
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

    /// Reads a row of the table.
    pub fn row(&self, row: &Row) -> RowRead {
        let mut told = Told::new(self, Some(row.number), &row.cells);
        if row.ragged {
            told.problem(None, "ragged", say!("row_ragged", columns = self.columns.len()));
            return RowRead::Refused { openid: None, key: None, problems: told.problems };
        }
        let openid = person::of_cell(&mut told, self.places.openid);
        let key = match self.places.key {
            Some(place) => person::key(&mut told, place),
            None => openid.clone(),
        };
        self.read(told, openid, key)
    }

    /// Reads a user of a list, who stands there at place `number`, or one who has consented.
    pub fn person(&self, openid: &str, number: Option<u32>) -> RowRead {
        let mut told = Told::new(self, number, &[]);
        let openid = person::of_text(&mut told, openid);
        let key = openid.clone();
        self.read(told, openid, key)
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
