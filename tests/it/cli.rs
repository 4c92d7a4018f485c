//! The command line as people use it: against a daemon, and without one.

use crate::harness::program::{SandboxServer, Site};
use serde_json::Value;
use std::process::Stdio;

#[test]
fn a_command_that_meets_a_daemon_just_starting_waits_for_it() {
    for database in crate::harness::databases() {
        let folder = tempfile::tempdir().expect("a folder");
        let site = Site::new(&crate::harness::fresh_url(database, folder.path()), "http://127.0.0.1:1", "");
        if database == "postgres" {
            // A command that is there first finds no store, and says so.
            assert_eq!(site.run(&["migrate"]).0, 0);
        }
        for _ in 0..3 {
            let daemon = std::thread::scope(|scope| {
                let daemon = scope.spawn(|| site.serve());
                // As soon as anything of the store is there.
                let begun = || {
                    let names = std::fs::read_dir(folder.path()).expect("a folder").flatten();
                    names.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("tixing.db"))
                };
                while database == "sqlite" && !begun() {
                    std::thread::yield_now();
                }
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

/// What a command writes to a terminal of so many columns.
fn on_terminal(site: &Site, args: &[&str], columns: usize) -> String {
    let program = site.command(args);
    let words: Vec<String> = std::iter::once(program.get_program())
        .chain(program.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let line = format!("stty cols {columns} rows 50; exec {}", words.join(" "));
    let mut script = std::process::Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .current_dir(site.folder.path())
        .env("SECRET", "app-secret")
        .env("LANG", "C");
    script.env("TERM", "xterm").env_remove("LC_ALL").env_remove("TIXING_CONFIG").stdin(Stdio::null());
    let done = script.output().expect("util-linux has script");
    String::from_utf8(done.stdout).expect("UTF-8").replace('\r', "")
}

/// As WeChat gives them.
const OPENID: &str = "o6_bmjrPTlm6_2sgVt7hMZOPfL2M";

fn add(site: &Site, openid: &str, more: &[&str]) -> String {
    let base = ["reminder", "add", "--app", "coffee", "--openid", openid, "--template", "event-start", "--accepted"];
    let data = ["--data", "thing1=周三读书会", "--data", "time2=10:00"];
    let (code, id, said) = site.run(&[&base[..], more, &data[..]].concat());
    assert_eq!(code, 0, "{said}");
    id.trim().to_owned()
}

#[test]
fn a_list_fits_the_terminal_with_whole_ids_and_is_separated_by_tabs_in_a_pipe() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "timezone = \"Asia/Shanghai\"");
    let id = add(&site, OPENID, &["--at", "2030-03-01T10:00"]);
    let shown = on_terminal(&site, &["reminder", "list"], 80);
    assert!(shown.contains(&id) && shown.contains(OPENID) && shown.contains("at +08:00"), "{shown}");
    for line in shown.lines() {
        assert!(unicode_width::UnicodeWidthStr::width(line) <= 80, "{line}");
    }
    let (_, piped, _) = site.run(&["reminder", "list"]);
    let cells: Vec<&str> = piped.lines().nth(1).expect("a row").split('\t').collect();
    assert_eq!(cells[..4], ["2030-03-01 10:00:00+08:00", &id, "scheduled", OPENID], "{piped}");
    let (_, shown, _) = site.run(&["reminder", "show", &id]);
    assert!(shown.contains("2030-03-01 10:00:00+08:00") && shown.contains("周三读书会"), "{shown}");
}

#[test]
fn reminders_are_changed_and_cancelled_by_id_by_key_and_by_what_they_have_in_common() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "timezone = \"Asia/Shanghai\"");
    let ids: Vec<String> = (0..5)
        .map(|n| add(&site, &format!("o{n}"), &["--at", "2030-03-01T10:00", "--key", &format!("k{n}")]))
        .collect();
    let show =
        |id: &str| -> Value { serde_json::from_str(&site.run(&["reminder", "show", id, "--json"]).1).expect("JSON") };
    let (code, _, said) = site.run(&["reminder", "patch", &ids[0], "--data", "thing1=周四读书会", "--page", "pages/a"]);
    assert_eq!(code, 0, "{said}");
    let changed = show(&ids[0]);
    assert_eq!((&changed["data"]["thing1"], &changed["data"]["time2"]), (&"周四读书会".into(), &"10:00".into()));
    let (code, _, said) =
        site.run(&["reminder", "change", "--app", "coffee", "--key", "k1", "--at", "2030-03-02T10:00"]);
    assert!(code == 0 && said.contains("2030-03-02 10:00:00+08:00"), "{said}");
    assert_eq!(site.run(&["reminder", "change", &ids[0]]).0, 2, "nothing to change");
    // One that is not there keeps nobody back.
    let (code, _, said) = site.run(&["reminder", "cancel", &ids[0], "r_0000000000000", &ids[1]]);
    assert!(code == 3 && said.contains("1 of 3"), "{code} {said}");
    assert_eq!((&show(&ids[0])["state"], &show(&ids[1])["state"]), (&"cancelled".into(), &"cancelled".into()));
    assert_eq!(site.run(&["reminder", "cancel", &ids[2], "--dry-run"]).0, 2, "a single one is not counted");
    assert_eq!(show(&ids[2])["state"], "scheduled");
    let all = ["--app", "coffee", "--from", "2030-03-01T00:00", "--to", "2030-03-02T00:00"];
    let run = |verb: &[&str], more: &[&str]| site.run(&[&["reminder"], verb, &all[..], more].concat());
    let (code, _, said) = run(&["shift", "30m"], &[]);
    assert!(code == 2 && said.contains("--expect 3"), "{said}");
    let (code, _, said) = run(&["shift", "30m"], &["--expect", "2"]);
    assert!(code == 1 && said.contains("--expect:"), "{said}");
    assert_eq!(run(&["shift", "30m"], &["--expect", "3"]).0, 0);
    assert_eq!(show(&ids[2])["at"], "2030-03-01T02:30:00.000Z");
    let (code, said, _) = run(&["cancel"], &["--dry-run", "--json"]);
    assert!(code == 0 && said.contains("\"count\":3"), "{said}");
    let (code, _, said) = run(&["cancel"], &["--yes"]);
    assert!(code == 0 && said.contains("3 reminders cancelled"), "{said}");
    assert_eq!(site.run(&["reminder", "list", "--state", "cancelled", "--json"]).1.lines().count(), 5);
    assert_eq!(site.run(&["reminder", "cancel"]).0, 2, "it must be said which");
}

#[test]
fn an_instant_may_be_said_from_now_on_and_an_error_names_the_flag_that_was_written() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "timezone = \"Asia/Shanghai\"");
    let id = add(&site, "o1", &["--at", "+90m"]);
    let shown: Value = serde_json::from_str(&site.run(&["reminder", "show", &id, "--json"]).1).expect("JSON");
    let at = |name: &str| {
        chrono::DateTime::parse_from_rfc3339(shown[name].as_str().expect("a time")).expect("one").timestamp_millis()
    };
    let ahead = at("at") - at("created_at");
    assert!((90 * 60_000 - 5_000..=90 * 60_000).contains(&ahead), "{ahead} ms: {shown}");
    let base = ["reminder", "add", "--app", "coffee", "--openid", "o2", "--template", "event-start", "--accepted"];
    for (wrong, flag) in [
        (["--at", "+2x", "--expires-at", "2h", "--data", "thing1=x"], "--at:"),
        (["--at", "+2h", "--expires-at", "soon", "--data", "thing1=x"], "--expires-at:"),
        (["--at", "+2h", "--expires-at", "2h", "--data", "thing1="], "--data thing1:"),
    ] {
        let (code, _, said) = site.run(&[&base[..], &wrong[..], &["--data", "time2=10:00"]].concat());
        assert!(code == 1 && said.contains(flag) && !said.contains(": /"), "{wrong:?}: {said}");
        let (_, _, said) = site.run(&[&base[..], &wrong[..], &["--data", "time2=10:00", "--json"]].concat());
        let error: Value = serde_json::from_str(&said).expect("JSON");
        assert!(error["error"]["param"].as_str().is_some_and(|param| param.starts_with('/')), "{said}");
    }
    let (_, dry, _) = site.run(
        &[&base[..], &["--at", "+2h", "--data", "thing1=x", "--data", "time2=10:00", "--dry-run", "--json"]].concat(),
    );
    assert!(dry.contains("\"dry_run\":true"), "{dry}");
    assert_eq!(site.run(&["reminder", "list", "--json"]).1.lines().count(), 1, "nothing was stored");
}

