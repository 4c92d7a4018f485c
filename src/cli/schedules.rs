//! `tixing schedules`: what was loaded, how it stands, and what is done to it.

use super::{
    arguments::Schedules,
    client::{Client, query, schedule},
    failure::Failure,
    out::{Out, data},
    progress::during,
    report,
    table::{rows, text},
};
use crate::{
    domain::timing::parse_instant,
    schedule::{compare::REMOVALS as MOST_REMOVED, when::cron::zone_said},
    words::{Message, Voice, say, word::word},
};
use chrono_tz::Tz;
use reqwest::Method;
use serde_json::{Value, json};

/// `tixing schedules …`
pub async fn run(client: &Client, verb: Schedules, out: Out) -> Result<(), Failure> {
    match verb {
        Schedules::List { app, state } => {
            let query = query(&[("app", app), ("state", state)]);
            let answer = client.ask(Method::GET, &format!("/v1/schedules{query}"), None).await?;
            let items = answer["items"].as_array().cloned().unwrap_or_default();
            for file in answer["files"].as_array().into_iter().flatten() {
                out.tell(&bad_file(file, out.voice));
            }
            items.iter().filter_map(removed).for_each(|told| out.tell(&told));
            let is_orphan = |item: &&Value| {
                item["orphaned"] == true && ["active", "paused"].contains(&item["state"].as_str().unwrap_or_default())
            };
            items.iter().filter(is_orphan).for_each(|item| out.tell(&say!("orphan_listed", name = item["name"])));
            let items: Vec<Value> =
                if out.json { items } else { items.into_iter().map(|item| flat(item, out.voice)).collect() };
            let members =
                ["name", "app", "state", "scheduled", "sent", "failed", "expired", "cancelled", "first_at", "last_at"];
            rows(&items, &members, client, out);
        }
        Schedules::Show { name } => {
            let schedule = client.ask(Method::GET, &schedule(&name, ""), None).await?;
            if out.json {
                data!("{schedule}");
            } else {
                let out = Out { voice: client.voice_for(schedule["app"].as_str(), out.voice), ..out };
                about(&schedule).iter().for_each(|line| out.show(line));
            }
        }
        Schedules::Problems { name } => {
            let answer = client.ask(Method::GET, &schedule(&name, "/problems"), None).await?;
            if out.json {
                data!("{answer}");
            } else {
                problems(&answer, out);
            }
        }
        Schedules::Report { name, save } => report::run(client, &name, save.as_deref(), out).await?,
        Schedules::Pause { name } => {
            let answer = client.ask(Method::POST, &schedule(&name, "/pause"), None).await?;
            out.done(&answer, &say!("schedule_paused", name = name));
        }
        Schedules::Resume { name } => {
            let answer = client.ask(Method::POST, &schedule(&name, "/resume"), None).await?;
            let (expired, overdue, ahead) = (&answer["expired"], &answer["overdue"], &answer["ahead"]);
            let said = say!("schedule_resumed", name = name, expired = expired, overdue = overdue, ahead = ahead);
            out.done(&answer, &said);
        }
        Schedules::Shift { name, by, yes } => shift(client, &name, &by, yes, out).await?,
        Schedules::Cancel { name } => {
            let cancelled = |schedule: &Value| schedule["reminders"]["cancelled"].as_i64().unwrap_or_default();
            let before = cancelled(&client.ask(Method::GET, &schedule(&name, ""), None).await?);
            let of_it = schedule(&name, "");
            let ended = client.ask(Method::DELETE, &of_it, None);
            let answer = during(out, say!("cancelling_schedule", name = name), ended).await?;
            let n = (cancelled(&answer) - before).max(0);
            out.done(&answer, &say!("schedule_was_cancelled", name = name, n = n));
            if answer["paused_at"].is_string() {
                out.tell(&say!("cancelled_stays_paused", name = name));
            }
        }
    }
    client.close().await;
    Ok(())
}

