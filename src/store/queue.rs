//! The store as the engine sees it: what is due is read, and marks and settlements go to the writer.

use super::{
    Store,
    command::Command,
    dialect::{Dialect, unpack},
    error::StoreError,
    gates::Gates,
    port::{Asked, Body, Entry, Job, Marked, Next, OnCommit, Open, Queue},
    states::{SENDING, living_state},
};
use crate::domain::{
    Millis,
    due::Due,
    node::NodeId,
    reminder::{Claim, ReminderId},
    settle::SUSPENDED_AT_MOST,
    template::Listing,
};
use serde::Deserialize;
use sqlx::{AnyPool, AssertSqlSafe, Row};
use std::{collections::BTreeSet, sync::Arc};

/// A job as the database packs it: a page comes as one value, since each row costs a change of threads and a copy of every column.
#[derive(Deserialize)]
struct Packed(
    i64,
    Millis,
    i64,
    i64,
    i64,
    u32,
    u32,
    Option<Millis>,
    Option<i64>,
    Millis,
    Millis,
    i64,
    i64,
    i64,
    i64,
    String,
    Option<String>,
    String,
    Option<String>,
    Option<String>,
    Option<i64>,
);

/// The columns of [`Packed`]: of the living row, the reminder and the user.
const JOB: [&str; 21] = [
    "d.lane",
    "d.due_at",
    "d.id",
    "d.state",
    "d.fence",
    "d.tries",
    "d.unsure",
    "d.doubt_since",
    "d.schedule",
    "m.at",
    "m.expires_at",
    "m.recipient",
    "m.template",
    "m.at_fire",
    "m.standing",
    "p.openid",
    "m.page",
    "m.data",
    "m.lang",
    "m.miniprogram_state",
    MARKER,
];

/// Who marked a row. SQLite has one daemon, and no such column.
const MARKER: &str = "d.node";

/// The same for a job that ends without a call: its body is not read.
fn without_body() -> [&'static str; 21] {
    let mut columns = JOB;
    columns[16..20].copy_from_slice(&["NULL", "''", "NULL", "NULL"]);
    columns
}

impl From<Packed> for Job {
    fn from(packed: Packed) -> Self {
        let Packed(lane, due_at, id, state, fence, tries, unsure, doubt_since, schedule, at, expires_at, ..) = packed;
        let Packed(.., recipient, template, at_fire, standing, openid, page, data, lang, miniprogram_state, marker) =
            packed;
        let state = living_state(state);
        let options = [("lang", lang), ("miniprogram_state", miniprogram_state)];
        let options = options.into_iter().filter_map(|(name, chosen)| Some((name, chosen?))).collect();
        Self {
            due: Due { id: ReminderId(id), due_at, at, expires_at, state, fence, tries, unsure, doubt_since },
            lane,
            recipient,
            template,
            claim: if at_fire != 0 { Claim::AtFire } else { Claim::Reserve },
            standing: standing != 0,
            schedule,
            blind: false,
            marker: marker.map(NodeId),
            epoch: None,
            body: Arc::new(Body { openid, page, data, options }),
        }
    }
}

/// Reads the jobs that `from` brings with these columns; `parameters` are bound to it.
async fn jobs(
    read: &AnyPool,
    dialect: Dialect,
    columns: &[&str],
    from: &str,
    parameters: &[i64],
) -> Result<Vec<Job>, StoreError> {
    let columns: Vec<&str> = columns.iter().map(|name| if *name == MARKER { dialect.marker() } else { name }).collect();
    let sql = dialect.packed(&columns, from);
    let query = sqlx::query(AssertSqlSafe(sql));
    let row = parameters.iter().fold(query, |query, n| query.bind(*n)).fetch_one(read).await?;
    let mut jobs: Vec<Job> = unpack::<Packed>(&row)?.into_iter().map(Job::from).collect();
    // As they are selected, most likely; nothing says so.
    jobs.sort_by_key(|job| (job.due.due_at, job.due.id));
    Ok(jobs)
}

/// Rows that one look behind closed gates reads.
const SLICE: i64 = 5_000;

/// The condition that a row of `due` is open, or is being sent. Numbers alone stand in it.
pub(super) fn is_open(open: &Open) -> String {
    match open {
        Open::AllBut(closed) if closed.is_empty() => String::new(),
        Open::AllBut(closed) => {
            format!("AND (d.state = {SENDING} OR d.schedule IS NULL OR d.schedule NOT IN ({}))", list(closed))
        }
        Open::Only(open) => format!("AND (d.state = {SENDING} OR d.schedule IN ({}))", list(open)),
    }
}

