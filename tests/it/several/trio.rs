//! Three daemons on one PostgreSQL and one platform, and what is inserted through them.

use super::verdict::Verdict;
use crate::harness::{
    EVENT,
    pooler::{Pooler, Pooling},
    postgres,
    program::{Program, SandboxServer, Site, body, now},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, postgres::PgRow};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use tixing::{
    domain::{
        Millis,
        node::{LaneSeen, NodeId, NodeSeen, NodeState, View},
        reminder::ReminderId,
        timing::rfc3339,
    },
    sandbox::Sandbox,
};
use tokio::task::{JoinHandle, block_in_place};

/// The apps, the appids, and the node that has the lane. A doubt of `coffee` is sent again when that is safe; one of `tea` never is.
pub const APPS: [(&str, &str); 2] = [("coffee", "wx0123456789abcdef"), ("tea", "wxfedcba9876543210")];
pub const COFFEE: usize = 0;
pub const TEA: usize = 1;

/// Sends a second that each app allows.
pub const RATE: usize = 200;
/// Sends under way at once, of each app.
pub const CONCURRENCY: usize = 32;
/// The platform answers after so long, and at most so much longer.
const LATENCY: [u64; 2] = [60, 60];

/// What was inserted.
#[derive(Debug, Clone)]
pub struct Planned {
    pub app: usize,
    /// When it is to arrive: its instant, or the answer to its insert if that was later.
    pub due: Millis,
    pub id: ReminderId,
    /// Its cancellation was answered 2xx.
    pub cancelled: bool,
}

/// By openid.
pub type Plan = Arc<Mutex<HashMap<String, Planned>>>;

/// Three daemons. The first has the lane of `coffee` and the second that of `tea`, and the third stands by.
pub struct Trio {
    pub sandbox: SandboxServer,
    pub names: [String; 3],
    pub sites: [Site; 3],
    pub nodes: [Option<Program>; 3],
    pub url: String,
    pub plan: Plan,
    key: String,
    places: Places,
    serial: Arc<AtomicI64>,
    rng: Mutex<StdRng>,
    pulse: Pulse,
}

/// Where the nodes listen.
type Places = Arc<Mutex<[String; 3]>>;

/// Names that draw the lanes so: then none moves by itself.
fn names() -> [String; 3] {
    let fits = |names: &[String; 3]| {
        let nodes = (1..).zip(names).map(|(id, name)| NodeSeen {
            id: NodeId(id),
            name: name.clone(),
            state: NodeState::Live,
            beat: 1,
            apps: APPS.iter().map(|(app, _)| (*app).to_owned()).collect(),
            shards: BTreeMap::new(),
            on_time: true,
        });
        let lanes = (1..).zip(APPS).map(|(lane, (app, _))| LaneSeen {
            lane,
            app: app.to_owned(),
            shard: 0,
            waits: false,
            node: None,
            epoch: 0,
        });
        let view = View { nodes: nodes.collect(), lanes: lanes.collect() };
        view.places(None).into_iter().all(|(lane, node)| node == NodeId(lane))
    };
    (0..).map(|n| ["a", "b", "c"].map(|letter| format!("{letter}{n}"))).find(fits).expect("one in nine fits")
}

/// The configuration of a node.
pub fn site(store: &str, platform: &str, name: &str) -> Site {
    let app = |exclusive: bool| format!("rate = {RATE}\nconcurrency = {CONCURRENCY}\nexclusive = {exclusive}");
    let site = Site::new(store, platform, &app(true));
    let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
    let text = text.replace("[server]", &format!("[server]\nnode = \"{name}\""));
    let text = text.replace("timezone = \"Europe/Berlin\"", &format!("timezone = \"Europe/Berlin\"\n{}", app(false)));
    std::fs::write(site.path("tixing.toml"), text).expect("written");
    site
}

/// None where there is no PostgreSQL.
pub fn fresh_url() -> Option<String> {
    postgres::available().then(postgres::fresh_url)
}

