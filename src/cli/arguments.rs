//! What the program can be asked on its command line. The comments here are its help.

use crate::{platform::BUILT, schedule::sheet::Encoding, store::keys::Scope, words::Lang};
use clap::{Args, Parser, Subcommand, ValueEnum, builder::PossibleValue};
use std::{net::SocketAddr, path::PathBuf};

/// Scheduled reminders for mini-program subscribe messages.
#[derive(Parser)]
#[command(name = "tixing", version, about, propagate_version = true)]
pub struct Cli {
    /// The configuration; else ./tixing.toml, then /etc/tixing/tixing.toml.
    #[arg(long, global = true, env = "TIXING_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// zh or en; else by LANG.
    #[arg(long, global = true, value_name = "LANG")]
    pub lang: Option<Lang>,
    #[command(subcommand)]
    pub verb: Verb,
}

impl ValueEnum for Lang {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Zh, Self::En]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(if *self == Self::Zh { "zh" } else { "en" }))
    }
}

#[derive(Subcommand)]
pub enum Verb {
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
        /// The platform of its mini-program.
        #[arg(long, value_name = "PLATFORM", value_parser = BUILT.iter().map(|facts| facts.word).collect::<Vec<_>>(), default_value = BUILT[0].word)]
        platform: String,
    },
    /// Say whether the configuration is right.
    Check,
    /// Look at everything that can be wrong, and say what to do about it.
    Doctor,
    /// Bring the store's schema up to date.
    Migrate {
        /// Also take away what only older versions need, once all daemons have this one: PostgreSQL's. They can't start any more then.
        #[arg(long)]
        contract: bool,
    },
    /// Make, list and revoke API keys.
    #[command(subcommand)]
    Key(Key),
    /// List apps, pause all sends of one, or let them go on.
    #[command(subcommand)]
    App(App),
    /// List the daemons that share a PostgreSQL, have one hand over its apps, or say that one has ended.
    Nodes {
        #[command(subcommand)]
        verb: Option<Nodes>,
    },
    /// Record and show consents, and say which to ask for.
    #[command(subcommand)]
    Consent(Consent),
    /// Insert, list, show, explain, change and cancel reminders.
    #[command(subcommand)]
    Reminder(Reminder),
    /// Show what a schedule's file would do: who would get what and when, and which cell is wrong. Nothing is sent.
    Plan(Plan),
    /// Load a schedule's file. The same file again changes nothing. On a terminal it shows the plan and asks.
    Load(Load),
    /// Send one row's message now, to the app's testers alone.
    Try(Try),
    /// List and show schedules, and pause, resume, shift or cancel what they have waiting.
    #[command(subcommand)]
    Schedules(Schedules),
    /// List reminders of which nobody knows whether they arrived, and decide about them.
    #[command(subcommand)]
    Doubt(Doubt),
    /// List the templates and whether the platform has them so, or read them from it now.
    #[command(subcommand)]
    Template(Template),
    /// Show everything that is stored about a user, forget them, or let them in again.
    #[command(subcommand)]
    User(Rights),
    /// Show what is read of a table, CSV or XLSX. Needs no daemon and no configuration.
    Sheet(Sheet),
    /// Reads a workbook for another process of this program, which limits it.
    #[command(name = "sheet-child", hide = true)]
    SheetChild {
        /// What is asked, as JSON.
        request: String,
    },
    /// The console, the pages for people.
    #[command(subcommand)]
    Console(Console),
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
        /// Nothing was sent any more after this, since nothing ran: what became due later is sent as far as its deadline allows.
        #[arg(long, value_name = "TIME", requires = "assume_sent", conflicts_with = "send")]
        until: Option<String>,
        /// What became due since is sent as far as its deadline allows: nobody misses a message, some may get one twice.
        #[arg(long)]
        send: bool,
    },
    /// Print a shell's completions.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write that of each command into a folder.
    Man {
        /// The folder, such as /usr/local/share/man/man1; it is made if it is not there.
        folder: Option<PathBuf>,
    },
}

