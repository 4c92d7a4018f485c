//! `tixing doctor`: everything that can be wrong, looked at, each with what to do.

mod zh;

use super::{
    arguments::Lang,
    client,
    failure::Failure,
    out::{data, some, talk},
};
use crate::{
    config::{self, App, Config, Durability},
    domain::{
        DAY, MINUTE, Millis, SECOND,
        consent::Feeds,
        outcome::Outcome,
        template::{Listing, Template},
    },
    platform::{
        Adapter, Answer, Request, adapter,
        transport::{Failure as Unsent, HttpTransport, Limits, Transport},
    },
    store::file,
};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::{
    net::ToSocketAddrs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// As it should be.
    Ok,
    /// Could not be looked at, because something before it failed.
    Skipped,
    /// It works, and may not for long, or not as well as it could.
    Warning,
    /// It does not work.
    Failed,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One thing looked at.
struct Check {
    name: String,
    level: Level,
    /// What was found.
    found: String,
    /// The same in Chinese, where the daemon has said it; else [`zh`] knows it.
    found_zh: Option<String>,
    /// What to do; empty if nothing.
    fix: String,
}

/// What has been looked at so far.
#[derive(Default)]
struct Report(Vec<Check>);

impl Report {
    fn add(&mut self, name: &str, level: Level, found: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Check { name: name.into(), level, found: found.into(), found_zh: None, fix: fix.into() });
    }

    fn ok(&mut self, name: &str, found: impl Into<String>) {
        self.add(name, Level::Ok, found, "");
    }

    fn skipped(&mut self, name: &str, why: &str) {
        self.add(name, Level::Skipped, why, "");
    }

    /// Good if there is nothing to say.
    fn judge(&mut self, name: &str, good: bool, otherwise: Level, found: impl Into<String>, fix: &str) {
        self.add(name, if good { Level::Ok } else { otherwise }, found, if good { "" } else { fix });
    }
}

/// Looks at everything and tells. Exit 78 if the configuration is wrong, 69 if something cannot be reached, 1 if something failed.
pub async fn run(path: Option<PathBuf>, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let mut report = Report::default();
    let loaded = config::search(path).and_then(|path| config::load(&path));
    let failure = match loaded {
        Err(problems) => {
            for problem in &problems.0 {
                let found = format!("{}: {}", problem.place, problem.what);
                report.add("configuration", Level::Failed, found, "correct it; `tixing check` says when it is right");
            }
            Some(Failure::Config("the configuration is wrong; nothing else was looked at".into()))
        }
        Ok(config) => look(config, &mut report).await,
    };
    show(&report, as_json, lang);
    let failed = report.0.iter().filter(|check| check.level == Level::Failed).count();
    match failure {
        Some(failure) => Err(failure),
        None if failed > 0 => Err(Failure::Failed(anyhow::anyhow!("{failed} of {} checks failed", report.0.len()))),
        None => Ok(()),
    }
}

fn show(report: &Report, as_json: bool, lang: Lang) {
    if as_json {
        let shown = |c: &Check| json!({ "check": c.name, "level": c.level.word(), "found": c.found, "fix": c.fix });
        let worst = report.0.iter().map(|check| check.level).max().unwrap_or(Level::Ok);
        let checks: Vec<Value> = report.0.iter().map(shown).collect();
        data!("{}", json!({ "worst": worst.word(), "checks": checks }));
        return;
    }
    let name = |text: &str| if lang == Lang::Zh { zh::name(text) } else { text.to_owned() };
    let say = |text: &str| if lang == Lang::Zh { zh::zh(text) } else { text.to_owned() };
    // A Chinese character takes two columns.
    let columns = |text: &str| text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
    let names: Vec<String> = report.0.iter().map(|check| name(&check.name)).collect();
    let width = names.iter().map(|name| columns(name)).max().unwrap_or_default();
    for (check, name) in report.0.iter().zip(&names) {
        let room = " ".repeat(width - columns(name));
        let sign = match check.level {
            Level::Ok => "✓",
            Level::Skipped => "·",
            Level::Warning => "!",
            Level::Failed => "✗",
        };
        let found = check.found_zh.clone().filter(|_| lang == Lang::Zh).unwrap_or_else(|| say(&check.found));
        data!("{sign} {name}{room}  {found}");
        if !check.fix.is_empty() {
            data!("  {:width$}  → {}", "", say(&check.fix));
        }
    }
    let count = |level| report.0.iter().filter(|check| check.level == level).count();
    let (failed, warnings) = (count(Level::Failed), count(Level::Warning));
    match lang {
        Lang::En => {
            talk!("{}, {failed} failed, {}", some(report.0.len() as u64, "check"), some(warnings as u64, "warning"))
        }
        Lang::Zh => talk!("共 {} 项检查，{failed} 项失败，{warnings} 项警告", report.0.len()),
    }
}