/// The condition that a row of `due` is closed, and is not being sent.
fn is_closed(open: &Open) -> String {
    match open {
        Open::AllBut(closed) => format!("AND d.state <> {SENDING} AND d.schedule IN ({})", list(closed)),
        Open::Only(open) => {
            format!("AND d.state <> {SENDING} AND (d.schedule IS NULL OR d.schedule NOT IN ({}))", list(open))
        }
    }
}

/// A list that is not empty: no schedule is called 0.
fn list(schedules: &BTreeSet<i64>) -> String {
    std::iter::once("0".to_owned()).chain(schedules.iter().map(i64::to_string)).collect::<Vec<_>>().join(", ")
}

impl Queue for Store {
    fn lane(&self, app: &str) -> i64 {
        self.names.app(app).home
    }

    fn lanes(&self, app: &str) -> Vec<i64> {
        self.names.lanes_of(app)
    }

    fn home(&self, lane: i64) -> i64 {
        self.names.home_of(lane)
    }

    fn code(&self, template: i64) -> &str {
        self.names.code(template)
    }

    fn pseudonym(&self, openid: &str) -> String {
        self.names.pseudonyms().name(openid)
    }

    fn listing(&self, app: &str) -> Option<Arc<Listing>> {
        Self::listing(self, app)
    }

    fn keep_listing(&self, app: &str, listing: Arc<Listing>) -> Asked<()> {
        let (store, app) = (self.clone(), app.to_owned());
        Box::pin(async move { Self::keep_listing(&store, app, listing).await })
    }

    fn template(&self, lane: i64, code: &str) -> Option<i64> {
        self.names.find_template_of_lane(lane, code)
    }

    fn on_commit(&self, told: OnCommit) {
        self.on_commit.send_replace(Some(Arc::new(told)));
    }

    fn gates(&self) -> Arc<Gates> {
        Self::gates(self)
    }

    fn prefetch_open(
        &self,
        lane: i64,
        after: (Millis, i64),
        until: Millis,
        limit: i64,
        open: Arc<Open>,
    ) -> Asked<Vec<Job>> {
        let (read, dialect) = (self.ahead.clone(), self.database.dialect);
        Box::pin(async move {
            let sql = format!(
                "FROM due d JOIN reminder m ON m.id = d.id JOIN recipient p ON p.id = m.recipient
                 WHERE d.lane = $1 AND (d.due_at, d.id) > ($2, $3) AND d.due_at <= $4 {}
                 ORDER BY d.due_at, d.id LIMIT $5",
                is_open(&open)
            );
            jobs(&read, dialect, &JOB, &sql, &[lane, after.0, after.1, until, limit]).await
        })
    }

    fn past_deadline(&self, lane: i64, now: Millis, limit: i64, open: Arc<Open>) -> Asked<Vec<Job>> {
        let (read, dialect) = (self.ahead.clone(), self.database.dialect);
        Box::pin(async move {
            let sql = format!(
                "FROM due d JOIN reminder m ON m.id = d.id JOIN recipient p ON p.id = m.recipient
                 WHERE d.lane = $1 AND d.due_at <= $2 AND d.state = 0 AND m.expires_at <= $2 {}
                 ORDER BY d.due_at, d.id LIMIT $3",
                is_open(&open)
            );
            jobs(&read, dialect, &without_body(), &sql, &[lane, now, limit]).await
        })
    }

    fn past_deadline_closed(
        &self,
        lane: i64,
        after: (Millis, i64),
        now: Millis,
        open: Arc<Open>,
    ) -> Asked<(Vec<Job>, Next)> {
        let (read, dialect) = (self.ahead.clone(), self.database.dialect);
        Box::pin(async move {
            let among = format!(
                "FROM due d WHERE d.lane = $1 AND (d.due_at, d.id) > ($2, $3) AND d.due_at <= $4 {} ORDER BY d.due_at, d.id",
                is_closed(&open)
            );
            let sql = format!("SELECT d.due_at, d.id {among} LIMIT 1 OFFSET {}", SLICE - 1);
            let query = sqlx::query(AssertSqlSafe(sql)).bind(lane).bind(after.0).bind(after.1).bind(now);
            let next = query.fetch_optional(&read).await?.map(|row| (row.get("due_at"), row.get("id")));
            let sql = format!(
                "FROM (SELECT d.* {among} LIMIT {SLICE}) d JOIN reminder m ON m.id = d.id JOIN recipient p ON p.id = m.recipient
                 WHERE m.expires_at <= $4 ORDER BY d.due_at, d.id"
            );
            Ok((jobs(&read, dialect, &without_body(), &sql, &[lane, after.0, after.1, now]).await?, next))
        })
    }

