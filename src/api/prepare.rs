//! `/v1/consents/prepare`: the id that a dialog is opened with, on platforms whose consents are keyed by one.

use super::{
    Api,
    auth::Caller,
    check,
    extract::{Json, json},
    problem::Problem,
    reminders::forgotten,
};
use crate::{
    store::{Minted, keys::Scope},
    words::say,
};
use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Before a dialog: whom it asks, and for what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object: app, openid and template")]
#[schema(as = Preparation, example = json!({"app": "coffee", "openid": "o-user-1", "template": "event-start"}))]
pub struct PrepareBody {
    app: String,
    /// The user: 1 to 128 visible ASCII characters.
    #[schema(pattern = "^[!-~]{1,128}$")]
    openid: String,
    /// The template's id or alias.
    template: String,
}

/// The id to open the dialog with.
#[derive(Debug, Serialize, ToSchema)]
pub struct Prepared {
    /// For this user and template alone. One accept with it is one send.
    #[schema(min_length = 32, max_length = 32)]
    subscribe_id: String,
}

/// Mint the id that the dialog is opened with, on platforms whose consents are keyed by one. Nothing is stored.
#[utoipa::path(post, path = "/v1/consents/prepare", operation_id = "prepare_consent", request_body = PrepareBody, tag = "consents", responses(
    (status = 200, description = "Use it in the dialog, and give it back with the result as `subscribe_id`", body = Prepared),
    (status = 409, description = "`user_forgotten`: no accept of this user's would be recorded"),
    (status = 422, description = "The platform asks for no id before the dialog")))]
pub async fn prepare(
    State(api): State<Api>,
    caller: Caller,
    Json(body): Json<PrepareBody>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    caller.may_touch(&body.app)?;
    let app = check::app(&api.config, &body.app)?;
    if !app.platform.tickets.kinds.iter().any(|kind| kind.minted) {
        let why = say!("nothing_to_prepare", platform = app.platform.word);
        return Err(Problem::new("bad_value", why).at("/app"));
    }
    let terms = app.terms(None);
    terms.user.check(&body.openid)?;
    let template = &terms.template(&body.template, "/template")?.code;
    if api.store.forgotten_at(&app.name, &body.openid).await?.is_some() {
        return Err(forgotten());
    }
    let minted = Minted { app: &app.name, openid: &body.openid, template };
    let subscribe_id = api.store.names().pseudonyms().mint(minted);
    Ok(json(StatusCode::OK, &Prepared { subscribe_id }))
}
