//! `tixing backup`, `verify`, `restore`, `release`.

use super::{
    client,
    failure::Failure,
    out::{Out, data},
    progress::during,
};
use crate::{
    clock::SystemClock,
    config::Config,
    daemon::StartError,
    domain::timing::rfc3339,
    store::{
        Store,
        backup::{self, RestoreError, Restored},
        keys::{ApiKey, KeyName},
    },
    words::{Lang, Message, say},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Makes a backup through the daemon, or by itself where none runs.
pub async fn backup(config: Config, file: &Path, out: Out) -> Result<(), Failure> {
    // The daemon has another working folder.
    let absolute = std::path::absolute(file);
    let to = absolute
        .map_err(|e| Failure::Failed(say!("cannot_write", file = file.to_string_lossy(), why = e.to_string())))?;
    let Some(name) = to.to_str() else {
        return Err(Failure::Usage(say!("name_not_utf8", file = to.to_string_lossy())));
    };
    let client = client::connect(config, out.voice).await?;
    let made = client.ask(Method::POST, "/v1/backup", Some(json!({ "to": name })));
    let made = during(out, say!("backing_up", file = name), made).await;
    client.close().await;
    out.done(&made?, &say!("backed_up", file = name));
    Ok(())
}

/// Looks whether a backup is good.
pub async fn verify(file: &Path, out: Out) -> Result<(), Failure> {
    let contents = during(out, say!("verifying", file = file.to_string_lossy()), backup::verify(file)).await?;
    if out.json {
        let as_of = rfc3339(contents.as_of);
        let value = json!({ "ok": true, "as_of": as_of, "schema": contents.schema, "living": contents.living, "consents": contents.consents });
        data!("{value}");
    } else {
        let (living, consents) = (contents.living, contents.consents);
        out.show(&say!(
            "backup_whole",
            file = file.to_string_lossy(),
            at = contents.as_of,
            living = living,
            consents = consents
        ));
    }
    Ok(())
}

/// Puts a backup into the place of the store, or a restored PostgreSQL database on hold.
pub async fn restore(config: Config, file: Option<PathBuf>, out: Out) -> Result<(), Failure> {
    let clock = SystemClock::shared();
    let now = clock.now();
    let restored = match (config.store.url.strip_prefix("sqlite:"), file) {
        (Some(path), Some(file)) => backup::restore(&file, Path::new(path), now).await.map_err(|e| match e {
            RestoreError::Backup(why) => Failure::Failed(why),
            RestoreError::Store(e) => StartError::from(e).into(),
        })?,
        (Some(_), None) => return Err(Failure::Usage(say!("name_the_backup"))),
        (None, Some(_)) => return Err(Failure::Usage(say!("restore_postgres"))),
        (None, None) => {
            let opened = Store::open(&config.store.url, config.store.durability, &config.apps, clock).await;
            let store = opened.map_err(StartError::from)?;
            let held = async {
                store.set_hold().await?;
                let hold = store.hold().await?.ok_or_else(|| say!("not_on_hold"))?;
                let keys = store.keys().await?;
                let living = keys.iter().filter(|key| key.revoked_at.is_none()).map(ApiKey::named).collect();
                Ok::<_, Message>((hold.since, store.overdue_on_hold(&hold, now).await?, living))
            };
            let held = held.await.map_err(Failure::Unreachable);
            store.close().await;
            let (since, overdue, living): (_, _, Vec<KeyName>) = held?;
            Restored { since, overdue, former: None, schema: None, revoked: Vec::new(), living, unread: None }
        }
    };
    let overdue = json!(restored.overdue);
    if out.json {
        let held_since = rfc3339(restored.since);
        let former = restored.former.as_deref().map(Path::to_string_lossy);
        let value = json!({ "held_since": held_since, "overdue": overdue, "former": former, "schema": restored.schema,
            "revoked_keys": restored.revoked, "living_keys": restored.living });
        data!("{value}");
        return Ok(());
    }
    if let Some(former) = &restored.former {
        out.tell(&say!("former_store_kept", file = former.to_string_lossy()));
    }
    if let Some(schema) = restored.schema {
        out.tell(&say!("backup_upgraded", schema = schema));
    }
    tell(&overdue, out);
    tell_keys(&restored, out);
    out.tell(&say!("store_on_hold"));
    Ok(())
}

/// Releases a store on hold, or says why it is on hold and what each way of releasing it would do.
pub async fn release(config: Config, due: Option<&str>, until: Option<String>, out: Out) -> Result<(), Failure> {
    let client = client::connect(config, out.voice).await?;
    let Some(due) = due else {
        let held = client.ask(Method::GET, "/v1/release", None).await;
        client.close().await;
        let held = held?;
        if out.json {
            data!("{held}");
            return Ok(());
        }
        let why = &held["hold"][if out.voice.lang == Lang::Zh { "zh" } else { "en" }];
        out.tell(&Message::text(why.as_str().unwrap_or_default()));
        tell(&held["overdue"], out);
        let reasons = held["hold"]["reasons"].as_array().into_iter().flatten();
        // Where nothing but its last commits is lost, all keys are the store's own.
        let is_older = reasons.into_iter().any(|reason| reason != "lost_commits");
        if let Some(keys) = held["keys"].as_array().filter(|keys| is_older && !keys.is_empty()) {
            let keys: Vec<Message> =
                keys.iter().map(|key| say!("key_named", id = key["id"], name = key["name"])).collect();
            out.tell(&say!("keys_of_backup", keys = keys));
        }
        out.tell(&say!("still_on_hold"));
        return Ok(());
    };
    let body = match &until {
        Some(until) => json!({ "due": due, "until": until }),
        None => json!({ "due": due }),
    };
    let released = client.ask(Method::POST, "/v1/release", Some(body)).await;
    client.close().await;
    let released = released?;
    let said = match (due, until) {
        ("send", _) => say!("released_to_send", n = released["to_send"]),
        (_, None) => say!("released_assumed", n = released["assumed_sent"]),
        (_, Some(_)) => say!("released_until", n = released["assumed_sent"], to_send = released["to_send"]),
    };
    out.done(&released, &said);
    Ok(())
}

/// Which keys stay revoked, and which may have come back to life.
fn tell_keys(restored: &Restored, out: Out) {
    let named = |keys: &[KeyName]| -> Vec<Message> {
        keys.iter().map(|key| say!("key_named", id = key.id, name = key.name)).collect()
    };
    if !restored.revoked.is_empty() {
        out.tell(&say!("keys_stay_revoked", keys = named(&restored.revoked)));
    }
    if restored.living.is_empty() {
        return;
    }
    let living = named(&restored.living);
    match (&restored.former, &restored.unread) {
        (Some(_), None) => {}
        (Some(_), Some(why)) => out.tell(&say!("keys_unread", why = why, keys = living)),
        (None, _) => out.tell(&say!("keys_of_backup", keys = living)),
    }
}

fn tell(overdue: &Value, out: Out) {
    for one in overdue.as_array().into_iter().flatten() {
        out.show(&say!("became_due", app = one["app"], n = one["n"]));
    }
}
