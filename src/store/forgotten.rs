//! What follows when PostgreSQL has forgotten commits: the store is on hold, on all nodes, before anything else is written.

use super::{
    chain::{BROKEN, Chain},
    hold::{self, Reason},
    identity,
};
use crate::domain::{Millis, node::NodeId};
use sqlx::{AnyConnection, Connection};

/// Puts the store on hold and goes on counting from what the database knows. What was sent is not known from the last commit on that it has.
pub(super) async fn hold_store(
    conn: &mut AnyConnection,
    chain: &mut Chain,
    me: NodeId,
    now: Millis,
) -> sqlx::Result<()> {
    let mut tx = conn.begin().await?;
    let as_of = hold::last_known(&mut tx, now).await?;
    // Whoever marks at this moment looks at the hold first.
    sqlx::query("UPDATE lane SET epoch = epoch + 1").execute(&mut *tx).await?;
    hold::hold(&mut tx, Reason::LostCommits, as_of).await?;
    identity::note_timeline(&mut tx).await?;
    let forgotten = chain.mend(&mut tx, me).await?;
    tx.commit().await?;
    tracing::error!(commits = forgotten, "{BROKEN}: a standby took over that had not received them; NOTHING IS SENT");
    Ok(())
}
