//! `tixing.toml`: read once, checked whole, every problem with its line.

use crate::domain::{
    DAY, Millis, SECOND,
    consent::{Feed, Feeds},
    decide::AppRules,
    did_you_mean,
    retention::Retention,
    template::{KNOWN_TYPES, Kind, OnDoubt, Template, field_type},
    timing::{QuietHours, parse_duration},
};
use chrono_tz::Tz;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Everything that the configuration says, checked and with its secrets read.
#[derive(Debug)]
pub struct Config {
    /// Where it was read from.
    pub path: PathBuf,
    /// Listening.
    pub server: Server,
    /// `sqlite:…` with an absolute path, or `postgres://…`.
    pub store_url: String,
    /// How durable a commit is.
    pub durability: Durability,
    /// How long what has ended is kept.
    pub retention: Retention,
    /// The mini-programs.
    pub apps: Vec<App>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<String>,
}

impl Config {
    /// Whether a daemon that runs with one can take over the other: all but the secrets and the log's level is the same.
    pub fn is_like(&self, other: &Self) -> bool {
        let told = |c: &Self| {
            let Server { listen, metrics, socket, log: _ } = c.server.clone();
            (listen, metrics, socket, c.store_url.clone(), c.durability, c.retention)
        };
        told(self) == told(other)
            && self.apps.len() == other.apps.len()
            && self.apps.iter().zip(&other.apps).all(|(one, other)| one.is_like(other))
    }
}

/// How durable a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Survives a loss of power.
    #[default]
    Full,
    /// Survives a crash of the process only: a loss of power may forget a mark, and that is a message sent twice.
    Process,
}

/// Where the daemon listens.
#[derive(Debug, Clone)]
pub struct Server {
    /// API, console, callbacks.
    pub listen: SocketAddr,
    /// A second listener for `/metrics` alone.
    pub metrics: Option<SocketAddr>,
    /// The command line on this machine speaks here.
    pub socket: PathBuf,
    /// How much the log says, unless `TIXING_LOG` says otherwise.
    pub log: Level,
}

/// How much a log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What somebody must do something about.
    Error,
    /// What is not as it should be.
    Warn,
    /// What is worth knowing later.
    #[default]
    Info,
    /// What happens to each reminder.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// One mini-program.
#[derive(Debug, Clone)]
pub struct App {
    /// What the API and the files say.
    pub name: String,
    /// Which platform.
    pub platform: Platform,
    /// The platform's id of the mini-program.
    pub appid: String,
    /// Its secret.
    pub secret: SecretString,
    /// Where the platform's API answers.
    pub base_url: String,
    /// The zone of local times.
    pub timezone: Option<Tz>,
    /// Sends per second.
    pub rate: u32,
    /// Sends in flight.
    pub concurrency: u32,
    /// What it says about sending at all.
    pub rules: AppRules,
    /// How the platform's pushes are told from forgeries, if it pushes.
    pub callback: Option<CallbackSecrets>,
    /// Whose word on a tap counts.
    pub consents: Feeds,
    /// Templates that a mini-program asks for in one popup.
    pub ask_at_once: usize,
    /// Its templates.
    pub templates: Vec<Template>,
}

impl App {
    /// The template of that id or alias.
    pub fn template(&self, id_or_name: &str) -> Option<&Template> {
        self.templates.iter().find(|t| t.code == id_or_name || t.name.as_deref() == Some(id_or_name))
    }

    /// Whether all but the secrets is the same.
    fn is_like(&self, other: &Self) -> bool {
        fn told(app: &App) -> impl PartialEq {
            (
                (app.name.clone(), app.platform, app.appid.clone(), app.base_url.clone(), app.timezone),
                (app.rate, app.concurrency, app.rules.clone(), app.consents, app.ask_at_once, app.templates.clone()),
                app.callback.as_ref().map(|callback| callback.aes_key.is_some()),
            )
        }
        told(self) == told(other)
    }

