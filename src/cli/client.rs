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
    words::{Lang, Voice, say},
};
use axum::{Router, body::Body, http::Request};
use chrono_tz::Tz;
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE},
    multipart::Form,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, io::Write, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tower::ServiceExt;

/// How long a daemon may take from its lock to its socket, in milliseconds.
const STARTING: i64 = 5_000;

/// A running daemon is asked this often whether it lives, while an answer is waited for, and may take so long to say so. What it was asked
/// may take any time, such as a backup.
const ASK_EVERY: Duration = Duration::from_secs(5);
const ALIVE_WITHIN: Duration = Duration::from_secs(10);

/// A way to the API.
pub struct Client {
    http: reqwest::Client,
    lang: Lang,
    /// Where the daemon listens, as the configuration says.
    listen: SocketAddr,
    /// Of the apps that have one.
    zones: BTreeMap<String, Tz>,
    /// The one that all apps have, if they have one.
    zone: Option<Tz>,
    /// The store and its API if they are opened for this command; else the daemon is asked.
    own: Option<(Store, Router)>,
}

/// Connects to a store that is there.
pub async fn connect(config: Config, voice: Voice) -> Result<Client, Failure> {
    if let Some(path) = config.store.url.strip_prefix("sqlite:")
        && !Path::new(path).exists()
        && !file::is_being_made(path.as_ref())
        // A daemon that runs without its file says so itself.
        && tokio::net::UnixStream::connect(&config.server.socket).await.is_err()
    {
        return Err(Failure::NotFound(say!("no_store_at", path = path)));
    }
    open(config, voice, false).await
}

/// Connects, to a new store if there is none.
pub async fn connect_or_make(config: Config, voice: Voice) -> Result<Client, Failure> {
    open(config, voice, true).await
}

async fn open(config: Config, voice: Voice, makes: bool) -> Result<Client, Failure> {
    let socket = config.server.socket.clone();
    let zones = config.apps.iter().filter_map(|app| Some((app.name.clone(), app.timezone?))).collect();
    let (http, listen, zone) = (http(&socket)?, config.server.listen, config.zone());
    let clock = SystemClock::shared();
    let begun = clock.monotonic();
    let store = loop {
        if tokio::net::UnixStream::connect(&socket).await.is_ok() {
            return Ok(Client { http, lang: voice.lang, listen, zones, zone, own: None });
        }
        let (url, durability) = (&config.store.url, config.store.durability);
        match Store::open_as_it_is(url, durability, &config.apps, Arc::clone(&clock), makes).await {
            Ok(store) => break store,
            Err(OpenError::Missing(what)) => return Err(Failure::NotFound(what)),
            // A daemon that has just started will listen in a moment.
            Err(OpenError::InUse { .. }) if clock.monotonic() - begun < STARTING => {}
            Err(OpenError::InUse { what, by_daemon: true }) => {
                return Err(Failure::Unreachable(say!("no_daemon_and", socket = socket.to_string_lossy(), why = what)));
            }
            Err(e) => return Err(StartError::from(e).into()),
        }
    };
    let api = Api::new(Arc::new(config), store.clone(), clock, Arc::new(Metrics::default()), None).await;
    Ok(Client { http, lang: voice.lang, listen, zones, zone, own: Some((store, api.owner_router())) })
}

fn http(socket: &Path) -> Result<reqwest::Client, Failure> {
    install_crypto();
    reqwest::Client::builder().unix_socket(socket).no_proxy().build().map_err(unsent)
}

fn unsent(e: impl std::fmt::Display) -> Failure {
    Failure::Failed(say!("request_failed", why = e.to_string()))
}

fn broken(e: reqwest::Error) -> Failure {
    Failure::Failed(say!("answer_broke_off", why = e.without_url().to_string()))
}

/// An error answer, which is a problem unless something else than tixing gave it.
fn refused(status: StatusCode, text: &str) -> Failure {
    let problem = serde_json::from_str(text);
    Failure::Refused(problem.unwrap_or_else(|_| json!({ "status": status.as_u16(), "detail": text })))
}

impl Client {
    /// The daemon's address, as the configuration says.
    pub fn address(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// The voice that speaks about an app: times are in the app's zone; without an app in that of all apps, if they have one.
    pub fn voice_for(&self, app: Option<&str>, voice: Voice) -> Voice {
        voice.in_zone(app.and_then(|app| self.zones.get(app).copied()).or(self.zone).or(voice.zone))
    }

    /// Whether a daemon answers, and not this command by itself.
    pub fn is_served(&self) -> bool {
        self.own.is_none()
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Failure> {
        let request = request.header(ACCEPT_LANGUAGE, if self.lang == Lang::Zh { "zh" } else { "en" });
        let Some((_, router)) = &self.own else {
            let unreachable = |e: reqwest::Error| {
                Failure::Unreachable(say!("daemon_did_not_answer", why = e.without_url().to_string()))
            };
            return request.send().await.map_err(unreachable);
        };
        let request = request.build().map_err(unsent)?;
        let request: Request<reqwest::Body> = request.try_into().map_err(unsent)?;
        let Ok(answer) = router.clone().oneshot(request.map(Body::new)).await;
        Ok(answer.map(|body| reqwest::Body::wrap_stream(body.into_data_stream())).into())
    }

    /// What is done, unless the daemon stops saying that it lives.
    async fn while_alive<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.stuck(), if self.own.is_none() => {
                let limit = (ASK_EVERY + ALIVE_WITHIN).as_millis() as u64;
                Err(Failure::Unreachable(say!("daemon_is_stuck", limit = limit)))
            }
        }
    }

