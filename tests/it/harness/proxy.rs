//! A small HTTP proxy, and a platform behind TLS: what stands between a daemon and the platforms where a proxy is the only way out.

use data_encoding::BASE64;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// A name that leads nowhere but through the proxy.
pub const HOST: &str = "api.platform.invalid";

/// A proxy. Whatever host it is asked for, it goes to this machine.
pub struct Proxy {
    pub url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What it wants to see, as `user:password`; empty for nothing.
    wanted: Mutex<String>,
    /// What it was asked, as `CONNECT host:port`, with the status that it gave.
    asked: Mutex<Vec<(String, u16)>>,
}

impl Proxy {
    pub async fn start(wanted: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared { wanted: Mutex::new(wanted.to_owned()), ..Shared::default() });
        let served = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, Arc::clone(&served)));
            }
        });
        Self { url, shared }
    }

    pub fn asked(&self) -> Vec<(String, u16)> {
        self.shared.asked.lock().expect("whole").clone()
    }
}

/// One connection: its first request decides where it goes.
async fn pass(mut stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(head.clone()).expect("text");
    let (method, target) = text.split_once(' ').expect("a method");
    let target = target.split(' ').next().expect("a target");
    let place = target.trim_start_matches("http://").split('/').next().expect("a host");
    let upstream = TcpStream::connect(format!("127.0.0.1:{}", place.rsplit_once(':').expect("a port").1)).await;
    let wanted = shared.wanted.lock().expect("whole").clone();
    let shown = format!("proxy-authorization: basic {}", BASE64.encode(wanted.as_bytes())).to_lowercase();
    let status = match &upstream {
        _ if !wanted.is_empty() && !text.to_lowercase().lines().any(|line| line == shown) => 407,
        Err(_) => 502,
        Ok(_) => 200,
    };
    shared.asked.lock().expect("whole").push((format!("{method} {place}"), status));
    if status != 200 {
        let answer = format!("HTTP/1.1 {status} no\r\ncontent-length: 0\r\nproxy-authenticate: Basic\r\n\r\n");
        return stream.write_all(answer.as_bytes()).await.ok();
    }
    let mut upstream = upstream.ok()?;
    if method == "CONNECT" {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    } else {
        upstream.write_all(&head).await.ok()?;
    }
    copy_bidirectional(&mut stream, &mut upstream).await.ok().map(drop)
}

/// A certificate for [`HOST`] that signs itself, made by openssl; nothing, said loudly, where that is not there.
pub fn certificate(folder: &Path) -> Option<[PathBuf; 2]> {
    let [key, certificate] = ["key.pem", "certificate.pem"].map(|name| folder.join(name));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).args(["-subj", &format!("/CN={HOST}")]);
    openssl.args(["-addext", &format!("subjectAltName=DNS:{HOST}"), "-addext", "basicConstraints=critical,CA:FALSE"]);
    match openssl.output() {
        Ok(made) if made.status.success() => Some([key, certificate]),
        other => {
            eprintln!("!!! NOT RUN: openssl: {other:?}");
            assert!(std::env::var_os("CI").is_none(), "in CI this must run");
            None
        }
    }
}

/// Speaks TLS on a port of its own, and hands what comes to `port`.
pub fn tls_before(port: u16, [key, certificate]: &[PathBuf; 2]) -> u16 {
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
            std::thread::spawn(move || hand_on(StreamOwned::new(connection, stream), port));
        }
    });
    own
}

fn hand_on(client: StreamOwned<ServerConnection, std::net::TcpStream>, port: u16) -> Option<()> {
    let mut client = BufReader::new(client);
    let mut server = BufReader::new(std::net::TcpStream::connect(("127.0.0.1", port)).ok()?);
    loop {
        let request = message(&mut client)?;
        server.get_mut().write_all(&request).ok()?;
        let answer = message(&mut server)?;
        client.get_mut().write_all(&answer).ok()?;
        client.get_mut().flush().ok()?;
    }
}

/// One HTTP message with a sized body.
fn message(from: &mut impl BufRead) -> Option<Vec<u8>> {
    let (mut message, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|n| *n > 0)?;
        message.extend_from_slice(line.as_bytes());
        if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    message.extend_from_slice(&body);
    Some(message)
}
