//! Baidu's adapter, and the daemon, against its face of the sandbox, whose ledger of tickets judges.

use crate::harness::{
    START, program,
    program::{Program, SandboxServer, Site},
    rig::deliver,
    sample,
};
use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use tixing::{
    clock::ManualClock,
    domain::{DAY, consent::Ticket, options::Options, outcome::Outcome},
    platform::{Adapter, Auth, Send, baidu::FACTS},
    sandbox::Sandbox,
};
use tower::ServiceExt;

const APP_KEY: &str = FACTS.sample.appid;
const TEMPLATE: &str = "BD-event-reminder-0001";

/// The sandbox, and an adapter that has a token.
struct Stand {
    sandbox: Sandbox,
    clock: Arc<ManualClock>,
    adapter: Box<dyn Adapter>,
    auth: Auth,
}

impl Stand {
    async fn new() -> Self {
        let clock = ManualClock::at(START);
        let sandbox = Sandbox::new(clock.clone(), 1);
        let app = sample(&FACTS, "http://sandbox");
        sandbox.world().add_configured(&app);
        let mut stand = Self { sandbox, clock, adapter: app.adapter(), auth: Auth::Nothing };
        stand.renew().await;
        stand
    }

    async fn renew(&mut self) {
        let tokens = self.adapter.tokens().expect("has tokens");
        let answer = deliver(self.sandbox.router(), tokens.request(false), None).await.expect("an answer");
        self.auth = Auth::Token(tokens.read(&answer).expect("granted").token);
    }

    /// The user submits, or pays; answers what the client gives.
    async fn popup(&self, openid: &str, word: &str, ticket: Value) -> Value {
        let mut order = json!({ "appid": APP_KEY, "openid": openid, "results": { TEMPLATE: word } });
        order.as_object_mut().expect("it is").extend(ticket.as_object().expect("it is").clone());
        post(&self.sandbox, "/_sandbox/popup", "application/json", &order.to_string()).await
    }

    /// Sends one message: its id, or the code of the refusal.
    async fn send(&self, openid: &str, kind: &str, id: &str) -> Result<String, String> {
        let ticket = Ticket { kind: kind.into(), id: id.into() };
        let send = Send {
            openid,
            template: TEMPLATE,
            page: Some("pages/event?id=7"),
            data: r#"{"keyword1":"周三读书会","keyword2":"2027年3月1日 10:00","keyword3":"二楼"}"#,
            options: &Options::new(),
            ticket: Some(&ticket),
        };
        let request = self.adapter.build(&send, &self.auth, START);
        match self.adapter.classify(&deliver(self.sandbox.router(), request, None).await.expect("an answer")) {
            Outcome::Accepted { message_id } => Ok(message_id.expect("there is one")),
            Outcome::Answered { code, .. } => Err(code),
            other => Err(other.label().to_owned()),
        }
    }
}

async fn post(sandbox: &Sandbox, path: &str, kind: &str, body: &str) -> Value {
    let request = Request::post(path).header("content-length", body.len()).header("content-type", kind);
    let response = sandbox
        .router()
        .oneshot(request.body(Body::from(body.to_owned())).expect("a request"))
        .await
        .expect("infallible");
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
}

fn code(code: &str) -> Result<String, String> {
    Err(code.to_owned())
}

#[tokio::test]
async fn a_subscription_pays_once_and_accepting_again_under_its_id_adds_nothing() {
    let stand = Stand::new().await;
    assert_eq!(stand.send("u1", "subscribe", "tx-1").await, code("4007"), "nobody has accepted");
    let given = stand.popup("u1", "accept", json!({ "subscribe_id": "tx-1" })).await;
    assert_eq!((FACTS.popup.read)(&given), Ok([(String::new(), true.into())].into()), "{given}");
    stand.popup("u1", "accept", json!({ "subscribe_id": "tx-1" })).await;
    assert_eq!(stand.send("u2", "subscribe", "tx-1").await, code("4007"), "another's");
    stand.clock.advance(29 * DAY);
    assert!(stand.send("u1", "subscribe", "tx-1").await.is_ok(), "it has no end");
    assert_eq!(stand.send("u1", "subscribe", "tx-1").await, code("4007"), "used");
    stand.popup("u1", "accept", json!({ "subscribe_id": "tx-2" })).await;
    assert!(stand.send("u1", "subscribe", "tx-2").await.is_ok());
    let given = stand.popup("u1", "reject", json!({ "subscribe_id": "tx-3" })).await;
    assert_eq!((FACTS.popup.read)(&given), Ok([(String::new(), false.into())].into()), "{given}");
    assert_eq!(stand.send("u1", "subscribe", "tx-3").await, code("4007"), "refused");
    let ledger = stand.sandbox.world().ledger();
    let mine = ledger.iter().find(|entry| entry.openid == "u1").expect("there is one");
    assert_eq!((mine.granted, mine.used), (2, 2));
}

