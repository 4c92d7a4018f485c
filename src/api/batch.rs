//! Many reminders or popup reports in one call, one a line.

use super::{
    Api,
    auth::Caller,
    check::{self, ReminderBody},
    extract::{DryRun, Query, content},
    ndjson::{self, Answer, Line, Work},
    parse::parse,
    problem::Problem,
    reminders::{forgotten, refusal},
    report::{self, ConsentBody, Reported},
    schema::Ndjson,
    taps::Tap,
};
use crate::{
    domain::{
        Invalid,
        reminder::{NewReminder, State as ReminderState},
    },
    store::{Inserted, StoreError, keys::Scope},
};
use axum::{
    extract::{Request, State},
    response::Response,
};

/// What the body of a batch may say that it is; the first is what it should say.
const KINDS: &[&str] = &[
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/octet-stream",
    "text/plain",
];

/// Insert reminders, one a line. Lines are stored in order; good ones are kept whatever happens to the others. An answer that ends before its
/// body does (30 s of silence, a body that breaks off, answers that nobody reads, a key that is revoked) says so in its last line: `last` is
/// the last line that was read and answered, and `line` the one from which to send again. With `dry_run` nothing is stored, and a line sees
/// what those before it would take in the same slice alone: of 2,000 lines, or fewer if they are long or many batches are under way.
#[utoipa::path(post, path = "/v1/reminders/batch", operation_id = "insert_reminder_batch", tag = "reminders",
    params(DryRun), request_body(content((Option<Ndjson> = "application/x-ndjson"), (Option<Ndjson> = "application/octet-stream")),
    description = "NDJSON: a `NewReminder` a line"),
    responses((status = 200, description = "NDJSON: a `BatchLine` for each line that is not blank, in order",
    content_type = "application/x-ndjson", body = Ndjson),
    (status = 415, description = "`unsupported_media_type`: send application/x-ndjson, not compressed"),
    (status = 429, description = "`too_many`: as many batches are under way as are taken at once; `Retry-After` says when to ask again")))]
pub async fn reminders(
    State(api): State<Api>,
    caller: Caller,
    Query(query): Query<DryRun>,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    content(request.headers(), KINDS)?;
    let batch = api.batches.enter().await?;
    Ok(ndjson::answer(request, Reminders { api, caller, dry_run: query.dry_run }, batch))
}

/// Record popup reports, one a line. As the reminders' batch.
#[utoipa::path(post, path = "/v1/consents/batch", operation_id = "record_consent_batch", tag = "consents",
    request_body(content((Option<Ndjson> = "application/x-ndjson"), (Option<Ndjson> = "application/octet-stream")),
    description = "NDJSON: a `ConsentReport` a line"),
    responses((status = 200, description = "NDJSON: a `BatchLine` for each line that is not blank, in order",
    content_type = "application/x-ndjson", body = Ndjson),
    (status = 415, description = "`unsupported_media_type`: send application/x-ndjson, not compressed"),
    (status = 429, description = "`too_many`: as many batches are under way as are taken at once; `Retry-After` says when to ask again")))]
pub async fn consents(State(api): State<Api>, caller: Caller, request: Request) -> Result<Response, Problem> {
    caller.may(Scope::Write)?;
    content(request.headers(), KINDS)?;
    let batch = api.batches.enter().await?;
    Ok(ndjson::answer(request, Consents { api, caller }, batch))
}

/// A slice that was checked.
struct Checked<T> {
    /// Of each line; of those that go to the store it is still to come.
    answers: Vec<Answer>,
    /// The good lines, which go to the store, and their numbers.
    good: Vec<T>,
    places: Vec<usize>,
}

/// Lines through their checks. What a check answers with `None` goes another way.
fn checked<B: serde::de::DeserializeOwned, T>(
    lines: Vec<Line>,
    mut check: impl FnMut(usize, B) -> Result<Option<T>, Problem>,
) -> Checked<T> {
    let (mut good, mut places) = (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()));
    let line = |(i, line): (usize, Line)| {
        let line = match line {
            Ok(bytes) if bytes.trim_ascii().is_empty() => return Answer::Blank,
            other => other,
        };
        match line.and_then(|bytes| parse::<B>(&bytes)).and_then(|body| check(i, body)) {
            Ok(Some(new)) => {
                places.push(i);
                good.push(new);
                Answer::Blank
            }
            Ok(None) => Answer::Blank,
            Err(problem) => Answer::Refused(problem),
        }
    };
    let answers = lines.into_iter().enumerate().map(line).collect();
    Checked { answers, good, places }
}

impl<T> Checked<T> {
    /// The answers, now that the store has answered for what went to it.
    fn answered<D>(self, done: Result<Vec<D>, StoreError>, answer: impl Fn(D) -> Answer) -> Vec<Answer> {
        let Self { mut answers, places, .. } = self;
        match done {
            Ok(done) => places.into_iter().zip(done).for_each(|(place, done)| answers[place] = answer(done)),
            Err(e) => {
                let problem = Problem::from(e);
                places.into_iter().for_each(|place| answers[place] = Answer::Refused(problem.clone()));
            }
        }
        answers
    }
}

