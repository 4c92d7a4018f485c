//! The platform's pushes: taps, settings and receipts, by the real program and in the store of either database.

use crate::harness::{
    DIGEST, EVENT, START, accept, accepted_reminder, apps, databases, fresh_url,
    program::{Program, SandboxServer, Site, body, now},
    reminder,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tixing::{
    clock::{Clock, ManualClock},
    config::Durability,
    domain::{
        DAY, MINUTE, Millis, SECOND,
        consent::{Balance, Feed, Feeds, Report},
        push::{Item, Push, Receipt},
        reminder::{Accepted, Claim, NewReminder, ReminderId, State},
        settle::{Consent, Next, Settlement},
    },
    platform::wechat::callback::Callback,
    sandbox::{Envelope, Faults, Format, Mode, Outgoing, Pusher, Writer},
    store::{
        Inserted, Store,
        lists::Filter,
        port::{Entry, Queue},
        pushes::{NewPush, Taken},
    },
};

const APPID: &str = "wx0123456789abcdef";
const TOKEN: &str = "rmdr_cb_token_2026";
const KEY: &str = "kWxJ3v0QmZt8uB5nYdR2pLhC7sAeF1gKoTiN4XyUzVE";
const SECURE: &str = "callback = { token = { file = \"token\" }, aes_key = { file = \"key\" } }";

fn callback(key: Option<&str>) -> Callback {
    Callback::new(APPID.into(), TOKEN.into(), key.map(Into::into).as_ref()).expect("a callback")
}

fn site(sandbox: &SandboxServer, app: &str) -> Site {
    let site = Site::new("sqlite:tixing.db", &sandbox.url, app);
    std::fs::write(site.path("token"), TOKEN).expect("written");
    std::fs::write(site.path("key"), KEY).expect("written");
    site
}

fn push_to(sandbox: &SandboxServer, program: &Program, mode: Mode, format: Format) {
    let callback = callback((mode != Mode::Plain).then_some(KEY));
    let url = format!("{}/callback/coffee", program.base);
    sandbox.sandbox.world().push_to(APPID, Pusher::new(url, Envelope { callback, mode, format }));
}

/// The user taps on the phone, `later` from now, and only the platform tells: in whole seconds, so that two alike in one are one.
fn tap(sandbox: &SandboxServer, openid: &str, accepted: bool, later: Millis) {
    sandbox.sandbox.world().popup(APPID, openid, &[(EVENT.to_owned(), accepted)].into(), now() + later);
}

async fn consents(program: &Program, openid: &str, what: &str) -> i64 {
    let (_, ledger) = program.get(&format!("/v1/consents?app=coffee&openid={openid}")).await;
    ledger["balances"].as_array().into_iter().flatten().map(|b| b[what].as_i64().unwrap_or_default()).sum()
}

async fn until_available(program: &Program, openid: &str, n: i64) {
    let balance = |ledger: &Value| ledger["balances"][0]["available"].as_i64().unwrap_or_default();
    program.wait(&format!("/v1/consents?app=coffee&openid={openid}"), 10, |ledger| balance(ledger) == n).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platform_alone_tells_of_a_tap_a_delivery_and_a_refusal_in_every_mode_and_format() {
    for (mode, format) in [
        (Mode::Secure, Format::Json),
        (Mode::Secure, Format::Xml),
        (Mode::Compat, Format::Json),
        (Mode::Compat, Format::Xml),
        (Mode::Plain, Format::Json),
        (Mode::Plain, Format::Xml),
    ] {
        let sandbox = SandboxServer::start(1).await;
        let secrets = if mode == Mode::Plain { "callback = { token = { file = \"token\" } }" } else { SECURE };
        let site = site(&sandbox, &format!("consents = \"callback\"\n{secrets}"));
        let program = site.serve_with_key();
        push_to(&sandbox, &program, mode, format);
        sandbox.sandbox.world().faults = Faults { push_twice_rate: 1.0, ..Faults::default() };
        tap(&sandbox, "o-1", true, 0);
        until_available(&program, "o-1", 1).await;
        tap(&sandbox, "o-1", false, 0);
        // The mini-program's word does not count here, and its one call works all the same.
        let report = json!({ "app": "coffee", "openid": "o-1", "results": { "event-start": "accept" } });
        assert_eq!(program.post("/v1/consents", &report).await.0, 200);
        assert_eq!(consents(&program, "o-1", "available").await, 1, "{mode:?} {format:?}");
        let (status, soon) = program.post("/v1/reminders", &body("o-1", 300)).await;
        assert_eq!(status, 201, "{soon}");
        let soon = format!("/v1/reminders/{}", soon["id"].as_str().expect("an id"));
        let reminder = program.wait(&soon, 10, |r| r["delivery"] == "delivered" && r["state"] != "sending").await;
        assert_eq!((reminder["state"].as_str(), reminder["receipt"]["text"].as_str()), (Some("sent"), Some("success")));
        let (_, why) = program.get(&format!("{soon}/explain")).await;
        assert!(why["en"].as_str().is_some_and(|en| en.contains("delivered")), "{why}");

        tap(&sandbox, "o-1", true, 1_100);
        until_available(&program, "o-1", 1).await;
        let (mut later, reserve) = (body("o-1", 3_600_000), json!("reserve"));
        (later["accepted"], later["consent"]) = (Value::Null, reserve);
        let (status, later) = program.post("/v1/reminders", &later).await;
        assert_eq!(status, 201, "{later}");
        let later = format!("/v1/reminders/{}", later["id"].as_str().expect("an id"));
        sandbox.sandbox.world().turn_off(APPID, "o-1", EVENT, now() + 1_100);
        let reminder = program.wait(&later, 10, |r| r["state"] == "failed").await;
        assert_eq!(reminder["reason"], "turned_off", "{reminder}");
        let (_, why) = program.get(&format!("{later}/explain")).await;
        assert!(why["zh"].as_str().is_some_and(|zh| zh.contains("关闭")), "{why}");
        // One that takes its consent at its instant waits for another accept, and says so.
        let (_, waits) = program.post("/v1/reminders", &body("o-1", 3_600_000)).await;
        let (_, why) = program.get(&format!("/v1/reminders/{}/explain", waits["id"].as_str().expect("an id"))).await;
        assert!(why["en"].as_str().is_some_and(|en| en.contains("it waits for another accept")), "{why}");
        let (_, stats) = program.get("/v1/stats?app=coffee").await;
        assert_eq!(
            (stats["apps"][0]["receipts"]["delivered"].as_i64(), stats["apps"][0]["consents"]["void"].as_i64()),
            (Some(1), Some(1))
        );
        assert!(sandbox.sandbox.world().pushed().iter().all(|p| p.status == Some(200) && p.answer == "success"));
        let metrics =
            program.http.get(format!("{}/metrics", program.base)).send().await.expect("an answer").text().await;
        let metrics = metrics.expect("a text");
        assert!(metrics.contains("tixing_receipts_total{app=\"coffee\",what=\"delivered\"} 1"), "{metrics}");
        let (status, log) = program.terminate();
        assert!(status.success() && !log.contains("o-1"), "I9: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_replayed_and_broken_pushes_have_a_clear_answer_and_no_effect() {
    let sandbox = SandboxServer::start(1).await;
    let site = site(&sandbox, &format!("consents = \"callback\"\n{SECURE}"));
    let program = site.serve_with_key();
    let accept = |at: Millis| Outgoing {
        appid: APPID.into(),
        openid: "o-victim".into(),
        items: vec![Item::Answered { template: EVENT.into(), accepted: true }],
        long_term: false,
        at,
        due: at,
        tries: 0,
        shape: 0,
    };
    let written = |callback: Callback, mode, at: Millis| {
        let letter = Envelope { callback, mode, format: Format::Json }.write(&accept(at), at, [3; 16]);
        (letter.query, letter.body)
    };
    let good = |at| written(callback(Some(KEY)), Mode::Secure, at);
    let other = |token: &str, key: &str, appid: &str| {
        Callback::new(appid.into(), token.into(), Some(&key.into())).expect("a callback")
    };
    let (query, sealed) = good(now());
    let in_clear = written(callback(None), Mode::Plain, now());
    let entities = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\">]><xml><Encrypt>&a;</Encrypt></xml>".to_owned();
    let table: Vec<(&str, String, String, u16)> = vec![
        ("another token", written(other("x", KEY, APPID), Mode::Secure, now()).0, sealed.clone(), 403),
        ("no query", String::new(), sealed.clone(), 403),
        ("in clear", in_clear.0.clone(), in_clear.1.clone(), 403),
        ("in clear with the other's signature", query.clone(), in_clear.1, 403),
        ("an hour ago", good(now() - 60 * MINUTE).0, good(now() - 60 * MINUTE).1, 403),
        ("tomorrow", good(now() + DAY).0, good(now() + DAY).1, 403),
        ("cut off", query.clone(), sealed[..sealed.len() / 2].to_owned(), 400),
        ("no JSON", query.clone(), "hello".into(), 400),
        ("nothing", query.clone(), String::new(), 400),
        ("too large", query.clone(), format!("{{\"a\":\"{}\"}}", "x".repeat(100_000)), 413),
        ("too deep", query.clone(), format!("{{\"a\":{}", "[".repeat(30_000)), 400),
        ("an entity bomb", query.clone(), entities, 400),
        ("not base64", query.clone(), json!({ "Encrypt": "***" }).to_string(), 403),
    ];
    for (what, query, body, status) in table {
        let answer = program.http.post(format!("{}/callback/coffee?{query}", program.base)).body(body).send().await;
        let answer = answer.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(answer.status(), status, "{what}");
        let text = answer.text().await.expect("a text");
        assert!(text.starts_with("refused: ") && !text.contains("o-victim"), "{what}: {text}");
    }
    let wrong =
        [other(TOKEN, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", APPID), other(TOKEN, KEY, "wx1111111111111111")];
    for callback in wrong {
        let (query, body) = written(callback, Mode::Secure, now());
        let answer = program.http.post(format!("{}/callback/coffee?{query}", program.base)).body(body).send().await;
        assert_eq!(answer.expect("an answer").status(), 403);
    }
    for nobody in ["tea", "nobody", "coffee/x"] {
        let answer = program.http.post(format!("{}/callback/{nobody}?{query}", program.base)).body(sealed.clone());
        assert_eq!(answer.send().await.expect("an answer").status(), 404, "{nobody}");
    }
    assert_eq!(consents(&program, "o-victim", "available").await, 0, "nothing of it was believed");

    // The right one counts once, however often it comes.
    for _ in 0..3 {
        let answer =
            program.http.post(format!("{}/callback/coffee?{query}", program.base)).body(sealed.clone()).send().await;
        assert_eq!(answer.expect("an answer").text().await.expect("a text"), "success");
    }
    let (query, again) = written(callback(Some(KEY)), Mode::Compat, now());
    assert_eq!(consents(&program, "o-victim", "available").await, 1);
    let answer = program.http.post(format!("{}/callback/coffee?{query}", program.base)).body(again).send().await;
    assert_eq!(answer.expect("an answer").status(), 200, "another push of another second");

    let callback = callback(Some(KEY));
    let verify = |at: i64, echo: &str| {
        let (at, base) = (at / 1_000, &program.base);
        let signature = callback.sign(&at.to_string(), "5", None);
        format!("{base}/callback/coffee?signature={signature}&timestamp={at}&nonce=5&echostr={echo}")
    };
    let answer = program.http.get(verify(now(), "900000001")).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.text().await.expect("a text").as_str()), (200, "900000001"));
    let forged = verify(now(), "1").replace("signature=", "signature=0");
    for refused in [forged, verify(now() - 60 * MINUTE, "1"), verify(now() + 60 * MINUTE, "1")] {
        assert_eq!(program.http.get(&refused).send().await.expect("an answer").status(), 403, "{refused}");
    }
    let (status, log) = program.terminate();
    assert!(status.success() && log.contains("a push is refused") && !log.contains("o-victim"), "{log}");
    assert!(log.matches("reason=\"shape\"").count() == 1, "one line a minute: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mini_program_is_told_what_to_ask_for_and_no_more_than_is_missing() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "ask_at_once = 1");
    let program = site.serve_with_key();
    let ask = async || program.get("/v1/consents/ask?app=coffee&openid=o1").await.1;
    assert_eq!(ask().await["tmplIds"], json!([EVENT]), "of both he has none, and kinds are not mixed");
    let mut later = body("o1", 3_600_000);
    (later["accepted"], later["consent"]) = (Value::Null, json!("at_fire"));
    for _ in 0..2 {
        assert_eq!(program.post("/v1/reminders", &later).await.0, 201);
    }
    let (status, asked) = program.get("/v1/consents/ask?app=coffee&openid=o1").await;
    assert_eq!((status.as_u16(), &asked["tmplIds"], &asked["why"][0]["missing"]), (200, &json!([EVENT]), &json!(2)));
    let report = json!({ "app": "coffee", "openid": "o1", "results": { "event-start": "accept" } });
    for missing in [1, 0] {
        assert_eq!(program.post("/v1/consents", &report).await.0, 200);
        let asked = ask().await;
        match missing {
            1 => assert_eq!(asked["why"][0]["missing"], 1, "{asked}"),
            _ => assert_eq!(asked["tmplIds"], json!([DIGEST]), "{asked}"),
        }
    }
    assert_eq!(program.get("/v1/consents/ask?app=nobody&openid=o1").await.0, 422);
    assert_eq!(program.get("/v1/consents/ask?app=coffee").await.0, 400);
    assert!(program.terminate().0.success());
}

/// A store whose app counts these feeds.
async fn on_both_with(feeds: Feeds, test: impl AsyncFn(Store, Arc<ManualClock>)) {
    for database in databases() {
        eprintln!("on {database}");
        let folder = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, folder.path());
        let clock = ManualClock::at(START);
        let mut apps = apps("http://127.0.0.1:1");
        apps[0].consents = feeds;
        let store = Store::open(&url, Durability::Full, &apps, Arc::clone(&clock) as _).await.expect("opens");
        test(store.clone(), clock).await;
        store.close().await;
    }
}

pub async fn pushed(store: &Store, at: Millis, items: Vec<Item>) -> Taken {
    let push = Push { openid: "o1".into(), at, items, id: None };
    store.push(NewPush { app: "coffee".into(), push }).await.expect("answers")
}

fn answered(accepted: bool) -> Vec<Item> {
    vec![Item::Answered { template: EVENT.into(), accepted }]
}

pub fn turned_off(template: &str) -> Vec<Item> {
    vec![Item::TurnedOff { template: template.into() }]
}

pub fn receipt(message_id: Option<&str>, failure: Option<&str>) -> Vec<Item> {
    let (message_id, failure) = (message_id.map(str::to_owned), failure.map(str::to_owned));
    vec![Item::Receipt(Receipt { template: EVENT.into(), message_id, failure, text: "…".into() })]
}

async fn balance(store: &Store) -> Balance {
    let balances = store.balances("coffee", "o1").await.expect("answers");
    let balance = balances.values().fold(Balance::default(), |sum, b| Balance {
        available: sum.available + b.available,
        held: sum.held + b.held,
        used: sum.used + b.used,
        void: sum.void + b.void,
    });
    let tally = &store.tally().await.expect("answers")["coffee"];
    let counted = ["consent_available", "consent_held", "consent_used", "consent_void"].map(|name| tally[name]);
    assert_eq!([balance.available, balance.held, balance.used, balance.void], counted, "I4");
    balance
}

async fn created(store: &Store, new: NewReminder) -> ReminderId {
    match store.insert(vec![new]).await.expect("answers")[..] {
        [Inserted::Created(id)] => id,
        ref other => panic!("{other:?}"),
    }
}

pub async fn state(store: &Store, id: ReminderId) -> (State, Option<String>, Option<bool>) {
    let stored = store.reminder(id).await.expect("answers").expect("it is there");
    (stored.due.state, stored.reason, stored.delivered)
}

#[tokio::test]
async fn i1_a_tap_that_both_feeds_tell_of_counts_once_in_either_order() {
    let client =
        |at, event: Option<&str>| Report { at, event: event.map(str::to_owned), ..accept("coffee", "o1", EVENT) };
    on_both_with(Feeds::Reconcile, async |store, _| {
        let available = async |n: i64| assert_eq!(balance(&store).await.available, n);
        store.record(vec![client(START, Some("e1"))]).await.expect("recorded");
        assert_eq!(pushed(&store, START + SECOND, answered(true)).await.granted, 0, "the mini-program told first");
        available(1).await;
        store.record(vec![client(START, Some("e1"))]).await.expect("recorded");
        available(1).await;
        assert_eq!(pushed(&store, START + 30 * SECOND, answered(true)).await.granted, 1, "a second tap");
        store.record(vec![client(START + 31 * SECOND, Some("e2"))]).await.expect("recorded");
        available(2).await;
        store
            .record(vec![client(START + 31 * SECOND, Some("e2")), client(START + 40 * SECOND, Some("e3"))])
            .await
            .expect("recorded");
        available(3).await;
        // A tap of another hour is another tap.
        assert_eq!(pushed(&store, START + 60 * MINUTE, answered(true)).await.granted, 1);
        assert_eq!(
            pushed(&store, START + 60 * MINUTE, answered(true)).await,
            Taken { known: true, ..Taken::default() }
        );
        available(4).await;
        // With a reminder: the consent that the platform told of is the one that it holds.
        assert_eq!(pushed(&store, START + 120 * MINUTE, answered(true)).await.granted, 1);
        let accepted = Accepted { at: START + 120 * MINUTE + 3, source: "test".into(), event: None, ticket: None };
        created(&store, NewReminder { accepted: Some(accepted), ..reminder("o1", START + DAY) }).await;
        assert_eq!(balance(&store).await, Balance { available: 4, held: 1, used: 0, void: 0 });
        let told: Vec<&str> =
            store.consents("coffee", "o1").await.expect("answers").iter().map(|c| c.told_by).collect();
        assert_eq!(told, ["both", "both", "client", "callback", "both"]);
    })
    .await;
    for (feeds, by_client, by_platform) in [(Feeds::Client, 1, 0), (Feeds::Callback, 0, 1)] {
        on_both_with(feeds, async |store, _| {
            store.record(vec![client(START, None)]).await.expect("recorded");
            assert_eq!(balance(&store).await.available, by_client, "{feeds:?}");
            pushed(&store, START, answered(true)).await;
            assert_eq!(balance(&store).await.available, by_client + by_platform, "{feeds:?}");
            pushed(&store, START + SECOND, answered(false)).await;
            assert_eq!(balance(&store).await.available, by_client + by_platform, "{feeds:?}: a «no» takes nothing");
        })
        .await;
    }
    assert!(Feeds::Client.counts(Feed::Client));
}

#[tokio::test]
async fn i6_what_a_user_turned_off_ends_what_waited_for_it_and_a_late_accept_revives_nothing() {
    on_both_with(Feeds::Callback, async |store, _| {
        pushed(&store, START, answered(true)).await;
        pushed(&store, START + SECOND, answered(true)).await;
        let waiting = created(&store, reminder("o1", START + DAY)).await;
        let at_fire = created(&store, NewReminder { claim: Claim::AtFire, ..reminder("o1", START + DAY) }).await;
        assert_eq!(pushed(&store, START + 10 * SECOND, turned_off(EVENT)).await.ended, 1);
        assert_eq!(balance(&store).await, Balance { available: 0, held: 0, used: 0, void: 2 });
        assert_eq!(state(&store, waiting).await, (State::Failed, Some("turned_off".into()), None));
        assert_eq!(state(&store, at_fire).await.0, State::Scheduled, "the user may accept again until then");
        // Pushes overtake each other: an accept from before counts for nothing, one from after does.
        assert_eq!(pushed(&store, START + 9 * SECOND, answered(true)).await.granted, 0);
        assert_eq!(pushed(&store, START + 11 * SECOND, answered(true)).await.granted, 1);
        // A refusal from before that comes late leaves it.
        pushed(&store, START + 5 * SECOND, turned_off(EVENT)).await;
        assert_eq!(balance(&store).await.available, 1);

        // A standing consent is held by nobody, and what waits for it ends too.
        pushed(&store, START, vec![Item::Answered { template: DIGEST.into(), accepted: true }]).await;
        let digest =
            NewReminder { template: DIGEST.into(), standing: true, data: "{}".into(), ..reminder("o1", START + DAY) };
        let digest = created(&store, digest).await;
        assert_eq!(pushed(&store, START + 20 * SECOND, turned_off(DIGEST)).await.ended, 1);
        assert_eq!(state(&store, digest).await.1.as_deref(), Some("turned_off"));
        // Somebody whom nobody knows, and a template of another app.
        assert_eq!(pushed(&store, START, turned_off("nothing")).await, Taken::default());
    })
    .await;
}

fn doubt(at: Millis) -> Settlement {
    Settlement {
        next: Next::Doubt { look_at: at + 5_000 },
        code: Some("unknown".into()),
        reason: None,
        text: Some("reset".into()),
        consent: Consent::Keep,
        message_id: None,
    }
}

#[tokio::test]
async fn i8_a_receipt_finds_its_message_before_and_after_it_is_settled() {
    let sent = |id: Option<&str>| Settlement {
        next: Next::Final(State::Sent),
        code: None,
        reason: None,
        text: None,
        consent: Consent::Keep,
        message_id: id.map(str::to_owned),
    };
    on_both_with(Feeds::Client, async |store, clock| {
        let lane = store.lane("coffee");
        let at = START + 1_000;
        let marked = async |i: Millis| {
            let id = created(&store, accepted_reminder("o1", at + i * MINUTE)).await;
            clock.advance(at + i * MINUTE - clock.now());
            let jobs = store.prefetch(lane, (i64::MIN, 0), at + i * MINUTE, 100).await.expect("answers");
            let job = jobs.into_iter().find(|job| job.due.id == id).expect("it is due");
            store.mark(vec![job.clone()]).await.expect("answers");
            (id, job)
        };
        let settle = async |job: &tixing::store::port::Job, settlement: Settlement| {
            let settle =
                Entry { target: job.target(true), settlement, began_at: Some(job.due.at), ended_at: job.due.at + 9 };
            assert_eq!(store.settle(vec![settle]).await.expect("answers"), [true]);
        };
        let told = async |i: Millis, items: Vec<Item>| pushed(&store, at + i * MINUTE, items).await.receipts;
        let delivered = |reason: Option<&str>| (State::Sent, reason.map(str::to_owned), Some(true));

        // By its id, after.
        let (id, job) = marked(0).await;
        settle(&job, sent(Some("77"))).await;
        assert_eq!(told(0, receipt(Some("77"), None)).await, ["delivered"]);
        assert_eq!(told(1, receipt(Some("77"), None)).await, ["known"], "another push of the same message");
        assert_eq!(state(&store, id).await, delivered(None));
        // By being the one, before its answer is lost: no doubt is left.
        let (id, job) = marked(2).await;
        assert_eq!(told(2, receipt(Some("78"), None)).await, ["delivered"]);
        settle(&job, doubt(job.due.at)).await;
        assert_eq!(state(&store, id).await, delivered(Some("receipt")));
        // After its answer was lost.
        let (id, job) = marked(3).await;
        settle(&job, doubt(job.due.at)).await;
        assert_eq!(state(&store, id).await.0, State::InDoubt);
        assert_eq!(told(3, receipt(None, None)).await, ["delivered"]);
        assert_eq!(state(&store, id).await, delivered(Some("receipt")));
        // After it was given up: a final state changes by a receipt.
        let (id, job) = marked(4).await;
        let given_up = Settlement { next: Next::Final(State::Unconfirmed), ..doubt(0) };
        settle(&job, given_up).await;
        assert_eq!(told(4, receipt(None, Some("-1"))).await, ["undelivered"]);
        assert_eq!(state(&store, id).await, (State::Sent, Some("receipt".into()), Some(false)));
        // Two that it could be about, one of them perhaps never accepted: it is believed of neither.
        let (one, job) = marked(5).await;
        settle(&job, doubt(job.due.at)).await;
        let (_, job) = marked(6).await;
        settle(&job, sent(None)).await;
        assert_eq!(told(6, receipt(None, None)).await, ["ambiguous"]);
        assert_eq!(state(&store, one).await.0, State::InDoubt);
        assert_eq!(told(7, receipt(Some("999"), None)).await, ["ambiguous"]);
        assert_eq!(
            told(
                8,
                vec![Item::Receipt(Receipt {
                    template: DIGEST.into(),
                    message_id: None,
                    failure: None,
                    text: String::new()
                })]
            )
            .await,
            ["unmatched"]
        );
        let tally = &store.tally().await.expect("answers")["coffee"];
        assert_eq!(
            ["sent", "in_doubt", "unconfirmed", "receipt_delivered", "receipt_undelivered"].map(|n| tally[n]),
            [5, 1, 0, 3, 1]
        );
        for (delivered, n) in [(None, 6), (Some(true), 3), (Some(false), 1)] {
            let filter = Filter { apps: vec!["coffee".into()], delivered, limit: 100, ..Filter::default() };
            let found = store.list(&filter).await.expect("answers");
            assert_eq!(found.len(), n, "{delivered:?}");
            assert!(delivered.is_none() || found.iter().all(|stored| stored.delivered == delivered));
            // What a receipt has told is a change too.
            let latest = found.iter().map(|stored| stored.updated_at()).max().expect("some");
            let since = async |at| {
                store.list(&Filter { changed_since: Some(at), ..filter.clone() }).await.expect("answers").len()
            };
            let expected = found.iter().filter(|stored| stored.updated_at() == latest).count();
            assert_eq!((since(latest).await, since(latest + 1).await), (expected, 0), "{delivered:?}");
            let first = store.list(&Filter { limit: 1, ..filter }).await.expect("answers");
            assert_eq!(first.len(), 1, "the limit counts those that match");
        }
        assert_eq!(balance(&store).await, Balance { available: 0, held: 1, used: 5, void: 0 });
    })
    .await;
}

#[tokio::test]
async fn a_push_is_known_for_three_days_and_then_forgotten() {
    on_both_with(Feeds::Callback, async |store, clock| {
        assert!(!pushed(&store, START, answered(true)).await.known);
        for days in [1, 3] {
            clock.advance(START + days * DAY - clock.now());
            store.tidy().await.expect("answers");
            assert!(pushed(&store, START, answered(true)).await.known, "{days}");
        }
        clock.advance(2 * DAY);
        assert_eq!(store.tidy().await.expect("answers"), 1);
    })
    .await;
}
