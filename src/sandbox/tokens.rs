//! The tokens that were given out, for platforms that have them: a new one leaves the one before it usable for a while.

use crate::domain::{MINUTE, Millis, SECOND};
use std::collections::HashMap;

/// How long a token lives.
const LIVES: Millis = 7_200 * SECOND;
/// How long the token before lives on, and how early a living one is replaced.
const OVERLAP: Millis = 5 * MINUTE;

#[derive(Debug, Default)]
struct Pair {
    current: Option<(String, Millis)>,
    /// Stays usable for a while after it was replaced.
    previous: Option<(String, Millis)>,
}

/// All of them, by mini-program and family: the families of one mini-program never affect each other.
#[derive(Debug, Default)]
pub(super) struct Tokens(HashMap<(String, &'static str), Pair>);

impl Tokens {
    /// Whether the living token of a family has so long to go that it is given out again.
    pub fn lives_on(&self, appid: &str, family: &'static str, now: Millis) -> bool {
        let pair = self.0.get(&(appid.to_owned(), family));
        pair.and_then(|pair| pair.current.as_ref()).is_some_and(|(_, until)| *until - now > OVERLAP)
    }

    /// The living token of a family and when it ends, after `fresh` has taken its place, if there is a fresh one.
    pub fn give(
        &mut self,
        appid: &str,
        family: &'static str,
        fresh: Option<String>,
        now: Millis,
    ) -> Option<(String, Millis)> {
        let pair = self.0.entry((appid.to_owned(), family)).or_default();
        if let Some(fresh) = fresh {
            // The token before last ends at once.
            pair.previous = pair.current.take().map(|(token, until)| (token, until.min(now + OVERLAP)));
            pair.current = Some((fresh, now + LIVES));
        }
        pair.current.clone()
    }

    /// Whose token it is, and when it ends.
    pub fn owner(&self, token: &str) -> Option<(String, Millis)> {
        self.0.iter().find_map(|((appid, _), pair)| {
            let known = pair.current.iter().chain(&pair.previous).find(|(known, _)| known == token)?;
            Some((appid.clone(), known.1))
        })
    }

    /// All of them are worth nothing.
    pub fn revoke(&mut self) {
        self.0.clear();
    }
}
