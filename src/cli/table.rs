//! Tables of what the API lists.

use super::{
    client::Client,
    out::{Out, data},
    word,
};
use crate::{
    domain::timing::parse_instant,
    words::{Message, Voice},
};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// The title over each member that a table shows.
#[rustfmt::skip]
const TITLES: &[(&str, &str)] = &[
    ("app", "column_app"),
    ("apps", "column_apps"),
    ("at", "column_at"),
    ("available", "column_available"),
    ("cancelled", "column_cancelled"),
    ("created_at", "column_created"),
    ("data", "column_data"),
    ("delivery", "column_delivery"),
    ("expired", "column_expired"),
    ("expires_at", "column_deadline"),
    ("failed", "column_failed"),
    ("fields", "column_fields"),
    ("first_at", "column_first"),
    ("ends_at", "column_ends"),
    ("granted_at", "column_granted"),
    ("held", "column_held"),
    ("id", "column_id"),
    ("kind", "column_kind"),
    ("last_at", "column_last"),
    ("listed_at", "column_listed"),
    ("n", "column_number"),
    ("name", "column_name"),
    ("next_at", "column_looked_at"),
    ("on_platform", "column_on_platform"),
    ("openid", "column_openid"),
    ("reason", "column_reason"),
    ("reminder", "column_reminder"),
    ("revoked_at", "column_revoked"),
    ("scheduled", "column_scheduled"),
    ("scope", "column_scope"),
    ("sent", "column_sent"),
    ("source", "column_source"),
    ("state", "column_state"),
    ("template", "column_template"),
    ("used", "column_used"),
    ("void", "column_void"),
    ("void_reason", "column_why"),
];

fn title(member: &str) -> Message {
    let title = TITLES.iter().find(|(known, _)| *known == member);
    Message::new(title.expect("every member that a table shows has a title").1)
}

/// One line of NDJSON for each, or a table of some members. Times are in the zone of the row's app.
pub fn rows(items: &[Value], members: &[&str], client: &Client, out: Out) {
    if out.json {
        for item in items {
            data!("{item}");
        }
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(members.iter().map(|member| title(member).say(out.voice)));
    for item in items {
        let voice = client.voice_for(item["app"].as_str(), out.voice);
        table.add_row(members.iter().map(|member| cell(member, &item[*member], voice)));
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
    at.map_or_else(|| word::cell(key, &text(value), voice), |written| voice.time(written.at))
}

/// A value without the quotes of JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}
