//! What was asked and is not answered yet.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

/// Questions that wait, and since when.
#[derive(Debug, Clone, Default)]
pub struct Pending(Arc<Mutex<(u64, BTreeMap<u64, Instant>)>>);

/// One of them; over when it is dropped, answered or not.
pub struct Question(Pending, u64);

impl Pending {
    pub fn begin(&self) -> Question {
        let mut all = self.0.lock().expect("whole");
        all.0 += 1;
        let number = all.0;
        all.1.insert(number, Instant::now());
        Question(self.clone(), number)
    }

    /// How long the oldest has waited.
    pub fn oldest(&self) -> Duration {
        self.0.lock().expect("whole").1.values().min().map_or(Duration::ZERO, Instant::elapsed)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.0.0.lock().expect("whole").1.remove(&self.1);
    }
}
