//! NDJSON of any length in bounded memory: read in slices, stored in order, answered line by line.
//!
//! The next slice is read and checked while the one before is stored. It is stored after it and never beside it: a later line must not take
//! the consent or the key of an earlier one.

use super::{
    access::RequestId,
    batches::{Batch, MAX_LINE, PIECE},
    extract::voice,
    problem::{Problem, ProblemJson},
    report::{Ignored, IgnoredJson},
    taps::Warning,
};
use crate::{
    domain::reminder::{ReminderId, State},
    words::{Voice, say},
};
use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderValue, header},
    response::Response,
};
use futures_util::{FutureExt, StreamExt, stream};
use serde::Serialize;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::io::StreamReader;
use utoipa::ToSchema;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Lines of one slice.
const SLICE: usize = 2_000;
/// Between two pieces of the body, and between two pieces of the answer that are read.
const IDLE: Duration = Duration::from_secs(30);

/// A line as it came, or why it is none.
pub(super) type Line = Result<Bytes, Problem>;

/// The outcome of one line.
#[derive(Debug)]
pub(super) enum Answer {
    /// A reminder is stored, by this line or by an earlier one with the same key.
    Stored { id: ReminderId, state: State, replayed: bool },
    /// A reminder would be stored.
    WouldStore,
    /// So many templates were added to; and what of the report added nothing.
    Recorded(usize, Vec<Ignored>),
    /// As it says, and the accept for these templates may have been counted twice.
    Doubled(Box<Answer>, Vec<String>),
    /// Nothing is stored.
    Refused(Problem),
    /// There was nothing in it: it counts, and is not answered.
    Blank,
}

/// The work on the lines: checking and storing.
pub(super) trait Work: Clone + Send + 'static {
    /// Lines that were checked.
    type Checked: Send + 'static;

    /// Checks the lines of a slice. The slice before may not be stored yet, so the store is not asked here.
    fn check(&self, lines: Vec<Line>) -> Self::Checked;

    /// Waits until the caller may do this no more.
    fn revoked(&self) -> impl Future<Output = ()> + Send;

    /// Stores a slice, and answers each of its lines.
    fn store(self, checked: Self::Checked) -> impl Future<Output = Vec<Answer>> + Send;
}

/// Takes the lines of a body, and answers them as they are stored.
pub(super) fn answer(request: Request, work: impl Work, batch: Batch) -> Response {
    let (answers, waiting) = mpsc::channel(batch.waiting());
    let (rest, ending) = oneshot::channel();
    let voice = voice(request.headers());
    let id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.clone()).unwrap_or_default();
    let body = request.into_body().into_data_stream().map(|piece| piece.map_err(io::Error::other));
    let batch = Arc::new(batch);
    // Its place is taken until its answers are read, since they are what it holds.
    let held = Arc::clone(&batch);
    tokio::spawn(async move {
        let (left, told) = take(StreamReader::new(body), work, answers, voice, batch).await;
        if told.refused > 0 {
            let Told { answered, refused } = told;
            tracing::info!(request_id = id, lines = answered, refused, "lines of a batch were refused");
        }
        if let Some(last) = left {
            // The caller may have gone.
            let _ = rest.send(last);
        }
    });
    let pieces =
        stream::unfold((waiting, held), async |(mut waiting, held)| Some((Ok(waiting.recv().await?), (waiting, held))));
    let pieces = pieces.chain(stream::once(async { ending.await.map_err(io::Error::other) }));
    let mut response = Response::new(Body::from_stream(pieces));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The body was read to its end.
    Whole,
    /// Nothing came any more.
    Silent,
    /// The body broke off.
    BrokeOff,
    /// Nobody reads the answers.
    Unread,
    /// The caller's key was revoked.
    Revoked,
    /// A fault of ours.
    Failed,
}

impl End {
    /// Why the answer ends after `last` though the body may go on, and where to go on.
    fn problem(self, last: u64) -> Option<Problem> {
        let from = match last {
            0 => say!("send_all_again"),
            _ => say!("send_again_from", last = last, next = last + 1),
        };
        let seconds = IDLE.as_secs();
        Some(match self {
            Self::Whole => return None,
            Self::Silent => Problem::new("too_slow", say!("nothing_came", seconds = seconds, from = from)),
            Self::BrokeOff => Problem::new("bad_json", say!("body_broke_off_here", from = from)),
            Self::Unread => Problem::new("too_slow", say!("answers_unread", seconds = seconds, from = from)),
            Self::Revoked => Problem::new("unauthorized", say!("key_revoked_meanwhile", from = from)),
            Self::Failed => Problem::new("internal", say!("batch_failed", last = last)),
        })
    }
}

