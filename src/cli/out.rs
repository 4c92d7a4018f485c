//! How the program speaks: data goes to stdout, talk to stderr. A reader that goes away ends neither the work nor the program in a panic.

use super::clean::clean;
use crate::words::{Lang, Message, Voice, say};
use chrono_tz::Tz;
use serde_json::Value;
use std::{
    fmt::Arguments,
    io::{Error, ErrorKind, IsTerminal, Write, stderr, stdin, stdout},
    sync::OnceLock,
};

/// A terminal that says to have fewer columns does not know.
const NARROW: usize = 20;
/// What a terminal has that does not know.
const USUAL: usize = 80;

/// To whom this run speaks: to a program in JSON, or to a person in a language.
#[derive(Clone, Copy)]
pub struct Out {
    /// To a program. Programs are told the same words in every environment: English, and times in UTC.
    pub json: bool,
    /// The language, and the zone where no app has one.
    pub voice: Voice,
}

impl Out {
    /// As asked for, else as the environment wants it.
    pub fn new(json: bool, lang: Option<Lang>) -> Self {
        let voice = match json {
            true => Voice::default(),
            false => Voice::new(lang.unwrap_or_else(lang_of_environment)).in_zone(zone_of_machine()),
        };
        Self { json, voice }
    }

    /// How many columns the terminal has that is to show the data, if one is.
    pub fn width(self) -> Option<usize> {
        let columns = comfy_table::Table::new().width().map(usize::from).filter(|columns| *columns >= NARROW);
        stdout().is_terminal().then(|| columns.unwrap_or(USUAL))
    }

    /// Whether a person is there to be asked: both ends are a terminal.
    pub fn can_ask(self) -> bool {
        !self.json && stdin().is_terminal() && stderr().is_terminal()
    }

    /// Says it as talk.
    pub fn tell(self, message: &Message) {
        talk!("{}", message.say(self.voice));
    }

    /// Says what the API tells beside an answer: what it passed over and why, and what it warns of.
    pub fn tell_beside(self, answer: &Value) {
        let each = |name: &str| answer[name].as_array().into_iter().flatten();
        for passed_over in each("ignored") {
            let told = |member: &str| passed_over[member].as_str().unwrap_or_default();
            talk!("{}: {}", told("template"), told("why"));
        }
        for warning in each("warnings") {
            talk!("{}", warning["detail"].as_str().unwrap_or_default());
        }
    }

    /// Says it as data.
    pub fn show(self, message: &Message) {
        data!("{}", message.say(self.voice));
    }

    /// Asks a person on the terminal; no answer is a no.
    pub fn asks(self, question: &Message) -> Result<bool, Message> {
        let failed = |e: Error| say!("no_answer_read", why = e.to_string());
        let mut terminal = stderr();
        write!(terminal, "{} ", clean(&question.say(self.voice))).and_then(|()| terminal.flush()).map_err(failed)?;
        let mut line = String::new();
        stdin().read_line(&mut line).map_err(failed)?;
        Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes" | "是" | "好"))
    }

    /// The end of a command: its answer for programs, or a sentence for people.
    pub fn done(self, answer: &Value, message: &Message) {
        if self.json {
            data!("{answer}");
        } else {
            self.tell(message);
        }
    }
}

fn lang_of_environment() -> Lang {
    let set =
        ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    if set.is_some_and(|lang| lang.starts_with("zh")) { Lang::Zh } else { Lang::En }
}

/// The zone of this machine's wall clock, if it can be told.
fn zone_of_machine() -> Option<Tz> {
    if let Ok(name) = std::env::var("TZ") {
        return name.trim_start_matches(':').parse().ok();
    }
    let link = std::fs::read_link("/etc/localtime").ok()?;
    link.to_str()?.split_once("zoneinfo/")?.1.parse().ok()
}

/// Why stdout took no more, the first time.
static LOST: OnceLock<Error> = OnceLock::new();

/// Writes a line of data to stdout.
macro_rules! data {
    ($($text:tt)*) => { $crate::cli::out::line(format_args!($($text)*)) };
}

/// Writes a line of talk to stderr.
macro_rules! talk {
    ($($text:tt)*) => { $crate::cli::out::talk_line(format_args!($($text)*)) };
}

pub(super) use {data, talk};

/// The function behind [`data!`].
pub fn line(text: Arguments<'_>) {
    paint(&clean(&text.to_string()));
}

/// A line of data that brings its own colours: what it tells is clean already.
pub fn paint(text: &str) {
    if LOST.get().is_none()
        && let Err(e) = writeln!(stdout(), "{text}")
    {
        // Only the first is told; there is nobody else to tell.
        let _ = LOST.set(e);
    }
}

/// The function behind [`talk!`].
pub fn talk_line(text: Arguments<'_>) {
    // A closed stderr means that nobody wants to hear.
    let _ = writeln!(stderr(), "{}", clean(&text.to_string()));
}

/// Why not all data could be written, if so. A reader that has read enough is no fault.
pub fn lost() -> Option<&'static Error> {
    if let Err(e) = stdout().flush() {
        let _ = LOST.set(e);
    }
    LOST.get().filter(|e| e.kind() != ErrorKind::BrokenPipe)
}
