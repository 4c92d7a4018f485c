//! A table as it stands, for a copy of it: every row from the first on, every cell, and how it looks.

use super::{
    Kind, Reader, Source, at,
    cell::Cell,
    csv::{self, MAX_COLUMNS},
    file::{self, Found},
    spec::TableSpec,
    xlsx,
};
use crate::schedule::problem::Problem;
use serde::{Deserialize, Serialize};

/// The name that a workbook defines for its list of problems. A reader passes over the sheet on which it stands.
pub const PROBLEMS_NAME: &str = "tixing_problems";
/// The name that a copy of CSV defines on its sheet. There a row with more cells than the header is refused, as it is in CSV.
pub const RAGGED_NAME: &str = "tixing_ragged";

/// How a table looks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// The number formats that cells name by their places; a place that is not there is the format of no format.
    pub formats: Vec<NumberFormat>,
    /// The columns that are not as wide as all others.
    pub widths: Vec<Width>,
    /// It is itself a copy of CSV, where a row with more cells than the header has shifted cells.
    pub ragged: bool,
}

impl Look {
    /// Whether a sheet can look so: it comes over a pipe.
    pub fn is_sound(&self) -> bool {
        let ordered = self.widths.windows(2).all(|pair| pair[0].last < pair[1].first);
        let within = |width: &Width| {
            width.first <= width.last
                && usize::from(width.last) < MAX_COLUMNS
                && width.width.is_none_or(|width| (0.0..=256.0).contains(&width))
        };
        ordered && self.widths.iter().all(within)
    }
}

/// How a workbook writes a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NumberFormat {
    /// One that every spreadsheet program has, by its number.
    BuiltIn(u8),
    /// One of the workbook's own.
    Code(String),
}

/// How wide columns are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Width {
    /// The first of them, from 0.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// In characters, with what stands free at their sides.
    pub width: Option<f64>,
    /// They are hidden.
    pub hidden: bool,
}

/// A row of a table as it stands.
#[derive(Debug, Clone, Default, PartialEq)]
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
    rows: Rows,
}

/// What reads its rows.
enum Rows {
    Csv(Box<csv::Whole>),
    Xlsx(Box<xlsx::copy::Whole>),
}

impl Copy {
    /// Opens a table whose reading is known: `spec` has what was chosen when it was read, and nothing is chosen here.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn open(reader: &Reader, source: &Source<'_>, spec: &TableSpec) -> Result<Self, Problem> {
        let opened = match file::open(source.path) {
            Ok(Found::Text { file, start, .. }) => {
                csv::Whole::open(file, &start, spec).map(|csv| (Look::default(), Rows::Csv(Box::new(csv))))
            }
            Ok(Found::Zip(file)) => xlsx::copy::Whole::open(&reader.program, file, spec)
                .map(|xlsx| (xlsx.look.clone(), Rows::Xlsx(Box::new(xlsx)))),
            Err(problem) => Err(problem),
        };
        let (look, rows) = opened.map_err(|problem| at(source.name, problem))?;
        Ok(Self { file: source.name.to_owned(), look, rows })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.rows {
            Rows::Csv(_) => Kind::Csv,
            Rows::Xlsx(_) => Kind::Xlsx,
        }
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
        let row = match &mut self.rows {
            Rows::Csv(csv) => csv.next(),
            Rows::Xlsx(xlsx) => xlsx.row(),
        };
        row.map_err(|problem| at(&self.file, problem))
    }
}
