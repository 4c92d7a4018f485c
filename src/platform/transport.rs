//! The only HTTP client. It tells apart what was never sent from what may have arrived.

use super::{Answer, Method, Request, gate::Closed, proxy::Proxy};
use crate::{
    domain::{Millis, SECOND, outcome::clean},
    trip::trip,
    words::{Message, say},
};
use bytes::BytesMut;
use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};
use std::{
    borrow::Cow,
    collections::HashMap,
    future::Future,
    pin::Pin,
    str::FromStr,
    sync::{Arc, Mutex},
    time::Duration,
};

pub use super::gate::Gate;

/// An answer longer than this is not read further: no platform needs more than a few hundred bytes.
pub const MAX_ANSWER: usize = 64 * 1024;

/// So many addresses are kept; then all are forgotten.
const MAX_ADDRESSES: usize = 64;

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

    /// The same by way of a proxy. Nothing for a simulation, which has no way that could be another.
    fn by(&self, _proxy: &Proxy) -> Option<Arc<dyn Transport>> {
        None
    }
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
    /// The client, or why there is none.
    client: Result<reqwest::Client, Message>,
    limits: Limits,
    /// The address of the proxy that it goes by.
    proxy: Option<String>,
    addresses: Addresses,
    /// What is asked just before a request leaves.
    gate: Option<Gate>,
}

/// Addresses that were read before. An app sends to the same one until its token changes, and to read one costs as much as to write a message.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<String, Url>>>);

impl Addresses {
    /// The request as reqwest has it.
    fn written(&self, request: Request, gate: Option<&Gate>) -> Result<reqwest::Request, Failure> {
        let unfit = |why: &dyn std::error::Error| Failure::NotSent(say!("no_connection", cause = innermost(why)));
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let url = self.read(request.url).map_err(|e| unfit(&e))?;
        let mut written = reqwest::Request::new(method, url);
        for (name, value) in request.headers {
            let name = HeaderName::try_from(&*name).map_err(|e| unfit(&e))?;
            let value = match value {
                Cow::Borrowed(constant) => HeaderValue::from_static(constant),
                Cow::Owned(value) => HeaderValue::try_from(value).map_err(|e| unfit(&e))?,
            };
            written.headers_mut().insert(name, value);
        }
        if request.method == Method::Post {
            *written.body_mut() = Some(match gate {
                Some(gate) => gate.body(request.body),
                None => request.body.into(),
            });
        }
        Ok(written)
    }

    fn read(&self, address: String) -> Result<Url, <Url as FromStr>::Err> {
        let mut known = self.0.lock().expect("whole");
        if let Some(url) = known.get(&address) {
            return Ok(url.clone());
        }
        let url: Url = address.parse()?;
        // Some platforms want what is signed in the address: no two are the same.
        if known.len() >= MAX_ADDRESSES {
            known.clear();
        }
        known.insert(address, url.clone());
        Ok(url)
    }
}

impl HttpTransport {
    /// A client with these limits.
    ///
    /// # Errors
    /// When the machine's TLS roots cannot be read.
    pub fn new(limits: Limits) -> reqwest::Result<Self> {
        Ok(Self { client: Ok(client(limits, None)?), limits, proxy: None, addresses: Addresses::default(), gate: None })
    }

    /// The same for a daemon among several: nothing leaves while the gate is closed.
    #[must_use]
    pub fn gated(self, gate: Gate) -> Self {
        Self { gate: Some(gate), ..self }
    }

    async fn receive(sent: impl Future<Output = reqwest::Result<reqwest::Response>>) -> Result<Answer, Lost> {
        trip("send.before_first_byte");
        let mut response = sent.await?;
        trip("send.after_head");
        let status = response.status().as_u16();
        let date = response.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
        let date =
            date.and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok()).map(|date| date.timestamp_millis());
        let retry_after = response.headers().get(reqwest::header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|seconds| seconds.to_str().ok()?.trim().parse::<u32>().ok());
        let retry_after = retry_after.map(|seconds| Millis::from(seconds) * SECOND);
        // Most answers come in one piece, which is not copied.
        let mut body = response.chunk().await?.unwrap_or_default();
        let mut more = BytesMut::new();
        while body.len() + more.len() <= MAX_ANSWER
            && let Some(chunk) = response.chunk().await?
        {
            more.extend_from_slice(&chunk);
        }
        if body.len() + more.len() > MAX_ANSWER {
            return Err(Lost::TooLong(status));
        }
        if !more.is_empty() {
            body = [body, more.freeze()].concat().into();
        }
        trip("send.after_answer");
        Ok(Answer { status, body, date, retry_after })
    }
}

