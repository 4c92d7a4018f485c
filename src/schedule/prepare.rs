//! The reminders of an occurrence are stored, ahead of its first instant.
//!
//! Which schedules are to be looked at is asked of the store, and so is who looks: a look is a task that is taken by compare-and-swap. So it
//! does not matter who rings, how often, or whether anybody does.

use super::{
    compare::{Compared, Failure},
    file::File,
    gather::{Gathered, Input, Page},
    load::{For, Office, Progress, Ready, Work, has_one},
    plan::Plan,
    problem::Problem,
    recur::{Due as DueOccurrence, Look, Occurring},
};
use crate::{
    domain::{MINUTE, Millis},
    store::{
        occurrences::{BegunOccurrence, Due, FinishPrepare, OccurrenceRow},
        planned::Loading,
        schedules::ScheduleRow,
    },
    words::{Message, say},
};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::mpsc;

/// Schedules that are looked at in one go.
const SCHEDULES: i64 = 100;
/// Pages of an occurrence that are read ahead of what is written.
const PAGES: usize = 2;
/// A schedule that can't be prepared is looked at again after so long, in milliseconds.
const AGAIN: Millis = MINUTE;

/// What looking at all schedules that are due came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// Occurrences that are prepared now.
    pub prepared: u64,
    /// Occurrences that nobody prepared in time, and that are left out.
    pub missed: u64,
    /// Schedules that can't be prepared.
    pub hindered: u64,
}

/// A look at one schedule.
struct Looking<'a> {
    office: &'a Office,
    row: &'a ScheduleRow,
    nonce: &'a str,
    input: Arc<Input>,
    now: Millis,
}

impl Office {
    /// Prepares all that is due.
    ///
    /// # Errors
    /// When the store or the disk does not answer. What was begun is taken up again a minute later.
    pub async fn prepare_due(&self) -> Result<Looked, Failure> {
        let mut looked = Looked::default();
        loop {
            let all = self.store.due_recurring(self.clock.now(), SCHEDULES).await?;
            if all.is_empty() {
                return Ok(looked);
            }
            for due in all {
                self.look_at(due, &mut looked).await?;
            }
        }
    }

    async fn look_at(&self, due: Due, looked: &mut Looked) -> Result<(), Failure> {
        // Somebody else may have been faster.
        let Some((nonce, row)) = self.store.begin_prepare(due, "tixing").await? else { return Ok(()) };
        let now = self.clock.now();
        let text = row.kept_text.clone().unwrap_or_default();
        let input = Input { text, name: row.name.clone(), has_schedule: true, ..Input::default() };
        let looking = Looking { office: self, row: &row, nonce: &nonce, input: Arc::new(input), now };
        let mut finish = FinishPrepare {
            since: now,
            upcoming: row.upcoming.clone().unwrap_or_default(),
            ..FinishPrepare::default()
        };
        match looking.prepare().await? {
            Some(Ok((look, prepared))) => {
                looked.prepared += prepared.len() as u64;
                looked.missed += look.missed;
                if look.missed > 0 {
                    tracing::warn!(
                        schedule = row.name,
                        app = row.app,
                        occurrences = look.missed,
                        "nobody prepared them before their last instants, and they are left out"
                    );
                }
                (finish.prepared, finish.next_at, finish.left_out) = (prepared, look.next_at, look.left_out);
                finish.upcoming = serde_json::to_string(&look.upcoming).expect("texts serialise");
            }
            Some(Err(why)) => {
                looked.hindered += 1;
                tracing::error!(schedule = row.name, app = row.app, "its next occurrence can't be prepared: {why}");
                finish.next_at = Some(now + AGAIN);
                // What was not decided stays to be decided.
                finish.since = row.since.unwrap_or(now);
                finish.problem = Some(serde_json::to_string(&why).expect("messages serialise"));
            }
            // Somebody else has it by now.
            None => return Ok(()),
        }
        self.store.finish_prepare(row.id, &nonce, finish).await?;
        Ok(())
    }
}

/// What was prepared of a schedule, or why nothing can be; `None` if another task has the schedule by now.
type Prepared = Option<Result<(Look, Vec<(String, i64)>), Message>>;

