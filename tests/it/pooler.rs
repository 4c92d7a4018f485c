//! A pooler before PostgreSQL, which gives each transaction another connection.

use crate::{
    harness::{
        START, accepted_reminder, apps, databases, fresh, open_among,
        pooler::{Pooler, Pooling},
        postgres,
    },
    store::{created, due},
};
use sqlx::{Connection, PgConnection, Row};
use std::sync::Arc;
use tixing::{
    clock::ManualClock,
    config::Durability,
    domain::node::LaneSeen,
    store::{
        Inserted, OpenError, Store, is_pooled,
        nodes::Nodes,
        port::{Job, Marked, Queue},
    },
};

/// The URL of a fresh database, and the one by a pooler before it.
fn database(pooling: Pooling) -> Option<(String, String, Pooler)> {
    let direct = postgres::available().then(postgres::fresh_url)?;
    let (folder, name) = postgres::parts(&direct);
    let pooler = Pooler::before(folder, 5_432, pooling)?;
    let pooled = pooler.url(name);
    Some((direct, pooled, pooler))
}

async fn open(url: &str) -> Result<Store, OpenError> {
    let clock: Arc<ManualClock> = ManualClock::at(START);
    Store::open(url, Durability::Full, &apps("http://127.0.0.1:1"), clock).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_alone_behind_a_pooler_keeps_others_out_and_leaves_no_lock_behind() {
    for pooling in [Pooling::Transactions, Pooling::Sessions] {
        let Some((direct, url, _pooler)) = database(pooling) else { return };
        assert_eq!(
            (is_pooled(&url).await.ok(), is_pooled(&direct).await.ok()),
            (Some(true), Some(false)),
            "{pooling:?}"
        );
        alone(&direct, &url).await;
    }
}

async fn alone(direct: &str, url: &str) {
    for round in 0..3 {
        let store = open(url).await.unwrap_or_else(|e| panic!("round {round}: {e}"));
        let inserted = store.insert(vec![accepted_reminder(&format!("o{round}"), START + 1_000)]).await;
        assert!(matches!(inserted.expect("it is written")[0], Inserted::Created(_)));
        let others = if round == 0 { &[url, direct][..] } else { &[] };
        for other in others {
            let refused = open(other).await.err().map(|e| matches!(e, OpenError::InUse { .. }));
            assert_eq!(refused, Some(true), "round {round}: {other} is kept out");
        }
        store.close().await;
        let mut conn = PgConnection::connect(direct).await.expect("answers");
        let sql = "SELECT COUNT(*) AS n FROM pg_locks l JOIN pg_database d ON d.oid = l.database
             WHERE l.locktype = 'advisory' AND d.datname = current_database()";
        let locks: i64 = sqlx::query(sql).fetch_one(&mut conn).await.expect("answers").get("n");
        assert_eq!(locks, 0, "round {round}: no session of the pooler's keeps one");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_cannot_carry_it_is_refused_with_what_to_set() {
    for (pooling, set) in [
        (Pooling::Statements, "pool_mode = transaction"),
        (Pooling::Forgetful, "max_prepared_statements = 200"),
        (Pooling::Strict, "ignore_startup_parameters = extra_float_digits, options"),
    ] {
        let Some((_, url, _pooler)) = database(pooling) else { return };
        let Err(refused) = open(&url).await else { panic!("{pooling:?} is refused") };
        assert!(matches!(refused, OpenError::Wrong(_)), "{pooling:?} does not mend itself: {refused:?}");
        let refused = refused.to_string();
        assert!(refused.contains("a connection pooler stands before PostgreSQL") && refused.contains(set), "{refused}");
    }
}

async fn lane(node: &Store) -> LaneSeen {
    let lanes = node.look().await.expect("answers").view.lanes;
    lanes.into_iter().find(|lane| lane.lane == 1).expect("the first lane")
}

/// The connections are the same: what tells is the timeline that the server writes.
#[tokio::test]
async fn i2_nothing_is_marked_on_a_server_that_took_over_without_a_word_until_the_store_is_on_hold() {
    let Some(database) = databases().into_iter().find(|database| *database == "postgres") else { return };
    let test = fresh(database).await;
    test.store.close().await;
    let node = open_among(&test.url, &test.clock, &apps("http://127.0.0.1:1"), "node").await.expect("it joins");
    assert!(node.give(lane(&node).await, node.node().expect("it is a node")).await.expect("answers"));
    for user in ["o1", "o2"] {
        created(&node, accepted_reminder(user, START + 10)).await;
    }
    let job = async |job: &Job| Job { epoch: Some(lane(&node).await.epoch), ..job.clone() };
    let [first, second] = &due(&node, START + 1_000).await[..] else { panic!("two are due") };
    assert_eq!(node.mark(vec![job(first).await]).await.expect("answers"), [Marked::Yes]);
    let looked_at = job(second).await;
    let mut conn = PgConnection::connect(&test.url).await.expect("answers");
    sqlx::query("UPDATE identity SET timeline = '0000000F'").execute(&mut conn).await.expect("another than it writes");
    assert_eq!(node.mark(vec![looked_at]).await.expect("answers"), [Marked::Fenced]);
    assert!(node.hold().await.expect("answers").is_none(), "nobody has looked yet");
    assert!(node.look().await.expect("answers").on_hold, "until somebody has, nothing is begun");
    for user in ["o3", "o4"] {
        created(&node, accepted_reminder(user, START + 10)).await;
    }
    assert!(
        node.hold().await.expect("answers").is_none(),
        "it has written all that it knew of, and nobody else is there"
    );
    assert!(!node.look().await.expect("answers").on_hold);
    assert_eq!(node.mark(vec![job(second).await]).await.expect("answers"), [Marked::Yes]);
}
