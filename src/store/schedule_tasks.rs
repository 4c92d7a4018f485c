//! What waits of a schedule is moved or cancelled: in steps, each one short transaction, since a schedule may have millions of reminders and
//! no send of another waits for them.
//!
//! While that lasts the gate is closed. How far it has come is written in the same transaction as the rows: one that is cut off goes on
//! where it was, and does nothing twice.

use super::{
    Store,
    command::Single,
    deeds::Deed,
    dialect::{Cell, int},
    error::StoreError,
    moved::{self, MOVABLE, Moved, is_movable},
    occurrences,
    port::{Entry, Ring, Target},
    reminders::{OF_DUE, STORED, Stored, stored},
    schedules::{DEAD_AFTER, TaskKind, nonce, task, write_down},
    settle::settle_all,
    states::LIVING,
    tx::Tx,
};
use crate::domain::{
    DAY, Millis, decide::cancelled, reason::Reason, reminder::State, settle::Settlement, timing::MAX_DAYS_AHEAD,
};
use sqlx::{AssertSqlSafe, Row};

/// Reminders that one step of a shift looks at, and of a cancellation, which touches their users' consents too.
const MOVED: i64 = 1_000;
const CANCELLED: i64 = 300;
/// Reminders that are compared with their deadlines at once, before a shift moves any.
const COMPARED: i64 = 20_000;

/// What beginning a task came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskBegun {
    /// It may go on: [`Store::work_off`] does it.
    Yes(Work),
    /// Something is being done to the schedule already; nothing was written.
    Busy {
        /// What.
        task: TaskKind,
        /// By whom.
        by: String,
        /// Since when.
        since: Millis,
    },
    /// It is cancelled.
    Cancelled,
    /// There is no such schedule.
    NotFound,
}

/// A task that was begun and is worked off in steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The schedule.
    pub id: i64,
    /// What is done to it.
    pub kind: TaskKind,
    nonce: String,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// More is to be done.
    More,
    /// All is done.
    Done,
    /// Somebody else has the task now.
    Lost,
}

/// A shift or a cancellation begins.
struct Begin {
    name: String,
    kind: TaskKind,
    by: String,
    shift: Option<Millis>,
}

impl Single for Begin {
    const WHAT: Option<&'static str> = Some("a task of a schedule was begun");

    type Done = TaskBegun;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<TaskBegun> {
        let sql = format!(
            "SELECT id, cancelled_at, task, task_by, task_nonce, task_beat, task_detail FROM schedule WHERE name = $1{}",
            tx.dialect.for_update()
        );
        let Some(row) = sqlx::query(AssertSqlSafe(sql)).bind(&self.name).fetch_optional(tx.conn().await?).await? else {
            return Ok(TaskBegun::NotFound);
        };
        // A load or a preparation that was cut off stands in nobody's way.
        if let Some(task) = task(&row).filter(|task| task.is_alive(tx.now) || task.kind.closes_gate()) {
            let since = task.since();
            return Ok(TaskBegun::Busy { task: task.kind, by: task.by, since });
        }
        if row.get::<Option<i64>, _>("cancelled_at").is_some() {
            return Ok(TaskBegun::Cancelled);
        }
        let (id, nonce) = (row.get::<i64, _>("id"), nonce(tx.now));
        let sql = "UPDATE schedule SET task = $2, task_by = $3, task_nonce = $4, task_beat = $5, task_detail = NULL, task_shift = $6,
                 cursor_at = NULL, cursor_id = NULL, cancelled_at = CASE WHEN $2 = 'cancel' THEN $5 ELSE cancelled_at END,
                 next_at = CASE WHEN $2 = 'cancel' THEN NULL ELSE next_at END WHERE id = $1";
        let query = sqlx::query(sql).bind(id).bind(self.kind.word()).bind(&self.by).bind(&nonce).bind(tx.now);
        query.bind(self.shift).execute(tx.conn().await?).await?;
        let detail = self.shift.map_or_else(String::new, |by| format!("{by} ms"));
        write_down(tx, id, &self.by, self.kind.word(), &detail).await?;
        tx.schedule_changed(id).await?;
        Ok(TaskBegun::Yes(Work { id, kind: self.kind, nonce }))
    }

