//! Errors as `application/problem+json`: a public sentence, a stable code, the field at fault.

use super::schema::closed_sets;
use crate::{
    domain::Invalid,
    store::StoreError,
    words::{Message, Voice, say},
};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::ToSchema;

/// Every code that an answer can carry, with its HTTP status and the key of its title.
pub const CODES: &[(&str, u16, &str)] = &[
    ("bad_json", 400, "problem_bad_json"),
    ("bad_query", 400, "problem_bad_query"),
    ("bad_idempotency_key", 400, "problem_bad_idempotency_key"),
    ("idempotency_key_not_taken", 400, "problem_idempotency_key_not_taken"),
    ("bad_request", 400, "problem_bad_request"),
    ("unauthorized", 401, "problem_unauthorized"),
    ("forbidden", 403, "problem_forbidden"),
    ("not_found", 404, "problem_not_found"),
    ("method_not_allowed", 405, "problem_method_not_allowed"),
    ("too_slow", 408, "problem_too_slow"),
    ("no_consent", 409, "problem_no_consent"),
    ("user_forgotten", 409, "problem_user_forgotten"),
    ("key_conflict", 409, "problem_key_conflict"),
    ("key_cancelled", 409, "problem_key_cancelled"),
    ("key_spent", 409, "problem_key_spent"),
    ("changed_meanwhile", 409, "problem_changed_meanwhile"),
    ("count_changed", 409, "problem_count_changed"),
    ("not_scheduled", 409, "problem_not_scheduled"),
    ("not_in_doubt", 409, "problem_not_in_doubt"),
    ("on_hold", 409, "problem_on_hold"),
    ("not_backed_up", 409, "problem_not_backed_up"),
    ("no_daemon", 409, "problem_no_daemon"),
    ("node_works", 409, "problem_node_works"),
    ("plan_changed", 409, "problem_schedule_changed"),
    ("busy", 409, "problem_schedule_busy"),
    ("shift_too_far", 409, "problem_shift_too_far"),
    ("too_large", 413, "problem_too_large"),
    ("unsupported_media_type", 415, "problem_unsupported_media_type"),
    ("unknown_app", 422, "problem_unknown_app"),
    ("unknown_template", 422, "problem_unknown_template"),
    ("out_of_step", 422, "problem_out_of_step"),
    ("unknown_field", 422, "problem_unknown_field"),
    ("missing_field", 422, "problem_missing_field"),
    ("bad_field", 422, "problem_bad_field"),
    ("bad_value", 422, "problem_bad_value"),
    ("bad_time", 422, "problem_bad_time"),
    ("bad_deadline", 422, "problem_bad_deadline"),
    ("late", 422, "problem_late"),
    ("past_deadline", 422, "problem_past_deadline"),
    ("idempotency_key_reused", 422, "problem_idempotency_key_reused"),
    ("too_many_at_once", 422, "problem_too_many_at_once"),
    ("too_long", 422, "problem_too_long"),
    ("ticket_needed", 422, "problem_ticket_needed"),
    ("bad_toml", 422, "problem_schedule_unusable"),
    ("missing_key", 422, "problem_schedule_unusable"),
    ("bad_at", 422, "problem_schedule_unusable"),
    ("bad_template", 422, "problem_schedule_unusable"),
    ("unknown_key", 422, "problem_schedule_unusable"),
    ("name_taken", 422, "problem_schedule_unusable"),
    ("no_file", 422, "problem_schedule_unusable"),
    ("outside_folder", 422, "problem_schedule_unusable"),
    ("not_a_table", 422, "problem_schedule_unusable"),
    ("old_excel", 422, "problem_schedule_unusable"),
    ("locked", 422, "problem_schedule_unusable"),
    ("damaged", 422, "problem_schedule_unusable"),
    ("encoding_unclear", 422, "problem_schedule_unusable"),
    ("no_header", 422, "problem_schedule_unusable"),
    ("no_rows", 422, "problem_schedule_unusable"),
    ("no_column", 422, "problem_schedule_unusable"),
    ("column_twice", 422, "problem_schedule_unusable"),
    ("hidden_rows", 422, "problem_schedule_unusable"),
    ("unclosed_quote", 422, "problem_schedule_unusable"),
    ("removes_too_many", 422, "problem_schedule_unusable"),
    ("not_built", 422, "problem_schedule_unusable"),
    ("cancelled", 422, "problem_schedule_unusable"),
    ("not_a_tester", 422, "problem_schedule_unusable"),
    ("too_many", 429, "problem_too_many"),
    ("asked_too_often", 429, "problem_asked_too_often"),
    ("internal", 500, "problem_internal"),
    ("platform_unavailable", 502, "problem_platform_unavailable"),
    ("unavailable", 503, "problem_unavailable"),
    ("perhaps_kept", 503, "problem_perhaps_kept"),
];

closed_sets! {
    /// The code of a problem.
    ProblemCode: CODES.iter().map(|(code, ..)| *code);
}

/// An error answer. It becomes JSON where the request's id is known, in [`super::with_request_id`].
#[derive(Debug, Clone)]
pub struct Problem {
    /// One of [`CODES`].
    pub code: &'static str,
    /// One sentence: what was found, what is allowed, what to do.
    pub detail: Message,
    /// JSON pointer to the field at fault.
    pub param: Option<String>,
    /// All fields at fault, where there are several.
    pub fields: Option<Arc<Vec<Invalid>>>,
    /// The zone in which its times are shown; UTC without one.
    pub zone: Option<Tz>,
    /// What else is known: of a schedule's file, all its problems.
    pub more: Option<Arc<Map<String, Value>>>,
    /// Seconds after which the same may work.
    pub retry_after: Option<u16>,
    /// What was the matter, for the log alone.
    pub cause: Option<Arc<Message>>,
}

