//! How the characters of a field's value are counted and told apart: what several platforms' rules share.

use crate::{
    domain::text::breaks_line,
    words::{Message, say},
};

/// Refuses a value that shows nothing, or that breaks the line.
///
/// # Errors
/// A message about the value.
pub fn shown(value: &str) -> Result<(), Message> {
    if value.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return Err(say!("field_empty"));
    }
    match value.chars().find(|c| breaks_line(*c)) {
        Some(c) => Err(say!("field_control_character", code = format!("U+{:04X}", c as u32))),
        None => Ok(()),
    }
}

/// Emoji: how the platforms count them is unknown, so they count as UTF-16 units, the larger number.
pub fn length(value: &str) -> usize {
    value.encode_utf16().count()
}

/// Refuses a value that is longer.
///
/// # Errors
/// A message with both numbers.
pub fn at_most(value: &str, most: usize) -> Result<(), Message> {
    let found = length(value);
    if found <= most { Ok(()) } else { Err(say!("field_too_long", found = found, most = most)) }
}

/// The first character that is not allowed, as the error.
///
/// # Errors
/// That character.
pub fn only(value: &str, allowed: fn(char) -> bool) -> Result<(), char> {
    value.chars().find(|c| !allowed(*c)).map_or(Ok(()), Err)
}

/// Han ideographs.
pub fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}' | '〇')
}

/// Digits with at most one decimal point between them.
///
/// # Errors
/// A message about the value.
pub fn digits(value: &str, most: usize) -> Result<(), Message> {
    let count = value.chars().filter(char::is_ascii_digit).count();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let shaped = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_digit());
    if !shaped(whole) || !shaped(fraction) {
        Err(say!("field_no_number", value = value))
    } else if count > most {
        Err(say!("field_too_many_digits", found = count, most = most))
    } else {
        Ok(())
    }
}

/// Characters that show nothing though they are no white space: zero-width ones, marks of direction, and the blank letters and patterns of
/// Hangul, Khmer and Braille. Source: `Default_Ignorable_Code_Point` of Unicode, U+2800,
/// and the marks of annotations from U+FFF9.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
