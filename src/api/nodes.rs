//! `/v1/nodes`: the daemons that share a PostgreSQL, and what an operator says of one.

use super::{Api, auth::Caller, extract::json, problem::Problem};
use crate::{
    domain::{
        Millis,
        node::{NodeId, NodeState},
        timing::{as_rfc3339, cut},
    },
    store::{
        StoreError,
        keys::Scope,
        nodes::{Buried, NodeRow},
    },
    words::say,
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A daemon: one start of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Node {
    /// Which.
    id: i64,
    /// `server.node` of its configuration, or its machine's name.
    name: String,
    /// `live`, `leaving` (it takes nothing more), `lapsed` (it was not heard of for too long, and others have its apps) or `gone` (it has ended).
    state: NodeState,
    /// It is the one that answers.
    this: bool,
    /// The apps that it sends for now.
    apps: Vec<String>,
    /// Of each of them, how many shards it sends.
    shards: BTreeMap<String, i64>,
    /// Its version of tixing.
    version: String,
    /// When it began, by its own clock.
    #[serde(serialize_with = "as_rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    started_at: Millis,
    /// How long ago the database last heard of it, in milliseconds.
    silent_ms: Millis,
    /// How far its clock is before the database's, in milliseconds.
    skew_ms: Millis,
    /// Reminders that it has under way, or has left so: of a daemon that has lapsed they wait until it is known to have ended.
    under_way: i64,
    /// Its machine's id; empty where it has none.
    machine: String,
    /// The start of its machine.
    boot: String,
    /// The apps that it is configured with, each with a digest of its settings.
    configured: BTreeMap<String, String>,
}

/// The daemons.
#[derive(Debug, Serialize, ToSchema)]
pub struct Nodes {
    /// By their names. On SQLite there is one daemon, and none is listed.
    nodes: Vec<Node>,
}

impl Api {
    /// The daemons that share the database, as it knows them.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn nodes(&self) -> Result<Nodes, StoreError> {
        Ok(Nodes { nodes: self.store.nodes().await?.into_iter().map(|row| self.node(row)).collect() })
    }

    fn node(&self, row: NodeRow) -> Node {
        let this = self.store.node() == Some(row.id);
        let NodeRow { id: NodeId(id), name, state, version, configured, machine, boot, skew, started_at, .. } = row;
        let (silent_ms, skew_ms, shards, under_way) = (row.silent_for.max(0), skew, row.lanes, row.left);
        Node {
            id,
            name,
            state,
            this,
            apps: shards.keys().cloned().collect(),
            shards,
            version,
            started_at,
            silent_ms,
            skew_ms,
            under_way,
            machine,
            boot,
            configured,
        }
    }
}

/// The number of a daemon. What is none names none.
fn number(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::new("not_found", say!("no_such_node", id = cut(text))))
}

/// The daemons that share the database, those too that ended within a day.
#[utoipa::path(get, path = "/v1/nodes", operation_id = "list_nodes", tag = "operations", responses(
    (status = 200, description = "As the database knows them", body = Nodes)))]
pub async fn list(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    if !caller.sees_all() {
        return Err(Problem::new("forbidden", say!("nodes_are_of_all_apps")));
    }
    Ok(json(StatusCode::OK, &api.nodes().await?))
}

/// Say that a daemon that has lapsed has surely ended: its machine is off, or its process was seen to be dead. What it had under way is then decided
/// about, perhaps by sending it a second time. A daemon that merely stands still, or can't reach the database, must not be buried.
#[utoipa::path(post, path = "/v1/nodes/{id}/bury", operation_id = "bury_node", tag = "operations", params(("id" = i64, Path)), responses(
    (status = 200, description = "It is gone, also if it was before", body = Nodes), (status = 404, description = "There is no such daemon"),
    (status = 409, description = "`node_works`: the database has heard of it a moment ago")))]
pub async fn bury(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    let id = number(&id)?;
    match api.store.bury(NodeId(id)).await? {
        Buried::Yes => {}
        Buried::NotFound => return Err(Problem::new("not_found", say!("no_such_node", id = id))),
        Buried::Works => return Err(Problem::new("node_works", say!("node_works", id = id))),
    }
    tracing::warn!(node = id, by = caller.name(), "an operator says that a daemon has ended");
    list(State(api), caller).await
}

/// Have a daemon hand over all its apps to others and take nothing more, while it goes on to answer. It takes part again when it is started again.
#[utoipa::path(post, path = "/v1/nodes/{id}/drain", operation_id = "drain_node", tag = "operations", params(("id" = i64, Path)), responses(
    (status = 200, description = "It hands over within a second", body = Nodes), (status = 404, description = "No such daemon lives")))]
pub async fn drain(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    let id = number(&id)?;
    if !api.store.drain(NodeId(id)).await? {
        return Err(Problem::new("not_found", say!("no_such_node", id = id)));
    }
    tracing::warn!(node = id, by = caller.name(), "an operator has a daemon hand over its apps");
    list(State(api), caller).await
}
