//! The verbs. stdout is data, stderr is talk.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod client;
mod demo;
mod doctor;
mod init;
mod log;
mod out;
mod safekeeping;
mod verbs;

use crate::{
    clock::SystemClock,
    config::{self, Config, Level},
    daemon::{self, StartError},
    http,
    platform::callback,
    sandbox::{Format, Mode, Pusher, Sandbox},
    store::{Store, keys::Scope},
};
use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use out::{data, talk};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

/// Scheduled reminders for mini-program subscribe messages.
#[derive(Parser)]
#[command(name = "tixing", version, about, propagate_version = true)]
struct Cli {
    /// The configuration; else ./tixing.toml, then /etc/tixing/tixing.toml.
    #[arg(long, global = true, env = "TIXING_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    /// zh or en; else by LANG.
    #[arg(long, global = true, value_name = "LANG")]
    lang: Option<Lang>,
    #[command(subcommand)]
    verb: Verb,
}

/// The language of talk.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lang {
    Zh,
    En,
}

impl Lang {
    fn of_environment() -> Self {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        if set.is_some_and(|lang| lang.starts_with("zh")) { Self::Zh } else { Self::En }
    }

    fn pick<'a>(self, en: &'a str, zh: &'a str) -> &'a str {
        if self == Self::Zh { zh } else { en }
    }
}

