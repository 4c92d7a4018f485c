//! `tixing app`: how the apps stand, and a stop for all of one's sends.

use super::{arguments::App, client::Client, each::each, failure::Failure, out::Out, table::rows};
use crate::{findings::books::instant, words::say};
use reqwest::Method;
use serde_json::{Value, json};

/// `tixing app …`
pub async fn run(client: &Client, verb: App, out: Out) -> Result<(), Failure> {
    match verb {
        App::List => {
            let stats = client.ask(Method::GET, "/v1/stats", None).await?;
            let flat = |app: &Value| {
                let paused = &app["paused"];
                let mut flat = json!({
                    "app": app["app"], "scheduled": app["reminders"]["scheduled"], "due": app["due"], "in_doubt": app["in_doubt"],
                    "next_due_at": app["next_due"], "paused_at": app["paused_at"], "paused_until": paused["until"], "why": paused["why"],
                });
                if !out.json && app["paused_at"].is_string() {
                    // The operator's pause in its columns, and the platform's in words.
                    let voice = client.voice_for(app["app"].as_str(), out.voice);
                    let why = match paused["until"].is_string() {
                        true => {
                            let (until, code, why) = (instant(&paused["until"]), &paused["code"], &paused["why"]);
                            say!("paused_twice", until = until, code = code, why = why)
                        }
                        false => say!("paused_by_operator"),
                    };
                    (flat["paused_until"], flat["why"]) = (Value::Null, why.say(voice).into());
                }
                flat
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
        let paused = if verb == "pause" { Value::Null } else { paused(client, name).await? };
        let voice = client.voice_for(Some(name), out.voice);
        Out { voice, ..out }.done(
            &answer,
            &match (verb, &paused["until"]) {
                ("pause", _) => say!("app_is_paused", name = name),
                (_, Value::Null) => say!("app_goes_on", name = name, due = answer["due"]),
                (_, until) => {
                    let (until, code, why) = (instant(until), &paused["code"], &paused["why"]);
                    say!("app_stays_paused", name = name, until = until, code = code, why = why)
                }
            },
        );
        Ok(())
    })
    .await
}

/// The pause of an app that the platform has brought about; nothing without one.
async fn paused(client: &Client, name: &str) -> Result<Value, Failure> {
    let stats = client.ask(Method::GET, "/v1/stats", None).await?;
    let app = stats["apps"].as_array().into_iter().flatten().find(|app| app["app"] == name);
    Ok(app.map_or(Value::Null, |app| app["paused"].clone()))
}
