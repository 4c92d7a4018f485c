//! A way between a daemon and whom it speaks to that can go silent: nothing passes, and nothing is refused, as when a network splits.

use super::program::now;
use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tixing::domain::Millis;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

/// Where a link leads.
#[derive(Clone)]
pub enum There {
    Port(u16),
    Socket(PathBuf),
}

/// A link, whose port stands for what lies behind it.
pub struct Link {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    there: Mutex<There>,
    is_whole: watch::Sender<bool>,
    /// How long the sender's kernel goes on with bytes that nobody confirms.
    keeps: Duration,
    /// When bytes went there.
    went: Mutex<Vec<Millis>>,
}

impl Link {
    /// A link whose silent bytes arrive after it has healed, unless they are older than `keeps` by then: their connection breaks.
    pub async fn to(there: There, keeps: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let there = Mutex::new(there);
        let shared = Shared { there, is_whole: watch::Sender::new(true), keeps, went: Mutex::default() };
        let shared = Arc::new(shared);
        let served = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&served).carry(stream));
            }
        });
        Self { port, shared }
    }

    /// From now on nothing passes.
    pub fn cut(&self) {
        self.shared.is_whole.send_replace(false);
    }

    /// From now on everything does.
    pub fn heal(&self) {
        self.shared.is_whole.send_replace(true);
    }

    /// From now on new connections lead elsewhere.
    pub fn point_to(&self, there: There) {
        *self.shared.there.lock().expect("whole") = there;
    }

    /// How often bytes went there between two instants.
    pub fn went(&self, from: Millis, until: Millis) -> usize {
        self.shared.went.lock().expect("whole").iter().filter(|at| (from..until).contains(*at)).count()
    }
}

impl Shared {
    async fn carry(self: Arc<Self>, here: TcpStream) -> io::Result<()> {
        let _ = here.set_nodelay(true);
        let (from, back) = here.into_split();
        self.whole().await?;
        let there = self.there.lock().expect("whole").clone();
        match there {
            There::Port(port) => {
                let there = TcpStream::connect(("127.0.0.1", port)).await?;
                let _ = there.set_nodelay(true);
                let (answers, to) = there.into_split();
                tokio::try_join!(self.pass(from, to, true), self.pass(answers, back, false))?;
            }
            There::Socket(path) => {
                let (answers, to) = UnixStream::connect(path).await?.into_split();
                tokio::try_join!(self.pass(from, to, true), self.pass(answers, back, false))?;
            }
        }
        Ok(())
    }

    async fn whole(&self) -> io::Result<()> {
        let begun = Instant::now();
        self.is_whole.subscribe().wait_for(|whole| *whole).await.map_err(io::Error::other)?;
        if begun.elapsed() < self.keeps { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }

    async fn pass(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        there: bool,
    ) -> io::Result<()> {
        let mut piece = vec![0; 16 * 1024];
        loop {
            let n = from.read(&mut piece).await?;
            self.whole().await?;
            if n == 0 {
                return to.shutdown().await;
            }
            if there {
                self.went.lock().expect("whole").push(now());
            }
            to.write_all(&piece[..n]).await?;
        }
    }
}
