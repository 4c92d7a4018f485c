//! Loads that are cut off: the real program killed in the middle, a disk that fills, a caller that goes away, two at once. What is judged
//! is what the store holds, read past the program.

use crate::harness::{
    databases, fresh_url,
    program::{Program, Site, is_root},
};
use futures_util::StreamExt;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::{
    Response,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection, Row};
use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    time::Duration,
};
use tixing::trip::POINTS_OF_SCHEDULES;

/// Rows of a file: several commits of a load, and of a removal of a third.
const ROWS: usize = 3_000;
/// Kills of one schedule's loads on each database in the ordinary run; `TIXING_KILLS` says how many else.
const KILLS: usize = 6;

const SPRING: &str = r#"
name = "spring"
app = "coffee"
template = "event-start"
at = 2031-03-01T10:00:00
audience = { file = "list.csv", key = "编号" }
[data]
thing1 = "{{名称}}"
time2 = "{{@event | datetime}}"
"#;

/// A marketer's folder, with the table as it stands.
struct Desk {
    site: Site,
    url: String,
    /// Key → name. Its user is called by the key.
    table: BTreeMap<String, String>,
    _store: tempfile::TempDir,
}

/// What the store holds of the schedule.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    incomplete: bool,
    /// Key → the reminder, the consents that it holds, and what it says.
    rows: BTreeMap<String, (i64, i64, String)>,
    /// Reminders of the schedule that wait.
    waiting: i64,
    /// The same as it is counted.
    counted: i64,
}

impl Desk {
    fn new(database: &str) -> Self {
        Self::of(database, ROWS)
    }

    fn of(database: &str, rows: usize) -> Self {
        let store = tempfile::tempdir().expect("a folder");
        let url = fresh_url(database, store.path());
        let site = Site::new(&url, "http://127.0.0.1:1", "timezone = \"Asia/Shanghai\"");
        fs::write(site.path("spring.toml"), SPRING).expect("written");
        let table = (0..rows).map(|i| (format!("K{i}"), format!("第{i}场"))).collect();
        let desk = Self { site, url, table, _store: store };
        desk.save();
        desk
    }

    fn csv(&self) -> String {
        let rows: String = self.table.iter().map(|(key, name)| format!("o-{key},{key},{name}\n")).collect();
        format!("openid,编号,名称\n{rows}")
    }

    fn save(&self) {
        fs::write(self.site.path("list.csv"), self.csv()).expect("written");
    }

    /// Everybody accepts once.
    async fn accept(&self, program: &Program) {
        let accepted =
            |key| json!({ "app": "coffee", "openid": format!("o-{key}"), "results": { "event-start": "accept" } });
        let reports: String = self.table.keys().map(|key| format!("{}\n", accepted(key))).collect();
        let answers = program.batch("/v1/consents/batch", reports).await;
        assert_eq!(answers.len(), self.table.len(), "{:?}", answers.last());
    }

    fn load(&self) -> (i32, Value) {
        let (code, out, said) = self.site.run(&["load", "spring.toml", "--json"]);
        (code, serde_json::from_str(&out).unwrap_or_else(|_| said.into()))
    }

