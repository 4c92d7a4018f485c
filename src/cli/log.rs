//! Logs: readable on a terminal, structured in the journal.

use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging to stderr, or to the journal where systemd has connected stderr to it. `TIXING_LOG` sets the level.
pub fn start(level: &str) {
    let filter = EnvFilter::try_from_env("TIXING_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},sqlx=error,tokio_cron_scheduler=error")));
    let registry = tracing_subscriber::registry().with(filter);
    if std::env::var_os("JOURNAL_STREAM").is_some()
        && let Ok(journal) = tracing_journald::layer()
    {
        registry.with(journal.with_syslog_identifier("tixing".into())).init();
        return;
    }
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    registry
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false))
        .init();
}
