//! A real Chromium, driven over WebDriver, that is asked after each page what its user would not see: errors of the console, requests to
//! other places, and what axe-core finds.

use fantoccini::{
    Client, ClientBuilder, Locator,
    actions::{InputSource, KeyAction, KeyActions},
    elements::Element,
    key::Key,
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

/// The version of axe-core, from npm.
const AXE: &str = "axe-core@4.14.1";
/// How long something on a page is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser, with one window.
pub struct Chromium {
    pub client: Client,
    driver: Child,
    url: String,
    base: String,
    http: reqwest::Client,
    width: u32,
    /// Pages that were looked at, by their titles.
    pub looked_at: Vec<String>,
}

/// Whether there is a browser here; if not it is said loudly, and in CI it is a failure.
pub fn is_missing() -> bool {
    let there = |program: &str| {
        let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    let missing: Vec<&str> = ["chromium", "chromedriver", "npm"].into_iter().filter(|name| !there(name)).collect();
    if missing.is_empty() {
        return false;
    }
    eprintln!(
        "!!! NOT RUN: pages are tried in a real browser, and {missing:?} are missing: install chromium, chromium-driver, fonts-noto-cjk, npm"
    );
    assert!(std::env::var_os("CI").is_none(), "in CI this must run");
    true
}

/// The text of axe-core.
static SOURCE: LazyLock<String> = LazyLock::new(|| {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("axe");
    let source = folder.join("package/axe.min.js");
    if !source.exists() {
        std::fs::create_dir_all(&folder).expect("made");
        let run = |program: &str, args: &[&str]| {
            let done = Command::new(program).args(args).current_dir(&folder).output().expect("it runs");
            assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        run("npm", &["pack", AXE]);
        run("tar", &["-xzf", &format!("{}.tgz", AXE.replace('@', "-"))]);
    }
    std::fs::read_to_string(source).expect("there")
});

impl Chromium {
    /// A browser in whose window a page has this size.
    pub async fn start(base: &str, width: u32, height: u32) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            let port = line.split("started successfully on port ").nth(1)?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let url = format!("http://127.0.0.1:{}", port.expect("it says its port"));
        let capabilities = json!({
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--disable-gpu",
                "--no-proxy-server", "--hide-scrollbars", format!("--window-size={},{}", width.max(500), height)
            ] },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" }
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("it is an object") };
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&url).await;
        let client = client.expect("the browser starts");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let chromium = Self { client, driver, url, base: base.to_owned(), http, width, looked_at: Vec::new() };
        // No window is as narrow as a phone, so the page's own size is set.
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        chromium.devtools("Emulation.setDeviceMetricsOverride", size).await;
        chromium
    }

    /// Dark, or light.
    pub async fn prefers(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        self.driver_says("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await;
    }

    async fn driver_says(&self, path: &str, body: Value) -> Value {
        let session = self.client.session_id().await.expect("answers").expect("a session");
        let request = self.http.post(format!("{}/session/{session}/{path}", self.url));
        let answer = request.body(body.to_string()).send().await.expect("an answer");
        let mut answer: Value = serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
        answer["value"].take()
    }

    /// Opens a page.
    pub async fn open(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.base)).await.expect("it opens");
    }

    /// Where the browser is, without the host.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.expect("answers");
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    }

    /// An element, once it is there.
    pub async fn find(&self, css: &str) -> Element {
        let wait = self.client.wait().at_most(PATIENCE);
        wait.for_element(Locator::Css(css)).await.unwrap_or_else(|e| panic!("no {css}: {e}"))
    }

    /// Clicks on an element, and waits for the page behind it if it leads to another.
    pub async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap_or_else(|e| panic!("{css} cannot be clicked: {e}"));
    }

    /// Clicks on what leads to another page, which is waited for.
    pub async fn go(&self, css: &str) {
        let before = self.client.find(Locator::Css("html")).await.expect("a page");
        self.click(css).await;
        self.left(&before).await;
    }

    /// Waits until the page with this element is gone, and another one is there.
    pub async fn left(&self, before: &Element) {
        let begun = Instant::now();
        while before.tag_name().await.is_ok() {
            assert!(begun.elapsed() < PATIENCE, "the page stays: {}", self.text().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.find("main").await;
    }

    /// Types into an input, in place of what stands there.
    pub async fn write(&self, css: &str, text: &str) {
        let element = self.find(css).await;
        element.clear().await.expect("it can be cleared");
        element.send_keys(text).await.expect("it takes keys");
    }

    /// Chooses a file.
    pub async fn choose(&self, css: &str, file: &Path) {
        self.find(css).await.send_keys(file.to_str().expect("text")).await.expect("it takes a file");
    }

    /// Presses the tab key until an element has the focus.
    pub async fn tab_to(&self, css: &str) -> Element {
        for _ in 0..120 {
            let active = self.client.active_element().await.expect("something has the focus");
            let script = "return document.activeElement.matches(arguments[0])";
            if self.client.execute(script, vec![css.into()]).await.expect("answers") == true {
                return active;
            }
            // Keys for an element are text for it: an input for files would look for a file of that name.
            let tab = KeyAction::Down { value: Key::Tab.into() };
            let keys = KeyActions::new("keys".into()).then(tab).then(KeyAction::Up { value: Key::Tab.into() });
            self.client.perform_actions(keys).await.expect("a key can be pressed");
        }
        panic!("the tab key does not lead to {css}");
    }

    /// What a reader sees of the page.
    pub async fn text(&self) -> String {
        self.find("body").await.text().await.expect("text")
    }

    /// Waits until the page says something, without loading it again.
    pub async fn says(&self, what: &str) {
        let begun = Instant::now();
        loop {
            let text = self.text().await;
            if text.contains(what) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "«{what}» never stands on the page: {text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Looks at the page as it stands: nothing in the browser's console, no request to anywhere else, no serious finding of axe-core, and
    /// nothing that has to be moved sideways to be read.
    pub async fn look(&mut self) {
        let title = self.client.title().await.expect("a title");
        self.screenshot(&title).await;
        let told = self.driver_says("se/log", json!({ "type": "browser" })).await;
        assert_eq!(told, json!([]), "{title}: the browser's console is empty");
        let asked = self.driver_says("se/log", json!({ "type": "performance" })).await;
        for entry in asked.as_array().expect("a list") {
            let message: Value = serde_json::from_str(entry["message"].as_str().expect("text")).expect("JSON");
            let url = message.pointer("/message/params/request/url").and_then(Value::as_str);
            let elsewhere = url.filter(|url| !url.starts_with(&self.base) && !url.starts_with("data:"));
            assert_eq!(elsewhere, None, "{title}: everything comes from here");
        }
        let has_axe = self.client.execute("return typeof axe", vec![]).await.expect("answers") == "object";
        if !has_axe {
            self.client.execute(&SOURCE, vec![]).await.expect("axe-core is there");
        }
        let script = "const [done] = arguments;
            axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => done(violations
                .filter(one => ['serious', 'critical'].includes(one.impact))
                .map(one => `${one.id}: ${one.nodes.map(node => node.html + ' ' + node.failureSummary).join(' | ')}`)), e => done([String(e)]))";
        let found = self.client.execute_async(script, vec![]).await.expect("axe-core answers");
        assert_eq!(found, json!([]), "{title}: axe-core finds nothing serious");
        let script = "const { scrollWidth, clientWidth } = document.documentElement; return scrollWidth - clientWidth";
        let beyond = self.client.execute(script, vec![]).await.expect("answers");
        assert_eq!(beyond, 0, "{title}: the page is as wide as the window");
        self.looked_at.push(title);
    }

    /// Where somebody can look at it, if `TIXING_SCREENSHOTS` names a folder.
    async fn screenshot(&self, title: &str) {
        let Some(folder) = std::env::var_os("TIXING_SCREENSHOTS") else { return };
        let whole = json!({ "cmd": "Page.captureScreenshot", "params": { "captureBeyondViewport": true } });
        let picture = self.driver_says("goog/cdp/execute", whole).await;
        let png =
            data_encoding::BASE64.decode(picture["data"].as_str().expect("a picture").as_bytes()).expect("base64");
        let name: String = title.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let place = PathBuf::from(folder).join(format!("{}-{:02}-{name}.png", self.width, self.looked_at.len()));
        std::fs::write(place, png).expect("written");
    }

    /// Ends it.
    pub async fn close(self) {
        let mut driver = self.driver;
        self.client.close().await.expect("it ends");
        driver.kill().expect("it is ours");
        driver.wait().expect("it ends");
    }
}
