//! Consents in SQL: recorded, reserved, given back, voided. The ledger of I1 and I4.

use super::{
    Names, Store, StoreError,
    dialect::Cell,
    lists::SLICE,
    queue::{LIVING, SCHEDULED},
    retention::{self, Tap, Used},
    tx::Tx,
};
use crate::domain::{
    Millis,
    consent::{Balance, Feed, Feeds, Report, SAME_TAP, Standing},
    reminder::ReminderId,
};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

/// One consent and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The platform's template id.
    pub template: String,
    /// Counts the consents of one user and template from 1.
    pub n: i64,
    /// When the user tapped.
    pub granted_at: Millis,
    /// Who told us.
    pub source: Option<String>,
    /// The caller's own id of the tap.
    pub event: Option<String>,
    /// Whether it stands for many sends.
    pub standing: bool,
    /// Who holds or used it.
    pub reminder: Option<ReminderId>,
    /// Where it stands.
    pub state: Standing,
    /// Why it is void.
    pub void_reason: Option<String>,
    /// `client`, `callback` or `both`.
    pub told_by: &'static str,
}

/// A user and a template, as small integers.
pub(super) type Pair = (i64, i64);

/// What a batch must know about the consents of the pairs it touches.
#[derive(Default)]
pub(super) struct Held {
    free: HashMap<Pair, VecDeque<i64>>,
    standing: HashSet<Pair>,
    events: HashSet<(Pair, String)>,
    last: HashMap<Pair, i64>,
    turned_off: HashMap<Pair, Millis>,
    /// Of apps that count both feeds: what one of them has told of, and the other not yet.
    told_once: HashMap<Pair, Vec<ToldOnce>>,
    told_twice: Vec<ToldTwice>,
}

struct ToldOnce {
    n: i64,
    at: Millis,
    feed: Feed,
}

struct ToldTwice {
    pair: Pair,
    n: i64,
    event: Option<String>,
}

fn feed_number(feed: Feed) -> i64 {
    match feed {
        Feed::Client => 1,
        Feed::Platform => 2,
    }
}

impl Held {
    /// Takes the oldest free consent of a pair.
    pub fn take(&mut self, pair: Pair) -> Option<i64> {
        self.free.get_mut(&pair)?.pop_front()
    }

    /// Whether a consent stands for many sends.
    pub fn stands(&self, pair: Pair) -> bool {
        self.standing.contains(&pair)
    }

    /// What a tap adds: nothing if it is recorded already, by its event or by the other feed; a void consent if it is from before the
    /// user turned the template off.
    pub fn adds(&mut self, pair: Pair, tap: &Grant<'_>) -> Adds {
        let known = tap.event.as_ref().is_some_and(|event| self.events.contains(&(pair, event.clone())));
        if known || tap.standing && self.stands(pair) {
            return Adds::Nothing;
        }
        let told = self.told_once.get_mut(&pair).and_then(|told| {
            let same = |(_, told): &(usize, &ToldOnce)| told.feed != tap.feed && (told.at - tap.at).abs() <= SAME_TAP;
            let (i, _) = told.iter().enumerate().filter(same).min_by_key(|(_, told)| (told.at - tap.at).abs())?;
            Some(told.swap_remove(i))
        });
        let Some(told) = told else {
            let off = self.turned_off.get(&pair).is_some_and(|off| tap.at <= *off);
            return if off { Adds::Void } else { Adds::Consent };
        };
        if let Some(event) = tap.event {
            self.events.insert((pair, event.clone()));
        }
        self.told_twice.push(ToldTwice { pair, n: told.n, event: tap.event.clone() });
        Adds::Nothing
    }

    /// A tap with this event was recorded, and its row is gone.
    pub fn know(&mut self, pair: Pair, event: &str) {
        self.events.insert((pair, event.to_owned()));
    }

    fn next_n(&mut self, pair: Pair) -> i64 {
        let last = self.last.entry(pair).or_default();
        *last += 1;
        *last
    }

