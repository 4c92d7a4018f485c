//! API keys: who asks, and what they may do.

use super::{Api, problem::Problem};
use crate::{
    domain::{outage::Outage, timing::cut},
    store::keys::{ApiKey, NewApiKey, Scope},
    words::{Message, say},
};
use axum::http::{HeaderMap, header};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use rand::RngExt;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError, RwLock},
};
use tokio::sync::watch;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key's id; none of who came by the Unix socket.
    key: Option<i64>,
    /// The key's name.
    name: String,
    scope: Scope,
    apps: Option<Vec<String>>,
    /// Came by the Unix socket.
    owner: bool,
}

impl Caller {
    /// Somebody on this machine's socket, which only its owner can open.
    pub fn owner() -> Self {
        Self { key: None, name: "the command line".into(), scope: Scope::Admin, apps: None, owner: true }
    }

    /// Somebody who came by a link of the command line to the console.
    pub fn by_link() -> Self {
        Self { name: "a link of the command line".into(), owner: false, ..Self::owner() }
    }

    /// Whether its key has this name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.key.is_some_and(|id| self.name == named(id, name))
    }

    /// Whether it may do things of this scope.
    pub fn can(&self, needed: Scope) -> bool {
        self.scope.includes(needed)
    }

    /// The number of its key, if it has one.
    pub fn key(&self) -> Option<i64> {
        self.key
    }

    /// Who it is, for the record of what people decide.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same for a person to read.
    pub fn told(&self) -> Message {
        if self.owner { say!("the_command_line") } else { Message::text(&self.name) }
    }

    /// The name of its key, as the person whose key it is reads it.
    pub fn person(&self) -> &str {
        let of_key = self.key.and_then(|id| self.name.strip_prefix(&format!("key {id} ("))?.strip_suffix(')'));
        of_key.unwrap_or(&self.name)
    }

    /// Whether the caller is at home on this machine.
    pub fn is_owner(&self) -> bool {
        self.owner
    }

    /// Whether the caller may do things of this scope.
    ///
    /// # Errors
    /// `forbidden`, with what the key is for.
    pub fn may(&self, needed: Scope) -> Result<(), Problem> {
        if self.scope.includes(needed) {
            return Ok(());
        }
        if self.scope == Scope::Feed {
            return Err(Problem::new("forbidden", say!("feed_key_elsewhere")));
        }
        let (has, needed) = (self.scope.word(), needed.word());
        Err(Problem::new("forbidden", say!("key_scope", has = has, needed = needed)))
    }

    /// The apps that the caller may touch; `None` for all.
    pub fn apps(&self) -> Option<&[String]> {
        self.apps.as_deref()
    }

    /// Whether the caller may see, make and revoke keys: an admin of all apps, since a caller who can make keys can make any.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn may_manage_keys(&self) -> Result<(), Problem> {
        self.may(Scope::Admin)?;
        match self.apps {
            None => Ok(()),
            Some(_) => Err(Problem::new("forbidden", say!("key_bound_to_apps"))),
        }
    }

    /// Whether the caller is at home on this machine: what is written to its disk is not for the network to say.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn must_own(&self) -> Result<(), Problem> {
        if self.owner {
            return Ok(());
        }
        Err(Problem::new("forbidden", say!("only_for_the_command_line")))
    }

    /// Whether the caller may touch this app.
    pub fn sees(&self, app: &str) -> bool {
        self.apps.as_ref().is_none_or(|apps| apps.iter().any(|a| a == app))
    }

    /// Whether the caller may touch every app.
    pub fn sees_all(&self) -> bool {
        self.apps.is_none()
    }

    /// As [`Self::sees`].
    ///
    /// # Errors
    /// `forbidden`, naming the app.
    pub fn may_touch(&self, app: &str) -> Result<(), Problem> {
        if self.sees(app) {
            return Ok(());
        }
        let own = self.apps.as_deref().unwrap_or_default();
        Err(Problem::new("forbidden", say!("app_not_of_key", app = cut(app), own = own)).at("/app"))
    }
}

/// The living keys by their hash, kept in memory and read anew every few seconds.
#[derive(Default)]
pub struct Keys {
    living: RwLock<HashMap<String, Caller>>,
    changed: watch::Sender<()>,
    outage: Mutex<Outage>,
}

