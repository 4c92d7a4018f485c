//! The SQLite file before SQLite sees it: ours, whole, on a local disk, and nobody else's.

use super::OpenError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// "tixi" in the file's header.
pub const APPLICATION_ID: u32 = 0x7469_7869;

/// Held for as long as the daemon lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the file for this process and looks at its header.
///
/// # Errors
/// A sentence: who has it, or what is wrong with it.
pub fn prepare(path: &Path) -> Result<Lock, OpenError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(OpenError::Wrong(format!(
            "the folder {} for the store does not exist: create it",
            folder.display()
        )));
    }
    if let Some(kind) = network_file_system(folder) {
        return Err(OpenError::Wrong(format!(
            "{} lies on a network file system ({kind}), where SQLite's locks do not hold: use a local disk, or PostgreSQL",
            folder.display()
        )));
    }
    let lock = lock(path)?;
    let log = beside(path, "-wal");
    if !path.exists() && log.metadata().is_ok_and(|log| log.len() > 0) {
        return Err(OpenError::Wrong(format!(
            "{} is gone, and its log {} is still there: put the file back, or a backup in its place with `tixing restore`; to begin anew, \
             move the log away",
            path.display(),
            log.display()
        )));
    }
    if path.exists() {
        header(path).map_err(|what| left_alone(path, &what))?;
    }
    if let Err(e) = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path) {
        return Err(left_alone(path, &format!("cannot be written by this user ({e})")));
    }
    Ok(lock)
}

/// Takes the file for this process, whatever is in it.
///
/// # Errors
/// Who has it.
pub fn lock(path: &Path) -> Result<Lock, OpenError> {
    let lock_path = beside(path, ".lock");
    let cannot = |e: std::io::Error| {
        OpenError::Wrong(format!(
            "cannot write beside the store: {}: {e}; check the folder's owner and permissions",
            lock_path.display()
        ))
    };
    let mut file =
        OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&lock_path).map_err(cannot)?;
    // A command that has the store for a moment is waited for; a daemon is not.
    let mut tried = file.try_lock();
    for _ in 0..8 {
        if !matches!(tried, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        tried = file.try_lock();
    }
    match tried {
        Ok(()) => {
            file.set_len(0).map_err(cannot)?;
            write!(file, "{}", std::process::id()).map_err(cannot)?;
            Ok(Lock { _file: file })
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The number is a courtesy; without it the message is only less helpful.
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.is_empty() { "unknown".to_owned() } else { holder };
            Err(OpenError::InUse(format!(
                "{} is in use by another tixing (process {holder}): stop it first, or give this one another store",
                path.display()
            )))
        }
        Err(TryLockError::Error(e)) => Err(cannot(e)),
    }
}

/// Which file it is, whatever its name names later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Identity {
    /// The file at `path`.
    pub fn of(path: &Path) -> Option<Self> {
        let file = path.metadata().ok()?;
        Some(Self { path: path.to_owned(), device: file.dev(), inode: file.ino() })
    }

    /// Whether it still lies where it did. What is written to one that does not is lost with the process.
    pub fn is_there(&self) -> bool {
        Self::of(&self.path).as_ref() == Some(self)
    }
}

/// What the header of a file of ours says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// A store has been opened for writing and keeps a write-ahead log; a backup has not been yet.
    pub wal: bool,
}

/// Looks at the file's header.
///
/// # Errors
/// What is wrong with it, to follow its name in a sentence.
pub fn header(path: &Path) -> Result<Header, String> {
    let wrong = |what: &str| Err(what.to_owned());
    if path.is_dir() {
        return wrong("is a folder");
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return wrong("does not exist"),
        Err(e) => return Err(format!("cannot be read ({e})")),
    };
    let length = file.metadata().map_err(|e| format!("cannot be read ({e})"))?.len();
    let mut header = [0; 100];
    if length == 0 {
        return wrong("exists but is empty");
    }
    if file.read_exact(&mut header).is_err() || !header.starts_with(b"SQLite format 3\0") {
        return wrong("is not a tixing store (not an SQLite file)");
    }
    let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes"));
    if word(68) != APPLICATION_ID {
        return wrong("is an SQLite file of another program");
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    // The WAL may hold pages that the file does not have yet, so only a file without one can be judged by its length.
    if !beside(path, "-wal").exists() && length < u64::from(word(28)) * page_size {
        return wrong("is truncated");
    }
    // The version that must be understood to write to it: 2 means a write-ahead log.
    Ok(Header { wal: header[18] == 2 })
}

/// The file beside `path` that has `ending` after its whole name.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn left_alone(path: &Path, what: &str) -> OpenError {
    OpenError::Wrong(format!(
        "{} {what}; it is left as it is: name another file, or put a backup in its place with `tixing restore`",
        path.display()
    ))
}

/// The URL that opens a file in a mode (`ro`, `rw`, `rwc`), whatever characters its name has, as long as it is UTF-8.
pub fn url(path: &Path, mode: &str) -> String {
    let path = path.display().to_string();
    let path = path.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite:{path}?mode={mode}")
}

/// SQLite before 3.51.3 can corrupt a WAL file when two connections write.
///
/// # Errors
/// When `version` is older.
pub fn check_version(version: &str) -> Result<(), OpenError> {
    let numbers: Vec<u32> = version.split('.').filter_map(|n| n.parse().ok()).collect();
    if numbers.as_slice() < [3, 51, 3].as_slice() {
        return Err(OpenError::Wrong(format!(
            "this build has SQLite {version}; at least 3.51.3 is needed: build with the bundled one"
        )));
    }
    Ok(())
}

/// The type of the file system under `folder` if it is one that is reached over a network.
fn network_file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let (_, kind) = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(at, _)| folder.starts_with(at))
        .max_by_key(|(at, _)| at.len())?;
    let network = ["nfs", "cifs", "smb", "9p", "afs", "ceph", "gluster", "fuse.sshfs", "lustre"];
    network.iter().any(|n| kind.starts_with(n)).then(|| kind.to_owned())
}
