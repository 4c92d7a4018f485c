//! `[schedules]`: where schedule files lie. They are not read yet.

use super::check::Check;
use crate::words::say;
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[expect(dead_code, reason = "checked for its shape; schedule files are not read yet, and a warning says so")]
    dir: PathBuf,
}

impl Raw {
    pub fn check(&self, check: &mut Check<'_>) {
        check.warning(say!("schedules_not_built"));
    }
}
