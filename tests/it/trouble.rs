//! What goes wrong around the daemon: disks, files, databases, platforms.

use crate::harness::{
    databases, fresh_url, postgres,
    program::{Program, SandboxServer, Site, body, is_root},
};
use serde_json::{Value, json};
use std::{
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
    time::{Duration, Instant},
};
use tixing::sandbox::Faults;

const APPID: &str = "wx0123456789abcdef";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_in_which_a_platform_can_misbehave_ends_with_a_reason() {
    let one = |change: &dyn Fn(&mut Faults)| {
        let mut faults = Faults::default();
        change(&mut faults);
        faults
    };
    // (what it does, the state that follows, how often the user may have got it)
    let table = [
        ("slow", one(&|f| f.latency_ms = 1_500), "sent", 1),
        ("silent", one(&|f| f.silent_rate = 1.0), "unconfirmed", 1),
        ("resets before", one(&|f| f.reset_before_rate = 1.0), "unconfirmed", 0),
        ("resets after", one(&|f| f.reset_after_rate = 1.0), "unconfirmed", 1),
        ("answers HTML", one(&|f| f.garbage_rate = 1.0), "unconfirmed", 1),
        ("answers half a JSON", one(&|f| f.half_json_rate = 1.0), "unconfirmed", 1),
        ("answers 200 MB", one(&|f| f.huge_rate = 1.0), "unconfirmed", 1),
        ("redirects", one(&|f| f.redirect_rate = 1.0), "scheduled", 0),
        ("is busy", one(&|f| f.busy_rate = 1.0), "scheduled", 0),
    ];
    let runs = table.into_iter().map(|(what, faults, state, received)| async move {
        let sandbox = SandboxServer::start(1).await;
        let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
        let program = site.serve_with_key();
        sandbox.sandbox.world().tap(APPID, "o1", crate::harness::EVENT, true);
        sandbox.sandbox.world().faults = faults;
        let (_, created) = program.post("/v1/reminders", &body("o1", 200)).await;
        let path = format!("/v1/reminders/{}", created["id"].as_str().expect("an id"));
        let settled = |r: &Value| r["state"] == state && r["attempts"].as_array().is_some_and(|a| !a.is_empty());
        let reminder = program.wait(&path, 40, settled).await;
        assert!(state == "sent" || !reminder["reason"].is_null(), "{what}: {reminder}");
        assert_eq!(sandbox.sandbox.world().messages().len(), received, "{what}");
        let (_, why) = program.get(&format!("{path}/explain")).await;
        assert!(why["en"].as_str().is_some_and(|s| s.len() > 20) && why["zh"].as_str().is_some(), "{what}: {why}");
        assert!(program.terminate().0.success(), "{what}");
    });
    futures_util::future::join_all(runs).await;
}

