//! Tables of what the API lists.

use super::{
    client::Client,
    grid::{by_columns, by_tabs},
    out::{Out, data},
};
use crate::{
    domain::timing::parse_instant,
    words::{Message, Voice, word},
};
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
    ("due", "column_due"),
    ("expired", "column_expired"),
    ("expires_at", "column_deadline"),
    ("failed", "column_failed"),
    ("fields", "column_fields"),
    ("first", "column_first_missing"),
    ("first_at", "column_first"),
    ("ends_at", "column_ends"),
    ("granted_at", "column_granted"),
    ("held", "column_held"),
    ("in_doubt", "column_in_doubt"),
    ("id", "column_id"),
    ("kind", "column_kind"),
    ("last_at", "column_last"),
    ("listed_at", "column_listed"),
    ("missing", "column_missing_consents"),
    ("n", "column_number"),
    ("name", "column_name"),
    ("node", "column_node"),
    ("silent_ms", "column_silent"),
    ("skew_ms", "column_skew"),
    ("started_at", "column_started"),
    ("under_way", "column_under_way"),
    ("version", "column_version"),
    ("next_at", "column_looked_at"),
    ("next_due_at", "column_next_due"),
    ("on_platform", "column_on_platform"),
    ("openid", "column_openid"),
    ("paused_at", "column_paused_at"),
    ("paused_until", "column_paused_until"),
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
    ("why", "column_why"),
];

fn title(member: &str) -> Message {
    let title = TITLES.iter().find(|(known, _)| *known == member);
    Message::new(title.expect("every member that a table shows has a title").1)
}

/// One line of NDJSON for each; columns of some members on a terminal, and tabs between them elsewhere. Times are in the zone of the row's
/// app.
pub fn rows(items: &[Value], members: &[&str], client: &Client, out: Out) {
    rows_of_page(items, members, true, client, out);
}

/// As [`rows`], of one page of several; without columns the titles stand above the first alone.
pub fn rows_of_page(items: &[Value], members: &[&str], is_first: bool, client: &Client, out: Out) {
    if out.json {
        for item in items {
            data!("{item}");
        }
        return;
    }
    let width = out.width();
    let mut titles: Vec<String> = members.iter().map(|member| title(member).say(out.voice)).collect();
    let cells = |item: &Value| {
        let voice = client.voice_for(item["app"].as_str(), out.voice);
        members.iter().map(|member| cell(member, &item[*member], voice, width.is_some())).collect()
    };
    let mut rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let lines = match width {
        None => by_tabs(&titles, &rows).split_off(usize::from(!is_first)),
        Some(width) => {
            for (column, _) in members.iter().enumerate().filter(|(_, member)| is_time(member)) {
                say_offset_once(&mut titles[column], &mut rows, column);
            }
            by_columns(&titles, &rows, width)
        }
    };
    lines.iter().for_each(|line| data!("{line}"));
}

/// Where all times of a column have one offset, it stands in the title.
fn say_offset_once(title: &mut String, rows: &mut [Vec<String>], column: usize) {
    // `2027-03-01 10:00:00+08:00`, perhaps with milliseconds; UTC has `Z`.
    let offset =
        |time: &str| Some(time[time.find(['+', 'Z']).or_else(|| time.rfind('-').filter(|at| *at > 10))?..].to_owned());
    let mut offsets = rows.iter().map(|row| &row[column]).filter(|time| !time.is_empty()).map(|time| offset(time));
    let Some(Some(first)) = offsets.next() else { return };
    if offsets.all(|other| other.as_ref() == Some(&first)) {
        *title = format!("{title} {}", if first == "Z" { "UTC" } else { &first });
        for row in rows {
            let without = row[column].strip_suffix(&first).map(str::to_owned);
            row[column] = without.unwrap_or_default();
        }
    }
}

/// Says so if a page is not all there is.
pub fn tell_of_more(page: &Value, otherwise: &Message, out: Out) {
    match (page["note"].as_str(), page["next"].is_null()) {
        (Some(note), _) => out.tell(&Message::text(note)),
        (None, false) => out.tell(otherwise),
        (None, true) => {}
    }
}

fn is_time(member: &str) -> bool {
    matches!(member, "at" | "first" | "paused_until") || member.ends_with("_at")
}

fn cell(member: &str, value: &Value, voice: Voice, on_terminal: bool) -> String {
    let at = value.as_str().filter(|_| is_time(member)).and_then(|text| parse_instant(text, None).ok());
    match (at, value) {
        // Milliseconds would cost a column its place; `show` has them.
        (Some(written), _) if on_terminal => voice.time(written.at - written.at.rem_euclid(1_000)),
        (Some(written), _) => voice.time(written.at),
        (None, Value::Object(object)) if on_terminal => {
            object.iter().map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(" ")
        }
        (None, Value::Array(values)) => values.iter().map(text).collect::<Vec<_>>().join(","),
        (None, value) => word::cell(member, &text(value), voice),
    }
}

/// A value without the quotes of JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_offset_that_all_times_of_a_column_have_stands_in_its_title() {
        for (times, title, cells) in [
            (
                &["2027-03-01 10:00:00+08:00", "", "2027-03-02 10:00:00.500+08:00"][..],
                "at +08:00",
                &["2027-03-01 10:00:00", "", "2027-03-02 10:00:00.500"][..],
            ),
            (&["2027-03-01 10:00:00-05:00"], "at -05:00", &["2027-03-01 10:00:00"]),
            (&["2027-03-01 10:00:00Z"], "at UTC", &["2027-03-01 10:00:00"]),
            (
                &["2027-03-01 10:00:00+01:00", "2027-04-01 10:00:00+02:00"],
                "at",
                &["2027-03-01 10:00:00+01:00", "2027-04-01 10:00:00+02:00"],
            ),
            (&["", ""], "at", &["", ""]),
            (&["never"], "at", &["never"]),
        ] {
            let mut said = "at".to_owned();
            let mut rows: Vec<Vec<String>> = times.iter().map(|time| vec![(*time).to_owned()]).collect();
            say_offset_once(&mut said, &mut rows, 0);
            assert_eq!(
                (said.as_str(), rows.concat()),
                (title, cells.iter().map(|c| (*c).to_owned()).collect()),
                "{times:?}"
            );
        }
    }

    #[test]
    fn the_fields_of_a_message_read_as_people_write_them_and_are_json_for_programs() {
        let data = json!({ "thing1": "周三读书会", "time2": "10:00" });
        assert_eq!(cell("data", &data, Voice::default(), true), "thing1=周三读书会 time2=10:00");
        assert_eq!(cell("data", &data, Voice::default(), false), data.to_string());
        let at = json!("2027-03-01T10:00:00.463Z");
        assert_eq!(cell("at", &at, Voice::default(), true), "2027-03-01 10:00:00Z");
        assert_eq!(cell("at", &at, Voice::default(), false), "2027-03-01 10:00:00.463Z");
    }
}
