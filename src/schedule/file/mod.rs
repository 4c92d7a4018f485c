//! A schedule's file: what it says, or all of its mistakes.
//!
//! ```text
//! reader    keys and values with their lines
//! at        `at`, `expires`: when
//! who       `audience`, `exclude`: who
//! head      the other keys
//! data      `page`, `[data]`: what
//! ```

mod reader;
mod at;
mod who;
mod head;
mod data;

use super::{
    problem::{Place, Problem},
    render::text::{Source, Text},
    sheet::{TableSpec, Wanted},
    when::{
        cron::Recurrence,
        occasion::{Deadline, Entry},
        point::Point,
    },
};
use crate::{
    config::App,
    domain::{
        DAY, Millis,
        decide::AppRules,
        options::Options,
        page::PageRules,
        schedule::Claims,
        template::{Listing, Template},
        timing::QuietHours,
    },
    words::say,
};
use chrono::NaiveTime;
use chrono_tz::Tz;
use reader::{Reader, Table};
use std::sync::Arc;
use toml::de::DeTable;

/// What a schedule's file says, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// The name of the file itself, for problems.
    pub file: String,
    /// The schedule's name.
    pub name: String,
    /// The app's name.
    pub app: String,
    /// The platform's id of the template.
    pub template: String,
    /// The template as the file names it.
    pub template_named: String,
    /// The page that opens on tap.
    pub page: Option<Text>,
    /// When.
    pub at: At,
    /// Until when.
    pub expires: Expires,
    /// The line of `expires`; without it, of `at`.
    pub expires_line: u32,
    /// What becomes of an instant that has passed.
    pub late: Late,
    /// When nothing is sent.
    pub quiet: Quiet,
    /// `quiet_hours` as it is written.
    pub quiet_written: Option<String>,
    /// The reminders of one instant go within so many milliseconds.
    pub spread: Millis,
    /// How the reminders come by their consents.
    pub claims: Claims,
    /// One wrong row, and nothing is loaded.
    pub strict: bool,
    /// The zone of wall times.
    pub zone: Tz,
    /// Options of the platform.
    pub options: Options,
    /// Who.
    pub audience: Audience,
    /// Who not.
    pub exclude: Option<Exclude>,
    /// The template's fields, by their keys.
    pub data: Vec<(String, Text)>,
}

/// When.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The time from which the occasions count.
    pub time: Time,
    /// The entries of `before`, then those of `after`; none is one occasion, the time itself.
    pub entries: Vec<Entry>,
    /// The time of day of each reminder.
    pub clock: Option<NaiveTime>,
    /// An occurrence is prepared so long before its first instant.
    pub ahead: Millis,
    /// What becomes of an occurrence that nobody prepared before its last instant.
    pub misfire: Misfire,
    /// The line on which it stands.
    pub line: u32,
}

/// An occurrence is prepared so long before its first instant, unless the file says otherwise.
pub const USUAL_AHEAD: Millis = DAY;

/// A time for everybody, one in each row, or several that stand outside of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Time {
    /// For everybody.
    Fixed(Point),
    /// In this column.
    Column(String),
    /// Again and again.
    Cron(Box<Recurrence>),
    /// Those of a table of events.
    Events(Box<Events>),
}

/// A table of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// The table.
    pub table: TableRef,
    /// The column by which an event is known again.
    pub key: String,
    /// The column of its time.
    pub column: String,
}

/// What becomes of an occurrence that nobody prepared before its last instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Misfire {
    /// It is left out.
    #[default]
    Skip,
    /// The latest such one is made up for, while its deadline lasts.
    Once,
}

/// When a reminder is no longer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expires {
    /// As the file says.
    Known(Deadline),
    /// At the time in this column.
    Column(String),
}

/// What becomes of an instant that had passed when the load began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Late {
    /// It is left out.
    #[default]
    Skip,
    /// It goes at once, if its deadline allows.
    Send,
}

/// The quiet hours of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// The app's.
    App,
    /// None.
    None,
    /// Its own.
    Own(QuietHours),
}

impl Quiet {
    /// Those that count in an app of these rules.
    pub fn of(self, rules: &AppRules) -> Option<QuietHours> {
        match self {
            Self::App => rules.quiet_hours,
            Self::None => None,
            Self::Own(hours) => Some(hours),
        }
    }
}

/// Who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Every user with an available consent for the template.
    Consented,
    /// These openids, which are checked one by one as rows.
    List(Vec<String>),
    /// The rows of a table.
    Table(TableRef),
}

/// Who not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclude {
    /// These openids.
    List(Vec<String>),
    /// Those in a table.
    Table(TableRef),
}

/// A table that the schedule names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRef {
    /// Its file, relative to the schedule's own.
    pub file: String,
    /// How it is read.
    pub spec: TableSpec,
    /// The column of the openids; else the one with a usual name.
    pub openid: Option<String>,
    /// The column by which a row is known again; else the openid.
    pub key: Option<String>,
    /// The column that names the event of a row.
    pub event: Option<String>,
    /// The line on which it stands.
    pub line: u32,
}

