//! One write transaction, as the writer hands it to the functions that own the statements.

use super::{
    dialect::{Dialect, Rows},
    gates::{self, Known},
    names::Names,
    tally::Tally,
};
use crate::domain::{Millis, reminder::ReminderId};
use sqlx::{AnyConnection, AssertSqlSafe, Row, any::AnyRow};
use std::collections::HashSet;

/// What the writer carries from one transaction to the next.
#[derive(Debug)]
pub struct Carried {
    /// Ids are in the order of time, and none is given out twice, whatever the clock does.
    next_id: i64,
    /// How far the store has come: the instant of its last commit.
    reached: Millis,
    /// Whether the connection may still overwrite what is deleted.
    overwrites: bool,
    /// Whether the log beside the file may still have what was overwritten in the file. At the start nobody knows it.
    pub(super) erased: bool,
}

impl Carried {
    /// Continues after the largest id stored, in a store that has come to `reached`.
    pub fn after(last: i64, reached: Millis) -> Self {
        Self { next_id: last + 1, reached, overwrites: false, erased: true }
    }

    /// How far the store has come: the instant of its last commit.
    pub fn reached(&self) -> Millis {
        self.reached
    }

    /// A transaction is committed that has come to `reached`.
    pub fn committed(&mut self, reached: Millis) {
        self.reached = reached;
    }

    fn take_id(&mut self, now: Millis) -> ReminderId {
        let id = self.next_id.max(ReminderId::first_at(now).0);
        self.next_id = id + 1;
        ReminderId(id)
    }
}

/// A write transaction. What it counts is added to the table `tally` just before the writer commits it.
pub struct Tx<'a> {
    pub(super) conn: &'a mut AnyConnection,
    pub(super) dialect: Dialect,
    pub(super) names: &'a Names,
    pub(super) carried: &'a mut Carried,
    pub(super) now: Millis,
    pub(super) tally: Tally,
    /// The schedules that it changes: their gates are others once it is committed.
    pub(super) gates: Vec<(i64, Known)>,
}

impl<'a> Tx<'a> {
    /// Opens the transaction. It does not overwrite what it deletes, even if an earlier one did and failed.
    pub(super) async fn begin(
        conn: &'a mut AnyConnection,
        dialect: Dialect,
        names: &'a Names,
        carried: &'a mut Carried,
        now: Millis,
    ) -> sqlx::Result<Self> {
        if carried.overwrites {
            sqlx::query("PRAGMA secure_delete = OFF").execute(&mut *conn).await?;
            carried.overwrites = false;
        }
        sqlx::query(dialect.begin()).execute(&mut *conn).await?;
        Ok(Self { conn, dialect, names, carried, now, tally: Tally::default(), gates: Vec::new() })
    }

    /// Writes the counts, as the last statement before the commit. Answers how far the store has come with it, and the gates that change.
    pub(super) async fn close(mut self) -> sqlx::Result<(Millis, Vec<(i64, Known)>)> {
        let reached = self.now.max(self.carried.reached + 1);
        // Lane 0 is no app's.
        let of_schedules: Vec<_> = self.tally.cells_of_schedules().collect();
        let of_schedules =
            (!of_schedules.is_empty()).then(|| self.dialect.rows(["schedule", "name", "n"], of_schedules));
        if let Some(rows) = of_schedules {
            self.run(
                "INSERT INTO schedule_tally (schedule, name, n) SELECT r.schedule, r.name, r.n FROM {rows} WHERE true
                 ON CONFLICT (schedule, name) DO UPDATE SET n = schedule_tally.n + excluded.n",
                &rows,
            )
            .await?;
        }
        let progress = [0.into(), "progress".into(), reached.into()];
        let rows = self.dialect.rows(["lane", "name", "n"], self.tally.cells().chain([progress]));
        self.run(
            "INSERT INTO tally (lane, name, n) SELECT r.lane, r.name, r.n FROM {rows} WHERE true
             ON CONFLICT (lane, name) DO UPDATE SET n = CASE WHEN tally.lane = 0 THEN 0 ELSE tally.n END + excluded.n",
            &rows,
        )
        .await?;
        Ok((reached, self.gates))
    }

    /// From here on the rows that this transaction deletes are overwritten in the file too. PostgreSQL needs no such thing: its vacuum does it.
    pub(super) async fn overwrite(&mut self) -> sqlx::Result<()> {
        if self.dialect == Dialect::Sqlite {
            (self.carried.overwrites, self.carried.erased) = (true, true);
            sqlx::query("PRAGMA secure_delete = ON").execute(&mut *self.conn).await?;
        }
        Ok(())
    }

    /// A schedule has changed in this transaction: its gate is another as soon as that is committed.
    pub(super) async fn schedule_changed(&mut self, schedule: i64) -> sqlx::Result<()> {
        let known = gates::read_one(self.conn, schedule).await?;
        self.gates.extend(known);
        Ok(())
    }

    /// A fresh id.
    pub(super) fn new_id(&mut self) -> ReminderId {
        self.carried.take_id(self.now)
    }

    /// Runs a statement about many rows.
    pub(super) async fn run(&mut self, text: &str, rows: &Rows) -> sqlx::Result<u64> {
        let sql = self.dialect.sql(text, rows);
        Ok(bound(&sql, rows).execute(&mut *self.conn).await?.rows_affected())
    }

    /// Runs a statement that should touch a row of `due` for each of `rows`. `None` if it did; else the ids of those it touched.
    ///
    /// Answering each id costs more than touching its row, so they are asked for only when some row was late: then the
    /// statement is undone and run again.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::pseudonyms::Pseudonyms;
    use sqlx::Connection;

    /// What a user was told is overwritten where they are forgotten, and nowhere else: it would make every send dearer.
    #[tokio::test]
    async fn what_one_transaction_wants_overwritten_is_no_concern_of_the_next_however_the_first_ends() {
        sqlx::any::install_default_drivers();
        let mut conn = AnyConnection::connect("sqlite::memory:").await.expect("opens");
        let sql = "CREATE TABLE secret (name PRIMARY KEY, value); CREATE TABLE tally (lane, name, n, PRIMARY KEY (lane, name))";
        sqlx::query(sql).execute(&mut conn).await.expect("made");
        let names = Names::nameless(Pseudonyms::of(&mut conn).await.expect("made"));
        let mut carried = Carried::after(0, 0);
        for end in ["COMMIT", "ROLLBACK", "an error", "COMMIT"] {
            let mut tx = Tx::begin(&mut conn, Dialect::Sqlite, &names, &mut carried, 1).await.expect("begins");
            let on = async |tx: &mut Tx<'_>| -> i64 {
                sqlx::query("PRAGMA secure_delete").fetch_one(&mut *tx.conn).await.expect("answers").get(0)
            };
            assert_eq!(on(&mut tx).await, 0, "before {end}");
            tx.overwrite().await.expect("set");
            assert_eq!(on(&mut tx).await, 1, "before {end}");
            if end == "COMMIT" {
                tx.close().await.expect("counted");
                sqlx::query("COMMIT").execute(&mut conn).await.expect("commits");
                continue;
            }
            if end == "an error" {
                assert!(sqlx::query("INSERT INTO nowhere VALUES (1)").execute(&mut *tx.conn).await.is_err());
            }
            sqlx::query("ROLLBACK").execute(&mut *tx.conn).await.expect("rolls back");
        }
    }
}
