//! What a recurring schedule's file says, by our own account: its text, the times that follow from it, and whether a message is one of its own.

use crate::harness::START;
use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeZone};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use std::{collections::BTreeMap, fmt::Write};
use tixing::{
    domain::{HOUR, MINUTE, Millis},
    sandbox::Message,
};

/// People who may be named, and who may accept.
pub const USERS: u32 = 6;

/// One state of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Edition {
    pub name: String,
    number: u32,
    when: When,
    /// In minutes, the largest first.
    before: Vec<Millis>,
    pub ahead: Millis,
    /// The latest one that was missed is made up for.
    pub once: bool,
    expires: Millis,
    pub claims: &'static str,
    /// Nobody in particular: everybody who consents.
    pub audience: Option<Vec<u32>>,
}

#[derive(Debug, Clone, PartialEq)]
enum When {
    /// At this minute of every hour, or of every other one.
    Hours { minute: Millis, every: Millis },
    /// Key → time, and how often it was edited.
    Events(BTreeMap<u32, (Millis, u32)>),
}

/// One time of it, not shifted.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    pub name: String,
    pub first: Millis,
    pub last: Millis,
    pub ends: Millis,
}

/// What a message is about: its schedule, its occurrence, its occasion, its user. It must not come twice.
pub type Identity = (String, String, String, String);

fn local(at: Millis) -> DateTime<FixedOffset> {
    let zone = FixedOffset::east_opt(8 * 3_600).expect("a zone");
    DateTime::from_timestamp_millis(at).expect("a time").with_timezone(&zone)
}

fn written(at: Millis) -> String {
    local(at).format("%Y年%-m月%-d日 %H:%M").to_string()
}

fn read(text: &str) -> Option<Millis> {
    let wall = NaiveDateTime::parse_from_str(text, "%Y年%m月%d日 %H:%M").ok()?;
    let zone = FixedOffset::east_opt(8 * 3_600)?;
    zone.from_local_datetime(&wall).single().map(|time| time.timestamp_millis())
}

pub fn openid(user: u32) -> String {
    format!("o-{user}")
}

impl Edition {
    pub fn first(rng: &mut StdRng, i: usize) -> Self {
        let when = match i % 2 {
            0 => When::Hours { minute: 0, every: 1 },
            _ => When::Events(BTreeMap::new()),
        };
        let name = format!("s{i}");
        let (before, ahead, once, claims) = (Vec::new(), HOUR, rng.random(), "reserve");
        let mut first = Self { name, number: 0, when, before, ahead, once, expires: HOUR, claims, audience: None };
        for _ in 0..4 {
            first.edit(rng, START);
        }
        first
    }

    /// Somebody edits something. What of it is over stays as it was.
    pub fn edit(&mut self, rng: &mut StdRng, now: Millis) {
        self.number += 1;
        let number = self.number;
        match rng.random_range(0..8) {
            0 => self.before = one_of::<&[Millis]>(rng, &[&[], &[10], &[30, 10]]).to_vec(),
            1 => self.ahead = *one_of(rng, &[10 * MINUTE, HOUR, 3 * HOUR]),
            2 => self.expires = *one_of(rng, &[40 * MINUTE, 3 * HOUR]),
            3 => self.claims = *one_of(rng, &["reserve", "at_fire", "either"]),
            4 => {
                let some: Vec<u32> = (0..USERS).filter(|user| *user == 0 || rng.random()).collect();
                self.audience = rng.random_ratio(2, 3).then_some(some);
            }
            _ => match &mut self.when {
                When::Hours { minute, every } => {
                    (*minute, *every) = (rng.random_range(0..60), rng.random_range(1..=2));
                }
                When::Events(events) => {
                    let minutes = (now - START).div_euclid(MINUTE) + rng.random_range(1..300);
                    let (at, next) = (START + minutes * MINUTE, events.keys().max().map_or(0, |key| key + 1));
                    // One that may be under way already is not moved to another day.
                    let ahead: Vec<u32> =
                        events.iter().filter(|(_, (at, _))| *at > now + HOUR).map(|(key, _)| *key).collect();
                    match (ahead.choose(rng), rng.random_range(0..4)) {
                        (Some(key), 0) if events.len() > 1 => drop(events.remove(key)),
                        (Some(key), 1) => drop(events.insert(*key, (at, number))),
                        _ => drop(events.insert(next, (at, number))),
                    }
                }
            },
        }
        if let When::Events(events) = &mut self.when
            && events.is_empty()
        {
            events.insert(0, (now.max(START) + HOUR, number));
        }
    }

    /// The same with what is done about what was missed turned round.
    pub fn turned_round(&self) -> Self {
        Self { once: !self.once, ..self.clone() }
    }

    /// The same, but its messages still say what an earlier edition said.
    pub fn in_the_words_of(&self, earlier: &Self) -> Self {
        Self { number: earlier.number, ..self.clone() }
    }

