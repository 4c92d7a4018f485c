//! The bound of a text that somebody writes.

use super::Invalid;
use crate::words::say;

/// Text of 1 to `most` characters without control characters.
///
/// # Errors
/// `bad_value` at `param`.
pub fn bounded(value: &str, most: usize, param: &str) -> Result<(), Invalid> {
    let length = value.chars().count();
    if length == 0 || length > most {
        return Err(Invalid::new("bad_value", param, say!("length_out_of_bounds", found = length, most = most)));
    }
    if let Some(c) = value.chars().find(|c| c.is_control()) {
        let detail = say!("control_character", code = format!("U+{:04X}", c as u32));
        return Err(Invalid::new("bad_value", param, detail));
    }
    Ok(())
}
