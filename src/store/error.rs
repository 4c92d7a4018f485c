//! Why the store did not do something, or could not be opened.

/// Why the store did not do it. `Display` is fit for a log: no openid, no body, no password.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Busy, full, gone or unreadable; nothing was kept. The same may work later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The database refuses this very content; nothing was kept.
    #[error("the store refused the rows: {0}")]
    Refused(String),
    /// It did not say in time whether it was done: it may have been kept.
    #[error("the store did not say whether it was done: {0}")]
    Silent(String),
    /// The daemon is stopping.
    #[error("the store is closed")]
    Closed,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // A database's message may quote a value, so only its code is shown where it speaks of rows.
            sqlx::Error::Database(e) => {
                let code = e.code().unwrap_or_default().into_owned();
                match (code.as_str(), e.message()) {
                    ("13" | "53100", _) => {
                        Self::Unavailable("the disk is full; make room and it goes on by itself".into())
                    }
                    ("8" | "1032" | "25006", _) => {
                        Self::Unavailable("it is read-only; check the file's and the folder's permissions".into())
                    }
                    ("14", _) => {
                        Self::Unavailable("the file cannot be opened; check its folder and permissions".into())
                    }
                    ("11" | "26", _) => Self::Unavailable(
                        "the file is damaged; stop the daemon and put a backup in its place with `tixing restore`"
                            .into(),
                    ),
                    (code, message)
                        if code.starts_with("22") || code.starts_with("23") || message.contains("constraint") =>
                    {
                        Self::Refused(format!("database code {code}"))
                    }
                    // About the statement itself; it names columns, never values.
                    (code, message) if code == "1" || code.starts_with("42") => {
                        Self::Unavailable(format!("database code {code}: {message}"))
                    }
                    (code, _) => Self::Unavailable(format!("database code {code}")),
                }
            }
            sqlx::Error::Io(e) => Self::Unavailable(format!("the connection failed: {e}")),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection was free in time".into()),
            sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => Self::Unavailable("the connection failed".into()),
            _ => Self::Unavailable("the database connection was lost".into()),
        }
    }
}

/// Why the store cannot be opened: what was found and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It will not mend itself: the file, its folder, its schema.
    #[error("{0}")]
    Wrong(String),
    /// Another process has the file.
    #[error("{0}")]
    InUse(String),
    /// The database does not answer; it may later.
    #[error("{0}")]
    Unreachable(String),
}
