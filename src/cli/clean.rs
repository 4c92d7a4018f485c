//! Text that a terminal may be given. What a platform or a caller has written can hold characters that a terminal obeys (colours, the title
//! of its window, an answer typed in the reader's name) or that turn the order of a line round: they are shown, not sent.

use crate::domain::outcome::turns;
use std::{
    borrow::Cow,
    fmt::{self, Write},
};

/// Whether a terminal would do something other than show it. Line breaks and tabs belong to the layout of what is written.
fn acts(c: char) -> bool {
    let breaks = matches!(c, '\n' | '\t');
    let ends_line = matches!(c, '\u{2028}' | '\u{2029}');
    (c.is_control() && !breaks) || turns(c) || ends_line
}

/// The text with such characters written as JSON writes them, `\u001b`: so that JSON stays the same JSON.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) { escape(c, &mut cleaned) } else { cleaned.push(c) }
    }
    Cow::Owned(cleaned)
}

/// The text on one line, as a cell of a table or as one value among others.
pub fn one_line(text: &str) -> Cow<'_, str> {
    match text.contains(['\n', '\t']) {
        false => clean(text),
        true => Cow::Owned(clean(&text.replace('\n', "\\n").replace('\t', "\\t")).into_owned()),
    }
}

fn escape(c: char, into: &mut String) {
    let _: fmt::Result = write!(into, "\\u{:04x}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_all_else_is_left() {
        for (text, shown) in [
            ("周三读书会 ☕ é", "周三读书会 ☕ é"),
            ("two\nlines\tand a tab", "two\nlines\tand a tab"),
            ("\u{1b}[31mred\u{1b}[0m", "\\u001b[31mred\\u001b[0m"),
            ("\u{1b}]0;title\u{7}", "\\u001b]0;title\\u0007"),
            // The same two bytes shorter, as UTF-8 has them.
            ("\u{9b}31m", "\\u009b31m"),
            ("over\rwritten \u{8}", "over\\u000dwritten \\u0008"),
            ("\0 and \u{7f}", "\\u0000 and \\u007f"),
            ("ab\u{202e}cd\u{2066}e\u{2028}f", "ab\\u202ecd\\u2066e\\u2028f"),
            // Parts of one emoji.
            ("👨\u{200d}👩\u{200d}👧", "👨\u{200d}👩\u{200d}👧"),
        ] {
            assert_eq!(clean(text), shown, "{text:?}");
        }
        assert_eq!(one_line("a\tb\nc\u{1b}"), "a\\tb\\nc\\u001b");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "detail": "\u{1b}[2J \u{9b}2J \u{7f}\r\n \u{202e}" });
        let text = value.to_string();
        let cleaned = clean(&text);
        assert!(!cleaned.contains(acts), "{cleaned:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&cleaned).expect("JSON"), value);
    }
}
