//! What looks at the folder have found out: what is wrong is told once in the log, and stored for all who ask.

use super::{
    judge::Bad,
    scan::{Scan, Seen},
};
use crate::{
    domain::Millis,
    store::{
        Store, StoreError,
        folder::{Findings, FolderProblem},
    },
    words::Message,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// The findings, and what of them is told already.
pub struct Book {
    dir: PathBuf,
    /// What is wrong, by path, as it is stored, and whether this process has logged it.
    told: BTreeMap<String, (FolderProblem, bool)>,
    /// What is not stored yet.
    findings: Findings,
}

impl Book {
    /// Of the folder `dir`; nothing is found out yet.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, told: BTreeMap::new(), findings: Findings::default() }
    }

    /// Takes in what was wrong when the daemon stopped.
    pub fn goes_on_from(&mut self, stored: Vec<FolderProblem>) {
        self.told = stored.into_iter().map(|problem| (problem.path.clone(), (problem, false))).collect();
    }

    /// Where a file lies; without a name, the folder.
    pub fn path(&self, name: &str) -> String {
        let path = if name.is_empty() { self.dir.clone() } else { self.dir.join(name) };
        path.to_string_lossy().into_owned()
    }

    /// Tells what is wrong with a file, or, without a name, with the folder.
    pub fn tell(&mut self, name: &str, seen: Option<&Seen>, bad: Bad, now: Millis) {
        let path = self.path(name);
        let problem = FolderProblem {
            path: path.clone(),
            schedule: seen.and_then(|seen| seen.named.schedule.clone()),
            app: seen.and_then(|seen| seen.named.app.clone()),
            code: bad.code.to_owned(),
            detail: stored(&bad.detail),
            since: now,
        };
        let is_same = |told: &FolderProblem| {
            (&told.code, &told.detail, &told.schedule, &told.app)
                == (&problem.code, &problem.detail, &problem.schedule, &problem.app)
        };
        let before = self.told.get(&path);
        if before.is_none_or(|(told, logged)| !logged || !is_same(told)) {
            tracing::warn!(?path, code = bad.code, "nothing of it is loaded from the watched folder: {}", bad.detail);
        }
        if before.is_none_or(|(told, _)| !is_same(told)) {
            self.findings.problems.push(problem.clone());
        }
        self.told.insert(path, (problem, true));
    }

    /// What was wrong with a file, or with the folder, is right.
    pub fn solve(&mut self, name: &str) {
        let path = self.path(name);
        if self.told.remove(&path).is_some() {
            tracing::info!(?path, "what was wrong in the watched folder is right again");
            self.findings.solved.push(path);
        }
    }

    /// The file of a schedule is there, and as it was loaded.
    pub fn is_there(&mut self, schedule: i64) {
        self.findings.there.push(schedule);
    }

    /// The file of a schedule is gone from its path.
    pub fn is_gone(&mut self, schedule: i64, path: &str) {
        self.findings.gone.push((schedule, path.to_owned()));
    }

    /// What is told of files that are gone is no longer so.
    pub fn forget_the_gone(&mut self, scan: &Scan) {
        let there: BTreeSet<String> = scan.files.keys().map(|name| self.path(name)).collect();
        let own = self.path("");
        let gone: Vec<String> =
            self.told.keys().filter(|path| **path != own && !there.contains(*path)).cloned().collect();
        for path in gone {
            self.told.remove(&path);
            self.findings.solved.push(path);
        }
    }

    /// Stores what was found out, if there is more of it than this. What could not be stored is stored by the next look.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn store(&mut self, store: &Store, more_than: usize) -> Result<(), StoreError> {
        if self.findings.len() <= more_than {
            return Ok(());
        }
        store.tell_folder(self.findings.clone()).await?;
        self.findings = Findings::default();
        Ok(())
    }
}

fn stored(message: &Message) -> String {
    serde_json::to_string(message).expect("messages serialise")
}