#[tokio::test]
async fn a_form_pays_once_and_an_order_three_times_within_seven_days() {
    let mut stand = Stand::new().await;
    let ticket = |kind: &str, id: &str| json!({ "ticket": { "kind": kind, "id": id } });
    let form = stand.popup("u1", "accept", ticket("form", "f1")).await;
    assert_eq!(form["formId"], "f1");
    stand.popup("u1", "accept", ticket("form", "f2-1")).await;
    stand.popup("u1", "accept", ticket("payment", "p1")).await;
    stand.popup("guest", "accept", ticket("order", "o0")).await;
    assert!(stand.send("u1", "form", "f1").await.is_ok());
    assert_eq!(stand.send("u1", "form", "f1").await, code("4003"), "used");
    assert_eq!(stand.send("u2", "payment", "p1").await, code("4004"), "another's");
    for _ in 0..2 {
        assert!(stand.send("u1", "payment", "p1").await.is_ok());
        assert!(stand.send("guest", "order", "o0").await.is_ok());
    }
    stand.clock.advance(7 * DAY - 1);
    stand.renew().await;
    assert!(stand.send("u1", "payment", "p1").await.is_ok(), "the last moment of seven days");
    assert_eq!(stand.send("u1", "payment", "p1").await, code("4003"), "three times");
    stand.clock.advance(1);
    assert_eq!(stand.send("u1", "form", "f2-1").await, code("4004"), "it has ended");
    assert_eq!(stand.send("guest", "order", "o0").await, code("4004"), "it has ended");
    assert_eq!(stand.send("u1", "form", "never").await, code("4003"));
    for entry in stand.sandbox.world().ledger() {
        assert!(entry.used <= entry.granted, "{entry:?}");
    }
}

#[tokio::test]
async fn an_order_to_the_popup_names_what_it_brings() {
    let stand = Stand::new().await;
    for (order, said) in [
        (json!({}), "name what it brings"),
        (json!({ "ticket": { "kind": "coupon", "id": "c1" } }), "the kinds of tickets here are"),
        (json!({ "subscribe_id": "s", "ticket": { "kind": "form", "id": "f" } }), "not both"),
    ] {
        let answer = stand.popup("u1", "accept", order).await;
        assert!(answer.as_str().is_some_and(|text| text.contains(said)), "{answer}");
    }
}

#[tokio::test]
async fn a_send_is_refused_by_its_cause() {
    let mut stand = Stand::new().await;
    stand.popup("u1", "accept", json!({ "subscribe_id": "tx-1" })).await;
    let send = async |stand: &Stand| stand.send("u1", "subscribe", "tx-1").await;
    stand.sandbox.world().faults.token_revoked = true;
    assert_eq!(send(&stand).await, code("110"));
    stand.renew().await;
    stand.sandbox.world().faults.busy_rate = 1.0;
    assert_eq!(send(&stand).await, code("2"));
    stand.sandbox.world().faults.busy_rate = 0.0;
    stand.sandbox.world().faults.quota_left = Some(0);
    assert_eq!(send(&stand).await, code("17"));
    stand.sandbox.world().faults = Default::default();
    for (account, told) in [(6_001, "6001"), (6, "6"), (4_002, "unknown")] {
        stand.sandbox.world().faults.account_code = Some(account);
        assert_eq!(send(&stand).await, code(told));
    }
    stand.sandbox.world().faults = Default::default();
    let other = Auth::Token("24.never".into());
    let own = std::mem::replace(&mut stand.auth, other);
    assert_eq!(send(&stand).await, code("110"));
    stand.auth = own;
    assert!(send(&stand).await.is_ok());
    stand.clock.advance(30 * DAY);
    assert_eq!(send(&stand).await, code("111"), "a token ends");
}

