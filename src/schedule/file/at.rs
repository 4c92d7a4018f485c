//! `at` and `expires`: when.

use super::{
    At, Events, Expires, Misfire, Time, USUAL_AHEAD,
    reader::{Reader, Said, Table, texts},
    who,
};
use crate::{
    domain::{DAY, MINUTE, Millis, timing::cut},
    schedule::when::{
        cron::{Cron, Recurrence},
        occasion::{Deadline, Entry, Event},
        point::Point,
        span::Span,
        written,
    },
    words::{Message, say},
};
use chrono::{FixedOffset, NaiveDate, NaiveTime};
use chrono_tz::Tz;
use toml::{
    de::DeValue,
    value::{Datetime, Offset},
};

/// `before` and `after` have no more entries together.
const MOST_ENTRIES: usize = 10;
const KEYS: [&str; 11] =
    ["event", "column", "events", "cron", "before", "after", "clock", "from", "until", "misfire", "ahead"];
const FORMS: [&str; 4] = ["event", "column", "events", "cron"];

/// Reads `at`.
pub fn at(reader: &mut Reader<'_>, said: Said<&DeValue<'_>>, zone: Option<Tz>) -> Option<At> {
    let Said { line, value } = said;
    let at = match value {
        DeValue::Table(values) => {
            let table = Table::new(reader, values, line, &KEYS);
            of_table(reader, &table)?
        }
        value => {
            let point = point(reader, "bad_at", "at", Said { line, value })?;
            let (ahead, misfire) = (USUAL_AHEAD, Misfire::Skip);
            At { time: Time::Fixed(point), entries: Vec::new(), clock: None, ahead, misfire, line }
        }
    };
    // That it has a day, and a time of day where it needs one, is seen here; of a column's, in each row.
    if let (Time::Fixed(point), Some(zone)) = (&at.time, zone)
        && let Err(why) = Event::new(*point, at.clock, !at.entries.is_empty(), zone)
    {
        reader.tell("bad_at", line, why);
        return None;
    }
    Some(at)
}

