//! What a schedule says about one person at one instant, and what becomes of it when its file is loaded.

use super::Millis;
use serde::{Deserialize, Serialize};

/// A reminder as a schedule's file says it: one occasion of one row. Nothing of it has been compared with the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The row's number in its sheet, or the place in an inline list, from 1. `None` for the users who have consented.
    pub row: Option<u32>,
    /// By which the row is known again: its key column, else its openid.
    pub key: String,
    /// The user.
    pub openid: String,
    /// The entry of `before` (`1d`) or `after` (`+2h`) that it comes from; empty where there are none.
    pub occasion: String,
    /// The time that `at` names, if it is not the instant itself.
    pub event: Millis,
    /// The instant, moved out of quiet hours.
    pub at: Millis,
    /// Never sent at or after this.
    pub expires_at: Millis,
    /// Its deadline was given as a duration after the instant, so a shift moves it along.
    pub moves: bool,
    /// Page that opens on tap.
    pub page: Option<String>,
    /// Its field values as a JSON object of strings, checked by the template's rules.
    pub data: String,
}

/// How the reminders of a schedule come by their consents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claims {
    /// Each holds one from the load on; for one that finds none nothing is stored.
    #[default]
    Reserve,
    /// Each takes one at its instant.
    AtFire,
    /// Each holds one where there is one, and takes one at its instant otherwise.
    Either,
}

/// What becomes of a reminder when its file is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is stored.
    New,
    /// It waits, and the file says something else than before: it is changed and keeps its consent.
    Changed,
    /// It waits, and the file says the same.
    Same,
    /// It waits, and the file no longer has it: it is cancelled.
    Removed,
    /// It was sent, is being sent, or may have been: never again under this identity.
    Done,
    /// It has ended without being sent, and the file says the same.
    Ended,
    /// Its instant has passed: it is left out.
    Late,
    /// No consent is available: nothing is stored.
    NoConsent,
    /// It belongs to an occurrence that is prepared later.
    Later,
}
