//! The hold. A store that may not know all it has sent is on hold: nothing is sent until an operator has seen what may have been sent.
//!
//! A backup carries its hold as a row in `hold`. Other reasons are found at a start (`progress`, `identity`).

use super::{Store, command::Single, dialect::Dialect, error::StoreError, lacks::Lack, tally, tx::Tx};
use crate::{
    domain::{Millis, reminder::ReminderId, timing::as_rfc3339},
    words::{Lang, Message, Voice, say},
};
use chrono_tz::Tz;
use sqlx::{AnyConnection, Row, any::AnyRow};

/// Why a store does not know what it has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HoldReason)]
pub enum Reason {
    /// A backup was put in its place.
    Restored,
    /// It is behind the file beside it that says how far it had come.
    LostCommits,
    /// That file is missing.
    NoProgress,
    /// The PostgreSQL database is not the one that was written to.
    AnotherDatabase,
}

impl Reason {
    const ALL: [Self; 4] = [Self::Restored, Self::LostCommits, Self::NoProgress, Self::AnotherDatabase];

    /// As it stands in the database and in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::LostCommits => "lost_commits",
            Self::NoProgress => "no_progress",
            Self::AnotherDatabase => "another_database",
        }
    }

    fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.word() == word).expect("the database's CHECK allows these only")
    }

    /// What happened.
    fn message(self, since: Millis) -> Message {
        match self {
            Self::Restored => say!("hold_restored", since = since),
            Self::LostCommits => say!("hold_lost_commits", since = since),
            Self::NoProgress => say!("hold_no_progress", since = since),
            Self::AnotherDatabase => say!("hold_another_database", since = since),
        }
    }
}

/// What keeps a store from sending that does not know what it has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// From here on it is not known what was sent: the earliest instant, where there are several reasons.
    pub since: Millis,
    /// Reminders up to this one may have been sent by another life of the store; later ones were made here.
    pub last_id: ReminderId,
    /// Each reason once, with its instant.
    pub reasons: Vec<(Reason, Millis)>,
    /// How it ends.
    pub ends: Ends,
}

/// How a hold ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ends {
    /// By an operator.
    ByOperator,
    /// By itself, once these daemons have written again what the database has forgotten.
    ByItself(Vec<String>),
    /// By an operator, since this cannot be written again.
    Lacks(Vec<Message>),
}

/// A time of which a store does not know what was sent, now that the hold has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Its beginning.
    pub from: Millis,
    /// Its end: when the hold was ended.
    pub until: Millis,
    /// What became due in it up to this instant was taken for sent; what became due later is sent, perhaps a second time.
    pub taken: Option<Millis>,
}

impl Gap {
    /// Whether an instant lies in it.
    pub fn has(&self, at: Millis) -> bool {
        (self.from..=self.until).contains(&at)
    }

    /// From when to when what became due was taken for sent.
    pub fn taken_for_sent(&self) -> Option<(Millis, Millis)> {
        self.taken.map(|taken| (self.from, taken))
    }

    /// Whether what became due then was taken for sent.
    pub fn was_taken_for_sent(&self, at: Millis) -> bool {
        self.taken_for_sent().is_some_and(|(from, until)| (from..=until).contains(&at))
    }
}

/// Why a store is on hold.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = Hold)]
pub struct HoldTold {
    /// Each once.
    pub reasons: Vec<Reason>,
    /// What happened, what follows and what to do, in English.
    pub en: String,
    /// 中文。
    pub zh: String,
}

impl Hold {
    /// What happened, what follows and what to do.
    pub fn why(&self) -> Message {
        let reasons: Vec<Message> = self.reasons.iter().map(|(reason, since)| reason.message(*since)).collect();
        let why = say!("hold_why", reasons = reasons);
        match &self.ends {
            Ends::ByOperator => why,
            Ends::ByItself(nodes) => say!("hold_ends_by_itself", why = why, nodes = nodes.join(", ")),
            Ends::Lacks(what) => say!("hold_stays", why = why, what = what.clone()),
        }
    }

    /// Why, as the API tells it, with times in this zone.
    pub fn told(&self, zone: Option<Tz>) -> HoldTold {
        let [en, zh] = [Lang::En, Lang::Zh].map(|lang| self.why().say(Voice::new(lang).in_zone(zone)));
        HoldTold { reasons: self.reasons.iter().map(|(reason, _)| *reason).collect(), en, zh }
    }
}

