//! Whether the daemon lives and does its work, and its metrics: open to all.

use super::Api;
use crate::{
    config::App,
    engine::signals::Status,
    metrics::Format,
    words::{Voice, say},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "check_health", tag = "health", responses(
    (status = 200, description = "It does", body = String)))]
pub async fn healthy() -> &'static str {
    "ok\n"
}

/// Whether it does its work: the store can be read and written and is not on hold, the first look at the queue is done, the clock is
/// trusted; among several daemons also that the database hears of this one. An app that is paused is named in a further line.
#[utoipa::path(get, path = "/readyz", operation_id = "check_readiness", tag = "health", responses(
    (status = 200, description = "It does", body = String),
    (status = 503, description = "It does not; the text says why", body = String)))]
pub async fn ready(State(api): State<Api>, voice: Voice) -> (StatusCode, String) {
    let status = api.signals.as_ref().map(|signals| signals.status()).unwrap_or_default();
    let why = if !api.store.answers().await {
        say!("unready_store")
    } else if let Some(why) = api.why_unready().await {
        say!("unready_store_since", why = why)
    } else if !status.ready {
        say!("unready_starting")
    } else if !status.trusted {
        say!("unready_not_heard_of")
    } else if let Ok(Some(hold)) = api.store.hold().await {
        say!("unready_nothing_is_sent", why = hold.why())
    } else if let Some(why) = status.clock_distrusted {
        say!("unready_nothing_is_sent", why = why)
    } else {
        return (StatusCode::OK, format!("ready\n{}", paused(&api, &status, voice)));
    };
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", why.say(voice)))
}

/// A line for each app that sends nothing for now: a platform that refuses is no fault of the daemon's.
fn paused(api: &Api, status: &Status, voice: Voice) -> String {
    let line = |app: &App| {
        if let Some(since) = api.store.app_paused_since(&app.name) {
            let line = say!("ready_but_paused_by_operator", app = app.name, since = since);
            return Some(line.say(voice.in_zone(app.timezone)) + "\n");
        }
        let pause = status.lanes.get(&app.name)?.pause.as_ref()?;
        let why = say!("because_of", code = pause.code, why = pause.why);
        let line = say!("ready_but_paused", app = app.name, until = pause.until, why = why);
        Some(line.say(voice.in_zone(app.timezone)) + "\n")
    };
    api.config.apps.iter().filter_map(line).collect()
}

/// Prometheus text: OpenMetrics where `Accept` names it, else version 0.0.4.
#[utoipa::path(get, path = "/metrics", operation_id = "read_metrics", tag = "health", responses(
    (status = 200, description = "Prometheus text", body = String, content_type = "text/plain")))]
pub async fn metrics(State(api): State<Api>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::asked(accept.unwrap_or_default());
    ([(header::CONTENT_TYPE, format.content_type())], api.metrics.text_in(format)).into_response()
}
