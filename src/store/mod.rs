//! All SQL. One writer task owns the only connection that writes; reads go to a pool that cannot.

mod dialect;
mod tx;
mod tally;
mod writer;
pub mod port;
pub mod reminders;
pub mod lists;
pub mod queue;
mod ledgers;
pub mod consents;
pub mod pushes;
pub mod doubts;
mod templates;
pub mod users;
pub mod retention;
pub mod keys;
pub mod backup;
pub(crate) mod file;
mod progress;
mod identity;

pub use dialect::Dialect;
pub use port::{OnCommit, Ring};

use crate::{
    clock::SharedClock,
    config::{App, Durability},
    domain::{
        consent::{Feeds, Report},
        draft::Change,
        reminder::{NewReminder, ReminderId},
        template::Kind,
    },
    trip::trip,
};
use doubts::{Decided, Resolved};
use keys::NewApiKey;
use pushes::{NewPush, Taken};
use reminders::{Changed, Inserted};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection, Row, any::AnyPoolOptions, migrate::Migrator};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};
use templates::Listings;
use tokio::sync::watch;
use tx::Carried;
use users::Pseudonyms;
use writer::{Command, Writer};

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Why the store did not do it. `Display` is fit for a log: no openid, no body, no password.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Busy, full, gone or unreadable; nothing was kept. The same may work later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The database refuses this very content; nothing was kept.
    #[error("the store refused the rows: {0}")]
    Refused(String),
    /// It did not say in time whether it was done: it may have been kept.
    #[error("the store did not say whether it was done: {0}")]
    Silent(String),
    /// The daemon is stopping.
    #[error("the store is closed")]
    Closed,
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            // A database's message may quote a value, so only its code is shown where it speaks of rows.
            sqlx::Error::Database(e) => {
                let code = e.code().unwrap_or_default().into_owned();
                match (code.as_str(), e.message()) {
                    ("13" | "53100", _) => {
                        Self::Unavailable("the disk is full; make room and it goes on by itself".into())
                    }
                    ("8" | "1032" | "25006", _) => {
                        Self::Unavailable("it is read-only; check the file's and the folder's permissions".into())
                    }
                    ("14", _) => {
                        Self::Unavailable("the file cannot be opened; check its folder and permissions".into())
                    }
                    ("11" | "26", _) => Self::Unavailable(
                        "the file is damaged; stop the daemon and put a backup in its place with `tixing restore`"
                            .into(),
                    ),
                    (code, message)
                        if code.starts_with("22") || code.starts_with("23") || message.contains("constraint") =>
                    {
                        Self::Refused(format!("database code {code}"))
                    }
                    // About the statement itself; it names columns, never values.
                    (code, message) if code == "1" || code.starts_with("42") => {
                        Self::Unavailable(format!("database code {code}: {message}"))
                    }
                    (code, _) => Self::Unavailable(format!("database code {code}")),
                }
            }
            sqlx::Error::Io(e) => Self::Unavailable(format!("the connection failed: {e}")),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection was free in time".into()),
            sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => Self::Unavailable("the connection failed".into()),
            _ => Self::Unavailable("the database connection was lost".into()),
        }
    }
}

/// Why the store cannot be opened: what was found and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It will not mend itself: the file, its folder, its schema.
    #[error("{0}")]
    Wrong(String),
    /// Another process has the file.
    #[error("{0}")]
    InUse(String),
    /// The database does not answer; it may later.
    #[error("{0}")]
    Unreachable(String),
}

/// How long a step of opening may take. A change of the schema takes as long as it takes.
const OPEN_LIMIT: Duration = Duration::from_secs(15);

/// A step of opening: a database that takes the connection and is silent is told of, and not waited for.
async fn in_time<T, E: Into<StoreError>>(step: impl Future<Output = Result<T, E>>) -> Result<T, StoreError> {
    match tokio::time::timeout(OPEN_LIMIT, step).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => {
            let limit = OPEN_LIMIT.as_secs();
            Err(StoreError::Unavailable(format!(
                "it took the connection and did not answer within {limit} s: look at the database"
            )))
        }
    }
}

