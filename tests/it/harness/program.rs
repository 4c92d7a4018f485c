//! The real program as users run it: its own process, real files, real HTTP, real signals. The sandbox listens in the test's process
//! and so outlives every kill of the daemon.

use super::{DIGEST, EVENT};
use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};
use tixing::{
    clock::{SharedClock, SystemClock},
    http,
    sandbox::Sandbox,
};
use tokio_util::sync::CancellationToken;

/// The sandbox on a port of its own.
pub struct SandboxServer {
    pub sandbox: Sandbox,
    pub url: String,
}

impl SandboxServer {
    pub async fn start(seed: u64) -> Self {
        Self::start_at(seed, SystemClock::shared()).await
    }

    /// As [`Self::start`], with a clock of its own.
    pub async fn start_at(seed: u64, clock: SharedClock) -> Self {
        let sandbox = Sandbox::new(clock, seed);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(http::serve(listener, sandbox.router(), CancellationToken::new()));
        tokio::spawn(sandbox.clone().push(CancellationToken::new()));
        let apps = super::apps(&url);
        for app in &apps {
            sandbox.world().add_configured(app);
        }
        Self { sandbox, url }
    }
}

/// The daemon's configuration in a folder of its own.
pub struct Site {
    pub folder: tempfile::TempDir,
}

impl Site {
    /// `store` is a URL; `app` are more lines of the app `coffee`.
    pub fn new(store: &str, platform: &str, app: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            r#"
[server]
listen = "127.0.0.1:0"
[store]
url = "{store}"
[[app]]
name = "coffee"
platform = "wechat"
appid = "wx0123456789abcdef"
secret = {{ env = "SECRET" }}
base_url = "{platform}"
{app}
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
[[app]]
name = "tea"
platform = "wechat"
appid = "wxfedcba9876543210"
secret = {{ env = "SECRET" }}
base_url = "{platform}"
timezone = "Europe/Berlin"
[[app.template]]
name = "event-start"
id = "{EVENT}"
kind = "one-time"
fields = {{ thing1 = "活动名称", time2 = "开始时间" }}
"#
        );
        std::fs::write(folder.path().join("tixing.toml"), text).expect("written");
        Self { folder }
    }

    /// The configuration that `init` writes for a platform, with `more` lines for its app `coffee`, which the sandbox learns to know.
    pub fn of(platform: &tixing::platform::Facts, sandbox: &SandboxServer, more: &str) -> Self {
        let site = Self { folder: tempfile::tempdir().expect("a folder") };
        let (code, _, said) = site.run(&["init", "--platform", platform.word]);
        assert_eq!(code, 0, "{said}");
        let text = std::fs::read_to_string(site.path("tixing.toml")).expect("written");
        let text = text.replace("http://127.0.0.1:8790", &sandbox.url).replace("127.0.0.1:8700", "127.0.0.1:0");
        let text = text.replace("timezone =", &format!("{more}\ntimezone ="));
        std::fs::write(site.path("tixing.toml"), text).expect("written");
        sandbox.sandbox.world().add_configured(&super::sample(platform, &sandbox.url));
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file's permissions.
    pub fn mode(&self, name: &str) -> u32 {
        self.path(name).metadata().expect("there").permissions().mode() & 0o777
    }

    /// A command of the program in this folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tixing"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("SECRET", "app-secret")
            .env("LANG", "C")
            .env_remove("LC_ALL");
        for name in ["TIXING_CONFIG", "JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_USEC"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command to its end: exit code, stdout, stderr.
    pub fn run(&self, args: &[&str]) -> (i32, String, String) {
        let out = self.command(args).stdin(Stdio::null()).output().expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (out.status.code().unwrap_or(-1), text(out.stdout), text(out.stderr))
    }

    /// Starts the daemon and waits until it is ready.
    pub fn serve(&self) -> Program {
        self.try_serve().expect("the daemon starts")
    }

    /// As [`Self::serve`]; what it said if it ended instead.
    pub fn try_serve(&self) -> Result<Program, (ExitStatus, String)> {
        self.try_serve_with(&[])
    }

    /// As [`Self::try_serve`], with more in its environment.
    pub fn try_serve_with(&self, environment: &[(&str, &str)]) -> Result<Program, (ExitStatus, String)> {
        let mut command = self.command(&["serve"]);
        command.envs(environment.iter().copied());
        self.try_serve_by(command)
    }

    /// As [`Self::try_serve`], by a command of its own.
    pub fn try_serve_by(&self, mut command: Command) -> Result<Program, (ExitStatus, String)> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (said, says) = mpsc::channel::<String>();
        let log = Log::default();
        let kept = log.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                kept.add(&line);
                let _ = said.send(line);
            }
        });
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match says.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(address) = address_in(&line) {
                        let base = format!("http://{address}");
                        tixing::platform::transport::install_crypto();
                        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
                        return Ok(Program { child, base, http, key: String::new(), log, reader: Some(reader) });
                    }
                }
                Err(_) => {
                    let _ = child.kill();
                    let status = child.wait().expect("it ends");
                    reader.join().expect("read");
                    return Err((status, log.all()));
                }
            }
        }
    }

    /// Starts the daemon and makes a key for it.
    pub fn serve_with_key(&self) -> Program {
        let mut program = self.serve();
        program.key = self.key();
        program
    }

    /// A key for everything.
    pub fn key(&self) -> String {
        let (code, key, said) = self.run(&["key", "create", "--name", "test", "--scope", "admin"]);
        assert_eq!(code, 0, "{said}");
        key.trim().to_owned()
    }
}

