//! What the console needs of the API: who somebody is, a link to sign in by, and the API itself, asked as that person.

use super::{Api, Who, auth::Caller, extract::json, problem::Problem};
use crate::{
    domain::{MINUTE, Millis, timing::rfc3339},
    store::keys::Scope,
    words::say,
};
use axum::{Router, extract::State, http::StatusCode, response::Response};
use data_encoding::BASE32_NOPAD;
use rand::RngExt;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};
use utoipa::ToSchema;

/// How long a link lives.
const LINK_LIVES: Millis = 5 * MINUTE;
/// Links that live at once; the oldest goes when there is one more.
const MAX_LINKS: usize = 16;

/// The links that were given out and not used, by their secret, with their ends.
#[derive(Default)]
pub(super) struct Links(Mutex<BTreeMap<String, Millis>>);

impl Links {
    fn give(&self, now: Millis) -> (String, Millis) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, ends| *ends > now);
        while links.len() >= MAX_LINKS {
            let oldest = links.iter().min_by_key(|(_, ends)| **ends).map(|(secret, _)| secret.clone());
            oldest.and_then(|secret| links.remove(&secret));
        }
        let random: [u8; 32] = rand::rng().random();
        let (secret, ends) = (BASE32_NOPAD.encode(&random).to_lowercase(), now + LINK_LIVES);
        links.insert(secret.clone(), ends);
        (secret, ends)
    }

    fn take(&self, secret: &str, now: Millis) -> bool {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.remove(secret).is_some_and(|ends| ends > now)
    }
}

/// A link by which somebody signs in to the console once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConsoleLink)]
pub struct LinkJson {
    url: String,
    #[schema(format = DateTime)]
    ends_at: String,
}

/// Give out a link by which somebody signs in to the console once, as admin, within five minutes. By the socket alone.
#[utoipa::path(post, path = "/v1/console/open", operation_id = "open_console", tag = "safekeeping", responses(
    (status = 201, description = "The link", body = LinkJson), (status = 404, description = "There is no console")))]
pub async fn open(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    caller.must_own()?;
    let Some(console) = &api.config.console else {
        return Err(Problem::new("not_found", say!("console_off")));
    };
    let (secret, ends) = api.links.give(api.clock.now());
    let origin = console.origin.clone().unwrap_or_else(|| format!("http://{}", api.config.server.listen));
    let link = LinkJson { url: format!("{origin}/console/open/{secret}"), ends_at: rfc3339(ends) };
    Ok(json(StatusCode::CREATED, &link))
}

impl Api {
    /// Whose key this is, if it has that name and opens more than the feed.
    pub fn sign_in(&self, name: &str, key: &str) -> Option<Caller> {
        let caller = self.known(key).ok()?;
        (caller.is_called(name) && caller.may(Scope::Read).is_ok()).then_some(caller)
    }

    /// Uses a link up, if it lives.
    pub fn use_link(&self, secret: &str) -> bool {
        self.links.take(secret, self.clock.now())
    }

    /// The caller of a living key; without a key whoever came by a link.
    pub fn caller_of(&self, key: Option<i64>) -> Option<Caller> {
        key.map_or_else(|| Some(Caller::by_link()), |key| self.keys.by_id(key))
    }

    /// The API for requests that carry their [`Caller`] in their extensions, where nothing that comes over a network can put one.
    pub fn person_router(&self) -> Router {
        self.build(Who::Extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_once_for_five_minutes_and_a_crowd_of_them_is_bounded() {
        let links = Links::default();
        let (early, _) = links.give(0);
        assert!(links.take(&early, LINK_LIVES - 1) && !links.take(&early, LINK_LIVES - 1));
        let (late, _) = links.give(0);
        assert!(!links.take(&late, LINK_LIVES));
        let given: Vec<String> = (0..100).map(|now| links.give(now).0).collect();
        assert_eq!(links.0.lock().expect("whole").len(), MAX_LINKS);
        assert!(links.take(&given[99], 100) && !links.take(&given[0], 100), "the oldest went");
    }
}
