//! Everything that somebody may get wrong: a clear answer, nothing lost, nothing half done.

use crate::harness::{
    databases, fresh_url,
    program::{SandboxServer, Site, body, now},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tixing::domain::timing::rfc3339;

fn site() -> Site {
    Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "")
}

#[tokio::test]
async fn every_bad_field_is_refused_and_named() {
    let site = site();
    let program = site.serve_with_key();
    let good = body("o1", 60_000);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = good.clone();
        change(&mut body);
        body
    };
    let set = |pointer: &'static str, value: Value| {
        with(&|b| {
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            b.pointer_mut(parent).expect("there")[key] = value.clone();
        })
    };
    let without = |key: &'static str| with(&|b| drop(b.as_object_mut().expect("an object").remove(key)));
    let text = |n: usize| "字".repeat(n);
    let table: Vec<(Value, u16, &str, Option<&str>)> = vec![
        (set("/colour", json!("red")), 400, "bad_json", Some("/colour")),
        (with(&|b| b["a/b~c"] = json!(1)), 400, "bad_json", Some("/a~1b~0c")),
        (set("/openid", json!(7)), 400, "bad_json", Some("/openid")),
        (set("/data/thing1", json!(7)), 400, "bad_json", Some("/data/thing1")),
        (set("/consent", json!("maybe")), 400, "bad_json", Some("/consent")),
        (set("/accepted", json!("yes")), 400, "bad_json", Some("/accepted")),
        (without("openid"), 400, "bad_json", Some("/openid")),
        (without("at"), 400, "bad_json", Some("/at")),
        (set("/accepted", json!([])), 400, "bad_json", Some("/accepted")),
        (set("/accepted", json!([null, null, "cli"])), 400, "bad_json", Some("/accepted")),
        (set("/accepted", json!({"colour": "red"})), 400, "bad_json", Some("/accepted/colour")),
        (set("/accepted", json!({"ticket": ["form", "f1"]})), 400, "bad_json", Some("/accepted/ticket")),
        (set("/data", json!(["a", "b"])), 400, "bad_json", Some("/data")),
        (json!([]), 400, "bad_json", None),
        (json!(["coffee", "o1", "event-start", good["at"], good["data"]]), 400, "bad_json", None),
        (set("/app", json!("cofee")), 422, "unknown_app", Some("/app")),
        (set("/template", json!("event-strat")), 422, "unknown_template", Some("/template")),
        (set("/openid", json!("")), 422, "bad_value", Some("/openid")),
        (set("/openid", json!("o".repeat(129))), 422, "bad_value", Some("/openid")),
        (set("/openid", json!("o 1")), 422, "bad_value", Some("/openid")),
        (set("/data", json!({"thing1": "x"})), 422, "missing_field", Some("/data/time2")),
        (set("/data/thing9", json!("x")), 422, "unknown_field", Some("/data/thing9")),
        (set("/data/thing1", json!("")), 422, "bad_field", Some("/data/thing1")),
        (set("/data/thing1", json!(text(21))), 422, "bad_field", Some("/data/thing1")),
        (set("/data/thing1", json!("两行\n字")), 422, "bad_field", Some("/data/thing1")),
        (set("/data/thing1", json!("a\u{0}b")), 422, "bad_field", Some("/data/thing1")),
        (set("/data/time2", json!("soon")), 422, "bad_field", Some("/data/time2")),
        (set("/page", json!("")), 422, "bad_value", Some("/page")),
        (set("/page", json!("https://example.com")), 422, "bad_value", Some("/page")),
        (set("/page", json!("a\tb")), 422, "bad_value", Some("/page")),
        (set("/page", json!("p".repeat(1_025))), 422, "bad_value", Some("/page")),
        (set("/key", json!("k".repeat(129))), 422, "bad_value", Some("/key")),
        (set("/key", json!("a\u{7}")), 422, "bad_value", Some("/key")),
        (set("/lang", json!("de_DE")), 422, "bad_value", Some("/lang")),
        (set("/miniprogram_state", json!("beta")), 422, "bad_value", Some("/miniprogram_state")),
        (set("/at", json!("tomorrow")), 422, "bad_time", Some("/at")),
        (set("/at", json!("2027-03-01T10:00")), 422, "bad_time", Some("/at")),
        (set("/at", json!("9999-01-01T00:00:00Z")), 422, "bad_time", Some("/at")),
        (set("/at", json!("2020-01-01T00:00:00Z")), 422, "late", Some("/at")),
        (set("/expires_at", json!("2020-01-01T00:00:00Z")), 422, "bad_deadline", Some("/expires_at")),
        (set("/expires_at", json!("0s")), 422, "bad_deadline", Some("/expires_at")),
        (set("/expires_at", json!("2 hours")), 422, "bad_time", Some("/expires_at")),
        (set("/expires_at", json!("9999d")), 422, "bad_time", Some("/expires_at")),
        (set("/accepted", json!({"at": rfc3339(now() + 86_400_000)})), 422, "bad_time", Some("/accepted/at")),
        (set("/accepted", json!({"source": "s".repeat(65)})), 422, "bad_value", Some("/accepted/source")),
        (set("/accepted", json!(false)), 409, "no_consent", None),
    ];
    for (body, status, code, param) in table {
        let (got, answer) = program.post("/v1/reminders", &body).await;
        assert_eq!(
            (got.as_u16(), answer["code"].as_str(), answer["param"].as_str()),
            (status, Some(code), param),
            "{body} {answer}"
        );
        let members = ["type", "title", "status", "detail", "request_id"];
        assert!(members.iter().all(|m| !answer[m].is_null()), "{answer}");
        assert!(!answer["detail"].as_str().expect("a sentence").contains("ooooooooo"), "I9: {answer}");
    }
    for broken in ["{", "", "null", "{}{}", "{\"app\":\"coffee\"", "\u{feff}{}", "{\"app\":\"\\ud800\"}"] {
        let request = program.http.post(format!("{}/v1/reminders", program.base)).bearer_auth(&program.key);
        let response = request.header("content-type", "application/json").body(broken).send().await.expect("an answer");
        assert_eq!(response.status(), 400, "{broken}");
    }
    let (status, list) = program.get("/v1/reminders").await;
    assert_eq!((status, list["items"].as_array().map(Vec::len)), (StatusCode::OK, Some(0)), "nothing was kept");

    // In an app with a zone, a wall time in a daylight-saving gap moves forward and is told as it was written.
    let mut gap = body("o1", 0);
    gap["app"] = "tea".into();
    gap["at"] = "2027-03-28T02:30".into();
    let (status, answer) = program.post("/v1/reminders", &gap).await;
    assert_eq!((status.as_u16(), &answer["at"]), (201, &json!("2027-03-28T01:30:00.000Z")), "{answer}");
    assert_eq!(answer["local_at"], "2027-03-28T02:30:00[Europe/Berlin]");
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn what_is_not_a_good_request_is_answered_so() {
    let site = site();
    let program = site.serve_with_key();
    let url = |path: &str| format!("{}{path}", program.base);
    let big = "x".repeat(70_000);
    let post = program.http.post(url("/v1/reminders")).bearer_auth(&program.key);
    let table = [
        (program.http.get(url("/nowhere")), 404, "not_found"),
        (program.http.get(url("/v1/nowhere")).bearer_auth(&program.key), 404, "not_found"),
        (program.http.delete(url("/v1/stats")).bearer_auth(&program.key), 405, "method_not_allowed"),
        (
            post.try_clone().expect("no stream").header("content-type", "text/xml").body("<x/>"),
            415,
            "unsupported_media_type",
        ),
        (post.header("content-type", "application/json").body(big), 413, "too_large"),
        (program.http.get(url("/v1/reminders/r_0000000000000")).bearer_auth(&program.key), 404, "not_found"),
        (program.http.get(url("/v1/reminders/7")).bearer_auth(&program.key), 404, "not_found"),
        (program.http.get(url("/v1/reminders?limit=0")).bearer_auth(&program.key), 400, "bad_query"),
        (program.http.get(url("/v1/reminders?cursor=zzz")).bearer_auth(&program.key), 400, "bad_query"),
        (program.http.get(url("/v1/reminders?from=soon&schedule=x")).bearer_auth(&program.key), 400, "bad_query"),
        (program.http.get(url("/v1/reminders?state=done")).bearer_auth(&program.key), 400, "bad_query"),
        (program.http.get(url("/v1/reminders?delivery=late")).bearer_auth(&program.key), 400, "bad_query"),
        (program.http.get(url("/v1/reminders?colour=red")).bearer_auth(&program.key), 400, "bad_query"),
        (program.http.get(url("/v1/reminders?app=cofee")).bearer_auth(&program.key), 422, "unknown_app"),
        (program.http.get(url("/v1/reminders?template=evnt")).bearer_auth(&program.key), 422, "unknown_template"),
        (program.http.get(url("/v1/reminders?openid=o%001")).bearer_auth(&program.key), 422, "bad_value"),
        (program.http.get(url("/v1/consents?app=coffee")).bearer_auth(&program.key), 400, "bad_query"),
        (program.http.get(url("/v1/stats")), 401, "unauthorized"),
        (program.http.get(url("/v1/stats")).bearer_auth("tx_wrong"), 401, "unauthorized"),
        (program.http.get(url("/v1/stats")).header("authorization", "Basic eDp5"), 401, "unauthorized"),
    ];
    for (request, status, code) in table {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{code}");
        let got = response.status().as_u16();
        let answer: Value = serde_json::from_str(&response.text().await.expect("a body")).expect("JSON");
        assert_eq!((got, answer["code"].as_str()), (status, Some(code)), "{answer}");
    }
    let (_, consents) =
        program.post("/v1/consents", &json!({"app": "coffee", "openid": "o1", "results": {"errMsg": "ok"}})).await;
    assert_eq!((consents["code"].as_str(), consents["param"].as_str()), (Some("bad_value"), Some("/results")));
    let unknown = json!({"app": "coffee", "openid": "o1", "results": {"Tq0": "accept"}});
    let (status, consents) = program.post("/v1/consents", &unknown).await;
    assert_eq!((status, consents["ignored"][0]["template"].as_str()), (StatusCode::OK, Some("Tq0")), "{consents}");
    let typo = json!({"app": "coffee", "openid": "o1", "results": {"event-start": "acept"}});
    let (_, consents) = program.post("/v1/consents", &typo).await;
    assert_eq!(
        (consents["code"].as_str(), consents["param"].as_str()),
        (Some("bad_value"), Some("/results/event-start"))
    );
    for path in ["/healthz", "/readyz", "/openapi.json", "/docs", "/metrics"] {
        let response = program.http.get(url(path)).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path} needs no key");
    }
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn a_key_opens_what_it_is_for_and_nothing_after_it_was_revoked() {
    let site = site();
    let mut program = site.serve_with_key();
    let make = |args: &[&str]| {
        let (code, key, said) = site.run(&[&["key", "create"], args].concat());
        assert_eq!(code, 0, "{said}");
        key.trim().to_owned()
    };
    let admin = program.key.clone();
    let (tea, read) = (make(&["--name", "t", "--app", "tea"]), make(&["--name", "r", "--scope", "read"]));
    let good = body("o1", 60_000);
    let (_, created) = program.post("/v1/reminders", &good).await;
    let path = format!("/v1/reminders/{}", created["id"].as_str().expect("an id"));
    // (key, method, path, body) → status
    let table: [(&str, Method, &str, Option<&Value>, u16); 9] = [
        (&tea, Method::POST, "/v1/reminders", Some(&good), 403),
        (&tea, Method::GET, &path, None, 404),
        (&tea, Method::DELETE, &path, None, 404),
        (&tea, Method::GET, "/v1/consents?app=coffee&openid=o1", None, 403),
        (&tea, Method::GET, "/v1/stats?app=coffee", None, 403),
        (&tea, Method::GET, "/v1/keys", None, 403),
        (&read, Method::POST, "/v1/reminders", Some(&good), 403),
        (&read, Method::DELETE, &path, None, 403),
        (&read, Method::GET, &path, None, 200),
    ];
    for (key, method, path, body, status) in table {
        program.key = key.to_owned();
        let (got, answer) = program.call(method.clone(), path, body).await.expect("an answer");
        assert_eq!(got.as_u16(), status, "{method} {path} {answer}");
    }
    let (_, list) = program.get("/v1/reminders").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    // Who makes keys can make any, so an admin key is never bound, and «no app» is not «all apps».
    assert_eq!(site.run(&["key", "create", "--name", "a", "--scope", "admin", "--app", "tea"]).0, 1);
    program.key.clone_from(&admin);
    let (status, answer) = program.post("/v1/keys", &json!({"name": "n", "scope": "write", "apps": []})).await;
    assert_eq!((status.as_u16(), answer["param"].as_str()), (422, Some("/apps")), "{answer}");
    program.key.clone_from(&read);
    let (code, _, _) = site.run(&["key", "revoke", "3"]);
    assert_eq!(code, 0);
    assert_eq!(program.get(&path).await.0, 401);
    assert_eq!(site.run(&["key", "revoke", "3"]).0, 4);
    program.key = admin;
    let (code, keys, _) = site.run(&["key", "list", "--json"]);
    assert_eq!((code, keys.lines().count()), (0, 3));
    assert!(!keys.contains(&read[3..]), "a key is not kept");
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn i3_fifty_callers_with_one_key_at_one_moment_make_one_reminder() {
    let site = site();
    let program = site.serve_with_key();
    let mut same = body("o1", 60_000);
    same["key"] = "order-7".into();
    let calls = (0..50).map(|_| program.post("/v1/reminders", &same));
    let answers = futures_util::future::join_all(calls).await;
    let created = answers.iter().filter(|(status, _)| *status == 201).count();
    let ids: std::collections::HashSet<_> = answers.iter().map(|(_, answer)| answer["id"].to_string()).collect();
    assert_eq!((created, ids.len()), (1, 1), "{answers:?}");
    let mut other = same.clone();
    other["page"] = "pages/other".into();
    let (status, answer) = program.post("/v1/reminders", &other).await;
    assert_eq!((status.as_u16(), answer["code"].as_str()), (409, Some("key_conflict")));
    let (_, consents) = program.get("/v1/consents?app=coffee&openid=o1").await;
    assert_eq!(consents["balances"][0]["held"], 1, "one consent, not fifty");
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn who_comes_back_after_a_cancellation_is_told_to_take_a_new_key() {
    let site = site();
    let program = site.serve_with_key();
    let mut rsvp = body("o1", 600_000);
    rsvp["key"] = "rsvp-7".into();
    let (_, first) = program.post("/v1/reminders", &rsvp).await;
    let path = format!("/v1/reminders/{}", first["id"].as_str().expect("an id"));
    let (status, again) = program.post("/v1/reminders", &rsvp).await;
    assert_eq!((status.as_u16(), &again["state"]), (200, &json!("scheduled")), "a replay says where it stands");
    let lines = program.batch("/v1/reminders/batch", rsvp.to_string()).await;
    assert_eq!(lines, [json!({"line": 1, "id": first["id"], "state": "scheduled", "replayed": true})]);

    assert_eq!(program.call(Method::DELETE, &path, None).await.expect("an answer").0, 200);
    let (mut other, mut late) = (rsvp.clone(), rsvp.clone());
    other["page"] = "pages/other".into();
    late["expires_at"] = "1s".into();
    late["at"] = rfc3339(now() - 60_000).into();
    for again in [&rsvp, &other, &late] {
        let (status, answer) = program.post("/v1/reminders", again).await;
        assert_eq!(
            (status.as_u16(), answer["code"].as_str(), answer["param"].as_str()),
            (409, Some("key_cancelled"), Some("/key")),
            "{answer}"
        );
        assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains("use a new key")), "{answer}");
    }
    let mut fresh = rsvp.clone();
    fresh["key"] = "rsvp-8".into();
    let text = [&rsvp, &other, &late, &fresh].map(Value::to_string).join("\n");
    let lines = program.batch("/v1/reminders/batch", text).await;
    let codes: Vec<_> = lines.iter().map(|line| line["error"]["code"].as_str()).collect();
    assert_eq!(codes, [Some("key_cancelled"), Some("key_cancelled"), Some("key_cancelled"), None], "{lines:?}");
    assert_eq!(lines[3]["state"], "scheduled");
    let (_, consents) = program.get("/v1/consents?app=coffee&openid=o1").await;
    let counted = |what: &str| consents["balances"][0][what].as_i64();
    assert_eq!((counted("available"), counted("held")), (Some(1), Some(1)), "two taps were counted: {consents}");
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn a_replay_is_answered_though_its_deadline_has_passed() {
    // A platform that answers, and refuses everything: so its clock is known, and nothing is sent.
    let sandbox = SandboxServer::start(1).await;
    sandbox.sandbox.world().faults.ip_blocked = true;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let program = site.serve_with_key();
    let mut short = body("o1", 300);
    short["key"] = "k".into();
    short["expires_at"] = "200ms".into();
    let (status, first) = program.post("/v1/reminders", &short).await;
    assert_eq!(status, 201, "{first}");
    program
        .wait(&format!("/v1/reminders/{}", first["id"].as_str().expect("an id")), 40, |r| r["state"] == "expired")
        .await;
    let (status, again) = program.post("/v1/reminders", &short).await;
    assert_eq!((status.as_u16(), &again["id"]), (200, &first["id"]), "{again}");
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn a_batch_keeps_its_good_lines_whatever_happens_to_the_others() {
    let site = site();
    let program = site.serve_with_key();
    let line = |openid: &str| body(openid, 600_000).to_string();
    let long = format!("{{\"app\":\"{}\"}}", "x".repeat(70_000));
    let text = [&line("o1"), "{ broken", &line("o2"), "", &long, "[1]", &line("o3")].join("\n");
    let answers = program.batch("/v1/reminders/batch", text).await; // without a last newline
    let shape: Vec<_> = answers.iter().map(|a| (a["line"].as_u64(), a["error"]["code"].as_str())).collect();
    let expected = [
        (Some(1), None),
        (Some(2), Some("bad_json")),
        (Some(3), None),
        (Some(5), Some("too_large")),
        (Some(6), Some("bad_json")),
        (Some(7), None),
    ];
    assert_eq!(shape, expected);

    // Cut off half-way: what came whole is kept, and the line that was cut is not half a reminder.
    let cut = format!("{}\n{}\n{}", line("o4"), line("o5"), &line("o6")[..40]);
    let head = format!(
        "POST /v1/reminders/batch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 999999\r\n\r\n",
        program.key
    );
    {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let address = program.base.trim_start_matches("http://").to_owned();
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
        stream.write_all((head + &cut).as_bytes()).await.expect("sent");
        // It sends no more, and reads what became of it.
        stream.shutdown().await.expect("half closed");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        let last = answer.lines().rfind(|line| line.starts_with('{')).expect("a last line");
        let last: Value = serde_json::from_str(last).expect("JSON");
        assert_eq!((&last["last"], &last["line"]), (&2.into(), &3.into()), "{answer}");
        let detail = last["error"]["detail"].as_str().expect("a sentence");
        assert!(detail.contains("send again from line 3"), "{detail}");
    }
    let done = |list: &Value| list["items"].as_array().map(Vec::len) == Some(5);
    program.wait("/v1/reminders", 10, done).await;

    let taps = r#"{"app":"coffee","openid":"o9","results":{"event-start":"accept","digest":"reject"}}
{"app":"coffee","openid":"o9","results":{"event-start":"accept"},"event":"e1"}
{"app":"coffee","openid":"o9","results":{"event-start":"accept"},"event":"e1"}
{"app":"coffee"}
"#;
    let answers = program.batch("/v1/consents/batch", taps).await;
    let recorded: Vec<_> = answers.iter().map(|a| a["recorded"].as_u64()).collect();
    assert_eq!(recorded, [Some(1), Some(1), Some(0), None], "{answers:?}");
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_line_of_a_batch_never_takes_the_consent_or_the_key_of_an_earlier_one() {
    for database in databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = Site::new(&fresh_url(database, folder.path()), "http://127.0.0.1:1", "").serve_with_key();
        let mut filler = body("o-filler", 600_000);
        (filler["accepted"], filler["consent"]) = (json!(false), "at_fire".into());
        for round in 0..10 {
            let openid = format!("o{round}");
            let report = json!({"app": "coffee", "openid": openid, "results": {"event-start": "accept"}});
            assert_eq!(program.post("/v1/consents", &report).await.0, 200);
            let mut first = body(&openid, 600_000);
            first["accepted"] = false.into();
            let (mut same_key, same_user) = (first.clone(), first.clone());
            first["key"] = openid.clone().into();
            (same_key["key"], same_key["page"]) = (openid.into(), "pages/other".into());
            let lines = [&[first][..], &vec![filler.clone(); 1_999], &[same_key, same_user]].concat();
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let answers = program.batch("/v1/reminders/batch", text).await;
            let code = |line: usize| (answers[line - 1]["line"].as_u64(), answers[line - 1]["error"]["code"].as_str());
            assert_eq!(answers[0]["state"], "scheduled", "{database}, batch {round}: {}", answers[0]);
            assert_eq!(code(2_001), (Some(2_001), Some("key_conflict")), "{database}, batch {round}");
            assert_eq!(code(2_002), (Some(2_002), Some("no_consent")), "{database}, batch {round}");
        }
        assert!(program.terminate().0.success());
    }
}

#[tokio::test]
async fn a_batch_of_a_million_lines_is_taken_in_bounded_memory() {
    const LINES: usize = 1_000_000;
    let site = site();
    let program = site.serve_with_key();
    // Each line is a user of its own who may be reminded when the time comes; one in a thousand is broken.
    let at = rfc3339(now() + 86_400_000);
    let piece = move |from: usize| {
        let mut text = String::new();
        for i in from..from + 1_000 {
            if i % 1_000 == 999 {
                text.push_str("{ broken\n");
            } else {
                text.push_str(&format!(
                    "{{\"app\":\"coffee\",\"openid\":\"o{i:07}\",\"template\":\"event-start\",\"at\":\"{at}\",\"consent\":\"at_fire\",\
                     \"data\":{{\"thing1\":\"第{i}号\",\"time2\":\"10:00\"}}}}\n"
                ));
            }
        }
        Ok::<_, std::io::Error>(bytes::Bytes::from(text))
    };
    let stream = futures_util::stream::iter((0..LINES / 1_000).map(move |k| piece(k * 1_000)));
    let request = program.http.post(format!("{}/v1/reminders/batch", program.base)).bearer_auth(&program.key);
    let mut response = request.body(reqwest::Body::wrap_stream(stream)).send().await.expect("an answer");
    let (mut taken, mut refused, mut rest) = (0, 0, Vec::new());
    let mut count = |line: &[u8]| if line.windows(7).any(|w| w == b"\"error\"") { refused += 1 } else { taken += 1 };
    while let Some(chunk) = response.chunk().await.expect("a whole answer") {
        for byte in chunk {
            if byte == b'\n' {
                count(&rest);
                rest.clear();
            } else {
                rest.push(byte);
            }
        }
    }
    assert_eq!((taken, refused), (LINES - LINES / 1_000, LINES / 1_000));
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("it runs");
    let peak: u64 = status
        .lines()
        .find(|l| l.starts_with("VmHWM"))
        .and_then(|l| l.split_whitespace().nth(1)?.parse().ok())
        .expect("kB");
    assert!(peak < 400 * 1_024, "{peak} kB at most");
    let (_, stats) = program.get("/v1/stats?app=coffee").await;
    assert_eq!(stats["apps"][0]["reminders"]["scheduled"], LINES - LINES / 1_000);
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_a_huge_batch_before_reading_costs_bounded_memory_and_is_served() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    const LINES: usize = 1_200_000;
    let site = site();
    let program = site.serve_with_key();
    let head = format!(
        "POST /v1/reminders/batch HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        program.key,
        LINES * 2
    );
    let address = program.base.trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let piece = "7\n".repeat(1_000);
    for _ in 0..LINES / 1_000 {
        stream.write_all(piece.as_bytes()).await.expect("no reset");
    }
    let kilobytes = |what: &str| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("kB")
    };
    // It goes on until as much of the answer waits as may.
    let mut before = 0;
    while before != kilobytes("VmHWM") {
        before = kilobytes("VmHWM");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    assert!(before < 128 * 1_024, "{before} kB at most");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("a whole answer");
    let last = answer.lines().rfind(|line| line.starts_with('{')).expect("a last line");
    let last: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!((&last["line"], last["error"]["code"].as_str()), (&LINES.into(), Some("bad_json")), "{last}");
    assert!(kilobytes("VmHWM") < 128 * 1_024, "{} kB at most", kilobytes("VmHWM"));
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_opened_before_its_key_was_revoked_ends_with_it() {
    let site = site();
    let mut program = site.serve_with_key();
    let (code, key, said) = site.run(&["key", "create", "--name", "import", "--scope", "write"]);
    assert_eq!(code, 0, "{said}");
    let (send, sent) = tokio::sync::mpsc::unbounded_channel::<String>();
    let pieces =
        futures_util::stream::unfold(sent, async |mut sent| Some((Ok::<_, std::io::Error>(sent.recv().await?), sent)));
    let request = program.http.post(format!("{}/v1/reminders/batch", program.base)).bearer_auth(key.trim());
    let answer = tokio::spawn(request.body(reqwest::Body::wrap_stream(pieces)).send());
    send.send(format!("{}\n", body("o1", 600_000))).expect("sent");
    let response = answer.await.expect("no panic").expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(site.run(&["key", "revoke", "2"]).0, 0);
    let text = tokio::time::timeout(std::time::Duration::from_secs(5), response.text()).await;
    let text = text.expect("it ends at once, though the body goes on").expect("a whole answer");
    let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!((last["error"]["code"].as_str(), &last["last"]), (Some("unauthorized"), &0.into()), "{last}");
    let _ = send.send(format!("{}\n", body("o2", 600_000)));
    drop(send);
    program.key = site.key();
    let (_, list) = program.get("/v1/reminders").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(0), "{list}");
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn a_thousand_idle_and_trickling_connections_keep_nobody_out() {
    use tokio::io::AsyncWriteExt;
    let site = site();
    let program = site.serve_with_key();
    let address = program.base.trim_start_matches("http://").to_owned();
    let mut crowd = Vec::new();
    for i in 0..1_000 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
        if i % 2 == 0 {
            stream.write_all(b"POST /v1/reminders HTTP/1.1\r\nhost: x\r\n").await.expect("sent");
        }
        crowd.push(stream);
    }
    let (status, answer) = program.post("/v1/reminders", &body("o1", 60_000)).await;
    assert_eq!(status, 201, "{answer}");
    // And those who never finish a request are let go.
    let mut first = crowd.swap_remove(0);
    let gone = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        let mut buffer = [0; 256];
        while tokio::io::AsyncReadExt::read(&mut first, &mut buffer).await.is_ok_and(|n| n > 0) {}
    });
    assert!(gone.await.is_ok(), "a head that never ends is cut off");
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_quiet_hours_outlast_is_refused_now_and_not_at_the_instant() {
    let quiet = "timezone = \"Asia/Shanghai\"\nquiet_hours = \"22:00-08:00\"";
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", quiet);
    let program = site.serve_with_key();
    for (at, expires_at, refused) in [
        ("2033-01-02T03:00", "1h", true),
        ("2033-01-02T03:00", "5h", true),
        ("2033-01-02T03:00", "6h", false),
        ("2033-01-02T21:59", "1h", false),
    ] {
        let mut new = body(&format!("o{expires_at}{}", &at[11..13]), 0);
        (new["at"], new["expires_at"]) = (at.into(), expires_at.into());
        let (status, answer) = program.post("/v1/reminders", &new).await;
        let told = (answer["code"].as_str(), answer["param"].as_str());
        assert_eq!(status == 422 && told == (Some("bad_deadline"), Some("/expires_at")), refused, "{at} {answer}");
        assert_eq!(status == 201, !refused, "{at} {expires_at}: {answer}");
    }
    program.terminate();
}
