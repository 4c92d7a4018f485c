//! Schedules in SQL: one row each, whatever they have loaded, and the tasks that work on them.
//!
//! A task — a load, a shift, a cancellation, a preparation — belongs to the one who began it as long as it beats. It is taken by compare-and-swap, so that
//! a second one is told that one is under way, also by another daemon; one whose beat has stopped is taken up again.

use super::{
    Store,
    command::Single,
    error::{StoreError, meanwhile},
    left_out::{self, LeftOutRow},
    mentions::without_forgotten,
    names::Names,
    port::Ring,
    tx::Tx,
};
use crate::{
    config::App,
    domain::{Millis, SECOND},
};
use rand::RngExt;
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use std::collections::BTreeMap;

/// A task that has not beaten for so long is dead.
pub const DEAD_AFTER: Millis = 60 * SECOND;

/// A schedule as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Its small integer.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its app.
    pub app: String,
    /// The platform's id of its template.
    pub template: String,
    /// Where its file was when it was loaded; `None` for one that came over HTTP.
    pub path: Option<String>,
    /// The TOML.
    pub text: String,
    /// Of the TOML and its tables. Empty while a load that ends a shift is not complete: whichever file comes next ends it too.
    pub digest: String,
    /// Its zone.
    pub zone: String,
    /// Its quiet hours as they were written, `none` for none; `None` for the app's.
    pub quiet: Option<String>,
    /// When it was loaded first.
    pub created_at: Millis,
    /// When it was loaded to its end last; `None` if it never was.
    pub loaded_at: Option<Millis>,
    /// Since when it is paused, if it is.
    pub paused_at: Option<Millis>,
    /// When it was cancelled, if it was.
    pub cancelled_at: Option<Millis>,
    /// By how much its waiting reminders were moved since its file was loaded.
    pub shift: Millis,
    /// A load was cut off, or is under way.
    pub incomplete: bool,
    /// Its first instant, as its last load said; those of reminders that found no consent count, since the next load tries them again.
    pub first_at: Option<Millis>,
    /// Its last.
    pub last_at: Option<Millis>,
    /// What is being done to it.
    pub task: Option<Task>,
    /// What its last load said, as JSON.
    pub report: Option<String>,
    /// The file by which its occurrences are prepared, as its last load that came to its end said it; `None` if it does not recur. Left out
    /// in lists.
    pub kept_text: Option<String>,
    /// Under which the rows are kept that it is prepared by.
    pub edition: i64,
    /// When it is looked at next; `None`: never.
    pub next_at: Option<Millis>,
    /// An occurrence whose last instant does not lie after this was decided before, or was never one of this schedule.
    pub since: Option<Millis>,
    /// When the file by which it recurs was loaded first: what had passed by then is late, and not missed.
    pub file_since: Option<Millis>,
    /// An occurrence whose last instant, before any shift, does not lie after this was decided before the last shift.
    pub decided: Option<Millis>,
    /// Its next occurrences, as JSON.
    pub upcoming: Option<String>,
    /// Why nothing can be prepared, as JSON; `None`: nothing hinders.
    pub recur_problem: Option<String>,
    /// It was loaded from the watched folder.
    pub in_folder: bool,
    /// Since when its file is no longer in the watched folder, if it was.
    pub orphaned_at: Option<Millis>,
}

/// How a schedule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleState {
    /// Something of it waits, or may still come.
    Active,
    /// Nothing of it is sent until somebody resumes it.
    Paused,
    /// What waited was cancelled.
    Cancelled,
    /// All its instants have passed, and nothing of it waits.
    Ended,
}

impl ScheduleState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Paused, Self::Cancelled, Self::Ended];

    /// The word in JSON and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Ended => "ended",
        }
    }

    /// The state of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

impl ScheduleRow {
    /// Whether its file is gone from the watched folder while it may still send.
    pub fn is_orphan(&self, counts: &BTreeMap<String, i64>, now: Millis) -> bool {
        let goes_on = matches!(self.state(counts, now), ScheduleState::Active | ScheduleState::Paused);
        self.orphaned_at.is_some() && goes_on
    }