/// A slice that is being stored, and the number of its first line.
type Storing = (u64, JoinHandle<Vec<Answer>>);

/// How many lines were answered, and how many of them that they were refused.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    answered: u64,
    refused: u64,
}

impl Told {
    fn add(&mut self, answers: &[Answer]) {
        self.answered += answers.len() as u64;
        self.refused += answers.iter().filter(|answer| matches!(answer, Answer::Refused(_))).count() as u64;
    }
}

/// Reads, checks and stores slice after slice. Answers what is left to be said at the end, or `None` if the caller has gone: what is
/// stored stays stored, and the rest is not taken.
async fn take(
    mut reader: impl AsyncBufRead + Unpin,
    work: impl Work,
    answers: mpsc::Sender<Bytes>,
    voice: Voice,
    batch: Arc<Batch>,
) -> (Option<Bytes>, Told) {
    let (mut read, mut told) = (0, Told::default());
    let mut storing: Option<Storing> = None;
    let mut left = Vec::new();
    let mut end = None;
    while end.is_none() {
        let (lines, ended) = tokio::select! {
            biased;
            () = work.revoked() => (Vec::new(), Some(End::Revoked)),
            read = read_slice(&mut reader, batch.slice_bytes()) => read,
        };
        end = ended;
        let (first, n) = (read + 1, lines.len() as u64);
        read += n;
        let checked = work.check(lines);
        let before = match storing.take() {
            Some((first, storing)) => Some((first, storing.await)),
            None => None,
        };
        if matches!(before, Some((_, Err(_)))) {
            end = Some(End::Failed);
            break;
        }
        if work.revoked().now_or_never().is_some() {
            end = Some(End::Revoked);
        } else if n > 0 {
            storing = Some((first, tokio::spawn(work.clone().store(checked))));
        }
        if let Some((first, Ok(lines))) = before {
            told.add(&lines);
            match hand_over(&answers, write(&lines, first, voice)).await {
                Handed::Over => {}
                Handed::Gone => return (None, told),
                Handed::Unread(text) => {
                    left = text.into();
                    end = Some(End::Unread);
                }
            }
        }
    }
    if let Some((first, storing)) = storing {
        match storing.await {
            Ok(lines) => {
                told.add(&lines);
                left.extend(write(&lines, first, voice));
            }
            Err(_) => end = Some(End::Failed),
        }
    }
    if let Some(problem) = end.and_then(|end| end.problem(told.answered)) {
        let line = Written {
            line: told.answered + 1,
            last: Some(told.answered),
            error: Some(problem.json(None, voice)),
            ..Written::default()
        };
        line.write(&mut left);
    }
    (Some(left.into()), told)
}

/// Whether a text reached the caller.
enum Handed {
    /// The text waits to be read, or was read.
    Over,
    /// There is nobody any more.
    Gone,
    /// Nobody reads; this could not be handed over.
    Unread(Bytes),
}

async fn hand_over(answers: &mpsc::Sender<Bytes>, mut text: Bytes) -> Handed {
    while !text.is_empty() {
        match timeout(IDLE, answers.reserve()).await {
            Ok(Ok(place)) => place.send(text.split_to(text.len().min(PIECE))),
            Ok(Err(_)) => return Handed::Gone,
            Err(_) => return Handed::Unread(text),
        }
    }
    Handed::Over
}

/// One line of a batch's answer. It has `error` if the line was refused; else, of a reminder, `id` and `state`, and of a popup's report
/// `recorded`.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = BatchLine, example = json!({"line": 1, "id": "r_06w4n2k8c0000", "state": "scheduled"}))]
pub(super) struct Written<'a> {
    /// The line's number in the body, from 1.
    line: u64,
    /// The last line of an answer that ends before its body: the last line that was read and answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ReminderId)]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state: Option<State>,
    /// The same key and body came before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    replayed: Option<bool>,
    /// Nothing was stored: this line would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    dry_run: Option<bool>,
    /// How many templates it added to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64)]
    recorded: Option<usize>,
    /// What of the report added nothing, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<IgnoredJson>,
    /// What the caller should know of what was stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ProblemJson)]
    error: Option<ProblemJson<'a>>,
}

impl Written<'_> {
    fn write(&self, text: &mut Vec<u8>) {
        serde_json::to_writer(&mut *text, self).expect("a Vec takes everything");
        text.push(b'\n');
    }
}

