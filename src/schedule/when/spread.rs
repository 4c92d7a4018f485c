//! `spread`: reminders that would all go at one instant go a little after each other.

use crate::domain::Millis;
use sha2::{Digest, Sha256};

/// How long after its instant a reminder goes: below `spread`, and the same for ever for the same schedule and identity.
///
/// It is the first eight bytes of the SHA-256 of `tixing-spread`, the schedule's name, the row's key, the occasion and the occurrence,
/// joined by NUL, as a big-endian number modulo `spread`. Another version of tixing must say the same, or a load would take every
/// reminder for changed.
pub fn offset(spread: Millis, schedule: &str, key: &str, occasion: &str, occurrence: &str) -> Millis {
    let Ok(most) = u64::try_from(spread) else { return 0 };
    if most == 0 {
        return 0;
    }
    let mut hash = Sha256::new();
    for part in ["tixing-spread", schedule, key, occasion] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(occurrence);
    let digest = hash.finalize();
    let number = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    Millis::try_from(number % most).expect("it is below `spread`, which is one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// These stand in stored reminders: another number here would move all of them at the next load.
    #[test]
    fn the_same_identity_has_the_same_offset_in_every_version() {
        assert_eq!(offset(600_000, "spring", "A-1", "1d", ""), 81_726);
        assert_eq!(offset(600_000, "spring", "A-1", "1h", ""), 217_927);
        assert_eq!([offset(0, "spring", "A-1", "1d", ""), offset(-1, "spring", "A-1", "1d", "")], [0, 0]);
    }

    proptest! {
        #[test]
        fn an_offset_is_below_its_spread(spread in 1..=604_800_000_i64, name in ".{0,64}", key in ".{0,128}") {
            let first = offset(spread, &name, &key, "1d", "");
            prop_assert!((0..spread).contains(&first));
            prop_assert_eq!(first, offset(spread, &name, &key, "1d", ""));
        }
    }
}
