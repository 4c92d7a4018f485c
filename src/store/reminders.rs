//! Reminders in SQL: inserted, found, listed, changed and cancelled by their owners.

use super::{
    Names, Store, StoreError,
    dialect::Cell,
    ledgers::{self, Claimant, Ledgers, Pair, Wanted},
    port::{Entry, Ring, Target},
    queue::{self, LIVING, living_state},
    retention::{self, Event as TapEvent, Used},
    tx::Tx,
    users,
    writer::Single,
};
use crate::domain::{
    Millis,
    consent::{Allowance, Feed, Feeds},
    decide::called_off,
    draft::Change,
    due::Due,
    ledger::{Tap, Told},
    reminder::{Claim, NewReminder, ReminderId, State},
    retention::Parts,
    settle::{Consent, Settlement, TEMPLATE_HELD},
};
use sqlx::{AnyConnection, AssertSqlSafe, Row, any::AnyRow};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What an insert came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// A new reminder, which holds its consent.
    Created(ReminderId),
    /// The same key and body came before: that reminder, and where it stands.
    Replayed(ReminderId, State),
    /// The key belongs to another body: that reminder's.
    KeyConflict(ReminderId),
    /// The key belongs to a reminder that was cancelled, whatever the body; nothing was written.
    KeyCancelled(ReminderId),
    /// The key belonged to a reminder that has ended and is no longer kept, or whose user was forgotten; nothing was written.
    Spent,
    /// No consent was available to reserve; nothing was written.
    NoConsent,
    /// The user was forgotten at their wish; nothing was written.
    Forgotten,
    /// The database refuses this very content; nothing was written.
    Refused,
}

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
    /// The wall time and zone that somebody wrote.
    pub local_at: Option<String>,
    /// The last word said about it: the platform's code, or tixing's.
    pub reason: Option<String>,
    /// Whether its message was delivered, once the platform has said so.
    pub delivered: Option<bool>,
    /// What of it is no longer kept.
    pub erased: Parts,
    recipient: i64,
    template_id: i64,
    standing: bool,
}

impl Stored {
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
        })
    }
}

/// One thing that happened to a reminder: an attempt if `began_at` is set, else a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When the call began.
    pub began_at: Option<Millis>,
    /// When the outcome was known.
    pub ended_at: Millis,
    /// The state after it.
    pub state: State,
    /// The platform's code, or tixing's word.
    pub code: Option<String>,
    /// The platform's text, or tixing's sentence.
    pub text: Option<String>,
    /// The platform's message id.
    pub message_id: Option<String>,
}

/// What a change or a cancellation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Written.
    Yes,
    /// It is no longer scheduled but in this state; nothing was written.
    NotScheduled(State),
    /// Its deadline would not follow its instant, now that another change has moved one of them; nothing was written.
    BadDeadline,
    /// There is no such reminder.
    NotFound,
}

/// Which reminders to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these apps.
    pub apps: Vec<String>,
    /// Only this user's.
    pub openid: Option<String>,
    /// Only of these templates, by app the platform's id; all templates of an app that is not among them.
    pub templates: BTreeMap<String, String>,
    /// Only in this state.
    pub state: Option<State>,
    /// Only those of which the platform has said that they were delivered, or were not.
    pub delivered: Option<bool>,
    /// Instants at or after this.
    pub from: Option<Millis>,
    /// Instants before this.
    pub to: Option<Millis>,
    /// Only after this place in the order of (instant, id).
    pub after: Option<(Millis, ReminderId)>,
    /// At most so many.
    pub limit: usize,
}

