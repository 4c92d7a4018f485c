//! `tixing backup`, `verify`, `restore`, `release`.

use super::{
    arguments::Lang,
    client,
    failure::Failure,
    out::{data, some, talk},
};
use crate::{
    clock::SystemClock,
    config::Config,
    daemon::StartError,
    domain::timing::rfc3339,
    store::{
        Store,
        backup::{self, RestoreError, Restored},
    },
};
use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Makes a backup through the daemon, or by itself where none runs.
pub async fn backup(config: Config, file: &Path, as_json: bool, lang: Lang) -> Result<(), Failure> {
    // The daemon has another working folder.
    let to = std::path::absolute(file).with_context(|| format!("cannot name {}", file.display()))?;
    let Some(name) = to.to_str() else {
        return Err(Failure::Usage(format!("the name {} is not UTF-8: choose another", to.display())));
    };
    let client = client::connect(config).await?;
    let made = client.ask(Method::POST, "/v1/backup", Some(json!({ "to": name }))).await;
    client.close().await;
    let made = made?;
    if as_json {
        data!("{made}");
    } else {
        let said = lang.pick("the store is backed up to", "已备份到");
        talk!("{said} {}; `tixing verify` {}", to.display(), lang.pick("says whether it is whole", "可检查其完整性"));
    }
    Ok(())
}

/// Looks whether a backup is good.
pub async fn verify(file: &Path, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let contents = backup::verify(file).await.map_err(|e| Failure::Failed(e.into()))?;
    let as_of = rfc3339(contents.as_of);
    if as_json {
        let value = json!({ "ok": true, "as_of": as_of, "schema": contents.schema, "living": contents.living, "consents": contents.consents });
        data!("{value}");
    } else {
        data!(
            "{}: {}",
            file.display(),
            match lang {
                Lang::En => format!(
                    "a whole backup of {as_of}; {} not ended, {}",
                    some(contents.living.unsigned_abs(), "reminder"),
                    some(contents.consents.unsigned_abs(), "consent")
                ),
                Lang::Zh =>
                    format!("完整备份，时间 {as_of}；{} 条未结束的提醒，{} 次订阅", contents.living, contents.consents),
            }
        );
    }
    Ok(())
}

/// Puts a backup into the place of the store, or a restored PostgreSQL database on hold.
pub async fn restore(config: Config, file: Option<PathBuf>, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let clock = SystemClock::shared();
    let now = clock.now();
    let restored = match (config.store.url.strip_prefix("sqlite:"), file) {
        (Some(path), Some(file)) => backup::restore(&file, Path::new(path), now).await.map_err(|e| match e {
            RestoreError::Backup(e) => Failure::Failed(e.into()),
            RestoreError::Store(e) => StartError::from(e).into(),
        })?,
        (Some(_), None) => return Err(Failure::Usage("name the backup: tixing restore FILE".into())),
        (None, Some(_)) => {
            let what = "PostgreSQL is restored with pg_restore; what a start does not see by itself, `tixing restore` without a file puts \
                        on hold";
            return Err(Failure::Usage(what.into()));
        }
        (None, None) => {
            let opened = Store::open(&config.store.url, config.store.durability, &config.apps, clock).await;
            let store = opened.map_err(StartError::from)?;
            let held = async {
                store.set_hold().await?;
                let hold = store.hold().await?.context("the hold that was just set is gone")?;
                Ok::<_, anyhow::Error>((hold.since, store.overdue_on_hold(&hold, now).await?))
            };
            let held = held.await.map_err(|e| Failure::Unreachable(e.to_string()));
            store.close().await;
            let (since, overdue) = held?;
            Restored { since, overdue, former: None }
        }
    };
    let overdue = json!(restored.overdue);
    if as_json {
        let held_since = rfc3339(restored.since);
        data!("{}", json!({ "held_since": held_since, "overdue": overdue, "former": restored.former }));
        return Ok(());
    }
    if let Some(former) = &restored.former {
        talk!("{} {}", lang.pick("the former store is kept as", "原数据保留为"), former.display());
    }
    tell(&overdue, lang);
    talk!(
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
        let held = client.ask(Method::GET, "/v1/release", None).await;
        client.close().await;
        let held = held?;
        if as_json {
            data!("{held}");
            return Ok(());
        }
        talk!("{}", held["hold"][lang.pick("en", "zh")].as_str().unwrap_or_default());
        tell(&held["overdue"], lang);
        let what = lang.pick(
            "on hold; nothing has changed. End it with --assume-sent (nobody gets a message twice) or --send (nobody misses one)",
            "仍处于保持状态，未做任何更改。用 --assume-sent（没有人会收到两次）或 --send（没有人会漏收）解除",
        );
        talk!("{what}");
        return Ok(());
    };
    let released = client.ask(Method::POST, "/v1/release", Some(json!({ "due": due }))).await;
    client.close().await;
    let released = released?;
    if as_json {
        data!("{released}");
    } else {
        let n = |name: &str| released[name].as_u64().unwrap_or_default();
        let (assumed, to_send) = (n("assumed_sent"), n("to_send"));
        match lang {
            Lang::En if due == "send" => {
                talk!(
                    "the hold has ended; {} go out now, as far as their deadlines allow",
                    some(to_send, "overdue reminder")
                );
            }
            Lang::En => talk!("the hold has ended; {} assumed to have been sent", some(assumed, "reminder")),
            Lang::Zh if due == "send" => talk!("已解除保持；{to_send} 条已到点的提醒将在截止时间前发送"),
            Lang::Zh => talk!("已解除保持；{assumed} 条提醒按已发送处理"),
        }
    }
    Ok(())
}

fn tell(overdue: &Value, lang: Lang) {
    for one in overdue.as_array().into_iter().flatten() {
        let (app, n) = (one["app"].as_str().unwrap_or_default(), one["n"].as_u64().unwrap_or_default());
        match lang {
            Lang::En => data!("{app}: {} became due since and may have been sent", some(n, "reminder")),
            Lang::Zh => data!("{app}：{n} 条提醒在此后到点，可能已经发送"),
        }
    }
}
