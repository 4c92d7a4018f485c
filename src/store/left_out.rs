//! Occurrences of which nothing was sent to anybody, and why: the latest of each schedule, so that whoever asks for one is told.

use super::{Store, error::StoreError, tx::Tx};
use crate::{
    domain::{Millis, left_out::LeftOut},
    words::{Message, say},
};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

/// So many are kept of a schedule.
pub const KEPT: usize = 50;

/// An occurrence that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOutRow {
    /// Its wall time, or the key of its event.
    pub name: String,
    /// Its time.
    pub event_at: Millis,
    /// Why.
    pub why: LeftOut,
}

impl LeftOutRow {
    /// One sentence about it, of a schedule of this name; `occurrence` is it as people read it.
    pub fn story(&self, schedule: &str, occurrence: Message) -> Message {
        let why = self.why.message();
        say!("absent_of_left_out", schedule = schedule, occurrence = occurrence, why = why)
    }
}

/// Writes down what was left out of a schedule. What was said of one before stays said; the oldest go.
pub(super) async fn write(tx: &mut Tx<'_>, schedule: i64, all: &[LeftOutRow]) -> sqlx::Result<()> {
    let latest = &all[all.len().saturating_sub(KEPT)..];
    if latest.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> =
        latest.iter().map(|one| serde_json::to_string(&one.why).expect("reasons serialise")).collect();
    let cells = latest.iter().zip(&reasons).map(|(one, reason)| {
        [schedule.into(), one.name.as_str().into(), one.event_at.into(), tx.now.into(), reason.as_str().into()]
    });
    let rows = tx.dialect.rows(["schedule", "name", "event_at", "decided_at", "reason"], cells);
    let sql = "INSERT INTO left_out (schedule, name, event_at, decided_at, reason)
         SELECT r.schedule, r.name, r.event_at, r.decided_at, r.reason FROM {rows} WHERE true ON CONFLICT (schedule, name) DO NOTHING";
    tx.run(sql, &rows).await?;
    let sql = format!(
        "DELETE FROM left_out WHERE schedule = $1 AND name IN (SELECT o.name FROM left_out o WHERE o.schedule = $1
             ORDER BY o.event_at DESC, o.name DESC LIMIT {KEPT} OFFSET {KEPT})"
    );
    sqlx::query(AssertSqlSafe(sql)).bind(schedule).execute(tx.conn().await?).await.map(drop)
}

/// An occurrence is prepared after all.
pub(super) async fn take_back(tx: &mut Tx<'_>, schedule: i64, name: &str) -> sqlx::Result<()> {
    let query = sqlx::query("DELETE FROM left_out WHERE schedule = $1 AND name = $2").bind(schedule).bind(name);
    query.execute(tx.conn().await?).await.map(drop)
}

impl Store {
    /// The latest occurrences that were left out of a schedule, at most so many, the latest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn left_out(&self, schedule: i64, limit: i64) -> Result<Vec<LeftOutRow>, StoreError> {
        let sql = "SELECT name, event_at, reason FROM left_out WHERE schedule = $1 ORDER BY event_at DESC, name DESC LIMIT $2";
        let rows = sqlx::query(sql).bind(schedule).bind(limit).fetch_all(&self.read).await?;
        // A reason that only a newer version knows is left out.
        let left_out = |row: &AnyRow| {
            let why = serde_json::from_str(row.get("reason")).ok()?;
            Some(LeftOutRow { name: row.get("name"), event_at: row.get("event_at"), why })
        };
        Ok(rows.iter().filter_map(left_out).collect())
    }
}
