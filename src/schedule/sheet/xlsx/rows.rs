//! The rows of a sheet, one after the other, as its XML has them.

use super::{
    super::{
        cell::{Cell, Row},
        copied::Width,
        spec::MAX_COLUMNS,
        text::clean,
    },
    merge::Area,
    package::damaged,
    place::{MAX_ROWS, column_of},
    strings::Strings,
    styles::Styles,
    value,
    xml::{Name, Token, Xml, attribute, is_on},
};
use crate::{schedule::problem::Problem, words::say};
use quick_xml::events::BytesStart;
use std::io::BufRead;

/// A sheet may have so many merged areas.
const MAX_AREAS: usize = 500_000;

/// What the cells of a workbook refer to.
#[derive(Debug, Default)]
pub struct Book {
    /// The shared texts.
    pub strings: Strings,
    /// The formats.
    pub styles: Styles,
    /// Days count from 1904.
    pub from_1904: bool,
}

/// Reads rows.
pub struct Rows<'a, R> {
    xml: Xml<R>,
    book: &'a Book,
    /// So many columns are kept.
    width: usize,
    last: u32,
    in_rows: bool,
    whole: bool,
    /// The merged areas that stand behind the rows.
    pub areas: Vec<Area>,
    /// How wide columns are, which stands before the rows.
    pub widths: Vec<Width>,
    /// The number format of each cell of the last row, as [`Styles::look`] tells it.
    pub looks: Vec<u16>,
    /// The last row has content beyond the columns that are kept.
    pub beyond: bool,
    text: String,
}

impl<'a, R: BufRead> Rows<'a, R> {
    /// From the sheet's beginning.
    pub fn new(from: R, book: &'a Book, width: usize) -> Self {
        Self {
            xml: Xml::new(from),
            book,
            width,
            last: 0,
            in_rows: false,
            whole: false,
            areas: Vec::new(),
            widths: Vec::new(),
            looks: Vec::new(),
            beyond: false,
            text: String::new(),
        }
    }

    /// Reads the next row in the place of what `row` holds, and whether any cell of it has content, also beyond the columns that are kept.
    /// `None` behind the last one; then `areas` are known.
    ///
    /// # Errors
    /// `damaged`, `too_large`.
    pub fn next(&mut self, row: &mut Row) -> Result<Option<bool>, Problem> {
        row.cells.clear();
        self.looks.clear();
        self.beyond = false;
        loop {
            match self.xml.next()? {
                Token::Open(element) => match Name::of(&element) {
                    Name::Rows => self.in_rows = true,
                    Name::Row if self.in_rows => {
                        let number = attribute(&element, "r").map(|r| r.parse::<u32>());
                        let number = number.unwrap_or(Ok(self.last + 1)).map_err(|_| damaged("a row has no number"))?;
                        if number <= self.last {
                            return Err(damaged("its rows are out of order"));
                        }
                        if number > MAX_ROWS {
                            return Err(Problem::new("too_large", say!("sheet_too_many_rows", most = MAX_ROWS)));
                        }
                        (row.number, row.hidden) = (number, is_on(&element, "hidden"));
                        self.last = number;
                        return self.cells(row).map(Some);
                    }
                    Name::Column if !self.in_rows => self.widths.extend(width_of(&element, self.widths.last())),
                    Name::Merge => {
                        let area = attribute(&element, "ref").and_then(|area| Area::read(&area));
                        self.areas.push(area.ok_or_else(|| damaged("a merged area is nowhere"))?);
                        if self.areas.len() > MAX_AREAS {
                            return Err(Problem::new("too_large", say!("xlsx_too_many_areas", most = MAX_AREAS)));
                        }
                    }
                    _ => {}
                },
                Token::Close(Name::Rows) => self.in_rows = false,
                Token::Close(Name::Sheet) => self.whole = true,
                Token::End if self.whole => return Ok(None),
                Token::End => return Err(damaged("a sheet ends in the middle")),
                _ => {}
            }
        }
    }

