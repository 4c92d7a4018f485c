//! Reminders in SQL, as they are stored and found.

use super::{
    Store,
    error::StoreError,
    ledgers::Pair,
    names::Names,
    port::Target,
    reasons,
    states::{LAST_STATE, LIVING, state},
    tx::Tx,
};
use crate::domain::{
    Millis,
    due::Due,
    options::Options,
    reminder::{Claim, Origin, ReminderId, State},
    retention::Parts,
    story::Event,
};
use sqlx::{AnyConnection, AssertSqlSafe, Row, any::AnyRow};

/// A reminder as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What decides about it; at the end `due_at` is the instant and `fence` the last outcome's.
    pub due: Due,
    /// Its lane.
    pub lane: i64,
    /// The app's name.
    pub app: String,
    /// The user.
    pub openid: String,
    /// The platform's template id.
    pub template: String,
    /// Page that opens on tap.
    pub page: Option<String>,
    /// The field values as a JSON object of strings.
    pub data: String,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// How it comes by its consent.
    pub claim: Claim,
    /// The wall time and zone that its owner wrote.
    pub local_at: Option<String>,
    /// The last word said about it: the platform's code, or tixing's.
    pub reason: Option<String>,
    /// Whether its message was delivered, once the platform has said so.
    pub delivered: Option<bool>,
    /// What of it is no longer kept.
    pub erased: Parts,
    /// The schedule that it comes from, if it comes from one.
    pub origin: Option<Origin>,
    /// What was chosen of the platform's options.
    pub options: Options,
    /// When its owner or its schedule changed it last.
    changed_at: Option<Millis>,
    /// When the last thing happened to it: an attempt, or its end.
    settled_at: Option<Millis>,
    /// When the platform's receipt came.
    received_at: Option<Millis>,
    recipient: i64,
    template_id: i64,
    standing: bool,
}

impl Stored {
    /// Since when it is known that the platform has accepted its message.
    pub fn sent_at(&self) -> Option<Millis> {
        self.settled_at.filter(|_| self.due.state == State::Sent)
    }

    /// When anything of it changed last: it was inserted or changed, something happened to it, or its receipt came.
    pub fn updated_at(&self) -> Millis {
        let later = [self.changed_at, self.settled_at, self.received_at];
        later.into_iter().flatten().fold(self.due.id.created_at(), Millis::max)
    }

    /// Its user and template.
    pub(super) fn pair(&self) -> Pair {
        (self.recipient, self.template_id)
    }

    /// Its row, if it lives in this state.
    pub(super) fn target_in(&self, state: State) -> Option<Target> {
        (self.due.state == state).then(|| Target {
            due: self.due.clone(),
            lane: self.lane,
            recipient: self.recipient,
            template: self.template_id,
            standing: self.standing,
            schedule: self.origin.as_ref().map(|origin| origin.schedule),
            marker: None,
            epoch: None,
        })
    }
}

/// The columns of a [`Stored`], whether it lives or has ended.
pub(super) const STORED: &str =
    "m.id, m.lane, m.recipient, m.template, m.at, m.expires_at, m.at_fire, m.standing, m.data, m.page, m.key,
    m.local_at, m.lang, m.miniprogram_state, m.changed_at, m.schedule, m.row_number, m.row_key, m.occasion, m.occurrence, m.moves, p.openid, (SELECT x.code FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id
                           ORDER BY x.fence DESC LIMIT 1) AS reason,
    (SELECT x.ended_at FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id ORDER BY x.fence DESC LIMIT 1) AS settled_at,
    (SELECT q.received_at FROM receipt q WHERE q.lane = m.lane AND q.at = m.at AND q.id = m.id) AS received_at,
    (SELECT COALESCE(q.failure, '') FROM receipt q WHERE q.lane = m.lane AND q.at = m.at AND q.id = m.id) AS receipt,
    (SELECT x.erased FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id AND x.next_at IS NULL) AS erased";
/// Those of its living row.
pub(super) const OF_DUE: &str = "d.due_at, d.state, d.fence, d.tries, d.unsure, d.doubt_since";
/// The same of one whose last outcome is `o`: it has no living row, and `o.next_at` is null at the end.
pub(super) const OF_END: &str = "o.next_at AS due_at, o.next_at AS state, o.fence, o.next_at AS tries, o.next_at AS unsure, o.next_at AS doubt_since";

/// `outcome.erased` of a reminder whose body is gone.
pub(super) const BODY: i64 = 1;
/// The same of one of whose attempts only the last is kept.
pub(super) const ATTEMPTS: i64 = 2;

/// What was taken from an ended reminder before.
pub(super) fn erased(row: &AnyRow) -> Parts {
    let bits = row.get::<Option<i64>, _>("erased").unwrap_or_default();
    Parts { body: bits & BODY != 0, attempts: bits & ATTEMPTS != 0, all: false }
}

/// Finds one reminder, living or ended.
pub(super) async fn find(conn: &mut AnyConnection, names: &Names, id: ReminderId) -> sqlx::Result<Option<Stored>> {
    let sql = format!(
        "SELECT {STORED}, {OF_DUE}, {LAST_STATE} AS ended FROM reminder m JOIN recipient p ON p.id = m.recipient {LIVING} WHERE m.id = $1"
    );
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id.0).fetch_optional(conn).await?;
    Ok(row.map(|row| stored(&row, names)))
}

