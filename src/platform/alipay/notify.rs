//! The gateway's notifications: a form, signed over its sorted parameters. No kind of it is known that tells of messages or consents [?],
//! so what is genuine is answered and counted, and no more.
//!
//! Two variants live side by side [O]: the older leaves `sign_type` out of what is signed, the newer does not.

use super::{Credentials, PublicKey, signature};
use crate::{
    domain::{MINUTE, Millis},
    platform::{
        Account, Method,
        facts::{BadSecret, Secrets},
        push::{Incoming, Pushes, Refused, Told},
    },
};
use chrono::{FixedOffset, NaiveDateTime, TimeZone};

/// How far from now a notification may have been made.
const MAX_AGE: Millis = 10 * MINUTE;
/// Parameters of a notification.
const MOST: usize = 64;

/// Reads the notifications of one app.
struct Notify {
    appid: String,
    key: PublicKey,
}

/// A reader of an account's notifications. They have no secret of their own: Alipay's key signs them.
///
/// # Errors
/// Which of the account's keys is wrong.
pub fn reader(account: &Account<'_>, _secrets: &Secrets) -> Result<Box<dyn Pushes>, BadSecret> {
    let key = Credentials::read(account)?.alipay;
    Ok(Box::new(Notify { appid: account.appid.to_owned(), key }))
}

impl Pushes for Notify {
    fn read(&self, call: &Incoming<'_>, now: Millis) -> Result<Told, Refused> {
        if call.method != Method::Post {
            return Err(Refused::Shape);
        }
        let pairs = pairs(call.body).ok_or(Refused::Shape)?;
        let value = |name: &str| pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
        let verified = |without: &[&str]| self.key.verifies(&signature::text(&pairs, without), value("sign"));
        if value("sign_type") != "RSA2" || !(verified(&["sign"]) || verified(&["sign", "sign_type"])) {
            return Err(Refused::Signature);
        }
        if value("app_id") != self.appid {
            return Err(Refused::Appid);
        }
        match made(value("notify_time")) {
            Some(made) if (now - made).abs() <= MAX_AGE => Ok(Told::Other),
            Some(_) => Err(Refused::Stale),
            None => Err(Refused::Shape),
        }
    }
}

/// The parameters of a form. Each has a name and a value, and no name comes twice: what no signature covers has no place in it.
fn pairs(body: &[u8]) -> Option<Vec<(String, String)>> {
    let form = std::str::from_utf8(body).ok()?;
    let whole = |pair: &str| pair.split_once('=').is_some_and(|(name, value)| !name.is_empty() && !value.is_empty());
    if form.split('&').count() > MOST || !form.split('&').all(whole) {
        return None;
    }
    let pairs: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let twice = pairs.iter().enumerate().any(|(i, (name, _))| pairs[..i].iter().any(|(known, _)| known == name));
    (!twice).then_some(pairs)
}

/// When it was made, by Beijing's clock.
fn made(time: &str) -> Option<Millis> {
    let local = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").ok()?;
    let zone = FixedOffset::east_opt(8 * 3_600)?;
    Some(zone.from_local_datetime(&local).single()?.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::alipay::PrivateKey;
    use data_encoding::BASE64;
    use serde_json::Value;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../tests/vectors/alipay.json")).expect("JSON")
    }

    fn key(name: &str) -> PrivateKey {
        let pem = vectors()["keys"][name].as_str().expect("a key").to_owned();
        let bare: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        PrivateKey::read(&BASE64.decode(bare.as_bytes()).expect("base64")).expect("a key").expect("a good one")
    }

    fn notify() -> Notify {
        Notify { appid: "2021000000000001".into(), key: key("alipay_private_pkcs8_pem").public() }
    }

    fn form(pairs: &[(&str, &str)]) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    fn read(body: &str, late: Millis) -> Result<Told, Refused> {
        let call = Incoming { method: Method::Post, query: &[], headers: &[], body: body.as_bytes() };
        notify().read(&call, made("2026-03-01 09:00:00").expect("a time") + late)
    }

    /// Signed by this key, in the newer variant or in the older.
    fn signed(key: &PrivateKey, pairs: &[(&str, &str)], without: &[&str]) -> String {
        let sign = key.sign(&signature::text(pairs, without));
        form(&[pairs, &[("sign", &sign)]].concat())
    }

    const PAIRS: [(&str, &str); 5] = [
        ("app_id", "2021000000000001"),
        ("notify_time", "2026-03-01 09:00:00"),
        ("notify_type", "something.new"),
        ("sign_type", "RSA2"),
        ("biz_content", r#"{"k":"值&=+"}"#),
    ];

    #[test]
    fn recorded_notifications_are_taken_and_known_as_nothing_of_ours() {
        for vector in vectors()["notifies"].as_array().expect("notifications") {
            let params = vector["params"].as_object().expect("parameters");
            let pairs: Vec<_> =
                params.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("text"))).collect();
            let without = ["sign", "sign_type"];
            assert_eq!(signature::text(&pairs, &without), vector["string_to_sign"], "{}", vector["id"]);
            assert_eq!(read(&form(&pairs), 0), Ok(Told::Other), "{}", vector["id"]);
        }
    }

    #[test]
    fn both_variants_are_taken() {
        let key = key("alipay_private_pkcs8_pem");
        for without in [&["sign"][..], &["sign", "sign_type"]] {
            assert_eq!(read(&signed(&key, &PAIRS, without), 0), Ok(Told::Other), "{without:?}");
        }
    }

    #[test]
    fn what_is_forged_replayed_or_has_bytes_at_its_end_is_refused() {
        let alipay = key("alipay_private_pkcs8_pem");
        let good = signed(&alipay, &PAIRS, &["sign"]);
        for end in ["&", "=", " ", "\n", "&x", "&x=", "&x=1", "&sign=", "&app_id=2021000000000001", "%3D", "%", "\0"] {
            assert!(read(&format!("{good}{end}"), 0).is_err(), "{end:?}");
        }
        assert_eq!(read(&signed(&key("app_private_pkcs8_pem"), &PAIRS, &["sign"]), 0), Err(Refused::Signature));
        assert_eq!(read(&good.replace("something.new", "something.old"), 0), Err(Refused::Signature));
        assert_eq!([MAX_AGE, -MAX_AGE].map(|late| read(&good, late)), [const { Ok(Told::Other) }; 2]);
        assert_eq!([MAX_AGE + 1, -MAX_AGE - 1].map(|late| read(&good, late)), [const { Err(Refused::Stale) }; 2]);
        let other = PAIRS.map(|(name, value)| (name, if name == "app_id" { "2021000000000002" } else { value }));
        assert_eq!(read(&signed(&alipay, &other, &["sign"]), 0), Err(Refused::Appid));
        let call = Incoming { method: Method::Get, query: &[], headers: &[], body: &[] };
        assert_eq!(notify().read(&call, 0), Err(Refused::Shape));
    }
}
