//! The look at the recurring schedules that is taken each second, beside the barest question that the same store can be asked.

use super::Bench;
use std::time::{Duration, Instant};
use tixing::{
    clock::SystemClock,
    daemon::Daemon,
    domain::DAY,
    store::{
        Store,
        schedules::{BeginLoad, Begun, FinishLoad, Recurs},
    },
};

/// Loads that share a commit.
const AT_ONCE: usize = 200;
/// How often each is asked.
const ASKED: u32 = 2_000;

async fn recurring(store: &Store, i: usize, next_at: i64) {
    let load = BeginLoad {
        name: format!("weekly-{i}"),
        app: "coffee".into(),
        template: super::TEMPLATE.into(),
        path: None,
        text: "x".repeat(1_000),
        digest: "d".into(),
        zone: "Asia/Shanghai".into(),
        quiet: None,
        revive: false,
        by: "bench".into(),
        forget_shift: false,
        in_folder: false,
    };
    let Begun::Yes { id, nonce } = store.begin_load(load).await.expect("answers") else { panic!("it does not begin") };
    let recurs = Recurs {
        kept_text: "x".repeat(1_000),
        edition: 1,
        next_at: Some(next_at),
        since: 0,
        file_since: 0,
        decided: None,
    };
    let finish = FinishLoad {
        left_out: Vec::new(),
        digest: "d".into(),
        first_at: None,
        last_at: None,
        report: "{}".into(),
        complete: true,
        recurs: Some(recurs),
        upcoming: Some("[]".into()),
    };
    assert!(store.finish_load(id, &nonce, finish).await.expect("answers"));
}

/// The middle one of many.
async fn median(mut ask: impl AsyncFnMut()) -> Duration {
    let mut took = Vec::new();
    for _ in 0..ASKED {
        let begun = Instant::now();
        ask().await;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    took[took.len() / 2]
}

/// Looks at so many schedules, none of which is due.
pub async fn run(bench: &Bench, n: usize) {
    let place = bench.place("look");
    let clock = SystemClock::shared();
    let daemon = Daemon::start(bench.config(&place, "http://127.0.0.1:1"), clock.clone()).await.expect("starts");
    let (store, now) = (daemon.api.store(), clock.now());
    for from in (0..n).step_by(AT_ONCE) {
        let some = (from..(from + AT_ONCE).min(n)).map(|i| recurring(store, i, now + DAY));
        futures_util::future::join_all(some).await;
    }
    let bare = median(async || assert!(store.answers().await)).await;
    let look = median(async || assert!(store.due_recurring(now, 100).await.expect("answers").is_empty())).await;
    println!(
        "look: {n} recurring schedules, {}: {:.0} µs, {:.2} of a bare SELECT 1 ({:.0} µs)",
        bench.database(),
        look.as_secs_f64() * 1e6,
        look.as_secs_f64() / bare.as_secs_f64(),
        bare.as_secs_f64() * 1e6,
    );
    daemon.stop().await.expect("stops");
}
