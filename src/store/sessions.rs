//! Sessions of the console in SQL. Only a hash of a session's secret is kept: a reader of the store cannot use it.

use super::{Store, command::Single, error::StoreError, tx::Tx};
use crate::domain::{DAY, MINUTE, Millis};
use sqlx::{AnyConnection, Row};

/// A session ends so long after it was begun, however much is asked.
pub const LONGEST: Millis = 7 * DAY;
/// The last request is written down no more often.
const SEEN_EVERY: Millis = MINUTE;

/// Somebody who is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The API key by which they signed in; `None` for a link from the command line.
    pub key: Option<i64>,
    made_at: Millis,
    seen_at: Millis,
}

impl Session {
    fn lives(&self, idle: Millis, now: Millis) -> bool {
        now - self.seen_at < idle && now - self.made_at < LONGEST
    }
}

/// A session begins. Those that have ended are forgotten.
struct Begin {
    hash: String,
    key: Option<i64>,
    idle: Millis,
}

impl Single for Begin {
    // They log in or out once more.
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let now = tx.now;
        let sql = "DELETE FROM session WHERE seen_at <= $1 OR made_at <= $2";
        sqlx::query(sql).bind(now - self.idle).bind(now - LONGEST).execute(tx.conn().await?).await?;
        let sql = "INSERT INTO session (hash, key, made_at, seen_at) VALUES ($1, $2, $3, $3)";
        sqlx::query(sql).bind(&self.hash).bind(self.key).bind(now).execute(tx.conn().await?).await.map(drop)
    }
}

/// Something was asked in a session.
struct Seen(String);

impl Single for Seen {
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let query = sqlx::query("UPDATE session SET seen_at = $2 WHERE hash = $1").bind(&self.0).bind(tx.now);
        query.execute(tx.conn().await?).await.map(drop)
    }
}

/// A session ends.
struct End(String);

impl Single for End {
    // They log in or out once more.
    const WHAT: Option<&'static str> = None;

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM session WHERE hash = $1").bind(&self.0).execute(tx.conn().await?).await.map(drop)
    }
}

/// Ends all sessions of a copy: one that was ended since lives in it.
pub(super) async fn end_all(conn: &mut AnyConnection) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM session").execute(conn).await.map(drop)
}

impl Store {
    /// Begins a session, by the hash of its secret.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn begin_session(&self, hash: String, key: Option<i64>, idle: Millis) -> Result<(), StoreError> {
        self.writer.do_one(Begin { hash, key, idle }).await
    }

    /// The session of this hash, if it lives: `idle` is how long one does without a request.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn session(&self, hash: &str, idle: Millis, now: Millis) -> Result<Option<Session>, StoreError> {
        let Some(session) = self.look_at_session(hash, idle, now).await? else { return Ok(None) };
        if now - session.seen_at >= SEEN_EVERY {
            self.writer.do_one(Seen(hash.to_owned())).await?;
        }
        Ok(Some(session))
    }

    /// The same without its being a request: a session that nobody uses ends though it is looked at.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn look_at_session(&self, hash: &str, idle: Millis, now: Millis) -> Result<Option<Session>, StoreError> {
        let sql = "SELECT key, made_at, seen_at FROM session WHERE hash = $1";
        let row = sqlx::query(sql).bind(hash).fetch_optional(&self.read).await?;
        let session =
            row.map(|row| Session { key: row.get("key"), made_at: row.get("made_at"), seen_at: row.get("seen_at") });
        Ok(session.filter(|session| session.lives(idle, now)))
    }

    /// Ends a session; also one that there is not.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn end_session(&self, hash: String) -> Result<(), StoreError> {
        self.writer.do_one(End(hash)).await
    }
}