    async fn kept(&self) -> Kept {
        sqlx::any::install_default_drivers();
        let mut conn = AnyConnection::connect(&self.url).await.expect("connects");
        let sql = "SELECT q.key, q.reminder, m.data, (CASE WHEN c.reminder IS NULL THEN 0 ELSE 1 END) AS holds
                   FROM planned q JOIN reminder m ON m.id = q.reminder
                   LEFT JOIN consent c ON c.recipient = m.recipient AND c.template = m.template AND c.reminder = m.id";
        let mut kept = Kept::default();
        for row in sqlx::query(sql).fetch_all(&mut conn).await.expect("answers") {
            let data: Value = serde_json::from_str(row.get("data")).expect("JSON");
            let name = data["thing1"].as_str().expect("a text").to_owned();
            let before = kept.rows.insert(row.get("key"), (row.get("reminder"), row.get::<i64, _>("holds"), name));
            assert_eq!(before, None, "one reminder a row");
        }
        let one = async |conn: &mut AnyConnection, sql: &'static str| {
            sqlx::query(sql)
                .fetch_optional(conn)
                .await
                .expect("answers")
                .map(|row| row.get::<i64, _>("n"))
                .unwrap_or_default()
        };
        kept.waiting = one(&mut conn, "SELECT COUNT(*) AS n FROM due WHERE schedule IS NOT NULL").await;
        kept.counted = one(&mut conn, "SELECT n FROM schedule_tally WHERE name = 'scheduled'").await;
        kept.incomplete = one(&mut conn, "SELECT incomplete AS n FROM schedule").await == 1;
        conn.close().await.expect("closes");
        kept
    }

    /// Whether a load has got as far as writing.
    async fn is_being_loaded(&self) -> bool {
        let mut conn = AnyConnection::connect(&self.url).await.expect("connects");
        let task = sqlx::query("SELECT id FROM schedule WHERE task = 'load' AND task_beat > 0")
            .fetch_optional(&mut conn)
            .await;
        conn.close().await.expect("closes");
        task.expect("answers").is_some()
    }

    /// The same file again completes it, and once more changes nothing.
    async fn completes(&self, what: &str) {
        let (code, loaded) = self.load();
        assert_eq!(code, 0, "{what}: {loaded}");
        let kept = self.kept().await;
        assert!(!kept.incomplete, "{what}: it is complete");
        let says: BTreeMap<String, String> = kept.rows.iter().map(|(key, row)| (key.clone(), row.2.clone())).collect();
        assert_eq!(says, self.table, "{what}: each row has its reminder, and no other has one");
        assert!(kept.rows.values().all(|row| row.1 == 1), "{what}: each holds its user's consent");
        let n = i64::try_from(self.table.len()).expect("few");
        assert_eq!((kept.waiting, kept.counted), (n, n), "{what}: nothing waits but these, and the count says so");
        let (code, loaded) = self.load();
        let nothing = json!({ "new": 0, "changed": 0, "removed": 0 });
        assert_eq!((code, &loaded["loaded"]), (0, &nothing), "{what}");
        assert_eq!(self.kept().await, kept, "{what}: the same file again changes nothing");
    }

    /// The file and its table as a program sends them.
    fn form(&self) -> Form {
        let part = |text: String, name: &str| Part::text(text).file_name(name.to_owned());
        Form::new().part("schedule", part(SPRING.into(), "spring.toml")).part("list.csv", part(self.csv(), "list.csv"))
    }
}

/// Sends a file; the answer comes in lines.
async fn apply(program: &Program, form: Form) -> Response {
    let request = program.http.post(format!("{}/v1/schedules/apply", program.base)).bearer_auth(&program.key);
    request.header("accept", "application/x-ndjson").multipart(form).send().await.expect("an answer")
}

