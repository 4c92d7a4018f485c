//! Kuaishou's rules for the values of a template's fields.
//!
//! A key is its type and a number of two digits, counted for each type (`thing01`). Source: the table of `sendMessage`, official, of
//! 2024-05-28. No type has a time of day: a time goes into a `thing`.

use crate::{
    domain::template::{FieldRules, Numbers, Profile, field_type},
    platform::characters::{at_most, digits, is_han, length, only, shown},
    words::{Message, say},
};
use chrono::{Datelike, NaiveDate};

/// The rules, as the domain asks them.
pub const RULES: FieldRules =
    FieldRules { types: KNOWN_TYPES, numbers: Numbers::OfType, check, length, most: 20, characters: None };

/// The types that have a rule; a key of another type is taken as it is.
const KNOWN_TYPES: &[&str] =
    &["thing", "number", "letter", "symbol", "string", "date", "amount", "phone", "licensePlate", "status"];

fn check(key: &str, value: &str, profile: Profile) -> Result<(), Message> {
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
            only(|c| "+-*/".contains(c)).map_err(|found| say!("field_of_arithmetic", found = found))?;
            at_most(5)
        }
        "string" => {
            let found = only(|c| c.is_ascii_alphanumeric());
            found.map_err(|found| say!("field_of_letters_and_digits", found = found))?;
            at_most(32)
        }
        // What is sent is written anew by `written`, so a date may come as people write it.
        "date" => match date(value).filter(|_| profile == Profile::Strict || is_as_documented(value)) {
            Some(_) => Ok(()),
            None => Err(say!("field_no_day", value = value)),
        },
        "amount" => {
            only(|c| c.is_ascii_digit()).map_err(|found| say!("field_of_bare_digits", found = found))?;
            at_most(20)
        }
        "phone" => {
            let good = value.len() == 11 && value.bytes().all(|b| b.is_ascii_digit());
            if good { Ok(()) } else { Err(say!("field_no_mobile")) }
        }
        "licensePlate" => {
            let of_plates = |c: char| is_han(c) || c.is_ascii_alphanumeric();
            only(of_plates).map_err(|found| say!("field_of_car_number", found = found))?;
            let found = length(value);
            if (7..=8).contains(&found) {
                Ok(())
            } else {
                Err(say!("field_of_length", found = found, least = 7, most = 8))
            }
        }
        "status" => {
            only(is_han).map_err(|found| say!("field_of_han", found = found))?;
            at_most(5)
        }
        _ => Ok(()),
    }
}

/// The value as it is sent: a date as the documents write it (`2026年03月01号`), with `day` at its end; anything else as it is.
pub fn written(key: &str, value: String, day: &str) -> String {
    match date(&value) {
        Some(date) if field_type(key) == "date" => {
            format!("{:04}年{:02}月{:02}{day}", date.year(), date.month(), date.day())
        }
        _ => value,
    }
}

/// `2026年3月1日`, with 号 or 日, and with or without zeros.
fn date(value: &str) -> Option<NaiveDate> {
    let (year, rest) = value.strip_suffix(['号', '日'])?.split_once('年')?;
    let (month, day) = rest.split_once('月')?;
    let number = |text: &str, lengths: std::ops::RangeInclusive<usize>| -> Option<u32> {
        let shaped = lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if shaped { text.parse().ok() } else { None }
    };
    let year = i32::try_from(number(year, 4..=4)?).ok()?;
    NaiveDate::from_ymd_opt(year, number(month, 1..=2)?, number(day, 1..=2)?)
}

/// Whether a date has all its zeros.
fn is_as_documented(value: &str) -> bool {
    value.chars().count() == "xxxx年xx月xx号".chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_takes_what_the_platform_takes_and_refuses_the_rest() {
        let twenty = "一二三四五六七八九十一二三四五六七八九十";
        let table: &[(&str, &str, bool)] = &[
            ("thing01", twenty, true),
            ("thing01", &format!("{twenty}零"), false),
            ("thing01", " ", false),
            ("thing01", "两行\n文字", false),
            ("thing02", "2026年3月1日 10:00", true),
            ("number01", "28.5", true),
            ("number01", "28.5.1", false),
            ("number01", "二八", false),
            ("number01", &"1".repeat(32), true),
            ("number01", &"1".repeat(33), false),
            ("letter01", "abcXYZ", true),
            ("letter01", "abc1", false),
            ("symbol01", "+-*/+", true),
            ("symbol01", "+-*/+-", false),
            ("symbol01", "!", false),
            ("string01", "NO2027", true),
            ("string01", "NO.2027", false),
            ("string01", &"a".repeat(33), false),
            ("date01", "2026年03月01号", true),
            ("date01", "2026年3月1日", true),
            ("date01", "2026年02月30号", false),
            ("date01", "2026年03月01", false),
            ("date01", "26年3月1日", false),
            ("date01", "2026年3月1日 10:00", false),
            ("date01", "2026-03-01", false),
            ("amount01", "28", true),
            ("amount01", "28.50", false),
            ("amount01", "¥28", false),
            ("amount01", &"1".repeat(20), true),
            ("amount01", &"1".repeat(21), false),
            ("phone01", "13800138000", true),
            ("phone01", "1380013800", false),
            ("phone01", "138-0013-800", false),
            ("licensePlate01", "粤A12345", true),
            ("licensePlate01", "粤AD12345", true),
            ("licensePlate01", "粤A1234", false),
            ("licensePlate01", "粤A-12345", false),
            ("status01", "配送中", true),
            ("status01", "正在配送中了", false),
            ("status01", "OK", false),
            ("enum01", "whatever", true),
        ];
        for (key, value, accepted) in table {
            let verdict = check(key, value, Profile::Strict);
            assert_eq!(verdict.is_ok(), *accepted, "{key} = {value:?}: {verdict:?}");
        }
    }

    #[test]
    fn a_date_leaves_as_the_documents_write_it() {
        let table = [
            ("date01", "2026年3月1日", "号", "2026年03月01号"),
            ("date01", "2026年12月31号", "日", "2026年12月31日"),
            ("date01", "soon", "号", "soon"),
            ("thing01", "2026年3月1日", "号", "2026年3月1日"),
        ];
        for (key, value, day, told) in table {
            let sent = written(key, value.to_owned(), day);
            assert_eq!(sent, told, "{key} = {value}");
            assert_eq!(check(key, &sent, Profile::Platform).is_ok(), value != "soon", "{sent}");
        }
        assert!(check("date01", "2026年3月1日", Profile::Platform).is_err(), "the sandbox is a strict judge");
    }
}