/// `tixing schedules shift`. What goes at once is told first, and on a terminal asked about, as a load asks.
async fn shift(client: &Client, name: &str, by: &str, yes: bool, out: Out) -> Result<(), Failure> {
    let body = || Some(json!({ "by": by }));
    let asks = !yes && out.can_ask();
    if asks {
        let planned = client.ask(Method::POST, &schedule(name, "/shift?dry_run=true"), body()).await?;
        let (moves, at_once) = (&planned["plan"]["moves"], &planned["plan"]["at_once"]);
        if at_once.as_u64().is_some_and(|n| n > 0) && planned["plan"]["too_far"] == 0 {
            out.tell(&say!("shift_sends_at_once", moves = moves, n = at_once));
            if !out.asks(&say!("shift_it")).map_err(Failure::Failed)? {
                out.tell(&say!("nothing_shifted"));
                return Ok(());
            }
        }
    }
    let call = schedule(name, "/shift");
    let shifted = client.ask(Method::POST, &call, body());
    let answer = during(out, say!("shifting_schedule", name = name), shifted).await?;
    out.done(&answer, &say!("schedule_shifted", name = name, by = by));
    if let Some(n) = answer["plan"]["at_once"].as_u64().filter(|n| *n > 0 && !asks) {
        out.tell(&say!("shifted_at_once", n = n));
    }
    Ok(())
}

/// A schedule as a row of a table: its counts beside its other members.
fn flat(mut schedule: Value, voice: Voice) -> Value {
    let state = word(&text(&schedule["state"]));
    let state = if schedule["orphaned"] == true { say!("state_orphaned", state = state) } else { state };
    let state = if schedule["incomplete"] == true { say!("state_incomplete", state = state) } else { state };
    schedule["state"] = state.say(voice).into();
    let counts = schedule["reminders"].take();
    for (state, n) in counts.as_object().into_iter().flatten() {
        schedule[state.as_str()] = n.clone();
    }
    schedule
}

/// A file of the watched folder that can't be loaded.
fn bad_file(file: &Value, voice: Voice) -> Message {
    let zone: Tz = file["zone"].as_str().and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC);
    let since = file["since"].as_str().and_then(|text| parse_instant(text, None).ok());
    let since = since.map(|written| voice.in_zone(Some(zone)).time(written.at));
    say!("folder_bad_file", path = file["path"], since = since, detail = file["detail"], zone = zone_said(zone))
}

/// What the folder cancelled by a schedule's last load, without asking anybody.
fn removed(schedule: &Value) -> Option<Message> {
    let n = schedule["removed_by_folder"].as_u64().filter(|n| *n > 0)?;
    Some(say!("folder_removed", name = schedule["name"], n = n, most = MOST_REMOVED))
}

/// How a schedule or a plan recurs, and its next occurrences; nothing of one that does not.
pub(super) fn recurring(schedule: &Value) -> Option<Message> {
    let at = |next: &Value| Some(parse_instant(next["event"].as_str()?, None).ok()?.at);
    let said = |next: &Value| {
        let at = at(next)?;
        Some(match next["key"].as_str() {
            Some(key) => say!("next_event", key = key, at = at),
            None => say!("next_time", at = at),
        })
    };
    let next: Vec<Message> = schedule["next"].as_array().into_iter().flatten().filter_map(said).collect();
    let recurs = schedule["recurs"].as_str()?;
    Some(match next.is_empty() {
        true => say!("recurs_no_more", recurs = recurs),
        false => say!("recurs_and_next", recurs = recurs, next = next),
    })
}

