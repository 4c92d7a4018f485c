//! Decides when a lane asks its platform which templates there are, and how many sends are left today.

use crate::domain::{DAY, HOUR, MINUTE, Millis};

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Which templates there are. The platforms answer it a few times a day only.
    Templates,
    /// How many sends are left today.
    Quota,
}

impl Errand {
    /// What it asks, for the log.
    pub fn words(self) -> &'static str {
        match self {
            Self::Templates => "which templates there are",
            Self::Quota => "how many sends are left",
        }
    }
}

/// How often the quota is asked for while nothing is wrong.
const QUOTA_EVERY: Millis = HOUR;
/// The shortest time between two readings that nobody has ordered; it doubles, up to a day, while something is wrong.
const READ_AGAIN: Millis = 10 * MINUTE;

/// When an app's questions are asked next, one at a time.
#[derive(Debug)]
pub struct Errands {
    under_way: bool,
    templates_at: Millis,
    quota_at: Millis,
    /// Readings in a row after which something was wrong.
    wrong: u32,
    read_at: Millis,
    /// It is for this lane to read the templates.
    reads: bool,
}

impl Errands {
    /// At the daemon's start everything is asked, except for templates that were read a moment ago: a daemon may be starting over and over.
    pub fn new(read_at: Option<Millis>, now: Millis) -> Self {
        let read_at = read_at.filter(|at| *at <= now).unwrap_or(Millis::MIN / 2);
        Self {
            under_way: false,
            templates_at: now.max(read_at + READ_AGAIN),
            quota_at: now,
            wrong: 0,
            read_at,
            reads: true,
        }
    }

    /// Of a lane whose app's first lane reads the templates for all.
    pub fn of_another_shard(now: Millis) -> Self {
        Self { reads: false, ..Self::new(None, now) }
    }

    /// What to ask now.
    pub fn next(&self, now: Millis) -> Option<Errand> {
        if self.under_way {
            None
        } else if now >= self.quota_at {
            Some(Errand::Quota)
        } else {
            (self.reads && now >= self.templates_at).then_some(Errand::Templates)
        }
    }

    /// A question has left.
    pub fn begin(&mut self) {
        self.under_way = true;
    }

    /// The quota is to be asked for at once.
    pub fn ask_quota(&mut self, now: Millis) {
        self.quota_at = now;
    }

    /// Somebody wants the templates read at once.
    pub fn ask_templates(&mut self, now: Millis) {
        self.templates_at = now;
    }

    /// A refusal says that a template may have changed: it is read again soon.
    pub fn suspect(&mut self, now: Millis) {
        self.templates_at = self.templates_at.min(now.max(self.read_at + READ_AGAIN));
    }

    /// The platform has no such question to answer.
    pub fn never(&mut self, errand: Errand) {
        match errand {
            Errand::Templates => self.templates_at = Millis::MAX,
            Errand::Quota => self.quota_at = Millis::MAX,
        }
    }

    /// The quota was answered, or not.
    pub fn quota_asked(&mut self, now: Millis) {
        self.under_way = false;
        self.quota_at = now + QUOTA_EVERY;
    }

    /// The templates were listed and are `in_step`, or not; or nothing was answered.
    pub fn templates_asked(&mut self, in_step: bool, now: Millis) {
        self.under_way = false;
        self.read_at = now;
        self.wrong = if in_step { 0 } else { (self.wrong + 1).min(16) };
        self.templates_at = now + if in_step { DAY } else { (READ_AGAIN << (self.wrong - 1)).min(DAY) };
    }

    /// The clock was set back.
    pub fn set_back(&mut self, by: Millis) {
        self.templates_at -= by;
        self.quota_at -= by;
        self.read_at -= by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_read_at_the_start_daily_and_after_something_is_wrong_ever_more_rarely() {
        let mut errands = Errands::new(None, 0);
        assert_eq!(errands.next(0), Some(Errand::Quota));
        errands.begin();
        assert_eq!(errands.next(0), None, "one at a time");
        errands.quota_asked(0);
        assert_eq!(errands.next(0), Some(Errand::Templates));
        // (in step?, minutes until the next reading)
        for (in_step, minutes) in [(true, 1_440), (false, 10), (false, 20), (false, 40), (true, 1_440)] {
            errands.begin();
            errands.templates_asked(in_step, 0);
            errands.quota_at = Millis::MAX;
            assert_eq!(errands.next(minutes * MINUTE - 1), None, "{in_step} {minutes}");
            assert_eq!(errands.next(minutes * MINUTE), Some(Errand::Templates), "{in_step} {minutes}");
        }
        errands.suspect(MINUTE);
        assert_eq!(errands.next(MINUTE), None, "it was read a minute ago");
        assert_eq!(errands.next(READ_AGAIN), Some(Errand::Templates));
        errands.ask_templates(MINUTE);
        assert_eq!(errands.next(MINUTE), Some(Errand::Templates), "somebody wants it");
    }

    #[test]
    fn a_daemon_that_starts_over_and_over_does_not_spend_the_platforms_patience() {
        let mut errands = Errands::new(Some(9 * MINUTE), 10 * MINUTE);
        errands.quota_asked(10 * MINUTE);
        assert_eq!(errands.next(10 * MINUTE), None);
        assert_eq!(errands.next(19 * MINUTE), Some(Errand::Templates));
    }
}
