//! The child: this program once more, with a workbook as its standard input and a pipe as its output. It limits itself before it looks at
//! the workbook, so that whatever is in there, the worst that happens is its own end.

use super::{choose::Request, package::MAX_UNPACKED, read::read};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Seek, SeekFrom},
    os::fd::AsFd,
    process::ExitCode,
};

/// The memory that it may take, in bytes.
const MEMORY: u64 = 512 << 20;
/// The allocator reserves addresses that it does not use: so many bytes at once.
const RESERVED: u64 = 3 << 30;
/// The time that its processor may work on it, in seconds.
const SECONDS: u64 = 120;

/// Reads the workbook on standard input as `request` asks, in JSON, and writes its frames to standard output.
pub fn run(request: &str) -> ExitCode {
    match workbook().and_then(|file| limit().and_then(|()| answer(request, file))) {
        Ok(()) => ExitCode::SUCCESS,
        // Who asked has gone, or never was: there is nobody to tell.
        Err(_) => ExitCode::FAILURE,
    }
}

fn limit() -> io::Result<()> {
    let limits = [
        (Resource::Data, MEMORY),
        (Resource::As, MEMORY + RESERVED),
        (Resource::Cpu, SECONDS),
        // It writes no file, leaves no core, and opens nothing. What it has open stays open, however many files the program was given.
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, 0),
    ];
    for (resource, most) in limits {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

fn workbook() -> io::Result<File> {
    let mut file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn answer(request: &str, file: File) -> io::Result<()> {
    let request: Request = serde_json::from_str(request)?;
    let mut to = BufWriter::new(io::stdout().lock());
    read(BufReader::new(file), &request, MAX_UNPACKED, &mut to)
}
