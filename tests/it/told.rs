//! What a back-end developer who is nearly right is told: by the answer, and not by a silence.

use crate::harness::{
    DIGEST, EVENT, databases, fresh_url,
    program::{Program, Site, body, now},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};
use tixing::domain::timing::rfc3339;

fn site() -> Site {
    Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "")
}

#[tokio::test]
async fn a_nul_in_an_address_is_refused_and_no_fault_of_the_store() {
    for database in databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let site = Site::new(&fresh_url(database, folder.path()), "http://127.0.0.1:1", "");
        let program = site.serve_with_key();
        for (method, path) in [
            (Method::GET, "/v1/reminders?openid=%00"),
            (Method::GET, "/v1/reminders?schedule=%00"),
            (Method::GET, "/v1/reminders?template=%00"),
            (Method::GET, "/v1/reminders?app=%00"),
            (Method::GET, "/v1/reminders?cursor=%00"),
            (Method::GET, "/v1/reminders?from=%00"),
            (Method::GET, "/v1/reminders/%00"),
            (Method::DELETE, "/v1/reminders/%00"),
            (Method::GET, "/v1/reminders/%00/explain"),
            (Method::GET, "/v1/reminders/explain?schedule=%00&openid=o1"),
            (Method::GET, "/v1/reminders/explain?schedule=s&openid=%00"),
            (Method::GET, "/v1/consents?app=coffee&openid=%00"),
            (Method::GET, "/v1/consents?app=%00&openid=o1"),
            (Method::GET, "/v1/consents/ask?app=coffee&openid=%00"),
            (Method::GET, "/v1/schedules?app=%00"),
            (Method::GET, "/v1/schedules?state=%00"),
            (Method::GET, "/v1/schedules/%00"),
            (Method::DELETE, "/v1/schedules/%00"),
            (Method::GET, "/v1/schedules/%00/problems"),
            (Method::POST, "/v1/schedules/%00/pause"),
            (Method::POST, "/v1/schedules/%00/resume"),
            (Method::GET, "/v1/doubts?app=%00"),
            (Method::GET, "/v1/templates?app=%00"),
            (Method::GET, "/v1/stats?app=%00"),
            (Method::DELETE, "/v1/keys/%00"),
            (Method::GET, "/v1/schedules.ics?key=%00"),
        ] {
            let (status, answer) = program.call(method.clone(), path, None).await.expect("an answer");
            // There is no schedule of that name, and a list of what it has is empty.
            let good = status.is_client_error() || path.ends_with("schedule=%00");
            assert!(good, "{database:?}: {method} {path}: {status} {answer}");
        }
        for (path, body) in [
            ("/v1/users/export", json!({"app": "coffee", "openid": "\u{0}"})),
            ("/v1/users/forget", json!({"app": "\u{0}", "openid": "o1"})),
            ("/v1/keys", json!({"name": "\u{0}", "scope": "read"})),
            ("/v1/consents", json!({"app": "coffee", "openid": "o1", "event": "\u{0}", "results": {EVENT: "accept"}})),
        ] {
            let (status, answer) = program.post(path, &body).await;
            assert!(status.is_client_error(), "{database:?}: {path}: {status} {answer}");
        }
        assert!(program.terminate().0.success());
    }
}

