//! `tixing plan FILE --annotate OUT.xlsx`: the rows as a workbook again, with what is wrong.

use super::{failure::Failure, files::Files, out::Out, table::text};
use crate::{
    schedule::{
        annotate::{self, Sheet, Told},
        sheet::{Encoding, Reader, Source, TableSpec, copy::Copy},
    },
    words::{Message, say},
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
    let problems = plan["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wrong = |table: &&Value| problems.iter().any(|problem| problem["file"] == table["file"]);
    let all = plan["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
    // One schedule has at most two, and the people stand in the last.
    let mut tables: Vec<&Value> = all.iter().filter(wrong).collect();
    if tables.is_empty() {
        tables.extend(all.last());
    }
    let mut sheets = Vec::new();
    for table in &tables {
        sheets.extend(sheet(files, table)?);
    }
    if sheets.is_empty() {
        return Err(say!("annotate_no_table").into());
    }
    let told: Vec<Told> = problems.iter().map(|problem| told(problem, &tables, out)).collect();
    let more = plan["more_problems"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
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

/// A table as the plan has read it, to be copied.
fn sheet(files: &Files, table: &Value) -> Result<Option<Sheet>, Message> {
    let file = text(&table["file"]);
    let Some(path) = files.table(&file) else { return Ok(None) };
    let header = table["header"].as_u64().and_then(|row| u32::try_from(row).ok());
    let spec = TableSpec {
        sheet: table["sheet"].as_str().map(str::to_owned),
        header,
        encoding: table["encoding"].as_str().and_then(Encoding::from_word),
        delimiter: table["delimiter"].as_str().and_then(|delimiter| delimiter.chars().next()),
        hidden: None,
    };
    let copy =
        Copy::open(&Reader::default(), &Source { path, name: &file }, &spec).map_err(|problem| problem.detail)?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = spec.sheet.or(stem).unwrap_or_default();
    Ok(Some(Sheet { copy, name, header: header.unwrap_or(1) }))
}

/// A problem of the plan, as it is told.
fn told(problem: &Value, tables: &[&Value], out: Out) -> Told {
    let word = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let line = problem["line"].as_u64();
    // Of two uses of one file the last one has the rows.
    let table = tables.iter().rposition(|table| table["file"] == problem["file"]);
    let mut place = word("file");
    if let Some(line) = line {
        place = format!("{place} {}", say!("place_line", line = line).say(out.voice)).trim().to_owned();
    }
    Told {
        table: table.filter(|_| line.is_none() || problem["row"].is_u64()),
        place,
        row: problem["row"].as_u64().and_then(|row| u32::try_from(row).ok()),
        cell: problem["cell"].as_str().and_then(column_of),
        column: word("column"),
        value: word("value"),
        detail: word("detail"),
        fix: word("fix"),
        code: word("code"),
    }
}

/// The column of a cell's name such as `C5`, from 0.
fn column_of(cell: &str) -> Option<u16> {
    let letters = cell.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = letters.bytes().try_fold(0_u32, |number, byte| {
        byte.is_ascii_uppercase().then(|| number * 26 + u32::from(byte - b'A') + 1).filter(|number| *number <= 16_384)
    })?;
    u16::try_from(number.checked_sub(1)?).ok()
}
