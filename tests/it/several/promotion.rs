//! A standby of the database takes over while three daemons send: one that the primary had waited for has everything, another has not.

use super::{
    is_lenient, rounds, seed,
    trio::{COFFEE, TEA, Trickle, Trio},
    until,
};
use crate::harness::{
    link::{Link, There},
    postgres::{self, Cluster},
    program::{SandboxServer, now},
};
use sqlx::Row;
use std::time::Duration;
use tixing::domain::Millis;
use tokio::task::block_in_place;

/// Three daemons that reach the database by links, the server that they lead to, and the one that follows it.
struct Pair {
    trio: Trio,
    links: [Link; 3],
    primary: Cluster,
    standby: Cluster,
}

/// `replication`: as the configuration says it, and as it is.
async fn pair(seed: u64, replication: &str) -> Option<Pair> {
    let primary = block_in_place(postgres::own_cluster)?;
    let standby = block_in_place(|| primary.standby());
    if replication == "synchronous" {
        block_in_place(|| {
            primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
            primary.sql("postgres", "DO $$ BEGIN PERFORM pg_reload_conf(); END $$");
        });
    }
    let (url, sandbox) = (primary.url("postgres"), SandboxServer::start(seed).await);
    let mut links = Vec::new();
    for _ in 0..3 {
        links.push(Link::to(There::Socket(primary.socket()), Duration::from_secs(900)).await);
    }
    let links: [Link; 3] = links.try_into().ok().expect("three");
    let platform = sandbox.url.clone();
    let address = |i: usize| {
        let store = format!("postgres://tixing@127.0.0.1:{}/postgres", links[i].port);
        (format!("{store}\"\nreplication = \"{replication}"), platform.clone())
    };
    let trio = Trio::start_at(seed, sandbox, &url, address).await;
    Some(Pair { trio, links, primary, standby })
}

impl Pair {
    /// The primary's machine fails, and the standby takes its place. Answers when.
    fn fail_over(&mut self) -> (Millis, Millis) {
        block_in_place(|| self.primary.kill());
        let failed = now();
        block_in_place(|| self.standby.promote());
        for link in &self.links {
            link.point_to(There::Socket(self.standby.socket()));
        }
        self.trio.url = self.standby.url("postgres");
        (failed, now())
    }

    /// The holds that there were, and how many of them have not ended.
    async fn holds(&self) -> (i64, i64) {
        let sql = "SELECT COUNT(*) AS n, COUNT(*) FILTER (WHERE released_at IS NULL) AS open FROM hold";
        let row = self.trio.sql(sql).await.swap_remove(0);
        (row.get("n"), row.get("open"))
    }

    async fn end(self) {
        for node in self.trio.nodes.into_iter().flatten() {
            assert!(block_in_place(|| node.terminate()).0.success());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i3_a_standby_that_was_waited_for_takes_over_and_nothing_is_held_lost_or_sent_twice() {
    for _ in 0..rounds() {
        let seed = seed("synchronous standby");
        let Some(mut pair) = pair(seed, "synchronous").await else { return };
        let start = now() + 2_500;
        pair.trio.insert(40, start, 20_000).await;
        let trickle = pair.trio.trickle();
        until(start + 2_000 + pair.trio.random(0..1_000)).await;
        let (failed, back) = pair.fail_over();
        let (taken, again) = trickle_until(trickle, back + 6_000).await;
        assert_eq!(pair.holds().await, (0, 0), "nothing is held");
        let verdict = pair.trio.judge("synchronous standby", 60).await;
        assert!(verdict.missing.is_empty(), "nothing is in doubt: {:?}", verdict.missing);
        for app in [COFFEE, TEA] {
            let silence = verdict.silence(app, failed, back + 8_000);
            eprintln!(
                "synchronous standby: it took over within {} ms, silent for {silence} ms; {taken} taken one by one, {again} asked for again",
                back - failed
            );
            assert!(is_lenient() || silence <= back - failed + 7_000 + verdict.stall(), "{silence}");
        }
        assert_eq!(pair.holds().await, (0, 0), "nothing was held");
        pair.end().await;
    }
}

async fn trickle_until(trickle: Trickle, at: Millis) -> (usize, usize) {
    until(at).await;
    trickle.stop().await
}
