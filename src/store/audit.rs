//! Who decided what, and when, of what is about no single reminder or schedule.

use super::tx::Tx;

/// Writes it down. `detail` names nobody by an openid.
pub(super) async fn write_down(tx: &mut Tx<'_>, actor: &str, action: &str, detail: &str) -> sqlx::Result<()> {
    let sql = "INSERT INTO audit (at, actor, action, reminder, detail) VALUES ($1, $2, $3, NULL, $4)";
    let query = sqlx::query(sql).bind(tx.now).bind(actor).bind(action).bind(detail);
    query.execute(tx.conn().await?).await.map(drop)
}
