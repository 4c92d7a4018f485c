//! CSV.
//!
//! ```text
//! survey    one pass over the bytes: what encodings they can be
//! source    the text, decoded in pieces
//! records   the text becomes records, numbered as rows
//! cells     a record becomes a row of cells
//! choose    which encoding, which delimiter, which header
//! ```

mod cells;
mod choose;
mod records;
mod source;
mod survey;

use super::{
    cell::Row,
    copied::CopiedRow,
    header::Header,
    spec::{TableSpec, Wanted},
};
use crate::schedule::problem::Problem;
use records::{Record, Records};
use source::{Coding, Text, unreadable};
use std::{
    fs::File,
    io::{Seek, SeekFrom},
};

/// An open file of CSV, behind its header.
pub struct Csv {
    /// How its characters are written.
    pub coding: Coding,
    /// The encoding could have been another.
    pub guessed: bool,
    /// What stands between its cells.
    pub delimiter: u8,
    /// Its header.
    pub header: Header,
    records: Records<Text<File>>,
    record: Record,
}

impl Csv {
    /// Opens what is text; `start` are its first bytes.
    ///
    /// # Errors
    /// `encoding_unclear`, `no_header`, `unclosed_quote`, `too_large`.
    pub fn open(mut file: File, start: &[u8], spec: &TableSpec, wanted: &[Wanted]) -> Result<Self, Problem> {
        let chosen = choose::choose(&mut file, start, spec, wanted)?;
        file.seek(SeekFrom::Start(0)).map_err(|e| unreadable(&e))?;
        let mut records = Records::new(Text::new(file, chosen.coding, Some(chosen.bytes)), chosen.delimiter);
        let mut record = Record::default();
        while record.number < chosen.header.row && records.next(&mut record)? {}
        let choose::Chosen { coding, guessed, delimiter, header, .. } = chosen;
        Ok(Self { coding, guessed, delimiter, header, records, record })
    }

    /// The next row that is not blank.
    ///
    /// # Errors
    /// `unclosed_quote`, `too_large`, `damaged` if the file changes while it is read.
    pub fn next(&mut self) -> Result<Option<Row>, Problem> {
        while self.records.next(&mut self.record)? {
            let row = cells::row(&self.record, self.header.columns.names().len(), self.header.width);
            if row.ragged || row.cells.iter().any(|cell| !cell.is_blank()) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

/// An open file of CSV, from its beginning.
pub struct Whole {
    records: Records<Text<File>>,
    record: Record,
}

impl Whole {
    /// Opens what is text; `start` are its first bytes, and `spec` says how it is read.
    ///
    /// # Errors
    /// As [`Csv::open`].
    pub fn open(mut file: File, start: &[u8], spec: &TableSpec) -> Result<Self, Problem> {
        let chosen = choose::choose(&mut file, start, spec, &[])?;
        file.seek(SeekFrom::Start(0)).map_err(|e| unreadable(&e))?;
        let records = Records::new(Text::new(file, chosen.coding, Some(chosen.bytes)), chosen.delimiter);
        Ok(Self { records, record: Record::default() })
    }

    /// The next row in which something stands.
    ///
    /// # Errors
    /// As [`Csv::next`].
    pub fn next(&mut self) -> Result<Option<CopiedRow>, Problem> {
        while self.records.next(&mut self.record)? {
            let row = cells::row(&self.record, usize::MAX, usize::MAX);
            if row.cells.iter().any(|cell| !cell.is_blank()) {
                // None of its cells has a number format.
                let cells = row.cells.into_iter().map(|cell| (cell, u16::MAX)).collect();
                return Ok(Some(CopiedRow { number: row.number, hidden: false, cells }));
            }
        }
        Ok(None)
    }
}
