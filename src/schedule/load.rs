//! A file is planned, and loaded: the same computation, then written in small commits, so that the sends of other apps wait little for it.

use super::{
    compare::{self, Compared, Failure, compare},
    file::{File, Late},
    gather::{Desk, Gathered, Input, Sink, gather},
    plan::Plan,
    problem::Problem,
    sheet::Reader,
};
use crate::{
    clock::SharedClock,
    config::Config,
    domain::{
        Millis,
        schedule::{Change, Terms},
        template::Kind,
    },
    store::{
        Store,
        planned::Loading,
        schedules::{BeginLoad, Begun, FinishLoad, ScheduleRow},
    },
    words::{Message, say},
};
use serde::Serialize;
use std::{io, path::Path, sync::Arc};
use tokio::runtime::Handle;

/// A commit of a load takes about so long, in milliseconds: sends of other apps wait for it.
const COMMIT: i64 = 15;
/// A load says so often that it goes on, in milliseconds.
const BEAT: i64 = 2_000;

/// What a load may do, and for whom.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// One wrong row and nothing is loaded.
    pub strict: bool,
    /// It may cancel most of what waits.
    pub allow_removals: bool,
    /// It may bring a cancelled schedule back.
    pub revive: bool,
    /// The digest of the plan that was seen.
    pub digest: Option<String>,
    /// Who wants it.
    pub by: String,
    /// The watched folder wants it. Which of its files has a name, it has decided itself.
    pub in_folder: bool,
}

/// How far the work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Rows are read.
    Reading,
    /// Reminders are compared with what is stored.
    Comparing,
    /// Reminders are written.
    Writing,
    /// What the file no longer has is cancelled.
    Removing,
}

/// Told how many rows or reminders of a stage are done.
pub type Progress = Arc<dyn Fn(Stage, u64) + Send + Sync>;

/// How many reminders a load writes with one commit.
#[derive(Debug, Clone, Copy)]
pub struct Batches {
    /// However slow the disk is.
    pub fewest: usize,
    /// However fast it is.
    pub most: usize,
}

impl Default for Batches {
    fn default() -> Self {
        Self { fewest: 50, most: 2_000 }
    }
}

impl Batches {
    /// The first commit, which tells how fast the disk is.
    fn first(self) -> usize {
        (self.fewest * 4).min(self.most)
    }

    /// The next commit, if `n` reminders took `took` milliseconds and this one was to have `size`.
    fn next(self, n: usize, took: i64, size: usize) -> usize {
        let took = usize::try_from(took.max(1)).unwrap_or(usize::MAX);
        let fits = n * usize::try_from(COMMIT).expect("small") / took;
        // No faster than it doubles: one quick commit says little.
        fits.clamp(self.fewest, self.most).min(size * 2)
    }
}

/// What planning and loading need.
#[derive(Clone)]
pub struct Office {
    /// The apps.
    pub config: Arc<Config>,
    /// Where reminders are kept.
    pub store: Store,
    /// The time.
    pub clock: SharedClock,
    /// How tables are read.
    pub reader: Arc<Reader>,
    /// How much is written at once.
    pub batches: Batches,
}

/// A plan, and what a load of it goes on with; nothing if the file can't be used.
pub struct Planning {
    /// What would be done.
    pub plan: Plan,
    /// Its reminders.
    pub ready: Option<Ready>,
}

/// What a load goes on with.
pub struct Ready {
    /// The file.
    pub file: File,
    /// Each reminder, with what it comes to.
    pub compared: Compared,
    loading: Loading,
    shift_ends: bool,
}

/// What a load has written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Loaded {
    /// Reminders stored.
    pub new: u64,
    /// Reminders changed.
    pub changed: u64,
    /// Reminders cancelled.
    pub removed: u64,
}

impl Office {
    /// What a load of this file would do. Nothing is written.
    ///
    /// # Errors
    /// When the store or the disk does not answer.
    pub async fn plan(&self, input: Arc<Input>, options: &Options, progress: &Progress) -> Result<Planning, Failure> {
        let now = self.clock.now();
        let (mut plan, gathered) = self.gather(Arc::clone(&input), now, progress).await?;
        let Some(gathered) = gathered else { return Ok(Planning { plan, ready: None }) };
        let row = self.store.schedule(&gathered.file.name).await?;
        if let Some(row) = &row {
            refusal(row, &gathered.file, &input, options).into_iter().for_each(|problem| plan.refuse(problem));
        }
        let shift_ends = row.as_ref().is_some_and(|row| row.shift != 0 && row.digest != plan.digest);
        if let Some(row) = row.as_ref().filter(|_| shift_ends) {
            plan.notes.push(Problem::new("shift_ends", say!("shift_ends", shift = row.shift.abs())));
        }
        let loading = self.loading(&gathered, row.as_ref(), now, shift_ends).await?;
        let Gathered { file, said } = gathered;
        let compared = {
            let told = |n| progress(Stage::Comparing, n);
            let app = self.config.apps.iter().find(|app| app.name == file.app);
            let testers = app.and_then(|app| app.rules.testers.as_ref());
            compare(&self.store, &mut plan, &file, said, testers, &loading, &told).await?
        };
        if plan.removes_too_many && !options.allow_removals {
            let detail = say!("removes_too_many", removed = plan.count(Change::Removed));
            plan.refuse(Problem::new("removes_too_many", detail));
        }
        let ready = (!plan.refused).then_some(Ready { file, compared, loading, shift_ends });
        Ok(Planning { plan, ready })
    }

