//! What tixing does in a second, beside what this machine can do at all. It prints; it asserts nothing.
//!
//! `cargo bench -- NAME…` with names among: floor spike spike20 bulk single steady erasing planning plan load look prepare stored several; `--postgres` for PostgreSQL,
//! `--stored N` for the size of a store that `bulk` and `stored` meet, `--n N` for the number of reminders, `--rate N` for those a second of `steady`,
//! `--counted` for what `perf` counts of a spike (it wants root, and slows down what it counts). `soak --minutes N` runs only
//! when it is named.

#[allow(dead_code, reason = "shared with the tests, which use more of it")]
#[path = "../../tests/it/harness/postgres.rs"]
mod postgres;

mod counted;
mod look;
mod marketer;
mod prepare;
mod several;
mod soak;
mod usage;

use axum::{Router, extract::State, routing::post};
use counted::Counted;
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tixing::{
    clock::{Clock, ManualClock, SystemClock},
    config::{self, Config},
    daemon::Daemon,
    domain::{
        DAY, Millis,
        reminder::{Accepted, Claim, NewReminder, State as ReminderState},
        settle::received,
        timing::rfc3339,
    },
    http,
    platform::{
        Request,
        transport::{HttpTransport, Limits, Transport},
    },
    store::{
        Store,
        lists::Filter,
        port::{Entry, Job, Queue},
    },
};
use tokio_util::sync::CancellationToken;
use usage::usage;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TEMPLATE: &str = "Tq9EventReminder_000000000000000000000000001";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if args.first().is_some_and(|a| a == "sink") {
        return sink(args[1].parse().expect("milliseconds"));
    }
    let value = |name: &str, default: usize| {
        args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)?.parse().ok()).unwrap_or(default)
    };
    let bench = Bench {
        postgres: args.iter().any(|a| a == "--postgres"),
        stored: value("--stored", 0),
        n: value("--n", 200_000),
        rate: value("--rate", 1_000),
        counted: args.iter().any(|a| a == "--counted"),
    };
    let named = |name: &str| {
        args.iter().all(|a| a.starts_with("--") || a.parse::<usize>().is_ok()) || args.iter().any(|a| a == name)
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        if args.iter().any(|a| a == "soak") {
            return soak::run(&bench.place("soak"), value("--minutes", 5)).await;
        }
        if named("floor") || named("spike") {
            let floor = bench.floor(0, 1_024).await;
            let rate = bench.spike(0, Crowd::InOneSecond).await;
            println!("spike / floor: {:.2}", rate / floor);
        }
        if named("spike") {
            bench.spike(0, Crowd::AtOneInstant).await;
        }
        if named("spike20") {
            bench.spike(20, Crowd::InOneSecond).await;
        }
        if named("steady") {
            bench.steady(0, 0).await;
        }
        if named("erasing") {
            bench.steady(40_000, 0).await;
        }
        if named("planning") {
            bench.steady(0, value("--n", 1_000_000)).await;
        }
        if named("plan") {
            marketer::plan(&bench).await;
        }
        if named("load") {
            marketer::load(&bench, value("--n", 1_000_000)).await;
        }
        if named("look") {
            look::run(&bench, 10_000).await;
        }
        if named("prepare") {
            prepare::run(&bench, value("--n", 1_000_000)).await;
        }
        if named("several") {
            several::run(&bench).await;
        }
        if named("single") {
            bench.single().await;
        }
        if named("bulk") || named("stored") {
            bench.bulk().await;
        }
    });
}

/// Prints what was counted for each of `n`.
fn told(counted: Option<Counted>, n: usize) {
    if let Some(counted) = counted {
        println!("  {}", counted.end(n));
    }
}

/// A platform that says yes: in a process of its own, as lean as hyper allows.
fn sink(latency_ms: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let count = Arc::new(AtomicUsize::new(0));
        let send = move |State(count): State<Arc<AtomicUsize>>, _: axum::body::Bytes| async move {
            count.fetch_add(1, Ordering::Relaxed);
            if latency_ms > 0 {
                tokio::time::sleep(Duration::from_millis(latency_ms)).await;
            }
            "{\"errcode\":0,\"errmsg\":\"ok\",\"msgid\":3248682510344192008}"
        };
        let router = Router::new()
            .route("/cgi-bin/stable_token", post(|| async { "{\"access_token\":\"T\",\"expires_in\":7200}" }))
            .route("/cgi-bin/message/subscribe/send", post(send))
            .with_state(count);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("http://{}", listener.local_addr().expect("an address"));
        std::io::stdout().flush().expect("written");
        http::serve(listener, router, CancellationToken::new()).await;
    });
}

