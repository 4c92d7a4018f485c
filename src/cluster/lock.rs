//! The file that a node keeps locked as long as it runs. The kernel gives the lock back at its end, however it ends: whoever gets it, and finds in the
//! file what that node wrote there, has proved that it is gone.

use crate::{domain::node::SILENCE, store::nodes::Trace};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The lock of this process.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    /// What the one before has left in it.
    before: String,
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).open(path)
}

/// The start of this machine: another after each.
pub fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The machine's id; empty where it has none.
pub fn machine() -> String {
    std::fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned()
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// When another process has it, or the file can't be made.
    pub fn take(path: &Path) -> io::Result<Self> {
        let mut file = open(path, true)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let mut before = String::new();
        file.read_to_string(&mut before)?;
        Ok(Self { file, path: path.to_owned(), before })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether what a node has left proves that it is gone: this process has its lock, or could have it.
    pub fn proves_gone(&self, trace: &Trace) -> bool {
        if trace.secret.is_empty() || trace.lock.is_empty() {
            return false;
        }
        if Path::new(&trace.lock) == self.path {
            return self.before == trace.secret;
        }
        let Ok(mut file) = open(Path::new(&trace.lock), false) else { return false };
        let mut text = String::new();
        // Read before it is locked: a node that starts just now writes under its lock.
        let is_its = file.read_to_string(&mut text).is_ok() && text == trace.secret;
        is_its && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
    }

    /// Writes what only this process knows.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn sign(&mut self, secret: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(secret.as_bytes())?;
        self.file.sync_all()
    }
}

/// Whether it is proved that a node is gone by that this machine was started anew since. Its lock may be away with the machine's memory. Machines
/// that share one id would prove it falsely, so it must have been silent besides.
pub fn restarted(trace: &Trace) -> bool {
    let (machine, boot) = (machine(), boot());
    let another_start = !machine.is_empty() && !boot.is_empty() && trace.machine == machine && trace.boot != boot;
    another_start && trace.silent_for > SILENCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::node::NodeId;

    #[test]
    fn only_who_holds_its_lock_and_reads_its_secret_knows_that_a_node_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let [here, there] = ["a.lock", "b.lock"].map(|name| folder.path().join(name));
        let trace = |path: &Path, secret: &str| Trace {
            id: NodeId(1),
            machine: "m".into(),
            boot: "b".into(),
            lock: path.display().to_string(),
            secret: secret.into(),
            silent_for: 0,
        };
        let mut first = Lock::take(&here).expect("free");
        first.sign("one").expect("written");
        assert!(Lock::take(&here).is_err(), "it runs");
        let mut second = Lock::take(&there).expect("free");
        second.sign("two").expect("written");
        assert!(!second.proves_gone(&trace(&here, "one")), "it runs");
        drop(first);
        assert!(second.proves_gone(&trace(&here, "one")));
        assert!(!second.proves_gone(&trace(&here, "other")), "another's file");
        assert!(!second.proves_gone(&trace(&folder.path().join("c.lock"), "one")), "no file proves nothing");
        let again = Lock::take(&here).expect("free");
        assert!(again.proves_gone(&trace(&here, "one")) && !again.proves_gone(&trace(&here, "")));
    }
}