#[test]
fn what_a_terminal_would_obey_is_never_sent_to_it() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "timezone = \"Asia/Shanghai\"");
    assert_eq!(site.run(&["migrate"]).0, 0);
    let bad = "\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}";
    std::fs::write(site.path("a.csv"), format!("openid,name\no1,{bad}\n")).expect("written");
    std::fs::write(site.path("a.toml"), format!("name = 'x{bad}'\n")).expect("written");
    std::fs::write(site.path("a.ndjson"), format!("{{\"app\":\"{}\"}}\n", "\\u001b[31m")).expect("written");
    for args in [
        &["reminder", "list", "--app", bad][..],
        &["reminder", "list", "--state", bad],
        &["reminder", "add", "--file", "a.ndjson"],
        &["key", "create", "--name", bad],
        &["key", "list"],
        &["key", "list", "--json"],
        &["sheet", "a.csv"],
        &["sheet", "a.csv", "--json"],
        &["plan", "a.toml"],
        &["plan", "a.toml", "--json"],
        &["check", "--config", bad],
        &["schedules", "show", bad],
        &["verify", bad],
        &["init", "--platform", bad],
        &[bad],
    ] {
        let (_, out, said) = site.run(args);
        let sent: String = format!("{out}{said}").chars().filter(|c| c.is_control() || *c == '\u{202e}').collect();
        assert!(sent.chars().all(|c| matches!(c, '\n' | '\t')), "{args:?}: {out:?} {said:?}");
    }
    let shown = on_terminal(&site, &["key", "list"], 80);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{9b}'), "{shown:?}");
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let (code, _, said) = site.run(&["man", "share/man1"]);
    assert!(code == 0 && said.contains("manual pages"), "{said}");
    for name in ["tixing.1", "tixing-serve.1", "tixing-reminder-change.1"] {
        let page = std::fs::read_to_string(site.path("share/man1").join(name)).expect("there");
        assert!(page.contains("EXIT STATUS") && page.contains("EXAMPLES"), "{page}");
    }
    let (_, help, _) = site.run(&["reminder", "add", "--help"]);
    assert!(help.contains("Examples:") && help.contains("--at +5s"), "{help}");
}

