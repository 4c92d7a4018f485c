//! The accept loop: every connection has limits, whether its client means well or not. axum's own `serve` sets none.

use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// Connections at once; more wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 8_192;
/// Time for a request's head; also how long an idle connection is kept.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
pub const MAX_HEAD: usize = 64 * 1024;
/// After a stop, time for requests under way.
const FINISH: Duration = Duration::from_secs(10);

/// Put into a response's extensions: the connection is dropped instead of answered. For the sandbox's faults.
#[derive(Debug, Clone, Copy)]
pub struct Hang;

/// Something that connections come from.
pub trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The next connection.
    fn next(&self) -> impl Future<Output = std::io::Result<Self::Stream>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> std::io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // Small answers leave at once; a socket that refuses this still works.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> std::io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

/// Serves `router` until `stop`, then lets requests under way finish.
pub async fn serve(listener: impl Listener, router: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
            (listener.next().await, place)
        };
        let (stream, place) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(e) => {
                // Out of file descriptors, mostly: those in use must end first.
                tracing::warn!(error = %e, "cannot accept a connection; trying again in a moment");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| answer(router.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            tokio::select! {
                _ = &mut connection => {}
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(FINISH, connection).await;
                }
            }
            drop(place);
        });
    }
    connections.close();
    connections.wait().await;
}

#[derive(Debug, thiserror::Error)]
#[error("hung up on purpose")]
struct HungUp;

async fn answer(router: Router, request: Request<Incoming>) -> Result<Response, HungUp> {
    let response: Result<Response, Infallible> = router.oneshot(request.map(Body::new)).await;
    let Ok(response) = response;
    if response.extensions().get::<Hang>().is_some() { Err(HungUp) } else { Ok(response) }
}
