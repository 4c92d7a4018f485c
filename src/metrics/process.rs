//! What the system says of this process, under the names that every exporter uses.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};
use std::fs;

/// This process.
#[derive(Debug)]
pub struct Process {
    /// When it began, milliseconds since 1970.
    pub began_at: i64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counter = ConstCounter::new(cpu_seconds());
        let what = "CPU time that the process has used, seconds";
        counter.encode(encoder.encode_descriptor("process_cpu_seconds", what, None, counter.metric_type())?)?;
        let limits = getrlimit(Resource::Nofile);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        for (name, what, value) in [
            (
                "process_start_time_seconds",
                "When the process began, seconds since 1970",
                self.began_at as f64 / 1_000.0,
            ),
            ("process_resident_memory_bytes", "Memory in use", bytes(&status, "VmRSS:")),
            ("process_virtual_memory_bytes", "Addresses in use", bytes(&status, "VmSize:")),
            ("process_open_fds", "Open file descriptors", open_files()),
            (
                "process_max_fds",
                "File descriptors that may be open",
                limits.current.map_or(f64::INFINITY, |n| n as f64),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, what, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

fn open_files() -> f64 {
    // The folder itself is open while it is read.
    fs::read_dir("/proc/self/fd").map_or(0.0, |open| open.count().saturating_sub(1) as f64)
}

/// A line of `/proc/self/status`, which says kilobytes.
fn bytes(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes: Option<f64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kilobytes.unwrap_or_default() * 1_024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_what_the_process_uses() {
        assert_eq!(bytes("Name:\ttixing\nVmRSS:\t   20480 kB\n", "VmRSS:"), 20_480.0 * 1_024.0);
        assert_eq!(bytes("", "VmRSS:"), 0.0);
        let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
        assert!(bytes(&status, "VmRSS:") > 0.0 && bytes(&status, "VmSize:") > 0.0);
        assert!(open_files() >= 3.0 && cpu_seconds() > 0.0);
    }
}
