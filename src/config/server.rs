//! `[server]`: where the daemon listens, and how much its log says.

use super::{check::Check, place::Place};
use crate::words::{Message, say};
use serde::Deserialize;
use std::{net::SocketAddr, path::PathBuf};

/// Where the daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// API, console, callbacks.
    pub listen: SocketAddr,
    /// A second listener for `/metrics` alone.
    pub metrics: Option<SocketAddr>,
    /// The command line on this machine speaks here.
    pub socket: PathBuf,
    /// What this daemon is called among several; the machine's name if nothing is said.
    pub node: Option<String>,
    /// How much the log says, unless `TIXING_LOG` says otherwise.
    pub log: Level,
    /// How it is written.
    pub log_format: Format,
}

impl Server {
    /// Whether all but the log's level is the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        *self == Self { log: self.log, ..other.clone() }
    }
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people, on stderr; where systemd has connected it to the journal, with its fields there.
    #[default]
    Text,
    /// A JSON object a line, on stderr.
    Json,
}

/// How much a log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Problems that somebody must act on.
    Error,
    /// Also things that are not as they should be.
    Warn,
    /// Also events that are worth knowing later.
    #[default]
    Info,
    /// Also each step of each reminder.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    listen: String,
    metrics: Option<String>,
    socket: PathBuf,
    node: Option<String>,
    log: Level,
    log_format: Format,
}

impl Default for Raw {
    fn default() -> Self {
        let (listen, socket) = ("127.0.0.1:8700".into(), "tixing.sock".into());
        Self { listen, metrics: None, socket, node: None, log: Level::default(), log_format: Format::default() }
    }
}

impl Raw {
    pub fn check(&self, check: &mut Check<'_>) -> Option<Server> {
        let place = Place::table("server");
        let listen = check.good(&place.key("listen"), address(&self.listen));
        let metrics = self.metrics.as_deref().and_then(|text| check.good(&place.key("metrics"), address(text)));
        if metrics.is_some_and(|metrics| metrics.port() != 0 && Some(metrics) == listen) {
            check.problem(&place.key("metrics"), say!("metrics_at_listen"));
        }
        let node = self.node.as_deref().and_then(|text| check.good(&place.key("node"), node_name(text)));
        let (socket, log, log_format) = (check.base.join(&self.socket), self.log, self.log_format);
        Some(Server { listen: listen?, metrics, socket, node, log, log_format })
    }
}

/// So long may the name of a node be.
const NODE_NAME: usize = 64;

fn node_name(text: &str) -> Result<String, Message> {
    let good = !text.trim().is_empty() && text.chars().count() <= NODE_NAME && !text.chars().any(char::is_control);
    if good { Ok(text.to_owned()) } else { Err(say!("not_a_node_name", most = NODE_NAME)) }
}

fn address(text: &str) -> Result<SocketAddr, Message> {
    text.parse().map_err(|_| say!("not_an_address", text = text))
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{read, refused};

    #[test]
    fn every_mistake_names_its_line_and_what_is_allowed() {
        refused(&[
            (
                "listen =",
                "listn =",
                "tixing.toml:3: unknown key or value «listn»; allowed are listen, metrics, socket, node, log, log_format; did you mean «listen»?",
            ),
            ("127.0.0.1:8700", "localhost", "tixing.toml:3: «localhost» is not an address"),
            ("[store]", "metrics = \"127.0.0.1:8700\"\n[store]", "tixing.toml:4: metrics have the address of listen"),
        ]);
    }

    #[test]
    fn a_daemon_is_like_another_whatever_its_log_says() {
        let with = |vars: &[(&str, &str)]| read(&crate::config::tests::GOOD, vars).expect("good");
        let (plain, loud) = (with(&[]), with(&[("TIXING_SERVER__LOG", "debug")]));
        assert!(plain.is_like(&loud) && plain.server != loud.server);
        assert!(!plain.is_like(&with(&[("TIXING_SERVER__SOCKET", "other.sock")])));
        assert!(!plain.is_like(&with(&[("TIXING_STORE__URL", "sqlite:other.db")])));
    }
}
