//! Backups: made while the daemon runs, verified without it, put in its place while it is stopped. A backup carries a hold, so that a store
//! that was restored from it does not send again (`hold`).

use super::{
    Store,
    audit::write_down,
    command::Single,
    copy::{self, utf8},
    dialect::Dialect,
    error::{OpenError, StoreError},
    file,
    hold::{Overdue, overdue},
    keys::{self, KeyName},
    progress, schema, sessions,
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
        if self.database.dialect == Dialect::Postgres {
            return Err(say!("store_backup_of_postgres"));
        }
        let connected = AnyConnection::connect(&self.database.url).await;
        let mut conn = connected.map_err(|e| StoreError::from(e).message())?;
        let made = copy::write(&mut conn, to, Dialect::Sqlite.newest_schema(), || clock.now()).await;
        // It was read from, and closes by itself if this fails.
        let _ = conn.close().await;
        made.map_err(|not| not.why)?;
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
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        write_down(tx, "tixing", "backup", "").await
    }
}

/// When a store was last backed up, as it was written down.
pub(super) async fn last(conn: &mut AnyConnection) -> sqlx::Result<Millis> {
    let sql = "SELECT COALESCE(MAX(at), 0) AS at FROM audit WHERE action = 'backup'";
    Ok(sqlx::query(sql).fetch_one(conn).await?.get("at"))
}

/// Looks whether a backup is whole: its pages, its schema, and that its ledger balances.
///
/// # Errors
/// What is wrong with it, and what to do.
pub async fn verify(path: &Path) -> Result<Contents, Message> {
    sqlx::any::install_default_drivers();
    let name = utf8(path)?;
    // To open a pipe is to wait for whoever writes to it.
    if path.metadata().is_ok_and(|about| !about.is_file() && !about.is_dir()) {
        return Err(say!("store_no_backup", file = name, what = say!("store_no_regular_file")));
    }
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
        let looked = contents(&mut conn, header.wal).await;
        conn.close().await?;
        looked
    };
    let looked = look.await.unwrap_or_else(|e| Err(StoreError::from(e).message()));
    looked.map_err(wrong)
}

/// What an open backup holds, or what is wrong with it. `wal`: it was opened for writing since it was made.
async fn contents(conn: &mut AnyConnection, wal: bool) -> sqlx::Result<Result<Contents, Message>> {
    let first: String = sqlx::query("PRAGMA integrity_check(1)").fetch_one(&mut *conn).await?.get(0);
    if first != "ok" {
        return Ok(Err(Message::text(first)));
    }
    let schema = number(conn, "SELECT MAX(version) FROM _sqlx_migrations").await?;
    let newest = Dialect::Sqlite.newest_schema();
    if schema > newest {
        return Ok(Err(say!("store_backup_of_newer_version", schema = schema, newest = newest)));
    }
    let as_of = copy::made_at(conn, schema).await?.filter(|_| !wal);
    let Some(as_of) = as_of else { return Ok(Err(say!("store_instead_of_backup"))) };
    let living = number(conn, "SELECT COUNT(*) FROM due").await?;
    let consents = number(conn, "SELECT COUNT(*) FROM consent").await?;
    // The books of an older schema are others; they are looked at once it is brought up to date.
    if schema == newest
        && let Some(wrong) = unbalanced(conn, living, consents).await?
    {
        return Ok(Err(wrong));
    }
    Ok(Ok(Contents { as_of, schema, living, consents }))
}

async fn number(conn: &mut AnyConnection, sql: &str) -> sqlx::Result<i64> {
    let row = sqlx::query(AssertSqlSafe(format!("SELECT ({sql}) AS n"))).fetch_one(conn).await?;
    Ok(row.get::<Option<i64>, _>("n").unwrap_or_default())
}