async fn look(config: Config, report: &mut Report) -> Option<Failure> {
    report.ok("configuration", format!("{} is right", config.path.display()));
    for warning in &config.warnings {
        report.add("configuration", Level::Warning, warning, "change it, or leave it if it is meant");
    }
    files(&config, report);
    machine(&config, report);
    let (apps, socket) = (config.apps.clone(), config.server.socket.clone());
    let (listed, unreachable) = store(config, &socket, report).await;
    let mut out_of_reach = false;
    match HttpTransport::new(Limits::default()) {
        Ok(transport) => {
            for app in &apps {
                out_of_reach |= !platform(app, &transport, listed.as_ref(), report).await;
            }
        }
        Err(e) => report.add("TLS roots", Level::Failed, e.to_string(), "install the package ca-certificates"),
    }
    unreachable.or_else(|| out_of_reach.then(|| Failure::Unreachable("a platform cannot be reached; see above".into())))
}

fn mode(path: &Path) -> Option<u32> {
    path.metadata().ok().map(|file| file.permissions().mode() & 0o777)
}

fn files(config: &Config, report: &mut Report) {
    let own = mode(&config.path).unwrap_or_default();
    report.judge(
        "configuration's mode",
        own & 0o022 == 0,
        Level::Failed,
        format!("{own:o}"),
        "whoever can write it can send in your name: chmod go-w it",
    );
    let Some(file) = config.store.url.strip_prefix("sqlite:").map(Path::new) else { return };
    let folder = file.parent().unwrap_or(Path::new("/"));
    report.judge(
        "store's folder",
        folder.is_dir(),
        Level::Failed,
        folder.display().to_string(),
        "it does not exist: create it, owned by the daemon's user",
    );
    if let Some(open) = mode(file) {
        report.judge(
            "store's mode",
            open & 0o077 == 0,
            Level::Warning,
            format!("{open:o}"),
            "it holds openids: chmod 600 it",
        );
    } else {
        report.skipped("store's mode", "there is no store yet");
    }
    belongings(file, report);
    match rustix::fs::statvfs(folder) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize) / 1_048_576;
            let level = if free < 200 { Level::Failed } else { Level::Warning };
            report.judge(
                "disk",
                free >= 2_048,
                level,
                format!("{free} MB free"),
                "a full disk stops every send: make room, or move the store",
            );
            report.judge(
                "disk's inodes",
                disk.f_files == 0 || disk.f_favail > 1_000,
                Level::Warning,
                format!("{} free", disk.f_favail),
                "delete small files",
            );
        }
        Err(e) => report.skipped("disk", &e.to_string()),
    }
}

/// What belongs to the store, and that it has one name only.
fn belongings(path: &Path, report: &mut Report) {
    let Ok(path) = file::real(path) else {
        report.add(
            "store's files",
            Level::Failed,
            "a link to nothing",
            "put the file that it names back, or remove the link",
        );
        return;
    };
    let Ok(opened) = path.metadata() else { return };
    let progress = file::beside(&path, file::PROGRESS);
    let shown = path.display();
    if opened.nlink() > 1 {
        let fix =
            "no start takes a file with several names: keep one and remove the others; `find -samefile` shows them";
        report.add("store's files", Level::Failed, format!("{shown} has {} names (hard links)", opened.nlink()), fix);
    } else if progress.exists() {
        report.ok("store's files", format!("{shown}, and beside it -wal and -progress: they belong together"));
    } else {
        let fix = "put it back, or the next start is on hold; a daemon that runs writes it again at its next commit";
        report.add("store's files", Level::Warning, format!("{} is missing", progress.display()), fix);
    }
}

