//! `tixing sheet`: what is read of a table.

use super::{
    arguments,
    failure::Failure,
    out::{Out, data},
};
use crate::{
    schedule::{
        look::{Seen, Wanted, look_at},
        sheet::{
            About, Kind, Reader, Source,
            columns::{letters, short},
        },
    },
    words::{Message, say},
};
use comfy_table::{ContentArrangement, presets};
use serde_json::json;

/// So much of a cell is shown to people.
const SHOWN_CHARS: usize = 40;

/// Reads the table and shows what it is, its first rows, and what would refuse a row.
pub fn run(arguments: &arguments::Sheet, out: Out) -> Result<(), Failure> {
    let name = arguments.file.to_string_lossy();
    let wanted = Wanted {
        sheet: arguments.sheet.clone(),
        header: arguments.header,
        encoding: arguments.encoding,
        limit: arguments.limit,
    };
    let source = Source { path: &arguments.file, name: &name };
    let seen = look_at(&Reader::default(), &source, &wanted);
    match seen {
        Ok(seen) if out.json => data!("{}", seen.json(out.voice)),
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
