//! What a file is, told by its content and not by its name.

use crate::{
    schedule::problem::Problem,
    words::{Message, say},
};
use rustix::fs::OFlags;
use std::{
    fs::File,
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// A file of CSV may have so many bytes.
pub const MAX_CSV_BYTES: u64 = 512 << 20;
/// A workbook may have so many bytes.
pub const MAX_XLSX_BYTES: u64 = 64 << 20;
/// So much of a file's beginning is looked at to tell what it is.
const LOOKED_AT: usize = 64 << 10;

/// A file that may be a table, open at its beginning.
#[derive(Debug)]
pub enum Found {
    /// Text.
    Text {
        /// The file.
        file: File,
        /// Its first bytes.
        start: Vec<u8>,
    },
    /// A zip archive; whether a workbook is in it is seen by who unpacks it.
    Zip(File),
}

/// Opens a file and looks at what it is. Never waits, whatever stands under that name.
///
/// # Errors
/// `no_file`, or what it is instead of a table: `not_a_table`, `old_excel`, `locked`, `too_large`, `no_header` for an empty one.
pub fn open(path: &Path) -> Result<Found, Problem> {
    let unreadable = |e: io::Error| Problem::new("no_file", cannot_open(&e));
    // A pipe without a writer would wait for one.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).expect("flags are an int");
    let mut file = File::options().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if about.is_dir() {
        return Err(Problem::new("not_a_table", say!("sheet_is_folder")));
    }
    if !about.is_file() {
        return Err(Problem::new("not_a_table", say!("sheet_is_device")));
    }
    let mut start = Vec::with_capacity(LOOKED_AT);
    file.by_ref().take(LOOKED_AT as u64).read_to_end(&mut start).map_err(unreadable)?;
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let too_large = |most: u64| {
        let (found, most) = (about.len() >> 20, most >> 20);
        Problem::new("too_large", say!("sheet_file_too_large", found = found, most = most))
    };
    match Kind::of(&start) {
        Kind::Zip if about.len() > MAX_XLSX_BYTES => Err(too_large(MAX_XLSX_BYTES)),
        Kind::Zip => Ok(Found::Zip(file)),
        Kind::Text if about.len() > MAX_CSV_BYTES => Err(too_large(MAX_CSV_BYTES)),
        Kind::Text => Ok(Found::Text { file, start }),
        Kind::Compound if about.len() > MAX_XLSX_BYTES => Err(too_large(MAX_XLSX_BYTES)),
        Kind::Compound => Err(compound(&mut file).unwrap_or_else(unreadable)),
        Kind::Empty => Err(Problem::new("no_header", say!("sheet_is_empty"))),
        Kind::Other(what) => Err(not_a_table(Message::new(what))),
    }
}

/// A file that is this and no table, with the way out.
pub fn not_a_table(what: Message) -> Problem {
    Problem::new("not_a_table", say!("sheet_is_other", what = what, how = say!("save_as_xlsx")))
}

/// A workbook that a password protects.
pub fn locked() -> Problem {
    Problem::new("locked", say!("sheet_is_locked", how = say!("save_as_xlsx")))
}

fn cannot_open(e: &io::Error) -> Message {
    match e.kind() {
        ErrorKind::NotFound => say!("sheet_file_missing"),
        ErrorKind::PermissionDenied => say!("sheet_file_forbidden"),
        _ => say!("sheet_file_unreadable", why = e.to_string()),
    }
}

/// What the first bytes of a file say it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Empty,
    Text,
    Zip,
    /// Microsoft's compound file: an old workbook, or one that is encrypted.
    Compound,
    /// The key of its name in the catalogue.
    Other(&'static str),
}

/// What files of other kinds begin with.
const BEGINNINGS: &[(&[u8], &str)] = &[
    (b"%PDF", "kind_pdf"),
    (b"\x89PNG", "kind_picture"),
    (b"\xff\xd8\xff", "kind_picture"),
    (b"GIF8", "kind_picture"),
    (b"II*\0", "kind_picture"),
    (b"MM\0*", "kind_picture"),
    (b"Rar!", "kind_archive"),
    (b"7z\xbc\xaf\x27\x1c", "kind_archive"),
    (b"\x1f\x8b", "kind_archive"),
    (b"BZh", "kind_archive"),
    (b"\xfd7zXZ\0", "kind_archive"),
    (b"\x28\xb5\x2f\xfd", "kind_archive"),
    (b"{\\rtf", "kind_word"),
    (b"SQLite format 3\0", "kind_database"),
    (b"\x7fELF", "kind_program"),
    (b"MZ\x90\0", "kind_program"),
    // A workbook of the nineties is a bare stream of records that begins so.
    (b"\x09\x08\x10\0", "kind_binary"),
    (b"\x09\x04\x06\0", "kind_binary"),
    (b"\x09\x02\x06\0", "kind_binary"),
];

impl Kind {
    fn of(start: &[u8]) -> Self {
        if start.is_empty() {
            return Self::Empty;
        }
        if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") || start.starts_with(b"PK\x07\x08") {
            return Self::Zip;
        }
        if start.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
            return Self::Compound;
        }
        if let Some((_, what)) = BEGINNINGS.iter().find(|(beginning, _)| start.starts_with(beginning)) {
            return Self::Other(what);
        }
        if let Some(what) = markup(start) {
            return Self::Other(what);
        }
        if utf16(start).is_none() && is_binary(start) {
            return Self::Other("kind_binary");
        }
        Self::Text
    }
}

