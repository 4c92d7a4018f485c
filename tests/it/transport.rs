//! What the HTTP client sends, and that it never sends a request a second time by itself.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tixing::platform::{
    Method, Request,
    transport::{Failure, HttpTransport, Limits, Transport},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How a server ends a connection that it has answered on before.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// It closes when it has read the whole request.
    Closed,
    /// It resets when it has read the whole request.
    Reset,
    /// It has closed its side already while the request is being written, and reads on.
    HalfClosed,
}

/// The body of one request, which ends with a brace; nothing when the client has gone.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    let mut piece = [0; 1_024];
    while !seen.ends_with(b"}") {
        match stream.read(&mut piece).await {
            Ok(n) if n > 0 => seen.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    }
    let text = String::from_utf8(seen).expect("text");
    Some(text.split("\r\n\r\n").last().unwrap_or_default().to_owned())
}

/// The bodies that a server has read, each as often as it came.
type Seen = Arc<Mutex<Vec<String>>>;

/// Answers the first request of each connection, and ends the connection under the second.
async fn serve(listener: TcpListener, ending: Ending, seen: Seen) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let Some(body) = read_request(&mut stream).await else { return };
            seen.lock().expect("whole").push(body);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer).await.expect("written");
            if matches!(ending, Ending::HalfClosed) {
                stream.shutdown().await.expect("half closed");
            }
            if let Some(body) = read_request(&mut stream).await {
                seen.lock().expect("whole").push(body);
            }
            if matches!(ending, Ending::Reset) {
                stream.set_zero_linger().expect("reset at the end");
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_a_request_is_sent_once_however_its_connection_ends() {
    let limits = Limits { total: Duration::from_secs(5), ..Limits::default() };
    for ending in [Ending::Closed, Ending::Reset, Ending::HalfClosed] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let seen = Seen::default();
        tokio::spawn(serve(listener, ending, Arc::clone(&seen)));
        let transport = HttpTransport::new(limits).expect("a client");
        let mut not_sent = 0;
        for round in 0..70 {
            // A server may read late what the client has given up: what counts is how often it comes at all.
            match transport.call(Request::json(url.clone(), format!("{{{round}}}"))).await {
                Ok(answer) => assert_eq!(answer.status, 200),
                // It may have arrived, and is not sent again.
                Err(Failure::Unknown(_)) => {}
                Err(Failure::NotSent(_)) => not_sent += 1,
            }
        }
        let seen = seen.lock().expect("whole").clone();
        for body in &seen {
            let arrived = seen.iter().filter(|other| *other == body).count();
            assert_eq!(arrived, 1, "{ending:?}, round {body}: the server saw it {arrived} times");
        }
        assert!(not_sent < 70 && seen.len() > 30, "{ending:?}: the server was reached");
    }
}

#[tokio::test]
async fn a_form_with_headers_of_its_own_leaves_as_it_was_written() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url =
        format!("http://{}/gateway.do?sign=a%2Bb&timestamp=2026-03-01+09%3A00", listener.local_addr().expect("one"));
    let form = Request {
        method: Method::Post,
        url,
        headers: vec![
            ("content-type".into(), "application/x-www-form-urlencoded;charset=utf-8".into()),
            ("access-token".into(), "clt.1".into()),
        ],
        body: "biz_content=%7B{}".into(),
    };
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a call");
        let (mut seen, mut piece) = (Vec::new(), [0; 1_024]);
        while !seen.ends_with(b"{}") {
            let n = stream.read(&mut piece).await.expect("the rest");
            seen.extend_from_slice(&piece[..n]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("written");
        String::from_utf8(seen).expect("text")
    });
    let transport = HttpTransport::new(Limits::default()).expect("a client");
    assert_eq!(transport.call(form).await.map(|answer| answer.status), Ok(200));
    let seen = served.await.expect("served");
    for line in [
        "POST /gateway.do?sign=a%2Bb&timestamp=2026-03-01+09%3A00 HTTP/1.1\r\n",
        "\r\ncontent-type: application/x-www-form-urlencoded;charset=utf-8\r\n",
        "\r\naccess-token: clt.1\r\n",
        "\r\ncontent-length: 17\r\n",
        "\r\n\r\nbiz_content=%7B{}",
    ] {
        assert!(seen.contains(line), "{line:?} is not in {seen}");
    }
}
