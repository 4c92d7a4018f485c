//! The watched folder in SQL: which schedules came from it, whose files are gone, and which files can't be loaded.

use super::{
    Names, Store,
    command::Single,
    dialect::{Dialect, int},
    error::StoreError,
    schedules::{task, write_down},
    tx::Tx,
};
use crate::domain::Millis;
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use std::collections::HashMap;

/// Who loads from the folder, as audit and tasks name it.
pub const BY: &str = "the folder";

/// What is wrong with a file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderProblem {
    /// Where the file lies; the folder's own path if the problem is the folder's.
    pub path: String,
    /// The schedule that it names, if that could be read.
    pub schedule: Option<String>,
    /// The app that it names, if that could be read. It need not be configured.
    pub app: Option<String>,
    /// Stable machine-readable name, one of a schedule's file.
    pub code: String,
    /// The sentence, as JSON.
    pub detail: String,
    /// Since when it has a problem of this code.
    pub since: Millis,
}

/// A schedule, as far as the folder has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filed {
    /// Its small integer.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its app.
    pub app: String,
    /// The platform's id of its template.
    pub template: String,
    /// Where its file was when it was loaded; empty if it came over HTTP.
    pub path: String,
    /// Of the file and its tables.
    pub digest: String,
    /// A load was cut off, or is under way.
    pub incomplete: bool,
    /// When it was loaded to its end last.
    pub loaded_at: Option<Millis>,
    /// It was cancelled.
    pub cancelled: bool,
    /// It came from the folder.
    pub in_folder: bool,
    /// Since when its file is gone.
    pub orphaned_at: Option<Millis>,
    /// Occurrences of it are prepared later.
    pub recurs: bool,
    /// Something is being done to it, and a load would be told so.
    pub busy: bool,
}

/// What a look at the folder has found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// These files can't be loaded. Their `since` stays while the code does.
    pub problems: Vec<FolderProblem>,
    /// The files at these paths have no problem any more.
    pub solved: Vec<String>,
    /// The files of these schedules are gone: the schedule, and the path that it must still have.
    pub gone: Vec<(i64, String)>,
    /// The files of these schedules are there, and as they were loaded.
    pub there: Vec<i64>,
}

impl Findings {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.problems.len() + self.solved.len() + self.gone.len() + self.there.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Single for Findings {
    // It is looked at again.
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        for problem in &self.problems {
            let sql = "INSERT INTO folder_problem (path, schedule, app, code, detail, since) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (path) DO UPDATE SET schedule = excluded.schedule, app = excluded.app, detail = excluded.detail,
                     since = CASE WHEN folder_problem.code = excluded.code THEN folder_problem.since ELSE excluded.since END,
                     code = excluded.code";
            let FolderProblem { path, schedule, app, code, detail, since } = problem;
            let query = sqlx::query(sql).bind(path).bind(schedule).bind(app).bind(code).bind(detail).bind(since);
            query.execute(tx.conn().await?).await?;
        }
        for path in &self.solved {
            sqlx::query("DELETE FROM folder_problem WHERE path = $1").bind(path).execute(tx.conn().await?).await?;
        }
        for (id, path) in &self.gone {
            let sql = "UPDATE schedule SET orphaned_at = $3
                 WHERE id = $1 AND path = $2 AND in_folder = 1 AND orphaned_at IS NULL AND cancelled_at IS NULL";
            let query = sqlx::query(sql).bind(id).bind(path).bind(tx.now);
            if query.execute(tx.conn().await?).await?.rows_affected() == 1 {
                write_down(tx, *id, BY, "orphan", path).await?;
            }
        }
        for id in &self.there {
            let sql = "UPDATE schedule SET orphaned_at = NULL, in_folder = 1 WHERE id = $1 AND (orphaned_at IS NOT NULL OR in_folder = 0)";
            if sqlx::query(sql).bind(id).execute(tx.conn().await?).await?.rows_affected() == 1 {
                write_down(tx, *id, BY, "found", "").await?;
            }
        }
        Ok(())
    }
}

