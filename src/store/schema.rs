//! The schema: brought up to date when the store is opened, and by nothing else.

use super::{
    database::OPEN_LIMIT,
    dialect::{Dialect, shown},
    error::{OpenError, StoreError},
};
use crate::{trip::trip, words::say};
use sqlx::{AnyConnection, AssertSqlSafe, Row, migrate::Migrator};
use std::path::Path;

pub(super) static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

impl Dialect {
    fn migrator(self) -> &'static Migrator {
        match self {
            Self::Sqlite => &SQLITE,
            Self::Postgres => &POSTGRES,
        }
    }

    /// The version of the schema that this tixing knows.
    pub(super) fn newest_schema(self) -> i64 {
        self.migrator().iter().map(|migration| migration.version).max().unwrap_or_default()
    }
}

/// Brings the schema up to date. A file keeps a copy of itself from before.
///
/// # Errors
/// When it was written by a newer tixing, or cannot be changed.
pub(super) async fn migrate(conn: &mut AnyConnection, dialect: Dialect, url: &str) -> Result<(), OpenError> {
    trip("start.before_migration");
    let newest = dialect.newest_schema();
    let applied =
        sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM _sqlx_migrations").fetch_one(&mut *conn);
    let applied = match tokio::time::timeout(OPEN_LIMIT, applied).await {
        Ok(applied) => applied.map_or(0, |row| row.get("version")),
        Err(_) => return Err(OpenError::Unreachable(say!("store_does_not_answer", store = shown(url)))),
    };
    if applied > newest {
        let what = say!("store_too_new", store = shown(url), schema = applied, newest = newest);
        return Err(OpenError::Wrong(what));
    }
    if applied > 0
        && applied < newest
        && let Some(path) = url.strip_prefix("sqlite:")
    {
        let copy = format!("{path}.before-{newest}");
        if !Path::new(&copy).exists() {
            let sql = format!("VACUUM INTO '{}'", copy.replace('\'', "''"));
            let copied = sqlx::query(AssertSqlSafe(sql)).execute(&mut *conn).await;
            copied.map_err(|e| {
                OpenError::Wrong(say!("store_not_copied", copy = copy, why = StoreError::from(e).message()))
            })?;
            tracing::info!(copy, "kept a copy of the store before changing its schema");
        }
    }
    dialect
        .migrator()
        .run(conn)
        .await
        .map_err(|e| OpenError::Wrong(say!("store_schema_unchanged", store = shown(url), why = e.to_string())))?;
    trip("start.after_migration");
    Ok(())
}
