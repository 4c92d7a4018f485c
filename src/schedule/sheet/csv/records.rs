//! The records of CSV, numbered as a spreadsheet numbers its rows: a blank line is a row, a quoted line break is none.

use super::{
    super::{spec::MAX_COLUMNS, text::MAX_CELL_CHARS},
    source::Pieces,
};
use crate::{schedule::problem::Problem, words::say};

/// A file may have so many rows.
pub const MAX_ROWS: u32 = 5_000_000;
/// A row may have so many bytes of text, after cells are cut.
const MAX_ROW_BYTES: usize = 8 << 20;
/// What a cell can have, in UTF-8.
const MAX_CELL_BYTES: usize = MAX_CELL_CHARS * 4 + 4;

/// One row's cells as they stand between the delimiters, without their quotes.
#[derive(Debug, Default)]
pub struct Record {
    /// As a spreadsheet numbers it, from 1.
    pub number: u32,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Record {
    /// How many cells it has.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The cells.
    pub fn cells(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|i| {
            let start = if i == 0 { 0 } else { self.ends[i - 1] };
            let raw = &self.text[start..self.ends[i]];
            // Only what was cut can end within a character.
            std::str::from_utf8(raw).unwrap_or_else(|e| std::str::from_utf8(&raw[..e.valid_up_to()]).unwrap_or(""))
        })
    }
}

/// Where in a cell the reader is.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// Before its first character.
    Start,
    /// In a cell without quotes, or behind its closing quote.
    Bare,
    /// Between its quotes.
    Quoted,
    /// Behind a quote that closes it, or is the first of two that stand for one.
    Quote,
}

/// Reads records.
pub struct Records<P> {
    pieces: P,
    delimiter: u8,
    piece: Vec<u8>,
    at: usize,
    rows: u32,
    ended: bool,
}

impl<P: Pieces> Records<P> {
    /// From the text's beginning.
    pub fn new(pieces: P, delimiter: u8) -> Self {
        Self { pieces, delimiter, piece: Vec::new(), at: 0, rows: 0, ended: false }
    }

    /// The next byte, if there is one.
    fn peek(&mut self) -> Result<Option<u8>, Problem> {
        if self.at == self.piece.len() && !self.ended {
            self.pieces.next(&mut self.piece)?;
            self.at = 0;
            self.ended = self.piece.is_empty();
        }
        Ok(self.piece.get(self.at).copied())
    }

    /// Reads the next record in the place of what `record` holds; `false` at the end.
    ///
    /// # Errors
    /// `unclosed_quote`, `too_large`, or when the text cannot be read.
    pub fn next(&mut self, record: &mut Record) -> Result<bool, Problem> {
        record.text.clear();
        record.ends.clear();
        if self.peek()?.is_none() {
            return Ok(false);
        }
        self.rows += 1;
        record.number = self.rows;
        if self.rows > MAX_ROWS {
            return Err(Problem::new("too_large", say!("sheet_too_many_rows", most = MAX_ROWS)));
        }
        let (mut state, mut start) = (At::Start, 0);
        while let Some(byte) = self.peek()? {
            self.at += 1;
            match (state, byte) {
                (At::Quoted, b'"') => state = At::Quote,
                (At::Quoted, _) => {
                    keep(record, start, byte);
                    self.plain(record, start, true);
                }
                (At::Start, b'"') => state = At::Quoted,
                (At::Quote, b'"') => {
                    keep(record, start, b'"');
                    state = At::Quoted;
                }
                (_, byte) if byte == self.delimiter => {
                    end(record)?;
                    (state, start) = (At::Start, record.text.len());
                }
                (_, b'\n' | b'\r') => {
                    if byte == b'\r' && self.peek()? == Some(b'\n') {
                        self.at += 1;
                    }
                    end(record)?;
                    return Ok(true);
                }
                _ => {
                    keep(record, start, byte);
                    self.plain(record, start, false);
                    state = At::Bare;
                }
            }
        }
        if state == At::Quoted {
            let row = record.number;
            return Err(Problem::new("unclosed_quote", say!("quote_unclosed", row = row)).in_row(row));
        }
        end(record)?;
        Ok(true)
    }

    /// Takes at once what cannot change the state.
    fn plain(&mut self, record: &mut Record, start: usize, quoted: bool) {
        let rest = &self.piece[self.at..];
        let is_plain = |byte: &u8| match quoted {
            true => *byte != b'"',
            false => !matches!(*byte, b'\n' | b'\r') && *byte != self.delimiter,
        };
        let n = rest.iter().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
        let room = (start + MAX_CELL_BYTES).saturating_sub(record.text.len());
        record.text.extend_from_slice(&rest[..n.min(room)]);
        self.at += n;
    }
}

/// What is beyond the most that a cell can have is passed over.
fn keep(record: &mut Record, start: usize, byte: u8) {
    if record.text.len() < start + MAX_CELL_BYTES {
        record.text.push(byte);
    }
}

