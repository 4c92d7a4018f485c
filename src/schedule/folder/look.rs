//! A look at the folder: what has changed and is quiet is loaded, what is wrong is told once, and what is gone makes an orphan.

use super::{
    book::Book,
    judge::{Bad, Case, Verdict},
    scan::{MOST_FILES, Scan, Seen, scan},
};
use crate::{
    domain::{HOUR, MINUTE, Millis, SECOND},
    schedule::{
        compare::Failure,
        load::{Loaded, Office},
    },
    store::{StoreError, folder::Filed},
    words::say,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A file is read when it and its tables have stood so long as they stand, in milliseconds.
pub const QUIET: Millis = 2 * SECOND;
/// Rows that found no consent are tried again so often, and files with a problem too: what they lack may have come.
pub const RETRY: Millis = HOUR;
/// A file that has not stood still in so long is told of.
const RESTLESS: Millis = MINUTE;
/// A file that has not changed for so long when the first look sees it is quiet at once. Clocks of other machines are less far off.
const OLD: Millis = 10 * SECOND;
/// A look tries again what nobody has changed for no longer than this, so that changes wait for little.
const RETRYING: Millis = SECOND;
/// So many findings are stored with one commit.
const STORED: usize = 100;

/// The watched folder. Nobody else loads from it.
pub struct Folder {
    office: Office,
    dir: PathBuf,
    last: Arc<Scan>,
    known: BTreeMap<String, Known>,
    book: Book,
    /// Since when the files of these schedules are gone, by the monotonic clock.
    gone: HashMap<i64, Millis>,
    /// Since when the folder itself cannot be read.
    unread: Option<Millis>,
    has_looked: bool,
}

/// What is known of a file.
struct Known {
    /// Since when it stands as it does, by the monotonic clock.
    since: Millis,
    /// Since when it changes again and again, without two seconds of quiet.
    restless: Millis,
    state: State,
}

enum State {
    /// It is to be judged once it is quiet.
    New,
    /// The schedule was what the file of this digest says. When it was last tried, by the monotonic clock; `None`: before this process.
    /// `over`: nobody is left who may yet consent in time.
    Fine { digest: String, tried: Option<Millis>, over: bool },
    /// It can't be loaded.
    Bad { digest: Option<String>, tried: Millis },
}

/// What a look says to whoever turns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// Something is not quiet yet, or waits: the next look should come soon.
    pub soon: bool,
}

/// What the store says of the schedules.
struct Rows {
    by_name: HashMap<String, Filed>,
}

impl Folder {
    /// The folder `dir`, an absolute path; nothing is read yet.
    pub fn new(office: Office, dir: PathBuf) -> Self {
        Self {
            office,
            book: Book::new(dir.clone()),
            dir,
            last: Arc::default(),
            known: BTreeMap::new(),
            gone: HashMap::new(),
            unread: None,
            has_looked: false,
        }
    }

    /// The folders in which something can change: itself, and where its tables lie.
    pub fn places(&self) -> BTreeSet<PathBuf> {
        let tables = self.last.files.values().flat_map(|seen| &seen.named.tables);
        let folders = tables.filter_map(|table| Path::new(table).parent());
        let inside = folders.filter(|folder| !folder.is_absolute() && !folder.starts_with(".."));
        inside.map(|folder| self.dir.join(folder)).chain([self.dir.clone()]).collect()
    }

    /// The next look tries every file that has a problem, whether or not it has changed.
    pub fn try_all(&mut self) {
        for known in self.known.values_mut().filter(|known| matches!(known.state, State::Bad { .. })) {
            known.state = State::New;
        }
    }

    /// Looks at the folder once, and loads what is to be loaded. While the store is on hold nothing is read.
    ///
    /// # Errors
    /// When the store does not answer. The next look goes on.
    pub async fn look(&mut self) -> Result<Looked, StoreError> {
        if self.office.store.hold().await?.is_some() {
            return Ok(Looked { soon: false });
        }
        if !self.has_looked {
            self.book.goes_on_from(self.office.store.folder_problems().await?);
        }
        let found = self.scan().await;
        let scan = match found {
            Ok(scan) => Arc::new(scan),
            Err(error) => return self.cannot_read(&error).await,
        };
        self.unread = None;
        self.folder_is_read(&scan);
        self.notice(&scan);
        self.has_looked = true;
        let rows = self.rows().await?;
        let mut soon = self.judge_all(&scan, &rows).await?;
        soon |= self.orphans(&scan, &self.rows().await?);
        self.book.forget_the_gone(&scan);
        self.book.store(&self.office.store, 0).await?;
        Ok(Looked { soon })
    }