impl TableRef {
    /// Its column of openids.
    pub fn openid(&self) -> Wanted {
        self.openid.clone().map_or(Wanted::Openid, Wanted::Column)
    }
}

/// What a schedule's file is checked against.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The configured apps.
    pub apps: &'a [App],
    /// The templates of an app as its platform has listed them, if it has.
    pub listings: &'a dyn Fn(&str) -> Option<Arc<Listing>>,
}

/// Why a file can't be used, and what could be read of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// All of its problems, by their lines.
    pub problems: Vec<Problem>,
    /// The schedule's name.
    pub name: Option<String>,
    /// The app's name.
    pub app: Option<String>,
    /// The template as it is named.
    pub template: Option<String>,
}

/// A file has no more bytes.
pub const MOST_BYTES: usize = 256 * 1_024;

/// Reads the text of a schedule's file, which has this name.
///
/// # Errors
/// All of its problems.
pub fn read(text: &str, file_name: &str, names: &Names<'_>) -> Result<File, Refused> {
    let mut reader = Reader::new(text, file_name);
    let mut refused = Refused { problems: Vec::new(), name: None, app: None, template: None };
    if text.len() > MOST_BYTES {
        reader.tell("too_large", 1, say!("file_too_large", found = text.len(), most = MOST_BYTES));
        return Err(Refused { problems: reader.problems, ..refused });
    }
    let (tree, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = reader.line_at(error.span().map_or(0, |span| span.start));
        let at = error.span().and_then(|span| text.get(span)).unwrap_or_default();
        let what = match error.message() {
            "duplicate key" => say!("toml_key_twice", key = at),
            why => say!("file_not_toml", why = why),
        };
        reader.tell("bad_toml", line, what);
    }
    let whole = reader.problems.is_empty();
    let table = Table::new(&mut reader, tree.get_ref(), 1, &head::KEYS);
    let file = all(&mut reader, &table, names, &mut refused);
    let mut problems = reader.problems;
    if !whole {
        // What a mistake of syntax leaves behind is no mistake of its own.
        problems.retain(|problem| problem.code == "bad_toml");
    }
    problems.sort_by_key(|problem| problem.place.line);
    match file {
        Some(file) if problems.is_empty() => Ok(file),
        _ => Err(Refused { problems, ..refused }),
    }
}

/// The whole file, or nothing and problems.
fn all(reader: &mut Reader<'_>, table: &Table<'_>, names: &Names<'_>, known: &mut Refused) -> Option<File> {
    let name = head::name(reader, table);
    known.name = name.clone();
    let app_named = table.needed(reader, "app");
    known.app = app_named.map(|said| said.value.to_owned());
    let app = app_named.and_then(|said| head::app(reader, said, names.apps));
    let template_named = table.needed(reader, "template");
    known.template = template_named.map(|said| said.value.to_owned());
    let listing = app.and_then(|app| (names.listings)(&app.name));
    let template =
        app.zip(template_named).and_then(|(app, said)| head::template(reader, said, app, listing.as_deref()));
    let zone = head::zone(reader, table, app);
    table.need(reader, "at");
    let at_said = table.value(reader, "at");
    let at = at_said.and_then(|said| at::at(reader, said, zone));
    let expires_said = table.value(reader, "expires");
    let expires = expires_said.map_or(Some(Expires::Known(Deadline::Usual)), |said| at::expires(reader, said));
    table.need(reader, "audience");
    let audience = table.value(reader, "audience").and_then(|said| who::audience(reader, said));
    let exclude = table.value(reader, "exclude").map(|said| who::exclude(reader, said));
    let (quiet, quiet_written) = head::quiet(reader, table, zone);
    let late = head::word(reader, table, "late", &[("skip", Late::Skip), ("send", Late::Send)]);
    let claims = [("reserve", Claims::Reserve), ("at_fire", Claims::AtFire), ("either", Claims::Either)];
    let claims = head::word(reader, table, "consent", &claims);
    let spread = head::spread(reader, table);
    let strict = table.flag(reader, "strict").unwrap_or(false);
    let options = head::options(reader, table, app);
    let page = data::page(reader, table, app.map_or(PageRules::FREE, App::page));
    let data = data::fields(reader, table, template.map(|template: &Template| (template, listing.as_deref())));
    let file = File {
        file: reader.file().to_owned(),
        name: name?,
        app: app?.name.clone(),
        template: template?.code.clone(),
        template_named: template_named?.value.to_owned(),
        page,
        expires_line: expires_said.map_or(at.as_ref().map_or(1, |at| at.line), |said| said.line),
        at: at?,
        expires: expires?,
        late: late.unwrap_or_default(),
        quiet,
        quiet_written,
        spread,
        claims: claims.unwrap_or_default(),
        strict,
        zone: zone?,
        options,
        audience: audience?,
        exclude: exclude.flatten(),
        data,
    };
    if let Audience::Table(TableRef { event: Some(_), line, .. }) = &file.audience
        && file.events().is_none()
    {
        reader.tell("bad_at", *line, say!("audience_event_without_events"));
    }
    if file.is_joined()
        && let Some(key) = at_said.and_then(|said| at::of_recurring(said.value))
    {
        reader.tell("bad_at", file.at.line, say!("at_key_of_recurring", key = key));
    }
    if !matches!(file.audience, Audience::Table(_)) && file.events().is_none() {
        reader.problems.extend(file.without_table());
    }
    Some(file)
}

