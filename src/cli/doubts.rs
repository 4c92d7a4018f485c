//! `tixing doubt`: reminders of which nobody knows whether they arrived.

use super::{
    arguments::{Doubt, Lang},
    client::{Client, query},
    failure::Failure,
    out::data,
    out::talk,
    reminders::id_path,
    table::{rows, tell_of_more, text},
};
use reqwest::Method;
use serde_json::json;

/// `tixing doubt …`
pub async fn run(client: &Client, verb: Doubt, as_json: bool, lang: Lang) -> Result<(), Failure> {
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
