//! What schedules have planned: each row's occasion is known again for ever, compared with what its file says now, and written in batches.

use super::{
    Store,
    command::Single,
    dialect::{Cell, Dialect, Rows},
    error::StoreError,
    insert::{self, NewRow},
    ledgers::{self, Claimant, Ledgers, Pair},
    names::{Names, Place},
    port::{Entry, Ring},
    recipients,
    reminders::{OF_DUE, STORED, stored},
    settle::settle,
    states::{LAST_STATE, LIVING, state},
    tx::{Tx, bound},
};
use crate::domain::{
    Millis,
    decide::cancelled,
    options::Options,
    reason::Reason,
    reminder::{Claim, NewReminder, Origin, ReminderId, State},
    schedule::{Change, Claims, Known, Planned, Step, Terms},
    settle::{Next, Settlement},
};
use sqlx::{AnyConnection, AssertSqlSafe, Row, any::AnyRow};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// What a file says for all of its reminders, and how a load treats what it finds.
#[derive(Debug, Clone)]
pub struct Loading {
    /// The schedule's row; `None` if it was never loaded.
    pub schedule: Option<i64>,
    /// The app's name.
    pub app: String,
    /// The platform's template id.
    pub template: String,
    /// Whether a consent for the template stands for many sends.
    pub standing: bool,
    /// How its reminders come by their consents.
    pub claims: Claims,
    /// Options of the platform.
    pub options: Options,
    /// How what is known is compared.
    pub terms: Terms,
}

/// A reminder of the file with the digest of what the file says.
#[derive(Debug, Clone)]
pub struct Line {
    /// As the file says it.
    pub planned: Planned,
    /// [`Planned::digest`].
    pub digest: i64,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// What it counts as; `None`: its user was forgotten at their wish.
    pub change: Option<Change>,
    /// Something is to be written for it.
    pub writes: bool,
    /// It takes the place of a reminder that waits for another user, which is cancelled.
    pub replaces: bool,
    /// It is done, and the file says something else by now.
    pub differs: bool,
    /// The user has a consent record in this app, spent or not.
    pub user_known: bool,
    /// The user has an available consent, or a waiting reminder of this schedule that holds one.
    pub has_consent: bool,
}

/// A connection to look with: a reader's, or that of a write transaction.
struct Look<'a> {
    conn: &'a mut AnyConnection,
    dialect: Dialect,
    names: &'a Names,
    /// Rows that may be written are locked.
    locks: bool,
}

impl Look<'_> {
    async fn rows(&mut self, text: &str, rows: &Rows) -> sqlx::Result<Vec<AnyRow>> {
        let text = if self.locks { text.to_owned() } else { text.replace("{lock c}", "") };
        let sql = self.dialect.sql(&text, rows);
        bound(&sql, rows).fetch_all(&mut *self.conn).await
    }
}

/// What the store knows of a line.
struct Found {
    known: Option<Known>,
    /// The reminder that waits under its identity.
    waiting: Option<Waiting>,
    user: Option<i64>,
    forgotten: bool,
}

/// A reminder that waits.
#[derive(Clone, Copy)]
struct Waiting {
    id: ReminderId,
    lane: i64,
    at: Millis,
    due_at: Millis,
    fence: i64,
    row: Option<i64>,
    holds: bool,
}

