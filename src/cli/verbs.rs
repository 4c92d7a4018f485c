//! Keys, consents and reminders from the command line: thin callers of the API.

use super::{
    Add, Consent, Doubt, Failure, Key, Lang, Reminder, Rights, Template,
    client::Client,
    out::{data, talk},
    some,
};
use anyhow::Context;
use comfy_table::{ContentArrangement, Table, presets};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::path::Path;

/// One line of NDJSON, or a table of some columns.
fn rows(items: &[Value], columns: &[(&str, &str)], as_json: bool) {
    if as_json {
        for item in items {
            data!("{item}");
        }
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|(_, title)| *title));
    for item in items {
        table.add_row(columns.iter().map(|(key, _)| text(&item[*key])));
    }
    data!("{table}");
}

/// Says so if a page is not all there is.
fn tell_of_more(page: &Value, otherwise: &str) {
    match (page["note"].as_str(), page["next"].is_null()) {
        (Some(note), _) => talk!("{note}"),
        (None, false) => talk!("{otherwise}"),
        (None, true) => {}
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut url = reqwest::Url::parse("http://tixing/").expect("a URL");
    for (key, value) in pairs {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(key, value);
        }
    }
    url.query().map_or(String::new(), |query| format!("?{query}"))
}

/// An id in a path: whatever cannot stand there cannot be one.
fn id_path(id: &str) -> Result<String, Failure> {
    if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(format!("/v1/reminders/{id}"));
    }
    Err(Failure::NotFound("this is not a reminder's id; it looks like r_0fxs3k2p4m8ng".into()))
}

/// `tixing key …`
pub async fn key(client: &Client, verb: Key, as_json: bool, lang: Lang) -> Result<(), Failure> {
    match verb {
        Key::Create { name, scope, apps } => {
            let apps = (!apps.is_empty()).then_some(apps);
            let made = client
                .ask(Method::POST, "/v1/keys", Some(json!({ "name": name, "scope": scope.word(), "apps": apps })))
                .await?;
            if as_json {
                data!("{made}");
            } else {
                data!("{}", text(&made["key"]));
                talk!("{}", lang.pick("keep it: it is not shown again", "请妥善保存：之后不再显示"));
            }
        }
        Key::List => {
            let answer = client.ask(Method::GET, "/v1/keys", None).await?;
            let keys = answer["keys"].as_array().cloned().unwrap_or_default();
            let columns = [
                ("id", "id"),
                ("name", "name"),
                ("scope", "scope"),
                ("apps", "apps"),
                ("created_at", "created"),
                ("revoked_at", "revoked"),
            ];
            rows(&keys, &columns, as_json);
        }
        Key::Revoke { id } => {
            client.ask(Method::DELETE, &format!("/v1/keys/{id}"), None).await?;
            if as_json {
                data!("{}", json!({ "id": id, "revoked": true }));
            } else {
                talk!("{}", lang.pick("revoked", "已吊销"));
            }
        }
    }
    client.close().await;
    Ok(())
}

/// `tixing consent …`
pub async fn consent(client: &Client, verb: Consent, as_json: bool) -> Result<(), Failure> {
    let answer = match verb {
        Consent::Add { user, templates, event } => {
            let results: Map<String, Value> =
                templates.into_iter().map(|template| (template, "accept".into())).collect();
            let mut body = json!({ "app": user.app, "openid": user.openid, "results": results, "source": "cli" });
            if let Some(event) = event {
                body["event"] = event.into();
            }
            client.ask(Method::POST, "/v1/consents", Some(body)).await?
        }
        Consent::Show { user, history } => {
            let query = query(&[
                ("app", Some(user.app)),
                ("openid", Some(user.openid)),
                ("history", history.then(|| "true".to_owned())),
            ]);
            client.ask(Method::GET, &format!("/v1/consents{query}"), None).await?
        }
    };
    client.close().await;
    if as_json {
        data!("{answer}");
        return Ok(());
    }
    let balances = answer["balances"].as_array().cloned().unwrap_or_default();
    let columns = [
        ("template", "template"),
        ("name", "name"),
        ("available", "available"),
        ("held", "held"),
        ("used", "used"),
        ("void", "void"),
    ];
    rows(&balances, &columns, false);
    if let Some(history) = answer["history"].as_array() {
        let columns = [
            ("template", "template"),
            ("n", "n"),
            ("granted_at", "granted"),
            ("source", "source"),
            ("state", "state"),
            ("void_reason", "why"),
            ("reminder", "reminder"),
        ];
        rows(history, &columns, false);
    }
    Ok(())
}