    /// The same with the secrets of `new`, where it has them too.
    #[must_use]
    pub fn with_secrets_of(&self, new: &Self) -> Self {
        let callback = match (&self.callback, &new.callback) {
            (Some(own), Some(new)) if own.aes_key.is_some() == new.aes_key.is_some() => Some(new.clone()),
            (own, _) => own.clone(),
        };
        Self { secret: new.secret.clone(), callback, ..self.clone() }
    }

    /// Whether its secrets are the same.
    pub fn has_secrets_of(&self, other: &Self) -> bool {
        fn secrets(app: &App) -> [Option<&str>; 3] {
            let callback = app.callback.as_ref();
            let key = callback.and_then(|callback| callback.aes_key.as_ref());
            [Some(&app.secret), callback.map(|callback| &callback.token), key]
                .map(|s| s.map(ExposeSecret::expose_secret))
        }
        secrets(self) == secrets(other)
    }
}

/// What the platform's console says under 消息推送.
#[derive(Debug, Clone)]
pub struct CallbackSecrets {
    /// Token.
    pub token: SecretString,
    /// EncodingAESKey: 43 characters of base64. None in the console's plain mode.
    pub aes_key: Option<SecretString>,
}

/// A platform that tixing can send on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// 微信.
    Wechat,
}

impl Platform {
    /// The word in configuration and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Wechat => "wechat",
        }
    }
}

/// A problem with the configuration: where, what was found, what is allowed.
#[derive(Debug)]
pub struct Problem {
    /// `tixing.toml:12`, or the environment variable.
    pub place: String,
    /// One sentence.
    pub what: String,
}

/// All problems found, never just the first.
#[derive(Debug, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Problem { place, what }) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{place}: {what}")?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(default)]
    server: RawServer,
    #[serde(default)]
    store: RawStore,
    schedules: Option<RawSchedules>,
    #[serde(default)]
    retention: RawRetention,
    #[serde(default)]
    app: Vec<RawApp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawServer {
    listen: String,
    metrics: Option<String>,
    socket: PathBuf,
    log: Level,
}

impl Default for RawServer {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8700".into(), metrics: None, socket: "tixing.sock".into(), log: Level::Info }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawStore {
    url: String,
    durability: Durability,
}

