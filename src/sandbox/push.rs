//! Delivering what the platform pushes: popups, settings and receipts, late, lost, twice and out of order on demand.

use super::{Pusher, Sandbox};
use crate::{
    domain::{Millis, SECOND, push::Item},
    platform::transport::install_crypto,
};
use rand::RngExt;
use serde::Serialize;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A push on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Whose app.
    pub appid: String,
    /// About whom.
    pub openid: String,
    /// What happened.
    pub items: Vec<Item>,
    /// When it happened.
    pub at: Millis,
    /// When it leaves.
    pub due: Millis,
    /// How often it was tried.
    pub tries: u32,
    /// Shapes what the documentation leaves open: numbers or strings.
    pub shape: u64,
}

/// What became of a push.
#[derive(Debug, Clone, Serialize)]
pub struct Pushed {
    /// Whose app.
    pub appid: String,
    /// The platform's word for what happened.
    pub event: &'static str,
    /// When it left, UTC milliseconds.
    pub at: Millis,
    /// The HTTP status; `None` without an answer.
    pub status: Option<u16>,
    /// What was answered, or what went wrong.
    pub answer: String,
}

/// How often the platform tries.
const TRIES: u32 = 3;
/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Sandbox {
    /// Delivers pushes until `stop`.
    pub async fn push(self, stop: CancellationToken) {
        install_crypto();
        let client =
            reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client without settings");
        while !stop.is_cancelled() {
            let now = self.clock.now();
            let due = self.world().take_pushes(now);
            for (outgoing, pusher) in due {
                let (sandbox, client) = (self.clone(), client.clone());
                tokio::spawn(async move { sandbox.deliver(&client, outgoing, &pusher).await });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn deliver(&self, client: &reqwest::Client, mut outgoing: Outgoing, pusher: &Pusher) {
        let now = self.clock.now();
        let (query, body) = outgoing.written(pusher, now, rand::rng().random());
        let request = client.post(format!("{}?{query}", pusher.url)).header("content-type", pusher.content_type());
        let request = request.body(body);
        let (status, answer) = match request.send().await {
            Ok(answer) => (Some(answer.status().as_u16()), answer.text().await.unwrap_or_default()),
            Err(e) => (None, e.without_url().to_string()),
        };
        let taken = status == Some(200) && (answer.is_empty() || answer == "success");
        let event = outgoing.event();
        let mut world = self.world();
        world.pushed.push(Pushed { appid: outgoing.appid.clone(), event, at: now, status, answer });
        outgoing.tries += 1;
        if !taken && outgoing.tries < TRIES {
            outgoing.due = now + SECOND;
            world.push_again(outgoing);
        }
    }
}
