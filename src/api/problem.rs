//! Errors as `application/problem+json`: a public sentence, a stable code, the field at fault.

use super::openapi::ProblemCode;
use crate::{domain::Invalid, store::StoreError};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// Every code that an answer can carry, with its HTTP status.
pub const CODES: &[(&str, u16, &str)] = &[
    ("bad_json", 400, "The body is not JSON of the documented shape"),
    ("bad_query", 400, "A query parameter is not as documented"),
    ("unauthorized", 401, "No valid API key"),
    ("forbidden", 403, "The API key may not do this"),
    ("not_found", 404, "There is no such thing"),
    ("method_not_allowed", 405, "The path does not know this method"),
    ("too_slow", 408, "The body came too slowly"),
    ("no_consent", 409, "The user has no consent to reserve"),
    ("user_forgotten", 409, "The user wished to be forgotten"),
    ("key_conflict", 409, "The idempotency key belongs to another body"),
    ("key_cancelled", 409, "The idempotency key belongs to a reminder that was cancelled"),
    ("key_spent", 409, "The idempotency key belonged to a reminder that is no longer kept"),
    ("not_scheduled", 409, "The reminder is no longer scheduled"),
    ("not_in_doubt", 409, "There is nothing to decide about the reminder"),
    ("on_hold", 409, "The store is on hold, and the reminder may have been sent"),
    ("not_backed_up", 409, "The backup could not be written"),
    ("no_daemon", 409, "Only a running daemon can do it"),
    ("too_large", 413, "The body is too large"),
    ("unsupported_media_type", 415, "The content type is not the documented one"),
    ("unknown_app", 422, "No such app is configured"),
    ("unknown_template", 422, "The app has no such template"),
    ("out_of_step", 422, "The platform does not have the template as it is configured"),
    ("unknown_field", 422, "The template has no such field"),
    ("missing_field", 422, "A field of the template is missing"),
    ("bad_field", 422, "A value breaks its field's rule"),
    ("bad_value", 422, "A value is outside its bounds"),
    ("bad_time", 422, "A time cannot be read"),
    ("bad_deadline", 422, "The deadline does not follow the instant"),
    ("past_deadline", 422, "The deadline has passed"),
    ("too_long", 422, "The list cannot be put together in its time"),
    ("too_many", 429, "Too many lists are under way at once"),
    ("internal", 500, "A fault of tixing"),
    ("platform_unavailable", 502, "The platform did not answer as it should"),
    ("unavailable", 503, "The store does not answer; try again"),
    ("perhaps_kept", 503, "The store did not say whether it was done; it may have been kept"),
];

/// An error answer. It becomes JSON where the request's id is known, in [`super::with_request_id`].
#[derive(Debug, Clone)]
pub struct Problem {
    /// One of [`CODES`].
    pub code: &'static str,
    /// One sentence: what was found, what is allowed, what to do.
    pub detail: String,
    /// JSON pointer to the field at fault.
    pub param: Option<String>,
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
    /// What the code means.
    pub title: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// One sentence: what was found, what is allowed, what to do.
    pub detail: &'a str,
    /// A stable word to branch on.
    #[schema(value_type = ProblemCode)]
    pub code: &'a str,
    /// JSON pointer to the field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "json-pointer")]
    pub param: Option<&'a str>,
    /// To find the request in the log; a line of a batch has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request_id: Option<&'a str>,
}

impl Problem {
    /// A problem without a field.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), param: None }
    }

    /// There is no such reminder, or it belongs to an app that the key may not touch.
    pub fn no_reminder() -> Self {
        Self::new("not_found", "there is no such reminder; check the id")
    }

    fn entry(&self) -> (u16, &'static str) {
        CODES
            .iter()
            .find(|(code, ..)| *code == self.code)
            .map_or((500, "A fault of tixing"), |(_, status, title)| (*status, title))
    }

    /// The JSON.
    pub fn json<'a>(&'a self, request_id: Option<&'a str>) -> ProblemJson<'a> {
        let (status, title) = self.entry();
        ProblemJson {
            r#type: format!("/docs#{}", self.code),
            title,
            status,
            detail: &self.detail,
            code: self.code,
            param: self.param.as_deref(),
            request_id,
        }
    }

    /// The whole answer.
    pub fn response(&self, request_id: &str) -> Response {
        let json = self.json(Some(request_id));
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
        Self { code: invalid.code, detail: invalid.detail, param: Some(invalid.param) }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(cause) => {
                tracing::error!(cause, "the database refused a row that had passed every check");
                Self::new("internal", "the store refused it; nothing was kept, and the log says more")
            }
            StoreError::Silent(cause) => {
                tracing::warn!(cause, "a request was answered without knowing whether it was kept");
                Self::new(
                    "perhaps_kept",
                    "the store did not say in time whether it was done, so it may have been kept: repeat it as it is, which is safe with a \
                     `key` or an `event`; without one, look first what there is (GET /v1/reminders?openid=…, /v1/consents?history=true)",
                )
            }
            error => {
                tracing::warn!(error = %error, "a request could not be served");
                Self::new("unavailable", "the store does not answer; nothing was kept: try again in a moment")
            }
        }
    }
}
