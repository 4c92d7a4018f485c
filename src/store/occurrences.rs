//! Occurrences in SQL: which were prepared, and which schedules are to be looked at.
//!
//! To prepare is a task like a load: it belongs to the one who began it as long as it beats. An occurrence is begun, its reminders are
//! written, and one commit says that it is prepared and when the schedule is looked at next. What was cut off in between is done again by
//! whoever looks next, and writes no reminder twice.

use super::{
    Store,
    command::Single,
    dialect::Cell,
    error::StoreError,
    left_out::{self, LeftOutRow},
    schedules::{DEAD_AFTER, ScheduleRow, has_task, nonce, schedule_of},
    tx::Tx,
};
use crate::domain::Millis;
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

/// An occurrence of which reminders were stored, or are being stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OccurrenceRow {
    /// Its wall time (`2031-03-03T19:00`), or the key of its event.
    pub name: String,
    /// The time that `@event` names.
    pub event_at: Millis,
    /// Its first instant.
    pub first_at: Millis,
    /// Its last.
    pub last_at: Millis,
    /// Its last deadline, or a little later.
    pub ends_at: Millis,
    /// When somebody first began to prepare it.
    pub begun_at: Millis,
    /// When all its reminders were stored; `None` while they are being stored.
    pub prepared_at: Option<Millis>,
    /// How many people it reached.
    pub people: i64,
}

/// A recurring schedule that is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub schedule: i64,
    /// Since when.
    pub next_at: Millis,
}

/// How a look at a recurring schedule ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FinishPrepare {
    /// The occurrences that are prepared now, and how many people each reached.
    pub prepared: Vec<(String, i64)>,
    /// When it is looked at next; `None`: never.
    pub next_at: Option<Millis>,
    /// Occurrences whose last instants do not lie after this are decided.
    pub since: Millis,
    /// The next occurrences, as JSON.
    pub upcoming: String,
    /// Why nothing could be prepared, as JSON.
    pub problem: Option<String>,
    /// Occurrences that are left out, in the order of their times.
    pub left_out: Vec<LeftOutRow>,
}

const COLUMNS: &str = "o.name, o.event_at, o.first_at, o.last_at, o.ends_at, o.begun_at, o.prepared_at, o.people";

fn occurrence(row: &AnyRow) -> OccurrenceRow {
    OccurrenceRow {
        name: row.get("name"),
        event_at: row.get("event_at"),
        first_at: row.get("first_at"),
        last_at: row.get("last_at"),
        ends_at: row.get("ends_at"),
        begun_at: row.get("begun_at"),
        prepared_at: row.get("prepared_at"),
        people: row.get("people"),
    }
}

fn cells(schedule: i64, row: &OccurrenceRow) -> [Cell<'_>; 9] {
    [
        schedule.into(),
        row.name.as_str().into(),
        row.event_at.into(),
        row.first_at.into(),
        row.last_at.into(),
        row.ends_at.into(),
        row.begun_at.into(),
        row.prepared_at.into(),
        row.people.into(),
    ]
}

const CELLS: [&str; 9] =
    ["schedule", "name", "event_at", "first_at", "last_at", "ends_at", "begun_at", "prepared_at", "people"];

/// Writes occurrences of a schedule; `there` says what becomes of one that is there already.
/// Answers how many it wrote.
async fn write(tx: &mut Tx<'_>, schedule: i64, all: &[OccurrenceRow], there: &str) -> sqlx::Result<u64> {
    if all.is_empty() {
        return Ok(0);
    }
    let rows = tx.dialect.rows(CELLS, all.iter().map(|row| cells(schedule, row)));
    let sql = format!(
        "INSERT INTO occurrence (schedule, name, event_at, first_at, last_at, ends_at, begun_at, prepared_at, people)
         SELECT r.schedule, r.name, r.event_at, r.first_at, r.last_at, r.ends_at, r.begun_at, r.prepared_at, r.people
         FROM {{rows}} WHERE true ON CONFLICT (schedule, name) {there}"
    );
    tx.run(&sql, &rows).await
}

/// Schedules that are free, or whose task was cut off and stands in nobody's way; `$1`: a task that has not beaten since is dead.
const FREE: &str =
    "(s.task IS NULL OR (s.task IN ('load', 'prepare') AND s.task_beat <= $1)) AND s.cancelled_at IS NULL";

