//! Templates and their field rules: what a platform will refuse is refused here first, weeks earlier.
//!
//! A keyword's type is the prefix of its key (`thing1` → `thing`). The rules follow WeChat's parameter table
//! (`api_sendmessage`, official, read 2026) and, where reports disagree with it, the stricter reading.

use super::{Invalid, Millis, pointer, timing::cut};
use crate::words::Message;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use unicode_normalization::UnicodeNormalization;

/// How many sends one accept allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = TemplateKind)]
pub enum Kind {
    /// One accept, one send (WeChat `type` 2).
    OneTime,
    /// One accept, any number of sends until it is withdrawn (WeChat `type` 3).
    LongTerm,
}

/// What becomes of a doubt that neither a safe resend nor a receipt has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDoubt {
    /// It ends as `unconfirmed`, its consent used: nobody gets it twice.
    #[default]
    AssumeSent,
    /// It is sent again: nobody misses it, and some may get it twice.
    Resend,
    /// An operator decides, until its deadline.
    Ask,
}

/// The platform's approved form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Alias chosen in the configuration.
    pub name: Option<String>,
    /// The platform's own id (WeChat `priTmplId`).
    pub code: String,
    /// How many sends one accept allows.
    pub kind: Kind,
    /// Title as the user sees it.
    pub title: String,
    /// Key → label. The key's prefix is its type.
    pub fields: BTreeMap<String, String>,
    /// What becomes of a doubt.
    pub on_doubt: OnDoubt,
}

/// A template as the platform lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The platform's own id.
    pub code: String,
    /// Title as the user sees it.
    pub title: String,
    /// How many sends one accept allows, if the platform says so in a way that is known.
    pub kind: Option<Kind>,
    /// Key → label; empty where the platform's words could not be read, and then nothing follows from them.
    pub fields: BTreeMap<String, String>,
    /// What a field of an enumerated type may say.
    pub choices: BTreeMap<String, Vec<String>>,
}

/// All templates of an account, as its platform has listed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// When.
    pub read_at: Millis,
    /// In its order.
    pub templates: Vec<Listed>,
}

impl Listing {
    /// The entry of a template.
    pub fn find(&self, code: &str) -> Option<&Listed> {
        self.templates.iter().find(|listed| listed.code == code)
    }

    /// How a configured template is out of step with the platform's: one sentence each, with what to do; none if it is in step.
    pub fn differences(&self, configured: &Template) -> Vec<String> {
        match self.find(&configured.code) {
            Some(listed) => listed.differences(configured),
            None => vec![GONE.to_owned()],
        }
    }

    /// Why the platform would refuse a message of this template with these field values, if it would. Asked again just before a send,
    /// since the template may have changed since the reminder was accepted.
    pub fn refuses(&self, code: &str, data: &str) -> Option<String> {
        match self.find(code) {
            Some(listed) => listed.refuses(data),
            None => Some(GONE.to_owned()),
        }
    }
}

/// What is said of a template that the configuration does not name any more.
pub const UNCONFIGURED: &str =
    "it is not in the configuration any more: add it there again, or cancel what waits for it";

/// What is said of a template that its account does not list.
const GONE: &str =
    "the account has no such template any more, or never had: add it in the platform's console and correct its id";

impl Listed {
    /// Borrows what it reads: every message is looked at so.
    fn refuses(&self, data: &str) -> Option<String> {
        if self.fields.is_empty() {
            return None;
        }
        let data: BTreeMap<&str, &RawValue> = serde_json::from_str(data).ok()?;
        if let Some(key) = self.fields.keys().find(|key| !data.contains_key(key.as_str())) {
            return Some(format!(
                "the platform's template now has a field «{key}», which this message lacks: change its data"
            ));
        }
        if let Some(key) = data.keys().find(|key| !self.fields.contains_key(**key)) {
            return Some(format!("the platform's template has no field «{key}» any more: change the message's data"));
        }
        self.choices.keys().find_map(|key| {
            let value: String = serde_json::from_str(data.get(key.as_str())?.get()).ok()?;
            self.check_choice(key, &value).err().map(|why| format!("{key} {why}"))
        })
    }

    fn check_choice(&self, key: &str, value: &str) -> Result<(), String> {
        match self.choices.get(key) {
            Some(choices) if !choices.iter().any(|choice| choice == value) => {
                Err(format!("«{}» is not one of the template's values: {}", cut(value), choices.join(", ")))
            }
            _ => Ok(()),
        }
    }