impl Default for RawStore {
    fn default() -> Self {
        Self { url: "sqlite:tixing.db".into(), durability: Durability::Full }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSchedules {
    #[expect(dead_code, reason = "checked for its shape; schedule files are not read yet, and a warning says so")]
    dir: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawRetention {
    bodies: Option<String>,
    attempts: Option<String>,
    history: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApp {
    name: String,
    platform: String,
    appid: String,
    secret: SecretSource,
    base_url: Option<String>,
    timezone: Option<String>,
    #[serde(default = "default_rate")]
    rate: u32,
    #[serde(default = "default_concurrency")]
    concurrency: u32,
    quiet_hours: Option<String>,
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    testers: Vec<String>,
    callback: Option<RawCallback>,
    receipt_wait: Option<String>,
    #[serde(default = "default_ask_at_once")]
    ask_at_once: usize,
    #[serde(default)]
    consents: Feeds,
    #[serde(default)]
    template: Vec<RawTemplate>,
}

/// How long the platform's receipt for a doubt is waited for, unless the app says otherwise.
const RECEIPT_WAIT: Millis = 60 * SECOND;

/// WeChat took three in one popup for years, and takes five now; old clients do not.
fn default_ask_at_once() -> usize {
    3
}

fn default_rate() -> u32 {
    500
}

fn default_concurrency() -> u32 {
    64
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Live,
    Test,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCallback {
    token: SecretSource,
    /// Left out where the console's mode is plain.
    aes_key: Option<SecretSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTemplate {
    name: Option<String>,
    id: String,
    kind: Kind,
    #[serde(default)]
    title: String,
    fields: BTreeMap<String, String>,
    #[serde(default)]
    on_doubt: OnDoubt,
}

enum SecretSource {
    File(PathBuf),
    Env(String),
    Credential(String),
}

const SECRET_SHAPE: &str =
    "{ file = \"path\" }, { env = \"NAME\" } or { credential = \"name\" }: a secret is never written into this file";

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> serde::de::Visitor<'de> for Shape {
            type Value = SecretSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SECRET_SHAPE)
            }

            // The default of this method would print the string, and the string may be the secret.
            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<SecretSource, E> {
                Err(E::custom(format!("found a plain string; allowed is {SECRET_SHAPE}")))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
                use serde::de::Error;
                let Some((key, value)) = map.next_entry::<String, String>()? else {
                    return Err(A::Error::custom(format!("found an empty table; allowed is {SECRET_SHAPE}")));
                };
                if map.next_key::<String>()?.is_some() {
                    return Err(A::Error::custom(format!("found several sources; allowed is one of {SECRET_SHAPE}")));
                }
                match key.as_str() {
                    "file" => Ok(SecretSource::File(value.into())),
                    "env" => Ok(SecretSource::Env(value)),
                    "credential" => Ok(SecretSource::Credential(value)),
                    other => Err(A::Error::unknown_field(other, &["file", "env", "credential"])),
                }
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

impl SecretSource {
    fn read(&self, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<SecretString, String> {
        let from_file = |path: PathBuf| {
            std::fs::read_to_string(&path).map_err(|e| format!("cannot read the secret file {}: {e}", path.display()))
        };
        let text = match self {
            Self::File(path) => from_file(base.join(path))?,
            Self::Env(name) => env(name)
                .ok_or_else(|| format!("the environment variable {name} is not set; it should hold the secret"))?,
            Self::Credential(name) => {
                let dir = env("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    format!("$CREDENTIALS_DIRECTORY is not set; add LoadCredential={name}:… to the systemd unit")
                })?;
                from_file(Path::new(&dir).join(name))?
            }
        };
        match text.trim() {
            "" => Err(format!("the secret that {} holds is empty", self.shown())),
            secret => Ok(secret.into()),
        }
    }

    /// Where it is kept.
    fn shown(&self) -> String {
        match self {
            Self::File(path) => format!("the file {}", path.display()),
            Self::Env(name) => format!("the environment variable {name}"),
            Self::Credential(name) => format!("the credential {name}"),
        }
    }
}

/// Where the configuration is looked for when no path is given.
pub fn search(given: Option<PathBuf>) -> Result<PathBuf, Problems> {
    if let Some(path) = given {
        return Ok(path);
    }
    ["tixing.toml", "/etc/tixing/tixing.toml"].into_iter().map(PathBuf::from).find(|p| p.exists()).ok_or_else(|| {
        Problems(vec![Problem {
            place: "tixing.toml".into(),
            what: "no configuration found: not given by --config or $TIXING_CONFIG, and neither ./tixing.toml nor \
                   /etc/tixing/tixing.toml exists; `tixing init` writes one"
                .into(),
        }])
    })
}

/// Reads and checks the configuration at `path`; `env` looks up an environment variable, `vars` lists them.
///
/// # Errors
/// All problems found.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) => {
            let what = format!("cannot read the configuration: {e}");
            return Err(Problems(vec![Problem { place: path.display().to_string(), what }]));
        }
    };
    parse(path, &text, &|name| std::env::var(name).ok(), std::env::vars().collect())
}

/// As [`load`], with everything given.
///
/// # Errors
/// All problems found.
pub fn parse(
    path: &Path,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    vars: BTreeMap<String, String>,
) -> Result<Config, Problems> {
    let at_line = |line: usize, what: String| Problem { place: format!("{}:{line}", path.display()), what };
    let from_toml = |e: &toml::de::Error| {
        let line = e.span().map_or(1, |s| text[..s.start].matches('\n').count() + 1);
        at_line(line, friendly(e.message()))
    };
    let mut raw: RawConfig = toml::from_str(text).map_err(|e| Problems(vec![from_toml(&e)]))?;
    let overrides: Vec<_> = vars.iter().filter(|(k, _)| k.starts_with("TIXING_") && k.contains("__")).collect();
    if !overrides.is_empty() {
        raw = overridden(text, &overrides)?;
    }

    // A path from the working directory has no parent to name: "" joins as nothing.
    let base = std::path::absolute(path).ok().and_then(|p| p.parent().map(Path::to_owned)).unwrap_or_default();
    let tree = toml::de::DeTable::parse(text).expect("it was just read as TOML");
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let mut problem = |place: &[Step<'_>], what: String| problems.push(at_line(line_of(text, &tree, place), what));

    let mut address = |text: &str, key: &'static str| {
        text.parse::<SocketAddr>()
            .map_err(|_| {
                problem(
                    &[Step::Key("server"), Step::Key(key)],
                    format!("«{text}» is not an address; write an IP address and a port like 127.0.0.1:8700"),
                );
            })
            .ok()
    };
    let listen = address(&raw.server.listen, "listen");
    let metrics = raw.server.metrics.as_deref().and_then(|m| address(m, "metrics"));
    if metrics.is_some_and(|metrics| metrics.port() != 0 && Some(metrics) == listen) {
        let what = "metrics have the address of listen, which has them already: choose another, or leave it out";
        problem(&[Step::Key("server"), Step::Key("metrics")], what.into());
    }
    let store_url = match raw.store.url.split_once(':') {
        Some(("sqlite", file)) if !file.is_empty() && !file.contains('?') => {
            let file = file.strip_prefix("//").unwrap_or(file);
            format!("sqlite:{}", base.join(file).display())
        }
        Some(("postgres" | "postgresql", _)) => raw.store.url.clone(),
        _ => {
            problem(
                &[Step::Key("store"), Step::Key("url")],
                "this is not a store; write \"sqlite:tixing.db\" or \"postgres://user@host/db\"".into(),
            );
            String::new()
        }
    };
    let user = raw.store.url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    if user.is_some_and(|(user, _)| user.contains(':')) {
        warnings.push(
            "store.url holds a password that whoever reads this file has: put it into PGPASSWORD or ~/.pgpass".into(),
        );
    }
    if raw.store.durability == Durability::Process {
        warnings.push(
            "store.durability is \"process\": a loss of power may forget what was sent, and send it again".into(),
        );
    }
    if raw.schedules.is_some() {
        warnings.push("[schedules] is set, but this version does not read schedule files yet".into());
    }

    let mut term = |key: &'static str, text: &Option<String>| {
        let at = [Step::Key("retention"), Step::Key(key)];
        match parse_duration(text.as_deref()?) {
            Ok(term) if term >= DAY => return Some(term),
            Ok(_) => problem(
                &at,
                "less than a day: receipts and repeated calls would find nothing; allowed is 1d or more".into(),
            ),
            Err(why) => problem(&at, why),
        }
        None
    };
    let retention = Retention {
        bodies: term("bodies", &raw.retention.bodies),
        attempts: term("attempts", &raw.retention.attempts),
        history: term("history", &raw.retention.history),
    };
    for (key, term) in [("bodies", retention.bodies), ("attempts", retention.attempts)] {
        if term.zip(retention.history).is_some_and(|(term, history)| term >= history) {
            warnings.push(format!(
                "retention.{key} is not shorter than retention.history, with which everything goes: it has no effect"
            ));
        }
    }

    let mut names = HashSet::new();
    let mut apps = Vec::new();
    for (i, app) in raw.app.iter().enumerate() {
        let at = |key: &'static str| [Step::Key("app"), Step::Index(i), Step::Key(key)];
        if !is_name(&app.name) {
            problem(&at("name"), format!("«{}» is not a name; use 1 to 64 of a–z, 0–9, - and _", app.name));
        }
        if !names.insert(app.name.clone()) {
            problem(&at("name"), format!("there are two apps named «{}»; names are unique", app.name));
        }
        match app.platform.as_str() {
            "wechat" => {}
            "alipay" | "douyin" | "kuaishou" | "baidu" => {
                problem(&at("platform"), format!("«{}» cannot be sent on yet; this version knows wechat", app.platform))
            }
            other => problem(
                &at("platform"),
                format!(
                    "«{other}» is not a platform; allowed are wechat, alipay, douyin, kuaishou, baidu{}",
                    hint(other, &["wechat", "alipay", "douyin", "kuaishou", "baidu"])
                ),
            ),
        }
        if app.appid.is_empty() || app.appid.len() > 64 || !app.appid.chars().all(|c| c.is_ascii_alphanumeric()) {
            problem(&at("appid"), format!("«{}» is not an appid; it has 1 to 64 letters and digits", app.appid));
        }
        let base_url = app.base_url.clone().unwrap_or_else(|| "https://api.weixin.qq.com".into());
        let base_url = base_url.trim_end_matches('/').to_owned();
        if !reqwest::Url::parse(&base_url).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host()) {
            problem(&at("base_url"), format!("«{base_url}» is not a URL; write one like https://api.weixin.qq.com"));
        }
        let timezone = app.timezone.as_ref().and_then(|zone| {
            zone.parse::<Tz>()
                .map_err(|_| {
                    let near = did_you_mean(zone, chrono_tz::TZ_VARIANTS.iter().map(|t| t.name()));
                    let near = near.map_or(String::new(), |n| format!("; did you mean «{n}»?"));
                    problem(&at("timezone"), format!("«{zone}» is not an IANA time zone like Asia/Shanghai{near}"));
                })
                .ok()
        });
        let quiet_hours = app.quiet_hours.as_ref().and_then(|text| {
            let Some(zone) = timezone else {
                problem(&at("quiet_hours"), "quiet hours are wall time and need the app's timezone".into());
                return None;
            };
            QuietHours::parse(text, zone).map_err(|why| problem(&at("quiet_hours"), why)).ok()
        });
        for (key, value, most) in [("rate", app.rate, 100_000), ("concurrency", app.concurrency, 4_096)] {
            if value == 0 || value > most {
                problem(&at(key), format!("{key} is {value}; allowed are 1 to {most}"));
            }
        }
        if !(app.appid.starts_with("wx") && app.appid.len() == 18) {
            warnings.push(format!("app {}: the appid «{}» is not like WeChat's (wx and 16 more)", app.name, app.appid));
        }
        let callback_secrets = app.callback.iter().flat_map(|raw| [Some(&raw.token), raw.aes_key.as_ref()]).flatten();
        for source in callback_secrets.chain([&app.secret]) {
            let SecretSource::File(file) = source else { continue };
            let file = base.join(file);
            if !readable_by_others(&file) {
                continue;
            }
            warnings.push(format!("app {}: others can read the secret: chmod 600 {}", app.name, file.display()));
        }
        if app.mode == Mode::Test && app.testers.is_empty() {
            warnings.push(format!("app {}: mode = \"test\" without testers reaches nobody", app.name));
        } else if app.mode == Mode::Test {
            let n = app.testers.len();
            warnings.push(format!(
                "app {}: mode = \"test\": {n} testers are reached, and reminders of all others fail",
                app.name
            ));
        }
        let callback = app.callback.as_ref().and_then(|raw| {
            let mut read = |source: &SecretSource| source.read(&base, env).map_err(|why| problem(&at("callback"), why)).ok();
            let (token, key) = (read(&raw.token), raw.aes_key.as_ref().map(&mut read));
            let aes_key = key.map_or(Some(None), |key| key.map(Some));
            let (token, aes_key) = token.zip(aes_key)?;
            if aes_key.as_ref().is_some_and(|key| !is_aes_key(key)) {
                let what = "its aes_key is no EncodingAESKey, which has 43 letters and digits: copy it from the platform's console";
                problem(&at("callback"), what.into());
            }
            Some(CallbackSecrets { token, aes_key })
        });
        match &app.callback {
            None if app.consents != Feeds::Client => {
                let what = "consents that the platform pushes need a callback: add callback = { token = {…}, aes_key = {…} }";
                problem(&at("consents"), what.into());
            }
            Some(RawCallback { aes_key: None, .. }) => warnings.push(format!(
                "app {}: pushes come in clear, and whoever sees one can forge others: choose the secure mode in the platform's console, \
                 and add aes_key",
                app.name
            )),
            _ => {}
        }
        if !(1..=5).contains(&app.ask_at_once) {
            problem(&at("ask_at_once"), format!("{} templates at once; allowed are 1 to 5", app.ask_at_once));
        }
        if app.exclusive && !app.consents.counts(Feed::Client) {
            warnings.push(format!(
                "app {}: with consents = \"callback\" a tap is known only when its push arrives, so a doubt is never resent as safe: exclusive \
                 has no effect",
                app.name
            ));
        }
        if app.receipt_wait.is_some() && app.callback.is_none() {
            warnings.push(format!(
                "app {}: receipt_wait has no effect without a callback, which receipts come to",
                app.name
            ));
        }
        let receipt_wait = match app.receipt_wait.as_deref().map(parse_duration) {
            None => RECEIPT_WAIT,
            Some(Ok(wait)) if wait <= DAY => wait,
            Some(Ok(_)) => {
                problem(&at("receipt_wait"), "a receipt is waited for a day at most".into());
                RECEIPT_WAIT
            }
            Some(Err(why)) => {
                problem(&at("receipt_wait"), why);
                RECEIPT_WAIT
            }
        };
        let secret = app.secret.read(&base, env).map_err(|why| problem(&at("secret"), why)).ok();
        let templates = check_templates(i, app, &mut problem, &mut warnings);
        if let Some(secret) = secret {
            apps.push(App {
                name: app.name.clone(),
                platform: Platform::Wechat,
                appid: app.appid.clone(),
                secret,
                base_url,
                timezone,
                rate: app.rate,
                concurrency: app.concurrency,
                rules: AppRules {
                    quiet_hours,
                    testers: (app.mode == Mode::Test).then(|| app.testers.iter().cloned().collect()),
                    exclusive: app.exclusive && app.consents.counts(Feed::Client),
                    receipt_wait: app.callback.is_some().then_some(receipt_wait),
                },
                callback,
                consents: app.consents,
                ask_at_once: app.ask_at_once,
                templates,
            });
        }
    }
    if raw.app.is_empty() {
        warnings.push("no [[app]] is configured: nothing can be sent".into());
    }
    match (listen, problems.is_empty()) {
        (Some(listen), true) => Ok(Config {
            path: path.to_owned(),
            server: Server { listen, metrics, socket: base.join(&raw.server.socket), log: raw.server.log },
            store_url,
            durability: raw.store.durability,
            retention,
            apps,
            warnings,
        }),
        _ => Err(Problems(problems)),
    }
}

