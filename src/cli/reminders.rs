//! `tixing reminder`: one reminder, or many.

use super::{
    arguments::{Add, Reminder},
    client::{Client, query},
    failure::Failure,
    out::{Out, data},
    table::{rows, tell_of_more, text},
};
use crate::words::{Lang, say};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::path::Path;

/// `tixing reminder …`
pub async fn run(client: &Client, verb: Reminder, out: Out) -> Result<(), Failure> {
    match verb {
        Reminder::Add(add) => match &add.file {
            Some(file) => add_many(client, file, out).await?,
            None => {
                let answer = client.ask(Method::POST, "/v1/reminders", Some(body(*add)?)).await?;
                if out.json {
                    data!("{answer}");
                } else {
                    data!("{}", text(&answer["id"]));
                }
            }
        },
        Reminder::List { app, openid, template, schedule, state, delivery, from, to, limit } => {
            let query = query(&[
                ("app", app),
                ("openid", openid),
                ("template", template),
                ("schedule", schedule),
                ("state", state),
                ("delivery", delivery),
                ("from", from),
                ("to", to),
                ("limit", Some(limit.to_string())),
            ]);
            let page = client.ask(Method::GET, &format!("/v1/reminders{query}"), None).await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            rows(&items, &["at", "id", "state", "reason", "delivery", "app", "openid", "data"], client, out);
            tell_of_more(&page, &say!("more_reminders"), out);
        }
        Reminder::Show { id } => {
            let reminder = client.ask(Method::GET, &id_path(&id)?, None).await?;
            if out.json {
                data!("{reminder}");
            } else {
                data!("{}", format_args!("{reminder:#}"));
            }
        }
        Reminder::Explain { id, schedule, openid } => {
            let path = match id {
                Some(id) => format!("{}/explain", id_path(&id)?),
                None => format!("/v1/reminders/explain{}", query(&[("schedule", schedule), ("openid", openid)])),
            };
            let why = client.ask(Method::GET, &path, None).await?;
            if out.json {
                data!("{why}");
            } else {
                data!("{}", text(&why[if out.voice.lang == Lang::Zh { "zh" } else { "en" }]));
                for line in why["evidence"].as_array().into_iter().flatten() {
                    data!("  {}", text(line));
                }
            }
        }
        Reminder::Cancel { id } => {
            let reminder = client.ask(Method::DELETE, &id_path(&id)?, None).await?;
            out.done(&reminder, &say!("reminder_cancelled"));
        }
    }
    client.close().await;
    Ok(())
}

fn body(add: Add) -> Result<Value, Failure> {
    let mut data = Map::new();
    for pair in &add.data {
        let (key, value) = pair.split_once('=').ok_or_else(|| Failure::Usage(say!("bad_data", pair = pair)))?;
        if data.insert(key.to_owned(), value.into()).is_some() {
            return Err(Failure::Usage(say!("data_doubled", key = key)));
        }
    }
    let mut body =
        json!({ "app": add.app, "openid": add.openid, "template": add.template, "at": add.at, "data": data });
    let optional = [
        ("page", add.page),
        ("expires_at", add.expires_at),
        ("key", add.key),
        ("late", add.late.then(|| "send".to_owned())),
        ("consent", add.at_fire.then(|| "at_fire".to_owned())),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            body[key] = value.into();
        }
    }
    if add.accepted {
        body["accepted"] = json!({ "source": "cli" });
    }
    Ok(body)
}

async fn add_many(client: &Client, file: &Path, out: Out) -> Result<(), Failure> {
    let body = if file == Path::new("-") {
        reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(tokio::io::stdin()))
    } else {
        let cannot = |e: std::io::Error| {
            Failure::Failed(say!("cannot_read", file = file.to_string_lossy(), why = e.to_string()))
        };
        let opened = tokio::fs::File::open(file).await.map_err(cannot)?;
        if opened.metadata().await.map_err(cannot)?.is_dir() {
            return Err(Failure::Usage(say!("is_a_folder", file = file.to_string_lossy())));
        }
        reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(opened))
    };
    let (mut taken, mut refused, mut broken_off) = (0_u64, 0_u64, None);
    client
        .batch("/v1/reminders/batch", body, |line| {
            let answer: Value = serde_json::from_str(line).unwrap_or(Value::Null);
            let error = &answer["error"];
            let ends_early = !answer["last"].is_null();
            if out.json {
                data!("{line}");
            } else if !error.is_null() && !ends_early {
                let at = error["param"].as_str().map_or(String::new(), |param| format!(" {param}"));
                data!("{}:{}:{at} {}", file.display(), answer["line"], text(&error["detail"]));
            }
            if ends_early {
                broken_off = Some(text(&error["detail"]));
            } else if error.is_null() {
                taken += 1;
            } else {
                refused += 1;
            }
        })
        .await?;
    out.tell(&say!("batch_taken", taken = taken, refused = refused));
    client.close().await;
    if let Some(why) = broken_off {
        Err(Failure::Failed(say!("batch_cut_off", why = why)))
    } else if refused > 0 {
        Err(Failure::SomeRefused(say!("rows_refused", refused = refused)))
    } else {
        Ok(())
    }
}

/// The path of a reminder. A text with other characters is no id, and could lead to another path.
pub fn id_path(id: &str) -> Result<String, Failure> {
    if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(format!("/v1/reminders/{id}"));
    }
    Err(Failure::NotFound(say!("not_an_id")))
}
