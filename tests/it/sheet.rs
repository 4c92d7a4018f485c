//! Tables as the real program reads them: `tixing sheet`, and the child that reads workbooks.

use crate::harness::{
    book::{Book, texts, zip_of},
    program::Site,
};
use rust_xlsxwriter::{Format, Workbook};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, process::Command};
use tixing::schedule::{
    problem::Problem,
    sheet::{self, Reader, Source, TableSpec, Wanted},
};

fn site() -> Site {
    Site::new("sqlite:tixing.db", "http://127.0.0.1:1", "")
}

/// What `tixing sheet` says of a file, with its exit code.
fn told(bytes: &[u8], more: &[&str]) -> (i32, Value) {
    let site = site();
    fs::write(site.path("t"), bytes).expect("written");
    asked(&site, more)
}

fn asked(site: &Site, more: &[&str]) -> (i32, Value) {
    let (code, out, said) = site.run(&[&["sheet", "t", "--json"], more].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out:?} {said}")))
}

/// The rows' cells.
fn cells(told: &Value) -> Vec<Vec<&str>> {
    let rows = told["rows"].as_array().unwrap_or_else(|| panic!("{told}")).iter();
    rows.map(|row| row["cells"].as_array().expect("cells").iter().map(|cell| cell.as_str().expect("text")).collect())
        .collect()
}

/// The codes of the notes.
fn notes(told: &Value) -> Vec<&str> {
    told["notes"].as_array().expect("notes").iter().map(|note| note["code"].as_str().expect("a code")).collect()
}

/// The refusal's code and sentence.
fn refused(told: &(i32, Value)) -> (&str, &str) {
    let (code, told) = told;
    assert_eq!(*code, 1, "{told}");
    let error = &told["error"];
    (error["code"].as_str().expect("a code"), error["detail"].as_str().expect("a sentence"))
}

#[test]
fn a_table_is_shown_as_it_will_be_understood() {
    let (gbk, _, _) = encoding_rs::GB18030.encode("openid,编号\r\noA,1\r\n\r\noB,\"2\r\n3\"\r\noC,#N/A,x\r\n");
    let (code, told) = told(&gbk, &["--limit", "2"]);
    assert_eq!(code, 0);
    let ragged = &told["notes"][0];
    assert_eq!((ragged["code"].as_str(), ragged["row"].as_u64()), (Some("ragged"), Some(5)), "{told}");
    let expected = json!({
        "file": "t", "kind": "csv", "encoding": "gb18030", "delimiter": ",", "sheets": [], "sheet": null, "header": 1,
        "columns": ["openid", "编号"], "total": 3,
        "rows": [{"row": 2, "cells": ["oA", "1"]}, {"row": 4, "cells": ["oB", "2\n3"]}], "notes": [ragged],
    });
    assert_eq!(told, expected);
}

#[test]
fn people_are_told_in_their_language() {
    let site = site();
    fs::write(site.path("t"), "openid,名称,备注\noA,茶会,#REF!\n").expect("written");
    let (code, shown, said) = site.run(&["sheet", "t", "--lang", "zh"]);
    assert_eq!((code, said.as_str()), (0, ""));
    for words in ["编码 utf-8", "表头在第 1 行：共 3 列，数据 1 行", "B 名称", "茶会", "C2：", "#REF!"]
    {
        assert!(shown.contains(words), "{words} is missing: {shown}");
    }
    let (code, shown, said) = site.run(&["sheet", "nowhere.xlsx", "--lang", "zh"]);
    assert_eq!((code, shown.as_str(), said.as_str()), (1, "", "tixing: nowhere.xlsx：没有这个文件\n"));
    assert_eq!(site.run(&["sheet", "t", "--encoding", "latin-1"]).0, 2);
    assert!(!site.run(&["help"]).1.contains("sheet-child"), "it is for the program alone");
}

