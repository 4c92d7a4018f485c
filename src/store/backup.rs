//! Backups: made while the daemon runs, verified without it, put in its place while it is stopped. A backup carries a hold, so that a store
//! that was restored from it does not send again (`hold`).

use super::{
    Store,
    command::Single,
    dialect::Dialect,
    error::{OpenError, StoreError},
    file,
    hold::{Overdue, Reason, hold, overdue},
    progress,
    states::LIVING_WORDS,
    tally,
    tx::Tx,
};
use crate::{
    clock::Clock,
    domain::{Millis, reminder::ReminderId},
    words::{Message, say},
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

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

impl Store {
    /// Writes a consistent copy of the store to `to`, which must not exist yet, and marks it as a backup.
    ///
    /// # Errors
    /// When it cannot be written, or the store is no SQLite file: what was found and what to do.
    pub async fn backup(&self, to: &Path, clock: &dyn Clock) -> Result<(), Message> {
        let failed = |why: Message| say!("store_not_backed_up", file = to.to_string_lossy(), why = why);
        let io_failed = |e: std::io::Error| failed(Message::text(e.to_string()));
        if self.database.dialect == Dialect::Postgres {
            return Err(say!("store_backup_of_postgres"));
        }
        let exists = || say!("store_backup_exists", file = to.to_string_lossy());
        if to.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let part = file::temporary(to).map_err(failed)?;
        let path = utf8(part.path())?.to_owned();
        let copy = async {
            let mut conn = AnyConnection::connect(&self.database.url).await?;
            sqlx::query("VACUUM INTO $1").bind(&path).execute(&mut conn).await?;
            conn.close().await?;
            let mut conn = AnyConnection::connect(&file::url(part.path(), "rw")).await?;
            // One that is there already stays. The instant is that after the copy, so that all it has was made by then.
            hold(&mut conn, Reason::Restored, clock.now()).await?;
            conn.close().await
        };
        copy.await.map_err(|e| failed(StoreError::from(e).message()))?;
        part.as_file().sync_all().map_err(io_failed)?;
        match part.persist_noclobber(to) {
            Ok(_) => file::sync_folder(to).map_err(io_failed)?,
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => return Err(exists()),
            Err(e) => return Err(io_failed(e.error)),
        }
        self.last_backup.store(clock.now(), Ordering::Relaxed);
        // The backup is there: that nobody wrote down when is no reason to say that it is not.
        if let Err(e) = self.writer.do_one(BackedUp).await {
            tracing::warn!(error = %e, "the backup is whole; when it was made could not be written down");
        }
        Ok(())
    }

    /// When the last backup was made, milliseconds since 1970; 0 without one.
    pub fn last_backup(&self) -> Millis {
        self.last_backup.load(Ordering::Relaxed)
    }
}

/// Writes down that a backup was made.
struct BackedUp;

impl Single for BackedUp {
    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let sql = "INSERT INTO audit (at, actor, action, reminder, detail) VALUES ($1, 'tixing', 'backup', NULL, '')";
        sqlx::query(sql).bind(tx.now).execute(&mut *tx.conn).await.map(drop)
    }
}

/// When a store was last backed up, as it was written down.
pub(super) async fn last(conn: &mut AnyConnection) -> sqlx::Result<Millis> {
    let sql = "SELECT COALESCE(MAX(at), 0) AS at FROM audit WHERE action = 'backup'";
    Ok(sqlx::query(sql).fetch_one(conn).await?.get("at"))
}

/// SQLite's driver takes names of files as text.
fn utf8(path: &Path) -> Result<&str, Message> {
    path.to_str().ok_or_else(|| say!("name_not_utf8", file = path.to_string_lossy()))
}

