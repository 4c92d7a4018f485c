//! Identity: whether a PostgreSQL database is the one that was written to. One that was restored or copied has the marks of some time ago,
//! and a start would send again. So there is a row that cannot be the same in a copy.

use super::hold::{self, Reason};
use crate::{
    config::Replication,
    domain::{Millis, node::NodeId},
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

/// The database that a session is in.
const HERE: &str = "(SELECT oid::bigint FROM pg_database WHERE datname = current_database())";

/// Compares the database with what it says of itself, and puts it on hold if it is another. Afterwards it says what it is.
///
/// - Of another server, or upgraded by `pg_upgrade`: the system identifier differs.
/// - Made with `TEMPLATE`: the database's OID differs.
/// - Restored from a dump, whole or in part, even into the same database: another transaction wrote the row.
///
/// A standby that takes over is the same in all of these. It begins another timeline, which [`compare_timeline`] looks at; a physical backup that
/// was restored cannot be told from it.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn compare(
    conn: &mut AnyConnection,
    now: Millis,
    replication: Option<Replication>,
) -> sqlx::Result<()> {
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
    let row = sqlx::query(AssertSqlSafe(sql)).bind(&cluster).fetch_optional(&mut *conn).await?;
    let same = row.map(|row| row.get::<bool, _>("same"));
    if same == Some(true) {
        return match replication {
            Some(replication) => compare_timeline(conn, now, replication).await,
            // Who only asks leaves that to a daemon.
            None => Ok(()),
        };
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
    sqlx::query(AssertSqlSafe(sql)).bind(&cluster).execute(&mut *tx).await?;
    note_timeline(&mut tx).await?;
    tx.commit().await
}

/// The timeline that the server writes, in SQL.
const TIMELINE: &str = "substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)";

/// Whether the server writes the timeline that is written down, in SQL; `is_told`: if it may be asked. A pooler goes on to the standby that took over
/// without a word: the connection to it is the same. A standby that follows writes none, and takes no writes either.
pub(super) fn same_timeline(is_told: bool) -> String {
    let is_same = format!(
        "CASE WHEN pg_is_in_recovery() THEN true ELSE COALESCE((SELECT timeline = {TIMELINE} FROM identity), true) END"
    );
    if is_told { is_same } else { "true".to_owned() }
}

/// The timeline that the server writes, where it may be asked: each standby that takes over begins another.
pub(super) async fn timeline(conn: &mut AnyConnection) -> sqlx::Result<Option<String>> {
    match sqlx::query(AssertSqlSafe(format!("SELECT {TIMELINE} AS timeline"))).fetch_one(conn).await {
        Ok(row) => Ok(row.get("timeline")),
        Err(sqlx::Error::Database(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Writes down that the server's timeline has all commits, or that a hold says that it may not.
pub(super) async fn note_timeline(conn: &mut AnyConnection) -> sqlx::Result<()> {
    let timeline = timeline(&mut *conn).await?;
    let sql = "UPDATE identity SET timeline = $1, written_by = txid_current() & 4294967295 WHERE timeline IS DISTINCT FROM $1";
    sqlx::query(sql).bind(timeline).execute(conn).await.map(drop)
}

/// Looks whether a standby has taken over since. Where it was not waited for, it may have forgotten commits, and no daemon that went on through it
/// is there to tell that it has not: those count their commits.
async fn compare_timeline(conn: &mut AnyConnection, now: Millis, replication: Replication) -> sqlx::Result<()> {
    let here = timeline(&mut *conn).await?;
    let row = sqlx::query("SELECT timeline, (SELECT COUNT(*) FROM node
             WHERE state IN ('live', 'leaving') AND clock_timestamp() < to_timestamp((seen_at + 8000) / 1000.0)) AS nodes FROM identity");
    let row = row.fetch_one(&mut *conn).await?;
    let before: Option<String> = row.get("timeline");
    if here == before {
        return Ok(());
    }
    let is_another = here.is_some() && before.is_some();
    let may_lack = is_another && replication == Replication::Asynchronous;
    if may_lack && row.get::<i64, _>("nodes") > 0 {
        return hold_until_told(conn, now, None).await;
    }
    let mut tx = conn.begin().await?;
    if may_lack {
        let as_of = hold::last_known(&mut tx, now).await?;
        tracing::error!("a standby has taken over while no daemon ran: it may not have received the last commits");
        hold::hold(&mut tx, Reason::LostCommits, as_of).await?;
    }
    note_timeline(&mut tx).await?;
    tx.commit().await
}

/// Holds the store if a standby has taken over that may lack commits, and nobody has noticed: before a node is written down as gone. Else nobody would
/// wait for what that one had written.
pub(super) async fn notice(conn: &mut AnyConnection, now: Millis, replication: Replication) -> sqlx::Result<()> {
    if replication == Replication::Synchronous {
        return Ok(());
    }
    let Some(here) = timeline(&mut *conn).await? else { return Ok(()) };
    let row = sqlx::query("SELECT timeline FROM identity").fetch_optional(&mut *conn).await?;
    match row.and_then(|row| row.get::<Option<String>, _>("timeline")) {
        Some(noted) if noted != here => hold_until_told(conn, now, None).await,
        _ => Ok(()),
    }
}

/// Puts the store on hold since a standby took over that may lack commits, before anything else is written: until each node that may have made some has
/// written again what is lacking. A node of which the database knows less than it should brings its own number.
pub(super) async fn hold_until_told(
    conn: &mut AnyConnection,
    now: Millis,
    forgotten: Option<NodeId>,
) -> sqlx::Result<()> {
    let mut tx = conn.begin().await?;
    sqlx::query("LOCK TABLE awaited IN EXCLUSIVE MODE").execute(&mut *tx).await?;
    let here = timeline(&mut tx).await?;
    let sql = "SELECT timeline, EXISTS (SELECT 1 FROM awaited WHERE node = $1) AS awaited FROM identity";
    let row = sqlx::query(sql).bind(forgotten.map_or(0, |node| node.0)).fetch_one(&mut *tx).await?;
    if row.get::<Option<String>, _>("timeline") == here && (forgotten.is_none() || row.get("awaited")) {
        // Another was first.
        return tx.rollback().await;
    }
    let noted: Option<String> = row.get("timeline");
    let sql = "SELECT 1 AS one FROM hold WHERE by_itself AND released_at IS NULL LIMIT 1";
    if noted == here
        && let Some(node) = forgotten
        && sqlx::query(sql).fetch_optional(&mut *tx).await?.is_some()
    {
        // The store is on hold for the same already, and the others say what they know.
        sqlx::query("INSERT INTO awaited (node) VALUES ($1)").bind(node.0).execute(&mut *tx).await?;
        return tx.commit().await;
    }
    let as_of = hold::last_known(&mut tx, now).await?;
    // Whoever marks at this moment looks at the hold first.
    sqlx::query("UPDATE lane SET epoch = epoch + 1").execute(&mut *tx).await?;
    hold::hold(&mut tx, Reason::LostCommits, as_of).await?;
    let sql = "UPDATE hold SET by_itself = true WHERE reason = 'lost_commits' AND as_of = $1 AND released_at IS NULL";
    sqlx::query(sql).bind(as_of).execute(&mut *tx).await?;
    let sql = "INSERT INTO awaited (node) SELECT id FROM node WHERE state <> 'gone' UNION SELECT $1 WHERE $1 > 0
         ON CONFLICT (node) DO UPDATE SET waits = false";
    sqlx::query(sql).bind(forgotten.map_or(0, |node| node.0)).execute(&mut *tx).await?;
    note_timeline(&mut tx).await?;
    tx.commit().await?;
    tracing::error!(
        "a standby of the database took over that may not have received the last commits; NOTHING IS SENT until every daemon has written again what it lacks"
    );
    Ok(())
}
