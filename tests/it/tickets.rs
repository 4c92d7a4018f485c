//! What a client's dialog gave, told to the API: as it is, with the ticket that it was opened with.

use crate::{
    allowances::{LIMITED, limited},
    harness::{self, DIGEST, EVENT, START, TestStore, on_both_of, reminder},
    store::{created, due, settle},
};
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use tixing::{
    api::Api,
    config::App,
    domain::{
        DAY,
        consent::Tickets,
        reminder::State,
        settle::{Consent, Settlement},
        template::Kind,
        timing::rfc3339,
    },
    metrics::Metrics,
    platform::{Facts, facts::Misread},
    store::port::Queue,
    words::Message,
};
use tower::ServiceExt;

/// One on which there is no consent without a ticket, and whose form says only that something was accepted.
static NEEDED: Facts = Facts {
    word: "needed",
    tickets: Tickets { needed: true, ..LIMITED.tickets },
    popup: tixing::platform::facts::Popup {
        read: |result| match result["status"].as_i64() {
            Some(status) => Ok(BTreeMap::from([(String::new(), (status == 0).into())])),
            None => Err(Misread::whole(Message::text("no status"))),
        },
        ..LIMITED.popup
    },
    ..LIMITED
};

fn needed() -> Vec<App> {
    let mut apps = limited();
    apps[0].platform = &NEEDED;
    apps
}

async fn router(test: &TestStore, apps: Vec<App>) -> Router {
    let mut config = harness::config("http://127.0.0.1:1");
    config.apps = apps;
    let api = Api::new(Arc::new(config), test.store.clone(), test.clock.clone(), Arc::new(Metrics::default()), None);
    api.await.owner_router()
}

async fn call(router: &Router, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())));
    let response = router.clone().oneshot(request.expect("a request")).await.expect("infallible");
    let status = response.status();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn post(router: &Router, path: &str, body: Value) -> (StatusCode, Value) {
    call(router, "POST", path, Some(body)).await
}

async fn report(router: &Router, more: Value) -> (StatusCode, Value) {
    let mut body = json!({"app": "coffee", "openid": "o1"});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    post(router, "/v1/consents", body).await
}

