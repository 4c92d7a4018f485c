//! A reminder as a person reads it: what it is, what it says, and what became of it.

use crate::{
    domain::timing::parse_instant,
    words::{Message, Voice, say, word},
};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

/// The members of a reminder that are told, each with its title; times are told in the voice's zone.
const MEMBERS: &[(&str, &str)] = &[
    ("state", "column_state"),
    ("reason", "column_reason"),
    ("delivery", "column_delivery"),
    ("app", "column_app"),
    ("openid", "column_openid"),
    ("template", "column_template"),
    ("at", "column_at"),
    ("next_at", "column_looked_at"),
    ("expires_at", "column_deadline"),
    ("sent_at", "column_sent_at"),
    ("key", "column_key"),
    ("consent", "column_consent"),
    ("page", "column_page"),
    ("lang", "column_lang"),
    ("miniprogram_state", "column_miniprogram_state"),
    ("schedule", "column_schedule"),
    ("row", "column_row"),
    ("row_key", "column_row_key"),
    ("occurrence", "column_occurrence"),
    ("occasion", "column_occasion"),
    ("erased", "column_erased"),
    ("created_at", "column_created"),
    ("updated_at", "column_updated"),
];

/// The lines that tell a reminder, with its fields and its attempts.
pub fn lines(reminder: &Value, voice: Voice) -> Vec<String> {
    let mut told = vec![(say!("column_id").say(voice), value(&reminder["id"], voice))];
    for (member, title) in MEMBERS {
        let said = word::cell(member, &value(&reminder[*member], voice), voice);
        if !said.is_empty() {
            told.push((Message::new(title).say(voice), said));
        }
    }
    let fields = reminder["data"].as_object().into_iter().flatten();
    told.extend(fields.map(|(key, field)| (key.clone(), value(field, voice))));
    for attempt in reminder["attempts"].as_array().into_iter().flatten() {
        told.push((say!("shown_attempt").say(voice), tried(attempt).say(voice)));
    }
    if let Some(receipt) = reminder["receipt"].as_object() {
        let words = [receipt.get("at"), receipt.get("code"), receipt.get("text")].into_iter().flatten();
        let words: Vec<String> = words.map(|word| value(word, voice)).collect();
        told.push((say!("shown_receipt").say(voice), words.join(" ")));
    }
    let width = told.iter().map(|(title, _)| title.width()).max().unwrap_or_default();
    let line = |(title, said): &(String, String)| format!("{title}{}  {said}", " ".repeat(width - title.width()));
    told.iter().map(line).collect()
}

/// One call to the platform.
fn tried(attempt: &Value) -> Message {
    let at = attempt["at"].as_str().and_then(|text| parse_instant(text, None).ok()).map(|written| written.at);
    let words: Vec<&str> = ["code", "text"].iter().filter_map(|name| attempt[*name].as_str()).collect();
    let words = (!words.is_empty()).then(|| say!("shown_attempt_words", words = words.join(": ")));
    let outcome = word::word(attempt["outcome"].as_str().unwrap_or_default());
    let (late, took) = (&attempt["late_ms"], &attempt["took_ms"]);
    say!("shown_attempt_of", at = at, outcome = outcome, late = late, took = took, words = words)
}

/// A value as a person reads it: a time in their zone, a list with commas.
fn value(value: &Value, voice: Voice) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => {
            // A time of the API ends with `Z` and has milliseconds.
            let is_time = text.len() == 24 && text.ends_with('Z');
            let at = is_time.then(|| parse_instant(text, None).ok()).flatten();
            at.map_or_else(|| text.clone(), |written| voice.time(written.at))
        }
        Value::Array(values) => values.iter().map(|one| self::value(one, voice)).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Lang;
    use serde_json::json;

    #[test]
    fn a_reminder_is_told_in_the_zone_of_its_app_and_in_both_languages() {
        let reminder = json!({
            "id": "r_1", "state": "sent", "app": "coffee", "openid": "o1", "template": "T", "at": "2027-03-01T11:30:00.000Z",
            "expires_at": "2027-03-02T11:30:00.000Z", "page": null, "data": { "thing1": "周三读书会" }, "key": "k",
            "attempts": [{ "at": "2027-03-01T11:30:00.007Z", "late_ms": 7, "took_ms": 42, "outcome": "sent", "code": null, "text": null }],
        });
        let zone = Some(chrono_tz::Asia::Shanghai);
        let en = lines(&reminder, Voice::new(Lang::En).in_zone(zone)).join("\n");
        assert!(en.contains("2027-03-01 19:30:00+08:00") && en.contains("2027-03-02 19:30:00+08:00"), "{en}");
        assert!(en.contains("thing1    周三读书会"), "{en}");
        assert!(en.contains("2027-03-01 19:30:00.007+08:00 → sent, 7 ms late, answered in 42 ms"), "{en}");
        assert!(!en.contains("page") && !en.contains("null"), "{en}");
        let zh = lines(&reminder, Voice::new(Lang::Zh).in_zone(zone)).join("\n");
        assert!(zh.contains("计划时间  2027-03-01 19:30:00+08:00") && zh.contains("晚 7 毫秒"), "{zh}");
        assert_eq!(en.lines().count(), zh.lines().count());
    }
}
