//! Reminders: one message to one user at one instant.

use super::{Millis, consent::Allowance, options::Options};
use crate::words::{Message, say};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A reminder's id: 41 bits of milliseconds since 2024 and 22 bits to tell apart what one millisecond brings, so ids sort
/// by creation, need no second index, and carry their own `created_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReminderId(pub i64);

const EPOCH_2024: Millis = 1_704_067_200_000;
const SEQUENCE_BITS: u32 = 22;

impl ReminderId {
    /// The first id of the millisecond `now`.
    pub fn first_at(now: Millis) -> Self {
        Self((now - EPOCH_2024).max(0) << SEQUENCE_BITS)
    }

    /// When the reminder was accepted.
    pub fn created_at(self) -> Millis {
        (self.0 >> SEQUENCE_BITS) + EPOCH_2024
    }
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// `r_` and 13 digits of Crockford's base 32: sorts as text like the number does, and survives JavaScript.
impl fmt::Display for ReminderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("r_")?;
        for place in (0..13).rev() {
            let digit = (self.0 >> (place * 5)) & 31;
            write!(f, "{}", char::from(ALPHABET[usize::try_from(digit).expect("five bits")]))?;
        }
        Ok(())
    }
}

impl FromStr for ReminderId {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        let digits = s.strip_prefix("r_").filter(|d| d.len() == 13).ok_or(())?;
        let mut id: i64 = 0;
        for c in digits.bytes() {
            let digit = ALPHABET.iter().position(|a| *a == c).ok_or(())?;
            id = id.checked_mul(32).ok_or(())? + i64::try_from(digit).expect("below 32");
        }
        Ok(Self(id))
    }
}

/// Where a reminder stands. The last five are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReminderState)]
pub enum State {
    /// Waits for its instant.
    Scheduled,
    /// Marked; its request leaves, or has left.
    Sending,
    /// The request may have arrived; nobody knows.
    InDoubt,
    /// The platform accepted it; its consent is used.
    Sent,
    /// Refused for good, by the platform or before any call.
    Failed,
    /// Its deadline passed first.
    Expired,
    /// Withdrawn by its owner.
    Cancelled,
    /// May have been sent; never sent again.
    Unconfirmed,
}

impl State {
    /// All states, living ones first.
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Sending,
        Self::InDoubt,
        Self::Sent,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
        Self::Unconfirmed,
    ];

    /// The word in JSON, SQL and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Sending => "sending",
            Self::InDoubt => "in_doubt",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// The state as a person reads it.
    pub fn said(self) -> Message {
        match self {
            Self::Scheduled => say!("state_scheduled"),
            Self::Sending => say!("state_sending"),
            Self::InDoubt => say!("state_in_doubt"),
            Self::Sent => say!("state_sent"),
            Self::Failed => say!("state_failed"),
            Self::Expired => say!("state_expired"),
            Self::Cancelled => say!("state_cancelled"),
            Self::Unconfirmed => say!("state_unconfirmed"),
        }
    }

    /// The state of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.word() == word)
    }

    /// Whether nothing but a receipt or an audited correction may change it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Scheduled | Self::Sending | Self::InDoubt)
    }

    /// Whether the reminder's consent counts as spent.
    pub fn spends(self) -> bool {
        matches!(self, Self::Sent | Self::Unconfirmed)
    }
}

/// How a reminder comes by its consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// Held from insert.
    Reserve,
    /// Taken at the instant.
    AtFire,
}

/// A consent that comes with its reminder: the user has just accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// When the user tapped.
    pub at: Millis,
    /// Who told us.
    pub source: String,
    /// The caller's own id of this tap, or its ticket.
    pub event: Option<String>,
    /// The ticket that it brings, in place of what an accept of the template is worth.
    pub ticket: Option<Allowance>,
}

/// Where in a schedule a reminder comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The schedule, as a small integer.
    pub schedule: i64,
    /// The row's number in its sheet, or the place in an inline list, from 1. `None` for the users who have consented.
    pub row: Option<u32>,
    /// By which its row is known again; `None` where that is the openid.
    pub key: Option<String>,
    /// The entry of `before` or `after` that it comes from; empty where there are none.
    pub occasion: String,
    /// The wall time of its occurrence, or the key of its event; empty where there is none.
    pub occurrence: String,
    /// Its deadline is a duration after its instant, so a shift moves it along.
    pub moves: bool,
}

/// A reminder that passed every check and can be stored as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReminder {
    /// The app's name in the configuration.
    pub app: String,
    /// The user.
    pub openid: String,
    /// The platform's template id.
    pub template: String,
    /// Whether a consent for the template stands for many sends.
    pub standing: bool,
    /// The instant.
    pub at: Millis,
    /// The wall time and zone a person wrote, as `2027-03-01T10:00:00[Asia/Shanghai]`.
    pub local_at: Option<String>,
    /// Never sent at or after this.
    pub expires_at: Millis,
    /// Page that opens on tap.
    pub page: Option<String>,
    /// The checked field values as a JSON object of strings.
    pub data: String,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// SHA-256 of the request's meaning, to tell a replay from a conflict.
    pub digest: String,
    /// How it comes by its consent.
    pub claim: Claim,
    /// A consent to record and hold in the same transaction.
    pub accepted: Option<Accepted>,
    /// What was chosen of the platform's options.
    pub options: Options,
    /// The schedule that it comes from, if it comes from one.
    pub origin: Option<Origin>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_sorts_as_text_and_knows_its_birthday() {
        let early = ReminderId::first_at(1_800_000_000_123);
        let late = ReminderId::first_at(1_800_000_000_124);
        assert_eq!(early.to_string().parse(), Ok(early));
        assert!(early.to_string() < late.to_string());
        assert_eq!(late.created_at(), 1_800_000_000_124);
        for bad in ["", "r_", "r_zzzzzzzzzzzzz", "r_0123456789abi", "x_0123456789abc", "r_é123456789ab"] {
            assert_eq!(bad.parse::<ReminderId>(), Err(()), "{bad}");
        }
    }
}
