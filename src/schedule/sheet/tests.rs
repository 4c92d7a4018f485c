//! Tables of CSV as a schedule reads them.

use super::{cell::Cell, *};
use encoding_rs::{BIG5, GB18030};

fn opened(bytes: &[u8], spec: &TableSpec, names: &[&str]) -> Result<Table, Problem> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.csv");
    std::fs::write(&path, bytes).expect("written");
    let wanted: Vec<Wanted> = names.iter().map(|name| Wanted::Column((*name).to_owned())).collect();
    open(&Reader::default(), &Source { path: &path, name: "t.csv" }, spec, &wanted).map_err(|mut all| all.remove(0))
}

fn rows(table: &mut Table) -> Vec<(u32, Vec<String>)> {
    std::iter::from_fn(|| table.next().expect("readable"))
        .map(|row| (row.number, row.cells.iter().map(|cell| cell.text().into_owned()).collect()))
        .collect()
}

type Told = Result<(Encoding, bool, Vec<String>), &'static str>;

/// The encoding, whether it was guessed, and the column of names; or the code of the refusal.
fn read(bytes: &[u8], names: &[&str]) -> Told {
    let mut table = opened(bytes, &TableSpec::default(), names).map_err(|problem| problem.code)?;
    let about = table.about().clone();
    let names = rows(&mut table).into_iter().map(|(_, mut cells)| cells.pop().expect("a cell")).collect();
    Ok((about.encoding.expect("it is CSV"), about.guessed, names))
}

fn gbk(text: &str) -> Vec<u8> {
    GB18030.encode(text).0.into_owned()
}

fn big5(text: &str) -> Vec<u8> {
    BIG5.encode(text).0.into_owned()
}