#[test]
fn a_second_daemon_on_a_file_ends_within_a_second_and_names_the_first() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    drop(taken);
    let text = std::fs::read_to_string(site.path("tixing.toml"))
        .expect("there")
        .replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    std::fs::write(site.path("tixing.toml"), text).expect("written");
    let first = site.serve();
    let begun = Instant::now();
    let (status, said) = site.try_serve().err().expect("it must not start");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains(&format!("process {}", first.pid())), "{said}");
    assert!(first.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_a_file_has_one_daemon_by_whatever_name_it_is_reached() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    std::fs::write(site.path("mine"), "mine").expect("written");
    // What an earlier version left, or somebody put there.
    symlink(site.path("mine"), site.path("tixing.db.lock")).expect("linked");
    let program = site.serve_with_key();
    let by_link = Site::new("sqlite:link.db", "http://127.0.0.1:1", "");
    symlink(site.path("tixing.db"), by_link.path("link.db")).expect("linked");
    let folder = site.path("").display().to_string();
    let name = site.folder.path().file_name().expect("a name").to_string_lossy().into_owned();
    let spelt_otherwise = Site::new(&format!("sqlite:{folder}../{name}/./tixing.db"), "http://127.0.0.1:1", "");
    std::fs::hard_link(site.path("tixing.db"), site.path("second.db")).expect("linked");
    let by_hard_link = Site::new(&format!("sqlite:{}", site.path("second.db").display()), "http://127.0.0.1:1", "");
    for other in [&by_link, &spelt_otherwise, &by_hard_link] {
        let (status, said) = other.try_serve().err().expect("it must not start");
        assert_eq!(status.code(), Some(78), "{said}");
        assert!(said.contains("in use by another tixing") && said.contains(&program.pid().to_string()), "{said}");
    }
    let (code, _, said) = by_link.run(&["key", "list"]);
    assert!(code == 69 && said.contains("in use by another tixing"), "{code} {said}");
    let (_, _, said) = by_link.run(&["key", "list", "--lang", "zh"]);
    assert!(said.contains(&format!("另一个 tixing（进程 {}）正在使用", program.pid())), "{said}");
    assert_eq!(std::fs::read_to_string(site.path("mine")).expect("there"), "mine", "nothing is written through a link");
    assert!(program.terminate().0.success());

    let (status, said) = site.try_serve().err().expect("its log would lie beside one name only");
    assert!(status.code() == Some(78) && said.contains("2 names (hard links)"), "{said}");
    let (_, out, _) = site.run(&["doctor"]);
    assert!(out.contains("2 names (hard links)"), "{out}");
    std::fs::remove_file(site.path("second.db")).expect("removed");

    // What is written by one name is there by the other, after a kill too: the log lies beside the file.
    let mut program = by_link.serve();
    program.key = by_link.key();
    let (status, kept) = program.post("/v1/reminders", &body("o1", 3_600_000)).await;
    assert_eq!(status, 201);
    let key = program.key.clone();
    program.kill();
    let mut program = site.serve();
    program.key = key;
    let (_, there) = program.get(&format!("/v1/reminders/{}", kept["id"].as_str().expect("an id"))).await;
    assert_eq!(there["openid"], "o1");
    assert!(program.terminate().0.success());

    std::fs::rename(site.path("tixing.db"), site.path("moved.db")).expect("moved");
    let (status, said) = by_link.try_serve().err().expect("it does not begin anew");
    assert!(status.code() == Some(78) && said.contains("link to a file that cannot be found"), "{said}");
    let (status, said) = site.try_serve().err().expect("it does not begin anew");
    assert!(status.code() == Some(78) && said.contains("tixing.db-progress"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_a_daemon_that_starts_while_a_backup_is_restored_waits_for_it_and_begins_nothing_anew() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve_with_key();
    let (_, kept) = program.post("/v1/reminders", &body("o1", 3_600_000)).await;
    let path = format!("/v1/reminders/{}", kept["id"].as_str().expect("an id"));
    assert_eq!(site.run(&["backup", "backup.db"]).0, 0);
    let key = program.key.clone();
    assert!(program.terminate().0.success());
    for turn in 0..8 {
        let (restored, started) = std::thread::scope(|scope| {
            let restore = scope.spawn(|| site.run(&["restore", "backup.db"]));
            std::thread::sleep(Duration::from_millis(turn * 6));
            let start = scope.spawn(|| site.try_serve());
            (restore.join().expect("no panic"), start.join().expect("no panic"))
        });
        let (code, _, said) = restored;
        assert!(code == 0 || said.contains("in use"), "{said}");
        let mut program = started.unwrap_or_else(|(status, said)| panic!("{status}: {said}"));
        program.key.clone_from(&key);
        assert_eq!(program.get(&path).await.1["openid"], "o1", "turn {turn}");
        assert!(program.terminate().0.success());
    }
}

#[tokio::test]
async fn i3_a_file_of_ours_without_anything_in_it_is_refused_and_left_alone() {
    use sqlx::Connection;
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let url = format!("sqlite:{}?mode=rwc", site.path("tixing.db").display());
    let mut conn = sqlx::SqliteConnection::connect(&url).await.expect("opens");
    // As far as the first versions had come in the file itself while all else was in the log.
    for pragma in ["PRAGMA application_id = 1953069161", "PRAGMA journal_mode = WAL"] {
        sqlx::query(pragma).execute(&mut conn).await.expect("set");
    }
    conn.close().await.expect("closed");
    let bytes = std::fs::read(site.path("tixing.db")).expect("there");
    let (status, said) = site.try_serve().err().expect("it does not begin anew");
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(
        said.contains("nothing in it") && said.contains("tixing.db-wal") && said.contains("tixing restore"),
        "{said}"
    );
    assert_eq!(std::fs::read(site.path("tixing.db")).expect("there"), bytes);
    assert!(!site.path("tixing.db-progress").exists());
}

#[tokio::test]
async fn reminders_of_an_app_that_is_no_longer_configured_are_told_at_the_start() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve_with_key();
    assert_eq!(program.post("/v1/reminders", &body("o1", 3_600_000)).await.0, 201);
    assert!(program.terminate().0.success());
    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there").replace("\"coffee\"", "\"kaffee\"");
    std::fs::write(site.path("tixing.toml"), text).expect("written");
    let (status, log) = site.serve().terminate();
    assert!(status.success());
    assert!(log.contains("not configured") && log.contains("coffee"), "{log}");
    let (_, out, _) = site.run(&["doctor"]);
    assert!(out.contains("1 reminder of the app «coffee»"), "{out}");
}

