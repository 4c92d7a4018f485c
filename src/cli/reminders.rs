//! `tixing reminder`: one reminder, or many.

use super::{
    arguments::{Add, Change, Reminder, Which},
    bulk,
    client::{Client, query},
    each::each,
    failure::Failure,
    out::{Out, data},
    progress::Progress,
    table::{rows_of_page, tell_of_more, text},
    told,
    which::{each_path, id_of_key, id_path},
};
use crate::{
    domain::timing::parse_instant,
    words::{Lang, say},
};
use reqwest::Method;
use serde_json::{Map, Value, json};
use std::path::Path;

/// So many reminders are on one page of the API at most.
const PAGE: u32 = 1_000;
/// Lines of a batch between two looks at how far it has come.
const SHOWN_EVERY: u64 = 500;

/// `tixing reminder …`
pub async fn run(client: &Client, verb: Reminder, out: Out) -> Result<(), Failure> {
    match verb {
        Reminder::Add(add) => match &add.file {
            Some(file) => add_many(client, file, add.dry_run, out).await?,
            None => {
                let dry_run = if add.dry_run { "?dry_run=true" } else { "" };
                let path = format!("/v1/reminders{dry_run}");
                let answer = client.ask(Method::POST, &path, Some(body(*add)?)).await?;
                if out.json {
                    data!("{answer}");
                } else if answer["dry_run"] == true {
                    out.tell(&say!("would_be_stored"));
                } else {
                    data!("{}", text(&answer["id"]));
                    out.tell_beside(&answer);
                }
            }
        },
        Reminder::List { app, openid, template, schedule, state, delivery, from, to, changed_since, newest, limit } => {
            let named = vec![
                ("app", app),
                ("openid", openid),
                ("template", template),
                ("schedule", schedule),
                ("state", state),
                ("delivery", delivery),
                ("from", from),
                ("to", to),
                ("changed_since", changed_since),
                ("order", newest.then(|| "newest".to_owned())),
            ];
            list(client, named, limit, out).await?;
        }
        Reminder::Show { which } => {
            let mut shown = 0;
            each_path(which, out, async |path| {
                let reminder = client.ask(Method::GET, &path, None).await?;
                shown += 1;
                if !out.json && shown > 1 {
                    data!("");
                }
                if out.json {
                    data!("{reminder}");
                } else {
                    let voice = client.voice_for(reminder["app"].as_str(), out.voice);
                    told::lines(&reminder, voice).iter().for_each(|line| data!("{line}"));
                }
                Ok(())
            })
            .await?;
        }
        Reminder::Explain { ids, key, app, schedule, openid } => {
            if let Some(schedule) = schedule {
                let query = query(&[("schedule", Some(schedule)), ("openid", openid)]);
                let why = client.ask(Method::GET, &format!("/v1/reminders/explain{query}"), None).await?;
                explained(&why, out);
            } else {
                let ids = match key {
                    Some(key) => vec![id_of_key(client, app, key).await?],
                    None => ids,
                };
                each(&ids, out, async |id| {
                    explained(&client.ask(Method::GET, &format!("{}/explain", id_path(id)?), None).await?, out);
                    Ok(())
                })
                .await?;
            }
        }
        Reminder::Change(change) => {
            let body = changes(&change)?;
            each_path(change.which, out, async |path| {
                let reminder = client.ask(Method::PATCH, &path, Some(body.clone())).await?;
                let voice = client.voice_for(reminder["app"].as_str(), out.voice);
                let at = reminder["at"].as_str().and_then(|text| parse_instant(text, None).ok()).map(|w| w.at);
                Out { voice, ..out }.done(&reminder, &say!("reminder_changed", id = reminder["id"], at = at));
                Ok(())
            })
            .await?;
        }
        Reminder::Cancel { ids, key, filter, consent } => match (ids.is_empty(), key) {
            (true, None) => bulk::cancel(client, filter, consent, out).await?,
            (_, key) => {
                each_path(Which { ids, key, app: filter.app }, out, async |path| {
                    let reminder = client.ask(Method::DELETE, &path, None).await?;
                    out.done(&reminder, &say!("reminder_cancelled"));
                    Ok(())
                })
                .await?;
            }
        },
        Reminder::Shift { by, filter, consent } => bulk::shift(client, by, filter, consent, out).await?,
    }
    client.close().await;
    Ok(())
}

