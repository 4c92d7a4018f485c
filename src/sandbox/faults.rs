//! What goes wrong, on demand: what a request meets on its way, and how its answer is broken.

use crate::http::Hang;
use axum::{
    body::{Body, Bytes, to_bytes},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use rand::{RngExt, rngs::StdRng};
use serde::{Deserialize, Serialize};

/// What goes wrong, and how often: rates are from 0 to 1, decided request by request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Every send takes at least so long.
    pub latency_ms: u64,
    /// And at most so much longer.
    pub jitter_ms: u64,
    /// The platform answers that it is busy.
    pub busy_rate: f64,
    /// The connection breaks before the message was accepted.
    pub reset_before_rate: f64,
    /// The connection breaks after the message was accepted.
    pub reset_after_rate: f64,
    /// The message is accepted, and the answer is HTML.
    pub garbage_rate: f64,
    /// The message is judged, and the platform's answer is cut off in its middle.
    pub half_json_rate: f64,
    /// The message is judged, and the answer's signature is of another text, on a platform that signs its answers.
    pub bad_signature_rate: f64,
    /// A gateway answers 502 before the message was accepted.
    pub gateway_rate: f64,
    /// Answers a redirect.
    pub redirect_rate: f64,
    /// The message is accepted, and the answer has 200 MB.
    pub huge_rate: f64,
    /// The message is accepted, and no answer comes for a minute.
    pub silent_rate: f64,
    /// A relay before the platform answers every send with this status, such as 404 or 429, and passes nothing on.
    pub relay_status: Option<u16>,
    /// And says to wait so many seconds.
    pub retry_after: Option<u32>,
    /// All tokens given out before are worth nothing; turns itself off.
    pub token_revoked: bool,
    /// Every token is refused, also one that has just been given out, and each that is asked for is a new one.
    pub tokens_refused: bool,
    /// The caller's address is not on the whitelist.
    pub ip_blocked: bool,
    /// Sends left today; then the day's quota is used up.
    pub quota_left: Option<u64>,
    /// Sends left in this minute; then the minute's quota is used up.
    pub minute_left: Option<u64>,
    /// How often the templates can be listed today; then that quota is used up.
    pub lists_left: Option<u64>,
    /// Sends a second that the platform says it allows; it says nothing of it by default.
    pub rate_limit: Option<u32>,
    /// The account is restricted: every send is refused with this code of the platform's.
    pub account_code: Option<i64>,
    /// And with this sub code beside it, on a platform that has such.
    pub account_sub_code: Option<String>,
    /// Every push leaves so late at least.
    pub push_delay_ms: u64,
    /// And at most so much later: with it they overtake each other.
    pub push_jitter_ms: u64,
    /// A push never leaves.
    pub push_lost_rate: f64,
    /// A push leaves twice.
    pub push_twice_rate: f64,
    /// A message is accepted and then not delivered: its receipt says so.
    pub undelivered_rate: f64,
}

impl Faults {
    /// What goes wrong with a request.
    pub(super) fn effect(&self, rng: &mut StdRng) -> Effect {
        let mut hit = |rate: f64| hit(rng, rate);
        if let Some(status) = self.relay_status {
            Effect::Early(Broken::Relay { status, retry_after: self.retry_after })
        } else if hit(self.reset_before_rate) {
            Effect::Early(Broken::Reset)
        } else if hit(self.gateway_rate) {
            Effect::Early(Broken::Gateway)
        } else if hit(self.redirect_rate) {
            Effect::Early(Broken::Redirect)
        } else if hit(self.reset_after_rate) {
            Effect::Late(Broken::Reset)
        } else if hit(self.garbage_rate) {
            Effect::Late(Broken::Html)
        } else if hit(self.half_json_rate) {
            Effect::Half
        } else if hit(self.huge_rate) {
            Effect::Late(Broken::Huge)
        } else if hit(self.silent_rate) {
            Effect::Silent
        } else {
            Effect::None(self.latency_ms + if self.jitter_ms > 0 { rng.random_range(0..=self.jitter_ms) } else { 0 })
        }
    }

    /// All rates by name.
    pub(super) fn rates(&self) -> [(&'static str, f64); 13] {
        [
            ("busy_rate", self.busy_rate),
            ("reset_before_rate", self.reset_before_rate),
            ("reset_after_rate", self.reset_after_rate),
            ("garbage_rate", self.garbage_rate),
            ("half_json_rate", self.half_json_rate),
            ("bad_signature_rate", self.bad_signature_rate),
            ("gateway_rate", self.gateway_rate),
            ("redirect_rate", self.redirect_rate),
            ("huge_rate", self.huge_rate),
            ("silent_rate", self.silent_rate),
            ("push_lost_rate", self.push_lost_rate),
            ("push_twice_rate", self.push_twice_rate),
            ("undelivered_rate", self.undelivered_rate),
        ]
    }
}

/// Whether something happens that happens at this rate.
pub(super) fn hit(rng: &mut StdRng, rate: f64) -> bool {
    rate > 0.0 && rng.random::<f64>() < rate
}

/// How an answer is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Reset,
    Html,
    Gateway,
    Relay { status: u16, retry_after: Option<u32> },
    Redirect,
    Huge,
}

/// What the faults decided about one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing but time.
    None(u64),
    /// Broken before the message is looked at.
    Early(Broken),
    /// Broken after it was judged.
    Late(Broken),
    /// Judged, and the answer is cut off.
    Half,
    /// Judged, then silence.
    Silent,
}

impl Effect {
    pub(super) fn delay_ms(self) -> Option<u64> {
        match self {
            Self::None(0) | Self::Early(_) | Self::Late(_) | Self::Half => None,
            Self::None(ms) => Some(ms),
            Self::Silent => Some(60_000),
        }
    }
}

/// The first half of a whole answer, in its platform's own shape.
pub(super) async fn half(answer: Response) -> Response {
    let (parts, body) = answer.into_parts();
    let whole = to_bytes(body, usize::MAX).await.expect("a face writes its answers whole");
    Response::from_parts(parts, Body::from(whole.slice(..whole.len() / 2)))
}

/// A broken answer.
pub(super) fn broken(kind: Broken) -> Response {
    match kind {
        Broken::Reset => {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(Hang);
            response
        }
        Broken::Html => (StatusCode::OK, "<html><body>系统繁忙</body></html>").into_response(),
        Broken::Gateway => (StatusCode::BAD_GATEWAY, "<html>502 Bad Gateway</html>").into_response(),
        Broken::Relay { status, retry_after } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            let mut response = (status, "<html>a relay</html>").into_response();
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
        Broken::Redirect => (StatusCode::FOUND, [(header::LOCATION, "https://example.invalid/")]).into_response(),
        Broken::Huge => {
            let chunk = Bytes::from_static(&[b'x'; 64 * 1024]);
            let chunks = futures_util::stream::iter((0..3_200).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
            (StatusCode::OK, Body::from_stream(chunks)).into_response()
        }
    }
}
