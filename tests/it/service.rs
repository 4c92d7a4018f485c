//! The daemon as a service: its unit, and what a crash of it leaves behind.

use crate::harness::program::Site;
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
