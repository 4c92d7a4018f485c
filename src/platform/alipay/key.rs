//! RSA keys: signing with ours, and verifying with Alipay's. RSA2 is RSASSA-PKCS1-v1_5 with SHA-256, written as base64. [O]

use crate::words::{Message, say};
use data_encoding::BASE64;
use ring::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey},
};
use std::{fmt, sync::Arc};
use x509_cert::{
    der::{
        Decode, ErrorKind, Reader,
        asn1::{AnyRef, ObjectIdentifier, UintRef},
    },
    spki::SubjectPublicKeyInfoRef,
};

/// `rsaEncryption`.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// A private key. Cheap to clone.
#[derive(Clone)]
pub struct PrivateKey(Arc<KeyPair>);

impl PrivateKey {
    /// From DER, as PKCS#8 or as PKCS#1; `None` if it is neither.
    ///
    /// # Errors
    /// Why a private key cannot sign.
    pub fn read(der: &[u8]) -> Option<Result<Self, Message>> {
        let mut rejected = None;
        for read in [KeyPair::from_pkcs8(der), KeyPair::from_der(der)] {
            match read {
                Ok(pair) => return Some(Ok(Self(Arc::new(pair)))),
                Err(why) if why.to_string() == "InvalidEncoding" => {}
                Err(why) => rejected = rejected.or(Some(say!("private_key_rejected", why = why.to_string()))),
            }
        }
        rejected.map(Err)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public().as_ref().into())
    }

    /// The signature of a text.
    ///
    /// # Panics
    /// When the system has no random numbers.
    pub fn sign(&self, text: &str) -> String {
        let mut signature = vec![0; self.0.public().modulus_len()];
        let signed = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature);
        signed.expect("the key was checked, and the system has random numbers");
        BASE64.encode(&signature)
    }
}

/// Its public half only: nobody prints the other.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.public().fmt(f)
    }
}

/// A public key, as the bare `RSAPublicKey`: `ring` verifies nothing with a whole `SubjectPublicKeyInfo`.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(Arc<[u8]>);

impl PublicKey {
    /// From DER, as `SubjectPublicKeyInfo` or as PKCS#1; `None` if it is neither.
    ///
    /// # Errors
    /// Why nothing can be verified with it.
    pub fn read(der: &[u8]) -> Option<Result<Self, Message>> {
        let Ok(info) = SubjectPublicKeyInfoRef::from_der(der) else { return Self::bare(der) };
        let rsa = info.subject_public_key.as_bytes().filter(|_| info.algorithm.oid == RSA).and_then(Self::bare);
        Some(rsa.unwrap_or_else(|| Err(say!("public_key_not_rsa"))))
    }

    /// From a bare `RSAPublicKey`.
    fn bare(der: &[u8]) -> Option<Result<Self, Message>> {
        let numbers = AnyRef::from_der(der).ok()?.sequence(|reader| -> x509_cert::der::Result<_> {
            let (modulus, exponent) = (UintRef::decode(reader)?, UintRef::decode(reader)?);
            if reader.is_finished() { Ok((modulus, exponent)) } else { Err(ErrorKind::Failed.into()) }
        });
        let (modulus, _) = numbers.ok()?;
        let bits = modulus.as_bytes().len() * 8;
        // As `ring` has it; nothing shorter is RSA2.
        Some(if (2_048..=8_192).contains(&bits) {
            Ok(Self(der.into()))
        } else {
            Err(say!("public_key_size", found = bits))
        })
    }

    /// Whether this base64 is its signature of the text. A signature has one way to be written.
    pub fn verifies(&self, text: &str, signature: &str) -> bool {
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.0);
        BASE64.decode(signature.as_bytes()).is_ok_and(|signature| key.verify(text.as_bytes(), &signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an RSA key of {} bytes", self.0.len())
    }
}
