//! A sheet as it stands, for a copy of it: sent from the child, and received outside.

use super::{
    super::{
        cell::{Cell, Row},
        copied::{CopiedRow, Look},
        header::Header,
        spec::MAX_COLUMNS,
        spec::TableSpec,
    },
    choose::{FRAME, MAX_ROW, Request, Stop, choose},
    frames::{self, Frame},
    merge::{Fill, Merged},
    package::{Package, damaged},
    place::MAX_ROWS,
    process::Process,
    rows::{Book, Rows},
    workbook::Workbook,
};
use crate::{schedule::problem::Problem, words::say};
use std::{
    collections::VecDeque,
    fs::File,
    io::{Read, Seek, Write},
    path::Path,
};

impl Fill for (Cell, u16) {
    const NOTHING: Self = (Cell::Blank, u16::MAX);

    fn is_nothing(&self) -> bool {
        self.0.is_blank()
    }
}

/// Sends the sheet that is asked for. Merged cells below the header have the value and the format of their area, as readers see them.
pub fn send<R: Read + Seek>(
    package: &mut Package<R>,
    workbook: &Workbook,
    book: &Book,
    request: &Request,
    to: &mut impl Write,
) -> Result<(), Stop> {
    let (place, seen) = choose(package, workbook, book, request)?;
    let header = Header::choose(&seen.first, &request.wanted, request.header);
    let (header, width) = header.map_or((0, 0), |header| (header.row, header.columns.names().len()));
    let look = Look { formats: book.styles.looks().to_vec(), widths: seen.widths, ragged: place.ragged };
    frames::write(to, &Frame::Look(look))?;
    let merged = Merged::new(&seen.areas, header, width);
    let rows = Rows::new(package.part(&place.part)?, book, MAX_COLUMNS);
    Sending { body: Vec::new(), merged, width, to }.all(rows)
}

/// Rows on their way into the pipe.
struct Sending<'t, W> {
    body: Vec<u8>,
    merged: Merged<(Cell, u16)>,
    width: usize,
    to: &'t mut W,
}

impl<W: Write> Sending<'_, W> {
    fn all<R: std::io::BufRead>(mut self, mut rows: Rows<'_, R>) -> Result<(), Stop> {
        let mut row = Row { number: 0, hidden: false, cells: Vec::new(), ragged: false };
        let mut last = 0;
        while rows.next(&mut row)?.is_some() {
            self.between(last, row.number)?;
            last = row.number;
            let cells = row.cells.drain(..).zip(rows.looks.iter().copied()).collect();
            self.one(CopiedRow { number: row.number, hidden: row.hidden, cells })?;
        }
        self.between(last, u32::MAX)?;
        if !self.body.is_empty() {
            frames::write_copied(self.to, &self.body)?;
        }
        Ok(())
    }

    /// Rows that the sheet does not have, but merged areas do.
    fn between(&mut self, last: u32, next: u32) -> Result<(), Stop> {
        for number in last + 1..=self.merged.until().min(next.saturating_sub(1)) {
            self.one(CopiedRow { number, ..CopiedRow::default() })?;
        }
        Ok(())
    }

    fn one(&mut self, mut row: CopiedRow) -> Result<(), Stop> {
        self.merged.fill(row.number, &mut row.cells, self.width);
        if row.cells.iter().all(Fill::is_nothing) {
            return Ok(());
        }
        let before = self.body.len();
        frames::append_copied(&mut self.body, &row);
        if self.body.len() - before > MAX_ROW {
            let what = say!("sheet_row_too_long", row = row.number, most = MAX_ROW >> 20);
            return Err(Problem::new("too_large", what).in_row(row.number).into());
        }
        if self.body.len() >= FRAME {
            frames::write_copied(self.to, &self.body)?;
            self.body.clear();
        }
        Ok(())
    }
}

/// A sheet as a child reads it.
pub struct Whole {
    /// How it looks.
    pub look: Look,
    process: Process,
    rows: VecDeque<CopiedRow>,
    last: u32,
    ended: bool,
}

impl Whole {
    /// Has a workbook opened by a child of this program.
    ///
    /// # Errors
    /// As [`super::Xlsx::open`].
    pub fn open(program: &Path, file: File, spec: &TableSpec) -> Result<Self, Problem> {
        let TableSpec { sheet, header, .. } = spec.clone();
        let request = Request { sheet, header, copy: true, ..Request::default() };
        let mut process = Process::start(program, file, &request)?;
        match process.frame()? {
            Frame::Look(look) if look.is_sound() => {
                Ok(Self { look, process, rows: VecDeque::new(), last: 0, ended: false })
            }
            _ => Err(damaged("its reader lost its way")),
        }
    }

    /// The next row in which something stands.
    ///
    /// # Errors
    /// `damaged`, `too_large`.
    pub fn row(&mut self) -> Result<Option<CopiedRow>, Problem> {
        while self.rows.is_empty() && !self.ended {
            match self.process.frame()? {
                Frame::Copied(rows) => self.rows.extend(rows),
                Frame::End => self.ended = true,
                _ => return Err(damaged("its reader lost its way")),
            }
        }
        let Some(row) = self.rows.pop_front() else { return Ok(None) };
        if row.number <= self.last || row.number > MAX_ROWS || row.cells.len() > MAX_COLUMNS {
            return Err(damaged("its reader lost its way"));
        }
        self.last = row.number;
        Ok(Some(row))
    }
}
