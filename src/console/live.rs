//! A schedule's numbers, a second each, for whoever looks at its page. They are made once for all who look, and not at all when nobody does.

use super::{
    Console,
    ask::part,
    frame::{Frame, number},
    numbers::{Count, Newest, Why, counts, is_over, punctuality, reasons, task},
    person::Person,
};
use crate::words::{Lang, say};
use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Streams at once.
const MOST: usize = 200;
/// How often numbers are sent.
const EVERY: Duration = Duration::from_secs(1);
/// Numbers that are younger are sent to the next one who asks, too.
const FRESH: Duration = Duration::from_millis(800);
/// Of so many numbers the session is looked at again.
const LOOKS: u32 = 4;
/// All who look at a page that changes.
pub struct Live {
    streams: Arc<Semaphore>,
    made: Mutex<HashMap<(String, Lang), Weak<Shared>>>,
}

impl Default for Live {
    fn default() -> Self {
        Self { streams: Arc::new(Semaphore::new(MOST)), made: Mutex::default() }
    }
}

impl Live {
    /// What all who look at this schedule in this language share.
    fn shared(&self, name: &str, lang: Lang) -> Arc<Shared> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, shared| shared.strong_count() > 0);
        let place = made.entry((name.to_owned(), lang)).or_default();
        place.upgrade().unwrap_or_else(|| {
            let shared = Arc::default();
            *place = Arc::downgrade(&shared);
            shared
        })
    }
}

/// The last numbers of a schedule, in one language.
type Shared = tokio::sync::Mutex<Last>;

#[derive(Default)]
struct Last {
    /// When they were made, and of how many reminders nothing more is to come.
    at: Option<(Instant, i64)>,
    html: Arc<str>,
    newest: Vec<Newest>,
    is_over: bool,
}

#[derive(Template)]
#[template(path = "live.html", config = "src/console/askama.toml")]
struct Numbers<'a> {
    frame: &'a Frame,
    counts: Vec<Count>,
    reasons: Vec<Why>,
    task: String,
    rate: String,
    punctuality: String,
    newest: &'a [Newest],
}

impl Console {
    /// The numbers of now; `None` if the schedule can't be seen any more. Whoever asks at the same time has the same.
    async fn numbers(&self, person: &Person, frame: Frame, name: &str, shared: &Shared) -> Option<(Arc<str>, bool)> {
        let mut last = shared.lock().await;
        if let Some((at, _)) = last.at
            && at.elapsed() < FRESH
        {
            return Some((Arc::clone(&last.html), last.is_over));
        }
        let path = format!("/v1/schedules/{}", part(name));
        let schedule = self.ask(person, frame.voice, Method::GET, &path, None).await.ok()?;
        let frame = frame.of_app(&schedule["app"]);
        let states = schedule["reminders"].as_object().into_iter().flatten();
        let waits = |state: &str| matches!(state, "scheduled" | "sending" | "in_doubt");
        let ended = states.filter(|(state, _)| !waits(state)).filter_map(|(_, n)| n.as_i64()).sum::<i64>();
        let before = last.at.replace((Instant::now(), ended));
        let mut rate = String::new();
        if let Some((at, before)) = before {
            let seconds = at.elapsed().as_secs_f64().max(0.001);
            let a_second = ((ended - before).max(0) as f64 / seconds).round();
            let allowed = self.api.config().apps.iter().find(|app| schedule["app"] == app.name).map(|app| app.rate);
            let (now, allowed) = (number(a_second as i64), number(allowed.unwrap_or_default().into()));
            rate = say!("console_rate_now", now = now, allowed = allowed).say(frame.voice);
        }
        if before.is_none_or(|(_, before)| before != ended) {
            last.newest = self.newest(person, &frame, name).await;
        }
        let (counts, reasons) = (counts(&schedule, &frame), reasons(&schedule, &frame));
        let numbers = Numbers {
            counts,
            reasons,
            task: task(&schedule["task"], &frame),
            rate,
            punctuality: punctuality(&last.newest, frame.voice),
            newest: &last.newest,
            frame: &frame,
        };
        let html = numbers.render().expect("pages are written to memory");
        (last.html, last.is_over) = (html.into(), is_over(&schedule));
        Some((Arc::clone(&last.html), last.is_over))
    }
}

/// The stream of a schedule's numbers. It ends with the session, with the schedule, and when the daemon stops.
pub async fn stream(
    State(console): State<Console>,
    person: Person,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Response {
    let Ok(permit) = Arc::clone(&console.live.streams).try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let lang = console.frame(Some(&person), &headers, "").voice.lang;
    let shared = console.live.shared(&name, lang);
    let stop = console.stop.clone();
    let look = Look { console, person, headers, name, shared, n: 0, over: false, _permit: permit };
    let stream = futures_util::stream::unfold(look, |mut look| async move { Some((look.next().await?, look)) });
    Sse::new(futures_util::StreamExt::take_until(stream, async move { stop.cancelled().await })).into_response()
}

/// Somebody who looks.
struct Look {
    console: Console,
    person: Person,
    headers: HeaderMap,
    name: String,
    shared: Arc<Shared>,
    n: u32,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Look {
    async fn next(&mut self) -> Option<Result<Event, Infallible>> {
        if self.over {
            return None;
        }
        if self.n > 0 {
            tokio::time::sleep(EVERY).await;
        }
        self.n = self.n.wrapping_add(1);
        if self.n.is_multiple_of(LOOKS) && !self.console.is_signed_in(&self.person).await {
            return None;
        }
        let frame = self.console.frame(Some(&self.person), &self.headers, "");
        let (html, over) = self.console.numbers(&self.person, frame, &self.name, &self.shared).await?;
        self.over = over;
        let event = Event::default().event(if over { "last" } else { "numbers" });
        Some(Ok(event.data(&*html)))
    }
}
