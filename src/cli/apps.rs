//! `tixing app`: how the apps stand, and a stop for all of one's sends.

use super::{arguments::App, client::Client, each::each, failure::Failure, out::Out, table::rows};
use crate::words::say;
use reqwest::Method;
use serde_json::{Value, json};

/// `tixing app …`
pub async fn run(client: &Client, verb: App, out: Out) -> Result<(), Failure> {
    match verb {
        App::List => {
            let stats = client.ask(Method::GET, "/v1/stats", None).await?;
            let flat = |app: &Value| {
                let paused = &app["paused"];
                json!({
                    "app": app["app"], "scheduled": app["reminders"]["scheduled"], "due": app["due"], "in_doubt": app["in_doubt"],
                    "next_due_at": app["next_due"], "paused_at": app["paused_at"], "paused_until": paused["until"], "why": paused["why"],
                })
            };
            let apps: Vec<Value> = stats["apps"].as_array().into_iter().flatten().map(flat).collect();
            let members = ["app", "scheduled", "due", "in_doubt", "next_due_at", "paused_at", "paused_until", "why"];
            rows(&apps, &members, client, out);
        }
        App::Pause { names } => set(client, &names, "pause", out).await?,
        App::Resume { names } => set(client, &names, "resume", out).await?,
    }
    client.close().await;
    Ok(())
}

async fn set(client: &Client, names: &[String], verb: &str, out: Out) -> Result<(), Failure> {
    each(names, out, async |name| {
        // A name with other characters could lead to another path.
        let mut url = reqwest::Url::parse("http://tixing/v1/apps").expect("a URL");
        url.path_segments_mut().expect("it has a path").push(name).push(verb);
        let answer = client.ask(Method::POST, url.path(), None).await?;
        out.done(
            &answer,
            &match verb {
                "pause" => say!("app_is_paused", name = name),
                _ => say!("app_goes_on", name = name, due = answer["due"]),
            },
        );
        Ok(())
    })
    .await
}