#[test]
fn a_file_that_is_not_a_whole_store_of_ours_is_refused_and_left_alone() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    assert!(site.serve().terminate().0.success());
    let file = site.path("tixing.db");
    let good = std::fs::read(&file).expect("a store");
    let mut foreign = good.clone();
    foreign[68..72].copy_from_slice(b"else");
    let table: [(&str, Vec<u8>, &str); 4] = [
        ("emptied", Vec::new(), "is empty"),
        ("a text", b"hello, this is no database at all".repeat(9), "not an SQLite file"),
        ("another program's", foreign, "of another program"),
        ("truncated", good[..good.len() / 2].to_vec(), "is truncated"),
    ];
    for (what, bytes, says) in table {
        std::fs::write(&file, &bytes).expect("written");
        let (status, said) = site.try_serve().err().expect(what);
        assert_eq!(status.code(), Some(78), "{what}: {said}");
        assert!(said.contains(says), "{what}: {said}");
        assert_eq!(std::fs::read(&file).expect("there"), bytes, "{what}: it is left as it is");
    }
    // Damage inside is met when a page is read: nothing starts on it either.
    let mut damaged = good.clone();
    let end = damaged.len();
    damaged[4_096..end].fill(0x5a);
    std::fs::write(&file, &damaged).expect("written");
    let (status, said) = site.try_serve().err().expect("damaged");
    assert_eq!(status.code(), Some(78), "{said}");
    assert!(said.contains("damaged"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_a_store_whose_file_is_taken_away_takes_nothing_more_and_is_not_replaced_by_an_empty_one() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let program = site.serve_with_key();
    let (status, kept) = program.post("/v1/reminders", &body("o1", 3_600_000)).await;
    assert_eq!(status, 201);
    std::fs::rename(site.path("tixing.db"), site.path("elsewhere.db")).expect("moved");
    let (status, refused) = program.post("/v1/reminders", &body("o2", 3_600_000)).await;
    assert_eq!((status.as_u16(), refused["code"].as_str()), (503, Some("unavailable")), "{refused}");
    let ready = program.http.get(format!("{}/readyz", program.base)).send().await.expect("an answer");
    assert_eq!(ready.status(), 503);
    program.logs("its file was removed or replaced").await;
    let key = program.key.clone();
    program.kill();
    let (status, said) = site.try_serve().err().expect("it does not begin anew");
    assert!(status.code() == Some(78) && said.contains("is gone, and what belongs beside it"), "{said}");
    std::fs::rename(site.path("elsewhere.db"), site.path("tixing.db")).expect("put back");
    let mut program = site.serve();
    program.key = key;
    let (_, there) = program.get(&format!("/v1/reminders/{}", kept["id"].as_str().expect("an id"))).await;
    assert_eq!(there["openid"], "o1");
    assert!(program.terminate().0.success());
}

#[test]
fn a_newer_schema_is_refused() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    assert!(site.serve().terminate().0.success());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        use sqlx::Connection;
        let url = format!("sqlite:{}", site.path("tixing.db").display());
        let mut conn = sqlx::SqliteConnection::connect(&url).await.expect("opens");
        let sql = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)";
        sqlx::query(sql).execute(&mut conn).await.expect("written");
    });
    let (status, said) = site.try_serve().err().expect("it must not start");
    assert_eq!(status.code(), Some(78));
    assert!(said.contains("newer tixing"), "{said}");
}

