//! `tixing consent`: what users accepted.

use super::{
    arguments::Consent,
    client::{Client, query},
    failure::Failure,
    out::{Out, data},
    table::rows,
};
use crate::{domain::consent::Ticket, words::say};
use reqwest::Method;
use serde_json::{Map, Value, json};

/// `tixing consent …`
pub async fn run(client: &Client, verb: Consent, out: Out) -> Result<(), Failure> {
    let answer = match verb {
        Consent::Add { user, templates, event, subscribe_id, ticket } => {
            let results: Map<String, Value> =
                templates.into_iter().map(|template| (template, "accept".into())).collect();
            let mut body = json!({ "app": user.app, "openid": user.openid, "results": results, "source": "cli" });
            if let Some(event) = event {
                body["event"] = event.into();
            }
            if let Some(id) = subscribe_id {
                body["subscribe_id"] = id.into();
            }
            if let Some(Ticket { kind, id }) = ticket.as_deref().map(Ticket::of) {
                body["ticket"] = json!({ "kind": kind, "id": id });
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
        Consent::Ask { user } => {
            let query = query(&[("app", Some(user.app)), ("openid", Some(user.openid))]);
            client.ask(Method::GET, &format!("/v1/consents/ask{query}"), None).await?
        }
    };
    client.close().await;
    if out.json {
        data!("{answer}");
        return Ok(());
    }
    if answer["why"].is_array() {
        let why = of_app(&answer["why"], &answer["app"]);
        match why.is_empty() {
            true => out.tell(&say!("nothing_to_ask")),
            false => rows(&why, &["template", "name", "missing", "first"], client, out),
        }
        return Ok(());
    }
    out.tell_beside(&answer);
    let balances = of_app(&answer["balances"], &answer["app"]);
    rows(&balances, &["template", "name", "available", "held", "used", "void"], client, out);
    if answer["history"].is_array() {
        let history = of_app(&answer["history"], &answer["app"]);
        rows(
            &history,
            &["template", "n", "granted_at", "ends_at", "source", "state", "void_reason", "reminder"],
            client,
            out,
        );
    }
    Ok(())
}

/// The rows, each with the app that all of them are about.
fn of_app(rows: &Value, app: &Value) -> Vec<Value> {
    let mut rows = rows.as_array().cloned().unwrap_or_default();
    rows.iter_mut().for_each(|row| row["app"] = app.clone());
    rows
}