fn write(answers: &[Answer], first: u64, voice: Voice) -> Bytes {
    let mut text = Vec::with_capacity(answers.len() * 64);
    for (line, answer) in (first..).zip(answers) {
        if let Some(written) = written(line, answer, voice) {
            written.write(&mut text);
        }
    }
    // It may wait for long, and should hold no more than it says.
    text.shrink_to_fit();
    text.into()
}

fn written(line: u64, answer: &Answer, voice: Voice) -> Option<Written<'_>> {
    let mut out = Written { line, ..Written::default() };
    match answer {
        Answer::Stored { id, state, replayed } => {
            out.id = Some(id.to_string());
            out.state = Some(*state);
            out.replayed = replayed.then_some(true);
        }
        Answer::WouldStore => {
            out.state = Some(State::Scheduled);
            out.dry_run = Some(true);
        }
        Answer::Recorded(n, ignored) => {
            out.recorded = Some(*n);
            out.ignored = ignored.iter().map(|one| one.json(voice)).collect();
        }
        Answer::Doubled(answer, templates) => {
            out = written(line, answer, voice)?;
            out.warnings = templates.iter().map(|template| Warning::counted_twice(template, voice)).collect();
        }
        Answer::Refused(problem) => out.error = Some(problem.json(None, voice)),
        Answer::Blank => return None,
    }
    Some(out)
}

/// The next lines, and how the body ended, if it did: then nothing more is read of it.
async fn read_slice(reader: &mut (impl AsyncBufRead + Unpin), most: usize) -> (Vec<Line>, Option<End>) {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while lines.len() < SLICE && bytes < most {
        match read_line(reader).await {
            Ok(line) => {
                bytes += line.as_ref().map_or(0, Bytes::len);
                lines.push(line);
            }
            Err(end) => return (lines, Some(end)),
        }
    }
    (lines, None)
}

