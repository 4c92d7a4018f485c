//! The schedule files at the top of the project: they plan without a problem for the apps that `tixing init` writes.

use crate::harness::program::Site;
use serde_json::{Value, json};
use std::{fs, path::Path};

/// A folder as the manual has it: `tixing init`, and the files beside it.
fn site() -> (Site, Vec<String>) {
    let site = Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "");
    fs::remove_file(site.path("tixing.toml")).expect("there");
    assert_eq!(site.run(&["init"]).0, 0);
    let mut names = Vec::new();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules")).expect("a folder").flatten() {
        let name = file.file_name().into_string().expect("UTF-8");
        fs::copy(file.path(), site.path(&name)).expect("copied");
        names.push(name);
    }
    names.retain(|name| name.ends_with(".toml"));
    (site, names)
}

fn plan(site: &Site, name: &str) -> (i32, Value) {
    let (code, out, said) = site.run(&["plan", name, "--json"]);
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{name}: no JSON: {out}{said}")))
}

#[test]
fn every_schedule_file_to_start_from_plans_without_a_problem_or_a_note() {
    let (site, names) = site();
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        let (code, plan) = plan(&site, &name);
        assert_eq!((code, &plan["problems"], &plan["notes"]), (0, &json!([]), &json!([])), "{name}: {plan:#}");
        assert!(plan["rows"]["right"].as_u64() >= Some(5), "{name}: {plan:#}");
    }
}

#[test]
fn the_files_to_start_from_say_what_their_comments_say() {
    let (site, _) = site();
    let of = |name: &str| -> Vec<Value> {
        let (_, out, said) = site.run(&["plan", name, "--reminders"]);
        assert!(!out.is_empty(), "{said}");
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let tasting = of("tasting.toml");
    let times: Vec<&str> = tasting.iter().take(2).filter_map(|reminder| reminder["at"].as_str()).collect();
    assert_eq!(times, ["2031-02-28T11:30:00.000Z", "2031-03-01T10:30:00.000Z"], "a day and an hour before");
    let text = json!({ "thing1": "春季品鉴会", "thing5": "二楼露台 A3", "time2": "2031年3月1日 19:30" });
    assert_eq!(tasting[0]["data"], text);
    assert_eq!(tasting[4]["data"]["thing5"], "二楼露台 自由入座");
    let coupons = of("coupons.toml");
    assert_eq!(coupons.len(), 6);
    let at = coupons[0]["at"].as_str().expect("an instant");
    assert!(
        ("2031-03-07T02:00:00".."2031-03-07T02:10:00").contains(&&at[..19]),
        "{at}: three days before, within the spread"
    );
    assert_eq!(
        (&coupons[0]["key"], &coupons[0]["expires_at"]),
        (&json!("00001001"), &json!("2031-03-10T16:00:00.000Z"))
    );
    let text = json!({ "thing1": "拿铁买一送一", "amount3": "¥18.00", "date4": "2031年3月10日" });
    assert_eq!((&coupons[0]["data"], &coupons[0]["page"]), (&text, &json!("pages/coupon?no=00001001")));
}

#[test]
fn a_class_each_week_says_when_the_next_five_are_and_whom_the_next_one_reaches() {
    let (site, _) = site();
    let (_, plan) = plan(&site, "class.toml");
    let next: Vec<&str> = plan["next"].as_array().expect("a list").iter().filter_map(|n| n["event"].as_str()).collect();
    let mondays = ["03", "10", "17", "24", "31"].map(|day| format!("2031-03-{day}T11:00:00.000Z"));
    assert_eq!(next, mondays);
    assert_eq!(
        (&plan["recurs"], &plan["reminders"]["new"]),
        (&json!("every Monday at 19:00 (Beijing time), from 2031-03-01 until 2031-06-30"), &json!(0))
    );
    let allows = ["consent", "add", "--app", "coffee", "--openid", "o-demo-user-0000", "--template", "event-start"];
    assert_eq!(site.run(&allows).0, 0);
    let (_, out, said) = site.run(&["plan", "class.toml", "--reminders"]);
    let first: Value = serde_json::from_str(out.lines().next().unwrap_or_else(|| panic!("{said}"))).expect("JSON");
    let text = json!({ "thing1": "拉花课", "thing5": "一楼吧台 A组", "time2": "2031年3月3日 19:00" });
    assert_eq!(
        (&first["change"], &first["at"], &first["data"]),
        (&json!("later"), &json!("2031-03-03T09:00:00.000Z"), &text)
    );
}

#[test]
fn a_season_reminds_everybody_of_what_they_signed_up_for() {
    let (site, _) = site();
    let (_, out, said) = site.run(&["plan", "season.toml", "--reminders"]);
    let reminders: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(reminders.len(), 14, "seven rows, twice each: {said}");
    let text = json!({ "thing1": "开幕茶会", "thing5": "二楼露台 A3", "time2": "2031年3月1日 14:00" });
    assert_eq!((&reminders[0]["data"], &reminders[0]["page"]), (&text, &json!("pages/event?id=S1")));
    assert_eq!(reminders[2]["data"]["thing5"], "屋顶花园 自由入座", "the same person comes to another");
    // Who has one consent gets the reminder that stands first: two hours before.
    assert_eq!(
        site.run(&["consent", "add", "--app", "coffee", "--openid", "o-demo-user-0005", "--template", "event-start"]).0,
        0
    );
    assert_eq!(site.run(&["load", "season.toml", "--yes"]).0, 0);
    let (_, list, _) = site.run(&["reminder", "list", "--schedule", "season", "--json"]);
    let lines: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let found: Vec<_> = lines.iter().map(|one| [one["occasion"].clone(), one["at"].clone()]).collect();
    assert_eq!(found, [[json!("2h"), json!("2031-05-31T09:30:00.000Z")]], "{list}");
}
