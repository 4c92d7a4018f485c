//! What the user reads, occasion by occasion.

use super::{
    instants::{Occasion, Times},
    told::Told,
};
use crate::{
    domain::{
        page::PageRules,
        pointer,
        schedule::Planned,
        template::{FieldRules, Listed, bad_field, check_value, normalise},
    },
    schedule::{
        render::{
            clock::Moment,
            fill::{Fault, Filled, Notes, Scene, by_occasion, fill},
            text::{Formatter, Kind, Source, Text},
        },
        sheet::cell::Shows,
        when::{
            occasion::{Entry, left},
            point::wall,
        },
    },
    words::{Message, say},
};
use chrono::NaiveDateTime;

/// The texts of a schedule, bound to a table.
pub struct Texts<'a> {
    /// How fields are checked.
    pub rules: FieldRules,
    /// The template as the platform has listed it, if it has.
    pub listed: Option<&'a Listed>,
    /// What the platform takes as a page.
    pub pages: PageRules,
    /// `page`.
    pub page: Option<Text<usize>>,
    /// The fields in the order of their keys.
    pub fields: Vec<Field>,
}

/// A field of the template.
pub struct Field {
    /// Its key.
    pub key: String,
    /// Its label.
    pub label: String,
    /// `/data/<key>`.
    pub param: String,
    /// What it says.
    pub text: Text<usize>,
    /// It says the openid, which is not repeated in a sentence.
    pub of_user: bool,
}

impl Field {
    /// A field of this key. `openid` is the column of the openid, if there is one.
    pub fn new(key: &str, label: &str, text: Text<usize>, openid: Option<usize>) -> Self {
        let of_user = text.takes(&Source::Openid) || text.columns().any(|column| openid == Some(*column));
        let param = pointer(["data", key]);
        Self { key: key.to_owned(), label: label.to_owned(), param, text, of_user }
    }
}

/// The reminders of a row. Problems are told, and then nothing of it counts.
pub fn planned(told: &mut Told<'_>, times: Option<Times>, openid: Option<&str>, key: Option<&str>) -> Vec<Planned> {
    let (row, of_rows) = (!told.for_nobody, told.bound.of_rows);
    let Some(times) = times else {
        // What does not depend on a time is checked all the same.
        content(told, &Said { event: None, at: None, left: "", openid, row, of_rows });
        return Vec::new();
    };
    let zone = told.file().zone;
    let event = Moment { wall: times.event.wall, shows: times.event.shows };
    let in_english = told.file().in_english();
    let texts = &told.bound.texts;
    let differ = texts.page.iter().chain(texts.fields.iter().map(|field| &field.text)).any(by_occasion);
    let (mut planned, mut shared) = (Vec::with_capacity(times.occasions.len()), None);
    for Occasion { entry, instant, expires_at, moves } in times.occasions {
        if shared.is_none() || differ {
            let left = if differ { left(entry, &times.event, instant, in_english) } else { String::new() };
            let at = wall(instant.at, zone).map(|wall| Moment { wall, shows: Shows::DateTime });
            shared = content(told, &Said { event: Some(event), at, left: &left, openid, row, of_rows });
        }
        let (Some((page, data)), Some(openid), Some(key)) = (&shared, openid, key) else { continue };
        planned.push(Planned {
            row: told.number,
            key: key.to_owned(),
            openid: openid.to_owned(),
            occasion: entry.map(Entry::name).unwrap_or_default(),
            occurrence: told.occurrence.map(|occurrence| occurrence.name.clone()).unwrap_or_default(),
            later: false,
            event: times.event.at,
            at: instant.at,
            expires_at,
            moves,
            page: page.clone(),
            data: data.clone(),
        });
    }
    planned
}

/// What is known of a row's times and user when its texts are filled in.
struct Said<'r> {
    event: Option<Moment>,
    at: Option<Moment>,
    left: &'r str,
    openid: Option<&'r str>,
    /// Whether there is a row; else only what an event says is known, in the columns from `of_rows` on.
    row: bool,
    of_rows: usize,
}