fn check_templates(
    app_index: usize,
    app: &RawApp,
    problem: &mut impl FnMut(&[Step<'_>], String),
    warnings: &mut Vec<String>,
) -> Vec<Template> {
    let mut known = HashSet::new();
    let mut templates = Vec::new();
    for (j, template) in app.template.iter().enumerate() {
        let at = |key: &'static str| {
            [Step::Key("app"), Step::Index(app_index), Step::Key("template"), Step::Index(j), Step::Key(key)]
        };
        if template.id.is_empty() || template.id.len() > 128 || !template.id.chars().all(|c| c.is_ascii_graphic()) {
            problem(&at("id"), "a template's id has 1 to 128 letters, digits and symbols".into());
        }
        if template.name.as_ref().is_some_and(|n| !is_name(n)) {
            problem(&at("name"), "a template's name has 1 to 64 of a–z, 0–9, - and _".into());
        }
        for word in template.name.iter().chain([&template.id]) {
            if !known.insert(word.clone()) {
                problem(
                    &at("id"),
                    format!("«{word}» names two templates of the app; ids and names are unique together"),
                );
            }
        }
        if template.fields.is_empty() || template.fields.len() > 20 {
            problem(&at("fields"), format!("a template has 1 to 20 fields; found {}", template.fields.len()));
        }
        for key in template.fields.keys() {
            let kind = field_type(key);
            if !KNOWN_TYPES.contains(&kind) {
                let near = hint(kind, KNOWN_TYPES);
                warnings.push(format!(
                    "template {}: «{key}» is of an unknown type, so its values are not checked{near}",
                    template.id
                ));
            }
        }
        templates.push(Template {
            name: template.name.clone(),
            code: template.id.clone(),
            kind: template.kind,
            title: template.title.clone(),
            fields: template.fields.clone(),
            on_doubt: template.on_doubt,
        });
    }
    templates
}

fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

fn is_aes_key(key: &SecretString) -> bool {
    let key = key.expose_secret();
    key.len() == 43 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b))
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
}