async fn find(look: &mut Look<'_>, loading: &Loading, lines: &[Line]) -> sqlx::Result<Vec<Found>> {
    let app = look.names.app(&loading.app).id;
    let template = look.names.template(app, &loading.template);
    let users = users(look, app, lines).await?;
    let unknown: BTreeSet<&str> =
        lines.iter().map(|line| line.planned.openid.as_str()).filter(|openid| !users.contains_key(*openid)).collect();
    let gone = forgotten(look, app, &unknown).await?;
    let mut found: Vec<Found> = lines
        .iter()
        .map(|Line { planned, .. }| Found {
            known: None,
            waiting: None,
            user: users.get(&planned.openid).copied(),
            forgotten: gone.contains(planned.openid.as_str()),
        })
        .collect();
    let Some(schedule) = loading.schedule else { return Ok(found) };
    let cells = lines.iter().enumerate().map(|(i, Line { planned, .. })| {
        let i = i64::try_from(i).expect("a batch is small");
        [i.into(), schedule.into(), planned.key.as_str().into(), planned.occasion.as_str().into()]
    });
    let asked = look.dialect.rows(["i", "schedule", "key", "occasion"], cells);
    let sql = format!(
        "SELECT r.i, q.reminder, q.digest, m.lane, m.at, m.recipient, m.template, m.row_number, m.at_fire, d.due_at, d.state, d.fence,
             d.doubt_since, {LAST_STATE} AS ended
         FROM {{rows}} JOIN planned q ON q.schedule = r.schedule AND q.key = r.key AND q.occasion = r.occasion AND q.occurrence = ''
         LEFT JOIN reminder m ON m.id = q.reminder {LIVING}"
    );
    for row in look.rows(&sql, &asked).await? {
        let i = usize::try_from(super::dialect::int(&row, "i")).expect("as it was asked");
        let recipient: Option<i64> = row.get("recipient");
        let same = recipient.is_some()
            && recipient == found[i].user
            && row.get::<Option<i64>, _>("template") == Some(template);
        let state = recipient.map(|_| state(&row));
        let doubtful = row.get::<Option<i64>, _>("doubt_since").is_some();
        found[i].known = Some(Known { digest: row.get("digest"), state, doubtful, same_user: same });
        found[i].waiting = (state == Some(State::Scheduled) && !doubtful).then(|| Waiting {
            id: ReminderId(row.get("reminder")),
            lane: row.get("lane"),
            at: row.get("at"),
            due_at: row.get("due_at"),
            fence: row.get("fence"),
            row: row.get("row_number"),
            holds: row.get::<i64, _>("at_fire") == 0,
        });
    }
    Ok(found)
}

async fn users(look: &mut Look<'_>, app: i64, lines: &[Line]) -> sqlx::Result<HashMap<String, i64>> {
    let openids: BTreeSet<&str> = lines.iter().map(|line| line.planned.openid.as_str()).collect();
    let asked = look.dialect.rows(["app", "openid"], openids.iter().map(|openid| [app.into(), (*openid).into()]));
    let sql = "SELECT p.openid, p.id FROM {rows} JOIN recipient p ON p.app = r.app AND p.openid = r.openid";
    Ok(look.rows(sql, &asked).await?.iter().map(|row| (row.get("openid"), row.get("id"))).collect())
}

async fn forgotten<'l>(look: &mut Look<'_>, app: i64, users: &BTreeSet<&'l str>) -> sqlx::Result<HashSet<&'l str>> {
    let users: Vec<(i64, &str)> = users.iter().map(|openid| (app, *openid)).collect();
    let gone = recipients::forgotten_among(look.conn, look.dialect, look.names, &users).await?;
    Ok(users.into_iter().filter(|(app, openid)| gone.contains(&(*app, (*openid).to_owned()))).map(|(_, o)| o).collect())
}

/// The ledgers of the lines' users with what is available in them.
async fn available(look: &mut Look<'_>, template: i64, found: &[Found]) -> sqlx::Result<Ledgers> {
    let pairs: BTreeSet<i64> = found.iter().filter_map(|found| found.user).collect();
    if pairs.is_empty() {
        return Ok(Ledgers::default());
    }
    let pairs =
        look.dialect.rows(["recipient", "template"], pairs.iter().map(|user| [(*user).into(), template.into()]));
    Ledgers::free(look.conn, look.dialect, look.locks, &pairs).await
}

/// Those of the lines' users who have a consent record in this app, spent or not.
async fn with_record(look: &mut Look<'_>, found: &[Found]) -> sqlx::Result<HashSet<i64>> {
    let users: BTreeSet<i64> = found.iter().filter_map(|found| found.user).collect();
    if users.is_empty() {
        return Ok(HashSet::new());
    }
    let users = look.dialect.rows(["recipient"], users.iter().map(|user| [(*user).into()]));
    let sql = "SELECT r.recipient FROM {rows} WHERE EXISTS (SELECT 1 FROM consent c WHERE c.recipient = r.recipient)";
    Ok(look.rows(sql, &users).await?.iter().map(|row| super::dialect::int(row, "recipient")).collect())
}