/// Finds, and with `create` makes, the rows of users; of those who were forgotten there is none.
pub(super) async fn recipients(
    tx: &mut Tx<'_>,
    wanted: &[(i64, String)],
    create: bool,
) -> sqlx::Result<HashMap<(i64, String), i64>> {
    let mut users: Vec<(i64, &str)> = wanted.iter().map(|(app, openid)| (*app, openid.as_str())).collect();
    users.sort_unstable();
    users.dedup();
    let mut found = HashMap::with_capacity(users.len());
    if users.is_empty() {
        return Ok(found);
    }
    const COLUMNS: [&str; 2] = ["app", "openid"];
    let wanted = tx.dialect.rows(COLUMNS, users.iter().map(|(app, openid)| [(*app).into(), (*openid).into()]));
    let mut keep = |rows: Vec<AnyRow>| {
        for row in rows {
            found.insert((row.get("app"), row.get("openid")), row.get("id"));
        }
    };
    let find = "SELECT p.app, p.openid, p.id FROM {rows} JOIN recipient p ON p.app = r.app AND p.openid = r.openid";
    keep(tx.rows(find, &wanted).await?);
    if create {
        users.retain(|(app, openid)| !found.contains_key(&(*app, (*openid).to_owned())));
        let gone = users::forgotten(tx, &users).await?;
        users.retain(|(app, openid)| !gone.contains(&(*app, (*openid).to_owned())));
        if !users.is_empty() {
            let missing = tx.dialect.rows(COLUMNS, users.iter().map(|(app, openid)| [(*app).into(), (*openid).into()]));
            let create = "INSERT INTO recipient (app, openid) SELECT r.app, r.openid FROM {rows} WHERE true
                 ON CONFLICT (app, openid) DO UPDATE SET app = excluded.app RETURNING app, openid, id";
            for row in tx.rows(create, &missing).await? {
                found.insert((row.get("app"), row.get("openid")), row.get("id"));
            }
        }
    }
    Ok(found)
}

struct NewRow<'a> {
    id: i64,
    lane: i64,
    recipient: i64,
    template: i64,
    at: Millis,
    expires_at: Millis,
    at_fire: i64,
    standing: i64,
    data: &'a str,
    page: Option<&'a str>,
    key: Option<&'a str>,
    local_at: Option<&'a str>,
    lang: Option<&'a str>,
    miniprogram_state: Option<&'a str>,
}

impl NewRow<'_> {
    fn cells(&self) -> [Cell<'_>; 14] {
        [
            self.id.into(),
            self.lane.into(),
            self.recipient.into(),
            self.template.into(),
            self.at.into(),
            self.expires_at.into(),
            self.at_fire.into(),
            self.standing.into(),
            self.data.into(),
            self.page.into(),
            self.key.into(),
            self.local_at.into(),
            self.lang.into(),
            self.miniprogram_state.into(),
        ]
    }
}

struct NewKey<'a> {
    app: i64,
    key: &'a str,
    reminder: i64,
    digest: &'a str,
}