fn machine(config: &Config, report: &mut Report) {
    report.judge(
        "durability",
        config.store.durability == Durability::Full,
        Level::Warning,
        format!("{:?}", config.store.durability).to_lowercase(),
        "a loss of power may forget what was sent and send it again: set store.durability = \"full\"",
    );
    let term = |what: &str, term: Option<Millis>| match term {
        Some(term) => format!("{what} {} days", term / DAY),
        None => format!("{what} for ever"),
    };
    let kept = &config.retention;
    let kept = [term("bodies", kept.bodies), term("attempts", kept.attempts), term("history", kept.history)];
    report.ok("retention", format!("of what has ended: {}", kept.join(", ")));
    report.ok("zone data", format!("IANA {}", chrono_tz::IANA_TZDB_VERSION));
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    report.judge(
        "open files",
        files >= 4_096,
        Level::Warning,
        format!("{files} at most"),
        "raise the limit (LimitNOFILE=65536 in the unit), or connections are refused under load",
    );
    let units = ["/etc/systemd/system/tixing.service", "/usr/lib/systemd/system/tixing.service"];
    match units.iter().find_map(|path| std::fs::read_to_string(path).ok().map(|text| (path, text))) {
        None => report.skipped("unit", "no tixing.service is installed; packaging/tixing.service is one"),
        Some((path, text)) => {
            let wanted =
                ["NoNewPrivileges=yes", "ProtectSystem=strict", "WatchdogSec=", "Restart=always", "UMask=0077"];
            let missing: Vec<&str> = wanted.into_iter().filter(|line| !text.contains(line)).collect();
            let found =
                if missing.is_empty() { (*path).to_owned() } else { format!("{path} lacks {}", missing.join(", ")) };
            report.judge(
                "unit",
                missing.is_empty(),
                Level::Warning,
                found,
                "take the lines from packaging/tixing.service",
            );
        }
    }
}

/// The store, through the daemon if one runs. Answers what the daemon knows of the platforms' templates, and why the store cannot be
/// reached, if it cannot.
async fn store(config: Config, socket: &Path, report: &mut Report) -> (Option<Value>, Option<Failure>) {
    let runs = tokio::net::UnixStream::connect(socket).await.is_ok();
    report.judge(
        "daemon",
        runs,
        Level::Warning,
        if runs { format!("answers on {}", socket.display()) } else { "does not run".into() },
        "nothing is sent meanwhile: start it with `tixing serve` or systemctl start tixing",
    );
    if let Some(open) = mode(socket).filter(|_| runs) {
        report.judge(
            "socket's mode",
            open & 0o077 == 0,
            Level::Failed,
            format!("{open:o}"),
            "it needs no key: chmod 600 it",
        );
    }
    if !runs
        && let Some(file) = config.store.url.strip_prefix("sqlite:")
        && !Path::new(file).exists()
    {
        report.skipped("database", "there is no store yet; the daemon's first start makes it");
        return (None, None);
    }
    let apps = config.apps.clone();
    let client = match client::connect(config).await {
        Ok(client) => client,
        Err(failure) => {
            report.add("database", Level::Failed, failure.to_string(), "nothing can be sent before it answers");
            return (None, Some(failure));
        }
    };
    let asked = async {
        let stats = client.ask(Method::GET, "/v1/stats", None).await?;
        let keys = client.ask(Method::GET, "/v1/keys", None).await?;
        let ready = if runs { Some((client.text("/readyz").await?, client.text("/metrics").await?.1)) } else { None };
        let listed = if runs { Some(client.ask(Method::GET, "/v1/templates", None).await?) } else { None };
        Ok::<_, Failure>((stats, keys, ready, listed))
    };
    let asked = asked.await;
    client.close().await;
    match asked {
        Ok((stats, keys, ready, listed)) => {
            report.ok("database", "answers, its schema is up to date");
            books(&stats, &keys, &apps, report);
            if let Some(((ok, text), metrics)) = ready {
                apps.iter().filter(|app| app.callback.is_some()).for_each(|app| pushes(app, &metrics, report));
                let fix = "until then nothing is sent, and whoever watches /readyz is told";
                report.judge("readiness", ok, Level::Failed, text.trim().to_owned(), fix);
            }
            (listed, None)
        }
        Err(failure) => {
            report.add("database", Level::Failed, failure.to_string(), "nothing can be sent before it answers");
            (None, Some(failure))
        }
    }
}

