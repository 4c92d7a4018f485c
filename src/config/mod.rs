//! `tixing.toml`: read once, checked whole, every problem with its line.
//!
//! Each group of keys has a file: its shape in the TOML (`Raw`), its check, and the checked type.

mod server;
mod console;
mod store;
mod retention;
mod schedules;
mod app;
mod callback;
mod own;
mod elsewhere;
mod proxy;
mod codes;
mod template;
mod secret;
mod wanted;
mod environment;
mod check;
mod place;

pub use app::{App, zone};
pub use check::{Problem, Problems, unknown_word};
pub use console::Console;
pub use place::line;
pub use schedules::Schedules;
pub use server::{Format, Level, Server};
pub use store::{Durability, Replication, Store};
pub use wanted::Wanted;

use crate::{
    domain::{DAY, Millis, retention::Retention},
    words::{Message, say},
};
use check::{Check, in_file, unread};
use chrono_tz::Tz;
use place::{Lines, Place};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Everything that the configuration says, checked and with the secrets read that are wanted.
#[derive(Debug)]
pub struct Config {
    /// Where it was read from.
    pub path: PathBuf,
    /// Listening.
    pub server: Server,
    /// The pages for people, if they are served.
    pub console: Option<Console>,
    /// The database.
    pub store: Store,
    /// The watched folder, if there is one.
    pub schedules: Option<Schedules>,
    /// How long the data of ended reminders is kept.
    pub retention: Retention,
    /// The mini-programs.
    pub apps: Vec<App>,
    /// Settings that are allowed but probably not meant.
    pub warnings: Vec<Message>,
}

impl Config {
    /// How many sends may be in flight at once, over all apps.
    pub fn sends_at_once(&self) -> u64 {
        self.apps.iter().map(|app| u64::from(app.concurrency)).sum()
    }

    /// Into how many lanes each app is divided, where that is more than one.
    pub fn shards(&self) -> BTreeMap<String, u32> {
        let divided = self.apps.iter().filter(|app| app.shards > 1);
        divided.map(|app| (app.name.clone(), app.shards)).collect()
    }

    /// What daemons must agree on that share a database: a digest of each app, by its name.
    pub fn digests(&self) -> BTreeMap<String, String> {
        self.apps.iter().map(|app| (app.name.clone(), app.digest())).collect()
    }

    /// Whether a daemon that runs with one can take over the other: all but the secrets and the log's level is the same.
    pub fn is_like(&self, other: &Self) -> bool {
        self.server.is_like(&other.server)
            && self.console == other.console
            && self.store == other.store
            && self.schedules == other.schedules
            && self.retention == other.retention
            && self.apps.len() == other.apps.len()
            && self.apps.iter().zip(&other.apps).all(|(one, other)| one.is_like(other))
    }

    /// The zone in which people read times that are of no app: the one that all apps have, if they have one.
    pub fn zone(&self) -> Option<Tz> {
        let mut all = self.apps.iter().map(|app| app.timezone);
        let first = all.next().flatten();
        first.filter(|_| all.all(|zone| zone == first))
    }

    /// The zone in which people read the times of an app.
    pub fn zone_of(&self, app: &str) -> Option<Tz> {
        let named = self.apps.iter().find(|known| known.name == app);
        named.and_then(|app| app.timezone).or_else(|| self.zone())
    }

    /// The same, if none of its secrets has ended; with a warning of those that soon will. `text` is the file's.
    fn in_force(mut self, text: &str, now: Millis) -> Result<Self, Problems> {
        let lines = Lines::new(text).expect("it was just read as TOML");
        let mut problems = Vec::new();
        for (i, app) in self.apps.iter().enumerate().filter(|(_, app)| !app.without_secrets) {
            for (key, at) in app.adapter().secrets_end() {
                if *at <= now {
                    let line = lines.of(&own::place(&Place::table("app").item(i), key));
                    problems
                        .push(Problem { place: in_file(&self.path, line), what: say!("certificate_expired", at = at) });
                } else if *at <= now + ENDS_SOON {
                    self.warnings.push(say!("certificate_ends", app = app.name, key = key, at = at));
                }
            }
        }
        if problems.is_empty() { Ok(self) } else { Err(Problems(problems)) }
    }
}

/// How long before a secret ends it is warned of.
pub const ENDS_SOON: Millis = 30 * DAY;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    proxy: Option<proxy::Raw>,
    #[serde(default)]
    server: server::Raw,
    #[serde(default)]
    console: console::Raw,
    #[serde(default)]
    store: store::Raw,
    schedules: Option<schedules::Raw>,
    #[serde(default)]
    retention: retention::Raw,
    #[serde(default)]
    app: Vec<app::Raw>,
}

