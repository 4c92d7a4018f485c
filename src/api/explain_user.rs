//! `/v1/reminders/explain`: what became of a user in a schedule, also where nothing is stored for them.

use super::{
    Api,
    auth::Caller,
    check,
    explain::Explanation,
    extract::{Query, json},
    problem::Problem,
};
use crate::{
    domain::{
        absence::{Absence, Holder},
        consent::ConsentState,
        draft::openid,
    },
    store::{lists::Filter, schedules::ScheduleRow},
    words::{Lang, Voice},
};
use axum::{extract::State, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Reminders of one user in one schedule that are explained.
const AT_MOST: usize = 100;

/// Whose story is wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UserQuery {
    /// The schedule's name.
    schedule: String,
    #[param(pattern = "^[!-~]{1,128}$")]
    openid: String,
}

/// What became of a user in a schedule.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserExplanation {
    schedule: String,
    /// In English.
    en: String,
    /// 中文。
    zh: String,
    /// Each reminder of the user in the schedule; none if nothing is stored.
    reminders: Vec<Explanation>,
}

/// What became of a user in a schedule, reminder by reminder; where nothing is stored for them, why.
#[utoipa::path(get, path = "/v1/reminders/explain", operation_id = "explain_user", tag = "schedules", params(UserQuery), responses(
    (status = 200, description = "In English and in Chinese", body = UserExplanation),
    (status = 404, description = "`not_found`: there is no such schedule")))]
pub async fn explain_user(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<UserQuery>,
) -> Result<Response, Problem> {
    openid(&query.openid)?;
    let schedule = api.visible_schedule(&caller, &query.schedule).await?;
    check::app(&api.config, &schedule.app)?;
    let filter = Filter {
        apps: vec![schedule.app.clone()],
        openid: Some(query.openid.clone()),
        schedule: Some(schedule.id),
        limit: AT_MOST,
        ..Filter::default()
    };
    let mut reminders = Vec::new();
    for stored in api.store.list(&filter).await? {
        reminders.push(api.explanation(&stored, voice).await?);
    }
    let (en, zh) = if reminders.is_empty() {
        let story = api.absence(&schedule, &query.openid).await?.story();
        let zone = check::app(&api.config, &schedule.app).ok().and_then(|app| app.timezone);
        let say = |lang| story.say(Voice::new(lang).in_zone(zone));
        (say(Lang::En), say(Lang::Zh))
    } else {
        let all = |said: fn(&Explanation) -> &str, between: &str| -> String {
            reminders.iter().map(said).collect::<Vec<_>>().join(between)
        };
        (all(Explanation::english, "\n"), all(Explanation::chinese, "\n"))
    };
    Ok(json(StatusCode::OK, &UserExplanation { schedule: schedule.name, en, zh, reminders }))
}

impl Api {
    /// Why nothing is stored for a user in a schedule.
    async fn absence(&self, schedule: &ScheduleRow, openid: &str) -> Result<Absence, Problem> {
        let consents = self.store.consents(&schedule.app, openid).await?;
        let of_template: Vec<_> = consents.into_iter().filter(|c| c.template == schedule.template).collect();
        let count = |state| of_template.iter().filter(|consent| consent.state == state).count();
        let mut holders = Vec::new();
        for consent in of_template.iter().filter(|consent| consent.state == ConsentState::Held) {
            let Some(id) = consent.reminder else { continue };
            let stored = self.store.reminder(id).await?;
            let by = stored.and_then(|stored| self.store.schedule_name(stored.origin?.schedule));
            holders.push(Holder { id, schedule: by.map(|name| name.to_string()) });
        }
        let turned_off = self.store.turned_off(&schedule.app, openid).await?;
        Ok(Absence {
            schedule: schedule.name.clone(),
            cancelled: schedule.cancelled_at,
            incomplete: schedule.incomplete,
            forgotten: self.store.forgotten_at(&schedule.app, openid).await?,
            turned_off: turned_off.iter().find(|(code, _)| *code == schedule.template).map(|(_, at)| *at),
            available: count(ConsentState::Available),
            used: count(ConsentState::Used),
            void: count(ConsentState::Void),
            holders,
        })
    }
}