    async fn scan(&self) -> io::Result<Scan> {
        let (dir, last) = (self.dir.clone(), Arc::clone(&self.last));
        // The configuration may lie beside schedules, and is none.
        let config = std::path::absolute(&self.office.config.path).ok();
        let own = config.filter(|path| path.parent() == Some(&dir));
        let own = own.and_then(|path| path.file_name()?.to_str().map(str::to_owned));
        tokio::task::spawn_blocking(move || scan(&dir, &last, own.as_deref())).await.map_err(io::Error::other)?
    }

    async fn rows(&self) -> Result<Rows, StoreError> {
        let rows = self.office.store.filed(self.office.clock.now()).await?;
        Ok(Rows { by_name: rows.into_iter().map(|row| (row.name.clone(), row)).collect() })
    }

    /// The folder itself is not there, or may not be read: nothing else is known, so nothing else changes.
    async fn cannot_read(&mut self, error: &io::Error) -> Result<Looked, StoreError> {
        let now = self.office.clock.monotonic();
        let since = *self.unread.get_or_insert(now);
        // Between two versions of it, it may be gone for a moment.
        if now - since >= QUIET {
            let detail = match error.kind() {
                io::ErrorKind::NotFound => say!("folder_missing"),
                io::ErrorKind::PermissionDenied => say!("folder_forbidden"),
                _ => say!("folder_unreadable", why = error.to_string()),
            };
            self.tell("", None, Bad { digest: None, code: "no_file", detail });
            self.book.store(&self.office.store, 0).await?;
        }
        Ok(Looked { soon: now - since < QUIET })
    }

    fn folder_is_read(&mut self, scan: &Scan) {
        match scan.more {
            true => {
                let detail = say!("folder_too_many", most = MOST_FILES);
                self.tell("", None, Bad { digest: None, code: "too_large", detail });
            }
            false => self.book.solve(""),
        }
    }

    /// Takes in what has changed since the last look.
    fn notice(&mut self, scan: &Arc<Scan>) {
        let (now, wall) = (self.office.clock.monotonic(), self.office.clock.now());
        self.known.retain(|name, _| scan.files.contains_key(name));
        for (name, seen) in &scan.files {
            if self.last.files.get(name) == Some(seen) && self.known.contains_key(name) {
                continue;
            }
            let is_old = !self.has_looked && seen.changed_at().is_some_and(|at| at <= wall - OLD);
            let since = if is_old { now - QUIET } else { now };
            let before = self.known.get(name).filter(|known| now - known.since < QUIET);
            let restless = before.map_or(now, |known| known.restless);
            self.known.insert(name.clone(), Known { since, restless, state: State::New });
        }
        self.last = Arc::clone(scan);
    }

    fn is_quiet(&self, name: &str) -> bool {
        self.known.get(name).is_some_and(|known| self.office.clock.monotonic() - known.since >= QUIET)
    }