    /// Whether its app and its template are still configured.
    pub fn is_configured(&self, apps: &[App]) -> bool {
        apps.iter().any(|app| app.name == self.app && app.template(&self.template).is_some())
    }

    /// For how long it should have been looked at, in milliseconds, if it recurs and nobody is at it.
    pub fn unprepared_for(&self, now: Millis) -> Option<Millis> {
        let is_worked_on = self.task.as_ref().is_some_and(|task| task.is_alive(now));
        self.next_at.filter(|next| *next < now && !is_worked_on).map(|next| now - next)
    }

    /// How it stands, by the counts of its reminders.
    pub fn state(&self, counts: &BTreeMap<String, i64>, now: Millis) -> ScheduleState {
        let living =
            ["scheduled", "sending", "in_doubt"].iter().any(|state| counts.get(*state).is_some_and(|n| *n > 0));
        if self.cancelled_at.is_some() {
            ScheduleState::Cancelled
        } else if self.paused_at.is_some() {
            ScheduleState::Paused
        } else if living || self.incomplete || self.next_at.is_some() || self.last_at.is_some_and(|last| last > now) {
            ScheduleState::Active
        } else {
            ScheduleState::Ended
        }
    }
}

/// What is being done to a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What.
    pub kind: TaskKind,
    /// By whom.
    pub by: String,
    /// Of this one alone.
    pub nonce: String,
    /// When it was last heard of.
    pub beat: Millis,
    /// How far it has come, for people.
    pub detail: Option<String>,
}

impl Task {
    /// Whether it beats. One that does not was cut off.
    pub fn is_alive(&self, now: Millis) -> bool {
        now < self.beat + DEAD_AFTER
    }

    /// When it began.
    pub fn since(&self) -> Millis {
        self.nonce.split_once('-').and_then(|(since, _)| since.parse().ok()).unwrap_or(self.beat)
    }
}

/// What can be done to a schedule that takes a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Its file is being loaded.
    Load,
    /// Its waiting reminders are being moved.
    Shift,
    /// Its waiting reminders are being cancelled.
    Cancel,
    /// The reminders of an occurrence are being stored.
    Prepare,
}

impl TaskKind {
    /// The word in SQL and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Shift => "shift",
            Self::Cancel => "cancel",
            Self::Prepare => "prepare",
        }
    }

    /// Whether nothing of the schedule is sent meanwhile. Such a task is taken up again when it was cut off, and nothing else goes before it;
    /// any other that was cut off stands in nobody's way.
    pub fn closes_gate(self) -> bool {
        matches!(self, Self::Shift | Self::Cancel)
    }

    fn from_word(word: &str) -> Self {
        let all = [Self::Load, Self::Shift, Self::Cancel, Self::Prepare];
        all.into_iter().find(|kind| kind.word() == word).expect("the database's CHECK allows these only")
    }
}

/// A name for a task that no other has; it begins with the instant.
pub(super) fn nonce(now: Millis) -> String {
    format!("{now}-{:016x}", rand::rng().random::<u64>())
}

/// A load that is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginLoad {
    /// The schedule's name.
    pub name: String,
    /// Its app.
    pub app: String,
    /// The platform's id of its template.
    pub template: String,
    /// Where the file is; `None` for one that comes over HTTP.
    pub path: Option<String>,
    /// The TOML.
    pub text: String,
    /// Of the TOML and its tables.
    pub digest: String,
    /// Its zone.
    pub zone: String,
    /// Its quiet hours as they are written, `none` for none; `None` for the app's.
    pub quiet: Option<String>,
    /// It may have been cancelled before.
    pub revive: bool,
    /// Who loads it.
    pub by: String,
    /// The file lies in the watched folder, which loads it.
    pub in_folder: bool,
    /// The file says something else than when it was shifted, so the shift ends.
    pub forget_shift: bool,
}

/// What became of a load that was to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It may go on, and has to beat.
    Yes {
        /// The schedule.
        id: i64,
        /// The task.
        nonce: String,
    },
    /// Something is being done to the schedule already; nothing was written.
    Busy {
        /// What.
        task: TaskKind,
        /// By whom.
        by: String,
        /// Since when.
        since: Millis,
    },
    /// Another app's schedule has the name; nothing was written.
    NameTaken {
        /// The other app.
        app: String,
    },
    /// It was cancelled, and this load may not revive it; nothing was written.
    Cancelled,
}