#[test]
fn a_newer_schema_of_postgresql_lets_the_version_before_go_on_until_it_takes_something_away() {
    if !postgres::available() {
        return;
    }
    let url = postgres::fresh_url();
    let site = Site::new(&url, "http://127.0.0.1:1", "");
    let run = |sql: &'static str| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            use sqlx::Connection;
            let mut conn = sqlx::PgConnection::connect(&url).await.expect("opens");
            sqlx::query(sql).execute(&mut conn).await.expect("written");
        });
    };
    assert!(site.serve().terminate().0.success());
    run(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', true, '\\x00', 0)",
    );
    let (status, log) = site.serve().terminate();
    assert!(status.success() && log.contains("a newer tixing, and this one may go on"), "{log}");
    // An older daemon lives: what it needs stays.
    run(
        "UPDATE node SET state = 'live', schema = 1, version = '0.0.9', name = 'old' WHERE id = (SELECT MAX(id) FROM node)",
    );
    let (code, _, said) = site.run(&["migrate", "--contract"]);
    assert!(code == 1 && said.contains("old has version 0.0.9"), "{code} {said}");
    run("UPDATE node SET state = 'gone'");
    assert_eq!(site.run(&["migrate", "--contract"]).0, 0);
    run("UPDATE versions SET min_schema = 9999");
    let (status, said) = site.try_serve().err().expect("it must not start");
    assert_eq!(status.code(), Some(78));
    assert!(said.contains("newer tixing"), "{said}");
}

#[test]
fn a_read_only_file_or_folder_is_told_at_the_start() {
    let site = Site::new("sqlite:data/tixing.db", "http://127.0.0.1:1", "");
    let (status, said) = site.try_serve().err().expect("no folder");
    assert_eq!(status.code(), Some(78));
    assert!(said.contains("does not exist"), "{said}");
    std::fs::create_dir(site.path("data")).expect("made");
    if is_root() {
        // Permissions do not bind root, a read-only mount does.
        let data = site.path("data");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "ro", "tmpfs"]).arg(&data).status();
        assert!(mounted.is_ok_and(|s| s.success()), "a read-only tmpfs can be mounted");
        let result = site.try_serve();
        let (_, doctor, _) = site.run(&["doctor"]);
        assert!(Command::new("umount").arg(&data).status().is_ok_and(|s| s.success()));
        let (status, said) = result.err().expect("read-only");
        assert_eq!(status.code(), Some(78), "{said}");
        assert!(said.contains("cannot write beside the store"), "{said}");
        assert!(doctor.contains("cannot be written by uid 0"), "{doctor}");
    } else {
        std::fs::set_permissions(site.path("data"), std::fs::Permissions::from_mode(0o500)).expect("set");
        let (status, said) = site.try_serve().err().expect("read-only");
        assert_eq!(status.code(), Some(78));
        assert!(said.contains("cannot write beside the store"), "{said}");
        let (code, doctor, _) = site.run(&["doctor"]);
        assert!(code != 0 && doctor.contains("cannot be written by uid"), "{doctor}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_what_it_cannot_keep_and_recovers() {
    if !is_root() {
        eprintln!("!!! NOT RUN: a small file system can only be mounted by root; CI runs this as root");
        assert!(std::env::var_os("CI").is_none(), "in CI this must run");
        return;
    }
    let site = Site::new("sqlite:data/tixing.db", "http://127.0.0.1:1", "");
    let data = site.path("data");
    std::fs::create_dir(&data).expect("made");
    let mount = |options: &str| Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&data).status();
    assert!(mount("size=3m").is_ok_and(|s| s.success()), "a small tmpfs can be mounted");
    let program = site.serve_with_key();
    let mut line = 0;
    let mut kept = Vec::new();
    let refused = loop {
        line += 1;
        let (status, answer) =
            program.post("/v1/reminders", &body(&format!("o{line}-{}", "x".repeat(100)), 3_600_000)).await;
        if status != 201 {
            break (status, answer);
        }
        kept.push(answer["id"].as_str().expect("an id").to_owned());
        assert!(line < 50_000, "the disk fills up");
    };
    assert_eq!((refused.0.as_u16(), refused.1["code"].as_str()), (503, Some("unavailable")), "{}", refused.1);
    let said = becomes_ready(&program, false).await;
    assert!(said.contains("disk is full"), "{said}");
    let (_, doctor, _) = site.run(&["doctor"]);
    assert!(doctor.contains(said.trim()), "it says the same: {doctor}");
    assert!(mount("remount,size=30m").is_ok_and(|s| s.success()), "the disk grows");
    let (status, answer) = program.post("/v1/reminders", &body("o-after", 3_600_000)).await;
    assert_eq!(status, 201, "{answer}");
    becomes_ready(&program, true).await;
    for id in kept.iter().step_by(kept.len() / 20 + 1) {
        assert_eq!(program.get(&format!("/v1/reminders/{id}")).await.0, 200, "I3: what was answered 2xx is there");
    }
    let (status, log) = program.terminate();
    assert!(Command::new("umount").arg(&data).status().is_ok_and(|s| s.success()));
    assert!(status.success(), "{log}");
    assert!(log.contains("the disk is full"), "{log}");
}