fn overridden(text: &str, overrides: &[(&String, &String)]) -> Result<RawConfig, Problems> {
    let mut table: toml::Table = toml::from_str(text).expect("it was just read as TOML");
    let mut names = Vec::new();
    for (name, value) in overrides {
        let path: Vec<String> = name["TIXING_".len()..].split("__").map(str::to_lowercase).collect();
        let (last, parents) = path.split_last().expect("split gives at least one");
        let mut at = &mut table;
        for key in parents {
            let entry = at.entry(key.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let toml::Value::Table(inner) = entry else {
                let what = format!("«{key}» is not a table of the configuration, so {name} cannot override in it");
                return Err(Problems(vec![Problem { place: (*name).clone(), what }]));
            };
            at = inner;
        }
        at.insert(last.clone(), toml::Value::String((*value).clone()));
        names.push(name.as_str());
    }
    table.try_into().map_err(|e: toml::de::Error| {
        Problems(vec![Problem { place: format!("environment ({})", names.join(", ")), what: friendly(e.message()) }])
    })
}

/// Serde's words, with "did you mean" where a key is unknown.
fn friendly(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((found, allowed)) if message.starts_with("unknown field") || message.starts_with("unknown variant") => {
            format!("unknown key or value «{found}»; allowed are {}{}", allowed.join(", "), hint(found, allowed))
        }
        // Not what a number is to a machine, but to a person.
        _ => message.replace("u32", "a whole number above 0"),
    }
}

