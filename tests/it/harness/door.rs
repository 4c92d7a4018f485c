//! The API over a store on a manual clock, asked without a socket.

use super::{START, databases, fresh_url, program::Site};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};
use tixing::{
    api::Api,
    clock::ManualClock,
    config::{self, Durability},
    domain::{Millis, timing::rfc3339},
    metrics::Metrics,
    store::Store,
};
use tower::ServiceExt;

/// The API of the apps `coffee` and `tea`, as their owner asks it.
pub struct Door {
    pub api: Api,
    pub clock: Arc<ManualClock>,
    pub url: String,
    router: Router,
    key: Option<String>,
    _folder: Arc<tempfile::TempDir>,
}

impl Door {
    async fn open(database: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, folder.path());
        let site = Site::new(&url, "http://127.0.0.1:1", "timezone = \"Asia/Shanghai\"");
        let text = std::fs::read_to_string(site.path("tixing.toml")).expect("read");
        let env = |_: &str| Some("s".to_owned());
        let config = config::parse(Path::new("tixing.toml"), &text, &env, Default::default()).expect("good");
        let clock = ManualClock::at(START);
        let store = Store::open(&url, Durability::Full, &config.apps, clock.clone()).await.expect("opens");
        let api = Api::new(Arc::new(config), store, clock.clone(), Arc::new(Metrics::default()), None).await;
        Self { router: api.owner_router(), api, clock, url, key: None, _folder: Arc::new(folder) }
    }

    /// The same, asked over the network with a key.
    pub fn with_key(&self, key: &str) -> Self {
        let (api, clock, url) = (self.api.clone(), self.clock.clone(), self.url.clone());
        Self { router: api.router(), api, clock, url, key: Some(key.to_owned()), _folder: self._folder.clone() }
    }

    pub fn store(&self) -> &Store {
        self.api.store()
    }

    /// The answer to a call: its status, its headers, its JSON.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, HeaderMap, Value) {
        let request = Request::builder().method(method).uri(path);
        let typed = body.is_empty() || headers.iter().any(|(name, _)| *name == "content-type");
        let request = if typed { request } else { request.header("content-type", "application/json") };
        let request = match &self.key {
            Some(key) => request.header("authorization", format!("Bearer {key}")),
            None => request,
        };
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).expect("a request")).await;
        let response = response.expect("infallible");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&body);
        (status, headers, serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(text.into())))
    }

    pub async fn call(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, _, answer) = self.send(method, path, &[], &body).await;
        (status, answer)
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call(Method::POST, path, body).await
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call(Method::GET, path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// A user's balance for the event's template: available, held, used, void.
    pub async fn balance(&self, openid: &str) -> [i64; 4] {
        let balances = self.store().balances("coffee", openid).await.expect("answers");
        let b = balances.get(super::EVENT).copied().unwrap_or_default();
        [b.available, b.held, b.used, b.void]
    }
}

/// Runs `test` on each database.
pub async fn on_both_doors(test: impl AsyncFn(&Door)) {
    for database in databases() {
        eprintln!("on {database}");
        let door = Door::open(database).await;
        test(&door).await;
        door.store().close().await;
    }
}

/// A good reminder of `coffee` that brings its consent, due so long after the start.
pub fn body(openid: &str, after: Millis) -> Value {
    json!({"app": "coffee", "openid": openid, "template": "event-start", "at": rfc3339(START + after), "accepted": true,
           "data": {"thing1": "周三读书会", "time2": "2027年3月1日 10:00"}})
}