/// Connections for whoever looks.
pub const READERS: u32 = 8;
/// Connections for the engine: it reads ahead for each lane, and looks for what has expired.
const READERS_AHEAD: u32 = 3;

/// Another process holds the right to write to this PostgreSQL database.
const IN_USE: &str = "it is in use by another tixing: stop that one first";

/// An app's row and its lane's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The app.
    pub id: i64,
    /// Its lane; one an app until large apps are sharded.
    pub lane: i64,
}

/// Names to small integers and back; fixed while the daemon runs.
#[derive(Debug)]
pub struct Names {
    apps: HashMap<String, Place>,
    lanes: HashMap<i64, String>,
    lanes_of_apps: HashMap<i64, i64>,
    templates: HashMap<(i64, String), i64>,
    codes: HashMap<i64, (i64, String)>,
    standing: HashSet<i64>,
    feeds: HashMap<i64, Feeds>,
    configured: HashSet<String>,
    pseudonyms: Pseudonyms,
}

impl Names {
    fn nameless(pseudonyms: Pseudonyms) -> Self {
        Self {
            apps: HashMap::new(),
            lanes: HashMap::new(),
            lanes_of_apps: HashMap::new(),
            templates: HashMap::new(),
            codes: HashMap::new(),
            standing: HashSet::new(),
            feeds: HashMap::new(),
            configured: HashSet::new(),
            pseudonyms,
        }
    }

    pub(crate) fn app(&self, name: &str) -> Place {
        *self.apps.get(name).expect("the API and the engine name configured apps only")
    }

    pub(crate) fn template(&self, app: i64, code: &str) -> i64 {
        *self.templates.get(&(app, code.to_owned())).expect("only configured templates are named")
    }

    fn find_template_of_lane(&self, lane: i64, code: &str) -> Option<i64> {
        let app = self.lanes.get(&lane).map(|name| self.app(name).id)?;
        self.find_template(app, code)
    }

    pub(crate) fn find_template(&self, app: i64, code: &str) -> Option<i64> {
        self.templates.get(&(app, code.to_owned())).copied()
    }

    /// Whose word counts for an app.
    pub(crate) fn feeds(&self, app: i64) -> Feeds {
        self.feeds.get(&app).copied().unwrap_or_default()
    }

    pub(crate) fn standing(&self, template: i64) -> bool {
        self.standing.contains(&template)
    }

    /// What users are called in logs.
    pub fn pseudonyms(&self) -> &Pseudonyms {
        &self.pseudonyms
    }

    /// The platform's id of a template.
    pub fn code(&self, template: i64) -> &str {
        self.codes.get(&template).map_or("?", |(_, code)| code)
    }

    /// The app whose lane this is.
    pub(crate) fn app_id_of_lane(&self, lane: i64) -> i64 {
        self.app(self.app_of_lane(lane)).id
    }

    /// The app of a template.
    pub(crate) fn app_of_template(&self, template: i64) -> i64 {
        self.codes.get(&template).expect("all templates are read at the start").0
    }

    /// The lane of a template's app.
    pub(crate) fn lane_of_template(&self, template: i64) -> i64 {
        *self.lanes_of_apps.get(&self.app_of_template(template)).expect("each app has a lane")
    }

    /// An app's templates.
    pub(crate) fn templates(&self, app: i64) -> impl Iterator<Item = i64> {
        self.codes.iter().filter(move |(_, (of, _))| *of == app).map(|(template, _)| *template)
    }

    /// All lanes.
    pub fn lanes(&self) -> Vec<i64> {
        self.lanes.keys().copied().collect()
    }

