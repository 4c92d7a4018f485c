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
        Millis,
        absence::{Absence, Holder, Lack, Missing},
        consent::ConsentState,
        draft::openid,
        schedule::Upcoming,
        timing::cut,
    },
    schedule::{named::Inline, row::normal, when::cron::occurrence_said},
    store::{
        consents::ended,
        kept::{KeptOfUser, Part},
        left_out::LeftOutRow,
        lists::Filter,
        schedules::ScheduleRow,
    },
    words::{Lang, Message, Voice, say},
};
use axum::{extract::State, http::StatusCode, response::Response};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
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
    /// The user; either this or `key`.
    #[param(pattern = "^[!-~]{1,128}$", nullable = false)]
    openid: Option<String>,
    /// The key of a row.
    #[param(max_length = 128, nullable = false)]
    key: Option<String>,
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

/// What became of a user in a schedule, or of a row by its key, reminder by reminder; where nothing is stored for a user, why.
#[utoipa::path(get, path = "/v1/reminders/explain", operation_id = "explain_user", tag = "schedules", params(UserQuery), responses(
    (status = 200, description = "In English and in Chinese", body = UserExplanation),
    (status = 404, description = "`not_found`: there is no such schedule, or no reminder of such a row")))]
pub async fn explain_user(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Query(query): Query<UserQuery>,
) -> Result<Response, Problem> {
    let whose = match (query.openid, query.key) {
        (Some(user), None) => Whose::User(user),
        (None, Some(key)) => Whose::Row(key),
        _ => return Err(Problem::new("bad_value", say!("openid_or_key")).at("/openid")),
    };
    if let Whose::User(user) = &whose {
        openid(user)?;
    }
    let schedule = api.visible_schedule(&caller, &query.schedule).await?;
    check::app(&api.config, &schedule.app)?;
    let user = match whose {
        Whose::User(user) => user,
        Whose::Row(key) => return api.of_row(&schedule, &key, voice).await,
    };
    let filter = Filter {
        apps: vec![schedule.app.clone()],
        openid: Some(user.clone()),
        schedule: Some(schedule.id),
        limit: AT_MOST,
        ..Filter::default()
    };
    let (mut reminders, mut occurrences) = (Vec::new(), BTreeSet::new());
    for stored in api.store.list(&filter).await? {
        occurrences.extend(stored.origin.as_ref().map(|origin| origin.occurrence.clone()));
        reminders.push(api.explanation(&stored, voice).await?);
    }
    let absence = api.absence(&schedule, &user).await?;
    let mut stories = Vec::new();
    if !absence.is_of_all() {
        stories.extend(api.missing(&schedule, &user, &occurrences).await?.iter().map(Missing::story));
        // Of these nobody has anything.
        let left_out = api.store.left_out(schedule.id, LEFT_OUT).await?;
        let told = |one: &LeftOutRow| one.story(&schedule.name, told_of(&schedule, &one.name, one.event_at));
        stories.extend(left_out.iter().map(told));
    }
    if reminders.is_empty() && stories.is_empty() {
        stories.push(absence.story());
    }
    Ok(api.told(&schedule, reminders, &stories))
}

/// Whom an explanation is about.
enum Whose {
    User(String),
    Row(String),
}

/// Occurrences of which nothing is stored for a user that are told: those whose deadlines are ahead, and those that are over.
const AHEAD: usize = 10;
const OVER: usize = 5;
/// Occurrences that were left out.
const LEFT_OUT: i64 = 5;
/// Occurrences that are looked at for these.
const LOOKED_AT: i64 = 200;

impl Api {
    /// What became of a row.
    async fn of_row(&self, schedule: &ScheduleRow, key: &str, voice: Voice) -> Result<Response, Problem> {
        let key = normal(key);
        let mut reminders = Vec::new();
        // No text of PostgreSQL has it.
        if !key.contains('\0') {
            for id in self.store.reminders_of_row(schedule.id, &key, AT_MOST as i64).await? {
                if let Some(stored) = self.store.reminder(id).await? {
                    reminders.push(self.explanation(&stored, voice).await?);
                }
            }
        }
        if reminders.is_empty() {
            return Err(Problem::new("not_found", say!("no_reminder_of_row", key = cut(&key), name = schedule.name)));
        }
        Ok(self.told(schedule, reminders, &[]))
    }

    fn told(&self, schedule: &ScheduleRow, reminders: Vec<Explanation>, stories: &[Message]) -> Response {
        let zone = self.config.zone_of(&schedule.app);
        let all = |said: fn(&Explanation) -> &str, lang| -> String {
            let voice = Voice::new(lang).in_zone(zone);
            let told = reminders.iter().map(|reminder| said(reminder).to_owned());
            told.chain(stories.iter().map(|story| story.say(voice))).collect::<Vec<_>>().join("\n")
        };
        let (en, zh) = (all(Explanation::english, Lang::En), all(Explanation::chinese, Lang::Zh));
        json(StatusCode::OK, &UserExplanation { schedule: schedule.name.clone(), en, zh, reminders })
    }

