//! The console: pages for people, in Chinese and in English. It asks the API, in this process and as the person who is signed in, so it can
//! do nothing that the API cannot, and computes nothing a second time.
//!
//! ```text
//! session    who is signed in, and how they sign in and out
//! guard      what every answer carries, and which forms are taken
//! ask        the API is asked, and what it refuses becomes a page
//! frame      what stands around every page, and how numbers and times are written
//! extract    what browsers send with a page
//! numbers    how a schedule stands; live  numbers that change while somebody looks
//! upload     files that are handed in; choices    a schedule's file as a form sees it
//! plan       what would come of a draft
//! overview │ schedules │ schedule │ start │ form │ check │ draft │ report │ search │ reminder      a page each
//! pages/     their templates; assets/  the style sheet and the script
//! ```

mod ask;
mod assets;
mod card;
mod check;
mod choices;
mod draft;
mod extract;
mod form;
mod frame;
mod guard;
mod live;
mod numbers;
mod overview;
mod person;
mod plan;
mod problems;
mod reminder;
mod report;
mod schedule;
mod schedules;
mod search;
mod session;
mod start;
mod upload;

use crate::{api::Api, clock::SharedClock, config};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use guard::Attempts;
use live::Live;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Bytes of a form.
const MAX_FORM: usize = 64 * 1024;
/// Bytes of a form with the texts of a message: as much as a schedule's file, and what encoding them adds.
const MAX_TEXTS: usize = 1024 * 1024;

/// What all pages share. Cheap to clone.
#[derive(Clone)]
struct Console {
    api: Api,
    /// The API, asked as somebody.
    asked: Router,
    settings: Arc<config::Console>,
    clock: SharedClock,
    attempts: Arc<Attempts>,
    live: Arc<Live>,
    checks: Arc<plan::Checks>,
    /// Turns of those who hand in files.
    uploads: Arc<Semaphore>,
    stop: CancellationToken,
}

/// The pages, under `/console`. Those that change while somebody looks at them end at `stop`.
pub fn router(api: Api, settings: config::Console, clock: SharedClock, stop: CancellationToken) -> Router {
    let asked = api.person_router();
    let (attempts, live, checks) = Default::default();
    let uploads = Arc::new(Semaphore::new(upload::AT_ONCE));
    let console = Console { api, asked, settings: Arc::new(settings), clock, attempts, live, checks, uploads, stop };
    // Whoever reads the files counts their bytes.
    let unbounded = DefaultBodyLimit::disable;
    let hands_in = post(start::hand_in).layer(unbounded());
    Router::new()
        .route("/console", get(overview::page))
        .route("/console/", get(overview::page))
        .route("/console/login", get(session::form).post(session::sign_in))
        .route("/console/logout", post(session::sign_out))
        .route("/console/lang", post(session::choose_language))
        .route("/console/open/{secret}", get(session::link).post(session::use_link))
        .route("/console/schedules", get(schedules::page))
        .route("/console/new", get(start::form).merge(hands_in))
        .route("/console/drafts/{id}", get(check::check))
        .route(
            "/console/drafts/{id}/form",
            get(form::page).merge(post(form::save).layer(DefaultBodyLimit::max(MAX_TEXTS))),
        )
        .route("/console/drafts/{id}/table", post(draft::mend).layer(unbounded()))
        .route("/console/drafts/{id}/progress", get(plan::progress))
        .route("/console/drafts/{id}/problems.xlsx", get(draft::problems_book))
        .route("/console/drafts/{id}/schedule.toml", get(draft::file))
        .route("/console/drafts/{id}/load", post(draft::load))
        .route("/console/drafts/{id}/try", post(draft::attempt))
        .route("/console/drafts/{id}/discard", post(draft::discard))
        .route("/console/schedules/{name}", get(schedule::page))
        .route("/console/schedules/{name}/live", get(live::stream))
        .route("/console/schedules/{name}/again", post(start::again).layer(unbounded()))
        .route("/console/schedules/{name}/report", get(report::page))
        .route("/console/schedules/{name}/report.xlsx", get(report::workbook))
        .route("/console/schedules/{name}/{act}", get(schedule::confirm).post(schedule::act))
        .route("/console/search", get(search::page).post(search::find))
        .route("/console/reminders/{id}", get(reminder::page))
        .route("/console/assets/{name}", get(assets::serve))
        .route("/console/{*rest}", get(session::nothing))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(middleware::from_fn_with_state(console.clone(), guard::guard))
        .with_state(console)
}
