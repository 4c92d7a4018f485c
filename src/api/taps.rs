//! Accepts that may have been told twice: a back end that passes on the popup's result and then says `accepted` for the same tap has counted it
//! twice, unless both name it by one `event`. The last few seconds are kept in memory, as hashes; all that follows is a warning.

use crate::{
    domain::{Millis, SECOND},
    words::{Voice, say},
};
use serde::Serialize;
use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Mutex, PoisonError},
};
use utoipa::ToSchema;

/// Two accepts of one user and template that lie no farther apart may be one tap.
const SAME: Millis = 10 * SECOND;
/// Accepts of one generation.
const MOST: usize = 20_000;

/// What a caller should know of something that was done.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Warning {
    /// `counted_twice`.
    code: &'static str,
    /// The template that it is about.
    template: String,
    /// One sentence: what was found, and what to do.
    detail: String,
}

impl Warning {
    /// An accept for this template may have been counted twice.
    pub fn counted_twice(template: &str, voice: Voice) -> Self {
        Self { code: "counted_twice", template: template.to_owned(), detail: say!("counted_twice").say(voice) }
    }
}

/// An accept that added a consent.
#[derive(Debug, Clone, Copy)]
pub struct Add<'a> {
    /// The app.
    pub app: &'a str,
    /// The user.
    pub openid: &'a str,
    /// The platform's template id.
    pub template: &'a str,
    /// When the user tapped.
    pub at: Millis,
    /// Whether its tap has an event, by which it counts once.
    pub named: bool,
}

/// The same as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Tap {
    key: u64,
    at: Millis,
    named: bool,
}

/// The accepts of the last few seconds.
#[derive(Debug, Default)]
pub struct Taps {
    keys: RandomState,
    latest: Mutex<Generations>,
}

/// The young ones, and those from before: together they cover [`SAME`], unless there are very many.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, (Millis, bool)>,
    old: HashMap<u64, (Millis, bool)>,
    since: Millis,
}

impl Taps {
    /// An accept as it is kept: of whose it is, a hash alone.
    pub fn tap(&self, add: &Add<'_>) -> Tap {
        let Add { app, openid, template, at, named } = *add;
        Tap { key: self.keys.hash_one((app, openid, template)), at, named }
    }

    /// Notes an accept. Answers whether one that was noted before may be of the same tap: it lies within seconds, and not both have an event.
    pub fn is_second(&self, tap: Tap, now: Millis) -> bool {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.young.len() >= MOST || !(0..SAME).contains(&(now - latest.since)) {
            latest.old = std::mem::take(&mut latest.young);
            latest.since = now;
        }
        let before = latest.young.insert(tap.key, (tap.at, tap.named)).or_else(|| latest.old.get(&tap.key).copied());
        before.is_some_and(|(at, named)| (tap.at - at).abs() <= SAME && !(named && tap.named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Millis = 1_800_000_000_000;

    impl Taps {
        fn note(&self, openid: &str, at: Millis, named: bool, now: Millis) -> bool {
            self.is_second(self.tap(&Add { app: "coffee", openid, template: "T", at, named }), now)
        }
    }

    #[test]
    fn two_accepts_within_seconds_are_suspicious_unless_both_have_an_event() {
        for (first, second, apart, is_second) in [
            (false, false, 0, true),
            (false, true, SECOND, true),
            (true, false, SECOND, true),
            (true, true, SECOND, false),
            (false, false, SAME, true),
            (false, false, SAME + 1, false),
        ] {
            let taps = Taps::default();
            assert!(!taps.note("o", START, first, START));
            assert!(!taps.note("other", START, false, START), "another user");
            let later = START + apart;
            assert_eq!(taps.note("o", later, second, later), is_second, "{first} {second} {apart}");
        }
        let taps = Taps::default();
        assert!(!taps.note("o", START, false, START + 60 * SECOND));
        assert!(!taps.note("o", START + 30 * SECOND, false, START + 60 * SECOND), "a history that is told at once");
    }

    #[test]
    fn an_accept_is_remembered_for_its_seconds_and_the_memory_is_bounded() {
        let taps = Taps::default();
        assert!(!taps.note("o", START, false, START));
        assert!(!taps.note("p", START + SAME, false, START + SAME), "a new generation begins");
        assert!(taps.note("o", START + SAME, false, START + SAME));
        for n in 0..3 * MOST {
            taps.note(&format!("u{n}"), START, false, START + SAME);
        }
        let latest = taps.latest.lock().expect("whole");
        assert!(latest.young.len() + latest.old.len() <= 2 * MOST);
    }
}