impl Said<'_> {
    /// Whether everything is known that a text takes.
    fn knows(&self, text: &Text<usize>) -> bool {
        (self.event.is_some() || !text.takes(&Source::Event))
            && (self.at.is_some() || !by_occasion(text))
            && (self.openid.is_some() || !text.takes(&Source::Openid))
            && (self.row || text.columns().all(|column| *column >= self.of_rows))
    }
}

/// The page and the data of a message; `None` if something is wrong, which is told.
fn content(told: &mut Told<'_>, said: &Said<'_>) -> Option<(Option<String>, String)> {
    let unknown = Moment { wall: NaiveDateTime::MIN, shows: Shows::DateTime };
    let texts = &told.bound.texts;
    let scene = Scene {
        cells: told.cells,
        openid_column: told.bound.places.openid,
        openid: said.openid.unwrap_or_default(),
        event: said.event.unwrap_or(unknown),
        at: said.at.unwrap_or(unknown),
        left: said.left,
        zone: told.file().zone,
        length: texts.rules.length,
    };
    let (mut notes, mut good) = (Notes::new(), true);
    let mut page = None;
    if let Some(text) = texts.page.as_ref().filter(|text| said.knows(text)) {
        page = self::page(told, text, &scene, &mut notes);
        good &= page.is_some();
    }
    let mut data = String::from("{");
    for field in texts.fields.iter().filter(|field| said.knows(&field.text)) {
        match self::field(told, field, &scene, &mut notes) {
            Some(value) => {
                data.push_str(if data.len() > 1 { "," } else { "" });
                data.push_str(&serde_json::to_string(&field.key).expect("texts serialise"));
                data.push(':');
                data.push_str(&serde_json::to_string(&value).expect("texts serialise"));
            }
            None => good = false,
        }
    }
    data.push('}');
    for (column, code) in notes {
        let detail = if code == "serial_read" { say!("note_serial_read") } else { say!("note_range_start") };
        told.note(Some(column), code, detail);
    }
    good.then_some((page, data))
}

/// Tells what is wrong with a text.
fn tell(told: &mut Told<'_>, faults: Vec<Fault>, param: &str, line: u32) {
    for Fault { column, code, detail } in faults {
        told.problem_of(column, code, detail, Some(param), Some(line));
    }
}

fn page(told: &mut Told<'_>, text: &Text<usize>, scene: &Scene<'_>, notes: &mut Notes) -> Option<String> {
    let Filled { text: page, most } = match fill(text, Kind::Page, scene, notes) {
        Ok(filled) => filled,
        Err(faults) => {
            tell(told, faults, "/page", text.line);
            return None;
        }
    };
    let rules = told.bound.texts.pages;
    if let Err(why) = rules.check(Some(&page)) {
        // What is not encoded is what can lead away; what is too long is most of it.
        let raw = text.variables().find_map(|variable| match variable.source {
            Source::Column(column) if variable.formatters.contains(&Formatter::Raw) => Some(column),
            _ => None,
        });
        let found = page.chars().count();
        let (place, detail) = match found > rules.most {
            true => (most, say!("page_too_long", found = found, most = rules.most)),
            false => (raw.or(most), why.detail),
        };
        told.problem_of(place, "bad_page", detail, Some("/page"), Some(text.line));
        return None;
    }
    Some(page)
}

fn field(told: &mut Told<'_>, field: &Field, scene: &Scene<'_>, notes: &mut Notes) -> Option<String> {
    let Field { key, label, param, text, of_user } = field;
    let Filled { text: value, most } = match fill(text, Kind::Field, scene, notes) {
        Ok(filled) => filled,
        Err(faults) => {
            tell(told, faults, param, text.line);
            return None;
        }
    };
    let value = normalise(&value);
    let texts = &told.bound.texts;
    match check_value(&texts.rules, texts.listed, key, &value) {
        Ok(()) => Some(value),
        Err(why) => {
            let why: Message = if *of_user { say!("openid_does_not_fit") } else { why };
            let detail = bad_field(key, label, why).detail;
            told.problem_of(most, "bad_field", detail, Some(param), Some(text.line));
            None
        }
    }
}
