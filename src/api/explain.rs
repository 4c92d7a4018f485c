//! `/v1/reminders/{id}/explain`: one sentence on why a reminder was or was not sent, with the evidence.

use super::{Api, auth::Caller, check, extract::json, problem::Problem};
use crate::{
    config::App,
    domain::{
        consent::Feed,
        reminder::{ReminderId, State as ReminderState},
        story::{Denied, Facts, OfSchedule, Paused},
        template::unconfigured,
    },
    schedule::when::cron::occurrence_said,
    store::{StoreError, consents::ended, reminders::Stored},
    words::{Lang, Message, Voice},
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use chrono_tz::Tz;
use serde::Serialize;
use utoipa::ToSchema;

/// Why.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    #[schema(value_type = ReminderId)]
    id: String,
    state: ReminderState,
    /// In English.
    en: String,
    /// 中文。
    zh: String,
    /// The events and the receipt behind the sentence, oldest first, in the caller's language.
    evidence: Vec<String>,
    /// The same in English.
    evidence_en: Vec<String>,
    /// 同上，中文。
    evidence_zh: Vec<String>,
}

/// Why it was or was not sent. Times are in the app's zone.
#[utoipa::path(get, path = "/v1/reminders/{id}/explain", operation_id = "explain_reminder", tag = "reminders",
    params(("id" = ReminderId, Path)),
    responses((status = 200, description = "One sentence in English and in Chinese, with the evidence", body = Explanation)))]
pub async fn explain(
    State(api): State<Api>,
    caller: Caller,
    voice: Voice,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let stored = api.visible(&caller, &id).await?;
    Ok(json(StatusCode::OK, &api.explanation(&stored, voice).await?))
}

impl Api {
    /// Why a reminder was or was not sent.
    pub(super) async fn explanation(&self, stored: &Stored, voice: Voice) -> Result<Explanation, Problem> {
        let api = self;
        let origin = stored.origin.as_ref();
        let of = match origin.and_then(|origin| api.store.schedule_name(origin.schedule)) {
            Some(name) => api.store.schedule(&name).await?,
            None => None,
        };
        let gate = api.store.gates().of(origin.map(|origin| origin.schedule));
        let events = api.store.events(stored).await?;
        let delivery = api.store.delivery(stored).await?;
        let turned_off = api.store.turned_off(&stored.app, &stored.openid).await?;
        let app = check::app(&api.config, &stored.app).ok();
        let now = api.clock.now();
        let pause = api.signals.as_ref().and_then(|s| s.status().lanes.get(&stored.app)?.pause.clone());
        let code = events.last().and_then(|event| event.code.as_deref()).unwrap_or_default();
        let facts = Facts {
            due: &stored.due,
            claim: stored.claim,
            erased: stored.erased,
            events: &events,
            delivery: delivery.as_ref(),
            meaning: app.and_then(|app| app.platform.meaning(code)),
            denied: match app.filter(|app| app.denies(code)) {
                Some(app) => Some(api.denied(app, stored).await?),
                None => None,
            },
            unlisted: app.is_some_and(|app| !app.knows(code)),
            paused: pause.map(|pause| Paused { code: pause.code, why: pause.why, until: pause.until }),
            app_paused_at: api.store.app_paused_since(&stored.app),
            refused: match app {
                Some(app) if app.template(&stored.template).is_none() => Some(unconfigured()),
                _ => api.store.listing(&stored.app).and_then(|listing| listing.refuses(&stored.template, &stored.data)),
            },
            hold: api.store.hold().await?.map(|hold| hold.why()),
            left_by: api.store.left_by(stored).await?.map(|(id, name)| (id.0, name)),
            turned_off: turned_off.iter().find(|(code, _)| *code == stored.template).map(|(_, at)| *at),
            ended: match app {
                Some(app) if app.platform.consents_end() && code == "no_consent" => {
                    ended(&api.store.consents(&stored.app, &stored.openid).await?, &stored.template)
                }
                _ => None,
            },
            counts_pushes_alone: app.is_some_and(|app| !app.consents.counts(Feed::Client)),
            quiet_until: gate.quiet_hours(app.and_then(|app| app.rules.quiet_hours)).and_then(|quiet| quiet.ends(now)),
            schedule: of.zip(origin).map(|(schedule, origin)| OfSchedule {
                name: schedule.name,
                path: schedule.path,
                row: origin.row,
                occurrence: occurrence(&origin.occurrence, &schedule.zone),
                occasion: origin.occasion.clone(),
                paused_at: schedule.paused_at,
                changes: schedule.task.is_some_and(|task| task.kind.closes_gate()),
                shift: schedule.shift,
            }),
            daemon: api.signals.is_some(),
            now,
        };
        let (zone, story) = (api.config.zone_of(&stored.app), facts.story());
        let say = |lang: Lang, between: &str| {
            let voice = Voice::new(lang).in_zone(zone);
            story.iter().map(|sentence| sentence.say(voice)).collect::<Vec<_>>().join(between)
        };
        let (told, known) = (|lang| Voice::new(lang).in_zone(zone), facts.evidence());
        let evidence = |lang| known.iter().map(|message: &Message| message.say(told(lang))).collect::<Vec<_>>();
        let (evidence_en, evidence_zh) = (evidence(Lang::En), evidence(Lang::Zh));
        Ok(Explanation {
            id: stored.due.id.to_string(),
            state: stored.due.state,
            en: say(Lang::En, " "),
            zh: say(Lang::Zh, ""),
            evidence: if voice.lang == Lang::Zh { evidence_zh.clone() } else { evidence_en.clone() },
            evidence_en,
            evidence_zh,
        })
    }
}

impl Api {
    /// What is void by the refusal of a reminder's consent.
    async fn denied(&self, app: &App, stored: &Stored) -> Result<Denied, StoreError> {
        if app.platform.tickets.kinds.is_empty() {
            return Ok(Denied::All);
        }
        let consents = self.store.consents(&stored.app, &stored.openid).await?;
        let held = consents.into_iter().find(|consent| consent.reminder == Some(stored.due.id));
        Ok(match held.and_then(|held| held.ticket) {
            Some(ticket) => Denied::Ticket(ticket.kind),
            None => Denied::Accepts,
        })
    }
}

/// An occurrence of a schedule in this zone, as people read it; `None` for one that has none.
fn occurrence(name: &str, zone: &str) -> Option<Message> {
    (!name.is_empty()).then(|| occurrence_said(name, zone.parse().unwrap_or(Tz::UTC)))
}

impl Explanation {
    /// In English.
    pub(super) fn english(&self) -> &str {
        &self.en
    }

    /// 中文。
    pub(super) fn chinese(&self) -> &str {
        &self.zh
    }
}
