//! How a platform's pushes are told from forgeries and read.

use super::call::Method;
use crate::domain::{Millis, push::Push};

/// Reads the pushes of one app.
pub trait Pushes: Send + Sync {
    /// What a call to our callback address says.
    ///
    /// # Errors
    /// Why the push is refused.
    fn read(&self, call: &Incoming<'_>, now: Millis) -> Result<Told, Refused>;
}

/// A call to our callback address.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// GET or POST.
    pub method: Method,
    /// The pairs of its query, decoded.
    pub query: &'a [(String, String)],
    /// Its headers, names in lower case.
    pub headers: &'a [(String, String)],
    /// Its body, as it came.
    pub body: &'a [u8],
}

/// What a call to our callback address says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The platform asks whether the address is ours: it is, if this is answered.
    Echo(String),
    /// The same, and it is answered as JSON.
    EchoJson(String),
    /// Something about one user.
    Push(Push),
    /// Something that tixing has no use for.
    Other,
}

/// Why a push is refused as a forgery. Its `Display` names no content of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not signed by who has the token, the secret or the key that the platform signs with.
    #[error(
        "its signature is not the platform's, or the token, secret or public key that is configured to prove it is not the platform's"
    )]
    Signature,
    /// It was signed too long ago, or for a time to come.
    #[error("it is signed for another time than now: it is a replay, or the clock is wrong")]
    Stale,
    /// It is encrypted by the key of another, or broken.
    #[error("it cannot be decrypted with this app's callback key")]
    Key,
    /// It is about another mini-program.
    #[error("it is for another appid")]
    Appid,
    /// It is in clear though a key is configured.
    #[error("it is not encrypted though this app has a callback key: choose the secure mode in the platform's console")]
    InClear,
    /// It does not have the platform's shape.
    #[error("it is not of the platform's shape")]
    Shape,
}

impl Incoming<'_> {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Refused {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Signature, Self::Stale, Self::Key, Self::Appid, Self::InClear, Self::Shape];

    /// A word for metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Stale => "stale",
            Self::Key => "key",
            Self::Appid => "appid",
            Self::InClear => "in_clear",
            Self::Shape => "shape",
        }
    }
}
