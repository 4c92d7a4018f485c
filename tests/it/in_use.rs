//! Schedules in use, in the store: what is counted of them, and who may do something to them.

use crate::harness::{EVENT, START, TestStore, accept, on_both, open, reminder, wish};
use sqlx::{AnyConnection, Connection, Row};
use std::collections::BTreeMap;
use tixing::{
    clock::Clock,
    domain::{
        Millis, SECOND,
        reason::Reason,
        reminder::{NewReminder, Origin, ReminderId, State},
        settle::{Consent, Counted, Next, Settlement},
    },
    store::{
        Inserted, Store,
        lists::{Filter, Order},
        port::{Entry, Marked, Queue},
        schedule_tasks::TaskBegun,
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
        in_folder: false,
        forget_shift: false,
    }
}

/// Begins and ends a load; answers the schedule.
pub async fn loaded(store: &Store, load: BeginLoad) -> i64 {
    let Begun::Yes { id, nonce } = store.begin_load(load).await.expect("answers") else { panic!("it does not begin") };
    let finish = FinishLoad {
        digest: "d1".into(),
        first_at: None,
        last_at: None,
        report: "{}".into(),
        complete: true,
        recurs: None,
        upcoming: None,
        left_out: Vec::new(),
    };
    assert!(store.finish_load(id, &nonce, finish).await.expect("answers"));
    id
}

