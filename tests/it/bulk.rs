//! Whatever a filter lets through is cancelled or moved: after a count, all of it or nothing.

use crate::harness::{
    START,
    door::{Door, body, on_both_doors},
    reminder,
};
use axum::http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tixing::{
    domain::{
        draft::Change,
        reminder::{Claim, NewReminder},
        timing::rfc3339,
    },
    store::{
        bulk::{AT_MOST, Bulk, Choice},
        lists::Filter,
    },
};

const CANCEL: &str = "/v1/reminders/cancel";
const SHIFT: &str = "/v1/reminders/shift";

/// Six reminders of two users, a minute apart.
async fn filled(door: &Door) {
    for n in 0..6 {
        let (status, answer) = door.post("/v1/reminders", &body(&format!("o{}", n % 2), 600_000 + n * 60_000)).await;
        assert_eq!(status, 201, "{answer}");
    }
}

async fn states(door: &Door) -> Vec<Value> {
    let list = door.get("/v1/reminders?app=coffee").await;
    list["items"].as_array().expect("items").iter().map(|item| item["state"].clone()).collect()
}

async fn instants(door: &Door) -> Vec<Value> {
    let list = door.get("/v1/reminders?app=coffee").await;
    list["items"].as_array().expect("items").iter().map(|item| json!([item["at"], item["expires_at"]])).collect()
}

fn refusal(answer: &(u16, Value)) -> (u16, &str, &str) {
    let text = |name: &str| answer.1[name].as_str().unwrap_or_default();
    (answer.0, text("code"), text("param"))
}

#[tokio::test]
async fn a_bulk_cancellation_is_counted_first_and_does_what_was_counted_or_nothing() {
    on_both_doors(async |door| {
        filled(door).await;
        let filter = json!({"app": "coffee", "openid": "o1", "from": rfc3339(START + 700_000)});
        let with = |expect: Value| {
            let mut filter = filter.clone();
            filter["expect"] = expect;
            filter
        };
        let dry = format!("{CANCEL}?dry_run=true");
        assert_eq!(door.post(&dry, &filter).await, (200, json!({"dry_run": true, "count": 2})));
        assert_eq!(states(door).await, vec!["scheduled"; 6], "a dry run does nothing");
        // Some languages write every number with a fraction; one that is not whole is none.
        assert_eq!(door.post(CANCEL, &with(json!(3.0))).await.0, 409, "it is read as 3");
        assert_eq!(door.post(CANCEL, &with(json!(2.5))).await.0, 400);
        for expect in [0, 1, 3] {
            assert_eq!(refusal(&door.post(CANCEL, &with(json!(expect))).await), (409, "count_changed", "/expect"));
        }
        assert_eq!(refusal(&door.post(CANCEL, &filter).await), (422, "bad_value", "/expect"));
        assert_eq!(refusal(&door.post(CANCEL, &with(json!(-1))).await), (400, "bad_json", "/expect"));
        assert_eq!(states(door).await, vec!["scheduled"; 6], "nor does a call that is refused");
        assert_eq!(door.post(CANCEL, &with(json!(2))).await, (200, json!({"dry_run": false, "count": 2})));
        let (s, c) = (json!("scheduled"), json!("cancelled"));
        assert_eq!(states(door).await, [&s, &s, &s, &c, &s, &c].map(Clone::clone));
        assert_eq!(door.balance("o1").await, [2, 1, 0, 0], "their consents are free");
        // The same again finds nothing, and says so.
        assert_eq!(refusal(&door.post(CANCEL, &with(json!(2))).await), (409, "count_changed", "/expect"));
        assert_eq!(door.post(CANCEL, &with(json!(0))).await, (200, json!({"dry_run": false, "count": 0})));
        let all = json!({"app": "coffee", "template": "event-start", "state": "scheduled", "expect": 4});
        assert_eq!(door.post(CANCEL, &all).await.0, 200);
        assert_eq!(states(door).await, vec!["cancelled"; 6]);
        let why = door.get("/v1/reminders?app=coffee&limit=1").await["items"][0]["reason"].clone();
        assert_eq!(why, "cancelled", "as when each is cancelled alone");
    })
    .await;
}

#[tokio::test]
async fn a_filter_with_a_slip_cancels_nothing() {
    on_both_doors(async |door| {
        filled(door).await;
        for (filter, expected) in [
            (json!({"opneid": "o1", "expect": 6}), (400, "bad_json", "/opneid")),
            (json!({"app": "cofee", "expect": 6}), (422, "unknown_app", "/app")),
            (json!({"template": "digset", "expect": 6}), (422, "unknown_template", "/template")),
            (json!({"state": "sent", "expect": 6}), (422, "bad_value", "/state")),
            (json!({"from": "tomorrow", "expect": 6}), (422, "bad_value", "/from")),
            (json!({"openid": "o 1", "expect": 6}), (422, "bad_value", "/openid")),
            (json!({"schedule": "spring", "expect": 6}), (409, "count_changed", "/expect")),
            (json!({"by": "30m", "expect": 6}), (400, "bad_json", "/by")),
            (json!([]), (400, "bad_json", "")),
        ] {
            let answer = door.post(CANCEL, &filter).await;
            assert_eq!(refusal(&answer), expected, "{filter}: {}", answer.1);
        }
        // A filter has its place in the body: one that stands elsewhere is not passed over.
        let answer = door.post(&format!("{CANCEL}?openid=o1"), &json!({"expect": 6})).await;
        assert_eq!(refusal(&answer), (400, "bad_query", "/openid"));
        assert_eq!(states(door).await, vec!["scheduled"; 6]);
    })
    .await;
}

