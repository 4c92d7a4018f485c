//! What a daemon remembers of its commits, so that it can write again those that a standby lacks which took over.

use crate::{
    harness::{
        EVENT, START, TestStore, accept, accepted_reminder, apps, databases, fresh, new_node, open_among, postgres,
    },
    store::created,
};
use tixing::{
    clock::Clock,
    domain::{node::LaneSeen, reminder::State},
    store::{
        Store, StoreError,
        hold::Ends,
        nodes::Nodes,
        port::{Job, Marked, Queue},
    },
};
use tokio::task::block_in_place;

/// A node on a database of its own. None where there is no PostgreSQL.
async fn node() -> Option<TestStore> {
    let database = databases().into_iter().find(|database| *database == "postgres")?;
    let mut test = fresh(database).await;
    test.store.close().await;
    test.store = open_among(&test.url, &test.clock, &apps("http://127.0.0.1:1"), "a").await.expect("it joins");
    Some(test)
}

impl TestStore {
    /// The owner of the server says something in one of its databases.
    fn run(&self, database: &str, sql: &str) {
        block_in_place(|| postgres::cluster().expect("there is one").sql(database, sql));
    }

    /// Whether the database can be reached: if not, what is connected breaks, too.
    fn is_reached(&self, reached: bool) {
        let own = postgres::parts(&self.url).1;
        self.run("postgres", &format!("ALTER DATABASE {own} ALLOW_CONNECTIONS {reached}"));
        let end = format!("PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{own}'");
        self.run("postgres", &format!("DO $$ BEGIN {end}; END $$"));
    }

    /// The database cannot be reached for a moment, in which something was to be written.
    async fn is_away(&self) {
        self.is_reached(false);
        self.store.record(vec![accept("coffee", "o9", EVENT)]).await.expect_err("nothing is written");
        self.is_reached(true);
    }
}

async fn accepts(store: &Store, openid: &str) {
    store.record(vec![accept("coffee", openid, EVENT)]).await.expect("recorded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_what_a_daemon_has_written_as_a_former_node_is_not_written_again_for_a_standby_that_has_it() {
    let Some(test) = node().await else { return };
    let available = async || test.store.tally().await.expect("answers")["coffee"]["consent_available"];
    for _ in 0..3 {
        accepts(&test.store, "o1").await;
    }
    // It does not reach the database for long, and goes on as another node by a new connection.
    let was = test.store.node();
    test.is_away().await;
    test.store.join(new_node(&apps("http://127.0.0.1:1"), "a"), test.clock.now()).await.expect("joins");
    assert_ne!(test.store.node(), was);
    accepts(&test.store, "o2").await;
    assert_eq!(available().await, 4);
    // A standby takes over that has all of this.
    test.run(postgres::parts(&test.url).1, "UPDATE identity SET timeline = 'another'");
    test.is_away().await;
    accepts(&test.store, "o3").await;
    assert_eq!(available().await, 5, "each as often as they were given");
    test.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_a_daemon_whose_joining_a_standby_lacks_joins_anew_and_the_store_stays_on_hold() {
    let Some(test) = node().await else { return };
    accepts(&test.store, "o1").await;
    let own = postgres::parts(&test.url).1;
    let me = test.store.node().expect("joined");
    // A standby takes over that knows nothing of it.
    let forgets =
        format!("UPDATE identity SET timeline = 'another'; DELETE FROM chain; DELETE FROM node WHERE id = {}", me.0);
    for sql in forgets.split("; ") {
        test.run(own, sql);
    }
    test.is_away().await;
    let refused = test.store.record(vec![accept("coffee", "o2", EVENT)]).await;
    assert!(refused.is_err(), "it does not write under a number that may be another's by now");
    test.store.join(new_node(&apps("http://127.0.0.1:1"), "a"), test.clock.now()).await.expect("joins");
    for openid in ["o3", "o4"] {
        accepts(&test.store, openid).await;
    }
    test.is_away().await;
    accepts(&test.store, "o5").await;
    let hold = test.store.hold().await.expect("answers").expect("what it wrote may be lacking");
    assert!(matches!(&hold.ends, Ends::Lacks(what) if what.len() == 2), "a report and a daemon: {hold:?}");
    test.store.close().await;
}

/// What is asked is answered, as soon as a broken connection is noticed.
async fn answered<T>(ask: impl AsyncFn() -> Result<T, StoreError>) -> T {
    for _ in 0..100 {
        if let Ok(answer) = ask().await {
            return answer;
        }
    }
    panic!("it is not answered")
}

async fn lane(store: &Store) -> LaneSeen {
    let lanes = answered(async || store.look().await).await.view.lanes;
    lanes.into_iter().find(|lane| lane.lane == 1).expect("the first lane")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_what_waits_for_another_daemon_to_be_written_again_still_does_when_its_own_has_joined_anew() {
    let Some(test) = node().await else { return };
    let (a, apps, own) = (&test.store, apps("http://127.0.0.1:1"), postgres::parts(&test.url).1);
    let b = open_among(&test.url, &test.clock, &apps, "b").await.expect("it joins");
    assert!(a.give(lane(a).await, a.node().expect("joined")).await.expect("answers"));
    for store in [a, &b] {
        accepts(store, "o1").await;
    }
    test.is_reached(false);
    test.run("postgres", &format!("CREATE DATABASE {own}_standby TEMPLATE {own}"));
    test.is_reached(true);
    let writes = async |store: &Store| {
        answered(async || store.record(vec![accept("coffee", "o1", EVENT)]).await).await;
    };
    for store in [a, &b] {
        writes(store).await;
    }
    let id = created(&b, accepted_reminder("o2", START + 10)).await;
    let mut jobs = answered(async || a.prefetch(1, (i64::MIN, 0), START + 10, 10).await).await;
    let job = Job { epoch: Some(lane(a).await.epoch), ..jobs.swap_remove(0) };
    assert_eq!(a.mark(vec![job]).await.expect("answers"), [Marked::Yes]);

    test.is_reached(false);
    test.run("postgres", &format!("ALTER DATABASE {own} RENAME TO {own}_lost"));
    test.run("postgres", &format!("ALTER DATABASE {own}_standby RENAME TO {own}"));
    writes(a).await;
    assert!(answered(async || a.hold().await).await.is_some(), "what it has marked is not there");
    answered(async || a.join(new_node(&apps, "a"), test.clock.now()).await).await;
    writes(a).await;
    writes(&b).await;
    lane(a).await;
    writes(a).await;
    let state = answered(async || a.reminder(id).await).await.map(|stored| stored.due.state);
    assert_eq!((answered(async || a.hold().await).await, state), (None, Some(State::Sending)));
    test.store.close().await;
}