/// In what the counts disagree with the rows.
async fn unbalanced(conn: &mut AnyConnection, living: i64, consents: i64) -> sqlx::Result<Option<Message>> {
    let counted = number(conn, "SELECT SUM(n) FROM tally WHERE name IN ('scheduled', 'sending', 'in_doubt')").await?;
    let ledger = number(conn, "SELECT SUM(n) FROM tally WHERE name LIKE 'consent%'").await?;
    if (living, consents) != (counted, ledger) {
        let found =
            say!("store_backup_unbalanced", living = living, consents = consents, counted = counted, ledger = ledger);
        return Ok(Some(found));
    }
    let planned = number(conn, "SELECT COUNT(*) FROM due WHERE schedule IS NOT NULL").await?;
    let counted = format!("SELECT SUM(n) FROM schedule_tally WHERE name IN ({LIVING_WORDS})");
    let counted = number(conn, &counted).await?;
    let found = || say!("store_backup_schedules_unbalanced", living = planned, counted = counted);
    Ok((planned != counted).then(found))
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
    /// The version of the backup's schema, if it was an older one.
    pub schema: Option<i64>,
    /// API keys that the backup has as living and the former store as revoked: they stay revoked.
    pub revoked: Vec<KeyName>,
    /// API keys that live now. Where there is no former store that can be read, one that was revoked since lives again.
    pub living: Vec<KeyName>,
    /// Why the former store could not be asked for revoked keys.
    pub unread: Option<Message>,
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
    let Contents { as_of: since, schema, .. } = verify(backup).await?;
    // Whatever is wrong with the store, it is what is being replaced; only another process must not have it.
    let _former = file::lock(store, File::options().read(true))?;
    // Bytes alone: a backup may be read-only, and a store is its owner's.
    let mut part = file::temporary(store).map_err(failed)?;
    let copied = File::open(backup).and_then(|mut from| std::io::copy(&mut from, part.as_file_mut()));
    copied.map_err(io_failed)?;
    let schema = (schema < Dialect::Sqlite.newest_schema()).then_some(schema);
    if schema.is_some() {
        upgrade(part.path()).await.map_err(failed)?;
    }
    let former_keys = former_keys(store).await;
    let (gone, unread) = former_keys.map_or_else(|why| (Vec::new(), Some(why)), |gone| (gone, None));
    let (revoked, living) = with_revoked(part.path(), &gone).await.map_err(failed)?;
    file::give_to_folder(part.as_file(), store).and_then(|()| part.as_file().sync_all()).map_err(io_failed)?;
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
    Ok(Restored { since, overdue, former, schema, revoked, living, unread })
}

/// Brings the copy of an older backup up to date, and looks whether it is whole then.
async fn upgrade(copy: &Path) -> Result<(), Message> {
    let changed = async {
        let mut conn = alone(copy).await?;
        schema::bring_up(&mut conn, Dialect::Sqlite).await?;
        conn.close().await.map_err(StoreError::from)
    };
    changed.await.map_err(|e| say!("store_backup_not_upgraded", why = e.message()))?;
    verify(copy).await.map(drop)
}

/// A connection that writes to a file which nobody else has, and leaves nothing beside it.
async fn alone(file: &Path) -> sqlx::Result<AnyConnection> {
    let mut conn = AnyConnection::connect(&file::url(file, "rw")).await?;
    for pragma in ["PRAGMA journal_mode = MEMORY", "PRAGMA synchronous = OFF"] {
        sqlx::query(pragma).execute(&mut conn).await?;
    }
    Ok(conn)
}

/// The hashes of the keys that the store which is being replaced has as revoked.
async fn former_keys(store: &Path) -> Result<Vec<keys::Revoked>, Message> {
    if !store.exists() {
        return Ok(Vec::new());
    }
    let read = async {
        let mut conn = AnyConnection::connect(&file::url(store, "ro")).await?;
        let revoked = keys::revoked(&mut conn).await;
        conn.close().await?;
        revoked
    };
    read.await.map_err(|e| StoreError::from(e).message())
}

/// Revokes in the copy what was revoked since, and ends all sessions of the console; answers these keys, and those that live.
async fn with_revoked(copy: &Path, gone: &[keys::Revoked]) -> Result<(Vec<KeyName>, Vec<KeyName>), Message> {
    let change = async {
        let mut conn = alone(copy).await?;
        let revoked = keys::revoke_again(&mut conn, gone).await?;
        let living = keys::living(&mut conn).await?;
        sessions::end_all(&mut conn).await?;
        conn.close().await?;
        Ok::<_, sqlx::Error>((revoked, living))
    };
    change.await.map_err(|e| StoreError::from(e).message())
}
