//! `[schedules]`: the folder that is watched, whose files are loaded by themselves.

use super::{check::Check, place::Place};
use crate::words::say;
use serde::Deserialize;
use std::path::PathBuf;

/// The watched folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedules {
    /// Where it lies, as an absolute path. It may come later: sends wait for no folder.
    pub dir: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    dir: PathBuf,
}

impl Raw {
    pub fn check(&self, check: &mut Check<'_>) -> Option<Schedules> {
        let place = Place::table("schedules").key("dir");
        if self.dir.as_os_str().is_empty() {
            check.problem(&place, say!("schedules_dir_empty"));
            return None;
        }
        // Without `.` and doubled slashes, so that a path of one of its files is always written alike.
        let dir: PathBuf = check.base.join(&self.dir).components().collect();
        let shown = dir.to_string_lossy().into_owned();
        match dir.metadata() {
            Ok(about) if about.is_dir() => {}
            Ok(_) => {
                check.problem(&place, say!("schedules_dir_no_folder", dir = shown));
                return None;
            }
            // A checkout or a mount may bring it later, and all that is stored is to be sent meanwhile.
            Err(_) => check.warning(say!("schedules_dir_missing", dir = shown)),
        }
        Some(Schedules { dir })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{GOOD, read, refused};

    #[test]
    fn the_folder_lies_beside_the_configuration_and_may_come_later() {
        let text = format!("{}\n[schedules]\ndir = \"./no-such-folder//\"\n", *GOOD);
        let config = read(&text, &[]).expect("right");
        let dir = config.schedules.expect("there").dir;
        assert_eq!(dir, std::path::absolute("no-such-folder").expect("a path"));
        assert!(config.warnings.iter().any(|warning| warning.to_string().contains("no-such-folder")));
        assert!(read(&GOOD, &[]).expect("right").schedules.is_none());
        refused(&[
            ("[store]", "[schedules]\ndir = \"\"\n[store]", "tixing.toml:5: "),
            ("[store]", "[schedules]\ndir = \"Cargo.toml\"\n[store]", "is no folder"),
            ("[store]", "[schedules]\nfolder = \"x\"\n[store]", "dir"),
        ]);
    }
}
