//! The console: pages for people, in Chinese and in English. It asks the API, in this process and as the person who is signed in, so it can
//! do nothing that the API cannot, and computes nothing a second time.
//!
//! ```text
//! session    who is signed in, and how they sign in and out
//! guard      what every answer carries, and which forms are taken
//! ask        the API is asked, and what it refuses becomes a page
//! frame      what stands around every page, and how numbers and times are written
//! overview │ schedules │ schedule │ draft │ report │ search │ reminder      a page each
//! pages/     their templates; assets/  the style sheet
//! ```

mod ask;
mod assets;
mod card;
mod draft;
mod frame;
mod guard;
mod overview;
mod person;
mod problems;
mod reminder;
mod report;
mod schedule;
mod schedules;
mod search;
mod session;

use crate::{api::Api, clock::SharedClock, config};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use guard::Attempts;
use std::sync::Arc;

/// Bytes of a form.
const MAX_FORM: usize = 64 * 1024;

/// What all pages share. Cheap to clone.
#[derive(Clone)]
struct Console {
    api: Api,
    /// The API, asked as somebody.
    asked: Router,
    settings: Arc<config::Console>,
    clock: SharedClock,
    attempts: Arc<Attempts>,
}

/// The pages, under `/console`.
pub fn router(api: Api, settings: config::Console, clock: SharedClock) -> Router {
    let asked = api.person_router();
    let console = Console { api, asked, settings: Arc::new(settings), clock, attempts: Arc::default() };
    // Whoever reads the files counts their bytes.
    let hands_in = post(draft::hand_in).layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/console", get(overview::page))
        .route("/console/", get(overview::page))
        .route("/console/login", get(session::form).post(session::sign_in))
        .route("/console/logout", post(session::sign_out))
        .route("/console/lang", post(session::choose_language))
        .route("/console/open/{secret}", get(session::link).post(session::use_link))
        .route("/console/schedules", get(schedules::page))
        .route("/console/new", get(draft::form).merge(hands_in))
        .route("/console/drafts/{id}", get(draft::check))
        .route("/console/drafts/{id}/load", post(draft::load))
        .route("/console/drafts/{id}/try", post(draft::attempt))
        .route("/console/drafts/{id}/discard", post(draft::discard))
        .route("/console/schedules/{name}", get(schedule::page))
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
