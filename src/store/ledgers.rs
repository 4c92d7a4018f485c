//! Ledgers in SQL: the lines that a batch touches are read, and the moves they make are written. Nothing else grants, moves or erases a
//! consent, so that the rows and their counts change together (I4).

use super::{
    dialect::{Cell, Dialect, Rows, int},
    states::{LIVING, living_state},
    tx::{Tx, bound},
};
use crate::domain::{
    Millis,
    consent::{Allowance, ConsentState, Feed},
    ledger::{Holder, Ledger, Line, Move, Stage, ToldOnce, Void},
    reminder::ReminderId,
};
use sqlx::{AnyConnection, AssertSqlSafe, Row, any::AnyRow};
use std::collections::{BTreeSet, HashMap};

/// A user and a template, as small integers.
pub(super) type Pair = (i64, i64);

/// What is wanted of a pair.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    pub recipient: i64,
    pub template: i64,
    /// A tap is to be recorded.
    pub grants: bool,
    /// Its app counts both feeds.
    pub reconcile: bool,
    /// The tap's event.
    pub event: Option<String>,
}

/// A reminder and the pair whose consent it may hold.
#[derive(Clone, Copy)]
pub(super) struct Claimant {
    pub recipient: i64,
    pub template: i64,
    pub reminder: ReminderId,
}

impl Claimant {
    /// The columns of [`Self::cells`].
    pub const COLUMNS: [&str; 3] = ["recipient", "template", "reminder"];

    pub fn cells(&self) -> [Cell<'_>; 3] {
        [self.recipient.into(), self.template.into(), self.reminder.0.into()]
    }
}

/// The columns of a [`Line`].
pub(super) const LINE: &str =
    "c.recipient, c.template, c.n, c.granted_at, c.event, c.standing, c.ends_at, c.ticket, c.reminder, c.void_reason";

/// The columns of a [`Line`] that nobody holds and that is not void, where no tap is compared with it.
const FREE: &str = "c.recipient, c.n, c.granted_at, c.standing, c.ends_at, c.ticket";

/// Reads the columns of [`LINE`]; `stage` is its reminder's.
fn line(row: &AnyRow, stage: Stage) -> Line {
    let holder: Option<i64> = row.get("reminder");
    // A reason that is not known stands for the one that is most careful.
    let void = |word: String| Void::from_word(&word).unwrap_or(Void::Unconfirmed);
    Line {
        n: row.get("n"),
        granted_at: row.get("granted_at"),
        allowance: allowance(row),
        event: row.get("event"),
        told: None,
        holder: holder.map(|id| Holder { id: ReminderId(id), stage }),
        void: row.get::<Option<String>, _>("void_reason").map(void),
    }
}

/// What one row allows: a send, or standing.
fn allowance(row: &AnyRow) -> Allowance {
    let until: Option<Millis> = row.get("ends_at");
    match (row.get::<Option<String>, _>("ticket"), until) {
        (Some(key), until) => Allowance::Ticket { key, sends: 1, until },
        (None, Some(until)) => Allowance::Times { sends: 1, period: until - row.get::<Millis, _>("granted_at") },
        (None, None) if row.get::<i64, _>("standing") != 0 => Allowance::Standing,
        (None, None) => Allowance::Once,
    }
}

/// The pair of a row.
pub(super) fn pair(row: &AnyRow) -> Pair {
    (row.get("recipient"), row.get("template"))
}

fn feed_number(feed: Feed) -> i64 {
    match feed {
        Feed::Client => 1,
        Feed::Platform => 2,
    }
}

/// The ledgers that a batch touches, as far as it must know them.
#[derive(Default)]
pub(super) struct Ledgers(HashMap<Pair, Ledger>);

/// Reading them.
impl Ledgers {
    /// The ledger of a pair.
    pub fn of(&mut self, pair: Pair) -> &mut Ledger {
        self.0.entry(pair).or_default()
    }

    /// All of them.
    pub fn all(&mut self) -> impl Iterator<Item = &mut Ledger> {
        self.0.values_mut()
    }

