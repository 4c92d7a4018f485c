//! What an accept is worth, told as the client gives it and spent over the real API: sends in a period on Douyin, tickets on Baidu.

use crate::{
    harness::{self, START, TestStore, on_both_of, sample},
    store::check_ledger,
};
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use tixing::{
    api::Api,
    config::App,
    domain::{DAY, HOUR, Millis, template::Times, timing::rfc3339},
    metrics::Metrics,
    platform::{Facts, baidu, douyin},
    store::{
        port::{Entry, Marked, Queue},
        retention::Walk,
    },
};
use tower::ServiceExt;

/// Sends that one accept is worth, and for how long.
const TIMES: Times = Times { sends: 3, period: 30 * DAY };
const USER: &str = "o1";

fn apps(facts: &Facts) -> Vec<App> {
    let mut app = sample(facts, "http://127.0.0.1:1");
    app.templates.iter_mut().for_each(|template| template.times = facts.accepts_many.then_some(TIMES));
    vec![app]
}

/// The API over a store, with the one app.
struct Office<'a> {
    test: &'a TestStore,
    router: Router,
    facts: &'static Facts,
    template: String,
}

impl<'a> Office<'a> {
    async fn new(test: &'a TestStore, facts: &'static Facts) -> Self {
        let mut config = harness::config("http://127.0.0.1:1");
        config.apps = apps(facts);
        let template = config.apps[0].templates[0].code.clone();
        let (store, clock) = (test.store.clone(), test.clock.clone());
        let api = Api::new(Arc::new(config), store, clock, Arc::new(Metrics::default()), None).await;
        Self { test, router: api.owner_router(), facts, template }
    }

    async fn call(&self, method: &str, path: &str, kind: &str, body: String) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).header("content-type", kind).body(Body::from(body));
        let response = self.router.clone().oneshot(request.expect("a request")).await.expect("infallible");
        let (status, body) = (response.status(), response.into_body().collect().await.expect("a body").to_bytes());
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.call("POST", path, "application/json", body.to_string()).await
    }

    /// Tells of an answer; what was recorded, and how many consents are available then.
    async fn tell(&self, more: Value) -> (Value, i64) {
        let mut body = json!({ "app": "coffee", "openid": USER });
        body.as_object_mut().expect("it is").extend(more.as_object().expect("it is").clone());
        let (status, told) = self.post("/v1/consents", &body).await;
        assert_eq!(status, 200, "{told}");
        (told["recorded"].clone(), told["balances"][0]["available"].as_i64().unwrap_or(0))
    }

    /// The body of a reminder at an instant.
    fn reminder(&self, at: Millis) -> Value {
        let [what, when, place] = self.facts.sample.event;
        json!({ "app": "coffee", "openid": USER, "template": "event-start", "at": rfc3339(at), "page": "pages/event",
                "data": { what: "品鉴会", when: "19:30", place: "露台" } })
    }

    async fn insert(&self, at: Millis) -> (u16, Value) {
        let (status, answer) = self.post("/v1/reminders", &self.reminder(at)).await;
        (status.as_u16(), answer)
    }

    /// All that is due now arrives.
    async fn send(&self, now: Millis) -> usize {
        let store = &self.test.store;
        let jobs = store.prefetch(store.lane("coffee"), (0, 0), now, 100).await.expect("answers");
        let marked = store.mark(jobs.clone()).await.expect("answers");
        assert!(marked.iter().all(|marked| matches!(marked, Marked::Yes | Marked::By(_))), "{marked:?}");
        let settlement = tixing::domain::settle::received;
        let entry = |job: &tixing::store::port::Job| {
            let settlement = settlement();
            Entry { target: job.target(true), settlement, began_at: Some(now), ended_at: now }
        };
        store.settle(jobs.iter().map(entry).collect()).await.expect("answers");
        jobs.len()
    }

    /// (available, held, used, void); I4 holds, also once what has ended is written down.
    async fn balance(&self) -> [i64; 4] {
        let now = tixing::clock::Clock::now(&*self.test.clock);
        let walk = &mut Walk::default();
        self.test.store.erase_step(walk, &Default::default(), now).await.expect("answers");
        check_ledger(&self.test.store, &[USER]).await;
        let (_, told) = self.call("GET", &format!("/v1/consents?app=coffee&openid={USER}"), "", String::new()).await;
        let balance = &told["balances"][0];
        ["available", "held", "used", "void"].map(|name| balance[name].as_i64().unwrap_or(0))
    }
}

/// As `tt.requestSubscribeMessage` gives it, whole; `status` is of one that the user ticked.
fn douyin_result(template: &str, status: &str) -> Value {
    json!({ "errMsg": "requestSubscribeMessage:ok", template: "accept", "MSG-of-another-app": "reject",
            "templateSettings": { template: { "status": status, "alwaysSubscribe": true, "allowReminderWay": [1, 2] } },
            "errLogId": "20270301000000ABCD" })
}