/// A web page or another kind of XML, as back ends write them under a table's name.
fn markup(start: &[u8]) -> Option<&'static str> {
    let text: String =
        start.iter().take(4096).filter(|b| **b != 0).map(|b| char::from(b.to_ascii_lowercase())).collect();
    // A byte order mark may stand before it.
    let text = text.trim_start_matches(|c: char| !c.is_ascii() || c.is_ascii_whitespace());
    if text.starts_with("<?xml") {
        return Some(if text.contains("<html") { "kind_web_page" } else { "kind_xml" });
    }
    let pages = ["<!doctype html", "<html", "<head", "<body", "<table", "<meta", "<style", "<script", "<div", "<!--"];
    (pages.iter().any(|tag| text.starts_with(tag)) || text.starts_with("mime-version:")).then_some("kind_web_page")
}

/// Whether it has more control characters than text has.
fn is_binary(start: &[u8]) -> bool {
    let controls = start.iter().filter(|b| matches!(b, 0..=8 | 14..=26 | 28..=31)).count();
    controls > start.len() / 20 && controls > 2
}

/// The byte order of UTF-16, told by a mark, else by the NULs that its ASCII characters have: `Some(true)` for little-endian.
pub fn utf16(start: &[u8]) -> Option<bool> {
    if start.starts_with(&[0xff, 0xfe]) {
        return Some(true);
    }
    if start.starts_with(&[0xfe, 0xff]) {
        return Some(false);
    }
    let nuls = |from: usize| start.iter().skip(from).step_by(2).filter(|b| **b == 0).count();
    let (first, second) = (nuls(0), nuls(1));
    // A table has separators and ends of lines, at least one in sixteen characters.
    let enough = |nuls: usize, others: usize| nuls > 1 && nuls * 32 >= start.len() && others * 16 <= nuls;
    match (enough(second, first), enough(first, second)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// What a compound file is, by the names in its directory.
fn compound(file: &mut File) -> io::Result<Problem> {
    let wide = |name: &str| name.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let streams = [wide("EncryptedPackage"), wide("WordDocument"), wide("PowerPoint Document")];
    let mut found = [false; 3];
    let (mut window, mut chunk) = (Vec::new(), vec![0; LOOKED_AT]);
    loop {
        let n = file.read(&mut chunk)?;
        if n == 0 {
            break;
        }
        window.extend_from_slice(&chunk[..n]);
        for (found, name) in found.iter_mut().zip(&streams) {
            *found = *found || window.windows(name.len()).any(|piece| piece == name);
        }
        // A name may lie across two pieces.
        window.drain(..window.len().saturating_sub(64));
    }
    Ok(match found {
        [true, ..] => locked(),
        [_, true, _] => not_a_table(say!("kind_word")),
        [_, _, true] => not_a_table(say!("kind_slides")),
        _ => Problem::new("old_excel", say!("sheet_is_old", how = say!("save_as_xlsx"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_content() {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let table: &[(&[u8], Kind)] = &[
            (b"", Kind::Empty),
            (b"openid,name\r\no1,x\r\n", Kind::Text),
            ("openid,名称".as_bytes(), Kind::Text),
            (b"a,b\x00c\nlong enough to be a text with one odd character", Kind::Text),
            (&wide("openid,名称\r\n"), Kind::Text),
            (b"PK\x03\x04....", Kind::Zip),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind::Compound),
            (b"%PDF-1.7", Kind::Other("kind_pdf")),
            (b"\x89PNG\r\n\x1a\n", Kind::Other("kind_picture")),
            (b"Rar!\x1a\x07", Kind::Other("kind_archive")),
            (b"\xef\xbb\xbf  <HTML><table>", Kind::Other("kind_web_page")),
            (&wide("<table><tr>"), Kind::Other("kind_web_page")),
            (b"<?xml version=\"1.0\"?><Workbook>", Kind::Other("kind_xml")),
            (b"MIME-Version: 1.0\r\nContent-Type: multipart/related", Kind::Other("kind_web_page")),
            (&[1, 2, 3, 4, 5, 6, 7, 0x41], Kind::Other("kind_binary")),
        ];
        for (start, kind) in table {
            assert_eq!(Kind::of(start), *kind, "{}", String::from_utf8_lossy(start));
        }
    }

    #[test]
    fn utf_16_without_a_mark_is_told_by_its_nuls() {
        let text = "openid,活动名称\r\no1,周三读书会\r\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!([utf16(&little), utf16(&big), utf16(text.as_bytes())], [Some(true), Some(false), None]);
        assert_eq!(
            [utf16(b"\xff\xfea\0"), utf16(b"\xfe\xff\0a"), utf16(b"openid,name with one NUL\0 in it\n")],
            [Some(true), Some(false), None]
        );
    }
}
