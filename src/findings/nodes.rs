//! The daemons that share a PostgreSQL: whether each is alive, and whether they agree.

use crate::{
    domain::{Millis, SECOND, node::Peer},
    findings::{Level, Report},
    words::say,
};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// A clock that is so far from the database's, in milliseconds, is told of.
const SKEWED: Millis = SECOND;

fn name(node: &Value) -> String {
    node["name"].as_str().unwrap_or("?").to_owned()
}

/// Those that are not gone.
fn there(told: &Value) -> impl Iterator<Item = &Value> {
    told["nodes"].as_array().into_iter().flatten().filter(|node| node["state"] != "gone")
}

/// Looks at the daemons that `/v1/nodes` lists. `runs`: one listens on this socket.
pub fn look(told: &Value, socket: &Path, runs: bool, report: &mut Report) {
    let all: Vec<&Value> = there(told).collect();
    if all.is_empty() {
        return;
    }
    let number = |node: &Value, member: &str| node[member].as_i64().unwrap_or_default();
    let works: Vec<&&Value> = all.iter().filter(|node| node["state"] != "lapsed").collect();
    if !runs && !works.is_empty() {
        let names: Vec<String> = works.iter().map(|node| name(node)).collect();
        let found = say!("daemon_listens_elsewhere", socket = socket.to_string_lossy(), n = works.len(), names = names);
        report.tell_again(&say!("check_daemon"), &found, &say!("name_its_socket"));
    }
    let check = || say!("check_nodes");
    let before = report.checks.len();
    let drained = works.iter().filter(|node| node["state"] == "leaving");
    let drained: Vec<String> = drained.map(|node| format!("{} ({})", name(node), number(node, "id"))).collect();
    if !drained.is_empty() {
        let found = match drained.len() == works.len() {
            true => say!("nodes_all_drained", names = drained),
            false => say!("nodes_drained", names = drained),
        };
        report.add(check(), Level::Warning, found, say!("start_drained"));
    }
    for node in all.iter().filter(|node| node["state"] == "lapsed") {
        let (id, silent_for, n) = (number(node, "id"), number(node, "silent_ms"), number(node, "under_way"));
        let found = say!("node_lapsed", name = name(node), id = id, silent_for = silent_for, n = n);
        report.add(check(), Level::Warning, found, say!("start_or_bury", id = id));
    }
    for node in works.iter().filter(|node| number(node, "skew_ms").abs() > SKEWED) {
        let found = say!("node_skewed", name = name(node), skew = number(node, "skew_ms").abs());
        report.add(check(), Level::Warning, found, say!("set_clock_of_node"));
    }
    let peers: Vec<Peer> = works.iter().map(|node| Peer::deserialize(**node).unwrap_or_default()).collect();
    compare(&peers, report);
    if report.checks.len() == before {
        let names: Vec<String> = works.iter().map(|node| name(node)).collect();
        report.ok(check(), say!("nodes_agree", n = works.len(), names = names));
    }
}

/// Looks for what those that live do not agree about.
pub fn compare(peers: &[Peer], report: &mut Report) {
    let check = || say!("check_nodes");
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    peers.iter().for_each(|peer| *names.entry(&peer.name).or_default() += 1);
    for (name, n) in names.into_iter().filter(|(_, n)| *n > 1) {
        let found = say!("nodes_of_one_name", n = n, name = name);
        report.add(check(), Level::Warning, found, say!("name_each_node"));
    }
    let mut boots: BTreeMap<&str, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for Peer { name, machine, boot, .. } in peers {
        boots.entry(machine).or_default().entry(boot).or_default().push(name.clone());
    }
    for (_, starts) in boots.into_iter().filter(|(machine, starts)| !machine.is_empty() && starts.len() > 1) {
        let names: Vec<String> = starts.into_values().flatten().collect();
        report.add(check(), Level::Failed, say!("nodes_of_one_machine_id", names = names), say!("give_machine_ids"));
    }
    let versions: BTreeSet<&str> = peers.iter().map(|peer| peer.version.as_str()).collect();
    if versions.len() > 1 {
        let versions: Vec<String> = versions.into_iter().map(str::to_owned).collect();
        report.add(check(), Level::Warning, say!("nodes_of_versions", versions = versions), say!("finish_upgrade"));
    }
    let mut settings: BTreeMap<&str, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for Peer { name, configured, .. } in peers {
        for (app, digest) in configured {
            settings.entry(app).or_default().entry(digest).or_default().push(name.clone());
        }
    }
    for (app, told) in settings {
        let configured: usize = told.values().map(Vec::len).sum();
        if told.len() > 1 {
            let names: Vec<String> = told.into_values().flatten().collect();
            report.add(
                check(),
                Level::Failed,
                say!("nodes_disagree", app = app, names = names),
                say!("configure_nodes_alike"),
            );
        } else if configured < peers.len() {
            let lack = peers.iter().filter(|peer| !peer.configured.contains_key(app));
            let lack: Vec<String> = lack.map(|peer| peer.name.clone()).collect();
            report.add(
                check(),
                Level::Warning,
                say!("nodes_lack_app", app = app, names = lack),
                say!("configure_nodes_alike"),
            );
        }
    }
}
