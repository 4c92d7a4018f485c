//! Lists that plans and loads are made from: what a schedule has planned, who has consented, who holds consents.

use super::{
    Store,
    dialect::int,
    error::StoreError,
    planned::Loading,
    reasons,
    states::{LAST_REASON, LIVING},
    tx::bound,
};
use crate::domain::{Millis, reason::Reason, reminder::ReminderId};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use std::collections::HashMap;

/// An identity that a schedule has planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The row's key.
    pub key: String,
    /// Its occasion.
    pub occasion: String,
    /// Its occurrence; empty where there is none.
    pub occurrence: String,
    /// Its reminder.
    pub reminder: ReminderId,
}

/// A reminder that waits though its file no longer has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Which.
    pub reminder: ReminderId,
    /// The row's key.
    pub key: String,
    /// Its occasion.
    pub occasion: String,
    /// Its occurrence; empty where there is none.
    pub occurrence: String,
    /// The user.
    pub openid: String,
    /// The instant.
    pub at: Millis,
    /// The deadline.
    pub expires_at: Millis,
    /// It holds a consent, which is free when it is removed.
    pub holds: bool,
}

/// Somebody whom an occurrence has reached, or is to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Their reminder.
    pub reminder: ReminderId,
    /// Its instant.
    pub at: Millis,
    /// The user.
    pub openid: String,
}