#[derive(Subcommand)]
enum Verb {
    /// Run the daemon.
    Serve,
    /// See the whole of it at work: sandbox, daemon and users in one process, nothing to set up.
    Demo {
        /// End by itself after this long, such as 20s; else on Ctrl-C.
        #[arg(long = "for", value_name = "DURATION")]
        duration: Option<String>,
    },
    /// Stand in for the platforms, with a ledger of its own.
    Sandbox {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:8790")]
        listen: SocketAddr,
        /// Decides which requests its faults hit.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Write a commented configuration to start from.
    Init {
        /// Where to; else where --config says, or ./tixing.toml.
        path: Option<PathBuf>,
    },
    /// Say whether the configuration is right.
    Check,
    /// Look at everything that can be wrong, and say what to do about it.
    Doctor,
    /// Bring the store's schema up to date.
    Migrate,
    /// Make, list and revoke API keys.
    #[command(subcommand)]
    Key(Key),
    /// Record and show consents.
    #[command(subcommand)]
    Consent(Consent),
    /// Insert, list, show, explain and cancel reminders.
    #[command(subcommand)]
    Reminder(Reminder),
    /// List reminders of which nobody knows whether they arrived, and decide about them.
    #[command(subcommand)]
    Doubt(Doubt),
    /// List the templates and whether the platform has them so, or read them from it now.
    #[command(subcommand)]
    Template(Template),
    /// Show everything that is stored about a user, forget them, or let them in again.
    #[command(subcommand)]
    User(Rights),
    /// Write a consistent copy of the store, while the daemon runs.
    Backup {
        /// Where to; must not exist yet.
        file: PathBuf,
    },
    /// Say whether a backup is whole and its ledger balances.
    Verify {
        /// The backup.
        file: PathBuf,
    },
    /// Put a backup in the place of the store, on hold. On PostgreSQL, put on hold what was restored in a way that a start does not see.
    Restore {
        /// The backup; none on PostgreSQL.
        file: Option<PathBuf>,
    },
    /// End the hold of a store that may not know all it has sent: by itself it says why and what became due since, and changes nothing.
    Release {
        /// What became due since ends as «unconfirmed»: nobody gets a message twice.
        #[arg(long, conflicts_with = "send")]
        assume_sent: bool,
        /// What became due since is sent as far as its deadline allows: nobody misses a message, some may get one twice.
        #[arg(long)]
        send: bool,
    },
    /// Print a shell's completions.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

#[derive(Subcommand)]
enum Key {
    /// Make a key; it is shown this once.
    Create {
        /// What it is for.
        #[arg(long)]
        name: String,
        /// What it may do.
        #[arg(long, value_enum, default_value = "write")]
        scope: Scope,
        /// An app it may touch; may be repeated; all if left out. An admin key is always for all.
        #[arg(long = "app")]
        apps: Vec<String>,
    },
    /// List the keys.
    List,
    /// Revoke a key.
    Revoke {
        /// Its number.
        id: i64,
    },
}

#[derive(Subcommand)]
enum Consent {
    /// Record that a user accepted a template.
    Add {
        #[command(flatten)]
        user: User,
        /// The template's id or alias; may be repeated.
        #[arg(long = "template", required = true)]
        templates: Vec<String>,
        /// Your own id of the tap: the same event twice counts once.
        #[arg(long)]
        event: Option<String>,
    },
    /// Show a user's balances.
    Show {
        #[command(flatten)]
        user: User,
        /// Each consent with what became of it.
        #[arg(long)]
        history: bool,
    },
}

#[derive(Args)]
struct User {
    /// The app's name in the configuration.
    #[arg(long)]
    app: String,
    /// The user.
    #[arg(long)]
    openid: String,
}

#[derive(Subcommand)]
enum Reminder {
    /// Insert one reminder, or many from a file.
    Add(Box<Add>),
    /// List reminders by instant.
    List {
        /// Only this app's.
        #[arg(long)]
        app: Option<String>,
        /// Only this user's.
        #[arg(long)]
        openid: Option<String>,
        /// Only of this template.
        #[arg(long)]
        template: Option<String>,
        /// Only in this state.
        #[arg(long)]
        state: Option<String>,
        /// Only those of which the platform has said so: delivered or undelivered.
        #[arg(long)]
        delivery: Option<String>,
        /// Instants at or after this.
        #[arg(long)]
        from: Option<String>,
        /// Instants before this.
        #[arg(long)]
        to: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Show one reminder with its attempts.
    Show {
        /// Its id.
        id: String,
    },
    /// Say why it was or was not sent.
    Explain {
        /// Its id.
        id: String,
    },
    /// Cancel a scheduled reminder; its consent is free again.
    Cancel {
        /// Its id.
        id: String,
    },
}

#[derive(Subcommand)]
enum Rights {
    /// Show everything that is stored about a user, as JSON.
    Export(User),
    /// Forget a user: gone from every row, waiting reminders cancelled, and nothing is stored for them again.
    Forget(User),
    /// Let a user in again who was forgotten and has come back.
    LetIn(User),
}

#[derive(Subcommand)]
enum Template {
    /// List them: fields and values as the platform has them, where it has been asked.
    List {
        /// Only this app's.
        #[arg(long)]
        app: Option<String>,
    },
    /// Have the daemon read them from the platform now. It answers that a few times a day only.
    Refresh {
        /// Only this app's.
        #[arg(long)]
        app: Option<String>,
    },
}

#[derive(Subcommand)]
enum Doubt {
    /// List them, by the instant at which they are looked at next.
    List {
        /// Only this app's.
        #[arg(long)]
        app: Option<String>,
        /// Those that were given up as «unconfirmed» instead; they can be corrected.
        #[arg(long)]
        given_up: bool,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Decide about one; who decided is kept.
    Resolve {
        /// Its id.
        id: String,
        /// What you found out, or want.
        #[arg(long = "as", value_name = "VERDICT", value_parser = ["sent", "not_sent", "resend", "unconfirmed"])]
        verdict: String,
    },
}

#[derive(Args)]
struct Add {
    /// NDJSON, one reminder a line as in the API; «-» for standard input. Exit 3 if some were refused.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["app", "openid", "template", "at", "data"])]
    file: Option<PathBuf>,
    /// The app's name in the configuration.
    #[arg(long, required_unless_present = "file")]
    app: Option<String>,
    /// The user.
    #[arg(long, required_unless_present = "file")]
    openid: Option<String>,
    /// The template's id or alias.
    #[arg(long, required_unless_present = "file")]
    template: Option<String>,
    /// 2027-03-01T10:00 in the app's zone, or with an offset.
    #[arg(long, required_unless_present = "file")]
    at: Option<String>,
    /// A field, such as thing1=周三读书会; may be repeated.
    #[arg(long = "data", value_name = "KEY=VALUE")]
    data: Vec<String>,
    /// Page that opens on tap.
    #[arg(long)]
    page: Option<String>,
    /// The deadline: a time, or a duration after the instant such as 2h.
    #[arg(long)]
    expires_at: Option<String>,
    /// Your own id of it, unique per app for ever.
    #[arg(long)]
    key: Option<String>,
    /// The user has just accepted: record that consent and hold it.
    #[arg(long)]
    accepted: bool,
    /// Take the consent at the instant instead of now.
    #[arg(long)]
    at_fire: bool,
}

/// How a command ended.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Exit 1.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
    /// Exit 2.
    #[error("{0}")]
    Usage(String),
    /// The API's refusal, a problem as it answers it. Exit by its status.
    #[error("{}", sentence(.0))]
    Refused(Value),
    /// Exit 3.
    #[error("{0}")]
    SomeRefused(String),
    /// Exit 4.
    #[error("{0}")]
    NotFound(String),
    /// Exit 69.
    #[error("{0}")]
    Unreachable(String),
    /// Exit 78.
    #[error("{0}")]
    Config(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(problem) => match problem["status"].as_u64() {
                Some(400) => 2,
                Some(404) => 4,
                Some(503) => 69,
                _ => 1,
            },
            Self::SomeRefused(_) => 3,
            Self::NotFound(_) => 4,
            Self::Unreachable(_) => 69,
            Self::Config(_) => 78,
        }
    }

    /// As `--json` tells it on stderr.
    fn json(&self) -> Value {
        let mut error = match self {
            Self::Refused(problem) => problem.clone(),
            other => json!({ "detail": other.to_string() }),
        };
        error["exit"] = self.code().into();
        json!({ "error": error })
    }
}

/// A refusal of the API as one sentence.
fn sentence(problem: &Value) -> String {
    let text = |name: &str| problem[name].as_str();
    let field = text("param").map_or(String::new(), |param| format!("{param}: "));
    format!("{field}{} ({})", text("detail").unwrap_or("it gave no reason"), text("code").unwrap_or("?"))
}

/// A number of things in English.
fn some(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(what) => Self::Config(what),
            StartError::Unreachable(what) => Self::Unreachable(what),
            StartError::Other(e) => Self::Failed(e),
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let as_json = cli.json;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(run(cli));
            // What still waits, for a database that is silent or for a thread that does, is not waited for.
            runtime.shutdown_background();
            result
        }
        Err(e) => Err(Failure::Failed(e.into())),
    };
    let result = result.and_then(|()| match out::lost() {
        Some(e) => Err(Failure::Failed(anyhow::anyhow!("it is done, but stdout took not all of the answer: {e}"))),
        None => Ok(()),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if as_json {
                talk!("{}", failure.json());
            } else {
                talk!("tixing: {failure}");
            }
            ExitCode::from(failure.code())
        }
    }
}

