//! `/v1/today`: what goes out today, hour by hour.

use super::{
    Api,
    auth::Caller,
    check::OfApp,
    extract::{Query, json},
    problem::Problem,
};
use crate::{
    domain::{Millis, timing::rfc3339},
    schedule::report::by_hour,
    store::{StoreError, keys::Scope, today::Quarters},
};
use axum::{extract::State, http::StatusCode, response::Response};
use chrono::TimeZone;
use chrono_tz::Tz;
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};
use tokio::sync::Mutex;
use utoipa::ToSchema;

/// So many reminders of an app that wait, and so many that have ended, are counted at most.
const MOST: i64 = 2_000_000;
/// What was counted is told so long to others.
const FRESH: Duration = Duration::from_secs(5);

/// What was counted last, by app and by the day's beginning.
pub(super) type Counted = Mutex<HashMap<(String, Millis), (Instant, Quarters)>>;

/// What goes out today.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Today)]
pub struct TodayJson {
    /// By which the day and its hours are meant.
    timezone: String,
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    /// Hours in which something goes out.
    hours: Vec<TodayHour>,
    /// There are more than two million of an app: the earliest were counted.
    partial: bool,
}

/// The reminders whose instants lie in an hour.
#[derive(Debug, Serialize, ToSchema)]
pub struct TodayHour {
    /// When it begins.
    #[schema(format = DateTime)]
    hour: String,
    /// How many stand where. `scheduled` are all that have not ended.
    reminders: BTreeMap<&'static str, i64>,
}

impl Api {
    async fn quarters_of(&self, app: &str, from: Millis, to: Millis) -> Result<Quarters, StoreError> {
        // One at a time: whoever asks meanwhile waits for the same counts.
        let mut counted = self.today.lock().await;
        counted.retain(|_, (at, _)| at.elapsed() < FRESH);
        if let Some((_, quarters)) = counted.get(&(app.to_owned(), from)) {
            return Ok(quarters.clone());
        }
        let quarters = self.store.quarters(app, from, to, MOST).await?;
        counted.insert((app.to_owned(), from), (Instant::now(), quarters.clone()));
        Ok(quarters)
    }
}

/// What goes out today, hour by hour of the app's zone, or of the one that all apps share, else UTC: by the instants of the reminders, and how
/// they stand.
#[utoipa::path(get, path = "/v1/today", operation_id = "count_today", tag = "operations", params(OfApp), responses(
    (status = 200, description = "Counted now, or up to 5 seconds ago", body = TodayJson)))]
pub async fn today(State(api): State<Api>, caller: Caller, Query(query): Query<OfApp>) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    query.check(&api, &caller)?;
    let apps: Vec<_> = api.config.apps.iter().filter(|app| query.covers(&caller, &app.name)).collect();
    let zone = match apps[..] {
        [app] => app.timezone,
        _ => api.config.zone(),
    };
    let zone = zone.unwrap_or(Tz::UTC);
    let (from, to) = day(zone, api.clock.now());
    let (mut all, mut partial) = (BTreeMap::new(), false);
    for app in apps {
        let quarters = api.quarters_of(&app.name, from, to).await?;
        partial |= quarters.partial;
        for (place, n) in quarters.n {
            *all.entry(place).or_default() += n;
        }
    }
    let hour = |(hour, reminders)| TodayHour { hour: rfc3339(hour), reminders };
    let hours = by_hour(&all, zone).into_iter().map(hour).collect();
    let timezone = zone.name().to_owned();
    Ok(json(StatusCode::OK, &TodayJson { timezone, from: rfc3339(from), to: rfc3339(to), hours, partial }))
}

/// When the day of a zone begins in which `now` lies, and when the next one does.
fn day(zone: Tz, now: Millis) -> (Millis, Millis) {
    let date = zone.timestamp_millis_opt(now).single().map(|now| now.date_naive()).unwrap_or_default();
    let begins = |date: chrono::NaiveDate| {
        // Where clocks go forward at midnight the day begins at one.
        let wall = (0..24).filter_map(|hour| date.and_hms_opt(hour, 0, 0));
        let first = wall.filter_map(|wall| zone.from_local_datetime(&wall).earliest()).next();
        first.map_or(now, |first| first.timestamp_millis())
    };
    (begins(date), begins(date.succ_opt().unwrap_or(date)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{HOUR, timing::parse_instant};

    #[test]
    fn a_day_is_the_zones_own_also_where_clocks_change() {
        let at = |text: &str| parse_instant(text, None).expect("an instant").at;
        let table = [
            (Tz::Asia__Shanghai, "2031-03-01T16:30:00Z", "2031-03-01T16:00:00Z", 24),
            (Tz::Europe__Berlin, "2031-03-30T12:00:00Z", "2031-03-29T23:00:00Z", 23),
            (Tz::Europe__Berlin, "2031-10-26T12:00:00Z", "2031-10-25T22:00:00Z", 25),
            (Tz::America__Santiago, "2026-09-06T12:00:00Z", "2026-09-06T04:00:00Z", 23),
            (Tz::UTC, "2031-03-01T00:00:00Z", "2031-03-01T00:00:00Z", 24),
        ];
        for (zone, now, from, hours) in table {
            let (begins, ends) = day(zone, at(now));
            assert_eq!((begins, (ends - begins) / HOUR), (at(from), hours), "{zone} {now}");
        }
    }
}
