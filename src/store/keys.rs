//! API keys in SQL. Only their SHA-256 is kept: a reader of the store cannot use them.

use super::{Store, command::Single, error::StoreError, tx::Tx};
use crate::domain::Millis;
use sqlx::{Row, any::AnyRow};

/// What a key may do. Each includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look.
    Read,
    /// Record consents, insert, change and cancel reminders.
    Write,
    /// Manage keys.
    Admin,
}

impl Scope {
    /// The word in SQL and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The scope of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Admin].into_iter().find(|s| s.word() == word)
    }
}

/// One API key, without the key itself.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its number, by which it is revoked.
    pub id: i64,
    /// What it is for.
    pub name: String,
    /// Lower-case hex SHA-256 of the key.
    pub hash: String,
    /// What it may do.
    pub scope: Scope,
    /// The apps it may touch; `None` for all.
    pub apps: Option<Vec<String>>,
    /// When it was made.
    pub created_at: Millis,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
}

/// A key about to be stored.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// What it is for.
    pub name: String,
    /// Lower-case hex SHA-256 of the key.
    pub hash: String,
    /// What it may do.
    pub scope: Scope,
    /// The apps it may touch; `None` for all.
    pub apps: Option<Vec<String>>,
}

impl Single for NewApiKey {
    type Done = i64;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<i64> {
        let row = sqlx::query(
            "INSERT INTO api_key (name, hash, scope, apps, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id",
        )
        .bind(&self.name)
        .bind(&self.hash)
        .bind(self.scope.word())
        .bind(self.apps.as_ref().map(|apps| apps.join(",")))
        .bind(tx.now)
        .fetch_one(&mut *tx.conn)
        .await?;
        Ok(row.get("id"))
    }
}

/// Revokes a key; `false` if there is no such key or it was revoked before.
pub(super) struct Revoke(pub i64);

impl Single for Revoke {
    type Done = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<bool> {
        let done = sqlx::query("UPDATE api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(self.0)
            .bind(tx.now)
            .execute(&mut *tx.conn)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

impl Store {
    /// All keys, revoked ones too, oldest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let rows = sqlx::query("SELECT id, name, hash, scope, apps, created_at, revoked_at FROM api_key ORDER BY id")
            .fetch_all(&self.read)
            .await?;
        let key = |row: &AnyRow| {
            Some(ApiKey {
                id: row.get("id"),
                name: row.get("name"),
                hash: row.get("hash"),
                scope: Scope::from_word(row.get("scope"))?,
                apps: row.get::<Option<String>, _>("apps").map(|apps| apps.split(',').map(str::to_owned).collect()),
                created_at: row.get("created_at"),
                revoked_at: row.get("revoked_at"),
            })
        };
        Ok(rows.iter().filter_map(key).collect())
    }
}

impl Store {
    /// Stores a key; answers its number.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn create_key(&self, key: NewApiKey) -> Result<i64, StoreError> {
        self.writer.do_one(key).await
    }

    /// Revokes a key; `false` if there is no such living key.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn revoke_key(&self, id: i64) -> Result<bool, StoreError> {
        self.writer.do_one(Revoke(id)).await
    }
}
