//! What the owner of a reminder does with it over the API: looks, changes, cancels, tries. By its id or by their own key.

use crate::{
    harness::{
        START,
        door::{Door, body, on_both_doors},
    },
    store::{due, sent, settle},
};
use axum::http::Method;
use serde_json::{Value, json};
use tixing::{domain::timing::rfc3339, store::port::Queue};

const BY_KEY: &str = "/v1/reminders/by-key?app=coffee&key=event-42%2Fo1";

async fn inserted(door: &Door, body: &Value) -> Value {
    let (status, answer) = door.post("/v1/reminders", body).await;
    assert_eq!(status, 201, "{answer}");
    answer
}

fn path(reminder: &Value) -> String {
    format!("/v1/reminders/{}", reminder["id"].as_str().expect("an id"))
}

fn with(mut body: Value, more: Value) -> Value {
    let more = more.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(more);
    body
}

/// Status, code and param of a refusal.
fn refusal(answer: &(u16, Value)) -> (u16, &str, &str) {
    let text = |name: &str| answer.1[name].as_str().unwrap_or_default();
    (answer.0, text("code"), text("param"))
}

#[tokio::test]
async fn a_reminder_is_found_changed_and_cancelled_by_its_owners_own_key() {
    on_both_doors(async |door| {
        let made = inserted(door, &with(body("o1", 60_000), json!({"key": "event-42/o1"}))).await;
        inserted(door, &with(body("o2", 60_000), json!({"key": "event-42/o2"}))).await;
        assert_eq!(door.get(BY_KEY).await, door.get(&path(&made)).await);
        let change = json!({"at": rfc3339(START + 90_000), "page": "pages/other"});
        let (status, changed) = door.call(Method::PATCH, BY_KEY, &change).await;
        assert_eq!((status, &changed["id"], &changed["page"]), (200, &made["id"], &json!("pages/other")), "{changed}");
        assert_eq!(changed["at"], rfc3339(START + 90_000));
        let (status, gone) = door.call(Method::DELETE, BY_KEY, &Value::Null).await;
        assert_eq!((status, &gone["id"], &gone["state"]), (200, &made["id"], &json!("cancelled")));
        assert_eq!(door.balance("o1").await, [1, 0, 0, 0], "its consent is free");
        assert_eq!(door.balance("o2").await, [0, 1, 0, 0], "the other one stays");
        for (path, expected) in [
            ("/v1/reminders/by-key?app=coffee&key=event-43", (404, "not_found", "")),
            ("/v1/reminders/by-key?app=tea&key=event-42%2Fo1", (404, "not_found", "")),
            ("/v1/reminders/by-key?app=cofee&key=a", (422, "unknown_app", "/app")),
            ("/v1/reminders/by-key?app=coffee&key=", (422, "bad_value", "/key")),
            ("/v1/reminders/by-key?app=coffee&key=a%00", (422, "bad_value", "/key")),
            ("/v1/reminders/by-key?app=coffee", (400, "bad_query", "/key")),
            ("/v1/reminders/by-key?app=coffee&key=a&id=1", (400, "bad_query", "/id")),
        ] {
            for method in [Method::GET, Method::PATCH, Method::DELETE] {
                let body = if method == Method::PATCH { change.clone() } else { Value::Null };
                let answer = door.call(method, path, &body).await;
                assert_eq!(refusal(&answer), expected, "{path} {}", answer.1);
            }
        }
        let long = format!("/v1/reminders/by-key?app=coffee&key={}", "k".repeat(129));
        assert_eq!(refusal(&door.call(Method::GET, &long, &Value::Null).await), (422, "bad_value", "/key"));
        // Who was forgotten has no key any more, and the key is not free for another.
        let user = json!({"app": "coffee", "openid": "o1"});
        assert_eq!(door.post("/v1/users/forget", &user).await.0, 200);
        let gone = door.call(Method::GET, BY_KEY, &Value::Null).await;
        assert_eq!(refusal(&gone), (404, "not_found", ""));
        assert!(gone.1["detail"].as_str().expect("a sentence").contains("no longer kept"), "{}", gone.1);
    })
    .await;
}

