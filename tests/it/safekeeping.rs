//! Backups made, verified and restored by the real program, and the hold that keeps a restored ledger from being believed.

use crate::harness::{
    EVENT, START, accepted_reminder, apps, databases, fresh_url, postgres,
    program::{Program, SandboxServer, Site, body, now},
    reminder,
};
use serde_json::Value;
use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};
use tixing::{
    clock::ManualClock,
    config::Durability,
    domain::{
        Millis,
        reminder::{Claim, NewReminder, ReminderId, State},
        settle::gate_closed,
        timing::rfc3339,
    },
    engine::hold::assume_sent,
    store::{
        Inserted, Store,
        hold::Reason,
        port::{Entry, Marked, Queue},
    },
};

const APPID: &str = "wx0123456789abcdef";

async fn insert(program: &Program, sandbox: &SandboxServer, openid: &str, ms: i64) -> String {
    sandbox.sandbox.world().tap(APPID, openid, EVENT, true);
    let (status, answer) = program.post("/v1/reminders", &body(openid, ms)).await;
    assert_eq!(status, 201, "{answer}");
    format!("/v1/reminders/{}", answer["id"].as_str().expect("an id"))
}

async fn ready(program: &Program) -> (u16, String) {
    let answer = program.http.get(format!("{}/readyz", program.base)).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_what_was_sent_since_the_backup_is_not_sent_again_after_it_is_restored() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let program = site.serve_with_key();
    let key = program.key.clone();
    let sent = insert(&program, &sandbox, "o1", 1_500).await;
    let later = insert(&program, &sandbox, "o2", 3_600_000).await;
    let (code, _, said) = site.run(&["backup", "backup.db"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(site.run(&["backup", "backup.db"]).0, 1, "nothing is overwritten");
    let (code, out, said) = site.run(&["verify", "backup.db"]);
    assert!(code == 0 && out.contains("2 reminders not ended") && out.contains("2 consents"), "{out} {said}");
    program.wait(&sent, 10, |r| r["state"] == "sent").await;
    let (code, _, said) = site.run(&["restore", "backup.db"]);
    assert!(code == 78 && said.contains("in use"), "a running daemon keeps its store: {code} {said}");
    let modes = ["tixing.db", "tixing.db-wal", "tixing.db-progress", "backup.db"].map(|name| site.mode(name));
    assert_eq!(modes, [0o600; 4], "they hold openids");
    assert!(program.terminate().0.success());

    let (code, out, said) = site.run(&["restore", "backup.db"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("coffee: 1 reminder became due since"), "{out}");
    assert!(said.contains("before-restore") && said.contains("tixing release"), "{said}");

    let mut program = site.serve();
    program.key = key;
    let other = insert(&program, &sandbox, "o3", 200).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (status, text) = ready(&program).await;
    assert!(status == 503 && text.contains("restored from a backup"), "{text}");
    let (_, why) = program.get(&format!("{sent}/explain")).await;
    assert!(why["en"].as_str().is_some_and(|en| en.contains("tixing release")), "{why}");
    assert_eq!(sandbox.sandbox.world().messages().len(), 1, "on hold, nothing is sent");
    let later_still = serde_json::json!({ "at": rfc3339(now() + 60_000) });
    let (_, refused) = program.call(reqwest::Method::PATCH, &sent, Some(&later_still)).await.expect("an answer");
    assert_eq!(refused["code"], "on_hold", "moved out of sight, it would be sent again: {refused}");
    let (code, out, said) = site.run(&["release"]);
    assert!(code == 0 && out.contains("coffee: 1 reminder ") && said.contains("nothing has changed"), "{out} {said}");

    let (code, _, said) = site.run(&["release", "--assume-sent"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(site.run(&["release"]).0, 4, "it is released");
    assert_eq!(ready(&program).await.0, 200);
    let (_, reminder) = program.get(&sent).await;
    assert_eq!((reminder["state"].as_str(), reminder["reason"].as_str()), (Some("unconfirmed"), Some("restored")));
    // What was made on hold cannot have been sent before.
    program.wait(&other, 10, |r| r["state"] == "sent").await;
    assert_eq!(program.get(&later).await.1["state"], "scheduled");
    let after = insert(&program, &sandbox, "o4", 100).await;
    program.wait(&after, 10, |r| r["state"] == "sent").await;
    assert_eq!(sandbox.sandbox.world().messages().len(), 3, "each once");
    let (_, stats) = program.get("/v1/stats?app=coffee").await;
    assert_eq!(stats["apps"][0]["consents"]["used"], 3, "{stats}");
    let (status, log) = program.terminate();
    assert!(status.success() && log.contains("ON HOLD"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_put_in_place_by_hand_is_on_hold_too_and_may_be_sent_on_demand() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let program = site.serve_with_key();
    let due = insert(&program, &sandbox, "o1", 2_000).await;
    assert_eq!(site.run(&["backup", "backup.db"]).0, 0);
    let key = program.key.clone();
    program.kill();
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(site.path(&format!("tixing.db{ending}")));
    }
    std::fs::rename(site.path("backup.db"), site.path("tixing.db")).expect("moved");
    let mut program = site.serve();
    program.key = key;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(sandbox.sandbox.world().messages().len(), 0);
    let (code, _, said) = site.run(&["release", "--send"]);
    assert!(code == 0 && said.contains("1 overdue reminder go"), "{said}");
    program.wait(&due, 10, |r| r["state"] == "sent").await;
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_what_became_due_while_surely_nobody_sent_goes_out_after_a_release() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let program = site.serve_with_key();
    let key = program.key.clone();
    let sent = insert(&program, &sandbox, "o1", 1_500).await;
    let kept = insert(&program, &sandbox, "o2", 6_000).await;
    let due = now() + 6_000;
    assert_eq!(site.run(&["backup", "backup.db"]).0, 0);
    program.wait(&sent, 10, |r| r["state"] == "sent").await;
    assert!(program.terminate().0.success());
    let ended = now();
    assert_eq!(site.run(&["restore", "backup.db"]).0, 0);
    let mut program = site.serve();
    program.key = key;
    tokio::time::sleep(Duration::from_millis((due + 500 - now()).max(0) as u64)).await;

    for (until, says) in [
        ("yesterday", "yesterday"),
        ("2020-01-01T00:00:00+08:00", "what was sent is known up to"),
        ("2100-01-01T00:00:00+08:00", "choose a time between them"),
    ] {
        let (code, _, said) = site.run(&["release", "--assume-sent", "--until", until]);
        assert!(code != 0 && said.contains(says), "{until}: {code} {said}");
    }
    let (code, _, said) = site.run(&["release", "--send", "--until", &rfc3339(ended)]);
    assert!(code == 2 && said.contains("--send"), "{code} {said}");
    let body = serde_json::json!({ "due": "send", "until": rfc3339(ended) });
    let (status, refused) = program.call(reqwest::Method::POST, "/v1/release", Some(&body)).await.expect("an answer");
    assert!(status == 422 && refused["param"] == "/until", "{status} {refused}");
    assert_eq!(ready(&program).await.0, 503, "still on hold");

    let (code, _, said) = site.run(&["release", "--assume-sent", "--until", &rfc3339(ended)]);
    assert!(
        code == 0 && said.contains("1 reminder assumed") && said.contains("1 that became due later goes"),
        "{said}"
    );
    program.wait(&kept, 10, |r| r["state"] == "sent").await;
    assert_eq!(program.get(&sent).await.1["state"], "unconfirmed");
    assert_eq!(sandbox.sandbox.world().messages().len(), 2, "each once");
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn i2_what_waits_for_another_try_is_taken_for_sent_by_its_instant_and_not_by_that_try() {
    for database in databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, folder.path());
        let clock = ManualClock::at(START);
        let apps = apps("http://127.0.0.1:1");
        let store = Store::open(&url, Durability::Full, &apps, Arc::clone(&clock) as _).await.expect("opens");
        let news = vec![accepted_reminder("o1", START + 1_000), accepted_reminder("o2", START + 3_000)];
        let inserted = store.insert(news).await.expect("inserted");
        let lane = store.lane("coffee");
        let job = store.prefetch(lane, (Millis::MIN, 0), START + 1_000, 10).await.expect("answers").swap_remove(0);
        assert_eq!(store.mark(vec![job.clone()]).await.expect("answers"), [Marked::Yes], "{database}");
        let settlement = gate_closed(&job.due, START + 4_000);
        let entry = Entry { target: job.target(true), settlement, began_at: None, ended_at: START + 1_000 };
        store.settle(vec![entry]).await.expect("answers");

        let ended = assume_sent(&store, lane, ReminderId(i64::MAX), START + 2_000, START + 5_000).await;
        assert_eq!(ended.expect("answers"), 1, "{database}");
        let mut states = Vec::new();
        for inserted in inserted {
            let Inserted::Created(id) = inserted else { panic!("{inserted:?}") };
            states.push(store.reminder(id).await.expect("answers").expect("there").due.state);
        }
        assert_eq!(states, [State::Unconfirmed, State::Scheduled], "{database}");
        store.close().await;
    }
}

#[test]
fn what_is_no_good_backup_is_refused_and_the_store_left_alone() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let (code, _, said) =
        site.run(&["consent", "add", "--app", "coffee", "--openid", "o1", "--template", "event-start"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(site.run(&["backup", "good.db"]).0, 0);
    let good = std::fs::read(site.path("good.db")).expect("read");
    let write = |name: &str, bytes: &[u8]| std::fs::write(site.path(name), bytes).expect("written");
    write("half.db", &good[..good.len() / 2]);
    write("text.db", b"not a database, though long enough to hold a header of a hundred bytes, which is what is looked at first of all");
    write("empty.db", b"");
    let mut damaged = good.clone();
    let length = damaged.len();
    damaged[4_096..length.min(20_480)].fill(0x5a);
    write("damaged.db", &damaged);
    std::fs::copy(site.path("tixing.db"), site.path("store.db")).expect("copied");
    std::fs::create_dir(site.path("folder.db")).expect("made");
    // Nobody writes to it, so to read from it is to wait for ever.
    assert!(std::process::Command::new("mkfifo").arg(site.path("pipe.db")).status().is_ok_and(|made| made.success()));
    for name in ["folder.db", "pipe.db", "half.db", "text.db", "empty.db", "damaged.db", "store.db", "nowhere.db"] {
        let (code, _, said) = site.run(&["verify", name]);
        assert!(code == 1 && said.contains(name), "{name}: {code} {said}");
        let (code, _, said) = site.run(&["restore", name]);
        assert!(code == 1 && said.contains(name), "{name}: {code} {said}");
        assert!(!said.contains("with `tixing restore`"), "that is what was tried: {said}");
    }
    for verb in ["verify", "restore"] {
        let (_, _, said) = site.run(&[verb, "empty.db", "--lang", "zh"]);
        assert!(said.contains("empty.db 是空文件：请指定备份文件"), "{said}");
    }
    // A copied store has part of its reminders in the file beside it.
    std::fs::copy(site.path("good.db"), site.path("copied.db")).expect("copied");
    write("copied.db-wal", &[1; 4_152]);
    for verb in ["verify", "restore"] {
        let (code, _, said) = site.run(&[verb, "copied.db"]);
        assert!(code == 1 && said.contains("copied.db-wal"), "{said}");
    }
    // What was restored, opened and stopped is a store and no backup, though it is on hold.
    assert_eq!(site.run(&["restore", "good.db"]).0, 0);
    assert_eq!(site.run(&["reminder", "list"]).0, 0);
    std::fs::copy(site.path("tixing.db"), site.path("held.db")).expect("copied");
    let (code, _, said) = site.run(&["verify", "held.db"]);
    assert!(code == 1 && said.contains("a store, not a backup"), "{said}");
    assert_eq!(site.run(&["release", "--send"]).0, 0);
    assert_eq!(site.run(&["restore"]).0, 2);
    let (code, _, said) = site.run(&["backup", "nowhere/backup.db"]);
    assert!(code == 1 && said.contains("does not exist"), "{said}");
    let (code, _, said) = site.run(&["backup", "/proc/backup.db"]);
    assert!(code == 1 && said.contains("nothing can be written in the folder /proc"), "it is there: {said}");
    let (_, _, said) = site.run(&["backup", "nowhere/backup.db", "--lang", "zh"]);
    assert!(said.contains("无法备份到") && said.contains("不存在：请创建"), "{said}");
    let (code, table, _) = site.run(&["consent", "show", "--app", "coffee", "--openid", "o1", "--json"]);
    let balances: Value = serde_json::from_str(&table).expect("JSON");
    assert!(code == 0 && balances["balances"][0]["available"] == 1, "{table}");
}

#[test]
fn a_backup_takes_nothing_that_is_there_and_of_many_at_once_one_is_made() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let (code, _, said) = site.run(&["backup", "early.db"]);
    assert!(code == 4 && said.contains("no store"), "{said}");
    assert_eq!(site.run(&["release"]).0, 4);
    assert!(!site.path("tixing.db").exists(), "nothing was made");
    assert_eq!(site.run(&["migrate"]).0, 0);
    std::fs::write(site.path("mine.part"), "mine").expect("written");
    std::os::unix::fs::symlink("nowhere", site.path("link.db")).expect("linked");
    let (code, _, said) = site.run(&["backup", "link.db"]);
    assert!(code == 1 && said.contains("exists"), "{said}");
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..4).map(|_| scope.spawn(|| site.run(&["backup", "mine"]).0)).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(site.run(&["verify", "mine"]).0, 0);
    assert_eq!(std::fs::read_to_string(site.path("mine.part")).expect("there"), "mine");
    let left = std::fs::read_dir(site.path(".")).expect("a folder");
    let parts = left.filter(|e| e.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().ends_with(".part"))).count();
    assert_eq!(parts, 1, "no half-made file stays");
}

#[tokio::test]
async fn i4_a_consent_that_came_after_the_backup_does_not_make_a_restored_reminder_unsent() {
    for database in databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, folder.path());
        let clock = ManualClock::at(START);
        let apps = apps("http://127.0.0.1:1");
        let store = Store::open(&url, Durability::Full, &apps, Arc::clone(&clock) as _).await.expect("opens");
        let at_fire = NewReminder { claim: Claim::AtFire, ..reminder("o1", START + 1_000) };
        let news = vec![at_fire, accepted_reminder("o2", START + 1_000)];
        let inserted = store.insert(news).await.expect("inserted");
        let lane = store.lane("coffee");
        let ended =
            assume_sent(&store, lane, ReminderId(i64::MAX), START + 5_000, START + 5_000).await.expect("answers");
        assert_eq!(ended, 2, "{database}");
        for inserted in inserted {
            let Inserted::Created(id) = inserted else { panic!("{inserted:?}") };
            let stored = store.reminder(id).await.expect("answers").expect("there");
            assert_eq!(stored.due.state, State::Unconfirmed, "{database}: it may have been sent");
        }
        let tally = &store.tally().await.expect("answers")["coffee"];
        let books = ["consent_available", "consent_held", "consent_used", "unconfirmed", "scheduled"].map(|n| tally[n]);
        assert_eq!(books, [0, 0, 1, 2, 0], "{database}");
        store.close().await;
    }
}

#[test]
fn a_restored_postgresql_is_put_on_hold_by_command() {
    if !postgres::available() {
        return;
    }
    let site = Site::new(&postgres::fresh_url(), "http://127.0.0.1:1", "");
    assert_eq!(site.run(&["migrate"]).0, 0);
    let (code, _, said) = site.run(&["backup", "backup.db"]);
    assert!(code == 1 && said.contains("pg_dump"), "{said}");
    assert_eq!(site.run(&["restore", "backup.db"]).0, 2);
    assert_eq!(site.run(&["release"]).0, 4);
    assert_eq!(site.run(&["restore"]).0, 0);
    assert_eq!(site.run(&["release", "--assume-sent"]).0, 0);
    assert_eq!(site.run(&["release"]).0, 4);
}

#[test]
fn a_backup_of_a_store_on_hold_is_held_since_the_first() {
    let site = Site::new("sqlite:my 100%41#.db", "http://127.0.0.1:1", "");
    assert_eq!(site.run(&["migrate"]).0, 0);
    assert!(site.path("my 100%41#.db").exists(), "a name is a name");
    let as_of = |name: &str| -> String {
        let (code, out, said) = site.run(&["verify", name, "--json"]);
        assert_eq!(code, 0, "{said}");
        serde_json::from_str::<Value>(&out).expect("JSON")["as_of"].as_str().expect("a time").to_owned()
    };
    assert_eq!(site.run(&["backup", "first.db"]).0, 0);
    // Whoever keeps backups makes them read-only.
    std::fs::set_permissions(site.path("first.db"), std::fs::Permissions::from_mode(0o400)).expect("set");
    assert_eq!(site.run(&["restore", "first.db"]).0, 0);
    assert_eq!(site.run(&["backup", "se%41cond? #2 'q.db"]).0, 0);
    assert_eq!(as_of("se%41cond? #2 'q.db"), as_of("first.db"));
    assert_eq!(site.run(&["release", "--send"]).0, 0);
    assert_eq!(site.run(&["backup", "third.db"]).0, 0);
    assert_ne!(as_of("third.db"), as_of("first.db"));
}

/// A store of the version before, with a reminder in it.
async fn of_the_version_before(folder: &Path, url: &str, sqlite: bool) {
    sqlx::any::install_default_drivers();
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let from = migrations.join(if sqlite { "sqlite" } else { "postgres" });
    let first = folder.join("first");
    std::fs::create_dir(&first).expect("a folder");
    std::fs::copy(from.join("0001_init.sql"), first.join("0001_init.sql")).expect("copied");
    let migrator = sqlx::migrate::Migrator::new(first.as_path()).await.expect("migrations");
    let options = if sqlite { format!("{url}?mode=rwc") } else { url.to_owned() };
    let mut conn = <sqlx::AnyConnection as sqlx::Connection>::connect(&options).await.expect("connects");
    if sqlite {
        sqlx::query("PRAGMA application_id = 1953069161").execute(&mut conn).await.expect("set");
    }
    migrator.run(&mut conn).await.expect("migrated");
    sqlx::Connection::close(conn).await.expect("closed");
}

#[tokio::test]
async fn i3_an_older_store_is_copied_and_brought_up_to_date() {
    for database in databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, folder.path());
        of_the_version_before(folder.path(), &url, database == "sqlite").await;
        let clock = ManualClock::at(START);
        let apps = apps("http://127.0.0.1:1");
        let open = || Store::open(&url, Durability::Full, &apps, Arc::clone(&clock) as _);
        let opened = open().await;
        let store = opened.unwrap_or_else(|e| panic!("{database}: {e}"));
        store.insert(vec![accepted_reminder("o1", START + 1_000)]).await.expect("inserted");
        assert_eq!(store.hold().await.expect("answers"), None);
        store.close().await;
        let names = std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|entry| entry.path());
        let copies = names.filter(|name| name.to_string_lossy().contains("tixing.db.before-"));
        let copies: Vec<_> = copies.collect();
        assert_eq!(copies.len(), usize::from(database == "sqlite"), "{database}: a copy");
        let store = open().await.expect("opens again");
        assert_eq!(store.hold().await.expect("answers"), None, "{database}");
        store.close().await;
        // The copy knows nothing of what came since.
        if let Some(copy) = copies.first() {
            std::fs::copy(copy, folder.path().join("tixing.db")).expect("put back");
            let store = open().await.expect("opens");
            let hold = store.hold().await.expect("answers").expect("it is on hold");
            assert_eq!(hold.reasons[0].0, Reason::LostCommits);
            store.close().await;
        }
    }
}

