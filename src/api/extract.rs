//! The parts of a request that handlers read, with their limits and refusals, and the JSON that they answer.

use super::{auth::Caller, parse::parse, problem::Problem};
use crate::{
    domain::{pointer, timing::cut},
    words::{Lang, Voice, say},
};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{convert::Infallible, time::Duration};

/// Bytes of a single JSON body.
pub const MAX_BODY: usize = 64 * 1024;
/// Time for a single JSON body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The language that the caller prefers.
pub(super) fn voice(headers: &HeaderMap) -> Voice {
    let header = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Voice::new(header.map_or(Lang::En, Lang::accepted))
}

/// Whether it is done.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DryRun {
    /// Everything is checked and nothing is written; the answer says what would be.
    pub(super) dry_run: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Voice {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(voice(&parts.headers))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(|| Problem::new("unauthorized", say!("no_api_key")))
    }
}

/// A JSON body with its limits and its refusals.
pub(super) struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> axum::extract::FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        content(request.headers(), &["application/json"])?;
        let read = Limited::new(request.into_body(), MAX_BODY).collect();
        let bytes = match tokio::time::timeout(BODY_TIMEOUT, read).await {
            Err(_) => {
                return Err(Problem::new("too_slow", say!("body_too_slow", seconds = BODY_TIMEOUT.as_secs())));
            }
            Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => {
                return Err(Problem::new("too_large", say!("body_too_large", most = MAX_BODY)));
            }
            Ok(Err(_)) => return Err(Problem::new("bad_json", say!("body_broke_off"))),
            Ok(Ok(body)) => body.to_bytes(),
        };
        parse(&bytes).map(Self)
    }
}

/// Refuses a body whose headers say that it is something else, in another encoding, or compressed. What they do not say is right.
pub(super) fn content(headers: &HeaderMap, allowed: &[&str]) -> Result<(), Problem> {
    let said = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_lowercase());
    let refused = |detail| Err(Problem::new("unsupported_media_type", detail));
    if let Some(encoding) = said(header::CONTENT_ENCODING).filter(|encoding| !["", "identity"].contains(&&**encoding)) {
        return refused(say!("content_encoded", found = cut(&encoding)));
    }
    let Some(kind) = said(header::CONTENT_TYPE).filter(|kind| !kind.is_empty()) else { return Ok(()) };
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    if !allowed.contains(&essence) {
        return refused(say!("content_type", found = cut(essence), allowed = allowed[0]));
    }
    let charset = parts.find_map(|part| Some(part.strip_prefix("charset=")?.trim_matches('"')));
    match charset.filter(|charset| !["utf-8", "utf8", "us-ascii"].contains(charset)) {
        Some(charset) => refused(say!("content_charset", found = cut(charset))),
        None => Ok(()),
    }
}

/// A query string with its refusals.
pub(super) struct Query<T>(pub T);

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
            let detail = match param.filter(|_| text.starts_with("duplicate field")) {
                Some(name) => say!("param_doubled", name = cut(name)),
                None => say!("query_not_as_documented", text = text),
            };
            Problem { param: param.map(|name| pointer([name])), ..Problem::new("bad_query", detail) }
        })
    }
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let bytes = Bytes::from(serde_json::to_vec(value).expect("answers serialise"));
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
