//! `[schedules]`: the folder where schedule files lie. It is not watched yet; a file is loaded by a person or a program.

use super::check::Check;
use crate::words::say;
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[expect(dead_code, reason = "checked for its shape; the folder is not watched yet, and a warning says so")]
    dir: PathBuf,
}

impl Raw {
    pub fn check(&self, check: &mut Check<'_>) {
        check.warning(say!("schedules_not_watched"));
    }
}
