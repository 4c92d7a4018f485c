//! Requests are counted by what was asked and how it was answered.

use super::problem::CODES;
use crate::metrics::{By, ByRequest, Metrics, begin};
use axum::http::{Method, StatusCode};

/// A method by the name that it is counted under: a caller may make up others, and each would be a counter.
fn word(method: &Method) -> &'static str {
    ["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}

/// Makes the counters of all problems, so that they are at 0 from the start.
pub fn begin_counters(metrics: &Metrics) {
    begin(&metrics.problems, CODES.iter().map(|(what, _, _)| By { what }));
}

/// Counts an answer. `route` is the pattern that the request's path matched; `code` is that of its problem, if it has one.
pub fn count(metrics: &Metrics, route: Option<&str>, method: &Method, status: StatusCode, code: Option<&'static str>) {
    let (route, method) = (route.unwrap_or("none").to_owned(), word(method));
    metrics.requests.get_or_create(&ByRequest { route, method, status: status.as_u16() }).inc();
    if let Some(what) = code {
        metrics.problems.get_or_create(&By { what }).inc();
    }
}
