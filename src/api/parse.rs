//! JSON as it comes from callers becomes a body, or a sentence about what is wrong with it. No value is repeated in one: it may be an
//! openid that stands in the wrong place.

use super::{by_name::ByName, problem::Problem};
use crate::{
    domain::{
        hint, pointer,
        timing::{cut, from_unix},
    },
    words::{Both, Message, say},
};
use encoding_rs::GB18030;
use serde::de::DeserializeOwned;
use serde_json::{Value, error::Category};

/// Reads JSON and names the field that is not as documented.
///
/// # Errors
/// `bad_json`: what was found, what is allowed, what to do.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bad = |detail| Problem::new("bad_json", detail);
    // Editors on Windows put a mark in front. It says nothing.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| bad(not_utf8(bytes, error.valid_up_to())))?;
    let begin = text.trim_ascii_start().chars().next();
    match begin {
        None => return Err(bad(say!("body_is_empty"))),
        // Whoever sends several is told of it in words of ours.
        Some('[') => return Err(bad(say!("body_is_a_list"))),
        Some(_) => {}
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value: Result<T, _> = serde_path_to_error::deserialize(ByName(&mut deserializer));
    let value = value.map_err(|error| {
        let path: Vec<String> = error.path().iter().map(ToString::to_string).filter(|step| step != "?").collect();
        wrong(text, path, &error.into_inner())
    })?;
    deserializer.end().map_err(|_| bad(say!("body_goes_on")))?;
    Ok(value)
}

/// A text that is not UTF-8 from this byte on.
fn not_utf8(bytes: &[u8], at: usize) -> Message {
    // Plain letters of UTF-16 have a zero byte each, which no other text in JSON has.
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || bytes.contains(&0) {
        return say!("body_in_utf16");
    }
    let is_gbk = !GB18030.decode_without_bom_handling(bytes).1;
    if is_gbk { say!("body_in_gbk", at = at + 1) } else { say!("body_not_utf8", at = at + 1) }
}

fn wrong(text: &str, mut path: Vec<String>, error: &serde_json::Error) -> Problem {
    let said = error.to_string();
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    let whole = serde_json::from_str::<Value>(text);
    match error.classify() {
        Category::Eof => return Problem::new("bad_json", say!("body_ends_early")),
        // Where one of a few words is wanted, serde_json takes a value of another type for no JSON.
        Category::Syntax | Category::Io if whole.is_err() => {
            let (line, column) = (error.line(), error.column());
            return Problem::new(
                "bad_json",
                match line {
                    1 => say!("body_is_no_json", column = column, text = said),
                    _ => say!("body_is_no_json_at", line = line, column = column, text = said),
                },
            );
        }
        _ => {}
    }
    let named = ["missing field `", "unknown field `", "duplicate field `"].iter();
    let named = named.clone().find_map(|begin| Some((*begin, said.strip_prefix(begin)?)));
    let detail = match named {
        Some((kind, rest)) => {
            let (name, allowed) = rest.split_once("`, ").unwrap_or((rest.trim_end_matches('`'), ""));
            if path.last().map(String::as_str) != Some(name) {
                path.push(name.to_owned());
            }
            member(kind, name, allowed)
        }
        None => {
            let whole = whole.unwrap_or_default();
            let pointer = pointer(&path);
            let found = whole.pointer(&pointer).unwrap_or(&Value::Null);
            mismatch(path.first().map_or("", String::as_str), path.last().map_or("", String::as_str), found, said)
        }
    };
    let problem = Problem::new("bad_json", detail);
    if path.is_empty() { problem } else { problem.at(pointer(path)) }
}

/// A member that is missing, unknown or doubled.
fn member(kind: &str, name: &str, allowed: &str) -> Message {
    let shown = cut(name);
    match kind.split(' ').next() {
        Some("missing") => say!("member_missing", name = shown),
        Some("duplicate") => say!("member_doubled", name = shown),
        _ => {
            let known: Vec<&str> = allowed.split('`').skip(1).step_by(2).collect();
            say!("member_unknown", name = shown, known = known, hint = hint(name, known.iter().copied()))
        }
    }
}

