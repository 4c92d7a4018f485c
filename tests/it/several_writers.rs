//! Several writers on one PostgreSQL: what one store promises, two promise beside each other.

use crate::harness::{START, accepted_reminder, apps, databases, fresh};
use sqlx::{AnyConnection, Connection, Row};
use std::sync::Arc;
use tixing::{
    clock::ManualClock,
    config::Durability,
    domain::reminder::ReminderId,
    store::{
        Inserted, Store,
        keys::{NewApiKey, Scope},
    },
};

/// A second store on a database, or a third.
async fn beside(url: &str, clock: &Arc<ManualClock>, slot: i64) -> Store {
    let (apps, clock) = (apps("http://127.0.0.1:1"), Arc::clone(clock));
    Store::open_beside(url, Durability::Full, &apps, clock as _, slot).await.expect("it opens beside the other")
}

/// Two stores on one fresh PostgreSQL database, with a connection to look at it; none where there is no PostgreSQL.
async fn two() -> Option<([Store; 2], Arc<ManualClock>, AnyConnection)> {
    let database = databases().into_iter().find(|database| *database == "postgres")?;
    let test = fresh(database).await;
    test.store.close().await;
    let stores = [beside(&test.url, &test.clock, 1).await, beside(&test.url, &test.clock, 2).await];
    let looks = AnyConnection::connect(&test.url).await.expect("connects");
    Some((stores, test.clock, looks))
}

async fn number(conn: &mut AnyConnection, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(conn).await.expect(sql).get(0)
}

#[tokio::test]
async fn two_slots_give_out_ids_and_count_beside_each_other() {
    let Some(([one, other], _, mut looks)) = two().await else { return };
    let mut ids: Vec<ReminderId> = Vec::new();
    for i in 0..6 {
        let store = if i % 2 == 0 { &one } else { &other };
        match store.insert(vec![accepted_reminder(&format!("o{i}"), START + 1_000)]).await.expect("inserted")[..] {
            [Inserted::Created(id)] => ids.push(id),
            ref told => panic!("{told:?}"),
        }
    }
    assert_eq!(ids.iter().map(|id| id.0 % 64).collect::<Vec<_>>(), [1, 2, 1, 2, 1, 2]);
    // What the one has stored the other ends.
    for id in &ids {
        other.cancel(*id).await.expect("cancelled");
    }
    for store in [&one, &other] {
        let tally = &store.tally().await.expect("counted")["coffee"];
        assert_eq!((tally["scheduled"], tally["cancelled"], tally["consent_available"]), (0, 6, 6));
    }
    assert_eq!(number(&mut looks, "SELECT n FROM tally WHERE lane = 1 AND name = 'scheduled' AND slot = 1").await, 3);
    assert_eq!(number(&mut looks, "SELECT n FROM tally WHERE lane = 1 AND name = 'scheduled' AND slot = 2").await, -3);
}

/// Of the session a pooler would hand it on to another client: what holds for writes is said in each transaction, and what holds for readers
/// when they connect.
#[tokio::test]
async fn each_write_says_for_itself_what_holds_for_it_and_readers_say_it_when_they_connect() {
    let Some((_, clock, mut looks)) = two().await else { return };
    let row = sqlx::query(
        "SELECT CAST(current_database() AS TEXT) AS name, current_setting('unix_socket_directories') AS host",
    );
    let row = row.fetch_one(&mut looks).await.expect("answers");
    let url = format!(
        "postgres://tixing@localhost:5432/{}?host={}",
        row.get::<String, _>("name"),
        row.get::<String, _>("host")
    );
    let apps = apps("http://127.0.0.1:1");
    let opened = Store::open_beside(&url, Durability::Process, &apps, clock as _, 3).await;
    let store = opened.expect("it opens");
    let key = || NewApiKey { name: "one".into(), hash: "a".into(), scope: Scope::Read, apps: None };
    let told = "current_setting('synchronous_commit') || ' ' || current_setting('statement_timeout')";
    for sql in [
        &format!(
            "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name = {told}; RETURN NEW; END $$"
        ),
        "CREATE TRIGGER tell BEFORE INSERT ON api_key FOR EACH ROW EXECUTE FUNCTION tell()",
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut looks).await.expect("made");
    }
    store.create_key(key()).await.expect("stored");
    assert_eq!(store.keys().await.expect("answers")[0].name, "off 20s");
    let told = ["transaction_read_only", "enable_seqscan", "statement_timeout"]
        .map(|name| format!("current_setting('{name}')"));
    for sql in [
        "ALTER TABLE api_key RENAME TO key_rows".to_owned(),
        format!(
            "CREATE VIEW api_key AS SELECT id, {} AS name, hash, scope, apps, created_at, revoked_at FROM key_rows",
            told.join(" || ' ' || ")
        ),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut looks).await.expect("made");
    }
    assert_eq!(store.keys().await.expect("answers")[0].name, "on off 20s");
}