/// What becomes of each line, and for one that is stored its id and how it comes by its consent. The ledgers take what is held.
fn judge(
    loading: &Loading,
    template: i64,
    lines: &[Line],
    found: &[Found],
    ledgers: &mut Ledgers,
    mut id: impl FnMut() -> ReminderId,
) -> Vec<(Judged, Option<(ReminderId, Claim)>)> {
    let mut judged = Vec::with_capacity(lines.len());
    for (line, found) in lines.iter().zip(found) {
        let Planned { at, expires_at, row, .. } = &line.planned;
        let free = found.user.is_some_and(|user| ledgers.of((user, template)).has_free(*at));
        let holds = found.waiting.is_some_and(|waiting| waiting.holds);
        let mut verdict = Judged {
            change: None,
            writes: false,
            replaces: false,
            differs: false,
            user_known: false,
            has_consent: free || holds,
        };
        let mut new = None;
        if found.forgotten {
            // What waits there is another's, whom the file no longer names.
            verdict.replaces = found.waiting.is_some();
            verdict.writes = verdict.replaces;
        } else {
            match loading.terms.step(found.known, line.digest, *at, *expires_at) {
                step @ (Step::Add | Step::Replace) => {
                    new = claim(loading, (found.user, template), *at, ledgers, &mut id);
                    verdict.change = Some(if new.is_some() { Change::New } else { Change::NoConsent });
                    verdict.replaces = step == Step::Replace;
                    verdict.writes = new.is_some() || verdict.replaces;
                }
                Step::Update => {
                    verdict.change = Some(Change::Changed);
                    verdict.writes = true;
                }
                Step::Withdraw => {
                    verdict.change = Some(Change::Late);
                    verdict.writes = true;
                }
                Step::Leave { as_, differs } => {
                    let moved = found.waiting.is_some_and(|waiting| waiting.row != row.map(i64::from));
                    verdict.change = Some(as_);
                    verdict.writes = as_ == Change::Same && moved;
                    verdict.differs = differs;
                }
            }
        }
        judged.push((verdict, new));
    }
    judged
}

/// How a new reminder comes by its consent, if it does.
fn claim(
    loading: &Loading,
    (user, template): (Option<i64>, i64),
    at: Millis,
    ledgers: &mut Ledgers,
    id: &mut impl FnMut() -> ReminderId,
) -> Option<(ReminderId, Claim)> {
    let mut admit = |claim| {
        let admitted = match user {
            Some(user) => ledgers.of((user, template)).admit(None, claim, loading.standing, at, &mut *id),
            // Nobody yet: what takes its consent at the instant makes the user known.
            None => (claim == Claim::AtFire).then(&mut *id),
        };
        admitted.map(|id| (id, claim))
    };
    match loading.claims {
        Claims::Reserve => admit(Claim::Reserve),
        Claims::AtFire => admit(Claim::AtFire),
        Claims::Either => admit(Claim::Reserve).or_else(|| admit(Claim::AtFire)),
    }
}

/// Writes what a load says about some lines. `None`: another task has the schedule by now, and nothing was written.
pub(super) struct Write {
    loading: Arc<Loading>,
    nonce: String,
    lines: Vec<Line>,
}