fn configured(path: Option<PathBuf>) -> Result<Config, Failure> {
    config::search(path).and_then(|path| config::load(&path)).map_err(|problems| Failure::Config(problems.to_string()))
}

/// Connects for a verb, which may be one that makes a store.
async fn reach(config: Option<PathBuf>, makes: bool) -> Result<client::Client, Failure> {
    let config = configured(config)?;
    if makes { client::connect_or_make(config).await } else { client::connect(config).await }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let lang = cli.lang.unwrap_or_else(Lang::of_environment);
    match cli.verb {
        Verb::Serve => {
            // Before anything else: a signal that comes while it starts must not end it half-way.
            let asks = daemon::Asks::listen()?;
            let config = configured(cli.config)?;
            let volume = log::start(config.server.log);
            daemon::serve(config, asks, SystemClock::shared(), &|level| volume.set(level)).await?;
            Ok(())
        }
        Verb::Demo { duration } => {
            log::start(Level::Error);
            let duration = duration.map(|text| crate::domain::timing::parse_duration(&text)).transpose();
            demo::run(duration.map_err(|why| Failure::Usage(format!("--for {why}")))?, cli.json, lang).await?;
            Ok(())
        }
        Verb::Sandbox { listen, seed } => {
            log::start(Level::Info);
            sandbox(cli.config, listen, seed).await
        }
        Verb::Init { path } => {
            let path = path.or(cli.config).unwrap_or_else(|| "tixing.toml".into());
            init::write(&path, cli.json, lang)
        }
        Verb::Doctor => doctor::run(cli.config, cli.json, lang).await,
        Verb::Check => check(cli.config, cli.json, lang),
        Verb::Migrate => {
            let config = configured(cli.config)?;
            let opened =
                Store::open(&config.store.url, config.store.durability, &config.apps, SystemClock::shared()).await;
            let store = opened.map_err(StartError::from)?;
            store.close().await;
            if cli.json {
                data!("{}", json!({ "ok": true }));
            } else {
                talk!("{}", lang.pick("the schema is up to date", "数据库结构已是最新"));
            }
            Ok(())
        }
        Verb::Key(verb) => {
            let client = reach(cli.config, matches!(verb, Key::Create { .. })).await?;
            verbs::key(&client, verb, cli.json, lang).await
        }
        Verb::Consent(verb) => {
            let client = reach(cli.config, matches!(verb, Consent::Add { .. })).await?;
            verbs::consent(&client, verb, cli.json).await
        }
        Verb::Reminder(verb) => {
            let client = reach(cli.config, matches!(verb, Reminder::Add(_))).await?;
            verbs::reminder(&client, verb, cli.json, lang).await
        }
        Verb::Doubt(verb) => verbs::doubt(&reach(cli.config, false).await?, verb, cli.json, lang).await,
        Verb::User(verb) => verbs::user(&reach(cli.config, false).await?, verb, cli.json, lang).await,
        Verb::Template(verb) => verbs::template(&reach(cli.config, false).await?, verb, cli.json, lang).await,
        Verb::Backup { file } => safekeeping::backup(configured(cli.config)?, &file, cli.json, lang).await,
        Verb::Verify { file } => safekeeping::verify(&file, cli.json, lang).await,
        Verb::Restore { file } => safekeeping::restore(configured(cli.config)?, file, cli.json, lang).await,
        Verb::Release { assume_sent, send } => {
            let due = if send { Some("send") } else { assume_sent.then_some("assume_sent") };
            safekeeping::release(configured(cli.config)?, due, cli.json, lang).await
        }
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tixing", &mut script);
            data!("{}", String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
        Verb::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).context("cannot write the manual page")?;
            data!("{}", String::from_utf8_lossy(&page).trim_end());
            Ok(())
        }
    }
}

