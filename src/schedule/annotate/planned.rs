//! What a plan says of its tables, as the workbook wants it.

use super::{Sheet, Told};
use crate::{
    schedule::sheet::{Encoding, Reader, Source, TableSpec, copy::Copy},
    words::{Message, Voice, say},
};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What is to be written of a plan.
pub struct Planned {
    /// Its tables.
    pub sheets: Vec<Sheet>,
    /// Its problems.
    pub told: Vec<Told>,
    /// How many problems there are beyond those.
    pub more: u64,
}

/// What a plan, in JSON, says of its tables. `find`: where the table of a name lies.
///
/// # Errors
/// Where no table can be read.
pub fn of_plan(
    plan: &Value,
    find: impl Fn(&str) -> Option<PathBuf>,
    reader: &Reader,
    voice: Voice,
) -> Result<Planned, Message> {
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
        let file = table["file"].as_str().unwrap_or_default();
        if let Some(path) = find(file) {
            sheets.push(sheet(table, file, &path, reader)?);
        }
    }
    if sheets.is_empty() {
        return Err(say!("annotate_no_table"));
    }
    let told = problems.iter().map(|problem| told(problem, &tables, voice)).collect();
    let more = plan["more_problems"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    Ok(Planned { sheets, told, more })
}

/// A table as the plan has read it, to be copied.
fn sheet(table: &Value, file: &str, path: &Path, reader: &Reader) -> Result<Sheet, Message> {
    let header = table["header"].as_u64().and_then(|row| u32::try_from(row).ok());
    let spec = TableSpec {
        sheet: table["sheet"].as_str().map(str::to_owned),
        header,
        encoding: table["encoding"].as_str().and_then(Encoding::from_word),
        delimiter: table["delimiter"].as_str().and_then(|delimiter| delimiter.chars().next()),
        hidden: None,
    };
    let copy = Copy::open(reader, &Source { path, name: file }, &spec).map_err(|problem| problem.detail)?;
    let stem = Path::new(file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = spec.sheet.or(stem).unwrap_or_default();
    Ok(Sheet { copy, name, header: header.unwrap_or(1) })
}

/// A problem of the plan, as it is told.
fn told(problem: &Value, tables: &[&Value], voice: Voice) -> Told {
    let word = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    let line = problem["line"].as_u64();
    // Of two uses of one file the last one has the rows.
    let table = tables.iter().rposition(|table| table["file"] == problem["file"]);
    let mut place = word("file");
    if let Some(line) = line {
        place = format!("{place} {}", say!("place_line", line = line).say(voice)).trim().to_owned();
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
