//! What goes over the pipe from the child that reads a workbook: frames of a length, a kind and a body. Who reads them trusts nothing.

use super::super::{
    cell::{Cell, Row, Shows},
    copied::{CopiedRow, Look},
    text::MAX_CELL_CHARS,
};
use crate::words::Message;
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};

/// A frame may have so many bytes.
pub const MAX_FRAME: usize = 32 << 20;

/// A frame.
#[derive(Debug, PartialEq)]
pub enum Frame {
    /// First of all: what was found.
    Head(Head),
    /// Rows in their order.
    Rows(Vec<Row>),
    /// First of all where a copy is asked for: how the sheet looks.
    Look(Look),
    /// Rows of a copy in their order.
    Copied(Vec<CopiedRow>),
    /// The rows are complete.
    End,
    /// The workbook is refused.
    Refused(Refusal),
}

/// What was found when the workbook was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The names of its sheets in their order, and whether each is hidden.
    pub sheets: Vec<(String, bool)>,
    /// The sheet that is read.
    pub sheet: String,
    /// The header's row.
    pub header: u32,
    /// Its names, from column A on.
    pub columns: Vec<String>,
    /// How many rows with content are hidden below the header, and the first of them.
    pub hidden: Option<(u32, u32)>,
    /// How many areas below the header are merged, and the row of the first.
    pub merged: Option<(usize, u32)>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its code.
    pub code: String,
    /// The row at fault.
    pub row: Option<u32>,
    /// The sentence.
    pub detail: Message,
    /// The bare replacement.
    pub fix: Option<String>,
}

const HEAD: u8 = b'H';
const ROWS: u8 = b'R';
const LOOK: u8 = b'L';
const COPIED: u8 = b'C';
const END: u8 = b'E';
const REFUSED: u8 = b'X';

/// Writes a frame.
///
/// # Errors
/// When the pipe takes no more, or the frame is too large.
pub fn write(to: &mut impl Write, frame: &Frame) -> io::Result<()> {
    match frame {
        Frame::Head(head) => send(to, HEAD, &serde_json::to_vec(head)?),
        Frame::Refused(refusal) => send(to, REFUSED, &serde_json::to_vec(refusal)?),
        Frame::End => send(to, END, &[]),
        Frame::Look(look) => send(to, LOOK, &serde_json::to_vec(look)?),
        Frame::Copied(rows) => {
            let mut body = Vec::new();
            rows.iter().for_each(|row| append_copied(&mut body, row));
            send(to, COPIED, &body)
        }
        Frame::Rows(rows) => {
            let mut body = Vec::new();
            rows.iter().for_each(|row| append(&mut body, row));
            send(to, ROWS, &body)
        }
    }
}

/// Writes a frame of rows that were appended to `body`.
///
/// # Errors
/// As [`write`].
pub fn write_rows(to: &mut impl Write, body: &[u8]) -> io::Result<()> {
    send(to, ROWS, body)
}

/// The same of rows of a copy.
///
/// # Errors
/// As [`write`].
pub fn write_copied(to: &mut impl Write, body: &[u8]) -> io::Result<()> {
    send(to, COPIED, body)
}

fn send(to: &mut impl Write, kind: u8, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_FRAME);
    let length = length.ok_or_else(|| io::Error::other("the frame is too large"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&[kind])?;
    to.write_all(body)?;
    to.flush()
}

/// Appends a row to the body of a frame.
pub fn append(body: &mut Vec<u8>, row: &Row) {
    begin(body, row.number, u8::from(row.hidden) | (u8::from(row.ragged) << 1), row.cells.len());
    row.cells.iter().for_each(|cell| append_cell(body, cell));
}

/// The same of a row of a copy: each cell has its format behind it.
pub fn append_copied(body: &mut Vec<u8>, row: &CopiedRow) {
    begin(body, row.number, u8::from(row.hidden), row.cells.len());
    for (cell, format) in &row.cells {
        append_cell(body, cell);
        body.extend_from_slice(&format.to_le_bytes());
    }
}

