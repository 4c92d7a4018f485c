//! A cell that is used: what stands there has to be what was meant.

use crate::{
    schedule::sheet::cell::{Cell, ERRORS},
    words::{Message, say},
};

/// A cell that is used has no more characters.
const MOST: usize = 4_096;

/// Whether what the cell says can be relied on.
///
/// # Errors
/// The code and the sentence of its problem.
pub fn usable(cell: &Cell) -> Result<(), (&'static str, Message)> {
    match cell {
        Cell::Damaged(_) => Err(("damaged_number", say!("cell_damaged_number"))),
        Cell::Formula => Err(("formula_without_result", say!("cell_formula_without_result"))),
        Cell::Error(text) => Err(("error_cell", say!("cell_error", text = text))),
        Cell::Text(text) if text.starts_with('#') && ERRORS.contains(&text.as_str()) => {
            Err(("error_cell", say!("cell_error", text = text)))
        }
        Cell::Text(text) if text.len() > MOST => match text.chars().count() {
            found if found > MOST => Err(("too_long", say!("cell_too_long", found = found, most = MOST))),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Whether it is a number as a spreadsheet shows it when it has lost its digits, such as `1.23457E+17`.
pub fn is_damaged(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    exponent.strip_prefix('+').is_some_and(digits) && digits(whole.trim_start_matches('-')) && digits(fraction)
}