    /// What is available of the pairs, and what taps must be compared with. Sorted, so that each page is visited once.
    pub async fn available(tx: &mut Tx<'_>, wanted: &BTreeSet<Wanted>) -> sqlx::Result<Self> {
        let mut ledgers = Self::default();
        if wanted.is_empty() {
            return Ok(ledgers);
        }
        // Before the lines: whoever adds one in between takes the number that is next here, so that this transaction is turned back and finds
        // the tap; the other way round it would record a tap twice.
        ledgers.read_ends(tx, wanted).await?;
        let cells = wanted.iter().map(|w| [w.recipient.into(), w.template.into(), w.event.as_deref().into()]);
        let pairs = tx.dialect.rows(["recipient", "template", "event"], cells);
        let sql = format!(
            "SELECT {LINE}, CASE WHEN c.reminder IS NULL AND c.voided_at IS NULL THEN 1 ELSE 0 END AS free
             FROM {{rows}} JOIN consent c ON c.recipient = r.recipient AND c.template = r.template
             WHERE (c.reminder IS NULL AND c.voided_at IS NULL) OR c.event = r.event
             ORDER BY c.recipient, c.template, c.n {{lock c}}"
        );
        for row in tx.rows(&sql, &pairs).await? {
            let ledger = ledgers.of(pair(&row));
            if int(&row, "free") != 0 {
                ledger.read(line(&row, Stage::Uncertain));
            } else if let Some(event) = row.get::<Option<String>, _>("event") {
                ledger.know(&event);
            }
        }
        ledgers.read_told_once(tx, wanted).await?;
        Ok(ledgers)
    }

    /// What is available for a template to the users of these rows (recipient), and nothing else of them: no tap is compared with it.
    pub async fn free(
        conn: &mut AnyConnection,
        dialect: Dialect,
        locks: bool,
        template: i64,
        users: &Rows,
    ) -> sqlx::Result<Self> {
        let lock = if locks { "{lock c}" } else { "" };
        let sql = format!(
            "SELECT {FREE} FROM {{rows}} JOIN consent c ON c.recipient = r.recipient AND c.template = {template}
             WHERE c.reminder IS NULL AND c.voided_at IS NULL ORDER BY c.recipient, c.n {lock}"
        );
        let rows = bound(&dialect.sql(&sql, users), users).fetch_all(conn).await?;
        Ok(Self::of_free(&rows, template))
    }

    /// The same of users of whom both their row and their name (recipient, openid) are known: of one who is no longer called so, who was
    /// forgotten since, there is nothing.
    pub async fn free_of_named(tx: &mut Tx<'_>, template: i64, users: &Rows) -> sqlx::Result<Self> {
        let sql = format!(
            "SELECT {FREE} FROM {{rows}} JOIN recipient p ON p.id = r.recipient AND p.openid = r.openid
             JOIN consent c ON c.recipient = p.id AND c.template = {template}
             WHERE c.reminder IS NULL AND c.voided_at IS NULL ORDER BY c.recipient, c.n {{lock c}} {{keep p}}"
        );
        Ok(Self::of_free(&tx.rows(&sql, users).await?, template))
    }

    /// What is available of the pairs (recipient, template) of these rows, and nothing else of them.
    pub async fn free_of(tx: &mut Tx<'_>, pairs: &Rows) -> sqlx::Result<Self> {
        let sql = format!(
            "SELECT {LINE} FROM {{rows}} JOIN consent c ON c.recipient = r.recipient AND c.template = r.template
             WHERE c.reminder IS NULL AND c.voided_at IS NULL ORDER BY c.recipient, c.template, c.n {{lock c}}"
        );
        Ok(Self::of_rows(&tx.rows(&sql, pairs).await?, |_| Stage::Uncertain))
    }