/// A look begins.
struct BeginPrepare {
    due: Due,
    by: String,
}

impl Single for BeginPrepare {
    const WHAT: Option<&'static str> = Some("a recurring schedule began to be prepared");

    type Done = Option<(String, ScheduleRow)>;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Self::Done> {
        let Due { schedule, next_at } = self.due;
        let sql = format!(
            "SELECT s.id FROM schedule s WHERE {FREE} AND s.id = $2 AND s.next_at = $3{}",
            tx.dialect.for_update()
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(tx.now - DEAD_AFTER).bind(schedule).bind(next_at);
        if query.fetch_optional(tx.conn().await?).await?.is_none() {
            return Ok(None);
        }
        let nonce = nonce(tx.now);
        let sql = "UPDATE schedule SET task = 'prepare', task_by = $2, task_nonce = $3, task_beat = $4, task_detail = NULL WHERE id = $1";
        let query = sqlx::query(sql).bind(schedule).bind(&self.by).bind(&nonce).bind(tx.now);
        query.execute(tx.conn().await?).await?;
        Ok(Some((nonce, schedule_of(tx, schedule).await?)))
    }
}

/// How an occurrence was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BegunOccurrence {
    /// It was not there before.
    Fresh,
    /// Somebody has begun it before; it stays as it was.
    Again,
    /// Somebody else has the task now, and nothing was written.
    Lost,
}

/// An occurrence is begun.
struct BeginOccurrence {
    schedule: i64,
    nonce: String,
    row: OccurrenceRow,
}

impl Single for BeginOccurrence {
    const WHAT: Option<&'static str> = Some("an occurrence began to be prepared");

    type Done = BegunOccurrence;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<BegunOccurrence> {
        if !has_task(tx, self.schedule, &self.nonce).await? {
            return Ok(BegunOccurrence::Lost);
        }
        left_out::take_back(tx, self.schedule, &self.row.name).await?;
        Ok(match write(tx, self.schedule, std::slice::from_ref(&self.row), "DO NOTHING").await? {
            0 => BegunOccurrence::Again,
            _ => BegunOccurrence::Fresh,
        })
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["begin.before_commit", "begin.after_commit"])
    }
}

/// A look ends.
struct Finish {
    schedule: i64,
    nonce: String,
    finish: FinishPrepare,
}

impl Single for Finish {
    const WHAT: Option<&'static str> = Some("an occurrence was prepared");

    type Done = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<bool> {
        let FinishPrepare { prepared, next_at, since, upcoming, problem, left_out } = &self.finish;
        let sql = "UPDATE schedule SET next_at = $3, since = $4, upcoming = $5, recur_problem = $6, task = NULL, task_by = NULL, task_nonce = NULL,
                 task_beat = NULL, task_detail = NULL WHERE id = $1 AND task_nonce = $2";
        let query = sqlx::query(sql).bind(self.schedule).bind(&self.nonce).bind(next_at).bind(since);
        if query.bind(upcoming).bind(problem).execute(tx.conn().await?).await?.rows_affected() == 0 {
            return Ok(false);
        }
        if !prepared.is_empty() {
            let cells = prepared
                .iter()
                .map(|(name, people)| [self.schedule.into(), name.as_str().into(), tx.now.into(), (*people).into()]);
            let rows = tx.dialect.rows(["schedule", "name", "prepared_at", "people"], cells);
            let sql = "UPDATE occurrence SET prepared_at = r.prepared_at, people = r.people FROM {rows}
                 WHERE occurrence.schedule = r.schedule AND occurrence.name = r.name";
            tx.run(sql, &rows).await?;
        }
        left_out::write(tx, self.schedule, left_out).await?;
        Ok(true)
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["prepare.before_commit", "prepare.after_commit"])
    }
}

/// Occurrences are written by a load.
struct Put {
    schedule: i64,
    nonce: String,
    rows: Vec<OccurrenceRow>,
}

impl Single for Put {
    const WHAT: Option<&'static str> = Some("occurrences were noted");

    type Done = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<bool> {
        if !has_task(tx, self.schedule, &self.nonce).await? {
            return Ok(false);
        }
        let there = "DO UPDATE SET event_at = excluded.event_at, first_at = excluded.first_at, last_at = excluded.last_at, ends_at = excluded.ends_at,
             prepared_at = COALESCE(occurrence.prepared_at, excluded.prepared_at), people = excluded.people";
        write(tx, self.schedule, &self.rows, there).await?;
        Ok(true)
    }
}