impl Trio {
    /// Three daemons on a fresh database.
    pub async fn start(seed: u64) -> Option<Self> {
        let sandbox = SandboxServer::start(seed).await;
        let (store, platform) = (fresh_url()?, sandbox.url.clone());
        Some(Self::start_at(seed, sandbox, &store, |_| (store.clone(), platform.clone())).await)
    }

    /// The same behind a pooler. None where there is none.
    pub async fn start_behind_a_pooler(seed: u64) -> Option<(Self, Pooler)> {
        let (url, sandbox) = (fresh_url()?, SandboxServer::start(seed).await);
        let (folder, database) = postgres::parts(&url);
        let pooler = Pooler::before(folder, 5_432, Pooling::Transactions)?;
        let store = pooler.url(database);
        let platform = sandbox.url.clone();
        Some((Self::start_at(seed, sandbox, &url, |_| (store.clone(), platform.clone())).await, pooler))
    }

    /// The same with `coffee` divided into so many shards, of which the first node has one more than the others.
    pub async fn start_divided(seed: u64, shards: u32) -> Option<Self> {
        let sandbox = SandboxServer::start(seed).await;
        let (store, platform) = (fresh_url()?, sandbox.url.clone());
        let divided = format!("name = \"coffee\"\nshards = {shards}");
        let site = |name: &str| {
            let site = site(&store, &platform, name);
            let text = std::fs::read_to_string(site.path("tixing.toml")).expect("there");
            std::fs::write(site.path("tixing.toml"), text.replace("name = \"coffee\"", &divided)).expect("written");
            site
        };
        let trio = Self::start_in(seed, sandbox, &store, site).await;
        let sql = "UPDATE lane SET node = (SELECT n.id FROM node n WHERE n.name = $name), epoch = epoch + 1
             WHERE app = (SELECT id FROM app WHERE name = 'coffee') AND shard % 3 = ";
        for (i, name) in trio.names.iter().enumerate() {
            trio.sql(&format!("{}{i}", sql.replace("$name", &format!("'{name}'")))).await;
        }
        trio.sql("SELECT pg_notify('tixing', '')").await;
        trio.node(2).logs("this daemon sends for this app from now on app=\"coffee\"").await;
        Some(trio)
    }

    /// Three daemons of which each goes to the database and the platform at addresses of its own.
    pub async fn start_at(
        seed: u64,
        sandbox: SandboxServer,
        url: &str,
        addresses: impl Fn(usize) -> (String, String),
    ) -> Self {
        let names = names();
        let of = |name: &str| names.iter().position(|known| known == name).expect("one of them");
        let site = |name: &str| {
            let (store, platform) = addresses(of(name));
            site(&store, &platform, name)
        };
        Self::start_in(seed, sandbox, url, site).await
    }

    async fn start_in(seed: u64, sandbox: SandboxServer, url: &str, site: impl Fn(&str) -> Site) -> Self {
        let names = names();
        let sites = [0, 1, 2].map(|i| site(&names[i]));
        {
            let faults = &mut sandbox.sandbox.world().faults;
            [faults.latency_ms, faults.jitter_ms] = LATENCY;
        }
        let mut trio = Self {
            sandbox,
            names,
            sites,
            nodes: [None, None, None],
            url: url.to_owned(),
            plan: Plan::default(),
            key: String::new(),
            places: Places::default(),
            serial: Arc::default(),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            pulse: Pulse::start(url),
        };
        // The others read the key at their start; later they would within seconds.
        trio.serve(0);
        trio.key = block_in_place(|| trio.sites[0].key());
        trio.serve(1);
        trio.serve(2);
        trio.nodes[0].as_mut().expect("it runs").key.clone_from(&trio.key);
        trio.share_out().await;
        trio
    }

    /// Starts a node, or starts it again.
    pub fn serve(&mut self, i: usize) {
        let mut node = block_in_place(|| self.sites[i].serve());
        node.key.clone_from(&self.key);
        self.places.lock().expect("whole")[i].clone_from(&node.base);
        self.nodes[i] = Some(node);
    }

