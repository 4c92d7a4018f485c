//! A marketer's rows as a workbook again, with a comment and a fill on each wrong cell.
//!
//! The first sheet lists all problems. After it comes each table as it stands: its rows and columns at their places, its values, number
//! formats and column widths. Cells that were merged stand alone with the value of their area, so that each can be mended by itself. The
//! list carries [`PROBLEMS_NAME`], by which a reader knows it for what it is and passes over it; so a schedule that names the workbook in
//! the place of its table reads the rows without saying more.
//!
//! ```text
//! list      the sheet of all problems
//! marks     what is marked in a sheet, and the comments
//! rows      the rows of a table, written again
//! names     the names of sheets
//! pending   formulas without a result
//! planned   what a plan says of its tables
//! ```

mod list;
mod marks;
mod names;
mod pending;
pub mod planned;
mod rows;

pub(super) use rows::serial;

use super::sheet::{
    Kind,
    copied::{PROBLEMS_NAME, RAGGED_NAME},
    copy::Copy,
};
use crate::words::{Message, Voice, say};
use marks::Marks;
use names::{Names, quoted};
use rust_xlsxwriter::{Workbook, XlsxError};
use std::{
    io::{self, Seek, Write},
    path::Path,
};

/// A cell has so many characters.
const MAX_CHARS: usize = 32_767;
/// A sheet of a workbook has so many rows.
pub(super) const MAX_ROWS: u32 = 1_048_576;

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

/// Writes the workbook: `problems`, so many `more` that are not among them, and the tables. Temporary files stand in `folder`. Answers the
/// names of the tables' sheets.
///
/// # Errors
/// What keeps a table from being read again or the workbook from being written.
pub fn write(
    sheets: Vec<Sheet>,
    problems: &[Told],
    more: u64,
    voice: Voice,
    folder: &Path,
    to: impl Write + Seek + Send,
) -> Result<Vec<String>, Message> {
    let mut book = Workbook::new();
    book.set_tempdir(folder).map_err(unwritten)?;
    let mut names = Names::default();
    let copied: Vec<String> = sheets.iter().map(|sheet| names.take(&sheet.name)).collect();
    let list = names.take(&say!("annotate_sheet").say(voice));
    let page = book.add_worksheet();
    page.set_name(&list).map_err(unwritten)?;
    list::write(page, problems, more, &copied, voice).map_err(unwritten)?;
    book.define_name(PROBLEMS_NAME, &format!("={}!$A$1", quoted(&list))).map_err(unwritten)?;
    let mut pending = false;
    for (i, (mut sheet, name)) in sheets.into_iter().zip(&copied).enumerate() {
        let page = book.add_worksheet_with_constant_memory().map_err(unwritten)?;
        page.set_name(name).map_err(unwritten)?;
        let marks = Marks::of(problems.iter().filter(|told| told.table == Some(i)), sheet.header);
        pending |= rows::write(page, &mut sheet, &marks)?;
        marks.comment(page).map_err(unwritten)?;
        if sheet.copy.kind() == Kind::Csv || sheet.copy.look().ragged {
            let first = format!("={}!$A$1", quoted(name));
            book.define_name(format!("{}!{RAGGED_NAME}", quoted(name)), &first).map_err(unwritten)?;
        }
    }
    if !pending {
        book.save_to_writer(to).map_err(unwritten)?;
        return Ok(copied);
    }
    let cannot = |e: io::Error| say!("annotate_unwritten", why = e.to_string());
    let mut first = tempfile::tempfile_in(folder).map_err(cannot)?;
    book.save_to_writer(&mut first).map_err(unwritten)?;
    pending::take_out(first, to).map_err(cannot)?;
    Ok(copied)
}

pub(super) fn unwritten(e: XlsxError) -> Message {
    say!("annotate_unwritten", why = e.to_string())
}

/// No more than a cell may have.
pub(super) fn limited(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
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
        let mut book = Cursor::new(Vec::new());
        write(vec![sheet], problems, 0, Voice::default(), folder.path(), &mut book).expect("it is written");
        book.into_inner()
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
}
