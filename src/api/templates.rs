//! `/v1/templates`: what is configured, and whether the platform has it so.

use super::{
    Api,
    auth::Caller,
    check::OfApp,
    extract::{Json, Query, json},
    problem::Problem,
};
use crate::{
    config::App,
    domain::{MINUTE, Millis, template::Kind, timing::rfc3339},
    store::keys::Scope,
    words::{Message, Voice, say},
};
use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use utoipa::ToSchema;

/// How long a platform's answer is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// The configured templates.
#[derive(Debug, Serialize, ToSchema)]
pub struct Templates {
    templates: Vec<TemplateJson>,
}

/// A configured template.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Template)]
pub struct TemplateJson {
    app: String,
    /// The platform's own id.
    id: String,
    /// Its alias in the configuration.
    #[schema(required = true)]
    name: Option<String>,
    kind: Kind,
    title: String,
    /// Key → label: the platform's where it has been asked, else the configured ones.
    fields: BTreeMap<String, String>,
    /// The values that a field of an enumerated type allows; null until the platform has been asked.
    #[schema(required = true)]
    choices: Option<BTreeMap<String, Vec<String>>>,
    /// Whether the platform lists an account's templates, so that it can be asked.
    listable: bool,
    /// When the platform was asked.
    #[schema(required = true, format = DateTime)]
    listed_at: Option<String>,
    /// How the platform's differs: one sentence each.
    out_of_step: Vec<String>,
}

/// The configured templates: fields and values as the platform lists them, where it has been asked.
#[utoipa::path(get, path = "/v1/templates", operation_id = "list_templates", tag = "operations", params(OfApp), responses(
    (status = 200, description = "As they are known", body = Templates)))]
pub async fn templates(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<OfApp>,
) -> Result<Response, Problem> {
    query.check(&api, &caller)?;
    Ok(json(StatusCode::OK, &shown(&api, &caller, &query, voice)))
}

/// Read the templates from the platform now. It answers that a few times a day only, so an app is asked five times in a row at most, and then
/// once a minute.
#[utoipa::path(post, path = "/v1/templates/refresh", operation_id = "refresh_templates", request_body = OfApp, tag = "operations",
    responses((status = 200, description = "As they are now", body = Templates), (status = 409, description = "`no_daemon`"),
    (status = 429, description = "`asked_too_often`: `Retry-After` says when it is asked again"),
    (status = 502, description = "`platform_unavailable`: what it said")))]
pub async fn refresh(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Json(wanted): Json<OfApp>,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    wanted.check(&api, &caller)?;
    let Some(signals) = &api.signals else {
        return Err(Problem::new("no_daemon", say!("only_a_daemon_asks")));
    };
    let asked =
        |app: &str| signals.status().lanes.get(app).map(|lane| lane.templates_asked.clone()).unwrap_or_default();
    // One whose platform lists none is asked only by its own name, and then it is said why that is of no use.
    let apps = api.config.apps.iter().filter(|app| wanted.app.is_some() || app.lists_templates());
    let names = apps.map(|app| app.name.as_str()).filter(|app| wanted.covers(&caller, app));
    let names = api.refreshes.take(names.collect(), api.clock.monotonic())?.into_iter();
    let before: Vec<(&str, u64)> = names.map(|app| (app, asked(app).times)).collect();
    for (app, _) in &before {
        match signals.status().lanes.get(*app).is_some_and(|lane| lane.elsewhere) {
            // Whoever has the app's lane asks, so that nobody asks twice.
            true => api.store.want_templates(app).await?,
            false => signals.read_templates(app),
        }
    }
    let answered = async {
        while before.iter().any(|(app, n)| asked(app).times == *n) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // An app that has not answered by then is named below.
    let _ = tokio::time::timeout(PATIENCE, answered).await;
    let problem = before.iter().find_map(|(app, before)| {
        let asked = asked(app);
        if asked.times == *before {
            let paused = signals.status().lanes.get(*app).and_then(|lane| lane.pause.clone());
            let paused = paused.map(|pause| say!("because_of", code = pause.code, why = pause.why));
            return Some(say!("no_answer_of_app", app = app, seconds = PATIENCE.as_secs(), paused = paused));
        }
        asked.problem.map(|why| say!("app_says", app = app, why = why))
    });
    match problem {
        Some(why) => Err(Problem::new("platform_unavailable", say!("templates_not_listed", why = why))),
        None => Ok(json(StatusCode::OK, &shown(&api, &caller, &wanted, voice))),
    }
}

/// Times that an app may be asked in a row, and what it waits for each that is over.
const IN_A_ROW: Millis = 5;
const EACH: Millis = MINUTE;

/// When each app will have been asked no more often than it may: by the monotonic clock.
#[derive(Default)]
pub(super) struct Refreshes(Mutex<HashMap<String, Millis>>);

impl Refreshes {
    /// Those of the apps that may be asked now; they count as asked.
    ///
    /// # Errors
    /// `asked_too_often`, if none may be.
    fn take<'a>(&self, apps: Vec<&'a str>, now: Millis) -> Result<Vec<&'a str>, Problem> {
        let mut even_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |app: &str| even_at.get(app).map_or(0, |at| at - now - (IN_A_ROW - 1) * EACH);
        let soonest = apps.iter().map(|app| wait(app)).min().unwrap_or_default();
        if soonest > 0 {
            let seconds = u32::try_from(soonest).unwrap_or(u32::MAX).div_ceil(1_000);
            let problem = Problem::new("asked_too_often", say!("templates_asked_too_often", seconds = seconds));
            return Err(Problem { retry_after: Some(seconds.try_into().unwrap_or(u16::MAX)), ..problem });
        }
        let may: Vec<&str> = apps.into_iter().filter(|app| wait(app) <= 0).collect();
        for app in &may {
            let at = even_at.entry((*app).to_owned()).or_default();
            *at = now.max(*at) + EACH;
        }
        Ok(may)
    }
}

