//! `tixing plan`, `load` and `try`: a marketer's file, seen before it goes out.

use super::{
    annotate,
    arguments::{Load, Plan, Try},
    client::{Client, query},
    failure::Failure,
    files::Files,
    out::{Out, data},
    progress::Progress,
    schedules,
    table::text,
};
use crate::{
    domain::{schedule::Change, timing::parse_instant},
    words::{Message, Voice, say, word::stage},
};
use serde_json::Value;

/// Problems and notes that a person is shown; the rest is counted.
const SHOWN: usize = 20;

/// The members of a problem of HTTP.
const PROBLEM: [&str; 6] = ["type", "title", "status", "detail", "code", "param"];

/// The answer of a plan or a load: the plan, or a problem that holds it.
struct Answer(Value);

impl Answer {
    /// Whether the file can be used.
    fn is_usable(&self) -> bool {
        self.0.get("code").is_none()
    }

    fn count(&self, list: &str, name: &str) -> u64 {
        self.0[list][name].as_u64().unwrap_or_default()
    }

    /// The JSON as `--json` shows it: the plan, without what makes it a problem of HTTP.
    fn plan(&self) -> Value {
        let mut plan = self.0.clone();
        if let Some(members) = plan.as_object_mut().filter(|_| !self.is_usable()) {
            for name in PROBLEM {
                members.remove(name);
            }
        }
        plan
    }

    /// What makes it a problem of HTTP.
    fn problem(&self) -> Value {
        PROBLEM.iter().map(|name| ((*name).to_owned(), self.0[*name].clone())).collect()
    }

    /// How the command ends.
    fn end(&self) -> Result<(), Failure> {
        if !self.is_usable() {
            return Err(Failure::Refused(self.problem()));
        }
        match self.count("rows", "refused") {
            0 => Ok(()),
            refused => Err(Failure::SomeRefused(say!(
                "plan_rows_refused",
                refused = refused,
                read = self.count("rows", "read")
            ))),
        }
    }
}

/// Asks with the files, and shows how far it has come.
async fn ask(
    client: &Client,
    files: &Files,
    path: &str,
    out: Out,
    mut reminder: impl FnMut(&str),
) -> Result<Answer, Failure> {
    let progress = Progress::new(out);
    let mut last = None;
    let line = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_default();
        if let Some(so_far) = value.get("progress") {
            progress.show(&stage(so_far));
        } else if value.get("change").is_some() {
            progress.aside(|| reminder(line));
        } else {
            last = Some(value);
        }
    };
    let done = client.upload(path, files.form().await?, line).await;
    progress.clear();
    let answer = match done {
        Err(Failure::Refused(problem)) => Answer(problem),
        done => done.and_then(|()| last.map(Answer).ok_or_else(|| Failure::Failed(say!("no_last_line"))))?,
    };
    // Where nothing is said about the file, it was never looked at.
    match answer.is_usable() || answer.0["problems"].is_array() {
        true => Ok(answer),
        false => Err(Failure::Refused(answer.problem())),
    }
}

/// `tixing plan`
pub async fn plan(client: &Client, verb: Plan, out: Out) -> Result<(), Failure> {
    let files = Files::find(&verb.file)?;
    if let Some(to) = &verb.annotate {
        annotate::may_be_written(&files, to)?;
    }
    let query = query(&[("reminders", verb.reminders.then(|| "true".into())), ("path", files.absolute())]);
    let answer = ask(client, &files, &format!("/v1/schedules/plan{query}"), out, |line| data!("{line}")).await?;
    client.close().await;
    match out.json && (!verb.reminders || !answer.is_usable()) {
        true => data!("{}", answer.plan()),
        false if verb.reminders => tell(&answer, &mut |line| super::out::talk!("{line}"), client, out, true),
        false => tell(&answer, &mut |line| data!("{line}"), client, out, false),
    }
    if let Some(to) = &verb.annotate {
        annotate::write(&files, &answer.plan(), to, out)?;
    }
    answer.end()
}

