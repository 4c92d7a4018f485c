//! What was looked at, how it stands, and what to do about it: for `doctor` and for the console.

pub mod books;
pub mod nodes;

use crate::{
    config::App,
    words::{Message, Voice, say},
};
use chrono_tz::Tz;
use serde_json::{Value, json};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
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
    /// As JSON says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }

    /// As a person sees it.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Ok => "✓",
            Self::Skipped => "·",
            Self::Warning => "!",
            Self::Failed => "✗",
        }
    }
}

/// What was looked at.
#[derive(Debug, Clone)]
pub struct Subject {
    name: Message,
    /// Its name in JSON, where people are told another one by now.
    json: Option<String>,
    /// The zone of the app that it is about.
    zone: Option<Tz>,
}

impl Subject {
    /// Something of an app.
    pub fn of(app: &App, what: Message) -> Self {
        Self { name: say!("check_of_app", app = app.name, what = what), json: None, zone: app.timezone }
    }

    /// The same under this name in JSON.
    pub fn named_in_json(self, name: String) -> Self {
        Self { json: Some(name), ..self }
    }
}

impl From<Message> for Subject {
    fn from(name: Message) -> Self {
        Self { name, json: None, zone: None }
    }
}

/// One thing looked at.
pub struct Check {
    subject: Subject,
    /// How it stands.
    pub level: Level,
    found: Message,
    fix: Option<Message>,
}

impl Check {
    /// Its name.
    pub fn name(&self, voice: Voice) -> String {
        self.subject.name.say(voice)
    }

    /// What was found, and what to do about it if something is to be done.
    pub fn findings(&self, voice: Voice) -> (String, Option<String>) {
        let voice = voice.in_zone(self.subject.zone.or(voice.zone));
        (self.found.say(voice), self.fix.as_ref().map(|fix| fix.say(voice)))
    }

    /// For programs, in English.
    pub fn json(&self) -> Value {
        let name = self.subject.json.clone().unwrap_or_else(|| self.subject.name.to_string());
        let (found, fix) = self.findings(Voice::default());
        json!({ "check": name, "level": self.level.word(), "found": found, "fix": fix.unwrap_or_default() })
    }
}

/// All that was looked at.
pub struct Report {
    /// The voice that will tell it. Some texts come finished in both languages, and one is chosen by this.
    pub voice: Voice,
    /// In the order in which it was looked at.
    pub checks: Vec<Check>,
}

impl Report {
    /// Nothing was looked at yet.
    pub fn new(voice: Voice) -> Self {
        Self { voice, checks: Vec::new() }
    }

    /// Something that is not as it should be, and what to do about it.
    pub fn add(&mut self, subject: impl Into<Subject>, level: Level, found: Message, fix: Message) {
        self.checks.push(Check { subject: subject.into(), level, found, fix: Some(fix) });
    }

    /// Something that is as it should be.
    pub fn ok(&mut self, subject: impl Into<Subject>, found: Message) {
        self.checks.push(Check { subject: subject.into(), level: Level::Ok, found, fix: None });
    }

    /// Something that could not be looked at.
    pub fn skipped(&mut self, subject: impl Into<Subject>, why: Message) {
        self.checks.push(Check { subject: subject.into(), level: Level::Skipped, found: why, fix: None });
    }

    /// Something that is as it should be if it is `good`.
    pub fn judge(&mut self, subject: impl Into<Subject>, good: bool, otherwise: Level, found: Message, fix: Message) {
        if good { self.ok(subject, found) } else { self.add(subject, otherwise, found, fix) }
    }

    /// Tells what was found of a thing in other words, since more is known by now.
    pub fn tell_again(&mut self, name: &Message, found: &Message, fix: &Message) {
        for check in self.checks.iter_mut().filter(|check| check.subject.name == *name) {
            (check.found, check.fix) = (found.clone(), Some(fix.clone()));
        }
    }

    /// How many stand so.
    pub fn count(&self, level: Level) -> usize {
        self.checks.iter().filter(|check| check.level == level).count()
    }
}
