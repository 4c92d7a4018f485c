//! What is wrong with a schedule's file or with a row, and where.

use crate::words::Message;

/// A problem or a note: where it is, what was found, what is allowed, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable machine-readable name, one of those in the manual of schedule files.
    pub code: &'static str,
    /// Where.
    pub place: Place,
    /// What was found there, cut to a bound; an openid never stands here.
    pub value: Option<String>,
    /// The field of the message at fault, such as `/data/thing1`.
    pub param: Option<String>,
    /// One sentence for a person: what was found, what is allowed, what to do.
    pub detail: Message,
    /// The bare replacement, if there is one.
    pub fix: Option<String>,
}

/// Where a problem is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The file, as the schedule names it; of the schedule's own file, its name.
    pub file: Option<String>,
    /// The line of the TOML, from 1.
    pub line: Option<u32>,
    /// The row of the table as a spreadsheet numbers it, or the place in an inline list, from 1.
    pub row: Option<u32>,
    /// The column, as the header names it.
    pub column: Option<String>,
    /// The cell, such as `C5`.
    pub cell: Option<String>,
}

impl Problem {
    /// A problem at a place that is filled in afterwards.
    pub fn new(code: &'static str, detail: impl Into<Message>) -> Self {
        Self { code, place: Place::default(), value: None, param: None, detail: detail.into(), fix: None }
    }
}