    /// The cells of a row that has begun, and whether any has content.
    fn cells(&mut self, row: &mut Row) -> Result<bool, Problem> {
        let (mut column, mut content) = (0, false);
        loop {
            match self.xml.next()? {
                Token::Open(element) if Name::of(&element) == Name::Cell => {
                    if let Some(named) = attribute(&element, "r") {
                        column = column_of(&named).ok_or_else(|| damaged("a cell is nowhere"))?;
                    }
                    if column >= MAX_COLUMNS {
                        return Err(damaged("a cell lies beyond the last column"));
                    }
                    let style = attribute(&element, "s").and_then(|s| s.parse().ok()).unwrap_or(0);
                    let kind = Type::of(&element);
                    let cell = self.cell(kind, style)?;
                    content |= !cell.is_blank();
                    if column < self.width && !cell.is_blank() {
                        if row.cells.len() <= column {
                            row.cells.resize(column + 1, Cell::Blank);
                            self.looks.resize(column + 1, u16::MAX);
                        }
                        row.cells[column] = cell;
                        self.looks[column] = self.book.styles.look(style);
                    } else if !cell.is_blank() {
                        self.beyond = true;
                    }
                    column += 1;
                }
                Token::Close(Name::Row) => return Ok(content),
                Token::End => return Err(damaged("a sheet ends in the middle")),
                _ => {}
            }
        }
    }

    /// A cell that has begun.
    fn cell(&mut self, kind: Type, style: usize) -> Result<Cell, Problem> {
        let (mut formula, mut stored) = (false, false);
        self.text.clear();
        loop {
            let name = match self.xml.next()? {
                Token::Open(element) => Name::of(&element),
                Token::Close(Name::Cell) => break,
                Token::End => return Err(damaged("a sheet ends in the middle")),
                _ => continue,
            };
            match name {
                Name::Value | Name::Inline => {
                    stored = true;
                    let text = &mut self.text;
                    self.xml.text(name, text)?;
                }
                Name::Formula => formula = true,
                _ => {}
            }
        }
        let value = self.text.trim();
        // The result of a formula may be an empty text; what has no type and nothing in it has no result.
        if formula && (!stored || (value.is_empty() && kind != Type::Text)) {
            return Ok(Cell::Formula);
        }
        if value.is_empty() {
            return Ok(Cell::Blank);
        }
        let text = |text: &str| if text.is_empty() { Cell::Blank } else { Cell::Text(text.to_owned()) };
        Ok(match kind {
            Type::Shared => {
                let index = value.parse().map_err(|_| damaged("a cell's text is not there"))?;
                text(self.book.strings.get(index)?)
            }
            Type::Text => text(&clean(&self.text)),
            Type::Bool => Cell::Bool(value != "0" && !value.eq_ignore_ascii_case("false")),
            Type::Error => Cell::Error(value.chars().take(32).collect()),
            Type::Date => value::iso(value),
            Type::Number => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => {
                    value::number(number, self.book.styles.format(style), self.book.from_1904)
                }
                _ => text(&clean(&self.text)),
            },
        })
    }
}

/// The columns that an element tells of; they come in their order.
fn width_of(element: &BytesStart<'_>, before: Option<&Width>) -> Option<Width> {
    let number = |name: &str| attribute(element, name).and_then(|text| text.parse::<f64>().ok());
    let column = |name: &str| attribute(element, name).and_then(|text| text.parse::<u16>().ok()?.checked_sub(1));
    let (first, last) = (column("min")?, column("max")?);
    let ordered = first <= last && usize::from(last) < MAX_COLUMNS && before.is_none_or(|before| before.last < first);
    let width = number("width").filter(|width| (0.0..=256.0).contains(width));
    ordered.then(|| Width { first, last, width, hidden: is_on(element, "hidden") })
}

/// What kind of value a cell stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Number,
    Shared,
    Text,
    Bool,
    Error,
    Date,
}

impl Type {
    fn of(element: &BytesStart<'_>) -> Self {
        match attribute(element, "t").as_deref() {
            Some("s") => Self::Shared,
            Some("str" | "inlineStr") => Self::Text,
            Some("b") => Self::Bool,
            Some("e") => Self::Error,
            Some("d") => Self::Date,
            _ => Self::Number,
        }
    }
}
