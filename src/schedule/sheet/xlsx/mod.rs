//! XLSX, read in a child process that limits itself.
//!
//! ```text
//! process   the child from the outside: started, listened to, always ended
//! child     the child from the inside: its limits
//! frames    what goes over the pipe
//! choose    what is asked, and which sheet that is
//! read      a workbook is read: sheet, header, rows           (from here on in the child)
//! copy      a sheet as it stands, for a copy of it            (the child, and the other end of its pipe)
//! package   the parts in the zip, within bounds
//! xml       elements, attributes, text
//! workbook  sheets, calendar, where the parts are
//! strings   texts that cells share
//! styles    number formats of cells
//! rows      a sheet's rows
//! place     where a cell is
//! merge     merged cells
//! value     what a stored number means: a date, or a number as the sheet shows it
//! format    number formats                                    (pure)
//! number    decimal digits                                    (pure)
//! ```

mod number;
mod format;
mod value;
mod package;
mod xml;
mod workbook;
mod strings;
mod styles;
mod place;
mod merge;
mod rows;
pub mod frames;
pub mod choose;
pub mod read;
pub mod copy;
pub mod child;
pub mod process;

use super::{
    cell::Row,
    columns::Columns,
    spec::{MAX_COLUMNS, TableSpec, Wanted},
};
use crate::{
    schedule::problem::{OF_FILES, Problem},
    words::say,
};
use choose::Request;
use frames::{Frame, Head, Refusal};
use package::damaged;
use process::Process;
use std::{collections::VecDeque, fs::File, path::Path};

/// An open workbook, behind the header of its sheet.
pub struct Xlsx {
    /// What was found.
    pub head: Head,
    /// The header's columns.
    pub columns: Columns,
    process: Process,
    rows: VecDeque<Row>,
    last: u32,
    ended: bool,
}

impl Xlsx {
    /// Has a workbook opened by a child of this program.
    ///
    /// # Errors
    /// `not_a_table`, `locked`, `damaged`, `too_large`, `no_file` for a sheet that is not there, `no_header`, `hidden_rows`.
    pub fn open(program: &Path, file: File, spec: &TableSpec, wanted: &[Wanted]) -> Result<Self, Problem> {
        let TableSpec { sheet, header, hidden, .. } = spec.clone();
        let request = Request { sheet, header, hidden, wanted: wanted.to_vec(), copy: false };
        let mut process = Process::start(program, file, &request)?;
        let Frame::Head(head) = process.frame()? else { return Err(damaged("its reader lost its way")) };
        let columns = Columns::new(head.columns.clone());
        if head.columns.len() > MAX_COLUMNS || columns.names().len() != head.columns.len() {
            return Err(damaged("its reader lost its way"));
        }
        let last = head.header;
        Ok(Self { head, columns, process, rows: VecDeque::new(), last, ended: false })
    }

    /// The next row that is not blank.
    ///
    /// # Errors
    /// `damaged`, `too_large`.
    pub fn row(&mut self) -> Result<Option<Row>, Problem> {
        while self.rows.is_empty() && !self.ended {
            match self.process.frame()? {
                Frame::Rows(rows) => self.rows.extend(rows),
                Frame::End => self.ended = true,
                _ => return Err(damaged("its reader lost its way")),
            }
        }
        let Some(mut row) = self.rows.pop_front() else { return Ok(None) };
        let width = self.columns.names().len();
        if row.number <= self.last || row.number > place::MAX_ROWS || row.cells.len() > width {
            return Err(damaged("its reader lost its way"));
        }
        self.last = row.number;
        row.cells.resize(width, super::cell::Cell::Blank);
        Ok(Some(row))
    }

    /// What is to be noted about it.
    pub fn notes(&self, spec: &TableSpec) -> Vec<Problem> {
        let merged = self.head.merged.map(|(n, first)| {
            Problem::new("merged_filled", say!("cells_are_merged", n = n, first = first)).in_row(first)
        });
        let hidden = self.head.hidden.map(|(n, first)| {
            let what = match spec.hidden {
                Some(super::spec::Hidden::Skip) => say!("hidden_rows_skipped", n = n, first = first),
                _ => say!("hidden_rows_read", n = n, first = first),
            };
            Problem::new("hidden_rows", what).in_row(first)
        });
        merged.into_iter().chain(hidden).collect()
    }
}

/// A refusal from the pipe; a code that no file has comes from something that is not our child.
fn refused(refusal: Refusal) -> Problem {
    let Refusal { code, row, detail, fix } = refusal;
    let Some(code) = OF_FILES.iter().find(|known| **known == code) else { return damaged("its reader lost its way") };
    let mut problem = Problem::new(code, detail).or(fix);
    problem.place.row = row;
    problem
}
