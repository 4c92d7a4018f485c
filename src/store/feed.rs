//! What calendars show, in SQL: the occurrences of schedules, and those schedules that have none, nearest to now first.

use super::{Store, dialect::Dialect, error::StoreError};
use crate::domain::{Millis, schedule::Upcoming};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use std::collections::HashSet;

/// What a calendar shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// In the order of their beginnings.
    pub appointments: Vec<Appointment>,
    /// There are others that lie farther away.
    pub cut: bool,
}

/// An entry of a calendar: an occurrence of a schedule, or a whole schedule that has no occurrences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appointment {
    /// The schedule's name.
    pub schedule: String,
    /// Its app.
    pub app: String,
    /// Its zone.
    pub zone: String,
    /// The occurrence's wall time or its event's key; `None` for a whole schedule.
    pub occurrence: Option<String>,
    /// When it takes place. Of a whole schedule, when its first message goes.
    pub starts_at: Millis,
    /// When its last message goes, for a whole schedule.
    pub ends_at: Option<Millis>,
    /// When its first and its last message go, as far as that is known.
    pub instants: Option<(Millis, Millis)>,
    /// It is prepared later.
    pub is_later: bool,
    /// How many people have a message of it, as far as that is known.
    pub people: Option<i64>,
    /// Its messages do not go any more.
    pub cancelled: bool,
    /// Its messages wait until somebody resumes the schedule.
    pub paused: bool,
    /// When it was changed last.
    pub changed_at: Millis,
}

/// Of which time a feed is, and how long it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Nothing that had ended before this.
    pub from: Millis,
    /// Those that lie nearest to this.
    pub now: Millis,
    /// At most so many.
    pub most: usize,
}

/// The columns of a schedule that an appointment needs.
const SCHEDULE: &str =
    "s.id, s.name AS schedule, s.app, s.zone, s.created_at, s.loaded_at, s.paused_at, s.cancelled_at";

impl Dialect {
    /// How many people have a message of a schedule, as its last load counted.
    fn reminded(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(s.report ->> '$.reach.reminded' AS INTEGER)",
            Self::Postgres => "CAST(CAST(s.report AS jsonb) #>> '{reach,reminded}' AS BIGINT)",
        }
    }
}

