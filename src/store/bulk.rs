//! Whatever a filter lets through is cancelled or moved: all of it in one transaction, or nothing.

use super::{
    Store,
    audit::write_down,
    command::Single,
    dialect::{Cell, Rows},
    error::StoreError,
    lists::Filter,
    moved::{self, MOVABLE, Moved, is_movable},
    port::{Entry, Ring},
    reminders::{OF_DUE, STORED, Stored, stored},
    schedule_tasks::ShiftPlan,
    settle::settle_all,
    states::{LAST_STATE, LIVING},
    tx::{Tx, bound},
};
use crate::domain::{DAY, Millis, decide::cancelled, reminder::State, timing::MAX_DAYS_AHEAD};
use sqlx::{Row, any::AnyRow};
use std::time::{Duration, Instant};

/// Reminders that one call cancels or moves at most: a mark that comes meanwhile waits for all of them.
pub const AT_MOST: usize = 10_000;
/// Reminders that are read at once.
const PAGE: usize = 1_000;

/// The waiting reminders that a filter lets through, by id, each with its fence as it was when they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    all: Vec<(i64, i64)>,
    /// There are more: these are the earliest, as many as were wanted.
    more: bool,
}

impl Chosen {
    /// Whether there are more.
    pub fn more(&self) -> bool {
        self.more
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.all.len() as u64
    }

    /// A page of them, as rows of `id`.
    fn pages<'a>(&'a self, tx: &Tx<'_>) -> Vec<(&'a [(i64, i64)], Rows)> {
        let rows = |page: &'a [(i64, i64)]| (page, tx.dialect.rows(["id"], page.iter().map(|(id, _)| [(*id).into()])));
        self.all.chunks(PAGE).map(rows).collect()
    }
}

/// What choosing came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// These.
    All(Chosen),
    /// There are more than [`AT_MOST`].
    TooMany,
    /// They were not found in time.
    TooLong,
}

/// What a call about many came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bulk<T> {
    /// All is written.
    Done(T),
    /// One of them has changed since it was chosen; nothing was written.
    Meanwhile,
}

/// Cancels what was chosen; their consents are available again, as when each is cancelled alone.
struct CancelAll {
    chosen: Chosen,
    by: String,
}

impl Single for CancelAll {
    const WHAT: Option<&'static str> = Some("reminders were cancelled by a filter");

    type Done = Bulk<u64>;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Bulk<u64>> {
        let mut ends = Vec::new();
        for (page, rows) in self.chosen.pages(tx) {
            let sql = format!(
                "SELECT {STORED}, {OF_DUE}, {LAST_STATE} AS ended FROM {{rows}} JOIN reminder m ON m.id = r.id
                 JOIN recipient p ON p.id = m.recipient {LIVING}"
            );
            let found = tx.rows(&sql, &rows).await?;
            let all: Vec<Stored> = found.iter().map(|row| stored(row, tx.names)).collect();
            let as_chosen = |stored: &Stored| page.binary_search(&(stored.due.id.0, stored.due.fence)).is_ok();
            if all.len() != page.len() || !all.iter().all(as_chosen) {
                return Ok(Bulk::Meanwhile);
            }
            let end = |stored: &Stored| {
                let (target, settlement) = (stored.target_in(State::Scheduled)?, cancelled(&stored.due));
                Some(Entry { target, settlement, began_at: None, ended_at: tx.now })
            };
            ends.extend(all.iter().filter_map(end));
        }
        if ends.len() as u64 != self.chosen.count() {
            return Ok(Bulk::Meanwhile);
        }
        for some in ends.chunks(PAGE) {
            settle_all(tx, some).await?;
        }
        write_down(tx, &self.by, "cancel_many", &format!("{} reminders", ends.len())).await?;
        Ok(Bulk::Done(self.chosen.count()))
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["cancel.before_commit", "cancel.after_commit"])
    }
}

/// Moves what was chosen, if no deadline and no end of a consent would be passed, and as many would move as `expect` says.
struct ShiftAll {
    chosen: Chosen,
    by: Millis,
    expect: u64,
    actor: String,
}

impl Single for ShiftAll {
    const WHAT: Option<&'static str> = Some("reminders were moved by a filter");

    type Done = Bulk<ShiftPlan>;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Bulk<ShiftPlan>> {
        let (mut plan, mut all) = (ShiftPlan::default(), Vec::new());
        for (page, rows) in self.chosen.pages(tx) {
            let sql = format!("SELECT {MOVABLE} FROM {{rows}} JOIN reminder m ON m.id = r.id {LIVING}");
            let found = tx.rows(&sql, &rows).await?;
            let as_chosen = |row: &AnyRow| {
                row.get::<Option<i64>, _>("fence")
                    .is_some_and(|fence| page.binary_search(&(row.get("id"), fence)).is_ok())
            };
            if found.len() != page.len() || !found.iter().all(as_chosen) {
                return Ok(Bulk::Meanwhile);
            }
            let mut moved = plan_of(&found, self.by, tx.now, &mut plan);
            let (conn, dialect, names) = tx.parts().await?;
            let beyond = moved::beyond_consents(conn, dialect, names, &moved).await?;
            (plan.moves, plan.too_far) = (plan.moves - beyond, plan.too_far + beyond);
            all.append(&mut moved);
        }
        if plan.too_far > 0 || plan.moves != self.expect {
            return Ok(Bulk::Done(plan));
        }
        for some in all.chunks(PAGE) {
            moved::write(tx, some).await?;
        }
        write_down(tx, &self.actor, "shift_many", &format!("{} reminders by {} ms", all.len(), self.by)).await?;
        Ok(Bulk::Done(plan))
    }

