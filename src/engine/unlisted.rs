//! Codes of a platform that nobody has listed: what the error table lacks, and the operator has not mapped either.

use crate::domain::{HOUR, Millis};
use std::collections::BTreeMap;

/// Codes that are told apart. A platform that makes up ever new ones fills no memory.
const AT_MOST: usize = 64;
/// One code is told of no more often.
const TELL_EVERY: Millis = HOUR;

/// The unlisted codes that an app's platform has answered since the start.
#[derive(Default)]
pub struct Unlisted {
    seen: BTreeMap<String, Seen>,
}

struct Seen {
    n: u64,
    told_at: Millis,
}

impl Unlisted {
    /// The platform has answered with this code. Answers whether that is to be told.
    pub fn saw(&mut self, code: &str, now: Millis) -> bool {
        if let Some(seen) = self.seen.get_mut(code) {
            seen.n += 1;
            // Also after the clock was set back.
            let tell = (now - seen.told_at).abs() >= TELL_EVERY;
            if tell {
                seen.told_at = now;
            }
            return tell;
        }
        let room = self.seen.len() < AT_MOST;
        if room {
            self.seen.insert(code.to_owned(), Seen { n: 1, told_at: now });
        }
        room
    }

    /// How many answers there were with any of them.
    pub fn total(&self) -> u64 {
        self.all().map(|(_, n)| n).sum()
    }

    /// Each code, and how often it came.
    pub fn all(&self) -> impl Iterator<Item = (&str, u64)> {
        self.seen.iter().map(|(code, seen)| (code.as_str(), seen.n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_told_of_once_an_hour_and_there_is_an_end_to_them() {
        let mut unlisted = Unlisted::default();
        // (code, when) → whether it is told
        for (code, now, told) in [
            ("1", 0, true),
            ("1", 1, false),
            ("2", 2, true),
            ("1", HOUR - 1, false),
            ("1", HOUR, true),
            ("1", HOUR + 1, false),
            ("1", -1, true),
        ] {
            assert_eq!(unlisted.saw(code, now), told, "{code} at {now}");
        }
        assert_eq!(unlisted.total(), 7);
        assert_eq!(unlisted.all().collect::<Vec<_>>(), [("1", 6), ("2", 1)]);
        let told = (0..1_000).filter(|n| unlisted.saw(&format!("new {n}"), 0)).count();
        assert_eq!((told, unlisted.seen.len()), (AT_MOST - 2, AT_MOST));
    }
}
