//! Objects of a request's body are read by the names of their members alone. What serde derives for a struct also takes a list of its
//! fields' values by their position: a body that says nothing of what it means would be believed.

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads as the deserializer in it does, but no struct from a list, however deep it lies.
///
/// An enum with a struct in it is passed through as it is: no body has one. One that is `untagged` would read from a copy of its own, so
/// bodies have none of those either, and say by a [`Visitor`] what they take.
pub(super) struct ByName<T>(pub T);

/// Passes calls on with the visitor wrapped.
macro_rules! pass_on {
    ($($call:ident)*) => {$(
        fn $call<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$call(ByName(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ByName<D> {
    type Error = D::Error;

    pass_on! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option
        deserialize_unit deserialize_seq deserialize_map deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, Named(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, ByName(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, ByName(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, ByName(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, ByName(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, ByName(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// Visits for a struct: it takes members, and nothing else.
struct Named<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Named<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(ByName(map))
    }
}

/// Passes values on as they are.
macro_rules! take {
    ($($call:ident: $value:ty;)*) => {$(
        fn $call<E: Error>(self, value: $value) -> Result<V::Value, E> {
            self.0.$call(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for ByName<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    take! {
        visit_bool: bool;
        visit_i64: i64;
        visit_i128: i128;
        visit_u64: u64;
        visit_u128: u128;
        visit_f64: f64;
        visit_str: &str;
        visit_borrowed_str: &'de str;
        visit_string: String;
        visit_bytes: &[u8];
        visit_borrowed_bytes: &'de [u8];
        visit_byte_buf: Vec<u8>;
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(ByName(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(ByName(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(ByName(seq))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(ByName(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(data)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for ByName<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(ByName(deserializer))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for ByName<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(ByName(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for ByName<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(ByName(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(expecting = "an object: a leaf")]
    struct Leaf {
        word: String,
        #[serde(default)]
        number: Option<u32>,
    }

    #[derive(Debug, Deserialize)]
    struct Tree {
        leaf: Option<Leaf>,
        #[serde(default)]
        list: Vec<Leaf>,
        #[serde(default)]
        map: BTreeMap<String, Leaf>,
        #[serde(default)]
        words: Vec<String>,
        #[serde(default)]
        raw: Option<Box<serde_json::value::RawValue>>,
        #[serde(default)]
        any: serde_json::Value,
    }

    fn read(text: &str) -> Result<Tree, String> {
        Tree::deserialize(ByName(&mut serde_json::Deserializer::from_str(text))).map_err(|e| e.to_string())
    }

    #[test]
    fn no_struct_is_read_from_a_list_however_deep_it_lies() {
        for bad in [
            r#"[{"word":"a"}]"#,
            r#"{"leaf":["a",1]}"#,
            r#"{"leaf":["a"]}"#,
            r#"{"leaf":null,"list":[["a",1]]}"#,
            r#"{"leaf":null,"map":{"x":["a",1]}}"#,
        ] {
            let why = read(bad).err().unwrap_or_else(|| panic!("{bad} is taken"));
            assert!(why.contains("sequence, expected"), "{bad}: {why}");
        }
    }

    #[test]
    fn everything_else_is_read_as_ever() {
        let text = r#"{"leaf":{"word":"a\nb","number":7},"list":[{"word":"c"}],"map":{"x":{"word":"d"}},"words":["e","f"],"raw":[1, 2],"any":[{"g":[1.5,null,true,-1]}]}"#;
        let read = read(text).expect("good");
        let leaf = |word: &str, number| Leaf { word: word.into(), number };
        assert_eq!(read.leaf, Some(leaf("a\nb", Some(7))));
        assert_eq!((read.list, read.map["x"].word.as_str()), (vec![leaf("c", None)], "d"));
        assert_eq!((read.words.len(), read.raw.expect("there").get()), (2, "[1, 2]"));
        assert_eq!(read.any.to_string(), r#"[{"g":[1.5,null,true,-1]}]"#);
    }
}