fn client(limits: Limits, proxy: Option<&Proxy>) -> reqwest::Result<reqwest::Client> {
    install_crypto();
    let builder = reqwest::Client::builder()
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(limits.connect)
        .timeout(limits.total)
        .tcp_user_timeout(limits.unheard)
        // Platforms drop idle connections. A request on a dropped one ends in doubt, so ours are dropped first.
        .pool_idle_timeout(Duration::from_secs(15))
        .tcp_nodelay(true);
    match proxy {
        Some(proxy) => builder.proxy(proxy.of_client()?).build(),
        None => builder.build(),
    }
}

impl Transport for HttpTransport {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        let client = match &self.client {
            Ok(client) => client,
            Err(why) => {
                let failure = Failure::NotSent(why.clone());
                return Box::pin(async move { Err(failure) });
            }
        };
        if self.gate.as_ref().is_some_and(|gate| !gate.is_open()) {
            return Box::pin(async { Err(Failure::NotSent(say!("node_not_trusted"))) });
        }
        let written = match self.addresses.written(request, self.gate.as_ref()) {
            Ok(written) => written,
            Err(failure) => return Box::pin(async move { Err(failure) }),
        };
        let (sent, proxy) = (client.execute(written), self.proxy.clone());
        Box::pin(async move {
            match Self::receive(sent).await {
                // Only a proxy answers so, and it has passed nothing on.
                Ok(Answer { status: 407, .. }) if proxy.is_some() => Err(refused_by(proxy)),
                Ok(answer) => Ok(answer),
                Err(Lost::TooLong(status)) => {
                    Err(Failure::Unknown(say!("answer_too_long", status = status, most = MAX_ANSWER)))
                }
                Err(Lost::Broken(error)) => Err(failure(error, proxy)),
            }
        })
    }

    fn by(&self, proxy: &Proxy) -> Option<Arc<dyn Transport>> {
        let client = client(self.limits, Some(proxy));
        // The first client was built, so the machine's TLS roots are there; a call will tell if they no longer are.
        let client = client.map_err(|e| say!("no_connection", cause = innermost(&e.without_url())));
        let (limits, addresses, gate) = (self.limits, self.addresses.clone(), self.gate.clone());
        Some(Arc::new(Self { client, limits, proxy: Some(proxy.url.clone()), addresses, gate }))
    }
}

/// Why an answer was not read to its end.
enum Lost {
    TooLong(u16),
    Broken(reqwest::Error),
}

impl From<reqwest::Error> for Lost {
    fn from(error: reqwest::Error) -> Self {
        Self::Broken(error)
    }
}

/// Chooses the binary's one crypto provider; must come before any HTTP client is built.
pub fn install_crypto() {
    // A second call finds it installed, which is what was wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The proxy wants other credentials.
fn refused_by(proxy: Option<String>) -> Failure {
    Failure::NotSent(say!("proxy_wants_credentials", proxy = proxy.unwrap_or_default()))
}

fn failure(error: reqwest::Error, proxy: Option<String>) -> Failure {
    // Without the URL: it carries the token.
    let error = error.without_url();
    let cause = innermost(&error);
    if is_closed(&error) {
        return Failure::NotSent(say!("node_not_trusted"));
    }
    if error.is_connect() || error.is_builder() {
        Failure::NotSent(match proxy {
            None => say!("no_connection", cause = cause),
            Some(_) if cause.contains("proxy authorization required") => return refused_by(proxy),
            Some(proxy) => say!("no_connection_by_proxy", proxy = proxy, cause = cause),
        })
    } else if error.is_timeout() {
        Failure::Unknown(say!("no_answer_in_time"))
    } else {
        Failure::Unknown(say!("connection_broke", cause = cause))
    }
}

/// Whether the gate was closed when the body was to leave.
fn is_closed(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        if error.is::<Closed>() {
            return true;
        }
        at = error.source();
    }
    false
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
    fn more_addresses_than_are_kept_are_read_all_the_same() {
        let addresses = Addresses::default();
        for i in 0..3 * MAX_ADDRESSES {
            let written = addresses.written(Request::get(format!("https://p.example/{i}?a=b")), None).expect("good");
            assert_eq!(written.url().as_str(), format!("https://p.example/{i}?a=b"));
        }
        assert!(addresses.0.lock().expect("whole").len() <= MAX_ADDRESSES);
        assert!(matches!(addresses.written(Request::get("no address".into()), None), Err(Failure::NotSent(_))));
    }

    #[test]
    fn i2_a_doubt_is_looked_at_when_no_byte_of_its_request_is_on_its_way_any_more() {
        let limits = Limits::default();
        assert!(limits.unheard + Duration::from_secs(2) <= Duration::from_millis(DOUBT_LOOK.unsigned_abs()));
    }
}
