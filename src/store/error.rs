//! Why the store did not do something, or could not be opened.

use super::dialect::Dialect;
use crate::words::{Message, say};
use std::{
    fmt,
    io::{self, ErrorKind},
};

/// Why the store did not do it. Its sentence is fit for a log: no openid, no body, no password.
#[derive(Debug, Clone)]
pub enum StoreError {
    /// Busy, full, gone or unreadable; nothing was kept. The same may work later.
    Unavailable(Message),
    /// The disk is full, or another program has the file locked: it passes by itself. Nothing was kept.
    Passing(Message),
    /// The database does not let tixing do it, until a person changes something; nothing was kept.
    Wrong(Message),
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
            Self::Unavailable(_) | Self::Passing(_) | Self::Wrong(_) => "unavailable",
            Self::InUse => "in_use",
            Self::Refused(_) => "refused",
            Self::Silent(_) => "silent",
            Self::Closed => "closed",
        }
    }

    /// The sentence, for people.
    pub fn message(&self) -> Message {
        match self {
            Self::Unavailable(why) | Self::Passing(why) | Self::Wrong(why) => {
                say!("store_is_unavailable", why = why)
            }
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

/// The store has an app or a template that this process was not told of when it began.
#[derive(Debug, thiserror::Error)]
#[error("an app or a template that this process does not know")]
struct UnknownName;

/// What fails because of one.
pub(super) fn unknown_name() -> sqlx::Error {
    sqlx::Error::Configuration(Box::new(UnknownName))
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let why = match &error {
            sqlx::Error::Database(e) => return of_database(&e.code().unwrap_or_default(), e.message()),
            sqlx::Error::Io(e) if is_broken(e.kind()) => say!("store_connection_lost"),
            sqlx::Error::Io(e) => say!("store_connection_failed_as", why = e.to_string()),
            sqlx::Error::PoolTimedOut => say!("store_no_free_connection"),
            sqlx::Error::AnyDriverError(e) if e.is::<Meanwhile>() => say!("store_locked"),
            sqlx::Error::Configuration(why) if why.is::<UnknownName>() => say!("store_name_unknown"),
            sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => say!("store_connection_failed"),
            sqlx::Error::Configuration(why) => return Self::Wrong(say!("store_url_unusable", why = why.to_string())),
            _ => say!("store_connection_lost"),
        };
        Self::Unavailable(why)
    }
}

/// Whether the other side has ended a connection.
fn is_broken(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// Another writer was in between: what a transaction has read is no longer so.
#[derive(Debug, thiserror::Error)]
#[error("another writer was in between")]
struct Meanwhile;

/// Undoes a transaction and has it done again, since what it has read is no longer so. SQLite has one writer, and never comes to this.
pub(super) fn meanwhile() -> sqlx::Error {
    sqlx::Error::AnyDriverError(Box::new(Meanwhile))
}

/// Whether a transaction was turned back because of what another writer did at the same time: PostgreSQL could not put the two in a row, or
/// each waited for the other, or the other was first with a key; or it is [`meanwhile`]. The same again meets what that one has left.
pub(super) fn is_collision(error: &sqlx::Error) -> bool {
    if let sqlx::Error::AnyDriverError(error) = error {
        return error.is::<Meanwhile>();
    }
    let code = error.as_database_error().and_then(|e| e.code());
    // The class, and what it is in that.
    let parts = code.as_ref().and_then(|code| code.split_at_checked(2));
    matches!(parts, Some(("40", "001" | "P01") | ("23", "505")))
}

/// Whether a statement has divided by zero.
pub(super) fn is_division_by_zero(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|e| e.code());
    code.as_ref().and_then(|code| code.strip_prefix("22")) == Some("012")
}

/// Whether a connection was refused since what it asks for at its beginning is not PostgreSQL's to answer: a pooler stands before it.
pub(super) fn is_pooler(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|e| e.code());
    code.as_ref().and_then(|code| code.strip_prefix("08")) == Some("P01")
}

/// PostgreSQL's class of rules of access, and in it the privilege that is lacking.
pub(super) fn is_not_granted(code: &str) -> bool {
    code.strip_prefix("42") == Some("501")
}

