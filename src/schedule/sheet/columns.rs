//! The columns of a table, found by the names that its header shows.

use super::{
    spec::{Wanted, openid_names},
    text::is_space,
};
use crate::{
    schedule::problem::Problem,
    words::{Message, say},
};
use std::{borrow::Cow, collections::HashMap};
use unicode_normalization::{UnicodeNormalization, is_nfkc};

/// A name as names are compared: NFKC, trimmed, inner white space and line breaks as one space, ASCII case ignored.
pub fn normalise(name: &str) -> String {
    let name: Cow<'_, str> = if is_nfkc(name) { name.into() } else { name.nfkc().collect::<String>().into() };
    let words = name.split(is_space).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").to_ascii_lowercase()
}

/// The columns of a header.
#[derive(Debug, Clone)]
pub struct Columns {
    names: Vec<String>,
    places: HashMap<String, Vec<usize>>,
}

impl Columns {
    /// Of a header's row. What is blank after its last name is no column.
    pub fn new(mut names: Vec<String>) -> Self {
        names.truncate(names.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1));
        let mut places: HashMap<String, Vec<usize>> = HashMap::with_capacity(names.len());
        for (i, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            places.entry(normalise(name)).or_default().push(i);
        }
        Self { names, places }
    }

    /// As the header shows them, from column A on; a column without a name is blank.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it is there, if only twice.
    pub fn has(&self, wanted: &Wanted) -> bool {
        !self.places(wanted).is_empty()
    }

    fn places(&self, wanted: &Wanted) -> Vec<usize> {
        let of = |name: &str| self.places.get(&normalise(name)).cloned().unwrap_or_default();
        match wanted {
            Wanted::Column(name) => of(name),
            Wanted::Openid => openid_names().flat_map(of).collect(),
        }
    }

    /// Where the column is, from 0.
    ///
    /// # Errors
    /// `no_column`, with the nearest name as its fix; `column_twice`.
    pub fn find(&self, wanted: &Wanted) -> Result<usize, Problem> {
        match (&self.places(wanted)[..], wanted) {
            ([place], _) => Ok(*place),
            ([first, second, ..], _) => {
                let named = wanted_name(wanted);
                let (first, second) = (letters(*first), letters(*second));
                Err(Problem::new("column_twice", say!("column_is_twice", name = named, first = first, second = second)))
            }
            ([], Wanted::Column(name)) => {
                let near = self.near(name);
                let hint = near.as_ref().map(|near| say!("did_you_mean", near = near));
                let has = self.listed();
                Err(Problem::new("no_column", say!("column_missing", name = name, has = has, near = hint)).or(near))
            }
            ([], Wanted::Openid) => {
                let (names, has) = (openid_names().collect::<Vec<_>>(), self.listed());
                Err(Problem::new("no_column", say!("openid_column_missing", names = names, has = has)))
            }
        }
    }

    /// The first names, so that a sentence stays one.
    fn listed(&self) -> Vec<String> {
        let some = self.names.iter().filter(|name| !name.is_empty()).take(30);
        some.map(|name| short(name)).collect()
    }

    /// The column whose name is nearest: at most half of its signs are others.
    fn near(&self, name: &str) -> Option<String> {
        let sought = normalise(name);
        let most = sought.chars().count().min(64) / 2;
        let named = self.names.iter().filter(|name| !name.is_empty() && name.len() <= 256);
        let near = named.map(|name| (strsim::osa_distance(&sought, &normalise(name)), name));
        near.filter(|(distance, _)| *distance <= most)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, name)| name.clone())
    }

    /// The names that several columns carry, each with its first two places.
    pub fn twice(&self) -> Vec<(&str, usize, usize)> {
        let several = self.places.values().filter(|places| places.len() > 1);
        let mut twice: Vec<_> = several.map(|places| (&*self.names[places[0]], places[0], places[1])).collect();
        twice.sort_unstable_by_key(|(_, first, _)| *first);
        twice
    }
}

fn wanted_name(wanted: &Wanted) -> Message {
    Message::text(match wanted {
        Wanted::Column(name) => short(name),
        Wanted::Openid => "openid".to_owned(),
    })
}

/// A name that fits into a sentence.
pub fn short(name: &str) -> String {
    let mut chars = name.chars().map(|c| if c.is_control() { ' ' } else { c });
    let start: String = chars.by_ref().take(60).collect();
    if chars.next().is_some() { start + "…" } else { start }
}

/// A column as a spreadsheet calls it, such as `AB`; from 0.
pub fn letters(column: usize) -> String {
    let (mut letters, mut left) = (Vec::new(), column + 1);
    while left > 0 {
        left -= 1;
        letters.push(char::from(b'A' + u8::try_from(left % 26).expect("below 26")));
        left /= 26;
    }
    letters.iter().rev().collect()
}

/// A cell as a spreadsheet calls it, such as `C5`: the column from 0, the row from 1.
pub fn cell_name(column: usize, row: u32) -> String {
    format!("{}{row}", letters(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Columns {
        Columns::new(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn column(name: &str) -> Wanted {
        Wanted::Column(name.to_owned())
    }

    #[test]
    fn a_column_is_found_however_its_name_is_written() {
        let columns = columns(&["OpenID", "活动\n名称", "ＶＩＰ　等级", "", "  "]);
        assert_eq!(columns.names().len(), 5, "only what is empty is no name");
        for (name, place) in [("openid", 0), ("ｏｐｅｎｉｄ ", 0), ("活动 名称", 1), ("vip 等级", 2), ("VIP  等级", 2)]
        {
            assert_eq!(columns.find(&column(name)).map_err(|p| p.code), Ok(place), "{name}");
        }
        assert_eq!(columns.find(&Wanted::Openid).map_err(|p| p.code), Ok(0));
    }

    #[test]
    fn a_column_that_is_missing_is_told_with_the_nearest_name() {
        let columns = columns(&["openid", "活动名称", "开始时间", "名"]);
        let table = [
            ("活动名", Some("活动名称")),
            ("活動名稱", Some("活动名称")),
            ("开始时问", Some("开始时间")),
            ("地点", None),
            ("", None),
        ];
        for (name, near) in table {
            let problem = columns.find(&column(name)).expect_err("it is missing");
            assert_eq!((problem.code, problem.fix.as_deref()), ("no_column", near), "{name}");
        }
        assert!(columns.find(&column("活动名")).expect_err("missing").detail.to_string().contains("openid, 活动名称"));
    }

    #[test]
    fn a_name_that_two_columns_carry_is_told_if_it_is_used() {
        let columns = columns(&["名称", "openid", "名称 ", "用户openid"]);
        let problem = columns.find(&column("名称")).expect_err("it is there twice");
        assert_eq!(problem.code, "column_twice");
        assert!(problem.detail.to_string().contains("A and C"), "{}", problem.detail);
        assert_eq!(columns.find(&Wanted::Openid).expect_err("two have a usual name").code, "column_twice");
        assert_eq!(columns.find(&column("openid")).map_err(|p| p.code), Ok(1));
        assert_eq!(columns.twice(), [("名称", 0, 2)]);
    }

    #[test]
    fn cells_are_called_as_a_spreadsheet_calls_them() {
        for (column, row, name) in [(0, 1, "A1"), (25, 2, "Z2"), (26, 3, "AA3"), (701, 4, "ZZ4"), (16_383, 5, "XFD5")] {
            assert_eq!(cell_name(column, row), name);
        }
    }
}