/// Inserts reminders. Afterwards each created one is there with its consent held, and its key is taken for ever.
pub(super) async fn insert(tx: &mut Tx<'_>, news: &[NewReminder]) -> sqlx::Result<Vec<Inserted>> {
    let mut keys = known_keys(tx, news).await?;
    let names = tx.names;
    let users_of = |news: &mut dyn Iterator<Item = &NewReminder>| -> Vec<(i64, String)> {
        news.map(|new| (names.app(&new.app).id, new.openid.clone())).collect()
    };
    // Only a reminder that brings its consent, or will look for one later, makes a user known; one whose key was used brings nothing.
    let is_known = |new: &NewReminder| {
        !keys.is_empty()
            && new.key.as_ref().is_some_and(|key| keys.contains_key(&(names.app(&new.app).id, key.clone())))
    };
    let brings = |new: &&NewReminder| (new.accepted.is_some() || new.claim == Claim::AtFire) && !is_known(new);
    let mut users = recipients(tx, &users_of(&mut news.iter().filter(brings)), true).await?;
    users.extend(recipients(tx, &users_of(&mut news.iter().filter(|new| !brings(new))), false).await?);
    let pair = |new: &NewReminder| -> Option<Pair> {
        let app = names.app(&new.app).id;
        Some((*users.get(&(app, new.openid.clone()))?, names.template(app, &new.template)))
    };
    let unknown = news.iter().map(|new| (names.app(&new.app).id, new.openid.as_str()));
    let unknown: Vec<(i64, &str)> =
        unknown.filter(|(app, openid)| !users.contains_key(&(*app, (*openid).to_owned()))).collect();
    let gone = users::forgotten(tx, &unknown).await?;
    let wanted: BTreeSet<Wanted> = news
        .iter()
        .filter(|new| new.accepted.is_some() || new.claim == Claim::Reserve)
        .filter_map(|new| {
            let (recipient, template) = pair(new)?;
            let event = new.accepted.as_ref().and_then(|a| a.event.clone());
            let reconcile = names.feeds(names.app(&new.app).id) == Feeds::Reconcile;
            Some(Wanted { recipient, template, grants: new.accepted.is_some(), reconcile, event })
        })
        .collect();
    let mut ledgers = Ledgers::available(tx, &wanted).await?;
    let events = news.iter().filter_map(|new| {
        let event = new.accepted.as_ref()?.event.as_deref()?;
        Some(TapEvent { app: names.app(&new.app).id, openid: &new.openid, pair: pair(new)?, event })
    });
    let events: Vec<TapEvent<'_>> = events.collect();
    let fresh = news.iter().filter_map(|new| Some((names.app(&new.app).id, Used::Key(new.key.as_deref()?))));
    let used: Vec<(i64, Used<'_>)> = fresh.chain(events.iter().map(|event| event.used(names))).collect();
    let spent = retention::spent(tx, &used).await?;
    spent.recall(names, &mut ledgers, &events);

    let mut verdicts = Vec::with_capacity(news.len());
    let (mut rows, mut new_keys, mut unheld) = (Vec::new(), Vec::new(), Vec::new());
    for new in news {
        let super::Place { id: app, lane } = names.app(&new.app);
        if let Some(key) = &new.key
            && let Some(owner) = keys.get(&(app, key.clone()))
        {
            verdicts.push(owner.verdict(new));
            continue;
        }
        let pair = pair(new);
        if pair.is_none() && gone.contains(&(app, new.openid.clone())) {
            verdicts.push(Inserted::Forgotten);
            continue;
        }
        if let Some(key) = &new.key
            && spent.has(names, app, Used::Key(key))
        {
            verdicts.push(Inserted::Spent);
            continue;
        }
        let Some(pair) = pair else {
            verdicts.push(Inserted::NoConsent);
            continue;
        };
        let admitted = ledgers.of(pair).admit(tap(new), new.claim, new.standing, new.at, || tx.new_id());
        let Some(id) = admitted else {
            verdicts.push(Inserted::NoConsent);
            continue;
        };
        if new.claim == Claim::AtFire || new.standing {
            unheld.push(Claimant { recipient: pair.0, template: pair.1, reminder: id });
        }
        if let Some(key) = &new.key {
            let owner = KeyOwner { id, digest: new.digest.clone(), state: State::Scheduled };
            keys.insert((app, key.clone()), owner);
            new_keys.push(NewKey { app, key, reminder: id.0, digest: &new.digest });
        }
        tx.tally.reminder(lane, None, Some(State::Scheduled));
        rows.push(NewRow {
            id: id.0,
            lane,
            recipient: pair.0,
            template: pair.1,
            at: new.at,
            expires_at: new.expires_at,
            at_fire: i64::from(new.claim == Claim::AtFire),
            standing: i64::from(new.standing),
            data: &new.data,
            page: new.page.as_deref(),
            key: new.key.as_deref(),
            local_at: new.local_at.as_deref(),
            lang: new.lang.as_deref(),
            miniprogram_state: new.miniprogram_state.as_deref(),
        });
        verdicts.push(Inserted::Created(id));
    }
    ledgers.write(tx).await?;
    ledgers::remember(tx, &unheld).await?;
    write_rows(tx, &rows, &new_keys).await?;
    Ok(verdicts)
}

/// The tap that a new reminder brings.
fn tap(new: &NewReminder) -> Option<Tap> {
    let tap = new.accepted.as_ref()?;
    let allowance = if new.standing { Allowance::Standing } else { Allowance::Once };
    let told = Told { feed: Feed::Client, source: tap.source.clone() };
    Some(Tap { at: tap.at, allowance, event: tap.event.clone(), told })
}

async fn write_rows(tx: &mut Tx<'_>, rows: &[NewRow<'_>], keys: &[NewKey<'_>]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = [
        "id",
        "lane",
        "recipient",
        "template",
        "at",
        "expires_at",
        "at_fire",
        "standing",
        "data",
        "page",
        "key",
        "local_at",
        "lang",
        "miniprogram_state",
    ];
    let reminders = tx.dialect.rows(columns, rows.iter().map(NewRow::cells));
    tx.run(
        "INSERT INTO reminder (id, lane, recipient, template, at, expires_at, at_fire, standing, data, page, key, local_at, lang,
                               miniprogram_state)
         SELECT r.id, r.lane, r.recipient, r.template, r.at, r.expires_at, r.at_fire, r.standing, r.data, r.page, r.key, r.local_at,
                r.lang, r.miniprogram_state FROM {rows}",
        &reminders,
    )
    .await?;
    let due = rows.iter().map(|row| [row.lane.into(), row.at.into(), row.id.into()]);
    let due = tx.dialect.rows(["lane", "due_at", "id"], due);
    tx.run("INSERT INTO due (lane, due_at, id) SELECT r.lane, r.due_at, r.id FROM {rows}", &due).await?;
    if !keys.is_empty() {
        let keys = keys.iter().map(|k| [k.app.into(), k.key.into(), k.reminder.into(), k.digest.into()]);
        let keys = tx.dialect.rows(["app", "key", "reminder", "digest"], keys);
        tx.run(
            "INSERT INTO idempotency (app, key, reminder, digest) SELECT r.app, r.key, r.reminder, r.digest FROM {rows}",
            &keys,
        )
        .await?;
    }
    Ok(())
}

