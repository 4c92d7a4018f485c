//! The calendar feed: what stands in it, who may read it, and that its key goes nowhere else. `tests/clients/client.py` reads it as a
//! calendar program does.

use crate::{
    harness::{
        self, START, TestStore, on_both,
        program::{SandboxServer, Site},
    },
    in_use::{load, loaded},
};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tixing::{
    api::{Api, new_key},
    clock::ManualClock,
    domain::Millis,
    metrics::Metrics,
    store::{
        keys::Scope,
        schedules::{BeginLoad, ScheduleState},
    },
};
use tower::ServiceExt;

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;
const FEED: &str = "/v1/schedules.ics";

/// A component of a calendar: its name, its properties by name and parameters, and what is in it.
#[derive(Debug)]
struct Component {
    name: String,
    properties: BTreeMap<String, String>,
    inside: Vec<Component>,
}

/// Reads a calendar and takes nothing that RFC 5545 does not allow.
fn read(text: &str) -> Component {
    assert!(text.ends_with("\r\n"));
    let mut unfolded: Vec<String> = Vec::new();
    for line in text.strip_suffix("\r\n").expect("it ends").split("\r\n") {
        assert!(!line.is_empty() && line.len() <= 75, "{} bytes: {line}", line.len());
        assert!(!line.chars().any(char::is_control), "{line:?}");
        match line.strip_prefix(' ') {
            Some(rest) => unfolded.last_mut().expect("a line to go on").push_str(rest),
            None => unfolded.push(line.to_owned()),
        }
    }
    let mut open: Vec<Component> = Vec::new();
    let mut lines = unfolded.into_iter();
    while let Some(line) = lines.next() {
        let (name, value) = line.split_once(':').expect("a name and a value");
        assert!(name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-;=".contains(&b)), "{name}");
        match name {
            "BEGIN" => open.push(Component { name: value.into(), properties: BTreeMap::new(), inside: Vec::new() }),
            "END" => {
                let whole = open.pop().expect("one is open");
                assert_eq!(whole.name, value);
                match open.last_mut() {
                    Some(outer) => outer.inside.push(whole),
                    None => {
                        assert_eq!(lines.next(), None, "nothing follows");
                        return whole;
                    }
                }
            }
            _ => {
                let is_text = ["SUMMARY", "DESCRIPTION", "CATEGORIES", "NAME", "X-WR-CALNAME", "X-WR-CALDESC"];
                let value = if is_text.contains(&name) { unescaped(value) } else { value.to_owned() };
                let before = open.last_mut().expect("one is open").properties.insert(name.into(), value);
                assert_eq!(before, None, "{name} comes twice");
            }
        }
    }
    panic!("a component has no end")
}

fn unescaped(value: &str) -> String {
    let (mut text, mut chars) = (String::new(), value.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next().expect("something is escaped") {
                'n' => text.push('\n'),
                c @ ('\\' | ';' | ',') => text.push(c),
                c => panic!("\\{c} means nothing"),
            },
            ';' | ',' => panic!("{value}: not escaped"),
            c => text.push(c),
        }
    }
    text
}

/// The events of a calendar that is as it should be.
fn events(text: &str) -> Vec<Component> {
    let calendar = read(text);
    assert_eq!((calendar.name.as_str(), calendar.properties["VERSION"].as_str()), ("VCALENDAR", "2.0"));
    assert!(calendar.properties.contains_key("PRODID") && !calendar.inside.is_empty());
    let events: Vec<Component> = calendar.inside.into_iter().filter(|one| one.name == "VEVENT").collect();
    for event in &events {
        for name in ["UID", "DTSTAMP", "DTSTART", "SUMMARY"] {
            assert!(!event.properties[name].is_empty(), "{event:?}");
        }
        for name in ["DTSTAMP", "DTSTART", "DTEND"] {
            let Some(time) = event.properties.get(name) else { continue };
            let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            assert_eq!(shape, "00000000T000000Z", "{time}");
        }
        assert!(event.properties.get("DTEND").is_none_or(|end| *end > event.properties["DTSTART"]), "{event:?}");
    }
    let uids: std::collections::BTreeSet<_> = events.iter().map(|event| &event.properties["UID"]).collect();
    assert_eq!(uids.len(), events.len(), "each has a name of its own");
    events
}

