//! How many there are of each, by lane: changed in the transaction that changes the rows, so that nothing ever counts rows.

use super::{Store, StoreError, dialect::Cell};
use crate::domain::{consent::ConsentState, ledger::Move, reminder::State};
use sqlx::Row;
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
const OTHERS: [&str; 7] = [
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

impl Store {
    /// How many there are: each state's word, and `consent_available` and its like, by app.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn tally(&self) -> Result<BTreeMap<String, BTreeMap<String, i64>>, StoreError> {
        let rows = sqlx::query("SELECT lane, name, n FROM tally").fetch_all(&self.read).await?;
        let mut tally: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        for name in self.names.apps.keys() {
            let words = State::ALL.into_iter().map(State::word);
            tally.insert(name.clone(), words.chain(OTHERS).map(|word| (word.to_owned(), 0)).collect());
        }
        for row in rows {
            if let Some(app) = tally.get_mut(self.names.app_of_lane(row.get("lane"))) {
                app.insert(row.get("name"), row.get("n"));
            }
        }
        Ok(tally)
    }

    /// Apps that the configuration no longer names, with the number of their living reminders.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn unconfigured(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let tally = self.tally().await?;
        let living = |counts: &BTreeMap<String, i64>| {
            State::ALL.iter().filter(|s| !s.is_final()).filter_map(|s| counts.get(s.word())).sum()
        };
        let unconfigured = tally.iter().filter(|(app, _)| !self.names.configured.contains(*app));
        Ok(unconfigured.map(|(app, counts)| (app.clone(), living(counts))).filter(|(_, n)| *n > 0).collect())
    }
}
