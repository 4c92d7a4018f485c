//! WeChat's message push (消息推送): who sent it, and what is in the envelope.
//!
//! Source: `framework/server-ability/message-push.html`, official, read 2026; the vectors of `tests` are the page's own and some
//! made with another implementation.

use super::event;
use crate::{
    domain::{DAY, MINUTE, Millis, SECOND, push::Push},
    platform::{
        Method,
        facts::BadSecret,
        push::{Incoming, Pushes, Refused, Told},
    },
    words::say,
};
use aes::Aes256;
use cbc::{
    Decryptor, Encryptor,
    cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::NoPadding},
};
use data_encoding::{BASE64, BASE64_NOPAD, Encoding, HEXLOWER};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha1::{Digest, Sha1};
use std::{collections::BTreeMap, sync::LazyLock};
use subtle::ConstantTimeEq;

/// How far a push's time may be from ours. WeChat tries three times within seconds; the rest is for clocks.
pub const MAX_AGE: Millis = 10 * MINUTE;
/// Padding goes to 32 bytes, and not to AES's 16: half of all messages look wrong to who expects that.
const PAD: usize = 32;

/// The 43rd character of a key carries two bits that belong to nobody, and the console does not make them zero.
static KEY_ENCODING: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().expect("base64 without a check is an encoding")
});

/// How pushes of one mini-program are told from forgeries.
#[derive(Debug, Clone)]
pub struct Callback {
    appid: String,
    token: SecretString,
    /// EncodingAESKey; without one pushes come in clear.
    key: Option<std::sync::Arc<SecretBox<[u8; 32]>>>,
}

/// What stands in the query of a push.
#[derive(Debug, Clone, Default)]
pub struct Query<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Query<'a> {
    /// From decoded pairs.
    pub fn new(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    fn get(&self, name: &str) -> &'a str {
        self.0.get(name).copied().unwrap_or_default()
    }
}

impl Callback {
    /// A callback with the console's Token and, in compat and secure mode, its EncodingAESKey.
    ///
    /// # Errors
    /// What an EncodingAESKey looks like, if this is none.
    pub fn new(appid: String, token: SecretString, aes_key: Option<&SecretString>) -> Result<Self, BadSecret> {
        let read = |key: &SecretString| {
            let bytes = KEY_ENCODING.decode(key.expose_secret().as_bytes()).ok();
            let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
            let bytes = bytes.map(|bytes| std::sync::Arc::new(SecretBox::new(Box::new(bytes))));
            bytes.ok_or_else(|| BadSecret { key: "aes_key", why: say!("bad_aes_key") })
        };
        Ok(Self { appid, token, key: aes_key.map(read).transpose()? })
    }

    /// Whether pushes are encrypted.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The console asks whether this address is ours: answers what must be sent back.
    ///
    /// # Errors
    /// When somebody else asks, or the question is an old one.
    pub fn verify<'a>(&self, query: &Query<'a>, now: Millis) -> Result<&'a str, Refused> {
        self.check(query, "signature", None)?;
        fresh(query, now)?;
        Ok(query.get("echostr"))
    }

    /// Opens a push; `None` is one about something else.
    ///
    /// # Errors
    /// Why the push is refused.
    pub fn open(&self, query: &Query<'_>, body: &[u8], now: Millis) -> Result<Option<Push>, Refused> {
        // Which signature must fit is ours to say: of a push in clear it does not cover the body.
        let Some(key) = &self.key else {
            self.check(query, "signature", None)?;
            fresh(query, now)?;
            return told(body, now);
        };
        let sealed = match event::sealed(body) {
            Ok(Some(sealed)) => sealed,
            Ok(None) => return Err(Refused::InClear),
            Err(e) => return Err(e),
        };
        self.check(query, "msg_signature", Some(&sealed))?;
        fresh(query, now)?;
        let clear = decrypt(key.expose_secret(), &sealed, &self.appid)?;
        told(&clear, now)
    }

    fn check(&self, query: &Query<'_>, name: &str, sealed: Option<&str>) -> Result<(), Refused> {
        let ours = self.sign(query.get("timestamp"), query.get("nonce"), sealed);
        let same = ours.as_bytes().ct_eq(query.get(name).as_bytes());
        if bool::from(same) { Ok(()) } else { Err(Refused::Signature) }
    }

    /// SHA-1 over the sorted parts, as WeChat signs.
    pub fn sign(&self, timestamp: &str, nonce: &str, sealed: Option<&str>) -> String {
        let mut parts: Vec<&str> = [self.token.expose_secret(), timestamp, nonce].into_iter().chain(sealed).collect();
        parts.sort_unstable();
        HEXLOWER.encode(&Sha1::digest(parts.concat()))
    }

    /// Seals a message as WeChat does: for the sandbox. Without a key it stays in clear.
    pub fn seal(&self, message: &[u8], random: [u8; 16]) -> Option<String> {
        let key = self.key.as_ref()?.expose_secret();
        let length = u32::try_from(message.len()).expect("a push is small");
        let mut clear = [&random[..], &length.to_be_bytes(), message, self.appid.as_bytes()].concat();
        let pad = PAD - clear.len() % PAD;
        clear.resize(clear.len() + pad, u8::try_from(pad).expect("at most 32"));
        let whole = clear.len();
        let encryptor = Encryptor::<Aes256>::new(key.into(), key[..16].try_into().expect("16 bytes"));
        let sealed = encryptor.encrypt_padded::<NoPadding>(&mut clear, whole).expect("whole blocks");
        Some(BASE64.encode(sealed))
    }
}

