//! Whether the store can be read and written now: looked at when somebody asks, so that a daemon that nobody asks writes nothing for it.

use super::Api;
use crate::{
    store::StoreError,
    words::{Message, say},
};
use std::time::{Duration, Instant};
use tokio::{sync::Mutex, task::JoinHandle, time::timeout};

/// Whoever asks within this time after a look has its answer.
const FRESH: Duration = Duration::from_secs(1);
/// How long a read and a write may take.
const LIMIT: Duration = Duration::from_secs(2);

/// A write that has not been answered yet.
type Writing = JoinHandle<Result<(), StoreError>>;

/// The last look at the store.
#[derive(Default)]
pub(super) struct Pulse(Mutex<Look>);

#[derive(Default)]
struct Look {
    at: Option<Instant>,
    /// What was wrong.
    why: Option<Message>,
    writing: Option<Writing>,
}

impl Api {
    /// Why the store cannot be read or written now, if it cannot. Whoever asks meanwhile waits for the same look.
    pub(super) async fn why_unready(&self) -> Option<Message> {
        let api = self.clone();
        // A caller that goes away does not break off the look of the others.
        tokio::spawn(async move { api.look().await }).await.unwrap_or_else(|_| Some(say!("fault_of_tixing")))
    }

    async fn look(&self) -> Option<Message> {
        let mut last = self.pulse.0.lock().await;
        if last.at.is_some_and(|at| at.elapsed() < FRESH) {
            return last.why.clone();
        }
        let why = self.felt(&mut last.writing).await;
        match (&last.why, &why) {
            (None, Some(why)) => tracing::error!("not ready: {why}"),
            (Some(_), None) => tracing::info!("ready again: the store is read and written"),
            _ => {}
        }
        (last.at, last.why) = (Some(Instant::now()), why.clone());
        why
    }

    /// What is wrong. A write that is not answered in time is waited for by the next look: there is never more than one.
    async fn felt(&self, writing: &mut Option<Writing>) -> Option<Message> {
        let store = self.store.clone();
        let mut write = writing.take().unwrap_or_else(|| tokio::spawn(async move { store.writes().await }));
        let (read, written) = tokio::join!(timeout(LIMIT, self.store.reads()), timeout(LIMIT, &mut write));
        let seconds = LIMIT.as_secs();
        let unread = match read {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(e.message()),
            Err(_) => Some(say!("pulse_no_read", seconds = seconds)),
        };
        let unwritten = match written {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(e))) => Some(e.message()),
            Ok(Err(_)) => Some(say!("fault_of_tixing")),
            Err(_) => {
                *writing = Some(write);
                Some(say!("pulse_no_write", seconds = seconds))
            }
        };
        unread.or(unwritten)
    }
}