fn end(record: &mut Record) -> Result<(), Problem> {
    let row = record.number;
    record.ends.push(record.text.len());
    if record.ends.len() > MAX_COLUMNS {
        let what = say!("sheet_too_many_columns", row = row, most = MAX_COLUMNS);
        return Err(Problem::new("too_large", what).in_row(row));
    }
    if record.text.len() > MAX_ROW_BYTES {
        let what = say!("sheet_row_too_long", row = row, most = MAX_ROW_BYTES >> 20);
        return Err(Problem::new("too_large", what).in_row(row));
    }
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A text in pieces of so many bytes.
    pub struct Cut<'a>(pub &'a [u8], pub usize);

    impl Pieces for Cut<'_> {
        fn next(&mut self, piece: &mut Vec<u8>) -> Result<(), Problem> {
            let (now, later) = self.0.split_at(self.1.min(self.0.len()));
            self.0 = later;
            piece.clear();
            piece.extend_from_slice(now);
            Ok(())
        }
    }

    type Numbered = Vec<(u32, Vec<String>)>;

    fn read(text: &str, delimiter: u8, piece: usize) -> Result<Numbered, (&'static str, Option<u32>)> {
        let mut records = Records::new(Cut(text.as_bytes(), piece), delimiter);
        let (mut record, mut all) = (Record::default(), Vec::new());
        while records.next(&mut record).map_err(|p| (p.code, p.place.row))? {
            all.push((record.number, record.cells().map(str::to_owned).collect()));
        }
        Ok(all)
    }

    #[test]
    fn rows_are_numbered_as_a_spreadsheet_numbers_them() {
        type Rows = &'static [(u32, &'static [&'static str])];
        let table: &[(&str, Rows)] = &[
            ("", &[]),
            ("a,b", &[(1, &["a", "b"])]),
            ("a,b\n", &[(1, &["a", "b"])]),
            ("a,b\r\n\r\nc,d\r\n", &[(1, &["a", "b"]), (2, &[""]), (3, &["c", "d"])]),
            ("a\rb\r\rc", &[(1, &["a"]), (2, &["b"]), (3, &[""]), (4, &["c"])]),
            ("\n\na\n", &[(1, &[""]), (2, &[""]), (3, &["a"])]),
            ("a,\"1\n2\r\n3\"\nb,c\n", &[(1, &["a", "1\n2\r\n3"]), (2, &["b", "c"])]),
            ("\"a\"\"b\",\"\"\n", &[(1, &["a\"b", ""])]),
            ("\"a\"b,5\" disk,=\"01\"\n", &[(1, &["ab", "5\" disk", "=\"01\""])]),
            ("a,,\n,\n", &[(1, &["a", "", ""]), (2, &["", ""])]),
            ("\"a,b\",茶\n", &[(1, &["a,b", "茶"])]),
        ];
        for (text, rows) in table {
            let expected: Numbered =
                rows.iter().map(|(n, cells)| (*n, cells.iter().map(|c| (*c).to_owned()).collect())).collect();
            // Wherever the pieces end.
            for piece in [1, 2, 3, 1000] {
                assert_eq!(read(text, b',', piece), Ok(expected.clone()), "{text:?} in pieces of {piece}");
            }
        }
        assert_eq!(read("a;b,c\td", b';', 9), Ok(vec![(1, vec!["a".into(), "b,c\td".into()])]));
    }

    #[test]
    fn a_quote_that_never_closes_is_told_where_it_opened() {
        assert_eq!(read("a,b\n\nc,\"d\ne\nf\n", b',', 4), Err(("unclosed_quote", Some(3))));
    }

    #[test]
    fn a_cell_a_row_and_a_file_have_bounds() {
        let long = format!("a,{}\nb,c", "茶".repeat(4_000_000));
        let rows = read(&long, b',', 9_999).expect("the cell is cut");
        assert!(rows[0].1[1].chars().count() > MAX_CELL_CHARS && rows[0].1[1].len() <= MAX_CELL_BYTES);
        assert_eq!(rows[1], (2, vec!["b".into(), "c".into()]));
        assert_eq!(read(&",".repeat(MAX_COLUMNS - 1), b',', 999).map(|rows| rows[0].1.len()), Ok(MAX_COLUMNS));
        assert_eq!(read(&format!("a\n{}", ",".repeat(MAX_COLUMNS)), b',', 999), Err(("too_large", Some(2))));
        let wide = format!("{},", "x".repeat(MAX_CELL_BYTES)).repeat(MAX_ROW_BYTES / MAX_CELL_BYTES + 2);
        assert_eq!(read(&wide, b',', 99_999), Err(("too_large", Some(1))));
        let many = "\n".repeat(MAX_ROWS as usize);
        let mut records = Records::new(Cut(many.as_bytes(), 1 << 16), b',');
        let mut record = Record::default();
        while records.next(&mut record).expect("no more than there may be") {}
        assert_eq!(record.number, MAX_ROWS);
        assert_eq!(read(&(many + "a"), b',', 1 << 16).map(|rows| rows.len()), Err(("too_large", None)));
    }
}
