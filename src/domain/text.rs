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
    if let Some(c) = value.chars().find(|c| breaks_line(*c)) {
        let detail = say!("control_character", code = format!("U+{:04X}", c as u32));
        return Err(Invalid::new("bad_value", param, detail));
    }
    Ok(())
}

/// Whether a character is a control character, or one of Unicode's own line and paragraph separators.
pub fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}