/// How a load ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishLoad {
    /// Of the TOML and its tables.
    pub digest: String,
    /// The schedule's first instant.
    pub first_at: Option<Millis>,
    /// Its last.
    pub last_at: Option<Millis>,
    /// What is said about it, as JSON.
    pub report: String,
    /// All of the file is loaded.
    pub complete: bool,
    /// How it recurs by itself from now on, if all of it is loaded. A complete load without this ends a recurrence.
    pub recurs: Option<Recurs>,
    /// Its next occurrences, as JSON.
    pub upcoming: Option<String>,
    /// Occurrences that come too late for it.
    pub left_out: Vec<LeftOutRow>,
}

/// By what a schedule recurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurs {
    /// The file by which its occurrences are prepared.
    pub kept_text: String,
    /// Under which the load has kept its rows.
    pub edition: i64,
    /// When it is looked at first; `None`: all its occurrences are over.
    pub next_at: Option<Millis>,
    /// An occurrence whose last instant does not lie after this is none of its own.
    pub since: Millis,
    /// When this file was loaded first.
    pub file_since: Millis,
    /// See [`ScheduleRow::decided`].
    pub decided: Option<Millis>,
}

/// The columns of a [`ScheduleRow`] without its texts and its report, which may be long.
const COLUMNS: &str = "s.id, s.name, s.app, s.template, s.path, s.digest, s.zone, s.quiet, s.created_at, s.loaded_at, s.paused_at,
    s.cancelled_at, s.shift, s.incomplete, s.first_at, s.last_at, s.task, s.task_by, s.task_nonce, s.task_beat, s.task_detail, s.edition, s.next_at,
    s.since, s.file_since, s.decided, s.upcoming, s.recur_problem, s.in_folder, s.orphaned_at";

/// Its long columns.
const LONG: &str = "s.text, s.report, s.kept_text";

/// A schedule with its texts, from the columns of both.
fn whole(row: &AnyRow, names: &Names) -> ScheduleRow {
    ScheduleRow {
        text: row.get("text"),
        report: row.get("report"),
        kept_text: row.get("kept_text"),
        ..short(row, names)
    }
}

/// A schedule without them.
fn short(row: &AnyRow, names: &Names) -> ScheduleRow {
    ScheduleRow {
        id: row.get("id"),
        name: row.get("name"),
        app: names.app_of_id(row.get("app")).to_owned(),
        template: names.code(row.get("template")).to_owned(),
        path: row.get("path"),
        text: String::new(),
        digest: row.get("digest"),
        zone: row.get("zone"),
        quiet: row.get("quiet"),
        created_at: row.get("created_at"),
        loaded_at: row.get("loaded_at"),
        paused_at: row.get("paused_at"),
        cancelled_at: row.get("cancelled_at"),
        shift: row.get("shift"),
        incomplete: row.get::<i64, _>("incomplete") != 0,
        first_at: row.get("first_at"),
        last_at: row.get("last_at"),
        task: task(row),
        report: None,
        kept_text: None,
        edition: row.get("edition"),
        next_at: row.get("next_at"),
        since: row.get("since"),
        file_since: row.get("file_since"),
        decided: row.get("decided"),
        upcoming: row.get("upcoming"),
        recur_problem: row.get("recur_problem"),
        in_folder: row.get::<i64, _>("in_folder") != 0,
        orphaned_at: row.get("orphaned_at"),
    }
}

/// The same of one schedule in a transaction.
pub(super) async fn schedule_of(tx: &mut Tx<'_>, id: i64) -> sqlx::Result<ScheduleRow> {
    let sql = format!("SELECT {COLUMNS}, {LONG} FROM schedule s WHERE s.id = $1");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_one(tx.conn().await?).await?;
    Ok(whole(&row, tx.names))
}

