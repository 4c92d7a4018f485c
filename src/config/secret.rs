//! A secret: never written into the configuration, which names the file, variable or credential that has it.

use super::{check::Check, place::Place};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Where a secret is kept.
pub(super) enum Source {
    File(PathBuf),
    Env(String),
    Credential(String),
}

const SHAPE: &str =
    "{ file = \"path\" }, { env = \"NAME\" } or { credential = \"name\" }: a secret is never written into this file";

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> serde::de::Visitor<'de> for Shape {
            type Value = Source;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SHAPE)
            }

            // The default of this method would print the string, and the string may be the secret.
            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Source, E> {
                Err(E::custom(format!("found a plain string; allowed is {SHAPE}")))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Source, A::Error> {
                use serde::de::Error;
                let Some((key, value)) = map.next_entry::<String, String>()? else {
                    return Err(A::Error::custom(format!("found an empty table; allowed is {SHAPE}")));
                };
                if map.next_key::<String>()?.is_some() {
                    return Err(A::Error::custom(format!("found several sources; allowed is one of {SHAPE}")));
                }
                match key.as_str() {
                    "file" => Ok(Source::File(value.into())),
                    "env" => Ok(Source::Env(value)),
                    "credential" => Ok(Source::Credential(value)),
                    other => Err(A::Error::unknown_field(other, &["file", "env", "credential"])),
                }
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl Source {
    /// The secret, or nothing and a problem.
    pub fn read(&self, place: &Place<'_>, check: &mut Check<'_>) -> Option<SecretString> {
        let secret = self.found(&check.base, check.env);
        check.good(place, secret)
    }

    fn found(&self, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<SecretString, String> {
        let from_file = |path: PathBuf| {
            std::fs::read_to_string(&path).map_err(|e| format!("cannot read the secret file {}: {e}", path.display()))
        };
        let text = match self {
            Self::File(path) => from_file(base.join(path))?,
            Self::Env(name) => env(name)
                .ok_or_else(|| format!("the environment variable {name} is not set; it should hold the secret"))?,
            Self::Credential(name) => {
                let dir = env("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    format!("$CREDENTIALS_DIRECTORY is not set; add LoadCredential={name}:… to the systemd unit")
                })?;
                from_file(Path::new(&dir).join(name))?
            }
        };
        match text.trim() {
            "" => Err(format!("the secret that {} holds is empty", self.shown())),
            secret => Ok(secret.into()),
        }
    }

    /// Its file, if others on this machine can read that.
    pub fn open_to_others(&self, base: &Path) -> Option<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let Self::File(file) = self else { return None };
        let file = base.join(file);
        let open = std::fs::metadata(&file).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
        open.then_some(file)
    }

    /// Where it is kept, in words.
    fn shown(&self) -> String {
        match self {
            Self::File(path) => format!("the file {}", path.display()),
            Self::Env(name) => format!("the environment variable {name}"),
            Self::Credential(name) => format!("the credential {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{GOOD, read, refused};

    #[test]
    fn every_mistake_names_its_line_and_what_is_allowed() {
        refused(&[
            ("{ env = \"COFFEE\" }", "\"hunter2\"", "a secret is never written into this file"),
            ("{ env = \"COFFEE\" }", "{ env = \"TEA\" }", "tixing.toml:10: the environment variable TEA is not set"),
            ("{ env = \"COFFEE\" }", "{ file = \"nowhere\" }", "cannot read the secret file"),
        ]);
    }

    #[test]
    fn i9_a_secret_is_not_printed_with_its_configuration() {
        let printed = format!("{:?}", read(GOOD, &[]).expect("good"));
        assert!(!printed.contains("s3cret"), "{printed}");
    }
}
