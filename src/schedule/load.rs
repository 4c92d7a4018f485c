//! A file is planned, and loaded: the same computation, then written in small commits, so that the sends of other apps wait little for it.

use super::{
    compare::{self, Compared, Failure, compare},
    file::{File, Late},
    gather::{Asks, Desk, Gathered, Input, Page, Reading, Sink, gather, kept::ToKeep},
    plan::Plan,
    problem::Problem,
    recur::{Look, Occurring, Stored},
    sheet::Reader,
};
use crate::{
    clock::SharedClock,
    config::Config,
    domain::{
        DAY, Millis,
        left_out::LeftOut,
        schedule::{Change, Terms},
        template::Kind,
    },
    store::{
        Store, StoreError,
        left_out::LeftOutRow,
        occurrences::OccurrenceRow,
        planned::{Judged, Line, Loading},
        schedules::{BeginLoad, Begun, FinishLoad, Recurs, ScheduleRow},
    },
    words::{Message, say},
};
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
    io,
    path::Path,
    sync::Arc,
};
use tokio::{runtime::Handle, sync::mpsc};

/// A commit of a load takes about so long, in milliseconds: sends of other apps wait for it.
const COMMIT: i64 = 15;
/// Rows that are asked of the store at once.
const PAGE: i64 = 5_000;
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
    occurring: Vec<Occurring>,
    look: Option<Look>,
    to_keep: Option<ToKeep>,
    ends: Option<Millis>,
}

impl Ready {
    /// The time of the next occurrence that is prepared, and when that is, if it recurs.
    pub fn next_to_prepare(&self) -> Option<(Millis, Millis)> {
        let look = self.look.as_ref().filter(|_| self.file.is_recurring())?;
        look.to_prepare.map(|(prepare_at, event)| (event, prepare_at.max(self.loading.terms.now)))
    }

    /// An occurrence that is prepared.
    pub(super) fn of_occurrence(file: File, compared: Compared, loading: Loading) -> Self {
        let (occurring, look, to_keep, ends) = (Vec::new(), None, None, None);
        Self { file, compared, loading, shift_ends: false, occurring, look, to_keep, ends }
    }
}