    /// The name of the app whose lane this is.
    pub fn app_of_lane(&self, lane: i64) -> &str {
        self.lanes.get(&lane).map_or("?", String::as_str)
    }
}

/// How to reach the database again.
#[derive(Clone)]
pub(crate) struct Opened {
    url: String,
    dialect: Dialect,
    durability: Durability,
    /// SQLite's file.
    file: Option<file::Identity>,
    /// Its lock: whoever may still open the file has a part in it, until the store is closed.
    lock: Arc<Mutex<Option<file::Lock>>>,
}

impl Opened {
    /// Whether SQLite's file is where it was: it would go on taking writes that nobody finds again.
    fn is_there(&self) -> Result<(), StoreError> {
        match &self.file {
            Some(file) if !file.is_there() => Err(StoreError::Unavailable(
                "its file was removed or replaced while the daemon had it: stop the daemon, put the file back, or a backup in its place \
                 with `tixing restore`, and start again"
                    .into(),
            )),
            _ => Ok(()),
        }
    }

    /// The connection that writes. On PostgreSQL it also holds the right to be the only daemon; losing it means losing that right.
    async fn connect_writer(&self) -> Result<AnyConnection, StoreError> {
        let mut conn = AnyConnection::connect(&self.url).await?;
        match self.dialect {
            Dialect::Sqlite => {
                let synchronous = if self.durability == Durability::Full { "FULL" } else { "NORMAL" };
                for pragma in [
                    "PRAGMA busy_timeout = 5000",
                    "PRAGMA journal_mode = WAL",
                    &format!("PRAGMA synchronous = {synchronous}"),
                    // For what comes between the writer's own, one a minute.
                    "PRAGMA wal_autocheckpoint = 16384",
                    "PRAGMA cache_size = -65536",
                    "PRAGMA temp_store = MEMORY",
                ] {
                    sqlx::query(AssertSqlSafe(pragma.to_owned())).execute(&mut conn).await?;
                }
            }
            Dialect::Postgres => {
                let synchronous = if self.durability == Durability::Full { "on" } else { "off" };
                sqlx::query(AssertSqlSafe(format!("SET synchronous_commit = {synchronous}")))
                    .execute(&mut conn)
                    .await?;
                sqlx::query("SET statement_timeout = '20s'").execute(&mut conn).await?;
                // A daemon that was killed holds it until the server has noticed, which takes a moment.
                for left in (0..30).rev() {
                    let row = sqlx::query("SELECT pg_try_advisory_lock(8391361) AS got").fetch_one(&mut conn).await?;
                    if row.get::<bool, _>("got") {
                        break;
                    }
                    if left == 0 {
                        return Err(StoreError::Unavailable(IN_USE.into()));
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        Ok(conn)
    }
}

/// The open store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    opened: Opened,
    /// For whoever looks.
    read: AnyPool,
    /// For the engine alone, so that nobody's looking stops a send.
    ahead: AnyPool,
    writer: Writer,
    names: Arc<Names>,
    listings: Listings,
    on_commit: watch::Sender<Option<Arc<OnCommit>>>,
}

impl Store {
    /// Opens the store, brings its schema up to date, and makes the configured apps and templates known.
    ///
    /// # Errors
    /// A sentence: another daemon has it, it is not ours, it is newer, it is damaged, it is too old an SQLite.
    pub async fn open(url: &str, durability: Durability, apps: &[App], clock: SharedClock) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let dialect = Dialect::of(url);
        let path = url.strip_prefix("sqlite:").map(|path| file::real(path.as_ref())).transpose()?;
        let lock = match &path {
            Some(path) => Some(take_or_make(path).await?),
            None => None,
        };
        let full_url = path.as_ref().map_or_else(|| url.to_owned(), |path| file::url(path, "rw"));
        let file = path.as_deref().and_then(file::Identity::of);
        let lock = Arc::new(Mutex::new(lock));
        let opened = Opened { url: full_url.clone(), dialect, durability, file, lock };
        let failed = |e: StoreError| {
            let what = format!("cannot open {}: {e}", shown(url));
            match e {
                StoreError::Unavailable(why) if why == IN_USE => OpenError::InUse(what),
                _ if dialect == Dialect::Postgres => OpenError::Unreachable(what),
                _ => OpenError::Wrong(what),
            }
        };
        let sql_failed = |e: sqlx::Error| failed(StoreError::from(e));
        let mut conn = in_time(opened.connect_writer()).await.map_err(failed)?;
        if dialect == Dialect::Sqlite {
            let version: String =
                sqlx::query("SELECT sqlite_version() AS v").fetch_one(&mut conn).await.map_err(sql_failed)?.get("v");
            file::check_version(&version)?;
            let schema = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations'");
            if schema.fetch_optional(&mut conn).await.map_err(sql_failed)?.is_none() {
                return Err(OpenError::Wrong(format!(
                    "{url} is a tixing store with nothing in it: its log ({}) was lost, or was left behind when it was copied. Put that \
                     beside it again, or a backup in its place with `tixing restore`; to begin anew, move the file away",
                    file::beside(url.trim_start_matches("sqlite:").as_ref(), file::LOG).display()
                )));
            }
        }
        migrate(&mut conn, dialect, url).await?;
        let compared = in_time(async {
            Ok::<_, sqlx::Error>(match &path {
                Some(path) => progress::compare(&mut conn, path, clock.now()).await,
                None => identity::compare(&mut conn, clock.now()).await.map_err(progress::Error::Sql),
            })
        });
        compared.await.map_err(failed)?.map_err(|e| match e {
            progress::Error::Sql(e) => sql_failed(e),
            progress::Error::File(e) => e,
        })?;
        let learnt = in_time(async {
            let names = Arc::new(learn_names(&mut conn, apps).await?);
            let listings = templates::read(&mut conn, &names).await?;
            let last = sqlx::query("SELECT COALESCE(MAX(id), 0) AS last FROM reminder").fetch_one(&mut conn).await?;
            let carried = Carried::after(last.get("last"), progress::stored(&mut conn).await?.unwrap_or_default());
            let read = reading(dialect, READERS).connect(&full_url).await?;
            let ahead = reading(dialect, READERS_AHEAD).connect(&full_url).await?;
            Ok::<_, sqlx::Error>((names, listings, carried, read, ahead))
        });
        let (names, listings, carried, read, ahead) = learnt.await.map_err(failed)?;
        let (on_commit, told) = watch::channel(None);
        let keeper = path.map(progress::Keeper::new);
        let writer = writer::start(opened.clone(), conn, keeper, carried, Arc::clone(&names), clock, told);
        Ok(Self { opened, read, ahead, writer, names, listings, on_commit })
    }

    /// Names to small integers and back.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Inserts reminders; durable when it returns, in the order given.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn insert(&self, news: Vec<NewReminder>) -> Result<Vec<Inserted>, StoreError> {
        self.writer.ask(|answer| Command::Insert(news, answer)).await
    }

    /// Records popup reports; answers how many consents each added, or `None` for one of a user who was forgotten.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn record(&self, reports: Vec<Report>) -> Result<Vec<Option<usize>>, StoreError> {
        self.writer.ask(|answer| Command::Record(reports, answer)).await
    }