    /// Books a new consent in memory and answers its row; free unless `reminder` holds it.
    pub fn grant(&mut self, pair: Pair, grant: Grant<'_>) -> NewConsent {
        let row = self.book(pair, &grant, None);
        if grant.standing {
            self.standing.insert(pair);
        } else if grant.reminder.is_none() {
            self.free.entry(pair).or_default().push_back(row.n);
        }
        row
    }

    /// Books a consent that is void from the start. It is kept because the platform may know it all the same.
    pub fn grant_void(&mut self, pair: Pair, grant: &Grant<'_>, now: Millis) -> NewConsent {
        self.book(pair, grant, Some(now))
    }

    fn book(&mut self, pair: Pair, grant: &Grant<'_>, voided_at: Option<Millis>) -> NewConsent {
        let n = self.next_n(pair);
        if let Some(event) = grant.event {
            self.events.insert((pair, event.clone()));
        }
        if let Some(told) = self.told_once.get_mut(&pair) {
            told.push(ToldOnce { n, at: grant.at, feed: grant.feed });
        }
        NewConsent {
            recipient: pair.0,
            template: pair.1,
            n,
            granted_at: grant.at,
            source: grant.source.to_owned(),
            event: grant.event.clone(),
            standing: i64::from(grant.standing),
            reminder: grant.reminder.map(|id| id.0),
            feeds: feed_number(grant.feed),
            voided_at,
        }
    }

    /// Writes down which consents both feeds have told of.
    pub async fn confirm(&mut self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let twice = std::mem::take(&mut self.told_twice);
        if twice.is_empty() {
            return Ok(());
        }
        let cells = twice.iter().map(|t| [t.pair.0.into(), t.pair.1.into(), t.n.into(), t.event.as_deref().into()]);
        let rows = tx.dialect.rows(["recipient", "template", "n", "event"], cells);
        tx.run(
            "UPDATE consent SET feeds = 3, event = COALESCE(consent.event, r.event) FROM {rows}
             WHERE consent.recipient = r.recipient AND consent.template = r.template AND consent.n = r.n",
            &rows,
        )
        .await?;
        Ok(())
    }
}

/// What a tap adds to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adds {
    /// It is recorded already.
    Nothing,
    /// A consent.
    Consent,
    /// A consent that the user has withdrawn since.
    Void,
}

/// A consent about to be recorded.
pub(super) struct Grant<'a> {
    pub at: Millis,
    pub feed: Feed,
    pub source: &'a str,
    pub event: &'a Option<String>,
    pub standing: bool,
    pub reminder: Option<ReminderId>,
}

pub(super) struct NewConsent {
    recipient: i64,
    template: i64,
    n: i64,
    granted_at: Millis,
    source: String,
    event: Option<String>,
    standing: i64,
    reminder: Option<i64>,
    feeds: i64,
    voided_at: Option<Millis>,
}

/// What is wanted of a pair: with `grants` its last number is read too, and with `reconcile` what one feed alone has told of.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    pub recipient: i64,
    pub template: i64,
    pub grants: bool,
    pub reconcile: bool,
    pub event: Option<String>,
}

