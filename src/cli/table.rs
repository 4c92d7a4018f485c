//! Tables of what the API lists.

use super::{
    client::Client,
    out::{Out, data},
};
use crate::{
    domain::timing::parse_instant,
    words::{Message, Voice},
};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// A member of each row, and the title over it.
pub type Column = (&'static str, Message);

/// One line of NDJSON for each, or a table of some columns. Times are in the zone of the row's app.
pub fn rows(items: &[Value], columns: &[Column], client: &Client, out: Out) {
    if out.json {
        for item in items {
            data!("{item}");
        }
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|(_, title)| title.say(out.voice)));
    for item in items {
        let voice = client.voice_for(item["app"].as_str(), out.voice);
        table.add_row(columns.iter().map(|(key, _)| cell(key, &item[*key], voice)));
    }
    data!("{table}");
}

/// Says so if a page is not all there is.
pub fn tell_of_more(page: &Value, otherwise: &Message, out: Out) {
    match (page["note"].as_str(), page["next"].is_null()) {
        (Some(note), _) => out.tell(&Message::text(note)),
        (None, false) => out.tell(otherwise),
        (None, true) => {}
    }
}

fn cell(key: &str, value: &Value, voice: Voice) -> String {
    let is_time = key == "at" || key.ends_with("_at");
    let at = value.as_str().filter(|_| is_time).and_then(|text| parse_instant(text, None).ok());
    at.map_or_else(|| text(value), |written| voice.time(written.at))
}

/// A value without the quotes of JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}
