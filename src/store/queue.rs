//! The only writer of states: marked, settled, found again.
//!
//! A row of `due` is the living part of a reminder. Marking changes it in place, settling deletes it and appends to `outcome`;
//! both lie in the order of the instants, so a burst touches neighbouring pages only.

use super::{
    Store, StoreError, backup,
    dialect::Cell,
    ledgers::{self, Claimant, Ledgers, Wanted},
    port::{Asked, Body, Entry, Job, Marked, OnCommit, Queue, Ring, Target},
    tx::Tx,
    writer::{Command, Single},
};
use crate::domain::{
    Millis,
    due::Due,
    ledger::{Move, Stage, Void},
    reminder::{Claim, ReminderId, State},
    settle::{Consent, Counted, HELD_AT_MOST, Next, Settlement, TEMPLATE_HELD, assumed_sent, received},
    template::Listing,
};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// `due.state` of a reminder that waits.
pub(super) const SCHEDULED: i64 = 0;
/// `due.state` of one that is being sent.
pub(super) const SENDING: i64 = 1;

/// Joins the living row `d` of the reminder `m`: a retry or a doubt has moved it, and its last outcome says where to.
pub(super) const LIVING: &str = "LEFT JOIN due d ON d.lane = m.lane AND d.id = m.id AND d.due_at = COALESCE(
    (SELECT x.next_at FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id ORDER BY x.fence DESC LIMIT 1), m.at)";

/// The number of a living state in `due.state`.
pub(super) fn state_number(state: State) -> i64 {
    match state {
        State::Sending => SENDING,
        State::InDoubt => 2,
        _ => SCHEDULED,
    }
}

/// The living state of a number in `due.state`.
pub(super) fn living_state(number: i64) -> State {
    match number {
        SENDING => State::Sending,
        2 => State::InDoubt,
        _ => State::Scheduled,
    }
}

/// The columns that name a row of `due` as it is expected to be.
const KEY: [&str; 5] = ["lane", "due_at", "id", "state", "fence"];

fn key<'a>(lane: i64, due: &Due) -> [Cell<'a>; 5] {
    [lane.into(), due.due_at.into(), due.id.0.into(), state_number(due.state).into(), due.fence.into()]
}

/// Marks jobs `sending` and raises their fences; durable when the transaction is. What takes its consent at the instant takes it here.
pub(super) async fn mark(tx: &mut Tx<'_>, jobs: &[Job]) -> sqlx::Result<Vec<Marked>> {
    let mut stopped = HashMap::new();
    let asks: Vec<&Job> = jobs.iter().filter(|job| job.due.needs_sole() || job.due.is_doubtful()).collect();
    let restored = !asks.is_empty() && backup::was_restored(tx).await?;
    for job in asks {
        if job.due.is_doubtful() && was_turned_off(tx, job).await? {
            stopped.insert(job.due.id, Marked::TurnedOff);
        } else if job.due.needs_sole()
            && !job.blind
            && (restored || !ledgers::is_sole(tx, (job.recipient, job.template), job.due.id).await?)
        {
            stopped.insert(job.due.id, Marked::NotSole);
        }
    }
    let (without, taken, mut ledgers) = take_consents(tx, jobs).await?;
    for id in without {
        stopped.entry(id).or_insert(Marked::NoConsent);
    }
    let keys: Vec<_> =
        jobs.iter().filter(|job| !stopped.contains_key(&job.due.id)).map(|job| key(job.lane, &job.due)).collect();
    let marked = if keys.is_empty() {
        Some(HashSet::new())
    } else {
        let keys = tx.dialect.rows(KEY, keys);
        tx.touch(
            "UPDATE due SET state = 1, fence = due.fence + 1 FROM {rows}
             WHERE due.lane = r.lane AND due.due_at = r.due_at AND due.id = r.id AND due.state = r.state AND due.fence = r.fence",
            &keys,
        )
        .await?
    };
    let mut verdicts = Vec::with_capacity(jobs.len());
    for job in jobs {
        let id = job.due.id;
        let verdict = match stopped.get(&id) {
            Some(why) => *why,
            None if marked.as_ref().is_none_or(|marked| marked.contains(&id.0)) => Marked::Yes,
            None => Marked::Late,
        };
        if verdict == Marked::Yes {
            tx.tally.reminder(job.lane, Some(job.due.state), Some(State::Sending));
        } else if taken.contains(&id) {
            // Only what was taken just now: the row may hold one from before.
            ledgers.of((job.recipient, job.template)).give_back(id);
        }
        verdicts.push(verdict);
    }
    ledgers.write(tx).await?;
    Ok(verdicts)
}

