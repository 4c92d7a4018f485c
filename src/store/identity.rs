//! Identity: whether a PostgreSQL database is the one that was written to. One that was restored or copied has the marks of some time ago,
//! and a start would send again. So there is a row that cannot be the same in a copy.

use super::hold::{self, Reason};
use crate::domain::Millis;
use sqlx::{AnyConnection, Connection, Row};

/// The database that a session is in.
const HERE: &str = "(SELECT oid::bigint FROM pg_database WHERE datname = current_database())";

/// Compares the database with what it says of itself, and puts it on hold if it is another. Afterwards it says what it is.
///
/// - Of another server, or upgraded by `pg_upgrade`: the system identifier differs.
/// - Made with `TEMPLATE`: the database's OID differs.
/// - Restored from a dump, whole or in part, even into the same database: another transaction wrote the row.
///
/// A standby that takes over is the same in all of these, as it should be. So is a physical backup, which cannot be told from it.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn compare(conn: &mut AnyConnection, now: Millis) -> sqlx::Result<()> {
    let asked = sqlx::query("SELECT system_identifier::text AS cluster FROM pg_control_system()").fetch_one(&mut *conn);
    let cluster: Option<String> = match asked.await {
        Ok(row) => Some(row.get("cluster")),
        // The server's administrator may have forbidden it. The other two still tell most cases.
        Err(sqlx::Error::Database(_)) => None,
        Err(e) => return Err(e),
    };
    let sql = format!(
        "SELECT COALESCE(cluster = $1::text, true) AND database = {HERE} AND written_by = xmin::text::bigint AS same FROM identity"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&cluster).fetch_optional(&mut *conn).await?;
    let same = row.map(|row| row.get::<bool, _>("same"));
    if same == Some(true) {
        return Ok(());
    }
    let mut tx = conn.begin().await?;
    if same == Some(false) {
        let as_of = hold::last_known(&mut tx, now).await?;
        tracing::error!("the database is not the one that was written to: it was restored or copied");
        hold::hold(&mut tx, Reason::AnotherDatabase, as_of).await?;
    }
    // A row keeps the lower half of the number of the transaction that wrote it.
    let sql = format!(
        "INSERT INTO identity (cluster, database, written_by) VALUES ($1, {HERE}, txid_current() & 4294967295)
         ON CONFLICT (one) DO UPDATE SET cluster = excluded.cluster, database = excluded.database, written_by = excluded.written_by"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&cluster).execute(&mut *tx).await?;
    tx.commit().await
}
