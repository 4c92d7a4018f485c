//! JSON for programs: `/v1` behind keys, health and documentation open to all.

mod access;
mod annotated;
mod apps;
mod nodes;
mod auth;
mod batch;
mod beside;
mod batches;
mod by_name;
mod bulk;
mod by_key;
mod calendar;
mod check;
mod console;
mod consents;
mod counted;
mod report;
mod prepare;
mod ticket;
mod taps;
mod docs;
mod doubts;
mod explain;
mod explain_user;
mod distinct;
mod parse;
mod extract;
mod feed;
mod health;
mod idempotency;
mod keys;
mod ndjson;
mod openapi;
mod places;
mod plan_schema;
mod plans;
mod problem;
mod pulse;
mod reminders;
mod schedule_report;
mod schedules;
mod schema;
mod stats;
mod safekeeping;
mod sheets;
mod templates;
mod today;
mod uploads;
mod users;

pub use auth::{Caller, new_key};
pub use check::ReminderBody;
pub use extract::MAX_BODY;

use crate::{
    clock::SharedClock,
    config::Config,
    engine::Signals,
    metrics::Metrics,
    schedule::sheet,
    store::{Store, StoreError, keys::Scope},
    words::say,
};
use auth::Keys;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use batches::Batches;
use places::Places;
use problem::Problem;
use pulse::Pulse;
use std::{sync::Arc, time::Duration};
use taps::Taps;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

/// Time for an answer, but for what streams or copies: the store has limits of its own, and this one bounds their sum.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that a list may take.
const LIST_TIME: Duration = Duration::from_secs(2);

/// The state that all handlers share. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    config: Arc<Config>,
    store: Store,
    clock: SharedClock,
    metrics: Arc<Metrics>,
    /// `None` where no engine runs beside: the command line without a daemon.
    signals: Option<Arc<Signals>>,
    keys: Arc<Keys>,
    places: Arc<Places>,
    batches: Arc<Batches>,
    pulse: Arc<Pulse>,
    refreshes: Arc<templates::Refreshes>,
    taps: Arc<Taps>,
    /// Links to the console that were given out.
    links: Arc<console::Links>,
    /// Turns of those who hand in files.
    files: Arc<Semaphore>,
    /// The turn of those who want to know how a schedule went: all its reminders are counted.
    reports: Arc<schedule_report::Remembered>,
    /// The turn of those who want that as a workbook, which takes ten times as long.
    books: Arc<Semaphore>,
    /// What goes out today, as it was counted last.
    today: Arc<today::Counted>,
    /// How tables are read.
    reader: Arc<sheet::Reader>,
    list_time: Duration,
}

impl Api {
    /// An API over this store.
    pub async fn new(
        config: Arc<Config>,
        store: Store,
        clock: SharedClock,
        metrics: Arc<Metrics>,
        signals: Option<Arc<Signals>>,
    ) -> Self {
        counted::begin_counters(&metrics);
        let (keys, places, taps, list_time) = (Arc::default(), Arc::default(), Arc::default(), LIST_TIME);
        let (files, reader) = (Arc::new(Semaphore::new(plans::AT_ONCE)), Arc::default());
        let (reports, books) = (Arc::default(), Arc::new(Semaphore::new(1)));
        let (batches, pulse, refreshes, links, today) = Default::default();
        let api = Self {
            config,
            store,
            clock,
            metrics,
            signals,
            keys,
            places,
            taps,
            batches,
            pulse,
            refreshes,
            links,
            files,
            reports,
            books,
            today,
            reader,
            list_time,
        };
        api.refresh_keys().await;
        api
    }

    /// The same, with another time for lists.
    #[must_use]
    pub fn with_list_time(self, list_time: Duration) -> Self {
        Self { list_time, ..self }
    }

    /// The same, with tables read by another program: that of a test is not this one.
    #[must_use]
    pub fn with_reader(self, reader: sheet::Reader) -> Self {
        Self { reader: Arc::new(reader), ..self }
    }

    /// The configuration of the daemon.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The store behind it.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// For programs: every `/v1` call needs a key.
    pub fn router(&self) -> Router {
        self.build(Who::Key)
    }

    /// For callers on this machine's socket, whose permissions let only its owner in: no key needed.
    pub fn owner_router(&self) -> Router {
        self.build(Who::Caller(Caller::owner()))
    }

    /// Metrics alone, for a listener of their own.
    pub fn metrics_router(&self) -> Router {
        Router::new().route("/metrics", get(health::metrics)).with_state(self.clone())
    }