/// Whether the reminder's user has turned its template off since its instant.
async fn was_turned_off(tx: &mut Tx<'_>, job: &Job) -> sqlx::Result<bool> {
    let sql = "SELECT at FROM turned_off WHERE recipient = $1 AND template = $2 AND at >= $3";
    let query = sqlx::query(sql).bind(job.recipient).bind(job.template).bind(job.due.at);
    Ok(query.fetch_optional(&mut *tx.conn).await?.is_some())
}

/// Takes consents for jobs that claim one at the instant, and looks whether standing ones still stand. Answers who has none, who has
/// taken one, and the ledgers to be written.
async fn take_consents(
    tx: &mut Tx<'_>,
    jobs: &[Job],
) -> sqlx::Result<(HashSet<ReminderId>, HashSet<ReminderId>, Ledgers)> {
    let holding = holding(tx, jobs).await?;
    let asks: Vec<&Job> = jobs
        .iter()
        .filter(|job| job.standing || (job.claim == Claim::AtFire && !holding.contains(&job.due.id.0)))
        .collect();
    let wanted: BTreeSet<Wanted> = asks
        .iter()
        .map(|job| Wanted {
            recipient: job.recipient,
            template: job.template,
            grants: false,
            reconcile: false,
            event: None,
        })
        .collect();
    let mut ledgers = Ledgers::available(tx, &wanted).await?;
    let (mut without, mut taken) = (HashSet::new(), HashSet::new());
    for job in asks {
        let ledger = ledgers.of((job.recipient, job.template));
        if job.standing {
            if !ledger.stands() {
                without.insert(job.due.id);
            }
        } else if ledger.take(job.due.id, tx.now) {
            taken.insert(job.due.id);
        } else {
            without.insert(job.due.id);
        }
    }
    Ok((without, taken, ledgers))
}

/// Which of the jobs that claim at the instant hold a consent from an earlier try.
async fn holding(tx: &mut Tx<'_>, jobs: &[Job]) -> sqlx::Result<HashSet<i64>> {
    let tried: Vec<Claimant> = jobs
        .iter()
        .filter(|job| job.claim == Claim::AtFire && job.due.fence > 0)
        .map(|job| Claimant { recipient: job.recipient, template: job.template, reminder: job.due.id })
        .collect();
    if tried.is_empty() {
        return Ok(HashSet::new());
    }
    let tried = tx.dialect.rows(Claimant::COLUMNS, tried.iter().map(Claimant::cells));
    let rows = tx
        .rows(
            "SELECT c.reminder FROM {rows} JOIN consent c
             ON c.recipient = r.recipient AND c.template = r.template AND c.reminder = r.reminder",
            &tried,
        )
        .await?;
    Ok(rows.iter().map(|row| row.get("reminder")).collect())
}

struct NewOutcome<'a> {
    lane: i64,
    at: Millis,
    id: i64,
    fence: i64,
    state: State,
    ended_at: Millis,
    began_at: Option<Millis>,
    next_at: Option<Millis>,
    code: Option<&'a str>,
    text: Option<&'a str>,
    message_id: Option<&'a str>,
    next_fence: i64,
    tries: i64,
    unsure: i64,
    doubt_since: Option<Millis>,
}

impl NewOutcome<'_> {
    fn cells(&self) -> [Cell<'_>; 11] {
        [
            self.lane.into(),
            self.at.into(),
            self.id.into(),
            self.fence.into(),
            self.state.word().into(),
            self.ended_at.into(),
            self.began_at.into(),
            self.next_at.into(),
            self.code.into(),
            self.text.into(),
            self.message_id.into(),
        ]
    }
}