    pub fn text(&self) -> String {
        let Self { name, number, when, before, ahead, once, expires, claims, audience } = self;
        let before: Vec<String> = before.iter().map(|minutes| format!("\"{minutes}m\"")).collect();
        let mut at = match when {
            When::Hours { minute, every: 1 } => format!("cron = \"{minute} * * * *\""),
            When::Hours { minute, every } => format!("cron = \"{minute} */{every} * * *\""),
            When::Events(_) => "events = { file = \"events.csv\", key = \"编号\", column = \"开始时间\" }".to_owned(),
        };
        let left = if before.is_empty() { "" } else { "-{{@left}}" };
        if !before.is_empty() {
            write!(at, ", before = [{}]", before.join(", ")).expect("a text");
        }
        let misfire = if *once { "once" } else { "skip" };
        let audience = match audience {
            None => "\"consented\"".to_owned(),
            Some(users) => {
                let users: Vec<String> = users.iter().map(|user| format!("\"{}\"", openid(*user))).collect();
                format!("[{}]", users.join(", "))
            }
        };
        let mark = match when {
            When::Hours { .. } => format!("{name}-{number}"),
            When::Events(_) => "{{名称}}".to_owned(),
        };
        format!(
            "name = \"{name}\"\napp = \"coffee\"\ntemplate = \"event-start\"\n\
             at = {{ {at}, ahead = \"{}m\", misfire = \"{misfire}\" }}\naudience = {audience}\nconsent = \"{claims}\"\n\
             expires = \"{}m\"\n[data]\nthing1 = \"{mark}{left}\"\ntime2 = \"{{{{@event | datetime}}}}\"\n",
            ahead / MINUTE,
            expires / MINUTE
        )
    }

    /// Its table of events, if it has one.
    pub fn table(&self) -> Option<String> {
        let When::Events(events) = &self.when else { return None };
        let row = |(key, (at, version)): (&u32, &(Millis, u32))| {
            format!("E{key},{}-E{key}-{version},{}\n", self.name, local(*at).format("%Y-%m-%d %H:%M"))
        };
        Some(format!("编号,名称,开始时间\n{}", events.iter().map(row).collect::<String>()))
    }

    /// The occurrences whose times lie between two instants.
    pub fn occurrences(&self, from: Millis, until: Millis) -> Vec<Occurrence> {
        let times: Vec<(String, Millis)> = match &self.when {
            When::Hours { minute, every } => {
                let step = every * HOUR;
                let first = from.div_euclid(step) * step;
                let events = (0..).map(|i| first + i * step + minute * MINUTE).take_while(|event| *event <= until);
                events.map(|event| (local(event).format("%Y-%m-%dT%H:%M").to_string(), event)).collect()
            }
            When::Events(events) => events.iter().map(|(key, (at, _))| (format!("E{key}"), *at)).collect(),
        };
        let occurrence = |(name, event): (String, Millis)| {
            let instant = |before: Option<&Millis>| event - before.copied().unwrap_or(0) * MINUTE;
            let last = instant(self.before.last());
            Occurrence { name, first: instant(self.before.first()), last, ends: last + self.expires }
        };
        let between = times.into_iter().filter(|(_, event)| (from..=until).contains(event));
        between.map(occurrence).collect()
    }

    /// Whose it is, if this is a message of a file of this name at all.
    pub fn identity(message: &Message) -> Option<Identity> {
        let parts: Vec<&str> = message.data["thing1"].split('-').collect();
        let (name, rest) = parts.split_first()?;
        let is_event = rest.first()?.starts_with('E');
        let occurrence = if is_event { rest[0].to_owned() } else { message.data["time2"].clone() };
        let left = rest.get(if is_event { 2 } else { 1 }).copied().unwrap_or_default();
        Some(((*name).to_owned(), occurrence, left.to_owned(), message.openid.clone()))
    }

    /// Whether this edition says this message to this user.
    pub fn says(&self, message: &Message) -> bool {
        let parts: Vec<&str> = message.data["thing1"].split('-').collect();
        let Some(event) = read(&message.data["time2"]) else { return false };
        let (is_right, left) = match &self.when {
            When::Hours { minute, every } => {
                let is_time = (event - minute * MINUTE).rem_euclid(every * HOUR) == 0;
                (is_time && parts[1] == self.number.to_string(), parts.get(2))
            }
            When::Events(events) => {
                let said = |(key, (at, version)): (&u32, &(Millis, u32))| {
                    parts[1] == format!("E{key}") && parts[2] == version.to_string() && *at == event
                };
                (parts.len() > 2 && events.iter().any(said), parts.get(3))
            }
        };
        let is_left = match left {
            None => self.before.is_empty(),
            Some(left) => self.before.iter().any(|minutes| *left == format!("{minutes}分钟")),
        };
        let is_named =
            self.audience.as_ref().is_none_or(|users| users.iter().any(|user| openid(*user) == message.openid));
        debug_assert_eq!(written(event), message.data["time2"]);
        parts[0] == self.name && is_right && is_left && is_named
    }
}

fn one_of<'t, T>(rng: &mut StdRng, all: &'t [T]) -> &'t T {
    all.choose(rng).expect("some")
}
