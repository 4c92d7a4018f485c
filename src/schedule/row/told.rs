//! Problems and notes of a row, each at its cell.

use super::{Bound, Occurrence, cell};
use crate::{
    domain::timing::cut,
    schedule::{
        file::{Audience, File},
        problem::{Place, Problem},
        sheet::{cell::Cell, cell_name},
    },
    words::{Message, say},
};

/// What is told of one row.
pub struct Told<'r> {
    /// The schedule.
    pub bound: &'r Bound<'r>,
    /// The row's cells.
    pub cells: &'r [Cell],
    /// Its number.
    pub number: Option<u32>,
    /// The row of the table of events that is read, if one is.
    event: Option<u32>,
    /// An occurrence is read for nobody yet: what a row says is not known.
    pub for_nobody: bool,
    /// The occurrence that the row is read for.
    pub occurrence: Option<&'r Occurrence>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// What a person should know of it.
    pub notes: Vec<Problem>,
}

impl<'r> Told<'r> {
    /// Nothing yet.
    pub fn new(bound: &'r Bound<'r>, number: Option<u32>, cells: &'r [Cell], event: Option<u32>) -> Self {
        Self {
            bound,
            cells,
            number,
            event,
            for_nobody: false,
            occurrence: None,
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Tells that its cells have shifted.
    pub fn ragged(&mut self) {
        let (all, of_rows) = (self.bound.columns.len(), self.bound.of_rows);
        let columns = if self.event.is_some() { all - of_rows } else { of_rows };
        self.problem(None, "ragged", say!("row_ragged", columns = columns));
    }

    /// The schedule's file.
    pub fn file(&self) -> &'r File {
        self.bound.file
    }

    /// Tells a problem with a cell, or with the whole row.
    pub fn problem(&mut self, column: Option<usize>, code: &'static str, detail: Message) {
        self.problem_of(column, code, detail, None, None);
    }

    /// Tells a problem with a cell that is used in a field of the message, or with what is written on a line of the schedule's file.
    pub fn problem_of(
        &mut self,
        column: Option<usize>,
        code: &'static str,
        detail: Message,
        param: Option<&str>,
        line: Option<u32>,
    ) {
        let problem = self.at(column, code, detail);
        let place = Place { line: if column.is_none() { line } else { None }, ..problem.place };
        let problem = Problem { place, param: param.map(str::to_owned), ..problem };
        // Two occasions tell the same of one cell, and so do a time and the field that it is written in.
        let same = |known: &Problem| {
            let alike = known.param == problem.param || (column.is_some() && known.detail == problem.detail);
            known.code == code && known.place.cell == problem.place.cell && alike
        };
        if !self.problems.iter().any(same) {
            self.problems.push(problem);
        }
    }

    /// Tells a note, once for each cell and code.
    pub fn note(&mut self, column: Option<usize>, code: &'static str, detail: Message) {
        let note = self.at(column, code, detail);
        let same = |known: &Problem| {
            known.code == code
                && known.place.cell == note.place.cell
                && (column.is_some() || known.detail == note.detail)
        };
        if !self.notes.iter().any(same) {
            self.notes.push(note);
        }
    }

    fn at(&self, column: Option<usize>, code: &'static str, detail: Message) -> Problem {
        let of_rows = self.bound.of_rows;
        // What stands in the table of events is told there.
        let of_event = self.event.is_some() || column.is_some_and(|column| column >= of_rows);
        let row = if of_event { self.event.or(self.occurrence.and_then(|o| o.number)) } else { self.number };
        let table = match (&self.file().audience, self.file().events().filter(|_| of_event)) {
            (_, Some(events)) => &events.table.file,
            (Audience::Table(table), None) => &table.file,
            (Audience::Consented | Audience::List(_), None) => &self.file().file,
        };
        let place = Place {
            file: Some(table.clone()),
            line: None,
            row,
            column: column.and_then(|column| self.bound.columns.get(column).cloned()),
            cell: column.zip(row).map(|(column, row)| {
                let column = if of_event { column.saturating_sub(of_rows) } else { column };
                cell_name(column, row)
            }),
        };
        let of_user = column.is_some() && column == self.bound.places.openid;
        // What was read as something else may stand in its sentence.
        let detail = if of_user && code == "bad_time" { say!("openid_does_not_fit") } else { detail };
        let value = column.filter(|_| !of_user).map(|column| cut(&cell(self.cells, column).text()));
        Problem { place, value: value.filter(|value| !value.is_empty()), ..Problem::new(code, detail) }
    }
}