/// Writes settlements. Answers for each whether it was written: `false` means that the row had changed or ended, and nothing was touched.
pub(super) async fn settle(tx: &mut Tx<'_>, entries: &[Entry]) -> sqlx::Result<Vec<bool>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let keys = tx.dialect.rows(KEY, entries.iter().map(|entry| key(entry.target.lane, &entry.target.due)));
    let ours = tx
        .touch(
            "DELETE FROM due WHERE (lane, due_at, id, state, fence) IN
                 (SELECT r.lane, r.due_at, r.id, r.state, r.fence FROM {rows})",
            &keys,
        )
        .await?;
    // `remove`: of two settlements of one row in one transaction the first counts.
    let written: Vec<bool> = match ours {
        None => vec![true; entries.len()],
        Some(mut ours) => entries.iter().map(|entry| ours.remove(&entry.target.due.id.0)).collect(),
    };
    let kept = entries.iter().zip(&written).filter(|(_, written)| **written).map(|(entry, _)| entry);
    let doubts = kept.clone().any(|entry| entry.settlement.leaves_open());
    let kept: Vec<Cow<'_, Entry>> = kept.map(Cow::Borrowed).collect();
    let kept = if doubts { by_receipt(tx, kept).await? } else { kept };

    let outcomes: Vec<NewOutcome<'_>> = kept.iter().map(|entry| new_outcome(entry)).collect();
    if !outcomes.is_empty() {
        let columns =
            ["lane", "at", "id", "fence", "state", "ended_at", "began_at", "next_at", "code", "text", "message_id"];
        let rows = tx.dialect.rows(columns, outcomes.iter().map(NewOutcome::cells));
        tx.run(
            "INSERT INTO outcome (lane, at, id, fence, state, ended_at, began_at, next_at, code, text, message_id)
             SELECT r.lane, r.at, r.id, r.fence, r.state, r.ended_at, r.began_at, r.next_at, r.code, r.text, r.message_id FROM {rows}",
            &rows,
        )
        .await?;
    }
    let living: Vec<&NewOutcome<'_>> = outcomes.iter().filter(|o| o.next_at.is_some()).collect();
    if !living.is_empty() {
        let rows = living.iter().map(|o| {
            [
                o.lane.into(),
                o.next_at.into(),
                o.id.into(),
                state_number(o.state).into(),
                o.next_fence.into(),
                o.tries.into(),
                o.unsure.into(),
                o.doubt_since.into(),
            ]
        });
        let rows = tx.dialect.rows(["lane", "due_at", "id", "state", "fence", "tries", "unsure", "doubt_since"], rows);
        tx.run(
            "INSERT INTO due (lane, due_at, id, state, fence, tries, unsure, doubt_since)
             SELECT r.lane, r.due_at, r.id, r.state, r.fence, r.tries, r.unsure, r.doubt_since FROM {rows}",
            &rows,
        )
        .await?;
    }
    for (entry, outcome) in kept.iter().zip(&outcomes) {
        tx.tally.reminder(outcome.lane, Some(entry.target.due.state), Some(outcome.state));
    }
    settle_consents(tx, &kept).await?;
    Ok(written)
}

/// A receipt may have come before the attempt is settled: then there is no doubt.
async fn by_receipt<'a>(tx: &mut Tx<'_>, mut entries: Vec<Cow<'a, Entry>>) -> sqlx::Result<Vec<Cow<'a, Entry>>> {
    let open = entries.iter().filter(|entry| entry.settlement.leaves_open());
    let keys = open.map(|entry| [entry.target.lane.into(), entry.target.due.at.into(), entry.target.due.id.0.into()]);
    let keys = tx.dialect.rows(["lane", "at", "id"], keys);
    let sql = "SELECT q.id FROM {rows} JOIN receipt q ON q.lane = r.lane AND q.at = r.at AND q.id = r.id";
    let told: HashSet<i64> = tx.rows(sql, &keys).await?.iter().map(|row| row.get("id")).collect();
    for entry in
        entries.iter_mut().filter(|entry| told.contains(&entry.target.due.id.0) && entry.settlement.leaves_open())
    {
        entry.to_mut().settlement = received();
    }
    Ok(entries)
}

