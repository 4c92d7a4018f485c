//! The header `Idempotency-Key`, as draft-ietf-httpapi-idempotency-key-header-07 has it (read on 2026-11-27): a call that is repeated with it is
//! answered and not done again.

use super::problem::Problem;
use crate::{
    domain::{request::Request as Asked, timing::cut},
    words::say,
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, request::Parts},
    response::Response,
};
use serde::Serialize;

/// The header.
pub(super) const NAME: &str = "idempotency-key";
/// Characters of a key.
const MAX_KEY: usize = 255;
/// The key that a call names, if it names one.
pub(super) struct Key(Option<String>);

impl Key {
    /// The call to this path with this body, about this app; `None` if it names no key.
    pub fn of(self, app: &str, path: &str, body: &impl Serialize) -> Option<Asked> {
        let key = self.0?;
        let body = serde_json::to_string(body).expect("texts serialise");
        Some(Asked { app: app.to_owned(), key, content: format!("{path}\n{body}") })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        given(&parts.headers).map(Self)
    }
}

fn bad(found: &str) -> Problem {
    Problem::new("bad_idempotency_key", say!("bad_idempotency_key", found = cut(found), most = MAX_KEY))
}

fn given(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut all = headers.get_all(NAME).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::new("bad_idempotency_key", say!("idempotency_key_twice")));
    }
    let text = value.to_str().map_err(|_| bad(&String::from_utf8_lossy(value.as_bytes())))?.trim();
    read(text).map(Some).ok_or_else(|| bad(text))
}

/// A string of RFC 9651, `"8e03978e"`, or as many write it, the same without quotes.
fn read(text: &str) -> Option<String> {
    let mut key = String::new();
    match text.strip_prefix('"') {
        None => key.extend(text.chars().filter(|c| c.is_ascii_graphic() && *c != '"')),
        Some(rest) => {
            let mut inner = rest.strip_suffix('"')?.chars();
            while let Some(c) = inner.next() {
                key.push(match c {
                    '\\' => inner.next().filter(|c| matches!(c, '"' | '\\'))?,
                    '"' => return None,
                    ' '..='~' => c,
                    _ => return None,
                });
            }
        }
    }
    let whole = text.starts_with('"') || key.len() == text.len();
    (whole && (1..=MAX_KEY).contains(&key.len())).then_some(key)
}

/// Another call has come with the same key.
pub(super) fn reused() -> Problem {
    Problem::new("idempotency_key_reused", say!("idempotency_key_reused"))
}

/// A dry run keeps nothing by which it could be known again.
pub(super) fn without_key(asked: &Option<Asked>) -> Result<(), Problem> {
    match asked {
        None => Ok(()),
        Some(_) => Err(Problem::new("idempotency_key_not_taken", say!("idempotency_key_and_dry_run"))),
    }
}

/// The same answer, marked as that to a call which was done before.
pub(super) fn marked(mut response: Response) -> Response {
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_with_its_quotes_and_without() {
        let (long, longer) = ("k".repeat(255), "k".repeat(256));
        let quoted = format!("\"{longer}\"");
        for (text, key) in [
            ("8e03978e-40d5", Some("8e03978e-40d5")),
            (r#""8e03978e-40d5""#, Some("8e03978e-40d5")),
            (r#""a b""#, Some("a b")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            (&long, Some(&long)),
            (&longer, None),
            (&quoted, None),
            ("", None),
            (r#""""#, None),
            (r#"""#, None),
            ("a b", None),
            (r#"a"b"#, None),
            (r#""a"b""#, None),
            (r#""a\b""#, None),
            (r#""a\""#, None),
            (r#""a"; p=1"#, None),
            ("键", None),
            ("\"键\"", None),
            ("\"a\tb\"", None),
        ] {
            assert_eq!(read(text).as_deref(), key, "{text}");
        }
    }
}
