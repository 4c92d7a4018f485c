//! Environment variables that override the configuration: `TIXING_SERVER__LISTEN` stands for `listen` of `[server]`.

use super::{
    check::{Problems, friendly},
    place::path,
};
use crate::words::{Message, say};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// The configuration with the values of the variables; none if no variable overrides anything.
///
/// # Errors
/// When a variable names a place inside something that is no table, or its value is wrong.
pub(super) fn overridden<Raw: DeserializeOwned>(
    text: &str,
    vars: &BTreeMap<String, String>,
) -> Result<Option<Raw>, Problems> {
    let mut table: toml::Table = toml::from_str(text).expect("it was just read as TOML");
    let mut names = Vec::new();
    for (name, value) in vars {
        let Some(path) = path(name) else { continue };
        let (last, parents) = path.split_last().expect("split gives at least one");
        let mut at = &mut table;
        for key in parents {
            let entry = at.entry(key.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let toml::Value::Table(inner) = entry else {
                return Err(Problems::one(Message::text(name), say!("override_outside", key = key, name = name)));
            };
            at = inner;
        }
        at.insert(last.clone(), toml::Value::String(value.clone()));
        names.push(name.as_str());
    }
    if names.is_empty() {
        return Ok(None);
    }
    let wrong = |e: toml::de::Error| Problems::one(say!("environment", names = names), friendly(e.message()));
    table.try_into().map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{GOOD, read};

    #[test]
    fn the_environment_overrides_and_is_named_when_wrong() {
        assert_eq!(read(&GOOD, &[]).expect("good").server.listen.port(), 8700);
        let config = read(&GOOD, &[("TIXING_SERVER__LISTEN", "127.0.0.1:9000")]).expect("good");
        assert_eq!(config.server.listen.port(), 9000);
        let problems = read(&GOOD, &[("TIXING_SERVER__LISTN", "x")]).expect_err("unknown");
        assert!(problems.contains("TIXING_SERVER__LISTN") && problems.contains("did you mean"), "{problems}");
        for (name, value, said) in [
            ("TIXING_SERVER__LISTEN", "80", "TIXING_SERVER__LISTEN: «80» is not an address"),
            ("TIXING_SERVER__NODE", "", "TIXING_SERVER__NODE: the name of a node has"),
            ("TIXING_RETENTION__BODIES", "soon", "TIXING_RETENTION__BODIES: "),
            ("TIXING_STORE__URL", "mysql://h/x", "TIXING_STORE__URL: "),
        ] {
            let problems = read(&GOOD, &[(name, value)]).expect_err(name);
            assert!(problems.contains(said) && !problems.contains("tixing.toml:"), "{problems}");
        }
        let other = GOOD.replace("127.0.0.1:8700", "localhost");
        let problems = read(&other, &[("TIXING_SERVER__NODE", "a")]).expect_err("no address");
        assert!(problems.contains("tixing.toml:3: «localhost»"), "what the file says is the file's: {problems}");
    }
}
