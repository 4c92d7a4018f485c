//! What a copy of a table carries: its rows as they stand, and how they look.

use super::{cell::Cell, spec::MAX_COLUMNS};
use serde::{Deserialize, Serialize};

/// The name that a workbook defines for its list of problems. A reader passes over the sheet on which it stands.
pub const PROBLEMS_NAME: &str = "tixing_problems";
/// The name that a copy of CSV defines on its sheet. There a row with more cells than the header is refused, as it is in CSV.
pub const RAGGED_NAME: &str = "tixing_ragged";

/// How a table looks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// The number formats that cells name by their places; a place that is not there is the format of no format.
    pub formats: Vec<NumberFormat>,
    /// The columns that are not as wide as all others.
    pub widths: Vec<Width>,
    /// It is itself a copy of CSV, where a row with more cells than the header has shifted cells.
    pub ragged: bool,
}

impl Look {
    /// Whether a sheet can look so: it comes over a pipe.
    pub fn is_sound(&self) -> bool {
        let ordered = self.widths.windows(2).all(|pair| pair[0].last < pair[1].first);
        let within = |width: &Width| {
            width.first <= width.last
                && usize::from(width.last) < MAX_COLUMNS
                && width.width.is_none_or(|width| (0.0..=256.0).contains(&width))
        };
        ordered && self.widths.iter().all(within)
    }
}

/// How a workbook writes a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NumberFormat {
    /// One that every spreadsheet program has, by its number.
    BuiltIn(u8),
    /// One of the workbook's own.
    Code(String),
}

/// How wide columns are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Width {
    /// The first of them, from 0.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// In characters, with what stands free at their sides.
    pub width: Option<f64>,
    /// They are hidden.
    pub hidden: bool,
}

/// A row of a table as it stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CopiedRow {
    /// As a spreadsheet numbers it, from 1.
    pub number: u32,
    /// A filter or a person has hidden it.
    pub hidden: bool,
    /// From column A on: what each says, and the place of its number format.
    pub cells: Vec<(Cell, u16)>,
}