/// A reminder of a schedule's row.
pub fn of_row(schedule: i64, row: u32, openid: &str, at: Millis) -> NewReminder {
    let origin =
        Origin { schedule, row: Some(row), key: None, occasion: "1d".into(), occurrence: String::new(), moves: false };
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
        let finish = FinishLoad {
            digest: "d2".into(),
            first_at: Some(1),
            last_at: Some(2),
            report: "{}".into(),
            complete: true,
            recurs: None,
            upcoming: None,
            left_out: Vec::new(),
        };
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

#[tokio::test]
async fn a_load_that_ends_a_shift_and_is_cut_off_leaves_that_to_the_next_one() {
    on_both(async |TestStore { store, clock, .. }| {
        loaded(&store, load("spring")).await;
        let Ok(Ok(TaskBegun::Yes(work))) = store.begin_shift("spring", 60_000, "test", START).await else {
            panic!("it begins")
        };
        assert!(store.work_off(work).await.expect("answers"));
        let other = BeginLoad { digest: "d2".into(), forget_shift: true, ..load("spring") };
        store.begin_load(other.clone()).await.expect("answers");
        clock.advance(60 * SECOND);
        let row = store.schedule("spring").await.expect("answers").expect("there");
        let says = (row.shift, row.digest.as_str(), row.incomplete);
        assert_eq!(says, (60_000, "", true), "what was moved and not written yet is still moved: any file differs");
        let Begun::Yes { id, nonce } = store.begin_load(other).await.expect("answers") else { panic!("begins") };
        let finish = FinishLoad {
            digest: "d2".into(),
            first_at: None,
            last_at: None,
            report: "{}".into(),
            complete: true,
            recurs: None,
            upcoming: None,
            left_out: Vec::new(),
        };
        assert!(store.finish_load(id, &nonce, finish).await.expect("answers"));
        let row = store.schedule("spring").await.expect("answers").expect("there");
        assert_eq!((row.shift, row.digest.as_str(), row.incomplete), (0, "d2", false));
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_user_is_gone_from_what_schedules_know_of_their_rows() {
    on_both(async |test: TestStore| {
        let store = &test.store;
        let id = loaded(store, load("spring")).await;
        let keyed = |openid: &str, key: &str| {
            let new = of_row(id, 1, openid, START + 1_000);
            NewReminder { origin: new.origin.map(|origin| Origin { key: Some(key.into()), ..origin }), ..new }
        };
        let ids = stored(store, vec![of_row(id, 1, "o-plain", START), keyed("o-keyed", "member-7")]).await;
        let mut conn = AnyConnection::connect(&test.url).await.expect("connects");
        // Of the third, retention has erased the reminder.
        for (key, reminder) in [("o-plain", ids[0].0), ("member-7", ids[1].0), ("o-erased", 5)] {
            let sql = "INSERT INTO planned (schedule, key, occasion, reminder, digest) VALUES ($1, $2, '1d', $3, 0)";
            sqlx::query(sql).bind(id).bind(key).bind(reminder).execute(&mut conn).await.expect("written");
        }
        conn.close().await.expect("closes");
        for openid in ["o-plain", "o-keyed", "o-erased"] {
            store.forget(wish(openid)).await.expect("forgotten");
        }
        store.close().await;
        let everything = test.everything().await;
        for word in ["o-plain", "o-keyed", "member-7", "o-erased"] {
            assert!(!everything.contains(word), "{word} is still there");
        }
    })
    .await;
}

/// What is stored of a schedule's reminders: their instants and deadlines, those that wait.
async fn waiting(store: &Store) -> Vec<(Millis, Millis)> {
    let jobs = store.prefetch(1, (i64::MIN, 0), Millis::MAX, 10_000).await.expect("answers");
    jobs.iter().map(|job| (job.due.at - START, job.due.expires_at - START)).collect()
}

fn moving(new: NewReminder, moves: bool) -> NewReminder {
    let origin = new.origin.map(|origin| Origin { moves, ..origin });
    NewReminder { origin, ..new }
}

#[tokio::test]
async fn a_shift_moves_what_waits_and_the_deadlines_that_move_along_and_nothing_if_one_would_be_passed() {
    on_both(async |TestStore { store, clock, .. }| {
        const HOUR: Millis = 3_600_000;
        let id = loaded(&store, load("spring")).await;
        let other = loaded(&store, load("autumn")).await;
        // Deadlines are an hour after the instant.
        let fixed = moving(of_row(id, 1, "o1", START + HOUR), false);
        let along = moving(of_row(id, 2, "o2", START + 2 * HOUR), true);
        let ids = stored(&store, vec![fixed, along, of_row(other, 1, "o3", START + HOUR)]).await;
        let shift = async |by: Millis| store.begin_shift("spring", by, "test", clock.now()).await.expect("answers");
        assert_eq!(shift(HOUR).await, Err(1), "its deadline stays, and would be reached");
        assert_eq!(waiting(&store).await, [(HOUR, 2 * HOUR), (HOUR, 2 * HOUR), (2 * HOUR, 3 * HOUR)]);
        assert!(!store.gates().of(Some(id)).closed, "and everything goes on");
        let half = HOUR / 2;
        let Ok(TaskBegun::Yes(work)) = shift(half).await else { panic!("it begins") };
        assert!(store.gates().of(Some(id)).closed, "nothing is sent while it moves");
        assert!(matches!(shift(half).await, Ok(TaskBegun::Busy { task: TaskKind::Shift, .. })), "one at a time");
        assert!(matches!(store.begin_load(load("spring")).await.expect("answers"), Begun::Busy { .. }));
        assert!(store.work_off(work.clone()).await.expect("answers"));
        assert!(!store.work_off(work).await.expect("answers"), "once");
        assert_eq!(
            waiting(&store).await,
            [(HOUR, 2 * HOUR), (HOUR + half, 2 * HOUR), (2 * HOUR + half, 3 * HOUR + half)]
        );
        assert_eq!(store.schedule("spring").await.expect("answers").expect("there").shift, half);
        // Back again, and what was read before is not marked.
        let jobs = store.prefetch(1, (i64::MIN, 0), Millis::MAX, 10).await.expect("answers");
        let Ok(TaskBegun::Yes(work)) = shift(-half).await else { panic!("it begins") };
        store.work_off(work).await.expect("answers");
        assert_eq!(waiting(&store).await, [(HOUR, 2 * HOUR), (HOUR, 2 * HOUR), (2 * HOUR, 3 * HOUR)]);
        assert_eq!(store.schedule("spring").await.expect("answers").expect("there").shift, 0);
        let late =
            store.mark(jobs.into_iter().filter(|job| job.schedule == Some(id)).collect()).await.expect("answers");
        assert_eq!(late, [Marked::Late, Marked::Late]);
        // A deadline that would move into the past is passed, too.
        assert_eq!(shift(-3 * HOUR - 1).await, Err(1), "the other one has its own deadline still ahead");
        assert_eq!(store.reminder(ids[0]).await.expect("answers").expect("there").due.at, START + HOUR);
    })
    .await;
}

#[tokio::test]
async fn a_shift_that_is_cut_off_before_its_deadlines_were_compared_moves_nothing_past_them() {
    on_both(async |test: TestStore| {
        let TestStore { store, clock, url, .. } = &test;
        let id = loaded(store, load("spring")).await;
        stored(store, (1..=3).map(|i| moving(of_row(id, i, &format!("o{i}"), START + 5_000), i > 1)).collect()).await;
        let before = waiting(store).await;
        // As a daemon leaves it that dies between the two.
        let mut conn = AnyConnection::connect(url).await.expect("connects");
        let sql = "UPDATE schedule SET task = 'shift', task_shift = 7200000, task_by = 'test', task_nonce = 'n', task_beat = 0";
        sqlx::query(sql).execute(&mut conn).await.expect("written");
        conn.close().await.expect("closes");
        assert_eq!(store.take_up_tasks(clock.now()).await.expect("answers"), 1);
        assert_eq!(waiting(store).await, before, "the first one's deadline stays, and would be passed");
        let row = store.schedule("spring").await.expect("answers").expect("there");
        assert_eq!((row.shift, row.task), (0, None));
        assert!(store.gates().of(Some(id)).is_plain());
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_schedule_ends_what_waits_frees_the_consents_and_may_come_back_under_other_ids() {
    on_both(async |test: TestStore| {
        let (store, clock) = (&test.store, &test.clock);
        let id = loaded(store, load("spring")).await;
        let news: Vec<NewReminder> = (1..=700).map(|i| of_row(id, i, &format!("o{i}"), START + 1_000)).collect();
        let ids = stored(store, news).await;
        let mut conn = AnyConnection::connect(&test.url).await.expect("connects");
        for (i, reminder) in ids.iter().enumerate() {
            let sql = "INSERT INTO planned (schedule, key, occasion, reminder, digest) VALUES ($1, $2, '1d', $3, 0)";
            let query = sqlx::query(sql).bind(id).bind(format!("o{}", i + 1)).bind(reminder.0);
            query.execute(&mut conn).await.expect("written");
        }
        let jobs = store.prefetch(1, (i64::MIN, 0), START + 1_000, 1).await.expect("answers");
        store.mark(jobs.clone()).await.expect("answers");
        let TaskBegun::Yes(work) = store.begin_cancel("spring", "test").await.expect("answers") else {
            panic!("begins")
        };
        let row = store.schedule("spring").await.expect("answers").expect("there");
        assert_eq!(row.cancelled_at, Some(START), "at once");
        assert!(store.gates().of(Some(id)).closed);
        assert!(store.work_off(work).await.expect("answers"));
        let counts = store.schedule_counts(id).await.expect("answers");
        let expected = [("cancelled/schedule_cancelled".to_owned(), 699), ("sending".to_owned(), 1)];
        assert_eq!(counts, expected.into());
        assert_eq!(rows_of(&test, id).await, counts);
        assert_eq!(store.balances("coffee", "o2").await.expect("answers")[EVENT].available, 1);
        let left: i64 =
            sqlx::query("SELECT COUNT(*) AS n FROM planned").fetch_one(&mut conn).await.expect("answers").get("n");
        assert_eq!(left, 1, "what may have been sent is known for ever");
        let begun = store.begin_load(load("spring")).await.expect("answers");
        assert_eq!(begun, Begun::Cancelled, "it wants to be revived");
        assert_eq!(store.begin_cancel("spring", "test").await.expect("answers"), TaskBegun::Cancelled);
        assert_eq!(store.begin_cancel("winter", "test").await.expect("answers"), TaskBegun::NotFound);

        // The one that was being sent waits again: it was provably not sent. It ends with the others.
        let again = Next::Again { due_at: START + 5_000, counted: Counted::Delay };
        let settlement = Settlement::because(again, Reason::StoreFailed, Consent::Keep);
        let entry = Entry { target: jobs[0].target(true), settlement, began_at: None, ended_at: START + 2_000 };
        store.settle(vec![entry]).await.expect("answers");
        assert!(store.gates().of(Some(id)).closed, "and is not sent meanwhile");
        assert_eq!(store.take_up_tasks(clock.now()).await.expect("answers"), 1);
        let counts = store.schedule_counts(id).await.expect("answers");
        assert_eq!(counts, [("cancelled/schedule_cancelled".to_owned(), 700)].into());
        assert_eq!(store.take_up_tasks(clock.now()).await.expect("answers"), 0);
        assert!(store.gates().of(Some(id)).is_plain(), "nothing is left to hold back");

        let revived = BeginLoad { revive: true, ..load("spring") };
        assert!(matches!(store.begin_load(revived).await.expect("answers"), Begun::Yes { .. }));
        assert_eq!(store.schedule("spring").await.expect("answers").expect("there").cancelled_at, None);
    })
    .await;
}

#[tokio::test]
async fn a_shift_that_is_cut_off_goes_on_where_it_was_and_moves_each_reminder_once() {
    on_both(async |test: TestStore| {
        let TestStore { store, clock, url, .. } = &test;
        let id = loaded(store, load("spring")).await;
        // Every third second, so that what is moved lands among what is still to be moved.
        let news = (0..2_500).map(|i| moving(of_row(id, i, &format!("o{i}"), START + i64::from(i) * 3_000), true));
        stored(store, news.collect()).await;
        let by = 1_000_000;
        let Ok(TaskBegun::Yes(work)) = store.begin_shift("spring", by, "test", clock.now()).await.expect("answers")
        else {
            panic!("begins")
        };
        // Two of its three steps.
        for _ in 0..2 {
            store.work_off_once(&work).await.expect("answers");
        }
        store.close().await;
        let store = open(url, clock).await;
        assert!(store.gates().of(Some(id)).closed, "it is not forgotten");
        assert_eq!(store.take_up_tasks(clock.now()).await.expect("answers"), 1);
        let moved: Vec<Millis> = waiting(&store).await.into_iter().map(|(at, _)| at).collect();
        assert_eq!(moved, (0..2_500).map(|i| i * 3_000 + by).collect::<Vec<_>>());
        let row = store.schedule("spring").await.expect("answers").expect("there");
        assert_eq!((row.shift, row.task), (by, None));
        assert!(store.gates().of(Some(id)).is_plain());
    })
    .await;
}

#[tokio::test]
async fn a_list_of_a_schedule_has_its_reminders_by_instant_and_goes_on_page_by_page() {
    on_both(async |TestStore { store, .. }| {
        let id = loaded(&store, load("spring")).await;
        let other = loaded(&store, load("autumn")).await;
        let news = (0..1_200).map(|i| of_row(id, i, &format!("o{}", i % 7), START + i64::from(i % 3) * 1_000));
        let ids = stored(&store, news.collect()).await;
        stored(&store, vec![of_row(other, 1, "o1", START), reminder("o1", START)]).await;
        store.cancel(ids[5]).await.expect("answers");
        let base = Filter { apps: vec!["coffee".into()], schedule: Some(id), limit: 100, ..Filter::default() };
        let all = async |mut filter: Filter| {
            let mut found = Vec::new();
            loop {
                let page = store.page(&filter, std::time::Duration::ZERO).await.expect("answers").expect("a page");
                assert!(page.items.len() <= filter.limit);
                found.extend(page.items.iter().map(|stored| (stored.due.at, stored.due.id)));
                let Some(next) = page.next else { return found };
                filter.after = Some(next);
            }
        };
        let found = all(base.clone()).await;
        assert_eq!(found.len(), 1_200);
        assert!(found.is_sorted());
        let mut newest = all(Filter { order: Order::Newest, ..base.clone() }).await;
        newest.reverse();
        assert_eq!(newest, found);
        let some = Filter { order: Order::Newest, from: Some(START + 1_000), to: Some(START + 2_000), ..base.clone() };
        assert_eq!(all(some).await.len(), 400);
        assert_eq!(all(Filter { changed_since: Some(START + 1), ..base.clone() }).await.len(), 0);
        assert_eq!(all(Filter { changed_since: Some(START), ..base.clone() }).await.len(), 1_200);
        assert_eq!(all(Filter { states: vec![State::Cancelled], ..base.clone() }).await.len(), 1);
        assert_eq!(all(Filter { to: Some(START + 1_000), ..base.clone() }).await.len(), 400);
        assert_eq!(all(Filter { from: Some(START + 2_000), limit: 7, ..base.clone() }).await.len(), 400);
        assert_eq!(all(Filter { openid: Some("o1".into()), limit: 1_000, ..base.clone() }).await.len(), 172);
        assert_eq!(
            all(Filter { apps: vec!["tea".into()], ..base }).await.len(),
            0,
            "of an app that the caller may not see"
        );
    })
    .await;
}