/// A value of another type than is documented. `top` is the body's member that it lies in, `name` its own.
fn mismatch(top: &str, name: &str, found: &Value, said: &str) -> Message {
    if said.starts_with("unknown variant") {
        let words = said.rsplit_once("expected ").map_or("", |(_, words)| words);
        let allowed: Vec<&str> = words.split('`').skip(1).step_by(2).collect();
        return say!("member_no_word", allowed = allowed);
    }
    let expected = said.rsplit_once("expected ").map_or(said, |(_, expected)| expected);
    match found {
        Value::Object(_) if top == "data" && name != top => say!("data_is_wrapped", key = cut(name)),
        Value::Number(number) if is_time(name) => match number.as_i64().and_then(from_unix) {
            Some(time) => say!("time_is_a_number", time = time),
            None => say!("time_is_no_text"),
        },
        Value::Array(list) if list.is_empty() => say!("list_for_object"),
        _ => say!("member_of_other_type", found = kind(found), expected = wanted(expected)),
    }
}

/// Whether a member of this name is a time.
fn is_time(name: &str) -> bool {
    ["at", "expires_at", "from", "to"].contains(&name)
}

fn kind(value: &Value) -> Both {
    match value {
        Value::Null => Both { en: "null", zh: "null" },
        Value::Bool(_) => Both { en: "true or false", zh: "布尔值" },
        Value::Number(_) => Both { en: "a number", zh: "数字" },
        Value::String(_) => Both { en: "text", zh: "字符串" },
        Value::Array(_) => Both { en: "a list", zh: "数组" },
        Value::Object(_) => Both { en: "an object", zh: "对象" },
    }
}