/// One line of at most [`MAX_LINE`] bytes; a longer one is skipped to its end and refused. One that does not come whole is none.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Line, End> {
    let (mut line, mut length, mut begun) = (Vec::new(), 0, false);
    loop {
        let buffer = match timeout(IDLE, reader.fill_buf()).await {
            Ok(Ok(buffer)) => buffer,
            Ok(Err(_)) => return Err(End::BrokeOff),
            Err(_) => return Err(End::Silent),
        };
        if buffer.is_empty() {
            if !begun {
                return Err(End::Whole);
            }
            break;
        }
        begun = true;
        let end = buffer.iter().position(|b| *b == b'\n');
        let piece = &buffer[..end.unwrap_or(buffer.len())];
        length += piece.len();
        if length <= MAX_LINE {
            line.extend_from_slice(piece);
        }
        let consumed = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(consumed);
        if end.is_some() {
            break;
        }
    }
    if length > MAX_LINE {
        return Ok(Err(Problem::new("too_large", say!("line_too_large", found = length, most = MAX_LINE))));
    }
    // Editors put it at the head of a file, and `cat` then in the middle.
    let line = Bytes::from(line);
    Ok(Ok(if line.starts_with(BYTE_ORDER_MARK) { line.slice(BYTE_ORDER_MARK.len()..) } else { line }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::batches::Batches;
    use axum::body::Body;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use std::sync::{Arc, Mutex};

    /// Writes down what happens, takes a second for each slice, and refuses the lines that are too long.
    #[derive(Clone, Default)]
    struct Diary {
        happened: Arc<Mutex<Vec<String>>>,
        /// What each line is answered, if not that it is recorded.
        refusal: Option<Problem>,
        /// The slice that is not survived.
        stumbles_at: Option<&'static str>,
        /// Said when the caller may go on no more.
        revoked: Arc<tokio::sync::Notify>,
    }

    impl Diary {
        fn note(&self, what: &str, line: &str) {
            self.happened.lock().expect("whole").push(format!("{what} {line}"));
        }
    }

    impl Work for Diary {
        type Checked = Vec<Line>;

        async fn revoked(&self) {
            self.revoked.notified().await;
            self.revoked.notify_one();
        }

        fn check(&self, lines: Vec<Line>) -> Vec<Line> {
            let first = lines.first().and_then(|line| line.as_ref().ok());
            self.note("checked", &first.map_or("".into(), |line| String::from_utf8_lossy(line)));
            lines
        }

        async fn store(self, lines: Vec<Line>) -> Vec<Answer> {
            let name = |line: &Line| String::from_utf8_lossy(line.as_ref().expect("a good line")).into_owned();
            let first = name(&lines[0]);
            self.note("begun", &first);
            assert!(self.stumbles_at != Some(first.as_str()), "a fault of ours, on purpose");
            // The first takes longest.
            tokio::time::sleep(Duration::from_secs(if first == "1" { 9 } else { 1 })).await;
            self.note("stored", &first);
            let answer = |line: Line| match (line, &self.refusal) {
                (Err(problem), _) => Answer::Refused(problem),
                (Ok(line), _) if line.is_empty() => Answer::Blank,
                (Ok(_), Some(problem)) => Answer::Refused(problem.clone()),
                (Ok(_), None) => Answer::Recorded(1, Vec::new()),
            };
            lines.into_iter().map(answer).collect()
        }
    }

    type Piece = Result<String, io::Error>;

    /// A call whose body is what is sent to the first.
    async fn call(work: &Diary) -> (mpsc::UnboundedSender<Piece>, Response) {
        let (send, sent) = mpsc::unbounded_channel::<Piece>();
        let body = stream::unfold(sent, async |mut sent| Some((sent.recv().await?, sent)));
        let batch = Batches::default().enter().await.expect("a place");
        (send, answer(Request::new(Body::from_stream(body)), work.clone(), batch))
    }

    async fn lines(response: Response) -> Vec<Value> {
        let text = response.into_body().collect().await.expect("a whole answer").to_bytes();
        text.split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("JSON"))
            .collect()
    }

    fn numbers(from: usize, to: usize) -> String {
        (from..=to).map(|n| format!("{n}\n")).collect()
    }

    /// The numbers of the lines that were recorded, and the last line of the answer if it is about the end.
    fn told(mut lines: Vec<Value>) -> (Vec<u64>, Option<Value>) {
        let ending = lines.pop_if(|line| line["last"].is_u64());
        (lines.iter().map(|line| line["line"].as_u64().expect("a number")).collect(), ending)
    }

    #[tokio::test(start_paused = true)]
    async fn slices_are_stored_in_order_while_the_next_one_is_read_and_checked() {
        let work = Diary::default();
        let (send, response) = call(&work).await;
        send.send(Ok(numbers(1, 3 * SLICE))).expect("taken");
        drop(send);
        let (answered, ending) = told(lines(response).await);
        assert_eq!((answered, ending), ((1..=3 * SLICE as u64).collect(), None));
        let happened = work.happened.lock().expect("whole").clone();
        let stored: Vec<&String> = happened.iter().filter(|what| !what.starts_with("checked")).collect();
        let expected = ["begun 1", "stored 1", "begun 2001", "stored 2001", "begun 4001", "stored 4001"];
        assert_eq!(stored, expected);
        let place = |what: &str| happened.iter().position(|h| h == what);
        assert!(place("checked 2001") < place("stored 1"), "the time of a commit is used: {happened:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_minute_of_silence_ends_the_answer_and_no_line_gets_another_ones_number() {
        let work = Diary::default();
        let (send, response) = call(&work).await;
        send.send(Ok(numbers(1, 2_002) + "\n2004\n20")).expect("taken");
        let answers = tokio::spawn(lines(response));
        // What comes after the silence is not taken for something else.
        send.closed().await;
        assert!(send.send(Ok("05\n2006\n".into())).is_err());
        let (answered, ending) = told(answers.await.expect("answers"));
        let expected: Vec<u64> = (1..=2_004).filter(|line| *line != 2_003).collect();
        assert_eq!(answered, expected, "a blank line counts and is not answered");
        let ending = ending.expect("why it ends");
        assert_eq!((&ending["last"], &ending["line"]), (&2_004.into(), &2_005.into()), "{ending}");
        assert_eq!(ending["error"]["code"], "too_slow");
        let detail = ending["error"]["detail"].as_str().expect("a sentence");
        assert!(detail.contains("line 2004 is the last") && detail.contains("again from line 2005"), "{detail}");
        let stored = work.happened.lock().expect("whole").clone();
        assert!(!stored.iter().any(|what| what.contains("2005") || what.contains("2006")), "{stored:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_comes_slowly_is_no_silence() {
        let (send, response) = call(&Diary::default()).await;
        let answers = tokio::spawn(lines(response));
        for piece in ["1", "2", "3", "\n", "4", "5"] {
            tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
            send.send(Ok(piece.into())).expect("taken");
        }
        drop(send);
        assert_eq!(told(answers.await.expect("answers")), (vec![1, 2], None), "a last line needs no line feed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_breaks_off_is_answered_with_what_came_whole() {
        for (came, answered) in [("", vec![]), ("1\n2\n3", vec![1, 2]), ("1\n\n3\n", vec![1, 3])] {
            let (send, response) = call(&Diary::default()).await;
            send.send(Ok(came.into())).expect("taken");
            send.send(Err(io::ErrorKind::ConnectionReset.into())).expect("taken");
            let (seen, ending) = told(lines(response).await);
            assert_eq!(seen, answered);
            let ending = ending.expect("why it ends");
            let last = answered.last().copied().unwrap_or_default();
            assert_eq!((&ending["last"], &ending["error"]["code"]), (&last.into(), &"bad_json".into()), "{ending}");
            let detail = ending["error"]["detail"].as_str().expect("a sentence");
            assert!(detail.contains(if last == 0 { "send all of them" } else { "send again from line" }), "{detail}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_is_too_long_is_refused_and_the_next_one_is_whole() {
        let (send, response) = call(&Diary::default()).await;
        send.send(Ok(format!("1\n{}\n3", "x".repeat(MAX_LINE + 1)))).expect("taken");
        drop(send);
        let lines = lines(response).await;
        assert_eq!(lines[1]["error"]["code"], "too_large");
        assert_eq!(told(lines), (vec![1, 2, 3], None));
    }

    #[tokio::test]
    async fn a_byte_order_mark_is_no_part_of_a_line() {
        let mut body = &b"\xef\xbb\xbf{}\n[]\n\xef\xbb\xbf1"[..];
        let (lines, _) = read_slice(&mut body, usize::MAX).await;
        let lines: Vec<_> = lines.into_iter().map(|line| line.expect("short")).collect();
        assert_eq!(lines, ["{}", "[]", "1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_reads_is_let_go_and_finds_every_stored_line_answered() {
        let refusal = Problem::new("bad_json", crate::words::Message::text("x".repeat(PIECE)));
        let work = Diary { refusal: Some(refusal), ..Diary::default() };
        let (send, response) = call(&work).await;
        for from in (1..100_000).step_by(1_000) {
            if send.send(Ok(numbers(from, from + 999))).is_err() {
                break;
            }
        }
        // Held open, and not a byte of the answer is read.
        send.closed().await;
        let (answered, ending) = told(lines(response).await);
        let last = answered.last().copied().expect("some");
        assert_eq!(answered, (1..=last).collect::<Vec<_>>());
        assert!(last < 10_000, "{last} lines were taken though nobody reads");
        let ending = ending.expect("why it ends");
        assert_eq!((&ending["last"], &ending["error"]["code"]), (&last.into(), &"too_slow".into()), "{ending}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_revoked_ends_its_batch_at_once_and_what_was_read_since_is_not_stored() {
        let work = Diary::default();
        let (send, response) = call(&work).await;
        send.send(Ok(numbers(1, SLICE + 5))).expect("taken");
        // The first slice is being stored, and a part of the second has come.
        tokio::time::sleep(Duration::from_secs(3)).await;
        work.revoked.notify_one();
        send.closed().await;
        let (answered, ending) = told(lines(response).await);
        assert_eq!(answered, (1..=SLICE as u64).collect::<Vec<_>>());
        let ending = ending.expect("why it ends");
        assert_eq!((&ending["last"], &ending["error"]["code"]), (&SLICE.into(), &"unauthorized".into()), "{ending}");
        let detail = ending["error"]["detail"].as_str().expect("a sentence");
        assert!(detail.contains("revoked") && detail.contains("again from line 2001"), "{detail}");
        let happened = work.happened.lock().expect("whole").clone();
        assert!(!happened.contains(&"begun 2001".to_owned()), "{happened:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_while_a_slice_is_stored_is_told_and_what_follows_is_not_stored() {
        let work = Diary { stumbles_at: Some("2001"), ..Diary::default() };
        let (send, response) = call(&work).await;
        send.send(Ok(numbers(1, 3 * SLICE))).expect("taken");
        drop(send);
        let (answered, ending) = told(lines(response).await);
        assert_eq!(answered, (1..=2_000).collect::<Vec<_>>());
        let ending = ending.expect("why it ends");
        assert_eq!((&ending["last"], &ending["error"]["code"]), (&2_000.into(), &"internal".into()), "{ending}");
        let happened = work.happened.lock().expect("whole").clone();
        assert!(!happened.contains(&"begun 4001".to_owned()), "{happened:?}");
    }
}
