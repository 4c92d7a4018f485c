//! Logs: readable on a terminal, structured in the journal.

mod outlet;
mod journal;

use crate::config::{Format, Level};
use journal::Journal;
use outlet::Outlet;
use serde_json::json;
use std::{
    io::{IsTerminal, Write},
    sync::OnceLock,
    time::Duration,
};
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// How long the end of a program waits for the log's reader.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where this program's lines leave.
static OUTLET: OnceLock<Outlet> = OnceLock::new();

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

/// Starts logging to stderr, or to the journal where systemd has connected stderr to it and the format is text. `TIXING_LOG` sets the level.
pub fn start(level: Level, format: Format) -> Volume {
    let (filter, handle) = reload::Layer::new(filter(level));
    let registry = tracing_subscriber::registry().with(filter);
    let volume = Volume(handle);
    if format == Format::Json {
        let lost = |n| format!("{}\n", json!({ "level": "WARN", "message": outlet::told(n) })).into();
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
        registry.with(lines.with_current_span(false).with_span_list(false).with_writer(stderr(lost))).init();
        return volume;
    }
    if journal::has_stderr()
        && let Ok(socket) = journal::connect(journal::SOCKET)
    {
        let write = move |entry: &[u8]| drop(socket.send_to(entry, journal::SOCKET));
        let outlet = OUTLET.get_or_init(|| Outlet::start(write, journal::lost));
        registry.with(Journal::new(outlet.clone())).init();
        return volume;
    }
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let writer = stderr(|n| format!("{}\n", outlet::told(n)).into());
    registry.with(tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours).with_target(false)).init();
    volume
}

/// Writes lines to stderr; `lost` says how many found no place.
fn stderr(lost: fn(u64) -> Vec<u8>) -> impl Fn() -> Outlet {
    // Nobody can be told that stderr is gone.
    let write = |line: &[u8]| drop(std::io::stderr().write_all(line));
    let outlet = OUTLET.get_or_init(|| Outlet::start(write, lost));
    move || outlet.clone()
}

/// Waits a moment until what was logged has been read. Called before the program says its last word and ends.
pub fn flush() {
    if let Some(outlet) = OUTLET.get() {
        outlet.flush(LAST_LINES);
    }
}
