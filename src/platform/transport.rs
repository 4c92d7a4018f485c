//! The only HTTP client. It tells apart what was never sent from what may have arrived.

use super::{Answer, Method, Request};
use crate::{
    domain::{Millis, SECOND, outcome::clean},
    trip::trip,
    words::{Message, say},
};
use bytes::BytesMut;
use std::{future::Future, pin::Pin, time::Duration};

/// An answer longer than this is not read further: no platform needs more than a few hundred bytes.
pub const MAX_ANSWER: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No byte of the request can have been acted upon.
    NotSent(Message),
    /// It may have arrived.
    Unknown(Message),
}

/// How requests travel. The seam for simulations.
pub trait Transport: Send + Sync {
    /// Makes one call.
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;
}

/// Time limits of a call.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// Until the answer is read.
    pub total: Duration,
    /// How long the kernel goes on with bytes that nobody confirms. They outlive the call, and the process too: after a partition they
    /// arrive when it heals. `domain::settle::DOUBT_LOOK` must be longer, or a resend overtakes them.
    pub unheard: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), total: Duration::from_secs(10), unheard: Duration::from_secs(10) }
    }
}

/// Real HTTP: keep-alive, HTTP/1.1 (whether platforms speak 2 is unknown), no redirects, no proxy from the environment.
#[derive(Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
}

impl HttpTransport {
    /// A client with these limits.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be read.
    pub fn new(limits: Limits) -> reqwest::Result<Self> {
        install_crypto();
        let client = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limits.connect)
            .timeout(limits.total)
            .tcp_user_timeout(limits.unheard)
            // Platforms drop idle connections. A request on a dropped one ends in doubt, so ours are dropped first.
            .pool_idle_timeout(Duration::from_secs(15))
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { client })
    }
}

impl Transport for HttpTransport {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        let call = match request.method {
            Method::Get => self.client.get(request.url),
            Method::Post => self.client.post(request.url).body(request.body),
        };
        let call = request.headers.into_iter().fold(call, |call, (name, value)| call.header(&*name, value));
        let sent = call.send();
        Box::pin(async move {
            trip("send.before_first_byte");
            let mut response = sent.await.map_err(failure)?;
            trip("send.after_head");
            let status = response.status().as_u16();
            let date = response.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
            let date = date
                .and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok())
                .map(|date| date.timestamp_millis());
            let retry_after = response.headers().get(reqwest::header::RETRY_AFTER);
            let retry_after = retry_after.and_then(|seconds| seconds.to_str().ok()?.trim().parse::<u32>().ok());
            let retry_after = retry_after.map(|seconds| Millis::from(seconds) * SECOND);
            let mut body = BytesMut::new();
            while let Some(chunk) = response.chunk().await.map_err(failure)? {
                if body.len() + chunk.len() > MAX_ANSWER {
                    return Err(Failure::Unknown(say!("answer_too_long", status = status, most = MAX_ANSWER)));
                }
                body.extend_from_slice(&chunk);
            }
            trip("send.after_answer");
            Ok(Answer { status, body: body.freeze(), date, retry_after })
        })
    }
}

/// Chooses the binary's one crypto provider; must come before any HTTP client is built.
pub fn install_crypto() {
    // A second call finds it installed, which is what was wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn failure(error: reqwest::Error) -> Failure {
    // Without the URL: it carries the token.
    let error = error.without_url();
    let cause = innermost(&error);
    if error.is_connect() || error.is_builder() {
        Failure::NotSent(say!("no_connection", cause = cause))
    } else if error.is_timeout() {
        Failure::Unknown(say!("no_answer_in_time"))
    } else {
        Failure::Unknown(say!("connection_broke", cause = cause))
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    clean(&at.to_string(), 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::settle::DOUBT_LOOK;

    #[test]
    fn i2_a_doubt_is_looked_at_when_no_byte_of_its_request_is_on_its_way_any_more() {
        let limits = Limits::default();
        assert!(limits.unheard + Duration::from_secs(2) <= Duration::from_millis(DOUBT_LOOK.unsigned_abs()));
    }
}
