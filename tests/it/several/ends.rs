//! Nodes that end: killed, or asked to.

use super::{
    is_long, rounds, seed,
    trio::{COFFEE, CONCURRENCY, TEA, Trio},
    until,
};
use crate::harness::{
    machine,
    program::{Program, now},
};
use std::collections::BTreeMap;
use tixing::domain::node::BYTES_END;
use tokio::task::block_in_place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i3_what_a_killed_node_left_is_taken_over_and_sent_again_only_once_its_end_is_proved() {
    let _turn = machine::half().await;
    for _ in 0..rounds() {
        let seed = seed("kill -9");
        if let Some(trio) = Trio::start(seed).await {
            killed(trio).await;
        }
        if is_long()
            && let Some((trio, _pooler)) = Trio::start_behind_a_pooler(seed).await
        {
            killed(trio).await;
        }
    }
}

async fn killed(mut trio: Trio) {
    let start = now() + 3_000;
    trio.insert(40, start, 62_000).await;
    let trickle = trio.trickle();
    until(start + 3_000 + trio.random(0..1_000)).await;
    let (name, [(former, _)]) = (trio.names[COFFEE].clone(), &trio.states(&trio.names[COFFEE]).await[..]) else {
        panic!("it has started once")
    };
    let former = *former;
    trio.take(COFFEE).kill();
    let killed = now();
    let took = trio.until_owner(COFFEE, &name, false, 20).await;
    assert!(took <= 15_000, "others have its lane within 15 s: {took}");
    until(killed + took + 9_500).await;
    // It may stand still before its bytes, for all that the others know.
    assert_eq!(trio.states(&name).await, [(former, "lapsed".to_owned())]);
    let doubts: BTreeMap<_, _> = trio.left_by(former).await.into_iter().collect();
    // All of it, and not what was left right after the kill: the server may still be at the last commit that it has heard of.
    assert!(doubts.values().all(|state| *state == 2), "what it left is in doubt, and waits: {doubts:?}");
    trio.serve(COFFEE);
    let proved = now();
    let states = trio.states(&name).await;
    assert_eq!(states.iter().map(|(_, state)| &**state).collect::<Vec<_>>(), ["gone", "live"]);
    trio.until_owner(COFFEE, &name, true, 45).await;
    let back = now();
    let (taken, again) = trickle.stop().await;
    let verdict = trio.judge("kill -9", 60).await;
    let silence = verdict.silence(COFFEE, killed, proved);
    eprintln!(
        "kill -9: taken over after {took} ms, silent for {silence} ms, {} in doubt; a lane came back after {} s; {taken} taken one by one, {again} asked for again",
        doubts.len(),
        (back - proved) / 1_000,
    );
    assert!(doubts.len() <= CONCURRENCY, "{}", doubts.len());
    assert!(silence <= 15_000 + verdict.stall(), "{silence}");
    assert!(verdict.silence(TEA, start, back) <= 1_500 + verdict.stall(), "the others' lanes are not held up");
    assert!(verdict.missing.is_empty(), "{:?}", verdict.missing);
    for id in doubts.into_keys() {
        let at = verdict.at_of(id).expect("it arrived");
        let again = (killed + 500..proved + BYTES_END - 1_500).contains(&at);
        assert!(!again, "{id} was sent again {} ms after the proof", at - proved);
    }
    let late = verdict.latest(COFFEE, back - 1_000, back + 3_000);
    assert!(late <= 1_500 + verdict.stall(), "a lane that comes back while its owner lives is not late: {late}");
    for node in trio.nodes.into_iter().flatten() {
        assert!(block_in_place(|| node.terminate()).0.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_nodes_that_are_asked_to_end_hand_over_at_once_and_leave_nothing_in_doubt() {
    let _turn = machine::half().await;
    for _ in 0..rounds() {
        renewed_one_by_one(seed("SIGTERM")).await;
    }
}

/// As an upgrade does it.
async fn renewed_one_by_one(seed: u64) {
    let Some(mut trio) = Trio::start(seed).await else { return };
    let start = now() + 5_000;
    trio.insert(80, start, 16_000).await;
    let trickle = trio.trickle();
    until(start + 2_500).await;
    let begun = now();
    for i in 0..3 {
        until(now() + trio.random(300..900)).await;
        let (asked, node) = (now(), trio.take(i));
        let (status, log) = block_in_place(|| node.terminate());
        assert!(status.success() && !log.contains("found in doubt"), "{log}");
        eprintln!("SIGTERM: {} asked at {}, ended after {} ms", trio.names[i], asked - begun, now() - asked);
        trio.serve(i);
    }
    let end = now();
    trickle.stop().await;
    let verdict = trio.judge("SIGTERM", 40).await;
    assert!(verdict.missing.is_empty(), "I7, in doubt: {:?}", verdict.missing);
    // What a leaving node is still sending is not taken for a doubt, not even in the log.
    let quiet = |node: &Program| !node.said().contains("found in doubt");
    assert!(trio.nodes.iter().flatten().all(quiet), "{}", trio.said());
    for app in [COFFEE, TEA] {
        let usual = verdict.latest(app, start, begun - 500);
        let late = verdict.latest(app, begun - 500, end);
        eprintln!("SIGTERM: at most {late} ms late, {usual} ms before it; silences {:?}", verdict.silences(app, begun));
        assert!(late <= 1_500 + usual + verdict.stall(), "{late}");
    }
    for name in &trio.names {
        let states = trio.states(name).await;
        assert_eq!(states.iter().map(|(_, state)| &**state).collect::<Vec<_>>(), ["gone", "live"]);
    }
}
