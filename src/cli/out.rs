//! Data goes to stdout, talk to stderr, and a reader that goes away ends neither the work nor the program in a panic.

use std::{
    fmt::Arguments,
    io::{Error, ErrorKind, Write, stderr, stdout},
    sync::OnceLock,
};

/// Why stdout took no more, the first time.
static LOST: OnceLock<Error> = OnceLock::new();

/// Writes a line of data to stdout.
macro_rules! data {
    ($($text:tt)*) => { $crate::cli::out::line(format_args!($($text)*)) };
}

/// Writes a line of talk to stderr.
macro_rules! talk {
    ($($text:tt)*) => { $crate::cli::out::talk_line(format_args!($($text)*)) };
}

pub(super) use {data, talk};

/// A number of things in English.
pub fn some(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

pub fn line(text: Arguments<'_>) {
    if LOST.get().is_none()
        && let Err(e) = writeln!(stdout(), "{text}")
    {
        // Only the first is told; there is nobody else to tell.
        let _ = LOST.set(e);
    }
}

pub fn talk_line(text: Arguments<'_>) {
    // Whoever closed stderr does not want to hear.
    let _ = writeln!(stderr(), "{text}");
}

/// Why not all data could be written, if so. A reader that has read enough is no fault.
pub fn lost() -> Option<&'static Error> {
    if let Err(e) = stdout().flush() {
        let _ = LOST.set(e);
    }
    LOST.get().filter(|e| e.kind() != ErrorKind::BrokenPipe)
}
