//! `tixing doctor`: everything that can be wrong, looked at, each with what to do.

mod files;
mod machine;
mod daemon;
mod store;
mod platform;

use super::{
    failure::Failure,
    out::{Out, data},
};
use crate::{
    clock::SystemClock,
    config::{self, Config, Wanted},
    findings::{Check, Level, Report},
    platform::transport::{HttpTransport, Limits},
    words::{Message, say},
};
use serde_json::{Value, json};
use std::path::PathBuf;
use unicode_width::UnicodeWidthStr;

/// Looks at everything and tells. Exit 78 if the configuration is wrong, 69 if something cannot be reached, 1 if something failed.
pub async fn run(path: Option<PathBuf>, out: Out) -> Result<(), Failure> {
    let mut report = Report::new(out.voice);
    let loaded =
        config::search(path).and_then(|path| config::load_with(&path, SystemClock::shared().now(), Wanted::Reachable));
    let failure = match loaded {
        Err(problems) => {
            for problem in &problems.0 {
                report.add(
                    say!("check_configuration"),
                    Level::Failed,
                    problem.message(),
                    say!("correct_configuration"),
                );
            }
            Some(Failure::Config(say!("nothing_else_checked")))
        }
        Ok(config) => look(config, &mut report).await,
    };
    show(&report, out);
    let failed = report.count(Level::Failed);
    match failure {
        Some(failure) => Err(failure),
        None if failed > 0 => {
            Err(Failure::Failed(say!("checks_failed", failed = failed, checks = report.checks.len())))
        }
        None => Ok(()),
    }
}

/// Looks at everything that a right configuration names. Answers a failure if the store or a platform could not be reached.
async fn look(config: Config, report: &mut Report) -> Option<Failure> {
    report.ok(say!("check_configuration"), say!("configuration_right", file = config.path.to_string_lossy()));
    for warning in &config.warnings {
        report.add(say!("check_configuration"), Level::Warning, warning.clone(), say!("change_if_not_meant"));
    }
    files::look(&config, report);
    machine::look(&config, report);
    let apps = config.apps.clone();
    let runs = daemon::look(&config.server.socket, report).await.is_some();
    let (listed, unreachable) = store::look(config, runs, report).await;
    let mut out_of_reach = false;
    match HttpTransport::new(Limits::default()) {
        Ok(transport) => {
            for app in &apps {
                out_of_reach |= !platform::look(app, &transport, listed.as_ref(), report).await;
            }
        }
        Err(e) => {
            report.add(say!("check_tls_roots"), Level::Failed, Message::text(e.to_string()), say!("install_tls_roots"));
        }
    }
    unreachable.or_else(|| out_of_reach.then(|| Failure::Unreachable(say!("a_platform_out_of_reach"))))
}

fn show(report: &Report, out: Out) {
    let checks = &report.checks;
    if out.json {
        let worst = checks.iter().map(|check| check.level).max().unwrap_or(Level::Ok);
        let checks: Vec<Value> = checks.iter().map(Check::json).collect();
        data!("{}", json!({ "worst": worst.word(), "checks": checks }));
        return;
    }
    let width = checks.iter().map(|check| check.name(out.voice).width()).max().unwrap_or_default();
    for check in checks {
        let name = check.name(out.voice);
        let room = " ".repeat(width - name.width());
        let (found, fix) = check.findings(out.voice);
        data!("{} {name}{room}  {found}", check.level.sign());
        if let Some(fix) = fix {
            data!("  {:width$}  → {fix}", "");
        }
    }
    let (failed, warnings) = (report.count(Level::Failed), report.count(Level::Warning));
    out.tell(&say!("checks_summary", checks = checks.len(), failed = failed, warnings = warnings));
}
