//! Calls that have written something are known again by their Idempotency-Key: one that is repeated is answered, and writes nothing.

use super::{
    Store,
    command::{Added, Inserted, Single},
    consents::record,
    deeds::Deed,
    error::StoreError,
    insert::insert_as,
    names::Names,
    port::Ring,
    tx::Tx,
};
use crate::domain::{
    DAY, MINUTE, Millis,
    consent::Report,
    reminder::{NewReminder, ReminderId},
    request::Request,
};
use sqlx::{AnyConnection, AssertSqlSafe, Row};

/// A call is known for so many days at least.
const KNOWN_DAYS: i64 = 1;
/// Calls that are forgotten in one transaction.
const SLICE: i64 = 2_000;

/// What is kept of a call's key, and of its content. The key may name a user, so it is hashed too.
fn hashes(request: &Request, names: &Names) -> (String, String) {
    let hash = |what, text: &str| names.pseudonyms().spent(what, text);
    (hash("request", &request.key), hash("content", &request.content))
}

/// What is known of a call with the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Earlier {
    /// It was the same, and inserted this reminder, or found it there.
    Reminder(ReminderId),
    /// It was the same, and added consents of these templates, by the platform's ids.
    Consents(Vec<String>),
    /// It was another one.
    Other,
}

/// What a call with a key came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once<T> {
    /// It was done, and is known from now on if it has written anything.
    Done(T),
    /// It, or another with its key, was done before; nothing was written.
    Before(Earlier),
}