#[tokio::test]
async fn a_bulk_shift_moves_instants_and_deadlines_and_tells_first_what_it_would_do() {
    on_both_doors(async |door| {
        filled(door).await;
        let before = instants(door).await;
        let shift = |by: &str, expect: Value| json!({"app": "coffee", "openid": "o0", "by": by, "expect": expect});
        let dry = format!("{SHIFT}?dry_run=true");
        let would = |count, at_once| json!({"dry_run": true, "count": count, "at_once": at_once, "too_far": 0});
        assert_eq!(door.post(&dry, &shift("30m", Value::Null)).await, (200, would(3, 0)));
        assert_eq!(door.post(&dry, &shift("-11m", Value::Null)).await, (200, would(3, 1)));
        assert_eq!(refusal(&door.post(SHIFT, &shift("30m", json!(4))).await), (409, "count_changed", "/expect"));
        assert_eq!(refusal(&door.post(SHIFT, &shift("30m", Value::Null)).await), (422, "bad_value", "/expect"));
        assert_eq!(refusal(&door.post(SHIFT, &shift("0m", json!(3))).await), (422, "bad_value", "/by"));
        assert_eq!(refusal(&door.post(SHIFT, &shift("soon", json!(3))).await), (422, "bad_value", "/by"));
        assert_eq!(instants(door).await, before, "nothing has moved");
        let (status, answer) = door.post(SHIFT, &shift("1h", json!(3))).await;
        assert_eq!((status, &answer["count"]), (200, &json!(3)), "{answer}");
        let day = 86_400_000;
        let pair = |at: i64| json!([rfc3339(START + at), rfc3339(START + at + day)]);
        let expected = [660_000, 780_000, 900_000, 4_200_000, 4_320_000, 4_440_000].map(pair);
        assert_eq!(instants(door).await, expected, "their deadlines move along");
        let moved = door.get("/v1/reminders?app=coffee&openid=o0&limit=1").await["items"][0].clone();
        assert_eq!(moved["next_at"], Value::Null, "it is due at its new instant");
        // Back beyond a deadline, and further than instants may lie.
        assert_eq!(door.post(&dry, &shift("-2d", Value::Null)).await.1["too_far"], 3);
        assert_eq!(refusal(&door.post(SHIFT, &shift("-2d", json!(0))).await), (409, "shift_too_far", ""));
        assert_eq!(refusal(&door.post(SHIFT, &shift("3660d", json!(3))).await), (409, "shift_too_far", ""));
        assert_eq!(instants(door).await, expected);
    })
    .await;
}

#[tokio::test]
async fn what_changes_between_the_count_and_the_deed_is_not_touched_and_neither_are_the_others() {
    on_both_doors(async |door| {
        filled(door).await;
        let filter = Filter { apps: vec!["coffee".into()], ..Filter::default() };
        let chosen = async || match door.store().choose(&filter, None, Duration::from_secs(60)).await.expect("answers")
        {
            Choice::All(chosen) => chosen,
            other => panic!("{other:?}"),
        };
        let first = door.store().list(&Filter { limit: 1, ..filter.clone() }).await.expect("answers").remove(0);
        let (cancels, shifts) = (chosen().await, chosen().await);
        let page = Change { page: Some(Some("p".into())), ..Change::default() };
        door.store().change(first.due.id, page).await.expect("changed");
        assert_eq!(door.store().cancel_all(cancels, "t").await.expect("answers"), Bulk::Meanwhile);
        assert_eq!(door.store().shift_all(shifts, 1_000, 6, "t").await.expect("answers"), Bulk::Meanwhile);
        let cancels = chosen().await;
        door.store().cancel(first.due.id).await.expect("cancelled");
        assert_eq!(door.store().cancel_all(cancels, "t").await.expect("answers"), Bulk::Meanwhile);
        assert_eq!(states(door).await[1..], vec!["scheduled"; 5]);
        assert_eq!(instants(door).await[1], json!([rfc3339(START + 660_000), rfc3339(START + 87_060_000)]));
        // What is sent meanwhile changes the number that the next call finds.
        let all = json!({"app": "coffee", "expect": 6});
        assert_eq!(refusal(&door.post(CANCEL, &all).await), (409, "count_changed", "/expect"));
    })
    .await;
}

