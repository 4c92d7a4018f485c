//! Rows that a recurring schedule keeps for its occurrences to come, and how they are read again.

use crate::{
    schedule::{
        problem::Problem,
        sheet::{
            About, Table, Wanted,
            cell::{Cell, Row, Shows},
            columns::Columns,
        },
    },
    store::kept::{KeptRow, Part},
};
use chrono::NaiveDateTime;
use serde_json::{Map, Value, json};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Seek, Write},
};

/// Hands over some rows of a part that follow a place; none behind the last.
pub type Pages<'a> = &'a dyn Fn(Part, i64) -> io::Result<Vec<(i64, KeptRow)>>;

/// What reads the rows of a table: the file itself, or what was kept of it.
pub enum Rows<'a> {
    /// The file.
    File(Box<Table>),
    /// What was kept.
    Kept(Kept<'a>),
}

/// Kept rows that are read again. Their first line is the names of their columns.
pub struct Kept<'a> {
    pages: Pages<'a>,
    part: Part,
    columns: Columns,
    read: VecDeque<KeptRow>,
    after: i64,
}

impl<'a> Kept<'a> {
    /// The kept rows of a part.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(pages: Pages<'a>, part: Part) -> io::Result<Self> {
        let mut kept = Self { pages, part, columns: Columns::new(Vec::new()), read: VecDeque::new(), after: -1 };
        if let Some(first) = kept.line()? {
            kept.columns = Columns::new(serde_json::from_str(&first.cells)?);
        }
        Ok(kept)
    }

    fn line(&mut self) -> io::Result<Option<KeptRow>> {
        if self.read.is_empty() {
            let page = (self.pages)(self.part, self.after)?;
            self.after = page.last().map_or(self.after, |(n, _)| *n);
            self.read.extend(page.into_iter().map(|(_, row)| row));
        }
        Ok(self.read.pop_front())
    }

    fn next(&mut self) -> io::Result<Option<Row>> {
        let Some(line) = self.line()? else { return Ok(None) };
        let said: Map<String, Value> = serde_json::from_str(&line.cells)?;
        let cells = self.columns.names().iter().map(|name| said.get(name).map_or(Cell::Blank, cell)).collect();
        Ok(Some(Row { number: line.number, hidden: false, cells, ragged: false }))
    }
}

impl Rows<'_> {
    /// What was found about a file when it was opened.
    pub fn about(&self) -> Option<&About> {
        match self {
            Self::File(table) => Some(table.about()),
            Self::Kept(_) => None,
        }
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::File(table) => &table.about().columns,
            Self::Kept(kept) => kept.columns.names(),
        }
    }

    /// Where a column is.
    ///
    /// # Errors
    /// It is not there, or twice.
    pub fn column(&self, wanted: &Wanted) -> Result<usize, Problem> {
        match self {
            Self::File(table) => table.column(wanted),
            Self::Kept(kept) => kept.columns.find(wanted),
        }
    }

    /// The next row that is not blank.
    ///
    /// # Errors
    /// Those of the store; the inner one: why the rest of a file can't be read.
    #[expect(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> io::Result<Result<Option<Row>, Problem>> {
        match self {
            Self::File(table) => Ok(table.next()),
            Self::Kept(kept) => kept.next().map(Ok),
        }
    }

    /// What is to be noted about a file as a whole.
    pub fn notes(&self) -> Vec<Problem> {
        match self {
            Self::File(table) => table.notes(),
            Self::Kept(_) => Vec::new(),
        }
    }
}

/// Rows that are to be kept, on disk until they are written to the store.
pub struct Keeping {
    file: BufWriter<File>,
    begun: Vec<Part>,
}

/// A line of it: the row counted over all rows of the audience, for what is refused in the end is not kept.
type Line = (Part, Option<u32>, KeptRow);

