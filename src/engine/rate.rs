//! How fast an app sends now: its configured rate, no more than its platform allows, half of it and half again after the platform
//! complained, and half of that for a backlog.

use super::pace::Pace;
use crate::domain::{Millis, SECOND};

/// How long a halved rate lasts before it doubles.
const RECOVERS: Millis = 300 * SECOND;

/// An app's rate.
pub struct Rate {
    /// As configured.
    configured: u32,
    /// Sends a second that the platform allows, as it says.
    allowed: Option<u32>,
    /// How often the rate was halved, and when that last changed.
    halved: u32,
    halved_at: Millis,
    /// Of all sends.
    all: Pace,
    /// Of those of the backlog.
    backlog: Pace,
}

impl Rate {
    /// A rate of `configured` sends a second.
    pub fn new(configured: u32) -> Self {
        let (all, backlog) = (Pace::new(configured), Pace::new((configured / 2).max(1)));
        Self { configured, allowed: None, halved: 0, halved_at: 0, all, backlog }
    }

    /// So many sends a second from now on: the app is divided otherwise. What the platform has said that it allows is said anew.
    pub fn configure(&mut self, configured: u32) {
        (self.configured, self.allowed) = (configured, None);
        self.set_paces();
    }

    /// Sends per second for now.
    pub fn per_second(&self) -> u32 {
        let most = self.allowed.map_or(self.configured, |allowed| allowed.min(self.configured));
        (most >> self.halved).max(1)
    }

    /// How often it was halved, and when that last changed.
    pub fn halved(&self) -> (u32, Millis) {
        (self.halved, self.halved_at)
    }

    /// Goes on from what another has learnt.
    pub fn resume(&mut self, (halved, at): (u32, Millis), now: Millis) {
        (self.halved, self.halved_at) = (halved.min(16), at.min(now));
        self.set_paces();
    }

    /// Whether a send, of the backlog or not, may leave now.
    pub fn ready(&self, backlog: bool, now: Millis) -> bool {
        self.all.ready(now) && (!backlog || self.backlog.ready(now))
    }

    /// When the next one may.
    pub fn ready_at(&self, backlog: bool) -> Millis {
        if backlog { self.all.ready_at().max(self.backlog.ready_at()) } else { self.all.ready_at() }
    }

    /// One leaves now.
    pub fn take(&mut self, backlog: bool, now: Millis) {
        self.all.take(now);
        if backlog {
            self.backlog.take(now);
        }
    }

    /// One that was to leave did not.
    pub fn give_back(&mut self, backlog: bool) {
        self.all.give_back();
        if backlog {
            self.backlog.give_back();
        }
    }

    /// What the platform says that it allows, if it says so.
    pub fn allow(&mut self, allowed: Option<u32>) {
        if self.allowed != allowed {
            self.allowed = allowed;
            self.set_paces();
        }
    }

    /// The platform says that it was too much: the rate halves, down to one a second.
    pub fn halve(&mut self, now: Millis) {
        self.halved = (self.halved + 1).min(16);
        self.halved_at = now;
        self.set_paces();
    }

    /// After some minutes without a complaint the rate doubles again.
    pub fn recover(&mut self, now: Millis) {
        if self.halved > 0 && now - self.halved_at >= RECOVERS {
            self.halved -= 1;
            self.halved_at = now;
            self.set_paces();
        }
    }

    /// The clock was set back.
    pub fn set_back(&mut self, by: Millis) {
        self.all.set_back(by);
        self.backlog.set_back(by);
        self.halved_at -= by;
    }

    fn set_paces(&mut self) {
        let rate = self.per_second();
        self.all.set_rate(rate);
        self.backlog.set_rate(rate / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_halves_the_rate_and_silence_brings_it_back() {
        let mut rate = Rate::new(100);
        rate.allow(Some(80));
        assert_eq!(rate.per_second(), 80);
        // (complaints at once, then how long nobody complains) → sends per second
        for (complaints, quiet, per_second) in
            [(1, 0, 40), (1, RECOVERS - 1, 20), (0, RECOVERS, 40), (0, RECOVERS, 80), (9, 0, 1), (0, RECOVERS, 1)]
        {
            let now = rate.halved_at;
            (0..complaints).for_each(|_| rate.halve(now));
            for at in [now + quiet / 2, now + quiet] {
                rate.recover(at);
            }
            assert_eq!(rate.per_second(), per_second, "{complaints} {quiet}");
        }
    }
}
