//! The counts, read: how many there are of each, by app.

use super::{Store, error::StoreError, file, tally};
use crate::domain::reminder::State;
use sqlx::Row;
use std::{collections::BTreeMap, path::Path};

/// How large a database is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// SQLite's file, or all of PostgreSQL's database.
    pub database: i64,
    /// The journal beside SQLite's file.
    pub wal: i64,
}

impl Store {
    /// How many there are: each state's word, and `consent_available` and its like, by app.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tally(&self) -> Result<BTreeMap<String, BTreeMap<String, i64>>, StoreError> {
        let sql = "SELECT lane, name, CAST(SUM(n) AS BIGINT) AS n FROM tally GROUP BY lane, name";
        let rows = sqlx::query(sql).fetch_all(&self.read).await?;
        let mut tally: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        for name in self.names.apps.keys() {
            let words = State::ALL.into_iter().map(State::word);
            tally.insert(name.clone(), words.chain(tally::OTHERS).map(|word| (word.to_owned(), 0)).collect());
        }
        for row in rows {
            if let Some(app) = tally.get_mut(self.names.app_of_lane(row.get("lane"))) {
                *app.entry(row.get("name")).or_default() += row.get::<i64, _>("n");
            }
        }
        Ok(tally)
    }

    /// How large the database is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sizes(&self) -> Result<Sizes, StoreError> {
        if let Some(file) = &self.database.file {
            let length = |path: &Path| path.metadata().map_or(0, |file| i64::try_from(file.len()).unwrap_or(i64::MAX));
            let wal = length(&file::beside(file.path(), file::LOG));
            return Ok(Sizes { database: length(file.path()), wal });
        }
        let sql = "SELECT pg_database_size(current_database()) AS bytes";
        Ok(Sizes { database: sqlx::query(sql).fetch_one(&self.read).await?.get("bytes"), wal: 0 })
    }

    /// Apps that the configuration no longer names, with the number of their living reminders.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn unconfigured(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let tally = self.tally().await?;
        let living = |counts: &BTreeMap<String, i64>| {
            State::ALL.iter().filter(|s| !s.is_final()).filter_map(|s| counts.get(s.word())).sum()
        };
        let unconfigured = tally.iter().filter(|(app, _)| !self.names.configured.contains(*app));
        Ok(unconfigured.map(|(app, counts)| (app.clone(), living(counts))).filter(|(_, n)| *n > 0).collect())
    }
}
