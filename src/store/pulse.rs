//! Whether the store can be read and written now.

use super::{Store, command::Single, dialect::Dialect, error::StoreError, file, tx::Tx};
use crate::words::say;
use rustix::process::geteuid;
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// The tables that a reminder goes through.
const TABLES: &str = "recipient, consent, reminder, unheld, due, outcome, idempotency, tally";
/// Free bytes without which the next commits do not find room.
const ROOM: u64 = 256 * 1024;
/// A table that somebody has for a moment only is asked for again.
const TRIES: u32 = 3;
const AGAIN: Duration = Duration::from_millis(300);

/// So long the store counts as one that cannot be written after a commit has failed. The engine tries again sooner.
const TROUBLED: Duration = Duration::from_secs(3);

/// Why the last commit failed, if it did: a store may be full where it keeps reminders and still take the little that [`Store::writes`] writes.
#[derive(Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<(Instant, StoreError)>>>);

impl Trouble {
    /// A commit that brought rows is done, or has failed.
    pub fn committed(&self, done: Result<(), StoreError>) {
        *self.0.lock().expect("whole") = done.err().map(|why| (Instant::now(), why));
    }

    fn now(&self) -> Result<(), StoreError> {
        match &*self.0.lock().expect("whole") {
            Some((at, why)) if at.elapsed() < TROUBLED => Err(why.clone()),
            _ => Ok(()),
        }
    }
}

/// A write of nothing but how far the store has come, which each transaction writes.
struct Beat;

impl Single for Beat {
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, _: &mut Tx<'_>) -> sqlx::Result<()> {
        Ok(())
    }
}

impl Store {
    /// Writes as little as can be, with the next transaction, and is answered when that is durable. It does not wait behind imports: a store
    /// with much to do is no store that cannot be written.
    ///
    /// # Errors
    /// As any write.
    pub async fn writes(&self) -> Result<(), StoreError> {
        self.writer.do_one_next(Beat).await
    }

    /// Reads, and looks whether there is room for what is to be written, whether nobody keeps a table for himself, and how the last commit went.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn reads(&self) -> Result<(), StoreError> {
        self.database.is_there()?;
        self.trouble.now()?;
        if let Some(file) = self.database.file.as_ref() {
            has_room(file.path())?;
        }
        sqlx::query("SELECT 1 AS one FROM due LIMIT 1").fetch_optional(&self.read).await?;
        if self.database.dialect == Dialect::Postgres {
            for left in (0..TRIES).rev() {
                match self.free_tables().await {
                    Ok(()) => break,
                    Err(e) if left == 0 => return Err(e),
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            }
        }
        Ok(())
    }

    /// Asks for the lock that a write takes, until the connection is given back: a write that waits for it would keep all others waiting behind it.
    async fn free_tables(&self) -> Result<(), StoreError> {
        let lock = format!("LOCK TABLE {TABLES} IN ROW EXCLUSIVE MODE NOWAIT");
        sqlx::query(sqlx::AssertSqlSafe(lock)).execute(&self.read).await?;
        Ok(())
    }
}

/// Whether the file's disk has room for more.
fn has_room(path: &Path) -> Result<(), StoreError> {
    // A file system that does not say is found full by the write.
    let Ok(disk) = rustix::fs::statvfs(file::folder(path)) else { return Ok(()) };
    let blocks = if geteuid().is_root() { disk.f_bfree } else { disk.f_bavail };
    let free = blocks.saturating_mul(disk.f_frsize);
    if free < ROOM {
        return Err(StoreError::Unavailable(say!("store_no_room", free = free / 1_024, least = ROOM / 1_024)));
    }
    Ok(())
}
