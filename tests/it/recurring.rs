//! What recurs, in the store: who may prepare an occurrence, by which rows, and what becomes of both.

use crate::{
    harness::{
        START, TestStore, apps, databases, fresh_url, on_both, open,
        program::{SandboxServer, Site},
        wish,
    },
    in_use::{load, loaded, of_row, stored},
};
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use tixing::{
    clock::{Clock, SystemClock},
    config::Durability,
    domain::{
        DAY, HOUR, MINUTE, Millis, SECOND,
        left_out::LeftOut,
        reminder::{NewReminder, Origin},
        retention::Retention,
    },
    store::{
        Store,
        kept::{KeptRow, Part},
        left_out::LeftOutRow,
        occurrences::{BegunOccurrence, Due, FinishPrepare, OccurrenceRow},
        planned_lists::Left,
        retention::Walk,
        schedule_tasks::TaskBegun,
        schedules::{BeginLoad, Begun, FinishLoad, Recurs, ScheduleRow, ScheduleState},
    },
};

/// Begins a load.
async fn begun(store: &Store, load: BeginLoad) -> (i64, String) {
    match store.begin_load(load).await.expect("answers") {
        Begun::Yes { id, nonce } => (id, nonce),
        other => panic!("it does not begin: {other:?}"),
    }
}

fn finish(recurs: Option<Recurs>) -> FinishLoad {
    FinishLoad {
        digest: "d1".into(),
        first_at: None,
        last_at: None,
        report: r#"{"recurs":{"say":"recurs_by_table","file":"season.csv"}}"#.into(),
        complete: true,
        upcoming: recurs.as_ref().map(|_| "[1]".into()),
        left_out: Vec::new(),
        recurs,
    }
}

fn recurs(edition: i64, next_at: Millis) -> Recurs {
    Recurs {
        kept_text: "the file".into(),
        edition,
        next_at: Some(next_at),
        since: START,
        file_since: START,
        decided: None,
    }
}

/// A schedule that recurs and is to be looked at then.
async fn recurring(store: &Store, name: &str, next_at: Millis) -> i64 {
    let (id, nonce) = begun(store, load(name)).await;
    assert!(store.finish_load(id, &nonce, finish(Some(recurs(1, next_at)))).await.expect("answers"));
    id
}

async fn row(store: &Store, name: &str) -> ScheduleRow {
    store.schedule(name).await.expect("answers").expect("there")
}

fn occurrence(name: &str, at: Millis) -> OccurrenceRow {
    OccurrenceRow {
        name: name.into(),
        event_at: at,
        first_at: at - MINUTE,
        last_at: at,
        ends_at: at + MINUTE,
        begun_at: START,
        prepared_at: None,
        people: 0,
    }
}

