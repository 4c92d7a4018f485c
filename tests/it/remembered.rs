//! What a daemon remembers of its commits, so that it can write again those that a standby lacks which took over.

use crate::harness::{EVENT, TestStore, accept, apps, databases, fresh, new_node, open_among, postgres};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tixing::{
    clock::Clock,
    store::{Store, hold::Ends, nodes::Nodes},
};

/// A node on a database of its own. None where there is no PostgreSQL.
async fn node() -> Option<TestStore> {
    let database = databases().into_iter().find(|database| *database == "postgres")?;
    let mut test = fresh(database).await;
    test.store.close().await;
    test.store = open_among(&test.url, &test.clock, &apps("http://127.0.0.1:1"), "a").await.expect("it joins");
    Some(test)
}

impl TestStore {
    /// An owner's words to its server.
    async fn run(&self, database: &str, sql: &str) {
        let own = postgres::parts(&self.url).1;
        let url = self.url.replacen(&format!("/{own}?"), &format!("/{database}?"), 1);
        let mut conn = AnyConnection::connect(&url).await.expect("connects");
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.expect(sql);
        conn.close().await.expect("closes");
    }

    /// Whether the database can be reached: if not, what is connected breaks, too.
    async fn is_reached(&self, reached: bool) {
        let own = postgres::parts(&self.url).1;
        self.run("postgres", &format!("ALTER DATABASE {own} ALLOW_CONNECTIONS {reached}")).await;
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{own}'");
        self.run("postgres", &end).await;
    }

    /// The database cannot be reached for a moment, in which something was to be written.
    async fn is_away(&self) {
        self.is_reached(false).await;
        self.store.record(vec![accept("coffee", "o9", EVENT)]).await.expect_err("nothing is written");
        self.is_reached(true).await;
    }
}

async fn accepts(store: &Store, openid: &str) {
    store.record(vec![accept("coffee", openid, EVENT)]).await.expect("recorded");
}

#[tokio::test]
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
    test.run(postgres::parts(&test.url).1, "UPDATE identity SET timeline = 'another'").await;
    test.is_away().await;
    accepts(&test.store, "o3").await;
    assert_eq!(available().await, 5, "each as often as they were given");
    test.store.close().await;
}

#[tokio::test]
async fn i2_a_daemon_whose_joining_a_standby_lacks_joins_anew_and_the_store_stays_on_hold() {
    let Some(test) = node().await else { return };
    accepts(&test.store, "o1").await;
    let own = postgres::parts(&test.url).1;
    let me = test.store.node().expect("joined");
    // A standby takes over that knows nothing of it.
    let forgets =
        format!("UPDATE identity SET timeline = 'another'; DELETE FROM chain; DELETE FROM node WHERE id = {}", me.0);
    for sql in forgets.split("; ") {
        test.run(own, sql).await;
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
