//! A marketer's rows as a workbook again, with a comment and a fill on each wrong cell.
//!
//! The first sheet lists all problems. After it comes each table as it stands: its rows and columns at their places, its values, number
//! formats and column widths. Cells that were merged stand alone with the value of their area, so that each can be mended by itself. The
//! list carries [`PROBLEMS_NAME`], by which a reader knows it for what it is and passes over it; so a schedule that names the workbook in
//! the place of its table reads the rows without saying more.

use super::sheet::{
    Kind,
    cell::{Cell, Shows},
    cell_name,
    copy::{CopiedRow, Copy, NumberFormat, PROBLEMS_NAME, RAGGED_NAME},
};
use crate::words::{Message, Voice, say};
use chrono::{Duration, NaiveDate, NaiveDateTime};
use rust_xlsxwriter::{Color, Format, FormatAlign, Formula, IgnoreError, Note, Url, Workbook, Worksheet, XlsxError};
use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    path::Path,
};

/// A sheet of a workbook has so many rows.
const MAX_ROWS: u32 = 1_048_576;
/// A cell has so many characters.
const MAX_CHARS: usize = 32_767;
/// A sheet's name has so many UTF-16 units.
const MAX_NAME: usize = 31;
/// The fill of what is wrong.
const WRONG: Color = Color::RGB(0x00FF_C7CE);

/// A problem, as it is told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The table it is in, by its place among those that are copied.
    pub table: Option<usize>,
    /// Where it is, in words, if it is in none of them.
    pub place: String,
    /// The row, from 1, if it has one.
    pub row: Option<u32>,
    /// The column, from 0, if it has one.
    pub cell: Option<u16>,
    /// The column's name.
    pub column: String,
    /// What was found there.
    pub value: String,
    /// What is wrong and what to do.
    pub detail: String,
    /// What to write instead, if it is known.
    pub fix: String,
    /// The problem's code.
    pub code: String,
}

/// A table to copy.
pub struct Sheet {
    /// Its rows.
    pub copy: Copy,
    /// The name of its sheet, or of its file if it is CSV.
    pub name: String,
    /// The row of its header, where a problem of the whole table is marked.
    pub header: u32,
}

/// Writes the workbook: `problems`, so many `more` that are not among them, and the tables. Temporary files stand in `folder`.
///
/// # Errors
/// What keeps a table from being read again or the workbook from being written.
pub fn write(
    sheets: Vec<Sheet>,
    problems: &[Told],
    more: u64,
    voice: Voice,
    folder: &Path,
    to: impl Write + Send,
) -> Result<(), Message> {
    let mut book = Workbook::new();
    book.set_tempdir(folder).map_err(unwritten)?;
    let mut names = Names::default();
    let copied: Vec<String> = sheets.iter().map(|sheet| names.take(&sheet.name)).collect();
    let list = names.take(&say!("annotate_sheet").say(voice));
    let page = book.add_worksheet();
    page.set_name(&list).map_err(unwritten)?;
    list_problems(page, problems, more, &copied, voice).map_err(unwritten)?;
    book.define_name(PROBLEMS_NAME, &format!("={}!$A$1", quoted(&list))).map_err(unwritten)?;
    for (i, (mut sheet, name)) in sheets.into_iter().zip(&copied).enumerate() {
        let page = book.add_worksheet_with_constant_memory().map_err(unwritten)?;
        page.set_name(name).map_err(unwritten)?;
        let marks = Marks::of(problems.iter().filter(|told| told.table == Some(i)), sheet.header);
        write_rows(page, &mut sheet, &marks)?;
        marks.comment(page).map_err(unwritten)?;
        if sheet.copy.kind() == Kind::Csv {
            let first = format!("={}!$A$1", quoted(name));
            book.define_name(format!("{}!{RAGGED_NAME}", quoted(name)), &first).map_err(unwritten)?;
        }
    }
    book.save_to_writer(to).map_err(unwritten)
}