/// The JSON of an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "/docs#bad_field", "title": "A value breaks its field's rule", "status": 422, "code": "bad_field",
    "detail": "活动名称 (thing1): has 21 characters; at most 20 are allowed: shorten it", "param": "/data/thing1",
    "request_id": "5f0c1d2e3a4b5c6d",
}))]
pub struct ProblemJson<'a> {
    /// Where the code is explained.
    #[schema(format = "uri-reference")]
    pub r#type: String,
    /// The meaning of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// One sentence: what was found, what is allowed, what to do.
    pub detail: String,
    /// A stable word to branch on.
    #[schema(value_type = ProblemCode)]
    pub code: &'a str,
    /// JSON pointer to the field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "json-pointer")]
    pub param: Option<&'a str>,
    /// Where several fields are at fault, all of them. Of a schedule's file, all its problems.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<FieldProblem>,
    /// To find the request in the log; a line of a batch has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request_id: Option<&'a str>,
    /// What else is known: of a schedule's file that can't be used, its `problems` and the rest of its plan.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub more: Option<&'a Map<String, Value>>,
}

/// One field at fault of several.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldProblem {
    /// As the code of a problem.
    #[schema(value_type = String)]
    pub code: &'static str,
    /// JSON pointer to the field.
    pub param: Option<String>,
    /// What was found, what is allowed, what to do.
    pub detail: String,
}

impl Problem {
    /// The same, of a member of the body that is read as a query's parameter is.
    #[must_use]
    pub fn of_body(mut self) -> Self {
        if self.code == "bad_query" {
            self.code = "bad_value";
        }
        self
    }

    /// A problem without a field.
    pub fn new(code: &'static str, detail: Message) -> Self {
        Self { code, detail, param: None, fields: None, zone: None, more: None, retry_after: None, cause: None }
    }

    /// The same about the field at `param`, a JSON pointer.
    #[must_use]
    pub fn at(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// The same with its times in this zone.
    #[must_use]
    pub fn in_zone(self, zone: Option<Tz>) -> Self {
        Self { zone, ..self }
    }

    fn because(self, cause: Message) -> Self {
        Self { cause: Some(Arc::new(cause)), ..self }
    }

    /// The fields at fault: the first one, and all of them if there are several.
    ///
    /// # Panics
    /// When there are none.
    pub fn of(fields: Vec<Invalid>) -> Self {
        let first = fields.first().cloned().expect("what is refused has a fault");
        Self { fields: (fields.len() > 1).then(|| Arc::new(fields)), ..Self::from(first) }
    }

    /// There is no such reminder, or it belongs to an app that the key may not touch.
    pub fn no_reminder() -> Self {
        Self::new("not_found", say!("no_such_reminder"))
    }

    fn entry(&self) -> (u16, &'static str) {
        CODES
            .iter()
            .find(|(code, ..)| *code == self.code)
            .map_or((500, "problem_internal"), |(_, status, title)| (*status, title))
    }

    /// The JSON, in the caller's language.
    pub fn json<'a>(&'a self, request_id: Option<&'a str>, voice: Voice) -> ProblemJson<'a> {
        let (status, title) = self.entry();
        let voice_of_times = voice.in_zone(self.zone);
        let told = |field: &Invalid| FieldProblem {
            code: field.code,
            param: Some(field.param.clone()),
            detail: field.detail.say(voice_of_times),
        };
        ProblemJson {
            r#type: format!("/docs#{}", self.code),
            title: Message::new(title).say(voice),
            status,
            detail: self.detail.say(voice_of_times),
            code: self.code,
            param: self.param.as_deref(),
            problems: self.fields.iter().flat_map(|fields| fields.iter()).map(told).collect(),
            request_id,
            more: self.more.as_deref(),
        }
    }

    /// The whole answer, in the caller's language.
    pub fn response(&self, request_id: &str, voice: Voice) -> Response {
        let json = self.json(Some(request_id), voice);
        let mut response = Response::new(Body::from(serde_json::to_vec(&json).expect("texts serialise")));
        *response.status_mut() = StatusCode::from_u16(json.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let header = match self.code {
            "unauthorized" => Some((header::WWW_AUTHENTICATE, "Bearer")),
            // A list has ended by then.
            "too_many" => Some((header::RETRY_AFTER, "2")),
            _ => None,
        };
        response.headers_mut().extend(header.map(|(name, value)| (name, HeaderValue::from_static(value))));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::new(invalid.code, invalid.detail).at(invalid.param)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(cause) => {
                tracing::error!(%cause, "the database refused a row that had passed every check");
                Self::new("internal", say!("store_refused"))
            }
            StoreError::Silent(cause) => Self::new("perhaps_kept", say!("perhaps_kept")).because(cause),
            error => Self::new("unavailable", say!("store_unavailable")).because(error.message()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::problem::OF_FILES;

    #[test]
    fn why_a_schedule_cannot_be_used_is_no_fault_of_tixing() {
        for code in OF_FILES {
            assert!(CODES.iter().any(|(known, status, _)| known == code && *status < 500), "{code}");
        }
    }
}
