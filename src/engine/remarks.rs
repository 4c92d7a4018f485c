//! What is told of once in a while, and not with every answer that shows it.

use crate::domain::{HOUR, Millis};

/// The same remark is told again after this.
const EVERY: Millis = HOUR;
/// Remarks that are remembered.
const MOST: usize = 32;

/// What was told, and when.
#[derive(Debug, Default)]
pub struct Remarks(Vec<(String, Millis)>);

impl Remarks {
    /// Whether this is to be told now; then it counts as told.
    pub fn is_due(&mut self, what: &str, now: Millis) -> bool {
        // Of a clock that was set back, nothing that seems to come is remembered.
        self.0.retain(|(_, told_at)| (0..EVERY).contains(&(now - told_at)));
        if self.0.len() >= MOST || self.0.iter().any(|(told, _)| told == what) {
            return false;
        }
        self.0.push((what.to_owned(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_is_told_once_an_hour_and_another_meanwhile() {
        let mut remarks = Remarks::default();
        for (what, now, due) in [
            ("a", 0, true),
            ("a", EVERY - 1, false),
            ("b", EVERY - 1, true),
            ("a", EVERY, true),
            ("a", EVERY + 1, false),
            ("a", 5, true),
        ] {
            assert_eq!(remarks.is_due(what, now), due, "{what} at {now}");
        }
        let told = (0..1_000).filter(|i| remarks.is_due(&i.to_string(), 10)).count();
        assert!(told < MOST, "{told}");
    }
}
