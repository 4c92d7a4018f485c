//! tixing (提醒): a scheduled reminder engine for mini-program subscribe messages.
//!
//! The map. A folder knows only those below it; `tests/it/tidy.rs` keeps it so.
//!
//! ```text
//! main ─ cli ─ daemon        starts and connects everything: the only place that knows all the others
//!   console                  pages for people, over what the API answers
//!   api │ callback           JSON for programs │ the platforms' pushes
//!         findings           how it stands and what to do, by what the API answers
//!         schedule           a marketer's file becomes reminders
//!         cluster            this daemon among several: who is alive, whose a lane is
//!         engine             which reminder is sent when, in which order, how many at once
//!         sandbox            simulates the platforms: for the demo, for tests, for staging
//!         store              all SQL
//!         config             `tixing.toml`: read once, checked whole
//!        platform            all that is known of a platform, and the one HTTP client
//!         domain             what things are and what follows from what: no I/O, no clock
//!         words              every sentence that a person reads, in English and Chinese
//! ```
//!
//! Beside them stand `clock` (the only one that reads the time), `http` (serving HTTP with limits), `descriptors` (who gets the open files), `metrics`, and `trip` (the points at
//! which tests kill the process).
//!
//! One reminder goes through once, forward: insert → prefetch → gate → mark → send → settle → receipt.
#![forbid(unsafe_code)]

pub mod words;
pub mod domain;
pub mod clock;
pub mod trip;
pub mod platform;
pub mod config;
pub mod store;
pub mod http;
pub mod descriptors;
pub mod sandbox;
pub mod metrics;
pub mod engine;
pub mod cluster;
pub mod schedule;
pub mod api;
pub mod findings;
pub mod console;
pub mod callback;
pub mod daemon;
pub mod cli;
