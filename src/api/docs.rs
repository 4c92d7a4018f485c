//! `/docs`: the API on a page that needs no network, in Chinese or English. What is the same for every daemon is written here; the calls are
//! shown by the page's script from `/openapi.json`.

use super::{extract::Query, problem::CODES};
use crate::words::{Lang, Message, Voice};
use axum::{
    http::header,
    response::{Html, IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// What to do about a schedule's file that cannot be used.
const FIX_OF_FILES: &str = "fix_schedule_file";

/// What to do about each code of a problem; those of schedule files have one answer.
#[rustfmt::skip]
const FIXES: &[(&str, &str)] = &[
    ("bad_json", "fix_bad_json"),
    ("bad_query", "fix_bad_query"),
    ("bad_idempotency_key", "fix_bad_idempotency_key"),
    ("idempotency_key_not_taken", "fix_idempotency_key_not_taken"),
    ("bad_request", "fix_bad_request"),
    ("late", "fix_late"),
    ("idempotency_key_reused", "fix_idempotency_key_reused"),
    ("asked_too_often", "fix_asked_too_often"),
    ("unauthorized", "fix_unauthorized"),
    ("forbidden", "fix_forbidden"),
    ("not_found", "fix_not_found"),
    ("method_not_allowed", "fix_method_not_allowed"),
    ("too_slow", "fix_too_slow"),
    ("no_consent", "fix_no_consent"),
    ("user_forgotten", "fix_user_forgotten"),
    ("key_conflict", "fix_key_conflict"),
    ("key_cancelled", "fix_key_cancelled"),
    ("key_spent", "fix_key_spent"),
    ("changed_meanwhile", "fix_changed_meanwhile"),
    ("count_changed", "fix_count_changed"),
    ("not_scheduled", "fix_not_scheduled"),
    ("not_in_doubt", "fix_not_in_doubt"),
    ("on_hold", "fix_on_hold"),
    ("not_backed_up", "fix_not_backed_up"),
    ("no_daemon", "fix_no_daemon"),
    ("node_works", "fix_node_works"),
    ("plan_changed", "fix_plan_changed"),
    ("busy", "fix_busy"),
    ("shift_too_far", "fix_shift_too_far"),
    ("too_large", "fix_too_large"),
    ("unsupported_media_type", "fix_unsupported_media_type"),
    ("unknown_app", "fix_unknown_app"),
    ("unknown_template", "fix_unknown_template"),
    ("out_of_step", "fix_out_of_step"),
    ("unknown_field", "fix_unknown_field"),
    ("missing_field", "fix_missing_field"),
    ("bad_field", "fix_bad_field"),
    ("bad_value", "fix_bad_value"),
    ("bad_time", "fix_bad_time"),
    ("bad_deadline", "fix_bad_deadline"),
    ("past_deadline", "fix_past_deadline"),
    ("too_many_at_once", "fix_too_many_at_once"),
    ("too_long", "fix_too_long"),
    ("ticket_needed", "fix_ticket_needed"),
    ("too_many", "fix_too_many"),
    ("internal", "fix_internal"),
    ("platform_unavailable", "fix_platform_unavailable"),
    ("unavailable", "fix_unavailable"),
    ("perhaps_kept", "fix_perhaps_kept"),
];

/// Every word that tixing itself gives as the `reason` of a reminder, with its meaning and what to do.
#[rustfmt::skip]
const REASONS: &[(&str, &str, &str)] = &[
    ("expired", "reason_expired", "reason_fix_expired"),
    ("test_mode", "reason_test_mode", "reason_fix_test_mode"),
    ("no_consent", "reason_no_consent", "reason_fix_no_consent"),
    ("consent_ended", "reason_consent_ended", "reason_fix_consent_ended"),
    ("turned_off", "reason_turned_off", "reason_fix_turned_off"),
    ("cancelled", "reason_cancelled", "reason_fix_cancelled"),
    ("removed", "reason_removed", "reason_fix_removed"),
    ("schedule_cancelled", "reason_schedule_cancelled", "reason_fix_schedule_cancelled"),
    ("forgotten", "reason_forgotten", "reason_fix_forgotten"),
    ("template_held", "reason_template_held", "reason_fix_template_held"),
    ("not_sent", "reason_not_sent", "reason_fix_not_sent"),
    ("unknown", "reason_unknown", "reason_fix_unknown"),
    ("interrupted", "reason_interrupted", "reason_fix_interrupted"),
    ("awaits_receipt", "reason_awaits_receipt", "reason_fix_awaits_receipt"),
    ("asks", "reason_asks", "reason_fix_asks"),
    ("gave_up", "reason_gave_up", "reason_fix_gave_up"),
    ("unconfirmed", "reason_unconfirmed", "reason_fix_unconfirmed"),
    ("restored", "reason_restored", "reason_fix_restored"),
    ("receipt", "reason_receipt", "reason_fix_receipt"),
    ("resolved", "reason_resolved", "reason_fix_resolved"),
    ("unwritable", "reason_unwritable", "reason_fix_unwritable"),
];

/// What each operation does, by its id.
#[rustfmt::skip]
const OPERATIONS: &[(&str, &str)] = &[
    ("insert_reminder", "op_insert_reminder"),
    ("insert_reminder_batch", "op_insert_reminder_batch"),
    ("list_reminders", "op_list_reminders"),
    ("show_reminder", "op_show_reminder"),
    ("explain_reminder", "op_explain_reminder"),
    ("change_reminder", "op_change_reminder"),
    ("cancel_reminder", "op_cancel_reminder"),
    ("show_reminder_by_key", "op_show_reminder_by_key"),
    ("change_reminder_by_key", "op_change_reminder_by_key"),
    ("cancel_reminder_by_key", "op_cancel_reminder_by_key"),
    ("cancel_reminders", "op_cancel_reminders"),
    ("shift_reminders", "op_shift_reminders"),
    ("record_consents", "op_record_consents"),
    ("record_consent_batch", "op_record_consent_batch"),
    ("prepare_consent", "op_prepare_consent"),
    ("show_consents", "op_show_consents"),
    ("ask_for_consents", "op_ask_for_consents"),
    ("export_user", "op_export_user"),
    ("forget_user", "op_forget_user"),
    ("let_user_in", "op_let_user_in"),
    ("plan_schedule", "op_plan_schedule"),
    ("apply_schedule", "op_apply_schedule"),
    ("try_schedule", "op_try_schedule"),
    ("read_sheet", "op_read_sheet"),
    ("list_schedules", "op_list_schedules"),
    ("read_schedule_feed", "op_read_schedule_feed"),
    ("show_schedule", "op_show_schedule"),
    ("list_schedule_problems", "op_list_schedule_problems"),
    ("report_schedule", "op_report_schedule"),
    ("annotate_schedule", "op_annotate_schedule"),
    ("count_today", "op_today"),
    ("download_schedule_report", "op_download_schedule_report"),
    ("pause_schedule", "op_pause_schedule"),
    ("resume_schedule", "op_resume_schedule"),
    ("shift_schedule", "op_shift_schedule"),
    ("cancel_schedule", "op_cancel_schedule"),
    ("explain_user", "op_explain_user"),
    ("show_stats", "op_show_stats"),
    ("pause_app", "op_pause_app"),
    ("resume_app", "op_resume_app"),
    ("list_nodes", "op_list_nodes"),
    ("bury_node", "op_bury_node"),
    ("drain_node", "op_drain_node"),
    ("list_doubts", "op_list_doubts"),
    ("resolve_doubt", "op_resolve_doubt"),
    ("list_templates", "op_list_templates"),
    ("refresh_templates", "op_refresh_templates"),
    ("make_backup", "op_make_backup"),
    ("open_console", "op_open_console"),
    ("show_hold", "op_show_hold"),
    ("end_hold", "op_end_hold"),
    ("create_key", "op_create_key"),
    ("list_keys", "op_list_keys"),
    ("revoke_key", "op_revoke_key"),
    ("check_health", "op_check_health"),
    ("check_readiness", "op_check_readiness"),
    ("read_metrics", "op_read_metrics"),
    ("read_openapi", "op_read_openapi"),
    ("read_docs", "op_read_docs"),
];

/// The sentences that the page has a place for.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "docs_lang",
    "docs_other",
    "docs_other_lang",
    "docs_title",
    "docs_lead",
    "docs_search",
    "docs_nothing",
    "docs_keys",
    "docs_keys_text",
    "docs_keys_use",
    "docs_keys_scope_read",
    "docs_keys_scope_write",
    "docs_keys_scope_admin",
    "docs_keys_scope_feed",
    "docs_keys_more",
    "docs_calls",
    "docs_calls_text",
    "docs_loading",
    "docs_no_script",
    "docs_body",
    "docs_errors",
    "docs_errors_text",
    "docs_warnings",
    "docs_warnings_text",
    "counted_twice",
    "docs_reasons",
    "docs_reasons_text",
    "docs_column_code",
    "docs_column_meaning",
    "docs_column_fix",
];

/// In which language the page is wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct PageQuery {
    /// `zh` or `en`; else as `Accept-Language` asks.
    lang: Option<String>,
}

