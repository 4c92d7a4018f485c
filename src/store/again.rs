//! What the database has forgotten is written again, by whoever wrote it.
//!
//! Each deed goes through the statements that wrote it before, so it meets the same guards: a row that has changed meanwhile is left alone. What
//! another daemon has written in between may lack, too, and come later; so what a deed does not find is left for a second time. What is not found
//! then either is named, and keeps the hold.

use super::{
    change::{self, Changed, cancel},
    command::Inserted,
    consents,
    deeds::Deed,
    insert,
    lacks::Lacks,
    mark::mark,
    port::{Entry, Job, Marked},
    reminders::find_in,
    requests::{self, Earlier, Once},
    settle::settle,
    tx::Tx,
};
use crate::domain::{
    draft::Change,
    due::Due,
    reminder::{NewReminder, ReminderId, State},
    request::Request,
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
            Deed::InsertedOnce(request, id, new) => again.inserted_once(tx, (request, id, new), last).await?,
            Deed::RecordedOnce(request, report) => {
                again.lacks.consents += usize::from(!requests::record_again(tx, &request, &report).await?);
            }
            Deed::Changed(id, change) => again.changed(tx, (id, change), last).await?,
            Deed::Marks(jobs) => again.steps(tx, jobs, last).await?,
            Deed::Ends(entries) => again.steps(tx, entries, last).await?,
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

    /// Marks or ends: what was done to reminders that must be there, and as they were.
    async fn steps<T: Step>(&mut self, tx: &mut Tx<'_>, mut steps: Vec<T>, last: bool) -> sqlx::Result<()> {
        let ids: Vec<_> = steps.iter().map(|step| step.due().id).collect();
        let users = users(tx, &ids).await?;
        let is_absent = |step: &mut T| !users.contains_key(&step.due().id);
        let mut left: Vec<T> = steps.extract_if(.., is_absent).collect();
        if last {
            self.lacks.inserts.extend(left.drain(..).map(|step| step.due().id));
        }
        for step in &mut steps {
            tx.fenced.extend(step.fenced());
            *step.recipient() = users[&step.due().id];
        }
        let written = if steps.is_empty() { Vec::new() } else { T::write(tx, &steps).await? };
        for (step, written) in steps.into_iter().zip(written) {
            let (id, fence) = (step.due().id, step.due().fence);
            if written || !may_be_sent(tx, id, fence).await? {
                continue;
            }
            match last {
                true => self.lacks.sends.push(id),
                false => left.push(step),
            }
        }
        if !left.is_empty() {
            self.left.push(T::deed(left));
        }
        Ok(())
    }

    /// A reminder that a call with an `Idempotency-Key` has made. One that the call, repeated at another daemon, has made meanwhile takes its place
    /// for whoever repeats it; it is another one all the same.
    async fn inserted_once(
        &mut self,
        tx: &mut Tx<'_>,
        (request, id, new): (Request, ReminderId, Box<NewReminder>),
        last: bool,
    ) -> sqlx::Result<()> {
        match requests::insert_once(tx, &request, &new, &[id]).await? {
            Once::Done(Inserted::Created(_)) => {}
            Once::Done(Inserted::NoConsent | Inserted::ConsentsEnd(_)) if !last => {
                self.left.push(Deed::InsertedOnce(request, id, new));
            }
            Once::Before(Earlier::Reminder(there)) if there == id => {}
            _ => self.lacks.inserts.push(id),
        }
        Ok(())
    }

    async fn changed(&mut self, tx: &mut Tx<'_>, (id, change): (ReminderId, Change), last: bool) -> sqlx::Result<()> {
        let changed = match find_in(tx, id).await? {
            None => Changed::NotFound,
            Some(stored) => change::change(tx, stored, &change).await?,
        };
        match changed {
            Changed::Yes => {}
            // Another daemon may have inserted it, or changed it before.
            Changed::NotFound | Changed::Meanwhile if !last => self.left.push(Deed::Changed(id, change)),
            _ => self.lacks.changes.push(id),
        }
        Ok(())
    }
}

/// A mark or an end, as it is written again.
trait Step: Sized {
    /// The reminder, as it was then.
    fn due(&self) -> &Due;

    /// Its user.
    fn recipient(&mut self) -> &mut i64;

    /// The lane and the epoch that it counts on.
    fn fenced(&self) -> Option<(i64, i64)>;

    /// Writes them; answers which were written.
    fn write(tx: &mut Tx<'_>, steps: &[Self]) -> impl Future<Output = sqlx::Result<Vec<bool>>> + Send;

    /// What stands for them.
    fn deed(steps: Vec<Self>) -> Deed;
}

impl Step for Job {
    fn due(&self) -> &Due {
        &self.due
    }

    fn recipient(&mut self) -> &mut i64 {
        &mut self.recipient
    }

    fn fenced(&self) -> Option<(i64, i64)> {
        self.epoch.map(|epoch| (self.lane, epoch))
    }

    async fn write(tx: &mut Tx<'_>, steps: &[Self]) -> sqlx::Result<Vec<bool>> {
        let marked = mark(tx, steps).await?;
        Ok(marked.into_iter().map(|marked| matches!(marked, Marked::Yes | Marked::By(_))).collect())
    }

    fn deed(steps: Vec<Self>) -> Deed {
        Deed::Marks(steps)
    }
}

impl Step for Entry {
    fn due(&self) -> &Due {
        &self.target.due
    }

    fn recipient(&mut self) -> &mut i64 {
        &mut self.target.recipient
    }

    fn fenced(&self) -> Option<(i64, i64)> {
        self.target.epoch.map(|epoch| (self.target.lane, epoch))
    }

    async fn write(tx: &mut Tx<'_>, steps: &[Self]) -> sqlx::Result<Vec<bool>> {
        settle(tx, steps).await
    }

    fn deed(steps: Vec<Self>) -> Deed {
        Deed::Ends(steps)
    }
}

/// The users of reminders, those that are there. One who was made known in a commit that is lost has another number when that is written again.
async fn users(tx: &mut Tx<'_>, ids: &[ReminderId]) -> sqlx::Result<HashMap<ReminderId, i64>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids = tx.dialect.rows(["id"], ids.iter().map(|id| [id.0.into()]));
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
