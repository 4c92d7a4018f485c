//! Where a reminder stands, in SQL: the living ones by a number in `due.state`, the ended ones by the word of their last outcome.

use super::dialect::Cell;
use crate::domain::{due::Due, reminder::State};
use sqlx::{Row, any::AnyRow};

/// `due.state` of a reminder that waits.
pub(super) const SCHEDULED: i64 = 0;
/// `due.state` of one that is being sent.
pub(super) const SENDING: i64 = 1;
/// `due.state` of one whose request may have arrived.
pub(super) const IN_DOUBT: i64 = 2;

/// The words of the living states, as counts name them.
pub(super) const LIVING_WORDS: &str = "'scheduled', 'sending', 'in_doubt'";

/// The number of a living state in `due.state`.
pub(super) fn state_number(state: State) -> i64 {
    match state {
        State::Sending => SENDING,
        State::InDoubt => IN_DOUBT,
        _ => SCHEDULED,
    }
}

/// The living state of a number in `due.state`.
pub(super) fn living_state(number: i64) -> State {
    match number {
        SENDING => State::Sending,
        IN_DOUBT => State::InDoubt,
        _ => State::Scheduled,
    }
}

/// Joins the living row `d` of the reminder `m`: a retry or a doubt has moved it, and its last outcome says where to.
pub(super) const LIVING: &str = "LEFT JOIN due d ON d.lane = m.lane AND d.id = m.id AND d.due_at = COALESCE(
    (SELECT x.next_at FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id ORDER BY x.fence DESC LIMIT 1), m.at)";

/// The state after the last thing that happened to the reminder `m`.
pub(super) const LAST_STATE: &str = "(SELECT x.state FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id ORDER BY x.fence DESC LIMIT 1)";

/// Why the reminder `m` is where it is, as stored.
pub(super) const LAST_REASON: &str = "(SELECT x.reason FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id ORDER BY x.fence DESC LIMIT 1)";

/// Where a reminder stands, by the state of its living row or by the word that its last outcome says.
pub(super) fn state(row: &AnyRow) -> State {
    match row.get::<Option<i64>, _>("state") {
        Some(number) => living_state(number),
        None => row.get::<Option<String>, _>("ended").as_deref().and_then(State::from_word).unwrap_or(State::Cancelled),
    }
}

/// The columns that name a row of `due` as it is expected to be.
pub(super) const KEY: [&str; 5] = ["lane", "due_at", "id", "state", "fence"];

/// A row of `due` by these columns.
pub(super) fn key<'a>(lane: i64, due: &Due) -> [Cell<'a>; 5] {
    [lane.into(), due.due_at.into(), due.id.0.into(), state_number(due.state).into(), due.fence.into()]
}