/// The same to read, with keys explained, curl for each call, and what to do about each code.
#[utoipa::path(get, path = "/docs", operation_id = "read_docs", tag = "health", params(PageQuery), responses(
    (status = 200, description = "A page that needs no network", body = String, content_type = "text/html")))]
pub async fn page(voice: Voice, Query(query): Query<PageQuery>) -> Response {
    static PAGES: LazyLock<[String; 2]> = LazyLock::new(|| [Lang::En, Lang::Zh].map(written));
    let lang = match query.lang.as_deref() {
        Some("zh") => Lang::Zh,
        Some("en") => Lang::En,
        _ => voice.lang,
    };
    let page = &PAGES[usize::from(lang == Lang::Zh)];
    ([(header::VARY, "accept-language")], Html(page.as_str())).into_response()
}

/// The page in one language: each `{{key}}` of its text is a sentence of the catalogue, but for the tables.
fn written(lang: Lang) -> String {
    let say = |key: &'static str| Message::new(key).say(Voice::new(lang));
    let fix = |code: &str| {
        let fix = FIXES.iter().find(|(known, _)| *known == code);
        say(fix.map_or(FIX_OF_FILES, |(_, key)| key))
    };
    let codes =
        CODES.iter().map(|(code, status, title)| row(code, code, &[&status.to_string(), &say(title), &fix(code)]));
    let reasons =
        REASONS.iter().map(|(word, meaning, fix)| row(&format!("reason-{word}"), word, &[&say(meaning), &say(fix)]));
    let operations: Map<String, Value> =
        OPERATIONS.iter().map(|(id, key)| ((*id).to_owned(), Value::from(say(key)))).collect();
    let mut page = include_str!("docs.html")
        .replace("{{codes}}", &codes.collect::<String>())
        .replace("{{reasons}}", &reasons.collect::<String>())
        .replace("{{operations}}", &Value::from(operations).to_string().replace('<', "\\u003c"));
    for key in WORDS {
        page = page.replace(&format!("{{{{{key}}}}}"), &escaped(&say(key)));
    }
    page
}

