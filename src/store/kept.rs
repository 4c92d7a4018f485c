//! The rows that a recurring schedule keeps of its tables: by them its occurrences are prepared when the tables may long be gone.
//!
//! The rows of one load are an edition. A load writes its rows under a new one, and only its end makes that the schedule's: until then, and
//! when it is cut off, occurrences are prepared by the edition before.

use super::{
    Store,
    command::Single,
    error::StoreError,
    recipients::{self, forgotten},
    schedules::{Task, TaskKind, has_task, task},
    tx::Tx,
};
use crate::domain::Millis;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use std::cmp::Ordering;

/// Which of a schedule's tables a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// Who.
    Audience,
    /// Who not.
    Exclude,
    /// The events.
    Events,
}

impl Part {
    /// The word in SQL and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Audience => "audience",
            Self::Exclude => "exclude",
            Self::Events => "events",
        }
    }

    fn from_word(word: &str) -> Self {
        let all = [Self::Audience, Self::Exclude, Self::Events];
        all.into_iter().find(|part| part.word() == word).expect("the database's CHECK allows these only")
    }
}

/// A row of a table that a schedule keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRow {
    /// Its number in its sheet, or the place in an inline list, from 1.
    pub number: u32,
    /// Whom it is about; `None` for an event.
    pub openid: Option<String>,
    /// The cells that the file names, as JSON.
    pub cells: String,
}

/// A kept row of a user, as they are shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOfUser {
    /// The schedule's name.
    pub schedule: String,
    /// Under which it is kept; those of earlier ones are about to be erased.
    pub edition: i64,
    /// Which of its tables.
    pub part: Part,
    /// The row.
    pub row: KeptRow,
}

/// Keeps some rows. Those of users who were forgotten are left out: no row of theirs may outlive the wish.
struct Keep {
    schedule: i64,
    nonce: String,
    edition: i64,
    part: Part,
    from: i64,
    rows: Vec<KeptRow>,
}

impl Single for Keep {
    const WHAT: Option<&'static str> = Some("rows of a schedule were kept");

    type Done = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<bool> {
        if !has_task(tx, self.schedule, &self.nonce).await? {
            return Ok(false);
        }
        let app: i64 = sqlx::query("SELECT app FROM schedule WHERE id = $1")
            .bind(self.schedule)
            .fetch_one(tx.conn().await?)
            .await?
            .get(0);
        recipients::keep_forgotten(tx, app).await?;
        let users: Vec<(i64, &str)> = self.rows.iter().filter_map(|row| Some((app, row.openid.as_deref()?))).collect();
        let gone = forgotten(tx, &users).await?;
        let places = (self.from..).zip(&self.rows);
        let kept = places.filter(|(_, row)| {
            row.openid.as_ref().is_none_or(|o| gone.is_empty() || !gone.contains(&(app, o.clone())))
        });
        let cells: Vec<_> = kept
            .map(|(n, row)| {
                [
                    self.schedule.into(),
                    self.edition.into(),
                    self.part.word().into(),
                    n.into(),
                    i64::from(row.number).into(),
                    row.openid.as_deref().into(),
                    row.cells.as_str().into(),
                ]
            })
            .collect();
        if cells.is_empty() {
            return Ok(true);
        }
        let rows = tx.dialect.rows(["schedule", "edition", "part", "n", "number", "openid", "cells"], cells);
        // A commit whose answer was lost is asked for once more.
        let sql = "INSERT INTO kept_row (schedule, edition, part, n, number, openid, cells)
             SELECT r.schedule, r.edition, r.part, r.n, r.number, r.openid, r.cells FROM {rows} WHERE true
             ON CONFLICT (schedule, edition, part, n) DO UPDATE SET number = excluded.number, openid = excluded.openid, cells = excluded.cells";
        tx.run(sql, &rows).await?;
        Ok(true)
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["keep.before_commit", "keep.after_commit"])
    }
}

