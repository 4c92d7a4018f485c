//! The API's own description, and a page to read it on that needs no network.

use super::{batch, consents, doubts, operations, problem, reminders, safekeeping, templates, users};
use axum::{
    http::header,
    response::{Html, IntoResponse, Response},
};
use std::sync::LazyLock;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

#[derive(OpenApi)]
#[openapi(
    info(title = "tixing", description = "Scheduled reminders for mini-program subscribe messages."),
    paths(
        consents::record, batch::consents, consents::show, consents::ask,
        reminders::insert, batch::reminders, reminders::show, reminders::explain, reminders::list, reminders::change,
        reminders::cancel, doubts::doubts, doubts::resolve,
        templates::templates, templates::refresh, operations::stats, operations::create_key, operations::list_keys, operations::revoke_key,
        users::export, users::forget, users::let_in,
        safekeeping::backup, safekeeping::held, safekeeping::release, operations::healthy, operations::ready, operations::metrics,
    ),
    components(schemas(problem::ProblemJson)),
    security(("key" = [])),
    modifiers(&Extras),
)]
struct Document;

struct Extras;

impl Modify for Extras {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = &mut document.components {
            components.add_security_scheme("key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        }
        let mut codes = String::from("Every error is `application/problem+json`. Its `code` is one of:\n");
        for (code, status, title) in problem::CODES {
            codes.push_str(&format!("- `{code}` ({status}): {title}\n"));
        }
        document.info.description =
            Some(format!("Scheduled reminders for mini-program subscribe messages.\n\n{codes}"));
    }
}

static JSON: LazyLock<String> = LazyLock::new(|| Document::openapi().to_json().expect("the description serialises"));

/// `/openapi.json`.
pub async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], JSON.as_str()).into_response()
}

/// `/docs`.
pub async fn page() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}