fn people(openids: &[&str]) -> Vec<KeptRow> {
    let row = |(i, openid): (u32, &&str)| KeptRow {
        number: i + 2,
        openid: Some((*openid).to_owned()),
        cells: format!(r#"{{"称呼":"of {openid}"}}"#),
    };
    (0..).zip(openids).map(row).collect()
}

#[tokio::test]
async fn of_two_bells_at_once_one_prepares_and_what_it_prepared_is_written_with_the_next_look() {
    on_both(async |TestStore { store, clock, .. }| {
        let id = recurring(&store, "weekly", START + MINUTE).await;
        let due = Due { schedule: id, next_at: START + MINUTE };
        let before = row(&store, "weekly").await;
        assert_eq!(
            (before.kept_text.as_deref(), before.edition, before.next_at),
            (Some("the file"), 1, Some(due.next_at))
        );
        assert_eq!((before.since, before.upcoming.as_deref()), (Some(START), Some("[1]")));
        assert_eq!(before.state(&Default::default(), START), ScheduleState::Active, "something of it is to come");
        assert_eq!(store.due_recurring(START + MINUTE - 1, 10).await.expect("answers"), []);
        clock.advance(MINUTE);
        assert_eq!(store.due_recurring(clock.now(), 10).await.expect("answers"), [due]);

        let both = tokio::join!(store.begin_prepare(due, "a"), store.begin_prepare(due, "b"));
        let (a, b) = (both.0.expect("answers"), both.1.expect("answers"));
        assert!(a.is_some() != b.is_some(), "one of them: {a:?} {b:?}");
        let (nonce, whole) = a.or(b).expect("one of them");
        assert_eq!(whole.kept_text.as_deref(), Some("the file"), "with all that it is prepared by");
        assert_eq!(store.due_recurring(clock.now(), 10).await.expect("answers"), [], "it is being looked at");
        assert!(matches!(store.begin_load(load("weekly")).await.expect("answers"), Begun::Busy { .. }));
        assert!(store.gates().of(Some(id)).is_plain(), "what waits of it goes on");

        let first = occurrence("2027-03-01T19:00", START + 10 * MINUTE);
        let begun = store.begin_occurrence(id, &nonce, first.clone()).await.expect("answers");
        assert_eq!(begun, BegunOccurrence::Fresh);
        let other = OccurrenceRow { event_at: 1, people: 9, ..first.clone() };
        assert_eq!(store.begin_occurrence(id, &nonce, other).await.expect("answers"), BegunOccurrence::Again);
        assert_eq!(
            store.living_occurrences(id, clock.now()).await.expect("answers"),
            std::slice::from_ref(&first),
            "as it was"
        );
        let done = FinishPrepare {
            left_out: Vec::new(),
            prepared: vec![(first.name.clone(), 7)],
            next_at: Some(START + DAY),
            since: clock.now(),
            upcoming: "[2]".into(),
            problem: None,
        };
        assert!(!store.finish_prepare(id, "another's", done.clone()).await.expect("answers"));
        assert!(store.finish_prepare(id, &nonce, done.clone()).await.expect("answers"));
        assert!(!store.finish_prepare(id, &nonce, done).await.expect("answers"), "once");
        let begun = store.begin_occurrence(id, &nonce, occurrence("later", START)).await.expect("answers");
        assert_eq!(begun, BegunOccurrence::Lost);
        let prepared = OccurrenceRow { prepared_at: Some(clock.now()), people: 7, ..first.clone() };
        assert_eq!(store.occurrence(id, &first.name).await.expect("answers"), Some(prepared.clone()));
        assert_eq!(store.occurrences(id, 10).await.expect("answers"), [prepared]);
        assert_eq!(store.living_occurrences(id, first.ends_at).await.expect("answers"), []);
        let after = row(&store, "weekly").await;
        assert_eq!(
            (after.next_at, after.since, after.upcoming.as_deref()),
            (Some(START + DAY), Some(clock.now()), Some("[2]"))
        );
        assert_eq!(after.task, None);
        assert!(store.begin_prepare(due, "c").await.expect("answers").is_none(), "it is due at another time now");
    })
    .await;
}

#[tokio::test]
async fn a_preparation_that_was_cut_off_is_taken_again_after_a_minute_and_the_first_one_writes_nothing_more() {
    on_both(async |TestStore { store, clock, .. }| {
        let id = recurring(&store, "weekly", START).await;
        let due = Due { schedule: id, next_at: START };
        let (first, _) = store.begin_prepare(due, "a").await.expect("answers").expect("it begins");
        clock.advance(59 * SECOND);
        assert!(store.begin_prepare(due, "b").await.expect("answers").is_none());
        assert!(store.beat(id, &first, "70").await.expect("answers"));
        clock.advance(60 * SECOND);
        assert_eq!(store.due_recurring(clock.now(), 10).await.expect("answers"), [due]);
        let (second, _) = store.begin_prepare(due, "b").await.expect("answers").expect("it is dead");
        assert!(!store.beat(id, &first, "80").await.expect("answers"));
        assert!(!store.keep_rows(id, &first, 2, Part::Audience, 0, people(&["o1"])).await.expect("answers"));
        assert!(!store.put_occurrences(id, &first, vec![occurrence("x", START)]).await.expect("answers"));
        assert!(!store.forget_occurrences(id, &first, vec!["x".into()]).await.expect("answers"));
        assert_eq!(store.new_edition(id, &first).await.expect("answers"), None);
        let problem = FinishPrepare {
            next_at: Some(START + DAY),
            problem: Some(r#"{"key":"x"}"#.into()),
            ..FinishPrepare::default()
        };
        assert!(store.finish_prepare(id, &second, problem).await.expect("answers"));
        assert_eq!(row(&store, "weekly").await.recur_problem.as_deref(), Some(r#"{"key":"x"}"#));
        let (id, nonce) = begun(&store, load("weekly")).await;
        store.finish_load(id, &nonce, finish(Some(recurs(2, START)))).await.expect("answers");
        assert_eq!(row(&store, "weekly").await.recur_problem, None, "a load that comes to its end has mended it");
    })
    .await;
}

#[tokio::test]
async fn a_load_that_is_cut_off_changes_nothing_of_a_recurrence_and_one_of_a_plain_file_ends_it() {
    on_both(async |TestStore { store, clock, .. }| {
        recurring(&store, "weekly", START).await;
        let (id, nonce) = begun(&store, BeginLoad { digest: "d2".into(), ..load("weekly") }).await;
        assert_eq!(store.due_recurring(START, 10).await.expect("answers"), [], "while it is loaded");
        let half = FinishLoad { complete: false, ..finish(Some(recurs(2, START + 5))) };
        assert!(store.finish_load(id, &nonce, half).await.expect("answers"));
        let now = row(&store, "weekly").await;
        assert_eq!((now.edition, now.next_at, now.incomplete), (1, Some(START), true));
        assert_eq!(store.due_recurring(START, 10).await.expect("answers").len(), 1, "by the file before");
        // One that dies stands in nobody's way.
        begun(&store, load("weekly")).await;
        clock.advance(MINUTE);
        assert_eq!(store.due_recurring(clock.now(), 10).await.expect("answers").len(), 1);
        let (id, nonce) = begun(&store, load("weekly")).await;
        assert!(store.finish_load(id, &nonce, finish(None)).await.expect("answers"));
        let now = row(&store, "weekly").await;
        assert_eq!((now.kept_text, now.next_at, now.since, now.upcoming), (None, None, None, None));
        assert_eq!(store.due_recurring(clock.now(), 10).await.expect("answers"), []);
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_recurrence_is_not_looked_at_and_a_paused_one_is() {
    on_both(async |TestStore { store, clock, .. }| {
        let paused = recurring(&store, "paused", START).await;
        let id = recurring(&store, "weekly", START).await;
        store.pause_schedule("paused", "test").await.expect("answers");
        let due = Due { schedule: id, next_at: START };
        let (nonce, _) = store.begin_prepare(due, "a").await.expect("answers").expect("it begins");
        assert!(matches!(store.begin_cancel("weekly", "test").await.expect("answers"), TaskBegun::Busy { .. }));
        clock.advance(MINUTE);
        let TaskBegun::Yes(work) = store.begin_cancel("weekly", "test").await.expect("answers") else {
            panic!("begins")
        };
        let done = FinishPrepare { next_at: Some(START + DAY), ..FinishPrepare::default() };
        assert!(!store.finish_prepare(id, &nonce, done).await.expect("answers"), "nothing brings it back");
        store.work_off(work).await.expect("answers");
        assert_eq!(row(&store, "weekly").await.next_at, None);
        let due: Vec<i64> =
            store.due_recurring(clock.now(), 10).await.expect("answers").iter().map(|due| due.schedule).collect();
        assert_eq!(due, [paused]);
    })
    .await;
}

#[tokio::test]
async fn a_shift_moves_what_is_ahead_of_occurrences_and_has_the_schedule_looked_at() {
    on_both(async |TestStore { store, clock, .. }| {
        let id = recurring(&store, "weekly", START + DAY).await;
        let (id, nonce) = (id, begun(&store, load("weekly")).await.1);
        let (over, ahead) = (occurrence("over", START - 2 * MINUTE), occurrence("ahead", START + 10 * MINUTE));
        store.put_occurrences(id, &nonce, vec![over.clone(), ahead.clone()]).await.expect("answers");
        store.finish_load(id, &nonce, finish(Some(recurs(1, START + DAY)))).await.expect("answers");
        for by in [5 * MINUTE, -5 * MINUTE] {
            let Ok(TaskBegun::Yes(work)) = store.begin_shift("weekly", by, "test", START).await.expect("answers")
            else {
                panic!("begins")
            };
            store.work_off(work).await.expect("answers");
            assert_eq!(row(&store, "weekly").await.next_at, Some(START), "what became due is found out now");
            let moved = store.occurrence(id, "ahead").await.expect("answers").expect("there");
            let more = by.max(0);
            assert_eq!((moved.first_at, moved.last_at), (ahead.first_at + more, ahead.last_at + more));
            assert_eq!(moved.event_at, ahead.event_at, "the event is when it is");
            assert!(moved.ends_at >= ahead.ends_at);
        }
        assert_eq!(store.occurrence(id, "over").await.expect("answers"), Some(over));
        let due = store.due_recurring(clock.now(), 10).await.expect("answers");
        assert_eq!(due, [Due { schedule: id, next_at: START }]);
    })
    .await;
}

#[tokio::test]
async fn events_of_a_load_are_written_again_with_what_it_says_and_forgotten_when_it_has_them_no_more() {
    on_both(async |TestStore { store, .. }| {
        let (id, nonce) = begun(&store, load("season")).await;
        let other = recurring(&store, "weekly", START + DAY).await;
        let e =
            |n: i64| OccurrenceRow { prepared_at: Some(START), people: n, ..occurrence(&format!("E{n}"), START + n) };
        assert!(store.put_occurrences(id, &nonce, (1..=3).map(e).collect()).await.expect("answers"));
        assert!(store.put_occurrences(id, &nonce, Vec::new()).await.expect("answers"));
        let moved =
            OccurrenceRow { begun_at: START + 9, prepared_at: None, people: 8, ..occurrence("E2", START + 100) };
        assert!(store.put_occurrences(id, &nonce, vec![moved.clone()]).await.expect("answers"));
        let here = store.occurrence(id, "E2").await.expect("answers").expect("there");
        assert_eq!(here, OccurrenceRow { begun_at: START, prepared_at: Some(START), ..moved }, "it stays prepared");
        assert!(store.forget_occurrences(id, &nonce, vec!["E1".into(), "E9".into()]).await.expect("answers"));
        let names = |rows: Vec<OccurrenceRow>| rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
        assert_eq!(names(store.occurrences(id, 10).await.expect("answers")), ["E2", "E3"], "the latest first");
        assert_eq!(names(store.occurrences(id, 1).await.expect("answers")), ["E2"]);
        assert_eq!(store.occurrences(other, 10).await.expect("answers"), []);
    })
    .await;
}

#[tokio::test]
async fn kept_rows_come_back_page_by_page_as_they_were_and_by_part_and_edition() {
    on_both(async |TestStore { store, .. }| {
        let (id, nonce) = begun(&store, load("weekly")).await;
        let edition = store.new_edition(id, &nonce).await.expect("answers").expect("it has the task");
        let openids: Vec<String> = (0..2_500).map(|i| format!("o{i}")).collect();
        let all = people(&openids.iter().map(String::as_str).collect::<Vec<_>>());
        for (i, some) in (0..).zip(all.chunks(1_000)) {
            assert!(
                store.keep_rows(id, &nonce, edition, Part::Audience, i * 1_000, some.to_vec()).await.expect("answers")
            );
        }
        let event = KeptRow { number: 4_000_000_000, openid: None, cells: "{\"编号\":\"\u{2028}\\\"E1'\"}".into() };
        assert!(store.keep_rows(id, &nonce, edition, Part::Events, 0, vec![event.clone()]).await.expect("answers"));
        assert!(store.keep_rows(id, &nonce, edition, Part::Exclude, 0, Vec::new()).await.expect("answers"));
        // A commit whose answer was lost is asked for again.
        assert!(store.keep_rows(id, &nonce, edition, Part::Events, 0, vec![event.clone()]).await.expect("answers"));
        let (mut after, mut back) = (-1, Vec::new());
        loop {
            let page = store.kept_rows(id, edition, Part::Audience, after, 700).await.expect("answers");
            let Some((last, _)) = page.last() else { break };
            after = *last;
            back.extend(page.into_iter().map(|(_, row)| row));
        }
        assert_eq!(back, all);
        assert_eq!(store.kept_rows(id, edition, Part::Events, -1, 10).await.expect("answers"), [(0, event)]);
        assert_eq!(store.kept_rows(id, edition, Part::Exclude, -1, 10).await.expect("answers"), []);
        let next = store.new_edition(id, &nonce).await.expect("answers").expect("it has the task");
        assert!(next > edition, "under which nothing stands");
        assert_eq!(store.kept_rows(id, next, Part::Audience, -1, 10).await.expect("answers"), []);
    })
    .await;
}

#[tokio::test]
async fn rows_that_are_needed_no_more_are_erased_a_slice_at_a_time_and_no_others() {
    on_both(async |TestStore { store, clock, .. }| {
        let openids: Vec<String> = (0..1_300).map(|i| format!("o{i}")).collect();
        let many = people(&openids.iter().map(String::as_str).collect::<Vec<_>>());
        let keep = async |id: i64, nonce: &str, edition: i64| {
            assert!(store.keep_rows(id, nonce, edition, Part::Audience, 0, many.clone()).await.expect("answers"));
        };
        let left = async |id: i64, edition: i64| {
            store.kept_rows(id, edition, Part::Audience, -1, 9_999).await.expect("answers").len()
        };
        let mut walk = Walk::default();
        let mut all_gone = async || {
            let mut total = 0;
            for _ in 0..20 {
                let erased = store.erase_step(&mut walk, &Retention::default(), clock.now()).await.expect("answers");
                assert!(erased.kept_rows <= 1_200, "{erased:?}");
                total += erased.kept_rows;
            }
            total
        };
        // One is replaced, one is cancelled, one no longer recurs, one is cut off, and one is under way.
        let (id, nonce) = begun(&store, load("replaced")).await;
        keep(id, &nonce, 1).await;
        keep(id, &nonce, 2).await;
        store.finish_load(id, &nonce, finish(Some(recurs(2, START + DAY)))).await.expect("answers");
        let (cancelled, nonce) = begun(&store, load("cancelled")).await;
        keep(cancelled, &nonce, 1).await;
        store.finish_load(cancelled, &nonce, finish(Some(recurs(1, START + DAY)))).await.expect("answers");
        let TaskBegun::Yes(work) = store.begin_cancel("cancelled", "test").await.expect("answers") else {
            panic!("begins")
        };
        store.work_off(work).await.expect("answers");
        let (ended, nonce) = begun(&store, load("ended")).await;
        keep(ended, &nonce, 1).await;
        store.finish_load(ended, &nonce, finish(None)).await.expect("answers");
        let under_way = recurring(&store, "under-way", START + DAY).await;
        let (_, nonce) = begun(&store, load("under-way")).await;
        keep(under_way, &nonce, 2).await;
        assert_eq!(all_gone().await, 3 * 1_300);
        assert_eq!((left(id, 1).await, left(id, 2).await), (0, 1_300));
        assert_eq!((left(cancelled, 1).await, left(ended, 1).await), (0, 0));
        assert_eq!(left(under_way, 2).await, 1_300, "its load may come to its end");
        clock.advance(MINUTE);
        assert_eq!(all_gone().await, 1_300, "it has died");
        assert_eq!((left(under_way, 2).await, left(id, 2).await), (0, 1_300));
        assert_eq!(all_gone().await, 0);
    })
    .await;
}

#[tokio::test]
async fn occurrences_long_over_are_erased_with_the_term_of_reminders() {
    on_both(async |TestStore { store, clock, .. }| {
        let (id, nonce) = begun(&store, load("season")).await;
        let rows = (0..1_100).map(|i| occurrence(&format!("E{i:04}"), START - DAY + i * SECOND)).collect();
        store.put_occurrences(id, &nonce, rows).await.expect("answers");
        let mut walk = Walk::default();
        let forever = store.erase_step(&mut walk, &Retention::default(), clock.now()).await.expect("answers");
        assert_eq!(forever.occurrences, 0, "without a term");
        clock.advance(600 * SECOND);
        let terms = Retention { history: Some(DAY), ..Retention::default() };
        let mut erased = 0;
        for _ in 0..3 {
            erased += store.erase_step(&mut walk, &terms, clock.now()).await.expect("answers").occurrences;
        }
        // Those whose deadlines, a minute after, lie a day back.
        assert_eq!(erased, 541);
        let left = store.occurrences(id, 9_999).await.expect("answers");
        assert_eq!((left.len(), left.last().map(|row| row.name.as_str())), (559, Some("E0541")));
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_user_is_in_no_kept_row_of_the_app_and_comes_back_in_none() {
    on_both(async |test: TestStore| {
        let store = &test.store;
        let (id, nonce) = begun(store, load("weekly")).await;
        let (tea, tea_nonce) = begun(store, BeginLoad { app: "tea".into(), ..load("tea") }).await;
        let rows = people(&["o-gone", "o-stays", "o-gone"]);
        for (edition, part) in [(1, Part::Audience), (2, Part::Audience), (2, Part::Exclude)] {
            assert!(store.keep_rows(id, &nonce, edition, part, 0, rows.clone()).await.expect("answers"));
        }
        assert!(store.keep_rows(tea, &tea_nonce, 1, Part::Audience, 0, people(&["o-gone"])).await.expect("answers"));
        let shown = store.kept_of_user("coffee", "o-gone").await.expect("answers");
        assert_eq!(shown.len(), 6);
        let first = &shown[0];
        assert_eq!((first.schedule.as_str(), first.part, first.row.number), ("weekly", Part::Audience, 2));
        assert_eq!(first.row.cells, r#"{"称呼":"of o-gone"}"#);
        store.forget(wish("o-gone")).await.expect("forgotten");
        assert_eq!(store.kept_of_user("coffee", "o-gone").await.expect("answers"), []);
        let left = store.kept_rows(id, 2, Part::Audience, -1, 10).await.expect("answers");
        assert_eq!(left, [(1, rows[1].clone())], "others keep their places");
        // A load that has read its file before.
        assert!(store.keep_rows(id, &nonce, 2, Part::Audience, 10, rows.clone()).await.expect("answers"));
        let left = store.kept_rows(id, 2, Part::Audience, -1, 10).await.expect("answers");
        assert_eq!(left.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 11]);
        assert_eq!(store.kept_of_user("tea", "o-gone").await.expect("answers").len(), 1, "another app's user");
    })
    .await;
}

#[tokio::test]
async fn what_a_forgotten_user_was_kept_for_is_in_no_page_of_the_file() {
    on_both(async |test: TestStore| {
        let (id, nonce) = begun(&test.store, load("weekly")).await;
        test.store.keep_rows(id, &nonce, 1, Part::Audience, 0, people(&["o-gone", "o-stays"])).await.expect("answers");
        test.store.forget(wish("o-gone")).await.expect("forgotten");
        test.store.close().await;
        let everything = test.everything().await;
        assert!(everything.contains("o-stays"));
        assert!(!everything.contains("o-gone"));
    })
    .await;
}

fn of_occurrence(schedule: i64, openid: &str, occurrence: &str, at: Millis) -> NewReminder {
    let new = of_row(schedule, 1, openid, at);
    NewReminder { origin: new.origin.map(|origin| Origin { occurrence: occurrence.into(), ..origin }), ..new }
}

#[tokio::test]
async fn what_waits_of_a_schedule_and_whom_an_occurrence_reached_are_walked_in_order() {
    on_both(async |test: TestStore| {
        let TestStore { store, clock, .. } = &test;
        let id = loaded(store, load("weekly")).await;
        let other = loaded(store, load("autumn")).await;
        let news = (0..250).map(|i| {
            let name = if i % 2 == 0 { "even" } else { "odd" };
            of_occurrence(id, &format!("o{i}"), name, START + i64::from(i % 5) * SECOND)
        });
        let ids = stored(store, news.collect()).await;
        stored(store, vec![of_occurrence(other, "o1", "odd", START)]).await;
        // As a load remembers them. One that it took off again is remembered no more.
        let mut conn = AnyConnection::connect(&test.url).await.expect("connects");
        let sql = "INSERT INTO planned (schedule, key, occasion, occurrence, reminder, digest)
             SELECT m.schedule, p.openid, m.occasion, m.occurrence, m.id, 0 FROM reminder m JOIN recipient p ON p.id = m.recipient
             WHERE m.id <> $1";
        sqlx::query(sql).bind(ids[5].0).execute(&mut conn).await.expect("written");
        conn.close().await.expect("closes");
        store.cancel(ids[3]).await.expect("answers");
        store.forget(wish("o8")).await.expect("forgotten");
        let waiting = async |from: Millis| {
            let (mut after, mut all) = ((i64::MIN, 0), Vec::<Left>::new());
            loop {
                let page = store.waiting_of_schedule(id, from, after, 30).await.expect("answers");
                let n = page.len();
                all.extend(page);
                let Some(last) = all.last().filter(|_| n == 30) else { return all };
                after = (last.at, last.reminder.0);
            }
        };
        let all = waiting(0).await;
        assert_eq!(all.len(), 248);
        assert!(all.is_sorted_by_key(|left| (left.at, left.reminder)));
        let one = all.iter().find(|left| left.reminder == ids[7]).expect("it waits");
        assert_eq!((one.key.as_str(), one.occasion.as_str(), one.occurrence.as_str()), ("o7", "1d", "odd"));
        assert!(one.holds && one.openid == "o7");
        assert_eq!(waiting(START + 3 * SECOND).await.len(), 98, "from then on, without o3 and o8");
        let (mut after, mut reached) = ((i64::MIN, 0), Vec::new());
        loop {
            let page = store.people_of_occurrence((id, "odd"), false, START, after, 30).await.expect("answers");
            let Some(last) = page.last() else { break };
            after = (last.at, last.reminder.0);
            reached.extend(page);
        }
        assert_eq!(reached.len(), 124, "the one that was cancelled alone, too; not the one that a load took off");
        let even = store.people_of_occurrence((id, "even"), false, clock.now(), (i64::MIN, 0), 999).await.expect("answers");
        assert_eq!(even.len(), 124, "nobody comes back who was forgotten");
    })
    .await;
}

#[tokio::test]
async fn what_a_schedule_has_planned_is_walked_occurrence_by_occurrence() {
    on_both(async |test: TestStore| {
        let id = loaded(&test.store, load("weekly")).await;
        let mut conn = AnyConnection::connect(&test.url).await.expect("connects");
        for (n, name) in (0..).zip(["", "a", "b", "c", "d"]) {
            let sql = "INSERT INTO planned (schedule, key, occasion, occurrence, reminder, digest) VALUES ($1, 'o1', '1d', $2, $3, 0)";
            sqlx::query(sql).bind(id).bind(name).bind(n).execute(&mut conn).await.expect("written");
        }
        let (mut after, mut names) = ((String::new(), String::new(), String::new()), Vec::new());
        loop {
            let page = test.store.identities(id, (&after.0, &after.1, &after.2), 2).await.expect("answers");
            let Some(last) = page.last() else { break };
            after = (last.key.clone(), last.occasion.clone(), last.occurrence.clone());
            names.extend(page.into_iter().map(|identity| identity.occurrence));
        }
        assert_eq!(names, ["", "a", "b", "c", "d"], "each once, though they are one user's");
    })
    .await;
}

/// How a database means to answer the look.
async fn plan_of_the_look(test: &TestStore) -> String {
    let mut conn = AnyConnection::connect(&test.url).await.expect("connects");
    let explain = if test.url.starts_with("sqlite:") { "EXPLAIN QUERY PLAN" } else { "EXPLAIN" };
    if explain == "EXPLAIN" {
        sqlx::query("ANALYZE schedule").execute(&mut conn).await.expect("analysed");
    }
    let sql = format!(
        "{explain} SELECT s.id, s.next_at FROM schedule s WHERE s.next_at <= {START}
         AND (s.task IS NULL OR (s.task IN ('load', 'prepare') AND s.task_beat <= {START})) AND s.cancelled_at IS NULL
         ORDER BY s.next_at LIMIT 20"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut conn).await.expect("answers");
    let column = if explain == "EXPLAIN" { 0 } else { 3 };
    rows.iter().map(|row| row.get::<String, _>(column)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn ten_thousand_recurring_schedules_are_one_look_by_an_index() {
    on_both(async |test: TestStore| {
        let mut conn = AnyConnection::connect(&test.url).await.expect("connects");
        let sql = format!(
            "INSERT INTO schedule (name, app, template, text, digest, zone, created_at, edition, next_at)
             SELECT 's' || n, 1, 1, '{}', 'd', 'Asia/Shanghai', 0, 1, {START} + n FROM (WITH RECURSIVE c(n) AS
             (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 10000) SELECT n FROM c) t",
            "x".repeat(500)
        );
        sqlx::query(AssertSqlSafe(sql)).execute(&mut conn).await.expect("written");
        let plan = plan_of_the_look(&test).await;
        assert!(plan.contains("recurring"), "{plan}");
        assert_eq!(test.store.due_recurring(START, 20).await.expect("answers"), []);
        let due = test.store.due_recurring(START + 50, 20).await.expect("answers");
        assert_eq!(due.len(), 20);
        assert!(due.is_sorted_by_key(|due| due.next_at));
        let again = open_again(&test).await;
        assert_eq!(again.due_recurring(START + 50, 100).await.expect("answers").len(), 50);
    })
    .await;
}

/// The store as another life finds it; on PostgreSQL, the same one.
async fn open_again(test: &TestStore) -> Store {
    if test.url.starts_with("sqlite:") {
        test.store.close().await;
        return open(&test.url, &test.clock).await;
    }
    test.store.clone()
}

/// A season that recurs: E1 has a reminder for `o-came`, E2 for somebody else, E3 is to come.
async fn fill(url: &str) {
    let apps = apps("http://127.0.0.1:1");
    let store = Store::open(url, Durability::Full, &apps, SystemClock::shared()).await.expect("opens");
    let now = SystemClock::shared().now();
    let (id, nonce) = begun(&store, load("season")).await;
    let at = |n: i64| now + n * HOUR;
    let rows = vec![of_occurrence(id, "o-came", "E1", at(1)), of_occurrence(id, "o-other", "E2", at(2))];
    stored(&store, rows).await;
    let listed = people(&["o-came", "o-other", "o-out"]);
    assert!(store.keep_rows(id, &nonce, 1, Part::Audience, 0, listed).await.expect("answers"));
    assert!(store.keep_rows(id, &nonce, 1, Part::Exclude, 0, people(&["o-out"])).await.expect("answers"));
    // Users of the tests accept at START.
    let prepared_at = Some(now.max(START));
    let e = |n: i64| OccurrenceRow { prepared_at, people: 1, ..occurrence(&format!("E{n}"), at(n)) };
    assert!(store.put_occurrences(id, &nonce, vec![e(1), e(2)]).await.expect("answers"));
    let upcoming = (1..=7).map(
        |n| json!({ "event": at(n), "name": format!("E{n}"), "key": format!("E{n}"), "prepare_at": at(n) - HOUR }),
    );
    let upcoming = Value::from_iter(upcoming).to_string();
    let recurs = recurs(1, now + DAY);
    let left_out = vec![LeftOutRow { name: "E0".into(), event_at: at(-1), why: LeftOut::Missed }];
    let finish = FinishLoad { upcoming: Some(upcoming), left_out, ..finish(Some(recurs)) };
    assert!(store.finish_load(id, &nonce, finish).await.expect("answers"));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marketer_sees_what_comes_and_why_somebody_has_nothing_of_one_event() {
    for database in databases() {
        eprintln!("on {database}");
        let sandbox = SandboxServer::start(1).await;
        let folder = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, folder.path());
        fill(&url).await;
        let site = Site::new(&url, &sandbox.url, "");
        let json_of = |args: &[&str]| -> Value {
            let (code, out, said) = site.run(args);
            assert_eq!(code, 0, "{args:?}: {said}");
            serde_json::from_str(&out).expect("JSON")
        };
        let shown = json_of(&["schedules", "show", "season", "--json"]);
        let keys: Vec<&str> =
            shown["next"].as_array().expect("a list").iter().filter_map(|n| n["key"].as_str()).collect();
        assert_eq!(keys, ["E1", "E2", "E3", "E4", "E5"], "five");
        let names: Vec<&str> =
            shown["occurrences"].as_array().expect("a list").iter().filter_map(|n| n["name"].as_str()).collect();
        assert_eq!(names, ["E2", "E1"], "the latest first");
        assert_eq!(shown["occurrences"][0]["people"], 1);
        assert_eq!((&shown["left_out"][0]["name"], &shown["left_out"][0]["reason"]), (&json!("E0"), &json!("missed")));
        assert!(shown["state"] == "active" && shown["problem"].is_null(), "{shown}");
        for (lang, next, prepared, left_out) in [
            ("en", "by the events of season.csv; next: E1 (", "prepared: E2 on ", "nothing was sent for E0 ("),
            ("zh", "按活动表 season.csv，下次：E1（", "已准备：E2，1 人", "未发送：E0（"),
        ] {
            let (_, told, _) = site.run(&["schedules", "show", "season", "--lang", lang]);
            assert!(told.contains(next) && told.contains(prepared) && told.contains(left_out), "{told}");
        }
        let list = site.run(&["reminder", "list", "--schedule", "season", "--json"]).1;
        let first: Value = serde_json::from_str(list.lines().next().expect("one")).expect("JSON");
        assert_eq!(first["occurrence"], "E1");

        let explained = |openid: &str| -> Vec<String> {
            let (_, told, said) = site.run(&["reminder", "explain", "--schedule", "season", "--openid", openid]);
            assert!(!told.is_empty(), "{said}");
            told.lines().map(str::to_owned).collect()
        };
        let came = explained("o-came");
        assert!(came.iter().any(|line| line.contains("occurrence E1, 1 d before")), "what they have of E1: {came:?}");
        let e2 = came.iter().find(|line| line.starts_with("E2 ")).expect("and why nothing of E2");
        assert!(e2.contains("none of their consents was free"), "{e2}");
        let e3 = came.iter().find(|line| line.starts_with("E3 ")).expect("and of E3");
        assert!(e3.contains("nothing for anybody yet"), "{e3}");
        assert!(!came.iter().any(|line| line.starts_with("E1 ")), "{came:?}");
        let e0 = came.iter().find(|line| line.starts_with("E0 ")).expect("and of what was left out");
        assert!(e0.contains("was sent to nobody, because nobody prepared it"), "{e0}");
        let of_them = |openid| explained(openid).into_iter().filter(|line| !line.starts_with("E0 "));
        assert!(of_them("o-out").all(|line| line.contains("excludes them")));
        assert!(of_them("o-nobody").all(|line| line.contains("does not name them")));

        let export = json_of(&["user", "export", "--app", "coffee", "--openid", "o-out", "--json"]);
        let kept = json!([
            { "schedule": "season", "part": "audience", "row": 4, "cells": { "称呼": "of o-out" } },
            { "schedule": "season", "part": "exclude", "row": 2, "cells": { "称呼": "of o-out" } },
        ]);
        assert_eq!(export["kept_rows"], kept);
        assert_eq!(site.run(&["user", "forget", "--app", "coffee", "--openid", "o-out"]).0, 0);
        let export = json_of(&["user", "export", "--app", "coffee", "--openid", "o-out", "--json"]);
        assert_eq!(export["kept_rows"], json!([]));
    }
}

const DATA: &str = "[data]\nthing1 = \"茶会\"\ntime2 = \"{{@event | datetime}}\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_got_nothing_of_an_event_is_told_what_is_true_of_their_kind_of_schedule() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "timezone = \"Asia/Shanghai\"");
    let _program = site.serve_with_key();
    for openid in ["o-a", "o-out"] {
        let add = ["consent", "add", "--app", "coffee", "--openid", openid, "--template", "event-start"];
        assert_eq!(site.run(&add).0, 0);
    }
    let write = |name: &str, text: String| std::fs::write(site.path(name), text).expect("written");
    let head = |name: &str, rest: &str| {
        format!("name = \"{name}\"\napp = \"coffee\"\ntemplate = \"event-start\"\n{rest}\n{DATA}")
    };
    write("events.csv", "编号,时间\nE1,2030-03-01 10:00\nE2,2030-03-08 10:00\n".into());
    write("signups.csv", "openid,场次\no-a,E1\no-a,E2\no-late,E1\no-out,E1\no-a,\n".into());
    let season = "at = { events = { file = \"events.csv\", key = \"编号\", column = \"时间\" }, before = [\"1d\"] }
audience = { file = \"signups.csv\", event = \"场次\" }\nexclude = [\"o-out\"]";
    write("season.toml", head("season", season));
    let (code, _, said) = site.run(&["load", "season.toml", "--yes", "--lang", "en"]);
    assert_eq!(code, 3, "{said}");
    let (_, told, _) = site.run(&["schedules", "problems", "season", "--lang", "en"]);
    assert!(told.contains("key of the event that the row is for") && !told.contains("the key is blank"), "{told}");
    let explained = |schedule: &str, openid: &str| -> Vec<String> {
        let args = ["reminder", "explain", "--schedule", schedule, "--openid", openid, "--lang", "en"];
        let (_, told, said) = site.run(&args);
        assert!(!told.is_empty(), "{said}");
        told.lines().map(str::to_owned).collect()
    };
    let of = |lines: &[String], part: &str| -> String {
        lines.iter().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part} in {lines:?}")).clone()
    };
    // Nothing of it is prepared later, so nothing counts for a next one.
    let a = explained("season", "o-a");
    assert!(of(&a, "occurrence E1, 1 d before").starts_with("Not sent yet"), "{a:?}");
    assert!(of(&a, "E2 (2030-03-08 10:00:00+08:00)").contains("no right row of the file that was loaded on"), "{a:?}");
    let late = explained("season", "o-late");
    assert!(of(&late, "E1 (").contains("counts when the file is loaded again"), "{late:?}");
    assert!(a.iter().chain(&late).all(|line| !line.contains("the next one")), "{a:?} {late:?}");
    assert!(explained("season", "o-out").iter().all(|line| line.contains("excludes them")));

    // Of a class each week, which is days away whenever this runs, somebody is excluded later.
    let weekday = (SystemClock::shared().now() / DAY + 4 + 3) % 7;
    let weekly = |exclude: &str| {
        let rest = format!(
            "at = {{ cron = \"0 19 * * {weekday}\", before = [\"1h\"] }}\naudience = [\"o-a\", \"o-out\"]\n{exclude}"
        );
        write("weekly.toml", head("weekly", &rest));
        let (code, _, said) = site.run(&["load", "weekly.toml", "--yes"]);
        assert_eq!(code, 0, "{said}");
    };
    weekly("");
    let next = explained("weekly", "o-out");
    assert!(next.iter().any(|line| line.contains(" 19:00 (Beijing time)")), "by its wall time and its zone: {next:?}");
    weekly("exclude = [\"o-out\"]");
    let excluded = explained("weekly", "o-out");
    let is_told = |line: &String| line.contains("excludes them") || line.contains("no right row for it any more");
    assert!(
        excluded.iter().all(is_told) && of(&excluded, "excludes them").contains("19:00 (Beijing time)"),
        "{excluded:?}"
    );
    assert!(explained("weekly", "o-nobody").iter().all(|line| line.contains("does not name them")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hinders_a_recurrence_is_told_of_by_schedules_stats_and_doctor() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let url = format!("sqlite:{}", site.path("tixing.db").display());
    let apps = apps("http://127.0.0.1:1");
    let store = Store::open(&url, Durability::Full, &apps, SystemClock::shared()).await.expect("opens");
    let now = SystemClock::shared().now();
    let id = recurring(&store, "weekly", now).await;
    let late = row(&store, "weekly").await;
    assert_eq!(late.unprepared_for(now), None);
    assert_eq!(late.unprepared_for(now + 7), Some(7));
    let due = Due { schedule: id, next_at: now };
    let (nonce, _) = store.begin_prepare(due, "test").await.expect("answers").expect("it begins");
    assert_eq!(row(&store, "weekly").await.unprepared_for(now + 7), None, "somebody is at it");
    let problem = Some(r#"{"say":"no_consent"}"#.to_owned());
    let finish = FinishPrepare { next_at: Some(now + DAY), problem, ..FinishPrepare::default() };
    assert!(store.finish_prepare(id, &nonce, finish).await.expect("answers"));
    store.close().await;
    let program = site.serve_with_key();
    let (_, stats) = program.get("/v1/stats").await;
    assert_eq!(stats["unprepared_schedules"][0]["name"], "weekly", "{stats}");
    let (_, shown) = program.get("/v1/schedules/weekly").await;
    assert_eq!(shown["problem"], stats["unprepared_schedules"][0]["why"]);
    for (lang, words) in [("en", "the next occurrence of weekly can't be prepared"), ("zh", "weekly 的下一场无法准备")]
    {
        let (_, told, _) = site.run(&["doctor", "--lang", lang]);
        assert!(told.contains(words), "{told}");
    }
    let metrics = program.http.get(format!("{}/metrics", program.base)).send().await.expect("an answer");
    assert!(metrics.text().await.expect("text").contains("tixing_oldest_unprepared_seconds{app=\"coffee\"} 0"));
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn the_latest_occurrences_that_were_left_out_are_kept_with_their_first_reason() {
    on_both(async |TestStore { store, .. }| {
        let id = recurring(&store, "weekly", START).await;
        let other = recurring(&store, "other", START).await;
        let left_out = |from: i64, n: i64, why: LeftOut| -> Vec<LeftOutRow> {
            let one = |i| LeftOutRow { name: format!("d{i}"), event_at: START + i, why: why.clone() };
            (from..from + n).map(one).collect()
        };
        let cause = tixing::words::Message::text("no template");
        for (schedule, rows) in [
            (id, left_out(0, 40, LeftOut::Hindered { cause: cause.clone() })),
            (id, left_out(30, 45, LeftOut::Missed)),
            (other, left_out(0, 1, LeftOut::OnHold)),
        ] {
            let due = Due { schedule, next_at: START };
            let (nonce, _) = store.begin_prepare(due, "test").await.expect("answers").expect("it begins");
            let finish = FinishPrepare { next_at: Some(START), left_out: rows, ..FinishPrepare::default() };
            assert!(store.finish_prepare(schedule, &nonce, finish).await.expect("answers"));
        }
        let kept = store.left_out(id, 999).await.expect("answers");
        assert_eq!((kept.len(), &*kept[0].name, &*kept[49].name), (50, "d74", "d25"), "the latest first");
        let whys: Vec<&str> = kept[34..46].iter().map(|one| one.why.word()).collect();
        assert_eq!(whys, [["missed"; 1].as_slice(), &["hindered"; 11]].concat(), "d40 and those before");
        assert_eq!(store.left_out(id, 2).await.expect("answers").len(), 2);
        // One of them is prepared after all.
        let (nonce, _) =
            store.begin_prepare(Due { schedule: id, next_at: START }, "test").await.expect("answers").expect("begins");
        assert!(store.begin_occurrence(id, &nonce, occurrence("d74", START)).await.is_ok());
        assert_eq!(store.left_out(id, 1).await.expect("answers")[0].name, "d73");
        assert_eq!(store.left_out(other, 9).await.expect("answers")[0].why, LeftOut::OnHold);
    })
    .await;
}