/// A template that the platform does not have as it is configured.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutOfStep {
    template: String,
    why: String,
}

fn shown(api: &Api, caller: &Caller, wanted: &OfApp, voice: Voice) -> Templates {
    let mut templates = Vec::new();
    for app in api.config.apps.iter().filter(|app| wanted.covers(caller, &app.name)) {
        let listing = api.store.listing(&app.name);
        let (listing, listable) = (listing.as_deref(), app.lists_templates());
        templates.extend(app.templates.iter().map(|t| {
            let listed = listing.and_then(|listing| listing.find(&t.code));
            let title = listed.map(|listed| &listed.title).filter(|title| !title.is_empty()).unwrap_or(&t.title);
            TemplateJson {
                app: app.name.clone(),
                id: t.code.clone(),
                name: t.name.clone(),
                kind: t.kind,
                title: title.clone(),
                fields: t.fields(listing).clone(),
                choices: listed.map(|listed| listed.choices.clone()),
                listable,
                listed_at: listing.map(|listing| rfc3339(listing.read_at)),
                out_of_step: listing.map(|listing| said(listing.differences(t), voice)).unwrap_or_default(),
            }
        }));
    }
    Templates { templates }
}

/// The configured templates of an app that the platform does not have so, and how.
pub(super) fn out_of_step(api: &Api, app: &App, voice: Voice) -> Vec<OutOfStep> {
    let Some(listing) = api.store.listing(&app.name) else { return Vec::new() };
    let differing = app.templates.iter().map(|t| (t, listing.differences(t))).filter(|(_, why)| !why.is_empty());
    differing.map(|(t, why)| OutOfStep { template: t.code.clone(), why: said(why, voice).join("; ") }).collect()
}

fn said(sentences: Vec<Message>, voice: Voice) -> Vec<String> {
    sentences.iter().map(|sentence| sentence.say(voice)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_asked_five_times_in_a_row_and_then_once_a_minute_whatever_others_are() {
        let refreshes = Refreshes::default();
        let take =
            |apps: &[&'static str], now| refreshes.take(apps.to_vec(), now).map_err(|problem| problem.retry_after);
        for _ in 0..5 {
            assert_eq!(take(&["coffee"], 1_000), Ok(vec!["coffee"]));
        }
        assert_eq!(take(&["coffee"], 1_000), Err(Some(60)));
        assert_eq!(take(&["coffee"], 60_999), Err(Some(1)));
        assert_eq!(take(&["coffee", "tea"], 1_000), Ok(vec!["tea"]), "another app does not wait");
        assert_eq!(take(&["coffee"], 61_000), Ok(vec!["coffee"]));
        assert_eq!(take(&["coffee"], 61_000), Err(Some(60)));
        assert_eq!(take(&[], 61_000), Ok(vec![]));
        assert_eq!((0..9).filter(|_| take(&["coffee"], 9_000_000).is_ok()).count(), 5, "it saves up no more");
    }
}
