//! The platforms' pushes at `/callback/{app}`: taken only when signed, written down before they are answered, harmless when repeated.
//!
//! A push is answered when its content is durable, which takes milliseconds of the five seconds that the platform waits: one that is
//! answered first and written afterwards is lost in a crash, and nothing brings it back. One that cannot be written is answered 503, and
//! the platform tries twice more.

use crate::{
    clock::SharedClock,
    config::App,
    domain::{MINUTE, Millis, push::Push},
    metrics::{ByAppAnd, Metrics, begin},
    platform::{
        Method,
        push::{Incoming, Pushes, Refused, Told},
    },
    store::{
        Store,
        pushes::{NewPush, RECEIPTS},
    },
};
use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

/// Bytes of a push; real ones have less than two thousand.
const MAX_BODY: usize = 64 * 1024;
/// Bytes of what is answered to a platform that asks whether the address is ours; real ones have 19.
const MAX_ECHO: usize = 256;
/// Time for a push to arrive, and for it to be written: together below the five seconds that platforms wait.
const ARRIVES: Duration = Duration::from_secs(2);
const WRITTEN: Duration = Duration::from_millis(2_500);
/// A forger must not fill the log: one line for each reason and app in this time.
const LOG_EVERY: Millis = MINUTE;

/// The state that the handlers share.
pub struct Callbacks {
    apps: RwLock<HashMap<String, Arc<dyn Pushes>>>,
    store: Store,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    logged: Mutex<HashMap<(String, &'static str), Millis>>,
}

impl Callbacks {
    /// The callbacks of these apps.
    pub fn new(apps: &[App], store: Store, clock: SharedClock, metrics: Arc<Metrics>) -> Arc<Self> {
        let callbacks = Self { apps: RwLock::default(), store, clock, metrics, logged: Mutex::default() };
        callbacks.renew(apps);
        callbacks.begin_counters();
        Arc::new(callbacks)
    }

    /// Makes the counters of the apps that are pushed to, so that they are at 0 from the start.
    fn begin_counters(&self) {
        let refused = Refused::ALL.map(Refused::word);
        for app in self.apps.read().expect("nobody panics while looking").keys() {
            let by = |what| ByAppAnd { app: app.clone(), what };
            let all = ["taken", "known", "other", "verified", "unavailable"].into_iter().chain(refused);
            begin(&self.metrics.pushes, all.map(by));
            begin(&self.metrics.receipts, RECEIPTS.map(by));
        }
    }

    /// Takes over these apps' secrets; what is being read is read by the former ones.
    ///
    /// # Panics
    /// When somebody panicked while looking one up.
    pub fn renew(&self, apps: &[App]) {
        let apps = apps.iter().filter_map(|app| Some((app.name.clone(), app.pushes()?.into())));
        *self.apps.write().expect("nobody panics while looking") = apps.collect();
    }

    /// Their routes.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/callback/{app}", get(verify).post(receive).fallback(other_method))
            .with_state(Arc::clone(self))
    }

    fn find(&self, app: &str) -> Option<Arc<dyn Pushes>> {
        self.apps.read().expect("nobody panics while looking").get(app).cloned()
    }

    fn count(&self, app: &str, what: &'static str) {
        self.metrics.pushes.get_or_create(&ByAppAnd { app: app.to_owned(), what }).inc();
    }

    /// The push that a call brings, or the answer to a call that brings none.
    fn read(&self, app: &str, pushes: &dyn Pushes, call: &Incoming<'_>) -> Result<Push, Box<Response>> {
        let answer = match pushes.read(call, self.clock.now()) {
            Ok(Told::Push(push)) => return Ok(push),
            Ok(Told::Echo(echo)) => self.echo(app, "text/plain; charset=utf-8", echo),
            Ok(Told::EchoJson(echo)) => self.echo(app, "application/json", echo),
            Ok(Told::Other) => {
                self.count(app, "other");
                said(StatusCode::OK, "success")
            }
            Err(why) => self.refuse(app, why),
        };
        Err(Box::new(answer))
    }

