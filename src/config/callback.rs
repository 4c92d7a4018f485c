//! `callback` of an app: how the platform's pushes are told from forgeries.

use super::{
    check::{Check, unknown_word},
    place::Place,
    secret,
};
use crate::{
    platform::facts::{LeftOut, PushFacts, Secrets},
    words::say,
};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Raw(BTreeMap<String, secret::Source>);

impl Raw {
    /// The secrets of the platform's pushes, or nothing and problems.
    pub fn check(&self, app: &str, pushes: &PushFacts, place: &Place<'_>, check: &mut Check<'_>) -> Option<Secrets> {
        let known: Vec<&str> = pushes.secrets.iter().map(|secret| secret.key).collect();
        for key in self.0.keys().filter(|key| !known.contains(&key.as_str())) {
            check.problem(&place.key(key), unknown_word(key, &known));
        }
        let mut read = Some(Secrets::new());
        for secret in pushes.secrets {
            let Some(source) = self.0.get(secret.key) else {
                match secret.left_out {
                    LeftOut::Refused => {
                        check.problem(place, say!("config_missing_key", key = secret.key));
                        read = None;
                    }
                    LeftOut::InClear => check.warning(say!("pushes_in_clear", app = app)),
                    LeftOut::Replaced => {}
                }
                continue;
            };
            read = read.zip(source.read(place, check)).map(|(mut read, found)| {
                read.insert(secret.key, found);
                read
            });
        }
        read
    }

    /// Its secrets.
    pub fn sources(&self) -> impl Iterator<Item = &secret::Source> {
        self.0.values()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::refused;

    #[test]
    fn every_mistake_names_its_line_and_what_is_allowed() {
        refused(&[
            (
                "timezone = \"Asia/Shanghai\"",
                "callback = { token = { env = \"COFFEE\" }, aes_key = { env = \"COFFEE\" } }",
                "tixing.toml:11: its aes_key is no EncodingAESKey",
            ),
            (
                "timezone = \"Asia/Shanghai\"",
                "callback = { aes_key = { env = \"COFFEE\" } }",
                "tixing.toml:11: missing field `token`",
            ),
            (
                "timezone = \"Asia/Shanghai\"",
                "callback = { tokn = { env = \"COFFEE\" } }",
                "tixing.toml:11: unknown key or value «tokn»; allowed are token, aes_key; did you mean «token»?",
            ),
        ]);
    }
}