/// Occurrences are forgotten.
struct Forget {
    schedule: i64,
    nonce: String,
    names: Vec<String>,
}

impl Single for Forget {
    const WHAT: Option<&'static str> = Some("occurrences were forgotten");

    type Done = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<bool> {
        if !has_task(tx, self.schedule, &self.nonce).await? {
            return Ok(false);
        }
        erase(tx, self.names.iter().map(|name| (self.schedule, name.as_str()))).await?;
        Ok(true)
    }
}

async fn erase<'a>(tx: &mut Tx<'_>, names: impl Iterator<Item = (i64, &'a str)>) -> sqlx::Result<u64> {
    let cells: Vec<[Cell<'_>; 2]> = names.map(|(schedule, name)| [schedule.into(), name.into()]).collect();
    if cells.is_empty() {
        return Ok(0);
    }
    let rows = tx.dialect.rows(["schedule", "name"], cells);
    tx.run("DELETE FROM occurrence WHERE (schedule, name) IN (SELECT r.schedule, r.name FROM {rows})", &rows).await
}

/// Moves what is ahead of a schedule's occurrences. A last deadline moves later only, since one that was given as a time stays where it is.
/// What was decided stays decided, wherever it comes to lie: `before` is by how much the schedule was shifted until now. The schedule is
/// looked at at once: the look finds out what became due, and when the next is. One of which no look is due has nothing that is undecided.
pub(super) async fn shift(tx: &mut Tx<'_>, schedule: i64, by: Millis, before: Millis) -> sqlx::Result<()> {
    let sql = "UPDATE occurrence SET first_at = first_at + $2, last_at = last_at + $2, ends_at = ends_at + $3
         WHERE schedule = $1 AND ends_at > $4";
    let query = sqlx::query(sql).bind(schedule).bind(by).bind(by.max(0)).bind(tx.now);
    query.execute(tx.conn().await?).await?;
    // Moved earlier, an occurrence that nobody has decided about may lie behind `since`: it was missed by then.
    let sql = "UPDATE schedule SET since = CASE WHEN $2 < 0 THEN since + $2 ELSE since END,
             decided = CASE WHEN decided > since - $3 THEN decided ELSE since - $3 END WHERE id = $1 AND since IS NOT NULL";
    sqlx::query(sql).bind(schedule).bind(by).bind(before).execute(tx.conn().await?).await?;
    let sql = "UPDATE schedule SET next_at = $2 WHERE id = $1 AND next_at > $2";
    sqlx::query(sql).bind(schedule).bind(tx.now).execute(tx.conn().await?).await.map(drop)
}

/// Occurrences whose last deadlines lie before an instant are erased, those of these names.
struct EraseOver {
    names: Vec<(i64, String)>,
    until: Millis,
}

impl Single for EraseOver {
    // It is done again by itself.
    const WHAT: Option<&'static str> = None;

    type Done = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<u64> {
        // A shift may have moved one since the walk looked.
        let rows = tx
            .dialect
            .rows(["schedule", "name"], self.names.iter().map(|(s, name)| [(*s).into(), name.as_str().into()]));
        let sql = format!(
            "DELETE FROM occurrence WHERE ends_at <= {} AND (schedule, name) IN (SELECT r.schedule, r.name FROM {{rows}})",
            self.until
        );
        tx.run(&sql, &rows).await
    }
}

/// Occurrences that one step of a walk looks at.
const SLICE: i64 = 500;

impl Store {
    /// The latest occurrences of a schedule, at most so many, the latest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn occurrences(&self, schedule: i64, limit: i64) -> Result<Vec<OccurrenceRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM occurrence o WHERE o.schedule = $1 ORDER BY o.event_at DESC, o.name DESC LIMIT $2"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(schedule).bind(limit).fetch_all(&self.read).await?;
        Ok(rows.iter().map(occurrence).collect())
    }

    /// The occurrences of a schedule whose last deadlines are ahead, the first one first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn living_occurrences(&self, schedule: i64, now: Millis) -> Result<Vec<OccurrenceRow>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM occurrence o WHERE o.schedule = $1 AND o.ends_at > $2 ORDER BY o.event_at, o.name"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(schedule).bind(now).fetch_all(&self.read).await?;
        Ok(rows.iter().map(occurrence).collect())
    }

    /// An occurrence of a schedule.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn occurrence(&self, schedule: i64, name: &str) -> Result<Option<OccurrenceRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM occurrence o WHERE o.schedule = $1 AND o.name = $2");
        let row = sqlx::query(AssertSqlSafe(sql)).bind(schedule).bind(name).fetch_optional(&self.read).await?;
        Ok(row.as_ref().map(occurrence))
    }

    /// The recurring schedules that are to be looked at and that nobody works on, the longest waiting first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn due_recurring(&self, now: Millis, limit: i64) -> Result<Vec<Due>, StoreError> {
        let sql = format!(
            "SELECT s.id, s.next_at FROM schedule s WHERE s.next_at <= $2 AND {FREE} ORDER BY s.next_at LIMIT $3"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(now - DEAD_AFTER).bind(now).bind(limit);
        let rows = query.fetch_all(&self.read).await?;
        Ok(rows.iter().map(|row| Due { schedule: row.get("id"), next_at: row.get("next_at") }).collect())
    }

    /// Begins a look at a recurring schedule: the task is the caller's, who has to beat. Answers the task's nonce, and the schedule as it is
    /// now. `None`: another was faster, or it is no longer due.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn begin_prepare(&self, due: Due, by: &str) -> Result<Option<(String, ScheduleRow)>, StoreError> {
        self.writer.do_one(BeginPrepare { due, by: by.into() }).await
    }

    /// An occurrence is there afterwards, unless somebody else has the task now.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn begin_occurrence(
        &self,
        schedule: i64,
        nonce: &str,
        row: OccurrenceRow,
    ) -> Result<BegunOccurrence, StoreError> {
        self.writer.do_one(BeginOccurrence { schedule, nonce: nonce.into(), row }).await
    }

    /// Ends a look in one commit. `false`: somebody else has the task now, and nothing was written.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn finish_prepare(&self, schedule: i64, nonce: &str, finish: FinishPrepare) -> Result<bool, StoreError> {
        self.writer.do_one(Finish { schedule, nonce: nonce.into(), finish }).await
    }

    /// Writes occurrences as the file says them; of one that is there, times and people are replaced, and one that was prepared stays so.
    /// `false`: somebody else has the task now, and nothing was written.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn put_occurrences(
        &self,
        schedule: i64,
        nonce: &str,
        rows: Vec<OccurrenceRow>,
    ) -> Result<bool, StoreError> {
        self.writer.do_one(Put { schedule, nonce: nonce.into(), rows }).await
    }

    /// Forgets occurrences that the file no longer has and of which nothing waits: should the file have them again, they are prepared again.
    /// `false`: somebody else has the task now, and nothing was written.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn forget_occurrences(&self, schedule: i64, nonce: &str, names: Vec<String>) -> Result<bool, StoreError> {
        self.writer.do_one(Forget { schedule, nonce: nonce.into(), names }).await
    }

    /// Erases those of a slice of the occurrences that were over by `until`: their schedules' `since` keeps them from being prepared again.
    /// `after` is where the slice begins and is moved on; after the last slice it is at the beginning again.
    pub(super) async fn erase_over(&self, after: &mut (i64, String), until: Millis) -> Result<u64, StoreError> {
        let sql = "SELECT schedule, name, ends_at FROM occurrence WHERE (schedule, name) > ($1, $2) ORDER BY schedule, name LIMIT $3";
        let query = sqlx::query(sql).bind(after.0).bind(&after.1).bind(SLICE);
        let rows = query.fetch_all(&self.read).await?;
        let over = rows.iter().filter(|row| row.get::<Millis, _>("ends_at") <= until);
        let names: Vec<(i64, String)> = over.map(|row| (row.get("schedule"), row.get("name"))).collect();
        let erased = if names.is_empty() { 0 } else { self.writer.do_one(EraseOver { names, until }).await? };
        let is_last = rows.len() < usize::try_from(SLICE).expect("small");
        let end = rows.last().filter(|_| !is_last);
        *after = end.map_or_else(Default::default, |row| (row.get("schedule"), row.get("name")));
        Ok(erased)
    }
}
