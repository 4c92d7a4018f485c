//! Logs: readable on a terminal, structured in the journal.

use crate::config::Level;
use std::io::IsTerminal;
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// Sets how much the log says from now on.
pub struct Volume(reload::Handle<EnvFilter, Registry>);

impl Volume {
    /// As loud as `level`, unless `TIXING_LOG` says otherwise.
    pub fn set(&self, level: Level) {
        // It fails only when nobody logs any more.
        let _ = self.0.reload(filter(level));
    }
}

fn filter(level: Level) -> EnvFilter {
    let plain = || EnvFilter::new(format!("{},sqlx=error,tokio_cron_scheduler=error", level.word()));
    EnvFilter::try_from_env("TIXING_LOG").unwrap_or_else(|_| plain())
}

/// Starts logging to stderr, or to the journal where systemd has connected stderr to it. `TIXING_LOG` sets the level.
pub fn start(level: Level) -> Volume {
    let (filter, handle) = reload::Layer::new(filter(level));
    let registry = tracing_subscriber::registry().with(filter);
    let volume = Volume(handle);
    if std::env::var_os("JOURNAL_STREAM").is_some()
        && let Ok(journal) = tracing_journald::layer()
    {
        registry.with(journal.with_syslog_identifier("tixing".into())).init();
        return volume;
    }
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    registry
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false))
        .init();
    volume
}
