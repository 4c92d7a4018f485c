//! WeChat's rules for the values of a template's fields.
//!
//! A keyword's type is the prefix of its key (`thing1` → `thing`). Source: the parameter table of `api_sendmessage`, official, read 2026,
//! and, where reports disagree with it, the stricter reading.

use crate::{
    domain::template::{FieldRules, Numbers, Profile, field_type},
    platform::characters::{at_most, digits, is_han, length, only, shown},
    words::{Message, say},
};
use chrono::NaiveDate;
use std::ops::RangeInclusive;

/// The rules, as the domain asks them.
pub const RULES: FieldRules =
    FieldRules { types: KNOWN_TYPES, numbers: Numbers::Any, check, length, most: 20, characters: None };

/// Checks one value against the rule of its key's type. Unknown types have no local rule.
fn check(key: &str, value: &str, profile: Profile) -> Result<(), Message> {
    let strict = profile == Profile::Strict;
    shown(value)?;
    let at_most = |most| at_most(value, most);
    let only = |allowed| only(value, allowed);
    match field_type(key) {
        "thing" => at_most(20),
        "number" => {
            only(|c| c.is_ascii_digit() || c == '.').map_err(|found| say!("field_of_digits", found = found))?;
            digits(value, 32)
        }
        "letter" => {
            only(|c| c.is_ascii_alphabetic()).map_err(|found| say!("field_of_letters", found = found))?;
            at_most(32)
        }
        "symbol" => {
            let symbol = |c: char| !is_han(c) && !c.is_ascii_alphanumeric();
            only(symbol).map_err(|found| say!("field_of_symbols", found = found))?;
            at_most(5)
        }
        "character_string" => {
            only(|c| !is_han(c)).map_err(|found| say!("field_without_han", found = found))?;
            at_most(32)
        }
        "time" => time_or_date(value, strict).map_err(|why| why.unwrap_or(say!("field_no_time", value = value))),
        "date" => time_or_date(value, false).map_err(|why| why.unwrap_or(say!("field_no_date", value = value))),
        "amount" => amount(value),
        "phone_number" => {
            let of_phones = |c: char| c.is_ascii_digit() || "+-() #*".contains(c);
            only(of_phones).map_err(|found| say!("field_of_phone_number", found = found))?;
            at_most(17)
        }
        "car_number" => {
            let of_plates = |c: char| is_han(c) || c.is_ascii_alphanumeric();
            only(of_plates).map_err(|found| say!("field_of_car_number", found = found))?;
            let inner = value.chars().skip(1).take(value.chars().count().saturating_sub(2));
            if let Some(found) = inner.into_iter().find(|c| is_han(*c)) {
                return Err(say!("field_car_number_middle", found = found));
            }
            at_most(8)
        }
        "name" => {
            if strict && let Some(found) = value.chars().find(char::is_ascii_digit) {
                return Err(say!("field_name_digit", found = found));
            }
            at_most(if value.chars().any(is_han) { 10 } else { 20 })
        }
        "phrase" => {
            only(is_han).map_err(|found| say!("field_of_han", found = found))?;
            at_most(5)
        }
        _ => Ok(()),
    }
}

/// The types that have a rule; a key of another type is taken as it is.
const KNOWN_TYPES: &[&str] = &[
    "thing",
    "number",
    "letter",
    "symbol",
    "character_string",
    "time",
    "date",
    "amount",
    "phone_number",
    "car_number",
    "name",
    "phrase",
    "enum",
    "enum_string",
    "const",
];

fn amount(value: &str) -> Result<(), Message> {
    let bare = value.strip_prefix(['¥', '￥', '$', '€', '£']).unwrap_or(value);
    let bare = bare.strip_suffix('元').unwrap_or(bare);
    digits(bare, 10).map_err(|_| say!("field_no_amount", value = value))
}

/// `POINT("~"POINT)?` with `POINT = DATE | TIME | DATE " " TIME`. In strict mode each `time` names hours and minutes,
/// because a bare date in a `time` keyword was refused in several reports. The error is `None` if it simply is none.
fn time_or_date(value: &str, clock_needed: bool) -> Result<(), Option<Message>> {
    if value.contains('～') {
        return Err(Some(say!("field_full_width_range")));
    }
    let points: Vec<&str> = value.split('~').map(str::trim).collect();
    if points.len() > 2 {
        return Err(Some(say!("field_range_of_many", value = value)));
    }
    for point in points {
        let (date, clock) = match point.split_once(' ') {
            Some((date, clock)) => (Some(date), Some(clock)),
            None if point.contains(':') => (None, Some(point)),
            None => (Some(point), None),
        };
        let good = date.is_none_or(is_date) && clock.is_none_or(is_clock);
        if !good || (clock_needed && clock.is_none()) {
            return Err(None);
        }
    }
    Ok(())
}

/// A number of so many digits, and nothing else: no sign, no space.
fn number(text: &str, lengths: RangeInclusive<usize>) -> Option<u32> {
    let shaped = lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if shaped { text.parse().ok() } else { None }
}

fn is_clock(s: &str) -> bool {
    let parts: Vec<&str> = s.split(':').collect();
    let part = |(i, (part, end)): (usize, (&&str, u32))| {
        let lengths = if i == 0 { 1..=2 } else { 2..=2 };
        number(part, lengths).is_some_and(|n| n < end)
    };
    matches!(parts.len(), 2 | 3) && parts.iter().zip([24, 60, 60]).enumerate().all(part)
}

