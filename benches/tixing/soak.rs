//! The real program under a steady load with churn, watched from outside: what grows, and how late it gets.

use super::{Place, Sink, line, program, write_config};
use reqwest::{Client, Method};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tixing::{clock::SystemClock, domain::timing::rfc3339, platform::transport::install_crypto};

/// New reminders a second, all of which are sent but the cancelled ones.
const RATE: usize = 300;
/// Of which so many come one by one, and the rest in a batch.
const SINGLES: usize = 20;
/// Changed and cancelled, each, a second.
const CHURN: usize = 10;

/// What was seen at one moment.
struct Sample {
    seconds: f64,
    rss_mb: f64,
    descriptors: usize,
    wal_mb: f64,
}

struct Daemon {
    child: Child,
    base: String,
    key: String,
    http: Client,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    fn start(place: &Place, platform: &str) -> Option<Self> {
        let program = program()?;
        install_crypto();
        write_config(place, platform);
        let command = |verb: &[&str]| {
            let mut command = Command::new(&program);
            command.args(verb).current_dir(&place.folder).env("SECRET", "s");
            command
        };
        let mut child = command(&["serve"]).stderr(Stdio::piped()).spawn().expect("starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let ready =
            lines.find_map(|line| Some(line.split("ready address=").nth(1)?.split_whitespace().next()?.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let key = command(&["key", "create", "--name", "soak"]).output().expect("makes a key").stdout;
        Some(Self {
            child,
            base: format!("http://{}", ready.expect("an address")),
            key: String::from_utf8(key).expect("UTF-8").trim().to_owned(),
            http: Client::new(),
        })
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> Option<String> {
        let request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key);
        let kind = if path.ends_with("/batch") { "application/x-ndjson" } else { "application/json" };
        let answer = request.header("content-type", kind).body(body).send().await.ok()?;
        let good = answer.status().is_success();
        let text = answer.text().await.ok()?;
        good.then_some(text)
    }

    fn sample(&self, place: &Place, begun: Instant) -> Sample {
        let proc = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{proc}/status")).unwrap_or_default();
        let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len()) as f64 / 1e6;
        Sample {
            seconds: begun.elapsed().as_secs_f64(),
            rss_mb: rss.unwrap_or(0.0) / 1_024.0,
            descriptors: std::fs::read_dir(format!("{proc}/fd")).map_or(0, Iterator::count),
            wal_mb: size(&place.folder.join("tixing.db-wal")),
        }
    }
}

/// A second of load: a batch, some one by one, some of these changed and some cancelled.
async fn second(daemon: &Daemon, next: &mut usize, now: i64) {
    let at = |i: usize| rfc3339(now + 2_000 + (i as i64 * 7_919) % 10_000);
    let batch: String = (0..RATE - SINGLES)
        .map(|_| {
            *next += 1;
            format!("{}\n", line(*next, &at(*next)))
        })
        .collect();
    daemon.ask(Method::POST, "/v1/reminders/batch", batch).await.expect("a batch is taken");
    for i in 0..SINGLES {
        *next += 1;
        let made = daemon.ask(Method::POST, "/v1/reminders", line(*next, &at(*next))).await.expect("one is taken");
        let made: Value = serde_json::from_str(&made).expect("JSON");
        let path = format!("/v1/reminders/{}", made["id"].as_str().expect("an id"));
        // Either may come too late, which is an answer too.
        if i < CHURN {
            daemon.ask(Method::PATCH, &path, "{\"page\":\"pages/other\"}".into()).await;
        } else {
            daemon.ask(Method::DELETE, &path, String::new()).await;
        }
    }
}

/// The upper bound of the bucket that holds the quantile, in milliseconds.
fn quantile(metrics: &str, q: f64) -> f64 {
    let buckets: Vec<(f64, f64)> = metrics
        .lines()
        .filter_map(|l| l.strip_prefix("tixing_lateness_seconds_bucket{le=\""))
        .filter_map(|l| {
            let (le, rest) = l.split_once('"')?;
            Some((le.parse().unwrap_or(f64::INFINITY), rest.rsplit(' ').next()?.parse().ok()?))
        })
        .collect();
    let all = buckets.last().map_or(0.0, |(_, n)| *n);
    buckets.iter().find(|(_, n)| *n >= all * q).map_or(f64::NAN, |(le, _)| le * 1_000.0)
}

/// Megabytes an hour, by least squares.
fn slope(samples: &[Sample]) -> f64 {
    let n = samples.len() as f64;
    let (x, y) =
        (samples.iter().map(|s| s.seconds).sum::<f64>() / n, samples.iter().map(|s| s.rss_mb).sum::<f64>() / n);
    let (above, below) = samples.iter().fold((0.0, 0.0), |(above, below), s| {
        (above + (s.seconds - x) * (s.rss_mb - y), below + (s.seconds - x).powi(2))
    });
    above / below * 3_600.0
}

/// Runs for so many minutes and prints what grew.
pub async fn run(place: &Place, minutes: usize) {
    let sink = Sink::start(5);
    let Some(daemon) = Daemon::start(place, &sink.url) else {
        return println!("soak: not run: target/release/tixing is not built");
    };
    let clock = SystemClock::shared();
    let (begun, mut next, mut samples) = (Instant::now(), 0, Vec::new());
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    for tick in 0..minutes * 60 {
        ticks.tick().await;
        second(&daemon, &mut next, clock.now()).await;
        if tick % 10 == 9 {
            samples.push(daemon.sample(place, begun));
        }
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    let metrics = daemon.ask(Method::GET, "/metrics", String::new()).await.expect("metrics");
    let stats: Value =
        serde_json::from_str(&daemon.ask(Method::GET, "/v1/stats", String::new()).await.expect("stats")).expect("JSON");
    let half = &samples[samples.len() / 2..];
    let most = |what: fn(&Sample) -> f64| samples.iter().map(what).fold(0.0, f64::max);
    println!(
        "soak: {minutes} min at {RATE}/s with {CHURN} changes and {CHURN} cancellations a second: {}",
        stats["apps"][0]["reminders"]
    );
    println!(
        "soak: lateness p50 ≤ {} ms, p99 ≤ {} ms, p99.9 ≤ {} ms; RSS {:.0} MB at most, {:+.1} MB/h over the second half; \
         {} descriptors at most, {} at the end; WAL {:.0} MB at most",
        quantile(&metrics, 0.5),
        quantile(&metrics, 0.99),
        quantile(&metrics, 0.999),
        most(|s| s.rss_mb),
        slope(half),
        most(|s| s.descriptors as f64),
        samples.last().map_or(0, |s| s.descriptors),
        most(|s| s.wal_mb),
    );
}
