//! `tixing plan FILE --annotate OUT.xlsx`: the rows as a workbook again, with what is wrong.

use super::{failure::Failure, files::Files, out::Out};
use crate::{
    schedule::{
        annotate::{
            self,
            planned::{Planned, of_plan},
        },
        sheet::Reader,
    },
    words::say,
};
use serde_json::Value;
use std::{
    fs::Permissions,
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

/// Writes the tables of a plan to `to`, with its problems. The workbook is whole or not there.
///
/// # Errors
/// Where `to` is no name for it, no table could be read, or it can't be written.
pub fn write(files: &Files, plan: &Value, to: &Path, out: Out) -> Result<(), Failure> {
    let find = |file: &str| files.table(file).map(Path::to_path_buf);
    let Planned { sheets, told, more } = of_plan(plan, find, &Reader::default(), out.voice)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = |e: io::Error| say!("cannot_write", file = to.to_string_lossy(), why = e.to_string());
    // With the permissions that any new file gets.
    let mut beside = tempfile::Builder::new();
    let beside = beside.prefix(".tixing-").suffix(".tmp").permissions(Permissions::from_mode(0o666));
    let mut file = beside.tempfile_in(folder).map_err(cannot)?;
    let names = annotate::write(sheets, &told, more, out.voice, folder, &mut file)?;
    file.persist(to).map_err(|e| cannot(e.error))?;
    let marked = told.iter().filter(|told| told.table.is_some()).count();
    let file = to.to_string_lossy();
    out.tell(&match names.len() {
        1 => say!("annotate_wrote", file = file, n = marked),
        // Without its sheet each would be read from the first.
        _ => say!("annotate_wrote_sheets", file = file, n = marked, sheets = names),
    });
    Ok(())
}

/// The target is a workbook by its name, and none of the files that are read.
///
/// # Errors
/// If it is not so.
pub fn may_be_written(files: &Files, to: &Path) -> Result<(), Failure> {
    if !to.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xlsx")) {
        return Err(Failure::Usage(say!("annotate_not_xlsx", file = to.to_string_lossy())));
    }
    let identity = |path: &Path| path.metadata().ok().map(|about| (about.dev(), about.ino()));
    let there = identity(to);
    if there.is_some() && files.read().any(|path| identity(path) == there) {
        return Err(Failure::Usage(say!("annotate_is_input", file = to.to_string_lossy())));
    }
    Ok(())
}
