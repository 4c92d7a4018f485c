//! Which row is the header.

use super::{cell::Row, columns::Columns, spec::Wanted};

/// So many rows are looked at.
pub const LOOKED_AT: u32 = 50;

/// The header of a table.
#[derive(Debug, Clone)]
pub struct Header {
    /// Its row's number.
    pub row: u32,
    /// Its columns.
    pub columns: Columns,
    /// How many cells the row has, blank ones at its end too. A row with more has shifted cells.
    pub width: usize,
    /// How many of the wanted columns it has.
    pub found: usize,
}

impl Header {
    /// The header of a table whose first rows these are: the row that is `fixed`, else the first that has every wanted column, else the
    /// likeliest: that with the most of them. `None` if there is no content.
    pub fn choose(rows: &[Row], wanted: &[Wanted], fixed: Option<u32>) -> Option<Self> {
        let may = |row: &&Row| fixed.is_none_or(|fixed| row.number == fixed);
        let mut likeliest: Option<Self> = None;
        for row in rows.iter().filter(may).filter(|row| row.cells.iter().any(|cell| !cell.is_blank())) {
            let columns = Columns::new(row.cells.iter().map(|cell| cell.text().into_owned()).collect());
            let found = wanted.iter().filter(|wanted| columns.has(wanted)).count();
            if likeliest.as_ref().is_none_or(|best| found > best.found) {
                likeliest = Some(Self { row: row.number, columns, width: row.cells.len(), found });
            }
            if found == wanted.len() {
                break;
            }
        }
        likeliest
    }

    /// How many cells have a name.
    pub fn named(&self) -> usize {
        self.columns.names().iter().filter(|name| !name.is_empty()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::sheet::cell::Cell;

    fn row(number: u32, cells: &[&str]) -> Row {
        let cell = |text: &&str| if text.is_empty() { Cell::Blank } else { Cell::Text((*text).to_owned()) };
        Row { number, hidden: false, cells: cells.iter().map(cell).collect(), ragged: false }
    }

    #[test]
    fn the_header_is_the_first_row_with_every_named_column() {
        let rows =
            [row(1, &["", ""]), row(2, &["名单", "openid"]), row(4, &["openid", "名称", ""]), row(5, &["o", "n"])];
        let wanted = |names: &[&str]| names.iter().map(|name| Wanted::Column((*name).to_owned())).collect::<Vec<_>>();
        let chosen = |names: &[&str], fixed| Header::choose(&rows, &wanted(names), fixed).map(|header| header.row);
        assert_eq!(chosen(&["名称", "openid"], None), Some(4));
        assert_eq!(chosen(&["openid"], None), Some(2), "the first of them");
        assert_eq!(chosen(&["openid", "名称", "地点"], None), Some(4), "the likeliest");
        assert_eq!(chosen(&["地点"], None), Some(2), "the first with content");
        assert_eq!(chosen(&[], None), Some(2));
        assert_eq!(chosen(&["openid"], Some(4)), Some(4));
        assert_eq!(chosen(&[], Some(1)), None, "it is blank");
        assert_eq!(chosen(&[], Some(3)), None, "it is not there");
        let header = Header::choose(&rows, &wanted(&["名称"]), None).expect("there");
        assert_eq!((header.width, header.named(), header.columns.names().len()), (3, 2, 2));
    }
}
