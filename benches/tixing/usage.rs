//! What this process has used of the machine, as the kernel counts it.

use std::{collections::BTreeMap, fmt, fs};

/// What was used until now, or between two looks.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// CPU seconds.
    pub cpu: f64,
    /// Bytes written to disks.
    pub written: f64,
    /// Resident megabytes.
    pub rss: f64,
    /// By the names of threads.
    threads: BTreeMap<String, Thread>,
}

/// The threads of one name.
#[derive(Debug, Clone, Copy, Default)]
struct Thread {
    cpu: f64,
    /// How often they have waited for something.
    waits: f64,
}

/// What was used until now. What a thread has used that has ended is not in its name's part.
pub fn usage() -> Usage {
    let mut threads = BTreeMap::<String, Thread>::new();
    for task in fs::read_dir("/proc/self/task").expect("Linux").flatten() {
        let Ok(name) = fs::read_to_string(task.path().join("comm")) else { continue };
        let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-').to_owned();
        let thread = threads.entry(name).or_default();
        thread.cpu += ticks(&task.path().join("stat").to_string_lossy());
        thread.waits += field(&task.path().join("status").to_string_lossy(), "voluntary_ctxt_switches:");
    }
    Usage {
        cpu: ticks("/proc/self/stat"),
        written: field("/proc/self/io", "write_bytes:"),
        rss: field("/proc/self/status", "VmRSS:") / 1_024.0,
        threads,
    }
}

/// The CPU seconds of a process or a thread that may have ended.
fn ticks(file: &str) -> f64 {
    let stat = fs::read_to_string(file).unwrap_or_default();
    let words: Vec<f64> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().map(|w| w.parse().unwrap_or(0.0)).collect();
    words.get(11..13).map_or(0.0, |times| times.iter().sum::<f64>() / 100.0)
}

fn field(file: &str, name: &str) -> f64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let number = |line: &str| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok();
    text.lines().find_map(number).unwrap_or(0.0)
}

impl Usage {
    /// What was used since `before`, for each of `n`.
    pub fn since(&self, before: &Self, n: usize) -> Each {
        let n = n as f64;
        let mut threads = Vec::new();
        for (name, now) in &self.threads {
            let was = before.threads.get(name).copied().unwrap_or_default();
            threads.push((name.clone(), (now.cpu - was.cpu) * 1e6 / n, (now.waits - was.waits) / n));
        }
        threads.retain(|(_, cpu, waits)| *cpu > 0.05 || *waits > 0.005);
        threads.sort_by(|a, b| b.1.total_cmp(&a.1));
        Each { cpu: (self.cpu - before.cpu) * 1e6 / n, written: (self.written - before.written) / n, threads }
    }
}

/// What one send has used.
pub struct Each {
    cpu: f64,
    written: f64,
    threads: Vec<(String, f64, f64)>,
}

impl fmt::Display for Each {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} µs CPU and {:.0} bytes written each (", self.cpu, self.written)?;
        for (i, (name, cpu, waits)) in self.threads.iter().enumerate() {
            write!(f, "{}{name} {cpu:.1} µs, {waits:.2} waits", if i == 0 { "" } else { "; " })?;
        }
        write!(f, ")")
    }
}