/// What serde expected, in words.
fn wanted(expected: &str) -> Message {
    let both = |en, zh| Message::from(Both { en, zh });
    match expected {
        "a string" | "a borrowed string" | "value" => both("text in quotes", "加引号的字符串"),
        "a JSON number" | "a whole number, 0 or more" => both("a whole number, 0 or more", "不小于 0 的整数"),
        "a boolean" => both("true or false", "true 或 false"),
        "a sequence" => both("a list", "数组"),
        "a map" | "an object" => both("an object", "对象"),
        "true, or an object of event, at, source, subscribe_id and ticket" => both(
            "true, or an object of event, at, source, subscribe_id and ticket",
            "true，或由 event、at、source、subscribe_id、ticket 组成的对象",
        ),
        other if other.starts_with("struct ") || other.starts_with("an object: ") => both("an object", "对象"),
        other if other.starts_with(['i', 'u', 'f']) => both("a number", "数字"),
        other => Message::text(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::check::{ChangeBody, ReminderBody},
        words::{Lang, Voice},
    };
    use encoding_rs::GBK;

    /// The refusal of a body: its param and its sentences.
    fn refused<T: DeserializeOwned>(bytes: &[u8]) -> (Option<String>, String, String) {
        let Err(problem) = parse::<T>(bytes) else { panic!("{} is taken", String::from_utf8_lossy(bytes)) };
        assert_eq!(problem.code, "bad_json");
        let say = |lang| problem.detail.say(Voice::new(lang));
        (problem.param.clone(), say(Lang::En), say(Lang::Zh))
    }

    fn body(change: &str) -> String {
        let good = r#""app":"coffee","template":"t","data":{"thing1":"x"}"#;
        format!("{{{good},\"openid\":\"o-secret-1\",\"at\":\"2031-03-01T10:00:00Z\"{change}}}")
    }

    #[test]
    fn each_way_to_get_a_body_wrong_is_told_what_was_meant_and_what_to_write() {
        let at = |value: &str| body("").replace("\"2031-03-01T10:00:00Z\"", value);
        let data = |value: &str| body("").replace("{\"thing1\":\"x\"}", value);
        let table: &[(String, Option<&str>, &str, &str)] = &[
            ("".into(), None, "the body is empty", "正文为空"),
            (" \r\n".into(), None, "the body is empty", "正文为空"),
            ("\u{feff}".into(), None, "the body is empty", "正文为空"),
            ("[]".into(), None, "this is a list", "数组"),
            ("\"o-secret-1\"".into(), None, "is text where an object", "字符串"),
            ("null".into(), None, "is null where an object", "null"),
            ("{".into(), None, "before its end", "没有写完"),
            ("{\"app\":\"coffee\",}".into(), None, "column 17", "第 17 列"),
            ("{'app':'coffee'}".into(), None, "column 2", "第 2 列"),
            ("{\n  'app':'coffee'}".into(), None, "line 2, column 3", "第 2 行第 3 列"),
            (body("") + "{}", None, "something follows", "之后"),
            (body(",\"colour\":1"), Some("/colour"), "no member «colour»", "colour"),
            (body(",\"expire_at\":\"2h\""), Some("/expire_at"), "did you mean «expires_at»", "expires_at"),
            (body(",\"app\":\"tea\""), Some("/app"), "«app» stands twice", "app"),
            (data("{\"thing1\":\"a\",\"thing1\":\"b\"}"), Some("/data/thing1"), "«thing1» stands twice", "thing1"),
            (body("").replace("\"app\"", "\"apps\""), Some("/apps"), "did you mean «app»", "app"),
            ("{}".into(), Some("/app"), "«app» is missing", "缺少"),
            (data("{\"thing1\":{\"value\":\"x\"}}"), Some("/data/thing1"), "\"thing1\": \"…\"", "\"thing1\": \"…\""),
            (data("{\"thing1\":7}"), Some("/data/thing1"), "is a number where text in quotes", "数字"),
            (data("[]"), Some("/data"), "PHP", "PHP"),
            (data("[\"x\"]"), Some("/data"), "is a list where an object", "数组"),
            (data("\"o-secret-1\""), Some("/data"), "is text where an object", "字符串"),
            (body(",\"accepted\":[]"), Some("/accepted"), "PHP", "PHP"),
            (body(",\"accepted\":\"o-secret-1\""), Some("/accepted"), "true, or an object", "true，或"),
            (body(",\"consent\":\"o-secret-1\""), Some("/consent"), "reserve", "reserve"),
            (at("1930123456"), Some("/at"), "\"2031-03-01T09:24:16.000Z\"", "\"2031-03-01T09:24:16.000Z\""),
            (at("1930123456789"), Some("/at"), "\"2031-03-01T09:24:16.789Z\"", "\"2031-03-01T09:24:16.789Z\""),
            (at("20310301"), Some("/at"), "2027-03-01T10:00:00+08:00", "2027-03-01T10:00:00+08:00"),
            (at("1.5e300"), Some("/at"), "2027-03-01T10:00:00+08:00", "2027-03-01T10:00:00+08:00"),
            (at("{\"o-secret-1\":1}"), Some("/at"), "is an object where text", "对象"),
            (body(",\"late\":true"), Some("/late"), "is true or false where text in quotes", "布尔值"),
            (body(",\"consent\":1"), Some("/consent"), "is a number where text in quotes", "数字"),
            (body(",\"expires_at\":7200"), Some("/expires_at"), "\"2h\"", "\"2h\""),
        ];
        for (text, param, en, zh) in table {
            let (found, english, chinese) = refused::<ReminderBody>(text.as_bytes());
            assert_eq!(found.as_deref(), *param, "{text}: {english}");
            assert!(english.contains(en) && chinese.contains(zh), "{text}: {english} {chinese}");
            assert!(!format!("{english}{chinese}").contains("o-secret-1"), "I9: {text}: {english}");
        }
        assert_eq!(refused::<ChangeBody>(br#"{"data":{"a":"1","a":"1"}}"#).0.as_deref(), Some("/data/a"));
    }

    #[test]
    fn a_body_in_another_encoding_is_told_which() {
        let text = body("").replace("\"x\"", "\"咖啡\"");
        let (_, english, chinese) = refused::<ReminderBody>(&GBK.encode(&text).0);
        assert!(english.contains("GBK") && chinese.contains("GBK"), "{english} {chinese}");
        let (_, english, _) = refused::<ReminderBody>(b"{\"app\":\"\xff\xff\xff\"}");
        assert!(english.contains("byte 9") && !english.contains("GBK"), "{english}");
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [wide.clone(), [b"\xff\xfe".to_vec(), wide].concat()] {
            let (_, english, chinese) = refused::<ReminderBody>(&bytes);
            assert!(english.contains("UTF-16") && chinese.contains("UTF-16"), "{english} {chinese}");
        }
        let marked = format!("\u{feff}{text}");
        assert!(parse::<ReminderBody>(marked.as_bytes()).is_ok(), "a mark in front says nothing");
    }
}