/// Reads what is known of the pairs, sorted so that each page is visited once.
pub(super) async fn read_pairs(tx: &mut Tx<'_>, wanted: &BTreeSet<Wanted>) -> sqlx::Result<Held> {
    let mut held = Held::default();
    if wanted.is_empty() {
        return Ok(held);
    }
    let cells = wanted.iter().map(|w| [w.recipient.into(), w.template.into(), w.event.as_deref().into()]);
    let pairs = tx.dialect.rows(["recipient", "template", "event"], cells);
    let rows = tx
        .rows(
            "SELECT c.recipient, c.template, c.n, c.standing, c.event,
                    CASE WHEN c.reminder IS NULL AND c.voided_at IS NULL THEN 1 ELSE 0 END AS free
             FROM {rows} JOIN consent c ON c.recipient = r.recipient AND c.template = r.template
             WHERE (c.reminder IS NULL AND c.voided_at IS NULL) OR c.event = r.event
             ORDER BY c.recipient, c.template, c.n {lock c}",
            &pairs,
        )
        .await?;
    for row in rows {
        let pair = (row.get("recipient"), row.get("template"));
        let n: i64 = row.get("n");
        if let Some(event) = row.get::<Option<String>, _>("event") {
            held.events.insert((pair, event));
        }
        if int(&row, "free") == 0 {
            continue;
        }
        if row.get::<i64, _>("standing") != 0 {
            held.standing.insert(pair);
        } else {
            let free = held.free.entry(pair).or_default();
            // A pair wanted twice with different events is read twice.
            if free.back().is_none_or(|last| *last < n) {
                free.push_back(n);
            }
        }
    }
    let grants: Vec<_> = wanted.iter().filter(|w| w.grants).map(|w| [w.recipient.into(), w.template.into()]).collect();
    if !grants.is_empty() {
        let grants = tx.dialect.rows(["recipient", "template"], grants);
        let rows = tx
            .rows(
                "SELECT r.recipient, r.template, COALESCE((SELECT MAX(c.n) FROM consent c
                     WHERE c.recipient = r.recipient AND c.template = r.template), 0) AS last,
                     (SELECT t.at FROM turned_off t WHERE t.recipient = r.recipient AND t.template = r.template) AS off_at
                 FROM {rows}",
                &grants,
            )
            .await?;
        for row in rows {
            let pair = (row.get("recipient"), row.get("template"));
            held.last.insert(pair, row.get("last"));
            if let Some(off) = row.get("off_at") {
                held.turned_off.insert(pair, off);
            }
        }
    }
    let reconcile: BTreeSet<Pair> =
        wanted.iter().filter(|w| w.grants && w.reconcile).map(|w| (w.recipient, w.template)).collect();
    if !reconcile.is_empty() {
        held.told_once.extend(reconcile.iter().map(|pair| (*pair, Vec::new())));
        let pairs = reconcile.iter().map(|(recipient, template)| [(*recipient).into(), (*template).into()]);
        let pairs = tx.dialect.rows(["recipient", "template"], pairs);
        let rows = tx
            .rows(
                "SELECT c.recipient, c.template, c.n, c.granted_at, c.feeds FROM {rows} JOIN consent c
                 ON c.recipient = r.recipient AND c.template = r.template WHERE c.feeds <> 3",
                &pairs,
            )
            .await?;
        for row in rows {
            let feed = if row.get::<i64, _>("feeds") == 1 { Feed::Client } else { Feed::Platform };
            let told = ToldOnce { n: row.get("n"), at: row.get("granted_at"), feed };
            held.told_once.entry((row.get("recipient"), row.get("template"))).or_default().push(told);
        }
    }
    Ok(held)
}

/// An integer of an expression, whose declared width the databases disagree about.
pub(super) fn int(row: &AnyRow, column: &str) -> i64 {
    row.try_get::<i64, _>(column).or_else(|_| row.try_get::<i32, _>(column).map(i64::from)).expect("an integer column")
}

/// Writes new consents, sorted by user.
pub(super) async fn insert(tx: &mut Tx<'_>, mut consents: Vec<NewConsent>) -> sqlx::Result<()> {
    if consents.is_empty() {
        return Ok(());
    }
    consents.sort_by_key(|c| (c.recipient, c.template, c.n));
    let columns = [
        "recipient",
        "template",
        "n",
        "granted_at",
        "source",
        "event",
        "standing",
        "reminder",
        "feeds",
        "voided_at",
        "void_reason",
    ];
    let cells = consents.iter().map(|c| {
        [
            c.recipient.into(),
            c.template.into(),
            c.n.into(),
            c.granted_at.into(),
            c.source.as_str().into(),
            c.event.as_deref().into(),
            c.standing.into(),
            c.reminder.into(),
            c.feeds.into(),
            c.voided_at.into(),
            c.voided_at.map(|_| "turned_off").into(),
        ]
    });
    let rows = tx.dialect.rows(columns, cells);
    tx.run(
        "INSERT INTO consent (recipient, template, n, granted_at, source, event, standing, reminder, feeds, voided_at, void_reason)
         SELECT r.recipient, r.template, r.n, r.granted_at, r.source, r.event, r.standing, r.reminder, r.feeds, r.voided_at,
                r.void_reason FROM {rows}",
        &rows,
    )
    .await?;
    Ok(())
}

