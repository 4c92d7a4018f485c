//! `tixing doubt`: reminders of which nobody knows whether they arrived.

use super::{
    arguments::Doubt,
    client::{Client, query},
    each::each,
    failure::Failure,
    out::Out,
    table::{rows, tell_of_more},
    which::id_path,
};
use crate::words::say;
use reqwest::Method;
use serde_json::json;

/// `tixing doubt …`
pub async fn run(client: &Client, verb: Doubt, out: Out) -> Result<(), Failure> {
    match verb {
        Doubt::List { app, given_up, limit } => {
            let given_up = given_up.then(|| "true".to_owned());
            let query = query(&[("app", app), ("given_up", given_up), ("limit", Some(limit.to_string()))]);
            let page = client.ask(Method::GET, &format!("/v1/doubts{query}"), None).await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            rows(&items, &["at", "id", "state", "reason", "next_at", "expires_at", "app", "openid"], client, out);
            tell_of_more(&page, &say!("more_doubts"), out);
        }
        Doubt::Resolve { ids, verdict } => {
            each(&ids, out, async |id| {
                let path = id_path(id)?.replace("/reminders/", "/doubts/");
                let reminder = client.ask(Method::POST, &path, Some(json!({ "as": verdict }))).await?;
                out.done(&reminder, &say!("doubt_decided", state = reminder["state"]));
                Ok(())
            })
            .await?;
        }
    }
    client.close().await;
    Ok(())
}