fn hint(found: &str, allowed: &[&str]) -> String {
    did_you_mean(found, allowed.iter().copied()).map_or(String::new(), |near| format!("; did you mean «{near}»?"))
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// The line on which the deepest existing part of `place` stands.
fn line_of(text: &str, tree: &toml::Spanned<toml::de::DeTable<'_>>, place: &[Step<'_>]) -> usize {
    use toml::de::DeValue;
    let line = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
    let [Step::Key(first), rest @ ..] = place else { return 1 };
    let Some(mut at) = tree.get_ref().get(*first) else { return 1 };
    for step in rest {
        let next = match (step, at.get_ref()) {
            (Step::Key(key), DeValue::Table(table)) => table.get(*key),
            (Step::Index(i), DeValue::Array(array)) => array.get(*i),
            _ => None,
        };
        let Some(next) = next else { break };
        at = next;
    }
    line(at.span().start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[server]
listen = "127.0.0.1:8700"
[store]
url = "sqlite:tixing.db"
[[app]]
name = "coffee"
platform = "wechat"
appid = "wx0123456789abcdef"
secret = { env = "COFFEE" }
timezone = "Asia/Shanghai"
[[app.template]]
name = "event-start"
id = "Tq9"
kind = "one-time"
fields = { thing1 = "活动名称" }
"#;

    fn read(text: &str, vars: &[(&str, &str)]) -> Result<Config, String> {
        let vars: BTreeMap<_, _> = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let env = |name: &str| (name == "COFFEE").then(|| "s3cret".to_owned());
        parse(Path::new("tixing.toml"), text, &env, vars).map_err(|p| p.to_string())
    }

    #[test]
    fn every_mistake_names_its_line_and_what_is_allowed() {
        // (what stands in the good file, what somebody wrote instead, what must be said)
        let table = [
            (
                "listen =",
                "listn =",
                "tixing.toml:3: unknown key or value «listn»; allowed are listen, metrics, socket, log; did you mean «listen»?",
            ),
            ("127.0.0.1:8700", "localhost", "tixing.toml:3: «localhost» is not an address"),
            ("sqlite:tixing.db", "mysql:x", "tixing.toml:5: this is not a store"),
            (
                "\"wechat\"",
                "\"wechatt\"",
                "tixing.toml:8: «wechatt» is not a platform; allowed are wechat, alipay, douyin, kuaishou, baidu; did you mean «wechat»?",
            ),
            ("wx0123456789abcdef", "", "tixing.toml:9: «» is not an appid"),
            ("{ env = \"COFFEE\" }", "\"hunter2\"", "a secret is never written into this file"),
            ("{ env = \"COFFEE\" }", "{ env = \"TEA\" }", "tixing.toml:10: the environment variable TEA is not set"),
            ("{ env = \"COFFEE\" }", "{ file = \"nowhere\" }", "cannot read the secret file"),
            (
                "Asia/Shanghai",
                "Asia/Shangai",
                "tixing.toml:11: «Asia/Shangai» is not an IANA time zone like Asia/Shanghai; did you mean «Asia/Shanghai»?",
            ),
            (
                "one-time",
                "onetime",
                "tixing.toml:15: unknown key or value «onetime»; allowed are one-time, long-term; did you mean «one-time»?",
            ),
            ("{ thing1 = \"活动名称\" }", "{}", "tixing.toml:16: a template has 1 to 20 fields; found 0"),
            ("timezone =", "quiet_hours =", "quiet hours are wall time and need the app's timezone"),
            (
                "timezone = \"Asia/Shanghai\"",
                "callback = { token = { env = \"COFFEE\" }, aes_key = { env = \"COFFEE\" } }",
                "tixing.toml:11: its aes_key is no EncodingAESKey",
            ),
            ("timezone = \"Asia/Shanghai\"", "callback = { aes_key = { env = \"COFFEE\" } }", "missing field `token`"),
            (
                "timezone = \"Asia/Shanghai\"",
                "consents = \"callback\"",
                "tixing.toml:11: consents that the platform pushes need a callback",
            ),
            (
                "[store]",
                "[retention]\nbodies = \"12h\"\n[store]",
                "tixing.toml:5: less than a day: receipts and repeated calls would find nothing; allowed is 1d or more",
            ),
            ("[store]", "[retention]\nhistory = \"a year\"\n[store]", "tixing.toml:5: «a year» is not a duration"),
            (
                "[store]",
                "[retention]\nbodys = \"9d\"\n[store]",
                "«bodys»; allowed are bodies, attempts, history; did you mean «bodies»?",
            ),
            ("[store]", "metrics = \"127.0.0.1:8700\"\n[store]", "tixing.toml:4: metrics have the address of listen"),
            ("timezone = \"Asia/Shanghai\"", "rate = -5", "expected a whole number above 0"),
            ("timezone = \"Asia/Shanghai\"", "rate = 0", "tixing.toml:11: rate is 0; allowed are 1 to 100000"),
            ("[store]", "[store", "tixing.toml:4: "),
        ];
        for (good, bad, said) in table {
            let text = GOOD.replacen(good, bad, 1);
            assert_ne!(text, GOOD, "{good} is not in the good file");
            let problems = read(&text, &[]).expect_err(bad);
            assert!(problems.contains(said), "{bad}: {problems}");
            assert!(!problems.contains("hunter2"), "{problems}");
        }
    }

    #[test]
    fn the_environment_overrides_and_is_named_when_wrong() {
        assert_eq!(read(GOOD, &[]).expect("good").server.listen.port(), 8700);
        let config = read(GOOD, &[("TIXING_SERVER__LISTEN", "127.0.0.1:9000")]).expect("good");
        assert_eq!(config.server.listen.port(), 9000);
        let problems = read(GOOD, &[("TIXING_SERVER__LISTN", "x")]).expect_err("unknown");
        assert!(problems.contains("TIXING_SERVER__LISTN") && problems.contains("did you mean"), "{problems}");
    }

    #[test]
    fn i9_a_secret_is_not_printed_with_its_configuration() {
        let printed = format!("{:?}", read(GOOD, &[]).expect("good"));
        assert!(!printed.contains("s3cret"), "{printed}");
    }
}
