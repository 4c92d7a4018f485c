//! Retention: what has ended goes by its terms, the books follow, and what was used once stays used.

use crate::harness::{
    EVENT, accept, accepted_reminder, databases, fresh_url, on_both, open,
    program::{SandboxServer, Site, body},
    reminder,
    rig::{Rig, at, on_both_rigs, plain},
    wish,
};
use std::collections::BTreeMap;
use tixing::{
    clock::{Clock, ManualClock},
    domain::{
        DAY, HOUR, Millis,
        push::{Item, Push, Receipt},
        reminder::{Accepted, Claim, NewReminder, ReminderId, State},
        retention::{Parts, Retention},
    },
    engine::alarm::Bells,
    sandbox::Faults,
    store::{
        Inserted, Store, backup,
        lists::Filter,
        pushes::NewPush,
        reminders::Stored,
        retention::{Erased, Walk},
    },
};

const TERMS: Retention = Retention { bodies: Some(7 * DAY), attempts: Some(30 * DAY), history: Some(365 * DAY) };

/// Walks all the way round.
async fn walk(store: &Store, terms: &Retention, now: Millis) -> Erased {
    store.erase_step(&mut Walk::default(), terms, now).await.expect("erased")
}

async fn all(store: &Store) -> Vec<Stored> {
    store.list(&Filter { apps: vec!["coffee".into()], limit: 100_000, ..Filter::default() }).await.expect("answers")
}

/// I4: the counts beside the rows say what the rows say.
async fn books_balance(store: &Store, users: &[&str]) {
    let tally = store.tally().await.expect("answers").remove("coffee").expect("configured");
    let mut counted: BTreeMap<String, i64> = tally.keys().map(|name| (name.clone(), 0)).collect();
    for stored in all(store).await {
        *counted.entry(stored.due.state.word().into()).or_default() += 1;
        if let Some(delivered) = stored.delivered {
            let word = if delivered { "receipt_delivered" } else { "receipt_undelivered" };
            *counted.entry(word.into()).or_default() += 1;
        }
    }
    for user in users {
        for balance in store.balances("coffee", user).await.expect("answers").values() {
            let of = [balance.available, balance.held, balance.used, balance.void];
            for (what, n) in ["available", "held", "used", "void"].into_iter().zip(of) {
                *counted.entry(format!("consent_{what}")).or_default() += n;
            }
        }
    }
    counted.insert("drift".into(), tally["drift"]);
    assert_eq!(tally, counted, "I4");
}

/// A word that a reminder says and no other does.
fn saying(new: NewReminder, word: &str) -> NewReminder {
    NewReminder {
        data: format!(r#"{{"thing1":"{word}","time2":"2027年3月1日 10:00"}}"#),
        page: Some(format!("pages/{word}")),
        key: Some(format!("key-{word}")),
        accepted: Some(Accepted { at: at(0), source: "app".into(), event: Some(format!("tap-{word}")), ticket: None }),
        ..new
    }
}

/// One reminder of every end, and one that lives.
async fn every_end(rig: &mut Rig) -> BTreeMap<&'static str, ReminderId> {
    let users = ["o-sent", "o-unsure", "o-expired", "o-cancelled", "o-living"];
    users.iter().for_each(|user| rig.tap(user));
    let mut ids = BTreeMap::new();
    // Each of its own, so that its attempts are its own.
    let busy = Faults { busy_rate: 1.0, ..Faults::default() };
    let breaks = Faults { reset_after_rate: 1.0, ..Faults::default() };
    for (user, faults) in [("o-sent", busy), ("o-unsure", breaks)] {
        let new = saying(reminder(user, rig.test.clock.now() + 1_000), user);
        let Inserted::Created(id) = rig.store().insert(vec![new]).await.expect("inserted")[0] else { panic!("{user}") };
        ids.insert(user, id);
        rig.sandbox.world().faults = faults;
        rig.pass(3_000, 1_000).await;
        rig.sandbox.world().faults = Faults::default();
        rig.pass(300_000, 10_000).await;
    }
    let refused = saying(reminder("o-failed", rig.test.clock.now() + 1_000), "o-failed");
    let later = rig.test.clock.now() + HOUR;
    let expired = NewReminder { expires_at: later + 1, ..saying(reminder("o-expired", later), "o-expired") };
    let cancelled = saying(reminder("o-cancelled", later), "o-cancelled");
    let living = saying(reminder("o-living", later + 1_000 * DAY), "o-living");
    let news = vec![refused, expired, cancelled, living];
    for (user, inserted) in ["o-failed", "o-expired", "o-cancelled", "o-living"]
        .into_iter()
        .zip(rig.store().insert(news).await.expect("inserted"))
    {
        let Inserted::Created(id) = inserted else { panic!("{user}: {inserted:?}") };
        ids.insert(user, id);
    }
    rig.store().cancel(ids["o-cancelled"]).await.expect("cancelled");
    rig.pass(2_000, 1_000).await;
    rig.test.clock.advance(2 * HOUR);
    rig.engine.signals().sweep();
    rig.engine.turn().await;
    let stored = rig.store().reminder(ids["o-sent"]).await.expect("answers").expect("there");
    let events = rig.store().events(&stored).await.expect("answers");
    let message_id = events.last().and_then(|event| event.message_id.clone());
    let message = rig.messages().into_iter().find(|m| m.openid == "o-sent").expect("arrived");
    let receipt = Receipt { template: EVENT.into(), message_id, failure: None, text: "success".into() };
    let push = Push { openid: "o-sent".into(), at: message.at, items: vec![Item::Receipt(receipt)], id: None };
    let taken = rig.store().push(NewPush { app: "coffee".into(), push }).await.expect("taken");
    assert_eq!(taken.receipts, ["delivered"]);
    ids
}

