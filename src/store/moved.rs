//! What waits is moved to other instants: of a schedule step by step, or whatever a filter lets through at once.

use super::{
    dialect::{Cell, Dialect, int},
    error::meanwhile,
    names::Names,
    tx::{Tx, bound},
};
use crate::domain::{DAY, Millis, timing::MAX_DAYS_AHEAD};
use sqlx::{AnyConnection, Row, any::AnyRow};

/// A waiting reminder, and where a shift moves it.
pub(super) struct Moved {
    id: i64,
    lane: i64,
    at: Millis,
    due_at: Millis,
    fence: i64,
    new_at: Millis,
    /// When it is due from then on.
    pub new_due: Millis,
    new_end: Millis,
}

/// The columns of a [`Moved`], and of the condition that it waits and can still go. The deadline of a reminder of no schedule moves along, as
/// it does when its owner changes its instant.
pub(super) const MOVABLE: &str = "m.id, m.lane, m.at, m.expires_at, CASE WHEN m.schedule IS NULL THEN 1 ELSE m.moves END AS moves, d.due_at, d.state, d.fence,
    d.doubt_since";

impl Moved {
    /// `Err` if its deadline would be passed, or it would lie too far ahead.
    pub fn of(row: &AnyRow, by: Millis, now: Millis) -> Result<Self, ()> {
        let (at, due_at): (Millis, Millis) = (row.get("at"), row.get("due_at"));
        let end: Millis = row.get("expires_at");
        let (new_at, new_end) = (at + by, if int(row, "moves") != 0 { end + by } else { end });
        // One that waits for another try waits on.
        let new_due = if due_at == at { new_at } else { due_at.max(new_at) };
        if new_end <= new_due.max(now) || (by > 0 && new_at > now + MAX_DAYS_AHEAD * DAY) {
            return Err(());
        }
        Ok(Self {
            id: row.get("id"),
            lane: row.get("lane"),
            at,
            due_at,
            fence: row.get("fence"),
            new_at,
            new_due,
            new_end,
        })
    }
}

/// Whether a row is one that a shift moves: it waits, has not expired, and no request of it may have arrived.
pub(super) fn is_movable(row: &AnyRow, now: Millis) -> bool {
    row.get::<Option<i64>, _>("state") == Some(0)
        && row.get::<Option<Millis>, _>("doubt_since").is_none()
        && row.get::<Millis, _>("expires_at") > now
}

/// Moves reminders. The fence rises, so that what the engine has read of them before is not sent; past attempts move along. One that another
/// writer has marked or changed since it was read is none that may be moved: then the transaction is done again.
pub(super) async fn write(tx: &mut Tx<'_>, moved: &[Moved]) -> sqlx::Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    let cells = moved.iter().map(|m| -> [Cell<'_>; 8] {
        [
            m.id.into(),
            m.lane.into(),
            m.at.into(),
            m.due_at.into(),
            m.fence.into(),
            m.new_at.into(),
            m.new_due.into(),
            m.new_end.into(),
        ]
    });
    let rows = tx.dialect.rows(["id", "lane", "at", "due_at", "fence", "new_at", "new_due", "new_end"], cells);
    let now = tx.now;
    let sql = "UPDATE due SET due_at = r.new_due, fence = due.fence + 1 FROM {rows}
         WHERE due.lane = r.lane AND due.due_at = r.due_at AND due.id = r.id AND due.state = 0 AND due.fence = r.fence";
    if tx.run(sql, &rows).await? != rows.len as u64 {
        return Err(meanwhile());
    }
    for sql in [
        "UPDATE outcome SET at = r.new_at, next_at = r.new_due FROM {rows}
         WHERE outcome.lane = r.lane AND outcome.at = r.at AND outcome.id = r.id",
        &format!(
            "UPDATE reminder SET at = r.new_at, expires_at = r.new_end, local_at = NULL, changed_at = {now} FROM {{rows}}
             WHERE reminder.id = r.id"
        ),
    ] {
        tx.run(sql, &rows).await?;
    }
    Ok(())
}

/// How many would be moved to the end of the consent that they hold, or beyond.
pub(super) async fn beyond_consents(
    conn: &mut AnyConnection,
    dialect: Dialect,
    names: &Names,
    moved: &[Moved],
) -> sqlx::Result<u64> {
    let limited = moved.iter().filter(|moved| names.limited_lane(moved.lane));
    let limited: Vec<[Cell<'_>; 2]> = limited.map(|moved| [moved.id.into(), moved.new_at.into()]).collect();
    if limited.is_empty() {
        return Ok(0);
    }
    let rows = dialect.rows(["id", "new_at"], limited);
    let sql =
        "SELECT COUNT(*) AS n FROM {rows} JOIN reminder m ON m.id = r.id JOIN consent c ON c.recipient = m.recipient
         AND c.template = m.template AND c.reminder = m.id WHERE c.voided_at IS NULL AND c.ends_at <= r.new_at";
    let sql = dialect.sql(sql, &rows);
    Ok(int(&bound(&sql, &rows).fetch_one(conn).await?, "n").unsigned_abs())
}