#[test]
fn a_workbook_says_what_its_sheet_shows() {
    let mut book = Workbook::new();
    book.add_worksheet().set_name("说明").expect("a name").set_hidden(true);
    let sheet = book.add_worksheet().set_name("名单").expect("a name").set_active(true);
    let write = |sheet: &mut rust_xlsxwriter::Worksheet, row: u32, number: f64, code: &str| {
        sheet.write_string(row, 0, format!("o{row}")).expect("written");
        sheet.write_number_with_format(row, 1, number, &Format::new().set_num_format(code)).expect("written");
    };
    sheet.write_string(2, 0, "openid").expect("written").write_string(2, 1, " 值\u{3000}").expect("written");
    let table = [
        (72_988.0, "00000000", "00072988"),
        (28.5, "0.00", "28.50"),
        (12_000.0, "#,##0", "12,000"),
        (0.15, "0%", "15%"),
        (28.5, "\"￥\"#,##0.00", "￥28.50"),
        (0.300_000_000_000_000_04, "General", "0.3"),
        (47_908.0, "yyyy\"年\"m\"月\"d\"日\";@", "2031-03-01"),
        (47_908.416_666_666_664, "[$-804]yyyy/m/d 上午/下午h:mm;@", "2031-03-01 10:00"),
        (0.416_666_666_666_666_7, "h:mm", "10:00"),
    ];
    for (row, (number, code, _)) in (3..).zip(table) {
        write(sheet, row, number, code);
    }
    sheet.write_string(12, 0, "o12").expect("written").write_boolean(12, 1, true).expect("written");
    sheet.write_string(13, 0, "o13").expect("written").write_formula(13, 1, "=1+1").expect("written");
    let (code, told) = told(&book.save_to_buffer().expect("a workbook"), &[]);
    assert_eq!(code, 0, "{told}");
    let sheets = json!([{"name": "说明", "hidden": true}, {"name": "名单", "hidden": false}]);
    assert_eq!(told["sheets"], sheets);
    assert_eq!(
        (&told["sheet"], &told["header"], &told["columns"]),
        (&json!("名单"), &json!(3), &json!(["openid", "值"]))
    );
    assert_eq!((&told["encoding"], &told["delimiter"]), (&Value::Null, &Value::Null));
    let mut expected: Vec<&str> = table.iter().map(|(.., shown)| *shown).collect();
    expected.extend(["TRUE", "0"]);
    assert_eq!(cells(&told).iter().map(|row| row[1]).collect::<Vec<_>>(), expected);
    assert_eq!(told["rows"][0]["row"], 4);
}

#[test]
fn a_workbook_from_any_program_is_read_by_the_same_rules() {
    let mut book = Book::new(
        r#"<row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>
        <row r="3"><c r="A3" t="s"><v>2</v></c><c r="B3" s="1"><v>46446.416666</v></c></row>
        <row r="4"><c r="B4" s="2"><v>0.5</v></c></row>
        <row r="5"><c r="A5" t="e"><v>#N/A</v></c><c r="B5"><f>A1</f></c></row>
        <row r="6"><c r="A6" t="str"><f>""</f><v></v></c><c r="B6"><v>123456789012345678</v></c></row>
        <row r="7"><c r="A7" t="inlineStr"><is><r><t>茶</t></r><r><t xml:space="preserve"> 会</t></r><rPh sb="0" eb="1"><t>チャ</t></rPh></is></c><c r="B7" t="d"><v>2031-03-01T10:00:00</v></c></row>
        <row r="8"><c r="A8" s="3"/><c r="B8" s="3"/></row>
        <row r="9"><c r="A9" t="b"><v>0</v></c><c r="B9" s="3"><v>47908</v></c><c r="Z9"><v>1</v></c></row>"#,
    );
    book.before = r#"<workbookPr date1904="1"/>"#.into();
    book.styles = r#"<numFmts><numFmt numFmtId="164" formatCode="yyyy&quot;年&quot;m&quot;月&quot;"/></numFmts>
        <cellStyleXfs><xf numFmtId="9"/></cellStyleXfs>
        <cellXfs><xf numFmtId="0"/><xf numFmtId="31"/><xf numFmtId="32"/><xf numFmtId="164"/></cellXfs>"#
        .into();
    book.strings = "<si><t>openid</t><phoneticPr/></si><si><t>值</t></si><si><r><t>两行_x000D_\n</t></r><r><t>&#25991;&amp;字 </t></r><rPh><t>x</t></rPh></si>".into();
    let (code, told) = told(&book.bytes(), &[]);
    assert_eq!(code, 0, "{told}");
    let expected: [&[&str]; 7] = [
        &["两行\n文&字", "2031-03-01 10:00"],
        &["", "12:00"],
        &["#N/A", ""],
        &["", "123456789012345680"],
        &["茶 会", "2031-03-01 10:00"],
        &["FALSE", "2035-03-02"],
        &[],
    ];
    assert_eq!(cells(&told), expected[..6].to_vec());
    assert_eq!(notes(&told), ["error_cell", "formula_without_result", "damaged_number"]);
    assert_eq!(told["notes"][1]["cell"], "B5");
}

