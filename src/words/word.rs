//! The words of the API as a person reads them: states, and why something ended.

use super::{Lang, Message, Voice, say};
use serde_json::Value;

/// A word of the API in the reader's language: a state, or why something ended. A platform's code stays what it is.
pub fn word(word: &str) -> Message {
    match word {
        "active" => say!("word_active"),
        "load" => say!("word_load"),
        "try" => say!("word_try"),
        "orphan" => say!("word_orphan"),
        "found" => say!("word_found"),
        "paused" => say!("word_paused"),
        "ended" => say!("word_ended"),
        "cancelled" => say!("word_cancelled"),
        "failed" => say!("word_failed"),
        "expired" => say!("word_expired"),
        "unconfirmed" => say!("word_unconfirmed"),
        "gave_up" => say!("word_gave_up"),
        "consent_ended" => say!("word_consent_ended"),
        "resolved" => say!("word_resolved"),
        "interrupted" => say!("word_interrupted"),
        "unknown" => say!("word_unknown"),
        "restored" => say!("word_restored"),
        "not_sent" => say!("word_not_sent"),
        "no_consent" => say!("word_no_consent"),
        "removed" => say!("word_removed"),
        "schedule_cancelled" => say!("word_schedule_cancelled"),
        "turned_off" => say!("word_turned_off"),
        "forgotten" => say!("word_forgotten"),
        "test_mode" => say!("word_test_mode"),
        "scheduled" => say!("state_scheduled"),
        "sending" => say!("state_sending"),
        "sent" => say!("state_sent"),
        "in_doubt" => say!("state_in_doubt"),
        "available" => say!("column_available"),
        "held" => say!("column_held"),
        "used" => say!("column_used"),
        "void" => say!("column_void"),
        "denied" => say!("word_denied"),
        "let_in" => say!("word_let_in"),
        "delivered" => say!("word_delivered"),
        "undelivered" => say!("word_undelivered"),
        "live" => say!("word_live"),
        "leaving" => say!("word_leaving"),
        "lapsed" => say!("word_lapsed"),
        "gone" => say!("word_gone"),
        "ready" => say!("word_ready"),
        other => Message::text(other),
    }
}

/// The members of a table that hold such words.
const MEMBERS: &[&str] = &["delivery", "reason", "state", "void_reason"];

/// A cell of a table. In English it has the API's own words, which filters such as `--state` take.
pub fn cell(member: &str, text: &str, voice: Voice) -> String {
    match voice.lang == Lang::Zh && MEMBERS.contains(&member) {
        true => word(text).say(voice),
        false => text.to_owned(),
    }
}

/// How far the reading or writing of a file has come.
pub fn stage(progress: &Value) -> Message {
    let rows = progress["rows"].as_u64().unwrap_or_default();
    match progress["stage"].as_str() {
        Some("reading") => say!("stage_reading", rows = rows),
        Some("comparing") => say!("stage_comparing", rows = rows),
        Some("writing") => say!("stage_writing", rows = rows),
        _ => say!("stage_removing", rows = rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chinese_table_has_chinese_states_and_an_english_one_those_that_a_filter_takes() {
        let (zh, en) = (Voice::new(Lang::Zh), Voice::new(Lang::En));
        let states = [
            "scheduled",
            "sending",
            "in_doubt",
            "sent",
            "failed",
            "expired",
            "cancelled",
            "unconfirmed",
            "active",
            "paused",
        ];
        for state in states.into_iter().chain([
            "available",
            "held",
            "used",
            "void",
            "ended",
            "live",
            "leaving",
            "lapsed",
            "gone",
        ]) {
            let said = cell("state", state, zh);
            assert!(!said.is_empty() && !said.is_ascii(), "{state}: {said}");
            assert_eq!(cell("state", state, en), state);
        }
        for reason in ["no_consent", "turned_off", "forgotten", "denied", "ended", "unconfirmed", "let_in"] {
            assert!(!cell("void_reason", reason, zh).is_ascii(), "{reason}");
        }
        assert_eq!(cell("reason", "E-7", zh), "E-7", "a platform's code stays what it is");
        assert_eq!(cell("name", "sent", zh), "sent", "a name is no state");
    }
}
