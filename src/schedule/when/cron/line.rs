//! One cron line: read, matched against the calendar, said in words.

use super::{
    field::{Field, Kind},
    said,
};
use crate::{
    domain::timing::cut,
    words::{Message, say},
};
use chrono::{NaiveDateTime, TimeZone, Timelike, Utc};

/// No line is longer, in bytes.
const MOST_BYTES: usize = 256;

/// A cron line of five fields that names at most one minute of an hour.
#[derive(Debug, Clone)]
pub struct Cron {
    written: String,
    fields: [Field; 5],
    pattern: croner::Cron,
}

impl Cron {
    /// Reads `0 19 * * MON`.
    ///
    /// # Errors
    /// A message: what was found and what to write instead.
    pub fn parse(text: &str) -> Result<Self, Message> {
        if text.len() > MOST_BYTES {
            return Err(say!("cron_too_long", found = text.len(), most = MOST_BYTES));
        }
        let capitals = text.to_ascii_uppercase();
        let parts: Vec<&str> = capitals.split_whitespace().collect();
        let parts: [&str; 5] = match parts[..] {
            [_, ref five @ ..] if five.len() == 5 => {
                return Err(say!("cron_seconds", text = cut(text), fix = cut(&five.join(" "))));
            }
            [nickname] if nickname.starts_with('@') => return Err(say!("cron_nickname", text = cut(text))),
            [a, b, c, d, e] => [a, b, c, d, e],
            _ => return Err(say!("cron_fields", text = cut(text), found = parts.len())),
        };
        let mut fields: [Field; 5] = Default::default();
        for ((kind, part), field) in Kind::ALL.into_iter().zip(parts).zip(&mut fields) {
            *field = Field::read(kind, part)?;
        }
        let [minutes, _, days, months, weekdays] = &fields;
        if minutes.all || minutes.values.len() > 1 {
            let count = if minutes.all { 60 } else { minutes.values.len() };
            let first = minutes.values.first().copied().unwrap_or(0);
            let fix = format!("{first} {}", parts[1..].join(" "));
            return Err(say!("cron_dense", text = cut(text), found = count, fix = cut(&fix)));
        }
        if never_comes(days, months, weekdays) {
            return Err(say!("cron_never", text = cut(text)));
        }
        let plain = fields.each_ref().map(Field::plain).join(" ");
        let pattern = plain.parse().map_err(|_| say!("cron_fields", text = cut(text), found = parts.len()))?;
        Ok(Self { written: parts_as_written(text), fields, pattern })
    }

    /// As it was written.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// In words: "every Monday at 19:00".
    pub fn said(&self) -> Message {
        said::line(&self.fields).unwrap_or_else(|| say!("cron_as_written", line = self.written))
    }

    /// The first wall time after `after`, on a calendar without zones. `None` beyond the years that are counted.
    pub fn next(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        // Looks at days: a line that no day matches is not read, and the rarest, the fifth Monday of a February, comes within 40 years.
        let after = Utc.from_utc_datetime(&after.with_nanosecond(0)?);
        self.pattern.find_next_occurrence(&after, false).ok().map(|next| next.naive_utc())
    }
}

/// Two lines are equal if they say the same, in whatever way.
impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl Eq for Cron {}

/// Whether none of the months that are named has one of the days. Weekdays come in each month; the fifth of one at least in some years.
fn never_comes(days: &Field, months: &Field, weekdays: &Field) -> bool {
    let is_restricted = !days.all && !days.last && weekdays.all;
    let Some(first) = days.values.first().filter(|_| is_restricted) else { return false };
    let longest = |month: &u32| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    !months.all && months.values.iter().all(|month| longest(month) < *first)
}

/// The line with single spaces.
fn parts_as_written(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
