//! Kuaishou against its face of the sandbox. Its requests are written from the documents and not recorded from anybody's client, so this
//! proves that both sides read the documents alike, and no more.

use crate::harness::{
    EVENT, accepted_reminder, program,
    program::{SandboxServer, Site},
    rig::{Rig, at, on_both_rigs},
    sample,
};
use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tixing::{
    clock::ManualClock,
    config::App,
    domain::reminder::{NewReminder, State},
    platform::kuaishou::FACTS,
    sandbox::{Faults, Sandbox},
};
use tower::ServiceExt;

const APPID: &str = FACTS.sample.appid;
const TEMPLATE: &str = "ks-event-reminder-0001";
const COUPON: &str = EVENT;

fn on_kuaishou(app: &mut App) {
    if app.name == "coffee" {
        // The store knows the templates of the configuration that it was opened with.
        let mut coupon = sample(&FACTS, "http://sandbox").templates.remove(1);
        coupon.code = COUPON.to_owned();
        *app = App { templates: vec![coupon], ..sample(&FACTS, "http://sandbox") };
    }
}

fn reminder(openid: &str) -> NewReminder {
    NewReminder {
        template: COUPON.into(),
        page: Some("/pages/coupon".into()),
        data: r#"{"thing01":"九折券","amount01":"28","date01":"2027年3月1日"}"#.into(),
        ..accepted_reminder(openid, at(10))
    }
}

fn tap(rig: &Rig, openid: &str) {
    rig.sandbox.world().tap(APPID, openid, COUPON, true);
}

#[tokio::test]
async fn a_reminder_arrives_as_the_documents_want_it() {
    on_both_rigs(on_kuaishou, async |mut rig| {
        tap(&rig, "u1");
        rig.store().insert(vec![reminder("u1")]).await.expect("inserted");
        rig.engine.turn().await;
        rig.pass(9_999, 333).await;
        assert_eq!(rig.messages(), [], "not early");
        rig.pass(2_000, 100).await;
        let messages = rig.messages();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].page.as_deref(), Some("pages/coupon"));
        assert_eq!((&*messages[0].data["date01"], &*messages[0].data["amount01"]), ("2027年03月01号", "28"));
        assert_eq!(rig.states().await, [(State::Sent, None)]);
        rig
    })
    .await;
}

#[tokio::test]
async fn every_answer_settles_the_reminder_with_a_reason() {
    let faults = |change: fn(&mut Faults)| {
        let mut faults = Faults::default();
        change(&mut faults);
        faults
    };
    // (what goes wrong, how it looks after a minute, how often the user got it)
    for (what, faults, state, code, received) in [
        ("a revoked token", faults(|f| f.token_revoked = true), State::Sent, None, 1),
        ("too fast", faults(|f| f.minute_left = Some(0)), State::Scheduled, Some("10000302"), 0),
        ("a failure of theirs", faults(|f| f.busy_rate = 1.0), State::Scheduled, Some("10000500"), 0),
        ("spam", faults(|f| f.account_code = Some(10_000_303)), State::Failed, Some("10000303"), 0),
        ("a wrong secret", faults(|f| f.account_code = Some(100_200_101)), State::Scheduled, Some("100200101"), 0),
        ("no time left", faults(|f| f.account_code = Some(504_001)), State::Unconfirmed, Some("unconfirmed"), 0),
        ("a lost answer", faults(|f| f.reset_after_rate = 1.0), State::Unconfirmed, Some("unconfirmed"), 1),
        ("nobody knows", faults(|f| f.account_code = Some(987_654)), State::Failed, Some("987654"), 0),
    ] {
        on_both_rigs(on_kuaishou, async |mut rig| {
            eprintln!("{what}");
            tap(&rig, "u1");
            rig.store().insert(vec![reminder("u1")]).await.expect("inserted");
            rig.engine.turn().await;
            rig.sandbox.world().faults = faults.clone();
            rig.pass(70_000, 500).await;
            assert_eq!(rig.states().await, [(state, code.map(str::to_owned))], "{what}");
            assert_eq!(rig.messages().len(), received, "{what}");
            rig
        })
        .await;
    }
}

