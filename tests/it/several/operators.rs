//! What an operator or a caller says to one node counts at all.

use super::{
    rounds, seed,
    trio::{APPS, COFFEE, Planned, TEA, Trio, fresh_url, id, request, site},
    until,
};
use crate::harness::{machine, program::now};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tixing::domain::Millis;
use tokio::task::block_in_place;

/// How long what was under way when something was stopped may go on.
const UNDER_WAY: Millis = 1_000;
/// Reminders that are cancelled or moved at the last moment, in turn.
const CHANGED: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_a_pause_a_hold_and_a_cancellation_count_at_every_node_by_whichever_they_came() {
    let _turn = machine::half().await;
    for _ in 0..rounds() {
        let Some(trio) = Trio::start(seed("operators")).await else { return };
        let start = now() + 2_500;
        trio.insert(60, start, 20_000).await;
        until(start + 1_500).await;
        let paused = told(&trio, 1, "/v1/apps/coffee/pause", &json!({})).await;
        until(paused + 3_000).await;
        let resumes = now();
        let resumed = told(&trio, 2, "/v1/apps/coffee/resume", &json!({})).await;
        changed_elsewhere(&trio).await;
        templates_read_elsewhere(&trio).await;
        until(resumed + 2_000).await;
        // A folder in which no daemon runs.
        let aside = site(&trio.url, &trio.sandbox.url, "aside");
        block_in_place(|| assert_eq!(aside.run(&["restore"]).0, 0));
        let held = now();
        until(held + 3_000).await;
        let ready = trio.node(0).http.get(format!("{}/readyz", trio.node(0).base)).send().await.expect("an answer");
        assert_eq!(ready.status(), 503, "on hold");
        let releases = now();
        let (code, _, said) = block_in_place(|| trio.sites[2].run(&["release", "--send"]));
        assert_eq!(code, 0, "{said}");
        let verdict = trio.judge("operators", 60).await;
        let last = |app: usize, from: Millis, until: Millis| {
            let at = verdict.of_app(app).map(|arrived| arrived.at).filter(|at| (from..until).contains(at)).max();
            at.map_or(0, |at| at - from)
        };
        eprintln!(
            "operators: the last of coffee {} ms after its pause and {} ms after the hold, of tea {} ms after the hold",
            last(COFFEE, paused, resumes),
            last(COFFEE, held, releases),
            last(TEA, held, releases),
        );
        assert_eq!(verdict.between(COFFEE, paused + UNDER_WAY, resumes), 0, "it is paused");
        let goes_on = verdict.of_app(COFFEE).map(|arrived| arrived.at).find(|at| *at >= resumes).expect("it goes on");
        eprintln!("operators: the first of coffee {} ms after it was resumed", goes_on - resumes);
        assert!(goes_on <= resumed + 1_500 + verdict.stall(), "it is resumed");
        assert!(verdict.between(TEA, paused, resumes) > 60, "the other app goes on");
        for app in [COFFEE, TEA] {
            assert_eq!(verdict.between(app, held + UNDER_WAY, releases), 0, "the store is on hold");
            assert!(verdict.between(app, releases, Millis::MAX) > 60, "it is released");
        }
        assert!(verdict.missing.is_empty(), "{:?}", verdict.missing);
        // Beside the daemons the command line works by itself, where none listens.
        let (code, keys, said) = block_in_place(|| aside.run(&["key", "list"]));
        assert!(code == 0 && keys.contains("test"), "{keys} {said}");
    }
}

/// Tells a node something; answers when that was answered.
async fn told(trio: &Trio, i: usize, path: &str, body: &Value) -> Millis {
    let (status, answer) = trio.node(i).post(path, body).await;
    assert!(status.is_success(), "{path}: {answer}{}", trio.said());
    now()
}

/// Reminders of `tea`, whose lane the second node has, are cancelled and moved by the others just before they are due.
async fn changed_elsewhere(trio: &Trio) {
    for i in 0..CHANGED {
        let (openid, due) = (trio.user(TEA), now() + trio.random(0..400));
        let (status, created) = trio.node(0).post("/v1/reminders", &request(TEA, &openid, due)).await;
        assert_eq!(status, 201, "{created}");
        let mut planned = Planned { app: TEA, due, id: id(&created), cancelled: false };
        let path = format!("/v1/reminders/{}", planned.id);
        until(due - trio.random(-20..60)).await;
        if i % 2 == 0 {
            let (status, answer) = trio.node(2).call(Method::DELETE, &path, None).await.expect("an answer");
            planned.cancelled = status.is_success();
            assert!(planned.cancelled || answer["code"] == "not_scheduled", "{answer}");
        } else {
            let later = now() + 300;
            let change = json!({ "at": tixing::domain::timing::rfc3339(later) });
            let (status, answer) = trio.node(2).call(Method::PATCH, &path, Some(&change)).await.expect("an answer");
            assert!(status.is_success() || answer["code"] == "not_scheduled", "{answer}");
            if status.is_success() {
                planned.due = later;
            }
        }
        trio.plan.lock().expect("whole").insert(openid, planned);
    }
    let plan = trio.plan.lock().expect("whole");
    eprintln!(
        "operators: {} of {CHANGED} cancelled at the last moment",
        plan.values().filter(|planned| planned.cancelled).count()
    );
}