fn summaries(text: &str) -> Vec<String> {
    events(text).iter().map(|event| event.properties["SUMMARY"].clone()).collect()
}

/// The API over a store.
async fn api(test: &TestStore) -> Api {
    let config = Arc::new(harness::config("http://127.0.0.1:1"));
    let clock: Arc<ManualClock> = Arc::clone(&test.clock);
    Api::new(config, test.store.clone(), clock, Arc::new(Metrics::default()), None).await
}

async fn ask(router: &Router, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    let request =
        headers.iter().fold(Request::builder().uri(path), |request, (name, value)| request.header(*name, *value));
    let response = router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("UTF-8"))
}

async fn calendar(router: &Router, path: &str) -> String {
    let (status, _, text) = ask(router, path, &[]).await;
    assert_eq!(status, 200, "{text}");
    text
}

async fn key(api: &Api, scope: Scope, apps: Option<&[&str]>) -> String {
    let apps = apps.map(|apps| apps.iter().map(|app| (*app).to_owned()).collect());
    let (key, new) = new_key("test".into(), scope, apps);
    api.store().create_key(new).await.expect("made");
    api.refresh_keys().await;
    key
}

/// Changes rows of the store as its parts would.
struct Hand(AnyConnection);

impl Hand {
    async fn on(test: &TestStore) -> Self {
        sqlx::any::install_default_drivers();
        Self(AnyConnection::connect(&test.url).await.expect("connects"))
    }

    async fn run(&mut self, sql: String) {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut self.0).await.expect("done");
    }

    /// A schedule that was loaded, with what follows `SET`.
    async fn schedule(&mut self, test: &TestStore, load: BeginLoad, set: &str) -> i64 {
        let id = loaded(&test.store, load).await;
        self.run(format!("UPDATE schedule SET {set} WHERE id = {id}")).await;
        id
    }

    async fn occurrence(&mut self, schedule: i64, name: &str, event: Millis, people: i64) {
        let (first, begun) = (event - HOUR, event - DAY);
        let name = name.replace('\'', "''");
        self.run(format!(
            "INSERT INTO occurrence (schedule, name, event_at, first_at, last_at, ends_at, begun_at, prepared_at, people)
             VALUES ({schedule}, '{name}', {event}, {first}, {first}, {event}, {begun}, {begun}, {people})"
        ))
        .await;
    }
}

fn whole(first: Millis, last: Millis, people: i64) -> String {
    format!("first_at = {first}, last_at = {last}, report = '{{\"reach\":{{\"people\":900,\"reminded\":{people}}}}}'")
}

fn upcoming(events: &[(&str, Millis)]) -> String {
    let events: Vec<Value> = events.iter().map(|(name, event)| json!({ "name": name, "event": event })).collect();
    format!("upcoming = '{}'", Value::from(events))
}

