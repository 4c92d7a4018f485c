//! `[store]`: which database, and how durable a commit is.

use super::{check::Check, place::Place};
use crate::words::say;
use serde::Deserialize;

/// The database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// `sqlite:…` with an absolute path, or `postgres://…`.
    pub url: String,
    /// How durable a commit is.
    pub durability: Durability,
    /// What a standby of PostgreSQL has that takes over.
    pub replication: Replication,
}

/// What a standby of PostgreSQL has that takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Replication {
    /// Perhaps not the last commits: the server does not wait for it.
    #[default]
    Asynchronous,
    /// Every commit that was confirmed.
    Synchronous,
}

/// How durable a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Survives a loss of power.
    #[default]
    Full,
    /// Survives a crash of the process only: a loss of power may forget a mark, and that is a message sent twice.
    Process,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    url: String,
    durability: Durability,
    replication: Replication,
}

impl Default for Raw {
    fn default() -> Self {
        Self { url: "sqlite:tixing.db".into(), durability: Durability::Full, replication: Replication::default() }
    }
}

impl Raw {
    pub fn check(&self, check: &mut Check<'_>) -> Option<Store> {
        let url = match self.url.split_once(':') {
            Some(("sqlite", file)) if !file.is_empty() && !file.contains('?') => {
                let file = file.strip_prefix("//").unwrap_or(file);
                Some(format!("sqlite:{}", check.base.join(file).display()))
            }
            Some(("postgres" | "postgresql", _)) => Some(self.url.clone()),
            _ => {
                check.problem(&Place::table("store").key("url"), say!("not_a_store_url"));
                None
            }
        };
        let user = self.url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
        if user.is_some_and(|(user, _)| user.contains(':')) {
            check.warning(say!("store_url_password"));
        }
        if self.durability == Durability::Process {
            check.warning(say!("store_not_durable"));
        }
        Some(Store { url: url?, durability: self.durability, replication: self.replication })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::refused;

    #[test]
    fn every_mistake_names_its_line_and_what_is_allowed() {
        refused(&[("sqlite:tixing.db", "mysql:x", "tixing.toml:5: this is not a store")]);
    }
}