    /// Waits until the daemon does not say that it lives. One that is stopping refuses to, and still ends what it has begun.
    async fn stuck(&self) {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            let asked = self.http.get("http://tixing/healthz").timeout(ALIVE_WITHIN).send().await;
            if asked.is_err_and(|e| e.is_timeout()) {
                return;
            }
        }
    }

    /// One call; an error answer becomes its sentence.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let mut request = self.http.request(method, format!("http://tixing{path}"));
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let answer = async {
            let response = self.send(request).await?;
            Ok((response.status(), response.text().await.map_err(broken)?))
        };
        let (status, text) = self.while_alive(answer).await?;
        if status.is_success() {
            return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
        }
        Err(refused(status, &text))
    }

    /// A page of text, and whether its status is a good one.
    pub async fn text(&self, path: &str) -> Result<(bool, String), Failure> {
        let answer = async {
            let response = self.send(self.http.get(format!("http://tixing{path}"))).await?;
            let good = response.status().is_success();
            Ok((good, response.text().await.map_err(broken)?))
        };
        self.while_alive(answer).await
    }

    /// What stands at a path, written to a file as it comes.
    pub async fn download(&self, path: &str, to: &mut (impl Write + Send)) -> Result<(), Failure> {
        let answer = async {
            let mut response = self.send(self.http.get(format!("http://tixing{path}"))).await?;
            if !response.status().is_success() {
                return Err(refused(response.status(), &response.text().await.unwrap_or_default()));
            }
            while let Some(chunk) = response.chunk().await.map_err(broken)? {
                to.write_all(&chunk).map_err(|e| Failure::Failed(say!("download_unwritten", why = e.to_string())))?;
            }
            Ok(())
        };
        self.while_alive(answer).await
    }

    /// A batch: the body streams out, the answer's lines are handed over as they come.
    pub async fn batch(&self, path: &str, body: reqwest::Body, line: impl FnMut(&str)) -> Result<(), Failure> {
        let request = self.http.post(format!("http://tixing{path}")).header(CONTENT_TYPE, "application/x-ndjson");
        let broken = |e: reqwest::Error| Failure::Failed(say!("batch_broke_off", why = e.without_url().to_string()));
        self.while_alive(self.lines(request.body(body), line, broken)).await
    }

    /// Files: they stream out, the answer's lines are handed over as they come.
    pub async fn upload(&self, path: &str, files: Form, line: impl FnMut(&str)) -> Result<(), Failure> {
        let request = self.http.post(format!("http://tixing{path}")).header(ACCEPT, "application/x-ndjson");
        let broken =
            |e: reqwest::Error| Failure::Unreachable(say!("load_broke_off", why = e.without_url().to_string()));
        self.while_alive(self.lines(request.multipart(files), line, broken)).await
    }

    async fn lines(
        &self,
        request: reqwest::RequestBuilder,
        mut line: impl FnMut(&str),
        broken: impl Fn(reqwest::Error) -> Failure + Copy,
    ) -> Result<(), Failure> {
        let mut response = self.send(request).await?;
        if !response.status().is_success() {
            return Err(refused(response.status(), &response.text().await.unwrap_or_default()));
        }
        let mut rest = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let whole: Vec<u8> = rest.drain(..=end).collect();
                line(String::from_utf8_lossy(&whole).trim_end());
            }
        }
        if !rest.is_empty() {
            line(&String::from_utf8_lossy(&rest));
        }
        Ok(())
    }

    /// The end of the command. All writes are durable already; this closes the store if this command opened it.
    pub async fn close(&self) {
        if let Some((store, _)) = &self.own {
            store.close().await;
        }
    }
}

/// The path of a schedule, whose name may have any letters.
pub fn schedule(name: &str, rest: &str) -> String {
    let mut url = reqwest::Url::parse("http://tixing/v1/schedules").expect("a URL");
    url.path_segments_mut().expect("it has a path").push(name);
    format!("{}{rest}", url.path())
}

/// The query string of these parameters; those without a value are left out.
pub fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut url = reqwest::Url::parse("http://tixing/").expect("a URL");
    for (key, value) in pairs {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(key, value);
        }
    }
    url.query().map_or(String::new(), |query| format!("?{query}"))
}
