//! A workbook is read: the first visible sheet with content, its header, its rows. This runs in the child.

use super::{
    super::{
        cell::{Cell, Row},
        header::{Header, LOOKED_AT},
        spec::Hidden,
    },
    choose::{FRAME, MAX_ROW, Request, Stop, choose},
    copy,
    frames::{self, Frame, Head, Refusal},
    merge::Merged,
    package::Package,
    rows::{Book, Rows},
    strings::Strings,
    styles::Styles,
    workbook::Workbook,
};
use crate::{schedule::problem::Problem, words::say};
use std::io::{self, Read, Seek, Write};

/// Reads a workbook and writes it as frames; `unpacked` bounds the bytes of all its parts.
///
/// # Errors
/// When the pipe takes no more.
pub fn read(from: impl Read + Seek, request: &Request, unpacked: u64, to: &mut impl Write) -> io::Result<()> {
    match rows(from, request, unpacked, to) {
        Ok(()) => frames::write(to, &Frame::End),
        Err(Stop::Refused(problem)) => {
            let Problem { code, place, detail, fix, .. } = *problem;
            frames::write(to, &Frame::Refused(Refusal { code: code.to_owned(), row: place.row, detail, fix }))
        }
        Err(Stop::Pipe(e)) => Err(e),
    }
}

fn rows(from: impl Read + Seek, request: &Request, unpacked: u64, to: &mut impl Write) -> Result<(), Stop> {
    let mut package = Package::open(from, unpacked)?;
    let workbook = Workbook::read(&mut package)?;
    let book = Book {
        strings: match &workbook.strings {
            Some(part) if package.has(part) => Strings::read(&mut package, part)?,
            _ => Strings::default(),
        },
        styles: match &workbook.styles {
            Some(part) if package.has(part) => Styles::read(&mut package, part)?,
            _ => Styles::default(),
        },
        from_1904: workbook.from_1904,
    };
    if request.copy {
        return copy::send(&mut package, &workbook, &book, request, to);
    }
    let (place, seen) = choose(&mut package, &workbook, &book, request)?;
    let Some(header) = Header::choose(&seen.first, &request.wanted, request.header) else {
        return Err(no_header(request.header).into());
    };
    let hidden = seen.hidden_below(header.row);
    if let (Some((n, first)), None) = (hidden, request.hidden) {
        let what = say!("rows_are_hidden", n = n, first = first);
        // It is about the file, not about one row.
        return Err(Problem::new("hidden_rows", what).into());
    }
    let width = header.columns.names().len();
    let merged = Merged::new(&seen.areas, header.row, width);
    let head = Head {
        sheets: workbook.sheets.iter().map(|sheet| (sheet.name.clone(), sheet.hidden)).collect(),
        sheet: place.name.clone(),
        header: header.row,
        columns: header.columns.names().to_vec(),
        hidden,
        merged: merged.seen(),
    };
    frames::write(to, &Frame::Head(head))?;
    let rows = Rows::new(package.part(&place.part)?, &book, width);
    let skip = request.hidden == Some(Hidden::Skip);
    Sending { body: Vec::new(), merged, width, header: header.row, skip, ragged: place.ragged, to }.all(rows)
}

fn no_header(fixed: Option<u32>) -> Problem {
    match fixed {
        Some(row) => Problem::new("no_header", say!("header_row_blank", row = row)).in_row(row),
        None => Problem::new("no_header", say!("header_missing", rows = LOOKED_AT)),
    }
}

/// Rows on their way into the pipe.
struct Sending<'t, W> {
    body: Vec<u8>,
    merged: Merged,
    width: usize,
    header: u32,
    skip: bool,
    ragged: bool,
    to: &'t mut W,
}

impl<W: Write> Sending<'_, W> {
    fn all<R: io::BufRead>(mut self, mut rows: Rows<'_, R>) -> Result<(), Stop> {
        let mut row = Row { number: 0, hidden: false, cells: Vec::new(), ragged: false };
        let mut last = self.header;
        while rows.next(&mut row)?.is_some() {
            if row.number <= self.header {
                continue;
            }
            self.between(last, row.number)?;
            last = row.number;
            row.ragged = self.ragged && rows.beyond;
            self.merged.fill(row.number, &mut row.cells, self.width);
            self.one(&row)?;
        }
        self.between(last, u32::MAX)?;
        if !self.body.is_empty() {
            frames::write_rows(self.to, &self.body)?;
        }
        Ok(())
    }

    /// Rows that the sheet does not have, but merged areas do.
    fn between(&mut self, last: u32, next: u32) -> Result<(), Stop> {
        for number in last + 1..=self.merged.until().min(next.saturating_sub(1)) {
            let mut row = Row { number, hidden: false, cells: Vec::new(), ragged: false };
            self.merged.fill(number, &mut row.cells, self.width);
            self.one(&row)?;
        }
        Ok(())
    }

    fn one(&mut self, row: &Row) -> Result<(), Stop> {
        if (row.hidden && self.skip) || (!row.ragged && row.cells.iter().all(Cell::is_blank)) {
            return Ok(());
        }
        let before = self.body.len();
        frames::append(&mut self.body, row);
        if self.body.len() - before > MAX_ROW {
            let what = say!("sheet_row_too_long", row = row.number, most = MAX_ROW >> 20);
            return Err(Problem::new("too_large", what).in_row(row.number).into());
        }
        if self.body.len() >= FRAME {
            frames::write_rows(self.to, &self.body)?;
            self.body.clear();
        }
        Ok(())
    }
}
