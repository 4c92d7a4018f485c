//! One write transaction, as the writer hands it to the functions that own the statements.

use super::{
    Names,
    dialect::{Dialect, Rows},
};
use crate::domain::{Millis, reminder::ReminderId};
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

/// A write transaction. What is counted in it is added to `tally` just before the writer commits it.
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

    /// Writes down what was counted: the last thing before the commit.
    pub(super) async fn close(mut self) -> sqlx::Result<()> {
        let mut changed = std::mem::take(&mut self.counted);
        changed.retain(|_, n| *n != 0);
        if !changed.is_empty() {
            let rows = changed.iter().map(|((lane, name), n)| [(*lane).into(), (*name).into(), (*n).into()]);
            let rows = self.dialect.rows(["lane", "name", "n"], rows);
            self.run(
                "INSERT INTO tally (lane, name, n) SELECT r.lane, r.name, r.n FROM {rows} WHERE true
                 ON CONFLICT (lane, name) DO UPDATE SET n = tally.n + excluded.n",
                &rows,
            )
            .await?;
        }
        Ok(())
    }

    /// Counts `n` more of `name` in `lane`.
    pub(super) fn count(&mut self, lane: i64, name: &'static str, n: i64) {
        *self.counted.entry((lane, name)).or_default() += n;
    }

    /// Whether what is deleted from here on is overwritten in the file too.
    pub(super) async fn overwriting(&mut self, on: bool) -> sqlx::Result<()> {
        sqlx::query(self.dialect.overwriting(on)).execute(&mut *self.conn).await.map(drop)
    }

    /// A fresh id.
    pub(super) fn new_id(&mut self) -> ReminderId {
        self.ids.take(self.now)
    }

    /// Runs a statement about many rows.
    pub(super) async fn run(&mut self, text: &str, rows: &Rows) -> sqlx::Result<u64> {
        let sql = self.dialect.sql(text, rows);
        Ok(bound(&sql, rows).execute(&mut *self.conn).await?.rows_affected())
    }

    /// Runs a statement that should touch a row of `due` for each of `rows`. `None` if it did; else the ids of those it touched.
    ///
    /// Answering each id costs more than touching its row, so they are asked for only when something was late: then what was done
    /// is undone and done again.
    pub(super) async fn touch(&mut self, text: &str, rows: &Rows) -> sqlx::Result<Option<HashSet<i64>>> {
        sqlx::query("SAVEPOINT touch").execute(&mut *self.conn).await?;
        let touched = self.run(text, rows).await?;
        let late = if touched == rows.len as u64 {
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
    pub(super) async fn rows(&mut self, text: &str, rows: &Rows) -> sqlx::Result<Vec<AnyRow>> {
        let sql = self.dialect.sql(text, rows);
        bound(&sql, rows).fetch_all(&mut *self.conn).await
    }
}

/// A statement with the parameters of its rows.
pub(super) fn bound<'q>(sql: &str, rows: &'q Rows) -> sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments> {
    let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    rows.parameters.iter().fold(query, |query, parameter| query.bind(parameter.as_str()))
}
