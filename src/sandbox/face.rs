//! The face of a platform: what the sandbox shows of it in its own words.

use super::{Sandbox, push::Pusher};
use crate::{config::App, domain::consent::Ticket};
use axum::Router;
use serde_json::Value;
use std::collections::BTreeMap;

/// One face.
pub(super) struct Face {
    /// The platform's word.
    pub platform: &'static str,
    /// Its paths.
    pub routes: fn() -> Router<Sandbox>,
    /// What the popup, or what takes its place, hands to the mini-program.
    pub popup: fn(&Tapped) -> Value,
    /// Whether a message is refused while another one to the same user is under way.
    pub one_at_a_time: bool,
    /// How it pushes, if it does.
    pub pushes: Option<FacePushes>,
}

/// How a platform pushes. The errors say what is wrong with what was given.
pub(super) struct FacePushes {
    /// Where an app's pushes go and how they are written, as the `push` of an order says it of the app of this id and secret.
    pub ordered: fn(&str, &str, Value) -> Result<Pusher, String>,
    /// The same of a configured app, to this address.
    pub configured: fn(&App, String) -> Result<Pusher, String>,
}

/// What a user has answered.
#[derive(Debug, Clone)]
pub(super) struct Tapped {
    /// The platform's template id → the word of the popup.
    pub results: BTreeMap<String, String>,
    /// Whether anything was granted.
    pub granted: bool,
    /// The ticket that it was about.
    pub ticket: Option<Ticket>,
}

impl Tapped {
    /// The usual shape: a word for each template.
    pub fn by_word(&self) -> Value {
        let words = self.results.iter().map(|(template, word)| (template.clone(), word.clone().into()));
        let beside = ("errMsg".to_owned(), "requestSubscribeMessage:ok".into());
        Value::Object(words.chain([beside]).collect())
    }
}
