//! Pushes of the platforms, in SQL: each is taken in once, and its receipts are joined to the attempts that they are about.

use super::{
    Store,
    command::Single,
    consents,
    dialect::{Dialect, int},
    error::{StoreError, meanwhile},
    ledgers::{self, Pair},
    names::Place,
    port::Entry,
    reasons,
    recipients::{self, recipients},
    reminders::{self, Stored},
    requests,
    settle::{end_scheduled, settle_all},
    states::{LIVING, SCHEDULED, SENDING, living_state},
    tx::Tx,
};
use crate::domain::{
    DAY, Millis, SECOND,
    consent::{Feed, Report},
    ledger::Void,
    push::{Candidate, Delivery, Item, Joined, Push, Receipt, join},
    reason::Reason,
    reminder::{ReminderId, State},
    settle::received,
};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use std::collections::BTreeMap;

/// A push that is new, or comes again.
#[derive(Debug, Clone)]
pub struct NewPush {
    /// The app's name in the configuration.
    pub app: String,
    /// What it says.
    pub push: Push,
}

/// What a receipt can come to.
pub const RECEIPTS: [&str; 5] = ["delivered", "undelivered", "known", "ambiguous", "unmatched"];

/// What came of a push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// It came before; nothing was written.
    pub known: bool,
    /// Consents that it added.
    pub granted: usize,
    /// Reminders that it ended, because their user turned the template off.
    pub ended: usize,
    /// What became of its receipts: some of [`RECEIPTS`].
    pub receipts: Vec<&'static str>,
}

/// For so many days a push that comes again is known. The check of its signature refuses one that is older.
const KNOWN_DAYS: i64 = 3;
/// Pushes that are forgotten in one transaction.
const SLICE: i64 = 500;
/// A user's latest attempts that a receipt is compared with.
const CANDIDATES: i64 = 64;

/// Takes in a push. Afterwards it is known, and what it says is written.
impl Single for NewPush {
    const WHAT: Option<&'static str> = Some("a platform's push");

    type Done = Taken;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Taken> {
        take(tx, self).await
    }
}

async fn take(tx: &mut Tx<'_>, new: &NewPush) -> sqlx::Result<Taken> {
    let (place, push) = (tx.names.app(&new.app), &new.push);
    let mut taken = Taken::default();
    if !is_new(tx, place, &push.digests()).await? {
        return Ok(Taken { known: true, ..taken });
    }
    let mut accepted = BTreeMap::new();
    for item in &push.items {
        match item {
            Item::Answered { template, accepted: true } if known_template(tx, place, template).is_some() => {
                accepted.insert(template.clone(), true);
            }
            Item::Answered { .. } => {}
            Item::TurnedOff { template } => {
                if let Some(template) = known_template(tx, place, template) {
                    taken.ended += turn_off(tx, place, &push.openid, template, push.at).await?;
                }
            }
            Item::Receipt(receipt) => taken.receipts.push(book(tx, place, push, receipt).await?),
        }
    }
    if !accepted.is_empty() {
        let report = Report {
            app: new.app.clone(),
            openid: push.openid.clone(),
            results: accepted,
            at: push.at,
            feed: Feed::Platform,
            source: "callback".into(),
            event: None,
            ticket: None,
        };
        taken.granted = consents::record(tx, &[report]).await?.into_iter().flatten().map(|added| added.len()).sum();
    }
    Ok(taken)
}

fn known_template(tx: &Tx<'_>, place: Place, code: &str) -> Option<i64> {
    tx.names.find_template(place.id, code)
}

/// Remembers a push by its names; `false` if one of them was known.
async fn is_new(tx: &mut Tx<'_>, place: Place, digests: &[String]) -> sqlx::Result<bool> {
    requests::alone_at_midnight(tx, &digests[0]).await?;
    let today = tx.now.div_euclid(DAY);
    // After the clock was set back, pushes of tomorrow may be known already.
    let days: Vec<String> = (-KNOWN_DAYS..=1).map(|day| (today + day).to_string()).collect();
    let names: Vec<String> = (0..digests.len()).map(|i| format!("${}", i + 2)).collect();
    let (days, names) = (days.join(", "), names.join(", "));
    let sql = format!("SELECT day FROM push WHERE day IN ({days}) AND app = $1 AND digest IN ({names})");
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(place.id);
    for digest in digests {
        query = query.bind(digest);
    }
    if query.fetch_optional(tx.conn().await?).await?.is_some() {
        return Ok(false);
    }
    for digest in digests {
        let sql = "INSERT INTO push (day, app, digest) VALUES ($1, $2, $3)";
        sqlx::query(sql).bind(today).bind(place.id).bind(digest).execute(tx.conn().await?).await?;
    }
    Ok(true)
}