/// The same in a transaction.
pub(super) async fn find_in(tx: &mut Tx<'_>, id: ReminderId) -> sqlx::Result<Option<Stored>> {
    let (conn, _, names) = tx.parts().await?;
    find(conn, names, id).await
}

/// Reads the columns of [`STORED`] and [`OF_DUE`], and `ended`: the word of its last outcome's state.
pub(super) fn stored(row: &AnyRow, names: &Names) -> Stored {
    let lane: i64 = row.get("lane");
    let template: i64 = row.get("template");
    Stored {
        due: Due {
            id: ReminderId(row.get("id")),
            due_at: row.get::<Option<i64>, _>("due_at").unwrap_or_else(|| row.get("at")),
            at: row.get("at"),
            expires_at: row.get("expires_at"),
            state: state(row),
            fence: row.get::<Option<i64>, _>("fence").unwrap_or_default(),
            tries: row.get::<Option<i64>, _>("tries").and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
            unsure: row.get::<Option<i64>, _>("unsure").and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
            doubt_since: row.get("doubt_since"),
        },
        lane,
        app: names.app_of_lane(lane).to_owned(),
        openid: row.get("openid"),
        template: names.code(template).to_owned(),
        page: row.get("page"),
        data: row.get("data"),
        key: row.get("key"),
        claim: if row.get::<i64, _>("at_fire") != 0 { Claim::AtFire } else { Claim::Reserve },
        local_at: row.get("local_at"),
        reason: row.get("reason"),
        delivered: row.get::<Option<String>, _>("receipt").map(|failure| failure.is_empty()),
        erased: erased(row),
        origin: origin(row),
        options: options(row),
        changed_at: row.get("changed_at"),
        settled_at: row.get("settled_at"),
        received_at: row.get("received_at"),
        recipient: row.get("recipient"),
        template_id: template,
        standing: row.get::<i64, _>("standing") != 0,
    }
}

/// The options that a row has columns for.
pub(super) fn options(row: &AnyRow) -> Options {
    let chosen =
        ["lang", "miniprogram_state"].into_iter().filter_map(|name| Some((name, row.get::<Option<String>, _>(name)?)));
    chosen.collect()
}

fn origin(row: &AnyRow) -> Option<Origin> {
    Some(Origin {
        schedule: row.get::<Option<i64>, _>("schedule")?,
        row: row.get::<Option<i64>, _>("row_number").and_then(|n| u32::try_from(n).ok()),
        key: row.get("row_key"),
        occasion: row.get::<Option<String>, _>("occasion").unwrap_or_default(),
        occurrence: row.get::<Option<String>, _>("occurrence").unwrap_or_default(),
        moves: row.get::<i64, _>("moves") != 0,
    })
}

/// All reminders of a user.
pub(super) async fn of_recipient(tx: &mut Tx<'_>, recipient: i64) -> sqlx::Result<Vec<Stored>> {
    let sql = format!(
        "SELECT {STORED}, {OF_DUE}, {LAST_STATE} AS ended FROM recipient p
         JOIN reminder m ON m.id IN (SELECT c.reminder FROM consent c WHERE c.recipient = p.id AND c.reminder IS NOT NULL
                                     UNION SELECT u.reminder FROM unheld u WHERE u.recipient = p.id)
         {LIVING} WHERE p.id = $1"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(recipient).fetch_all(tx.conn().await?).await?;
    Ok(rows.iter().map(|row| stored(row, tx.names)).collect())
}

impl Store {
    /// One reminder, living or ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn reminder(&self, id: ReminderId) -> Result<Option<Stored>, StoreError> {
        let mut conn = self.read.acquire().await?;
        Ok(find(&mut conn, &self.names, id).await?)
    }

    /// The reminder that an idempotency key belongs to, if it is kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn id_of_key(&self, app: &str, key: &str) -> Result<Option<ReminderId>, StoreError> {
        let query = sqlx::query("SELECT reminder FROM idempotency WHERE app = $1 AND key = $2");
        let row = query.bind(self.names.app(app).id).bind(key).fetch_optional(&self.read).await?;
        Ok(row.map(|row| ReminderId(row.get("reminder"))))
    }

    /// What happened to a reminder, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn events(&self, stored: &Stored) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query(
            "SELECT began_at, ended_at, state, code, reason, text, message_id FROM outcome
             WHERE lane = $1 AND at = $2 AND id = $3 ORDER BY fence",
        )
        .bind(stored.lane)
        .bind(stored.due.at)
        .bind(stored.due.id.0)
        .fetch_all(&self.read)
        .await?;
        let event = |row: &AnyRow| {
            Some(Event {
                began_at: row.get("began_at"),
                ended_at: row.get("ended_at"),
                state: State::from_word(&row.get::<String, _>("state"))?,
                code: row.get("code"),
                reason: reasons::read(row),
                text: row.get("text"),
                message_id: row.get("message_id"),
            })
        };
        Ok(rows.iter().filter_map(event).collect())
    }
}
