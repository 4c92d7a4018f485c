//! Times in cells and files, as people write them.

use super::point::Point;
use crate::{
    domain::timing::cut,
    schedule::sheet::cell::{Cell, Shows},
    words::{Message, say},
};
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Weekday};
use std::borrow::Cow;
use unicode_normalization::{UnicodeNormalization, is_nfkc};

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// The time.
    pub point: Point,
    /// It is the beginning of a range that stands there.
    pub of_range: bool,
    /// A number stood there, which was taken for a spreadsheet's serial day.
    pub serial: bool,
}

impl From<Point> for Read {
    fn from(point: Point) -> Self {
        Self { point, of_range: false, serial: false }
    }
}

/// The numbers that are taken for serial days: 2000-01-01 to 2099-12-31.
const SERIAL_DAYS: std::ops::RangeInclusive<f64> = 36_526.0..=73_050.0;
/// Longer text is no time.
const MOST: usize = 80;

/// Reads the time in a cell; `None` if it is blank.
///
/// # Errors
/// A message: what was found and what to write instead.
pub fn cell(cell: &Cell) -> Result<Option<Read>, Message> {
    Ok(Some(match cell {
        Cell::Blank => return Ok(None),
        Cell::Time { at, shows } => Read::from(match shows {
            Shows::Date => Point::Date(at.date()),
            Shows::DateTime => Point::Wall(*at),
            Shows::Time => Point::Clock(at.time()),
        }),
        Cell::Number { text, value } => match serial(*value) {
            Some(point) => Read { serial: true, ..point.into() },
            None if value.fract() == 0.0 && (1e7..1e8).contains(value) => self::text(&format!("{value:.0}"))?,
            None => self::text(text)?,
        },
        other => text(&other.text())?,
    }))
}

/// The wall time of a serial day. A fraction is binary, so the second is rounded.
fn serial(value: f64) -> Option<Point> {
    if !SERIAL_DAYS.contains(&value) {
        return None;
    }
    let seconds = TimeDelta::try_milliseconds((value * 86_400.0).round() as i64 * 1_000)?;
    let at = NaiveDate::from_ymd_opt(1899, 12, 30)?.and_time(NaiveTime::MIN).checked_add_signed(seconds)?;
    Some(if at.time() == NaiveTime::MIN { Point::Date(at.date()) } else { Point::Wall(at) })
}

/// Reads a time that stands as text.
///
/// # Errors
/// A message: what was found and what to write instead.
pub fn text(text: &str) -> Result<Read, Message> {
    if text.chars().count() > MOST {
        return Err(say!("time_unreadable", text = cut(text)));
    }
    let normal: Cow<'_, str> = if is_nfkc(text) { text.into() } else { text.nfkc().collect::<String>().into() };
    let trimmed = normal.trim();
    if !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_digit() || b == b'.') && trimmed.len() != 8 {
        let value = trimmed.parse().ok().and_then(serial);
        if let Some(point) = value {
            return Ok(Read { serial: true, ..point.into() });
        }
    }
    let mut pen = Pen { rest: trimmed };
    let point = pen.point().map_err(|wrong| wrong.message(text))?;
    pen.space();
    if pen.rest.is_empty() {
        return Ok(point.into());
    }
    let joined = pen.any(&["~", "-", "至", "到", "—", "–", "〜"]).is_some();
    pen.any(&["—", "-"]);
    pen.space();
    let ends = joined && (pen.end_of_range() || pen.point().is_ok()) && pen.rest.trim().is_empty();
    if ends { Ok(Read { of_range: true, ..point.into() }) } else { Err(Wrong::Unreadable.message(text)) }
}

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Unreadable,
    NoYear,
    ShortYear,
    DayOrMonth,
    NoSuchDay,
    NoSuchClock,
    OtherWeekday(Weekday),
}

