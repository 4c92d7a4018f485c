//! Delivering what the platform pushes: popups, settings and receipts, late, lost, twice and out of order on demand. How a push is written
//! is its platform's own.

use super::Sandbox;
use crate::{
    domain::{Millis, SECOND, push::Item},
    platform::transport::install_crypto,
};
use rand::RngExt;
use serde::Serialize;
use std::{sync::Arc, time::Duration};
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
    /// Whether the first item's template is a long-term one.
    pub long_term: bool,
    /// When it happened.
    pub at: Millis,
    /// When it leaves.
    pub due: Millis,
    /// How often it was tried.
    pub tries: u32,
    /// Shapes what the documentation leaves open, such as numbers or strings; and names the push.
    pub shape: u64,
}

/// How a platform writes its pushes.
pub trait Writer: Send + Sync {
    /// What happened at once, as so many pushes tell of it. All of it is told by one, unless the platform does otherwise.
    fn split(&self, items: Vec<Item>) -> Vec<Vec<Item>> {
        vec![items]
    }
    /// The platform's word for what happened.
    fn event(&self, push: &Outgoing) -> &'static str;
    /// The push, signed and sealed as of `now`.
    fn write(&self, push: &Outgoing, now: Millis, random: [u8; 16]) -> Letter;
}

/// A push, ready to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its query, without the question mark; empty for none.
    pub query: String,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: String,
}

/// Where an app's pushes go, and who writes them.
#[derive(Clone)]
pub struct Pusher {
    /// The address.
    pub url: String,
    /// Who writes them.
    pub writer: Arc<dyn Writer>,
}

impl Pusher {
    /// Pushes to this address, in this hand.
    pub fn new(url: String, writer: impl Writer + 'static) -> Self {
        Self { url, writer: Arc::new(writer) }
    }
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
        let Letter { query, headers, body } = pusher.writer.write(&outgoing, now, rand::rng().random());
        let url = if query.is_empty() { pusher.url.clone() } else { format!("{}?{query}", pusher.url) };
        let request = headers.into_iter().fold(client.post(url), |request, (name, value)| request.header(name, value));
        let request = request.body(body);
        let (status, answer) = match request.send().await {
            Ok(answer) => (Some(answer.status().as_u16()), answer.text().await.unwrap_or_default()),
            Err(e) => (None, e.without_url().to_string()),
        };
        let taken = status == Some(200) && (answer.is_empty() || answer == "success");
        let event = pusher.writer.event(&outgoing);
        let mut world = self.world();
        world.pushed.push(Pushed { appid: outgoing.appid.clone(), event, at: now, status, answer });
        outgoing.tries += 1;
        if !taken && outgoing.tries < TRIES {
            outgoing.due = now + SECOND;
            world.push_again(outgoing);
        }
    }
}
