//! `[retention]`: how long the data of ended reminders is kept.

use super::{check::Check, place::Place};
use crate::{
    domain::{DAY, Millis, retention::Retention, timing::parse_duration},
    words::{Message, say},
};
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    bodies: Option<String>,
    attempts: Option<String>,
    history: Option<String>,
}

impl Raw {
    pub fn check(&self, check: &mut Check<'_>) -> Retention {
        let place = Place::table("retention");
        let mut term = |key, text: &Option<String>| check.good(&place.key(key), term(text.as_deref()?));
        let retention = Retention {
            bodies: term("bodies", &self.bodies),
            attempts: term("attempts", &self.attempts),
            history: term("history", &self.history),
        };
        for (key, term) in [("bodies", retention.bodies), ("attempts", retention.attempts)] {
            if term.zip(retention.history).is_some_and(|(term, history)| term >= history) {
                check.warning(say!("term_without_effect", key = key));
            }
        }
        retention
    }
}

fn term(text: &str) -> Result<Millis, Message> {
    match parse_duration(text)? {
        term if term >= DAY => Ok(term),
        _ => Err(say!("term_too_short")),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::refused;

    #[test]
    fn every_mistake_names_its_line_and_what_is_allowed() {
        refused(&[
            (
                "[store]",
                "[retention]\nbodies = \"12h\"\n[store]",
                "tixing.toml:5: less than a day: receipts and repeated calls would find nothing; allowed is 1d or more",
            ),
            ("[store]", "[retention]\nhistory = \"a year\"\n[store]", "tixing.toml:5: «a year» is not a duration"),
            (
                "[store]",
                "[retention]\nbodys = \"9d\"\n[store]",
                "«bodys»; allowed are bodies, attempts, history; did you mean «bodies»?",
            ),
        ]);
    }
}
