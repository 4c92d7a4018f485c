//! The check of a configuration: the context that each group of keys is checked in, and the problems that are found.

use super::{
    place::{Lines, Place},
    wanted::Wanted,
};
use crate::{
    domain::did_you_mean,
    words::{Message, say},
};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// A problem with the configuration.
#[derive(Debug)]
pub struct Problem {
    /// `tixing.toml:12`, or the environment variable.
    pub place: Message,
    /// What was found, and what is allowed.
    pub what: Message,
}

impl Problem {
    /// The place and the problem in one sentence.
    pub fn message(&self) -> Message {
        say!("config_problem", place = self.place, what = self.what)
    }
}

/// All problems found, never just the first.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// The only one.
    pub(super) fn one(place: Message, what: Message) -> Self {
        Self(vec![Problem { place, what }])
    }

    /// The store that a configuration names cannot be opened.
    pub fn of_store(config: &super::Config, what: Message) -> Self {
        Self::one(Message::text(config.path.display().to_string()), what)
    }

    /// All of them in one.
    pub fn message(&self) -> Message {
        let mut problems = self.0.iter().rev().map(Problem::message);
        let last = problems.next().unwrap_or_else(|| Message::text(""));
        problems.fold(last, |rest, problem| say!("lines", first = problem, rest = rest))
    }
}

/// In English.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl std::error::Error for Problems {}

/// One check of one file. Each group adds what it finds.
pub(super) struct Check<'a> {
    /// The configuration's file, as it was named.
    pub path: &'a Path,
    /// The folder that relative paths start from.
    pub base: PathBuf,
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The environment's variables, of which some override the file.
    pub vars: &'a BTreeMap<String, String>,
    /// Which secrets are read.
    pub wanted: Wanted,
    /// Whether one of the app that is being checked was not.
    pub passed_over: bool,
    /// Where the keys stand.
    pub lines: Lines<'a>,
    /// The problems found so far.
    pub problems: Vec<Problem>,
    /// Settings that are allowed but probably not meant.
    pub warnings: Vec<Message>,
}

impl Check<'_> {
    /// Notes a problem with the key at this place.
    pub fn problem(&mut self, place: &Place<'_>, what: Message) {
        let in_file = || in_file(self.path, self.lines.of(place));
        let place = place.variable(self.vars).map_or_else(in_file, Message::text);
        self.problems.push(Problem { place, what });
    }

    /// Notes a setting that is allowed but probably not meant.
    pub fn warning(&mut self, what: Message) {
        self.warnings.push(what);
    }

    /// The value, or nothing and a problem.
    pub fn good<T>(&mut self, place: &Place<'_>, value: Result<T, Message>) -> Option<T> {
        value.map_err(|why| self.problem(place, why)).ok()
    }
}

/// Whether it can name an app or a template.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
}

/// A line of the file, as editors understand it.
pub(super) fn in_file(path: &Path, line: usize) -> Message {
    Message::text(format!("{}:{line}", path.display()))
}

/// Why a text cannot be read as TOML of ours. `at` is the part of it that the error is about.
pub(super) fn unread(message: &str, at: &str) -> Message {
    if message == "duplicate key" { say!("toml_key_twice", key = at) } else { friendly(message) }
}

/// Serde's error as a message of ours, with a near word where a key or value is unknown.
pub(super) fn friendly(message: &str) -> Message {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let wrong = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let wrong = wrong.and_then(|rest| rest.rsplit_once(", expected "));
    match (&quoted[..], wrong) {
        ([found, allowed @ ..], _) if message.starts_with("unknown ") => unknown_word(found, allowed),
        ([key], _) if message.starts_with("missing field") => say!("config_missing_key", key = key),
        (_, Some((found, expected))) => {
            let found = quoted.first().copied().unwrap_or(found);
            say!("config_expected", found = found, expected = kind(expected))
        }
        _ => Message::text(message),
    }
}

/// A kind of value. Serde names a Rust type; a person is told what to write.
fn kind(expected: &str) -> Message {
    match expected {
        "a string" => say!("text_in_quotes"),
        "a map" => say!("a_table"),
        "a sequence" => say!("a_list"),
        "a boolean" => say!("true_or_false"),
        "u8" | "u16" | "u32" | "u64" | "usize" => say!("whole_number"),
        other if other.starts_with("struct ") => say!("a_table"),
        other => Message::text(other),
    }
}

/// A key or value that is none of the allowed ones.
pub fn unknown_word(found: &str, allowed: &[&str]) -> Message {
    say!("config_unknown_word", found = found, allowed = allowed, near = near(found, allowed))
}

/// The allowed word that is near to what was found, if there is one.
pub(super) fn near(found: &str, allowed: &[&str]) -> Option<Message> {
    did_you_mean(found, allowed.iter().copied()).map(|near| say!("did_you_mean", near = near))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::tests::{GOOD, refused},
        words::{Lang, Voice},
    };

    #[test]
    fn a_value_of_another_kind_is_told_what_to_write_in_both_languages() {
        for (good, bad, en, zh) in [
            (
                "timezone = \"Asia/Shanghai\"",
                "receipt_wait = 60",
                "found 60; expected text in quotes",
                "加引号的文字，如 \"60s\"",
            ),
            ("fields = { thing1 = \"活动名称\" }", "fields = \"thing1\"", "expected a table", "表：{ 键 = 值 }"),
            ("timezone = \"Asia/Shanghai\"", "testers = \"o1\"", "expected a list", "列表：[值, 值]"),
            ("timezone = \"Asia/Shanghai\"", "exclusive = 1", "expected true or false", "true 或 false"),
            ("timezone = \"Asia/Shanghai\"", "rate = 1.5", "expected a whole number above 0", "正整数"),
            (
                "timezone =",
                "appid = \"x\"\ntimezone =",
                "tixing.toml:11: the key `appid` stands here a second time",
                "键 `appid` 重复",
            ),
        ] {
            refused(&[(good, bad, en)]);
            let text = GOOD.replacen(good, bad, 1);
            let problems = crate::config::parse(Path::new("tixing.toml"), &text, &|_| None, BTreeMap::new());
            let said = problems.expect_err(bad).message().say(Voice::new(Lang::Zh));
            assert!(said.contains(zh), "{bad}: {said}");
        }
    }
}
