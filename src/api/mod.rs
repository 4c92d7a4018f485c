//! JSON for programs: `/v1` behind keys, health and documentation open to all.

mod auth;
mod batch;
mod check;
mod consents;
mod doubts;
mod explain;
mod ndjson;
mod openapi;
mod operations;
mod places;
mod problem;
mod reminders;
mod safekeeping;
mod templates;
mod users;

pub use auth::{Caller, new_key};
pub use check::ReminderBody;

use crate::{
    clock::SharedClock,
    config::Config,
    domain::pointer,
    engine::Signals,
    metrics::Metrics,
    store::{Store, StoreError},
};
use auth::Keys;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{FromRequestParts, Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::{BodyExt, Limited};
use places::Places;
use problem::Problem;
use rand::RngExt;
use serde::{Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};
use tower_http::catch_panic::CatchPanicLayer;

/// Bytes of a single JSON body.
pub const MAX_BODY: usize = 64 * 1024;
/// Time for an answer, but for what streams or copies: the store has limits of its own, and this one bounds their sum.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a single JSON body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a list may take.
const LIST_TIME: Duration = Duration::from_secs(2);

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    config: Arc<Config>,
    store: Store,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    /// `None` where no engine runs beside: the command line without a daemon.
    signals: Option<Arc<Signals>>,
    keys: Arc<Keys>,
    places: Arc<Places>,
    list_time: Duration,
}

impl Api {
    /// An API over this store.
    pub async fn new(
        config: Arc<Config>,
        store: Store,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        signals: Option<Arc<Signals>>,
    ) -> Self {
        let (keys, places, list_time) = (Arc::default(), Arc::default(), LIST_TIME);
        let api = Self { config, store, clock, metrics, signals, keys, places, list_time };
        api.refresh_keys().await;
        api
    }

    /// The same, with another time for lists.
    #[must_use]
    pub fn with_list_time(self, list_time: Duration) -> Self {
        Self { list_time, ..self }
    }

    /// What it was configured with.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The store behind it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// For programs: every `/v1` call needs a key.
    pub fn router(&self) -> Router {
        self.build(None)
    }

    /// For whoever may open this machine's socket: no key needed.
    pub fn owner_router(&self) -> Router {
        self.build(Some(Caller::owner()))
    }

    /// Metrics alone, for a listener of their own.
    pub fn metrics_router(&self) -> Router {
        Router::new().route("/metrics", get(operations::metrics)).with_state(self.clone())
    }

    fn build(&self, caller: Option<Caller>) -> Router {
        let v1 = Router::new()
            .route("/consents", post(consents::record).get(consents::show))
            .route("/consents/ask", get(consents::ask))
            .route("/reminders", post(reminders::insert).get(reminders::list))
            .route("/reminders/{id}", get(reminders::show).patch(reminders::change).delete(reminders::cancel))
            .route("/reminders/{id}/explain", get(reminders::explain))
            .route("/doubts", get(doubts::doubts))
            .route("/doubts/{id}", post(doubts::resolve))
            .route("/templates", get(templates::templates))
            .route("/users/forget", post(users::forget))
            .route("/users/let-in", post(users::let_in))
            .route("/stats", get(operations::stats))
            .route("/keys", post(operations::create_key).get(operations::list_keys))
            .route("/keys/{id}", axum::routing::delete(operations::revoke_key))
            .layer(middleware::from_fn(in_time))
            // What takes as long as there is to do.
            .route("/users/export", post(users::export))
            .route("/consents/batch", post(batch::consents))
            .route("/reminders/batch", post(batch::reminders))
            .route("/templates/refresh", post(templates::refresh))
            .route("/backup", post(safekeeping::backup))
            .route("/release", post(safekeeping::release).get(safekeeping::held))
            .layer(middleware::from_fn_with_state((self.clone(), caller), authenticated));
        Router::new()
            .nest("/v1", v1)
            .route("/healthz", get(operations::healthy))
            .route("/readyz", get(operations::ready))
            .route("/metrics", get(operations::metrics))
            .route("/openapi.json", get(openapi::document))
            .route("/docs", get(openapi::page))
            .fallback(async || Problem::new("not_found", "there is nothing at this path; /docs lists what there is"))
            .method_not_allowed_fallback(async || {
                Problem::new("method_not_allowed", "this path does not know this method; see /docs")
            })
            .layer(CatchPanicLayer::custom(|_| {
                Problem::new("internal", "a fault of tixing; the log says more").into_response()
            }))
            .layer(middleware::from_fn(with_request_id))
            .with_state(self.clone())
    }
}

