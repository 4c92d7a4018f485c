//! An app that is divided into shards, which several daemons send at the same time.

use super::{
    rounds, seed,
    trio::{COFFEE, CONCURRENCY, RATE, Trio},
    until,
};
use crate::harness::{machine, program::now};
use sqlx::Row;
use std::collections::HashMap;
use tixing::domain::{Millis, node::shard_of, reminder::ReminderId};

/// So many, of which two are the first node's.
const SHARDS: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i3_a_divided_app_keeps_its_rate_through_all_nodes_and_who_is_killed_holds_up_its_own_shards_alone() {
    let _turn = machine::half().await;
    for _ in 0..rounds() {
        divided(seed("shards")).await;
    }
}

async fn divided(seed: u64) {
    let Some(mut trio) = Trio::start_divided(seed, SHARDS).await else { return };
    // A shard has eight sends under way at most: so the rate is what limits it, and not a busy machine.
    trio.sandbox.sandbox.world().faults.latency_ms = 20;
    // A crowd for which the rate is too slow: 1,400 take seven seconds at the whole rate.
    let start = now() + 3_500;
    trio.crowd(COFFEE, vec![start; 7 * RATE]).await;
    // And then some at an even pace, while a node dies.
    let (from, span) = (start + 11_000, 26_000);
    trio.crowd(COFFEE, (0..span / 25).map(|i| from + i * 25).collect()).await;
    until(from + 2_000 + trio.random(0..1_000)).await;
    let shards = shards_of(&trio).await;
    assert_eq!(shards.values().map(Vec::len).collect::<Vec<_>>().iter().sum::<usize>(), SHARDS as usize);
    let victim = trio.names[1].clone();
    let lost = shards[&victim].clone();
    let left = {
        let former = trio.states(&victim).await[0].0;
        trio.take(1).kill();
        trio.left_by(former).await.len()
    };
    let killed = now();
    trio.until(20, async || !shards_of(&trio).await.contains_key(&victim)).await;
    let took = now() - killed;
    let kept = shards_of(&trio).await;
    assert_eq!(kept.values().map(Vec::len).sum::<usize>(), SHARDS as usize, "each shard has an owner again: {kept:?}");
    until(killed + took + 9_500).await;
    // What it had under way waits for its proof.
    trio.serve(1);
    let verdict = trio.judge("shards", 60).await;
    let openids: HashMap<ReminderId, String> =
        trio.plan.lock().expect("whole").iter().map(|(openid, planned)| (planned.id, openid.clone())).collect();
    let silence = |is_lost: bool| {
        let of = |id| lost.contains(&i64::from(shard_of(&openids[&id], SHARDS))) == is_lost;
        let times = verdict.of_app(COFFEE).filter(|arrived| of(arrived.id)).map(|arrived| arrived.at);
        let times: Vec<Millis> = times.filter(|at| (killed..from + span).contains(at)).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    };
    let begun = verdict.between(COFFEE, start, start + 7_000);
    eprintln!(
        "shards: {begun} in the first seven seconds; taken over after {took} ms, of {left} under way; silent for {} ms, the others for {} ms",
        silence(true),
        silence(false)
    );
    assert!(verdict.missing.is_empty(), "{:?}", verdict.missing);
    // What was under way at once may arrive at once.
    assert!(verdict.fastest(COFFEE) <= RATE + 2 * CONCURRENCY, "{} in a second", verdict.fastest(COFFEE));
    assert!(begun * 10 >= 7 * RATE * 8, "the shards together use the app's rate: {begun}");
    assert!(silence(true) <= 15_000 + verdict.stall(), "{}", silence(true));
    assert!(silence(false) <= 1_500 + verdict.stall(), "the others' shards are not held up: {}", silence(false));
}

/// The shards of `coffee` by the names of the nodes that have them.
async fn shards_of(trio: &Trio) -> HashMap<String, Vec<i64>> {
    let sql = "SELECT n.name, l.shard FROM lane l JOIN app a ON a.id = l.app JOIN node n ON n.id = l.node
         WHERE a.name = 'coffee' ORDER BY l.shard";
    let mut shards: HashMap<String, Vec<i64>> = HashMap::new();
    for row in trio.sql(sql).await {
        shards.entry(row.get("name")).or_default().push(row.get("shard"));
    }
    shards
}
