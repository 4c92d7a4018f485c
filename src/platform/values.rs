//! The field values of a message, in the shape that several platforms ask for: `{"thing1":{"value":"…"}}`.

use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// One value.
#[derive(Debug, Serialize)]
pub struct Wrapped<'a> {
    value: &'a RawValue,
}

/// The values by their keys; `data` is [`super::Send::data`]. An unreadable one has none, and the platform refuses the message.
pub fn wrapped(data: &str) -> BTreeMap<&str, Wrapped<'_>> {
    let values: BTreeMap<&str, &RawValue> = serde_json::from_str(data).unwrap_or_default();
    values.into_iter().map(|(key, value)| (key, Wrapped { value })).collect()
}
