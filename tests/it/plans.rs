//! A marketer's file, planned and loaded by the real program: what is new, what is known again, what is refused.

use crate::harness::{
    databases, fresh_url,
    program::{SandboxServer, Site, now},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::fs;

const FIELDS: &str = "[data]\nthing1 = \"{{名称}}\"\ntime2 = \"{{@event | datetime}}\"\n";

/// A folder in which the program plans and loads.
struct Desk {
    site: Site,
    _store: tempfile::TempDir,
}

impl Desk {
    fn new(database: &str, platform: &str, app: &str) -> Self {
        let store = tempfile::tempdir().expect("a folder");
        let app = format!("timezone = \"Asia/Shanghai\"\n{app}");
        Self { site: Site::new(&fresh_url(database, store.path()), platform, &app), _store: store }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.site.path(name), text).expect("written");
    }

    /// The schedule file `name`.toml for the table `name`.csv, with more lines above its fields.
    fn schedule(&self, name: &str, when: &str, more: &str) {
        let head = format!("name = \"{name}\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = {when}\n{more}\n");
        let table =
            if more.contains("audience") { "" } else { "audience = { file = \"list.csv\", key = \"编号\" }\n" };
        self.write(&format!("{name}.toml"), &format!("{head}{table}{FIELDS}"));
    }

    fn table(&self, rows: impl IntoIterator<Item = (String, String, String)>) {
        let rows: String = rows.into_iter().map(|(openid, key, name)| format!("{openid},{key},{name}\n")).collect();
        self.write("list.csv", &format!("openid,编号,名称\n{rows}"));
    }

    fn grant(&self, openids: impl IntoIterator<Item = String>) {
        for openid in openids {
            let args = ["consent", "add", "--app", "coffee", "--openid", &openid, "--template", "event-start"];
            assert_eq!(self.site.run(&args).0, 0);
        }
    }

    fn run(&self, args: &[&str]) -> (i32, Value) {
        let (code, out, said) = self.site.run(&[args, &["--json"]].concat());
        let answer = serde_json::from_str(&out).unwrap_or_else(|_| panic!("no JSON: {out}{said}"));
        (code, answer)
    }

    /// The reminders of an app, by key of their row or openid.
    fn reminders(&self) -> Vec<Value> {
        let (_, out, _) = self.site.run(&["reminder", "list", "--app", "coffee", "--limit", "1000", "--json"]);
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn available(&self, openid: &str) -> u64 {
        let (_, shown) = self.run(&["consent", "show", "--app", "coffee", "--openid", openid]);
        shown["balances"][0]["available"].as_u64().unwrap_or_default()
    }
}

fn row(i: usize) -> (String, String, String) {
    (format!("o{i}"), format!("K{i}"), format!("第{i}场"))
}

/// A wall time in Shanghai, so many hours from now.
fn wall(hours: i64) -> String {
    let now = DateTime::<Utc>::from_timestamp_millis(now()).expect("a time") + TimeDelta::hours(8 + hours);
    now.format("%Y-%m-%dT%H:%M:00").to_string()
}

fn codes(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|problem| problem["code"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_file_again_changes_nothing_and_an_edited_one_just_what_was_edited() {
    for database in databases() {
        let desk = Desk::new(database, "http://127.0.0.1:1", "");
        let program = desk.site.serve_with_key();
        let accepted =
            |i| json!({ "app": "coffee", "openid": format!("o{i}"), "results": { "event-start": "accept" } });
        let reports: String = (0..101).map(|i| format!("{}\n", accepted(i))).collect();
        assert_eq!(program.batch("/v1/consents/batch", reports).await.len(), 101);
        desk.schedule("spring", "2031-03-01T10:00:00", "");
        desk.table((0..100).map(row));
        let (code, loaded) = desk.run(&["load", "spring.toml"]);
        assert_eq!((code, &loaded["loaded"]["new"]), (0, &100.into()), "{loaded}");
        let before = desk.reminders();
        assert_eq!(before.len(), 100);
        let (code, loaded) = desk.run(&["load", "spring.toml"]);
        assert_eq!((code, &loaded["reminders"]["same"], &loaded["loaded"]["new"]), (0, &100.into(), &0.into()));
        assert_eq!(desk.reminders(), before, "ids and all else stay");
        // From here on without the daemon: the command opens the store itself.
        assert!(program.terminate().0.success());

        // One edited, one deleted, one added.
        let mut rows: Vec<_> = (0..101).map(row).collect();
        rows[7].2 = "改名的一场".into();
        rows.remove(50);
        desk.table(rows.clone());
        let (code, loaded) = desk.run(&["load", "spring.toml"]);
        assert_eq!(code, 0, "{loaded}");
        let counted = ["new", "changed", "removed"].map(|name| loaded["loaded"][name].as_u64().expect("a number"));
        assert_eq!(counted, [1, 1, 1], "{loaded}");
        assert_eq!(loaded["reminders"]["same"], 98);
        assert_eq!(desk.available("o50"), 1, "its consent is free");
        let find = |reminders: &[Value], openid: &str| {
            let living = reminders.iter().find(|r| r["openid"] == *openid && r["state"] == "scheduled");
            living.cloned().unwrap_or_default()
        };
        let after = desk.reminders();
        assert_eq!(find(&after, "o7")["id"], find(&before, "o7")["id"], "the same id");
        assert_eq!(find(&after, "o7")["data"]["thing1"], "改名的一场");
        assert_eq!(desk.available("o7"), 0, "it keeps its consent");

        rows.push(row(50));
        desk.table(rows);
        let (_, loaded) = desk.run(&["load", "spring.toml"]);
        assert_eq!(loaded["loaded"]["new"], 1, "{loaded}");
        assert_ne!(find(&desk.reminders(), "o50")["id"], find(&before, "o50")["id"], "another id");

        // Most of the rows deleted by mistake.
        desk.table((0..30).map(row));
        let (code, refused) = desk.run(&["load", "spring.toml"]);
        assert_eq!((code, codes(&refused["problems"])), (1, vec!["removes_too_many"]), "{refused}");
        let (code, loaded) = desk.run(&["load", "spring.toml", "--allow-removals"]);
        assert_eq!((code, &loaded["loaded"]["removed"]), (0, &71.into()), "{loaded}");
    }
}

#[test]
fn a_file_whose_users_have_no_consents_says_that_nothing_will_be_sent() {
    let desk = Desk::new("sqlite", "http://127.0.0.1:1", "");
    desk.table([row(0), row(1)]);
    desk.schedule("spring", "2030-03-01T10:00:00", "");
    for command in [&["plan", "spring.toml"][..], &["load", "spring.toml"]] {
        let (code, out, said) = desk.site.run(command);
        assert!(code == 0 && out.contains("2 without a consent"), "{out}{said}");
        assert!(out.contains("nothing will be sent") && out.contains("tixing consent add"), "{out}{said}");
    }
    desk.grant(["o0".to_owned()]);
    let (_, out, said) = desk.site.run(&["load", "spring.toml"]);
    assert!(out.contains("loaded: 1 new") && !out.contains("nothing will be sent"), "{out}{said}");
    let (_, out, said) = desk.site.run(&["load", "spring.toml"]);
    assert!(out.contains("loaded: 0 new") && !out.contains("nothing will be sent"), "{out}{said}");
}

#[test]
fn an_instant_that_has_passed_is_left_out_and_a_row_without_one_is_refused() {
    let desk = Desk::new("sqlite", "http://127.0.0.1:1", "");
    desk.grant(["o0".to_owned(), "o0".to_owned()]);
    desk.table([row(0)]);
    desk.schedule("soon", &format!("{{ event = {}, before = [\"1d\", \"1h\"] }}", wall(5)), "");
    let (code, plan) = desk.run(&["plan", "soon.toml"]);
    assert_eq!((code, &plan["reminders"]["new"], &plan["reminders"]["late"]), (0, &1.into(), &1.into()), "{plan}");
    assert_eq!(codes(&plan["notes"]), ["late"]);
    desk.schedule("past", "2020-03-01T10:00:00", "");
    let (code, plan) = desk.run(&["plan", "past.toml"]);
    assert_eq!((code, codes(&plan["problems"])), (3, vec!["late"]), "{plan}");
    assert_eq!((&plan["rows"]["right"], &plan["rows"]["refused"]), (&0.into(), &1.into()), "{plan}");
    desk.schedule("soon", &format!("{{ event = {}, before = [\"1d\", \"1h\"] }}", wall(5)), "late = \"send\"");
    let (_, plan) = desk.run(&["plan", "soon.toml"]);
    assert_eq!(plan["reminders"]["new"], 2, "its deadline is the event: {plan}");
}

#[test]
fn one_consent_is_not_promised_twice_and_the_plan_says_who_holds_it() {
    let desk = Desk::new("sqlite", "http://127.0.0.1:1", "");
    desk.grant(["o0".to_owned()]);
    desk.table([row(0)]);
    for name in ["members-day", "spring"] {
        desk.schedule(name, "2031-03-01T10:00:00", "");
    }
    assert_eq!(desk.run(&["load", "members-day.toml"]).0, 0);
    let (code, plan) = desk.run(&["plan", "spring.toml"]);
    assert_eq!((code, &plan["reminders"]["no_consent"]), (0, &1.into()), "{plan}");
    let held = &plan["reach"]["held_elsewhere"];
    assert_eq!((&held[0]["by"], &held[0]["reminders"]), (&"members-day".into(), &1.into()), "{held}");
}

#[test]
fn everybody_with_a_consent_is_reached_and_nobody_is_removed() {
    let desk = Desk::new("sqlite", "http://127.0.0.1:1", "");
    desk.grant(["o1".to_owned(), "o2".to_owned()]);
    let file = |time: &str| {
        let text = format!(
            "name = \"all\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = {time}\naudience = \"consented\"\n[data]\nthing1 = \"读书会\"\ntime2 = \"{{{{@event | datetime}}}}\"\n"
        );
        desk.write("all.toml", &text);
    };
    file("2031-03-01T10:00:00");
    let (_, loaded) = desk.run(&["load", "all.toml"]);
    assert_eq!(loaded["loaded"]["new"], 2, "{loaded}");
    desk.grant(["o3".to_owned()]);
    let (_, loaded) = desk.run(&["load", "all.toml"]);
    assert_eq!((&loaded["reminders"]["same"], &loaded["loaded"]["new"]), (&2.into(), &1.into()), "{loaded}");
    file("2031-03-02T10:00:00");
    let (_, loaded) = desk.run(&["load", "all.toml"]);
    assert_eq!((&loaded["loaded"]["changed"], &loaded["loaded"]["removed"]), (&3.into(), &0.into()), "{loaded}");
}

#[test]
fn a_strict_load_with_a_wrong_row_loads_nothing() {
    let desk = Desk::new("sqlite", "http://127.0.0.1:1", "");
    desk.grant(["o0".to_owned(), "o1".to_owned()]);
    desk.table([row(0), ("o1".into(), "K1".into(), "一".repeat(21))]);
    desk.schedule("spring", "2031-03-01T10:00:00", "");
    let (code, loaded) = desk.run(&["load", "spring.toml", "--strict"]);
    assert_eq!((code, &loaded["loaded"]), (3, &Value::Null), "{loaded}");
    assert!(desk.reminders().is_empty());
    let (code, loaded) = desk.run(&["load", "spring.toml"]);
    assert_eq!((code, &loaded["loaded"]["new"]), (3, &1.into()), "{loaded}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_goes_to_testers_alone_and_counts_nowhere_else() {
    let sandbox = SandboxServer::start(1).await;
    let desk = Desk::new("sqlite", &sandbox.url, "testers = [\"o-colleague\"]");
    desk.schedule("spring", "2031-03-01T10:00:00", "");
    desk.table([row(0), row(1)]);
    let (code, refused) = desk.run(&["try", "spring.toml", "--to", "o0"]);
    assert_eq!((code, codes(&refused["problems"])), (1, vec!["not_a_tester"]), "{refused}");
    desk.grant(["o-colleague".to_owned()]);
    let (code, tried) = desk.run(&["try", "spring.toml", "--key", "K1"]);
    assert_eq!((code, &tried["row"], &tried["sent"][0]["openid"]), (0, &3.into(), &"o-colleague".into()), "{tried}");
    let sent = desk.reminders();
    assert_eq!((sent.len(), &sent[0]["data"]["thing1"]), (1, &"第1场".into()));
    assert_eq!(desk.available("o-colleague"), 0);
}

#[test]
fn the_only_consent_serves_the_reminder_that_takes_the_place_of_another() {
    let desk = Desk::new("sqlite", "http://127.0.0.1:1", "");
    desk.grant(["o0".to_owned()]);
    desk.table([row(0)]);
    desk.schedule("spring", "{ event = 2031-03-01T10:00:00, before = [\"1h\"] }", "");
    assert_eq!(desk.run(&["load", "spring.toml"]).1["loaded"]["new"], 1);
    desk.schedule("spring", "{ event = 2031-03-01T10:00:00, before = [\"90m\"] }", "");
    let (_, plan) = desk.run(&["plan", "spring.toml"]);
    let counted =
        |answer: &Value, list: &str| ["new", "removed"].map(|name| answer[list][name].as_u64().unwrap_or_default());
    assert_eq!((counted(&plan, "reminders"), &plan["reminders"]["no_consent"]), ([1, 1], &0.into()), "{plan}");
    assert_eq!((&plan["reach"]["with_consent"], &plan["reach"]["reminded"]), (&1.into(), &1.into()), "{plan}");
    let (_, loaded) = desk.run(&["load", "spring.toml"]);
    assert_eq!(counted(&loaded, "loaded"), [1, 1], "{loaded}");
    let (_, loaded) = desk.run(&["load", "spring.toml"]);
    assert_eq!((counted(&loaded, "loaded"), &loaded["reminders"]["same"]), ([0, 0], &1.into()), "{loaded}");
}

#[test]
fn the_only_consent_of_a_user_serves_another_row_when_theirs_becomes_somebody_elses() {
    let desk = Desk::new("sqlite", "http://127.0.0.1:1", "");
    desk.grant(["o0".to_owned(), "o1".to_owned()]);
    desk.table([row(0)]);
    desk.schedule("spring", "2031-03-01T10:00:00", "");
    assert_eq!(desk.run(&["load", "spring.toml"]).1["loaded"]["new"], 1);
    // The place is o1's now, and o0 has another.
    let [(first, k0, name), (second, k1, other)] = [row(0), row(1)];
    desk.table([(second, k0, name), (first, k1, other)]);
    let counted =
        |answer: &Value, list: &str| ["new", "removed"].map(|name| answer[list][name].as_u64().unwrap_or_default());
    let (_, plan) = desk.run(&["plan", "spring.toml"]);
    assert_eq!((counted(&plan, "reminders"), &plan["reminders"]["no_consent"]), ([2, 1], &0.into()), "{plan}");
    assert_eq!((&plan["reach"]["with_consent"], &plan["reach"]["reminded"]), (&2.into(), &2.into()), "{plan}");
    let (_, loaded) = desk.run(&["load", "spring.toml"]);
    assert_eq!(counted(&loaded, "loaded"), [2, 1], "{loaded}");
    let (_, loaded) = desk.run(&["load", "spring.toml"]);
    assert_eq!((counted(&loaded, "loaded"), &loaded["reminders"]["same"]), ([0, 0], &2.into()), "{loaded}");
}

#[test]
fn what_a_load_would_cancel_because_its_time_has_passed_is_counted_and_guarded() {
    let desk = Desk::new("sqlite", "http://127.0.0.1:1", "");
    desk.grant((0..25).map(|i| format!("o{i}")));
    desk.table((0..25).map(row));
    desk.schedule("spring", "2031-03-01T10:00:00", "");
    assert_eq!(desk.run(&["load", "spring.toml"]).1["loaded"]["new"], 25);
    // A typing error in the year.
    desk.schedule("spring", "2021-03-01T10:00:00", "");
    let (code, plan) = desk.run(&["plan", "spring.toml"]);
    assert_eq!((code, &plan["reminders"]["removed"]), (1, &25.into()), "{plan}");
    assert_eq!(codes(&plan["problems"])[0], "removes_too_many", "{plan}");
    assert_eq!(desk.run(&["load", "spring.toml"]).0, 1);
    assert!(desk.reminders().iter().all(|reminder| reminder["state"] == "scheduled"));
}

#[test]
fn who_accepts_after_a_shift_gets_the_message_at_the_shifted_instant() {
    let desk = Desk::new("sqlite", "http://127.0.0.1:1", "");
    desk.grant(["o0".to_owned()]);
    desk.table((0..2).map(row));
    desk.schedule("spring", "2031-03-01T10:00:00", "");
    assert_eq!(desk.run(&["load", "spring.toml"]).1["loaded"]["new"], 1);
    assert_eq!(desk.site.run(&["schedules", "shift", "spring", "30m"]).0, 0);
    desk.grant(["o1".to_owned()]);
    let (_, loaded) = desk.run(&["load", "spring.toml"]);
    assert_eq!((&loaded["loaded"]["new"], &loaded["reminders"]["same"]), (&1.into(), &1.into()), "{loaded}");
    let instants: Vec<Value> = desk.reminders().iter().map(|reminder| reminder["at"].clone()).collect();
    assert_eq!(instants, ["2031-03-01T02:30:00.000Z"; 2]);
    assert_eq!(loaded["last_at"], "2031-03-01T02:30:00.000Z", "{loaded}");
}

#[test]
fn a_schedule_that_is_not_utf8_is_refused_and_no_garbage_is_sent() {
    let desk = Desk::new("sqlite", "http://127.0.0.1:1", "");
    desk.table([row(0)]);
    desk.schedule("spring", "2031-03-01T10:00:00", "");
    let text = fs::read(desk.site.path("spring.toml")).expect("written");
    let gbk = String::from_utf8(text).expect("UTF-8").replace("{{名称}}", "茶会");
    let at = gbk.find("茶会").expect("there");
    let bytes = [&gbk.as_bytes()[..at], b"\xb2\xe8\xbb\xe1", &gbk.as_bytes()[at + "茶会".len()..]].concat();
    fs::write(desk.site.path("spring.toml"), bytes).expect("written");
    let (code, plan) = desk.run(&["plan", "spring.toml"]);
    let problem = &plan["problems"][0];
    assert_eq!((code, &problem["code"]), (1, &"bad_toml".into()), "{plan}");
    assert!(problem["line"].as_u64().is_some_and(|line| line > 1), "{plan}");
}

#[test]
fn a_file_that_cannot_be_used_is_refused_however_many_of_its_rows_are_wrong() {
    let desk = Desk::new("sqlite", "http://127.0.0.1:1", "");
    desk.grant(["o0".to_owned()]);
    desk.table([row(0)]);
    desk.schedule("spring", "2031-03-01T10:00:00", "");
    assert_eq!(desk.run(&["load", "spring.toml"]).0, 0);
    assert_eq!(desk.site.run(&["schedules", "cancel", "spring"]).0, 0);
    // More wrong rows than are listed.
    desk.table((0..1_100).map(|i| (format!("o{i}"), format!("K{i}"), "一".repeat(21))));
    let (code, plan) = desk.run(&["plan", "spring.toml"]);
    assert_eq!((code, codes(&plan["problems"])[0]), (1, "cancelled"), "{}", plan["more_problems"]);
    assert_eq!(desk.run(&["load", "spring.toml"]).0, 1);
}