    /// How the configured template differs in what matters to a send: one sentence each.
    fn differences(&self, configured: &Template) -> Vec<String> {
        let mut found: Vec<String> = self.other_kind(configured).into_iter().collect();
        if self.fields.is_empty() {
            return found;
        }
        let names = |keys: Vec<&String>| keys.into_iter().cloned().collect::<Vec<_>>().join(", ");
        let missing: Vec<&String> = self.fields.keys().filter(|key| !configured.fields.contains_key(*key)).collect();
        if !missing.is_empty() {
            found.push(format!("the platform's has also {}: add them to its fields", names(missing)));
        }
        let gone: Vec<&String> = configured.fields.keys().filter(|key| !self.fields.contains_key(*key)).collect();
        if !gone.is_empty() {
            found.push(format!("the platform's has no {}: take them out of its fields", names(gone)));
        }
        found
    }

    /// What is wrong with the configured kind. It decides what an accept is worth, so it is not simply taken over.
    fn other_kind(&self, configured: &Template) -> Option<String> {
        let word = match self.kind.filter(|kind| *kind != configured.kind)? {
            Kind::OneTime => "one-time",
            Kind::LongTerm => "long-term",
        };
        Some(format!("the platform says that it is {word}: correct its kind in the configuration"))
    }
}

/// How strictly values are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// At insert: refuses whatever any source reports as refused.
    Strict,
    /// What the platform itself is known to refuse; the sandbox answers by it.
    Platform,
}

impl Template {
    /// Its fields: the platform's where they have been read, else the configured ones.
    pub fn fields<'a>(&'a self, listing: Option<&'a Listing>) -> &'a BTreeMap<String, String> {
        let listed = listing.and_then(|listing| listing.find(&self.code)).map(|listed| &listed.fields);
        listed.filter(|fields| !fields.is_empty()).unwrap_or(&self.fields)
    }

    /// Checks and normalises (NFC, trimmed) one reminder's `data`: every field of the template, no other. By the platform's own list
    /// where it has been read, else by the configuration.
    ///
    /// # Errors
    /// The first field at fault, as `/data/<key>`; the template itself, as `/template`, if the platform does not have it so.
    pub fn check(
        &self,
        listing: Option<&Listing>,
        data: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Invalid> {
        let out_of_step = |why: String| Invalid::new("out_of_step", "/template", Message::text(why));
        let listed = match listing {
            Some(listing) => Some(listing.find(&self.code).ok_or_else(|| out_of_step(GONE.to_owned()))?),
            None => None,
        };
        if let Some(why) = listed.and_then(|listed| listed.other_kind(self)) {
            return Err(out_of_step(why));
        }
        let fields = self.fields(listing);
        for key in data.keys() {
            if !fields.contains_key(key) {
                let known: Vec<_> = fields.keys().map(String::as_str).collect();
                return Err(Invalid::new(
                    "unknown_field",
                    pointer(["data", key]),
                    Message::text(format!(
                        "the template has no field «{key}»; it has {}: remove or rename it",
                        known.join(", ")
                    )),
                ));
            }
        }
        let mut checked = BTreeMap::new();
        for (key, label) in fields {
            let value = data.get(key).ok_or_else(|| {
                Invalid::new(
                    "missing_field",
                    pointer(["data", key]),
                    Message::text(format!(
                        "the template's field «{key}» ({label}) is missing: every field must be given"
                    )),
                )
            })?;
            let value = normalise(value);
            check_value(key, &value, Profile::Strict)
                .and_then(|()| listed.map_or(Ok(()), |listed| listed.check_choice(key, &value)))
                .map_err(|why| {
                    Invalid::new("bad_field", pointer(["data", key]), Message::text(format!("{label} ({key}): {why}")))
                })?;
            checked.insert(key.clone(), value);
        }
        Ok(checked)
    }
}

/// NFC and trimmed, as the platform would show it.
pub fn normalise(value: &str) -> String {
    value.trim().nfc().collect()
}

/// The type in a key: `character_string12` → `character_string`.
pub fn field_type(key: &str) -> &str {
    key.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// Checks one value against the rule of its key's type. Unknown types have no local rule.
///
/// # Errors
/// A sentence: what was found and what is allowed.
pub fn check_value(key: &str, value: &str, profile: Profile) -> Result<(), String> {
    let strict = profile == Profile::Strict;
    if value.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
        return Err("is empty; give it a value".into());
    }
    if let Some(c) = value.chars().find(|c| c.is_control()) {
        return Err(format!("contains the control character U+{:04X}; line breaks and tabs are not allowed", c as u32));
    }
    // Emoji: how the platform counts them is unknown, so they count as UTF-16 units, the larger number.
    let length = value.encode_utf16().count();
    let at_most = |limit: usize| match length {
        n if n <= limit => Ok(()),
        n => Err(format!("has {n} characters; at most {limit} are allowed: shorten it")),
    };
    let only = |allowed: fn(char) -> bool, what: &str| match value.chars().find(|c| !allowed(*c)) {
        None => Ok(()),
        Some(c) => Err(format!("contains «{c}»; {what}")),
    };
    match field_type(key) {
        "thing" => at_most(20),
        "number" => {
            only(|c| c.is_ascii_digit() || c == '.', "only digits and one decimal point are allowed")?;
            digits(value, 32)
        }
        "letter" => {
            only(|c| c.is_ascii_alphabetic(), "only the letters A to Z are allowed")?;
            at_most(32)
        }
        "symbol" => {
            only(|c| !is_han(c) && !c.is_ascii_alphanumeric(), "only symbols are allowed")?;
            at_most(5)
        }
        "character_string" => {
            only(|c| !is_han(c), "only digits, letters and symbols are allowed, no Chinese characters")?;
            at_most(32)
        }
        "time" => time_or_date(value, strict, "a time like 15:01 or 2027年3月1日 15:01"),
        "date" => time_or_date(value, false, "a date like 2027年3月1日, with or without a time"),
        "amount" => amount(value),
        "phone_number" => {
            only(|c| c.is_ascii_digit() || "+-() #*".contains(c), "only digits and + - ( ) # * are allowed")?;
            at_most(17)
        }
        "car_number" => {
            only(
                |c| is_han(c) || c.is_ascii_alphanumeric(),
                "only Chinese characters, letters and digits are allowed",
            )?;
            let inner = value.chars().skip(1).take(value.chars().count().saturating_sub(2));
            if let Some(c) = inner.into_iter().find(|c| is_han(*c)) {
                return Err(format!("contains «{c}» in the middle; only the first and the last may be Chinese"));
            }
            at_most(8)
        }
        "name" => {
            if strict && let Some(c) = value.chars().find(char::is_ascii_digit) {
                return Err(format!("contains «{c}»; a name has no digits"));
            }
            at_most(if value.chars().any(is_han) { 10 } else { 20 })
        }
        "phrase" => {
            only(is_han, "only Chinese characters are allowed")?;
            at_most(5)
        }
        _ => Ok(()),
    }
}

/// Characters that take no room: zero-width ones and marks of direction.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The types that have a rule; a key of another type is taken as it is.
pub const KNOWN_TYPES: &[&str] = &[
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

/// Han ideographs, the unit of `phrase` and `name`.
pub fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}' | '〇')
}

