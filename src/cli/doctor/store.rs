//! The daemon and its store: whether they answer, and what the daemon knows.

use super::super::{client, failure::Failure};
use crate::{
    config::{App, Config},
    findings::{Level, Report, Subject, books, nodes},
    store::{Dialect, is_pooled},
    words::{Message, say, word},
};
use reqwest::Method;
use serde_json::Value;
use std::path::Path;

/// Looks at the store, through the daemon if one runs. Answers the daemon's list of the platforms' templates, and a failure if the store
/// cannot be reached.
pub async fn look(config: Config, runs: bool, report: &mut Report) -> (Option<Value>, Option<Failure>) {
    if !runs
        && let Some(file) = config.store.url.strip_prefix("sqlite:")
        && !Path::new(file).exists()
    {
        report.skipped(say!("check_database"), say!("store_made_at_start"));
        return (None, None);
    }
    let (apps, socket, url) = (config.apps.clone(), config.server.socket.clone(), config.store.url.clone());
    match ask(config, runs, report).await {
        Ok(told) => {
            let pooled = Dialect::of(&url) == Dialect::Postgres && is_pooled(&url).await.is_ok_and(|pooled| pooled);
            let found = if pooled { say!("database_answers_pooled") } else { say!("database_answers") };
            report.ok(say!("check_database"), found);
            nodes::look(&told.nodes, &socket, runs, report);
            books::look(&told.stats, &told.keys, &apps, report);
            if let Some(Running { metrics, templates }) = told.running {
                for app in apps.iter().filter(|app| app.callback.is_some()) {
                    pushes(app, &metrics, books::receipts(&told.stats, app), report);
                }
                return (Some(templates), None);
            }
            (None, None)
        }
        Err(Failure::NotFound(_)) => {
            report.skipped(say!("check_database"), say!("store_made_at_start"));
            (None, None)
        }
        Err(failure) => {
            report.add(say!("check_database"), Level::Failed, failure.message(), say!("database_must_answer"));
            (None, Some(failure))
        }
    }
}

/// The API's answers.
struct Told {
    stats: Value,
    nodes: Value,
    keys: Value,
    running: Option<Running>,
}

/// The answers that only a running daemon gives.
struct Running {
    metrics: String,
    templates: Value,
}

async fn ask(config: Config, runs: bool, report: &mut Report) -> Result<Told, Failure> {
    let client = client::connect(config, report.voice).await?;
    let told = async {
        // First: whatever hinders it may keep the other answers from coming.
        if runs {
            let (good, text) = client.text("/readyz").await?;
            let (first, paused) = text.trim().split_once('\n').unwrap_or((text.trim(), ""));
            let found = match paused {
                "" => word::word(first),
                paused => say!("lines", first = word::word(first), rest = paused),
            };
            report.judge(say!("check_readiness"), good, Level::Failed, found, say!("readiness_matters"));
        }
        let stats = client.ask(Method::GET, "/v1/stats", None).await?;
        let nodes = client.ask(Method::GET, "/v1/nodes", None).await?;
        let keys = client.ask(Method::GET, "/v1/keys", None).await?;
        let running = match runs {
            false => None,
            true => Some(Running {
                metrics: client.text("/metrics").await?.1,
                templates: client.ask(Method::GET, "/v1/templates", None).await?,
            }),
        };
        Ok(Told { stats, nodes, keys, running })
    };
    let told = told.await;
    client.close().await;
    told
}

/// Whether the platform's pushes come and are genuine, as the running daemon has counted them since its start. `receipts` came at any time.
fn pushes(app: &App, metrics: &str, receipts: i64, report: &mut Report) {
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
    // Where failures alone are pushed, nothing may ever come.
    let comes =
        app.platform.doubt.sends_receipts || app.platform.pushes.as_ref().is_some_and(|pushes| pushes.tells.taps);
    if comes && refused.is_empty() && taken == 0 && receipts == 0 {
        report.add(subject, Level::Warning, say!("pushes_never_came"), say!("enter_callback", app = app.name));
    } else if refused.is_empty() {
        report.ok(subject, say!("pushes_taken", taken = taken));
    } else {
        let level = if taken == 0 { Level::Failed } else { Level::Warning };
        let found = say!("pushes_taken_and_refused", taken = taken, refused = refused);
        report.add(subject, level, found, say!("compare_callback_secrets"));
    }
}
