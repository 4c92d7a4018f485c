//! `/v1/apps/{name}/pause` and `/resume`: an operator stops all of an app's sends, and lets them go on.

use super::{Api, auth::Caller, check, extract::json, problem::Problem};
use crate::{domain::timing::rfc3339, store::keys::Scope};
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

/// Whether an operator has paused an app.
#[derive(Debug, Serialize, ToSchema)]
pub struct AppPause {
    app: String,
    /// Since when it is paused, if it is.
    #[schema(required = true, format = DateTime)]
    paused_at: Option<String>,
    /// Reminders whose instant has come. Of a paused app they are not counted.
    due: i64,
}

impl Api {
    async fn set_pause(&self, caller: &Caller, name: &str, pause: bool) -> Result<Response, Problem> {
        caller.may(Scope::Write)?;
        caller.may_touch(name)?;
        let app = check::app(&self.config, name)?;
        self.store.set_app_pause(&app.name, pause, caller.name()).await?;
        tracing::warn!(
            app = app.name,
            by = caller.name(),
            "an operator has {} the app",
            if pause { "paused" } else { "resumed" }
        );
        let (_, due) = self.store.overdue_of(&app.name, self.clock.now()).await?;
        let paused_at = self.store.app_paused_since(&app.name).map(rfc3339);
        Ok(json(StatusCode::OK, &AppPause { app: app.name.clone(), paused_at, due }))
    }
}

/// Pause an app: within a second no new send of it begins, and deadlines run on. It lasts until it is resumed, over restarts too.
#[utoipa::path(post, path = "/v1/apps/{name}/pause", operation_id = "pause_app", tag = "operations", params(("name" = String, Path)),
    responses((status = 200, description = "It is paused, also if it was before", body = AppPause), (status = 422, description = "`unknown_app`")))]
pub async fn pause(State(api): State<Api>, caller: Caller, Path(name): Path<String>) -> Result<Response, Problem> {
    api.set_pause(&caller, &name, true).await
}

/// Let a paused app go on. What is overdue goes at the catch-up pace, as far as its deadline allows.
#[utoipa::path(post, path = "/v1/apps/{name}/resume", operation_id = "resume_app", tag = "operations", params(("name" = String, Path)),
    responses((status = 200, description = "It goes on, also if it did before", body = AppPause), (status = 422, description = "`unknown_app`")))]
pub async fn resume(State(api): State<Api>, caller: Caller, Path(name): Path<String>) -> Result<Response, Problem> {
    api.set_pause(&caller, &name, false).await
}
