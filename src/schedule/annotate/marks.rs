//! What is marked in a sheet, and the comments there.

use super::{MAX_ROWS, Told, limited};
use rust_xlsxwriter::{Note, Worksheet, XlsxError};
use std::collections::BTreeMap;
use unicode_width::UnicodeWidthStr;

/// What is marked in a sheet: sentences by row and column, both from 0.
pub struct Marks(pub BTreeMap<(u32, u16), String>);

impl Marks {
    /// A problem without a cell marks the first of its row, one without a row the first of the header.
    pub fn of<'a>(problems: impl Iterator<Item = &'a Told>, header: u32) -> Self {
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
    pub fn columns(&self, row: u32) -> Vec<u16> {
        self.0.range((row, 0)..=(row, u16::MAX)).map(|((_, column), _)| *column).collect()
    }

    /// Writes the comments.
    ///
    /// # Errors
    /// What the workbook refuses.
    pub fn comment(&self, page: &mut Worksheet) -> Result<(), XlsxError> {
        for ((row, column), text) in &self.0 {
            // A line of a comment holds about 36 characters of English, and half as many of Chinese.
            let lines: usize = text.split('\n').map(|line| 1 + line.width() / 36).sum();
            let height = u32::try_from(20 * lines.clamp(3, 20) + 10).expect("small");
            let note = Note::new(limited(text)).add_author_prefix(false).set_author("tixing");
            page.insert_note(*row, *column, &note.set_width(280).set_height(height))?;
        }
        Ok(())
    }
}
