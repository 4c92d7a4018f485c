//! A workbook is read: the first visible sheet with content, its header, its rows. This runs in the child.

use super::{
    super::{
        cell::{Cell, Row},
        columns::{normalise, short},
        copied::Width,
        header::{Header, LOOKED_AT},
        spec::MAX_COLUMNS,
        spec::{Hidden, Wanted},
    },
    copy,
    frames::{self, Frame, Head, Refusal},
    merge::{Area, Merged},
    package::Package,
    rows::{Book, Rows},
    strings::Strings,
    styles::Styles,
    workbook::{Place, Workbook},
};
use crate::{domain::did_you_mean, schedule::problem::Problem, words::say};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Seek, Write};

/// Rows are sent in frames of about so many bytes.
pub const FRAME: usize = 64 << 10;
/// A row may have so many bytes.
pub const MAX_ROW: usize = 16 << 20;

/// What is asked of the child.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Request {
    /// The sheet's name, if one is said.
    pub sheet: Option<String>,
    /// The header's row, if one is said.
    pub header: Option<u32>,
    /// What becomes of hidden rows.
    pub hidden: Option<Hidden>,
    /// The columns that are needed.
    pub wanted: Vec<Wanted>,
    /// The sheet is asked for as it stands, for a copy of it.
    #[serde(default)]
    pub copy: bool,
}

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

/// Why it is not read on.
pub enum Stop {
    /// The workbook is refused.
    Refused(Box<Problem>),
    /// The pipe takes no more.
    Pipe(io::Error),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        Self::Pipe(e)
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

/// What one look at a whole sheet tells.
#[derive(Default)]
pub struct Seen {
    /// The rows among which the header is.
    pub first: Vec<Row>,
    content: bool,
    /// Hidden rows with content: those among the first, and of those below them the number and the first.
    hidden: Vec<u32>,
    hidden_below: (u32, u32),
    /// The merged areas.
    pub areas: Vec<Area>,
    /// How wide columns are.
    pub widths: Vec<Width>,
}

impl Seen {
    fn look<R: Read + Seek>(
        package: &mut Package<R>,
        place: &Place,
        book: &Book,
        fixed: Option<u32>,
    ) -> Result<Self, Problem> {
        let mut rows = Rows::new(package.part(&place.part)?, book, MAX_COLUMNS);
        let (mut seen, last) = (Self::default(), fixed.unwrap_or(LOOKED_AT));
        let mut row = Row { number: 0, hidden: false, cells: Vec::new(), ragged: false };
        while let Some(content) = rows.next(&mut row)? {
            seen.content |= content;
            if content && row.hidden {
                match row.number <= last {
                    true => seen.hidden.push(row.number),
                    false if seen.hidden_below.0 == 0 => seen.hidden_below = (1, row.number),
                    false => seen.hidden_below.0 += 1,
                }
            }
            if content && fixed.map_or(row.number <= last, |fixed| row.number == fixed) {
                seen.first.push(row.clone());
            }
        }
        (seen.areas, seen.widths) = (rows.areas, rows.widths);
        Ok(seen)
    }

    /// How many rows with content are hidden below the header, and the first of them.
    fn hidden_below(&self, header: u32) -> Option<(u32, u32)> {
        let mut near = self.hidden.iter().copied().filter(|row| *row > header);
        let first = near.next();
        let n = u32::from(first.is_some()) + u32::try_from(near.count()).unwrap_or(u32::MAX) + self.hidden_below.0;
        (n > 0).then(|| (n, first.unwrap_or(self.hidden_below.1)))
    }
}

/// The sheet that is named, else the first visible one with content. The list of problems that a copy begins with is passed over.
pub fn choose<'w, R: Read + Seek>(
    package: &mut Package<R>,
    workbook: &'w Workbook,
    book: &Book,
    request: &Request,
) -> Result<(&'w Place, Seen), Problem> {
    if let Some(name) = &request.sheet {
        let sought = normalise(name);
        let Some(place) = workbook.sheets.iter().find(|sheet| normalise(&sheet.name) == sought) else {
            let names: Vec<&str> = workbook.sheets.iter().map(|sheet| &*sheet.name).collect();
            let near = did_you_mean(name, names.iter().copied());
            let has: Vec<String> = names.iter().take(30).map(|name| short(name)).collect();
            let hint = near.map(|near| say!("did_you_mean", near = near));
            let what = say!("sheet_missing", name = short(name), has = has, near = hint);
            return Err(Problem::new("no_file", what).or(near.map(str::to_owned)));
        };
        return Ok((place, Seen::look(package, place, book, request.header)?));
    }
    for place in workbook.sheets.iter().filter(|sheet| !sheet.hidden && !sheet.problems) {
        let seen = Seen::look(package, place, book, request.header)?;
        if seen.content {
            return Ok((place, seen));
        }
    }
    Err(Problem::new("no_header", say!("sheets_are_blank")))
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
