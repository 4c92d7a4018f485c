//! `tixing key`: API keys.

use super::{
    arguments::Key,
    client::Client,
    each::each,
    failure::Failure,
    out::{Out, data},
    table::{rows, text},
};
use crate::words::say;
use reqwest::Method;
use serde_json::json;

/// `tixing key …`
pub async fn run(client: &Client, verb: Key, out: Out) -> Result<(), Failure> {
    match verb {
        Key::Create { name, scope, apps } => {
            let apps = (!apps.is_empty()).then_some(apps);
            let made = client
                .ask(Method::POST, "/v1/keys", Some(json!({ "name": name, "scope": scope.word(), "apps": apps })))
                .await?;
            if out.json {
                data!("{made}");
            } else if let Some(feed) = made["feed"].as_str() {
                data!("{}{feed}", client.address());
                out.tell(&say!("keep_feed", address = client.address()));
            } else {
                data!("{}", text(&made["key"]));
                out.tell(&say!("keep_key"));
            }
        }
        Key::List => {
            let answer = client.ask(Method::GET, "/v1/keys", None).await?;
            let keys = answer["keys"].as_array().cloned().unwrap_or_default();
            rows(&keys, &["id", "name", "scope", "apps", "created_at", "revoked_at"], client, out);
        }
        Key::Revoke { ids } => {
            let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
            each(&ids, out, async |id| {
                client.ask(Method::DELETE, &format!("/v1/keys/{id}"), None).await?;
                out.done(&json!({ "id": id.parse::<i64>().ok(), "revoked": true }), &say!("key_revoked"));
                Ok(())
            })
            .await?;
        }
    }
    client.close().await;
    Ok(())
}