/// `tixing load`
pub async fn load(client: &Client, verb: Load, out: Out) -> Result<(), Failure> {
    let asks = !verb.yes && out.can_ask();
    let flag = |on: bool| on.then(|| "true".to_owned());
    let mut files = Files::find(&verb.file)?;
    let mut options = vec![
        ("strict", flag(verb.strict)),
        ("allow_removals", flag(verb.allow_removals)),
        ("revive", flag(verb.revive)),
        ("path", files.absolute()),
    ];
    let answer = loop {
        if asks {
            let asked = query(&options);
            let planned = ask(client, &files, &format!("/v1/schedules/plan{asked}"), out, |_| {}).await?;
            tell(&planned, &mut |line| data!("{line}"), client, out, false);
            if !planned.is_usable() {
                client.close().await;
                return planned.end();
            }
            if !out.asks(&say!("load_it")).map_err(Failure::Failed)? {
                client.close().await;
                out.tell(&say!("nothing_loaded"));
                return Ok(());
            }
            options.retain(|(name, _)| *name != "digest");
            options.push(("digest", planned.0["digest"].as_str().map(str::to_owned)));
        }
        let asked = query(&options);
        let answer = ask(client, &files, &format!("/v1/schedules/apply{asked}"), out, |_| {}).await?;
        if asks && answer.0["code"] == "plan_changed" {
            out.tell(&say!("planned_again"));
            files = Files::find(&verb.file)?;
            continue;
        }
        break answer;
    };
    client.close().await;
    if out.json {
        data!("{}", answer.plan());
        return answer.end();
    }
    if !asks || !answer.is_usable() {
        tell(&answer, &mut |line| data!("{line}"), client, out, false);
    }
    let loaded = &answer.0["loaded"];
    let n = |name: &str| loaded[name].as_u64().unwrap_or_default();
    match loaded.is_object() {
        true => out.show(&say!("loaded", new = n("new"), changed = n("changed"), removed = n("removed"))),
        false => out.tell(&say!("nothing_loaded")),
    }
    if loaded.is_object() {
        let voice = client.voice_for(answer.0["app"].as_str(), out.voice);
        let out = Out { voice, ..out };
        meaning(&answer).iter().for_each(|line| out.show(line));
    }
    answer.end()
}

/// What a load means whose reminders come later, or that does not go out.
fn meaning(answer: &Answer) -> Vec<Message> {
    let plan = &answer.0;
    let at = |value: &Value| value.as_str().and_then(|text| parse_instant(text, None).ok()).map(|written| written.at);
    let mut lines = Vec::new();
    if let Some(prepare_at) = at(&plan["next_to_prepare"]["prepare_at"]) {
        let event = at(&plan["next_to_prepare"]["event"]);
        let later = answer.count("reminders", "later");
        let (event, n) = (event.unwrap_or(prepare_at), later);
        lines.push(say!("loaded_next", event = event, at = prepare_at, n = n));
    }
    if let Some(since) = at(&plan["paused_at"]) {
        lines.push(say!("loaded_is_paused", name = text(&plan["schedule"]), since = since));
    }
    lines
}

/// `tixing try`
pub async fn attempt(client: &Client, verb: Try, out: Out) -> Result<(), Failure> {
    let files = Files::find(&verb.file)?;
    let query = query(&[("key", verb.key), ("to", verb.to)]);
    let answer = ask(client, &files, &format!("/v1/schedules/try{query}"), out, |_| {}).await?;
    client.close().await;
    if !answer.is_usable() {
        if out.json {
            data!("{}", answer.plan());
        } else {
            tell(&answer, &mut |line| data!("{line}"), client, out, false);
        }
        return Err(Failure::Refused(answer.problem()));
    }
    if out.json {
        data!("{}", answer.0);
        return Ok(());
    }
    for sent in answer.0["sent"].as_array().into_iter().flatten() {
        out.show(&say!("tried", openid = text(&sent["openid"]), id = text(&sent["id"])));
    }
    for openid in answer.0["no_consent"].as_array().into_iter().flatten() {
        out.tell(&say!("tester_without_consent", openid = text(openid)));
    }
    match answer.0["sent"].as_array().is_some_and(|sent| !sent.is_empty()) {
        true => Ok(()),
        false => Err(Failure::Failed(say!("nobody_tried"))),
    }
}

/// The plan in words.
fn tell(answer: &Answer, say: &mut dyn FnMut(&str), client: &Client, out: Out, brief: bool) {
    let plan = &answer.0;
    let voice = client.voice_for(plan["app"].as_str(), out.voice);
    let mut line = |message: Message| say(&message.say(voice));
    if !brief && plan["schedule"].is_string() && plan["app"].is_string() {
        let (name, app, template) = (text(&plan["schedule"]), text(&plan["app"]), text(&plan["template"]));
        line(say!("plan_head", name = name, app = app, template = template));
        if plan["test_mode"] == true {
            line(say!("plan_test_mode"));
        }
        for table in plan["tables"].as_array().into_iter().flatten() {
            let (file, sheet, kind) = (text(&table["file"]), table["sheet"].as_str(), text(&table["kind"]));
            let encoding = table["encoding"].as_str();
            let place = sheet.map(|sheet| say!("plan_sheet", sheet = sheet)).or_else(|| encoding.map(Message::text));
            line(say!("plan_table", file = file, kind = kind, header = table["header"], place = place));
        }
        if answer.is_usable() {
            numbers(answer).into_iter().for_each(&mut line);
        }
    }
    told(plan, "problems", "more_problems", voice).into_iter().for_each(&mut line);
    if !brief {
        told(plan, "notes", "more_notes", voice).into_iter().for_each(&mut line);
    }
}

