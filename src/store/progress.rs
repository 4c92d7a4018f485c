//! Progress: how far the store has come, in a small file beside SQLite's. SQLite cannot tell that its log was lost: a whole store of some
//! minutes ago is left, whose marks are gone, and a start would send again. A store that is behind the file is on hold.
//!
//! The file is written after a commit and never before, at most once a second, and only of what is durable. So it may say less than what
//! the store has, which does no harm, and never more: neither a kill nor a loss of power makes a store look as if it had lost something.

use super::{
    error::OpenError,
    file,
    hold::{self, Reason},
    tally,
};
use crate::{
    domain::{Millis, timing::rfc3339},
    words::say,
};
use sqlx::{AnyConnection, Connection};
use std::{
    fs::OpenOptions,
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tokio::task::JoinHandle;

/// Compares the store with the file beside it, and puts it on hold if it may have lost something. Afterwards the file is there, and the store
/// remembers that it writes it.
///
/// # Errors
/// When the database does not answer, or the file can be neither read nor written.
pub(super) async fn compare(conn: &mut AnyConnection, store: &Path, now: Millis) -> Result<(), Error> {
    let (reached, said) = (tally::reached(conn).await?, read(store)?);
    let reason = match (reached, said) {
        (Some(_), None) => Some(Reason::NoProgress),
        (_, Some(said)) if said > reached.unwrap_or_default() => Some(Reason::LostCommits),
        _ => None,
    };
    if let Some(reason) = reason {
        let as_of = hold::last_known(conn, now).await?;
        tracing::error!(
            reason = reason.word(),
            store = rfc3339(as_of),
            beside = said.map_or_else(|| "missing".to_owned(), rfc3339),
            "the store and the file beside it do not agree on how far it had come"
        );
        let mut tx = conn.begin().await?;
        hold::hold(&mut tx, reason, as_of).await?;
        let next = now.max(reached.unwrap_or_default() + 1).max(said.unwrap_or_default() + 1);
        remember(&mut tx, next).await?;
        tx.commit().await?;
    }
    if said.is_none() {
        // Durable before the store says that it is there. It claims nothing yet.
        write(store, 0, true)?;
    }
    if reached.is_none() && reason.is_none() {
        remember(conn, now).await?;
    }
    Ok(())
}

async fn remember(conn: &mut AnyConnection, reached: Millis) -> sqlx::Result<()> {
    let sql = "INSERT INTO tally (lane, name, n) VALUES (0, 'progress', $1) ON CONFLICT (lane, name) DO UPDATE SET n = excluded.n";
    sqlx::query(sql).bind(reached).execute(conn).await.map(drop)
}

/// What goes wrong in [`compare`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    File(#[from] OpenError),
}

/// What the file says; `None` if it is missing. One that a loss of power has left empty says nothing.
fn read(store: &Path) -> Result<Option<Millis>, OpenError> {
    let path = file::beside(store, file::PROGRESS);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            Ok(Some(text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()))
        }
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => {
            Err(OpenError::Wrong(say!("store_progress_unread", file = path.to_string_lossy(), why = e.to_string())))
        }
    }
}

/// Writes the file anew, under another name first, so that it is whole at any time.
pub(super) fn write(store: &Path, reached: Millis, durably: bool) -> Result<(), OpenError> {
    let path = file::beside(store, file::PROGRESS);
    let next = file::beside(&path, ".part");
    let written = || -> io::Result<()> {
        // A file that a kill has left is made anew, and a link is not followed.
        let _ = std::fs::remove_file(&next);
        let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
        file::give_to_folder(&made, &path)?;
        writeln!(
            made,
            "{reached} {}: the store beside this had come so far. Keep the two together.",
            rfc3339(reached)
        )?;
        if durably {
            made.sync_all()?;
        }
        std::fs::rename(&next, &path)?;
        if durably { file::sync_folder(&path) } else { Ok(()) }
    };
    written().map_err(|e| {
        OpenError::of_file(&e, say!("store_progress_unwritten", file = path.to_string_lossy(), why = e.to_string()))
    })
}

/// Keeps the file up to date, beside the writer and without making it wait.
pub(super) struct Keeper {
    store: PathBuf,
    /// What the file says.
    written: Millis,
    writing: Option<(Millis, JoinHandle<Result<(), OpenError>>)>,
    complained: bool,
}

impl Keeper {
    pub fn new(store: PathBuf) -> Self {
        Self { store, written: 0, writing: None, complained: false }
    }

    /// Has the file say that the store has come to `durable`, unless it still writes the last time's. Not to be asked more than once a
    /// second.
    pub async fn keep(&mut self, durable: Millis) {
        if self.writing.as_ref().is_some_and(|(_, writing)| !writing.is_finished()) {
            return;
        }
        self.finish().await;
        if durable > self.written {
            let store = self.store.clone();
            self.writing = Some((durable, tokio::task::spawn_blocking(move || write(&store, durable, false))));
        }
    }

    /// Waits until what is being written is there.
    pub async fn finish(&mut self) {
        let Some((reached, writing)) = self.writing.take() else { return };
        match writing.await {
            Ok(Ok(())) => (self.written, self.complained) = (reached, false),
            Ok(Err(e)) if !self.complained => {
                self.complained = true;
                tracing::warn!(error = %e, "a store that loses its log now may not be seen to have lost it");
            }
            // Told of already, or the process ends.
            _ => {}
        }
    }
}
