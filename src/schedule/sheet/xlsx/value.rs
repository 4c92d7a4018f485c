//! What a cell's stored number means by its format.

use super::{
    super::cell::{Cell, Shows},
    format::Format,
    number::general,
};
use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

/// The last day that a spreadsheet knows is in 9999.
const MAX_DAY: f64 = 2_958_466.0;
/// A spreadsheet keeps fifteen digits; so much has sixteen.
const SIXTEEN_DIGITS: f64 = 1e15;

/// The cell of a number.
pub fn number(value: f64, format: &Format, from_1904: bool) -> Cell {
    if let Format::Date { shows_time } = format
        && let Some(cell) = serial(value, *shows_time, from_1904)
    {
        return cell;
    }
    if value.abs() >= SIXTEEN_DIGITS {
        return Cell::Damaged(format!("{value}"));
    }
    Cell::Number { text: format.show(value).unwrap_or_else(|| general(value)), value }
}

/// The cell of a serial day. It is a binary fraction, so ten o'clock is stored as 09:59:59.999 or so: it is rounded to the second.
fn serial(value: f64, shows_time: bool, from_1904: bool) -> Option<Cell> {
    if !(0.0..MAX_DAY).contains(&value) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
    let seconds = (value * 86_400.0).round() as i64;
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    if day == 0 && value < 1.0 {
        let at = NaiveDate::from_ymd_opt(1899, 12, 31)?.and_time(time(second)?);
        return Some(Cell::Time { at, shows: Shows::Time });
    }
    // The first spreadsheet took 1900 for a leap year, and all others still do.
    let first = match (from_1904, day) {
        (true, _) => NaiveDate::from_ymd_opt(1904, 1, 1)?,
        (false, 60) => return Some(Cell::Text("1900-02-29".to_owned())),
        (false, ..60) => NaiveDate::from_ymd_opt(1899, 12, 31)?,
        (false, _) => NaiveDate::from_ymd_opt(1899, 12, 30)?,
    };
    let date = first.checked_add_days(Days::new(u64::try_from(day).ok()?))?;
    let shows = if shows_time || second != 0 { Shows::DateTime } else { Shows::Date };
    Some(Cell::Time { at: date.and_time(time(second)?), shows })
}

fn time(second: i64) -> Option<NaiveTime> {
    NaiveTime::from_num_seconds_from_midnight_opt(u32::try_from(second).ok()?, 0)
}

/// The cell of a date that is stored as ISO 8601, as some programs write it.
pub fn iso(text: &str) -> Cell {
    let text = text.trim();
    let bare = text.trim_end_matches('Z');
    if let Ok(time) = NaiveTime::parse_from_str(bare, "%H:%M:%S%.f") {
        let day = NaiveDate::from_ymd_opt(1899, 12, 31).expect("a day");
        return rounded(day.and_time(time), Shows::Time);
    }
    if let Ok(date) = NaiveDate::parse_from_str(bare, "%Y-%m-%d") {
        return rounded(date.and_time(NaiveTime::MIN), Shows::Date);
    }
    match NaiveDateTime::parse_from_str(bare, "%Y-%m-%dT%H:%M:%S%.f") {
        Ok(at) if at.time() == NaiveTime::MIN => rounded(at, Shows::Date),
        Ok(at) => rounded(at, Shows::DateTime),
        Err(_) => Cell::Text(text.to_owned()),
    }
}

fn rounded(at: NaiveDateTime, shows: Shows) -> Cell {
    let nanos = i64::from(at.and_utc().timestamp_subsec_nanos());
    let up = if nanos >= 500_000_000 { 1_000_000_000 } else { 0 };
    let at = at.checked_add_signed(TimeDelta::nanoseconds(up - nanos)).unwrap_or(at);
    Cell::Time { at, shows }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_by_its_format() {
        let table = [
            (0.3, "General", "0.3"),
            (72_988.0, "00000000", "00072988"),
            (0.15, "0%", "15%"),
            // Dates: 47 908 is 2031-03-01.
            (47_908.0, "yyyy-mm-dd", "2031-03-01"),
            (47_908.416_666_666_664, "yyyy-mm-dd", "2031-03-01 10:00"),
            (47_908.416_666_99, "yyyy-mm-dd", "2031-03-01 10:00"),
            (47_908.416_666_4, "yyyy-mm-dd hh:mm", "2031-03-01 10:00"),
            (47_908.417_013_89, "yyyy-mm-dd hh:mm", "2031-03-01 10:00:30"),
            (47_908.0, "yyyy-mm-dd hh:mm", "2031-03-01 00:00"),
            (47_908.999_999_9, "yyyy-mm-dd", "2031-03-02"),
            (0.416_666_666_666_666_7, "h:mm", "10:00"),
            (0.0, "h:mm", "00:00"),
            (0.5, "yyyy-mm-dd", "12:00"),
            (1.5, "h:mm", "1900-01-01 12:00"),
            (59.0, "yyyy-mm-dd", "1900-02-28"),
            (60.0, "yyyy-mm-dd", "1900-02-29"),
            (61.0, "yyyy-mm-dd", "1900-03-01"),
            (2_958_465.0, "yyyy-mm-dd", "9999-12-31"),
            (2_958_466.0, "yyyy-mm-dd", "2958466"),
            (-1.0, "yyyy-mm-dd", "-1"),
            (20_310_301.0, "yyyy-mm-dd", "20310301"),
        ];
        for (value, code, text) in table {
            assert_eq!(number(value, &Format::of(code), false).text(), text, "{value} as {code}");
        }
        assert_eq!(number(46_446.0, &Format::of("yyyy-mm-dd"), true).text(), "2031-03-01");
        assert_eq!(number(0.0, &Format::of("h:mm"), true).text(), "00:00");
    }

    #[test]
    fn a_number_of_sixteen_digits_is_damaged() {
        let table = [(999_999_999_999_999.0, false), (1e15, true), (-1.234_567_890_123_456_7e17, true), (1e300, true)];
        for (value, damaged) in table {
            let cell = number(value, &Format::of("0"), false);
            assert_eq!(matches!(cell, Cell::Damaged(_)), damaged, "{value}");
        }
        assert_eq!(number(123_456_789_012_345_680.0, &Format::General, false).text(), "123456789012345680");
    }

    #[test]
    fn a_date_in_words_is_read() {
        for (text, shown) in [
            ("2031-03-01", "2031-03-01"),
            ("2031-03-01T10:00:00", "2031-03-01 10:00"),
            ("2031-03-01T09:59:59.999", "2031-03-01 10:00"),
            ("2031-03-01T00:00:00Z", "2031-03-01"),
            ("10:00:00", "10:00"),
            ("soon", "soon"),
        ] {
            assert_eq!(iso(text).text(), shown);
        }
    }
}