impl Wrong {
    fn message(self, text: &str) -> Message {
        let text = cut(text);
        match self {
            Self::Unreadable => say!("time_unreadable", text = text),
            Self::NoYear => say!("time_without_year", text = text),
            Self::ShortYear => say!("time_with_short_year", text = text),
            Self::DayOrMonth => say!("time_day_or_month", text = text),
            Self::NoSuchDay => say!("time_no_such_day", text = text),
            Self::NoSuchClock => say!("time_no_such_clock", text = text),
            Self::OtherWeekday(right) => {
                let place = right.num_days_from_monday() as usize;
                let right = crate::words::Both {
                    en: ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"][place],
                    zh: ["周一", "周二", "周三", "周四", "周五", "周六", "周日"][place],
                };
                say!("time_other_weekday", text = text, right = right)
            }
        }
    }
}

/// The part of the day that a word before or after a time of day names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Morning,
    Afternoon,
    Night,
    Noon,
    Evening,
}

const PARTS: [(&str, Part); 11] = [
    ("上午", Part::Morning),
    ("早上", Part::Morning),
    ("下午", Part::Afternoon),
    ("凌晨", Part::Night),
    ("中午", Part::Noon),
    ("晚上", Part::Evening),
    ("傍晚", Part::Evening),
    ("AM", Part::Morning),
    ("PM", Part::Afternoon),
    ("A.M.", Part::Morning),
    ("P.M.", Part::Afternoon),
];

impl Part {
    /// The hour on a clock of 24 hours; 24 is the next day's 0. `None` where the word and the hour contradict each other.
    fn hour(self, hour: u32) -> Option<u32> {
        match (self, hour) {
            (Self::Morning | Self::Night, 12) => Some(0),
            (Self::Morning, 0..=11) | (Self::Night, 0..=6) | (Self::Noon, 11..=14) => Some(hour),
            (Self::Noon, 1..=2) | (Self::Afternoon, 1..=11) | (Self::Evening, 5..=11) => Some(hour + 12),
            (Self::Afternoon, 12..=23) | (Self::Evening, 17..=24) => Some(hour),
            (Self::Evening, 12) => Some(24),
            _ => None,
        }
    }
}

/// A time of day; 24:00 is the next day's 00:00.
#[derive(Debug, Clone, Copy)]
struct Clock {
    time: NaiveTime,
    next_day: bool,
    has_seconds: bool,
}

/// Reads a text from left to right.
#[derive(Debug, Clone, Copy)]
struct Pen<'t> {
    rest: &'t str,
}

