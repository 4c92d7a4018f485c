//! The database itself is away for a while, for all nodes alike: that is nobody's death.

use super::{
    rounds, seed,
    trio::{COFFEE, TEA, Trio},
    until,
};
use crate::harness::{
    machine, postgres,
    program::{SandboxServer, now},
};
use tokio::task::block_in_place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i3_a_database_that_starts_again_or_is_away_for_long_ends_no_node_and_loses_nothing() {
    let _turn = machine::half().await;
    for _ in 0..rounds() {
        let seed = seed("PostgreSQL");
        let Some(cluster) = block_in_place(postgres::own_cluster) else { return };
        let (url, sandbox) = (cluster.url("postgres"), SandboxServer::start(seed).await);
        let platform = sandbox.url.clone();
        let trio = Trio::start_at(seed, sandbox, &url, |_| (url.clone(), platform.clone())).await;
        let start = now() + 2_500;
        trio.insert(40, start, 36_000).await;
        let (trickle, before) = (trio.trickle(), states(&trio).await);
        until(start + 2_000 + trio.random(0..1_000)).await;
        let restarts = now();
        block_in_place(|| {
            cluster.stop_in_order();
            cluster.start_again();
        });
        let restarted = now();
        until(restarted + 6_000).await;
        let goes = now();
        block_in_place(|| cluster.stop_in_order());
        until(goes + 20_000).await;
        block_in_place(|| cluster.start_again());
        let comes = now();
        let (taken, again) = trickle.stop().await;
        let verdict = trio.judge("PostgreSQL", 60).await;
        for app in [COFFEE, TEA] {
            eprintln!(
                "PostgreSQL: silent for {} ms by a restart of {} ms, and for {} ms by {} ms of absence; {taken} taken one by one, {again} asked for again",
                verdict.silence(app, restarts, goes),
                restarted - restarts,
                verdict.silence(app, goes, comes + 8_000),
                comes - goes,
            );
            assert!(verdict.silence(app, restarts, goes) <= restarted - restarts + 5_000 + verdict.stall());
            assert!(verdict.silence(app, goes, comes + 8_000) <= comes - goes + 7_000 + verdict.stall());
        }
        assert!(verdict.missing.is_empty(), "an outage of the store alone leaves no doubt: {:?}", verdict.missing);
        assert_eq!(states(&trio).await, before, "nobody was held for dead");
    }
}

async fn states(trio: &Trio) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    for name in &trio.names {
        all.extend(trio.states(name).await);
    }
    all
}
