use super::*;
use crate::{
    domain::timing::rfc3339,
    schedule::{
        example::{Sheet, of, rows},
        sheet::cell::Shows,
    },
};
use chrono::NaiveDate;

/// All rows of a file, which can be used, in short: `row key occasion at expires data` of what is planned, `row: cell code` of problems.
fn read(text: &str, sheet: Option<&Sheet>) -> (Vec<Planned>, Vec<Problem>, Vec<&'static str>) {
    let (read, notes) = rows(text, sheet).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    let (mut all, mut wrong, mut noted) =
        (Vec::new(), Vec::new(), notes.iter().map(|note| note.code).collect::<Vec<_>>());
    for row in read {
        match row {
            RowRead::Right { planned, notes } => {
                all.extend(planned);
                noted.extend(notes.iter().map(|note| note.code));
            }
            RowRead::Refused { problems, .. } => wrong.extend(problems),
        }
    }
    (all, wrong, noted)
}

/// Of each planned reminder: row, occasion, instant, deadline.
fn times(planned: &[Planned]) -> Vec<(u32, &str, String, String)> {
    let short = |at| rfc3339(at).replace(":00.000Z", "Z");
    planned.iter().map(|p| (p.row.unwrap_or(0), &*p.occasion, short(p.at), short(p.expires_at))).collect()
}

/// Of each problem: its row, column, code and field.
fn places(problems: &[Problem]) -> Vec<(u32, &str, &'static str, &str)> {
    let text = |text: &'static str, given: &Option<String>| given.clone().map_or(text, |given| given.leak());
    problems.iter().map(|p| (p.place.row.unwrap_or(0), text("", &p.place.column), p.code, text("", &p.param))).collect()
}

fn at(row: u32, occasion: &'static str, at: &str, expires: &str) -> (u32, &'static str, String, String) {
    (row, occasion, at.to_owned(), expires.to_owned())
}

const TABLE: &str = "audience = { file = \"a.csv\" }";

