//! The schema: brought up to date when the store is opened, and by nothing else.

use super::{
    copy,
    database::OPEN_LIMIT,
    dialect::{Dialect, shown},
    error::{OpenError, StoreError},
};
use crate::{
    clock::Clock,
    trip::trip,
    words::{Message, say},
};
use sqlx::{
    AnyConnection, Row,
    migrate::{MigrateError, Migrator},
};
use std::{path::PathBuf, sync::LazyLock};

pub(super) static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
/// Without a lock of its own, which a session would hold: whoever may change the schema is alone with the database by then.
static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("migrations/postgres");
    migrator.set_locking(false);
    migrator
});

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

/// A schema that was brought up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgraded {
    /// The version that it was.
    pub from: i64,
    /// The version that it is.
    pub to: i64,
    /// SQLite's backup from before.
    pub backup: Option<PathBuf>,
}

impl Upgraded {
    /// What happened, and how to have a backup from before.
    pub fn message(&self) -> Message {
        let Self { from, to, backup } = self;
        match backup {
            Some(file) => say!("schema_changed_backup", from = from, to = to, file = file.to_string_lossy()),
            None => say!("schema_changed_no_backup", from = from, to = to),
        }
    }
}

/// What becomes of a store whose schema is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Older {
    /// It is brought up to date.
    BroughtUp,
    /// It is not opened.
    Refused,
    /// Nor is one made where there is none.
    RefusedAndNotMade,
}

/// Brings the schema up to date, and answers what it was if it was another. SQLite keeps a backup from before, as of the present time.
///
/// # Errors
/// When it was written by a newer tixing, or cannot be changed.
pub(super) async fn migrate(
    conn: &mut AnyConnection,
    dialect: Dialect,
    url: &str,
    clock: &dyn Clock,
    older: Older,
) -> Result<Option<Upgraded>, OpenError> {
    trip("start.before_migration");
    let newest = dialect.newest_schema();
    let applied =
        sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM _sqlx_migrations").fetch_one(&mut *conn);
    let applied = match tokio::time::timeout(OPEN_LIMIT, applied).await {
        Ok(applied) => applied.map_or(0, |row| row.get("version")),
        Err(_) => return Err(OpenError::Unreachable(say!("store_does_not_answer", store = shown(url)))),
    };
    if applied > newest {
        if min_schema(conn, dialect).await.is_some_and(|least| least <= newest) {
            // Daemons of two versions share a database while they are upgraded one after the other.
            tracing::warn!(
                schema = applied,
                newest,
                "the database was brought up to date by a newer tixing, and this one may go on"
            );
            return Ok(None);
        }
        let what = say!("store_too_new", store = shown(url), schema = applied, newest = newest);
        return Err(OpenError::Wrong(what));
    }
    if applied == 0 && older == Older::RefusedAndNotMade {
        may_make(conn, dialect).await.map_err(|why| unchanged(url, why, dialect))?;
        return Err(OpenError::Missing(say!("no_store_at", path = shown(url))));
    }
    let mut upgraded = None;
    if applied > 0 && applied < newest {
        if older != Older::BroughtUp {
            let what = say!("store_too_old", store = shown(url), schema = applied, newest = newest);
            return Err(OpenError::Wrong(what));
        }
        let backup = url.strip_prefix("sqlite:").map(|path| PathBuf::from(format!("{path}.before-{newest}")));
        if let Some(backup) = backup.as_ref().filter(|backup| !backup.exists()) {
            let made = copy::write(conn, backup, applied, || clock.now()).await;
            made.map_err(|copy::NotCopied { why, passes }| {
                let what = say!("store_not_copied", why = why);
                if passes { OpenError::Passing(what) } else { OpenError::Wrong(what) }
            })?;
        }
        let change = Upgraded { from: applied, to: newest, backup };
        tracing::warn!(from = applied, to = newest, "{}", change.message());
        upgraded = Some(change);
    }
    bring_up(conn, dialect).await.map_err(|why| unchanged(url, why, dialect))?;
    trip("start.after_migration");
    Ok(upgraded)
}

fn unchanged(url: &str, why: StoreError, dialect: Dialect) -> OpenError {
    let what = say!("store_schema_unchanged", store = shown(url), why = why.message());
    why.into_open_error(what, dialect)
}

/// Whether the first start may make a store in an empty database.
async fn may_make(conn: &mut AnyConnection, dialect: Dialect) -> Result<(), StoreError> {
    if dialect == Dialect::Sqlite {
        return Ok(());
    }
    let sql = "SELECT COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false) AS may";
    let row = sqlx::query(sql).fetch_one(conn).await?;
    if row.get("may") { Ok(()) } else { Err(StoreError::Wrong(say!("postgres_not_granted", role = say!("its_role")))) }
}

/// The oldest schema whose tixing may run on this database, where that is written down.
async fn min_schema(conn: &mut AnyConnection, dialect: Dialect) -> Option<i64> {
    if dialect == Dialect::Sqlite {
        return None;
    }
    let row = sqlx::query("SELECT min_schema FROM versions").fetch_optional(conn).await.ok()??;
    Some(row.get("min_schema"))
}

/// Takes away what only older versions of tixing need, and keeps them out from here on.
///
/// # Errors
/// When a daemon of such a version lives: its name and its version.
pub(super) async fn contract(conn: &mut AnyConnection, newest: i64) -> Result<(), StoreError> {
    if let Some((name, version)) = older_than(conn, newest).await? {
        return Err(StoreError::Wrong(say!("schema_still_needed", name = name, version = version)));
    }
    // So far no migration has left anything to be taken away.
    least_schema(conn, newest).await
}

/// The schema from which on a tixing knows of shards.
const SHARDS: i64 = 31;

/// A tixing that knows nothing of shards would take lanes that it never sends from: none may run on this database from here on.
///
/// # Errors
/// When such a daemon lives: its name and its version.
pub(super) async fn keep_out_before_shards(conn: &mut AnyConnection) -> Result<(), StoreError> {
    if let Some((name, version)) = older_than(conn, SHARDS).await? {
        return Err(StoreError::Wrong(say!("shards_older_node", name = name, version = version)));
    }
    least_schema(conn, SHARDS).await
}

/// A daemon that lives, or may come back, and knows only of schemas before this one: its name and its version.
async fn older_than(conn: &mut AnyConnection, schema: i64) -> sqlx::Result<Option<(String, String)>> {
    let sql = "SELECT name, version FROM node WHERE state <> 'gone' AND schema < $1 ORDER BY id LIMIT 1";
    let row = sqlx::query(sql).bind(schema).fetch_optional(conn).await?;
    Ok(row.map(|row| (row.get("name"), row.get("version"))))
}

/// From here on no tixing may run on this database that does not know this schema.
async fn least_schema(conn: &mut AnyConnection, schema: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE versions SET min_schema = $1 WHERE min_schema < $1").bind(schema).execute(conn).await?;
    Ok(())
}

/// Runs what is lacking.
///
/// # Errors
/// Why it cannot be run.
pub(super) async fn bring_up(conn: &mut AnyConnection, dialect: Dialect) -> Result<(), StoreError> {
    dialect.migrator().run_direct(None, conn, false).await.map_err(|e| match e {
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => StoreError::from(e),
        other => StoreError::Wrong(Message::text(other.to_string())),
    })
}
