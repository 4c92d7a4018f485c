//! What a load would do, in numbers and words.

use super::problem::Problem;
use crate::{
    domain::{
        Millis, SECOND,
        schedule::{Change, Upcoming},
        timing::rfc3339,
    },
    schedule::sheet::{About, Encoding},
    words::{Message, Voice, say},
};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Problems, and notes, listed in full; beyond that they are counted.
const LISTED: usize = 1_000;

/// The plan of one file.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The schedule's name, app and template, as far as they could be read.
    pub schedule: Option<String>,
    /// The app's name.
    pub app: Option<String>,
    /// The template as the file names it.
    pub template: Option<String>,
    /// SHA-256 of the file and its tables, in hex.
    pub digest: String,
    /// The file's name.
    pub from: String,
    /// The tables that were read.
    pub tables: Vec<About>,
    /// How many rows there are of each kind.
    pub rows: Rows,
    /// How many reminders come to what.
    pub reminders: BTreeMap<Change, u64>,
    /// Whom it reaches.
    pub reach: Reach,
    /// The earliest instant of what is planned.
    pub first_at: Option<Millis>,
    /// The latest.
    pub last_at: Option<Millis>,
    /// The earliest and the latest instant of reminders that found no consent.
    pub lacking: Option<(Millis, Millis)>,
    /// How it recurs, in words.
    pub recurs: Option<Message>,
    /// Its next occurrences.
    pub next: Vec<Upcoming>,
    /// The schedule's zone, in which its times are told.
    pub zone: Option<Tz>,
    /// The app's sends per second.
    pub rate: u32,
    /// Only the app's testers can be reached.
    pub test_mode: bool,
    /// What is wrong.
    pub problems: Told,
    /// What is worth knowing.
    pub notes: Told,
    /// The file can't be used: nothing can be loaded.
    pub refused: bool,
    /// One wrong row and nothing is loaded.
    pub strict: bool,
    /// It would cancel more of what waits than happens by a small edit.
    pub removes_too_many: bool,
}

/// Rows by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = RowCounts)]
pub struct Rows {
    /// All that have content: the sum of the others.
    pub read: u64,
    /// Right ones.
    pub right: u64,
    /// Wrong ones.
    pub refused: u64,
    /// Of users whom the file excludes.
    pub excluded: u64,
}

/// Whom a schedule reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Users of right rows.
    pub people: u64,
    /// Those with a consent record in this app, spent or not.
    pub known: u64,
    /// Those with an available consent, or a waiting reminder of this schedule that holds one.
    pub with_consent: u64,
    /// Those who have a reminder of it, one that waits or one that was sent, or get one by it.
    pub reminded: u64,
    /// Who holds the consents of those that found none: a schedule by its name, or `api`.
    pub held_elsewhere: BTreeMap<String, u64>,
    /// Those who were forgotten at their wish.
    pub forgotten: u64,
}

/// A list with a bound, and how many there are of each code beyond it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The first ones.
    pub list: Vec<Problem>,
    /// Those beyond, by code.
    pub more: BTreeMap<String, u64>,
}

impl Told {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        if self.list.len() < LISTED {
            self.list.push(problem);
        } else {
            *self.more.entry(problem.code.to_owned()).or_default() += 1;
        }
    }

    /// Adds all.
    pub fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }

    /// Those of the file before those of its rows, in the order of lines and rows.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|problem| (problem.place.row.is_some(), problem.place.line, problem.place.row));
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.list.len() as u64 + self.more.values().sum::<u64>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn json(&self, say: &dyn Fn(&Message) -> Value) -> Value {
        self.list.iter().map(|problem| problem.json(say)).collect()
    }
}

impl Plan {
    /// Why the file can't be used; told before what is wrong with its rows, however much that is.
    pub fn refuse(&mut self, problem: Problem) {
        self.refuse_all([problem]);
    }

    /// The same for several reasons, in their order.
    pub fn refuse_all(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.refused = true;
        self.problems.list.splice(..0, problems);
    }

    /// How many reminders come to this.
    pub fn count(&self, change: Change) -> u64 {
        self.reminders.get(&change).copied().unwrap_or_default()
    }

