//! Numbers that change while somebody looks.

use super::{Browser, key, site};
use crate::harness::program::{Program, now};
use futures_util::StreamExt;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tixing::domain::{SECOND, timing::rfc3339};

const PATH: &str = "/console/schedules/spring/live";

async fn look(browser: &Browser) -> Response {
    let request = browser.http.get(format!("{}{PATH}", browser.base)).header("cookie", browser.cookies());
    request.send().await.expect("an answer")
}

/// Reads a stream until it says something; whether it did before it ended.
async fn says(stream: &mut Response, what: &str) -> bool {
    let mut text = String::new();
    while !text.contains(what) {
        let chunk = tokio::time::timeout(Duration::from_secs(30), stream.chunk()).await.expect("it goes on");
        let Ok(Some(chunk)) = chunk else { return false };
        text += &String::from_utf8_lossy(&chunk);
    }
    true
}

async fn with_a_schedule() -> (crate::harness::program::Site, Program) {
    let site = site("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let mut program = site.serve();
    program.key = site.key();
    let report = json!({ "app": "coffee", "openid": "o1", "results": { "event-start": "accept" } });
    assert_eq!(program.post("/v1/consents", &report).await.0, 200);
    let at = rfc3339(now() + 3_600 * SECOND);
    let file = format!(
        "name = \"spring\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = {at}\naudience = [\"o1\"]\n[data]\nthing1 = \"茶会\"\ntime2 = \"{{{{@event | datetime}}}}\"\n"
    );
    std::fs::write(site.path("spring.toml"), file).expect("written");
    assert_eq!(site.run(&["load", "spring.toml", "--yes"]).0, 0);
    (site, program)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_come_each_second_until_the_schedule_or_the_session_ends() {
    let (site, program) = with_a_schedule().await;
    let (first, second) =
        (key(&site, &["--name", "w", "--scope", "write"]), key(&site, &["--name", "v", "--scope", "read"]));
    let (mut browser, mut other) = (Browser::new(&program), Browser::new(&program));
    browser.sign_in("w", &first).await;
    other.sign_in("v", &second).await;
    let mut stream = look(&browser).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert!(says(&mut stream, "event: numbers").await);
    assert!(says(&mut stream, "每秒 0 条").await, "how many a second is known of two looks");
    let keys = site.run(&["key", "list", "--json"]).1;
    let mut keys = keys.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let id = keys.find(|key| key["name"] == "w").expect("its key")["id"].to_string();
    let revoked = Instant::now();
    assert_eq!(site.run(&["key", "revoke", &id]).0, 0, "{id}");
    while stream.chunk().await.is_ok_and(|chunk| chunk.is_some()) {}
    assert!(revoked.elapsed().as_secs() < 10, "the stream ends with the key");
    let mut stream = look(&other).await;
    assert!(says(&mut stream, "event: numbers").await);
    let (status, _) = program.call(Method::DELETE, "/v1/schedules/spring", None).await.expect("an answer");
    assert_eq!(status, 200);
    assert!(says(&mut stream, "event: last").await);
    assert!(stream.chunk().await.is_ok_and(|chunk| chunk.is_none()), "and then it ends");
    let mut nobody = Browser::new(&program);
    assert_eq!(nobody.get(PATH).await.status, 303);
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_looks_is_bounded_and_delays_no_send() {
    let (site, program) = with_a_schedule().await;
    let mut browser = Browser::new(&program);
    browser.sign_in("w", &key(&site, &["--name", "w", "--scope", "write"])).await;
    let crowd: Vec<Response> =
        futures_util::stream::iter(0..230).map(|_| look(&browser)).buffer_unordered(20).collect().await;
    let there = crowd.iter().filter(|answer| answer.status() == 200).count();
    let refused = crowd.iter().filter(|answer| answer.status() == 503).count();
    assert_eq!((there, refused), (200, 30));
    // None of them reads on; pages are answered all the same.
    assert_eq!(browser.get("/console/schedules/spring").await.status, 200);
    drop(crowd);
    let begun = Instant::now();
    while look(&browser).await.status() != 200 {
        assert!(begun.elapsed().as_secs() < 20, "whoever goes away leaves their place");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(program.terminate().0.success());
}