    /// The occurrences of a schedule in which a user has nothing, though it has others for somebody.
    async fn missing(
        &self,
        schedule: &ScheduleRow,
        openid: &str,
        has: &BTreeSet<String>,
    ) -> Result<Vec<Missing>, Problem> {
        let now = self.clock.now();
        let mut all = self.store.living_occurrences(schedule.id, now).await?;
        all.truncate(AHEAD);
        let latest = self.store.occurrences(schedule.id, LOOKED_AT).await?;
        all.extend(latest.into_iter().filter(|one| one.ends_at <= now).take(OVER));
        let missing = |name: &str, event: Millis, lack| Missing {
            schedule: schedule.name.clone(),
            occurrence: told_of(schedule, name, event),
            lack,
        };
        let listed = self.listed(schedule, openid).await?;
        let consents = self.store.consents(&schedule.app, openid).await?;
        let first = consents.iter().filter(|c| c.template == schedule.template).map(|c| c.granted_at).min();
        let loaded = schedule.loaded_at.unwrap_or_default();
        let mut told = Vec::new();
        for one in all.iter().filter(|one| !has.contains(&one.name)) {
            let Some(prepared) = one.prepared_at else { continue };
            // By what the list says now it is told only of what was prepared by it; whom it excludes has lost what was ahead.
            let is_by_now = |lack: &Lack| prepared >= loaded || (*lack == Lack::Excluded && one.ends_at > now);
            let accepted_until = |at: Millis| first.is_some_and(|first| first <= at);
            let lack = listed.filter(is_by_now).unwrap_or(match is_joined(schedule) {
                true if accepted_until(loaded) => Lack::Loaded(loaded),
                true => Lack::NoConsentAtLoad(loaded),
                false if accepted_until(prepared) => Lack::Prepared(prepared),
                false => Lack::NoConsent(prepared),
            });
            told.push(missing(&one.name, one.event_at, lack));
        }
        let upcoming: Vec<Upcoming> =
            schedule.upcoming.as_deref().and_then(|stored| serde_json::from_str(stored).ok()).unwrap_or_default();
        let begun = |name: &str| all.iter().any(|one| one.name == name);
        // What a restart found too late to prepare is none that comes.
        let is_ahead = |next: &&Upcoming| next.event > now && next.prepare_at.is_some_and(|at| at > now);
        let mut next = upcoming.iter().filter(|_| !is_joined(schedule)).filter(is_ahead);
        let next = next.find(|next| !begun(&next.name));
        if let Some((next, at)) = next.and_then(|next| Some((next, next.prepare_at?))) {
            told.push(missing(&next.name, next.event, listed.unwrap_or(Lack::Later(at))));
        }
        Ok(told)
    }

    /// Why a user comes into no occurrence, by the file and the rows that a schedule keeps. `None`: these don't tell.
    async fn listed(&self, schedule: &ScheduleRow, openid: &str) -> Result<Option<Lack>, Problem> {
        let of_user = self.store.kept_of_user(&schedule.app, openid).await?;
        let (id, edition) = (schedule.id, schedule.edition);
        let is_in = |part| {
            let is_it = |kept: &KeptOfUser| (kept.edition, kept.part) == (edition, part);
            of_user.iter().any(|kept| kept.schedule == schedule.name && is_it(kept))
        };
        let inline = inline(schedule);
        if inline.exclude.contains(openid) || is_in(Part::Exclude) {
            return Ok(Some(Lack::Excluded));
        }
        let is_listed = match inline.audience {
            Some(audience) => audience.contains(openid),
            None => {
                let has_list = !self.store.kept_rows(id, edition, Part::Audience, -1, 1).await?.is_empty();
                !has_list || is_in(Part::Audience)
            }
        };
        Ok((!is_listed).then_some(Lack::NotListed))
    }

    /// Why nothing is stored for a user in a schedule.
    async fn absence(&self, schedule: &ScheduleRow, openid: &str) -> Result<Absence, Problem> {
        let consents = self.store.consents(&schedule.app, openid).await?;
        let of_template: Vec<_> = consents.into_iter().filter(|c| c.template == schedule.template).collect();
        let count = |state| of_template.iter().filter(|consent| consent.state == state).count();
        let free = of_template.iter().filter(|consent| consent.state == ConsentState::Available);
        let ends: Option<Vec<Millis>> = free.map(|consent| consent.ends_at).collect();
        let until = ends.and_then(|ends| ends.into_iter().max());
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
            excluded: inline(schedule).exclude.contains(openid),
            incomplete: schedule.incomplete,
            forgotten: self.store.forgotten_at(&schedule.app, openid).await?,
            turned_off: turned_off.iter().find(|(code, _)| *code == schedule.template).map(|(_, at)| *at),
            available: count(ConsentState::Available),
            until,
            first_at: schedule.first_at,
            used: count(ConsentState::Used),
            void: count(ConsentState::Void),
            ended: ended(&of_template, &schedule.template),
            holders,
        })
    }
}

/// An occurrence as people read it, with its time.
fn told_of(schedule: &ScheduleRow, name: &str, event: Millis) -> Message {
    // A wall time says when it is; the key of an event does not.
    match occurrence_said(name, schedule.zone.parse().unwrap_or(Tz::UTC)) {
        said if said == Message::text(name) => say!("next_event", key = name, at = event),
        said => said,
    }
}

/// Whom a schedule's file names itself, as its last load that came to its end said it.
fn inline(schedule: &ScheduleRow) -> Inline {
    Inline::of(schedule.kept_text.as_deref().unwrap_or(&schedule.text))
}

/// Whether the rows of its file name their events: all is loaded at once, and nothing is prepared.
fn is_joined(schedule: &ScheduleRow) -> bool {
    schedule.kept_text.is_none()
}
