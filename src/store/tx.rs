//! One write transaction, as the writer hands it to the functions that own the statements.

use super::{
    chain::Chain,
    dialect::{Dialect, Plans, Rows, unpack},
    gates::{self, Known},
    me::{self, Me},
    names::Names,
    procedures::{LATE, Later, Procedures, query},
    tally::Tally,
};
use crate::{
    config::Durability,
    domain::{Millis, node::NodeId, reminder::ReminderId},
};
use serde::de::DeserializeOwned;
use sqlx::{
    Any, AnyConnection, AssertSqlSafe, Row,
    any::{AnyArguments, AnyRow},
    query::Query,
};
use std::collections::HashSet;

/// What the writer carries from one transaction to the next.
#[derive(Debug)]
pub struct Carried {
    /// Ids are in the order of time, and none is given out twice, whatever the clock does. The ids of several writers are in that order as
    /// far as their clocks agree, and become visible in the order of the commits: so nothing goes on behind the largest id that it has seen.
    next_id: i64,
    /// How many writers there may be. The slot of this one is below that, and its ids are the ones that leave this remainder.
    slots: i64,
    durability: Durability,
    /// How far the store has come: the instant of its last commit.
    reached: Millis,
    /// Whether the connection may still overwrite what is deleted.
    overwrites: bool,
    /// Whether the log beside the file may still have what was overwritten in the file. At the start nobody knows it.
    pub(super) erased: bool,
    /// Who writes.
    me: Me,
    /// How many commits it has made, among several.
    pub(super) chain: Chain,
}

impl Carried {
    /// The writer of a slot continues after the largest id stored, in a store that has come to `reached`.
    pub fn after(last: i64, reached: Millis, (dialect, durability): (Dialect, Durability), me: Me) -> Self {
        let slots = dialect.slots();
        assert!((0..slots).contains(&me.slot()), "there are {slots} slots");
        Self {
            next_id: last + 1,
            slots,
            durability,
            reached,
            overwrites: false,
            erased: true,
            me,
            chain: Chain::default(),
        }
    }

    /// The node that writes, if it is one among several.
    pub(super) fn node(&self) -> Option<NodeId> {
        self.me.id()
    }

    /// Who writes, whichever node it is.
    pub(super) fn being(&self) -> Me {
        self.me.clone()
    }

    /// How far the store has come: the instant of its last commit.
    pub fn reached(&self) -> Millis {
        self.reached
    }

    /// A transaction is committed that has come to `reached`.
    pub fn committed(&mut self, reached: Millis) {
        self.reached = reached;
    }

    /// Completes a statement about counts: where several may write, each has rows of its own, so that no commit waits for another's.
    fn of_slot(&self, text: &str) -> String {
        if self.slots == 1 {
            return text.replace("{, slot}", "").replace("{, own slot}", "");
        }
        text.replace("{, slot}", ", slot").replace("{, own slot}", &format!(", {}", self.me.slot()))
    }

    fn take_id(&mut self, now: Millis) -> ReminderId {
        let least = self.next_id.max(ReminderId::first_at(now).0).max(self.me.first_id());
        let id = least + (self.me.slot() - least).rem_euclid(self.slots);
        self.next_id = id + 1;
        ReminderId(id)
    }
}

/// How a transaction goes about rows that have changed since they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// None has, most likely: if one has, the transaction fails by [`is_late`], and is to be done with care.
    Swift,
    /// It looks which they are.
    Careful,
}

/// Whether a swift transaction has met a row that had changed since it was read.
pub(super) fn is_late(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::RowNotFound => true,
        sqlx::Error::Database(e) => e.message() == LATE,
        _ => false,
    }
}

/// What a transaction has changed, once it is committed.
pub(super) struct Committed {
    /// How far the store has come with it.
    pub reached: Millis,
    /// The gates that are others now.
    pub gates: Vec<(i64, Known)>,
    /// Its number among the node's commits, if a node has made it.
    pub n: Option<i64>,
}

/// A write transaction. What it counts is added to the table `tally` just before it is committed.
///
/// Statements that nothing waits for are kept until one is asked that answers something. A transaction that asks nothing is one statement.
pub struct Tx<'a> {
    conn: &'a mut AnyConnection,
    procedures: &'a mut Procedures,
    /// What is kept. The statement that opens the transaction is not among them.
    later: Vec<Later>,
    is_open: bool,
    way: Way,
    plans: Plans,
    pub(super) dialect: Dialect,
    pub(super) names: &'a Names,
    pub(super) carried: &'a mut Carried,
    pub(super) now: Millis,
    pub(super) tally: Tally,
    /// The schedules that it changes: their gates are others once it is committed.
    gates: Vec<(i64, Known)>,
    /// The lanes and epochs that are this node's until it ends.
    pub(super) fenced: HashSet<(i64, i64)>,
    /// Other nodes are to look at once.
    pub(super) rings: bool,
}

