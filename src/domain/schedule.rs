//! What a schedule says about one person at one instant, and what becomes of it when its file is loaded.

use super::{Millis, reminder::State};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
    /// The wall time of its occurrence (`2031-03-03T19:00`), or the key of its event; empty where there is none.
    pub occurrence: String,
    /// It belongs to an occurrence that is prepared later: nothing is stored for it.
    pub later: bool,
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

/// An occurrence to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upcoming {
    /// Its time.
    pub event: Millis,
    /// Its name for ever: its wall time, or its event's key.
    pub name: String,
    /// The key, if it is an event of a table.
    pub key: Option<String>,
    /// When it is prepared; `None` if all of its instants have passed.
    #[serde(default)]
    pub prepare_at: Option<Millis>,
    /// Its first instant and its last, shifted as the schedule is; `None`: an older version did not write them down.
    #[serde(default)]
    pub instants: Option<(Millis, Millis)>,
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

impl Change {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 9] = [
        Self::New,
        Self::Changed,
        Self::Same,
        Self::Removed,
        Self::Done,
        Self::Ended,
        Self::Late,
        Self::NoConsent,
        Self::Later,
    ];

    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Same => "same",
            Self::Removed => "removed",
            Self::Done => "done",
            Self::Ended => "ended",
            Self::Late => "late",
            Self::NoConsent => "no_consent",
            Self::Later => "later",
        }
    }
}

/// What the store knows of a reminder's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Digest of what the file said when it was last loaded.
    pub digest: i64,
    /// Where its reminder stands; `None` if it is no longer kept.
    pub state: Option<State>,
    /// One of its requests may have arrived.
    pub doubtful: bool,
    /// Whether the file names the same user as then.
    pub same_user: bool,
}

/// How a load treats what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// When the load began.
    pub now: Millis,
    /// An instant that has passed is sent at once, if its deadline allows.
    pub sends_late: bool,
    /// The file is another than the one that was shifted, so the shift ends.
    pub shift_ends: bool,
    /// So many milliseconds the schedule is shifted by, what is stored as new too; 0 if the file ends the shift.
    pub shift: Millis,
    /// What was due from the first instant to the second may have been sent by another life of the store: it is never stored as new.
    pub unknown: Option<(Millis, Millis)>,
}

/// What is to be done about a reminder of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is stored, if it finds its consent.
    Add,
    /// The one that waits belongs to another user: it is cancelled, and this one stored.
    Replace,
    /// The one that waits is changed, and keeps its consent.
    Update,
    /// The one that waits is cancelled: its new instant has passed.
    Withdraw,
    /// Nothing is written.
    Leave {
        /// What it counts as.
        as_: Change,
        /// It is done, and the file says something else by now.
        differs: bool,
    },
}

impl Terms {
    /// Compares a reminder of the file, whose digest, instant and deadline these are, with what is known of its identity.
    pub fn step(&self, known: Option<Known>, digest: i64, at: Millis, expires_at: Millis) -> Step {
        let leave = |as_| Step::Leave { as_, differs: false };
        let late = self.is_late(at, expires_at);
        let Some(known) = known else { return if late { leave(Change::Late) } else { Step::Add } };
        let differs = known.digest != digest || !known.same_user;
        match known.state {
            Some(State::Scheduled) if !known.doubtful => match (differs || self.shift_ends, late, known.same_user) {
                (false, ..) => leave(Change::Same),
                (true, true, _) => Step::Withdraw,
                (true, false, true) => Step::Update,
                (true, false, false) => Step::Replace,
            },
            Some(State::Failed | State::Expired | State::Cancelled) => match (differs, late) {
                (false, _) => leave(Change::Ended),
                (true, true) => leave(Change::Late),
                (true, false) => Step::Add,
            },
            // It was sent, may have been, or is no longer kept: never again under this identity.
            _ => Step::Leave { as_: Change::Done, differs },
        }
    }