impl Pushes for Callback {
    fn read(&self, call: &Incoming<'_>, now: Millis) -> Result<Told, Refused> {
        let query = Query::new(call.query.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        match call.method {
            Method::Get => Ok(Told::Echo(self.verify(&query, now)?.to_owned())),
            Method::Post => Ok(self.open(&query, call.body, now)?.map_or(Told::Other, Told::Push)),
        }
    }
}

/// What a push says, if it says it of these days: one that is tried again is some seconds old.
fn told(clear: &[u8], now: Millis) -> Result<Option<Push>, Refused> {
    match event::read(clear)? {
        Some(push) if now.abs_diff(push.at) > DAY.unsigned_abs() => Err(Refused::Stale),
        push => Ok(push),
    }
}

/// The signed time is near ours. A replay after that is refused; before that, its content is known already.
fn fresh(query: &Query<'_>, now: Millis) -> Result<(), Refused> {
    let at = query.get("timestamp").parse::<Millis>().ok().and_then(|seconds| seconds.checked_mul(SECOND));
    let near = at.is_some_and(|at| now.abs_diff(at) <= MAX_AGE.unsigned_abs());
    if near { Ok(()) } else { Err(Refused::Stale) }
}

/// 16 random bytes, the length as four, the message, the appid, 1 to 32 bytes of padding.
fn decrypt(key: &[u8; 32], sealed: &str, appid: &str) -> Result<Vec<u8>, Refused> {
    let mut bytes = BASE64.decode(sealed.as_bytes()).map_err(|_| Refused::Key)?;
    let decryptor = Decryptor::<Aes256>::new(key.into(), key[..16].try_into().expect("16 bytes"));
    let clear = decryptor.decrypt_padded::<NoPadding>(&mut bytes).map_err(|_| Refused::Key)?;
    let pad = usize::from(*clear.last().ok_or(Refused::Key)?);
    let (clear, padding) = clear.split_at_checked(clear.len().wrapping_sub(pad)).ok_or(Refused::Key)?;
    if !(1..=PAD).contains(&pad) || padding.iter().any(|byte| usize::from(*byte) != pad) {
        return Err(Refused::Key);
    }
    let (length, rest) = clear.get(16..).and_then(<[u8]>::split_first_chunk::<4>).ok_or(Refused::Key)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Refused::Key)?;
    let (message, owner) = rest.split_at_checked(length).ok_or(Refused::Key)?;
    if owner != appid.as_bytes() {
        return Err(Refused::Appid);
    }
    Ok(message.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::push::Item;
    use serde_json::Value;

    fn vectors(group: &str) -> Vec<Value> {
        let all: Value = serde_json::from_str(include_str!("../../../tests/vectors/wechat_crypto.json")).expect("JSON");
        all[group].as_array().expect("a group").clone()
    }

    fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
        vector[name].as_str().unwrap_or_default()
    }

    fn callback(vector: &Value) -> Callback {
        let key = vector["encoding_aes_key"].as_str().map(SecretString::from);
        Callback::new(text(vector, "app_id").into(), text(vector, "token").into(), key.as_ref()).expect("a key")
    }

