//! The connections of a listener, what each is doing, and who must go: a head that comes too slowly, a connection that rests for too long,
//! a client that does not read its answer; and when all places are taken, whoever has asked nothing for longest.

use std::{
    collections::HashMap,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Time for a request's head, from the connection's beginning or the head's first byte.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may rest between two requests. Longer than the minute after which proxies close theirs, so that they are the first.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may leave its answer unread.
const UNREAD: Duration = Duration::from_secs(120);
/// When places are short, a connection that has sent no whole head goes after so long.
const BRIEF: Duration = Duration::from_secs(1);

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It is to send a head.
    Head,
    /// A request is under way: its body is read, or its answer written.
    Busy,
    /// It has been answered, and has sent nothing since.
    Idle,
}

/// What a connection does, and since when.
#[derive(Debug, Clone, Copy)]
struct Doing {
    phase: Phase,
    since: Instant,
    /// Since when it takes nothing of what is written to it.
    unread: Option<Instant>,
}

impl Doing {
    /// Whether its time is over.
    fn is_over(&self, now: Instant) -> bool {
        let for_long = |since: Instant, limit| now.duration_since(since) >= limit;
        match self.phase {
            Phase::Head => for_long(self.since, HEAD_TIMEOUT),
            Phase::Idle => for_long(self.since, KEEP_ALIVE),
            Phase::Busy => self.unread.is_some_and(|since| for_long(since, UNREAD)),
        }
    }

    /// Whether it may go for another's sake.
    fn is_spare(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Idle => true,
            Phase::Head => now.duration_since(self.since) >= BRIEF,
            Phase::Busy => false,
        }
    }
}

/// A connection among the others.
pub(super) struct Member {
    number: u64,
    doing: Mutex<Doing>,
    end: Notify,
    crowd: Arc<Crowd>,
    _place: OwnedSemaphorePermit,
}

/// A request is under way for as long as this is held.
pub(super) struct Busy(Arc<Member>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(Phase::Idle);
    }
}

impl Member {
    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, phase: Phase) {
        *self.doing() = Doing { phase, since: Instant::now(), unread: None };
    }

    /// A request begins.
    pub fn begin(self: &Arc<Self>) -> Arc<Busy> {
        self.change(Phase::Busy);
        Arc::new(Busy(Arc::clone(self)))
    }

    /// Waits until it must go.
    pub async fn ended(&self) {
        self.end.notified().await;
    }

    /// Something came.
    fn heard(&self) {
        let mut doing = self.doing();
        if doing.phase == Phase::Idle {
            *doing = Doing { phase: Phase::Head, since: Instant::now(), unread: None };
        }
    }

    /// Whether it takes what is written to it.
    fn takes(&self, takes: bool) {
        let mut doing = self.doing();
        if takes {
            doing.unread = None;
        } else if doing.unread.is_none() {
            doing.unread = Some(Instant::now());
        }
    }
}

/// The connection itself is gone by then: its task has dropped it.
impl Drop for Member {
    fn drop(&mut self) {
        self.crowd.members().remove(&self.number);
    }
}

/// The connections of a listener.
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    members: Mutex<HashMap<u64, std::sync::Weak<Member>>>,
    next: Mutex<u64>,
}

impl Crowd {
    /// Nobody yet, and places for so many.
    pub fn new(most: usize) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(most));
        Arc::new(Self { places, members: Mutex::default(), next: Mutex::default() })
    }

    fn members(&self) -> MutexGuard<'_, HashMap<u64, std::sync::Weak<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more, as soon as there is one.
    pub async fn enter(self: &Arc<Self>) -> Arc<Member> {
        let place = loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                break place;
            }
            self.make_way();
            // A place that comes free sooner is taken at once.
            let free = Arc::clone(&self.places).acquire_owned();
            if let Ok(place) = tokio::time::timeout(Duration::from_millis(100), free).await {
                break place.expect("never closed");
            }
        };
        let number = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            *next += 1;
            *next
        };
        let doing = Mutex::new(Doing { phase: Phase::Head, since: Instant::now(), unread: None });
        let member = Arc::new(Member { number, doing, end: Notify::new(), crowd: Arc::clone(self), _place: place });
        self.members().insert(number, Arc::downgrade(&member));
        member
    }

    /// All of them, with what they do.
    fn all(&self) -> Vec<(Arc<Member>, Doing)> {
        let members: Vec<Arc<Member>> = self.members().values().filter_map(std::sync::Weak::upgrade).collect();
        members.into_iter().map(|member| (Arc::clone(&member), *member.doing())).collect()
    }

    /// Ends those whose time is over, once a second.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = Instant::now();
            self.all().iter().filter(|(_, doing)| doing.is_over(now)).for_each(|(member, _)| member.end.notify_one());
        }
    }

    /// Ends the one that has asked nothing for longest.
    fn make_way(&self) {
        let now = Instant::now();
        let all = self.all();
        let spare = all.iter().filter(|(_, doing)| doing.is_spare(now)).min_by_key(|(_, doing)| doing.since);
        if let Some((member, _)) = spare {
            member.end.notify_one();
        }
    }
}

/// A connection's stream, which tells what it does.
pub(super) struct Watched<S> {
    stream: S,
    member: Arc<Member>,
}

impl<S> Watched<S> {
    /// The stream of this connection.
    pub fn new(stream: S, member: Arc<Member>) -> Self {
        Self { stream, member }
    }

    fn written<T>(&self, written: Poll<T>) -> Poll<T> {
        self.member.takes(written.is_ready());
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.member.heard();
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_a_time_of_its_own() {
        let now = Instant::now() + Duration::from_secs(1_000);
        let ago = |seconds: u64| now - Duration::from_secs(seconds);
        // (phase, since when, answer unread since, its time is over, it may go for another's sake)
        let table = [
            (Phase::Head, 0, None, false, false),
            (Phase::Head, 1, None, false, true),
            (Phase::Head, 9, None, false, true),
            (Phase::Head, 10, None, true, true),
            (Phase::Idle, 0, None, false, true),
            (Phase::Idle, 74, None, false, true),
            (Phase::Idle, 75, None, true, true),
            (Phase::Busy, 999, None, false, false),
            (Phase::Busy, 999, Some(119), false, false),
            (Phase::Busy, 999, Some(120), true, false),
        ];
        for (phase, since, unread, over, spare) in table {
            let doing = Doing { phase, since: ago(since), unread: unread.map(ago) };
            assert_eq!((doing.is_over(now), doing.is_spare(now)), (over, spare), "{doing:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_under_way_never_makes_way_and_the_longest_rest_does() {
        let crowd = Crowd::new(3);
        let [busy, first, second] = [crowd.enter().await, crowd.enter().await, crowd.enter().await];
        let request = busy.begin();
        for member in [&first, &second] {
            drop(member.begin());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let waits = tokio::spawn({
            let crowd = Arc::clone(&crowd);
            async move { crowd.enter().await }
        });
        first.ended().await;
        assert!(!waits.is_finished());
        drop(first);
        let next = waits.await.expect("a place");
        assert_eq!(crowd.members().len(), 3);
        drop((request, next, busy, second));
        assert!(crowd.members().is_empty(), "nothing is kept of who has gone");
    }
}