/// What may have been sent since a backup was made, by app.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Overdue {
    /// The app's name.
    pub app: String,
    /// Reminders whose instant has passed and that have not ended here.
    pub n: i64,
    /// The first of these instants.
    #[serde(serialize_with = "as_rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub first: Millis,
    /// The last.
    #[serde(serialize_with = "as_rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub last: Millis,
}

/// The last instant of which the store knows something: from then on it is not known what was sent.
pub(super) async fn last_known(conn: &mut AnyConnection, now: Millis) -> sqlx::Result<Millis> {
    if let Some(reached) = tally::reached(conn).await? {
        return Ok(reached);
    }
    let row = sqlx::query("SELECT MAX(id) AS last FROM reminder").fetch_one(conn).await?;
    Ok(row.get::<Option<i64>, _>("last").map_or(now, |last| ReminderId(last).created_at()))
}

/// Puts the store on hold, as one that was restored.
pub(super) struct SetHold;

impl Single for SetHold {
    const WHAT: Option<&'static str> = Some("the store was put on hold");

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let now = tx.now;
        let as_of = last_known(tx.conn().await?, now).await?;
        // No mark that is under way slips past it.
        tx.raise_epoch("true").await?;
        hold(tx.conn().await?, Reason::Restored, as_of).await
    }
}

/// Ends the hold. What became due by `taken` was taken for sent.
pub(super) struct EndHold {
    taken: Option<Millis>,
}

impl Single for EndHold {
    const WHAT: Option<&'static str> = Some("a hold was ended");

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        if tx.dialect == Dialect::Postgres {
            // Whoever was waited for is not any more.
            sqlx::query("DELETE FROM awaited").execute(tx.conn().await?).await?;
        }
        let sql = "UPDATE hold SET released_at = $1, sends = $2, taken_until = $3 WHERE released_at IS NULL";
        let sends = i64::from(self.taken.is_none());
        sqlx::query(sql).bind(tx.now).bind(sends).bind(self.taken).execute(tx.conn().await?).await.map(drop)
    }
}

/// The last reminder that the store is in doubt about, while it is on hold.
pub(super) async fn doubtful(tx: &mut Tx<'_>) -> sqlx::Result<Option<ReminderId>> {
    let sql = "SELECT MAX(last_id) AS last_id FROM hold WHERE released_at IS NULL";
    let row = sqlx::query(sql).fetch_one(tx.conn().await?).await?;
    Ok(row.get::<Option<i64>, _>("last_id").map(ReminderId))
}

/// Whether a backup was ever put in the place of this store: then consents may have come that it does not know.
pub(super) async fn was_restored(tx: &mut Tx<'_>) -> sqlx::Result<bool> {
    // While one may still end by itself, it is not known yet whether anything is lost.
    let sql = match tx.dialect {
        Dialect::Sqlite => "SELECT as_of FROM hold LIMIT 1",
        Dialect::Postgres => "SELECT as_of FROM hold WHERE released_at IS NOT NULL OR NOT by_itself LIMIT 1",
    };
    Ok(sqlx::query(sql).fetch_optional(tx.conn().await?).await?.is_some())
}

/// Puts the store on hold, in doubt about what was sent after `as_of`.
pub(super) async fn hold(conn: &mut AnyConnection, reason: Reason, as_of: Millis) -> sqlx::Result<()> {
    let sql = "INSERT INTO hold (as_of, last_id, reason) SELECT $1, COALESCE(MAX(id), 0), $2 FROM reminder";
    sqlx::query(sql).bind(as_of).bind(reason.word()).execute(conn).await.map(drop)
}

