//! Which of several files of one name has it: the one whose schedule it is, as long as it is there; of new ones the first by path. So a copy
//! that an editor or a person makes beside a file takes nothing over, however it is called.

use super::scan::Scan;
use crate::store::folder::Filed;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// Schedule → the file that has its name, by what is stored of the schedules. Of new files only those count that are quiet.
pub fn owners<'s>(
    dir: &Path,
    scan: &'s Scan,
    rows: &'s HashMap<String, Filed>,
    is_quiet: impl Fn(&str) -> bool,
) -> BTreeMap<&'s str, &'s str> {
    let mut owners = BTreeMap::new();
    for (name, seen) in &scan.files {
        let Some(schedule) = seen.named.schedule.as_deref() else { continue };
        if owners.contains_key(schedule) {
            continue;
        }
        let holder = rows.get(schedule).and_then(|row| holder(dir, scan, row));
        if let Some(owner) = holder.or_else(|| is_quiet(name).then_some(name)) {
            owners.insert(schedule, owner);
        }
    }
    owners
}

/// The file that a schedule was loaded from, unless it names another one by now. One that says no name at all may be half written.
fn holder<'s>(dir: &Path, scan: &'s Scan, row: &Filed) -> Option<&'s str> {
    let path = Path::new(&row.path);
    let file = path.file_name().filter(|_| path.parent() == Some(dir))?.to_str()?;
    let (name, seen) = scan.files.get_key_value(file)?;
    seen.named.schedule.as_ref().is_none_or(|schedule| *schedule == row.name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{
        folder::{inside::Fault, scan::Seen},
        named::Named,
    };
    use std::sync::Arc;

    /// `j.toml=spring` is a file that names that schedule, `j.toml=` one that names none, and a `~` at its end one that is not quiet.
    fn owner(files: &str, loaded_from: Option<&str>) -> Option<String> {
        let mut scan = Scan::default();
        let mut loud = Vec::new();
        for file in files.split_whitespace() {
            let (name, schedule) = file.trim_end_matches('~').split_once('=').expect("name=schedule");
            if file.ends_with('~') {
                loud.push(name.to_owned());
            }
            let schedule = (!schedule.is_empty()).then(|| schedule.to_owned());
            let named = Arc::new(Named { schedule, ..Named::default() });
            scan.files.insert(name.into(), Seen { stamp: Err(Fault::Missing), named, tables: Vec::new() });
        }
        let row = |path: &str| Filed {
            id: 1,
            name: "spring".into(),
            app: "coffee".into(),
            template: "t".into(),
            path: path.into(),
            digest: String::new(),
            incomplete: false,
            loaded_at: None,
            cancelled: false,
            in_folder: true,
            orphaned_at: None,
            recurs: false,
            busy: false,
        };
        let rows = loaded_from.map(|path| ("spring".to_owned(), row(path))).into_iter().collect();
        let found = owners(Path::new("/s"), &scan, &rows, |name| !loud.iter().any(|loud| loud == name));
        found.get("spring").map(|name| (*name).to_owned())
    }

    #[test]
    fn who_has_a_name_keeps_it_while_the_file_is_there_and_of_new_ones_the_first_by_path_has_it() {
        for (files, loaded_from, expected) in [
            ("b=spring a=spring", None, Some("a")),
            ("b=spring a=spring~", None, Some("b")),
            ("b=spring~ a=spring~", None, None),
            ("b=spring a=spring", Some("/s/b"), Some("b")),
            ("b=spring~ a=spring", Some("/s/b"), Some("b")),
            ("b= a=spring", Some("/s/b"), Some("b")),
            ("b=summer a=spring", Some("/s/b"), Some("a")),
            ("c=spring a=spring", Some("/s/b"), Some("a")),
            ("b=spring a=spring", Some("/elsewhere/b"), Some("a")),
            ("b=spring a=spring", Some(""), Some("a")),
            ("b=summer", Some("/s/b"), None),
        ] {
            assert_eq!(owner(files, loaded_from).as_deref(), expected, "{files} of {loaded_from:?}");
        }
    }
}
