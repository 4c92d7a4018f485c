//! Retention in SQL: ended reminders are erased after their terms, in slices that no send waits for.
//!
//! A walk goes round through the ended reminders, in the order in which they are stored. It reads from the pool of readers. The rows that it
//! erases go to the writer a few at a time, and marks and settlements have their turn in between.

use super::{
    Store,
    command::Single,
    dialect::{Dialect, Rows, int},
    error::StoreError,
    ledgers::{LINE, Ledgers, pair},
    paid,
    reminders::{ATTEMPTS, BODY, erased},
    spent::{Used, spend},
    tally::Stand,
    tx::Tx,
};
use crate::domain::{
    Millis,
    ledger::{Ledger, Stage, Void},
    reminder::{ReminderId, State},
    retention::{Parts, Retention},
};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use std::collections::HashMap;

/// Ended reminders that one step looks at, and users.
const SLICE: i64 = 500;
/// Rows of one transaction: a mark that comes meanwhile waits for one.
const AT_ONCE: usize = 50;
/// Where a walk is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walk {
    lane: i64,
    after: (Millis, i64),
    recipient: i64,
    occurrence: (i64, String),
    kept: i64,
    ended: paid::Place,
}

/// How many rows a walk has erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Bodies of reminders that are kept.
    pub bodies: u64,
    /// Reminders of whose attempts only the last is kept.
    pub attempts: u64,
    /// Reminders.
    pub reminders: u64,
    /// Users of whom nothing else was left.
    pub users: u64,
    /// Occurrences that are long over.
    pub occurrences: u64,
    /// Rows that schedules kept and need no more.
    pub kept_rows: u64,
    /// Consents that have ended by themselves. They are not erased, but void.
    pub ended: u64,
}

impl Erased {
    fn add(&mut self, more: Self) {
        self.bodies += more.bodies;
        self.attempts += more.attempts;
        self.reminders += more.reminders;
        self.users += more.users;
        self.occurrences += more.occurrences;
        self.kept_rows += more.kept_rows;
        self.ended += more.ended;
    }
}

/// An ended reminder, and those of its parts that have outlived their terms.
#[derive(Debug, Clone, Copy)]
struct Old {
    lane: i64,
    at: Millis,
    id: i64,
    outlived: Parts,
}

impl Store {
    /// One step of a walk: looks at a slice of the ended reminders and erases the parts that have outlived their terms; so with occurrences
    /// that are over. Consents that have ended are void. Rows that schedules keep have no term: they go as soon as they are needed no more. After the last slice the walk begins
    /// again.
    ///
    /// # Errors
    /// When the database does not answer; the same step may be taken again.
    pub async fn erase_step(&self, walk: &mut Walk, terms: &Retention, now: Millis) -> Result<Erased, StoreError> {
        let (ended, kept_rows) =
            (self.end_consents(&mut walk.ended, now).await?, self.erase_kept(&mut walk.kept, now).await?);
        let mut done = Erased { ended, kept_rows, ..Erased::default() };
        let Some(shortest) = terms.shortest() else { return Ok(done) };
        let mut lanes = self.names.all_lanes();
        lanes.sort_unstable();
        let mut left = SLICE;
        // From where it is to the last lane; the next step begins with the first.
        let from = walk.lane;
        for lane in lanes.into_iter().filter(|lane| *lane >= from) {
            let after = if lane == from { walk.after } else { (0, 0) };
            let sql = "SELECT at, id, ended_at, erased FROM outcome
                 WHERE lane = $1 AND (at, id) > ($2, $3) AND at <= $4 AND next_at IS NULL ORDER BY at, id LIMIT $5";
            let query = sqlx::query(sql).bind(lane).bind(after.0).bind(after.1).bind(now - shortest).bind(left);
            let rows = query.fetch_all(&self.read).await?;
            let old = rows.iter().filter_map(|row| {
                let outlived = terms.outlived(row.get("at"), row.get("ended_at"), now);
                Some(Old { lane, at: row.get("at"), id: row.get("id"), outlived: outlived.without(erased(row))? })
            });
            let old: Vec<Old> = old.collect();
            for some in old.chunks(AT_ONCE) {
                done.add(self.writer.do_one(Erase(some.to_vec())).await?);
            }
            left -= i64::try_from(rows.len()).unwrap_or(i64::MAX);
            if let Some(last) = rows.last()
                && left <= 0
            {
                (walk.lane, walk.after) = (lane, (last.get("at"), last.get("id")));
                break;
            }
            (walk.lane, walk.after) = (lane + 1, (0, 0));
        }
        if left > 0 {
            (walk.lane, walk.after) = (0, (0, 0));
        }
        if let Some(term) = terms.history {
            done.users = self.forget_left_over(walk, now - term).await?;
            done.occurrences = self.erase_over(&mut walk.occurrence, now - term).await?;
        }
        Ok(done)
    }

