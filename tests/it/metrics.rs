//! Metrics as those who scrape them see them: Prometheus itself, its `promtool`, the alerts and the board that come with tixing.

use crate::harness::{
    fresh_url,
    program::{Program, Site},
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// A daemon with a callback, whose metrics are asked for.
struct Watched {
    program: Program,
    _site: Site,
    _store: tempfile::TempDir,
}

impl Watched {
    fn start() -> Self {
        let store = tempfile::tempdir().expect("a folder");
        let more = "timezone = \"Asia/Shanghai\"\ncallback = { token = { env = \"SECRET\" } }";
        let site = Site::new(&fresh_url("sqlite", store.path()), "http://127.0.0.1:1", more);
        Self { program: site.serve_with_key(), _site: site, _store: store }
    }

    async fn metrics(&self, accept: &str) -> (String, String) {
        let asked = self.program.http.get(format!("{}/metrics", self.program.base)).header("accept", accept);
        let answer = asked.send().await.expect("an answer");
        let kind = answer.headers()["content-type"].to_str().expect("ASCII").to_owned();
        (kind, answer.text().await.expect("a text"))
    }
}

/// The files for Prometheus and Grafana.
fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

/// Whether Prometheus is here. Without it the tests say loudly what they leave out; in CI they fail.
fn has_prometheus() -> bool {
    let is_there = Command::new("promtool").arg("--version").output().is_ok();
    assert!(is_there || std::env::var_os("CI").is_none(), "Prometheus is not installed, and CI must test with it");
    if !is_there {
        eprintln!(
            "!!! Prometheus is not installed: METRICS AND ALERTS ARE NOT TESTED WITH IT. Debian: apt-get install prometheus"
        );
    }
    is_there
}

fn promtool(args: &[&str], folder: &Path, input: &str) -> Output {
    let mut tool = Command::new("promtool");
    tool.args(args).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().expect("it is there");
    tool.stdin.take().expect("piped").write_all(input.as_bytes()).expect("read");
    tool.wait_with_output().expect("it ends")
}

fn is_content(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("FAILED"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_are_at_0_before_the_first_event() {
    let watched = Watched::start();
    let (_, text) = watched.metrics("").await;
    for line in [
        "tixing_sends_total{app=\"coffee\",what=\"unknown\"} 0",
        "tixing_errors_total{app=\"tea\",what=\"43101\"} 0",
        "tixing_unlisted_codes_total{app=\"coffee\"} 0",
        "tixing_throttled_sends_total{app=\"coffee\"} 0",
        "tixing_pushes_total{app=\"coffee\",what=\"signature\"} 0",
        "tixing_receipts_total{app=\"coffee\",what=\"undelivered\"} 0",
        "tixing_occurrences_total{what=\"missed\"} 0",
        "tixing_erased_total{what=\"bodies\"} 0",
        "tixing_store_errors_total{what=\"silent\"} 0",
        "tixing_http_problems_total{what=\"unauthorized\"} 0",
        "tixing_last_backup_timestamp_seconds 0",
    ] {
        assert!(text.contains(&format!("{line}.0\n")) || text.contains(&format!("{line}\n")), "{line} in {text}");
    }
    assert!(!text.contains("tixing_pushes_total{app=\"tea\""), "nobody pushes to an app without a callback");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_by_their_route_and_whatever_a_caller_makes_up_is_one_counter() {
    let watched = Watched::start();
    let Program { http, base, .. } = &watched.program;
    for path in ["/v1/reminders/r_1", "/v1/reminders/r_2", "/nothing/here", "/nothing/there"] {
        http.get(format!("{base}{path}")).send().await.expect("an answer");
    }
    let made_up = reqwest::Method::from_bytes(b"BREW").expect("a method");
    http.request(made_up, format!("{base}/nothing")).send().await.expect("an answer");
    let (_, text) = watched.metrics("").await;
    for line in [
        "tixing_http_requests_total{route=\"/v1/reminders/{id}\",method=\"GET\",status=\"401\"} 2",
        "tixing_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 2",
        "tixing_http_requests_total{route=\"none\",method=\"other\",status=\"404\"} 1",
        "tixing_http_problems_total{what=\"unauthorized\"} 2",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sizes_of_the_store_and_its_last_backup_are_told_also_after_a_restart() {
    let store = tempfile::tempdir().expect("a folder");
    let site = Site::new(&fresh_url("sqlite", store.path()), "http://127.0.0.1:1", "");
    let value = async |program: &Program, name: &str| -> f64 {
        let answer = program.http.get(format!("{}/metrics", program.base)).send().await.expect("an answer");
        let text = answer.text().await.expect("a text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.trim().parse().expect("a number")
    };
    let program = site.serve();
    assert!(value(&program, "tixing_database_bytes ").await > 4_096.0);
    let to = store.path().join("copy.db");
    let (code, _, said) = site.run(&["backup", to.to_str().expect("UTF-8")]);
    assert_eq!(code, 0, "{said}");
    program.terminate();
    let program = site.serve();
    let at = value(&program, "tixing_last_backup_timestamp_seconds ").await;
    let made = fs::metadata(&to).expect("there").modified().expect("a time");
    let made = made.duration_since(std::time::UNIX_EPOCH).expect("later").as_secs_f64();
    assert!((at - made).abs() < 60.0, "{at} {made}");
    let begun = value(&program, "process_start_time_seconds ").await;
    assert!(begun >= at.floor() && value(&program, "process_resident_memory_bytes ").await > 1e6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_has_nothing_to_say_about_the_metrics() {
    if !has_prometheus() {
        return;
    }
    let watched = Watched::start();
    let (kind, text) = watched.metrics("text/plain").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let told = promtool(&["check", "metrics"], Path::new("/"), &text);
    let said = String::from_utf8_lossy(&told.stdout) + String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success() && said.trim().is_empty(), "{said}");
    let (kind, open) = watched.metrics("application/openmetrics-text; version=1.0.0").await;
    assert!(kind.starts_with("application/openmetrics-text") && open.ends_with("# EOF\n"), "{kind} {open}");
}

/// A Prometheus of the test's own.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_scrapes_them() {
    if !has_prometheus() {
        return;
    }
    let watched = Watched::start();
    let folder = tempfile::tempdir().expect("a folder");
    let target = watched.program.base.trim_start_matches("http://");
    let config = fs::read_to_string(packaging("prometheus/prometheus.yml")).expect("there");
    let config = config
        .replace("127.0.0.1:8701", target)
        .replace("alerts.yml", &packaging("prometheus/alerts.yml").display().to_string());
    fs::write(folder.path().join("prometheus.yml"), format!("global: {{ scrape_interval: 1s }}\n{config}"))
        .expect("written");
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let mut prometheus = Command::new("prometheus");
    prometheus.arg("--config.file=prometheus.yml").arg("--storage.tsdb.path=data");
    prometheus.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    prometheus.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Prometheus(prometheus.spawn().expect("it is there with promtool"));
    let ask = async |query: &str| -> Option<Value> {
        let url = reqwest::Url::parse_with_params(&format!("http://127.0.0.1:{port}/api/v1/query"), [("query", query)]);
        let url = url.expect("a URL");
        let answer = watched.program.http.get(url).send().await.ok()?;
        let told: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        Some(told["data"]["result"].clone())
    };
    let begun = Instant::now();
    loop {
        let up = ask("up{job=\"tixing\"}").await.and_then(|found| found[0]["value"][1].as_str().map(str::to_owned));
        if up.as_deref() == Some("1") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "not scraped: {up:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let sends = ask("count(tixing_sends_total{app=\"coffee\"})").await.expect("an answer");
    assert_eq!(sends[0]["value"][1], tixing::domain::outcome::Outcome::LABELS.len().to_string());
    let info = ask("tixing_build_info").await.expect("an answer");
    assert_eq!(info[0]["metric"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_alerts_fire_when_they_should_and_only_then() {
    if !has_prometheus() {
        return;
    }
    let folder = packaging("prometheus");
    is_content(&promtool(&["check", "config", "prometheus.yml"], &folder, ""));
    is_content(&promtool(&["test", "rules", "alerts.test.yml"], &folder, ""));
    let alerts = fs::read_to_string(folder.join("alerts.yml")).expect("there");
    let tests = fs::read_to_string(folder.join("alerts.test.yml")).expect("there");
    for name in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(name), "{name} has no test");
    }
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c)).filter(|w| w.starts_with("tixing_") || w.starts_with("process_"));
    words.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_board_and_docs_name_no_metric_that_is_not_there_and_the_docs_name_all() {
    let watched = Watched::start();
    // The gauges are brought up to date every ten seconds.
    let begun = Instant::now();
    let text = loop {
        let (_, text) = watched.metrics("").await;
        if text.contains("tixing_paused{") {
            break text;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{text}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let described = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let is: BTreeSet<String> = described.map(|(name, _)| name.to_owned()).collect();
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).expect("there");
    let rows: String =
        docs.lines().filter(|line| line.starts_with("| `")).flat_map(|row| row.split("|").nth(1)).collect();
    let (told, total) = (names(&rows), |name: &String| format!("{name}_total"));
    let unknown: Vec<&String> = is.iter().filter(|name| !told.contains(name.trim_end_matches("_total"))).collect();
    assert!(unknown.is_empty(), "docs/metrics.md does not know {unknown:?}");
    let gone: Vec<&String> = told.iter().filter(|name| !is.contains(*name) && !is.contains(&total(name))).collect();
    assert_eq!(
        gone,
        ["tixing_quota_left"],
        "docs/metrics.md knows what is not there; a quota is there once it was asked for"
    );
    for file in ["prometheus/alerts.yml", "prometheus/alerts.test.yml", "grafana/tixing.json"] {
        for name in names(&fs::read_to_string(packaging(file)).expect("there")) {
            let name = name.trim_end_matches("_bucket").trim_end_matches("_total");
            assert!(told.contains(name), "{file} asks for {name}");
        }
    }
    let board = fs::read_to_string(packaging("grafana/tixing.json")).expect("there");
    serde_json::from_str::<Value>(&board).expect("the board is JSON");
}