    /// Schedule → the file that has its name: of several that are quiet the first by path.
    fn owners<'s>(&self, scan: &'s Scan) -> BTreeMap<&'s str, &'s str> {
        let quiet = scan.files.iter().filter(|(name, _)| self.is_quiet(name));
        let named = quiet.filter_map(|(name, seen)| Some((seen.named.schedule.as_deref()?, name.as_str())));
        named.rev().collect()
    }

    /// Judges what is to be judged: first what is new, then what is tried again. Answers whether something waits.
    async fn judge_all(&mut self, scan: &Scan, rows: &Rows) -> Result<bool, StoreError> {
        let owners = self.owners(scan);
        let (mut waits, mut again) = (false, Vec::new());
        for (name, seen) in &scan.files {
            if !self.is_quiet(name) {
                self.tell_if_restless(name, seen);
                waits = true;
                continue;
            }
            let schedule = seen.named.schedule.as_deref();
            if let Some(owner) = schedule.and_then(|schedule| owners.get(schedule)).filter(|owner| *owner != name) {
                let detail = say!("name_taken_by_file", name = schedule, path = self.book.path(owner));
                self.tell(name, Some(seen), Bad { digest: None, code: "name_taken", detail });
                self.set(name, State::New);
                continue;
            }
            let row = schedule.and_then(|schedule| rows.by_name.get(schedule));
            let case = Case { dir: &self.dir.clone(), name, seen, row, again: false };
            match self.needs(&case) {
                Need::Nothing => {}
                Need::Found(digest) => self.settle(&case, Verdict::Fine { digest, loaded: None }),
                Need::Judgement => waits |= self.judge(&case).await,
                Need::Again => again.push(name),
            }
            self.book.store(&self.office.store, STORED).await?;
        }
        let begun = self.office.clock.monotonic();
        for name in again {
            if self.office.clock.monotonic() - begun >= RETRYING {
                return Ok(true);
            }
            let seen = &scan.files[name];
            let row = seen.named.schedule.as_ref().and_then(|schedule| rows.by_name.get(schedule));
            let fine = match self.known.get(name).map(|known| &known.state) {
                Some(State::Fine { digest, .. }) => Some(digest.clone()),
                _ => None,
            };
            let case = Case { dir: &self.dir.clone(), name, seen, row, again: fine.is_some() };
            match fine {
                Some(digest) if !self.lacks_consents(&case).await? => {
                    self.set(name, State::Fine { digest, tried: Some(self.office.clock.monotonic()), over: true });
                }
                _ => drop(self.judge(&case).await),
            }
            self.book.store(&self.office.store, STORED).await?;
        }
        Ok(waits)
    }

    /// What is to be done about a quiet file.
    fn needs(&self, case: &Case<'_>) -> Need {
        let (now, wall) = (self.office.clock.monotonic(), self.office.clock.now());
        match self.known.get(case.name).map(|known| &known.state) {
            None => Need::Nothing,
            Some(State::New) => Need::Judgement,
            // Somebody has loaded it by hand, with what the folder may not.
            Some(State::Bad { digest: Some(digest), .. }) if case.is_loaded(&self.office, digest) => {
                Need::Found(digest.clone())
            }
            Some(State::Bad { tried, .. }) if now - tried >= RETRY => Need::Again,
            Some(State::Bad { .. }) => Need::Nothing,
            Some(State::Fine { digest, tried, over }) => {
                let Some(row) = case.row.filter(|row| !is_replaced(row, digest)) else { return Need::Judgement };
                let since = match tried {
                    Some(tried) => now - tried,
                    None => row.loaded_at.map_or(RETRY, |at| wall - at),
                };
                let may_gain = !over && !row.cancelled && !row.recurs;
                match () {
                    () if row.orphaned_at.is_some() && row.path == case.path() => Need::Found(digest.clone()),
                    () if may_gain && since >= RETRY => Need::Again,
                    () => Need::Nothing,
                }
            }
        }
    }

    /// Whether the last load of a schedule left somebody out who had no consent.
    async fn lacks_consents(&self, case: &Case<'_>) -> Result<bool, StoreError> {
        let Some(row) = case.row else { return Ok(false) };
        let stored = self.office.store.schedule(&row.name).await?;
        let report = stored.and_then(|row| row.report).unwrap_or_default();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap_or_default();
        Ok(report["reminders"]["no_consent"].as_u64().is_some_and(|n| n > 0))
    }

    /// Judges a file, and takes in what it came to. Answers whether it waits.
    async fn judge(&mut self, case: &Case<'_>) -> bool {
        match case.judge(&self.office).await {
            Ok(verdict) => {
                let waits = matches!(verdict, Verdict::Changed);
                self.settle(case, verdict);
                waits
            }
            // It stays as it is, and is tried again.
            Err(failure) => {
                let why = match failure {
                    Failure::Store(error) => error.message().to_string(),
                    Failure::Disk(error) => error.to_string(),
                };
                tracing::warn!(
                    file = case.name,
                    why,
                    "a file of the watched folder could not be loaded now; it is tried again"
                );
                false
            }
        }
    }

    fn settle(&mut self, case: &Case<'_>, verdict: Verdict) {
        let now = self.office.clock.monotonic();
        let state = match verdict {
            // What has changed is seen by the next look.
            Verdict::Changed => {
                if let Some(known) = self.known.get_mut(case.name) {
                    (known.since, known.state) = (now, State::New);
                }
                return;
            }
            Verdict::Busy => return,
            Verdict::Bad(bad) => {
                let digest = bad.digest.clone();
                self.tell(case.name, Some(case.seen), bad);
                State::Bad { digest, tried: now }
            }
            Verdict::Fine { digest, loaded } => {
                loaded.iter().for_each(|loaded| log(case, loaded));
                let row = case.row.filter(|row| loaded.is_none() && (row.orphaned_at.is_some() || !row.in_folder));
                row.iter().for_each(|row| self.book.is_there(row.id));
                self.book.solve(case.name);
                State::Fine { digest, tried: (loaded.is_some() || case.again).then_some(now), over: false }
            }
            Verdict::Over { digest } => State::Fine { digest, tried: Some(now), over: true },
        };
        self.set(case.name, state);
    }

    fn set(&mut self, name: &str, state: State) {
        if let Some(known) = self.known.get_mut(name) {
            known.state = state;
        }
    }

    /// Makes orphans of the schedules whose files are gone. Answers whether it has to wait for one.
    fn orphans(&mut self, scan: &Scan, rows: &Rows) -> bool {
        let now = self.office.clock.monotonic();
        let named: BTreeSet<&str> = scan.files.values().filter_map(|seen| seen.named.schedule.as_deref()).collect();
        let mut waits = false;
        let here =
            rows.by_name.values().filter(|row| row.in_folder && Path::new(&row.path).parent() == Some(&self.dir));
        for row in here {
            let file = Path::new(&row.path).file_name().and_then(|name| name.to_str());
            // A file of which not even the name can be read changes nothing.
            let unnamed = file.and_then(|file| scan.files.get(file)).is_some_and(|seen| seen.named.schedule.is_none());
            // Beyond the files that are read there may be this one.
            let is_named = named.contains(row.name.as_str());
            if is_named || unnamed || scan.more {
                self.gone.remove(&row.id);
                if row.orphaned_at.is_some() && is_named {
                    tracing::info!(schedule = row.name, "the file is back in the watched folder");
                    self.book.is_there(row.id);
                }
                continue;
            }
            if row.orphaned_at.is_some() || row.cancelled {
                continue;
            }
            if now - *self.gone.entry(row.id).or_insert(now) < QUIET {
                waits = true;
                continue;
            }
            self.gone.remove(&row.id);
            tracing::warn!(
                schedule = row.name,
                path = row.path,
                "the file is gone from the watched folder: what waits still goes; to cancel it: tixing schedules cancel {}",
                row.name
            );
            self.book.is_gone(row.id, &row.path);
        }
        waits
    }

    fn tell(&mut self, name: &str, seen: Option<&Seen>, bad: Bad) {
        self.book.tell(name, seen, bad, self.office.clock.now());
    }

    /// Tells of a file that never stands still.
    fn tell_if_restless(&mut self, name: &str, seen: &Seen) {
        let now = self.office.clock.monotonic();
        if self.known.get(name).is_some_and(|known| now - known.restless >= RESTLESS) {
            self.tell(name, Some(seen), Bad { digest: None, code: "busy", detail: say!("folder_restless") });
        }
    }
}

