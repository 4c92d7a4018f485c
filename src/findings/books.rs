//! The books: how each app stands by the daemon's counts, and which reminders nobody sends.

use super::{Level, Report, Subject};
use crate::{
    config::App,
    domain::{MINUTE, timing::parse_instant},
    words::{Lang, Message, say},
};
use serde_json::Value;

/// `stats` and `keys` as the API tells them.
pub fn look(stats: &Value, keys: &Value, apps: &[App], report: &mut Report) {
    match stats["hold"][if report.voice.lang == Lang::Zh { "zh" } else { "en" }].as_str() {
        None => report.ok(say!("check_hold"), say!("none")),
        Some(why) => report.add(say!("check_hold"), Level::Failed, Message::text(why), say!("release_store")),
    }
    for lost in items(&stats["unconfigured"]) {
        let found = say!("unconfigured_reminders", n = lost["waiting"], app = lost["app"]);
        report.add(say!("check_unconfigured"), Level::Failed, found, say!("configure_app_again"));
    }
    let names = |member: &str| -> Vec<Message> {
        items(&stats[member]).map(|name| Message::text(name.as_str().unwrap_or_default())).collect()
    };
    let incomplete = names("incomplete_schedules");
    let found = if incomplete.is_empty() { say!("none") } else { say!("each", all = incomplete) };
    report.judge(say!("check_schedules"), incomplete.is_empty(), Level::Warning, found, say!("load_again"));
    let orphaned = names("orphaned_schedules");
    if !orphaned.is_empty() {
        report.add(
            say!("check_schedules"),
            Level::Warning,
            say!("schedules_orphaned", names = orphaned),
            say!("cancel_orphans"),
        );
    }
    if let Some(n) = stats["folder_problems"].as_u64().filter(|n| *n > 0) {
        report.add(
            say!("check_folder"),
            Level::Warning,
            say!("folder_has_problems", n = n),
            say!("see_folder_problems"),
        );
    }
    let unconfigured = names("unconfigured_schedules");
    if !unconfigured.is_empty() {
        let found = say!("schedules_unconfigured", names = unconfigured);
        report.add(say!("check_schedules"), Level::Failed, found, say!("configure_schedules_again"));
    }
    let unprepared: Vec<Message> = items(&stats["unprepared_schedules"]).map(not_prepared).collect();
    if !unprepared.is_empty() {
        let found = say!("each", all = unprepared);
        report.add(say!("check_occurrences"), Level::Failed, found, say!("see_to_occurrences"));
    }
    match &stats["clock_distrusted"] {
        Value::Null => report.ok(say!("check_daemon_clock"), say!("clock_trusted")),
        why => report.add(say!("check_daemon_clock"), Level::Failed, told(why), say!("set_clock_right")),
    }
    let living = items(&keys["keys"]).filter(|key| key["revoked_at"].is_null()).count();
    let found = say!("keys_living", n = living);
    report.judge(say!("check_keys"), living > 0, Level::Warning, found, say!("create_key"));
    for app in apps {
        let Some(of) = items(&stats["apps"]).find(|of| of["app"] == app.name.as_str()) else { continue };
        sending(app, of, report);
        waiting(app, of, report);
        ended(app, of, report);
    }
}

/// How many of an app's messages the platform has told the fate of.
pub fn receipts(stats: &Value, app: &App) -> i64 {
    let of = items(&stats["apps"]).find(|of| of["app"] == app.name.as_str());
    of.map_or(0, |of| number(of, "/receipts/delivered") + number(of, "/receipts/undelivered"))
}

/// Why the next occurrence of a schedule is not prepared.
fn not_prepared(schedule: &Value) -> Message {
    match schedule["why"].as_str() {
        Some(why) => say!("occurrence_hindered", name = schedule["name"], why = why),
        None => say!("occurrence_late", name = schedule["name"], late = number(schedule, "/late_ms")),
    }
}

