//! Which columns, when, and what the message says: the form over a draft's file. What was typed is written into the file also where it is
//! wrong; the check says so, as it does of a file that somebody has written.

use super::{
    Console,
    ask::{error, html},
    card::Card,
    choices::{Choices, ENTRIES, Entry, Said, Timing, UNITS, variable},
    extract::{Asked, Posted},
    frame::{Frame, text},
    person::Person,
    plan::samples,
    start::draft,
    upload::owner,
};
use crate::{
    config::App,
    domain::{
        HOUR, MINUTE,
        template::{Profile, field_type},
    },
    words::{Message, say},
};
use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::Value;

/// Rows of a table that are shown.
const ROWS: usize = 5;
/// No field's limit that is told is larger.
const MOST: usize = 64;
/// Names that columns of keys have.
const KEYS: [&str; 9] = ["编号", "券号", "订单号", "报名号", "key", "id", "no", "code", "序号"];

/// An option of a list.
struct Opt {
    value: String,
    label: String,
    chosen: bool,
}

/// A field of the message.
struct Field {
    key: String,
    label: String,
    value: String,
    /// Characters at most, where there is such a limit.
    most: Option<usize>,
    /// The only values that the platform takes, if it has such a list.
    choices: Vec<String>,
}

/// A line for what goes before or after the event.
struct Line {
    i: usize,
    n: String,
    units: Vec<Opt>,
    sides: Vec<Opt>,
}

/// What can be put into a text by a click.
struct Chip {
    text: String,
    label: String,
}

/// A table as it is read.
#[derive(Default)]
struct Shown {
    file: String,
    columns: Vec<String>,
    rows: Vec<(i64, Vec<String>)>,
    total: i64,
    notes: Vec<String>,
    wrong: String,
}

#[derive(Template)]
#[template(path = "form.html", config = "src/console/askama.toml")]
struct FormPage {
    frame: Frame,
    href: String,
    name: String,
    app: String,
    title: String,
    out_of_step: Vec<String>,
    table: Option<Shown>,
    sheets: Vec<Opt>,
    encodings: Vec<Opt>,
    hidden: Vec<Opt>,
    openids: Vec<Opt>,
    keys: Vec<Opt>,
    /// Some of it is a guess.
    guessed: bool,
    timing: Timing,
    /// How the file says it, where the form has no input.
    written: String,
    time: String,
    zone: String,
    columns: Vec<Opt>,
    clock: String,
    lines: Vec<Line>,
    deadlines: Vec<Opt>,
    spreads: Vec<Opt>,
    consents: Vec<Opt>,
    lates: Vec<Opt>,
    quiet: String,
    page: String,
    fields: Vec<Field>,
    chips: Vec<Chip>,
    /// Messages as they will be sent, and whose they are.
    samples: Vec<(String, Card)>,
    wrong: String,
}

/// What was just done, in the query string.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Look {
    look: String,
}

fn options(values: impl IntoIterator<Item = (String, String)>, chosen: &str) -> Vec<Opt> {
    let mut all: Vec<Opt> =
        values.into_iter().map(|(value, label)| Opt { chosen: value == chosen, value, label }).collect();
    // What the file says stays to be chosen, whatever it is.
    if !all.iter().any(|one| one.chosen) && !chosen.is_empty() {
        all.push(Opt { value: chosen.to_owned(), label: chosen.to_owned(), chosen: true });
    }
    all
}

