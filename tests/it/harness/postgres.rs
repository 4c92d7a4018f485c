//! A real PostgreSQL from the installed binaries: one throw-away cluster a test run, one database a test.

use sqlx::{Connection, PgConnection};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);
static CLUSTERS: AtomicU32 = AtomicU32::new(0);

/// A running server.
pub struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
}

/// Whether there is a PostgreSQL to test on. Without one the tests say loudly what they leave out; in CI they fail.
pub fn available() -> bool {
    cluster().is_some()
}

/// The server that all tests share.
pub fn cluster() -> Option<&'static Cluster> {
    CLUSTER
        .get_or_init(|| match binaries() {
            Some(bin) => Some(Cluster::start(bin)),
            None if std::env::var_os("CI").is_some() => panic!("PostgreSQL is not installed, and CI must test on it"),
            None => {
                eprintln!(
                    "!!! PostgreSQL is not installed: NOTHING IS TESTED ON IT. Debian: apt-get install postgresql"
                );
                None
            }
        })
        .as_ref()
}

fn binaries() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
        .collect();
    versions.sort();
    versions.pop()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.starts_with(b"0"))
}

/// PostgreSQL refuses to run as root; as root it runs as the user that its package made.
pub fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg("--pdeathsig=KILL").arg(program).env_remove("LC_ALL").env("LANG", "C.UTF-8");
    command
}

/// A cluster of a test's own, to stop and start.
pub fn own_cluster() -> Option<Cluster> {
    available().then(|| Cluster::start(binaries().expect("just found")))
}