fn refusal((status, answer): &(StatusCode, Value)) -> (u16, &str, &str) {
    (status.as_u16(), answer["code"].as_str().unwrap_or_default(), answer["param"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_report_says_what_of_it_was_recorded_and_why_the_rest_was_not() {
    on_both_of(&limited(), async |test| {
        let router = router(&test, limited()).await;
        let whole = json!({EVENT: "accept", DIGEST: "reject", "errMsg": "requestSubscribeMessage:ok"});
        let (status, answer) = report(&router, json!({"result": whole, "event": "e1"})).await;
        assert_eq!((status.as_u16(), &answer["recorded"]), (200, &json!([EVENT])), "{answer}");
        assert_eq!(answer["ignored"], json!([{"template": DIGEST, "why": "the user did not accept"}]));
        assert_eq!(answer["balances"][0]["available"], 2, "one accept is two sends: {answer}");

        let (_, again) = report(&router, json!({"results": {"event-start": "accept"}, "event": "e1"})).await;
        assert_eq!((&again["recorded"], &again["ignored"][0]["why"]), (&json!([]), &json!("it is recorded already")));
        let (status, unknown) = report(&router, json!({"results": {"Tq0": "accept"}})).await;
        assert_eq!((status.as_u16(), &unknown["ignored"][0]["template"]), (200, &json!("Tq0")), "{unknown}");

        let word = format!("/result/{EVENT}");
        for (more, expected) in [
            (json!({}), (422, "bad_value", "/results")),
            (json!({"result": whole, "results": {EVENT: "accept"}}), (422, "bad_value", "/result")),
            (json!({"result": ["accept"]}), (422, "bad_value", "/result")),
            (json!({"results": ["accept"]}), (400, "bad_json", "/results")),
            (json!({"result": {EVENT: "acept"}}), (422, "bad_value", &word)),
            (json!({"result": whole, "template": EVENT}), (422, "bad_value", "/template")),
            (json!({"results": {EVENT: "accept"}, "template": EVENT}), (422, "bad_value", "/template")),
        ] {
            let answer = report(&router, more.clone()).await;
            assert_eq!(refusal(&answer), expected, "{more}: {}", answer.1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_ticket_is_told_with_the_result_and_counts_once() {
    on_both_of(&limited(), async |test| {
        let router = router(&test, limited()).await;
        let form = json!({"results": {"event-start": "accept"}, "ticket": {"kind": "form", "id": "f1"}});
        let (_, first) = report(&router, form.clone()).await;
        let (_, again) = report(&router, form).await;
        assert_eq!((&first["recorded"], &again["recorded"]), (&json!([EVENT]), &json!([])), "{again}");
        assert_eq!(again["balances"][0]["available"], 1);
        let (_, told) = call(&router, "GET", "/v1/consents?app=coffee&openid=o1&history=true", None).await;
        assert_eq!(told["history"][0]["ticket"], json!({"kind": "form", "id": "f1"}), "{told}");
        assert_eq!(told["history"][0]["ends_at"], rfc3339(START + 7 * DAY));
        test.clock.advance(7 * DAY);
        let (_, told) = call(&router, "GET", "/v1/consents?app=coffee&openid=o1&history=true", None).await;
        let consent = &told["history"][0];
        assert_eq!((&consent["state"], &consent["void_reason"]), (&json!("void"), &json!("ended")), "{told}");
        assert_eq!((&told["balances"][0]["available"], &told["balances"][0]["void"]), (&json!(0), &json!(1)));

        let accept = json!({"event-start": "accept"});
        for (more, expected) in [
            (json!({"ticket": {"kind": "from", "id": "f1"}}), (422, "bad_value", "/ticket/kind")),
            (json!({"ticket": {"kind": "subscribe", "id": "f1"}}), (422, "bad_value", "/ticket/kind")),
            (json!({"ticket": {"kind": "form", "id": ""}}), (422, "bad_value", "/ticket/id")),
            (json!({"ticket": {"kind": "form", "id": "x".repeat(65)}}), (422, "bad_value", "/ticket/id")),
            (json!({"ticket": {"kind": "form", "id": "a b"}}), (422, "bad_value", "/ticket/id")),
            (json!({"ticket": {"kind": "form", "id": "f"}, "subscribe_id": "s"}), (422, "bad_value", "/ticket")),
            (json!({"ticket": ["form", "f"]}), (400, "bad_json", "/ticket")),
            (json!({"ticket": "f"}), (400, "bad_json", "/ticket")),
            (json!({"ticket": {"kind": "form"}}), (400, "bad_json", "/ticket/id")),
            (json!({"subscribe_id": ""}), (422, "bad_value", "/subscribe_id")),
        ] {
            let mut body = more.clone();
            body["results"] = accept.clone();
            let answer = report(&router, body).await;
            assert_eq!(refusal(&answer), expected, "{more}: {}", answer.1);
        }
        let both = json!({"results": {EVENT: "accept", DIGEST: "accept"}, "subscribe_id": "mine"});
        assert_eq!(refusal(&report(&router, both).await), (422, "bad_value", "/subscribe_id"));
    })
    .await;
}

#[tokio::test]
async fn a_ticket_is_refused_where_no_send_would_name_it_and_ignored_where_another_template_has_it() {
    let apps = || {
        let mut apps = limited();
        let digest = apps[0].templates.iter_mut().find(|template| template.code == DIGEST).expect("has it");
        digest.kind = Kind::LongTerm;
        apps
    };
    on_both_of(&apps(), async |test| {
        let router = router(&test, apps()).await;
        let form = |template: &str| json!({"results": {template: "accept"}, "ticket": {"kind": "form", "id": "f1"}});
        let long_term = report(&router, form("digest")).await;
        assert_eq!(refusal(&long_term), (422, "bad_value", "/ticket/id"), "{}", long_term.1);
        assert!(
            long_term.1["detail"].as_str().is_some_and(|why| why.contains("digest is long-term")),
            "{}",
            long_term.1
        );
        let by_id = json!({"results": {"digest": "accept"}, "subscribe_id": "mine"});
        assert_eq!(refusal(&report(&router, by_id).await), (422, "bad_value", "/subscribe_id"));
        assert_eq!(report(&router, json!({"results": {"digest": "accept"}})).await.1["recorded"], json!([DIGEST]));
        assert_eq!(report(&router, form("event-start")).await.1["recorded"], json!([EVENT]));
        let (_, of_another) = {
            let mut body = form("event-start");
            body["openid"] = "o2".into();
            report(&router, body).await
        };
        assert_eq!(of_another["recorded"], json!([]), "{of_another}");
        let why = of_another["ignored"][0]["why"].as_str().unwrap_or_default();
        assert!(why.starts_with("its ticket counted before, for another user"), "{of_another}");
        let (_, again) = report(&router, form("event-start")).await;
        assert_eq!(again["ignored"][0]["why"], "it is recorded already", "the user's own");
    })
    .await;
}

#[tokio::test]
async fn an_explanation_says_what_a_refusal_has_voided() {
    on_both_of(&limited(), async |test| {
        let router = router(&test, limited()).await;
        let accept = |openid: &str| json!({"openid": openid, "results": {"event-start": "accept"}});
        let mut form = accept("o1");
        form["ticket"] = json!({"kind": "form", "id": "f1"});
        report(&router, form).await;
        report(&router, accept("o2")).await;
        for (openid, en, zh) in [
            (
                "o1",
                "its form ticket is void, and what else the user has for this template stays",
                "所用的 form 凭据作废",
            ),
            ("o2", "what the user had accepted for this template is void, but not the tickets", "凭据不受影响"),
        ] {
            let id = created(&test.store, reminder(openid, START)).await;
            let jobs = due(&test.store, START).await;
            test.store.mark(jobs.clone()).await.expect("answers");
            let denied = Settlement::end(State::Failed, "43101", "user refuse to accept the msg", Consent::Deny);
            test.store.settle(vec![settle(&jobs[0], true, denied)]).await.expect("answers");
            let (_, told) = call(&router, "GET", &format!("/v1/reminders/{id}/explain"), None).await;
            for (lang, words) in [("en", en), ("zh", zh)] {
                assert!(told[lang].as_str().is_some_and(|said| said.contains(words)), "{openid}: {told}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_id_is_prepared_for_one_user_and_template_and_refused_for_others() {
    on_both_of(&needed(), async |test| {
        let router = router(&test, needed()).await;
        let prepare = async |openid: &str, template: &str| {
            let body = json!({"app": "coffee", "openid": openid, "template": template});
            let (status, answer) = post(&router, "/v1/consents/prepare", body).await;
            assert_eq!(status, 200, "{answer}");
            answer["subscribe_id"].as_str().expect("an id").to_owned()
        };
        let (mine, another) = (prepare("o1", "event-start").await, prepare("o1", "event-start").await);
        assert_ne!(mine, another);
        assert!(mine.len() == 32 && mine.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{mine}");
        let accept = |id: &str| json!({"results": {"event-start": "accept"}, "subscribe_id": id});

        // For another user, for another template, and with a letter changed.
        let of_another = prepare("o2", "event-start").await;
        let of_digest = prepare("o1", "digest").await;
        let last = if mine.ends_with('0') { "1" } else { "0" };
        for id in [&of_another, &of_digest, &format!("{}{last}", &mine[..31])] {
            assert_eq!(refusal(&report(&router, accept(id)).await), (422, "bad_value", "/subscribe_id"), "{id}");
        }
        let (status, told) = report(&router, accept(&mine)).await;
        assert_eq!((status.as_u16(), &told["recorded"]), (200, &json!([EVENT])), "{told}");
        // The form's own event says no template; the id does.
        let form = json!({"result": {"status": 0}, "subscribe_id": another});
        let (_, told) = report(&router, form).await;
        assert_eq!((&told["recorded"], &told["balances"][0]["available"]), (&json!([EVENT]), &json!(2)), "{told}");
        // So does one of another user's, and that is what is wrong with it.
        let form = json!({"result": {"status": 0}, "subscribe_id": of_another});
        let (status, told) = report(&router, form).await;
        assert_eq!(refusal(&(status, told.clone())), (422, "bad_value", "/subscribe_id"));
        assert!(told["detail"].as_str().is_some_and(|said| said.contains("another user")), "{told}");
        // Somebody's own id is taken as it is, and then the template is to be told.
        let own = json!({"result": {"status": 0}, "subscribe_id": "sub-42"});
        assert_eq!(refusal(&report(&router, own.clone()).await), (422, "bad_value", "/template"));
        let mut with = own;
        with["template"] = "event-start".into();
        assert_eq!(report(&router, with).await.1["balances"][0]["available"], 3);

        assert_eq!(
            refusal(&report(&router, json!({"results": {"event-start": "accept"}})).await),
            (422, "ticket_needed", "/subscribe_id")
        );
        let refused = json!({"result": {"status": 500102}, "template": "event-start"});
        assert_eq!(report(&router, refused).await.0, 200, "a refusal needs no ticket");
    })
    .await;
}

#[tokio::test]
async fn a_reminder_brings_its_ticket_and_must_not_outlast_it() {
    on_both_of(&needed(), async |test| {
        let router = router(&test, needed()).await;
        let insert = async |at: i64, accepted: Value| {
            let data = json!({"thing1": "周三读书会", "time2": "2027年3月1日 10:00"});
            let body = json!({"app": "coffee", "openid": "o1", "template": "event-start", "at": rfc3339(at), "data": data, "accepted": accepted});
            post(&router, "/v1/reminders", body).await
        };
        let form = |id: &str| json!({"ticket": {"kind": "form", "id": id}});
        assert_eq!(insert(START + DAY, form("f1")).await.0, 201);
        assert_eq!(refusal(&insert(START + DAY, json!(true)).await), (422, "ticket_needed", "/accepted"));
        let late = insert(START + 7 * DAY, form("f2")).await;
        assert_eq!(refusal(&late), (422, "bad_time", "/at"), "{}", late.1);
        assert_eq!(
            refusal(&insert(START + DAY, json!({"ticket": {"kind": "from", "id": "x"}})).await),
            (422, "bad_value", "/accepted/ticket/kind")
        );
        // What is free ends before the instant: it is said until when it is good.
        report(&router, json!({"results": {"event-start": "accept"}, "ticket": {"kind": "form", "id": "f3"}})).await;
        let beyond = insert(START + 8 * DAY, json!(false)).await;
        assert_eq!(refusal(&beyond), (409, "no_consent", "/at"), "{}", beyond.1);
        let detail = beyond.1["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("2027-03-08"), "{detail}");
    })
    .await;
}

#[tokio::test]
async fn where_no_id_is_asked_for_none_is_prepared_and_none_is_taken() {
    let apps = harness::apps("http://127.0.0.1:1");
    on_both_of(&apps, async |test| {
        let router = router(&test, apps.clone()).await;
        let body = json!({"app": "coffee", "openid": "o1", "template": "event-start"});
        assert_eq!(refusal(&post(&router, "/v1/consents/prepare", body).await), (422, "bad_value", "/app"));
        for more in [json!({"subscribe_id": "x"}), json!({"ticket": {"kind": "form", "id": "x"}})] {
            let param = if more["ticket"].is_null() { "/subscribe_id" } else { "/ticket" };
            let mut body = more;
            body["results"] = json!({"event-start": "accept"});
            assert_eq!(refusal(&report(&router, body).await), (422, "bad_value", param));
        }
    })
    .await;
}