    fn wake_suspended(&self, lane: i64, now: Millis) -> Asked<u64> {
        let store = self.clone();
        Box::pin(async move { store.wake(lane, now).await })
    }

    fn mark(&self, jobs: Vec<Job>) -> Asked<Vec<Marked>> {
        let writer = self.writer.clone();
        Box::pin(async move { writer.ask(|answer| Command::Mark(jobs, answer)).await })
    }

    fn settle(&self, entries: Vec<Entry>) -> Asked<Vec<bool>> {
        let writer = self.writer.clone();
        Box::pin(async move { writer.ask(|answer| Command::Settle(entries, answer)).await })
    }
}

impl Store {
    /// [`Self::next_due`] of an app.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn next_due_of(&self, app: &str, after: Millis) -> Result<Option<Millis>, StoreError> {
        let mut next: Option<Millis> = None;
        for lane in self.names.lanes_of(app) {
            next = [next, self.next_due(lane, after).await?].into_iter().flatten().min();
        }
        Ok(next)
    }

    /// [`Self::overdue`] of an app.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn overdue_of(&self, app: &str, now: Millis) -> Result<(Option<Millis>, i64), StoreError> {
        let mut all: (Option<Millis>, i64) = (None, 0);
        for lane in self.names.lanes_of(app) {
            let (oldest, n) = self.overdue(lane, now).await?;
            all = ([all.0, oldest].into_iter().flatten().min(), all.1 + n);
        }
        Ok(all)
    }

    /// The instant at which a lane has its next work after `after`, or `None`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn next_due(&self, lane: i64, after: Millis) -> Result<Option<Millis>, StoreError> {
        let row = sqlx::query("SELECT due_at FROM due WHERE lane = $1 AND due_at > $2 ORDER BY due_at, id LIMIT 1")
            .bind(lane)
            .bind(after)
            .fetch_optional(&self.read)
            .await?;
        Ok(row.map(|row| row.get("due_at")))
    }

    /// The oldest instant of a lane that has passed without an end, and how many such rows there are (at most 10,000 are counted). What a
    /// paused app or schedule, or one in quiet hours of its own, holds back is not late.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn overdue(&self, lane: i64, now: Millis) -> Result<(Option<Millis>, i64), StoreError> {
        let (gates, home) = (self.gates.get(), self.names.home_of(lane));
        let is_open = is_open(&match gates.paused_since(home) {
            Some(_) => Open::Only(BTreeSet::new()),
            None => Open::AllBut(gates.closed(home, now)),
        });
        let sql = format!(
            "SELECT d.due_at FROM due d WHERE d.lane = $1 AND d.due_at <= $2 {is_open} ORDER BY d.due_at, d.id LIMIT 1"
        );
        let oldest = sqlx::query(AssertSqlSafe(sql)).bind(lane).bind(now).fetch_optional(&self.read).await?;
        let oldest = oldest.map(|row| row.get("due_at"));
        let sql = format!(
            "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM due d WHERE d.lane = $1 AND d.due_at <= $2 {is_open} LIMIT 10000) AS waiting"
        );
        let row = sqlx::query(AssertSqlSafe(sql)).bind(lane).bind(now).fetch_one(&self.read).await?;
        // Those that wait for another try, or for a template that is suspended: by their outcomes, since there may be millions of others until
        // then. An outcome that is no longer the last may name the same instant.
        let sql = format!(
            "SELECT COUNT(*) AS n, MIN(at) AS oldest FROM
             (SELECT DISTINCT x.at, x.id FROM outcome x {}
              WHERE x.lane = $1 AND x.next_at > $2 AND x.next_at <= $3 AND x.at <= $2
                AND EXISTS (SELECT 1 FROM due d WHERE d.lane = x.lane AND d.due_at = x.next_at AND d.id = x.id) LIMIT 10000) AS waiting",
            self.database.dialect.by("tried_again")
        );
        let again = sqlx::query(AssertSqlSafe(sql))
            .bind(lane)
            .bind(now)
            .bind(now + SUSPENDED_AT_MOST)
            .fetch_one(&self.read)
            .await?;
        let oldest = [oldest, again.get("oldest")].into_iter().flatten().min();
        Ok((oldest, row.get::<i64, _>("n") + again.get::<i64, _>("n")))
    }
}
