//! Schedule files with what they must come to, row by row: `tests/schedules/`.

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const TEMPLATES: &str = r#"
[[app.template]]
name = "event-start"
id = "T-event-start"
kind = "one-time"
title = "活动开始提醒"
fields = { thing1 = "活动名称", time2 = "开始时间" }

[[app.template]]
name = "event-place"
id = "T-event-place"
kind = "one-time"
title = "活动开始提醒"
fields = { thing1 = "活动名称", time2 = "开始时间", thing5 = "活动地点" }

[[app.template]]
name = "coupon"
id = "T-coupon"
kind = "one-time"
title = "优惠券到期提醒"
fields = { thing1 = "券名", amount3 = "面额", date4 = "到期时间" }

[[app.template]]
name = "coupon2"
id = "T-coupon2"
kind = "one-time"
title = "优惠券到账提醒"
fields = { thing1 = "券名", amount3 = "面额", thing5 = "说明" }
"#;

fn app(name: &str, zone: &str) -> String {
    format!(
        "[[app]]\nname = \"{name}\"\nplatform = \"wechat\"\nappid = \"wx{name}\"\nsecret = {{ file = \"secret\" }}\n\
         base_url = \"http://127.0.0.1:1\"\ntimezone = \"{zone}\"\n{TEMPLATES}\n"
    )
}

/// A folder with a configuration, an empty store, and the files of an example.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(example: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "[server]\nsocket = \"s.sock\"\n[store]\nurl = \"sqlite:tixing.db\"\n{}{}",
            app("coffee", "Asia/Shanghai"),
            app("berlin", "Europe/Berlin")
        );
        fs::write(folder.path().join("tixing.toml"), config).expect("written");
        fs::write(folder.path().join("secret"), "s").expect("written");
        for file in fs::read_dir(example).expect("an example").flatten() {
            fs::copy(file.path(), folder.path().join(file.file_name())).expect("copied");
        }
        Self(folder)
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let done = Command::new(env!("CARGO_BIN_EXE_tixing"))
            .args(args)
            .current_dir(self.0.path())
            .env_remove("TIXING_CONFIG")
            .env("LANG", "C")
            .output()
            .expect("runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (done.status.code().expect("an exit code"), text(done.stdout), text(done.stderr))
    }

    fn grant(&self, user: &str, times: u64) {
        let (app, openid) = user.split_once('/').unwrap_or(("coffee", user));
        for _ in 0..times {
            let mut args = vec!["consent", "add", "--app", app, "--openid", openid];
            for template in ["event-start", "event-place", "coupon", "coupon2"] {
                args.extend(["--template", template]);
            }
            let (code, _, said) = self.run(&args);
            assert_eq!(code, 0, "{said}");
        }
    }
}

/// Whether each member of `part` is in `whole` as it is there.
fn has(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, part)| has(whole.get(name).unwrap_or(&Value::Null), part))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| has(whole, part))
        }
        _ => whole == part,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What is wrong about a step, if anything.
fn faults(desk: &Desk, step: &Value) -> Vec<String> {
    let args: Vec<&str> = list(&step["run"]).iter().filter_map(Value::as_str).collect();
    let (code, json, said) = desk.run(&[&args[..], &["--json"]].concat());
    let plan: Value = serde_json::from_str(&json).unwrap_or_default();
    let mut faults = Vec::new();
    let mut expect = |good: bool, what: String| {
        if !good {
            faults.push(what);
        }
    };
    expect(step["exit"] == code, format!("exit {code}"));
    expect(has(&plan, &step["json"]) || step["json"].is_null(), format!("wanted {}", step["json"]));
    for note in list(&step["notes"]) {
        expect(list(&plan["notes"]).iter().any(|found| found["code"] == *note), format!("no note {note}"));
    }
    let problems = list(&plan["problems"]);
    for wanted in list(&step["problems"]) {
        expect(problems.iter().any(|found| has(found, wanted)), format!("no problem {wanted}"));
    }
    let of_rows = |problems: &[Value]| problems.iter().filter(|problem| problem["row"].is_u64()).count();
    expect(of_rows(problems) == of_rows(list(&step["problems"])), format!("{} problems of rows", of_rows(problems)));
    if let Some(wanted) = step["reminders"].as_array() {
        let (_, lines, _) = desk.run(&[&args[..], &["--reminders"]].concat());
        let found: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        expect(found.len() == wanted.len(), format!("{} reminders", found.len()));
        for (found, wanted) in found.iter().zip(wanted) {
            expect(has(found, wanted), format!("wanted {wanted}, found {found}"));
        }
    }
    if faults.is_empty() { faults } else { [faults, vec![format!("{json:.1500}\n{said}")]].concat() }
}

#[test]
fn schedule_files_come_to_what_the_examples_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schedules");
    let mut examples: Vec<PathBuf> = fs::read_dir(root).expect("there").flatten().map(|entry| entry.path()).collect();
    examples.sort();
    let mut faulty = Vec::new();
    for example in &examples {
        let Ok(text) = fs::read_to_string(example.join("expected.json")) else { continue };
        let expected: Value = serde_json::from_str(&text).expect("JSON");
        let desk = Desk::new(example);
        for (user, times) in expected["consents"].as_object().into_iter().flatten() {
            desk.grant(user, times.as_u64().expect("a number"));
        }
        for step in list(&expected["steps"]) {
            let faults = faults(&desk, step);
            if !faults.is_empty() {
                faulty.push(format!("{} {}: {}", expected["id"], step["run"], faults.join("\n  ")));
            }
        }
    }
    assert!(examples.len() > 10);
    assert!(faulty.is_empty(), "{}", faulty.join("\n\n"));
}