#[tokio::test]
async fn what_has_ended_goes_part_by_part_and_the_books_follow() {
    on_both_rigs(plain, async |mut rig| {
        let users = ["o-sent", "o-unsure", "o-failed", "o-expired", "o-cancelled", "o-living"];
        let ids = every_end(&mut rig).await;
        let states =
            [State::Sent, State::Unconfirmed, State::Failed, State::Expired, State::Cancelled, State::Scheduled];
        let now = rig.test.clock.now();
        for (user, state) in users.iter().zip(states) {
            let stored = rig.store().reminder(ids[user]).await.expect("answers").expect("there");
            assert_eq!((stored.due.state, stored.erased), (state, Parts::default()), "{user}");
        }
        let events = async |rig: &Rig, user: &str| {
            let stored = rig.store().reminder(ids[user]).await.expect("answers").expect("there");
            rig.store().events(&stored).await.expect("answers")
        };
        assert!(events(&rig, "o-sent").await.len() > 1, "it was tried twice");
        assert_eq!(walk(rig.store(), &Retention::default(), now + 5_000 * DAY).await, Erased::default(), "no terms");
        assert_eq!(walk(rig.store(), &TERMS, now).await, Erased::default(), "nothing is old");

        // Bodies.
        assert_eq!(walk(rig.store(), &TERMS, now + 8 * DAY).await, Erased { bodies: 5, ..Erased::default() });
        assert_eq!(walk(rig.store(), &TERMS, now + 8 * DAY).await, Erased::default(), "once");
        for stored in all(rig.store()).await {
            let lives = stored.due.state == State::Scheduled;
            let (gone, kept) = (("{}", None), (stored.data.as_str(), stored.page.as_deref()));
            assert_eq!(kept == gone, !lives, "{stored:?}");
            assert_eq!(stored.erased, Parts { body: !lives, ..Parts::default() });
        }
        assert!(events(&rig, "o-sent").await.len() > 1, "attempts stay longer");
        books_balance(rig.store(), &users).await;

        // Attempts.
        assert_eq!(walk(rig.store(), &TERMS, now + 31 * DAY).await, Erased { attempts: 5, ..Erased::default() });
        let left = events(&rig, "o-sent").await;
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].state, &left[0].text, &left[0].message_id), (State::Sent, &None, &None));
        assert!(left[0].began_at.is_some(), "how late it was stays known");
        books_balance(rig.store(), &users).await;

        // All, with the consents that were spent. One that may be unspent stays, as void.
        assert_eq!(
            walk(rig.store(), &TERMS, now + 400 * DAY).await,
            Erased { reminders: 5, users: 2, ..Erased::default() },
            "of those whose consents are spent or void for long nothing is left"
        );
        let left = all(rig.store()).await;
        assert_eq!(left.iter().map(|s| s.openid.as_str()).collect::<Vec<_>>(), ["o-living"]);
        assert!(left[0].data.contains("o-living") && left[0].key.is_some(), "what lives is whole");
        books_balance(rig.store(), &users).await;
        let unsure = rig.store().consents("coffee", "o-unsure").await.expect("answers");
        assert_eq!((unsure.len(), unsure[0].void_reason.as_deref()), (1, Some("unconfirmed")));
        if rig.test.url.starts_with("sqlite") {
            let folder = tempfile::tempdir().expect("a folder");
            let copy = folder.path().join("copy.db");
            rig.store().backup(&copy, &*rig.test.clock).await.expect("backed up");
            backup::verify(&copy).await.expect("its ledger balances");
        }
        rig.store().close().await;
        let everything = rig.test.everything().await;
        for word in ["pages/o-sent", "key-o-sent", "tap-o-sent", "key-o-unsure", "pages/o-expired", "key-o-cancelled"] {
            assert!(!everything.contains(word), "«{word}» is still there");
        }
        assert!(!everything.contains("o-sent") && everything.contains("o-living"));
        rig.restart().await
    })
    .await;
}