#[tokio::test]
async fn what_is_cancelled_already_is_cancelled_again_and_what_was_sent_is_not() {
    on_both_doors(async |door| {
        let made = inserted(door, &with(body("o1", 60_000), json!({"key": "event-42/o1"}))).await;
        let mut answers = Vec::new();
        for path in [path(&made), path(&made), BY_KEY.to_owned()] {
            let (status, answer) = door.call(Method::DELETE, &path, &Value::Null).await;
            assert_eq!((status, &answer["state"]), (200, &json!("cancelled")), "{answer}");
            answers.push(answer);
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "nothing happens the second time: {answers:?}");
        assert_eq!(door.balance("o1").await, [1, 0, 0, 0]);
        let sent = was_sent(door, "o2").await;
        assert_eq!(refusal(&door.call(Method::DELETE, &path(&sent), &Value::Null).await), (409, "not_scheduled", ""));
        let changed = door.call(Method::PATCH, &path(&made), &json!({"page": "p"})).await;
        assert_eq!(refusal(&changed), (409, "not_scheduled", ""));
    })
    .await;
}

/// A reminder that was sent.
async fn was_sent(door: &Door, openid: &str) -> Value {
    let made = inserted(door, &body(openid, 1_000)).await;
    let jobs = due(door.store(), START + 1_000).await;
    door.store().mark(jobs.clone()).await.expect("answers");
    assert_eq!(door.store().settle(vec![settle(&jobs[0], true, sent())]).await.expect("answers"), [true]);
    made
}

