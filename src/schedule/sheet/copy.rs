//! A table as it stands, for a copy of it: every row from the first on, every cell, and how it looks.

use super::{
    Kind, Reader, Source, at,
    cell::Cell,
    csv::Whole,
    file::{self, Found},
    spec::TableSpec,
};
use crate::{schedule::problem::Problem, words::say};

/// The name that a workbook defines for its list of problems. A reader passes over the sheet on which it stands.
pub const PROBLEMS_NAME: &str = "tixing_problems";
/// The name that a copy of CSV defines on its sheet. There a row with more cells than the header is refused, as it is in CSV.
pub const RAGGED_NAME: &str = "tixing_ragged";

/// How a table looks.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// The number formats that cells name by their places; a place that is not there is the format of no format.
    pub formats: Vec<NumberFormat>,
    /// The columns that are not as wide as all others.
    pub widths: Vec<Width>,
}

/// How a workbook writes a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumberFormat {
    /// One that every spreadsheet program has, by its number.
    BuiltIn(u8),
    /// One of the workbook's own.
    Code(String),
}

/// How wide columns are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Width {
    /// The first of them, from 0.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// In characters.
    pub width: f64,
    /// They are hidden.
    pub hidden: bool,
}

/// A row of a table as it stands.
#[derive(Debug, Clone, Default)]
pub struct CopiedRow {
    /// As a spreadsheet numbers it, from 1.
    pub number: u32,
    /// A filter or a person has hidden it.
    pub hidden: bool,
    /// From column A on: what each says, and the place of its number format.
    pub cells: Vec<(Cell, u16)>,
}

/// A table that is read as it stands.
pub struct Copy {
    file: String,
    look: Look,
    rows: Whole,
}

impl Copy {
    /// Opens a table whose reading is known: `spec` has what was chosen when it was read, and nothing is chosen here.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn open(_reader: &Reader, source: &Source<'_>, spec: &TableSpec) -> Result<Self, Problem> {
        let file = source.name.to_owned();
        let opened = match file::open(source.path) {
            Ok(Found::Text { file, start, .. }) => Whole::open(file, &start, spec),
            Ok(Found::Zip(_)) => Err(file::not_a_table(say!("kind_zip"))),
            Err(problem) => Err(problem),
        };
        let rows = opened.map_err(|problem| at(source.name, problem))?;
        Ok(Self { file, look: Look::default(), rows })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        Kind::Csv
    }

    /// How it looks.
    pub fn look(&self) -> &Look {
        &self.look
    }

    /// The next row in which something stands.
    ///
    /// # Errors
    /// What keeps the rest of the file from being read; nothing comes after that.
    pub fn next_row(&mut self) -> Result<Option<CopiedRow>, Problem> {
        self.rows.next().map_err(|problem| at(&self.file, problem))
    }
}
