//! An engine on a manual clock, its store, and the sandbox in the place of the platform, without a socket between them.

use super::{START, TestStore, apps, on_both, open};
use axum::{
    Router,
    body::Body,
    http::{Method, Request as HttpRequest},
};
use http_body_util::BodyExt;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};
use tixing::{
    clock::ManualClock,
    config::App,
    domain::{Millis, reminder::State},
    engine::Engine,
    http::Hang,
    metrics::Metrics,
    platform::{
        self, Answer, Request,
        transport::{Failure, Transport},
    },
    sandbox::{Message, Sandbox},
    store::{Store, lists::Filter},
    words,
};
use tower::ServiceExt;

/// Calls the sandbox as a function.
pub struct Wire {
    router: Router,
    /// Nothing connects.
    pub down: AtomicBool,
    /// What the platform's `Date` says, if it says anything.
    pub date: AtomicI64,
    /// A message that says this makes the daemon stumble.
    pub stumbles_over: Mutex<Option<String>>,
}

impl Transport for Wire {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> {
        let (router, down, date) =
            (self.router.clone(), self.down.load(Ordering::SeqCst), self.date.load(Ordering::SeqCst));
        let stumbles = self.stumbles_over.lock().expect("whole").clone();
        let stumbles = stumbles.is_some_and(|word| String::from_utf8_lossy(&request.body).contains(&word));
        Box::pin(async move {
            assert!(!stumbles, "a fault of ours, on purpose");
            if down {
                return Err(Failure::NotSent(words::Message::text("connection refused")));
            }
            deliver(router, request, (date != 0).then_some(date)).await
        })
    }
}

/// Carries a request to the sandbox and its answer back.
pub async fn deliver(router: Router, request: Request, date: Option<Millis>) -> Result<Answer, Failure> {
    let method = match request.method {
        platform::Method::Get => Method::GET,
        platform::Method::Post => Method::POST,
    };
    let head = HttpRequest::builder().method(method).uri(request.url).header("content-length", request.body.len());
    let head = request.headers.iter().fold(head, |head, (name, value)| head.header(&**name, &**value));
    let request = head.body(Body::from(request.body)).expect("a request");
    let response = router.oneshot(request).await.expect("infallible");
    if response.extensions().get::<Hang>().is_some() {
        return Err(Failure::Unknown(words::Message::text("the connection broke")));
    }
    let status = response.status().as_u16();
    let seconds = |value: &axum::http::HeaderValue| value.to_str().ok()?.parse::<Millis>().ok();
    let retry_after = response.headers().get("retry-after").and_then(seconds).map(|seconds| seconds * 1_000);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    Ok(Answer { status, body, date, retry_after })
}

/// The whole of it.
pub struct Rig {
    pub test: TestStore,
    pub sandbox: Sandbox,
    pub wire: Arc<Wire>,
    pub engine: Engine,
    pub apps: Vec<App>,
    pub metrics: Arc<Metrics>,
}

impl Rig {
    pub fn new(test: TestStore, change: impl Fn(&mut App)) -> Self {
        let sandbox = Sandbox::new(test.clock.clone(), 1);
        let mut apps = apps("http://sandbox");
        apps.iter_mut().for_each(change);
        for app in &apps {
            sandbox.world().add_configured(app);
        }
        let wire = Arc::new(Wire {
            router: sandbox.router(),
            down: false.into(),
            date: 0.into(),
            stumbles_over: Mutex::default(),
        });
        let metrics = Arc::new(Metrics::default());
        let engine =
            Engine::new(Arc::new(test.store.clone()), wire.clone(), test.clock.clone(), metrics.clone(), &apps, 1);
        Self { test, sandbox, wire, engine, apps, metrics }
    }

    pub fn store(&self) -> &Store {
        &self.test.store
    }

    pub fn clock(&self) -> &ManualClock {
        &self.test.clock
    }

    /// The user accepts, on the platform; tixing learns of it by the reminder that says so, or by `record`.
    pub fn tap(&self, openid: &str) {
        self.sandbox.world().tap(&self.apps[0].appid, openid, super::EVENT, true);
    }

    /// Time passes in steps, for the platform too, and the crank is turned at each.
    pub async fn pass(&mut self, total: Millis, step: Millis) {
        for _ in 0..total / step {
            self.test.clock.advance(step);
            if self.wire.date.load(Ordering::SeqCst) != 0 {
                self.wire.date.fetch_add(step, Ordering::SeqCst);
            }
            self.engine.turn().await;
        }
    }

    pub fn messages(&self) -> Vec<Message> {
        self.sandbox.world().messages().to_vec()
    }

    pub fn openids(&self) -> Vec<String> {
        self.messages().into_iter().map(|m| m.openid).collect()
    }

    /// All reminders of `coffee` with their states and the last word said about each.
    pub async fn states(&self) -> Vec<(State, Option<String>)> {
        let filter = Filter { apps: vec!["coffee".into()], limit: 1_000, ..Filter::default() };
        let mut states = Vec::new();
        for stored in self.store().list(&filter).await.expect("answers") {
            let events = self.store().events(&stored).await.expect("answers");
            states.push((stored.due.state, events.last().and_then(|e| e.code.clone())));
        }
        states
    }

    /// The daemon dies, and another starts on the same store.
    pub async fn restart(self) -> Self {
        let Self { mut test, sandbox, wire, engine, apps, metrics } = self;
        engine.crash();
        test.store.close().await;
        test.store = open(&test.url, &test.clock).await;
        let engine =
            Engine::new(Arc::new(test.store.clone()), wire.clone(), test.clock.clone(), metrics.clone(), &apps, 2);
        Self { test, sandbox, wire, engine, apps, metrics }
    }

    /// What must hold whatever happened: I1 and I2 by the platform's ledger, I4 by ours.
    pub async fn check(&self) {
        for entry in self.sandbox.world().ledger() {
            assert!(entry.used <= entry.granted, "I1: {entry:?}");
        }
        let tally = self.store().tally().await.expect("answers");
        assert_eq!(tally["coffee"]["sending"], 0, "nothing is left in sending");
    }
}

/// Runs `test` on each database.
pub async fn on_both_rigs(change: impl Fn(&mut App) + Copy, test: impl AsyncFn(Rig) -> Rig) {
    on_both(async |store| {
        let rig = test(Rig::new(store, change)).await;
        rig.check().await;
        rig.test.store.close().await;
    })
    .await;
}

/// As configured.
pub fn plain(_: &mut App) {}

/// An instant some seconds after the start.
pub fn at(seconds: i64) -> Millis {
    START + seconds * 1_000
}