struct Sink {
    child: Child,
    url: String,
}

impl Sink {
    fn start(latency_ms: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["sink", &latency_ms.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut url = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut url).expect("an address");
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Bench {
    postgres: bool,
    stored: usize,
    n: usize,
    /// Of the steady second.
    rate: usize,
    /// Whether `perf` counts what floor and spike do.
    counted: bool,
}

/// How a crowd comes due.
#[derive(Clone, Copy, PartialEq)]
enum Crowd {
    /// Spread over a second, sent as fast as can be.
    InOneSecond,
    /// At one instant, at a rate that drains it in 33 seconds: longer than everything in reach is read again, and than any timer.
    AtOneInstant,
}

struct Place {
    folder: PathBuf,
    url: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Bench {
    /// A fresh store on the disk that holds the build.
    fn place(&self, name: &str) -> Place {
        let exe = std::env::current_exe().expect("this program");
        let folder = exe.parent().expect("a folder").join(format!("bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("made");
        let url = if self.postgres { postgres::fresh_url() } else { "sqlite:tixing.db".into() };
        Place { folder, url }
    }

    fn config(&self, place: &Place, platform: &str) -> Config {
        let url = &place.url;
        let text = format!(
            r#"
[server]
listen = "127.0.0.1:0"
[store]
url = "{url}"
[[app]]
name = "coffee"
platform = "wechat"
appid = "wx0123456789abcdef"
secret = {{ env = "SECRET" }}
base_url = "{platform}"
timezone = "Asia/Shanghai"
rate = 100000
concurrency = 1024
[[app.template]]
name = "event-start"
id = "{TEMPLATE}"
kind = "one-time"
fields = {{ thing1 = "活动名称", time2 = "开始时间", thing5 = "活动地点" }}
[[app]]
name = "tea"
platform = "wechat"
appid = "wxfedcba9876543210"
secret = {{ env = "SECRET" }}
base_url = "{platform}"
timezone = "Asia/Shanghai"
[[app.template]]
name = "event-start"
id = "{TEMPLATE}"
kind = "one-time"
fields = {{ thing1 = "活动名称", time2 = "开始时间", thing5 = "活动地点" }}
"#
        );
        config::parse(&place.folder.join("tixing.toml"), &text, &|_| Some("s".into()), Default::default())
            .expect("good")
    }

    fn count(&self) -> Option<Counted> {
        self.counted.then(Counted::begin).flatten()
    }

    fn database(&self) -> &'static str {
        if self.postgres { "PostgreSQL" } else { "SQLite" }
    }

    /// What reqwest does by itself against the same sink.
    async fn floor(&self, latency_ms: u64, connections: usize) -> f64 {
        let sink = Sink::start(latency_ms);
        let (url, n) = (sink.url.clone(), self.n);
        let counted = self.count();
        let rate = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let transport = HttpTransport::new(Limits::default()).expect("a client");
                let body = "{\"touser\":\"oR3m1nd3rUs3r000000000000001\",\"template_id\":\"Tq9\",\"page\":\"pages/event/detail?id=42\",\
                    \"miniprogram_state\":\"formal\",\"lang\":\"zh_CN\",\"data\":{\"thing1\":{\"value\":\"周三读书会\"},\
                    \"time2\":{\"value\":\"2026年1月14日 19:30\"},\"thing5\":{\"value\":\"三楼301室\"}}}";
                let request = Request::json(format!("{url}/cgi-bin/message/subscribe/send?access_token=T"), body);
                let left = Arc::new(AtomicUsize::new(n));
                let begun = Instant::now();
                let mut tasks = tokio::task::JoinSet::new();
                for _ in 0..connections {
                    let (transport, request, left) = (transport.clone(), request.clone(), Arc::clone(&left));
                    tasks.spawn(async move {
                        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                            transport.call(request.clone()).await.expect("an answer");
                        }
                    });
                }
                tasks.join_all().await;
                n as f64 / begun.elapsed().as_secs_f64()
            })
        });
        let rate = rate.await.expect("it runs");
        println!("floor: bare reqwest, {connections} connections, {latency_ms} ms: {rate:.0}/s");
        told(counted, n);
        rate
    }

    async fn fill(&self, store: &Store, n: usize, at: impl Fn(usize) -> Millis) {
        for from in (0..n).step_by(4_000) {
            let news = (from..(from + 4_000).min(n)).map(|i| new(i, at(i))).collect();
            store.insert(news).await.expect("inserted");
        }
    }

    /// A crowd, each user with a consent of its own.
    async fn spike(&self, latency_ms: u64, crowd: Crowd) -> f64 {
        let sink = Sink::start(latency_ms);
        let place = self.place("spike");
        let clock = SystemClock::shared();
        let mut config = self.config(&place, &sink.url);
        let (spread, words) = match crowd {
            Crowd::InOneSecond => (1_000, "in one second"),
            Crowd::AtOneInstant => (0, "at one instant, a thirty-third of them allowed a second"),
        };
        if crowd == Crowd::AtOneInstant {
            config.apps[0].rate = u32::try_from(self.n / 33).expect("few").max(1);
        }
        let daemon = Daemon::start(config, Arc::clone(&clock)).await.expect("starts");
        let lead = 5_000 + self.n as Millis / 15;
        let due = (clock.now() + lead) / 1_000 * 1_000;
        let n = self.n;
        self.fill(daemon.api.store(), n, |i| due + (i * spread / n) as Millis).await;
        let left = due - clock.now();
        assert!(left > 0, "the filling took too long");
        let counted = self.count();
        tokio::time::sleep(Duration::from_millis((due - clock.now()).max(0) as u64)).await;
        let before = usage();
        let begun = Instant::now();
        let sent = || async { daemon.api.store().tally().await.expect("answers")["coffee"]["sent"] as usize };
        let (mut peak, mut silence, mut moved, mut last): (f64, f64, _, _) = (0.0, 0.0, begun, 0);
        while last < n {
            tokio::time::sleep(Duration::from_millis(20)).await;
            peak = peak.max(usage().rss);
            let now = sent().await;
            silence = silence.max(moved.elapsed().as_secs_f64());
            if now > last {
                (last, moved) = (now, Instant::now());
            }
        }
        let took = begun.elapsed().as_secs_f64();
        let after = usage();
        let rate = n as f64 / took;
        println!(
            "spike: {n} due {words}, {latency_ms} ms platform, {}: {rate:.0}/s, longest silence {:.0} ms; {peak:.0} MB RSS at most; {}",
            self.database(),
            silence * 1e3,
            after.since(&before, n),
        );
        told(counted, n);
        daemon.stop().await.expect("stops");
        rate
    }

    /// So many a second for twenty seconds: how late they go out.
    /// Meanwhile retention erases `old` reminders that ended long ago, with their consents and users, and a file of `planned` rows of
    /// another app is planned over and over.
    async fn steady(&self, old: usize, planned: usize) {
        let sink = Sink::start(0);
        let place = self.place("steady");
        let clock = SystemClock::shared();
        let mut config = self.config(&place, &sink.url);
        if old > 0 {
            let past = ManualClock::at(clock.now() - 40 * DAY);
            let store = Store::open(&config.store.url, config.store.durability, &config.apps, past.clone()).await;
            let store = store.expect("opens");
            for from in (0..old).step_by(4_000) {
                let news =
                    (from..from + 4_000).map(|i| new(10_000_000 + i * 7_919 % 1_000_003, past.now() + i as Millis));
                store.insert(news.collect()).await.expect("inserted");
            }
            let (lane, now) = (store.lane("coffee"), past.now() + DAY);
            loop {
                let jobs = store.prefetch(lane, (0, 0), now, 4_000).await.expect("answers");
                if jobs.is_empty() {
                    break;
                }
                let sent = |job: &Job| Entry {
                    target: job.target(true),
                    settlement: received(),
                    began_at: None,
                    ended_at: job.due.at,
                };
                let settles = jobs.iter().map(sent).collect();
                store.mark(jobs).await.expect("marked");
                store.settle(settles).await.expect("settled");
            }
            store.close().await;
            config.retention.history = Some(30 * DAY);
        }
        let daemon = Daemon::start(config, Arc::clone(&clock)).await.expect("starts");
        let n = 20 * self.rate;
        // A large file is written first.
        let due = clock.now() + if planned > 0 { 15_000 } else { 5_000 };
        self.fill(daemon.api.store(), n, |i| due + (i * 1_000 / self.rate) as Millis).await;
        let planner = match planned {
            0 => None,
            n => Some(marketer::Planner::begin(&daemon, &place, n).await),
        };
        let before = usage();
        tokio::time::sleep(Duration::from_millis((due - clock.now()).max(0) as u64 + 21_000)).await;
        let each = usage().since(&before, n);
        let plans = match planner {
            None => String::new(),
            Some(planner) => format!(", {planned} rows planned {} times meanwhile", planner.end().await),
        };
        let store = daemon.api.store();
        let mut late: Vec<Millis> = lateness(store, "coffee", due).await.into_iter().map(|(_, late)| late).collect();
        late.sort_unstable();
        let kept = store.tally().await.expect("answers")["coffee"]["sent"] as usize;
        let at = |q: f64| late[((late.len() - 1) as f64 * q) as usize];
        println!(
            "steady: {}/s, {}{}{plans}: {} sent, late p50 {} ms, p99 {} ms, max {} ms, earliest {} ms; {each}",
            self.rate,
            self.database(),
            if old > 0 { format!(", {} of {old} erased meanwhile", old + n - kept) } else { String::new() },
            late.len(),
            at(0.5),
            at(0.99),
            at(1.0),
            at(0.0),
        );
        daemon.stop().await.expect("stops");
    }

    /// Single inserts over HTTP by 64 clients, each answered when durable.
    async fn single(&self) {
        let place = self.place("single");
        let clock = SystemClock::shared();
        let daemon =
            Daemon::start(self.config(&place, "http://127.0.0.1:1"), Arc::clone(&clock)).await.expect("starts");
        let key = key(&daemon).await;
        let url = format!("http://{}/v1/reminders", daemon.address);
        let at = rfc3339(clock.now() + 86_400_000);
        let (n, clients) = (40_000, 64);
        let next = Arc::new(AtomicUsize::new(0));
        let took = Arc::new(Mutex::new(Vec::new()));
        let begun = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let (url, at, key, next, took) =
                (url.clone(), at.clone(), key.clone(), Arc::clone(&next), Arc::clone(&took));
            tasks.spawn(async move {
                let http = reqwest::Client::new();
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= n {
                        return;
                    }
                    let request =
                        http.post(&url).bearer_auth(&key).header("content-type", "application/json").body(line(i, &at));
                    let begun = Instant::now();
                    let answer = request.send().await.expect("an answer");
                    assert_eq!(answer.status(), 201);
                    answer.bytes().await.expect("whole");
                    took.lock().expect("whole").push(begun.elapsed());
                }
            });
        }
        tasks.join_all().await;
        let rate = n as f64 / begun.elapsed().as_secs_f64();
        let mut took = took.lock().expect("whole").clone();
        took.sort_unstable();
        println!(
            "single: {clients} clients, {}: {rate:.0}/s durable, p50 {:?}, p99 {:?} (clients on the same cores)",
            self.database(),
            took[n / 2],
            took[n * 99 / 100]
        );
        daemon.stop().await.expect("stops");
    }

    /// NDJSON over HTTP with a consent each, into a store of `--stored` reminders; then start-up and memory with what is there.
    async fn bulk(&self) {
        let place = self.place("bulk");
        let clock = SystemClock::shared();
        let start = || Daemon::start(self.config(&place, "http://127.0.0.1:1"), Arc::clone(&clock));
        let daemon = start().await.expect("starts");
        let day = 86_400_000;
        let base = clock.now() + day;
        // Random users at random times within thirty days.
        let scattered = |i: usize| base + (i as Millis).wrapping_mul(2_654_435_761) % (30 * day);
        let begun = Instant::now();
        self.fill(daemon.api.store(), self.stored, scattered).await;
        if self.stored > 0 {
            println!(
                "filled {} in {:.0} s ({:.0}/s, consents and users included)",
                self.stored,
                begun.elapsed().as_secs_f64(),
                self.stored as f64 / begun.elapsed().as_secs_f64()
            );
        }
        let key = key(&daemon).await;
        let (n, stored) = (self.n, self.stored);
        let pieces = (0..n / 1_000).map(move |k| {
            let mut text = String::new();
            for i in k * 1_000..(k + 1) * 1_000 {
                text += &line(stored + i, &rfc3339(scattered(stored + i)));
                text.push('\n');
            }
            bytes::Bytes::from(text)
        });
        let pieces: Vec<_> = pieces.collect();
        let begun = Instant::now();
        let body =
            reqwest::Body::wrap_stream(futures_util::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)));
        let url = format!("http://{}/v1/reminders/batch", daemon.address);
        let answer = reqwest::Client::new().post(url).bearer_auth(&key).body(body).send().await.expect("an answer");
        let text = answer.text().await.expect("whole");
        assert_eq!(text.matches("\"id\"").count(), n / 1_000 * 1_000, "{}", &text[..text.len().min(300)]);
        let rate = n as f64 / begun.elapsed().as_secs_f64();
        println!(
            "bulk: {n} lines of NDJSON with a consent each into {stored} stored, {}: {rate:.0}/s",
            self.database()
        );
        daemon.stop().await.expect("stops");
        if !self.postgres {
            let size = std::fs::metadata(place.folder.join("tixing.db")).expect("there").len();
            println!("size: {} bytes a reminder with its consent and its user", size / (stored + n) as u64);
        }
        // In a process of its own, so that the memory is the daemon's alone.
        stored_alone(&place, stored + n);
    }
}