impl Store {
    /// What a schedule has planned, in order of key, occasion and occurrence, after these.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn identities(
        &self,
        schedule: i64,
        after: (&str, &str, &str),
        limit: i64,
    ) -> Result<Vec<Identity>, StoreError> {
        let rows = sqlx::query(
            "SELECT key, occasion, occurrence, reminder FROM planned WHERE schedule = $1 AND (key, occasion, occurrence) > ($2, $3, $4)
             ORDER BY key, occasion, occurrence LIMIT $5",
        )
        .bind(schedule)
        .bind(after.0)
        .bind(after.1)
        .bind(after.2)
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        let identity = |row: &AnyRow| Identity {
            key: row.get("key"),
            occasion: row.get("occasion"),
            occurrence: row.get("occurrence"),
            reminder: ReminderId(row.get("reminder")),
        };
        Ok(rows.iter().map(identity).collect())
    }

    /// Those of some identities whose reminders wait.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn waiting_of(&self, identities: &[Identity]) -> Result<Vec<Left>, StoreError> {
        if identities.is_empty() {
            return Ok(Vec::new());
        }
        let cells = identities.iter().map(|i| {
            [i.reminder.0.into(), i.key.as_str().into(), i.occasion.as_str().into(), i.occurrence.as_str().into()]
        });
        let rows = self.database.dialect.rows(["id", "key", "occasion", "occurrence"], cells);
        let sql = format!(
            "SELECT r.id, r.key, r.occasion, r.occurrence, p.openid, m.at, m.expires_at, m.at_fire, m.standing FROM {{rows}} JOIN reminder m ON m.id = r.id
             JOIN recipient p ON p.id = m.recipient {LIVING} WHERE d.state = 0 AND d.doubt_since IS NULL"
        );
        let sql = self.database.dialect.sql(&sql, &rows);
        let found = bound(&sql, &rows).fetch_all(&self.read).await?;
        Ok(found.iter().map(left).collect())
    }

    /// The openids of users, by their numbers.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn openids(&self, users: &[i64]) -> Result<HashMap<i64, String>, StoreError> {
        if users.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.database.dialect.rows(["id"], users.iter().map(|user| [(*user).into()]));
        let sql = self.database.dialect.sql("SELECT p.id, p.openid FROM {rows} JOIN recipient p ON p.id = r.id", &rows);
        let found = bound(&sql, &rows).fetch_all(&self.read).await?;
        Ok(found.iter().map(|row| (row.get("id"), row.get("openid"))).collect())
    }

    /// The reminders of a row of a schedule by its key, at most so many, the latest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn reminders_of_row(&self, schedule: i64, key: &str, most: i64) -> Result<Vec<ReminderId>, StoreError> {
        let sql = "SELECT reminder FROM planned WHERE schedule = $1 AND key = $2 ORDER BY reminder DESC LIMIT $3";
        let rows = sqlx::query(sql).bind(schedule).bind(key).bind(most).fetch_all(&self.read).await?;
        Ok(rows.iter().map(|row| ReminderId(row.get("reminder"))).collect())
    }

    /// What waits of a schedule at `from` and later, in order of (instant, id), after this; fewer than `limit` are the last.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn waiting_of_schedule(
        &self,
        schedule: i64,
        from: Millis,
        after: (Millis, i64),
        limit: i64,
    ) -> Result<Vec<Left>, StoreError> {
        let (at, id) = behind(from, after);
        let sql = format!(
            "SELECT m.id, COALESCE(m.row_key, p.openid) AS key, COALESCE(m.occasion, '') AS occasion, COALESCE(m.occurrence, '') AS occurrence,
                 p.openid, m.at, m.expires_at, m.at_fire, m.standing FROM reminder m JOIN recipient p ON p.id = m.recipient {LIVING}
             WHERE m.schedule = $1 AND (m.at, m.id) > ($2, $3) AND d.state = 0 AND d.doubt_since IS NULL ORDER BY m.at, m.id LIMIT $4"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(schedule).bind(at).bind(id).bind(limit);
        Ok(query.fetch_all(&self.read).await?.iter().map(left).collect())
    }

    /// Whom an occurrence is about: those who have reminders at `from` and later that are known by their identities, wherever these stand, in
    /// order of (instant, id), after this; fewer than `limit` are the last. Somebody with several occasions comes several times; who was
    /// forgotten, or taken off by a load, does not. With `ended`, those come too whose reminders ended with the whole schedule.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn people_of_occurrence(
        &self,
        (schedule, occurrence): (i64, &str),
        ended: bool,
        from: Millis,
        after: (Millis, i64),
        limit: i64,
    ) -> Result<Vec<Reached>, StoreError> {
        let (at, id) = behind(from, after);
        let known =
            "EXISTS (SELECT 1 FROM planned q WHERE q.schedule = m.schedule AND q.key = COALESCE(m.row_key, p.openid)
                 AND q.occasion = COALESCE(m.occasion, '') AND q.occurrence = m.occurrence AND q.reminder = m.id)";
        let is_named = match ended {
            true => format!("({known} OR {LAST_REASON} = $6)"),
            false => known.to_owned(),
        };
        let sql = format!(
            "SELECT m.id, m.at, p.openid FROM reminder m JOIN recipient p ON p.id = m.recipient
             WHERE m.schedule = $1 AND (m.at, m.id) > ($2, $3) AND m.occurrence = $4 AND p.openid NOT LIKE 'forgotten %' AND {is_named}
             ORDER BY m.at, m.id LIMIT $5"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(schedule).bind(at).bind(id).bind(occurrence).bind(limit);
        let query = if ended { query.bind(reasons::stored(&Reason::ScheduleCancelled)) } else { query };
        let reached = |row: &AnyRow| Reached {
            reminder: ReminderId(row.get("id")),
            at: row.get("at"),
            openid: row.get("openid"),
        };
        Ok(query.fetch_all(&self.read).await?.iter().map(reached).collect())
    }

    /// Users with an available consent for a template, in the order in which they became known, after `after`. Answers with the row of each.
    /// A page costs what is on it, however many follow: their names are looked up behind the limit.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn consented(
        &self,
        app: &str,
        template: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        let template = self.names.template(self.names.app(app).id, template);
        let rows = sqlx::query(
            "SELECT u.recipient, p.openid FROM
                 (SELECT DISTINCT c.recipient FROM consent c
                  WHERE c.recipient > $1 AND c.template = $2 AND c.reminder IS NULL AND c.voided_at IS NULL
                      AND (c.ends_at IS NULL OR c.ends_at > $4) ORDER BY c.recipient LIMIT $3) u
             JOIN recipient p ON p.id = u.recipient ORDER BY u.recipient",
        )
        .bind(after)
        .bind(template)
        .bind(limit)
        .bind(self.clock.now())
        .fetch_all(&self.read)
        .await?;
        Ok(rows.iter().map(|row| (row.get("recipient"), row.get("openid"))).collect())
    }

    /// How many reminders hold the consents of these users for a template, by the schedule that they belong to; `None` for those that
    /// belong to none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn held_elsewhere(
        &self,
        loading: &Loading,
        openids: &[&str],
    ) -> Result<Vec<(Option<String>, i64)>, StoreError> {
        if openids.is_empty() {
            return Ok(Vec::new());
        }
        let app = self.names.app(&loading.app).id;
        let template = self.names.template(app, &loading.template);
        let cells = openids.iter().map(|openid| [app.into(), template.into(), (*openid).into()]);
        let rows = self.database.dialect.rows(["app", "template", "openid"], cells);
        let sql = format!(
            "SELECT s.name, COUNT(*) AS n FROM {{rows}} JOIN recipient p ON p.app = r.app AND p.openid = r.openid
             JOIN consent c ON c.recipient = p.id AND c.template = r.template AND c.voided_at IS NULL
             JOIN reminder m ON m.id = c.reminder LEFT JOIN schedule s ON s.id = m.schedule {LIVING}
             WHERE d.id IS NOT NULL AND COALESCE(m.schedule, -1) <> {} GROUP BY s.name ORDER BY s.name",
            loading.schedule.unwrap_or(-2)
        );
        let sql = self.database.dialect.sql(&sql, &rows);
        let found = bound(&sql, &rows).fetch_all(&self.read).await?;
        Ok(found.iter().map(|row| (row.get("name"), int(row, "n"))).collect())
    }
}

fn left(row: &AnyRow) -> Left {
    Left {
        reminder: ReminderId(int(row, "id")),
        key: row.get("key"),
        occasion: row.get("occasion"),
        occurrence: row.get("occurrence"),
        openid: row.get("openid"),
        at: row.get("at"),
        expires_at: row.get("expires_at"),
        holds: row.get::<i64, _>("at_fire") == 0 && row.get::<i64, _>("standing") == 0,
    }
}

/// Where a walk goes on: behind `after`, and not before `from`.
fn behind(from: Millis, after: (Millis, i64)) -> (Millis, i64) {
    after.max((from.saturating_sub(1), i64::MAX))
}
