//! How fast and how soon, whoever has the lane.

use super::{
    is_long, rounds, seed,
    trio::{COFFEE, CONCURRENCY, RATE, Trio, id, request},
    until,
};
use crate::harness::{machine, program::now};
use tixing::domain::Millis;
use tokio::task::block_in_place;

/// How late the latest of a hundred may be that was inserted at a node which does not have the lane.
const NEAR: Millis = 150;
/// How late half of them may be: who only looks once a second is later than this with most.
const RUNG: Millis = 150;
/// The machine may be busy with something else; a wait of ours would show each time.
const TRIES: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_at_once_is_not_late_though_it_came_by_another_node() {
    let _turn = machine::half().await;
    for _ in 0..rounds() {
        let Some(trio) = Trio::start(seed("near")).await else { return };
        {
            let faults = &mut trio.sandbox.sandbox.world().faults;
            (faults.latency_ms, faults.jitter_ms) = (0, 0);
        }
        let mut tries = Vec::new();
        for _ in 0..TRIES {
            tries.push(near(&trio).await);
            if tries.last().is_some_and(|[_, latest]| *latest <= NEAR) {
                break;
            }
        }
        eprintln!("near: p50 and p99 {tries:?} ms; the machine stood for {} ms", trio.stall());
        assert!(tries.iter().any(|[half, _]| *half <= RUNG), "{tries:?}{}", trio.said());
        // A busy machine is later by itself.
        assert!(!is_long() || tries.iter().any(|[_, latest]| *latest <= NEAR), "{tries:?}{}", trio.said());
    }
}

/// How late half of two hundred were, and how late the third latest was.
async fn near(trio: &Trio) -> [Millis; 2] {
    let mut sent = Vec::new();
    for _ in 0..200 {
        let (openid, due) = (trio.user(COFFEE), now() + trio.random(0..300));
        let (status, created) = trio.node(2).post("/v1/reminders", &request(COFFEE, &openid, due)).await;
        assert_eq!(status, 201, "{created}");
        let _ = id(&created);
        sent.push((openid, due.max(now())));
    }
    until(now() + 1_500).await;
    let world = trio.sandbox.sandbox.world();
    let at = |openid: &str| world.messages().iter().find(|message| message.openid == openid).map(|message| message.at);
    let mut late: Vec<Millis> =
        sent.iter().map(|(openid, due)| at(openid).map_or(Millis::MAX, |at| at - due)).collect();
    late.sort_unstable();
    [late[100], late[197]]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apps_rate_holds_across_a_hand_over_and_a_takeover() {
    let _turn = machine::half().await;
    for _ in 0..rounds() {
        let Some(mut trio) = Trio::start(seed("rate")).await else { return };
        // A crowd for which the rate is too slow all the time.
        let start = now() + 2_500;
        trio.crowd(COFFEE, vec![start; 7 * RATE]).await;
        until(start + 2_000 + trio.random(0..500)).await;
        let node = trio.take(COFFEE);
        let (name, ends) = (trio.names[COFFEE].clone(), now());
        assert!(block_in_place(|| node.terminate()).0.success());
        trio.until_owner(COFFEE, &name, false, 5).await;
        let owner = trio.owner(COFFEE).await.expect("somebody");
        until(now() + 2_000 + trio.random(0..500)).await;
        let heir = trio.names.iter().position(|name| *name == owner).expect("one of them");
        trio.take(heir).kill();
        let took = trio.until_owner(COFFEE, &owner, false, 20).await;
        until(now() + 9_500).await;
        // What it had under way waits for its proof.
        trio.serve(heir);
        let verdict = trio.judge("rate", 90).await;
        let silence = verdict.silence(COFFEE, ends - 500, ends + 2_000);
        eprintln!("rate: silent for {silence} ms at the hand-over; taken over after {took} ms");
        // What was under way at once may arrive at once.
        assert!(verdict.fastest(COFFEE) <= RATE + 2 * CONCURRENCY, "{} in a second", verdict.fastest(COFFEE));
        assert!(verdict.missing.is_empty(), "{:?}", verdict.missing);
        assert!(silence <= 1_000 + verdict.stall(), "{silence}");
    }
}