impl<'a> Tx<'a> {
    /// Opens the transaction. It does not overwrite what it deletes, even if an earlier one did and failed.
    pub(super) fn begin(
        (conn, procedures): (&'a mut AnyConnection, &'a mut Procedures),
        dialect: Dialect,
        names: &'a Names,
        carried: &'a mut Carried,
        now: Millis,
        way: Way,
    ) -> Self {
        let (later, tally, gates, fenced) = Default::default();
        Self {
            conn,
            procedures,
            later,
            is_open: false,
            way,
            plans: Plans::Freely,
            dialect,
            names,
            carried,
            now,
            tally,
            gates,
            fenced,
            rings: false,
        }
    }

    /// Writes the counts and commits. `committing` is set as soon as the database alone knows whether it is kept.
    pub(super) async fn commit(mut self, committing: &mut bool) -> sqlx::Result<Committed> {
        let reached = self.count();
        if !self.is_open && !self.carried.overwrites && self.dialect == Dialect::Sqlite {
            *committing = true;
            if self.procedures.run(self.conn, &self.later).await? {
                return Ok(Committed { reached, gates: self.gates, n: None });
            }
            *committing = false;
        }
        self.flush().await?;
        let mut with = String::new();
        if self.rings && self.dialect == Dialect::Postgres {
            with += &me::ring(self.carried.me.slot());
        }
        if let Some(me) = self.carried.node() {
            with += &self.carried.chain.link(me);
        }
        *committing = true;
        let n = if with.is_empty() {
            sqlx::query("COMMIT").execute(&mut *self.conn).await?;
            None
        } else {
            // In one go, which takes no longer on the way than the commit alone. Where one fails, those behind it are not done.
            let answered = sqlx::raw_sql(AssertSqlSafe(with + "COMMIT")).fetch_all(&mut *self.conn).await?;
            answered.last().map(|row| row.get("n"))
        };
        Ok(Committed { reached, gates: self.gates, n })
    }

    /// Writes the counts.
    fn count(&mut self) -> Millis {
        let reached = self.now.max(self.carried.reached + 1);
        // Lane 0 is no app's.
        let of_schedules: Vec<_> = self.tally.cells_of_schedules().collect();
        let of_schedules =
            (!of_schedules.is_empty()).then(|| self.dialect.rows(["schedule", "name", "n"], of_schedules));
        if let Some(rows) = of_schedules {
            self.later(
                &self.carried.of_slot(
                    "INSERT INTO schedule_tally (schedule, name{, slot}, n) SELECT r.schedule, r.name{, own slot}, r.n FROM {rows}
                     WHERE true ON CONFLICT (schedule, name{, slot}) DO UPDATE SET n = schedule_tally.n + excluded.n",
                ),
                rows,
            );
        }
        let progress = [0.into(), "progress".into(), reached.into()];
        let rows = self.dialect.rows(["lane", "name", "n"], self.tally.cells().chain([progress]));
        self.later(
            &self.carried.of_slot(
                "INSERT INTO tally (lane, name{, slot}, n) SELECT r.lane, r.name{, own slot}, r.n FROM {rows} WHERE true
                 ON CONFLICT (lane, name{, slot}) DO UPDATE SET n = CASE WHEN tally.lane = 0 THEN 0 ELSE tally.n END + excluded.n",
            ),
            rows,
        );
        reached
    }

    /// The node that writes, if it is one among several.
    pub(super) fn me(&self) -> Option<NodeId> {
        self.carried.node()
    }

    /// Whether the server says which timeline it writes.
    pub(super) fn knows_timeline(&self) -> bool {
        self.carried.me.knows_timeline()
    }

    /// The connection, for a statement of its own: what was kept for later is done first.
    pub(super) async fn conn(&mut self) -> sqlx::Result<&mut AnyConnection> {
        self.flush().await?;
        Ok(self.conn)
    }

    /// The same with what a question needs besides.
    pub(super) async fn parts(&mut self) -> sqlx::Result<(&mut AnyConnection, Dialect, &'a Names)> {
        self.flush().await?;
        Ok((self.conn, self.dialect, self.names))
    }

