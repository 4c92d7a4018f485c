//! The SQLite file before SQLite sees it: ours, whole, on a local disk, and nobody else's.

use super::{error::OpenError, filesystem};
use crate::words::{Message, say};
use rustix::{
    fs::OFlags,
    process::{Flock, FlockType, Pid, fcntl_getlk},
};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::{NamedTempFile, TempPath};

/// "tixi" in the file's header.
pub const APPLICATION_ID: u32 = 0x7469_7869;
/// What the file that lies beside SQLite's as its write-ahead log has after the whole name.
pub const LOG: &str = "-wal";
/// The same for the one that says how far the store had come.
pub const PROGRESS: &str = "-progress";

/// The right to be the only tixing that has the file: `flock` on the file itself, so that it is one lock by whatever name the file is
/// reached.
///
/// It is taken before SQLite opens the file and given back after SQLite has closed it, and nothing else of this process may open and close
/// the file meanwhile: closing any descriptor of a file drops the POSIX locks that the process has on it, and SQLite's are such.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// The file that `path` names. Through a link, because SQLite keeps its log beside the file and not beside the link.
///
/// # Errors
/// When it is a link to nothing.
pub fn real(path: &Path) -> Result<PathBuf, OpenError> {
    if !path.is_symlink() {
        return Ok(path.to_owned());
    }
    path.canonicalize().map_err(|e| {
        OpenError::Wrong(say!("store_is_dangling_link", file = path.to_string_lossy(), why = e.to_string()))
    })
}

/// Takes the file for this process and looks at its header; `None` if there is no file yet.
///
/// # Errors
/// A sentence: who has it, or what is wrong with it.
pub fn prepare(path: &Path) -> Result<Option<Lock>, OpenError> {
    let folder = folder(path);
    if !folder.is_dir() {
        return Err(OpenError::Wrong(say!("store_without_folder", folder = folder.to_string_lossy())));
    }
    if let Some(doubt) = filesystem::look(folder)? {
        tracing::warn!("{doubt}");
    }
    let Some(lock) = lock(path, File::options().read(true).write(true))? else {
        let left = left_behind(path);
        if left.is_empty() {
            return Ok(None);
        }
        return Err(OpenError::Wrong(say!("store_gone", file = path.to_string_lossy(), left = left)));
    };
    header(&lock.file, path).map_err(|what| left_alone(path, what))?;
    let names = lock.file.metadata().map_or(1, |file| file.nlink());
    if names > 1 {
        return Err(OpenError::Wrong(say!("store_of_many_names", file = path.to_string_lossy(), names = names)));
    }
    Ok(Some(lock))
}

/// A store that is being made, under another name until it is whole.
pub struct New {
    /// What it is called meanwhile.
    pub path: TempPath,
    lock: Lock,
}

impl New {
    /// Begins one for `path`.
    ///
    /// # Errors
    /// Who else makes one, or why it cannot be written.
    pub fn begin(path: &Path) -> Result<Self, OpenError> {
        let new = beside(path, "-new");
        let cannot = |e: io::Error| {
            OpenError::of_file(&e, say!("store_folder_read_only", file = new.to_string_lossy(), why = e.to_string()))
        };
        let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
        let mut how = File::options();
        how.read(true).write(true).create(true).mode(0o600).custom_flags(nofollow);
        how.open(&new).and_then(|made| give_to_folder(&made, &new)).map_err(cannot)?;
        let lock = lock(&new, &how)?.expect("it is created");
        // A first start that was killed has left something.
        lock.file.set_len(0).map_err(cannot)?;
        Ok(Self { path: TempPath::try_from_path(&new).map_err(cannot)?, lock })
    }

    /// Puts it in its place, durably; `None` if there is a store by now.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn finish(self, path: &Path) -> io::Result<Option<Lock>> {
        self.lock.file.sync_all()?;
        match self.path.persist_noclobber(path) {
            Ok(()) => sync_folder(path).map(|()| Some(self.lock)),
            Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(e) => Err(e.error),
        }
    }
}

