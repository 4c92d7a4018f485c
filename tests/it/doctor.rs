//! `tixing doctor` by the real program, healthy and with each thing wrong that a sandbox can have wrong.

use crate::harness::{
    postgres,
    program::{SandboxServer, Site},
};
use serde_json::Value;
use std::time::{Duration, Instant};
use tixing::sandbox::Faults;

struct Told {
    code: i32,
    checks: Vec<(String, String, String, String)>,
}

impl Told {
    fn of(site: &Site) -> Self {
        let (code, out, said) = site.run(&["doctor", "--json"]);
        let told: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {said}"));
        let text = |check: &Value, name: &str| check[name].as_str().expect("a text").to_owned();
        let check = |c: &Value| (text(c, "check"), text(c, "level"), text(c, "found"), text(c, "fix"));
        Self { code, checks: told["checks"].as_array().expect("checks").iter().map(check).collect() }
    }

    /// The worst that is said of a thing.
    fn level(&self, name: &str) -> &str {
        let words = ["failed", "warning", "skipped", "ok"];
        let levels: Vec<&str> = self.checks.iter().filter(|c| c.0 == name).map(|c| c.1.as_str()).collect();
        words.into_iter().find(|word| levels.contains(word)).unwrap_or_else(|| panic!("{name} was not looked at"))
    }

