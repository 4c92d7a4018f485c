//! The database: where it is, and the connections to it.

use super::{dialect::Dialect, error::StoreError, file, postgres};
use crate::{config::Durability, words::say};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection, Row, any::AnyPoolOptions};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// The database, and how to reach it again.
#[derive(Clone)]
pub(crate) struct Database {
    pub(super) url: String,
    pub(super) dialect: Dialect,
    pub(super) durability: Durability,
    /// SQLite's file.
    pub(super) file: Option<file::Identity>,
    /// Whether no other may write to it. Those among several have no such right to lose, and a slot each.
    pub(super) alone: bool,
    /// PostgreSQL's right to be alone, as long as it is held.
    pub(super) door: Door,
    /// Its lock, until the store is closed. Each part of the store that may open the file again has a share in it.
    pub(super) lock: Arc<Mutex<Option<file::Lock>>>,
}

impl Database {
    /// Refuses when SQLite's file is no longer where it was: it would go on taking writes that are lost with it.
    pub(super) fn is_there(&self) -> Result<(), StoreError> {
        match &self.file {
            Some(file) if !file.is_there() => Err(StoreError::Unavailable(say!("store_taken_away"))),
            _ => Ok(()),
        }
    }

    /// The connection that writes. On PostgreSQL, where no other may write, only while nobody else has the right to that.
    pub(super) async fn connect_writer(&self) -> Result<AnyConnection, StoreError> {
        let connected = AnyConnection::connect(&self.url).await;
        let mut conn = connected.map_err(|e| postgres::told(e, &self.url))?;
        match self.dialect {
            Dialect::Sqlite => {
                let synchronous = if self.durability == Durability::Full { "FULL" } else { "NORMAL" };
                for pragma in [
                    BUSY_TIMEOUT,
                    "PRAGMA journal_mode = WAL",
                    &format!("PRAGMA synchronous = {synchronous}"),
                    // For what comes between the writer's own, one a minute.
                    "PRAGMA wal_autocheckpoint = 16384",
                    "PRAGMA cache_size = -65536",
                    "PRAGMA temp_store = MEMORY",
                ] {
                    sqlx::query(AssertSqlSafe(pragma.to_owned())).execute(&mut conn).await?;
                }
            }
            Dialect::Postgres => {
                postgres::must_fit(&mut conn, &self.url).await?;
                if self.alone {
                    self.keep_others_out().await?;
                }
            }
        }
        Ok(conn)
    }

    /// Takes the right to be alone, unless it is held still.
    async fn keep_others_out(&self) -> Result<(), StoreError> {
        let mut door = self.door.lock().await;
        if let Some(conn) = &mut *door
            && sqlx::query("SELECT 1").execute(conn).await.is_ok()
        {
            return Ok(());
        }
        *door = None;
        let mut conn = AnyConnection::connect(&self.url).await?;
        sqlx::raw_sql("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut conn).await?;
        // Whoever was killed holds it until the server has noticed, which takes a moment.
        for _ in 0..30 {
            let row = sqlx::query("SELECT pg_try_advisory_xact_lock(8391361) AS got").fetch_one(&mut conn).await?;
            if row.get("got") {
                *door = Some(conn);
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(StoreError::InUse)
    }

    /// Gives up the right to be alone.
    pub(super) async fn let_others_in(&self) {
        if let Some(mut conn) = self.door.lock().await.take() {
            // A connection that has failed holds nothing.
            let _ = sqlx::query("ROLLBACK").execute(&mut conn).await;
            let _ = conn.close().await;
        }
    }
}

/// A connection whose transaction, which does nothing else, holds a lock as long as it is open. A session's lock would stay behind where a pooler
/// gives each transaction another connection.
type Door = Arc<tokio::sync::Mutex<Option<AnyConnection>>>;

/// How long a step of opening may take. A change of the schema takes as long as it takes.
pub(super) const OPEN_LIMIT: Duration = Duration::from_secs(15);

/// Runs a step of opening, unless the database takes the connection and then does not answer.
pub(super) async fn in_time<T, E: Into<StoreError>>(step: impl Future<Output = Result<T, E>>) -> Result<T, StoreError> {
    match tokio::time::timeout(OPEN_LIMIT, step).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => {
            let limit = OPEN_LIMIT.as_millis() as u64;
            Err(StoreError::Unavailable(say!("store_silent_at_opening", limit = limit)))
        }
    }
}

/// How long a connection waits for another of SQLite's.
pub(super) const BUSY_TIMEOUT: &str = "PRAGMA busy_timeout = 5000";

/// Connections for everybody but the engine.
pub const READERS: u32 = 8;
/// Connections for the engine: it reads ahead for each lane, and looks for what has expired.
pub(super) const READERS_AHEAD: u32 = 3;

/// How a transaction of PostgreSQL's begins that only reads. Of the session nothing is said: a pooler would hand that on to a client that wants to
/// write, settings and all. Every question has an index and wants few rows, and a plan that knows neither would read whole tables; a plan that
/// seems dear for that reason is not worth compiling.
const READING: &str =
    "BEGIN READ ONLY; SET LOCAL statement_timeout = '20s'; SET LOCAL enable_seqscan = off; SET LOCAL jit = off";

/// Connections of a pool that can only read. On PostgreSQL a connection is in one transaction from when it is taken until it is given back.
pub(super) async fn reading(dialect: Dialect, url: &str, most: u32) -> sqlx::Result<AnyPool> {
    let pool = AnyPoolOptions::new().max_connections(most).acquire_timeout(Duration::from_secs(5));
    let pool = match dialect {
        Dialect::Sqlite => pool.min_connections(1).after_connect(|conn, _| {
            Box::pin(async move {
                for pragma in [BUSY_TIMEOUT, "PRAGMA cache_size = -8192", "PRAGMA query_only = 1"] {
                    sqlx::query(pragma).execute(&mut *conn).await?;
                }
                Ok(())
            })
        }),
        // A new connection is for whoever waits for it: one that the pool made for later would be in a transaction meanwhile.
        Dialect::Postgres => pool
            .min_connections(0)
            // If it comes to nothing, what is asked next does, too, and says why.
            .after_connect(|conn, _| {
                Box::pin(async move {
                    took(conn, READING).await;
                    Ok(())
                })
            })
            .test_before_acquire(false)
            .before_acquire(|conn, _| Box::pin(async move { Ok(took(conn, READING).await) }))
            .after_release(|conn, _| Box::pin(async move { Ok(took(conn, "ROLLBACK").await) })),
    };
    pool.connect(url).await
}

/// Whether a connection took what was said to it.
async fn took(conn: &mut AnyConnection, sql: &'static str) -> bool {
    sqlx::raw_sql(sql).execute(conn).await.is_ok()
}
