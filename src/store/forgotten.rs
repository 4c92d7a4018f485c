//! What follows when PostgreSQL may have forgotten commits, since a standby took over: the store is on hold, on all nodes, before anything else is
//! written. Each node writes again what is lacking of its own. When all have, and nothing else is lost, the hold ends by itself.
//!
//! Why that is safe: nothing is marked while the hold stands. It ends only once every node that may have written anything has compared the database
//! with what it knows itself. What was marked and may have been sent is marked again by then, or is named, and then an operator decides.

use super::{
    again::write_again,
    chain::BROKEN,
    deeds::Deed,
    identity,
    lacks::{Lack, Lacks},
    me::Me,
    tx::Tx,
};
use crate::domain::{node::NodeId, recall::Found};
use sqlx::{AnyConnection, Row};

/// Looks where a connection leads to. `node`: whose commits this process counts. `former`: what it was before, and how many commits it made as such.
pub(super) async fn look(
    conn: &mut AnyConnection,
    node: NodeId,
    me: &Me,
    former: &[(NodeId, i64)],
) -> sqlx::Result<Found> {
    let row = sqlx::query("SELECT pg_is_in_recovery() AS follows").fetch_one(&mut *conn).await?;
    if row.get("follows") {
        return Ok(Found { follows: true, took_over: false, n: None, awaited: false, of_former: 0 });
    }
    let here = identity::timeline(&mut *conn).await?;
    me.is_told_timeline(here.is_some());
    let sql = "SELECT (SELECT timeline FROM identity) AS noted,
             (SELECT c.n FROM chain c JOIN node w ON w.id = c.node WHERE c.node = $1 AND w.secret = $2) AS n,
             EXISTS (SELECT 1 FROM awaited a LEFT JOIN node w ON w.id = a.node WHERE a.node = $1 OR w.secret = $2) AS awaited";
    let (secret, _) = me.word();
    let row = sqlx::query(sql).bind(node.0).bind(secret).fetch_one(&mut *conn).await?;
    let noted: Option<String> = row.get("noted");
    let mut found = Found {
        follows: false,
        took_over: here.is_some() && noted.is_some() && here != noted,
        n: row.get("n"),
        awaited: row.get("awaited"),
        of_former: 0,
    };
    for (former, made) in former {
        let row = sqlx::query("SELECT n FROM chain WHERE node = $1").bind(former.0).fetch_optional(&mut *conn).await?;
        found.of_former += (made - row.map_or(0, |row| row.get::<i64, _>("n"))).max(0);
    }
    Ok(found)
}

/// What a node says of what the database lacks.
pub(super) struct Told {
    /// What it could not write again yet, since others have not written theirs.
    pub left: Vec<Deed>,
    /// What it cannot write again.
    pub lacks: Lacks,
    /// What it wrote again.
    pub written: usize,
    /// The hold has ended with it.
    pub ended: bool,
}

impl Told {
    /// Says it in the log.
    pub fn say(&self) {
        let Self { left, lacks, written, ended } = self;
        lacks.tell();
        let then = match (ended, left.iter().map(Deed::rows).sum::<usize>()) {
            (true, _) => "and the hold has ended with it".to_owned(),
            (false, 0) => "and the hold stays for now: `/readyz` says for what".to_owned(),
            (false, later) => format!("and {later} rows wait until another daemon has written what they need"),
        };
        tracing::warn!(rows = written, "what the database had forgotten is written again, {then}");
    }
}