    /// Opens the transaction, if it is not open, and does what was kept for later.
    async fn flush(&mut self) -> sqlx::Result<()> {
        if !self.is_open {
            if self.carried.overwrites {
                sqlx::query("PRAGMA secure_delete = OFF").execute(&mut *self.conn).await?;
                self.carried.overwrites = false;
            }
            // Several statements in one go.
            self.open_with("").await?;
        }
        for Later { sql, parameters, touches } in std::mem::take(&mut self.later) {
            let touched = query(&sql, &parameters).execute(&mut *self.conn).await?.rows_affected();
            if touches.is_some_and(|touches| touches as u64 != touched) {
                return Err(sqlx::Error::RowNotFound);
            }
        }
        Ok(())
    }

    /// How its statements are planned from here on.
    pub(super) async fn plan(&mut self, plans: Plans) -> sqlx::Result<()> {
        let is_other = std::mem::replace(&mut self.plans, plans) != plans;
        if is_other && self.is_open && self.dialect == Dialect::Postgres {
            // What was kept for later is planned as before.
            sqlx::raw_sql(plans.settings()).execute(self.conn().await?).await?;
        }
        Ok(())
    }

    /// Opens the transaction and asks something whose values are all in its text: in one go, which takes no longer on the way than to open it alone.
    pub(super) async fn open_with(&mut self, sql: &str) -> sqlx::Result<Vec<AnyRow>> {
        debug_assert!(!self.is_open, "it is the first question");
        let begin = self.dialect.begin(self.carried.durability);
        let sql = match self.dialect {
            Dialect::Sqlite => begin.to_owned(),
            Dialect::Postgres => format!("{begin}; {}{sql}", self.plans.settings()),
        };
        let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *self.conn).await?;
        self.is_open = true;
        Ok(rows)
    }

    /// From here on the rows that this transaction deletes are overwritten in the file too. PostgreSQL needs no such thing: its vacuum does it.
    pub(super) async fn overwrite(&mut self) -> sqlx::Result<()> {
        if self.dialect == Dialect::Sqlite {
            (self.carried.overwrites, self.carried.erased) = (true, true);
            sqlx::query("PRAGMA secure_delete = ON").execute(self.conn().await?).await?;
        }
        Ok(())
    }

    /// A schedule has changed in this transaction: its gate is another as soon as that is committed.
    pub(super) async fn schedule_changed(&mut self, schedule: i64) -> sqlx::Result<()> {
        let known = gates::read_one(self.conn().await?, schedule).await?;
        if let Some((_, known)) = &known {
            self.raise_epoch(&format!("app = (SELECT app FROM lane WHERE id = {})", known.home)).await?;
        }
        self.gates.extend(known);
        Ok(())
    }

    /// The gates of these lanes close or open: whoever marks in them looks at them again first, whichever node that is.
    pub(super) async fn raise_epoch(&mut self, of: &str) -> sqlx::Result<()> {
        if self.dialect == Dialect::Postgres {
            let sql = format!("UPDATE lane SET epoch = epoch + 1 WHERE {of}");
            sqlx::query(AssertSqlSafe(sql)).execute(self.conn().await?).await?;
            self.rings = true;
        }
        Ok(())
    }

    /// A fresh id.
    pub(super) fn new_id(&mut self) -> ReminderId {
        self.carried.take_id(self.now)
    }

    /// Locks rows that a condition on one number finds, until the transaction ends: the statements behind this one see what others have left.
    /// SQLite has one writer, and is asked nothing.
    pub(super) async fn lock(&mut self, sql: &str, number: i64) -> sqlx::Result<()> {
        if self.dialect == Dialect::Postgres {
            sqlx::query(AssertSqlSafe(sql.to_owned())).bind(number).execute(self.conn().await?).await?;
        }
        Ok(())
    }

    /// Runs a statement about many rows; answers how many it touched.
    pub(super) async fn run(&mut self, text: &str, rows: &Rows) -> sqlx::Result<u64> {
        let sql = self.dialect.sql(text, rows);
        Ok(bound(&sql, rows).execute(self.conn().await?).await?.rows_affected())
    }

    /// Runs a statement about many rows when the next question is asked, or with the commit.
    pub(super) fn later(&mut self, text: &str, rows: Rows) {
        let sql = self.dialect.sql(text, &rows);
        self.later.push(Later { sql, parameters: rows.parameters, touches: None });
    }

    /// Runs a statement that should touch a row of `due` for each of `rows`. `None` if it did; else the ids of those it touched.
    ///
    /// Answering each id costs more than touching its row, so they are asked for only when some row was late.
    pub(super) async fn touch(&mut self, text: &str, rows: Rows) -> sqlx::Result<Option<HashSet<i64>>> {
        match self.way {
            Way::Swift => {
                let (sql, touches) = (self.dialect.sql(text, &rows), Some(rows.len));
                self.later.push(Later { sql, parameters: rows.parameters, touches });
                Ok(None)
            }
            Way::Careful => {
                let touched = self.rows(&format!("{text} RETURNING due.id AS id"), &rows).await?;
                Ok(Some(touched.iter().map(|row| row.get("id")).collect()))
            }
        }
    }

    /// Reads these columns of the rows that `from` brings, all in one value.
    pub(super) async fn packed<T: DeserializeOwned>(
        &mut self,
        columns: &[&str],
        from: &str,
        rows: &Rows,
    ) -> sqlx::Result<Vec<T>> {
        let sql = self.dialect.packed(columns, &self.dialect.sql(from, rows));
        unpack(&bound(&sql, rows).fetch_one(self.conn().await?).await?)
    }

    /// Runs a statement about many rows that answers rows.
    pub(super) async fn rows(&mut self, text: &str, rows: &Rows) -> sqlx::Result<Vec<AnyRow>> {
        let sql = self.dialect.sql(text, rows);
        bound(&sql, rows).fetch_all(self.conn().await?).await
    }
}

