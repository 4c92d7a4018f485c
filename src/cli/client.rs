//! How commands reach the store: through the running daemon's socket, or, where none runs, by opening the store themselves and asking
//! the same API in this process. The store's lock keeps the two apart.

use super::failure::Failure;
use crate::{
    api::Api,
    clock::SystemClock,
    config::Config,
    daemon::StartError,
    metrics::Metrics,
    platform::transport::install_crypto,
    store::{OpenError, Store, file},
};
use anyhow::Context;
use axum::{Router, body::Body, http::Request};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};
use tower::ServiceExt;

/// How long a daemon may take from its lock to its socket, in milliseconds.
const STARTING: i64 = 5_000;

/// A way to the API.
pub struct Client {
    http: reqwest::Client,
    /// The store and its API if they are opened for this command; else the daemon is asked.
    own: Option<(Store, Router)>,
}

/// Connects to a store that is there.
pub async fn connect(config: Config) -> Result<Client, Failure> {
    if let Some(path) = config.store.url.strip_prefix("sqlite:")
        && !Path::new(path).exists()
        && !file::is_being_made(path.as_ref())
        // A daemon that runs without its file says so itself.
        && tokio::net::UnixStream::connect(&config.server.socket).await.is_err()
    {
        let what = format!("there is no store at {path} yet; `tixing serve` or `tixing migrate` makes one");
        return Err(Failure::NotFound(what));
    }
    connect_or_make(config).await
}

/// Connects, to a new store if there is none.
pub async fn connect_or_make(config: Config) -> Result<Client, Failure> {
    let socket = config.server.socket.clone();
    let clock = SystemClock::shared();
    let begun = clock.monotonic();
    let store = loop {
        if tokio::net::UnixStream::connect(&socket).await.is_ok() {
            return Ok(Client { http: client(&socket)?, own: None });
        }
        match Store::open(&config.store.url, config.store.durability, &config.apps, Arc::clone(&clock)).await {
            Ok(store) => break store,
            // A daemon that has just started will listen in a moment.
            Err(OpenError::InUse(_)) if clock.monotonic() - begun < STARTING => {}
            Err(OpenError::InUse(what)) => {
                let what = format!("no daemon answers on {}, and {what}", socket.display());
                return Err(Failure::Unreachable(what));
            }
            Err(e) => return Err(StartError::from(e).into()),
        }
    };
    let api = Api::new(Arc::new(config), store.clone(), clock, Arc::new(Metrics::default()), None).await;
    Ok(Client { http: client(&socket)?, own: Some((store, api.owner_router())) })
}

fn client(socket: &Path) -> Result<reqwest::Client, Failure> {
    install_crypto();
    let client = reqwest::Client::builder().unix_socket(socket).no_proxy().build();
    Ok(client.context("cannot make a client")?)
}

/// An error answer, which is a problem unless something else than tixing gave it.
fn refused(status: StatusCode, text: &str) -> Failure {
    let problem = serde_json::from_str(text);
    Failure::Refused(problem.unwrap_or_else(|_| json!({ "status": status.as_u16(), "detail": text })))
}

impl Client {
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Failure> {
        let Some((_, router)) = &self.own else {
            let unreachable =
                |e: reqwest::Error| Failure::Unreachable(format!("the daemon did not answer: {}", e.without_url()));
            return request.send().await.map_err(unreachable);
        };
        let request = request.build().context("cannot write the request")?;
        let request: Request<reqwest::Body> = request.try_into().context("cannot write the request")?;
        let Ok(answer) = router.clone().oneshot(request.map(Body::new)).await;
        Ok(answer.map(|body| reqwest::Body::wrap_stream(body.into_data_stream())).into())
    }

    /// One call; an error answer becomes its sentence.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let mut request = self.http.request(method, format!("http://tixing{path}"));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = self.send(request).await?;
        let status = response.status();
        let text = response.text().await.context("the answer broke off")?;
        if status.is_success() {
            return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        Err(refused(status, &text))
    }

    /// A page of text, and whether its status is a good one.
    pub async fn text(&self, path: &str) -> Result<(bool, String), Failure> {
        let response = self.send(self.http.get(format!("http://tixing{path}"))).await?;
        let good = response.status().is_success();
        Ok((good, response.text().await.context("the answer broke off")?))
    }

    /// A batch: the body streams out, the answer's lines are handed over as they come.
    pub async fn batch(&self, path: &str, body: reqwest::Body, mut line: impl FnMut(&str)) -> Result<(), Failure> {
        let request =
            self.http.post(format!("http://tixing{path}")).header("content-type", "application/x-ndjson").body(body);
        let mut response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(refused(response.status(), &response.text().await.unwrap_or_default()));
        }
        let mut rest = Vec::new();
        while let Some(chunk) = response.chunk().await.context("the answer broke off; what it had said is kept")? {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let whole: Vec<u8> = rest.drain(..=end).collect();
                line(String::from_utf8_lossy(&whole).trim_end());
            }
        }
        Ok(())
    }

    /// Done: what was written is durable already; this closes the store if it is ours.
    pub async fn close(&self) {
        if let Some((store, _)) = &self.own {
            store.close().await;
        }
    }
}

/// What stands behind the path of a call, of the pairs that have a value.
pub fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut url = reqwest::Url::parse("http://tixing/").expect("a URL");
    for (key, value) in pairs {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(key, value);
        }
    }
    url.query().map_or(String::new(), |query| format!("?{query}"))
}
