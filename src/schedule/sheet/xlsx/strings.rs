//! The texts that a workbook's cells share. Each is kept once, however many cells say it.

use super::{
    super::text::clean,
    package::{Package, damaged},
    xml::{Name, Token, Xml},
};
use crate::{schedule::problem::Problem, words::say};
use std::io::{Read, Seek};

/// All of them together may have so many bytes.
const MAX_BYTES: usize = 200 << 20;
/// There may be so many of them.
const MAX_TEXTS: usize = 20_000_000;

/// Shared texts, one after the other.
#[derive(Debug, Default)]
pub struct Strings {
    text: String,
    ends: Vec<u32>,
}

impl Strings {
    /// Reads them.
    ///
    /// # Errors
    /// `damaged`, `too_large`.
    pub fn read<R: Read + Seek>(package: &mut Package<R>, part: &str) -> Result<Self, Problem> {
        let mut xml = Xml::new(package.part(part)?);
        let (mut all, mut one) = (Self::default(), String::new());
        loop {
            match xml.next()? {
                Token::Open(element) if Name::of(&element) == Name::Shared => {
                    one.clear();
                    xml.text(Name::Shared, &mut one)?;
                    all.text.push_str(&clean(&one));
                    if all.text.len() > MAX_BYTES || all.ends.len() >= MAX_TEXTS {
                        return Err(Problem::new("too_large", say!("xlsx_texts_too_large", most = MAX_BYTES >> 20)));
                    }
                    all.ends.push(u32::try_from(all.text.len()).expect("below the bound"));
                }
                Token::End => return Ok(all),
                _ => {}
            }
        }
    }

    /// One of them, cleaned as a cell's text is.
    ///
    /// # Errors
    /// `damaged` if there is none of this number.
    pub fn get(&self, index: usize) -> Result<&str, Problem> {
        let end = self.ends.get(index).ok_or_else(|| damaged("a cell's text is not there"))?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Ok(&self.text[start as usize..*end as usize])
    }
}
