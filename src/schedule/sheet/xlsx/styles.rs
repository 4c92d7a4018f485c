//! The number formats of a workbook's cells.

use super::super::copied::NumberFormat;
use super::{
    format::Format,
    package::{Package, damaged},
    xml::{Name, Token, Xml, attribute},
};
use crate::schedule::problem::Problem;
use std::{
    collections::HashMap,
    io::{Read, Seek},
};

/// A workbook may have so many styles.
const MAX_STYLES: usize = 1 << 17;
/// No spreadsheet program writes a longer code.
const MAX_CODE: usize = 255;

/// The format of each style.
#[derive(Debug, Default)]
pub struct Styles {
    formats: Vec<Format>,
    /// The same as the workbook writes them, for a copy.
    looks: Vec<NumberFormat>,
    of_style: Vec<usize>,
}

impl Styles {
    /// Reads them.
    ///
    /// # Errors
    /// `damaged`.
    pub fn read<R: Read + Seek>(package: &mut Package<R>, part: &str) -> Result<Self, Problem> {
        let mut xml = Xml::new(package.part(part)?);
        let (mut codes, mut ids, mut in_styles) = (HashMap::new(), Vec::new(), false);
        loop {
            match xml.next()? {
                Token::Open(element) => match (Name::of(&element), element.local_name().into_inner()) {
                    (Name::Styles, _) => in_styles = true,
                    (_, "numFmt") => {
                        let id = attribute(&element, "numFmtId").and_then(|id| id.parse::<u32>().ok());
                        if let (Some(id), Some(code)) = (id, attribute(&element, "formatCode")) {
                            codes.insert(id, code.into_owned());
                        }
                    }
                    (_, "xf") if in_styles => {
                        let id = attribute(&element, "numFmtId").and_then(|id| id.parse::<u32>().ok());
                        ids.push(id.unwrap_or(0));
                    }
                    _ => {}
                },
                Token::Close(Name::Styles) => in_styles = false,
                Token::End => break,
                _ => {}
            }
            if codes.len() > MAX_STYLES || ids.len() > MAX_STYLES {
                return Err(damaged("it has too many styles"));
            }
        }
        let (mut styles, mut places) = (Self::default(), HashMap::new());
        for id in ids {
            let place = *places.entry(id).or_insert_with(|| {
                let code = codes.get(&id);
                styles.formats.push(code.map_or_else(|| Format::built_in(id), |code| Format::of(code)));
                styles.looks.push(look(id, code));
                styles.formats.len() - 1
            });
            styles.of_style.push(place);
        }
        Ok(styles)
    }

    /// The number formats as the workbook writes them.
    pub fn looks(&self) -> &[NumberFormat] {
        &self.looks
    }

    /// The place among [`Self::looks`] of a style's number format; one that is not there for a style without.
    pub fn look(&self, style: usize) -> u16 {
        self.of_style.get(style).and_then(|place| u16::try_from(*place).ok()).unwrap_or(u16::MAX)
    }

    /// The format of a cell's style.
    pub fn format(&self, style: usize) -> &Format {
        self.of_style.get(style).map_or(&Format::General, |place| &self.formats[*place])
    }
}

/// A number format as it is written; what no spreadsheet program would write is the format of no format.
fn look(id: u32, code: Option<&String>) -> NumberFormat {
    match (code, u8::try_from(id)) {
        (Some(code), _) if code.chars().count() <= MAX_CODE => NumberFormat::Code(code.clone()),
        (None, Ok(id)) => NumberFormat::BuiltIn(id),
        _ => NumberFormat::BuiltIn(0),
    }
}