#[tokio::test]
async fn more_than_a_call_may_do_is_refused_with_the_way_to_do_it_in_parts() {
    on_both_doors(async |door| {
        let new = |n: usize| NewReminder { claim: Claim::AtFire, ..reminder("o1", START + 600_000 + n as i64) };
        let news: Vec<NewReminder> = (0..=AT_MOST).map(new).collect();
        for some in news.chunks(4_000) {
            door.store().insert(some.to_vec()).await.expect("inserted");
        }
        let all = json!({"app": "coffee", "expect": AT_MOST + 1});
        for path in [CANCEL, "/v1/reminders/cancel?dry_run=true"] {
            let answer = door.post(path, &all).await;
            assert_eq!(refusal(&answer), (422, "too_many_at_once", ""));
            let detail = answer.1["detail"].as_str().expect("a sentence");
            assert!(detail.contains("10000") && detail.contains("`from` and `to`"), "{detail}");
        }
        let filter = Filter { apps: vec!["coffee".into()], ..Filter::default() };
        let soon = door.store().choose(&filter, None, Duration::ZERO).await.expect("answers");
        assert_eq!(soon, Choice::TooLong, "a part is not taken for all");
        let part = json!({"app": "coffee", "to": rfc3339(START + 610_000), "expect": AT_MOST});
        assert_eq!(door.post(CANCEL, &part).await.1["count"], AT_MOST);
        let rest = json!({"app": "coffee", "expect": 1});
        assert_eq!(door.post(CANCEL, &rest).await.1["count"], 1);
        assert_eq!(door.get("/v1/stats").await["apps"][0]["reminders"]["cancelled"], AT_MOST + 1);
    })
    .await;
}

#[tokio::test]
async fn more_than_a_call_may_do_at_one_instant_is_done_part_by_part() {
    on_both_doors(async |door| {
        let new = |_| NewReminder { claim: Claim::AtFire, ..reminder("o1", START + 600_000) };
        let news: Vec<NewReminder> = (0..AT_MOST + 2_001).map(new).collect();
        for some in news.chunks(4_000) {
            door.store().insert(some.to_vec()).await.expect("inserted");
        }
        for limit in [0, AT_MOST + 1] {
            let wrong = json!({"app": "coffee", "expect": 1, "limit": limit});
            assert_eq!(refusal(&door.post(CANCEL, &wrong).await), (422, "bad_value", "/limit"), "{limit}");
        }
        // What was moved must not be found again.
        let (from, to) = (rfc3339(START + 600_000), rfc3339(START + 600_001));
        let shift = "/v1/reminders/shift";
        for (from, to) in [(None, Some(&to)), (Some(&from), Some(&rfc3339(START + 4_300_000)))] {
            let unclear = json!({"app": "coffee", "from": from, "to": to, "by": "1h", "expect": 1, "limit": 9_000});
            assert_eq!(refusal(&door.post(shift, &unclear).await), (422, "bad_value", "/limit"));
        }
        let mut moved = 0;
        loop {
            let part = json!({"app": "coffee", "from": from, "to": to, "by": "1h", "limit": 9_000});
            let planned = door.post(&format!("{shift}?dry_run=true"), &part).await.1;
            let mut part = part;
            part["expect"] = planned["count"].clone();
            let done = door.post(shift, &part).await.1;
            assert_eq!(done["count"], planned["count"], "{done}");
            moved += done["count"].as_u64().expect("a number");
            if done["more"] == false {
                break;
            }
        }
        assert_eq!(moved as usize, AT_MOST + 2_001, "each once");
        let first = json!({"app": "coffee", "limit": AT_MOST, "expect": AT_MOST});
        let done = door.post(CANCEL, &first).await.1;
        assert_eq!((&done["count"], &done["more"]), (&AT_MOST.into(), &true.into()));
        let rest = json!({"app": "coffee", "limit": AT_MOST, "expect": 2_001});
        let done = door.post(CANCEL, &rest).await.1;
        assert_eq!((&done["count"], &done["more"]), (&2_001.into(), &false.into()));
        assert_eq!(door.get("/v1/stats").await["apps"][0]["reminders"]["cancelled"], AT_MOST + 2_001);
    })
    .await;
}

#[tokio::test]
async fn a_key_of_one_app_cancels_nothing_of_another() {
    on_both_doors(async |door| {
        filled(door).await;
        let (key, new) = tixing::api::new_key("t".into(), tixing::store::keys::Scope::Write, Some(vec!["tea".into()]));
        door.store().create_key(new).await.expect("made");
        door.api.refresh_keys().await;
        let of_tea = door.with_key(&key);
        assert_eq!(of_tea.post(CANCEL, &json!({"expect": 0})).await, (200, json!({"dry_run": false, "count": 0})));
        let answer = of_tea.post(CANCEL, &json!({"app": "coffee", "expect": 6})).await;
        assert_eq!(refusal(&answer), (403, "forbidden", "/app"));
        let answer = of_tea.call(Method::GET, "/v1/reminders/by-key?app=coffee&key=k", &Value::Null).await;
        assert_eq!(refusal(&answer), (403, "forbidden", "/app"));
        assert_eq!(states(door).await, vec!["scheduled"; 6]);
    })
    .await;
}