impl Keeping {
    /// None yet.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn new() -> io::Result<Self> {
        Ok(Self { file: BufWriter::with_capacity(1 << 18, tempfile::tempfile()?), begun: Vec::new() })
    }

    /// Keeps the cells of a row that stand in `places`. `index` counts the rows of the audience.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn add(
        &mut self,
        part: Part,
        names: &[String],
        places: &[usize],
        row: &Row,
        (index, openid): (Option<u32>, Option<String>),
    ) -> io::Result<()> {
        if !self.begun.contains(&part) {
            self.begun.push(part);
            let names: Vec<&String> = places.iter().filter_map(|place| names.get(*place)).collect();
            let cells = serde_json::to_string(&names)?;
            self.write(&(part, None, KeptRow { number: 0, openid: None, cells }))?;
        }
        let mut cells = Map::new();
        for place in places {
            let (Some(name), Some(cell)) = (names.get(*place), row.cells.get(*place)) else { continue };
            if !cell.is_blank() {
                cells.insert(name.clone(), value(cell));
            }
        }
        let cells = Value::Object(cells).to_string();
        self.write(&(part, index, KeptRow { number: row.number, openid, cells }))
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, line)?;
        self.file.write_all(b"\n")
    }

    /// Ends the writing. Rows of the audience for which `keeps` says no are left out.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(self, keeps: Vec<bool>) -> io::Result<ToKeep> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(ToKeep { lines: BufReader::new(file), keeps })
    }
}

/// Rows to keep, to be read once.
pub struct ToKeep {
    lines: BufReader<File>,
    keeps: Vec<bool>,
}

impl ToKeep {
    /// The next ones: at most `most`, all of one part.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn next(&mut self, most: usize) -> io::Result<Vec<(Part, KeptRow)>> {
        let (mut some, mut line) = (Vec::new(), String::new());
        while some.len() < most {
            line.clear();
            if self.lines.read_line(&mut line)? == 0 {
                break;
            }
            let (part, index, row): Line = serde_json::from_str(&line)?;
            if index.is_none_or(|index| self.keeps[index as usize]) {
                some.push((part, row));
            }
        }
        Ok(some)
    }
}

/// A cell as it is kept: text as it is, anything else with what it is.
fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Blank => Value::Null,
        Cell::Text(text) => text.as_str().into(),
        Cell::Bool(flag) => (*flag).into(),
        Cell::Number { text, value } => json!({ "number": value, "text": text }),
        Cell::Time { at, shows } => {
            let shows = match shows {
                Shows::Date => "date",
                Shows::Time => "time",
                Shows::DateTime => "datetime",
            };
            json!({ "time": at.format(TIME).to_string(), "shows": shows })
        }
        Cell::Damaged(text) => json!({ "damaged": text }),
        Cell::Formula => json!({ "formula": true }),
        Cell::Error(text) => json!({ "error": text }),
    }
}

const TIME: &str = "%Y-%m-%dT%H:%M:%S";

fn cell(value: &Value) -> Cell {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    match value {
        Value::String(text) => Cell::Text(text.clone()),
        Value::Bool(flag) => Cell::Bool(*flag),
        Value::Object(said) if said.contains_key("number") => {
            Cell::Number { text: text("text").unwrap_or_default(), value: value["number"].as_f64().unwrap_or_default() }
        }
        Value::Object(said) if said.contains_key("formula") => Cell::Formula,
        Value::Object(_) => {
            let time = text("time").and_then(|time| NaiveDateTime::parse_from_str(&time, TIME).ok());
            let shows = match value["shows"].as_str() {
                Some("date") => Shows::Date,
                Some("time") => Shows::Time,
                _ => Shows::DateTime,
            };
            let time = time.map(|at| Cell::Time { at, shows });
            let damaged = || text("damaged").map(Cell::Damaged);
            time.or_else(damaged).or_else(|| text("error").map(Cell::Error)).unwrap_or(Cell::Blank)
        }
        _ => Cell::Blank,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

    #[test]
    fn a_kept_cell_says_what_it_said() {
        let at = NaiveDate::from_ymd_opt(2031, 3, 1).and_then(|day| day.and_hms_opt(10, 0, 5)).expect("a time");
        let cells = [
            Cell::Blank,
            Cell::Text("读书会\n\"x\"".into()),
            Cell::Number { text: "￥28.50".into(), value: 28.5 },
            Cell::Time { at, shows: Shows::Date },
            Cell::Time { at, shows: Shows::Time },
            Cell::Time { at, shows: Shows::DateTime },
            Cell::Bool(true),
            Cell::Bool(false),
            Cell::Damaged("1.23457E+17".into()),
            Cell::Formula,
            Cell::Error("#N/A".into()),
        ];
        for kept in cells {
            assert_eq!(cell(&value(&kept)), kept);
        }
    }
}
