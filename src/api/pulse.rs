//! Whether the store can be read and written now: felt all the time, so that who asks learns at once of what has stopped seconds ago.

use super::Api;
use crate::{
    store::StoreError,
    words::{Message, say},
};
use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// Between two looks. With [`LIMIT`] it is less than the five seconds within which whatever is wrong must show.
const EVERY: Duration = Duration::from_millis(1_500);
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(2);

/// What is wrong with the store, as it was felt last.
#[derive(Default)]
pub(super) struct Pulse(RwLock<Option<Message>>);

impl Pulse {
    /// Why it cannot be read or written, if it cannot.
    pub fn why(&self) -> Option<Message> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, why: Option<Message>) {
        let mut felt = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match (&*felt, &why) {
            (None, Some(why)) => tracing::error!("not ready: {why}"),
            (Some(_), None) => tracing::info!("ready again: the store is read and written"),
            _ => {}
        }
        *felt = why;
    }
}

/// A write that has not been answered yet.
type Writing = JoinHandle<Result<(), StoreError>>;

impl Api {
    /// Feels the store's pulse until `stop`.
    pub async fn feel_pulse(self, stop: CancellationToken) {
        let mut writing = None;
        loop {
            let why;
            (why, writing) = self.look(writing).await;
            self.pulse.set(why);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// What is wrong. A write that is not answered in time is waited for by the next look: there is never more than one.
    async fn look(&self, writing: Option<Writing>) -> (Option<Message>, Option<Writing>) {
        let store = self.store.clone();
        let mut writing = writing.unwrap_or_else(|| tokio::spawn(async move { store.writes().await }));
        let (read, written) = tokio::join!(timeout(LIMIT, self.store.reads()), timeout(LIMIT, &mut writing));
        let seconds = LIMIT.as_secs();
        let unread = match read {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(e.message()),
            Err(_) => Some(say!("pulse_no_read", seconds = seconds)),
        };
        match written {
            Ok(Ok(Ok(()))) => (unread, None),
            Ok(Ok(Err(e))) => (unread.or_else(|| Some(e.message())), None),
            Ok(Err(_)) => (Some(say!("fault_of_tixing")), None),
            Err(_) => (unread.or_else(|| Some(say!("pulse_no_write", seconds = seconds))), Some(writing)),
        }
    }
}
