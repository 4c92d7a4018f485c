//! Whether the daemon lives and does its work, and its metrics: open to all.

use super::Api;
use crate::words::{Voice, say};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "check_health", tag = "health", responses(
    (status = 200, description = "It does", body = String)))]
pub async fn healthy() -> &'static str {
    "ok\n"
}

/// Whether it does its work: the store answers and is not on hold, the first look at the queue is done, the clock is trusted.
#[utoipa::path(get, path = "/readyz", operation_id = "check_readiness", tag = "health", responses(
    (status = 200, description = "It does", body = String),
    (status = 503, description = "It does not; the text says why", body = String)))]
pub async fn ready(State(api): State<Api>, voice: Voice) -> (StatusCode, String) {
    let status = api.signals.as_ref().map(|signals| signals.status()).unwrap_or_default();
    let why = if !api.store.answers().await {
        say!("unready_store")
    } else if !status.ready {
        say!("unready_starting")
    } else if let Ok(Some(hold)) = api.store.hold().await {
        say!("unready_nothing_is_sent", why = hold.why())
    } else if let Some(why) = status.clock_distrusted {
        say!("unready_nothing_is_sent", why = why)
    } else {
        return (StatusCode::OK, "ready\n".into());
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", why.say(voice)))
}

/// Prometheus text.
#[utoipa::path(get, path = "/metrics", operation_id = "read_metrics", tag = "health", responses(
    (status = 200, description = "Prometheus text", body = String, content_type = "application/openmetrics-text")))]
pub async fn metrics(State(api): State<Api>) -> Response {
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, text)], api.metrics.text()).into_response()
}