impl Store {
    /// What a calendar shows of these apps; of all without any.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn feed(&self, apps: Option<&[String]>, window: Window) -> Result<Feed, StoreError> {
        let of_apps = self.of_apps(apps);
        let mut found = self.prepared(&of_apps, window).await?;
        let prepared: HashSet<(String, Option<String>)> =
            found.iter().map(|one| (one.schedule.clone(), one.occurrence.clone())).collect();
        let others = self.whole_and_upcoming(&of_apps, window).await?;
        found.extend(
            others.into_iter().filter(|one| !prepared.contains(&(one.schedule.clone(), one.occurrence.clone()))),
        );
        Ok(nearest(found, window))
    }

    /// The condition on the schedule's app.
    fn of_apps(&self, apps: Option<&[String]>) -> String {
        let Some(apps) = apps else { return String::new() };
        // A key may name apps that the store has never seen.
        let ids = apps.iter().filter_map(|app| self.names.apps.get(app)).map(|place| place.id.to_string());
        let ids: Vec<String> = ids.collect();
        format!("AND s.app IN ({})", if ids.is_empty() { "NULL".into() } else { ids.join(", ") })
    }

    /// The occurrences whose reminders are stored, one more than are wanted on each side of now.
    async fn prepared(&self, of_apps: &str, window: Window) -> Result<Vec<Appointment>, StoreError> {
        let Window { from, now, most } = window;
        let most = i64::try_from(most).unwrap_or(i64::MAX - 1) + 1;
        let mut found = Vec::new();
        for (since, until, order) in [(now, i64::MAX, "ASC"), (from, now, "DESC")] {
            let sql = format!(
                "SELECT {SCHEDULE}, o.name, o.event_at, o.first_at, o.last_at, o.begun_at, o.prepared_at, o.people
                 FROM occurrence o JOIN schedule s ON s.id = o.schedule WHERE o.event_at >= $1 AND o.event_at < $2 {of_apps}
                 ORDER BY o.event_at {order}, o.schedule, o.name LIMIT $3"
            );
            let rows = sqlx::query(AssertSqlSafe(sql)).bind(since).bind(until).bind(most).fetch_all(&self.read).await?;
            found.extend(rows.iter().map(|row| {
                let instants = (row.get("first_at"), row.get("last_at"));
                let prepared_at: Option<Millis> = row.get("prepared_at");
                Appointment {
                    occurrence: Some(row.get("name")),
                    instants: Some(instants),
                    people: prepared_at.map(|_| row.get("people")),
                    changed_at: changed_at(row).max(row.get("begun_at")).max(prepared_at.unwrap_or_default()),
                    ..self.appointment(row, row.get("event_at"), instants.1)
                }
            }));
        }
        Ok(found)
    }

    /// Schedules that have no occurrences, and the occurrences to come of those that have.
    async fn whole_and_upcoming(&self, of_apps: &str, window: Window) -> Result<Vec<Appointment>, StoreError> {
        let sql = format!(
            "SELECT {SCHEDULE}, s.first_at, s.last_at, s.upcoming, CASE WHEN s.kept_text IS NULL THEN 0 ELSE 1 END AS recurs,
                    CASE WHEN s.upcoming IS NULL THEN {} END AS people
             FROM schedule s WHERE (s.upcoming IS NOT NULL OR (s.kept_text IS NULL AND s.last_at >= $1
                 AND NOT EXISTS (SELECT 1 FROM occurrence o WHERE o.schedule = s.id))) {of_apps} ORDER BY s.id",
            self.database.dialect.reminded()
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(window.from).fetch_all(&self.read).await?;
        let mut found = Vec::new();
        for row in &rows {
            if let Some(upcoming) = row.get::<Option<String>, _>("upcoming") {
                found.extend(self.upcoming(row, &upcoming, window.now));
            } else if let (Some(first), Some(last)) = (row.get("first_at"), row.get("last_at")) {
                let whole = self.appointment(row, first, last);
                found.push(Appointment {
                    ends_at: Some(last),
                    instants: Some((first, last)),
                    people: row.get("people"),
                    ..whole
                });
            }
        }
        Ok(found)
    }

    fn upcoming(&self, row: &AnyRow, json: &str, now: Millis) -> Vec<Appointment> {
        let upcoming: Vec<Upcoming> = serde_json::from_str(json).unwrap_or_default();
        // An event that is loaded, and for which nobody has signed up, is not waited for.
        let nobody = (super::dialect::int(row, "recurs") == 0).then_some(0);
        let ahead = upcoming.into_iter().filter(|one| one.event >= now);
        let appointment = |one: Upcoming| Appointment {
            occurrence: Some(one.name),
            people: nobody,
            instants: one.instants.filter(|_| nobody.is_none()),
            is_later: nobody.is_none(),
            ..self.appointment(row, one.event, one.instants.map_or(one.event, |(_, last)| last))
        };
        ahead.map(appointment).collect()
    }

    /// An appointment whose last message goes at `last`.
    fn appointment(&self, row: &AnyRow, starts_at: Millis, last: Millis) -> Appointment {
        let before = |column: &str| row.get::<Option<Millis>, _>(column).is_some_and(|at| at < last);
        Appointment {
            schedule: row.get("schedule"),
            app: self.names.app_of_id(row.get("app")).to_owned(),
            zone: row.get("zone"),
            occurrence: None,
            starts_at,
            ends_at: None,
            instants: None,
            is_later: false,
            people: None,
            cancelled: before("cancelled_at"),
            paused: before("paused_at"),
            changed_at: changed_at(row),
        }
    }
}

/// When somebody did something to the schedule last, as far as it is known.
fn changed_at(row: &AnyRow) -> Millis {
    let times = ["loaded_at", "paused_at", "cancelled_at"].map(|column| row.get::<Option<Millis>, _>(column));
    times.into_iter().flatten().fold(row.get("created_at"), Millis::max)
}

/// Those that lie nearest to now, in the order of their beginnings.
fn nearest(mut found: Vec<Appointment>, window: Window) -> Feed {
    let distance = |one: &Appointment| match one.ends_at {
        Some(ends_at) if one.starts_at <= window.now && ends_at >= window.now => 0,
        Some(ends_at) => one.starts_at.abs_diff(window.now).min(ends_at.abs_diff(window.now)),
        None => one.starts_at.abs_diff(window.now),
    };
    let cut = found.len() > window.most;
    if cut {
        found.sort_by(|a, b| (distance(a), &a.schedule, &a.occurrence).cmp(&(distance(b), &b.schedule, &b.occurrence)));
        found.truncate(window.most);
    }
    found.sort_by(|a, b| (a.starts_at, &a.schedule, &a.occurrence).cmp(&(b.starts_at, &b.schedule, &b.occurrence)));
    Feed { appointments: found, cut }
}
