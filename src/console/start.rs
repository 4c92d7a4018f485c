//! A new schedule: from a table and a form, or from files that are written already.

use super::{
    Console,
    ask::{error, html, part},
    choices::{Choices, Said},
    frame::{Frame, When},
    person::Person,
    upload::{Handed, SCHEDULE, Untaken, owner},
};
use crate::{
    domain::timing::rfc3339,
    store::keys::Scope,
    words::{Message, say},
};
use askama::Template;
use axum::{
    extract::{Multipart, Path, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use serde_json::Value;

/// The table that a pasted list becomes.
const PASTED: &str = "list.csv";

/// A template that can be chosen.
struct Choice {
    value: String,
    label: String,
    chosen: bool,
}

/// A draft that was begun.
struct Begun {
    href: String,
    name: String,
    at: Option<When>,
}

#[derive(Template)]
#[template(path = "new.html", config = "src/console/askama.toml")]
struct NewPage {
    frame: Frame,
    wrong: String,
    templates: Vec<Choice>,
    name: String,
    who: String,
    list: String,
    drafts: Vec<Begun>,
}

impl Console {
    async fn new_page(
        &self,
        person: &Person,
        headers: &HeaderMap,
        status: StatusCode,
        wrong: Option<Message>,
        typed: &Said,
    ) -> Response {
        let frame = self.frame(Some(person), headers, "/console/new");
        let mut drafts = Vec::new();
        let begun = match self.api.store().drafts(owner(person), self.clock.now()).await {
            Ok(begun) => begun,
            Err(e) => return self.unavailable(headers, &e),
        };
        for (id, at) in begun {
            let text = match self.schedule_of(&id).await {
                Ok(text) => text,
                Err(e) => return self.unavailable(headers, &e),
            };
            let name = Choices::of(&text).map(|choices| choices.text("name").to_owned());
            let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| SCHEDULE.to_owned());
            drafts.push(Begun { href: draft(&id), name, at: frame.when(&Value::from(rfc3339(at))) });
        }
        let chosen = |name: &str| typed.get(name).cloned().unwrap_or_default();
        let template = chosen("template");
        let apps = self.api.config().apps.iter().filter(|app| person.caller.sees(&app.name));
        let templates = apps.flat_map(|app| {
            app.templates.iter().map(|one| {
                let name = one.name.as_deref().unwrap_or(&one.code);
                let title = if one.title.is_empty() { name } else { &one.title };
                (format!("{}/{name}", app.name), format!("{} · {title}", app.name))
            })
        });
        let templates = templates.map(|(value, label)| Choice { chosen: value == template, value, label }).collect();
        let (name, who, list) = (chosen("name"), chosen("who"), chosen("list"));
        let wrong = wrong.map(|wrong| wrong.say(frame.voice)).unwrap_or_default();
        (status, html(&NewPage { frame, wrong, templates, name, who, list, drafts })).into_response()
    }

    /// What was handed in becomes a draft, if the person may have one. Else the page on which it begins says why, with what `fill` has found typed.
    async fn begin_draft<F>(&self, person: &Person, headers: &HeaderMap, fill: F) -> Result<String, Response>
    where
        F: AsyncFnOnce(&str, &mut Said) -> Result<(), Untaken>,
    {
        if !person.caller.can(Scope::Write) {
            let frame = self.frame(Some(person), headers, "/console/new");
            return Err(error(frame, StatusCode::FORBIDDEN, say!("console_only_looks")));
        }
        let mut typed = Said::new();
        let begun = self.draft_of(person, async |id| fill(id, &mut typed).await).await;
        match begun.map_err(Untaken::told) {
            Ok(id) => Ok(id),
            Err(Ok((status, wrong))) => Err(self.new_page(person, headers, status, Some(wrong), &typed).await),
            Err(Err(e)) => Err(self.unavailable(headers, &e)),
        }
    }
}

/// The address of a draft.
pub fn draft(id: &str) -> String {
    format!("/console/drafts/{}", part(id))
}

/// The form.
pub async fn form(State(console): State<Console>, person: Person, headers: HeaderMap) -> Response {
    console.new_page(&person, &headers, StatusCode::OK, None, &Said::new()).await
}

/// A schedule begins: with its file, or with a template, a name, and people.
pub async fn hand_in(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    parts: Option<Multipart>,
) -> Response {
    let Some(parts) = parts else {
        return console
            .new_page(&person, &headers, StatusCode::BAD_REQUEST, Some(say!("not_multipart")), &Said::new())
            .await;
    };
    let mut is_written = true;
    let begun = console.begin_draft(&person, &headers, async |id, typed| {
        let handed = console.take_in(id, parts).await?;
        typed.clone_from(&handed.typed);
        is_written = handed.files.iter().any(|file| file == SCHEDULE);
        if is_written { Ok(()) } else { begin(&console, &person, id, &handed).await }
    });
    match begun.await {
        Ok(id) if is_written => Redirect::to(&draft(&id)).into_response(),
        Ok(id) => Redirect::to(&format!("{}/form", draft(&id))).into_response(),
        Err(answer) => answer,
    }
}

/// Writes the file of a schedule that begins with a form.
async fn begin(console: &Console, person: &Person, id: &str, handed: &Handed) -> Result<(), Untaken> {
    let wrong = |why: Message| Err(Untaken::Wrong(why));
    let typed = |name: &str| handed.typed.get(name).map(|text| text.trim()).unwrap_or_default();
    let Some((app, template)) = typed("template").split_once('/') else {
        return wrong(say!("console_no_schedule_file"));
    };
    let known = console.api.config().apps.iter().find(|known| known.name == app);
    if known.is_none_or(|known| known.template(template).is_none() || !person.caller.sees(app)) {
        return wrong(say!("console_choose_a_template"));
    }
    if typed("name").is_empty() {
        return wrong(say!("console_name_it"));
    }
    let choices = Choices::begin(typed("name"), app, template);
    let choices = match (typed("who"), &handed.files[..]) {
        ("everybody", _) => choices.of_everybody(),
        ("list", _) => {
            let list = typed("list");
            if list.is_empty() {
                return wrong(say!("console_paste_a_list"));
            }
            let store = console.api.store();
            store.add_to_draft(id, PASTED, 0, pasted(list).into_bytes()).await?;
            choices.of_table(PASTED)
        }
        (_, [table]) => choices.of_table(table),
        (_, []) => return wrong(say!("console_choose_a_table")),
        (_, tables) => return wrong(say!("console_one_table", n = tables.len())),
    };
    console.api.store().set_draft_app(id, app).await?;
    Ok(console.put_schedule(id, choices.write()).await?)
}

/// A list as a table: openids alone get a header.
fn pasted(list: &str) -> String {
    let first = list.lines().next().unwrap_or_default();
    let has_columns = first.contains([',', '\t', ';', '|']) || first.trim().eq_ignore_ascii_case("openid");
    if has_columns { list.to_owned() } else { format!("openid\n{list}") }
}

/// A new version of a schedule: as it was loaded, and with another table if one comes along.
pub async fn again(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(name): Path<String>,
    parts: Option<Multipart>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "/console/schedules");
    let path = format!("/v1/schedules/{}", part(&name));
    let schedule = match console.ask(&person, frame.voice, Method::GET, &path, None).await {
        Ok(schedule) => schedule,
        Err(refused) => return refused.page(frame),
    };
    let text = schedule["text"].as_str().unwrap_or_default().to_owned();
    let app = schedule["app"].as_str().unwrap_or_default().to_owned();
    let table = Choices::of(&text).map(|choices| choices.of_people("file").to_owned()).filter(|file| !file.is_empty());
    let begun = console.begin_draft(&person, &headers, async |id, _| {
        console.put_schedule(id, text).await?;
        console.api.store().set_draft_app(id, &app).await?;
        match (parts, &table) {
            // A table's folder is where the file was loaded; here there is its name alone.
            (Some(parts), Some(table)) => console.take_in_place(id, parts, Some(table), &[]).await,
            _ => Ok(()),
        }
    });
    match begun.await {
        Ok(id) => Redirect::to(&draft(&id)).into_response(),
        Err(answer) => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::pasted;

    #[test]
    fn a_pasted_list_is_a_table_of_openids_unless_it_has_columns_of_its_own() {
        for (list, table) in [
            ("o1\no2", "openid\no1\no2"),
            ("openid\no1", "openid\no1"),
            ("用户,名称\no1,茶", "用户,名称\no1,茶"),
            ("a\tb", "a\tb"),
        ] {
            assert_eq!(pasted(list), table);
        }
    }
}