    /// Each lane goes at once where it would go within a minute.
    async fn share_out(&self) {
        for (app, name) in [APPS[COFFEE].0, APPS[TEA].0].iter().zip(&self.names) {
            let sql = format!(
                "UPDATE lane SET node = (SELECT id FROM node WHERE name = '{name}'), epoch = epoch + 1
                 WHERE app = (SELECT id FROM app WHERE name = '{app}')"
            );
            self.sql(&sql).await;
        }
        self.sql("SELECT pg_notify('tixing', '')").await;
        self.node(TEA).logs("this daemon sends for this app from now on app=\"tea\"").await;
    }

    /// A node that runs.
    pub fn node(&self, i: usize) -> &Program {
        self.nodes[i].as_ref().expect("it runs")
    }

    /// Takes a node out, to end it.
    pub fn take(&mut self, i: usize) -> Program {
        self.nodes[i].take().expect("it runs")
    }

    /// Asks the database itself.
    pub async fn sql(&self, sql: &str) -> Vec<PgRow> {
        let mut conn = PgConnection::connect(&self.url).await.expect("the database answers");
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut conn).await.expect(sql);
        conn.close().await.expect("closed");
        rows
    }

    /// The nodes of a name, oldest first: id and state.
    pub async fn states(&self, name: &str) -> Vec<(i64, String)> {
        let rows = self.sql(&format!("SELECT id, state FROM node WHERE name = '{name}' ORDER BY id")).await;
        rows.iter().map(|row| (row.get("id"), row.get("state"))).collect()
    }

    /// The name of the node that has an app's lane.
    pub async fn owner(&self, app: usize) -> Option<String> {
        let sql = "SELECT n.name FROM lane l JOIN app a ON a.id = l.app JOIN node n ON n.id = l.node WHERE a.name = ";
        self.sql(&format!("{sql}'{}'", APPS[app].0)).await.first().map(|row| row.get("name"))
    }

    /// Waits until an app's lane is, or is not, a node's; answers how long that took.
    pub async fn until_owner(&self, app: usize, name: &str, is: bool, seconds: u64) -> Millis {
        let begun = now();
        self.until(seconds, async || (self.owner(app).await.as_deref() == Some(name)) == is).await;
        now() - begun
    }

    /// Waits until something is so.
    pub async fn until(&self, seconds: u64, so: impl AsyncFn() -> bool) {
        let limit = now() + 1_000 * i64::try_from(seconds).expect("small");
        while !so().await {
            assert!(now() < limit, "it is not so after {seconds} s: {}", self.said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What a node left in the middle of being sent, or in doubt.
    pub async fn left_by(&self, node: i64) -> Vec<(ReminderId, i16)> {
        let sql = format!("SELECT id, state::int2 AS state FROM due WHERE node = {node} AND state <> 0");
        self.sql(&sql).await.iter().map(|row| (ReminderId(row.get("id")), row.get("state"))).collect()
    }

    /// The ends of all logs, for whoever finds a fault.
    pub fn said(&self) -> String {
        let said = self.nodes.iter().flatten().map(|node| {
            let said = node.said();
            let lines: Vec<&str> = said.lines().collect();
            format!("\n--- {}\n{}", node.base, lines[lines.len().saturating_sub(40)..].join("\n"))
        });
        said.collect()
    }

    /// A random number.
    pub fn random(&self, range: std::ops::Range<i64>) -> i64 {
        self.rng.lock().expect("whole").random_range(range)
    }

    /// How long the machine kept a thread waiting, or the database a commit, at worst.
    pub fn stall(&self) -> Millis {
        self.pulse.worst.load(Ordering::Relaxed)
    }

    /// A user who has accepted in an app. One of `tea` has accepted twice, of which the daemons know nothing: a second message would arrive.
    pub fn user(&self, app: usize) -> String {
        user(&self.sandbox.sandbox, &self.serial, app)
    }

    /// Inserts reminders of both apps, so many a second of each, due from an instant on, through all nodes that run.
    pub async fn insert(&self, rate: i64, from: Millis, span: Millis) {
        for app in [COFFEE, TEA] {
            self.crowd(app, (0..rate * span / 1_000).map(|i| from + i * 1_000 / rate).collect()).await;
        }
    }

    /// Inserts reminders of an app for these instants, through all nodes that run.
    pub async fn crowd(&self, app: usize, due: Vec<Millis>) {
        let nodes: Vec<&Program> = self.nodes.iter().flatten().collect();
        let mut parts = vec![(String::new(), Vec::new()); nodes.len()];
        for (i, due) in due.into_iter().enumerate() {
            let openid = self.user(app);
            let (lines, who) = &mut parts[i % nodes.len()];
            *lines += &format!("{}\n", request(app, &openid, due));
            who.push((openid, due));
        }
        for (node, (lines, who)) in nodes.iter().zip(parts) {
            let answers = node.batch("/v1/reminders/batch", lines).await;
            assert_eq!(answers.len(), who.len(), "every line is answered");
            let mut plan = self.plan.lock().expect("whole");
            for ((openid, due), answer) in who.into_iter().zip(answers) {
                plan.insert(openid, Planned { app, due, id: id(&answer), cancelled: false });
            }
        }
    }

    /// Inserts one reminder after the other, each due soon and through any node, whatever becomes of the nodes, until it is told to stop.
    pub fn trickle(&self) -> Trickle {
        let stop = Arc::new(AtomicBool::new(false));
        let dripping = Dripping {
            sandbox: self.sandbox.sandbox.clone(),
            serial: Arc::clone(&self.serial),
            places: Arc::clone(&self.places),
            plan: Arc::clone(&self.plan),
            key: self.key.clone(),
            stop: Arc::clone(&stop),
        };
        Trickle { stop, task: tokio::spawn(dripping.run()) }
    }

    /// Waits until everything has ended, and judges.
    pub async fn judge(&self, what: &str, seconds: u64) -> Verdict {
        let node = self.nodes.iter().flatten().next().expect("one runs");
        let ended = |stats: &Value| {
            let waits =
                |app: &Value| ["scheduled", "sending", "in_doubt"].map(|state| app["reminders"][state].as_i64());
            stats["apps"].as_array().is_some_and(|apps| apps.iter().all(|app| waits(app) == [Some(0); 3]))
        };
        let stats = node.wait("/v1/stats", seconds, ended).await;
        let plan = self.plan.lock().expect("whole").clone();
        let verdict = Verdict::of(what, &plan, self.sandbox.sandbox.world().messages(), self.stall());
        assert!(verdict.twice.is_empty(), "{what}: I2, twice: {:?}{}", verdict.twice, self.said());
        for (openid, planned) in &verdict.missing {
            let (status, reminder) = node.get(&format!("/v1/reminders/{}", planned.id)).await;
            assert_eq!(status, 200, "{what}: I3, {openid} is gone");
            let told = reminder["state"] == "unconfirmed" && reminder["reason"].is_string();
            assert!(told, "{what}: I3, nothing arrived, and nobody says why: {reminder}{}", self.said());
        }
        for app in stats["apps"].as_array().expect("apps") {
            let n = &app["reminders"];
            assert_eq!((n["failed"].as_i64(), n["expired"].as_i64()), (Some(0), Some(0)), "{what}: {app}");
        }
        let unconfirmed: i64 = stats["apps"]
            .as_array()
            .expect("apps")
            .iter()
            .filter_map(|app| app["reminders"]["unconfirmed"].as_i64())
            .sum();
        eprintln!("{what}: {unconfirmed} unconfirmed, of which {} did not arrive", verdict.missing.len());
        let latest = verdict.arrived.iter().max_by_key(|arrived| arrived.at - arrived.due);
        if let Some(latest) = latest {
            let (_, reminder) = node.get(&format!("/v1/reminders/{}", latest.id)).await;
            eprintln!(
                "{what}: the latest was {} ms late, at {}: {reminder}",
                latest.at - latest.due,
                rfc3339(latest.at)
            );
        }
        verdict
    }
}

fn user(sandbox: &Sandbox, serial: &AtomicI64, app: usize) -> String {
    let openid = format!("o{}{}", APPS[app].0, serial.fetch_add(1, Ordering::Relaxed));
    for _ in 0..=app {
        sandbox.world().tap(APPS[app].1, &openid, EVENT, true);
    }
    openid
}

/// A reminder that brings its consent, as it is asked for.
pub fn request(app: usize, openid: &str, due: Millis) -> Value {
    let mut body = body(openid, due - now());
    body["app"] = APPS[app].0.into();
    body["key"] = openid.into();
    body
}

/// The id in an answer.
pub fn id(answer: &Value) -> ReminderId {
    let id = answer["id"].as_str().unwrap_or_else(|| panic!("it is taken: {answer}"));
    id.parse().expect("an id")
}

/// Reminders that come one after the other.
pub struct Trickle {
    stop: Arc<AtomicBool>,
    task: JoinHandle<(usize, usize)>,
}

impl Trickle {
    /// Stops; answers how many were taken, and how often one had to be asked for again.
    pub async fn stop(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no panic")
    }
}

struct Dripping {
    sandbox: Sandbox,
    serial: Arc<AtomicI64>,
    places: Places,
    plan: Plan,
    key: String,
    stop: Arc<AtomicBool>,
}

impl Dripping {
    async fn run(self) -> (usize, usize) {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(4)).build().expect("a client");
        let (mut taken, mut asked, mut place) = (0, 0, 0);
        while !self.stop.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let app = taken % 2;
            let openid = user(&self.sandbox, &self.serial, app);
            let due = now() + 400;
            let request = request(app, &openid, due);
            // Safe to repeat: the key says that it is the same.
            let id = loop {
                place = (place + 1) % 3;
                asked += 1;
                assert!(now() < due + 90_000, "somebody takes it in the end");
                let base = self.places.lock().expect("whole")[place].clone();
                let ask = http.request(Method::POST, format!("{base}/v1/reminders")).bearer_auth(&self.key);
                let ask = ask.header("content-type", "application/json").body(request.to_string());
                if let Ok(answer) = ask.send().await
                    && let status = answer.status()
                    && let Ok(text) = answer.text().await
                    && status != 503
                {
                    let answer = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
                    break id(&answer);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            taken += 1;
            let due = due.max(now());
            self.plan.lock().expect("whole").insert(openid, Planned { app, due, id, cancelled: false });
        }
        (taken, asked - taken)
    }
}

/// Measures how long the machine keeps a thread waiting, and the database a commit: for so long others may wait, too.
struct Pulse {
    worst: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
    commits: JoinHandle<()>,
}

impl Pulse {
    fn start(url: &str) -> Self {
        let (worst, stop) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
        let (kept, stopped) = (Arc::clone(&worst), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let begun = now();
                std::thread::sleep(Duration::from_millis(10));
                kept.fetch_max(now() - begun - 10, Ordering::Relaxed);
            }
        });
        let commits = tokio::spawn(commit(url.to_owned(), Arc::clone(&worst)));
        Self { worst, stop, commits }
    }
}

async fn commit(url: String, worst: Arc<AtomicI64>) {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let Ok(mut conn) = PgConnection::connect(&url).await else { continue };
        // One that breaks off is no measure: somebody has stopped the database.
        while let begun = now()
            && sqlx::query("SELECT pg_logical_emit_message(true, 'pulse', '')").execute(&mut conn).await.is_ok()
        {
            worst.fetch_max(now() - begun, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.commits.abort();
    }
}