/// How a schedule stands, in sentences.
fn about(schedule: &Value) -> Vec<Message> {
    let at = |member: &str| schedule[member].as_str().and_then(|text| parse_instant(text, None).ok()).map(|w| w.at);
    let n = |state: &str| schedule["reminders"][state].as_i64().unwrap_or_default();
    let mut lines = vec![say!(
        "about_state",
        name = schedule["name"],
        app = schedule["app"],
        state = word(&text(&schedule["state"]))
    )];
    let path = schedule["path"].as_str();
    lines.extend(path.map(|path| say!("about_file", path = path)));
    lines.push(match at("loaded_at") {
        Some(loaded) => say!("about_loaded", at = loaded),
        None => say!("about_never_loaded"),
    });
    if schedule["incomplete"] == true {
        lines.push(say!("about_incomplete"));
    }
    lines.extend(removed(schedule));
    if schedule["orphaned"] == true {
        lines.push(say!("about_orphaned", name = schedule["name"]));
    }
    lines.extend(at("paused_at").map(|since| say!("about_paused", since = since)));
    lines.extend(at("cancelled_at").map(|since| say!("about_cancelled", since = since)));
    lines.extend(
        at("first_at").zip(at("last_at")).map(|(first, last)| say!("about_instants", first = first, last = last)),
    );
    let instant = |member: &Value| member.as_str().and_then(|text| parse_instant(text, None).ok()).map(|w| w.at);
    lines.extend(recurring(schedule));
    for occurrence in schedule["occurrences"].as_array().into_iter().flatten() {
        let (name, people) = (&occurrence["name"], &occurrence["people"]);
        lines.push(match instant(&occurrence["prepared_at"]) {
            Some(at) => say!("about_prepared", name = name, people = people, at = at),
            None => say!("about_being_prepared", name = name),
        });
    }
    for one in schedule["left_out"].as_array().into_iter().flatten() {
        let (name, event, why) = (&one["name"], instant(&one["event"]), &one["detail"]);
        lines.push(say!("about_left_out", name = name, event = event, why = why));
    }
    lines.extend(match schedule["shift_ms"].as_i64().unwrap_or_default() {
        0 => None,
        by if by > 0 => Some(say!("about_shifted_later", by = by)),
        by => Some(say!("about_shifted_earlier", by = -by)),
    });
    lines.push(say!(
        "about_counts",
        waiting = n("scheduled") + n("sending"),
        sent = n("sent"),
        failed = n("failed"),
        expired = n("expired"),
        cancelled = n("cancelled"),
        doubtful = n("in_doubt") + n("unconfirmed")
    ));
    for reason in schedule["reasons"].as_array().into_iter().flatten() {
        let (state, why) = (word(&text(&reason["state"])), word(&text(&reason["reason"])));
        // What is past its deadline is so because it is past its deadline.
        lines.push(match state == why {
            true => say!("about_reason_alone", n = reason["n"], state = state),
            false => say!("about_reason", n = reason["n"], state = state, reason = why),
        });
    }
    if let Some(task) = schedule["task"].as_object() {
        lines.push(say!("about_task", kind = task["kind"], by = task["by"], detail = task["detail"]));
    }
    lines.extend(schedule["problem"].as_str().map(|problem| say!("about_problem", problem = problem)));
    lines
}

/// The problems of the last load, one a line, then the notes.
fn problems(answer: &Value, out: Out) {
    for problem in ["problems", "notes"].iter().flat_map(|list| answer[*list].as_array().into_iter().flatten()) {
        let place = ["row", "line"].iter().find_map(|member| problem[*member].as_i64());
        let place = place.map_or(String::new(), |n| format!(":{n}"));
        let cell =
            problem["cell"].as_str().or(problem["column"].as_str()).map_or(String::new(), |cell| format!(" {cell}"));
        data!("{}{place}{cell} {}: {}", text(&problem["file"]), text(&problem["code"]), text(&problem["detail"]));
    }
    for (code, n) in answer["more_problems"].as_object().into_iter().flatten().filter(|(_, n)| n.as_i64() > Some(0)) {
        out.show(&say!("more_problems_of", n = n, code = code));
    }
    let none = |list: &str| answer[list].as_array().is_none_or(Vec::is_empty);
    if none("problems") && none("notes") {
        out.tell(&say!("no_problems"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Lang;

    #[test]
    fn why_something_ended_is_said_once_and_times_have_their_zone() {
        let schedule = json!({ "name": "spring", "app": "coffee", "state": "ended", "reasons": [
            { "state": "expired", "reason": "expired", "n": 3 }, { "state": "failed", "reason": "no_consent", "n": 2 },
        ], "removed_by_folder": 1 });
        let en = Voice::new(Lang::En);
        let lines: Vec<String> = about(&schedule).iter().map(|line| line.say(en)).collect();
        assert!(lines.contains(&"  past the deadline: 3".to_owned()), "{lines:?}");
        assert!(lines.contains(&"  failed, because no consent: 2".to_owned()), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("cancelled 1 reminder.")), "{lines:?}");
        let file = json!({ "path": "/s/a.toml", "detail": "bad", "since": "2027-03-01T00:00:00.000Z", "zone": "Asia/Shanghai" });
        for (lang, expected) in [
            (Lang::En, "not loaded since 2027-03-01 08:00:00+08:00 (Beijing time): /s/a.toml: bad"),
            (Lang::Zh, "自 2027-03-01 08:00:00+08:00（北京时间）起未能加载：/s/a.toml：bad"),
        ] {
            let voice = Voice::new(lang);
            assert_eq!(bad_file(&file, voice).say(voice), expected);
        }
    }
}
