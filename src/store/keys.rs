//! API keys in SQL. Only their SHA-256 is kept: a reader of the store cannot use them.

use super::{Store, command::Single, error::StoreError, tx::Tx};
use crate::domain::Millis;
use sqlx::{AnyConnection, Row, any::AnyRow};

/// What a key may do. `read`, `write` and `admin` include each the one before, and all of them the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Open the calendar feed and nothing else: such a key may stand in an address.
    Feed,
    /// Look.
    Read,
    /// Record consents, insert, change and cancel reminders.
    Write,
    /// Manage keys.
    Admin,
}

impl Scope {
    const ALL: [Self; 4] = [Self::Feed, Self::Read, Self::Write, Self::Admin];

    /// Whether a key of this scope may do what needs `needed`.
    pub fn includes(self, needed: Self) -> bool {
        match self {
            Self::Feed => needed == Self::Feed,
            Self::Read => matches!(needed, Self::Feed | Self::Read),
            Self::Write => needed != Self::Admin,
            Self::Admin => true,
        }
    }

    /// The word in SQL and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The scope of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.word() == word)
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

impl ApiKey {
    /// The key as a person knows it.
    pub fn named(&self) -> KeyName {
        KeyName { id: self.id, name: self.name.clone() }
    }
}

/// A key as a person knows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct KeyName {
    /// Its number, by which it is revoked.
    pub id: i64,
    /// What it is for.
    pub name: String,
}

impl KeyName {
    fn of(row: &AnyRow) -> Self {
        Self { id: row.get("id"), name: row.get("name") }
    }
}

/// A key that was revoked.
pub(super) struct Revoked {
    hash: String,
    at: Millis,
}

/// The keys that a store has as revoked.
pub(super) async fn revoked(conn: &mut AnyConnection) -> sqlx::Result<Vec<Revoked>> {
    let sql = "SELECT hash, revoked_at AS at FROM api_key WHERE revoked_at IS NOT NULL ORDER BY id";
    let rows = sqlx::query(sql).fetch_all(conn).await?;
    Ok(rows.iter().map(|row| Revoked { hash: row.get("hash"), at: row.get("at") }).collect())
}

/// Revokes those of them that live in this store; answers which these are.
pub(super) async fn revoke_again(conn: &mut AnyConnection, revoked: &[Revoked]) -> sqlx::Result<Vec<KeyName>> {
    let sql = "UPDATE api_key SET revoked_at = $2 WHERE hash = $1 AND revoked_at IS NULL RETURNING id, name";
    let mut again = Vec::new();
    for Revoked { hash, at } in revoked {
        let row = sqlx::query(sql).bind(hash).bind(at).fetch_optional(&mut *conn).await?;
        again.extend(row.as_ref().map(KeyName::of));
    }
    Ok(again)
}

/// The keys that live in a store.
pub(super) async fn living(conn: &mut AnyConnection) -> sqlx::Result<Vec<KeyName>> {
    let sql = "SELECT id, name FROM api_key WHERE revoked_at IS NULL ORDER BY id";
    Ok(sqlx::query(sql).fetch_all(conn).await?.iter().map(KeyName::of).collect())
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
    const WHAT: Option<&'static str> = Some("an API key was made");

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
        .fetch_one(tx.conn().await?)
        .await?;
        // It opens the API of each daemon.
        tx.rings = true;
        Ok(row.get("id"))
    }
}

/// Revokes a key; `false` if there is no such key or it was revoked before.
pub(super) struct Revoke(pub i64);

impl Single for Revoke {
    const WHAT: Option<&'static str> = Some("an API key was revoked");

    type Done = bool;

    async fn run(&self, tx: &mut Tx<'_>) -> sqlx::Result<bool> {
        let done = sqlx::query("UPDATE api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(self.0)
            .bind(tx.now)
            .execute(tx.conn().await?)
            .await?;
        tx.rings = true;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_key_opens_the_feed_alone_and_every_other_opens_it_too() {
        let includes = |scope: Scope| Scope::ALL.map(|needed| scope.includes(needed));
        assert_eq!(includes(Scope::Feed), [true, false, false, false]);
        assert_eq!(includes(Scope::Read), [true, true, false, false]);
        assert_eq!(includes(Scope::Write), [true, true, true, false]);
        assert_eq!(includes(Scope::Admin), [true, true, true, true]);
        for scope in Scope::ALL {
            assert_eq!(Scope::from_word(scope.word()), Some(scope));
        }
    }
}
