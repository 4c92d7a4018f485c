//! Users' rights: everything shown, everything gone, and nothing stored again for who wished to be forgotten.

use crate::harness::{
    EVENT, accept, accepted_reminder, databases, fresh_url, on_both,
    program::{SandboxServer, Site, body},
    reminder,
    rig::{at, on_both_rigs, plain},
    wish,
};
use serde_json::json;
use tixing::{
    domain::{
        push::{Item, Push, Receipt},
        reminder::{Accepted, Claim, NewReminder, State},
    },
    sandbox::Faults,
    store::{Inserted, backup, lists::Filter, pushes::NewPush, users::Forgotten},
};

#[tokio::test]
async fn i9_a_user_who_is_forgotten_is_in_no_row_and_in_no_page_of_the_file() {
    on_both_rigs(plain, async |mut rig| {
        let secrets = ["o-secret-openid", "秘密的读书会", "pages/secret", "key-secret", "event-secret"];
        let of_user = |due, key: &str| NewReminder {
            data: r#"{"thing1":"秘密的读书会","time2":"2027年3月1日 10:00"}"#.into(),
            page: Some("pages/secret".into()),
            key: Some(format!("key-secret-{key}")),
            accepted: Some(Accepted {
                at: at(0),
                source: "app".into(),
                event: Some(format!("event-secret-{key}")),
                ticket: None,
            }),
            ..reminder("o-secret-openid", due)
        };
        for _ in 0..4 {
            rig.tap("o-secret-openid");
        }
        rig.tap("o-other");
        rig.store()
            .insert(vec![of_user(at(10), "a"), accepted_reminder("o-other", at(3_000))])
            .await
            .expect("inserted");
        rig.engine.turn().await;
        rig.pass(12_000, 1_000).await;
        // One whose outcome is unknown, one that waits, and a consent that is free.
        rig.store().insert(vec![of_user(at(20), "b")]).await.expect("inserted");
        rig.sandbox.world().faults = Faults { reset_after_rate: 1.0, ..Faults::default() };
        rig.pass(10_000, 1_000).await;
        rig.sandbox.world().faults = Faults::default();
        rig.store().insert(vec![of_user(at(2_000), "c")]).await.expect("inserted");
        rig.store().record(vec![accept("coffee", "o-secret-openid", EVENT)]).await.expect("recorded");
        let before = rig.test.everything().await;
        for secret in secrets {
            assert!(before.contains(secret), "«{secret}» was there");
        }

        let done = rig.store().forget(wish("o-secret-openid")).await.expect("forgotten");
        assert_eq!((done.cancelled, done.erased, done.void), (1, 3, 2), "{done:?}");
        assert_eq!(rig.store().forget(wish("o-secret-openid")).await.expect("again"), Forgotten::default());
        rig.pass(3_600_000, 60_000).await;
        assert_eq!(rig.openids().iter().filter(|o| *o == "o-other").count(), 1, "others are served");
        assert_eq!(rig.messages().len(), 3, "what waited is not sent");
        let filter = Filter { apps: vec!["coffee".into()], limit: 100, ..Filter::default() };
        for stored in rig.store().list(&filter).await.expect("answers").iter().filter(|s| s.openid != "o-other") {
            assert!(stored.due.state.is_final() && stored.data == "{}" && stored.key.is_none(), "{stored:?}");
        }
        // I4: the books balance without them.
        let copy = tempfile::tempdir().expect("a folder");
        let file = copy.path().join("copy.db");
        if rig.test.url.starts_with("sqlite") {
            rig.store().backup(&file, &*rig.test.clock).await.expect("backed up");
            backup::verify(&file).await.expect("its ledger balances");
        }
        rig.store().close().await;
        let after = rig.test.everything().await;
        for secret in secrets {
            assert!(!after.contains(secret), "«{secret}» is still there");
        }
        rig.restart().await
    })
    .await;
}

