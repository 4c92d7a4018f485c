//! Somebody who is signed in.

use crate::api::Caller;

/// Somebody who is signed in.
#[derive(Clone)]
pub struct Person {
    /// As whom the API is asked.
    pub caller: Caller,
    /// The hash of the session's secret.
    pub hash: String,
}