impl Single for Write {
    type Done = Option<Vec<Judged>>;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Self::Done> {
        let (loading, lines) = (&*self.loading, &self.lines);
        let schedule = loading.schedule.expect("a load has begun");
        if !super::schedules::has_task(tx, schedule, &self.nonce).await? {
            return Ok(None);
        }
        let Place { id: app, lane } = tx.names.app(&loading.app);
        let template = tx.names.template(app, &loading.template);
        if loading.claims != Claims::Reserve {
            let users: Vec<(i64, String)> = lines.iter().map(|line| (app, line.planned.openid.clone())).collect();
            recipients::recipients(tx, &users, true).await?;
        }
        let mut ids = (0..lines.len() * 2).map(|_| tx.new_id()).collect::<Vec<_>>().into_iter();
        let mut look = Look { conn: &mut *tx.conn, dialect: tx.dialect, names: tx.names, locks: true };
        let found = find(&mut look, loading, lines).await?;
        let mut ledgers = available(&mut look, template, &found).await?;
        let judged = judge(loading, template, lines, &found, &mut ledgers, || ids.next().expect("two for each line"));
        // What is withdrawn comes first: its identity may be taken by another user's.
        let mut withdrawn = Vec::new();
        for ((line, found), (verdict, _)) in lines.iter().zip(&found).zip(&judged) {
            if let Some(waiting) = found.waiting.filter(|_| verdict.replaces || verdict.change == Some(Change::Late)) {
                withdrawn.push((waiting.id, &line.planned));
            }
        }
        ledgers.write(tx).await?;
        let ids: Vec<ReminderId> = withdrawn.iter().map(|(id, _)| *id).collect();
        withdraw(tx, schedule, &ids, tx.now).await?;
        self.add(tx, (schedule, lane, app, template), &found, &judged).await?;
        self.update(tx, schedule, &found, &judged).await?;
        Ok(Some(judged.into_iter().map(|(verdict, _)| verdict).collect()))
    }

    fn ring(&self) -> Option<Ring> {
        let (from, until) =
            (self.lines.iter().map(|l| l.planned.at).min()?, self.lines.iter().map(|l| l.planned.at).max()?);
        Some(Ring { from, until })
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["load.before_commit", "load.after_commit"])
    }
}

type Verdicts = [(Judged, Option<(ReminderId, Claim)>)];

impl Write {
    async fn add(
        &self,
        tx: &mut Tx<'_>,
        (schedule, lane, app, template): (i64, i64, i64, i64),
        found: &[Found],
        judged: &Verdicts,
    ) -> sqlx::Result<()> {
        let added = self.lines.iter().zip(found).zip(judged).filter_map(|((line, found), (_, new))| {
            let (id, claim) = (*new)?;
            Some((line, found.user.expect("made known before"), id, claim))
        });
        let added: Vec<_> = added.collect();
        let news: Vec<NewReminder> =
            added.iter().map(|(line, _, _, claim)| new_reminder(&self.loading, schedule, line, *claim)).collect();
        let mut unheld = Vec::new();
        let mut rows = Vec::with_capacity(news.len());
        for ((_, user, id, claim), new) in added.iter().zip(&news) {
            if *claim == Claim::AtFire || self.loading.standing {
                unheld.push(Claimant { recipient: *user, template, reminder: *id });
            }
            tx.tally.reminder(lane, Some(schedule), None, Some(State::Scheduled.into()));
            rows.push(NewRow { id: *id, app, lane, pair: (*user, template) as Pair, new });
        }
        ledgers::remember(tx, &unheld).await?;
        insert::write_rows(tx, &rows).await?;
        let known = added.iter().map(|(line, _, id, _)| (line, id.0));
        remember(tx, schedule, known).await
    }

    async fn update(&self, tx: &mut Tx<'_>, schedule: i64, found: &[Found], judged: &Verdicts) -> sqlx::Result<()> {
        let waiting = self.lines.iter().zip(found).zip(judged);
        let waiting = waiting.filter_map(|((line, found), (verdict, _))| Some((line, found.waiting?, verdict)));
        let (mut changed, mut moved) = (Vec::new(), Vec::new());
        for (line, waiting, verdict) in waiting.filter(|(.., verdict)| verdict.writes) {
            match verdict.change {
                Some(Change::Changed) => changed.push((line, waiting)),
                Some(Change::Same) => moved.push((line, waiting)),
                _ => {}
            }
        }
        if !moved.is_empty() {
            let cells =
                moved.iter().map(|(line, waiting)| [waiting.id.0.into(), line.planned.row.map(i64::from).into()]);
            let rows = tx.dialect.rows(["id", "row_number"], cells);
            tx.run("UPDATE reminder SET row_number = r.row_number FROM {rows} WHERE reminder.id = r.id", &rows).await?;
        }
        if !changed.is_empty() {
            change(tx, &self.loading.options, &changed).await?;
            remember(tx, schedule, changed.iter().map(|(line, waiting)| (line, waiting.id.0))).await?;
        }
        Ok(())
    }
}