fn filed(row: &AnyRow, names: &Names, now: Millis) -> Filed {
    let is = |column: &str| int(row, column) != 0;
    Filed {
        id: row.get("id"),
        name: row.get("name"),
        app: names.app_of_id(row.get("app")).to_owned(),
        template: names.code(row.get("template")).to_owned(),
        path: row.get("path"),
        digest: row.get("digest"),
        incomplete: is("incomplete"),
        loaded_at: row.get("loaded_at"),
        cancelled: row.get::<Option<Millis>, _>("cancelled_at").is_some(),
        in_folder: is("in_folder"),
        orphaned_at: row.get("orphaned_at"),
        recurs: is("recurs"),
        busy: task(row).is_some_and(|task| task.is_alive(now) || task.kind.closes_gate()),
    }
}

/// What the last load of a schedule said in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NumbersOfLoad {
    /// Reminders that it cancelled.
    pub removed: u64,
    /// Rows that it refused.
    pub refused: u64,
    /// People whom its right rows named.
    pub people: Option<u64>,
}

impl Dialect {
    /// A number of what the last load of a schedule said.
    fn of_report(self, part: &str, name: &str) -> String {
        match self {
            Self::Sqlite => format!("CAST(s.report ->> '$.{part}.{name}' AS INTEGER)"),
            Self::Postgres => format!("CAST(CAST(s.report AS jsonb) #>> '{{{part},{name}}}' AS BIGINT)"),
        }
    }
}

impl Store {
    /// What the last load of each schedule said in numbers, by the schedule.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn numbers_of_loads(&self) -> Result<HashMap<i64, NumbersOfLoad>, StoreError> {
        let of = |part, name| self.database.dialect.of_report(part, name);
        let (removed, refused, people) = (of("reminders", "removed"), of("rows", "refused"), of("reach", "people"));
        let sql = format!(
            "SELECT s.id, {removed} AS removed, {refused} AS refused, {people} AS people FROM schedule s WHERE s.report IS NOT NULL"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&self.read).await?;
        let number = |row: &AnyRow, name: &str| row.get::<Option<i64>, _>(name).and_then(|n| u64::try_from(n).ok());
        let numbers = |row: &AnyRow| NumbersOfLoad {
            removed: number(row, "removed").unwrap_or_default(),
            refused: number(row, "refused").unwrap_or_default(),
            people: number(row, "people"),
        };
        Ok(rows.iter().map(|row| (row.get("id"), numbers(row))).collect())
    }

    /// All schedules.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn filed(&self, now: Millis) -> Result<Vec<Filed>, StoreError> {
        let sql = "SELECT id, name, app, template, COALESCE(path, '') AS path, digest, incomplete, loaded_at, cancelled_at, in_folder, orphaned_at,
                 CASE WHEN kept_text IS NULL THEN 0 ELSE 1 END AS recurs, task, task_by, task_nonce, task_beat, task_detail
             FROM schedule ORDER BY id";
        let rows = sqlx::query(sql).fetch_all(&self.read).await?;
        Ok(rows.iter().map(|row| filed(row, &self.names, now)).collect())
    }

    /// What is wrong with the folder and its files, by path.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn folder_problems(&self) -> Result<Vec<FolderProblem>, StoreError> {
        let sql = "SELECT path, schedule, app, code, detail, since FROM folder_problem ORDER BY path";
        let rows = sqlx::query(sql).fetch_all(&self.read).await?;
        let problem = |row: &AnyRow| FolderProblem {
            path: row.get("path"),
            schedule: row.get("schedule"),
            app: row.get("app"),
            code: row.get("code"),
            detail: row.get("detail"),
            since: row.get("since"),
        };
        Ok(rows.iter().map(problem).collect())
    }

    /// Stores what a look at the folder has found out, all or nothing.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn tell_folder(&self, findings: Findings) -> Result<(), StoreError> {
        self.writer.do_one(findings).await
    }
}