/// Whether an app sends, and how fast.
fn sending(app: &App, of: &Value, report: &mut Report) {
    let subject = Subject::of(app, say!("check_sending"));
    if of["paused_at"].is_string() {
        let since = instant(&of["paused_at"]);
        let resume = say!("resume_the_app", name = app.name);
        report.add(subject.clone(), Level::Warning, say!("app_paused_by_operator", since = since), resume);
    }
    match &of["paused"] {
        Value::Null if of["paused_at"].is_string() => {}
        Value::Null => report.ok(subject, say!("sending_goes_on")),
        paused => {
            let (until, code, why) = (instant(&paused["until"]), &paused["code"], told(&paused["why"]));
            let found = say!("app_paused", until = until, code = code, why = why);
            report.add(subject, Level::Failed, found, say!("see_to_pause"));
        }
    }
    let suspended: Vec<Message> = items(&of["suspended_templates"])
        .map(|one| {
            let (until, why) = (instant(&one["until"]), told(&one["why"]));
            say!("template_suspended_until", template = one["template"], until = until, code = one["code"], why = why)
        })
        .collect();
    let subject = Subject::of(app, say!("check_suspended_templates"));
    let subject = subject.named_in_json(format!("{}: held templates", app.name));
    if suspended.is_empty() {
        report.ok(subject, say!("none"));
    } else {
        report.add(subject, Level::Failed, say!("each", all = suspended), say!("see_to_template"));
    }
    let unlisted: Vec<Message> = items(&of["unlisted_codes"])
        .map(|one| say!("unlisted_code", code = one["code"], n = number(one, "/n")))
        .collect();
    if !unlisted.is_empty() {
        let subject = Subject::of(app, say!("check_codes"));
        report.add(subject, Level::Warning, say!("each", all = unlisted), say!("map_code"));
    }
    let rate = of["rate"].as_u64().unwrap_or_else(|| app.rate.into());
    report.judge(
        Subject::of(app, say!("check_rate_for_now")),
        rate >= app.rate.into(),
        Level::Warning,
        say!("rate_of", rate = rate, most = app.rate),
        say!("lower_rate_or_wait"),
    );
}

/// Reminders that should have gone, and those whose outcome is unknown.
fn waiting(app: &App, of: &Value, report: &mut Report) {
    let late = number(of, "/oldest_overdue_ms");
    report.judge(
        Subject::of(app, say!("check_overdue")),
        late < 5 * MINUTE,
        Level::Warning,
        say!("overdue_is", n = number(of, "/due"), late = late),
        say!("look_into_overdue"),
    );
    let in_doubt = number(of, "/in_doubt");
    report.judge(
        Subject::of(app, say!("check_in_doubt")),
        in_doubt == 0,
        Level::Warning,
        say!("in_doubt_is", n = in_doubt, given_up = number(of, "/reminders/unconfirmed")),
        say!("see_doubts"),
    );
}

/// How the ended ones ended, by the platform's answers and by its receipts.
fn ended(app: &App, of: &Value, report: &mut Report) {
    let (failed, sent) = (number(of, "/reminders/failed"), number(of, "/reminders/sent"));
    report.judge(
        Subject::of(app, say!("check_failed")),
        failed * 20 <= failed + sent,
        Level::Warning,
        say!("failed_of", failed = failed, ended = failed + sent),
        say!("see_failed"),
    );
    let drift = number(of, "/drift");
    report.judge(
        Subject::of(app, say!("check_drift")),
        drift * 100 <= sent,
        Level::Warning,
        say!("drift_is", drift = drift, sent = sent),
        say!("look_into_drift"),
    );
    if app.callback.is_none() || !app.platform.tells().failures {
        return;
    }
    let undelivered = number(of, "/receipts/undelivered");
    // Where only failures are pushed, they are some of all that was sent.
    let mut of_all = sent;
    let mut found = say!("pushes_failed_of", failed = undelivered, sent = sent);
    if app.platform.doubt.sends_receipts {
        of_all = number(of, "/receipts/delivered") + undelivered;
        found = say!("undelivered_of", undelivered = undelivered, receipts = of_all);
        report.judge(
            Subject::of(app, say!("check_receipts")),
            of_all > 0 || sent < 20,
            Level::Warning,
            say!("receipts_of", receipts = of_all, sent = sent),
            say!("look_into_receipts"),
        );
    }
    report.judge(
        Subject::of(app, say!("check_undelivered")),
        undelivered * 20 <= of_all,
        Level::Warning,
        found,
        say!("see_undelivered"),
    );
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn number(of: &Value, path: &str) -> i64 {
    of.pointer(path).and_then(Value::as_i64).unwrap_or_default()
}

/// A reason: a message, or the words of somebody else.
pub fn told(why: &Value) -> Message {
    serde_json::from_value(why.clone()).unwrap_or_else(|_| Message::text(why.as_str().unwrap_or_default()))
}

/// A time of JSON as an instant that can be said in a zone; as it is if it is none.
pub fn instant(time: &Value) -> Value {
    let at = time.as_str().and_then(|text| parse_instant(text, None).ok());
    at.map_or_else(|| time.clone(), |written| written.at.into())
}
