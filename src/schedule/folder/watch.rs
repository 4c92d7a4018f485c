//! When to look at the folder: when the file system tells of a change, on SIGHUP, and every few seconds, which is the truth: there are
//! file systems that tell nothing.

use super::look::{Folder, Looked};
use crate::{clock::SharedClock, domain::Millis};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};

/// While a file is not yet quiet.
const SOON: Duration = Duration::from_millis(500);
/// Between two looks, however loud the folder is.
const BREATH: Duration = Duration::from_millis(200);
/// Without a ring it is looked at so often, in milliseconds: a look is to take no more than a hundredth of the time.
const POLL: (Millis, Millis) = (2_000, 10_000);
/// So many folders are watched; what lies in others is seen by the poll.
const MOST_PLACES: usize = 100;

/// Rings for a look.
#[derive(Clone, Default)]
pub struct Bell(Arc<Inner>);

#[derive(Default)]
struct Inner {
    ring: Notify,
    all: AtomicBool,
}

impl Bell {
    /// Something may have changed.
    pub fn ring(&self) {
        self.0.ring.notify_one();
    }

    /// Somebody wants everything that has a problem to be tried again.
    pub fn ring_for_all(&self) {
        self.0.all.store(true, Ordering::SeqCst);
        self.ring();
    }
}

/// Looks at the folder until it is dropped. `trusted`: nobody has found the clock wrong. By a wrong one, rows would be late
/// that are not.
pub async fn run(mut folder: Folder, bell: Bell, clock: SharedClock, trusted: impl Fn() -> bool + Send) {
    let mut watches = Watches::new(bell.clone());
    let mut silent = false;
    loop {
        // What rings from here on is for the next look.
        watches.follow(&folder.places());
        if bell.0.all.swap(false, Ordering::SeqCst) {
            folder.try_all();
        }
        let begun = clock.monotonic();
        let looked = if trusted() { folder.look().await } else { Ok(Looked { soon: false }) };
        if let Err(error) = &looked
            && !silent
        {
            tracing::warn!(error = %error.message(), "the store does not answer, and the watched folder waits");
        }
        silent = looked.is_err();
        let took = clock.monotonic() - begun;
        let unseen = watches.lack(&folder.places());
        let pause = match looked {
            Ok(Looked { soon }) if soon || unseen => SOON,
            _ => Duration::from_millis((took * 100).clamp(POLL.0, POLL.1).unsigned_abs()),
        };
        sleep(BREATH).await;
        let _ = tokio::time::timeout(pause.saturating_sub(BREATH), bell.0.ring.notified()).await;
    }
}

/// What the file system is asked to tell of.
struct Watches {
    watcher: Option<RecommendedWatcher>,
    /// The folders, each with which one it was: another may lie under its name by now.
    places: BTreeMap<PathBuf, (u64, u64)>,
}

impl Watches {
    fn new(bell: Bell) -> Self {
        let told = move |_| bell.ring();
        let watcher = notify::recommended_watcher(told)
            .inspect_err(|e| tracing::warn!(error = %e, "the file system tells of no change; the watched folder is looked at every few seconds"));
        Self { watcher: watcher.ok(), places: BTreeMap::new() }
    }

    /// Watches these folders and no others.
    fn follow(&mut self, places: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted = wanted(places);
        self.places.retain(|place, is| {
            let stays = wanted.get(place) == Some(is);
            if !stays {
                // It may be gone already.
                let _ = watcher.unwatch(place);
            }
            stays
        });
        for (place, is) in wanted {
            if self.places.contains_key(&place) {
                continue;
            }
            if let Err(e) = watcher.watch(&place, RecursiveMode::NonRecursive) {
                tracing::debug!(?place, error = %e, "not watched; it is looked at every few seconds");
            }
            // One that can't be watched is not tried at every look.
            self.places.insert(place, is);
        }
    }

    /// Whether there is one among these that is not watched yet.
    fn lack(&self, places: &BTreeSet<PathBuf>) -> bool {
        self.watcher.is_some() && wanted(places).iter().any(|(place, is)| self.places.get(place) != Some(is))
    }
}

fn wanted(places: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, (u64, u64)> {
    let there = places.iter().take(MOST_PLACES).filter_map(|place| Some((place.clone(), identity(place)?)));
    there.collect()
}

fn identity(place: &Path) -> Option<(u64, u64)> {
    let about = place.metadata().ok()?;
    Some((about.dev(), about.ino()))
}
