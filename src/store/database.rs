//! The database: where it is, and the connections to it.

use super::{
    dialect::Dialect,
    error::{StoreError, is_pooler},
    file, postgres,
};
use crate::{config::Durability, words::say};
use sqlx::{
    AnyConnection, AnyPool, AssertSqlSafe, Connection, Row,
    any::{AnyConnectOptions, AnyPoolOptions},
};
use std::{
    str::FromStr,
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

/// What a connection of PostgreSQL's that can only read asks for when it begins.
const READING: [&str; 4] = [
    "-c statement_timeout=20s",
    "-c default_transaction_read_only=on",
    // Every question has an index and wants few rows; a plan that knows neither would read whole tables.
    "-c enable_seqscan=off",
    // A plan that seems dear for that reason is not worth compiling.
    "-c jit=off",
];

/// Connections of a pool that can only read.
pub(super) async fn reading(dialect: Dialect, url: &str, most: u32) -> sqlx::Result<AnyPool> {
    let mut options = AnyConnectOptions::from_str(url)?;
    if dialect == Dialect::Postgres {
        // Never by SET: a pooler would hand the session on to a client that wants to write, settings and all.
        options.database_url.query_pairs_mut().append_pair("options", &READING.join(" "));
    }
    match pool(dialect, most).connect_with(options).await {
        // A pooler that lets no such wish through. All of them are for more safety or speed, and nothing that is read needs them.
        Err(e) if is_pooler(&e) => pool(dialect, most).connect(url).await,
        opened => opened,
    }
}

fn pool(dialect: Dialect, most: u32) -> AnyPoolOptions {
    let pragmas: &[&'static str] = match dialect {
        Dialect::Sqlite => &[BUSY_TIMEOUT, "PRAGMA cache_size = -8192", "PRAGMA query_only = 1"],
        Dialect::Postgres => &[],
    };
    AnyPoolOptions::new()
        .max_connections(most)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        .after_connect(move |conn, _| {
            Box::pin(async move {
                for pragma in pragmas {
                    sqlx::query(*pragma).execute(&mut *conn).await?;
                }
                Ok(())
            })
        })
}