#[tokio::test]
async fn a_refusal_with_a_code_that_nobody_knows_ends_the_reminder_at_once_and_keeps_the_consent() {
    on_both_rigs(on_kuaishou, async |mut rig| {
        // The user has not accepted on the platform, whatever the mini-program has said.
        rig.store().insert(vec![reminder("u1")]).await.expect("inserted");
        rig.pass(15_000, 500).await;
        assert_eq!(rig.states().await, [(State::Failed, Some("100200999".to_owned()))]);
        assert_eq!(rig.store().balances("coffee", "u1").await.expect("answers")[COUPON].available, 1);
        rig
    })
    .await;
}

async fn post(sandbox: &Sandbox, path: &str, kind: &str, body: &str) -> Value {
    let request = Request::post(path).header("content-length", body.len()).header("content-type", kind);
    let response = sandbox
        .router()
        .oneshot(request.body(Body::from(body.to_owned())).expect("a request"))
        .await
        .expect("infallible");
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

#[tokio::test]
async fn the_requests_composed_from_the_documents_get_the_answers_that_the_documents_show() {
    let sandbox = Sandbox::new(ManualClock::at(crate::harness::START), 1);
    let form = "application/x-www-form-urlencoded";
    let order = json!({ "platform": "kuaishou", "appid": APPID, "secret": "demo-secret", "templates": [
        { "id": "demo-template-id", "kind": "one-time", "fields": { "thing01": "事项", "date01": "日期" } }] });
    post(&sandbox, "/_sandbox/apps", "application/json", &order.to_string()).await;
    let popup = json!({ "appid": APPID, "openid": "demoOpenId", "results": { "demo-template-id": "accept" } });
    let popup = post(&sandbox, "/_sandbox/popup", "application/json", &popup.to_string()).await;
    assert_eq!(popup, json!({ "errMsg": "requestSubscribeMessage:ok", "demo-template-id": "accept" }));

    let all: Value = serde_json::from_str(include_str!("../vectors/platforms.json")).expect("JSON");
    let composed = |id: &str| {
        let all = all["composed_requests"].as_array().expect("a list").iter();
        let found = all.clone().find(|request| request["id"] == id).expect("there is one");
        let path = found["url"].as_str().expect("a URL").trim_start_matches(FACTS.base_url).to_owned();
        (path, found["body"].as_str().expect("a form").to_owned())
    };
    let (path, body) = composed("kuaishou_token");
    let first = post(&sandbox, &path, form, &body).await;
    assert_eq!((&first["result"], &first["expires_in"]), (&json!(1), &json!(172_800)));
    assert_eq!(post(&sandbox, &path, form, &body.replace("demo-secret", "x")).await["result"], 100_200_101);
    let second = post(&sandbox, &path, form, &body).await;
    assert_ne!(first["access_token"], second["access_token"]);

    let (path, body) = composed("kuaishou_send");
    assert_eq!(post(&sandbox, &path, form, &body).await["result"], 100_200_102, "nobody was given that token");
    // A new token leaves the one before it as it is.
    let body = body.replace("demo-token", first["access_token"].as_str().expect("a token"));
    for (changed, result) in [
        (body.replace("template_id=demo-template-id&", ""), 10_000_200),
        (body.replace("page=pages%2Findex&", ""), 10_000_200),
        (body.replace("demo-template-id", "another"), 100_200_100),
        (body.replace("%E5%8F%B7", ""), 100_200_100),
        (body.replace("demoOpenId", "another"), 100_200_999),
        (body.clone(), 1),
        (body.clone(), 100_200_999),
    ] {
        assert_eq!(post(&sandbox, &path, form, &changed).await["result"], result, "{changed}");
    }
    let popup = json!({ "appid": APPID, "openid": "demoOpenId", "results": { "demo-template-id": "accept" } });
    post(&sandbox, "/_sandbox/popup", "application/json", &popup.to_string()).await;
    let (query, rest) = body.split_at(body.find("template_id").expect("there"));
    let by_query = post(&sandbox, &format!("{path}?{}", query.trim_end_matches('&')), form, rest).await;
    assert_eq!(by_query["result"], 1, "{by_query}");
}

/// A reminder that is due in a moment.
fn due(openid: &str, page: &str) -> Value {
    let at = tixing::domain::timing::rfc3339(program::now() + 1_000);
    json!({ "app": "coffee", "openid": openid, "template": "event-start", "at": at, "page": page,
            "data": { "thing01": "周三读书会", "thing02": "2027年3月1日 10:00", "thing03": "二楼" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_that_init_configures_sends_through_the_sandbox() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::of(&FACTS, &sandbox, "");
    let daemon = site.serve_with_key();
    let openid = (FACTS.sample.openid)(1);
    sandbox.sandbox.world().tap(APPID, &openid, TEMPLATE, true);
    let result = json!({ "errMsg": "requestSubscribeMessage:ok", TEMPLATE: "accept" });
    let report = json!({ "app": "coffee", "openid": openid, "event": "tap-1", "result": result });
    let (status, answer) = daemon.post("/v1/consents", &report).await;
    assert_eq!((status.as_u16(), &answer["balances"][0]["available"]), (200, &json!(1)), "{answer}");
    let (status, refused) = daemon.post("/v1/reminders", &due(&openid, "pages/event?id=7")).await;
    assert_eq!((status.as_u16(), &refused["param"]), (422, &json!("/page")), "{refused}");
    let (status, made) = daemon.post("/v1/reminders", &due(&openid, "pages/event")).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("/v1/reminders/{}", made["id"].as_str().expect("an id"));
    let sent = daemon.wait(&path, 20, |reminder| reminder["state"] == "sent").await;
    assert_eq!(sent["attempts"][0]["outcome"], "sent", "{sent}");
    assert_eq!(sandbox.sandbox.world().messages().len(), 1);
    daemon.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_says_which_code_means_that_the_user_has_not_subscribed() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::of(&FACTS, &sandbox, "codes = { \"100200999\" = \"deny\" }");
    let daemon = site.serve_with_key();
    // The mini-program tells of two taps, and the platform knows of none.
    let openid = (FACTS.sample.openid)(2);
    for tap in ["tap-1", "tap-2"] {
        let report = json!({ "app": "coffee", "openid": openid, "event": tap, "result": { TEMPLATE: "accept" } });
        assert_eq!(daemon.post("/v1/consents", &report).await.0, 200);
    }
    let (status, made) = daemon.post("/v1/reminders", &due(&openid, "pages/event")).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("/v1/reminders/{}", made["id"].as_str().expect("an id"));
    let failed = daemon.wait(&path, 20, |reminder| reminder["state"] == "failed").await;
    assert_eq!(failed["attempts"][0]["code"], "100200999", "{failed}");
    let (_, consents) = daemon.get(&format!("/v1/consents?app=coffee&openid={openid}")).await;
    assert_eq!((&consents["balances"][0]["void"], &consents["balances"][0]["available"]), (&json!(2), &json!(0)));
    daemon.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_without_a_token_misses_nothing_that_the_platform_does_not_tell_anyway() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::of(&FACTS, &sandbox, "");
    std::fs::write(site.path("coffee.secret"), "wrong").expect("written");
    let (code, out, said) = site.run(&["doctor", "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {said}"));
    let level = |name: &str| {
        let checks = told["checks"].as_array().expect("checks");
        checks.iter().find(|check| check["check"] == name).map(|check| check["level"].clone())
    };
    assert_eq!((code, level("coffee: credentials")), (1, Some(json!("failed"))), "{out}");
    assert_eq!((level("coffee: templates"), level("coffee: quota")), (None, None), "{out}");
}
