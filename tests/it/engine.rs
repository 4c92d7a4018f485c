//! What the engine does at each instant, turned by hand: no sleeping, the sandbox judges.

use crate::harness::{
    EVENT, accept, accepted_reminder, reminder,
    rig::{at, on_both_rigs, plain},
};
use std::sync::atomic::Ordering;
use tixing::{
    domain::{
        draft::Change,
        reminder::{Claim, NewReminder, State},
        timing::QuietHours,
    },
    sandbox::Faults,
    store::port::Queue,
};

#[tokio::test]
async fn i6_a_reminder_goes_out_at_its_instant_and_its_consent_is_used() {
    on_both_rigs(plain, async |mut rig| {
        rig.tap("o1");
        rig.store().insert(vec![accepted_reminder("o1", at(10))]).await.expect("inserted");
        rig.engine.turn().await;
        rig.pass(9_999, 333).await;
        assert_eq!(rig.messages(), [], "not early");
        rig.pass(10, 1).await;
        let messages = rig.messages();
        assert_eq!(messages.len(), 1);
        assert!((0..12).contains(&(messages[0].at - at(10))), "{messages:?}");
        assert_eq!(messages[0].data["thing1"], "周三读书会");
        assert_eq!(rig.states().await, [(State::Sent, None)]);
        assert_eq!(rig.store().balances("coffee", "o1").await.expect("answers")[EVENT].used, 1);
        assert!(
            rig.metrics.text().contains(r#"tixing_sends_total{app="coffee",what="accepted"} 1"#),
            "{}",
            rig.metrics.text()
        );
        rig
    })
    .await;
}

#[tokio::test]
async fn every_answer_of_the_platform_settles_the_reminder_with_a_reason() {
    // (what goes wrong, how it looks after a minute, how often the user got it)
    let table: [(&str, Faults, State, Option<&str>, usize); 9] = [
        ("busy", Faults { busy_rate: 1.0, ..Faults::default() }, State::Scheduled, Some("-1"), 0),
        (
            "reset before",
            Faults { reset_before_rate: 1.0, ..Faults::default() },
            State::Unconfirmed,
            Some("unconfirmed"),
            0,
        ),
        (
            "reset after",
            Faults { reset_after_rate: 1.0, ..Faults::default() },
            State::Unconfirmed,
            Some("unconfirmed"),
            1,
        ),
        ("html", Faults { garbage_rate: 1.0, ..Faults::default() }, State::Unconfirmed, Some("unconfirmed"), 1),
        (
            "half a json",
            Faults { half_json_rate: 1.0, ..Faults::default() },
            State::Unconfirmed,
            Some("unconfirmed"),
            1,
        ),
        ("a gateway", Faults { gateway_rate: 1.0, ..Faults::default() }, State::Unconfirmed, Some("unconfirmed"), 0),
        ("a redirect", Faults { redirect_rate: 1.0, ..Faults::default() }, State::Scheduled, Some("http_redirect"), 0),
        ("no quota", Faults { quota_left: Some(0), ..Faults::default() }, State::Scheduled, Some("45009"), 0),
        ("a revoked token", Faults { token_revoked: true, ..Faults::default() }, State::Sent, None, 1),
    ];
    for (what, faults, state, code, received) in table {
        on_both_rigs(plain, async |mut rig| {
            rig.tap("o1");
            rig.store().insert(vec![accepted_reminder("o1", at(1))]).await.expect("inserted");
            rig.engine.turn().await;
            rig.sandbox.world().faults = faults.clone();
            rig.pass(30_000, 500).await;
            assert_eq!(rig.states().await, [(state, code.map(str::to_owned))], "{what}");
            assert_eq!(rig.messages().len(), received, "{what}");
            rig
        })
        .await;
    }
}

#[tokio::test]
async fn i5_when_the_trouble_ends_what_waited_goes_out() {
    let troubles = [
        Faults { busy_rate: 1.0, ..Faults::default() },
        Faults { ip_blocked: true, token_revoked: true, ..Faults::default() },
        Faults { redirect_rate: 1.0, ..Faults::default() },
    ];
    for trouble in troubles {
        on_both_rigs(plain, async |mut rig| {
            for i in 0..5 {
                rig.tap(&format!("o{i}"));
                rig.store().insert(vec![accepted_reminder(&format!("o{i}"), at(1))]).await.expect("inserted");
            }
            rig.sandbox.world().faults = trouble.clone();
            rig.pass(10_000, 500).await;
            assert_eq!(rig.messages().len(), 0, "{trouble:?}");
            rig.sandbox.world().faults = Faults::default();
            rig.pass(900_000, 5_000).await;
            assert_eq!(rig.messages().len(), 5, "{trouble:?}");
            rig
        })
        .await;
    }
}

#[tokio::test]
async fn no_connection_burns_nothing_and_is_probed_by_one() {
    on_both_rigs(plain, async |mut rig| {
        for i in 0..50 {
            rig.tap(&format!("o{i}"));
            rig.store().insert(vec![accepted_reminder(&format!("o{i}"), at(5))]).await.expect("inserted");
        }
        rig.pass(4_000, 1_000).await;
        rig.wire.down.store(true, Ordering::SeqCst);
        rig.pass(20_000, 250).await;
        let (pause, waiting) = (rig.engine.signals().status().lanes["coffee"].pause.clone(), rig.states().await);
        assert_eq!(pause.expect("paused").code, "not_sent");
        assert!(waiting.iter().all(|(state, _)| *state == State::Scheduled), "{waiting:?}");
        rig.wire.down.store(false, Ordering::SeqCst);
        rig.pass(120_000, 1_000).await;
        assert_eq!(rig.messages().len(), 50);
        rig
    })
    .await;
}

#[tokio::test]
async fn i6_a_deadline_that_passes_in_trouble_ends_the_reminder_and_frees_its_consent() {
    on_both_rigs(plain, async |mut rig| {
        rig.tap("o1");
        let short = NewReminder { expires_at: at(60), ..accepted_reminder("o1", at(1)) };
        rig.store().insert(vec![short]).await.expect("inserted");
        rig.wire.down.store(true, Ordering::SeqCst);
        rig.pass(58_000, 500).await;
        assert_eq!(rig.states().await[0].0, State::Scheduled);
        rig.wire.down.store(false, Ordering::SeqCst);
        rig.clock().advance(2_000);
        rig.engine.turn().await;
        rig.pass(40_000, 500).await;
        assert_eq!(rig.states().await, [(State::Expired, Some("expired".into()))]);
        assert_eq!(rig.store().balances("coffee", "o1").await.expect("answers")[EVENT].available, 1);
        assert_eq!(rig.messages(), []);
        rig
    })
    .await;
}

#[tokio::test]
async fn i6_nothing_goes_in_quiet_hours_until_they_end() {
    let quiet = |app: &mut tixing::config::App| {
        // 08:00 in Shanghai is where the clock starts.
        app.rules.quiet_hours = Some(QuietHours::parse("07:00-08:01", chrono_tz::Asia::Shanghai).expect("a span"));
    };
    on_both_rigs(quiet, async |mut rig| {
        rig.tap("o1");
        rig.store().insert(vec![accepted_reminder("o1", at(1))]).await.expect("inserted");
        rig.pass(59_000, 1_000).await;
        assert_eq!(rig.messages(), []);
        rig.pass(2_000, 1_000).await;
        assert_eq!(rig.messages().len(), 1);
        rig
    })
    .await;
}

#[tokio::test]
async fn a_fault_of_ours_over_one_message_stops_no_other() {
    on_both_rigs(plain, async |mut rig| {
        for i in 0..5 {
            rig.tap(&format!("o{i}"));
            rig.store().insert(vec![accepted_reminder(&format!("o{i}"), at(1))]).await.expect("inserted");
        }
        *rig.wire.stumbles_over.lock().expect("whole") = Some("\"o3\"".into());
        rig.engine.turn().await;
        rig.pass(30_000, 500).await;
        assert_eq!(rig.openids(), ["o0", "o1", "o2", "o4"]);
        assert_eq!(rig.states().await.iter().filter(|(state, _)| *state == State::Unconfirmed).count(), 1);
        rig
    })
    .await;
}

#[tokio::test]
async fn one_send_at_a_time_for_a_user_and_none_is_lost() {
    on_both_rigs(plain, async |mut rig| {
        for _ in 0..6 {
            rig.tap("o1");
            rig.store().insert(vec![accepted_reminder("o1", at(1))]).await.expect("inserted");
        }
        rig.pass(5_000, 100).await;
        assert_eq!(rig.openids(), ["o1"; 6]);
        assert!(rig.metrics.text().contains("what=\"43108\"} 0"), "WeChat would have refused concurrent sends");
        rig
    })
    .await;
}

#[tokio::test]
async fn the_rate_is_kept() {
    on_both_rigs(
        |app| app.rate = 10,
        async |mut rig| {
            for i in 0..60 {
                rig.tap(&format!("o{i}"));
                rig.store().insert(vec![accepted_reminder(&format!("o{i}"), at(1))]).await.expect("inserted");
            }
            rig.pass(3_000, 50).await;
            let after_two_seconds = rig.messages().len();
            assert!((19..=22).contains(&after_two_seconds), "{after_two_seconds}");
            rig.pass(5_000, 50).await;
            assert_eq!(rig.messages().len(), 60);
            rig
        },
    )
    .await;
}

#[tokio::test]
async fn a_change_or_a_cancellation_at_the_last_moment_counts() {
    on_both_rigs(plain, async |mut rig| {
        for openid in ["o1", "o2", "o3"] {
            rig.tap(openid);
            rig.store().insert(vec![accepted_reminder(openid, at(3))]).await.expect("inserted");
        }
        rig.pass(2_000, 500).await; // All are in the engine's memory now.
        let ids: Vec<_> = {
            let filter = tixing::store::lists::Filter { apps: vec!["coffee".into()], limit: 9, ..Default::default() };
            rig.store().list(&filter).await.expect("answers").iter().map(|s| s.due.id).collect()
        };
        rig.store().cancel(ids[0]).await.expect("answers");
        let data = Some(r#"{"thing1":"改期","time2":"10:00"}"#.to_owned());
        rig.store().change(ids[1], Change { data, ..Change::default() }).await.expect("answers");
        rig.store().change(ids[2], Change { at: Some((at(20), None)), ..Change::default() }).await.expect("answers");
        rig.pass(3_000, 500).await;
        let messages = rig.messages();
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert_eq!(messages[0].data["thing1"], "改期");
        rig.pass(16_000, 500).await;
        assert_eq!(rig.messages().len(), 2);
        rig
    })
    .await;
}

#[tokio::test]
async fn i1_at_the_instant_without_a_consent_it_ends_and_says_so() {
    on_both_rigs(plain, async |mut rig| {
        let at_fire = |openid: &str| NewReminder { claim: Claim::AtFire, ..reminder(openid, at(2)) };
        rig.store().insert(vec![at_fire("o1"), at_fire("o2")]).await.expect("inserted");
        rig.tap("o1");
        rig.store().record(vec![accept("coffee", "o1", EVENT)]).await.expect("recorded");
        rig.pass(5_000, 500).await;
        let mut states = rig.states().await;
        states.sort_by_key(|(state, _)| state.word());
        assert_eq!(states, [(State::Failed, Some("no_consent".into())), (State::Sent, None)]);
        assert_eq!(rig.openids(), ["o1"]);
        rig
    })
    .await;
}

#[tokio::test]
async fn the_platform_has_the_last_word_on_consent() {
    on_both_rigs(plain, async |mut rig| {
        // tixing was told of three accepts; the platform knows none.
        for seconds in [1, 100, 200] {
            rig.store().insert(vec![accepted_reminder("o1", at(seconds))]).await.expect("inserted");
        }
        rig.pass(3_000, 500).await;
        assert_eq!(
            rig.states().await,
            [
                (State::Failed, Some("43101".into())),
                (State::Failed, Some("no_consent".into())),
                (State::Failed, Some("no_consent".into()))
            ]
        );
        rig
    })
    .await;
}

#[tokio::test]
async fn i2_what_a_crash_cuts_off_is_not_sent_again_unless_that_is_provably_safe() {
    // (exclusive, a second consent) → how it ends. Each time the platform had accepted the first request.
    let table = [(false, false, State::Unconfirmed), (true, true, State::Unconfirmed), (true, false, State::Sent)];
    for (exclusive, second, end) in table {
        on_both_rigs(|app| app.rules.exclusive = exclusive, async |mut rig| {
            rig.tap("o1");
            rig.store().insert(vec![accepted_reminder("o1", at(1))]).await.expect("inserted");
            if second {
                rig.tap("o1");
                rig.store().record(vec![accept("coffee", "o1", EVENT)]).await.expect("recorded");
            }
            rig.engine.turn().await;
            // The request arrives, its answer does not, and before the doubt is written down the daemon is gone.
            let job = rig.store().prefetch(1, (i64::MIN, 0), at(1), 1).await.expect("answers").remove(0);
            rig.store().mark(vec![job]).await.expect("answers");
            let world = rig.sandbox.clone();
            rig.clock().advance(1_000);
            world.world().faults = Faults { reset_after_rate: 1.0, ..Faults::default() };
            {
                let sandbox = rig.sandbox.clone();
                let token = {
                    let app = &rig.apps[0];
                    let body = serde_json::json!({"grant_type":"client_credential","appid":app.appid,"secret":"app-secret"}).to_string();
                    let answer = call(&sandbox, "/cgi-bin/stable_token", body).await.expect("a token");
                    answer["access_token"].as_str().expect("a token").to_owned()
                };
                let body = serde_json::json!({"touser":"o1","template_id":EVENT,
                    "data":{"thing1":{"value":"周三读书会"},"time2":{"value":"10:00"}}}).to_string();
                let path = format!("/cgi-bin/message/subscribe/send?access_token={token}");
                assert!(call(&sandbox, &path, body).await.is_none(), "no answer comes");
            }
            world.world().faults = Faults::default();
            let mut rig = rig.restart().await;
            rig.pass(30_000, 500).await;
            assert_eq!(rig.messages().len(), 1, "exclusive={exclusive} second={second}: never twice");
            assert_eq!(rig.states().await[0].0, end, "exclusive={exclusive} second={second}");
            rig
        })
        .await;
    }
}

async fn call(sandbox: &tixing::sandbox::Sandbox, path: &str, body: String) -> Option<serde_json::Value> {
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let request =
        axum::http::Request::post(path).header("content-length", body.len()).body(axum::body::Body::from(body));
    let response = sandbox.router().oneshot(request.expect("a request")).await.expect("infallible");
    let hung = response.extensions().get::<tixing::http::Hang>().is_some();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    if hung { None } else { serde_json::from_slice(&body).ok() }
}

#[tokio::test]
async fn after_downtime_the_expired_end_first_and_the_rest_is_caught_up_with_at_half_the_rate() {
    on_both_rigs(
        |app| app.rate = 20,
        async |rig| {
            for i in 0..40 {
                rig.tap(&format!("o{i}"));
                let deadline = if i < 10 { at(600) } else { at(7_200) };
                let new = NewReminder { expires_at: deadline, ..accepted_reminder(&format!("o{i}"), at(60 + i)) };
                rig.store().insert(vec![new]).await.expect("inserted");
            }
            rig.tap("fresh");
            rig.store().insert(vec![accepted_reminder("fresh", at(3_601))]).await.expect("inserted");
            rig.clock().advance(3_600_000);
            let mut rig = rig.restart().await;
            rig.engine.turn().await;
            rig.pass(2_000, 50).await;
            let received = rig.openids();
            assert!(
                (19..=24).contains(&received.len()),
                "half of 20 a second, and what is due now: {}",
                received.len()
            );
            assert!(received.contains(&"fresh".to_owned()), "what is due now does not wait behind the backlog");
            rig.pass(5_000, 50).await;
            assert_eq!(rig.messages().len(), 31);
            let states = rig.states().await;
            assert_eq!(states.iter().filter(|(state, _)| *state == State::Expired).count(), 10);
            rig
        },
    )
    .await;
}

#[tokio::test]
async fn a_long_backlog_keeps_its_pace_to_the_end() {
    let slow = |app: &mut tixing::config::App| app.rate = 4;
    on_both_rigs(slow, async |rig| {
        for i in 0..60 {
            rig.tap(&format!("o{i}"));
            rig.store().insert(vec![accepted_reminder(&format!("o{i}"), at(60))]).await.expect("inserted");
        }
        rig.clock().advance(600_000);
        let mut rig = rig.restart().await;
        rig.pass(25_000, 250).await;
        let received = rig.messages().len();
        assert!((45..=55).contains(&received), "two a second for 25 s: {received}");
        rig
    })
    .await;
}

#[tokio::test]
async fn five_thousand_at_the_very_same_instant_all_go_out() {
    let fast = |app: &mut tixing::config::App| (app.rate, app.concurrency) = (100_000, 512);
    on_both_rigs(fast, async |mut rig| {
        let mut news = Vec::new();
        for i in 0..5_000 {
            rig.tap(&format!("o{i}"));
            news.push(accepted_reminder(&format!("o{i}"), at(20)));
        }
        rig.store().insert(news).await.expect("inserted");
        // Read ahead, and read again because something may have changed.
        rig.pass(32_000, 500).await;
        assert_eq!(rig.messages().len(), 5_000);
        rig
    })
    .await;
}

#[tokio::test]
async fn i6_a_clock_that_jumps_forward_sends_nothing_until_it_is_believed() {
    on_both_rigs(plain, async |mut rig| {
        rig.tap("o1");
        rig.store().insert(vec![accepted_reminder("o1", at(3_600))]).await.expect("inserted");
        rig.engine.turn().await;
        rig.clock().step(3_600_000);
        rig.wire.date.store(at(1), Ordering::SeqCst);
        rig.pass(60_000, 1_000).await;
        assert_eq!(rig.messages(), [], "an hour too early");
        assert!(rig.engine.signals().status().clock_distrusted.is_some());
        rig.clock().step(-3_600_000);
        rig.pass(2_000, 1_000).await;
        assert_eq!(rig.engine.signals().status().clock_distrusted, None);
        // A machine that slept: the platform agrees that it is so late.
        rig.wire.date.store(at(3_660), Ordering::SeqCst);
        rig.clock().step(3_600_000);
        rig.pass(60_000, 1_000).await;
        assert_eq!(rig.messages().len(), 1);
        rig
    })
    .await;
}

#[tokio::test]
async fn i6_a_daemon_that_starts_with_a_wrong_clock_sends_nothing_too_early() {
    on_both_rigs(plain, async |rig| {
        rig.tap("o1");
        rig.store().insert(vec![accepted_reminder("o1", at(3_600))]).await.expect("inserted");
        rig.clock().step(3_601_000);
        rig.wire.date.store(at(1), Ordering::SeqCst);
        let mut rig = rig.restart().await;
        rig.pass(60_000, 1_000).await;
        assert_eq!(rig.messages(), [], "an hour too early");
        assert!(rig.engine.signals().status().clock_distrusted.is_some());
        rig.clock().step(-3_601_000);
        rig.pass(3_600_000, 5_000).await;
        assert_eq!(rig.messages().len(), 1);
        rig
    })
    .await;
}

#[tokio::test]
async fn a_daemon_that_starts_with_a_wrong_clock_declares_nothing_expired() {
    on_both_rigs(plain, async |rig| {
        rig.tap("o1");
        rig.store().insert(vec![accepted_reminder("o1", at(3_600))]).await.expect("inserted");
        rig.clock().step(86_400_000);
        rig.wire.down.store(true, Ordering::SeqCst);
        let mut rig = rig.restart().await;
        rig.pass(60_000, 1_000).await;
        assert_eq!(rig.states().await, [(State::Scheduled, None)], "nobody could say that the clock is wrong");
        rig.wire.down.store(false, Ordering::SeqCst);
        rig.wire.date.store(at(61), Ordering::SeqCst);
        rig.pass(60_000, 1_000).await;
        assert_eq!(rig.states().await, [(State::Scheduled, None)], "the platform says that it is");
        rig.clock().step(-86_400_000);
        rig.wire.date.store(0, Ordering::SeqCst);
        rig.pass(3_600_000, 5_000).await;
        assert_eq!(rig.states().await, [(State::Sent, None)]);
        rig
    })
    .await;
}

#[tokio::test]
async fn i8_a_clock_that_jumps_back_sends_nothing_twice() {
    on_both_rigs(plain, async |mut rig| {
        rig.tap("o1");
        rig.tap("o1");
        rig.store().insert(vec![accepted_reminder("o1", at(10))]).await.expect("inserted");
        rig.pass(11_000, 500).await;
        assert_eq!(rig.messages().len(), 1);
        rig.clock().step(-3_600_000);
        rig.pass(60_000, 1_000).await;
        let mut rig = rig.restart().await;
        rig.pass(7_200_000, 60_000).await;
        assert_eq!(rig.messages().len(), 1);
        assert_eq!(rig.states().await, [(State::Sent, None)]);
        rig
    })
    .await;
}

#[tokio::test]
async fn test_mode_reaches_testers_alone() {
    on_both_rigs(
        |app| app.rules.testers = Some(["o1".to_owned()].into()),
        async |mut rig| {
            for openid in ["o1", "o2"] {
                rig.tap(openid);
                rig.store().insert(vec![accepted_reminder(openid, at(1))]).await.expect("inserted");
            }
            rig.pass(3_000, 500).await;
            assert_eq!(rig.openids(), ["o1"]);
            assert_eq!(rig.store().balances("coffee", "o2").await.expect("answers")[EVENT].available, 1);
            rig
        },
    )
    .await;
}

#[tokio::test]
async fn i9_no_openid_reaches_a_reason_or_a_metric() {
    on_both_rigs(plain, async |mut rig| {
        rig.sandbox.world().faults.busy_rate = 0.5;
        rig.store().insert(vec![accepted_reminder("o-secret-openid", at(1))]).await.expect("inserted");
        rig.pass(60_000, 500).await;
        let said = format!("{:?} {}", rig.states().await, rig.metrics.text());
        assert!(!said.contains("o-secret-openid"), "{said}");
        rig
    })
    .await;
}

#[tokio::test]
async fn a_template_that_the_platform_keeps_refusing_is_suspended_and_one_probe_frees_it() {
    on_both_rigs(plain, async |mut rig| {
        for i in 0..8 {
            let openid = format!("o{i}");
            rig.tap(&openid);
            let new = NewReminder { expires_at: at(36_000), ..accepted_reminder(&openid, at(10 + i)) };
            rig.store().insert(vec![new]).await.expect("inserted");
        }
        rig.sandbox.world().faults = Faults { account_code: Some(47_003), ..Faults::default() };
        rig.engine.turn().await;
        rig.pass(30_000, 500).await;
        let count = |states: &[(State, Option<String>)], state, code: Option<&str>| {
            states.iter().filter(|s| s.0 == state && s.1.as_deref() == code).count()
        };
        let states = rig.states().await;
        assert_eq!(count(&states, State::Failed, Some("47003")), 3, "{states:?}");
        assert_eq!(count(&states, State::Scheduled, Some("template_held")), 5, "the rest is not burnt: {states:?}");
        let status = rig.engine.signals().status();
        let suspended = &status.lanes["coffee"].suspended;
        assert!(suspended.len() == 1 && suspended[0].code == "47003", "{suspended:?}");
        // The probe is refused, and the rest waits twice as long.
        rig.pass(700_000, 10_000).await;
        assert_eq!(count(&rig.states().await, State::Failed, Some("47003")), 4);
        rig.sandbox.world().faults = Faults::default();
        rig.pass(1_400_000, 10_000).await;
        assert_eq!(count(&rig.states().await, State::Sent, None), 4, "{:?}", rig.states().await);
        assert!(rig.engine.signals().status().lanes["coffee"].suspended.is_empty());
        rig
    })
    .await;
}

#[tokio::test]
async fn too_many_at_once_halves_the_rate_which_comes_back() {
    on_both_rigs(
        |app| app.rate = 100,
        async |mut rig| {
            let rate = |rig: &crate::harness::rig::Rig| rig.engine.signals().status().lanes["coffee"].rate;
            rig.tap("o1");
            rig.store().insert(vec![accepted_reminder("o1", at(10))]).await.expect("inserted");
            rig.sandbox.world().faults = Faults { minute_left: Some(0), ..Faults::default() };
            rig.engine.turn().await;
            rig.pass(12_000, 500).await;
            assert_eq!((rate(&rig), rig.messages().len()), (50, 0));
            rig.pass(62_000, 500).await;
            assert_eq!(rate(&rig), 25, "it complained again");
            rig.sandbox.world().faults = Faults::default();
            rig.pass(70_000, 500).await;
            assert_eq!(rig.messages().len(), 1);
            rig.pass(700_000, 5_000).await;
            assert_eq!(rate(&rig), 100);
            rig
        },
    )
    .await;
}

#[tokio::test]
async fn when_the_days_quota_is_used_up_all_wait_and_nothing_is_tried_until_the_platform_says_that_some_is_left() {
    on_both_rigs(plain, async |mut rig| {
        let pause = |rig: &crate::harness::rig::Rig| rig.engine.signals().status().lanes["coffee"].pause.clone();
        for i in 0..3 {
            let openid = format!("o{i}");
            rig.tap(&openid);
            let new = NewReminder { expires_at: at(36_000), ..accepted_reminder(&openid, at(10 + i)) };
            rig.store().insert(vec![new]).await.expect("inserted");
        }
        rig.sandbox.world().faults = Faults { quota_left: Some(1), ..Faults::default() };
        rig.engine.turn().await;
        rig.pass(15_000, 500).await;
        // The second is refused, and the third stays where it is.
        assert_eq!(rig.openids(), ["o0"]);
        let paused = pause(&rig).expect("paused");
        assert!(paused.code == "45009" && paused.until >= at(600), "{paused:?}");
        let tried = |states: &[(State, Option<String>)]| states.iter().filter(|state| state.1.is_some()).count();
        let states = rig.states().await;
        assert!(states.iter().skip(1).all(|(state, _)| *state == State::Scheduled), "{states:?}");
        assert_eq!(tried(&states[1..]), 1, "{states:?}");
        assert_eq!(rig.store().balances("coffee", "o1").await.expect("answers")[EVENT].held, 1, "it keeps its consent");

        // The pause goes on as often as the platform says that nothing is left, and no message is spent to find out.
        rig.pass(3_600_000, 10_000).await;
        assert_eq!((rig.openids().len(), tried(&rig.states().await[1..])), (1, 1));
        assert!(pause(&rig).is_some_and(|paused| paused.until > at(3_600)), "{:?}", pause(&rig));
        let asked = rig.engine.signals().status().lanes["coffee"].quota.expect("it was asked");
        assert!(asked.quota.left == 0 && asked.at > at(2_400), "{asked:?}");

        rig.sandbox.world().faults = Faults::default();
        rig.pass(1_300_000, 10_000).await;
        assert_eq!(rig.openids(), ["o0", "o1", "o2"], "{:?}", pause(&rig));
        assert!(pause(&rig).is_none());
        rig
    })
    .await;
}
