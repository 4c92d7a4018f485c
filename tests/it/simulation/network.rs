//! The way to the platform and back: slow, broken, down. A request that has left arrives, whether or not its sender still lives, and
//! perhaps long after.

use super::{
    pending::Pending,
    platform::{self, said},
    sabotage::Sabotage,
    time::Time,
};
use crate::harness::rig::deliver;
use axum::Router;
use rand::{RngExt, SeedableRng, rngs::StdRng};
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
    /// What it says in its first field: each reminder's own word.
    pub mark: String,
    /// The ticket that it names.
    pub ticket: Option<String>,
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
    /// Something on the way passes nothing on, and answers as the platform would, without its signature. On platforms that sign nothing
    /// there is no such thing: nobody could tell.
    pub forged: bool,
}

pub struct Network {
    router: Router,
    /// The field that says which reminder a message is.
    what: &'static str,
    time: Arc<Time>,
    rng: Mutex<StdRng>,
    pub weather: Mutex<Weather>,
    pub left: Arc<Mutex<Vec<Left>>>,
    /// Calls that have not been answered.
    pub pending: Pending,
    /// How often the daemon was started.
    pub lives: AtomicU32,
    /// What the platform last signed for a message that it took.
    signed: Arc<Mutex<Option<Answer>>>,
    sabotage: Option<Sabotage>,
}

impl Network {
    pub fn new(
        router: Router,
        what: &'static str,
        time: Arc<Time>,
        seed: u64,
        sabotage: Option<Sabotage>,
    ) -> Arc<Self> {
        Arc::new(Self {
            router,
            what,
            time,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            weather: Mutex::new(Weather { slow_ms: 20, ..Weather::default() }),
            left: Arc::default(),
            pending: Pending::default(),
            lives: AtomicU32::new(0),
            signed: Arc::default(),
            sabotage,
        })
    }
}

/// An answer without its signature; none if it has none.
fn unsigned(answer: &Answer) -> Option<Answer> {
    let text = std::str::from_utf8(&answer.body).ok()?;
    let (before, after) = text.split_once(",\"sign\":\"")?;
    let (_, after) = after.split_once('"')?;
    Some(Answer { body: format!("{before}{after}").into(), ..answer.clone() })
}

impl Network {
    /// What something on the way answers to a message, if it does.
    fn forged(&self, is_message: bool, weather: Weather) -> Option<Answer> {
        let signed = self.signed.lock().expect("whole").clone().filter(|_| weather.forged && is_message)?;
        if self.sabotage == Some(Sabotage::UnsignedSuccessBelieved) { Some(signed) } else { unsigned(&signed) }
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
        let leaves = said(&request.body, self.what).map(|mark| {
            let (machine, world) = (self.time.machine(), self.time.world());
            let life = self.lives.load(Ordering::SeqCst);
            let mut left = self.left.lock().expect("whole");
            let ticket = platform::ticket(&request.body);
            left.push(Left { mark, ticket, machine, world, life, arrived: false });
            left.len() - 1
        });
        if let Some(answer) = self.forged(leaves.is_some(), weather) {
            let date = Some(self.time.world());
            return Box::pin(async move {
                let _pending = pending;
                tokio::time::sleep(back).await;
                Ok(Answer { date, ..answer })
            });
        }
        let signed = Arc::clone(&self.signed);
        let (router, time, left) = (self.router.clone(), Arc::clone(&self.time), Arc::clone(&self.left));
        // A platform that agrees with a clock that is behind.
        let agrees = self.sabotage == Some(Sabotage::ClockBehindBelieved);
        let arrives = tokio::spawn(async move {
            tokio::time::sleep(there).await;
            if let Some(i) = leaves {
                left.lock().expect("whole")[i].arrived = true;
            }
            let date = if agrees { time.machine().min(time.world()) } else { time.world() };
            let answer = deliver(router, request, Some(date)).await;
            if let Ok(answer) = &answer
                && leaves.is_some()
                && String::from_utf8_lossy(&answer.body).contains("Success")
                && unsigned(answer).is_some()
            {
                *signed.lock().expect("whole") = Some(answer.clone());
            }
            answer
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