    fn ring(&self) -> Option<Ring> {
        Some(Ring::NOWHERE)
    }
}

/// What a shift would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShiftPlan {
    /// Reminders that would move.
    pub moves: u64,
    /// Those of them whose new instants have passed: they go at once.
    pub at_once: u64,
    /// Reminders whose deadlines would be passed, or the ends of the consents that they hold: if there is one, nothing moves.
    pub too_far: u64,
}

/// One step of a task. Several may run in one transaction with others' commands, so it looks at a bounded number of rows.
struct Next(Work);

impl Single for Next {
    const WHAT: Option<&'static str> = Some("a task of a schedule went on");

    type Done = Step;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Step> {
        let sql = format!(
            "SELECT task_shift, cursor_at, cursor_id FROM schedule WHERE id = $1 AND task_nonce = $2{}",
            tx.dialect.for_update()
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.0.id).bind(&self.0.nonce);
        let Some(row) = query.fetch_optional(tx.conn().await?).await? else { return Ok(Step::Lost) };
        let by: Option<Millis> = row.get("task_shift");
        let cursor = row.get::<Option<i64>, _>("cursor_at").zip(row.get::<Option<i64>, _>("cursor_id"));
        let last = match (self.0.kind, by) {
            (TaskKind::Shift, Some(by)) => shift_some(tx, self.0.id, by, cursor).await?,
            _ => cancel_some(tx, self.0.id, cursor).await?,
        };
        match last {
            Some((at, id)) => {
                let sql = "UPDATE schedule SET cursor_at = $2, cursor_id = $3, task_beat = $4 WHERE id = $1";
                sqlx::query(sql).bind(self.0.id).bind(at).bind(id).bind(tx.now).execute(tx.conn().await?).await?;
                Ok(Step::More)
            }
            None => {
                finish(tx, self.0.id, by.unwrap_or_default()).await?;
                Ok(Step::Done)
            }
        }
    }

    /// The gate is closed, so the engine sees none of the rows; when it opens, everything is read anew.
    fn ring(&self) -> Option<Ring> {
        Some(Ring::NOWHERE)
    }
}

/// The task is done: the gate opens, if nothing else keeps it closed.
async fn finish(tx: &mut Tx<'_>, id: i64, by: Millis) -> sqlx::Result<()> {
    let sql = "UPDATE schedule SET shift = shift + $2, first_at = first_at + $2, last_at = last_at + $2, task = NULL, task_by = NULL,
             task_nonce = NULL, task_beat = NULL, task_detail = NULL, task_shift = NULL, cursor_at = NULL, cursor_id = NULL WHERE id = $1";
    let shifted = sqlx::query("SELECT shift FROM schedule WHERE id = $1").bind(id).fetch_one(tx.conn().await?).await?;
    sqlx::query(sql).bind(id).bind(by).execute(tx.conn().await?).await?;
    if by != 0 {
        occurrences::shift(tx, id, by, shifted.get("shift")).await?;
    }
    tx.schedule_changed(id).await
}

/// The statement that reads the next so many reminders of a schedule, whether they live or have ended.
fn slice(back: bool, limit: i64) -> String {
    let (beyond, order) = if back { ("<", "DESC") } else { (">", "ASC") };
    format!(
        "(SELECT * FROM reminder o WHERE o.schedule = $1 AND (o.at, o.id) {beyond} ($2, $3) ORDER BY o.at {order}, o.id {order} LIMIT {limit}) m"
    )
}

/// Where a walk begins: before everything, or behind it.
fn beginning(back: bool) -> (Millis, i64) {
    if back { (i64::MAX, i64::MAX) } else { (i64::MIN, i64::MIN) }
}

