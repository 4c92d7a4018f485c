//! A crowd at one instant, and a platform that is busy, refuses or cannot be reached: nothing ends for that, nothing goes round in circles,
//! and everybody can see what holds it up.

use crate::harness::{
    EVENT, accept, accepted_reminder,
    rig::{Rig, at, on_both_rigs, plain},
};
use std::sync::atomic::Ordering;
use tixing::{
    clock::Clock,
    domain::{
        MINUTE, SECOND,
        reminder::{NewReminder, State},
    },
    sandbox::Faults,
};

/// Users who each have accepted once, with a reminder that is due at the second `due`.
async fn waiting(rig: &Rig, users: std::ops::Range<u32>, due: i64) {
    let mut news = Vec::new();
    for i in users {
        let openid = format!("o{i}");
        rig.tap(&openid);
        news.push(NewReminder { expires_at: at(due) + 120 * MINUTE, ..accepted_reminder(&openid, at(due)) });
    }
    for some in news.chunks(2_000) {
        rig.store().insert(some.to_vec()).await.expect("inserted");
    }
}

/// The second at which the clock stands.
fn now(rig: &Rig) -> i64 {
    (rig.clock().now() - at(0)) / SECOND
}

fn paused(rig: &Rig) -> Option<String> {
    rig.engine.signals().status().lanes["coffee"].pause.as_ref().map(|pause| pause.code.clone())
}

#[tokio::test]
async fn a_crowd_at_one_instant_goes_without_a_silence_though_it_is_larger_than_any_buffer() {
    // A turn sends what the rate allows in ten milliseconds: 240, four times a second.
    let crowd = |app: &mut tixing::config::App| (app.rate, app.concurrency) = (24_000, 1_000);
    on_both_rigs(crowd, async |mut rig| {
        // More than a buffer holds, and for longer than everything in reach is read again.
        waiting(&rig, 0..12_000, 5).await;
        rig.pass(5_000, 1_000).await;
        let mut sent = rig.sandbox.world().messages().len();
        for second in 1..=12 {
            rig.pass(1_000, 250).await;
            let now = rig.sandbox.world().messages().len();
            assert!(now >= sent + 900, "second {second}: {sent} were sent by its beginning, {now} by its end");
            sent = now;
        }
        rig.pass(1_000, 250).await;
        assert_eq!(rig.sandbox.world().messages().len(), 12_000);
        rig
    })
    .await;
}

#[tokio::test]
async fn a_crowd_that_became_due_just_before_the_start_is_read_to_its_end() {
    let crowd = |app: &mut tixing::config::App| (app.rate, app.concurrency) = (40_000, 1_000);
    on_both_rigs(crowd, async |mut rig| {
        waiting(&rig, 0..9_000, 5).await;
        rig.clock().advance(5_001);
        rig = rig.restart().await;
        rig.pass(6_000, 100).await;
        assert_eq!(rig.sandbox.world().messages().len(), 9_000, "all of the last instant of the backlog");
        rig
    })
    .await;
}

#[tokio::test]
async fn i5_a_busy_minute_ends_nothing_and_is_seen() {
    on_both_rigs(plain, async |mut rig| {
        for busy in [
            Faults { busy_rate: 1.0, ..Faults::default() },
            Faults { account_code: Some(1_700), ..Faults::default() },
            Faults { relay_status: Some(404), ..Faults::default() },
            Faults { relay_status: Some(429), retry_after: Some(7), ..Faults::default() },
        ] {
            let start = now(&rig) + 5;
            let before = rig.messages().len();
            waiting(&rig, 0..50, start).await;
            rig.sandbox.world().faults = busy.clone();
            rig.pass(60_000, 250).await;
            assert_eq!(rig.messages().len(), before, "{busy:?}");
            assert!(paused(&rig).is_some(), "{busy:?}: a pause shows what holds it up");
            rig.sandbox.world().faults = Faults::default();
            rig.pass(6 * MINUTE, SECOND).await;
            assert_eq!(rig.messages().len(), before + 50, "{busy:?}: {:?}", rig.states().await);
            assert_eq!(paused(&rig), None, "{busy:?}");
        }
        rig
    })
    .await;
}

#[tokio::test]
async fn a_user_to_whom_another_message_is_under_way_pauses_nobody_else_and_is_tried_until_the_deadline() {
    on_both_rigs(plain, async |mut rig| {
        waiting(&rig, 0..20, 5).await;
        rig.pass(4_000, 1_000).await;
        rig.sandbox.world().faults.account_code = Some(43_108);
        rig.pass(10 * MINUTE, SECOND).await;
        assert_eq!(paused(&rig), None, "it is about one user");
        assert!(rig.states().await.iter().all(|(state, _)| *state == State::Scheduled), "{:?}", rig.states().await);
        rig.sandbox.world().faults = Faults::default();
        rig.pass(6 * MINUTE, SECOND).await;
        assert_eq!(rig.messages().len(), 20);
        rig
    })
    .await;
}

