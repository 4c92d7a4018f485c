//! Scheduled reminders are changed and cancelled by their owners.

use super::{
    Store,
    command::Single,
    deeds::Deed,
    error::{StoreError, meanwhile},
    ledgers::Claimant,
    paid::paid,
    port::{Entry, Ring},
    reminders::{Stored, find_in},
    settle::settle_all,
    states::SCHEDULED,
    tx::Tx,
};
use crate::domain::{
    Millis,
    decide::cancelled,
    draft::Change,
    reason::TEMPLATE_SUSPENDED,
    reminder::{ReminderId, State},
};

/// What a change or a cancellation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Written.
    Yes,
    /// It is no longer scheduled but in this state; nothing was written.
    NotScheduled(State),
    /// Its deadline would not follow its instant, now that another change has moved one of them; nothing was written.
    BadDeadline,
    /// It is another than the one that the change was made from; nothing was written.
    Meanwhile,
    /// The consent that it holds ends before its new instant; nothing was written.
    ConsentEnds(Millis),
    /// There is no such reminder.
    NotFound,
}

/// Cancels a scheduled reminder; its consent is available again. One that an operator wants sent again may have arrived, and keeps its own.
pub(super) struct Cancel(pub ReminderId);

impl Single for Cancel {
    const WHAT: Option<&'static str> = None;

    type Done = Changed;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Changed> {
        cancel(tx, self.0).await
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["cancel.before_commit", "cancel.after_commit"])
    }

    fn deed(&self, done: &Changed) -> Option<Deed> {
        (*done == Changed::Yes).then_some(Deed::Cancelled(self.0))
    }
}

pub(super) async fn cancel(tx: &mut Tx<'_>, id: ReminderId) -> sqlx::Result<Changed> {
    let Some(stored) = find_in(tx, id).await? else { return Ok(Changed::NotFound) };
    let Some(target) = stored.target_in(State::Scheduled) else { return Ok(Changed::NotScheduled(stored.due.state)) };
    let settlement = cancelled(&stored.due);
    let ended_at = tx.now;
    settle_all(tx, &[Entry { target, settlement, began_at: None, ended_at }]).await?;
    Ok(Changed::Yes)
}

/// Changes a scheduled reminder. The fence rises, so that what the engine has read of it before is not sent.
impl Single for (ReminderId, Change) {
    const WHAT: Option<&'static str> = None;

    /// With the fence that it was changed from.
    type Done = (Changed, i64);

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<(Changed, i64)> {
        match find_in(tx, self.0).await? {
            None => Ok((Changed::NotFound, 0)),
            Some(stored) => {
                let fence = stored.due.fence;
                Ok((change(tx, stored, &self.1).await?, fence))
            }
        }
    }

    /// A change of the body alone must be read again too. Its instant is not known here, so the engine looks at everything.
    fn ring(&self) -> Option<Ring> {
        Some(self.1.at.as_ref().map_or(Ring::EVERYTHING, |(at, _)| Ring { from: *at, until: *at }))
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["change.before_commit", "change.after_commit"])
    }

    fn deed(&self, (done, fence): &(Changed, i64)) -> Option<Deed> {
        let change = Change { seen: Some(*fence), ..self.1.clone() };
        (*done == Changed::Yes).then_some(Deed::Changed(self.0, change))
    }
}

pub(super) async fn change(tx: &mut Tx<'_>, stored: Stored, change: &Change) -> sqlx::Result<Changed> {
    let id = stored.due.id;
    if stored.due.state != State::Scheduled {
        return Ok(Changed::NotScheduled(stored.due.state));
    }
    if change.seen.is_some_and(|seen| seen != stored.due.fence) {
        return Ok(Changed::Meanwhile);
    }
    let consent_ends = consent_ends(tx, &stored).await?;
    let (at, local_at) = change.at.clone().unwrap_or((stored.due.at, stored.local_at));
    let expires_at = change.expires_at.unwrap_or(stored.due.expires_at);
    if expires_at <= at {
        // Another change has moved one of them since this one was checked.
        return Ok(Changed::BadDeadline);
    }
    if let Some(ends_at) = consent_ends.filter(|ends| change.at.is_some() && *ends <= at) {
        return Ok(Changed::ConsentEnds(ends_at));
    }
    let mended = change.data.is_some() && stored.reason.as_deref() == Some(TEMPLATE_SUSPENDED);
    let due_at = match change.at {
        Some(_) => at,
        // Its template was suspended because of its data, and these are new.
        None if mended => at.max(tx.now).min(stored.due.due_at),
        None => stored.due.due_at,
    };
    let moved = sqlx::query(
        "UPDATE due SET due_at = $4, fence = fence + 1 WHERE lane = $1 AND due_at = $2 AND id = $3 AND state = $5 AND fence = $6",
    )
    .bind(stored.lane)
    .bind(stored.due.due_at)
    .bind(id.0)
    .bind(due_at)
    .bind(SCHEDULED)
    .bind(stored.due.fence)
    .execute(tx.conn().await?)
    .await?;
    if moved.rows_affected() == 0 {
        // Another writer has marked it since it was read, or changed it.
        return Err(meanwhile());
    }
    let page = change.page.clone().unwrap_or(stored.page);
    // Past attempts move along, since an outcome is found by its reminder's instant.
    sqlx::query("UPDATE outcome SET at = $4, next_at = $5 WHERE lane = $1 AND at = $2 AND id = $3")
        .bind(stored.lane)
        .bind(stored.due.at)
        .bind(id.0)
        .bind(at)
        .bind(due_at)
        .execute(tx.conn().await?)
        .await?;
    sqlx::query("UPDATE reminder SET at = $2, expires_at = $3, page = $4, data = $5, local_at = $6, changed_at = $7 WHERE id = $1")
        .bind(id.0)
        .bind(at)
        .bind(expires_at)
        .bind(page)
        .bind(change.data.clone().unwrap_or(stored.data))
        .bind(local_at)
        .bind(tx.now)
        .execute(tx.conn().await?)
        .await?;
    Ok(Changed::Yes)
}

/// When the consent ends that a reminder holds, if it does.
async fn consent_ends(tx: &mut Tx<'_>, stored: &Stored) -> sqlx::Result<Option<Millis>> {
    if !tx.names.limited_lane(stored.lane) {
        return Ok(None);
    }
    let (recipient, template) = stored.pair();
    let paid = paid(tx, &[Claimant { recipient, template, reminder: stored.due.id }]).await?;
    Ok(paid.get(&stored.due.id).and_then(|paid| paid.ends_at))
}

impl Store {
    /// Cancels a scheduled reminder.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn cancel(&self, id: ReminderId) -> Result<Changed, StoreError> {
        self.writer.do_one(Cancel(id)).await
    }

    /// Changes a scheduled reminder.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn change(&self, id: ReminderId, change: Change) -> Result<Changed, StoreError> {
        Ok(self.writer.do_one((id, change)).await?.0)
    }
}
