//! A table as it stands, for a copy of it: every row from the first on, every cell, and how it looks.

use super::{
    Kind, Reader, Source, at,
    copied::{CopiedRow, Look},
    csv,
    file::{self, Found},
    spec::TableSpec,
    xlsx,
};
use crate::schedule::problem::Problem;

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
