//! `[[app.template]]`: a template of an app.

use super::{
    check::{Check, hint, is_name},
    place::Place,
};
use crate::domain::template::{KNOWN_TYPES, Kind, OnDoubt, Template, field_type};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    name: Option<String>,
    id: String,
    kind: Kind,
    #[serde(default)]
    title: String,
    fields: BTreeMap<String, String>,
    #[serde(default)]
    on_doubt: OnDoubt,
}

/// All templates of the app at `app`.
pub(super) fn check(raw: &[Raw], app: &Place<'_>, check: &mut Check<'_>) -> Vec<Template> {
    let mut known = HashSet::new();
    let place = app.key("template");
    raw.iter().enumerate().map(|(i, raw)| raw.check(&place.item(i), &mut known, check)).collect()
}

impl Raw {
    /// `known` are the ids and names of the templates before it.
    fn check(&self, place: &Place<'_>, known: &mut HashSet<String>, check: &mut Check<'_>) -> Template {
        if self.id.is_empty() || self.id.len() > 128 || !self.id.chars().all(|c| c.is_ascii_graphic()) {
            check.problem(&place.key("id"), "a template's id has 1 to 128 letters, digits and symbols");
        }
        if self.name.as_ref().is_some_and(|n| !is_name(n)) {
            check.problem(&place.key("name"), "a template's name has 1 to 64 of a–z, 0–9, - and _");
        }
        for word in self.name.iter().chain([&self.id]) {
            if !known.insert(word.clone()) {
                let what = format!("«{word}» names two templates of the app; ids and names are unique together");
                check.problem(&place.key("id"), what);
            }
        }
        if self.fields.is_empty() || self.fields.len() > 20 {
            let what = format!("a template has 1 to 20 fields; found {}", self.fields.len());
            check.problem(&place.key("fields"), what);
        }
        for key in self.fields.keys() {
            let kind = field_type(key);
            if !KNOWN_TYPES.contains(&kind) {
                let (id, near) = (&self.id, hint(kind, KNOWN_TYPES));
                check.warning(format!(
                    "template {id}: «{key}» is of an unknown type, so its values are not checked{near}"
                ));
            }
        }
        Template {
            name: self.name.clone(),
            code: self.id.clone(),
            kind: self.kind,
            title: self.title.clone(),
            fields: self.fields.clone(),
            on_doubt: self.on_doubt,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::refused;

    #[test]
    fn every_mistake_names_its_line_and_what_is_allowed() {
        refused(&[
            (
                "one-time",
                "onetime",
                "tixing.toml:15: unknown key or value «onetime»; allowed are one-time, long-term; did you mean «one-time»?",
            ),
            ("{ thing1 = \"活动名称\" }", "{}", "tixing.toml:16: a template has 1 to 20 fields; found 0"),
        ]);
    }
}