impl Keys {
    fn replace(&self, keys: Vec<ApiKey>) {
        let living = keys.into_iter().filter(|key| key.revoked_at.is_none());
        let by_hash = living
            .map(|key| {
                (
                    key.hash,
                    Caller {
                        key: Some(key.id),
                        name: named(key.id, &key.name),
                        scope: key.scope,
                        apps: key.apps,
                        owner: false,
                    },
                )
            })
            .collect();
        *self.living.write().unwrap_or_else(PoisonError::into_inner) = by_hash;
        self.changed.send_replace(());
    }

    fn caller(&self, key: &str) -> Option<Caller> {
        // Looked up by hash: how long that takes says nothing about the key.
        self.living.read().unwrap_or_else(PoisonError::into_inner).get(&hash(key)).cloned()
    }

    /// The living key of this number.
    pub(super) fn by_id(&self, id: i64) -> Option<Caller> {
        let living = self.living.read().unwrap_or_else(PoisonError::into_inner);
        living.values().find(|caller| caller.key == Some(id)).cloned()
    }

    fn lives(&self, caller: &Caller) -> bool {
        let living = self.living.read().unwrap_or_else(PoisonError::into_inner);
        caller.key.is_none() || living.values().any(|other| other.key == caller.key)
    }
}

fn named(id: i64, name: &str) -> String {
    format!("key {id} ({name})")
}

fn hash(key: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(key.as_bytes()))
}

/// A new key, 160 random bits; shown once and never again.
pub fn new_key(name: String, scope: Scope, apps: Option<Vec<String>>) -> (String, NewApiKey) {
    let random: [u8; 20] = rand::rng().random();
    let key = format!("tx_{}", BASE32_NOPAD.encode(&random).to_lowercase());
    let hash = hash(&key);
    (key, NewApiKey { name, hash, scope, apps })
}

impl Api {
    /// Reads the keys anew.
    pub async fn refresh_keys(&self) {
        let read = self.store.keys().await;
        let heard = self.keys.outage.lock().expect("whole").heard(self.clock.monotonic(), read);
        match heard {
            Some(Ok(keys)) => self.keys.replace(keys),
            Some(Err(error)) => tracing::warn!(%error, "cannot read the API keys; those known stay valid"),
            None => {}
        }
    }

    /// Who sent these headers.
    ///
    /// # Errors
    /// `unauthorized`.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let refused = |detail| Err(Problem::new("unauthorized", detail));
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (given, another) = (given.next(), given.next());
        if another.is_some() {
            return refused(say!("authorization_twice"));
        }
        let Some(given) = given else { return refused(say!("authorization_missing")) };
        // What stands there may be a secret: it is not repeated.
        match given.to_str().ok().and_then(|given| given.trim_start().split_once([' ', '\t'])) {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => self.known(key),
            _ => refused(say!("authorization_scheme")),
        }
    }

    /// Whose key this is, which came in an address. Addresses are kept by calendar programs, browsers and proxies, so only a key that opens
    /// nothing but the feed may stand there.
    ///
    /// # Errors
    /// `unauthorized`; `forbidden` for a key that opens more.
    pub fn authenticate_address(&self, key: &str) -> Result<Caller, Problem> {
        let caller = self.known(key)?;
        if caller.scope == Scope::Feed {
            return Ok(caller);
        }
        tracing::warn!(
            key = caller.name,
            scope = caller.scope.word(),
            "a key that opens more than the feed came in an address"
        );
        Err(Problem::new("forbidden", say!("strong_key_in_address", has = caller.scope.word())))
    }

    /// Waits until the caller's key opens nothing any more: for calls that last.
    pub(super) async fn revoked(&self, caller: &Caller) {
        let mut changes = self.keys.changed.subscribe();
        while self.keys.lives(caller) {
            changes.changed().await.expect("the keys are held here");
        }
    }

    /// Whether the caller's key still opens what it did when the call began: for calls that have lasted.
    ///
    /// # Errors
    /// `unauthorized`.
    pub(super) fn still_knows(&self, caller: &Caller) -> Result<(), Problem> {
        if self.keys.lives(caller) { Ok(()) } else { Err(Problem::new("unauthorized", say!("key_unknown"))) }
    }

    pub(super) fn known(&self, key: &str) -> Result<Caller, Problem> {
        self.keys.caller(key.trim()).ok_or_else(|| Problem::new("unauthorized", say!("key_unknown")))
    }
}