/// What was sent of an app from an instant on: the instant of each, and by how much its request was late.
async fn lateness(store: &Store, app: &str, from: Millis) -> Vec<(Millis, Millis)> {
    let (apps, states) = (vec![app.to_owned()], vec![ReminderState::Sent]);
    let mut filter = Filter { apps, states, limit: 1_000, from: Some(from), ..Filter::default() };
    let mut late = Vec::new();
    loop {
        let page = store.list(&filter).await.expect("answers");
        let Some(last) = page.last() else { return late };
        filter.after = Some((last.due.due_at, last.due.id));
        for stored in &page {
            let events = store.events(stored).await.expect("answers");
            let began = events.last().and_then(|event| event.began_at);
            late.extend(began.map(|began| (stored.due.at, began - stored.due.at)));
        }
    }
}

/// Starts the real program on the store and looks how soon it is ready and how much memory it takes.
fn stored_alone(place: &Place, n: usize) {
    let Some(program) = program() else { return println!("start: not measured: target/release/tixing is not built") };
    write_config(place, "http://127.0.0.1:1");
    let begun = Instant::now();
    let mut child = Command::new(program)
        .arg("serve")
        .current_dir(&place.folder)
        .env("SECRET", "s")
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let ready = lines.any(|line| line.is_ok_and(|l| l.contains("ready address=")));
    let took = begun.elapsed();
    std::thread::sleep(Duration::from_secs(12));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let rss = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok())
        .unwrap_or(0.0);
    println!("start with {n} stored: ready={ready} after {took:?}; {:.0} MB RSS idle", rss / 1_024.0);
    let _ = child.kill();
    let _ = child.wait();
}

