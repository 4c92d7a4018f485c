//! Networks that split between a node and the database, or the platform: bytes are swallowed, and nobody is told.

use super::{
    is_long, rounds, seed,
    trio::{CONCURRENCY, TEA, Trio, fresh_url},
    until,
};
use crate::harness::{
    link::{Link, There},
    machine, postgres,
    program::{SandboxServer, now},
};
use futures_util::future::join;
use std::{path::Path, time::Duration};
use tixing::domain::{Millis, node::TRUST};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i3_a_node_that_no_longer_reaches_the_database_or_the_platform_sends_nothing_twice() {
    let _turn = machine::half().await;
    for _ in 0..rounds() {
        let seed = seed("split");
        let (Some(one), Some(other)) = (linked(seed).await, linked(!seed).await) else { return };
        join(from_the_database(one, 12), from_the_platform(other)).await;
        if is_long() {
            from_the_database(linked(seed).await.expect("as before"), 30).await;
        }
    }
}

/// Daemons of which the one that has the lane of `tea` reaches the database and the platform by these links only.
type Linked = (Trio, [Link; 2]);

async fn linked(seed: u64) -> Option<Linked> {
    let (url, sandbox) = (fresh_url()?, SandboxServer::start(seed).await);
    let (folder, database) = postgres::parts(&url);
    let socket = Path::new(folder).join(".s.PGSQL.5432");
    // The kernel of a database's client goes on for a quarter of an hour; the way to the platform gives up after ten seconds.
    let store = Link::to(There::Socket(socket), Duration::from_secs(900)).await;
    let port = sandbox.url.rsplit_once(':').expect("a port").1.parse().expect("a number");
    let platform = Link::to(There::Port(port), Duration::from_secs(10)).await;
    let linked = (
        format!("postgres://tixing@127.0.0.1:{}/{database}", store.port),
        format!("http://127.0.0.1:{}", platform.port),
    );
    let direct = (url.clone(), sandbox.url.clone());
    let trio = Trio::start_at(seed, sandbox, &url, |i| if i == TEA { linked.clone() } else { direct.clone() }).await;
    Some((trio, [store, platform]))
}

async fn from_the_database((trio, [store, platform]): Linked, seconds: Millis) {
    let what = format!("database split off for {seconds} s");
    let start = now() + 2_500;
    trio.insert(60, start, 1_000 * seconds + 8_000).await;
    until(start + 2_000 + trio.random(0..1_000)).await;
    let name = &trio.names[TEA];
    let [(former, _)] = trio.states(name).await[..] else { panic!("it has started once") };
    store.cut();
    let cut = now();
    let under_way = trio.left_by(former).await.len();
    let took = trio.until_owner(TEA, name, false, 20).await;
    until(cut + 1_000 * seconds).await;
    store.heal();
    let healed = now();
    trio.until(30, async || trio.states(name).await.iter().map(|(_, state)| &**state).eq(["gone", "live"])).await;
    let back = now() - healed;
    let verdict = trio.judge(&what, 60).await;
    let (in_trust, later) = (platform.went(cut, cut + TRUST), platform.went(cut + TRUST + 300, healed + back));
    let silence = verdict.silence(TEA, cut, cut + 20_000);
    eprintln!(
        "{what}: {in_trust} pieces sent while it was trusted, {later} later; taken over after {took} ms, silent for {silence} ms; {under_way} under way, {} not arrived; joined anew after {back} ms",
        verdict.missing.len(),
    );
    assert_eq!(later, 0, "nothing leaves once its trust has ended");
    assert!(took <= 15_000, "{took}");
    assert!(silence <= 15_000 + verdict.stall(), "{silence}");
    assert!(verdict.missing.len() <= CONCURRENCY, "{}", verdict.missing.len());
}

async fn from_the_platform((trio, [_store, platform]): Linked) {
    let start = now() + 2_500;
    trio.insert(60, start, 20_000).await;
    until(start + 2_000 + trio.random(0..1_000)).await;
    let (name, was) = (&trio.names[TEA], trio.states(&trio.names[TEA]).await);
    platform.cut();
    let cut = now();
    until(cut + 12_000).await;
    platform.heal();
    let verdict = trio.judge("platform split off", 90).await;
    eprintln!(
        "platform split off: silent for {} ms, {} unconfirmed",
        verdict.silence(TEA, cut, cut + 30_000),
        verdict.missing.len()
    );
    assert_eq!(trio.states(name).await, was, "it lives all the time");
    assert_eq!(trio.owner(TEA).await.as_ref(), Some(name), "and keeps its lane");
    // A full window at first, then one at a time.
    assert!(verdict.missing.len() <= CONCURRENCY + 4, "{}", verdict.missing.len());
}
