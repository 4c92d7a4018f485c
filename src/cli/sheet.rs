//! `tixing sheet`: what is read of a table.

use super::{
    arguments,
    failure::Failure,
    out::{Out, data},
};
use crate::{
    schedule::{
        problem::Problem,
        render::used::usable,
        sheet::{
            self, About, Hidden, Kind, Reader, Source, Table, TableSpec,
            cell::Row,
            cell_name,
            columns::{letters, short},
        },
    },
    words::{Message, say},
};
use comfy_table::{ContentArrangement, presets};
use serde_json::{Map, Value, json};

/// So many notes are told.
const MAX_NOTES: usize = 1_000;
/// So much of a cell is shown to people.
const SHOWN_CHARS: usize = 40;

/// What is shown of a table.
struct Seen {
    about: About,
    rows: Vec<Row>,
    total: u64,
    notes: Vec<Problem>,
    /// How many notes there are beyond those that are told.
    more: u64,
}

/// Reads the table and shows what it is, its first rows, and what would refuse a row.
pub fn run(arguments: &arguments::Sheet, out: Out) -> Result<(), Failure> {
    let name = arguments.file.to_string_lossy();
    let spec = TableSpec {
        sheet: arguments.sheet.clone(),
        header: arguments.header,
        // They are shown; a schedule has to say what becomes of them.
        hidden: Some(Hidden::Read),
        encoding: arguments.encoding,
        delimiter: None,
    };
    let source = Source { path: &arguments.file, name: &name };
    let opened = sheet::open(&Reader::default(), &source, &spec, &[]);
    let seen = opened
        .map_err(|mut problems| problems.remove(0))
        .map_err(Box::new)
        .and_then(|table| look(table, arguments.limit));
    match seen {
        Ok(seen) if out.json => data!("{}", json(&seen)),
        Ok(seen) => show(&seen, out),
        Err(problem) => {
            if out.json {
                data!("{}", json!({ "error": { "code": problem.code, "detail": problem.detail.to_string() } }));
            }
            return Err(Failure::Told(say!("sheet_refused", file = name, why = problem.detail)));
        }
    }
    Ok(())
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

fn json(seen: &Seen) -> Value {
    let Seen { about, rows, total, notes, .. } = seen;
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
        "notes": notes.iter().map(note).collect::<Vec<_>>(),
    })
}

/// A note with what it has: no member is null.
fn note(note: &Problem) -> Value {
    let mut told = Map::new();
    told.insert("code".to_owned(), note.code.into());
    let place = &note.place;
    told.extend(place.row.map(|row| ("row".to_owned(), row.into())));
    told.extend(place.column.as_ref().map(|column| ("column".to_owned(), column.as_str().into())));
    told.extend(place.cell.as_ref().map(|cell| ("cell".to_owned(), cell.as_str().into())));
    told.insert("detail".to_owned(), note.detail.to_string().into());
    told.into()
}

fn show(seen: &Seen, out: Out) {
    let about = &seen.about;
    out.show(&what_it_is(about));
    if about.sheets.len() > 1 {
        let named = about.sheets.iter().map(|sheet| match sheet.hidden {
            true => say!("sheet_hidden", name = short(&sheet.name)),
            false => Message::text(short(&sheet.name)),
        });
        out.show(&say!("sheet_sheets", sheets = named.collect::<Vec<_>>()));
    }
    let has = about.columns.iter().filter(|name| !name.is_empty()).count();
    out.show(&say!("sheet_header", row = about.header, columns = has, rows = seen.total));
    let mut table = comfy_table::Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    let names = about.columns.iter().enumerate().map(|(i, name)| format!("{} {}", letters(i), brief(name)));
    table.set_header([String::new()].into_iter().chain(names));
    for row in &seen.rows {
        let hidden = if row.hidden { say!("sheet_row_hidden").say(out.voice) } else { String::new() };
        let number = format!("{}{hidden}", row.number);
        table.add_row([number].into_iter().chain(row.cells.iter().map(|cell| brief(&cell.text()))));
    }
    data!("{table}");
    let shown = seen.rows.len() as u64;
    if shown < seen.total {
        out.show(&say!("sheet_more_rows", more = seen.total - shown));
    }
    for note in &seen.notes {
        let detail = &note.detail;
        let place = note.place.cell.clone().or_else(|| note.place.row.map(|row| row.to_string()));
        match (&note.place.cell, place) {
            (Some(cell), _) => out.show(&say!("sheet_note_of_cell", cell = cell, what = detail)),
            (None, Some(row)) => out.show(&say!("sheet_note_of_row", row = row, what = detail)),
            (None, None) => out.show(&say!("sheet_note", what = detail)),
        }
    }
    if seen.more > 0 {
        out.show(&say!("sheet_more_notes", more = seen.more));
    }
}

fn what_it_is(about: &About) -> Message {
    let file = &about.file;
    match (about.kind, about.encoding) {
        (Kind::Csv, Some(encoding)) => {
            let delimiter = match about.delimiter {
                Some('\t') => say!("sheet_by_tabs"),
                Some(c) => say!("sheet_by", delimiter = c),
                None => Message::text(""),
            };
            say!("sheet_is_csv", file = file, encoding = encoding.word(), delimiter = delimiter)
        }
        _ => say!("sheet_is_xlsx", file = file, sheet = about.sheet.as_deref().map(short)),
    }
}

/// A cell on one line, and not much of it.
fn brief(text: &str) -> String {
    let one_line: String = text.chars().take(SHOWN_CHARS + 1).map(|c| if c.is_control() { ' ' } else { c }).collect();
    match one_line.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => one_line[..end].to_owned() + "…",
        None => one_line,
    }
}
