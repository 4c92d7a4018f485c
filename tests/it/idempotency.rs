//! The header Idempotency-Key: a call that is repeated is answered, and is done once.

use crate::harness::{
    EVENT, START,
    door::{Door, body, on_both_doors},
};
use axum::http::Method;
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Row};
use tixing::domain::timing::rfc3339;

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";
const REMINDERS: &str = "/v1/reminders";
const CONSENTS: &str = "/v1/consents";
const DAY: i64 = 86_400_000;

/// What a POST with a key came to.
struct Answer {
    status: u16,
    replayed: bool,
    body: Value,
}

impl Answer {
    fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }
}

async fn post(door: &Door, path: &str, key: &str, body: &Value) -> Answer {
    let (status, headers, body) = door.send(Method::POST, path, &[("idempotency-key", key)], &body.to_string()).await;
    Answer { status, replayed: headers.get("idempotent-replayed").is_some_and(|value| value == "true"), body }
}

fn tap(openid: &str) -> Value {
    json!({"app": "coffee", "openid": openid, "results": {"event-start": "accept", "nothing": "accept"}})
}

#[tokio::test]
async fn i3_a_reminder_that_is_posted_again_with_its_header_is_one_reminder() {
    on_both_doors(async |door| {
        let asked = body("o1", 60_000);
        let first = post(door, REMINDERS, KEY, &asked).await;
        assert_eq!((first.status, first.replayed), (201, false), "{}", first.body);
        // In quotes, as the draft writes it, it is the same key.
        for key in [KEY, &format!("\"{KEY}\"")] {
            let again = post(door, REMINDERS, key, &asked).await;
            assert_eq!((again.status, again.replayed, &again.body["id"]), (200, true, &first.body["id"]));
        }
        let answers = futures_util::future::join_all((0..50).map(|_| post(door, REMINDERS, "k2", &asked))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
        assert!(answers.iter().all(|answer| answer.body["id"] == answers[0].body["id"]));
        assert_eq!(door.balance("o1").await, [0, 2, 0, 0], "one consent for each of the two keys");
        // It stays the same reminder whatever becomes of it, and of the time.
        let path = format!("{REMINDERS}/{}", first.body["id"].as_str().expect("an id"));
        door.call(Method::DELETE, &path, &Value::Null).await;
        door.clock.advance(DAY - 1);
        let again = post(door, REMINDERS, KEY, &asked).await;
        assert_eq!((again.status, again.replayed, &again.body["state"]), (200, true, &json!("cancelled")));
        // Without the header it is another call, and too late by now.
        assert_eq!(door.post(REMINDERS, &asked).await.0, 422);
    })
    .await;
}

#[tokio::test]
async fn a_key_that_comes_with_another_call_is_refused_and_writes_nothing() {
    on_both_doors(async |door| {
        assert_eq!(post(door, REMINDERS, KEY, &body("o1", 60_000)).await.status, 201);
        assert_eq!(post(door, CONSENTS, "tap", &tap("o1")).await.status, 200);
        for (path, key, other) in [
            (REMINDERS, KEY, body("o1", 61_000)),
            (REMINDERS, KEY, body("o2", 60_000)),
            (REMINDERS, "tap", body("o1", 60_000)),
            (CONSENTS, KEY, tap("o1")),
            (CONSENTS, "tap", tap("o2")),
        ] {
            let answer = post(door, path, key, &other).await;
            assert_eq!(answer.code(), (422, "idempotency_key_reused"), "{path} {}", answer.body);
        }
        assert_eq!(door.balance("o1").await, [1, 1, 0, 0]);
        assert_eq!(door.balance("o2").await, [0; 4]);
        // Another app's keys are its own.
        let mut tea = body("o1", 60_000);
        tea["app"] = "tea".into();
        assert_eq!(post(door, REMINDERS, KEY, &tea).await.status, 201);
    })
    .await;
}

#[tokio::test]
async fn a_consent_report_that_is_posted_again_with_its_header_counts_once() {
    on_both_doors(async |door| {
        let first = post(door, CONSENTS, KEY, &tap("o1")).await;
        assert_eq!((first.status, first.replayed, &first.body["recorded"]), (200, false, &json!([EVENT])));
        let again = post(door, CONSENTS, KEY, &tap("o1")).await;
        assert_eq!((again.status, again.replayed), (200, true));
        assert_eq!(again.body, first.body, "the answer is the same");
        assert_eq!(again.body["ignored"].as_array().map(Vec::len), Some(1), "{}", again.body);
        let report = tap("o1");
        let answers = futures_util::future::join_all((0..20).map(|_| post(door, CONSENTS, "k2", &report))).await;
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
        assert_eq!(door.balance("o1").await, [2, 0, 0, 0]);
        // A report that added nothing is known too.
        let no = json!({"app": "coffee", "openid": "o1", "results": {"event-start": "reject"}});
        for replayed in [false, true] {
            let answer = post(door, CONSENTS, "k3", &no).await;
            assert_eq!((answer.status, answer.replayed, &answer.body["recorded"]), (200, replayed, &json!([])));
        }
        door.clock.advance(DAY - 1);
        assert!(post(door, CONSENTS, KEY, &tap("o1")).await.replayed);
        assert_eq!(door.balance("o1").await, [2, 0, 0, 0]);
    })
    .await;
}

#[tokio::test]
async fn a_call_that_was_refused_may_come_again_with_its_key() {
    on_both_doors(async |door| {
        let mut asked = body("o1", 60_000);
        asked.as_object_mut().expect("an object").remove("accepted");
        assert_eq!(post(door, REMINDERS, KEY, &asked).await.code(), (409, "no_consent"));
        assert_eq!(door.post(CONSENTS, &tap("o1")).await.0, 200);
        let made = post(door, REMINDERS, KEY, &asked).await;
        assert_eq!((made.status, made.replayed), (201, false), "{}", made.body);
        // Beside a key of its own: what that has found is found by the header too.
        let mut keyed = body("o2", 60_000);
        keyed["key"] = "event-42/o2".into();
        let first = door.post(REMINDERS, &keyed).await.1;
        for _ in 0..2 {
            let again = post(door, REMINDERS, "k2", &keyed).await;
            assert_eq!((again.status, again.replayed, &again.body["id"]), (200, true, &first["id"]));
        }
        keyed["page"] = "p".into();
        assert_eq!(post(door, REMINDERS, "k3", &keyed).await.code(), (409, "key_conflict"));
        assert_eq!(door.balance("o2").await, [0, 1, 0, 0]);
    })
    .await;
}

#[tokio::test]
async fn after_a_user_was_forgotten_a_call_about_them_that_is_repeated_does_and_tells_nothing() {
    on_both_doors(async |door| {
        let asked = body("o1", 60_000);
        assert_eq!(post(door, REMINDERS, KEY, &asked).await.status, 201);
        assert_eq!(post(door, CONSENTS, "k2", &tap("o1")).await.status, 200);
        assert_eq!(door.post("/v1/users/forget", &json!({"app": "coffee", "openid": "o1"})).await.0, 200);
        for (path, key, body) in [(REMINDERS, KEY, asked), (CONSENTS, "k2", tap("o1"))] {
            let answer = post(door, path, key, &body).await;
            assert_eq!(answer.code(), (409, "user_forgotten"), "{path} {}", answer.body);
        }
    })
    .await;
}

/// The rows of the calls that are known.
async fn known(door: &Door) -> Vec<String> {
    let mut conn = AnyConnection::connect(&door.url).await.expect("connects");
    let rows = sqlx::query("SELECT tag, digest, reminder, templates FROM request").fetch_all(&mut conn).await;
    let text = |row: &sqlx::any::AnyRow| {
        let (tag, digest): (String, String) = (row.get("tag"), row.get("digest"));
        format!(
            "{tag} {digest} {:?} {:?}",
            row.get::<Option<i64>, _>("reminder"),
            row.get::<Option<String>, _>("templates")
        )
    };
    rows.expect("answers").iter().map(text).collect()
}

#[tokio::test]
async fn a_call_is_known_for_a_day_at_least_by_what_tells_nothing_of_it_and_then_forgotten() {
    on_both_doors(async |door| {
        let key = "o-user-1/event-42";
        let mut asked = body("o-user-1", 5 * DAY);
        asked["expires_at"] = rfc3339(START + 9 * DAY).into();
        assert_eq!(post(door, REMINDERS, key, &asked).await.status, 201);
        assert_eq!(post(door, CONSENTS, "o-user-1/tap", &tap("o-user-1")).await.status, 200);
        let kept = known(door).await;
        assert_eq!(kept.len(), 2);
        assert!(!kept.iter().any(|row| row.contains("o-user-1") || row.contains("event-42")), "{kept:?}");
        // From the last moment of a day to the last moment of the next.
        door.clock.advance(DAY - 1);
        assert_eq!(post(door, REMINDERS, "late", &asked).await.status, 201);
        door.clock.advance(DAY);
        door.store().tidy().await.expect("answers");
        assert!(post(door, REMINDERS, "late", &asked).await.replayed);
        door.clock.advance(2 * DAY);
        door.store().tidy().await.expect("answers");
        assert_eq!(known(door).await, Vec::<String>::new());
        assert_eq!(post(door, REMINDERS, "late", &asked).await.status, 201, "the key is free again");
    })
    .await;
}

#[tokio::test]
async fn a_header_that_would_be_passed_over_is_refused_and_so_is_a_dry_run() {
    on_both_doors(async |door| {
        let made = post(door, REMINDERS, KEY, &body("o1", 60_000)).await.body;
        let path = format!("{REMINDERS}/{}", made["id"].as_str().expect("an id"));
        let (text, by_key) = (body("o2", 60_000).to_string(), "/v1/reminders/by-key?app=coffee&key=k");
        let user = r#"{"app":"coffee","openid":"o1"}"#;
        for (method, path, body) in [
            (Method::POST, "/v1/reminders/batch", &*text),
            (Method::POST, "/v1/consents/batch", "{}"),
            (Method::POST, "/v1/reminders/cancel", r#"{"expect":1}"#),
            (Method::POST, "/v1/users/forget", user),
            (Method::PATCH, &path, r#"{"page":"p"}"#),
            (Method::DELETE, &path, ""),
            (Method::DELETE, by_key, ""),
            (Method::GET, &path, ""),
            (Method::GET, CONSENTS, ""),
        ] {
            let (status, _, answer) = door.send(method, path, &[("idempotency-key", KEY)], body).await;
            assert_eq!((status, &answer["code"]), (400, &json!("idempotency_key_not_taken")), "{path} {answer}");
        }
        let answer = post(door, "/v1/reminders?dry_run=true", "k2", &body("o2", 60_000)).await;
        assert_eq!(answer.code(), (400, "idempotency_key_not_taken"));
        // A method that the route lacks is what its caller is told of.
        for (method, path) in [(Method::TRACE, CONSENTS), (Method::DELETE, CONSENTS), (Method::PUT, "/v1/stats")] {
            let (status, _, answer) = door.send(method, path, &[("idempotency-key", KEY)], "").await;
            assert_eq!(status, 405, "{path} {answer}");
        }
        for (method, path, body) in [
            (Method::POST, "/v1/consents", &*tap("o2").to_string()),
            (Method::POST, "/v1/users/forget", user),
            (Method::PATCH, &path, r#"{"page":"p"}"#),
            (Method::DELETE, &path, ""),
            // A schedule may be called like the call that can be tried.
            (Method::DELETE, "/v1/schedules/shift", ""),
        ] {
            let (status, _, answer) = door.send(method, &format!("{path}?dry_run=true"), &[], body).await;
            let told = (status, &answer["code"], &answer["param"]);
            assert_eq!(told, (400, &json!("bad_query"), &json!("/dry_run")), "{path} {answer}");
        }
        assert_eq!(door.get(&path).await["state"], "scheduled");
        assert_eq!((door.balance("o1").await, door.balance("o2").await), ([0, 1, 0, 0], [0; 4]));
        // The value is told as it was found, and two are one too many.
        for key in ["", "a b", "\"open", &"k".repeat(256)] {
            let answer = post(door, REMINDERS, key, &body("o2", 60_000)).await;
            assert_eq!(answer.code(), (400, "bad_idempotency_key"), "{key}: {}", answer.body);
        }
        let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
        let (status, _, answer) = door.send(Method::POST, REMINDERS, &twice, &text).await;
        assert_eq!((status, &answer["code"]), (400, &json!("bad_idempotency_key")), "{answer}");
    })
    .await;
}
