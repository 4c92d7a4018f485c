//! Schedules on a platform whose accepts are worth several sends, or tickets, and end.

use crate::{
    allowances::{limited, ticket, with_ticket},
    harness::{self, EVENT, START, accept, on_both_of},
};
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use tixing::{api::Api, domain::consent::Balance, metrics::Metrics, store::Store};
use tower::ServiceExt;

/// A schedule for everybody who has accepted: two messages before an event.
fn schedule(event: &str) -> String {
    format!(
        r#"name = "spring"
app = "coffee"
template = "event-start"
at = {{ event = {event}, before = ["2h", "1h"] }}
audience = "consented"
expires = "30m"
[data]
thing1 = "周三读书会"
time2 = "{{{{@event | datetime}}}}"
"#
    )
}

async fn call(router: &Router, path: &str, kind: &str, body: String) -> (StatusCode, Value) {
    let request = Request::builder().method("POST").uri(path).header("content-type", kind);
    let request = request.body(Body::from(body)).expect("a request");
    let response = router.clone().oneshot(request).await.expect("infallible");
    let status = response.status();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// Plans or loads it; answers (reminders that are new, users with a consent).
async fn hand_in(router: &Router, verb: &str, event: &str) -> (Value, Value) {
    let text = schedule(event);
    let body = format!("--B\r\nContent-Disposition: form-data; name=\"schedule\"\r\n\r\n{text}\r\n--B--\r\n");
    let path = format!("/v1/schedules/{verb}?allow_removals=true");
    let (status, answer) = call(router, &path, "multipart/form-data; boundary=B", body).await;
    assert_eq!(status, 200, "{answer}");
    (answer["reminders"]["new"].clone(), answer["reach"]["with_consent"].clone())
}

async fn balance(store: &Store, openid: &str) -> Balance {
    store.balances("coffee", openid).await.expect("answers")[EVENT]
}

#[tokio::test]
async fn the_reach_counts_every_kind_and_what_ends_before_the_instant_is_none() {
    on_both_of(&limited(), async |test| {
        let mut config = harness::config("http://127.0.0.1:1");
        config.apps = limited();
        let api =
            Api::new(Arc::new(config), test.store.clone(), test.clock.clone(), Arc::new(Metrics::default()), None);
        let router = api.await.owner_router();
        let store = &test.store;
        store
            .record(vec![
                accept("coffee", "o-twice", EVENT),
                with_ticket("o-form", START, ticket("form", "f1", START)),
                with_ticket("o-prepared", START, ticket("subscribe", "s1", START)),
            ])
            .await
            .expect("recorded");
        // (the event) → new reminders, users with a consent
        for (event, new, with) in
            [("2027-03-01T20:00:00", 4, 3), ("2027-03-05T20:00:00", 2, 2), ("2027-03-20T20:00:00", 1, 1)]
        {
            assert_eq!(hand_in(&router, "plan", event).await, (json!(new), json!(with)), "{event}");
        }
        assert_eq!(hand_in(&router, "apply", "2027-03-01T20:00:00").await.0, json!(4));
        assert_eq!(balance(store, "o-twice").await, Balance { held: 2, ..Balance::default() });

        // Its accept ends before the new time: what it held is given back, and nothing takes its place.
        hand_in(&router, "apply", "2027-03-05T20:00:00").await;
        assert_eq!(balance(store, "o-twice").await, Balance { available: 2, ..Balance::default() });
        assert_eq!(balance(store, "o-form").await, Balance { held: 1, ..Balance::default() });

        // And it is not moved beyond the end of what it holds.
        let path = "/v1/schedules/spring/shift";
        let (status, answer) = call(&router, path, "application/json", json!({"by": "3d"}).to_string()).await;
        assert_eq!((status.as_u16(), &answer["code"]), (409, &json!("shift_too_far")), "{answer}");
        let (status, answer) = call(&router, path, "application/json", json!({"by": "1d"}).to_string()).await;
        assert_eq!(status, 200, "{answer}");
    })
    .await;
}