fn new_reminder(loading: &Loading, schedule: i64, line: &Line, claim: Claim) -> NewReminder {
    let planned = &line.planned;
    let key = (planned.key != planned.openid).then(|| planned.key.clone());
    let (row, occasion, moves) = (planned.row, planned.occasion.clone(), planned.moves);
    NewReminder {
        app: loading.app.clone(),
        openid: planned.openid.clone(),
        template: loading.template.clone(),
        standing: loading.standing,
        at: planned.at,
        local_at: None,
        expires_at: planned.expires_at,
        page: planned.page.clone(),
        data: planned.data.clone(),
        key: None,
        digest: String::new(),
        claim,
        accepted: None,
        options: loading.options.clone(),
        origin: Some(Origin { schedule, row, key, occasion, moves }),
    }
}

/// Writes what the file says about reminders that wait. Their fences rise, so that what the engine has read of them before is not sent.
async fn change(tx: &mut Tx<'_>, options: &Options, changed: &[(&Line, Waiting)]) -> sqlx::Result<()> {
    let now = tx.now;
    // One that waits for another try goes at once: what hindered it may be mended.
    let due_at = |line: &Line, waiting: &Waiting| match (line.planned.at == waiting.at, waiting.due_at == waiting.at) {
        (true, false) => line.planned.at.max(now).min(waiting.due_at),
        _ => line.planned.at,
    };
    let cells = changed.iter().map(|(line, waiting)| {
        [
            waiting.lane.into(),
            waiting.due_at.into(),
            waiting.id.0.into(),
            waiting.fence.into(),
            due_at(line, waiting).into(),
            waiting.at.into(),
            line.planned.at.into(),
        ]
    });
    let rows = tx.dialect.rows(["lane", "due_at", "id", "fence", "new_due_at", "at", "new_at"], cells);
    tx.run(
        "UPDATE due SET due_at = r.new_due_at, fence = due.fence + 1 FROM {rows}
         WHERE due.lane = r.lane AND due.due_at = r.due_at AND due.id = r.id AND due.state = 0 AND due.fence = r.fence",
        &rows,
    )
    .await?;
    // Past attempts move along, since an outcome is found by its reminder's instant.
    tx.run(
        "UPDATE outcome SET at = r.new_at, next_at = r.new_due_at FROM {rows}
         WHERE outcome.lane = r.lane AND outcome.at = r.at AND outcome.id = r.id",
        &rows,
    )
    .await?;
    let option = |name: &str| options.get(name).map(String::as_str);
    let cells = changed.iter().map(|(Line { planned, .. }, waiting)| -> [Cell<'_>; 9] {
        [
            waiting.id.0.into(),
            planned.at.into(),
            planned.expires_at.into(),
            planned.page.as_deref().into(),
            planned.data.as_str().into(),
            planned.row.map(i64::from).into(),
            i64::from(planned.moves).into(),
            option("lang").into(),
            option("miniprogram_state").into(),
        ]
    });
    let columns = ["id", "at", "expires_at", "page", "data", "row_number", "moves", "lang", "miniprogram_state"];
    let rows = tx.dialect.rows(columns, cells);
    tx.run(
        "UPDATE reminder SET at = r.at, expires_at = r.expires_at, page = r.page, data = r.data, row_number = r.row_number,
             moves = r.moves, lang = r.lang, miniprogram_state = r.miniprogram_state, local_at = NULL
         FROM {rows} WHERE reminder.id = r.id",
        &rows,
    )
    .await
    .map(drop)
}