    fn build(&self, who: Who) -> Router {
        let owner = if let Who::Caller(owner) = &who { Some(owner.clone()) } else { None };
        let feed = Router::new()
            .route("/schedules.ics", get(feed::feed))
            .layer(middleware::from_fn(in_time))
            .layer(middleware::from_fn_with_state((self.clone(), owner), feed::authenticated));
        let v1 = Router::new()
            .route("/consents", post(consents::record).get(consents::show))
            .route("/consents/ask", get(consents::ask))
            .route("/consents/prepare", post(prepare::prepare))
            .route("/reminders", post(reminders::insert).get(reminders::list))
            .route("/reminders/by-key", get(by_key::show).patch(by_key::change).delete(by_key::cancel))
            .route("/reminders/cancel", post(bulk::cancel))
            .route("/reminders/shift", post(bulk::shift))
            .route("/reminders/explain", get(explain_user::explain_user))
            .route("/reminders/{id}", get(reminders::show).patch(reminders::change).delete(reminders::cancel))
            .route("/reminders/{id}/explain", get(explain::explain))
            .route("/schedules", get(schedules::list))
            .route("/schedules/{name}/problems", get(schedules::problems))
            .route("/schedules/{name}/report", get(schedule_report::report))
            .route("/schedules/{name}/report.xlsx", get(schedule_report::workbook))
            .route("/schedules/{name}/pause", post(schedules::pause))
            .route("/schedules/{name}/resume", post(schedules::resume))
            .route("/apps/{name}/pause", post(apps::pause))
            .route("/apps/{name}/resume", post(apps::resume))
            .route("/nodes", get(nodes::list))
            .route("/nodes/{id}/bury", post(nodes::bury))
            .route("/nodes/{id}/drain", post(nodes::drain))
            .route("/doubts", get(doubts::doubts))
            .route("/doubts/{id}", post(doubts::resolve))
            .route("/templates", get(templates::templates))
            .route("/users/forget", post(users::forget))
            .route("/users/let-in", post(users::let_in))
            .route("/stats", get(stats::stats))
            .route("/today", get(today::today))
            .route("/keys", post(keys::create_key).get(keys::list_keys))
            .route("/keys/{id}", axum::routing::delete(keys::revoke_key))
            .layer(middleware::from_fn(in_time))
            // What takes as long as there is to do.
            .route("/users/export", post(users::export))
            .route("/schedules/{name}", get(schedules::show).delete(schedules::cancel))
            .route("/schedules/{name}/shift", post(schedules::shift))
            .route("/consents/batch", post(batch::consents))
            .route("/reminders/batch", post(batch::reminders))
            .route("/templates/refresh", post(templates::refresh))
            .route("/schedules/plan", post(plans::plan))
            .route("/schedules/apply", post(plans::apply))
            .route("/schedules/annotate", post(annotated::annotate))
            .route("/schedules/try", post(plans::attempt))
            .route("/sheet", post(sheets::read))
            .route("/backup", post(safekeeping::backup))
            .route("/console/open", post(console::open))
            .route("/release", post(safekeeping::release).get(safekeeping::held))
            .layer(middleware::from_fn_with_state((self.clone(), who), authenticated));
        Router::new()
            .nest("/v1", v1.merge(feed))
            .route("/healthz", get(health::healthy))
            .route("/readyz", get(health::ready))
            .route("/metrics", get(health::metrics))
            .route("/openapi.json", get(openapi::document))
            .route("/docs", get(docs::page))
            .fallback(access::nothing)
            .method_not_allowed_fallback(access::no_method)
            // Who reads a body has a bound of its own: 64 KiB, a batch's line, a table's 512 MiB.
            .layer(DefaultBodyLimit::disable())
            .layer(CatchPanicLayer::custom(|_| Problem::new("internal", say!("fault_of_tixing")).into_response()))
            .layer(middleware::from_fn(beside::where_taken))
            .layer(middleware::from_fn_with_state(Arc::clone(&self.metrics), access::with_request_id))
            .with_state(self.clone())
    }
}

/// Answers in time, whatever the store does.
async fn in_time(request: Request, next: Next) -> Response {
    let reads = request.method() == axum::http::Method::GET;
    let late = || StoreError::Silent(say!("store_no_answer_within", limit = ANSWER_TIMEOUT.as_millis() as u64));
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await;
    answer.unwrap_or_else(|_| match reads {
        true => Problem::new("unavailable", say!("store_unavailable")).into_response(),
        false => Problem::from(late()).into_response(),
    })
}

async fn authenticated(State((api, who)): State<(Api, Who)>, mut request: Request, next: Next) -> Response {
    let caller = match who {
        Who::Caller(caller) => Ok(caller),
        Who::Extension => {
            request.extensions_mut().remove().ok_or_else(|| Problem::new("unauthorized", say!("no_api_key")))
        }
        // A key of the feed opens nothing here, not even what everybody else may look at.
        Who::Key => api.authenticate(request.headers()).and_then(|caller| caller.may(Scope::Read).map(|()| caller)),
    };
    match caller {
        Ok(caller) => access::go_on_as(caller, request, next).await,
        Err(problem) => problem.into_response(),
    }
}

/// How a router knows who asks.
#[derive(Clone)]
enum Who {
    /// By the API key in the head of the request.
    Key,
    /// It is always the same.
    Caller(Caller),
    /// By what stands in the request's extensions.
    Extension,
}
