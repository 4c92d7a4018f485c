//! The verbs. stdout is data, stderr is talk.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod annotate;
mod apps;
mod nodes;
mod arguments;
mod bulk;
mod check;
mod clean;
mod client;
mod consents;
mod console;
mod demo;
mod doctor;
mod doubts;
mod each;
mod examples;
mod failure;
mod files;
mod flag;
mod grid;
pub mod init;
mod keys;
mod log;
mod manual;
mod out;
mod plans;
mod progress;
mod reminders;
mod safekeeping;
mod report;
mod schedules;
mod sandbox;
mod sheet;
mod table;
mod templates;
mod told;
mod users;
mod which;

use crate::{
    clock::SystemClock,
    config::{self, Config, Format, Level, Wanted},
    daemon::{self, StartError},
    platform, schedule,
    store::Store,
    words::say,
};
use arguments::{Cli, Consent, Key, Reminder, Verb};
use clap::FromArgMatches;
use failure::Failure;
use out::{Out, data, talk};
use serde_json::json;
use std::{path::PathBuf, process::ExitCode};

/// Runs the program.
pub fn main() -> ExitCode {
    let command = manual::command();
    let matches = match command.clone().try_get_matches() {
        Ok(matches) => matches,
        Err(e) => return said_by_clap(&e),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => return said_by_clap(&e),
    };
    // Before there is a thread, or memory is taken: it limits itself.
    if let Verb::SheetChild { request } = &cli.verb {
        return schedule::sheet::xlsx::child::run(request);
    }
    let out = Out::new(cli.json, cli.lang);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(run(cli, out));
            // A database that is silent, or a thread that waits for one, must not delay the end of the command.
            runtime.shutdown_background();
            result
        }
        Err(e) => Err(Failure::Failed(say!("runtime_failed", why = e.to_string()))),
    };
    let result = result.and_then(|()| match out::lost() {
        Some(e) => Err(Failure::Failed(say!("stdout_lost", why = e.to_string()))),
        None => Ok(()),
    });
    log::flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let failure = failure.of_command(asked(&command, &matches));
            match out.json {
                true => talk!("{}", failure.json()),
                false => talk!("tixing: {}", failure.say(out.voice)),
            }
            ExitCode::from(failure.code())
        }
    }
}

/// Ends with what clap says: its help, or what is wrong with the arguments. These may hold anything.
fn said_by_clap(e: &clap::Error) -> ExitCode {
    let args_are_clean =
        std::env::args_os().all(|arg| clean::one_line(&arg.to_string_lossy()) == arg.to_string_lossy());
    match (args_are_clean, e.use_stderr()) {
        // In colours, where there is a terminal. What can't be written nobody wants to read.
        (true, _) => drop(e.print()),
        (false, true) => talk!("{}", e.render().to_string().trim_end()),
        (false, false) => data!("{}", e.render().to_string().trim_end()),
    }
    ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2))
}

/// The command that was asked for, the last of its words.
fn asked<'a>(command: &'a clap::Command, matches: &clap::ArgMatches) -> &'a clap::Command {
    match matches.subcommand() {
        Some((name, inner)) => command.find_subcommand(name).map_or(command, |sub| asked(sub, inner)),
        None => command,
    }
}

/// The configuration, with the secrets that the verb wants.
fn configured(path: Option<PathBuf>, wanted: Wanted) -> Result<Config, Failure> {
    Ok(config::search(path).and_then(|path| config::load_with(&path, SystemClock::shared().now(), wanted))?)
}

/// Connects for a verb, which may be one that makes a store.
async fn reach(config: Option<PathBuf>, makes: bool, out: Out) -> Result<client::Client, Failure> {
    let config = configured(config, Wanted::None)?;
    match makes {
        true => client::connect_or_make(config, out.voice).await,
        false => client::connect(config, out.voice).await,
    }
}

