//! What a node remembers of its last commits, so that it can write again those that the database has forgotten: a standby took over before it had
//! received them.
//!
//! Commits are numbered, in the database and by the node itself. The number that a database has after a standby took over says exactly which of the
//! node's commits it lacks. Those are missing in one piece at the end: what a standby receives, it receives in order.

use super::{MINUTE, Millis};
use std::collections::VecDeque;

/// So long a commit is remembered.
pub const REMEMBERED: Millis = 10 * MINUTE;
/// At most so many rows are remembered: who sends ten thousand a second remembers its last five seconds.
pub const MOST: usize = 100_000;

/// One commit.
#[derive(Debug, Clone)]
struct Link<D> {
    n: i64,
    /// By the node's own clock, which never goes back.
    at: Millis,
    rows: usize,
    deeds: Vec<D>,
}

/// The last commits of a node, in order.
#[derive(Debug, Clone)]
pub struct Recall<D> {
    links: VecDeque<Link<D>>,
    rows: usize,
    most: usize,
}

/// What the database lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing<D> {
    /// What was written in these commits, in order.
    pub deeds: Vec<D>,
    /// How many more there were, of which the node remembers nothing.
    pub unknown: i64,
}

/// What a server says that a new connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// It is a standby still, and takes no writes.
    pub follows: bool,
    /// It has taken over, and nobody has written that down.
    pub took_over: bool,
    /// How many commits it has of the node; `None` if it does not know it.
    pub n: Option<i64>,
    /// The others wait for this process.
    pub awaited: bool,
    /// So many commits are lacking of what this process was before.
    pub of_former: i64,
}

/// What a node does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the server has all of it, and the others know.
    GoOn,
    /// The server takes no writes yet.
    Wait,
    /// It has all that this node knows of, and the operator says that it waited for the standby.
    Note,
    /// The store is put on hold, and this node says what it knows.
    HoldAndTell,
    /// The store is on hold for it, and this node says what it knows.
    Tell,
}

impl Found {
    /// Decides. `made`: so many commits the node knows of for certain. `waits`: the server waited for its standbys, as its operator says.
    pub fn step(&self, made: i64, waits: bool) -> Step {
        let lacks = self.n.unwrap_or_default() < made || self.of_former > 0;
        match self {
            Self { follows: true, .. } => Step::Wait,
            Self { took_over: true, .. } if !waits || lacks => Step::HoldAndTell,
            Self { awaited: true, .. } => Step::Tell,
            _ if lacks => Step::HoldAndTell,
            Self { took_over: true, .. } => Step::Note,
            _ => Step::GoOn,
        }
    }
}

impl<D> Default for Recall<D> {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl<D> Recall<D> {
    fn of(most: usize) -> Self {
        Self { links: VecDeque::new(), rows: 0, most }
    }

    /// A commit is confirmed. One that brought nothing that matters is remembered too: that it is known is what counts.
    pub fn remember(&mut self, n: i64, at: Millis, rows: usize, deeds: Vec<D>) {
        self.push(n, at, rows, deeds);
        while let Some(first) = self.links.front()
            && (self.rows > self.most || at - first.at > REMEMBERED)
        {
            // All of a number: what is known of a part would count as the whole.
            let n = first.n;
            while let Some(link) = self.links.pop_front_if(|link| link.n == n) {
                self.rows -= link.rows;
            }
        }
    }

    fn push(&mut self, n: i64, at: Millis, rows: usize, deeds: Vec<D>) {
        let rows = rows.max(1);
        self.rows += rows;
        self.links.push_back(Link { n, at, rows, deeds });
    }

    /// Everything is given up but that there was something: this deed stands for it. `made`: how many commits the node has made.
    pub fn give_up(&mut self, made: i64, at: Millis, unknown: D) {
        (self.links, self.rows) = (VecDeque::new(), 0);
        self.push(made + 1, at, 1, vec![unknown]);
    }

    /// The node goes on as another one: of its commits as the former one a database lacks all behind `there`, which it writes again as its `n`th as the
    /// new one.
    pub fn becomes(&mut self, there: i64, n: i64) {
        self.links.retain(|link| link.n > there);
        self.links.iter_mut().for_each(|link| link.n = n);
        self.rows = self.links.iter().map(|link| link.rows).sum();
    }
}

impl<D: Clone> Recall<D> {
    /// What a database lacks that has `there` commits of a node which has made `made` for certain.
    pub fn missing(&self, there: i64, made: i64) -> Missing<D> {
        let lost: Vec<&Link<D>> = self.links.iter().filter(|link| link.n > there).collect();
        let mut numbers: Vec<i64> = lost.iter().map(|link| link.n).collect();
        numbers.dedup();
        let last = numbers.last().copied().unwrap_or(there).max(made);
        let known = i64::try_from(numbers.len()).expect("few");
        Missing { deeds: lost.into_iter().flat_map(|link| link.deeds.clone()).collect(), unknown: last - there - known }
    }

