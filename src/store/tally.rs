//! How many there are of each, by lane and by schedule: changed in the transaction that changes the rows, so that nothing ever counts rows.
//!
//! On PostgreSQL each writer adds to rows of its own slot. What there is of something is the sum over the slots, and one slot alone may be
//! below zero: what one writer has stored another ends.

use super::dialect::Cell;
use crate::domain::{Millis, consent::ConsentState, ledger::Move, reminder::State};
use sqlx::{AnyConnection, Row};
use std::collections::BTreeMap;

/// The name of a consent's state in the table.
fn name(state: ConsentState) -> &'static str {
    match state {
        ConsentState::Available => "consent_available",
        ConsentState::Held => "consent_held",
        ConsentState::Used => "consent_used",
        ConsentState::Void => "consent_void",
    }
}

/// What there is to count of an app beside its reminders.
pub(super) const OTHERS: [&str; 7] = [
    "consent_available",
    "consent_held",
    "consent_used",
    "consent_void",
    "drift",
    "receipt_delivered",
    "receipt_undelivered",
];

/// Where a reminder stands, as its schedule counts it: its state and, where it has ended without being sent, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand<'a> {
    /// Its state.
    pub state: State,
    /// The code of its last outcome.
    pub code: Option<&'a str>,
}

impl From<State> for Stand<'_> {
    /// A living state, which needs no reason.
    fn from(state: State) -> Self {
        Self { state, code: None }
    }
}

impl Stand<'_> {
    /// The name in the table: `scheduled`, `sent`, `failed/no_consent`.
    fn name(self) -> String {
        let Self { state, code } = self;
        match code.filter(|_| state.is_final() && state != State::Sent) {
            Some(code) => format!("{}/{code}", state.word()),
            None => state.word().to_owned(),
        }
    }
}

/// What a transaction changes of the counts. A count is the sum of the moves, so it agrees with the rows (I4).
#[derive(Debug, Default)]
pub(super) struct Tally {
    lanes: BTreeMap<(i64, &'static str), i64>,
    schedules: BTreeMap<(i64, String), i64>,
}

impl Tally {
    /// A consent goes from one state to another.
    pub fn consent(&mut self, lane: i64, Move { from, to }: Move) {
        self.moved(lane, from.map(name), to.map(name));
    }

    /// A reminder goes from one stand to another; `None` is before it was stored, or after it was erased.
    pub fn reminder(&mut self, lane: i64, schedule: Option<i64>, from: Option<Stand<'_>>, to: Option<Stand<'_>>) {
        let word = |stand: Stand<'_>| stand.state.word();
        self.moved(lane, from.map(word), to.map(word));
        let Some(schedule) = schedule else { return };
        for (stand, n) in [(from, -1), (to, 1)] {
            if let Some(stand) = stand {
                *self.schedules.entry((schedule, stand.name())).or_default() += n;
            }
        }
    }

    /// A receipt comes, or goes with its reminder.
    pub fn receipt(&mut self, lane: i64, failed: bool, comes: bool) {
        let name = if failed { "receipt_undelivered" } else { "receipt_delivered" };
        if comes { self.moved(lane, None, Some(name)) } else { self.moved(lane, Some(name), None) }
    }

    /// The ledger had a consent that the platform does not know.
    pub fn drift(&mut self, lane: i64) {
        self.moved(lane, None, Some("drift"));
    }

    fn moved(&mut self, lane: i64, from: Option<&'static str>, to: Option<&'static str>) {
        for (name, n) in [(from, -1), (to, 1)] {
            if let Some(name) = name {
                *self.lanes.entry((lane, name)).or_default() += n;
            }
        }
    }

    /// The columns (lane, name, n) of what has changed.
    pub fn cells(&self) -> impl Iterator<Item = [Cell<'static>; 3]> {
        let changed = self.lanes.iter().filter(|(_, n)| **n != 0);
        changed.map(|((lane, name), n)| [(*lane).into(), (*name).into(), (*n).into()])
    }

    /// The columns (schedule, name, n) of what has changed.
    pub fn cells_of_schedules(&self) -> impl Iterator<Item = [Cell<'_>; 3]> {
        let changed = self.schedules.iter().filter(|(_, n)| **n != 0);
        changed.map(|((schedule, name), n)| [(*schedule).into(), name.as_str().into(), (*n).into()])
    }
}

/// How far the store has come: the instant of its last commit, raised where two would be equal or the clock was set back. `None` for a
/// store that has not written it down yet.
pub(super) async fn reached(conn: &mut AnyConnection) -> sqlx::Result<Option<Millis>> {
    let row = sqlx::query("SELECT MAX(n) AS n FROM tally WHERE lane = 0 AND name = 'progress'").fetch_one(conn).await?;
    Ok(row.get("n"))
}