/// Whether the platform's pushes are believed, as the running daemon has counted them.
fn pushes(app: &App, metrics: &str, report: &mut Report) {
    let count = |what: &str| {
        let name = format!("tixing_pushes_total{{app=\"{}\",what=\"{what}\"}} ", app.name);
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    let refused: Vec<String> = ["signature", "key", "appid", "in_clear", "stale", "shape"]
        .into_iter()
        .filter(|what| count(what) > 0)
        .map(|what| format!("{} for {what}", count(what)))
        .collect();
    let taken: u64 = ["taken", "known", "other"].into_iter().map(count).sum();
    let level = if taken == 0 { Level::Failed } else { Level::Warning };
    let found = if refused.is_empty() {
        format!("{taken} taken")
    } else {
        format!("{taken} taken, refused {}", refused.join(", "))
    };
    report.judge(
        &format!("{}: pushes", app.name),
        refused.is_empty(),
        level,
        found,
        "compare Token and EncodingAESKey with the platform's console; a few are forgers or noise",
    );
}

/// What the books say.
fn books(stats: &Value, keys: &Value, apps: &[App], report: &mut Report) {
    let held = |lang: &str| stats["hold"][lang].as_str().map(str::to_owned);
    report.judge(
        "hold",
        held("en").is_none(),
        Level::Failed,
        held("en").unwrap_or_else(|| "none".into()),
        "nothing is sent until then",
    );
    if let Some(check) = report.0.last_mut() {
        check.found_zh = held("zh");
    }
    for lost in stats["unconfigured"].as_array().into_iter().flatten() {
        report.add(
            "unconfigured",
            Level::Failed,
            format!("{} reminders of the app «{}»", lost["waiting"], lost["app"].as_str().unwrap_or_default()),
            "nobody sends them: add the app to the configuration again, if only to cancel them",
        );
    }
    let clock = stats["clock_held"].as_str();
    report.judge(
        "daemon's clock",
        clock.is_none(),
        Level::Failed,
        clock.unwrap_or("believed"),
        "set the machine's clock right",
    );
    let living = |key: &&Value| key["revoked_at"].is_null();
    let living = keys["keys"].as_array().into_iter().flatten().filter(living).count();
    report.judge(
        "API keys",
        living > 0,
        Level::Warning,
        format!("{living} living"),
        "no program can ask over HTTP: `tixing key create --name backend`",
    );
    for app in apps {
        let Some(of) = stats["apps"].as_array().into_iter().flatten().find(|of| of["app"] == app.name.as_str()) else {
            continue;
        };
        let name = |what: &str| format!("{}: {what}", app.name);
        let n = |value: &Value| value.as_i64().unwrap_or_default();
        let paused = &of["paused"];
        let why = || {
            let text = |name: &str| paused[name].as_str().unwrap_or_default();
            format!("paused until {} because of {}: {}", text("until"), text("code"), text("why"))
        };
        report.judge(
            &name("sending"),
            paused.is_null(),
            Level::Failed,
            if paused.is_null() { "goes on".into() } else { why() },
            "see to what it says; one message is tried when the pause ends, and the others follow",
        );
        let held = of["held_templates"].as_array().cloned().unwrap_or_default();
        let told = |held: &Value| {
            let text = |name: &str| held[name].as_str().unwrap_or_default();
            format!("{} until {} because of {}: {}", text("template"), text("until"), text("code"), text("why"))
        };
        report.judge(
            &name("held templates"),
            held.is_empty(),
            Level::Failed,
            if held.is_empty() { "none".into() } else { held.iter().map(told).collect::<Vec<_>>().join("; ") },
            "see to what it says, in the template or in what is inserted for it; one reminder tries it again by itself",
        );
        let rate = of["rate"].as_u64().unwrap_or_else(|| app.rate.into());
        report.judge(
            &name("rate for now"),
            rate >= app.rate.into(),
            Level::Warning,
            format!("{rate} of {} a second", app.rate),
            "the platform complained of too many (45011): lower the app's rate, or leave it to recover",
        );
        let late = n(&of["oldest_overdue_ms"]);
        report.judge(
            &name("overdue"),
            late < 5 * MINUTE,
            Level::Warning,
            format!("{} waiting, the oldest for {} s", n(&of["due"]), late / SECOND),
            "is the daemon running, is the app paused, in quiet hours, or its rate too low?",
        );
        let in_doubt = n(&of["in_doubt"]);
        report.judge(
            &name("in doubt"),
            in_doubt == 0,
            Level::Warning,
            format!("{in_doubt} now, {} given up", n(&of["reminders"]["unconfirmed"])),
            "`tixing doubt list` shows them; those with on_doubt = \"ask\" wait for `tixing doubt resolve`",
        );
        let (failed, ended) =
            (n(&of["reminders"]["failed"]), n(&of["reminders"]["failed"]) + n(&of["reminders"]["sent"]));
        report.judge(
            &name("failed"),
            failed * 20 <= ended,
            Level::Warning,
            format!("{failed} of {ended} that were sent or failed"),
            "`tixing reminder list --state failed` shows which and why",
        );
        let (drift, sent) = (n(&of["drift"]), n(&of["reminders"]["sent"]));
        report.judge(
            &name("drift"),
            drift * 100 <= sent,
            Level::Warning,
            format!("{drift} refusals for want of a consent that the ledger had, {sent} sent"),
            "does somebody else send with this appid, or does the mini-program report taps that were no accepts?",
        );
        let receipts = n(&of["receipts"]["delivered"]) + n(&of["receipts"]["undelivered"]);
        if app.callback.is_some() {
            report.judge(
                &name("receipts"),
                receipts > 0 || sent < 20,
                Level::Warning,
                format!("{receipts} of {sent} sent"),
                "no push arrives: is the callback's address right in the platform's console, and open to it?",
            );
            report.judge(
                &name("undelivered"),
                n(&of["receipts"]["undelivered"]) * 20 <= receipts,
                Level::Warning,
                format!("{} of {receipts}", n(&of["receipts"]["undelivered"])),
                "`tixing reminder list --delivery undelivered` shows which: the receipt's code says why",
            );
        }
    }
}

/// One app's platform. Answers whether it could be reached.
async fn platform(app: &App, transport: &HttpTransport, listed: Option<&Value>, report: &mut Report) -> bool {
    let name = |what: &str| format!("{}: {what}", app.name);
    let all = ["reach", "credentials", "IP whitelist", "clock", "quota", "templates"];
    callback(app, report);
    report.judge(
        &name("address"),
        app.base_url.starts_with("https://"),
        Level::Warning,
        &app.base_url,
        "without TLS the secret travels in clear: fine for the sandbox alone",
    );
    let host = reqwest::Url::parse(&app.base_url)
        .ok()
        .and_then(|url| Some((url.host_str()?.trim_matches(['[', ']']).to_owned(), url.port_or_known_default()?)));
    let Some((host, port)) = host else { return true };
    let asked = (host.clone(), port);
    let found = tokio::task::spawn_blocking(move || asked.to_socket_addrs().map(Iterator::count)).await;
    match found.unwrap_or(Ok(0)) {
        Ok(n) if n > 0 => report.ok(&name("DNS"), format!("{host} is found ({n})")),
        Ok(_) => report.add(&name("DNS"), Level::Failed, format!("{host} has no address"), "is the name right?"),
        Err(e) => {
            report.add(
                &name("DNS"),
                Level::Failed,
                format!("{host}: {e}"),
                "is the name right, and does the machine have a resolver?",
            );
            all.iter().for_each(|what| report.skipped(&name(what), "the platform cannot be reached"));
            return false;
        }
    }
    let adapter = adapter(app);
    let answer = match transport.call(adapter.token_request(false)).await {
        Ok(answer) => answer,
        Err(Unsent::NotSent(cause) | Unsent::Unknown(cause)) => {
            report.add(&name("reach"), Level::Failed, cause, "is it blocked by a firewall, or is base_url wrong?");
            all[1..].iter().for_each(|what| report.skipped(&name(what), "the platform cannot be reached"));
            return false;
        }
    };
    report.ok(&name("reach"), format!("HTTP {}", answer.status));
    clock(app, &answer, report);
    let token = match adapter.read_token(&answer) {
        Ok(granted) => granted,
        Err(outcome) => {
            refused_token(app, &*adapter, outcome, report);
            ["quota", "templates"].iter().for_each(|what| report.skipped(&name(what), "there is no token"));
            return true;
        }
    };
    report.ok(&name("credentials"), format!("a token for {} min", token.lives / MINUTE));
    report.ok(&name("IP whitelist"), "this machine's address is on it, or there is none");
    quota(app, &*adapter, transport, &token.token, report).await;
    templates(app, &*adapter, transport, &token.token, listed, report).await;
    true
}

fn callback(app: &App, report: &mut Report) {
    let name = format!("{}: callback", app.name);
    match &app.callback {
        None => report.add(
            &name,
            Level::Warning,
            "none: whether a message was delivered, and that a user turned it off, is not known",
            format!(
                "add callback = {{ token = {{…}}, aes_key = {{…}} }}, and /callback/{} in the platform's console",
                app.name
            ),
        ),
        Some(secrets) if secrets.aes_key.is_none() => report.add(
            &name,
            Level::Warning,
            "in clear: whoever sees one push can forge others",
            "choose the secure mode in the platform's console, and add aes_key",
        ),
        Some(_) => {
            let feeds = match app.consents {
                Feeds::Client => "taps by the mini-program's word",
                Feeds::Callback => "taps by the platform's word",
                Feeds::Reconcile => "taps by both",
            };
            report.ok(&name, format!("encrypted, at /callback/{}; {feeds}", app.name));
        }
    }
}

fn clock(app: &App, answer: &Answer, report: &mut Report) {
    let name = format!("{}: clock", app.name);
    let Some(date) = answer.date else { return report.skipped(&name, "the platform does not say what time it is") };
    let off: Millis = crate::clock::SystemClock::shared().now() - date;
    // A Date has whole seconds, and took its time to come.
    let level = if off.abs() > MINUTE { Level::Failed } else { Level::Warning };
    report.judge(
        &name,
        off.abs() <= 5 * SECOND,
        level,
        format!("{} s from the platform's", off / SECOND),
        "reminders go out early or late by it: start chrony or systemd-timesyncd",
    );
}

fn refused_token(app: &App, adapter: &dyn Adapter, outcome: Outcome, report: &mut Report) {
    let name = |what: &str| format!("{}: {what}", app.name);
    let Outcome::Answered { code, text, .. } = outcome else {
        let found = "the answer to a token's request cannot be read";
        report.add(&name("credentials"), Level::Failed, found, "does base_url name the platform, and no proxy's page?");
        return report.skipped(&name("IP whitelist"), "there is no token");
    };
    let meaning = adapter.meaning(&code).map_or("unknown to tixing", |(en, _)| en);
    if let Some(seen) = adapter.refused_address(&code, &text) {
        report.skipped(&name("credentials"), "the address is refused first");
        let fix =
            format!("add {seen} to the IP whitelist of {} in the platform's console (开发管理 → 开发设置)", app.appid);
        return report.add(
            &name("IP whitelist"),
            Level::Failed,
            format!("the platform sees {seen}, which is not on it"),
            fix,
        );
    }
    report.add(&name("credentials"), Level::Failed, format!("{code}: {text}"), meaning);
    report.skipped(&name("IP whitelist"), "there is no token");
}

/// Asks one thing with a token; what went wrong becomes a warning, since sends may work all the same.
async fn ask<T>(
    name: String,
    transport: &HttpTransport,
    request: Request,
    read: impl Fn(&Answer) -> Result<T, Outcome>,
    report: &mut Report,
) -> Option<T> {
    let found = match transport.call(request).await {
        Ok(answer) => match read(&answer) {
            Ok(value) => return Some(value),
            Err(Outcome::Answered { code, text, .. }) => format!("{code}: {text}"),
            Err(Outcome::Unknown { cause } | Outcome::NotSent { cause }) => cause,
            Err(Outcome::Accepted { .. }) => String::new(),
        },
        Err(Unsent::NotSent(cause) | Unsent::Unknown(cause)) => cause,
    };
    report.add(&name, Level::Warning, format!("cannot be asked: {found}"), "try again later");
    None
}

async fn quota(app: &App, adapter: &dyn Adapter, transport: &HttpTransport, token: &SecretString, report: &mut Report) {
    let name = format!("{}: quota", app.name);
    let request = adapter.quota_request(token);
    let Some(quota) = ask(name.clone(), transport, request, |answer| adapter.read_quota(answer), report).await else {
        return;
    };
    let level = if quota.left <= 0 { Level::Failed } else { Level::Warning };
    report.judge(
        &name,
        quota.left * 10 > quota.limit,
        level,
        format!("{} of {} sends left today", quota.left, quota.limit),
        "what is beyond it waits until the platform's midnight: spread it over days, or ask for more in the console",
    );
    if let Some((calls, seconds)) = quota.rate {
        let most = calls / seconds.max(1);
        report.judge(
            &format!("{}: rate", app.name),
            i64::from(app.rate) <= most,
            Level::Warning,
            format!("{} a second, {calls} in {seconds} s allowed", app.rate),
            &format!("lower the app's rate to {most}"),
        );
    }
}

/// By the daemon's list if it has one, since the platforms answer this a few times a day only.
async fn templates(
    app: &App,
    adapter: &dyn Adapter,
    transport: &HttpTransport,
    token: &SecretString,
    listed: Option<&Value>,
    report: &mut Report,
) {
    let name = format!("{}: templates", app.name);
    let known = listed.and_then(|listed| listed["templates"].as_array()).into_iter().flatten();
    let known: Vec<&Value> = known.filter(|t| t["app"] == app.name.as_str() && t["listed_at"].is_string()).collect();
    let (when, differences): (String, Vec<(&Template, Vec<String>)>) = if known.is_empty() {
        let request = adapter.templates_request(token);
        let read = |answer: &Answer| adapter.read_templates(answer);
        let Some(templates) = ask(name.clone(), transport, request, read, report).await else { return };
        let listing = Listing { read_at: 0, templates };
        ("now".into(), app.templates.iter().map(|t| (t, listing.differences(t))).collect())
    } else {
        let of = |t: &Template| -> Vec<String> {
            let entry = known.iter().find(|entry| entry["id"] == t.code.as_str());
            let why = entry.and_then(|entry| entry["out_of_step"].as_array()).into_iter().flatten();
            why.filter_map(|why| why.as_str().map(str::to_owned)).collect()
        };
        let when = known[0]["listed_at"].as_str().unwrap_or_default();
        (format!("the daemon asked at {when}"), app.templates.iter().map(|t| (t, of(t))).collect())
    };
    for (template, why) in &differences {
        let which = template.name.as_deref().unwrap_or(&template.code);
        for why in why {
            let fix = "what it would refuse is held; once it is mended, `tixing template refresh` reads the list again";
            report.add(&name, Level::Failed, format!("«{which}»: {why}"), fix);
        }
    }
    let good = differences.iter().filter(|(_, why)| why.is_empty()).count();
    report.judge(
        &name,
        good == app.templates.len(),
        Level::Warning,
        format!("{good} of {} as the platform has them ({when})", app.templates.len()),
        "mend those above",
    );
}