/// What becomes of a reminder, in words.
fn change_said(change: Change) -> Message {
    match change {
        Change::New => say!("change_new"),
        Change::Changed => say!("change_changed"),
        Change::Same => say!("change_same"),
        Change::Removed => say!("change_removed"),
        Change::Done => say!("change_done"),
        Change::Ended => say!("change_ended"),
        Change::Late => say!("change_late"),
        Change::NoConsent => say!("change_no_consent"),
        Change::Later => say!("change_later"),
    }
}

fn numbers(answer: &Answer) -> Vec<Message> {
    let plan = &answer.0;
    let row = |name| answer.count("rows", name);
    let (read, right, refused, excluded) = (row("read"), row("right"), row("refused"), row("excluded"));
    let mut said = vec![say!("plan_rows", read = read, right = right, refused = refused, excluded = excluded)];
    let counted: Vec<Message> = Change::ALL
        .into_iter()
        .filter(|change| answer.count("reminders", change.word()) > 0)
        .map(|change| say!("plan_count", n = answer.count("reminders", change.word()), what = change_said(change)))
        .collect();
    if !counted.is_empty() {
        said.push(say!("plan_reminders", counts = counted));
    }
    let reach = |name| answer.count("reach", name);
    said.push(say!("plan_reach", people = reach("people"), known = reach("known"), consent = reach("with_consent")));
    for held in plan["reach"]["held_elsewhere"].as_array().into_iter().flatten() {
        let (by, n) = (text(&held["by"]), held["reminders"].as_u64().unwrap_or_default());
        said.push(match by.as_str() {
            "api" => say!("plan_held_by_api", n = n),
            _ => say!("plan_held_by", n = n, by = by),
        });
    }
    let none_planned = Change::ALL.into_iter().all(|change| {
        change == Change::NoConsent || change == Change::Removed || answer.count("reminders", change.word()) == 0
    });
    if none_planned && answer.count("reminders", Change::NoConsent.word()) > 0 && plan["next_to_prepare"].is_null() {
        said.push(say!("plan_sends_nothing"));
    }
    let at = |name: &str| plan[name].as_str().and_then(|text| parse_instant(text, None).ok()).map(|written| written.at);
    if let (Some(first), Some(last)) = (at("first_at"), at("last_at")) {
        said.push(match first == last {
            true => say!("plan_at", at = first, takes = plan["takes_ms"]),
            false => say!("plan_from_to", first = first, last = last, takes = plan["takes_ms"]),
        });
    }
    said.extend(schedules::recurring(plan));
    said
}

/// A list of problems or notes: the first ones, and how many more there are.
fn told(plan: &Value, list: &str, more: &str, voice: Voice) -> Vec<Message> {
    let all = plan[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let beyond: u64 = plan[more].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    if all.is_empty() {
        return Vec::new();
    }
    let n = all.len() as u64 + beyond;
    let mut said = vec![if list == "problems" { say!("plan_problems", n = n) } else { say!("plan_notes", n = n) }];
    for problem in all.iter().take(SHOWN) {
        let place = place(problem, voice);
        let (value, detail) = (problem["value"].as_str().map(str::to_owned), text(&problem["detail"]));
        // What the detail quotes need not stand before it.
        let is_quoted = |value: &String| ['«', '「', '“'].iter().any(|mark| detail.contains(&format!("{mark}{value}")));
        let value = value.filter(|value| !is_quoted(value)).map(|value| say!("plan_value", value = value));
        let fix = problem["fix"].as_str().map(|fix| say!("plan_fix", fix = fix));
        said.push(match place.is_empty() {
            true => say!("plan_problem_of_file", detail = detail, fix = fix),
            false => say!("plan_problem", place = place, value = value, detail = detail, fix = fix),
        });
    }
    let shown = all.len().min(SHOWN) as u64;
    if n > shown {
        said.push(say!("plan_more", n = n - shown));
    }
    said
}

fn place(problem: &Value, voice: Voice) -> String {
    let part = |name: &str| problem[name].as_str().map(str::to_owned);
    let line = problem["line"].as_u64().map(|line| say!("place_line", line = line).say(voice));
    let row =
        problem["row"].as_u64().filter(|_| problem["cell"].is_null()).map(|row| match problem["file"].is_null() {
            true => say!("place_entry", row = row).say(voice),
            false => say!("place_row", row = row).say(voice),
        });
    let parts: Vec<String> = [part("file"), line, row, part("cell"), part("column")].into_iter().flatten().collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Lang;
    use serde_json::json;

    #[test]
    fn a_value_that_the_detail_quotes_is_said_once() {
        let problem = |detail: &str| {
            let plan =
                json!({ "problems": [{ "row": 3, "column": "开始时间", "value": "3/10 19:30", "detail": detail }] });
            told(&plan, "problems", "more_problems", Voice::new(Lang::Zh))[1].say(Voice::new(Lang::Zh))
        };
        assert_eq!(problem("「3/10 19:30」没有年份").matches("3/10 19:30").count(), 1);
        assert!(problem("没有年份").contains("“3/10 19:30”"));
    }
}
