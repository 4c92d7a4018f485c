//! `[[app.template]]`: a template of an app.

use super::{
    check::{Check, is_name, near},
    place::Place,
};
use crate::{
    domain::{
        DAY, MINUTE,
        template::{Kind, Numbers, OnDoubt, Template, Times},
        timing::parse_duration,
    },
    platform::Facts,
    words::say,
};
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
    sends_per_grant: Option<u32>,
    period: Option<String>,
    characters: Option<usize>,
}

/// Characters that a value can be said to have at most: no card shows as many.
const CHARACTERS: usize = 500;

/// All templates of the app at `app`.
pub(super) fn check(raw: &[Raw], facts: &Facts, app: &Place<'_>, check: &mut Check<'_>) -> Vec<Template> {
    let mut known = HashSet::new();
    let place = app.key("template");
    raw.iter().enumerate().map(|(i, raw)| raw.check(facts, &place.item(i), &mut known, check)).collect()
}

impl Raw {
    /// `known` are the ids and names of the templates before it.
    fn check(&self, facts: &Facts, place: &Place<'_>, known: &mut HashSet<String>, check: &mut Check<'_>) -> Template {
        if self.id.is_empty() || self.id.len() > 128 || !self.id.chars().all(|c| c.is_ascii_graphic()) {
            check.problem(&place.key("id"), say!("bad_template_id"));
        }
        if self.name.as_ref().is_some_and(|n| !is_name(n)) {
            check.problem(&place.key("name"), say!("bad_template_name"));
        }
        for word in self.name.iter().chain([&self.id]) {
            if !known.insert(word.clone()) {
                check.problem(&place.key("id"), say!("template_name_twice", name = word));
            }
        }
        let (n, most) = (self.fields.len(), facts.fields.most);
        if n == 0 || n > most {
            check.problem(&place.key("fields"), say!("template_fields_count", found = n, most = most));
        }
        if let Some(missing) = facts.fields.missing_in_order(&self.fields) {
            let what = match facts.fields.numbers {
                Numbers::OfType => say!("fields_out_of_type", missing = missing, platform = facts.word),
                _ => say!("fields_out_of_order", missing = missing, n = n),
            };
            check.problem(&place.key("fields"), what);
        }
        if !facts.kinds.contains(&self.kind) {
            check.problem(&place.key("kind"), say!("kind_not_of_platform", kind = self.kind, platform = facts.word));
        }
        for key in self.fields.keys() {
            if let Some(kind) = facts.fields.unknown_type(key) {
                let near = near(kind, facts.fields.types);
                check.warning(say!("unknown_field_type", template = self.id, key = key, near = near));
            }
        }
        Template {
            name: self.name.clone(),
            code: self.id.clone(),
            kind: self.kind,
            title: self.title.clone(),
            fields: self.fields.clone(),
            on_doubt: self.on_doubt,
            times: self.times(facts, place, check),
            characters: self.characters(facts, place, check),
        }
    }

    /// How long a value may be, where the platform does not say it.
    fn characters(&self, facts: &Facts, place: &Place<'_>, check: &mut Check<'_>) -> Option<usize> {
        let (found, place) = (self.characters?, place.key("characters"));
        if facts.fields.characters.is_none() {
            check.problem(&place, say!("length_is_known", platform = facts.word));
        } else if !(1..=CHARACTERS).contains(&found) {
            check.problem(&place, say!("number_out_of_bounds", key = "characters", found = found, most = CHARACTERS));
        }
        Some(found)
    }

    /// How many sends one accept is worth, and for how long, if it is more than one.
    fn times(&self, facts: &Facts, place: &Place<'_>, check: &mut Check<'_>) -> Option<Times> {
        for (key, given) in [("sends_per_grant", self.sends_per_grant.is_some()), ("period", self.period.is_some())] {
            let what = match (given, facts.accepts_many, self.kind) {
                (false, ..) | (true, true, Kind::OneTime) => continue,
                (true, true, Kind::LongTerm) => say!("not_of_long_term", key = key),
                (true, false, _) => say!("not_of_platform", key = key, platform = facts.word),
            };
            check.problem(&place.key(key), what);
            return None;
        }
        let (sends, period) = match (self.sends_per_grant, &self.period) {
            (None, None) => return None,
            (Some(sends), Some(period)) => (sends, period),
            _ => {
                check.problem(place, say!("period_without_sends"));
                return None;
            }
        };
        if !(1..=1_000).contains(&sends) {
            check.problem(&place.key("sends_per_grant"), say!("sends_out_of_bounds", found = sends));
        }
        let bounded = |period| match (MINUTE..=3_650 * DAY).contains(&period) {
            true => Ok(period),
            false => Err(say!("period_out_of_bounds")),
        };
        let period = check.good(&place.key("period"), parse_duration(period).and_then(bounded))?;
        Some(Times { sends, period })
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
            ("kind = \"one-time\"", "kind = \"one-time\"\ncharacters = 30", ": leave characters out"),
        ]);
    }
}