/// What is known for some days stands under the day on which it came, and there alone is twice refused. Around midnight two writers may be of
/// two minds about the day, and take turns.
pub(super) async fn alone_at_midnight(tx: &mut Tx<'_>, word: &str) -> sqlx::Result<()> {
    let day = |at: Millis| at.div_euclid(DAY);
    if day(tx.now - MINUTE) == day(tx.now + MINUTE) {
        return Ok(());
    }
    let hash = word.bytes().fold(7_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    let sql = "SELECT CASE WHEN pg_advisory_xact_lock(1, CAST($1 AS INTEGER)) IS NULL THEN 0 ELSE 1 END";
    tx.lock(sql, hash.into()).await
}

async fn earlier_in(tx: &mut Tx<'_>, request: &Request) -> sqlx::Result<Option<Earlier>> {
    let now = tx.now;
    alone_at_midnight(tx, &request.key).await?;
    let (conn, _, names) = tx.parts().await?;
    earlier(conn, names, now, request).await
}

async fn earlier(
    conn: &mut AnyConnection,
    names: &Names,
    now: Millis,
    request: &Request,
) -> sqlx::Result<Option<Earlier>> {
    let (today, (tag, digest)) = (now.div_euclid(DAY), hashes(request, names));
    // After the clock was set back, calls of tomorrow may be known already.
    let days: Vec<String> = (-KNOWN_DAYS..=1).map(|day| (today + day).to_string()).collect();
    let sql = format!(
        "SELECT digest, reminder, templates FROM request WHERE day IN ({}) AND app = $1 AND tag = $2",
        days.join(", ")
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(names.app(&request.app).id).bind(tag);
    let Some(row) = query.fetch_optional(conn).await? else { return Ok(None) };
    if row.get::<String, _>("digest") != digest {
        return Ok(Some(Earlier::Other));
    }
    let templates: Option<String> = row.get("templates");
    Ok(Some(match (row.get::<Option<i64>, _>("reminder"), templates) {
        (Some(id), _) => Earlier::Reminder(ReminderId(id)),
        (None, templates) => {
            let templates = templates.unwrap_or_default();
            let codes = templates.split(',').filter_map(|id| Some(names.code(id.parse().ok()?).to_owned()));
            Earlier::Consents(codes.collect())
        }
    }))
}

async fn remember(
    tx: &mut Tx<'_>,
    request: &Request,
    reminder: Option<ReminderId>,
    templates: Option<String>,
) -> sqlx::Result<()> {
    let (tag, digest) = hashes(request, tx.names);
    sqlx::query("INSERT INTO request (day, app, tag, digest, reminder, templates) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(tx.now.div_euclid(DAY))
        .bind(tx.names.app(&request.app).id)
        .bind(tag)
        .bind(digest)
        .bind(reminder.map(|id| id.0))
        .bind(templates)
        .execute(tx.conn().await?)
        .await
        .map(drop)
}

/// Inserts a reminder, under this id if there is one, unless the call was done before.
pub(super) async fn insert_once(
    tx: &mut Tx<'_>,
    request: &Request,
    new: &NewReminder,
    ids: &[ReminderId],
) -> sqlx::Result<Once<Inserted>> {
    if let Some(earlier) = earlier_in(tx, request).await? {
        return Ok(Once::Before(earlier));
    }
    let verdict = insert_as(tx, std::slice::from_ref(new), ids).await?[0];
    if let Inserted::Created(id) | Inserted::Replayed(id, _) = verdict {
        remember(tx, request, Some(id), None).await?;
    }
    Ok(Once::Done(verdict))
}

/// Records a report, unless the call was done before.
async fn record_once(tx: &mut Tx<'_>, request: &Request, report: &Report) -> sqlx::Result<Once<Option<Added>>> {
    if let Some(earlier) = earlier_in(tx, request).await? {
        return Ok(Once::Before(earlier));
    }
    let added = record(tx, std::slice::from_ref(report)).await?.swap_remove(0);
    if let Some(codes) = &added {
        let app = tx.names.app(&request.app).id;
        let ids: Vec<String> = codes.iter().map(|code| tx.names.template(app, code).to_string()).collect();
        remember(tx, request, None, Some(ids.join(","))).await?;
    }
    Ok(Once::Done(added))
}

/// The database has forgotten that a call has recorded a report: it is recorded again, unless the call was repeated since. `false`: it can't be.
pub(super) async fn record_again(tx: &mut Tx<'_>, request: &Request, report: &Report) -> sqlx::Result<bool> {
    let recorded = record_once(tx, request, report).await?;
    Ok(matches!(recorded, Once::Done(Some(_)) | Once::Before(Earlier::Consents(_))))
}

/// Inserts a reminder, unless the call was done before.
struct InsertOnce(Request, NewReminder);

impl Single for InsertOnce {
    const WHAT: Option<&'static str> = None;

    type Done = Once<Inserted>;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Once<Inserted>> {
        insert_once(tx, &self.0, &self.1, &[]).await
    }

    /// A call that has found its reminder there finds it there again.
    fn deed(&self, done: &Self::Done) -> Option<Deed> {
        let Self(request, new) = self;
        match done {
            Once::Done(Inserted::Created(id)) => Some(Deed::InsertedOnce(request.clone(), *id, Box::new(new.clone()))),
            _ => None,
        }
    }

    fn ring(&self) -> Option<Ring> {
        Some(Ring { from: self.1.at, until: self.1.at })
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["insert.before_commit", "insert.after_commit"])
    }
}

/// Records a report, unless the call was done before.
struct RecordOnce(Request, Report);

impl Single for RecordOnce {
    const WHAT: Option<&'static str> = None;

    type Done = Once<Option<Added>>;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Once<Option<Added>>> {
        record_once(tx, &self.0, &self.1).await
    }

    fn deed(&self, done: &Self::Done) -> Option<Deed> {
        let Self(request, report) = self;
        matches!(done, Once::Done(Some(_))).then(|| Deed::RecordedOnce(request.clone(), report.clone()))
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["record.before_commit", "record.after_commit"])
    }
}

/// Forgets a slice of the calls that are known long enough; answers how many.
pub(super) async fn forget(tx: &mut Tx<'_>) -> sqlx::Result<u64> {
    let sql =
        "DELETE FROM request WHERE (day, app, tag) IN (SELECT day, app, tag FROM request WHERE day < $1 LIMIT $2)";
    let before = tx.now.div_euclid(DAY) - KNOWN_DAYS - 1;
    Ok(sqlx::query(sql).bind(before).bind(SLICE).execute(tx.conn().await?).await?.rows_affected())
}

impl Store {
    /// What is known of an earlier call with its key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn earlier(&self, request: &Request) -> Result<Option<Earlier>, StoreError> {
        let mut conn = self.read.acquire().await?;
        Ok(earlier(&mut conn, &self.names, self.clock.now(), request).await?)
    }

    /// Inserts a reminder, unless the call was done before.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn insert_once(&self, request: Request, new: NewReminder) -> Result<Once<Inserted>, StoreError> {
        self.writer.do_one(InsertOnce(request, new)).await
    }

    /// Records a report, unless the call was done before; answers which templates it has added to, or `None` if the user was forgotten.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn record_once(&self, request: Request, report: Report) -> Result<Once<Option<Vec<String>>>, StoreError> {
        self.writer.do_one(RecordOnce(request, report)).await
    }
}