/// The reminders that a filter lets through, page by page.
async fn list(client: &Client, mut named: Vec<(&str, Option<String>)>, limit: u32, out: Out) -> Result<(), Failure> {
    let filter = named.len();
    // The first page says what is wrong with a limit of 0.
    let (mut left, mut asked) = (limit, false);
    while left > 0 || !asked {
        named.push(("limit", Some(left.min(PAGE).to_string())));
        let page = client.ask(Method::GET, &format!("/v1/reminders{}", query(&named)), None).await?;
        let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !asked || !items.is_empty() {
            let members = ["at", "id", "state", "openid", "reason", "delivery", "app", "data"];
            rows_of_page(items, &members, !asked, client, out);
        }
        left = left.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
        asked = true;
        if left == 0 || page["next"].is_null() || limit <= PAGE {
            tell_of_more(&page, &say!("more_reminders"), out);
            break;
        }
        named.truncate(filter);
        named.push(("cursor", page["next"].as_str().map(str::to_owned)));
    }
    Ok(())
}

/// Why a reminder was or was not sent, or what became of a user in a schedule, with the evidence.
fn explained(why: &Value, out: Out) {
    if out.json {
        data!("{why}");
        return;
    }
    data!("{}", text(&why[if out.voice.lang == Lang::Zh { "zh" } else { "en" }]));
    let of_each = why["reminders"].as_array().into_iter().flatten();
    for line in std::iter::once(why).chain(of_each).flat_map(|one| one["evidence"].as_array().into_iter().flatten()) {
        data!("  {}", text(line));
    }
}

/// The fields of a message, as `KEY=VALUE` each.
fn fields(pairs: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut data = Map::new();
    for pair in pairs {
        let (key, value) = pair.split_once('=').ok_or_else(|| Failure::Usage(say!("bad_data", pair = pair)))?;
        if data.insert(key.to_owned(), value.into()).is_some() {
            return Err(Failure::Usage(say!("data_doubled", key = key)));
        }
    }
    Ok(data)
}

/// The body of a change: what is named, and nothing else.
fn changes(change: &Change) -> Result<Value, Failure> {
    let mut body = Map::new();
    let named = [("at", &change.at), ("expires_at", &change.expires_at), ("page", &change.page)];
    body.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into()))));
    if change.no_page {
        body.insert("page".to_owned(), Value::Null);
    }
    if !change.data.is_empty() {
        body.insert("data".to_owned(), fields(&change.data)?.into());
    }
    Ok(body.into())
}

fn body(add: Add) -> Result<Value, Failure> {
    let data = fields(&add.data)?;
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
        if let Some(event) = add.event {
            body["accepted"]["event"] = event.into();
        }
    }
    Ok(body)
}

async fn add_many(client: &Client, file: &Path, dry_run: bool, out: Out) -> Result<(), Failure> {
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
    let path = if dry_run { "/v1/reminders/batch?dry_run=true" } else { "/v1/reminders/batch" };
    let progress = Progress::new(out);
    let sent = client
        .batch(path, body, |line| {
            let answer: Value = serde_json::from_str(line).unwrap_or(Value::Null);
            let error = &answer["error"];
            let ends_early = !answer["last"].is_null();
            if out.json {
                data!("{line}");
            } else if !error.is_null() && !ends_early {
                let at = error["param"].as_str().map_or(String::new(), |param| format!(" {param}"));
                let detail = text(&error["detail"]);
                progress.aside(|| data!("{}:{}:{at} {detail}", file.display(), answer["line"]));
            } else if answer["warnings"].is_array() {
                progress.aside(|| out.tell_beside(&answer));
            }
            if ends_early {
                broken_off = Some(text(&error["detail"]));
            } else if error.is_null() {
                taken += 1;
            } else {
                refused += 1;
            }
            if (taken + refused).is_multiple_of(SHOWN_EVERY) {
                progress.show(&say!("batch_so_far", taken = taken, refused = refused));
            }
        })
        .await;
    progress.clear();
    sent?;
    out.tell(&match dry_run {
        true => say!("batch_would_be_taken", taken = taken, refused = refused),
        false => say!("batch_taken", taken = taken, refused = refused),
    });
    client.close().await;
    if let Some(why) = broken_off {
        Err(Failure::Failed(say!("batch_cut_off", why = why)))
    } else if refused > 0 {
        Err(Failure::SomeRefused(say!("rows_refused", refused = refused)))
    } else {
        Ok(())
    }
}
