//! How far apart two messages to one user leave, where their platform wants that.

use crate::domain::Millis;
use std::collections::{HashMap, VecDeque};

/// The users who were sent something just now. It holds no more of them than messages were answered within the time.
pub struct Spacing {
    apart: Millis,
    /// Until when each waits.
    until: HashMap<i64, Millis>,
    /// The same in the order of time.
    order: VecDeque<(Millis, i64)>,
    /// When the first of them may go, if nothing else that is due can go before: as it was at the last look.
    all_wait: Option<Millis>,
}

impl Spacing {
    /// So far apart; not at all if the platform does not care.
    pub fn new(apart: Option<Millis>) -> Self {
        Self { apart: apart.unwrap_or(0), until: HashMap::new(), order: VecDeque::new(), all_wait: None }
    }

    /// A message to this user has left and was answered, or nothing more is to come. The next is counted from the answer: where it was slow,
    /// the platform may have begun to count late.
    pub fn answered(&mut self, user: i64, now: Millis) {
        if self.apart > 0 {
            self.forget(now);
            let until = now + self.apart;
            self.until.insert(user, until);
            self.order.push_back((until, user));
        }
    }

    /// Until when a user waits, if they do.
    pub fn waits(&self, user: i64, now: Millis) -> Option<Millis> {
        self.until.get(&user).copied().filter(|until| *until > now)
    }

    /// All that is due waits for its user, the first of them until then; or something else can go, or is waited for.
    pub fn looked(&mut self, all_wait: Option<Millis>) {
        self.all_wait = all_wait;
    }

    /// When the first of them may go, if nothing else that is due can go before.
    pub fn all_wait(&self, now: Millis) -> Option<Millis> {
        self.all_wait.filter(|until| *until > now)
    }

    /// The clock was set back: nobody waits longer because of it.
    pub fn set_back(&mut self, by: Millis) {
        self.until.values_mut().for_each(|until| *until -= by);
        self.order.iter_mut().for_each(|(until, _)| *until -= by);
        self.all_wait = None;
    }

    fn forget(&mut self, now: Millis) {
        while let Some((until, user)) = self.order.front().copied().filter(|(until, _)| *until <= now) {
            self.order.pop_front();
            if self.until.get(&user) == Some(&until) {
                self.until.remove(&user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_waits_from_the_last_answer_on_and_nobody_is_remembered_for_longer() {
        let mut spacing = Spacing::new(Some(1_000));
        spacing.answered(1, 0);
        spacing.answered(2, 10);
        spacing.answered(1, 500);
        // (user, now) → until when
        for (user, now, until) in
            [(1, 999, Some(1_500)), (1, 1_499, Some(1_500)), (1, 1_500, None), (2, 1_009, Some(1_010)), (3, 0, None)]
        {
            assert_eq!(spacing.waits(user, now), until, "{user} at {now}");
        }
        spacing.set_back(400);
        assert_eq!(spacing.waits(1, 1_099), Some(1_100), "a clock that is set back prolongs nothing");
        assert_eq!(spacing.waits(1, 1_100), None);
        for n in 0..10_000 {
            spacing.answered(n, 2_000 + n);
        }
        assert!(spacing.until.len() <= 1_001 && spacing.order.len() <= 1_001, "{}", spacing.until.len());
    }

    #[test]
    fn where_the_platform_does_not_care_nobody_waits_and_nothing_is_remembered() {
        let mut spacing = Spacing::new(None);
        spacing.answered(1, 0);
        assert_eq!((spacing.waits(1, 0), spacing.until.len()), (None, 0));
    }
}