/// Writes deeds again and says so. `None`: others have to write theirs first.
pub(super) async fn tell(
    tx: &mut Tx<'_>,
    me: &Me,
    (deeds, unknown): (Vec<Deed>, i64),
    is_second: bool,
) -> sqlx::Result<Option<Told>> {
    let mine = "node IN (SELECT id FROM node WHERE secret = $1)";
    let (secret, _) = me.word();
    let conn = tx.conn().await?;
    sqlx::query("LOCK TABLE awaited IN EXCLUSIVE MODE").execute(&mut *conn).await?;
    let sql = format!("SELECT COUNT(*) AS n FROM awaited WHERE NOT waits AND NOT {mine}");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&secret).fetch_one(&mut *conn).await?;
    let last = row.get::<i64, _>("n") == 0;
    if is_second && !last {
        return Ok(None);
    }
    let sql = format!("SELECT 1 AS one FROM awaited WHERE waits AND {mine} LIMIT 1");
    let waited = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&secret).fetch_optional(&mut *conn).await?.is_some();
    let rows: usize = deeds.iter().map(Deed::rows).sum();
    let again = write_again(tx, deeds, last).await?;
    let (left, mut lacks) = (again.left, again.lacks);
    let conn = tx.conn().await?;
    lacks.unknown += unknown;
    if waited && !is_second && rows == 0 {
        // It had something left to write, and does not know it any more.
        lacks.unknown += 1;
    }
    for (node, secret) in me.has_seen() {
        let sql = "SELECT 1 AS one FROM node WHERE id = $1 AND secret = $2";
        let known = sqlx::query(sql).bind(node).bind(secret).fetch_optional(&mut *conn).await?;
        lacks.nodes += i64::from(known.is_none());
    }
    let sql = match left.is_empty() {
        true => format!("DELETE FROM awaited WHERE {mine}"),
        false => format!("UPDATE awaited SET waits = true WHERE {mine}"),
    };
    sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&secret).execute(&mut *conn).await?;
    stay(conn, &lacks.kinds()).await?;
    let ended = end(conn).await?;
    tx.rings |= ended;
    let left_rows: usize = left.iter().map(Deed::rows).sum();
    Ok(Some(Told { left, lacks, written: rows - left_rows.min(rows), ended }))
}

/// Has the hold stay for what is lost.
pub(super) async fn stay(conn: &mut AnyConnection, lacks: &[Lack]) -> sqlx::Result<()> {
    if lacks.is_empty() {
        return Ok(());
    }
    let sql = "SELECT stays FROM hold WHERE by_itself AND released_at IS NULL AND stays IS NOT NULL";
    let before = sqlx::query(sql).fetch_optional(&mut *conn).await?.map(|row| row.get::<String, _>("stays"));
    let mut all: Vec<Lack> = before.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    all.extend(
        lacks.iter().filter(|lack| !matches!(lack, Lack::Nodes(_)) || !all.contains(lack)).copied().collect::<Vec<_>>(),
    );
    let text = serde_json::to_string(&all).expect("numbers serialise");
    let sql = "UPDATE hold SET stays = $1 WHERE by_itself AND released_at IS NULL";
    sqlx::query(sql).bind(text).execute(conn).await.map(drop)
}

/// Ends the hold if nobody is waited for and nothing is lost: then the store knows all that it has sent, as if nothing had happened.
async fn end(conn: &mut AnyConnection) -> sqlx::Result<bool> {
    let sql = "DELETE FROM hold WHERE by_itself AND released_at IS NULL AND NOT EXISTS (SELECT 1 FROM awaited)
         AND NOT EXISTS (SELECT 1 FROM hold WHERE by_itself AND released_at IS NULL AND stays IS NOT NULL)";
    Ok(sqlx::query(sql).execute(conn).await?.rows_affected() > 0)
}

/// This process cannot write anything again: the database would not take it, or does not know it.
pub(super) async fn give_up(conn: &mut AnyConnection, lacks: &Lacks, me: &Me, node: NodeId) -> sqlx::Result<()> {
    let mut tx = sqlx::Connection::begin(conn).await?;
    sqlx::query("LOCK TABLE awaited IN EXCLUSIVE MODE").execute(&mut *tx).await?;
    stay(&mut tx, &lacks.kinds()).await?;
    let sql = "DELETE FROM awaited WHERE node = $1 OR node IN (SELECT id FROM node WHERE secret = $2)";
    sqlx::query(sql).bind(node.0).bind(me.word().0).execute(&mut *tx).await?;
    tx.commit().await?;
    lacks.tell();
    Ok(())
}

/// Says what was found.
pub(super) fn say_lacking(n: i64) {
    tracing::error!(commits = n, "{BROKEN}: a standby took over that had not received them");
}

/// How many commits a node has made that has just joined.
pub(super) async fn commits(conn: &mut AnyConnection, node: NodeId) -> sqlx::Result<i64> {
    let row = sqlx::query("SELECT n FROM chain WHERE node = $1").bind(node.0).fetch_optional(conn).await?;
    Ok(row.map_or(0, |row| row.get("n")))
}
