//! tixing (提醒): a scheduled reminder engine for mini-program subscribe messages.
//!
//! The map. Layers point downward only; a file knows what is below it, and `tests/it/tidy.rs` keeps it so.
//!
//! ```text
//! main ─ cli                 wiring: the only place that knows everything
//!   api │ callback           JSON for programs │ the platforms' pushes
//!         engine             when, in what order, how many at once
//!     store │ platform       all SQL │ all that is known of a platform
//!         domain             what things are and what follows from what: no I/O, no clock
//!         words              every sentence that a person reads, in both languages
//! ```
//!
//! `sandbox` stands in for the platforms: for the demo, for tests, for users' staging. `trip` is where tests kill the process.
//!
//! One reminder goes through once, forward: insert → prefetch → gate → mark → send → settle → receipt.
#![forbid(unsafe_code)]

pub mod words;
pub mod domain;
pub mod clock;
pub mod trip;
pub mod config;
pub mod store;
pub mod platform;
pub mod http;
pub mod sandbox;
pub mod metrics;
pub mod engine;
pub mod api;
pub mod callback;
pub mod daemon;
pub mod cli;