/// A consent that changes hands: to a reminder, or back to nobody.
#[derive(Clone, Copy)]
pub(super) struct Hold {
    pub recipient: i64,
    pub template: i64,
    pub n: i64,
    pub reminder: Option<i64>,
}

/// Writes who holds what, sorted by user.
pub(super) async fn hold(tx: &mut Tx<'_>, mut holds: Vec<Hold>) -> sqlx::Result<()> {
    if holds.is_empty() {
        return Ok(());
    }
    holds.sort_by_key(|h| (h.recipient, h.template, h.n));
    let cells = holds.iter().map(|h| [h.recipient.into(), h.template.into(), h.n.into(), h.reminder.into()]);
    let rows = tx.dialect.rows(["recipient", "template", "n", "reminder"], cells);
    tx.run(
        "UPDATE consent SET reminder = r.reminder FROM {rows}
         WHERE consent.recipient = r.recipient AND consent.template = r.template AND consent.n = r.n",
        &rows,
    )
    .await?;
    Ok(())
}

/// A reminder and the pair whose consent it may hold.
#[derive(Clone, Copy)]
pub(super) struct Holder {
    pub recipient: i64,
    pub template: i64,
    pub reminder: i64,
}

/// The columns of [`Holder::cells`].
pub(super) const HOLDER: [&str; 3] = ["recipient", "template", "reminder"];

impl Holder {
    pub fn cells(&self) -> [Cell<'_>; 3] {
        [self.recipient.into(), self.template.into(), self.reminder.into()]
    }
}

/// Makes available again what these reminders hold; answers the reminders that held something.
pub(super) async fn free(tx: &mut Tx<'_>, holders: &[Holder]) -> sqlx::Result<Vec<i64>> {
    if holders.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = tx.dialect.rows(HOLDER, holders.iter().map(Holder::cells));
    let rows = tx
        .rows(
            "SELECT c.recipient, c.template, c.n, c.reminder FROM {rows} JOIN consent c
             ON c.recipient = r.recipient AND c.template = r.template AND c.reminder = r.reminder
             WHERE c.voided_at IS NULL {lock c}",
            &wanted,
        )
        .await?;
    let freed: Vec<i64> = rows.iter().map(|row| row.get("reminder")).collect();
    let pair = |row: &AnyRow| Hold {
        recipient: row.get("recipient"),
        template: row.get("template"),
        n: row.get("n"),
        reminder: None,
    };
    hold(tx, rows.iter().map(pair).collect()).await?;
    let named: Vec<Holder> = holders.iter().filter(|h| freed.contains(&h.reminder)).copied().collect();
    remember(tx, &named).await?;
    Ok(freed)
}

/// Keeps a user's reminders findable though no consent names them.
pub(super) async fn remember(tx: &mut Tx<'_>, holders: &[Holder]) -> sqlx::Result<()> {
    if !holders.is_empty() {
        let rows = tx.dialect.rows(HOLDER, holders.iter().map(Holder::cells));
        tx.run(
            "INSERT INTO unheld (recipient, reminder) SELECT r.recipient, r.reminder FROM {rows} WHERE true ON CONFLICT DO NOTHING",
            &rows,
        )
        .await?;
    }
    Ok(())
}