/// Waits until `/readyz` says so, or the contrary, for as long as that may take; what it says then.
async fn becomes_ready(program: &Program, ready: bool) -> String {
    let begun = Instant::now();
    loop {
        let answer = program.http.get(format!("{}/readyz", program.base)).send().await.expect("an answer");
        let is_ready = answer.status().is_success();
        let text = answer.text().await.expect("a text");
        if is_ready == ready {
            return text;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "five seconds, and still: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_somebody_has_locked_is_not_ready_within_five_seconds_and_doctor_agrees() {
    use sqlx::{Connection, Executor};
    for database in databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, folder.path());
        let site = Site::new(&url, "http://127.0.0.1:1", "");
        let program = site.serve_with_key();
        becomes_ready(&program, true).await;
        sqlx::any::install_default_drivers();
        let mut other = sqlx::AnyConnection::connect(&url).await.expect("opens");
        let locks: &[&str] = match url.starts_with("sqlite:") {
            true => &["BEGIN IMMEDIATE"],
            false => &["BEGIN", "LOCK TABLE consent IN SHARE MODE"],
        };
        for lock in locks {
            other.execute(*lock).await.expect("locked");
        }
        let said = becomes_ready(&program, false).await;
        assert!(said.contains("lock"), "{database}: {said}");
        let (_, doctor, _) = site.run(&["doctor"]);
        assert!(doctor.contains("nothing can be kept or sent"), "{database}: {doctor}");
        other.execute("ROLLBACK").await.expect("given back");
        becomes_ready(&program, true).await;
        assert!(program.terminate().0.success());
    }
}

/// The disk of one table may be full, and that of others not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_keeps_no_reminder_is_not_ready_though_it_can_be_written() {
    use sqlx::{Connection, Executor};
    if !postgres::available() {
        return;
    }
    let url = postgres::fresh_url();
    let site = Site::new(&url, "http://127.0.0.1:1", "");
    let program = site.serve_with_key();
    becomes_ready(&program, true).await;
    sqlx::any::install_default_drivers();
    let mut other = sqlx::AnyConnection::connect(&url).await.expect("opens");
    for sql in [
        "CREATE FUNCTION is_full() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN RAISE EXCEPTION USING ERRCODE = ''53100'', MESSAGE = ''full''; END'",
        "CREATE TRIGGER is_full BEFORE INSERT ON reminder EXECUTE FUNCTION is_full()",
    ] {
        other.execute(sql).await.expect("made");
    }
    assert_eq!(program.post("/v1/reminders", &body("o1", 60_000)).await.0.as_u16(), 503);
    let said = becomes_ready(&program, false).await;
    assert!(said.contains("disk"), "{said}");
    assert_eq!(said.matches("the store is unavailable:").count(), 1, "it is said once: {said}");
    other.execute("DROP TRIGGER is_full ON reminder").await.expect("room again");
    becomes_ready(&program, true).await;
    assert_eq!(program.post("/v1/reminders", &body("o1", 60_000)).await.0.as_u16(), 201);
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_paused_is_not_unready_and_is_named() {
    let sandbox = SandboxServer::start(1).await;
    sandbox.sandbox.world().faults.ip_blocked = true;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "timezone = \"Asia/Shanghai\"");
    let program = site.serve_with_key();
    program.post("/v1/reminders", &body("o1", 200)).await;
    program.wait("/v1/stats?app=coffee", 20, |stats| !stats["apps"][0]["paused"].is_null()).await;
    let said = becomes_ready(&program, true).await;
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0] == "ready" && lines.len() == 3, "both apps have this address: {said}");
    assert!(lines[1].contains("«coffee» is paused until") && lines[1].contains("40164"), "{said}");
    assert!(program.terminate().0.success());
}