/// Configures the real program in a place.
fn write_config(place: &Place, platform: &str) {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[store]\nurl = \"{}\"\n[[app]]\nname = \"coffee\"\nplatform = \"wechat\"\nappid = \"wx0123456789abcdef\"\n\
         secret = {{ env = \"SECRET\" }}\nbase_url = \"{platform}\"\nrate = 2000\n[[app.template]]\nname = \"event-start\"\nid = \"{TEMPLATE}\"\n\
         kind = \"one-time\"\nfields = {{ thing1 = \"a\", time2 = \"b\", thing5 = \"c\" }}\n",
        place.url
    );
    std::fs::write(place.folder.join("tixing.toml"), text).expect("written");
}

fn program() -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    let program = exe.parent().and_then(Path::parent)?.join("tixing");
    program.exists().then_some(program)
}

async fn key(daemon: &Daemon) -> String {
    let (key, new) = tixing::api::new_key("bench".into(), tixing::store::keys::Scope::Write, None);
    daemon.api.store().create_key(new).await.expect("made");
    daemon.api.refresh_keys().await;
    key
}

fn openid(i: usize) -> String {
    // In no order, as users come.
    format!("oR3m1nd3r{:019x}", (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn line(i: usize, at: &str) -> String {
    format!(
        "{{\"app\":\"coffee\",\"openid\":\"{}\",\"template\":\"event-start\",\"at\":\"{at}\",\"page\":\"pages/event/detail?id=42\",\"accepted\":true,\
         \"data\":{{\"thing1\":\"周三读书会\",\"time2\":\"2026年1月14日 19:30\",\"thing5\":\"三楼301室\"}}}}",
        openid(i)
    )
}

fn new(i: usize, at: Millis) -> NewReminder {
    NewReminder {
        app: "coffee".into(),
        openid: openid(i),
        template: TEMPLATE.into(),
        standing: false,
        at,
        local_at: None,
        expires_at: at + 86_400_000,
        page: Some("pages/event/detail?id=42".into()),
        data: r#"{"thing1":"周三读书会","time2":"2026年1月14日 19:30","thing5":"三楼301室"}"#.into(),
        key: None,
        digest: String::new(),
        claim: Claim::Reserve,
        accepted: Some(Accepted { at: at - 1_000, source: "api".into(), event: None, ticket: None }),
        options: Default::default(),
        origin: None,
    }
}
