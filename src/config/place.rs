//! The place of a problem: a key of the configuration, and the line on which it stands.

use std::collections::BTreeMap;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Error},
};

/// The way to the key that an environment variable stands for, if it stands for one.
pub(super) fn path(variable: &str) -> Option<Vec<String>> {
    let path = variable.strip_prefix("TIXING_").filter(|path| path.contains("__"))?;
    Some(path.split("__").map(str::to_lowercase).collect())
}

/// A key, by the way that leads to it: `app`, its third, `rate`.
#[derive(Debug, Clone)]
pub(super) struct Place<'a>(Vec<Step<'a>>);

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    /// A table of the file.
    pub fn table(name: &'a str) -> Self {
        Self(vec![Step::Key(name)])
    }

    /// A key of it.
    pub fn key(&self, name: &'a str) -> Self {
        self.and(Step::Key(name))
    }

    /// One of its items.
    pub fn item(&self, index: usize) -> Self {
        self.and(Step::Index(index))
    }

    /// The variable that its value comes from, if it is not the file's.
    pub fn variable<'v>(&self, vars: &'v BTreeMap<String, String>) -> Option<&'v str> {
        vars.keys().map(String::as_str).find(|name| path(name).is_some_and(|path| self.is_within(&path)))
    }

    /// Whether it is the key that this path of keys leads to, or lies in it.
    fn is_within(&self, path: &[String]) -> bool {
        let is_step = |(name, step): (&String, &Step<'_>)| matches!(step, Step::Key(key) if key == name);
        path.len() <= self.0.len() && path.iter().zip(&self.0).all(is_step)
    }

    fn and(&self, step: Step<'a>) -> Self {
        Self([&self.0[..], &[step]].concat())
    }
}

/// Knows on which line of a text its keys stand.
pub(super) struct Lines<'t> {
    text: &'t str,
    tree: Spanned<DeTable<'t>>,
}

impl<'t> Lines<'t> {
    /// Of this text.
    ///
    /// # Errors
    /// When it is no TOML.
    pub fn new(text: &'t str) -> Result<Self, Error> {
        Ok(Self { text, tree: DeTable::parse(text)? })
    }

    /// The line on which the deepest existing part of `place` stands.
    pub fn of(&self, place: &Place<'_>) -> usize {
        let [Step::Key(first), rest @ ..] = &place.0[..] else { return 1 };
        let Some(mut at) = self.tree.get_ref().get(*first) else { return 1 };
        for step in rest {
            let next = match (step, at.get_ref()) {
                (Step::Key(key), DeValue::Table(table)) => table.get(*key),
                (Step::Index(i), DeValue::Array(array)) => array.get(*i),
                _ => None,
            };
            let Some(next) = next else { break };
            at = next;
        }
        line(self.text, at.span().start)
    }
}

/// The line of a text in which a byte stands.
pub fn line(text: &str, offset: usize) -> usize {
    text[..offset.min(text.len())].matches('\n').count() + 1
}