#[derive(Clone)]
struct Reminders {
    api: Api,
    caller: Caller,
    dry_run: bool,
}

impl Work for Reminders {
    /// With those lines that only time has spoilt: a replay of an old key is answered all the same.
    type Checked = (Checked<NewReminder>, Vec<(usize, NewReminder, Vec<Invalid>)>);

    async fn revoked(&self) {
        self.api.revoked(&self.caller).await;
    }

    fn check(&self, lines: Vec<Line>) -> Self::Checked {
        let now = self.api.clock.now();
        let mut late = Vec::new();
        let checked = checked(lines, |i, body: ReminderBody| {
            self.caller.may_touch(&body.app)?;
            let checked = check::reminder(&self.api.config, &self.api.store, body, now)?;
            if checked.late.is_empty() {
                return Ok(Some(checked.reminder));
            }
            late.push((i, checked.reminder, checked.late));
            Ok(None)
        });
        (checked, late)
    }

    async fn store(self, (mut checked, late): Self::Checked) -> Vec<Answer> {
        let store = &self.api.store;
        let news = std::mem::take(&mut checked.good);
        let tap = |new: &NewReminder| Some((self.api.taps.tap(&check::add(new)?), new.template.clone()));
        let noted: Vec<(String, Option<(Tap, String)>)> = news.iter().map(|new| (new.app.clone(), tap(new))).collect();
        let done = match news.is_empty() {
            true => Ok(Vec::new()),
            false if self.dry_run => store.try_insert(news).await,
            false => store.insert(news).await,
        };
        let done = done.map(|verdicts| verdicts.into_iter().zip(noted).collect::<Vec<_>>());
        let now = self.api.clock.now();
        let mut answers = checked.answered(done, |(verdict, (app, tap))| match verdict {
            Inserted::Created(_) if self.dry_run => Answer::WouldStore,
            Inserted::Created(_) => {
                let second = tap.filter(|(tap, _)| self.api.taps.is_second(*tap, now));
                doubled(self.inserted(&app, verdict), second.map(|(_, template)| template).into_iter().collect())
            }
            verdict => self.inserted(&app, verdict),
        });
        for (i, new, why) in late {
            answers[i] = match store.known_key(&new).await {
                Ok(Some(verdict)) => self.inserted(&new.app, verdict),
                Ok(None) => Answer::Refused(check::late(&self.api.config, &new, why)),
                Err(e) => Answer::Refused(e.into()),
            };
        }
        answers
    }
}

impl Reminders {
    fn inserted(&self, app: &str, verdict: Inserted) -> Answer {
        match verdict {
            Inserted::Created(id) => Answer::Stored { id, state: ReminderState::Scheduled, replayed: false },
            Inserted::Replayed(id, state) => Answer::Stored { id, state, replayed: true },
            refused => Answer::Refused(match check::app(&self.api.config, app) {
                Ok(app) => refusal(app, refused),
                Err(unknown) => unknown.into(),
            }),
        }
    }
}

/// The answer to a line, and the templates whose accept it may have counted a second time.
fn doubled(answer: Answer, templates: Vec<String>) -> Answer {
    if templates.is_empty() { answer } else { Answer::Doubled(Box::new(answer), templates) }
}

#[derive(Clone)]
struct Consents {
    api: Api,
    caller: Caller,
}

impl Work for Consents {
    type Checked = Checked<Reported>;

    async fn revoked(&self) {
        self.api.revoked(&self.caller).await;
    }

    fn check(&self, lines: Vec<Line>) -> Checked<Reported> {
        let now = self.api.clock.now();
        checked(lines, |_, body: ConsentBody| {
            self.caller.may_touch(&body.app)?;
            Ok(Some(report::read(&self.api.config, &self.api.store, body, now)?))
        })
    }

    async fn store(self, mut checked: Checked<Reported>) -> Vec<Answer> {
        let good = std::mem::take(&mut checked.good).into_iter();
        let told = |good: Reported| ((good.report.clone(), good.ignored), good.report);
        let (told, reports): (Vec<_>, Vec<_>) = good.map(told).unzip();
        let now = self.api.clock.now();
        let done = if reports.is_empty() { Ok(Vec::new()) } else { self.api.store.record_each(reports).await };
        let done = done.map(|added| added.into_iter().zip(told).collect::<Vec<_>>());
        checked.answered(done, |(added, (told, mut ignored))| match added {
            Some(recorded) => {
                ignored.extend(report::unrecorded(&self.api.config, &told, &recorded, None));
                let (taps, n) = (&self.api.taps, recorded.len());
                let is_second = |template: &String| taps.is_second(taps.tap(&report::add(&told, template)), now);
                doubled(Answer::Recorded(n, ignored), recorded.into_iter().filter(is_second).collect())
            }
            None => Answer::Refused(forgotten()),
        })
    }
}