fn unwritten(e: XlsxError) -> Message {
    say!("annotate_unwritten", why = e.to_string())
}

/// The names of the sheets: each once, as a workbook allows them.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn take(&mut self, wanted: &str) -> String {
        let right: String = wanted.chars().filter(|c| !"[]:*?/\\".contains(*c) && !c.is_control()).collect();
        let right = match right.trim().trim_matches('\'') {
            "" => "Sheet",
            right => right,
        };
        let free = |name: &String| !self.0.iter().any(|taken| taken.to_lowercase() == name.to_lowercase());
        let numbered = (1..).map(|n| if n == 1 { cut(right, "") } else { cut(right, &format!(" ({n})")) });
        let name = numbered.into_iter().find(free).expect("numbers do not end");
        self.0.push(name.clone());
        name
    }
}

/// A name and what is put behind it, not longer than a name may be.
fn cut(name: &str, end: &str) -> String {
    let mut short = String::new();
    for c in name.chars() {
        let length = short.encode_utf16().count() + c.len_utf16() + end.len();
        if length > MAX_NAME {
            break;
        }
        short.push(c);
    }
    short.trim_end_matches('\'').to_owned() + end
}

/// A sheet's name as a formula has it.
fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}

/// The sheet of all problems.
fn list_problems(
    page: &mut Worksheet,
    problems: &[Told],
    more: u64,
    copied: &[String],
    voice: Voice,
) -> Result<(), XlsxError> {
    let heads = [
        (say!("annotate_place"), 18.0),
        (say!("annotate_column"), 16.0),
        (say!("annotate_value"), 28.0),
        (say!("annotate_detail"), 80.0),
        (say!("annotate_fix"), 20.0),
        (say!("annotate_code"), 18.0),
    ];
    let bold = Format::new().set_bold();
    let wrapped = Format::new().set_text_wrap().set_align(FormatAlign::Top);
    let plain = Format::new().set_align(FormatAlign::Top);
    for (column, (head, width)) in (0..).zip(heads) {
        page.write_string_with_format(0, column, head.say(voice), &bold)?;
        page.set_column_width(column, width)?;
    }
    page.set_freeze_panes(1, 0)?;
    let mut row = 1;
    for told in problems {
        match told.table.and_then(|table| copied.get(table)) {
            Some(name) => {
                let cell = cell_name(usize::from(told.cell.unwrap_or(0)), told.row.unwrap_or(1));
                let shown = if told.row.is_some() { format!("{name}!{cell}") } else { name.clone() };
                page.write_url(row, 0, Url::new(format!("internal:{}!{cell}", quoted(name))).set_text(shown))?;
            }
            None => {
                page.write_string_with_format(row, 0, &told.place, &plain)?;
            }
        }
        page.write_string_with_format(row, 1, &told.column, &plain)?;
        page.write_string_with_format(row, 2, limited(&told.value), &wrapped)?;
        page.write_string_with_format(row, 3, limited(&told.detail), &wrapped)?;
        page.write_string_with_format(row, 4, limited(&told.fix), &wrapped)?;
        page.write_string_with_format(row, 5, &told.code, &plain)?;
        row += 1;
    }
    if more > 0 {
        page.write_string(row, 0, say!("annotate_more", n = more).say(voice))?;
    } else if problems.is_empty() {
        page.write_string(row, 0, say!("annotate_none").say(voice))?;
    }
    Ok(())
}

fn limited(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
}

/// What is marked in a sheet: sentences by row and column, both from 0.
struct Marks(BTreeMap<(u32, u16), String>);