    /// Takes in what a platform has pushed; durable when it returns.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn push(&self, push: NewPush) -> Result<Taken, StoreError> {
        self.writer.do_one(push).await
    }

    /// Writes down what somebody decided about a doubt.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn resolve(&self, decided: Decided) -> Result<Resolved, StoreError> {
        self.writer.do_one(decided).await
    }

    /// Forgets a slice of what is too old to be of use; answers how many rows went.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn tidy(&self) -> Result<u64, StoreError> {
        self.writer.do_one(pushes::ForgetOld).await
    }

    /// Cancels a scheduled reminder.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn cancel(&self, id: ReminderId) -> Result<Changed, StoreError> {
        self.writer.do_one(reminders::Cancel(id)).await
    }

    /// Changes a scheduled reminder.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn change(&self, id: ReminderId, change: Change) -> Result<Changed, StoreError> {
        self.writer.do_one((id, change)).await
    }

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
        self.writer.do_one(keys::Revoke(id)).await
    }

    /// Puts the store on hold, as one that was restored: in doubt about all that it has now.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn set_hold(&self) -> Result<(), StoreError> {
        self.writer.do_one(backup::SetHold).await
    }

    /// Ends the hold.
    ///
    /// # Errors
    /// When nothing was kept.
    pub async fn end_hold(&self) -> Result<(), StoreError> {
        self.writer.do_one(backup::EndHold).await
    }

    /// Finishes what was asked and closes the database; whoever asks afterwards is told that it is closed.
    pub async fn close(&self) {
        // Closed already: nothing to do.
        let _ = self.writer.ask(Command::Close).await;
        self.read.close().await;
        self.ahead.close().await;
        self.opened.lock.lock().expect("nothing panics while holding it").take();
    }

    /// Whether the database is there and answers a read within a second.
    pub async fn answers(&self) -> bool {
        if self.opened.is_there().is_err() {
            return false;
        }
        let ask = sqlx::query("SELECT 1").execute(&self.read);
        matches!(tokio::time::timeout(Duration::from_secs(1), ask).await, Ok(Ok(_)))
    }
}