/// The form.
pub async fn page(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
    Asked(Look { look }): Asked<Look>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, &format!("{}/form", draft(&id)));
    let (files, choices) = match console.choices(&person, &id).await {
        Ok(Some(found)) => found,
        Ok(None) => return error(frame, StatusCode::NOT_FOUND, say!("console_no_draft")),
        Err(e) => return console.unavailable(&headers, &e),
    };
    let Some(mut choices) = choices else {
        return error(frame, StatusCode::UNPROCESSABLE_ENTITY, say!("console_no_form"));
    };
    let file = choices.of_people("file").to_owned();
    let seen = match files.into_iter().find(|(name, _)| *name == file) {
        None => None,
        Some(table) => {
            let mut query = vec![format!("limit={ROWS}")];
            for key in ["sheet", "encoding"] {
                let value = choices.of_people(key);
                query.extend((!value.is_empty()).then(|| format!("{key}={}", super::ask::part(value))));
            }
            query.extend(choices.header().map(|row| format!("header={row}")));
            let path = format!("/v1/sheet?{}", query.join("&"));
            let (kind, body) = console.files(&id, vec![table]);
            Some(console.ask_with(&person, frame.voice, Method::POST, &path, &kind, body).await)
        }
    };
    let templates = format!("/v1/templates?app={}", super::ask::part(choices.text("app")));
    let templates = console.ask(&person, frame.voice, Method::GET, &templates, None).await.unwrap_or_default();
    let is_it = |one: &&Value| [&one["name"], &one["id"]].into_iter().any(|name| *name == choices.text("template"));
    let template = templates["templates"].as_array().into_iter().flatten().find(is_it).cloned().unwrap_or_default();
    let app =
        console.api.config().apps.iter().find(|app| app.name == choices.text("app") && person.caller.sees(&app.name));
    let guessed =
        seen.as_ref().is_some_and(|(status, seen)| status.is_success() && guess(&mut choices, seen, &template));
    let (cards, wrong) = match look.is_empty() {
        true => (Vec::new(), String::new()),
        false => match console.plan_and_samples(&person, frame.voice, &id, 0, |_| {}).await {
            Ok(Some(planned)) => {
                let first = planned.plan["problems"][0]["detail"].as_str().unwrap_or_default().to_owned();
                (samples(&planned, console.api.config(), frame.voice), first)
            }
            Ok(None) => return error(frame, StatusCode::NOT_FOUND, say!("console_no_draft")),
            Err(e) => return console.unavailable(&headers, &e),
        },
    };
    html(&FormPage { guessed, samples: cards, wrong, ..shown(frame, &id, &choices, seen, &template, app) })
        .into_response()
}

impl Console {
    /// A draft's files, and its schedule as the form sees it; `None` if the person has no such draft.
    async fn choices(&self, person: &Person, id: &str) -> Found {
        let Some(files) = self.api.store().draft(id, owner(person), self.clock.now()).await? else { return Ok(None) };
        let text = self.schedule_of(id).await?;
        Ok(Some((files, Choices::of(&text))))
    }
}

type Found = Result<Option<(Vec<(String, i64)>, Option<Choices>)>, crate::store::StoreError>;

/// What a table and a template make likely, where the file says nothing yet. It is shown as a guess.
fn guess(choices: &mut Choices, seen: &Value, template: &Value) -> bool {
    if choices.data().is_some() {
        return false;
    }
    let columns: Vec<&str> = seen["columns"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut said = Said::new();
    let mut put = |key: &str, value: &str| drop(said.insert(key.to_owned(), value.to_owned()));
    let by_name = |name: &str| columns.iter().find(|column| column.to_lowercase().ends_with(name)).copied();
    let openid = by_name("openid").or_else(|| by_name("open_id")).or_else(|| column_of_openids(&columns, seen));
    if let Some(column) = openid {
        put("openid", column);
    }
    let key = KEYS.iter().find_map(|key| by_name(key)).filter(|key| Some(*key) != openid);
    if let Some(column) = key {
        put("key", column);
    }
    let time = columns.iter().find(|column| ["时间", "日期", "time", "date"].iter().any(|word| column.contains(word)));
    if let Some(column) = time {
        put("timing", "column");
        put("column", column);
    }
    for (key, label) in template["fields"].as_object().into_iter().flatten() {
        let label = label.as_str().unwrap_or_default();
        let is_time = ["time", "date"].contains(&field_type(key)) || label.contains("时间");
        // «活动地点» is what a column «地点» has.
        let near = |column: &&&str| column.chars().count() > 1 && (label.contains(**column) || column.contains(label));
        let column = columns.iter().find(|column| **column == label);
        let column = column.or_else(|| columns.iter().filter(|_| !label.is_empty()).find(near));
        let text = match (column, is_time) {
            (_, true) => "{{@event | datetime}}".to_owned(),
            (Some(column), false) => variable(column),
            (None, false) => String::new(),
        };
        put(&format!("data.{key}"), &text);
    }
    choices.take(&said);
    true
}

/// A column whose every cell looks like an openid.
fn column_of_openids<'a>(columns: &[&'a str], seen: &Value) -> Option<&'a str> {
    let rows = seen["rows"].as_array()?;
    let looks_so =
        |cell: &str| cell.len() >= 20 && cell.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let all = |i: usize| rows.iter().all(|row| row["cells"][i].as_str().is_some_and(looks_so));
    columns.iter().enumerate().find(|(i, _)| !rows.is_empty() && all(*i)).map(|(_, column)| *column)
}

