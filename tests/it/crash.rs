//! The real program, killed at random instants and started again. The sandbox lives on in the test's process and is the judge.

use crate::harness::{
    EVENT, databases, fresh_url,
    program::{Program, SandboxServer, Site, body},
};
use futures_util::StreamExt;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::HashMap, time::Duration};
use tixing::trip::POINTS;

/// Kills on each database in the ordinary run; `TIXING_KILLS` says how many else.
const KILLS: usize = 50;
const APPID: &str = "wx0123456789abcdef";

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
    let kills = std::env::var("TIXING_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    for kill in 0..kills {
        let lives = Duration::from_millis(rng.random_range(5..180));
        let until = tokio::time::Instant::now() + lives;
        while tokio::time::Instant::now() < until {
            // Several callers at once; each user is reminded once, within moments.
            let mut calls = Vec::new();
            for _ in 0..8 {
                user += 1;
                let openid = format!("o{user}");
                sandbox.sandbox.world().tap(APPID, &openid, EVENT, true);
                let mut body = body(&openid, rng.random_range(-20..120));
                body["key"] = openid.clone().into();
                body["data"]["thing1"] = openid.clone().into();
                calls.push((openid, body));
            }
            let asked = calls.iter().map(|(_, body)| program.call(Method::POST, "/v1/reminders", Some(body)));
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

    all_is_well(database, &program, &sandbox, &taken, kills).await;
    assert!(program.terminate().0.success());
}

/// Once the faults stop, everything ends, and what was answered, stored and received agrees. `taken`: openid → id, answered 2xx.
async fn all_is_well(
    database: &str,
    program: &Program,
    sandbox: &SandboxServer,
    taken: &HashMap<String, String>,
    kills: usize,
) {
    let ended = |stats: &Value| {
        let n = &stats["apps"][0]["reminders"];
        n["scheduled"] == 0 && n["sending"] == 0 && n["in_doubt"] == 0
    };
    let stats = program.wait("/v1/stats?app=coffee", 60, ended).await;
    let count = |what: &str, name: &str| stats["apps"][0][what][name].as_u64().expect("a number");
    let (sent, unconfirmed) = (count("reminders", "sent"), count("reminders", "unconfirmed"));
    eprintln!("{database}: {} taken, {sent} sent, {unconfirmed} unconfirmed after {kills} kills", taken.len());
    let mut received: HashMap<String, usize> = HashMap::new();
    for message in sandbox.sandbox.world().messages() {
        *received.entry(message.openid.clone()).or_default() += 1;
    }
    let twice: Vec<_> = received.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "{database}: I2, sent twice: {twice:?}");
    let mut doubtful = 0;
    for (openid, id) in taken {
        let (status, reminder) = program.get(&format!("/v1/reminders/{id}")).await;
        assert_eq!(status, 200, "{database}: I3, {id} was answered 2xx and is gone");
        match reminder["state"].as_str() {
            Some("sent") => assert_eq!(received.get(openid), Some(&1), "{database}: {reminder}"),
            Some("unconfirmed") => doubtful += 1,
            Some("cancelled") => assert_eq!(received.get(openid), None, "{database}: {reminder}"),
            other => panic!("{database}: I5, ends as {other:?}: {reminder}"),
        }
    }
    assert!(doubtful <= kills * 16, "{database}: I7, at most the window is in doubt for each kill: {doubtful}");
    assert_eq!((count("consents", "held"), count("consents", "void")), (0, 0), "{database}: I4 {stats}");
    assert_eq!(count("consents", "used"), sent + unconfirmed, "{database}: I4, each end spent one consent");
    assert!(sent > 0, "something happened");
}

/// Every point at which the process can die, on each database: before and after each commit, before the first byte and after the
/// answer, at the start and at the stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i3_i7_a_kill_at_any_named_point_loses_nothing_and_sends_nothing_twice() {
    for database in databases() {
        let dying = POINTS.iter().map(|point| dies_at(database, point));
        futures_util::stream::iter(dying).buffer_unordered(4).collect::<Vec<()>>().await;
    }
}

/// What a backend knows.
#[derive(Default)]
struct Story {
    /// openid → id, answered 2xx.
    taken: HashMap<String, String>,
    /// Reminders to be cancelled, as they were asked for.
    others: Vec<Value>,
    /// Ids whose cancellation was answered 2xx.
    cancelled: Vec<String>,
}

