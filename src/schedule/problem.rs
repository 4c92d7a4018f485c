//! What is wrong with a schedule's file or with a row, and where.

use crate::words::Message;
use serde_json::{Value, json};

/// The codes of a file that cannot be used.
#[rustfmt::skip]
pub const OF_FILES: &[&str] = &[
    "not_built", "cancelled", "shift_too_far", "not_a_tester", "unknown_key", "bad_at", "bad_template", "unknown_app", "unknown_template",
    "unknown_field", "missing_field", "name_taken", "no_file", "outside_folder", "not_a_table", "old_excel", "locked", "damaged",
    "too_large", "encoding_unclear", "no_header", "no_rows", "no_column", "column_twice", "hidden_rows", "unclosed_quote",
    "removes_too_many", "plan_changed", "busy", "bad_toml", "missing_key",
];

/// The codes of a row that is refused.
#[rustfmt::skip]
pub const OF_ROWS: &[&str] = &[
    "ragged", "bad_openid", "damaged_number", "no_value", "formula_without_result", "error_cell", "control_character", "too_long",
    "bad_time", "bad_deadline", "past_deadline", "late", "quiet", "duplicate_key", "unknown_event", "bad_field", "bad_page",
];

/// The codes of notes.
#[rustfmt::skip]
pub const NOTES: &[&str] = &[
    "guessed_encoding", "merged_filled", "serial_read", "range_start", "gap", "fold", "late", "same_row_twice", "done_changed", "quiet",
    "quiet_moved", "forgotten", "hidden_rows", "column_twice", "shift_ends",
];

/// A problem or a note: where it is, what was found, what is allowed, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable machine-readable name: one of [`OF_FILES`], [`OF_ROWS`] or [`NOTES`].
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

    /// The same with this replacement for what was found.
    #[must_use]
    pub fn or(mut self, fix: Option<String>) -> Self {
        self.fix = fix;
        self
    }

    /// The same in this row.
    #[must_use]
    pub fn in_row(mut self, row: u32) -> Self {
        self.place.row = Some(row);
        self
    }
}

impl Problem {
    /// As it is told; `say` gives its sentence a language.
    pub fn json(&self, say: &dyn Fn(&Message) -> Value) -> Value {
        let Self { code, place, value, param, detail, fix } = self;
        let mut told = json!({
            "code": code,
            "value": value,
            "param": param,
            "detail": say(detail),
            "fix": fix,
            "file": place.file,
            "column": place.column,
            "cell": place.cell,
        });
        match place.line {
            Some(line) => told["line"] = line.into(),
            None => told["row"] = place.row.into(),
        }
        told
    }
}
