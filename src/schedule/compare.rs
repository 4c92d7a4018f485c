//! What a file says is compared with what is stored: what a load would make of each reminder, and whom it reaches.

use super::{
    file::{Audience, File},
    gather::Said,
    plan::{Plan, Rows},
    problem::{Place, Problem},
    spool::Spooled,
};
use crate::{
    domain::{
        Millis,
        reminder::ReminderId,
        schedule::{Change, Planned, Terms},
    },
    store::{
        Store, StoreError,
        planned::{Judged, Line, Loading},
        planned_lists::{Identity, Left},
    },
    words::say,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    hash::{BuildHasher, RandomState},
    io,
    sync::Arc,
};

/// Reminders compared with one look at the store.
const BATCH: usize = 1_000;
/// Looks under way at once.
const LOOKS: usize = 2;
/// Reminders of one user in one schedule: their consents are given out among them, so they are looked at together.
const OF_ONE_USER: usize = 50_000;
/// Removals of more than so many, and of more than half of what waits, want somebody's word.
pub const REMOVALS: u64 = 20;

/// Why a file could not be compared.
#[derive(Debug)]
pub enum Failure {
    /// The store did not answer.
    Store(StoreError),
    /// The disk that holds what was read failed.
    Disk(io::Error),
}

/// In English, for logs.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(e) => e.fmt(f),
            Self::Disk(e) => e.fmt(f),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// A file's reminders on disk, with what each comes to.
pub struct Compared {
    /// The reminders.
    pub spooled: Arc<Spooled>,
    /// What the file says for all of them, for their digests.
    pub extra: Arc<str>,
    /// What each comes to, in the order of the file; `None`: it is passed over.
    pub changes: Vec<Option<Change>>,
    /// The places of those for which something is written, in the order in which consents are given out.
    pub writes: Vec<u32>,
    /// What waits and is no longer in the file.
    pub removed: Vec<Left>,
    /// The places of those that take a consent which this load gives back.
    pub retries: Vec<u32>,
    /// How what is known was compared.
    pub terms: Terms,
}

impl Compared {
    /// All that was gathered, to be written without a look before: what writes looks, too.
    pub fn not_yet(said: Said, terms: Terms) -> Self {
        let Said { spooled, extra, .. } = said;
        let (changes, writes) = (vec![None; spooled.len()], spooled.by_user());
        let (removed, retries) = (Vec::new(), Vec::new());
        Self { spooled: Arc::new(spooled), extra: extra.into(), changes, writes, removed, retries, terms }
    }
}

/// Reads the reminders at these places, with their digests.
///
/// # Errors
/// Those of the disk.
pub async fn lines(spooled: &Arc<Spooled>, extra: &Arc<str>, places: Vec<u32>) -> Result<Vec<Line>, Failure> {
    let (spooled, extra) = (Arc::clone(spooled), Arc::clone(extra));
    let read = move || {
        let planned = spooled.read(&places)?;
        let line = |planned: Planned| Line { digest: planned.digest(&extra), planned, user: None };
        Ok::<_, io::Error>(planned.into_iter().map(line).collect())
    };
    Ok(tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??)
}

