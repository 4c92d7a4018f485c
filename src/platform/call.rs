//! One call to a platform: the request, ready to leave, and the whole answer.

use crate::domain::Millis;
use bytes::Bytes;
use std::borrow::Cow;

/// A request, ready to leave. Its body always has a known size, since some platforms refuse a chunked one.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// How it is sent.
    pub method: Method,
    /// Absolute, with its query. It may carry a token, so it is never logged.
    pub url: String,
    /// Names in lower case. A value may be a token, so none is logged.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// Empty for a GET.
    pub body: Bytes,
}

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// It asks, and has no body.
    Get,
    /// It has a body.
    Post,
}

impl Request {
    /// A question without a body.
    pub fn get(url: String) -> Self {
        Self { method: Method::Get, url, headers: Vec::new(), body: Bytes::new() }
    }

    /// A POST of a form.
    pub fn form(url: String, pairs: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let headers = vec![("content-type".into(), "application/x-www-form-urlencoded".into())];
        Self { method: Method::Post, url, headers, body: body.into() }
    }

    /// A POST of JSON.
    pub fn json(url: String, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type".into(), "application/json".into())];
        Self { method: Method::Post, url, headers, body: body.into() }
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, at most [`super::transport::MAX_ANSWER`] bytes.
    pub body: Bytes,
    /// The time by the platform's clock, from the `Date` header.
    pub date: Option<Millis>,
    /// How long to wait, from `Retry-After` in seconds.
    pub retry_after: Option<Millis>,
}