/// The words of `schedule.task` stand with the rest of the task.
pub(super) fn task(row: &AnyRow) -> Option<Task> {
    let kind: String = row.get::<Option<String>, _>("task")?;
    Some(Task {
        kind: TaskKind::from_word(&kind),
        by: row.get::<Option<String>, _>("task_by").unwrap_or_default(),
        nonce: row.get::<Option<String>, _>("task_nonce").unwrap_or_default(),
        beat: row.get::<Option<i64>, _>("task_beat").unwrap_or_default(),
        detail: row.get("task_detail"),
    })
}

impl Single for BeginLoad {
    const WHAT: Option<&'static str> = Some("a schedule began to be loaded");

    type Done = Begun;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Begun> {
        begin_load(tx, self).await
    }

    fn ring(&self) -> Option<Ring> {
        Some(Ring::NOWHERE)
    }
}

async fn begin_load(tx: &mut Tx<'_>, load: &BeginLoad) -> sqlx::Result<Begun> {
    let app = tx.names.app(&load.app).id;
    let template = tx.names.template(app, &load.template);
    let sql = format!(
        "SELECT id, app, cancelled_at, task, task_by, task_nonce, task_beat, task_detail FROM schedule WHERE name = $1{}",
        tx.dialect.for_update()
    );
    let there = sqlx::query(AssertSqlSafe(sql)).bind(&load.name).fetch_optional(tx.conn().await?).await?;
    if let Some(row) = &there {
        let other: i64 = row.get("app");
        if other != app {
            return Ok(Begun::NameTaken { app: tx.names.app_of_id(other).to_owned() });
        }
        // A shift or a cancellation that was cut off is finished first, whoever began it.
        if let Some(task) = task(row).filter(|task| task.is_alive(tx.now) || task.kind.closes_gate()) {
            let since = task.since();
            return Ok(Begun::Busy { task: task.kind, by: task.by, since });
        }
        if row.get::<Option<i64>, _>("cancelled_at").is_some() && !load.revive {
            return Ok(Begun::Cancelled);
        }
    }
    let (nonce, text) = (nonce(tx.now), without_forgotten(tx, app, &load.text, true).await?);
    let sql = "INSERT INTO schedule (name, app, template, path, text, digest, zone, quiet, created_at, incomplete, task, task_by, task_nonce, task_beat, in_folder)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, 'load', $10, $11, $9, $13)
         ON CONFLICT (name) DO UPDATE SET template = excluded.template, path = excluded.path, text = excluded.text,
             digest = CASE WHEN $12 = 1 THEN '' ELSE excluded.digest END, zone = excluded.zone, quiet = excluded.quiet, incomplete = 1, task = 'load', task_by = excluded.task_by,
             task_nonce = excluded.task_nonce, task_beat = excluded.task_beat, task_detail = NULL, cancelled_at = NULL, orphaned_at = NULL,
             in_folder = CASE WHEN excluded.in_folder = 1 THEN 1 WHEN excluded.path = schedule.path THEN schedule.in_folder ELSE 0 END
         WHERE $14 = 1 RETURNING id";
    let query = sqlx::query(sql).bind(&load.name).bind(app).bind(template).bind(&load.path).bind(&text);
    let query = query.bind(&load.digest).bind(&load.zone).bind(&load.quiet).bind(tx.now).bind(&load.by);
    let query = query.bind(&nonce).bind(i64::from(load.forget_shift));
    let query = query.bind(i64::from(load.in_folder)).bind(i64::from(there.is_some()));
    // One that was not there and is now belongs to another writer, who was faster.
    let row = query.fetch_optional(tx.conn().await?).await?.ok_or_else(meanwhile)?;
    let id: i64 = row.get("id");
    write_down(tx, id, &load.by, "load", &load.digest).await?;
    tx.schedule_changed(id).await?;
    Ok(Begun::Yes { id, nonce })
}

/// Whether the task of this nonce still has a schedule: another may have taken it over. None does before the transaction ends.
pub(super) async fn has_task(tx: &mut Tx<'_>, schedule: i64, nonce: &str) -> sqlx::Result<bool> {
    let sql = format!("SELECT id FROM schedule WHERE id = $1 AND task_nonce = $2{}", tx.dialect.for_update());
    Ok(sqlx::query(AssertSqlSafe(sql)).bind(schedule).bind(nonce).fetch_optional(tx.conn().await?).await?.is_some())
}