/// Voids what was granted by `until` and is still worth something of a pair, and answers the scheduled reminders that held one of
/// them, without the reminder `by` that found out.
///
/// The platform has just said that it knows no consent, or the user that they want none; believing it for one reminder and not for the
/// next would only collect more refusals. What is in doubt, or waits to be sent again, keeps its consent: nobody knows whether that one was
/// spent.
pub(super) async fn void(
    tx: &mut Tx<'_>,
    pair: Pair,
    lane: i64,
    by: Option<ReminderId>,
    until: Millis,
    reason: &str,
) -> sqlx::Result<Vec<i64>> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT c.n, c.reminder, d.state, d.doubt_since FROM consent c LEFT JOIN reminder m ON m.id = c.reminder {LIVING}
         WHERE c.recipient = $1 AND c.template = $2 AND c.voided_at IS NULL AND c.granted_at <= $3"
    )))
    .bind(pair.0)
    .bind(pair.1)
    .bind(until)
    .fetch_all(&mut *tx.conn)
    .await?;
    let mut holders = Vec::new();
    for row in rows {
        let reminder: Option<i64> = row.get("reminder");
        match (reminder, row.get::<Option<i64>, _>("state")) {
            (None, _) => {}
            (Some(id), _) if by == Some(ReminderId(id)) => {}
            (Some(id), Some(SCHEDULED)) if row.get::<Option<Millis>, _>("doubt_since").is_none() => holders.push(id),
            _ => continue,
        }
        sqlx::query(
            "UPDATE consent SET voided_at = $4, void_reason = $5 WHERE recipient = $1 AND template = $2 AND n = $3",
        )
        .bind(pair.0)
        .bind(pair.1)
        .bind(row.get::<i64, _>("n"))
        .bind(tx.now)
        .bind(reason)
        .execute(&mut *tx.conn)
        .await?;
        tx.count(lane, "consent_void", 1);
        tx.count(lane, if reminder.is_some() { "consent_held" } else { "consent_available" }, -1);
    }
    Ok(holders)
}