/// The user wants nothing more of a template: what was granted by then is void, and the reminders that waited on it end.
async fn turn_off(tx: &mut Tx<'_>, place: Place, openid: &str, template: i64, at: Millis) -> sqlx::Result<usize> {
    let users = recipients(tx, &[(place.id, openid.to_owned())], true).await?;
    // One who was forgotten has nothing to turn off.
    let Some(user) = users.get(&(place.id, openid.to_owned())) else { return Ok(0) };
    let pair: Pair = (*user, template);
    // A tap that another writer is about to record is void too, or finds that it is turned off.
    recipients::have_alone(tx, pair.0).await?;
    // The platform counts in seconds: until the end of this one.
    let until = at + SECOND - 1;
    sqlx::query(
        "INSERT INTO turned_off (recipient, template, at) VALUES ($1, $2, $3)
         ON CONFLICT (recipient, template) DO UPDATE SET at = excluded.at WHERE turned_off.at < excluded.at",
    )
    .bind(pair.0)
    .bind(pair.1)
    .bind(until)
    .execute(tx.conn().await?)
    .await?;
    let mut waiting = ledgers::void(tx, pair, None, until, Void::TurnedOff).await?;
    if tx.names.standing(template) {
        // A standing consent is held by nobody.
        let sql = format!(
            "SELECT m.id FROM unheld u JOIN reminder m ON m.id = u.reminder {LIVING}
             WHERE u.recipient = $1 AND m.template = $2 AND m.standing = 1 AND d.state = $3 AND d.doubt_since IS NULL"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(pair.0).bind(pair.1).bind(SCHEDULED);
        waiting.extend(query.fetch_all(tx.conn().await?).await?.iter().map(|row| ReminderId(row.get("id"))));
    }
    let now = tx.now;
    end_scheduled(tx, &waiting, &Reason::TurnedOff, now).await?;
    Ok(waiting.len())
}

/// Joins a receipt to its attempt and books it.
async fn book(tx: &mut Tx<'_>, place: Place, push: &Push, receipt: &Receipt) -> sqlx::Result<&'static str> {
    let users = recipients(tx, &[(place.id, push.openid.clone())], false).await?;
    let user = users.get(&(place.id, push.openid.clone()));
    let Some((user, template)) = user.zip(known_template(tx, place, &receipt.template)) else { return Ok("unmatched") };
    let sql = format!(
        "SELECT m.id, m.lane, m.at, d.due_at, d.state, d.doubt_since, o.state AS ended, o.message_id, q.pushed_at, o.ended_at,
                (SELECT COUNT(*) FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id
                    AND x.state IN ('in_doubt', 'sent', 'unconfirmed') AND (x.began_at IS NOT NULL OR x.code = 'interrupted')) AS requests
         FROM reminder m {LIVING}
         LEFT JOIN outcome o ON o.lane = m.lane AND o.at = m.at AND o.id = m.id AND o.next_at IS NULL
         LEFT JOIN receipt q ON q.lane = m.lane AND q.at = m.at AND q.id = m.id
         WHERE m.id IN (SELECT c.reminder FROM consent c WHERE c.recipient = $1 AND c.template = $2 AND c.reminder IS NOT NULL
                        UNION SELECT u.reminder FROM unheld u WHERE u.recipient = $1)
           AND m.template = $2 AND (d.state IN (1, 2) OR d.doubt_since IS NOT NULL OR o.state IN ('sent', 'unconfirmed'))
         ORDER BY m.at DESC, m.id DESC LIMIT $3"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(*user).bind(template).bind(CANDIDATES);
    let rows = query.fetch_all(tx.conn().await?).await?;
    let candidates: Vec<Candidate> = rows.iter().map(candidate).collect();
    let index = match join(receipt, push.at, &candidates) {
        Joined::To(index) => index,
        Joined::Known => return Ok("known"),
        Joined::Ambiguous => return Ok("ambiguous"),
        Joined::Nothing => return Ok("unmatched"),
    };
    let [id, lane, at] = ["id", "lane", "at"].map(|column| rows[index].get::<i64, _>(column));
    // Whoever settles the attempt at the same time is waited for, or waits: either the settlement finds the receipt, or the receipt finds what
    // the settlement has left.
    if let Some(due_at) = rows[index].get::<Option<i64>, _>("due_at") {
        let sql = format!("SELECT id FROM due WHERE lane = $1 AND due_at = $2 AND id = $3{}", tx.dialect.for_update());
        let query = sqlx::query(AssertSqlSafe(sql)).bind(lane).bind(due_at).bind(id);
        if query.fetch_optional(tx.conn().await?).await?.is_none() {
            return Err(meanwhile());
        }
    } else {
        let sql = format!("SELECT id FROM reminder WHERE id = $1{}", tx.dialect.for_update());
        if tx.dialect == Dialect::Postgres
            && sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(tx.conn().await?).await?.is_none()
        {
            // It is no longer kept, and there is nothing to join the receipt to.
            return Err(meanwhile());
        }
    }
    let now = reminders::find_in(tx, ReminderId(id)).await?;
    let state = match &now {
        Some(now) if now.due.state == State::Scheduled && now.due.doubt_since.is_some() => State::InDoubt,
        Some(now) => now.due.state,
        None => candidates[index].state,
    };
    sqlx::query(
        "INSERT INTO receipt (lane, at, id, pushed_at, received_at, failure, text, message_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(lane)
    .bind(at)
    .bind(id)
    .bind(push.at)
    .bind(tx.now)
    .bind(&receipt.failure)
    .bind(&receipt.text)
    .bind(&receipt.message_id)
    .execute(tx.conn().await?)
    .await?;
    match state {
        State::InDoubt => {
            if let Some(stored) = now
                && let Some(target) = stored.target_in(stored.due.state)
            {
                let entry = Entry { target, settlement: received(), began_at: None, ended_at: tx.now };
                settle_all(tx, &[entry]).await?;
            }
        }
        State::Unconfirmed => confirm(tx, lane, at, id).await?,
        // For a reminder that is being sent, the receipt is looked up when it is settled.
        _ => {}
    }
    let failed = receipt.failure.is_some();
    tx.tally.receipt(lane, failed, true);
    Ok(if failed { "undelivered" } else { "delivered" })
}

fn candidate(row: &AnyRow) -> Candidate {
    let ended = || row.get::<Option<String>, _>("ended").as_deref().and_then(State::from_word);
    // A reminder that waits to be sent again is in doubt all the same.
    let living = row.get::<Option<i64>, _>("state").map(|number| match living_state(number) {
        State::Scheduled if row.get::<Option<Millis>, _>("doubt_since").is_some() => State::InDoubt,
        state => state,
    });
    Candidate {
        state: living.or_else(ended).unwrap_or(State::Cancelled),
        from: row.get("at"),
        until: row.get::<Option<i64>, _>("ended_at").unwrap_or(Millis::MAX),
        message_id: row.get("message_id"),
        receipt: row.get::<Option<i64>, _>("pushed_at").is_some(),
        several: int(row, "requests") + i64::from(row.get::<Option<i64>, _>("state") == Some(SENDING)) > 1,
    }
}

/// Corrects a reminder that had ended as unconfirmed: the platform says that its message was sent (I8).
async fn confirm(tx: &mut Tx<'_>, lane: i64, at: Millis, id: i64) -> sqlx::Result<()> {
    reasons::correct(tx, lane, (at, id), State::Sent, Reason::Received).await
}

/// Forgets a slice of the pushes that are too old to come again, and of the calls that are known long enough; answers how many.
pub(super) struct ForgetOld;

impl Single for ForgetOld {
    // It is done again by itself.
    const WHAT: Option<&'static str> = None;

    type Done = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<u64> {
        let before = tx.now.div_euclid(DAY) - KNOWN_DAYS - 1;
        let sql =
            "DELETE FROM push WHERE (day, app, digest) IN (SELECT day, app, digest FROM push WHERE day < $1 LIMIT $2)";
        let pushes = sqlx::query(sql).bind(before).bind(SLICE).execute(tx.conn().await?).await?.rows_affected();
        Ok(pushes + requests::forget(tx).await?)
    }
}

impl Store {
    /// The platform's later word on a reminder's message, if there is one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delivery(&self, stored: &Stored) -> Result<Option<Delivery>, StoreError> {
        let sql = "SELECT pushed_at, failure, text FROM receipt WHERE lane = $1 AND at = $2 AND id = $3";
        let query = sqlx::query(sql).bind(stored.lane).bind(stored.due.at).bind(stored.due.id.0);
        let row = query.fetch_optional(&self.read).await?;
        Ok(row.map(|row| Delivery { at: row.get("pushed_at"), failure: row.get("failure"), text: row.get("text") }))
    }
}

impl Store {
    /// Takes in what a platform has pushed; durable when it returns.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn push(&self, push: NewPush) -> Result<Taken, StoreError> {
        self.writer.do_one(push).await
    }

    /// Forgets a slice of the pushes that are too old to come again, and of the calls that are known long enough; answers how many.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn tidy(&self) -> Result<u64, StoreError> {
        self.writer.do_one(ForgetOld).await
    }
}
