//! The daemon as a service: its unit, what a crash of it leaves behind, and secrets that change while it runs.

use crate::harness::{
    EVENT,
    program::{SandboxServer, Site, body},
};
use serde_json::Value;
use std::{path::Path, process::Command};

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/tixing.service");
const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/tixing@.service");

#[test]
fn systemd_finds_nothing_wrong_with_the_units_and_the_manual_page_that_they_name() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let (code, page, said) = site.run(&["man"]);
    assert_eq!(code, 0, "{said}");
    std::fs::create_dir_all(site.path("man/man1")).expect("made");
    std::fs::write(site.path("man/man1/tixing.1"), page).expect("written");
    // The binary is not installed here.
    for (from, to) in [(UNIT, "tixing.service"), (TEMPLATE, "tixing@.service")] {
        let unit = std::fs::read_to_string(from).expect("readable");
        let unit = unit.replace("/usr/bin/tixing", env!("CARGO_BIN_EXE_tixing"));
        std::fs::write(site.path(to), unit).expect("written");
    }
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--recursive-errors=no"]).env("MANPATH", site.path("man"));
    verify.arg(site.path("tixing.service")).arg(site.path("tixing@a.service"));
    let there = ["/usr/bin/man", "/usr/bin/kill"].iter().all(|program| Path::new(program).exists());
    match verify.output() {
        Ok(out) if there => {
            let said = String::from_utf8_lossy(&out.stderr).into_owned();
            let finds = ["tixing.service", "tixing@"].iter().any(|unit| said.contains(unit));
            assert!(out.status.success() && !finds, "{said}");
        }
        other => {
            eprintln!("!!! NOT RUN: systemd-analyze, with man and kill: {other:?}");
            assert!(std::env::var_os("CI").is_none(), "in CI this must run");
        }
    }
}

#[test]
fn the_unit_of_several_differs_from_the_one_of_one_only_where_they_must() {
    let lines = |file: &str| -> Vec<String> {
        let unit = std::fs::read_to_string(file).expect("readable");
        unit.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
    };
    let (one, several) = (lines(UNIT), lines(TEMPLATE));
    let without = |all: &[String], those: &[String]| -> Vec<String> {
        all.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    assert_eq!(
        without(&several, &one),
        [
            "Description=tixing, scheduled reminders for mini-program subscribe messages (%i)",
            "Environment=TIXING_SERVER__NODE=%i TIXING_SERVER__SOCKET=/run/tixing-%i/tixing.sock",
            "EnvironmentFile=/etc/tixing/%i.env",
            "StateDirectory=tixing-%i",
            "RuntimeDirectory=tixing-%i",
            "User=tixing-%i",
        ]
    );
    assert_eq!(
        without(&one, &several),
        [
            "Description=tixing, scheduled reminders for mini-program subscribe messages",
            "StateDirectory=tixing",
            "RuntimeDirectory=tixing",
        ]
    );
    // By these it is proved that a daemon has ended: its lock outlives it, and the machine's start can be read.
    assert!(one.iter().any(|line| line == "RuntimeDirectoryPreserve=restart"));
    assert!(!one.iter().any(|line| line.starts_with("ProcSubset=")), "it hides the machine's start");
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
