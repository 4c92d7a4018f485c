//! How fast an app may send: a rate per second, smooth, without a saved-up burst.
//!
//! The generic cell rate algorithm with `now` as an argument; a library would bring its own clock.

use crate::domain::Millis;

/// Sends that may leave ahead of the even rhythm, as time: the timer has a grain of a millisecond or two.
const SLACK_US: i64 = 10_000;

/// One rate.
#[derive(Debug, Clone)]
pub struct Pace {
    interval_us: i64,
    next_us: i64,
}

impl Pace {
    /// A pace of `rate` sends a second.
    pub fn new(rate: u32) -> Self {
        Self { interval_us: 1_000_000 / i64::from(rate.max(1)), next_us: 0 }
    }

    /// Another rate from the next send on.
    pub fn set_rate(&mut self, rate: u32) {
        self.interval_us = 1_000_000 / i64::from(rate.max(1));
    }

    /// When the next send may leave.
    pub fn ready_at(&self) -> Millis {
        (self.next_us - SLACK_US).div_euclid(1_000) + 1
    }

    /// Whether a send may leave now.
    pub fn ready(&self, now: Millis) -> bool {
        self.next_us - SLACK_US <= now * 1_000
    }

    /// The clock was set back.
    pub fn set_back(&mut self, by: Millis) {
        self.next_us -= by * 1_000;
    }

    /// A send leaves now.
    pub fn take(&mut self, now: Millis) {
        self.next_us = self.next_us.max(now * 1_000) + self.interval_us;
    }

    /// The one that was to leave did not.
    pub fn give_back(&mut self) {
        self.next_us -= self.interval_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_brings_what_the_rate_says_and_a_pause_saves_nothing_up() {
        for rate in [1, 7, 500, 20_000] {
            let mut pace = Pace::new(rate);
            for start in [0, 3_600_000] {
                let mut sent = 0;
                for now in start..start + 2_000 {
                    while pace.ready(now) {
                        pace.take(now);
                        sent += 1;
                    }
                }
                let (expected, slack) = (i64::from(rate) * 2, i64::from(rate) / 50 + 1);
                assert!((expected - slack..=expected + slack).contains(&sent), "{rate}: {sent}");
            }
        }
    }
}
