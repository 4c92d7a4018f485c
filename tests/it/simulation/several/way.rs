//! One daemon's way to the platform. A request that has left arrives, whether or not its sender still lives; one whose sender stood still just before
//! its first byte may leave whenever that goes on.

use super::{books::Books, line::Line, sabotage::Sabotage};
use crate::{harness::rig::deliver, simulation::platform::said};
use axum::Router;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tixing::{
    clock::Clock,
    domain::{Millis, node::TRUST},
    platform::{
        Answer, Request,
        transport::{Failure, Limits, Transport},
    },
    words::Message,
};

/// A message whose bytes have left a daemon.
#[derive(Debug, Clone)]
pub struct Left {
    pub mark: String,
    /// Which machine.
    pub machine: usize,
    /// When its call began, when its bytes left, and when they arrived, by the world's clock.
    pub called: Millis,
    pub left: Millis,
    pub arrived: Option<Millis>,
    /// When its call began, by its machine's clock: what connecting takes is not looked at.
    pub clock: Millis,
    /// Its process stood still between the last look and the first byte, or its clocks stood still: the design's named exception.
    pub excused: bool,
}

/// How the way from a machine to the platform is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Until a connection stands.
    pub connect_ms: u64,
    /// Each way takes up to so long.
    pub slow_ms: u64,
    /// Nothing connects.
    pub down: bool,
    /// Bytes are held up on their way there, for as long as a kernel goes on with them.
    pub held_up: bool,
}

pub struct Way {
    pub line: Arc<Line>,
    pub router: Router,
    pub what: &'static str,
    pub weather: Arc<Mutex<Weather>>,
    pub left: Arc<Mutex<Vec<Left>>>,
    /// When the machine's clocks last went on after they had stood still, by the world's clock.
    pub went_on: Arc<AtomicI64>,
    rng: Mutex<StdRng>,
    sabotage: Option<Sabotage>,
}

impl Way {
    #[expect(clippy::too_many_arguments, reason = "made in one place")]
    pub fn new(
        line: Arc<Line>,
        router: Router,
        what: &'static str,
        weather: Arc<Mutex<Weather>>,
        left: Arc<Mutex<Vec<Left>>>,
        went_on: Arc<AtomicI64>,
        seed: u64,
        sabotage: Option<Sabotage>,
    ) -> Self {
        let rng = Mutex::new(StdRng::seed_from_u64(seed));
        Self { line, router, what, weather, left, went_on, rng, sabotage }
    }
}

/// The bytes of a message leave now: they belong to a row that this machine's node is sending, and works at.
fn leaves(line: &Line, books: &mut Books, mark: &str, went_on: Millis, residual: bool) -> bool {
    let (world, Some(&(app, id))) = (line.time.world(), books.by_mark.get(mark)) else { return false };
    let by = books.apps[app].1.marker(id);
    let ours = by.and_then(|by| books.node(by)).is_some_and(|by| by.machine == line.machine && by.state.works());
    // A machine's clocks that stood still give it, when they go on, what is left of its trust from before; what it marks by that is not more surely its
    // own than what it had marked before.
    let old_trust = went_on.saturating_add(TRUST + TRUST / 50);
    let stood = books.marked_at.get(&(app, id)).is_some_and(|at| *at <= old_trust);
    // The mark may be among what a standby that has taken over lacks.
    let lacking = by.is_none() && books.marked_at.get(&(app, id)).is_some_and(|at| *at <= books.servers.promoted_at);
    let lacking = lacking || books.servers.assumed.contains(&(app, id));
    if !ours && !residual && !stood && !lacking {
        let me = line.me();
        books.wrong.push(format!("bytes of {mark} left {me:?} at {world}, and {by:?} is at it"));
    }
    !ours && !lacking
}

impl Transport for Way {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        let weather = *self.weather.lock().expect("whole");
        let mut rng = self.rng.lock().expect("whole");
        let longest = if weather.held_up { Limits::default().unheard.as_millis() as u64 } else { weather.slow_ms };
        let mut delay = |most: u64| Duration::from_millis(rng.random_range(0..=most));
        let (connects, there, back) = (delay(weather.connect_ms), delay(longest), delay(weather.slow_ms));
        let (late, stays) = (delay(200), rng.random_ratio(1, 2));
        let (line, router, what) = (Arc::clone(&self.line), self.router.clone(), self.what);
        let (left, went_on) = (Arc::clone(&self.left), Arc::clone(&self.went_on));
        let gated = self.sabotage != Some(Sabotage::NoGate);
        let may_leave = move |line: &Line| !gated || line.signals.is_trusted(line.clocks.monotonic());
        let (called, stood, open) = (line.time.world(), line.ice.times(), may_leave(&line));
        let clock = line.clocks.now();
        let not_sent = |why: &str| Err(Failure::NotSent(Message::text(why)));
        Box::pin(async move {
            tokio::time::sleep(connects).await;
            line.ice.thawed().await;
            if weather.down {
                return not_sent("connection refused");
            }
            let mut place = None;
            if let Some(mark) = said(&request.body, what) {
                // It stood still between its look and its byte.
                let residual = open && stays && line.ice.times() != stood;
                if residual {
                    tokio::time::sleep(late).await;
                    line.ice.thawed().await;
                } else if !may_leave(&line) {
                    return not_sent("this daemon was not heard of for too long");
                }
                let world = line.time.world();
                let mut books = line.books.lock().expect("whole");
                let excused = leaves(&line, &mut books, &mark, went_on.load(Ordering::SeqCst), residual) || residual;
                let machine = line.machine;
                let mut left = left.lock().expect("whole");
                place = Some(left.len());
                left.push(Left { mark, machine, called, left: world, arrived: None, clock, excused });
            }
            let time = Arc::clone(&line.time);
            let arrives = tokio::spawn(async move {
                tokio::time::sleep(there).await;
                let date = time.world();
                if let Some(place) = place {
                    left.lock().expect("whole")[place].arrived = Some(date);
                }
                deliver(router, request, Some(date)).await
            });
            let answer = async {
                let answer = arrives.await.expect("the platform lives on");
                tokio::time::sleep(back).await;
                line.ice.thawed().await;
                answer
            };
            let silent = || Err(Failure::Unknown(Message::text("no answer in time")));
            let answer = tokio::time::timeout(Limits::default().total, answer).await.unwrap_or_else(|_| silent());
            line.ice.thawed().await;
            answer
        })
    }
}
