//! `tixing template`: what the platform has of the configured templates.

use super::{
    arguments::{Lang, Template},
    client::{Client, query},
    failure::Failure,
    table::{rows, text},
};
use reqwest::Method;
use serde_json::json;

/// `tixing template …`
pub async fn run(client: &Client, verb: Template, as_json: bool, lang: Lang) -> Result<(), Failure> {
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
