//! What `perf` counts of this process: figures that do not depend on what else the machine does.

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

/// What is counted: its name, the function whose calls it counts, and whether the C library has it (SQLite allocates there).
const CALLS: [(&str, &str, bool); 5] = [
    ("allocations", "mi_malloc_aligned", false),
    ("zeroed", "mi_zalloc_aligned", false),
    ("reallocations", "mi_realloc_aligned", false),
    ("allocations_of_sqlite", "malloc", true),
    ("steps_of_sqlite", "sqlite3_step", false),
];

/// A `perf stat` of this process. Each call that is counted costs some microseconds, so rates beside it mean nothing.
pub struct Counted(Child);

impl Counted {
    /// Begins to count, or says why it cannot.
    pub fn begin() -> Option<Self> {
        let exe = std::env::current_exe().expect("this program");
        clear();
        for (name, function, in_libc) in CALLS {
            let file = if in_libc { libc()? } else { exe.display().to_string() };
            let probe = format!("tixing_bench:{name}={function}");
            perf(&["probe", "-q", "-x", &file, &probe])?;
        }
        let pid = std::process::id().to_string();
        let child = Command::new("perf")
            .args(["stat", "-x", ",", "-e", "tixing_bench:*,instructions:u", "-p", &pid])
            .stderr(Stdio::piped())
            .spawn();
        std::thread::sleep(Duration::from_secs(1));
        child.ok().map(Self)
    }

    /// What was counted for each of `n`.
    pub fn end(self, n: usize) -> String {
        let interrupted = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        assert!(interrupted.is_ok_and(|status| status.success()), "perf runs");
        let said = self.0.wait_with_output().expect("perf ends");
        clear();
        let mut parts = Vec::new();
        for line in String::from_utf8_lossy(&said.stderr).lines() {
            let mut columns = line.split(',');
            // Where the machine does not count instructions, perf says so in place of a number.
            if let (Some(Ok(count)), Some(name)) = (columns.next().map(str::parse::<f64>), columns.nth(1)) {
                let name = name.trim_start_matches("tixing_bench:").replace('_', " ");
                parts.push(format!("{:.2} {name}", count / n as f64));
            }
        }
        format!("counted for each: {}", parts.join(", "))
    }
}

fn perf(args: &[&str]) -> Option<Output> {
    let said = Command::new("perf").args(args).stdin(Stdio::null()).output();
    match said {
        Ok(said) if said.status.success() => Some(said),
        Ok(said) => {
            println!("not counted: perf {}: {}", args.join(" "), String::from_utf8_lossy(&said.stderr).trim());
            None
        }
        Err(e) => {
            println!("not counted: perf does not run: {e}");
            None
        }
    }
}

/// Takes away what an earlier run has left behind.
fn clear() {
    let _ = Command::new("perf").args(["probe", "-q", "-d", "tixing_bench:*"]).output();
}

/// The C library that this process has loaded.
fn libc() -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
    let path = maps.split_whitespace().find(|word| Path::new(word).file_name().is_some_and(|name| name == "libc.so.6"));
    path.map(str::to_owned)
}
