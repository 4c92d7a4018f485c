//! What the text of a secret holds: a private key, a public one, or certificates, in PEM or as the console hands it out, in bare base64.

use super::{
    certificate::Certificate,
    key::{PrivateKey, PublicKey},
};
use crate::words::{Message, say};
use data_encoding::BASE64;

/// What a text holds.
pub enum Material {
    /// A private key.
    Private(PrivateKey),
    /// A public key.
    Public(PublicKey),
    /// Certificates, at least one.
    Certificates(Vec<Certificate>),
}

/// Characters of a text: a bundle of roots has less than ten thousand.
const MOST: usize = 256 * 1_024;

impl Material {
    /// Reads a text.
    ///
    /// # Errors
    /// What it is instead, without a word of it.
    pub fn read(text: &str) -> Result<Self, Message> {
        if text.len() > MOST {
            return Err(say!("key_too_long", found = text.len(), most = MOST));
        }
        let blocks = if text.contains("-----BEGIN ") { pem(text)? } else { vec![base64(text)?] };
        let certificates: Vec<_> = blocks.iter().map_while(|der| Certificate::read(der)).collect();
        match &blocks[..] {
            _ if certificates.len() == blocks.len() => Ok(Self::Certificates(certificates)),
            [one] => {
                let private = PrivateKey::read(one).map(|key| key.map(Self::Private));
                let key = private.or_else(|| PublicKey::read(one).map(|key| key.map(Self::Public)));
                key.unwrap_or_else(|| Err(say!("key_unreadable")))
            }
            _ => Err(say!("key_of_many_parts", found = blocks.len())),
        }
    }

    /// The public key in it: of a private key its other half, of certificates that of the first.
    ///
    /// # Errors
    /// Why nothing can be verified with it.
    pub fn public(&self) -> Result<PublicKey, Message> {
        match self {
            Self::Private(key) => Ok(key.public()),
            Self::Public(key) => Ok(key.clone()),
            Self::Certificates(certificates) => certificates[0].key.clone(),
        }
    }

    /// What it is, in words.
    pub fn told(&self) -> Message {
        match self {
            Self::Private(_) => say!("a_private_key"),
            Self::Public(_) => say!("a_public_key"),
            Self::Certificates(_) => say!("a_certificate"),
        }
    }
}

/// The contents of PEM's blocks; what stands between them is a comment.
fn pem(text: &str) -> Result<Vec<Vec<u8>>, Message> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let broken = || say!("pem_broken");
        let (label, body) = begun.split_once("-----").ok_or_else(broken)?;
        let (body, after) = body.split_once(&format!("-----END {label}-----")).ok_or_else(broken)?;
        if label.contains("ENCRYPTED") || body.contains("ENCRYPTED") {
            return Err(say!("key_encrypted"));
        }
        blocks.push(base64(body)?);
        rest = after;
    }
    Ok(blocks)
}

/// Base64 with whatever spaces and ends of lines.
fn base64(text: &str) -> Result<Vec<u8>, Message> {
    let bare: String = text.trim_start_matches('\u{feff}').split_whitespace().collect();
    match BASE64.decode(bare.as_bytes()) {
        Ok(der) if !der.is_empty() => Ok(der),
        _ => Err(say!("key_not_base64")),
    }
}