    /// Reads the last number of the pairs that taps are granted to, and since when they are turned off.
    async fn read_ends(&mut self, tx: &mut Tx<'_>, wanted: &BTreeSet<Wanted>) -> sqlx::Result<()> {
        let grants: BTreeSet<Pair> = wanted.iter().filter(|w| w.grants).map(|w| (w.recipient, w.template)).collect();
        if grants.is_empty() {
            return Ok(());
        }
        let grants = tx.dialect.rows(["recipient", "template"], grants.iter().map(|(r, t)| [(*r).into(), (*t).into()]));
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
            self.of(pair(&row)).read_end(row.get("last"), row.get("off_at"));
        }
        Ok(())
    }

    /// Reads what one feed alone has told of, for apps that count both.
    async fn read_told_once(&mut self, tx: &mut Tx<'_>, wanted: &BTreeSet<Wanted>) -> sqlx::Result<()> {
        let both = wanted.iter().filter(|w| w.grants && w.reconcile);
        let both: BTreeSet<Pair> = both.map(|w| (w.recipient, w.template)).collect();
        if both.is_empty() {
            return Ok(());
        }
        both.iter().for_each(|pair| self.of(*pair).reconcile([]));
        let pairs = tx.dialect.rows(["recipient", "template"], both.iter().map(|(r, t)| [(*r).into(), (*t).into()]));
        let rows = tx
            .rows(
                "SELECT c.recipient, c.template, c.n, c.granted_at, c.feeds FROM {rows} JOIN consent c
                 ON c.recipient = r.recipient AND c.template = r.template WHERE c.feeds <> 3
                 ORDER BY c.recipient, c.template, c.n {lock c}",
                &pairs,
            )
            .await?;
        for row in rows {
            let feed = if row.get::<i64, _>("feeds") == 1 { Feed::Client } else { Feed::Platform };
            let told = ToldOnce { n: row.get("n"), at: row.get("granted_at"), feed };
            self.of(pair(&row)).reconcile([told]);
        }
        Ok(())
    }

    /// What these reminders have, all of whom are at `stage`, and is not void.
    async fn of_claimants(tx: &mut Tx<'_>, claimants: &[Claimant], stage: Stage) -> sqlx::Result<Self> {
        let wanted = tx.dialect.rows(Claimant::COLUMNS, claimants.iter().map(Claimant::cells));
        let sql = format!(
            "SELECT {LINE} FROM {{rows}} JOIN consent c
             ON c.recipient = r.recipient AND c.template = r.template AND c.reminder = r.reminder
             WHERE c.voided_at IS NULL ORDER BY c.recipient, c.template, c.n {{lock c}}"
        );
        Ok(Self::of_rows(&tx.rows(&sql, &wanted).await?, |_| stage))
    }

    /// What is available of a user.
    pub async fn of_recipient(tx: &mut Tx<'_>, recipient: i64) -> sqlx::Result<Self> {
        let sql = format!(
            "SELECT {LINE} FROM consent c WHERE c.recipient = $1 AND c.voided_at IS NULL AND c.reminder IS NULL
             ORDER BY c.recipient, c.template, c.n{}",
            tx.dialect.for_update()
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(recipient).fetch_all(tx.conn().await?).await?;
        Ok(Self::of_rows(&rows, |_| Stage::Uncertain))
    }

    /// What is not void of a pair and was granted by `until`. The reminder `by` is being settled, and has what it held until now.
    async fn until(tx: &mut Tx<'_>, pair: Pair, until: Millis, by: Option<ReminderId>) -> sqlx::Result<Self> {
        let sql = format!(
            "SELECT {LINE}, d.state, d.doubt_since FROM consent c LEFT JOIN reminder m ON m.id = c.reminder {LIVING}
             WHERE c.recipient = $1 AND c.template = $2 AND c.voided_at IS NULL AND c.granted_at <= $3 ORDER BY c.n"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(pair.0).bind(pair.1).bind(until);
        let rows = query.fetch_all(tx.conn().await?).await?;
        Ok(Self::of_rows(&rows, |row| match row.get::<Option<i64>, _>("state") {
            Some(number) => Stage::of(living_state(number), row.get::<Option<Millis>, _>("doubt_since").is_some()),
            None if by.is_some_and(|by| row.get::<Option<i64>, _>("reminder") == Some(by.0)) => Stage::UnderWay,
            // As what it has ended makes no difference here.
            None => Stage::Uncertain,
        }))
    }

    /// Reads rows that have the columns of [`FREE`], those of a user in the order of their numbers.
    fn of_free(rows: &[AnyRow], template: i64) -> Self {
        let mut ledgers = Self(HashMap::with_capacity(rows.len()));
        for row in rows {
            ledgers.of((row.get("recipient"), template)).read(Line {
                n: row.get("n"),
                granted_at: row.get("granted_at"),
                allowance: allowance(row),
                event: None,
                told: None,
                holder: None,
                void: None,
            });
        }
        ledgers
    }

    /// Reads rows that have the columns of [`LINE`], those of a pair in the order of their numbers.
    pub fn of_rows<'r>(rows: impl IntoIterator<Item = &'r AnyRow>, stage: impl Fn(&AnyRow) -> Stage) -> Self {
        let mut ledgers = Self::default();
        rows.into_iter().for_each(|row| ledgers.of(pair(row)).read(line(row, stage(row))));
        ledgers
    }
}

/// Writing them.
impl Ledgers {
    /// What has changed.
    pub fn moves(&self) -> impl Iterator<Item = (Pair, Move, &Line)> {
        self.0.iter().flat_map(|(pair, ledger)| ledger.moves().map(|(moved, line)| (*pair, moved, line)))
    }