#[tokio::test]
async fn i2_i3_a_key_and_a_tap_of_what_is_no_longer_kept_are_not_used_again() {
    on_both_rigs(plain, async |mut rig| {
        rig.tap("o1");
        rig.store().insert(vec![saying(reminder("o1", at(10)), "first")]).await.expect("inserted");
        rig.pass(20_000, 1_000).await;
        assert_eq!(rig.states().await, [(State::Sent, None)]);
        let later = rig.test.clock.now() + 400 * DAY;
        assert_eq!(walk(rig.store(), &TERMS, later).await.reminders, 1);
        rig.test.clock.advance(400 * DAY);
        let again = saying(reminder("o1", later + HOUR), "first");
        let other_app = NewReminder { app: "tea".into(), ..again.clone() };
        let verdicts = rig.store().insert(vec![again.clone(), again, other_app]).await.expect("answers");
        assert_eq!(verdicts[..2], [Inserted::Spent; 2]);
        assert!(matches!(verdicts[2], Inserted::Created(_)), "another app has keys of its own");
        assert!(rig.store().is_spent("coffee", "key-first").await.expect("answers"));
        assert!(!rig.store().is_spent("coffee", "key-second").await.expect("answers"));
        // The tap is known too, from either call.
        let new = saying(reminder("o1", later + HOUR), "second");
        let tap = Accepted { event: Some("tap-first".into()), ..new.accepted.clone().expect("one") };
        let new = NewReminder { accepted: Some(tap), ..new };
        assert_eq!(rig.store().insert(vec![new]).await.expect("answers"), [Inserted::NoConsent]);
        let known =
            tixing::domain::consent::Report { event: Some("tap-first".into()), ..accept("coffee", "o1", EVENT) };
        let fresh = tixing::domain::consent::Report { event: Some("tap-second".into()), ..known.clone() };
        let reports = vec![known.clone(), fresh.clone()];
        assert_eq!(rig.store().record(reports).await.expect("answers"), [Some(0), Some(1)]);
        // The same words of another user are another tap.
        let other = tixing::domain::consent::Report { openid: "o2".into(), ..known };
        assert_eq!(rig.store().record(vec![other]).await.expect("answers"), [Some(1)]);
        rig
    })
    .await;
}

