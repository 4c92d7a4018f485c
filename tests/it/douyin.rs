//! Douyin: what its sandbox answers to other people's clients, and the real program against it, with its webhooks.

use crate::harness::program::{Program, SandboxServer, Site, now};
use axum::{
    body::Body,
    http::{Method, Request},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tixing::{
    clock::ManualClock,
    domain::{DAY, MINUTE, Millis, SECOND},
    platform::douyin::webhook::Webhook,
    sandbox::{Faults, Sandbox},
};
use tower::ServiceExt;

const APPID: &str = "ttdemo0000000001";
const REMIND: &str = "MSG_demo_0001";
const DIGEST: &str = "MSG_demo_0002";
const TWICE: &str = "MSG_demo_0003";
const SEND: &str = "/api/notification/v2/subscription/notify_user/";
const LIST: &str = "/api/notification/v2/subscription/query_app_tpl/";
const QUERY: &str = "/api/notification/v2/subscription/query_user_subscribe/";

/// The app as an order adds it to the sandbox.
fn spec() -> Value {
    let fields = json!({ "提醒事项": "提醒事项", "时间": "时间" });
    json!({ "platform": "douyin", "appid": APPID, "secret": "demo-secret", "templates": [
        { "id": REMIND, "title": "体检提醒", "kind": "one-time", "fields": fields },
        { "id": DIGEST, "title": "周报", "kind": "long-term", "fields": { "标题": "标题" } },
        { "id": TWICE, "title": "两次", "kind": "one-time", "fields": fields, "sends_per_grant": 2, "period_ms": DAY },
    ] })
}

async fn call(sandbox: &Sandbox, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Value {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Body::from(body.to_owned())).expect("a request");
    let response = sandbox.router().oneshot(request).await.expect("infallible");
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

async fn order(sandbox: &Sandbox, path: &str, body: &Value) -> Value {
    call(sandbox, Method::POST, path, &[("content-type", "application/json")], &body.to_string()).await
}

async fn token_of(sandbox: &Sandbox, path: &str) -> String {
    let body = json!({ "client_key": APPID, "client_secret": "demo-secret", "grant_type": "client_credential" });
    let answer = order(sandbox, path, &body).await;
    answer["data"]["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

async fn world() -> (Sandbox, std::sync::Arc<ManualClock>) {
    let clock = ManualClock::at(1_772_326_800_000);
    let sandbox = Sandbox::new(clock.clone(), 1);
    assert_eq!(order(&sandbox, "/_sandbox/apps", &spec()).await["ok"], true);
    (sandbox, clock)
}

async fn send(sandbox: &Sandbox, openid: &str, template: &str) -> i64 {
    let token = token_of(sandbox, "/oauth/stable_client_token/").await;
    let body = json!({ "msg_id": template, "open_id": openid, "data": { "提醒事项": "体检", "时间": "09:00" } });
    let answer = call(sandbox, Method::POST, SEND, &[("access-token", &token)], &body.to_string()).await;
    answer["err_no"].as_i64().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn recorded_requests_of_other_clients_get_the_answers_that_those_expect() {
    let all: Value = serde_json::from_str(include_str!("../vectors/platforms.json")).expect("JSON");
    let (sandbox, _) = world().await;
    order(
        &sandbox,
        "/_sandbox/popup",
        &json!({ "appid": APPID, "openid": "_000demoOpenId", "results": { REMIND: "accept" } }),
    )
    .await;
    // Mini-games and what came before V2 have other calls, which are not built.
    let built = |request: &&Value| {
        let id = request["id"].as_str().unwrap_or_default();
        id.starts_with("douyin_") && id != "douyin_legacy_token" || id == "opendy_oauthClientToken"
    };
    let (mut token, mut seen) = (String::new(), 0);
    for request in all["golden_requests"].as_array().expect("a group").iter().filter(built) {
        let headers = request["headers"].as_object().into_iter().flatten();
        let mut headers: Vec<(String, String)> =
            headers.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
        // The token that was recorded is one that is given out here.
        headers.iter_mut().filter(|(name, _)| name == "access-token").for_each(|(_, value)| value.clone_from(&token));
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let path = request["path"].as_str().expect("a path");
        let answer = call(&sandbox, Method::POST, path, &headers, request["body"].as_str().expect("a body")).await;
        if path == "/oauth/client_token/" {
            assert_eq!((&answer["data"]["error_code"], &answer["message"]), (&json!(0), &json!("success")), "{answer}");
            assert_eq!(answer["data"]["expires_in"], 7_200);
            token = answer["data"]["access_token"].as_str().expect("a token").to_owned();
        } else {
            assert_eq!(answer["err_no"], 0, "{path}: {answer}");
        }
        if path == QUERY {
            assert_eq!(answer["data"]["subscribe_status"], 0, "the one send is used up: {answer}");
        }
        seen += 1;
    }
    assert_eq!(seen, 4);
    let messages = sandbox.world().messages().to_vec();
    assert_eq!((messages.len(), messages[0].data["提醒事项"].as_str()), (1, "体检提醒"));
}

#[tokio::test]
async fn a_stable_token_is_the_same_for_two_hours_and_a_wrong_secret_is_refused() {
    let (sandbox, clock) = world().await;
    let stable = "/oauth/stable_client_token/";
    let first = token_of(&sandbox, stable).await;
    clock.advance(60 * MINUTE);
    assert_eq!(token_of(&sandbox, stable).await, first);
    assert_ne!(token_of(&sandbox, "/oauth/client_token/").await, first, "the other call gives a new one each time");
    clock.advance(61 * MINUTE);
    assert_ne!(token_of(&sandbox, stable).await, first);
    let good = json!({ "client_key": APPID, "client_secret": "demo-secret", "grant_type": "client_credential" });
    for (key, value, code) in [
        ("client_key", "", 10_003),
        ("client_key", "tt0", 10_013),
        ("client_secret", "x", 10_013),
        ("grant_type", "password", 10_002),
    ] {
        let mut body = good.clone();
        body[key] = value.into();
        let answer = order(&sandbox, stable, &body).await;
        assert_eq!((&answer["data"]["error_code"], &answer["message"]), (&json!(code), &json!("error")), "{answer}");
    }
}

#[tokio::test]
async fn a_send_is_refused_by_its_cause_and_an_accept_is_worth_what_the_template_says() {
    let (sandbox, clock) = world().await;
    let tap = async |openid: &str, template: &str, word: &str| {
        let results = json!({ template: word });
        order(&sandbox, "/_sandbox/popup", &json!({ "appid": APPID, "openid": openid, "results": results })).await
    };
    assert_eq!(send(&sandbox, "u1", REMIND).await, 28_014_043);
    assert_eq!(tap("u1", REMIND, "accept").await["templateSettings"][REMIND]["status"], "accept");
    assert_eq!(tap("u1", REMIND, "repeat").await[REMIND], "accept", "and the status says that it adds nothing");
    assert_eq!(tap("u1", REMIND, "reject").await["templateSettings"], json!({}));
    assert_eq!(send(&sandbox, "u1", REMIND).await, 0);
    assert_eq!(send(&sandbox, "u1", REMIND).await, 1_010, "two in one second");
    clock.advance(SECOND);
    assert_eq!(send(&sandbox, "u1", REMIND).await, 28_014_041);

    // Two sends within a day; what is left then has ended.
    tap("u2", TWICE, "accept").await;
    assert_eq!(send(&sandbox, "u2", TWICE).await, 0);
    clock.advance(SECOND);
    assert_eq!(send(&sandbox, "u2", TWICE).await, 0);
    clock.advance(SECOND);
    assert_eq!(send(&sandbox, "u2", TWICE).await, 28_014_041);
    tap("u3", TWICE, "accept").await;
    assert_eq!(send(&sandbox, "u3", TWICE).await, 0);
    clock.advance(DAY);
    assert_eq!(send(&sandbox, "u3", TWICE).await, 28_014_041);

    tap("u4", REMIND, "accept").await;
    order(&sandbox, "/_sandbox/settings", &json!({ "appid": APPID, "openid": "u4", "template": REMIND, "on": false }))
        .await;
    assert_eq!(send(&sandbox, "u4", REMIND).await, 28_014_036);
    assert_eq!(send(&sandbox, "u5", "MSG_none").await, 28_014_001);

    tap("u6", REMIND, "accept").await;
    let fault = |faults: Faults| sandbox.world().faults = faults;
    for (faults, code) in [
        (Faults { busy_rate: 1.0, ..Faults::default() }, 28_001_005),
        (Faults { quota_left: Some(0), ..Faults::default() }, 28_003_017),
        (Faults { minute_left: Some(0), ..Faults::default() }, 28_003_018),
        (Faults { account_code: Some(28_001_016), ..Faults::default() }, 28_001_016),
        (Faults { token_revoked: true, ..Faults::default() }, 28_001_003),
    ] {
        fault(faults);
        assert_eq!(send(&sandbox, "u6", REMIND).await, code);
    }
    fault(Faults::default());
    let token = token_of(&sandbox, "/oauth/stable_client_token/").await;
    let too_long =
        json!({ "msg_id": REMIND, "open_id": "u6", "data": { "提醒事项": "长".repeat(21), "时间": "09:00" } });
    for (token, body, code) in [
        (token.as_str(), too_long.to_string(), 28_014_038),
        (
            &token,
            json!({ "msg_id": REMIND, "open_id": "u6", "data": { "提醒事项": { "value": "x" } } }).to_string(),
            28_001_007,
        ),
        (&token, json!({ "msg_id": REMIND, "open_id": "u6", "data": {} }).to_string(), 28_014_001),
        (&token, "{".into(), 28_001_007),
        ("clt.none", "{}".into(), 28_001_003),
    ] {
        let answer = call(&sandbox, Method::POST, SEND, &[("access-token", token)], &body).await;
        assert_eq!(answer["err_no"], code, "{body}: {answer}");
    }
    assert_eq!(send(&sandbox, "u6", REMIND).await, 0, "nothing of this has spent anything");
    clock.advance(2 * 60 * MINUTE);
    let answer = call(&sandbox, Method::POST, SEND, &[("access-token", &token)], "{}").await;
    assert_eq!(answer["err_no"], 28_001_008, "{answer}");

    let token = token_of(&sandbox, "/oauth/stable_client_token/").await;
    let list =
        call(&sandbox, Method::GET, &format!("{LIST}?page_num=2&page_size=2"), &[("access-token", &token)], "").await;
    assert_eq!(
        (&list["data"]["total_count"], list["data"]["template_list"].as_array().map(Vec::len)),
        (&json!(3), Some(1)),
        "{list}"
    );
    assert_eq!(list["data"]["template_list"][0]["keyword_list"], json!(["提醒事项", "时间"]));
}

#[tokio::test]
async fn where_a_platform_pushes_is_told_in_its_own_words() {
    let (sandbox, _) = world().await;
    for (push, good) in [
        (json!({ "url": "http://127.0.0.1:1/callback/coffee" }), true),
        (json!({ "url": "http://127.0.0.1:1/callback/coffee", "secret": "other" }), true),
        (json!({ "url": "http://127.0.0.1:1/callback/coffee", "token": "another platform's" }), false),
        (json!({ "secret": "other" }), false),
        (json!({ "url": "http://127.0.0.1:1/", "secret": "" }), false),
    ] {
        let mut spec = spec();
        spec["push"] = push;
        assert_eq!(order(&sandbox, "/_sandbox/apps", &spec).await["ok"] == true, good, "{spec}");
    }
}

/// A configuration with the sandbox's app on this platform; `more` are lines of it.
fn site(sandbox: &SandboxServer, more: &str) -> Site {
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite:tixing.db"
[[app]]
name = "coffee"
platform = "douyin"
appid = "{APPID}"
secret = {{ env = "SECRET" }}
base_url = "{}"
timezone = "Asia/Shanghai"
{more}
[[app.template]]
name = "remind"
id = "{REMIND}"
kind = "one-time"
fields = {{ "提醒事项" = "提醒事项", "时间" = "时间" }}
[[app.template]]
name = "digest"
id = "{DIGEST}"
kind = "long-term"
fields = {{ "标题" = "标题" }}
"#,
        sandbox.url
    );
    std::fs::write(site.path("tixing.toml"), text).expect("written");
    std::fs::write(site.path("webhook"), "webhook-secret").expect("written");
    site
}

async fn sandbox_with(secret: &str) -> SandboxServer {
    let server = SandboxServer::start(1).await;
    let mut spec = spec();
    spec["secret"] = secret.into();
    assert_eq!(order(&server.sandbox, "/_sandbox/apps", &spec).await["ok"], true);
    server
}

async fn push_to(server: &SandboxServer, program: &Program, secret: &str) {
    let mut spec = spec();
    spec["secret"] = "app-secret".into();
    spec["push"] = json!({ "url": format!("{}/callback/coffee", program.base), "secret": secret });
    assert_eq!(order(&server.sandbox, "/_sandbox/apps", &spec).await["ok"], true);
}

fn reminder(openid: &str, template: &str, after: Millis) -> Value {
    let data = match template {
        "digest" => json!({ "标题": "本周" }),
        _ => json!({ "提醒事项": "体检", "时间": "2026-03-01 09:00" }),
    };
    let at = tixing::domain::timing::rfc3339(now() + after);
    json!({ "app": "coffee", "openid": openid, "template": template, "at": at, "data": data, "page": "pages/index?id=42" })
}

async fn insert(program: &Program, body: &Value) -> String {
    let (status, inserted) = program.post("/v1/reminders", body).await;
    assert_eq!(status, 201, "{inserted}");
    format!("/v1/reminders/{}", inserted["id"].as_str().expect("an id"))
}

async fn available(program: &Program, openid: &str) -> i64 {
    let (_, ledger) = program.get(&format!("/v1/consents?app=coffee&openid={openid}")).await;
    ledger["balances"].as_array().into_iter().flatten().map(|b| b["available"].as_i64().unwrap_or_default()).sum()
}

/// The user answers on the phone, and the platform alone tells.
async fn tap(server: &SandboxServer, openid: &str, results: &Value) {
    order(&server.sandbox, "/_sandbox/popup", &json!({ "appid": APPID, "openid": openid, "results": results })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_webhook_tells_of_a_tap_and_a_failed_banner_leaves_the_message_sent() {
    let server = sandbox_with("app-secret").await;
    let callback = "consents = \"callback\"\ncallback = { secret = { file = \"webhook\" } }";
    let site = site(&server, callback);
    let program = site.serve_with_key();
    push_to(&server, &program, "webhook-secret").await;
    server.sandbox.world().faults = Faults { push_twice_rate: 1.0, undelivered_rate: 1.0, ..Faults::default() };
    tap(&server, "_000one", &json!({ REMIND: "accept", DIGEST: "accept" })).await;
    tap(&server, "_000two", &json!({ REMIND: "accept" })).await;
    let ledger = |openid: &str| format!("/v1/consents?app=coffee&openid={openid}");
    let first = |ledger: &Value| ledger["balances"].as_array().is_some_and(|all| all.len() == 2);
    program.wait(&ledger("_000one"), 10, first).await;
    assert_eq!(available(&program, "_000one").await, 2, "each webhook came twice and counts once");

    let sent = insert(&program, &reminder("_000one", "remind", 300)).await;
    let sent = program.wait(&sent, 20, |r| r["delivery"] == "undelivered" && r["state"] != "sending").await;
    assert_eq!((sent["state"].as_str(), sent["receipt"]["code"].as_str()), (Some("sent"), Some("push_102")), "{sent}");
    let (_, why) = program.get(&format!("/v1/reminders/{}/explain", sent["id"].as_str().expect("an id"))).await;
    assert!(why["zh"].as_str().is_some_and(|zh| zh.contains("站内消息可能已送达")), "{why}");
    let (_, balances) = program.get(&ledger("_000one")).await;
    let used = |b: &Value| (b["template"] == REMIND).then(|| b["used"].as_i64());
    assert_eq!(balances["balances"].as_array().into_iter().flatten().find_map(used), Some(Some(1)), "{balances}");

    // A long-term template that is turned off ends what waits for it.
    let waits = insert(&program, &reminder("_000one", "digest", 3_600_000)).await;
    order(
        &server.sandbox,
        "/_sandbox/settings",
        &json!({ "appid": APPID, "openid": "_000one", "template": DIGEST, "on": false }),
    )
    .await;
    let ended = program.wait(&waits, 20, |r| r["state"] == "failed").await;
    assert_eq!(ended["reason"], "turned_off", "{ended}");
    assert!(server.sandbox.world().pushed().iter().all(|p| p.status == Some(200) && p.answer == "success"));
    let (status, log) = program.terminate();
    assert!(status.success() && !log.contains("_000one"), "I9: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_user_fails_without_another_try_and_a_revoked_token_is_renewed() {
    let server = sandbox_with("app-secret").await;
    let site = site(&server, "");
    let program = site.serve_with_key();
    tap(&server, "_000good", &json!({ REMIND: "accept" })).await;
    let with = |openid: &str, after| {
        let mut body = reminder(openid, "remind", after);
        body["accepted"] = true.into();
        body
    };
    // The mini-program says that this user accepted, and the platform knows nothing of it.
    let refused = insert(&program, &with("_000refused", 200)).await;
    let refused = program.wait(&refused, 20, |r| r["state"] == "failed").await;
    let attempts = refused["attempts"].as_array().expect("attempts");
    assert_eq!((attempts.len(), attempts[0]["code"].as_str()), (1, Some("28014043")), "{refused}");
    server.sandbox.world().faults.token_revoked = true;
    let good = insert(&program, &with("_000good", 200)).await;
    let good = program.wait(&good, 20, |r| r["state"] == "sent").await;
    let codes: Vec<&str> =
        good["attempts"].as_array().into_iter().flatten().filter_map(|a| a["code"].as_str()).collect();
    assert!(codes.iter().all(|code| *code == "28001003"), "{good}");
    let messages = server.sandbox.world().messages().to_vec();
    assert_eq!(
        (messages.len(), messages[0].openid.as_str(), messages[0].page.as_deref()),
        (1, "_000good", Some("pages/index?id=42"))
    );
    let (_, why) = program.get(&format!("/v1/reminders/{}/explain", refused["id"].as_str().expect("an id"))).await;
    assert!(why["en"].as_str().is_some_and(|en| en.contains("subscribed")), "{why}");
    // Keyword names are the platform's: another one is refused at once.
    let mut strange = with("_000good", 3_600_000);
    strange["data"] = json!({ "事项": "体检", "时间": "09:00" });
    let (status, problem) = program.post("/v1/reminders", &strange).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("unknown_field")), "{problem}");
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_replayed_and_broken_webhooks_have_a_clear_answer_and_no_effect() {
    let server = sandbox_with("app-secret").await;
    // The app's own secret signs, unless another is named.
    let site = site(&server, "consents = \"callback\"\ncallback = {}");
    let program = site.serve_with_key();
    let ours = Webhook::new(APPID.into(), "app-secret".into()).expect("a secret");
    let body = |event: &str, at: Millis| {
        let content = json!({ "msg_id": REMIND, "time": at / SECOND, "subscribe_action": 1 }).to_string();
        json!({ "event": event, "client_key": APPID, "from_user_id": "_000victim", "to_user_id": "", "content": content })
            .to_string()
    };
    let post = async |body: &str, signature: &str, id: &str| {
        let request = program.http.post(format!("{}/callback/coffee", program.base)).body(body.to_owned());
        let answer =
            request.header("X-Douyin-Signature", signature).header("Msg-Id", id).send().await.expect("an answer");
        let content_type = answer.headers()["content-type"].to_str().expect("text").to_owned();
        (answer.status().as_u16(), answer.text().await.expect("a text"), content_type)
    };
    let good = body("user_subscribe_action", now());
    let other = Webhook::new(APPID.into(), "another".into()).expect("a secret");
    let of_another_app = good.replace(APPID, "ttdemo0000000002");
    let trailing = format!("{good}\n");
    let old = body("user_subscribe_action", now() - 2 * DAY);
    let table = [
        ("unsigned", good.clone(), String::new(), 403),
        ("another secret", good.clone(), other.sign(good.as_bytes()), 403),
        ("a byte changed", good.replace("victim", "victin"), ours.sign(good.as_bytes()), 403),
        ("another app", of_another_app.clone(), ours.sign(of_another_app.as_bytes()), 403),
        ("trailing bytes", trailing.clone(), ours.sign(trailing.as_bytes()), 400),
        ("days old", old.clone(), ours.sign(old.as_bytes()), 403),
        ("no JSON", "hello".into(), ours.sign(b"hello"), 400),
        ("nothing", String::new(), ours.sign(b""), 400),
    ];
    for (what, body, signature, status) in table {
        let answer = post(&body, &signature, "1").await;
        assert_eq!(answer.0, status, "{what}: {answer:?}");
        assert!(answer.1.starts_with("refused: ") && !answer.1.contains("victim"), "{what}: {answer:?}");
        assert!(what != "another secret" || answer.1.contains("secret"), "{answer:?}");
    }
    assert_eq!(available(&program, "_000victim").await, 0, "nothing of it was believed");
    let unknown = body("something_new", now());
    assert_eq!(post(&unknown, &ours.sign(unknown.as_bytes()), "1").await.0, 200);

    // The console asks whether the address is ours.
    let challenge =
        json!({ "event": "verify_webhook", "client_key": APPID, "content": { "challenge": 12_345 } }).to_string();
    let answer = post(&challenge, &ours.sign(challenge.as_bytes()), "1").await;
    assert_eq!(answer, (200, r#"{"challenge":12345}"#.into(), "application/json".into()));

    // The right one counts once: sent again, replayed under another id, or another of the same id.
    let signature = ours.sign(good.as_bytes());
    let later = body("user_subscribe_action", now() + 5 * SECOND);
    for (body, id) in [(&good, "7"), (&good, "7"), (&good, "8"), (&later, "7")] {
        assert_eq!(post(body, &ours.sign(body.as_bytes()), id).await.1, "success");
    }
    assert_eq!(available(&program, "_000victim").await, 1);
    assert_eq!(post(&later, &ours.sign(later.as_bytes()), "9").await.0, 200);
    assert_eq!(available(&program, "_000victim").await, 2, "another tap");
    let get = program.http.get(format!("{}/callback/coffee?x={signature}", program.base)).send().await;
    assert_eq!(get.expect("an answer").status(), 400);
    let (status, log) = program.terminate();
    assert!(status.success() && !log.contains("_000victim"), "I9: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_says_of_the_webhook_what_it_is_and_what_is_missing_without_it() {
    let server = sandbox_with("app-secret").await;
    for (callback, level, words) in [
        ("", "warning", "that a banner failed"),
        ("callback = {}", "ok", "signed, at /callback/coffee; taps by the mini-program's word"),
    ] {
        let (_, out, said) = site(&server, callback).run(&["doctor", "--json"]);
        let told: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {said}"));
        let of = |name: &str| told["checks"].as_array().expect("checks").iter().find(|check| check["check"] == name);
        let check = of("coffee: callback").expect("it is looked at");
        assert!(
            check["level"] == level && check["found"].as_str().is_some_and(|found| found.contains(words)),
            "{check}"
        );
        assert_eq!(of("coffee: credentials").map(|check| &check["level"]), Some(&json!("ok")), "{out}");
        assert!(of("coffee: IP whitelist").is_none(), "the platform has none: {out}");
    }
}

#[test]
fn what_only_another_platform_has_is_refused_by_the_configuration() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let check = |app: &str| {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite:tixing.db\"\n[[app]]\nname = \"coffee\"\nplatform = \"douyin\"\nappid = \"{APPID}\"\n{app}\n[[app.template]]\nid = \"{REMIND}\"\nkind = \"one-time\"\nfields = {{ \"时间\" = \"时间\" }}\n"
        );
        std::fs::write(site.path("tixing.toml"), text).expect("written");
        let (code, _, said) = site.run(&["check"]);
        (code, said)
    };
    let secret = |more: &str| {
        format!("secret = {{ env = \"SECRET\" }}\n{more}\n[[app.template]]\nid = \"MSG9\"\nkind = \"one-time\"")
    };
    let keywords = |n: u32| {
        let all: Vec<String> = (1..=n).map(|i| format!("\"关键词{i}\" = \"关键词\"")).collect();
        format!("{}\nfields = {{ {} }}", secret(""), all.join(", "))
    };
    let plain = "fields = { \"时间\" = \"时间\" }";
    let elsewhere = "token = { url = \"http://127.0.0.1:1/\" }\ncallback = {}";
    for (app, code, said) in [
        ("secret = { env = \"SECRET\" }\ncallback = {}", 0, ""),
        ("", 78, "missing field `secret`"),
        (
            "secret = { env = \"SECRET\" }\ncallback = { token = { env = \"SECRET\" } }",
            78,
            "unknown key or value «token»; allowed are secret",
        ),
        (elsewhere, 78, "a webhook is signed with a secret"),
        (
            &*format!("{}\nperiod = \"1d\"\n{plain}", secret("").replace("one-time", "long-term")),
            78,
            "a long-term template has no period: leave it out",
        ),
        (&*keywords(10), 0, ""),
        (&*keywords(11), 78, "a template has 1 to 10 fields; found 11"),
        (&*format!("{}\ncharacters = 30\n{plain}", secret("")), 0, ""),
        (&*format!("{}\ncharacters = 501\n{plain}", secret("")), 78, "characters is 501; allowed are 1 to 500"),
        (&*format!("{}\ncharacters = 0\n{plain}", secret("")), 78, "characters is 0; allowed are 1 to 500"),
        (&*format!("{}\n{plain}", secret("notify_type = \"both\"")), 0, ""),
        (
            &*format!("{}\n{plain}", secret("notify_type = \"1\"")),
            78,
            "unknown key or value «\"1\"»; allowed are auto, banner, message, both",
        ),
    ] {
        let answer = check(app);
        assert!(answer.0 == code && answer.1.contains(said), "{app}: {answer:?}");
    }
}
