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

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Those of which a new one ends an old one, by mini-program and family: the families of one mini-program never affect each other.
    pairs: HashMap<(String, &'static str), Pair>,
    /// Those that live to their own end, whatever is given out after them: whose they are, and when they end.
    others: HashMap<String, (String, Millis)>,
}

impl Tokens {
    /// Whether the living token of a family has so long to go that it is given out again.
    pub fn lives_on(&self, appid: &str, family: &'static str, now: Millis) -> bool {
        let pair = self.pairs.get(&(appid.to_owned(), family));
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
        let pair = self.pairs.entry((appid.to_owned(), family)).or_default();
        if let Some(fresh) = fresh {
            // The token before last ends at once.
            pair.previous = pair.current.take().map(|(token, until)| (token, until.min(now + OVERLAP)));
            pair.current = Some((fresh, now + LIVES));
        }
        pair.current.clone()
    }

    /// A token that lives until then, whatever is given out after it.
    pub fn add(&mut self, appid: &str, token: String, until: Millis) {
        self.others.insert(token, (appid.to_owned(), until));
    }

    /// Whose token it is, and when it ends.
    pub fn owner(&self, token: &str) -> Option<(String, Millis)> {
        let in_pairs = self.pairs.iter().find_map(|((appid, _), pair)| {
            let known = pair.current.iter().chain(&pair.previous).find(|(known, _)| known == token)?;
            Some((appid.clone(), known.1))
        });
        in_pairs.or_else(|| self.others.get(token).cloned())
    }

    /// All of them are worth nothing.
    pub fn revoke(&mut self) {
        self.pairs.clear();
        self.others.clear();
    }
}