/// Moves some of what waits. It walks against the direction of the shift, so that it never meets a row again that it has moved. Answers the
/// last row that it looked at.
async fn shift_some(
    tx: &mut Tx<'_>,
    schedule: i64,
    by: Millis,
    cursor: Option<(Millis, i64)>,
) -> sqlx::Result<Option<(Millis, i64)>> {
    let back = by > 0;
    let after = cursor.unwrap_or_else(|| beginning(back));
    let order = if back { "DESC" } else { "ASC" };
    let sql = format!("SELECT {MOVABLE} FROM {} {LIVING} ORDER BY m.at {order}, m.id {order}", slice(back, MOVED));
    let query = sqlx::query(AssertSqlSafe(sql)).bind(schedule).bind(after.0).bind(after.1);
    let rows = query.fetch_all(tx.conn().await?).await?;
    let now = tx.now;
    // Its owner may have changed a deadline since all were compared: such a one stays where it is.
    let moved = rows.iter().filter(|row| is_movable(row, now)).filter_map(|row| Moved::of(row, by, now).ok());
    let moved: Vec<Moved> = moved.collect();
    moved::write(tx, &moved).await?;
    Ok(rows.last().map(|row| (row.get("at"), row.get("id"))))
}

/// Cancels some of what waits; its consents are free. Answers the last row that it looked at.
async fn cancel_some(
    tx: &mut Tx<'_>,
    schedule: i64,
    cursor: Option<(Millis, i64)>,
) -> sqlx::Result<Option<(Millis, i64)>> {
    let after = cursor.unwrap_or_else(|| beginning(false));
    let sql = format!(
        "SELECT {STORED}, {OF_DUE}, NULL AS ended FROM {} JOIN recipient p ON p.id = m.recipient {LIVING} ORDER BY m.at, m.id",
        slice(false, CANCELLED)
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(schedule).bind(after.0).bind(after.1);
    let rows = query.fetch_all(tx.conn().await?).await?;
    let all: Vec<Stored> = rows.iter().map(|row| stored(row, tx.names)).collect();
    let waiting: Vec<&Stored> = all.iter().filter(|stored| stored.due.state == State::Scheduled).collect();
    let ended_at = tx.now;
    let ends = waiting.iter().filter_map(|stored| Some((stored, stored.target_in(State::Scheduled)?)));
    let ends: Vec<Entry> = ends
        .map(|(stored, target): (_, Target)| Entry { target, settlement: end(stored), began_at: None, ended_at })
        .collect();
    settle_all(tx, &ends).await?;
    let gone = waiting.iter().filter(|stored| !stored.due.is_doubtful());
    forget_planned(tx, schedule, gone.copied()).await?;
    Ok(all.last().map(|stored| (stored.due.at, stored.due.id.0)))
}

/// How a reminder of a cancelled schedule ends. One that waits for an operator's resend may have arrived.
fn end(stored: &Stored) -> Settlement {
    let end = cancelled(&stored.due);
    if stored.due.is_doubtful() {
        return end;
    }
    Settlement::because(end.next, Reason::ScheduleCancelled, end.consent)
}

/// What a schedule knows of these reminders is forgotten: they may come back under other ids.
pub(super) async fn forget_planned<'a>(
    tx: &mut Tx<'_>,
    schedule: i64,
    gone: impl Iterator<Item = &'a Stored>,
) -> sqlx::Result<()> {
    let cells = gone.filter_map(|stored| {
        let origin = stored.origin.as_ref()?;
        let key = origin.key.as_deref().unwrap_or(&stored.openid);
        let (occasion, occurrence) = (origin.occasion.as_str(), origin.occurrence.as_str());
        Some([schedule.into(), key.into(), occasion.into(), occurrence.into(), stored.due.id.0.into()])
    });
    let cells: Vec<[Cell<'_>; 5]> = cells.collect();
    if cells.is_empty() {
        return Ok(());
    }
    let rows = tx.dialect.rows(["schedule", "key", "occasion", "occurrence", "reminder"], cells);
    let sql = "DELETE FROM planned WHERE (schedule, key, occasion, occurrence) IN
             (SELECT p.schedule, p.key, p.occasion, p.occurrence FROM {rows}
              JOIN planned p ON p.schedule = r.schedule AND p.key = r.key AND p.occasion = r.occasion AND p.occurrence = r.occurrence AND p.reminder = r.reminder)";
    tx.run(sql, &rows).await.map(drop)
}

/// A shift that would pass deadlines is given up before it has moved anything.
struct GiveUp(Work);

impl Single for GiveUp {
    const WHAT: Option<&'static str> = Some("a task of a schedule was given up");

    type Done = ();

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<()> {
        let sql = format!(
            "SELECT id FROM schedule WHERE id = $1 AND task_nonce = $2 AND cursor_at IS NULL{}",
            tx.dialect.for_update()
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.0.id).bind(&self.0.nonce);
        if query.fetch_optional(tx.conn().await?).await?.is_some() {
            finish(tx, self.0.id, 0).await?;
        }
        Ok(())
    }

    fn ring(&self) -> Option<Ring> {
        Some(Ring::NOWHERE)
    }
}

impl Store {
    /// Begins to cancel a schedule: it is cancelled when this returns, and nothing more of it is sent. What waits ends in [`Self::work_off`].
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn begin_cancel(&self, name: &str, by: &str) -> Result<TaskBegun, StoreError> {
        let begin = Begin { name: name.into(), kind: TaskKind::Cancel, by: by.into(), shift: None };
        self.writer.do_one(begin).await
    }

    /// Begins to move what waits of a schedule by so many milliseconds, forward or, below zero, back. `Err` in the answer: the deadlines of so
    /// many would be passed, or the ends of the consents that they hold, and nothing moves.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn begin_shift(
        &self,
        name: &str,
        shift: Millis,
        by: &str,
        now: Millis,
    ) -> Result<Result<TaskBegun, u64>, StoreError> {
        let shift = shift.clamp(-MAX_DAYS_AHEAD * DAY, MAX_DAYS_AHEAD * DAY);
        let begin = Begin { name: name.into(), kind: TaskKind::Shift, by: by.into(), shift: Some(shift) };
        let begun = self.writer.do_one(begin).await?;
        let TaskBegun::Yes(work) = &begun else { return Ok(Ok(begun)) };
        Ok(match self.too_far(work, shift, now).await? {
            0 => Ok(begun),
            n => Err(n),
        })
    }

    /// How many waiting reminders a shift would move to their deadlines or beyond. If there is one, the shift is given up. The gate is closed
    /// and no load runs, so what is compared stays as it is.
    async fn too_far(&self, work: &Work, by: Millis, now: Millis) -> Result<u64, StoreError> {
        let compared = self.compare_deadlines(work, by, now).await;
        if !matches!(compared, Ok(0)) {
            self.writer.do_one(GiveUp(work.clone())).await?;
        }
        compared
    }

    async fn compare_deadlines(&self, work: &Work, by: Millis, now: Millis) -> Result<u64, StoreError> {
        let (mut n, mut after) = (0, Some(beginning(false)));
        while let Some(from) = after {
            self.beat(work.id, &work.nonce, "").await?;
            let page;
            (page, after) = self.plan_page(work.id, by, now, from).await?;
            n += page.too_far;
        }
        Ok(n)
    }

    /// What a shift of a schedule would do, as it is now. Nothing is written.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn plan_shift(&self, schedule: i64, by: Millis, now: Millis) -> Result<ShiftPlan, StoreError> {
        let (mut plan, mut after) = (ShiftPlan::default(), Some(beginning(false)));
        while let Some(from) = after {
            let page;
            (page, after) = self.plan_page(schedule, by, now, from).await?;
            plan.moves += page.moves;
            plan.at_once += page.at_once;
            plan.too_far += page.too_far;
        }
        Ok(plan)
    }

    /// The same of a page of the reminders behind a place, and where it ends; `None` behind the last.
    async fn plan_page(
        &self,
        schedule: i64,
        by: Millis,
        now: Millis,
        after: (Millis, i64),
    ) -> Result<(ShiftPlan, Option<(Millis, i64)>), StoreError> {
        let sql = format!("SELECT {MOVABLE} FROM {} {LIVING} ORDER BY m.at, m.id", slice(false, COMPARED));
        let query = sqlx::query(AssertSqlSafe(sql)).bind(schedule).bind(after.0).bind(after.1);
        let rows = query.fetch_all(&self.read).await?;
        let (mut plan, mut all) = (ShiftPlan::default(), Vec::new());
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
        let mut conn = self.read.acquire().await?;
        let beyond = moved::beyond_consents(&mut conn, self.database.dialect, &self.names, &all).await?;
        (plan.moves, plan.too_far) = (plan.moves - beyond, plan.too_far + beyond);
        Ok((plan, rows.last().map(|last| (last.get("at"), last.get("id")))))
    }

    /// Works a task off, step by step. `false`: somebody else has it now.
    ///
    /// # Errors
    /// When the store does not answer: the task is taken up again once it is dead.
    pub async fn work_off(&self, work: Work) -> Result<bool, StoreError> {
        loop {
            match self.work_off_once(&work).await? {
                Step::More => {}
                Step::Done => return Ok(true),
                Step::Lost => return Ok(false),
            }
        }
    }

    /// One step of it.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn work_off_once(&self, work: &Work) -> Result<Step, StoreError> {
        self.writer.do_one(Next(work.clone())).await
    }

    /// Takes up shifts and cancellations that were cut off, and ends what has come back to waiting of a cancelled schedule since. Answers how
    /// many there were.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn take_up_tasks(&self, now: Millis) -> Result<u64, StoreError> {
        let mut n = 0;
        for (work, uncompared) in self.writer.do_one(TakeUp).await? {
            n += 1;
            // One that was cut off before it had moved anything may not have been compared.
            let too_far = match uncompared {
                Some(by) => self.too_far(&work, by, now).await?,
                None => 0,
            };
            if too_far > 0 {
                tracing::error!(
                    reminders = too_far,
                    "a shift that was cut off would pass deadlines, and is given up; nothing has moved"
                );
                continue;
            }
            self.work_off(work).await?;
        }
        Ok(n)
    }
}