fn of_table(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<At> {
    let line = table.line;
    let forms: Vec<&str> = FORMS.into_iter().filter(|form| table.has(form)).collect();
    let [form] = forms[..] else {
        if !forms.is_empty() || FORMS.into_iter().all(|form| table.lacks(form)) {
            reader.tell("bad_at", line, say!("at_forms", found = forms, allowed = FORMS));
        }
        return None;
    };
    let strange = |key: &&str| match form {
        "cron" => false,
        "events" => matches!(*key, "from" | "until"),
        _ => true,
    };
    for key in ["from", "until", "misfire", "ahead"].into_iter().filter(|key| table.has(key)).filter(strange) {
        reader.tell("bad_at", line, say!("at_key_of_cron", key = key, form = form));
    }
    let entries = entries(reader, table);
    let clock = clock(reader, table, entries.as_deref().unwrap_or_default());
    let time = match form {
        "event" => Time::Fixed(table.value(reader, "event").and_then(|said| point(reader, "bad_at", "event", said))?),
        "column" => Time::Column(table.name(reader, "column", 1_024)?.value.to_owned()),
        "cron" => Time::Cron(Box::new(cron(reader, table)?)),
        _ => Time::Events(Box::new(events(reader, table)?)),
    };
    let misfires = [("skip", Misfire::Skip), ("once", Misfire::Once)];
    let misfire = table.text(reader, "misfire").and_then(|said| reader.word(said, &misfires));
    let ahead = ahead(reader, table)?;
    Some(At { time, entries: entries?, clock: clock?, ahead, misfire: misfire.unwrap_or_default(), line })
}

/// The key that only an `at` of occurrences has which are prepared one by one, if it is there.
pub fn of_recurring(at: &DeValue<'_>) -> Option<&'static str> {
    let DeValue::Table(values) = at else { return None };
    ["misfire", "ahead"].into_iter().find(|key| values.contains_key(*key))
}

/// `cron`, `from` and `until`.
fn cron(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<Recurrence> {
    let Said { line, value } = table.text(reader, "cron")?;
    let cron = reader.good("bad_at", line, Cron::parse(value));
    let (from, until) = (day(reader, table, "from"), day(reader, table, "until"));
    let recurrence = Recurrence { cron: cron?, from: from?, until: until? };
    reader.good("bad_at", line, recurrence.check())?;
    Some(recurrence)
}

/// A day; the outer `None` if it is wrong.
fn day(reader: &mut Reader<'_>, table: &Table<'_>, key: &str) -> Option<Option<NaiveDate>> {
    let Some(said) = table.value(reader, key) else { return Some(None) };
    match point(reader, "bad_at", key, said)? {
        Point::Date(date) => Some(Some(date)),
        _ => {
            reader.tell_kind("bad_at", said.line, key, say!("kind_day"));
            None
        }
    }
}

/// A table of events.
fn events(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<Events> {
    let Said { line, value } = table.value(reader, "events")?;
    let DeValue::Table(values) = value else {
        reader.tell_kind("bad_at", line, "events", say!("kind_events"));
        return None;
    };
    let keys = ["file", "sheet", "header", "hidden", "encoding", "delimiter", "key", "column"];
    let table = Table::new(reader, values, line, &keys);
    table.need(reader, "key");
    table.need(reader, "column");
    let column = table.name(reader, "column", 1_024).map(|said| said.value.to_owned());
    let table = who::table(reader, &table);
    let (table, column) = (table?, column?);
    let key = table.key.clone()?;
    Some(Events { table, key, column })
}

/// `ahead`: 5 minutes to 7 days.
fn ahead(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<Millis> {
    let Some(Said { line, value }) = table.text(reader, "ahead") else { return Some(USUAL_AHEAD) };
    let ahead = reader.good("bad_at", line, Span::parse(value))?.elapsed();
    if !(5 * MINUTE..=7 * DAY).contains(&ahead) {
        reader.tell("bad_at", line, say!("ahead_out_of_bounds", text = cut(value)));
        return None;
    }
    Some(ahead)
}

/// The entries of `before` and `after`, in this order.
fn entries(reader: &mut Reader<'_>, table: &Table<'_>) -> Option<Vec<Entry>> {
    let (mut entries, mut good) = (Vec::new(), true);
    for (key, after) in [("before", false), ("after", true)] {
        let Some(Said { line, value }) = table.value(reader, key) else { continue };
        let DeValue::Array(values) = value else {
            reader.tell_kind("bad_at", line, key, say!("kind_spans"));
            good = false;
            continue;
        };
        let said = texts(reader, values, MOST_ENTRIES).map_err(|(line, why)| reader.tell("bad_at", line, why));
        good &= said.is_ok();
        for Said { line, value } in said.unwrap_or_default() {
            match entry(value, after, &entries) {
                Ok(entry) => entries.push(entry),
                Err(why) => {
                    reader.tell("bad_at", line, why);
                    good = false;
                }
            }
        }
    }
    if entries.len() > MOST_ENTRIES {
        reader.tell("bad_at", table.line, say!("list_too_many", found = entries.len(), most = MOST_ENTRIES));
        good = false;
    }
    good.then_some(entries)
}

fn entry(text: &str, after: bool, known: &[Entry]) -> Result<Entry, Message> {
    let entry = Entry { span: Span::parse(text)?, after };
    if entry.span.count == 0 && !after {
        return Err(say!("at_zero_before", text = cut(text)));
    }
    if known.contains(&entry) {
        return Err(say!("at_entry_twice", text = cut(text)));
    }
    Ok(entry)
}

/// `clock`; the outer `None` if it is wrong.
fn clock(reader: &mut Reader<'_>, table: &Table<'_>, entries: &[Entry]) -> Option<Option<NaiveTime>> {
    let Some(Said { line, value }) = table.value(reader, "clock") else { return Some(None) };
    let time = match value {
        DeValue::String(text) => match written::text(text) {
            Ok(written::Read { point: Point::Clock(time), of_range: false, .. }) => Some(time),
            _ => None,
        },
        DeValue::Datetime(Datetime { date: None, time: Some(time), offset: None }) => wall_time(time),
        _ => None,
    };
    if time.is_none() {
        reader.tell_kind("bad_at", line, "clock", say!("kind_clock"));
    }
    if let Some(entry) = entries.iter().find(|entry| entry.span.days().is_none()) {
        reader.tell("bad_at", line, say!("clock_with_hours", entry = entry.name()));
        return None;
    }
    time.map(Some)
}

/// A time, as a TOML time or as text.
fn point(reader: &mut Reader<'_>, code: &'static str, key: &str, said: Said<&DeValue<'_>>) -> Option<Point> {
    let read = match said.value {
        DeValue::String(text) => written::text(text).and_then(|read| match read {
            written::Read { point, of_range: false, serial: false } => Ok(point),
            _ => Err(say!("time_unreadable", text = cut(text))),
        }),
        DeValue::Datetime(time) => of_toml(time).ok_or_else(|| say!("time_unreadable", text = time.to_string())),
        _ => Err(say!("file_other_kind", key = key, expected = say!("kind_time"))),
    };
    reader.good(code, said.line, read)
}

fn of_toml(time: &Datetime) -> Option<Point> {
    let date = match &time.date {
        Some(date) => Some(NaiveDate::from_ymd_opt(i32::from(date.year), u32::from(date.month), u32::from(date.day))?),
        None => None,
    };
    let clock = match &time.time {
        Some(time) => Some(wall_time(time)?),
        None => None,
    };
    Some(match (date, clock, &time.offset) {
        (Some(date), None, _) => Point::Date(date),
        (None, Some(clock), _) => Point::Clock(clock),
        (Some(date), Some(clock), None) => Point::Wall(date.and_time(clock)),
        (Some(date), Some(clock), Some(offset)) => {
            let minutes = match offset {
                Offset::Z => 0,
                Offset::Custom { minutes } => i32::from(*minutes),
            };
            let at = date.and_time(clock).and_local_timezone(FixedOffset::east_opt(minutes * 60)?).single()?;
            Point::Exact(at.timestamp_millis())
        }
        (None, None, _) => return None,
    })
}

fn wall_time(time: &toml::value::Time) -> Option<NaiveTime> {
    NaiveTime::from_hms_opt(u32::from(time.hour), u32::from(time.minute), u32::from(time.second.unwrap_or(0)))
}

/// Reads `expires`.
pub fn expires(reader: &mut Reader<'_>, said: Said<&DeValue<'_>>) -> Option<Expires> {
    let Said { line, value } = said;
    let by = match value {
        DeValue::Table(values) => {
            let table = Table::new(reader, values, line, &["column"]);
            table.need(reader, "column");
            return table.name(reader, "column", 1_024).map(|said| Expires::Column(said.value.to_owned()));
        }
        DeValue::String(text) if *text == "event" => Deadline::Event,
        DeValue::String(text) if is_span(text) => {
            Deadline::After(reader.good("bad_deadline", line, Span::parse(text))?)
        }
        value => match point(reader, "bad_deadline", "expires", Said { line, value })? {
            Point::Clock(_) => {
                reader.tell("bad_deadline", line, say!("time_without_day"));
                return None;
            }
            point => Deadline::At(point),
        },
    };
    Some(Expires::Known(by))
}

/// Whether it is meant as a duration: digits, then a letter or nothing.
fn is_span(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.chars().count() <= 3 && unit.chars().all(char::is_alphabetic) && unit.len() < text.len() && text.len() < 8
}
