//! What a cell of text says: trimmed, with LF as its line breaks, and without what spreadsheets write for characters that XML lacks.

use std::borrow::Cow;

/// The most characters that a cell can have; what is beyond them is cut, and is too long wherever it is used.
pub const MAX_CELL_CHARS: usize = 32_767;

/// White space, and what has no width and stands at the ends of what people copy from web pages and chats.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// The text of a cell.
pub fn clean(raw: &str) -> Cow<'_, str> {
    let decoded = if raw.contains("_x") { Cow::Owned(decode(raw)) } else { Cow::Borrowed(raw) };
    let broken = match decoded.contains('\r') {
        true => Cow::Owned(decoded.replace("\r\n", "\n").replace('\r', "\n")),
        false => decoded,
    };
    match broken {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text.trim_matches(is_space))),
        Cow::Owned(text) => Cow::Owned(cut(text.trim_matches(is_space)).to_owned()),
    }
}

/// No more than a cell can have.
fn cut(text: &str) -> &str {
    // Most cells are far too short to be counted.
    if text.len() <= MAX_CELL_CHARS {
        return text;
    }
    text.char_indices().nth(MAX_CELL_CHARS).map_or(text, |(end, _)| &text[..end])
}

/// Reads `_x000D_` and its like, once: `_x005F_x000D_` stands for the letters `_x000D_`.
fn decode(raw: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(raw.len()), raw);
    while let Some(at) = rest.find("_x") {
        let code = rest.get(at + 2..at + 6).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()));
        let ends = rest.as_bytes().get(at + 6) == Some(&b'_');
        match code.filter(|_| ends).and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32) {
            Some(c) => {
                text.push_str(&rest[..at]);
                text.push(c);
                rest = &rest[at + 7..];
            }
            None => {
                text.push_str(&rest[..at + 2]);
                rest = &rest[at + 2..];
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_text_is_trimmed_and_its_line_breaks_are_line_feeds() {
        let table = [
            ("茶会", "茶会"),
            (" \u{3000}\u{a0}茶会\u{200b}\u{feff}\t\r\n", "茶会"),
            ("两行\r\n文字\r三行", "两行\n文字\n三行"),
            ("两行_x000D_\n文字", "两行\n文字"),
            ("_x005F_x000D_", "_x000D_"),
            ("_x4E2D__x6587_", "中文"),
            ("a_x00_b _xD800_ _x12", "a_x00_b _xD800_ _x12"),
            ("\u{3000}\u{200b}", ""),
            ("", ""),
        ];
        for (raw, text) in table {
            assert_eq!(clean(raw), text, "{raw:?}");
        }
    }

    #[test]
    fn a_cell_is_cut_where_a_spreadsheet_would_end_it() {
        for (chars, kept) in [(MAX_CELL_CHARS, MAX_CELL_CHARS), (MAX_CELL_CHARS + 1, MAX_CELL_CHARS)] {
            assert_eq!(clean(&"茶".repeat(chars)).chars().count(), kept);
            assert_eq!(clean(&"a".repeat(chars)).len(), kept);
        }
    }
}
