//! `tixing schedules` and `/v1/schedules` as people use them, with a daemon and without one.

use crate::{
    harness::{
        apps, databases, fresh_url,
        program::{SandboxServer, Site},
    },
    in_use::{load, of_row, stored},
};
use reqwest::Method;
use serde_json::{Value, json};
use tixing::{
    clock::SystemClock,
    config::Durability,
    domain::{HOUR, MINUTE, Millis},
    store::{
        Store,
        schedules::{BeginLoad, Begun, FinishLoad},
    },
};

const NAME: &str = "春季 品鉴.v1";

/// What a load would leave behind: three rows an hour ahead with deadlines an hour later, a problem, and a user without a consent.
async fn fill(url: &str) -> Millis {
    let store =
        Store::open(url, Durability::Full, &apps("http://127.0.0.1:1"), SystemClock::shared()).await.expect("opens");
    let now = SystemClock::shared().now();
    let load = BeginLoad { path: Some("/lists/spring.toml".into()), ..load(NAME) };
    let Begun::Yes { id, nonce } = store.begin_load(load).await.expect("answers") else { panic!("begins") };
    let at = now + HOUR;
    stored(&store, (1..=3).map(|row| of_row(id, row + 1, &format!("o{row}"), at)).collect()).await;
    let report = json!({
        "problems": [{ "file": "a.csv", "row": 7, "cell": "C7", "code": "bad_time", "detail": { "say": "no_consent" }, "fix": null }],
        "more_problems": { "bad_time": 4 },
        "notes": [],
    });
    let finish = FinishLoad {
        digest: "d1".into(),
        first_at: Some(at),
        last_at: Some(at),
        report: report.to_string(),
        complete: true,
        recurs: None,
        upcoming: None,
        left_out: Vec::new(),
    };
    assert!(store.finish_load(id, &nonce, finish).await.expect("answers"));
    store.close().await;
    at
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marketer_looks_at_a_schedule_pauses_shifts_and_cancels_it() {
    for database in databases() {
        for with_daemon in [false, true] {
            eprintln!("on {database}, with a daemon: {with_daemon}");
            let sandbox = SandboxServer::start(1).await;
            let folder = tempfile::tempdir().expect("a folder");
            let url = fresh_url(database, folder.path());
            fill(&url).await;
            let site = Site::new(&url, &sandbox.url, "");
            let program = with_daemon.then(|| site.serve_with_key());
            let run = |args: &[&str]| site.run(&[&["schedules"], args].concat());
            let json_of = |args: &[&str]| -> Value {
                let (code, out, said) = run(&[args, &["--json"]].concat());
                assert_eq!(code, 0, "{args:?}: {said}");
                serde_json::from_str(&out).expect("JSON")
            };
            let shown = json_of(&["show", NAME]);
            assert_eq!(
                (&shown["state"], &shown["incomplete"], &shown["orphaned"]),
                (&json!("active"), &json!(false), &json!(false))
            );
            assert_eq!((&shown["reminders"]["scheduled"], &shown["shift_ms"]), (&json!(3), &json!(0)));
            assert_eq!(shown["text"], format!("name = \"{NAME}\""));
            let (_, table, _) = run(&["list", "--lang", "zh"]);
            assert!(table.contains(NAME) && table.contains("待发送"), "{table}");
            assert_eq!(run(&["list", "--state", "ended", "--json"]).1, "");
            assert_eq!(run(&["list", "--state", "asleep"]).0, 2);
            assert_eq!(run(&["show", "nobody"]).0, 4);
            let (_, told, _) = run(&["problems", NAME]);
            assert!(told.starts_with("a.csv:7 C7 bad_time: at its instant"), "in the reader's words: {told}");
            assert!(told.contains("4 more of bad_time"), "{told}");

            let (code, _, said) = run(&["pause", NAME]);
            assert!(code == 0 && said.contains("is paused"), "{said}");
            assert_eq!(json_of(&["show", NAME])["state"], "paused");
            let why = site.run(&["reminder", "explain", "--schedule", NAME, "--openid", "o1"]).1;
            assert!(
                why.contains("is paused since")
                    && why.contains("(file /lists/spring.toml), row 2 of its list, 1 d before"),
                "{why}"
            );
            let resumed = json_of(&["resume", NAME]);
            assert_eq!(
                (&resumed["expired"], &resumed["overdue"], &resumed["ahead"]),
                (&json!(0), &json!(0), &json!(3))
            );
            assert_eq!(resumed["state"], "active");

            let (code, _, said) = run(&["shift", NAME, "90m"]);
            assert!(code == 1 && said.contains("shift_too_far") && said.contains("3 reminders"), "{said}");
            assert_eq!(json_of(&["shift", NAME, "30m"])["shift_ms"], 30 * MINUTE);
            assert_eq!(json_of(&["shift", NAME, "-10m"])["shift_ms"], 20 * MINUTE);
            for bad in ["0m", "soon", "--30m"] {
                assert_eq!(run(&["shift", NAME, bad]).0, 1, "{bad}");
            }
            if let Some(program) = &program {
                let mut url = reqwest::Url::parse(&program.base).expect("a URL");
                url.path_segments_mut().expect("it has a path").extend(["v1", "schedules", NAME, "shift"]);
                let (_, planned) = program.post(&format!("{}?dry_run=true", url.path()), &json!({ "by": "-9h" })).await;
                let plan = json!({ "moves": 3, "at_once": 3, "too_far": 0 });
                assert_eq!((&planned["plan"], &planned["shift_ms"]), (&plan, &json!(20 * MINUTE)), "{planned}");
                let (_, planned) = program.post(&format!("{}?dry_run=true", url.path()), &json!({ "by": "10h" })).await;
                assert_eq!(planned["plan"]["too_far"], 3, "{planned}");
            }
            let list = site.run(&["reminder", "list", "--schedule", NAME, "--json"]).1;
            let items: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            let rows: Vec<&Value> = items.iter().map(|item| &item["row"]).collect();
            assert_eq!(rows, [&json!(2), &json!(3), &json!(4)]);
            assert_eq!((&items[0]["schedule"], &items[0]["occasion"]), (&json!(NAME), &json!("1d")));
            assert_eq!(site.run(&["reminder", "list", "--schedule", "nobody", "--json"]).1, "");
            let export = site.run(&["user", "export", "--app", "coffee", "--openid", "o1", "--json"]).1;
            assert!(export.contains(NAME), "{export}");

            assert_eq!(json_of(&["cancel", NAME])["reminders"]["cancelled"], 3);
            assert_eq!(json_of(&["cancel", NAME])["state"], "cancelled", "once more is no mistake");
            for verb in ["pause", "resume"] {
                assert_eq!(run(&[verb, NAME]).0, 1);
            }
            let why = site.run(&["reminder", "explain", "--schedule", NAME, "--openid", "o1", "--lang", "zh"]).1;
            assert!(why.starts_with("未发送：所属计划已被取消。") && why.contains("第 2 行"), "{why}");
            let why = site.run(&["reminder", "explain", "--schedule", NAME, "--openid", "o9"]).1;
            assert!(why.contains("has nothing for this user"), "{why}");
            assert_eq!(site.run(&["reminder", "explain"]).0, 2);
            assert_eq!(site.run(&["reminder", "explain", "--schedule", NAME]).0, 2);
            let shown = site.run(&["consent", "show", "--app", "coffee", "--openid", "o1", "--json"]).1;
            assert_eq!(serde_json::from_str::<Value>(&shown).expect("JSON")["balances"][0]["available"], 1, "{shown}");
            if let Some(program) = program {
                assert!(program.terminate().0.success());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_app_sees_no_schedule_and_one_that_may_only_look_changes_none() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    fill(&format!("sqlite:{}", site.path("tixing.db").display())).await;
    let program = site.serve();
    let key = |args: &[&str]| {
        let (code, key, said) = site.run(&[&["key", "create", "--name", "k", "--json"], args].concat());
        assert_eq!(code, 0, "{said}");
        serde_json::from_str::<Value>(&key).expect("JSON")["key"].as_str().expect("a key").to_owned()
    };
    let (tea, look) = (key(&["--app", "tea"]), key(&["--scope", "read"]));
    let mut url = reqwest::Url::parse(&program.base).expect("a URL");
    url.path_segments_mut().expect("it has a path").extend(["v1", "schedules", NAME]);
    let ask = async |method: Method, rest: &str, key: &str| {
        let request = program.http.request(method, format!("{url}{rest}")).bearer_auth(key);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(ask(Method::GET, "", &look).await, 200);
    assert_eq!(ask(Method::GET, "/problems", &look).await, 200);
    for (method, rest) in [(Method::POST, "/pause"), (Method::POST, "/resume"), (Method::DELETE, "")] {
        assert_eq!(ask(method.clone(), rest, &look).await, 403, "{rest}");
        assert_eq!(ask(method, rest, &tea).await, 404, "{rest}");
    }
    let list =
        program.http.get(format!("{}/v1/schedules", program.base)).bearer_auth(&tea).send().await.expect("an answer");
    assert_eq!(list.text().await.expect("text"), r#"{"items":[],"files":[]}"#);
    let metrics = program.http.get(format!("{}/metrics", program.base)).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    assert!(metrics.contains("tixing_schedules{app=\"coffee\",what=\"active\"} 1"), "{metrics}");
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_was_cut_off_is_told_of_by_list_stats_metrics_and_doctor() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    let url = format!("sqlite:{}", site.path("tixing.db").display());
    let store =
        Store::open(&url, Durability::Full, &apps("http://127.0.0.1:1"), SystemClock::shared()).await.expect("opens");
    store.begin_load(load("half")).await.expect("answers");
    store.close().await;
    let program = site.serve_with_key();
    let (_, stats) = program.get("/v1/stats").await;
    assert_eq!(stats["incomplete_schedules"], json!(["half"]), "{stats}");
    let (_, table, _) = site.run(&["schedules", "list"]);
    assert!(table.contains("active, incomplete"), "{table}");
    let metrics = program.http.get(format!("{}/metrics", program.base)).send().await.expect("an answer");
    assert!(metrics.text().await.expect("text").contains("tixing_schedules_incomplete{app=\"coffee\"} 1"));
    let (_, told, _) = site.run(&["doctor"]);
    assert!(told.contains("incomplete schedules") && told.contains("half"), "{told}");
    // Its task is dead with the daemon that had it: the next load goes on at once.
    let (_, shown) = program.get("/v1/schedules/half").await;
    assert_eq!(shown["task"]["alive"], false, "{shown}");
    assert!(program.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_says_what_it_means_for_what_comes_later_and_for_what_is_paused() {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "timezone = \"Asia/Shanghai\"");
    let file = site.path("class.toml");
    let text = "name = \"class\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = { cron = \"0 19 * * MON\" }\nconsent = \"at_fire\"\n\
        audience = [\"o1\", \"o2\"]\n[data]\nthing1 = \"读书会\"\ntime2 = \"{{@event | datetime}}\"\n";
    std::fs::write(&file, text).expect("written");
    let path = file.display().to_string();
    let load = |more: &[&str]| site.run(&[&["load", &path, "--yes"], more].concat());
    let (code, out, said) = load(&[]);
    assert!(
        code == 0 && out.contains("the next occurrence is") && out.contains("as of now, 2 reminders"),
        "{out}{said}"
    );
    assert!(!out.contains("is paused since"), "{out}");
    assert_eq!(site.run(&["schedules", "pause", "class"]).0, 0);
    let (_, out, _) = load(&["--lang", "zh"]);
    assert!(out.contains("class 自") && out.contains("下一场："), "{out}");
    let (_, _, said) = site.run(&["schedules", "cancel", "class"]);
    assert!(said.contains("It was paused and stays so"), "{said}");
    let (code, out, _) = load(&["--revive"]);
    assert!(code == 0 && out.contains("class is paused since"), "{out}");
}
