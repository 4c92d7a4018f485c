//! Commits that PostgreSQL has confirmed and then forgotten: a standby took over before it had received them. What was marked in them may have been
//! sent, and the standby would have it sent again. So each node counts its commits, in the database and by itself.

use crate::domain::node::NodeId;
use sqlx::{AnyConnection, Row};

/// What a missing link is called.
pub(super) const BROKEN: &str = "the database has forgotten commits that it had confirmed";

/// How many commits a node has made, as it knows itself.
#[derive(Debug, Default)]
pub(super) struct Chain {
    node: i64,
    n: i64,
    /// The same with the commit that is under way.
    next: i64,
    /// The answer to the last commit was lost: it may have been made.
    unsure: bool,
}

impl Chain {
    /// Adds a link, as the last statement of a transaction. Fails as [`is_broken`] says where the database knows of fewer commits than the node has
    /// made.
    pub async fn link(&mut self, conn: &mut AnyConnection, me: NodeId) -> sqlx::Result<()> {
        if self.node != me.0 {
            *self = Self { node: me.0, ..Self::default() };
        }
        let sql = "UPDATE chain SET n = n + 1 WHERE node = $1 AND n BETWEEN $2 AND $3 RETURNING n";
        let most = self.n + i64::from(self.unsure);
        let row = sqlx::query(sql).bind(me.0).bind(self.n).bind(most).fetch_optional(conn).await?;
        self.next = row.ok_or_else(|| sqlx::Error::Protocol(BROKEN.into()))?.get("n");
        Ok(())
    }

    /// The commit is confirmed.
    pub fn confirmed(&mut self) {
        (self.n, self.unsure) = (self.next, false);
    }

    /// The answer to the commit was lost.
    pub fn doubted(&mut self) {
        self.unsure = true;
    }

    /// Goes on from what the database knows; answers how many commits it has forgotten.
    pub async fn mend(&mut self, conn: &mut AnyConnection, me: NodeId) -> sqlx::Result<i64> {
        // The node itself may be among what was forgotten.
        let sql = "INSERT INTO chain (node, n) VALUES ($1, 0) ON CONFLICT (node) DO UPDATE SET n = chain.n RETURNING n";
        let n = sqlx::query(sql).bind(me.0).fetch_one(conn).await?.get("n");
        let forgotten = self.n - n;
        *self = Self { node: me.0, n, ..Self::default() };
        Ok(forgotten)
    }
}

/// Whether a transaction has failed because commits are forgotten.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Protocol(why) if why == BROKEN)
}