#[tokio::test]
async fn what_is_scheduled_stands_in_a_calendar_once_each() {
    on_both(async |test| {
        let mut hand = Hand::on(&test).await;
        hand.schedule(&test, load("spring"), &whole(START + DAY, START + 3 * DAY, 128)).await;
        hand.schedule(&test, load("long-over"), &whole(START - 40 * DAY, START - 31 * DAY, 5)).await;
        hand.schedule(&test, load("not-loaded-yet"), "first_at = NULL").await;
        let classes = [("2027-03-02T19:00", START + DAY + 11 * HOUR), ("2027-03-09T19:00", START + 8 * DAY + 11 * HOUR)];
        let weekly = format!("kept_text = 'x', {}", upcoming(&classes));
        let weekly = hand.schedule(&test, load("weekly"), &weekly).await;
        hand.occurrence(weekly, "2027-02-23T19:00", START - 6 * DAY, 40).await;
        hand.occurrence(weekly, classes[0].0, classes[0].1, 42).await;
        // A table for everybody, shifted: all of it is there, with its messages as they go.
        let tour = [("T1", START + 20 * DAY), ("T2", START + 21 * DAY)].map(|(name, event)| {
            json!({ "name": name, "key": name, "event": event, "prepare_at": event - DAY, "instants": [event - HOUR, event] })
        });
        let tour = format!("kept_text = 'x', shift = 1, upcoming = '{}'", Value::from(tour.to_vec()));
        hand.schedule(&test, load("tour"), &tour).await;
        let shows = [("E1", START + 10 * DAY), ("E,2;\n", START + 12 * DAY)];
        // Loaded as a whole: for the second one nobody has signed up.
        let season = hand.schedule(&test, load("season"), &upcoming(&shows)).await;
        hand.occurrence(season, "E1", START + 10 * DAY, 7).await;
        hand.schedule(&test, BeginLoad { app: "tea".into(), ..load("tea-time") }, &whole(START + DAY, START + DAY, 1)).await;

        let api = api(&test).await;
        let router = api.owner_router();
        let text = calendar(&router, FEED).await;
        let of = |event: &Component| {
            let get = |name: &str| event.properties.get(name).cloned().unwrap_or_default();
            [get("DTSTART"), get("DTEND"), get("SUMMARY"), get("DESCRIPTION"), get("CATEGORIES"), get("STATUS")].join(" | ")
        };
        let found: Vec<String> = events(&text).iter().map(of).collect();
        assert_eq!(
            found,
            [
                "20270223T000000Z |  | weekly (coffee): 40 people | Messages go at 2027-02-23 07:00:00+08:00. | coffee | CONFIRMED",
                "20270302T000000Z | 20270304T000000Z | spring (coffee): 128 people | Messages go from 2027-03-02 08:00:00+08:00 \
                 until 2027-03-04 08:00:00+08:00. | coffee | CONFIRMED",
                "20270302T000000Z |  | tea-time (tea): 1 person | Messages go at 2027-03-02 08:00:00+08:00. | tea | CONFIRMED",
                "20270302T110000Z |  | weekly (coffee): 42 people | Messages go at 2027-03-02 18:00:00+08:00. | coffee | CONFIRMED",
                "20270309T110000Z |  | weekly (coffee) | Not prepared yet: who gets it is decided some time before its first message. | coffee | CONFIRMED",
                "20270311T000000Z |  | season · E1 (coffee): 7 people | Messages go at 2027-03-11 07:00:00+08:00. | coffee | CONFIRMED",
                "20270313T000000Z |  | season · E,2;\n (coffee): 0 people | Nobody has a message of it. | coffee | CONFIRMED",
                "20270321T000000Z |  | tour · T1 (coffee) | Messages go from 2027-03-21 07:00:00+08:00 until 2027-03-21 08:00:00+08:00.\n\
                 Not prepared yet: who gets it is decided some time before its first message. | coffee | CONFIRMED",
                "20270322T000000Z |  | tour · T2 (coffee) | Messages go from 2027-03-22 07:00:00+08:00 until 2027-03-22 08:00:00+08:00.\n\
                 Not prepared yet: who gets it is decided some time before its first message. | coffee | CONFIRMED",
            ]
        );
        let chinese = calendar(&router, &format!("{FEED}?lang=zh")).await;
        assert_eq!(summaries(&chinese)[0], "weekly（coffee）：40 人");
        assert_eq!(read(&chinese).properties["X-WR-CALNAME"], "定时提醒");
        let (_, _, chinese) = ask(&router, FEED, &[("accept-language", "zh-CN,zh;q=0.9")]).await;
        assert!(chinese.contains("发送时间"), "{chinese}");
        let (status, _, answer) = ask(&router, &format!("{FEED}?lang=fr"), &[]).await;
        assert!(status == 400 && answer.contains("/lang"), "{answer}");

        // The apps of the key, and no others.
        let of_tea = key(&api, Scope::Feed, Some(&["tea"])).await;
        let text = calendar(&api.router(), &format!("{FEED}?key={of_tea}")).await;
        assert_eq!(summaries(&text), ["tea-time (tea): 1 person"]);
        assert_eq!(read(&text).properties["NAME"], "Scheduled reminders: tea");
        let of_nothing = key(&api, Scope::Feed, Some(&["gone"])).await;
        let text = calendar(&api.router(), &format!("{FEED}?key={of_nothing}")).await;
        assert!(events(&text).is_empty() && read(&text).inside[0].name == "VTIMEZONE");
        test.store.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_prepared_moved_paused_or_cancelled_is_the_same_entry_of_the_calendar() {
    on_both(async |test| {
        let mut hand = Hand::on(&test).await;
        let next = ("2027-03-02T19:00", START + DAY);
        let weekly = format!("kept_text = 'x', {}", upcoming(&[next, ("2027-03-09T19:00", START + 8 * DAY)]));
        let id = hand.schedule(&test, load("weekly"), &weekly).await;
        hand.occurrence(id, "2027-02-23T19:00", START - 6 * DAY, 40).await;
        let router = api(&test).await.owner_router();
        let one = |text: &str, at: usize| {
            let event = &events(text)[at].properties;
            ["UID", "SUMMARY", "STATUS"].map(|name| event[name].clone())
        };
        let (_, headers, before) = ask(&router, FEED, &[]).await;
        let [uid, summary, _] = one(&before, 1);
        assert_eq!(summary, "weekly (coffee)");
        for (name, value) in [
            ("content-type", "text/calendar; charset=utf-8"),
            ("cache-control", "private, no-cache"),
            ("vary", "accept-language, authorization"),
        ] {
            assert_eq!(headers[name], value);
        }
        assert!(
            before.contains("REFRESH-INTERVAL;VALUE=DURATION:PT1H\r\n") && before.contains("X-PUBLISHED-TTL:PT1H\r\n")
        );

        // As long as nothing changes a calendar program is told so, whatever the time.
        let tag = headers["etag"].to_str().expect("a tag").to_owned();
        test.clock.advance(HOUR);
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
            let (status, headers, body) = ask(&router, FEED, &[("if-none-match", &known)]).await;
            assert_eq!(
                (status.as_u16(), headers["etag"].to_str().expect("a tag"), body.as_str()),
                (304, tag.as_str(), "")
            );
        }
        assert_eq!(ask(&router, FEED, &[("if-none-match", "\"other\"")]).await.0, 200);
        assert_eq!(ask(&router, &format!("{FEED}?lang=zh"), &[("if-none-match", &tag)]).await.0, 200);

        hand.occurrence(id, next.0, next.1 + HOUR, 42).await;
        let (status, _, prepared) = ask(&router, FEED, &[("if-none-match", &tag)]).await;
        assert_eq!((status.as_u16(), events(&prepared).len()), (200, 3));
        assert_eq!(one(&prepared, 1), [uid.clone(), "weekly (coffee): 42 people".into(), "CONFIRMED".into()]);

        test.store.pause_schedule("weekly", "test").await.expect("answers");
        let paused = calendar(&router, FEED).await;
        assert_eq!(one(&paused, 1), [uid.clone(), "[paused] weekly (coffee): 42 people".into(), "CONFIRMED".into()]);
        assert_eq!(one(&paused, 0)[1], "weekly (coffee): 40 people", "what was sent was sent");
        hand.run(format!("UPDATE schedule SET cancelled_at = {START}, paused_at = NULL WHERE id = {id}")).await;
        let cancelled = calendar(&router, &format!("{FEED}?lang=zh")).await;
        assert_eq!(one(&cancelled, 1), [uid, "【已取消】weekly（coffee）：42 人".into(), "CANCELLED".into()]);
        assert_eq!(one(&cancelled, 0)[2], "CONFIRMED");
        assert_eq!(one(&cancelled, 2)[2], "CANCELLED", "it will not be prepared");
        let row = test.store.schedule("weekly").await.expect("answers").expect("there");
        assert_eq!(row.state(&BTreeMap::new(), START), ScheduleState::Cancelled);
        test.store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_calendar_has_five_thousand_entries_at_most_and_says_so() {
    on_both(async |test| {
        let mut hand = Hand::on(&test).await;
        let id = hand.schedule(&test, load("hourly"), "kept_text = 'x', upcoming = '[]'").await;
        // Every six minutes; 3,000 behind and 3,000 ahead, of which the nearest 5,000 count.
        let places: Vec<i64> = (-3_000..3_000).collect();
        for some in places.chunks(500) {
            let values = some.iter().map(|n| {
                let at = START + n * HOUR / 10 + 1;
                format!("({id}, 'E{n}', {at}, {at}, {at}, {at}, {at}, {at}, 1)")
            });
            let values: Vec<String> = values.collect();
            hand.run(format!(
                "INSERT INTO occurrence (schedule, name, event_at, first_at, last_at, ends_at, begun_at, prepared_at, people) VALUES {}",
                values.join(", ")
            ))
            .await;
        }
        let router = api(&test).await.owner_router();
        let text = calendar(&router, FEED).await;
        let found = summaries(&text);
        assert_eq!(found.len(), 5_000);
        assert_eq!((found[0].as_str(), found[4_999].as_str()), ("hourly · E-2500 (coffee): 1 person", "hourly · E2499 (coffee): 1 person"));
        let about = read(&text).properties["X-WR-CALDESC"].clone();
        assert!(about.contains("the 5000 entries nearest to now"), "{about}");
        // Beside what recurs: whole schedules count among them, by what is nearest.
        for some in (0..600).collect::<Vec<i64>>().chunks(200) {
            let values = some.iter().map(|n| {
                let (first, last) = (START + n * 1_000, START + n * 1_000 + 1);
                format!("('whole-{n}', 'd', 'Asia/Shanghai', 'x', {START}, {first}, {last})")
            });
            let values: Vec<String> = values.collect();
            let columns = "name, digest, zone, text, created_at, first_at, last_at";
            hand.run(format!(
                "INSERT INTO schedule ({columns}, app, template) SELECT w.*, s.app, s.template FROM schedule s, (VALUES {}) w WHERE s.id = {id}",
                values.join(", ")
            ))
            .await;
        }
        let found = summaries(&calendar(&router, FEED).await);
        let whole = found.iter().filter(|title| title.starts_with("whole-")).count();
        assert_eq!((found.len(), whole), (5_000, 600), "the nearest of all kinds");
        hand.run("DELETE FROM schedule WHERE name LIKE 'whole-%'".to_owned()).await;
        // Behind, it goes back for thirty days.
        hand.run(format!("DELETE FROM occurrence WHERE event_at > {START}")).await;
        test.clock.advance(25 * DAY);
        let text = calendar(&router, FEED).await;
        let found = summaries(&text);
        assert_eq!((found.len(), found[0].as_str()), (1_200, "hourly · E-1200 (coffee): 1 person"));
        assert!(!read(&text).properties["X-WR-CALDESC"].contains("nearest"));
        test.store.close().await;
    })
    .await;
}

#[tokio::test]
async fn whatever_an_event_is_called_it_is_one_entry_of_one_line() {
    on_both(async |test| {
        let mut hand = Hand::on(&test).await;
        let keys = [
            "a,b;c\\d:e\"f",
            "BEGIN:VEVENT",
            "x\r\nEND:VCALENDAR\r\nBEGIN:VCALENDAR",
            "x\u{2028}y\u{85}z\u{b}",
            "\\n\\,\\",
            "🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉",
            "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十",
            "e\u{301}\u{202e}x\u{7f}\u{1b}[0m",
        ];
        let id = hand.schedule(&test, load("节目-一_二.三"), "kept_text = 'x', upcoming = '[]'").await;
        for (n, key) in keys.iter().enumerate() {
            hand.occurrence(id, key, START + n as i64 * HOUR, 1).await;
        }
        let router = api(&test).await.owner_router();
        let text = calendar(&router, &format!("{FEED}?lang=zh")).await;
        assert_eq!(read(&text).inside.len(), keys.len());
        let found = summaries(&text);
        for (key, found) in keys.iter().zip(&found) {
            let plain = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let key = format!("节目-一_二.三 · {key}（coffee）：1 人");
            assert_eq!(plain(&key), plain(found), "{key:?}");
        }
        assert_eq!(found[0], "节目-一_二.三 · a,b;c\\d:e\"f（coffee）：1 人");
        assert_eq!(found[2], "节目-一_二.三 · x\nEND:VCALENDAR\nBEGIN:VCALENDAR（coffee）：1 人");
        test.store.close().await;
    })
    .await;
}

const SCHEDULE: &str = r#"
name = "coupons"
app = "coffee"
template = "event-start"
at = 2031-03-01T10:00:00+08:00
audience = { file = "a.csv", key = "券号" }
timezone = "Asia/Shanghai"
[data]
thing1 = "{{名称}}"
time2 = "{{@event | datetime}}"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_key_opens_the_feed_in_an_address_and_nothing_else_and_reaches_no_log() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let program = site.try_serve_with(&[("TIXING_LOG", "trace")]).expect("it starts");
    let make = |args: &[&str]| {
        let (code, made, said) = site.run(&[&["key", "create", "--name", "k"], args].concat());
        assert_eq!(code, 0, "{said}");
        (made.trim().to_owned(), said)
    };
    let (address, said) = make(&["--scope", "feed"]);
    let key = address
        .strip_prefix("http://127.0.0.1:0/v1/schedules.ics?key=")
        .expect("an address to subscribe to")
        .to_owned();
    assert!(said.contains("subscribe"), "{said}");
    let (code, made, _) = site.run(&["key", "create", "--name", "k", "--scope", "feed", "--app", "tea", "--json"]);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    assert_eq!((code, &made["scope"], &made["apps"]), (0, &json!("feed"), &json!(["tea"])));
    assert_eq!(made["feed"], format!("/v1/schedules.ics?key={}", made["key"].as_str().expect("a key")));
    let strong = ["read", "write", "admin"].map(|scope| make(&["--scope", scope]).0);

    for openid in ["o-feed-user-1", "o-feed-user-2"] {
        let add = ["consent", "add", "--app", "coffee", "--openid", openid, "--template", "event-start"];
        assert_eq!(site.run(&add).0, 0);
    }
    std::fs::write(site.path("s.toml"), SCHEDULE).expect("written");
    let table =
        "openid,券号,名称\no-feed-user-1,K-0001,读书会\no-feed-user-2,K-0002,读书会\no-feed-user-3,K-0003,读书会\n";
    std::fs::write(site.path("a.csv"), table).expect("written");
    let (code, _, said) = site.run(&["load", "s.toml", "--yes"]);
    assert_eq!(code, 0, "{said}");

    let ask = async |path: &str, header: Option<&str>, method: reqwest::Method| {
        let mut request = program.http.request(method, format!("{}{path}", program.base));
        if let Some(key) = header {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    let get = reqwest::Method::GET;
    let in_address = format!("{FEED}?key={key}");
    for (path, header) in
        [(in_address.as_str(), None), (FEED, Some(&key)), (FEED, Some(&strong[0])), (FEED, Some(&strong[2]))]
    {
        let (status, text) = ask(path, header.map(String::as_str), get.clone()).await;
        assert_eq!((status, summaries(&text)), (200, vec!["coupons (coffee): 2 people".to_owned()]), "{text}");
        assert!(!text.contains("o-feed-user") && !text.contains("K-000"), "{text}");
    }
    let (status, text) =
        ask(&format!("{FEED}?lang=zh&key={}", made["key"].as_str().expect("a key")), None, get.clone()).await;
    assert_eq!((status, summaries(&text).len()), (200, 0), "another app");

    // Nothing else, in whatever place the key is.
    for path in [
        "/v1/schedules",
        "/v1/schedules/coupons",
        "/v1/schedules/coupons/problems",
        "/v1/schedules/schedules.ics",
        "/v1/stats",
        "/v1/templates",
        "/v1/reminders",
        "/v1/doubts",
        "/v1/keys",
        "/v1/consents?app=coffee&openid=o-feed-user-1",
        "/v1/release",
    ] {
        let (status, answer) = ask(path, Some(&key), get.clone()).await;
        assert!(status == 403 && answer.contains("opens nothing else"), "{path}: {status} {answer}");
        let sign = if path.contains('?') { '&' } else { '?' };
        let (status, answer) = ask(&format!("{path}{sign}key={key}"), None, get.clone()).await;
        assert!(status == 401 && !answer.contains(&key), "{path}: {status} {answer}");
    }
    for method in [reqwest::Method::POST, reqwest::Method::DELETE, reqwest::Method::PUT] {
        assert_eq!(ask(&in_address, None, method.clone()).await.0, 405, "{method}");
    }
    assert_eq!(ask("/v1/users/forget", Some(&key), reqwest::Method::POST).await.0, 403);
    // A key that opens more has no business in an address.
    for strong in &strong {
        let (status, answer) = ask(&format!("{FEED}?key={strong}"), None, get.clone()).await;
        assert!(status == 403 && answer.contains("--scope feed") && !answer.contains(strong), "{status} {answer}");
    }
    for (path, wanted) in [
        (FEED.to_owned(), 401),
        (format!("{FEED}?key="), 401),
        (format!("{FEED}?key={key}x"), 401),
        (format!("{FEED}?kee={key}"), 401),
        (format!("{FEED}?key={key}&key={key}"), 400),
        (format!("{FEED}?key={key}&lang=fr"), 400),
    ] {
        let (status, answer) = ask(&path, None, get.clone()).await;
        assert!(status == wanted && !answer.contains(&key), "{path}: {status} {answer}");
    }
    let (_, answer) = ask(FEED, None, get.clone()).await;
    assert!(
        answer.contains("?key=") && answer.contains("--scope feed"),
        "who has no key is told where it goes: {answer}"
    );
    // Calendar programs append what they like.
    let (status, text) = ask(&format!("{in_address}&_=17&nocache=1&utm_source=x"), None, get.clone()).await;
    assert_eq!((status, summaries(&text).len()), (200, 1), "{text}");
    assert_eq!(site.run(&["key", "revoke", "1"]).0, 0);
    assert_eq!(ask(&in_address, None, get).await.0, 401);

    let (status, log) = program.terminate();
    assert!(status.success());
    assert!(log.contains("a key that opens more than the feed came in an address"), "it is told");
    for secret in strong.iter().chain([&key]) {
        assert!(!log.contains(secret.as_str()), "a key stands in the log");
    }
    assert!(!log.contains("key=tx_") && !log.contains("o-feed-user"));
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, some: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("whole").write(some)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_feed_that_fails_is_told_without_its_address() {
    on_both(async |test| {
        let api = api(&test).await;
        let key = key(&api, Scope::Feed, None).await;
        let log = Log::default();
        let to = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || to.clone());
        let _guard = tracing::subscriber::set_default(subscriber.finish());
        test.store.close().await;
        let (status, _, answer) = ask(&api.router(), &format!("{FEED}?key={key}"), &[]).await;
        assert!(status == 503 && !answer.contains(&key), "{status} {answer}");
        let said = String::from_utf8(log.0.lock().expect("whole").clone()).expect("UTF-8");
        assert!(said.contains("a request failed") && said.contains(FEED), "{said}");
        assert!(!said.contains(&key) && !said.contains("key="), "{said}");
    })
    .await;
}
