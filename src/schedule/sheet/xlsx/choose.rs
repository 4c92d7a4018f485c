//! What is asked of the child, and the sheet that it asks for.

use super::{
    super::{
        cell::Row,
        columns::{normalise, short},
        copied::Width,
        header::LOOKED_AT,
        spec::{Hidden, MAX_COLUMNS, Wanted},
    },
    merge::Area,
    package::Package,
    rows::{Book, Rows},
    workbook::{Place, Workbook},
};
use crate::{domain::did_you_mean, schedule::problem::Problem, words::say};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Seek};

/// Rows are sent in frames of about so many bytes.
pub const FRAME: usize = 64 << 10;
/// A row may have so many bytes.
pub const MAX_ROW: usize = 16 << 20;

/// What is asked of the child.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Request {
    /// The sheet's name, if one is said.
    pub sheet: Option<String>,
    /// The header's row, if one is said.
    pub header: Option<u32>,
    /// What becomes of hidden rows.
    pub hidden: Option<Hidden>,
    /// The columns that are needed.
    pub wanted: Vec<Wanted>,
    /// The sheet is asked for as it stands, for a copy of it.
    #[serde(default)]
    pub copy: bool,
}

/// Why it is not read on.
pub enum Stop {
    /// The workbook is refused.
    Refused(Box<Problem>),
    /// The pipe takes no more.
    Pipe(io::Error),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        Self::Pipe(e)
    }
}

/// What one look at a whole sheet tells.
#[derive(Default)]
pub struct Seen {
    /// The rows among which the header is.
    pub first: Vec<Row>,
    content: bool,
    /// Hidden rows with content: those among the first, and of those below them the number and the first.
    hidden: Vec<u32>,
    hidden_below: (u32, u32),
    /// The merged areas.
    pub areas: Vec<Area>,
    /// How wide columns are.
    pub widths: Vec<Width>,
}

impl Seen {
    fn look<R: Read + Seek>(
        package: &mut Package<R>,
        place: &Place,
        book: &Book,
        fixed: Option<u32>,
    ) -> Result<Self, Problem> {
        let mut rows = Rows::new(package.part(&place.part)?, book, MAX_COLUMNS);
        let (mut seen, last) = (Self::default(), fixed.unwrap_or(LOOKED_AT));
        let mut row = Row { number: 0, hidden: false, cells: Vec::new(), ragged: false };
        while let Some(content) = rows.next(&mut row)? {
            seen.content |= content;
            if content && row.hidden {
                match row.number <= last {
                    true => seen.hidden.push(row.number),
                    false if seen.hidden_below.0 == 0 => seen.hidden_below = (1, row.number),
                    false => seen.hidden_below.0 += 1,
                }
            }
            if content && fixed.map_or(row.number <= last, |fixed| row.number == fixed) {
                seen.first.push(row.clone());
            }
        }
        (seen.areas, seen.widths) = (rows.areas, rows.widths);
        Ok(seen)
    }

    /// How many rows with content are hidden below the header, and the first of them.
    pub fn hidden_below(&self, header: u32) -> Option<(u32, u32)> {
        let mut near = self.hidden.iter().copied().filter(|row| *row > header);
        let first = near.next();
        let n = u32::from(first.is_some()) + u32::try_from(near.count()).unwrap_or(u32::MAX) + self.hidden_below.0;
        (n > 0).then(|| (n, first.unwrap_or(self.hidden_below.1)))
    }
}

/// The sheet that is named, else the first visible one with content. The list of problems that a copy begins with is passed over.
pub fn choose<'w, R: Read + Seek>(
    package: &mut Package<R>,
    workbook: &'w Workbook,
    book: &Book,
    request: &Request,
) -> Result<(&'w Place, Seen), Problem> {
    if let Some(name) = &request.sheet {
        let sought = normalise(name);
        let Some(place) = workbook.sheets.iter().find(|sheet| normalise(&sheet.name) == sought) else {
            let names: Vec<&str> = workbook.sheets.iter().map(|sheet| &*sheet.name).collect();
            let near = did_you_mean(name, names.iter().copied());
            let has: Vec<String> = names.iter().take(30).map(|name| short(name)).collect();
            let hint = near.map(|near| say!("did_you_mean", near = near));
            let what = say!("sheet_missing", name = short(name), has = has, near = hint);
            return Err(Problem::new("no_file", what).or(near.map(str::to_owned)));
        };
        return Ok((place, Seen::look(package, place, book, request.header)?));
    }
    for place in workbook.sheets.iter().filter(|sheet| !sheet.hidden && !sheet.problems) {
        let seen = Seen::look(package, place, book, request.header)?;
        if seen.content {
            return Ok((place, seen));
        }
    }
    Err(Problem::new("no_header", say!("sheets_are_blank")))
}
