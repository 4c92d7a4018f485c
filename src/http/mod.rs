//! The accept loop: every connection has limits, whether its client means well or not. axum's own `serve` sets none.

mod crowd;
mod body;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, Version, header},
    response::Response,
};
use body::{Answered, Asked};
use crowd::{Busy, Crowd, Member, Watched};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

pub use crowd::{HEAD_TIMEOUT, KEEP_ALIVE};

/// Connections of a listener at once; more wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 8_192;
/// Bytes of a request's head.
pub const MAX_HEAD: usize = 64 * 1024;
/// After a stop, time for requests under way.
const FINISH: Duration = Duration::from_secs(10);

/// Put into a response's extensions: the connection is dropped instead of answered. For the sandbox's faults.
#[derive(Debug, Clone, Copy)]
pub struct Hang;

/// Put into a request's extensions: it is of HTTP/1.1 and names no host, which must be refused (RFC 9112, 3.2).
#[derive(Debug, Clone, Copy)]
pub struct HostMissing;

/// Put into a request's extensions: the address at the other end of its connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Something that connections come from.
pub trait Listener: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The address at its other end, if it has one.
    fn peer(_: &Self::Stream) -> Option<IpAddr> {
        None
    }

    /// The next connection.
    fn next(&self) -> impl Future<Output = std::io::Result<Self::Stream>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn peer(stream: &TcpStream) -> Option<IpAddr> {
        stream.peer_addr().ok().map(|address| address.ip())
    }

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

/// As [`serve_at_most`], for as many connections as are ever served at once.
pub async fn serve(listener: impl Listener, router: Router, stop: CancellationToken) {
    serve_at_most(MAX_CONNECTIONS, listener, router, stop).await;
}

/// Serves `router` on at most so many connections at once, until `stop`; then lets requests under way finish.
pub async fn serve_at_most<L: Listener>(most: usize, listener: L, router: Router, stop: CancellationToken) {
    let crowd = Crowd::new(most);
    let connections = TaskTracker::new();
    let watch = tokio::spawn(Arc::clone(&crowd).watch());
    loop {
        let accepted = async {
            let stream = listener.next().await?;
            // Whoever comes while all places are taken waits here: then somebody who asks nothing is asked to go.
            Ok::<_, std::io::Error>((stream, crowd.enter().await))
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, member)) => {
                let peer = L::peer(&stream).map(Peer);
                connections.spawn(keep(stream, peer, member, router.clone(), stop.clone()));
            }
            Err(e) => {
                // Out of file descriptors, mostly: those in use must end first.
                tracing::warn!(error = %e, "cannot accept a connection; trying again in a moment");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
    watch.abort();
}

/// Serves one connection to its end.
async fn keep(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Option<Peer>,
    member: Arc<Member>,
    router: Router,
    stop: CancellationToken,
) {
    let asked = Arc::clone(&member);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        answer(router.clone(), peer, request, asked.begin())
    });
    let connection = hyper::server::conn::http1::Builder::new()
        // The crowd knows a slow head from a connection that rests; hyper has one time for both.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Watched::new(stream, Arc::clone(&member))), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = &mut connection => {}
        () = member.ended() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(FINISH, connection).await;
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("hung up on purpose")]
struct HungUp;

async fn answer(
    router: Router,
    peer: Option<Peer>,
    request: Request<Incoming>,
    busy: Arc<Busy>,
) -> Result<Response<Answered>, HungUp> {
    let (asked, rest) = Asked::of(request, Arc::clone(&busy));
    let mut asked = asked.map(Body::new);
    if let Some(peer) = peer {
        asked.extensions_mut().insert(peer);
    }
    if asked.version() == Version::HTTP_11 && !asked.headers().contains_key(header::HOST) {
        asked.extensions_mut().insert(HostMissing);
    }
    let response: Result<Response, Infallible> = router.oneshot(asked).await;
    let Ok(mut response) = response;
    if response.extensions().get::<Hang>().is_some() {
        return Err(HungUp);
    }
    let headers = response.headers_mut();
    if rest.is_long() {
        // A client that is told so stops sending what nobody reads.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    } else {
        headers.insert("keep-alive", HeaderValue::from_static(KEPT));
    }
    Ok(response.map(|body| Answered::new(body, busy)))
}

/// [`KEEP_ALIVE`] as a header has it.
const KEPT: &str = "timeout=75";

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn the_header_says_how_long_a_connection_is_kept() {
        assert_eq!(KEPT, format!("timeout={}", KEEP_ALIVE.as_secs()));
    }

    /// A server of `most` connections, which refuses everything at `/no` before it has read anything.
    async fn server(most: usize) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new()
            .route("/no", post(async || axum::http::StatusCode::UNAUTHORIZED))
            .route("/yes", get(async || "yes"));
        tokio::spawn(serve_at_most(most, listener, router, CancellationToken::new()));
        address
    }

    /// One answer with a sized body.
    async fn answer_on(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            text.push(stream.read_u8().await.expect("a byte of the answer"));
        }
        let text = String::from_utf8(text).expect("text");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        stream.read_exact(&mut body).await.expect("a body");
        text
    }

    #[tokio::test]
    async fn who_writes_a_large_body_to_its_end_before_reading_gets_the_early_refusal() {
        let address = server(8).await;
        for chunked in [false, true] {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            let length = 24 << 20;
            let how = if chunked { "transfer-encoding: chunked".into() } else { format!("content-length: {length}") };
            let head = format!("POST /no HTTP/1.1\r\nhost: x\r\n{how}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("sent");
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..24 {
                if chunked {
                    stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.expect("sent");
                }
                stream.write_all(&piece).await.expect("no reset");
                if chunked {
                    stream.write_all(b"\r\n").await.expect("sent");
                }
            }
            if chunked {
                stream.write_all(b"0\r\n\r\n").await.expect("sent");
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("the answer, and the end of the connection");
            assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{answer}");
        }
    }

    #[tokio::test]
    async fn after_the_refusal_of_a_small_body_the_connection_goes_on() {
        let mut stream = TcpStream::connect(server(8).await).await.expect("a connection");
        for _ in 0..3 {
            // The body comes later than the head, as many clients send it.
            stream.write_all(b"POST /no HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n").await.expect("sent");
            let answer = answer_on(&mut stream).await;
            assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("keep-alive: timeout=75"), "{answer}");
            stream.write_all(b"{\"a\": \"\"}").await.expect("sent");
        }
        stream.write_all(b"GET /yes HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        assert!(answer_on(&mut stream).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn who_asks_before_sending_a_body_is_refused_without_it() {
        let mut stream = TcpStream::connect(server(8).await).await.expect("a connection");
        let head = "POST /no HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 999999999\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the answer, and the end of the connection");
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{answer}");
    }

    #[tokio::test]
    async fn connections_that_rest_make_way_for_those_that_ask() {
        let address = server(16).await;
        let mut crowd = Vec::new();
        for _ in 0..100 {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(b"GET /yes HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
            let asked = tokio::time::timeout(Duration::from_secs(5), answer_on(&mut stream)).await;
            assert!(asked.expect("an answer in time").starts_with("HTTP/1.1 200"), "connection {}", crowd.len());
            crowd.push(stream);
        }
        // The youngest are still there, and the oldest were told to go.
        let last = crowd.last_mut().expect("some");
        last.write_all(b"GET /yes HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        assert!(answer_on(last).await.starts_with("HTTP/1.1 200"));
        assert_eq!(crowd[0].read(&mut [0]).await.expect("an end"), 0);
    }
}