#[test]
fn hidden_rows_are_told_merged_cells_are_filled_and_a_sheet_is_chosen() {
    let mut book = Book::new(&format!(
        r#"{}{}<row r="3" hidden="1"><c r="A3" t="inlineStr"><is><t>oB</t></is></c></row>{}<row r="6"/>{}"#,
        texts(1, &["openid", "名称", "城市"]),
        texts(2, &["oA", "茶会", "上海"]),
        texts(5, &["oC", "酒会"]),
        texts(9, &["oD", "展览"]),
    ));
    book.behind =
        r#"<mergeCells><mergeCell ref="A1:B1"/><mergeCell ref="C2:C3"/><mergeCell ref="B5:C7"/></mergeCells>"#.into();
    let (code, told) = told(&book.bytes(), &[]);
    assert_eq!((code, notes(&told)), (0, vec!["merged_filled", "hidden_rows"]), "{told}");
    assert_eq!(told["notes"][0]["row"], 2);
    let rows = [
        json!({"row": 2, "cells": ["oA", "茶会", "上海"]}),
        json!({"row": 3, "cells": ["oB", "", "上海"], "hidden": true}),
        json!({"row": 5, "cells": ["oC", "酒会", "酒会"]}),
        json!({"row": 6, "cells": ["", "酒会", "酒会"]}),
        json!({"row": 7, "cells": ["", "酒会", "酒会"]}),
        json!({"row": 9, "cells": ["oD", "展览", ""]}),
    ];
    assert_eq!(told["rows"], json!(rows));
    book.sheets =
        r#"<sheet name="旧" sheetId="1" state="veryHidden" r:id="rId1"/><sheet name="图" sheetId="2" r:id="rId9"/>"#
            .into();
    let site = site();
    fs::write(site.path("t"), book.bytes()).expect("written");
    assert_eq!(refused(&asked(&site, &[])).0, "no_header", "a hidden sheet is read only if it is named");
    assert_eq!(asked(&site, &["--sheet", "旧 "]).1["total"], 6);
    let missing = asked(&site, &["--sheet", "旧表"]);
    let (code, said) = refused(&missing);
    assert!(code == "no_file" && said.contains("it has: 旧"), "{said}");
}

/// Opens a table as a schedule does.
fn opened(bytes: &[u8], spec: &TableSpec) -> Result<Vec<u32>, Box<Problem>> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("t"), bytes).expect("written");
    let reader = Reader { program: env!("CARGO_BIN_EXE_tixing").into() };
    let source = Source { path: &folder.path().join("t"), name: "t" };
    let mut table = sheet::open(&reader, &source, spec, &[Wanted::Openid]).map_err(|mut all| all.remove(0))?;
    let mut rows = Vec::new();
    while let Some(row) = table.next()? {
        rows.push(row.number);
    }
    Ok(rows)
}

