//! What schedules have planned: each row's occasion is known again for ever, and compared with what its file says now. What follows is
//! written by `planned_write`.

use super::{
    Store,
    dialect::{Cell, Dialect, Rows, int, unlocked},
    error::StoreError,
    ledgers::{Claimant, Ledgers},
    names::Names,
    recipients,
    states::{LAST_STATE, LIVING, state},
    tx::bound,
};
use crate::domain::{
    Millis,
    options::Options,
    reminder::{Claim, ReminderId, State},
    schedule::{Change, Claims, Known, Planned, Step, Terms},
};
use sqlx::{AnyConnection, Row, any::AnyRow};
use std::collections::{BTreeSet, HashMap, HashSet};

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
    /// What waits and is not in it stays: it is one occurrence of many.
    pub adds_only: bool,
    /// As far as is known nothing of it was planned before: it is an occurrence that was just begun.
    pub is_fresh: bool,
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
    /// The user's row, if it was seen. Whether it still is theirs is looked at when the line is written.
    pub user: Option<i64>,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// What it counts as; `None`: its user was forgotten at their wish.
    pub change: Option<Change>,
    /// Something is to be written for it.
    pub writes: bool,
    /// A reminder that waits is cancelled for it: its new instant has passed, or it waits for another user.
    pub cancels: bool,
    /// The user whose consent that gives back.
    pub frees: Option<i64>,
    /// It is done, and the file says something else by now.
    pub differs: bool,
    /// The user has a consent record in this app, spent or not.
    pub user_known: bool,
    /// The user has an available consent, or a waiting reminder of this schedule that holds one.
    pub has_consent: bool,
}

impl Judged {
    /// Whether the user has a reminder by this line, one that waits or one that was sent, or gets one: also with a consent that a removal
    /// gives back.
    pub fn reminds(&self) -> bool {
        match self.change {
            Some(Change::New | Change::Changed | Change::Same | Change::Done) => true,
            Some(Change::NoConsent) => self.has_consent,
            _ => false,
        }
    }
}

/// A connection to look with: a reader's, or that of a write transaction.
pub(super) struct Look<'a> {
    pub conn: &'a mut AnyConnection,
    pub dialect: Dialect,
    pub names: &'a Names,
    /// Rows that may be written are locked.
    pub locks: bool,
}

impl Look<'_> {
    async fn rows(&mut self, text: &str, rows: &Rows) -> sqlx::Result<Vec<AnyRow>> {
        let text = if self.locks { text.to_owned() } else { unlocked(text) };
        let sql = self.dialect.sql(&text, rows);
        bound(&sql, rows).fetch_all(&mut *self.conn).await
    }
}

/// What the store knows of a line.
pub(super) struct Found {
    known: Option<Known>,
    /// The reminder that waits under its identity.
    pub waiting: Option<Waiting>,
    pub user: Option<i64>,
    forgotten: bool,
}

impl Found {
    /// Nothing but its user.
    pub fn user(user: Option<i64>) -> Self {
        Self { known: None, waiting: None, user, forgotten: false }
    }
}

/// A reminder that waits.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    pub id: ReminderId,
    pub lane: i64,
    pub at: Millis,
    pub due_at: Millis,
    pub fence: i64,
    recipient: i64,
    row: Option<i64>,
    holds: bool,
    /// When the consent that it holds ends, if it does.
    ends_at: Option<Millis>,
}

/// The user of each line, of those who were forgotten none.
pub(super) async fn find_users(look: &mut Look<'_>, loading: &Loading, lines: &[Line]) -> sqlx::Result<Vec<Found>> {
    let app = look.names.app(&loading.app).id;
    let users = users(look, app, lines).await?;
    let unknown: BTreeSet<&str> =
        lines.iter().map(|line| line.planned.openid.as_str()).filter(|openid| !users.contains_key(*openid)).collect();
    let gone = forgotten(look, app, &unknown).await?;
    let found = lines.iter().map(|Line { planned, .. }| Found {
        forgotten: gone.contains(planned.openid.as_str()),
        ..Found::user(users.get(&planned.openid).copied())
    });
    Ok(found.collect())
}

