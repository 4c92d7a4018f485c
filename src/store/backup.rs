//! Backups: made while the daemon runs, verified without it, put in its place while it is stopped.
//!
//! A backup holds itself: it carries a row in `hold`, so that a daemon that finds it in the place of its store sends nothing until an
//! operator has seen what may have been sent since.

use super::{Dialect, OpenError, Store, StoreError, file, shown, tx::Tx};
use crate::{clock::Clock, domain::Millis};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Why a backup was not made, is not good, or was not restored: what was found and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BackupError(pub String);

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// When it was made.
    pub as_of: Millis,
    /// Its schema's version.
    pub schema: i64,
    /// Reminders that have not ended.
    pub living: i64,
    /// Consents.
    pub consents: i64,
}

/// What may have been sent since a backup was made, by app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The app's name.
    pub app: String,
    /// Reminders whose instant has passed and that have not ended here.
    pub n: i64,
    /// The first of these instants.
    pub first: Millis,
    /// The last.
    pub last: Millis,
}

impl Store {
    /// Writes a consistent copy of the store to `to`, which must not exist yet, and marks it as a backup.
    ///
    /// # Errors
    /// When it cannot be written, or the store is no SQLite file.
    pub async fn backup(&self, to: &Path, clock: &dyn Clock) -> Result<(), BackupError> {
        let failed = |e: StoreError| BackupError(format!("cannot back up to {}: {e}", to.display()));
        if self.opened.dialect == Dialect::Postgres {
            return Err(BackupError(
                "PostgreSQL has its own tools: make the backup with pg_dump, restore it with pg_restore, then run \
                 `tixing restore` before the daemon starts"
                    .into(),
            ));
        }
        if to.exists() {
            return Err(BackupError(format!("{} exists and is not overwritten: name another file", to.display())));
        }
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(BackupError(format!("the folder {} does not exist: create it", folder.display())));
        }
        let part = PathBuf::from(format!("{}.part", to.display()));
        // What an earlier try left behind.
        let _ = std::fs::remove_file(&part);
        let copy = async {
            let mut conn = AnyConnection::connect(&self.opened.url).await?;
            sqlx::query("VACUUM INTO $1").bind(part.display().to_string()).execute(&mut conn).await?;
            conn.close().await?;
            let mut conn = AnyConnection::connect(&file::url(&part, "rw")).await?;
            // One that is there already stays. The instant is that after the copy, so that all it has was made by then.
            sqlx::query("INSERT INTO hold (as_of) VALUES ($1)").bind(clock.now()).execute(&mut conn).await?;
            conn.close().await
        };
        let copied = copy.await.map_err(|e| failed(e.into()));
        let placed = copied.and_then(|()| {
            let synced = File::open(&part).and_then(|file| file.sync_all());
            synced.and_then(|()| std::fs::rename(&part, to)).map_err(|e| failed(StoreError::Unavailable(e.to_string())))
        });
        if placed.is_err() {
            let _ = std::fs::remove_file(&part);
        }
        placed
    }

    /// Since when the store is on hold, if it is: the earliest, where a backup was made of a store on hold.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hold(&self) -> Result<Option<Millis>, StoreError> {
        let row = sqlx::query("SELECT MIN(as_of) AS as_of FROM hold").fetch_one(&self.read).await?;
        Ok(row.get("as_of"))
    }

    /// Reminders made by then may have been sent by another life of a store on hold; later ones were made here.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn doubtful_until(&self) -> Result<Option<Millis>, StoreError> {
        let row = sqlx::query("SELECT MAX(as_of) AS as_of FROM hold").fetch_one(&self.read).await?;
        Ok(row.get("as_of"))
    }

    /// What is overdue, by app.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn overdue_by_app(&self, now: Millis) -> Result<Vec<Overdue>, StoreError> {
        let mut conn = self.read.acquire().await?;
        Ok(overdue_by_app(&mut conn, now).await?)
    }
}

/// Puts the store on hold, or, with `None`, ends the hold.
pub(super) async fn set_hold(tx: &mut Tx<'_>, as_of: Option<Millis>) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM hold").execute(&mut *tx.conn).await?;
    if let Some(as_of) = as_of {
        sqlx::query("INSERT INTO hold (as_of) VALUES ($1)").bind(as_of).execute(&mut *tx.conn).await?;
    }
    Ok(())
}

async fn overdue_by_app(conn: &mut AnyConnection, now: Millis) -> sqlx::Result<Vec<Overdue>> {
    let rows = sqlx::query(
        "SELECT a.name, COUNT(*) AS n, MIN(d.due_at) AS first, MAX(d.due_at) AS last
         FROM due d JOIN lane l ON l.id = d.lane JOIN app a ON a.id = l.app WHERE d.due_at <= $1 GROUP BY a.name ORDER BY a.name",
    )
    .bind(now)
    .fetch_all(conn)
    .await?;
    let overdue = |row: &sqlx::any::AnyRow| Overdue {
        app: row.get("name"),
        n: row.get("n"),
        first: row.get("first"),
        last: row.get("last"),
    };
    Ok(rows.iter().map(overdue).collect())
}