fn utf16(text: &str, little: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

#[test]
fn the_encoding_is_told_by_the_columns_and_else_by_the_characters() {
    use Encoding::{Big5, Gb18030, Utf8, Utf16};
    let chinese = "openid,名称\noA,预约\noB,券\n";
    let mixed = "openid,name\noA,预约\noB,券\n";
    let traditional = "openid,name\noA,讀書會活動開始\noB,歡迎光臨體驗\n";
    let ok =
        |encoding, guessed, names: &[&str]| Ok((encoding, guessed, names.iter().map(|n| (*n).to_owned()).collect()));
    let marked = |text: &str| [b"\xef\xbb\xbf", text.as_bytes()].concat();
    let table: Vec<(Vec<u8>, &[&str], Told)> = vec![
        (b"openid,name\noA,x\n".to_vec(), &["name"], ok(Utf8, false, &["x"])),
        (chinese.into(), &["名称"], ok(Utf8, false, &["预约", "券"])),
        (marked(chinese), &["名称"], ok(Utf8, false, &["预约", "券"])),
        // The named column is found in one encoding alone.
        (gbk(chinese), &["名称"], ok(Gb18030, false, &["预约", "券"])),
        (big5("openid,名稱\noA,茶會\n"), &["名稱"], ok(Big5, false, &["茶會"])),
        // It says nothing: the characters decide.
        (gbk(mixed), &["name"], ok(Gb18030, true, &["预约", "券"])),
        ("openid,name\noA,预约\n".into(), &["name"], ok(Utf8, true, &["预约"])),
        // It is valid in UTF-8 alone.
        (mixed.into(), &["name"], ok(Utf8, false, &["预约", "券"])),
        ("openid,name\noA,Café\n".into(), &["name"], ok(Utf8, true, &["Café"])),
        ("openid,name\noA,Иван\n".into(), &["name"], ok(Utf8, true, &["Иван"])),
        (big5(traditional), &["name"], ok(Big5, true, &["讀書會活動開始", "歡迎光臨體驗"])),
        (utf16(chinese, true), &["名称"], ok(Utf16, false, &["预约", "券"])),
        (utf16(chinese, false), &["名称"], ok(Utf16, false, &["预约", "券"])),
        (utf16(&format!("\u{feff}{chinese}"), true), &["名称"], ok(Utf16, false, &["预约", "券"])),
        // No encoding finds the column: validity alone decides.
        (chinese.into(), &["地点"], ok(Utf8, false, &["预约", "券"])),
        (b"openid,name\noA,\xff\xff\n".to_vec(), &["name"], Err("encoding_unclear")),
        ([marked("openid,name\noA,").as_slice(), b"\xc4\xea"].concat(), &["name"], Err("encoding_unclear")),
    ];
    for (bytes, names, expected) in table {
        assert_eq!(read(&bytes, names), expected, "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn what_no_rule_decides_is_shown_in_each_encoding() {
    // Rare characters of GBK: too few are GB2312, and too many for Big5.
    let mut found = None;
    'search: for a in 0xa4..=0xf9_u8 {
        for b in 0x40..=0x7e_u8 {
            let one = [a, b];
            let bytes =
                [b"openid,name\noA,".as_slice(), &one, &[0xb0, 0xa1], &[0xb0, 0xa2], &[0xb0, 0xa3], &[0xb0, 0xa4]];
            let bytes = bytes.concat();
            if let Err(problem) = opened(&bytes, &TableSpec::default(), &["name"]) {
                found = Some(problem);
                break 'search;
            }
        }
    }
    let problem = found.expect("four of five characters are GB2312");
    assert_eq!(problem.code, "encoding_unclear");
    let said = problem.detail.to_string();
    assert!(said.contains("gb18030") && said.contains("big5") && said.contains("openid name"), "{said}");
}

#[test]
fn an_encoding_that_is_said_is_taken() {
    let spec = |encoding| TableSpec { encoding: Some(encoding), ..TableSpec::default() };
    let mut table = opened(&gbk("openid,name\noA,预约\n"), &spec(Encoding::Utf8), &["name"]).expect("valid UTF-8");
    assert_eq!(rows(&mut table)[0].1[1], "ԤԼ");
    let refused = opened("openid,name\noA,周三x\n".as_bytes(), &spec(Encoding::Utf16), &["name"]).map(drop);
    assert_eq!(refused.map_err(|p| p.code), Err("encoding_unclear"), "an odd number of bytes");
}

#[test]
fn the_delimiter_is_the_one_that_finds_the_columns() {
    let table = [
        ("openid,name\noA,x\n", vec!["name"], ','),
        ("openid\tname\noA\tx\n", vec!["name"], '\t'),
        ("openid;a,b,c\noA;x\n", vec!["a,b,c"], ';'),
        ("openid|name,x\n", vec![], ','),
        ("openid|name|x\n", vec![], '|'),
        ("openid\n", vec!["openid"], ','),
        ("a;b;c,d\n1;2;3\n", vec!["nothing"], ';'),
    ];
    for (text, names, delimiter) in table {
        let table = opened(text.as_bytes(), &TableSpec::default(), &names).expect("readable");
        assert_eq!(table.about().delimiter, Some(delimiter), "{text}");
    }
    let spec = TableSpec { delimiter: Some('^'), ..TableSpec::default() };
    let mut table = opened(b"openid^name\noA^x,y\n", &spec, &["name"]).expect("readable");
    assert_eq!(rows(&mut table), [(2, vec!["oA".into(), "x,y".into()])]);
}

#[test]
fn rows_have_the_numbers_of_a_spreadsheet_below_a_preamble() {
    let text = "三月活动名单\n\n导出时间,2031-02-01\nopenid,名称\noA,\"两行\n文字\"\n\n,\noB,茶会\n";
    let mut table = opened(text.as_bytes(), &TableSpec::default(), &["openid", "名称"]).expect("readable");
    assert_eq!(table.about().header, 4);
    assert_eq!(rows(&mut table), [(5, vec!["oA".into(), "两行\n文字".into()]), (8, vec!["oB".into(), "茶会".into()])]);
}

#[test]
fn a_row_with_shifted_cells_is_told_and_a_short_one_has_blanks() {
    let text = "openid,名称,城市,\noA,茶会,上海\noB,茶会,下午场,上海\noC\noD,茶会,上海,,x\noE,茶会,上海,,,\n";
    let mut table = opened(text.as_bytes(), &TableSpec::default(), &["openid"]).expect("readable");
    assert_eq!(table.about().columns, ["openid", "名称", "城市"]);
    let rows: Vec<Row> = std::iter::from_fn(|| table.next().expect("readable")).collect();
    assert_eq!(rows.iter().map(|row| row.ragged).collect::<Vec<_>>(), [false, false, false, true, false]);
    assert!(rows.iter().all(|row| row.cells.len() == 3));
    assert_eq!(rows[2].cells[1..], [Cell::Blank, Cell::Blank]);
}

#[test]
fn a_table_without_content_or_without_a_closing_quote_is_refused() {
    let code = |text: &str| opened(text.as_bytes(), &TableSpec::default(), &["openid"]).map(drop).map_err(|p| p.code);
    assert_eq!(code(""), Err("no_header"));
    assert_eq!(code(" \n,,\n\n"), Err("no_header"));
    assert_eq!(code("名称\noA\n"), Ok(()), "which column is missing is told when it is asked for");
    let mut table = opened(b"openid\n", &TableSpec::default(), &["openid"]).expect("a header alone");
    assert_eq!((table.next().expect("readable"), table.without_rows().code), (None, "no_rows"));
    let mut table = opened(b"openid,n\noA,1\noB,\"2\noC,3\n", &TableSpec::default(), &["openid"]).expect("a header");
    assert_eq!(table.next().expect("the first row").expect("there").number, 2);
    let problem = table.next().expect_err("the quote stays open");
    assert_eq!(
        (problem.code, problem.place.row, problem.place.file.as_deref()),
        ("unclosed_quote", Some(3), Some("t.csv"))
    );
}

#[test]
fn a_file_that_grows_or_shrinks_while_it_is_read_is_damaged() {
    for grows in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.csv");
        std::fs::write(&path, "openid\n".to_owned() + &"oA\n".repeat(100_000)).expect("written");
        let source = Source { path: &path, name: "t.csv" };
        let mut table = open(&Reader::default(), &source, &TableSpec::default(), &[])
            .map_err(|mut all| all.remove(0))
            .expect("readable");
        assert!(table.next().expect("a row").is_some());
        let file = std::fs::File::options().write(true).open(&path).expect("there");
        file.set_len(if grows { 400_000 } else { 200_000 }).expect("changed");
        let end = loop {
            match table.next() {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        assert_eq!(end.expect_err("it is not what it was").code, "damaged");
    }
}