#[tokio::test]
async fn users_go_when_nothing_of_them_is_left_and_stay_while_something_is() {
    on_both(async |test| {
        let (store, clock) = (&test.store, &test.clock);
        let off = |openid: &str, at| NewPush {
            app: "coffee".into(),
            push: Push { openid: openid.into(), at, items: vec![Item::TurnedOff { template: EVENT.into() }], id: None },
        };
        let at_fire = |openid: &str, due| NewReminder {
            claim: Claim::AtFire,
            expires_at: due + 500 * DAY,
            ..reminder(openid, due)
        };
        store
            .record(vec![accept("coffee", "o-has-one", EVENT), accept("coffee", "o-turned-off", EVENT)])
            .await
            .expect("recorded");
        store.push(off("o-turned-off", at(1))).await.expect("taken");
        store.insert(vec![at_fire("o-waits", at(10))]).await.expect("inserted");
        clock.advance(300 * DAY);
        store.push(off("o-turned-off-lately", at(300 * 86_400))).await.expect("taken");
        clock.advance(100 * DAY);
        assert_eq!(walk(store, &TERMS, clock.now()).await, Erased { users: 1, ..Erased::default() });
        assert!(store.turned_off("coffee", "o-turned-off").await.expect("answers").is_empty());
        assert!(store.balances("coffee", "o-turned-off").await.expect("answers").is_empty());
        books_balance(store, &["o-has-one", "o-waits", "o-turned-off-lately"]).await;
        store.close().await;
        let words = test.everything().await;
        for kept in ["o-has-one", "o-waits", "o-turned-off-lately"] {
            assert!(words.contains(kept), "{kept}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_long_history_goes_in_steps_and_what_comes_meanwhile_is_whole() {
    on_both(async |test| {
        let store = &test.store;
        let old: Vec<NewReminder> = (0..6_000).map(|n| accepted_reminder(&format!("o{n}"), at(n))).collect();
        store.insert(old).await.expect("inserted");
        // All at once, so that they share commits.
        let living = all(store).await;
        let cancelled = futures_util::future::join_all(living.iter().map(|stored| store.cancel(stored.due.id))).await;
        assert!(cancelled.iter().all(Result::is_ok));
        let now = at(6_000) + 8 * DAY;
        test.clock.advance(now - at(0));
        store.insert(vec![accepted_reminder("o-new", now + 1)]).await.expect("inserted");
        let (mut walk, mut steps, mut bodies) = (Walk::default(), 0, 0);
        loop {
            bodies += store.erase_step(&mut walk, &TERMS, now).await.expect("erased").bodies;
            steps += 1;
            if walk == Walk::default() {
                break;
            }
        }
        assert!(bodies == 6_000 && steps > 10, "{bodies} in {steps} steps");
        let whole: Vec<String> = all(store).await.into_iter().filter(|s| s.data != "{}").map(|s| s.openid).collect();
        assert_eq!(whole, ["o-new"]);
        test.store.close().await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_erased_by_a_clock_that_is_not_believed_nor_from_a_store_on_hold() {
    on_both_rigs(plain, async |mut rig| {
        rig.tap("o1");
        rig.store().insert(vec![accepted_reminder("o1", at(10))]).await.expect("inserted");
        rig.pass(20_000, 1_000).await;
        let mut bells = Bells {
            recurring: std::sync::Arc::default(),
            signals: rig.engine.signals(),
            store: rig.store().clone(),
            metrics: rig.metrics.clone(),
            clock: rig.test.clock.clone(),
            retention: TERMS,
            walk: Walk::default(),
            erasing: Default::default(),
            apps: rig.apps.clone(),
            duties: Default::default(),
        };
        let kept = async |rig: &Rig| all(rig.store()).await[0].data != "{}";
        // A jump of the clock by years.
        rig.test.clock.step(2_000 * DAY);
        rig.engine.turn().await;
        bells.tidy().await;
        assert!(kept(&rig).await, "the clock is not believed");
        rig.test.clock.step(-2_000 * DAY);
        rig.pass(9 * DAY, DAY).await;
        rig.engine.signals().hold(true);
        bells.tidy().await;
        assert!(kept(&rig).await, "on hold nothing goes");
        rig.engine.signals().hold(false);
        bells.tidy().await;
        assert!(!kept(&rig).await, "its term is over");
        assert!(rig.metrics.text().contains("tixing_erased_total{what=\"bodies\"} 1"), "{}", rig.metrics.text());
        rig
    })
    .await;
}

#[tokio::test]
async fn i1_i2_a_doubt_of_a_user_who_was_let_in_again_is_not_resent_as_safe() {
    on_both_rigs(
        |app| app.rules.exclusive = true,
        async |mut rig| {
            // Two accepts that the platform knows; then the user is forgotten, comes back and accepts once more.
            for _ in 0..3 {
                rig.tap("o1");
            }
            rig.store()
                .record(vec![accept("coffee", "o1", EVENT), accept("coffee", "o1", EVENT)])
                .await
                .expect("recorded");
            rig.store().forget(wish("o1")).await.expect("forgotten");
            assert!(rig.store().let_in(wish("o1")).await.expect("let in"));
            rig.store().insert(vec![accepted_reminder("o1", at(10))]).await.expect("inserted");
            rig.sandbox.world().faults = Faults { reset_after_rate: 1.0, ..Faults::default() };
            rig.pass(11_000, 1_000).await;
            rig.sandbox.world().faults = Faults::default();
            rig.pass(600_000, 10_000).await;
            assert_eq!(rig.messages().len(), 1, "I2");
            let states = rig.states().await;
            assert_eq!(states.last().map(|(state, _)| *state), Some(State::Unconfirmed), "{states:?}");
            rig
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_erases_by_its_configuration_and_says_so() {
    for database in databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, folder.path());
        // A life long ago.
        let clock = ManualClock::at(tixing::clock::SystemClock::shared().now() - 40 * DAY);
        let store = open(&url, &clock).await;
        let ended = |days: i64, word: &str| NewReminder {
            accepted: Some(Accepted { at: clock.now(), source: "app".into(), event: None, ticket: None }),
            key: Some(format!("key-{word}")),
            ..reminder(&format!("o-{word}"), clock.now() + days * DAY)
        };
        for new in [ended(1, "oldest"), ended(35, "younger"), ended(45, "future")] {
            let future = new.at > clock.now() + 40 * DAY;
            let Inserted::Created(id) = store.insert(vec![new]).await.expect("inserted")[0] else { panic!("created") };
            if !future {
                store.cancel(id).await.expect("cancelled");
            }
        }
        store.close().await;
        let sandbox = SandboxServer::start(1).await;
        let site = Site::new(&url, &sandbox.url, "timezone = \"Asia/Shanghai\"");
        let path = site.path("tixing.toml");
        let text = std::fs::read_to_string(&path).expect("there") + "[retention]\nbodies = \"2d\"\nhistory = \"30d\"\n";
        std::fs::write(&path, text).expect("written");
        let program = site.serve_with_key();
        let erased = program
            .wait("/v1/reminders?app=coffee", 30, |page| page["items"][0]["erased"] == serde_json::json!(["body"]))
            .await;
        let items = erased["items"].as_array().expect("items");
        assert_eq!(items.len(), 2, "{erased}");
        assert_eq!(
            (&items[0]["state"], &items[0]["data"], &items[0]["key"]),
            (&"cancelled".into(), &serde_json::json!({}), &"key-younger".into())
        );
        assert!(items[1]["data"]["thing1"].is_string(), "what is to come is whole");
        let path = format!("/v1/reminders/{}", items[0]["id"].as_str().expect("an id"));
        let (_, why) = program.get(&format!("{path}/explain")).await;
        assert!(why["en"].as_str().is_some_and(|why| why.contains("no longer kept")), "{why}");
        let mut new = body("o-oldest", 3_600_000);
        new["key"] = "key-oldest".into();
        let (status, refused) = program.post("/v1/reminders", &new).await;
        assert_eq!(
            (status.as_u16(), refused["code"].as_str(), refused["param"].as_str()),
            (409, Some("key_spent"), Some("/key")),
            "{refused}"
        );
        new["at"] = "2026-01-01T10:00:00Z".into();
        let lines = program.batch("/v1/reminders/batch", format!("{new}\n")).await;
        assert_eq!(lines[0]["error"]["code"], "key_spent", "also when its time is over");
        // Counted once the whole slice is gone.
        let begun = std::time::Instant::now();
        loop {
            let asked = program.http.get(format!("{}/metrics", program.base)).send().await.expect("an answer");
            let metrics = asked.text().await.expect("a text");
            if metrics.contains("tixing_erased_total{what=\"reminders\"} 1") {
                break;
            }
            assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{metrics}");
        }
        let (_, out, _) = site.run(&["doctor"]);
        assert!(out.contains("bodies 2 days, attempts for ever, history 30 days"), "{out}");
        program.terminate();
    }
}