impl Marks {
    /// A problem without a cell marks the first of its row, one without a row the first of the header.
    fn of<'a>(problems: impl Iterator<Item = &'a Told>, header: u32) -> Self {
        let mut marks: BTreeMap<(u32, u16), String> = BTreeMap::new();
        for told in problems {
            let row = told.row.unwrap_or(header).clamp(1, MAX_ROWS) - 1;
            let text = marks.entry((row, told.cell.unwrap_or(0))).or_default();
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&told.detail);
            if !told.fix.is_empty() {
                text.push_str(" → ");
                text.push_str(&told.fix);
            }
        }
        Self(marks)
    }

    /// The columns that are marked in a row.
    fn columns(&self, row: u32) -> Vec<u16> {
        self.0.range((row, 0)..=(row, u16::MAX)).map(|((_, column), _)| *column).collect()
    }

    fn comment(&self, page: &mut Worksheet) -> Result<(), XlsxError> {
        for ((row, column), text) in &self.0 {
            // A line of a comment holds about 36 characters of English, and half as many of Chinese.
            let lines: usize = text.split('\n').map(|line| 1 + unicode_width::UnicodeWidthStr::width(line) / 36).sum();
            let height = u32::try_from(20 * lines.clamp(3, 20) + 10).expect("small");
            let note = Note::new(limited(text)).add_author_prefix(false).set_author("tixing");
            page.insert_note(*row, *column, &note.set_width(280).set_height(height))?;
        }
        Ok(())
    }
}

/// Copies the rows of a table.
fn write_rows(page: &mut Worksheet, sheet: &mut Sheet, marks: &Marks) -> Result<(), Message> {
    let look = sheet.copy.look().clone();
    for width in &look.widths {
        for column in width.first..=width.last {
            page.set_column_width(column, width.width).map_err(unwritten)?;
            if width.hidden {
                page.set_column_hidden(column).map_err(unwritten)?;
            }
        }
    }
    let mut pens = Pens::new(&look.formats, sheet.copy.kind());
    let mut left: Vec<u32> = marks.0.keys().map(|(row, _)| *row).collect();
    left.dedup();
    let mut left = left.into_iter().peekable();
    let mut last = 0;
    while let Some(row) = sheet.copy.next_row().map_err(|problem| problem.detail)? {
        if row.number > MAX_ROWS {
            return Err(say!("annotate_too_many_rows", most = MAX_ROWS));
        }
        let number = row.number - 1;
        // What is marked where nothing stands.
        while let Some(blank) = left.next_if(|marked| *marked < number) {
            write_row(page, blank, &CopiedRow::default(), &marks.columns(blank), &mut pens).map_err(unwritten)?;
        }
        left.next_if_eq(&number);
        write_row(page, number, &row, &marks.columns(number), &mut pens).map_err(unwritten)?;
        last = number;
    }
    for blank in left.filter(|marked| *marked > last) {
        write_row(page, blank, &CopiedRow::default(), &marks.columns(blank), &mut pens).map_err(unwritten)?;
    }
    // No green corners on numbers that are text in CSV: they are so on purpose.
    if sheet.copy.kind() == Kind::Csv {
        page.ignore_error_range(0, 0, last, u16::MAX >> 2, IgnoreError::NumberStoredAsText).map_err(unwritten)?;
    }
    Ok(())
}

fn write_row(
    page: &mut Worksheet,
    number: u32,
    row: &CopiedRow,
    marked: &[u16],
    pens: &mut Pens,
) -> Result<(), XlsxError> {
    if row.hidden {
        page.set_row_hidden(number)?;
    }
    for (column, (cell, format)) in (0..).zip(&row.cells) {
        write_cell(page, number, column, cell, pens.of(*format, marked.contains(&column), cell))?;
    }
    let width = u16::try_from(row.cells.len()).unwrap_or(u16::MAX);
    for column in marked.iter().filter(|column| **column >= width) {
        write_cell(page, number, *column, &Cell::Blank, pens.of(0, true, &Cell::Blank))?;
    }
    Ok(())
}

