//! How a schedule went, counted over its reminders.

use super::{
    Store,
    dialect::unpack,
    error::StoreError,
    lists::SLICE,
    states::{LAST_STATE, LIVING, living_state},
};
use crate::domain::{MINUTE, Millis, reminder::State};
use serde::Deserialize;
use sqlx::AssertSqlSafe;
use std::collections::{BTreeMap, HashMap};

/// All zones are whole quarters of an hour away from UTC, so that quarters can be put together to the hours of any.
pub const QUARTER: Millis = 15 * MINUTE;

/// What was counted of a schedule.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Went {
    /// Reminders by the quarter of an hour in which they ended, or are due, and by where they stand.
    pub quarters: BTreeMap<(Millis, &'static str), i64>,
    /// Users with a reminder.
    pub people: i64,
    /// Users to whom one was sent.
    pub sent: i64,
    /// Users to whom one was delivered, as far as the platform has said so.
    pub delivered: i64,
    /// Receipts that say that a message was delivered, and that it was not.
    pub receipts: (i64, i64),
}

/// A row: at, id, recipient, the living row's state and instant, the last outcome's state and time, what the receipt says.
#[derive(Deserialize)]
struct Row(Millis, i64, i64, Option<i64>, Option<Millis>, Option<String>, Option<Millis>, Option<String>);

const COLUMNS: [&str; 8] = [
    "m.at",
    "m.id",
    "m.recipient",
    "d.state",
    "d.due_at",
    LAST_STATE,
    "(SELECT x.ended_at FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id ORDER BY x.fence DESC LIMIT 1)",
    "(SELECT COALESCE(q.failure, '') FROM receipt q WHERE q.lane = m.lane AND q.at = m.at AND q.id = m.id)",
];

/// What is known of a user.
const SENT: u8 = 1;
const DELIVERED: u8 = 2;

impl Store {
    /// Counts a schedule's reminders, slice by slice: what ends meanwhile may or may not be counted as ended. Some 30 bytes of memory a user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn schedule_went(&self, schedule: i64) -> Result<Went, StoreError> {
        let from = format!(
            "FROM (SELECT * FROM reminder o WHERE o.schedule = $1 AND (o.at, o.id) > ($2, $3) ORDER BY o.at, o.id LIMIT {SLICE}) m {LIVING}"
        );
        let sql = self.database.dialect.packed(&COLUMNS, &from);
        let (mut went, mut users, mut after) = (Went::default(), HashMap::<i64, u8>::new(), (Millis::MIN, i64::MIN));
        loop {
            let query = sqlx::query(AssertSqlSafe(sql.clone())).bind(schedule).bind(after.0).bind(after.1);
            let rows: Vec<Row> = unpack(&query.fetch_one(&self.read).await?)?;
            let n = rows.len();
            for Row(at, id, recipient, living, due_at, last, ended_at, receipt) in rows {
                after = after.max((at, id));
                let state = match living {
                    Some(number) => living_state(number),
                    None => last.as_deref().and_then(State::from_word).unwrap_or(State::Cancelled),
                };
                let instant = if state.is_final() { ended_at } else { due_at }.unwrap_or(at);
                *went.quarters.entry((instant.div_euclid(QUARTER) * QUARTER, state.word())).or_default() += 1;
                let known = users.entry(recipient).or_default();
                *known |= if state == State::Sent { SENT } else { 0 };
                match receipt.as_deref() {
                    Some("") => {
                        *known |= DELIVERED;
                        went.receipts.0 += 1;
                    }
                    Some(_) => went.receipts.1 += 1,
                    None => {}
                }
            }
            if n < SLICE {
                let of = |what: u8| users.values().filter(|known| **known & what != 0).count() as i64;
                (went.people, went.sent, went.delivered) = (users.len() as i64, of(SENT), of(DELIVERED));
                return Ok(went);
            }
        }
    }
}
