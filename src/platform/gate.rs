//! The last look before a request leaves: a daemon among several may have stood still since it marked a message, and others may have its apps by now.
//!
//! It is asked when hyper takes the body, just before the first bytes are written. A request whose head alone has left is none: the platform waits for
//! the body that its head announces. (A layer around reqwest's connections could look even at each write, but those cannot be named from outside.)

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Says whether a request may leave at this moment.
#[derive(Clone)]
pub struct Gate(Arc<dyn Fn() -> bool + Send + Sync>);

impl Gate {
    /// Asks this each time.
    pub fn new(may_leave: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(may_leave))
    }

    /// Whether a request may leave at this moment.
    pub fn is_open(&self) -> bool {
        (self.0)()
    }

    /// A body that leaves only while the gate is open.
    pub(super) fn body(&self, bytes: Bytes) -> reqwest::Body {
        reqwest::Body::wrap(Gated { bytes: Some(bytes), gate: self.clone() })
    }
}

/// The gate was closed.
#[derive(Debug)]
pub(super) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this daemon was not heard of for too long")
    }
}

impl Error for Closed {}

struct Gated {
    bytes: Option<Bytes>,
    gate: Gate,
}

impl Body for Gated {
    type Data = Bytes;
    type Error = Closed;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
        if self.bytes.is_some() && !self.gate.is_open() {
            return Poll::Ready(Some(Err(Closed)));
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    /// Known, since some platforms refuse a chunked body.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
