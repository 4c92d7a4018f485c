//! The connection that writes, and what is carried from one of its transactions to the next.

use super::{
    database::Database,
    dialect::Dialect,
    error::StoreError,
    gates::Kept,
    names::Names,
    procedures::Procedures,
    tx::{Carried, Committed, Tx, Way},
};
use crate::{clock::SharedClock, domain::Millis, words::say};
use sqlx::{AnyConnection, Connection};
use std::{sync::Arc, time::Duration};

/// How long it may take to connect, and to roll back.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The connection that writes.
pub(super) struct WriteConn {
    pub database: Database,
    pub clock: SharedClock,
    pub carried: Carried,
    names: Arc<Names>,
    gates: Kept,
    /// None between one that has failed and the next transaction.
    conn: Option<AnyConnection>,
    /// What it knows.
    procedures: Procedures,
}

impl WriteConn {
    /// Goes on with a connection.
    pub fn on(
        conn: AnyConnection,
        database: Database,
        carried: Carried,
        (names, gates): (Arc<Names>, Kept),
        clock: SharedClock,
    ) -> Self {
        Self { database, clock, carried, names, gates, conn: Some(conn), procedures: Procedures::default() }
    }

    /// The connection, if there is one.
    pub fn raw(&mut self) -> Option<&mut AnyConnection> {
        self.conn.as_mut()
    }

    /// Connects anew if the connection was given up; answers whether it did.
    ///
    /// # Errors
    /// When there is none.
    pub async fn connect(&mut self) -> Result<bool, StoreError> {
        if self.conn.is_some() {
            return Ok(false);
        }
        let connect = tokio::time::timeout(CONNECT_LIMIT, self.database.connect_writer());
        let silent =
            |_| StoreError::Unavailable(say!("store_no_connection_within", limit = CONNECT_LIMIT.as_millis() as u64));
        (self.conn, self.procedures) = (Some(connect.await.map_err(silent)??), Procedures::default());
        Ok(true)
    }

    /// The next transaction connects anew.
    pub fn give_up(&mut self) {
        self.conn = None;
    }

    /// Opens a transaction.
    pub fn begin(&mut self, now: Millis, way: Way) -> Tx<'_> {
        let conn = self.conn.as_mut().expect("connected before");
        Tx::begin((conn, &mut self.procedures), self.database.dialect, &self.names, &mut self.carried, now, way)
    }

    /// A transaction is committed.
    pub fn committed(&mut self, Committed { reached, gates, n }: Committed) {
        self.carried.committed(reached);
        n.into_iter().for_each(|n| self.carried.chain.confirmed(n));
        self.gates.change(gates);
    }

    /// Undoes a transaction that has failed; if that fails, the connection is given up.
    pub async fn roll_back(&mut self) {
        let Some(conn) = self.conn.as_mut() else { return };
        let undone = tokio::time::timeout(CONNECT_LIMIT, sqlx::query("ROLLBACK").execute(conn)).await;
        // SQLite says so of a transaction that it has rolled back by itself.
        let is_undone = matches!(undone, Ok(Err(_))) && self.database.dialect == Dialect::Sqlite;
        if !is_undone && !matches!(undone, Ok(Ok(_))) {
            self.give_up();
        }
    }

    /// Says goodbye.
    pub async fn close(self) {
        if let Some(conn) = self.conn {
            let _ = conn.close().await;
        }
        self.database.let_others_in().await;
    }
}