/// Names every request, and turns a [`Problem`] into its JSON with that name.
async fn with_request_id(request: Request, next: Next) -> Response {
    let id = format!("{:016x}", rand::rng().random::<u64>());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let allowed = response.headers_mut().remove(header::ALLOW);
        response = problem.response(&id);
        response.headers_mut().extend(allowed.map(|methods| (header::ALLOW, methods)));
        if response.status().is_server_error() {
            tracing::warn!(request_id = id, %method, path, code = problem.code, "a request failed");
        }
    }
    response.headers_mut().insert("x-request-id", HeaderValue::from_str(&id).expect("hex digits"));
    response
}

/// Answers in time, whatever the store does.
async fn in_time(request: Request, next: Next) -> Response {
    let reads = request.method() == axum::http::Method::GET;
    let late = || StoreError::Silent(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()));
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await;
    answer.unwrap_or_else(|_| match reads {
        true => Problem::from(StoreError::Unavailable(late().to_string())).into_response(),
        false => Problem::from(late()).into_response(),
    })
}

async fn authenticated(
    State((api, owner)): State<(Api, Option<Caller>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match owner {
        Some(owner) => owner,
        None => match api.authenticate(request.headers()) {
            Ok(caller) => caller,
            Err(problem) => return problem.into_response(),
        },
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(|| Problem::new("unauthorized", "no API key"))
    }
}

/// A JSON body with its limits and its refusals.
struct Json<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> axum::extract::FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let content_type =
            request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !content_type.is_empty() && !content_type.starts_with("application/json") {
            let detail =
                format!("the content type is «{}»; send application/json", crate::domain::timing::cut(content_type));
            return Err(Problem::new("unsupported_media_type", detail));
        }
        let read = Limited::new(request.into_body(), MAX_BODY).collect();
        let bytes = match tokio::time::timeout(BODY_TIMEOUT, read).await {
            Err(_) => {
                return Err(Problem::new(
                    "too_slow",
                    format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs()),
                ));
            }
            Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => {
                return Err(Problem::new(
                    "too_large",
                    format!("the body has more than {MAX_BODY} bytes; use the batch for many"),
                ));
            }
            Ok(Err(_)) => return Err(Problem::new("bad_json", "the body broke off")),
            Ok(Ok(body)) => body.to_bytes(),
        };
        parse(&bytes).map(Self)
    }
}

/// Reads JSON and names the field that is not as documented.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde would take a list of the fields' values, too.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::new("bad_json", "the body is a list; send an object with the documented fields"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value: Result<T, _> = serde_path_to_error::deserialize(&mut deserializer);
    let value = value.map_err(|error| {
        let path: Vec<String> = error.path().iter().map(ToString::to_string).filter(|step| step != "?").collect();
        let inner = error.into_inner();
        let text = inner.to_string();
        let named =
            text.split('`').nth(1).filter(|_| text.starts_with("missing field") || text.starts_with("unknown field"));
        let mut param = path;
        if let Some(named) = named
            && param.last().map(String::as_str) != Some(named)
        {
            param.push(named.to_owned());
        }
        let param = (!param.is_empty() && inner.is_data()).then(|| pointer(param));
        Problem { code: "bad_json", detail: format!("the body is not as documented: {text}"), param }
    })?;
    deserializer.end().map_err(|_| Problem::new("bad_json", "something follows the JSON value; send one value"))?;
    Ok(value)
}

/// A query string with its refusals.
struct Query<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|axum::extract::Query(query)| Self(query)).map_err(|e| {
            let text = e.body_text();
            let parts: Vec<&str> = text.split(": ").collect();
            // «…: name: what is wrong with its value», or «…: unknown field `name`, …».
            let (param, text) = match parts[..] {
                [_, name, what] => (Some(name), what),
                _ => {
                    let what = parts.last().copied().unwrap_or_default();
                    (what.split('`').nth(1), what)
                }
            };
            let param = param.map(|name| pointer([name]));
            Problem { code: "bad_query", detail: format!("the query is not as documented: {text}"), param }
        })
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let bytes = Bytes::from(serde_json::to_vec(value).expect("answers serialise"));
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
