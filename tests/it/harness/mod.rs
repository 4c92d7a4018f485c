//! What the tests share: fixtures, throw-away databases.

pub mod book;
pub mod browser;
pub mod door;
pub mod link;
pub mod machine;
pub mod model;
pub mod pooler;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod rig;

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use std::{path::Path, sync::Arc};
use tixing::{
    clock::ManualClock,
    config::{self, App, Config, Durability},
    domain::{
        Millis,
        consent::{Feed, Report},
        reminder::{Accepted, Claim, NewReminder},
    },
    store::{OpenError, Store, nodes::NewNode, users::Wish},
};

/// 2027-03-01T00:00:00Z, where manual clocks start.
pub const START: Millis = 1_803_859_200_000;

/// A template for one send an accept.
pub const EVENT: &str = "Tq9EventReminder_000000000000000000000000001";
/// A template for many sends an accept.
pub const DIGEST: &str = "Tq9Digest_00000000000000000000000000000000002";

/// One app «coffee» and one «tea», as configured.
pub fn apps(base_url: &str) -> Vec<App> {
    config(base_url).apps
}

/// Their configuration.
pub fn config(base_url: &str) -> Config {
    let app = |name: &str, appid: &str| {
        format!(
            r#"
[[app]]
name = "{name}"
platform = "wechat"
appid = "{appid}"
secret = {{ env = "SECRET" }}
base_url = "{base_url}"
timezone = "Asia/Shanghai"
[[app.template]]
name = "event-start"
id = "{EVENT}"
kind = "one-time"
fields = {{ thing1 = "活动名称", time2 = "开始时间" }}
[[app.template]]
name = "digest"
id = "{DIGEST}"
kind = "long-term"
fields = {{ thing1 = "标题" }}
"#
        )
    };
    let text = app("coffee", "wx0123456789abcdef") + &app("tea", "wxfedcba9876543210");
    let env = |name: &str| (name == "SECRET").then(|| "app-secret".to_owned());
    config::parse(Path::new("tixing.toml"), &text, &env, Default::default()).expect("a good configuration")
}

/// A platform's sample app «coffee», at the sandbox of this address.
pub fn sample(platform: &tixing::platform::Facts, base_url: &str) -> App {
    let text = tixing::cli::init::configuration(platform);
    let text = text.replace("http://127.0.0.1:8790", base_url);
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, secret) in platform.sample.files {
        std::fs::write(folder.path().join(name), secret).expect("written");
    }
    let config = config::parse(&folder.path().join("tixing.toml"), &text, &|_| None, Default::default());
    config.unwrap_or_else(|e| panic!("{}: {e}", platform.word)).apps.remove(0)
}

/// A store on a throw-away database, with its clock.
pub struct TestStore {
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub url: String,
    _folder: tempfile::TempDir,
}

impl TestStore {
    /// Every word that the database holds.
    pub async fn everything(&self) -> String {
        let mut all = String::new();
        if let Some(path) = self.url.strip_prefix("sqlite:") {
            // The bytes of the file: what was deleted must not linger in it.
            for name in [path.to_owned(), format!("{path}-wal")] {
                all.push_str(&String::from_utf8_lossy(&std::fs::read(name).unwrap_or_default()));
            }
            return all;
        }
        let mut conn = AnyConnection::connect(&self.url).await.expect("connects");
        let tables =
            sqlx::query("SELECT table_name::text AS name FROM information_schema.tables WHERE table_schema = 'public'");
        for table in tables.fetch_all(&mut conn).await.expect("answers") {
            let sql = format!("SELECT t::text AS row FROM \"{}\" t", table.get::<String, _>("name"));
            for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut conn).await.expect("answers") {
                all.push_str(row.get("row"));
            }
        }
        all
    }
}

/// The databases under test.
pub fn databases() -> Vec<&'static str> {
    if postgres::available() { vec!["sqlite", "postgres"] } else { vec!["sqlite"] }
}