impl File {
    /// Its table of events, if it has one.
    pub fn events(&self) -> Option<&Events> {
        match &self.at.time {
            Time::Events(events) => Some(events),
            _ => None,
        }
    }

    /// Whether its rows name their events: then all of them are loaded at once.
    pub fn is_joined(&self) -> bool {
        matches!(&self.audience, Audience::Table(table) if table.event.is_some()) && self.events().is_some()
    }

    /// Whether its occurrences are prepared one by one.
    pub fn is_recurring(&self) -> bool {
        matches!(self.at.time, Time::Cron(_) | Time::Events(_)) && !self.is_joined()
    }

    /// Every column that the schedule names in the audience's table, the openid first. Of a plain name beside a table of events,
    /// `of_events` tells whether that table has it.
    pub fn wanted(&self, of_events: &dyn Fn(&str) -> bool) -> Vec<Wanted> {
        let Audience::Table(table) = &self.audience else { return Vec::new() };
        let has_events = self.events().is_some();
        let named = self.columns().filter_map(|(name, _)| match scoped(name, has_events) {
            (Some(Scope::Event), _) => None,
            (None, name) if has_events && of_events(name) => None,
            (_, name) => Some(Wanted::Column(name.to_owned())),
        });
        let own = [&table.key, &table.event].into_iter().flatten().cloned().map(Wanted::Column);
        once_each([table.openid()].into_iter().chain(own).chain(named))
    }

    /// The columns that the schedule names in its table of events, the key first. A plain name is one of them if there is no other table.
    pub fn wanted_of_events(&self) -> Vec<Wanted> {
        let Some(events) = self.events() else { return Vec::new() };
        let alone = !matches!(self.audience, Audience::Table(_));
        let named = self.columns().filter_map(|(name, _)| match scoped(name, true) {
            (Some(Scope::Event), name) => Some(Wanted::Column(name.to_owned())),
            (None, name) if alone => Some(Wanted::Column(name.to_owned())),
            _ => None,
        });
        let own = [&events.key, &events.column].into_iter().cloned().map(Wanted::Column);
        once_each(own.chain(named))
    }

    /// The columns that times and texts name, each with its line.
    pub fn columns(&self) -> impl Iterator<Item = (&String, u32)> {
        let at = match &self.at.time {
            Time::Column(column) => Some((column, self.at.line)),
            _ => None,
        };
        let expires = match &self.expires {
            Expires::Column(column) => Some((column, self.expires_line)),
            Expires::Known(_) => None,
        };
        at.into_iter().chain(expires).chain(self.texts().flat_map(|text| text.columns().map(|name| (name, text.line))))
    }

    fn texts(&self) -> impl Iterator<Item = &Text> {
        self.page.iter().chain(self.data.iter().map(|(_, text)| text))
    }

    /// Whether a text says something of this source.
    pub fn takes(&self, source: &Source<String>) -> bool {
        self.texts().any(|text| text.takes(source))
    }

    /// Messages to these users speak English where a word is ours.
    pub fn in_english(&self) -> bool {
        self.options.get("lang").is_some_and(|lang| lang.starts_with("en"))
    }

    /// The columns that are named although there is no table.
    pub fn without_table(&self) -> Vec<Problem> {
        let told =
            |(name, line): (&String, u32)| self.problem("no_column", line, say!("column_without_table", name = name));
        self.columns().map(told).collect()
    }

    /// A problem on a line of the file.
    pub fn problem(&self, code: &'static str, line: u32, detail: crate::words::Message) -> Problem {
        let place = Place { file: Some(self.file.clone()), line: Some(line), ..Place::default() };
        Problem { place, ..Problem::new(code, detail) }
    }
}

/// The table in which a name is looked for, where there are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The table of events.
    Event,
    /// The audience's.
    Row,
}

/// A name without its `event.` or `row.`, which tell the table where there are events. A plain name is in whichever table has it.
pub fn scoped(name: &str, has_events: bool) -> (Option<Scope>, &str) {
    let scopes = [("event.", Scope::Event), ("row.", Scope::Row)];
    let found = scopes.into_iter().find_map(|(prefix, scope)| Some((scope, name.strip_prefix(prefix)?)));
    match found.filter(|_| has_events) {
        Some((scope, name)) => (Some(scope), name.trim_start()),
        None => (None, name),
    }
}

fn once_each(all: impl Iterator<Item = Wanted>) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for column in all {
        if !wanted.contains(&column) {
            wanted.push(column);
        }
    }
    wanted
}

#[cfg(test)]
mod tests;