/// Whether somebody is making a store at this moment.
pub fn is_being_made(path: &Path) -> bool {
    File::open(beside(path, "-new")).is_ok_and(|new| matches!(new.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Takes the file for this process, whatever is in it; `None` if there is none.
///
/// # Errors
/// Who has it, or why it cannot be opened in that way.
pub fn lock(path: &Path, how: &OpenOptions) -> Result<Option<Lock>, OpenError> {
    // A command that has the store for a moment is waited for; a daemon is not.
    for left in (0..9).rev() {
        let file = match how.open(path) {
            Ok(file) => file,
            // `restore` is just about to put another file there.
            Err(e) if e.kind() == ErrorKind::NotFound && left > 0 && !left_behind(path).is_empty() => {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) if e.kind() == ErrorKind::IsADirectory => {
                return Err(left_alone(path, say!("store_file_is_folder")));
            }
            Err(e) if e.kind() == ErrorKind::PermissionDenied => return Err(forbidden(path)),
            Err(e) => return Err(left_alone(path, say!("store_file_unopened", why = e.to_string()))),
        };
        match file.try_lock() {
            Ok(()) if Identity::of(path) == Identity::of_open(&file, path) => return Ok(Some(Lock { file })),
            // `restore` has put another file in its place meanwhile.
            Ok(()) => continue,
            Err(TryLockError::WouldBlock) if left == 0 => return Err(in_use(path, &file)),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            Err(TryLockError::Error(e)) => {
                return Err(left_alone(path, say!("store_file_not_locked", why = e.to_string())));
            }
        }
    }
    let what = say!("store_being_replaced", file = path.to_string_lossy());
    Err(OpenError::InUse { what, by_daemon: false })
}

/// What lies beside the file, or lay beside one that is gone.
fn left_behind(path: &Path) -> Vec<String> {
    let beside = [LOG, PROGRESS].map(|ending| beside(path, ending));
    let there = beside.iter().filter(|file| file.metadata().is_ok_and(|file| file.len() > 0));
    there.map(|file| file.display().to_string()).collect()
}

fn in_use(path: &Path, file: &File) -> OpenError {
    // SQLite's own lock tells whose it is. Where it does not, as in another container, the message is only less helpful.
    let holder = fcntl_getlk(file, &Flock::from(FlockType::WriteLock)).ok().flatten().and_then(|lock| lock.pid);
    let by_daemon = holder.is_some_and(is_daemon);
    let holder = holder.map_or_else(|| say!("store_holder_unknown"), |pid| Message::text(pid.to_string()));
    OpenError::InUse { what: say!("store_file_in_use", file = path.to_string_lossy(), holder = holder), by_daemon }
}

/// Whether a process is a daemon rather than a command that will end. One that cannot be looked at is taken for a command.
fn is_daemon(holder: Pid) -> bool {
    let line = std::fs::read(format!("/proc/{holder}/cmdline")).unwrap_or_default();
    line.split(|b| *b == 0).skip(1).any(|word| word == b"serve" || word == b"demo")
}

/// Root or another user has made the file, or it lies in somebody else's folder.
fn forbidden(path: &Path) -> OpenError {
    let owner = path.metadata().map_or_else(|_| "?".to_owned(), |file| file.uid().to_string());
    OpenError::Wrong(say!(
        "store_file_forbidden",
        file = path.to_string_lossy(),
        owner = owner,
        own = rustix::process::geteuid().as_raw(),
        folder = folder(path).to_string_lossy()
    ))
}

/// Gives a file that lies at `path` to the owner of its folder: root runs commands, and the daemon that opens the file next is another user.
///
/// # Errors
/// When the system does not let it.
pub fn give_to_folder(file: &File, path: &Path) -> io::Result<()> {
    let (folder, own) = (folder(path).metadata()?, file.metadata()?);
    if !rustix::process::geteuid().is_root() || (own.uid(), own.gid()) == (folder.uid(), folder.gid()) {
        return Ok(());
    }
    fchown(file, Some(folder.uid()), Some(folder.gid()))
}

/// A file beside `to`, its owner's alone and locked, that goes away by itself unless it is put in the place of `to`.
///
/// # Errors
/// Why it cannot be made.
pub fn temporary(to: &Path) -> Result<NamedTempFile, Message> {
    let name = to.file_name().ok_or_else(|| say!("store_no_file_named"))?;
    let made = tempfile::Builder::new().prefix(name).suffix(".part").tempfile_in(folder(to));
    let folder = folder(to);
    let made = made.map_err(|e| {
        let (name, kind) = (folder.to_string_lossy(), e.kind());
        match kind {
            ErrorKind::NotFound if !folder.is_dir() => say!("store_no_such_folder", folder = name),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Message::text(kind.to_string()),
            _ => say!("store_folder_takes_no_file", folder = name, why = kind.to_string()),
        }
    })?;
    made.as_file().try_lock().map_err(|e| Message::text(e.to_string()))?;
    Ok(made)
}

/// The folder that a file lies in.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new name is durable when its folder is.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
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

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn of_open(file: &File, path: &Path) -> Option<Self> {
        let file = file.metadata().ok()?;
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

/// Looks at the header of a file, which lies at `path`.
///
/// # Errors
/// What is wrong with it, to follow its name in a sentence.
pub fn header(file: &File, path: &Path) -> Result<Header, Message> {
    let length = file.metadata().map_err(|e| say!("store_file_unread", why = e.to_string()))?.len();
    let mut header = [0; 100];
    if length == 0 {
        return Err(say!("store_file_empty"));
    }
    if file.read_exact_at(&mut header, 0).is_err() || !header.starts_with(b"SQLite format 3\0") {
        return Err(say!("store_file_no_sqlite"));
    }
    let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes"));
    if word(68) != APPLICATION_ID {
        return Err(say!("store_file_foreign"));
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    // The WAL may hold pages that the file does not have yet, so only a file without one can be judged by its length.
    if !beside(path, LOG).exists() && length < u64::from(word(28)) * page_size {
        return Err(say!("store_file_truncated"));
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

fn left_alone(path: &Path, what: Message) -> OpenError {
    OpenError::Wrong(say!("store_left_alone", file = path.to_string_lossy(), what = what))
}

/// The URL that opens a file in a mode (`ro`, `rw`), whatever characters its name has, as long as it is UTF-8.
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
        return Err(OpenError::Wrong(say!("store_sqlite_too_old", version = version)));
    }
    Ok(())
}
