//! One write transaction, as the writer hands it to the functions that own the statements.

use super::{Names, dialect::Dialect};
use crate::domain::{Millis, reminder::ReminderId};
use serde::Serialize;
use sqlx::{AnyConnection, AssertSqlSafe, Row, any::AnyRow};
use std::collections::{BTreeMap, HashSet};

/// Gives out time-ordered ids, never one twice, whatever the clock does.
#[derive(Debug)]
pub struct Ids {
    next: i64,
}

impl Ids {
    /// Continues after the largest id stored.
    pub fn after(last: i64) -> Self {
        Self { next: last + 1 }
    }

    fn take(&mut self, now: Millis) -> ReminderId {
        let id = self.next.max(ReminderId::first_at(now).0);
        self.next = id + 1;
        ReminderId(id)
    }
}

/// A write transaction. What is counted in it is added to `tally` just before the commit.
pub struct Tx<'a> {
    pub(super) conn: &'a mut AnyConnection,
    pub(super) dialect: Dialect,
    pub(super) names: &'a Names,
    pub(super) ids: &'a mut Ids,
    pub(super) now: Millis,
    counted: BTreeMap<(i64, &'static str), i64>,
}

impl<'a> Tx<'a> {
    /// Opens the transaction.
    pub(super) async fn begin(
        conn: &'a mut AnyConnection,
        dialect: Dialect,
        names: &'a Names,
        ids: &'a mut Ids,
        now: Millis,
    ) -> sqlx::Result<Self> {
        sqlx::query(dialect.begin()).execute(&mut *conn).await?;
        Ok(Self { conn, dialect, names, ids, now, counted: BTreeMap::new() })
    }

    /// Commits; durable when it returns.
    pub(super) async fn commit(mut self) -> sqlx::Result<()> {
        #[derive(Serialize)]
        struct Row {
            lane: i64,
            name: &'static str,
            n: i64,
        }
        let changed = std::mem::take(&mut self.counted);
        let changed: Vec<Row> =
            changed.into_iter().filter(|(_, n)| *n != 0).map(|((lane, name), n)| Row { lane, name, n }).collect();
        if !changed.is_empty() {
            self.run(
                "INSERT INTO tally (lane, name, n)
                 SELECT CAST(j.value->>'lane' AS BIGINT), j.value->>'name', CAST(j.value->>'n' AS BIGINT) FROM {rows} WHERE true
                 ON CONFLICT (lane, name) DO UPDATE SET n = tally.n + excluded.n",
                &changed,
            )
            .await?;
        }
        sqlx::query("COMMIT").execute(&mut *self.conn).await?;
        Ok(())
    }

    /// Counts `n` more of `name` in `lane`.
    pub(super) fn count(&mut self, lane: i64, name: &'static str, n: i64) {
        *self.counted.entry((lane, name)).or_default() += n;
    }

    /// A fresh id.
    pub(super) fn new_id(&mut self) -> ReminderId {
        self.ids.take(self.now)
    }

    /// Runs a statement about many rows.
    pub(super) async fn run<R: Serialize>(&mut self, text: &str, rows: &[R]) -> sqlx::Result<u64> {
        let query = sqlx::query(AssertSqlSafe(self.dialect.sql(text))).bind(json(rows));
        Ok(query.execute(&mut *self.conn).await?.rows_affected())
    }

    /// Runs a statement that should touch a row of `due` for each of `rows`. `None` if it did; else the ids of those it touched.
    ///
    /// Answering each id costs more than touching its row, so they are asked for only when something was late: then what was done
    /// is undone and done again.
    pub(super) async fn touch<R: Serialize>(&mut self, text: &str, rows: &[R]) -> sqlx::Result<Option<HashSet<i64>>> {
        sqlx::query("SAVEPOINT touch").execute(&mut *self.conn).await?;
        let touched = self.run(text, rows).await?;
        let late = if touched == rows.len() as u64 {
            None
        } else {
            sqlx::query("ROLLBACK TO SAVEPOINT touch").execute(&mut *self.conn).await?;
            let touched = self.rows(&format!("{text} RETURNING due.id AS id"), rows).await?;
            Some(touched.iter().map(|row| row.get("id")).collect())
        };
        sqlx::query("RELEASE SAVEPOINT touch").execute(&mut *self.conn).await?;
        Ok(late)
    }

    /// Runs a statement about many rows that answers rows.
    pub(super) async fn rows<R: Serialize>(&mut self, text: &str, rows: &[R]) -> sqlx::Result<Vec<AnyRow>> {
        let query = sqlx::query(AssertSqlSafe(self.dialect.sql(text))).bind(json(rows));
        query.fetch_all(&mut *self.conn).await
    }
}

fn json<R: Serialize>(rows: &[R]) -> String {
    serde_json::to_string(rows).expect("rows are plain numbers and texts")
}
