//! How many there are of each, by lane: changed in the transaction that changes the rows, so that nothing ever counts rows.

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

/// What a transaction changes of the counts. A count is the sum of the moves, so it agrees with the rows (I4).
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<(i64, &'static str), i64>);

impl Tally {
    /// A consent goes from one state to another.
    pub fn consent(&mut self, lane: i64, Move { from, to }: Move) {
        self.moved(lane, from.map(name), to.map(name));
    }

    /// A reminder goes from one state to another; `None` is before it was stored, or after it was erased.
    pub fn reminder(&mut self, lane: i64, from: Option<State>, to: Option<State>) {
        self.moved(lane, from.map(State::word), to.map(State::word));
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
                *self.0.entry((lane, name)).or_default() += n;
            }
        }
    }

    /// The columns (lane, name, n) of what has changed.
    pub fn cells(&self) -> impl Iterator<Item = [Cell<'static>; 3]> {
        let changed = self.0.iter().filter(|(_, n)| **n != 0);
        changed.map(|((lane, name), n)| [(*lane).into(), (*name).into(), (*n).into()])
    }
}

/// How far the store has come: the instant of its last commit, raised where two would be equal or the clock was set back. `None` for a
/// store that has not written it down yet.
pub(super) async fn reached(conn: &mut AnyConnection) -> sqlx::Result<Option<Millis>> {
    let row = sqlx::query("SELECT n FROM tally WHERE lane = 0 AND name = 'progress'").fetch_optional(conn).await?;
    Ok(row.map(|row| row.get("n")))
}
