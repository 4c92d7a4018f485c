//! A secret: never written into the configuration, which names the file, variable or credential that has it.

use super::{
    check::{Check, in_file, unknown_word},
    place::Place,
    wanted::Wanted,
};
use crate::words::{Message, say};
use secrecy::SecretString;
use serde::Deserialize;
use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// The value of a secret's key in the file. It is never printed: somebody may have written the secret itself there.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Source(toml::Value);

enum Keeper<'a> {
    File(&'a Path),
    Variable(&'a str),
    Credential(&'a str),
}

impl Source {
    /// The secret that this value of a key names.
    pub fn of(value: toml::Value) -> Self {
        Self(value)
    }

    /// The secret, or nothing and a problem. One that is passed over is empty, which no other is, and the check remembers it.
    pub fn read(&self, place: &Place<'_>, check: &mut Check<'_>) -> Option<SecretString> {
        let keeper = check.good(place, self.keeper())?;
        let hidden = check.wanted == Wanted::Reachable && keeper.hides(&check.base, check.env);
        if hidden {
            let at = in_file(check.path, check.lines.of(place));
            check.warning(say!("secret_passed_over", place = at, source = keeper.shown()));
        }
        if hidden || check.wanted == Wanted::None {
            check.passed_over = true;
            return Some(SecretString::default());
        }
        let secret = keeper.read(&check.base, check.env);
        check.good(place, secret)
    }

    /// Its file, if others on this machine can read that.
    pub fn open_to_others(&self, base: &Path) -> Option<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let Ok(Keeper::File(file)) = self.keeper() else { return None };
        let file = base.join(file);
        let open = std::fs::metadata(&file).is_ok_and(|file| file.permissions().mode() & 0o077 != 0);
        open.then_some(file)
    }

    fn keeper(&self) -> Result<Keeper<'_>, Message> {
        let table = match &self.0 {
            toml::Value::Table(table) => table,
            toml::Value::String(_) => return Err(say!("secret_in_plain", shape = say!("secret_shape"))),
            _ => return Err(say!("secret_wrong_shape", shape = say!("secret_shape"))),
        };
        let mut entries = table.iter();
        match (entries.next(), entries.next()) {
            (Some((key, toml::Value::String(value))), None) => match key.as_str() {
                "file" => Ok(Keeper::File(Path::new(value))),
                "env" => Ok(Keeper::Variable(value)),
                "credential" => Ok(Keeper::Credential(value)),
                other => Err(unknown_word(other, &["file", "env", "credential"])),
            },
            _ => Err(say!("secret_wrong_shape", shape = say!("secret_shape"))),
        }
    }
}

impl Keeper<'_> {
    /// Whether another process may have it where this one has not.
    fn hides(&self, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> bool {
        match self {
            Self::File(path) => File::open(base.join(path)).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied),
            Self::Variable(name) => env(name).is_none(),
            Self::Credential(_) => env("CREDENTIALS_DIRECTORY").is_none(),
        }
    }

    fn read(&self, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<SecretString, Message> {
        let from_file = |path: PathBuf| {
            std::fs::read_to_string(&path)
                .map_err(|e| say!("secret_unreadable", file = path.to_string_lossy(), why = e.to_string()))
        };
        let text = match self {
            Self::File(path) => from_file(base.join(path))?,
            Self::Variable(name) => env(name).ok_or_else(|| say!("secret_variable_unset", name = name))?,
            Self::Credential(name) => {
                let folder = env("CREDENTIALS_DIRECTORY");
                let folder = folder.ok_or_else(|| say!("secret_without_credentials", name = name))?;
                from_file(Path::new(&folder).join(name))?
            }
        };
        // Editors of Windows put a byte order mark before it.
        match text.trim_start_matches('\u{feff}').trim() {
            "" => Err(say!("secret_empty", source = self.shown())),
            secret => Ok(secret.into()),
        }
    }

    fn shown(&self) -> Message {
        match self {
            Self::File(file) => say!("secret_in_file", file = file.to_string_lossy()),
            Self::Variable(name) => say!("secret_in_variable", name = name),
            Self::Credential(name) => say!("secret_in_credential", name = name),
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
            ("{ env = \"COFFEE\" }", "{ fil = \"x\" }", "allowed are file, env, credential; did you mean «file»?"),
            ("{ env = \"COFFEE\" }", "{}", "tixing.toml:10: this names no secret; allowed is { file = \"path\" }"),
            ("{ env = \"COFFEE\" }", "{ env = \"A\", file = \"b\" }", "tixing.toml:10: this names no secret"),
        ]);
    }

    #[test]
    fn i9_a_secret_is_not_printed_with_its_configuration() {
        let printed = format!("{:?}", read(&GOOD, &[]).expect("good"));
        assert!(!printed.contains("s3cret"), "{printed}");
    }
}
