//! The five fields of a cron line, read and checked one by one.

use crate::{
    domain::timing::cut,
    words::{Message, say},
};
use std::collections::BTreeSet;

/// Which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 0–59.
    Minute,
    /// 0–23.
    Hour,
    /// 1–31, `L`.
    Day,
    /// 1–12, `JAN`–`DEC`.
    Month,
    /// 0–7, `SUN`–`SAT`, `5L`, `5#2`.
    Weekday,
}

impl Kind {
    /// All of them, as they stand in a line.
    pub const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Weekday];

    fn bounds(self) -> (u32, u32) {
        match self {
            Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Month => (1, 12),
            Self::Weekday => (0, 7),
        }
    }

    /// The names of its values, from its least one on.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Minute | Self::Hour | Self::Day => &[],
            Self::Month => &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
            Self::Weekday => &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        }
    }

    /// How a person calls it.
    pub fn said(self) -> Message {
        match self {
            Self::Minute => say!("cron_minute"),
            Self::Hour => say!("cron_hour"),
            Self::Day => say!("cron_day"),
            Self::Month => say!("cron_month"),
            Self::Weekday => say!("cron_weekday"),
        }
    }

    fn allowed(self) -> Message {
        match self {
            Self::Minute => say!("cron_allowed_minute"),
            Self::Hour => say!("cron_allowed_hour"),
            Self::Day => say!("cron_allowed_day"),
            Self::Month => say!("cron_allowed_month"),
            Self::Weekday => say!("cron_allowed_weekday"),
        }
    }
}

/// What a field says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Field {
    /// Every value: `*`, and `?` for days.
    pub all: bool,
    /// These values. Sunday is 0.
    pub values: BTreeSet<u32>,
    /// The last day of a month.
    pub last: bool,
    /// Weekdays of a month, 0 for Sunday: the first to the fifth, or the last one.
    pub of_month: Vec<(u32, Option<u32>)>,
}

impl Field {
    /// Reads the field, in capitals.
    ///
    /// # Errors
    /// A message: what was found and what is allowed.
    pub fn read(kind: Kind, text: &str) -> Result<Self, Message> {
        let mut field = Self::default();
        for part in text.split(',') {
            field.add(kind, part)?;
        }
        Ok(field)
    }

    fn add(&mut self, kind: Kind, part: &str) -> Result<(), Message> {
        match (kind, part) {
            (_, "*" | "*/1") | (Kind::Day | Kind::Weekday, "?") => self.all = true,
            (Kind::Day, "L") => self.last = true,
            (Kind::Weekday, "L") => return Err(say!("cron_last_weekday")),
            (Kind::Weekday, part) if let Some((day, nth)) = part.split_once('#') => {
                let nth = match nth.as_bytes() {
                    [digit @ b'1'..=b'5'] => u32::from(digit - b'0'),
                    _ => return Err(say!("cron_nth", found = cut(part))),
                };
                self.of_month.push((value(kind, day, part)? % 7, Some(nth)));
            }
            (Kind::Weekday, part) if let Some(day) = part.strip_suffix('L') => {
                self.of_month.push((value(kind, day, part)? % 7, None));
            }
            (kind, part) => {
                let (from, until, step) = range(kind, part)?;
                let day = |value| if kind == Kind::Weekday { value % 7 } else { value };
                self.values.extend((from..=until).step_by(step).map(day));
            }
        }
        Ok(())
    }

    /// The same in numbers alone, a list of single values, as croner reads it.
    pub fn plain(&self) -> String {
        if self.all {
            return "*".to_owned();
        }
        let values = self.values.iter().map(u32::to_string);
        let last = self.last.then(|| "L".to_owned());
        let of_month = self.of_month.iter().map(|(day, nth)| match nth {
            Some(nth) => format!("{day}#{nth}"),
            None => format!("{day}L"),
        });
        values.chain(last).chain(of_month).collect::<Vec<_>>().join(",")
    }
}

/// First value, last value and step of `5`, `1-5`, `*/2`, `8/2` (until the last value that is allowed) or `8-20/2`.
fn range(kind: Kind, part: &str) -> Result<(u32, u32, usize), Message> {
    let (least, most) = kind.bounds();
    let (span, step) = match part.split_once('/') {
        None => (part, None),
        Some((span, step)) => {
            let good = step.parse::<u32>().ok().filter(|n| (1..=most).contains(n) && is_number(step));
            (span, Some(good.ok_or_else(|| say!("cron_step", found = cut(part), most = most, field = kind.said()))?))
        }
    };
    let (from, until) = match span.split_once('-') {
        // Sunday is the first day and the last one: each day counts once.
        None if span == "*" && step.is_some() => (least, if kind == Kind::Weekday { 6 } else { most }),
        None => {
            let from = value(kind, span, part)?;
            (from, if step.is_some() { most } else { from })
        }
        Some((from, until)) => {
            let (from, until) = (value(kind, from, part)?, value(kind, until, part)?);
            let is_week = kind == Kind::Weekday;
            (if is_week && from == 7 { 0 } else { from }, if is_week && until == 0 && from > 0 { 7 } else { until })
        }
    };
    if from > until {
        let first_half = if from == most { from.to_string() } else { format!("{from}-{most}") };
        let second_half = if until == least { until.to_string() } else { format!("{least}-{until}") };
        return Err(say!("cron_backwards", found = cut(part), fix = format!("{first_half},{second_half}")));
    }
    let step = step.and_then(|step| usize::try_from(step).ok()).unwrap_or(1);
    Ok((from, until, step))
}

/// A number or a name; `part` is what it stands in.
fn value(kind: Kind, text: &str, part: &str) -> Result<u32, Message> {
    let (least, most) = kind.bounds();
    if let Some(i) = kind.names().iter().position(|name| *name == text) {
        return Ok(least + u32::try_from(i).expect("at most twelve names"));
    }
    if !is_number(text) {
        return Err(say!("cron_unknown", found = cut(part), field = kind.said(), allowed = kind.allowed()));
    }
    let number = text.parse::<u32>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| say!("cron_out_of_range", found = cut(text), field = kind.said(), allowed = kind.allowed()))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