/// Takes what nobody does any more. Answers with a shift that has moved nothing yet by how much it moves.
struct TakeUp;

impl Single for TakeUp {
    const WHAT: Option<&'static str> = Some("a task of a schedule was taken up");

    type Done = Vec<(Work, Option<Millis>)>;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<Self::Done> {
        let dead = "SELECT s.id, s.task, s.task_by, s.task_nonce, s.task_shift, s.cursor_at, 0 AS again FROM schedule s WHERE s.task IN ('shift', 'cancel') AND s.task_beat <= $1
             UNION ALL
             SELECT s.id, 'cancel' AS task, 'tixing' AS task_by, NULL AS task_nonce, s.task_shift, s.cursor_at, 1 AS again FROM schedule s
             WHERE s.cancelled_at IS NOT NULL AND s.task IS NULL
                 AND (SELECT SUM(t.n) FROM schedule_tally t WHERE t.schedule = s.id AND t.name = 'scheduled') > 0";
        let mut works = Vec::new();
        for row in sqlx::query(dead).bind(tx.now - DEAD_AFTER).fetch_all(tx.conn().await?).await? {
            let (id, kind): (i64, String) = (row.get("id"), row.get("task"));
            let kind = if kind == TaskKind::Shift.word() { TaskKind::Shift } else { TaskKind::Cancel };
            let nonce = nonce(tx.now);
            // One that was done goes over everything once more; one that was cut off goes on.
            let from = if int(&row, "again") == 1 { "cursor_at = NULL, cursor_id = NULL," } else { "" };
            // Whoever else takes it up gives it another nonce, and whoever is at it after all another beat.
            let sql = format!(
                "UPDATE schedule SET {from} task = $2, task_by = $3, task_nonce = $4, task_beat = $5
                 WHERE id = $1 AND COALESCE(task_nonce, '') = $6 AND COALESCE(task_beat, 0) <= $7"
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(id).bind(kind.word());
            let query = query.bind(row.get::<Option<String>, _>("task_by")).bind(&nonce).bind(tx.now);
            let query = query.bind(row.get::<Option<String>, _>("task_nonce").unwrap_or_default());
            let taken = query.bind(tx.now - DEAD_AFTER).execute(tx.conn().await?).await?;
            if taken.rows_affected() == 0 {
                continue;
            }
            tx.schedule_changed(id).await?;
            let uncompared =
                row.get::<Option<i64>, _>("task_shift").filter(|_| row.get::<Option<i64>, _>("cursor_at").is_none());
            works.push((Work { id, kind, nonce }, uncompared));
        }
        Ok(works)
    }

    fn deed(&self, done: &Self::Done) -> Option<Deed> {
        Self::WHAT.filter(|_| !done.is_empty()).map(Deed::Other)
    }
}