    fn says(&self, name: &str, words: &str) -> bool {
        self.checks.iter().any(|c| c.0 == name && (c.2.contains(words) || c.3.contains(words)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_names_what_is_wrong_and_what_to_do() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "timezone = \"Asia/Shanghai\"");
    // The second app is not in the sandbox under its template alone.
    let told = Told::of(&site);
    assert_eq!((told.code, told.level("daemon"), told.level("database")), (0, "warning", "skipped"));
    let program = site.serve_with_key();
    let told = Told::of(&site);
    let failed: Vec<_> = told.checks.iter().filter(|c| c.1 == "failed").collect();
    assert!(told.code == 0 && failed.is_empty(), "{failed:?}");
    assert!(told.checks.len() >= 25, "{}", told.checks.len());
    for good in
        ["database", "readiness", "hold", "coffee: credentials", "coffee: quota", "coffee: templates", "coffee: drift"]
    {
        assert_eq!(told.level(good), "ok", "{good}");
    }
    assert!(
        told.checks.iter().all(|c| (c.1 == "ok" || c.1 == "skipped") == c.3.is_empty()),
        "a fix for each: {:?}",
        told.checks
    );

    let faults = |faults: Faults| sandbox.sandbox.world().faults = faults;
    faults(Faults { ip_blocked: true, ..Faults::default() });
    let told = Told::of(&site);
    assert_eq!((told.code, told.level("coffee: IP whitelist")), (1, "failed"));
    assert!(told.says("coffee: IP whitelist", "add 203.0.113.9 to the IP whitelist"), "{:?}", told.checks);
    faults(Faults { quota_left: Some(0), ..Faults::default() });
    let told = Told::of(&site);
    assert_eq!((told.code, told.level("coffee: quota")), (1, "failed"));
    faults(Faults::default());

    // The account has lost a template and changed another.
    let mut spec = tixing::sandbox::AppSpec::of(&crate::harness::apps(&sandbox.url)[0]);
    spec.templates.retain(|t| t.id == crate::harness::EVENT);
    spec.templates[0].fields.insert("thing9".into(), "备注".into());
    sandbox.sandbox.world().add_app(spec);
    assert_eq!(site.run(&["template", "refresh"]).0, 0);
    let told = Told::of(&site);
    assert_eq!((told.code, told.level("coffee: templates")), (1, "failed"));
    assert!(
        told.says("coffee: templates", "«digest»: the account has no such template")
            && told.says("coffee: templates", "thing9")
    );
    let (_, out, _) = site.run(&["doctor", "--lang", "zh"]);
    let chinese = |line: &str| line.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    for line in out.lines() {
        assert!(chinese(line), "«{line}» is not in Chinese");
    }
    assert!(out.lines().count() > told.checks.len(), "{out}");
    let wrong = site.command(&["doctor", "--json"]).env("SECRET", "wrong").output().expect("runs");
    assert!(String::from_utf8_lossy(&wrong.stdout).contains("40125"), "a wrong secret is named");
    assert!(!String::from_utf8_lossy(&wrong.stdout).contains("app-secret"), "I9");
    assert!(program.terminate().0.success());

    let gone = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let told = Told::of(&gone);
    assert_eq!((told.code, told.level("coffee: reach"), told.level("coffee: quota")), (69, "failed", "skipped"));
    let text = std::fs::read_to_string(gone.path("tixing.toml")).expect("there").replacen("wechat", "wechta", 1);
    std::fs::write(gone.path("tixing.toml"), text).expect("written");
    let told = Told::of(&gone);
    assert!(told.code == 78 && told.says("configuration", "wechta"), "{:?}", told.checks);
    let (code, out, said) = gone.run(&["doctor"]);
    assert!(code == 78 && out.starts_with("✗ configuration") && said.contains("1 failed"), "{out}{said}");
}

#[test]
fn a_daemon_that_is_stuck_is_told_of_by_every_command_and_keeps_none_waiting() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve_with_key();
    program.signal("-STOP");
    let begun = Instant::now();
    std::fs::write(site.path("lines"), "{}\n").expect("written");
    let commands: [&[&str]; 4] =
        [&["key", "list"], &["doctor"], &["backup", "b.db"], &["reminder", "add", "--file", "lines"]];
    std::thread::scope(|scope| {
        for command in commands {
            let site = &site;
            scope.spawn(move || {
                let (code, out, said) = site.run(command);
                assert_eq!(code, 69, "{command:?}: {out}{said}");
                assert!((out + &said).contains("has not said for 15 s that it lives"), "{command:?}: {said}");
            });
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    program.signal("-CONT");
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_sees_the_daemons_own_limits_the_files_beside_the_store_and_a_callback_that_never_came() {
    let sandbox = SandboxServer::start(1).await;
    let secrets = "callback = { token = { env = \"SECRET\" } }";
    let site = Site::new("sqlite:tixing.db", &sandbox.url, secrets);
    // The daemon has its own limit, whatever this shell has.
    let script = format!("ulimit -n 512; exec {} serve", env!("CARGO_BIN_EXE_tixing"));
    let mut daemon = std::process::Command::new("sh");
    daemon
        .args(["-c", &script])
        .current_dir(site.path("."))
        .env("SECRET", "app-secret")
        .stderr(std::process::Stdio::null());
    let mut daemon = daemon.spawn().expect("the program runs");
    let begun = Instant::now();
    while std::os::unix::net::UnixStream::connect(site.path("tixing.sock")).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it starts");
        std::thread::sleep(Duration::from_millis(20));
    }
    let chmod = |name: &str, mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(site.path(name), mode).expect("set");
    };
    // A log that nothing was written to yet is given the store's mode by whoever opens it next.
    assert_eq!(site.run(&["key", "create", "--name", "k"]).0, 0);
    chmod("tixing.db-wal", 0o644);
    chmod(".", 0o777);
    let told = Told::of(&site);
    chmod(".", 0o700);
    let ended = std::process::Command::new("kill").arg(daemon.id().to_string()).status();
    assert!(ended.is_ok_and(|s| s.success()) && daemon.wait().is_ok_and(|s| s.success()));
    assert_eq!(told.level("open files"), "warning");
    assert!(told.says("open files", "512"), "only root sees how many are open: {:?}", told.checks);
    assert_eq!(told.level("store's folder's mode"), "failed");
    assert!(told.says("store's files", "tixing.db-wal has the mode 644"), "{:?}", told.checks);
    assert_eq!(told.level("store's log"), "ok");
    assert_eq!(told.level("coffee: pushes"), "warning");
    assert!(told.says("coffee: pushes", "/callback/coffee"), "{:?}", told.checks);
}

/// The daemons that `tixing nodes` lists.
fn nodes(site: &Site) -> Vec<Value> {
    let (code, out, said) = site.run(&["nodes", "--json"]);
    assert_eq!(code, 0, "{said}");
    out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_doctor_beside_several_daemons_knows_them_and_says_which_were_drained() {
    if !postgres::available() {
        return;
    }
    let url = postgres::fresh_url();
    let site = |name: &str| {
        let site = Site::new(&url, "http://127.0.0.1:1", "");
        let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
        let text = text.replace("[server]", &format!("[server]\nnode = \"{name}\""));
        std::fs::write(site.path("tixing.toml"), text).expect("written");
        site
    };
    let [a, b, aside] = ["a", "b", "aside"].map(site);
    let programs = [a.serve(), b.serve()];
    let told = Told::of(&aside);
    assert_eq!((told.level("daemon"), told.level("daemons")), ("warning", "ok"), "{:?}", told.checks);
    assert!(told.says("daemon", "none listens on") && told.says("daemon", "2 daemons work on the same database: a, b"));
    assert!(told.says("daemon", "TIXING_SERVER__SOCKET"), "{:?}", told.checks);
    assert_eq!(Told::of(&a).level("daemon"), "ok");

    let (code, _, said) = aside.run(&["nodes", "drain", "c"]);
    assert!(code == 4 && said.contains("no daemon called c"), "{code} {said}");
    let (code, _, said) = aside.run(&["nodes", "drain", "a"]);
    assert!(code == 0 && said.contains("hands over its apps"), "{code} {said}");
    let id = |name: &str| nodes(&aside).iter().find(|node| node["name"] == name).expect("listed")["id"].to_string();
    let (a_id, b_id) = (id("a"), id("b"));
    let told = Told::of(&aside);
    let drained = format!("drained or about to stop, and taking nothing more until started again: a ({a_id})");
    assert!(told.level("daemons") == "warning" && told.says("daemons", &drained), "{:?}", told.checks);
    let (_, table, _) = aside.run(&["nodes", "--lang", "zh"]);
    assert!(table.contains("不再接手") && table.contains("运行中") && !table.contains("live"), "{table}");
    let begun = Instant::now();
    while nodes(&aside).iter().any(|node| node["name"] == "b" && node["apps"].as_array().is_none_or(|a| a.len() < 2)) {
        assert!(begun.elapsed() < Duration::from_secs(20), "b has what a had: {:?}", nodes(&aside));
        std::thread::sleep(Duration::from_millis(100));
    }
    let (code, _, said) = aside.run(&["nodes", "drain", &b_id]);
    assert!(code == 0 && said.contains("it keeps and goes on to send for coffee"), "{code} {said}");
    let told = Told::of(&aside);
    assert!(told.level("daemons") == "warning" && told.says("daemons", "all are drained"), "{:?}", told.checks);

    let (code, _, said) = aside.run(&["nodes", "bury", "a"]);
    assert!(code == 1 && said.contains("it has not ended"), "{code} {said}");
    for program in programs {
        assert!(program.terminate().0.success());
    }
    let (code, _, said) = aside.run(&["nodes", "bury", &a_id]);
    assert!(code == 0 && said.contains("it was known before"), "{code} {said}");
    assert_eq!(aside.run(&["nodes", "bury", "a"]).0, 4, "none of that name is left");
    let (_, out, _) = aside.run(&["nodes", "--lang", "zh"]);
    assert!(out.contains("已结束"), "{out}");
    let told = Told::of(&aside);
    assert!(told.says("daemon", "does not run"), "nobody works: {:?}", told.checks);
}

#[test]
fn on_sqlite_there_are_no_several_daemons_to_list_and_a_chinese_doctor_says_that_the_daemon_is_ready() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve();
    let (code, out, said) = site.run(&["nodes"]);
    assert!(code == 0 && out.is_empty() && said.contains("on SQLite there is one"), "{code} {out} {said}");
    let (_, out, _) = site.run(&["doctor", "--lang", "zh"]);
    assert!(out.contains("就绪") && !out.contains("ready"), "{out}");
    assert!(program.terminate().0.success());
}