/// `tixing reminder …`
pub async fn reminder(client: &Client, verb: Reminder, as_json: bool, lang: Lang) -> Result<(), Failure> {
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

/// `tixing doubt …`
pub async fn doubt(client: &Client, verb: Doubt, as_json: bool, lang: Lang) -> Result<(), Failure> {
    match verb {
        Doubt::List { app, given_up, limit } => {
            let given_up = given_up.then(|| "true".to_owned());
            let query = query(&[("app", app), ("given_up", given_up), ("limit", Some(limit.to_string()))]);
            let page = client.ask(Method::GET, &format!("/v1/doubts{query}"), None).await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            let columns = [
                ("at", "at"),
                ("id", "id"),
                ("state", "state"),
                ("reason", "reason"),
                ("next_at", "looked at"),
                ("expires_at", "deadline"),
                ("app", "app"),
                ("openid", "openid"),
            ];
            rows(&items, &columns, as_json);
            tell_of_more(&page, lang.pick("there are more: raise --limit", "还有更多：调大 --limit"));
        }
        Doubt::Resolve { id, verdict } => {
            let path = id_path(&id)?.replace("/reminders/", "/doubts/");
            let reminder = client.ask(Method::POST, &path, Some(json!({ "as": verdict }))).await?;
            if as_json {
                data!("{reminder}");
            } else {
                talk!("{} {}", lang.pick("decided; it is now", "已决定；当前状态："), text(&reminder["state"]));
            }
        }
    }
    client.close().await;
    Ok(())
}

/// `tixing user …`
pub async fn user(client: &Client, verb: Rights, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let (path, user) = match verb {
        Rights::Export(user) => ("export", user),
        Rights::Forget(user) => ("forget", user),
        Rights::LetIn(user) => ("let-in", user),
    };
    let body = json!({ "app": user.app, "openid": user.openid });
    let answer = client.ask(Method::POST, &format!("/v1/users/{path}"), Some(body)).await?;
    client.close().await;
    if as_json {
        data!("{answer}");
        return Ok(());
    }
    match path {
        "export" => data!("{}", serde_json::to_string_pretty(&answer).context("cannot print")?),
        "forget" => {
            let n = |name: &str| answer[name].as_u64().unwrap_or_default();
            let (cancelled, given_up, erased) = (n("cancelled"), n("given_up"), n("erased"));
            match lang {
                Lang::En => talk!(
                    "forgotten: {} erased, {cancelled} of them cancelled, {given_up} given up as unconfirmed",
                    some(erased, "reminder")
                ),
                Lang::Zh => talk!("已遗忘：清除 {erased} 条提醒，其中取消 {cancelled} 条，{given_up} 条结果无法确认"),
            }
        }
        _ => talk!("{}", lang.pick("let in again", "已重新接纳")),
    }
    Ok(())
}

/// `tixing template …`
pub async fn template(client: &Client, verb: Template, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let answer = match verb {
        Template::List { app } => {
            client.ask(Method::GET, &format!("/v1/templates{}", query(&[("app", app)])), None).await?
        }
        Template::Refresh { app } => {
            client.ask(Method::POST, "/v1/templates/refresh", Some(json!({ "app": app }))).await?
        }
    };
    client.close().await;
    let mut templates = answer["templates"].as_array().cloned().unwrap_or_default();
    if !as_json {
        for template in &mut templates {
            let fields = template["fields"].as_object().into_iter().flatten();
            let fields: Vec<String> = fields.map(|(key, label)| format!("{key} {}", text(label))).collect();
            template["fields"] = fields.join("\n").into();
            let differs: Vec<String> = template["out_of_step"].as_array().into_iter().flatten().map(text).collect();
            let never = template["listed_at"].is_null();
            template["state"] = match differs.is_empty() {
                true if never => lang.pick("not asked yet", "尚未查询").into(),
                true => lang.pick("in step", "一致").into(),
                false => differs.join("; ").into(),
            };
        }
    }
    let columns = [
        ("app", "app"),
        ("name", "name"),
        ("id", "id"),
        ("kind", "kind"),
        ("fields", "fields"),
        ("listed_at", "listed"),
        ("state", "on the platform"),
    ];
    rows(&templates, &columns, as_json);
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