/// Writes down which reminders these lines are, and what the file said.
async fn remember<'l>(
    tx: &mut Tx<'_>,
    schedule: i64,
    known: impl Iterator<Item = (&'l &'l Line, i64)>,
) -> sqlx::Result<()> {
    let cells: Vec<[Cell<'_>; 5]> = known
        .map(|(line, id)| {
            let Planned { key, occasion, .. } = &line.planned;
            [schedule.into(), key.as_str().into(), occasion.as_str().into(), id.into(), line.digest.into()]
        })
        .collect();
    if cells.is_empty() {
        return Ok(());
    }
    let rows = tx.dialect.rows(["schedule", "key", "occasion", "reminder", "digest"], cells);
    tx.run(
        "INSERT INTO planned (schedule, key, occasion, occurrence, reminder, digest)
         SELECT r.schedule, r.key, r.occasion, '', r.reminder, r.digest FROM {rows} WHERE true
         ON CONFLICT (schedule, key, occasion, occurrence) DO UPDATE SET reminder = excluded.reminder, digest = excluded.digest",
        &rows,
    )
    .await
    .map(drop)
}

/// Cancels reminders that wait, since their schedule's file no longer has them. Their identities are free again, unless one may have been
/// sent before. Answers how many it cancelled.
async fn withdraw(tx: &mut Tx<'_>, schedule: i64, ids: &[ReminderId], now: Millis) -> sqlx::Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let rows = tx.dialect.rows(["id"], ids.iter().map(|id| [id.0.into()]));
    let sql = format!(
        "SELECT {STORED}, {OF_DUE}, {LAST_STATE} AS ended FROM {{rows}} JOIN reminder m ON m.id = r.id
         JOIN recipient p ON p.id = m.recipient {LIVING}"
    );
    let names = tx.names;
    let waiting: Vec<_> = tx.rows(&sql, &rows).await?.iter().map(|row| stored(row, names)).collect();
    let entries = waiting.iter().filter_map(|stored| {
        let target = stored.target_in(State::Scheduled)?;
        let mut settlement = cancelled(&stored.due);
        if settlement.next == Next::Final(State::Cancelled) {
            settlement = Settlement::because(settlement.next, Reason::Removed, settlement.consent);
        }
        Some(Entry { target, settlement, began_at: None, ended_at: now })
    });
    let entries: Vec<Entry> = entries.collect();
    let written = settle(tx, &entries).await?;
    let gone = entries
        .iter()
        .zip(written)
        .filter(|(entry, written)| *written && entry.settlement.next == Next::Final(State::Cancelled));
    let gone: Vec<[Cell<'_>; 2]> = gone.map(|(entry, _)| [schedule.into(), entry.target.due.id.0.into()]).collect();
    if gone.is_empty() {
        return Ok(0);
    }
    let n = gone.len() as u64;
    let rows = tx.dialect.rows(["schedule", "id"], gone);
    // By their keys, which their reminders carry: the table has no index on ids.
    tx.run(
        "DELETE FROM planned WHERE (schedule, key, occasion, occurrence) IN
             (SELECT r.schedule, COALESCE(m.row_key, p.openid), m.occasion, '' FROM {rows} JOIN reminder m ON m.id = r.id
              JOIN recipient p ON p.id = m.recipient)",
        &rows,
    )
    .await?;
    Ok(n)
}

/// Cancels what the file no longer has. `None`: another task has the schedule by now, and nothing was written.
struct Remove {
    schedule: i64,
    nonce: String,
    ids: Vec<ReminderId>,
}

impl Single for Remove {
    type Done = Option<u64>;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Option<u64>> {
        if !super::schedules::has_task(tx, self.schedule, &self.nonce).await? {
            return Ok(None);
        }
        let now = tx.now;
        withdraw(tx, self.schedule, &self.ids, now).await.map(Some)
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["remove.before_commit", "remove.after_commit"])
    }
}

/// An identity that a schedule has planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The row's key.
    pub key: String,
    /// Its occasion.
    pub occasion: String,
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
    /// The user.
    pub openid: String,
    /// The instant.
    pub at: Millis,
    /// The deadline.
    pub expires_at: Millis,
}

