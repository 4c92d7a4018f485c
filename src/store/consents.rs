//! Consents in SQL: recorded when a user accepts, and shown.

use super::{
    Store,
    command::{Added, Command},
    error::StoreError,
    ledgers::{Ledgers, Pair, Wanted},
    names::Names,
    recipients,
    spent::{self, TapEvent, Used},
    tickets::Tickets,
    tx::Tx,
};
use crate::domain::{
    Millis,
    consent::{Allowance, Balance, ConsentState, Feeds, Report, Ticket},
    ledger::{Granted, Holder, Stage, Tap, Told, Void, state},
    reminder::ReminderId,
};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};
use std::collections::{BTreeMap, BTreeSet};

/// Consents that one statement reads.
const SLICE: usize = 2_000;

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
    pub state: ConsentState,
    /// When it ends by itself, if it does.
    pub ends_at: Option<Millis>,
    /// The ticket that its send names, if it is one.
    pub ticket: Option<Ticket>,
    /// Why it is void.
    pub void_reason: Option<String>,
    /// `client`, `callback` or `both`.
    pub told_by: &'static str,
}

impl Consent {
    /// Whether its time was over before a reminder had it.
    pub fn has_ended(&self) -> bool {
        self.void_reason.as_deref() == Some(Void::Ended.word())
    }
}

/// When the last consent for a template ended by itself, of those that have.
pub fn ended(consents: &[Consent], template: &str) -> Option<Millis> {
    let ended = consents.iter().filter(|consent| consent.template == template && consent.has_ended());
    ended.filter_map(|consent| consent.ends_at).max()
}

