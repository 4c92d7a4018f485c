//! The TOML is read key by key, so that all of its mistakes are told at once, each with its line.

use crate::{
    config,
    domain::{Invalid, did_you_mean, timing::cut},
    schedule::problem::{Place, Problem},
    words::{Message, say},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// No more problems of one file are told.
const MOST_PROBLEMS: usize = 1_000;

/// Collects the problems of a file.
pub struct Reader<'t> {
    text: &'t str,
    file: &'t str,
    /// Those found so far.
    pub problems: Vec<Problem>,
}

/// A value, and the line on which it stands.
#[derive(Debug, Clone, Copy)]
pub struct Said<T> {
    /// The line of the file.
    pub line: u32,
    /// The value.
    pub value: T,
}

/// A table of the file.
pub struct Table<'t> {
    values: &'t DeTable<'t>,
    /// The line on which it begins.
    pub line: u32,
    /// The keys that were probably meant by others that are none.
    meant: Vec<&'static str>,
}

impl<'t> Reader<'t> {
    /// Of this text, in the file of this name.
    pub fn new(text: &'t str, file: &'t str) -> Self {
        Self { text, file, problems: Vec::new() }
    }

    /// The name of the file.
    pub fn file(&self) -> &'t str {
        self.file
    }

    /// The line of a place in the text.
    pub fn line<T>(&self, spanned: &Spanned<T>) -> u32 {
        self.line_at(spanned.span().start)
    }

    /// The line of a byte of the text.
    pub fn line_at(&self, offset: usize) -> u32 {
        u32::try_from(config::line(self.text, offset)).unwrap_or(u32::MAX)
    }

    /// Tells a problem.
    pub fn tell(&mut self, code: &'static str, line: u32, detail: Message) {
        self.tell_with(code, line, detail, None);
    }

    /// Tells a problem and its bare replacement.
    pub fn tell_with(&mut self, code: &'static str, line: u32, detail: Message, fix: Option<&str>) {
        if self.problems.len() < MOST_PROBLEMS {
            let place = Place { file: Some(self.file.to_owned()), line: Some(line), ..Place::default() };
            let fix = fix.map(str::to_owned);
            self.problems.push(Problem { place, fix, ..Problem::new(code, detail) });
        }
    }

    /// Tells what a check of the domain has refused.
    pub fn tell_invalid(&mut self, line: u32, invalid: Invalid, fix: Option<&str>) {
        self.tell_with(invalid.code, line, invalid.detail, fix);
    }

    /// The value, or nothing and a problem.
    pub fn good<T>(&mut self, code: &'static str, line: u32, value: Result<T, Message>) -> Option<T> {
        value.map_err(|why| self.tell(code, line, why)).ok()
    }

    /// One of some words, or nothing and a problem.
    pub fn word<T: Copy>(&mut self, said: Said<&str>, words: &[(&'static str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == said.value);
        if found.is_none() {
            let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let detail = config::unknown_word(&cut(said.value), &allowed);
            self.tell_with("bad_value", said.line, detail, did_you_mean(said.value, allowed));
        }
        found.map(|(_, value)| *value)
    }

    /// Tells that a key has a value of another kind than it should.
    pub fn tell_kind(&mut self, code: &'static str, line: u32, key: &str, expected: Message) {
        self.tell(code, line, say!("file_other_kind", key = key, expected = expected));
    }
}

impl<'t> Table<'t> {
    /// A table in which only these keys may stand. Others are told.
    pub fn new(reader: &mut Reader<'_>, values: &'t DeTable<'t>, line: u32, allowed: &[&'static str]) -> Self {
        let mut meant = Vec::new();
        for (key, _) in values.iter().filter(|(key, _)| !allowed.contains(&&**key.get_ref())) {
            let word = key.get_ref();
            let near = did_you_mean(word, allowed.iter().copied());
            meant.extend(allowed.iter().filter(|allowed| near == Some(**allowed)));
            let line = reader.line(key);
            reader.tell_with("unknown_key", line, config::unknown_word(&cut(word), allowed), near);
        }
        Self { values, line, meant }
    }

    /// Whether a key is neither there nor meant by another one.
    pub fn lacks(&self, key: &str) -> bool {
        !self.values.contains_key(key) && !self.meant.contains(&key)
    }

    /// Whether a key is there.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// What a key says.
    pub fn value(&self, reader: &Reader<'_>, key: &str) -> Option<Said<&'t DeValue<'t>>> {
        let (key, value) = self.values.get_key_value(key)?;
        Some(Said { line: reader.line(key), value: value.get_ref() })
    }

    /// The text that a key says.
    pub fn text(&self, reader: &mut Reader<'_>, key: &str) -> Option<Said<&'t str>> {
        let Said { line, value } = self.value(reader, key)?;
        match value {
            DeValue::String(text) => Some(Said { line, value: text }),
            _ => {
                reader.tell_kind("bad_value", line, key, say!("kind_text"));
                None
            }
        }
    }

    /// The text that a key says, which has 1 to `most` characters.
    pub fn name(&self, reader: &mut Reader<'_>, key: &str, most: usize) -> Option<Said<&'t str>> {
        let said = self.text(reader, key)?;
        let found = said.value.chars().count();
        if (1..=most).contains(&found) && !said.value.chars().any(char::is_control) {
            return Some(said);
        }
        reader.tell("bad_value", said.line, say!("file_bad_name", key = key, found = found, most = most));
        None
    }

    /// The text that a key must say.
    pub fn needed(&self, reader: &mut Reader<'_>, key: &str) -> Option<Said<&'t str>> {
        self.need(reader, key);
        self.text(reader, key)
    }

    /// Tells that a key is missing, if it is.
    pub fn need(&self, reader: &mut Reader<'_>, key: &str) {
        if self.lacks(key) {
            reader.tell("missing_key", self.line, say!("file_missing_key", key = key));
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, reader: &mut Reader<'_>, key: &str) -> Option<bool> {
        let Said { line, value } = self.value(reader, key)?;
        match value {
            DeValue::Boolean(flag) => Some(*flag),
            _ => {
                reader.tell_kind("bad_value", line, key, say!("kind_flag"));
                None
            }
        }
    }
}

/// The texts of a list, with their lines, at most `most`.
///
/// # Errors
/// A message: an item is no text, or there are more.
pub fn texts<'t>(
    reader: &Reader<'_>,
    values: &'t [Spanned<DeValue<'t>>],
    most: usize,
) -> Result<Vec<Said<&'t str>>, (u32, Message)> {
    let begins = values.first().map_or(1, |value| reader.line(value));
    if values.len() > most {
        return Err((begins, say!("list_too_many", found = values.len(), most = most)));
    }
    let mut texts = Vec::with_capacity(values.len());
    // Counting lines from the beginning for each item would take a minute for a long list.
    let (mut line, mut counted) = (begins, values.first().map_or(0, |value| value.span().start));
    for value in values {
        let start = value.span().start;
        line += u32::try_from(reader.text[counted..start].matches('\n').count()).unwrap_or(0);
        counted = start;
        match value.get_ref() {
            DeValue::String(text) => texts.push(Said { line, value: &**text }),
            _ => return Err((line, say!("list_of_texts"))),
        }
    }
    Ok(texts)
}