/// Looks whether a backup is whole: its pages, its schema, and that its ledger balances.
///
/// # Errors
/// What is wrong with it.
pub async fn verify(path: &Path) -> Result<Contents, BackupError> {
    sqlx::any::install_default_drivers();
    if !path.exists() {
        return Err(BackupError(format!("{} does not exist", path.display())));
    }
    file::check_header(path).map_err(|e| BackupError(e.to_string()))?;
    let wrong = |what: String| BackupError(format!("{} is not a good backup: {what}", path.display()));
    let look = async {
        let mut conn = AnyConnection::connect(&file::url(path, "ro")).await?;
        let first: String = sqlx::query("PRAGMA integrity_check(1)").fetch_one(&mut conn).await?.get(0);
        if first != "ok" {
            return Ok(Err(wrong(first)));
        }
        let number = async |conn: &mut AnyConnection, sql: &str| -> sqlx::Result<i64> {
            let row = sqlx::query(AssertSqlSafe(format!("SELECT ({sql}) AS n"))).fetch_one(conn).await?;
            Ok(row.get::<Option<i64>, _>("n").unwrap_or_default())
        };
        let schema = number(&mut conn, "SELECT MAX(version) FROM _sqlx_migrations").await?;
        let newest = super::SQLITE.iter().map(|m| m.version).max().unwrap_or_default();
        if schema != newest {
            return Ok(Err(wrong(format!(
                "its schema is {schema}, and this version of tixing knows {newest}: use the version that wrote it"
            ))));
        }
        let as_of = number(&mut conn, "SELECT MIN(as_of) FROM hold").await?;
        if as_of == 0 {
            return Ok(Err(wrong("it is a store, not a backup: make one with `tixing backup`".into())));
        }
        let living = number(&mut conn, "SELECT COUNT(*) FROM due").await?;
        let consents = number(&mut conn, "SELECT COUNT(*) FROM consent").await?;
        let counted =
            number(&mut conn, "SELECT SUM(n) FROM tally WHERE name IN ('scheduled', 'sending', 'in_doubt')").await?;
        let ledger = number(&mut conn, "SELECT SUM(n) FROM tally WHERE name LIKE 'consent%'").await?;
        if (living, consents) != (counted, ledger) {
            let what =
                format!("it has {living} reminders and {consents} consents, and its books say {counted} and {ledger}");
            return Ok(Err(wrong(what)));
        }
        conn.close().await?;
        Ok::<_, sqlx::Error>(Ok(Contents { as_of, schema, living, consents }))
    };
    look.await.unwrap_or_else(|e| Err(wrong(StoreError::from(e).to_string())))
}

/// Puts a backup into the place of the store. What was there is kept beside it. Answers what may have been sent since the backup was
/// made, and where the former store is.
///
/// # Errors
/// When a daemon runs, or the backup is not good: then nothing has changed.
pub async fn restore(backup: &Path, store: &Path, now: Millis) -> Result<(Vec<Overdue>, Option<PathBuf>), OpenError> {
    let failed = |e: std::io::Error| OpenError::Wrong(format!("cannot restore {}: {e}", store.display()));
    verify(backup).await.map_err(|e| OpenError::Wrong(e.to_string()))?;
    // Whatever is wrong with the store, it is what is being replaced; only another process must not have it.
    let _lock = file::lock(store)?;
    let part = PathBuf::from(format!("{}.restoring", store.display()));
    // Bytes alone: a backup may be read-only, and a store is its owner's.
    let copy = || {
        let mut to = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        std::io::copy(&mut File::open(backup)?, &mut to)?;
        to.sync_all()
    };
    copy().map_err(failed)?;
    let mut former = None;
    for ending in ["", "-wal", "-shm"] {
        let from = PathBuf::from(format!("{}{ending}", store.display()));
        if from.exists() {
            let kept = PathBuf::from(format!("{}.before-restore-{now}{ending}", store.display()));
            std::fs::rename(&from, &kept).map_err(failed)?;
            if ending.is_empty() {
                former = Some(kept);
            }
        }
    }
    std::fs::rename(&part, store).map_err(failed)?;
    let look = async {
        let mut conn = AnyConnection::connect(&file::url(store, "ro")).await?;
        let overdue = overdue_by_app(&mut conn, now).await?;
        conn.close().await?;
        Ok::<_, sqlx::Error>(overdue)
    };
    let url = format!("sqlite:{}", store.display());
    let overdue =
        look.await.map_err(|e| OpenError::Wrong(format!("cannot read {}: {}", shown(&url), StoreError::from(e))))?;
    Ok((overdue, former))
}
