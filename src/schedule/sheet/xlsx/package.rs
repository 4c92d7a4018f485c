//! The parts of a workbook in their zip, within bounds. Nothing is ever written, so a part's name leads nowhere.

use super::super::file::{locked, not_a_table};
use crate::{schedule::problem::Problem, words::say};
use std::{
    collections::HashMap,
    io::{BufReader, Read, Seek, Take},
};
use zip::{ZipArchive, read::ZipFile, result::ZipError};

/// A workbook may have so many parts.
const MAX_PARTS: usize = 20_000;
/// All parts together may have so many bytes unpacked.
pub const MAX_UNPACKED: u64 = 1 << 30;

/// An open zip.
pub struct Package<R> {
    zip: ZipArchive<R>,
    /// By lower-case names without a slash in front, as programs differ in that.
    parts: HashMap<String, usize>,
}

/// A part as it is unpacked.
pub type Part<'a, R> = BufReader<Take<ZipFile<'a, R>>>;

impl<R: Read + Seek> Package<R> {
    /// Opens a zip; `unpacked` bounds the bytes of all its parts.
    ///
    /// # Errors
    /// `too_large`, `damaged`; `not_a_table` or `locked` if there is no workbook in it.
    pub fn open(from: R, unpacked: u64) -> Result<Self, Problem> {
        let zip = ZipArchive::new(from).map_err(refusal)?;
        if zip.len() > MAX_PARTS {
            return Err(Problem::new("too_large", say!("xlsx_too_many_parts", found = zip.len(), most = MAX_PARTS)));
        }
        let (mut parts, mut sum) = (HashMap::with_capacity(zip.len()), 0_u64);
        for index in 0..zip.len() {
            let part = zip.by_index_data(index).map_err(refusal)?;
            sum = sum.saturating_add(part.size());
            if let Some(Ok(name)) = zip.name_for_index(index) {
                parts.entry(key(&name)).or_insert(index);
            }
        }
        if sum > unpacked {
            return Err(Problem::new("too_large", say!("xlsx_unpacks_too_large", most = unpacked >> 20)));
        }
        let mut package = Self { zip, parts };
        match package.otherwise() {
            Some(problem) => Err(problem),
            None => Ok(package),
        }
    }

    /// What it is, if no workbook of the kind that is read.
    fn otherwise(&mut self) -> Option<Problem> {
        let what = if self.has("xl/workbook.bin") {
            say!("kind_xlsb")
        } else if self.has("xl/workbook.xml") || self.has("_rels/.rels") && !self.has("word/document.xml") {
            return None;
        } else if self.has("word/document.xml") {
            say!("kind_word")
        } else if self.has("content.xml") && self.has("mimetype") {
            say!("kind_ods")
        } else if self.has("index/document.iwa") || self.has("index.zip") {
            say!("kind_numbers")
        } else if (0..self.zip.len()).any(|i| self.zip.by_index_data(i).is_ok_and(|part| part.encrypted())) {
            return Some(locked());
        } else {
            say!("kind_zip")
        };
        Some(not_a_table(what))
    }

    /// Whether it has a part of this name.
    pub fn has(&self, name: &str) -> bool {
        self.parts.contains_key(&key(name))
    }

    /// A part from its beginning.
    ///
    /// # Errors
    /// `damaged` if it is not there or cannot be unpacked, `locked`.
    pub fn part(&mut self, name: &str) -> Result<Part<'_, R>, Problem> {
        let index = self.parts.get(&key(name)).copied();
        let index = index.ok_or_else(|| damaged(&format!("{} is not there", super::super::columns::short(name))))?;
        let part = self.zip.by_index(index).map_err(refusal)?;
        // A part that unpacks to more than it says was not counted.
        let size = part.size();
        Ok(BufReader::with_capacity(64 << 10, part.take(size)))
    }
}

fn key(name: &str) -> String {
    name.trim_start_matches('/').replace('\\', "/").to_lowercase()
}

fn refusal(e: ZipError) -> Problem {
    match e {
        ZipError::InvalidPassword => locked(),
        ZipError::UnsupportedArchive(what) if what == ZipError::PASSWORD_REQUIRED => locked(),
        other => damaged(&other.to_string()),
    }
}

/// A workbook that is not whole, with what was found in it.
pub fn damaged(why: &str) -> Problem {
    let why = super::super::columns::short(why);
    Problem::new("damaged", say!("xlsx_damaged", why = why, how = say!("save_as_xlsx")))
}
