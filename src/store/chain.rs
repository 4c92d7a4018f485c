//! Commits that PostgreSQL has confirmed and then forgotten: a standby took over before it had received them. What was marked in them may have been
//! sent, and the standby would have it sent again. So each node counts its commits, in the database and by itself.

use super::error::is_division_by_zero;
use crate::domain::node::NodeId;

/// What a missing link is called.
pub(super) const BROKEN: &str = "the database has forgotten commits that it had confirmed";

/// How many commits a node has made, as it knows itself: one that was asked for and not answered may have been made.
#[derive(Debug, Default)]
pub(super) struct Chain {
    node: i64,
    least: i64,
    most: i64,
}

impl Chain {
    /// The statement that adds a link, with its semicolon: it is sent with the `COMMIT`, and answers the link's number as `n`. It fails as
    /// [`is_broken`] says where the database knows of fewer commits than the node has made, or of more.
    pub fn link(&mut self, me: NodeId) -> String {
        if self.node != me.0 {
            self.go_on(me, 0);
        }
        let Self { node, least, most } = self;
        format!(
            "WITH linked AS (UPDATE chain SET n = n + 1 WHERE node = {node} AND n BETWEEN {least} AND {most} RETURNING n)
             SELECT MAX(n) AS n, 1 / COUNT(*) AS one FROM linked;"
        )
    }

    /// The commit is confirmed that has this number.
    pub fn confirmed(&mut self, n: i64) {
        (self.least, self.most) = (n, n);
    }

    /// A commit was asked for, and was not confirmed.
    pub fn doubted(&mut self) {
        self.most += 1;
    }

    /// The node whose commits were counted last, if any were.
    pub fn node(&self) -> Option<NodeId> {
        Some(NodeId(self.node)).filter(|node| node.0 > 0)
    }

    /// How many commits it has made for certain.
    pub fn made(&self) -> i64 {
        self.least
    }

    /// Goes on from what the database has: `n` commits of a node.
    pub fn go_on(&mut self, node: NodeId, n: i64) {
        *self = Self { node: node.0, least: n, most: n };
    }
}

/// Whether a commit has failed because earlier ones are forgotten.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    is_division_by_zero(error)
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
            match ends {
                Confirmed => {
                    there += 1;
                    chain.confirmed(there);
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
