//! Tables of what the API lists.

use super::out::{data, talk};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// One line of NDJSON, or a table of some columns.
pub fn rows(items: &[Value], columns: &[(&str, &str)], as_json: bool) {
    if as_json {
        for item in items {
            data!("{item}");
        }
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|(_, title)| *title));
    for item in items {
        table.add_row(columns.iter().map(|(key, _)| text(&item[*key])));
    }
    data!("{table}");
}

pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

/// Says so if a page is not all there is.
pub fn tell_of_more(page: &Value, otherwise: &str) {
    match (page["note"].as_str(), page["next"].is_null()) {
        (Some(note), _) => talk!("{note}"),
        (None, false) => talk!("{otherwise}"),
        (None, true) => {}
    }
}