/// Connections of a pool that can only read.
fn reading(dialect: Dialect, most: u32) -> AnyPoolOptions {
    let pragmas: &[&'static str] = match dialect {
        Dialect::Sqlite => &["PRAGMA busy_timeout = 5000", "PRAGMA cache_size = -8192", "PRAGMA query_only = 1"],
        Dialect::Postgres => &[
            "SET statement_timeout = '20s'",
            "SET default_transaction_read_only = on",
            // Every question has an index and wants few rows; a plan that knows neither would read whole tables.
            "SET enable_seqscan = off",
        ],
    };
    AnyPoolOptions::new()
        .max_connections(most)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        .after_connect(move |conn, _| {
            Box::pin(async move {
                for pragma in pragmas {
                    sqlx::query(*pragma).execute(&mut *conn).await?;
                }
                Ok(())
            })
        })
}

/// A store URL without what may be a password.
pub fn shown(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| rest.rsplit_once('@').map(|(_, host)| (scheme, host))) {
        Some((scheme, host)) => format!("{scheme}://…@{host}"),
        None => url.to_owned(),
    }
}

/// Takes SQLite's file for this process, one that is there or a new one.
async fn take_or_make(path: &Path) -> Result<file::Lock, OpenError> {
    loop {
        if let Some(lock) = file::prepare(path)? {
            return Ok(lock);
        }
        if let Some(lock) = make(path).await? {
            return Ok(lock);
        }
        // Somebody else has made one at the same time.
    }
}

/// Makes a new store. It has another name until it is whole, so that a store in its place that has no schema can only have lost it. `None`
/// if somebody else was faster.
async fn make(path: &Path) -> Result<Option<file::Lock>, OpenError> {
    let new = file::New::begin(path)?;
    let cannot = |why: String| OpenError::Wrong(format!("cannot make a store at {}: {why}", path.display()));
    let sql_failed = |e: sqlx::Error| cannot(StoreError::from(e).to_string());
    let mut conn = AnyConnection::connect(&file::url(&new.path, "rw")).await.map_err(sql_failed)?;
    let id = format!("PRAGMA application_id = {}", file::APPLICATION_ID);
    for pragma in ["PRAGMA journal_mode = MEMORY", "PRAGMA synchronous = OFF", &id] {
        sqlx::query(AssertSqlSafe(pragma.to_owned())).execute(&mut conn).await.map_err(sql_failed)?;
    }
    migrate(&mut conn, Dialect::Sqlite, &format!("sqlite:{}", path.display())).await?;
    conn.close().await.map_err(sql_failed)?;
    new.finish(path).map_err(|e| cannot(e.to_string()))
}

