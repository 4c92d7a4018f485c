//! Codes that nobody has listed: somebody is told, and an operator can say what they mean.

use crate::harness::{
    accepted_reminder,
    rig::{at, on_both_rigs, plain},
};
use tixing::{
    config::App,
    domain::{outcome::Reaction, reminder::State},
};

const UNLISTED: i64 = 987_654;

#[tokio::test]
async fn an_unlisted_code_is_counted_and_told() {
    on_both_rigs(plain, async |mut rig| {
        rig.sandbox.world().faults.account_code = Some(UNLISTED);
        rig.tap("o1");
        rig.store().insert(vec![accepted_reminder("o1", at(10))]).await.expect("inserted");
        rig.engine.turn().await;
        rig.pass(10_500, 500).await;
        let text = rig.metrics.text();
        assert!(text.contains(r#"tixing_unlisted_codes_total{app="coffee"} 1"#), "{text}");
        let status = rig.engine.signals().status();
        assert_eq!(status.lanes["coffee"].unlisted, [(UNLISTED.to_string(), 1)]);
        rig
    })
    .await;
}

fn mapped(app: &mut App) {
    app.codes.insert(UNLISTED.to_string(), Reaction::Deny);
}

#[tokio::test]
async fn a_code_means_what_the_operator_says() {
    on_both_rigs(mapped, async |mut rig| {
        rig.sandbox.world().faults.account_code = Some(UNLISTED);
        rig.tap("o1");
        rig.store().insert(vec![accepted_reminder("o1", at(10))]).await.expect("inserted");
        rig.engine.turn().await;
        rig.pass(10_500, 500).await;
        assert_eq!(rig.states().await, [(State::Failed, Some(UNLISTED.to_string()))]);
        let balance = rig.store().balances("coffee", "o1").await.expect("answers")[crate::harness::EVENT];
        assert_eq!(balance.void, 1, "the platform knows no consent: {balance:?}");
        assert!(!rig.metrics.text().contains(r#"tixing_unlisted_codes_total{app="coffee"} 1"#));
        rig
    })
    .await;
}
