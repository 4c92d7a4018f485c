//! What a platform's face brings along.

use super::Sandbox;
use axum::Router;
use serde_json::Value;
use std::collections::BTreeMap;

/// The face of one platform.
pub(super) struct Face {
    /// The platform's word.
    pub platform: &'static str,
    /// Its paths.
    pub routes: fn() -> Router<Sandbox>,
    /// What the client's call gives to the mini-program when its user has answered the popup so: the platform's template id → a word.
    pub popup: fn(&BTreeMap<String, String>) -> Value,
}