#[tokio::test]
async fn what_the_user_did_is_recorded_as_they_did_it_and_what_was_not_is_said_with_why() {
    let site = site();
    let program = site.serve_with_key();
    let report = |results: Value| json!({"app": "coffee", "openid": "o1", "event": "tap-1", "results": results});
    // A word that nobody knows is no yes and no no, whatever stands beside it.
    for (word, param) in [
        (json!("accept_denied"), "/results/event-start"),
        (json!("yes"), "/results/event-start"),
        (json!("Accept"), "/results/event-start"),
        (json!(""), "/results/event-start"),
        (json!(true), "/results/event-start"),
        (json!({}), "/results/event-start"),
    ] {
        let (status, answer) =
            program.post("/v1/consents", &report(json!({DIGEST: "accept", "event-start": word}))).await;
        let told = (status.as_u16(), answer["code"].as_str(), answer["param"].as_str());
        assert_eq!(told, (422, Some("bad_value"), Some(param)), "{word}: {answer}");
        assert!(answer["detail"].as_str().is_some_and(|why| why.contains("acceptWithAudio")), "{answer}");
        // The whole object is told as exactly.
        let whole = json!({"app": "coffee", "openid": "o1", "result": {DIGEST: "accept", EVENT: word}});
        let (_, answer) = program.post("/v1/consents", &whole).await;
        assert_eq!(answer["param"], format!("/result/{EVENT}"), "{answer}");
    }
    let (_, ledger) = program.get("/v1/consents?app=coffee&openid=o1").await;
    assert_eq!(ledger["balances"], json!([]), "nothing of these was recorded");

    // One template that the app does not have loses nothing of the others.
    let results = json!({
        "errMsg": "requestSubscribeMessage:ok", "errCode": 0, EVENT: "acceptWithSomethingNew", DIGEST: "ban", "Tq0": "accept",
    });
    let (status, answer) = program.post("/v1/consents", &report(results.clone())).await;
    assert_eq!((status.as_u16(), &answer["recorded"]), (200, &json!([EVENT])), "{answer}");
    let why = |answer: &Value, template: &str| -> String {
        let ignored = answer["ignored"].as_array().expect("a list");
        let one = ignored.iter().find(|one| one["template"] == template).expect("it is told");
        one["why"].as_str().expect("a sentence").to_owned()
    };
    assert_eq!(answer["ignored"].as_array().map(Vec::len), Some(2), "{answer}");
    assert!(why(&answer, "Tq0").contains("no template") && why(&answer, DIGEST).contains("did not accept"), "{answer}");
    // A batch tells the same, and a second time that it is known.
    let lines = program.batch("/v1/consents/batch", report(results).to_string()).await;
    assert_eq!(lines[0]["recorded"], 0, "{lines:?}");
    assert!(
        why(&lines[0], EVENT).contains("already") && why(&lines[0], DIGEST).contains("did not accept"),
        "{lines:?}"
    );

    // What says nothing is not passed over, nor is what says two things of one template.
    for (how, said, param) in [
        ("results", json!({"errMsg": "requestSubscribeMessage:ok"}), "/results"),
        ("result", json!({"errMsg": "requestSubscribeMessage:ok"}), "/result"),
        ("result", json!({"errMsg": "requestSubscribeMessage:fail", "errCode": 20004}), "/result"),
        ("results", json!({"event-start": "accept", EVENT: "reject"}), "/results/event-start"),
        ("results", json!({"event-start": "reject", EVENT: "accept"}), "/results/event-start"),
        ("result", json!({"event-start": "reject", EVENT: "accept"}), "/result"),
    ] {
        let (status, answer) = program.post("/v1/consents", &json!({"app": "coffee", "openid": "o2", how: said})).await;
        let told = (status.as_u16(), answer["code"].as_str(), answer["param"].as_str());
        assert_eq!(told, (422, Some("bad_value"), Some(param)), "{said}: {answer}");
    }

    // A key that stands twice says two things.
    for (path, text) in [
        ("/v1/consents", r#"{"app":"coffee","openid":"o1","results":{"event-start":"accept","event-start":"reject"}}"#),
        ("/v1/consents", r#"{"app":"coffee","openid":"o1","result":{"event-start":"reject","event-start":"accept"}}"#),
    ] {
        let request = program.http.post(format!("{}{path}", program.base)).bearer_auth(&program.key);
        let answer = request.header("content-type", "application/json").body(text).send().await.expect("an answer");
        let answer: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        let at = answer["param"].as_str().expect("the culprit");
        assert!(answer["code"] == "bad_json" && at.ends_with("/event-start"), "{answer}");
    }
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn an_instant_that_has_passed_is_refused_unless_it_is_said_that_it_goes_at_once() {
    let site = site();
    let program = site.serve_with_key();
    let minutes = 60_000;
    // Eight hours: a time without its zone.
    let (status, answer) = program.post("/v1/reminders", &body("o1", -480 * minutes)).await;
    let told = (status.as_u16(), answer["code"].as_str(), answer["param"].as_str());
    assert_eq!(told, (422, Some("late"), Some("/at")), "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|why| why.contains("\"late\": \"send\"")), "{answer}");
    let late = program.batch("/v1/reminders/batch", body("o1", -6 * minutes).to_string()).await;
    assert_eq!((&late[0]["line"], &late[0]["error"]["code"]), (&json!(1), &json!("late")), "{late:?}");
    let (_, ledger) = program.get("/v1/consents?app=coffee&openid=o1").await;
    assert_eq!(ledger["balances"], json!([]), "no consent of a refused one");

    // Clocks differ, and calls take their time.
    let (status, just) = program.post("/v1/reminders", &body("o2", -4 * minutes)).await;
    assert_eq!(status, 201, "{just}");
    let mut old = body("o3", -480 * minutes);
    old["late"] = "send".into();
    old["key"] = "k".into();
    let (status, sent) = program.post("/v1/reminders", &old).await;
    assert_eq!(status, 201, "{sent}");
    let at = now() - 480 * minutes;
    let deadline = sent["expires_at"].as_str().expect("the default deadline stands in the answer");
    assert!(
        deadline > rfc3339(at + 1_430 * minutes).as_str() && deadline < rfc3339(at + 1_450 * minutes).as_str(),
        "{sent}"
    );
    // Whoever has given no deadline is told of the instant.
    let mut older = body("o3", -7 * 1_440 * minutes);
    for (late, code) in [(None, "late"), (Some("send"), "past_deadline")] {
        older["late"] = late.into();
        let (status, answer) = program.post("/v1/reminders", &older).await;
        let told = (status.as_u16(), answer["code"].as_str(), answer["param"].as_str());
        assert_eq!(told, (422, Some(code), Some("/at")), "{answer}");
        assert!(answer["detail"].as_str().is_some_and(|why| why.starts_with("the instant ")), "{answer}");
    }
    let (status, again) = program.post("/v1/reminders", &old).await;
    assert_eq!((status.as_u16(), &again["id"]), (200, &sent["id"]), "a replay is answered: {again}");
    for word in ["skip", "Send", ""] {
        old["late"] = word.into();
        let (status, answer) = program.post("/v1/reminders", &old).await;
        assert_eq!((status.as_u16(), answer["param"].as_str()), (400, Some("/late")), "{answer}");
    }

    // What was in time stays so: the same call again is answered, however late it comes; a change into the past is refused as an insert is.
    let (_, ahead) = program.post("/v1/reminders", &body("o4", 600 * minutes)).await;
    let path = format!("/v1/reminders/{}", ahead["id"].as_str().expect("an id"));
    let past = json!({"at": rfc3339(now() - 30 * minutes)});
    let (status, answer) = program.call(Method::PATCH, &path, Some(&past)).await.expect("an answer");
    assert_eq!((status.as_u16(), answer["code"].as_str()), (422, Some("late")), "{answer}");
    let page = json!({"page": "pages/other"});
    assert_eq!(program.call(Method::PATCH, &path, Some(&page)).await.expect("an answer").0, 200);
    let past = json!({"at": past["at"], "late": "send"});
    assert_eq!(program.call(Method::PATCH, &path, Some(&past)).await.expect("an answer").0, 200);
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn all_fields_at_fault_are_told_at_once() {
    let site = site();
    let program = site.serve_with_key();
    let mut bad = body("o 1", -86_400_000);
    bad["at"] = "soon".into();
    bad["page"] = "https://example.com".into();
    bad["lang"] = "de".into();
    bad["data"] = json!({"thing1": "字".repeat(21), "time2": "soon", "thing9": "x"});
    let expected = ["/openid", "/at", "/page", "/lang", "/data/thing9", "/data/thing1", "/data/time2"];
    let told = |answer: &Value| -> Vec<String> {
        let problems = answer["problems"].as_array().expect("all of them");
        problems.iter().map(|one| one["param"].as_str().expect("a pointer").to_owned()).collect()
    };
    let (status, answer) = program.post("/v1/reminders", &bad).await;
    assert_eq!(
        (status.as_u16(), answer["code"].as_str(), answer["param"].as_str()),
        (422, Some("bad_value"), Some("/openid"))
    );
    let found = told(&answer);
    assert!(found.len() == expected.len() && expected.iter().all(|param| found.iter().any(|f| f == param)), "{answer}");
    assert!(
        answer["problems"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|one| one["detail"].is_string() && one["code"].is_string())
    );
    let lines = program.batch("/v1/reminders/batch", bad.to_string()).await;
    assert_eq!(told(&lines[0]["error"]), found);
    // One alone is told as before.
    let mut one = body("o1", 60_000);
    one["data"]["thing1"] = "".into();
    let (_, answer) = program.post("/v1/reminders", &one).await;
    assert!(answer["param"] == "/data/thing1" && answer["problems"].is_null(), "{answer}");
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn a_tap_that_may_have_been_counted_twice_is_warned_of() {
    let site = site();
    let program = site.serve_with_key();
    let popup = |openid: &str, event: Option<&str>| {
        let mut report = json!({"app": "coffee", "openid": openid, "results": {EVENT: "accept"}});
        event.into_iter().for_each(|event| report["event"] = event.into());
        report
    };
    let reminder = |openid: &str, event: Option<&str>| {
        let mut new = body(openid, 60_000);
        event.into_iter().for_each(|event| new["accepted"] = json!({"event": event}));
        new
    };
    let warned =
        |answer: &Value| answer["warnings"][0]["code"] == "counted_twice" && answer["warnings"][0]["template"] == EVENT;
    // (the user, the event of the report, that of the reminder) → consents, and whether there is a warning
    for (user, told, accepted, held, warns) in [
        ("o1", None, None, 2, true),
        ("o2", Some("tap"), None, 2, true),
        ("o3", Some("tap"), Some("tap"), 1, false),
        ("o4", Some("tap"), Some("other"), 2, false),
    ] {
        let (_, first) = program.post("/v1/consents", &popup(user, told)).await;
        assert!(first["warnings"].is_null(), "{first}");
        let (status, second) = program.post("/v1/reminders", &reminder(user, accepted)).await;
        assert_eq!((status.as_u16(), warned(&second)), (201, warns), "{user}: {second}");
        let (_, ledger) = program.get(&format!("/v1/consents?app=coffee&openid={user}")).await;
        let balance = &ledger["balances"][0];
        assert_eq!(balance["available"].as_i64().unwrap_or(0) + balance["held"].as_i64().unwrap_or(0), held, "{user}");
    }
    // The other way round, and in batches.
    program.post("/v1/reminders", &reminder("o5", None)).await;
    let (_, second) = program.post("/v1/consents", &popup("o5", None)).await;
    assert!(warned(&second), "{second}");
    let lines = program.batch("/v1/consents/batch", format!("{}\n{}", popup("o6", None), popup("o7", None))).await;
    assert!(lines.iter().all(|line| line["recorded"] == 1 && line["warnings"].is_null()), "{lines:?}");
    let lines =
        program.batch("/v1/reminders/batch", format!("{}\n{}", reminder("o6", None), reminder("o8", None))).await;
    assert!(warned(&lines[0]) && lines[0]["id"].is_string() && lines[1]["warnings"].is_null(), "{lines:?}");
    let lines = program.batch("/v1/consents/batch", popup("o8", None).to_string()).await;
    assert!(warned(&lines[0]) && lines[0]["recorded"] == 1, "{lines:?}");
    assert!(program.terminate().0.success());
}

/// Sends this text as it is, and answers what came back until the other side closed.
fn raw(program: &Program, request: &[u8]) -> String {
    let address = program.base.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    stream.write_all(request).expect("written");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8(answer).expect("UTF-8")
}

#[tokio::test]
async fn headers_that_are_nearly_right_are_told_what_was_meant() {
    let site = site();
    let program = site.serve_with_key();
    let key = &program.key;
    let get = |headers: &str| {
        raw(&program, format!("GET /v1/stats HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").as_bytes())
    };
    let host = "Host: tixing\r\n";
    for (headers, status, says) in [
        (format!("{host}Authorization: bearer {key}\r\n"), 200, "\"apps\""),
        (format!("{host}authorization: BEARER  {key}\r\n"), 200, "\"apps\""),
        (format!("{host}Authorization: Bearer {key}\r\nAuthorization: Bearer {key}\r\n"), 401, "several Authorization"),
        (format!("{host}Authorization: {key}\r\n"), 401, "«Authorization: Bearer tx_…»"),
        (format!("{host}Authorization: Basic eDp5\r\n"), 401, "«Authorization: Bearer tx_…»"),
        (host.to_owned(), 401, "`tixing key create`"),
        (format!("Authorization: Bearer {key}\r\n"), 400, "Host"),
    ] {
        let answer = get(&headers);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(says), "{headers}: {answer}");
        assert!(!answer.contains(&key[3..]), "I9: {answer}");
    }
    let old = raw(&program, b"GET /healthz HTTP/1.0\r\n\r\n");
    assert!(old.starts_with("HTTP/1.0 200"), "a probe of HTTP/1.0 names no host: {old}");
    // HEAD is answered as GET is, without the body.
    let head = raw(&program, b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn bodies_and_addresses_that_are_nearly_right_are_told_what_was_meant() {
    let site = site();
    let program = site.serve_with_key();
    let good = body("o-secret-1", 60_000).to_string();
    let line = format!("{good}\n");
    let gbk = encoding_rs::GBK.encode(&good).0.into_owned();
    type Row<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], Vec<u8>, u16, &'a str);
    let json: &[(&str, &str)] = &[("content-type", "application/json")];
    let (one, batch) = ("/v1/reminders", "/v1/reminders/batch");
    let table: Vec<Row> = vec![
        (Method::POST, one, &[("content-encoding", "gzip")], good.clone().into(), 415, "without Content-Encoding"),
        (
            Method::POST,
            one,
            &[("content-type", "application/x-www-form-urlencoded")],
            good.clone().into(),
            415,
            "send application/json",
        ),
        (Method::POST, one, &[("content-type", "application/json; charset=GBK")], gbk.clone(), 415, "charset «gbk»"),
        (Method::POST, one, json, gbk, 400, "GBK"),
        (Method::POST, one, json, Vec::new(), 400, "the body is empty"),
        (Method::POST, one, json, b"\"o-secret-1\"".into(), 400, "is text where an object is wanted"),
        (Method::POST, batch, &[("content-encoding", "gzip")], line.clone().into(), 415, "without Content-Encoding"),
        (Method::POST, batch, json, line.clone().into(), 415, "send application/x-ndjson"),
        (
            Method::POST,
            "/v1/consents/batch",
            &[("content-type", "text/html")],
            line.clone().into(),
            415,
            "send application/x-ndjson",
        ),
        (
            Method::POST,
            "/v1/schedules/plan",
            &[("content-encoding", "br")],
            Vec::new(),
            415,
            "without Content-Encoding",
        ),
        (Method::POST, "/v1/reminders/", json, good.clone().into(), 404, "leave the slash out"),
        (Method::GET, "/", json, "".into(), 404, "/docs lists what there is"),
        (Method::PUT, one, json, good.clone().into(), 405, "does not know PUT"),
        (Method::OPTIONS, one, &[], Vec::new(), 405, "called by back ends"),
        (
            Method::POST,
            one,
            &[("content-type", "Application/JSON; charset=\"UTF-8\"")],
            format!("\u{feff}{good}").into(),
            201,
            "scheduled",
        ),
        (
            Method::POST,
            batch,
            &[("content-type", "application/x-ndjson; charset=utf-8")],
            format!("\u{feff}{line}").into(),
            200,
            "scheduled",
        ),
        (Method::POST, batch, &[("content-encoding", "identity")], line.into(), 200, "scheduled"),
    ];
    for (method, path, headers, bytes, status, says) in table {
        let mut request =
            program.http.request(method.clone(), format!("{}{path}", program.base)).bearer_auth(&program.key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.body(bytes).send().await.expect("an answer");
        let (got, allow) = (response.status().as_u16(), response.headers().contains_key("allow"));
        let answer = response.text().await.expect("a body");
        assert!(got == status && answer.contains(says), "{method} {path} {headers:?}: {got} {answer}");
        assert_eq!(allow, status == 405, "{method} {path}");
        assert!(status < 300 || !answer.contains("o-secret-1"), "I9: {answer}");
    }
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn what_was_refused_is_found_in_the_log_by_the_name_of_its_request() {
    let site = site();
    let with = [("TIXING_SERVER__LOG_FORMAT", "json")];
    for format in ["text", "json"] {
        let environment = if format == "json" { &with[..] } else { &[] };
        let mut program = site.try_serve_with(environment).expect("it starts");
        program.key = site.key();
        let (_, refused) = program.get("/v1/reminders/r_0o-secret-1").await;
        let (_, nowhere) = program.get("/v1/users/o-secret-1").await;
        let (_, unknown) = program.post("/v1/reminders", &json!({"app": "coffee", "o-secret-1": 1})).await;
        let lines = program.batch("/v1/reminders/batch", format!("{{}}\n{}\n", body("o-secret-1", 60_000))).await;
        assert_eq!(lines.len(), 2);
        let key = std::mem::replace(&mut program.key, "tx_wrong".into());
        let (_, stranger) = program.get("/v1/stats").await;
        let (status, log) = program.terminate();
        assert!(status.success());
        let line_of = |answer: &Value| {
            let id = answer["request_id"].as_str().expect("a name");
            log.lines().find(|line| line.contains(id)).unwrap_or_else(|| panic!("{id} is not in {log}")).to_owned()
        };
        for (answer, parts) in [
            (&refused, &["404", "not_found", "/v1/reminders/{id}", "GET", "(test)"][..]),
            (&nowhere, &["404", "not_found"]),
            (&unknown, &["400", "bad_json", "/v1/reminders", "POST", "(test)"]),
            (&stranger, &["401", "unauthorized", "/v1/stats"]),
        ] {
            let line = line_of(answer);
            assert!(parts.iter().all(|part| line.contains(part)), "{parts:?}: {line}");
            if format == "json" {
                let read: Value = serde_json::from_str(&line).expect("a line of JSON");
                assert_eq!(
                    (&read["level"], &read["message"]),
                    (&json!("INFO"), &json!("a request was refused")),
                    "{line}"
                );
                assert_eq!(read["request_id"], answer["request_id"]);
            }
        }
        assert!(log.lines().any(|line| line.contains("lines of a batch were refused")), "{log}");
        assert!(!log.contains("o-secret-1") && !log.contains(&key[3..]) && !log.contains("tx_wrong"), "I9: {log}");
        let is_json = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|line| line["timestamp"].is_string());
        assert!(format == "text" || log.lines().all(is_json), "every line is JSON: {log}");
    }
}
