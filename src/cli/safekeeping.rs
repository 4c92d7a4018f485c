//! `tixing backup`, `verify`, `restore`, `release`.

use super::{
    Failure, Lang,
    client::{self, Client},
};
use crate::{
    clock::SystemClock,
    config::Config,
    daemon::StartError,
    domain::timing::rfc3339,
    store::{
        Store,
        backup::{self, Overdue},
    },
};
use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Makes a backup through the daemon, or by itself where none runs.
pub async fn backup(client: &Client, file: &Path, as_json: bool, lang: Lang) -> Result<(), Failure> {
    // The daemon has another working folder.
    let to = std::path::absolute(file).with_context(|| format!("cannot name {}", file.display()))?;
    let made = client.ask(Method::POST, "/v1/backup", Some(json!({ "to": to.display().to_string() }))).await;
    client.close().await;
    let made = made?;
    if as_json {
        println!("{made}");
    } else {
        let said = lang.pick("the store is backed up to", "已备份到");
        eprintln!(
            "{said} {}; `tixing verify` {}",
            to.display(),
            lang.pick("says whether it is whole", "可检查其完整性")
        );
    }
    Ok(())
}

/// Looks whether a backup is good.
pub async fn verify(file: &Path, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let contents = backup::verify(file).await.map_err(|e| Failure::Failed(e.into()))?;
    let as_of = rfc3339(contents.as_of);
    if as_json {
        let value = json!({ "ok": true, "as_of": as_of, "schema": contents.schema, "living": contents.living, "consents": contents.consents });
        println!("{value}");
    } else {
        println!(
            "{}: {} {as_of}, {} {}, {} {}",
            file.display(),
            lang.pick("a whole backup of", "完整备份，时间"),
            contents.living,
            lang.pick("reminders that have not ended", "条未结束的提醒"),
            contents.consents,
            lang.pick("consents", "次订阅"),
        );
    }
    Ok(())
}

/// Puts a backup into the place of the store, or a restored PostgreSQL database on hold.
pub async fn restore(config: Config, file: Option<PathBuf>, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let clock = SystemClock::shared();
    let now = clock.now();
    let (overdue, former) = match (config.store_url.strip_prefix("sqlite:"), file) {
        (Some(path), Some(file)) => backup::restore(&file, Path::new(path), now).await.map_err(StartError::from)?,
        (Some(_), None) => return Err(Failure::Usage("name the backup: tixing restore FILE".into())),
        (None, Some(_)) => {
            let what = "PostgreSQL is restored with pg_restore; afterwards run `tixing restore` without a file, which puts it on hold";
            return Err(Failure::Usage(what.into()));
        }
        (None, None) => {
            let opened = Store::open(&config.store_url, config.durability, &config.apps, clock).await;
            let store = opened.map_err(StartError::from)?;
            let held = async {
                store.set_hold(Some(now)).await?;
                store.overdue_by_app(now).await
            };
            let overdue = held.await.map_err(|e| Failure::Unreachable(e.to_string()));
            store.close().await;
            (overdue?, None)
        }
    };
    if as_json {
        println!("{}", json!({ "overdue": shown(&overdue), "former": former }));
        return Ok(());
    }
    if let Some(former) = &former {
        eprintln!("{} {}", lang.pick("the former store is kept as", "原数据保留为"), former.display());
    }
    tell(&shown(&overdue), lang);
    eprintln!(
        "{}",
        lang.pick(
            "the store is on hold: the daemon starts, takes reminders and sends nothing until `tixing release`.\n\
             Reminders and consents that came since the backup are gone, and consents that were spent since look available again.",
            "数据已进入保持状态：守护进程可以启动和接收提醒，但在 tixing release 之前不会发送。\n\
             备份之后新增的提醒和订阅已丢失，备份之后用掉的订阅会显示为可用。"
        )
    );
    Ok(())
}

/// Ends a hold, or says what would follow from either way of ending it.
pub async fn release(config: Config, due: Option<&str>, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let client = client::connect(config).await?;
    let Some(due) = due else {
        let stats = client.ask(Method::GET, "/v1/stats", None).await;
        client.close().await;
        let stats = stats?;
        if stats["held_since"].is_null() {
            return Err(Failure::NotFound("the store is not on hold".into()));
        }
        let count = |app: &Value| json!({ "app": app["app"], "n": app["due"] });
        let overdue: Vec<Value> = stats["apps"].as_array().into_iter().flatten().map(count).collect();
        if as_json {
            println!("{}", json!({ "held_since": stats["held_since"], "overdue": overdue }));
            return Ok(());
        }
        tell(&overdue, lang);
        let what = lang.pick(
            "on hold; nothing has changed. End it with --assume-sent (nobody gets a message twice) or --send (nobody misses one)",
            "仍处于保持状态，未做任何更改。用 --assume-sent（没有人会收到两次）或 --send（没有人会漏收）解除",
        );
        eprintln!("{what}");
        return Ok(());
    };
    let released = client.ask(Method::POST, "/v1/release", Some(json!({ "due": due }))).await;
    client.close().await;
    let released = released?;
    if as_json {
        println!("{released}");
    } else {
        eprintln!(
            "{}: {} {}",
            lang.pick("the hold has ended; assumed to have been sent", "已解除保持；按已发送处理"),
            released["assumed_sent"],
            lang.pick("reminders", "条提醒"),
        );
    }
    Ok(())
}

fn shown(overdue: &[Overdue]) -> Vec<Value> {
    let one = |o: &Overdue| json!({ "app": o.app, "n": o.n, "first": rfc3339(o.first), "last": rfc3339(o.last) });
    overdue.iter().map(one).collect()
}

fn tell(overdue: &[Value], lang: Lang) {
    for app in overdue.iter().filter(|app| app["n"] != 0) {
        println!(
            "{}: {} {}",
            app["app"].as_str().unwrap_or_default(),
            app["n"],
            lang.pick(
                "reminders became due since the backup and may have been sent",
                "条提醒在备份之后到点，可能已经发送"
            ),
        );
    }
}