/// The daemon in a shell that lets it have so many open files and no more.
fn with_open_files(site: &Site, files: u32, args: &str) -> Command {
    let mut command = site.command(&[]);
    let program = command.get_program().to_owned();
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -n {files} && exec \"$0\" {args}")).arg(program).current_dir(site.path(""));
    shell.envs(command.env("SECRET", "app-secret").get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_1024_open_files_and_1500_connections_that_rest_everybody_is_answered_and_sends_go_out() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    assert!(tixing::descriptors::raise() > 2_000, "this test itself needs as many");
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let mut program = site.try_serve_by(with_open_files(&site, 1_024, "serve")).expect("it starts");
    program.key = site.key();
    let address = program.base.trim_start_matches("http://").to_owned();
    let mut crowd = Vec::new();
    for i in 0..1_500 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
        if i % 2 == 0 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        }
        crowd.push(stream);
    }
    for i in 0..5 {
        let openid = format!("o{i}");
        sandbox.sandbox.world().tap(APPID, &openid, crate::harness::EVENT, true);
        let begun = Instant::now();
        let (status, created) = program.post("/v1/reminders", &body(&openid, 300)).await;
        assert_eq!(status, 201, "{created}");
        assert!(begun.elapsed() < Duration::from_secs(15), "answered after {:?}", begun.elapsed());
        let path = format!("/v1/reminders/{}", created["id"].as_str().expect("an id"));
        program.wait(&path, 10, |r| r["state"] == "sent").await;
    }
    let mut answered = String::new();
    let _ = tokio::time::timeout(Duration::from_millis(200), crowd[0].read_to_string(&mut answered)).await;
    assert!(answered.is_empty() || answered.starts_with("HTTP/1.1 200"), "{answered}");
    let (status, log) = program.terminate();
    assert!(status.success() && log.contains("few open files") && !log.contains("cannot accept"), "{log}");
}