/// The form of a file. What it guesses and what is tried is another's.
fn shown(
    frame: Frame,
    id: &str,
    choices: &Choices,
    seen: Option<(StatusCode, Value)>,
    template: &Value,
    app: Option<&App>,
) -> FormPage {
    let voice = frame.voice;
    let said = |message: Message| message.say(voice);
    let is_read = seen.as_ref().is_some_and(|(status, _)| status.is_success());
    let (status, sheet) = seen.unwrap_or_default();
    let each = |of: &Value| of.as_array().cloned().unwrap_or_default();
    let columns: Vec<String> = each(&sheet["columns"]).iter().map(text).filter(|name| !name.is_empty()).collect();
    let notes = each(&sheet["notes"]);
    let has_hidden = notes.iter().any(|note| note["code"] == "hidden_rows");
    let file = choices.of_people("file");
    let table = (!file.is_empty()).then(|| Shown {
        file: file.to_owned(),
        columns: each(&sheet["columns"]).iter().map(text).collect(),
        rows: each(&sheet["rows"])
            .iter()
            .map(|row| (row["row"].as_i64().unwrap_or_default(), each(&row["cells"]).iter().map(text).collect()))
            .collect(),
        total: sheet["total"].as_i64().unwrap_or_default(),
        notes: notes.iter().take(10).map(|note| text(&note["detail"])).collect(),
        wrong: match (is_read, status.is_success()) {
            (true, _) => String::new(),
            (false, true) => said(say!("console_table_missing", file = file)),
            (false, false) => text(&sheet["detail"]),
        },
    });
    let sheets = each(&sheet["sheets"]);
    let sheets = sheets.iter().filter(|sheet| sheet["hidden"] != true).map(|sheet| text(&sheet["name"]));
    let sheets: Vec<String> = sheets.collect();
    let named = |column: &String| (column.clone(), column.clone());
    let none = |key: &'static str| (String::new(), said(Message::new(key)));
    let of_columns = |chosen: &str, first: Option<(String, String)>| {
        options(first.into_iter().chain(columns.iter().map(named)), chosen)
    };
    let encodings = ["utf-8", "gb18030", "big5", "utf-16"].map(|word| (word.to_owned(), word.to_uppercase()));
    let hidden = [
        none("console_choose"),
        ("skip".into(), said(say!("console_hidden_skip"))),
        ("read".into(), said(say!("console_hidden_read"))),
    ];
    let has_text = !sheet["encoding"].is_null() || sheet["code"] == "encoding_unclear";
    let span = |text: &str, ms: i64| (text.to_owned(), voice.span(ms));
    let spans =
        [span("1h", HOUR), span("2h", 2 * HOUR), span("6h", 6 * HOUR), span("12h", 12 * HOUR), span("24h", 24 * HOUR)];
    let spans = spans.map(|(text, span)| (text, said(say!("console_deadline_span", span = span))));
    let ends =
        columns.iter().map(|column| (format!("@{column}"), said(say!("console_deadline_column", column = column))));
    let deadlines = [none("console_deadline_usual"), ("event".into(), said(say!("console_deadline_event")))];
    let spreads = [
        none("console_no_spread"),
        span("5m", 5 * MINUTE),
        span("10m", 10 * MINUTE),
        span("30m", 30 * MINUTE),
        span("1h", HOUR),
    ];
    let word = |value: &str, key: &'static str| (value.to_owned(), said(Message::new(key)));
    let consents = [word("", "console_reserve"), word("at_fire", "console_at_fire"), word("either", "console_either")];
    let lates = [word("", "console_late_skip"), word("send", "console_late_send")];
    let data = choices.data().unwrap_or_default();
    let of_template = template["fields"].as_object().into_iter().flatten();
    let of_template: Vec<(String, String)> = of_template.map(|(key, label)| (key.clone(), text(label))).collect();
    // A key that the template does not have is shown too: the check refuses it.
    let beyond = data.keys().filter(|key| !of_template.iter().any(|(known, _)| known == *key));
    let beyond: Vec<(String, String)> = beyond.map(|key| ((*key).to_owned(), String::new())).collect();
    let fields = of_template.into_iter().chain(beyond).map(|(key, label)| Field {
        value: data.get(key.as_str()).map(|text| (*text).to_owned()).unwrap_or_default(),
        most: app.and_then(|app| most(app, choices.text("template"), &key)),
        choices: each(&template["choices"][&key]).iter().map(text).collect(),
        key,
        label,
    });
    let chips = columns.iter().map(|column| Chip { text: variable(column), label: column.clone() });
    let of_event = [
        Chip { text: "{{@event | datetime}}".into(), label: said(say!("console_chip_event")) },
        Chip { text: "{{@left}}".into(), label: said(say!("console_chip_left")) },
    ];
    let zone = match choices.text("timezone") {
        "" => app.and_then(|app| app.timezone).map(|zone| zone.name().to_owned()).unwrap_or_default(),
        zone => zone.to_owned(),
    };
    FormPage {
        href: draft(id),
        name: choices.text("name").to_owned(),
        app: choices.text("app").to_owned(),
        title: match text(&template["title"]) {
            title if title.is_empty() => choices.text("template").to_owned(),
            title => title,
        },
        out_of_step: each(&template["out_of_step"]).iter().map(text).collect(),
        sheets: if sheets.len() > 1 {
            options(sheets.iter().map(named), choices.of_people("sheet"))
        } else {
            Vec::new()
        },
        encodings: match has_text {
            true => options([none("console_by_itself")].into_iter().chain(encodings), choices.of_people("encoding")),
            false => Vec::new(),
        },
        hidden: if has_hidden { options(hidden, choices.of_people("hidden")) } else { Vec::new() },
        openids: of_columns(choices.of_people("openid"), Some(none("console_by_itself"))),
        keys: of_columns(choices.of_people("key"), Some(none("console_key_is_openid"))),
        table,
        guessed: false,
        timing: choices.timing(),
        written: choices.written("at"),
        time: choices.time(),
        zone,
        columns: of_columns(choices.column(), Some(none("console_choose"))),
        clock: choices.clock().to_owned(),
        lines: lines(&choices.entries(), voice),
        deadlines: match choices.has_plain_deadline() {
            true => options(deadlines.into_iter().chain(spans).chain(ends), &choices.deadline()),
            false => Vec::new(),
        },
        spreads: options(spreads, choices.text("spread")),
        consents: options(
            consents,
            match choices.text("consent") {
                "reserve" => "",
                word => word,
            },
        ),
        lates: options(
            lates,
            match choices.text("late") {
                "skip" => "",
                word => word,
            },
        ),
        quiet: choices.text("quiet_hours").to_owned(),
        page: choices.text("page").to_owned(),
        fields: fields.collect(),
        chips: chips.chain(of_event).collect(),
        samples: Vec::new(),
        wrong: String::new(),
        frame,
    }
}