/// What the file beside the store says, in milliseconds.
fn claimed(site: &Site) -> i64 {
    let text = std::fs::read_to_string(site.path("tixing.db-progress")).unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Waits until the file beside the store speaks of something after `instant`.
async fn claims_more_than(site: &Site, instant: i64) {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while claimed(site) <= instant {
        assert!(std::time::Instant::now() < deadline, "it says {}", claimed(site));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A store on hold tells why wherever one looks, and ends what may have been sent when told to.
async fn is_on_hold(site: &Site, program: &Program, reminder: &str, why: &str) {
    let (status, text) = ready(program).await;
    assert!(status == 503 && text.contains(why) && text.contains("tixing release"), "{text}");
    let (_, explained) = program.get(&format!("{reminder}/explain")).await;
    assert!(explained["en"].as_str().is_some_and(|en| en.contains(why)), "{explained}");
    let (_, out, _) = site.run(&["doctor"]);
    assert!(out.contains(why), "{out}");
    let (code, _, said) = site.run(&["release"]);
    assert!(code == 0 && said.contains(why), "{said}");
    let (code, _, said) = site.run(&["release", "--assume-sent"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(ready(program).await.0, 200);
    assert_eq!(program.get(reminder).await.1["state"], "unconfirmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_a_store_whose_log_is_lost_sends_nothing_again() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let program = site.serve_with_key();
    let key = program.key.clone();
    let sent = insert(&program, &sandbox, "o1", 2_500).await;
    let later = insert(&program, &sandbox, "o2", 3_600_000).await;
    // An orderly stop leaves all in the file: without its log it is whole.
    assert!(program.terminate().0.success());
    let _ = std::fs::remove_file(site.path("tixing.db-wal"));
    let mut program = site.serve();
    program.key.clone_from(&key);
    assert_eq!(ready(&program).await.0, 200);
    program.wait(&sent, 10, |r| r["state"] == "sent").await;
    let now = now();
    let lost = insert(&program, &sandbox, "o3", 3_600_000).await;
    claims_more_than(&site, now).await;
    program.kill();
    std::fs::remove_file(site.path("tixing.db-wal")).expect("it was there");

    let mut program = site.serve();
    program.key.clone_from(&key);
    assert_eq!(program.get(&lost).await.0, 404, "it was in the log");
    is_on_hold(&site, &program, &sent, "the store has lost what it wrote after").await;
    assert_eq!(sandbox.sandbox.world().messages().len(), 1, "nobody twice");
    assert_eq!(program.get(&later).await.1["state"], "scheduled");
    let after = insert(&program, &sandbox, "o4", 100).await;
    program.wait(&after, 10, |r| r["state"] == "sent").await;
    // It is over: no further start is on hold, after a kill or a stop.
    program.kill();
    let program = site.serve();
    assert_eq!(ready(&program).await.0, 200);
    let (status, log) = program.terminate();
    assert!(status.success() && !log.contains("ON HOLD"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_a_store_that_is_copied_without_what_lies_beside_it_is_on_hold() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let program = site.serve_with_key();
    let sent = insert(&program, &sandbox, "o1", 2_500).await;
    let key = program.key.clone();
    assert!(program.terminate().0.success());
    let mut program = site.serve();
    program.key.clone_from(&key);
    program.wait(&sent, 10, |r| r["state"] == "sent").await;
    // The file alone, as of some moment of a daemon that goes on.
    let copy = Site::new("sqlite:tixing.db", &sandbox.url, "");
    std::fs::copy(site.path("tixing.db"), copy.path("tixing.db")).expect("copied");
    let (_, out, _) = copy.run(&["doctor"]);
    assert!(out.contains("tixing.db-progress is missing"), "{out}");
    let mut copied = copy.serve();
    copied.key.clone_from(&key);
    is_on_hold(&copy, &copied, &sent, "how far it had come was missing").await;
    assert!(copied.terminate().0.success());
    let (status, log) = copy.serve().terminate();
    assert!(status.success() && !log.contains("ON HOLD"), "{log}");
    assert!(program.terminate().0.success());
    // All of it together is the store itself.
    for ending in ["", "-progress"] {
        let name = format!("tixing.db{ending}");
        std::fs::copy(site.path(&name), copy.path(&name)).expect("copied");
    }
    let (status, log) = copy.serve().terminate();
    assert!(status.success() && !log.contains("ON HOLD"), "{log}");
    assert_eq!(sandbox.sandbox.world().messages().len(), 1, "nobody twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_folds_what_a_kill_has_left_in_the_log_into_the_file() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve_with_key();
    let (status, _) = program.post("/v1/reminders", &body("o-in-the-log", 3_600_000)).await;
    assert_eq!(status, 201);
    program.kill();
    let in_file = || {
        let bytes = std::fs::read(site.path("tixing.db")).expect("there");
        bytes.windows(12).any(|window| window == b"o-in-the-log")
    };
    assert!(!in_file(), "it is in the log alone");
    let program = site.serve();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !in_file() {
        assert!(std::time::Instant::now() < deadline, "it stays in the log alone");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_of_power_puts_nothing_on_hold_though_commits_were_not_durable() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = ManualClock::at(START);
    let apps = apps("http://127.0.0.1:1");
    let open = async |folder: &Path| {
        let url = format!("sqlite:{}", folder.join("tixing.db").display());
        Store::open(&url, Durability::Process, &apps, Arc::clone(&clock) as _).await.expect("opens")
    };
    let store = open(folder.path()).await;
    for turn in 0..12 {
        clock.advance(1_000);
        store.insert(vec![accepted_reminder(&format!("o{turn}"), START + 100_000)]).await.expect("inserted");
        tokio::time::sleep(Duration::from_millis(250)).await;
        // What is durable by this setting is what is in the file, and perhaps none of the log.
        let left = tempfile::tempdir().expect("a folder");
        for name in ["tixing.db-progress", "tixing.db"] {
            std::fs::copy(folder.path().join(name), left.path().join(name)).expect("copied");
        }
        let found = open(left.path()).await;
        assert_eq!(found.hold().await.expect("answers"), None, "turn {turn}");
        found.close().await;
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_a_restored_or_copied_postgresql_is_on_hold_by_itself_and_one_that_takes_over_is_not() {
    let (Some(cluster), Some(other)) = (postgres::own_cluster(), postgres::own_cluster()) else { return };
    let sandbox = SandboxServer::start(1).await;
    // A role that may do what it owns and no more.
    for cluster in [&cluster, &other] {
        cluster.sql("postgres", "CREATE ROLE plain LOGIN");
    }
    let url = |cluster: &postgres::Cluster, database: &str| cluster.url(database).replace("//tixing@", "//plain@");
    cluster.sql("postgres", "CREATE DATABASE a OWNER plain");
    let site = Site::new(&url(&cluster, "a"), &sandbox.url, "");
    let program = site.serve_with_key();
    let key = program.key.clone();
    let sent = insert(&program, &sandbox, "o1", 3_000).await;
    let later = insert(&program, &sandbox, "o2", 3_600_000).await;
    let dump = cluster.dump("a");
    program.wait(&sent, 10, |r| r["state"] == "sent").await;
    assert!(program.terminate().0.success());

    cluster.sql("postgres", "CREATE DATABASE b OWNER plain");
    cluster.restore(&dump, "b", &[]);
    other.sql("postgres", "CREATE DATABASE a OWNER plain");
    other.restore(&dump, "a", &[]);
    // The server may have been told not to say which it is.
    other.sql("a", "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    cluster.sql("postgres", "CREATE DATABASE copied TEMPLATE b OWNER plain");
    let why = "the database is a copy of the one that was written to";
    for (cluster, database) in [(&cluster, "b"), (&other, "a")] {
        let site = Site::new(&url(cluster, database), &sandbox.url, "");
        let mut program = site.serve();
        program.key.clone_from(&key);
        is_on_hold(&site, &program, &sent, why).await;
        assert_eq!(program.get(&later).await.1["state"], "scheduled");
        let (status, log) = program.terminate();
        assert!(status.success() && log.contains("ON HOLD"), "{log}");
        let (status, log) = site.serve().terminate();
        assert!(status.success() && !log.contains("ON HOLD"), "what was released is what counts: {log}");
    }
    // Of a database that a daemon has known, too.
    cluster.sql("postgres", "CREATE DATABASE of_b TEMPLATE b OWNER plain");
    for database in ["copied", "of_b"] {
        let site = Site::new(&url(&cluster, database), &sandbox.url, "");
        let program = site.serve();
        let (status, text) = ready(&program).await;
        assert!(status == 503 && text.contains(why), "{database}: {text}");
        assert!(program.terminate().0.success());
    }

    // A standby that takes over goes on where the other was, if that had waited for it. Else nobody knows who was not there to see it.
    for (replication, is_held) in [("synchronous", false), ("asynchronous", true)] {
        let standby = cluster.promoted_standby();
        let store = format!("{}\"\nreplication = \"{replication}", url(&standby, "a"));
        let (status, log) = Site::new(&store, &sandbox.url, "").serve().terminate();
        assert!(status.success() && log.contains("ON HOLD") == is_held, "{replication}: {log}");
    }

    // Over the database that it was dumped from, and into the very same tables.
    cluster.restore(&dump, "a", &["--clean"]);
    let mut program = site.serve();
    program.key.clone_from(&key);
    is_on_hold(&site, &program, &sent, why).await;
    assert!(program.terminate().0.success());
    let tables = "SELECT string_agg(quote_ident(tablename), ',') FROM pg_tables WHERE schemaname = 'public'";
    cluster.sql("a", &format!("DO $$ BEGIN EXECUTE 'TRUNCATE ' || ({tables}); END $$"));
    cluster.restore(&dump, "a", &["--data-only"]);
    let mut program = site.serve();
    program.key.clone_from(&key);
    is_on_hold(&site, &program, &sent, why).await;
    assert!(program.terminate().0.success());
    assert_eq!(sandbox.sandbox.world().messages().len(), 1, "nobody twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_revoked_after_the_backup_stays_revoked_and_the_others_are_named() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let make = |name: &str| {
        let (code, key, said) = site.run(&["key", "create", "--name", name, "--scope", "admin"]);
        assert_eq!(code, 0, "{said}");
        key.trim().to_owned()
    };
    let (stays, leaked, _before) = (make("backend"), make("leaked"), make("gone before"));
    assert_eq!(site.run(&["key", "revoke", "3"]).0, 0);
    assert_eq!(site.run(&["backup", "backup.db"]).0, 0);
    assert_eq!(site.run(&["key", "revoke", "2"]).0, 0);
    let opens = async |key: &str| {
        let mut program = site.serve();
        program.key = key.to_owned();
        let (status, _) = program.get("/v1/stats").await;
        assert!(program.terminate().0.success());
        status == 200
    };
    // A kill leaves the revocation in the log alone.
    let mut program = site.serve();
    program.key = stays.clone();
    assert_eq!(program.post("/v1/reminders", &body("o1", 3_600_000)).await.0, 201);
    program.kill();
    let (code, _, said) = site.run(&["restore", "backup.db"]);
    assert!(code == 0 && said.contains("stay revoked: 2 «leaked»") && !said.contains("gone before"), "{said}");
    assert!(!opens(&leaked).await && opens(&stays).await);
    let (_, _, said) = site.run(&["release"]);
    assert!(said.contains("1 «backend»") && !said.contains("leaked"), "{said}");

    // Where the newer store is not at hand, or cannot be read, they are named.
    std::fs::remove_file(site.path("tixing.db")).expect("removed");
    std::fs::remove_file(site.path("tixing.db-progress")).expect("removed");
    let _ = std::fs::remove_file(site.path("tixing.db-wal"));
    let (code, _, said) = site.run(&["restore", "backup.db"]);
    assert!(code == 0 && said.contains("1 «backend», 2 «leaked»") && said.contains("tixing key revoke"), "{said}");
    std::fs::write(site.path("tixing.db"), "damaged").expect("written");
    let _ = std::fs::remove_file(site.path("tixing.db-wal"));
    let (code, out, said) = site.run(&["restore", "backup.db"]);
    assert!(code == 0 && said.contains("could not be asked") && said.contains("2 «leaked»"), "{out}{said}");
    let (_, _, said) = site.run(&["release"]);
    assert!(said.contains("1 «backend», 2 «leaked»"), "{said}");
    assert_eq!(site.run(&["key", "revoke", "2"]).0, 0);
    assert_eq!(site.run(&["release", "--send"]).0, 0);
    assert!(!opens(&leaked).await);
}

/// A store as a version of some time ago left it, with a key in it.
async fn of_schema(site: &Site, version: i64) {
    let folder = site.path("then");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).expect("made");
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    for entry in std::fs::read_dir(migrations).expect("there").flatten() {
        let name = entry.file_name().into_string().expect("UTF-8");
        if name.split('_').next().and_then(|number| number.parse().ok()).is_some_and(|number: i64| number <= version) {
            std::fs::copy(entry.path(), folder.join(name)).expect("copied");
        }
    }
    sqlx::any::install_default_drivers();
    let url = format!("sqlite:{}?mode=rwc", site.path("tixing.db").display());
    let mut conn = <sqlx::AnyConnection as sqlx::Connection>::connect(&url).await.expect("connects");
    sqlx::query("PRAGMA application_id = 1953069161").execute(&mut conn).await.expect("set");
    let migrator = sqlx::migrate::Migrator::new(folder.as_path()).await.expect("migrations");
    migrator.run(&mut conn).await.expect("migrated");
    let sql = "INSERT INTO api_key (name, hash, scope, created_at) VALUES ('from then', 'x', 'read', 1)";
    sqlx::query(sql).execute(&mut conn).await.expect("written");
    sqlx::Connection::close(conn).await.expect("closed");
}

#[tokio::test]
async fn a_backup_that_an_upgrade_or_an_older_version_made_is_verified_and_restored() {
    let newest = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite")).expect("there");
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.split('_').next()?.parse::<i64>().ok();
    let newest = newest.flatten().filter_map(number).max().expect("there are migrations");
    for version in [2, 3, 8, 9, 12, 15] {
        let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
        of_schema(&site, version).await;
        for looks in [&["key", "list"][..], &["reminder", "list"], &["doctor"]] {
            let (_, out, said) = site.run(looks);
            let said = out + &said;
            assert!(said.contains("tixing migrate") && said.contains(&format!("({version}, ")), "{version}: {said}");
        }
        let (code, _, said) = site.run(&["migrate"]);
        let backup = format!("tixing.db.before-{newest}");
        assert!(
            code == 0 && said.contains(&backup) && said.contains(&format!("version {version}")),
            "{version}: {said}"
        );
        assert_eq!(site.mode(&backup), 0o600, "it holds openids");
        let (code, out, said) = site.run(&["verify", &backup, "--json"]);
        let told: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{version}: {e}: {out} {said}"));
        assert!(code == 0 && told["schema"] == version, "{version}: {out}");
        assert_eq!(site.run(&["key", "create", "--name", "since"]).0, 0);
        let bytes = std::fs::read(site.path(&backup)).expect("there");
        let (code, _, said) = site.run(&["restore", &backup]);
        assert!(code == 0 && said.contains(&format!("had schema {version}")), "{version}: {said}");
        assert_eq!(std::fs::read(site.path(&backup)).expect("there"), bytes, "{version}: the backup stays as it is");
        let (code, out, said) = site.run(&["key", "list", "--json"]);
        assert!(code == 0 && out.contains("from then") && !out.contains("since"), "{version}: {out}{said}");
        let (code, _, said) = site.run(&["release"]);
        assert!(code == 0 && said.contains("restored from a backup"), "{version}: {said}");
        let left = std::fs::read_dir(site.path(".")).expect("a folder").flatten();
        let left: Vec<_> = left.filter(|e| e.file_name().to_string_lossy().contains(".part")).collect();
        assert!(left.is_empty(), "{version}: {left:?}");
    }
}

#[test]
fn a_backup_of_a_newer_version_is_refused_and_nothing_is_changed() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    assert_eq!(site.run(&["migrate"]).0, 0);
    assert_eq!(site.run(&["backup", "backup.db"]).0, 0);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        use sqlx::Connection;
        let url = format!("sqlite:{}", site.path("backup.db").display());
        let mut conn = sqlx::SqliteConnection::connect(&url).await.expect("opens");
        let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)";
        sqlx::query(sql).execute(&mut conn).await.expect("written");
    });
    let before = std::fs::read(site.path("tixing.db")).expect("there");
    let (code, _, said) = site.run(&["restore", "backup.db"]);
    assert!(
        code == 1 && said.contains("its schema is 9999") && said.contains("use the version that wrote it"),
        "{said}"
    );
    assert_eq!(std::fs::read(site.path("tixing.db")).expect("there"), before);
}

#[test]
fn a_store_that_is_reached_by_a_link_is_replaced_where_it_lies_and_the_link_stays() {
    let site = Site::new("sqlite:link.db", "http://127.0.0.1:1", "");
    std::fs::create_dir(site.path("data")).expect("made");
    std::os::unix::fs::symlink("data/real.db", site.path("link.db")).expect("linked");
    let (code, _, said) = site.run(&["migrate"]);
    assert!(code == 78 && said.contains("link to a file that cannot be found"), "{said}");
    std::fs::remove_file(site.path("link.db")).expect("removed");
    assert_eq!(site.run(&["migrate"]).0, 0);
    std::fs::rename(site.path("link.db"), site.path("data/real.db")).expect("moved");
    std::fs::rename(site.path("link.db-progress"), site.path("data/real.db-progress")).expect("moved");
    std::os::unix::fs::symlink("data/real.db", site.path("link.db")).expect("linked");
    assert_eq!(site.run(&["backup", "backup.db"]).0, 0);
    assert_eq!(site.run(&["key", "create", "--name", "since"]).0, 0);
    let (code, _, said) = site.run(&["restore", "backup.db"]);
    assert!(code == 0 && said.contains("data/real.db.before-restore-"), "{said}");
    assert!(site.path("link.db").is_symlink());
    let (code, out, _) = site.run(&["key", "list"]);
    assert!(code == 0 && !out.contains("since"), "{out}");
    let beside = std::fs::read_dir(site.path(".")).expect("a folder").flatten();
    let beside: Vec<_> = beside.filter(|e| e.file_name().to_string_lossy().starts_with("link.db-")).collect();
    assert!(beside.is_empty(), "nothing lies beside the link: {beside:?}");
}