impl Looking<'_> {
    async fn prepare(&self) -> Result<Prepared, Failure> {
        let (schedule, edition) = (self.row.id, self.row.edition);
        let (plan, gathered) = self.gather(For::Look { schedule, edition }).await?;
        let Some(look) = gathered.and_then(|gathered| gathered.look) else { return Ok(Some(Err(why(&plan)))) };
        let mut prepared = Vec::new();
        for due in &look.due {
            // A shift may have brought one back that was over and no longer looked for: it stays prepared.
            let known = self.office.store.occurrence(schedule, &due.name).await?;
            if known.is_some_and(|known| known.prepared_at.is_some()) {
                continue;
            }
            match self.occurrence(due).await? {
                Some(Ok(people)) => prepared.push((due.name.clone(), people)),
                Some(Err(why)) => return Ok(Some(Err(why))),
                None => return Ok(None),
            }
        }
        Ok(Some(Ok((look, prepared))))
    }

    async fn gather(&self, reading: For) -> Result<(Plan, Option<Gathered>), Failure> {
        let silent: Progress = Arc::new(|_, _| {});
        self.office.gather(Arc::clone(&self.input), self.now, reading, &silent).await
    }

    /// Prepares one occurrence. Answers how many people have a reminder of it.
    async fn occurrence(&self, due: &DueOccurrence) -> Result<Option<Result<i64, Message>>, Failure> {
        let (schedule, edition) = (self.row.id, self.row.edition);
        let (name, made_up) = (due.name.clone(), due.made_up);
        let (pages, handed_on) = mpsc::channel(PAGES);
        let silent: Progress = Arc::new(|_, _| {});
        let mut work = Work::new(self.office, schedule, self.nonce, &silent);
        let reading = self.gather(For::Occurrence { schedule, edition, name, made_up, pages });
        let (read, written) = tokio::join!(reading, self.write_pages(due, handed_on, &mut work));
        let ((plan, gathered), written) = (read?, written?);
        let Some(gathered) = gathered.filter(|_| !plan.refused) else { return Ok(Some(Err(why(&plan)))) };
        let people = match written {
            Pages::None => self.write_gathered(due, gathered, &mut work).await?,
            Pages::Written(people) => Some(people),
            Pages::Lost => None,
        };
        let Some(people) = people else { return Ok(None) };
        let refused = plan.rows.refused;
        if refused > 0 {
            tracing::warn!(
                schedule = self.row.name,
                rows = refused,
                "rows of an occurrence are refused: plan the file to see why"
            );
        }
        Ok(Some(Ok(i64::try_from(people).unwrap_or(i64::MAX))))
    }

    /// Writes what is handed on while it is read.
    async fn write_pages(
        &self,
        due: &DueOccurrence,
        mut handed_on: mpsc::Receiver<Page>,
        work: &mut Work<'_>,
    ) -> Result<Pages, Failure> {
        let (mut loading, mut people) = (None, 0);
        while let Some(page) = handed_on.recv().await {
            match (page, &loading) {
                (Page::Begins(file, occurring), _) => match self.begin(due, &file, occurring).await? {
                    Some(begun) => loading = Some(Arc::new(begun)),
                    None => return Ok(Pages::Lost),
                },
                (Page::Lines(lines), Some(loading)) => match work.write_page(loading, lines).await? {
                    Some(reached) => people += reached,
                    None => return Ok(Pages::Lost),
                },
                (Page::Lines(_), None) => unreachable!("an occurrence begins before its lines"),
            }
        }
        Ok(loading.map_or(Pages::None, |_| Pages::Written(people)))
    }

    /// Writes an occurrence that was read whole. `None`: somebody else has the schedule by now.
    async fn write_gathered(
        &self,
        due: &DueOccurrence,
        gathered: Gathered,
        work: &mut Work<'_>,
    ) -> Result<Option<u64>, Failure> {
        let Gathered { file, said, occurring, ends, .. } = gathered;
        let Some(occurring) = occurring.into_iter().find(|occurring| occurring.name == due.name) else {
            return Ok(Some(0));
        };
        let occurring = Occurring { ends: ends.or(occurring.ends), ..occurring };
        let Some(loading) = self.begin(due, &file, occurring).await? else { return Ok(None) };
        let mut ready = Ready::of_occurrence(file, Compared::not_yet(said, loading.terms), loading);
        if !work.write(&mut ready).await? {
            return Ok(None);
        }
        let Compared { spooled, changes, .. } = &ready.compared;
        let reached = spooled.in_order().filter(|place| has_one(changes[*place as usize]));
        let people: HashSet<u64> = reached.map(|place| spooled.entry(place).user).collect();
        Ok(Some(people.len() as u64))
    }

    /// Begins an occurrence, and says how its reminders are written. `None`: somebody else has the schedule by now.
    async fn begin(&self, due: &DueOccurrence, file: &File, occurring: Occurring) -> Result<Option<Loading>, Failure> {
        let Self { office, row, nonce, now, .. } = *self;
        let begun = OccurrenceRow {
            name: occurring.name,
            event_at: occurring.event,
            first_at: occurring.first + row.shift,
            last_at: occurring.last + row.shift,
            ends_at: occurring.ends.unwrap_or(occurring.last) + row.shift.max(0),
            begun_at: now,
            prepared_at: None,
            people: 0,
        };
        let mut loading = office.loading(file, Some(row), now, false).await?;
        loading.terms.sends_late |= due.made_up;
        loading.adds_only = true;
        loading.is_fresh = match office.store.begin_occurrence(row.id, nonce, begun).await? {
            BegunOccurrence::Fresh => true,
            BegunOccurrence::Again => false,
            BegunOccurrence::Lost => return Ok(None),
        };
        Ok(Some(loading))
    }
}

/// What came of the pages of an occurrence.
enum Pages {
    /// It has none: it is read whole.
    None,
    /// So many people have a reminder of it.
    Written(u64),
    /// Somebody else has the schedule by now.
    Lost,
}

/// Why a file can't be used by now.
fn why(plan: &Plan) -> Message {
    let first: Option<&Problem> = plan.problems.list.first();
    first.map_or_else(|| say!("fault_of_tixing"), |problem| problem.detail.clone())
}