#[test]
fn a_filter_that_was_left_on_refuses_the_file_until_it_says_what_is_meant() {
    let hidden = r#"<row r="4" hidden="1"><c t="inlineStr"><is><t>oB</t></is></c></row>"#;
    let header = r#"<row r="1" hidden="1"><c t="inlineStr"><is><t>openid</t></is></c></row>"#;
    let rows = format!("{header}{}<row r=\"3\" hidden=\"1\"/>{hidden}{}", texts(2, &["oA"]), texts(60, &["oC"]));
    let book = Book::new(&rows).bytes();
    let spec = |hidden| TableSpec { hidden, ..TableSpec::default() };
    let problem = opened(&book, &spec(None)).expect_err("it is not clear who is meant");
    assert_eq!((problem.code, problem.place.row, problem.place.file.as_deref()), ("hidden_rows", None, Some("t")));
    assert!(problem.detail.to_string().contains("row 4 first"), "{}", problem.detail);
    assert_eq!(opened(&book, &spec(Some(sheet::Hidden::Skip))).expect("read"), [2, 60]);
    assert_eq!(opened(&book, &spec(Some(sheet::Hidden::Read))).expect("read"), [2, 4, 60]);
    let only = Book::new(&format!("{header}{}", texts(2, &["oA"]))).bytes();
    assert_eq!(opened(&only, &spec(None)).expect("a hidden header hides nobody"), [2]);
    let far = Book::new(&format!("{}{}", texts(1, &["openid"]), hidden.replace("\"4\"", "\"99\""))).bytes();
    let problem = opened(&far, &spec(None)).expect_err("far below");
    assert!(problem.detail.to_string().contains("row 99 first"), "{}", problem.detail);
}

