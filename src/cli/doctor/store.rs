//! The daemon and its store: whether they answer, and what the daemon knows.

use super::{
    super::{client, failure::Failure},
    books,
    files::{mode, octal},
    report::{Level, Report, Subject},
};
use crate::{
    config::{App, Config},
    words::{Message, say},
};
use reqwest::Method;
use serde_json::Value;
use std::path::Path;

/// Looks at the store, through the daemon if one runs. Answers the daemon's list of the platforms' templates, and a failure if the store
/// cannot be reached.
pub async fn look(config: Config, report: &mut Report) -> (Option<Value>, Option<Failure>) {
    let runs = daemon(&config.server.socket, report).await;
    if !runs
        && let Some(file) = config.store.url.strip_prefix("sqlite:")
        && !Path::new(file).exists()
    {
        report.skipped(say!("check_database"), say!("store_made_at_start"));
        return (None, None);
    }
    let apps = config.apps.clone();
    match ask(config, runs, report).await {
        Ok(told) => {
            report.ok(say!("check_database"), say!("database_answers"));
            books::look(&told.stats, &told.keys, &apps, report);
            if let Some(Running { ready, metrics, templates }) = told.running {
                apps.iter().filter(|app| app.callback.is_some()).for_each(|app| pushes(app, &metrics, report));
                let (ok, text) = ready;
                let found = Message::text(text.trim());
                report.judge(say!("check_readiness"), ok, Level::Failed, found, say!("readiness_matters"));
                return (Some(templates), None);
            }
            (None, None)
        }
        Err(failure) => {
            report.add(say!("check_database"), Level::Failed, failure.message(), say!("database_must_answer"));
            (None, Some(failure))
        }
    }
}

/// Whether one runs.
async fn daemon(socket: &Path, report: &mut Report) -> bool {
    let runs = tokio::net::UnixStream::connect(socket).await.is_ok();
    let found =
        if runs { say!("daemon_answers", socket = socket.to_string_lossy()) } else { say!("daemon_does_not_run") };
    report.judge(say!("check_daemon"), runs, Level::Warning, found, say!("start_daemon"));
    if let Some(open) = mode(socket).filter(|_| runs) {
        let fix = say!("make_socket_private");
        report.judge(say!("check_socket_mode"), open & 0o077 == 0, Level::Failed, octal(open), fix);
    }
    runs
}

/// The API's answers.
struct Told {
    stats: Value,
    keys: Value,
    running: Option<Running>,
}

/// The answers that only a running daemon gives.
struct Running {
    ready: (bool, String),
    metrics: String,
    templates: Value,
}

async fn ask(config: Config, runs: bool, report: &Report) -> Result<Told, Failure> {
    let client = client::connect(config, report.voice).await?;
    let told = async {
        let stats = client.ask(Method::GET, "/v1/stats", None).await?;
        let keys = client.ask(Method::GET, "/v1/keys", None).await?;
        let running = match runs {
            false => None,
            true => Some(Running {
                ready: client.text("/readyz").await?,
                metrics: client.text("/metrics").await?.1,
                templates: client.ask(Method::GET, "/v1/templates", None).await?,
            }),
        };
        Ok(Told { stats, keys, running })
    };
    let told = told.await;
    client.close().await;
    told
}

/// Whether the platform's pushes are genuine, as the running daemon has counted them.
fn pushes(app: &App, metrics: &str, report: &mut Report) {
    let count = |what: &str| {
        let name = format!("tixing_pushes_total{{app=\"{}\",what=\"{what}\"}} ", app.name);
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    let refused: Vec<Message> = ["signature", "key", "appid", "in_clear", "stale", "shape"]
        .into_iter()
        .filter(|why| count(why) > 0)
        .map(|why| say!("pushes_refused_for", n = count(why), why = why))
        .collect();
    let taken: u64 = ["taken", "known", "other"].into_iter().map(count).sum();
    let subject = Subject::of(app, say!("check_pushes"));
    if refused.is_empty() {
        report.ok(subject, say!("pushes_taken", taken = taken));
    } else {
        let level = if taken == 0 { Level::Failed } else { Level::Warning };
        let found = say!("pushes_taken_and_refused", taken = taken, refused = refused);
        report.add(subject, level, found, say!("compare_callback_secrets"));
    }
}