/// Compares all that was gathered, and completes the plan. `progress` is told how many reminders were compared.
///
/// # Errors
/// When the store or the disk does not answer.
pub async fn compare(
    store: &Store,
    plan: &mut Plan,
    file: &File,
    said: Said,
    testers: Option<&HashSet<String>>,
    loading: &Loading,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Compared, Failure> {
    let Said { spooled, numbers, extra } = said;
    let (spooled, extra): (_, Arc<str>) = (Arc::new(spooled), extra.into());
    let places = spooled.by_user();
    let largest = places.chunk_by(|a, b| spooled.entry(*a).user == spooled.entry(*b).user).map(<[u32]>::len).max();
    let mut counting = Counting {
        numbers: &numbers,
        table: match &file.audience {
            Audience::Table(table) => Some(&table.file),
            _ => None,
        },
        testers,
        terms: loading.terms,
        recurs: file.is_recurring(),
        plan,
        changes: vec![None; spooled.len()],
        freed: Vec::new(),
        without: HashSet::new(),
        seen: HashSet::with_capacity(spooled.len()),
        hash: RandomState::new(),
    };
    if let Some(found) = largest.filter(|found| *found > OF_ONE_USER) {
        let detail = say!("too_many_of_one_user", found = found, most = OF_ONE_USER);
        counting.plan.refuse(Problem::new("too_large", detail));
    }
    let mut writes = Vec::new();
    if !counting.plan.refused {
        let batches = batches(&places, &spooled).into_iter().map(<[u32]>::to_vec).collect::<Vec<_>>();
        let look = Look {
            store: store.clone(),
            loading: Arc::new(loading.clone()),
            spooled: Arc::clone(&spooled),
            extra: Arc::clone(&extra),
        };
        let mut batches = stream::iter(batches).map(|batch| look.clone().look(batch)).buffered(LOOKS);
        let mut compared = 0;
        while let Some((batch, lines, judged, elsewhere)) = batches.try_next().await? {
            for (by, n) in elsewhere {
                *counting.plan.reach.held_elsewhere.entry(by.unwrap_or_else(|| "api".into())).or_default() += n;
            }
            writes.extend(counting.take(&batch, &lines, &judged, &spooled));
            compared += batch.len() as u64;
            progress(compared);
        }
    }
    let adds_only = loading.adds_only || file.audience == Audience::Consented && !file.is_recurring();
    let removed = counting.removed(store, loading, adds_only).await?;
    let free = counting.free(store, &removed).await?;
    let retries = counting.retries(free, &places, &spooled, &extra).await?;
    let changes = counting.changes;
    guard(plan);
    plan.problems.sort();
    plan.notes.sort();
    Ok(Compared { spooled, extra, changes, writes, removed, retries, terms: loading.terms })
}

/// What a look at the store needs.
#[derive(Clone)]
struct Look {
    store: Store,
    loading: Arc<Loading>,
    spooled: Arc<Spooled>,
    extra: Arc<str>,
}

/// A batch of places, its reminders, what each comes to, and who holds the consents of those that found none.
type Looked = (Vec<u32>, Vec<Line>, Vec<Judged>, Vec<(Option<String>, u64)>);

impl Look {
    async fn look(self, batch: Vec<u32>) -> Result<Looked, Failure> {
        let lines = lines(&self.spooled, &self.extra, batch.clone()).await?;
        let judged = self.store.compare(&self.loading, &lines).await?;
        let elsewhere = elsewhere(&self.store, &self.loading, &lines, &judged).await?;
        Ok((batch, lines, judged, elsewhere))
    }
}

/// Batches of whole users.
fn batches<'p>(places: &'p [u32], spooled: &Spooled) -> Vec<&'p [u32]> {
    let (mut found, mut from) = (Vec::new(), 0);
    while from < places.len() {
        let mut until = (from + BATCH).min(places.len());
        while until < places.len() && spooled.entry(places[until]).user == spooled.entry(places[until - 1]).user {
            until += 1;
        }
        found.push(&places[from..until]);
        from = until;
    }
    found
}

/// Who holds the consents of those that found none.
async fn elsewhere(
    store: &Store,
    loading: &Loading,
    lines: &[Line],
    judged: &[Judged],
) -> Result<Vec<(Option<String>, u64)>, Failure> {
    let without = lines.iter().zip(judged).filter(|(_, judged)| judged.change == Some(Change::NoConsent));
    let openids: BTreeSet<&str> = without.map(|(line, _)| line.planned.openid.as_str()).collect();
    let found = store.held_elsewhere(loading, &openids.into_iter().collect::<Vec<_>>()).await?;
    Ok(found.into_iter().map(|(by, n)| (by, u64::try_from(n).unwrap_or_default())).collect())
}

/// A plan that is being completed.
struct Counting<'a> {
    plan: &'a mut Plan,
    numbers: &'a [Option<u32>],
    /// The table that the rows are of.
    table: Option<&'a String>,
    /// In test mode, who alone is reached.
    testers: Option<&'a HashSet<String>>,
    terms: Terms,
    /// Its occurrences are prepared one by one: what has passed of one is no mistake of a row.
    recurs: bool,
    changes: Vec<Option<Change>>,
    /// The users whose consents are given back because rows are another's by now, or late.
    freed: Vec<i64>,
    /// The people without a consent.
    without: HashSet<u64>,
    /// The identities that the file has.
    seen: HashSet<u64>,
    hash: RandomState,
}

