use super::*;
use crate::schedule::{
    example::{file, of},
    when::{point::Point, span::Span},
};

/// The problems of a file: line, code, fix.
fn problems(text: &str) -> Vec<(u32, &'static str, Option<String>)> {
    let refused = file(text).expect_err(text);
    refused.problems.into_iter().map(|p| (p.place.line.expect("a line"), p.code, p.fix)).collect()
}

fn codes(text: &str) -> Vec<&'static str> {
    problems(text).into_iter().map(|(_, code, _)| code).collect()
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_with_their_lines() {
    let text = r#"name = "e28"
app = "cofee"
template = "event-start"
at = 2031-03-01T10:00:00
audiance = "consented"
[data]
thing1 = "{{名称"
time2 = "x"
"#;
    let fix = |word: &str| Some(word.to_owned());
    let told = [(2, "unknown_app", fix("coffee")), (5, "unknown_key", fix("audience")), (7, "bad_template", None)];
    assert_eq!(problems(text), told);
    let refused = file(text).expect_err("refused");
    assert_eq!((refused.name.as_deref(), refused.app.as_deref()), (Some("e28"), Some("cofee")));
    assert_eq!(refused.template.as_deref(), Some("event-start"));
}

#[test]
fn a_good_file_says_what_it_says() {
    let text = r#"
name = "春季-tasting_1.0"
app = "coffee"
template = "event-start"
page = "pages/event?id={{编号}}"
expires = "2h"
late = "send"
quiet_hours = "22:00-08:00"
spread = "10m"
consent = "either"
strict = true
timezone = "Europe/Berlin"
lang = "en_US"
miniprogram_state = "trial"
at = { column = "到期时间", before = ["3d", "1w"], after = ["0d"], clock = 10:00:00 }
audience = { file = "holders.xlsx", sheet = "名单", openid = "用户", key = "券号", header = 3, hidden = "skip", encoding = "GBK", delimiter = "\t" }
exclude = ["ｏ3"]
[data]
thing1 = "{{活动名称}}{{活动名称 | short(3)}}"
time2 = "{{到期时间 | range(结束)}}"
"#;
    let file = file(text).expect("good");
    assert_eq!((&*file.name, &*file.app, &*file.template), ("春季-tasting_1.0", "coffee", "T-event-start"));
    assert_eq!(file.template_named, "event-start");
    assert_eq!(file.zone, chrono_tz::Europe::Berlin);
    assert_eq!((file.late, file.claims, file.strict, file.spread), (Late::Send, Claims::Either, true, 600_000));
    assert!(matches!(file.quiet, Quiet::Own(hours) if hours.zone == file.zone));
    assert_eq!(file.quiet_written.as_deref(), Some("22:00-08:00"));
    assert_eq!(file.expires, Expires::Known(Deadline::After(Span::parse("2h").expect("one"))));
    let names: Vec<String> = file.at.entries.iter().map(|entry| entry.name()).collect();
    assert_eq!(names, ["3d", "1w", "+0d"]);
    assert_eq!(file.at.clock, NaiveTime::from_hms_opt(10, 0, 0));
    assert_eq!(file.exclude, Some(Exclude::List(vec!["o3".into()])));
    assert!(file.in_english());
    let Audience::Table(table) = &file.audience else { panic!("{:?}", file.audience) };
    assert_eq!((&*table.file, table.spec.header, table.spec.delimiter), ("holders.xlsx", Some(3), Some('\t')));
    let column = |name: &str| Wanted::Column(name.to_owned());
    let wanted = ["用户", "券号", "到期时间", "编号", "活动名称", "结束"].map(column);
    assert_eq!(file.wanted(&|_| false), wanted);
}

