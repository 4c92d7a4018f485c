//! What goes out between two times, counted by quarters of an hour.

use super::{Store, error::StoreError, schedule_report::QUARTER};
use crate::domain::{Millis, reminder::State};
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;

/// How many reminders stand where, by the quarter of an hour of their instants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quarters {
    /// Those that were counted.
    pub n: BTreeMap<(Millis, &'static str), i64>,
    /// There are more: only the earliest were counted.
    pub partial: bool,
}

impl Store {
    /// Counts an app's reminders whose instants lie from `from` on and before `to`: in each lane at most so many that wait, and so many that have
    /// ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn quarters(&self, app: &str, from: Millis, to: Millis, most: i64) -> Result<Quarters, StoreError> {
        let lanes = self.names.lanes_of(app);
        let mut quarters = Quarters::default();
        let waiting = "SELECT due_at AS at, 'scheduled' AS state FROM due WHERE lane = $1 AND due_at >= $2 AND due_at < $3 ORDER BY due_at";
        let ended =
            "SELECT at, state FROM outcome WHERE lane = $1 AND at >= $2 AND at < $3 AND next_at IS NULL ORDER BY at";
        for rows in [waiting, ended] {
            let sql = format!(
                "SELECT x.at / {QUARTER} AS quarter, x.state, COUNT(*) AS n FROM ({rows} LIMIT {most}) x GROUP BY x.at / {QUARTER}, x.state"
            );
            for lane in &lanes {
                let query = sqlx::query(AssertSqlSafe(&*sql)).bind(lane).bind(from).bind(to);
                let mut counted = 0;
                for row in query.fetch_all(&self.read).await? {
                    let (quarter, n): (i64, i64) = (row.get("quarter"), row.get("n"));
                    let state = State::from_word(row.get("state")).map_or("scheduled", State::word);
                    *quarters.n.entry((quarter * QUARTER, state)).or_default() += n;
                    counted += n;
                }
                quarters.partial |= counted >= most;
            }
        }
        Ok(quarters)
    }
}
