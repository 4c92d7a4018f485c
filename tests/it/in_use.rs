//! Schedules in use, in the store: what is counted of them, and who may do something to them.

use crate::harness::{EVENT, START, TestStore, accept, on_both, open, reminder, wish};
use sqlx::{AnyConnection, Connection, Row};
use std::collections::BTreeMap;
use tixing::{
    domain::{
        Millis, SECOND,
        reason::Reason,
        reminder::{NewReminder, Origin, ReminderId, State},
        settle::{Consent, Next, Settlement},
    },
    store::{
        Inserted, Store,
        port::{Entry, Queue},
        schedules::{BeginLoad, Begun, FinishLoad, TaskKind},
    },
};

/// A load of a schedule of `coffee`'s event template.
pub fn load(name: &str) -> BeginLoad {
    BeginLoad {
        name: name.into(),
        app: "coffee".into(),
        template: EVENT.into(),
        path: Some(format!("/lists/{name}.toml")),
        text: format!("name = \"{name}\""),
        digest: "d1".into(),
        zone: "Asia/Shanghai".into(),
        quiet: None,
        revive: false,
        by: "test".into(),
        forget_shift: false,
    }
}

/// Begins and ends a load; answers the schedule.
pub async fn loaded(store: &Store, load: BeginLoad) -> i64 {
    let Begun::Yes { id, nonce } = store.begin_load(load).await.expect("answers") else { panic!("it does not begin") };
    let finish = FinishLoad { first_at: None, last_at: None, report: "{}".into(), complete: true };
    assert!(store.finish_load(id, &nonce, finish).await.expect("answers"));
    id
}

/// A reminder of a schedule's row.
pub fn of_row(schedule: i64, row: u32, openid: &str, at: Millis) -> NewReminder {
    let origin = Origin { schedule, row: Some(row), key: None, occasion: "1d".into(), moves: false };
    NewReminder { origin: Some(origin), ..reminder(openid, at) }
}

/// Inserts reminders, whose users accept first.
pub async fn stored(store: &Store, news: Vec<NewReminder>) -> Vec<ReminderId> {
    let taps = news.iter().map(|new| accept("coffee", &new.openid, EVENT)).collect();
    store.record(taps).await.expect("recorded");
    let inserted = store.insert(news).await.expect("answers");
    let id = |inserted: &Inserted| match inserted {
        Inserted::Created(id) => *id,
        other => panic!("not created: {other:?}"),
    };
    inserted.iter().map(id).collect()
}