fn is_date(s: &str) -> bool {
    let date = if s.contains(['年', '月']) { han_date(s) } else { joint_date(s) };
    // Without a year the 29 February may be meant.
    date.is_some_and(|(year, month, day)| NaiveDate::from_ymd_opt(year.unwrap_or(2024), month, day).is_some())
}

/// Year, month and day.
type Date = (Option<i32>, u32, u32);

/// `2019年10月1日`, without the year, or without the day.
fn han_date(s: &str) -> Option<Date> {
    let (year, rest) = match s.split_once('年') {
        Some((year, rest)) => (Some(i32::try_from(number(year, 4..=4)?).ok()?), rest),
        None => (None, s),
    };
    let (month, day) = rest.split_once('月')?;
    let day = match day {
        "" if year.is_some() => 1,
        _ => number(day.strip_suffix('日')?, 1..=2)?,
    };
    Some((year, number(month, 1..=2)?, day))
}

/// `2019-10-01`, `2019/10/1`, `2019.10`, `10-01`.
fn joint_date(s: &str) -> Option<Date> {
    let joint = ['-', '/', '.'].into_iter().find(|joint| s.contains(*joint))?;
    let parts: Vec<&str> = s.split(joint).collect();
    let year = |text| i32::try_from(number(text, 4..=4)?).ok();
    Some(match parts[..] {
        [y, m, d] => (Some(year(y)?), number(m, 1..=2)?, number(d, 1..=2)?),
        [y, m] if y.len() == 4 => (Some(year(y)?), number(m, 1..=2)?, 1),
        [m, d] => (None, number(m, 1..=2)?, number(d, 1..=2)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_takes_what_the_platform_takes_and_refuses_the_rest() {
        let twenty = "一二三四五六七八九十一二三四五六七八九十";
        let table: &[(&str, &str, bool)] = &[
            ("thing1", "周三读书会 A-1", true),
            ("thing1", twenty, true),
            ("thing1", &format!("{twenty}零"), false),
            ("thing1", " ", false),
            ("thing1", "\u{202e}\u{200b}", false),
            ("thing1", "两行\n文字", false),
            ("thing1", "tab\there", false),
            ("number1", "12345678901234567890123456789012", true),
            ("number1", "123456789012345678901234567890123", false),
            ("number1", "0.5", true),
            ("number1", ".5", false),
            ("number1", "1.2.3", false),
            ("letter2", "abcXYZ", true),
            ("letter2", "abc1", false),
            ("symbol3", "!?-+*", true),
            ("symbol3", "!?-+*#", false),
            ("symbol3", "a", false),
            ("character_string12", "NO.2027-0301", true),
            ("character_string12", "编号1", false),
            ("time2", "15:01", true),
            ("time2", "2019年10月1日 15:01", true),
            ("time2", "2021年10月25日 09:00~09:30", true),
            ("time2", "2021年10月25日 09:00～09:30", false),
            ("time2", "2019年10月1日", false),
            ("time2", "24:00", false),
            ("time2", "2027-02-30 10:00", false),
            ("time2", ":2020年4月12日", false),
            ("date4", "2019年10月1日", true),
            ("date4", "2019-10-01 15:01", true),
            ("date4", "2018.01", true),
            ("date4", "01-01", true),
            ("date4", "2018年13月1日", false),
            ("date4", "soon", false),
            ("time2", "2027/3/1 19:30", true),
            ("time2", "2027/+3/+1 19:30", false),
            ("time2", "2027/3/1 +9:30", false),
            ("time2", "2027/3/1 19:+3", false),
            ("time2", "2027月3年1日 19:30", false),
            ("time2", "2027年3日1月 19:30", false),
            ("time2", "3日1月 19:30", false),
            ("time2", "3月1日 19:30", true),
            ("time2", "年3月1日 19:30", false),
            ("time2", "2027年3月1日1日 19:30", false),
            ("time2", "2027-3-1-1 19:30", false),
            ("date4", "2018年01月", true),
            ("date4", "2月29日", true),
            ("date4", "01月", false),
            ("date4", "+1-01", false),
            ("thing1", "\u{3164}", false),
            ("thing1", "\u{2800}\u{2800}", false),
            ("thing1", "\u{115f}\u{ffa0}\u{fe0f}", false),
            ("thing1", "咖啡\u{3164}", true),
            ("thing1", "⠓⠊", true),
            ("thing1", "两行\u{2028}文字", false),
            ("thing1", "两段\u{2029}文字", false),
            ("amount5", "¥214.00", true),
            ("amount5", "16000元", true),
            ("amount5", "12345678901", false),
            ("amount5", "a lot", false),
            ("phone_number6", "+86-0766-66888866", true),
            ("phone_number6", "15隐私保护7851", false),
            ("car_number7", "粤A8Z888挂", true),
            ("car_number7", "粤A中8888", false),
            ("name8", "陈小明", true),
            ("name8", "订阅消息内容1", false),
            ("name8", "Abcdefghijklmnopqrst", true),
            ("name8", "Abcdefghijklmnopqrstu", false),
            ("phrase9", "配送中", true),
            ("phrase9", "正在配送中了", false),
            ("phrase9", "OK", false),
            ("enum_string2", "whatever", true),
        ];
        for (key, value, accepted) in table {
            let verdict = check(key, value, Profile::Strict);
            assert_eq!(verdict.is_ok(), *accepted, "{key} = {value:?}: {verdict:?}");
        }
    }
}
