//! New secrets, read again by itself while an app's old ones may be why nothing is sent: whoever changes a secret at the platform and in its
//! file needs no restart and no signal, in whichever order it is done.

use crate::{
    config::{self, Config, Problems},
    domain::Millis,
};
use std::path::Path;
use tokio::task::JoinHandle;

type Read = Result<Config, Problems>;

/// One reading at a time, on a thread of its own: a file may lie on a disk that does not answer.
#[derive(Default)]
pub(super) struct Renewal {
    reading: Option<JoinHandle<Read>>,
    /// It was told that the configuration can't be read.
    told: bool,
}

impl Renewal {
    /// Begins to read, unless a reading is under way.
    pub fn begin(&mut self, path: &Path, now: Millis) {
        if self.reading.is_none() {
            let path = path.to_owned();
            self.reading = Some(tokio::task::spawn_blocking(move || config::load(&path, now)));
        }
    }

    /// Waits for the configuration, for ever if nothing reads it, or if it is wrong: somebody is writing it, perhaps.
    pub async fn read(&mut self) -> Config {
        loop {
            let Some(reading) = &mut self.reading else { return std::future::pending().await };
            let read = reading.await;
            self.reading = None;
            match read {
                Ok(Ok(config)) => {
                    self.told = false;
                    return config;
                }
                Ok(Err(problems)) if !self.told => {
                    self.told = true;
                    tracing::warn!(
                        "an app is paused, and whether its secrets are others by now can't be read: {problems}"
                    );
                }
                // Told before; or the reading failed, and the next one will tell.
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }
}