async fn dies_at(database: &str, point: &str) {
    let what = format!("{database}, {point}");
    let sandbox = SandboxServer::start(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let site = Site::new(&fresh_url(database, folder.path()), &sandbox.url, "rate = 2000\nconcurrency = 16");
    let n = match point.split('.').next() {
        Some("start" | "stop") => 1,
        // The first six calls ask each app's platform for a token, its quota and its templates.
        Some("send") => 8,
        _ => 2,
    };
    let trip = format!("{point}:{n}");
    let mut story = Story::default();
    let key = match site.try_serve_with(&[("TIXING_TRIP", &trip)]) {
        Err((status, said)) => {
            assert!(point.starts_with("start"), "{what}: ended at its start with {status}: {said}");
            None
        }
        Ok(mut program) => {
            program.key = site.key();
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            let mut user = 0;
            let enough = if point.starts_with("stop") { 40 } else { u32::MAX };
            while user < enough && !program.has_ended() {
                assert!(tokio::time::Instant::now() < deadline, "{what} is never met");
                user += 1;
                step(&program, &sandbox, user, &mut story).await;
            }
            let key = program.key.clone();
            if point.starts_with("stop") {
                assert!(!program.terminate().0.success(), "{what}: it dies on the way");
            }
            Some(key)
        }
    };
    let mut program = site.try_serve().unwrap_or_else(|(status, said)| panic!("{what}: starts again: {status} {said}"));
    program.key = key.unwrap_or_else(|| site.key());
    for user in 1_000..1_003 {
        step(&program, &sandbox, user, &mut story).await;
    }
    // Safe to repeat: what was answered before comes back, what was not is there now, and all of it can be cancelled, or was.
    for other in &story.others {
        let (status, answer) = program.post("/v1/reminders", other).await;
        if answer["code"] == "key_cancelled" {
            continue;
        }
        assert!(status.is_success(), "{what}: {answer}");
        let path = format!("/v1/reminders/{}", answer["id"].as_str().expect("an id"));
        let (status, answer) = program.call(Method::DELETE, &path, None).await.expect("an answer");
        assert!(status.is_success() || answer["code"] == "not_scheduled", "{what}: {answer}");
    }
    all_is_well(&what, &program, &sandbox, &story.taken, 1).await;
    for id in story.cancelled {
        let (_, reminder) = program.get(&format!("/v1/reminders/{id}")).await;
        assert_eq!(reminder["state"], "cancelled", "{what}: I3 {reminder}");
    }
    assert!(program.terminate().0.success(), "{what}");
}

/// A user's whole story, as far as the daemon lives to hear it: a report, a reminder, a change of it, and another that is cancelled.
async fn step(program: &Program, sandbox: &SandboxServer, user: u32, story: &mut Story) {
    let openid = format!("o{user}");
    let call = async |method: Method, path: &str, body: Option<&Value>| match program.call(method, path, body).await {
        Ok((status, answer)) if status.is_success() => Some(answer),
        _ => None,
    };
    sandbox.sandbox.world().tap(APPID, &openid, EVENT, true);
    let report = json!({ "app": "coffee", "openid": openid, "results": { EVENT: "accept" } });
    if call(Method::POST, "/v1/consents", Some(&report)).await.is_none() {
        return;
    }
    let mut reminder = body(&openid, 150);
    reminder.as_object_mut().expect("an object").remove("accepted");
    let Some(created) = call(Method::POST, "/v1/reminders", Some(&reminder)).await else { return };
    let id = created["id"].as_str().expect("an id").to_owned();
    story.taken.insert(openid.clone(), id.clone());
    call(Method::PATCH, &format!("/v1/reminders/{id}"), Some(&json!({ "page": "pages/other" }))).await;
    // Another user's, for a day ahead, so that nothing is sent before it is cancelled.
    let other = format!("{openid}-other");
    sandbox.sandbox.world().tap(APPID, &other, EVENT, true);
    let mut reminder = body(&other, 86_400_000);
    reminder["key"] = other.into();
    story.others.push(reminder.clone());
    let Some(created) = call(Method::POST, "/v1/reminders", Some(&reminder)).await else { return };
    let id = created["id"].as_str().expect("an id").to_owned();
    if call(Method::DELETE, &format!("/v1/reminders/{id}"), None).await.is_some() {
        story.cancelled.push(id);
    }
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
            sandbox.sandbox.world().tap(APPID, &format!("o{i}"), EVENT, true);
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