/// What somebody did to a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// When.
    pub at: Millis,
    /// Who: the name of a key, or a part of tixing.
    pub by: String,
    /// One word, such as `load` or `pause`.
    pub action: String,
    /// The digest of what was loaded, or by how much it was shifted.
    pub detail: String,
}

/// Stores who did what to a schedule.
pub(super) async fn write_down(
    tx: &mut Tx<'_>,
    schedule: i64,
    by: &str,
    action: &str,
    detail: &str,
) -> sqlx::Result<()> {
    let sql = "INSERT INTO audit (at, actor, action, reminder, detail, schedule) VALUES ($1, $2, $3, NULL, $4, $5)";
    let query = sqlx::query(sql).bind(tx.now).bind(by).bind(action).bind(detail).bind(schedule);
    query.execute(tx.conn().await?).await.map(drop)
}

/// A row of a file was tried.
struct Trial {
    name: String,
    by: String,
    digest: String,
}

impl Single for Trial {
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let sql = "INSERT INTO audit (at, actor, action, reminder, detail, schedule)
             VALUES ($1, $2, 'try', NULL, $3, (SELECT id FROM schedule WHERE name = $4))";
        let detail = format!("{} {}", self.name, self.digest);
        let query = sqlx::query(sql).bind(tx.now).bind(&self.by).bind(detail).bind(&self.name);
        query.execute(tx.conn().await?).await.map(drop)
    }
}

/// A task says that it goes on.
struct Beat {
    id: i64,
    nonce: String,
    detail: String,
}

impl Single for Beat {
    const WHAT: Option<&'static str> = None;

    type Done = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<bool> {
        let sql = "UPDATE schedule SET task_beat = $3, task_detail = $4 WHERE id = $1 AND task_nonce = $2";
        let query = sqlx::query(sql).bind(self.id).bind(&self.nonce).bind(tx.now).bind(&self.detail);
        Ok(query.execute(tx.conn().await?).await?.rows_affected() == 1)
    }
}

/// A load ends.
struct Finish {
    id: i64,
    nonce: String,
    finish: FinishLoad,
}

impl Single for Finish {
    const WHAT: Option<&'static str> = Some("a schedule was loaded");

    type Done = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<bool> {
        let FinishLoad { digest, first_at, last_at, report, complete, recurs, upcoming, left_out } = &self.finish;
        let app =
            sqlx::query("SELECT app FROM schedule WHERE id = $1").bind(self.id).fetch_one(tx.conn().await?).await?;
        let app: i64 = app.get("app");
        let report = without_forgotten(tx, app, report, false).await?;
        let sql = "UPDATE schedule SET first_at = $3, last_at = $4, report = $5, incomplete = CASE WHEN $6 = 1 THEN 0 ELSE incomplete END,
                 loaded_at = CASE WHEN $6 = 1 THEN $7 ELSE loaded_at END,
                 shift = CASE WHEN $6 = 1 AND digest = '' THEN 0 ELSE shift END, digest = CASE WHEN $6 = 1 THEN $8 ELSE digest END,
                 task = NULL, task_by = NULL, task_nonce = NULL, task_beat = NULL, task_detail = NULL
             WHERE id = $1 AND task_nonce = $2";
        let query = sqlx::query(sql).bind(self.id).bind(&self.nonce).bind(first_at).bind(last_at).bind(report);
        let query = query.bind(i64::from(*complete)).bind(tx.now).bind(digest);
        if query.execute(tx.conn().await?).await?.rows_affected() == 0 {
            return Ok(false);
        }
        if *complete {
            let recurs = recurs.as_ref();
            let kept_text = match recurs {
                Some(recurs) => Some(without_forgotten(tx, app, &recurs.kept_text, true).await?),
                None => None,
            };
            let sql = "UPDATE schedule SET kept_text = $2, edition = COALESCE($3, edition), next_at = $4, since = $5, upcoming = $6,
                     file_since = $7, decided = $8, recur_problem = NULL WHERE id = $1";
            let query = sqlx::query(sql).bind(self.id).bind(kept_text);
            let query = query.bind(recurs.map(|recurs| recurs.edition)).bind(recurs.and_then(|recurs| recurs.next_at));
            let query = query.bind(recurs.map(|recurs| recurs.since)).bind(upcoming);
            let query = query.bind(recurs.map(|recurs| recurs.file_since));
            query.bind(recurs.and_then(|recurs| recurs.decided)).execute(tx.conn().await?).await?;
            left_out::write(tx, self.id, left_out).await?;
        }
        Ok(true)
    }
}