/// A fresh store URL of that database.
pub fn fresh_url(database: &str, folder: &Path) -> String {
    match database {
        "sqlite" => format!("sqlite:{}", folder.join("tixing.db").display()),
        _ => postgres::fresh_url(),
    }
}

/// A fresh store on that database.
pub async fn fresh(database: &str) -> TestStore {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = fresh_url(database, folder.path());
    let clock = ManualClock::at(START);
    let store = open(&url, &clock).await;
    TestStore { store, clock, url, _folder: folder }
}

/// Runs `test` on each database.
pub async fn on_both(test: impl AsyncFn(TestStore)) {
    for database in databases() {
        eprintln!("on {database}");
        test(fresh(database).await).await;
    }
}

/// Runs `test` on each database, in stores of these apps.
pub async fn on_both_of(apps: &[App], test: impl AsyncFn(TestStore)) {
    for database in databases() {
        eprintln!("on {database}");
        test(fresh_of(database, apps).await).await;
    }
}

/// A fresh store of these apps on that database.
pub async fn fresh_of(database: &str, apps: &[App]) -> TestStore {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (url, clock) = (fresh_url(database, folder.path()), ManualClock::at(START));
    let store = Store::open(&url, Durability::Full, apps, clock.clone()).await.expect("the store opens");
    TestStore { store, clock, url, _folder: folder }
}

/// Opens the store at `url`.
pub async fn open(url: &str, clock: &Arc<ManualClock>) -> Store {
    let clock = Arc::clone(clock);
    Store::open(url, Durability::Full, &apps("http://127.0.0.1:1"), clock).await.expect("the store opens")
}

/// Opens the store at `url` as a node of this name, which divides the apps as they say.
pub async fn open_among(url: &str, clock: &Arc<ManualClock>, apps: &[App], name: &str) -> Result<Store, OpenError> {
    let joins = (new_node(apps, name), Box::new(|_: &_| false) as _);
    Store::open_among(url, Durability::Full, apps, clock.clone(), joins).await
}

/// A node that keeps nothing locked.
pub fn new_node(apps: &[App], name: &str) -> NewNode {
    NewNode {
        name: name.into(),
        secret: name.into(),
        apps: apps.iter().map(|app| (app.name.clone(), String::new())).collect(),
        shards: apps.iter().filter(|app| app.shards > 1).map(|app| (app.name.clone(), app.shards)).collect(),
        ..NewNode::default()
    }
}

/// A popup report of one accepted template.
pub fn accept(app: &str, openid: &str, template: &str) -> Report {
    Report {
        app: app.into(),
        openid: openid.into(),
        results: [(template.to_owned(), true)].into(),
        at: START,
        feed: Feed::Client,
        source: "test".into(),
        event: None,
        ticket: None,
    }
}

/// A wish about a user of `coffee`.
pub fn wish(openid: &str) -> Wish {
    Wish { app: "coffee".into(), openid: openid.into(), actor: "test".into() }
}

/// A reminder of `coffee`'s event template, due at `at`, that reserves its consent.
pub fn reminder(openid: &str, at: Millis) -> NewReminder {
    NewReminder {
        app: "coffee".into(),
        openid: openid.into(),
        template: EVENT.into(),
        standing: false,
        at,
        local_at: None,
        expires_at: at + 3_600_000,
        page: Some("pages/event?id=7".into()),
        data: r#"{"thing1":"周三读书会","time2":"2027年3月1日 10:00"}"#.into(),
        key: None,
        digest: "d".into(),
        claim: Claim::Reserve,
        accepted: None,
        options: Default::default(),
        origin: None,
    }
}

/// The same, bringing its consent along.
pub fn accepted_reminder(openid: &str, at: Millis) -> NewReminder {
    let accepted = Accepted { at: START, source: "test".into(), event: None, ticket: None };
    NewReminder { accepted: Some(accepted), ..reminder(openid, at) }
}
