//! What other daemons call out is heard: a hint, for what it brings is looked at once a second in any case.

use super::{
    Store,
    error::{StoreError, is_pooler},
};
use sqlx::{Connection, PgConnection, PgExecutor, Row, any::AnyConnectOptions, postgres::PgListener};
use std::{str::FromStr, time::Duration};
use tokio::sync::Notify;

/// Between two looks because of rings: many are one.
const DEAF: Duration = Duration::from_millis(50);
/// After a connection that broke.
const LISTEN_AGAIN: Duration = Duration::from_secs(2);

/// A URL whose sessions carry a mark, which no pooler hands on.
fn marked(url: &str) -> sqlx::Result<String> {
    let mut options = AnyConnectOptions::from_str(url)?;
    options.database_url.query_pairs_mut().append_pair("options", "-c tixing.own_session=on");
    Ok(options.database_url.into())
}

/// Whether a session with such a URL is this process's own.
async fn is_own(session: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    let sql = "SELECT current_setting('tixing.own_session', true) IS NOT DISTINCT FROM 'on' AS own";
    Ok(sqlx::query(sql).fetch_one(session).await?.get("own"))
}

/// Whether a pooler stands before PostgreSQL.
///
/// # Errors
/// When it does not answer.
pub async fn is_pooled(url: &str) -> Result<bool, StoreError> {
    match PgConnection::connect(&marked(url)?).await {
        Err(e) if is_pooler(&e) => Ok(true),
        conn => Ok(!is_own(&mut conn?).await?),
    }
}

/// A session that may listen. `None` if it is not this process's own: through a pooler each transaction of it may have another connection, and what one of
/// those hears would reach, and confuse, whoever has that next.
async fn listener(url: &str) -> sqlx::Result<Option<PgListener>> {
    let mut listener = match PgListener::connect(&marked(url)?).await {
        Err(e) if is_pooler(&e) => return Ok(None),
        listener => listener?,
    };
    Ok(is_own(&mut listener).await?.then_some(listener))
}

impl Store {
    /// Wakes a node whenever another has brought or moved something that is due soon. It is a hint: what it misses is found within a second.
    pub async fn listen(&self, wake: &Notify) {
        loop {
            let heard = async {
                let Some(mut listener) = listener(&self.database.url).await? else { return Ok(()) };
                listener.listen("tixing").await?;
                loop {
                    let ring = listener.recv().await?;
                    if ring.payload() != self.me.slot().to_string() {
                        wake.notify_one();
                        tokio::time::sleep(DEAF).await;
                    }
                }
            };
            let heard: sqlx::Result<()> = heard.await;
            if heard.is_ok() {
                tracing::info!(
                    "a connection pooler stands before PostgreSQL: what comes in at other daemons is heard of within a second, and not at once"
                );
                return;
            }
            tracing::debug!(error = ?heard.err(), "nothing is heard from other nodes for now; they are looked at once a second");
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }
}
