//! Reminders whose template was suspended are brought forward.

use super::{Store, command::Single, error::StoreError, port::Ring, states::SENDING, tx::Tx};
use crate::domain::{Millis, reason::TEMPLATE_SUSPENDED, settle::SUSPENDED_AT_MOST};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

/// Reminders that are woken at once.
const WAKE: i64 = 500;

/// Brings reminders forward that wait for another instant; one that was changed meanwhile stays as it is.
struct Wake {
    lane: i64,
    waiting: Vec<Waiting>,
    now: Millis,
}

/// A reminder that waits because its template was suspended.
struct Waiting {
    due_at: Millis,
    id: i64,
    fence: i64,
    /// When it may go: now, and never before its instant, whatever the clock does.
    wake_at: Millis,
}

impl Single for Wake {
    const WHAT: Option<&'static str> = Some("reminders of a suspended template were woken");

    type Done = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<u64> {
        let cells = |w: &Waiting| [w.due_at.into(), w.id.into(), w.fence.into(), w.wake_at.into()];
        let rows = tx.dialect.rows(["due_at", "id", "fence", "wake_at"], self.waiting.iter().map(cells));
        let sql = format!(
            "UPDATE due SET due_at = r.wake_at, fence = due.fence + 1 FROM {{rows}}
             WHERE due.lane = {} AND due.due_at = r.due_at AND due.id = r.id AND due.fence = r.fence
             RETURNING due.id AS id, due.due_at AS due_at",
            self.lane
        );
        let woken = tx.rows(&sql, &rows).await?;
        if !woken.is_empty() {
            let cells = woken.iter().map(|row| [row.get::<i64, _>("id").into(), row.get::<i64, _>("due_at").into()]);
            let rows = tx.dialect.rows(["id", "wake_at"], cells);
            let sql = "UPDATE outcome SET next_at = r.wake_at FROM {rows} JOIN reminder m ON m.id = r.id
                 WHERE outcome.lane = m.lane AND outcome.at = m.at AND outcome.id = m.id AND outcome.next_at IS NOT NULL";
            tx.run(sql, &rows).await?;
        }
        Ok(woken.len() as u64)
    }

    fn ring(&self) -> Option<Ring> {
        let until = self.waiting.iter().map(|row| row.wake_at).max().unwrap_or(self.now);
        Some(Ring { from: self.now, until })
    }
}

impl Store {
    /// Brings forward to `now` the reminders of a lane that wait because their templates were suspended; answers how many.
    pub(super) async fn wake(&self, lane: i64, now: Millis) -> Result<u64, StoreError> {
        let mut woken = 0;
        loop {
            let waiting = self.waiting(lane, now).await?;
            if waiting.is_empty() {
                return Ok(woken);
            }
            woken += self.writer.do_one(Wake { lane, waiting, now }).await?;
        }
    }

    /// The next reminders of a lane that wait because their templates were suspended.
    async fn waiting(&self, lane: i64, now: Millis) -> Result<Vec<Waiting>, StoreError> {
        // Only a row that was touched before has a fence, so few bodies are looked at.
        let sql = format!(
            "SELECT d.due_at, d.id, d.fence, m.at FROM due d JOIN reminder m ON m.id = d.id
             WHERE d.lane = $1 AND d.due_at > $2 AND d.due_at <= $3 AND d.fence > 0 AND d.state <> {SENDING} AND d.due_at > m.at
               AND EXISTS (SELECT 1 FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id AND x.code = '{TEMPLATE_SUSPENDED}'
                   AND x.fence = (SELECT MAX(y.fence) FROM outcome y WHERE y.lane = m.lane AND y.at = m.at AND y.id = m.id))
             ORDER BY d.due_at, d.id LIMIT {WAKE}"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(lane).bind(now).bind(now + SUSPENDED_AT_MOST);
        let rows = query.fetch_all(&self.ahead).await?;
        let waiting = |row: &AnyRow| Waiting {
            due_at: row.get("due_at"),
            id: row.get("id"),
            fence: row.get("fence"),
            wake_at: now.max(row.get("at")),
        };
        Ok(rows.iter().map(waiting).collect())
    }
}
