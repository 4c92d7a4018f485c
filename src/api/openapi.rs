//! The API's own description.

use super::{
    annotated, apps, batch, bulk, by_key, consents, console, docs, doubts, explain, explain_user, feed, health, keys,
    ndjson::Written,
    nodes, plans, prepare,
    problem::{self, ProblemJson},
    reminders, safekeeping, schedule_report, schedules,
    schema::OrderWord,
    sheets, stats, templates, today, users,
};
use crate::words::Message;
use axum::{
    http::{Method, header},
    response::{IntoResponse, Response},
};
use std::sync::LazyLock;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Content, Ref, RefOr,
        path::{Operation, ParameterIn},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

#[derive(OpenApi)]
#[openapi(
    info(title = "tixing"),
    servers(
        (url = "/", description = "The daemon that gave this document"),
        (url = "http://127.0.0.1:8700", description = "A daemon as `tixing init` sets it up"),
    ),
    tags(
        (name = "reminders", description = "Insert, look, change, cancel, explain"),
        (name = "consents", description = "What users allowed, and what became of it"),
        (name = "schedules", description = "A marketer's file: planned, loaded, tried, and what became of it"),
        (name = "users", description = "Everything that is stored about a user, and its end"),
        (name = "operations", description = "Stats, doubts, templates, backups, keys"),
        (name = "health", description = "Open to all: no key is needed"),
    ),
    paths(
        reminders::insert, batch::reminders, reminders::list, reminders::show, explain::explain, reminders::change,
        reminders::cancel, by_key::show, by_key::change, by_key::cancel, bulk::cancel, bulk::shift, consents::record, batch::consents, prepare::prepare, consents::show, consents::ask, users::export, users::forget,
        users::let_in, plans::plan, plans::apply, plans::attempt, annotated::annotate, sheets::read, today::today, schedules::list, feed::feed, schedules::show, schedules::problems, schedule_report::report, schedule_report::workbook,
        schedules::pause, schedules::resume, schedules::shift, schedules::cancel, explain_user::explain_user, stats::stats, apps::pause, apps::resume, nodes::list, nodes::bury, nodes::drain,
        doubts::doubts, doubts::resolve, templates::templates, templates::refresh, safekeeping::backup, safekeeping::held,
        safekeeping::release, console::open, keys::create_key, keys::list_keys,
        keys::revoke_key, health::healthy, health::ready, health::metrics, document, docs::page,
    ),
    components(schemas(ProblemJson, Written, OrderWord)),
    modifiers(&Common),
)]
struct Document;

/// Where calendar programs look.
const FEED: &str = "/v1/schedules.ics";

/// The parts that many operations have in common.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = &mut document.components {
            components.add_security_scheme("key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
            let in_address = ApiKeyValue::with_description("key", "A key of scope `feed`, which opens nothing else");
            components.add_security_scheme("feed", SecurityScheme::ApiKey(ApiKey::Query(in_address)));
        }
        let mut text = String::from(
            "Scheduled reminders for mini-program subscribe messages. The platforms' pushes to `/callback/{app}` are not part of it.\n\n\
             Every error is `application/problem+json`. Its `title` and `detail` are Chinese or English, as `Accept-Language` asks. Its `code` is one of:\n",
        );
        for (code, status, title) in problem::CODES {
            text.push_str(&format!("- `{code}` ({status}): {}\n", Message::new(title)));
        }
        document.info.description = Some(text);
        for (path, item) in &mut document.paths.paths {
            let keyed = path.starts_with("/v1/");
            let methods = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete];
            for operation in methods.into_iter().flatten() {
                let named = |name| SecurityRequirement::new(name, [""; 0]);
                let keys: &[&str] = match path.as_str() {
                    // The only address in which a key may stand.
                    FEED => &["key", "feed"],
                    _ if keyed => &["key"],
                    _ => &[],
                };
                operation.security = Some(keys.iter().copied().map(named).collect());
                if keyed {
                    describe_problems(operation);
                }
            }
        }
    }
}

/// Adds the problems that follow from what an operation takes; those of its own stand beside its handler.
fn describe_problems(operation: &mut Operation) {
    let takes = |place| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == place))
    };
    let (id, query) = (takes(ParameterIn::Path), takes(ParameterIn::Query));
    let body = matches!(&operation.request_body, Some(RefOr::T(body)) if body.content.contains_key("application/json"));
    let files =
        matches!(&operation.request_body, Some(RefOr::T(body)) if body.content.contains_key("multipart/form-data"));
    let possible = [
        (400, body, "`bad_json`: the body is not as documented"),
        (400, query, "`bad_query`: a parameter is not as documented"),
        (400, true, "`bad_query`, `idempotency_key_not_taken`: what is asked beside it is not taken here"),
        (401, true, "`unauthorized`: no valid API key"),
        (403, true, "`forbidden`: the API key may not do this"),
        (404, id, "`not_found`: there is no such thing, or not for this key"),
        (408, body, "`too_slow`: the body came too slowly"),
        (413, body, "`too_large`: the body is too large"),
        (408, files, "`too_slow`: the files came too slowly"),
        (413, files, "`too_large`: a file is too large"),
        (415, files, "`unsupported_media_type`: send multipart/form-data"),
        (429, files, "`too_many`: other files are being worked on"),
        (415, body, "`unsupported_media_type`: send application/json"),
        (422, body || query, "A value breaks a rule: `code` says which, and `param` where"),
        (500, true, "`internal`: a fault of tixing"),
        (503, true, "`unavailable`: the store does not answer; `perhaps_kept`: it did not say whether it was done"),
    ];
    let answers = &mut operation.responses.responses;
    for (status, _, why) in possible.into_iter().filter(|(_, possible, _)| *possible) {
        let described = || utoipa::openapi::Response::new(why).into();
        answers.entry(status.to_string()).or_insert_with(described);
    }
    for (_, answer) in answers.range_mut("400".to_owned()..) {
        if let RefOr::T(answer) = answer {
            let content = Content::new(Some(Ref::from_schema_name("Problem")));
            answer.content.insert("application/problem+json".into(), content.into());
        }
    }
}

static DOCUMENT: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(Document::openapi);
static JSON: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_json().expect("the description serialises"));

/// Whether the operation of a route takes a parameter of this name, in whatever place and case; `None` if the route lacks the method.
pub(super) fn takes(route: &str, method: &Method, name: &str) -> Option<bool> {
    let item = DOCUMENT.paths.paths.get(route)?;
    let operation = match *method {
        Method::GET | Method::HEAD => item.get.as_ref(),
        Method::POST => item.post.as_ref(),
        Method::PATCH => item.patch.as_ref(),
        Method::DELETE => item.delete.as_ref(),
        _ => None,
    }?;
    let mut parameters = operation.parameters.iter().flatten();
    Some(
        parameters
            .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name.eq_ignore_ascii_case(name))),
    )
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "read_openapi", tag = "health", responses(
    (status = 200, description = "OpenAPI 3.1", body = Object)))]
pub async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], JSON.as_str()).into_response()
}