/// The reminder that an idempotency key belongs to.
struct KeyOwner {
    id: ReminderId,
    digest: String,
    state: State,
}

impl KeyOwner {
    /// What an insert with its key comes to. A cancelled one answers for no other: whoever asks again wants a reminder.
    fn verdict(&self, new: &NewReminder) -> Inserted {
        if self.state == State::Cancelled {
            Inserted::KeyCancelled(self.id)
        } else if self.digest == new.digest {
            Inserted::Replayed(self.id, self.state)
        } else {
            Inserted::KeyConflict(self.id)
        }
    }
}

async fn known_keys(tx: &mut Tx<'_>, news: &[NewReminder]) -> sqlx::Result<HashMap<(i64, String), KeyOwner>> {
    let names = tx.names;
    let asked: Vec<[Cell<'_>; 2]> =
        news.iter().filter_map(|new| Some([names.app(&new.app).id.into(), new.key.as_deref()?.into()])).collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let asked = tx.dialect.rows(["app", "key"], asked);
    let rows = tx
        .rows(
            "SELECT i.app, i.key, i.reminder, i.digest FROM {rows} JOIN idempotency i ON i.app = r.app AND i.key = r.key",
            &asked,
        )
        .await?;
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    // Where they stand is asked of those alone that came before: new ones, the many, pay nothing for it.
    let ids = tx.dialect.rows(["id"], rows.iter().map(|row| [row.get::<i64, _>("reminder").into()]));
    let sql =
        format!("SELECT m.id, d.state, {LAST_STATE} AS ended FROM {{rows}} JOIN reminder m ON m.id = r.id {LIVING}");
    let states: HashMap<i64, State> =
        tx.rows(&sql, &ids).await?.iter().map(|row| (row.get("id"), state(row))).collect();
    let owner = |row: &AnyRow| {
        let id: i64 = row.get("reminder");
        // A reminder that is gone has nothing to replay.
        let state = states.get(&id).copied().unwrap_or(State::Cancelled);
        ((row.get("app"), row.get("key")), KeyOwner { id: ReminderId(id), digest: row.get("digest"), state })
    };
    Ok(rows.iter().map(owner).collect())
}

/// The columns of a [`Stored`], whether it lives or has ended.
pub(super) const STORED: &str =
    "m.id, m.lane, m.recipient, m.template, m.at, m.expires_at, m.at_fire, m.standing, m.data, m.page, m.key,
    m.local_at, p.openid, (SELECT x.code FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id
                           ORDER BY x.fence DESC LIMIT 1) AS reason,
    (SELECT COALESCE(q.failure, '') FROM receipt q WHERE q.lane = m.lane AND q.at = m.at AND q.id = m.id) AS receipt,
    (SELECT x.erased FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id AND x.next_at IS NULL) AS erased";
/// Those of its living row.
pub(super) const OF_DUE: &str = "d.due_at, d.state, d.fence, d.tries, d.unsure, d.doubt_since";

/// The state after the last thing that happened to the reminder `m`.
pub(super) const LAST_STATE: &str = "(SELECT x.state FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id ORDER BY x.fence DESC LIMIT 1)";

/// Where a reminder stands, by the state of its living row or by the word that its last outcome says.
fn state(row: &AnyRow) -> State {
    match row.get::<Option<i64>, _>("state") {
        Some(number) => living_state(number),
        None => row.get::<Option<String>, _>("ended").as_deref().and_then(State::from_word).unwrap_or(State::Cancelled),
    }
}

/// Finds one reminder, living or ended.
pub(super) async fn find(conn: &mut AnyConnection, names: &Names, id: ReminderId) -> sqlx::Result<Option<Stored>> {
    let sql = format!(
        "SELECT {STORED}, {OF_DUE}, {LAST_STATE} AS ended FROM reminder m JOIN recipient p ON p.id = m.recipient {LIVING} WHERE m.id = $1"
    );
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id.0).fetch_optional(conn).await?;
    Ok(row.map(|row| stored(&row, names)))
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
        erased: retention::erased(row),
        recipient: row.get("recipient"),
        template_id: template,
        standing: row.get::<i64, _>("standing") != 0,
    }
}

