//! `tixing consent`: what users accepted.

use super::{
    arguments::Consent,
    client::{Client, query},
    failure::Failure,
    out::{Out, data},
    table::rows,
};
use crate::words::say;
use reqwest::Method;
use serde_json::{Map, Value, json};

/// `tixing consent …`
pub async fn run(client: &Client, verb: Consent, out: Out) -> Result<(), Failure> {
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
    if out.json {
        data!("{answer}");
        return Ok(());
    }
    let balances = of_app(&answer["balances"], &answer["app"]);
    let columns = [
        ("template", say!("column_template")),
        ("name", say!("column_name")),
        ("available", say!("column_available")),
        ("held", say!("column_held")),
        ("used", say!("column_used")),
        ("void", say!("column_void")),
    ];
    rows(&balances, &columns, client, out);
    if answer["history"].is_array() {
        let history = of_app(&answer["history"], &answer["app"]);
        let columns = [
            ("template", say!("column_template")),
            ("n", say!("column_number")),
            ("granted_at", say!("column_granted")),
            ("source", say!("column_source")),
            ("state", say!("column_state")),
            ("void_reason", say!("column_why")),
            ("reminder", say!("column_reminder")),
        ];
        rows(&history, &columns, client, out);
    }
    Ok(())
}

/// The rows, each with the app that all of them are about.
fn of_app(rows: &Value, app: &Value) -> Vec<Value> {
    let mut rows = rows.as_array().cloned().unwrap_or_default();
    rows.iter_mut().for_each(|row| row["app"] = app.clone());
    rows
}
