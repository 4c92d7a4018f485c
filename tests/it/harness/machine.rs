//! The machine has two cores. Tests that judge times of processes share them by two, and one that takes both cores for minutes has them alone.

use tokio::sync::{Semaphore, SemaphorePermit};

static CORES: Semaphore = Semaphore::const_new(2);

/// A core, until it is dropped.
pub async fn half() -> SemaphorePermit<'static> {
    CORES.acquire().await.expect("never closed")
}

/// Both.
pub async fn whole() -> SemaphorePermit<'static> {
    CORES.acquire_many(2).await.expect("never closed")
}

/// The same outside of a runtime.
pub fn blocking_whole() -> SemaphorePermit<'static> {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(whole())
}
