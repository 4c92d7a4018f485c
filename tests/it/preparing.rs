//! Occurrences whose preparation is cut off: the real program killed at every commit on the way. What is judged is what the store holds,
//! read past the program.

use crate::harness::{
    databases, fresh_url,
    program::{Program, SandboxServer, Site, now},
};
use futures_util::StreamExt;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Row};
use std::{collections::BTreeMap, fs, time::Duration};
use tixing::{
    domain::{HOUR, MINUTE},
    trip::POINTS_OF_RECURRENCES,
};

/// People of a list: several commits of a preparation.
const PEOPLE: usize = 1_500;
/// The audience in a table.
const LIST: &str = "{ file = \"list.csv\" }";
/// The points at which reminders are written.
const WRITES: [&str; 2] = ["load.before_commit", "load.after_commit"];

/// A marketer's folder with a schedule of which two occurrences are to be prepared at once.
struct Desk {
    site: Site,
    url: String,
    _store: tempfile::TempDir,
}

/// What the store holds of an occurrence.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    is_prepared: bool,
    people: i64,
    /// Openid → how many reminders.
    reminders: BTreeMap<String, i64>,
    /// How many of these hold a consent.
    holds: i64,
}

impl Desk {
    fn new(database: &str, platform: &str, audience: &str) -> Self {
        let store = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, store.path());
        let site = Site::new(&url, platform, "timezone = \"Asia/Shanghai\"");
        // Half an hour ahead, and once more an hour later; the third is further than it is prepared ahead.
        let minute = (now() + HOUR / 2).rem_euclid(HOUR) / MINUTE;
        let hourly = format!(
            "name = \"hourly\"\napp = \"coffee\"\ntemplate = \"event-start\"\n\
             at = {{ cron = \"{minute} * * * *\", ahead = \"2h\" }}\naudience = {audience}\n\
             [data]\nthing1 = \"{}\"\ntime2 = \"{{{{@event | datetime}}}}\"\n",
            if audience == LIST { "{{称呼}}" } else { "晨读" }
        );
        fs::write(site.path("hourly.toml"), hourly).expect("written");
        let rows: String = (0..PEOPLE).map(|i| format!("o-{i},{i}号\n")).collect();
        fs::write(site.path("list.csv"), format!("openid,称呼\n{rows}")).expect("written");
        Self { site, url, _store: store }
    }

    /// Everybody accepts twice: one consent for each occurrence.
    async fn accept(&self, program: &Program) {
        let accepted =
            |i| json!({ "app": "coffee", "openid": format!("o-{i}"), "results": { "event-start": "accept" } });
        for _ in 0..2 {
            let reports: String = (0..PEOPLE).map(|i| format!("{}\n", accepted(i))).collect();
            assert_eq!(program.batch("/v1/consents/batch", reports).await.len(), PEOPLE);
        }
    }

    fn load(&self) -> (i32, Value) {
        let (code, out, said) = self.site.run(&["load", "hourly.toml", "--json"]);
        (code, serde_json::from_str(&out).unwrap_or_else(|_| said.into()))
    }

    async fn kept(&self) -> BTreeMap<String, Kept> {
        sqlx::any::install_default_drivers();
        let mut conn = AnyConnection::connect(&self.url).await.expect("connects");
        let mut kept: BTreeMap<String, Kept> = BTreeMap::new();
        let sql = "SELECT name, people, (CASE WHEN prepared_at IS NULL THEN 0 ELSE 1 END) AS prepared FROM occurrence";
        for row in sqlx::query(sql).fetch_all(&mut conn).await.expect("answers") {
            let occurrence = kept.entry(row.get("name")).or_default();
            (occurrence.people, occurrence.is_prepared) = (row.get("people"), row.get::<i64, _>("prepared") == 1);
        }
        let sql = "SELECT m.occurrence, r.openid, COUNT(*) AS n, COUNT(c.reminder) AS holds
                   FROM reminder m JOIN recipient r ON r.id = m.recipient
                   LEFT JOIN consent c ON c.recipient = m.recipient AND c.template = m.template AND c.reminder = m.id
                   WHERE m.schedule IS NOT NULL GROUP BY m.occurrence, r.openid";
        for row in sqlx::query(sql).fetch_all(&mut conn).await.expect("answers") {
            let occurrence = kept.entry(row.get("occurrence")).or_default();
            occurrence.reminders.insert(row.get("openid"), row.get("n"));
            occurrence.holds += row.get::<i64, _>("holds");
        }
        conn.close().await.expect("closes");
        kept
    }

    /// Waits until the daemon has prepared both.
    async fn prepared(&self, program: &Program, what: &str) -> BTreeMap<String, Kept> {
        for _ in 0..1_200 {
            let kept = self.kept().await;
            if kept.len() == 2 && kept.values().all(|occurrence| occurrence.is_prepared) {
                return kept;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (_, shown) = program.get("/v1/schedules/hourly").await;
        panic!("{what}: not prepared in two minutes: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_a_preparation_that_is_killed_anywhere_is_completed_and_nobody_has_two_of_it() {
    let seed: u64 = std::env::var("TIXING_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("TIXING_SEED={seed} replays the commits at which it is killed");
    // A daemon prepares nothing before the platform has confirmed its clock.
    let platform = SandboxServer::start(seed).await;
    for database in databases() {
        let of_list = POINTS_OF_RECURRENCES.iter().chain(&WRITES).map(|point| (point, LIST));
        // Who has consented is written while others are still read.
        let points = of_list.chain(WRITES.iter().map(|point| (point, "\"consented\"")));
        let dying = points.zip(seed..);
        let dying = dying.map(|((point, who), seed)| dies_at(database, &platform.url, who, point, seed));
        futures_util::stream::iter(dying).buffer_unordered(2).collect::<Vec<()>>().await;
    }
}

async fn dies_at(database: &str, platform: &str, audience: &str, point: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let is_of_load = point.starts_with("keep");
    // The look ends once; both occurrences are begun, and written with several commits each.
    let n = if point.starts_with("prepare") || is_of_load { 1 } else { rng.random_range(1..=2) };
    let what = format!("{database}, {audience}, {point}:{n}");
    let desk = Desk::new(database, platform, audience);
    let mut program = desk.site.try_serve_with(&[("TIXING_TRIP", &format!("{point}:{n}"))]).expect("the daemon starts");
    program.key = desk.site.key();
    desk.accept(&program).await;
    let (code, said) = desk.load();
    if is_of_load {
        assert_eq!(code, 69, "{what}: who asked is told that the daemon is gone: {said}");
    }
    assert!(!program.wait_for_end().0.success(), "{what}: it was killed");
    let before = desk.kept().await;
    let all_prepared = before.len() == 2 && before.values().all(|occurrence| occurrence.is_prepared);
    assert_eq!(all_prepared, point == "prepare.after_commit", "{what}: {:?}", before.keys());
    let written: usize = before.values().map(|occurrence| occurrence.reminders.len()).sum();
    match (point, n) {
        ("load.before_commit", 1) | ("begin.before_commit" | "begin.after_commit", 1) => {
            assert_eq!(written, 0, "{what}")
        }
        ("load.before_commit" | "load.after_commit", _) => {
            assert!((1..2 * PEOPLE).contains(&written), "{what}: {written}")
        }
        _ => {}
    }
    let mut program = desk.site.serve();
    program.key = desk.site.key();
    if is_of_load {
        assert_eq!(desk.load().0, 0, "{what}: the same file completes it");
    }
    let after = desk.prepared(&program, &what).await;
    for (name, occurrence) in &after {
        assert_eq!(occurrence.reminders.len(), PEOPLE, "{what}: {name} reaches everybody");
        assert!(occurrence.reminders.values().all(|n| *n == 1), "{what}: nobody has two of {name}");
        assert_eq!(occurrence.holds, PEOPLE as i64, "{what}: each holds a consent of its own");
        assert_eq!(occurrence.people, PEOPLE as i64, "{what}: the count says so");
    }
    // What was written before the kill is what is there after.
    for (name, occurrence) in &before {
        assert!(occurrence.reminders.keys().all(|openid| after[name].reminders.contains_key(openid)), "{what}");
    }
    let (_, stats) = program.get("/v1/stats?app=coffee").await;
    let count = |name: &str| stats["apps"][0]["consents"][name].as_u64().expect("a number");
    assert_eq!((count("held"), count("available")), (2 * PEOPLE as u64, 0), "{what}: I4 {stats}");
    assert!(program.terminate().0.success(), "{what}");
}
