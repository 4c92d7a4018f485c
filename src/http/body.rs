//! The bodies of a request and of its answer.
//!
//! A request that is refused before its body was read must not end in a reset: a client that is still sending would never read the refusal.
//! So what nobody wants is read and thrown away, within bounds.

use super::crowd::Busy;
use axum::{body::Body, extract::Request, http::header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// Bytes of a body that nobody wants, which are read all the same.
const UNWANTED: u64 = 1 << 30;
/// Time for them, and for each piece of them.
const UNWANTED_TIME: Duration = Duration::from_secs(30);
const UNWANTED_PIECE: Duration = Duration::from_secs(5);
/// A rest of so many bytes is waited for and the connection goes on; after a longer one it is closed.
const SHORT: u64 = 64 * 1024;

/// How much of a body its reader has left.
#[derive(Default)]
pub(super) struct Rest(AtomicU64);

impl Rest {
    /// Whether too much to go on with the connection.
    pub fn is_long(&self) -> bool {
        self.0.load(Ordering::Relaxed) > SHORT
    }
}

/// The body of a request.
pub(super) struct Asked {
    /// Until it was read to its end.
    incoming: Option<Incoming>,
    /// Its client sends it only when it is wanted, and nobody has wanted it yet.
    held_back: bool,
    rest: Arc<Rest>,
    busy: Arc<Busy>,
}

impl Asked {
    /// The request with this body, and what will be left of it.
    pub fn of(request: Request<Incoming>, busy: Arc<Busy>) -> (Request<Self>, Arc<Rest>) {
        let expects = request.headers().get(header::EXPECT);
        let held_back = expects.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let rest = Arc::<Rest>::default();
        let left = Arc::clone(&rest);
        (request.map(|incoming| Self { incoming: Some(incoming), held_back, rest, busy }), left)
    }
}

impl hyper::body::Body for Asked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.held_back = false;
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(incoming).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.incoming = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(|incoming| incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), |incoming| incoming.size_hint())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take().filter(|incoming| !incoming.is_end_stream()) else { return };
        self.rest.0.store(incoming.size_hint().upper().unwrap_or(u64::MAX), Ordering::Relaxed);
        // A process that ends has nobody left to read.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !self.held_back
        {
            runtime.spawn(throw_away(incoming, Arc::clone(&self.busy)));
        }
    }
}

/// Reads what nobody wants, so that its sender comes to read the answer.
async fn throw_away(mut incoming: Incoming, _busy: Arc<Busy>) {
    let (mut bytes, end) = (0, Instant::now() + UNWANTED_TIME);
    while bytes < UNWANTED {
        let until = end.min(Instant::now() + UNWANTED_PIECE);
        let Ok(Some(Ok(frame))) = timeout_at(until, incoming.frame()).await else { return };
        bytes += frame.data_ref().map_or(0, |piece| piece.len() as u64);
    }
}

/// The body of an answer.
pub(super) struct Answered {
    body: Body,
    _busy: Arc<Busy>,
}

impl Answered {
    /// The request is under way until it is written.
    pub fn new(body: Body, busy: Arc<Busy>) -> Self {
        Self { body, _busy: busy }
    }
}

impl hyper::body::Body for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
