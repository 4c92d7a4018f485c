//! Environment variables that override the configuration: `TIXING_SERVER__LISTEN` stands for `listen` of `[server]`.

use super::check::{Problems, friendly};
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
    for (name, value) in vars.iter().filter(|(k, _)| k.starts_with("TIXING_") && k.contains("__")) {
        let path: Vec<String> = name["TIXING_".len()..].split("__").map(str::to_lowercase).collect();
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
    }
}