impl Store {
    /// Stores who tried a row of which file, whether or not it was ever loaded.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn write_down_trial(&self, name: &str, by: &str, digest: &str) -> Result<(), StoreError> {
        self.writer.do_one(Trial { name: name.into(), by: by.into(), digest: digest.into() }).await
    }

    /// Who did what to a schedule, the latest first, at most so many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn history(&self, schedule: i64, most: i64) -> Result<Vec<Act>, StoreError> {
        let sql = "SELECT at, actor, action, detail FROM audit WHERE schedule = $1 ORDER BY id DESC LIMIT $2";
        let rows = sqlx::query(sql).bind(schedule).bind(most).fetch_all(&self.read).await?;
        let act = |row: &AnyRow| Act {
            at: row.get("at"),
            by: row.get("actor"),
            action: row.get("action"),
            detail: row.get("detail"),
        };
        Ok(rows.iter().map(act).collect())
    }

    /// The schedule of a name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn schedule(&self, name: &str) -> Result<Option<ScheduleRow>, StoreError> {
        // No text of PostgreSQL has it.
        if name.contains('\0') {
            return Ok(None);
        }
        let sql = format!("SELECT {COLUMNS}, {LONG} FROM schedule s WHERE s.name = $1");
        let row = sqlx::query(AssertSqlSafe(sql)).bind(name).fetch_optional(&self.read).await?;
        Ok(row.map(|row| whole(&row, &self.names)))
    }

    /// All schedules by name, their texts and reports left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn schedules(&self) -> Result<Vec<ScheduleRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM schedule s ORDER BY s.name");
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.read).await?;
        Ok(rows.iter().map(|row| short(row, &self.names)).collect())
    }

    /// How many reminders of a schedule there are of each state and reason: `scheduled`, `sent`, `failed/no_consent`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn schedule_counts(&self, id: i64) -> Result<BTreeMap<String, i64>, StoreError> {
        let sql = "SELECT name, CAST(SUM(n) AS BIGINT) AS n FROM schedule_tally WHERE schedule = $1 GROUP BY name HAVING SUM(n) <> 0";
        let rows = sqlx::query(sql).bind(id).fetch_all(&self.read).await?;
        Ok(rows.iter().map(|row| (row.get("name"), row.get("n"))).collect())
    }

    /// The same of every schedule, by its small integer.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn all_schedule_counts(&self) -> Result<BTreeMap<i64, BTreeMap<String, i64>>, StoreError> {
        let sql = "SELECT schedule, name, CAST(SUM(n) AS BIGINT) AS n FROM schedule_tally GROUP BY schedule, name HAVING SUM(n) <> 0";
        let rows = sqlx::query(sql).fetch_all(&self.read).await?;
        let mut all: BTreeMap<i64, BTreeMap<String, i64>> = BTreeMap::new();
        for row in rows {
            all.entry(row.get("schedule")).or_default().insert(row.get("name"), row.get("n"));
        }
        Ok(all)
    }

    /// Begins a load: makes the schedule or takes it, and writes what the file says now. It is incomplete until [`Self::finish_load`].
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn begin_load(&self, load: BeginLoad) -> Result<Begun, StoreError> {
        self.writer.do_one(load).await
    }

    /// A task goes on; `detail` says how far it has come. `false`: somebody else has it now, and it must stop.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn beat(&self, id: i64, nonce: &str, detail: &str) -> Result<bool, StoreError> {
        self.writer.do_one(Beat { id, nonce: nonce.into(), detail: detail.into() }).await
    }

    /// Ends a load. `false`: somebody else has it now, and nothing was written.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn finish_load(&self, id: i64, nonce: &str, finish: FinishLoad) -> Result<bool, StoreError> {
        self.writer.do_one(Finish { id, nonce: nonce.into(), finish }).await
    }
}