#[test]
fn an_app_is_paused_and_resumed_and_everything_that_looks_says_so() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "timezone = \"Asia/Shanghai\"");
    let id = add(&site, "o1", &["--at", "2030-03-01T10:00"]);
    let (code, _, said) = site.run(&["app", "pause", "coffee", "nobody"]);
    assert!(code == 3 && said.contains("coffee is paused") && said.contains("nobody:"), "{code} {said}");
    let (_, listed, _) = site.run(&["app", "list", "--json"]);
    let coffee = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .find(|app| app["app"] == "coffee");
    assert!(coffee.expect("listed")["paused_at"].is_string(), "{listed}");
    let (_, why, _) = site.run(&["reminder", "explain", &id]);
    assert!(why.contains("an operator has paused its app"), "{why}");
    assert_eq!(site.run(&["app", "resume", "coffee"]).0, 0);
    let (_, why, _) = site.run(&["reminder", "explain", &id]);
    assert!(!why.contains("paused"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_resumed_while_its_platform_refuses_it_is_said_to_stay_paused() {
    let sandbox = SandboxServer::start(1).await;
    let site = Site::new("sqlite:tixing.db", &sandbox.url, "timezone = \"Asia/Shanghai\"");
    let program = site.try_serve_with(&[("SECRET", "wrong")]).expect("it starts");
    add(&site, "o1", &["--at", "+0s"]);
    let list = || site.run(&["app", "list", "--lang", "en"]).1;
    let begun = std::time::Instant::now();
    while !site.run(&["app", "list", "--json"]).1.contains("\"paused_until\":\"") {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{}", list());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(site.run(&["app", "pause", "coffee"]).0, 0);
    let listed = list();
    assert!(listed.contains("by an operator; beside that until ") && listed.contains("because of 40125"), "{listed}");
    let (code, _, said) = site.run(&["app", "resume", "coffee"]);
    assert!(code == 0 && said.contains("it stays paused until ") && said.contains("40125"), "{code} {said}");
    let listed = list();
    assert!(!listed.contains("operator"), "{listed}");
    assert!(program.terminate().0.success());
}

#[test]
fn a_sandbox_whose_port_is_taken_says_what_to_do_and_may_be_tried_again() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, _, said) = site.run(&["sandbox", "--listen", &address]);
    assert!(code == 75 && said.contains(&address) && said.contains("--listen"), "{code} {said}");
}

#[test]
fn what_is_passed_over_or_may_count_twice_is_told_on_the_command_line_too() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let program = site.serve();
    let user = ["--app", "coffee", "--openid", "o1", "--template", "event-start"];
    let consent = |more: &[&str]| site.run(&[&["consent", "add"], &user[..], more].concat());
    assert_eq!(consent(&[]).2, "");
    let (code, _, said) = consent(&[]);
    assert!(code == 0 && said.contains("a few seconds before"), "{said}");
    let (code, _, said) = consent(&["--template", "nobody-knows", "--event", "tap-1"]);
    assert!(code == 0 && said.contains("nobody-knows: "), "{said}");
    let data = ["--at", "+1h", "--data", "thing1=周三读书会", "--data", "time2=10:00"];
    let reminder = |more: &[&str]| site.run(&[&["reminder", "add", "--accepted"], &user[..], &data, more].concat());
    let (code, _, said) = reminder(&[]);
    assert!(code == 0 && said.contains("`event`"), "{said}");
    assert_eq!(reminder(&["--event", "tap-2"]).0, 0);
    let (_, history, _) = site.run(&["consent", "show", "--app", "coffee", "--openid", "o1", "--history", "--json"]);
    assert!(history.contains("tap-2"), "{history}");
    assert!(program.terminate().0.success());
}
