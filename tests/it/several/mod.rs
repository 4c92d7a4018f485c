//! Three daemons as their own processes on one PostgreSQL, and what goes wrong among them. The platform is the judge: nothing arrives twice,
//! nothing is lost, and nothing is later than the design allows.
//!
//! `TIXING_SEVERAL=300` repeats each so often, and adds what takes long; the seed that each prints replays its instants by `TIXING_SEED`.

mod trio;
mod verdict;
mod ends;
mod stops;
mod links;
mod database;
mod promotion;
mod operators;
mod pace;
mod shards;

use tixing::domain::Millis;

/// How often each is repeated.
fn rounds() -> usize {
    std::env::var("TIXING_SEVERAL").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Whether what takes long is to run, too.
fn is_long() -> bool {
    std::env::var_os("TIXING_SEVERAL").is_some()
}

/// The seed of a round, said aloud.
fn seed(what: &str) -> u64 {
    let seed = std::env::var("TIXING_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("{what}: TIXING_SEED={seed}");
    seed
}

/// Sleeps until an instant.
async fn until(at: Millis) {
    let ms = u64::try_from(at - crate::harness::program::now()).unwrap_or_default();
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
}
