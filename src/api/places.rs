//! How many lists may be under way at once. Each asks the store for as long as two seconds, so they must leave connections to the other calls.

use super::problem::Problem;
use crate::{store::READERS, words::say};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Lists of one key.
const OF_ONE: usize = 4;
/// Lists of all keys: two connections at least are left for calls that are done in a moment.
const OF_ALL: usize = READERS as usize - 2;

/// Who has how many lists under way.
#[derive(Default)]
pub(super) struct Places(Mutex<HashMap<String, usize>>);

/// The right to one list; given back when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    who: String,
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a list of `who`.
    ///
    /// # Errors
    /// `too_many`.
    pub(super) fn take(self: &Arc<Self>, who: &str) -> Result<Place, Problem> {
        let mut taken = self.taken();
        let (own, all) = (taken.get(who).copied().unwrap_or_default(), taken.values().sum::<usize>());
        if own >= OF_ONE {
            return Err(Problem::new("too_many", say!("own_lists_under_way", own = own, most = OF_ONE)));
        }
        if all >= OF_ALL {
            return Err(Problem::new("too_many", say!("all_lists_under_way", all = all, most = OF_ALL)));
        }
        *taken.entry(who.to_owned()).or_default() += 1;
        Ok(Place { places: Arc::clone(self), who: who.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(own) = taken.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_four_lists_at_once_and_all_keys_leave_two_connections() {
        let places = Arc::new(Places::default());
        let take = |who: &str| places.take(who).map_err(|problem| (problem.code, problem.detail.to_string()));
        let mut own: Vec<_> = (0..4).map(|_| take("key 1").expect("a place")).collect();
        let (code, why) = take("key 1").err().expect("refused");
        assert!(code == "too_many" && why.starts_with("this key has 4 lists under way"), "{why}");
        let others: Vec<_> = (0..2).map(|_| take("key 2").expect("a place")).collect();
        let (code, why) = take("key 3").err().expect("refused");
        assert!(code == "too_many" && why.starts_with("6 lists of several keys are under way"), "{why}");
        own.pop();
        drop(take("key 3").expect("a place is free again"));
        drop((own, others));
        assert!(places.taken().is_empty(), "nothing is kept of keys that have none");
    }
}