#[tokio::test]
async fn a_change_of_one_value_leaves_the_others_also_when_two_change_at_once() {
    on_both_doors(async |door| {
        let made = inserted(door, &body("o1", 60_000)).await;
        let path = path(&made);
        let change = |key: &str, value: &str| json!({"data": {key: value}});
        let (status, changed) = door.call(Method::PATCH, &path, &change("thing1", "周四读书会")).await;
        assert_eq!(status, 200, "{changed}");
        assert_eq!(changed["data"], json!({"thing1": "周四读书会", "time2": "2027年3月1日 10:00"}));
        for round in 0..8 {
            let (thing, time) = (format!("第{round}次"), format!("2027年3月1日 1{round}:00"));
            let (one, other) = (change("thing1", &thing), change("time2", &time));
            let both = [door.call(Method::PATCH, &path, &one), door.call(Method::PATCH, &path, &other)];
            for (status, answer) in futures_util::future::join_all(both).await {
                assert_eq!(status, 200, "{answer}");
            }
            let data = door.get(&path).await["data"].clone();
            assert_eq!(data, json!({"thing1": thing, "time2": time}), "neither is lost");
        }
        for (change, expected) in [
            (json!({"data": {"thing1": "字".repeat(21)}}), (422, "bad_field", "/data/thing1")),
            (json!({"data": {"thing9": "a"}}), (422, "unknown_field", "/data/thing9")),
            (json!({"data": {"thing1": null}}), (400, "bad_json", "/data/thing1")),
        ] {
            let answer = door.call(Method::PATCH, &path, &change).await;
            assert_eq!(refusal(&answer), expected, "{}", answer.1);
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_chosen_is_answered_back_and_when_it_was_sent_and_changed_last() {
    on_both_doors(async |door| {
        let chosen = json!({"lang": "en_US", "miniprogram_state": "trial", "consent": "at_fire"});
        let mut asked = with(body("o1", 60_000), chosen.clone());
        asked.as_object_mut().expect("an object").remove("accepted");
        let made = inserted(door, &asked).await;
        for (name, value) in chosen.as_object().expect("an object") {
            assert_eq!(&made[name], value, "{made}");
        }
        assert_eq!(made["expires_at"], rfc3339(START + 60_000 + 86_400_000), "the deadline that holds is told");
        assert_eq!((&made["updated_at"], &made["sent_at"]), (&made["created_at"], &Value::Null));
        let mut shown = door.get(&path(&made)).await;
        shown.as_object_mut().expect("an object").remove("attempts");
        assert_eq!(shown, made, "the answer to the insert and a later look agree");
        let plain = inserted(door, &body("o2", 60_000)).await;
        assert_eq!((&plain["consent"], &plain["lang"]), (&json!("reserve"), &Value::Null));

        door.clock.advance(500);
        let (_, changed) = door.call(Method::PATCH, &path(&made), &json!({"page": "p"})).await;
        assert_eq!((&changed["updated_at"], &changed["lang"]), (&json!(rfc3339(START + 500)), &json!("en_US")));
        door.clock.advance(500);
        for nothing in [json!({}), json!({"data": {}}), json!({"page": "p"}), json!({"data": made["data"]})] {
            let (status, same) = door.call(Method::PATCH, &path(&made), &nothing).await;
            assert_eq!((status, &same["updated_at"]), (200, &changed["updated_at"]), "{nothing} changes nothing");
        }
        let (_, gone) = door.call(Method::DELETE, &path(&made), &Value::Null).await;
        assert_eq!((&gone["updated_at"], &gone["sent_at"]), (&json!(rfc3339(START + 1_000)), &Value::Null));
        let sent = was_sent(door, "o3").await;
        let sent = door.get(&path(&sent)).await;
        let settled = json!(rfc3339(START + 1_030));
        assert_eq!((&sent["sent_at"], &sent["updated_at"]), (&settled, &settled), "{sent}");
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_answers_as_the_insert_would_and_keeps_nothing() {
    on_both_doors(async |door| {
        let dry = "/v1/reminders?dry_run=true";
        let keyed = with(body("o1", 60_000), json!({"key": "k1"}));
        for _ in 0..2 {
            let (status, would) = door.post(dry, &keyed).await;
            assert_eq!((status, &would["dry_run"], &would["id"]), (200, &json!(true), &json!("r_0000000000000")));
            assert_eq!((&would["state"], &would["key"]), (&json!("scheduled"), &json!("k1")));
        }
        assert_eq!(door.get("/v1/reminders").await["items"], json!([]), "nothing is stored");
        assert_eq!(door.balance("o1").await, [0; 4], "and no tap is counted");
        assert_eq!(door.get("/v1/stats").await["apps"][0]["reminders"]["scheduled"], 0);
        let bare = {
            let mut bare = body("o1", 60_000);
            bare.as_object_mut().expect("an object").remove("accepted");
            bare
        };
        assert_eq!(refusal(&door.post(dry, &bare).await), (409, "no_consent", ""));
        let bad = with(body("o1", 60_000), json!({"data": {"thing1": "a"}}));
        assert_eq!(refusal(&door.post(dry, &bad).await), (422, "missing_field", "/data/time2"));

        let made = inserted(door, &keyed).await;
        assert_eq!(made["dry_run"], Value::Null);
        let (status, headers, again) = door.send(Method::POST, dry, &[], &keyed.to_string()).await;
        assert_eq!(
            (status, &headers["idempotent-replayed"], &again["id"]),
            (200, &"true".parse().expect("text"), &made["id"])
        );
        let other = with(keyed.clone(), json!({"page": "p"}));
        assert_eq!(refusal(&door.post(dry, &other).await), (409, "key_conflict", "/key"));
        assert_eq!(door.balance("o1").await, [0, 1, 0, 0]);

        // The lines of a batch see what those before them would take.
        let line = with(bare.clone(), json!({"openid": "o4"}));
        let tap = json!({"app": "coffee", "openid": "o4", "results": {"event-start": "accept"}});
        assert_eq!(door.post("/v1/consents", &tap).await.0, 200);
        let lines = format!("{line}\n{line}\n");
        const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
        let (_, _, answer) = door.send(Method::POST, "/v1/reminders/batch?dry_run=true", &[NDJSON], &lines).await;
        let answer = answer.as_str().expect("two lines");
        let answers: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(answers[0], json!({"line": 1, "state": "scheduled", "dry_run": true}));
        assert_eq!(answers[1]["error"]["code"], "no_consent");
        assert_eq!(door.balance("o4").await, [1, 0, 0, 0]);
        for path in ["/v1/reminders?dry_run=perhaps", "/v1/reminders?dryrun=true", "/v1/reminders/batch?dryrun=true"] {
            let answer = door.post(path, &line).await;
            assert_eq!((answer.0, answer.1["code"].as_str()), (400, Some("bad_query")), "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_list_is_newest_first_of_several_states_or_of_what_changed_since() {
    on_both_doors(async |door| {
        let (mut made, mut ids) = (Vec::new(), Vec::new());
        for n in 0..6 {
            door.clock.advance(1_000);
            made.push(inserted(door, &body(&format!("o{}", n % 2), 600_000 + n * 1_000)).await);
            ids.push(made.last().expect("just made")["id"].clone());
        }
        door.clock.advance(1_000);
        door.call(Method::DELETE, &path(&made[1]), &Value::Null).await;
        let since = rfc3339(START + 7_000);
        door.call(Method::PATCH, &path(&made[4]), &json!({"page": "p"})).await;
        // What a list holds, page after page.
        let list = async |query: &str| {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = door.get(&format!("/v1/reminders?limit=2&{query}{cursor}")).await;
                found.extend(page["items"].as_array().expect("items").iter().map(|item| item["id"].clone()));
                let Some(next) = page["next"].as_str() else { return found };
                cursor = format!("&cursor={next}");
            }
        };
        let some = |places: &[usize]| places.iter().map(|n| ids[*n].clone()).collect::<Vec<_>>();
        for of in ["", "app=coffee", "app=coffee&openid=o0", "app=coffee&openid=o1"] {
            let own = |places: &[usize]| {
                let is = |n: &&usize| !of.contains("openid") || **n % 2 == usize::from(of.ends_with('1'));
                some(&places.iter().filter(is).copied().collect::<Vec<_>>())
            };
            for (query, expected) in [
                ("", own(&[0, 1, 2, 3, 4, 5])),
                ("order=oldest", own(&[0, 1, 2, 3, 4, 5])),
                ("order=newest", own(&[5, 4, 3, 2, 1, 0])),
                ("order=newest&state=scheduled,cancelled", own(&[5, 4, 3, 2, 1, 0])),
                ("order=newest&state=scheduled", own(&[5, 4, 3, 2, 0])),
                ("state=cancelled,failed,sent", own(&[1])),
                ("state=failed,expired,in_doubt", own(&[])),
                (&format!("changed_since={since}"), own(&[1, 4])),
                (&format!("changed_since={since}&order=newest&state=scheduled"), own(&[4])),
                (&format!("changed_since={}", rfc3339(START + 6_000)), own(&[1, 4, 5])),
                (&format!("changed_since={}", rfc3339(START + 7_001)), own(&[])),
                (
                    &format!("order=newest&from={}&to={}", rfc3339(START + 601_000), rfc3339(START + 604_000)),
                    own(&[3, 2, 1]),
                ),
            ] {
                assert_eq!(list(&format!("{query}&{of}")).await, expected, "{query} {of}");
            }
        }
        for (query, param) in [
            ("state=scheduled,done", "/state"),
            ("state=scheduled,", "/state"),
            ("state=", "/state"),
            ("state=sent&state=failed", "/state"),
            ("order=up", "/order"),
            ("changed_since=yesterday", "/changed_since"),
        ] {
            let answer = door.call(Method::GET, &format!("/v1/reminders?{query}"), &Value::Null).await;
            assert_eq!(refusal(&answer), (400, "bad_query", param), "{query}: {}", answer.1);
            let told = answer.1["detail"].as_str().expect("a sentence");
            assert_eq!(told.contains("state=sent,failed"), query.contains("&state="), "{query}: {told}");
        }
    })
    .await;
}
