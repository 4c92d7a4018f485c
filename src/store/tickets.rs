//! A ticket is good for its sends, whatever it is told of for: it belongs to the user and the template that it was first recorded for. The
//! platforms count by its id alone, so that the same id for another template would be a consent that nobody has given.
//!
//! Its rows are found by their user and template. So that one need not look at all others, a keyed hash stands beside them from the first
//! record on, as one stands for a tap whose row is gone.

use super::{
    names::Names,
    pseudonyms::Pseudonyms,
    spent::{self, Spent, Used},
    tx::Tx,
};
use crate::domain::consent::Ticket;
use std::collections::HashSet;

/// Which tickets are recorded, of those that a batch brings.
#[derive(Default)]
pub(super) struct Tickets {
    before: Spent,
    /// Those that the batch records, by app and as they are stored.
    now: HashSet<(i64, String)>,
}

impl Tickets {
    /// Reads which of these are recorded; they come by app and as they are stored.
    pub async fn read(tx: &mut Tx<'_>, brought: &[(i64, &str)]) -> sqlx::Result<Self> {
        let used = brought.iter().filter(|(_, key)| !is_bound(key)).map(|(app, key)| (*app, Used::Ticket(key)));
        let before = spent::spent(tx, &used.collect::<Vec<_>>()).await?;
        Ok(Self { before, now: HashSet::new() })
    }

    /// Whether a ticket can be recorded. It is, from then on, for one user and template.
    pub fn take(&mut self, names: &Names, app: i64, key: &str) -> bool {
        is_bound(key) || !self.before.has(names, app, Used::Ticket(key)) && self.now.insert((app, key.to_owned()))
    }

    /// Writes down those that were recorded.
    pub async fn write(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let names = tx.names;
        let tags = self.now.iter().map(|(app, key)| (*app, Used::Ticket(key).tag(names)));
        spent::spend_first(tx, &tags.collect::<Vec<_>>()).await
    }
}

/// Whether the id itself says whose it is: one of ours does.
fn is_bound(key: &str) -> bool {
    Pseudonyms::looks_minted(&Ticket::of(key).id)
}