    /// Writes what has changed, to the rows and to their counts. A row is touched once at most.
    pub async fn write(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let (mut new, mut held, mut void, mut gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (pair, moved, line) in self.moves() {
            tx.tally.consent(tx.names.home_of_stored(pair.1)?, moved);
            let changed = match (moved.from, moved.to) {
                (None, _) => &mut new,
                (_, None) => &mut gone,
                (_, Some(ConsentState::Void)) => &mut void,
                (_, Some(_)) => &mut held,
            };
            changed.push((pair, line));
        }
        // Sorted by user, so that each page is visited once.
        for lines in [&mut new, &mut held, &mut void, &mut gone] {
            lines.sort_unstable_by_key(|(pair, line)| (*pair, line.n));
        }
        insert(tx, &new).await?;
        hold(tx, &held).await?;
        make_void(tx, &void).await?;
        delete(tx, &gone).await?;
        self.write_told_twice(tx).await
    }

    /// Writes down of which consents both feeds have told.
    async fn write_told_twice(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let twice = self.0.iter().flat_map(|(pair, ledger)| ledger.told_twice().iter().map(move |told| (pair, told)));
        let cells =
            twice.map(|(pair, told)| [pair.0.into(), pair.1.into(), told.n.into(), told.event.as_deref().into()]);
        let cells: Vec<_> = cells.collect();
        if !cells.is_empty() {
            let rows = tx.dialect.rows(["recipient", "template", "n", "event"], cells);
            tx.run(
                "UPDATE consent SET feeds = 3, event = COALESCE(consent.event, r.event) FROM {rows}
                 WHERE consent.recipient = r.recipient AND consent.template = r.template AND consent.n = r.n",
                &rows,
            )
            .await?;
        }
        Ok(())
    }
}

type Changed<'a> = (Pair, &'a Line);

fn holder<'a>(line: &Line) -> Cell<'a> {
    line.holder.map(|holder| holder.id.0).into()
}

async fn insert(tx: &mut Tx<'_>, new: &[Changed<'_>]) -> sqlx::Result<()> {
    if new.is_empty() {
        return Ok(());
    }
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
    let now = tx.now;
    let cells = new.iter().map(|(pair, line)| {
        let told = line.told.as_ref().expect("a line that is new says who told of it");
        [
            pair.0.into(),
            pair.1.into(),
            line.n.into(),
            line.granted_at.into(),
            told.source.as_str().into(),
            line.event.as_deref().into(),
            i64::from(line.allowance == Allowance::Standing).into(),
            holder(line),
            feed_number(told.feed).into(),
            line.void.map(|_| now).into(),
            line.void.map(Void::word).into(),
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
    limit(tx, new).await
}

/// Writes down of new rows that have them their ends and tickets: most have neither, and so pay nothing for it.
async fn limit(tx: &mut Tx<'_>, new: &[Changed<'_>]) -> sqlx::Result<()> {
    let limited = new.iter().filter(|(_, line)| line.ends().is_some() || line.allowance.ticket().is_some());
    let cells = limited.map(|(pair, line)| {
        [pair.0.into(), pair.1.into(), line.n.into(), line.ends().into(), line.allowance.ticket().into()]
    });
    let cells: Vec<[Cell<'_>; 5]> = cells.collect();
    if cells.is_empty() {
        return Ok(());
    }
    let rows = tx.dialect.rows(["recipient", "template", "n", "ends_at", "ticket"], cells);
    tx.run(
        "UPDATE consent SET ends_at = r.ends_at, ticket = r.ticket FROM {rows}
         WHERE consent.recipient = r.recipient AND consent.template = r.template AND consent.n = r.n",
        &rows,
    )
    .await
    .map(drop)
}

async fn hold(tx: &mut Tx<'_>, held: &[Changed<'_>]) -> sqlx::Result<()> {
    if held.is_empty() {
        return Ok(());
    }
    let cells = held.iter().map(|(pair, line)| [pair.0.into(), pair.1.into(), line.n.into(), holder(line)]);
    let rows = tx.dialect.rows(["recipient", "template", "n", "reminder"], cells);
    tx.run(
        "UPDATE consent SET reminder = r.reminder FROM {rows}
         WHERE consent.recipient = r.recipient AND consent.template = r.template AND consent.n = r.n",
        &rows,
    )
    .await
    .map(drop)
}

async fn make_void(tx: &mut Tx<'_>, void: &[Changed<'_>]) -> sqlx::Result<()> {
    if void.is_empty() {
        return Ok(());
    }
    let now = tx.now;
    let cells = void.iter().map(|(pair, line)| {
        let why = line.void.map(Void::word);
        [pair.0.into(), pair.1.into(), line.n.into(), holder(line), now.into(), why.into()]
    });
    let rows = tx.dialect.rows(["recipient", "template", "n", "reminder", "voided_at", "void_reason"], cells);
    // One that was void before keeps its instant and its reason.
    tx.run(
        "UPDATE consent SET reminder = r.reminder, voided_at = COALESCE(consent.voided_at, r.voided_at),
             void_reason = COALESCE(consent.void_reason, r.void_reason) FROM {rows}
         WHERE consent.recipient = r.recipient AND consent.template = r.template AND consent.n = r.n",
        &rows,
    )
    .await
    .map(drop)
}

async fn delete(tx: &mut Tx<'_>, gone: &[Changed<'_>]) -> sqlx::Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    let cells = gone.iter().map(|(pair, line)| [pair.0.into(), pair.1.into(), line.n.into()]);
    let rows = tx.dialect.rows(["recipient", "template", "n"], cells);
    let sql = "DELETE FROM consent WHERE (recipient, template, n) IN (SELECT r.recipient, r.template, r.n FROM {rows})";
    tx.run(sql, &rows).await.map(drop)
}