    /// How long it takes at the app's rate, if all go at once, in milliseconds.
    pub fn takes_ms(&self) -> i64 {
        let goes = [Change::New, Change::Changed, Change::Same, Change::Later];
        let to_go: u64 = goes.into_iter().map(|change| self.count(change)).sum();
        let to_go = i64::try_from(to_go).unwrap_or(i64::MAX / SECOND);
        to_go * SECOND / i64::from(self.rate.max(1))
    }

    /// As `plan --json` and the API tell it.
    pub fn json(&self, voice: Voice) -> Value {
        let voice = voice.in_zone(self.zone.or(voice.zone));
        self.told(&|message| message.say(voice).into())
    }

    /// The same to be kept: its sentences have no language yet. [`told`] gives them one.
    pub fn stored(&self) -> String {
        let keep = |message: &Message| serde_json::to_value(message).expect("messages serialise");
        self.told(&keep).to_string()
    }

    fn told(&self, say: &dyn Fn(&Message) -> Value) -> Value {
        let reminders: serde_json::Map<String, Value> = Change::ALL
            .into_iter()
            .filter(|change| *change != Change::Later || self.count(*change) > 0)
            .map(|change| (change.word().to_owned(), self.count(change).into()))
            .collect();
        let held: Vec<Value> =
            self.reach.held_elsewhere.iter().map(|(by, n)| json!({ "by": by, "reminders": n })).collect();
        let codes: BTreeSet<&str> = self.problems.list.iter().map(|p| p.code).collect();
        let mut more: serde_json::Map<String, Value> = codes.into_iter().map(|code| (code.into(), 0.into())).collect();
        more.extend(self.problems.more.iter().map(|(code, n)| (code.clone(), (*n).into())));
        json!({
            "schedule": self.schedule,
            "app": self.app,
            "template": self.template,
            "digest": self.digest,
            "from": self.from,
            "tables": self.tables.iter().map(table).collect::<Vec<_>>(),
            "rows": self.rows,
            "reminders": reminders,
            "reach": {
                "people": self.reach.people,
                "known": self.reach.known,
                "with_consent": self.reach.with_consent,
                "reminded": self.reach.reminded,
                "held_elsewhere": held,
                "forgotten": self.reach.forgotten,
            },
            "first_at": self.first_at.map(rfc3339),
            "last_at": self.last_at.map(rfc3339),
            "takes_ms": self.takes_ms(),
            "recurs": self.recurs.as_ref().map(say),
            "next": self.next.iter().map(upcoming).collect::<Vec<_>>(),
            "test_mode": self.test_mode,
            "problems": self.problems.json(say),
            "more_problems": more,
            "notes": self.notes.json(say),
            "more_notes": self.notes.more,
        })
    }
}

/// An occurrence to come as the API tells it.
pub fn upcoming(next: &Upcoming) -> Value {
    let mut told = json!({ "event": rfc3339(next.event) });
    if let Some(key) = &next.key {
        told["key"] = key.as_str().into();
    }
    told
}

fn table(about: &About) -> Value {
    json!({
        "file": about.file,
        "kind": about.kind.word(),
        "sheet": about.sheet,
        "encoding": about.encoding.map(Encoding::word),
        "delimiter": about.delimiter,
        "header": about.header,
    })
}

/// A plan that was kept by [`Plan::stored`], with its sentences in a language; null if it can't be read.
pub fn told(stored: &str, voice: Voice) -> Value {
    let mut plan: Value = serde_json::from_str(stored).unwrap_or_default();
    let count = |name: &str| plan["rows"][name].as_u64().unwrap_or_default();
    if count("refused") > 0 {
        let problem = say!("plan_rows_refused", refused = count("refused"), read = count("read"));
        plan["problem"] = problem.say(voice).into();
    }
    if let Ok(recurs) = serde_json::from_value::<Message>(plan["recurs"].take()) {
        plan["recurs"] = recurs.say(voice).into();
    }
    for list in ["problems", "notes"] {
        for problem in plan[list].as_array_mut().into_iter().flatten() {
            let said = serde_json::from_value::<Message>(problem["detail"].take());
            problem["detail"] = said.map(|message| message.say(voice)).unwrap_or_default().into();
        }
    }
    plan
}
