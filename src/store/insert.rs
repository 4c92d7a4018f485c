//! Reminders are inserted, each with its consent held and its key taken.

use super::{
    Store,
    command::{Command, Inserted, Single},
    dialect::Cell,
    error::StoreError,
    ledgers::{self, Claimant, Ledgers, Pair, Wanted},
    names::Names,
    recipients::{self, recipients},
    spent::{self, Spent, TapEvent, Used},
    states::{LAST_STATE, LIVING, state},
    tickets::Tickets,
    tx::Tx,
};
use crate::domain::{
    consent::{Allowance, Feed, Feeds},
    ledger::{Tap, Told},
    reminder::{Claim, NewReminder, ReminderId, State},
};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Inserts reminders. Afterwards each created one is there with its consent held, and its key is taken for ever.
pub(super) async fn insert(tx: &mut Tx<'_>, news: &[NewReminder]) -> sqlx::Result<Vec<Inserted>> {
    insert_as(tx, news, &[]).await
}

/// The same with ids that they had before; further ones get fresh ids.
pub(super) async fn insert_as(
    tx: &mut Tx<'_>,
    news: &[NewReminder],
    ids: &[ReminderId],
) -> sqlx::Result<Vec<Inserted>> {
    if news.is_empty() {
        return Ok(Vec::new());
    }
    let names = tx.names;
    let mut known = Known::read(tx, news).await?;
    let (mut verdicts, mut rows, mut unheld) = (Vec::with_capacity(news.len()), Vec::new(), Vec::new());
    for (i, new) in news.iter().enumerate() {
        let pair = match known.pair_of(names, new) {
            Ok(pair) => pair,
            Err(refused) => {
                verdicts.push(refused);
                continue;
            }
        };
        let place = names.app(&new.app);
        let (app, lane) = (place.id, names.lane_of_user(place, &new.openid));
        // A ticket that another template has brings nothing here.
        let mut is_new = |tap: &Tap| tap.allowance.ticket().is_none_or(|key| known.tickets.take(names, app, key));
        let tap = tap(names, pair.1, new).filter(|tap| is_new(tap));
        let ledger = known.ledgers.of(pair);
        let Some(id) =
            ledger.admit(tap, new.claim, new.standing, new.at, || ids.get(i).copied().unwrap_or_else(|| tx.new_id()))
        else {
            let until = if names.limited(app) { ledger.good_until(new.at) } else { None };
            verdicts.push(until.map_or(Inserted::NoConsent, Inserted::ConsentsEnd));
            continue;
        };
        if new.claim == Claim::AtFire || new.standing {
            unheld.push(Claimant { recipient: pair.0, template: pair.1, reminder: id });
        }
        if let Some(key) = &new.key {
            let owner = KeyOwner { id, digest: new.digest.clone(), state: State::Scheduled };
            known.keys.insert((app, key.clone()), owner);
        }
        let schedule = new.origin.as_ref().map(|origin| origin.schedule);
        tx.tally.reminder(lane, schedule, None, Some(State::Scheduled.into()));
        rows.push(NewRow { id, app, lane, pair, new });
        verdicts.push(Inserted::Created(id));
    }
    known.ledgers.write(tx).await?;
    known.tickets.write(tx).await?;
    ledgers::remember(tx, &unheld).await?;
    write_rows(tx, &rows).await?;
    Ok(verdicts)
}

/// What inserts would come to: they are made, and undone before the transaction ends. Those of one call see each other.
struct Tried(Vec<NewReminder>);

impl Single for Tried {
    const WHAT: Option<&'static str> = None;

    type Done = Vec<Inserted>;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Vec<Inserted>> {
        sqlx::query("SAVEPOINT tried").execute(tx.conn().await?).await?;
        let counted = std::mem::take(&mut tx.tally);
        let verdicts = insert(tx, &self.0).await?;
        tx.tally = counted;
        sqlx::query("ROLLBACK TO SAVEPOINT tried").execute(tx.conn().await?).await?;
        sqlx::query("RELEASE SAVEPOINT tried").execute(tx.conn().await?).await?;
        Ok(verdicts)
    }
}

/// What must be known to insert a batch.
struct Known {
    /// The owners of the keys that were used before, and of those that the batch brings.
    keys: HashMap<(i64, String), KeyOwner>,
    /// The users, by app and openid.
    users: HashMap<(i64, String), i64>,
    /// Those who were forgotten at their wish.
    forgotten: HashSet<(i64, String)>,
    /// What was used by something that is no longer kept.
    spent: Spent,
    /// The tickets that were recorded before, and those that the batch brings.
    tickets: Tickets,
    ledgers: Ledgers,
}

