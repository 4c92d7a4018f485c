//! An answer of the gateway: the node's text exactly as it came, since that is what is signed, and what stands beside it.

use super::{key::PublicKey, signature::readings};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt;

/// The members of a JSON object as they came. An object that says the same name twice is refused: of two readers, one would take the
/// first and the other the last.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose names differ")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members: Vec<(String, &'de RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.iter().any(|(known, _)| *known == name) || members.len() >= 64 {
                        return Err(A::Error::custom("a name twice, or too many"));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

impl<'a> Members<'a> {
    fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.get())
    }

    /// A text, or a number as a text.
    fn text(&self, name: &str) -> Option<String> {
        let raw = self.raw(name)?;
        let text = serde_json::from_str::<String>(raw);
        text.ok().or_else(|| serde_json::from_str::<serde_json::Number>(raw).ok().map(|number| number.to_string()))
    }
}

/// An answer of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What it says.
    pub said: Said,
    /// Whether it stands in the method's own node, and not in the gateway's.
    pub own: bool,
    /// Who said it.
    pub signed: Signed,
    /// The number of the certificate it is signed with, where it names one.
    pub certificate: Option<String>,
}

/// Who said what stands in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// The owner of the key.
    Well,
    /// Nobody knows: it has no signature.
    Not,
    /// Another than the owner of the key, or it was changed on its way.
    Badly,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// `10000` for success.
    pub code: String,
    /// What the code means.
    pub text: String,
    /// What is wrong exactly, as it came.
    pub sub_code: String,
    /// What that means.
    pub sub_text: String,
}

impl Said {
    fn read(node: &str) -> Option<Self> {
        let members: Members<'_> = serde_json::from_str(node).ok()?;
        let text = |name| members.text(name).unwrap_or_default();
        Some(Self {
            code: members.text("code")?,
            text: text("msg"),
            sub_code: text("sub_code"),
            sub_text: text("sub_msg"),
        })
    }
}

impl Reply {
    /// Reads the answer to a method whose node has this name; `None` if it is none. What is well signed is read as it was signed.
    pub fn read(body: &[u8], node: &str, key: &PublicKey) -> Option<Self> {
        let members: Members<'_> = serde_json::from_str(std::str::from_utf8(body).ok()?).ok()?;
        let (raw, own) = match (members.raw(node), members.raw("error_response")) {
            (Some(raw), None) => (raw, true),
            (None, Some(raw)) => (raw, false),
            // Two answers in one are none.
            _ => return None,
        };
        let certificate = members.text("alipay_cert_sn").filter(|sn| !sn.is_empty());
        let sign = members.raw("sign").map(|_| members.text("sign").unwrap_or_else(|| "no text".into()));
        let Some(sign) = sign.filter(|sign| !sign.is_empty()) else {
            return Some(Self { said: Said::read(raw)?, own, signed: Signed::Not, certificate });
        };
        let (said, signed) = match readings(raw).find(|reading| key.verifies(reading, &sign)) {
            Some(reading) => (Said::read(&reading)?, Signed::Well),
            None => (Said::read(raw)?, Signed::Badly),
        };
        Some(Self { said, own, signed, certificate })
    }
}
