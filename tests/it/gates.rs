//! Gates of schedules, as the engine keeps them: turned by hand, on a manual clock.

use crate::{
    harness::{
        EVENT, accepted_reminder,
        rig::{Rig, at, on_both_rigs, plain},
    },
    in_use::{load, loaded, of_row, stored},
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::time::Instant;
use tixing::{
    config::App,
    domain::{
        HOUR, MINUTE, Millis, SECOND,
        reminder::{NewReminder, State},
        timing::QuietHours,
    },
    engine::Reach,
    store::{
        schedule_pause::{Paused, Resumed},
        schedules::BeginLoad,
    },
};

/// Reminders of a schedule, each for a user of its own who has accepted here and on the platform.
async fn of_schedule(rig: &Rig, schedule: i64, name: &str, n: u32, due: impl Fn(u32) -> Millis) {
    let news: Vec<NewReminder> = (1..=n).map(|i| of_row(schedule, i, &format!("{name}{i}"), due(i))).collect();
    news.iter().for_each(|new| rig.tap(&new.openid));
    stored(rig.store(), news).await;
}

/// One more of the app's, which comes from no schedule.
async fn plain_one(rig: &Rig, openid: &str, due: Millis) {
    rig.tap(openid);
    rig.store().insert(vec![accepted_reminder(openid, due)]).await.expect("inserted");
}

fn small(mut rig: Rig) -> Rig {
    rig.engine = rig.engine.with_reach(Reach { page: 4, buffer: 12 });
    rig
}

#[tokio::test]
async fn what_a_paused_schedule_has_waiting_keeps_nothing_behind_it_from_going() {
    on_both_rigs(plain, async |rig| {
        let mut rig = small(rig);
        let id = loaded(rig.store(), load("spring")).await;
        // Many more than memory holds, overdue and at one instant.
        of_schedule(&rig, id, "s", 60, |_| at(2)).await;
        plain_one(&rig, "other", at(2)).await;
        plain_one(&rig, "later", at(5)).await;
        assert_eq!(rig.store().pause_schedule("spring", "test").await.expect("answers"), Paused::Yes);
        rig.pass(10_000, 500).await;
        assert_eq!(rig.openids(), ["other", "later"]);
        let row = rig.store().schedule("spring").await.expect("answers").expect("there");
        assert_eq!(row.paused_at, Some(at(0)));
        assert_eq!(rig.store().overdue(1, at(10)).await.expect("answers"), (None, 0), "what is paused is not late");
        // The pause outlives the daemon.
        let mut rig = small(rig.restart().await);
        rig.pass(10_000, 500).await;
        assert_eq!(rig.openids().len(), 2);
        let (resumed, left) = rig.store().resume_schedule("spring", "test", at(20)).await.expect("answers");
        assert_eq!((resumed, left), (Paused::Yes, Resumed { expired: 0, overdue: 60, ahead: 0 }));
        rig.pass(10_000, 100).await;
        assert_eq!(rig.openids().len(), 62);
        rig
    })
    .await;
}

#[tokio::test]
async fn no_send_begins_after_a_pause_not_even_of_what_is_in_memory() {
    on_both_rigs(
        |app| app.rate = 10,
        async |mut rig| {
            let id = loaded(rig.store(), load("spring")).await;
            of_schedule(&rig, id, "s", 40, |_| at(2)).await;
            rig.pass(3_000, 100).await;
            let before = rig.messages().len();
            assert!((5..40).contains(&before), "it is in the middle of sending: {before}");
            rig.store().pause_schedule("spring", "test").await.expect("answers");
            rig.pass(5_000, 100).await;
            assert_eq!(rig.messages().len(), before);
            assert_eq!(
                rig.store().pause_schedule("spring", "test").await.expect("answers"),
                Paused::Already(Some(at(3)))
            );
            rig.store().resume_schedule("spring", "test", at(8)).await.expect("answers");
            rig.pass(20_000, 100).await;
            assert_eq!(rig.messages().len(), 40, "and no user gets two");
            rig
        },
    )
    .await;
}

#[tokio::test]
async fn deadlines_run_on_behind_a_closed_gate_and_the_resumption_tells_of_them() {
    on_both_rigs(plain, async |rig| {
        let mut rig = small(rig);
        let id = loaded(rig.store(), load("spring")).await;
        of_schedule(&rig, id, "s", 30, |i| at(2 + i64::from(i % 3) * 3_600)).await;
        rig.store().pause_schedule("spring", "test").await.expect("answers");
        rig.pass(HOUR + 2 * MINUTE, 20_000).await;
        let counts = rig.store().schedule_counts(id).await.expect("answers");
        assert_eq!(counts, [("expired/expired".to_owned(), 10), ("scheduled".to_owned(), 20)].into());
        let now = at(2) + HOUR + 2 * MINUTE;
        let (_, left) = rig.store().resume_schedule("spring", "test", now).await.expect("answers");
        assert_eq!(left, Resumed { expired: 10, overdue: 10, ahead: 10 });
        rig.pass(MINUTE, 1_000).await;
        assert_eq!(rig.messages().len(), 10);
        rig
    })
    .await;
}

/// The app is quiet from 00:01 to 00:03 of the tests' day.
fn quiet(app: &mut App) {
    let zone = chrono_tz::UTC;
    app.rules.quiet_hours = Some(QuietHours::parse("00:01-00:03", zone).expect("hours"));
}

#[tokio::test]
async fn i6_quiet_hours_of_a_schedule_stand_in_place_of_the_apps() {
    on_both_rigs(quiet, async |rig| {
        let mut rig = small(rig);
        let hours = |name: &str, quiet: &str| BeginLoad { quiet: Some(quiet.into()), zone: "UTC".into(), ..load(name) };
        let never = loaded(rig.store(), hours("never", "none")).await;
        let own = loaded(rig.store(), hours("own", "00:02-00:04")).await;
        let like_app = loaded(rig.store(), load("like-app")).await;
        for (id, name) in [(never, "n"), (own, "o"), (like_app, "a")] {
            // At 0:30, 1:30, 2:30, 3:30 and 4:30.
            of_schedule(&rig, id, name, 5, |i| at(i64::from(i) * 60 - 30)).await;
        }
        // A crowd that waits for the app's quiet hours to end.
        for i in 0..20 {
            plain_one(&rig, &format!("p{i}"), at(90)).await;
        }
        rig.pass(5 * MINUTE, 1_000).await;
        let when = |name: &str| -> Vec<Millis> {
            let all = rig.messages().into_iter().filter(|m| m.openid.starts_with(name));
            let mut all: Vec<Millis> = all.map(|m| (m.at - at(0)) / SECOND).collect();
            all.sort_unstable();
            all
        };
        assert_eq!(when("n"), [30, 90, 150, 210, 270]);
        assert_eq!(
            when("o"),
            [30, 90, 240, 240, 270],
            "it may go while the app is quiet, and waits when the app is not"
        );
        let like_app = when("a");
        assert!(like_app[1..3].iter().all(|at| (180..200).contains(at)), "{like_app:?}");
        assert_eq!([like_app[0], like_app[3], like_app[4]], [30, 210, 270]);
        assert_eq!(when("p").len(), 20);
        assert!(when("p").iter().all(|at| (180..200).contains(at)), "{:?}", when("p"));
        rig
    })
    .await;
}

#[tokio::test]
async fn a_crowd_that_was_moved_to_the_end_of_quiet_hours_is_not_late_there() {
    on_both_rigs(
        |app| app.rate = 1_000,
        async |mut rig| {
            let hours = BeginLoad { quiet: Some("00:00-00:01".into()), zone: "UTC".into(), ..load("own") };
            let id = loaded(rig.store(), hours).await;
            of_schedule(&rig, id, "s", 50, |_| at(60)).await;
            rig.pass(59_000, 1_000).await;
            rig.pass(1_500, 7).await;
            assert_eq!(rig.messages().len(), 50);
            assert!(
                rig.messages().iter().all(|m| m.at - at(60) < 200),
                "at the full rate: {:?}",
                rig.messages().last()
            );
            rig
        },
    )
    .await;
}

#[tokio::test]
async fn what_was_cut_off_by_a_crash_is_found_behind_a_closed_gate() {
    on_both_rigs(plain, async |rig| {
        let id = loaded(rig.store(), load("spring")).await;
        of_schedule(&rig, id, "s", 1, |_| at(2)).await;
        use tixing::store::port::Queue;
        let jobs = rig.store().prefetch(1, (i64::MIN, 0), at(2), 10).await.expect("answers");
        rig.store().mark(jobs).await.expect("answers");
        rig.store().pause_schedule("spring", "test").await.expect("answers");
        let mut rig = rig.restart().await;
        rig.pass(5_000, 500).await;
        assert_eq!(rig.states().await, [(State::InDoubt, Some("interrupted".into()))]);
        rig.pass(2 * HOUR, 30_000).await;
        assert_eq!(
            rig.states().await,
            [(State::Unconfirmed, Some("unconfirmed".into()))],
            "nothing stays in doubt for ever"
        );
        assert_eq!(rig.messages().len(), 0);
        rig
    })
    .await;
}

/// Paused reminders at the head of a lane; `TIXING_PAUSED` says how many else.
const PAUSED: i64 = 100_000;

#[tokio::test]
async fn a_hundred_thousand_paused_reminders_at_the_head_of_a_lane_hold_nobody_up_and_a_pause_writes_none_of_them() {
    let many: i64 = std::env::var("TIXING_PAUSED").ok().and_then(|n| n.parse().ok()).unwrap_or(PAUSED);
    on_both_rigs(plain, async |mut rig| {
        let id = loaded(rig.store(), load("spring")).await;
        let mut conn = AnyConnection::connect(&rig.test.url).await.expect("connects");
        let numbers = format!("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {many})");
        let (due, end) = (at(1), at(86_400));
        for sql in [
            "INSERT INTO recipient (app, openid) VALUES (1, 'o-many')".to_owned(),
            format!(
                "INSERT INTO reminder (id, lane, recipient, template, at, expires_at, at_fire, data, schedule, row_number, occasion)
                 {numbers} SELECT i, 1, p.id, t.id, {due}, {end}, 1, '{{}}', {id}, i, '' FROM c, recipient p, template t
                 WHERE t.app = 1 AND t.code = '{EVENT}'"
            ),
            format!("INSERT INTO due (lane, due_at, id, schedule) {numbers} SELECT 1, {due}, i, {id} FROM c"),
            format!("INSERT INTO schedule_tally (schedule, name, n) VALUES ({id}, 'scheduled', {many})"),
            format!("UPDATE tally SET n = n + {many} WHERE lane = 1 AND name = 'scheduled'"),
        ] {
            sqlx::query(AssertSqlSafe(sql)).execute(&mut conn).await.expect("filled");
        }
        let begun = Instant::now();
        rig.store().pause_schedule("spring", "test").await.expect("answers");
        eprintln!("the pause of {many} took {:?}", begun.elapsed());
        plain_one(&rig, "other", at(2)).await;
        let begun = Instant::now();
        rig.pass(3_000, 500).await;
        eprintln!("six turns behind them took {:?}", begun.elapsed());
        assert_eq!(rig.openids(), ["other"]);
        let begun = Instant::now();
        let row = rig.store().schedule("spring").await.expect("answers").expect("there");
        let counts = rig.store().schedule_counts(row.id).await.expect("answers");
        eprintln!("showing it took {:?}", begun.elapsed());
        assert_eq!(counts["scheduled"], many);
        let sql = "SELECT COUNT(*) AS n FROM due WHERE fence = 0 AND state = 0";
        let untouched: i64 = sqlx::query(sql).fetch_one(&mut conn).await.expect("answers").get("n");
        assert_eq!(untouched, many, "no row was written");
        let begun = Instant::now();
        let (_, left) = rig.store().resume_schedule("spring", "test", at(3)).await.expect("answers");
        eprintln!("the resumption took {:?}", begun.elapsed());
        assert_eq!(left, Resumed { expired: 0, overdue: many, ahead: 0 });
        rig.store().pause_schedule("spring", "test").await.expect("answers");
        rig
    })
    .await;
}

#[tokio::test]
async fn a_paused_app_sends_nothing_not_after_a_restart_either_and_its_deadlines_run_on() {
    on_both_rigs(plain, async |rig| {
        let mut rig = small(rig);
        let id = loaded(rig.store(), load("spring")).await;
        let free = loaded(rig.store(), BeginLoad { quiet: Some("none".into()), ..load("free") }).await;
        of_schedule(&rig, id, "s", 20, |i| at(2 + i64::from(i % 2) * 3_600)).await;
        of_schedule(&rig, free, "f", 5, |_| at(3_602)).await;
        plain_one(&rig, "other", at(3_602)).await;
        for _ in 0..2 {
            rig.store().set_app_pause("coffee", true, "test").await.expect("answers");
        }
        rig.pass(10_000, 500).await;
        assert_eq!(rig.store().overdue(1, at(10)).await.expect("answers"), (None, 0), "what is paused is not late");
        let mut rig = small(rig.restart().await);
        rig.pass(HOUR + 2 * MINUTE, 20_000).await;
        assert!(rig.messages().is_empty(), "{:?}", rig.openids());
        assert_eq!(rig.store().app_paused_since("coffee"), Some(at(0)), "to pause it again changes nothing");
        let counts = rig.store().schedule_counts(id).await.expect("answers");
        assert_eq!(counts, [("expired/expired".to_owned(), 10), ("scheduled".to_owned(), 10)].into());
        rig.store().set_app_pause("coffee", false, "test").await.expect("answers");
        rig.pass(MINUTE, 1_000).await;
        assert_eq!((rig.messages().len(), rig.store().app_paused_since("coffee")), (16, None));
        rig
    })
    .await;
}
