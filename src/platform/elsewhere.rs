//! A token from elsewhere: a company's central service (中控) keeps the tokens of its accounts, and tixing asks there and not the
//! platform. It is never asked to force a new one: that would break what others hold.

use super::{
    Adapter, Answer, Auth, Granted, Request, Send,
    adapter::{Listings, Proofs, Quotas, Tokens},
};
use crate::{
    domain::{
        DAY, MINUTE, Millis, SECOND,
        outcome::{Outcome, Reaction, clean},
    },
    words::{Message, say},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// How long a token lives of which the service does not say it: it is asked for again after half of that.
const UNSAID: Millis = 10 * MINUTE;

/// Where tokens are asked for.
#[derive(Debug, Clone)]
pub struct Source {
    /// The service's address.
    pub url: String,
    /// The header that shows who asks, as `name: value`; empty for none.
    pub header: SecretString,
    /// Where in the answer the token stands, as a JSON pointer.
    pub pointer: String,
    /// Where in it stands how many seconds the token lives.
    pub expires: String,
}

impl Source {
    /// All but the secret.
    pub fn address(self) -> impl PartialEq {
        (self.url, self.pointer, self.expires)
    }

    /// The header's name and value, if its text is one header.
    pub fn split(header: &str) -> Option<(&str, &str)> {
        let (name, value) = header.split_once(':')?;
        let (name, value) = (name.trim(), value.trim());
        let token = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        let good = !name.is_empty()
            && name.bytes().all(token)
            && !value.is_empty()
            && value.bytes().all(|b| (0x20..0x7f).contains(&b));
        good.then_some((name, value))
    }
}

/// An adapter whose tokens come from elsewhere.
pub struct Elsewhere {
    own: Box<dyn Adapter>,
    source: Source,
}

impl Elsewhere {
    /// This adapter, with tokens from there.
    pub fn new(own: Box<dyn Adapter>, source: Source) -> Self {
        Self { own, source }
    }
}

impl Adapter for Elsewhere {
    fn build(&self, send: &Send<'_>, auth: &Auth, now: Millis) -> Request {
        self.own.build(send, auth, now)
    }

    fn classify(&self, answer: &Answer) -> Outcome {
        self.own.classify(answer)
    }

    fn remark(&self, answer: &Answer) -> Option<Message> {
        self.own.remark(answer)
    }

    fn secrets_end(&self) -> &[(&'static str, Millis)] {
        self.own.secrets_end()
    }

    fn refused_address<'a>(&self, code: &str, text: &'a str) -> Option<&'a str> {
        self.own.refused_address(code, text)
    }

    fn proofs(&self) -> Option<&dyn Proofs> {
        self.own.proofs()
    }

    fn tokens(&self) -> Option<&dyn Tokens> {
        Some(self)
    }

    fn quotas(&self) -> Option<&dyn Quotas> {
        self.own.quotas()
    }

    fn listings(&self) -> Option<&dyn Listings> {
        self.own.listings()
    }
}

impl Tokens for Elsewhere {
    fn request(&self, _force: bool) -> Request {
        let mut request = Request::get(self.source.url.clone());
        if let Some((name, value)) = Source::split(self.source.header.expose_secret()) {
            request.headers.push((name.to_ascii_lowercase().into(), value.to_owned().into()));
        }
        request
    }

