//! The rows of a table, written again.

use super::{MAX_ROWS, Sheet, limited, marks::Marks, pending, unwritten};
use crate::{
    schedule::sheet::{
        Kind,
        cell::{Cell, Shows},
        copied::{CopiedRow, NumberFormat},
    },
    words::{Message, say},
};
use chrono::{NaiveDate, NaiveDateTime, Timelike};
use rust_xlsxwriter::{Color, Format, Formula, IgnoreError, Worksheet, XlsxError};
use std::collections::HashMap;

/// The fill of what is wrong.
const WRONG: Color = Color::RGB(0x00FF_C7CE);

/// Copies the rows of a table, with a fill on what is marked. Answers whether a formula among them is [`pending`].
///
/// # Errors
/// What keeps the table from being read again, or the workbook refuses.
pub fn write(page: &mut Worksheet, sheet: &mut Sheet, marks: &Marks) -> Result<bool, Message> {
    let look = sheet.copy.look().clone();
    for width in &look.widths {
        for column in width.first..=width.last {
            if let Some(characters) = width.width {
                // What stands free at the sides is added again.
                page.set_column_width(column, (characters - 0.710_937_5).clamp(0.0, 255.0)).map_err(unwritten)?;
            }
            if width.hidden {
                page.set_column_hidden(column).map_err(unwritten)?;
            }
        }
    }
    let mut pens = Pens::new(&look.formats, sheet.copy.kind());
    let mut left: Vec<u32> = marks.0.keys().map(|(row, _)| *row).collect();
    left.dedup();
    let mut left = left.into_iter().peekable();
    let (mut last, mut waits) = (0, false);
    while let Some(row) = sheet.copy.next_row().map_err(|problem| problem.detail)? {
        if row.number > MAX_ROWS {
            return Err(say!("annotate_too_many_rows", most = MAX_ROWS));
        }
        let number = row.number - 1;
        // What is marked where nothing stands.
        while let Some(blank) = left.next_if(|marked| *marked < number) {
            write_row(page, blank, &CopiedRow::default(), &marks.columns(blank), &mut pens).map_err(unwritten)?;
        }
        left.next_if_eq(&number);
        write_row(page, number, &row, &marks.columns(number), &mut pens).map_err(unwritten)?;
        waits |= row.cells.iter().any(|(cell, _)| *cell == Cell::Formula);
        last = number;
    }
    for blank in left.filter(|marked| *marked > last) {
        write_row(page, blank, &CopiedRow::default(), &marks.columns(blank), &mut pens).map_err(unwritten)?;
    }
    // No green corners on numbers that are text in CSV: they are so on purpose.
    if sheet.copy.kind() == Kind::Csv {
        page.ignore_error_range(0, 0, last, u16::MAX >> 2, IgnoreError::NumberStoredAsText).map_err(unwritten)?;
    }
    Ok(waits)
}

fn write_row(
    page: &mut Worksheet,
    number: u32,
    row: &CopiedRow,
    marked: &[u16],
    pens: &mut Pens,
) -> Result<(), XlsxError> {
    if row.hidden {
        page.set_row_hidden(number)?;
    }
    for (column, (cell, format)) in (0..).zip(&row.cells) {
        write_cell(page, number, column, cell, pens.of(*format, marked.contains(&column), cell))?;
    }
    let width = u16::try_from(row.cells.len()).unwrap_or(u16::MAX);
    for column in marked.iter().filter(|column| **column >= width) {
        write_cell(page, number, *column, &Cell::Blank, pens.of(0, true, &Cell::Blank))?;
    }
    Ok(())
}

fn write_cell(page: &mut Worksheet, row: u32, column: u16, cell: &Cell, format: &Format) -> Result<(), XlsxError> {
    match cell {
        Cell::Blank => page.write_blank(row, column, format),
        Cell::Text(text) => page.write_string_with_format(row, column, limited(text), format),
        Cell::Number { value, .. } => page.write_number_with_format(row, column, *value, format),
        Cell::Damaged(text) => match text.parse::<f64>().ok().filter(|value| value.is_finite()) {
            Some(value) => page.write_number_with_format(row, column, value, format),
            None => page.write_string_with_format(row, column, limited(text), format),
        },
        Cell::Time { at, shows } => page.write_number_with_format(row, column, serial(*at, *shows), format),
        Cell::Bool(truth) => page.write_boolean_with_format(row, column, *truth, format),
        // An error value is written as the formula that is this error and no more.
        Cell::Error(error) => {
            page.write_formula_with_format(row, column, Formula::new(format!("={error}")).set_result(error), format)
        }
        Cell::Formula => page.write_formula_with_format(
            row,
            column,
            Formula::new(pending::FORMULA).set_result(pending::RESULT),
            format,
        ),
    }
    .map(drop)
}

/// A spreadsheet's serial day, with 1900 as its first year.
pub fn serial(at: NaiveDateTime, shows: Shows) -> f64 {
    let start = NaiveDate::from_ymd_opt(1899, 12, 30).expect("a day");
    let fraction = f64::from(at.num_seconds_from_midnight()) / 86_400.0;
    if shows == Shows::Time {
        return fraction;
    }
    let days = (at.date() - start).num_days();
    // Spreadsheets believe that 1900 had a 29 February, their day 60.
    let days = if days <= 60 { days - 1 } else { days };
    days.max(0) as f64 + fraction
}

/// The formats of cells, each made once.
struct Pens<'a> {
    formats: &'a [NumberFormat],
    kind: Kind,
    made: HashMap<(u16, bool, bool), Format>,
}

impl<'a> Pens<'a> {
    fn new(formats: &'a [NumberFormat], kind: Kind) -> Self {
        Self { formats, kind, made: HashMap::new() }
    }

    /// The format of a cell: its number format, a fill if it is wrong, and for text that a spreadsheet would read as a formula the sign
    /// that it is text.
    fn of(&mut self, format: u16, wrong: bool, cell: &Cell) -> &Format {
        let formula = matches!(cell, Cell::Text(text) if text.starts_with(['=', '+', '-', '@', '\t']));
        let (formats, kind) = (self.formats, self.kind);
        self.made.entry((format, wrong, formula)).or_insert_with(|| {
            let mut made = match (formats.get(usize::from(format)), kind) {
                (Some(NumberFormat::Code(code)), _) => Format::new().set_num_format(code),
                (Some(NumberFormat::BuiltIn(id)), _) => Format::new().set_num_format_index(*id),
                // What is mended in a copy of CSV is to stay text, whatever it looks like.
                (None, Kind::Csv) => Format::new().set_num_format("@"),
                (None, Kind::Xlsx) => Format::new(),
            };
            if wrong {
                made = made.set_background_color(WRONG);
            }
            if formula { made.set_quote_prefix() } else { made }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_day_is_that_of_spreadsheets() {
        let at = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a time");
        let table = [
            ("2031-03-01 00:00", Shows::Date, 47_908.0),
            ("2031-03-01 12:00", Shows::DateTime, 47_908.5),
            ("1899-12-31 06:00", Shows::Time, 0.25),
            ("1900-01-01 00:00", Shows::Date, 1.0),
            ("1900-02-28 00:00", Shows::Date, 59.0),
            ("1900-03-01 00:00", Shows::Date, 61.0),
        ];
        for (text, shows, day) in table {
            assert!((serial(at(text), shows) - day).abs() < 1e-9, "{text}");
        }
    }
}
