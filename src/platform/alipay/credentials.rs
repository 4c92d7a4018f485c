//! An app's keys, read from its secrets and checked against each other: what stands in the wrong place is told before anything is sent.

use super::{
    certificate::{Certificate, root_sn},
    key::{PrivateKey, PublicKey},
    material::Material,
};
use crate::{
    domain::Millis,
    platform::{
        Account,
        facts::{BadSecret, Secrets},
    },
    words::{Message, say},
};
use secrecy::ExposeSecret;

/// The keys of the configuration.
const PRIVATE_KEY: &str = "private_key";
const ALIPAY_PUBLIC_KEY: &str = "alipay_public_key";
const APP: &str = "certificates.app";
const ALIPAY: &str = "certificates.alipay";
const ROOT: &str = "certificates.root";

/// An app's keys.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// What its requests are signed with.
    pub private: PrivateKey,
    /// What Alipay's answers and notifications are verified with.
    pub alipay: PublicKey,
    /// In certificate mode, by what numbers the certificates are called.
    pub numbers: Option<Numbers>,
    /// Until when each certificate is good, by its key in the configuration.
    pub ends: Vec<(&'static str, Millis)>,
}

/// The numbers of the certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers {
    /// The app's certificate.
    pub app: String,
    /// Alipay's.
    pub alipay: String,
    /// The bundle of roots.
    pub root: String,
}

impl Credentials {
    /// Those of an account.
    ///
    /// # Errors
    /// Which secret is wrong, what it is, and what belongs there.
    pub fn read(account: &Account<'_>) -> Result<Self, BadSecret> {
        let private = match material(account.secrets, PRIVATE_KEY)? {
            Material::Private(key) => key,
            other => return Err(bad(PRIVATE_KEY, say!("private_key_belongs", found = other.told()))),
        };
        if account.secrets.contains_key(APP) {
            return Self::of_certificates(private, account.secrets);
        }
        let alipay = match material(account.secrets, ALIPAY_PUBLIC_KEY)? {
            Material::Public(key) if key == private.public() => {
                return Err(bad(ALIPAY_PUBLIC_KEY, say!("own_public_key")));
            }
            Material::Public(key) => key,
            Material::Certificates(_) => return Err(bad(ALIPAY_PUBLIC_KEY, say!("certificate_for_public_key"))),
            other @ Material::Private(_) => {
                return Err(bad(ALIPAY_PUBLIC_KEY, say!("public_key_belongs", found = other.told())));
            }
        };
        Ok(Self { private, alipay, numbers: None, ends: Vec::new() })
    }

    fn of_certificates(private: PrivateKey, secrets: &Secrets) -> Result<Self, BadSecret> {
        let (app, alipay) = (certificates(secrets, APP)?, certificates(secrets, ALIPAY)?);
        let root = certificates(secrets, ROOT)?;
        // Alipay's file has its own certificate first and then those that signed it.
        let (app, alipay) = (&app[0], &alipay[0]);
        if key(APP, app)? != private.public() {
            return Err(bad(APP, say!("certificate_of_another_key")));
        }
        let alipay_key = key(ALIPAY, alipay)?;
        if alipay_key == private.public() {
            return Err(bad(ALIPAY, say!("own_certificate")));
        }
        if !root.iter().any(|root| root.self_issued) {
            return Err(bad(ROOT, say!("no_root_certificate")));
        }
        let unnamed = |key| bad(key, say!("certificate_issuer_unreadable"));
        if root.iter().any(|root| root.rsa_signed && root.sn.is_none()) {
            return Err(unnamed(ROOT));
        }
        let numbers = Numbers {
            app: app.sn.clone().ok_or_else(|| unnamed(APP))?,
            alipay: alipay.sn.clone().ok_or_else(|| unnamed(ALIPAY))?,
            root: root_sn(&root),
        };
        if numbers.root.is_empty() {
            return Err(bad(ROOT, say!("no_rsa_root")));
        }
        let ends = vec![(APP, app.ends), (ALIPAY, alipay.ends)];
        Ok(Self { private, alipay: alipay_key, numbers: Some(numbers), ends })
    }
}

fn bad(key: &'static str, why: Message) -> BadSecret {
    BadSecret { key, why }
}

fn material(secrets: &Secrets, key: &'static str) -> Result<Material, BadSecret> {
    let text = secrets.get(key).map(ExposeSecret::expose_secret).unwrap_or_default();
    Material::read(text).map_err(|why| bad(key, why))
}

fn certificates(secrets: &Secrets, key: &'static str) -> Result<Vec<Certificate>, BadSecret> {
    match material(secrets, key)? {
        Material::Certificates(certificates) => Ok(certificates),
        other => Err(bad(key, say!("certificate_belongs", found = other.told()))),
    }
}

fn key(place: &'static str, certificate: &Certificate) -> Result<PublicKey, BadSecret> {
    certificate.key.clone().map_err(|why| bad(place, why))
}