#[tokio::test]
async fn nothing_is_stored_again_for_a_user_who_was_forgotten_until_they_are_let_in() {
    on_both(async |test| {
        let store = &test.store;
        store.insert(vec![accepted_reminder("o1", at(100))]).await.expect("inserted");
        store.forget(wish("o1")).await.expect("forgotten");
        store.forget(wish("o-never-seen")).await.expect("forgotten");
        let at_fire = NewReminder { claim: Claim::AtFire, ..reminder("o1", at(100)) };
        let never = accepted_reminder("o-never-seen", at(100));
        let other = accepted_reminder("o2", at(100));
        let news = vec![accepted_reminder("o1", at(100)), reminder("o1", at(100)), at_fire, never, other];
        let verdicts = store.insert(news).await.expect("answers");
        assert_eq!(verdicts[..4], [Inserted::Forgotten; 4]);
        assert!(matches!(verdicts[4], Inserted::Created(_)));
        let reports = vec![accept("coffee", "o1", EVENT), accept("coffee", "o2", EVENT)];
        assert_eq!(store.record(reports).await.expect("answers"), [None, Some(1)]);
        let items = vec![
            Item::Answered { template: EVENT.into(), accepted: true },
            Item::TurnedOff { template: EVENT.into() },
            Item::Receipt(Receipt { template: EVENT.into(), message_id: None, failure: None, text: "success".into() }),
        ];
        let push = Push { openid: "o1".into(), at: at(5), items, id: None };
        let taken = store.push(NewPush { app: "coffee".into(), push }).await.expect("taken");
        assert_eq!((taken.granted, taken.ended, taken.receipts), (0, 0, vec!["unmatched"]));
        assert!(!test.everything().await.contains("o1\""), "no row names them");
        // The same person under another app is another user.
        assert_eq!(store.record(vec![accept("tea", "o1", EVENT)]).await.expect("answers"), [Some(1)]);

        assert!(store.forgotten_at("coffee", "o1").await.expect("answers").is_some());
        assert!(store.let_in(wish("o1")).await.expect("answers"));
        assert!(!store.let_in(wish("o1")).await.expect("answers"), "once");
        assert!(matches!(
            store.insert(vec![accepted_reminder("o1", at(100))]).await.expect("answers")[0],
            Inserted::Created(_)
        ));
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_under_way_when_its_user_is_forgotten_is_given_up_as_unconfirmed() {
    on_both_rigs(plain, async |mut rig| {
        use tixing::store::port::Queue;
        rig.tap("o1");
        rig.store().insert(vec![accepted_reminder("o1", at(10))]).await.expect("inserted");
        rig.test.clock.advance(10_000);
        let lane = rig.store().lane("coffee");
        let jobs = rig.store().prefetch(lane, (0, 0), at(10), 10).await.expect("answers");
        rig.store().mark(jobs.clone()).await.expect("marked");
        let done = rig.store().forget(wish("o1")).await.expect("forgotten");
        assert_eq!((done.cancelled, done.given_up), (0, 1));
        assert_eq!(rig.states().await, [(State::Unconfirmed, Some("forgotten".into()))]);
        let settlement = tixing::domain::settle::received();
        let settle =
            tixing::store::port::Entry { target: jobs[0].target(true), settlement, began_at: None, ended_at: at(11) };
        assert_eq!(rig.store().settle(vec![settle]).await.expect("answers"), [false], "I8");
        let tally = rig.store().tally().await.expect("answers");
        let coffee = &tally["coffee"];
        let n = |name: &str| coffee[name];
        assert_eq!(
            (n("sending"), n("unconfirmed"), n("consent_held"), n("consent_used")),
            (0, 1, 0, 1),
            "I4: {coffee:?}"
        );
        rig.engine.turn().await;
        assert!(rig.messages().is_empty());
        rig
    })
    .await;
}

/// Two people, by name.
const VIP: &str = "name = \"vip\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = 2031-03-01T10:00:00\n\
    audience = [\"o-person\", \"o-other\"]\n[data]\nthing1 = \"读书会\"\ntime2 = \"{{@event | datetime}}\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_exported_forgotten_and_let_in_by_program_and_by_hand() {
    for database in databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let sandbox = SandboxServer::start(1).await;
        let site = Site::new(&fresh_url(database, folder.path()), &sandbox.url, "timezone = \"Asia/Shanghai\"");
        let program = site.serve_with_key();
        let mut new = body("o-person", 3_600_000);
        new["key"] = "order-7".into();
        let (_, made) = program.post("/v1/reminders", &new).await;
        let user = json!({ "app": "coffee", "openid": "o-person" });
        let (status, export) = program.post("/v1/users/export", &user).await;
        assert_eq!(status, 200, "{export}");
        assert_eq!(export["reminders"][0]["id"], made["id"]);
        assert_eq!(export["history"][0]["reminder"], made["id"]);
        assert_eq!(export["balances"][0]["held"], 1);
        let pseudonym = export["pseudonym"].as_str().expect("a name").to_owned();
        assert!(pseudonym.starts_with("u_") && export["forgotten_at"].is_null());

        std::fs::write(site.path("vip.toml"), VIP).expect("written");
        assert_eq!(site.run(&["load", &site.path("vip.toml").display().to_string(), "--yes"]).0, 0);
        let (_, export) = program.post("/v1/users/export", &user).await;
        assert_eq!(export["named_by"], json!(["vip"]), "{export}");

        let (code, out, said) = site.run(&["user", "forget", "--app", "coffee", "--openid", "o-person"]);
        assert!(code == 0 && said.contains("1 reminder erased, 1 of them cancelled"), "{out}{said}");
        assert!(said.contains("the files of these schedules still name them: vip"), "{said}");
        let (_, shown) = program.get("/v1/schedules/vip").await;
        assert!(shown["text"].as_str().is_some_and(|text| text.contains(&pseudonym)), "{shown}");
        let (status, refused) = program.post("/v1/reminders", &new).await;
        assert_eq!(
            (status.as_u16(), refused["code"].as_str(), refused["param"].as_str()),
            (409, Some("user_forgotten"), Some("/openid"))
        );
        let report = json!({ "app": "coffee", "openid": "o-person", "results": { "event-start": "accept" } });
        assert_eq!(program.post("/v1/consents", &report).await.1["code"], "user_forgotten");
        let lines = program.batch("/v1/reminders/batch", format!("{new}\n")).await;
        assert_eq!(lines[0]["error"]["code"], "user_forgotten");
        let lines = program.batch("/v1/consents/batch", format!("{report}\n")).await;
        assert_eq!(lines[0]["error"]["code"], "user_forgotten");
        let (_, export) = program.post("/v1/users/export", &user).await;
        assert!(export["reminders"] == json!([]) && export["forgotten_at"].is_string(), "{export}");
        let path = format!("/v1/reminders/{}", made["id"].as_str().expect("an id"));
        let (_, erased) = program.get(&path).await;
        assert_eq!(
            (erased["state"].as_str(), &erased["data"], &erased["key"]),
            (Some("cancelled"), &json!({}), &json!(null))
        );
        let (_, why) = program.get(&format!("{path}/explain")).await;
        assert!(why["en"].as_str().is_some_and(|why| why.contains("wished to be forgotten")), "{why}");

        let let_in = ["user", "let-in", "--app", "coffee", "--openid", "o-person"];
        assert_eq!((site.run(&let_in).0, site.run(&let_in).0), (0, 4));
        assert_eq!(program.post("/v1/reminders", &new).await.1["code"], "key_spent", "what was used stays used");
        new["key"] = "order-8".into();
        assert_eq!(program.post("/v1/reminders", &new).await.0, 201);
        let (code, out, _) = site.run(&["user", "export", "--app", "coffee", "--openid", "o-person", "--json"]);
        assert!(code == 0 && out.contains("order-8") && out.contains(&pseudonym), "{out}");
        for (bad, code, param) in [
            (json!({ "app": "tee", "openid": "o" }), "unknown_app", "/app"),
            (json!({ "app": "coffee", "openid": "a b" }), "bad_value", "/openid"),
            (json!({ "app": "coffee" }), "bad_json", "/openid"),
        ] {
            for path in ["/v1/users/export", "/v1/users/forget", "/v1/users/let-in"] {
                let (_, refused) = program.post(path, &bad).await;
                assert_eq!((refused["code"].as_str(), refused["param"].as_str()), (Some(code), Some(param)), "{path}");
            }
        }
        let (status, log) = program.terminate();
        assert!(status.success() && log.contains(&pseudonym) && !log.contains("o-person"), "I9: {log}");
    }
}

/// The files of a folder that name `text`.
fn files_with(site: &Site, text: &str) -> Vec<String> {
    let files = std::fs::read_dir(site.path("")).expect("readable").flatten();
    let has = |path: &std::path::Path| {
        std::fs::read(path).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    let with = files.map(|file| file.path()).filter(|path| has(path));
    with.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i9_no_file_names_a_user_who_was_forgotten_while_the_daemon_runs() {
    use sqlx::Connection;
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let program = site.serve_with_key();
    let of = |openid: &str| json!({ "app": "coffee", "openid": openid });
    for openid in ["o-first-secret", "o-second-secret", "o-stays"] {
        assert_eq!(program.post("/v1/reminders", &body(openid, 3_600_000)).await.0, 201);
        assert!(files_with(&site, openid).contains(&"tixing.db-wal".to_owned()), "{openid} was there");
    }
    assert_eq!(program.post("/v1/users/forget", &of("o-first-secret")).await.0, 200);
    assert_eq!(files_with(&site, "o-first-secret"), [""; 0]);

    // Somebody reads for long, and needs the old pages.
    let url = format!("sqlite:{}?mode=ro", site.path("tixing.db").display());
    sqlx::any::install_default_drivers();
    let mut reader = sqlx::AnyConnection::connect(&url).await.expect("opened");
    assert_eq!(program.post("/v1/reminders", &body("o-third-secret", 3_600_000)).await.0, 201);
    for sql in ["BEGIN", "SELECT COUNT(*) FROM reminder"] {
        sqlx::query(sql).execute(&mut reader).await.expect("read");
    }
    for openid in ["o-second-secret", "o-third-secret"] {
        assert_eq!(program.post("/v1/users/forget", &of(openid)).await.0, 200, "it is answered all the same");
    }
    assert_eq!(program.post("/v1/reminders", &body("o-later", 3_600_000)).await.0, 201, "others are served");
    assert!(!files_with(&site, "o-third-secret").is_empty(), "the reader needs it");
    reader.close().await.expect("closed");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while let named @ [_, ..] = &*[files_with(&site, "o-second-secret"), files_with(&site, "o-third-secret")].concat() {
        assert!(std::time::Instant::now() < deadline, "{named:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(!files_with(&site, "o-stays").is_empty(), "others are kept");
    assert!(program.terminate().0.success());
}
