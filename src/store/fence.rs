//! The fence between several daemons: a mark, and an end that no call preceded, is written only by the node whose lane it is, under the epoch at
//! which it looked. The lane's row is locked for it, so that a takeover waits for what is being written, and what is written after it does
//! nothing.

use super::{
    dialect::Dialect,
    identity,
    port::{Entry, Job},
    tx::Tx,
};
use sqlx::Row;
use std::collections::{BTreeSet, HashSet};

/// Lanes and the epochs at which a node looked at them.
pub(super) type Epochs = BTreeSet<(i64, i64)>;

/// What the commands of a transaction count on.
pub(super) fn epochs(jobs: &[Job], entries: &[Entry]) -> Epochs {
    let jobs = jobs.iter().filter_map(|job| Some((job.lane, job.epoch?)));
    jobs.chain(entries.iter().filter_map(|entry| Some((entry.target.lane, entry.target.epoch?)))).collect()
}

/// Keeps the lanes that are still this node's from all others until the transaction ends, and remembers which they are. None is on a server that has
/// taken over until that is written down, and the store on hold if it must be: its lanes may be those of a while ago.
///
/// `FOR SHARE`, and not `FOR KEY SHARE`: that one would lock a row which a takeover has already replaced, and let a mark pass.
pub(super) async fn keep(tx: &mut Tx<'_>, epochs: Epochs) -> sqlx::Result<()> {
    if tx.dialect == Dialect::Sqlite || epochs.is_empty() {
        return Ok(());
    }
    let Some(me) = tx.me() else { return Ok(()) };
    let looked: Vec<String> = epochs.iter().map(|(lane, epoch)| format!("({lane}, {epoch})")).collect();
    let same = identity::same_timeline(tx.knows_timeline());
    let sql = format!(
        "SELECT id, epoch FROM lane WHERE node = {} AND (id, epoch) IN ({}) AND {same}
         AND NOT EXISTS (SELECT 1 FROM hold WHERE released_at IS NULL) ORDER BY id FOR SHARE OF lane",
        me.0,
        looked.join(", ")
    );
    let kept = tx.open_with(&sql).await?;
    tx.fenced = kept.iter().map(|row| (row.get("id"), row.get("epoch"))).collect::<HashSet<(i64, i64)>>();
    Ok(())
}

/// Whether what counts on this epoch of a lane may be written. What counts on none is guarded by its row's own fence alone.
pub(super) fn lets(tx: &Tx<'_>, lane: i64, epoch: Option<i64>) -> bool {
    let Some(epoch) = epoch else { return true };
    tx.dialect == Dialect::Sqlite || tx.fenced.contains(&(lane, epoch))
}
