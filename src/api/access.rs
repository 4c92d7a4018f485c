//! Each request has a name, by which its answer and the log speak of it.

use super::{auth::Caller, counted, extract::voice, problem::Problem};
use crate::{domain::timing::cut, http::HostMissing, metrics::Metrics, words::say};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use rand::RngExt;
use std::sync::Arc;

/// The name of a request, for what is logged of it later.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub String);

/// Who asked, for the log: put into an answer's extensions.
#[derive(Debug, Clone)]
struct Asked(String);

/// Goes on as this caller, and leaves the name for the log.
pub(super) async fn go_on_as(caller: Caller, mut request: Request, next: Next) -> Response {
    let asked = Asked(caller.name().to_owned());
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    response.extensions_mut().insert(asked);
    response
}

/// Names every request, turns a [`Problem`] into its JSON with that name, and logs what was refused. A path is logged as it is described,
/// since what a caller puts into one may be an openid or a key.
pub(super) async fn with_request_id(State(metrics): State<Arc<Metrics>>, mut request: Request, next: Next) -> Response {
    let id = format!("{:016x}", rand::rng().random::<u64>());
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let voice = voice(request.headers());
    let mut response = match request.extensions().get::<HostMissing>() {
        Some(_) => Problem::new("bad_request", say!("host_missing")).into_response(),
        None => next.run(request).await,
    };
    let key = response.extensions_mut().remove::<Asked>().map(|Asked(key)| key).unwrap_or_default();
    let (mut code, mut why) = (None, None);
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let allowed = response.headers_mut().remove(header::ALLOW);
        response = problem.response(&id, voice);
        response.headers_mut().extend(allowed.map(|methods| (header::ALLOW, methods)));
        code = Some(problem.code);
        why = problem.cause.map(|cause| cause.to_string());
    }
    counted::count(&metrics, route, &method, response.status(), code);
    let (status, route, code) = (response.status().as_u16(), route.unwrap_or("none"), code.unwrap_or_default());
    match status {
        500.. => tracing::warn!(request_id = id, %method, route, status, code, why, key, "a request failed"),
        400.. => tracing::info!(request_id = id, %method, route, status, code, key, "a request was refused"),
        _ => tracing::debug!(request_id = id, %method, route, status, key, "a request was answered"),
    }
    response.headers_mut().insert("x-request-id", HeaderValue::from_str(&id).expect("hex digits"));
    response
}

/// A path does not know a method. Those that it does are named by the header `Allow`, which is added later.
pub(super) async fn no_method(method: Method) -> Problem {
    let detail = match method {
        Method::OPTIONS => say!("no_cors"),
        _ => say!("method_unknown_here", method = cut(method.as_str())),
    };
    Problem::new("method_not_allowed", detail)
}

/// There is nothing at a path.
pub(super) async fn nothing(uri: Uri) -> Problem {
    let path = uri.path();
    let ends_with_slash = path != "/" && path.ends_with('/');
    let detail = if ends_with_slash { say!("nothing_at_slash") } else { say!("nothing_at_path") };
    Problem::new("not_found", detail)
}
