//! Two messages to one user, on a platform that wants them apart.

use crate::harness::{
    START, accepted_reminder,
    rig::{at, on_both_rigs},
};
use std::time::Duration;
use tixing::{
    config::App,
    platform::{Facts, wechat},
};

/// A platform that takes one message a second for each user.
static APART: Facts = Facts { apart: Some(1_000), ..wechat::FACTS };

fn apart(app: &mut App) {
    app.platform = &APART;
}

#[tokio::test]
async fn one_user_waits_and_holds_nobody_else_back() {
    on_both_rigs(apart, async |mut rig| {
        for openid in ["o1", "o1", "o1", "o2", "o3"] {
            rig.tap(openid);
            rig.store().insert(vec![accepted_reminder(openid, at(10))]).await.expect("inserted");
        }
        rig.engine.turn().await;
        rig.pass(10_050, 50).await;
        let mut openids = rig.openids();
        openids.sort();
        assert_eq!(openids, ["o1", "o2", "o3"], "each has one at once");
        rig.pass(850, 50).await;
        assert_eq!(rig.openids().len(), 3, "not before a second is over");
        rig.pass(3_000, 50).await;
        let times: Vec<i64> = rig.messages().iter().filter(|m| m.openid == "o1").map(|m| m.at - START).collect();
        assert_eq!(times.len(), 3, "{times:?}");
        for pair in times.windows(2) {
            assert!((1_000..1_300).contains(&(pair[1] - pair[0])), "{times:?}");
        }
        rig
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_nobody_wait_longer() {
    on_both_rigs(apart, async |mut rig| {
        for seconds in [10, 10] {
            rig.tap("o1");
            rig.store().insert(vec![accepted_reminder("o1", at(seconds))]).await.expect("inserted");
        }
        rig.engine.turn().await;
        rig.pass(10_500, 50).await;
        assert_eq!(rig.openids().len(), 1);
        // Back by three seconds: reckoned by the old clock, the user would wait until a second after the instant.
        rig.clock().step(-3_000);
        rig.pass(2_600, 50).await;
        assert_eq!(rig.openids().len(), 2, "the instant has come again, and the second is long over");
        rig
    })
    .await;
}

/// The engine sleeps until the first of those who wait may go, and does not spin.
#[tokio::test]
async fn the_engine_sleeps_until_the_first_of_them_may_go() {
    on_both_rigs(apart, async |mut rig| {
        for _ in 0..2 {
            rig.tap("o1");
            rig.store().insert(vec![accepted_reminder("o1", at(10))]).await.expect("inserted");
        }
        rig.tap("o2");
        rig.store().insert(vec![accepted_reminder("o2", at(11) - 700)]).await.expect("inserted");
        rig.engine.turn().await;
        rig.pass(10_000, 500).await;
        rig.pass(10, 10).await;
        assert_eq!(rig.openids(), ["o1"]);
        let next = rig.engine.sleeps();
        assert!(next > Duration::from_millis(200) && next <= Duration::from_millis(300), "until o2's: {next:?}");
        rig.pass(300, 10).await;
        assert_eq!(rig.openids(), ["o1", "o2"]);
        let next = rig.engine.sleeps();
        assert!(next > Duration::from_millis(500) && next <= Duration::from_millis(750), "until o1's: {next:?}");
        rig
    })
    .await;
}