#[test]
fn what_is_no_table_is_refused_by_what_it_is() {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let compound =
        |stream: &str| [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".as_slice(), &[0; 70_000], &wide(stream)].concat();
    let good = Book::new(&texts(1, &["openid"])).bytes();
    let table: Vec<(Vec<u8>, &str, &str)> = vec![
        (Vec::new(), "no_header", "empty"),
        (b"\n ,, \n".to_vec(), "no_header", "first 50 rows"),
        (compound("Workbook"), "old_excel", ".xls or .et"),
        (compound("EncryptedPackage"), "locked", "password"),
        (compound("WordDocument"), "not_a_table", "text document"),
        (zip_of(&[("xl/workbook.bin", b"")]), "not_a_table", ".xlsb"),
        (
            zip_of(&[("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"), ("content.xml", b"")]),
            "not_a_table",
            ".ods",
        ),
        (zip_of(&[("_rels/.rels", b""), ("word/document.xml", b"")]), "not_a_table", "text document"),
        (zip_of(&[("inner.xlsx", &good)]), "not_a_table", "without a workbook"),
        (zip_of(&[("../../xl/workbook.xml", b"<workbook/>")]), "not_a_table", "without a workbook"),
        (zip_of(&[]), "not_a_table", "without a workbook"),
        (b"<html><table><tr><td>openid</td></tr></table></html>".to_vec(), "not_a_table", "web page"),
        (b"%PDF-1.7\n".to_vec(), "not_a_table", "PDF"),
        (b"\x89PNG\r\n\x1a\n\0\0\0".to_vec(), "not_a_table", "picture"),
        (vec![7; 300], "not_a_table", "no text has"),
        (b"PK\x03\x04 and no more".to_vec(), "damaged", "damaged"),
        (good[..good.len() / 2].to_vec(), "damaged", "damaged"),
        (b"openid,name\noA,\xff\xff\xff\n".to_vec(), "encoding_unclear", "UTF-8"),
    ];
    for (bytes, code, words) in table {
        let told = told(&bytes, &[]);
        let (found, said) = refused(&told);
        assert!(found == code && said.contains(words), "{code} {words}: {found} {said}");
        assert!(code != "not_a_table" || said.contains("*.xlsx"), "it says the way out: {said}");
    }
}

#[test]
fn what_is_no_file_is_refused_without_waiting_for_it() {
    let site = site();
    assert_eq!(refused(&asked(&site, &[])).0, "no_file");
    fs::create_dir(site.path("t")).expect("made");
    let told = asked(&site, &[]);
    assert!(refused(&told).0 == "not_a_table" && refused(&told).1.contains("folder"), "{told:?}");
    fs::remove_dir(site.path("t")).expect("removed");
    rustix::fs::mkfifoat(rustix::fs::CWD, site.path("t"), rustix::fs::Mode::RUSR).expect("a pipe without a writer");
    assert_eq!(refused(&asked(&site, &[])).0, "not_a_table");
    fs::remove_file(site.path("t")).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", site.path("t")).expect("a device without an end");
    assert_eq!(refused(&asked(&site, &[])).0, "not_a_table");
    fs::remove_file(site.path("t")).expect("removed");
    fs::write(site.path("t"), "openid\noA\n").expect("written");
    fs::set_permissions(site.path("t"), fs::Permissions::from_mode(0o000)).expect("set");
    // Root may read everything.
    if fs::File::open(site.path("t")).is_err() {
        assert_eq!(refused(&asked(&site, &[])).0, "no_file");
    }
    fs::remove_file(site.path("t")).expect("removed");
    for (start, mib, most) in [(b"PK\x03\x04".to_vec(), 70, "64"), (b"a,b\n".repeat(20_000), 513, "512")] {
        let file = fs::File::create(site.path("t")).expect("made");
        std::io::Write::write_all(&mut &file, &start).expect("written");
        file.set_len(mib << 20).expect("a hole takes no room");
        let told = asked(&site, &[]);
        assert!(refused(&told).0 == "too_large" && refused(&told).1.contains(most), "{told:?}");
    }
}

#[test]
fn a_workbook_that_would_grow_without_end_ends_its_reader_alone() {
    let book = |rows: &str| Book::new(&format!("{}{rows}", texts(1, &["openid"])));
    let mut entities = book("");
    entities.prolog = r#"<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>"#.into();
    let mut huge = book("");
    huge.strings = format!("<si><t>{}</t></si>", "a".repeat(400 << 20));
    let sizes = [("xl/workbook.xml", vec![b' '; 1 << 20])];
    let sum: Vec<(&str, &[u8])> = sizes.iter().map(|(name, body)| (*name, body.as_slice())).collect();
    let table = [
        (entities.bytes(), "damaged", "document type"),
        (book(r#"<row r="2"><c t="inlineStr"><is><t>&b;</t></is></c></row>"#).bytes(), "damaged", "entity"),
        (book(r#"<row r="2"><c t="s"><v>7</v></c></row>"#).bytes(), "damaged", "is not there"),
        (book(r#"<row r="5"/><row r="4"/>"#).bytes(), "damaged", "out of order"),
        (book(r#"<row r="1048577"/>"#).bytes(), "too_large", "1048576"),
        (book(r#"<row r="2"><c r="XFE2"><v>1</v></c></row>"#).bytes(), "damaged", "last column"),
        (book("</sheetData></worksheet><worksheet><sheetData><row>").bytes(), "damaged", "damaged"),
        (huge.bytes(), "too_large", "more memory or time"),
        (zip_of(&sum), "damaged", "damaged"),
    ];
    for (bytes, code, words) in table {
        let told = told(&bytes, &[]);
        let (found, said) = refused(&told);
        assert!(found == code && said.contains(words), "{code} {words}: {found} {said}");
    }
}

#[test]
fn many_cells_that_share_a_long_text_and_many_blank_rows_are_read_in_little_memory() {
    let cells: String = (2..12_002).map(|row| format!(r#"<row r="{row}"><c t="s"><v>0</v></c></row>"#)).collect();
    let mut book = Book::new(&(texts(1, &["openid"]) + &cells));
    book.strings = format!("<si><t>{}</t></si>", "长".repeat(1_000_000));
    let (code, told) = told(&book.bytes(), &["--limit", "1"]);
    assert_eq!((code, told["total"].as_u64()), (0, Some(12_000)));
    assert_eq!(cells_of_first(&told).chars().count(), 32_767, "what no spreadsheet can have is cut");
    assert_eq!(told["notes"].as_array().map(Vec::len), Some(1_000));
    let blank: String = (2..1_000_000).map(|row| format!(r#"<row r="{row}"><c r="A{row}" s="1"/></row>"#)).collect();
    let book = Book::new(&(texts(1, &["openid"]) + &blank + &texts(1_048_576, &["oZ"])));
    let (code, told) = self::told(&book.bytes(), &[]);
    assert_eq!((code, told["rows"].clone()), (0, json!([{"row": 1_048_576, "cells": ["oZ"]}])));
}

fn cells_of_first(told: &Value) -> &str {
    told["rows"][0]["cells"][0].as_str().expect("a text")
}

#[test]
fn ten_thousand_columns_and_a_long_row_have_their_bounds() {
    let wide: Vec<String> = (0..10_000).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = wide.iter().map(String::as_str).collect();
    let (code, told) = told(&Book::new(&(texts(1, &names) + &texts(2, &["oA"]))).bytes(), &[]);
    assert_eq!((code, told["columns"].as_array().map(Vec::len)), (0, Some(10_000)), "{}", told["error"]);
    let (code, told) = self::told(format!("{}\noA\n", wide.join(",")).as_bytes(), &[]);
    assert_eq!((code, cells(&told)[0].len()), (0, 10_000));
    let long = format!("openid,名称\noA,{}\noB,x\n", "长".repeat(4_000_000));
    let (code, told) = self::told(long.as_bytes(), &[]);
    assert_eq!((code, told["total"].as_u64()), (0, Some(2)));
    assert!(notes(&told).contains(&"too_long"), "{:?}", told["notes"]);
    let told = self::told(&b"openid,name,".repeat(1_000_000), &[]);
    assert_eq!(refused(&told).0, "too_large", "a row without an end is no header");
}

/// Shells, editors and runners of jobs hand their open files on.
#[test]
fn a_workbook_is_read_however_many_open_files_the_program_was_given() {
    let site = site();
    fs::write(site.path("t"), Book::new(&(texts(1, &["openid"]) + &texts(2, &["oA"]))).bytes()).expect("written");
    let mut shell = Command::new("sh");
    let files = (3..10).map(|n| format!("{n}<t")).collect::<Vec<_>>().join(" ");
    let script = format!("exec {files}; exec \"$0\" sheet t --json");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_tixing")]).current_dir(site.path("."));
    let out = shell.output().expect("a shell");
    let told: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!((out.status.code(), &told["total"]), (Some(0), &json!(1)), "{told}");
}

#[test]
fn a_reader_that_ends_in_the_middle_never_leaves_half_a_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let workbook = folder.path().join("t.xlsx");
    fs::write(&workbook, Book::new(&texts(1, &["openid"])).bytes()).expect("written");
    // A frame of a head and one of a row, as the child would write them.
    let head = r#"{"sheets":[["S",false]],"sheet":"S","header":1,"columns":["openid"],"hidden":null,"merged":null}"#;
    let head = format!(r"printf '\{:o}\0\0\0H%s' '{head}'", head.len());
    let row = r"printf '\016\0\0\0R\02\0\0\0\0\01\0\01\02\0\0\0oA'";
    let end = r"printf '\0\0\0\0E'";
    let table = [
        ("exit 0".to_owned(), "damaged"),
        ("exit 101".to_owned(), "damaged"),
        (format!("{head}; {row}"), "damaged"),
        (format!("{head}; {row}; kill -ABRT $$"), "damaged"),
        (format!("{head}; {row}; kill -KILL $$"), "too_large"),
        (format!("{head}; {row}; kill -XCPU $$"), "too_large"),
        (format!("{head}; {row}; echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$"), "too_large"),
        (format!("{head}; {row}; {row}; {end}"), "damaged"),
        (format!("{row}; {end}"), "damaged"),
        ("yes".to_owned(), "damaged"),
        (format!("{head}; {row}; {end}"), "oA"),
    ];
    for (i, (script, expected)) in table.iter().enumerate() {
        let program = folder.path().join(format!("child{i}"));
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("set");
        let reader = Reader { program };
        let source = Source { path: &workbook, name: "t.xlsx" };
        let read = sheet::open(&reader, &source, &TableSpec::default(), &[]).map_err(|mut all| Box::new(all.remove(0)));
        let end = read.and_then(|mut table| {
            let mut last = String::new();
            while let Some(row) = table.next()? {
                last = row.cells[0].text().into_owned();
            }
            Ok(last)
        });
        assert_eq!(end.unwrap_or_else(|problem| problem.code.to_owned()), *expected, "{script}");
    }
    let reader = Reader { program: folder.path().join("nowhere") };
    let source = Source { path: &workbook, name: "t.xlsx" };
    let problem = sheet::open(&reader, &source, &TableSpec::default(), &[]).map(drop).expect_err("no program");
    assert!(problem[0].detail.to_string().contains("cannot be started"), "{}", problem[0].detail);
}
