//! How long the parts of a reminder are kept after its end.

use super::Millis;

/// Terms, from a reminder's instant or its end, whichever is later. `None` keeps for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Its body: field values and page.
    pub bodies: Option<Millis>,
    /// Its attempts before the last one, and the platform's words and message ids.
    pub attempts: Option<Millis>,
    /// The reminder itself, the consent it used, and users of whom nothing else is left. Its key stays known, so that nothing is sent
    /// again.
    pub history: Option<Millis>,
}

/// Parts of an ended reminder: those beyond their terms, or those that were erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    /// Its body.
    pub body: bool,
    /// Its attempts.
    pub attempts: bool,
    /// All of it.
    pub all: bool,
}

impl Parts {
    /// Those that are not in `erased`; `None` if there are none.
    pub fn without(self, erased: Self) -> Option<Self> {
        let left = Self { body: self.body && !erased.body, attempts: self.attempts && !erased.attempts, all: self.all };
        (left != Self::default()).then_some(left)
    }
}

impl Retention {
    /// The parts of an ended reminder whose terms are over.
    pub fn outlived(&self, at: Millis, ended_at: Millis, now: Millis) -> Parts {
        let age = now - at.max(ended_at);
        let beyond = |term: Option<Millis>| term.is_some_and(|term| age >= term);
        Parts { body: beyond(self.bodies), attempts: beyond(self.attempts), all: beyond(self.history) }
    }

    /// The shortest term: a reminder that ended more recently is kept whole.
    pub fn shortest(&self) -> Option<Millis> {
        [self.bodies, self.attempts, self.history].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DAY;

    #[test]
    fn a_term_counts_from_the_instant_or_the_end_whichever_is_later() {
        let terms = Retention { bodies: Some(7 * DAY), attempts: Some(30 * DAY), history: Some(365 * DAY) };
        let (none, body) = (Parts::default(), Parts { body: true, ..Parts::default() });
        let both = Parts { attempts: true, ..body };
        // (at, ended at, now) in days → which parts are past their term.
        let table = [
            ((0, 0, 6), none),
            ((0, 0, 7), body),
            ((0, 3, 9), none),
            // Cancelled long before its instant.
            ((100, 1, 106), none),
            ((100, 1, 107), body),
            ((0, 0, 30), both),
            ((0, 0, 364), both),
            ((0, 0, 365), Parts { all: true, ..both }),
        ];
        for ((at, ended_at, now), expected) in table {
            assert_eq!(terms.outlived(at * DAY, ended_at * DAY, now * DAY), expected, "{at} {ended_at} {now}");
        }
        assert_eq!(Retention::default().outlived(0, 0, 10_000 * DAY), none, "without terms all is kept");
        assert_eq!((terms.shortest(), Retention::default().shortest()), (Some(7 * DAY), None));
        assert_eq!(both.without(body), Some(Parts { attempts: true, ..none }));
        assert_eq!((body.without(both), none.without(none)), (None, None));
    }
}
