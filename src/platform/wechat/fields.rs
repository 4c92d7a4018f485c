//! WeChat's rules for the values of a template's fields.
//!
//! A keyword's type is the prefix of its key (`thing1` → `thing`). Source: the parameter table of `api_sendmessage`, official, read 2026,
//! and, where reports disagree with it, the stricter reading.

use crate::{
    domain::template::{FieldRules, Profile, field_type},
    platform::characters::{at_most, digits, is_han, length, only, shown},
    words::{Message, say},
};

/// The rules, as the domain asks them.
pub const RULES: FieldRules = FieldRules { types: KNOWN_TYPES, check, length, most: 20, characters: None };

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

fn is_clock(s: &str) -> bool {
    let parts: Vec<&str> = s.split(':').collect();
    matches!(parts.len(), 2 | 3)
        && parts
            .iter()
            .zip([24, 60, 60])
            .enumerate()
            .all(|(i, (p, end))| (p.len() == 2 || (i == 0 && p.len() == 1)) && p.parse::<u32>().is_ok_and(|n| n < end))
}

fn is_date(s: &str) -> bool {
    let parts: Vec<&str> = if s.contains(['年', '月']) {
        if !s.ends_with(['日', '月']) {
            return false;
        }
        s.split_inclusive(['年', '月', '日']).map(|p| p.trim_end_matches(['年', '月', '日'])).collect()
    } else {
        let Some(joint) = ['-', '/', '.'].into_iter().find(|j| s.contains(*j)) else { return false };
        s.split(joint).collect()
    };
    let number = |p: &str| (!p.is_empty() && p.len() <= 4).then(|| p.parse::<i32>().ok()).flatten();
    let Some(numbers) = parts.iter().map(|p| number(p)).collect::<Option<Vec<i32>>>() else { return false };
    let (year, month, day) = match (numbers.as_slice(), parts[0].len()) {
        ([y, m, d], 4) => (*y, *m, *d),
        ([y, m], 4) if !s.ends_with('日') => (*y, *m, 1),
        ([m, d], 1 | 2) => (2024, *m, *d),
        _ => return false,
    };
    u32::try_from(month)
        .is_ok_and(|m| u32::try_from(day).is_ok_and(|d| chrono::NaiveDate::from_ymd_opt(year, m, d).is_some()))
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
