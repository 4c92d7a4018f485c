//! `tixing nodes`: the daemons that share a PostgreSQL.

use super::{arguments::Nodes, client::Client, failure::Failure, out::Out, table::rows};
use crate::words::{Message, say};
use reqwest::Method;
use serde_json::{Value, json};

/// `tixing nodes …`
pub async fn run(client: &Client, verb: Option<Nodes>, out: Out) -> Result<(), Failure> {
    match verb {
        None => {
            let told = client.ask(Method::GET, "/v1/nodes", None).await?;
            let nodes = told["nodes"].as_array().cloned().unwrap_or_default();
            if nodes.is_empty() && !out.json {
                out.tell(&say!("one_daemon"));
            }
            let flat = |node: &Value| {
                let shards = node["shards"].as_object().into_iter().flatten();
                let app = |(app, n): (&String, &Value)| if n == 1 { app.clone() } else { format!("{app} ×{n}") };
                let apps: Vec<String> = shards.map(app).collect();
                let name = node["name"].as_str().unwrap_or_default();
                let this = node["this"] == true;
                // For people; JSON has all that the API says.
                let name =
                    if this && !out.json { say!("this_node", name = name).say(out.voice) } else { name.to_owned() };
                let mut flat = node.clone();
                flat["name"] = name.into();
                if !out.json {
                    flat["node"] = node["id"].clone();
                    flat["apps"] = json!(apps.join(", "));
                }
                flat
            };
            let flat: Vec<Value> = nodes.iter().map(flat).collect();
            rows(
                &flat,
                &["node", "name", "state", "apps", "silent_ms", "skew_ms", "under_way", "version", "started_at"],
                client,
                out,
            );
        }
        Some(Nodes::Bury { id }) => set(client, id, "bury", &say!("node_buried", id = id), out).await?,
        Some(Nodes::Drain { id }) => set(client, id, "drain", &say!("node_drains", id = id), out).await?,
    }
    client.close().await;
    Ok(())
}

async fn set(client: &Client, id: i64, verb: &str, done: &Message, out: Out) -> Result<(), Failure> {
    let answer = client.ask(Method::POST, &format!("/v1/nodes/{id}/{verb}"), None).await?;
    out.done(&answer, done);
    Ok(())
}
