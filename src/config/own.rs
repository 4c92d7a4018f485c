//! The keys of `[[app]]` that belong to its platform: the names of its secrets, and what else an app says of itself.

use super::{
    check::{Check, unknown_word},
    place::Place,
    secret::Source,
};
use crate::{
    domain::options::Options,
    platform::{BUILT, Facts, facts::Secrets},
    words::say,
};
use secrecy::SecretString;
use serde::Deserialize;

/// The keys of an app that are not the same on all platforms.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Own(toml::Table);

impl Own {
    /// Refuses keys that are none of this platform's; `common` are those that every app can have.
    pub fn unknown(&self, facts: &Facts, common: &[&'static str], place: &Place<'_>, check: &mut Check<'_>) {
        let of = |facts: &Facts| -> Vec<&'static str> {
            let secrets = facts.secrets().map(|key| key.split('.').next().unwrap_or(key));
            secrets.chain(facts.settings.iter().map(|setting| setting.name)).collect()
        };
        let own = of(facts);
        for key in self.0.keys().filter(|key| !own.contains(&key.as_str())) {
            let another = BUILT.iter().any(|facts| of(facts).contains(&key.as_str()));
            let what = if another {
                say!("not_of_platform", key = key, platform = facts.word)
            } else {
                unknown_word(key, &[common, &own].concat())
            };
            check.problem(&place.key(key), what);
        }
    }

    /// What it says of itself, each setting with its default.
    pub fn settings(&self, facts: &Facts, place: &Place<'_>, check: &mut Check<'_>) -> Options {
        let mut settings = Options::new();
        for setting in facts.settings {
            let said = match self.0.get(setting.name) {
                None => Some(setting.default),
                Some(said) => {
                    said.as_str().and_then(|said| setting.values.iter().copied().find(|known| *known == said))
                }
            };
            match said {
                Some(said) => drop(settings.insert(setting.name, said.to_owned())),
                None => {
                    let found = self.0.get(setting.name).map(toml::Value::to_string).unwrap_or_default();
                    check.problem(&place.key(setting.name), unknown_word(&found, setting.values));
                }
            }
        }
        settings
    }

    /// The secrets that the platform needs, or nothing and problems. An app whose tokens come from elsewhere can do without.
    pub fn secrets(&self, facts: &Facts, elsewhere: bool, place: &Place<'_>, check: &mut Check<'_>) -> Option<Secrets> {
        let given: Vec<&'static str> = facts.secrets().filter(|key| self.source(key).is_some()).collect();
        let has = |set: &[&'static str], key: &&str| set.contains(key);
        let fitting = || facts.credentials.iter().filter(|set| given.iter().all(|key| has(set, key)));
        let lacks = |set: &&[&'static str]| set.iter().filter(|key| !given.contains(key)).count();
        let Some(set) = fitting().min_by_key(|set| lacks(set)) else {
            let sets: Vec<String> = facts.credentials.iter().map(|set| set.join(" + ")).collect();
            check.problem(&self::place(place, given[0]), say!("secrets_of_two_kinds", given = given, sets = sets));
            return None;
        };
        if given.is_empty() && elsewhere {
            return Some(Secrets::new());
        }
        let missing = |set: &[&'static str]| -> String {
            let keys: Vec<&str> = set.iter().copied().filter(|key| !given.contains(key)).collect();
            keys.join(" + ")
        };
        let mut read = Some(Secrets::new());
        for key in *set {
            let secret: Option<SecretString> = match self.source(key) {
                Some(source) => source.read(&self::place(place, key), check),
                None => {
                    let others: Vec<String> = fitting().filter(|set| !has(set, key)).map(|set| missing(set)).collect();
                    let what = match others.is_empty() {
                        true => say!("config_missing_key", key = key),
                        false => say!("config_missing_one_of", key = key, others = others),
                    };
                    check.problem(&self::place(place, key), what);
                    None
                }
            };
            read = read.zip(secret).map(|(mut read, secret)| {
                read.insert(key, secret);
                read
            });
        }
        read
    }

    /// The files, variables and credentials of what nobody else may read.
    pub fn sources(&self, facts: &Facts) -> Vec<Source> {
        facts.secrets().filter(|key| !facts.public.contains(key)).filter_map(|key| self.source(key)).collect()
    }

    fn source(&self, key: &str) -> Option<Source> {
        let mut steps = key.split('.');
        let first = self.0.get(steps.next()?)?;
        let found = steps.try_fold(first, |at, step| at.get(step))?;
        Some(Source::of(found.clone()))
    }
}

/// Where a key of [`Facts::credentials`] stands.
pub(super) fn place<'p>(app: &Place<'p>, key: &'p str) -> Place<'p> {
    key.split('.').fold(app.clone(), |place, step| place.key(step))
}
