//! Backups: made while the daemon runs, verified without it, put in its place while it is stopped; and the hold.
//!
//! A store that may not know all it has sent is on hold: nothing is sent until an operator has seen what may have been sent. A backup holds
//! itself: it carries a row in `hold`. Other reasons are found at a start (`progress`, `identity`).

use super::{Dialect, OpenError, Store, StoreError, file, progress, tx::Tx, writer::Single};
use crate::{
    clock::Clock,
    domain::{
        Millis,
        reminder::ReminderId,
        timing::{as_rfc3339, rfc3339},
    },
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::{
    fs::File,
    io::ErrorKind,
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

/// Why a store does not know what it has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HoldReason)]
pub enum Reason {
    /// A backup was put in its place.
    Restored,
    /// It is behind the file beside it that says how far it had come.
    LostCommits,
    /// That file is missing.
    NoProgress,
    /// The PostgreSQL database is not the one that was written to.
    AnotherDatabase,
}

impl Reason {
    const ALL: [Self; 4] = [Self::Restored, Self::LostCommits, Self::NoProgress, Self::AnotherDatabase];

    /// As it stands in the database and in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::LostCommits => "lost_commits",
            Self::NoProgress => "no_progress",
            Self::AnotherDatabase => "another_database",
        }
    }

    fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.word() == word).expect("the database's CHECK allows these only")
    }

    /// What happened, in English and Chinese.
    fn said(self, since: Millis) -> [String; 2] {
        let since = rfc3339(since);
        let (en, zh) = match self {
            Self::Restored => {
                (format!("the store was restored from a backup of {since}"), format!("数据由 {since} 的备份恢复"))
            }
            Self::LostCommits => {
                (format!("the store has lost what it wrote after {since}"), format!("{since} 之后写入的数据已丢失"))
            }
            Self::NoProgress => (
                format!(
                    "the file beside the store that says how far it had come was missing, so that it may have lost what it wrote after {since}"
                ),
                format!("数据文件旁记录进度的文件缺失，{since} 之后写入的数据可能已丢失"),
            ),
            Self::AnotherDatabase => (
                format!("the database is a copy of the one that was written to, made after {since}, or was restored"),
                format!("数据库不是原来写入的那一个，而是其在 {since} 之后的副本，或由备份恢复"),
            ),
        };
        [en, zh]
    }
}

/// What keeps a store from sending that does not know what it has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// From here on it is not known what was sent: the earliest instant, where there are several reasons.
    pub since: Millis,
    /// Reminders up to this one may have been sent by another life of the store; later ones were made here.
    pub last_id: ReminderId,
    /// Each reason once, with its instant.
    pub reasons: Vec<(Reason, Millis)>,
}

/// Why a store is on hold.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Hold)]
pub struct HoldTold {
    /// Each once.
    pub reasons: Vec<Reason>,
    /// What happened, what follows and what to do, in English.
    pub en: String,
    /// 中文。
    pub zh: String,
}

impl Hold {
    /// What happened, what follows and what to do, in English and Chinese.
    pub fn why(&self) -> [String; 2] {
        let said: Vec<_> = self.reasons.iter().map(|(reason, since)| reason.said(*since)).collect();
        let [en, zh] = [0, 1].map(|i| said.iter().map(|both| both[i].as_str()).collect::<Vec<_>>());
        [
            format!(
                "{}, and what was sent since is not known; `tixing release` says what became due and ends the hold",
                en.join("; ")
            ),
            format!("{}，此后是否发送过无法得知；tixing release 列出期间到点的提醒并解除保持", zh.join("；")),
        ]
    }

    /// Why, as the API tells it.
    pub fn told(&self) -> HoldTold {
        let [en, zh] = self.why();
        HoldTold { reasons: self.reasons.iter().map(|(reason, _)| *reason).collect(), en, zh }
    }
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
        let part = file::temporary(to).map_err(failed)?;
        let path = utf8(part.path())?.to_owned();
        let copy = async {
            let mut conn = AnyConnection::connect(&self.opened.url).await?;
            sqlx::query("VACUUM INTO $1").bind(&path).execute(&mut conn).await?;
            conn.close().await?;
            let mut conn = AnyConnection::connect(&file::url(part.path(), "rw")).await?;
            // One that is there already stays. The instant is that after the copy, so that all it has was made by then.
            hold(&mut conn, Reason::Restored, clock.now()).await?;
            conn.close().await
        };
        copy.await.map_err(|e| failed(StoreError::from(e).to_string()))?;
        part.as_file().sync_all().map_err(|e| failed(e.to_string()))?;
        match part.persist_noclobber(to) {
            Ok(_) => file::sync_folder(to).map_err(|e| failed(e.to_string())),
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Err(exists()),
            Err(e) => Err(failed(e.error.to_string())),
        }
    }

    /// The hold that the store is on, if it is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hold(&self) -> Result<Option<Hold>, StoreError> {
        let sql = "SELECT reason, MIN(as_of) AS since, MAX(last_id) AS last_id FROM hold WHERE released_at IS NULL
             GROUP BY reason ORDER BY since, reason";
        let rows = sqlx::query(sql).fetch_all(&self.read).await?;
        let last_id = rows.iter().map(|row| ReminderId(row.get("last_id"))).max();
        let reasons: Vec<_> = rows.iter().map(|row| (Reason::from_word(row.get("reason")), row.get("since"))).collect();
        Ok(last_id.map(|last_id| Hold { since: reasons[0].1, last_id, reasons }))
    }

    /// What became due by `now` of what a hold is in doubt about, by app.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn overdue_on_hold(&self, hold: &Hold, now: Millis) -> Result<Vec<Overdue>, StoreError> {
        let mut conn = self.read.acquire().await?;
        Ok(overdue(&mut conn, hold.last_id, now).await?)
    }
}

