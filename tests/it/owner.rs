//! Whose the store's files are, where root runs commands and the daemon runs as somebody else. Run as root: only root can give files away.

use crate::harness::program::{Site, is_root};
use std::{
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    process::{Command, Stdio},
};

/// Nobody's number on every system.
const USER: u32 = 65_534;

fn can_run() -> bool {
    if is_root() {
        return true;
    }
    eprintln!("!!! NOT RUN: only root can give files away; CI runs this as root");
    assert!(std::env::var_os("CI").is_none(), "in CI this must run");
    false
}

/// A site whose store lies in the folder of another user.
fn of_another_user() -> Site {
    let site = Site::new("sqlite:data/tixing.db", "http://127.0.0.1:1", "");
    std::fs::create_dir(site.path("data")).expect("made");
    chown(site.path("data"), Some(USER), Some(USER)).expect("root may");
    site
}

fn all_are_theirs(site: &Site, after: &str) {
    for entry in std::fs::read_dir(site.path("data")).expect("there").flatten() {
        let (name, file) = (entry.file_name(), entry.metadata().expect("there"));
        assert_eq!((file.uid(), file.gid()), (USER, USER), "{name:?} after {after}");
        assert_eq!(file.permissions().mode() & 0o777, 0o600, "{name:?} after {after}");
    }
}

/// The program as the daemon's user, who can reach it, the folder and the configuration.
fn as_user(site: &Site, args: &[&str]) -> Command {
    let program = site.path("program");
    if !program.exists() {
        // By another process: were it open for writing here, a program that another test starts would hold it open, and it could not be run.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_tixing")).arg(&program).status();
        assert!(copied.expect("cp is there").success());
        std::fs::set_permissions(site.path("."), std::fs::Permissions::from_mode(0o777)).expect("set");
    }
    let mut command = Command::new(program);
    command.args(args).current_dir(site.path(".")).env("SECRET", "app-secret").env("LANG", "C").stdin(Stdio::null());
    command.uid(USER).gid(USER);
    command
}

#[test]
fn what_root_makes_or_restores_opens_for_the_user_that_the_daemon_runs_as() {
    if !can_run() {
        return;
    }
    let site = of_another_user();
    let opens = |after: &str| {
        let done = as_user(&site, &["key", "list"]).output().expect("runs");
        assert!(done.status.success(), "after {after}: {}", String::from_utf8_lossy(&done.stderr));
        all_are_theirs(&site, after);
    };
    for command in [
        &["key", "create", "--name", "first"][..],
        &["backup", "backup.db"],
        &["restore", "backup.db"],
        &["key", "create", "--name", "on hold"],
        &["release", "--send"],
        &["restore", "backup.db"],
    ] {
        let (code, _, said) = site.run(command);
        assert_eq!(code, 0, "{command:?}: {said}");
        all_are_theirs(&site, command[0]);
        opens(command[0]);
    }
}

#[test]
fn a_store_that_another_user_owns_is_told_with_the_command_that_mends_it_and_no_restore() {
    if !can_run() {
        return;
    }
    let site = of_another_user();
    assert_eq!(site.run(&["migrate"]).0, 0);
    chown(site.path("data/tixing.db"), Some(0), Some(0)).expect("root may");
    let done = as_user(&site, &["serve"]).output().expect("runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(78), "{said}");
    assert!(said.contains("chown --reference=") && said.contains("uid 0") && said.contains("uid 65534"), "{said}");
    assert!(!said.contains("restore"), "{said}");
}