impl Store {
    /// What a load would make of these lines, which are those of whole users. Nothing is written.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn compare(&self, loading: &Loading, lines: &[Line]) -> Result<Vec<Judged>, StoreError> {
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let mut conn = self.read.acquire().await?;
        let mut look = Look { conn: &mut conn, dialect: self.database.dialect, names: &self.names, locks: false };
        let found = find(&mut look, loading, lines).await?;
        let template = self.names.template(self.names.app(&loading.app).id, &loading.template);
        let mut ledgers = available(&mut look, template, &found).await?;
        let records = with_record(&mut look, &found).await?;
        let judged = judge(loading, template, lines, &found, &mut ledgers, || ReminderId(0));
        let told = judged.into_iter().zip(&found).map(|((verdict, _), found)| {
            let user_known = found.user.is_some_and(|user| records.contains(&user));
            Judged { user_known, ..verdict }
        });
        Ok(told.collect())
    }

    /// Writes what a load says about some lines. `None`: another task has the schedule by now, and nothing was written.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn write_lines(
        &self,
        loading: Arc<Loading>,
        nonce: &str,
        lines: Vec<Line>,
    ) -> Result<Option<Vec<Judged>>, StoreError> {
        self.writer.do_one(Write { loading, nonce: nonce.to_owned(), lines }).await
    }

    /// Cancels reminders that wait. `None`: another task has the schedule by now, and nothing was written.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn remove(&self, schedule: i64, nonce: &str, ids: Vec<ReminderId>) -> Result<Option<u64>, StoreError> {
        self.writer.do_one(Remove { schedule, nonce: nonce.to_owned(), ids }).await
    }

    /// What a schedule has planned, in order of key and occasion, after these.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn identities(
        &self,
        schedule: i64,
        after: (&str, &str),
        limit: i64,
    ) -> Result<Vec<Identity>, StoreError> {
        let rows = sqlx::query(
            "SELECT key, occasion, reminder FROM planned WHERE schedule = $1 AND (key, occasion) > ($2, $3)
             ORDER BY key, occasion LIMIT $4",
        )
        .bind(schedule)
        .bind(after.0)
        .bind(after.1)
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        let identity = |row: &AnyRow| Identity {
            key: row.get("key"),
            occasion: row.get("occasion"),
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
        let cells = identities.iter().map(|i| [i.reminder.0.into(), i.key.as_str().into(), i.occasion.as_str().into()]);
        let rows = self.database.dialect.rows(["id", "key", "occasion"], cells);
        let sql = format!(
            "SELECT r.id, r.key, r.occasion, p.openid, m.at, m.expires_at FROM {{rows}} JOIN reminder m ON m.id = r.id
             JOIN recipient p ON p.id = m.recipient {LIVING} WHERE d.state = 0 AND d.doubt_since IS NULL"
        );
        let sql = self.database.dialect.sql(&sql, &rows);
        let found = bound(&sql, &rows).fetch_all(&self.read).await?;
        let left = |row: &AnyRow| Left {
            reminder: ReminderId(super::dialect::int(row, "id")),
            key: row.get("key"),
            occasion: row.get("occasion"),
            openid: row.get("openid"),
            at: row.get("at"),
            expires_at: row.get("expires_at"),
        };
        Ok(found.iter().map(left).collect())
    }

    /// Users with an available consent for a template, in the order in which they became known, after `after`. Answers with the place of each.
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
            "SELECT c.recipient, p.openid FROM consent c JOIN recipient p ON p.id = c.recipient
             WHERE c.recipient > $1 AND c.template = $2 AND c.reminder IS NULL AND c.voided_at IS NULL
             GROUP BY c.recipient, p.openid ORDER BY c.recipient LIMIT $3",
        )
        .bind(after)
        .bind(template)
        .bind(limit)
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
        let found = sqlx::query(AssertSqlSafe(sql));
        let found = rows.parameters.iter().fold(found, |query, parameter| query.bind(parameter.as_str()));
        let found = found.fetch_all(&self.read).await?;
        Ok(found.iter().map(|row| (row.get("name"), super::dialect::int(row, "n"))).collect())
    }
}
