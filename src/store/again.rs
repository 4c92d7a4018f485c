//! What the database has forgotten is written again, by whoever wrote it.
//!
//! Each deed goes through the statements that wrote it before, so it meets the same guards: a row that has changed meanwhile is left alone. What
//! another daemon has written in between may lack, too, and come later; so what a deed does not find is left for a second time. What is not found
//! then either is named, and keeps the hold.

use super::{
    change::cancel,
    consents,
    deeds::Deed,
    insert,
    lacks::Lacks,
    mark::mark,
    port::{Entry, Job, Marked, Target},
    reminders::find_in,
    settle::settle,
    tx::Tx,
};
use crate::{
    domain::reminder::{NewReminder, ReminderId, State},
    store::command::Inserted,
};
use sqlx::Row;
use std::collections::HashMap;

/// What came of it.
#[derive(Default)]
pub(super) struct Again {
    /// What may be found later.
    pub left: Vec<Deed>,
    /// What is lost.
    pub lacks: Lacks,
}

/// Writes deeds again, in order. `last`: nobody else will write anything that they need.
pub(super) async fn write_again(tx: &mut Tx<'_>, deeds: Vec<Deed>, last: bool) -> sqlx::Result<Again> {
    let mut again = Again::default();
    for deed in deeds {
        match deed {
            Deed::Consents(reports) => {
                let added = consents::record(tx, &reports).await?;
                again.lacks.consents += added.iter().filter(|added| added.is_none()).count();
            }
            Deed::Inserts(rows) => again.inserts(tx, rows, last).await?,
            Deed::Marks(jobs) => again.marks(tx, jobs, last).await?,
            Deed::Ends(entries) => again.ends(tx, entries, last).await?,
            Deed::Cancelled(id) => match find_in(tx, id).await?.map(|stored| stored.due.state) {
                None if last => again.lacks.inserts.push(id),
                None => again.left.push(Deed::Cancelled(id)),
                Some(State::Scheduled) => drop(cancel(tx, id).await?),
                Some(State::Sending | State::InDoubt) => again.lacks.cancels.push(id),
                // It has ended.
                Some(_) => {}
            },
            Deed::Other(what) => again.lacks.others.push(what),
            Deed::Unknown(n) => again.lacks.unknown += n,
        }
    }
    Ok(again)
}

impl Again {
    async fn inserts(&mut self, tx: &mut Tx<'_>, rows: Vec<(ReminderId, NewReminder)>, last: bool) -> sqlx::Result<()> {
        let (ids, news): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let verdicts = insert::insert_as(tx, &news, &ids).await?;
        let mut left = Vec::new();
        for ((id, new), verdict) in ids.into_iter().zip(news).zip(verdicts) {
            match verdict {
                Inserted::Created(_) => {}
                // Another daemon may have the consent.
                Inserted::NoConsent | Inserted::ConsentsEnd(_) if !last => left.push((id, new)),
                _ => self.lacks.inserts.push(id),
            }
        }
        if !left.is_empty() {
            self.left.push(Deed::Inserts(left));
        }
        Ok(())
    }

    async fn marks(&mut self, tx: &mut Tx<'_>, mut jobs: Vec<Job>, last: bool) -> sqlx::Result<()> {
        let users = users(tx, jobs.iter().map(|job| job.due.id)).await?;
        let mut left = self.set_apart(&mut jobs, |job| job.due.id, &users, last);
        for job in &mut jobs {
            job.recipient = users[&job.due.id];
            tx.fenced.extend(job.epoch.map(|epoch| (job.lane, epoch)));
        }
        let verdicts = if jobs.is_empty() { Vec::new() } else { mark(tx, &jobs).await? };
        for (job, verdict) in jobs.into_iter().zip(verdicts) {
            let is_marked = matches!(verdict, Marked::Yes | Marked::By(_));
            let (id, fence) = (job.due.id, job.due.fence);
            if is_marked || !may_be_sent(tx, id, fence).await? {
                continue;
            }
            match last {
                true => self.lacks.sends.push(id),
                false => left.push(job),
            }
        }
        if !left.is_empty() {
            self.left.push(Deed::Marks(left));
        }
        Ok(())
    }

    async fn ends(&mut self, tx: &mut Tx<'_>, mut entries: Vec<Entry>, last: bool) -> sqlx::Result<()> {
        let users = users(tx, entries.iter().map(|entry| entry.target.due.id)).await?;
        let mut left = self.set_apart(&mut entries, |entry| entry.target.due.id, &users, last);
        for entry in &mut entries {
            let Target { due, recipient, epoch, lane, .. } = &mut entry.target;
            *recipient = users[&due.id];
            tx.fenced.extend(epoch.map(|epoch| (*lane, epoch)));
        }
        let written = settle(tx, &entries).await?;
        for (entry, written) in entries.into_iter().zip(written) {
            let (id, fence) = (entry.target.due.id, entry.target.due.fence);
            if written || !may_be_sent(tx, id, fence).await? {
                continue;
            }
            match last {
                true => self.lacks.sends.push(id),
                false => left.push(entry),
            }
        }
        if !left.is_empty() {
            self.left.push(Deed::Ends(left));
        }
        Ok(())
    }

    /// Takes out what is about reminders that are not there; answers what is to be tried later.
    fn set_apart<T>(
        &mut self,
        rows: &mut Vec<T>,
        id: impl Fn(&T) -> ReminderId,
        users: &HashMap<ReminderId, i64>,
        last: bool,
    ) -> Vec<T> {
        let absent: Vec<T> = rows.extract_if(.., |row| !users.contains_key(&id(row))).collect();
        if last {
            self.lacks.inserts.extend(absent.iter().map(id));
            return Vec::new();
        }
        absent
    }
}

/// The users of reminders, those that are there. One who was made known in a commit that is lost has another number when that is written again.
async fn users(tx: &mut Tx<'_>, ids: impl Iterator<Item = ReminderId>) -> sqlx::Result<HashMap<ReminderId, i64>> {
    let ids: Vec<_> = ids.map(|id| [id.0.into()]).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids = tx.dialect.rows(["id"], ids);
    let rows = tx.rows("SELECT m.id, m.recipient FROM {rows} JOIN reminder m ON m.id = r.id", &ids).await?;
    Ok(rows.iter().map(|row| (ReminderId(row.get("id")), row.get("recipient"))).collect())
}

/// Whether a reminder stands as if nothing had happened to it that a node with this fence has done: it would be sent again.
async fn may_be_sent(tx: &mut Tx<'_>, id: ReminderId, fence: i64) -> sqlx::Result<bool> {
    let Some(stored) = find_in(tx, id).await? else { return Ok(false) };
    Ok(match stored.due.state {
        // Whoever has changed it since knew nothing of what was done.
        State::Scheduled => true,
        State::Sending | State::InDoubt => stored.due.fence < fence,
        _ => false,
    })
}
