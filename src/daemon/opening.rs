//! The store is opened, however long its server is away: a daemon that ended instead would be started again a few times and then never, and
//! nobody would be told what it waits for.

use super::{notify::tell, several::Candidate};
use crate::{
    clock::SharedClock,
    config::Config,
    domain::{MINUTE, Millis, SECOND},
    store::{OpenError, Store},
};
use sd_notify::NotifyState;
use std::{sync::Arc, time::Duration};

/// The server is tried again this often.
const AGAIN: Duration = Duration::from_secs(2);
/// The log says this often that it is still waited for.
const REMIND: Millis = MINUTE;
/// systemd is told this often that the start goes on, and how much longer it should allow then, in microseconds. A change of the schema
/// takes its time too.
const EXTEND_EVERY: Duration = Duration::from_secs(10);
const EXTEND_BY: u32 = 60_000_000;

/// Opens the store that is configured.
///
/// # Errors
/// What does not pass by waiting for a server.
pub(super) async fn open(
    config: &Config,
    candidate: Option<&Candidate>,
    clock: &SharedClock,
) -> Result<Store, OpenError> {
    let opening = patiently(config, candidate, clock);
    tokio::pin!(opening);
    let mut ticks = tokio::time::interval(EXTEND_EVERY);
    loop {
        tokio::select! {
            opened = &mut opening => return opened,
            _ = ticks.tick() => tell(&[NotifyState::ExtendTimeoutUsec(EXTEND_BY)]),
        }
    }
}

/// Tries it once.
///
/// # Errors
/// As [`Store::open`] and [`Store::open_among`].
pub(super) async fn once(
    config: &Config,
    candidate: Option<&Candidate>,
    clock: &SharedClock,
) -> Result<Store, OpenError> {
    let (store, clock) = (&config.store, Arc::clone(clock));
    match candidate {
        Some(candidate) => {
            Store::open_among(&store.url, store.durability, &config.apps, clock, candidate.joins()).await
        }
        None => Store::open(&store.url, store.durability, &config.apps, clock).await,
    }
}

async fn patiently(config: &Config, candidate: Option<&Candidate>, clock: &SharedClock) -> Result<Store, OpenError> {
    let begun = clock.monotonic();
    let mut told_at = None;
    loop {
        let opened = once(config, candidate, clock).await;
        let waited = (clock.monotonic() - begun) / SECOND;
        let Err(OpenError::Unreachable(what)) = opened else {
            if told_at.is_some() {
                tracing::info!(waited_s = waited, "the database is waited for no longer");
            }
            return opened;
        };
        tell(&[NotifyState::Status(&format!("waiting for the database: {what}"))]);
        let now = clock.monotonic();
        if told_at.is_none_or(|at| now - at >= REMIND) {
            tracing::warn!(waited_s = waited, "waiting for the database, and nothing is sent meanwhile: {what}");
            told_at = Some(now);
        }
        tokio::time::sleep(AGAIN).await;
    }
}