#[tokio::test]
async fn a_window_of_sends_that_come_to_nothing_together_is_one_lesson_and_not_many() {
    let window = |app: &mut tixing::config::App| (app.rate, app.concurrency) = (24_000, 32);
    for is_down in [false, true] {
        on_both_rigs(window, async |mut rig| {
            waiting(&rig, 0..64, 5).await;
            rig.pass(4_500, 250).await;
            rig.sandbox.world().faults.busy_rate = 1.0;
            rig.wire.down.store(is_down, Ordering::SeqCst);
            rig.pass(1_000, 250).await;
            let pause = rig.engine.signals().status().lanes["coffee"].pause.clone().expect("it waits");
            assert!(pause.until <= at(5) + 5_500, "the first probe leaves after seconds: {pause:?}");
            rig.wire.down.store(false, Ordering::SeqCst);
            rig.sandbox.world().faults = Faults::default();
            rig.pass(MINUTE, 250).await;
            assert_eq!(rig.messages().len(), 64);
            rig
        })
        .await;
    }
}

#[tokio::test]
async fn neither_yes_nor_no_is_asked_again_until_the_deadline_only_where_no_second_message_can_come_of_it() {
    on_both_rigs(plain, async |mut rig| {
        waiting(&rig, 0..1, 5).await;
        // Another one has a second consent, which could pay for a second message.
        rig.tap("o-two");
        rig.store().record(vec![accept("coffee", "o-two", EVENT)]).await.expect("recorded");
        rig.tap("o-two");
        let two = NewReminder { expires_at: at(5) + 120 * MINUTE, ..accepted_reminder("o-two", at(5)) };
        rig.store().insert(vec![two]).await.expect("inserted");
        rig.pass(4_000, 1_000).await;
        rig.sandbox.world().faults.busy_rate = 1.0;
        rig.pass(60 * MINUTE, 5 * SECOND).await;
        let mut states = rig.states().await;
        states.sort_by_key(|(state, _)| state.word());
        let of = |state, code: &str| (state, Some(code.to_owned()));
        assert_eq!(states, [of(State::Failed, "gave_up"), of(State::Scheduled, "-1")]);
        let balance = rig.store().balances("coffee", "o-two").await.expect("answers")[EVENT];
        assert_eq!((balance.available, balance.used), (2, 0), "given up, and its consent is free again");
        rig.sandbox.world().faults = Faults::default();
        rig.pass(6 * MINUTE, SECOND).await;
        assert_eq!(rig.openids(), ["o0"]);
        rig
    })
    .await;
}

