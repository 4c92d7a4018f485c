//! Cron lines and zones in words.

use super::field::Field;
use crate::words::{Both, Message, say};
use chrono::NaiveDateTime;
use chrono_tz::Tz;

/// So many times of day or days of a month are listed; more are not easily read.
const MOST_LISTED: usize = 4;

/// Sunday is the first and the last.
const WEEKDAYS: [Both; 8] = [
    Both { en: "Sunday", zh: "周日" },
    Both { en: "Monday", zh: "周一" },
    Both { en: "Tuesday", zh: "周二" },
    Both { en: "Wednesday", zh: "周三" },
    Both { en: "Thursday", zh: "周四" },
    Both { en: "Friday", zh: "周五" },
    Both { en: "Saturday", zh: "周六" },
    Both { en: "Sunday", zh: "周日" },
];

const ORDINALS: [Both; 5] = [
    Both { en: "first", zh: "第一个" },
    Both { en: "second", zh: "第二个" },
    Both { en: "third", zh: "第三个" },
    Both { en: "fourth", zh: "第四个" },
    Both { en: "fifth", zh: "第五个" },
];

const MONTHS: [Both; 12] = [
    Both { en: "January", zh: "1月" },
    Both { en: "February", zh: "2月" },
    Both { en: "March", zh: "3月" },
    Both { en: "April", zh: "4月" },
    Both { en: "May", zh: "5月" },
    Both { en: "June", zh: "6月" },
    Both { en: "July", zh: "7月" },
    Both { en: "August", zh: "8月" },
    Both { en: "September", zh: "9月" },
    Both { en: "October", zh: "10月" },
    Both { en: "November", zh: "11月" },
    Both { en: "December", zh: "12月" },
];

/// A line in words, if there are plain ones for it.
pub fn line(fields: &[Field; 5]) -> Option<Message> {
    let [minutes, hours, days, months, weekdays] = fields;
    let minute = *minutes.values.first()?;
    if hours.all {
        let is_daily = days.all && months.all && weekdays.all;
        return is_daily.then(|| match minute {
            0 => say!("cron_each_hour"),
            minute => say!("cron_each_hour_at", minute = format!("{minute:02}")),
        });
    }
    if hours.values.len() > MOST_LISTED {
        return None;
    }
    let times: Vec<String> = hours.values.iter().map(|hour| format!("{hour:02}:{minute:02}")).collect();
    Some(say!("cron_said", times = all_of(&times)?, days = on_days(days, months, weekdays)?))
}

fn on_days(days: &Field, months: &Field, weekdays: &Field) -> Option<Message> {
    if !months.all {
        let (month, day) = (only(months)?, only(days).filter(|_| weekdays.all)?);
        let month = MONTHS.get(usize::try_from(month - 1).ok()?)?;
        return Some(say!("cron_each_year", day = day, month = month));
    }
    match (days.all, weekdays.all) {
        (true, true) => Some(say!("cron_each_day")),
        (true, false) => on_weekdays(weekdays),
        (false, true) if days.last && days.values.is_empty() => Some(say!("cron_last_day")),
        (false, true) if !days.last && days.values.len() <= MOST_LISTED => {
            let days: Vec<Message> = days.values.iter().map(|day| say!("cron_day_of_month", day = day)).collect();
            Some(say!("cron_each_month", days = all_of(&days)?))
        }
        _ => None,
    }
}

fn on_weekdays(weekdays: &Field) -> Option<Message> {
    let name = |day: &u32| WEEKDAYS.get(usize::try_from(*day).ok()?).copied();
    match (&weekdays.of_month[..], weekdays.values.len()) {
        ([(day, Some(nth))], 0) => {
            let nth = ORDINALS.get(usize::try_from(nth - 1).ok()?)?;
            Some(say!("cron_nth_weekday", nth = nth, day = name(day)?))
        }
        ([(day, None)], 0) => Some(say!("cron_last_weekday_of_month", day = name(day)?)),
        ([], 7) => Some(say!("cron_each_day")),
        ([], count) => {
            // A week begins on Monday, as its days are listed.
            let mut days: Vec<u32> = weekdays.values.iter().map(|day| if *day == 0 { 7 } else { *day }).collect();
            days.sort_unstable();
            let (first, last) = (days.first()?, days.last()?);
            let is_run = usize::try_from(last - first).ok()? + 1 == count;
            if count > 2 && is_run {
                return Some(say!("cron_weekdays_from_to", first = name(first)?, last = name(last)?));
            }
            let names = days.iter().map(name).collect::<Option<Vec<_>>>()?;
            Some(say!("cron_each_week", days = all_of(&names)?))
        }
        _ => None,
    }
}

/// The only value that is named.
fn only(field: &Field) -> Option<u32> {
    let first = field.values.first().copied();
    first.filter(|_| field.values.len() == 1 && !field.all && !field.last && field.of_month.is_empty())
}

/// "1, 2 and 3".
fn all_of<T: serde::Serialize>(parts: &[T]) -> Option<Message> {
    let (last, first) = parts.split_last()?;
    Some(if first.is_empty() { say!("cron_one", one = last) } else { say!("cron_list", first = first, last = last) })
}

/// An occurrence by its name for ever, as people read it: its wall time with the zone, or the key of its event.
pub fn occurrence(name: &str, of: Tz) -> Message {
    match NaiveDateTime::parse_from_str(name, "%Y-%m-%dT%H:%M") {
        Ok(wall) => say!("occurrence_at", wall = wall.format("%Y-%m-%d %H:%M").to_string(), zone = zone(of)),
        Err(_) => Message::text(name),
    }
}

/// A zone as people call it: "Beijing time", else its name among the zones, such as `Europe/Berlin`.
pub fn zone(zone: Tz) -> Message {
    match zone {
        Tz::Asia__Shanghai | Tz::Asia__Chongqing | Tz::Asia__Chungking | Tz::Asia__Harbin | Tz::PRC => {
            say!("beijing_time")
        }
        zone => Message::text(zone.name()),
    }
}