#[derive(Args)]
pub struct Sheet {
    /// The table.
    pub file: PathBuf,
    /// The sheet of a workbook; else the first visible one with content.
    #[arg(long)]
    pub sheet: Option<String>,
    /// The header's row, from 1; else the first with content.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub header: Option<u32>,
    /// utf-8, gb18030, big5 or utf-16, for CSV; else it is told by the content.
    #[arg(long, value_parser = |word: &str| Encoding::from_word(word).ok_or("one of utf-8, gb18030, big5, utf-16"))]
    pub encoding: Option<Encoding>,
    /// Show at most so many rows.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(..=10_000))]
    pub limit: u32,
}

#[derive(Subcommand)]
pub enum Key {
    /// Make a key; it is shown this once. Of scope «feed» it is the address to which calendar programs subscribe.
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
    /// Revoke keys.
    Revoke {
        /// Their numbers.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<i64>,
    },
}

#[derive(Subcommand)]
pub enum App {
    /// List them: what waits, what is due, and which are paused, by whom and why.
    List,
    /// Let no new send of them begin, until they are resumed; deadlines run on.
    Pause {
        /// Their names.
        #[arg(value_name = "APP", required = true)]
        names: Vec<String>,
    },
    /// Let them go on. What is overdue goes at the catch-up pace.
    Resume {
        /// Their names.
        #[arg(value_name = "APP", required = true)]
        names: Vec<String>,
    },
}

#[derive(Subcommand)]
pub enum Nodes {
    /// Say that a daemon that was not heard of has surely ended: its machine is off, or its process is seen to be dead.
    Bury {
        /// Its number or name, as `tixing nodes` lists them.
        node: String,
    },
    /// Have a daemon hand over all its apps to the others, before its machine is worked on. It takes part again when it is started again.
    Drain {
        /// Its number or name, as `tixing nodes` lists them.
        node: String,
    },
}

#[derive(Subcommand)]
pub enum Consent {
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
        /// The id that the dialog was opened with, on platforms that ask for one.
        #[arg(long, conflicts_with = "ticket")]
        subscribe_id: Option<String>,
        /// The ticket that the client was given, as KIND:ID, such as form:1a2b.
        #[arg(long)]
        ticket: Option<String>,
    },
    /// Show a user's balances.
    Show {
        #[command(flatten)]
        user: User,
        /// Each consent with what became of it.
        #[arg(long)]
        history: bool,
    },
    /// Say which templates the mini-program should ask a user for now: what waits for them without a consent comes first.
    Ask {
        #[command(flatten)]
        user: User,
    },
}

#[derive(Args)]
pub struct User {
    /// The app's name in the configuration.
    #[arg(long)]
    pub app: String,
    /// The user.
    #[arg(long)]
    pub openid: String,
}

#[derive(Subcommand)]
pub enum Reminder {
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
        /// Only of this schedule.
        #[arg(long)]
        schedule: Option<String>,
        /// Only in this state, or in several with commas between them: sent,failed.
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
        /// Only what has changed at this time or later.
        #[arg(long, value_name = "TIME")]
        changed_since: Option<String>,
        /// The newest instant first.
        #[arg(long)]
        newest: bool,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Show reminders with their attempts.
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Say why they were or were not sent, or what became of a user in a schedule.
    Explain {
        /// Their ids.
        #[arg(value_name = "ID", required_unless_present_any = ["schedule", "key"], conflicts_with_all = ["schedule", "key"])]
        ids: Vec<String>,
        /// Your own key of one, in place of an id.
        #[arg(long, requires = "app", conflicts_with = "schedule")]
        key: Option<String>,
        /// The key's app.
        #[arg(long, requires = "key")]
        app: Option<String>,
        /// The schedule's name.
        #[arg(long, requires = "openid")]
        schedule: Option<String>,
        /// The user.
        #[arg(long, requires = "schedule")]
        openid: Option<String>,
    },
    /// Change what is still waiting: the instant, the deadline, the page, or some of the fields. What is not named stays.
    #[command(visible_alias = "patch")]
    Change(Change),
    /// Cancel scheduled reminders; their consents are free again. By ids or a key; or all that suit --app, --openid and so on, which
    /// are counted first.
    Cancel {
        /// Their ids.
        #[arg(
            value_name = "ID",
            conflicts_with_all = ["app", "openid", "template", "schedule", "from", "to", "dry_run", "expect"]
        )]
        ids: Vec<String>,
        /// Your own key of one, in place of an id.
        #[arg(
            long,
            requires = "app",
            conflicts_with_all = ["ids", "openid", "template", "schedule", "from", "to", "dry_run", "expect"]
        )]
        key: Option<String>,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        consent: Counted,
    },
    /// Move the instants of all scheduled reminders that suit a filter, and their deadlines along. They are counted first.
    Shift {
        /// A duration such as 30m or 2h; -30m moves back.
        #[arg(allow_hyphen_values = true)]
        by: String,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        consent: Counted,
    },
}