fn lines(entries: &[Entry], voice: crate::words::Voice) -> Vec<Line> {
    let units = ["console_days", "console_hours", "console_minutes", "console_weeks"];
    let sides = [("before", "console_before"), ("after", "console_after")];
    let word = |key: &'static str| Message::new(key).say(voice);
    let blank = Entry { unit: UNITS[0].to_owned(), ..Entry::default() };
    // Two more than there are, and a start.
    let shown = (entries.len() + 2).min(ENTRIES);
    (0..shown.max(entries.len()))
        .map(|i| {
            let entry = entries.get(i).unwrap_or(&blank);
            Line {
                i,
                n: entry.n.clone(),
                units: options(UNITS.iter().zip(units).map(|(unit, key)| ((*unit).to_owned(), word(key))), &entry.unit),
                sides: options(
                    sides.map(|(side, key)| (side.to_owned(), word(key))),
                    if entry.after { "after" } else { "before" },
                ),
            }
        })
        .collect()
}

/// How many characters a field takes, by the rule that checks it.
fn most(app: &App, template: &str, key: &str) -> Option<usize> {
    let rules = app.platform.fields.of(app.template(template)?);
    let takes = |filler: &str, n: usize| {
        let value = filler.repeat(n);
        (rules.check)(key, &value, Profile::Strict).is_ok() && rules.settled(&value).is_ok()
    };
    let longest = |filler: &str| (1..=MOST).rev().find(|n| takes(filler, *n));
    ["一", "a", "1"].into_iter().find_map(longest).filter(|n| *n < MOST)
}

/// What was typed is written into the draft's file.
pub async fn save(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
    Posted(said): Posted<Vec<(String, String)>>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, &format!("{}/form", draft(&id)));
    let mut choices = match console.choices(&person, &id).await {
        Ok(Some((_, Some(choices)))) => choices,
        Ok(Some((_, None))) => return error(frame, StatusCode::UNPROCESSABLE_ENTITY, say!("console_no_form")),
        Ok(None) => return error(frame, StatusCode::NOT_FOUND, say!("console_no_draft")),
        Err(e) => return console.unavailable(&headers, &e),
    };
    let said: Said = said.into_iter().collect();
    choices.take(&said);
    if let Err(e) = console.put_schedule(&id, choices.write()).await {
        return console.unavailable(&headers, &e);
    }
    console.checks.forget(&id);
    let to = if said.contains_key("look") { format!("{}/form?look=1", draft(&id)) } else { draft(&id) };
    Redirect::to(&to).into_response()
}