fn check(path: Option<PathBuf>, as_json: bool, lang: Lang) -> Result<(), Failure> {
    let loaded = config::search(path).and_then(|path| config::load(&path));
    if as_json {
        let (problems, warnings) = match &loaded {
            Ok(config) => (Vec::new(), config.warnings.clone()),
            Err(problems) => (problems.0.iter().map(|p| format!("{}: {}", p.place, p.what)).collect(), Vec::new()),
        };
        data!("{}", json!({ "ok": problems.is_empty(), "problems": problems, "warnings": warnings }));
    }
    let config = loaded.map_err(|problems| Failure::Config(problems.to_string()))?;
    for warning in &config.warnings {
        talk!("{}: {warning}", lang.pick("warning", "警告"));
    }
    if !as_json {
        let templates: usize = config.apps.iter().map(|app| app.templates.len()).sum();
        let (apps, templates) = (some(config.apps.len() as u64, "app"), some(templates as u64, "template"));
        data!("{}: ok, {apps}, {templates}", config.path.display());
    }
    Ok(())
}

/// The sandbox knows the configured apps, if a configuration is there; others are added over its own API.
async fn sandbox(path: Option<PathBuf>, listen: SocketAddr, seed: u64) -> Result<(), Failure> {
    let sandbox = Sandbox::new(SystemClock::shared(), seed);
    if let Ok(path) = config::search(path) {
        let config = config::load(&path).map_err(|problems| Failure::Config(problems.to_string()))?;
        for app in &config.apps {
            sandbox.world().add_configured(app);
            if let Some(callback) = callback(app) {
                let url = format!("http://{}/callback/{}", config.server.listen, app.name);
                let mode = if callback.has_key() { Mode::Secure } else { Mode::Plain };
                talk!("pushes to {url}");
                sandbox.world().push_to(&app.appid, Pusher { url, callback, mode, format: Format::Json });
            }
            talk!("knows the app {} ({}) from {}", app.name, app.appid, path.display());
        }
    }
    let listener = tokio::net::TcpListener::bind(listen).await;
    let listener = listener.map_err(|e| Failure::Config(format!("cannot listen on {listen}: {e}")))?;
    let address = listener.local_addr().context("cannot read the address")?;
    talk!("the sandbox listens on http://{address}; orders under /_sandbox");
    let stop = tokio_util::sync::CancellationToken::new();
    let server = tokio::spawn(http::serve(listener, sandbox.router(), stop.clone()));
    tokio::spawn(sandbox.push(stop.clone()));
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for signals")?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
    stop.cancel();
    let _ = server.await;
    Ok(())
}
