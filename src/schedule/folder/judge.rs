//! One file of the folder: it is loaded, or it is said what is wrong with it.

use super::{
    scan::Seen,
    snapshot::{Snapshot, Unread},
};
use crate::{
    domain::schedule::Change,
    schedule::{
        compare::Failure,
        load::{Loaded, Office, Options, Planning, Progress},
        plan::Plan,
        problem::Problem,
    },
    store::folder::{BY, Filed},
    words::{Message, say},
};
use std::{io, path::Path, sync::Arc};

/// What a file came to.
pub enum Verdict {
    /// The schedule is what the file says.
    Fine {
        /// Of the file and its tables.
        digest: String,
        /// What was written; nothing, if it was loaded before.
        loaded: Option<Loaded>,
    },
    /// It was tried again, and nobody is left who may yet consent in time.
    Over {
        /// Of the file and its tables.
        digest: String,
    },
    /// It can't be loaded, and nothing was changed.
    Bad(Bad),
    /// Something of it has changed meanwhile: it is looked at again once it is quiet.
    Changed,
    /// Something else is being done to the schedule: it is tried at the next look.
    Busy,
}

/// What is wrong with a file.
pub struct Bad {
    /// Of the file and its tables, if they could be read.
    pub digest: Option<String>,
    /// Stable machine-readable name.
    pub code: &'static str,
    /// The sentence.
    pub detail: Message,
}

impl Bad {
    /// By one problem that was found before the file was planned.
    pub fn of(problem: &Problem, own: &str) -> Self {
        // Of a table, its name belongs to what is said.
        let table = problem.place.file.as_deref().filter(|file| *file != own);
        let detail = match table {
            Some(table) => say!("folder_of_table", table = table, what = problem.detail),
            None => problem.detail.clone(),
        };
        Self { digest: None, code: problem.code, detail }
    }
}

/// What a file is judged by.
pub struct Case<'a> {
    /// The folder.
    pub dir: &'a Path,
    /// The file's name.
    pub name: &'a str,
    /// How it stands.
    pub seen: &'a Seen,
    /// The schedule of the name that it gives, if there is one.
    pub row: Option<&'a Filed>,
    /// It is loaded already, and tried again for those who had no consent.
    pub again: bool,
}