#[tokio::test]
async fn an_accept_on_douyin_is_so_many_sends_in_its_period_and_not_one_more() {
    on_both_of(&apps(&douyin::FACTS), async |test| {
        let office = Office::new(&test, &douyin::FACTS).await;
        let result = |status: &str| json!({ "result": douyin_result(&office.template, status) });
        let recorded = json!([office.template]);
        assert_eq!(office.insert(START + HOUR).await.0, 409, "nobody has accepted");
        // Already subscribed, or no more often: neither yes nor no.
        for status in ["repeat", "limit"] {
            assert_eq!(office.tell(result(status)).await, (json!([]), 0), "{status}");
        }
        let mut tap = result("accept");
        tap["event"] = "tap-1".into();
        assert_eq!(office.tell(tap.clone()).await, (recorded.clone(), 3));
        assert_eq!(office.tell(tap).await, (json!([]), 3), "the same tap");
        for status in ["repeat", "limit"] {
            assert_eq!(office.tell(result(status)).await, (json!([]), 3), "{status}");
        }
        for n in 1..=3 {
            let (status, made) = office.insert(START + n * HOUR).await;
            assert_eq!(status, 201, "{made}");
        }
        let (status, fourth) = office.insert(START + 4 * HOUR).await;
        assert_eq!((status, &fourth["code"]), (409, &json!("no_consent")), "{fourth}");
        let detail = fourth["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("/v1/consents") && detail.contains("at_fire"), "what to do: {detail}");
        assert_eq!(office.balance().await, [0, 3, 0, 0]);
        test.clock.advance(2 * HOUR);
        assert_eq!(office.send(START + 2 * HOUR).await, 2);
        assert_eq!(office.balance().await, [0, 1, 2, 0]);
        test.clock.advance(HOUR);
        assert_eq!(office.send(START + 3 * HOUR).await, 1);
        assert_eq!(office.insert(START + 4 * HOUR).await.0, 409, "all are used");

        // After the period another accept gives as many again.
        let again = START + TIMES.period + 3 * HOUR;
        test.clock.advance(TIMES.period);
        assert_eq!(office.tell(result("accept")).await, (recorded.clone(), 3));
        assert_eq!(office.balance().await, [3, 0, 3, 0]);
        let (status, beyond) = office.insert(again + TIMES.period).await;
        assert_eq!((status, &beyond["code"], &beyond["param"]), (409, &json!("no_consent"), &json!("/at")), "{beyond}");
        let until = rfc3339(again + TIMES.period);
        assert!(beyond["detail"].as_str().is_some_and(|said| said.contains(&until[..10])), "until when: {beyond}");
        assert_eq!(office.insert(again + TIMES.period - 1).await.0, 201, "the last moment");
        // What nobody used ends with its period, and a new accept does not revive it.
        test.clock.advance(TIMES.period);
        assert_eq!(office.balance().await[0], 0);
        assert_eq!(office.tell(result("accept")).await, (recorded, 3));
        assert_eq!(office.balance().await[0], 3);
    })
    .await;
}

/// What pays for a reminder of Baidu: the member of the report, and the sends.
fn tickets() -> Vec<(Value, i64)> {
    let ticket = |kind: &str| json!({ "ticket": { "kind": kind, "id": format!("{kind}-1") } });
    vec![(ticket("form"), 1), (ticket("payment"), 3), (ticket("order"), 3)]
}

#[tokio::test]
async fn a_prepared_id_on_baidu_is_one_reminder_and_a_second_one_needs_another() {
    on_both_of(&apps(&baidu::FACTS), async |test| {
        let office = Office::new(&test, &baidu::FACTS).await;
        let wanted = json!({ "app": "coffee", "openid": USER, "template": "event-start" });
        let mut given = Vec::new();
        for n in 1..=2 {
            let (_, prepared) = office.post("/v1/consents/prepare", &wanted).await;
            let detail = json!({ "formId": "F-unused", "status": 0, "message": "success" });
            let report = json!({ "subscribe_id": prepared["subscribe_id"], "result": { "detail": detail } });
            assert_eq!(office.tell(report.clone()).await.1, n);
            given.push(report);
        }
        assert_eq!(office.tell(given[0].clone()).await, (json!([]), 2), "the same id adds nothing");
        // It has no end.
        for at in [START + HOUR, START + 300 * DAY] {
            let (status, made) = office.insert(at).await;
            assert_eq!(status, 201, "{made}");
        }
        let (status, third) = office.insert(START + HOUR).await;
        assert_eq!((status, &third["code"]), (409, &json!("no_consent")), "{third}");
        test.clock.advance(HOUR);
        assert_eq!(office.send(START + HOUR).await, 1);
        assert_eq!(office.tell(given[0].clone()).await, (json!([]), 0), "nor once it is used");
        assert_eq!(office.balance().await, [0, 1, 1, 0]);
    })
    .await;
}

#[tokio::test]
async fn a_form_or_an_order_on_baidu_pays_for_its_sends_within_seven_days() {
    for (ticket, sends) in tickets() {
        on_both_of(&apps(&baidu::FACTS), async |test| {
            let office = Office::new(&test, &baidu::FACTS).await;
            let mut report = ticket.clone();
            report["results"] = json!({ "event-start": "accept" });
            assert_eq!(office.tell(report.clone()).await.1, sends, "{ticket}");
            // Beyond its end at insert …
            let (status, beyond) = office.insert(START + 7 * DAY).await;
            assert_eq!((status, &beyond["code"], &beyond["param"]), (409, &json!("no_consent"), &json!("/at")));
            assert!(beyond["detail"].as_str().is_some_and(|said| said.contains("2027-03-08")), "until when: {beyond}");
            let mut bringing = office.reminder(START + 7 * DAY);
            bringing["accepted"] = ticket.clone();
            let (status, beyond) = office.post("/v1/reminders", &bringing).await;
            assert_eq!((status.as_u16(), &beyond["param"]), (422, &json!("/at")), "{ticket}: {beyond}");
            let (status, made) = office.insert(START + 6 * DAY).await;
            assert_eq!(status, 201, "{ticket}: {made}");
            // … and at a change, which leaves it as it was.
            let path = format!("/v1/reminders/{}", made["id"].as_str().expect("an id"));
            let change = |at: Millis| json!({ "at": rfc3339(at) }).to_string();
            let (status, refused) = office.call("PATCH", &path, "application/json", change(START + 7 * DAY)).await;
            assert!(status.is_client_error() && refused["param"] == "/at", "{ticket}: {refused}");
            assert!(refused["detail"].as_str().is_some_and(|said| said.contains("2027-03-08")), "{refused}");
            let (_, as_it_was) = office.call("GET", &path, "", String::new()).await;
            assert_eq!(as_it_was["at"], rfc3339(START + 6 * DAY), "{as_it_was}");
            let (status, moved) = office.call("PATCH", &path, "application/json", change(START + 7 * DAY - 1)).await;
            assert_eq!(status, 200, "the last moment: {moved}");
            let held = 1;
            assert_eq!(office.balance().await, [sends - held, held, 0, 0], "{ticket}");
            for _ in 1..sends {
                assert_eq!(office.insert(START + DAY).await.0, 201, "{ticket}");
            }
            assert_eq!(office.insert(START + DAY).await.0, 409, "{ticket} is used up");
            assert_eq!(office.tell(report).await, (json!([]), 0), "{ticket} adds nothing a second time");
            test.clock.advance(DAY);
            assert_eq!(office.send(START + DAY).await as i64, sends - 1, "{ticket}");
            test.clock.advance(6 * DAY);
            let store = &test.store;
            let jobs = store.prefetch(store.lane("coffee"), (0, 0), START + 7 * DAY, 100).await.expect("answers");
            let ended = Marked::Ended { ends_at: START + 7 * DAY };
            assert_eq!(store.mark(jobs).await.expect("answers"), [ended], "{ticket}: its moment has passed");
        })
        .await;
    }
}

#[tokio::test]
async fn a_schedule_on_baidu_is_not_shifted_beyond_the_end_of_a_form() {
    on_both_of(&apps(&baidu::FACTS), async |test| {
        let office = Office::new(&test, &baidu::FACTS).await;
        let form = json!({ "results": { "event-start": "accept" }, "ticket": { "kind": "form", "id": "f1" } });
        office.tell(form).await;
        let text = "name = \"spring\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = 2027-03-06T08:00:00\nexpires = \"4d\"\n\
                    audience = \"consented\"\n[data]\nkeyword1 = \"品鉴会\"\nkeyword2 = \"{{@event | datetime}}\"\nkeyword3 = \"露台\"\n";
        let part = format!("--B\r\nContent-Disposition: form-data; name=\"schedule\"\r\n\r\n{text}\r\n--B--\r\n");
        let kind = "multipart/form-data; boundary=B";
        let (status, loaded) = office.call("POST", "/v1/schedules/apply", kind, part).await;
        assert_eq!((status.as_u16(), &loaded["loaded"]["new"]), (200, &json!(1)), "{loaded}");
        for (by, good) in [("2d", false), ("1d", true), ("1d", false)] {
            let (status, answer) = office.post("/v1/schedules/spring/shift", &json!({ "by": by })).await;
            assert_eq!(status == 200, good, "{by}: {answer}");
            assert!(good || answer["code"] == "shift_too_far", "{by}: {answer}");
        }
        assert_eq!(office.balance().await, [0, 1, 0, 0]);
    })
    .await;
}
