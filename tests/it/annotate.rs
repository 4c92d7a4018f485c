//! A marked workbook, by the real program: what is wrong stands where it is wrong, and the workbook read again says the same.

use crate::harness::program::Site;
use calamine::{Data, Reader, Xlsx};
use rust_xlsxwriter::{Format, Formula, Workbook};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufReader, Read},
    path::Path,
};

// The time is used twice, and each wrong cell is told once all the same.
const CHECKED: &str = "[data]\nthing1 = \"{{名称}}\"\ntime2 = \"{{开始时间 | datetime}}\"\n";

fn desk() -> Site {
    Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "timezone = \"Asia/Shanghai\"")
}

fn schedule(site: &Site, table: &str) {
    let head = "name = \"list\"\napp = \"coffee\"\ntemplate = \"event-start\"\nat = { column = \"开始时间\" }\n";
    let text = format!("{head}audience = {{ file = \"{table}\", key = \"编号\" }}\n{CHECKED}");
    fs::write(site.path("s.toml"), text).expect("written");
}

fn plan(site: &Site, more: &[&str]) -> (i32, Value) {
    let (code, out, said) = site.run(&[&["plan", "s.toml", "--json"], more].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("no JSON: {out}{said}")))
}

/// Row, cell and code of each problem.
fn places(plan: &Value) -> Vec<(u64, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let problems = plan["problems"].as_array().expect("problems").iter();
    problems.map(|p| (p["row"].as_u64().unwrap_or(0), text(&p["cell"]), text(&p["code"]))).collect()
}

fn reminders(site: &Site) -> String {
    let (_, out, said) = site.run(&["plan", "s.toml", "--reminders"]);
    assert!(!out.is_empty(), "{said}");
    out
}

/// The text of a part.
fn part(book: &Path, name: &str) -> String {
    let mut zip = zip::ZipArchive::new(File::open(book).expect("there")).expect("a zip");
    let mut text = String::new();
    zip.by_name(name).expect(name).read_to_string(&mut text).expect("text");
    text
}

fn sheets(book: &Path) -> Vec<(String, Vec<Vec<Data>>)> {
    let mut book: Xlsx<BufReader<File>> = calamine::open_workbook(book).expect("a workbook");
    let names = book.sheet_names();
    let rows = |range: calamine::Range<Data>| range.rows().map(<[Data]>::to_vec).collect();
    names.into_iter().map(|name| (name.clone(), rows(book.worksheet_range(&name).expect("a sheet")))).collect()
}

/// Marks the table, then names the marked workbook in the schedule: it says the same.
fn says_the_same_marked(site: &Site) -> Value {
    let (code, before) = plan(site, &["--annotate", "marked.xlsx"]);
    let right = reminders(site);
    schedule(site, "marked.xlsx");
    let (again, after) = plan(site, &[]);
    assert_eq!((code, places(&before)), (again, places(&after)), "{before:#}\n{after:#}");
    assert_eq!(reminders(site), right);
    before
}