/// A database's message may quote a value, so only its code is shown where it speaks of rows.
fn of_database(code: &str, message: &str) -> StoreError {
    let is_busy = code.parse::<i64>().is_ok_and(|code| matches!(code & 0xff, 5 | 6)) && code.len() < 5;
    StoreError::Unavailable(match code {
        // 4874: there is no room for the index of SQLite's log.
        "13" | "4874" | "53100" => return StoreError::Passing(say!("store_disk_full")),
        _ if is_busy => return StoreError::Passing(say!("store_locked")),
        "28000" => return StoreError::Wrong(say!("postgres_role_unknown", role = say!("its_role"))),
        "28P01" => return StoreError::Wrong(say!("postgres_password_wrong", role = say!("its_role"))),
        _ if is_not_granted(code) => return StoreError::Wrong(say!("postgres_not_granted", role = say!("its_role"))),
        // What a pooler says itself; PostgreSQL never does.
        "08P01" if message.contains("startup parameter") => {
            return StoreError::Wrong(say!("pooler_refuses_parameters"));
        }
        "08P01" if message.contains("statement pooling") => return StoreError::Wrong(say!("pooler_of_statements")),
        "42P05" | "26000" => return StoreError::Wrong(say!("pooler_forgets_statements")),
        "53300" => say!("postgres_connections_taken"),
        "57P01" | "57P02" | "57P03" => say!("postgres_starts"),
        "8" | "1032" | "25006" => say!("store_read_only"),
        "14" => say!("store_file_not_opened"),
        "11" | "26" => say!("store_damaged"),
        "55P03" => say!("store_locked"),
        // The one statement that divides is the link of the chain of commits.
        "22012" => say!("store_forgot_commits"),
        _ if code.starts_with("22") || code.starts_with("23") || message.contains("constraint") => {
            return StoreError::Refused(say!("store_database_code", code = code));
        }
        // About the statement itself; it names columns, never values.
        _ if code == "1" || code.starts_with("42") => say!("store_database_said", code = code, message = message),
        _ => say!("store_database_code", code = code),
    })
}

impl StoreError {
    /// The same at opening, where `what` is the whole sentence. A file does not mend itself; a server that is away may come back.
    pub(super) fn into_open_error(self, what: Message, dialect: Dialect) -> OpenError {
        match self {
            // Who has PostgreSQL's lock is not known here.
            Self::InUse => OpenError::InUse { what, by_daemon: false },
            Self::Wrong(_) => OpenError::Wrong(what),
            _ if dialect == Dialect::Postgres => OpenError::Unreachable(what),
            Self::Passing(_) => OpenError::Passing(what),
            _ => OpenError::Wrong(what),
        }
    }
}

/// Why the store cannot be opened: what was found and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It will not mend itself: the file, its folder, its schema.
    #[error("{0}")]
    Wrong(Message),
    /// There is none, and who asks makes none.
    #[error("{0}")]
    Missing(Message),
    /// It will mend itself: a full disk, a lock that another program holds for a while.
    #[error("{0}")]
    Passing(Message),
    /// Another tixing has it: a daemon, or a command that will end.
    #[error("{what}")]
    InUse {
        /// Who has it, as far as is known.
        what: Message,
        /// It is a daemon, which does not end by itself.
        by_daemon: bool,
    },
    /// The database does not answer; it may later.
    #[error("{0}")]
    Unreachable(Message),
}

impl OpenError {
    /// A file could not be written or read, of which `what` is the whole sentence.
    pub(super) fn of_file(e: &io::Error, what: Message) -> Self {
        match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Passing(what),
            _ => Self::Wrong(what),
        }
    }

    /// The sentence.
    pub fn message(&self) -> &Message {
        match self {
            Self::Wrong(what)
            | Self::Missing(what)
            | Self::Passing(what)
            | Self::InUse { what, .. }
            | Self::Unreachable(what) => what,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_restarts_and_a_connection_that_broke_are_told_in_words() {
        for code in ["57P01", "57P02", "57P03"] {
            let said = of_database(code, "terminating connection").to_string();
            assert!(said.contains("PostgreSQL is starting or stopping") && !said.contains(code), "{said}");
        }
        let eof = io::Error::new(ErrorKind::UnexpectedEof, "expected to read 5 bytes, got 0 bytes at EOF");
        for e in [eof, ErrorKind::ConnectionReset.into(), ErrorKind::BrokenPipe.into()] {
            let said = StoreError::from(sqlx::Error::Io(e)).to_string();
            assert!(said.contains("the database connection was lost"), "{said}");
        }
        let refused = StoreError::from(sqlx::Error::Io(ErrorKind::ConnectionRefused.into())).to_string();
        assert!(refused.contains("the connection failed: connection refused"), "{refused}");
    }
}
