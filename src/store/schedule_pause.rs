//! Schedules are paused and resumed. One row is written, however many reminders wait: the gate in memory does the rest.

use super::{
    Store,
    command::Single,
    error::StoreError,
    port::Ring,
    schedules::{ScheduleRow, write_down},
    tx::Tx,
};
use crate::domain::Millis;
use sqlx::{AssertSqlSafe, Row};

/// What a pause or a resumption came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paused {
    /// Written.
    Yes,
    /// It was so already; since when, if it is paused.
    Already(Option<Millis>),
    /// It is cancelled: there is nothing to hold back.
    Cancelled,
    /// There is no such schedule.
    NotFound,
}

/// What a pause has left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resumed {
    /// Reminders whose deadline passed in the pause.
    pub expired: i64,
    /// Those whose instant has passed: they go now, at the catch-up pace, until their deadlines.
    pub overdue: i64,
    /// Those whose instant is still ahead.
    pub ahead: i64,
}

/// A schedule is paused, or goes on.
struct SetPause {
    name: String,
    pause: bool,
    by: String,
    /// Reminders of it that had expired, kept with a pause to be compared at its end.
    detail: String,
}

impl Single for SetPause {
    const WHAT: Option<&'static str> = Some("a schedule was paused or resumed");

    type Done = Paused;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Paused> {
        let sql =
            format!("SELECT id, paused_at, cancelled_at FROM schedule WHERE name = $1{}", tx.dialect.for_update());
        let Some(row) = sqlx::query(AssertSqlSafe(sql)).bind(&self.name).fetch_optional(tx.conn().await?).await? else {
            return Ok(Paused::NotFound);
        };
        let (id, paused_at) = (row.get::<i64, _>("id"), row.get::<Option<Millis>, _>("paused_at"));
        if row.get::<Option<Millis>, _>("cancelled_at").is_some() {
            return Ok(Paused::Cancelled);
        }
        if paused_at.is_some() == self.pause {
            return Ok(Paused::Already(paused_at));
        }
        let set = sqlx::query("UPDATE schedule SET paused_at = $2 WHERE id = $1");
        set.bind(id).bind(self.pause.then_some(tx.now)).execute(tx.conn().await?).await?;
        write_down(tx, id, &self.by, if self.pause { "pause" } else { "resume" }, &self.detail).await?;
        tx.schedule_changed(id).await?;
        Ok(Paused::Yes)
    }

    /// No row has changed: the engine looks at the gates.
    fn ring(&self) -> Option<Ring> {
        Some(Ring::NOWHERE)
    }
}

/// `audit.detail` of a pause begins so; the number of reminders that had expired before follows.
const EXPIRED: &str = "expired before: ";

impl Store {
    /// Pauses a schedule: when this returns, the gate is closed.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn pause_schedule(&self, name: &str, by: &str) -> Result<Paused, StoreError> {
        let Some(id) = self.gates.get().find(name) else { return Ok(Paused::NotFound) };
        let detail = format!("{EXPIRED}{}", self.expired(id).await?);
        self.writer.do_one(SetPause { name: name.into(), pause: true, by: by.into(), detail }).await
    }

    /// Lets a paused schedule go on. Says what the pause has left behind, as it was just before.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn resume_schedule(&self, name: &str, by: &str, now: Millis) -> Result<(Paused, Resumed), StoreError> {
        let Some(schedule) = self.schedule(name).await? else { return Ok((Paused::NotFound, Resumed::default())) };
        let left = match schedule.paused_at {
            Some(_) => self.left_behind(&schedule, now).await?,
            None => Resumed::default(),
        };
        let Resumed { expired, overdue, ahead } = left;
        let detail = format!("{expired} expired, {overdue} overdue, {ahead} ahead");
        let resumed = SetPause { name: name.into(), pause: false, by: by.into(), detail };
        Ok((self.writer.do_one(resumed).await?, left))
    }

    /// How many reminders of a schedule have expired.
    async fn expired(&self, id: i64) -> Result<i64, StoreError> {
        let counts = self.schedule_counts(id).await?;
        Ok(counts.iter().filter(|(name, _)| name.starts_with("expired")).map(|(_, n)| n).sum())
    }

    async fn left_behind(&self, schedule: &ScheduleRow, now: Millis) -> Result<Resumed, StoreError> {
        let sql = "SELECT detail FROM audit WHERE schedule = $1 AND action = 'pause' ORDER BY id DESC LIMIT 1";
        let row = sqlx::query(sql).bind(schedule.id).fetch_optional(&self.read).await?;
        let before = row.and_then(|row| row.get::<String, _>("detail").strip_prefix(EXPIRED)?.parse::<i64>().ok());
        let expired = self.expired(schedule.id).await? - before.unwrap_or_default();
        let waiting = self.schedule_counts(schedule.id).await?.get("scheduled").copied().unwrap_or_default();
        let sql = "SELECT COUNT(*) AS n, COALESCE(SUM(CASE WHEN m.expires_at <= $3 THEN 1 ELSE 0 END), 0) AS late
             FROM due d JOIN reminder m ON m.id = d.id
             WHERE d.lane = $1 AND d.due_at <= $3 AND d.schedule = $2 AND d.state = 0";
        let (mut due, mut late) = (0, 0);
        for lane in self.names.lanes_of(&schedule.app) {
            let row = sqlx::query(sql).bind(lane).bind(schedule.id).bind(now).fetch_one(&self.read).await?;
            (due, late) = (due + row.get::<i64, _>("n"), late + row.get::<i64, _>("late"));
        }
        // Between two of these questions some may have ended.
        Ok(Resumed { expired: (expired + late).max(0), overdue: due - late, ahead: (waiting - due).max(0) })
    }
}
