//! The daemon as a service: its unit, what a crash of it leaves behind, and secrets that change while it runs.

use crate::harness::{
    EVENT,
    program::{SandboxServer, Site, body},
};
use serde_json::Value;
use std::{path::Path, process::Command};

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/tixing.service");

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_and_the_manual_page_that_it_names() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let (code, page, said) = site.run(&["man"]);
    assert_eq!(code, 0, "{said}");
    std::fs::create_dir_all(site.path("man/man1")).expect("made");
    std::fs::write(site.path("man/man1/tixing.1"), page).expect("written");
    // The binary is not installed here.
    let unit = std::fs::read_to_string(UNIT).expect("readable");
    let unit = unit.replace("/usr/bin/tixing", env!("CARGO_BIN_EXE_tixing"));
    std::fs::write(site.path("tixing.service"), unit).expect("written");
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--recursive-errors=no"]).arg(site.path("tixing.service")).env("MANPATH", site.path("man"));
    let there = ["/usr/bin/man", "/usr/bin/kill"].iter().all(|program| Path::new(program).exists());
    match verify.output() {
        Ok(out) if there => {
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            assert!(out.status.success() && !said.contains("tixing.service"), "{said}");
        }
        other => {
            eprintln!("!!! NOT RUN: systemd-analyze, with man and kill: {other:?}");
            assert!(std::env::var_os("CI").is_none(), "in CI this must run");
        }
    }
}

#[test]
fn i9_a_crash_leaves_no_file_with_the_memory_of_the_daemon() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.pid())).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert!(std::fs::read_to_string(UNIT).expect("readable").contains("\nLimitCORE=0\n"));
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_changed_needs_no_restart_and_no_signal() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "");
    let file = site.path("tixing.toml");
    let text = std::fs::read_to_string(&file).expect("there");
    let text = text.replacen("{ env = \"SECRET\" }", "{ file = \"coffee.secret\" }", 1);
    std::fs::write(&file, &text).expect("written");
    std::fs::write(site.path("coffee.secret"), "old").expect("written");
    let program = site.serve_with_key();
    sandbox.sandbox.world().tap("wx0123456789abcdef", "o1", EVENT, true);
    let (_, created) = program.post("/v1/reminders", &body("o1", 100)).await;
    let path = format!("/v1/reminders/{}", created["id"].as_str().expect("an id"));
    let is_paused = |stats: &Value| stats["apps"][0]["paused"]["code"] == "40125";
    program.wait("/v1/stats?app=coffee", 20, is_paused).await;
    // Somebody is in the middle of writing the configuration: nothing is taken over, and the daemon runs on.
    std::fs::write(&file, text.replace("[server]", "[server")).expect("written");
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert!(is_paused(&program.get("/v1/stats?app=coffee").await.1));
    // An app that became another's is not given the other's secret.
    std::fs::write(site.path("coffee.secret"), "app-secret").expect("written");
    std::fs::write(&file, text.replacen("wx0123456789abcdef", "wx00000000000000ff", 1)).expect("written");
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert!(is_paused(&program.get("/v1/stats?app=coffee").await.1));
    std::fs::write(&file, &text).expect("written");
    program.wait(&path, 20, |reminder| reminder["state"] == "sent").await;
    let (status, log) = program.terminate();
    assert!(status.success() && log.contains("a new secret is in force app=\"coffee\""), "{log}");
    assert_eq!(log.matches("can't be read").count(), 1, "told once: {log}");
    assert!(!log.contains("app-secret"), "I9: {log}");
}