/// Records popup reports whose feed counts. Afterwards each accepted template has one consent more, unless its event or its ticket was known; a
/// standing one is recorded once. Answers the templates that each report has added something to, or `None` for one of a user who was forgotten.
pub(super) async fn record(tx: &mut Tx<'_>, reports: &[Report]) -> sqlx::Result<Vec<Option<Added>>> {
    let asked = reports.len();
    let counts = |report: &Report| tx.names.feeds(tx.names.app(&report.app).id).counts(report.feed);
    let reports: Vec<(usize, &Report)> = reports.iter().enumerate().filter(|(_, report)| counts(report)).collect();
    let wanted: Vec<(i64, String)> = reports
        .iter()
        .map(|(_, report)| report)
        .filter(|r| r.results.values().any(|accepted| *accepted))
        .map(|r| (tx.names.app(&r.app).id, r.openid.clone()))
        .collect();
    let recipients = recipients::recipients(tx, &wanted, true).await?;
    let mut pairs = BTreeSet::new();
    let mut accepts: Vec<(usize, Pair, &Report)> = Vec::new();
    let mut added: Vec<Option<Added>> = vec![Some(Vec::new()); asked];
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
    let mut ledgers = Ledgers::available(tx, &pairs).await?;
    let events = accepts.iter().filter_map(|(_, pair, report)| {
        let app = tx.names.app(&report.app).id;
        Some(TapEvent { app, openid: &report.openid, pair: *pair, event: report.event.as_deref()? })
    });
    let events: Vec<TapEvent<'_>> = events.collect();
    let names = tx.names;
    let used: Vec<(i64, Used<'_>)> = events.iter().map(|event| event.used(names)).collect();
    let spent = spent::spent(tx, &used).await?;
    spent.recall(names, &mut ledgers, &events);
    let brought = accepts.iter().filter_map(|(_, pair, report)| {
        Some((names.app_of_template(pair.1), report.ticket.as_ref().and_then(Allowance::ticket)?))
    });
    let mut tickets = Tickets::read(tx, &brought.collect::<Vec<_>>()).await?;
    for (i, pair, report) in accepts {
        let ticket = report.ticket.as_ref().and_then(Allowance::ticket);
        if ticket.is_some_and(|key| !tickets.take(names, names.app_of_template(pair.1), key)) {
            continue;
        }
        let allowance = report.ticket.clone().unwrap_or_else(|| names.allowance(pair.1));
        let told = Told { feed: report.feed, source: report.source.clone() };
        let tap = Tap { at: report.at, allowance, event: report.event.clone(), told };
        if ledgers.of(pair).grant(tap) == Granted::Consent {
            added[i].iter_mut().for_each(|added| added.push(names.code(pair.1).to_owned()));
        }
    }
    ledgers.write(tx).await?;
    tickets.write(tx).await?;
    Ok(added)
}

impl Store {
    /// Every consent of one user, oldest first, with what became of it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn consents(&self, app: &str, openid: &str) -> Result<Vec<Consent>, StoreError> {
        let sql = format!(
            "SELECT c.template, c.n, c.granted_at, c.source, c.event, c.standing, c.ends_at, c.ticket, c.reminder, c.voided_at,
                    c.void_reason, c.feeds, o.state AS ended
             FROM consent c
             LEFT JOIN reminder m ON m.id = c.reminder
             LEFT JOIN outcome o ON o.lane = m.lane AND o.at = m.at AND o.id = m.id AND o.next_at IS NULL
             WHERE c.recipient = (SELECT id FROM recipient WHERE app = $1 AND openid = $2) AND (c.template, c.n) > ($3, $4) ORDER BY c.template, c.n LIMIT {SLICE}"
        );
        let mut consents = Vec::new();
        let now = self.clock.now();
        let mut after: (i64, i64) = (0, 0);
        // In slices, so that a user with very many keeps no connection for long.
        loop {
            let query = sqlx::query(AssertSqlSafe(sql.as_str())).bind(self.names.app(app).id).bind(openid);
            let rows = query.bind(after.0).bind(after.1).fetch_all(&self.read).await?;
            consents.extend(rows.iter().map(|row| consent(row, &self.names, now)));
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

fn consent(row: &AnyRow, names: &Names, now: Millis) -> Consent {
    let reminder = row.get::<Option<i64>, _>("reminder").map(ReminderId);
    let ended = row.get::<Option<String>, _>("ended").is_some();
    let holder = reminder.map(|id| Holder { id, stage: if ended { Stage::Uncertain } else { Stage::UnderWay } });
    let is_void = row.get::<Option<i64>, _>("voided_at").is_some();
    let ends_at: Option<Millis> = row.get("ends_at");
    // That is written down a little later.
    let has_ended = !is_void && holder.is_none() && ends_at.is_some_and(|ends| ends <= now);
    let state = state(holder, is_void || has_ended);
    let void_reason = row.get::<Option<String>, _>("void_reason");
    Consent {
        template: names.code(row.get("template")).to_owned(),
        n: row.get("n"),
        granted_at: row.get("granted_at"),
        source: row.get("source"),
        event: row.get("event"),
        standing: row.get::<i64, _>("standing") != 0,
        reminder,
        state,
        ends_at,
        ticket: row.get::<Option<String>, _>("ticket").map(|key| Ticket::of(&key)),
        void_reason: void_reason.or_else(|| has_ended.then(|| Void::Ended.word().to_owned())),
        told_by: match row.get::<i64, _>("feeds") {
            1 => "client",
            2 => "callback",
            _ => "both",
        },
    }
}

impl Store {
    /// Records popup reports; answers how many templates each has added something to, or `None` for one of a user who was forgotten.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn record(&self, reports: Vec<Report>) -> Result<Vec<Option<usize>>, StoreError> {
        let added = self.record_each(reports).await?;
        Ok(added.into_iter().map(|added| added.map(|added| added.len())).collect())
    }

    /// The same; answers which templates.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn record_each(&self, reports: Vec<Report>) -> Result<Vec<Option<Vec<String>>>, StoreError> {
        self.writer.ask(|answer| Command::Record(reports, answer)).await
    }
}