#[tokio::test]
async fn the_recorded_requests_of_baidus_own_client_get_the_answers_that_it_expects() {
    let sandbox = Sandbox::new(ManualClock::at(START), 1);
    let (json_kind, form) = ("application/json", "application/x-www-form-urlencoded");
    let order = json!({ "platform": "baidu", "appid": "demoKey", "secret": "demoSecret", "templates": [
        { "id": "demo-template-id", "kind": "one-time", "fields": { "keyword1": "事项", "keyword2": "时间" } }] });
    post(&sandbox, "/_sandbox/apps", json_kind, &order.to_string()).await;
    let popup = json!({ "appid": "demoKey", "openid": "demoOpenId", "results": { "demo-template-id": "accept" },
                        "ticket": { "kind": "form", "id": "abcdef1" } });
    post(&sandbox, "/_sandbox/popup", json_kind, &popup.to_string()).await;
    let all: Value = serde_json::from_str(include_str!("../vectors/platforms.json")).expect("JSON");
    let recorded = |id: &str| {
        let found = all["golden_requests"].as_array().expect("a list").iter().find(|request| request["id"] == id);
        let found = found.expect("there is one");
        (found["path"].as_str().expect("a path").to_owned(), found["body"].as_str().expect("a text").to_owned())
    };
    let (path, _) = recorded("baidu_token");
    let response = sandbox.router().oneshot(Request::get(path).body(Body::empty()).expect("a request")).await;
    let bytes = response.expect("infallible").into_body().collect().await.expect("a body").to_bytes();
    let token: Value = serde_json::from_slice(&bytes).expect("JSON");
    let token = token["access_token"].as_str().expect("a token");
    let (path, body) = recorded("baidu_template_send");
    assert_eq!(post(&sandbox, &path, form, &body).await["error_code"], 110, "nobody was given that token");
    let path = path.replace("24.demo", token);
    let sent = post(&sandbox, &path, form, &body).await;
    assert!(sent["errno"] == 0 && sent["data"]["msg_key"].is_u64(), "{sent}");
    assert_eq!(post(&sandbox, &path, form, &body).await["errno"], 4_003, "the form was used");
}

/// The daemon, and the sandbox on its port.
struct Served {
    sandbox: SandboxServer,
    daemon: Program,
    _site: Site,
}

impl Served {
    async fn new() -> Self {
        let sandbox = SandboxServer::start(1).await;
        let site = Site::of(&FACTS, &sandbox, "");
        let daemon = site.serve_with_key();
        Self { sandbox, daemon, _site: site }
    }

    /// The id for a dialog.
    async fn prepared(&self, openid: &str) -> String {
        let body = json!({ "app": "coffee", "openid": openid, "template": "event-start" });
        let (status, prepared) = self.daemon.post("/v1/consents/prepare", &body).await;
        assert_eq!(status, 200, "{prepared}");
        prepared["subscribe_id"].as_str().expect("an id").to_owned()
    }

    /// The user submits a form, or pays; the client's detail.
    async fn popup(&self, openid: &str, word: &str, ticket: Value) -> Value {
        let mut order = json!({ "appid": APP_KEY, "openid": openid, "results": { TEMPLATE: word } });
        order.as_object_mut().expect("it is").extend(ticket.as_object().expect("it is").clone());
        post(&self.sandbox.sandbox, "/_sandbox/popup", "application/json", &order.to_string()).await
    }

    /// Tells the daemon of it; the status, and how many of the user's consents are available.
    async fn report(&self, openid: &str, more: Value) -> (u16, Value) {
        let mut body = json!({ "app": "coffee", "openid": openid });
        body.as_object_mut().expect("it is").extend(more.as_object().expect("it is").clone());
        let (status, answer) = self.daemon.post("/v1/consents", &body).await;
        let told = if status == 200 { &answer["balances"][0]["available"] } else { &answer["code"] };
        (status.as_u16(), told.clone())
    }