/// Looks whether a backup is whole: its pages, its schema, and that its ledger balances.
///
/// # Errors
/// What is wrong with it, and what to do.
pub async fn verify(path: &Path) -> Result<Contents, Message> {
    sqlx::any::install_default_drivers();
    let name = utf8(path)?;
    let opened = File::open(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => say!("store_file_missing_here"),
        _ => say!("store_file_unread", why = e.to_string()),
    });
    let header = opened.and_then(|opened| file::header(&opened, path));
    let header = header.map_err(|what| say!("store_no_backup", file = name, what = what))?;
    let log = file::beside(path, file::LOG);
    if log.metadata().is_ok_and(|log| log.len() > 0) {
        return Err(say!("store_backup_has_log", file = name, log = log.to_string_lossy()));
    }
    let wrong = |what: Message| say!("store_bad_backup", file = name, what = what);
    let look = async {
        let mut conn = AnyConnection::connect(&file::url(path, "ro")).await?;
        let first: String = sqlx::query("PRAGMA integrity_check(1)").fetch_one(&mut conn).await?.get(0);
        if first != "ok" {
            return Ok(Err(wrong(Message::text(first))));
        }
        let number = async |conn: &mut AnyConnection, sql: &str| -> sqlx::Result<i64> {
            let row = sqlx::query(AssertSqlSafe(format!("SELECT ({sql}) AS n"))).fetch_one(conn).await?;
            Ok(row.get::<Option<i64>, _>("n").unwrap_or_default())
        };
        let schema = number(&mut conn, "SELECT MAX(version) FROM _sqlx_migrations").await?;
        let newest = Dialect::Sqlite.newest_schema();
        if schema != newest {
            return Ok(Err(wrong(say!("store_backup_of_other_version", schema = schema, newest = newest))));
        }
        let as_of = number(&mut conn, "SELECT MIN(as_of) FROM hold WHERE released_at IS NULL").await?;
        if as_of == 0 || header.wal {
            return Ok(Err(wrong(say!("store_instead_of_backup"))));
        }
        let living = number(&mut conn, "SELECT COUNT(*) FROM due").await?;
        let consents = number(&mut conn, "SELECT COUNT(*) FROM consent").await?;
        let counted =
            number(&mut conn, "SELECT SUM(n) FROM tally WHERE name IN ('scheduled', 'sending', 'in_doubt')").await?;
        let ledger = number(&mut conn, "SELECT SUM(n) FROM tally WHERE name LIKE 'consent%'").await?;
        if (living, consents) != (counted, ledger) {
            let n = say!(
                "store_backup_unbalanced",
                living = living,
                consents = consents,
                counted = counted,
                ledger = ledger
            );
            return Ok(Err(wrong(n)));
        }
        let planned = number(&mut conn, "SELECT COUNT(*) FROM due WHERE schedule IS NOT NULL").await?;
        let counted = format!("SELECT SUM(n) FROM schedule_tally WHERE name IN ({LIVING_WORDS})");
        let counted = number(&mut conn, &counted).await?;
        if planned != counted {
            return Ok(Err(wrong(say!("store_backup_schedules_unbalanced", living = planned, counted = counted))));
        }
        conn.close().await?;
        Ok::<_, sqlx::Error>(Ok(Contents { as_of, schema, living, consents }))
    };
    look.await.unwrap_or_else(|e| Err(wrong(StoreError::from(e).message())))
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
    Backup(#[from] Message),
    /// Another process has the store.
    #[error(transparent)]
    Store(#[from] OpenError),
}

/// Puts a backup into the place of the store. What was there is kept beside it. Answers what may have been sent since the backup was
/// made, and where the former store is.
///
/// A daemon that starts meanwhile waits for it: what is in the place of the store is locked all the time, first the former file and then
/// the new one; and while neither is there, what still lies beside keeps it from beginning anew.
///
/// # Errors
/// When a daemon runs, or the backup is not good: then nothing has changed.
pub async fn restore(backup: &Path, store: &Path, now: Millis) -> Result<Restored, RestoreError> {
    let store = &file::real(store)?;
    let failed = |why: Message| say!("store_not_restored", file = store.to_string_lossy(), why = why);
    let io_failed = |e: std::io::Error| failed(Message::text(e.to_string()));
    let since = verify(backup).await?.as_of;
    // Whatever is wrong with the store, it is what is being replaced; only another process must not have it.
    let _former = file::lock(store, File::options().read(true))?;
    // Bytes alone: a backup may be read-only, and a store is its owner's.
    let mut part = file::temporary(store).map_err(failed)?;
    let copied = File::open(backup).and_then(|mut from| std::io::copy(&mut from, part.as_file_mut()));
    copied.and_then(|_| part.as_file().sync_all()).map_err(io_failed)?;
    let keep = |ending: &str| -> Result<Option<PathBuf>, Message> {
        let (from, kept) =
            (file::beside(store, ending), file::beside(store, &format!(".before-restore-{now}{ending}")));
        if !from.exists() {
            return Ok(None);
        }
        std::fs::rename(&from, &kept).map_err(io_failed)?;
        Ok(Some(kept))
    };
    let former = keep("")?;
    keep(file::LOG)?;
    keep("-shm")?;
    // It is locked too, until it is whole.
    let _new = part.persist_noclobber(store).map_err(|e| io_failed(e.error))?;
    // After the store: a file that says less must not stand beside the former one.
    keep(file::PROGRESS)?;
    let look = async {
        let mut conn = AnyConnection::connect(&file::url(store, "ro")).await?;
        let overdue = overdue(&mut conn, ReminderId(i64::MAX), now).await?;
        let reached = tally::reached(&mut conn).await?;
        conn.close().await?;
        Ok::<_, sqlx::Error>((overdue, reached))
    };
    let (overdue, reached) = look.await.map_err(|e| failed(StoreError::from(e).message()))?;
    progress::write(store, reached.unwrap_or_default(), true)?;
    Ok(Restored { since, overdue, former })
}