#[test]
fn a_marked_list_has_the_same_problems_at_the_same_cells() {
    let site = desk();
    let long = "长".repeat(4_097);
    let rows = [
        "o1,K1,茶会,2031-03-01 10:00",
        ",K2,茶会,2031-03-01 10:00",
        "o3,1.23457E+17,茶会,2031-03-01 10:00",
        "o4,K4,,5/6",
        "",
        "o5,K5,#N/A,2031-02-30 10:00",
        "o6,K6,一二三四五六七八九十一二三四五六七八九十零,2031-03-01",
        "o7,K7,茶\u{1}会,2031-03-01 10:00",
        "o8,K8,茶会,2031-03-01 10:00,多",
        &format!("o9,K9,{long},2031-03-01 10:00"),
        "o10,K10,茶会,2031-03-01 10:00",
        "o11,K10,酒会,2031-03-01 10:00",
        "o12,K12,\"两行\n文字\",2031-03-01 10:00",
        "o13,'=1+1,=1+1,2031-03-01 10:00",
        "o14,00072988,+8613800138000,47908.5",
        "o15,K15,茶会,2020-03-01 10:00",
    ];
    let list = format!("openid,编号,名称,开始时间\n{}", rows.join("\n"));
    let (gbk, _, lost) = encoding_rs::GBK.encode(&list);
    assert!(!lost);
    fs::write(site.path("名单.csv"), &gbk).expect("written");
    schedule(&site, "名单.csv");
    let told = says_the_same_marked(&site);
    let codes: Vec<&str> =
        told["problems"].as_array().expect("a list").iter().filter_map(|p| p["code"].as_str()).collect();
    let kinds = ["bad_openid", "damaged_number", "no_value", "bad_time", "error_cell", "bad_field", "late", "ragged"];
    for code in kinds.into_iter().chain(["control_character", "too_long", "duplicate_key"]) {
        assert!(codes.contains(&code), "{code} is not among {codes:?}");
    }
    let mut once = places(&told);
    once.sort();
    once.dedup();
    assert_eq!(once.len(), codes.len(), "{told:#}");
    let marked = site.path("marked.xlsx");
    let found = sheets(&marked);
    assert_eq!((found[0].0.as_str(), found[1].0.as_str(), found.len()), ("Problems", "名单", 2));
    assert_eq!(found[0].1.len(), codes.len() + 1, "all of them stand on the first sheet");
    let comments = part(&marked, "xl/comments1.xml");
    for cell in ["A3", "B4", "C5", "D5", "C7", "D7", "C8", "D8", "C9", "A10", "C11", "B12", "B13", "C14", "A17"] {
        assert!(comments.contains(&format!("ref=\"{cell}\"")), "{cell} has no comment: {comments}");
    }
    let text = part(&marked, "xl/worksheets/sheet2.xml");
    assert!(!text.contains("<f>1+1"), "what begins with a sign of a formula is text: {text}");
    assert!(
        !fs::read_dir(site.folder.path())
            .expect("a folder")
            .flatten()
            .any(|f| f.file_name().as_encoded_bytes().starts_with(b".tixing"))
    );
}

#[test]
fn a_marked_workbook_keeps_what_the_first_one_showed() {
    let site = desk();
    let mut book = Workbook::new();
    book.add_worksheet().set_name("说明").expect("a name").set_hidden(true).write_string(0, 0, "x").expect("written");
    let page = book.add_worksheet().set_name("名单").expect("a name").set_active(true);
    let format = |code: &str| Format::new().set_num_format(code);
    let (day, zeros) = (format("yyyy\"年\"m\"月\"d\"日\" h:mm"), format("00000000"));
    page.merge_range(0, 0, 0, 3, "三月", &Format::new()).expect("merged");
    page.set_column_width(0, 33).expect("a width");
    for (column, name) in (0..).zip(["openid", "编号", "名称", "开始时间"]) {
        page.write_string(1, column, name).expect("written");
    }
    for (row, time) in (2..).zip([47_908.5, 47_909.416_666_67, 12.0, 47_910.0, 47_911.5]) {
        page.write_string(row, 0, format!("o{row}")).expect("written");
        page.write_number_with_format(row, 1, row, &zeros).expect("written");
        page.write_number_with_format(row, 3, time, &day).expect("written");
    }
    page.merge_range(2, 2, 4, 2, "茶会", &Format::new()).expect("merged");
    page.write_formula(5, 2, Formula::new("=1/0").set_result("#DIV/0!")).expect("written");
    page.write_number_with_format(6, 2, 0.15, &format("0%")).expect("written");
    book.save(site.path("list.xlsx")).expect("saved");
    schedule(&site, "list.xlsx");
    let told = says_the_same_marked(&site);
    // What is late has no cell, and marks the first of its row.
    let wanted = [(5, String::new(), "late".to_owned()), (6, "C6".to_owned(), "error_cell".to_owned())];
    let mut found = places(&told);
    found.sort();
    assert_eq!(found, wanted, "{told:#}");
    let marked = site.path("marked.xlsx");
    let found = sheets(&marked);
    assert_eq!(found[1].0, "名单");
    assert_eq!(found[1].1[3][2], Data::String("茶会".into()), "what was merged stands in each of its cells");
    assert!(part(&marked, "xl/worksheets/sheet2.xml").contains("width=\"33.7"), "the column is as wide");
    assert!(part(&marked, "xl/styles.xml").contains("00000000"));
    // Marked once more it is the same again, and the list of problems is not copied.
    let (_, _, said) = site.run(&["plan", "s.toml", "--annotate", "again.xlsx", "--lang", "zh"]);
    assert!(said.contains("again.xlsx：已标出 2 个问题"), "{said}");
    let again = sheets(&site.path("again.xlsx"));
    assert_eq!((again[0].0.as_str(), again.len(), &again[1]), ("问题", 2, &found[1]));
}

