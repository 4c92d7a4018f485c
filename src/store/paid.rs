//! What pays for reminders, on platforms where a consent can end by itself or be a ticket. On the others nothing of this is ever asked.

use super::{
    Store,
    command::Single,
    dialect::int,
    error::StoreError,
    ledgers::{Claimant, Ledgers},
    tx::Tx,
};
use crate::domain::{Millis, ledger::Ledger, reminder::ReminderId};
use sqlx::Row;
use std::collections::{BTreeSet, HashMap};

/// The consent that a reminder holds.
#[derive(Debug, Clone)]
pub(super) struct Paid {
    /// When it ends, if it does.
    pub ends_at: Option<Millis>,
    /// The ticket that the send names, as it is stored.
    pub ticket: Option<String>,
}

/// What these reminders hold; those that hold nothing are left out.
pub(super) async fn paid(tx: &mut Tx<'_>, holders: &[Claimant]) -> sqlx::Result<HashMap<ReminderId, Paid>> {
    if holders.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = tx.dialect.rows(Claimant::COLUMNS, holders.iter().map(Claimant::cells));
    let sql = "SELECT c.reminder, c.ends_at, c.ticket FROM {rows} JOIN consent c
         ON c.recipient = r.recipient AND c.template = r.template AND c.reminder = r.reminder WHERE c.voided_at IS NULL";
    let paid = tx.rows(sql, &rows).await?.into_iter().map(|row| {
        (ReminderId(int(&row, "reminder")), Paid { ends_at: row.get("ends_at"), ticket: row.get("ticket") })
    });
    Ok(paid.collect())
}

/// Consents looked at in one step of the walk through what has ended.
const SLICE: i64 = 500;
/// Users and templates of one transaction: a mark that comes meanwhile waits for one.
const AT_ONCE: usize = 50;

/// Where the walk through what has ended is: the end, the user, the template and the number of the consent that it saw last.
pub(super) type Place = (Millis, i64, i64, i64);

impl Store {
    /// Voids consents that have ended before a reminder had them, in small transactions; answers how many. They count as void from their end
    /// on; this writes it down. After the last it begins again: a reminder may give back what has ended meanwhile.
    pub(super) async fn end_consents(&self, place: &mut Place, now: Millis) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT c.ends_at, c.recipient, c.template, c.n, c.reminder, c.voided_at FROM consent c
             WHERE c.ends_at IS NOT NULL AND (c.ends_at, c.recipient, c.template, c.n) > ($1, $2, $3, $4) AND c.ends_at <= $5
             ORDER BY c.ends_at, c.recipient, c.template, c.n LIMIT {SLICE}"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(place.0).bind(place.1).bind(place.2).bind(place.3);
        let rows = query.bind(now).fetch_all(&self.read).await?;
        let key =
            |row: &sqlx::any::AnyRow| (row.get("ends_at"), row.get("recipient"), row.get("template"), row.get("n"));
        let has = |row: &sqlx::any::AnyRow, column: &str| row.get::<Option<i64>, _>(column).is_some();
        let free = rows.iter().filter(|row| !has(row, "reminder") && !has(row, "voided_at"));
        let pairs: BTreeSet<(i64, i64)> = free.map(|row| (row.get("recipient"), row.get("template"))).collect();
        let pairs: Vec<(i64, i64)> = pairs.into_iter().collect();
        let mut ended = 0;
        for some in pairs.chunks(AT_ONCE) {
            ended += self.writer.do_one(End(some.to_vec())).await?;
        }
        *place = rows.last().filter(|_| rows.len() == SLICE as usize).map(key).unwrap_or_default();
        Ok(ended)
    }
}

/// Voids what has ended of these users' consents for these templates. The counts follow.
struct End(Vec<(i64, i64)>);

impl Single for End {
    const WHAT: Option<&'static str> = Some("a consent was ended");

    type Done = u64;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<u64> {
        let pairs = tx.dialect.rows(["recipient", "template"], self.0.iter().map(|(r, t)| [(*r).into(), (*t).into()]));
        let mut ledgers = Ledgers::free_of(tx, &pairs).await?;
        let now = tx.now;
        ledgers.all().for_each(|ledger: &mut Ledger| ledger.end(now));
        ledgers.write(tx).await?;
        Ok(ledgers.moves().count() as u64)
    }
}
