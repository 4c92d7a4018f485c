//! The way to the platform and back: slow, broken, down. A request that has left arrives, whether or not its sender still lives, and
//! perhaps long after.

use super::{pending::Pending, sabotage::Sabotage, time::Time};
use crate::harness::rig::deliver;
use axum::Router;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tixing::{
    domain::Millis,
    platform::{
        Answer, Request,
        transport::{Failure, Limits, Transport},
    },
    words::Message,
};

/// A message that left the daemon.
#[derive(Debug, Clone)]
pub struct Left {
    /// What it says in `thing1`: each reminder's own word.
    pub mark: String,
    /// When, by the machine's clock.
    pub machine: Millis,
    /// When it really was.
    pub world: Millis,
    /// Which life of the daemon it left.
    pub life: u32,
    /// Whether its bytes have arrived.
    pub arrived: bool,
}

/// How the network behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Each way takes up to so long.
    pub slow_ms: u64,
    /// Nothing connects.
    pub down: bool,
    /// Bytes are held up on their way there, for as long as a kernel goes on with them.
    pub held_up: bool,
}

pub struct Network {
    router: Router,
    time: Arc<Time>,
    rng: Mutex<StdRng>,
    pub weather: Mutex<Weather>,
    pub left: Arc<Mutex<Vec<Left>>>,
    /// Calls that have not been answered.
    pub pending: Pending,
    /// How often the daemon was started.
    pub lives: AtomicU32,
    sabotage: Option<Sabotage>,
}

impl Network {
    pub fn new(router: Router, time: Arc<Time>, seed: u64, sabotage: Option<Sabotage>) -> Arc<Self> {
        Arc::new(Self {
            router,
            time,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            weather: Mutex::new(Weather { slow_ms: 20, ..Weather::default() }),
            left: Arc::default(),
            pending: Pending::default(),
            lives: AtomicU32::new(0),
            sabotage,
        })
    }
}

impl Transport for Network {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        let weather = *self.weather.lock().expect("whole");
        let mut rng = self.rng.lock().expect("whole");
        let longest = if weather.held_up { Limits::default().unheard.as_millis() } else { weather.slow_ms.into() };
        let mut delay = |most: u128| Duration::from_millis(rng.random_range(0..=most).try_into().expect("short"));
        let (there, back) = (delay(longest), delay(weather.slow_ms.into()));
        let pending = self.pending.begin();
        if weather.down {
            return Box::pin(async move {
                let _pending = pending;
                tokio::time::sleep(there).await;
                Err(Failure::NotSent(Message::text("connection refused")))
            });
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let leaves = body["data"]["thing1"]["value"].as_str().map(|mark| {
            let (machine, world) = (self.time.machine(), self.time.world());
            let life = self.lives.load(Ordering::SeqCst);
            let mut left = self.left.lock().expect("whole");
            left.push(Left { mark: mark.to_owned(), machine, world, life, arrived: false });
            left.len() - 1
        });
        let (router, time, left) = (self.router.clone(), Arc::clone(&self.time), Arc::clone(&self.left));
        // A platform that agrees with a clock that is behind.
        let agrees = self.sabotage == Some(Sabotage::ClockBehindBelieved);
        let arrives = tokio::spawn(async move {
            tokio::time::sleep(there).await;
            if let Some(i) = leaves {
                left.lock().expect("whole")[i].arrived = true;
            }
            let date = if agrees { time.machine().min(time.world()) } else { time.world() };
            deliver(router, request, Some(date)).await
        });
        let lost_is_unsent = self.sabotage == Some(Sabotage::LostAnswerCountsAsUnsent);
        Box::pin(async move {
            let _pending = pending;
            let answer = async {
                let answer = arrives.await.expect("the platform lives on");
                tokio::time::sleep(back).await;
                answer
            };
            let late = || Err(Failure::Unknown(Message::text("no answer in time")));
            match tokio::time::timeout(Limits::default().total, answer).await.unwrap_or_else(|_| late()) {
                Err(Failure::Unknown(cause)) if lost_is_unsent => Err(Failure::NotSent(cause)),
                other => other,
            }
        })
    }
}
