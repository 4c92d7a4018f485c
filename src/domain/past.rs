//! What a process has written lately, as one node or as several one after the other, and what of that it writes again where a standby took over that
//! lacks it.

use super::{
    Millis,
    node::NodeId,
    recall::{Missing, Recall},
};

/// Of so many nodes that it was before a process knows how many commits it made. The last few are enough: a standby that knows a later node has all
/// that was written before that one joined.
const FORMER: usize = 16;

/// What a process remembers.
#[derive(Debug)]
pub struct Past<D> {
    recall: Recall<D>,
    /// What cannot be written again before others have written theirs.
    left: Vec<D>,
    /// The number of the commit that stands for it.
    left_at: i64,
    /// The nodes that it was last, the latest first, and how many commits it made as such.
    former: Vec<(NodeId, i64)>,
}

/// How many commits there are in a database, and how many were made: what it lacks is counted by these.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// So many commits it has of the node whose commits were counted until now.
    pub there: i64,
    /// So many that node has made for certain.
    pub made: i64,
    /// So many it lacks of what the process was before that.
    pub of_former: i64,
    /// The process is another node by now.
    pub is_another: bool,
    /// So many commits it has of the node that the process is by now, which counts on from these.
    pub begun: i64,
}

/// What is written again.
#[derive(Debug)]
pub struct Again<D> {
    /// In order, with what was left before.
    pub missing: Missing<D>,
    /// All of it was left before.
    pub is_second: bool,
}

impl<D> Default for Past<D> {
    fn default() -> Self {
        Self { recall: Recall::default(), left: Vec::new(), left_at: 0, former: Vec::new() }
    }
}

impl<D: Clone> Past<D> {
    /// A commit is confirmed.
    pub fn remember(&mut self, n: i64, at: Millis, rows: usize, deeds: Vec<D>) {
        self.recall.remember(n, at, rows, deeds);
    }

    /// The nodes that the process was last, and how many commits it made as such.
    pub fn former(&self) -> &[(NodeId, i64)] {
        &self.former
    }

    /// What still waits until others have written theirs.
    pub fn left(&self) -> &[D] {
        &self.left
    }

    /// The server has all that the process has written, of which `made` commits as this node, and it is another node from now on: what it wrote as the
    /// former one it never writes again. What is left waits as before, and the commit that stands for it is there.
    pub fn goes_on(&mut self, former: NodeId, made: i64) {
        self.former.truncate(FORMER - 1);
        self.former.insert(0, (former, made));
        self.recall.becomes(i64::MAX, 0);
        self.left_at = 0;
    }

    /// What a database lacks that has `there` commits of a node which has made `made` for certain, with what is left.
    fn missing(&self, there: i64, made: i64) -> Again<D> {
        let mut missing = self.recall.missing(there, made);
        let is_second = missing.deeds.is_empty() && missing.unknown == 0 && !self.left.is_empty();
        if self.left_at <= there {
            // The commit that stands for it is there: it is not among what is missing.
            missing.deeds.splice(0..0, self.left.iter().cloned());
        }
        Again { missing, is_second }
    }

    /// What is to be written again as the commit after `begun`; `unknown` stands for commits of which nothing is remembered.
    pub fn again(&mut self, counts: Counts, at: Millis, unknown: impl FnOnce(i64) -> D) -> Again<D> {
        let Counts { there, made, of_former, is_another, begun } = counts;
        let Again { mut missing, is_second } = self.missing(there, made);
        missing.unknown += of_former;
        if is_another {
            self.recall.becomes(there, begun + 1);
            // What was left as the former node is numbered anew.
            self.left_at = begun + 1;
        }
        self.recall.again(begun, at, (missing.unknown > 0).then(|| unknown(missing.unknown)));
        self.former.clear();
        Again { missing, is_second }
    }

    /// The commit of this number leaves something. If it is not written after all, all of it is missing again.
    pub fn leaves(&mut self, n: i64, deeds: Vec<D>) {
        (self.left, self.left_at) = (deeds, n);
    }

    /// This waits, too.
    pub fn leaves_more(&mut self, deed: D) {
        self.left.push(deed);
    }

    /// Nobody waits any more for what was left.
    pub fn leaves_nothing(&mut self) {
        self.left.clear();
    }

    /// Everything is given up but that there was something: this deed stands for it. `made`: how many commits the node has made.
    pub fn give_up(&mut self, made: i64, at: Millis, unknown: D) {
        self.leaves(0, Vec::new());
        self.recall.give_up(made, at, unknown);
    }

    /// All of it, if the server knows nothing of the node. `made`: how many commits the node has made.
    pub fn all(&self, made: i64) -> Missing<D> {
        self.missing(0, made).missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three commits, after the last of which two deeds wait for others.
    fn past() -> Past<&'static str> {
        let mut past = Past::default();
        (1..).zip(["a", "b"]).for_each(|(n, deed)| past.remember(n, n, 1, vec![deed]));
        past.remember(3, 3, 1, Vec::new());
        past.leaves(3, vec!["x", "y"]);
        past
    }

    fn counts(there: i64, made: i64) -> Counts {
        Counts { there, made, of_former: 0, is_another: false, begun: there }
    }

    #[test]
    fn i2_what_is_left_is_written_with_the_rest_and_as_another_node_too() {
        let again = past().again(counts(3, 3), 9, |_| "?");
        assert_eq!((again.missing.deeds, again.missing.unknown, again.is_second), (vec!["x", "y"], 0, true));
        let again = past().again(counts(1, 3), 9, |_| "?");
        assert_eq!(
            (again.missing.deeds, again.is_second),
            (vec!["b"], false),
            "the commit that left something is lost"
        );
        // It goes on as another node, which has made a commit.
        let mut other = past();
        other.goes_on(NodeId(7), 3);
        other.remember(1, 10, 1, vec!["c"]);
        assert_eq!(other.former(), [(NodeId(7), 3)]);
        let again = other.again(counts(1, 1), 11, |_| "?");
        assert_eq!((again.missing.deeds, again.is_second), (vec!["x", "y"], true), "nothing of the former node again");
    }

    #[test]
    fn what_was_written_as_a_former_node_is_not_known_any_more_and_only_the_last_nodes_count() {
        let mut past = past();
        (1..=20).for_each(|node| past.goes_on(NodeId(node), node));
        assert_eq!((past.former().len(), past.former()[0]), (FORMER, (NodeId(20), 20)));
        let again = past.again(Counts { of_former: 2, ..counts(0, 0) }, 9, |_| "?");
        assert_eq!((again.missing.deeds, again.missing.unknown), (vec!["x", "y"], 2));
        assert!(past.former().is_empty());
    }

    #[test]
    fn a_server_that_knows_nothing_of_the_node_lacks_all_of_it() {
        let mut past = past();
        assert_eq!(past.all(4), Missing { deeds: vec!["a", "b"], unknown: 1 }, "what is left is among it");
        past.goes_on(NodeId(7), 3);
        past.remember(1, 10, 1, vec!["c"]);
        assert_eq!(past.all(1), Missing { deeds: vec!["x", "y", "c"], unknown: 0 });
    }
}
