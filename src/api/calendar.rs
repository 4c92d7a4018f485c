//! iCalendar (RFC 5545, RFC 7986) as text: lines, their folding, and what has to be escaped.
//!
//! Written here and not by a library: it is these few rules, and they are kept to the letter whatever stands in a table's cell.

use crate::domain::Millis;
use chrono::{DateTime, Datelike, Utc};

/// Bytes of a line, without its end.
const LINE: usize = 75;

/// A calendar that is being written.
#[derive(Debug, Default)]
pub(super) struct Calendar(String);

impl Calendar {
    /// A line whose value needs no escaping.
    pub fn line(&mut self, name: &str, value: &str) {
        let mut left = LINE;
        for c in name.chars().chain([':']).chain(value.chars()) {
            if c.len_utf8() > left {
                // The space counts.
                self.0.push_str("\r\n ");
                left = LINE - 1;
            }
            self.0.push(c);
            left -= c.len_utf8();
        }
        self.0.push_str("\r\n");
    }

    /// A line of text.
    pub fn text(&mut self, name: &str, text: &str) {
        self.line(name, &escaped(text));
    }

    /// A line with an instant, in UTC; none for one that has no four-digit year.
    pub fn time(&mut self, name: &str, at: Millis) {
        let time = DateTime::<Utc>::from_timestamp_millis(at).filter(|time| (0..=9_999).contains(&time.year()));
        if let Some(time) = time {
            self.line(name, &time.format("%Y%m%dT%H%M%SZ").to_string());
        }
    }

    /// A component with what `inside` writes.
    pub fn component(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.line("BEGIN", name);
        inside(self);
        self.line("END", name);
    }

    /// All of it.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// Text as a value. Whatever a reader may take for the end of a line is one, and no other control character is allowed.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => escaped.push_str("\\n"),
            '\\' | ';' | ',' => escaped.extend(['\\', c]),
            '\t' => escaped.push(' '),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_so_that_it_stays_one_value_on_one_line() {
        for (text, value) in [
            ("", ""),
            ("a,b;c\\d:e\"f", "a\\,b\\;c\\\\d:e\"f"),
            ("a\nb\rc\r\nd\n\re", "a\\nb\\nc\\nd\\n\\ne"),
            ("a\u{b}b\u{c}c\u{85}d\u{2028}e\u{2029}f", "a\\nb\\nc\\nd\\ne\\nf"),
            ("a\u{0}b\tc\u{7f}d\u{1b}e\u{9b}f", "ab cdef"),
            ("\\n\\,", "\\\\n\\\\\\,"),
            ("开幕茶会，第一场；", "开幕茶会，第一场；"),
        ] {
            assert_eq!(escaped(text), value, "{text:?}");
        }
    }

    fn lines(name: &str, value: &str) -> Vec<String> {
        let mut calendar = Calendar::default();
        calendar.line(name, value);
        let text = calendar.into_text();
        text.strip_suffix("\r\n").expect("it ends").split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn a_line_has_75_bytes_at_most_and_no_character_is_broken() {
        let x = |n| "x".repeat(n);
        for (value, expected) in [
            (x(0), vec!["S:".to_owned()]),
            (x(73), vec![format!("S:{}", x(73))]),
            (x(74), vec![format!("S:{}", x(73)), " x".into()]),
            (x(147), vec![format!("S:{}", x(73)), format!(" {}", x(74))]),
            (x(148), vec![format!("S:{}", x(73)), format!(" {}", x(74)), " x".into()]),
            // Three bytes each: 24 fit behind two, with one byte left.
            ("字".repeat(25), vec![format!("S:{}", "字".repeat(24)), " 字".into()]),
            // Four bytes, and combining marks of two.
            ("🎉".repeat(19), vec![format!("S:{}", "🎉".repeat(18)), " 🎉".into()]),
            (format!("{}e\u{301}", x(71)), vec![format!("S:{}e", x(71)), " \u{301}".into()]),
        ] {
            let lines = lines("S", &value);
            assert_eq!(lines, expected);
            assert!(lines.iter().all(|line| line.len() <= LINE));
        }
    }

    #[test]
    fn folded_lines_are_whole_again_when_they_are_unfolded() {
        for n in 0..400 {
            let value: String = "a字,🎉 \\".chars().cycle().skip(n % 6).take(n).collect();
            let folded = lines("DESCRIPTION", &value).join("\r\n");
            assert_eq!(folded.replace("\r\n ", ""), format!("DESCRIPTION:{value}"), "{n}");
        }
    }

    #[test]
    fn an_instant_is_written_in_utc_or_not_at_all() {
        let mut calendar = Calendar::default();
        for at in [1_803_859_200_999, i64::MAX, i64::MIN, 253_402_300_800_000] {
            calendar.time("DTSTART", at);
        }
        assert_eq!(calendar.into_text(), "DTSTART:20270301T000000Z\r\n");
    }
}