/// Takes an edition that no row stands under.
struct NewEdition {
    schedule: i64,
    nonce: String,
}

impl Single for NewEdition {
    // It writes nothing.
    const WHAT: Option<&'static str> = None;

    type Done = Option<i64>;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Option<i64>> {
        if !has_task(tx, self.schedule, &self.nonce).await? {
            return Ok(None);
        }
        let sql = "SELECT s.edition AS edition, (SELECT MAX(k.edition) FROM kept_row k WHERE k.schedule = s.id) AS highest FROM schedule s WHERE s.id = $1";
        let row = sqlx::query(sql).bind(self.schedule).fetch_one(tx.conn().await?).await?;
        let highest: Option<i64> = row.get("highest");
        Ok(Some(row.get::<i64, _>("edition").max(highest.unwrap_or_default()) + 1))
    }
}

impl Store {
    /// An edition under which a load may keep its rows: none is kept under it yet, not even of a load that was cut off. `None`: somebody else
    /// has the task now.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn new_edition(&self, schedule: i64, nonce: &str) -> Result<Option<i64>, StoreError> {
        self.writer.do_one(NewEdition { schedule, nonce: nonce.into() }).await
    }

    /// Keeps rows of a part, the first of them at the place `from`. `false`: somebody else has the task now, and nothing was written.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn keep_rows(
        &self,
        schedule: i64,
        nonce: &str,
        edition: i64,
        part: Part,
        from: i64,
        rows: Vec<KeptRow>,
    ) -> Result<bool, StoreError> {
        self.writer.do_one(Keep { schedule, nonce: nonce.into(), edition, part, from, rows }).await
    }

    /// The kept rows of a part behind the place `after` (-1: from the beginning), with their places. A place may be missing: its user was
    /// forgotten.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn kept_rows(
        &self,
        schedule: i64,
        edition: i64,
        part: Part,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, KeptRow)>, StoreError> {
        let sql = "SELECT n, number, openid, cells FROM kept_row WHERE schedule = $1 AND edition = $2 AND part = $3 AND n > $4 ORDER BY n LIMIT $5";
        let query = sqlx::query(sql).bind(schedule).bind(edition).bind(part.word()).bind(after).bind(limit);
        let rows = query.fetch_all(&self.read).await?;
        Ok(rows.iter().map(|row| (row.get("n"), kept(row))).collect())
    }

    /// The rows that an app's schedules keep of a user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn kept_of_user(&self, app: &str, openid: &str) -> Result<Vec<KeptOfUser>, StoreError> {
        let sql =
            "SELECT s.name, k.edition, k.part, k.number, k.openid, k.cells FROM kept_row k JOIN schedule s ON s.id = k.schedule
             WHERE k.openid = $1 AND s.app = $2 ORDER BY s.name, k.edition, k.part, k.n";
        let query = sqlx::query(sql).bind(openid).bind(self.names.app(app).id);
        let rows = query.fetch_all(&self.read).await?;
        let of_user = |row: &AnyRow| KeptOfUser {
            schedule: row.get("name"),
            edition: row.get("edition"),
            part: Part::from_word(row.get("part")),
            row: kept(row),
        };
        Ok(rows.iter().map(of_user).collect())
    }

    /// Erases a slice of the rows by which nothing is prepared any more: of editions that a later one has replaced, of loads that were cut
    /// off, of schedules that no longer recur. A cancelled schedule is among these, since reviving it loads its file anew. `after` is the
    /// schedule behind which the slice begins, 0 at first, and is moved on. Answers how many rows are gone.
    ///
    /// # Errors
    /// When the database does not answer; the same slice may be erased again.
    pub async fn erase_kept(&self, after: &mut i64, now: Millis) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT s.id, {KEEPER}, (SELECT MIN(k.edition) FROM kept_row k WHERE k.schedule = s.id) AS first,
                 (SELECT MAX(k.edition) FROM kept_row k WHERE k.schedule = s.id) AS last
             FROM schedule s WHERE s.id > $1 ORDER BY s.id LIMIT {SCHEDULES}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(*after).fetch_all(&self.read).await?;
        let mut erased = 0;
        for row in &rows {
            let (schedule, keeper) = (row.get("id"), Keeper::of(row));
            let editions: [Option<i64>; 2] = [row.get("first"), row.get("last")];
            for edition in editions.into_iter().flatten().filter(|edition| !keeper.needs(*edition, now)) {
                while erased < AT_MOST {
                    match self.writer.do_one(Erase { schedule, edition }).await? {
                        0 => break,
                        n => erased += n,
                    }
                }
            }
            if erased >= AT_MOST {
                // More of this one may be outdated: the next slice begins with it.
                return Ok(erased);
            }
            *after = schedule;
        }
        if rows.len() < usize::try_from(SCHEDULES).expect("small") {
            *after = 0;
        }
        Ok(erased)
    }
}

