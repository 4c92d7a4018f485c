//! A real PgBouncer before a server: it gives each transaction another connection.

use super::postgres::unprivileged;
use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The first version that keeps prepared statements.
const OLDEST: [u32; 2] = [1, 21];

/// A pooler on a port of its own.
pub struct Pooler {
    pub port: u16,
    child: Child,
    folder: tempfile::TempDir,
}

/// How a pooler gives out its connections.
#[derive(Debug, Clone, Copy)]
pub enum Pooling {
    Transactions,
    Sessions,
    Statements,
    /// Transactions, and it forgets prepared statements.
    Forgetful,
    /// Transactions, and it refuses the parameters of a connection.
    Strict,
}

impl Pooling {
    fn settings(self) -> String {
        let (mode, kept, ignored) = match self {
            Self::Transactions => ("transaction", 200, "extra_float_digits,options"),
            Self::Sessions => ("session", 200, "extra_float_digits,options"),
            Self::Statements => ("statement", 200, "extra_float_digits,options"),
            Self::Forgetful => ("transaction", 0, "extra_float_digits,options"),
            Self::Strict => ("transaction", 200, ""),
        };
        format!("pool_mode={mode}\nmax_prepared_statements={kept}\nignore_startup_parameters={ignored}\n")
    }
}

impl Pooler {
    /// A pooler before a server: an address, or the folder of its socket. Without a PgBouncer that is new enough the tests say loudly what they leave
    /// out.
    pub fn before(host: &str, port: u16, pooling: Pooling) -> Option<Self> {
        let Some(binary) = binary() else {
            eprintln!(
                "!!! there is no PgBouncer 1.21 or later: NOTHING IS TESTED BEHIND A POOLER. Run tests/pgbouncer/build"
            );
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let own = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let settings = format!(
            "[databases]\n* = host={host} port={port} user=tixing\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={own}\nunix_socket_dir=\n\
             auth_type=any\ndefault_pool_size=12\nmax_client_conn=400\nserver_login_retry=1\n{}",
            pooling.settings()
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("written");
        // Where it was built not everybody may look.
        let own_binary = folder.path().join("pgbouncer");
        std::fs::copy(&binary, &own_binary).expect("copied");
        readable(folder.path());
        let mut command = unprivileged(&own_binary);
        command.arg("--quiet").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("pgbouncer starts");
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", own)).is_err() {
            assert!(Instant::now() < deadline, "pgbouncer listens within 10 s");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { port: own, child, folder })
    }

    /// The URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://tixing@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        debug_assert!(self.folder.path().exists(), "it was there as long as the pooler");
    }
}

/// The folder may be read by whom the pooler runs as.
fn readable(folder: &Path) {
    let opened = Command::new("chmod").args(["-R", "a+rX"]).arg(folder).status();
    assert!(opened.is_ok_and(|status| status.success()), "the folder can be opened");
}

fn binary() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pgbouncer/pgbouncer-1.24.1/pgbouncer");
    let binary = if built.exists() { built } else { "pgbouncer".into() };
    let said = Command::new(&binary).arg("--version").output().ok()?.stdout;
    let said = String::from_utf8(said).ok()?;
    let version = said.lines().next()?.strip_prefix("PgBouncer ")?;
    let parts: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    (parts.get(..2)? >= &OLDEST).then_some(binary)
}