#[test]
fn each_mistake_has_its_code() {
    let table = "audience = { file = \"a.csv\" }\n";
    for (head, data, expected) in [
        ("at = { event = 2031-03-01T10:00:00, cron = \"0 9 * * *\" }", "", &["bad_at"][..]),
        ("at = { event = 2031-03-01T10:00:00, before = [\"1h\"], clock = \"10:00\" }", "", &["bad_at"]),
        ("", "thing1 = \"x\"\nthing9 = \"y\"", &["missing_field", "unknown_field"]),
        ("", "thing1 = \"{{@event | datetme}}\"\ntime2 = \"10:00\"", &["bad_template"]),
        ("", "thing1 = \"{{名称}}\"\ntime2 = \"10:00\"", &["no_column"]),
        ("at = { cron = \"0 9 * * *\", form = 2031-01-01 }", "", &["unknown_key"]),
        ("at = { cron = \"* * * * *\" }", "", &["bad_at"]),
        ("at = { cron = \"*/30 * * * *\" }", "", &["bad_at"]),
        ("at = { cron = \"0 0 9 * * *\" }", "", &["bad_at"]),
        ("at = { cron = \"0 9 31 2 *\" }", "", &["bad_at"]),
        ("at = { cron = \"0 9 * * *\", from = 2031-03-01, until = 2031-02-01 }", "", &["bad_at"]),
        ("at = { cron = \"0 9 * * *\", from = 2031-03-01T10:00:00 }", "", &["bad_at"]),
        ("at = { cron = \"0 9 * * *\", ahead = \"1m\" }", "", &["bad_at"]),
        ("at = { cron = \"0 9 * * *\", ahead = \"8d\", misfire = \"twice\" }", "", &["bad_at", "bad_value"]),
        ("at = { cron = 7 }", "", &["bad_value"]),
        ("at = { events = { file = \"k.xlsx\", key = \"k\", colum = \"x\" } }", "", &["unknown_key"]),
        ("at = { events = { file = \"k.xlsx\", column = \"x\" } }", "", &["missing_key"]),
        ("at = { events = \"k.xlsx\" }", "", &["bad_at"]),
        ("at = { events = { file = \"k.xlsx\", key = \"k\", column = \"x\" }, from = 2031-01-01 }", "", &["bad_at"]),
        (&format!("{table}at = {{ column = \"a\", from = 2031-01-01 }}"), "", &["bad_at"]),
        ("audience = { file = \"a.csv\", event = \"b\" }", "", &["bad_at"]),
        (
            "at = { events = { file = \"k.csv\", key = \"k\", column = \"x\" }, ahead = \"1d\" }\naudience = { file = \"a.csv\", event = \"b\" }",
            "",
            &["bad_at"],
        ),
        ("at = {}", "", &["bad_at"]),
        ("at = { evnt = 2031-03-01T10:00:00 }", "", &["unknown_key"]),
        ("at = 2031-03-01", "", &["bad_at"]),
        ("at = 10:00:00", "", &["bad_at"]),
        ("at = 7", "", &["bad_at"]),
        ("at = \"5/6/2031 10:00\"", "", &["bad_at"]),
        ("at = \"2031-03-01 10:00-12:00\"", "", &["bad_at"]),
        ("at = { event = 2031-03-01T10:00:00, before = [\"0m\"] }", "", &["bad_at"]),
        ("at = { event = 2031-03-01T10:00:00, before = [\"1d\", \"1d\"] }", "", &["bad_at"]),
        ("at = { event = 2031-03-01T10:00:00, before = \"1d\" }", "", &["bad_at"]),
        ("at = { event = 2031-03-01T10:00:00, before = [\"1y\", \"2s\"] }", "", &["bad_at", "bad_at"]),
        ("expires = \"2y\"", "", &["bad_deadline"]),
        ("expires = 10:00:00", "", &["bad_deadline"]),
        ("expires = { column = \"x\" }", "", &["no_column"]),
        ("late = \"sent\"", "", &["bad_value"]),
        ("lang = \"zh\"", "", &["bad_value"]),
        ("quiet_hours = \"22:00\"", "", &["bad_value"]),
        ("spread = \"8d\"", "", &["bad_value"]),
        ("strict = \"yes\"", "", &["bad_value"]),
        ("timezone = \"Asia/Shanghai2\"", "", &["bad_value"]),
        ("name = \"a b\"", "", &["bad_value"]),
        ("template = \"coupn\"", "", &["unknown_template"]),
        ("page = \"pages/../a\"", "", &["bad_page"]),
        ("page = \"https://x\"", "", &["bad_page"]),
        ("page = \"pages/../{{编号}}\"", "", &["bad_page", "no_column"]),
        ("page = \"pages/a b?id={{编号}}\"", "", &["bad_page", "no_column"]),
        ("audience = []", "", &["no_rows"]),
        ("audience = [1]", "", &["bad_value"]),
        ("audience = \"consentd\"", "", &["bad_value"]),
        ("audience = { openid = \"a\" }", "", &["missing_key"]),
        ("audience = { file = \"a\", header = 0 }", "", &["bad_value"]),
        ("audience = { file = \"a\", delimiter = \",,\" }", "", &["bad_value"]),
        ("exclude = [\"\"]", "", &["bad_openid"]),
        ("", "thing1 = 5\ntime2 = \"10:00\"", &["bad_value"]),
        ("app = [", "", &["bad_toml"]),
    ] {
        let text = of(head, data);
        let mut found = codes(&text);
        found.sort_unstable();
        found.dedup_by(|a, b| a == b && *a == "bad_toml");
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_is_near_is_the_fix_and_missing_keys_are_named() {
    let fixes = |text: &str| problems(text).into_iter().filter_map(|(.., fix)| fix).collect::<Vec<_>>();
    assert_eq!(fixes(&of("late = \"skp\"", "")), ["skip"]);
    assert_eq!(fixes(&of("template = \"event-strat\"", "")), ["event-start"]);
    assert_eq!(fixes(&of("", "thing1 = \"x\"\ntime3 = \"y\"")), ["time2"]);
    assert_eq!(fixes(&of("", "thing1 = \"{{@evnt}}\"\ntime2 = \"{{@event | datetme}}\"")), ["@event", "datetime"]);
    assert_eq!(codes(""), ["missing_key"; 6]);
    let said = file("").expect_err("empty").problems[0].detail.to_string();
    assert!(said.contains("`name`"), "{said}");
    let large = format!("#{}", "x".repeat(MOST_BYTES));
    assert_eq!(codes(&large), ["too_large"]);
}

#[test]
fn times_are_taken_as_toml_and_as_text() {
    for (written, point) in [
        ("2031-03-01T10:00:00", "2031-03-01T10:00:00"),
        ("\"2031年3月1日 10点\"", "2031-03-01T10:00:00"),
        ("2031-03-01T10:00:00+08:00", "2031-03-01T10:00:00"),
        ("2031-03-01T02:00:00Z", "2031-03-01T10:00:00"),
        ("2031-03-01T10:00", "2031-03-01T10:00:00"),
    ] {
        let file = file(&of(&format!("at = {written}"), "")).expect(written);
        let Time::Fixed(found) = file.at.time else { panic!("{written}") };
        let wall = found.wall(file.zone).expect("a day").format("%Y-%m-%dT%H:%M:%S").to_string();
        assert_eq!(wall, point, "{written}");
    }
    let day = file(&of("at = { event = 2031-03-01, clock = \"9:30\" }\nexpires = 2031-03-02", "")).expect("good");
    assert!(matches!(day.at.time, Time::Fixed(Point::Date(_))));
    assert!(matches!(day.expires, Expires::Known(Deadline::At(Point::Date(_)))));
}

#[test]
fn long_lists_are_read_and_bounded() {
    let list = |n: usize| {
        let openids: Vec<String> = (0..n).map(|i| format!("\"o{i}\"")).collect();
        of(&format!("audience = [\n{}\n]", openids.join(",\n")), "")
    };
    let file = file(&list(10_000)).expect("good");
    assert!(matches!(file.audience, Audience::List(openids) if openids.len() == 10_000));
    assert_eq!(codes(&list(10_001)), ["too_large"]);
}