/// Makes available again what these reminders have; answers those that had something. They were at `stage`.
pub(super) async fn give_back(tx: &mut Tx<'_>, claimants: &[Claimant], stage: Stage) -> sqlx::Result<Vec<ReminderId>> {
    if claimants.is_empty() {
        return Ok(Vec::new());
    }
    let mut ledgers = Ledgers::of_claimants(tx, claimants, stage).await?;
    let mut gave = claimants.to_vec();
    gave.retain(|c| ledgers.of((c.recipient, c.template)).give_back(c.reminder));
    ledgers.write(tx).await?;
    remember(tx, &gave).await?;
    Ok(gave.iter().map(|claimant| claimant.reminder).collect())
}

/// Keeps a user's reminders findable though no consent names them.
pub(super) async fn remember(tx: &mut Tx<'_>, reminders: &[Claimant]) -> sqlx::Result<()> {
    if !reminders.is_empty() {
        let rows = tx.dialect.rows(Claimant::COLUMNS, reminders.iter().map(Claimant::cells));
        tx.run(
            "INSERT INTO unheld (recipient, reminder) SELECT r.recipient, r.reminder FROM {rows} WHERE true ON CONFLICT DO NOTHING",
            &rows,
        )
        .await?;
    }
    Ok(())
}

/// Voids what was granted by `until` of a pair and is certainly unspent. Answers the waiting reminders that have lost their consent so,
/// without `by`, the reminder that found out and is being settled.
pub(super) async fn void(
    tx: &mut Tx<'_>,
    pair: Pair,
    by: Option<ReminderId>,
    until: Millis,
    why: Void,
) -> sqlx::Result<Vec<ReminderId>> {
    // First, and by itself: what is read then says what others have left, of the reminders that hold them too.
    if tx.dialect == Dialect::Postgres {
        let sql =
            "SELECT n FROM consent WHERE recipient = $1 AND template = $2 AND voided_at IS NULL ORDER BY n FOR UPDATE";
        sqlx::query(sql).bind(pair.0).bind(pair.1).execute(tx.conn().await?).await?;
    }
    let mut ledgers = Ledgers::until(tx, pair, until, by).await?;
    let lost = ledgers.of(pair).void(until, by, why);
    ledgers.write(tx).await?;
    Ok(lost)
}

/// Whether a reminder has the sole consent of its pair that the platform can still know, or, where a ticket pays for it, the sole send of that.
/// What ended before `ended` the platform knows no more.
pub(super) async fn is_sole(
    tx: &mut Tx<'_>,
    pair: Pair,
    reminder: ReminderId,
    ticket: Option<&str>,
    ended: Millis,
) -> sqlx::Result<bool> {
    let pays = if ticket.is_some() { "AND c.ticket = $4" } else { "" };
    // Two that are not certainly spent are too many already.
    let sql = format!(
        "SELECT {LINE} FROM consent c
         LEFT JOIN reminder m ON m.id = c.reminder
         LEFT JOIN outcome o ON o.lane = m.lane AND o.at = m.at AND o.id = m.id AND o.next_at IS NULL AND o.state = 'sent'
         WHERE c.recipient = $1 AND c.template = $2 AND o.id IS NULL AND (c.ends_at IS NULL OR c.ends_at > $3) {pays}
         ORDER BY c.n LIMIT 2"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(pair.0).bind(pair.1).bind(ended);
    let query = if ticket.is_some() { query.bind(ticket) } else { query };
    let mut ledgers = Ledgers::of_rows(&query.fetch_all(tx.conn().await?).await?, |_| Stage::UnderWay);
    Ok(ledgers.of(pair).is_sole(reminder))
}
