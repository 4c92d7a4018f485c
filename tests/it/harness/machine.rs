//! The machine has two cores. A test that judges times of processes, and one that takes both cores for minutes, have it one after the other.

use tokio::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::const_new(());

/// The machine, until it is dropped.
pub async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// The same outside of a runtime.
pub fn blocking_turn() -> MutexGuard<'static, ()> {
    TURN.blocking_lock()
}
