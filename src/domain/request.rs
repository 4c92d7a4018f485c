//! A call that is known again when it is repeated.

/// A call that names an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The app that it is about: keys are its own.
    pub app: String,
    /// The key.
    pub key: String,
    /// Where it goes and what it says.
    pub content: String,
}