    fn echo(&self, app: &str, content_type: &'static str, echo: String) -> Response {
        if echo.len() > MAX_ECHO {
            return self.refuse(app, Refused::Shape);
        }
        self.count(app, "verified");
        ([(header::CONTENT_TYPE, content_type)], echo).into_response()
    }

    fn refuse(&self, app: &str, why: Refused) -> Response {
        self.count(app, why.word());
        let now = self.clock.now();
        let mut logged = self.logged.lock().expect("nobody panics while looking");
        let last = logged.entry((app.to_owned(), why.word())).or_insert(Millis::MIN);
        if *last == Millis::MIN || (now - *last).abs() >= LOG_EVERY {
            *last = now;
            tracing::warn!(app, reason = why.word(), "a push is refused: {why}");
        }
        let status = if why == Refused::Shape { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
        said(status, &format!("refused: {why}\n"))
    }
}

fn said(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text.to_owned()).into_response()
}

fn nothing_here() -> Response {
    said(
        StatusCode::NOT_FOUND,
        "no callback is configured here: an app's is at /callback/ and its name, and needs callback = {…}\n",
    )
}

async fn other_method() -> Response {
    said(
        StatusCode::METHOD_NOT_ALLOWED,
        "a callback takes GET, by which the platform asks whether it is ours, and POST, by which it pushes\n",
    )
}

/// The pairs of a query, decoded.
fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    // The names are known and the values short; whatever else stands there is not looked at.
    let url = reqwest::Url::parse(&format!("http://query/?{}", query.unwrap_or_default()));
    url.map(|url| url.query_pairs().into_owned().take(32).collect()).unwrap_or_default()
}

/// The headers whose values are text.
fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).ok();
    headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?))).collect()
}

/// The console asks whether this address is ours.
async fn verify(
    State(callbacks): State<Arc<Callbacks>>,
    Path(app): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some(pushes) = callbacks.find(&app) else { return nothing_here() };
    let (query, headers) = (pairs(query.as_deref()), texts(&headers));
    let call = Incoming { method: Method::Get, query: &query, headers: &headers, body: &[] };
    let brought = callbacks.read(&app, &*pushes, &call);
    // A question brings no push.
    brought.map_or_else(|answer| *answer, |_| callbacks.refuse(&app, Refused::Shape))
}

/// A push.
async fn receive(
    State(callbacks): State<Arc<Callbacks>>,
    Path(app): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let app = app.as_str();
    let Some(pushes) = callbacks.find(app) else { return nothing_here() };
    let body = match tokio::time::timeout(ARRIVES, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(e)) if e.is::<LengthLimitError>() => {
            callbacks.count(app, Refused::Shape.word());
            let text = format!("refused: a push has at most {MAX_BODY} bytes\n");
            return said(StatusCode::PAYLOAD_TOO_LARGE, &text);
        }
        // Broken off, too slow: no push of the platform is.
        _ => return callbacks.refuse(app, Refused::Shape),
    };
    let (query, headers) = (pairs(query.as_deref()), texts(&headers));
    let call = Incoming { method: Method::Post, query: &query, headers: &headers, body: &body };
    let push = match callbacks.read(app, &*pushes, &call) {
        Ok(push) => push,
        Err(answer) => return *answer,
    };
    let new = NewPush { app: app.to_owned(), push };
    match tokio::time::timeout(WRITTEN, callbacks.store.push(new)).await {
        Ok(Ok(taken)) => {
            callbacks.count(app, if taken.known { "known" } else { "taken" });
            for what in taken.receipts {
                callbacks.metrics.receipts.get_or_create(&ByAppAnd { app: app.to_owned(), what }).inc();
                if matches!(what, "unmatched" | "ambiguous") {
                    tracing::info!(app, what, "a receipt is about no message that tixing can name");
                }
            }
            if taken.ended > 0 {
                tracing::info!(app, ended = taken.ended, "a user turned a template off; what waited for it has ended");
            }
            said(StatusCode::OK, "success")
        }
        _ => {
            callbacks.count(app, "unavailable");
            said(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer; push it again\n")
        }
    }
}