impl Known {
    async fn read(tx: &mut Tx<'_>, news: &[NewReminder]) -> sqlx::Result<Self> {
        let (keys, names) = (known_keys(tx, news).await?, tx.names);
        let users_of = |news: &mut dyn Iterator<Item = &NewReminder>| -> Vec<(i64, String)> {
            news.map(|new| (names.app(&new.app).id, new.openid.clone())).collect()
        };
        let is_known = |new: &NewReminder| {
            !keys.is_empty()
                && new.key.as_ref().is_some_and(|key| keys.contains_key(&(names.app(&new.app).id, key.clone())))
        };
        // Only a reminder that brings its consent, or will look for one later, makes a user known; one whose key was used brings nothing.
        let brings = |new: &&NewReminder| (new.accepted.is_some() || new.claim == Claim::AtFire) && !is_known(new);
        let mut users = recipients(tx, &users_of(&mut news.iter().filter(brings)), true).await?;
        users.extend(recipients(tx, &users_of(&mut news.iter().filter(|new| !brings(new))), false).await?);
        let unknown = news.iter().map(|new| (names.app(&new.app).id, new.openid.as_str()));
        let unknown: Vec<(i64, &str)> =
            unknown.filter(|(app, openid)| !users.contains_key(&(*app, (*openid).to_owned()))).collect();
        let forgotten = recipients::forgotten(tx, &unknown).await?;
        let (spent, tickets, ledgers) = (Spent::default(), Tickets::default(), Ledgers::default());
        let mut known = Self { keys, users, forgotten, spent, tickets, ledgers };
        known.read_ledgers(tx, news).await?;
        Ok(known)
    }

    async fn read_ledgers(&mut self, tx: &mut Tx<'_>, news: &[NewReminder]) -> sqlx::Result<()> {
        let names = tx.names;
        let wanted = news.iter().filter(|new| new.accepted.is_some() || new.claim == Claim::Reserve);
        let wanted = wanted.filter_map(|new| {
            let (recipient, template) = self.find_pair(names, new)?;
            let event = new.accepted.as_ref().and_then(|a| a.event.clone());
            let reconcile = names.feeds(names.app(&new.app).id) == Feeds::Reconcile;
            Some(Wanted { recipient, template, grants: new.accepted.is_some(), reconcile, event })
        });
        let wanted: BTreeSet<Wanted> = wanted.collect();
        let events = news.iter().filter_map(|new| {
            let event = new.accepted.as_ref()?.event.as_deref()?;
            let pair = self.find_pair(names, new)?;
            Some(TapEvent { app: names.app(&new.app).id, openid: &new.openid, pair, event })
        });
        let events: Vec<TapEvent<'_>> = events.collect();
        let keys = news.iter().filter_map(|new| Some((names.app(&new.app).id, Used::Key(new.key.as_deref()?))));
        let used: Vec<(i64, Used<'_>)> = keys.chain(events.iter().map(|event| event.used(names))).collect();
        self.ledgers = Ledgers::available(tx, &wanted).await?;
        self.spent = spent::spent(tx, &used).await?;
        self.spent.recall(names, &mut self.ledgers, &events);
        let brought = news.iter().filter_map(|new| {
            let ticket = new.accepted.as_ref()?.ticket.as_ref().and_then(Allowance::ticket)?;
            Some((names.app(&new.app).id, ticket))
        });
        self.tickets = Tickets::read(tx, &brought.collect::<Vec<_>>()).await?;
        Ok(())
    }

    fn find_pair(&self, names: &Names, new: &NewReminder) -> Option<Pair> {
        let app = names.app(&new.app).id;
        Some((*self.users.get(&(app, new.openid.clone()))?, names.template(app, &new.template)))
    }

    /// The pair whose consent a new reminder wants; or why it is not inserted, whatever consents there are.
    fn pair_of(&self, names: &Names, new: &NewReminder) -> Result<Pair, Inserted> {
        let app = names.app(&new.app).id;
        if let Some(key) = &new.key
            && let Some(owner) = self.keys.get(&(app, key.clone()))
        {
            return Err(owner.verdict(new));
        }
        let pair = self.find_pair(names, new);
        if pair.is_none() && self.forgotten.contains(&(app, new.openid.clone())) {
            return Err(Inserted::Forgotten);
        }
        if let Some(key) = &new.key
            && self.spent.has(names, app, Used::Key(key))
        {
            return Err(Inserted::Spent);
        }
        pair.ok_or(Inserted::NoConsent)
    }
}

/// The tap that a new reminder brings.
fn tap(names: &Names, template: i64, new: &NewReminder) -> Option<Tap> {
    let tap = new.accepted.as_ref()?;
    let allowance = if new.standing { Allowance::Standing } else { names.allowance(template) };
    let allowance = tap.ticket.clone().unwrap_or(allowance);
    let told = Told { feed: Feed::Client, source: tap.source.clone() };
    Some(Tap { at: tap.at, allowance, event: tap.event.clone(), told })
}

/// A reminder that is inserted.
pub(super) struct NewRow<'a> {
    pub id: ReminderId,
    pub app: i64,
    pub lane: i64,
    pub pair: Pair,
    pub new: &'a NewReminder,
}

