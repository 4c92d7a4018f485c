//! Backups: made while the daemon runs, verified without it, put in its place while it is stopped.
//!
//! A backup holds itself: it carries a row in `hold`, so that a daemon that finds it in the place of its store sends nothing until an
//! operator has seen what may have been sent since.

use super::{Dialect, OpenError, Store, StoreError, file, tx::Tx, writer::Single};
use crate::{
    clock::Clock,
    domain::{Millis, reminder::ReminderId, timing::as_rfc3339},
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

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

/// What keeps a restored store from sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// From here on it is not known what was sent: the earliest backup's instant, where one was made of a store on hold.
    pub since: Millis,
    /// Reminders up to this one may have been sent by another life of the store; later ones were made here.
    pub last_id: ReminderId,
}

/// What may have been sent since a backup was made, by app.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Overdue {
    /// The app's name.
    pub app: String,
    /// Reminders whose instant has passed and that have not ended here.
    pub n: i64,
    /// The first of these instants.
    #[serde(serialize_with = "as_rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub first: Millis,
    /// The last.
    #[serde(serialize_with = "as_rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub last: Millis,
}

impl Store {
    /// Writes a consistent copy of the store to `to`, which must not exist yet, and marks it as a backup.
    ///
    /// # Errors
    /// When it cannot be written, or the store is no SQLite file.
    pub async fn backup(&self, to: &Path, clock: &dyn Clock) -> Result<(), BackupError> {
        let failed = |why: String| BackupError(format!("cannot back up to {}: {why}", to.display()));
        if self.opened.dialect == Dialect::Postgres {
            return Err(BackupError(
                "PostgreSQL has its own tools: make the backup with pg_dump, restore it with pg_restore, then run \
                 `tixing restore` before the daemon starts"
                    .into(),
            ));
        }
        let exists = || BackupError(format!("{} exists and is not overwritten: name another file", to.display()));
        if to.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let part = temporary(to).map_err(failed)?;
        let path = utf8(part.path())?.to_owned();
        let copy = async {
            let mut conn = AnyConnection::connect(&self.opened.url).await?;
            sqlx::query("VACUUM INTO $1").bind(&path).execute(&mut conn).await?;
            conn.close().await?;
            let mut conn = AnyConnection::connect(&file::url(part.path(), "rw")).await?;
            // One that is there already stays. The instant is that after the copy, so that all it has was made by then.
            hold(&mut conn, clock.now()).await?;
            conn.close().await
        };
        copy.await.map_err(|e| failed(StoreError::from(e).to_string()))?;
        part.as_file().sync_all().map_err(|e| failed(e.to_string()))?;
        match part.persist_noclobber(to) {
            Ok(_) => sync_folder(to).map_err(|e| failed(e.to_string())),
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Err(exists()),
            Err(e) => Err(failed(e.error.to_string())),
        }
    }

    /// The hold that the store is on, if it is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hold(&self) -> Result<Option<Hold>, StoreError> {
        let sql = "SELECT MIN(as_of) AS since, MAX(last_id) AS last_id FROM hold WHERE released_at IS NULL";
        let row = sqlx::query(sql).fetch_one(&self.read).await?;
        let hold = row.get::<Option<_>, _>("since").zip(row.get::<Option<_>, _>("last_id"));
        Ok(hold.map(|(since, last_id)| Hold { since, last_id: ReminderId(last_id) }))
    }

    /// What became due by `now` of what a hold is in doubt about, by app.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn overdue_on_hold(&self, hold: Hold, now: Millis) -> Result<Vec<Overdue>, StoreError> {
        let mut conn = self.read.acquire().await?;
        Ok(overdue(&mut conn, hold, now).await?)
    }
}

/// A file beside `to`, its owner's alone, that goes away by itself unless it is put in the place of `to`.
fn temporary(to: &Path) -> Result<NamedTempFile, String> {
    let name = to.file_name().ok_or("it names no file")?;
    tempfile::Builder::new().prefix(name).suffix(".part").tempfile_in(folder(to)).map_err(|e| match e.kind() {
        ErrorKind::NotFound => format!("the folder {} does not exist: create it", folder(to).display()),
        _ => e.to_string(),
    })
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new name is durable when its folder is.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(folder(path))?.sync_all()
}

/// SQLite's driver takes names of files as text.
fn utf8(path: &Path) -> Result<&str, BackupError> {
    path.to_str().ok_or_else(|| BackupError(format!("the name {} is not UTF-8: choose another", path.display())))
}

/// Puts the store on hold, in doubt about all that it has now.
pub(super) struct SetHold;

impl Single for SetHold {
    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        hold(tx.conn, tx.now).await
    }
}

/// Ends the hold.
pub(super) struct EndHold;