fn write_cell(page: &mut Worksheet, row: u32, column: u16, cell: &Cell, format: &Format) -> Result<(), XlsxError> {
    match cell {
        Cell::Blank => page.write_blank(row, column, format),
        Cell::Text(text) => page.write_string_with_format(row, column, limited(text), format),
        Cell::Number { value, .. } => page.write_number_with_format(row, column, *value, format),
        Cell::Damaged(text) => match text.parse::<f64>().ok().filter(|value| value.is_finite()) {
            Some(value) => page.write_number_with_format(row, column, value, format),
            None => page.write_string_with_format(row, column, limited(text), format),
        },
        Cell::Time { at, shows } => page.write_number_with_format(row, column, serial(*at, *shows), format),
        Cell::Bool(truth) => page.write_boolean_with_format(row, column, *truth, format),
        // An error value is written as the formula that is this error and no more.
        Cell::Error(error) => {
            page.write_formula_with_format(row, column, Formula::new(format!("={error}")).set_result(error), format)
        }
        Cell::Formula => page.write_formula_with_format(row, column, Formula::new("=NA()").set_result("#N/A"), format),
    }
    .map(drop)
}

/// A spreadsheet's serial day, with 1900 as its first year.
fn serial(at: NaiveDateTime, shows: Shows) -> f64 {
    let start = NaiveDate::from_ymd_opt(1899, 12, 30).expect("a day");
    let seconds = (at - at.date().and_hms_opt(0, 0, 0).expect("a time")).num_seconds();
    let fraction = Duration::seconds(seconds).num_seconds() as f64 / 86_400.0;
    if shows == Shows::Time {
        return fraction;
    }
    let days = (at.date() - start).num_days();
    // Spreadsheets believe that 1900 had a 29 February, their day 60.
    let days = if days <= 60 { days - 1 } else { days };
    days.max(0) as f64 + fraction
}

/// The formats of cells, each made once.
struct Pens<'a> {
    formats: &'a [NumberFormat],
    kind: Kind,
    made: HashMap<(u16, bool, bool), Format>,
}

impl<'a> Pens<'a> {
    fn new(formats: &'a [NumberFormat], kind: Kind) -> Self {
        Self { formats, kind, made: HashMap::new() }
    }