fn new_outcome(entry: &Entry) -> NewOutcome<'_> {
    let due = &entry.target.due;
    let (state, next_at, counted) = match entry.settlement.next {
        Next::Final(state) => (state, None, Counted::No),
        Next::Again { due_at, counted } => (State::Scheduled, Some(due_at), counted),
        Next::Doubt { look_at } => (State::InDoubt, Some(look_at), Counted::Delay),
    };
    NewOutcome {
        lane: entry.target.lane,
        at: due.at,
        id: due.id.0,
        fence: due.fence,
        state,
        ended_at: entry.ended_at,
        began_at: entry.began_at,
        next_at,
        code: entry.settlement.code.as_deref(),
        text: entry.settlement.text.as_deref(),
        message_id: entry.settlement.message_id.as_deref(),
        next_fence: due.fence + 1,
        tries: i64::from(due.tries) + i64::from(counted != Counted::No),
        unsure: i64::from(due.unsure) + i64::from(counted == Counted::Unsure),
        doubt_since: if state == State::InDoubt { due.doubt_since.or(Some(entry.ended_at)) } else { due.doubt_since },
    }
}

/// What is given back is given back first, so that a denial in the same transaction voids it too.
async fn settle_consents(tx: &mut Tx<'_>, kept: &[Cow<'_, Entry>]) -> sqlx::Result<()> {
    let (mut givers, mut denials) = (Vec::new(), Vec::new());
    for entry in kept {
        let Target { due, lane, recipient, template, standing } = &entry.target;
        let Next::Final(state) = entry.settlement.next else { continue };
        match entry.settlement.consent {
            Consent::Deny => denials.push(entry),
            // A standing consent is neither held nor used.
            _ if *standing => {}
            Consent::Keep if state.spends() => tx.tally.consent(*lane, Move::SPENT),
            Consent::Keep => {}
            Consent::Free => givers.push(Claimant { recipient: *recipient, template: *template, reminder: due.id }),
        }
    }
    ledgers::give_back(tx, &givers, Stage::UnderWay).await?;
    for entry in denials {
        let Target { due, lane, recipient, template, .. } = &entry.target;
        let lost = ledgers::void(tx, (*recipient, *template), Some(due.id), Millis::MAX, Void::Denied).await?;
        let why = "the platform refused an earlier message to this user: it knows no consent any more";
        end_scheduled(tx, &lost, "no_consent", why, entry.ended_at).await?;
        tx.tally.drift(*lane);
    }
    Ok(())
}

/// Ends scheduled reminders whose consent has just become void. One that a store on hold is in doubt about may have been sent before. What
/// waits to be sent again keeps its consent, and is not among them.
pub(super) async fn end_scheduled(
    tx: &mut Tx<'_>,
    ids: &[ReminderId],
    code: &str,
    why: &str,
    now: Millis,
) -> sqlx::Result<()> {
    let mut ends = Vec::new();
    let doubtful = if ids.is_empty() { None } else { backup::doubtful(tx).await? };
    for id in ids {
        if let Some(stored) = super::reminders::find(&mut *tx.conn, tx.names, *id).await?
            && let Some(target) = stored.target_in(State::Scheduled)
        {
            let settlement = if doubtful.is_some_and(|last| *id <= last) && stored.due.due_at <= now {
                // Its consent is void already, and not used.
                Settlement { consent: Consent::Free, ..assumed_sent() }
            } else {
                Settlement::end(State::Failed, code, why, Consent::Keep)
            };
            ends.push(Entry { target, settlement, began_at: None, ended_at: now });
        }
    }
    // No further consent is touched, so this does not come back here.
    Box::pin(settle(tx, &ends)).await?;
    Ok(())
}