impl NewRow<'_> {
    /// The columns of [`Self::cells`].
    const COLUMNS: [&'static str; 20] = [
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
        "schedule",
        "row_number",
        "row_key",
        "occasion",
        "occurrence",
        "moves",
    ];

    fn schedule(&self) -> Option<i64> {
        self.new.origin.as_ref().map(|origin| origin.schedule)
    }

    fn cells(&self) -> [Cell<'_>; 20] {
        let Self { id, lane, pair, new, .. } = self;
        // The options of a platform that have a column.
        let option = |name: &str| new.options.get(name).map(String::as_str).into();
        let origin = new.origin.as_ref();
        [
            id.0.into(),
            (*lane).into(),
            pair.0.into(),
            pair.1.into(),
            new.at.into(),
            new.expires_at.into(),
            i64::from(new.claim == Claim::AtFire).into(),
            i64::from(new.standing).into(),
            new.data.as_str().into(),
            new.page.as_deref().into(),
            new.key.as_deref().into(),
            new.local_at.as_deref().into(),
            option("lang"),
            option("miniprogram_state"),
            self.schedule().into(),
            origin.and_then(|origin| origin.row).map(i64::from).into(),
            origin.and_then(|origin| origin.key.as_deref()).into(),
            origin.map(|origin| origin.occasion.as_str()).into(),
            origin.map(|origin| origin.occurrence.as_str()).filter(|name| !name.is_empty()).into(),
            i64::from(origin.is_some_and(|origin| origin.moves)).into(),
        ]
    }
}

/// Writes reminders, their living rows and their keys.
pub(super) async fn write_rows(tx: &mut Tx<'_>, rows: &[NewRow<'_>]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let reminders = tx.dialect.new_rows(NewRow::COLUMNS, rows.iter().map(NewRow::cells));
    tx.run(
        "INSERT INTO reminder (id, lane, recipient, template, at, expires_at, at_fire, standing, data, page, key, local_at, lang,
                               miniprogram_state, schedule, row_number, row_key, occasion, occurrence, moves)
         SELECT r.id, r.lane, r.recipient, r.template, r.at, r.expires_at, r.at_fire, r.standing, r.data, r.page, r.key, r.local_at,
                r.lang, r.miniprogram_state, r.schedule, r.row_number, r.row_key, r.occasion, r.occurrence, r.moves FROM {rows}",
        &reminders,
    )
    .await?;
    let due = rows.iter().map(|row| [row.id.0.into(), row.lane.into(), row.new.at.into(), row.schedule().into()]);
    let due = tx.dialect.new_rows(["id", "lane", "due_at", "schedule"], due);
    let sql = "INSERT INTO due (lane, due_at, id, schedule) SELECT r.lane, r.due_at, r.id, r.schedule FROM {rows}";
    tx.run(sql, &due).await?;
    let keyed: Vec<&NewRow<'_>> = rows.iter().filter(|row| row.new.key.is_some()).collect();
    if !keyed.is_empty() {
        let cells = keyed.iter().map(|row| {
            [row.app.into(), row.new.key.as_deref().into(), row.id.0.into(), row.new.digest.as_str().into()]
        });
        let keys = tx.dialect.rows(["app", "key", "reminder", "digest"], cells);
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
    /// What an insert with its key comes to. A cancelled reminder is no answer: the caller who asks again wants one that is sent.
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

impl Store {
    /// Inserts reminders; durable when it returns, in the order given.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn insert(&self, news: Vec<NewReminder>) -> Result<Vec<Inserted>, StoreError> {
        self.writer.ask(|answer| Command::Insert(news, answer)).await
    }

    /// What [`Self::insert`] would come to now. Nothing is kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn try_insert(&self, news: Vec<NewReminder>) -> Result<Vec<Inserted>, StoreError> {
        self.writer.do_one(Tried(news)).await
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
}