    fn ring(&self) -> Option<Ring> {
        Some(Ring::EVERYTHING)
    }

    fn trip_points(&self) -> Option<[&'static str; 2]> {
        Some(["change.before_commit", "change.after_commit"])
    }
}

/// Those of some rows that a shift moves, and what it comes to with them.
fn plan_of(rows: &[AnyRow], by: Millis, now: Millis, plan: &mut ShiftPlan) -> Vec<Moved> {
    let mut all = Vec::new();
    for row in rows.iter().filter(|row| is_movable(row, now)) {
        match Moved::of(row, by, now) {
            Ok(moved) => {
                plan.moves += 1;
                plan.at_once += u64::from(moved.new_due <= now);
                all.push(moved);
            }
            Err(()) => plan.too_far += 1,
        }
    }
    all
}

impl Store {
    /// The waiting reminders that a filter lets through; with `most` the earliest of them, at most so many. Its states, order, place and limit
    /// are not asked.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn choose(&self, filter: &Filter, most: Option<usize>, within: Duration) -> Result<Choice, StoreError> {
        let (until, mut chosen) = (Instant::now() + within, Vec::new());
        let mut filter = Filter {
            states: vec![State::Scheduled],
            after: None,
            limit: PAGE,
            order: Default::default(),
            ..filter.clone()
        };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let page = self.page(&filter, left).await?;
            let Some(page) = page.filter(|page| !page.cut_short) else { return Ok(Choice::TooLong) };
            chosen.extend(page.items.iter().map(|stored| (stored.due.id.0, stored.due.fence)));
            let more = most.is_some_and(|most| chosen.len() > most || (chosen.len() == most && page.next.is_some()));
            if let Some(most) = most.filter(|_| more) {
                chosen.truncate(most);
            } else if chosen.len() > AT_MOST {
                return Ok(Choice::TooMany);
            }
            filter.after = page.next;
            if more || page.next.is_none() {
                chosen.sort_unstable();
                chosen.dedup();
                return Ok(Choice::All(Chosen { all: chosen, more }));
            }
            // A page that is read at once is never cut short, so the time is looked at here too.
            if left.is_zero() {
                return Ok(Choice::TooLong);
            }
        }
    }

    /// Cancels what was chosen, all of it or nothing.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn cancel_all(&self, chosen: Chosen, by: &str) -> Result<Bulk<u64>, StoreError> {
        self.writer.do_one(CancelAll { chosen, by: by.into() }).await
    }

    /// Moves what was chosen by so many milliseconds, forward or, below zero, back. Nothing moves unless as many would as `expect` says, and
    /// none too far: the answer tells.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn shift_all(
        &self,
        chosen: Chosen,
        by: Millis,
        expect: u64,
        actor: &str,
    ) -> Result<Bulk<ShiftPlan>, StoreError> {
        self.writer.do_one(ShiftAll { chosen, by: bounded(by), expect, actor: actor.into() }).await
    }

    /// What moving it would come to, as it is now. Nothing is written.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn plan_shift_all(&self, chosen: &Chosen, by: Millis) -> Result<ShiftPlan, StoreError> {
        let (mut plan, dialect) = (ShiftPlan::default(), self.database.dialect);
        let mut conn = self.read.acquire().await?;
        for page in chosen.all.chunks(PAGE) {
            let rows = dialect.rows(["id"], page.iter().map(|(id, _)| -> [Cell<'_>; 1] { [(*id).into()] }));
            let sql = format!("SELECT {MOVABLE} FROM {{rows}} JOIN reminder m ON m.id = r.id {LIVING}");
            let sql = dialect.sql(&sql, &rows);
            let found = bound(&sql, &rows).fetch_all(&mut *conn).await?;
            let moved = plan_of(&found, bounded(by), self.clock.now(), &mut plan);
            let beyond = moved::beyond_consents(&mut conn, dialect, &self.names, &moved).await?;
            (plan.moves, plan.too_far) = (plan.moves - beyond, plan.too_far + beyond);
        }
        Ok(plan)
    }
}

/// No instant lies further away than this.
fn bounded(by: Millis) -> Millis {
    by.clamp(-MAX_DAYS_AHEAD * DAY, MAX_DAYS_AHEAD * DAY)
}