    /// Users of whom nothing is left but consents that became void by `until`.
    async fn forget_left_over(&self, walk: &mut Walk, until: Millis) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT p.id, CASE WHEN {} THEN 1 ELSE 0 END AS left_over FROM recipient p WHERE p.id > $1
             ORDER BY p.id LIMIT {SLICE}",
            left_over(until)
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(walk.recipient).fetch_all(&self.read).await?;
        let all = rows.len();
        let goes = rows.iter().filter(|row| int(row, "left_over") == 1);
        let goes: Vec<i64> = goes.map(|row| row.get("id")).collect();
        let mut gone = 0;
        for recipients in goes.chunks(AT_ONCE) {
            gone += self.writer.do_one(EraseUsers { recipients: recipients.to_vec(), until }).await?;
        }
        walk.recipient = if all < SLICE as usize { 0 } else { rows[all - 1].get("id") };
        Ok(gone)
    }
}

/// Erases the outlived parts of ended reminders. The counts follow.
struct Erase(Vec<Old>);

impl Single for Erase {
    // It is done again by itself.
    const WHAT: Option<&'static str> = None;

    type Done = Erased;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Erased> {
        tx.overwrite().await?;
        let all: Vec<Old> = self.0.iter().filter(|old| old.outlived.all).copied().collect();
        let parts = |of: fn(&Parts) -> bool| -> Vec<Old> {
            self.0.iter().filter(|old| !old.outlived.all && of(&old.outlived)).copied().collect()
        };
        let done = Erased {
            bodies: bodies(tx, &parts(|outlived| outlived.body)).await?,
            attempts: attempts(tx, &parts(|outlived| outlived.attempts)).await?,
            reminders: reminders(tx, &all).await?,
            ..Erased::default()
        };
        Ok(done)
    }
}

fn keys(tx: &Tx<'_>, old: &[Old]) -> Rows {
    tx.dialect.rows(["lane", "at", "id"], old.iter().map(|old| [old.lane.into(), old.at.into(), old.id.into()]))
}

async fn bodies(tx: &mut Tx<'_>, old: &[Old]) -> sqlx::Result<u64> {
    if old.is_empty() {
        return Ok(0);
    }
    let rows = keys(tx, old);
    let sql = "UPDATE reminder SET data = '{}', page = NULL, local_at = NULL FROM {rows} WHERE reminder.id = r.id";
    tx.run(sql, &rows).await?;
    tx.run(&set_erased("", BODY), &rows).await
}

/// The statement that writes down which part of ended reminders was erased, of those that have it still, and makes `more` changes to their last outcomes.
fn set_erased(more: &str, bit: i64) -> String {
    format!(
        "UPDATE outcome SET {more} erased = COALESCE(outcome.erased, 0) | {bit} FROM {{rows}}
         WHERE outcome.lane = r.lane AND outcome.at = r.at AND outcome.id = r.id AND outcome.next_at IS NULL
         AND COALESCE(outcome.erased, 0) & {bit} = 0"
    )
}

async fn attempts(tx: &mut Tx<'_>, old: &[Old]) -> sqlx::Result<u64> {
    if old.is_empty() {
        return Ok(0);
    }
    let rows = keys(tx, old);
    for sql in [
        "DELETE FROM outcome WHERE next_at IS NOT NULL AND (lane, at, id) IN (SELECT r.lane, r.at, r.id FROM {rows})",
        "UPDATE receipt SET text = '', message_id = NULL FROM {rows}
         WHERE receipt.lane = r.lane AND receipt.at = r.at AND receipt.id = r.id",
    ] {
        tx.run(sql, &rows).await?;
    }
    tx.run(&set_erased("reason = NULL, text = NULL, message_id = NULL,", ATTEMPTS), &rows).await
}