    /// Loads a planned file; what was written, or why nothing was.
    ///
    /// # Errors
    /// When the store or the disk does not answer. What was written stays, and the schedule is incomplete until the same file is loaded again.
    pub async fn load(
        &self,
        input: &Input,
        planning: &mut Planning,
        options: &Options,
        progress: &Progress,
    ) -> Result<Option<Loaded>, Failure> {
        let Planning { plan, ready: Some(ready) } = planning else { return Ok(None) };
        if options.digest.as_ref().is_some_and(|seen| *seen != plan.digest) {
            plan.refuse(Problem::new("plan_changed", say!("plan_changed")));
            return Ok(None);
        }
        if (plan.strict || options.strict) && plan.rows.refused > 0 {
            return Ok(None);
        }
        let begun = self.store.begin_load(self.begin(input, plan, ready, options)).await?;
        let (id, nonce) = match begun {
            Begun::Yes { id, nonce } => (id, nonce),
            // Since it was planned, somebody was faster.
            refused => {
                plan.refuse(match refused {
                    Begun::NameTaken { app } => {
                        Problem::new("name_taken", say!("name_taken_by_app", name = &ready.file.name, app = app))
                    }
                    Begun::Cancelled => {
                        Problem::new("cancelled", say!("schedule_is_cancelled", name = &ready.file.name))
                    }
                    Begun::Busy { by, since, .. } => {
                        Problem::new("busy", say!("schedule_busy", by = by, since = since))
                    }
                    Begun::Yes { .. } => unreachable!("matched above"),
                });
                return Ok(None);
            }
        };
        ready.loading.schedule = Some(id);
        let mut work =
            Work { office: self, id, nonce, beaten: self.clock.monotonic(), loaded: Loaded::default(), progress };
        let written = work.write(ready).await;
        let report = FinishLoad {
            digest: plan.digest.clone(),
            first_at: plan.first_at,
            last_at: plan.last_at,
            report: plan.stored(),
            complete: matches!(written, Ok(true)),
            recurs: None,
            upcoming: None,
        };
        self.store.finish_load(id, &work.nonce, report).await?;
        match written? {
            true => Ok(Some(work.loaded)),
            false => {
                plan.refuse(Problem::new("busy", say!("load_taken_over")));
                Ok(None)
            }
        }
    }

    pub(super) async fn gather(
        &self,
        input: Arc<Input>,
        now: Millis,
        progress: &Progress,
    ) -> Result<(Plan, Option<Gathered>), Failure> {
        let (office, progress, handle) = (self.clone(), Arc::clone(progress), Handle::current());
        let work = move || {
            let consented = |file: &File, sink: &mut Sink<'_>| handle.block_on(office.consented(file, sink));
            let desk = Desk {
                apps: &office.config.apps,
                listing: &|app| office.store.listing(app),
                reader: &office.reader,
                consented: &consented,
                progress: &|rows| progress(Stage::Reading, rows),
                now,
            };
            gather(&input, &desk)
        };
        Ok(tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??)
    }

    /// Those whom the schedule has planned before, and those who have an available consent for its template.
    async fn consented(&self, file: &File, sink: &mut Sink<'_>) -> io::Result<()> {
        const PAGE: i64 = 5_000;
        let store = &self.store;
        if let Some(row) = store.schedule(&file.name).await.map_err(io::Error::other)? {
            let mut after = (String::new(), String::new(), String::new());
            loop {
                let page =
                    store.identities(row.id, (&after.0, &after.1, &after.2), PAGE).await.map_err(io::Error::other)?;
                let Some(last) = page.last() else { break };
                after = (last.key.clone(), last.occasion.clone(), last.occurrence.clone());
                page.into_iter().try_for_each(|identity| sink(identity.key))?;
            }
        }
        let mut after = 0;
        loop {
            let page = store.consented(&file.app, &file.template, after, PAGE).await.map_err(io::Error::other)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = *last;
            page.into_iter().try_for_each(|(_, openid)| sink(openid))?;
        }
    }

    async fn loading(
        &self,
        gathered: &Gathered,
        row: Option<&ScheduleRow>,
        now: Millis,
        shift_ends: bool,
    ) -> Result<Loading, Failure> {
        let file = &gathered.file;
        let app = self.config.apps.iter().find(|app| app.name == file.app).expect("the file was checked");
        let template = app.template(&file.template).expect("the file was checked");
        let sends_late = file.late == Late::Send;
        let unknown = self.store.restored_until().await?;
        let shift = row.filter(|_| !shift_ends).map_or(0, |row| row.shift);
        Ok(Loading {
            schedule: row.map(|row| row.id),
            app: file.app.clone(),
            template: file.template.clone(),
            standing: template.kind == Kind::LongTerm,
            claims: file.claims,
            options: file.options.clone(),
            terms: Terms { now, sends_late, shift_ends, shift, unknown },
        })
    }

