//! The daemon's process: whether one runs, and the limits that it runs under.

use super::files::{mode, octal};
use crate::{
    descriptors,
    findings::{Level, Report},
    words::say,
};
use std::path::Path;

/// Files that a daemon should be able to have open: each connection is one.
const FILES: u64 = 4_096;

/// A daemon that runs.
pub struct Daemon {
    /// Its process, as far as the system tells.
    pid: Option<i32>,
}

/// Whether one runs.
pub async fn look(socket: &Path, report: &mut Report) -> Option<Daemon> {
    let connected = tokio::net::UnixStream::connect(socket).await.ok();
    let found = match connected.is_some() {
        true => say!("daemon_answers", socket = socket.to_string_lossy()),
        false => say!("daemon_does_not_run"),
    };
    report.judge(say!("check_daemon"), connected.is_some(), Level::Warning, found, say!("start_daemon"));
    if let Some(open) = mode(socket).filter(|_| connected.is_some()) {
        let fix = say!("make_socket_private");
        report.judge(say!("check_socket_mode"), open & 0o077 == 0, Level::Failed, octal(open), fix);
    }
    let daemon = connected.map(|socket| Daemon { pid: socket.peer_cred().ok().and_then(|peer| peer.pid()) });
    open_files(daemon.as_ref(), report);
    daemon
}

/// The daemon's own limit, and how much of it is used; that of this shell says nothing about a daemon that runs.
fn open_files(daemon: Option<&Daemon>, report: &mut Report) {
    let subject = say!("check_open_files");
    let Some(daemon) = daemon else {
        // A daemon raises its limit as far as this.
        let most = descriptors::possible();
        let found = say!("open_files_at_most", n = most);
        return report.judge(subject, most >= FILES, Level::Warning, found, say!("raise_open_files"));
    };
    let read = |name: &str| daemon.pid.map(|pid| format!("/proc/{pid}/{name}"));
    let limits = read("limits").and_then(|path| std::fs::read_to_string(path).ok());
    let Some(most) = limits.as_deref().and_then(soft_limit) else {
        return report.skipped(subject, say!("process_not_seen"));
    };
    // Only root may count them: the daemon lets nobody else look.
    let open = read("fd").and_then(|path| Some(std::fs::read_dir(path).ok()?.count() as u64));
    let found = match open {
        Some(open) => say!("open_files_of", n = open, most = most),
        None => say!("open_files_at_most", n = most),
    };
    let (good, full) = (most >= FILES, open.is_some_and(|open| open > most / 10 * 9));
    let level = if full { Level::Failed } else { Level::Warning };
    report.judge(subject, good && !full, level, found, say!("raise_open_files"));
}

/// The soft limit of open files in `/proc/PID/limits`.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::soft_limit;

    #[test]
    fn the_limit_that_counts_is_the_soft_one() {
        let head = "Limit                     Soft Limit           Hard Limit           Units     \n";
        let line = "Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(&format!("{head}{line}")), Some(1_024));
        assert_eq!(
            soft_limit("Max open files            unlimited            unlimited            files"),
            Some(u64::MAX)
        );
        assert_eq!(soft_limit(head), None);
    }
}
