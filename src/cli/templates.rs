//! `tixing template`: what the platform has of the configured templates.

use super::{
    arguments::Template,
    client::{Client, query},
    failure::Failure,
    out::Out,
    progress::during,
    table::{rows, text},
};
use crate::words::say;
use reqwest::Method;
use serde_json::json;

/// `tixing template …`
pub async fn run(client: &Client, verb: Template, out: Out) -> Result<(), Failure> {
    let answer = match verb {
        Template::List { app } => {
            client.ask(Method::GET, &format!("/v1/templates{}", query(&[("app", app)])), None).await?
        }
        Template::Refresh { app } => {
            let read = client.ask(Method::POST, "/v1/templates/refresh", Some(json!({ "app": app })));
            during(out, say!("waiting_for_answer"), read).await?
        }
    };
    client.close().await;
    let mut templates = answer["templates"].as_array().cloned().unwrap_or_default();
    if !out.json {
        for template in &mut templates {
            let fields = template["fields"].as_object().into_iter().flatten();
            let fields: Vec<String> = fields.map(|(key, label)| format!("{key} {}", text(label))).collect();
            template["fields"] = fields.join("\n").into();
            let differs: Vec<String> = template["out_of_step"].as_array().into_iter().flatten().map(text).collect();
            let never = template["listed_at"].is_null();
            let listable = template["listable"] == true;
            template["on_platform"] = match differs.is_empty() {
                true if !listable => say!("template_never_listed").say(out.voice).into(),
                true if never => say!("template_not_asked").say(out.voice).into(),
                true => say!("template_in_step").say(out.voice).into(),
                false => differs.join("; ").into(),
            };
        }
    }
    rows(&templates, &["app", "name", "id", "kind", "fields", "listed_at", "on_platform"], client, out);
    Ok(())
}
