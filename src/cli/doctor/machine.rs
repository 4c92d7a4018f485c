//! The machine and how the daemon is set up on it: durability, retention, limits, the systemd unit.

use crate::{
    config::{Config, Durability},
    domain::{DAY, Millis},
    findings::{Level, Report},
    words::{Message, say},
};

pub fn look(config: &Config, report: &mut Report) {
    report.judge(
        say!("check_durability"),
        config.store.durability == Durability::Full,
        Level::Warning,
        say!("durability_is", word = format!("{:?}", config.store.durability).to_lowercase()),
        say!("set_full_durability"),
    );
    let kept = &config.retention;
    let (bodies, attempts, history) = (term(kept.bodies), term(kept.attempts), term(kept.history));
    let found = say!("retention_is", bodies = bodies, attempts = attempts, history = history);
    report.ok(say!("check_retention"), found);
    report.ok(say!("check_zone_data"), say!("zone_data_is", version = chrono_tz::IANA_TZDB_VERSION));
    unit(report);
}

fn term(term: Option<Millis>) -> Message {
    match term {
        Some(term) => say!("kept_days", n = term / DAY),
        None => say!("kept_for_ever"),
    }
}

fn unit(report: &mut Report) {
    let units = ["/etc/systemd/system/tixing.service", "/usr/lib/systemd/system/tixing.service"];
    let installed = units.iter().find_map(|path| std::fs::read_to_string(path).ok().map(|text| (path, text)));
    let Some((path, text)) = installed else {
        return report.skipped(say!("check_unit"), say!("no_unit"));
    };
    let wanted = ["NoNewPrivileges=yes", "ProtectSystem=strict", "WatchdogSec=", "Restart=always", "UMask=0077"];
    let missing: Vec<&str> = wanted.into_iter().filter(|line| !text.contains(line)).collect();
    if missing.is_empty() {
        report.ok(say!("check_unit"), Message::text(*path));
    } else {
        let found = say!("unit_lacks", file = path, lines = missing);
        report.add(say!("check_unit"), Level::Warning, found, say!("complete_unit"));
    }
}