    /// A reminder that is due in a moment; the status, and the reminder or the problem.
    async fn remind(&self, openid: &str, accepted: Option<Value>) -> (u16, Value) {
        let at = tixing::domain::timing::rfc3339(program::now() + 1_000);
        let mut body = json!({ "app": "coffee", "openid": openid, "template": "event-start", "at": at, "page": "pages/event?id=7",
            "data": { "keyword1": "周三读书会", "keyword2": "2027年3月1日 10:00", "keyword3": "二楼" } });
        if let Some(accepted) = accepted {
            body["accepted"] = accepted;
        }
        let (status, answer) = self.daemon.post("/v1/reminders", &body).await;
        (status.as_u16(), answer)
    }

    /// Waits for a reminder's end, and answers it.
    async fn ended(&self, made: &Value) -> Value {
        let path = format!("/v1/reminders/{}", made["id"].as_str().expect("an id"));
        self.daemon
            .wait(&path, 20, |reminder| !["scheduled", "sending"].contains(&reminder["state"].as_str().unwrap_or("")))
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_prepares_an_id_counts_it_once_and_sends_by_it() {
    let served = Served::new().await;
    let id = served.prepared("u1").await;
    let detail = served.popup("u1", "accept", json!({ "subscribe_id": id })).await;
    let whole = json!({ "subscribe_id": id, "result": detail });
    assert_eq!(served.report("u2", whole.clone()).await.0, 422, "another user's id");
    assert_eq!(
        served.report("u1", json!({ "results": { "event-start": "accept" } })).await,
        (422, json!("ticket_needed"))
    );
    assert_eq!(served.report("u1", whole.clone()).await, (200, json!(1)));
    assert_eq!(served.report("u1", whole).await, (200, json!(1)), "the same id counts once");
    let (status, made) = served.remind("u1", None).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(served.remind("u1", None).await.0, 409, "one id, one send");
    let sent = served.ended(&made).await;
    assert_eq!(sent["state"], "sent", "{sent}");
    assert!(sent["attempts"][0]["message_id"].is_string(), "{sent}");

    // Somebody who had their data deleted is not asked again: nothing that they accept would be recorded.
    let forget = json!({ "app": "coffee", "openid": "u9" });
    assert!(served.daemon.post("/v1/users/forget", &forget).await.0.is_success());
    let wanted = json!({ "app": "coffee", "openid": "u9", "template": "event-start" });
    let (status, refused) = served.daemon.post("/v1/consents/prepare", &wanted).await;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("user_forgotten")), "{refused}");

    // A refusal grants nothing.
    let refused = served.prepared("u3").await;
    let detail = served.popup("u3", "reject", json!({ "subscribe_id": refused })).await;
    let (status, _) = served.report("u3", json!({ "subscribe_id": refused, "result": detail })).await;
    assert_eq!((status, served.remind("u3", None).await.0), (200, 409));
    served.daemon.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_pays_for_three_reminders_and_a_guest_is_named_by_the_device() {
    let served = Served::new().await;
    let order = json!({ "ticket": { "kind": "order", "id": "order-0" } });
    served.popup("guest", "accept", order.clone()).await;
    let (status, first) = served.remind("guest", Some(order)).await;
    assert_eq!(status, 201, "{first}");
    for _ in 0..2 {
        let (status, made) = served.remind("guest", None).await;
        assert_eq!(status, 201, "{made}");
        let sent = served.ended(&made).await;
        assert_eq!(sent["state"], "sent", "{sent}");
    }
    assert_eq!(served.ended(&first).await["state"], "sent");
    assert_eq!(served.remind("guest", None).await.0, 409, "three times");
    served.daemon.terminate();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_subscription_voids_its_ticket_alone() {
    let served = Served::new().await;
    let (id, form) = (served.prepared("u1").await, json!({ "ticket": { "kind": "form", "id": "f1" } }));
    // The platform knows nothing of the id, and of the form it does.
    served.popup("u1", "accept", form.clone()).await;
    served.report("u1", json!({ "subscribe_id": id, "results": { "event-start": "accept" } })).await;
    let (_, made) = served.remind("u1", None).await;
    let failed = served.ended(&made).await;
    assert_eq!((&failed["state"], &failed["attempts"][0]["code"]), (&json!("failed"), &json!("4007")), "{failed}");
    let mut report = form;
    report["results"] = json!({ "event-start": "accept" });
    assert_eq!(served.report("u1", report).await, (200, json!(1)));
    let (_, made) = served.remind("u1", None).await;
    assert_eq!(served.ended(&made).await["state"], "sent");
    served.daemon.terminate();
}