/// Where the configuration is looked for when no path is given.
///
/// # Errors
/// When there is none.
pub fn search(given: Option<PathBuf>) -> Result<PathBuf, Problems> {
    if let Some(path) = given {
        return Ok(path);
    }
    ["tixing.toml", "/etc/tixing/tixing.toml"]
        .into_iter()
        .map(PathBuf::from)
        .find(|p| p.exists())
        .ok_or_else(|| Problems::one(Message::text("tixing.toml"), say!("config_not_found")))
}

/// Reads and checks the configuration at `path`, with all of its secrets. `now` tells which of them have ended.
///
/// # Errors
/// All problems found.
pub fn load(path: &Path, now: Millis) -> Result<Config, Problems> {
    load_with(path, now, Wanted::All)
}

/// As [`load`], with the secrets alone that are wanted.
///
/// # Errors
/// All problems found.
pub fn load_with(path: &Path, now: Millis, wanted: Wanted) -> Result<Config, Problems> {
    let unread = |e: std::io::Error| {
        Problems::one(Message::text(path.display().to_string()), say!("config_unreadable", why = e.to_string()))
    };
    let text = std::fs::read_to_string(path).map_err(unread)?;
    let config = parse_with(path, &text, &|name| std::env::var(name).ok(), std::env::vars().collect(), wanted)?;
    config.in_force(&text, now)
}

/// As [`load`], with everything given: `env` looks up an environment variable, `vars` lists them.
///
/// # Errors
/// All problems found.
pub fn parse(
    path: &Path,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    vars: BTreeMap<String, String>,
) -> Result<Config, Problems> {
    parse_with(path, text, env, vars, Wanted::All)
}

fn parse_with(
    path: &Path,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    vars: BTreeMap<String, String>,
    wanted: Wanted,
) -> Result<Config, Problems> {
    let wrong = |e: toml::de::Error| {
        let line = e.span().map_or(1, |span| line(text, span.start));
        let at = e.span().and_then(|span| text.get(span)).unwrap_or_default();
        Problems::one(in_file(path, line), unread(e.message(), at))
    };
    let in_file: Raw = toml::from_str(text).map_err(wrong)?;
    let raw = environment::overridden(text, &vars)?.unwrap_or(in_file);
    let mut check = Check {
        path,
        // A path from the working directory has no parent to name: "" joins as nothing.
        base: std::path::absolute(path).ok().and_then(|p| p.parent().map(Path::to_owned)).unwrap_or_default(),
        env,
        vars: &vars,
        wanted,
        passed_over: false,
        lines: Lines::new(text).expect("it was just read as TOML"),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let server = raw.server.check(&mut check);
    let console = raw.console.check(server.as_ref(), &mut check);
    let store = raw.store.check(&mut check);
    let schedules = raw.schedules.and_then(|schedules| schedules.check(&mut check));
    let retention = raw.retention.check(&mut check);
    let apps = app::check(&raw.app, raw.proxy.as_ref(), &mut check);
    if store.as_ref().is_some_and(|store| store.url.starts_with("sqlite:")) {
        for app in apps.iter().filter(|app| app.shards > 1) {
            check.warning(say!("shards_without_effect", app = app.name));
        }
    }
    let Check { problems, warnings, .. } = check;
    match (server, store, problems.is_empty()) {
        (Some(server), Some(store), true) => {
            Ok(Config { path: path.to_owned(), server, console, store, schedules, retention, apps, warnings })
        }
        _ => Err(Problems(problems)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::BUILT;
    use std::sync::LazyLock;

    /// A good file, of the first platform in the list.
    pub(super) static GOOD: LazyLock<String> = LazyLock::new(|| {
        let text = r#"
[server]
listen = "127.0.0.1:8700"
[store]
url = "sqlite:tixing.db"
[[app]]
name = "coffee"
platform = "{platform}"
appid = "wx0123456789abcdef"
secret = { env = "COFFEE" }
timezone = "Asia/Shanghai"
[[app.template]]
name = "event-start"
id = "Tq9"
kind = "one-time"
fields = { thing1 = "活动名称" }
"#;
        text.replace("{platform}", BUILT[0].word)
    });

    pub(super) fn read(text: &str, vars: &[(&str, &str)]) -> Result<Config, String> {
        let vars: BTreeMap<_, _> = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let env = |name: &str| (name == "COFFEE").then(|| "s3cret".to_owned());
        parse(Path::new("tixing.toml"), text, &env, vars).map_err(|p| p.to_string())
    }

    /// Each row: what stands in the good file, what somebody wrote instead, what must be said.
    pub(super) fn refused(table: &[(&str, &str, &str)]) {
        for (good, bad, said) in table {
            let text = GOOD.replacen(good, bad, 1);
            assert_ne!(text, *GOOD, "{good} is not in the good file");
            let problems = read(&text, &[]).expect_err(bad);
            assert!(problems.contains(said), "{bad}: {problems}");
            assert!(!problems.contains("hunter2"), "{problems}");
        }
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        refused(&[("[store]", "[store", "tixing.toml:4: ")]);
    }
}
