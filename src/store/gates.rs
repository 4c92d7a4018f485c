//! The gates of the schedules, kept in memory: a pause is one row that is written, however many reminders wait behind it.
//!
//! They are read at the start and again in each commit that changes a schedule, so that the engine sees what is stored.

use super::{Store, error::StoreError, states::LIVING_WORDS};
use crate::domain::{
    Millis,
    gate::{Gate, Quiet},
    timing::QuietHours,
};
use sqlx::{AnyConnection, AssertSqlSafe, Row, any::AnyRow};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, RwLock},
};

/// What everybody who sends or shows reminders must know of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: Arc<str>,
    /// Its app's first lane.
    pub home: i64,
    /// Its gate.
    pub gate: Gate,
}

/// All schedules, by their small integers, and the apps that an operator has paused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gates {
    known: BTreeMap<i64, Known>,
    /// By their first lanes: since when.
    paused: BTreeMap<i64, Millis>,
}

impl Gates {
    /// The gate of a reminder that comes from this schedule, or from none.
    pub fn of(&self, schedule: Option<i64>) -> Gate {
        schedule.and_then(|id| self.known.get(&id)).map_or_else(Gate::default, |known| known.gate)
    }

    /// The same of an app, which its first lane stands for here and below: where it is paused, every gate is closed.
    pub fn here(&self, home: i64, schedule: Option<i64>) -> Gate {
        let gate = self.of(schedule);
        Gate { closed: gate.closed || self.paused.contains_key(&home), ..gate }
    }

    /// Since when an operator has paused an app.
    pub fn paused_since(&self, home: i64) -> Option<Millis> {
        self.paused.get(&home).copied()
    }

    /// The gates of an app's schedules that differ from the plain one.
    pub fn of_app(&self, home: i64) -> impl Iterator<Item = (i64, Gate)> {
        let here = self.known.iter().filter(move |(_, known)| known.home == home && !known.gate.is_plain());
        here.map(|(id, known)| (*id, known.gate))
    }

    /// The schedules of an app that are closed now for a reason of their own: not by their app's quiet hours.
    pub fn closed(&self, home: i64, now: Millis) -> BTreeSet<i64> {
        self.of_app(home).filter(|(_, gate)| !gate.is_open(None, now)).map(|(id, _)| id).collect()
    }

    /// What a schedule is called.
    pub fn name(&self, schedule: i64) -> Option<Arc<str>> {
        self.known.get(&schedule).map(|known| Arc::clone(&known.name))
    }

    /// The schedule of a name.
    pub fn find(&self, name: &str) -> Option<i64> {
        self.known.iter().find(|(_, known)| &*known.name == name).map(|(id, _)| *id)
    }
}

/// Where the gates are kept.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<RwLock<Arc<Gates>>>);

impl Kept {
    /// As they are now.
    pub fn get(&self) -> Arc<Gates> {
        Arc::clone(&self.0.read().expect("nobody panics while writing them"))
    }

    /// Schedules have changed, and that is committed.
    pub fn change(&self, changed: impl IntoIterator<Item = (i64, Known)>) {
        let mut changed = changed.into_iter().peekable();
        if changed.peek().is_some() {
            let mut kept = self.0.write().expect("nobody panics while writing them");
            Arc::make_mut(&mut kept).known.extend(changed);
        }
    }

    /// All of them, as they were just read.
    pub fn replace(&self, gates: Gates) {
        let mut kept = self.0.write().expect("nobody panics while writing them");
        if **kept != gates {
            *kept = Arc::new(gates);
        }
    }
}

/// The columns of a [`Known`]. Of a cancelled schedule of which nothing lives the gate holds nothing back, so it needs none.
fn columns() -> String {
    format!(
        "s.id, s.name, (SELECT l.id FROM lane l WHERE l.app = s.app AND l.shard = 0) AS home, s.quiet, s.zone, s.paused_at, s.task,
         (SELECT CAST(NULLIF(SUM(t.n), 0) AS BIGINT) FROM schedule_tally t
          WHERE t.schedule = s.id AND t.name IN ({LIVING_WORDS}) AND s.cancelled_at IS NOT NULL) AS cancelled"
    )
}

fn known(row: &AnyRow) -> (i64, Known) {
    let is_there = |column: &str| row.get::<Option<i64>, _>(column).is_some();
    let task: Option<String> = row.get("task");
    // As `TaskKind::closes_gate` says, which stands above this file.
    let changes = task.is_some_and(|task| matches!(&*task, "shift" | "cancel"));
    let quiet = match row.get::<Option<String>, _>("quiet").as_deref() {
        None => Quiet::App,
        Some(NO_QUIET_HOURS) => Quiet::None,
        // They were read when the file was loaded.
        Some(text) => {
            let zone = row.get::<String, _>("zone").parse().ok();
            let hours = zone.and_then(|zone| QuietHours::parse(text, zone).ok());
            hours.map_or(Quiet::App, Quiet::Own)
        }
    };
    let gate = Gate { closed: is_there("paused_at") || is_there("cancelled") || changes, quiet };
    let name: String = row.get("name");
    (row.get("id"), Known { name: name.into(), home: row.get("home"), gate })
}

/// `schedule.quiet` of one that has no quiet hours, whatever its app has.
pub(super) const NO_QUIET_HOURS: &str = "none";

/// `audit.action` of the pause of an app; `audit.detail` is its name.
pub(super) const PAUSE: &str = "pause_app";
/// The same of its end.
pub(super) const RESUME: &str = "resume_app";
/// The rows of both.
pub(super) const OF_APPS: &str = "action IN ('pause_app', 'resume_app')";

/// The first lanes of the apps that are paused, and since when.
async fn paused(conn: &mut AnyConnection) -> sqlx::Result<BTreeMap<i64, Millis>> {
    // The actions stand in the text, or the index of them would not be used.
    let sql = format!(
        "SELECT l.id AS lane, u.at FROM (SELECT MAX(id) AS id FROM audit WHERE {OF_APPS} GROUP BY detail) last
         JOIN audit u ON u.id = last.id JOIN app a ON a.name = u.detail JOIN lane l ON l.app = a.id AND l.shard = 0 WHERE u.action = $1"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(PAUSE).fetch_all(conn).await?;
    Ok(rows.iter().map(|row| (row.get("lane"), row.get("at"))).collect())
}

/// Reads all gates.
pub(super) async fn read(conn: &mut AnyConnection) -> sqlx::Result<Gates> {
    let sql = format!("SELECT {} FROM schedule s", columns());
    let known = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *conn).await?.iter().map(known).collect();
    Ok(Gates { known, paused: paused(conn).await? })
}

/// Reads the gate of one schedule.
pub(super) async fn read_one(conn: &mut AnyConnection, schedule: i64) -> sqlx::Result<Option<(i64, Known)>> {
    let sql = format!("SELECT {} FROM schedule s WHERE s.id = $1", columns());
    let row = sqlx::query(AssertSqlSafe(sql)).bind(schedule).fetch_optional(conn).await?;
    Ok(row.as_ref().map(known))
}

impl Store {
    /// The gates of all schedules, as the last commit left them.
    pub fn gates(&self) -> Arc<Gates> {
        self.gates.get()
    }

    /// What a schedule is called.
    pub fn schedule_name(&self, schedule: i64) -> Option<Arc<str>> {
        self.gates.get().name(schedule)
    }

    /// Reads the gates again, in case the answer to a commit was lost.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read_gates(&self) -> Result<(), StoreError> {
        let mut conn = self.read.acquire().await?;
        self.gates.replace(read(&mut conn).await?);
        Ok(())
    }
}
