//! The verbs. stdout is data, stderr is talk.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod check;
mod client;
mod consents;
mod demo;
mod doctor;
mod doubts;
mod failure;
mod init;
mod keys;
mod log;
mod out;
mod reminders;
mod safekeeping;
mod sandbox;
mod table;
mod templates;
mod users;

use crate::{
    clock::SystemClock,
    config::{self, Config, Level},
    daemon::{self, StartError},
    store::Store,
};
use anyhow::Context;
use arguments::{Cli, Consent, Key, Lang, Reminder, Verb};
use clap::{CommandFactory, Parser};
use failure::Failure;
use out::{data, talk};
use serde_json::json;
use std::{path::PathBuf, process::ExitCode};

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
            sandbox::run(cli.config, listen, seed).await
        }
        Verb::Init { path } => {
            let path = path.or(cli.config).unwrap_or_else(|| "tixing.toml".into());
            init::write(&path, cli.json, lang)
        }
        Verb::Doctor => doctor::run(cli.config, cli.json, lang).await,
        Verb::Check => check::run(cli.config, cli.json, lang),
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
            keys::run(&client, verb, cli.json, lang).await
        }
        Verb::Consent(verb) => {
            let client = reach(cli.config, matches!(verb, Consent::Add { .. })).await?;
            consents::run(&client, verb, cli.json).await
        }
        Verb::Reminder(verb) => {
            let client = reach(cli.config, matches!(verb, Reminder::Add(_))).await?;
            reminders::run(&client, verb, cli.json, lang).await
        }
        Verb::Doubt(verb) => doubts::run(&reach(cli.config, false).await?, verb, cli.json, lang).await,
        Verb::User(verb) => users::run(&reach(cli.config, false).await?, verb, cli.json, lang).await,
        Verb::Template(verb) => templates::run(&reach(cli.config, false).await?, verb, cli.json, lang).await,
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