/// A row of a table; an address that ends with `#id` leads to it.
fn row(id: &str, word: &str, cells: &[&str]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
    format!("<tr id=\"{}\"><td><code>{}</code></td>{cells}</tr>\n", escaped(id), escaped(word))
}

/// Text in HTML; what stands in backticks is code.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let parts = text.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::reason::Reason, schedule::problem::OF_FILES};

    #[test]
    fn every_code_and_every_reason_is_listed_with_what_to_do_in_both_languages() {
        for (code, ..) in CODES {
            let has_own = FIXES.iter().any(|(known, _)| known == code);
            assert!(has_own || OF_FILES.contains(code), "say what to do about «{code}»: add it to FIXES");
        }
        for (code, _) in FIXES {
            assert!(CODES.iter().any(|(known, ..)| known == code), "there is no code «{code}»");
        }
        for lang in [Lang::En, Lang::Zh] {
            let page = written(lang);
            assert!(
                !page.contains("{{"),
                "something was not said: {:?}",
                page.split("{{").nth(1).map(|rest| &rest[..40])
            );
            for (code, ..) in CODES {
                assert!(page.contains(&format!("id=\"{code}\"")), "a problem's type leads to /docs#{code}");
            }
        }
        assert!(written(Lang::Zh).contains("怎么办") && written(Lang::En).contains("what to do"));
        for reason in [
            Reason::DeadlinePassed,
            Reason::NotATester,
            Reason::NoConsent,
            Reason::TurnedOff,
            Reason::Cancelled,
            Reason::Removed,
            Reason::ScheduleCancelled,
            Reason::Forgotten,
            Reason::GateClosed,
            Reason::Interrupted,
            Reason::AwaitsReceipt,
            Reason::AsksOperator,
            Reason::DoubtOutlived,
            Reason::Restored,
            Reason::Received,
            Reason::Unwritable,
            Reason::ConsentEnded { ends_at: 0 },
            Reason::GaveUp { times: 3 },
            Reason::ResolvedSent { by: Message::text("x") },
            Reason::TemplateSuspended { why: Message::text("x") },
            Reason::AnswerLost { cause: Message::text("x") },
        ] {
            assert!(
                REASONS.iter().any(|(word, ..)| *word == reason.code()),
                "«{}» is no reason of the page",
                reason.code()
            );
        }
    }

    #[test]
    fn what_stands_in_a_text_is_no_markup() {
        assert_eq!(escaped("a < b & `c \"d\"`"), "a &lt; b &amp; <code>c &quot;d&quot;</code>");
    }
}