/// What the rows of a schedule say, counted.
async fn rows_of(test: &TestStore, schedule: i64) -> BTreeMap<String, i64> {
    sqlx::any::install_default_drivers();
    let mut conn = AnyConnection::connect(&test.url).await.expect("connects");
    let sql = "SELECT d.state, (SELECT x.state FROM outcome x WHERE x.id = m.id AND x.next_at IS NULL) AS ended,
                      (SELECT x.code FROM outcome x WHERE x.id = m.id AND x.next_at IS NULL) AS code
               FROM reminder m LEFT JOIN due d ON d.id = m.id WHERE m.schedule = $1";
    let mut counts = BTreeMap::new();
    for row in sqlx::query(sql).bind(schedule).fetch_all(&mut conn).await.expect("answers") {
        let living = row.get::<Option<i64>, _>("state").map(|n| ["scheduled", "sending", "in_doubt"][n as usize]);
        let ended: Option<String> = row.get("ended");
        let name = match (living, ended.as_deref(), row.get::<Option<String>, _>("code")) {
            (Some(living), ..) => living.to_owned(),
            (None, Some("sent"), _) => "sent".into(),
            (None, Some(ended), Some(code)) => format!("{ended}/{code}"),
            (None, ended, _) => ended.expect("it lives or has ended").into(),
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn i4_the_counts_of_a_schedule_are_those_of_its_rows_after_every_step() {
    on_both(async |test: TestStore| {
        let store = &test.store;
        let id = loaded(store, load("spring")).await;
        let other = loaded(store, load("autumn")).await;
        let check = async |expected: &[(&str, i64)]| {
            let counts = store.schedule_counts(id).await.expect("answers");
            let expected: BTreeMap<String, i64> = expected.iter().map(|(name, n)| ((*name).into(), *n)).collect();
            assert_eq!(counts, expected);
            assert_eq!(rows_of(&test, id).await, expected);
        };
        check(&[]).await;
        let news = (1..=6).map(|i| of_row(id, i, &format!("o{i}"), START + 1_000)).collect();
        let ids = stored(store, news).await;
        stored(store, vec![of_row(other, 1, "o1", START + 1_000), reminder("o2", START + 1_000)]).await;
        check(&[("scheduled", 6)]).await;

        let jobs = store.prefetch(1, (i64::MIN, 0), START + 1_000, 100).await.expect("answers");
        let jobs: Vec<_> = jobs.into_iter().filter(|job| job.schedule == Some(id)).collect();
        assert_eq!(jobs.len(), 6, "a job says which schedule it comes from");
        store.mark(jobs[..4].to_vec()).await.expect("answers");
        check(&[("scheduled", 2), ("sending", 4)]).await;
        let ends = |next, reason| Settlement::because(next, reason, Consent::Keep);
        let settle = |i: usize, settlement| {
            let ended_at = START + 2_000;
            vec![Entry { target: jobs[i].target(true), settlement, began_at: Some(START + 1_000), ended_at }]
        };
        let sent = Settlement { next: Next::Final(State::Sent), ..ends(Next::Final(State::Sent), Reason::Received) };
        store.settle(settle(0, sent)).await.expect("answers");
        store.settle(settle(1, ends(Next::Final(State::Failed), Reason::NoConsent))).await.expect("answers");
        let doubt = Next::Doubt { look_at: START + 5_000 };
        store.settle(settle(2, ends(doubt, Reason::AwaitsReceipt))).await.expect("answers");
        let again = Next::Final(State::Unconfirmed);
        store.settle(settle(3, ends(again, Reason::OtherConsents))).await.expect("answers");
        check(&[
            ("failed/no_consent", 1),
            ("in_doubt", 1),
            ("scheduled", 2),
            ("sent", 1),
            ("unconfirmed/unconfirmed", 1),
        ])
        .await;
        let look = store.prefetch(1, (i64::MIN, 0), START + 5_000, 100).await.expect("answers");
        let doubtful = look.iter().find(|job| job.due.state == State::InDoubt).expect("it comes again");
        assert_eq!(doubtful.schedule, Some(id), "a row that moves keeps its schedule");

        store.cancel(ids[4]).await.expect("answers");
        store.forget(wish("o6")).await.expect("answers");
        check(&[
            ("cancelled/cancelled", 1),
            ("cancelled/forgotten", 1),
            ("failed/no_consent", 1),
            ("in_doubt", 1),
            ("sent", 1),
            ("unconfirmed/unconfirmed", 1),
        ])
        .await;
        let counts = store.schedule_counts(other).await.expect("answers");
        assert_eq!(counts, [("scheduled".to_owned(), 1)].into(), "another schedule has its own");
    })
    .await;
}

#[tokio::test]
async fn a_schedule_has_one_task_at_a_time_and_one_that_is_cut_off_is_taken_over() {
    on_both(async |TestStore { store, clock, url, .. }| {
        let Begun::Yes { id, nonce } = store.begin_load(load("spring")).await.expect("answers") else {
            panic!("begins")
        };
        let row = store.schedule("spring").await.expect("answers").expect("there");
        assert!(row.incomplete && row.loaded_at.is_none(), "{row:?}");
        assert_eq!(row.path.as_deref(), Some("/lists/spring.toml"));
        clock.advance(50 * SECOND);
        assert!(store.beat(id, &nonce, "4000").await.expect("answers"));
        clock.advance(50 * SECOND);
        let second = BeginLoad { digest: "d2".into(), by: "another".into(), ..load("spring") };
        let busy = Begun::Busy { task: TaskKind::Load, by: "test".into(), since: START };
        assert_eq!(store.begin_load(second.clone()).await.expect("answers"), busy);
        assert_eq!(store.schedule("spring").await.expect("answers").expect("there").digest, "d1", "nothing is written");
        clock.advance(10 * SECOND);
        let Begun::Yes { id: same, nonce: other } = store.begin_load(second).await.expect("answers") else {
            panic!("sixty seconds without a beat: it is dead")
        };
        assert_eq!(same, id);
        assert!(!store.beat(id, &nonce, "5000").await.expect("answers"), "the first one is told to stop");
        let finish = FinishLoad { first_at: Some(1), last_at: Some(2), report: "{}".into(), complete: true };
        assert!(!store.finish_load(id, &nonce, finish.clone()).await.expect("answers"));
        assert!(store.finish_load(id, &other, finish).await.expect("answers"));
        let row = store.schedule("spring").await.expect("answers").expect("there");
        assert_eq!((row.incomplete, row.loaded_at, row.task), (false, Some(START + 110 * SECOND), None));
        assert_eq!((row.first_at, row.last_at, row.digest.as_str()), (Some(1), Some(2), "d2"));

        let taken = BeginLoad { app: "tea".into(), ..load("spring") };
        let answer = Begun::NameTaken { app: "coffee".into() };
        assert_eq!(store.begin_load(taken).await.expect("answers"), answer);
        assert_eq!(store.schedule_name(id).as_deref(), Some("spring"));
        if url.starts_with("sqlite:") {
            store.close().await;
            let store = open(&url, &clock).await;
            assert_eq!(store.schedule_name(id).as_deref(), Some("spring"), "known from the start");
        }
    })
    .await;
}
