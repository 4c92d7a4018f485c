//! Why PostgreSQL does not let tixing in, in words and with the statement that is needed.

use super::error::{OpenError, StoreError, is_not_granted};
use crate::words::say;
use sqlx::{AnyConnection, Connection, Row, postgres::PgConnectOptions};
use std::{str::FromStr, time::Duration};

/// How long a look at the database may take.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// The role and the database that a URL names, or leaves to the environment.
fn names(url: &str) -> (String, String) {
    let options = PgConnectOptions::from_str(url).ok();
    let role = options.as_ref().map_or("?", PgConnectOptions::get_username).to_owned();
    let database =
        options.as_ref().and_then(PgConnectOptions::get_database).map_or_else(|| role.clone(), str::to_owned);
    (role, database)
}

/// Why no connection was made to this URL.
pub(super) fn told(error: sqlx::Error, url: &str) -> StoreError {
    let code = error.as_database_error().and_then(|e| e.code().map(|code| code.into_owned())).unwrap_or_default();
    let (role, database) = names(url);
    match code.as_str() {
        "28000" => StoreError::Wrong(say!("postgres_role_unknown", role = role)),
        "28P01" => StoreError::Wrong(say!("postgres_password_wrong", role = role)),
        "3D000" => StoreError::Wrong(say!("postgres_no_database", database = database, role = role)),
        code if is_not_granted(code) => {
            StoreError::Wrong(say!("postgres_no_connect", database = database, role = role))
        }
        _ => error.into(),
    }
}

/// The first version that is tested, as `server_version_num` says it.
const OLDEST: i64 = 140_000;

/// Refuses what is no PostgreSQL, though it speaks its language, or is too old. What keeps several daemons apart are locks of sessions and of rows,
/// which CockroachDB and YugabyteDB have in name alone, or only as they are configured: two daemons would send the same.
///
/// # Errors
/// What it is, and what is needed.
pub(super) async fn must_fit(conn: &mut AnyConnection, url: &str) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT version() AS said, current_setting('server_version_num') AS version")
        .fetch_one(&mut *conn)
        .await?;
    let (said, version): (String, String) = (row.get("said"), row.get("version"));
    if let Some(name) = unfit(&said) {
        return Err(StoreError::Wrong(say!("postgres_is_another", name = name)));
    }
    if version.parse::<i64>().is_ok_and(|version| version < OLDEST) {
        let version = said.split_whitespace().nth(1).unwrap_or(&version).to_owned();
        return Err(StoreError::Wrong(say!("postgres_too_old", version = version, oldest = OLDEST / 10_000)));
    }
    must_be_utf8(conn, url).await
}

/// What a server is that says this of itself, if it is not PostgreSQL.
fn unfit(said: &str) -> Option<&'static str> {
    let known = [("CockroachDB", "CockroachDB"), ("-YB-", "YugabyteDB")];
    known.into_iter().find(|(mark, _)| said.contains(mark)).map(|(_, name)| name)
}

/// Refuses a database whose texts cannot hold every character.
///
/// # Errors
/// What it is, and how one is made that can.
async fn must_be_utf8(conn: &mut AnyConnection, url: &str) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT current_setting('server_encoding') AS encoding").fetch_one(conn).await?;
    let encoding: String = row.get("encoding");
    if encoding == "UTF8" {
        return Ok(());
    }
    let (role, database) = names(url);
    Err(StoreError::Wrong(say!("postgres_not_utf8", database = database, encoding = encoding, role = role)))
}

/// Looks whether the database lets tixing in, and changes nothing.
///
/// # Errors
/// What is wrong with it, or that it does not answer.
pub async fn look(url: &str) -> Result<(), OpenError> {
    sqlx::any::install_default_drivers();
    let looked = tokio::time::timeout(LOOK_LIMIT, async {
        let mut conn = AnyConnection::connect(url).await.map_err(|e| told(e, url))?;
        must_fit(&mut conn, url).await?;
        conn.close().await.map_err(StoreError::from)
    });
    let limit = LOOK_LIMIT.as_millis() as u64;
    let looked =
        looked.await.unwrap_or_else(|_| Err(StoreError::Unavailable(say!("store_silent_at_opening", limit = limit))));
    looked.map_err(|e| {
        let what = say!("store_not_opened", store = super::shown(url), why = e.message());
        e.into_open_error(what, super::Dialect::Postgres)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_speaks_like_postgresql_and_is_another_is_told_from_it() {
        for (said, name) in [
            ("PostgreSQL 15.8 (Debian 15.8-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc", None),
            ("CockroachDB CCL v23.1.11 (x86_64-pc-linux-gnu, built 2023/09/27)", Some("CockroachDB")),
            ("PostgreSQL 11.2-YB-2.20.1.0-b0 on x86_64-pc-linux-gnu", Some("YugabyteDB")),
        ] {
            assert_eq!(unfit(said), name, "{said}");
        }
    }
}