/// How the hold ends that the store is on.
async fn ends(conn: &mut AnyConnection) -> sqlx::Result<Ends> {
    let sql = "SELECT by_itself, stays FROM hold WHERE released_at IS NULL";
    let rows = sqlx::query(sql).fetch_all(&mut *conn).await?;
    let mut lacks: Vec<Lack> = Vec::new();
    for stays in rows.iter().filter_map(|row| row.get::<Option<String>, _>("stays")) {
        lacks.extend(serde_json::from_str::<Vec<Lack>>(&stays).unwrap_or_default());
    }
    let mut lacks: Vec<Message> = lacks.into_iter().map(Lack::message).collect();
    let sql = "SELECT n.name, n.id, n.state = 'gone' AS ended FROM awaited a JOIN node n ON n.id = a.node ORDER BY n.name, n.id";
    let awaited = sqlx::query(sql).fetch_all(conn).await?;
    let named = |ended: bool| -> Vec<String> {
        let name = |row: &AnyRow| format!("{} ({})", row.get::<String, _>("name"), row.get::<i64, _>("id"));
        awaited.iter().filter(|row| row.get::<bool, _>("ended") == ended).map(name).collect()
    };
    let ended = named(true);
    if !ended.is_empty() {
        // They come back under other numbers, and know nothing of what they had written.
        lacks.push(say!("hold_lacks_ended", nodes = ended.join(", ")));
    }
    if !lacks.is_empty() {
        return Ok(Ends::Lacks(lacks));
    }
    if !rows.iter().all(|row| row.get::<bool, _>("by_itself")) {
        return Ok(Ends::ByOperator);
    }
    Ok(Ends::ByItself(named(false)))
}

pub(super) async fn overdue(conn: &mut AnyConnection, last_id: ReminderId, now: Millis) -> sqlx::Result<Vec<Overdue>> {
    let rows = sqlx::query(
        "SELECT a.name, COUNT(*) AS n, MIN(d.due_at) AS first, MAX(d.due_at) AS last
         FROM due d JOIN lane l ON l.id = d.lane JOIN app a ON a.id = l.app WHERE d.due_at <= $1 AND d.id <= $2
         GROUP BY a.name ORDER BY a.name",
    )
    .bind(now)
    .bind(last_id.0)
    .fetch_all(conn)
    .await?;
    let overdue = |row: &AnyRow| Overdue {
        app: row.get("name"),
        n: row.get("n"),
        first: row.get("first"),
        last: row.get("last"),
    };
    Ok(rows.iter().map(overdue).collect())
}

impl Store {
    /// Puts the store on hold, as one that was restored: in doubt about all that it has now.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn set_hold(&self) -> Result<(), StoreError> {
        self.writer.do_one(SetHold).await
    }

    /// Ends the hold. What became due by `taken` was taken for sent; all else that became due is sent.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn end_hold(&self, taken: Option<Millis>) -> Result<(), StoreError> {
        self.writer.do_one(EndHold { taken }).await
    }

    /// The hold that the store is on, if it is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hold(&self) -> Result<Option<Hold>, StoreError> {
        let sql = "SELECT reason, MIN(as_of) AS since, MAX(last_id) AS last_id FROM hold WHERE released_at IS NULL
             GROUP BY reason ORDER BY since, reason";
        let rows = sqlx::query(sql).fetch_all(&self.read).await?;
        let ends = match self.database.dialect {
            Dialect::Postgres if !rows.is_empty() => ends(&mut *self.read.acquire().await?).await?,
            _ => Ends::ByOperator,
        };
        let last_id = rows.iter().map(|row| ReminderId(row.get("last_id"))).max();
        let reasons: Vec<_> = rows.iter().map(|row| (Reason::from_word(row.get("reason")), row.get("since"))).collect();
        Ok(last_id.map(|last_id| Hold { since: reasons[0].1, last_id, reasons, ends }))
    }

    /// The time of which it is not known what was sent: from the backup that was put in the place of the store to the end of the hold. If
    /// that happened more than once, the last time.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn last_gap(&self) -> Result<Option<Gap>, StoreError> {
        let sql = "SELECT MIN(as_of) AS since, MAX(released_at) AS until,
                 MAX(CASE WHEN sends = 0 THEN COALESCE(taken_until, released_at) END) AS taken
             FROM hold WHERE released_at = (SELECT MAX(released_at) FROM hold)";
        let row = sqlx::query(sql).fetch_one(&self.read).await?;
        let times = row.get::<Option<Millis>, _>("since").zip(row.get::<Option<Millis>, _>("until"));
        Ok(times.map(|(from, until)| Gap { from, until, taken: row.get("taken") }))
    }

    /// What became due by `now` of what a hold is in doubt about, by app.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn overdue_on_hold(&self, hold: &Hold, now: Millis) -> Result<Vec<Overdue>, StoreError> {
        let mut conn = self.read.acquire().await?;
        Ok(overdue(&mut conn, hold.last_id, now).await?)
    }
}
