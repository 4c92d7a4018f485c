//! `tixing key`: API keys.

use super::{
    arguments::{Key, Lang},
    client::Client,
    failure::Failure,
    out::{data, talk},
    table::{rows, text},
};
use reqwest::Method;
use serde_json::json;

/// `tixing key …`
pub async fn run(client: &Client, verb: Key, as_json: bool, lang: Lang) -> Result<(), Failure> {
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
