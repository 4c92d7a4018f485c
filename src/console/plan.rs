//! What would come of a draft: the API's plan, some of its messages, and how far it is.

use super::{Console, card::Card, frame::text, person::Person, upload::owner};
use crate::{
    config::Config,
    store::StoreError,
    words::{Lang, Message, Voice, say, word::stage},
};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use bytes::BytesMut;
use futures_util::StreamExt;
use serde_json::Value;
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// A check that was told so is remembered so long.
const REMEMBERED: Duration = Duration::from_secs(60);

impl Console {
    /// A draft's plan, or what a load of it came to: the API's answer, also where the file can't be used.
    pub async fn plan(
        &self,
        person: &Person,
        voice: Voice,
        id: &str,
        path: &str,
    ) -> Result<Option<(StatusCode, Value)>, StoreError> {
        let Some(files) = self.api.store().draft(id, owner(person), self.clock.now()).await? else { return Ok(None) };
        let (kind, body) = self.files(id, files);
        Ok(Some(self.ask_with(person, voice, Method::POST, path, &kind, body).await))
    }

    /// The same with some of the reminders, as lines of JSON: the `at`th that goes if that is more than 1, the first, and the one with the longest
    /// texts. `tell` hears how far it is.
    pub async fn plan_and_samples(
        &self,
        person: &Person,
        voice: Voice,
        id: &str,
        at: i64,
        tell: impl Fn(&Value),
    ) -> Result<Option<Planned>, StoreError> {
        let Some(files) = self.api.store().draft(id, owner(person), self.clock.now()).await? else { return Ok(None) };
        let (kind, body) = self.files(id, files);
        let answer = self.send(person, voice, Method::POST, "/v1/schedules/plan?reminders=true", &kind, body).await;
        let (mut status, mut lines) = (answer.status(), answer.into_body().into_data_stream());
        let (mut rest, mut last, mut samples) = (BytesMut::new(), Bytes::new(), Samples { at, ..Samples::default() });
        while let Some(Ok(chunk)) = lines.next().await {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                last = rest.split_to(end + 1).freeze();
                match last.starts_with(b"{\"progress\":") {
                    true => tell(&serde_json::from_slice::<Value>(&last).unwrap_or_default()["progress"]),
                    false => samples.look_at(&last),
                }
            }
        }
        let plan: Value = serde_json::from_slice(if rest.is_empty() { &last } else { &rest }).unwrap_or_default();
        // What can't be used is found when the answer has begun, and is told in its last line.
        if let Some(refused) = plan["status"].as_u64().and_then(|n| StatusCode::from_u16(u16::try_from(n).ok()?).ok()) {
            status = refused;
        }
        Ok(Some(Planned { status, plan, samples: samples.read() }))
    }
}

/// A plan, and some of its reminders.
pub struct Planned {
    /// The API's status.
    pub status: StatusCode,
    /// The plan, or why there is none.
    pub plan: Value,
    samples: Vec<(&'static str, Value)>,
}

/// The first reminder that will be sent, the one with the longest texts, and one of which the place is known.
#[derive(Default)]
struct Samples {
    at: i64,
    n: i64,
    chosen: Bytes,
    first: Bytes,
    longest: Bytes,
    /// How long the longest texts are so far, those of the first included.
    length: usize,
    strangest: Bytes,
    /// How strange the strangest is so far.
    strangeness: usize,
}

/// How much of a message's values is seldom meant: what is beyond the usual planes of Unicode, such as emoji, what JSON has to escape, and what
/// looks like a tag or a variable.
fn strangeness(values: &[u8]) -> usize {
    values.iter().filter(|byte| **byte >= 0xf0 || b"\\<{".contains(byte)).count()
}

impl Samples {
    fn look_at(&mut self, line: &Bytes) {
        // Members stand in the order of their names, so no line is read whole: there may be a million.
        let place = |part: &[u8]| line.windows(part.len()).position(|window| window == part);
        let (Some(data), Some(event)) = (place(b"\"data\":"), place(b"\"event\":")) else { return };
        let will_go = [&b"\"change\":\"new\""[..], b"\"change\":\"changed\""];
        let goes = will_go.iter().any(|change| line[..data].windows(change.len()).any(|window| window == *change));
        let length = event.saturating_sub(data);
        self.n += i64::from(goes);
        if goes && self.n == self.at && self.at > 1 {
            self.chosen = line.clone();
        }
        if goes {
            // The object's own brace is none.
            let strange = strangeness(&line[data..event.max(data)]).saturating_sub(1);
            if strange > self.strangeness {
                (self.strangest, self.strangeness) = (line.clone(), strange);
            }
        }
        if goes && self.first.is_empty() {
            (self.first, self.length) = (line.clone(), length);
        } else if goes && length > self.length {
            (self.longest, self.length) = (line.clone(), length);
        }
    }

