//! The field values of a message, in the shape that several platforms ask for: `{"thing1":{"value":"…"}}`.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt;

/// The values by their keys, as they stand in the text that they were read from.
#[derive(Default)]
pub struct Values<'a>(Vec<(&'a str, &'a RawValue)>);

/// One value.
#[derive(Serialize)]
struct Wrapped<'a> {
    value: &'a RawValue,
}

impl<'a> Values<'a> {
    /// Of [`super::Send::data`]. An unreadable one has none, and the platform refuses the message.
    pub fn of(data: &'a str) -> Self {
        serde_json::from_str(data).unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Values<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Values<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values<'de>, A::Error> {
        // Few templates have more fields.
        let mut values = Vec::with_capacity(8);
        while let Some(pair) = map.next_entry()? {
            values.push(pair);
        }
        Ok(Values(values))
    }
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, Wrapped { value })))
    }
}
