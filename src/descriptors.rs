//! Open files: how many this process may have, and who gets them. Sends come first: each needs one for its connection to the platform, and
//! whoever connects to us gets what is left.

use crate::words::{Message, say};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as are ever of use.
const WANTED: u64 = 65_536;
/// For all but sends and the API's connections: the store's connections with the log and the index of each, tables that are read, tokens.
const OWN: u64 = 160;
/// Connections to the command line's socket.
pub const SOCKET: usize = 32;
/// Connections to the listener for metrics.
pub const METRICS: usize = 32;
/// Connections to the API without which it serves nobody well.
const LEAST: u64 = 64;

/// How many this process may have once it has raised its limit.
pub fn possible() -> u64 {
    let found = getrlimit(Resource::Nofile);
    let most = found.maximum.unwrap_or(WANTED).min(WANTED);
    found.current.map_or(u64::MAX, |current| current.max(most))
}

/// Raises the limit as far as the system lets an ordinary process, if that is of use. Answers what it is now.
pub fn raise() -> u64 {
    let (found, possible) = (getrlimit(Resource::Nofile), possible());
    match found.current {
        Some(current) if current < possible => {
            let raised = Rlimit { current: Some(possible), maximum: found.maximum };
            if setrlimit(Resource::Nofile, raised).is_ok() { possible } else { current }
        }
        _ => possible,
    }
}

/// How many connections the API may have of so many open files, when so many sends may be in flight: at most `most`.
///
/// # Errors
/// The files are too few for the sends: what is needed, and what to do.
pub fn connections(files: u64, sends: u64, most: usize) -> Result<usize, Message> {
    let others = OWN + sends + (SOCKET + METRICS) as u64;
    let left = files.saturating_sub(others);
    if left < LEAST {
        return Err(say!("too_few_open_files", files = files, sends = sends, needed = others + LEAST));
    }
    Ok(usize::try_from(left).unwrap_or(most).min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_come_before_connections() {
        // (open files, sends in flight, connections of the API)
        let table = [
            (65_536, 64, Some(8_192)),
            (u64::MAX, 4_096, Some(8_192)),
            (1_024, 64, Some(736)),
            (1_024, 736, Some(64)),
            (1_024, 737, None),
            (256, 64, None),
            (0, 0, None),
        ];
        for (files, sends, expected) in table {
            assert_eq!(connections(files, sends, 8_192).ok(), expected, "{files} {sends}");
        }
        let why = connections(1_024, 4_096, 8_192).expect_err("too few").to_string();
        assert!(why.contains("1024") && why.contains("4096") && why.contains("4384"), "{why}");
    }

    #[test]
    fn a_limit_is_raised_as_far_as_it_goes_and_stays() {
        let raised = raise();
        assert_eq!((raise(), possible()), (raised, raised));
    }
}