/// What the store knows of each line.
pub(super) async fn find(look: &mut Look<'_>, loading: &Loading, lines: &[Line]) -> sqlx::Result<Vec<Found>> {
    let app = look.names.app(&loading.app).id;
    let template = look.names.template(app, &loading.template);
    let mut found = find_users(look, loading, lines).await?;
    let Some(schedule) = loading.schedule else { return Ok(found) };
    // Of what is prepared later nothing is known yet.
    let asked = lines.iter().enumerate().filter(|(_, line)| !line.planned.later);
    let cells = asked.map(|(i, Line { planned, .. })| {
        let i = i64::try_from(i).expect("a batch is small");
        let (occasion, occurrence) = (planned.occasion.as_str(), planned.occurrence.as_str());
        [i.into(), schedule.into(), planned.key.as_str().into(), occasion.into(), occurrence.into()]
    });
    let cells: Vec<[Cell<'_>; 5]> = cells.collect();
    if cells.is_empty() {
        return Ok(found);
    }
    let asked = look.dialect.rows(["i", "schedule", "key", "occasion", "occurrence"], cells);
    let sql = format!(
        "SELECT r.i, q.reminder, q.digest, m.lane, m.at, m.recipient, m.template, m.row_number, m.at_fire, d.due_at, d.state, d.fence,
             d.doubt_since, {LAST_STATE} AS ended
         FROM {{rows}} JOIN planned q ON q.schedule = r.schedule AND q.key = r.key AND q.occasion = r.occasion AND q.occurrence = r.occurrence
         LEFT JOIN reminder m ON m.id = q.reminder {LIVING}"
    );
    for row in look.rows(&sql, &asked).await? {
        let i = usize::try_from(int(&row, "i")).expect("as it was asked");
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
            recipient: row.get("recipient"),
            row: row.get("row_number"),
            holds: row.get::<i64, _>("at_fire") == 0,
            ends_at: None,
        });
    }
    if look.names.limited(app) {
        find_ends(look, template, &mut found).await?;
    }
    Ok(found)
}

