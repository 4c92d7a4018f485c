//! What differs between SQLite and PostgreSQL. Everything else is one text for both: `$1`, TEXT and 64-bit integers, times as
//! UTC milliseconds, `ON CONFLICT`, `RETURNING`, `->>`.
//!
//! A statement about many rows takes them as one JSON array in `$1`, because each statement costs a hand-over to SQLite's
//! thread: a thousand rows in one statement cost one hand-over instead of a thousand.

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Embedded, the default.
    Sqlite,
    /// For those who outgrow one machine.
    Postgres,
}

impl Dialect {
    /// The dialect of a store URL.
    pub fn of(url: &str) -> Self {
        if url.starts_with("sqlite:") { Self::Sqlite } else { Self::Postgres }
    }

    /// Completes a statement:
    /// - `{rows}` unfolds the JSON array of `$1`; each element is `j.value`. SQLite's `jsonb_each` hands elements on as they were
    ///   parsed; `json_each` would write each back as text, to be parsed again for every column.
    /// - `{lock c}` locks the rows read from `c` until the transaction ends. SQLite has one writer and needs none.
    pub fn sql(self, text: &str) -> String {
        match self {
            Self::Sqlite => text.replace("{rows}", "jsonb_each($1) AS j").replace("{lock c}", ""),
            Self::Postgres => text
                .replace("{rows}", "json_array_elements($1::json) AS j(value)")
                .replace("{lock c}", "FOR UPDATE OF c"),
        }
    }

    /// Opens a transaction that may write. SQLite takes the write lock at once, so that it never finds itself unable to later.
    pub fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }
}
