//! `callback` of an app: how the platform's pushes are told from forgeries.

use super::{check::Check, place::Place, secret};
use crate::{platform::push::PushSecrets, words::say};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    token: secret::Source,
    /// Left out where the console's mode is plain.
    aes_key: Option<secret::Source>,
}

impl Raw {
    pub fn check(&self, app: &str, place: &Place<'_>, check: &mut Check<'_>) -> Option<PushSecrets> {
        let token = self.token.read(place, check);
        let aes_key = match &self.aes_key {
            Some(key) => key.read(place, check).map(Some),
            None => {
                check.warning(say!("pushes_in_clear", app = app));
                Some(None)
            }
        };
        let (token, aes_key) = token.zip(aes_key)?;
        if aes_key.as_ref().is_some_and(|key| !is_aes_key(key)) {
            check.problem(place, say!("bad_aes_key"));
        }
        Some(PushSecrets { token, aes_key })
    }

    /// Its secrets.
    pub fn sources(&self) -> impl Iterator<Item = &secret::Source> {
        [Some(&self.token), self.aes_key.as_ref()].into_iter().flatten()
    }
}

fn is_aes_key(key: &SecretString) -> bool {
    let key = key.expose_secret();
    key.len() == 43 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b))
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
            ("timezone = \"Asia/Shanghai\"", "callback = { aes_key = { env = \"COFFEE\" } }", "missing field `token`"),
        ]);
    }
}