fn digits(value: &str, limit: usize) -> Result<(), String> {
    let count = value.chars().filter(char::is_ascii_digit).count();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let shaped = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_digit());
    if !shaped(whole) || !shaped(fraction) {
        Err(format!("«{value}» is not a number; digits with at most one decimal point between them are allowed"))
    } else if count > limit {
        Err(format!("has {count} digits; at most {limit} are allowed"))
    } else {
        Ok(())
    }
}

fn amount(value: &str) -> Result<(), String> {
    let bare = value.strip_prefix(['¥', '￥', '$', '€', '£']).unwrap_or(value);
    let bare = bare.strip_suffix('元').unwrap_or(bare);
    digits(bare, 10).map_err(|_| {
        format!("«{value}» is not an amount; one currency sign, at most 10 digits, and 元 at the end are allowed, like ¥214.00")
    })
}

/// `POINT("~"POINT)?` with `POINT = DATE | TIME | DATE " " TIME`. In strict mode each `time` names hours and minutes,
/// because a bare date in a `time` keyword was refused in several reports.
fn time_or_date(value: &str, clock_needed: bool, like: &str) -> Result<(), String> {
    if value.contains('～') {
        return Err("contains the full-width «～»; a range is joined by the ASCII «~»".into());
    }
    let wrong = || format!("«{value}» is not {like}");
    let points: Vec<&str> = value.split('~').map(str::trim).collect();
    if points.len() > 2 {
        return Err(format!("«{value}» has more than two ends; a range is two points joined by «~»"));
    }
    for point in points {
        let (date, clock) = match point.split_once(' ') {
            Some((date, clock)) => (Some(date), Some(clock)),
            None if point.contains(':') => (None, Some(point)),
            None => (Some(point), None),
        };
        let good = date.is_none_or(is_date) && clock.is_none_or(is_clock);
        if !good || (clock_needed && clock.is_none()) {
            return Err(wrong());
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
            let verdict = check_value(key, value, Profile::Strict);
            assert_eq!(verdict.is_ok(), *accepted, "{key} = {value:?}: {verdict:?}");
        }
    }
}