impl Single for EndHold {
    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let sql = "UPDATE hold SET released_at = $1 WHERE released_at IS NULL";
        sqlx::query(sql).bind(tx.now).execute(&mut *tx.conn).await.map(drop)
    }
}

/// The last reminder that the store is in doubt about, while it is on hold.
pub(super) async fn doubtful(tx: &mut Tx<'_>) -> sqlx::Result<Option<i64>> {
    let sql = "SELECT MAX(last_id) AS last_id FROM hold WHERE released_at IS NULL";
    Ok(sqlx::query(sql).fetch_one(&mut *tx.conn).await?.get("last_id"))
}

/// Whether a backup was ever put in the place of this store: then consents may have come that it does not know.
pub(super) async fn was_restored(tx: &mut Tx<'_>) -> sqlx::Result<bool> {
    Ok(sqlx::query("SELECT as_of FROM hold LIMIT 1").fetch_optional(&mut *tx.conn).await?.is_some())
}

async fn hold(conn: &mut AnyConnection, as_of: Millis) -> sqlx::Result<()> {
    let sql = "INSERT INTO hold (as_of, last_id) SELECT $1, COALESCE(MAX(id), 0) FROM reminder";
    sqlx::query(sql).bind(as_of).execute(conn).await.map(drop)
}

async fn overdue(conn: &mut AnyConnection, hold: Hold, now: Millis) -> sqlx::Result<Vec<Overdue>> {
    let rows = sqlx::query(
        "SELECT a.name, COUNT(*) AS n, MIN(d.due_at) AS first, MAX(d.due_at) AS last
         FROM due d JOIN lane l ON l.id = d.lane JOIN app a ON a.id = l.app WHERE d.due_at <= $1 AND d.id <= $2
         GROUP BY a.name ORDER BY a.name",
    )
    .bind(now)
    .bind(hold.last_id.0)
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
    utf8(path)?;
    let header = file::header(path).map_err(|what| BackupError(format!("{} {what}: name a backup", path.display())))?;
    let log = file::beside(path, "-wal");
    if log.metadata().is_ok_and(|log| log.len() > 0) {
        let what = format!(
            "{} has a write-ahead log beside it ({}), so it is a copied store and not whole without it: make backups with `tixing \
             backup`; to use the copy, put both files in the place of the store",
            path.display(),
            log.display()
        );
        return Err(BackupError(what));
    }
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
        let as_of = number(&mut conn, "SELECT MIN(as_of) FROM hold WHERE released_at IS NULL").await?;
        if as_of == 0 || header.wal {
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

/// What a restored backup leaves to be known.
#[derive(Debug)]
pub struct Restored {
    /// When the backup was made, from which on nothing is known.
    pub since: Millis,
    /// What may have been sent since.
    pub overdue: Vec<Overdue>,
    /// Where the former store is kept, if there was one.
    pub former: Option<PathBuf>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is not good, or cannot be put in its place.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Somebody has the store.
    #[error(transparent)]
    Store(#[from] OpenError),
}

/// Puts a backup into the place of the store. What was there is kept beside it. Answers what may have been sent since the backup was
/// made, and where the former store is.
///
/// # Errors
/// When a daemon runs, or the backup is not good: then nothing has changed.
pub async fn restore(backup: &Path, store: &Path, now: Millis) -> Result<Restored, RestoreError> {
    let failed = |why: String| BackupError(format!("cannot restore {}: {why}", store.display()));
    let io_failed = |e: std::io::Error| failed(e.to_string());
    let since = verify(backup).await?.as_of;
    // Whatever is wrong with the store, it is what is being replaced; only another process must not have it.
    let _lock = file::lock(store)?;
    // Bytes alone: a backup may be read-only, and a store is its owner's.
    let mut part = temporary(store).map_err(failed)?;
    let copied = File::open(backup).and_then(|mut from| std::io::copy(&mut from, part.as_file_mut()));
    copied.and_then(|_| part.as_file().sync_all()).map_err(io_failed)?;
    let mut former = None;
    for ending in ["", "-wal", "-shm"] {
        let from = file::beside(store, ending);
        if from.exists() {
            let kept = file::beside(store, &format!(".before-restore-{now}{ending}"));
            std::fs::rename(&from, &kept).map_err(io_failed)?;
            if ending.is_empty() {
                former = Some(kept);
            }
        }
    }
    part.persist(store).map_err(|e| io_failed(e.error))?;
    sync_folder(store).map_err(io_failed)?;
    let look = async {
        let mut conn = AnyConnection::connect(&file::url(store, "ro")).await?;
        let overdue = overdue(&mut conn, Hold { since, last_id: ReminderId(i64::MAX) }, now).await?;
        conn.close().await?;
        Ok::<_, sqlx::Error>(overdue)
    };
    let overdue = look.await.map_err(|e| failed(StoreError::from(e).to_string()))?;
    Ok(Restored { since, overdue, former })
}
