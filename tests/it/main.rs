//! All integration tests, in one binary: real stores, real HTTP, the real program.

mod harness;
mod store;
mod engine;