    /// The instant and the deadline at which a reminder of the file is stored as new.
    pub fn moved(&self, planned: &Planned) -> (Millis, Millis) {
        let deadline = if planned.moves { self.shift } else { 0 };
        (planned.at + self.shift, planned.expires_at + deadline)
    }

    fn is_late(&self, at: Millis, expires_at: Millis) -> bool {
        let may_be_sent = self.unknown.is_some_and(|(from, until)| (from..=until).contains(&at));
        may_be_sent || expires_at <= self.now.max(at) || (at <= self.now && !self.sends_late)
    }
}

impl Planned {
    /// Digest of all that a message and its moment depend on, to tell whether the file says the same as before. `extra` is what the file says
    /// for all of its reminders: template, claim, options.
    pub fn digest(&self, extra: &str) -> i64 {
        let mut hash = Sha256::new();
        let mut text = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        [extra, &self.data, self.page.as_deref().unwrap_or("\0")].into_iter().for_each(&mut text);
        for number in [self.event, self.at, self.expires_at, i64::from(self.moves)] {
            hash.update(number.to_le_bytes());
        }
        let bytes: [u8; 32] = hash.finalize().into();
        i64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_known_again_whatever_became_of_its_reminder() {
        let known = |state, digest, doubtful, same_user| Some(Known { digest, state, doubtful, same_user });
        let waits = |digest| known(Some(State::Scheduled), digest, false, true);
        let leave = |as_| Step::Leave { as_, differs: false };
        let differs = Step::Leave { as_: Change::Done, differs: true };
        let (ahead, past) = (2_000, 500);
        let table = [
            (None, ahead, Step::Add),
            (None, past, leave(Change::Late)),
            (waits(1), ahead, leave(Change::Same)),
            (waits(1), past, leave(Change::Same)),
            (waits(2), ahead, Step::Update),
            (waits(2), past, Step::Withdraw),
            (known(Some(State::Scheduled), 1, false, false), ahead, Step::Replace),
            // An operator wants it sent again: it may have arrived.
            (known(Some(State::Scheduled), 1, true, true), ahead, leave(Change::Done)),
            (known(Some(State::Sending), 1, false, true), ahead, leave(Change::Done)),
            (known(Some(State::InDoubt), 2, true, true), ahead, differs),
            (known(Some(State::Sent), 1, false, true), past, leave(Change::Done)),
            (known(Some(State::Sent), 1, false, false), ahead, differs),
            (known(Some(State::Unconfirmed), 2, false, true), ahead, differs),
            (known(None, 2, false, true), ahead, differs),
            (known(Some(State::Failed), 1, false, true), ahead, leave(Change::Ended)),
            (known(Some(State::Failed), 2, false, true), ahead, Step::Add),
            (known(Some(State::Expired), 2, false, true), past, leave(Change::Late)),
            (known(Some(State::Cancelled), 2, false, true), ahead, Step::Add),
        ];
        let terms = Terms { now: 1_000, sends_late: false, shift_ends: false, shift: 0, unknown: None };
        for (known, at, step) in table {
            assert_eq!(terms.step(known, 1, at, 9_000), step, "{known:?} at {at}");
        }
        let sends_late = Terms { sends_late: true, ..terms };
        assert_eq!(sends_late.step(None, 1, past, 9_000), Step::Add);
        assert_eq!(sends_late.step(None, 1, past, 1_000), leave(Change::Late), "its deadline has passed");
        let restored = Terms { unknown: Some((400, 600)), ..sends_late };
        assert_eq!(restored.step(None, 1, past, 9_000), leave(Change::Late), "it may have been sent");
        assert_eq!(terms.step(None, 1, ahead, ahead), leave(Change::Late), "a shift has moved it to its deadline");
        let shifted = Terms { shift_ends: true, ..terms };
        assert_eq!(shifted.step(waits(1), 1, ahead, 9_000), Step::Update, "another file ends a shift");
    }
}
