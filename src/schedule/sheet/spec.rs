//! What a schedule says about a table: which sheet, which row is the header, and which columns it needs.

use crate::platform;
use serde::{Deserialize, Serialize};

/// The keys of every table. What is left out is found by looking at the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TableSpec {
    /// The sheet's name; else the first visible one with content.
    pub sheet: Option<String>,
    /// The number of the header's row, from 1; else the first in which every named column is found.
    pub header: Option<u32>,
    /// What becomes of hidden rows; else a file that has some is refused.
    pub hidden: Option<Hidden>,
    /// The encoding of CSV; else it is told by what the file says.
    pub encoding: Option<Encoding>,
    /// What stands between the cells of CSV, one of [`may_delimit`]; else it is told by the header.
    pub delimiter: Option<char>,
}

/// What becomes of rows that a filter or a person has hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Hidden {
    /// They are passed over.
    Skip,
    /// They are read like the others.
    Read,
}

/// How the characters of a CSV file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8.
    Utf8,
    /// GB18030, and so GBK and GB2312.
    Gb18030,
    /// Big5.
    Big5,
    /// UTF-16 of either byte order.
    Utf16,
}

impl Hidden {
    /// All of them with their words.
    pub const WORDS: [(&str, Self); 2] = [("skip", Self::Skip), ("read", Self::Read)];

    /// The one of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, hidden)| *hidden)
    }
}

impl Encoding {
    /// All of them with their words.
    pub const WORDS: [(&str, Self); 4] =
        [("utf-8", Self::Utf8), ("gb18030", Self::Gb18030), ("big5", Self::Big5), ("utf-16", Self::Utf16)];

    /// The word in a schedule's file and in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Gb18030 => "gb18030",
            Self::Big5 => "big5",
            Self::Utf16 => "utf-16",
        }
    }

    /// The one of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, encoding)| *encoding)
    }
}

/// Whether a character can stand between cells: an ASCII character that is no letter, digit, quote or end of a line.
pub fn may_delimit(c: char) -> bool {
    c == '\t' || (c.is_ascii() && !c.is_ascii_control() && !c.is_ascii_alphanumeric() && c != '"')
}

/// A column that a schedule needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Wanted {
    /// The one of this name.
    Column(String),
    /// The one that has a usual name of openids.
    Openid,
}

/// The names under which a column of openids is found without being named: those of every platform, and ours.
pub fn openid_names() -> impl Iterator<Item = &'static str> {
    let of_platforms = platform::BUILT.iter().flat_map(|facts| facts.openid_columns.iter().copied());
    ["openid", "open_id", "用户openid"].into_iter().chain(of_platforms).chain(["小程序openid"])
}

/// A row may have so many cells.
pub const MAX_COLUMNS: usize = 16_384;