fn begin(body: &mut Vec<u8>, number: u32, flags: u8, cells: usize) {
    body.extend_from_slice(&number.to_le_bytes());
    body.push(flags);
    body.extend_from_slice(&u16::try_from(cells).expect("a sheet has so few columns").to_le_bytes());
}

fn append_cell(body: &mut Vec<u8>, cell: &Cell) {
    let put = |body: &mut Vec<u8>, tag: u8, text: &str| {
        body.push(tag);
        body.extend_from_slice(&u32::try_from(text.len()).expect("a cell is short").to_le_bytes());
        body.extend_from_slice(text.as_bytes());
    };
    match cell {
        Cell::Blank => body.push(0),
        Cell::Text(text) => put(body, 1, text),
        Cell::Number { text, value } => {
            put(body, 2, text);
            body.extend_from_slice(&value.to_le_bytes());
        }
        Cell::Time { at, shows } => {
            body.push(match shows {
                Shows::Date => 3,
                Shows::Time => 4,
                Shows::DateTime => 5,
            });
            body.extend_from_slice(&at.and_utc().timestamp().to_le_bytes());
        }
        Cell::Bool(no) => body.push(6 + u8::from(*no)),
        Cell::Damaged(text) => put(body, 8, text),
        Cell::Formula => body.push(9),
        Cell::Error(text) => put(body, 10, text),
    }
}

/// Reads the next frame; `None` where the pipe ends between two.
///
/// # Errors
/// When the pipe breaks, or what it brings is no frame.
pub fn read(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut start = [0; 5];
    match from.read(&mut start[..1])? {
        0 => return Ok(None),
        _ => from.read_exact(&mut start[1..])?,
    }
    let [a, b, c, d, kind] = start;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > MAX_FRAME {
        return Err(hostile());
    }
    // Grown as it comes: a length alone takes no memory.
    let mut body = Vec::new();
    from.take(length as u64).read_to_end(&mut body)?;
    if body.len() != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(match kind {
        HEAD => Frame::Head(serde_json::from_slice(&body)?),
        REFUSED => Frame::Refused(serde_json::from_slice(&body)?),
        LOOK => Frame::Look(serde_json::from_slice(&body)?),
        COPIED => Frame::Copied(copied(&body).ok_or_else(hostile)?),
        END if body.is_empty() => Frame::End,
        ROWS => Frame::Rows(rows(&body).ok_or_else(hostile)?),
        _ => return Err(hostile()),
    }))
}

fn hostile() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no frame of a workbook")
}

fn rows(mut body: &[u8]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    while !body.is_empty() {
        let (number, flags, n) = beginning(&mut body)?;
        let mut cells = Vec::with_capacity(n);
        for _ in 0..n {
            cells.push(cell(&mut body)?);
        }
        rows.push(Row { number, hidden: flags & 1 != 0, cells, ragged: flags & 2 != 0 });
    }
    Some(rows)
}

fn copied(mut body: &[u8]) -> Option<Vec<CopiedRow>> {
    let mut rows = Vec::new();
    while !body.is_empty() {
        let (number, flags, n) = beginning(&mut body)?;
        let mut cells = Vec::with_capacity(n);
        for _ in 0..n {
            cells.push((cell(&mut body)?, u16::from_le_bytes(*take(&mut body)?)));
        }
        rows.push(CopiedRow { number, hidden: flags & 1 != 0, cells });
    }
    Some(rows)
}

/// A row's number, its flags, and how many cells follow.
fn beginning(body: &mut &[u8]) -> Option<(u32, u8, usize)> {
    let number = u32::from_le_bytes(*take(body)?);
    let [flags] = *take::<1>(body)?;
    let n = usize::from(u16::from_le_bytes(*take(body)?));
    // Each cell takes a byte at least.
    (n <= body.len()).then_some((number, flags, n))
}

