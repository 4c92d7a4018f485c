//! `codes` of an app: what an operator says that codes of its platform mean.

use super::{
    check::{Check, unknown_word},
    place::Place,
};
use crate::{
    platform::{
        Facts,
        mapped::{self, Codes},
    },
    words::say,
};
use std::collections::BTreeMap;

/// Codes that one app can map.
const AT_MOST: usize = 100;

/// Code → word, as it is written.
pub(super) type Raw = BTreeMap<String, String>;

/// What it says. A code that the platform's own table lists differently is told, since it is easily forgotten.
pub(super) fn check(raw: &Raw, app: &str, facts: &Facts, place: &Place<'_>, check: &mut Check<'_>) -> Codes {
    if raw.len() > AT_MOST {
        check.problem(place, say!("too_many_codes", found = raw.len(), most = AT_MOST));
    }
    let mut codes = Codes::new();
    for (code, word) in raw {
        let place = place.key(code);
        if code.is_empty() || code.len() > 32 || !code.bytes().all(|b| b.is_ascii_graphic()) {
            check.problem(&place, say!("bad_code"));
        }
        match mapped::reaction(word) {
            Some(reaction) => drop(codes.insert(code.clone(), reaction)),
            None => check.problem(&place, unknown_word(word, &mapped::words())),
        }
    }
    for (code, word) in raw {
        let listed = facts.code(code).is_some_and(|known| codes.get(code) != Some(&known.reaction));
        let (key, word) = (code, word);
        check.warning(match listed {
            true => say!("code_mapped_otherwise", app = app, code = key, word = word),
            false => say!("code_mapped", app = app, code = key, word = word),
        });
    }
    codes
}

#[cfg(test)]
mod tests {
    use crate::{
        config::tests::{GOOD, read, refused},
        domain::outcome::Reaction,
    };

    const ZONE: &str = "timezone = \"Asia/Shanghai\"";

    #[test]
    fn an_operator_says_what_a_code_means_and_is_told_so() {
        let codes = "timezone = \"Asia/Shanghai\"\ncodes = { 100200999 = \"deny\" }";
        let config = read(&GOOD.replace(ZONE, codes), &[]).expect("good");
        assert_eq!(config.apps[0].codes["100200999"], Reaction::Deny);
        assert!(config.apps[0].denies("100200999"));
        let told = config.warnings.iter().any(|warning| warning.to_string().contains("100200999"));
        assert!(told, "{:?}", config.warnings);
    }

    #[test]
    fn every_mistake_names_its_line_and_what_is_allowed() {
        let long = format!("codes = {{ \"{}\" = \"deny\" }}", "9".repeat(33));
        refused(&[
            (ZONE, "codes = { 1 = \"denny\" }", "did you mean «deny»?"),
            (ZONE, "codes = { \"a b\" = \"deny\" }", "tixing.toml:11: a code is 1 to 32 visible ASCII characters"),
            (ZONE, &long, "tixing.toml:11: a code is 1 to 32 visible ASCII characters"),
        ]);
    }
}