/// Reads an answer until some rows are written.
async fn some_are_written(answer: &mut Response) {
    let mut text = String::new();
    while !text.contains("writing") {
        let chunk = answer.chunk().await.expect("an answer").expect("rows are written before it ends");
        text += &String::from_utf8_lossy(&chunk);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_a_load_that_is_killed_anywhere_is_completed_by_the_same_file() {
    let seed: u64 = std::env::var("TIXING_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("TIXING_SEED={seed} replays the commits at which it is killed");
    for database in databases() {
        let dying = POINTS_OF_SCHEDULES.iter().zip(seed..).map(|(point, seed)| dies_at(database, point, seed));
        futures_util::stream::iter(dying).buffer_unordered(2).collect::<Vec<()>>().await;
    }
}

async fn dies_at(database: &str, point: &str, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let removes = point.starts_with("remove");
    let n = rng.random_range(1..=2);
    let what = format!("{database}, {point}:{n}");
    let mut desk = Desk::new(database);
    let mut program = desk.site.try_serve_with(&[("TIXING_TRIP", &format!("{point}:{n}"))]).expect("the daemon starts");
    program.key = desk.site.key();
    desk.accept(&program).await;
    if removes {
        assert_eq!(desk.load().0, 0, "{what}: what is removed is loaded first");
        desk.table.retain(|key, _| !key.ends_with(['1', '4', '7']));
        desk.table.insert("K2".into(), "改名的一场".into());
        desk.save();
    }
    let (code, said) = desk.load();
    assert_eq!(code, 69, "{what}: who asked is told that the daemon is gone: {said}");
    assert!(!program.wait_for_end().0.success(), "{what}: it was killed");
    let before = desk.kept().await;
    assert!(before.incomplete, "{what}");
    match (removes, point.ends_with("after_commit")) {
        (false, after) => assert_eq!(before.rows.is_empty(), n == 1 && !after, "{what}: {}", before.rows.len()),
        (true, after) => assert_eq!(before.rows.len() == ROWS, n == 1 && !after, "{what}: {}", before.rows.len()),
    }
    let mut program = desk.site.serve();
    program.key = desk.site.key();
    let (_, shown) = program.get("/v1/schedules/spring").await;
    assert_eq!(shown["incomplete"], true, "{what}: it says so: {shown}");
    let (_, stats) = program.get("/v1/stats").await;
    assert!(stats["incomplete_schedules"].to_string().contains("spring"), "{what}: the stats name it: {stats}");
    desk.completes(&what).await;
    let (_, shown) = program.get("/v1/schedules/spring").await;
    assert_eq!(shown["incomplete"], false, "{what}: {shown}");
    let after = desk.kept().await;
    for (key, (id, ..)) in before.rows.iter().filter(|(key, _)| desk.table.contains_key(*key)) {
        assert_eq!(after.rows[key].0, *id, "{what}: {key}, which was written before, keeps its reminder");
    }
    assert!(program.terminate().0.success(), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_kills_at_random_rows_of_a_file_that_is_edited_between_leave_what_the_last_one_says() {
    let seed: u64 = std::env::var("TIXING_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    eprintln!("TIXING_SEED={seed} replays the instants of the kills");
    for database in databases() {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut desk = Desk::new(database);
        let mut program = desk.site.serve_with_key();
        desk.accept(&program).await;
        let key = program.key.clone();
        let mut ids: BTreeMap<String, i64> = BTreeMap::new();
        let kills = std::env::var("TIXING_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
        for kill in 0..kills {
            if kill >= kills / 2 {
                // What is deleted stays away: it would come back under another id.
                desk.table.retain(|_, _| rng.random_ratio(19, 20));
                desk.table.values_mut().filter(|_| rng.random_ratio(1, 3)).for_each(|name| *name += "。");
                desk.save();
            }
            let mut command = desk.site.command(&["load", "spring.toml", "--json"]);
            let mut load = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs");
            while load.try_wait().expect("it is ours").is_none() && !desk.is_being_loaded().await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..500))).await;
            program.kill();
            load.wait().expect("it ends");
            let kept = desk.kept().await;
            eprintln!("{database}: killed with {} rows, incomplete: {}", kept.rows.len(), kept.incomplete);
            for (key, (id, ..)) in &kept.rows {
                assert_eq!(ids.entry(key.clone()).or_insert(*id), id, "{database}: {key} keeps its reminder");
            }
            assert!(ids.keys().filter(|key| desk.table.contains_key(*key)).all(|key| kept.rows.contains_key(key)));
            program = desk.site.serve();
            program.key.clone_from(&key);
        }
        desk.completes(database).await;
        let kept = desk.kept().await;
        for (key, (id, ..)) in &kept.rows {
            assert_eq!(ids.get(key).unwrap_or(id), id, "{database}: {key} keeps its reminder");
        }
        let (_, stats) = program.get("/v1/stats?app=coffee").await;
        let count = |name: &str| stats["apps"][0]["consents"][name].as_u64().expect("a number") as usize;
        let (held, free) = (desk.table.len(), ROWS - desk.table.len());
        assert_eq!((count("held"), count("available"), count("void")), (held, free, 0), "{database}: I4 {stats}");
        assert!(program.terminate().0.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_goes_on_without_its_caller_and_meanwhile_another_is_told_that_it_is_busy() {
    for database in databases() {
        // How soon the second file is planned depends on what else the machine does: if the first has ended by then, a larger one is written.
        let mut larger = (0..5).map(|n| ROWS << n);
        while !is_told_that_it_is_busy(database, larger.next().expect("the second is told before the first has ended"))
            .await
        {}
    }
}

/// Loads so many rows, another file in the middle, and the first again; whether the second was told that the first was being written.
async fn is_told_that_it_is_busy(database: &str, rows: usize) -> bool {
    let desk = Desk::of(database, rows);
    let program = desk.site.serve_with_key();
    desk.accept(&program).await;
    let mut answer = apply(&program, desk.form()).await;
    some_are_written(&mut answer).await;
    // One row is planned in no time, and removals come last.
    let small = Desk { table: [("K1".to_owned(), "第1场".to_owned())].into(), ..Desk::new("sqlite") };
    let path = "/v1/schedules/apply?allow_removals=true";
    let request = program.http.post(format!("{}{path}", program.base)).bearer_auth(&program.key);
    let second = request.multipart(small.form()).send().await.expect("an answer");
    let status = second.status().as_u16();
    let second: Value = serde_json::from_str(&second.text().await.expect("text")).expect("JSON");
    if status == 200 {
        return false;
    }
    assert_eq!((status, second["code"].as_str()), (409, Some("busy")), "{database}: {second}");
    drop(answer);
    let all = |stats: &Value| stats["apps"][0]["reminders"]["scheduled"] == rows;
    program.wait("/v1/stats?app=coffee", 60, all).await;
    desk.completes(database).await;
    assert!(program.terminate().0.success());
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_in_a_load_leaves_it_incomplete_and_the_same_file_completes_it() {
    if !is_root() {
        eprintln!("!!! NOT RUN: a small file system can only be mounted by root; CI runs this as root");
        assert!(std::env::var_os("CI").is_none(), "in CI this must run");
        return;
    }
    let mut desk = Desk::new("sqlite");
    let disk = desk.site.path("data");
    fs::create_dir(&disk).expect("made");
    let mount = |options: &str| Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&disk).status();
    assert!(mount("size=3m").is_ok_and(|s| s.success()), "a small tmpfs can be mounted");
    let configuration = fs::read_to_string(desk.site.path("tixing.toml")).expect("there");
    let url = format!("sqlite:{}", disk.join("tixing.db").display());
    fs::write(desk.site.path("tixing.toml"), configuration.replace(&desk.url, &url)).expect("written");
    desk.url = url;
    let program = desk.site.serve_with_key();
    desk.accept(&program).await;
    // Room for some of its rows is left.
    let ballast = disk.join("ballast");
    let filled = fs::write(&ballast, vec![0; 3 << 20]).expect_err("it is full").kind();
    assert_eq!(filled, std::io::ErrorKind::StorageFull);
    let file = fs::File::options().write(true).open(&ballast).expect("there");
    let size = file.metadata().expect("there").len();
    assert!(size > 400 << 10, "the consents alone have filled it: {size}");
    file.set_len(size - (300 << 10)).expect("cut");
    drop(file);
    let (code, refused) = desk.load();
    assert_eq!(code, 69, "{refused}");
    let before = desk.kept().await;
    assert!(before.incomplete && before.rows.len() < ROWS, "the disk fills up: {} rows", before.rows.len());
    assert!(mount("remount,size=60m").is_ok_and(|s| s.success()), "the disk grows");
    desk.completes("a disk that was full").await;
    let after = desk.kept().await;
    assert!(before.rows.iter().all(|(key, row)| after.rows[key].0 == row.0), "what was written stays");
    let (status, log) = program.terminate();
    assert!(Command::new("umount").arg(&disk).status().is_ok_and(|s| s.success()));
    assert!(status.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_for_temporary_files_that_fills_changes_nothing_and_is_named() {
    if !is_root() {
        eprintln!("!!! NOT RUN: a small file system can only be mounted by root; CI runs this as root");
        assert!(std::env::var_os("CI").is_none(), "in CI this must run");
        return;
    }
    let desk = Desk::new("sqlite");
    let disk = desk.site.path("tmp");
    fs::create_dir(&disk).expect("made");
    let mount = |options: &str| Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&disk).status();
    // First for the table as it comes, then for what is read of it.
    for size in ["size=16k", "size=256k"] {
        assert!(mount(size).is_ok_and(|s| s.success()), "a small tmpfs can be mounted");
        let program = desk.site.try_serve_with(&[("TMPDIR", &disk.to_string_lossy())]).expect("the daemon starts");
        let (code, refused) = desk.load();
        assert_eq!(code, 69, "{size}: {refused}");
        assert!(refused.to_string().contains("temporary files"), "{size}: {refused}");
        assert_eq!(desk.kept().await, Kept::default(), "{size}");
        assert!(program.terminate().0.success());
        assert_eq!(fs::read_dir(&disk).expect("readable").count(), 0, "{size}: nothing is left there");
        assert!(Command::new("umount").arg(&disk).status().is_ok_and(|s| s.success()));
    }
}
