//! The store is opened: its file is locked or made, its schema brought up to date, its names learnt, its writer started.

use super::{
    Store, backup,
    database::{self, Database, in_time},
    dialect::{Dialect, shown},
    error::{OpenError, StoreError},
    file, gates, identity,
    me::Me,
    names,
    nodes::{self, NewNode, Proof},
    progress,
    pulse::Trouble,
    schema::{self, Older},
    tally, templates,
    tx::Carried,
    write_conn::WriteConn,
    writer,
};
use crate::{
    clock::{Clock, SharedClock},
    config::{App, Durability},
    words::{Message, say},
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::{
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::sync::watch;

/// The slot of a store that has no other beside it.
const ALONE: i64 = 0;

/// Who else may write to the store.
enum Beside {
    /// Nobody.
    Nobody,
    /// Others, each with another slot than this one.
    Others(i64),
    /// Other nodes: this one joins them.
    Nodes(NewNode, Proof),
}

impl Store {
    /// Opens the store, brings its schema up to date, and makes the configured apps and templates known.
    ///
    /// # Errors
    /// A sentence: another daemon has it, it is not ours, it is newer, it is damaged, it is too old an SQLite.
    pub async fn open(url: &str, durability: Durability, apps: &[App], clock: SharedClock) -> Result<Self, OpenError> {
        Self::open_with(url, durability, apps, clock, (Older::BroughtUp, Beside::Nobody)).await
    }

    /// The same for whoever only looks, or does one thing: a store with an older schema is refused and not changed. `makes`: whether one is made where
    /// there is none.
    ///
    /// # Errors
    /// As [`Self::open`], and where the schema is older.
    pub async fn open_as_it_is(
        url: &str,
        durability: Durability,
        apps: &[App],
        clock: SharedClock,
        makes: bool,
    ) -> Result<Self, OpenError> {
        let older = if makes { Older::Refused } else { Older::RefusedAndNotMade };
        Self::open_with(url, durability, apps, clock, (older, Beside::Nobody)).await
    }

    /// The same as [`Self::open`] beside others that write to the same PostgreSQL database: without the right to be alone. For the daemon
    /// among several. No two that are open at the same time may have the same slot, which is one of 64.
    ///
    /// # Errors
    /// As [`Self::open`], except that another daemon may have it.
    ///
    /// # Panics
    /// When it is not PostgreSQL, or there is no such slot.
    pub async fn open_beside(
        url: &str,
        durability: Durability,
        apps: &[App],
        clock: SharedClock,
        slot: i64,
    ) -> Result<Self, OpenError> {
        assert!(Dialect::of(url) == Dialect::Postgres, "SQLite has one writer");
        Self::open_with(url, durability, apps, clock, (Older::BroughtUp, Beside::Others(slot))).await
    }

    /// The same for a daemon among several on one PostgreSQL database: it joins the nodes. Those of which `proof` says that they have ended are gone.
    ///
    /// # Errors
    /// As [`Self::open`]: a command that has the database for itself, or a daemon that shares with nobody, keeps it out.
    pub async fn open_among(
        url: &str,
        durability: Durability,
        apps: &[App],
        clock: SharedClock,
        (new, proof): (NewNode, Proof),
    ) -> Result<Self, OpenError> {
        Self::open_with(url, durability, apps, clock, (Older::BroughtUp, Beside::Nodes(new, proof))).await
    }

    async fn open_with(
        url: &str,
        durability: Durability,
        apps: &[App],
        clock: SharedClock,
        (older, beside): (Older, Beside),
    ) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let dialect = Dialect::of(url);
        let path = url.strip_prefix("sqlite:").map(|path| file::real(path.as_ref())).transpose()?;
        let lock = match &path {
            Some(path) => Some(take_or_make(path, &*clock).await?),
            None => None,
        };
        let full_url = path.as_ref().map_or_else(|| url.to_owned(), |path| file::url(path, "rw"));
        let file = path.as_deref().and_then(file::Identity::of);
        let lock = Arc::new(Mutex::new(lock));
        // Whoever joins others keeps them out only until it has joined: one at a time brings the schema up to date.
        let alone = !matches!(beside, Beside::Others(_));
        let mut database =
            Database { url: full_url.clone(), dialect, durability, file, alone, door: Arc::default(), lock };
        let failed = |e: StoreError| {
            let what = say!("store_not_opened", store = shown(url), why = e.message());
            e.into_open_error(what, dialect)
        };
        let sql_failed = |e: sqlx::Error| failed(StoreError::from(e));
        let mut conn = in_time(database.connect_writer()).await.map_err(failed)?;
        if dialect == Dialect::Sqlite {
            let version: String =
                sqlx::query("SELECT sqlite_version() AS v").fetch_one(&mut conn).await.map_err(sql_failed)?.get("v");
            file::check_version(&version)?;
            let schema = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations'");
            if schema.fetch_optional(&mut conn).await.map_err(sql_failed)?.is_none() {
                let log = file::beside(url.trim_start_matches("sqlite:").as_ref(), file::LOG);
                return Err(OpenError::Wrong(say!("store_lost_its_log", store = url, log = log.to_string_lossy())));
            }
        }
        let upgraded = schema::migrate(&mut conn, dialect, url, &*clock, older).await?;
        let replication = if let Beside::Nodes(new, _) = &beside { Some(new.replication) } else { None };
        let compared = in_time(async {
            Ok::<_, sqlx::Error>(match &path {
                Some(path) => progress::compare(&mut conn, path, clock.now()).await,
                None => identity::compare(&mut conn, clock.now(), replication).await.map_err(progress::Error::Sql),
            })
        });
        compared.await.map_err(failed)?.map_err(|e| match e {
            progress::Error::Sql(e) => sql_failed(e),
            progress::Error::File(e) => e,
        })?;
        // Only now: of whoever is gone by then nobody waits for what it had written.
        if let Beside::Nodes(_, proof) = &beside {
            in_time(nodes::write_ended(&mut conn, proof)).await.map_err(failed)?;
        }
        let me = match &beside {
            Beside::Others(slot) => Me::of_slot(*slot),
            _ => Me::of_slot(ALONE),
        };
        if let Beside::Nodes(new, _) = &beside {
            let joined = in_time(nodes::begin(&mut conn, new, dialect.newest_schema(), clock.now(), &me));
            joined.await.map_err(failed)?;
        }
        let learnt = in_time(async {
            let names = Arc::new(names::learn(&mut conn, dialect, apps).await?);
            let listings = templates::read(&mut conn, &names).await?;
            // Whoever did something to a schedule is gone where the store has one daemon. Among several they may be alive elsewhere, and are
            // gone when their beat stops.
            if database.alone && nodes::is_first(&mut conn, dialect, &me).await? {
                sqlx::query("UPDATE schedule SET task_beat = 0 WHERE task IS NOT NULL").execute(&mut conn).await?;
            }
            let gates = gates::read(&mut conn).await?;
            let backup = backup::last(&mut conn).await?;
            let last = sqlx::query("SELECT COALESCE(MAX(id), 0) AS last FROM reminder").fetch_one(&mut conn).await?;
            let carried = Carried::after(
                last.get("last"),
                tally::reached(&mut conn).await?.unwrap_or_default(),
                (dialect, durability),
                me.clone(),
            );
            let read = database::reading(dialect, &full_url, database::READERS).await?;
            let ahead = database::reading(dialect, &full_url, database::READERS_AHEAD).await?;
            Ok::<_, sqlx::Error>((names, listings, gates, carried, backup, read, ahead))
        });
        let (names, listings, read_gates, carried, backup, read, ahead) = learnt.await.map_err(failed)?;
        if matches!(beside, Beside::Nodes(..)) {
            database.let_others_in().await;
            database.alone = false;
        }
        let (on_commit, told) = watch::channel(None);
        let keeper = path.map(progress::Keeper::new);
        let gates = gates::Kept::default();
        gates.replace(read_gates);
        let (known, trouble) = ((Arc::clone(&names), gates.clone()), Trouble::default());
        let conn = WriteConn::on(conn, database.clone(), carried, known, Arc::clone(&clock));
        let writer =
            writer::start(conn, keeper, (told, trouble.clone())).map_err(|e| sql_failed(sqlx::Error::Io(e)))?;
        let last_backup = Arc::new(backup.into());
        Ok(Self {
            database,
            read,
            ahead,
            writer,
            clock,
            names,
            gates,
            listings,
            upgraded,
            on_commit,
            trouble,
            me,
            lines: nodes::Lines::default(),
            last_backup,
        })
    }
}

/// Takes SQLite's file for this process, one that is there or a new one.
async fn take_or_make(path: &Path, clock: &dyn Clock) -> Result<file::Lock, OpenError> {
    loop {
        if let Some(lock) = file::prepare(path)? {
            return Ok(lock);
        }
        if let Some(lock) = make(path, clock).await? {
            return Ok(lock);
        }
        // Another process has made one at the same time.
    }
}

/// Makes a new store. It has another name until it is whole, so that a store in its place that has no schema can only have lost it. `None`
/// if another process was faster.
async fn make(path: &Path, clock: &dyn Clock) -> Result<Option<file::Lock>, OpenError> {
    let new = file::New::begin(path)?;
    let cannot = |why: Message| say!("store_not_made", file = path.to_string_lossy(), why = why);
    let sql_failed = |e: sqlx::Error| {
        let e = StoreError::from(e);
        let what = cannot(e.message());
        e.into_open_error(what, Dialect::Sqlite)
    };
    let mut conn = AnyConnection::connect(&file::url(&new.path, "rw")).await.map_err(sql_failed)?;
    let id = format!("PRAGMA application_id = {}", file::APPLICATION_ID);
    for pragma in ["PRAGMA journal_mode = MEMORY", "PRAGMA synchronous = OFF", &id] {
        sqlx::query(AssertSqlSafe(pragma.to_owned())).execute(&mut conn).await.map_err(sql_failed)?;
    }
    schema::migrate(&mut conn, Dialect::Sqlite, &format!("sqlite:{}", path.display()), clock, Older::BroughtUp).await?;
    conn.close().await.map_err(sql_failed)?;
    new.finish(path).map_err(|e| OpenError::of_file(&e, cannot(Message::text(e.to_string()))))
}
