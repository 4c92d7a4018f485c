//! The platforms simulated: their API on one port, with a ledger of its own that judges what was sent.
//!
//! For the demo, for tests, and for staging: point an app's `base_url` at it. Orders come in under `/_sandbox`. A platform's face is a
//! file: it reads that platform's requests and says what became of them in its words.

mod world;
mod app;
mod ledger;
mod judge;
mod tokens;
mod faults;
mod orders;
mod push;
mod face;
mod form;
mod wechat;
mod alipay;
mod kuaishou;
mod baidu;

pub use app::{AppSpec, Check, TemplateSpec};
pub use faults::Faults;
pub use ledger::Ledger;
pub use push::{Outgoing, Pushed};
pub use wechat::{Format, Mode, PushSpec, Pusher};
pub use world::{Message, World};

use crate::clock::SharedClock;
use axum::{Router, extract::DefaultBodyLimit};
use face::Face;
use std::sync::{Arc, Mutex, MutexGuard};

/// The face of each platform.
const FACES: &[Face] = &[wechat::FACE, alipay::FACE, kuaishou::FACE, baidu::FACE];

/// The sandbox. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    world: Arc<Mutex<World>>,
    clock: SharedClock,
}

impl Sandbox {
    /// An empty world; `seed` decides which requests its faults hit.
    #[must_use]
    pub fn new(clock: SharedClock, seed: u64) -> Self {
        Self { world: Arc::new(Mutex::new(World::new(seed))), clock }
    }

    /// The world, to arrange or to judge.
    ///
    /// # Panics
    /// When somebody panicked while holding it.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("nobody panics while holding the world")
    }

    /// Its HTTP: orders, and the face of each platform.
    pub fn router(&self) -> Router {
        let faces = FACES.iter().fold(orders::routes(), |routes, face| routes.merge((face.routes)()));
        faces.layer(DefaultBodyLimit::max(1024 * 1024)).with_state(self.clone())
    }
}
