//! Commits that PostgreSQL has confirmed and then forgotten: a standby took over before it had received them. What was marked in them may have been
//! sent, and the standby would have it sent again. So each node counts its commits, in the database and by itself.

use crate::domain::node::NodeId;
use sqlx::{AnyConnection, Row};

/// What a missing link is called.
pub(super) const BROKEN: &str = "the database has forgotten commits that it had confirmed";

/// How many commits a node has made, as it knows itself: one that was asked for and not answered may have been made.
#[derive(Debug, Default)]
pub(super) struct Chain {
    node: i64,
    least: i64,
    most: i64,
    /// The number of the commit that is under way.
    next: i64,
}

impl Chain {
    /// Adds a link, as the last statement of a transaction. Fails as [`is_broken`] says where the database knows of fewer commits than the node has
    /// made.
    pub async fn link(&mut self, conn: &mut AnyConnection, me: NodeId) -> sqlx::Result<()> {
        if self.node != me.0 {
            *self = Self { node: me.0, ..Self::default() };
        }
        let sql = "UPDATE chain SET n = n + 1 WHERE node = $1 AND n BETWEEN $2 AND $3 RETURNING n";
        let row = sqlx::query(sql).bind(me.0).bind(self.least).bind(self.most).fetch_optional(conn).await?;
        self.linked(row.ok_or_else(|| sqlx::Error::Protocol(BROKEN.into()))?.get("n"));
        Ok(())
    }

    /// The link that was added has this number: those before it are there.
    fn linked(&mut self, n: i64) {
        (self.least, self.next) = (n - 1, n);
    }

    /// The commit is confirmed.
    pub fn confirmed(&mut self) {
        (self.least, self.most) = (self.next, self.next);
    }

    /// The commit was asked for, and was not confirmed.
    pub fn doubted(&mut self) {
        self.most = self.most.max(self.next);
    }

    /// The node whose commits were counted last, if any were.
    pub fn node(&self) -> Option<NodeId> {
        Some(NodeId(self.node)).filter(|node| node.0 > 0)
    }

    /// How many commits it has made for certain.
    pub fn made(&self) -> i64 {
        self.least
    }

    /// The number of the commit that is confirmed.
    pub fn reached(&self) -> i64 {
        self.next
    }

    /// Goes on from what the database has: `n` commits of a node.
    pub fn go_on(&mut self, node: NodeId, n: i64) {
        *self = Self { node: node.0, least: n, most: n, next: n };
    }
}

/// Whether a transaction has failed because commits are forgotten.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Protocol(why) if why == BROKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i2_a_node_knows_its_commits_however_many_answers_are_lost() {
        enum Ends {
            Confirmed,
            Lost { kept: bool },
        }
        use Ends::{Confirmed, Lost};
        let mut chain = Chain::default();
        let mut there = 0;
        for ends in [
            Confirmed,
            Confirmed,
            Lost { kept: true },
            Lost { kept: true },
            Lost { kept: false },
            Lost { kept: true },
            Confirmed,
            Lost { kept: false },
            Lost { kept: false },
            Confirmed,
        ] {
            assert!((chain.least..=chain.most).contains(&there), "{chain:?}, and {there} are there");
            chain.linked(there + 1);
            match ends {
                Confirmed => {
                    there += 1;
                    chain.confirmed();
                    assert!(
                        (chain.least, chain.most) == (there, there)
                            && !(chain.least..=chain.most).contains(&(there - 1))
                    );
                }
                Lost { kept } => {
                    there += i64::from(kept);
                    chain.doubted();
                }
            }
        }
    }
}
