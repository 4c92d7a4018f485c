//! Reasons in SQL: JSON in `outcome.reason`, beside the platform's words in `outcome.text`.

use super::{error::meanwhile, tally::Stand, tx::Tx};
use crate::domain::{
    Millis,
    reason::{Reason, said},
    reminder::State,
};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

/// A reason as it is stored.
pub(super) fn stored(reason: &Reason) -> String {
    serde_json::to_string(reason).expect("reasons serialise")
}

/// The reason of an outcome's row. One that only a newer version knows is left out.
pub(super) fn read(row: &AnyRow) -> Option<Reason> {
    serde_json::from_str(&row.get::<Option<String>, _>("reason")?).ok()
}

/// Corrects a reminder that had ended as unconfirmed (I8), in its row and in the counts. What was said before stays beside what is said now.
pub(super) async fn correct(
    tx: &mut Tx<'_>,
    lane: i64,
    (at, id): (Millis, i64),
    state: State,
    reason: Reason,
) -> sqlx::Result<()> {
    let this = "WHERE lane = $1 AND at = $2 AND id = $3 AND next_at IS NULL AND state = 'unconfirmed'";
    let sql = format!(
        "SELECT code, reason, text, (SELECT m.schedule FROM reminder m WHERE m.id = outcome.id) AS schedule FROM outcome {this}"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(lane).bind(at).bind(id);
    let Some(row) = query.fetch_optional(tx.conn().await?).await? else { return Ok(()) };
    let reason = match said(read(&row).as_ref(), row.get::<Option<String>, _>("text").as_deref()) {
        Some(before) => Reason::Corrected { reason: Box::new(reason), before },
        None => reason,
    };
    let sql = format!("UPDATE outcome SET state = $4, code = $5, reason = $6, text = NULL, ended_at = $7 {this}");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(lane).bind(at).bind(id);
    let query = query.bind(state.word()).bind(reason.code()).bind(stored(&reason)).bind(tx.now);
    if query.execute(tx.conn().await?).await?.rows_affected() == 0 {
        return Err(meanwhile());
    }
    let before: Option<String> = row.get("code");
    let from = Stand { state: State::Unconfirmed, code: before.as_deref() };
    tx.tally.reminder(lane, row.get("schedule"), Some(from), Some(Stand { state, code: Some(reason.code()) }));
    Ok(())
}