/// Reads when the consents end that waiting reminders hold.
async fn find_ends(look: &mut Look<'_>, template: i64, found: &mut [Found]) -> sqlx::Result<()> {
    let held = found.iter().filter_map(|found| Some([found.user?.into(), template.into(), found.waiting?.id.0.into()]));
    let held: Vec<[Cell<'_>; 3]> = held.collect();
    if held.is_empty() {
        return Ok(());
    }
    let rows = look.dialect.rows(Claimant::COLUMNS, held);
    let sql = "SELECT c.reminder, c.ends_at FROM {rows} JOIN consent c ON c.recipient = r.recipient AND c.template = r.template
         AND c.reminder = r.reminder WHERE c.ends_at IS NOT NULL";
    let ends = look.rows(sql, &rows).await?;
    let ends: HashMap<i64, Millis> = ends.iter().map(|row| (int(row, "reminder"), int(row, "ends_at"))).collect();
    for waiting in found.iter_mut().filter_map(|found| found.waiting.as_mut()) {
        waiting.ends_at = ends.get(&waiting.id.0).copied();
    }
    Ok(())
}

async fn users(look: &mut Look<'_>, app: i64, lines: &[Line]) -> sqlx::Result<HashMap<String, i64>> {
    let openids: BTreeSet<&str> = lines.iter().map(|line| line.planned.openid.as_str()).collect();
    let asked = look.dialect.rows(["app", "openid"], openids.iter().map(|openid| [app.into(), (*openid).into()]));
    let sql = "SELECT p.openid, p.id FROM {rows} JOIN recipient p ON p.app = r.app AND p.openid = r.openid {keep p}";
    Ok(look.rows(sql, &asked).await?.iter().map(|row| (row.get("openid"), row.get("id"))).collect())
}

async fn forgotten<'l>(look: &mut Look<'_>, app: i64, users: &BTreeSet<&'l str>) -> sqlx::Result<HashSet<&'l str>> {
    let users: Vec<(i64, &str)> = users.iter().map(|openid| (app, *openid)).collect();
    let gone = recipients::forgotten_among(look.conn, look.dialect, look.names, &users).await?;
    Ok(users.into_iter().filter(|(app, openid)| gone.contains(&(*app, (*openid).to_owned()))).map(|(_, o)| o).collect())
}

/// The ledgers of the lines' users with what is available in them.
pub(super) async fn available(look: &mut Look<'_>, template: i64, found: &[Found]) -> sqlx::Result<Ledgers> {
    let users: BTreeSet<i64> = found.iter().filter_map(|found| found.user).collect();
    if users.is_empty() {
        return Ok(Ledgers::default());
    }
    let users = look.dialect.rows(["recipient"], users.iter().map(|user| [(*user).into()]));
    Ledgers::free(look.conn, look.dialect, look.locks, template, &users).await
}

/// Those of the lines' users who have a consent record in this app, spent or not.
async fn with_record(look: &mut Look<'_>, found: &[Found]) -> sqlx::Result<HashSet<i64>> {
    let users: BTreeSet<i64> = found.iter().filter_map(|found| found.user).collect();
    if users.is_empty() {
        return Ok(HashSet::new());
    }
    let users = look.dialect.rows(["recipient"], users.iter().map(|user| [(*user).into()]));
    let sql = "SELECT r.recipient FROM {rows} WHERE EXISTS (SELECT 1 FROM consent c WHERE c.recipient = r.recipient)";
    Ok(look.rows(sql, &users).await?.iter().map(|row| int(row, "recipient")).collect())
}

/// What becomes of each line, and for one that is stored its id and how it comes by its consent. The ledgers take what is held.
pub(super) fn judge(
    loading: &Loading,
    template: i64,
    lines: &[Line],
    found: &[Found],
    ledgers: &mut Ledgers,
    mut id: impl FnMut() -> ReminderId,
) -> Vec<(Judged, Option<(ReminderId, Claim)>)> {
    let mut judged = Vec::with_capacity(lines.len());
    for (line, found) in lines.iter().zip(found) {
        let row = line.planned.row;
        let (at, expires_at) = &loading.terms.moved(&line.planned);
        let free = found.user.is_some_and(|user| ledgers.of((user, template)).has_free(*at));
        let holder = found.waiting.filter(|waiting| waiting.holds).map(|waiting| waiting.recipient);
        let holds = holder.is_some() && holder == found.user;
        let mut verdict = Judged {
            change: None,
            writes: false,
            cancels: false,
            frees: None,
            differs: false,
            user_known: false,
            has_consent: free || holds,
        };
        let mut new = None;
        if line.planned.later && !found.forgotten {
            // Nothing is stored for it yet; it is told what would be, were it prepared now.
            verdict.change = Some(match loading.terms.step(None, line.digest, *at, *expires_at) {
                Step::Leave { as_, .. } => as_,
                _ if claim(loading, (found.user, template), *at, ledgers, &mut id).is_some() => Change::Later,
                _ => Change::NoConsent,
            });
        } else if found.forgotten {
            // What waits there is another's, whom the file no longer names.
            verdict.cancels = found.waiting.is_some();
            verdict.writes = verdict.cancels;
        } else {
            let step = match loading.terms.step(found.known, line.digest, *at, *expires_at) {
                // Its consent ends before its new instant: it needs another.
                Step::Update
                    if found.waiting.is_some_and(|waiting| waiting.ends_at.is_some_and(|ends| ends <= *at)) =>
                {
                    Step::Replace
                }
                step => step,
            };
            match step {
                step @ (Step::Add | Step::Replace) => {
                    new = claim(loading, (found.user, template), *at, ledgers, &mut id);
                    verdict.change = Some(if new.is_some() { Change::New } else { Change::NoConsent });
                    verdict.cancels = step == Step::Replace;
                    verdict.writes = new.is_some() || verdict.cancels;
                }
                Step::Update => {
                    verdict.change = Some(Change::Changed);
                    verdict.writes = true;
                }
                Step::Withdraw => {
                    verdict.change = Some(Change::Late);
                    verdict.writes = true;
                    verdict.cancels = true;
                }
                Step::Leave { as_, differs } => {
                    let moved = found.waiting.is_some_and(|waiting| waiting.row != row.map(i64::from));
                    verdict.change = Some(as_);
                    verdict.writes = as_ == Change::Same && moved;
                    verdict.differs = differs;
                }
            }
        }
        verdict.frees = holder.filter(|_| verdict.cancels);
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
}