    /// What they are, and why they are shown. None is shown twice.
    fn read(&self) -> Vec<(&'static str, Value)> {
        let all = [
            ("console_chosen", &self.chosen),
            ("console_first", &self.first),
            ("console_longest", &self.longest),
            ("console_strangest", &self.strangest),
        ];
        let mut read: Vec<(&'static str, Value)> = Vec::new();
        for (why, line) in all {
            let Ok(reminder) = serde_json::from_slice::<Value>(line) else { continue };
            if !read.iter().any(|(_, known)| *known == reminder) {
                read.push((why, reminder));
            }
        }
        read
    }
}

/// Some of the messages, and whose they are.
pub fn samples(planned: &Planned, config: &Config, voice: Voice) -> Vec<(String, Card)> {
    let (app, template) = (text(&planned.plan["app"]), text(&planned.plan["template"]));
    let sample = |(why, one): &(&'static str, Value)| {
        let card = Card::of(config, &app, &template, &one["data"]);
        let whose = say!("console_row_of", row = one["row"], user = one["openid"]);
        (format!("{} · {}", Message::new(why).say(voice), whose.say(voice)), card)
    };
    planned.samples.iter().map(sample).collect()
}

/// Checks of large drafts, for the page that comes after their progress was told.
#[derive(Default)]
pub struct Checks {
    all: Mutex<HashMap<String, Checked>>,
    /// How often a draft has become another: a check that was begun before is none of what is there now.
    edits: AtomicU64,
}

struct Checked {
    at: Instant,
    owner: i64,
    lang: Lang,
    planned: Arc<Planned>,
}

impl Checks {
    fn put(&self, edits: u64, id: &str, person: &Person, lang: Lang, planned: Planned) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, check| check.at.elapsed() < REMEMBERED);
        if self.edits.load(Ordering::SeqCst) == edits {
            let check = Checked { at: Instant::now(), owner: owner(person), lang, planned: Arc::new(planned) };
            all.insert(id.to_owned(), check);
        }
    }

    /// The check of a draft, if it was told to this person in this language a moment ago.
    pub fn get(&self, id: &str, person: &Person, lang: Lang) -> Option<Arc<Planned>> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let check = all.get(id).filter(|check| check.owner == owner(person) && check.lang == lang)?;
        (check.at.elapsed() < REMEMBERED).then(|| Arc::clone(&check.planned))
    }

    /// A draft is another now.
    pub fn forget(&self, id: &str) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        self.edits.fetch_add(1, Ordering::SeqCst);
        all.remove(id);
    }
}

/// How far the check of a draft is, as it goes on; then it is remembered for a moment.
pub async fn progress(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let frame = console.frame(Some(&person), &headers, "");
    let (tell, told) = watch::channel(String::new());
    let (stop, edits) = (console.stop.clone(), console.checks.edits.load(Ordering::SeqCst));
    tokio::spawn(async move {
        let voice = frame.voice;
        let hear = |progress: &Value| {
            let _ = tell.send(say!("console_checking_at", stage = stage(progress)).say(voice));
        };
        if let Ok(Some(planned)) = console.plan_and_samples(&person, voice, &id, 0, hear).await {
            console.checks.put(edits, &id, &person, voice.lang, planned);
        }
    });
    let stream = futures_util::stream::unfold(Some(told), async |told| {
        let mut told = told?;
        match told.changed().await {
            Ok(()) => {
                let text = told.borrow_and_update().clone();
                Some((Ok::<_, Infallible>(Event::default().event("progress").data(text)), Some(told)))
            }
            Err(_) => Some((Ok(Event::default().event("done").data("")), None)),
        }
    });
    Sse::new(stream.take_until(async move { stop.cancelled().await })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_the_longest_the_strangest_and_a_chosen_message_are_shown_once_each() {
        let line = |row: i64, text: &str, change: &str| {
            let line = json!({ "row": row, "data": { "thing1": text }, "event": "x", "change": change });
            Bytes::from(format!("{line}\n"))
        };
        let shown = |at: i64| -> Vec<(&'static str, i64)> {
            let mut samples = Samples { at, ..Samples::default() };
            for (row, text, change) in [
                (1, "很长很长很长很长很长很长的不发", "late"),
                (2, "茶会", "new"),
                (3, "茶会🎉", "new"),
                (4, "一个很长很长的名称", "changed"),
                (5, "<b>茶</b>{{名称}}", "new"),
                (6, "茶", "same"),
            ] {
                samples.look_at(&line(row, text, change));
            }
            samples.read().into_iter().map(|(why, one)| (why, one["row"].as_i64().expect("a row"))).collect()
        };
        let usual = [("console_first", 2), ("console_longest", 4), ("console_strangest", 5)];
        assert_eq!(shown(0), usual);
        assert_eq!(shown(2), [("console_chosen", 3), usual[0], usual[1], usual[2]]);
        assert_eq!(shown(3)[..2], [("console_chosen", 4), ("console_first", 2)], "none is shown twice");
    }
}
