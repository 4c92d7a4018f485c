//! Pseudonyms: what users are called in logs, which must not say who they are.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;
use sqlx::{AnyConnection, Row};

/// Names users by a keyed hash: the same user gets the same name in this store, and without its key it does not tell who that is.
#[derive(Debug)]
pub struct Pseudonyms {
    key: SecretSlice<u8>,
}

impl Pseudonyms {
    /// Reads this store's key; the first start makes it.
    pub(super) async fn of(conn: &mut AnyConnection) -> sqlx::Result<Self> {
        let fresh: [u8; 32] = rand::rng().random();
        sqlx::query("INSERT INTO secret (name, value) VALUES ('pseudonyms', $1) ON CONFLICT (name) DO NOTHING")
            .bind(HEXLOWER.encode(&fresh))
            .execute(&mut *conn)
            .await?;
        let row = sqlx::query("SELECT value FROM secret WHERE name = 'pseudonyms'").fetch_one(conn).await?;
        // Only the statement above writes it.
        Ok(Self { key: row.get::<String, _>("value").into_bytes().into() })
    }

    pub(super) fn hash(&self, purpose: &str, openid: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose_secret()).expect("HMAC takes any key");
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac.update(openid.as_bytes());
        HEXLOWER.encode(&mac.finalize().into_bytes())
    }

    /// A user's name in logs.
    pub fn name(&self, openid: &str) -> String {
        format!("u_{}", &self.hash("log", openid)[..12])
    }

    /// What is kept of a user who was forgotten.
    pub(super) fn tag(&self, openid: &str) -> String {
        self.hash("forgotten", openid)
    }

    /// What is kept of a key or a tap that was used once and for ever. 128 bits tell all that ever come apart.
    pub(super) fn spent(&self, what: &str, text: &str) -> String {
        self.hash(what, text)[..32].to_owned()
    }
}