/// A statement with the parameters of its rows.
pub(super) fn bound<'q>(sql: &str, rows: &'q Rows) -> Query<'q, Any, AnyArguments> {
    query(sql, &rows.parameters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::pseudonyms::Pseudonyms;
    use sqlx::Connection;

    #[test]
    fn ids_of_two_slots_are_never_the_same_and_sqlite_leaves_none_out() {
        let first = ReminderId::first_at(1_800_000_000_000).0;
        for (dialect, slot, last, ids) in [
            (Dialect::Sqlite, 0, 0, [first, first + 1]),
            (Dialect::Sqlite, 0, first + 6, [first + 7, first + 8]),
            (Dialect::Postgres, 0, 0, [first, first + 64]),
            (Dialect::Postgres, 5, 0, [first + 5, first + 69]),
            (Dialect::Postgres, 5, first + 5, [first + 69, first + 133]),
            (Dialect::Postgres, 63, first + 64, [first + 127, first + 191]),
        ] {
            let mut carried = Carried::after(last, 0, (dialect, Durability::Full), Me::of_slot(slot));
            let given = [carried.take_id(1_800_000_000_000).0, carried.take_id(1_799_999_999_999).0];
            assert_eq!(given, ids, "{dialect:?} {slot} {last}");
        }
    }

    /// What a user was told is overwritten where they are forgotten, and nowhere else: it would make every send dearer.
    #[tokio::test]
    async fn what_one_transaction_wants_overwritten_is_no_concern_of_the_next_however_the_first_ends() {
        sqlx::any::install_default_drivers();
        let mut conn = AnyConnection::connect("sqlite::memory:").await.expect("opens");
        let sql = "CREATE TABLE secret (name PRIMARY KEY, value); CREATE TABLE tally (lane, name, n, PRIMARY KEY (lane, name))";
        sqlx::query(sql).execute(&mut conn).await.expect("made");
        let names = Names::nameless(Pseudonyms::of(&mut conn).await.expect("made"));
        let (mut carried, mut procedures) =
            (Carried::after(0, 0, (Dialect::Sqlite, Durability::Full), Me::of_slot(0)), Procedures::default());
        for end in ["COMMIT", "ROLLBACK", "an error", "COMMIT"] {
            let mut tx = Tx::begin((&mut conn, &mut procedures), Dialect::Sqlite, &names, &mut carried, 1, Way::Swift);
            let on = async |tx: &mut Tx<'_>| -> i64 {
                let conn = tx.conn().await.expect("begins");
                sqlx::query("PRAGMA secure_delete").fetch_one(conn).await.expect("answers").get(0)
            };
            assert_eq!(on(&mut tx).await, 0, "before {end}");
            tx.overwrite().await.expect("set");
            assert_eq!(on(&mut tx).await, 1, "before {end}");
            if end == "COMMIT" {
                tx.commit(&mut false).await.expect("commits");
                continue;
            }
            if end == "an error" {
                let conn = tx.conn().await.expect("still there");
                assert!(sqlx::query("INSERT INTO nowhere VALUES (1)").execute(conn).await.is_err());
            }
            sqlx::query("ROLLBACK").execute(tx.conn().await.expect("still there")).await.expect("rolls back");
        }
    }
}
