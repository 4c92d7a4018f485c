//! The real program, killed at random instants and started again. The sandbox lives on in the test's process and is the judge.

use crate::harness::{
    databases, fresh_url,
    program::{SandboxServer, Site, body},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use std::{collections::HashMap, time::Duration};

/// Kills on each database.
const KILLS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i3_i7_fifty_kills_lose_nothing_and_send_nothing_twice() {
    let seed: u64 = std::env::var("TIXING_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("TIXING_SEED={seed} replays the instants of the kills");
    for database in databases() {
        killed_again_and_again(database, seed).await;
    }
}

async fn killed_again_and_again(database: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let sandbox = SandboxServer::start(seed).await;
    sandbox.sandbox.world().faults.latency_ms = 3;
    let folder = tempfile::tempdir().expect("a folder");
    let site = Site::new(
        &fresh_url(database, folder.path()),
        &sandbox.url,
        "rate = 2000\nconcurrency = 16\nexclusive = false",
    );
    let mut program = site.serve_with_key();
    let key = program.key.clone();
    let mut taken: HashMap<String, String> = HashMap::new(); // openid → id, answered 2xx
    let mut user = 0;
    for kill in 0..KILLS {
        let lives = Duration::from_millis(rng.random_range(5..180));
        let until = tokio::time::Instant::now() + lives;
        while tokio::time::Instant::now() < until {
            // Several callers at once; each user is reminded once, within moments.
            let mut calls = Vec::new();
            for _ in 0..8 {
                user += 1;
                let openid = format!("o{user}");
                sandbox.sandbox.world().tap("wx0123456789abcdef", &openid, crate::harness::EVENT, true);
                let mut body = body(&openid, rng.random_range(-20..120));
                body["key"] = openid.clone().into();
                body["data"]["thing1"] = openid.clone().into();
                calls.push((openid, body));
            }
            let asked = calls.iter().map(|(_, body)| program.call(reqwest::Method::POST, "/v1/reminders", Some(body)));
            let deadline = tokio::time::timeout_at(until, futures_util::future::join_all(asked)).await;
            for ((openid, _), answer) in calls.iter().zip(deadline.unwrap_or_default()) {
                if let Ok((status, answer)) = answer
                    && status.is_success()
                {
                    taken.insert(openid.clone(), answer["id"].as_str().expect("an id").to_owned());
                }
            }
        }
        program.kill();
        program = site.try_serve().unwrap_or_else(|(status, said)| panic!("start {kill} failed with {status}: {said}"));
        program.key.clone_from(&key);
    }

    // Once the faults stop, everything ends.
    let ended = |stats: &Value| {
        let n = &stats["apps"][0]["reminders"];
        n["scheduled"] == 0 && n["sending"] == 0 && n["in_doubt"] == 0
    };
    let stats = program.wait("/v1/stats?app=coffee", 60, ended).await;
    let (sent, unconfirmed) =
        (stats["apps"][0]["reminders"]["sent"].as_u64(), stats["apps"][0]["reminders"]["unconfirmed"].as_u64());
    eprintln!("{database}: {} taken, {sent:?} sent, {unconfirmed:?} unconfirmed after {KILLS} kills", taken.len());

    let mut received: HashMap<String, usize> = HashMap::new();
    for message in sandbox.sandbox.world().messages() {
        *received.entry(message.openid.clone()).or_default() += 1;
    }
    let twice: Vec<_> = received.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "{database}: I2, sent twice: {twice:?}");
    let mut doubtful = 0;
    for (openid, id) in &taken {
        let (status, reminder) = program.get(&format!("/v1/reminders/{id}")).await;
        assert_eq!(status, 200, "{database}: I3, {id} was answered 2xx and is gone");
        match reminder["state"].as_str() {
            Some("sent") => assert_eq!(received.get(openid), Some(&1), "{database}: {reminder}"),
            Some("unconfirmed") => doubtful += 1,
            other => panic!("{database}: I5, ends as {other:?}: {reminder}"),
        }
    }
    assert!(doubtful <= KILLS * 16, "{database}: I7, at most the window is in doubt for each kill: {doubtful}");
    let consents = &stats["apps"][0]["consents"];
    let count = |name: &str| consents[name].as_u64().expect("a number");
    assert_eq!((count("available"), count("held"), count("void")), (0, 0, 0), "{database}: I4 {consents}");
    assert_eq!(
        Some(count("used")),
        sent.zip(unconfirmed).map(|(s, u)| s + u),
        "{database}: I4, each end spent one consent"
    );
    assert!(!taken.is_empty() && sent > Some(0), "something happened");
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_an_orderly_stop_in_a_burst_leaves_nothing_in_doubt() {
    for database in databases() {
        let sandbox = SandboxServer::start(1).await;
        sandbox.sandbox.world().faults.latency_ms = 50;
        let folder = tempfile::tempdir().expect("a folder");
        let site = Site::new(&fresh_url(database, folder.path()), &sandbox.url, "rate = 2000\nconcurrency = 32");
        let program = site.serve_with_key();
        let mut lines = String::new();
        for i in 0..1_000 {
            sandbox.sandbox.world().tap("wx0123456789abcdef", &format!("o{i}"), crate::harness::EVENT, true);
            lines += &format!("{}\n", body(&format!("o{i}"), 700));
        }
        program.batch("/v1/reminders/batch", lines).await;
        let key = program.key.clone();
        program
            .wait("/v1/stats?app=coffee", 20, |stats| stats["apps"][0]["reminders"]["sent"].as_u64() > Some(100))
            .await;
        let (status, log) = program.terminate();
        assert!(status.success(), "{database}: {status} {log}");
        let received = sandbox.sandbox.world().messages().len();
        assert!(received < 1_000, "{database}: it stopped in the middle");
        let mut program = site.serve();
        program.key = key;
        let (_, stats) = program.get("/v1/stats?app=coffee").await;
        assert_eq!(stats["apps"][0]["in_doubt"], 0, "{database}: {stats}");
        let all = |stats: &Value| stats["apps"][0]["reminders"]["sent"] == 1_000;
        program.wait("/v1/stats?app=coffee", 30, all).await;
        assert_eq!(sandbox.sandbox.world().messages().len(), 1_000, "{database}");
        assert!(program.terminate().0.success());
    }
}