#[test]
fn a_marked_workbook_never_takes_the_place_of_what_is_read() {
    let site = desk();
    fs::write(site.path("list.xlsx"), "openid,编号,名称,开始时间\no1,1,茶会,2031-03-01 10:00\n").expect("written");
    schedule(&site, "list.xlsx");
    let before = fs::read(site.path("list.xlsx")).expect("there");
    for (target, word) in [("list.xlsx", "one of the files that are read"), ("out.csv", "must end in .xlsx")] {
        let (code, _, said) = site.run(&["plan", "s.toml", "--annotate", target]);
        assert!(code == 2 && said.contains(word), "{code} {said}");
    }
    let (code, _, said) = site.run(&["plan", "s.toml", "--annotate", "nowhere/out.xlsx"]);
    assert!(code == 1 && said.contains("nowhere/out.xlsx"), "{code} {said}");
    assert_eq!(fs::read(site.path("list.xlsx")).expect("there"), before);
    fs::write(site.path("list.xlsx"), "").expect("written");
    let (code, out, said) = site.run(&["plan", "s.toml", "--annotate", "out.xlsx"]);
    assert!(code == 1 && out.contains("list.xlsx") && said.contains("no table could be read"), "{code} {out}{said}");
    assert!(!site.path("out.xlsx").exists());
}

#[test]
fn a_marked_workbook_of_two_tables_says_how_the_schedule_names_each_sheet() {
    let site = desk();
    let head = "name = \"season\"\napp = \"coffee\"\ntemplate = \"event-start\"\n";
    let events = |file: &str, sheet: &str| {
        format!(
            "at = {{ events = {{ file = \"{file}\"{sheet}, key = \"编号\", column = \"开始时间\" }}, before = [\"1d\"] }}\n"
        )
    };
    let who = |file: &str, sheet: &str| format!("audience = {{ file = \"{file}\"{sheet}, event = \"场次\" }}\n");
    let data = "[data]\nthing1 = \"茶会\"\ntime2 = \"{{@event | datetime}}\"\n";
    fs::write(site.path("课程.csv"), "编号,开始时间\nE1,2031-03-01 10:00\nE2,5/6\n").expect("written");
    fs::write(site.path("名单.csv"), "openid,场次\no1,E1\no2,E9\n").expect("written");
    fs::write(site.path("s.toml"), format!("{head}{}{}{data}", events("课程.csv", ""), who("名单.csv", "")))
        .expect("written");
    let (_, out, said) = site.run(&["plan", "s.toml", "--annotate", "marked.xlsx", "--lang", "en"]);
    assert!(
        said.contains("each table with its sheet (课程, 名单)")
            || said.contains("each table with its sheet (课程 and 名单)"),
        "{out}{said}"
    );
    let (_, before) = plan(&site, &[]);
    let (course, people) = (", sheet = \"课程\"", ", sheet = \"名单\"");
    let text = format!("{head}{}{}{data}", events("marked.xlsx", course), who("marked.xlsx", people));
    fs::write(site.path("s.toml"), text).expect("written");
    let (_, after) = plan(&site, &[]);
    assert_eq!(places(&after), places(&before), "as it advises, it says the same: {after}");
}
