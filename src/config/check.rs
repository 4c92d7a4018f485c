//! The check of a configuration: what each group is given to check itself, and the problems that it finds.

use super::place::{Lines, Place};
use crate::domain::did_you_mean;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A problem with the configuration: where, what was found, what is allowed.
#[derive(Debug)]
pub struct Problem {
    /// `tixing.toml:12`, or the environment variable.
    pub place: String,
    /// One sentence.
    pub what: String,
}

/// All problems found, never just the first.
#[derive(Debug, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// The only one.
    pub(super) fn one(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self(vec![Problem { place: place.into(), what: what.into() }])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Problem { place, what }) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{place}: {what}")?;
        }
        Ok(())
    }
}

/// One check of one file. Each group adds what it finds.
pub(super) struct Check<'a> {
    /// The configuration's file, as it was named.
    pub path: &'a Path,
    /// The folder that relative paths start from.
    pub base: PathBuf,
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Where the keys stand.
    pub lines: Lines<'a>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<String>,
}

impl Check<'_> {
    /// Notes what is wrong at a place.
    pub fn problem(&mut self, place: &Place<'_>, what: impl Into<String>) {
        let place = format!("{}:{}", self.path.display(), self.lines.of(place));
        self.problems.push(Problem { place, what: what.into() });
    }

    /// Notes what is allowed but probably not meant.
    pub fn warning(&mut self, what: impl Into<String>) {
        self.warnings.push(what.into());
    }

    /// The value, or nothing and a problem.
    pub fn good<T>(&mut self, place: &Place<'_>, value: Result<T, String>) -> Option<T> {
        value.map_err(|why| self.problem(place, why)).ok()
    }
}

/// Whether it can name an app or a template.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
}

/// Serde's words, with "did you mean" where a key is unknown.
pub(super) fn friendly(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((found, allowed)) if message.starts_with("unknown field") || message.starts_with("unknown variant") => {
            format!("unknown key or value «{found}»; allowed are {}{}", allowed.join(", "), hint(found, allowed))
        }
        // Not what a number is to a machine, but to a person.
        _ => message.replace("u32", "a whole number above 0"),
    }
}

/// The allowed word that is near to what was found, if there is one.
pub(super) fn hint(found: &str, allowed: &[&str]) -> String {
    did_you_mean(found, allowed.iter().copied()).map_or(String::new(), |near| format!("; did you mean «{near}»?"))
}
