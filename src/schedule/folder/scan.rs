//! What lies in the folder now: its schedules' files, what they name, and how they and their tables stand. It blocks.

use super::inside::{Fault, Root, Stamp};
use crate::schedule::{file::MOST_BYTES, gather::leads_out, named::Named};
use rustix::fs::Dir;
use std::{
    collections::{BTreeMap, BinaryHeap},
    ffi::CStr,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

/// So many files are read, the first by their names.
pub const MOST_FILES: usize = 10_000;

/// What lies in the folder.
#[derive(Debug, Default)]
pub struct Scan {
    /// The files by their names.
    pub files: BTreeMap<String, Seen>,
    /// There are more than are read.
    pub more: bool,
}

/// How a file and its tables stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The file.
    pub stamp: Result<Stamp, Fault>,
    /// What it names.
    pub named: Arc<Named>,
    /// Its tables, in the order of their names.
    pub tables: Vec<Result<Stamp, Fault>>,
}

impl Seen {
    /// When anything of it changed last, in UTC milliseconds; `None` if that can't be told.
    pub fn changed_at(&self) -> Option<i64> {
        let stamps = std::iter::once(&self.stamp).chain(&self.tables);
        stamps.map(|stamp| stamp.as_ref().ok().map(|stamp| stamp.changed_at)).max_by_key(|at| at.unwrap_or(i64::MAX))?
    }
}

/// Looks at the folder. `last` is what was seen before; a file that stands as it did is not read again. The file `own` is passed over.
///
/// # Errors
/// When the folder cannot be read.
pub fn scan(dir: &Path, last: &Scan, own: Option<&str>) -> io::Result<Scan> {
    let root = Root::open(dir)?;
    let (names, more) = names(&root)?;
    let names = names.into_iter().filter(|(name, _)| Some(name.as_str()) != own);
    let files = names.map(|(name, sound)| {
        let seen = match sound {
            true => see(&root, &name, last.files.get(&name)),
            false => Seen { stamp: Err(Fault::BadName), named: Arc::default(), tables: Vec::new() },
        };
        (name, seen)
    });
    Ok(Scan { files: files.collect(), more })
}

/// The names of schedules' files, each with whether it is UTF-8, and whether there are more.
fn names(root: &Root) -> io::Result<(Vec<(String, bool)>, bool)> {
    // The last by name lies on top, and is the one that goes.
    let (mut names, mut more) = (BinaryHeap::with_capacity(64), false);
    for entry in Dir::read_from(root.as_dir())? {
        let entry = entry?;
        if !is_schedule(entry.file_name()) {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        names.push((name, entry.file_name().to_str().is_ok()));
        if names.len() > MOST_FILES {
            more = true;
            names.pop();
        }
    }
    Ok((names.into_sorted_vec(), more))
}

/// Whether a file of this name is read. What begins with a dot is hidden, or an editor's; with `~$`, a spreadsheet's.
fn is_schedule(name: &CStr) -> bool {
    let name = name.to_bytes();
    name.ends_with(b".toml") && !name.starts_with(b".") && !name.starts_with(b"~$")
}

fn see(root: &Root, name: &str, last: Option<&Seen>) -> Seen {
    let mut stamp = root.stamp(name);
    let named = match (&stamp, last) {
        (Ok(_), Some(last)) if last.stamp == stamp => Arc::clone(&last.named),
        (Ok(_), _) => match text(root, name) {
            Ok((text, of)) => {
                stamp = Ok(of);
                Arc::new(Named::of(&String::from_utf8_lossy(&text)))
            }
            Err(fault) => {
                stamp = Err(fault);
                Arc::default()
            }
        },
        (Err(_), _) => Arc::default(),
    };
    let table = |name: &String| if leads_out(name) { Err(Fault::Outside) } else { root.stamp(name) };
    let tables = named.tables.iter().map(table).collect();
    Seen { stamp, named, tables }
}

/// The bytes of a schedule's file, and how it stood just before they were read.
///
/// # Errors
/// Why it cannot be read, `TooLarge` among them.
pub fn text(root: &Root, name: &str) -> Result<(Vec<u8>, Stamp), Fault> {
    let (file, stamp) = root.file(name)?;
    let most = MOST_BYTES as u64;
    let mut bytes = Vec::new();
    if stamp.size <= most {
        file.take(most + 1).read_to_end(&mut bytes).map_err(|e| Fault::Unreadable(e.to_string()))?;
    }
    if stamp.size > most || bytes.len() > MOST_BYTES {
        return Err(Fault::TooLarge(stamp.size.max(bytes.len() as u64)));
    }
    Ok((bytes, stamp))
}