impl Case<'_> {
    /// Where it lies.
    pub fn path(&self) -> String {
        self.dir.join(self.name).to_string_lossy().into_owned()
    }

    /// Whether the schedule is what a file of this digest says, and its load came to its end.
    pub fn is_loaded(&self, office: &Office, digest: &str) -> bool {
        self.row.is_some_and(|row| {
            let app = office.config.apps.iter().find(|app| app.name == row.app);
            // What has left the configuration is told, as it would be of a new file.
            let is_known = app.is_some_and(|app| app.template(&row.template).is_some());
            is_known && row.digest == digest && row.path == self.path() && !row.incomplete
        })
    }

    /// Judges the file.
    ///
    /// # Errors
    /// When the store or the disk does not answer; what was written stays, and the same file completes it.
    pub async fn judge(&self, office: &Office) -> Result<Verdict, Failure> {
        let (dir, name, seen) = (self.dir.to_owned(), self.name.to_owned(), self.seen.clone());
        let taken = blocking(move || Snapshot::take(&dir, &name, &seen)).await?;
        let snapshot = match taken {
            Ok(snapshot) => Arc::new(snapshot),
            Err(Unread::Changed) => return Ok(Verdict::Changed),
            Err(Unread::Problem(problem)) => return Ok(Verdict::Bad(Bad::of(&problem, self.name))),
        };
        if !self.again && self.is_loaded(office, &snapshot.digest) {
            return Ok(Verdict::Fine { digest: snapshot.digest.clone(), loaded: None });
        }
        if self.row.is_some_and(|row| row.busy) {
            return Ok(Verdict::Busy);
        }
        self.load(office, snapshot).await
    }

    async fn load(&self, office: &Office, snapshot: Arc<Snapshot>) -> Result<Verdict, Failure> {
        let digest = snapshot.digest.clone();
        let options = Options { by: BY.into(), digest: Some(digest.clone()), in_folder: true, ..Options::default() };
        let progress: Progress = Arc::new(|_, _| {});
        let input = Arc::new(snapshot.input.clone());
        let mut planning = office.plan(Arc::clone(&input), &options, &progress).await?;
        // What was read is whole if nothing has changed until here: a load reads nothing more.
        if !blocking(move || snapshot.still_stands()).await? {
            return Ok(Verdict::Changed);
        }
        let refused = self.refused(&planning.plan, &digest);
        let Planning { plan, .. } = &planning;
        if self.again && (refused.is_some() || !writes(plan)) {
            // That by now rows are late, or a strict file has late rows, is no news: the file was right when it was loaded.
            return Ok(match plan.count(Change::NoConsent) {
                0 => Verdict::Over { digest },
                _ => Verdict::Fine { digest, loaded: None },
            });
        }
        if let Some(verdict) = refused {
            return Ok(verdict);
        }
        let loaded = office.load(&input, &mut planning, &options, &progress).await?;
        Ok(match (loaded, self.refused(&planning.plan, &digest)) {
            (_, Some(verdict)) => verdict,
            (loaded, None) => Verdict::Fine { digest, loaded },
        })
    }

    /// Why a planned file is not loaded, if it is not.
    fn refused(&self, plan: &Plan, digest: &str) -> Option<Verdict> {
        let first = plan.problems.list.first();
        if plan.refused {
            let Some(first) = first else { return Some(Verdict::Changed) };
            return Some(match first.code {
                "busy" => Verdict::Busy,
                "plan_changed" => Verdict::Changed,
                code => Verdict::Bad(Bad {
                    digest: Some(digest.to_owned()),
                    code,
                    detail: self.said(first, plan.problems.len()),
                }),
            });
        }
        let rows = &plan.rows;
        (plan.strict && rows.refused > 0).then(|| {
            let detail = say!("folder_strict", refused = rows.refused, read = rows.read, path = shell(&self.path()));
            let code = first.map_or("bad_value", |problem| problem.code);
            Verdict::Bad(Bad { digest: Some(digest.to_owned()), code, detail })
        })
    }

    /// The sentence for a file that is refused: the first of so many problems, where it is, and the command that may do what the folder may not.
    fn said(&self, first: &Problem, all: u64) -> Message {
        let place = &first.place;
        let table = place.file.as_deref().filter(|file| *file != self.name);
        let what = match (place.line, table, place.row) {
            (Some(line), ..) => say!("folder_at_line", line = line, what = first.detail),
            (None, Some(table), Some(row)) => {
                say!("folder_of_row", table = table, row = row, what = first.detail)
            }
            (None, Some(table), None) => say!("folder_of_table", table = table, what = first.detail),
            _ => first.detail.clone(),
        };
        match (first.code, all) {
            ("removes_too_many", _) => {
                say!("folder_may_not", path = shell(&self.path()), option = "--allow-removals", what = what)
            }
            ("cancelled", _) => say!("folder_may_not", path = shell(&self.path()), option = "--revive", what = what),
            (_, 0 | 1) => what,
            (_, all) => say!("folder_and_more", n = all - 1, path = shell(&self.path()), what = what),
        }
    }
}

/// A path as a shell reads it, for a command that somebody copies.
fn shell(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%,:".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// Whether a load of what was planned would write anything of a reminder.
fn writes(plan: &Plan) -> bool {
    !plan.refused && [Change::New, Change::Changed, Change::Removed].into_iter().any(|change| plan.count(change) > 0)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?)
}

#[cfg(test)]
mod tests {
    use super::shell;

    #[test]
    fn a_command_that_is_copied_runs_nothing_else() {
        for (path, quoted) in [
            ("/s/spring-1.toml", "/s/spring-1.toml"),
            ("/s/春季.toml", "/s/春季.toml"),
            ("/s/odd name; touch x.toml", "'/s/odd name; touch x.toml'"),
            ("/s/it's.toml", "'/s/it'\\''s.toml'"),
        ] {
            assert_eq!(shell(path), quoted);
        }
    }
}
