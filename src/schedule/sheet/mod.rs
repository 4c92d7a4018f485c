//! Tables: CSV and XLSX, told by their content, as rows of cells.
//!
//! ```text
//! spec      what a schedule says about a table
//! file      what a file is                            → text, a zip, or what it is instead
//! csv       text becomes rows
//! xlsx      a workbook becomes rows, in a child process
//! header    which row is the header
//! columns   where each column is
//! text      what a cell of text says
//! cell      what a cell says
//! copied    what a copy of a table carries
//! copy      a table as it stands, for a copy of it
//! ```

pub mod spec;
pub mod cell;
pub mod columns;
pub mod copied;
pub mod copy;
mod csv;
mod file;
mod header;
mod text;
pub mod xlsx;

pub use columns::cell_name;
pub use spec::{Encoding, Hidden, TableSpec, Wanted, may_delimit};

use super::problem::Problem;
use crate::words::say;
use cell::Row;
use columns::{Columns, letters};
use csv::Csv;
use file::Found;
use std::path::{Path, PathBuf};
use xlsx::Xlsx;

/// How tables are read.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The program that reads workbooks, as a process of its own: this one.
    pub program: PathBuf,
}

impl Default for Reader {
    fn default() -> Self {
        Self { program: "/proc/self/exe".into() }
    }
}

/// Where a table is.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its file.
    pub path: &'a Path,
    /// The file as the schedule names it, for problems.
    pub name: &'a str,
}

/// What was found about a table when it was opened.
#[derive(Debug, Clone)]
pub struct About {
    /// The file as the schedule names it.
    pub file: String,
    /// What it is.
    pub kind: Kind,
    /// How its characters are written, in CSV.
    pub encoding: Option<Encoding>,
    /// The encoding could have been another.
    pub guessed: bool,
    /// What stands between its cells, in CSV.
    pub delimiter: Option<char>,
    /// The workbook's sheets in their order; none in CSV.
    pub sheets: Vec<Sheet>,
    /// The sheet that is read.
    pub sheet: Option<String>,
    /// How many rows with content are hidden below the header, and the first of them.
    pub hidden: Option<(u32, u32)>,
    /// The header's row.
    pub header: u32,
    /// The names of its columns as the header shows them, from column A on; a column without a name is blank.
    pub columns: Vec<String>,
}

/// What a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Comma-separated values, with whatever separator.
    Csv,
    /// A workbook.
    Xlsx,
}

impl Kind {
    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
        }
    }
}

/// A sheet of a workbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// Its name.
    pub name: String,
    /// A person has hidden it.
    pub hidden: bool,
}

/// A table that is open behind its header.
pub struct Table {
    about: About,
    columns: Columns,
    rows: Rows,
    notes: Vec<Problem>,
}

/// What reads its rows.
enum Rows {
    Csv(Box<Csv>),
    Xlsx(Box<Xlsx>),
}

/// Opens a table and finds its header: the first row in which every wanted column is found, else the likeliest. Whether a column is there
/// is then answered by [`Table::column`]. This blocks, like all of a table: call it where blocking is allowed.
///
/// # Errors
/// All that keeps the file from being read: `no_file not_a_table old_excel locked damaged too_large encoding_unclear no_header hidden_rows
/// unclosed_quote`.
pub fn open(reader: &Reader, source: &Source<'_>, spec: &TableSpec, wanted: &[Wanted]) -> Result<Table, Vec<Problem>> {
    let opened = match file::open(source.path) {
        Ok(Found::Text { file, start }) => Csv::open(file, &start, spec, wanted).map(|csv| of_csv(csv, source)),
        Ok(Found::Zip(file)) => Xlsx::open(&reader.program, file, spec, wanted).map(|xlsx| of_xlsx(xlsx, source, spec)),
        Err(problem) => Err(problem),
    };
    opened.map_err(|problem| vec![at(source.name, problem)])
}

/// The problem in this file.
fn at(file: &str, mut problem: Problem) -> Problem {
    problem.place.file = Some(file.to_owned());
    problem
}

fn of_csv(csv: Csv, source: &Source<'_>) -> Table {
    let encoding = csv.coding.encoding;
    let about = About {
        file: source.name.to_owned(),
        kind: Kind::Csv,
        encoding: Some(encoding),
        guessed: csv.guessed,
        delimiter: Some(char::from(csv.delimiter)),
        sheets: Vec::new(),
        sheet: None,
        hidden: None,
        header: csv.header.row,
        columns: csv.header.columns.names().to_vec(),
    };
    let guess = Problem::new("guessed_encoding", say!("encoding_guessed", encoding = encoding.word()));
    let notes = csv.guessed.then_some(guess).into_iter().collect();
    Table { about, columns: csv.header.columns.clone(), rows: Rows::Csv(Box::new(csv)), notes }
}

fn of_xlsx(xlsx: Xlsx, source: &Source<'_>, spec: &TableSpec) -> Table {
    let head = &xlsx.head;
    let about = About {
        file: source.name.to_owned(),
        kind: Kind::Xlsx,
        encoding: None,
        guessed: false,
        delimiter: None,
        sheets: head.sheets.iter().map(|(name, hidden)| Sheet { name: name.clone(), hidden: *hidden }).collect(),
        sheet: Some(head.sheet.clone()),
        hidden: head.hidden,
        header: head.header,
        columns: head.columns.clone(),
    };
    Table { about, columns: xlsx.columns.clone(), notes: xlsx.notes(spec), rows: Rows::Xlsx(Box::new(xlsx)) }
}

impl Table {
    /// What was found when it was opened.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Where a column is, from 0.
    ///
    /// # Errors
    /// `no_column`, with the nearest name as its fix; `column_twice`.
    pub fn column(&self, wanted: &Wanted) -> Result<usize, Problem> {
        let found = self.columns.find(wanted);
        found.map_err(|problem| at(&self.about.file, problem.in_row(self.about.header)))
    }

    /// The next row below the header that is not blank.
    ///
    /// # Errors
    /// What keeps the rest of the file from being read; nothing comes after that.
    #[expect(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Row>, Problem> {
        let row = match &mut self.rows {
            Rows::Csv(csv) => csv.next(),
            Rows::Xlsx(xlsx) => xlsx.row(),
        };
        row.map_err(|problem| at(&self.about.file, problem))
    }

    /// What is to be noted about the table as a whole: a guessed encoding, merged cells, hidden rows, names that two columns carry. The
    /// last of these are no problem unless such a column is used.
    pub fn notes(&self) -> Vec<Problem> {
        let twice = self.columns.twice().into_iter().map(|(name, first, second)| {
            let (name, first, second) = (columns::short(name), letters(first), letters(second));
            let what = say!("column_is_twice", name = name, first = first, second = second);
            at(&self.about.file, Problem::new("column_twice", what).in_row(self.about.header))
        });
        let noted = self.notes.iter().cloned().map(|note| at(&self.about.file, note));
        noted.chain(twice.take(100)).collect()
    }

    /// The refusal of a table that has not a single row below its header.
    pub fn without_rows(&self) -> Problem {
        at(&self.about.file, Problem::new("no_rows", say!("table_has_no_rows", row = self.about.header)))
    }
}

#[cfg(test)]
mod tests;
