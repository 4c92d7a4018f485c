//! The command line as people use it: against a daemon, and without one.

use crate::harness::program::{SandboxServer, Site};
use serde_json::Value;
use std::process::Stdio;

#[test]
fn a_command_that_meets_a_daemon_just_starting_waits_for_it() {
    for database in crate::harness::databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let site = Site::new(&crate::harness::fresh_url(database, folder.path()), "http://127.0.0.1:1", "");
        for _ in 0..3 {
            let daemon = std::thread::scope(|scope| {
                let daemon = scope.spawn(|| site.serve());
                std::thread::sleep(std::time::Duration::from_millis(15));
                let (code, _, said) = site.run(&["key", "list"]);
                assert_eq!(code, 0, "{database}: {said}");
                daemon.join().expect("it starts")
            });
            assert!(daemon.terminate().0.success());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_commands_work_with_a_daemon_and_without_one() {
    for with_daemon in [false, true] {
        let sandbox = SandboxServer::start(1).await;
        let site = Site::new("sqlite:tixing.db", &sandbox.url, "timezone = \"Asia/Shanghai\"");
        let program = with_daemon.then(|| site.serve());
        let (code, shown, said) =
            site.run(&["consent", "add", "--app", "coffee", "--openid", "o1", "--template", "event-start", "--json"]);
        assert_eq!(code, 0, "{said}");
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(shown["balances"][0]["available"], 1, "{shown}");
        let add = |openid: &str, more: &[&str]| {
            let base = ["reminder", "add", "--app", "coffee", "--openid", openid, "--template", "event-start"];
            let rest = ["--at", "2030-03-01T10:00", "--data", "thing1=周三读书会", "--data", "time2=10:00"];
            site.run(&[&base[..], &rest[..], more].concat())
        };
        let (code, id, said) = add("o1", &["--key", "k1"]);
        assert_eq!(code, 0, "{said}");
        let id = id.trim().to_owned();
        assert_eq!(add("o1", &["--key", "k1"]).1.trim(), id, "safe to repeat");
        let (code, _, said) = add("o2", &[]);
        assert_eq!(code, 1);
        assert!(said.contains("no_consent"), "{said}");
        assert_eq!(add("o2", &["--accepted"]).0, 0);
        assert_eq!(site.run(&["reminder", "list", "--app", "coffee", "--json"]).1.lines().count(), 2);
        let (_, table, _) = site.run(&["reminder", "list", "--app", "coffee", "--lang", "zh"]);
        assert!(table.contains("计划时间") && table.contains("2030-03-01 10:00:00+08:00"), "{table}");
        let (code, why, _) = site.run(&["reminder", "explain", &id, "--lang", "zh"]);
        assert_eq!(code, 0);
        assert!(why.starts_with("尚未发送：计划时间 2030-03-01 10:00:00+08:00"), "{why}");
        assert_eq!(site.run(&["reminder", "cancel", &id]).0, 0);
        assert_eq!(site.run(&["reminder", "cancel", &id]).0, 0, "what is wanted is so already");
        assert_eq!(site.run(&["reminder", "show", "r_0000000000000"]).0, 4);
        assert_eq!(site.run(&["reminder", "show", "../keys"]).0, 4);
        assert_eq!(site.run(&["reminder", "nonsense"]).0, 2);
        let (code, table, _) = site.run(&["consent", "show", "--app", "coffee", "--openid", "o1", "--history"]);
        assert_eq!(code, 0);
        assert!(table.contains("available") && table.contains("event-start"), "{table}");

        let good = |openid: &str| {
            format!(
                r#"{{"app":"coffee","openid":"{openid}","template":"event-start","at":"2030-03-01T10:00","accepted":true,"data":{{"thing1":"x","time2":"10:00"}}}}"#
            )
        };
        std::fs::write(site.path("many.ndjson"), format!("{}\n{{broken\n{}\n", good("o5"), good("o6")))
            .expect("written");
        let (code, out, said) = site.run(&["reminder", "add", "--file", "many.ndjson"]);
        assert_eq!(code, 3, "{said}");
        assert!(out.starts_with("many.ndjson:2:"), "{out}");
        assert!(said.contains("2 taken, 1 refused"), "{said}");
        if let Some(program) = program {
            assert!(program.terminate().0.success());
        }
    }
}

#[test]
fn init_writes_what_check_finds_good_and_never_over_something() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let (code, _, said) = site.run(&["init", "fresh.toml"]);
    assert_eq!(code, 0, "{said}");
    let (code, out, said) = site.run(&["check", "--config", "fresh.toml"]);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    assert_eq!(site.run(&["init", "fresh.toml"]).0, 1);
    let (code, out, said) = site.run(&["init", "--config", "second.toml"]);
    assert!(code == 0 && said.contains("second.toml") && said.contains("left as it was"), "{out} {said}");
    let text = std::fs::read_to_string(site.path("fresh.toml")).expect("there").replace("[server]", "[servr]");
    std::fs::write(site.path("fresh.toml"), text).expect("written");
    let (code, _, said) = site.run(&["check", "--config", "fresh.toml"]);
    assert_eq!(code, 78);
    assert!(said.contains("did you mean «server»?"), "{said}");
    assert_eq!(site.run(&["check", "--config", "nowhere.toml"]).0, 78);
    let no_text = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff.toml");
    let done = site.command(&["check", "--config"]).arg::<&std::ffi::OsStr>(no_text).output().expect("runs");
    assert_eq!(done.status.code(), Some(78), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(site.run(&["check", "--config", "fresh.toml", "--json"]).0, 78);
    assert_eq!(site.run(&["serve", "--config", "nowhere.toml"]).0, 78);
    assert_eq!(site.run(&["migrate"]).0, 0);
    assert_eq!(site.run(&["completions", "bash"]).0, 0);
    let (code, man, _) = site.run(&["man"]);
    assert!(code == 0 && man.contains(".TH tixing"), "{man}");
}

#[test]
fn a_person_is_told_in_their_language_and_a_program_in_english() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "quiet_hours = \"22:00-08:00\"\nrate = 0");
    let run = |args: &[&str]| {
        let done = site.command(args).env("LANG", "zh_CN.UTF-8").output().expect("runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    for verb in ["check", "serve", "migrate"] {
        let (code, _, said) = run(&[verb]);
        assert_eq!(code, Some(78), "{verb}: {said}");
        assert!(
            said.contains("tixing.toml:12: 免打扰时段") && said.contains("tixing.toml:13: rate 为 0"),
            "{verb}: {said}"
        );
    }
    let (_, out, said) = run(&["doctor"]);
    assert!(out.starts_with("✗ 配置  tixing.toml:12: 免打扰时段") && said.contains("2 项失败"), "{out}{said}");
    for verb in ["check", "doctor"] {
        let (code, out, said) = run(&[verb, "--json"]);
        let chinese = |text: &str| text.contains("时") || text.contains("配置");
        assert!(code == Some(78) && !chinese(&out) && !chinese(&said), "{verb}: {out}{said}");
        assert!(out.contains("need the app's timezone"), "{verb}: {out}");
    }
    let (code, _, said) = run(&["check", "--lang", "en"]);
    assert!(code == Some(78) && said.contains("tixing.toml:13: rate is 0; allowed are 1 to 100000"), "{said}");
}

#[test]
fn a_wrong_argument_is_told_as_such_in_words_and_in_json() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let (code, _, said) = site.run(&["doubt", "list"]);
    assert!(code == 4 && said.contains("there is no store") && !site.path("tixing.db").exists(), "{code} {said}");
    assert_eq!(site.run(&["migrate"]).0, 0);
    for wrong in [["--limit", "0"], ["--limit", "x"], ["--state", "foo"], ["--from", "foo"]] {
        let (code, _, said) = site.run(&["reminder", "list", wrong[0], wrong[1]]);
        assert!(code == 2 && said.contains(wrong[0].trim_start_matches('-')), "{wrong:?}: {code} {said}");
    }
    let (code, _, said) = site.run(&["reminder", "add", "--file", "."]);
    assert!(code == 2 && said.contains("is a folder"), "{said}");
    let (code, out, said) = site.run(&["reminder", "list", "--app", "nobody", "--json"]);
    let error: Value = serde_json::from_str(&said).expect("JSON");
    assert!(code == 1 && out.is_empty() && error["error"]["code"] == "unknown_app", "{said}");
    assert_eq!((error["error"]["exit"].as_u64(), error["error"]["status"].as_u64()), (Some(1), Some(422)));
    let (code, _, said) = site.run(&["verify", "nowhere.db", "--json"]);
    let error: Value = serde_json::from_str(&said).expect("JSON");
    assert!(code == 1 && error["error"]["detail"].as_str().is_some_and(|d| d.contains("nowhere.db")), "{said}");
}

