//! JSON objects in which no key stands twice. serde keeps the last value of a doubled one and says nothing; whoever wrote two meant another.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt, marker::PhantomData};

/// An object whose members are all of one type.
struct Object<V>(BTreeMap<String, V>);

impl<'de, V: DeserializeOwned> Deserialize<'de> for Object<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<V>(PhantomData<V>);

        impl<'de, V: DeserializeOwned> Visitor<'de> for Members<V> {
            type Value = Object<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object<V>, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(key) = access.next_key::<String>()? {
                    if members.contains_key(&key) {
                        return Err(doubled(&key));
                    }
                    members.insert(key, access.next_value()?);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// In serde's own words for a struct.
fn doubled<E: Error>(key: &str) -> E {
    E::custom(format_args!("duplicate field `{key}`"))
}

/// Any value, in whose objects no key stands twice.
struct Whole(Value);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
                let mut values = Vec::new();
                while let Some(Whole(value)) = access.next_element()? {
                    values.push(value);
                }
                Ok(values.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
                let mut members = Map::new();
                while let Some(key) = access.next_key::<String>()? {
                    if members.contains_key(&key) {
                        return Err(doubled(&key));
                    }
                    let Whole(value) = access.next_value()?;
                    members.insert(key, value);
                }
                Ok(members.into())
            }
        }
        deserializer.deserialize_any(Any).map(Whole)
    }
}

/// The members of an object.
///
/// # Errors
/// That it is none, or that a key stands in it twice.
pub(super) fn members<'de, D: Deserializer<'de>, V: DeserializeOwned>(
    deserializer: D,
) -> Result<BTreeMap<String, V>, D::Error> {
    Object::deserialize(deserializer).map(|Object(members)| members)
}

/// The same where it may be left out, or null.
///
/// # Errors
/// As [`members`].
pub(super) fn members_if_any<'de, D: Deserializer<'de>, V: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, V>>, D::Error> {
    Ok(Option::<Object<V>>::deserialize(deserializer)?.map(|Object(members)| members))
}

/// Any value, where it may be left out, or null.
///
/// # Errors
/// That a key stands twice in an object.
pub(super) fn value_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Ok(Option::<Whole>::deserialize(deserializer)?.map(|Whole(value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "members_if_any")]
        data: Option<BTreeMap<String, String>>,
        #[serde(default, deserialize_with = "value_if_any")]
        any: Option<Value>,
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_wherever_it_stands() {
        for (text, good) in [
            (r#"{}"#, true),
            (r#"{"data": null, "any": null}"#, true),
            (r#"{"data": {"a": "1", "b": "2"}, "any": {"a": [1, -2, 0.5, true, null, "x", {}], "b": {"a": 1}}}"#, true),
            (r#"{"data": {"a": "1", "a": "1"}}"#, false),
            (r#"{"data": {"a": "1", "\u0061": "2"}}"#, false),
            (r#"{"any": {"a": 1, "a": 2}}"#, false),
            (r#"{"any": [{"b": {"a": 1, "c": 0, "a": 2}}]}"#, false),
            (r#"{"data": []}"#, false),
        ] {
            let read = serde_json::from_str::<Body>(text);
            assert_eq!(read.is_ok(), good, "{text}");
        }
        let text = r#"{"a": [1, -2, 0.5, true, null, "x", {}], "b": {"a": 1}}"#;
        let read: Body = serde_json::from_str(&format!(r#"{{"data": {{"a": "1"}}, "any": {text}}}"#)).expect("good");
        assert_eq!(read.any, serde_json::from_str(text).ok(), "it is read as it stands");
        assert_eq!(read.data.expect("given")["a"], "1");
    }
}