async fn migrate(conn: &mut AnyConnection, dialect: Dialect, url: &str) -> Result<(), OpenError> {
    trip("start.before_migration");
    let migrator = if dialect == Dialect::Sqlite { &SQLITE } else { &POSTGRES };
    let newest = migrator.iter().map(|m| m.version).max().unwrap_or_default();
    let applied =
        sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM _sqlx_migrations").fetch_one(&mut *conn);
    let applied = match tokio::time::timeout(OPEN_LIMIT, applied).await {
        Ok(applied) => applied.map_or(0, |row| row.get("version")),
        Err(_) => return Err(OpenError::Unreachable(format!("{} does not answer: look at the database", shown(url)))),
    };
    if applied > newest {
        return Err(OpenError::Wrong(format!(
            "{} was written by a newer tixing (schema {applied}, this one knows {newest}): run that version, or restore a backup from before",
            shown(url)
        )));
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
                OpenError::Wrong(format!(
                    "cannot copy the store to {copy} before changing its schema: {}",
                    StoreError::from(e)
                ))
            })?;
            tracing::info!(copy, "kept a copy of the store before changing its schema");
        }
    }
    migrator
        .run(conn)
        .await
        .map_err(|e| OpenError::Wrong(format!("cannot bring the schema of {} up to date: {e}", shown(url))))?;
    trip("start.after_migration");
    Ok(())
}

/// Makes the configured apps and templates known, and reads all that were ever known.
async fn learn_names(conn: &mut AnyConnection, apps: &[App]) -> sqlx::Result<Names> {
    for app in apps {
        sqlx::query("INSERT INTO app (name) VALUES ($1) ON CONFLICT (name) DO NOTHING")
            .bind(&app.name)
            .execute(&mut *conn)
            .await?;
        sqlx::query(
            "INSERT INTO lane (app, shard) SELECT id, 0 FROM app WHERE name = $1 ON CONFLICT (app, shard) DO NOTHING",
        )
        .bind(&app.name)
        .execute(&mut *conn)
        .await?;
        for template in &app.templates {
            sqlx::query("INSERT INTO template (app, code) SELECT id, $2 FROM app WHERE name = $1 ON CONFLICT (app, code) DO NOTHING")
                .bind(&app.name)
                .bind(&template.code)
                .execute(&mut *conn)
                .await?;
        }
    }
    let mut names = Names::nameless(Pseudonyms::of(conn).await?);
    let rows =
        sqlx::query("SELECT a.id, a.name, l.id AS lane FROM app a JOIN lane l ON l.app = a.id WHERE l.shard = 0");
    for row in rows.fetch_all(&mut *conn).await? {
        let (name, place) = (row.get::<String, _>("name"), Place { id: row.get("id"), lane: row.get("lane") });
        names.lanes.insert(place.lane, name.clone());
        names.lanes_of_apps.insert(place.id, place.lane);
        names.apps.insert(name, place);
    }
    for row in sqlx::query("SELECT id, app, code FROM template").fetch_all(&mut *conn).await? {
        let (id, app, code): (i64, i64, String) = (row.get("id"), row.get("app"), row.get("code"));
        names.codes.insert(id, (app, code.clone()));
        names.templates.insert((app, code), id);
    }
    for app in apps {
        names.configured.insert(app.name.clone());
        let place = names.app(&app.name);
        names.feeds.insert(place.id, app.consents);
        for template in app.templates.iter().filter(|t| t.kind == Kind::LongTerm) {
            let id = names.template(place.id, &template.code);
            names.standing.insert(id);
        }
    }
    Ok(names)
}