impl Counting<'_> {
    /// Takes in a batch of whole users. Answers the places for which something is written.
    fn take(&mut self, batch: &[u32], lines: &[Line], judged: &[Judged], spooled: &Spooled) -> Vec<u32> {
        let mut writes = Vec::new();
        let mut from = 0;
        for user in batch.chunk_by(|a, b| spooled.entry(*a).user == spooled.entry(*b).user) {
            let (lines, judged) = (&lines[from..from + user.len()], &judged[from..from + user.len()]);
            from += user.len();
            self.user(user, lines, judged, spooled);
            writes.extend(user.iter().zip(judged).filter(|(_, judged)| judged.writes).map(|(place, _)| *place));
            self.freed.extend(judged.iter().filter_map(|judged| judged.frees));
        }
        writes
    }

    fn user(&mut self, places: &[u32], lines: &[Line], judged: &[Judged], spooled: &Spooled) {
        for line in lines {
            let Planned { key, occasion, occurrence, .. } = &line.planned;
            self.seen.insert(self.identity(key, occasion, occurrence));
        }
        let mut rows: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (i, place) in places.iter().enumerate() {
            rows.entry(spooled.entry(*place).row).or_default().push(i);
        }
        let mut reached = false;
        for (row, of_row) in rows {
            let place = Place { file: self.table.cloned(), row: self.numbers[row as usize], ..Place::default() };
            let cancelled = of_row.iter().filter(|i| judged[**i].cancels).count() as u64;
            if cancelled > 0 {
                *self.plan.reminders.entry(Change::Removed).or_default() += cancelled;
            }
            if !self.recurs && of_row.iter().all(|i| judged[*i].change == Some(Change::Late)) {
                let Rows { right, refused, .. } = &mut self.plan.rows;
                (*right, *refused) = (*right - 1, *refused + 1);
                let at = of_row.iter().map(|i| self.terms.moved(&lines[*i].planned).0).max().unwrap_or_default();
                self.plan.problems.push(Problem { place, ..Problem::new("late", say!("row_late", at = at)) });
                continue;
            }
            reached = true;
            for i in of_row {
                self.line(places[i], &lines[i], &judged[i], &place);
            }
        }
        let openid = &lines[0].planned.openid;
        if reached && self.testers.is_none_or(|testers| testers.contains(openid)) {
            let reach = &mut self.plan.reach;
            let forgotten = judged.iter().any(|judged| judged.change.is_none());
            if !forgotten && !judged.iter().any(|judged| judged.has_consent || judged.reminds()) {
                self.without.insert(spooled.entry(places[0]).user);
            }
            reach.people += 1;
            reach.forgotten += u64::from(forgotten);
            reach.known += u64::from(!forgotten && judged.iter().any(|judged| judged.user_known));
            reach.with_consent += u64::from(!forgotten && judged.iter().any(|judged| judged.has_consent));
            reach.reminded += u64::from(!forgotten && judged.iter().any(Judged::reminds));
        }
    }

    fn line(&mut self, place: u32, line: &Line, judged: &Judged, row: &Place) {
        self.changes[place as usize] = judged.change;
        let note = |code, detail| Problem { place: row.clone(), ..Problem::new(code, detail) };
        let Some(change) = judged.change else {
            self.plan.notes.push(note("forgotten", say!("row_forgotten")));
            return;
        };
        *self.plan.reminders.entry(change).or_default() += 1;
        let (occasion, at) = (&line.planned.occasion, self.terms.moved(&line.planned).0);
        match change {
            Change::Late if self.recurs => {}
            Change::Late => self.plan.notes.push(note("late", say!("occasion_late", occasion = occasion, at = at))),
            Change::Done if judged.differs => {
                let detail = match occasion.is_empty() {
                    true => say!("done_changed_row"),
                    false => say!("done_changed", occasion = occasion),
                };
                self.plan.notes.push(note("done_changed", detail));
            }
            Change::New | Change::Changed | Change::Same | Change::Later => {
                self.goes_at(at);
            }
            Change::NoConsent => {
                let (first, last) = self.plan.lacking.unwrap_or((at, at));
                self.plan.lacking = Some((first.min(at), last.max(at)));
            }
            _ => {}
        }
    }

    fn goes_at(&mut self, at: Millis) {
        let plan = &mut *self.plan;
        plan.first_at = Some(plan.first_at.map_or(at, |first| first.min(at)));
        plan.last_at = Some(plan.last_at.map_or(at, |last| last.max(at)));
    }

    /// How many consents of whom this very load gives back.
    async fn free(&self, store: &Store, removed: &[Left]) -> Result<HashMap<String, u32>, Failure> {
        let mut free: HashMap<String, u32> = HashMap::new();
        removed.iter().filter(|left| left.holds).for_each(|left| *free.entry(left.openid.clone()).or_default() += 1);
        for some in self.freed.chunks(BATCH) {
            let openids = store.openids(some).await?;
            some.iter()
                .filter_map(|user| openids.get(user))
                .for_each(|openid| *free.entry(openid.clone()).or_default() += 1);
        }
        Ok(free)
    }

    /// Those that found no consent and take one which this load gives back: an occasion that is renamed, a row with another key, or one that
    /// is another user's by now, is one reminder less and one more, and its user's only consent must serve the new one.
    async fn retries(
        &mut self,
        mut free: HashMap<String, u32>,
        places: &[u32],
        spooled: &Arc<Spooled>,
        extra: &Arc<str>,
    ) -> Result<Vec<u32>, Failure> {
        let mut retries = Vec::new();
        if free.is_empty() {
            return Ok(retries);
        }
        let without = places.iter().copied().filter(|place| self.changes[*place as usize] == Some(Change::NoConsent));
        let without: Vec<u32> = without.collect();
        for some in without.chunks(BATCH) {
            for (place, line) in some.iter().zip(lines(spooled, extra, some.to_vec()).await?) {
                if line.planned.later {
                    continue;
                }
                let Some(n) = free.get_mut(line.planned.openid.as_str()).filter(|n| **n > 0) else { continue };
                *n -= 1;
                retries.push(*place);
                self.changes[*place as usize] = Some(Change::New);
                let counts = &mut self.plan.reminders;
                counts.entry(Change::NoConsent).and_modify(|n| *n -= 1);
                *counts.entry(Change::New).or_default() += 1;
                if self.without.remove(&spooled.entry(*place).user) {
                    self.plan.reach.with_consent += 1;
                    self.plan.reach.reminded += 1;
                }
                self.goes_at(self.terms.moved(&line.planned).0);
            }
        }
        Ok(retries)
    }

    fn identity(&self, key: &str, occasion: &str, occurrence: &str) -> u64 {
        self.hash.hash_one((key, occasion, occurrence))
    }

    /// What waits and is no longer in the file.
    async fn removed(&mut self, store: &Store, loading: &Loading, adds_only: bool) -> Result<Vec<Left>, Failure> {
        let Some(schedule) = loading.schedule.filter(|_| !adds_only && !self.plan.refused) else {
            return Ok(Vec::new());
        };
        let mut removed = Vec::new();
        if self.recurs {
            // Of what is over nothing waits, and it may be much.
            let living = store.living_occurrences(schedule, self.terms.now).await?;
            let from = living.iter().map(|occurrence| occurrence.first_at).min().unwrap_or(self.terms.now);
            let mut after = (Millis::MIN, 0);
            loop {
                let page = store.waiting_of_schedule(schedule, from, after, 5_000).await?;
                let Some(last) = page.last() else { break };
                after = (last.at, last.reminder.0);
                let is_gone =
                    |left: &Left| !self.seen.contains(&self.identity(&left.key, &left.occasion, &left.occurrence));
                removed.extend(page.into_iter().filter(is_gone));
            }
        } else {
            let mut after = (String::new(), String::new(), String::new());
            loop {
                let page = store.identities(schedule, (&after.0, &after.1, &after.2), 5_000).await?;
                let Some(last) = page.last() else { break };
                after = (last.key.clone(), last.occasion.clone(), last.occurrence.clone());
                let is_gone = |i: &Identity| !self.seen.contains(&self.identity(&i.key, &i.occasion, &i.occurrence));
                let gone: Vec<Identity> = page.into_iter().filter(is_gone).collect();
                for gone in gone.chunks(BATCH) {
                    removed.extend(store.waiting_of(gone).await?);
                }
            }
        }
        *self.plan.reminders.entry(Change::Removed).or_default() += removed.len() as u64;
        Ok(removed)
    }
}

/// A file that removes much may be the wrong one.
fn guard(plan: &mut Plan) {
    let removed = plan.count(Change::Removed);
    let waits = removed + plan.count(Change::Same) + plan.count(Change::Changed);
    plan.removes_too_many = removed > REMOVALS && removed * 2 > waits;
}

impl Compared {
    /// The reminders that are removed, by id.
    pub fn removed_ids(&self) -> Vec<ReminderId> {
        self.removed.iter().map(|left| left.reminder).collect()
    }
}