/// The address that a line of the log names once the daemon is ready, in either format.
fn address_in(line: &str) -> Option<String> {
    if let Ok(line) = serde_json::from_str::<Value>(line) {
        return (line["message"] == "ready").then(|| line["address"].as_str().expect("an address").to_owned());
    }
    let rest = line.split("ready address=").nth(1)?;
    Some(rest.split_whitespace().next().expect("an address").to_owned())
}

/// What a daemon has written so far.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn add(&self, line: &str) {
        let mut all = self.0.lock().expect("whole");
        all.push_str(line);
        all.push('\n');
    }

    fn all(&self) -> String {
        self.0.lock().expect("whole").clone()
    }
}

/// A running daemon.
pub struct Program {
    child: Child,
    pub base: String,
    pub http: reqwest::Client,
    pub key: String,
    log: Log,
    reader: Option<std::thread::JoinHandle<()>>,
}

/// A test that fails leaves no daemon behind.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process is no more.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_some()
    }

    /// SIGKILL. What it has not yet written of its log is lost: see [`Self::logs`].
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Waits until the log says `what`. The daemon answers a request before its log is written.
    pub async fn logs(&self, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.log.all().contains(what) {
            assert!(Instant::now() < deadline, "{what:?} is not in the log after 30 s: {}", self.log.all());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.log.all()
    }

    /// Sends a signal, such as `-HUP`.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.pid().to_string()]).status().expect("kill runs").success());
    }

    /// SIGTERM; the exit status and the log.
    pub fn terminate(self) -> (ExitStatus, String) {
        self.signal("-TERM");
        self.wait_for_end()
    }

    /// The exit status and the log, once it has ended.
    pub fn wait_for_end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("it ends");
        self.reader.take().expect("read once").join().expect("read");
        (status, self.log.all())
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<(StatusCode, Value)> {
        self.call_with(HeaderMap::new(), method, path, body).await
    }

    async fn call_with(
        &self,
        headers: HeaderMap,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key);
        let mut request = request.headers(headers);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    pub async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.call(Method::POST, path, Some(body)).await.expect("an answer")
    }

    /// Posts with an `Idempotency-Key`.
    pub async fn post_once(&self, path: &str, key: &str, body: &Value) -> (StatusCode, Value) {
        let key = [(HeaderName::from_static("idempotency-key"), key.parse().expect("ASCII"))];
        self.call_with(HeaderMap::from_iter(key), Method::POST, path, Some(body)).await.expect("an answer")
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, None).await.expect("an answer")
    }

    /// A batch's answer lines.
    pub async fn batch(&self, path: &str, body: impl Into<reqwest::Body>) -> Vec<Value> {
        let request = self.http.post(format!("{}{path}", self.base)).bearer_auth(&self.key).body(body);
        let text = request.send().await.expect("an answer").text().await.expect("a whole answer");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Asks until `done`, at most `seconds` long.
    pub async fn wait(&self, path: &str, seconds: u64, done: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Ok((_, answer)) = self.call(Method::GET, path, None).await {
                if done(&answer) {
                    return answer;
                }
                assert!(Instant::now() < deadline, "{path} after {seconds} s: {answer}");
            }
            assert!(Instant::now() < deadline, "{path} answers nothing after {seconds} s");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A good reminder that brings its consent, due in `ms`.
pub fn body(openid: &str, ms: i64) -> Value {
    let at = tixing::domain::timing::rfc3339(now() + ms);
    json!({"app": "coffee", "openid": openid, "template": "event-start", "at": at, "accepted": true,
           "data": {"thing1": "周三读书会", "time2": "2027年3月1日 10:00"}})
}

/// The machine's time.
pub fn now() -> i64 {
    SystemClock::shared().now()
}

/// Whether the file system allows what the test is about, said loudly if not.
pub fn is_root() -> bool {
    Path::new("/proc/self/status").exists()
        && Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n")
}
