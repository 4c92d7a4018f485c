//! The tables of a file are opened, and the columns found that it names.

use super::{
    kept::{Kept, Rows},
    leads_out,
    rows::Gathering,
};
use crate::{
    domain::{draft::Terms, timing::cut},
    schedule::{
        file::{Audience, TableRef},
        problem::Problem,
        row::{self, Bound, Tables},
        sheet::{self, Source, Wanted, columns::Columns},
    },
    store::kept::Part,
    words::say,
};
use std::io;

/// The tables of a file.
#[derive(Default)]
pub struct Opened<'a> {
    /// The audience's, unless it is a list or all who have consented.
    pub audience: Option<Rows<'a>>,
    /// That of the events.
    pub events: Option<Rows<'a>>,
}

impl<'a> Gathering<'a> {
    /// Opens the tables; `None` if the file can't be used.
    pub fn tables(&mut self) -> io::Result<Option<Opened<'a>>> {
        let (file, mut opened) = (self.file, Opened::default());
        if let Some(events) = file.events() {
            let Some(rows) = self.open(&events.table, &file.wanted_of_events(), Part::Events)? else {
                return Ok(None);
            };
            opened.events = Some(rows);
        }
        if let Audience::Table(table) = &file.audience {
            let of_events = opened.events.as_ref().map(|events| Columns::new(events.columns().to_vec()));
            let has =
                |name: &str| of_events.as_ref().is_some_and(|columns| columns.has(&Wanted::Column(name.to_owned())));
            let Some(rows) = self.open(table, &file.wanted(&has), Part::Audience)? else { return Ok(None) };
            opened.audience = Some(rows);
        }
        Ok(Some(opened))
    }

    /// Binds the file to its tables; `None` if it can't be used.
    pub fn bind<'b>(&mut self, opened: &Opened<'_>, terms: &'b Terms<'b>) -> Option<Bound<'b>>
    where
        'a: 'b,
    {
        let in_rows = |wanted: &Wanted| opened.audience.as_ref().expect("asked of one that is there").column(wanted);
        let in_events = |wanted: &Wanted| opened.events.as_ref().expect("asked of one that is there").column(wanted);
        let tables = Tables {
            rows: opened.audience.as_ref().map(|rows| (rows.columns(), &in_rows as _)),
            events: opened.events.as_ref().map(|rows| (rows.columns(), &in_events as _)),
        };
        match row::bind(self.file, terms, tables, self.desk.now) {
            Ok(bound) => {
                self.plan.notes.extend(bound.notes().iter().cloned());
                Some(bound)
            }
            Err(problems) => {
                self.plan.refuse_all(problems);
                None
            }
        }
    }

    /// Opens a table, or tells why it can't be read.
    pub fn open(&mut self, table: &TableRef, wanted: &[Wanted], part: Part) -> io::Result<Option<Rows<'a>>> {
        if let Some(kept) = self.desk.reading.kept() {
            return Ok(Some(Rows::Kept(Kept::open(kept, part)?)));
        }
        // That the file names no table that is there is a mistake of the file; all else is found in the table.
        let at_line = |problem: Problem| self.file.problem(problem.code, table.line, problem.detail);
        if self.input.inside && leads_out(&table.file) {
            self.problem(at_line(Problem::new("outside_folder", say!("outside_folder", name = cut(&table.file)))));
            return Ok(None);
        }
        let Some(path) = self.input.tables.get(&table.file) else {
            let known: Vec<&String> = self.input.tables.keys().collect();
            let detail = match known.is_empty() {
                true => say!("no_table_file", name = table.file),
                false => say!("no_table_file_among", name = table.file, known = known),
            };
            self.problem(at_line(Problem::new("no_file", detail)));
            return Ok(None);
        };
        Ok(match sheet::open(self.desk.reader, &Source { path, name: &table.file }, &table.spec, wanted) {
            Ok(read) => {
                self.plan.tables.push(read.about().clone());
                Some(Rows::File(Box::new(read)))
            }
            Err(problems) => {
                self.plan.refuse_all(problems);
                None
            }
        })
    }
}