#[test]
fn too_few_open_files_for_the_sends_are_told_at_the_start_and_by_check() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let (status, said) = site.try_serve_by(with_open_files(&site, 256, "serve")).err().expect("it does not start");
    assert!(status.code() == Some(78) && said.contains("256 open files") && said.contains("LimitNOFILE"), "{said}");
    let check = |files| with_open_files(&site, files, "check").output().expect("it runs");
    let (few, enough) = (check(256), check(1_024));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(few.status.success() && text(&few.stderr).contains("256 open files"), "{}", text(&few.stderr));
    let said = text(&enough.stdout);
    assert!(said.contains("1024 at most") && said.contains("128 sends") && said.contains("672 connections"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_and_comes_back_loses_nothing_and_sends_nothing_twice() {
    let Some(cluster) = postgres::own_cluster() else { return };
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new(&cluster.url("postgres"), &sandbox.url, "rate = 300");
    let program = site.serve_with_key();
    let mut lines = String::new();
    for i in 0..600 {
        sandbox.sandbox.world().tap(APPID, &format!("o{i}"), crate::harness::EVENT, true);
        lines += &format!("{}\n", body(&format!("o{i}"), 500));
    }
    let answers = program.batch("/v1/reminders/batch", lines).await;
    assert!(answers.iter().all(|a| a["id"].is_string()), "{:?}", answers.first());
    while sandbox.sandbox.world().messages().len() < 150 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.stop();
    let (status, answer) = program.post("/v1/reminders", &body("o-none", 60_000)).await;
    assert_eq!((status.as_u16(), answer["code"].as_str()), (503, Some("unavailable")), "{answer}");
    assert_eq!(program.http.get(format!("{}/readyz", program.base)).send().await.expect("an answer").status(), 503);
    cluster.start_again();
    let ended = |s: &Value| {
        s["apps"][0]["reminders"]["sent"].as_u64().unwrap_or(0)
            + s["apps"][0]["reminders"]["unconfirmed"].as_u64().unwrap_or(0)
            == 600
    };
    let stats = program.wait("/v1/stats?app=coffee", 60, ended).await;
    let mut openids: Vec<String> = sandbox.sandbox.world().messages().iter().map(|m| m.openid.clone()).collect();
    let all = openids.len();
    openids.sort();
    openids.dedup();
    assert_eq!(openids.len(), all, "I2: nobody twice");
    assert_eq!(
        stats["apps"][0]["reminders"]["unconfirmed"], 0,
        "an outage of the store alone leaves no doubt: {stats}"
    );
    assert!(program.terminate().0.success());
}

#[tokio::test]
async fn the_unit_is_hardened_and_a_reminder_in_the_log_has_an_id_and_no_openid() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/tixing.service");
    match Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=12", unit]).output() {
        Ok(out) => assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout)),
        Err(e) => {
            eprintln!("!!! NOT RUN: systemd-analyze: {e}");
            assert!(std::env::var_os("CI").is_none(), "in CI this must run");
        }
    }
    for database in databases() {
        let sandbox = SandboxServer::start(1).await;
        let folder = tempfile::tempdir().expect("a folder");
        let site = Site::new(&fresh_url(database, folder.path()), &sandbox.url, "");
        let program = site.serve_with_key();
        let (_, created) = program.post("/v1/reminders", &body("o-very-secret-openid", 100)).await;
        let id = created["id"].as_str().expect("an id").to_owned();
        program.wait(&format!("/v1/reminders/{id}"), 20, |r| r["state"] == "failed").await;
        let key = program.key.clone();
        let (_, answer) = program.post("/v1/reminders", &json!({"openid": "o-very-secret-openid"})).await;
        assert!(!answer.to_string().contains("o-very-secret"), "{answer}");
        let (_, log) = program.terminate();
        assert!(log.contains(&id), "{log}");
        for secret in ["o-very-secret-openid", &key, "app-secret", "SANDBOX-"] {
            assert!(!log.contains(secret), "I9: {secret} in {log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_i6_a_daemon_that_was_stopped_for_a_while_sends_nothing_twice_and_nothing_too_late() {
    let seconds = std::env::var("TIXING_STOPPED").ok().and_then(|s| s.parse().ok()).unwrap_or(12);
    let sandbox = SandboxServer::start(1).await;
    sandbox.sandbox.world().faults.latency_ms = 400;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "rate = 500\nconcurrency = 8");
    let program = site.serve_with_key();
    let mut paths = Vec::new();
    // Some are under way when it stops, some become due meanwhile, and some of those expire.
    for (i, (due, lives)) in
        [(300, "1h"); 8].into_iter().chain([(2_000, "1h"); 8]).chain([(2_000, "3s"); 8]).enumerate()
    {
        let openid = format!("o{i}");
        sandbox.sandbox.world().tap(APPID, &openid, crate::harness::EVENT, true);
        let mut reminder = body(&openid, due);
        reminder["expires_at"] = lives.into();
        let (_, created) = program.post("/v1/reminders", &reminder).await;
        paths.push((openid, format!("/v1/reminders/{}", created["id"].as_str().expect("an id"))));
    }
    tokio::time::sleep(Duration::from_millis(350)).await;
    program.signal("-STOP");
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    program.signal("-CONT");
    for (i, (openid, path)) in paths.iter().enumerate() {
        let reminder = program
            .wait(path, 40, |r| {
                !["scheduled", "sending", "in_doubt"].contains(&r["state"].as_str().unwrap_or("scheduled"))
            })
            .await;
        let received = sandbox.sandbox.world().messages().iter().filter(|m| m.openid == *openid).count();
        match (i, reminder["state"].as_str()) {
            (0..8, Some("sent" | "unconfirmed")) => assert!(received <= 1, "I2: {reminder}"),
            (8..16, Some("sent")) => assert_eq!(received, 1, "{reminder}"),
            (16.., Some("expired")) => assert_eq!(received, 0, "I6: {reminder}"),
            _ => panic!("{i}: {reminder}"),
        }
    }
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i7_no_signal_that_people_send_ends_a_daemon_other_than_in_good_order() {
    for (signal, ends) in [("-HUP", false), ("-USR1", false), ("-USR2", false), ("-QUIT", true), ("-INT", true)] {
        let sandbox = SandboxServer::start(1).await;
        sandbox.sandbox.world().faults.latency_ms = 300;
        let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
        let program = site.serve_with_key();
        let mut lines = String::new();
        for i in 0..200 {
            sandbox.sandbox.world().tap(APPID, &format!("o{i}"), crate::harness::EVENT, true);
            lines += &format!("{}\n", body(&format!("o{i}"), 300));
        }
        program.batch("/v1/reminders/batch", lines).await;
        while sandbox.sandbox.world().messages().len() < 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        program.signal(signal);
        let (status, log) = if ends {
            program.wait_for_end()
        } else {
            let all = |s: &Value| s["apps"][0]["reminders"]["sent"] == 200;
            program.wait("/v1/stats?app=coffee", 30, all).await;
            program.terminate()
        };
        assert!(status.success(), "{signal}: {status} {log}");
        // What was not sent is sent by the next one, and nothing is in doubt.
        let program = site.serve_with_key();
        let all = |s: &Value| s["apps"][0]["reminders"]["sent"] == 200;
        program.wait("/v1/stats?app=coffee", 30, all).await;
        assert_eq!(sandbox.sandbox.world().messages().len(), 200, "{signal}: nobody twice");
        assert!(program.terminate().0.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_takes_over_a_new_secret_and_the_logs_level_and_says_what_only_a_restart_does() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let rewrite = |change: &dyn Fn(String) -> String| {
        let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
        std::fs::write(site.path("tixing.toml"), change(text)).expect("written");
    };
    rewrite(&|text| text.replacen("{ env = \"SECRET\" }", "{ file = \"coffee.secret\" }", 1));
    std::fs::write(site.path("coffee.secret"), "wrong").expect("written");
    let program = site.serve_with_key();
    sandbox.sandbox.world().tap(APPID, "o1", crate::harness::EVENT, true);
    let (_, created) = program.post("/v1/reminders", &body("o1", 100)).await;
    let path = format!("/v1/reminders/{}", created["id"].as_str().expect("an id"));
    program.wait("/v1/stats?app=coffee", 10, |s| s["apps"][0]["paused"]["code"] == "40125").await;
    std::fs::write(site.path("coffee.secret"), "app-secret").expect("written");
    program.signal("-HUP");
    program.wait(&path, 10, |r| r["state"] == "sent").await;
    // A mistake changes nothing, and what needs a restart is told.
    rewrite(&|text| text.replace("[server]", "[server]\nlog = \"loud\""));
    program.signal("-HUP");
    rewrite(&|text| text.replace("log = \"loud\"", "log = \"debug\"").replace("timezone = \"Europe/Berlin\"", ""));
    program.signal("-HUP");
    let log = {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sandbox.sandbox.world().tap(APPID, "o2", crate::harness::EVENT, true);
        let (_, created) = program.post("/v1/reminders", &body("o2", 50)).await;
        let path = format!("/v1/reminders/{}", created["id"].as_str().expect("an id"));
        program.wait(&path, 10, |r| r["state"] == "sent").await;
        program.terminate().1
    };
    for told in ["a new secret is in force app=\"coffee\"", "a restart takes that over", "DEBUG"] {
        assert!(log.contains(told), "{told}: {log}");
    }
    assert!(!log.contains("app-secret"), "I9: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_freezes_does_not_starve_the_watchdog_and_does_not_keep_a_daemon_that_is_stopped() {
    let Some(cluster) = postgres::own_cluster() else { return };
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new(&cluster.url("postgres"), &sandbox.url, "");
    let socket = std::os::unix::net::UnixDatagram::bind(site.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
    let notify = site.path("notify").display().to_string();
    let environment = [("NOTIFY_SOCKET", notify.as_str()), ("WATCHDOG_USEC", "6000000")];
    let mut program = site.try_serve_with(&environment).expect("it starts");
    program.key = site.key();
    sandbox.sandbox.world().faults.latency_ms = 2_000;
    sandbox.sandbox.world().tap(APPID, "o1", crate::harness::EVENT, true);
    program.post("/v1/reminders", &body("o1", 10)).await;
    while sandbox.sandbox.world().messages().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.freeze(true);
    let pings = tokio::task::spawn_blocking(move || {
        let (begun, mut pings, mut piece) = (Instant::now(), 0, [0; 4_096]);
        while begun.elapsed() < Duration::from_secs(15) {
            let said = socket.recv(&mut piece).map(|n| String::from_utf8_lossy(&piece[..n]).into_owned());
            pings += usize::from(said.is_ok_and(|said| said.contains("WATCHDOG=1")));
        }
        pings
    });
    let pings = pings.await.expect("no panic");
    assert!(
        pings >= 6,
        "{pings} in 15 s, where one is wanted every 2 s: the loop goes round, whatever the database does"
    );
    let begun = Instant::now();
    let (_, log) = tokio::task::spawn_blocking(move || program.terminate()).await.expect("no panic");
    assert!(begun.elapsed() < Duration::from_secs(45), "the unit's TimeoutStopSec: {:?}", begun.elapsed());
    assert!(log.contains("the store does not answer"), "{log}");
    cluster.freeze(false);
    let program = site.serve_with_key();
    let ended = |s: &Value| s["apps"][0]["reminders"]["sending"] == 0 && s["apps"][0]["reminders"]["in_doubt"] == 0;
    program.wait("/v1/stats?app=coffee", 60, ended).await;
    assert_eq!(sandbox.sandbox.world().messages().len(), 1, "I2: nobody twice");
    assert!(program.terminate().0.success());
}