#[derive(Args)]
pub struct Which {
    /// Their ids.
    #[arg(value_name = "ID", required_unless_present = "key", conflicts_with = "key")]
    pub ids: Vec<String>,
    /// Your own key of one, in place of an id.
    #[arg(long, requires = "app")]
    pub key: Option<String>,
    /// The key's app.
    #[arg(long, requires = "key")]
    pub app: Option<String>,
}

#[derive(Args)]
pub struct Filter {
    /// Only this app's.
    #[arg(long)]
    pub app: Option<String>,
    /// Only this user's.
    #[arg(long)]
    pub openid: Option<String>,
    /// Only of this template.
    #[arg(long)]
    pub template: Option<String>,
    /// Only of this schedule.
    #[arg(long)]
    pub schedule: Option<String>,
    /// Instants at or after this.
    #[arg(long)]
    pub from: Option<String>,
    /// Instants before this.
    #[arg(long)]
    pub to: Option<String>,
}

#[derive(Args)]
pub struct Counted {
    /// Say how many it would be, and do nothing.
    #[arg(long, conflicts_with_all = ["yes", "expect"])]
    pub dry_run: bool,
    /// Don't ask, however many they are.
    #[arg(long, conflicts_with = "expect")]
    pub yes: bool,
    /// Don't ask if they are exactly so many; else do nothing.
    #[arg(long, value_name = "N")]
    pub expect: Option<u64>,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").args(["at", "expires_at", "page", "no_page", "data"]).required(true).multiple(true))]
pub struct Change {
    #[command(flatten)]
    pub which: Which,
    /// The new instant; the deadline moves along unless it is given too. +2h is that long from now.
    #[arg(long)]
    pub at: Option<String>,
    /// The new deadline: a time, or a duration after the instant such as 2h.
    #[arg(long)]
    pub expires_at: Option<String>,
    /// The page that opens on tap.
    #[arg(long)]
    pub page: Option<String>,
    /// No page.
    #[arg(long, conflicts_with = "page")]
    pub no_page: bool,
    /// A field, such as thing1=周三读书会; may be repeated; the other fields stay.
    #[arg(long = "data", value_name = "KEY=VALUE")]
    pub data: Vec<String>,
}

#[derive(Args)]
pub struct Plan {
    /// The schedule's file.
    pub file: PathBuf,
    /// A line of JSON for each reminder: who gets what and when.
    #[arg(long)]
    pub reminders: bool,
    /// Write the rows as a workbook again, with a comment on each wrong cell and a list of all problems.
    #[arg(long, value_name = "OUT.xlsx")]
    pub annotate: Option<PathBuf>,
}

#[derive(Args)]
pub struct Load {
    /// The schedule's file.
    pub file: PathBuf,
    /// Don't ask.
    #[arg(long)]
    pub yes: bool,
    /// One wrong row and nothing is loaded.
    #[arg(long)]
    pub strict: bool,
    /// It may cancel most of what waits.
    #[arg(long)]
    pub allow_removals: bool,
    /// It may bring a cancelled schedule back.
    #[arg(long)]
    pub revive: bool,
}

#[derive(Args)]
pub struct Try {
    /// The schedule's file.
    pub file: PathBuf,
    /// The row with this key; else the first right one.
    #[arg(long)]
    pub key: Option<String>,
    /// This tester alone; else all of the app's.
    #[arg(long, value_name = "OPENID")]
    pub to: Option<String>,
}

#[derive(Subcommand)]
pub enum Schedules {
    /// List them and how they stand.
    List {
        /// Only this app's.
        #[arg(long)]
        app: Option<String>,
        /// Only those in this state: active, paused, cancelled or ended.
        #[arg(long)]
        state: Option<String>,
    },
    /// Show how one stands.
    Show {
        /// Its name.
        name: String,
    },
    /// Show what its last load said of rows and cells.
    Problems {
        /// Its name.
        name: String,
    },
    /// Show how one went: how many were reached, and why the others were not.
    Report {
        /// Its name.
        name: String,
        /// Write it as a workbook, with each reminder and what became of it; ends in .xlsx.
        #[arg(long, value_name = "FILE", conflicts_with = "json")]
        save: Option<PathBuf>,
    },
    /// Let no new send of it begin; deadlines run on.
    Pause {
        /// Its name.
        name: String,
    },
    /// Let it go on.
    Resume {
        /// Its name.
        name: String,
    },
    /// Move what waits, with the deadlines that were given as a duration.
    Shift {
        /// Its name.
        name: String,
        /// A duration such as 30m or 2h; -30m moves back.
        #[arg(allow_hyphen_values = true)]
        by: String,
        /// Don't ask, also if something goes at once.
        #[arg(long)]
        yes: bool,
    },
    /// Cancel what waits; its consents are free.
    Cancel {
        /// Its name.
        name: String,
    },
}

#[derive(Subcommand)]
pub enum Console {
    /// Print a link by which somebody signs in once, as admin, within five minutes.
    Open,
}

#[derive(Subcommand)]
pub enum Rights {
    /// Show everything that is stored about a user, as JSON.
    Export(User),
    /// Forget a user: gone from every row, waiting reminders cancelled, and nothing is stored for them again.
    Forget(User),
    /// Let a user in again who was forgotten and has come back.
    LetIn(User),
}

#[derive(Subcommand)]
pub enum Template {
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
pub enum Doubt {
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
    /// Decide about some; who decided is kept.
    Resolve {
        /// Their ids.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
        /// What you found out, or want.
        #[arg(long = "as", value_name = "VERDICT", value_parser = ["sent", "not_sent", "resend", "unconfirmed"])]
        verdict: String,
    },
}

#[derive(Args)]
pub struct Add {
    /// NDJSON, one reminder a line as in the API; «-» for standard input. Exit 3 if some were refused.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["app", "openid", "template", "at", "data"])]
    pub file: Option<PathBuf>,
    /// The app's name in the configuration.
    #[arg(long, required_unless_present = "file")]
    pub app: Option<String>,
    /// The user.
    #[arg(long, required_unless_present = "file")]
    pub openid: Option<String>,
    /// The template's id or alias.
    #[arg(long, required_unless_present = "file")]
    pub template: Option<String>,
    /// 2027-03-01T10:00 in the app's zone, or with an offset; +2h is that long from now.
    #[arg(long, required_unless_present = "file")]
    pub at: Option<String>,
    /// A field, such as thing1=周三读书会; may be repeated.
    #[arg(long = "data", value_name = "KEY=VALUE")]
    pub data: Vec<String>,
    /// Page that opens on tap.
    #[arg(long)]
    pub page: Option<String>,
    /// Send it at once if its instant passed more than five minutes ago.
    #[arg(long)]
    pub late: bool,
    /// The deadline: a time, or a duration after the instant such as 2h.
    #[arg(long)]
    pub expires_at: Option<String>,
    /// Your own id of it, unique per app for ever.
    #[arg(long)]
    pub key: Option<String>,
    /// The user has just accepted: record that consent and hold it.
    #[arg(long)]
    pub accepted: bool,
    /// Your own id of the user's tap: told twice, it counts once.
    #[arg(long, value_name = "ID", requires = "accepted")]
    pub event: Option<String>,
    /// Take the consent at the instant instead of now.
    #[arg(long)]
    pub at_fire: bool,
    /// Check everything, the consent and the key too, and store nothing.
    #[arg(long)]
    pub dry_run: bool,
}
