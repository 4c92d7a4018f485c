//! What a call asks beside its body: where it is not taken, it is refused and not passed over. The API's own description says where it is.

use super::{idempotency::NAME, openapi, problem::Problem};
use crate::words::say;
use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// The parameter by which a call is tried and not done.
const DRY_RUN: &str = "dry_run";

/// Refuses what a call asks beside its body where it is not taken: whoever counts on it would be deceived.
pub(super) async fn where_taken(request: Request, next: Next) -> Response {
    match refusal(&request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(request: &Request) -> Option<Problem> {
    let route = request.extensions().get::<MatchedPath>()?.as_str();
    // Of a route that lacks the method, its caller is told that instead.
    let refused = |name| route.starts_with("/v1/") && openapi::takes(route, request.method(), name) == Some(false);
    if request.headers().contains_key(NAME) && refused(NAME) {
        return Some(Problem::new("idempotency_key_not_taken", say!("idempotency_key_elsewhere")));
    }
    let mut names = request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    (names.any(|name| name == DRY_RUN) && refused(DRY_RUN))
        .then(|| Problem::new("bad_query", say!("dry_run_elsewhere")).at("/dry_run"))
}