/// Whether a schedule is no longer what its file of this digest says: it was replaced over HTTP, or such a load was cut off. The folder is
/// the truth, so the file is loaded again. What another file says is left alone: another daemon may have a folder of its own, and the two
/// would replace each other's without end.
fn is_replaced(row: &Filed, digest: &str) -> bool {
    row.path.is_empty() || (row.incomplete && row.digest == digest)
}

/// A file was loaded. The folder asks nobody before it removes a few people, so that is said as loudly as a problem.
fn log(case: &Case<'_>, loaded: &Loaded) {
    let (new, changed, removed) = (loaded.new, loaded.changed, loaded.removed);
    let (schedule, file) = (case.seen.named.schedule.as_deref(), case.name);
    if case.row.is_some_and(|row| row.path.is_empty()) {
        tracing::warn!(schedule, file, "what came over HTTP is replaced: the watched folder is the truth");
    }
    tracing::info!(schedule, file, new, changed, removed, "a file of the watched folder is loaded");
    if removed > 0 {
        tracing::warn!(schedule, file, removed, "the file no longer has them, so they are cancelled; nobody was asked");
    }
}

/// What a quiet file needs.
enum Need {
    Nothing,
    /// It is the schedule's file of this digest, and loaded, whatever was said before.
    Found(String),
    Judgement,
    Again,
}