/// The platform is asked by whoever has the lane, and all know what it said.
async fn templates_read_elsewhere(trio: &Trio) {
    let listed = async |i: usize| {
        let (_, answer) = trio.node(i).get(&format!("/v1/templates?app={}", APPS[COFFEE].0)).await;
        answer["templates"][0]["listed_at"].as_str().map(str::to_owned)
    };
    let before = listed(2).await;
    let asked = now();
    told(trio, 2, "/v1/templates/refresh", &json!({ "app": "coffee" })).await;
    eprintln!("operators: templates read elsewhere after {} ms", now() - asked);
    let there = listed(2).await;
    assert!(there.is_some() && there != before, "{before:?} {there:?}");
    for i in 0..3 {
        trio.until(5, async || listed(i).await == there).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_do_not_share_a_socket_and_an_old_one_does_not_open_a_newer_store() {
    let _turn = machine::half().await;
    let Some(url) = fresh_url() else { return };
    let one = site(&url, "http://127.0.0.1:1", "a");
    let program = block_in_place(|| one.serve());
    let other = site(&url, "http://127.0.0.1:1", "b");
    let socket = one.path("tixing.sock").display().to_string();
    let tried = block_in_place(|| other.try_serve_with(&[("TIXING_SERVER__SOCKET", &socket)]));
    let (status, said) = tried.err().expect("it does not start");
    assert!(status.code() == Some(78) && said.contains("another daemon runs with the socket"), "{status} {said}");
    let again = block_in_place(|| one.try_serve()).err().expect("nor here");
    assert!(again.1.contains("another daemon runs with the socket"), "{}", again.1);
    let mut conn = PgConnection::connect(&url).await.expect("answers");
    let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, '\\x00', 0)";
    sqlx::query(sql).execute(&mut conn).await.expect("written");
    sqlx::query("UPDATE versions SET min_schema = 9999").execute(&mut conn).await.expect("written");
    let (status, said) = block_in_place(|| other.try_serve()).err().expect("it does not start");
    assert!(status.code() == Some(78) && said.contains("newer tixing"), "{status} {said}");
    assert!(block_in_place(|| program.terminate()).0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_commits_that_the_database_has_forgotten_put_the_store_on_hold_at_every_node() {
    let _turn = machine::half().await;
    let Some(url) = fresh_url() else { return };
    let [one, two] = ["a", "b"].map(|name| site(&url, "http://127.0.0.1:1", name));
    let programs = block_in_place(|| [one.serve(), two.serve()]);
    assert_eq!(block_in_place(|| one.run(&["key", "create", "--name", "before"])).0, 0);
    // As a standby has it that took over before it had received the last commit.
    let mut conn = PgConnection::connect(&url).await.expect("answers");
    let sql = "UPDATE chain SET n = n - 1 WHERE node = (SELECT id FROM node WHERE name = 'a')";
    assert_eq!(sqlx::query(sql).execute(&mut conn).await.expect("written").rows_affected(), 1);
    let (code, _, said) = block_in_place(|| one.run(&["key", "create", "--name", "after"]));
    // Whatever that daemon writes first finds it; if that was something else, this was written after it.
    let finds = programs[0].said().contains("the database has forgotten commits that it had confirmed");
    assert!(finds && (code == 0 || said.contains("nothing was kept")), "{code} {said} {}", programs[0].said());
    for (program, site) in programs.iter().zip([&one, &two]) {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let answer = program.http.get(format!("{}/readyz", program.base)).send().await.expect("an answer");
            let (status, text) = (answer.status().as_u16(), answer.text().await.expect("a text"));
            if status == 503 && text.contains("the store has lost what it wrote after") {
                break;
            }
            assert!(std::time::Instant::now() < until, "{}: {status} {text}", site.path("").display());
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    assert_eq!(block_in_place(|| two.run(&["release", "--assume-sent"])).0, 0);
    // The count goes on from what the database knows.
    assert_eq!(block_in_place(|| one.run(&["key", "create", "--name", "again"])).0, 0);
    for program in programs {
        assert!(block_in_place(|| program.terminate()).0.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_daemons_do_not_agree_about_is_in_their_logs_and_in_doctor() {
    let _turn = machine::half().await;
    let Some(url) = fresh_url() else { return };
    let [one, two] = ["a", "a"].map(|name| site(&url, "http://127.0.0.1:1", name));
    let file = two.path("tixing.toml");
    let text = std::fs::read_to_string(&file).expect("there");
    std::fs::write(&file, text.replacen("rate = 200", "rate = 100", 1)).expect("written");
    let programs = block_in_place(|| [one.serve(), two.serve()]);
    let sentences = ["2 daemons are called a", "a, a are configured differently for the app coffee"];
    for program in &programs {
        for sentence in sentences {
            program.logs(sentence).await;
        }
    }
    let (_, told, said) = block_in_place(|| one.run(&["doctor"]));
    assert!(sentences.iter().all(|sentence| told.contains(sentence)), "{told}{said}");
    for program in programs {
        assert!(block_in_place(|| program.terminate()).0.success());
    }
}
