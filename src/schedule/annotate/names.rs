//! The names of sheets.

/// A sheet's name has so many UTF-16 units.
const MAX_NAME: usize = 31;

/// The names of the sheets: each once, as a workbook allows them.
#[derive(Default)]
pub struct Names(Vec<String>);

impl Names {
    /// The next free name like this one.
    pub fn take(&mut self, wanted: &str) -> String {
        let right: String = wanted.chars().filter(|c| !"[]:*?/\\".contains(*c) && !c.is_control()).collect();
        let right = match right.trim().trim_matches('\'') {
            "" => "Sheet",
            right => right,
        };
        let free = |name: &String| !self.0.iter().any(|taken| taken.to_lowercase() == name.to_lowercase());
        let numbered = (1..).map(|n| if n == 1 { cut(right, "") } else { cut(right, &format!(" ({n})")) });
        let name = numbered.into_iter().find(free).expect("numbers do not end");
        self.0.push(name.clone());
        name
    }
}

/// A name and what is put behind it, not longer than a name may be.
fn cut(name: &str, end: &str) -> String {
    let mut short = String::new();
    for c in name.chars() {
        let length = short.encode_utf16().count() + c.len_utf16() + end.len();
        if length > MAX_NAME {
            break;
        }
        short.push(c);
    }
    short.trim_end_matches('\'').to_owned() + end
}

/// A sheet's name as a formula has it.
pub fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_sheets_are_allowed_and_differ() {
        let mut names = Names::default();
        let long = "很".repeat(40);
        let table = [
            ("名单", "名单".to_owned()),
            ("名单", "名单 (2)".to_owned()),
            ("[a]:b?", "ab".to_owned()),
            ("AB", "AB (2)".to_owned()),
            ("'", "Sheet".to_owned()),
            (&long, "很".repeat(31)),
            (&long, format!("{} (2)", "很".repeat(27))),
        ];
        for (wanted, name) in table {
            assert_eq!(names.take(wanted), name);
            assert!(rust_xlsxwriter::utility::check_sheet_name(&name).is_ok(), "{name}");
        }
    }
}
