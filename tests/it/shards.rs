//! An app that is divided into shards is one app to everybody but the engine. On PostgreSQL: the one daemon of a file has nobody to share them with.

use crate::{
    callback::{pushed, receipt, state, turned_off},
    harness::{
        EVENT, START, TestStore, accepted_reminder, apps, databases, fresh_of, fresh_url, new_node, open_among,
        rig::Rig, wish,
    },
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::{collections::BTreeMap, sync::Arc};
use tixing::{
    clock::ManualClock,
    config::App,
    domain::{
        Millis,
        node::{NodeId, Share, View, shard_of},
        reminder::{ReminderId, State},
        settle::{Consent, Next, Settlement},
    },
    engine::Owned,
    sandbox::Faults,
    store::{
        Inserted, OpenError, Store,
        lists::Filter,
        nodes::Nodes,
        port::{Entry, Job, Queue},
    },
};

const SHARDS: u32 = 4;

fn divided(shards: u32) -> Vec<App> {
    let mut apps = apps("http://127.0.0.1:1");
    apps[0].shards = shards;
    apps
}

/// A store in which `coffee` is divided; none where there is no PostgreSQL.
async fn store() -> Option<TestStore> {
    let database = databases().into_iter().find(|database| *database == "postgres")?;
    Some(fresh_of(database, &divided(SHARDS)).await)
}

async fn insert(store: &Store, openid: &str, at: Millis) -> ReminderId {
    match store.insert(vec![accepted_reminder(openid, at)]).await.expect("answers")[..] {
        [Inserted::Created(id)] => id,
        ref other => panic!("{other:?}"),
    }
}

async fn jobs(store: &Store, lane: i64, until: Millis) -> Vec<Job> {
    store.prefetch(lane, (i64::MIN, 0), until, 1_000).await.expect("answers")
}

#[tokio::test]
async fn i4_a_divided_app_is_listed_counted_paused_and_forgotten_as_one() {
    let Some(test) = store().await else { return };
    let store = &test.store;
    let users: Vec<String> = (0..120).map(|i| format!("o{i}")).collect();
    let mut ids = Vec::new();
    for (i, openid) in (0..).zip(&users) {
        ids.push(insert(store, openid, START + 1_000 + i).await);
    }
    let lanes = store.lanes("coffee");
    assert_eq!((lanes.len(), store.lanes("tea").len()), (SHARDS as usize, 1));
    for (shard, lane) in (0..).zip(&lanes) {
        let here: Vec<String> = jobs(store, *lane, i64::MAX).await.iter().map(|job| job.body.openid.clone()).collect();
        let wanted: Vec<String> = users.iter().filter(|user| shard_of(user, SHARDS) == shard).cloned().collect();
        assert_eq!(here, wanted, "all reminders of a user go through the user's shard");
        assert!((15..=45).contains(&here.len()), "{}", here.len());
    }
    // Page by page, in order.
    let mut filter = Filter { apps: vec!["coffee".into()], limit: 7, ..Filter::default() };
    let mut listed = Vec::new();
    loop {
        let page = store.list(&filter).await.expect("answers");
        let Some(last) = page.last() else { break };
        filter.after = Some((last.due.due_at, last.due.id));
        listed.extend(page.iter().map(|stored| stored.due.id));
    }
    assert_eq!(listed, ids);
    assert_eq!(store.tally().await.expect("answers")["coffee"]["scheduled"], 120);
    let now = START + 1_049;
    assert_eq!(store.overdue_of("coffee", now).await.expect("answers"), (Some(START + 1_000), 50));
    assert_eq!(store.next_due_of("coffee", now).await.expect("answers"), Some(START + 1_050));
    let quarters = store.quarters("coffee", START, START + 900_000, 1_000).await.expect("answers");
    assert_eq!(quarters.n.values().sum::<i64>(), 120);
    // A pause holds back all of it.
    store.set_app_pause("coffee", true, "test").await.expect("paused");
    assert_eq!(store.overdue_of("coffee", now).await.expect("answers"), (None, 0), "what is paused is not late");
    for lane in &lanes {
        assert!(store.gates().paused_since(store.home(*lane)).is_some());
    }
    store.set_app_pause("coffee", false, "test").await.expect("resumed");
    // Of one user.
    let of_user = Filter { openid: Some("o1".into()), limit: 10, ..filter };
    assert_eq!(store.list(&Filter { after: None, ..of_user }).await.expect("answers").len(), 1);
    store.forget(wish("o1")).await.expect("forgotten");
    let tally = &store.tally().await.expect("answers")["coffee"];
    assert_eq!((tally["scheduled"], tally["cancelled"]), (119, 1), "{tally:?}");
}

#[tokio::test]
async fn i8_pushes_find_what_they_are_about_in_any_shard() {
    let Some(test) = store().await else { return };
    let (store, at) = (&test.store, START + 1_000);
    assert_ne!(shard_of("o1", SHARDS), 0, "not the first one's");
    let lane = store.lanes("coffee")[shard_of("o1", SHARDS) as usize];
    let id = insert(store, "o1", at).await;
    test.clock.advance(2_000);
    let job = jobs(store, lane, at).await.remove(0);
    store.mark(vec![job.clone()]).await.expect("marked");
    let unconfirmed = Settlement {
        next: Next::Final(State::Unconfirmed),
        code: Some("unknown".into()),
        reason: None,
        text: None,
        consent: Consent::Keep,
        message_id: None,
    };
    let entry = Entry { target: job.target(true), settlement: unconfirmed, began_at: Some(at), ended_at: at + 9 };
    assert_eq!(store.settle(vec![entry]).await.expect("answers"), [true]);
    assert_eq!(pushed(store, at + 100, receipt(None, None)).await.receipts, ["delivered"]);
    assert_eq!(state(store, id).await, (State::Sent, Some("receipt".into()), Some(true)));
    let tally = &store.tally().await.expect("answers")["coffee"];
    assert_eq!((tally["sent"], tally["unconfirmed"], tally["receipt_delivered"]), (1, 0, 1), "{tally:?}");
    let waits = insert(store, "o1", at + 60_000).await;
    assert_eq!(pushed(store, at + 1_000, turned_off(EVENT)).await.ended, 1);
    assert_eq!(state(store, waits).await.0, State::Failed);
}

#[tokio::test]
async fn a_divided_app_sends_each_reminder_once_and_its_lanes_tell_each_other_of_a_template_that_is_refused() {
    let Some(test) = store().await else { return };
    let mut rig = Rig::new(test, |app| {
        if app.name == "coffee" {
            app.shards = SHARDS;
        }
    });
    for i in 0..60 {
        rig.tap(&format!("o{i}"));
        insert(rig.store(), &format!("o{i}"), START + 1_000 + i % 7).await;
    }
    rig.pass(4_000, 200).await;
    let mut openids = rig.openids();
    openids.sort();
    openids.dedup();
    assert_eq!((rig.messages().len(), openids.len()), (60, 60));
    rig.check().await;
    let status = rig.engine.signals().status();
    assert_eq!((status.shards.len(), status.lanes.len()), (SHARDS as usize, 2), "to everybody else it is one app");
    assert_eq!(status.lanes["coffee"].rate, rig.apps[0].rate, "the lanes' parts are the whole");
    // The platform refuses the template: three times in a row in one lane, and the others have heard of it.
    rig.sandbox.world().faults = Faults { account_code: Some(47_003), ..Faults::default() };
    let crowd: Vec<String> = (0..).map(|i| format!("p{i}")).filter(|o| shard_of(o, SHARDS) == 1).take(3).collect();
    let others: Vec<String> = (0..).map(|i| format!("p{i}")).filter(|o| shard_of(o, SHARDS) != 1).take(9).collect();
    for openid in &crowd {
        rig.tap(openid);
        insert(rig.store(), openid, START + 6_000).await;
    }
    for openid in &others {
        rig.tap(openid);
        insert(rig.store(), openid, START + 9_000).await;
    }
    rig.pass(3_000, 200).await;
    look(&rig);
    rig.pass(5_000, 200).await;
    let states = rig.store().tally().await.expect("answers")["coffee"].clone();
    assert_eq!((states["failed"], states["scheduled"]), (3, 9), "{states:?}");
}

/// What a look tells the engine that has all lanes.
fn look(rig: &Rig) {
    let shares = (0..).zip(rig.store().lanes("coffee")).map(|(part, lane)| (lane, Share { part, of: SHARDS }));
    let (watch, epochs, statuses) = (Arc::default(), BTreeMap::new(), BTreeMap::new());
    rig.engine.signals().own(Owned { me: NodeId(1), epochs, shares: shares.collect(), watch, statuses });
}

async fn open(url: &str, clock: &Arc<ManualClock>, name: &str, shards: u32) -> Result<Store, OpenError> {
    open_among(url, clock, &divided(shards), name).await
}

#[tokio::test]
async fn an_app_is_divided_while_others_run_and_undivided_again_and_each_user_keeps_the_lane_of_what_was_inserted() {
    if !databases().contains(&"postgres") {
        return;
    }
    let (url, clock) = (fresh_url("postgres", "".as_ref()), ManualClock::at(START));
    let old = open(&url, &clock, "a", 1).await.expect("opens");
    let before = old.look().await.expect("answers").view;
    assert_eq!((before.lanes.len(), before.shares()), (2, BTreeMap::new()));
    let home = old.lane("coffee");
    assert!(old.give(before.lanes[0].clone(), old.node().expect("joined")).await.expect("answers"));
    let was = old.look().await.expect("answers").view;
    let id = insert(&old, "o1", START + 1_000).await;
    // Another divides it. Whoever believes to have it whole marks nothing before it has looked again.
    let new = open(&url, &clock, "b", SHARDS).await.expect("opens beside an undivided one");
    let epoch = |view: &View| view.lanes.iter().find(|lane| lane.lane == home).expect("there").epoch;
    let view = old.look().await.expect("answers").view;
    assert!(epoch(&view) > epoch(&was));
    let mut job = jobs(&old, home, START + 1_000).await.remove(0);
    job.epoch = Some(epoch(&was));
    assert_eq!(old.mark(vec![job]).await.expect("answers"), [tixing::store::port::Marked::Fenced]);
    let of = |store: &Store| (store.lanes("coffee").len(), store.lanes("tea").len());
    assert_eq!(
        view.shares().values().map(|share| (share.part, share.of)).collect::<Vec<_>>(),
        [0, 1, 2, 3].map(|part| (part, 4))
    );
    assert_eq!((of(&old), of(&new)), ((1, 1), (4, 1)));
    old.refresh().await.expect("answers");
    assert_eq!(of(&old), (4, 1), "the running one learns of the lanes");
    // What is inserted here goes where this one's configuration says; what was there stays.
    let far = (0..).map(|i| format!("p{i}")).find(|openid| shard_of(openid, SHARDS) == 3).expect("one in four");
    let [here, there] = [insert(&old, &far, START + 2_000).await, insert(&new, &far, START + 3_000).await];
    let lane = async |id| new.reminder(id).await.expect("answers").expect("there").lane;
    let lanes = new.lanes("coffee");
    assert_eq!([lane(id).await, lane(here).await, lane(there).await], [home, home, lanes[3]]);
    // The one that wants shards goes: what waits keeps its part until it has ended.
    new.gone(new.node().expect("joined")).await.expect("answers");
    let parts = |view: View| view.shares().into_iter().map(|(lane, share)| (lane, share.of)).collect::<Vec<_>>();
    assert_eq!(parts(old.look().await.expect("answers").view), [(home, 2), (lanes[3], 2)]);
    old.cancel(there).await.expect("cancelled");
    assert_eq!(parts(old.look().await.expect("answers").view), []);
}

#[tokio::test]
async fn a_node_whose_lanes_a_standby_has_forgotten_with_it_makes_them_again_as_it_joins() {
    if !databases().contains(&"postgres") {
        return;
    }
    let (url, clock) = (fresh_url("postgres", "".as_ref()), ManualClock::at(START));
    let store = open(&url, &clock, "a", SHARDS).await.expect("opens");
    let before = store.lanes("coffee");
    let mut conn = AnyConnection::connect(&url).await.expect("connects");
    for sql in ["DELETE FROM lane WHERE shard > 0", "DELETE FROM chain", "DELETE FROM node"] {
        sqlx::query(sql).execute(&mut conn).await.expect(sql);
    }
    store.join(new_node(&divided(SHARDS), "a"), START).await.expect("joins");
    let lanes = store.lanes("coffee");
    assert_eq!(lanes.len(), SHARDS as usize);
    assert!(lanes[0] == before[0] && lanes[1..].iter().all(|lane| !before.contains(lane)), "{before:?} {lanes:?}");
    let far = (0..).map(|i| format!("p{i}")).find(|openid| shard_of(openid, SHARDS) == 3).expect("one in four");
    let id = insert(&store, &far, START + 1_000).await;
    let view = store.look().await.expect("answers").view;
    let waiting: Vec<i64> = view.lanes.iter().filter(|lane| lane.waits).map(|lane| lane.lane).collect();
    assert_eq!((store.reminder(id).await.expect("answers").expect("there").lane, waiting), (lanes[3], vec![lanes[3]]));
}

#[tokio::test]
async fn a_version_that_knows_nothing_of_shards_is_kept_out_of_a_database_that_has_some() {
    if !databases().contains(&"postgres") {
        return;
    }
    let (url, clock) = (fresh_url("postgres", "".as_ref()), ManualClock::at(START));
    let old = open(&url, &clock, "old", 1).await.expect("opens");
    let mut conn = AnyConnection::connect(&url).await.expect("connects");
    let mut run = async |sql: &str| {
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut conn).await.expect(sql);
        rows.first().map(|row| row.get::<i64, _>(0))
    };
    run("UPDATE node SET schema = 30, version = '0.0.9'").await;
    let refused = open(&url, &clock, "new", SHARDS).await.map(drop).expect_err("an older one lives");
    let said = refused.to_string();
    assert!(said.contains("old") && said.contains("0.0.9") && said.contains("shards"), "{said}");
    assert_eq!(run("SELECT COUNT(*) FROM lane").await, Some(2), "nothing is divided");
    old.gone(old.node().expect("joined")).await.expect("answers");
    open(&url, &clock, "new", SHARDS).await.expect("opens");
    assert_eq!(run("SELECT min_schema FROM versions").await, Some(31));
}