    /// What was missing is written again as the commit after `there`, or is about to be. `unknown`: a deed that stands for what nobody remembers, if
    /// there is such, so that it is not taken for known if this commit is forgotten, too.
    pub fn again(&mut self, there: i64, at: Millis, unknown: Option<D>) {
        self.links.iter_mut().filter(|link| link.n > there).for_each(|link| link.n = there + 1);
        // Nothing is forgotten here: it is not written yet.
        if let Some(unknown) = unknown {
            self.push(there + 1, at, 1, vec![unknown]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commits 1 to 6 at these instants, each with its own number.
    fn six(most: usize, times: [Millis; 6]) -> Recall<i64> {
        let mut recall = Recall::of(most);
        (1..).zip(times).for_each(|(n, at)| recall.remember(n, at, 1, vec![n]));
        recall
    }

    #[test]
    fn i2_a_node_knows_which_of_its_commits_are_missing_and_which_of_them_it_has_forgotten_itself() {
        let soon = [1, 2, 3, 4, 5, 6];
        let late = [1, 2, 3, 4, 5, REMEMBERED + 4];
        // (most, times, there, made) → (the deeds, how many are not known)
        for (most, times, there, made, deeds, unknown) in [
            (9, soon, 6, 6, vec![], 0),
            (9, soon, 4, 6, vec![5, 6], 0),
            (9, soon, 0, 6, vec![1, 2, 3, 4, 5, 6], 0),
            // Two answers were lost, and the next commit showed that those were made.
            (9, soon, 4, 8, vec![5, 6], 2),
            // Too many, or too long ago.
            (2, soon, 5, 6, vec![6], 0),
            (2, soon, 4, 6, vec![5, 6], 0),
            (2, soon, 3, 6, vec![5, 6], 1),
            (2, soon, 0, 6, vec![5, 6], 4),
            (9, late, 3, 6, vec![4, 5, 6], 0),
            (9, late, 2, 6, vec![4, 5, 6], 1),
            (0, soon, 5, 6, vec![], 1),
        ] {
            let missing = six(most, times).missing(there, made);
            assert_eq!(missing, Missing { deeds, unknown }, "{most} {times:?} {there} {made}");
        }
    }

    #[test]
    fn i2_what_was_written_again_is_missing_again_if_that_commit_is_forgotten_too() {
        for (unknown, deeds) in [(None, vec![5, 6]), (Some(0), vec![5, 6, 0])] {
            let mut recall = six(9, [1, 2, 3, 4, 5, 6]);
            recall.again(4, 7, unknown);
            // It was not written after all.
            assert_eq!(recall.missing(4, 4), Missing { deeds: deeds.clone(), unknown: 0 });
            // It was, and so was one more.
            recall.remember(6, 8, 1, vec![7]);
            assert_eq!(recall.missing(5, 6), Missing { deeds: vec![7], unknown: 0 });
            // The next standby has neither.
            assert_eq!(recall.missing(4, 6), Missing { deeds: [deeds, vec![7]].concat(), unknown: 0 });
        }
        // What stands for several commits is forgotten whole, and then it is known that something is not known.
        let mut recall = six(6, [1, 2, 3, 4, 5, 6]);
        recall.again(1, 7, None);
        recall.remember(3, 8, 1, vec![7]);
        assert_eq!(recall.missing(1, 3), Missing { deeds: vec![2, 3, 4, 5, 6, 7], unknown: 0 });
        recall.remember(4, 9, 1, vec![8]);
        assert_eq!(recall.missing(1, 4), Missing { deeds: vec![7, 8], unknown: 1 });
        let mut recall = six(9, [1, 2, 3, 4, 5, 6]);
        recall.give_up(4, 7, 0);
        assert_eq!(recall.missing(4, 4), Missing { deeds: vec![0], unknown: 0 });
        let mut recall = six(9, [1, 2, 3, 4, 5, 6]);
        recall.becomes(4, 1);
        assert_eq!(recall.missing(0, 1), Missing { deeds: vec![5, 6], unknown: 0 });
        recall.becomes(1, 1);
        assert_eq!(recall.missing(0, 0), Missing { deeds: vec![], unknown: 0 });
    }

    #[test]
    fn i2_whoever_meets_a_standby_that_took_over_holds_the_store_first_unless_it_was_waited_for_and_lacks_nothing() {
        use Step::{GoOn, HoldAndTell, Note, Tell, Wait};
        // (follows, took over, n, awaited, of former, made, waits) → what is done
        for (follows, took_over, n, awaited, of_former, made, waits, step) in [
            (false, false, Some(5), false, 0, 5, false, GoOn),
            // An answer was lost, and its commit was made.
            (false, false, Some(6), false, 0, 5, false, GoOn),
            (true, false, None, false, 0, 5, false, Wait),
            // Nobody else may know what it lacks.
            (false, true, Some(5), false, 0, 5, false, HoldAndTell),
            (false, true, Some(5), true, 0, 5, false, HoldAndTell),
            (false, true, Some(5), false, 0, 5, true, Note),
            // Whatever its operator says.
            (false, true, Some(4), false, 0, 5, true, HoldAndTell),
            (false, true, Some(5), false, 1, 5, true, HoldAndTell),
            // Another was first.
            (false, false, Some(5), true, 0, 5, false, Tell),
            (false, false, Some(4), true, 0, 5, true, Tell),
            // Where the timeline may not be asked, and where an operator has ended the hold before.
            (false, false, Some(4), false, 0, 5, false, HoldAndTell),
            (false, false, None, false, 0, 5, true, HoldAndTell),
            // It had joined and written nothing.
            (false, false, None, false, 0, 0, true, GoOn),
            (false, false, Some(5), false, 1, 5, false, HoldAndTell),
        ] {
            let found = Found { follows, took_over, n, awaited, of_former };
            assert_eq!(found.step(made, waits), step, "{found:?} {made} {waits}");
        }
    }
}
