//! A file and its tables, open as they stood when they were seen. Nothing is copied: what is read is right if all still stand so afterwards,
//! and is thrown away if they do not.

use super::{
    inside::{Fault, Root},
    scan::{Seen, text},
};
use crate::schedule::{
    gather::{self, Input, leads_out},
    named::Named,
    problem::Problem,
};
use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

/// A file and its tables, open.
pub struct Snapshot {
    /// As a load takes them.
    pub input: Input,
    /// SHA-256 of all, as a load computes it.
    pub digest: String,
    dir: PathBuf,
    name: String,
    seen: Seen,
    /// The paths of `input` lead to these.
    _open: Vec<File>,
}

/// Why there is none.
pub enum Unread {
    /// Something has changed since it was seen.
    Changed,
    /// Something cannot be read.
    Problem(Box<Problem>),
}

impl Snapshot {
    /// Opens the file of this name and its tables. It blocks.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn take(dir: &Path, name: &str, seen: &Seen) -> Result<Self, Unread> {
        let fault = |name: &str, fault: &Fault| Unread::Problem(Box::new(fault.problem(name)));
        if let Err(why) = &seen.stamp {
            return Err(fault(name, why));
        }
        let root = Root::open(dir).map_err(|_| Unread::Changed)?;
        let (bytes, stamp) = text(&root, name).map_err(|_| Unread::Changed)?;
        if Ok(stamp) != seen.stamp {
            return Err(Unread::Changed);
        }
        let mut input = Input { name: name.to_owned(), inside: true, has_schedule: true, ..Input::default() };
        input.path = Some(dir.join(name).to_string_lossy().into_owned());
        (input.text, input.not_utf8) = gather::text(&bytes);
        if Named::of(&input.text) != *seen.named {
            return Err(Unread::Changed);
        }
        let mut open = Vec::new();
        for (table, stood) in seen.named.tables.iter().zip(&seen.tables) {
            // That a name leads out, or that there is no such file, is a mistake of the line that says so.
            if leads_out(table) || *stood == Err(Fault::Missing) {
                continue;
            }
            let (file, stamp) = root.file(table).map_err(|why| fault(table, &why))?;
            if Ok(stamp) != *stood {
                return Err(Unread::Changed);
            }
            input.tables.insert(table.clone(), format!("/proc/self/fd/{}", file.as_raw_fd()).into());
            open.push(file);
        }
        let unreadable = |e: io::Error| fault(name, &Fault::Unreadable(e.to_string()));
        let digest = gather::digest(&input).map_err(unreadable)?;
        Ok(Self { input, digest, dir: dir.to_owned(), name: name.to_owned(), seen: seen.clone(), _open: open })
    }

    /// Whether all still stand as they did. It blocks.
    pub fn still_stands(&self) -> bool {
        let Ok(root) = Root::open(&self.dir) else { return false };
        let table = |name: &String| if leads_out(name) { Err(Fault::Outside) } else { root.stamp(name) };
        root.stamp(&self.name) == self.seen.stamp
            && self.seen.named.tables.iter().map(table).eq(self.seen.tables.iter().cloned())
    }
}
