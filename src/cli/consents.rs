//! `tixing consent`: what users accepted.

use super::{
    arguments::Consent,
    client::{Client, query},
    failure::Failure,
    out::data,
    table::rows,
};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// `tixing consent …`
pub async fn run(client: &Client, verb: Consent, as_json: bool) -> Result<(), Failure> {
    let answer = match verb {
        Consent::Add { user, templates, event } => {
            let results: Map<String, Value> =
                templates.into_iter().map(|template| (template, "accept".into())).collect();
            let mut body = json!({ "app": user.app, "openid": user.openid, "results": results, "source": "cli" });
            if let Some(event) = event {
                body["event"] = event.into();
            }
            client.ask(Method::POST, "/v1/consents", Some(body)).await?
        }
        Consent::Show { user, history } => {
            let query = query(&[
                ("app", Some(user.app)),
                ("openid", Some(user.openid)),
                ("history", history.then(|| "true".to_owned())),
            ]);
            client.ask(Method::GET, &format!("/v1/consents{query}"), None).await?
        }
    };
    client.close().await;
    if as_json {
        data!("{answer}");
        return Ok(());
    }
    let balances = answer["balances"].as_array().cloned().unwrap_or_default();
    let columns = [
        ("template", "template"),
        ("name", "name"),
        ("available", "available"),
        ("held", "held"),
        ("used", "used"),
        ("void", "void"),
    ];
    rows(&balances, &columns, false);
    if let Some(history) = answer["history"].as_array() {
        let columns = [
            ("template", "template"),
            ("n", "n"),
            ("granted_at", "granted"),
            ("source", "source"),
            ("state", "state"),
            ("void_reason", "why"),
            ("reminder", "reminder"),
        ];
        rows(history, &columns, false);
    }
    Ok(())
}
