//! A whole copy of SQLite's file, marked as a backup: whoever opens it does not know what was sent since, and is on hold.

use super::{
    error::StoreError,
    file,
    hold::{self, Reason},
};
use crate::{
    domain::Millis,
    words::{Message, say},
};
use sqlx::{AnyConnection, Connection, Row};
use std::{
    io::{self, ErrorKind},
    path::Path,
};

/// SQLite's driver takes names of files as text.
///
/// # Errors
/// When the name is none.
pub(super) fn utf8(path: &Path) -> Result<&str, Message> {
    path.to_str().ok_or_else(|| say!("name_not_utf8", file = path.to_string_lossy()))
}

/// Why there is no copy.
pub(super) struct NotCopied {
    /// The sentence.
    pub why: Message,
    /// It passes by itself: the disk is full.
    pub passes: bool,
}

/// Writes a copy of the store that `conn` has open to `to`, which must not exist yet. `schema` is its version, and `as_of` is asked for the
/// time after the copy, so that all it has was made by then.
///
/// # Errors
/// Why it cannot be written; then there is none.
pub(super) async fn write(
    conn: &mut AnyConnection,
    to: &Path,
    schema: i64,
    as_of: impl FnOnce() -> Millis,
) -> Result<(), NotCopied> {
    let because = |why: Message, passes: bool| NotCopied {
        why: say!("store_not_backed_up", file = to.to_string_lossy(), why = why),
        passes,
    };
    let failed = |why: Message| because(why, false);
    let io_failed = |e: io::Error| {
        let passes = matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
        because(Message::text(e.to_string()), passes)
    };
    let exists = || NotCopied { why: say!("store_backup_exists", file = to.to_string_lossy()), passes: false };
    if to.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let part = file::temporary(to).map_err(failed)?;
    let path = utf8(part.path()).map_err(failed)?.to_owned();
    let copy = async {
        sqlx::query("VACUUM INTO $1").bind(&path).execute(&mut *conn).await?;
        let mut conn = AnyConnection::connect(&file::url(part.path(), "rw")).await?;
        mark(&mut conn, schema, as_of()).await?;
        conn.close().await
    };
    copy.await.map_err(|e| {
        let e = StoreError::from(e);
        because(e.message(), matches!(e, StoreError::Passing(_)))
    })?;
    file::give_to_folder(part.as_file(), to).and_then(|()| part.as_file().sync_all()).map_err(io_failed)?;
    match part.persist_noclobber(to) {
        Ok(_) => file::sync_folder(to).map_err(io_failed),
        Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Err(exists()),
        Err(e) => Err(io_failed(e.error)),
    }
}

/// The oldest schema that can say of a copy that it is a backup, and those that say more of it.
const SCHEMAS_OF_HOLDS: [i64; 3] = [2, 3, 9];

/// Marks a copy as a backup, in the words of its own schema. A hold that is there already stays.
async fn mark(conn: &mut AnyConnection, schema: i64, as_of: Millis) -> sqlx::Result<()> {
    let [first, by_id, with_reason] = SCHEMAS_OF_HOLDS;
    let sql = match schema {
        _ if schema >= with_reason => return hold::hold(conn, Reason::Restored, as_of).await,
        _ if schema >= by_id => "INSERT INTO hold (as_of, last_id) SELECT $1, COALESCE(MAX(id), 0) FROM reminder",
        _ if schema >= first => "INSERT INTO hold (as_of) VALUES ($1)",
        _ => return Ok(()),
    };
    sqlx::query(sql).bind(as_of).execute(conn).await.map(drop)
}

/// When a backup of this schema was made; `None` if it is none.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn made_at(conn: &mut AnyConnection, schema: i64) -> sqlx::Result<Option<Millis>> {
    let [first, by_id, _] = SCHEMAS_OF_HOLDS;
    let sql = match schema {
        _ if schema >= by_id => "SELECT MIN(as_of) AS as_of FROM hold WHERE released_at IS NULL",
        _ if schema >= first => "SELECT MIN(as_of) AS as_of FROM hold",
        _ => return Ok(None),
    };
    Ok(sqlx::query(sql).fetch_one(conn).await?.get("as_of"))
}
