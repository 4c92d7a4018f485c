//! Why the store did not do something, or could not be opened.

use crate::words::{Message, say};
use std::fmt;

/// Why the store did not do it. Its sentence is fit for a log: no openid, no body, no password.
#[derive(Debug, Clone)]
pub enum StoreError {
    /// Busy, full, gone or unreadable; nothing was kept. The same may work later.
    Unavailable(Message),
    /// Another tixing has the right to write to the database; nothing was kept.
    InUse,
    /// The database refuses this very content; nothing was kept.
    Refused(Message),
    /// It did not say in time whether it was done: it may have been kept.
    Silent(Message),
    /// The daemon is stopping.
    Closed,
}

impl StoreError {
    /// All that [`Self::word`] says.
    pub const WORDS: [&'static str; 5] = ["unavailable", "in_use", "refused", "silent", "closed"];

    /// A word for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::InUse => "in_use",
            Self::Refused(_) => "refused",
            Self::Silent(_) => "silent",
            Self::Closed => "closed",
        }
    }

    /// The sentence, for people.
    pub fn message(&self) -> Message {
        match self {
            Self::Unavailable(why) => say!("store_is_unavailable", why = why),
            Self::InUse => say!("store_is_unavailable", why = say!("store_database_in_use")),
            Self::Refused(why) => say!("store_refused_rows", why = why),
            Self::Silent(why) => say!("store_did_not_say", why = why),
            Self::Closed => say!("store_closed"),
        }
    }
}

/// In English, for logs.
impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for Message {
    fn from(error: StoreError) -> Self {
        error.message()
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let why = match &error {
            sqlx::Error::Database(e) => return of_database(&e.code().unwrap_or_default(), e.message()),
            sqlx::Error::Io(e) => say!("store_connection_failed_as", why = e.to_string()),
            sqlx::Error::PoolTimedOut => say!("store_no_free_connection"),
            sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => say!("store_connection_failed"),
            _ => say!("store_connection_lost"),
        };
        Self::Unavailable(why)
    }
}

/// A database's message may quote a value, so only its code is shown where it speaks of rows.
fn of_database(code: &str, message: &str) -> StoreError {
    StoreError::Unavailable(match code {
        "13" | "53100" => say!("store_disk_full"),
        "8" | "1032" | "25006" => say!("store_read_only"),
        "14" => say!("store_file_not_opened"),
        "11" | "26" => say!("store_damaged"),
        "5" | "55P03" => say!("store_locked"),
        _ if code.starts_with("22") || code.starts_with("23") || message.contains("constraint") => {
            return StoreError::Refused(say!("store_database_code", code = code));
        }
        // About the statement itself; it names columns, never values.
        _ if code == "1" || code.starts_with("42") => say!("store_database_said", code = code, message = message),
        _ => say!("store_database_code", code = code),
    })
}

/// Why the store cannot be opened: what was found and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It will not mend itself: the file, its folder, its schema.
    #[error("{0}")]
    Wrong(Message),
    /// Another process has the file.
    #[error("{0}")]
    InUse(Message),
    /// The database does not answer; it may later.
    #[error("{0}")]
    Unreachable(Message),
}
