//! Secrets that the daemon alone is given, as systemd does it: everybody else gets on without.

use crate::harness::program::{SandboxServer, Site, body};
use serde_json::Value;

/// A site whose secrets are credentials, as the unit's header advises.
fn by_credential(platform: &str) -> Site {
    let site = Site::new("sqlite:tixing.db", platform, "timezone = \"Asia/Shanghai\"");
    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
    let changed = text.replace("env = \"SECRET\"", "credential = \"coffee\"");
    assert_ne!(text, changed);
    std::fs::write(site.path("tixing.toml"), changed).expect("written");
    std::fs::create_dir(site.path("credentials")).expect("made");
    std::fs::write(site.path("credentials/coffee"), "app-secret\n").expect("written");
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_works_for_root_whose_secrets_systemd_hands_to_the_daemon_alone() {
    let sandbox = SandboxServer::start(1).await;
    let site = by_credential(&sandbox.url);
    let credentials = site.path("credentials").display().to_string();
    let file = "name = \"x\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = 2031-03-01T10:00:00Z\naudience = [\"o1\"]\nconsent = \"at_fire\"\n[data]\nthing1 = \"读书会\"\ntime2 = \"10:00\"\n";
    std::fs::write(site.path("x.toml"), file).expect("written");
    let commands: [&[&str]; 9] = [
        &["migrate"],
        &["key", "create", "--name", "k"],
        &["consent", "add", "--app", "coffee", "--openid", "o1", "--template", "event-start"],
        &["reminder", "list"],
        &["plan", "x.toml"],
        &["load", "x.toml", "--yes"],
        &["template", "list"],
        &["user", "export", "--app", "coffee", "--openid", "o1"],
        &["schedules", "list"],
    ];
    let all_work = |when: &str| {
        for command in commands {
            let (code, out, said) = site.run(command);
            // A daemon has the store, and brings it up to date itself.
            assert!(
                code == 0 || command == ["migrate"] && when == "running",
                "{when}: {command:?}: {code} {out}{said}"
            );
        }
        let (code, out, said) = site.run(&["check"]);
        assert!(
            code == 0 && said.contains("the credential coffee cannot be looked at from here"),
            "{when}: {out}{said}"
        );
        let (code, out, said) = site.run(&["doctor", "--json"]);
        let told: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {said}"));
        let level = |name: &str| {
            let check = told["checks"].as_array().expect("checks").iter().find(|check| check["check"] == name);
            check.unwrap_or_else(|| panic!("{name} was not looked at: {out}"))["level"].clone()
        };
        assert_eq!(code, 0, "{when}: {out}{said}");
        assert_eq!((level("coffee: reach"), level("coffee: credentials")), ("ok".into(), "skipped".into()), "{when}");
    };
    all_work("stopped");
    assert_eq!(site.run(&["backup", "backup.db"]).0, 0);
    let (code, _, said) = site.run(&["restore", "backup.db"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(site.run(&["release", "--send"]).0, 0);

    let (status, said) = site.try_serve().err().expect("the daemon needs its secret");
    assert!(status.code() == Some(78) && said.contains("LoadCredential=coffee"), "{said}");
    let started = site.try_serve_with(&[("CREDENTIALS_DIRECTORY", &credentials)]);
    let mut program = started.unwrap_or_else(|(status, said)| panic!("{status}: {said}"));
    program.key = site.key();
    all_work("running");
    sandbox.sandbox.world().tap("wx0123456789abcdef", "o2", crate::harness::EVENT, true);
    let (_, created) = program.post("/v1/reminders", &body("o2", 50)).await;
    let path = format!("/v1/reminders/{}", created["id"].as_str().expect("an id"));
    program.wait(&path, 10, |r| r["state"] == "sent").await;
    assert!(program.terminate().0.success());
}

#[test]
fn a_secret_that_is_wrong_where_it_can_be_read_is_still_told_by_check() {
    let site = by_credential("http://127.0.0.1:1");
    let check = |credentials: &str| {
        let done = site.command(&["check"]).env("CREDENTIALS_DIRECTORY", credentials).output().expect("runs");
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    std::fs::write(site.path("credentials/coffee"), "  \n").expect("written");
    let (code, said) = check("credentials");
    assert!(code == Some(78) && said.contains("the secret in the credential coffee is empty"), "{said}");
    std::fs::write(site.path("credentials/coffee"), "\u{feff}app-secret\r\n").expect("written");
    assert_eq!(check("credentials").0, Some(0), "editors of Windows put a mark before it");
    std::fs::write(site.path("credentials/coffee"), "\u{feff}\r\n").expect("written");
    assert_eq!(check("credentials").0, Some(78), "a mark is no secret");
    let (code, said) = check("nowhere");
    assert!(code == Some(78) && said.contains("cannot read the secret file"), "{said}");
    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
    std::fs::write(site.path("tixing.toml"), text.replacen("credential = \"coffee\"", "file = \"gone\"", 1))
        .expect("written");
    let (code, _, said) = site.run(&["check"]);
    assert!(code == 78 && said.contains("cannot read the secret file"), "a file that is not there is nobody's: {said}");
    let (code, _, said) = site.run(&["key", "create", "--name", "k"]);
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_are_listed_without_the_keys_on_a_platform_whose_requests_are_signed() {
    let sandbox = SandboxServer::start(1).await;
    for platform in tixing::platform::BUILT {
        let site = Site::of(platform, &sandbox, "");
        let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
        let hidden: String = text
            .lines()
            .map(|line| match line.split_once("{ file = ") {
                Some((key, _)) if !line.starts_with('#') => format!("{key}{{ credential = \"coffee\" }}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        std::fs::write(site.path("tixing.toml"), hidden).expect("written");
        assert_eq!(site.run(&["migrate"]).0, 0);
        let (code, out, said) = site.run(&["template", "list"]);
        assert_eq!(code, 0, "{}: {out}{said}", platform.word);
    }
}