impl Pen<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes the first of these words that comes, in ASCII letters of any case.
    fn any(&mut self, words: &[&'static str]) -> Option<&'static str> {
        let comes = |word: &&&str| self.rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        let word = words.iter().find(comes).copied()?;
        self.rest = &self.rest[word.len()..];
        Some(word)
    }

    /// Takes `least` to `most` digits.
    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if !(least..=most).contains(&digits) {
            return None;
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        number.parse().ok()
    }

    /// A day with or without a time of day, or a time of day alone.
    fn point(&mut self) -> Result<Point, Wrong> {
        let Some(date) = self.date()? else {
            let clock = self.clock()?.ok_or(Wrong::Unreadable)?;
            return Ok(Point::Clock(clock.time));
        };
        self.weekday(date)?;
        let before = *self;
        let with_t = self.any(&["T"]).is_some();
        self.space();
        let Some(clock) = self.clock()? else {
            // What follows may be the end of a range.
            *self = before;
            return Ok(Point::Date(date));
        };
        let date = if clock.next_day { date.succ_opt().ok_or(Wrong::NoSuchDay)? } else { date };
        let wall = date.and_time(clock.time);
        match self.offset(with_t || clock.has_seconds) {
            Some(offset) => exact(wall, offset).ok_or(Wrong::Unreadable),
            None => Ok(Point::Wall(wall)),
        }
    }

    fn date(&mut self) -> Result<Option<NaiveDate>, Wrong> {
        let start = *self;
        let ymd = |y: u32, m, d| {
            let year = i32::try_from(y).ok().filter(|year| *year > 0);
            year.and_then(|year| NaiveDate::from_ymd_opt(year, m, d)).ok_or(Wrong::NoSuchDay).map(Some)
        };
        if let Some(all) = self.number(8, 8) {
            return ymd(all / 10_000, all / 100 % 100, all % 100);
        }
        let Some(first) = self.number(1, 4) else { return Ok(None) };
        let digits = start.rest.len() - self.rest.len();
        self.space();
        let Some(joint) = self.any(&["-", "/", ".", "年", "月"]) else {
            *self = start;
            return Ok(None);
        };
        if joint == "月" {
            return Err(if digits <= 2 { Wrong::NoYear } else { Wrong::Unreadable });
        }
        self.space();
        let second = self.number(1, 2).ok_or(Wrong::Unreadable)?;
        self.space();
        let closed = if joint == "年" { self.any(&["月"]) } else { self.any(&[joint]) };
        if closed.is_none() {
            return Err(if digits <= 2 && joint != "年" { Wrong::NoYear } else { Wrong::Unreadable });
        }
        self.space();
        let third = *self;
        let day = self.number(1, 2);
        if digits <= 2 {
            let long = { third }.number(4, 4).is_some();
            return Err(if long { Wrong::DayOrMonth } else { Wrong::ShortYear });
        }
        let (4, Some(day)) = (digits, day) else { return Err(Wrong::Unreadable) };
        if joint == "年" {
            self.space();
            self.any(&["日", "号"]).ok_or(Wrong::Unreadable)?;
        }
        ymd(first, second, day)
    }

    /// A weekday beside a date has to be the right one.
    fn weekday(&mut self, date: NaiveDate) -> Result<(), Wrong> {
        let before = *self;
        self.space();
        let closing = self.any(&["(", "[", "【"]).map(|open| match open {
            "(" => ")",
            "[" => "]",
            _ => "】",
        });
        self.space();
        let named = match self.any(&["周", "星期", "礼拜"]) {
            Some(_) => self.any(&["一", "二", "三", "四", "五", "六", "日", "天"]).map(|day| match day {
                "一" => Weekday::Mon,
                "二" => Weekday::Tue,
                "三" => Weekday::Wed,
                "四" => Weekday::Thu,
                "五" => Weekday::Fri,
                "六" => Weekday::Sat,
                _ => Weekday::Sun,
            }),
            None => {
                let letters = self.rest.bytes().take_while(u8::is_ascii_alphabetic).count();
                let (word, rest) = self.rest.split_at(letters);
                let day = word.parse().ok();
                self.rest = if day.is_some() { rest } else { self.rest };
                day
            }
        };
        let Some(named) = named else {
            *self = before;
            return Ok(());
        };
        self.space();
        if closing.is_some_and(|closing| self.any(&[closing]).is_none()) {
            return Err(Wrong::Unreadable);
        }
        if named == date.weekday() { Ok(()) } else { Err(Wrong::OtherWeekday(date.weekday())) }
    }

    fn part(&mut self) -> Option<Part> {
        let before = *self;
        self.space();
        let found = PARTS.iter().find(|(word, _)| self.any(&[*word]).is_some()).map(|(_, part)| *part);
        if found.is_none() {
            *self = before;
        }
        found
    }

    fn clock(&mut self) -> Result<Option<Clock>, Wrong> {
        let before = *self;
        let part = self.part();
        self.space();
        let Some(hour) = self.number(1, 2) else {
            *self = before;
            return if part.is_some() { Err(Wrong::Unreadable) } else { Ok(None) };
        };
        let (mut minute, mut second) = (0, None);
        match self.any(&[":", "点", "时"]) {
            Some(":") => {
                minute = self.number(2, 2).ok_or(Wrong::Unreadable)?;
                if self.any(&[":"]).is_some() {
                    second = Some(self.number(2, 2).ok_or(Wrong::Unreadable)?);
                    self.fraction();
                }
            }
            Some(_) => {
                self.any(&["钟", "整"]);
                if self.any(&["半"]).is_some() {
                    minute = 30;
                } else if let Some(n) = self.number(1, 2) {
                    minute = n;
                    if self.any(&["分"]).is_some()
                        && let Some(n) = self.number(1, 2)
                    {
                        self.any(&["秒"]).ok_or(Wrong::Unreadable)?;
                        second = Some(n);
                    }
                }
            }
            // «9 AM» and «下午3» are no times that are listed, and a number alone is none.
            None => {
                *self = before;
                return Ok(None);
            }
        }
        let part = match part {
            Some(part) => Some(part),
            None => self.part(),
        };
        let hour = part.map_or(Some(hour), |part| part.hour(hour)).ok_or(Wrong::NoSuchClock)?;
        let next_day = hour == 24 && minute == 0 && second.unwrap_or(0) == 0;
        let time = NaiveTime::from_hms_opt(if next_day { 0 } else { hour }, minute, second.unwrap_or(0));
        let time = time.ok_or(Wrong::NoSuchClock)?;
        Ok(Some(Clock { time, next_day, has_seconds: second.is_some() }))
    }

    /// Parts of a second say nothing here.
    fn fraction(&mut self) {
        let Some(rest) = self.rest.strip_prefix('.') else { return };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if (1..=9).contains(&digits) {
            self.rest = &rest[digits..];
        }
    }

    /// The offset of an ISO time. A minus after a time of day that has no seconds, and no `T` before it, joins a range.
    fn offset(&mut self, minus_too: bool) -> Option<FixedOffset> {
        let before = *self;
        let sign = match self.any(&["Z", "+", "-", "−"])? {
            "Z" => return FixedOffset::east_opt(0),
            "+" => 1,
            _ if minus_too => -1,
            _ => {
                *self = before;
                return None;
            }
        };
        let read = self.number(4, 4).map(|n| (n / 100, n % 100)).or_else(|| {
            let hours = self.number(2, 2)?;
            let minutes = if self.any(&[":"]).is_some() { self.number(2, 2)? } else { 0 };
            Some((hours, minutes))
        });
        // «10:00:00-11:30:00» is a range after all.
        let ends = !self.rest.starts_with(':');
        let seconds =
            read.filter(|(h, m)| *h <= 14 && *m < 60 && ends).and_then(|(h, m)| i32::try_from(h * 3_600 + m * 60).ok());
        let offset = seconds.and_then(|seconds| FixedOffset::east_opt(sign * seconds));
        if offset.is_none() {
            *self = before;
        }
        offset
    }

    /// The end of a range may leave out what its beginning has said.
    fn end_of_range(&mut self) -> bool {
        let before = *self;
        if let Ok(Some(_)) = self.clock() {
            return true;
        }
        *self = before;
        let month = self.number(1, 2).is_some() && self.any(&["月"]).is_some();
        if !month {
            *self = before;
        }
        let day = self.number(1, 2).is_some() && self.any(&["日", "号"]).is_some();
        if day {
            self.space();
            return self.clock().is_ok();
        }
        *self = before;
        false
    }
}

fn exact(wall: NaiveDateTime, offset: FixedOffset) -> Option<Point> {
    let at: DateTime<FixedOffset> = wall.and_local_timezone(offset).single()?;
    Some(Point::Exact(at.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::timing::rfc3339;
    use chrono::Timelike;
    use proptest::prelude::*;

    /// What was read, in short: a day, a wall time, an instant with `Z`, or a time of day; `~` for a range, `#` for a serial day.
    fn said(read: Read) -> String {
        let point = match read.point {
            Point::Date(date) => date.to_string(),
            Point::Wall(wall) if wall.second() == 0 => wall.format("%Y-%m-%d %H:%M").to_string(),
            Point::Wall(wall) => wall.format("%Y-%m-%d %H:%M:%S").to_string(),
            Point::Exact(at) => rfc3339(at).replace(".000Z", "Z"),
            Point::Clock(time) => time.format("%H:%M").to_string(),
        };
        format!("{point}{}{}", if read.of_range { "~" } else { "" }, if read.serial { "#" } else { "" })
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (written, expected) in [
            ("2031-3-1", "2031-03-01"),
            ("2031/3/1", "2031-03-01"),
            ("2031.3.1", "2031-03-01"),
            ("2031年3月1日", "2031-03-01"),
            ("2031年3月1号", "2031-03-01"),
            ("2031 年 3 月 1 日", "2031-03-01"),
            ("20310301", "2031-03-01"),
            ("2032-02-29", "2032-02-29"),
            ("2031-05-01 10:00", "2031-05-01 10:00"),
            ("2031/5/1 9:05", "2031-05-01 09:05"),
            ("2031.5.1 10:00:30", "2031-05-01 10:00:30"),
            ("2031-05-01T10:00", "2031-05-01 10:00"),
            ("2031-05-01T10:00:00.123", "2031-05-01 10:00"),
            ("2031-05-01T10:00:00+08:00", "2031-05-01T02:00:00Z"),
            ("2031-05-01T10:00:00+0800", "2031-05-01T02:00:00Z"),
            ("2031-05-01 10:00+08", "2031-05-01T02:00:00Z"),
            ("2031-05-01T02:00:00Z", "2031-05-01T02:00:00Z"),
            ("2031-05-01T10:00-05:00", "2031-05-01T15:00:00Z"),
            ("2031-05-01 10:00:00-05:00", "2031-05-01T15:00:00Z"),
            ("20310501 10:00", "2031-05-01 10:00"),
            ("２０３１／５／１　１０：００", "2031-05-01 10:00"),
            ("2031年5月1日上午10:00", "2031-05-01 10:00"),
            ("2031年5月1日 下午3点", "2031-05-01 15:00"),
            ("2031年5月1日下午 3点半", "2031-05-01 15:30"),
            ("2031年5月1日 9点5分", "2031-05-01 09:05"),
            ("2031年5月1日9时5分", "2031-05-01 09:05"),
            ("2031-05-01 9点30", "2031-05-01 09:30"),
            ("2031-05-01 凌晨2:30", "2031-05-01 02:30"),
            ("2031-05-01 中午12:00", "2031-05-01 12:00"),
            ("2031-05-01 中午1点", "2031-05-01 13:00"),
            ("2031-05-01 晚上8点", "2031-05-01 20:00"),
            ("2031-05-01 晚上12点", "2031-05-02 00:00"),
            ("2031-05-01 凌晨12点", "2031-05-01 00:00"),
            ("2031-05-01 上午12:30", "2031-05-01 00:30"),
            ("2031-05-01 下午14:00", "2031-05-01 14:00"),
            ("2031-05-01 12:05 am", "2031-05-01 00:05"),
            ("2031-05-01 12:05PM", "2031-05-01 12:05"),
            ("2031-05-01 3:00 p.m.", "2031-05-01 15:00"),
            ("2031-05-01 AM 9:00", "2031-05-01 09:00"),
            ("2031-12-31 24:00", "2032-01-01 00:00"),
            ("2031-03-01（周六） 10:00", "2031-03-01 10:00"),
            ("2031年3月1日（星期六）10:00", "2031-03-01 10:00"),
            ("2031-03-01 (Sat) 10:00", "2031-03-01 10:00"),
            ("2031-03-02 周日 10:00", "2031-03-02 10:00"),
            ("2031-03-01 14:00-16:00", "2031-03-01 14:00~"),
            ("2031-03-01 14:00~16:00", "2031-03-01 14:00~"),
            ("2031-03-01 14:00～16:00", "2031-03-01 14:00~"),
            ("2031-03-01 14:00 至 16:00", "2031-03-01 14:00~"),
            ("2031-03-01 22:00-02:00", "2031-03-01 22:00~"),
            ("2031-03-01 09:00:00-10:30:00", "2031-03-01 09:00~"),
            ("2031-03-01 14:00—2031-03-02 16:00", "2031-03-01 14:00~"),
            ("2031年3月1日下午2点至4点", "2031-03-01 14:00~"),
            ("2031年3月1日至3月5日", "2031-03-01~"),
            ("50000", "2036-11-21#"),
            ("50000.5", "2036-11-21 12:00#"),
            ("50000.5000116", "2036-11-21 12:00:01#"),
            ("36526", "2000-01-01#"),
            ("73050", "2099-12-31#"),
            ("9:05", "09:05"),
            ("下午3:00", "15:00"),
        ] {
            let read = text(written).unwrap_or_else(|why| panic!("{written}: {why}"));
            assert_eq!(said(read), expected, "{written}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_with_what_to_write() {
        for (written, why) in [
            ("5/6", "time_without_year"),
            ("5月1日", "time_without_year"),
            ("5月1日 10:00", "time_without_year"),
            ("5-6 10:00", "time_without_year"),
            ("31-5-1", "time_with_short_year"),
            ("31年5月1日", "time_with_short_year"),
            ("5/6/31", "time_with_short_year"),
            ("5/6/2031", "time_day_or_month"),
            ("5/6/2031 10:00", "time_day_or_month"),
            ("25/12/2031", "time_day_or_month"),
            ("2031-02-29", "time_no_such_day"),
            ("2031-02-30 10:00", "time_no_such_day"),
            ("20311301", "time_no_such_day"),
            ("0000-01-01", "time_no_such_day"),
            ("2031-05-01 25:00", "time_no_such_clock"),
            ("2031-05-01 24:01", "time_no_such_clock"),
            ("2031-05-01 10:60", "time_no_such_clock"),
            ("2031-05-01 上午13:00", "time_no_such_clock"),
            ("2031-05-01 中午9:00", "time_no_such_clock"),
            ("2031-05-01 13:00 AM", "time_no_such_clock"),
            ("2031-03-01（周日） 10:00", "time_other_weekday"),
            ("2031-03-01 (Sun)", "time_other_weekday"),
            ("2031-05-01 10", "time_unreadable"),
            ("2031-05-01 10:0", "time_unreadable"),
            ("2031-05-01 下午", "time_unreadable"),
            ("2031-05-01 10:00 x", "time_unreadable"),
            ("2031-05-01 10:00-", "time_unreadable"),
            ("2031-05", "time_unreadable"),
            ("2031/5-1", "time_unreadable"),
            ("明天", "time_unreadable"),
            ("", "time_unreadable"),
            ("36525", "time_unreadable"),
            ("73051", "time_unreadable"),
            ("123456", "time_unreadable"),
        ] {
            match text(written) {
                Err(message) => assert_eq!(message.key(), why, "{written}: {message}"),
                Ok(read) => panic!("{written} was read as {}", said(read)),
            }
        }
        assert!(text(&"1".repeat(81)).is_err());
    }

    #[test]
    fn cells_of_a_spreadsheet_are_read_by_what_they_are() {
        let number = |text: &str, value| Cell::Number { text: text.into(), value };
        let ten = 50_000.0 + 10.0 / 24.0;
        for (cell, expected) in [
            (number("50000.4167", ten), Ok(Some("2036-11-21 10:00#"))),
            (number("50000.4167", ten - 1e-8), Ok(Some("2036-11-21 10:00#"))),
            (number("50001", 50_000.999_999_999), Ok(Some("2036-11-22#"))),
            (number("20,310,301", 20_310_301.0), Ok(Some("2031-03-01"))),
            (number("5", 5.0), Err(())),
            (number("∞", f64::INFINITY), Err(())),
            (number("NaN", f64::NAN), Err(())),
            (Cell::Blank, Ok(None)),
            (Cell::Bool(true), Err(())),
        ] {
            let read = super::cell(&cell).map(|read| read.map(said)).map_err(|_| ());
            assert_eq!(read, expected.map(|read| read.map(str::to_owned)), "{cell:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_there_it_is_read_or_refused(
            written in "[0-9]{0,4}[-/.年月日号时点半分:T ~至（）周六上下午APMZ+0-9]{0,16}|.{0,90}",
            value in proptest::num::f64::ANY,
        ) {
            if let Err(why) = text(&written) {
                prop_assert!(why.to_string().len() > 10);
            }
            let _ = cell(&Cell::Number { text: written, value });
        }

        #[test]
        fn a_wall_time_that_is_written_is_the_one_that_is_read(at in 0_i64..4_102_444_800) {
            let wall = DateTime::from_timestamp(at, 0).expect("a time").naive_utc();
            for format in ["%Y-%m-%d %H:%M:%S", "%Y/%m/%dT%H:%M:%S", "%Y年%m月%d日%H时%M分%S秒", "%Y.%m.%d %H:%M:%S"] {
                let written = wall.format(format).to_string();
                prop_assert_eq!(text(&written).map(|read| read.point), Ok(Point::Wall(wall)), "{}", written);
            }
        }
    }
}
