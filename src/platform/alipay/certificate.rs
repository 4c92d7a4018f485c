//! A certificate: whose it is, its key, and the number by which Alipay calls it.
//!
//! The number is the MD5 of the issuer's name and the serial number in decimal. The name's parts come in the reverse of the order in which
//! they are encoded, as `shortName=value`, joined by commas. [O] Serial numbers are unsigned and may have more than 128 bits.

use super::key::PublicKey;
use crate::{
    domain::{Millis, SECOND},
    words::{Message, say},
};
use data_encoding::HEXLOWER;
use md5::{Digest, Md5};
use x509_cert::{
    attr::AttributeTypeAndValue,
    der::{
        Decode, Encode, Tag, Tagged,
        asn1::{Ia5StringRef, ObjectIdentifier, PrintableStringRef, TeletexStringRef, Utf8StringRef},
    },
    name::Name,
};

/// The algorithms of RSA, by the start of their identifiers.
const RSA: &str = "1.2.840.113549.1.1.";

/// One certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Its number; `None` if its issuer's name has something that no source says how to write.
    pub sn: Option<String>,
    /// Its key, or why nothing can be verified with it.
    pub key: Result<PublicKey, Message>,
    /// Until when it is good.
    pub ends: Millis,
    /// Whether it was signed with an RSA key: those with others (SM2, ECDSA) do not count in a bundle of roots.
    pub rsa_signed: bool,
    /// Whether it names itself as its issuer.
    pub self_issued: bool,
}

impl Certificate {
    /// From DER; `None` if it is no certificate.
    pub fn read(der: &[u8]) -> Option<Self> {
        let read = x509_cert::Certificate::from_der(der).ok()?;
        let tbs = read.tbs_certificate();
        let key = tbs.subject_public_key_info().to_der().ok()?;
        let ends = tbs.validity().not_after.to_unix_duration().as_secs();
        let serial = decimal(tbs.serial_number().as_bytes());
        let number = |issuer: String| HEXLOWER.encode(&Md5::digest(issuer + &serial));
        Some(Self {
            sn: name(tbs.issuer()).map(number),
            key: PublicKey::read(&key).unwrap_or_else(|| Err(say!("public_key_not_rsa"))),
            ends: Millis::try_from(ends).unwrap_or(Millis::MAX / SECOND).saturating_mul(SECOND),
            rsa_signed: read.signature_algorithm().oid.to_string().starts_with(RSA),
            self_issued: tbs.issuer() == tbs.subject(),
        })
    }
}

/// The number of a bundle of roots: those of its certificates that RSA signed, in their order. Empty if there are none.
pub fn root_sn(bundle: &[Certificate]) -> String {
    let counting = bundle.iter().filter(|root| root.rsa_signed);
    counting.filter_map(|root| root.sn.as_deref()).collect::<Vec<_>>().join("_")
}

/// The issuer's name as it is hashed.
fn name(name: &Name) -> Option<String> {
    let mut parts: Vec<String> = name.iter().map(part).collect::<Option<_>>()?;
    parts.reverse();
    Some(parts.join(","))
}

fn part(part: &AttributeTypeAndValue) -> Option<String> {
    let value = &part.value;
    let text = match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok()?.as_str().to_owned(),
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().ok()?.as_str().to_owned(),
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().ok()?.as_str().to_owned(),
        Tag::TeletexString => value.decode_as::<TeletexStringRef<'_>>().ok()?.as_str().to_owned(),
        _ => return None,
    };
    Some(format!("{}={text}", short_name(part.oid)))
}

/// As OpenSSL calls it; what has no short name is called by its identifier.
fn short_name(oid: ObjectIdentifier) -> String {
    let known = [
        ("2.5.4.3", "CN"),
        ("2.5.4.5", "serialNumber"),
        ("2.5.4.6", "C"),
        ("2.5.4.7", "L"),
        ("2.5.4.8", "ST"),
        ("2.5.4.9", "street"),
        ("2.5.4.10", "O"),
        ("2.5.4.11", "OU"),
        ("0.9.2342.19200300.100.1.25", "DC"),
        ("1.2.840.113549.1.9.1", "emailAddress"),
    ];
    let oid = oid.to_string();
    known.iter().find(|(known, _)| *known == oid).map_or(oid, |(_, name)| (*name).to_owned())
}

/// A big-endian number of any length in decimal.
fn decimal(bytes: &[u8]) -> String {
    // Nine digits in each, the lowest first.
    let mut groups = vec![0_u64];
    for byte in bytes {
        let mut carry = u64::from(*byte);
        for group in &mut groups {
            let value = *group * 256 + carry;
            (*group, carry) = (value % 1_000_000_000, value / 1_000_000_000);
        }
        if carry > 0 {
            groups.push(carry);
        }
    }
    let mut written = groups.pop().unwrap_or(0).to_string();
    groups.iter().rev().for_each(|group| written += &format!("{group:09}"));
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_written_in_decimal() {
        for (bytes, written) in [
            (&[][..], "0"),
            (&[0], "0"),
            (&[0, 9], "9"),
            (&[0x3b, 0x9a, 0xca, 0x00], "1000000000"),
            (&[0xff; 8], "18446744073709551615"),
            (&[0xff; 16], "340282366920938463463374607431768211455"),
            (&[0xff; 20], "1461501637330902918203684832716283019655932542975"),
        ] {
            assert_eq!(decimal(bytes), written);
        }
    }
}