/// Deletes ended reminders with the consents that they used. Their keys and taps stay used.
async fn reminders(tx: &mut Tx<'_>, old: &[Old]) -> sqlx::Result<u64> {
    if old.is_empty() {
        return Ok(0);
    }
    let rows = keys(tx, old);
    let ends = tx
        .rows(
            "SELECT o.lane, o.state, o.code, m.id, m.key, m.schedule FROM {rows}
             JOIN outcome o ON o.lane = r.lane AND o.at = r.at AND o.id = r.id AND o.next_at IS NULL
             JOIN reminder m ON m.id = r.id ORDER BY m.id {lock o, m}",
            &rows,
        )
        .await?;
    let mut states = HashMap::new();
    let mut used = Vec::new();
    for row in &ends {
        let (lane, id) = (row.get::<i64, _>("lane"), row.get::<i64, _>("id"));
        let Some(state) = State::from_word(&row.get::<String, _>("state")) else { continue };
        states.insert(id, state);
        let code: Option<String> = row.get("code");
        tx.tally.reminder(lane, row.get("schedule"), Some(Stand { state, code: code.as_deref() }), None);
        if let Some(key) = row.get::<Option<String>, _>("key") {
            let app = tx.names.app_id_of_lane(lane).expect("only lanes that are known are walked through");
            used.push((app, Used::Key(&key).tag(tx.names)));
        }
    }
    spend(tx, &used).await?;
    consents(tx, &rows, &states).await?;
    let receipts =
        "SELECT q.lane, q.failure FROM {rows} JOIN receipt q ON q.lane = r.lane AND q.at = r.at AND q.id = r.id";
    for row in tx.rows(receipts, &rows).await? {
        let failed = row.get::<Option<String>, _>("failure").is_some();
        tx.tally.receipt(row.get("lane"), failed, false);
    }
    for sql in [
        "DELETE FROM idempotency WHERE (app, key) IN
             (SELECT l.app, m.key FROM {rows} JOIN reminder m ON m.id = r.id JOIN lane l ON l.id = m.lane WHERE m.key IS NOT NULL)",
        "DELETE FROM unheld WHERE (recipient, reminder) IN (SELECT m.recipient, m.id FROM {rows} JOIN reminder m ON m.id = r.id)",
        "DELETE FROM receipt WHERE (lane, at, id) IN (SELECT r.lane, r.at, r.id FROM {rows})",
        "DELETE FROM outcome WHERE (lane, at, id) IN (SELECT r.lane, r.at, r.id FROM {rows})",
        // A wall time never comes again, and a recurrence has ever more of them. The keys of rows and events stay known.
        "DELETE FROM planned WHERE (schedule, key, occasion, occurrence) IN
             (SELECT q.schedule, q.key, q.occasion, q.occurrence FROM {rows} JOIN reminder m ON m.id = r.id JOIN recipient p ON p.id = m.recipient
              JOIN planned q ON q.schedule = m.schedule AND q.key = COALESCE(m.row_key, p.openid) AND q.occasion = COALESCE(m.occasion, '')
                  AND q.occurrence = m.occurrence AND q.reminder = m.id
              WHERE m.occurrence LIKE '____-__-__T__:__')",
        "DELETE FROM reminder WHERE id IN (SELECT r.id FROM {rows})",
    ] {
        tx.run(sql, &rows).await?;
    }
    Ok(ends.len() as u64)
}

/// Deletes the consents that ended reminders have certainly spent.
async fn consents(tx: &mut Tx<'_>, rows: &Rows, ends: &HashMap<i64, State>) -> sqlx::Result<()> {
    let had = format!(
        "SELECT {LINE}, p.openid FROM {{rows}} JOIN reminder m ON m.id = r.id JOIN recipient p ON p.id = m.recipient
         JOIN consent c ON c.recipient = m.recipient AND c.template = m.template AND c.reminder = m.id
         ORDER BY c.recipient, c.template, c.n {{lock c}}"
    );
    let had = tx.rows(&had, rows).await?;
    let reminder = |row: &AnyRow| row.get::<i64, _>("reminder");
    let mut ledgers = Ledgers::of_rows(&had, |row| {
        let state = ends.get(&reminder(row)).copied().unwrap_or(State::Unconfirmed);
        Stage::of(state, false)
    });
    had.iter().for_each(|row| ledgers.of(pair(row)).erase(ReminderId(reminder(row))));
    write(tx, &ledgers, &had).await
}

