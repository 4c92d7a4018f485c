//! How a schedule stands, in numbers: for its page, and for whoever looks on.

use super::{
    Console,
    ask::part,
    frame::{Frame, number, percent, text},
    person::Person,
};
use crate::{
    domain::{
        Millis,
        timing::{parse_instant, rfc3339},
    },
    words::{Voice, say},
};
use axum::http::Method;
use serde_json::Value;

/// Reminders that are shown, by their instants.
const NEWEST: usize = 20;

/// A number with its word, and its part of all in per cent.
pub struct Count {
    /// The state.
    pub state: &'static str,
    /// Its word.
    pub word: String,
    /// How many.
    pub n: String,
    /// In per cent.
    pub part: i64,
}

/// A reason and how often it came.
pub struct Why {
    /// The state that came of it.
    pub state: String,
    /// The reason.
    pub reason: String,
    /// How often.
    pub n: String,
}

/// A reminder whose instant has come.
#[derive(Clone)]
pub struct Newest {
    /// Its page.
    pub href: String,
    /// Its instant.
    pub at: String,
    /// Its state.
    pub state: String,
    /// Milliseconds from its instant until the platform had accepted it.
    took: Option<Millis>,
}

/// How long the last ones took from their instants until the platform had accepted them; nothing where none was sent.
pub fn punctuality(newest: &[Newest], voice: Voice) -> String {
    let mut all: Vec<Millis> = newest.iter().filter_map(|one| one.took).collect();
    all.sort_unstable();
    let (Some(middle), Some(longest)) = (all.get(all.len() / 2), all.last()) else { return String::new() };
    let (middle, longest) = (voice.span(*middle), voice.span(*longest));
    say!("console_punctuality", n = all.len(), middle = middle, longest = longest).say(voice)
}

impl Console {
    /// The reminders of a schedule whose instants have come last.
    pub async fn newest(&self, person: &Person, frame: &Frame, name: &str) -> Vec<Newest> {
        let now = part(&rfc3339(self.clock.now()));
        let path = format!("/v1/reminders?schedule={}&to={now}&order=newest&limit={NEWEST}", part(name));
        let listed = self.ask(person, frame.voice, Method::GET, &path, None).await.unwrap_or_default();
        let instant =
            |of: &Value| of.as_str().and_then(|text| parse_instant(text, None).ok()).map(|instant| instant.at);
        let one = |one: &Value| Newest {
            href: format!("/console/reminders/{}", part(&text(&one["id"]))),
            at: frame.when(&one["at"]).map(|when| when.at).unwrap_or_default(),
            state: text(&one["state"]),
            took: instant(&one["sent_at"]).zip(instant(&one["at"])).map(|(sent, at)| (sent - at).max(0)),
        };
        listed["items"].as_array().into_iter().flatten().map(one).collect()
    }
}

/// Whether nothing more is to come of it.
pub fn is_over(schedule: &Value) -> bool {
    schedule["task"].is_null() && (schedule["state"] == "ended" || schedule["state"] == "cancelled")
}

/// How many reminders stand how.
pub fn counts(schedule: &Value, frame: &Frame) -> Vec<Count> {
    const STATES: [&str; 8] =
        ["sent", "scheduled", "sending", "in_doubt", "failed", "expired", "unconfirmed", "cancelled"];
    let n = |state: &str| schedule["reminders"][state].as_i64().unwrap_or_default();
    let all: i64 = STATES.iter().map(|state| n(state)).sum();
    let count = |state| Count { state, word: frame.word(state), n: number(n(state)), part: percent(n(state), all) };
    STATES.into_iter().filter(|state| n(state) > 0).map(count).collect()
}

/// Why some did not go.
pub fn reasons(schedule: &Value, frame: &Frame) -> Vec<Why> {
    let all = schedule["reasons"].as_array().into_iter().flatten();
    let why = |one: &Value| Why {
        state: frame.word(one["state"].as_str().unwrap_or_default()),
        reason: frame.word(one["reason"].as_str().unwrap_or_default()),
        n: number(one["n"].as_i64().unwrap_or_default()),
    };
    all.map(why).collect()
}

/// What is being done to it, in words.
pub fn task(task: &Value, frame: &Frame) -> String {
    match task.is_object() {
        true => say!("about_task", kind = task["kind"], by = task["by"], detail = task["detail"]).say(frame.voice),
        false => String::new(),
    }
}
