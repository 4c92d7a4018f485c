//! All integration tests, in one binary: real stores, real HTTP, the real program.

mod harness;
mod sandbox;
mod simulation;
mod store;
mod model;
mod engine;
mod bad_input;
mod openapi;
mod cli;
mod fuzz;
mod tidy;
mod crash;
mod safekeeping;
mod busy;
mod transport;
mod callback;
mod doubt;
mod doctor;
mod trouble;
mod templates;
mod users;
mod in_use;
mod gates;
mod retention;
mod lists;
