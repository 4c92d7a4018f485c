//! `tixing reminder`: one reminder, or many.

use super::{
    arguments::{Add, Lang, Reminder},
    client::{Client, query},
    failure::Failure,
    out::{data, some, talk},
    table::{rows, tell_of_more, text},
};
use anyhow::Context;
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::path::Path;

/// `tixing reminder …`
pub async fn run(client: &Client, verb: Reminder, as_json: bool, lang: Lang) -> Result<(), Failure> {
    match verb {
        Reminder::Add(add) => match &add.file {
            Some(file) => add_many(client, file, as_json, lang).await?,
            None => {
                let answer = client.ask(Method::POST, "/v1/reminders", Some(body(*add)?)).await?;
                if as_json {
                    data!("{answer}");
                } else {
                    data!("{}", text(&answer["id"]));
                }
            }
        },
        Reminder::List { app, openid, template, state, delivery, from, to, limit } => {
            let query = query(&[
                ("app", app),
                ("openid", openid),
                ("template", template),
                ("state", state),
                ("delivery", delivery),
                ("from", from),
                ("to", to),
                ("limit", Some(limit.to_string())),
            ]);
            let page = client.ask(Method::GET, &format!("/v1/reminders{query}"), None).await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            let columns = [
                ("at", "at"),
                ("id", "id"),
                ("state", "state"),
                ("reason", "reason"),
                ("delivery", "delivery"),
                ("app", "app"),
                ("openid", "openid"),
                ("data", "data"),
            ];
            rows(&items, &columns, as_json);
            tell_of_more(
                &page,
                lang.pick(
                    "there are more: narrow it down by --from, or raise --limit",
                    "还有更多：用 --from 缩小范围或调大 --limit",
                ),
            );
        }
        Reminder::Show { id } => {
            let reminder = client.ask(Method::GET, &id_path(&id)?, None).await?;
            if as_json {
                data!("{reminder}");
            } else {
                data!("{}", serde_json::to_string_pretty(&reminder).context("cannot print")?);
            }
        }
        Reminder::Explain { id } => {
            let why = client.ask(Method::GET, &format!("{}/explain", id_path(&id)?), None).await?;
            if as_json {
                data!("{why}");
            } else {
                data!("{}", text(&why[lang.pick("en", "zh")]));
                for line in why["evidence"].as_array().into_iter().flatten() {
                    data!("  {}", text(line));
                }
            }
        }
        Reminder::Cancel { id } => {
            let reminder = client.ask(Method::DELETE, &id_path(&id)?, None).await?;
            if as_json {
                data!("{reminder}");
            } else {
                talk!("{}", lang.pick("cancelled; its consent is free again", "已取消，订阅次数已退回"));
            }
        }
    }
    client.close().await;
    Ok(())
}

fn body(add: Add) -> Result<Value, Failure> {
    let mut data = Map::new();
    for pair in &add.data {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("--data {pair}: write KEY=VALUE, such as thing1=周三读书会")))?;
        data.insert(key.to_owned(), value.into());
    }
    let mut body =
        json!({ "app": add.app, "openid": add.openid, "template": add.template, "at": add.at, "data": data });
    let optional = [
        ("page", add.page),
        ("expires_at", add.expires_at),
        ("key", add.key),
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

async fn add_many(client: &Client, file: &Path, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let body = if file == Path::new("-") {
        reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(tokio::io::stdin()))
    } else {
        let cannot = || format!("cannot read {}", file.display());
        let opened = tokio::fs::File::open(file).await.with_context(cannot)?;
        if opened.metadata().await.with_context(cannot)?.is_dir() {
            return Err(Failure::Usage(format!("{} is a folder; name a file of NDJSON", file.display())));
        }
        reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(opened))
    };
    let (mut taken, mut refused, mut broken_off) = (0_u64, 0_u64, None);
    client
        .batch("/v1/reminders/batch", body, |line| {
            let answer: Value = serde_json::from_str(line).unwrap_or(Value::Null);
            let error = &answer["error"];
            let ends_early = !answer["last"].is_null();
            if as_json {
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
    talk!("{taken} {}, {refused} {}", lang.pick("taken", "条已接收"), lang.pick("refused", "条被拒绝"));
    client.close().await;
    if let Some(why) = broken_off {
        Err(anyhow::anyhow!("not all of it was taken: {why}").into())
    } else if refused > 0 {
        Err(Failure::SomeRefused(format!("{} refused; what was taken is stored", some(refused, "row"))))
    } else {
        Ok(())
    }
}

/// An id in a path: whatever cannot stand there cannot be one.
pub fn id_path(id: &str) -> Result<String, Failure> {
    if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(format!("/v1/reminders/{id}"));
    }
    Err(Failure::NotFound("this is not a reminder's id; it looks like r_0fxs3k2p4m8ng".into()))
}
