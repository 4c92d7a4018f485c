//! Whether the wall clock can be trusted. One that is ahead would spend every consent; one that is behind would send what nobody wants
//! any more. So a clock that steps either way is distrusted, and nothing is sent by it.

use crate::{
    domain::{Millis, SECOND},
    words::{Message, say},
};

/// A step of more than this makes the clock distrusted.
const JUMP: Millis = 5 * SECOND;
/// How far the platform's clock may be from ours for ours to be trusted.
const AGREE: Millis = 60 * SECOND;
/// Between two questions to the platform.
const ASK_EVERY: Millis = 30 * SECOND;

/// Compares the wall clock with the monotonic one at each tick.
#[derive(Debug)]
pub struct ClockWatch {
    last: (Millis, Millis),
    /// How far the wall clock is ahead of where it should be, or below zero behind, while the clock is distrusted.
    ahead: Millis,
    /// Why it is distrusted, if it is.
    distrusted: Option<Message>,
    asked_at: Option<Millis>,
    /// A platform has answered since the start, and said if it thinks otherwise.
    confirmed: bool,
}

impl ClockWatch {
    /// A watch that trusts the clock as it is.
    pub fn new(wall: Millis, monotonic: Millis) -> Self {
        Self { last: (wall, monotonic), ahead: 0, distrusted: None, asked_at: None, confirmed: false }
    }

    /// Looks at both clocks; answers how far the wall clock was set forward, or, below zero, back.
    pub fn tick(&mut self, wall: Millis, monotonic: Millis) -> Millis {
        let step = (wall - self.last.0) - (monotonic - self.last.1);
        self.last = (wall, monotonic);
        if step.abs() > JUMP || self.distrusted.is_some() {
            self.ahead += step;
        }
        if self.ahead.abs() > JUMP {
            let seconds = self.ahead.abs() / SECOND;
            self.distrusted.get_or_insert_with(|| match self.ahead > 0 {
                true => say!("clock_ahead", seconds = seconds),
                false => say!("clock_behind", seconds = seconds),
            });
        } else {
            self.ahead = 0;
            self.distrusted = None;
        }
        step
    }

    /// Whether reminders may be sent or ended by this clock: it is not distrusted, and a platform had the opportunity to contradict it. A
    /// machine that starts with a wrong date would else declare expired what is not due for days.
    pub fn trusted(&self) -> bool {
        self.confirmed && self.distrusted.is_none()
    }

    /// Why the clock is distrusted, if it is.
    pub fn distrusted(&self) -> Option<&Message> {
        self.distrusted.as_ref()
    }

    /// Whether it is time to ask a platform for its time; answers yes once per interval.
    pub fn wants_witness(&mut self, monotonic: Millis) -> bool {
        let wants = self.asked_at.is_none_or(|at| monotonic - at >= ASK_EVERY);
        if wants {
            self.asked_at = Some(monotonic);
        }
        wants
    }

    /// A platform answered, and may have said what time it is: the clock is trusted again if it agrees, and distrusted if
    /// not, as after a restart with a wrong clock, which no step gives away.
    pub fn witness(&mut self, date: Option<Millis>, wall: Millis) {
        self.confirmed = true;
        let Some(date) = date else { return };
        let ahead = wall - date;
        if ahead.abs() > AGREE {
            self.ahead = ahead;
            let seconds = ahead.abs() / SECOND;
            self.distrusted.get_or_insert_with(|| match ahead > 0 {
                true => say!("clock_ahead_of_platform", seconds = seconds),
                false => say!("clock_behind_platform", seconds = seconds),
            });
        } else {
            self.ahead = 0;
            self.distrusted = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_is_distrusted_until_it_is_set_right_or_a_platform_agrees() {
        let mut watch = ClockWatch::new(1_000_000, 0);
        watch.tick(910_000, 10_000);
        assert!(
            watch.distrusted().is_some_and(|why| why.to_string().contains("100 s behind where it was")),
            "{:?}",
            watch.distrusted()
        );
        watch.tick(920_000, 20_000);
        assert!(watch.distrusted().is_some(), "time alone proves nothing");
        watch.tick(1_021_000, 21_000);
        assert_eq!(watch.distrusted(), None, "set right");
        watch.tick(921_000, 21_000);
        watch.witness(Some(1_021_000), 921_000);
        assert!(watch.distrusted().is_some(), "the platform says otherwise");
        watch.witness(Some(922_000), 921_500);
        assert_eq!(watch.distrusted(), None, "it had been wrong before");
    }

    #[test]
    fn a_clock_that_jumps_forward_is_distrusted_until_it_is_undone_or_a_platform_agrees() {
        let mut watch = ClockWatch::new(0, 0);
        watch.tick(10_000, 10_000);
        assert_eq!(watch.distrusted(), None, "time passes");
        watch.tick(6_500, 11_000);
        assert_eq!(watch.distrusted(), None, "a small step either way is nothing");
        watch.tick(3_600_000, 12_000);
        assert!(watch.distrusted().is_some());
        watch.tick(3_601_000, 13_000);
        assert!(watch.distrusted().is_some(), "time alone proves nothing");
        watch.witness(Some(10_000), 3_601_000);
        assert!(watch.distrusted().is_some(), "the platform says otherwise");
        watch.tick(9_000, 14_000);
        assert_eq!(watch.distrusted(), None, "undone");
        watch.tick(7_200_000, 15_000);
        watch.witness(Some(7_199_000), 7_200_000);
        assert_eq!(watch.distrusted(), None);
    }

    #[test]
    fn a_clock_that_is_wrong_from_the_start_is_distrusted_once_the_platform_answers_and_trusted_when_it_is_set() {
        let mut watch = ClockWatch::new(3_600_000, 0);
        watch.witness(Some(3_590_000), 3_600_000);
        assert_eq!(watch.distrusted(), None, "a minute is neither here nor there");
        watch.witness(Some(0), 3_601_000);
        assert!(
            watch.distrusted().is_some_and(|why| why.to_string().contains("3601 s ahead of a platform's")),
            "{:?}",
            watch.distrusted()
        );
        watch.tick(3_602_000, 2_000);
        assert!(watch.distrusted().is_some(), "time alone proves nothing");
        watch.tick(3_000, 3_000);
        assert_eq!(watch.distrusted(), None, "set right");
        watch.witness(Some(3_600_000), 4_000);
        assert!(
            watch.distrusted().is_some_and(|why| why.to_string().contains("behind a platform's")),
            "{:?}",
            watch.distrusted()
        );
    }
}
