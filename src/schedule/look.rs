//! What is read of a table, for a person to look at before a schedule names it.

use super::{
    problem::Problem,
    render::used::usable,
    sheet::{self, About, Encoding, Hidden, Reader, Source, Table, TableSpec, cell::Row, cell_name},
};
use crate::words::{Voice, say};
use serde_json::{Map, Value, json};

/// So many notes are told.
const MAX_NOTES: usize = 1_000;
/// How it is read.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The sheet; else the first one with content.
    pub sheet: Option<String>,
    /// The header's row; else the first one with content.
    pub header: Option<u32>,
    /// How its characters are written.
    pub encoding: Option<Encoding>,
    /// Rows to show.
    pub limit: u32,
}

/// What is shown of a table.
pub struct Seen {
    /// What it is.
    pub about: About,
    /// Its first rows.
    pub rows: Vec<Row>,
    /// How many rows have content.
    pub total: u64,
    /// What was guessed, and what would refuse a row.
    pub notes: Vec<Problem>,
    /// How many notes there are beyond those that are told.
    pub more: u64,
}

/// Reads a table whole. This blocks.
///
/// # Errors
/// Why it can't be read.
pub fn look_at(reader: &Reader, source: &Source<'_>, wanted: &Wanted) -> Result<Seen, Box<Problem>> {
    let spec = TableSpec {
        sheet: wanted.sheet.clone(),
        header: wanted.header,
        // They are shown; a schedule has to say what becomes of them.
        hidden: Some(Hidden::Read),
        encoding: wanted.encoding,
        delimiter: None,
    };
    let table = sheet::open(reader, source, &spec, &[]).map_err(|mut problems| Box::new(problems.remove(0)))?;
    look(table, wanted.limit)
}

fn look(mut table: Table, limit: u32) -> Result<Seen, Box<Problem>> {
    let about = table.about().clone();
    let mut notes = table.notes();
    if let Some((n, first)) = about.hidden {
        notes.retain(|note| note.code != "hidden_rows");
        notes.push(Problem::new("hidden_rows", say!("rows_are_hidden", n = n, first = first)).in_row(first));
    }
    let (mut rows, mut total, mut more) = (Vec::new(), 0, 0);
    while let Some(row) = table.next()? {
        total += 1;
        for note in would_refuse(&row, &about) {
            match notes.len() < MAX_NOTES {
                true => notes.push(note),
                false => more += 1,
            }
        }
        if rows.len() < limit as usize {
            rows.push(row);
        }
    }
    Ok(Seen { about, rows, total, notes, more })
}

/// What would refuse the row, if the cell is used.
fn would_refuse(row: &Row, about: &About) -> Vec<Problem> {
    if row.ragged {
        return vec![Problem::new("ragged", say!("row_ragged", columns = about.columns.len())).in_row(row.number)];
    }
    let cells = row.cells.iter().enumerate();
    let faults = cells.filter_map(|(i, cell)| usable(cell).err().map(|fault| (i, fault)));
    let told = faults.map(|(i, (code, what))| {
        let mut problem = Problem::new(code, what).in_row(row.number);
        problem.place.column = Some(about.columns[i].clone());
        problem.place.cell = Some(cell_name(i, row.number));
        problem
    });
    told.collect()
}

impl Seen {
    /// As `tixing sheet --json` and the API tell it.
    pub fn json(&self, voice: Voice) -> Value {
        let Self { about, rows, total, notes, .. } = self;
        let sheets: Vec<Value> =
            about.sheets.iter().map(|sheet| json!({ "name": sheet.name, "hidden": sheet.hidden })).collect();
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| {
                let cells: Vec<_> = row.cells.iter().map(|cell| cell.text()).collect();
                let mut told = json!({ "row": row.number, "cells": cells });
                if row.hidden {
                    told["hidden"] = true.into();
                }
                told
            })
            .collect();
        json!({
            "file": about.file,
            "kind": about.kind.word(),
            "encoding": about.encoding.map(|encoding| encoding.word()),
            "delimiter": about.delimiter,
            "sheets": sheets,
            "sheet": about.sheet,
            "header": about.header,
            "columns": about.columns,
            "total": total,
            "rows": rows,
            "notes": notes.iter().map(|told| note(told, voice)).collect::<Vec<_>>(),
        })
    }
}

/// A note with what it has: no member is null.
fn note(note: &Problem, voice: Voice) -> Value {
    let mut told = Map::new();
    told.insert("code".to_owned(), note.code.into());
    let place = &note.place;
    told.extend(place.row.map(|row| ("row".to_owned(), row.into())));
    told.extend(place.column.as_ref().map(|column| ("column".to_owned(), column.as_str().into())));
    told.extend(place.cell.as_ref().map(|cell| ("cell".to_owned(), cell.as_str().into())));
    told.insert("detail".to_owned(), note.detail.say(voice).into());
    told.into()
}
