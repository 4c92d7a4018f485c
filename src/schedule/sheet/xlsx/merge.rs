//! Merged cells: a sheet stores the value in the first cell of an area, and a reader sees it in all of them.

use super::{
    super::cell::Cell,
    place::{MAX_ROWS, column_of},
};
use serde::{Deserialize, Serialize};

/// A merged area; columns from 0, rows from 1, both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// Its first row.
    pub top: u32,
    /// Its last row.
    pub bottom: u32,
    /// Its first column.
    pub left: usize,
    /// Its last column.
    pub right: usize,
}

impl Area {
    /// Of a reference such as `A5:C8`.
    pub fn read(text: &str) -> Option<Self> {
        let corner = |name: &str| {
            let row = name.trim_start_matches(|c: char| c.is_ascii_alphabetic()).parse::<u32>().ok()?;
            Some((column_of(name)?, row)).filter(|(_, row)| (1..=MAX_ROWS).contains(row))
        };
        let (from, to) = text.split_once(':').unwrap_or((text, text));
        let ((left, top), (right, bottom)) = (corner(from)?, corner(to)?);
        (left <= right && top <= bottom).then_some(Self { top, bottom, left, right })
    }
}

/// What cells of merged areas are filled with.
pub trait Fill: Clone {
    /// Nothing stands there.
    const NOTHING: Self;

    /// Whether nothing stands there.
    fn is_nothing(&self) -> bool;
}

impl Fill for Cell {
    const NOTHING: Self = Self::Blank;

    fn is_nothing(&self) -> bool {
        self.is_blank()
    }
}

/// Fills the cells of merged areas, row by row.
#[derive(Debug, Default)]
pub struct Merged<T = Cell> {
    /// Those that have not begun, the next one last.
    ahead: Vec<Area>,
    /// Those that the last row was in, with what stands in them.
    open: Vec<(Area, T)>,
}

impl<T: Fill> Merged<T> {
    /// Of the areas below the header that touch its columns.
    pub fn new(areas: &[Area], header: u32, width: usize) -> Self {
        let mut ahead: Vec<Area> =
            areas.iter().filter(|area| area.top > header && area.left < width).copied().collect();
        ahead.sort_unstable_by_key(|area| std::cmp::Reverse((area.top, area.left)));
        Self { ahead, open: Vec::new() }
    }

    /// How many there are, and the first one's row.
    pub fn seen(&self) -> Option<(usize, u32)> {
        self.ahead.last().map(|first| (self.ahead.len(), first.top))
    }

    /// The last row that has something by an area which is open.
    pub fn until(&self) -> u32 {
        self.open.iter().map(|(area, _)| area.bottom).max().unwrap_or(0)
    }

    /// Fills the cells of a row that has so many columns. Rows come in their order.
    pub fn fill(&mut self, row: u32, cells: &mut Vec<T>, width: usize) {
        while let Some(area) = self.ahead.pop_if(|area| area.top <= row) {
            // Of an area whose first row is not there nothing is known, and so it is blank.
            let value = cells.get(area.left).filter(|cell| area.top == row && !cell.is_nothing());
            if let Some(value) = value {
                self.open.push((area, value.clone()));
            }
        }
        self.open.retain(|(area, _)| area.bottom >= row);
        for (area, value) in &self.open {
            let right = area.right.min(width - 1);
            if cells.len() <= right {
                cells.resize(right + 1, T::NOTHING);
            }
            for cell in cells[area.left..=right].iter_mut().filter(|cell| cell.is_nothing()) {
                *cell = value.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_read_or_refused() {
        let table = [
            ("A5:C8", Some((5, 8, 0, 2))),
            ("XFD1048576", Some((1_048_576, 1_048_576, 16_383, 16_383))),
            ("C8:A5", None),
            ("A0:A1", None),
            ("A1:A1048577", None),
            ("A:B", None),
            ("1:2", None),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAA1", None),
            ("", None),
        ];
        for (text, area) in table {
            assert_eq!(Area::read(text).map(|a| (a.top, a.bottom, a.left, a.right)), area, "{text}");
        }
    }

    #[test]
    fn every_cell_of_an_area_below_the_header_has_its_value() {
        let areas = ["A1:B1", "A3:A5", "B3:C3", "D4:E9"].map(|text| Area::read(text).expect("an area"));
        let mut merged = Merged::new(&areas, 1, 3);
        assert_eq!(merged.seen(), Some((2, 3)));
        let mut filled = |number, cells: &[&str]| {
            let cell = |text: &&str| if text.is_empty() { Cell::Blank } else { Cell::Text((*text).to_owned()) };
            let mut cells = cells.iter().map(cell).collect();
            merged.fill(number, &mut cells, 3);
            (cells.iter().map(|cell| cell.text().into_owned()).collect::<Vec<_>>().join(","), merged.until())
        };
        assert_eq!(filled(2, &["x"]), ("x".into(), 0));
        assert_eq!(filled(3, &["m", "n"]), ("m,n,n".into(), 5));
        assert_eq!(filled(4, &["", "y"]), ("m,y".into(), 5));
        assert_eq!(filled(5, &[]), ("m".into(), 5));
        assert_eq!(filled(6, &["", "z"]), (",z".into(), 0));
    }
}