    fn query(vector: &Value) -> Query<'_> {
        Query::new(
            ["signature", "timestamp", "nonce", "echostr", "msg_signature"].map(|name| (name, text(vector, name))),
        )
    }

    fn signed_at(vector: &Value) -> Millis {
        text(vector, "timestamp").parse::<Millis>().expect("a time") * SECOND
    }

    #[test]
    fn an_address_is_verified_as_recorded_and_for_nobody_else() {
        for vector in vectors("url_verify") {
            let name = text(&vector, "name");
            let (now, echo) = (signed_at(&vector), text(&vector, "echostr"));
            assert_eq!(callback(&vector).verify(&query(&vector), now), Ok(echo), "{name}");
            for late in [MAX_AGE + 1, -MAX_AGE - 1] {
                let replayed = callback(&vector).verify(&query(&vector), now + late);
                assert_eq!(replayed, Err(Refused::Stale), "{name}, {late} ms later");
            }
            let other = Callback::new("wx".into(), "another token".into(), None).expect("no key");
            assert_eq!(other.verify(&query(&vector), now), Err(Refused::Signature), "{name}");
        }
    }

    #[test]
    fn recorded_pushes_open_and_are_sealed_again_byte_for_byte() {
        for vector in [vectors("positive"), vectors("official")].concat() {
            let (name, callback) = (text(&vector, "name"), callback(&vector));
            let key = callback.key.as_ref().expect("a key").expose_secret();
            let clear = decrypt(key, text(&vector, "encrypt"), &callback.appid).expect(name);
            assert_eq!(String::from_utf8(clear).expect("UTF-8"), text(&vector, "plaintext"), "{name}");
            let random = text(&vector, "random16").as_bytes().try_into().expect("16 bytes");
            let sealed = callback.seal(text(&vector, "plaintext").as_bytes(), random).expect("there is a key");
            assert_eq!(sealed, text(&vector, "encrypt"), "{name}");
            let signature = callback.sign(text(&vector, "timestamp"), text(&vector, "nonce"), Some(&sealed));
            assert_eq!(signature, text(&vector, "msg_signature"), "{name}");
        }
    }

    #[test]
    fn recorded_bodies_say_what_was_recorded() {
        for vector in vectors("positive") {
            let (name, body) = (text(&vector, "name"), text(&vector, "body").as_bytes());
            let push = callback(&vector).open(&query(&vector), body, signed_at(&vector)).expect(name).expect(name);
            assert_eq!(push.openid, text(&vector, "openid"), "{name}");
            let accepts = |item: &Item| matches!(item, Item::Answered { accepted: true, .. });
            let told = match name {
                "popup_xml_two_entries" => {
                    push.items.len() == 2 && push.items.iter().filter(|i| accepts(i)).count() == 1
                }
                "popup_json_single_object" => push.items.iter().all(accepts) && push.items.len() == 1,
                "sent_json_full_pad_block_utf8" => matches!(&push.items[..], [Item::Receipt(receipt)]
                    if receipt.message_id.as_deref() == Some("3248682510344192009") && receipt.failure.is_none()),
                other => panic!("what does {other} say?"),
            };
            assert!(told, "{name}: {push:?}");
            // The console's plain mode has other signatures; with a key, a push in clear is refused.
            let clear = text(&vector, "plaintext").as_bytes();
            assert_eq!(
                callback(&vector).open(&query(&vector), clear, signed_at(&vector)),
                Err(Refused::InClear),
                "{name}"
            );
        }
    }

    #[test]
    fn recorded_forgeries_are_refused() {
        for vector in vectors("negative") {
            let (name, callback) = (text(&vector, "name"), callback(&vector));
            let body = serde_json::json!({ "Encrypt": vector["encrypt"] }).to_string();
            let refused = callback.open(&query(&vector), body.as_bytes(), signed_at(&vector)).expect_err(name);
            let wanted = match name {
                "bad_msg_signature" | "only_plain_signature_given" => Refused::Signature,
                "wrong_appid_suffix" => Refused::Appid,
                _ => Refused::Key,
            };
            assert_eq!(refused, wanted, "{name}");
        }
    }

    #[test]
    fn a_key_whose_last_character_has_bits_of_nobody_is_a_key() {
        let with = |last: char| {
            let key: SecretString = format!("{}{last}", "kWxJ3v0QmZt8uB5nYdR2pLhC7sAeF1gKoTiN4XyUzV").into();
            Callback::new("wx".into(), "t".into(), Some(&key)).map(|_| ())
        };
        for last in ('a'..='z').chain('A'..='Z').chain('0'..='9') {
            assert_eq!(with(last), Ok(()), "{last}");
        }
        assert!(with('!').is_err_and(|bad| bad.key == "aes_key"));
        for short in ["", "abc", "kWxJ3v0QmZt8uB5nYdR2pLhC7sAeF1gKoTiN4XyUzVEE"] {
            assert!(Callback::new("wx".into(), "t".into(), Some(&short.into())).is_err(), "{short}");
        }
    }

    #[test]
    fn messages_of_every_length_come_back_whatever_their_padding() {
        let key = SecretString::from("kWxJ3v0QmZt8uB5nYdR2pLhC7sAeF1gKoTiN4XyUzVE");
        let callback = Callback::new("wx0123456789abcdef".into(), "t".into(), Some(&key)).expect("a key");
        let key = callback.key.as_ref().expect("a key").expose_secret();
        for length in 0..130 {
            let message = vec![b'x'; length];
            let sealed = callback.seal(&message, [7; 16]).expect("there is a key");
            assert_eq!(decrypt(key, &sealed, "wx0123456789abcdef"), Ok(message), "{length}");
        }
    }

    #[test]
    fn a_push_is_good_for_ten_minutes_either_way() {
        let vector = &vectors("positive")[0];
        let open = |late: Millis| {
            callback(vector)
                .open(&query(vector), text(vector, "body").as_bytes(), signed_at(vector) + late)
                .map(|push| push.is_some())
        };
        assert_eq!([0, MAX_AGE, -MAX_AGE].map(open), [Ok(true); 3]);
        assert_eq!([MAX_AGE + 1, -MAX_AGE - 1].map(open), [Err(Refused::Stale); 2]);
    }
}
