//! Nodes that stand still for a while and do not know it.

use super::{
    is_long, rounds, seed,
    trio::{COFFEE, TEA, Trio},
    until,
};
use crate::harness::{machine, program::now};
use futures_util::future::join_all;
use sqlx::Row;
use std::{collections::BTreeSet, time::Duration};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i3_a_node_that_stood_still_sends_nothing_that_others_have_sent_meanwhile() {
    let _turn = machine::whole().await;
    for _ in 0..rounds() {
        let seed = seed("SIGSTOP");
        beside_each_other(seed, &[(3, TEA), (7, TEA), (20, COFFEE)]).await;
        if is_long() {
            beside_each_other(seed, &[(20, TEA), (60, TEA)]).await;
        }
    }
}

async fn beside_each_other(seed: u64, stops: &[(i64, usize)]) {
    let mut trios = Vec::new();
    for (seconds, app) in stops {
        let Some(trio) = Trio::start(seed.wrapping_add(trios.len() as u64)).await else { return };
        trios.push((trio, *seconds, *app));
    }
    join_all(trios.into_iter().map(|(trio, seconds, app)| stopped(trio, seconds, app))).await;
}

/// The node that has the app's lane stands still for so many seconds.
async fn stopped(trio: Trio, seconds: i64, app: usize) {
    let what = format!("SIGSTOP {seconds} s");
    let start = now() + 2_500;
    trio.insert(40, start, 1_000 * seconds + 8_000).await;
    until(start + 2_000 + trio.random(0..1_000)).await;
    let (name, node) = (&trio.names[app], trio.node(app));
    let was = trio.states(name).await;
    node.signal("-STOP");
    if seconds >= 15 {
        // Where it holds rows that others need for a takeover.
        let mut tries = 1;
        while !in_a_transaction(&trio).await {
            node.signal("-CONT");
            tokio::time::sleep(Duration::from_millis(trio.random(1..40).unsigned_abs())).await;
            node.signal("-STOP");
            tries += 1;
            assert!(tries < 300, "now and then it writes");
        }
        eprintln!("{what}: in the middle of a transaction at try {tries}");
    }
    let stopped = now();
    until(stopped + seconds * 1_000).await;
    let owner = trio.owner(app).await;
    node.signal("-CONT");
    let wakes = now();
    match seconds {
        0..5 => assert_eq!(owner.as_ref(), Some(name), "so short a stop is none"),
        15.. => assert_ne!(owner.as_ref(), Some(name), "others have its lane"),
        _ => {}
    }
    if seconds >= 15 {
        // As another node; its former self is gone once nothing of it is under way.
        trio.until(30, async || {
            let states = trio.states(name).await;
            states.iter().map(|(_, state)| &**state).eq(["gone", "live"])
        })
        .await;
        eprintln!("{what}: it has joined anew, and its former self is gone, {} ms after it went on", now() - wakes);
    } else if seconds < 5 {
        assert_eq!(trio.states(name).await, was, "it is the same node");
    }
    let verdict = trio.judge(&what, 60).await;
    let silence = verdict.silence(app, stopped, wakes.max(stopped + 15_000).min(start + 1_000 * seconds + 8_000));
    eprintln!("{what}: silent for {silence} ms; {} not arrived", verdict.missing.len());
    let most = if seconds >= 15 { 15_000 } else { 1_000 * seconds + 3_000 };
    assert!(silence <= most + verdict.stall(), "{silence}");
    if app == COFFEE {
        assert!(verdict.missing.is_empty(), "what may be sent again was: {:?}", verdict.missing);
    }
}

/// Whether a transaction that keeps a lane from others waits for its client, again and again: those of the others go on.
async fn in_a_transaction(trio: &Trio) -> bool {
    let mut waits: Option<BTreeSet<String>> = None;
    for _ in 0..4 {
        let sql = "SELECT a.pid || ' ' || a.state_change AS waits FROM pg_stat_activity a
                   JOIN pg_locks l ON l.pid = a.pid AND l.relation = 'lane'::regclass AND l.mode = 'RowShareLock'
                   WHERE a.datname = current_database() AND a.state = 'idle in transaction'";
        let now = trio.sql(sql).await.iter().map(|row| row.get("waits")).collect();
        waits = Some(waits.map_or_else(|| BTreeSet::clone(&now), |before| &before & &now));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    waits.is_some_and(|waits| !waits.is_empty())
}