/// What a file is read for.
#[derive(Debug, Clone)]
pub(super) enum For {
    /// To plan or load it.
    Whole,
    /// To see which of its occurrences are due.
    Look {
        /// The schedule.
        schedule: i64,
        /// The rows that it keeps.
        edition: i64,
    },
    /// To prepare one.
    Occurrence {
        /// The schedule.
        schedule: i64,
        /// The rows that it keeps.
        edition: i64,
        /// Which.
        name: String,
        /// It is made up for.
        made_up: bool,
        /// Where those who have consented are handed to, page by page.
        pages: mpsc::Sender<Page>,
    },
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
        let (mut plan, gathered) = self.gather(Arc::clone(&input), now, For::Whole, progress).await?;
        let Some(gathered) = gathered else { return Ok(Planning { plan, ready: None }) };
        let row = self.store.schedule(&gathered.file.name).await?;
        if let Some(row) = &row {
            refusal(row, &gathered.file, &input, options).into_iter().for_each(|problem| plan.refuse(problem));
        }
        let shift_ends = row.as_ref().is_some_and(|row| row.shift != 0 && row.digest != plan.digest);
        if let Some(row) = row.as_ref().filter(|_| shift_ends) {
            plan.notes.push(Problem::new("shift_ends", say!("shift_ends", shift = row.shift.abs())));
        }
        let loading = self.loading(&gathered.file, row.as_ref(), now, shift_ends).await?;
        let Gathered { file, said, occurring, look, ends, to_keep } = gathered;
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
        let ready =
            (!plan.refused).then_some(Ready { file, compared, loading, shift_ends, occurring, look, to_keep, ends });
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
        let row = self.store.schedule(&ready.file.name).await?;
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
        let mut work = Work::new(self, id, &nonce, progress);
        let written = work.write_all(plan, ready, row.as_ref()).await;
        let recurs = match &written {
            Ok(Some(edition)) => recurs(input, ready, *edition, ready.loading.terms.now, row.as_ref(), plan),
            _ => None,
        };
        let upcoming = ready.look.as_ref().map(|look| serde_json::to_string(&look.upcoming).expect("texts serialise"));
        let is_late = |one: &&LeftOutRow| one.why == LeftOut::Late;
        let looked = ready.look.as_ref().filter(|_| ready.file.is_recurring());
        let left_out = looked.into_iter().flat_map(|look| look.left_out.iter().filter(is_late).cloned()).collect();
        let report = FinishLoad {
            recurs,
            upcoming,
            left_out,
            digest: plan.digest.clone(),
            first_at: plan.first_at.into_iter().chain(plan.lacking.map(|(first, _)| first)).min(),
            last_at: plan.last_at.max(plan.lacking.map(|(_, last)| last)),
            report: plan.stored(),
            complete: matches!(written, Ok(Some(_))),
        };
        self.store.finish_load(id, &work.nonce, report).await?;
        match written? {
            Some(_) => Ok(Some(work.loaded)),
            None => {
                plan.refuse(Problem::new("busy", say!("load_taken_over")));
                Ok(None)
            }
        }
    }

    pub(super) async fn gather(
        &self,
        input: Arc<Input>,
        now: Millis,
        reading: For,
        progress: &Progress,
    ) -> Result<(Plan, Option<Gathered>), Failure> {
        let (office, progress, handle) = (self.clone(), Arc::clone(progress), Handle::current());
        let work = move || {
            let asking = Asking { office: &office, handle: &handle, now, kept: !matches!(reading, For::Whole) };
            let kept = match reading {
                For::Whole => (0, 0),
                For::Look { schedule, edition } | For::Occurrence { schedule, edition, .. } => (schedule, edition),
            };
            let kept_rows = |part, after| {
                let page = office.store.kept_rows(kept.0, kept.1, part, after, PAGE);
                handle.block_on(page).map_err(io::Error::other)
            };
            let reading = match &reading {
                For::Whole => Reading::Whole,
                For::Look { .. } => Reading::Look(&kept_rows),
                For::Occurrence { name, made_up, pages, .. } => {
                    Reading::Occurrence { name, made_up: *made_up, kept: &kept_rows, pages }
                }
            };
            let desk = Desk {
                apps: &office.config.apps,
                listing: &|app| office.store.listing(app),
                reader: &office.reader,
                asks: &asking,
                reading,
                progress: &|rows| progress(Stage::Reading, rows),
                now,
            };
            gather(&input, &desk)
        };
        Ok(tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??)
    }

    /// Those whom the schedule has planned before, and those who have an available consent for its template.
    async fn consented(&self, file: &File, sink: &mut Sink<'_>) -> io::Result<()> {
        let store = &self.store;
        let row = store.schedule(&file.name).await.map_err(io::Error::other)?;
        if let Some(row) = row.filter(|_| !file.is_recurring()) {
            let mut after = (String::new(), String::new(), String::new());
            loop {
                let from = (&*after.0, &*after.1, &*after.2);
                let page = store.identities(row.id, from, PAGE).await.map_err(io::Error::other)?;
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

    pub(super) async fn loading(
        &self,
        file: &File,
        row: Option<&ScheduleRow>,
        now: Millis,
        shift_ends: bool,
    ) -> Result<Loading, Failure> {
        let app = self.config.apps.iter().find(|app| app.name == file.app).expect("the file was checked");
        let template = app.template(&file.template).expect("the file was checked");
        let sends_late = file.late == Late::Send;
        let unknown = self.store.last_gap().await?.and_then(|gap| gap.taken_for_sent());
        let shift = row.filter(|_| !shift_ends).map_or(0, |row| row.shift);
        Ok(Loading {
            schedule: row.map(|row| row.id),
            app: file.app.clone(),
            template: file.template.clone(),
            standing: template.kind == Kind::LongTerm,
            claims: file.claims,
            adds_only: false,
            is_fresh: false,
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
        && !is_one_file(before, path)
        && !(options.in_folder && Path::new(before).parent() == Path::new(path).parent())
        && Path::new(before).exists()
    {
        return taken(say!("name_taken_by_file", name = &file.name, path = before));
    }
    (row.cancelled_at.is_some() && !options.revive)
        .then(|| Problem::new("cancelled", say!("schedule_is_cancelled", name = &file.name)))
}

/// Whether two paths lead to one file, however they are written.
fn is_one_file(one: &str, other: &str) -> bool {
    let whole = |path: &str| std::fs::canonicalize(path).ok();
    one == other || whole(one).is_some_and(|one| whole(other) == Some(one))
}

/// What reading a file asks of the store, from a thread that may wait.
struct Asking<'a> {
    office: &'a Office,
    handle: &'a Handle,
    now: Millis,
    /// The file is the one that was kept.
    kept: bool,
}

impl Asks for Asking<'_> {
    fn consented(&self, file: &File, sink: &mut Sink<'_>) -> io::Result<()> {
        self.handle.block_on(self.office.consented(file, sink))
    }

    fn recurring(&self, file: &File, digest: &str) -> io::Result<Stored> {
        self.handle
            .block_on(self.office.stored(file, (!self.kept).then_some(digest), self.now))
            .map_err(io::Error::other)
    }

    fn consented_after(&self, file: &File, after: i64, most: usize) -> io::Result<Vec<(i64, String)>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let page = self.office.store.consented(&file.app, &file.template, after, most);
        self.handle.block_on(page).map_err(io::Error::other)
    }

    fn people(&self, file: &File, digest: &str, occurrence: &str, sink: &mut Sink<'_>) -> io::Result<()> {
        self.handle.block_on(self.office.people(file, digest, occurrence, sink))
    }
}

impl Office {
    /// What is stored of a schedule that recurs; `digest` is that of a file that may be another than the last one.
    async fn stored(&self, file: &File, digest: Option<&str>, now: Millis) -> Result<Stored, StoreError> {
        let sends_late = file.late == Late::Send;
        let Some(row) = self.store.schedule(&file.name).await? else {
            let since = since_of_new(file, now);
            return Ok(Stored { since, file_since: now, sends_late, ..Stored::default() });
        };
        let is_same = digest.is_none_or(|digest| row.digest == digest);
        let is_whole = digest.is_none() || !row.incomplete;
        let goes_on = is_same && is_whole && row.cancelled_at.is_none();
        let since = row.since.filter(|_| goes_on).unwrap_or_else(|| since_of_new(file, now));
        let file_since = if goes_on { row.file_since.unwrap_or_default() } else { now };
        let decided = row.decided.filter(|_| goes_on);
        let hindered = row.recur_problem.as_deref().and_then(|stored| serde_json::from_str(stored).ok());
        let gap = self.store.last_gap().await?;
        let shift = if is_same { row.shift } else { 0 };
        let living = self.store.living_occurrences(row.id, since.min(now)).await?;
        let prepared = living.iter().filter(|o| o.prepared_at.is_some()).map(|o| o.name.clone()).collect();
        let begun = living.into_iter().filter(|o| o.ends_at > now).map(|o| o.name).collect();
        Ok(Stored { since, file_since, sends_late, decided, gap, hindered, shift, prepared, begun })
    }

    /// Whom an occurrence that is prepared is about.
    async fn people(&self, file: &File, digest: &str, occurrence: &str, sink: &mut Sink<'_>) -> io::Result<()> {
        let Some(row) = self.store.schedule(&file.name).await.map_err(io::Error::other)? else { return Ok(()) };
        // Who was taken off stays off; what ended with the whole schedule comes back with it, also when that load was cut off.
        let ended = row.cancelled_at.is_some() || (row.incomplete && row.digest == digest);
        let there = self.store.occurrence(row.id, occurrence).await.map_err(io::Error::other)?;
        // A shift that is cut off may have moved some of them back.
        let from = there.map_or(Millis::MIN, |there| there.first_at - row.shift.abs() - DAY);
        let mut after = (Millis::MIN, 0);
        loop {
            let page = self.store.people_of_occurrence((row.id, occurrence), ended, from, after, PAGE).await;
            let page = page.map_err(io::Error::other)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = (last.at, last.reminder.0);
            page.into_iter().try_for_each(|reached| sink(reached.openid))?;
        }
    }
}

/// What of a new file is none of its occurrences. Every event of a table is one, also if it has passed; a recurrence begins with its load.
fn since_of_new(file: &File, now: Millis) -> Millis {
    if file.events().is_some() { 0 } else { now }
}

/// How a schedule recurs from now on, if it does. The load began at `now`.
fn recurs(
    input: &Input,
    ready: &Ready,
    edition: i64,
    now: Millis,
    row: Option<&ScheduleRow>,
    plan: &Plan,
) -> Option<Recurs> {
    let look = ready.look.as_ref().filter(|_| ready.file.is_recurring())?;
    let due = (!look.due.is_empty()).then_some(now);
    // The same file again changes nothing about what was missed.
    let is_same = |row: &&ScheduleRow| row.digest == plan.digest && !row.incomplete && row.cancelled_at.is_none();
    let row = row.filter(is_same);
    // Events that go late are none of before: the look has to find them.
    let new = if look.due.iter().any(|due| due.late) { since_of_new(&ready.file, now) } else { now };
    let since = row.and_then(|row| row.since).unwrap_or(new);
    let file_since = row.map_or(now, |row| row.file_since.unwrap_or_default());
    let decided = row.and_then(|row| row.decided);
    let next_at = due.or(look.next_at);
    Some(Recurs { kept_text: input.text.clone(), edition, next_at, since, file_since, decided })
}

/// Whether somebody has a reminder of what a line says.
pub(super) fn has_one(change: Option<Change>) -> bool {
    matches!(change, Some(Change::New | Change::Changed | Change::Same | Change::Done))
}

/// A load that is being written.
pub(super) struct Work<'a> {
    office: &'a Office,
    id: i64,
    nonce: String,
    /// When it last said that it goes on, by the monotonic clock.
    beaten: i64,
    loaded: Loaded,
    /// How many reminders the next commit writes.
    size: usize,
    progress: &'a Progress,
}

impl<'a> Work<'a> {
    /// Nothing is written yet.
    pub(super) fn new(office: &'a Office, id: i64, nonce: &str, progress: &'a Progress) -> Self {
        let beaten = office.clock.monotonic();
        let size = office.batches.first();
        Self { office, id, nonce: nonce.to_owned(), beaten, loaded: Loaded::default(), size, progress }
    }

    /// Writes a whole load, and answers with the edition of the rows that it keeps. `None`: another task has the schedule by now.
    async fn write_all(
        &mut self,
        plan: &Plan,
        ready: &mut Ready,
        row: Option<&ScheduleRow>,
    ) -> Result<Option<i64>, Failure> {
        // A load that was cut off has left its digest, and the rows of the file before.
        let kept = row.filter(|row| row.digest == plan.digest && !row.incomplete && row.kept_text.is_some());
        let edition = match (ready.to_keep.take(), kept) {
            (None, _) => 0,
            (Some(_), Some(row)) => row.edition,
            (Some(to_keep), None) => match self.keep(to_keep).await? {
                Some(edition) => edition,
                None => return Ok(None),
            },
        };
        let goes_on = self.write(ready).await? && self.write_occurrences(ready).await?;
        Ok(goes_on.then_some(edition))
    }

    /// Writes the rows that occurrences to come are prepared by.
    async fn keep(&mut self, to_keep: ToKeep) -> Result<Option<i64>, Failure> {
        const ROWS: usize = 1_000;
        let Some(edition) = self.office.store.new_edition(self.id, &self.nonce).await? else { return Ok(None) };
        let (mut to_keep, mut places) = (to_keep, [0_i64; 3]);
        loop {
            let read = move || {
                let some = to_keep.next(ROWS);
                some.map(|some| (to_keep, some))
            };
            let (rest, some) = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
            to_keep = rest;
            if some.is_empty() {
                return Ok(Some(edition));
            }
            for some in some.chunk_by(|a, b| a.0 == b.0) {
                let part = some[0].0;
                let rows = some.iter().map(|(_, row)| row.clone()).collect();
                let place = &mut places[part as usize];
                if !self.office.store.keep_rows(self.id, &self.nonce, edition, part, *place, rows).await? {
                    return Ok(None);
                }
                *place += some.len() as i64;
            }
            if !self.goes_on(Stage::Writing, 0).await? {
                return Ok(None);
            }
        }
    }

    /// Writes when the occurrences are by now, and forgets those that the file no longer has; `false` if another task has the schedule.
    async fn write_occurrences(&mut self, ready: &Ready) -> Result<bool, Failure> {
        let (store, now) = (&self.office.store, self.office.clock.now());
        if ready.look.is_none() {
            return Ok(true);
        }
        let joined = ready.file.is_joined();
        // An event that was over may be ahead again.
        let since = if joined { now } else { since_of_new(&ready.file, now) };
        let living = store.living_occurrences(self.id, since).await?;
        let known: HashSet<&str> = living.iter().map(|occurrence| &*occurrence.name).collect();
        let there: HashSet<&str> = ready.occurring.iter().map(|occurring| &*occurring.name).collect();
        let is_gone = |o: &&OccurrenceRow| o.ends_at > now && !there.contains(&*o.name);
        let gone = living.iter().filter(is_gone).map(|o| o.name.clone()).collect();
        let mut people: HashMap<String, HashSet<u64>> = HashMap::new();
        if joined {
            let spooled = Arc::clone(&ready.compared.spooled);
            let places: Vec<u32> = spooled.in_order().collect();
            for some in places.chunks(1_000) {
                let has_one = |place: &&u32| has_one(ready.compared.changes[**place as usize]);
                let some: Vec<u32> = some.iter().filter(has_one).copied().collect();
                for (place, line) in
                    some.iter().zip(compare::lines(&spooled, &ready.compared.extra, some.clone()).await?)
                {
                    people.entry(line.planned.occurrence).or_default().insert(spooled.entry(*place).user);
                }
            }
        }
        let shift = ready.loading.terms.shift;
        let rows = ready.occurring.iter().filter(|occurring| joined || known.contains(&*occurring.name));
        let rows = rows.map(|occurring| {
            let before = living.iter().find(|occurrence| occurrence.name == occurring.name);
            let reached = people.get(&occurring.name).map_or(0, HashSet::len);
            OccurrenceRow {
                name: occurring.name.clone(),
                event_at: occurring.event,
                first_at: occurring.first + shift,
                last_at: occurring.last + shift,
                ends_at: occurring.ends.or(ready.ends).unwrap_or(occurring.last) + shift.max(0),
                begun_at: now,
                prepared_at: joined.then_some(now),
                people: if joined {
                    i64::try_from(reached).unwrap_or(i64::MAX)
                } else {
                    before.map_or(0, |o| o.people)
                },
            }
        });
        let rows: Vec<OccurrenceRow> = rows.collect();
        for rows in rows.chunks(1_000) {
            if !store.put_occurrences(self.id, &self.nonce, rows.to_vec()).await? {
                return Ok(false);
            }
        }
        Ok(store.forget_occurrences(self.id, &self.nonce, gone).await?)
    }

    /// Writes all that is to be written: removals after it, and then what takes a consent that was given back by either. `false` if another
    /// task has the schedule by now.
    pub(super) async fn write(&mut self, ready: &mut Ready) -> Result<bool, Failure> {
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
        let mut at = 0;
        self.size = self.office.batches.first();
        while at < places.len() {
            let some = &places[at..(at + self.size).min(places.len())];
            let lines = compare::lines(&compared.spooled, &compared.extra, some.to_vec()).await?;
            let Some(judged) = self.write_lines(loading, lines).await? else { return Ok(false) };
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

    /// Writes some lines with one commit, and answers what became of each. `None`: another task has the schedule by now.
    async fn write_lines(&mut self, loading: &Arc<Loading>, lines: Vec<Line>) -> Result<Option<Vec<Judged>>, Failure> {
        let (n, begun) = (lines.len(), self.office.clock.monotonic());
        let judged = self.office.store.write_lines(Arc::clone(loading), &self.nonce, lines).await?;
        self.size = self.office.batches.next(n, self.office.clock.monotonic() - begun, self.size);
        Ok(judged)
    }

    /// Writes a page of an occurrence. Answers how many people of it have a reminder; those of one person stand together.
    pub(super) async fn write_page(
        &mut self,
        loading: &Arc<Loading>,
        mut page: Vec<Line>,
    ) -> Result<Option<u64>, Failure> {
        let (mut reached, mut last) = (0, None);
        while !page.is_empty() {
            let rest = page.split_off(self.size.min(page.len()));
            let some: Vec<String> = page.iter().map(|line| line.planned.openid.clone()).collect();
            let Some(judged) = self.write_lines(loading, std::mem::replace(&mut page, rest)).await? else {
                return Ok(None);
            };
            for (openid, judged) in some.into_iter().zip(judged) {
                if has_one(judged.change) && last.as_ref() != Some(&openid) {
                    (reached, last) = (reached + 1, Some(openid));
                }
            }
            if !self.goes_on(Stage::Writing, 0).await? {
                return Ok(None);
            }
        }
        Ok(Some(reached))
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
