//! How the JSON of an answer is read, for platforms that do not keep to what they have documented.

use super::{Answer, status::of_platform};
use crate::{domain::outcome::Outcome, words::say};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// The body as JSON, if the answer is the platform's.
///
/// # Errors
/// What another status or another body means.
pub fn object(answer: &Answer) -> Result<Value, Outcome> {
    of_platform(answer)?;
    body(answer)
}

/// The body as JSON, whatever the status.
///
/// # Errors
/// That it is no object.
pub fn body(answer: &Answer) -> Result<Value, Outcome> {
    // Control characters have been seen inside strings, which strict JSON forbids.
    let mut bytes = Cow::from(&*answer.body);
    if bytes.iter().any(|b| *b < 0x20) {
        bytes.to_mut().iter_mut().filter(|b| **b < 0x20).for_each(|b| *b = b' ');
    }
    let text = String::from_utf8_lossy(&bytes);
    let unreadable = || Outcome::Unknown { cause: say!("answer_unreadable", bytes = answer.body.len()) };
    let mut deserializer = serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}'));
    let value = Value::deserialize(&mut deserializer).map_err(|_| unreadable())?;
    if value.is_object() { Ok(value) } else { Err(unreadable()) }
}

/// A text, or a number as one: platforms do not keep to one of them.
pub fn text_or_number(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number, or a text that is one.
pub fn number(value: &Value) -> Option<i64> {
    match value {
        // Some languages write every number as a fraction.
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn whole(number: f64) -> Option<i64> {
    // Up to 2^53 a fraction knows every whole number.
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}
