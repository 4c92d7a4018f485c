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
mod douyin;

pub use app::{AppSpec, Check, TemplateSpec};
pub use douyin::Signed;
pub use faults::Faults;
pub use ledger::Ledger;
pub use push::{Letter, Outgoing, Pushed, Pusher, Writer};
pub use wechat::{Envelope, Format, Mode};
pub use world::{Message, World};

use crate::{clock::SharedClock, config::App};
use axum::{Router, extract::DefaultBodyLimit};
use face::Face;
use std::sync::{Arc, Mutex, MutexGuard};

/// The face of each platform.
const FACES: &[Face] = &[wechat::FACE, alipay::FACE, kuaishou::FACE, baidu::FACE, douyin::FACE];

/// Where a configured app's pushes go and how they are written, if its platform pushes.
///
/// # Errors
/// What is wrong with its secrets.
pub fn pusher_of(app: &App, url: String) -> Result<Option<Pusher>, String> {
    let face = FACES.iter().find(|face| face.platform == app.platform.word);
    let pushes = face.and_then(|face| face.pushes.as_ref());
    pushes.map(|pushes| (pushes.configured)(app, url)).transpose()
}

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