fn job(row: &AnyRow) -> Job {
    Job {
        due: Due {
            id: ReminderId(row.get("id")),
            due_at: row.get("due_at"),
            at: row.get("at"),
            expires_at: row.get("expires_at"),
            state: living_state(row.get("state")),
            fence: row.get("fence"),
            tries: u32::try_from(row.get::<i64, _>("tries")).unwrap_or(u32::MAX),
            unsure: u32::try_from(row.get::<i64, _>("unsure")).unwrap_or(u32::MAX),
            doubt_since: row.get("doubt_since"),
        },
        lane: row.get("lane"),
        recipient: row.get("recipient"),
        template: row.get("template"),
        claim: if row.get::<i64, _>("at_fire") != 0 { Claim::AtFire } else { Claim::Reserve },
        standing: row.get::<i64, _>("standing") != 0,
        blind: false,
        body: Arc::new(Body {
            openid: row.get("openid"),
            page: row.get("page"),
            data: row.get("data"),
            lang: row.get("lang"),
            miniprogram_state: row.get("miniprogram_state"),
        }),
    }
}

/// The columns of a job.
const JOB: &str = "d.lane, d.due_at, d.id, d.state, d.fence, d.tries, d.unsure, d.doubt_since, m.at, m.expires_at, m.recipient, m.template, m.at_fire,
    m.standing, p.openid";

