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