/// Cancels a scheduled reminder; its consent is available again. One that an operator wants sent again may have arrived, and keeps its own.
pub(super) struct Cancel(pub ReminderId);

impl Single for Cancel {
    type Done = Changed;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Changed> {
        cancel(tx, self.0).await
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["cancel.before_commit", "cancel.after_commit"])
    }
}

async fn cancel(tx: &mut Tx<'_>, id: ReminderId) -> sqlx::Result<Changed> {
    let Some(stored) = find(&mut *tx.conn, tx.names, id).await? else { return Ok(Changed::NotFound) };
    let Some(target) = stored.target_in(State::Scheduled) else { return Ok(Changed::NotScheduled(stored.due.state)) };
    let settlement = if stored.due.is_doubtful() {
        called_off("cancelled", "its owner cancelled it")
    } else {
        Settlement::end(State::Cancelled, "cancelled", "its owner cancelled it", Consent::Free)
    };
    let ended_at = tx.now;
    let written = queue::settle(tx, &[Entry { target, settlement, began_at: None, ended_at }]).await?;
    Ok(if written == [true] { Changed::Yes } else { Changed::NotScheduled(State::Sending) })
}

/// Changes a scheduled reminder. The fence rises, so that what the engine has read of it before is not sent.
impl Single for (ReminderId, Change) {
    type Done = Changed;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Changed> {
        change(tx, self.0, &self.1).await
    }

    /// A change of the body alone must be read again too; where it lies is not known here, so all of it is looked at.
    fn ring(&self) -> Option<Ring> {
        Some(self.1.at.as_ref().map_or(Ring::EVERYTHING, |(at, _)| Ring { from: *at, until: *at }))
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["change.before_commit", "change.after_commit"])
    }
}