#[test]
fn occasions_come_in_the_order_in_which_they_are_listed() {
    let sheet = Sheet::new("openid|活动名称\noA|读书会\noB|读书会");
    let text = of(
        &format!("{TABLE}\nat = {{ event = 2031-03-01T10:00:00, before = [\"1h\", \"1d\"] }}"),
        "thing1 = \"{{活动名称}}\"\ntime2 = \"{{@event | datetime}}\"",
    );
    let (planned, wrong, notes) = read(&text, Some(&sheet));
    assert_eq!((wrong, notes), (vec![], vec![]));
    let expected = [
        at(2, "1h", "2031-03-01T01:00Z", "2031-03-01T02:00Z"),
        at(2, "1d", "2031-02-28T02:00Z", "2031-03-01T02:00Z"),
        at(3, "1h", "2031-03-01T01:00Z", "2031-03-01T02:00Z"),
        at(3, "1d", "2031-02-28T02:00Z", "2031-03-01T02:00Z"),
    ];
    assert_eq!(times(&planned), expected);
    assert!(!planned[0].moves);
    assert_eq!(planned[0].data, r#"{"thing1":"读书会","time2":"2031年3月1日 10:00"}"#);
    assert_eq!(rfc3339(planned[0].event), "2031-03-01T02:00:00.000Z");
}

#[test]
fn a_coupon_goes_three_days_before_at_ten_and_until_the_end_of_its_day() {
    let sheet = Sheet::new(
        "openid|券名|面额|到期时间\noA|拿铁买一送一|20|2031-03-10\noB|全场通用券|¥1,280.5|2031/3/11\noC|生日券|9.995|20310312",
    );
    let text = of(
        &format!(
            "{TABLE}\ntemplate = \"coupon\"\nat = {{ column = \"到期时间\", before = [\"3d\"], clock = \"10:00\" }}"
        ),
        "thing1 = \"{{券名}}\"\namount3 = \"{{面额 | amount}}\"\ndate4 = \"{{到期时间 | date}}\"",
    );
    let (planned, wrong, notes) = read(&text, Some(&sheet));
    assert_eq!((wrong, notes), (vec![], vec![]));
    let expected = [
        at(2, "3d", "2031-03-07T02:00Z", "2031-03-10T16:00Z"),
        at(3, "3d", "2031-03-08T02:00Z", "2031-03-11T16:00Z"),
        at(4, "3d", "2031-03-09T02:00Z", "2031-03-12T16:00Z"),
    ];
    assert_eq!(times(&planned), expected);
    let data: Vec<&str> = planned.iter().map(|p| &*p.data).collect();
    assert_eq!(
        data,
        [
            r#"{"amount3":"¥20.00","date4":"2031年3月10日","thing1":"拿铁买一送一"}"#,
            r#"{"amount3":"¥1280.50","date4":"2031年3月11日","thing1":"全场通用券"}"#,
            r#"{"amount3":"¥10.00","date4":"2031年3月12日","thing1":"生日券"}"#,
        ]
    );
}

#[test]
fn times_in_rows_are_read_as_people_write_them() {
    let sheet = Sheet::new(
        "openid|开始时间\noT2|2031-05-01 10:00\noT3|2031/5/1 9:05\noT8|２０３１／５／１　１０：００\noT10|5/6\noT11|2031-02-30 10:00\noT12|5/6/2031 10:00\noT13|2031-05-01\noT14|\noT15|2031-05-01 14:00-16:00\noT16|50000.5",
    );
    let text = of(&format!("{TABLE}\nat = {{ column = \"开始时间\" }}"), "");
    let (planned, wrong, notes) = read(&text, Some(&sheet));
    let instants: Vec<String> = planned.iter().map(|p| rfc3339(p.at)).collect();
    assert_eq!(
        instants,
        [
            "2031-05-01T02:00:00.000Z",
            "2031-05-01T01:05:00.000Z",
            "2031-05-01T02:00:00.000Z",
            "2031-05-01T06:00:00.000Z",
            "2036-11-21T04:00:00.000Z",
        ]
    );
    assert!(planned.iter().all(|p| p.moves));
    let bad = |row| (row, "开始时间", "bad_time", "");
    assert_eq!(places(&wrong), [bad(5), bad(6), bad(7), bad(8), (9, "开始时间", "no_value", "")]);
    let values: Vec<Option<&str>> = wrong.iter().map(|p| p.value.as_deref()).collect();
    assert_eq!(values, [Some("5/6"), Some("2031-02-30 10:00"), Some("5/6/2031 10:00"), Some("2031-05-01"), None]);
    assert_eq!(wrong[0].place.cell.as_deref(), Some("B5"));
    assert_eq!(notes, ["range_start", "serial_read"]);
}

#[test]
fn quiet_hours_move_an_instant_and_leave_out_what_has_no_time_left() {
    let head = "quiet_hours = \"22:00-08:00\"\nat = 2031-03-01T23:30:00";
    let (planned, wrong, notes) = read(&of(head, ""), None);
    assert_eq!(times(&planned), [at(1, "", "2031-03-02T00:00Z", "2031-03-02T15:30Z")]);
    assert_eq!((wrong, notes), (vec![], vec!["quiet_moved"]));
    // An hour before, and the event itself passes before the morning.
    let head = "quiet_hours = \"22:00-08:00\"\nat = { event = 2031-03-01T23:30:00, before = [\"1d\", \"1h\"] }";
    let (planned, wrong, notes) = read(&of(head, "thing1 = \"还有{{@left}}\"\ntime2 = \"{{@event}}\""), None);
    assert_eq!(times(&planned), [at(1, "1d", "2031-03-01T00:00Z", "2031-03-01T15:30Z")]);
    assert!(planned[0].data.contains("还有15小时"), "{}", planned[0].data);
    assert_eq!((wrong, notes), (vec![], vec!["quiet_moved", "quiet_moved", "quiet"]));
    let head = "quiet_hours = \"22:00-08:00\"\nat = { event = 2031-03-01T23:30:00, before = [\"1h\"] }";
    let (planned, wrong, _) = read(&of(head, ""), None);
    assert_eq!((planned, places(&wrong)), (vec![], vec![(1, "", "quiet", "")]));
}

#[test]
fn rows_that_have_shifted_are_refused_and_short_ones_have_blanks() {
    let sheet = Sheet::new("openid|名称|城市\noA|茶会|上海\noB|茶会|下午场|上海\noC|茶会");
    let data = "thing1 = \"{{名称}} {{城市 | default(线上)}}\"\ntime2 = \"{{@event | datetime}}\"";
    let (planned, wrong, _) = read(&of(TABLE, data), Some(&sheet));
    let data: Vec<bool> =
        planned.iter().zip(["茶会 上海", "茶会 线上"]).map(|(p, said)| p.data.contains(said)).collect();
    assert_eq!((data, planned.len()), (vec![true, true], 2));
    assert_eq!(places(&wrong), [(3, "", "ragged", "")]);
}

#[test]
fn a_value_that_breaks_its_rule_is_told_at_its_cell() {
    let sheet = Sheet::new("openid|名称\noA|两行\\n文字\noB|一二三四五六七八九十一二三四五六七八九十零");
    let data = "thing1 = \"{{名称 | oneline}}\"\ntime2 = \"{{@event | datetime}}\"";
    let (planned, wrong, _) = read(&of(TABLE, data), Some(&sheet));
    assert!(planned.len() == 1 && planned[0].data.contains("两行 文字"));
    assert_eq!(places(&wrong), [(3, "名称", "bad_field", "/data/thing1")]);
    let data = data.replace(" | oneline", "");
    let (_, wrong, _) = read(&of(TABLE, &data), Some(&sheet));
    assert_eq!(places(&wrong)[0], (2, "名称", "bad_field", "/data/thing1"));
}

#[test]
fn variables_and_formatters_say_what_is_meant() {
    let sheet = Sheet::new(
        "openid|名称|地点|开始|结束\noA|春季品鉴会暨新品发布与会员答谢晚宴活动||2031-03-01 9:30|2031-03-01 11:00\noB|茶会|三楼301室|2031-03-01 22:00|2031-03-02 2:00",
    );
    let text = of(
        &format!("{TABLE}\ntemplate = \"event-place\"\nat = {{ column = \"开始\", before = [\"1d\"] }}"),
        "thing1 = \"{{名称|short(20)}}\"\ntime2 = \"{{ 开始 | range(结束) }}\"\nthing5 = \"{{地点 | default(见活动页)}} 还有{{@left}}\"",
    );
    let (planned, wrong, _) = read(&text, Some(&sheet));
    assert_eq!(wrong, []);
    let data: Vec<&str> = planned.iter().map(|p| &*p.data).collect();
    assert_eq!(
        data,
        [
            r#"{"thing1":"春季品鉴会暨新品发布与会员答谢晚宴活动","thing5":"见活动页 还有1天","time2":"2031年3月1日 09:30~11:00"}"#,
            r#"{"thing1":"茶会","thing5":"三楼301室 还有1天","time2":"2031年3月1日 22:00~2031年3月2日 02:00"}"#,
        ]
    );
}

#[test]
fn a_pages_variables_cannot_leave_their_place() {
    let sheet = Sheet::new("openid|编号|路径\noA|A&B 中文/1?#%|pages/x\noB|7|../evil");
    let text = of(&format!("{TABLE}\npage = \"pages/event?id={{{{编号}}}}&from=mp\""), "");
    let (planned, wrong, _) = read(&text, Some(&sheet));
    let pages: Vec<&str> = planned.iter().filter_map(|p| p.page.as_deref()).collect();
    assert_eq!(pages, ["pages/event?id=A%26B%20%E4%B8%AD%E6%96%87%2F1%3F%23%25&from=mp", "pages/event?id=7&from=mp"]);
    assert_eq!(wrong, []);
    let text = of(&format!("{TABLE}\npage = \"{{{{路径 | raw}}}}?id={{{{编号}}}}\""), "");
    let (planned, wrong, _) = read(&text, Some(&sheet));
    assert_eq!(planned[0].page.as_deref(), Some("pages/x?id=A%26B%20%E4%B8%AD%E6%96%87%2F1%3F%23%25"));
    assert_eq!(places(&wrong), [(3, "路径", "bad_page", "/page")]);
    assert_eq!(wrong[0].place.cell.as_deref(), Some("C3"));
    // What is too long is the page as it is encoded, and not the cell.
    let sheet = Sheet::new(&format!("openid|编号\noA|{}", "字".repeat(150)));
    let text = of(&format!("{TABLE}\npage = \"pages/event?id={{{{编号}}}}\""), "");
    let (_, wrong, _) = read(&text, Some(&sheet));
    assert_eq!(places(&wrong), [(2, "编号", "bad_page", "/page")]);
    let said = wrong[0].detail.to_string();
    assert!(said.contains("1365 characters once") && said.contains("at most 1024"), "{said}");
}

#[test]
fn a_column_that_is_missing_by_one_sign_is_told_with_its_line() {
    let sheet = Sheet::new("openid|名称\noA|茶会");
    let text = of(TABLE, "thing1 = \"{{名稱}}\"\ntime2 = \"10:00\"");
    let problems = rows(&text, Some(&sheet)).expect_err("no such column");
    assert_eq!((problems[0].code, problems[0].place.line), ("no_column", Some(7)));
    assert_eq!((problems[0].fix.as_deref(), problems.len()), (Some("名称"), 1));
}

#[test]
fn a_wall_time_in_a_gap_moves_on_and_one_in_a_fold_is_the_first() {
    let berlin = |at: &str| of(&format!("app = \"berlin\"\nat = {at}"), "thing1 = \"x\"\ntime2 = \"10:00\"");
    let (planned, _, notes) = read(&berlin("2031-03-30T02:30:00"), None);
    assert_eq!((rfc3339(planned[0].at), notes), ("2031-03-30T01:30:00.000Z".into(), vec!["gap"]));
    let (planned, _, notes) = read(&berlin("2031-10-26T02:30:00"), None);
    assert_eq!((rfc3339(planned[0].at), notes), ("2031-10-26T00:30:00.000Z".into(), vec!["fold"]));
    // A day before counts days of the calendar, 24 hours before counts hours.
    let text = berlin("{ event = 2031-03-30T12:00:00, before = [\"1d\", \"24h\"] }");
    let (planned, ..) = read(&text, None);
    let instants: Vec<String> = planned.iter().map(|p| rfc3339(p.at)).collect();
    assert_eq!(instants, ["2031-03-29T11:00:00.000Z", "2031-03-29T10:00:00.000Z"]);
}

#[test]
fn everything_that_is_wrong_with_a_row_is_told_and_the_openid_is_not() {
    let long = "y".repeat(129);
    let sheet = Sheet::new(&format!(
        "openid|k|名称|时间\n|{long}|#N/A|5/6\n秘密 openid||字|2031-05-01 10:00\n1.23457E+17|k|字|2031-05-01 10:00\noD|1.2E+9|字|2031-05-01 10:00\noE|k|字|oE"
    ))
    .with(5, 2, Cell::Formula);
    let text = of(
        "audience = { file = \"a.csv\", key = \"k\" }\nat = { column = \"时间\" }",
        "thing1 = \"{{名称}}\"\ntime2 = \"{{openid}}\"",
    );
    let (_, wrong, _) = read(&text, Some(&sheet));
    let expected = [
        (2, "openid", "bad_openid", ""),
        (2, "k", "too_long", ""),
        (2, "时间", "bad_time", ""),
        (2, "名称", "error_cell", "/data/thing1"),
        (2, "openid", "no_value", "/data/time2"),
        (3, "openid", "bad_openid", ""),
        (3, "k", "no_value", ""),
        (3, "openid", "bad_field", "/data/time2"),
        (4, "openid", "damaged_number", ""),
        (4, "openid", "bad_field", "/data/time2"),
        (5, "k", "damaged_number", ""),
        (5, "名称", "formula_without_result", "/data/thing1"),
        (5, "openid", "bad_field", "/data/time2"),
        (6, "时间", "bad_time", ""),
        (6, "openid", "bad_field", "/data/time2"),
    ];
    assert_eq!(places(&wrong), expected);
    let of_users = wrong.iter().filter(|p| p.place.column.as_deref() == Some("openid"));
    for problem in of_users {
        let said = format!("{:?} {}", problem.value, problem.detail);
        assert!(!said.contains("秘密") && !said.contains("1.23457") && problem.value.is_none(), "{said}");
    }
}

#[test]
fn cells_of_a_workbook_are_taken_as_they_are() {
    let day = NaiveDate::from_ymd_opt(2031, 3, 10).expect("a day");
    let (date, noon) = (day.and_hms_opt(0, 0, 0).expect("a time"), day.and_hms_opt(12, 0, 0).expect("a time"));
    let sheet = Sheet::new("openid|名称|时间\noA|x|x\noB|x|x\noC|x|x\noD|x|x\noE|x|x")
        .with(2, 2, Cell::Time { at: noon, shows: Shows::DateTime })
        .with(3, 2, Cell::Time { at: date, shows: Shows::DateTime })
        .with(4, 2, Cell::Time { at: date, shows: Shows::Date })
        .with(5, 2, Cell::Time { at: noon, shows: Shows::Time })
        .with(6, 2, Cell::Number { text: "47,914".into(), value: 47_914.416_666_666_67 })
        .with(2, 1, Cell::Bool(true))
        .with(3, 1, Cell::Number { text: "00072988".into(), value: 72_988.0 })
        .with(6, 1, Cell::Damaged("1234567890123456".into()));
    let text = of(&format!("{TABLE}\nat = {{ column = \"时间\" }}"), "thing1 = \"{{名称}}\"\ntime2 = \"{{时间}}\"");
    let (planned, wrong, _) = read(&text, Some(&sheet));
    let data: Vec<&str> = planned.iter().map(|p| &*p.data).collect();
    assert_eq!(
        data,
        [
            r#"{"thing1":"TRUE","time2":"2031年3月10日 12:00"}"#,
            r#"{"thing1":"00072988","time2":"2031年3月10日 00:00"}"#,
        ]
    );
    assert_eq!(
        places(&wrong),
        [
            (4, "时间", "bad_time", ""),
            (4, "时间", "bad_field", "/data/time2"),
            (5, "时间", "bad_time", ""),
            (6, "名称", "damaged_number", "/data/thing1"),
            (6, "时间", "bad_field", "/data/time2"),
        ]
    );
}

#[test]
fn deadlines_are_durations_times_columns_or_the_event() {
    let sheet = Sheet::new("openid|时间|截止\noA|2031-03-10 10:00|2031-03-10\noB|2031-03-10 10:00|2031-03-09");
    let table = |expires: &str, entries: &str| {
        of(&format!("{TABLE}\nexpires = {expires}\nat = {{ column = \"时间\"{entries} }}"), "")
    };
    for (expires, entries, expected, moves) in [
        ("\"2h\"", "", "2031-03-10T04:00Z", true),
        ("\"1d\"", ", before = [\"1d\"]", "2031-03-10T02:00Z", true),
        ("2031-03-11", "", "2031-03-11T16:00Z", false),
        ("\"event\"", ", before = [\"1d\"]", "2031-03-10T02:00Z", false),
        ("{ column = \"截止\" }", "", "2031-03-10T16:00Z", false),
    ] {
        let (planned, ..) = read(&table(expires, entries), Some(&sheet));
        assert_eq!((times(&planned)[0].3.as_str(), planned[0].moves), (expected, moves), "{expires}");
    }
    let (_, wrong, _) = read(&table("{ column = \"截止\" }", ""), Some(&sheet));
    assert_eq!(places(&wrong), [(3, "截止", "bad_deadline", "")]);
    let (_, wrong, _) = read(&table("\"event\"", ""), Some(&sheet));
    assert_eq!(places(&wrong), [(2, "时间", "bad_deadline", ""), (3, "时间", "bad_deadline", "")]);
    let (planned, ..) = read(&table("\"event\"", ", before = [\"1h\"]"), Some(&sheet));
    assert_eq!(planned.len(), 2);
}

#[test]
fn a_clock_alone_is_that_day_at_that_time() {
    let sheet = Sheet::new("openid|日期\noA|2031-03-10\noB|2031-03-10 18:00");
    let text = of(&format!("{TABLE}\nat = {{ column = \"日期\", clock = \"10:00\" }}"), "");
    let (planned, ..) = read(&text, Some(&sheet));
    let expected =
        [at(2, "", "2031-03-10T02:00Z", "2031-03-11T02:00Z"), at(3, "", "2031-03-10T02:00Z", "2031-03-11T02:00Z")];
    assert_eq!(times(&planned), expected);
    assert!(planned[1].data.contains("18:00"));
}

#[test]
fn a_spread_is_the_same_each_time_and_below_its_bound() {
    let list: Vec<String> = (0..200).map(|i| format!("\"o{i}\"")).collect();
    let text = of(&format!("spread = \"10m\"\naudience = [{}]", list.join(",")), "");
    let (first, ..) = read(&text, None);
    let (second, ..) = read(&text, None);
    assert_eq!(first, second);
    let base = 1_930_096_800_000;
    assert!(first.iter().all(|p| (base..base + 600_000).contains(&p.at)));
    let late = first.iter().filter(|p| p.at >= base + 300_000).count();
    assert!((60..140).contains(&late), "{late} of 200 in the second half");
    assert!(first.iter().all(|p| p.expires_at == p.at + 86_400_000));
}

#[test]
fn a_message_may_tell_how_much_time_is_left_in_the_users_language() {
    let at = "at = { event = 2031-03-01T10:00:00, before = [\"1w\", \"1h\", \"30m\"], after = [\"2h\"] }";
    let said = |head: &str| {
        let (planned, ..) = read(&of(&format!("{at}\n{head}"), "thing1 = \"{{@left}}\"\ntime2 = \"{{@at}}\""), None);
        planned.iter().map(|p| p.data.split('"').nth(3).unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(said(""), ["1周", "1小时", "30分钟", "2小时"]);
    assert_eq!(said("lang = \"en_US\""), ["1 week", "1 hour", "30 minutes", "2 hours"]);
}

#[test]
fn an_instant_centuries_ahead_is_a_typing_error() {
    let problems = rows(&of("at = 2931-03-01T10:00:00", ""), None).expect_err("too far");
    assert_eq!((problems[0].code, problems[0].place.line), ("bad_at", Some(5)));
    let sheet =
        Sheet::new("openid|时间\noA|2931-03-01 10:00\noB|2020-03-01 10:00\noC|2040-01-01 10:00\noD|2041-03-01 10:00");
    let (planned, wrong, _) = read(&of(&format!("{TABLE}\nat = {{ column = \"时间\" }}"), ""), Some(&sheet));
    assert_eq!(places(&wrong), [(2, "时间", "bad_time", ""), (5, "时间", "bad_time", "")]);
    // What has passed is told when it is compared with what is stored.
    assert_eq!(planned.len(), 2);
}
