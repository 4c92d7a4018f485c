//! What a cell says.

use chrono::NaiveDateTime;
use std::borrow::Cow;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing, or only white space.
    Blank,
    /// Text, trimmed, with LF as its line breaks.
    Text(String),
    /// A number, with the text that the sheet shows for it.
    Number {
        /// As the sheet shows it.
        text: String,
        /// Its value, for what reads it as a spreadsheet's serial day.
        value: f64,
    },
    /// A date, a time or both, by the cell's format.
    Time {
        /// The wall time, rounded to the second. A time of day alone stands on 1899-12-31.
        at: NaiveDateTime,
        /// What of it counts.
        shows: Shows,
    },
    /// `TRUE` or `FALSE`.
    Bool(bool),
    /// A number of 16 digits or more, of which a spreadsheet has kept 15. The text is the number as it is stored.
    Damaged(String),
    /// A formula without a stored result.
    Formula,
    /// An error value, such as `#N/A`.
    Error(String),
}

/// The error values that spreadsheets know.
pub const ERRORS: [&str; 16] = [
    "#NULL!",
    "#DIV/0!",
    "#VALUE!",
    "#REF!",
    "#NAME?",
    "#NUM!",
    "#N/A",
    "#GETTING_DATA",
    "#SPILL!",
    "#CALC!",
    "#FIELD!",
    "#BLOCKED!",
    "#CONNECT!",
    "#UNKNOWN!",
    "#BUSY!",
    "#PYTHON!",
];

/// What of a date cell counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shows {
    /// The day.
    Date,
    /// The time of day.
    Time,
    /// Both.
    DateTime,
}

impl Cell {
    /// Whether nothing stands there.
    pub fn is_blank(&self) -> bool {
        *self == Self::Blank
    }

    /// What `{{…}}`, keys and openids see.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Blank | Self::Formula => "".into(),
            Self::Text(text) | Self::Number { text, .. } | Self::Damaged(text) | Self::Error(text) => text.into(),
            Self::Time { at, shows } => {
                let seconds = if at.format("%S").to_string() == "00" { "" } else { ":%S" };
                let format = match shows {
                    Shows::Date => "%Y-%m-%d".to_owned(),
                    Shows::Time => format!("%H:%M{seconds}"),
                    Shows::DateTime => format!("%Y-%m-%d %H:%M{seconds}"),
                };
                at.format(&format).to_string().into()
            }
            Self::Bool(true) => "TRUE".into(),
            Self::Bool(false) => "FALSE".into(),
        }
    }
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// As a spreadsheet numbers it, from 1.
    pub number: u32,
    /// A filter or a person has hidden it.
    pub hidden: bool,
    /// From column A on, as many as the header has.
    pub cells: Vec<Cell>,
    /// It has more cells than the header, the extra ones not blank.
    pub ragged: bool,
}