async fn change(tx: &mut Tx<'_>, id: ReminderId, change: &Change) -> sqlx::Result<Changed> {
    let Some(stored) = find(&mut *tx.conn, tx.names, id).await? else { return Ok(Changed::NotFound) };
    if stored.due.state != State::Scheduled {
        return Ok(Changed::NotScheduled(stored.due.state));
    }
    let (at, local_at) = change.at.clone().unwrap_or((stored.due.at, stored.local_at));
    let expires_at = change.expires_at.unwrap_or(stored.due.expires_at);
    if expires_at <= at {
        // Somebody else has changed it since this was checked.
        return Ok(Changed::BadDeadline);
    }
    let mended = change.data.is_some() && stored.reason.as_deref() == Some(TEMPLATE_HELD);
    let due_at = match change.at {
        Some(_) => at,
        // Why it was held may be over.
        None if mended => at.max(tx.now).min(stored.due.due_at),
        None => stored.due.due_at,
    };
    let moved = sqlx::query(
        "UPDATE due SET due_at = $4, fence = fence + 1 WHERE lane = $1 AND due_at = $2 AND id = $3 AND state = $5 AND fence = $6",
    )
    .bind(stored.lane)
    .bind(stored.due.due_at)
    .bind(id.0)
    .bind(due_at)
    .bind(queue::SCHEDULED)
    .bind(stored.due.fence)
    .execute(&mut *tx.conn)
    .await?;
    if moved.rows_affected() == 0 {
        return Ok(Changed::NotScheduled(State::Sending));
    }
    let page = change.page.clone().unwrap_or(stored.page);
    // Past attempts move along, since an outcome is found by its reminder's instant.
    sqlx::query("UPDATE outcome SET at = $4, next_at = $5 WHERE lane = $1 AND at = $2 AND id = $3")
        .bind(stored.lane)
        .bind(stored.due.at)
        .bind(id.0)
        .bind(at)
        .bind(due_at)
        .execute(&mut *tx.conn)
        .await?;
    sqlx::query("UPDATE reminder SET at = $2, expires_at = $3, page = $4, data = $5, local_at = $6 WHERE id = $1")
        .bind(id.0)
        .bind(at)
        .bind(expires_at)
        .bind(page)
        .bind(change.data.clone().unwrap_or(stored.data))
        .bind(local_at)
        .execute(&mut *tx.conn)
        .await?;
    Ok(Changed::Yes)
}

/// All reminders of a user.
pub(super) async fn of_recipient(tx: &mut Tx<'_>, recipient: i64) -> sqlx::Result<Vec<Stored>> {
    let sql = format!(
        "SELECT {STORED}, {OF_DUE}, {LAST_STATE} AS ended FROM recipient p
         JOIN reminder m ON m.id IN (SELECT c.reminder FROM consent c WHERE c.recipient = p.id AND c.reminder IS NOT NULL
                                     UNION SELECT u.reminder FROM unheld u WHERE u.recipient = p.id)
         {LIVING} WHERE p.id = $1"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(recipient).fetch_all(&mut *tx.conn).await?;
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

    /// What an insert would come to because of its key alone: `None` if the key is new, or there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn known_key(&self, new: &NewReminder) -> Result<Option<Inserted>, StoreError> {
        let Some(key) = &new.key else { return Ok(None) };
        let sql = format!(
            "SELECT m.id, i.digest, d.state, {LAST_STATE} AS ended
             FROM idempotency i JOIN reminder m ON m.id = i.reminder {LIVING} WHERE i.app = $1 AND i.key = $2"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.names.app(&new.app).id).bind(key);
        let Some(row) = query.fetch_optional(&self.read).await? else {
            return Ok(self.is_spent(&new.app, key).await?.then_some(Inserted::Spent));
        };
        let owner = KeyOwner { id: ReminderId(row.get("id")), digest: row.get("digest"), state: state(&row) };
        Ok(Some(owner.verdict(new)))
    }

    /// What happened to a reminder, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn events(&self, stored: &Stored) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query(
            "SELECT began_at, ended_at, state, code, text, message_id FROM outcome
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
                text: row.get("text"),
                message_id: row.get("message_id"),
            })
        };
        Ok(rows.iter().filter_map(event).collect())
    }
}