/// SQLite's driver takes names of files as text.
fn utf8(path: &Path) -> Result<&str, BackupError> {
    path.to_str().ok_or_else(|| BackupError(format!("the name {} is not UTF-8: choose another", path.display())))
}

/// Puts the store on hold, as one that was restored.
pub(super) struct SetHold;

impl Single for SetHold {
    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let as_of = progress::last_known(tx.conn, tx.now).await?;
        hold(tx.conn, Reason::Restored, as_of).await
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
pub(super) async fn doubtful(tx: &mut Tx<'_>) -> sqlx::Result<Option<ReminderId>> {
    let sql = "SELECT MAX(last_id) AS last_id FROM hold WHERE released_at IS NULL";
    let row = sqlx::query(sql).fetch_one(&mut *tx.conn).await?;
    Ok(row.get::<Option<i64>, _>("last_id").map(ReminderId))
}

/// Whether a backup was ever put in the place of this store: then consents may have come that it does not know.
pub(super) async fn was_restored(tx: &mut Tx<'_>) -> sqlx::Result<bool> {
    Ok(sqlx::query("SELECT as_of FROM hold LIMIT 1").fetch_optional(&mut *tx.conn).await?.is_some())
}

/// Puts the store on hold, in doubt about what was sent after `as_of`.
pub(super) async fn hold(conn: &mut AnyConnection, reason: Reason, as_of: Millis) -> sqlx::Result<()> {
    let sql = "INSERT INTO hold (as_of, last_id, reason) SELECT $1, COALESCE(MAX(id), 0), $2 FROM reminder";
    sqlx::query(sql).bind(as_of).bind(reason.word()).execute(conn).await.map(drop)
}

async fn overdue(conn: &mut AnyConnection, last_id: ReminderId, now: Millis) -> sqlx::Result<Vec<Overdue>> {
    let rows = sqlx::query(
        "SELECT a.name, COUNT(*) AS n, MIN(d.due_at) AS first, MAX(d.due_at) AS last
         FROM due d JOIN lane l ON l.id = d.lane JOIN app a ON a.id = l.app WHERE d.due_at <= $1 AND d.id <= $2
         GROUP BY a.name ORDER BY a.name",
    )
    .bind(now)
    .bind(last_id.0)
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
    let opened = File::open(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => "does not exist".to_owned(),
        _ => format!("cannot be read ({e})"),
    });
    let header = opened.and_then(|opened| file::header(&opened, path));
    let header = header.map_err(|what| BackupError(format!("{} {what}: name a backup", path.display())))?;
    let log = file::beside(path, file::LOG);
    if log.metadata().is_ok_and(|log| log.len() > 0) {
        let what = format!(
            "{} has a write-ahead log beside it ({}), so it is a copied store and not whole without it: make backups with `tixing \
             backup`; to use the copy, put it in the place of the store together with all files that begin with its name",
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
/// A daemon that starts meanwhile waits for it: what is in the place of the store is locked all the time, first the former file and then
/// the new one; and while neither is there, what still lies beside keeps it from beginning anew.
///
/// # Errors
/// When a daemon runs, or the backup is not good: then nothing has changed.
pub async fn restore(backup: &Path, store: &Path, now: Millis) -> Result<Restored, RestoreError> {
    let store = &file::real(store)?;
    let failed = |why: String| BackupError(format!("cannot restore {}: {why}", store.display()));
    let io_failed = |e: std::io::Error| failed(e.to_string());
    let since = verify(backup).await?.as_of;
    // Whatever is wrong with the store, it is what is being replaced; only another process must not have it.
    let _former = file::lock(store, File::options().read(true))?;
    // Bytes alone: a backup may be read-only, and a store is its owner's.
    let mut part = file::temporary(store).map_err(failed)?;
    let copied = File::open(backup).and_then(|mut from| std::io::copy(&mut from, part.as_file_mut()));
    copied.and_then(|_| part.as_file().sync_all()).map_err(io_failed)?;
    let keep = |ending: &str| -> Result<Option<PathBuf>, BackupError> {
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
        let reached = progress::stored(&mut conn).await?;
        conn.close().await?;
        Ok::<_, sqlx::Error>((overdue, reached))
    };
    let (overdue, reached) = look.await.map_err(|e| failed(StoreError::from(e).to_string()))?;
    progress::write(store, reached.unwrap_or_default(), true)?;
    Ok(Restored { since, overdue, former })
}