#[test]
fn a_reader_that_goes_away_is_no_fault_and_a_full_disk_is_one() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    assert_eq!(site.run(&["migrate"]).0, 0);
    let full = || std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let (reader, closed) = std::io::pipe().expect("a pipe");
    drop(reader);
    for verb in [&["completions", "bash"][..], &["man"], &["key", "list", "--json"]] {
        let run = |out: Stdio| {
            let done = site.command(verb).stdout(out).output().expect("runs");
            (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
        };
        assert_eq!(run(closed.try_clone().expect("a pipe").into()), (Some(0), String::new()), "{verb:?}");
        let (code, said) = run(full().into());
        // No keys, no data.
        let code_wanted = if verb[0] == "key" { 0 } else { 1 };
        assert_eq!(code, Some(code_wanted), "{verb:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn the_demo_shows_messages_and_ends_with_a_summary() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let (code, out, said) = site.run(&["demo", "--for", "6s", "--lang", "en"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("╭") && out.contains("messages sent, at most"), "{out}");
    // The schedule is seen first, then its messages.
    let [plans, loads, arrives] = ["plans tasting.toml: 6 rows, 5 reminders", "5 reminders stored", "二楼露台 A3"]
        .map(|text| out.find(text).unwrap_or_else(|| panic!("no «{text}» in {out}")));
    assert!(plans < loads && loads < arrives, "{out}");
    for platform in tixing::platform::BUILT {
        assert!(out.contains(&format!("({}) · ", platform.word)), "no message on {}: {out}", platform.word);
    }
    assert_eq!(site.run(&["demo", "--for", "soon"]).0, 2);
}