    fn begin(&self, input: &Input, plan: &Plan, ready: &Ready, options: &Options) -> BeginLoad {
        let file = &ready.file;
        BeginLoad {
            name: file.name.clone(),
            app: file.app.clone(),
            template: file.template.clone(),
            path: input.path.clone(),
            text: input.text.clone(),
            digest: plan.digest.clone(),
            zone: file.zone.name().to_owned(),
            quiet: file.quiet_written.clone(),
            revive: options.revive,
            by: options.by.clone(),
            in_folder: options.in_folder,
            forget_shift: ready.shift_ends,
        }
    }
}

/// Why a schedule of this name can't be loaded from this file.
fn refusal(row: &ScheduleRow, file: &File, input: &Input, options: &Options) -> Option<Problem> {
    let taken = |detail: Message| Some(Problem::new("name_taken", detail));
    if row.app != file.app {
        return taken(say!("name_taken_by_app", name = &file.name, app = &row.app));
    }
    if let (Some(before), Some(path)) = (&row.path, &input.path)
        && before != path
        && !(options.in_folder && Path::new(before).parent() == Path::new(path).parent())
        && Path::new(before).exists()
    {
        return taken(say!("name_taken_by_file", name = &file.name, path = before));
    }
    (row.cancelled_at.is_some() && !options.revive)
        .then(|| Problem::new("cancelled", say!("schedule_is_cancelled", name = &file.name)))
}

/// A load that is being written.
struct Work<'a> {
    office: &'a Office,
    id: i64,
    nonce: String,
    /// When it last said that it goes on, by the monotonic clock.
    beaten: i64,
    loaded: Loaded,
    progress: &'a Progress,
}

impl Work<'_> {
    /// Writes all that is to be written: removals after it, and then what takes a consent that a removal has given back. `false` if another
    /// task has the schedule by now.
    async fn write(&mut self, ready: &mut Ready) -> Result<bool, Failure> {
        let Ready { compared, loading, .. } = ready;
        let loading = Arc::new(loading.clone());
        (self.progress)(Stage::Writing, 0);
        let (writes, retries) = (std::mem::take(&mut compared.writes), std::mem::take(&mut compared.retries));
        Ok(self.write_places(&writes, &loading, compared).await?
            && self.remove(compared).await?
            && self.write_places(&retries, &loading, compared).await?)
    }

    async fn write_places(
        &mut self,
        places: &[u32],
        loading: &Arc<Loading>,
        compared: &mut Compared,
    ) -> Result<bool, Failure> {
        let (batches, mut at) = (self.office.batches, 0);
        let mut size = batches.first();
        while at < places.len() {
            let some = &places[at..(at + size).min(places.len())];
            let lines = compare::lines(&compared.spooled, &compared.extra, some.to_vec()).await?;
            let begun = self.office.clock.monotonic();
            let Some(judged) = self.office.store.write_lines(Arc::clone(loading), &self.nonce, lines).await? else {
                return Ok(false);
            };
            size = batches.next(some.len(), self.office.clock.monotonic() - begun, size);
            for (place, judged) in some.iter().zip(judged) {
                compared.changes[*place as usize] = judged.change;
                self.loaded.new += u64::from(judged.change == Some(Change::New));
                self.loaded.changed += u64::from(judged.change == Some(Change::Changed));
                self.loaded.removed += u64::from(judged.cancels);
            }
            at += some.len();
            if !self.goes_on(Stage::Writing, at as u64).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn remove(&mut self, compared: &Compared) -> Result<bool, Failure> {
        let (batches, ids, mut at) = (self.office.batches, compared.removed_ids(), 0);
        let mut size = batches.first();
        while at < ids.len() {
            let some = ids[at..(at + size).min(ids.len())].to_vec();
            let (n, begun) = (some.len(), self.office.clock.monotonic());
            let Some(removed) = self.office.store.remove(self.id, &self.nonce, some).await? else { return Ok(false) };
            size = batches.next(n, self.office.clock.monotonic() - begun, size);
            self.loaded.removed += removed;
            at += n;
            if !self.goes_on(Stage::Removing, at as u64).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Says how far it has come; `false` if another task has the schedule by now.
    async fn goes_on(&mut self, stage: Stage, done: u64) -> Result<bool, Failure> {
        (self.progress)(stage, done);
        let now = self.office.clock.monotonic();
        if now - self.beaten < BEAT {
            return Ok(true);
        }
        self.beaten = now;
        let detail = serde_json::json!({ "stage": stage, "rows": done }).to_string();
        Ok(self.office.store.beat(self.id, &self.nonce, &detail).await?)
    }
}
