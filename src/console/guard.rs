//! What every answer carries, which forms are taken, and how often somebody may try to sign in.

use super::{Console, ask::error, frame::REQUEST_ID};
use crate::{
    domain::{MINUTE, Millis},
    http::Peer,
    words::{Message, say},
};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use futures_util::FutureExt;
use rand::RngExt;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::{Mutex, PoisonError},
};

/// A page shows nothing and runs nothing that does not come from here, and stands in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";
const HEADERS: [(&str, &str); 5] = [
    ("content-security-policy", POLICY),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    (
        "permissions-policy",
        "accelerometer=(), camera=(), clipboard-read=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), usb=()",
    ),
    ("cross-origin-opener-policy", "same-origin"),
];

/// Names the request, refuses a form that another site has sent, and puts on every answer what browsers are to keep to. A fault of ours over
/// one page ends as a page.
pub async fn guard(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    let id = format!("{:016x}", rand::rng().random::<u64>());
    // Whatever stood there: pages of errors name the request by it.
    request.headers_mut().insert(REQUEST_ID, HeaderValue::from_str(&id).expect("hex digits"));
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let fails = |status, why: Message| error(console.frame(None, &headers, ""), status, why);
    let changes = !matches!(method, Method::GET | Method::HEAD);
    let mut response = match changes && !is_ours(&console, &headers) {
        true => fails(StatusCode::FORBIDDEN, say!("console_foreign_form")),
        false => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(
                request_id = id,
                route,
                "a fault of tixing over a page; please report it with what stands above"
            );
            fails(StatusCode::INTERNAL_SERVER_ERROR, say!("fault_of_tixing"))
        }),
    };
    match response.status().as_u16() {
        status @ 400.. => tracing::info!(request_id = id, %method, route, status, "a page was refused"),
        status => tracing::debug!(request_id = id, %method, route, status, "a page was answered"),
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(REQUEST_ID, HeaderValue::from_str(&id).expect("hex digits"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a form was sent from a page of ours, by what the browser says of it.
fn is_ours(console: &Console, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = text("origin") else { return false };
    match &console.settings.origin {
        Some(ours) => origin == ours,
        // A name that leads here by somebody else's doing is no address of ours.
        None => text("host").is_some_and(|host| origin == format!("http://{host}") && is_here(console, host)),
    }
}

/// Whether a `Host` names this machine, or the address at which the daemon listens.
fn is_here(console: &Console, host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.contains(']') { host } else { name });
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|ip| ip.is_loopback() || ip == console.api.config().server.listen.ip())
}

/// So many attempts to sign in an address has in a minute.
const MAX_ATTEMPTS: u32 = 10;
/// Addresses that are remembered. When there are more in one minute, whoever comes new has to wait for the next.
const MAX_ADDRESSES: usize = 10_000;

/// Who has tried to sign in, and how often in this minute.
#[derive(Default)]
pub struct Attempts(Mutex<HashMap<IpAddr, (Millis, u32)>>);

impl Attempts {
    /// Counts an attempt; whether it may be made.
    pub fn may(&self, address: IpAddr, now: Millis) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_ADDRESSES {
            all.retain(|_, (begun, _)| now - *begun < MINUTE);
            if all.len() >= MAX_ADDRESSES && !all.contains_key(&address) {
                return false;
            }
        }
        let (begun, n) = all.entry(address).or_insert((now, 0));
        if now - *begun >= MINUTE || now < *begun {
            (*begun, *n) = (now, 0);
        }
        *n += 1;
        *n <= MAX_ATTEMPTS
    }
}

/// Where a request comes from. A proxy on this machine says so in the last place of `X-Forwarded-For`.
pub fn address(peer: Option<Peer>, headers: &HeaderMap) -> IpAddr {
    let peer = peer.map_or(IpAddr::from([127, 0, 0, 1]), |Peer(address)| address.to_canonical());
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
    let forwarded = forwarded.and_then(|all| all.rsplit(',').next()).map(str::trim);
    let forwarded =
        forwarded.and_then(|one| one.parse::<IpAddr>().ok().or_else(|| Some(one.parse::<SocketAddr>().ok()?.ip())));
    forwarded.filter(|_| peer.is_loopback()).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_ten_attempts_a_minute_and_a_crowd_of_addresses_costs_bounded_memory() {
        let (attempts, here) = (Attempts::default(), IpAddr::from([10, 0, 0, 1]));
        let made = |now| (0..12).filter(|_| attempts.may(here, now)).count();
        assert_eq!((made(0), made(59_999), made(60_000)), (10, 0, 10));
        for i in 0..30_000_u32 {
            attempts.may(IpAddr::from(i.to_be_bytes()), 60_001);
        }
        assert!(attempts.0.lock().expect("whole").len() <= MAX_ADDRESSES);
        assert!(!attempts.may(IpAddr::from([99, 9, 9, 9]), 60_001) && !attempts.may(here, 60_001));
        assert!(attempts.may(IpAddr::from([99, 9, 9, 9]), 130_000));
    }

    #[test]
    fn only_a_proxy_on_this_machine_is_believed_who_asks() {
        let peer = |address: [u8; 4]| Some(Peer(IpAddr::from(address)));
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("1.1.1.1, 10.9.9.9"));
        assert_eq!(address(peer([127, 0, 0, 1]), &headers), IpAddr::from([10, 9, 9, 9]));
        assert_eq!(address(peer([10, 0, 0, 7]), &headers), IpAddr::from([10, 0, 0, 7]));
        let mapped = Some(Peer("::ffff:127.0.0.1".parse().expect("an address")));
        assert_eq!(address(mapped, &headers), IpAddr::from([10, 9, 9, 9]));
        headers.append("x-forwarded-for", HeaderValue::from_static("10.8.8.8:4711"));
        assert_eq!(address(peer([127, 0, 0, 1]), &headers), IpAddr::from([10, 8, 8, 8]));
        assert_eq!(address(peer([127, 0, 0, 1]), &HeaderMap::new()), IpAddr::from([127, 0, 0, 1]));
    }
}
