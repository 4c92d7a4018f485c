//! Idempotency keys and callers' ids of taps are used once and for ever: when their rows are no longer kept, a keyed hash of them stays.

use super::{
    Store,
    dialect::Rows,
    error::StoreError,
    ledgers::{Ledgers, Pair},
    names::Names,
    tx::Tx,
};
use sqlx::Row;
use std::collections::HashSet;

/// A text that is used once and for ever. It goes with the row that used it, and a keyed hash of it stays.
#[derive(Clone, Copy)]
pub(super) enum Used<'a> {
    /// An idempotency key.
    Key(&'a str),
    /// A caller's id of a tap: of this user, for this template.
    Event(&'a str, &'a str, &'a str),
    /// A ticket as it is stored, whose ever it is.
    Ticket(&'a str),
}

impl Used<'_> {
    /// The keyed hash that stays.
    pub fn tag(self, names: &Names) -> String {
        match self {
            Self::Key(key) => names.pseudonyms().spent("key", key),
            Self::Event(openid, code, event) => {
                names.pseudonyms().spent("event", &format!("{openid}\0{code}\0{event}"))
            }
            Self::Ticket(key) => names.pseudonyms().spent("ticket", key),
        }
    }
}

/// The keys and taps that were used by rows that are no longer kept.
#[derive(Default)]
pub(super) struct Spent(HashSet<(i64, String)>);

impl Spent {
    pub fn has(&self, names: &Names, app: i64, used: Used<'_>) -> bool {
        !self.0.is_empty() && self.0.contains(&(app, used.tag(names)))
    }

    /// Makes known to the ledgers which of these taps were recorded, though their consents are gone.
    pub fn recall(&self, names: &Names, ledgers: &mut Ledgers, events: &[TapEvent<'_>]) {
        for event in events {
            let (app, used) = event.used(names);
            if self.has(names, app, used) {
                ledgers.of(event.pair).know(event.event);
            }
        }
    }
}

/// Those of `used`, by app, whose rows are no longer kept.
pub(super) async fn spent(tx: &mut Tx<'_>, used: &[(i64, Used<'_>)]) -> sqlx::Result<Spent> {
    if used.is_empty() || sqlx::query("SELECT app FROM spent LIMIT 1").fetch_optional(tx.conn().await?).await?.is_none()
    {
        return Ok(Spent::default());
    }
    let tags: Vec<(i64, String)> = used.iter().map(|(app, used)| (*app, used.tag(tx.names))).collect();
    let rows = tags_of(tx, &tags);
    let found =
        tx.rows("SELECT s.app, s.tag FROM {rows} JOIN spent s ON s.app = r.app AND s.tag = r.tag", &rows).await?;
    Ok(Spent(found.iter().map(|row| (row.get("app"), row.get("tag"))).collect()))
}

/// The caller's own id of a tap.
pub(super) struct TapEvent<'a> {
    pub app: i64,
    pub openid: &'a str,
    pub pair: Pair,
    pub event: &'a str,
}

impl<'a> TapEvent<'a> {
    /// Its app and its text.
    pub fn used(&self, names: &'a Names) -> (i64, Used<'a>) {
        (self.app, Used::Event(self.openid, names.code(self.pair.1), self.event))
    }
}

fn tags_of(tx: &Tx<'_>, tags: &[(i64, String)]) -> Rows {
    tx.dialect.rows(["app", "tag"], tags.iter().map(|(app, tag)| [(*app).into(), tag.as_str().into()]))
}

/// Writes down these tags, by app.
pub(super) async fn spend(tx: &mut Tx<'_>, tags: &[(i64, String)]) -> sqlx::Result<()> {
    if !tags.is_empty() {
        let rows = tags_of(tx, tags);
        tx.run("INSERT INTO spent (app, tag) SELECT r.app, r.tag FROM {rows} WHERE true ON CONFLICT DO NOTHING", &rows)
            .await?;
    }
    Ok(())
}

/// Writes down tags that nobody has written down before. Where another writer is faster with one, the transaction is done again.
pub(super) async fn spend_first(tx: &mut Tx<'_>, tags: &[(i64, String)]) -> sqlx::Result<()> {
    if !tags.is_empty() {
        let rows = tags_of(tx, tags);
        tx.run("INSERT INTO spent (app, tag) SELECT r.app, r.tag FROM {rows}", &rows).await?;
    }
    Ok(())
}

impl Store {
    /// Whether the key's reminder was there and is no longer kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_spent(&self, app: &str, key: &str) -> Result<bool, StoreError> {
        let query = sqlx::query("SELECT app FROM spent WHERE app = $1 AND tag = $2");
        let query = query.bind(self.names.app(app).id).bind(Used::Key(key).tag(&self.names));
        Ok(query.fetch_optional(&self.read).await?.is_some())
    }
}