    /// The format of a cell: its number format, a fill if it is wrong, and for text that a spreadsheet would read as a formula the sign
    /// that it is text.
    fn of(&mut self, format: u16, wrong: bool, cell: &Cell) -> &Format {
        let formula = matches!(cell, Cell::Text(text) if text.starts_with(['=', '+', '-', '@', '\t']));
        let (formats, kind) = (self.formats, self.kind);
        self.made.entry((format, wrong, formula)).or_insert_with(|| {
            let mut made = match (formats.get(usize::from(format)), kind) {
                (Some(NumberFormat::Code(code)), _) => Format::new().set_num_format(code),
                (Some(NumberFormat::BuiltIn(id)), _) => Format::new().set_num_format_index(*id),
                // What is mended in a copy of CSV is to stay text, whatever it looks like.
                (None, Kind::Csv) => Format::new().set_num_format("@"),
                (None, Kind::Xlsx) => Format::new(),
            };
            if wrong {
                made = made.set_background_color(WRONG);
            }
            if formula { made.set_quote_prefix() } else { made }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::sheet::{Encoding, Reader, Source, TableSpec};
    use calamine::{Data, Reader as _, Xlsx};
    use std::io::{Cursor, Read};

    /// A copy of a list in CSV with these problems.
    fn copied(csv: &[u8], encoding: Encoding, problems: &[Told]) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("名单.csv");
        std::fs::write(&path, csv).expect("written");
        let spec =
            TableSpec { encoding: Some(encoding), delimiter: Some(','), header: Some(1), ..TableSpec::default() };
        let source = Source { path: &path, name: "名单.csv" };
        let copy = Copy::open(&Reader::default(), &source, &spec).expect("it is a table");
        let sheet = Sheet { copy, name: "名单".into(), header: 1 };
        let mut book = Vec::new();
        write(vec![sheet], problems, 0, Voice::default(), folder.path(), &mut book).expect("it is written");
        book
    }

    fn cells(book: &[u8], sheet: &str) -> Vec<Vec<String>> {
        let mut book: Xlsx<_> = calamine::open_workbook_from_rs(Cursor::new(book)).expect("a workbook");
        let range = book.worksheet_range(sheet).expect("the sheet");
        range.rows().map(|row| row.iter().map(Data::to_string).collect()).collect()
    }

    /// The text of a part whose name ends so.
    fn part(book: &[u8], end: &str) -> String {
        let mut zip = zip::ZipArchive::new(Cursor::new(book)).expect("a zip");
        let mut text = String::new();
        for i in 0..zip.len() {
            let mut file = zip.by_index(i).expect("there");
            if file.name().expect("a name").ends_with(end) {
                file.read_to_string(&mut text).expect("text");
            }
        }
        text
    }

    fn told(row: Option<u32>, cell: Option<u16>, detail: &str) -> Told {
        Told { table: Some(0), row, cell, detail: detail.into(), code: "bad_time".into(), ..Told::default() }
    }

    #[test]
    fn a_list_in_gbk_becomes_a_workbook_with_its_rows_at_their_places() {
        let (gbk, _, _) = encoding_rs::GBK.encode("openid,名称\r\n\r\noA,\"茶会\n下午\"\r\n=oB,007,多\r\n");
        let book = copied(&gbk, Encoding::Gb18030, &[told(Some(3), Some(1), "它太长"), told(Some(6), None, "空行")]);
        let wanted = [["openid", "名称", ""], ["", "", ""], ["oA", "茶会\n下午", ""], ["=oB", "007", "多"]];
        assert_eq!(cells(&book, "名单"), wanted);
        let comments = part(&book, "comments1.xml");
        assert!(comments.contains("ref=\"B3\"") && comments.contains("ref=\"A6\"") && comments.contains("它太长"));
        assert!(part(&book, "styles.xml").contains("FFFFC7CE"), "what is wrong is filled");
        let sheet = part(&book, "sheet2.xml");
        assert!(!sheet.contains("<f>"), "{sheet}");
        let names = part(&book, "workbook.xml");
        assert!(names.contains(">'Problems'!$A$1<") && names.contains(">'名单'!$A$1<"), "{names}");
        assert_eq!(cells(&book, "Problems").len(), 3);
    }

    #[test]
    fn every_problem_of_a_cell_stands_in_its_comment_and_those_without_a_row_on_the_header() {
        let problems = [told(Some(2), Some(0), "first"), told(Some(2), Some(0), "second"), told(None, None, "of all")];
        let book = copied(b"openid\no1\n", Encoding::Utf8, &problems);
        let comments = part(&book, "comments1.xml");
        assert!(comments.contains("first\nsecond"), "{comments}");
        assert!(comments.contains("ref=\"A1\"") && comments.contains("of all"), "{comments}");
    }

    #[test]
    fn the_names_of_sheets_are_allowed_and_differ() {
        let mut names = Names::default();
        let long = "很".repeat(40);
        let table = [
            ("名单", "名单".to_owned()),
            ("名单", "名单 (2)".to_owned()),
            ("[a]:b?", "ab".to_owned()),
            ("AB", "AB (2)".to_owned()),
            ("'", "Sheet".to_owned()),
            (&long, "很".repeat(31)),
            (&long, format!("{} (2)", "很".repeat(27))),
        ];
        for (wanted, name) in table {
            assert_eq!(names.take(wanted), name);
            assert!(rust_xlsxwriter::utility::check_sheet_name(&name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_serial_day_is_that_of_spreadsheets() {
        let at = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a time");
        let table = [
            ("2031-03-01 00:00", Shows::Date, 47_908.0),
            ("2031-03-01 12:00", Shows::DateTime, 47_908.5),
            ("1899-12-31 06:00", Shows::Time, 0.25),
            ("1900-01-01 00:00", Shows::Date, 1.0),
            ("1900-02-28 00:00", Shows::Date, 59.0),
            ("1900-03-01 00:00", Shows::Date, 61.0),
        ];
        for (text, shows, day) in table {
            assert!((serial(at(text), shows) - day).abs() < 1e-9, "{text}");
        }
    }
}
