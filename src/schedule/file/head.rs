//! The keys that say one word each.

use super::{
    Quiet,
    reader::{Reader, Said, Table},
};
use crate::{
    config::{self, App},
    domain::{
        DAY, Millis, did_you_mean,
        options::Options,
        template::{Listing, Template},
        timing::{QuietHours, cut},
    },
    schedule::when::span::Span,
    words::say,
};
use chrono_tz::Tz;

/// All keys of the file.
pub const KEYS: [&str; 17] = [
    "name",
    "app",
    "template",
    "page",
    "expires",
    "late",
    "quiet_hours",
    "spread",
    "consent",
    "strict",
    "timezone",
    "lang",
    "miniprogram_state",
    "at",
    "audience",
    "exclude",
    "data",
];
/// `spread` is no longer.
const MOST_SPREAD: Millis = 7 * DAY;

/// `name`.
pub fn name(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<String> {
    let Said { line, value } = table.needed(reader, "name")?;
    let good = (1..=64).contains(&value.chars().count())
        && value.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !good {
        reader.tell("bad_value", line, say!("bad_schedule_name", name = cut(value)));
    }
    good.then(|| value.to_owned())
}

/// `app`.
pub fn app<'a>(reader: &mut Reader<'_>, said: Said<&str>, apps: &'a [App]) -> Option<&'a App> {
    let near = did_you_mean(said.value, apps.iter().map(|app| app.name.as_str()));
    App::find(apps, said.value).map_err(|why| reader.tell_invalid(said.line, why, near)).ok()
}

/// `template`: one of the app's, which the platform has as it is configured.
pub fn template<'a>(
    reader: &mut Reader<'_>,
    said: Said<&str>,
    app: &'a App,
    listing: Option<&Listing>,
) -> Option<&'a Template> {
    let names = app.templates.iter().map(|template| template.name.as_deref().unwrap_or(&template.code));
    let near = did_you_mean(said.value, names);
    let found = app.terms(None).template(said.value, "/template");
    let template = found.map_err(|why| reader.tell_invalid(said.line, why, near)).ok()?;
    if let Err(why) = template.in_step(listing) {
        reader.tell_invalid(said.line, why, None);
    }
    Some(template)
}

/// `timezone`, else the app's.
pub fn zone(reader: &mut Reader<'_>, table: &Table<'_>, app: Option<&App>) -> Option<Tz> {
    if let Some(Said { line, value }) = table.text(reader, "timezone") {
        return reader.good("bad_value", line, config::zone(value));
    }
    let app = app?;
    if app.timezone.is_none() && table.lacks("timezone") {
        reader.tell("missing_key", table.line, say!("file_without_zone", app = app.name));
    }
    app.timezone
}

/// `quiet_hours`, and how it is written.
pub fn quiet(reader: &mut Reader<'_>, table: &Table<'_>, zone: Option<Tz>) -> (Quiet, Option<String>) {
    let Some(Said { line, value }) = table.text(reader, "quiet_hours") else { return (Quiet::App, None) };
    let quiet = match value {
        "none" => Some(Quiet::None),
        // Without a zone, which is told, the shape alone is looked at.
        hours => {
            let hours = QuietHours::parse(hours, zone.unwrap_or(Tz::UTC));
            reader.good("bad_value", line, hours).map(Quiet::Own)
        }
    };
    (quiet.unwrap_or(Quiet::App), Some(value.to_owned()))
}

/// A key that says one of some words.
pub fn word<T: Copy>(reader: &mut Reader<'_>, table: &Table<'_>, key: &str, words: &[(&'static str, T)]) -> Option<T> {
    table.text(reader, key).and_then(|said| reader.word(said, words))
}

/// `spread`, in milliseconds.
pub fn spread(reader: &mut Reader<'_>, table: &Table<'_>) -> Millis {
    let Some(Said { line, value }) = table.text(reader, "spread") else { return 0 };
    let spread = Span::parse(value).map(Span::elapsed).and_then(|spread| match spread {
        0..=MOST_SPREAD => Ok(spread),
        _ => Err(say!("spread_too_long", text = cut(value))),
    });
    reader.good("bad_value", line, spread).unwrap_or(0)
}

/// `lang` and `miniprogram_state`, as the app's platform knows them.
pub fn options(reader: &mut Reader<'_>, table: &Table<'_>, app: Option<&App>) -> Options {
    let mut options = Options::new();
    for name in ["lang", "miniprogram_state"] {
        let (Some(Said { line, value }), Some(app)) = (table.text(reader, name), app) else { continue };
        match app.terms(None).option(name, value) {
            Ok(()) => drop(options.insert(name, value.to_owned())),
            Err(why) => {
                let known = app.platform.option(name).map_or(&[] as &[&str], |option| option.values);
                reader.tell_invalid(line, why, did_you_mean(value, known.iter().copied()));
            }
        }
    }
    options
}
