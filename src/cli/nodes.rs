//! `tixing nodes`: the daemons that share a PostgreSQL.

use super::{arguments::Nodes, client::Client, failure::Failure, out::Out, table::rows};
use crate::words::say;
use reqwest::Method;
use serde_json::{Value, json};

/// `tixing nodes …`
pub async fn run(client: &Client, verb: Option<Nodes>, out: Out) -> Result<(), Failure> {
    match verb {
        None => {
            let nodes = list(client).await?;
            if nodes.is_empty() && !out.json {
                out.tell(&say!("one_daemon"));
                client.close().await;
                return Ok(());
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
        Some(Nodes::Bury { node }) => {
            let nodes = list(client).await?;
            let id = number(&nodes, &node)?;
            let answer = set(client, id, "bury").await?;
            // One that ended long ago is not listed.
            let known = !nodes.iter().any(|node| node["id"] == id && node["state"] != "gone");
            let done = if known { say!("node_buried_before", id = id) } else { say!("node_buried", id = id) };
            out.done(&answer, &done);
        }
        Some(Nodes::Drain { node }) => {
            let id = number(&list(client).await?, &node)?;
            let answer = set(client, id, "drain").await?;
            let kept = kept(&answer, id);
            let done = match kept.is_empty() {
                true => say!("node_drains", id = id),
                false => say!("node_drains_alone", id = id, apps = kept),
            };
            out.done(&answer, &done);
        }
    }
    client.close().await;
    Ok(())
}

async fn list(client: &Client) -> Result<Vec<Value>, Failure> {
    let told = client.ask(Method::GET, "/v1/nodes", None).await?;
    Ok(told["nodes"].as_array().cloned().unwrap_or_default())
}

/// The number of a daemon, which is given by it or by its name.
fn number(nodes: &[Value], given: &str) -> Result<i64, Failure> {
    if let Ok(id) = given.parse() {
        return Ok(id);
    }
    let named: Vec<&Value> = nodes.iter().filter(|node| node["name"] == given && node["state"] != "gone").collect();
    match named[..] {
        [] => Err(Failure::NotFound(say!("no_node_of_name", name = given))),
        [one] => Ok(one["id"].as_i64().unwrap_or_default()),
        _ => Err(Failure::Usage(say!("nodes_share_name", name = given, n = named.len()))),
    }
}

/// The apps that a drained daemon keeps: no other live one is configured with them.
fn kept(answer: &Value, id: i64) -> Vec<&str> {
    let nodes = || answer["nodes"].as_array().into_iter().flatten();
    let live = |app: &str| {
        nodes().any(|node| node["id"] != id && node["state"] == "live" && node["configured"].get(app).is_some())
    };
    let apps = nodes().filter(|node| node["id"] == id).flat_map(|node| node["apps"].as_array().into_iter().flatten());
    apps.filter_map(Value::as_str).filter(|app| !live(app)).collect()
}

async fn set(client: &Client, id: i64, verb: &str) -> Result<Value, Failure> {
    client.ask(Method::POST, &format!("/v1/nodes/{id}/{verb}"), None).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_named_by_its_number_or_by_a_name_that_no_other_has_which_is_not_gone() {
        let node = |id: i64, name: &str, state: &str| json!({ "id": id, "name": name, "state": state });
        let nodes = [node(1, "a", "gone"), node(2, "a", "live"), node(3, "b", "live"), node(4, "b", "lapsed")];
        assert_eq!(number(&nodes, "1").expect("a number"), 1);
        assert_eq!(number(&nodes, "a").expect("one has it"), 2);
        let refused = |given: &str| number(&nodes, given).expect_err(given);
        assert!(matches!(refused("c"), Failure::NotFound(_)));
        assert!(matches!(refused("b"), Failure::Usage(what) if what.to_string().contains("give the number")));
    }

    #[test]
    fn a_drained_daemon_keeps_what_no_other_live_one_is_configured_with() {
        let node = |id: i64, state: &str, configured: &[&str], apps: &[&str]| {
            let configured: serde_json::Map<String, Value> =
                configured.iter().map(|app| ((*app).to_owned(), "digest".into())).collect();
            json!({ "id": id, "state": state, "configured": configured, "apps": apps })
        };
        let nodes = |second: &str| {
            json!({ "nodes": [
                node(1, "leaving", &["coffee", "tea"], &["coffee", "tea"]),
                node(2, second, &["coffee"], &[]),
            ] })
        };
        assert_eq!(kept(&nodes("live"), 1), ["tea"]);
        assert_eq!(kept(&nodes("lapsed"), 1), ["coffee", "tea"]);
        assert!(kept(&nodes("live"), 2).is_empty());
    }
}