/// Schedules that a slice looks at, rows that it erases, and rows of one transaction.
const SCHEDULES: i64 = 500;
const AT_MOST: u64 = 1_000;
const AT_ONCE: i64 = 200;

/// What decides which rows a schedule needs.
struct Keeper {
    edition: i64,
    recurs: bool,
    load: Option<Task>,
}

/// The columns of a [`Keeper`].
const KEEPER: &str = "s.edition, s.next_at, s.task, s.task_by, s.task_nonce, s.task_beat, s.task_detail";

impl Keeper {
    fn of(row: &AnyRow) -> Self {
        let load = task(row).filter(|task| task.kind == TaskKind::Load);
        Self { edition: row.get("edition"), recurs: row.get::<Option<i64>, _>("next_at").is_some(), load }
    }

    /// Whether something may still be prepared by an edition, or a load under way may be writing it.
    fn needs(&self, edition: i64, now: Millis) -> bool {
        match edition.cmp(&self.edition) {
            Ordering::Less => false,
            Ordering::Equal => self.recurs,
            Ordering::Greater => self.load.as_ref().is_some_and(|load| load.is_alive(now)),
        }
    }
}

/// Erases rows of an edition, if it is still outdated.
struct Erase {
    schedule: i64,
    edition: i64,
}

impl Single for Erase {
    // It is done again by itself.
    const WHAT: Option<&'static str> = None;

    type Done = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<u64> {
        // A load that begins now waits, since it may take the very edition.
        let sql = format!("SELECT {KEEPER} FROM schedule s WHERE s.id = $1{}", tx.dialect.for_update());
        let row = sqlx::query(AssertSqlSafe(sql)).bind(self.schedule).fetch_optional(tx.conn().await?).await?;
        if row.is_some_and(|row| Keeper::of(&row).needs(self.edition, tx.now)) {
            return Ok(0);
        }
        tx.overwrite().await?;
        let sql = format!(
            "DELETE FROM kept_row WHERE (schedule, edition, part, n) IN (SELECT k.schedule, k.edition, k.part, k.n FROM kept_row k
                 WHERE k.schedule = $1 AND k.edition = $2 ORDER BY k.part, k.n LIMIT {AT_ONCE})"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.schedule).bind(self.edition);
        Ok(query.execute(tx.conn().await?).await?.rows_affected())
    }
}

/// Forgets what an app's schedules keep of a user.
pub(super) async fn forget_kept(tx: &mut Tx<'_>, app: i64, openid: &str) -> sqlx::Result<()> {
    let sql = "DELETE FROM kept_row WHERE openid = $1 AND schedule IN (SELECT s.id FROM schedule s WHERE s.app = $2)";
    sqlx::query(sql).bind(openid).bind(app).execute(tx.conn().await?).await.map(drop)
}

fn kept(row: &AnyRow) -> KeptRow {
    let number = u32::try_from(row.get::<i64, _>("number")).expect("as it was kept");
    KeptRow { number, openid: row.get("openid"), cells: row.get("cells") }
}