async fn run(cli: Cli, out: Out) -> Result<(), Failure> {
    match cli.verb {
        Verb::Serve => {
            // Before anything else: a signal that comes while it starts must not end it half-way.
            let asks = daemon::Asks::listen()?;
            // Before a secret is in memory.
            let forbidden = daemon::forbid_dumps();
            let config = configured(cli.config, Wanted::All)?;
            let volume = log::start(config.server.log, config.server.log_format);
            if let Err(e) = forbidden {
                tracing::warn!(error = %e, "the system does not let tixing forbid that its memory is written to a file after a crash");
            }
            daemon::serve(config, asks, SystemClock::shared(), &|level| volume.set(level)).await?;
            Ok(())
        }
        Verb::Demo { duration } => {
            log::start(Level::Error, Format::Text);
            let duration = duration.map(|text| crate::domain::timing::parse_duration(&text)).transpose();
            demo::run(duration.map_err(|why| Failure::Usage(say!("bad_option", option = "--for", why = why)))?, out)
                .await?;
            Ok(())
        }
        Verb::Sandbox { listen, seed } => {
            log::start(Level::Info, Format::Text);
            sandbox::run(cli.config, listen, seed, out).await
        }
        Verb::Init { path, platform } => {
            let path = path.or(cli.config).unwrap_or_else(|| "tixing.toml".into());
            let platform = platform::find(&platform).expect("the argument is one of them");
            init::write(&path, platform, out)
        }
        Verb::Doctor => doctor::run(cli.config, out).await,
        Verb::Check => check::run(cli.config, out).await,
        Verb::Migrate { contract } => {
            let config = configured(cli.config, Wanted::None)?;
            let opened =
                Store::open(&config.store.url, config.store.durability, &config.apps, SystemClock::shared()).await;
            let store = opened.map_err(StartError::from)?;
            if let Some(upgraded) = store.upgraded() {
                out.tell(&upgraded.message());
            }
            let contracted = if contract { store.contract().await } else { Ok(()) };
            store.close().await;
            contracted.map_err(|why| Failure::Failed(why.message()))?;
            out.done(&json!({ "ok": true }), &say!("schema_up_to_date"));
            Ok(())
        }
        Verb::Key(verb) => {
            let client = reach(cli.config, matches!(verb, Key::Create { .. }), out).await?;
            keys::run(&client, verb, out).await
        }
        Verb::Nodes { verb } => nodes::run(&reach(cli.config, false, out).await?, verb, out).await,
        Verb::App(verb) => apps::run(&reach(cli.config, false, out).await?, verb, out).await,
        Verb::Consent(verb) => {
            let client = reach(cli.config, matches!(verb, Consent::Add { .. }), out).await?;
            consents::run(&client, verb, out).await
        }
        Verb::Reminder(verb) => {
            let client = reach(cli.config, matches!(verb, Reminder::Add(_)), out).await?;
            reminders::run(&client, verb, out).await
        }
        Verb::Plan(verb) => plans::plan(&reach(cli.config, true, out).await?, verb, out).await,
        Verb::Load(verb) => plans::load(&reach(cli.config, true, out).await?, verb, out).await,
        Verb::Try(verb) => plans::attempt(&reach(cli.config, true, out).await?, verb, out).await,
        Verb::Schedules(verb) => schedules::run(&reach(cli.config, false, out).await?, verb, out).await,
        Verb::Doubt(verb) => doubts::run(&reach(cli.config, false, out).await?, verb, out).await,
        Verb::User(verb) => users::run(&reach(cli.config, false, out).await?, verb, out).await,
        Verb::Template(verb) => templates::run(&reach(cli.config, false, out).await?, verb, out).await,
        Verb::Sheet(sheet) => sheet::run(&sheet, out),
        Verb::SheetChild { .. } => unreachable!("it ran before there was a runtime"),
        Verb::Console(arguments::Console::Open) => console::open(&reach(cli.config, false, out).await?, out).await,
        Verb::Backup { file } => safekeeping::backup(configured(cli.config, Wanted::None)?, &file, out).await,
        Verb::Verify { file } => safekeeping::verify(&file, out).await,
        Verb::Restore { file } => safekeeping::restore(configured(cli.config, Wanted::None)?, file, out).await,
        Verb::Release { assume_sent, until, send } => {
            let due = if send { Some("send") } else { assume_sent.then_some("assume_sent") };
            safekeeping::release(configured(cli.config, Wanted::None)?, due, until, out).await
        }
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut manual::command(), "tixing", &mut script);
            data!("{}", String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
        Verb::Man { folder } => manual::run(folder.as_deref(), out),
    }
}