/// Writes ledgers that have lost lines. The events of the lost taps stay used. `rows` say whose the ledgers are.
async fn write(tx: &mut Tx<'_>, ledgers: &Ledgers, rows: &[AnyRow]) -> sqlx::Result<()> {
    let openids: HashMap<i64, &str> = rows.iter().map(|row| (row.get("recipient"), row.get("openid"))).collect();
    let names = tx.names;
    let gone = ledgers.moves().filter(|(_, moved, _)| moved.to.is_none());
    let gone = gone.filter_map(|(pair, _, line)| {
        let event = line.event.as_deref()?;
        let used = |app| (app, Used::Event(openids[&pair.0], names.code(pair.1), event).tag(names));
        Some(names.app_of_stored(pair.1).map(used))
    });
    let gone: Vec<(i64, String)> = gone.collect::<sqlx::Result<_>>()?;
    spend(tx, &gone).await?;
    ledgers.write(tx).await
}

/// Whether nothing of a user `p` is left but what became void by `until`. A consent that the platform may still know keeps them.
fn left_over(until: Millis) -> String {
    let lasting: Vec<String> =
        Void::ALL.into_iter().filter(|why| why.lasts()).map(|why| format!("'{}'", why.word())).collect();
    let lasting = lasting.join(", ");
    format!(
        "NOT EXISTS (SELECT 1 FROM unheld u WHERE u.recipient = p.id)
         AND NOT EXISTS (SELECT 1 FROM turned_off f WHERE f.recipient = p.id AND f.at > {until})
         AND NOT EXISTS (SELECT 1 FROM consent c WHERE c.recipient = p.id AND (c.voided_at IS NULL OR c.voided_at > {until}
             OR c.reminder IS NOT NULL OR c.void_reason IN ({lasting})))"
    )
}

/// Deletes users of whom nothing else is left; answers how many. A user stays who has had a new consent or reminder since the walk looked.
struct EraseUsers {
    recipients: Vec<i64>,
    until: Millis,
}

impl Single for EraseUsers {
    // It is done again by itself.
    const WHAT: Option<&'static str> = None;

    type Done = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<u64> {
        let rows = tx.dialect.rows(["id"], self.recipients.iter().map(|id| [(*id).into()]));
        if tx.dialect == Dialect::Postgres {
            // First, and by itself: what others were about to add is there when it is looked for.
            tx.run("SELECT p.id FROM {rows} JOIN recipient p ON p.id = r.id ORDER BY p.id FOR UPDATE OF p", &rows)
                .await?;
        }
        let sql = format!("SELECT p.id FROM {{rows}} JOIN recipient p ON p.id = r.id WHERE {}", left_over(self.until));
        let still: Vec<i64> = tx.rows(&sql, &rows).await?.iter().map(|row| row.get("id")).collect();
        if still.is_empty() {
            return Ok(0);
        }
        tx.overwrite().await?;
        let rows = tx.dialect.rows(["id"], still.iter().map(|id| [(*id).into()]));
        let void = format!(
            "SELECT {LINE}, p.openid FROM {{rows}} JOIN recipient p ON p.id = r.id JOIN consent c ON c.recipient = p.id
             ORDER BY c.recipient, c.template, c.n"
        );
        let void = tx.rows(&void, &rows).await?;
        let mut ledgers = Ledgers::of_rows(&void, |_| Stage::Uncertain);
        ledgers.all().for_each(Ledger::erase_all);
        write(tx, &ledgers, &void).await?;
        for sql in [
            "DELETE FROM turned_off WHERE recipient IN (SELECT r.id FROM {rows})",
            "DELETE FROM recipient WHERE id IN (SELECT r.id FROM {rows})",
        ] {
            tx.run(sql, &rows).await?;
        }
        Ok(still.len() as u64)
    }
}
