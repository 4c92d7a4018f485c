//! Workbooks made by hand, for what no library writes.

use std::io::{Cursor, Write};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// A zip of these parts.
pub fn zip_of(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, body) in parts {
        zip.start_file(*name, options).expect("a part");
        zip.write_all(body).expect("a Vec takes all");
    }
    zip.finish().expect("a Vec takes all").into_inner()
}

/// A workbook with one sheet.
#[derive(Clone)]
pub struct Book {
    /// What stands in `workbook.xml` before its sheets.
    pub before: String,
    /// The sheets.
    pub sheets: String,
    /// What stands in `sheetData`.
    pub rows: String,
    /// What stands behind it.
    pub behind: String,
    /// What stands in `styleSheet`.
    pub styles: String,
    /// What stands in `sst`.
    pub strings: String,
    /// What stands at the beginning of the sheet.
    pub prolog: String,
}

impl Book {
    /// With these rows.
    pub fn new(rows: &str) -> Self {
        let none = String::new;
        Self {
            before: none(),
            sheets: r#"<sheet name="名单" sheetId="1" r:id="rId1"/>"#.into(),
            rows: rows.into(),
            behind: none(),
            styles: none(),
            strings: none(),
            prolog: none(),
        }
    }

    /// Its file.
    pub fn bytes(&self) -> Vec<u8> {
        let Self { before, sheets, rows, behind, styles, strings, prolog } = self;
        const RELS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
        let relation = |id: &str, kind: &str, target: &str| {
            format!(r#"<Relationship Id="{id}" Type="{RELS}/{kind}" Target="{target}"/>"#)
        };
        let root = format!("<Relationships>{}</Relationships>", relation("rId1", "officeDocument", "xl/workbook.xml"));
        let rels = format!(
            "<Relationships>{}{}{}</Relationships>",
            relation("rId1", "worksheet", "worksheets/sheet1.xml"),
            relation("rId2", "styles", "styles.xml"),
            relation("rId3", "sharedStrings", "/xl/sharedStrings.xml")
        );
        let workbook = format!(r#"<workbook xmlns:r="{RELS}">{before}<sheets>{sheets}</sheets></workbook>"#);
        let sheet = format!(
            r#"<?xml version="1.0"?>{prolog}<worksheet><dimension ref="A1:XFD1048576"/><sheetData>{rows}</sheetData>{behind}</worksheet>"#
        );
        zip_of(&[
            ("[Content_Types].xml", b"<Types/>"),
            ("_rels/.rels", root.as_bytes()),
            ("xl/workbook.xml", workbook.as_bytes()),
            ("xl/_rels/workbook.xml.rels", rels.as_bytes()),
            ("xl/styles.xml", format!("<styleSheet>{styles}</styleSheet>").as_bytes()),
            ("xl/sharedStrings.xml", format!("<sst>{strings}</sst>").as_bytes()),
            ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
        ])
    }
}

/// A row of inline texts.
pub fn texts(number: u32, cells: &[&str]) -> String {
    let cells: String = cells.iter().map(|text| format!(r#"<c t="inlineStr"><is><t>{text}</t></is></c>"#)).collect();
    format!(r#"<row r="{number}">{cells}</row>"#)
}