impl Cluster {
    fn start(bin: PathBuf) -> Self {
        let folder = folder();
        let data = folder.join("data");
        let made = unprivileged(&bin.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username=tixing", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.is_ok_and(|s| s.success()), "initdb works");
        let cluster = Self { bin, folder, port: 5432 };
        cluster.run();
        cluster
    }

    /// Starts the server under a thread that never ends: the server dies with it, so with the test run, however that ends.
    fn run(&self) {
        let mut command = unprivileged(&self.bin.join("postgres"));
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-c", "listen_addresses=", "-c", "max_connections=200", "-c"])
            .arg(format!("unix_socket_directories={}", self.folder.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (started, wait) = mpsc::channel();
        std::thread::spawn(move || {
            let mut child = command.spawn().expect("postgres starts");
            started.send(()).expect("the test waits");
            let _ = child.wait();
            loop {
                std::thread::park();
            }
        });
        wait.recv().expect("the thread starts postgres");
        let deadline = Instant::now() + Duration::from_secs(30);
        let ready = || {
            let mut ask = Command::new(self.bin.join("pg_isready"));
            ask.arg("--quiet").arg("--host").arg(&self.folder).args(["--port", &self.port.to_string()]);
            ask.status().is_ok_and(|status| status.success())
        };
        while !ready() {
            assert!(Instant::now() < deadline, "postgres answers within 30 s");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Another server that follows this one, as it is when it has just taken over.
    pub fn promoted_standby(&self) -> Self {
        let other = self.standby();
        other.promote();
        other
    }

    /// Another server that follows this one.
    pub fn standby(&self) -> Self {
        let folder = folder();
        let other = Self { bin: self.bin.clone(), folder, port: self.port };
        let copied = unprivileged(&self.bin.join("pg_basebackup"))
            .args([
                "--username=tixing",
                "--wal-method=stream",
                "--checkpoint=fast",
                "--no-sync",
                "--write-recovery-conf",
            ])
            .args(["--port", &self.port.to_string(), "--host"])
            .arg(&self.folder)
            .arg("--pgdata")
            .arg(other.folder.join("data"))
            .status();
        assert!(copied.is_ok_and(|s| s.success()), "pg_basebackup works");
        other.run();
        other
    }

    /// A standby takes over.
    pub fn promote(&self) {
        let promoted = unprivileged(&self.bin.join("pg_ctl"))
            .args(["promote", "--wait", "-D"])
            .arg(self.folder.join("data"))
            .stdout(Stdio::null())
            .status();
        assert!(promoted.is_ok_and(|s| s.success()), "the standby takes over");
    }

    /// Its standbys receive nothing more, and nobody notices: what sends it to them stands still.
    pub fn leave_standbys_behind(&self) {
        let senders = self.children().into_iter().filter(|pid| {
            let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&title).contains("walsender")
        });
        let senders: Vec<String> = senders.collect();
        assert!(!senders.is_empty(), "a standby follows");
        signal("-STOP", &senders);
    }

    /// Its machine fails: nothing of it does anything more.
    pub fn kill(&self) {
        let children = self.children();
        signal("-KILL", &[self.pid()]);
        // One may have ended by itself meanwhile.
        let _ = Command::new("kill").arg("-KILL").args(children).stderr(Stdio::null()).status();
    }

    /// A database as pg_dump writes it.
    pub fn dump(&self, database: &str) -> PathBuf {
        let file = self.folder.join(format!("{database}.dump"));
        let mut dump = self.tool("pg_dump");
        assert!(dump.arg("--format=custom").arg("--file").arg(&file).arg(database).status().is_ok_and(|s| s.success()));
        file
    }

    /// What pg_restore makes of a dump, in a database that is there.
    pub fn restore(&self, dump: &Path, database: &str, more: &[&str]) {
        let mut restore = self.tool("pg_restore");
        restore.args(more).args(["--dbname", database]).arg(dump);
        assert!(restore.status().is_ok_and(|s| s.success()), "pg_restore works");
    }

    /// One statement by psql.
    pub fn sql(&self, database: &str, sql: &str) {
        let mut psql = self.tool("psql");
        psql.args(["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname", database, "--command", sql]);
        assert!(psql.status().is_ok_and(|s| s.success()), "{sql}");
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        command.args(["--username=tixing", "--port", &self.port.to_string(), "--host"]).arg(&self.folder);
        command
    }

    /// Stops the server as a loss of power would.
    pub fn stop(&self) {
        self.stop_by("immediate");
    }

    /// Stops the server as its service does: whoever is connected is told, and what was committed is on the disk.
    pub fn stop_in_order(&self) {
        self.stop_by("fast");
    }

    fn stop_by(&self, mode: &str) {
        let stopped = unprivileged(&self.bin.join("pg_ctl"))
            .args(["stop", "--mode", mode, "-D"])
            .arg(self.folder.join("data"))
            .stdout(Stdio::null())
            .status();
        assert!(stopped.is_ok_and(|s| s.success()), "postgres stops");
    }

    /// Stops all of its processes where they are, or lets them go on: connections stand, and nobody answers.
    pub fn freeze(&self, frozen: bool) {
        let all = [vec![self.pid()], self.children()].concat();
        signal(if frozen { "-STOP" } else { "-CONT" }, &all);
    }

    fn pid(&self) -> String {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("it runs");
        pid.lines().next().expect("its number").to_owned()
    }

    fn children(&self) -> Vec<String> {
        let children = Command::new("pgrep").args(["--parent", &self.pid()]).output().expect("pgrep runs").stdout;
        String::from_utf8(children).expect("numbers").lines().map(str::to_owned).collect()
    }

    /// The socket that it listens on.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(format!(".s.PGSQL.{}", self.port))
    }

    /// Starts the server again.
    pub fn start_again(&self) {
        self.run();
    }

    /// The URL of a database of this cluster.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://tixing@localhost:{}/{database}?host={}", self.port, self.folder.display())
    }
}

fn signal(name: &str, pids: &[String]) {
    let signalled = Command::new("kill").arg(name).args(pids).status();
    assert!(signalled.is_ok_and(|status| status.success()), "postgres is there");
}

/// A folder for a cluster.
fn folder() -> PathBuf {
    let base = std::env::temp_dir().join("tixing-test-postgres");
    forget_dead(&base);
    let number = CLUSTERS.fetch_add(1, Ordering::SeqCst);
    let folder = base.join(std::process::id().to_string()).join(number.to_string());
    std::fs::create_dir_all(&folder).expect("a folder for the cluster");
    if is_root() {
        let owned = Command::new("chown").arg("postgres").arg(&folder).status();
        assert!(owned.is_ok_and(|s| s.success()), "the folder can be given to postgres");
    }
    folder
}

/// Removes what runs that were killed left behind.
fn forget_dead(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(entry.file_name()).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The URL of a new, empty database.
pub fn fresh_url() -> String {
    let cluster = cluster().expect("asked for only where available");
    let name = format!("t{}", DATABASES.fetch_add(1, Ordering::SeqCst));
    let (admin, sql) = (cluster.url("postgres"), format!("CREATE DATABASE {name}"));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut conn = PgConnection::connect(&admin).await.expect("postgres answers");
            sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.expect("a database is created");
        });
    })
    .join()
    .expect("the database is created");
    cluster.url(&name)
}

/// The folder of the socket in a test's URL, and the database.
pub fn parts(url: &str) -> (&str, &str) {
    let (place, folder) = url.split_once("?host=").expect("a socket");
    (folder, place.rsplit_once('/').expect("a database").1)
}
