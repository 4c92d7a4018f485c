//! What of a lane is open at an instant, and what follows when that changes.

use crate::{
    domain::{
        Millis, SECOND,
        gate::{Gate, Quiet},
        timing::QuietHours,
    },
    store::port::{Next, Open},
};
use std::collections::BTreeSet;

/// What has expired behind closed gates is looked for this often, from the beginning.
const ROUND_EVERY: Millis = 30 * SECOND;
/// So long after one slice of a round comes the next.
const SLICE_EVERY: Millis = SECOND / 10;

/// What is open now, and when that may change by itself. Of a paused app nothing is, until somebody resumes it.
pub fn open(
    paused: bool,
    gates: impl Iterator<Item = (i64, Gate)>,
    app: Option<QuietHours>,
    now: Millis,
) -> (Open, Millis) {
    if paused {
        return (Open::Only(BTreeSet::new()), Millis::MAX);
    }
    let changes = |quiet: QuietHours| quiet.ends(now).or_else(|| quiet.begins(now)).unwrap_or(Millis::MAX);
    let mut change_at = app.map_or(Millis::MAX, changes);
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for (id, gate) in gates {
        if let Quiet::Own(quiet) = gate.quiet {
            change_at = change_at.min(changes(quiet));
        }
        if gate.is_open(app, now) { open.push(id) } else { closed.push(id) }
    }
    let quiet = app.is_some_and(|quiet| quiet.ends(now).is_some());
    // Where nothing may go, the lane waits as a whole.
    let what = if quiet && !open.is_empty() {
        Open::Only(open.into_iter().collect())
    } else {
        Open::AllBut(closed.into_iter().collect())
    };
    (what, change_at)
}

/// The walk through what waits behind closed gates, for what has expired there.
#[derive(Debug)]
pub struct Behind {
    /// The place after which the next slice begins.
    pub after: (Millis, i64),
    next_at: Millis,
    looking: bool,
}

impl Default for Behind {
    fn default() -> Self {
        Self { after: (Millis::MIN, 0), next_at: 0, looking: false }
    }
}

impl Behind {
    /// Whether it is time to look at the next slice. It is under way until it is answered.
    pub fn looks(&mut self, now: Millis) -> bool {
        let looks = !self.looking && now >= self.next_at;
        self.looking |= looks;
        looks
    }

    /// The look failed; it is repeated.
    pub fn failed(&mut self) {
        self.looking = false;
    }

    /// The look is done, and the next slice begins after `next`, unless this was the last.
    pub fn looked(&mut self, next: Next, now: Millis) {
        *self = match next {
            Some(after) => Self { after, next_at: now + SLICE_EVERY, looking: false },
            None => Self { next_at: now + ROUND_EVERY, ..Self::default() },
        };
    }

    /// The clock was set back.
    pub fn set_back(&mut self, by: Millis) {
        self.next_at -= by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_open_but_for_what_is_closed_and_in_the_apps_quiet_hours_for_what_has_hours_of_its_own() {
        const HOUR: Millis = 3_600_000;
        let hours = |text: &str| QuietHours::parse(text, chrono_tz::UTC).expect("hours");
        let gate = |closed, quiet| Gate { closed, quiet };
        let gates = [
            (1, gate(true, Quiet::App)),
            (2, gate(false, Quiet::None)),
            (3, gate(false, Quiet::Own(hours("12:00-13:00")))),
            (4, gate(true, Quiet::None)),
        ];
        let night = Some(hours("22:00-08:00"));
        let but = |ids: &[i64]| Open::AllBut(ids.iter().copied().collect());
        let only = |ids: &[i64]| Open::Only(ids.iter().copied().collect());
        // (the app's quiet hours, the schedules, the hour) → what is open, until which hour
        for (app, gates, now, expected, until) in [
            (None, &gates[..0], 10, but(&[]), None),
            (night, &gates[..0], 10, but(&[]), Some(22)),
            // Nothing may go, so the lane waits by itself.
            (night, &gates[..1], 23, but(&[1]), Some(32)),
            (None, &gates[..], 10, but(&[1, 4]), Some(12)),
            (None, &gates[..], 12, but(&[1, 3, 4]), Some(13)),
            (night, &gates[..], 12, but(&[1, 3, 4]), Some(13)),
            (night, &gates[..], 23, only(&[2, 3]), Some(32)),
        ] {
            let found = open(false, gates.iter().copied(), app, now * HOUR);
            let nothing = (only(&[]), Millis::MAX);
            assert_eq!(open(true, gates.iter().copied(), app, now * HOUR), nothing, "the app is paused");
            assert_eq!(found, (expected, until.map_or(Millis::MAX, |hour| hour * HOUR)), "{app:?} {now}");
        }
        for (before, after, more) in [
            (but(&[]), but(&[1]), false),
            (but(&[1]), but(&[]), true),
            (but(&[1]), but(&[2]), true),
            (but(&[]), only(&[1]), false),
            (but(&[1]), only(&[1]), true),
            (only(&[1]), but(&[]), true),
            (only(&[1]), only(&[1, 2]), true),
            (only(&[1, 2]), only(&[2]), false),
        ] {
            assert_eq!(after.has_more_than(&before), more, "{before:?} {after:?}");
        }
    }
}