fn cell(body: &mut &[u8]) -> Option<Cell> {
    let [tag] = *take::<1>(body)?;
    Some(match tag {
        0 => Cell::Blank,
        1 => Cell::Text(text(body)?),
        2 => Cell::Number { text: text(body)?, value: f64::from_le_bytes(*take(body)?) },
        3..=5 => {
            let shows = [Shows::Date, Shows::Time, Shows::DateTime][usize::from(tag - 3)];
            let at = DateTime::from_timestamp(i64::from_le_bytes(*take(body)?), 0)?.naive_utc();
            // What no spreadsheet has would be no date to whoever reads it.
            let is_date = (1899..=9999).contains(&chrono::Datelike::year(&at));
            is_date.then_some(Cell::Time { at, shows })?
        }
        6 | 7 => Cell::Bool(tag == 7),
        8 => Cell::Damaged(text(body)?),
        9 => Cell::Formula,
        10 => Cell::Error(text(body)?),
        _ => return None,
    })
}

fn text(body: &mut &[u8]) -> Option<String> {
    let length = u32::from_le_bytes(*take(body)?) as usize;
    let (text, rest) = body.split_at_checked(length)?;
    *body = rest;
    let text = std::str::from_utf8(text).ok()?;
    (text.len() <= MAX_CELL_CHARS * 4).then(|| text.to_owned())
}

fn take<'a, const N: usize>(body: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (bytes, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::say;
    use chrono::NaiveDate;

    fn frames() -> Vec<Frame> {
        let at = NaiveDate::from_ymd_opt(2031, 3, 1).and_then(|day| day.and_hms_opt(10, 0, 30)).expect("a time");
        let cells = vec![
            Cell::Blank,
            Cell::Text("茶会\n二".into()),
            Cell::Number { text: "28.50".into(), value: 28.5 },
            Cell::Time { at, shows: Shows::Date },
            Cell::Time { at, shows: Shows::Time },
            Cell::Time { at, shows: Shows::DateTime },
            Cell::Bool(true),
            Cell::Bool(false),
            Cell::Damaged("123456789012345680".into()),
            Cell::Formula,
            Cell::Error("#N/A".into()),
        ];
        let head = Head {
            sheets: vec![("名单".into(), false), ("旧".into(), true)],
            sheet: "名单".into(),
            header: 2,
            columns: vec!["openid".into()],
            hidden: Some((2, 7)),
            merged: None,
        };
        let refusal = Refusal { code: "damaged".into(), row: None, detail: say!("sheet_is_empty"), fix: None };
        let row = |number, hidden, cells| Row { number, hidden, cells, ragged: false };
        let rows = vec![row(3, false, cells), row(1_048_576, true, vec![])];
        vec![Frame::Head(head), Frame::Rows(rows), Frame::End, Frame::Refused(refusal)]
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut pipe = Vec::new();
        frames().iter().for_each(|frame| write(&mut pipe, frame).expect("a Vec takes all"));
        let mut from = &pipe[..];
        let read: Vec<Frame> = std::iter::from_fn(|| read(&mut from).expect("frames")).collect();
        assert_eq!(read, frames());
    }

    #[test]
    fn a_pipe_that_breaks_anywhere_never_ends_well() {
        for frame in frames() {
            let mut pipe = Vec::new();
            write(&mut pipe, &frame).expect("a Vec takes all");
            for end in 1..pipe.len() {
                assert!(read(&mut &pipe[..end]).is_err(), "{end} bytes of {frame:?}");
            }
            pipe[4] = b'?';
            assert!(read(&mut &pipe[..]).is_err(), "a frame of another kind");
        }
        assert!(read(&mut &[0xff, 0xff, 0xff, 0xff, b'R', 0][..]).is_err(), "a length alone takes no memory");
    }
}