/// Records popup reports whose feed counts. Afterwards each accepted template has one consent more, unless its event was known; a standing one is
/// recorded once. Answers how many consents each report added, or `None` for one of a user who was forgotten.
pub(super) async fn record(tx: &mut Tx<'_>, reports: &[Report]) -> sqlx::Result<Vec<Option<usize>>> {
    let asked = reports.len();
    let counts = |report: &Report| tx.names.feeds(tx.names.app(&report.app).id).counts(report.feed);
    let reports: Vec<(usize, &Report)> = reports.iter().enumerate().filter(|(_, report)| counts(report)).collect();
    let wanted: Vec<(i64, String)> = reports
        .iter()
        .map(|(_, report)| report)
        .filter(|r| r.results.values().any(|accepted| *accepted))
        .map(|r| (tx.names.app(&r.app).id, r.openid.clone()))
        .collect();
    let recipients = super::reminders::recipients(tx, &wanted, true).await?;
    let mut pairs = BTreeSet::new();
    let mut accepts: Vec<(usize, Pair, &Report)> = Vec::new();
    let mut added = vec![Some(0); asked];
    for (i, report) in reports {
        let app = tx.names.app(&report.app).id;
        for code in report.results.iter().filter(|(_, accepted)| **accepted).map(|(code, _)| code) {
            let Some(recipient) = recipients.get(&(app, report.openid.clone())) else {
                added[i] = None;
                continue;
            };
            let pair = (*recipient, tx.names.template(app, code));
            let (reconcile, event) = (tx.names.feeds(app) == Feeds::Reconcile, report.event.clone());
            pairs.insert(Wanted { recipient: pair.0, template: pair.1, grants: true, reconcile, event });
            accepts.push((i, pair, report));
        }
    }
    let mut held = read_pairs(tx, &pairs).await?;
    let taps = accepts.iter().filter_map(|(_, pair, report)| {
        let app = tx.names.app(&report.app).id;
        Some(Tap { app, openid: &report.openid, pair: *pair, event: report.event.as_deref()? })
    });
    let taps: Vec<Tap<'_>> = taps.collect();
    let names = tx.names;
    let used: Vec<(i64, Used<'_>)> = taps.iter().map(|tap| tap.used(names)).collect();
    let spent = retention::spent(tx, &used).await?;
    held.recall(names, &spent, &taps);
    let mut rows = Vec::new();
    for (i, pair, report) in accepts {
        let standing = tx.names.standing(pair.1);
        let Report { at, feed, source, event, .. } = report;
        let grant = Grant { at: *at, feed: *feed, source, event, standing, reminder: None };
        let lane = tx.names.app(&report.app).lane;
        match held.adds(pair, &grant) {
            Adds::Nothing => {}
            Adds::Consent => {
                rows.push(held.grant(pair, grant));
                added[i] = added[i].map(|n| n + 1);
                tx.count(lane, "consent_available", 1);
            }
            Adds::Void => {
                rows.push(held.grant_void(pair, &grant, tx.now));
                tx.count(lane, "consent_void", 1);
            }
        }
    }
    insert(tx, rows).await?;
    held.confirm(tx).await?;
    Ok(added)
}

impl Store {
    /// Every consent of one user, oldest first, with what became of it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn consents(&self, app: &str, openid: &str) -> Result<Vec<Consent>, StoreError> {
        let sql = format!(
            "SELECT c.template, c.n, c.granted_at, c.source, c.event, c.standing, c.reminder, c.voided_at, c.void_reason, c.feeds,
                    o.state AS ended
             FROM consent c
             LEFT JOIN reminder m ON m.id = c.reminder
             LEFT JOIN outcome o ON o.lane = m.lane AND o.at = m.at AND o.id = m.id AND o.next_at IS NULL
             WHERE c.recipient = (SELECT id FROM recipient WHERE app = $1 AND openid = $2) AND (c.template, c.n) > ($3, $4) ORDER BY c.template, c.n LIMIT {SLICE}"
        );
        let mut consents = Vec::new();
        let mut after: (i64, i64) = (0, 0);
        // In slices, so that somebody with very many keeps no connection for long.
        loop {
            let query = sqlx::query(AssertSqlSafe(sql.as_str())).bind(self.names.app(app).id).bind(openid);
            let rows = query.bind(after.0).bind(after.1).fetch_all(&self.read).await?;
            consents.extend(rows.iter().map(|row| consent(row, &self.names)));
            match rows.last() {
                Some(last) if rows.len() == SLICE => after = (last.get("template"), last.get("n")),
                _ => return Ok(consents),
            }
        }
    }

    /// The balances of one user by template id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn balances(&self, app: &str, openid: &str) -> Result<BTreeMap<String, Balance>, StoreError> {
        let mut balances: BTreeMap<String, Balance> = BTreeMap::new();
        for consent in self.consents(app, openid).await? {
            balances.entry(consent.template).or_default().add(consent.state);
        }
        Ok(balances)
    }
}

fn consent(row: &AnyRow, names: &Names) -> Consent {
    let reminder: Option<i64> = row.get("reminder");
    let ended: Option<String> = row.get("ended");
    let state = if row.get::<Option<i64>, _>("voided_at").is_some() {
        Standing::Void
    } else if reminder.is_none() {
        Standing::Available
    } else if ended.is_some() {
        Standing::Used
    } else {
        Standing::Held
    };
    Consent {
        template: names.code(row.get("template")).to_owned(),
        n: row.get("n"),
        granted_at: row.get("granted_at"),
        source: row.get("source"),
        event: row.get("event"),
        standing: row.get::<i64, _>("standing") != 0,
        reminder: reminder.map(ReminderId),
        state,
        void_reason: row.get("void_reason"),
        told_by: match row.get::<i64, _>("feeds") {
            1 => "client",
            2 => "callback",
            _ => "both",
        },
    }
}