    fn read(&self, answer: &Answer) -> Result<Granted, Outcome> {
        if answer.status != 200 {
            let first = answer.retry_after.unwrap_or(2 * SECOND).clamp(SECOND, MINUTE);
            return Err(Outcome::Answered {
                code: format!("token_http_{}", answer.status),
                text: format!("the token service answers HTTP {}", answer.status),
                reaction: Reaction::Busy { first },
            });
        }
        let unreadable = || Outcome::Unknown { cause: say!("token_service_unreadable", pointer = self.source.pointer) };
        let value: Value = serde_json::from_slice(answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&answer.body))
            .map_err(|_| unreadable())?;
        let token = value.pointer(&self.source.pointer).and_then(Value::as_str).unwrap_or_default();
        // What cannot stand in a header or an address is no token.
        if token.is_empty()
            || token.len() > 4_096
            || !token.bytes().all(|b| b.is_ascii_graphic())
            || clean(token, 4_096) != token
        {
            return Err(unreadable());
        }
        let lives = match value.pointer(&self.source.expires) {
            Some(Value::Number(seconds)) => seconds.as_f64().map(|seconds| seconds as i64),
            Some(Value::String(seconds)) => seconds.trim().parse().ok(),
            _ => None,
        };
        let lives = lives.map_or(UNSAID, |seconds| seconds.clamp(0, DAY / SECOND) * SECOND);
        Ok(Granted { token: token.to_owned().into(), lives })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::options::Options,
        platform::{Account, BUILT, facts::Secrets},
    };

    fn elsewhere() -> Elsewhere {
        let account = Account {
            base_url: "https://platform.example",
            appid: "x",
            secrets: &Secrets::new(),
            settings: &Options::new(),
        };
        let source = Source {
            url: "https://tokens.example/coffee".into(),
            header: "X-Key: s3cret".to_owned().into(),
            pointer: "/data/access_token".into(),
            expires: "/data/expires_in".into(),
        };
        Elsewhere::new((BUILT[0].adapter)(&account).expect("no secret has no shape"), source)
    }

    #[test]
    fn the_service_is_asked_with_its_header_and_never_to_force() {
        let elsewhere = elsewhere();
        let tokens = elsewhere.tokens().expect("has tokens");
        let request = tokens.request(false);
        assert_eq!(request.url, "https://tokens.example/coffee");
        assert_eq!(request.headers, [("x-key".into(), "s3cret".into())]);
        assert!(tokens.request(true) == request, "a forced one would end what others hold");
    }

    #[test]
    fn an_answer_of_another_shape_is_no_token() {
        let elsewhere = elsewhere();
        let read = |status, body: &str| {
            let answer = Answer { status, body: body.to_owned().into(), date: None, retry_after: None };
            let granted = elsewhere.tokens().expect("has tokens").read(&answer);
            granted.map(|granted| (granted.token.expose_secret().to_owned(), granted.lives)).ok()
        };
        let good = |token: &str, lives| Some((token.to_owned(), lives));
        for (status, body, told) in [
            (200, r#"{"data":{"access_token":"abc","expires_in":7200}}"#, good("abc", 7_200 * SECOND)),
            (200, r#"{"data":{"access_token":"abc","expires_in":"60"}}"#, good("abc", MINUTE)),
            (200, r#"{"data":{"access_token":"abc"}}"#, good("abc", UNSAID)),
            (200, "\u{feff}{\"data\":{\"access_token\":\"abc\"}}", good("abc", UNSAID)),
            (200, r#"{"data":{"access_token":"abc","expires_in":9e99}}"#, good("abc", DAY)),
            (200, r#"{"data":{"access_token":"abc","expires_in":-5}}"#, good("abc", 0)),
            (200, r#"{"data":{"access_token":""}}"#, None),
            (200, r#"{"data":{"access_token":"a\nb"}}"#, None),
            (200, r#"{"access_token":"abc"}"#, None),
            (200, "<html>", None),
            (503, r#"{"data":{"access_token":"abc"}}"#, None),
        ] {
            assert_eq!(read(status, body), told, "{body}");
        }
    }

    #[test]
    fn one_header_stands_in_its_text() {
        assert_eq!(Source::split("Authorization: Bearer abc"), Some(("Authorization", "Bearer abc")));
        for bad in ["", "abc", ": abc", "X Key: abc", "X-Key:", "X-Key: a\r\nHost: evil"] {
            assert_eq!(Source::split(bad), None, "{bad:?}");
        }
    }
}