#[tokio::test]
async fn i1_no_consent_after_neither_yes_nor_no_is_unconfirmed_and_nobody_elses_consent_is_void() {
    on_both_rigs(plain, async |mut rig| {
        waiting(&rig, 0..1, 5).await;
        rig.pass(4_000, 1_000).await;
        rig.sandbox.world().faults.busy_rate = 1.0;
        rig.pass(3_000, 250).await;
        // That «busy» had taken it: the platform knows no consent any more.
        rig.sandbox.world().faults = Faults { account_code: Some(43_101), ..Faults::default() };
        rig.pass(2 * MINUTE, SECOND).await;
        assert_eq!(rig.states().await, [(State::Unconfirmed, Some("43101".to_owned()))]);
        let balance = rig.store().balances("coffee", "o0").await.expect("answers")[EVENT];
        assert_eq!((balance.used, balance.void), (1, 0));
        rig
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_refused_each_time_it_is_renewed_is_replayed_once_and_then_ever_more_rarely() {
    on_both_rigs(plain, async |mut rig| {
        waiting(&rig, 0..1, 5).await;
        rig.pass(4_000, 1_000).await;
        rig.sandbox.world().faults.tokens_refused = true;
        rig.pass(15_000, 10).await;
        let stored = rig.store().list(&all()).await.expect("answers").remove(0);
        let tries = rig.store().events(&stored).await.expect("answers").len();
        assert!((2..=6).contains(&tries), "{tries} sends in fifteen seconds");
        assert_eq!(paused(&rig).as_deref(), Some("40001"), "stats, doctor and metrics show it");
        rig.sandbox.world().faults = Faults::default();
        rig.pass(2 * MINUTE, SECOND).await;
        assert_eq!((rig.messages().len(), paused(&rig)), (1, None));
        rig
    })
    .await;
}

fn all() -> tixing::store::lists::Filter {
    tixing::store::lists::Filter { apps: vec!["coffee".into()], limit: 1_000, ..Default::default() }
}

#[tokio::test]
async fn a_renewal_that_is_refused_does_not_stop_a_token_that_still_serves() {
    on_both_rigs(plain, async |mut rig| {
        waiting(&rig, 0..1, 1).await;
        rig.pass(2_000, 250).await;
        assert_eq!(rig.messages().len(), 1);
        // Four minutes before it ends the platform gives out no new one.
        rig.pass(116 * MINUTE, 10 * SECOND).await;
        rig.sandbox.world().faults.ip_blocked = true;
        let due = now(&rig) + 2;
        waiting(&rig, 1..41, due).await;
        rig.pass(40_000, 250).await;
        assert_eq!((rig.messages().len(), paused(&rig)), (41, None));
        rig.pass(5 * MINUTE, SECOND).await;
        let due = now(&rig) + 2;
        waiting(&rig, 41..42, due).await;
        rig.pass(10_000, 250).await;
        assert_eq!(paused(&rig).as_deref(), Some("40164"), "now it has ended, and that is told");
        rig.sandbox.world().faults = Faults::default();
        rig.pass(11 * MINUTE, SECOND).await;
        assert_eq!(rig.messages().len(), 42);
        rig
    })
    .await;
}

#[tokio::test]
async fn a_template_whose_suspension_has_lapsed_alarms_nobody() {
    on_both_rigs(plain, async |mut rig| {
        waiting(&rig, 0..3, 5).await;
        rig.pass(4_000, 1_000).await;
        rig.sandbox.world().faults.account_code = Some(47_003);
        rig.pass(5_000, 250).await;
        let suspended = |rig: &Rig| rig.engine.signals().status().lanes["coffee"].suspended.len();
        assert_eq!(suspended(&rig), 1);
        rig.sandbox.world().faults = Faults::default();
        rig.pass(11 * MINUTE, SECOND).await;
        assert_eq!(suspended(&rig), 0, "nothing was sent since, and its time is over all the same");
        rig
    })
    .await;
}

#[tokio::test]
async fn i6_a_clock_that_is_set_back_sends_nothing_past_the_deadline() {
    on_both_rigs(plain, async |mut rig| {
        rig.wire.date.store(at(0), Ordering::SeqCst);
        let mut news = Vec::new();
        for i in 0..30 {
            rig.tap(&format!("o{i}"));
            news.push(NewReminder { expires_at: at(30), ..accepted_reminder(&format!("o{i}"), at(20)) });
        }
        rig.store().insert(news).await.expect("inserted");
        rig.pass(10_000, 500).await;
        rig.clock().step(-100 * SECOND);
        // By this clock they are due in two minutes, and by the platform's they are over by then.
        rig.pass(130_000, 500).await;
        assert_eq!(rig.messages(), []);
        let told = rig.engine.signals().status().clock_distrusted.expect("everybody can see it").to_string();
        assert!(told.contains("100 s behind"), "{told}");
        rig.clock().step(100 * SECOND);
        rig.pass(60_000, 500).await;
        assert!(rig.states().await.iter().all(|(state, _)| *state == State::Expired), "{:?}", rig.states().await);
        rig
    })
    .await;
}

#[tokio::test]
async fn i6_a_clock_that_is_behind_from_the_start_is_noticed_by_the_platforms() {
    on_both_rigs(plain, async |mut rig| {
        rig.wire.date.store(at(100), Ordering::SeqCst);
        rig.tap("o1");
        let late = NewReminder { expires_at: at(60), ..accepted_reminder("o1", at(20)) };
        rig.store().insert(vec![late]).await.expect("inserted");
        rig.pass(40_000, 500).await;
        assert_eq!(rig.messages(), [], "by the platform's clock its deadline passed before the daemon started");
        assert!(rig.engine.signals().status().clock_distrusted.is_some());
        rig
    })
    .await;
}

#[tokio::test]
async fn what_came_due_while_the_machine_slept_is_caught_up_with_and_not_burst_out() {
    let slow = |app: &mut tixing::config::App| app.rate = 10;
    on_both_rigs(slow, async |mut rig| {
        waiting(&rig, 0..40, 60).await;
        rig.pass(2_000, 500).await;
        // Both clocks go on.
        rig.clock().advance(10 * MINUTE);
        rig.engine.turn().await;
        rig.pass(2_000, 100).await;
        let sent = rig.messages().len();
        assert!((8..=13).contains(&sent), "half the rate: {sent} in two seconds");
        rig.pass(10_000, 100).await;
        assert_eq!(rig.messages().len(), 40);
        rig
    })
    .await;
}
