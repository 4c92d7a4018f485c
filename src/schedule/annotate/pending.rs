//! Formulas without a result.
//!
//! The library that writes workbooks gives every formula a result. Where a table has one without, [`RESULT`] stands in its place, and is
//! taken out of the finished workbook, so that who reads it finds what the table had.

use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

/// The formula. Its result is an error value as soon as a spreadsheet program counts it, so it is not forgotten.
pub const FORMULA: &str = "NA()";
/// The result that is taken out. No result of a table is like it, because this one is a text and copies have results of errors alone.
pub const RESULT: &str = "tixing:pending";

/// Copies a workbook without those results.
///
/// # Errors
/// When it cannot be read or written.
pub fn take_out(from: impl Read + Seek, to: impl Write + Seek) -> io::Result<()> {
    let mut from = ZipArchive::new(from).map_err(io::Error::other)?;
    let mut to = ZipWriter::new(to);
    for i in 0..from.len() {
        let part = from.by_index(i).map_err(io::Error::other)?;
        let name = part.name().map_err(io::Error::other)?.into_owned();
        if name.starts_with("xl/worksheets/sheet") {
            to.start_file(name, SimpleFileOptions::default()).map_err(io::Error::other)?;
            without(BufReader::new(part), &mut to)?;
        } else {
            to.raw_copy_file(part).map_err(io::Error::other)?;
        }
    }
    to.finish().map(drop).map_err(io::Error::other)
}

/// Copies a sheet, cell by cell.
fn without(mut from: impl BufRead, to: &mut impl Write) -> io::Result<()> {
    let typed = format!(" t=\"str\"><f>{FORMULA}</f><v>{RESULT}</v></c>");
    let bare = format!("><f>{FORMULA}</f></c>");
    let mut piece = Vec::new();
    loop {
        // Up to the end of an element; a cell is kept together.
        let read = from.read_until(b'>', &mut piece)?;
        if read > 0 && !piece.ends_with(b"</c>") && piece.starts_with(b"<c ") && !piece.ends_with(b"/>") {
            continue;
        }
        match piece.strip_suffix(typed.as_bytes()) {
            Some(start) => {
                to.write_all(start)?;
                to.write_all(bare.as_bytes())?;
            }
            None => to.write_all(&piece)?,
        }
        if read == 0 {
            return Ok(());
        }
        piece.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_results_that_wait_are_taken_out() {
        let pending = format!("<c r=\"B2\" s=\"1\" t=\"str\"><f>{FORMULA}</f><v>{RESULT}</v></c>");
        let others = "<row r=\"2\"><c r=\"A2\" s=\"1\"/><c r=\"C2\" t=\"inlineStr\"><is><t>tixing:pending</t></is></c>";
        let mut to = Vec::new();
        without(format!("<x>{others}{pending}</row>").as_bytes(), &mut to).expect("it is written");
        let left = format!("<x>{others}<c r=\"B2\" s=\"1\"><f>{FORMULA}</f></c></row>");
        assert_eq!(String::from_utf8_lossy(&to), left);
    }
}
