//! A record of CSV becomes a row of cells. CSV knows text alone, and the text of a spreadsheet's error values.

use super::{
    super::{
        cell::{Cell, ERRORS, Row},
        text::clean,
    },
    records::Record,
};

/// The row of a record, as wide as the header's columns; `whole` is how many cells the header's row has.
pub fn row(record: &Record, columns: usize, whole: usize) -> Row {
    let mut cells = Vec::with_capacity(columns.min(record.len()));
    let mut ragged = false;
    for (i, raw) in record.cells().enumerate() {
        if i < columns {
            cells.push(cell(raw));
        } else {
            ragged |= i >= whole && !clean(raw).is_empty();
        }
    }
    if columns != usize::MAX {
        cells.resize(columns, Cell::Blank);
    }
    Row { number: record.number, hidden: false, cells, ragged }
}

fn cell(raw: &str) -> Cell {
    let text = clean(raw);
    // How programs keep a spreadsheet from reading a number: ="0123".
    if let Some(inner) = text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"')) {
        let inner = inner.replace("\"\"", "\"");
        let inner = clean(&inner);
        return if inner.is_empty() { Cell::Blank } else { Cell::Text(inner.into_owned()) };
    }
    match &*text {
        "" => Cell::Blank,
        error if error.starts_with('#') && ERRORS.contains(&error) => Cell::Error(text.into_owned()),
        _ => Cell::Text(text.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_csv_is_text_or_an_error_value() {
        let text = |text: &str| Cell::Text(text.to_owned());
        let table = [
            ("", Cell::Blank),
            (" \u{3000}", Cell::Blank),
            (" 12 ", text("12")),
            ("=\"0123\"", text("0123")),
            ("=\"a\"\"b\"", text("a\"b")),
            ("=\"\"", Cell::Blank),
            ("=\"", text("=\"")),
            ("#N/A", Cell::Error("#N/A".into())),
            ("#REF!", Cell::Error("#REF!".into())),
            ("#1", text("#1")),
            ("TRUE", text("TRUE")),
        ];
        for (raw, expected) in table {
            assert_eq!(cell(raw), expected, "{raw:?}");
        }
    }
}
