//! What a schedule's file names, by a glance that checks nothing: so its tables are found before it is read.

use std::collections::BTreeSet;

/// Where a file may name a table.
const PLACES: [&[&str]; 3] = [&["audience"], &["exclude"], &["at", "events"]];

/// What a file names. Nothing, if it is no TOML.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// The schedule.
    pub schedule: Option<String>,
    /// Its app.
    pub app: Option<String>,
    /// Its tables, as it calls them.
    pub tables: BTreeSet<String>,
}

impl Named {
    /// By this text.
    pub fn of(text: &str) -> Self {
        let Ok(table) = text.trim_start_matches('\u{feff}').parse::<toml::Table>() else { return Self::default() };
        let text = |name: &str| table.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        let table_at = |place: &[&str]| {
            let (first, rest) = place.split_first()?;
            let named = rest.iter().try_fold(table.get(*first)?, |value, step| value.get(step))?;
            named.get("file")?.as_str().map(str::to_owned)
        };
        let tables = PLACES.into_iter().filter_map(table_at).collect();
        Self { schedule: text("name"), app: text("app"), tables }
    }
}

/// The openids that stand in a file itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inline {
    /// Its audience, if that is a list.
    pub audience: Option<BTreeSet<String>>,
    /// Whom it excludes by name.
    pub exclude: BTreeSet<String>,
}

impl Inline {
    /// By this text. Nothing, if it is no TOML.
    pub fn of(text: &str) -> Self {
        let Ok(table) = text.parse::<toml::Table>() else { return Self::default() };
        let list = |name: &str| -> Option<BTreeSet<String>> {
            let openids = table.get(name)?.as_array()?.iter().filter_map(toml::Value::as_str);
            Some(openids.map(|openid| openid.trim().to_owned()).collect())
        };
        Self { audience: list("audience"), exclude: list("exclude").unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_file_names_itself_is_found_at_a_glance() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
        for (text, audience, exclude) in [
            ("audience = [\"o1\", \" o2 \"]\nexclude = [\"o2\"]", Some(names(&["o1", "o2"])), names(&["o2"])),
            ("audience = \"consented\"\nexclude = { file = \"staff.csv\" }", None, names(&[])),
            ("audience = [", None, names(&[])),
        ] {
            assert_eq!(Inline::of(text), Inline { audience, exclude }, "{text}");
        }
    }

    #[test]
    fn the_tables_of_a_file_are_found_at_a_glance() {
        let text = "\u{feff}name = \"x\"\napp = \"coffee\"\nat = { events = { file = \"课表.xlsx\" } }\n
            audience = { file = \"a.csv\" }\nexclude = { file = \"a.csv\" }\n";
        let named = Named::of(text);
        assert_eq!((named.schedule.as_deref(), named.app.as_deref()), (Some("x"), Some("coffee")));
        assert_eq!(named.tables.iter().collect::<Vec<_>>(), ["a.csv", "课表.xlsx"]);
        for nothing in ["", "name = ", "name = 3\naudience = \"consented\"\nat = 3", "exclude = [\"o1\"]"] {
            assert_eq!(Named::of(nothing), Named::default(), "{nothing}");
        }
    }
}