impl Queue for Store {
    fn lane(&self, app: &str) -> i64 {
        self.names.app(app).lane
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

    fn prefetch(&self, lane: i64, after: (Millis, i64), until: Millis, limit: i64) -> Asked<Vec<Job>> {
        let read = self.ahead.clone();
        Box::pin(async move {
            let sql = format!(
                "SELECT {JOB}, m.page, m.data, m.lang, m.miniprogram_state
                 FROM due d JOIN reminder m ON m.id = d.id JOIN recipient p ON p.id = m.recipient
                 WHERE d.lane = $1 AND (d.due_at, d.id) > ($2, $3) AND d.due_at <= $4
                 ORDER BY d.due_at, d.id LIMIT $5"
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(lane).bind(after.0).bind(after.1).bind(until).bind(limit);
            Ok(query.fetch_all(&read).await?.iter().map(job).collect())
        })
    }

    fn past_deadline(&self, lane: i64, now: Millis, limit: i64) -> Asked<Vec<Job>> {
        let read = self.ahead.clone();
        Box::pin(async move {
            let sql = format!(
                "SELECT {JOB}, NULL AS page, '' AS data, NULL AS lang, NULL AS miniprogram_state
                 FROM due d JOIN reminder m ON m.id = d.id JOIN recipient p ON p.id = m.recipient
                 WHERE d.lane = $1 AND d.due_at <= $2 AND d.state = 0 AND m.expires_at <= $2
                 ORDER BY d.due_at, d.id LIMIT $3"
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(lane).bind(now).bind(limit);
            Ok(query.fetch_all(&read).await?.iter().map(job).collect())
        })
    }

    fn wake_suspended(&self, lane: i64, now: Millis) -> Asked<u64> {
        let store = self.clone();
        Box::pin(async move {
            let mut woken = 0;
            loop {
                let held = store.held_back(lane, now).await?;
                if held.is_empty() {
                    return Ok(woken);
                }
                woken += store.writer.do_one(Wake { lane, held, now }).await?;
            }
        })
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

/// Reminders that are woken at once.
const WAKE: i64 = 500;

/// Brings reminders forward that wait for another instant; one that was changed meanwhile stays as it is.
struct Wake {
    lane: i64,
    held: Vec<HeldBack>,
    now: Millis,
}

/// A reminder that waits because its template was held.
struct HeldBack {
    due_at: Millis,
    id: i64,
    fence: i64,
    /// When it may go: now, and never before its instant, whatever the clock does.
    wake_at: Millis,
}

impl Single for Wake {
    type Done = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<u64> {
        let cells = |h: &HeldBack| [h.due_at.into(), h.id.into(), h.fence.into(), h.wake_at.into()];
        let rows = tx.dialect.rows(["due_at", "id", "fence", "wake_at"], self.held.iter().map(cells));
        let sql = format!(
            "UPDATE due SET due_at = r.wake_at, fence = due.fence + 1 FROM {{rows}}
             WHERE due.lane = {} AND due.due_at = r.due_at AND due.id = r.id AND due.fence = r.fence
             RETURNING due.id AS id, due.due_at AS due_at",
            self.lane
        );
        let woken = tx.rows(&sql, &rows).await?;
        if !woken.is_empty() {
            let cells = woken.iter().map(|row| [row.get::<i64, _>("id").into(), row.get::<i64, _>("due_at").into()]);
            let rows = tx.dialect.rows(["id", "wake_at"], cells);
            let sql = "UPDATE outcome SET next_at = r.wake_at FROM {rows} JOIN reminder m ON m.id = r.id
                 WHERE outcome.lane = m.lane AND outcome.at = m.at AND outcome.id = m.id AND outcome.next_at IS NOT NULL";
            tx.run(sql, &rows).await?;
        }
        Ok(woken.len() as u64)
    }

    fn ring(&self) -> Option<Ring> {
        let until = self.held.iter().map(|held| held.wake_at).max().unwrap_or(self.now);
        Some(Ring { from: self.now, until })
    }
}

impl Store {
    /// The next reminders of a lane that wait because their templates were held.
    async fn held_back(&self, lane: i64, now: Millis) -> Result<Vec<HeldBack>, StoreError> {
        // Only what was touched before has a fence, so few bodies are looked at.
        let sql = format!(
            "SELECT d.due_at, d.id, d.fence, m.at FROM due d JOIN reminder m ON m.id = d.id
             WHERE d.lane = $1 AND d.due_at > $2 AND d.due_at <= $3 AND d.fence > 0 AND d.state <> {SENDING} AND d.due_at > m.at
               AND EXISTS (SELECT 1 FROM outcome x WHERE x.lane = m.lane AND x.at = m.at AND x.id = m.id AND x.code = '{TEMPLATE_HELD}'
                   AND x.fence = (SELECT MAX(y.fence) FROM outcome y WHERE y.lane = m.lane AND y.at = m.at AND y.id = m.id))
             ORDER BY d.due_at, d.id LIMIT {WAKE}"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(lane).bind(now).bind(now + HELD_AT_MOST);
        let rows = query.fetch_all(&self.ahead).await?;
        let held = |row: &AnyRow| HeldBack {
            due_at: row.get("due_at"),
            id: row.get("id"),
            fence: row.get("fence"),
            wake_at: now.max(row.get("at")),
        };
        Ok(rows.iter().map(held).collect())
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

    /// The oldest instant of a lane that has passed without an end, and how many such rows there are (at most 10,000 are counted).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn overdue(&self, lane: i64, now: Millis) -> Result<(Option<Millis>, i64), StoreError> {
        let oldest = self.next_due(lane, 0).await?.filter(|at| *at <= now);
        let sql = "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM due WHERE lane = $1 AND due_at <= $2 LIMIT 10000) AS waiting";
        let row = sqlx::query(sql).bind(lane).bind(now).fetch_one(&self.read).await?;
        // Those that wait for another try, or for a template that is held: by their outcomes, since there may be millions of others until
        // then. An outcome that is no longer the last may name the same instant.
        let sql = format!(
            "SELECT COUNT(*) AS n, MIN(at) AS oldest FROM
             (SELECT DISTINCT x.at, x.id FROM outcome x {}
              WHERE x.lane = $1 AND x.next_at > $2 AND x.next_at <= $3 AND x.at <= $2
                AND EXISTS (SELECT 1 FROM due d WHERE d.lane = x.lane AND d.due_at = x.next_at AND d.id = x.id) LIMIT 10000) AS waiting",
            self.opened.dialect.by("tried_again")
        );
        let again =
            sqlx::query(AssertSqlSafe(sql)).bind(lane).bind(now).bind(now + HELD_AT_MOST).fetch_one(&self.read).await?;
        let oldest = [oldest, again.get("oldest")].into_iter().flatten().min();
        Ok((oldest, row.get::<i64, _>("n") + again.get::<i64, _>("n")))
    }
}
