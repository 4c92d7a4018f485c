//! The folder's files, reached from the folder alone: the system follows no link that leads out of it, whoever changes links meanwhile.

use crate::{
    schedule::{file::MOST_BYTES, problem::Problem},
    words::say,
};
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2},
    io::Errno,
};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// The system asks to try again while others rename; so often it is done.
const TRIES: usize = 16;

/// What changes with a file: another one under its name, its length, its content, its permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    /// Its length in bytes.
    pub size: u64,
    modified: (i64, i64),
    /// When anything of it changed, in UTC milliseconds. Nobody can set it.
    pub changed_at: i64,
    changed_ns: i64,
}

impl Stamp {
    #[expect(clippy::unnecessary_cast, reason = "the types differ from machine to machine")]
    fn of(stat: &Stat) -> Self {
        let (seconds, ns) = (stat.st_ctime as i64, stat.st_ctime_nsec as i64);
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed_at: seconds.saturating_mul(1_000).saturating_add(ns / 1_000_000),
            changed_ns: ns,
        }
    }
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is none, or it is a link to nothing.
    Missing,
    /// Its name, or a link on the way to it, leads out of the folder.
    Outside,
    /// It is a folder.
    Folder,
    /// It is a pipe, a socket or a device.
    Device,
    /// Its permissions forbid it.
    Forbidden,
    /// It has so many bytes, more than a schedule may have.
    TooLarge(u64),
    /// Its name is not UTF-8.
    BadName,
    /// Anything else, in the system's words.
    Unreadable(String),
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR => Self::Missing,
            // A link that leads out; a link that the system itself makes up; a circle of links.
            Errno::XDEV | Errno::LOOP => Self::Outside,
            Errno::ACCESS | Errno::PERM => Self::Forbidden,
            Errno::NXIO | Errno::NODEV => Self::Device,
            other => Self::Unreadable(io::Error::from(other).to_string()),
        }
    }
}

impl Fault {
    /// What is wrong with the file of this name.
    pub fn problem(&self, name: &str) -> Problem {
        let (code, detail) = match self {
            Self::Missing => ("no_file", say!("sheet_file_missing")),
            Self::Outside => ("outside_folder", say!("folder_link_out")),
            Self::Folder => ("no_file", say!("folder_file_is_folder")),
            Self::Device => ("no_file", say!("sheet_is_device")),
            Self::Forbidden => ("no_file", say!("sheet_file_forbidden")),
            Self::TooLarge(found) => ("too_large", say!("file_too_large", found = found, most = MOST_BYTES)),
            Self::BadName => ("no_file", say!("folder_name_not_utf8")),
            Self::Unreadable(why) => ("no_file", say!("sheet_file_unreadable", why = why)),
        };
        let mut problem = Problem::new(code, detail);
        problem.place.file = Some(name.to_owned());
        problem
    }
}

/// The folder, open.
pub struct Root(OwnedFd);

impl Root {
    /// Opens it.
    ///
    /// # Errors
    /// When it is not there, is no folder, or may not be read.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(open(dir, flags, Mode::empty())?))
    }

    /// How the file of this name stands, without opening it.
    ///
    /// # Errors
    /// Why it cannot be read; permissions are seen by who opens it.
    pub fn stamp(&self, name: &str) -> Result<Stamp, Fault> {
        regular(&self.reach(name, OFlags::PATH)?)
    }

    /// Opens the file of this name. Never waits, whatever stands there.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn file(&self, name: &str) -> Result<(File, Stamp), Fault> {
        // Before it is opened: to open a device may do something.
        self.stamp(name)?;
        let file = self.reach(name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let stamp = regular(&file)?;
        Ok((File::from(file), stamp))
    }

    /// For its list of names.
    pub fn as_dir(&self) -> impl AsFd + '_ {
        self.0.as_fd()
    }

    fn reach(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Fault> {
        let (flags, resolve) = (flags | OFlags::CLOEXEC, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS);
        for _ in 1..TRIES {
            match openat2(&self.0, name, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
        Ok(openat2(&self.0, name, flags, Mode::empty(), resolve)?)
    }
}

fn regular(file: &OwnedFd) -> Result<Stamp, Fault> {
    let stat = fstat(file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Stamp::of(&stat)),
        FileType::Directory => Err(Fault::Folder),
        _ => Err(Fault::Device),
    }
}
